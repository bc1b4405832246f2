//! Connections to a node whose certificate the operator names: nobody else's is accepted, whoever signed it.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use crate::NodeError;

/// Trusts one certificate: as the server's own, whatever names and dates it bears (LND and clnrest make their own), or
/// as the one authority that may have signed it.
#[derive(Debug)]
struct Pinned {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
    /// `None` where the certificate cannot be an authority's.
    as_authority: Option<Arc<WebPkiServerVerifier>>,
}

/// TLS that accepts the certificate in `pem` and no other.
///
/// # Errors
/// [`NodeError::Config`] when `pem` holds no certificate.
pub(crate) fn pinned(pem: &str) -> Result<ClientConfig, NodeError> {
    let config = |error: &dyn std::fmt::Display| NodeError::Config(format!("the certificate: {error}"));
    let certificate =
        CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| config(&error))?.into_owned();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    let as_authority = roots.add(certificate.clone()).ok().and_then(|()| {
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().ok()
    });
    let pinned = Pinned { certificate, provider: Arc::clone(&provider), as_authority };
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| config(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(pinned))
        .with_no_client_auth();
    Ok(tls)
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // No secret is compared here: certificates are public. Who has the key proves it with the signatures below.
        if *end_entity == self.certificate {
            return Ok(ServerCertVerified::assertion());
        }
        match &self.as_authority {
            Some(authority) => {
                authority.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            }
            None => Err(Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer)),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_refused() {
        for pem in ["", "junk", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            assert!(matches!(pinned(pem), Err(NodeError::Config(_))));
        }
    }
}

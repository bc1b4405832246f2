//! What an operator can do at once about who calls: forget verdicts, revoke, and sign with a new key.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};
use octroi_identity::{SigningKeys, Verifier};
use serde::Deserialize;

use crate::admin::text;
use crate::clock::unix_seconds;
use crate::endpoint::Endpoint;

/// What `/identity/revoke` is asked.
#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Revocation {
    /// Everything that a subject holds by now.
    Subject { issuer: String, subject: String },
    /// One access token.
    Token { token: String },
    /// One access token by its SHA-256, in hexadecimal.
    Hash { token_sha256: String },
}

/// Every token is judged anew, and exchanged anew.
pub(crate) fn forget(endpoints: &[Arc<Endpoint>]) -> Response<Bytes> {
    for endpoint in endpoints {
        if let Some(desk) = endpoint.gate.identity() {
            desk.verifier().forget_all();
        }
        endpoint.gate.forget_exchanged();
    }
    tracing::info!("every verdict on an access token was forgotten");
    text(StatusCode::OK, "forgotten\n".to_owned())
}

/// Nobody gets in with what is revoked, from the next request on.
pub(crate) fn revoke(endpoints: &[Arc<Endpoint>], body: &[u8]) -> Response<Bytes> {
    let Ok(asked) = serde_json::from_slice::<Revocation>(body) else {
        let form = "write {\"issuer\": …, \"subject\": …}, {\"token\": …} or {\"token_sha256\": …}\n";
        return text(StatusCode::BAD_REQUEST, form.to_owned());
    };
    let hash = match &asked {
        Revocation::Subject { .. } => None,
        Revocation::Token { token } => Some(Verifier::token_hash(token)),
        Revocation::Hash { token_sha256 } => {
            let mut hash = [0; 32];
            if hex::decode_to_slice(token_sha256, &mut hash).is_err() {
                let form = "token_sha256 is 64 hexadecimal digits\n";
                return text(StatusCode::BAD_REQUEST, form.to_owned());
            }
            Some(hash)
        }
    };
    let now = unix_seconds();
    for endpoint in endpoints {
        let Some(desk) = endpoint.gate.identity() else { continue };
        let revoked = match (&asked, hash) {
            (Revocation::Subject { issuer, subject }, _) => {
                desk.verifier().revoke_subject(issuer, subject, now)
            }
            (_, Some(hash)) => desk.verifier().revoke_token(hash, now),
            (_, None) => Ok(()),
        };
        if let Err(error) = revoked {
            return text(StatusCode::INSUFFICIENT_STORAGE, format!("{error}\n"));
        }
        endpoint.gate.forget_exchanged();
    }
    tracing::info!(subject = hash.is_none(), "an operator revoked access");
    text(StatusCode::OK, "revoked\n".to_owned())
}

/// Statements about callers are signed with a new key, as soon as every server can have fetched it.
pub(crate) fn rotate(keys: Option<&SigningKeys>) -> Response<Bytes> {
    let Some(keys) = keys else {
        return text(StatusCode::NOT_FOUND, "this gate signs no statements about callers\n".to_owned());
    };
    match keys.rotate(unix_seconds()) {
        Ok(()) => {
            let seconds = SigningKeys::OVERLAP_SECONDS;
            text(StatusCode::OK, format!("a new key is published, and signs in {seconds} s\n"))
        }
        Err(error) => {
            tracing::warn!(%error, "the signing key could not be rotated");
            text(StatusCode::CONFLICT, format!("{error}\n"))
        }
    }
}

//! How the gate says who it is at an issuer's endpoint.

use crate::{Secret, SigningKey};

/// Client authentication (RFC 6749 §2.3, RFC 7523 §2.2).
#[derive(Clone, Debug)]
pub enum ClientAuth {
    /// `client_secret_basic`.
    Basic {
        /// The client's id.
        client_id: String,
        /// Its secret.
        client_secret: Secret,
    },
    /// `client_secret_post`.
    Post {
        /// The client's id.
        client_id: String,
        /// Its secret.
        client_secret: Secret,
    },
    /// `private_key_jwt`: a signed statement, new for each request, good for a minute.
    PrivateKeyJwt {
        /// The client's id.
        client_id: String,
        /// The key whose public half the issuer knows.
        key: SigningKey,
        /// Who the statement is for: the issuer, which is one name and no list (RFC 7523bis).
        audience: String,
    },
    /// An access token of the gate's own (RFC 7662 §2.1); for introspection only.
    Bearer(Secret),
}

impl ClientAuth {
    /// The client's id, where the method names one.
    #[must_use]
    pub fn client_id(&self) -> Option<&str> {
        match self {
            Self::Basic { client_id, .. }
            | Self::Post { client_id, .. }
            | Self::PrivateKeyJwt { client_id, .. } => Some(client_id),
            Self::Bearer(_) => None,
        }
    }
}

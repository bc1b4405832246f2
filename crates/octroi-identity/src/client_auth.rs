//! How the gate says who it is at an issuer's endpoint.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use reqwest::RequestBuilder;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use serde_json::{Map, json};
use url::form_urlencoded;
use zeroize::Zeroizing;

use crate::{KeyError, Secret, SetupError, SigningKey};

/// How long a signed statement about the gate is good, seconds.
const ASSERTION_SECONDS: u64 = 60;

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
        /// Who the statement is for: the issuer, or its token endpoint where it wants that. One name and no list.
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

    /// Refuses what no issuer would accept.
    pub(crate) fn check(&self) -> Result<(), SetupError> {
        let secret = match self {
            Self::Basic { client_secret, .. } | Self::Post { client_secret, .. } => client_secret.reveal(),
            Self::PrivateKeyJwt { audience, .. } => audience,
            Self::Bearer(token) => token.reveal(),
        };
        if secret.is_empty() || self.client_id() == Some("") {
            Err(SetupError::NoGateCredential)
        } else {
            Ok(())
        }
    }

    /// Adds the proof of who the gate is and sends the form with it. `now` is in seconds since the Unix epoch.
    pub(crate) fn complete(
        &self,
        request: RequestBuilder,
        mut form: Vec<(&str, Zeroizing<String>)>,
        now: u64,
    ) -> Result<RequestBuilder, KeyError> {
        let mut put = |name, value: &str| form.push((name, Zeroizing::new(value.to_owned())));
        let mut authorization = None;
        match self {
            Self::Basic { client_id, client_secret } => {
                authorization = Some(basic(client_id, client_secret)?);
            }
            Self::Post { client_id, client_secret } => {
                put("client_id", client_id);
                put("client_secret", client_secret.reveal());
            }
            Self::PrivateKeyJwt { client_id, key, audience } => {
                put("client_id", client_id);
                put("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
                put("client_assertion", &assertion(client_id, key, audience, now)?);
            }
            Self::Bearer(token) => {
                authorization = Some(sensitive(&Zeroizing::new(format!("Bearer {}", token.reveal())))?);
            }
        }
        let fields: Vec<(&str, &str)> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let request = request.form(&fields);
        Ok(match authorization {
            Some(value) => request.header(AUTHORIZATION, value),
            None => request,
        })
    }
}

/// `client_secret_basic`: both halves are form-encoded first (RFC 6749 §2.3.1).
pub(crate) fn basic(id: &str, secret: &Secret) -> Result<HeaderValue, KeyError> {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let both = Zeroizing::new(format!("{}:{}", encoded(id), encoded(secret.reveal())));
    sensitive(&Zeroizing::new(format!("Basic {}", STANDARD.encode(both.as_bytes()))))
}

fn sensitive(text: &str) -> Result<HeaderValue, KeyError> {
    let mut value = HeaderValue::from_str(text).map_err(|_| KeyError::Unusable)?;
    value.set_sensitive(true);
    Ok(value)
}

/// RFC 7523 §3.
fn assertion(
    client_id: &str,
    key: &SigningKey,
    audience: &str,
    now: u64,
) -> Result<Zeroizing<String>, KeyError> {
    let mut id = [0; 16];
    aws_lc_rs::rand::fill(&mut id).map_err(|_| KeyError::Unusable)?;
    let claims = [
        ("iss", json!(client_id)),
        ("sub", json!(client_id)),
        ("aud", json!(audience)),
        ("iat", json!(now)),
        ("exp", json!(now.saturating_add(ASSERTION_SECONDS))),
        ("jti", json!(URL_SAFE_NO_PAD.encode(id))),
    ];
    let claims: Map<_, _> = claims.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    key.sign("JWT", &claims).map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Algorithm;

    fn sent(auth: &ClientAuth) -> (Option<String>, String) {
        let request = reqwest::Client::new().post("http://127.0.0.1/");
        let request =
            auth.complete(request, vec![("token", Zeroizing::new("t&t".to_owned()))], 1000).unwrap();
        let request = request.build().unwrap();
        let header = request.headers().get(AUTHORIZATION);
        assert!(header.is_none_or(HeaderValue::is_sensitive));
        let body = request.body().and_then(|body| body.as_bytes()).unwrap();
        (header.map(|value| value.to_str().unwrap().to_owned()), String::from_utf8(body.to_vec()).unwrap())
    }

    #[test]
    fn each_method_says_who_the_gate_is() {
        let secret = || Secret::new("s:%");
        let basic = ClientAuth::Basic { client_id: "a b".to_owned(), client_secret: secret() };
        let expected = format!("Basic {}", STANDARD.encode("a+b:s%3A%25"));
        assert_eq!(sent(&basic), (Some(expected), "token=t%26t".to_owned()));
        let post = ClientAuth::Post { client_id: "a".to_owned(), client_secret: secret() };
        assert_eq!(sent(&post), (None, "token=t%26t&client_id=a&client_secret=s%3A%25".to_owned()));
        assert_eq!(sent(&ClientAuth::Bearer(Secret::new("x"))).0.as_deref(), Some("Bearer x"));
        let key = SigningKey::generate(Algorithm::Es256).unwrap();
        let signed =
            ClientAuth::PrivateKeyJwt { client_id: "a".to_owned(), key, audience: "https://i".to_owned() };
        let (header, body) = sent(&signed);
        assert!(header.is_none() && body.contains("client-assertion-type%3Ajwt-bearer"));
        assert_ne!(body, sent(&signed).1);
        assert!(!format!("{basic:?} {post:?} {signed:?}").contains("s:%"));
    }

    #[test]
    fn an_empty_credential_is_none() {
        let empty = ClientAuth::Basic { client_id: "a".to_owned(), client_secret: Secret::new("") };
        assert_eq!(empty.check(), Err(SetupError::NoGateCredential));
        assert!(ClientAuth::Bearer(Secret::new("")).check().is_err());
    }
}

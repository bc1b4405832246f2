//! Which client asks: one set beforehand, one described by a document, or one registered now.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;
use zeroize::Zeroizing;

use super::code::redirect;
use super::{SignInSettings, issuer::Issuer};
use crate::http::Http;
use crate::{AgentError, Secret};

/// Most bytes of a registration's answer.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// An OAuth client.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Client {
    pub(super) id: String,
    pub(super) secret: Option<Zeroizing<String>>,
    /// The secret goes into the form and not into the header.
    pub(super) posts_secret: bool,
}

/// The client that the owner registered beforehand.
pub(super) fn configured(settings: &SignInSettings, issuer: &Issuer) -> Option<Client> {
    let id = settings.client_id.clone()?;
    let secret = settings.client_secret.as_ref().map(|secret| Zeroizing::new(secret.reveal().to_owned()));
    let methods = &issuer.token_endpoint_auth_methods_supported;
    let takes = |name: &str| methods.iter().any(|method| method == name);
    // RFC 8414 §2: Basic where nothing is said.
    let posts_secret = takes("client_secret_post") && !takes("client_secret_basic");
    Some(Client { id, secret, posts_secret })
}

/// In the order of MCP 2026-07-28 basic/authorization: set beforehand, by document, registered.
pub(super) async fn find(
    http: &Http,
    settings: &SignInSettings,
    issuer: &Issuer,
    redirect: &str,
) -> Result<Client, AgentError> {
    if let Some(client) = configured(settings, issuer) {
        return Ok(client);
    }
    if let Some(url) =
        settings.client_metadata_url.as_ref().filter(|_| issuer.client_id_metadata_document_supported)
    {
        return Ok(Client { id: url.to_string(), secret: None, posts_secret: false });
    }
    let Some(door) = &issuer.registration_endpoint else {
        let words = "the issuer registers no clients; set a client id that it knows";
        return Err(AgentError::SignIn(words.to_owned()));
    };
    let (status, body) = http.post_json(door, None, &registration(redirect), ANSWER_BYTES_MAX).await?;
    let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = |name: &str| answer.get(name).and_then(Value::as_str);
    let Some(id) = text("client_id").filter(|_| matches!(status, 200 | 201)) else {
        let why = text("error_description").or_else(|| text("error")).unwrap_or("no reason given");
        return Err(AgentError::SignIn(format!("the issuer did not register a client ({status}): {why}")));
    };
    Ok(Client {
        id: id.to_owned(),
        secret: text("client_secret").map(|secret| Zeroizing::new(secret.to_owned())),
        posts_secret: text("token_endpoint_auth_method") == Some("client_secret_post"),
    })
}

/// The document that describes this client (OAuth Client ID Metadata Document), to be served at `url`: over TLS, at an address
/// with a path. `port` is the one of the redirect; issuers take any on this machine where it is not given (RFC 8252 §7.3).
#[must_use]
pub fn client_metadata(url: &Url, port: Option<u16>) -> Value {
    let mut document = registration(&redirect(port));
    document["client_id"] = json!(url.as_str());
    document
}

/// What is registered (RFC 7591 §2): a program on somebody's machine, without a secret.
fn registration(redirect: &str) -> Value {
    json!({
        "client_name": "Octroi",
        "redirect_uris": [redirect],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        "application_type": "native",
    })
}

impl Client {
    /// The secret, for the header.
    pub(super) fn basic(&self) -> Option<(String, Secret)> {
        let secret = self.secret.as_ref().filter(|_| !self.posts_secret)?;
        // RFC 6749 §2.3.1: each half is form-encoded.
        let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        Some((encode(&self.id), Secret::new(encode(secret))))
    }
}

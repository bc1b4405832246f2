//! The two eras of MCP: state in every request (2026-07-28), or a session that `initialize` opens (2025-11-25).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use serde_json::{Map, Value, json};

use crate::http::Message;
use crate::{AgentError, Proof, Request, Secret};

/// The modern revision this agent speaks.
const MODERN: &str = "2026-07-28";
/// The legacy revision it proposes.
const LEGACY: &str = "2025-11-25";

pub(crate) const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");
pub(crate) const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
pub(crate) const CALLS: HeaderName = HeaderName::from_static("octroi-calls");
pub(crate) const SOLUTION: HeaderName = HeaderName::from_static("x-pow-solution");
pub(crate) const PAYMENT: HeaderName = HeaderName::from_static("payment-authorization");
/// Says that this client handles a 402 by itself.
pub(crate) const ACCEPT_AUTHENTICATE: HeaderName = HeaderName::from_static("accept-authenticate");
/// Where a gate like Aperture looks for a macaroon when `Authorization` is taken.
pub(crate) const MACAROON: HeaderName = HeaderName::from_static("macaroon");
/// A credential that opens nothing: whoever asks for payment answers it with an offer and does not make the call.
pub(crate) const NO_CREDENTIAL: &str =
    "L402 AAAA:0000000000000000000000000000000000000000000000000000000000000000";

/// A session that a legacy server opened.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// What the server calls it; some servers keep none.
    pub(crate) id: Option<HeaderValue>,
    /// The revision agreed on.
    pub(crate) version: String,
}

impl Session {
    /// Reads the reply to `initialize`.
    pub(crate) fn read(id: Option<&HeaderValue>, result: &Value) -> Self {
        let version = result.get("protocolVersion").and_then(Value::as_str).unwrap_or(LEGACY);
        let id = id.cloned().map(|mut id| {
            id.set_sensitive(true);
            id
        });
        Self { id, version: version.to_owned() }
    }
}

/// The request that opens a session.
pub(crate) fn initialize() -> Request {
    let params = json!({"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": client_info()});
    Request::new("initialize", params)
}

fn client_info() -> Value {
    json!({"name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION")})
}

/// The message for a request without a session: everything it needs is in it (MCP 2026-07-28 basic/transports).
pub(crate) fn modern(id: u64, request: &Request) -> Result<Message, AgentError> {
    let mut params = object(&request.params)?;
    let meta = params.entry("_meta").or_insert_with(|| json!({}));
    let meta =
        meta.as_object_mut().ok_or_else(|| AgentError::Config("_meta must be an object".to_owned()))?;
    meta.insert("io.modelcontextprotocol/protocolVersion".to_owned(), json!(MODERN));
    meta.entry("io.modelcontextprotocol/clientCapabilities").or_insert_with(|| json!({}));
    meta.entry("io.modelcontextprotocol/clientInfo").or_insert_with(client_info);
    let mut headers =
        vec![(PROTOCOL_VERSION, HeaderValue::from_static(MODERN)), (METHOD, mirrored(&request.method)?)];
    if let Some(name) = mirrored_name(&request.method, &params) {
        headers.push((NAME, mirrored(name)?));
    }
    message(Some(id), request, params, headers)
}

/// The message for a request within `session`, or for the one that opens it.
pub(crate) fn legacy(
    id: Option<u64>,
    request: &Request,
    session: Option<&Session>,
) -> Result<Message, AgentError> {
    let mut headers = Vec::new();
    if let Some(session) = session {
        let version = HeaderValue::from_str(&session.version)
            .map_err(|_| AgentError::BadReply("the protocol version is no header value".to_owned()))?;
        headers.push((PROTOCOL_VERSION, version));
        headers.extend(session.id.clone().map(|id| (SESSION_ID, id)));
    }
    message(id, request, object(&request.params)?, headers)
}

fn message(
    id: Option<u64>,
    request: &Request,
    params: Map<String, Value>,
    mut headers: Vec<(HeaderName, HeaderValue)>,
) -> Result<Message, AgentError> {
    headers.push((ACCEPT_AUTHENTICATE, HeaderValue::from_static("L402")));
    if let Some(token) = &request.token {
        headers.push((AUTHORIZATION, secret(&format!("Bearer {}", token.reveal()))?));
    }
    headers.extend(proof_header(&request.proof, None, request.token.is_some())?);
    if request.calls > 1 {
        headers.push((CALLS, HeaderValue::from(request.calls)));
    }
    let mut body = json!({"jsonrpc": "2.0", "method": request.method, "params": params});
    if let Some(id) = id {
        body["id"] = json!(id);
    }
    Ok(Message { headers, body })
}

/// The header that shows a proof. An access token keeps `Authorization` (it is `taken`): one header cannot carry both schemes
/// everywhere. Beside it the credential of a gate like Aperture, in the form `macaroon`, has a header of its own.
pub(crate) fn proof_header(
    proof: &Proof,
    macaroon: Option<&Secret>,
    taken: bool,
) -> Result<Option<(HeaderName, HeaderValue)>, AgentError> {
    let (name, value) = match (proof, macaroon) {
        (Proof::None, _) => return Ok(None),
        (Proof::Work(solution), _) => (SOLUTION, solution.as_str()),
        (Proof::Payment(_), Some(macaroon)) if taken => (MACAROON, macaroon.reveal()),
        (Proof::Payment(credential), _) if taken => (PAYMENT, credential.reveal()),
        (Proof::Payment(credential), _) => (AUTHORIZATION, credential.reveal()),
    };
    Ok(Some((name, secret(value)?)))
}

fn object(params: &Value) -> Result<Map<String, Value>, AgentError> {
    let params = params.as_object().cloned();
    params.ok_or_else(|| AgentError::Config("the parameters must be a JSON object".to_owned()))
}

pub(crate) fn secret(text: &str) -> Result<HeaderValue, AgentError> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| AgentError::Config("a credential with characters that no header can hold".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// What `Mcp-Name` repeats.
fn mirrored_name<'a>(method: &str, params: &'a Map<String, Value>) -> Option<&'a str> {
    let member = match method {
        "tools/call" | "prompts/get" => "name",
        "resources/read" => "uri",
        _ => return None,
    };
    params.get(member)?.as_str()
}

/// A text as a header value; one that would not survive as it is goes as `=?base64?…?=`.
fn mirrored(text: &str) -> Result<HeaderValue, AgentError> {
    let plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~')) && text.trim() == text;
    let looks_encoded = text.starts_with("=?base64?") && text.ends_with("?=");
    let value = if plain && !looks_encoded {
        HeaderValue::from_str(text)
    } else {
        HeaderValue::from_str(&format!("=?base64?{}?=", STANDARD.encode(text)))
    };
    value.map_err(|_| AgentError::Config("a name that no header can hold".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Secret;

    fn header<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
        message.headers.iter().find(|(found, _)| found == name).and_then(|(_, value)| value.to_str().ok())
    }

    #[test]
    fn a_modern_request_says_everything_and_mirrors_it() {
        let message = modern(7, &Request::call("größe", &json!({"a": 1}))).unwrap();
        assert_eq!(header(&message, "mcp-method"), Some("tools/call"));
        assert_eq!(header(&message, "mcp-name"), Some("=?base64?Z3LDtsOfZQ==?="));
        assert_eq!(header(&message, "mcp-protocol-version"), Some("2026-07-28"));
        assert_eq!(message.body["id"], 7);
        assert_eq!(message.body["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
        assert_eq!(message.body["params"]["arguments"], json!({"a": 1}));
        for strange in [" a", "a\n", "=?base64?x?="] {
            assert!(mirrored(strange).unwrap().to_str().unwrap().starts_with("=?base64?"), "{strange:?}");
        }
    }

    #[test]
    fn a_payment_leaves_authorization_to_the_access_token() {
        let paid =
            Request::call("a", &json!({})).with_proof(Proof::Payment(Secret::new("L402 m:p"))).buying(9);
        let alone = modern(1, &paid).unwrap();
        assert_eq!(header(&alone, "authorization"), Some("L402 m:p"));
        assert_eq!(header(&alone, "payment-authorization"), None);
        assert_eq!(header(&alone, "octroi-calls"), Some("9"));
        let both = modern(1, &paid.with_token(Some(Secret::new("t")))).unwrap();
        assert_eq!(header(&both, "authorization"), Some("Bearer t"));
        assert_eq!(header(&both, "payment-authorization"), Some("L402 m:p"));
        assert!(
            both.headers
                .iter()
                .filter(|(name, _)| name.as_str().ends_with("authorization"))
                .all(|(_, v)| v.is_sensitive())
        );
    }

    #[test]
    fn what_no_header_can_hold_is_refused() {
        let bad = Request::call("a", &json!({})).with_token(Some(Secret::new("a\r\nb")));
        assert!(matches!(modern(1, &bad), Err(AgentError::Config(_))));
        assert!(matches!(modern(1, &Request::new("x", json!([]))), Err(AgentError::Config(_))));
    }
}

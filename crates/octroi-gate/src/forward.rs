//! What crosses the gate besides the body: an allow-list for request headers, a block-list for response headers.
//!
//! The upstream sees no credential because nothing reaches it that is not named here. Whoever embeds the gate
//! names further headers that its server needs ([`RequestHeaders::allowing`]).

use http::header::{self, HeaderMap, HeaderName};
use smallvec::SmallVec;

/// Request headers that every MCP server may need.
const ALLOWED: [HeaderName; 8] = [
    header::ACCEPT,
    header::ACCEPT_LANGUAGE,
    header::CONTENT_TYPE,
    header::USER_AGENT,
    HeaderName::from_static("last-event-id"),
    HeaderName::from_static("mcp-protocol-version"),
    HeaderName::from_static("mcp-session-id"),
    HeaderName::from_static("traceparent"),
];

/// Request headers by prefix: `Mcp-Method`, `Mcp-Name` and every `Mcp-Param-*`, known or unknown, are forwarded
/// (MCP 2026-07-28 basic/transports: intermediaries forward unknown `Mcp-Param-*`).
const ALLOWED_PREFIX: &str = "mcp-";

/// Headers that end at a hop (RFC 9110 §7.6.1), and those that speak for the upstream's own door.
const DROPPED_FROM_REPLY: [HeaderName; 11] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::CONTENT_LENGTH,
    header::SET_COOKIE,
    header::WWW_AUTHENTICATE,
    header::DATE,
];

/// Which request headers reach the upstream.
#[derive(Clone, Debug, Default)]
pub struct RequestHeaders {
    also: Vec<HeaderName>,
}

/// Headers that carry a caller's credential; no configuration lets one of them through.
const CREDENTIALS: [HeaderName; 9] = [
    header::AUTHORIZATION,
    header::COOKIE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("dpop"),
    HeaderName::from_static("grpc-metadata-macaroon"),
    HeaderName::from_static("macaroon"),
    HeaderName::from_static("payment-authorization"),
    HeaderName::from_static("x-mcp-auth-composite"),
    HeaderName::from_static("x-pow-solution"),
];

impl RequestHeaders {
    /// The usual list and `also`, of which any credential header is left out.
    pub fn allowing(also: impl IntoIterator<Item = HeaderName>) -> Self {
        Self { also: also.into_iter().filter(|name| !CREDENTIALS.contains(name)).collect() }
    }

    /// Removes everything from `headers` that is not on the list.
    pub fn keep_allowed(&self, headers: &mut HeaderMap) {
        let dropped: SmallVec<[HeaderName; 8]> =
            headers.keys().filter(|name| !self.allows(name)).cloned().collect();
        for name in dropped {
            headers.remove(name);
        }
    }

    /// Whether a header of this name already has a meaning between caller, gate and server, so that the gate cannot say
    /// something of its own in it.
    pub fn reserves(&self, name: &HeaderName) -> bool {
        let framing = [header::HOST, header::CONTENT_LENGTH, header::ACCEPT_ENCODING, header::FORWARDED];
        self.allows(name)
            || CREDENTIALS.contains(name)
            || DROPPED_FROM_REPLY.contains(name)
            || framing.contains(name)
    }

    fn allows(&self, name: &HeaderName) -> bool {
        ALLOWED.contains(name) || name.as_str().starts_with(ALLOWED_PREFIX) || self.also.contains(name)
    }
}

/// Removes from an upstream's reply what must not reach the caller.
pub(crate) fn clean_reply(headers: &mut HeaderMap) {
    for name in &DROPPED_FROM_REPLY {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn no_credential_crosses_even_when_configured() {
        let rules = RequestHeaders::allowing([header::AUTHORIZATION, HeaderName::from_static("x-tenant")]);
        let mut headers = HeaderMap::new();
        for name in CREDENTIALS.iter().cloned().chain([HeaderName::from_static("x-tenant")]) {
            headers.append(name, HeaderValue::from_static("v"));
        }
        headers.append("mcp-param-region", HeaderValue::from_static("eu"));
        headers.append("x-forwarded-for", HeaderValue::from_static("10.0.0.1"));
        rules.keep_allowed(&mut headers);
        let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["mcp-param-region", "x-tenant"]);
    }
}

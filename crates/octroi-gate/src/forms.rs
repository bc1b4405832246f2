//! In which form a refusal is said: what this caller is able to read.

use http::header::{ACCEPT, USER_AGENT};
use http::{HeaderMap, HeaderValue};
use octroi_mcp::headers;
use octroi_mcp::message::Message;

use crate::credentials::Presented;
use crate::gate::Gate;
use crate::parts::ChallengeStyle;
use crate::refusal::{Form, Forms};

impl Gate {
    /// How refusals are said to this caller; `sees_http` is off where no HTTP lies between the gate and the caller.
    pub(crate) fn forms(
        &self,
        presented: &Presented<'_>,
        headers: &HeaderMap,
        message: &Message<'_>,
        sees_http: bool,
    ) -> Forms {
        let tool_result = message.method == "tools/call";
        let payment_in_band = match self.challenge {
            ChallengeStyle::Http => false,
            ChallengeStyle::InBand => true,
            ChallengeStyle::Auto => !presented.speaks_402 && is_plain_mcp_client(headers, message),
        };
        // Only a tool's result has a place for such a refusal; of other methods every client looks at the status.
        let identity_in_band = tool_result
            && match self.identity_challenge {
                ChallengeStyle::Http => false,
                ChallengeStyle::InBand => true,
                ChallengeStyle::Auto => !sees_http || presented.token_in_meta || is_chatgpt(headers),
            };
        let form = |in_band| if in_band { Form::InBand { tool_result } } else { Form::Http };
        Forms { payment: form(payment_in_band), identity: form(identity_in_band) }
    }
}

/// Whether the caller is ChatGPT, which asks its user to sign in when a tool's result says so, not on a 401.
fn is_chatgpt(headers: &HeaderMap) -> bool {
    let agent = headers.get(USER_AGENT).map(HeaderValue::as_bytes).unwrap_or_default();
    agent.starts_with(b"openai-mcp")
}

/// Whether the caller looks like an MCP library, none of which hands a 402 to its application.
///
/// Such a library lists both media types (MCP basic/transports: a client MUST) and says which protocol it negotiated: through
/// a session, a version header, or its name in `_meta`. A caller that does none of this is somebody's HTTP client.
fn is_plain_mcp_client(headers: &HeaderMap, message: &Message<'_>) -> bool {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let both = accept.contains("application/json") && accept.contains("text/event-stream");
    let introduced = headers.contains_key(headers::SESSION_ID)
        || match &message.params.meta {
            Some(meta) if meta.protocol_version().is_some() => meta.client_info().is_some(),
            _ => headers.contains_key(headers::PROTOCOL_VERSION),
        };
    both && introduced
}

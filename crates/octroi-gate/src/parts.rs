//! What makes up a gate.

use std::sync::Arc;

use octroi_mcp::json;

use crate::credentials::Carriers;
use crate::desk::IdentityDesk;
use crate::forward::RequestHeaders;
use crate::introduction::Introduction;
use crate::on_behalf::OnBehalf;
use crate::own_tools::OwnTools;
use crate::policy::{FineRules, Policy};
use crate::till::Till;

/// How the gate tells a caller what is missing: a payment, or an access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChallengeStyle {
    /// As the caller can read it. A price: HTTP 402, except to plain MCP clients. An identity: HTTP 401 or 403, except to
    /// those that do not see HTTP.
    Auto,
    /// Always by an HTTP status.
    Http,
    /// Always a tool result with `isError: true`.
    InBand,
}

/// What lists show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ListStyle {
    /// Everything but the tools that nobody may call, to everybody: who may not call a tool yet can find out how.
    #[default]
    Open,
    /// To each caller what it may call.
    Filtered,
}

/// The bounds of one exchange.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest request body, in bytes.
    pub body_bytes_max: usize,
    /// Longest JSON reply or single stream event of the upstream, in bytes.
    pub reply_bytes_max: usize,
    /// Depth and size of the JSON in a request.
    pub json: json::Limits,
}

/// What makes up a gate.
pub struct GateParts {
    /// The name of the service: what its credentials are good for (`services=` caveat) and what the ledger books on.
    pub service: String,
    /// The owner's rules.
    pub policy: Policy,
    /// Who judges access tokens; `None` where no rule asks for one.
    pub identity: Option<IdentityDesk>,
    /// Rules beyond the policy's table; `None` where there are none.
    pub rules: Option<Arc<dyn FineRules>>,
    /// Who takes payment; `None` where nothing has a price.
    pub till: Option<Arc<Till>>,
    /// Tools that the gate answers itself.
    pub own_tools: Option<Arc<dyn OwnTools>>,
    /// How a price is told.
    pub challenge: ChallengeStyle,
    /// How it is told that an access token is missing or not good enough.
    pub identity_challenge: ChallengeStyle,
    /// What lists show.
    pub lists: ListStyle,
    /// Where credentials may stand in a request.
    pub carriers: Carriers,
    /// Which request headers reach the upstream.
    pub request_headers: RequestHeaders,
    /// What the upstream is told of callers.
    pub introduction: Introduction,
    /// Where callers' tokens are exchanged for the upstream's; `None`: the upstream gets none.
    pub on_behalf: Option<OnBehalf>,
    /// The bounds of one exchange.
    pub limits: Limits,
}

impl GateParts {
    /// A gate that judges by `policy` alone: it identifies nobody, sells nothing and tells its upstream nothing. What a
    /// program wants besides is set field by field.
    pub fn new(service: impl Into<String>, policy: Policy) -> Self {
        Self {
            service: service.into(),
            policy,
            identity: None,
            rules: None,
            till: None,
            own_tools: None,
            challenge: ChallengeStyle::Auto,
            identity_challenge: ChallengeStyle::Auto,
            lists: ListStyle::Open,
            carriers: Carriers::ALL,
            request_headers: RequestHeaders::default(),
            introduction: Introduction::default(),
            on_behalf: None,
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    /// 4 MiB for a request, 16 MiB for a reply.
    fn default() -> Self {
        Self { body_bytes_max: 4 << 20, reply_bytes_max: 16 << 20, json: json::Limits::default() }
    }
}

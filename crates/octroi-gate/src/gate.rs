//! The decision: may this call pass, and what is held for it?

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use http::HeaderMap;
use http::header::ACCEPT;
use octroi_identity::Caller;
use octroi_l402::Msat;
use octroi_mcp::era::Era;
use octroi_mcp::headers;
use octroi_mcp::json;
use octroi_mcp::message::Message;
use octroi_mcp::method::{self, Subject};

use crate::charge::Charge;
use crate::counters::Counters;
use crate::credentials::{self, Presented, Token};
use crate::desk::IdentityDesk;
use crate::forward::RequestHeaders;
use crate::limit::Limiter;
use crate::listing::Listing;
use crate::own_tools::{self, OwnTools};
use crate::policy::{Policy, Rule, SubjectKind};
use crate::price::Price;
use crate::reason::Reason;
use crate::refusal::{Form, Refusal};
use crate::till::{Sale, Till};

/// How the gate tells a caller that a call must be paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChallengeStyle {
    /// HTTP 402, except to callers that declare themselves plain MCP clients.
    Auto,
    /// Always HTTP 402.
    Http,
    /// Always a tool result with `isError: true`.
    InBand,
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
    /// Who takes payment; `None` where nothing has a price.
    pub till: Option<Arc<Till>>,
    /// Tools that the gate answers itself.
    pub own_tools: Option<Arc<dyn OwnTools>>,
    /// How a price is told.
    pub challenge: ChallengeStyle,
    /// Which request headers reach the upstream.
    pub request_headers: RequestHeaders,
    /// The bounds of one exchange.
    pub limits: Limits,
}

/// The gate in front of one MCP server.
pub struct Gate {
    pub(crate) service: String,
    pub(crate) limits: Limits,
    pub(crate) listing: Listing,
    pub(crate) request_headers: RequestHeaders,
    pub(crate) counters: Counters,
    policy: Arc<Policy>,
    identity: Option<IdentityDesk>,
    till: Option<Arc<Till>>,
    own_tools: Option<Arc<dyn OwnTools>>,
    challenge: ChallengeStyle,
    limiter: Limiter,
    hasher: RandomState,
}

/// One call to be judged.
pub struct Call<'a, 'm> {
    /// The message as scanned.
    pub message: &'a Message<'m>,
    /// The era it speaks.
    pub era: Era,
    /// The proofs that came with it.
    pub presented: &'a Presented<'a>,
    /// Where the request came from, if that is known.
    pub peer: Option<IpAddr>,
    /// The session the request names (`Mcp-Session-Id`), unjudged.
    pub session: Option<&'a [u8]>,
}

/// A call that may pass.
pub struct Admission {
    /// Who calls, where a token was shown.
    pub caller: Option<Arc<Caller>>,
    /// What is held for the call, where it has a price.
    pub charge: Option<Charge>,
    /// The place of the gate's own tool that answers the call instead of the upstream.
    pub own_tool: Option<usize>,
}

impl Gate {
    /// Builds a gate of its parts.
    pub fn new(parts: GateParts) -> Self {
        let policy = Arc::new(parts.policy);
        Self {
            listing: Listing::new(Arc::clone(&policy), parts.own_tools.clone(), parts.limits.json),
            service: parts.service,
            limits: parts.limits,
            request_headers: parts.request_headers,
            counters: Counters::default(),
            policy,
            identity: parts.identity,
            till: parts.till,
            own_tools: parts.own_tools,
            challenge: parts.challenge,
            limiter: Limiter::default(),
            hasher: RandomState::new(),
        }
    }

    /// The service's name.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// The owner's rules.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Who takes payment.
    pub fn till(&self) -> Option<&Till> {
        self.till.as_deref()
    }

    /// Who judges access tokens.
    pub fn identity(&self) -> Option<&IdentityDesk> {
        self.identity.as_ref()
    }

    /// The gate's own tools.
    pub(crate) fn own_tools(&self) -> Option<&Arc<dyn OwnTools>> {
        self.own_tools.as_ref()
    }

    /// What the gate has decided so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Judges one call: policy, identity, rate, payment, in this order.
    ///
    /// # Errors
    /// Why the call may not pass and what the caller can do about it. Nothing is held then.
    pub async fn judge(&self, call: &Call<'_, '_>) -> Result<Admission, Box<Refusal>> {
        let subject = method::subject(call.message);
        let own_tool = match subject {
            Some(Subject::Tool(name)) => own_tools::find(self.own_tools.as_ref(), name),
            _ => None,
        };
        let rule = match subject.map(named) {
            Some((kind, name)) if own_tool.is_none() => self.policy.rule(kind, name),
            _ => &Rule::FREE,
        };
        if rule.forbidden {
            let text = "the policy of this server lets nobody call this";
            return Err(Box::new(Refusal::new(Reason::ToolForbidden, text)));
        }
        let caller = self.caller(call.presented, rule).await?;
        let Some(subject) = subject else { return Ok(Admission { caller, charge: None, own_tool }) };
        let (_, name) = named(subject);
        self.limit_rate(rule, name, caller.as_deref(), call.peer)?;
        let charge = match price_of(rule, call.message)? {
            None => None,
            Some((pricing, price)) => {
                let till = self.till.as_ref().ok_or_else(|| {
                    Refusal::new(
                        Reason::NoLiquidity,
                        "this call has a price, and nothing is set up to take it",
                    )
                })?;
                let sale = Sale {
                    service: &self.service,
                    subject: name,
                    price,
                    pricing,
                    rule,
                    arguments: call.message.params.arguments,
                    owner: caller.as_ref().map(|caller| caller.principal),
                    session: call.session.map(|session| self.session_key(call.peer, session)),
                    peer: call.peer,
                    calls: call.presented.calls,
                    now: unix_seconds(),
                };
                Some(till.take(&sale, call.presented.proof.as_ref()).await?)
            }
        };
        self.counters.admitted(charge.is_some());
        Ok(Admission { caller, charge, own_tool })
    }

    /// Judges an access token and the scopes it needs.
    pub(crate) async fn identify(
        &self,
        token: &Token<'_>,
        scopes: &[String],
    ) -> Result<Option<Arc<Caller>>, Box<Refusal>> {
        // Without an identity desk nobody here can judge a token; it is taken off and ignored.
        let Some(desk) = &self.identity else { return Ok(None) };
        desk.judge(token, scopes, unix_seconds()).await.map(Some)
    }

    /// Who sends a request that is no MCP message (the free door's addresses), where a token was shown.
    ///
    /// # Errors
    /// The token is no good, or the headers contradict each other.
    pub async fn caller_of(&self, headers: &HeaderMap) -> Result<Option<Arc<Caller>>, Box<Refusal>> {
        let presented = credentials::read_headers(headers)
            .map_err(|error| Box::new(Refusal::new(Reason::MalformedRequest, error.to_string())))?;
        match &presented.token {
            Some(token) => self.identify(token, &[]).await,
            None => Ok(None),
        }
    }

    async fn caller(
        &self,
        presented: &Presented<'_>,
        rule: &Rule,
    ) -> Result<Option<Arc<Caller>>, Box<Refusal>> {
        let caller = match &presented.token {
            Some(token) => self.identify(token, &rule.scopes).await?,
            None => None,
        };
        let needs_nobody = !rule.requires_identity && rule.scopes.is_empty();
        if caller.is_some() || needs_nobody {
            return Ok(caller);
        }
        let refusal = Refusal::new(Reason::MissingToken, "this call needs an access token");
        Err(Box::new(match &self.identity {
            Some(desk) => refusal.challenging(&desk.missing_token(&rule.scopes)),
            None => refusal,
        }))
    }

    /// Judged after identity, so that nobody can use up another one's allowance.
    fn limit_rate(
        &self,
        rule: &Rule,
        name: &str,
        caller: Option<&Caller>,
        peer: Option<IpAddr>,
    ) -> Result<(), Box<Refusal>> {
        let Some(rate) = rule.rate else { return Ok(()) };
        let who = match caller {
            Some(caller) => self.hasher.hash_one((name, caller.principal)),
            None => self.hasher.hash_one((name, peer.map(network_of))),
        };
        self.limiter.take(who, rate, unix_millis()).map_err(|seconds| {
            let text = format!("the allowance of {} calls is used up; try again in {seconds} s", rate.count);
            Box::new(Refusal::new(Reason::RateLimited, text).retry_after(seconds))
        })
    }

    /// A caller's address and session as one number. Keyed, so that nobody can make two of them meet.
    fn session_key(&self, peer: Option<IpAddr>, session: &[u8]) -> u128 {
        let half = |number: u8| u128::from(self.hasher.hash_one((number, peer, session)));
        half(0) << 64 | half(1)
    }

    /// How a refusal about money is said to this caller.
    pub(crate) fn form(&self, presented: &Presented<'_>, headers: &HeaderMap, message: &Message<'_>) -> Form {
        let in_band = match self.challenge {
            ChallengeStyle::Http => false,
            ChallengeStyle::InBand => true,
            ChallengeStyle::Auto => !presented.speaks_402 && is_plain_mcp_client(headers, message),
        };
        if in_band { Form::InBand { tool_result: message.method == "tools/call" } } else { Form::Http }
    }
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

/// The part of an address that one household has: all of IPv4, the first 64 bits of IPv6.
fn network_of(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let prefix = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(prefix))
        }
    }
}

/// What this very call costs; `None`: nothing.
fn price_of<'r>(rule: &'r Rule, message: &Message<'_>) -> Result<Option<(&'r Price, Msat)>, Box<Refusal>> {
    let Some(pricing) = &rule.price else { return Ok(None) };
    let price = pricing.for_call(message.params.arguments).map_err(|why| {
        let text = format!("no price follows from the arguments of this call: {why}");
        Refusal::new(Reason::InvalidArguments, text)
    })?;
    Ok((price > Msat::ZERO).then_some((pricing, price)))
}

fn named(subject: Subject<'_>) -> (SubjectKind, &str) {
    match subject {
        Subject::Tool(name) => (SubjectKind::Tool, name),
        Subject::Resource(uri) => (SubjectKind::Resource, uri),
        Subject::Prompt(name) => (SubjectKind::Prompt, name),
    }
}

fn unix_seconds() -> u64 {
    unix_millis() / 1000
}

fn unix_millis() -> u64 {
    // A clock before 1970 makes every credential look not yet expired but every token not yet valid: closed enough.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_millis() as u64)
}

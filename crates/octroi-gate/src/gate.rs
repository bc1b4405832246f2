//! The decision: may this call pass, and what is held for it?

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Method};
use octroi_identity::Caller;
use octroi_l402::Msat;
use octroi_ledger::Answer;
use octroi_mcp::era::Era;
use octroi_mcp::message::Message;
use octroi_mcp::method::{self, Subject};

use crate::access::{Asking, Who};
use crate::charge::Charge;
use crate::clock::{unix_millis, unix_seconds};
use crate::counters::Counters;
use crate::credentials::{self, Carriers, Presented, TokenScheme};
use crate::desk::IdentityDesk;
use crate::forward::RequestHeaders;
use crate::introduction::Introduction;
use crate::limit::Limiter;
use crate::on_behalf::OnBehalf;
use crate::own_tools::{self, OwnTools};
use crate::parts::{ChallengeStyle, GateParts, Limits, ListStyle};
use crate::policy::{FineRules, OPEN, Policy, Rule, SubjectKind};
use crate::price::Price;
use crate::reason::Reason;
use crate::refusal::Refusal;
use crate::sessions::{Session, Sessions};
use crate::till::{BearerToken, Sale, Tender, Till, Vouch};

/// The gate in front of one MCP server.
pub struct Gate {
    pub(crate) service: String,
    pub(crate) limits: Limits,
    pub(crate) lists: ListStyle,
    pub(crate) rules: Option<Arc<dyn FineRules>>,
    pub(crate) sessions: Sessions,
    pub(crate) introduction: Introduction,
    pub(crate) on_behalf: Option<OnBehalf>,
    pub(crate) carriers: Carriers,
    pub(crate) counters: Counters,
    request_headers: RequestHeaders,
    policy: Policy,
    identity: Option<IdentityDesk>,
    till: Option<Arc<Till>>,
    own_tools: Option<Arc<dyn OwnTools>>,
    pub(crate) challenge: ChallengeStyle,
    pub(crate) identity_challenge: ChallengeStyle,
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
    /// The HTTP method of the request, which a proof of possession names.
    pub method: &'a Method,
}

/// A call that may pass.
pub struct Admission {
    /// Who calls, where a token was shown.
    pub caller: Option<Arc<Caller>>,
    /// The access token that the caller's credential stands for, where it showed none itself.
    pub(crate) vouch: Option<Arc<Vouch>>,
    /// What is held for the call, where it has a price.
    pub charge: Option<Charge>,
    /// The place of the gate's own tool that answers the call instead of the upstream.
    pub own_tool: Option<usize>,
    /// The session the call goes on in, and whose it is.
    pub(crate) session: Session,
    /// The answer that the very same call was given before, which is given again instead.
    pub answer: Option<Answer>,
}

impl Gate {
    /// Builds a gate of its parts.
    pub fn new(parts: GateParts) -> Self {
        Self {
            lists: parts.lists,
            rules: parts.rules,
            sessions: Sessions::default(),
            service: parts.service,
            limits: parts.limits,
            request_headers: parts.request_headers,
            introduction: parts.introduction,
            on_behalf: parts.on_behalf,
            carriers: parts.carriers,
            counters: Counters::default(),
            policy: parts.policy,
            identity: parts.identity,
            till: parts.till,
            own_tools: parts.own_tools,
            challenge: parts.challenge,
            identity_challenge: parts.identity_challenge,
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

    /// Forgets every token that was had in exchange for a caller's.
    pub fn forget_exchanged(&self) {
        if let Some(on_behalf) = &self.on_behalf {
            on_behalf.exchange.forget_all();
        }
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
            _ => &OPEN,
        };
        let now = unix_seconds();
        let tender = Tender::new(call.presented.proof.as_ref());
        let asking = Asking {
            presented: call.presented,
            tender: &tender,
            method: call.method,
            rule,
            subject: subject.map(named).filter(|_| own_tool.is_none()),
            arguments: call.message.params.arguments,
            peer: call.peer,
            now,
        };
        let who = self.admit(&asking).await?;
        let bearer = self.bearer(call.presented, rule, &who);
        let Who { caller, vouch } = who;
        let session = self.session(call.session, call.era, caller.as_deref())?;
        let Some(subject) = subject else {
            return Ok(Admission { caller, vouch, charge: None, own_tool, session, answer: None });
        };
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
                    vouched_for: vouch.is_some(),
                    bearer,
                    customer: caller.as_ref().and_then(|caller| till.customer(caller)),
                    session: call.session.map(|session| self.session_key(call.peer, session)),
                    peer: call.peer,
                    calls: call.presented.calls,
                    retry: call.presented.retry.as_deref(),
                    now,
                };
                match till.take(&sale, &tender).await? {
                    Ok(charge) => Some(charge),
                    Err(answer) => {
                        return Ok(Admission {
                            caller,
                            vouch,
                            charge: None,
                            own_tool,
                            session,
                            answer: Some(answer),
                        });
                    }
                }
            }
        };
        self.counters.admitted(charge.is_some());
        Ok(Admission { caller, vouch, charge, own_tool, session, answer: None })
    }

    /// Who sends a request that is no MCP message (the free door's addresses), where a token was shown.
    ///
    /// # Errors
    /// The token is no good, or the headers contradict each other.
    pub async fn caller_of(
        &self,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<Option<Arc<Caller>>, Box<Refusal>> {
        let presented = credentials::read_headers(headers, self.carriers)
            .map_err(|error| Box::new(Refusal::new(Reason::MalformedRequest, error.to_string())))?;
        let now = unix_seconds();
        let (presented, rule, tender) = (&presented, &OPEN, &Tender::new(None));
        let asking =
            Asking { presented, tender, method, rule, subject: None, arguments: None, peer: None, now };
        Ok(self.admit(&asking).await?.caller)
    }

    /// The access token that a credential for this call may stand for, and when it ends. One that is bound to its sender's key
    /// is not among them: a credential would take that key's place. Nor is one that a credential stands for already: it
    /// would never end.
    fn bearer<'p>(&self, presented: &'p Presented<'_>, rule: &Rule, who: &Who) -> Option<BearerToken<'p>> {
        let (token, caller) = (presented.token.as_ref()?, who.caller.as_ref()?);
        let plain = token.scheme == TokenScheme::Bearer && !caller.is_sender_constrained();
        (plain && who.vouch.is_none() && self.may_vouch(rule))
            .then(|| BearerToken { text: &token.text, expires_at: caller.expires_at })
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

    /// The headers of the request to the upstream: what may pass, who calls, and a token for the upstream.
    ///
    /// # Errors
    /// Who calls cannot be told.
    pub(crate) fn address(
        &self,
        caller: Option<&Arc<Caller>>,
        authorization: Option<HeaderValue>,
        headers: &mut HeaderMap,
        now: u64,
    ) -> Result<(), Box<Refusal>> {
        self.request_headers.keep_allowed(headers);
        self.introduction.add_headers(caller, headers, now)?;
        if let Some(authorization) = authorization {
            headers.insert(AUTHORIZATION, authorization);
        }
        Ok(())
    }
}

/// The part of an address that one household has: all of IPv4, the first 64 bits of IPv6.
pub(crate) fn network_of(peer: IpAddr) -> IpAddr {
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

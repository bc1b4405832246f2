//! The free door: puzzles out, credentials in, the same for the gate's tools and its HTTP endpoints.

mod http;
mod page;
mod status;

use std::net::IpAddr;

use octroi_gate::policy::Policy;
use octroi_gate::{Reason, Refusal, Till, WorkAsk, WorkDesk, challenge_json};
use octroi_identity::Caller;
use octroi_mcp::digest::arguments_digest;
use octroi_mcp::json as raw;
use octroi_pow::Submission;
use serde_json::{Value, json};

use crate::clock::unix_seconds;

pub(crate) use http::{Step, check_token, keys, work};
pub(crate) use page::{Asset, page_at};
pub(crate) use status::status;

/// Longest name of a tool that a puzzle is bound to, in bytes: its token has to fit into a header.
const TOOL_BYTES_MAX: usize = 256;

/// Whose free door it is.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) service: &'a str,
    pub(crate) policy: &'a Policy,
    pub(crate) till: Option<&'a Till>,
}

/// Who comes.
#[derive(Clone, Copy)]
pub(crate) struct Visit<'a> {
    pub(crate) caller: Option<&'a Caller>,
    pub(crate) peer: Option<IpAddr>,
}

/// A fresh puzzle. `wish` is empty, or a JSON object that says what it is to be bound to: `tool` (a name), `arguments` (an
/// object) or `arguments_sha256` (hexadecimal), `principal` (`true`: the caller).
///
/// # Errors
/// There is no free door, the wish cannot be granted, or the operating system gives no randomness.
pub(crate) fn challenge(place: &Place<'_>, wish: &[u8], visit: Visit<'_>) -> Result<Value, Box<Refusal>> {
    let work = place.till.and_then(Till::work).ok_or_else(shut)?;
    let wish = Wish::read(wish)?;
    let ask = wish.bound(place, work, visit)?;
    match work.challenge(place.service, &ask, unix_seconds()) {
        Ok(challenge) => Ok(challenge_json(&challenge)),
        Err(error) => {
            tracing::error!(%error, "the operating system gives no randomness");
            Err(Box::new(Refusal::new(Reason::LedgerUnavailable, "no puzzle can be made right now")))
        }
    }
}

/// Takes a solution (the puzzle's fields and `nonce`, as JSON) and gives the credential it buys.
///
/// # Errors
/// [`Reason::InvalidSolution`], or it cannot be booked.
pub(crate) async fn verify(place: &Place<'_>, body: &[u8], visit: Visit<'_>) -> Result<Value, Box<Refusal>> {
    let till = place.till.filter(|till| till.work().is_some()).ok_or_else(shut)?;
    let submission: Submission = serde_json::from_slice(body)
        .map_err(|error| Box::new(Refusal::new(Reason::InvalidSolution, error.to_string())))?;
    let principal = visit.caller.map(|caller| caller.principal);
    let ask = WorkAsk { principal, peer: visit.peer, ..WorkAsk::default() };
    let grant = till.exchange_work(place.service, &submission, &ask, unix_seconds()).await?;
    Ok(json!({
        "macaroon": grant.macaroon,
        "token": grant.token,
        "access_token": grant.access_token,
        "token_type": "Bearer",
        "ttl": grant.ttl_seconds,
        "calls": grant.calls,
        "tool": grant.tool,
    }))
}

/// What a caller wants its puzzle bound to.
#[derive(Default)]
struct Wish {
    tool: Option<String>,
    principal: bool,
    arguments_digest: Option<[u8; 32]>,
}

impl Wish {
    fn read(body: &[u8]) -> Result<Self, Box<Refusal>> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::default());
        }
        let object =
            raw::validate(body, &raw::Limits::default()).is_ok() && body.trim_ascii().first() == Some(&b'{');
        if !object {
            return Err(malformed("the body is no JSON object"));
        }
        let present = |key| raw::get(body, key).filter(|value| *value != b"null");
        let text = |key: &'static str| match present(key) {
            Some(value) => {
                raw::string(value).map(Some).ok_or_else(|| malformed(&format!("`{key}` is no text")))
            }
            None => Ok(None),
        };
        let principal = match present("principal") {
            None | Some(b"false") => false,
            Some(b"true") => true,
            Some(_) => return Err(malformed("`principal` is neither true nor false")),
        };
        let digest = match text("arguments_sha256")? {
            Some(digest) => {
                let mut bytes = [0; 32];
                hex::decode_to_slice(digest.as_bytes(), &mut bytes)
                    .map_err(|_| malformed("`arguments_sha256` is not 64 hexadecimal digits"))?;
                Some(bytes)
            }
            None => present("arguments").map(|arguments| arguments_digest(Some(arguments))),
        };
        let tool = text("tool")?.map(|tool| tool.into_owned());
        if tool.as_ref().is_some_and(|tool| tool.len() > TOOL_BYTES_MAX) {
            return Err(malformed("the tool's name is too long"));
        }
        Ok(Self { tool, principal, arguments_digest: digest })
    }

    /// With what the operator binds in any case.
    fn bound<'a>(
        &'a self,
        place: &Place<'_>,
        work: &WorkDesk,
        visit: Visit<'_>,
    ) -> Result<WorkAsk<'a>, Box<Refusal>> {
        let bind = work.settings().bind;
        let missing = |what: &str| Err(malformed(&format!("a puzzle is bound here: say {what}")));
        if bind.tool && self.tool.is_none() {
            return missing("for which `tool`");
        }
        if bind.arguments && self.arguments_digest.is_none() {
            return missing("for which `arguments`");
        }
        if self.principal && visit.caller.is_none() {
            return Err(malformed("`principal` asks for an access token on this request"));
        }
        if let Some(tool) = &self.tool {
            takes_work(place.policy, tool)?;
        }
        let principal =
            visit.caller.filter(|_| self.principal || bind.principal).map(|caller| caller.principal);
        let arguments_digest = self.arguments_digest;
        Ok(WorkAsk { tool: self.tool.as_deref(), principal, arguments_digest, peer: visit.peer })
    }
}

/// A gate that stands alone has no rules for tools: what names mean is the business of those who take its tokens.
fn takes_work(policy: &Policy, tool: &str) -> Result<(), Box<Refusal>> {
    let alone = policy.work_tools().next().is_none();
    let rule = policy.tools.rule(tool);
    if alone || (rule.work_accepted && rule.price.is_some()) {
        return Ok(());
    }
    Err(Box::new(Refusal::new(Reason::InvalidSolution, "this tool does not take work")))
}

fn malformed(text: &str) -> Box<Refusal> {
    Box::new(Refusal::new(Reason::MalformedRequest, text))
}

fn shut() -> Box<Refusal> {
    Box::new(Refusal::new(Reason::InvalidSolution, "this server does not take work"))
}

//! The vocabulary of caveats and how it is read.
//!
//! | caveat | says | repeated |
//! |---|---|---|
//! | `services=<name>:<tier>[,…]` | the services the token is good at (L402 `macaroons.md`) | all must name the service |
//! | `<service>_capabilities=a,b` | the tools it may be used for | only those in every list |
//! | `<service>_valid_until=<unix s>` | good before that second | the earliest; one that a holder brought forward is not renewed |
//! | `<service>_calls=<n>` | the most calls it may make | the fewest |
//! | `<service>_max_msat=<n>` | the most that one call may cost | the least |
//! | `<service>_arguments_sha256=<hex>` | only a call with these arguments | must agree |
//! | `<service>_principal=<hex>` | only for this principal | must agree |
//! | `<service>_budget_msat=<n>:<label>` | the most it may spend of its account, counted under the label | the least |
//! | `<service>_budget_calls=<n>:<label>` | the most calls it may make, counted under the label | the least |
//! | `<service>_price_msat=<n>` | the price the issuer promised for one call | the highest |
//! | `<service>_price_for=<hex>` | the promise is for a call with these arguments only | as the issuer wrote it |
//! | `preimage=<hex>` | added by some clients: the preimage itself | must agree |
//!
//! Unknown caveats are skipped, as L402 asks; a known one with a malformed value makes the whole token malformed.
//!
//! **What the issuer said and what a holder added.** Any holder can append caveats, so a caveat may only ever take
//! away. A promised price and a principal that the token *stands for* give something, so they count as such only where
//! they come before the first `services` caveat: every token is minted with one, and nobody can insert before it.
//! Behind it, `_principal` still restricts and `_price_msat` can only raise a promise that was made.

mod budget;

use crate::{Msat, hex32};

pub use budget::{Budget, Counted, MAX_BUDGETS};

/// The condition that carries a client's preimage inside the macaroon.
pub const PREIMAGE: &str = "preimage";

const SERVICES: &[u8] = b"services";
const CAPABILITIES: &str = "capabilities";
const VALID_UNTIL: &str = "valid_until";
const CALLS: &str = "calls";
const MAX_MSAT: &str = "max_msat";
const ARGUMENTS: &str = "arguments_sha256";
const PRINCIPAL: &str = "principal";
const PRICE: &str = "price_msat";
const PRICE_FOR: &str = "price_for";
/// The tier new tokens carry. Tiers are read strictly but grant nothing.
const TIER: u8 = 0;

/// Why caveats cannot be read for a service, or terms cannot be written as caveats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TermsError {
    /// The token is not for this service (or names none). The holder's fault.
    #[error("the token is not for this service")]
    WrongService,
    /// The value of a caveat with a known meaning cannot be read. The fault of whoever added it.
    #[error("a caveat's value cannot be read")]
    Malformed,
    /// A name is empty or holds a control character or one that separates names (a comma; in a service's name also `:`
    /// or `=`), or a budget is out of its bounds, so that no caveat can say it. The issuer's fault.
    #[error("a name or a budget cannot be written in a caveat")]
    Unwritable,
    /// The terms contradict themselves or leave no tool, so there is nothing to mint. The holder's fault.
    #[error("the terms permit nothing")]
    Contradictory,
}

/// What a token may be used for at one service.
///
/// To mint, start from [`Terms::new`], set the fields, and hand [`Terms::to_caveats`] to
/// [`Macaroon::mint`](crate::Macaroon::mint).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The service.
    pub service: String,
    /// The tools it may be used for; `None`: any.
    pub tools: Option<Vec<String>>,
    /// Good while `now < valid_until` (unix seconds); `None`: always.
    pub valid_until: Option<u64>,
    /// Whether a holder brought the end forward: then it is meant, and no later one is to be had for this token.
    pub ends_for_good: bool,
    /// What the issuer promised one call costs; `None`: the price of the day.
    pub price: Option<Msat>,
    /// SHA-256 of the only arguments the promise is for; `None`: whatever they are. Written only beside a price.
    pub price_for: Option<[u8; 32]>,
    /// The most one call may cost; `None`: any price. A holder sets it before lending the token.
    pub max_price: Option<Msat>,
    /// SHA-256 of the only arguments it may be used with; `None`: any.
    pub arguments_digest: Option<[u8; 32]>,
    /// The only principal it may be used for; `None`: any bearer.
    pub principal: Option<[u8; 32]>,
    /// The most calls it may make; `None`: as many as its account pays for. The ledger counts.
    pub calls: Option<u32>,
    /// What it may spend of its account, at most [`MAX_BUDGETS`]. The ledger counts.
    pub budgets: Vec<Budget>,
    /// The principal the *issuer* bound the token to, if it did; see [`Terms::vouch_for`].
    ///
    /// A caller who sends no identity but a token with this may be taken for that principal within the token's
    /// terms, which is how a client whose only `Authorization` header went to the payment is served. A principal that
    /// a holder appended is never given here: it would let anyone speak for anyone.
    pub vouched_principal: Option<[u8; 32]>,
    /// Set where caveats contradict each other (two principals, two digests): then nothing is permitted.
    pub contradiction: Option<NotPermitted>,
}

/// Why a good token is not good for a call. The holder's fault: it needs another token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotPermitted {
    /// The token is for other tools.
    #[error("the token is for another tool")]
    WrongTool,
    /// The token is for a call with other arguments.
    #[error("the token is for other arguments")]
    WrongArguments,
    /// The token is for another principal, or for one where the call has none.
    #[error("the token is for another principal")]
    WrongPrincipal,
}

impl Terms {
    /// Terms without any limit beyond the service.
    #[must_use]
    pub fn new(service: impl Into<String>) -> Self {
        Self {
            service: service.into(),
            tools: None,
            valid_until: None,
            ends_for_good: false,
            price: None,
            price_for: None,
            max_price: None,
            arguments_digest: None,
            principal: None,
            calls: None,
            budgets: Vec::new(),
            vouched_principal: None,
            contradiction: None,
        }
    }

    /// Binds a token that is about to be minted to `principal`, and lets it stand for them.
    #[must_use]
    pub const fn vouch_for(mut self, principal: [u8; 32]) -> Self {
        self.principal = Some(principal);
        self.vouched_principal = Some(principal);
        self
    }

    /// The same terms until another end, for a token that is minted anew for the same account. It stands for nobody any
    /// more: whoever renews it shows who he is, and the token is bound to the same principal as before.
    #[must_use]
    pub const fn renewed(mut self, valid_until: u64) -> Self {
        self.valid_until = Some(valid_until);
        self.vouched_principal = None;
        self
    }

    /// When the token ended, where it has ended at `now` (unix seconds).
    #[must_use]
    pub fn ended_at(&self, now: u64) -> Option<u64> {
        self.valid_until.filter(|at| now >= *at)
    }

    /// Whether a call of `tool` with these arguments for this principal is within the terms. Expiry, price and count
    /// are not judged here.
    ///
    /// `arguments_digest` is called only where the token is bound to arguments.
    ///
    /// # Errors
    /// [`NotPermitted`] names the first limit the call is outside of.
    pub fn permit(
        &self,
        tool: &str,
        arguments_digest: impl FnOnce() -> [u8; 32],
        principal: Option<&[u8; 32]>,
    ) -> Result<(), NotPermitted> {
        if let Some(contradiction) = self.contradiction {
            return Err(contradiction);
        }
        if self.tools.as_ref().is_some_and(|tools| !tools.iter().any(|allowed| allowed == tool)) {
            return Err(NotPermitted::WrongTool);
        }
        if self.principal.as_ref().is_some_and(|bound| Some(bound) != principal) {
            return Err(NotPermitted::WrongPrincipal);
        }
        if self.arguments_digest.is_some_and(|bound| bound != arguments_digest()) {
            return Err(NotPermitted::WrongArguments);
        }
        Ok(())
    }

    /// The price the issuer promised for a call with these arguments; `None`: the price of the day. A promise counts only for
    /// the tools it was made for, so a token that is good for any tool promises nothing.
    ///
    /// `arguments_digest` is called only where the promise is bound to arguments.
    pub fn promised(&self, arguments_digest: impl FnOnce() -> [u8; 32]) -> Option<Msat> {
        self.tools.as_ref()?;
        self.price.filter(|_| self.price_for.is_none_or(|bound| bound == arguments_digest()))
    }

    /// The caveats that say these terms, in the order in which they must be minted.
    ///
    /// # Errors
    /// [`TermsError::Unwritable`] where the service's or a tool's name or a budget cannot stand in a caveat,
    /// [`TermsError::Contradictory`] where [`Terms::contradiction`] is set or `tools` is empty.
    pub fn to_caveats(&self) -> Result<Vec<String>, TermsError> {
        let service = &self.service;
        let tools = self.tools.as_deref().unwrap_or_default();
        if self.contradiction.is_some() || self.tools.as_ref().is_some_and(Vec::is_empty) {
            return Err(TermsError::Contradictory);
        }
        let names =
            is_writable(service, &[',', ':', '=']) && tools.iter().all(|tool| is_writable(tool, &[',']));
        if !names || self.budgets.len() > MAX_BUDGETS || !self.budgets.iter().all(Budget::is_writable) {
            return Err(TermsError::Unwritable);
        }
        let own = |condition: &str, value: String| format!("{service}_{condition}={value}");
        let principal = |principal: [u8; 32]| own(PRINCIPAL, hex::encode(principal));
        // Price and principal come before `services`: only there are they the issuer's word. A principal that a holder
        // added stays behind it, so that renewing a token does not turn it into one that speaks for somebody.
        let appended = self.principal.filter(|_| self.principal != self.vouched_principal);
        let mut caveats = Vec::new();
        caveats.extend(self.price.map(|price| own(PRICE, price.as_i64().to_string())));
        let promised_for = self.price_for.filter(|_| self.price.is_some());
        caveats.extend(promised_for.map(|digest| own(PRICE_FOR, hex::encode(digest))));
        caveats.extend(self.vouched_principal.map(principal));
        caveats.push(format!("services={service}:{TIER}"));
        caveats.extend(self.tools.as_ref().map(|tools| own(CAPABILITIES, tools.join(","))));
        caveats.extend(self.valid_until.map(|at| own(VALID_UNTIL, at.to_string())));
        caveats.extend(self.calls.map(|calls| own(CALLS, calls.to_string())));
        caveats.extend(self.max_price.map(|most| own(MAX_MSAT, most.as_i64().to_string())));
        caveats.extend(self.budgets.iter().map(|budget| own(budget.counted.condition(), budget.value())));
        caveats.extend(self.arguments_digest.map(|digest| own(ARGUMENTS, hex::encode(digest))));
        caveats.extend(appended.map(principal));
        Ok(caveats)
    }

    /// Reads what `caveats` allow at `service`.
    ///
    /// # Errors
    /// [`TermsError::WrongService`] where they are not for it, [`TermsError::Malformed`] where a known one cannot be
    /// read.
    pub fn read<'c>(service: &str, caveats: impl IntoIterator<Item = &'c [u8]>) -> Result<Self, TermsError> {
        let mut terms = Self::new(service);
        let mut issuer_speaks = true;
        for caveat in caveats {
            let Some((condition, value)) = split(caveat) else { continue };
            if condition == SERVICES {
                issuer_speaks = false;
                if !names_service(value, service)? {
                    return Err(TermsError::WrongService);
                }
            } else if let Some(own) = own_condition(condition, service) {
                terms.restrict(own, value, issuer_speaks)?;
            }
        }
        if issuer_speaks {
            return Err(TermsError::WrongService);
        }
        Ok(terms)
    }

    fn restrict(&mut self, condition: &[u8], value: &[u8], issuer_speaks: bool) -> Result<(), TermsError> {
        let known = |name: &str| condition == name.as_bytes();
        if known(CAPABILITIES) {
            return self.restrict_tools(value);
        } else if known(VALID_UNTIL) {
            let until = number(value)?;
            // The issuer writes one, and nobody can put another in front of it.
            self.ends_for_good |= self.valid_until.is_some_and(|held| until < held);
            least(&mut self.valid_until, until);
        } else if known(CALLS) {
            least(&mut self.calls, number(value)?);
        } else if known(MAX_MSAT) {
            least(&mut self.max_price, Msat::new(number(value)?));
        } else if known(PRICE) {
            let price = Msat::new(number(value)?);
            if issuer_speaks || self.price.is_some() {
                self.price = self.price.max(Some(price));
            }
        } else if known(PRICE_FOR) {
            let promised_for = digest(value)?;
            if issuer_speaks {
                self.price_for = Some(promised_for);
            }
        } else if known(Counted::Msat.condition()) {
            return budget::add(&mut self.budgets, Counted::Msat, value);
        } else if known(Counted::Calls.condition()) {
            return budget::add(&mut self.budgets, Counted::Calls, value);
        } else if known(ARGUMENTS) {
            if !agree(&mut self.arguments_digest, digest(value)?) {
                self.contradiction = Some(NotPermitted::WrongArguments);
            }
        } else if known(PRINCIPAL) {
            if !agree(&mut self.principal, digest(value)?) {
                self.contradiction = Some(NotPermitted::WrongPrincipal);
            }
            if issuer_speaks {
                self.vouched_principal = self.principal;
            }
        }
        Ok(())
    }

    fn restrict_tools(&mut self, value: &[u8]) -> Result<(), TermsError> {
        let list = str::from_utf8(value).map_err(|_| TermsError::Malformed)?;
        if list.split(',').any(str::is_empty) {
            return Err(TermsError::Malformed);
        }
        match &mut self.tools {
            Some(tools) => tools.retain(|tool| list.split(',').any(|named| named == tool)),
            None => self.tools = Some(list.split(',').map(str::to_owned).collect()),
        }
        Ok(())
    }
}

/// The preimages a client wrote into the macaroon, as text that has not been read yet.
pub(crate) fn preimages<'c>(caveats: impl Iterator<Item = &'c [u8]>) -> impl Iterator<Item = &'c [u8]> {
    caveats.filter_map(|caveat| {
        split(caveat).filter(|(condition, _)| *condition == PREIMAGE.as_bytes()).map(|(_, value)| value)
    })
}

fn split(caveat: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = caveat.iter().position(|byte| *byte == b'=')?;
    Some((&caveat[..at], &caveat[at + 1..]))
}

fn own_condition<'c>(condition: &'c [u8], service: &str) -> Option<&'c [u8]> {
    condition.strip_prefix(service.as_bytes())?.strip_prefix(b"_")
}

/// Whether a `services` value names `service`; every entry is read, so that a malformed one is not missed.
fn names_service(value: &[u8], service: &str) -> Result<bool, TermsError> {
    let mut named = false;
    for entry in value.split(|byte| *byte == b',') {
        let at = entry.iter().position(|byte| *byte == b':').ok_or(TermsError::Malformed)?;
        let (name, tier) = (&entry[..at], &entry[at + 1..]);
        number::<u8>(tier)?;
        if name.is_empty() {
            return Err(TermsError::Malformed);
        }
        named |= name == service.as_bytes();
    }
    Ok(named)
}

/// A decimal number in its one spelling: digits only, no sign, no leading zero.
fn number<N: std::str::FromStr>(value: &[u8]) -> Result<N, TermsError> {
    let plain = match value {
        [b'0'] => true,
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    let text = str::from_utf8(value).ok().filter(|_| plain).ok_or(TermsError::Malformed)?;
    text.parse().map_err(|_| TermsError::Malformed)
}

fn digest(value: &[u8]) -> Result<[u8; 32], TermsError> {
    hex32::read_32(value).ok_or(TermsError::Malformed)
}

fn least<N: Ord + Copy>(limit: &mut Option<N>, new: N) {
    *limit = Some(limit.map_or(new, |held| held.min(new)));
}

/// Notes `new` where nothing was noted; whether it agrees with what was.
fn agree(held: &mut Option<[u8; 32]>, new: [u8; 32]) -> bool {
    *held.get_or_insert(new) == new
}

fn is_writable(name: &str, separators: &[char]) -> bool {
    !name.is_empty() && !name.chars().any(|c| separators.contains(&c) || c.is_control())
}

#[cfg(test)]
mod tests;

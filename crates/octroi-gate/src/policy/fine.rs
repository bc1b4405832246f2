//! Rules that a table cannot say: whether this caller may do this, with these arguments, now.

use std::net::IpAddr;

use octroi_identity::Caller;
use octroi_l402::Msat;

use super::SubjectKind;

/// One call, as far as rules may look at it.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// What is called.
    pub kind: SubjectKind,
    /// The tool's or prompt's name, or the resource's URI.
    pub name: &'a str,
    /// Who calls; `None` where no token was shown.
    pub caller: Option<&'a Caller>,
    /// The raw arguments, validated.
    pub arguments: Option<&'a [u8]>,
    /// What the call costs.
    pub price: Option<Msat>,
    /// Where the request came from, if that is known.
    pub peer: Option<IpAddr>,
    /// Unix seconds.
    pub now: u64,
}

/// The answer to a [`Question`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// The call may pass on to rate and payment.
    Permitted,
    /// It may not, with what the rules' author has to say about it to the caller.
    Denied(Option<String>),
    /// The rules cannot be applied to these arguments: the caller's fault. The call does not pass.
    Unjudgeable(String),
}

/// A policy engine behind the table of rules: both must allow a call. It is asked after identity, scopes and roles, and
/// before rate and payment, and only where one is configured.
///
/// It fails closed: what it cannot evaluate is [`Judgement::Denied`].
pub trait FineRules: Send + Sync {
    /// Judges a call.
    fn judge(&self, question: &Question<'_>) -> Judgement;

    /// Whether the caller might be permitted the call with some arguments; those of the question are not looked at. Decides
    /// what a filtered list shows.
    fn might_permit(&self, question: &Question<'_>) -> bool;
}

//! One call to be paid for: what it is, who makes it, and what its rule says of selling.

use std::net::IpAddr;

use octroi_l402::Msat;
use octroi_mcp::digest::arguments_digest;

use super::patience::Failing;
use super::vouch::BearerToken;
use crate::policy::Rule;
use crate::price::Price;

/// One call to be paid for.
#[derive(Clone, Copy)]
pub(crate) struct Sale<'a> {
    pub(crate) service: &'a str,
    /// The tool's name, the resource's URI or the prompt's name.
    pub(crate) subject: &'a str,
    /// What is held for it today.
    pub(crate) price: Msat,
    /// What that follows from.
    pub(crate) pricing: &'a Price,
    pub(crate) rule: &'a Rule,
    /// The raw arguments.
    pub(crate) arguments: Option<&'a [u8]>,
    /// The caller's principal, if it has shown an access token.
    pub(crate) owner: Option<[u8; 32]>,
    /// Whether the caller is known only by a credential that stands for its access token.
    pub(crate) vouched_for: bool,
    /// The access token that a credential for this call may stand for.
    pub(crate) bearer: Option<BearerToken<'a>>,
    /// What another ledger knows the caller by, if it is told of its charges.
    pub(crate) customer: Option<&'a str>,
    /// A caller without an identity that can be told from every other: by its session.
    pub(crate) session: Option<u128>,
    /// Where the caller comes from.
    pub(crate) peer: Option<IpAddr>,
    /// How many calls the caller would like to buy at once.
    pub(crate) calls: Option<u32>,
    /// What the caller calls this call, so that it can try it again.
    pub(crate) retry: Option<&'a str>,
    /// Unix seconds.
    pub(crate) now: u64,
}

impl Sale<'_> {
    /// The digest of the arguments, where the price is one for these arguments only.
    pub(super) fn priced_for(&self) -> Option<[u8; 32]> {
        self.pricing.depends_on_arguments().then(|| arguments_digest(self.arguments))
    }

    /// The access token that a credential for `calls` calls may stand for: one for one call, and nothing else.
    pub(super) fn vouched(&self, calls: u32) -> Option<(BearerToken<'_>, u64)> {
        let bearer = self.bearer.filter(|_| calls == 1)?;
        Some((bearer, bearer.until(self.now)?))
    }

    /// Who makes it, as far as it is sure.
    pub(super) fn caller(&self) -> Failing {
        self.owner.map_or_else(|| Failing::network(self.peer), Failing::Principal)
    }
}

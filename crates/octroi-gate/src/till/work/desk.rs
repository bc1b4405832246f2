//! The desk of the free door: puzzles out, solutions judged, everything that needs no ledger.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use octroi_pow::door::{Bounds, Door, Effort, Full, SeenIds, View, Visitor};
use octroi_pow::{
    Algorithm, Binding, Challenge, Difficulty, PowError, Request, Signer, Solution, Submission,
};
use parking_lot::Mutex;

use super::access_token::AccessTokens;
use super::tally::{Tallied, Tally};
use crate::policy::Pattern;

/// What the free door asks and gives.
#[derive(Clone)]
pub struct WorkSettings {
    /// Signs challenges.
    pub signer: Signer,
    /// The kind of puzzle handed out. Solutions of the others are taken too, while they are good.
    pub kind: Algorithm,
    /// What the operator can bear and how hard a puzzle may become, for the whole service.
    pub bounds: Bounds,
    /// The same for tools (names or patterns) that have a limit of their own; of several that match, the first counts.
    pub tools: Vec<(Pattern, Bounds)>,
    /// What every puzzle is bound to, whether a caller asks for it or not.
    pub bind: Bind,
    /// How many calls one solution buys at `verify`. Shown on a call itself, a solution buys that call.
    pub calls: u32,
    /// How long a challenge may be solved, in seconds.
    pub challenge_ttl_seconds: u64,
    /// How long the credential that a solution buys may be used, in seconds.
    pub credential_ttl_seconds: u64,
    /// Signs the access tokens that `verify` gives beside the credential.
    pub access_tokens: Arc<AccessTokens>,
    /// Whom these tokens are for: the public URL of the endpoint (`aud`).
    pub audience: String,
}

/// What a puzzle is bound to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bind {
    /// The tool that is called.
    pub tool: bool,
    /// Who calls, where that is known.
    pub principal: bool,
    /// The arguments of the call.
    pub arguments: bool,
}

/// For what, and for whom, a puzzle is wanted. What is given is bound.
#[derive(Clone, Copy, Debug, Default)]
pub struct WorkAsk<'a> {
    /// The only tool.
    pub tool: Option<&'a str>,
    /// The only principal.
    pub principal: Option<[u8; 32]>,
    /// The only arguments.
    pub arguments_digest: Option<[u8; 32]>,
    /// Where the request came from.
    pub peer: Option<IpAddr>,
}

/// Hands out challenges, judges solutions, and counts both.
pub struct WorkDesk {
    settings: WorkSettings,
    door: Mutex<Door>,
    /// Solutions spent lately, so that a flood of replays does not reach the ledger, which has the last word.
    spent: Mutex<SeenIds>,
    tally: Mutex<Tally>,
    hasher: RandomState,
    started: Instant,
}

impl WorkDesk {
    pub(in crate::till) fn new(settings: WorkSettings) -> Self {
        let lanes = settings.tools.iter().map(|(pattern, bounds)| (pattern.as_str().to_owned(), *bounds));
        let door = Door::new(settings.bounds, lanes, 0);
        let tally = Tally::new(settings.challenge_ttl_seconds);
        Self {
            settings,
            door: Mutex::new(door),
            spent: Mutex::default(),
            tally: Mutex::new(tally),
            hasher: RandomState::new(),
            started: Instant::now(),
        }
    }

    /// What it is set to.
    pub fn settings(&self) -> &WorkSettings {
        &self.settings
    }

    /// How the door stands.
    pub fn view(&self) -> View {
        self.door.lock().view(self.now_ms())
    }

    /// How hard a challenge for any tool is now.
    pub fn difficulty(&self) -> Difficulty {
        difficulty(self.view().bits)
    }

    /// Challenges handed out since the start (those inside a 402 included), solved, and let go by.
    pub fn tallied(&self, now: u64) -> Tallied {
        self.tally.lock().read(now)
    }

    /// A challenge for `service`. Nothing about it is remembered; only how many there were.
    ///
    /// # Errors
    /// The operating system gives no randomness.
    pub fn challenge(
        &self,
        service: &str,
        ask: &WorkAsk<'_>,
        now: u64,
    ) -> Result<Challenge, getrandom::Error> {
        let mut id = [0; 16];
        getrandom::fill(&mut id)?;
        let visitor = self.visitor(ask);
        let bits = self.door.lock().bits(&visitor, self.now_ms());
        let WorkSettings { signer, kind, calls, challenge_ttl_seconds, .. } = &self.settings;
        let binding = Binding {
            tool: ask.tool.map(str::to_owned),
            principal: ask.principal,
            arguments_digest: ask.arguments_digest,
            calls: *calls,
            service: service.to_owned(),
        };
        self.tally.lock().issued(now, now + challenge_ttl_seconds);
        Ok(signer.issue_kind((*kind, difficulty(bits)), binding, now, *challenge_ttl_seconds, id))
    }

    /// Whether the 402 for a tool carries a puzzle for that tool alone: where the operator says so, and where some tools
    /// are dearer than others, so that it costs what this one costs.
    pub(super) fn binds_tool(&self) -> bool {
        self.settings.bind.tool || !self.settings.tools.is_empty()
    }

    /// Judges a solution without touching the ledger: some microseconds, whatever is sent.
    pub(super) fn verify(
        &self,
        solution: &Submission,
        now: u64,
        request: &Request<'_>,
    ) -> Result<Solution, PowError> {
        self.settings.signer.verify(&solution.challenge, &solution.nonce, now, request)
    }

    /// Takes a verified solution out of everybody else's reach; `false` where it was taken before. A flood of replays ends
    /// here, before the ledger, and of one solution sent a thousand times at once one is looked at.
    pub(super) fn claim(&self, solved: &Solution) -> bool {
        self.spent.lock().insert(solved.id)
    }

    /// A claimed solution was not spent after all.
    pub(super) fn give_back(&self, solved: &Solution) {
        self.spent.lock().remove(&solved.id);
    }

    /// Lets a verified solution in, if there is room.
    pub(super) fn admit(&self, solved: &Solution, calls: u32, ask: &WorkAsk<'_>) -> Result<(), Full> {
        let effort = Effort { id: solved.id, bits: solved.difficulty.bits(), calls };
        let visitor = self.visitor(ask);
        self.door.lock().admit(&effort, &visitor, self.now_ms())
    }

    /// The ledger has it.
    pub(super) fn count_solved(&self, solved: &Solution, now: u64) {
        self.tally.lock().solved(now, solved.expires_at);
    }

    /// A call bought with work begins.
    pub(in crate::till) fn call_began(self: &Arc<Self>, tool: &str) -> FreeCall {
        let lane = self.lane(tool).to_owned();
        self.door.lock().call_began(&lane);
        FreeCall { desk: Arc::clone(self), lane, began: Instant::now(), failed: false }
    }

    /// The name of the lane that a tool's calls are counted in: its own, or that of the pattern that matches it.
    fn lane<'a>(&'a self, tool: &'a str) -> &'a str {
        let matching = self.settings.tools.iter().find(|(pattern, _)| pattern.matches(tool));
        matching.map_or(tool, |(pattern, _)| pattern.as_str())
    }

    fn visitor<'a>(&'a self, ask: &WorkAsk<'a>) -> Visitor<'a> {
        let who = match (ask.principal, ask.peer) {
            (Some(principal), _) => Some(self.hasher.hash_one(principal)),
            (None, Some(peer)) => network(peer).map(|network| self.hasher.hash_one(network)),
            (None, None) => None,
        };
        Visitor { tool: ask.tool.map(|tool| self.lane(tool)), who }
    }

    fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }
}

/// A call bought with work, under way until this is dropped: what it takes and whether the upstream failed goes into the
/// difficulty.
pub(crate) struct FreeCall {
    desk: Arc<WorkDesk>,
    lane: String,
    began: Instant,
    failed: bool,
}

impl FreeCall {
    /// The server behind the gate did not answer. What a caller can bring about (an error in its arguments, going away) does
    /// not count as that: it would make calls dearer for everybody.
    pub(crate) fn fail(&mut self) {
        self.failed = true;
    }
}

impl Drop for FreeCall {
    fn drop(&mut self) {
        let seconds = self.began.elapsed().as_secs_f64();
        self.desk.door.lock().call_ended(&self.lane, seconds, self.failed);
    }
}

/// What the door asks, as it is signed. It lies within the configuration's bounds; what does not is as hard as can be said.
fn difficulty(bits: f64) -> Difficulty {
    Difficulty::from_bits(bits).unwrap_or(Difficulty::HARDEST)
}

/// The prefix that one provider's customer has: 24 bits of IPv4, 48 of IPv6. `None` for addresses of this machine and of private
/// networks, where proxies are: everybody comes from there.
fn network(peer: IpAddr) -> Option<u64> {
    match peer.to_canonical() {
        IpAddr::V4(address) if address.is_loopback() || address.is_private() || address.is_link_local() => {
            None
        }
        IpAddr::V4(address) => Some(u64::from(address.to_bits() >> 8)),
        IpAddr::V6(address)
            if address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local() =>
        {
            None
        }
        // One bit beyond the prefix keeps the two families apart.
        IpAddr::V6(address) => Some((address.to_bits() >> 80) as u64 | 1 << 48),
    }
}

#[cfg(test)]
mod tests {
    use super::network;

    #[test]
    fn neighbours_share_a_prefix_and_proxies_have_none() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("203.0.113.7"), of("203.0.113.200"));
        assert_ne!(of("203.0.113.7"), of("203.0.114.7"));
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:ffff::2"));
        assert_ne!(of("2001:db8:1::1"), of("2001:db8:2::1"));
        assert_eq!(of("::ffff:203.0.113.9"), of("203.0.113.7"));
        for shared in ["127.0.0.1", "10.1.2.3", "192.168.0.1", "::1", "fd00::1", "fe80::1", "169.254.1.1"] {
            assert_eq!(of(shared), None, "{shared}");
        }
    }
}

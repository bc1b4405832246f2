//! A small puzzle before an invoice, for strangers: asking becomes dearer than answering.
//!
//! A solution is good for one invoice, within a minute, for the process that made the puzzle. It buys no call.

use std::collections::HashSet;

use octroi_pow::{Binding, Challenge, Difficulty, PowError, Request, Signer, Submission};
use parking_lot::Mutex;

/// What such a puzzle names as its tool; no MCP tool can be meant, because the gate never asks for work by this name.
pub const ENTRY: &str = "dev.octroi/invoice";

/// How long a puzzle may be solved, in seconds.
const TTL_SECONDS: u64 = 60;

/// Most solutions remembered as spent. All of them expire within [`TTL_SECONDS`]; beyond this no more are taken.
const SPENT_MAX: usize = 100_000;

/// When a stranger has to solve a puzzle before it gets an invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryRule {
    /// When the allowance of its network, or of all strangers, is used up.
    OverLimit,
    /// For every invoice.
    Always,
}

/// What is asked of strangers.
#[derive(Clone)]
pub struct EntrySettings {
    /// When.
    pub rule: EntryRule,
    /// How much.
    pub difficulty: Difficulty,
}

/// Makes the puzzles and takes their solutions.
pub(crate) struct EntryDesk {
    pub(crate) settings: EntrySettings,
    /// Of this process alone, so that nothing has to be remembered over a restart.
    signer: Signer,
    spent: Mutex<Spent>,
}

/// Two minutes' worth: what was spent in the running one, and in the one before.
#[derive(Default)]
struct Spent {
    minute: u64,
    young: HashSet<[u8; 16]>,
    old: HashSet<[u8; 16]>,
}

impl EntryDesk {
    /// # Errors
    /// The operating system gives no randomness.
    pub(crate) fn new(settings: EntrySettings) -> Result<Self, getrandom::Error> {
        Ok(Self { settings, signer: Signer::generate()?, spent: Mutex::default() })
    }

    /// A puzzle for one invoice of `service`. Nothing about it is remembered.
    ///
    /// # Errors
    /// The operating system gives no randomness.
    pub(crate) fn challenge(&self, service: &str, now: u64) -> Result<Challenge, getrandom::Error> {
        let mut id = [0; 16];
        getrandom::fill(&mut id)?;
        let binding = Binding {
            tool: Some(ENTRY.to_owned()),
            principal: None,
            arguments_digest: None,
            calls: 1,
            service: service.to_owned(),
        };
        Ok(self.signer.issue(self.settings.difficulty, binding, now, TTL_SECONDS, id))
    }

    /// Whether a solution is meant for this desk.
    pub(crate) fn is_entry(solution: &Submission) -> bool {
        solution.challenge.binding.tool.as_deref() == Some(ENTRY)
    }

    /// Spends a solution.
    ///
    /// # Errors
    /// What is wrong with it. Where no more can be remembered as spent, it counts as spent.
    pub(crate) fn redeem(&self, service: &str, solution: &Submission, now: u64) -> Result<(), EntryError> {
        let request = Request { service, tool: Some(ENTRY), principal: None, arguments_digest: None };
        let solved = self.signer.verify(&solution.challenge, &solution.nonce, now, &request)?;
        if self.spent.lock().spend(solved.id, now) { Ok(()) } else { Err(EntryError::Spent) }
    }
}

/// Why a solution opens nothing. The caller's to mend.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EntryError {
    #[error(transparent)]
    Solution(#[from] PowError),
    #[error("the solution is already spent")]
    Spent,
    #[error("no puzzle is asked before an invoice here")]
    NotAsked,
}

impl Spent {
    fn spend(&mut self, id: [u8; 16], now: u64) -> bool {
        let minute = now / TTL_SECONDS;
        if minute > self.minute {
            let young = std::mem::take(&mut self.young);
            // What was spent two minutes ago has expired.
            self.old = if minute == self.minute + 1 { young } else { HashSet::new() };
            self.minute = minute;
        }
        self.young.len() < SPENT_MAX && !self.old.contains(&id) && self.young.insert(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000_020;

    fn desk() -> EntryDesk {
        let difficulty = Difficulty::from_bits(2.0).unwrap();
        EntryDesk::new(EntrySettings { rule: EntryRule::Always, difficulty }).unwrap()
    }

    /// Small enough to be tried by hand.
    fn solve(desk: &EntryDesk, challenge: &Challenge) -> Submission {
        (0..10_000)
            .map(|nonce: u32| Submission::new(challenge.clone(), nonce.to_string()).unwrap())
            .find(|tried| {
                let request =
                    Request { service: "s", tool: Some(ENTRY), principal: None, arguments_digest: None };
                desk.signer.verify(&tried.challenge, &tried.nonce, NOW, &request).is_ok()
            })
            .unwrap()
    }

    #[test]
    fn a_solution_opens_once_in_its_minute_at_its_desk_and_service() {
        let desk = desk();
        let challenge = desk.challenge("s", NOW).unwrap();
        let solution = solve(&desk, &challenge);
        assert!(EntryDesk::is_entry(&solution));
        assert!(desk.redeem("other", &solution, NOW).is_err());
        assert!(super::tests::desk().redeem("s", &solution, NOW).is_err(), "another process");
        assert!(desk.redeem("s", &solution, NOW + TTL_SECONDS).is_err(), "too late");
        assert!(desk.redeem("s", &solution, NOW).is_ok());
        // Over the turn of a minute too: it is still good, and still remembered.
        for later in [0, 1, 30, 59] {
            assert!(matches!(desk.redeem("s", &solution, NOW + later), Err(EntryError::Spent)));
        }
    }

    #[test]
    fn what_is_spent_is_bounded() {
        let mut spent = Spent::default();
        let id = |number: usize| {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&number.to_be_bytes());
            id
        };
        assert!((0..SPENT_MAX).all(|number| spent.spend(id(number), NOW)));
        assert!(!spent.spend(id(SPENT_MAX), NOW), "full: fails closed");
        assert!(!spent.spend(id(0), NOW + 60), "still remembered a minute later");
        assert!(spent.spend(id(SPENT_MAX), NOW + 60));
    }
}

//! What the operator has revoked at this gate.

use std::collections::HashMap;

use parking_lot::Mutex;
use thiserror::Error;

use crate::cache::TokenHash;
use crate::{Caller, InvalidToken};

/// Revocations in memory, bounded. They end with the process: what must stay revoked is revoked at the issuer.
#[derive(Default)]
pub(crate) struct Revocations {
    lists: Mutex<Lists>,
}

#[derive(Default)]
struct Lists {
    /// Tokens, and until when they are remembered, seconds since the Unix epoch.
    tokens: HashMap<TokenHash, u64>,
    /// Principals, the time up to which tokens issued to them are revoked, and until when that is remembered.
    subjects: HashMap<[u8; 32], (u64, u64)>,
}

/// As many revocations stand as can be remembered. Nothing was revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("too many revocations are remembered already: revoke at the issuer, or all at once")]
pub struct TooManyRevocations(());

impl Revocations {
    /// The most tokens, and the most subjects, that are remembered.
    const MAX: usize = 1 << 16;
    /// How long a revocation is remembered: longer than access tokens live.
    const SECONDS: u64 = 24 * 60 * 60;

    pub(crate) fn token(&self, hash: TokenHash, now: u64) -> Result<(), TooManyRevocations> {
        let mut lists = self.lists.lock();
        make_room(&mut lists.tokens, now, |until| *until)?;
        lists.tokens.insert(hash, now.saturating_add(Self::SECONDS));
        Ok(())
    }

    pub(crate) fn subject(&self, principal: [u8; 32], now: u64) -> Result<(), TooManyRevocations> {
        let mut lists = self.lists.lock();
        make_room(&mut lists.subjects, now, |(_, until)| *until)?;
        lists.subjects.insert(principal, (now, now.saturating_add(Self::SECONDS)));
        Ok(())
    }

    /// Refuses a token that was revoked, or that its subject held when everything of it was. A token that does not say
    /// when it was issued counts as held then.
    pub(crate) fn check(&self, hash: &TokenHash, caller: &Caller) -> Result<(), InvalidToken> {
        let lists = self.lists.lock();
        let subject = lists.subjects.get(&caller.principal);
        let held_then =
            subject.is_some_and(|(then, _)| caller.issued_at.is_none_or(|issued| issued <= *then));
        if lists.tokens.contains_key(hash) || held_then { Err(InvalidToken::Revoked) } else { Ok(()) }
    }
}

fn make_room<K: std::hash::Hash + Eq, V>(
    list: &mut HashMap<K, V>,
    now: u64,
    until: impl Fn(&V) -> u64,
) -> Result<(), TooManyRevocations> {
    if list.len() >= Revocations::MAX {
        list.retain(|_, value| now < until(value));
    }
    if list.len() < Revocations::MAX { Ok(()) } else { Err(TooManyRevocations(())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_loses_what_it_held() {
        let revoked = Revocations::default();
        let caller = |issued_at| Caller { issued_at, ..Caller::new("i", "s", 1000) };
        assert_eq!(revoked.check(&[1; 32], &caller(Some(100))), Ok(()));
        revoked.subject(Caller::principal_of("i", "s"), 100).unwrap();
        assert_eq!(revoked.check(&[1; 32], &caller(Some(100))), Err(InvalidToken::Revoked));
        assert_eq!(revoked.check(&[1; 32], &caller(None)), Err(InvalidToken::Revoked));
        assert_eq!(revoked.check(&[1; 32], &caller(Some(101))), Ok(()));
        assert_eq!(revoked.check(&[1; 32], &Caller::new("i", "other", 1000)), Ok(()));
    }

    #[test]
    fn the_lists_are_bounded_and_full_ones_say_so() {
        let revoked = Revocations::default();
        let hash = |number: usize| {
            let mut hash = [0; 32];
            hash[..8].copy_from_slice(&(number as u64).to_be_bytes());
            hash
        };
        for number in 0..Revocations::MAX {
            revoked.token(hash(number), 0).unwrap();
        }
        assert!(revoked.token(hash(Revocations::MAX), 10).is_err());
        assert_eq!(revoked.check(&hash(3), &Caller::new("i", "s", 1)), Err(InvalidToken::Revoked));
        assert!(revoked.token(hash(Revocations::MAX), Revocations::SECONDS).is_ok());
    }
}

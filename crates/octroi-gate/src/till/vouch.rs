//! One call without the access token.
//!
//! Most paying clients put their credential where the access token was, and come back with nothing that says who they
//! are. So a credential that was asked for with an access token may stand for it: for one call of one tool with the
//! arguments it was asked for with, for a few minutes, on the gate that sold it.
//!
//! The credential carries no rights. It names the token it was asked for with, which this gate remembers, and that token is
//! judged again as if it had been shown: whatever has revoked it, ended it or changed its owner's rights since then counts.

use std::collections::HashMap;
use std::sync::Arc;

use octroi_l402::TokenId;
use octroi_mcp::digest::arguments_digest;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{Tender, Till};

/// The longest that a credential stands for an access token, in seconds.
pub(super) const VOUCH_SECONDS_MAX: u64 = 300;

/// A token that ends sooner is not vouched for: paying would take too long.
const VOUCH_SECONDS_MIN: u64 = 30;

/// The longest access token that is remembered, in bytes.
const TOKEN_BYTES_MAX: usize = 16 << 10;

/// How many bytes of access tokens one generation remembers, and how many credentials. When it is full the older generation
/// is forgotten: its credentials pay, and no longer stand for anybody.
const GENERATION_BYTES: usize = 16 << 20;
const GENERATION_MAX: usize = 16_384;

/// A bearer token that a credential may stand for.
#[derive(Clone, Copy)]
pub(crate) struct BearerToken<'a> {
    /// The token as it was shown.
    pub(crate) text: &'a str,
    /// When it ends, in Unix seconds.
    pub(crate) expires_at: u64,
}

/// What a credential stands for.
pub(crate) struct Vouch {
    /// The access token.
    pub(crate) token: Zeroizing<String>,
    /// Whose it was.
    pub(crate) principal: [u8; 32],
    /// The first second at which it stands for nothing.
    until: u64,
}

/// The access tokens that unexpired credentials stand for.
#[derive(Default)]
pub(super) struct Vouches {
    generations: Mutex<Generations>,
}

#[derive(Default)]
struct Generations {
    young: HashMap<TokenId, Arc<Vouch>>,
    young_bytes: usize,
    old: HashMap<TokenId, Arc<Vouch>>,
}

impl BearerToken<'_> {
    /// Until when a credential made at `now` (Unix seconds) may stand for the token; `None`: it is not worth it.
    pub(super) fn until(&self, now: u64) -> Option<u64> {
        let until = self.expires_at.min(now + VOUCH_SECONDS_MAX);
        (self.text.len() <= TOKEN_BYTES_MAX && until >= now + VOUCH_SECONDS_MIN).then_some(until)
    }

    /// What tells two tokens apart.
    pub(super) fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.text).into()
    }
}

impl Vouches {
    pub(super) fn put(&self, credential: TokenId, bearer: &BearerToken<'_>, principal: [u8; 32], until: u64) {
        let token = Zeroizing::new(bearer.text.to_owned());
        let mut generations = self.generations.lock();
        let bytes = generations.young_bytes + token.len();
        if generations.young.len() >= GENERATION_MAX || bytes > GENERATION_BYTES {
            generations.old = std::mem::take(&mut generations.young);
            generations.young_bytes = 0;
        }
        generations.young_bytes += token.len();
        generations.young.insert(credential, Arc::new(Vouch { token, principal, until }));
    }

    fn get(&self, credential: &TokenId, now: u64) -> Option<Arc<Vouch>> {
        let generations = self.generations.lock();
        let found = generations.young.get(credential).or_else(|| generations.old.get(credential))?;
        (now < found.until).then(|| Arc::clone(found))
    }
}

impl Till {
    /// The access token that this credential stands for in this call; `None`: none.
    ///
    /// The credential must be one that the issuer bound to a principal, a tool and arguments, and the call that very call.
    pub(crate) fn vouch(
        &self,
        tender: &Tender<'_>,
        (service, subject, arguments): (&str, &str, Option<&[u8]>),
        now: u64,
    ) -> Option<Arc<Vouch>> {
        // Whether it is one at all is seen without touching a key.
        let vouch = self.vouches.get(&tender.credential()?.claimed_identifier().ok()?.token_id, now)?;
        let verified = tender.genuine(&self.settings.keys, service)?;
        let terms = &verified.terms;
        if terms.ended_at(now).is_some() {
            return None;
        }
        let narrow = terms.calls == Some(1) && terms.tools.is_some() && terms.arguments_digest.is_some();
        let principal =
            terms.vouched_principal.filter(|principal| narrow && *principal == vouch.principal)?;
        verified.permits(subject, || arguments_digest(arguments), Some(&principal)).ok()?;
        Some(vouch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> TokenId {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&(number as u64).to_be_bytes());
        TokenId::from_bytes(id)
    }

    #[test]
    fn what_is_remembered_stays_bounded_and_ends() {
        let vouches = Vouches::default();
        let token = "t".repeat(TOKEN_BYTES_MAX);
        let bearer = BearerToken { text: &token, expires_at: 1000 };
        for number in 0..5000 {
            vouches.put(id(number), &bearer, [1; 32], 100);
        }
        {
            let generations = vouches.generations.lock();
            let all = generations.young.values().chain(generations.old.values());
            let bytes: usize = all.map(|vouch| vouch.token.len()).sum();
            assert!(bytes <= 2 * GENERATION_BYTES, "{bytes}");
        }
        assert!(vouches.get(&id(4999), 99).is_some());
        assert!(vouches.get(&id(4999), 100).is_none(), "its time is over");
        assert!(vouches.get(&id(0), 99).is_none(), "forgotten");
        let short = BearerToken { text: "t", expires_at: u64::MAX };
        for number in 0..3 * GENERATION_MAX {
            vouches.put(id(number), &short, [1; 32], 100);
        }
        let generations = vouches.generations.lock();
        assert!(generations.young.len() + generations.old.len() <= 2 * GENERATION_MAX);
    }

    #[test]
    fn a_credential_never_outlives_the_token_it_stands_for() {
        let until = |expires_at| BearerToken { text: "t", expires_at }.until(1000);
        assert_eq!(until(u64::MAX), Some(1000 + VOUCH_SECONDS_MAX));
        assert_eq!(until(1060), Some(1060));
        assert_eq!(until(1000 + VOUCH_SECONDS_MIN - 1), None);
        assert_eq!(until(0), None);
        let long = "t".repeat(TOKEN_BYTES_MAX + 1);
        assert_eq!(BearerToken { text: &long, expires_at: u64::MAX }.until(1000), None);
    }
}

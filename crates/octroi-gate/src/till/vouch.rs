//! One call without the access token.
//!
//! Most paying clients put their credential where the access token was, and come back with nothing that says who they
//! are. So a credential that was asked for with an access token may stand for it: for one call of one tool with the
//! arguments it was asked for with, for a few minutes.
//!
//! The credential carries no rights. It names the token it was asked for with, which is remembered, and that token is
//! judged again as if it had been shown: whatever has revoked it, ended it or changed its owner's rights since then counts.
//!
//! The gate that sold it remembers the token in memory. Where gates share a database it lies there too, for as long as the
//! credential stands for it: sealed under the master key and the credential's own id, in a table that is neither logged nor
//! replicated. Another gate asks for it once, and only for whoever shows a paid credential.

use std::sync::Arc;

use octroi_l402::TokenId;
use octroi_mcp::digest::arguments_digest;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::limits::key;
use super::{Tender, Till};
use crate::generations::Generations;

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

/// What stands before the token in a note to other gates, in bytes.
const NOTE_HEAD: usize = 8 + 32;

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
pub(super) struct Vouches(Mutex<Remembered>);

struct Remembered {
    vouches: Generations<TokenId, Arc<Vouch>>,
    /// Of the tokens of the young ones.
    bytes: usize,
}

impl Default for Vouches {
    fn default() -> Self {
        Self(Mutex::new(Remembered { vouches: Generations::new(GENERATION_MAX), bytes: 0 }))
    }
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
    fn put(&self, credential: TokenId, vouch: Arc<Vouch>) {
        let length = vouch.token.len();
        let mut remembered = self.0.lock();
        if remembered.bytes + length > GENERATION_BYTES {
            remembered.vouches.turn();
            remembered.bytes = 0;
        }
        remembered.bytes += length;
        remembered.vouches.put(credential, vouch);
    }

    fn get(&self, credential: &TokenId, now: u64) -> Option<Arc<Vouch>> {
        let remembered = self.0.lock();
        let found = remembered.vouches.get(credential)?;
        (now < found.until).then(|| Arc::clone(found))
    }
}

impl Vouch {
    /// As other gates read it, once it is unsealed: until when, whose, the token.
    fn write(&self) -> Zeroizing<Vec<u8>> {
        let mut note = Zeroizing::new(Vec::with_capacity(NOTE_HEAD + self.token.len()));
        note.extend_from_slice(&self.until.to_be_bytes());
        note.extend_from_slice(&self.principal);
        note.extend_from_slice(self.token.as_bytes());
        note
    }

    fn read(note: &[u8]) -> Option<Self> {
        let (until, rest) = note.split_first_chunk::<8>()?;
        let (principal, token) = rest.split_first_chunk::<32>()?;
        let token = Zeroizing::new(std::str::from_utf8(token).ok()?.to_owned());
        Some(Self { token, principal: *principal, until: u64::from_be_bytes(*until) })
    }
}

impl Till {
    /// Remembers what a credential stands for, on every gate that shares the ledger.
    pub(super) async fn remember(
        &self,
        credential: TokenId,
        bearer: &BearerToken<'_>,
        principal: [u8; 32],
        until: u64,
    ) {
        let token = Zeroizing::new(bearer.text.to_owned());
        let vouch = Arc::new(Vouch { token, principal, until });
        self.vouches.put(credential, Arc::clone(&vouch));
        let Some(board) = self.settings.ledger.board() else { return };
        let Ok(sealed) = self.settings.keys.seal(&credential, &vouch.write()) else { return };
        if let Err(error) = board.pin(&note_key(&credential), &sealed, until).await {
            tracing::warn!(%error, "a credential stands for its access token on this gate alone");
        }
    }

    /// The access token that what is offered stands for in this call; `None`: none.
    ///
    /// It must be a credential that the issuer bound to a principal, a tool and arguments, and the call that very call.
    pub(crate) async fn vouch(
        &self,
        tender: &Tender<'_>,
        (service, subject, arguments): (&str, &str, Option<&[u8]>),
        now: u64,
    ) -> Option<Arc<Vouch>> {
        let verified = tender.genuine(&self.settings.keys, service)?;
        let terms = &verified.terms;
        let narrow = terms.calls == Some(1) && terms.tools.is_some() && terms.arguments_digest.is_some();
        let principal = terms.vouched_principal.filter(|_| narrow && terms.ended_at(now).is_none())?;
        verified.permits(subject, || arguments_digest(arguments), Some(&principal)).ok()?;
        let vouch = match self.vouches.get(&verified.token_id, now) {
            Some(vouch) => vouch,
            None => self.vouch_of_another(verified.token_id, now).await?,
        };
        (vouch.principal == principal).then_some(vouch)
    }

    /// What another gate remembers of a credential that it sold. Only who has paid for one comes here.
    async fn vouch_of_another(&self, credential: TokenId, now: u64) -> Option<Arc<Vouch>> {
        let found = self.settings.ledger.board()?.find(&note_key(&credential), now).await;
        let sealed = found.inspect_err(|error| tracing::warn!(%error, "what another gate sold is not known"));
        let note = self.settings.keys.unseal(&credential, &sealed.ok()??).ok()?;
        let vouch = Arc::new(Vouch::read(&note).filter(|vouch| now < vouch.until)?);
        self.vouches.put(credential, Arc::clone(&vouch));
        Some(vouch)
    }
}

/// Where gates look for it.
fn note_key(credential: &TokenId) -> [u8; 32] {
    key(b"what a credential stands for", &[credential.as_bytes()])
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
        let vouch =
            |token: String| Arc::new(Vouch { token: Zeroizing::new(token), principal: [1; 32], until: 100 });
        for number in 0..5000 {
            vouches.put(id(number), vouch("t".repeat(TOKEN_BYTES_MAX)));
        }
        {
            let remembered = vouches.0.lock();
            let bytes: usize = remembered.vouches.values().map(|vouch| vouch.token.len()).sum();
            assert!(bytes <= 2 * GENERATION_BYTES, "{bytes}");
        }
        assert!(vouches.get(&id(4999), 99).is_some());
        assert!(vouches.get(&id(4999), 100).is_none(), "its time is over");
        assert!(vouches.get(&id(0), 99).is_none(), "forgotten");
        for number in 0..3 * GENERATION_MAX {
            vouches.put(id(number), vouch("t".to_owned()));
        }
        assert!(vouches.0.lock().vouches.values().count() <= 2 * GENERATION_MAX);
    }

    #[test]
    fn a_note_to_other_gates_says_the_same_and_fits() {
        let vouch = Vouch {
            token: Zeroizing::new("t".repeat(TOKEN_BYTES_MAX)),
            principal: [7; 32],
            until: 1_900_000_000,
        };
        let note = vouch.write();
        let read = Vouch::read(&note).unwrap();
        assert_eq!((&read.token, read.principal, read.until), (&vouch.token, vouch.principal, vouch.until));
        for cut in 0..NOTE_HEAD {
            assert!(Vouch::read(&note[..cut]).is_none(), "{cut}");
        }
        assert!(Vouch::read(&[0xff; NOTE_HEAD + 1]).is_none(), "no text");
        // The seal adds a nonce and a tag.
        assert!(note.len() + 28 <= octroi_ledger::MAX_NOTE);
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

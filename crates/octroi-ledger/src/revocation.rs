//! What the operator has taken back.

use std::collections::HashSet;

use octroi_l402::TokenId;
use serde::Serialize;

/// What is revoked. Nothing can be held for it any more; the money stays where it is, and a restoration gives it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Revocation {
    /// One credential, and every macaroon attenuated or renewed from it.
    Token(TokenId),
    /// Every account of a principal, also those it will have.
    Owner([u8; 32]),
    /// Every credential made under one master key, by the key's number.
    MasterKey(u32),
}

/// A revocation as the operator sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RevocationRow {
    /// `token`, `owner` or `master_key`.
    pub kind: &'static str,
    /// The token id or the principal in hexadecimal, or the key's number.
    pub subject: String,
    /// When, in Unix seconds.
    pub at: u64,
    /// The operator's own words.
    pub reason: String,
}

const TOKEN: i64 = 0;
const OWNER: i64 = 1;
const MASTER_KEY: i64 = 2;

/// The number of the master key a credential was made under: the first four bytes of its id.
pub(crate) fn master_key(token: &TokenId) -> u32 {
    let [a, b, c, d, ..] = *token.as_bytes();
    u32::from_be_bytes([a, b, c, d])
}

impl Revocation {
    /// What stands for it on disk.
    pub(crate) fn code(&self) -> (i64, Vec<u8>) {
        match self {
            Self::Token(token) => (TOKEN, token.as_bytes().to_vec()),
            Self::Owner(owner) => (OWNER, owner.to_vec()),
            Self::MasterKey(number) => (MASTER_KEY, number.to_be_bytes().to_vec()),
        }
    }

    /// Reads what [`Revocation::code`] wrote.
    pub(crate) fn from_code(kind: i64, subject: &[u8]) -> Option<Self> {
        match kind {
            TOKEN => subject.try_into().ok().map(TokenId::from_bytes).map(Self::Token),
            OWNER => subject.try_into().ok().map(Self::Owner),
            MASTER_KEY => subject.try_into().ok().map(u32::from_be_bytes).map(Self::MasterKey),
            _ => None,
        }
    }

    /// As the operator sees it.
    pub(crate) fn row(&self, at: u64, reason: String) -> RevocationRow {
        let (kind, subject) = match self {
            Self::Token(token) => ("token", token.to_string()),
            Self::Owner(owner) => ("owner", hex::encode(owner)),
            Self::MasterKey(number) => ("master_key", number.to_string()),
        };
        RevocationRow { kind, subject, at, reason }
    }

    /// Everything whose revocation touches a credential and its owner.
    pub(crate) fn touching(token: &TokenId, owner: Option<[u8; 32]>) -> impl Iterator<Item = Self> {
        [Self::Token(*token), Self::MasterKey(master_key(token))].into_iter().chain(owner.map(Self::Owner))
    }
}

/// What is revoked, in memory.
#[derive(Debug, Default)]
pub(crate) struct Revoked(HashSet<Revocation>);

impl Revoked {
    pub(crate) fn set(&mut self, what: Revocation, revoked: bool) {
        if revoked {
            self.0.insert(what);
        } else {
            self.0.remove(&what);
        }
    }

    /// Whether nothing may be held for this credential.
    pub(crate) fn covers(&self, token: &TokenId, owner: Option<[u8; 32]>) -> bool {
        !self.0.is_empty() && Revocation::touching(token, owner).any(|one| self.0.contains(&one))
    }
}

impl FromIterator<Revocation> for Revoked {
    fn from_iter<I: IntoIterator<Item = Revocation>>(all: I) -> Self {
        Self(all.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_as_they_were_written() {
        let token = TokenId::from_bytes([9; 32]);
        for one in [Revocation::Token(token), Revocation::Owner([3; 32]), Revocation::MasterKey(7)] {
            let (kind, subject) = one.code();
            assert_eq!(Revocation::from_code(kind, &subject), Some(one));
        }
        assert_eq!(Revocation::from_code(0, b"short"), None);
        assert_eq!(Revocation::from_code(9, &[0; 32]), None);
    }

    #[test]
    fn a_credential_falls_with_its_owner_and_with_its_master_key() {
        let mut id = [9; 32];
        id[..4].copy_from_slice(&7_u32.to_be_bytes());
        let token = TokenId::from_bytes(id);
        for one in [Revocation::Token(token), Revocation::Owner([3; 32]), Revocation::MasterKey(7)] {
            let mut revoked = Revoked::from_iter([one]);
            assert!(revoked.covers(&token, Some([3; 32])), "{one:?}");
            revoked.set(one, false);
            assert!(!revoked.covers(&token, Some([3; 32])), "{one:?}");
        }
        assert!(!Revoked::from_iter([Revocation::MasterKey(8)]).covers(&token, None));
    }
}

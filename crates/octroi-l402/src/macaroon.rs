//! Macaroons: the chain of HMACs, and the two binary forms it is written in.
//!
//! The rules are those of libmacaroons (`doc/format.txt`) and go-macaroon; the text of L402's `macaroon-spec.md`
//! describes a chain and a layout that no library accepts. Reading is strict so that one token has as few spellings
//! as possible: no trailing bytes, shortest-form lengths, no third-party caveats, bounded size and count.
//! What cannot be prevented (V1 beside V2, the unsigned location) is why replay is never keyed on a token's text.

mod text;
mod v1;
mod v2;

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use smallvec::SmallVec;
use subtle::ConstantTimeEq;

pub use text::{decode_base64, decode_hex};

use crate::{Identifier, IdentifierError, RootKey};

/// The most bytes a binary macaroon may have.
pub const MAX_BYTES: usize = 4096;
/// The most caveats a macaroon may have.
pub const MAX_CAVEATS: usize = 64;
/// Caveats that are held without allocating; more are possible, up to [`MAX_CAVEATS`].
const INLINE_CAVEATS: usize = 8;

/// Why bytes are not a macaroon this reader takes. The fault is the sender's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MacaroonError {
    /// Neither base64 in one of its four dialects nor, where asked for, hexadecimal.
    #[error("the macaroon is neither base64 nor hex")]
    Text,
    /// More than [`MAX_BYTES`] bytes.
    #[error("the macaroon is larger than {MAX_BYTES} bytes")]
    TooLong,
    /// More than [`MAX_CAVEATS`] caveats.
    #[error("the macaroon has more than {MAX_CAVEATS} caveats")]
    TooManyCaveats,
    /// The first byte names no binary form that is known (V1 or V2).
    #[error("the macaroon is in no known binary form")]
    UnknownForm,
    /// A field is cut short, out of order, missing, or written in other than the shortest way.
    #[error("the macaroon's fields are not well formed")]
    Malformed,
    /// Bytes follow the signature.
    #[error("bytes follow the macaroon's signature")]
    TrailingData,
    /// A caveat is for a third party to discharge, or carries a location, which only those do.
    #[error("third-party caveats are not taken")]
    ThirdParty,
}

/// A macaroon read in place: every field but the signature borrows from the bytes it was read from.
#[derive(Clone)]
pub struct MacaroonView<'a> {
    location: &'a [u8],
    identifier: &'a [u8],
    caveats: SmallVec<[&'a [u8]; INLINE_CAVEATS]>,
    signature: &'a [u8; 32],
}

impl<'a> MacaroonView<'a> {
    /// Reads a macaroon in binary form, V1 or V2, told apart by the first byte.
    ///
    /// # Errors
    /// [`MacaroonError`] says what is wrong; nothing has been verified when there is no error.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, MacaroonError> {
        if bytes.len() > MAX_BYTES {
            return Err(MacaroonError::TooLong);
        }
        match bytes.first() {
            Some(&v2::FIRST_BYTE) => v2::decode(bytes),
            Some(byte) if byte.is_ascii_hexdigit() => v1::decode(bytes),
            _ => Err(MacaroonError::UnknownForm),
        }
    }

    /// The minter's hint of where the token is good. Not covered by the signature: believe nothing in it.
    #[must_use]
    pub const fn location(&self) -> &'a [u8] {
        self.location
    }

    /// The identifier's bytes.
    #[must_use]
    pub const fn identifier(&self) -> &'a [u8] {
        self.identifier
    }

    /// The identifier, read as L402 version 0.
    ///
    /// # Errors
    /// Where it is not one.
    pub fn l402_identifier(&self) -> Result<Identifier, IdentifierError> {
        Identifier::decode(self.identifier)
    }

    /// The caveats in the order they were added.
    pub fn caveats(&self) -> impl Iterator<Item = &'a [u8]> + '_ {
        self.caveats.iter().copied()
    }

    /// Whether the signature is that of this identifier and these caveats under `root`. Constant time.
    #[must_use]
    pub fn is_signed_by(&self, root: &RootKey) -> bool {
        chain(root, self.identifier, self.caveats()).ct_eq(self.signature).into()
    }

    /// An owned copy, which can be attenuated and encoded.
    #[must_use]
    pub fn to_owned(&self) -> Macaroon {
        Macaroon {
            location: self.location.to_vec(),
            identifier: self.identifier.to_vec(),
            caveats: self.caveats().map(<[u8]>::to_vec).collect(),
            signature: *self.signature,
        }
    }
}

impl fmt::Debug for MacaroonView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe(f, "MacaroonView", self.identifier, self.caveats.len())
    }
}

/// A macaroon of one's own: to mint one, to narrow one, to write one.
#[derive(Clone, PartialEq, Eq)]
pub struct Macaroon {
    location: Vec<u8>,
    identifier: Vec<u8>,
    caveats: Vec<Vec<u8>>,
    signature: [u8; 32],
}

impl Macaroon {
    /// Makes a macaroon signed under `root`, with `caveats` in the given order.
    ///
    /// `location` is a hint for people and is not signed.
    ///
    /// # Errors
    /// [`MacaroonError::TooManyCaveats`] or [`MacaroonError::TooLong`] where no reader would take the result.
    pub fn mint<C: AsRef<[u8]>>(
        root: &RootKey,
        identifier: &Identifier,
        location: &str,
        caveats: impl IntoIterator<Item = C>,
    ) -> Result<Self, MacaroonError> {
        let identifier = identifier.encode();
        let mut macaroon = Self {
            location: location.as_bytes().to_vec(),
            identifier: identifier.to_vec(),
            caveats: Vec::new(),
            signature: chain(root, &identifier, std::iter::empty()),
        };
        for caveat in caveats {
            macaroon = macaroon.add_caveat(caveat)?;
        }
        macaroon.within_bounds()
    }

    /// Reads a binary macaroon, V1 or V2.
    ///
    /// # Errors
    /// As [`MacaroonView::decode`].
    pub fn decode(bytes: &[u8]) -> Result<Self, MacaroonError> {
        MacaroonView::decode(bytes).map(|view| view.to_owned())
    }

    /// Narrows the token by one more condition. Needs no key: any holder may do it, and none can undo it.
    ///
    /// # Errors
    /// [`MacaroonError::TooManyCaveats`] or [`MacaroonError::TooLong`] where no reader would take the result.
    pub fn add_caveat(mut self, caveat: impl AsRef<[u8]>) -> Result<Self, MacaroonError> {
        let caveat = caveat.as_ref();
        if self.caveats.len() == MAX_CAVEATS {
            return Err(MacaroonError::TooManyCaveats);
        }
        self.signature = link(&self.signature, caveat);
        self.caveats.push(caveat.to_vec());
        self.within_bounds()
    }

    fn within_bounds(self) -> Result<Self, MacaroonError> {
        // V1 is the longer form: what fits there fits in both.
        if v1::encoded_len(&self) > MAX_BYTES { Err(MacaroonError::TooLong) } else { Ok(self) }
    }

    /// The identifier's bytes.
    #[must_use]
    pub fn identifier(&self) -> &[u8] {
        &self.identifier
    }

    /// The identifier, read as L402 version 0.
    ///
    /// # Errors
    /// Where it is not one.
    pub fn l402_identifier(&self) -> Result<Identifier, IdentifierError> {
        Identifier::decode(&self.identifier)
    }

    /// The caveats in the order they were added.
    pub fn caveats(&self) -> impl Iterator<Item = &[u8]> {
        self.caveats.iter().map(Vec::as_slice)
    }

    /// The V2 binary form, which is what a gate sends.
    #[must_use]
    pub fn encode_v2(&self) -> Vec<u8> {
        v2::encode(self)
    }

    /// The V1 binary form, for peers that know no other.
    #[must_use]
    pub fn encode_v1(&self) -> Vec<u8> {
        v1::encode(self)
    }
}

impl fmt::Debug for Macaroon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe(f, "Macaroon", &self.identifier, self.caveats.len())
    }
}

/// The signature is left out: with the preimage, it is the credential.
fn describe(f: &mut fmt::Formatter<'_>, name: &str, identifier: &[u8], caveats: usize) -> fmt::Result {
    f.debug_struct(name)
        .field("identifier", &hex::encode(identifier))
        .field("caveats", &caveats)
        .finish_non_exhaustive()
}

/// libmacaroons' fixed key, under which a root key of any length becomes one of 32 bytes.
const KEY_GENERATOR: &[u8] = b"macaroons-key-generator";

fn chain<'c>(root: &RootKey, identifier: &[u8], caveats: impl Iterator<Item = &'c [u8]>) -> [u8; 32] {
    let mut mac = hmac_keyed(KEY_GENERATOR);
    mac.update(root.as_bytes());
    let key: [u8; 32] = mac.finalize().into_bytes().into();
    caveats.fold(link(&key, identifier), |signature, caveat| link(&signature, caveat))
}

fn link(key: &[u8; 32], data: &[u8]) -> [u8; 32] {
    let mut mac = hmac_keyed(key);
    mac.update(data);
    mac.finalize().into_bytes().into()
}

/// HMAC-SHA256 under a key of at most one block (64 bytes), which RFC 2104 §2 pads with zeros; more is cut off.
pub(crate) fn hmac_keyed(key: &[u8]) -> Hmac<Sha256> {
    let mut block = [0; 64];
    let len = key.len().min(block.len());
    block[..len].copy_from_slice(&key[..len]);
    Hmac::new(&block.into())
}

#[cfg(test)]
mod tests;

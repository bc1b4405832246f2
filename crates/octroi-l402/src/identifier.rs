//! What a token commits to: the hash of the payment and the account it names.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::hex32;

/// Why bytes or text are not an identifier, a hash or a preimage. The fault is the sender's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentifierError {
    /// Text that should be 64 hexadecimal digits is not.
    #[error("expected exactly 64 hexadecimal digits")]
    NotHex,
    /// The identifier is not the 66 bytes of version 0.
    #[error("the identifier is not {len} bytes long", len = Identifier::LEN)]
    Length,
    /// The identifier says it is of a version this reader does not know.
    #[error("identifier version {0} is not known, only 0")]
    Version(u16),
}

macro_rules! public_32_bytes {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 32]);

        impl $name {
            /// Wraps the 32 bytes as they are.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The 32 bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdentifierError;

            /// Reads exactly 64 hexadecimal digits, in any case.
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                hex32::read_32(text.as_bytes()).map(Self).ok_or(IdentifierError::NotHex)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

public_32_bytes! {
    /// The hash a Lightning invoice is locked to: SHA-256 of its preimage (BOLT 11 `p` field). Public.
    PaymentHash
}

public_32_bytes! {
    /// The account a token names. The first four bytes are the number of the master key it was made under
    /// ([`crate::keys`]), the rest is random. Public: it is no proof of anything without the signature.
    TokenId
}

/// The proof of payment: whoever knows it paid the invoice, or was told by one who did. Secret.
///
/// Compared in constant time, wiped when dropped, never shown by `Debug`.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Preimage([u8; 32]);

impl Preimage {
    /// Wraps the 32 bytes as they are.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 secret bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The hash this preimage opens.
    #[must_use]
    pub fn payment_hash(&self) -> PaymentHash {
        PaymentHash(Sha256::digest(self.0).into())
    }

    /// Whether both are the same, in time that does not depend on where they differ.
    #[must_use]
    pub fn ct_eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// The 64 lower-case hexadecimal digits of an `Authorization` header. Secret.
    #[must_use]
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }
}

impl PartialEq for Preimage {
    fn eq(&self, other: &Self) -> bool {
        self.ct_eq(other)
    }
}

impl Eq for Preimage {}

impl FromStr for Preimage {
    type Err = IdentifierError;

    /// Reads exactly 64 hexadecimal digits, in any case.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        hex32::read_32(text.as_bytes()).map(Self).ok_or(IdentifierError::NotHex)
    }
}

impl fmt::Debug for Preimage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Preimage(secret)")
    }
}

/// The identifier of an L402 macaroon, version 0 (L402 `macaroons.md`): `0u16 ‖ payment hash ‖ token id`, big-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identifier {
    /// The invoice whose payment the token proves.
    pub payment_hash: PaymentHash,
    /// The account the token names.
    pub token_id: TokenId,
}

impl Identifier {
    /// Bytes in an encoded identifier.
    pub const LEN: usize = 66;
    const VERSION: u16 = 0;

    /// The 66 bytes that stand in the macaroon.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..2].copy_from_slice(&Self::VERSION.to_be_bytes());
        bytes[2..34].copy_from_slice(&self.payment_hash.0);
        bytes[34..].copy_from_slice(&self.token_id.0);
        bytes
    }

    /// Reads the 66 bytes.
    ///
    /// # Errors
    /// [`IdentifierError::Version`] for another version, [`IdentifierError::Length`] for another length.
    pub fn decode(bytes: &[u8]) -> Result<Self, IdentifierError> {
        let Some((version, rest)) = bytes.split_first_chunk::<2>() else {
            return Err(IdentifierError::Length);
        };
        let version = u16::from_be_bytes(*version);
        if version != Self::VERSION {
            return Err(IdentifierError::Version(version));
        }
        let Some((payment_hash, token_id)) = rest.split_first_chunk::<32>() else {
            return Err(IdentifierError::Length);
        };
        let Ok(token_id) = <[u8; 32]>::try_from(token_id) else { return Err(IdentifierError::Length) };
        Ok(Self { payment_hash: PaymentHash(*payment_hash), token_id: TokenId(token_id) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifier_survives_and_refuses_other_shapes() {
        let id = Identifier { payment_hash: PaymentHash([7; 32]), token_id: TokenId([9; 32]) };
        let bytes = id.encode();
        assert_eq!(Identifier::decode(&bytes), Ok(id));
        assert_eq!(Identifier::decode(&bytes[..65]), Err(IdentifierError::Length));
        assert_eq!(Identifier::decode(&[&bytes[..], &[0]].concat()), Err(IdentifierError::Length));
        assert_eq!(Identifier::decode(&[]), Err(IdentifierError::Length));
        let mut other = bytes;
        other[1] = 1;
        assert_eq!(Identifier::decode(&other), Err(IdentifierError::Version(1)));
    }

    #[test]
    fn hex_in_any_case_and_of_exactly_64_digits() {
        let id = TokenId([0xab; 32]);
        assert_eq!("AB".repeat(32).parse(), Ok(id));
        assert_eq!("aB".repeat(32).parse(), Ok(id));
        assert_eq!(id.to_string(), "ab".repeat(32));
        for bad in ["", "ab", &"ab".repeat(33), &"zz".repeat(32), &format!("{} ", "ab".repeat(32))] {
            assert_eq!(bad.parse::<TokenId>(), Err(IdentifierError::NotHex));
            assert_eq!(bad.parse::<Preimage>(), Err(IdentifierError::NotHex));
        }
    }

    #[test]
    fn preimage_is_not_shown_and_opens_its_hash() {
        let preimage = Preimage([0xaa; 32]);
        assert_eq!(format!("{preimage:?}"), "Preimage(secret)");
        // printf 'aa%.0s' {1..32} | xxd -r -p | sha256sum
        assert_eq!(
            preimage.payment_hash().to_string(),
            "e0e77a507412b120f6ede61f62295b1a7b2ff19d3dcc8f7253e51663470c888e"
        );
        assert!(preimage == Preimage([0xaa; 32]));
        assert!(preimage != Preimage([0xab; 32]));
    }
}

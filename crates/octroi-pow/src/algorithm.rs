//! The kinds of puzzle, and what each of them counts as work.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// How many puzzles one challenge of the kind [`Algorithm::Sha256x16`] holds.
pub const PARTS: usize = 16;

/// The function that is computed. Named in the challenge and signed, so that no kind passes for another.
///
/// `difficulty` means the same for all: the base-2 logarithm of the SHA-256 hashes that solving costs on average, or of
/// what takes as long. What one pass below `target` is worth differs, so for the same difficulty each has a target of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Algorithm {
    /// `SHA-256(utf8(salt) ‖ utf8(nonce)) < target`. One lucky hash ends it: the time it takes varies as much as its mean.
    #[default]
    #[serde(rename = "sha256")]
    Sha256,
    /// Sixteen puzzles in one: the nonce is sixteen parts with dots between them, and for each place `i` (one hexadecimal
    /// digit) `SHA-256(utf8(salt) ‖ i ‖ ":" ‖ utf8(part)) < target`. The time it takes varies by a quarter of its mean.
    #[serde(rename = "sha256x16")]
    Sha256x16,
    /// Equi-X, which graphics cards gain little on: the nonce is `n.s`, where `s` (32 hexadecimal digits) is an Equi-X
    /// solution of the challenge `utf8(salt) ‖ utf8(n)`, and `SHA-256(utf8(salt) ‖ utf8(nonce)) < target`. Judged and solved
    /// only by builds with the cargo feature `equix`.
    #[serde(rename = "equix")]
    Equix,
}

/// This build has no Equi-X. The fault is in how it was built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this build cannot compute {}: it needs the cargo feature `equix`", .0.name())]
pub struct Unavailable(pub Algorithm);

impl Algorithm {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Sha256, Self::Sha256x16, Self::Equix];

    /// The name in JSON and in the signature.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha256x16 => "sha256x16",
            Self::Equix => "equix",
        }
    }

    /// The kind called `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether this build can judge and solve it.
    #[must_use]
    pub const fn is_available(self) -> bool {
        !matches!(self, Self::Equix) || cfg!(feature = "equix")
    }

    /// By how many thousandths of a bit the difficulty lies above the bits of the target: sixteen passes are wanted
    /// instead of one (2⁴), or one Equi-X solution takes as long as 2¹⁶ hashes.
    #[must_use]
    pub const fn worth_millibits(self) -> u32 {
        match self {
            Self::Sha256 => 0,
            Self::Sha256x16 => 4_000,
            Self::Equix => 16_000,
        }
    }

    /// Whether `nonce` solves the salt below `target`. Costs at most seventeen short hashes, for Equi-X some 40 µs; what
    /// is malformed or wrong at its first part costs one.
    pub(crate) fn is_solved(self, salt: &str, target: &[u8; 32], nonce: &str) -> Result<bool, Unavailable> {
        match self {
            Self::Sha256 => Ok(is_below(&[salt, nonce], target)),
            Self::Sha256x16 => Ok(all_parts(salt, target, nonce)),
            #[cfg(feature = "equix")]
            Self::Equix => Ok(crate::equi::is_solved(salt, target, nonce)),
            #[cfg(not(feature = "equix"))]
            Self::Equix => Err(Unavailable(self)),
        }
    }
}

/// What stands before a part's own text in the message of its place.
pub(crate) fn part_prefix(salt: &str, place: usize) -> String {
    format!("{salt}{place:x}:")
}

fn all_parts(salt: &str, target: &[u8; 32], nonce: &str) -> bool {
    let mut parts = 0;
    for part in nonce.split('.') {
        if part.is_empty() || parts == PARTS || !is_below(&[&part_prefix(salt, parts), part], target) {
            return false;
        }
        parts += 1;
    }
    parts == PARTS
}

/// Everything is public: no constant time.
pub(crate) fn is_below(message: &[&str], target: &[u8; 32]) -> bool {
    let mut hasher = Sha256::new();
    for text in message {
        hasher.update(text);
    }
    <[u8; 32]>::from(hasher.finalize()) < *target
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Eight bits over sixteen places are four for each: `printf %s octroi0:0000000000000005 | sha256sum` and so on.
    const AT_8_BITS: &str = "0000000000000005.000000000000000c.000000000000000c.0000000000000001.0000000000000019.\
        0000000000000008.000000000000002c.0000000000000005.0000000000000020.000000000000000e.0000000000000001.\
        0000000000000000.0000000000000021.0000000000000001.0000000000000052.0000000000000005";

    #[test]
    fn vectors_of_sixteen_parts_that_anyone_can_check() {
        let target = *crate::Difficulty::from_bits(8).unwrap().of_kind(Algorithm::Sha256x16).target();
        assert_eq!(target[0], 0x10);
        assert!(all_parts("octroi", &target, AT_8_BITS));
        assert!(!all_parts("octroj", &target, AT_8_BITS));
        for (place, sum) in [
            (0, "0c3a7acdea6d63d18de382ae1221de857a8a5f13f2bc4d3c1210b37459d45d82"),
            (1, "009cf457f50bb1b47a41dc9036caf5535a9d05fc9f071de95575367b09def3ce"),
            (15, "051df7ed8fad5ac429cfb1d2a52b89bd8699f95dccdd78e244853f659f8be265"),
        ] {
            let part = AT_8_BITS.split('.').nth(place).unwrap();
            assert_eq!(hex::encode(Sha256::digest(format!("{}{part}", part_prefix("octroi", place)))), sum);
        }
    }

    #[test]
    fn names_are_read_back() {
        for kind in Algorithm::ALL {
            assert_eq!(Algorithm::named(kind.name()), Some(kind));
        }
        assert_eq!(Algorithm::named("argon2"), None);
    }

    #[test]
    fn sixteen_parts_are_wanted_no_more_no_less() {
        let open = [0xff; 32];
        let sixteen = ["x"; 16].join(".");
        assert!(all_parts("salt", &open, &sixteen));
        for wrong in
            ["", ".", "x", "1.2.3", &["x"; 15].join("."), &["x"; 17].join("."), &format!("{sixteen}.")]
        {
            assert!(!all_parts("salt", &open, wrong), "{wrong}");
        }
        let shut = [0; 32];
        assert!(!all_parts("salt", &shut, &sixteen));
    }

    #[test]
    fn equix_is_said_to_be_missing_where_it_is() {
        let judged = Algorithm::Equix.is_solved("s", &[0xff; 32], "0.00");
        if Algorithm::Equix.is_available() {
            assert_eq!(judged, Ok(false));
        } else {
            assert_eq!(judged, Err(Unavailable(Algorithm::Equix)));
        }
    }
}

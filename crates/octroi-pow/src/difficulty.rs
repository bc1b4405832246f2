//! How hard a puzzle is: bits for people, a 256-bit target for the hash.

use std::fmt;

use crate::Algorithm;

/// A number of bits between 0 and 64, in steps of a thousandth, and the target that stands for it.
///
/// `target = 2^(256 − bits)`, and a hash solves the puzzle when it is *below* the target, read big-endian. For whole
/// bits that is exactly "begins with so many zero bits". Zero bits asks for nothing: every hash but the very last one
/// is below the largest target that 256 bits can say.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Difficulty {
    millibits: u32,
    target: [u8; 32],
}

/// The number of bits is not between 0 and [`Difficulty::MAX_BITS`]. The caller's fault.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("a difficulty is between 0 and {max} bits, in steps of 0.001", max = Difficulty::MAX_BITS)]
pub struct DifficultyError;

impl Difficulty {
    /// The hardest: 2⁶⁴ hashes, which nobody has.
    pub const MAX_BITS: u32 = 64;

    /// 2⁶⁴ hashes.
    pub const HARDEST: Self = Self { millibits: Self::MAX_BITS * 1000, target: bit(256 - Self::MAX_BITS) };

    /// A difficulty of `bits`, rounded to a thousandth.
    ///
    /// # Errors
    /// [`DifficultyError`] outside 0 to 64, or for what is not a number.
    pub fn from_bits(bits: impl Into<f64>) -> Result<Self, DifficultyError> {
        let millibits = (bits.into() * 1000.0).round();
        if !(0.0..=f64::from(Self::MAX_BITS * 1000)).contains(&millibits) {
            return Err(DifficultyError);
        }
        // In range by the line above.
        let millibits = millibits as u32;
        Ok(Self { millibits, target: target(millibits) })
    }

    /// The same amount of work with the target that asks for it in puzzles of this kind.
    #[must_use]
    pub fn of_kind(self, kind: Algorithm) -> Self {
        Self { target: target(self.millibits.saturating_sub(kind.worth_millibits())), ..self }
    }

    /// A difficulty as a challenge states it. The two are signed together, so they are not computed from each other
    /// again: another machine's rounding must not make an honest challenge a forgery.
    pub(crate) const fn from_parts(millibits: u32, target: [u8; 32]) -> Self {
        Self { millibits, target }
    }

    /// Bits.
    #[must_use]
    pub fn bits(&self) -> f64 {
        f64::from(self.millibits) / 1000.0
    }

    pub(crate) const fn millibits(&self) -> u32 {
        self.millibits
    }

    /// What a hash must be below, big-endian.
    #[must_use]
    pub const fn target(&self) -> &[u8; 32] {
        &self.target
    }

    /// Hashes a solver tries on average.
    #[must_use]
    pub fn expected_hashes(&self) -> f64 {
        self.bits().exp2()
    }

    /// Whether `hash` is below the target. Both are public.
    #[must_use]
    pub fn is_met_by(&self, hash: &[u8; 32]) -> bool {
        hash < &self.target
    }
}

impl fmt::Debug for Difficulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Difficulty({self})")
    }
}

impl fmt::Display for Difficulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bits", self.bits())
    }
}

/// `2^(256 − millibits/1000)`, to the 53 bits an `f64` holds; exact for whole bits.
fn target(millibits: u32) -> [u8; 32] {
    if millibits == 0 {
        return [0xff; 32];
    }
    let down = 256_000 - millibits;
    let (whole, thousandths) = (down / 1000, down % 1000);
    // Between 2^63 and 2^64, so its top bit is bit 63; that bit belongs at bit `whole` of the target.
    let mantissa = ((f64::from(thousandths) / 1000.0).exp2() * (1_u64 << 63) as f64) as u64;
    let mut target = [0; 32];
    for bit in (0..64).filter(|bit| mantissa >> bit & 1 == 1) {
        let at = (whole + bit - 63) as usize;
        target[31 - at / 8] |= 1 << (at % 8);
    }
    target
}

/// The target with one bit set.
const fn bit(at: u32) -> [u8; 32] {
    let mut target = [0; 32];
    target[31 - (at / 8) as usize] = 1 << (at % 8);
    target
}

#[cfg(test)]
mod tests;

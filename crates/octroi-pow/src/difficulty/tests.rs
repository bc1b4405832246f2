use proptest::prelude::*;

use super::*;

fn bits(bits: f64) -> Difficulty {
    Difficulty::from_bits(bits).unwrap()
}

#[test]
fn whole_bits_are_leading_zeros_exactly() {
    for n in 1..=Difficulty::MAX_BITS {
        let difficulty = Difficulty::from_bits(n).unwrap();
        let mut expected = [0; 32];
        let place = 256 - n as usize;
        expected[31 - place / 8] = 1 << (place % 8);
        assert_eq!(difficulty.target(), &expected, "{n} bits");
        // The greatest hash with n leading zeros is below the target, the least with one fewer is not.
        let mut below = [0xff; 32];
        let mut left = n;
        for byte in &mut below {
            let zeros = left.min(8);
            *byte = 0xff_u8.checked_shr(zeros).unwrap_or(0);
            left -= zeros;
        }
        assert!(difficulty.is_met_by(&below), "{n} bits");
        assert!(!difficulty.is_met_by(&expected), "{n} bits");
    }
}

#[test]
fn fractions_are_between() {
    // python: '%064x' % int(Decimal(2) ** (Decimal(256) - Decimal('20.5'))), of which 53 bits are kept
    let half = hex::encode(bits(20.5).target());
    assert_eq!(&half[..18], "00000b504f333f9de6");
    assert!(bits(21.0).target() < bits(20.5).target() && bits(20.5).target() < bits(20.0).target());
    assert_eq!(bits(20.5).bits(), 20.5);
    assert_eq!(bits(20.0).expected_hashes(), 1_048_576.0);
    assert_eq!(bits(18.125).to_string(), "18.125 bits");
}

#[test]
fn none_at_all_and_out_of_range() {
    assert!(bits(0.0).is_met_by(&[0xfe; 32]));
    for bad in [-1.0, -0.001, 64.001, 1e300, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(Difficulty::from_bits(bad), Err(DifficultyError), "{bad}");
    }
    assert_eq!(Difficulty::from_bits(64_u8).map(|d| d.bits()), Ok(64.0));
}

proptest! {
    #[test]
    fn more_bits_are_a_lower_target(a in 0_u32..64_000, b in 0_u32..64_000) {
        let (harder, easier) = (bits(f64::from(a.max(b)) / 1000.0), bits(f64::from(a.min(b)) / 1000.0));
        prop_assert!(harder.target() <= easier.target());
        prop_assert_eq!(harder.target() == easier.target(), a == b);
    }
}

#[test]
fn the_hardest_is_the_hardest() {
    assert_eq!(Difficulty::HARDEST, Difficulty::from_bits(Difficulty::MAX_BITS).unwrap());
}

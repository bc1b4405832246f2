//! The law of failing, and that nobody waits for another.

use proptest::prelude::*;

use super::*;

const BOUNDS: FailedPayments = FailedPayments { free: 10, recover_seconds: 2 };
const START: u64 = 1_000_000;

fn network(text: &str) -> Failing {
    Failing::network(Some(text.parse().unwrap()))
}

/// Fails as often as it is dealt with at `at`.
fn exhaust(patience: &Patience, who: Failing, failure: Failure, at: u64) -> usize {
    (0..10_000).take_while(|_| patience.fail(who, failure, at).is_ok()).count()
}

#[test]
fn waits_double_and_end() {
    let patience = Patience::new(BOUNDS, "mcp", false);
    let who = network("192.0.2.1");
    assert_eq!(
        exhaust(&patience, who, Failure::Unpaid, START),
        11,
        "ten are free, the eleventh starts the wait"
    );
    assert_eq!(patience.fail(who, Failure::Unpaid, START), Err(1));
    assert_eq!(patience.waits(who, START), Some(1));
    let mut at = START;
    let mut longest = 0;
    for _ in 0..500 {
        let wait = patience.fail(who, Failure::Forged, at).err().unwrap_or_default();
        longest = longest.max(wait);
        at += wait * 1000;
    }
    // As much comes as goes: three points, six seconds.
    assert!((4..=16).contains(&longest), "{longest}");
    let calm = at + POINTS_MAX * 10 * 2000;
    assert_eq!(exhaust(&patience, who, Failure::Unpaid, calm), 11, "as if nothing had been");
}

#[test]
fn forgeries_weigh_more_and_paying_makes_good() {
    let patience = Patience::new(BOUNDS, "mcp", false);
    assert_eq!(exhaust(&patience, network("192.0.2.1"), Failure::Forged, START), 4);
    // Who pays for what it asks may ask for ever.
    let buyer = network("198.51.100.1");
    for _ in 0..1000 {
        assert_eq!(patience.fail(buyer, Failure::Unpaid, START), Ok(()));
        patience.paid(buyer, START);
    }
    assert_eq!(patience.counts(Failure::Unpaid), (1000, 0));
    assert_eq!(patience.counts(Failure::Forged), (4, 1));
}

#[test]
fn nobody_waits_for_what_another_did() {
    let patience = Patience::new(BOUNDS, "mcp", false);
    exhaust(&patience, network("192.0.2.1"), Failure::Forged, START);
    assert!(patience.waits(network("192.0.2.99"), START).is_some(), "the same network");
    for other in [
        network("192.0.3.1"),
        Failing::network(None),
        Failing::Principal([1; 32]),
        Failing::Holder(TokenId::from_bytes([1; 32])),
    ] {
        assert_eq!(
            (patience.waits(other, START), patience.fail(other, Failure::Forged, START)),
            (None, Ok(()))
        );
    }
}

#[test]
fn the_table_stays_bounded() {
    let patience = Patience::new(BOUNDS, "mcp", false);
    for number in 0..3 * CALLERS_MAX as u64 {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&number.to_be_bytes());
        let _ = patience.fail(Failing::Principal(id), Failure::Forged, START);
    }
    assert!(patience.callers.lock().records.values().count() <= 2 * CALLERS_MAX);
}

proptest! {
    #[test]
    fn no_span_of_time_sees_more_failures_than_the_law_allows(
        free in 1_u32..40,
        recover_seconds in 1..=RECOVER_MAX,
        mut tries in proptest::collection::vec((0_u64..600_000, 0_usize..3), 1..600),
    ) {
        tries.sort_unstable();
        let patience = Patience::new(FailedPayments { free, recover_seconds }, "mcp", false);
        let mut dealt = Vec::new();
        for (at, kind) in tries {
            let failure = Failure::ALL[kind];
            if patience.fail(network("192.0.2.1"), failure, START + at).is_ok() {
                dealt.push((at, failure.points()));
            }
        }
        for (place, (start, _)) in dealt.iter().enumerate() {
            let mut points = 0;
            for (at, more) in &dealt[place..] {
                points += more;
                let gone = (at - start) / (u64::from(recover_seconds) * 1000) + 1;
                // The last one may go beyond the most that are kept.
                prop_assert!(points <= POINTS_MAX * u64::from(free) + gone + Failure::Forged.points());
            }
        }
    }
}

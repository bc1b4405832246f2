use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::*;
use crate::Difficulty;

fn target(bits: f64) -> [u8; 32] {
    *Difficulty::from_bits(bits).unwrap().target()
}

fn hash(salt: &str, nonce: &str) -> [u8; 32] {
    Sha256::digest(format!("{salt}{nonce}")).into()
}

fn one_thread(salt: &str, target: &[u8; 32]) -> String {
    solve(salt, target, NonZeroUsize::MIN, &AtomicBool::new(false), &AtomicU64::new(0)).unwrap()
}

/// `printf %s octroi 0000000000000057 | sha256sum` and so on.
#[test]
fn vectors_anyone_can_check() {
    let vectors = [
        (9.0, "0000000000000057", "0046ff097e4c45341c1d7646d00bcc7884a3bcfe95f4080e2301deb6779ae40b"),
        (11.0, "000000000000005d", "0013b1de2e466c6b36f8c44afaf5b3f0b266235ee58906acfd1453315c45efd6"),
        (17.0, "000000000000261c", "00004d2901d4f923a479e487fae51dbaeee66ca7cc544d87e35837f6023b55e7"),
    ];
    for (bits, nonce, sum) in vectors {
        assert_eq!(one_thread("octroi", &target(bits)), nonce);
        assert_eq!(hex::encode(hash("octroi", nonce)), sum);
    }
    let at_20_bits = "00000000001c873f";
    assert_eq!(
        hex::encode(hash("octroi", at_20_bits)),
        "000006a9550173e46683fd3dbf502e7394a612f832989bd7ae10f6d088324303"
    );
    assert!(Difficulty::from_bits(20).unwrap().is_met_by(&hash("octroi", at_20_bits)));
}

#[test]
fn every_thread_looks_elsewhere_and_all_stop() {
    let threads = NonZeroUsize::new(3).unwrap();
    let progress = AtomicU64::new(0);
    let nonce = solve("salt", &target(12.0), threads, &AtomicBool::new(false), &progress).unwrap();
    assert!(hash("salt", &nonce) < target(12.0));
    assert!(progress.into_inner() > 0);
}

#[test]
fn a_cancelled_search_ends_without_a_nonce() {
    let nothing_solves_this = [0; 32];
    let cancel = AtomicBool::new(false);
    let progress = AtomicU64::new(0);
    let found = std::thread::scope(|scope| {
        let search =
            scope.spawn(|| solve("salt", &nothing_solves_this, NonZeroUsize::MIN, &cancel, &progress));
        // As soon as it is seen at work.
        while progress.load(Ordering::Relaxed) == 0 {
            std::thread::yield_now();
        }
        cancel.store(true, Ordering::Relaxed);
        search.join().unwrap()
    });
    assert_eq!(found, None);
}

proptest! {
    /// Every length of salt: the midstate, the filler and the padding must be those of SHA-256.
    #[test]
    fn any_salt(salt in "[ -~]{0,200}", start in any::<u64>()) {
        let mut search = Search::new(&salt, start);
        let target = target(3.0);
        while !search.run(&target, 64).solved {}
        let nonce = search.nonce();
        prop_assert!(hash(&salt, &nonce) < target, "{salt:?} {nonce}");
        prop_assert!(crate::submission::is_nonce(&nonce));
    }
}

#[test]
fn salts_around_the_block_boundaries() {
    for len in 0..=130 {
        let salt = "s".repeat(len);
        let nonce = one_thread(&salt, &target(4.0));
        assert!(hash(&salt, &nonce) < target(4.0), "{len}");
        assert!((16..=40).contains(&nonce.len()), "{len}: {nonce}");
    }
}

#[test]
fn counting_carries_and_wraps() {
    for (start, next) in [(0x9, 0xa), (0xf, 0x10), (0x9ff, 0xa00), (u64::MAX, 0)] {
        let mut search = Search::new("salt", start);
        assert_eq!(search.nonce(), format!("{start:016x}"));
        search.advance();
        assert_eq!(search.nonce(), format!("{next:016x}"));
    }
}

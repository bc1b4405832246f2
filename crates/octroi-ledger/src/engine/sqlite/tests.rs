//! The log's length, and loading.

use std::path::Path;

use octroi_l402::{Msat, PaymentHash, TokenId};

use super::*;
use crate::engine::Entry;
use crate::entry::Voucher;
use crate::id::EntryId;
use crate::{Reader, Store};

const BOUND: u64 = 200_000;

fn engine(dir: &Path) -> SqliteEngine {
    open(&dir.join("octroi.db"), Sizes { wal_bytes: BOUND, settle_after: 1 }).unwrap().engine
}

fn gift(n: u8) -> Entry {
    Entry::Voucher(Voucher {
        token_id: TokenId::from_bytes([n; 32]),
        payment_hash: PaymentHash::from_bytes([n; 32]),
        owner: None,
        amount: Msat::new(1_000),
        calls: 0,
        note: "n".repeat(100_000),
        created_at: 0,
        expires_at: 0,
    })
}

fn write(engine: &mut SqliteEngine, n: u8) {
    let entry = gift(n);
    let commands = [Command::Entry { id: EntryId::first_of(u64::from(n)), at_ms: 0, entry: &entry }];
    assert!(matches!(engine.commit(&commands).unwrap()[..], [Ok(_)]));
}

#[test]
fn the_log_starts_over_instead_of_growing() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = engine(dir.path());
    let mut longest = 0;
    for n in 0..20 {
        write(&mut engine, n);
        longest = longest.max(engine.fold(false).unwrap());
    }
    assert!(longest < 400_000, "{longest}: every entry writes a good 100,000 bytes, and there were twenty");
}

#[test]
fn a_reader_of_an_old_state_does_not_stop_the_writer_and_the_log_shrinks_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = engine(dir.path());
    write(&mut engine, 0);
    let reader = open_reader(&dir.path().join("octroi.db")).unwrap();
    reader.execute_batch("BEGIN; SELECT * FROM accounts").unwrap();
    for n in 1..10 {
        write(&mut engine, n);
        // Waits for the reader in vain, and goes on.
        let _ = engine.fold(false);
    }
    assert!(engine.fold(false).unwrap() > BOUND, "the reader needs it");
    reader.execute_batch("COMMIT").unwrap();
    engine.fold(false).unwrap();
    write(&mut engine, 10);
    assert!(engine.fold(false).unwrap() < BOUND);
}

#[test]
fn a_batch_in_which_one_command_is_refused_keeps_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = engine(dir.path());
    write(&mut engine, 1);
    // The same id twice is what the database itself refuses.
    let (same, other) = (gift(2), gift(3));
    let outcomes = engine
        .commit(&[
            Command::Entry { id: EntryId::first_of(1), at_ms: 0, entry: &same },
            Command::Entry { id: EntryId::first_of(3), at_ms: 0, entry: &other },
        ])
        .unwrap();
    assert!(matches!(outcomes[..], [Err(LedgerError::Refused), Ok(_)]), "{outcomes:?}");
    let path = dir.path().join("octroi.db");
    let found = Reader::open(&Store::sqlite(path)).unwrap().verify().unwrap();
    assert!(found.is_sound() && found.transactions == 2, "{found:?}");
}

//! An older ledger, brought forward.

use std::path::Path;

use octroi_l402::TokenId;
use rusqlite::Connection;

use super::Sizes;
use super::open::{open, open_reader};
use crate::error::OpenError;
use crate::{Reader, Store};

const SIZES: Sizes = Sizes { wal_bytes: 1_000_000, settle_after: 1 };

/// A ledger as the first schema wrote it: a payment of 9,000, a call charged 3,000 and one given back, a call under way.
fn first_schema(path: &Path) {
    let database = Connection::open(path).unwrap();
    database.execute_batch(include_str!("schema/0001.sql")).unwrap();
    database
        .execute_batch(
            "PRAGMA application_id = 1868788850; PRAGMA user_version = 1;
             INSERT INTO tools VALUES (1, 'demo', 'image_describe');
             INSERT INTO accounts (id, kind, unit, token, tool, balance, held, created_at)
                 VALUES (1, 1, 0, NULL, 0, -9000, 0, 1), (2, 0, 0, zeroblob(32), 0, 6000, 1000, 1), (3, 4, 0, NULL, 1, 3000, 0, 1);
             INSERT INTO transactions VALUES (x'00000000000000000000000000000001', 0, 1, 1, 2, 9000),
                 (x'00000000000000000000000000000002', 3, 2, 2, 3, 3000);
             INSERT INTO credits VALUES (zeroblob(32), x'00000000000000000000000000000001', 2, 1, 'node', 3, '');
             INSERT INTO calls VALUES (x'00000000000000000000000000000002', 2, 1, 3000, 3000, 0, 2),
                 (x'00000000000000000000000000000003', 2, 1, 3000, 0, 1, 3);
             INSERT INTO call_refs VALUES (zeroblob(32), x'00000000000000000000000000000002');
             INSERT INTO holds VALUES (x'00000000000000000000000000000004', 2, 1, 1000, NULL);",
        )
        .unwrap();
}

#[test]
fn a_ledger_of_the_first_schema_keeps_all_its_money() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("octroi.db");
    first_schema(&path);
    assert!(matches!(open_reader(&path), Err(OpenError::Older { found: 1, .. })));
    let opened = open(&path, SIZES).unwrap();
    assert_eq!((opened.recovery.voided, opened.recovery.msat), (1, 1_000));
    drop(opened);
    let reader = Reader::open(&Store::sqlite(path)).unwrap();
    let found = reader.verify().unwrap();
    assert!(found.is_sound(), "{:?}", found.violations);
    assert_eq!((found.transactions, found.calls), (1, 3));
    let account = reader.account(&TokenId::from_bytes([0; 32])).unwrap().unwrap();
    assert_eq!((account.balance, account.held), (6_000, 0));
    assert_eq!(reader.report().unwrap().revenue[0].msat, 3_000);
}

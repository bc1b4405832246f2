//! Opening a ledger: once for writing, beside it for reading, and never one that is not understood.

use std::os::unix::fs::PermissionsExt;

use octroi_ledger::{
    CallEnd, Counts, HoldRequest, Ledger, LedgerConfig, Limit, OpenError, Recovery, Store, Unit, Window,
};
use rusqlite::Connection;

use crate::support::{World, assert_sound, available, fund, hold, open, request, token, work};

on_both_engines! {
    what_moved_is_exported_page_by_page,
    holds_of_an_earlier_life_are_voided_and_reported,
}

#[tokio::test]
async fn only_the_owner_may_read_it() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path());
    fund(&ledger, 1, 10).await;
    for name in ["octroi.db", "octroi.db-wal", "octroi.db.lock"] {
        let mode = std::fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn a_second_writer_is_refused_and_readers_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("octroi.db");
    let ledger = open(dir.path());
    fund(&ledger, 1, 3_000).await;
    let second = Ledger::open(LedgerConfig::new(&path));
    assert!(matches!(second, Err(OpenError::InUse { path: named }) if named == path));
    let reader = Ledger::open_read_only(&Store::sqlite(&path)).unwrap();
    assert_eq!(reader.account(&token(1)).unwrap().unwrap().balance, 3_000);
    let paid = hold(&ledger, 1, 3_000).await.unwrap();
    paid.durable().await.unwrap();
    assert_eq!(reader.report().unwrap().open_holds, 1, "a reader sees what was written since");
    assert!(reader.verify().unwrap().is_sound());
    paid.capture(3_000);
    ledger.close().await;
    let reader = Ledger::open_read_only(&Store::sqlite(&path)).expect("also when no gate runs");
    assert_eq!(reader.accounts(5).unwrap()[0].balance, 0);
    open(dir.path()).close().await;
}

#[tokio::test]
async fn the_last_handle_closes_the_ledger() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path());
    fund(&ledger, 1, 3_000).await;
    hold(&ledger, 1, 1_000).await.unwrap().capture(1_000);
    drop(ledger);
    let ledger = loop {
        match Ledger::open(LedgerConfig::new(dir.path().join("octroi.db"))) {
            Err(OpenError::InUse { .. }) => tokio::task::yield_now().await,
            opened => break opened.unwrap(),
        }
    };
    assert_eq!(available(&ledger, 1).await, 2_000);
    assert_sound(&ledger);
}

#[test]
fn what_is_not_understood_is_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("octroi.db");
    let config = || LedgerConfig::new(&path);
    assert!(matches!(Ledger::open_read_only(&Store::sqlite(&path)), Err(OpenError::Missing { .. })));

    let mut no_batch = config();
    no_batch.batch = 0;
    assert!(matches!(Ledger::open(no_batch), Err(OpenError::Setting { setting: "batch" })));

    std::fs::write(&path, "a shopping list, long enough to be read as a page header".repeat(20)).unwrap();
    assert!(matches!(Ledger::open(config()), Err(OpenError::Foreign { .. })));
    assert!(matches!(Ledger::open_read_only(&Store::sqlite(&path)), Err(OpenError::Foreign { .. })));

    std::fs::remove_file(&path).unwrap();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE customers (name TEXT)").unwrap();
    assert!(matches!(Ledger::open(config()), Err(OpenError::Foreign { .. })));
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("octroi.db");
    open(dir.path()).close().await;
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(Ledger::open(LedgerConfig::new(&path)), Err(OpenError::Newer { found: 99, .. })));
    assert!(matches!(Ledger::open_read_only(&Store::sqlite(&path)), Err(OpenError::Newer { found: 99, .. })));
}

async fn holds_of_an_earlier_life_are_voided_and_reported(world: World) {
    let ledger = world.open();
    assert_eq!(*ledger.recovered(), Recovery::default());
    fund(&ledger, 1, 3_000).await;
    ledger.credit_work(work(2, 5)).await.unwrap();
    let limits = [Limit { key: [1; 32], window: Window::Day, counts: Counts::Amount, most: 1_500 }];
    let money = request(octroi_ledger::AccountRef::Token(token(1)), 1_000).limited(&limits);
    let calls = HoldRequest { unit: Unit::Call, ..request(octroi_ledger::AccountRef::Token(token(2)), 1) };
    let mut open_holds = Vec::new();
    for request in [&money, &calls, &calls] {
        let hold = ledger.hold(request).await.unwrap();
        hold.durable().await.unwrap();
        open_holds.push(hold);
    }
    ledger.close().await;
    for hold in open_holds {
        hold.capture(1_000);
    }

    let ledger = world.open();
    // Where gates share a ledger, one that ends as it should leaves nothing to the next.
    let left = Recovery { voided: 3, msat: 1_000, calls: 2 };
    assert_eq!(*ledger.recovered(), if world.store.is_shared() { Recovery::default() } else { left });
    assert_eq!(available(&ledger, 1).await, 3_000);
    let ended = ledger.reader().unwrap().calls(9).unwrap();
    assert!(
        ended.len() == 3 && ended.iter().all(|call| call.end == CallEnd::Recovered && call.captured == 0)
    );
    let again = ledger.hold(&money).await.unwrap();
    again.durable().await.expect("what was given back is no longer counted by limits either");
    assert_sound(&ledger);
    drop(again);
    ledger.close().await;
    assert_eq!(*world.open().recovered(), Recovery::default());
}

#[tokio::test]
async fn the_database_itself_keeps_the_books_append_only_and_above_zero() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path());
    fund(&ledger, 1, 3_000).await;
    hold(&ledger, 1, 1_000).await.unwrap().capture(1_000);
    ledger.close().await;
    let database = Connection::open(dir.path().join("octroi.db")).unwrap();
    for forbidden in [
        "UPDATE transactions SET amount = 1",
        "DELETE FROM transactions",
        "UPDATE calls SET captured = 0",
        "DELETE FROM calls",
        "UPDATE credits SET account = 1",
        "DELETE FROM credits",
        "DELETE FROM holders",
        "DELETE FROM balances",
        "UPDATE balances SET balance = -1 WHERE house = 0",
        "INSERT INTO calls SELECT * FROM calls",
        "INSERT INTO credits SELECT * FROM credits",
        "INSERT INTO transactions SELECT randomblob(16), 0, 0, source, target, -5 FROM transactions",
        "INSERT INTO transactions SELECT randomblob(16), 0, 0, source, source, 5 FROM transactions",
    ] {
        assert!(database.execute_batch(forbidden).is_err(), "{forbidden}");
    }
}

#[tokio::test]
async fn verification_finds_every_kind_of_breach() {
    let breaches = [
        (
            "UPDATE balances SET balance = balance + 1 WHERE house = 0",
            "every balance is the sum of its entries",
        ),
        (
            "UPDATE settling SET below = 0; INSERT INTO begun SELECT id, account, tool, held, NULL FROM calls",
            "every balance is the sum of its entries",
        ),
        ("DROP TRIGGER calls_last; DELETE FROM calls", "every balance is the sum of its entries"),
        ("DROP TRIGGER calls_stay; UPDATE calls SET earned_by = 1", "a hold ends exactly once"),
        ("INSERT INTO transactions SELECT id, 0, 0, 1, 2, 5 FROM calls", "a hold ends exactly once"),
        ("INSERT INTO begun SELECT id, account, tool, held + 1, NULL FROM calls", "a hold ends exactly once"),
        ("DROP TRIGGER credits_last; DELETE FROM credits", "a credit exists once"),
        ("UPDATE works SET transaction_id = randomblob(16)", "a credit exists once"),
        (
            "INSERT INTO answers VALUES (randomblob(32), randomblob(32), randomblob(16), 200, '', NULL, 0)",
            "a call that is tried again",
        ),
        (
            "INSERT INTO outbox (id, customer, tool, amount, at_ms) SELECT id, 'c', tool, captured + 1, 0 FROM calls",
            "other ledgers are told",
        ),
        ("UPDATE holders SET unit = 1 WHERE kind = 1", "every transaction sums to zero"),
        (
            "INSERT INTO transactions VALUES (randomblob(16), 0, 0, 1, 999, 5)",
            "every transaction sums to zero",
        ),
        (
            "INSERT INTO begun SELECT randomblob(16), account, tool, 9000, NULL FROM calls",
            "no account is below zero",
        ),
    ];
    for (breach, promise) in breaches {
        let dir = tempfile::tempdir().unwrap();
        let ledger = open(dir.path());
        fund(&ledger, 1, 3_000).await;
        ledger.credit_work(work(2, 1)).await.unwrap();
        hold(&ledger, 1, 1_000).await.unwrap().capture(1_000);
        ledger.close().await;
        let path = dir.path().join("octroi.db");
        let reader = Ledger::open_read_only(&Store::sqlite(&path)).unwrap();
        assert!(reader.verify().unwrap().is_sound());
        Connection::open(&path).unwrap().execute_batch(breach).unwrap();
        let found = reader.verify().unwrap().violations;
        assert_eq!(reader.verify_in_turn().unwrap().violations, found);
        assert!(found.iter().any(|violation| violation.promise.starts_with(promise)), "{breach}: {found:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_itself_keeps_the_books_append_only_and_above_zero() {
    let world = World::postgres();
    let ledger = world.open();
    fund(&ledger, 1, 3_000).await;
    hold(&ledger, 1, 1_000).await.unwrap().capture(1_000);
    ledger.close().await;
    let database = world.connect().await;
    for forbidden in [
        "UPDATE transactions SET amount = 1",
        "DELETE FROM transactions",
        "TRUNCATE transactions",
        "UPDATE calls SET captured = 0",
        "DELETE FROM calls",
        "TRUNCATE calls",
        "UPDATE credits SET account = 1",
        "DELETE FROM credits",
        "DELETE FROM accounts",
        "UPDATE accounts SET balance = -1 WHERE kind = 0",
        "UPDATE accounts SET held = balance + 1 WHERE kind = 0",
        "INSERT INTO calls SELECT * FROM calls",
        "INSERT INTO credits SELECT * FROM credits",
    ] {
        assert!(database.try_execute(forbidden).await.is_err(), "{forbidden}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verification_finds_every_kind_of_breach_on_postgres() {
    let breaches = [
        (
            "UPDATE accounts SET balance = balance + 1 WHERE kind = 0",
            "every balance is the sum of its entries",
        ),
        ("UPDATE accounts SET held = held + 1 WHERE kind = 0", "what is held is the sum of the open holds"),
        ("DROP TRIGGER calls_stay ON calls; DELETE FROM calls", "every balance is the sum of its entries"),
        ("DROP TRIGGER calls_stay ON calls; UPDATE calls SET earned_by = 1", "a hold ends exactly once"),
        ("INSERT INTO transactions SELECT id, 0, 0, 1, 2, 5 FROM calls", "a hold ends exactly once"),
        ("INSERT INTO holds SELECT id, 1, account, tool, held, NULL FROM calls", "a hold ends exactly once"),
        ("DROP TRIGGER credits_stay ON credits; DELETE FROM credits", "a credit exists once"),
        ("UPDATE works SET transaction_id = '\\x01'", "a credit exists once"),
        (
            "INSERT INTO answers VALUES (sha256('a'), sha256('b'), 1, substring(sha256('c') FOR 16), 200, '', NULL, 0)",
            "a call that is tried again",
        ),
        (
            "INSERT INTO outbox (id, customer, tool, amount, at_ms) SELECT id, 'c', tool, captured + 1, 0 FROM calls",
            "other ledgers are told",
        ),
        ("UPDATE accounts SET unit = 1 WHERE kind = 1", "every transaction sums to zero"),
        (
            "INSERT INTO transactions VALUES (substring(sha256('d') FOR 16), 0, 0, 1, 999, 5)",
            "every transaction sums to zero",
        ),
        (
            "ALTER TABLE accounts DROP CONSTRAINT accounts_check1; UPDATE accounts SET held = 9000 WHERE kind = 0",
            "no account is below zero",
        ),
    ];
    for (breach, promise) in breaches {
        let world = World::postgres();
        let ledger = world.open();
        fund(&ledger, 1, 3_000).await;
        ledger.credit_work(work(2, 1)).await.unwrap();
        hold(&ledger, 1, 1_000).await.unwrap().capture(1_000);
        ledger.close().await;
        assert_sound(&ledger);
        world.connect().await.execute(breach).await;
        let found = ledger.verify().unwrap().violations;
        assert!(found.iter().any(|violation| violation.promise.starts_with(promise)), "{breach}: {found:?}");
    }
}

async fn what_moved_is_exported_page_by_page(world: World) {
    let ledger = world.open();
    fund(&ledger, 1, 3_000).await;
    ledger.credit_work(work(2, 5)).await.unwrap();
    hold(&ledger, 1, 1_000).await.unwrap().capture(700);
    hold(&ledger, 1, 1_000).await.unwrap().void();
    ledger.close().await;
    let reader = ledger.reader().unwrap();
    let (mut rows, mut last) = (Vec::new(), None);
    while let Some(row) = reader.journal(last.as_deref(), 1).unwrap().pop() {
        last = Some(row.id.clone());
        rows.push(row);
    }
    let seen: Vec<_> = rows.iter().map(|row| (row.kind.as_str(), row.amount, row.unit)).collect();
    assert_eq!(seen, [("payment", 3_000, Unit::Msat), ("work", 5, Unit::Call), ("call", 700, Unit::Msat)]);
    assert_eq!(rows[0].from, "lightning");
    assert_eq!(rows[2].from, format!("credential {}", token(1)));
    assert_eq!(rows[2].to, "revenue demo image_describe");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_made_beside_the_writer_is_a_sound_ledger() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path());
    fund(&ledger, 1, 3_000).await;
    let under_way = hold(&ledger, 1, 1_000).await.unwrap();
    under_way.durable().await.unwrap();
    let copy = dir.path().join("copy.db");
    let reader = ledger.reader().unwrap();
    reader.backup(&copy).unwrap();
    assert!(reader.backup(&copy).is_err(), "nothing is written over");
    under_way.capture(1_000);
    let copied = Ledger::open(LedgerConfig::new(&copy)).unwrap();
    assert_eq!(copied.recovered().voided, 1);
    assert_eq!(available(&copied, 1).await, 3_000);
    assert_sound(&copied);
    let shared = World::postgres();
    shared.open().close().await;
    let reader = Ledger::open_read_only(&shared.store).unwrap();
    assert!(matches!(reader.backup(&copy), Err(octroi_ledger::ReadError::NoBackup)));
}

#[test]
fn a_schema_is_brought_forward_once_and_a_newer_one_refused() {
    for world in [World::sqlite(), World::postgres()] {
        let (from, to) = Ledger::migrate(&world.store).unwrap();
        assert_eq!((from, Ledger::migrate(&world.store).unwrap()), (0, (to, to)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_schema_in_postgres_and_a_foreign_one_are_refused() {
    let world = World::postgres();
    world.open().close().await;
    let database = world.connect().await;
    database.execute("UPDATE octroi_ledger SET schema = 99").await;
    assert!(matches!(Ledger::open(world.config()), Err(OpenError::Newer { found: 99, .. })));
    assert!(matches!(Ledger::open_read_only(&world.store), Err(OpenError::Newer { found: 99, .. })));
    database.execute("DROP TABLE octroi_ledger").await;
    assert!(matches!(Ledger::open(world.config()), Err(OpenError::Foreign { .. })));
}

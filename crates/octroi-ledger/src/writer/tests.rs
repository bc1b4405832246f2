//! The writer on disks that fail: nobody waits for ever, nothing is charged, and what was promised is written later.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use octroi_l402::{Msat, PaymentHash, TokenId};

use crate::engine::{
    Authority, Command, Engine, EngineError, LoadRequest, Loaded, Outcome, Question, Reply, sqlite,
};
use crate::id::IdSource;
use crate::ledger::open::Start;
use crate::{
    AccountRef, HoldRefused, HoldRequest, Ledger, LedgerConfig, LedgerError, OpenHold, Settlement, Unit,
    Voucher,
};

const WORKS: u8 = 0;
const FAILS: u8 = 1;
const PANICS: u8 = 2;

/// A disk that can be told how to behave.
struct Moody<E> {
    engine: E,
    mood: Arc<AtomicU8>,
}

impl<E> Moody<E> {
    fn mood(&self) -> Result<(), EngineError> {
        match self.mood.load(Ordering::SeqCst) {
            FAILS => Err(EngineError("no space left on device".to_owned())),
            PANICS => panic!("the writer meets a bug"),
            _ => Ok(()),
        }
    }
}

impl<E: Engine> Engine for Moody<E> {
    fn commit(&mut self, batch: &[Command<'_>]) -> Result<Vec<Outcome>, EngineError> {
        self.mood()?;
        self.engine.commit(batch)
    }

    fn load(&mut self, request: &LoadRequest) -> Result<Loaded, EngineError> {
        self.engine.load(request)
    }

    fn ask(&mut self, question: &Question) -> Result<Reply, EngineError> {
        self.engine.ask(question)
    }

    fn probe(&mut self) -> Result<(), EngineError> {
        self.mood()?;
        self.engine.probe()
    }

    fn upkeep(&mut self, last: bool) -> bool {
        self.engine.upkeep(last)
    }
}

fn token() -> TokenId {
    TokenId::from_bytes([1; 32])
}

fn config(dir: &Path) -> LedgerConfig {
    LedgerConfig { retry_after: Duration::from_millis(1), ..LedgerConfig::new(dir.join("octroi.db")) }
}

fn moody(dir: &Path) -> (Ledger, Arc<AtomicU8>) {
    let config = config(dir);
    let opened = sqlite::open(&dir.join("octroi.db"), config.sizes()).unwrap();
    let mood = Arc::new(AtomicU8::new(WORKS));
    let engine = Moody { engine: opened.engine, mood: Arc::clone(&mood) };
    let start = Start {
        authority: Authority::Memory,
        ids: IdSource::after(opened.last_id),
        revoked: opened.revoked,
        recovery: opened.recovery,
    };
    (Ledger::start(engine, &config, start).unwrap(), mood)
}

async fn fund(ledger: &Ledger) {
    let gift = Voucher {
        token_id: token(),
        payment_hash: PaymentHash::from_bytes([2; 32]),
        owner: None,
        amount: Msat::new(1_000),
        calls: 0,
        note: String::new(),
        created_at: 0,
        expires_at: 0,
    };
    ledger.mint_voucher(gift).await.unwrap();
}

async fn hold(ledger: &Ledger, amount: i64) -> Result<OpenHold, HoldRefused> {
    let account = AccountRef::Token(token());
    let request = HoldRequest::new(account, Unit::Msat, amount, "s", "t");
    ledger.hold(&request).await
}

async fn available(ledger: &Ledger) -> i64 {
    ledger.balance(&token()).await.unwrap().unwrap().available
}

async fn until_it_writes(ledger: &Ledger) {
    while ledger.prune(0).await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_full_disk_refuses_calls_and_keeps_the_ends_of_holds() {
    let dir = tempfile::tempdir().unwrap();
    let (ledger, mood) = moody(dir.path());
    fund(&ledger).await;
    let (captured, voided) = (hold(&ledger, 100).await.unwrap(), hold(&ledger, 200).await.unwrap());
    captured.durable().await.unwrap();
    voided.durable().await.unwrap();

    mood.store(FAILS, Ordering::SeqCst);
    let lost = hold(&ledger, 300).await.expect("memory knows nothing of the disk yet");
    assert!(matches!(lost.durable().await, Err(LedgerError::Unavailable(why)) if why.contains("no space")));
    assert!(
        matches!(hold(&ledger, 1).await, Err(HoldRefused::Unavailable(_))),
        "the next is refused before any work"
    );
    let payment = Settlement {
        payment_hash: PaymentHash::from_bytes([3; 32]),
        amount: Msat::new(5),
        settled_at: 0,
        cursor: None,
        node: "node".to_owned(),
    };
    assert!(matches!(ledger.credit_payment(payment).await, Err(LedgerError::Unavailable(_))));
    captured.capture(60);
    voided.void();
    lost.capture(300);

    mood.store(WORKS, Ordering::SeqCst);
    until_it_writes(&ledger).await;
    assert_eq!(available(&ledger).await, 940);
    hold(&ledger, 940).await.unwrap().durable().await.unwrap();
    ledger.close().await;

    let ledger = Ledger::open(config(dir.path())).unwrap();
    assert_eq!(available(&ledger).await, 940, "charged once, for the call that was delivered");
    assert!(ledger.verify().unwrap().is_sound());
    assert_eq!(ledger.report().unwrap().captured, 1);
}

#[tokio::test]
async fn ends_that_meet_the_failing_disk_first_are_kept_too() {
    let dir = tempfile::tempdir().unwrap();
    let (ledger, mood) = moody(dir.path());
    fund(&ledger).await;
    let durable = hold(&ledger, 100).await.unwrap();
    durable.durable().await.unwrap();
    mood.store(FAILS, Ordering::SeqCst);
    // In one batch or in several: the end of a durable hold, a hold that fails, and its end.
    durable.capture(100);
    hold(&ledger, 50).await.map(|open| open.capture(50)).ok();
    mood.store(WORKS, Ordering::SeqCst);
    until_it_writes(&ledger).await;
    ledger.close().await;
    let ledger = Ledger::open(config(dir.path())).unwrap();
    assert!(ledger.verify().unwrap().is_sound());
    let report = ledger.report().unwrap();
    assert!(matches!((available(&ledger).await, report.captured), (900, 1) | (850, 2)), "{report:?}");
}

#[tokio::test]
async fn a_writer_that_panics_leaves_nobody_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let (ledger, mood) = moody(dir.path());
    fund(&ledger).await;
    let before = hold(&ledger, 100).await.unwrap();
    before.durable().await.unwrap();
    mood.store(PANICS, Ordering::SeqCst);
    let open = hold(&ledger, 100).await.unwrap();
    assert!(matches!(open.durable().await, Err(LedgerError::Unavailable(_))));
    assert!(matches!(ledger.prune(0).await, Err(LedgerError::Unavailable(_))));
    assert!(matches!(hold(&ledger, 1).await, Err(HoldRefused::Unavailable(_))));
    drop((before, open));
    ledger.close().await;
    let ledger = Ledger::open(config(dir.path())).unwrap();
    assert_eq!(ledger.recovered().voided, 1, "the payer has the benefit");
    assert_eq!(available(&ledger).await, 1_000);
    assert!(ledger.verify().unwrap().is_sound());
}

#[tokio::test]
async fn closing_on_a_dead_disk_ends() {
    let dir = tempfile::tempdir().unwrap();
    let (ledger, mood) = moody(dir.path());
    fund(&ledger).await;
    let open = hold(&ledger, 100).await.unwrap();
    open.durable().await.unwrap();
    mood.store(FAILS, Ordering::SeqCst);
    open.capture(100);
    ledger.close().await;
    let ledger = Ledger::open(config(dir.path())).unwrap();
    assert_eq!((ledger.recovered().voided, available(&ledger).await), (1, 1_000));
}

#[tokio::test]
async fn what_the_disk_does_not_cover_is_refused_and_memory_learns() {
    let dir = tempfile::tempdir().unwrap();
    let (ledger, _) = moody(dir.path());
    fund(&ledger).await;
    // Somebody else takes money away behind the ledger's back.
    rusqlite::Connection::open(dir.path().join("octroi.db"))
        .unwrap()
        .execute("UPDATE balances SET balance = 300 WHERE house = 0", [])
        .unwrap();
    let covered = hold(&ledger, 200).await.unwrap();
    let not_covered = hold(&ledger, 500).await.unwrap();
    assert_eq!(not_covered.durable().await, Err(LedgerError::Refused));
    covered.durable().await.expect("others in the same batch are not touched");
    assert_eq!(available(&ledger).await, 100);
    drop(not_covered);
    assert_eq!(hold(&ledger, 101).await.unwrap_err(), HoldRefused::Insufficient { available: 100 });
}

#[tokio::test]
async fn a_read_only_file_and_a_full_one_are_refused_and_recover() {
    let dir = tempfile::tempdir().unwrap();
    for (breaks, mends) in
        [("query_only = 1", "query_only = 0"), ("max_page_count = 1", "max_page_count = 1000000")]
    {
        let mut opened = sqlite::open(&dir.path().join("octroi.db"), config(dir.path()).sizes()).unwrap();
        let before = opened.engine.pulse();
        opened.engine.pragma(breaks);
        // Enough for a page of its own.
        let entry = crate::engine::Entry::Voucher(Voucher {
            token_id: TokenId::from_bytes([before; 32]),
            payment_hash: PaymentHash::from_bytes([before; 32]),
            owner: None,
            amount: Msat::new(1_000),
            calls: 0,
            note: "n".repeat(100_000),
            created_at: 0,
            expires_at: 0,
        });
        let id = crate::id::EntryId::first_of(u64::from(before));
        let commands = [Command::Entry { id, at_ms: 0, entry: &entry }];
        assert!(opened.engine.commit(&commands).is_err(), "{breaks}");
        opened.engine.pragma(mends);
        assert!(matches!(opened.engine.commit(&commands).unwrap()[..], [Ok(_)]), "{mends}");
        opened.engine.probe().unwrap();
    }
}

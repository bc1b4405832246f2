//! Short ways to say what the tests do.

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use octroi_l402::{Msat, PaymentHash, TokenId};
use octroi_ledger::{
    AccountRef, Answer, Credited, DEFAULT_SETTLE_AFTER, HoldRefused, HoldRequest, Ledger, LedgerConfig,
    OpenHold, Quote, Settlement, Store, Unit, Voucher, Work,
};
use octroi_testkit::postgres::{Cluster, ClusterOptions};

/// Long before any test runs, and long after, in Unix seconds.
pub(crate) const PAST: u64 = 1_000_000_000;
pub(crate) const FUTURE: u64 = 9_000_000_000;

pub(crate) fn token(n: u32) -> TokenId {
    TokenId::from_bytes(bytes(1, n))
}

pub(crate) fn hash(n: u32) -> PaymentHash {
    PaymentHash::from_bytes(bytes(2, n))
}

pub(crate) fn owner(n: u32) -> [u8; 32] {
    bytes(3, n)
}

fn bytes(kind: u8, n: u32) -> [u8; 32] {
    let mut bytes = [kind; 32];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    bytes
}

/// A place for a ledger, in one engine or the other.
pub(crate) struct World {
    pub(crate) store: Store,
    /// As the ledger's config has it.
    pub(crate) settle_after: usize,
    _dir: Option<tempfile::TempDir>,
}

impl World {
    pub(crate) fn sqlite() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Store::sqlite(dir.path().join("octroi.db"));
        Self { store, settle_after: DEFAULT_SETTLE_AFTER, _dir: Some(dir) }
    }

    pub(crate) fn postgres() -> Self {
        Self::at(Store::postgres(&cluster().fresh_url(), TIMEOUT, LEASE).expect("a URL"))
    }

    pub(crate) fn at(store: Store) -> Self {
        Self { store, settle_after: DEFAULT_SETTLE_AFTER, _dir: None }
    }

    pub(crate) fn config(&self) -> LedgerConfig {
        LedgerConfig { settle_after: self.settle_after, ..LedgerConfig::at(self.store.clone()) }
    }

    pub(crate) fn open(&self) -> Ledger {
        Ledger::open(self.config()).expect("the ledger opens")
    }
}

/// The database itself, for tests that do what no gate does.
pub(crate) struct Database(tokio_postgres::Client);

impl World {
    /// The ledger's tables, in PostgreSQL.
    pub(crate) async fn connect(&self) -> Database {
        let (text, url) = (self.store.to_string(), cluster().url(""));
        let schema = text.rsplit('=').next().expect("its schema");
        let plain = url.split('?').next().expect("an address");
        let (client, connection) =
            tokio_postgres::connect(plain, tokio_postgres::NoTls).await.expect("a connection");
        tokio::spawn(connection);
        client.batch_execute(&format!("SET search_path = {schema}")).await.expect("a schema");
        Database(client)
    }
}

impl Database {
    pub(crate) async fn try_execute(&self, sql: &str) -> Result<(), tokio_postgres::Error> {
        self.0.batch_execute(sql).await
    }

    pub(crate) async fn execute(&self, sql: &str) {
        self.try_execute(sql).await.expect("it can be done");
    }

    /// What a gate leaves that died while it held `amount` of the only credential.
    pub(crate) async fn gate_that_died(&mut self, amount: i64) {
        self.execute(&format!(
            "BEGIN;
             INSERT INTO gates (slot, alive_until) VALUES (1000, now());
             INSERT INTO tools (service, tool) VALUES ('demo', 'image_describe') ON CONFLICT DO NOTHING;
             INSERT INTO holds SELECT decode(repeat('01', 16), 'hex'), g.id, a.id, t.id, {amount}
                 FROM gates g, accounts a, tools t WHERE g.slot = 1000 AND a.kind = 0;
             UPDATE accounts SET held = held + {amount} WHERE kind = 0;
             COMMIT"
        ))
        .await;
    }
}

/// Generous, because the machine may be busy; nothing waits this long unless it fails.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);
/// Longer than any test.
pub(crate) const LEASE: Duration = Duration::from_secs(3_600);

/// The PostgreSQL server of this test process.
pub(crate) fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        Cluster::start(ClusterOptions::default()).expect(
            "PostgreSQL 15 or later; on Debian: apt-get install postgresql-15, or cargo xtask test does it",
        )
    })
}

/// One test, twice: on each engine.
macro_rules! on_both_engines {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::support::World::sqlite()).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::support::World::postgres()).await;
            })*
        }
    };
}

pub(crate) fn open(dir: &Path) -> Ledger {
    Ledger::open(LedgerConfig::new(dir.join("octroi.db"))).expect("the ledger opens")
}

pub(crate) fn quote(n: u32) -> Quote {
    Quote {
        payment_hash: hash(n),
        token_id: token(n),
        owner: None,
        service: "demo".to_owned(),
        tool: "image_describe".to_owned(),
        calls: 1,
        price: Msat::new(3_000),
        call_price: Msat::new(3_000),
        created_at: PAST,
        expires_at: FUTURE,
        macaroon_expires_at: FUTURE,
    }
}

pub(crate) fn settlement(n: u32, msat: i64) -> Settlement {
    Settlement {
        payment_hash: hash(n),
        amount: Msat::new(msat),
        settled_at: PAST,
        cursor: Some(format!("cursor-{n}")),
        node: "node".to_owned(),
    }
}

pub(crate) fn voucher(n: u32, msat: i64) -> Voucher {
    Voucher {
        token_id: token(n),
        payment_hash: hash(n),
        owner: None,
        amount: Msat::new(msat),
        calls: 0,
        note: "a friend".to_owned(),
        created_at: PAST,
        expires_at: FUTURE,
    }
}

pub(crate) fn work(n: u32, calls: u32) -> Work {
    let mut challenge_id = [0; 16];
    challenge_id[..4].copy_from_slice(&n.to_be_bytes());
    Work {
        challenge_id,
        token_id: token(n),
        owner: None,
        calls,
        service: "demo".to_owned(),
        expires_at: FUTURE,
    }
}

/// A credential with `msat` on it.
pub(crate) async fn fund(ledger: &Ledger, n: u32, msat: i64) {
    ledger.record_quote(quote(n)).await.expect("quoted");
    let credited = ledger.credit_payment(settlement(n, msat)).await.expect("credited");
    assert_eq!(credited, Credited::New { token_id: token(n), owner: None, balance: msat });
}

pub(crate) fn request(account: AccountRef, amount: i64) -> HoldRequest<'static> {
    HoldRequest::new(account, Unit::Msat, amount, "demo", "image_describe")
}

pub(crate) fn answer(text: &str) -> Answer {
    Answer { status: 200, media: "application/json".to_owned(), body: Some(text.as_bytes().to_vec()) }
}

pub(crate) async fn hold(ledger: &Ledger, n: u32, amount: i64) -> Result<OpenHold, HoldRefused> {
    ledger.hold(&request(AccountRef::Token(token(n)), amount)).await
}

pub(crate) async fn available(ledger: &Ledger, n: u32) -> i64 {
    ledger.balance(&token(n)).await.expect("readable").expect("an account").available
}

pub(crate) fn assert_sound(ledger: &Ledger) {
    let verification = ledger.verify().expect("readable");
    assert!(verification.is_sound(), "{:#?}", verification.violations);
}

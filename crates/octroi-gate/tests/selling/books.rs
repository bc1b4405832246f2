//! The books compared with a node that misses payments, has more, has others, or had them late.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use octroi_gate::reconcile::{Acted, Bookkeeper, FindingKind, ReconcileSettings, Reconciliation};
use octroi_l402::{Msat, PaymentHash, TokenId};
use octroi_ledger::{AccountRef, HoldRequest, Ledger, LedgerConfig, Quote, Settlement, Unit};
use octroi_lightning::{LightningNode, NodeError, Settled};
use tempfile::TempDir;

use crate::node::ScriptedNode;

/// When the invoices of these tests end, in Unix seconds; they are asked for and paid around that time.
const END: u64 = 1_900_000_000;

struct Books {
    ledger: Ledger,
    node: Arc<ScriptedNode>,
    keeper: Bookkeeper,
    _folder: TempDir,
}

impl Books {
    fn open() -> Self {
        Self::bounded(100)
    }

    fn bounded(asked_max: u64) -> Self {
        let folder = TempDir::new().expect("a folder");
        let ledger = Ledger::open(LedgerConfig::new(folder.path().join("ledger.db"))).expect("a ledger");
        let node = Arc::new(ScriptedNode::default());
        let settings = ReconcileSettings {
            every: None,
            reach: Duration::from_secs(3_600),
            act: false,
            hold_age: Duration::ZERO,
            asked_max,
            grace: Duration::ZERO,
        };
        let keeper = Bookkeeper::new(ledger.clone(), Some(Arc::clone(&node) as _), settings);
        Self { ledger, node, keeper, _folder: folder }
    }

    async fn look(&self, acting: bool) -> (Arc<Reconciliation>, Acted) {
        self.keeper.look(0, acting).await.expect("a look")
    }

    async fn quote(&self, number: u8, price: i64) {
        let quote = Quote {
            payment_hash: hash(number),
            token_id: token(number),
            owner: None,
            service: "mcp".to_owned(),
            tool: "paid".to_owned(),
            calls: 1,
            price: Msat::new(price),
            call_price: Msat::new(price),
            created_at: END - 600,
            expires_at: END,
            macaroon_expires_at: END,
        };
        self.ledger.record_quote(quote).await.expect("a quote");
    }

    /// The node has it.
    fn arrived(&self, number: u8, msat: i64, settled_at: u64) {
        let settled = Settled { payment_hash: hash(number), amount: Msat::new(msat), settled_at };
        self.node.past.lock().expect("a lock").push(settled);
    }

    /// The ledger has it.
    async fn credited(&self, number: u8, msat: i64, settled_at: u64) {
        self.credited_by(&self.node.ledger_name(), number, msat, settled_at).await;
    }

    /// The same, from the node of this name.
    async fn credited_by(&self, node: &str, number: u8, msat: i64, settled_at: u64) {
        let settlement = Settlement {
            payment_hash: hash(number),
            amount: Msat::new(msat),
            settled_at,
            cursor: Some(number.to_string()),
            node: node.to_owned(),
        };
        self.ledger.credit_payment(settlement).await.expect("a credit");
    }

    async fn balance(&self, number: u8) -> Option<i64> {
        self.ledger.balance(&token(number)).await.expect("a balance").map(|balance| balance.available)
    }
}

fn hash(number: u8) -> PaymentHash {
    PaymentHash::from_bytes([number; 32])
}

fn token(number: u8) -> TokenId {
    TokenId::from_bytes([number; 32])
}

fn kinds(found: &Reconciliation) -> Vec<(FindingKind, String)> {
    found.findings.iter().map(|one| (one.kind, one.subject.clone())).collect()
}

#[tokio::test]
async fn nothing_is_said_where_everything_agrees() {
    for lists in [false, true] {
        let books = Books::open();
        books.node.lists.store(lists, SeqCst);
        for number in 1..=5 {
            books.quote(number, 3_000).await;
            if number < 5 {
                books.arrived(number, 3_000, END - u64::from(number));
                books.credited(number, 3_000, END - u64::from(number)).await;
            }
        }
        let (found, acted) = books.look(true).await;
        assert!(found.is_empty(), "{found:?}");
        assert_eq!((found.payments, found.listed), (4, if lists { 4 } else { 0 }));
        // Those that were paid, and for a node that lists nothing the one that was not.
        assert_eq!((found.asked, found.not_asked), (if lists { 4 } else { 5 }, 0));
        assert_eq!(acted, Acted::default());
    }
}

#[tokio::test]
async fn a_missing_credit_is_named_and_booked_once() {
    for lists in [false, true] {
        let books = Books::open();
        books.node.lists.store(lists, SeqCst);
        books.quote(1, 3_000).await;
        books.quote(2, 3_000).await;
        books.arrived(1, 3_000, END - 1);
        let (found, _) = books.look(false).await;
        assert_eq!(kinds(&found), [(FindingKind::NotCredited, hash(1).to_string())]);
        assert_eq!((found.findings[0].msat, found.findings[0].at), (Some(3_000), Some(END - 1)));
        assert_eq!(books.balance(1).await, None, "looking books nothing");

        let (left, acted) = books.look(true).await;
        assert!(left.is_empty(), "{left:?}");
        assert_eq!((acted.credited, acted.credited_msat), (1, 3_000));
        assert_eq!((books.balance(1).await, books.balance(2).await), (Some(3_000), None));
        assert_eq!(books.look(true).await.1, Acted::default());
        assert_eq!(books.balance(1).await, Some(3_000));
        assert_eq!(books.keeper.counts(), (3, 0, 1));
        assert!(books.ledger.verify().expect("a look").is_sound());
    }
}

#[tokio::test]
async fn a_payment_without_a_quote_is_found_by_those_that_list_and_goes_to_suspense() {
    let books = Books::open();
    books.node.lists.store(true, SeqCst);
    // All of one second, so that the node's short answers repeat themselves.
    for number in 1..=2 {
        books.arrived(number, 1_000, END);
    }
    books.arrived(3, 1_000, END + 1);
    let (found, _) = books.look(false).await;
    assert_eq!((found.count(FindingKind::NotCredited), found.listed), (3, 3));
    let (left, acted) = books.look(true).await;
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(acted.credited, 3);
    assert_eq!(books.ledger.report().expect("a report").suspense_msat, 3_000);
}

#[tokio::test]
async fn more_less_late_and_unasked_are_named_until_they_are_accepted() {
    let books = Books::open();
    for number in 1..=3 {
        books.quote(number, 3_000).await;
    }
    for (number, msat, at) in [(1, 4_000, END), (2, 2_000, END), (3, 3_000, END + 1), (4, 500, END)] {
        books.arrived(number, msat, at);
        books.credited(number, msat, at).await;
    }
    let wanted = [
        (FindingKind::Overpaid, hash(1).to_string()),
        (FindingKind::Underpaid, hash(2).to_string()),
        (FindingKind::Late, hash(3).to_string()),
        (FindingKind::Unasked, hash(4).to_string()),
    ];
    assert_eq!(kinds(&books.look(false).await.0), wanted);
    assert_eq!(kinds(&books.look(false).await.0), wanted, "looking accepts nothing");
    let (left, acted) = books.look(true).await;
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(acted, Acted { accepted: 4, ..Acted::default() });
    assert_eq!((books.balance(1).await, books.balance(2).await), (Some(4_000), Some(2_000)));
}

#[tokio::test]
async fn a_credit_the_node_knows_nothing_of_stays_until_a_person_has_looked() {
    let books = Books::open();
    for number in 1..=3 {
        books.quote(number, 3_000).await;
        books.credited(number, 3_000, END).await;
    }
    books.arrived(1, 3_000, END);
    books.arrived(2, 2_000, END);
    let wanted =
        [(FindingKind::NotSettled, hash(3).to_string()), (FindingKind::AmountDiffers, hash(2).to_string())];
    let (left, acted) = books.look(true).await;
    assert_eq!((kinds(&left), acted), (wanted.to_vec(), Acted::default()));
    for number in [2, 3] {
        books.ledger.accept_payment(&hash(number)).await.expect("accepted");
    }
    assert!(books.look(false).await.0.is_empty());
}

#[tokio::test]
async fn payments_of_before_nodes_had_names_are_asked_about_where_there_is_one_of_the_kind() {
    let books = Books::open();
    let kind = books.node.backend();
    for number in 1..=2 {
        books.quote(number, 3_000).await;
        books.credited_by(kind, number, 3_000, END).await;
    }
    books.arrived(1, 3_000, END);
    let missing = [(FindingKind::NotSettled, hash(2).to_string())];
    assert_eq!(kinds(&books.look(false).await.0), missing);
    // This node's own name, and one of another kind, change nothing.
    books.quote(3, 3_000).await;
    books.credited(3, 3_000, END).await;
    books.arrived(3, 3_000, END);
    books.quote(4, 3_000).await;
    books.credited_by("another:1", 4, 3_000, END).await;
    assert_eq!(kinds(&books.look(false).await.0), missing);
    // With two of the kind nobody knows whose they were.
    books.quote(5, 3_000).await;
    books.credited_by(&format!("{kind}:other"), 5, 3_000, END).await;
    let (found, _) = books.look(false).await;
    assert!(found.is_empty(), "{found:?}");
}

#[tokio::test]
async fn open_holds_are_named_and_what_the_bound_leaves_out_is_counted() {
    let books = Books::bounded(2);
    for number in 1..=4 {
        books.quote(number, 3_000).await;
    }
    books.credited(1, 3_000, END).await;
    books.arrived(1, 3_000, END);
    let request = HoldRequest::new(AccountRef::Token(token(1)), Unit::Msat, 700, "mcp", "paid");
    let hold = books.ledger.hold(&request).await.expect("a hold");
    hold.durable().await.expect("on disk");
    // A hold of this very millisecond is no old one.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let (found, _) = books.look(true).await;
    assert_eq!(kinds(&found), [(FindingKind::OpenHold, hold.id().to_string())]);
    assert_eq!(found.findings[0].msat, Some(700));
    assert_eq!((found.asked, found.not_asked), (2, 2));
    hold.void();
    drop(books.ledger.outbox_take(0, Duration::ZERO).await);
    assert!(books.look(false).await.0.is_empty());
}

#[tokio::test]
async fn a_node_that_does_not_answer_is_no_proof_of_anything() {
    let books = Books::open();
    books.quote(1, 3_000).await;
    *books.node.broken.lock().expect("a lock") = Some(NodeError::Timeout);
    assert!(books.keeper.look(0, true).await.is_err());
    assert_eq!(books.keeper.counts(), (1, 1, 0));
    assert!(books.keeper.last().is_none());
}

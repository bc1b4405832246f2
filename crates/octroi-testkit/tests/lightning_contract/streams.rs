//! Settlements that are told twice, passed over, told from the start again, or counted anew: each is in the ledger once. And nodes that
//! the ledger knows by another name.

use octroi_gate::Rate;
use octroi_gate::invoices::{InvoiceDesk, InvoiceSettings, MintLimits};
use octroi_l402::TokenId;
use octroi_ledger::{Ledger, LedgerConfig, Quote, QuoteState};
use octroi_testkit::node_apis::Telling;
use tokio::task::AbortHandle;

use super::faults::{ADAPTERS, Adapter, adapter};
use super::*;

/// How often the ledger is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// A ledger, and what it should hold.
struct Books {
    ledger: Ledger,
    sold: Vec<Invoice>,
    booking: Option<AbortHandle>,
    _folder: StoreDir,
}

impl Drop for Books {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Books {
    fn open() -> Self {
        let folder = StoreDir::temporary().unwrap();
        let ledger = Ledger::open(LedgerConfig::new(folder.path().join("ledger.db"))).unwrap();
        Self { ledger, sold: Vec::new(), booking: None, _folder: folder }
    }

    /// A gate that starts: it books what this node tells.
    fn book(&mut self, node: Arc<dyn LightningNode>) {
        self.stop();
        let settings = InvoiceSettings {
            ttl_seconds: 600,
            limits: MintLimits {
                per_network: Rate { count: 60, period_seconds: 1 },
                ..MintLimits::default()
            },
            entry: None,
            ready: 0,
            slow: PATIENCE,
            low_inbound: None,
            look_every: PATIENCE,
            network: Some("regtest"),
        };
        let desk = Arc::new(InvoiceDesk::new(node, settings).unwrap());
        self.booking = Some(tokio::spawn(desk.book_settlements(self.ledger.clone())).abort_handle());
    }

    fn stop(&mut self) {
        if let Some(booking) = self.booking.take() {
            booking.abort();
        }
    }

    /// An invoice that the ledger knows what it is for.
    async fn sell(&mut self, node: &dyn LightningNode, msat: i64) -> Invoice {
        let mut trouble = None;
        let made = async {
            loop {
                // What went wrong with a connection before may still meet this one.
                match node.create_invoice(asking(msat)).await {
                    Ok(invoice) => return invoice,
                    Err(error) => trouble = Some(error),
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        let made = tokio::time::timeout(PATIENCE, made).await;
        let invoice = made.unwrap_or_else(|_| panic!("{}: no invoice: {trouble:?}", node.backend()));
        let number = u8::try_from(self.sold.len()).unwrap();
        let quote = Quote {
            payment_hash: invoice.payment_hash,
            token_id: TokenId::from_bytes([number; 32]),
            owner: None,
            service: "s".to_owned(),
            tool: "t".to_owned(),
            calls: 1,
            price: invoice.amount,
            call_price: invoice.amount,
            created_at: 1,
            expires_at: invoice.expires_at,
            macaroon_expires_at: invoice.expires_at,
        };
        self.ledger.record_quote(quote).await.unwrap();
        self.sold.push(invoice.clone());
        invoice
    }

    async fn sell_and_pay(&mut self, node: &dyn LightningNode, pair: &Pair) -> Invoice {
        let invoice = self.sell(node, 2_000).await;
        pair.payer.node.pay(&invoice.bolt11, Msat::ZERO, PATIENCE).await.unwrap();
        invoice
    }

    /// Waits until all that was sold is paid for in the ledger, then counts it.
    async fn balance(&self, what: &str) {
        let all = async {
            for invoice in &self.sold {
                while !matches!(self.ledger.quote(&invoice.payment_hash).await.unwrap(), QuoteState::Paid(_))
                {
                    tokio::time::sleep(LOOK).await;
                }
            }
        };
        let paid = tokio::time::timeout(PATIENCE, all).await;
        let report = self.ledger.report().unwrap();
        paid.unwrap_or_else(|_| panic!("{what}: not everything was booked: {report:?}"));
        let sum: i64 = self.sold.iter().map(|invoice| invoice.amount.as_i64()).sum();
        assert_eq!((report.received_msat, report.suspense_msat), (sum, 0), "{what}");
        assert_eq!(report.credit_msat, sum, "{what}: each once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_twice_or_not_or_again_is_credited_once() {
    for number in 0..ADAPTERS {
        // Nodes of its own: nobody is told of what another was paid a moment ago.
        let pair = pair().await;
        let Adapter { name, api, client } = adapter(number, &pair).await;
        let mut books = Books::open();
        let node: Arc<dyn LightningNode> = client().into();
        books.book(Arc::clone(&node));
        books.sell_and_pay(&*node, &pair).await;
        books.balance(name).await;
        for telling in [Telling::Twice, Telling::Skipped, Telling::FromTheStart] {
            api.faults().tell(telling);
            api.faults().cut_streams();
            books.sell_and_pay(&*node, &pair).await;
            books.sell_and_pay(&*node, &pair).await;
            // Where nothing but a cut shows that something was passed over.
            api.faults().cut_streams();
            books.balance(&format!("{name}, {telling:?}")).await;
        }
        // The same money once more, and the gate started again on its ledger.
        let again = books.sold[0].clone();
        api.arrives(again.payment_hash, again.amount);
        books.stop();
        drop(node);
        let node: Arc<dyn LightningNode> = client().into();
        books.sell_and_pay(&*node, &pair).await;
        books.book(node);
        books.balance(&format!("{name}, started again")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_counts_anew_is_noticed_while_the_gate_runs_and_while_it_does_not() {
    for number in 0..ADAPTERS {
        // Nodes of its own: nobody is told of what another was paid a moment ago.
        let pair = pair().await;
        let Adapter { name, api, client } = adapter(number, &pair).await;
        let Some(api) = api.that_numbers() else { continue };
        let mut books = Books::open();
        let node: Arc<dyn LightningNode> = client().into();
        books.book(Arc::clone(&node));
        for _ in 0..3 {
            books.sell_and_pay(&*node, &pair).await;
        }
        books.balance(name).await;
        api.counts_anew();
        books.sell_and_pay(&*node, &pair).await;
        books.balance(&format!("{name}, anew")).await;

        books.stop();
        drop(node);
        api.counts_anew();
        let node: Arc<dyn LightningNode> = client().into();
        books.sell_and_pay(&*node, &pair).await;
        books.book(Arc::clone(&node));
        books.balance(&format!("{name}, anew while the gate was down")).await;
        books.sell_and_pay(&*node, &pair).await;
        books.balance(&format!("{name}, and on")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_stands_in_the_way_of_nothing() {
    for number in 0..ADAPTERS {
        // Nodes of its own: nobody is told of what another was paid a moment ago.
        let pair = pair().await;
        let Adapter { name, api, client } = adapter(number, &pair).await;
        let mut books = Books::open();
        let node: Arc<dyn LightningNode> = client().into();
        books.book(Arc::clone(&node));
        for (number, msat) in [0, -5, i64::MAX, i64::MIN].into_iter().enumerate() {
            let nobodys = PaymentHash::from_bytes([200 + u8::try_from(number).unwrap(); 32]);
            api.arrives(nobodys, Msat::new(msat));
        }
        books.sell_and_pay(&*node, &pair).await;
        books.balance(name).await;
    }
}

/// A place in the stream of a node of this kind, and the name it has in the ledger.
fn places(kind: &str, now: u64) -> [(String, String); 4] {
    let hash = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE";
    [
        // Of before nodes had names, and cursors hashes.
        (kind.to_owned(), format!("17f.4.5000.{now}")),
        (kind.to_owned(), format!("17f.4.{now}")),
        // Another node, far ahead; and one whose clock was wrong by centuries.
        (format!("{kind}:https://elsewhere.example/"), format!("17f.4.5000.{now}.{hash}")),
        (format!("{kind}:https://elsewhere.example/"), format!("17f.4.5000.{}.{hash}", now + 10_000_000_000)),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_of_an_older_name_or_of_another_node_hides_nothing() {
    for number in 0..ADAPTERS {
        // Nodes of its own: nobody is told of what another was paid a moment ago.
        let pair = pair().await;
        let Adapter { name, client, api: _api } = adapter(number, &pair).await;
        let kind = client().backend();
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
        for (called, cursor) in places(kind, now) {
            let mut books = Books::open();
            // What the ledger had of it: a payment that nobody was asked for.
            let foreign = octroi_ledger::Settlement {
                payment_hash: PaymentHash::from_bytes([1; 32]),
                amount: Msat::new(1),
                settled_at: now,
                node: called.clone(),
                cursor: Some(cursor.clone()),
            };
            books.ledger.credit_payment(foreign).await.unwrap();
            let node: Arc<dyn LightningNode> = client().into();
            let sold = books.sell_and_pay(&*node, &pair).await;
            books.book(Arc::clone(&node));
            let paid = async {
                while !matches!(books.ledger.quote(&sold.payment_hash).await.unwrap(), QuoteState::Paid(_)) {
                    tokio::time::sleep(LOOK).await;
                }
            };
            tokio::time::timeout(PATIENCE, paid)
                .await
                .unwrap_or_else(|_| panic!("{name}: {called} {cursor}"));
            assert_eq!(books.ledger.report().unwrap().credit_msat, sold.amount.as_i64(), "{name}: {cursor}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_moved_goes_on_where_it_was() {
    let pair = pair().await;
    let api = node_apis::lnd(pair.payee.clone()).await.unwrap();
    let door = Door::of(&api);
    let mut books = Books::open();
    let node: Arc<dyn LightningNode> = Arc::new(door.lnd());
    books.book(Arc::clone(&node));
    for _ in 0..2 {
        books.sell_and_pay(&*node, &pair).await;
    }
    books.balance("before").await;
    books.stop();
    let old_name = node.ledger_name();
    drop(node);
    let moved = Door { url: door.url.replace("127.0.0.1", "localhost"), ..door };
    let node: Arc<dyn LightningNode> = Arc::new(moved.lnd());
    assert_ne!(node.ledger_name(), old_name);
    books.sell_and_pay(&*node, &pair).await;
    books.book(Arc::clone(&node));
    books.balance("after").await;
    let cursor = books.ledger.settlement_cursor(&node.ledger_name()).await.unwrap().unwrap();
    assert_eq!(cursor.split('.').nth(2), Some("3"), "{cursor}");
}

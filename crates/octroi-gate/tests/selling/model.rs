//! Random interleavings of what callers, payers, the operator and crashes do to a gate that sells, against a simple model.
//!
//! After every step: the ledger keeps its promises, every credential has what the model says, and all money is somewhere.

use std::sync::atomic::Ordering::SeqCst;

use http::StatusCode;
use octroi_l402::macaroon::MacaroonView;
use octroi_l402::{Credential, Msat, TokenId};
use octroi_ledger::{Ledger, LedgerConfig, Revocation, Store};
use octroi_testkit::postgres::{Cluster, ClusterOptions};
use proptest::prelude::*;

use crate::node::ScriptedNode;
use crate::shop::Answer;
use crate::stand::{Selling, Stand};

/// What a call may cost; what a credential was sold for stays its price where that is less.
const PRICES: [i64; 3] = [1_000, 3_000, 5_000];

/// How long a credential may be used, in seconds: longer than a test takes.
const LIFE: u64 = 3_600;

#[derive(Clone, Debug)]
enum Step {
    /// Somebody is asked for the price of so many calls; the credential ends at once or in ten minutes.
    Challenge {
        calls: u32,
        ends: bool,
    },
    /// An invoice is paid, exactly or with more.
    Pay {
        which: usize,
        more: i64,
    },
    /// A call with a credential, which works or fails.
    Call {
        which: usize,
        works: bool,
    },
    /// A call under a key of the caller's own, once more or for the first time.
    Retry {
        which: usize,
        key: u8,
    },
    /// An ended credential is shown, and what is offered instead is used.
    Renew {
        which: usize,
    },
    Revoke {
        which: usize,
        revoked: bool,
    },
    /// The owner changes what a call costs.
    Price(usize),
    /// The gate dies and comes back.
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let which = any::<usize>();
    prop_oneof![
        3 => (1..4_u32, prop::bool::weighted(0.3)).prop_map(|(calls, ends)| Step::Challenge { calls, ends }),
        4 => (which, prop_oneof![4 => Just(0), 1 => 1..4_000_i64]).prop_map(|(which, more)| Step::Pay { which, more }),
        8 => (which, prop::bool::weighted(0.8)).prop_map(|(which, works)| Step::Call { which, works }),
        3 => (which, 0..3_u8).prop_map(|(which, key)| Step::Retry { which, key }),
        3 => which.prop_map(|which| Step::Renew { which }),
        1 => (which, any::<bool>()).prop_map(|(which, revoked)| Step::Revoke { which, revoked }),
        1 => (0..PRICES.len()).prop_map(Step::Price),
        1 => Just(Step::Crash),
    ]
}

/// One credential, as the model knows it.
struct Sold {
    /// The number of its invoice.
    number: u64,
    token: TokenId,
    macaroon: String,
    /// What its calls were promised to cost.
    promised: i64,
    asked: i64,
    ended: bool,
    paid: bool,
    revoked: bool,
    balance: i64,
    /// Keys under which a call was made and charged.
    answered: Vec<u8>,
}

struct Run {
    store: Store,
    stand: Stand,
    price: i64,
    sold: Vec<Sold>,
    paid: i64,
    earned: i64,
}

fn token_of(macaroon: &str) -> TokenId {
    let credential = Credential::parse(&format!("{macaroon}:{}", "00".repeat(32))).expect("a macaroon");
    let view = MacaroonView::decode(credential.macaroon()).expect("a macaroon");
    view.l402_identifier().expect("of ours").token_id
}

fn authorization(sold: &Sold) -> String {
    format!("L402 {}:{}", sold.macaroon, ScriptedNode::preimage(sold.number).to_hex())
}

impl Run {
    fn open(store: Store) -> Self {
        let ledger = Ledger::open(LedgerConfig::at(store.clone())).expect("a ledger");
        Self { store, stand: Stand::on(ledger), price: PRICES[1], sold: Vec::new(), paid: 0, earned: 0 }
    }

    fn pick(&self, which: usize) -> Option<usize> {
        which.checked_rem(self.sold.len())
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Challenge { calls, ends } => self.challenge(calls, ends).await,
            Step::Pay { which, more } => self.pay(which, more).await,
            Step::Call { which, works } => self.call(which, works).await,
            Step::Retry { which, key } => self.retry(which, key).await,
            Step::Renew { which } => self.renew(which).await,
            Step::Revoke { which, revoked } => self.revoke(which, revoked).await,
            Step::Price(which) => self.price = PRICES[which],
            Step::Crash => self.crash().await,
        }
    }

    async fn challenge(&mut self, calls: u32, ends: bool) {
        let life = if ends { 0 } else { LIFE };
        let number = self.stand.made();
        let selling = Selling { price: self.price, life };
        let asked = self.stand.call(selling, &[("octroi-calls", &calls.to_string())]).await;
        assert_eq!(asked.status, StatusCode::PAYMENT_REQUIRED, "{}", asked.body);
        let macaroon = asked.macaroon().to_owned();
        self.sold.push(Sold {
            number,
            token: token_of(&macaroon),
            macaroon,
            promised: self.price,
            asked: self.price * i64::from(calls),
            ended: ends,
            paid: false,
            revoked: false,
            balance: 0,
            answered: Vec::new(),
        });
    }

    async fn pay(&mut self, which: usize, more: i64) {
        let Some(which) = self.pick(which) else { return };
        let sold = &mut self.sold[which];
        let amount = sold.asked + more;
        self.stand.settle(sold.number, Msat::new(amount)).await;
        // A second payment of one invoice is the first one again.
        if !sold.paid {
            sold.paid = true;
            sold.balance += amount;
            self.paid += amount;
        }
    }

    /// A call as it is sold now.
    async fn ask(&self, headers: &[(&str, &str)]) -> Answer {
        self.stand.call(Selling { price: self.price, life: LIFE }, headers).await
    }

    /// What a call costs this credential.
    fn costs(&self, sold: &Sold) -> i64 {
        self.price.min(sold.promised)
    }

    /// Whether a call with it is let in.
    fn bears(&self, sold: &Sold) -> bool {
        sold.paid && !sold.revoked && !sold.ended && sold.balance >= self.costs(sold)
    }

    async fn call(&mut self, which: usize, works: bool) {
        let Some(which) = self.pick(which) else { return };
        // A preimage before its payment is waited for: another test's.
        if !self.sold[which].paid {
            return;
        }
        let (shown, bears) = (authorization(&self.sold[which]), self.bears(&self.sold[which]));
        let cost = self.costs(&self.sold[which]);
        self.stand.fails.store(!works, SeqCst);
        let answer = self.ask(&[("authorization", &shown)]).await;
        self.stand.fails.store(false, SeqCst);
        assert_eq!(answer.status == StatusCode::OK, bears, "{}", answer.body);
        if bears && works {
            self.sold[which].balance -= cost;
            self.earned += cost;
        }
    }

    async fn retry(&mut self, which: usize, key: u8) {
        let Some(which) = self.pick(which) else { return };
        let sold = &self.sold[which];
        if !sold.paid {
            return;
        }
        let (shown, bears, cost) = (authorization(sold), self.bears(sold), self.costs(sold));
        // Whoever shows a genuine credential gets an answer that was paid for, whatever is left; not once it is revoked.
        let again = sold.answered.contains(&key) && !sold.revoked;
        let refused = sold.answered.contains(&key) && sold.revoked;
        let key_text = format!("key-{key}");
        let headers = [("authorization", shown.as_str()), ("idempotency-key", key_text.as_str())];
        let answer = self.ask(&headers).await;
        assert_eq!(answer.status == StatusCode::OK, again || (bears && !refused), "{}", answer.body);
        if bears && !again && !refused {
            let sold = &mut self.sold[which];
            sold.balance -= cost;
            sold.answered.push(key);
            self.earned += cost;
        }
    }

    async fn renew(&mut self, which: usize) {
        let Some(which) = self.pick(which) else { return };
        let sold = &self.sold[which];
        let shown = authorization(sold);
        if !sold.ended {
            return;
        }
        let answer: Answer = self.ask(&[("authorization", &shown)]).await;
        assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED, "{}", answer.body);
        let renewed = answer.renewed();
        assert_eq!(renewed.is_some(), sold.paid && sold.balance > 0, "{}", answer.body);
        if let Some(macaroon) = renewed {
            let macaroon = macaroon.to_owned();
            assert_eq!(token_of(&macaroon), sold.token, "the same account");
            let sold = &mut self.sold[which];
            (sold.macaroon, sold.ended) = (macaroon, false);
        }
    }

    async fn revoke(&mut self, which: usize, revoked: bool) {
        let Some(which) = self.pick(which) else { return };
        let what = Revocation::Token(self.sold[which].token);
        let done = if revoked {
            self.stand.ledger.revoke(what, "").await
        } else {
            self.stand.ledger.restore(what).await
        };
        done.expect("written");
        self.sold[which].revoked = revoked;
    }

    async fn crash(&mut self) {
        self.stand.ledger.close().await;
        let ledger = Ledger::open(LedgerConfig::at(self.store.clone())).expect("a ledger");
        self.stand.ledger = ledger;
    }

    /// What is true after every step.
    async fn check(&self) {
        // Ends of holds are written behind the answers; this is written after them.
        self.stand.ledger.prune(0).await.expect("written");
        let found = self.stand.ledger.verify().expect("readable");
        assert!(found.is_sound(), "{:#?}", found.violations);
        let mut left = 0;
        for sold in &self.sold {
            let balance = self.stand.ledger.balance(&sold.token).await.expect("readable");
            assert_eq!(balance.map_or(0, |balance| balance.available), sold.balance, "{}", sold.number);
            left += sold.balance;
        }
        let report = self.stand.ledger.report().expect("readable");
        assert_eq!((report.received_msat, report.credit_msat), (self.paid, left));
        assert_eq!(report.revenue.iter().map(|tool| tool.msat).sum::<i64>(), self.earned);
        assert_eq!(self.paid, left + self.earned, "all money is somewhere");
    }
}

fn agree(store: Store, steps: Vec<Step>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let mut run = Run::open(store);
        for step in steps {
            run.take(step).await;
            run.check().await;
        }
        run.crash().await;
        run.check().await;
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, ..ProptestConfig::default() })]

    #[test]
    fn a_gate_on_sqlite_agrees_with_the_model(steps in prop::collection::vec(step(), 1..60)) {
        let folder = tempfile::tempdir().expect("a folder");
        agree(Store::sqlite(folder.path().join("ledger.db")), steps);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]

    #[test]
    fn a_gate_on_postgres_agrees_with_the_model(steps in prop::collection::vec(step(), 1..60)) {
        static CLUSTER: std::sync::OnceLock<Cluster> = std::sync::OnceLock::new();
        let cluster = CLUSTER.get_or_init(|| Cluster::start(ClusterOptions::default()).expect("PostgreSQL 15 or later"));
        let patience = std::time::Duration::from_secs(60);
        agree(Store::postgres(&cluster.fresh_url(), patience, patience * 60).expect("a URL"), steps);
    }
}

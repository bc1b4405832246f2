//! Whatever a server answers and a wallet does: what leaves the wallet is within the budget.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lightning_invoice::Currency;
use octroi_agent::{Agent, Budget, CallOptions, KeySource, Payer, Policy, Purse, Secret};
use octroi_l402::Msat;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::gate::{Form, say};
use crate::lightning::{Network, Terms, Wallet, Way, now, preimage};
use crate::server::{Reply, Seen, Server};

/// One answer of a server that may say anything.
#[derive(Clone, Debug)]
struct Said {
    kind: u8,
    invoice: u64,
    amount_msat: Option<u64>,
    stated_msat: Option<i64>,
    price_msat: Option<i64>,
    calls: Option<u32>,
    age: u64,
    reason: &'static str,
    renewed: bool,
    way: Way,
}

fn said() -> impl Strategy<Value = Said> {
    let amount = prop_oneof![4 => (1_u64..12_000).prop_map(Some), 1 => any::<u32>().prop_map(|big| Some(big.into())), 1 => Just(None)];
    let reason = prop::sample::select(vec![
        "PAYMENT_REQUIRED",
        "CREDENTIAL_SPENT",
        "CREDENTIAL_EXPIRED",
        "PAYMENT_UNVERIFIED",
        "INVALID_MACAROON",
        "NO_LIQUIDITY",
    ]);
    let way = prop::sample::select(vec![
        Way::Pays,
        Way::Pays,
        Way::PaysUnseen,
        Way::Hangs,
        Way::Unreachable,
        Way::NoRoute,
        Way::Lies,
    ]);
    let stated = (any::<bool>(), prop::option::of(any::<i32>()), prop::option::of(0_u32..9));
    (0_u8..8, 0_u64..4, amount, stated, any::<bool>(), 0_u64..700, reason, any::<bool>(), way).prop_map(
        |(kind, invoice, amount_msat, (honest, other, calls), priced, age, reason, renewed, way)| {
            let truth = amount_msat.and_then(|amount| i64::try_from(amount).ok());
            let stated_msat = if honest { truth } else { other.map(i64::from) };
            let price_msat = stated_msat.filter(|_| priced);
            Said { kind, invoice, amount_msat, stated_msat, price_msat, calls, age, reason, renewed, way }
        },
    )
}

impl Said {
    fn reply(&self, network: &Network, seen: &Seen) -> Reply {
        let preimage = preimage(self.invoice);
        let terms = Terms {
            amount_msat: self.amount_msat,
            created_at: now() - self.age,
            expiry: 600,
            currency: Currency::Regtest,
        };
        let invoice = network.make(&preimage, &terms);
        // No macaroon: a token may be anything that commits to the payment.
        let mut data = json!({
            "reason": self.reason,
            "price": {"msat": self.price_msat},
            "l402": {"macaroon": "AAAA", "invoice": invoice, "amount_msat": self.stated_msat, "calls": self.calls},
        });
        if self.renewed {
            data["renewed"] = json!({"macaroon": "AAAB"});
        }
        let form = match self.kind {
            0 | 1 => Form::Http,
            2 => Form::InBand,
            3 => Form::HeaderOnly,
            4 => Form::BodyOnly,
            5 => return Reply::result(seen, json!({"content": []})),
            6 => return Reply::error(seen, 500, Value::Null),
            _ => {
                return Reply::result(seen, json!({"content": []}))
                    .with("octroi-price", "1")
                    .with("octroi-balance", "99999999999");
            }
        };
        say(form, seen, "AAAA", &invoice, data)
    }
}

/// A server that goes through `answers`, over and over, and a wallet that does what each of them says.
async fn town(answers: Vec<Said>, fee_msat: i64) -> (Arc<Wallet>, Server) {
    let network = Arc::new(Network::default());
    let wallet = Wallet::with(Arc::clone(&network), fee_msat, "regtest");
    let (paying, next) = (Arc::clone(&wallet), AtomicUsize::new(0));
    let server = Server::start(move |seen| {
        let answer = &answers[next.fetch_add(1, Ordering::Relaxed) % answers.len()];
        paying.set(answer.way);
        answer.reply(&network, seen)
    })
    .await;
    (wallet, server)
}

/// Calls made by two processes at once, which end and begin again: each has its own connection to the one purse. What left the
/// wallet.
async fn spent_by_several(answers: Vec<Said>, policy: Policy, fee_msat: i64, ends: u8) -> i64 {
    let (wallet, server) = town(answers, fee_msat).await;
    let folder = tempfile::tempdir().unwrap();
    let (path, key) = (folder.path().join("purse.db"), KeySource::Hex(Secret::new("33".repeat(32))));
    let process = || {
        let purse = Arc::new(Purse::open_with(&path, &key).unwrap());
        let budget = Budget { per_call_msat: i64::MAX, total_msat: i64::MAX };
        let payer =
            Payer::builder().wallet(wallet.clone()).purse(purse).policy(policy.clone()).budget(budget);
        Agent::builder(server.url.clone()).payer(payer.build()).build().unwrap()
    };
    let mut agents = [process(), process()];
    for round in 0..5 {
        let [one, two] = &agents;
        let call = |agent, tool| Agent::call(agent, tool, json!({}), CallOptions::buying(2));
        // Now for the same thing, now for another one: turns are taken by what is bought.
        let _ = tokio::join!(call(one, "any"), call(two, if round % 2 == 0 { "any" } else { "other" }));
        if ends & (1 << round) != 0 {
            agents[round % 2] = process();
        }
    }
    wallet.given_msat()
}

/// Makes some calls through `answers`; what left the wallet, and what the agent counts.
async fn spent(answers: Vec<Said>, budget: Budget, fee_msat: i64, calls: u32) -> (i64, i64, usize) {
    let (wallet, server) = town(answers, fee_msat).await;
    let agent = Agent::builder(server.url.clone()).wallet(wallet.clone()).budget(budget).build().unwrap();
    let mut most = 0;
    for _ in 0..6 {
        let before = wallet.payments();
        let _ = agent.call("any", json!({}), CallOptions::buying(calls)).await;
        most = most.max(wallet.payments() - before);
    }
    (wallet.given_msat(), agent.spent().as_i64(), most)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn no_number_of_processes_spends_more_than_the_policy_allows(
        answers in prop::collection::vec(said(), 1..8),
        per_hour in 0_i64..30_000,
        per_day in 0_i64..40_000,
        per_server in prop::option::of(0_i64..40_000),
        fee_msat in 0_i64..20,
        ends in any::<u8>(),
    ) {
        let policy = Policy {
            per_hour: Some(Msat::new(per_hour)),
            per_day: Some(Msat::new(per_day)),
            per_server_day: per_server.map(Msat::new),
            ..Policy::default()
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let given = runtime.block_on(spent_by_several(answers, policy, fee_msat, ends));
        let most = per_hour.min(per_day).min(per_server.unwrap_or(i64::MAX));
        prop_assert!(given <= most, "{given} of {most} msat left the wallet");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn spent_is_within_the_budget(
        answers in prop::collection::vec(said(), 1..8),
        per_call_msat in 0_i64..12_000,
        total_msat in 0_i64..30_000,
        fee_msat in 0_i64..20,
        calls in 1_u32..4,
    ) {
        let budget = Budget { per_call_msat, total_msat };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (given, counted, most) = runtime.block_on(spent(answers, budget, fee_msat, calls));
        prop_assert!(given <= total_msat, "{given} of {total_msat} msat left the wallet");
        prop_assert!(given <= counted, "{given} msat left the wallet, {counted} were counted");
        prop_assert!(most <= 1, "one call was paid {most} times");
    }
}

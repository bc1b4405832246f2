//! Behind a gate that plays by the rules.

use std::sync::Arc;

use octroi_agent::{
    Agent, AgentBuilder, AgentError, Budget, CallOptions, PaymentRequired, Proof, Protocol, Purse, Request,
    Secret, Step, WorkPolicy,
};
use octroi_l402::Msat;
use serde_json::{Value, json};

use crate::gate::{Form, Gate};
use crate::lightning::{Network, Wallet, now};
use crate::server::{Reply, Server};

const BUDGET: Budget = Budget { per_call_msat: 5_000, total_msat: 1_000_000 };

struct Town {
    gate: Arc<Gate>,
    server: Server,
    wallet: Arc<Wallet>,
}

impl Town {
    async fn new() -> Self {
        let network = Arc::new(Network::default());
        let gate = Gate::new(Arc::clone(&network));
        let answering = Arc::clone(&gate);
        let server = Server::start(move |seen| answering.answer(seen)).await;
        Self { gate, server, wallet: Wallet::new(network) }
    }

    fn visitor(&self) -> AgentBuilder {
        Agent::builder(self.server.url.clone()).wallet(self.wallet.clone()).budget(BUDGET)
    }

    fn last(&self) -> crate::server::Seen {
        self.server.requests().pop().unwrap()
    }
}

async fn call(agent: &Agent) -> Result<octroi_agent::CallOutcome, AgentError> {
    agent.call("paid", json!({"a": 1}), CallOptions::default()).await
}

#[tokio::test]
async fn a_call_is_paid_once_in_every_form_of_asking() {
    for form in [Form::Http, Form::InBand, Form::HeaderOnly, Form::BodyOnly] {
        let town = Town::new().await;
        town.gate.form(form);
        let outcome = call(&town.visitor().build().unwrap()).await.unwrap();
        assert_eq!(outcome.result["content"][0]["text"], "served");
        let paid = outcome.paid.unwrap();
        assert_eq!((paid.amount, paid.calls), (Msat::new(3_000), 1));
        assert_eq!((outcome.price, outcome.balance), (Some(3_000), Some(0)));
        assert_eq!((town.wallet.payments(), town.server.requests().len()), (1, 2));
    }
}

#[tokio::test]
async fn an_access_token_keeps_its_header_and_payment_gets_its_own() {
    let town = Town::new().await;
    let agent = town.visitor().token(Secret::new("to.ken")).build().unwrap();
    call(&agent).await.unwrap();
    assert_eq!(town.last().header("authorization"), Some("Bearer to.ken"));
    assert!(town.last().header("payment-authorization").unwrap().starts_with("L402 "));
    let alone = town.visitor().build().unwrap();
    call(&alone).await.unwrap();
    assert!(town.last().header("authorization").unwrap().starts_with("L402 "));
    assert_eq!(town.last().header("payment-authorization"), None);
}

#[tokio::test]
async fn calls_bought_at_once_are_used_before_more_are_bought() {
    let town = Town::new().await;
    let agent = town.visitor().build().unwrap();
    let three = CallOptions::buying(3);
    let first = agent.call("paid", json!({}), three).await.unwrap();
    assert_eq!(first.paid.unwrap().amount, Msat::new(9_000));
    for _ in 0..2 {
        assert!(agent.call("paid", json!({}), three).await.unwrap().paid.is_none());
    }
    assert_eq!((town.wallet.payments(), town.gate.invoices()), (1, 1));
    assert_eq!(agent.purse().credentials().unwrap()[0].calls_left, Some(0));
    assert!(call(&agent).await.unwrap().paid.is_some());
    assert_eq!(agent.spent(), Msat::new(12_000));
}

#[tokio::test]
async fn a_credential_outlives_the_agent_in_its_file() {
    let town = Town::new().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("purse.db");
    for paid in [true, false] {
        let purse = Arc::new(Purse::open(&path).unwrap());
        let agent = town.visitor().purse(purse).build().unwrap();
        let outcome = agent.call("paid", json!({}), CallOptions::buying(2)).await.unwrap();
        assert_eq!(outcome.paid.is_some(), paid);
    }
}

#[tokio::test]
async fn a_failed_call_is_not_counted() {
    let town = Town::new().await;
    let agent = town.visitor().build().unwrap();
    let failed = agent.call("paid", json!({"fail": true}), CallOptions::default()).await.unwrap();
    assert!(failed.is_error && failed.paid.is_some());
    let good = call(&agent).await.unwrap();
    assert!(!good.is_error && good.paid.is_none());
    assert_eq!(town.wallet.payments(), 1);
}

#[tokio::test]
async fn a_spent_credential_is_dropped_and_another_is_bought() {
    let town = Town::new().await;
    let agent = town.visitor().build().unwrap();
    agent.call("paid", json!({}), CallOptions::buying(2)).await.unwrap();
    town.gate.spend_all();
    let outcome = call(&agent).await.unwrap();
    assert!(outcome.paid.is_some());
    assert!(outcome.steps.iter().any(|step| matches!(step, Step::Dropped { .. })));
    assert_eq!((agent.purse().credentials().unwrap().len(), town.wallet.payments()), (1, 2));
}

#[tokio::test]
async fn an_expired_credential_with_money_left_is_renewed_and_not_paid_again() {
    let town = Town::new().await;
    let agent = town.visitor().build().unwrap();
    agent.call("paid", json!({}), CallOptions::buying(2)).await.unwrap();
    town.gate.expire_all();
    let outcome = call(&agent).await.unwrap();
    assert!(outcome.paid.is_none());
    assert!(outcome.steps.iter().any(|step| matches!(step, Step::Renewed { .. })));
    assert_eq!(town.wallet.payments(), 1);
}

#[tokio::test]
async fn the_node_s_word_that_comes_late_is_waited_for() {
    let town = Town::new().await;
    let agent = town.visitor().build().unwrap();
    town.gate.settle_late(2);
    assert!(call(&agent).await.unwrap().paid.is_some());
    assert_eq!(town.wallet.payments(), 1);
    town.gate.settle_late(9);
    assert!(matches!(call(&agent).await, Err(AgentError::StillUnpaid { .. })));
    // What was paid for is still there.
    town.gate.settle_late(0);
    assert!(call(&agent).await.unwrap().paid.is_none());
    assert_eq!(town.wallet.payments(), 2);
}

#[tokio::test]
async fn work_is_done_where_it_is_allowed_and_money_is_kept() {
    let town = Town::new().await;
    town.gate.take_work();
    let agent = town.visitor().work(WorkPolicy::UpTo(6.0)).build().unwrap();
    let outcome = call(&agent).await.unwrap();
    assert_eq!(outcome.result["content"][0]["text"], "worked");
    assert_eq!(outcome.work.unwrap().bits, 6.0);
    assert_eq!(town.wallet.payments(), 0);
    // The challenge is the same and its solution spent: now it is paid for, and not worked for twice.
    let outcome = call(&agent).await.unwrap();
    assert!(outcome.work.is_some() && outcome.paid.is_some());
    let lazy = town.visitor().work(WorkPolicy::UpTo(5.0)).build().unwrap();
    assert!(call(&lazy).await.unwrap().work.is_none());
}

#[tokio::test]
async fn a_stream_is_read_until_the_reply() {
    let town = Town::new().await;
    town.gate.stream();
    let outcome = call(&town.visitor().build().unwrap()).await.unwrap();
    assert_eq!(outcome.result["content"][0]["text"], "served");
    let agent = Agent::builder(town.server.url.clone()).build().unwrap();
    assert!(matches!(call(&agent).await, Err(AgentError::PaymentRequired(_))));
}

#[tokio::test]
async fn every_step_can_be_made_by_hand() {
    let town = Town::new().await;
    let agent = town.visitor().build().unwrap();
    let request = Request::call("paid", &json!({})).buying(2);
    let refused = agent.send_raw(&request).await.unwrap();
    assert_eq!(refused.status, 402);
    let required = PaymentRequired::read(&refused).unwrap();
    let bill = required.bill(2, now()).unwrap();
    assert_eq!((bill.amount, bill.calls), (Msat::new(6_000), 2));
    let (bought, paid) = agent.pay("paid", &bill).await.unwrap();
    assert_eq!(paid.payment_hash.to_string(), bought.payment_hash);
    let request = request.with_proof(Proof::Payment(bought.authorization()));
    for status in [200, 200, 402] {
        let exchange = agent.send_raw(&request).await.unwrap();
        assert_eq!(exchange.status, status);
        let shown = &exchange.request_headers.iter().find(|(name, _)| name == "authorization").unwrap().1;
        assert!(shown.starts_with("L402 ") && shown.ends_with('…') && shown.len() < 24, "{shown}");
    }
}

#[tokio::test]
async fn calls_made_at_once_pay_for_themselves_only() {
    let town = Town::new().await;
    let agent = Arc::new(town.visitor().build().unwrap());
    let calls = (0..8).map(|_| {
        let agent = Arc::clone(&agent);
        tokio::spawn(async move { call(&agent).await.unwrap() })
    });
    for made in calls.collect::<Vec<_>>() {
        assert_eq!(made.await.unwrap().result["content"][0]["text"], "served");
    }
    assert_eq!((town.wallet.payments(), town.wallet.given_msat()), (8, 24_000));
    assert_eq!(agent.spent(), Msat::new(24_000));
}

#[tokio::test]
async fn tools_are_listed_page_by_page_with_their_prices() {
    let town = Town::new().await;
    let tools = town.visitor().build().unwrap().list_tools().await.unwrap();
    let listed: Vec<_> =
        tools.iter().map(|tool| (tool.name.as_str(), tool.price.map(|price| price.amount))).collect();
    assert_eq!(listed, [("paid", Some(Msat::new(3_000))), ("free", None)]);
}

#[tokio::test]
async fn a_legacy_server_gets_a_session() {
    let server = Server::start(|seen| match seen.method() {
        "initialize" => Reply::result(seen, json!({"protocolVersion": "2025-06-18", "capabilities": {}}))
            .with("mcp-session-id", "s1"),
        "notifications/initialized" => Reply { status: 202, headers: Vec::new(), body: Vec::new() },
        _ if seen.header("mcp-session-id") != Some("s1") => Reply::error(seen, 400, Value::Null),
        _ => Reply::result(seen, json!({"content": [], "version": seen.header("mcp-protocol-version")})),
    })
    .await;
    let agent = Agent::builder(server.url.clone()).protocol(Protocol::Legacy).build().unwrap();
    for _ in 0..2 {
        assert_eq!(call(&agent).await.unwrap().result["version"], "2025-06-18");
    }
    let methods: Vec<_> = server.requests().iter().map(|seen| seen.method().to_owned()).collect();
    assert_eq!(methods, ["initialize", "notifications/initialized", "tools/call", "tools/call"]);
}

#[tokio::test]
async fn a_401_tells_where_a_token_can_be_had() {
    let server = Server::start(|seen| {
        let resource = format!("http://{}/mcp", seen.header("host").unwrap());
        let place =
            format!("http://{}/.well-known/oauth-protected-resource/mcp", seen.header("host").unwrap());
        if seen.path.starts_with("/.well-known/") {
            assert_eq!(seen.header("authorization"), None);
            return Reply::json(
                200,
                &json!({"resource": resource, "authorization_servers": ["https://issuer.example"]}),
            );
        }
        Reply::error(seen, 401, json!({"reason": "INVALID_TOKEN"})).with(
            "www-authenticate",
            format!("Bearer error=\"invalid_token\", resource_metadata=\"{place}\", scope=\"read\""),
        )
    })
    .await;
    let agent = Agent::builder(server.url.clone()).token(Secret::new("old")).build().unwrap();
    let Err(AgentError::IdentityNeeded(needed)) = call(&agent).await else { panic!("no identity asked") };
    assert_eq!((needed.status, needed.error.as_deref()), (401, Some("invalid_token")));
    assert_eq!(needed.scope.as_deref(), Some("read"));
    assert_eq!(needed.metadata.unwrap().authorization_servers, ["https://issuer.example"]);
}

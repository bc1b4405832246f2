//! Wallets that fail, or do not say what they did.

use std::sync::Arc;

use octroi_agent::{Agent, AgentError, BillError, Budget, CallOptions, CallOutcome};
use octroi_l402::Msat;
use serde_json::json;

use crate::gate::Gate;
use crate::lightning::{Network, Wallet, Way};
use crate::server::Server;

async fn town(fee_msat: i64, on: &'static str, budget: Budget) -> (Arc<Wallet>, Agent) {
    let network = Arc::new(Network::default());
    let gate = Gate::new(Arc::clone(&network));
    let server = Server::start(move |seen| gate.answer(seen)).await;
    let wallet = Wallet::with(network, fee_msat, on);
    let agent = Agent::builder(server.url.clone()).wallet(wallet.clone()).budget(budget).build().unwrap();
    (wallet, agent)
}

const PLENTY: Budget = Budget { per_call_msat: 5_000, total_msat: 1_000_000 };

async fn call(agent: &Agent) -> Result<CallOutcome, AgentError> {
    agent.call("paid", json!({}), CallOptions::default()).await
}

#[tokio::test]
async fn a_payment_nobody_answered_for_is_found_in_the_wallet_s_record() {
    let (wallet, agent) = town(5, "regtest", PLENTY).await;
    wallet.set(Way::PaysUnseen);
    let paid = call(&agent).await.unwrap().paid.unwrap();
    assert_eq!((paid.amount, paid.fee), (Msat::new(3_000), Msat::new(5)));
    assert_eq!((wallet.payments(), agent.spent()), (1, Msat::new(3_005)));
}

#[tokio::test]
async fn nothing_else_is_paid_while_a_payment_is_under_way() {
    let (wallet, agent) = town(0, "regtest", PLENTY).await;
    wallet.set(Way::Hangs);
    for _ in 0..3 {
        assert!(matches!(call(&agent).await, Err(AgentError::PaymentPending { .. })));
    }
    assert_eq!((wallet.orders().len(), wallet.payments()), (1, 0));
    assert!(agent.spent() >= Msat::new(3_000), "it is set aside");
    wallet.set(Way::Pays);
    wallet.arrive();
    assert!(call(&agent).await.is_ok());
    assert_eq!((wallet.orders().len(), wallet.payments(), agent.spent()), (1, 1, Msat::new(3_000)));
}

#[tokio::test]
async fn a_wallet_that_was_gone_is_asked_again_with_the_same_invoice() {
    let (wallet, agent) = town(0, "regtest", PLENTY).await;
    wallet.set(Way::Unreachable);
    assert!(matches!(call(&agent).await, Err(AgentError::PaymentPending { .. })));
    wallet.set(Way::Pays);
    assert!(call(&agent).await.unwrap().paid.is_some());
    let orders = wallet.orders();
    assert_eq!((orders.len(), &orders[0]), (2, &orders[1]));
    assert_eq!((wallet.payments(), agent.spent()), (1, Msat::new(3_000)));
}

#[tokio::test]
async fn a_payment_that_failed_leaves_no_trace() {
    let (wallet, agent) = town(0, "regtest", PLENTY).await;
    wallet.set(Way::NoRoute);
    assert!(matches!(call(&agent).await, Err(AgentError::Pay(_))));
    assert_eq!(agent.spent(), Msat::ZERO);
    wallet.set(Way::Pays);
    assert!(call(&agent).await.is_ok());
}

#[tokio::test]
async fn a_wallet_s_proof_is_checked_and_its_money_counted() {
    let (wallet, agent) = town(0, "regtest", PLENTY).await;
    wallet.set(Way::Lies);
    assert!(matches!(call(&agent).await, Err(AgentError::WrongProof { .. })));
    assert_eq!(agent.spent(), Msat::new(3_000));
}

#[tokio::test]
async fn fees_are_part_of_the_budget() {
    let (wallet, agent) = town(5, "regtest", Budget { per_call_msat: 3_000, total_msat: 3_004 }).await;
    assert!(matches!(call(&agent).await, Err(AgentError::Pay(_))));
    assert_eq!(wallet.given_msat(), 0);
    let (wallet, agent) = town(5, "regtest", Budget { per_call_msat: 3_000, total_msat: 6_010 }).await;
    assert!(call(&agent).await.is_ok() && call(&agent).await.is_ok());
    assert!(matches!(call(&agent).await, Err(AgentError::OverBudget { .. })));
    assert_eq!(wallet.given_msat(), 6_010);
}

#[tokio::test]
async fn the_invoice_must_be_for_the_wallet_s_network() {
    let (wallet, agent) = town(0, "bitcoin", PLENTY).await;
    assert!(matches!(call(&agent).await, Err(AgentError::Bill(BillError::Network { .. }))));
    assert!(wallet.orders().is_empty());
}

//! What is spent is spent for every gate on the ledger, and after a restart.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use octroi_gate::{AccessTokens, Bind, Reason, Till, TillSettings, WorkAsk, WorkSettings};
use octroi_l402::MasterKeys;
use octroi_ledger::{Ledger, LedgerConfig};
use octroi_pow::door::Bounds;
use octroi_pow::{Algorithm, Signer, Submission, solver};

const NOW: u64 = 1_800_000_000;
const OLD: (u32, [u8; 32]) = (1, [7; 32]);
const NEW: (u32, [u8; 32]) = (2, [8; 32]);

/// A gate's till with a memory of its own, on the ledger that all share.
fn till(ledger: &Ledger, signer: Signer) -> Till {
    let tokens = AccessTokens::new("https://gate.example.com", &[[1; 32]]).unwrap();
    let bounds = Bounds { calls_per_second: 1000.0, rest_bits: 4.0, most_bits: 8.0 };
    let work = WorkSettings {
        signer,
        kind: Algorithm::Sha256,
        bounds,
        tools: Vec::new(),
        bind: Bind::default(),
        calls: 3,
        challenge_ttl_seconds: 300,
        credential_ttl_seconds: 300,
        access_tokens: Arc::new(tokens),
        audience: "https://gate.example.com/mcp".to_owned(),
    };
    Till::new(TillSettings {
        service: "mcp".to_owned(),
        keys: Arc::new(MasterKeys::new(OLD)),
        ledger: ledger.clone(),
        invoices: None,
        location: String::new(),
        credential_ttl_seconds: 600,
        calls_max: 1,
        failed_payments: octroi_gate::FailedPayments::default(),
        budgets: octroi_gate::Budgets::default(),
        receipts: None,
        work: Some(work),
    })
}

fn solved(till: &Till, ask: &WorkAsk<'_>) -> Submission {
    let challenge = till.work().unwrap().challenge("mcp", ask, NOW).unwrap();
    let (cancel, tried) = (AtomicBool::new(false), AtomicU64::new(0));
    let nonce = solver::solve_challenge(&challenge, NonZeroUsize::MIN, &cancel, &tried);
    Submission::new(challenge, nonce.unwrap().unwrap()).unwrap()
}

async fn refused(till: &Till, solution: &Submission, ask: &WorkAsk<'_>) -> Option<Reason> {
    till.exchange_work("mcp", solution, ask, NOW).await.err().map(|refusal| refusal.reason)
}

#[tokio::test]
async fn a_solution_is_spent_for_every_gate_on_the_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(LedgerConfig::new(folder.path().join("octroi.db"))).unwrap();
    let (one, two) = (till(&ledger, Signer::new(OLD)), till(&ledger, Signer::new(OLD)));
    let nobody = WorkAsk::default();
    let solution = solved(&one, &nobody);
    // Handed out by one, handed in at the other.
    assert_eq!(refused(&two, &solution, &nobody).await, None);
    assert_eq!(refused(&one, &solution, &nobody).await, Some(Reason::InvalidSolution));
    assert_eq!(refused(&two, &solution, &nobody).await, Some(Reason::InvalidSolution));
    // A gate that was started anew remembers nothing, and has the ledger.
    let restarted = till(&ledger, Signer::new(OLD));
    assert_eq!(refused(&restarted, &solution, &nobody).await, Some(Reason::InvalidSolution));
    let counted = two.work().unwrap().tallied(NOW);
    assert_eq!((counted.issued, counted.solved), (0, 1));
    assert_eq!(ledger.report().unwrap().credit_calls, 3);
}

#[tokio::test]
async fn after_a_rotation_what_the_old_key_signed_is_still_good() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(LedgerConfig::new(folder.path().join("octroi.db"))).unwrap();
    let nobody = WorkAsk::default();
    let solution = solved(&till(&ledger, Signer::new(OLD)), &nobody);
    assert_eq!(
        refused(&till(&ledger, Signer::new(NEW)), &solution, &nobody).await,
        Some(Reason::InvalidSolution)
    );
    let rotated = till(&ledger, Signer::new(NEW).with_previous(OLD).unwrap());
    assert_eq!(refused(&rotated, &solution, &nobody).await, None);
}

#[tokio::test]
async fn a_puzzle_for_one_caller_is_no_good_to_another() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(LedgerConfig::new(folder.path().join("octroi.db"))).unwrap();
    let till = till(&ledger, Signer::new(OLD));
    let caller = |principal| WorkAsk { principal, ..WorkAsk::default() };
    let solution = solved(&till, &caller(Some([5; 32])));
    for thief in [None, Some([6; 32])] {
        assert_eq!(refused(&till, &solution, &caller(thief)).await, Some(Reason::InvalidSolution));
    }
    let granted = till.exchange_work("mcp", &solution, &caller(Some([5; 32])), NOW).await;
    let granted = granted.map_err(|refusal| refusal.message).unwrap();
    let tokens = AccessTokens::new("https://gate.example.com", &[[1; 32]]).unwrap();
    let claims = tokens.check(&granted.access_token, None, NOW).unwrap();
    assert_eq!(claims["sub"], "05".repeat(32));
}

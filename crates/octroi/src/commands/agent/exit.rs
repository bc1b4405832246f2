//! How an agent's command ends.

use std::process::ExitCode;
use std::time::Duration;

use octroi_agent::{AgentError, PlainLines};
use serde_json::{Value, json};

/// The tool says that it failed.
pub(in super::super) const EXIT_TOOL: u8 = 1;
/// The arguments, the purse, the policy or the wallet cannot be used.
const EXIT_USAGE: u8 = 2;
/// The server wants to know who calls.
pub(in super::super) const EXIT_IDENTITY: u8 = 3;
/// The server wants more than may be paid, or the wallet did not pay. Nothing was spent.
pub(in super::super) const EXIT_PAYMENT: u8 = 4;
/// The server does not do this, or asks for money in a way that is not paid.
pub(in super::super) const EXIT_REFUSED: u8 = 5;
/// The server did not answer, or not with what was expected.
const EXIT_NETWORK: u8 = 6;
/// A payment has no outcome yet, or was made and did not buy the call.
const EXIT_MONEY: u8 = 7;

/// How long a command that is done waits for what it began, such as a read of a standard input that nobody closes.
const LEAVE_WAIT: Duration = Duration::from_millis(500);

/// Runs a command's work and prints its failure, as text or as JSON.
pub(in super::super) fn finish(
    json: bool,
    work: impl Future<Output = Result<ExitCode, AgentError>>,
) -> ExitCode {
    let made = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| AgentError::Config(error.to_string()))
        .and_then(|runtime| {
            let made = runtime.block_on(work);
            runtime.shutdown_timeout(LEAVE_WAIT);
            made
        });
    made.unwrap_or_else(|error| {
        let code = code_of(&error);
        if json {
            println!("{}", error_json(&error, code));
        } else {
            eprintln!("octroi: {}", PlainLines(&error.to_string()));
        }
        ExitCode::from(code)
    })
}

pub(super) fn code_of(error: &AgentError) -> u8 {
    match error {
        AgentError::Config(_) | AgentError::Purse(_) => EXIT_USAGE,
        AgentError::IdentityNeeded(_) | AgentError::SignIn(_) => EXIT_IDENTITY,
        AgentError::PaymentRequired(_)
        | AgentError::OverBudget { .. }
        | AgentError::NotListed { .. }
        | AgentError::NotApproved(_)
        | AgentError::Pay(_) => EXIT_PAYMENT,
        AgentError::PaymentPending { .. }
        | AgentError::WrongProof { .. }
        | AgentError::StillUnpaid { .. } => EXIT_MONEY,
        AgentError::Network(_)
        | AgentError::Timeout
        | AgentError::TooLong { .. }
        | AgentError::BadReply(_) => EXIT_NETWORK,
        _ => EXIT_REFUSED,
    }
}

fn error_json(error: &AgentError, code: u8) -> Value {
    let mut json = json!({"exit": code, "message": error.to_string()});
    match error {
        AgentError::IdentityNeeded(needed) => {
            json["resource_metadata"] = json!(needed.metadata_url.as_ref().map(url::Url::as_str));
            json["authorization_servers"] =
                json!(needed.metadata.as_ref().map(|found| &found.authorization_servers));
            json["scope"] = json!(needed.scope);
        }
        AgentError::PaymentRequired(required) => {
            json["reason"] = json!(required.reason);
            json["price_msat"] = json!(required.price.map(|price| price.amount.as_i64()));
            json["invoice"] = json!(required.offer.as_ref().map(|offer| &offer.invoice));
            json["work_bits"] = json!(required.work.as_ref().map(|work| work.difficulty.bits()));
        }
        AgentError::OverBudget { asked, left, limit } => {
            json["asked_msat"] = json!(asked.as_i64());
            json["left_msat"] = json!(left.as_i64());
            json["limit"] = json!(limit);
        }
        AgentError::PaymentPending { payment_hash } | AgentError::WrongProof { payment_hash } => {
            json["payment_hash"] = json!(payment_hash.to_string());
        }
        AgentError::Refused { status, reason, .. } => {
            json["status"] = json!(status);
            json["reason"] = json!(reason);
        }
        _ => {}
    }
    json!({ "error": json })
}

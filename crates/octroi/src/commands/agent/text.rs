//! Values on the command line and in what is printed.

use octroi_agent::{Paid, Secret};
use serde_json::{Value, json};

/// The text itself, or what stands at `env:NAME` or `file:PATH`.
pub(super) fn held(text: &str) -> Result<String, String> {
    let found = if let Some(name) = text.strip_prefix("env:") {
        std::env::var(name).map_err(|_| format!("the variable {name} is not set"))?
    } else if let Some(path) = text.strip_prefix("file:") {
        std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?
    } else {
        text.to_owned()
    };
    Ok(found.trim().to_owned())
}

/// A secret, or where it stands.
pub(in super::super) fn secret(text: &str) -> Result<Secret, String> {
    held(text).map(Secret::new)
}

/// Millisatoshi for a person.
pub(in super::super) fn sats(msat: i64) -> String {
    format!("{} sats", msat as f64 / 1000.0)
}

/// A payment for a program.
pub(in super::super) fn paid_json(paid: &Paid) -> Value {
    json!({
        "amount_msat": paid.amount.as_i64(),
        "fee_msat": paid.fee.as_i64(),
        "payment_hash": paid.payment_hash.to_string(),
        "calls": paid.calls,
    })
}

//! LNURL-pay's replies (LUD-06, LUD-21). Amounts are millisatoshis.

use serde::Deserialize;

/// The address's terms.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PayRequest {
    pub(super) tag: String,
    pub(super) callback: String,
    pub(super) min_sendable: i64,
    pub(super) max_sendable: i64,
}

/// An invoice, and where to ask about it.
#[derive(Deserialize)]
pub(super) struct PaymentRequest {
    pub(super) pr: String,
    pub(super) verify: Option<String>,
}

/// What became of it.
#[derive(Deserialize)]
pub(super) struct Verified {
    pub(super) settled: bool,
}

/// The reason of `{"status":"ERROR","reason":"…"}`.
pub(super) fn refusal(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Refusal {
        status: String,
        #[serde(default)]
        reason: String,
    }
    let refusal: Refusal = serde_json::from_slice(body).ok()?;
    refusal.status.eq_ignore_ascii_case("error").then_some(refusal.reason)
}

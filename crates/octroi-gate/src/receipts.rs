//! Receipts: what a paid reply carries so that its payer can prove what the call cost.

use crate::clock::unix_seconds;
use std::sync::Arc;

use octroi_l402::receipt::Payer;
use octroi_l402::{Receipt, ReceiptKey};
use octroi_ledger::{AccountRef, CallId};
use octroi_mcp::{digest, json, lists};
use serde_json::json;

/// `_meta` key under which a receipt stands in a result.
pub const RECEIPT_KEY: &str = "dev.octroi/receipt";

/// The longest arguments or result whose digest stands in a receipt, in bytes: signing must not wait for megabytes.
pub const DIGESTED_MAX: usize = 64 * 1024;

/// Signs the receipts of one endpoint.
#[derive(Debug)]
pub struct ReceiptDesk {
    key: Arc<ReceiptKey>,
    issuer: String,
}

impl ReceiptDesk {
    /// `issuer` is the public URL of the MCP endpoint; the public keys are published beneath it.
    pub fn new(key: Arc<ReceiptKey>, issuer: impl Into<String>) -> Self {
        Self { key, issuer: issuer.into() }
    }
}

/// What is known of a call before it is made, for its receipt.
pub(crate) struct Draft {
    pub(crate) desk: Arc<ReceiptDesk>,
    pub(crate) service: String,
    pub(crate) tool: String,
    pub(crate) payer: Payer,
    /// In hexadecimal.
    pub(crate) arguments_sha256: Option<String>,
}

/// A receipt on its way to the payer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedReceipt {
    /// The signed text.
    pub jws: String,
    /// The raw JSON object that stands in `_meta`.
    pub meta: Vec<u8>,
}

/// The payer's name in a receipt; `None` where nobody pays.
pub(crate) fn payer(account: &AccountRef) -> Option<Payer> {
    match account {
        AccountRef::Token(token) => Some(Payer::Token(token.to_string())),
        AccountRef::Owner(principal) => Some(Payer::Principal(hex::encode(principal))),
        AccountRef::Nobody => None,
    }
}

/// The digest of a call's arguments, where they are not too long.
pub(crate) fn arguments_digest(arguments: Option<&[u8]>) -> Option<String> {
    let short = arguments.is_none_or(|raw| raw.len() <= DIGESTED_MAX);
    short.then(|| hex::encode(digest::arguments_digest(arguments)))
}

/// The digest of a raw `result`: SHA-256 over its canonical form without the receipt in its `_meta`, and without a `_meta` that
/// is empty then. `None` where it is longer than [`DIGESTED_MAX`].
#[must_use]
pub fn result_digest(result: &[u8]) -> Option<String> {
    if result.len() > DIGESTED_MAX {
        return None;
    }
    let bare = without_receipt(result);
    Some(hex::encode(digest::arguments_digest(Some(bare.as_deref().unwrap_or(result)))))
}

/// The result without the receipt; `None` where it is the same.
fn without_receipt(result: &[u8]) -> Option<Vec<u8>> {
    let meta =
        json::members(result).find(|member| member.key == "_meta" && member.value.starts_with(b"{"))?;
    let others = json::members(meta.value).filter(|member| member.key != RECEIPT_KEY).count();
    if others == 0 {
        return Some(json::without(result, &[meta.span]));
    }
    let receipt = json::members(meta.value).find(|member| member.key == RECEIPT_KEY)?;
    let start = meta.value_span.start;
    let span = start + receipt.span.start..start + receipt.span.end;
    Some(json::without(result, std::slice::from_ref(&span)))
}

/// A raw result with the receipt in its `_meta`, all else byte for byte.
pub(crate) fn with_receipt(result: &[u8], receipt: &SignedReceipt) -> Vec<u8> {
    lists::with_meta(result, &[(RECEIPT_KEY.to_owned(), receipt.meta.clone())])
}

impl Draft {
    /// Signs what became of the call.
    pub(crate) fn sign(
        self,
        call: CallId,
        charged: i64,
        balance: i64,
        result: Option<&[u8]>,
    ) -> SignedReceipt {
        let Self { desk, service, tool, payer, arguments_sha256 } = self;
        let receipt = Receipt {
            iss: desk.issuer.clone(),
            iat: unix_seconds(),
            jti: call.to_string(),
            service,
            tool,
            msat: charged,
            balance_msat: balance,
            payer,
            arguments_sha256,
            result_sha256: result.and_then(result_digest),
        };
        let jws = desk.key.sign(&receipt);
        let meta = json!({
            "call": receipt.jti,
            "tool": receipt.tool,
            "msat": charged,
            "balance_msat": balance,
            "at": receipt.iat,
            "jws": jws,
        });
        SignedReceipt { jws, meta: meta.to_string().into_bytes() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed() -> SignedReceipt {
        SignedReceipt { jws: "a.b.c".to_owned(), meta: br#"{"jws":"a.b.c"}"#.to_vec() }
    }

    #[test]
    fn the_digest_is_of_what_the_server_said() {
        for result in [
            r#"{"content":[]}"#,
            r#"{ "content" : [ ] , "_meta" : { } }"#,
            r#"{"_meta":{"tokens":7},"content":[]}"#,
            r#"{"content":[],"_meta":null}"#,
        ] {
            let sent = with_receipt(result.as_bytes(), &signed());
            assert!(
                json::get(&sent, "_meta").and_then(|meta| json::get(meta, RECEIPT_KEY)).is_some(),
                "{result}"
            );
            assert_eq!(result_digest(&sent), result_digest(&without_null(result)), "{result}");
        }
        assert_ne!(result_digest(br#"{"content":[1]}"#), result_digest(br#"{"content":[]}"#));
        assert_eq!(result_digest(&[b' '; DIGESTED_MAX + 1]), None);
    }

    /// A `_meta` that is no object is replaced by one, so that of the result that is sent only the rest is left.
    fn without_null(result: &str) -> Vec<u8> {
        result.replace(r#","_meta":null"#, "").into_bytes()
    }

    #[test]
    fn a_server_cannot_slip_in_a_receipt() {
        let forged = br#"{"_meta":{"dev.octroi/receipt":{"jws":"x.y.z"},"a":1}}"#;
        let sent = with_receipt(forged, &signed());
        assert_eq!(sent, br#"{"_meta":{"dev.octroi/receipt":{"jws":"a.b.c"},"a":1}}"#);
    }
}

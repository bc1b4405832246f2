//! Receipts: in every paid reply, whatever form it has, and worth something.

use http::StatusCode;
use octroi_gate::receipts::{RECEIPT_KEY, result_digest};
use octroi_l402::receipt::Payer;
use octroi_l402::{Receipt, ReceiptKeys};
use serde_json::{Value, json};

use crate::house::*;

fn receipted() -> Plan {
    Plan { till: TillPlan { receipts: true, ..TillPlan::default() }, ..Plan::default() }
}

fn verify(jws: &str) -> Receipt {
    let set = json!({"keys": [receipt_key().jwk()]}).to_string();
    ReceiptKeys::from_jwks(set.as_bytes()).expect("keys").verify(jws).expect("a good receipt")
}

#[tokio::test]
async fn a_reply_carries_its_receipt_in_a_header_and_in_meta() {
    let house = House::new(receipted()).await;
    let response = house.call(Script::Json(StatusCode::OK, ANSWER)).await;
    let header = response.headers()["octroi-receipt"].to_str().expect("text").to_owned();
    let body: Value = serde_json::from_slice(&House::read(response).await.expect("a body")).expect("JSON");
    let meta = &body["result"]["_meta"][RECEIPT_KEY];
    assert_eq!(
        (&meta["msat"], &meta["balance_msat"], &meta["tool"]),
        (&json!(PRICE), &json!(0), &json!("paid"))
    );
    assert_eq!(meta["jws"], header.as_str());
    let receipt = verify(&header);
    assert_eq!((receipt.msat, receipt.balance_msat, receipt.tool.as_str()), (PRICE, 0, "paid"));
    assert_eq!((receipt.iss.as_str(), receipt.service.as_str()), (ISSUER, "mcp"));
    assert_eq!(receipt.payer, Payer::Token(house.token_id.to_string()));
    assert_eq!(meta["call"], receipt.jti.as_str());
    let empty = hex::encode(octroi_mcp::digest::arguments_digest(None));
    assert_eq!(receipt.arguments_sha256, Some(empty));
    let result = body["result"].to_string();
    assert_eq!(receipt.result_sha256, result_digest(result.as_bytes()), "of what the server said");
    assert_eq!(body["result"]["content"], json!([]), "all else is as it was");
    house.ledger.close().await;
    let calls = house.ledger.reader().expect("a reader").calls(10).expect("calls");
    assert_eq!(calls.len(), 1);
}

#[tokio::test]
async fn the_event_that_ends_a_stream_carries_it() {
    for script in [
        Script::Events(&[PROGRESS, FINAL], false),
        Script::Events(&[PROGRESS, FINAL_START, FINAL_END], false),
    ] {
        let house = House::new(receipted()).await;
        let response = house.call(script).await;
        assert!(!response.headers().contains_key("octroi-receipt"), "what it costs is not known yet");
        let text = String::from_utf8(House::read(response).await.expect("a body").to_vec()).expect("text");
        assert!(text.starts_with(PROGRESS), "{text}");
        let data =
            text.strip_prefix(PROGRESS).and_then(|rest| rest.strip_prefix("data: ")).expect("an event");
        let reply: Value = serde_json::from_str(data.trim_end()).expect("JSON");
        let jws = reply["result"]["_meta"][RECEIPT_KEY]["jws"].as_str().expect("a receipt");
        assert_eq!(verify(jws).msat, PRICE);
        assert_eq!(house.left().await, 0);
    }
}

#[tokio::test]
async fn what_costs_nothing_has_no_receipt() {
    let house = House::new(receipted()).await;
    let response = house.call(Script::Json(StatusCode::OK, FAILED)).await;
    assert!(!response.headers().contains_key("octroi-receipt"));
    assert_eq!(House::read(response).await.expect("a body"), FAILED, "byte for byte");
    let response = house.call(Script::Events(&[PROGRESS, FINAL_FAILED], false)).await;
    let body = House::read(response).await.expect("a body");
    assert_eq!(body, format!("{PROGRESS}{FINAL_FAILED}"), "byte for byte");
}

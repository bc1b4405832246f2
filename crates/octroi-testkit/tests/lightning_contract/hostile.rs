//! What an adapter makes of a node that means it harm, or is broken: answers without an end, invoices that were not asked for, proofs of
//! payment that are none.

use futures_util::future::join_all;
use octroi_testkit::node_apis::Fault;
use serde_json::{Value, json};

use super::faults::{ADAPTERS, Adapter, adapter};
use super::*;

/// More than any answer may have.
const GIANT: usize = 5 * 1024 * 1024;

/// What a node of this kind answers when an invoice is made, with this text for the invoice.
fn made(name: &str, invoice: &str) -> Fault {
    let (status, body) = match name {
        "lnd" => (200, json!({"payment_request": invoice, "r_hash": ""})),
        "clnrest" => (201, json!({"bolt11": invoice})),
        "cln socket" => (200, json!({"jsonrpc": "2.0", "id": "octroi", "result": {"bolt11": invoice}})),
        "lnbits" => (201, json!({"bolt11": invoice})),
        "nwc" => (200, json!({"result_type": "make_invoice", "result": {"invoice": invoice}})),
        "phoenixd" => (200, json!({"serialized": invoice})),
        _ => (200, json!({"pr": invoice, "verify": "http://127.0.0.1:9/verify"})),
    };
    Fault::Answer(status, body.to_string())
}

fn bad(result: Result<Invoice, NodeError>) -> bool {
    matches!(result, Err(NodeError::BadReply(_)))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invoice_that_was_not_asked_for_is_not_handed_on() {
    let pair = pair().await;
    // BOLT 11's cup of coffee: 250,000 sat, expired since 2017.
    let coffee = "lnbc2500u1pvjluezsp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygspp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdq5xysxxatsyp3k7enxv4jsxqzpu9qrsgquk0rl77nj30yxdy8j9vdx85fkpmdla2087ne0xh8nhedh8w27kyke0lp53ut353s06fv3qfegext0eh0ymjpf39tuven09sam30g4vgpfna3rh";
    for number in 0..ADAPTERS {
        let Adapter { name, api, client } = adapter(number, &pair).await;
        let node = client();
        // The address's terms are known from then on, so that each question is one request.
        let good = node.create_invoice(asking(2_000)).await.unwrap();
        let mut forged = good.bolt11.clone().into_bytes();
        let last = forged.len() - 1;
        forged[last] = if forged[last] == b'q' { b'p' } else { b'q' };
        let forged = String::from_utf8(forged).unwrap();
        for (text, msat) in [
            (good.bolt11.as_str(), 3_000),
            (good.bolt11.as_str(), 1_000),
            (&forged, 2_000),
            (coffee, 250_000_000),
            ("", 2_000),
            (&"l".repeat(5000), 2_000),
        ] {
            api.faults().plan(made(name, text));
            let answer = node.create_invoice(asking(msat)).await;
            assert!(bad(answer.clone()), "{name} {msat} {text:.20}: {answer:?}");
        }
        node.create_invoice(asking(2_000)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_without_an_end_end() {
    let pair = pair().await;
    let mut adapters = Vec::new();
    for number in 0..ADAPTERS {
        let adapter = adapter(number, &pair).await;
        let node = (adapter.client)();
        node.create_invoice(asking(2_000)).await.unwrap();
        // What comes over a relay has a bound of its own: see the flood of `nostr`.
        if adapter.name != "nwc" {
            adapter.api.faults().plan(Fault::Answer(200, "x".repeat(GIANT)));
            let answer = node.create_invoice(asking(2_000)).await;
            assert!(bad(answer.clone()), "{}: {answer:?}", adapter.name);
        }
        adapter.api.faults().plan(Fault::Dribble);
        adapters.push((adapter, node));
    }
    let asked = adapters.iter().map(|(adapter, node)| async move {
        let answer = tokio::time::timeout(PATIENCE, node.create_invoice(asking(2_000))).await;
        assert!(matches!(answer, Ok(Err(NodeError::Timeout))), "{}: {answer:?}", adapter.name);
    });
    join_all(asked).await;
}

/// What a payer's node answers on the way to a payment without a proof: the requests before, and the lie.
fn lies(name: &str, hash: &PaymentHash) -> Vec<Fault> {
    let pass = || Fault::Slow(Duration::ZERO);
    let answer = |value: Value| Fault::Answer(200, value.to_string());
    let no_preimage = "ab".repeat(32);
    match name {
        "lnd" => vec![answer(json!({"result": {
            "status": "SUCCEEDED", "payment_preimage": no_preimage, "value_msat": "2000", "fee_msat": "0",
        }}))],
        "clnrest" | "cln socket" => {
            let paid =
                json!({"payment_preimage": no_preimage, "amount_msat": 2000, "amount_sent_msat": 2000});
            let whole = json!({"jsonrpc": "2.0", "id": "octroi", "result": paid});
            vec![pass(), answer(if name == "clnrest" { paid } else { whole })]
        }
        "lnbits" => {
            let record = json!({
                "payment_hash": hash.to_string(), "amount": -2000, "status": "success", "preimage": no_preimage,
            });
            vec![
                pass(),
                Fault::Answer(201, record.to_string()),
                answer(json!({"paid": true, "details": record})),
            ]
        }
        "nwc" => {
            let paid = json!({"result_type": "pay_invoice", "result": {"preimage": no_preimage}});
            vec![pass(), answer(paid)]
        }
        _ => {
            vec![answer(json!({"recipientAmountSat": 2, "routingFeeSat": 0, "paymentPreimage": no_preimage}))]
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_without_its_proof_is_not_taken_for_one() {
    let pair = pair().await;
    for number in 0..ADAPTERS {
        let Adapter { name, api, client } = adapter(number, &pair).await;
        let payer = client();
        if !payer.capabilities().pay {
            continue;
        }
        // Asked before there is anything to spoil, so that a connection is there.
        payer.lookup(&PaymentHash::from_bytes([9; 32])).await.unwrap();
        let invoice = pair.payer.node.create_invoice(asking(2_000)).await.unwrap();
        lies(name, &invoice.payment_hash).into_iter().for_each(|lie| api.faults().plan(lie));
        let paid = payer.pay(&invoice.bolt11, Msat::ZERO, PATIENCE).await;
        assert_eq!(paid, Err(PayError::Pending), "{name}: it may have been paid, and nothing says so");
        assert!(pair.payer.node.lookup(&invoice.payment_hash).await.unwrap() == InvoiceState::Open, "{name}");
        api.faults().clear();
    }
}

//! What every backend promises, asked of each: the embedded node itself, and the phoenixd client before the wallet's
//! HTTP API, behind which stands the same kind of node.

// Helpers of tests may fail as tests do.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::time::Duration;

use octroi_l402::{Msat, PaymentHash};
use octroi_lightning::phoenixd::Phoenixd;
use octroi_lightning::{
    InvoiceRequest, InvoiceState, LightningNode, NodeError, Outgoing, Password, PayError, Settlement, bolt11,
};
use octroi_testkit::nodes::{Pair, StoreDir};
use octroi_testkit::wallet_api::{self, WalletApi};

const PATIENCE: Duration = Duration::from_secs(60);

fn asking(msat: i64) -> InvoiceRequest {
    InvoiceRequest {
        amount: Msat::new(msat),
        description: "a call".to_owned(),
        expiry: Duration::from_secs(600),
        preimage: None,
    }
}

async fn pair() -> Pair {
    Pair::start(StoreDir::temporary().unwrap()).await.unwrap()
}

async fn next(node: &dyn LightningNode, after: Option<&str>) -> Settlement {
    tokio::time::timeout(PATIENCE, node.next_settlement(after))
        .await
        .expect("money should have arrived")
        .unwrap()
}

/// `payee` keeps the contract of receiving, `payer` that of paying; they have a channel.
async fn contract(payee: &dyn LightningNode, payer: &dyn LightningNode) {
    // Amounts are exact, or rounded up to whole satoshis, and what the invoice says is what is reported.
    for msat in [1_000, 1_700, 1_001, 250_000] {
        let invoice = payee.create_invoice(asking(msat)).await.unwrap();
        let exact = payee.capabilities().msat_invoices;
        let expected =
            if exact { Msat::new(msat) } else { Msat::from_sat(Msat::new(msat).ceil_to_sat()).unwrap() };
        assert_eq!(invoice.amount, expected);
        let decoded = bolt11::decode(&invoice.bolt11).unwrap();
        assert_eq!((decoded.amount, decoded.payment_hash), (Some(expected), invoice.payment_hash));
        assert_eq!((decoded.expires_at, decoded.network), (invoice.expires_at, "regtest"));
        assert_eq!(decoded.description.as_deref(), Some("a call"));
    }

    // Two payments are two settlements, in order, each once; what is not acknowledged stays first.
    let mut paid = Vec::new();
    for _ in 0..2 {
        let invoice = payee.create_invoice(asking(3_000)).await.unwrap();
        assert_eq!(payee.lookup(&invoice.payment_hash).await.unwrap(), InvoiceState::Open);
        let payment = payer.pay(&invoice.bolt11, Msat::new(10_000), PATIENCE).await.unwrap();
        assert_eq!(payment.preimage.payment_hash(), invoice.payment_hash);
        assert_eq!((payment.amount, payment.fee), (invoice.amount, Msat::ZERO));
        assert_eq!(payer.outgoing(&invoice.payment_hash).await.unwrap(), Outgoing::Paid(payment));
        let state = payee.lookup(&invoice.payment_hash).await.unwrap();
        assert!(
            matches!(state, InvoiceState::Settled { amount, .. } if amount == invoice.amount),
            "{state:?}"
        );
        paid.push(invoice);
    }
    let first = next(payee, None).await;
    assert_eq!((first.payment_hash, first.amount), (paid[0].payment_hash, paid[0].amount));
    let second = next(payee, Some(&first.cursor)).await;
    assert_eq!(second.payment_hash, paid[1].payment_hash);
    assert_eq!(next(payee, None).await, first);
    payee.acknowledge(&first).await.unwrap();
    payee.acknowledge(&first).await.unwrap();
    assert_eq!(next(payee, None).await, second);
    payee.acknowledge(&second).await.unwrap();
    let more =
        tokio::time::timeout(Duration::from_millis(10), payee.next_settlement(Some(&second.cursor))).await;
    assert!(more.is_err(), "nothing is left: {more:?}");

    // What must be refused is, with the reason that tells the caller what to do.
    let again = payer.pay(&paid[0].bolt11, Msat::new(10_000), PATIENCE).await;
    assert_eq!(again, Err(PayError::AlreadyPaid));
    let huge = payee.create_invoice(asking(2_000_000_000)).await.unwrap();
    assert_eq!(payer.pay(&huge.bolt11, Msat::new(10_000), PATIENCE).await, Err(PayError::NoRoute));
    let junk = payer.pay("lnbcrt1junk", Msat::ZERO, PATIENCE).await;
    assert!(matches!(junk, Err(PayError::InvalidInvoice(_))));
    assert!(matches!(payee.create_invoice(asking(0)).await, Err(NodeError::Refused(_))));
    let nobodys = PaymentHash::from_bytes([0; 32]);
    assert_eq!(payee.lookup(&nobodys).await.unwrap(), InvoiceState::Unknown);
    assert_eq!(payer.outgoing(&nobodys).await.unwrap(), Outgoing::Unknown);
    payee.forget(&nobodys).await.unwrap();

    // Both say who they are and what they can carry.
    for node in [payee, payer] {
        let info = node.info().await.unwrap();
        assert_eq!((info.network.as_str(), info.channels, info.usable_channels), ("regtest", 1, 1));
        assert_eq!((info.id.len(), info.synced), (66, true));
        let balances = node.balances().await.unwrap();
        assert!(balances.outbound > Msat::ZERO && balances.inbound > Some(Msat::ZERO));
        let channels = node.channels().await.unwrap();
        assert_eq!((channels.len(), channels[0].usable, channels[0].capacity_sat), (1, true, 1_000_000));
    }
}

async fn phoenixd(node: Arc<dyn LightningNode>) -> (Phoenixd, WalletApi) {
    let password = Password::new("contract");
    let api = wallet_api::serve(node, &password).await.unwrap();
    (Phoenixd::new(&api.url.parse().unwrap(), password).unwrap(), api)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_node_keeps_the_contract() {
    let pair = pair().await;
    contract(&*pair.payee, &*pair.payer.node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_phoenixd_client_keeps_the_contract() {
    let pair = pair().await;
    let (payee, _payee_api) = phoenixd(pair.payee.clone()).await;
    let (payer, _payer_api) = phoenixd(pair.payer.node.clone()).await;
    contract(&payee, &payer).await;
}

mod the_wallets_api {
    use serde_json::Value;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// One request as a person with curl would send it; the status and the body.
    async fn ask(api: &WalletApi, login: &str, head: &str, body: &str) -> (u16, String) {
        let address = api.url.strip_prefix("http://").unwrap();
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!(
            "{head} HTTP/1.1\r\nHost: {address}\r\nAuthorization: {login}\r\nConnection: close\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        // What is too large may be cut off while it is written.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut reply = Vec::new();
        let _ = stream.read_to_end(&mut reply).await;
        let reply = String::from_utf8(reply).unwrap();
        let (head, body) = reply.split_once("\r\n\r\n").unwrap_or((&reply, ""));
        let status = head.split_whitespace().nth(1).map_or(0, |status| status.parse().unwrap());
        (status, body.to_owned())
    }

    /// `:contract`, in base64.
    const LOGIN: &str = "Basic OmNvbnRyYWN0";

    #[tokio::test(flavor = "multi_thread")]
    async fn pays_what_an_outsider_brings_to_the_millisatoshi() {
        let pair = pair().await;
        let (_, api) = phoenixd(pair.payer.node.clone()).await;
        let invoice = pair.payee.create_invoice(asking(1_700)).await.unwrap();

        let form = format!("invoice={}", invoice.bolt11);
        let (status, body) = ask(&api, LOGIN, "POST /payinvoice", &form).await;
        let paid: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            (status, &paid["recipientAmountSat"], &paid["routingFeeSat"]),
            (200, &1.into(), &0.into())
        );
        assert_eq!(paid["paymentHash"], invoice.payment_hash.to_string());
        let preimage: octroi_l402::Preimage = paid["paymentPreimage"].as_str().unwrap().parse().unwrap();
        assert_eq!(preimage.payment_hash(), invoice.payment_hash);
        assert_eq!(next(&*pair.payee, None).await.amount, Msat::new(1_700));

        let (status, body) = ask(&api, LOGIN, "POST /payinvoice", &form).await;
        let again: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, again["type"].as_str()), (200, Some("payment_failed")));
        assert!(again["reason"].as_str().unwrap().contains("already"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn lets_in_only_who_knows_the_password_and_bears_hostile_requests() {
        let pair = pair().await;
        let (_, api) = phoenixd(pair.payer.node.clone()).await;
        for wrong in ["", "Basic", "Basic OmNvbnRyYWN", "Basic OmNvbnRyYWN0eA==", "Bearer OmNvbnRyYWN0"] {
            assert_eq!(ask(&api, wrong, "GET /getbalance", "").await.0, 401, "{wrong}");
        }
        assert_eq!(ask(&api, LOGIN, "GET /getbalance", "").await.0, 200);
        let hash = "0".repeat(64);
        for (head, body, status) in [
            ("GET /", "", 404),
            ("GET /payinvoice", "", 404),
            ("POST /getinfo", "", 404),
            ("POST /payinvoice", "", 400),
            ("POST /payinvoice", "invoice=lnbc1", 400),
            ("POST /decodeinvoice", "invoice=%00%ff", 400),
            ("POST /createinvoice", "description=x", 400),
            ("POST /createinvoice", "amountSat=-1", 400),
            ("POST /createinvoice", "amountSat=0", 400),
            ("POST /createinvoice", "amountSat=18446744073709551615", 400),
            ("GET /payments/incoming/zz", "", 400),
            (&format!("GET /payments/incoming/{hash}"), "", 404),
            (&format!("GET /payments/outgoingbyhash/{hash}"), "", 404),
            ("POST /payinvoice", &format!("invoice={}", "x".repeat(64 * 1024)), 413),
        ] {
            assert_eq!(
                ask(&api, LOGIN, head, body).await.0,
                status,
                "{head} {}",
                &body[..body.len().min(40)]
            );
        }
    }
}

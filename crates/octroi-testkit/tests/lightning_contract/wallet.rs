//! The wallet's HTTP API itself.

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
    assert_eq!((status, &paid["recipientAmountSat"], &paid["routingFeeSat"]), (200, &1.into(), &0.into()));
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
        assert_eq!(ask(&api, LOGIN, head, body).await.0, status, "{head} {}", &body[..body.len().min(40)]);
    }
}

//! Against a scripted phoenixd: a listener that answers what each test says.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

use super::*;
use crate::bolt11;

type Answer = Box<dyn Fn(&str) -> (u16, String) + Send>;

/// Serves one request for each connection, remembering what was asked.
fn scripted(answer: Answer) -> (Phoenixd, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut bytes = vec![0; 64 * 1024];
            let read = stream.read(&mut bytes).unwrap();
            let request = String::from_utf8_lossy(&bytes[..read]).into_owned();
            if request.starts_with("GET /websocket ") {
                // There is none, so that what is asked is what the test is about.
                stream
                    .write_all(b"HTTP/1.1 404 X\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
                    .unwrap();
                continue;
            }
            let (status, body) = answer(&request);
            log.lock().unwrap().push(request);
            let head =
                format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all((head + &body).as_bytes()).unwrap();
        }
    });
    let client = Phoenixd::new(&url.parse().unwrap(), Password::new("secret")).unwrap();
    (client, asked)
}

fn always(status: u16, body: impl Into<String>) -> Phoenixd {
    let body = body.into();
    scripted(Box::new(move |_| (status, body.clone()))).0
}

fn received(number: u64, completed_at: u64) -> Value {
    json!({
        "paymentHash": format!("{number:064x}"), "isPaid": true, "isExpired": false, "requestedSat": 3,
        "receivedSat": 3, "fees": 0, "completedAt": completed_at, "createdAt": 1,
    })
}

#[tokio::test]
async fn the_payer_is_credited_with_what_they_paid() {
    // 1.5 sat of 2 arrive, the rest is phoenixd's fee; both are said in their own rounding.
    let payment = json!({
        "paymentHash": "01".repeat(32), "isPaid": true, "requestedSat": 2, "receivedSat": 1, "fees": 500,
        "completedAt": 5_999,
    });
    let state = always(200, payment.to_string()).lookup(&PaymentHash::from_bytes([1; 32])).await.unwrap();
    assert_eq!(state, InvoiceState::Settled { amount: Msat::new(2_000), settled_at: 5 });
}

#[tokio::test]
async fn arrivals_are_walked_from_the_oldest_over_pages_and_once_each() {
    // 250 payments, three of them in the same millisecond, listed as phoenixd does: latest first.
    let all: Vec<Value> = (0..250).rev().map(|number| received(number, 1_000_000 + number / 3)).collect();
    let (client, _) = scripted(Box::new(move |request| {
        let query = request.split_whitespace().nth(1).unwrap().split_once('?').unwrap().1;
        let number = |name: &str| {
            let found = query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")));
            found.unwrap().parse::<u64>().unwrap()
        };
        let since = all.iter().filter(|payment| payment["completedAt"].as_u64().unwrap() >= number("from"));
        let page: Vec<_> =
            since.skip(number("offset") as usize).take(number("limit") as usize).cloned().collect();
        (200, Value::from(page).to_string())
    }));
    let mut cursor = None;
    for number in 0..250 {
        let settlement = client.next_settlement(cursor.as_deref()).await.unwrap();
        assert_eq!(settlement.payment_hash.to_string(), format!("{number:064x}"));
        client.acknowledge(&settlement).await.unwrap();
        cursor = Some(settlement.cursor);
    }
    assert!(!client.settled.poll(&client.http, cursor.as_deref()).await.unwrap(), "nothing comes twice");
}

const RECEIVED: &str = r#"{"type":"payment_received","timestamp":1,"amountSat":3,"paymentHash":"x"}"#;

/// Says over the websocket what stands in `told`, one connection after the other, and cuts each. A payment is in the list
/// from the moment at which it is told of, and another one from each new connection on: it was missed.
fn with_websocket(told: Vec<Vec<&'static str>>) -> Phoenixd {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    thread::spawn(move || {
        let (mut told, mut arrived) = (told.into_iter().enumerate(), 0);
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut bytes = vec![0; 64 * 1024];
            let read = stream.peek(&mut bytes).unwrap();
            let request = String::from_utf8_lossy(&bytes[..read]).into_owned();
            if !request.starts_with("GET /websocket ") {
                let _ = stream.read(&mut bytes).unwrap();
                let all: Vec<Value> = (0..arrived).rev().map(|n| received(n, 1_000_000 + n)).collect();
                let body = Value::from(all).to_string();
                let head =
                    format!("HTTP/1.1 200 X\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
                stream.write_all((head + &body).as_bytes()).unwrap();
                continue;
            }
            assert!(request.to_lowercase().contains("basic onnly3jlda=="), "empty user, then the password");
            let Some((number, messages)) = told.next() else { continue };
            arrived += u64::from(number > 0);
            let mut socket = tokio_tungstenite::tungstenite::accept(stream).unwrap();
            for message in messages {
                arrived += u64::from(message == RECEIVED);
                socket.send(message.into()).unwrap();
            }
        }
    });
    // Without a word from the websocket nobody would ask again before the test is over.
    let never = Pauses { untold: Duration::from_secs(3600), told: Duration::from_secs(3600) };
    Phoenixd::asking(&url.parse().unwrap(), Password::new("secret"), never).unwrap()
}

#[tokio::test]
async fn the_websocket_tells_at_once_and_what_it_missed_is_found_after_the_cut() {
    let first = vec!["garbage", "{}", "{\"type\":\"other\"}", RECEIVED];
    let client = with_websocket(vec![first, vec![], vec!["[]", RECEIVED]]);
    let mut cursor = None;
    for number in 0..4 {
        let settlement = client.next_settlement(cursor.as_deref()).await.unwrap();
        assert_eq!(settlement.payment_hash.to_string(), format!("{number:064x}"));
        client.acknowledge(&settlement).await.unwrap();
        cursor = Some(settlement.cursor);
    }
}

#[tokio::test]
async fn a_new_run_asks_from_a_minute_before_the_ledgers_cursor() {
    let (client, asked) = scripted(Box::new(|_| (200, json!([received(7, 1_000_000)]).to_string())));
    let settlement = client.next_settlement(Some("otherrun.12.1000")).await.unwrap();
    assert_eq!(settlement.settled_at, 1_000, "given out although the cursor is not before it");
    assert!(asked.lock().unwrap()[0].contains("from=940000&"));
}

#[tokio::test]
async fn errors_say_whose_fault_it_is_and_never_the_password() {
    let hash = PaymentHash::from_bytes([1; 32]);
    let cases = [
        (401, "", NodeError::Refused("the credential is wrong, or does not allow this".to_owned())),
        (400, "too\nlong", NodeError::Refused("too long".to_owned())),
        (502, "<html>", NodeError::Unreachable("HTTP 502".to_owned())),
    ];
    for (status, body, expected) in cases {
        assert_eq!(always(status, body).lookup(&hash).await, Err(expected));
    }
    let redirected = always(302, "").lookup(&hash).await;
    assert_eq!(redirected, Err(NodeError::Unreachable("HTTP 302".to_owned())));
    for body in ["", "[]", "{}", "\"x\"", &"x".repeat(5 * 1024 * 1024)] {
        assert!(matches!(always(200, body).lookup(&hash).await, Err(NodeError::BadReply(_))));
    }
    assert_eq!(always(404, "").lookup(&hash).await, Ok(InvoiceState::Unknown));
    assert!(matches!(always(404, "").info().await, Err(NodeError::BadReply(_))));
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let client = Phoenixd::new(&url.parse().unwrap(), Password::new("secret")).unwrap();
    assert!(matches!(client.info().await, Err(NodeError::Unreachable(_))));
}

#[tokio::test]
async fn an_invoice_for_another_amount_is_not_handed_on() {
    let reply =
        json!({ "amountSat": 1, "paymentHash": "00", "serialized": bolt11::TEST_INVOICE }).to_string();
    let request = InvoiceRequest {
        amount: Msat::new(1_700),
        description: "é".repeat(100),
        expiry: Duration::from_secs(60),
        preimage: None,
    };
    let (client, asked) = scripted(Box::new(move |_| (200, reply.clone())));
    assert!(matches!(client.create_invoice(request).await, Err(NodeError::BadReply(_))));
    let asked = asked.lock().unwrap()[0].clone();
    assert!(asked.contains("amountSat=2&") && asked.contains("expirySeconds=60"), "{asked}");
    assert!(asked.contains("Basic OnNlY3JldA=="), "empty user, then the password");
    assert_eq!(asked.matches("%C3%A9").count(), 64, "128 bytes, cut between characters");
}

#[test]
fn urls_that_cannot_be_are_refused_at_once() {
    for url in ["ftp://a/", "data:x", "http://user@a/", "http://:pw@a/"] {
        let made = Phoenixd::new(&url.parse().unwrap(), Password::new("x"));
        assert!(matches!(made, Err(NodeError::Config(_))), "{url}");
    }
}

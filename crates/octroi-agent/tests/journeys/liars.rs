//! Servers that lie.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http_body_util::Full;
use octroi_agent::{Agent, AgentError, BillError, Budget, CallOptions, CallOutcome, Secret};
use octroi_l402::{Identifier, Macaroon, MasterKeys, Preimage};
use serde_json::{Value, json};
use tower::{Layer, Service, ServiceExt};

use crate::gate::{Form, Gate, say};
use crate::lightning::{Network, Terms, Wallet, invoice, invoice_beyond, now, preimage};
use crate::server::{Reply, Server};

const BUDGET: Budget = Budget { per_call_msat: 5_000, total_msat: 9_000 };

/// A token locked to the payment of `preimage`.
fn token(preimage: &Preimage) -> String {
    use base64::Engine as _;
    let keys = MasterKeys::new((1, [3; 32]));
    let token_id = keys.new_token_id([1; 28]);
    let identifier = Identifier { payment_hash: preimage.payment_hash(), token_id };
    let macaroon = Macaroon::mint(&keys.root_key(&token_id).unwrap(), &identifier, "x", [""; 0]).unwrap();
    base64::engine::general_purpose::STANDARD.encode(macaroon.encode_v2())
}

/// The data of a challenge that is as it should be, for 3 sats.
fn data(token: &str, invoice: &str) -> Value {
    json!({
        "reason": "PAYMENT_REQUIRED",
        "price": {"msat": 3_000},
        "l402": {
            "macaroon": token, "invoice": invoice, "amount_msat": 3_000, "calls": 1,
            "payment_hash": preimage(1).payment_hash().to_string(),
        },
    })
}

async fn visit(server: &Server) -> (Arc<Wallet>, Result<CallOutcome, AgentError>) {
    let wallet = Wallet::new(Arc::default());
    let agent = Agent::builder(server.url.clone())
        .wallet(wallet.clone())
        .budget(BUDGET)
        .token(Secret::new("to.ken"))
        .build()
        .unwrap();
    let made = agent.call("paid", json!({}), CallOptions::buying(1)).await;
    (wallet, made)
}

/// What an agent says of a bill, in header and body and in band; it pays in no case.
async fn judged(token: String, invoice: String, data: Value) -> Vec<BillError> {
    let mut said = Vec::new();
    for form in [Form::Http, Form::InBand, Form::BodyOnly] {
        let (token, invoice, data) = (token.clone(), invoice.clone(), data.clone());
        let server = Server::start(move |seen| say(form, seen, &token, &invoice, data.clone())).await;
        let (wallet, made) = visit(&server).await;
        assert!(wallet.orders().is_empty());
        match made {
            Err(AgentError::Bill(error)) => said.push(error),
            other => panic!("{other:?}"),
        }
    }
    said
}

#[tokio::test]
async fn an_invoice_for_another_amount_than_stated_is_not_paid() {
    for amount in [2_999, 3_001, 4_000] {
        let invoice = invoice(&preimage(1), &Terms::asking(amount));
        let token = token(&preimage(1));
        let said = judged(token.clone(), invoice.clone(), data(&token, &invoice)).await;
        assert!(said.iter().all(|error| matches!(error, BillError::Amount { .. })), "{said:?}");
    }
}

#[tokio::test]
async fn more_than_the_stated_price_is_not_paid() {
    let invoice = invoice(&preimage(1), &Terms::asking(4_000));
    let token = token(&preimage(1));
    let mut data = data(&token, &invoice);
    data["l402"]["amount_msat"] = json!(4_000);
    let said = judged(token.clone(), invoice.clone(), data.clone()).await;
    assert!(said.iter().all(|error| matches!(error, BillError::Overcharged { .. })), "{said:?}");
    // Calls that nobody asked for are no reason either.
    data["l402"]["calls"] = json!(2);
    let said = judged(token, invoice, data).await;
    assert!(said.iter().all(|error| matches!(error, BillError::Overcharged { calls: 1, .. })), "{said:?}");
}

#[tokio::test]
async fn an_invoice_that_opens_another_token_is_not_paid() {
    let invoice = invoice(&preimage(1), &Terms::asking(3_000));
    let other = token(&preimage(2));
    let said = judged(other.clone(), invoice.clone(), data(&other, &invoice)).await;
    assert!(said.iter().all(|error| *error == BillError::OtherPayment), "{said:?}");
    let token = token(&preimage(1));
    let mut wrong = data(&token, &invoice);
    wrong["l402"]["payment_hash"] = json!(preimage(2).payment_hash().to_string());
    let said = judged(token, invoice, wrong).await;
    assert!(said.iter().all(|error| *error == BillError::OtherPayment), "{said:?}");
}

#[tokio::test]
async fn an_expired_or_open_invoice_is_not_paid() {
    let token = token(&preimage(1));
    let old = Terms { created_at: now() - 601, ..Terms::asking(3_000) };
    let expired = invoice(&preimage(1), &old);
    let said = judged(token.clone(), expired.clone(), data(&token, &expired)).await;
    assert!(said.iter().all(|error| *error == BillError::Expired), "{said:?}");
    let open = invoice(&preimage(1), &Terms { amount_msat: None, ..Terms::asking(0) });
    let said = judged(token.clone(), open.clone(), data(&token, &open)).await;
    assert!(said.iter().all(|error| *error == BillError::NoAmount), "{said:?}");
}

#[tokio::test]
async fn an_amount_beyond_counting_is_not_paid() {
    let token = token(&preimage(1));
    // 2^63 msat, to the next whole bitcoin; and as much as 64 bits hold.
    for bitcoin in [92_233_721, 184_467_440, 21_000_001_000_000, u64::MAX] {
        let invoice = invoice_beyond(&preimage(1), bitcoin);
        let mut data = data(&token, &invoice);
        data["l402"]["amount_msat"] = json!(i64::MAX);
        let said = judged(token.clone(), invoice.clone(), data).await;
        let refused = |error: &BillError| matches!(error, BillError::Invoice(_) | BillError::NoAmount);
        assert!(said.iter().all(refused), "{bitcoin}: {said:?}");
    }
}

#[tokio::test]
async fn a_token_that_no_header_carries_is_not_bought() {
    let invoice = invoice(&preimage(1), &Terms::asking(3_000));
    let long = "A".repeat(1024 * 1024);
    let server = {
        let (long, data) = (long.clone(), data(&long, &invoice));
        Server::start(move |seen| say(Form::BodyOnly, seen, &long, &invoice, data.clone())).await
    };
    let (wallet, made) = visit(&server).await;
    assert!(matches!(made, Err(AgentError::Bill(BillError::NoOffer))), "{made:?}");
    assert!(wallet.orders().is_empty());
}

#[tokio::test]
async fn an_invoice_for_something_else_than_stated_is_not_paid() {
    // It says "a call".
    let invoice = invoice(&preimage(1), &Terms::asking(3_000));
    let token = token(&preimage(1));
    for stated in ["A call", "a call ", "", "mcp image_describe x1"] {
        let mut data = data(&token, &invoice);
        data["l402"]["description"] = json!(stated);
        let said = judged(token.clone(), invoice.clone(), data).await;
        assert!(said.iter().all(|error| *error == BillError::Description), "{stated:?}: {said:?}");
    }
}

#[tokio::test]
async fn what_is_no_invoice_is_not_paid() {
    let mut broken = invoice(&preimage(1), &Terms::asking(3_000));
    broken.replace_range(30..31, if &broken[30..31] == "q" { "p" } else { "q" });
    let token = token(&preimage(1));
    let said = judged(token.clone(), broken.clone(), data(&token, &broken)).await;
    assert!(said.iter().all(|error| matches!(error, BillError::Invoice(_))), "{said:?}");
}

#[tokio::test]
async fn header_and_body_must_offer_the_same_invoice() {
    let (one, two) =
        (invoice(&preimage(1), &Terms::asking(3_000)), invoice(&preimage(2), &Terms::asking(3_000)));
    let token = token(&preimage(1));
    let server = Server::start(move |seen| say(Form::Http, seen, &token, &one, data(&token, &two))).await;
    let (wallet, made) = visit(&server).await;
    assert!(matches!(made, Err(AgentError::Bill(BillError::TwoInvoices))), "{made:?}");
    assert!(wallet.orders().is_empty());
}

#[tokio::test]
async fn a_raised_price_meets_the_budget() {
    let invoice = invoice(&preimage(1), &Terms::asking(5_001));
    let token = token(&preimage(1));
    for form in [Form::Http, Form::HeaderOnly] {
        let (token, invoice) = (token.clone(), invoice.clone());
        let mut data = data(&token, &invoice);
        data["price"]["msat"] = json!(5_001);
        data["l402"]["amount_msat"] = json!(5_001);
        let server = Server::start(move |seen| say(form, seen, &token, &invoice, data.clone())).await;
        let (wallet, made) = visit(&server).await;
        assert!(matches!(made, Err(AgentError::OverBudget { limit: "per call", .. })), "{made:?}");
        assert!(wallet.orders().is_empty());
    }
}

#[tokio::test]
async fn an_endless_402_gets_one_payment() {
    for reason in ["PAYMENT_REQUIRED", "CREDENTIAL_SPENT", "PAYMENT_UNVERIFIED", "CREDENTIAL_EXPIRED", "X"] {
        let network = Arc::new(Network::default());
        let (issuing, number) = (Arc::clone(&network), AtomicU64::new(0));
        let server = Server::start(move |seen| {
            let preimage = preimage(number.fetch_add(1, Ordering::Relaxed));
            let invoice = issuing.make(&preimage, &Terms::asking(3_000));
            let token = token(&preimage);
            let data = json!({"reason": reason, "renewed": {"macaroon": token, "balance_msat": 1}});
            say(Form::Http, seen, &token, &invoice, data)
        })
        .await;
        let wallet = Wallet::new(network);
        let agent = Agent::builder(server.url.clone()).wallet(wallet.clone()).budget(BUDGET).build().unwrap();
        let made = agent.call("paid", json!({}), CallOptions::default()).await;
        assert!(matches!(made, Err(AgentError::StillUnpaid { .. })), "{reason}: {made:?}");
        assert_eq!(wallet.payments(), 1, "{reason}");
    }
}

#[tokio::test]
async fn nothing_follows_a_redirect_to_another_host() {
    let elsewhere = Server::start(|seen| Reply::result(seen, json!({"content": []}))).await;
    for status in [301, 302, 303, 307, 308] {
        let place = elsewhere.url.clone();
        let server = Server::start(move |seen| {
            Reply::error(seen, status, Value::Null).with("location", format!("{place}?secret=1"))
        })
        .await;
        let (_, made) = visit(&server).await;
        let Err(AgentError::Redirected { to }) = made else { panic!("{made:?}") };
        assert_eq!(to, elsewhere.url.as_str());
    }
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn a_redirect_on_the_same_host_keeps_the_message() {
    let server = Server::start(|seen| match seen.path.as_str() {
        "/mcp" => Reply::error(seen, 308, Value::Null).with("location", "/moved"),
        "/moved" => Reply::result(seen, json!({"content": []})),
        _ => Reply::error(seen, 404, Value::Null),
    })
    .await;
    assert!(visit(&server).await.1.is_ok());
    let round = Server::start(|seen| Reply::error(seen, 307, Value::Null).with("location", "/mcp")).await;
    assert!(matches!(visit(&round).await.1, Err(AgentError::Redirected { .. })));
}

#[tokio::test]
async fn no_challenge_is_paid_but_on_a_402() {
    let invoice = invoice(&preimage(1), &Terms::asking(3_000));
    let token = token(&preimage(1));
    for status in [200, 401, 403, 500] {
        let (token, invoice) = (token.clone(), invoice.clone());
        let server = Server::start(move |seen| {
            let mut reply = say(Form::HeaderOnly, seen, &token, &invoice, Value::Null);
            reply.status = status;
            reply
        })
        .await;
        let (wallet, made) = visit(&server).await;
        assert!(made.is_err() && wallet.orders().is_empty(), "{status}: {made:?}");
    }
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_the_end() {
    for kind in ["application/json", "text/event-stream"] {
        let server = Server::start(move |_| Reply {
            status: 200,
            headers: vec![("content-type", kind.to_owned())],
            body: vec![b' '; 8 * 1024 * 1024 + 1],
        })
        .await;
        let made = visit(&server).await.1;
        assert!(matches!(made, Err(AgentError::TooLong { .. })), "{kind}: {made:?}");
    }
}

#[tokio::test]
async fn a_refusal_that_is_no_end_of_bytes_is_not_paid() {
    let server = Server::start(|_| Reply {
        status: 402,
        headers: vec![("content-type", "application/json".to_owned())],
        body: vec![b' '; 16 * 1024 * 1024 + 1],
    })
    .await;
    let wallet = Wallet::new(Arc::default());
    let payer = octroi_agent::Payer::builder().wallet(wallet.clone()).budget(BUDGET).build();
    let mut http = octroi_agent::PayLayer::new(payer).layer(octroi_agent::HttpClient::new().unwrap());
    let request = http::Request::get(server.url.as_str()).body(Full::<Bytes>::default()).unwrap();
    let Err(error) = http.ready().await.unwrap().call(request).await else { panic!("it was read") };
    assert!(matches!(error.downcast_ref(), Some(AgentError::TooLong { .. })), "{error}");
    assert!(wallet.orders().is_empty());
}

#[tokio::test]
async fn an_answer_to_another_request_is_none() {
    for body in [json!({"jsonrpc": "2.0", "id": 77, "result": {}}), json!([]), json!({}), Value::Null] {
        let server = Server::start(move |_| Reply::json(200, &body)).await;
        let made = visit(&server).await.1;
        assert!(matches!(made, Err(AgentError::BadReply(_))), "{made:?}");
    }
}

#[tokio::test]
async fn metadata_about_somebody_else_is_not_believed() {
    let server = Server::start(|seen| match seen.method() {
        "tools/call" => Reply::error(seen, 401, Value::Null),
        _ => Reply::json(
            200,
            &json!({"resource": "https://bank.example/mcp", "authorization_servers": ["https://evil"]}),
        ),
    })
    .await;
    let Err(AgentError::IdentityNeeded(needed)) = visit(&server).await.1 else { panic!("no identity asked") };
    assert_eq!(needed.metadata, None);
}

#[tokio::test]
async fn a_credential_for_one_server_is_not_shown_to_another() {
    let network = Arc::new(Network::default());
    let gate = Gate::new(Arc::clone(&network));
    let answering = Arc::clone(&gate);
    let honest = Server::start(move |seen| answering.answer(seen)).await;
    let thief = Server::start(|seen| Reply::result(seen, json!({"content": []}))).await;
    let wallet = Wallet::new(network);
    let first = Agent::builder(honest.url.clone()).wallet(wallet.clone()).budget(BUDGET).build().unwrap();
    first.call("paid", json!({}), CallOptions::buying(2)).await.unwrap();
    let second = Agent::builder(thief.url.clone()).purse(Arc::clone(first.purse())).build().unwrap();
    second.call("paid", json!({}), CallOptions::default()).await.unwrap();
    assert_eq!(thief.requests()[0].credential(), None);
}

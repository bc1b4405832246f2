//! Asking for invoices without end.

use std::collections::HashSet;

use http::StatusCode;
use octroi_gate::invoices::{Class, EntryRule, EntrySettings, InvoiceSettings};
use octroi_pow::{Challenge, Difficulty};

use crate::shop::{Shop, settings};

#[tokio::test]
async fn strangers_get_invoices_of_their_own_until_the_allowance_of_their_network_is_used_up() {
    let shop = Shop::open(settings());
    let mut invoices = HashSet::new();
    for host in 1..=5 {
        let answer = shop.call(&format!("192.0.2.{host}"), &[]).await;
        assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED);
        assert!(invoices.insert(answer.invoice().to_owned()), "two strangers never share an invoice");
    }
    let answer = shop.call("192.0.2.77", &[]).await;
    assert_eq!((answer.status, answer.reason.as_str()), (StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED"));
    assert!((1..=12).contains(&answer.retry_after.expect("a time")), "60 s for 5");
    assert!(answer.body["error"]["data"].get("l402").is_none());
    assert_eq!(shop.call("198.51.100.1", &[]).await.status, StatusCode::PAYMENT_REQUIRED, "another network");
    assert_eq!(shop.made(), 6);
}

#[tokio::test]
async fn a_flood_from_everywhere_does_not_stop_sales_to_those_who_pay() {
    let shop = Shop::open(settings());
    let credential = shop.voucher(1).await;
    for number in 0..500 {
        let peer = format!("10.{}.{}.1", number / 250, number % 250);
        let answer = shop.call(&peer, &[]).await;
        assert!(matches!(answer.status, StatusCode::PAYMENT_REQUIRED | StatusCode::TOO_MANY_REQUESTS));
    }
    assert_eq!(shop.made(), 20, "what is set aside for strangers");
    assert_eq!(shop.desk.counts(Class::Stranger), (20, 480, 20));

    // Who paid before uses what is left, and is asked for more money, in the middle of it.
    let paid = shop.call("10.0.0.1", &[("authorization", &credential)]).await;
    assert_eq!(paid.status, StatusCode::OK);
    let spent = shop.call("10.0.0.1", &[("authorization", &credential)]).await;
    assert_eq!((spent.status, spent.reason.as_str()), (StatusCode::PAYMENT_REQUIRED, "CREDENTIAL_SPENT"));
    assert!(spent.invoice().starts_with("lnbcrt"));
    assert_eq!(shop.desk.counts(Class::Paying), (1, 0, 1));
}

#[tokio::test]
async fn a_caller_that_can_be_told_from_others_is_given_the_same_invoice_again() {
    let shop = Shop::open(settings());
    let credential = shop.voucher(1).await;
    shop.call("192.0.2.1", &[("authorization", &credential)]).await;
    let holder = &[("authorization", credential.as_str())][..];
    let session = &[("mcp-session-id", "one")][..];
    for headers in [holder, session] {
        let first = shop.call("192.0.2.1", headers).await;
        for _ in 0..50 {
            let again = shop.call("192.0.2.1", headers).await;
            assert_eq!((again.invoice(), again.macaroon()), (first.invoice(), first.macaroon()));
        }
        let more = [headers, &[("octroi-calls", "2")]].concat();
        assert_ne!(shop.call("192.0.2.1", &more).await.invoice(), first.invoice(), "another wish");
    }
    let made = shop.made();
    let other = shop.call("192.0.2.2", session).await;
    assert_ne!(other.invoice(), shop.call("192.0.2.1", session).await.invoice(), "another address");
    assert_eq!(shop.made(), made + 1);
    let unsigned = holder[0].1.replace("L402 A", "L402 B");
    let forged = shop.call("192.0.2.3", &[("authorization", &unsigned)]).await;
    let again = shop.call("192.0.2.3", &[("authorization", &unsigned)]).await;
    assert_ne!(forged.invoice(), again.invoice(), "whose credential is forged is a stranger");
}

fn puzzle(rule: EntryRule) -> InvoiceSettings {
    let difficulty = Difficulty::from_bits(4.0).expect("bits");
    InvoiceSettings { entry: Some(EntrySettings { rule, difficulty }), ..settings() }
}

fn solve(challenge: &serde_json::Value) -> String {
    let challenge: Challenge = serde_json::from_value(challenge.clone()).expect("a challenge");
    let nonce = (0u32..).map(|nonce| nonce.to_string()).find(|nonce| {
        use sha2::{Digest, Sha256};
        let hash = Sha256::new().chain_update(&challenge.salt).chain_update(nonce).finalize();
        challenge.difficulty.is_met_by(&hash.into())
    });
    format!("challenge={},nonce={}", challenge.to_token(), nonce.expect("a nonce"))
}

#[tokio::test]
async fn over_the_allowance_a_small_puzzle_opens_once() {
    let shop = Shop::open(puzzle(EntryRule::OverLimit));
    for _ in 0..5 {
        assert_eq!(shop.call("192.0.2.1", &[]).await.status, StatusCode::PAYMENT_REQUIRED);
    }
    let refused = shop.call("192.0.2.1", &[]).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    let puzzle = &refused.body["error"]["data"]["invoice_pow"];
    assert_eq!(puzzle["tool"], "dev.octroi/invoice");

    let solution = solve(puzzle);
    let admitted = shop.call("192.0.2.1", &[("x-pow-solution", &solution)]).await;
    assert_eq!(
        (admitted.status, admitted.reason.as_str()),
        (StatusCode::PAYMENT_REQUIRED, "PAYMENT_REQUIRED")
    );
    assert!(!admitted.invoice().is_empty());
    assert_eq!(shop.desk.counts(Class::Worked).0, 1);
    let again = shop.call("192.0.2.1", &[("x-pow-solution", &solution)]).await;
    assert_eq!(again.status, StatusCode::TOO_MANY_REQUESTS, "spent: a stranger over the allowance again");
    assert_eq!(shop.made(), 6);
}

#[tokio::test]
async fn it_can_be_asked_of_every_stranger_and_of_nobody_else() {
    let shop = Shop::open(puzzle(EntryRule::Always));
    let asked = shop.call("192.0.2.1", &[]).await;
    assert_eq!((asked.status, asked.reason.as_str()), (StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED"));
    assert!(asked.body["error"]["data"].get("l402").is_none());
    assert_eq!(shop.made(), 0);
    let solution = solve(&asked.body["error"]["data"]["invoice_pow"]);
    assert!(!shop.call("192.0.2.1", &[("x-pow-solution", &solution)]).await.invoice().is_empty());

    let credential = shop.voucher(1).await;
    let holder = [("authorization", credential.as_str())];
    assert_eq!(shop.call("192.0.2.1", &holder).await.status, StatusCode::OK);
    assert!(!shop.call("192.0.2.1", &holder).await.invoice().is_empty(), "who paid is not asked to work");
}

#[tokio::test]
async fn solutions_that_flood_use_up_only_their_own_class() {
    let shop = Shop::open(puzzle(EntryRule::Always));
    let mut made = 0;
    for _ in 0..40 {
        let asked = shop.call("192.0.2.1", &[]).await;
        let solution = solve(&asked.body["error"]["data"]["invoice_pow"]);
        let answer = shop.call("192.0.2.1", &[("x-pow-solution", &solution)]).await;
        made += u64::from(answer.status == StatusCode::PAYMENT_REQUIRED);
    }
    assert_eq!((made, shop.made()), (20, 20));
    let credential = shop.voucher(1).await;
    let holder = [("authorization", credential.as_str())];
    assert_eq!(shop.call("192.0.2.1", &holder).await.status, StatusCode::OK);
    assert!(!shop.call("192.0.2.1", &holder).await.invoice().is_empty());
}

//! What a payment becomes.

use http::StatusCode;
use octroi_l402::Msat;

use crate::node::ScriptedNode;
use crate::shop::{Answer, PRICE, Shop, settings};

fn credential(answer: &Answer, number: u64) -> String {
    format!("L402 {}:{}", answer.macaroon(), ScriptedNode::preimage(number).to_hex())
}

#[tokio::test]
async fn a_preimage_alone_admits_nobody() {
    // As a custodian's: whoever runs the address knows the preimage before anybody paid.
    let shop = Shop::open(settings());
    shop.tend();
    let asked = shop.call("192.0.2.1", &[]).await;
    let known = credential(&asked, 0);
    let early = shop.call("192.0.2.1", &[("authorization", &known)]).await;
    assert_eq!((early.status, early.reason.as_str()), (StatusCode::PAYMENT_REQUIRED, "PAYMENT_UNVERIFIED"));
    shop.node.pay(0, Msat::new(PRICE));
    assert_eq!(shop.call("192.0.2.1", &[("authorization", &known)]).await.status, StatusCode::OK);
}

#[tokio::test]
async fn too_much_is_credited_in_full_and_twice_the_same_once() {
    let shop = Shop::open(settings());
    shop.tend();
    let asked = shop.call("192.0.2.1", &[]).await;
    let paid = credential(&asked, 0);
    shop.node.pay(0, Msat::new(2 * PRICE));
    shop.node.pay(0, Msat::new(2 * PRICE));
    for _ in 0..2 {
        assert_eq!(shop.call("192.0.2.1", &[("authorization", &paid)]).await.status, StatusCode::OK);
    }
    shop.node.pay(0, Msat::new(2 * PRICE));
    let spent = shop.call("192.0.2.1", &[("authorization", &paid)]).await;
    assert_eq!(spent.reason, "CREDENTIAL_SPENT");
    assert!(shop.ledger.verify().expect("readable").is_sound());
}

//! Failing to pay: what it comes to in the long run, and for whom.

use octroi_gate::{FailedPayments, Failure};

use crate::shop::{Shop, settings};

const BOUNDS: FailedPayments = FailedPayments { free: 10, recover_seconds: 20 };

/// Something that looks like a credential and was not made here.
fn forged(number: u32) -> String {
    format!("L402 {number:08}:{}", "ab".repeat(32))
}

#[tokio::test]
async fn forgeries_are_answered_with_a_wait_and_good_payments_are_taken() {
    let shop = Shop::bearing(settings(), BOUNDS);
    let good = shop.voucher(1).await;
    let mut answered = Vec::new();
    for number in 0..200 {
        let answer = shop.call("192.0.2.1", &[("authorization", &forged(number))]).await;
        answered.push((answer.reason, answer.retry_after));
    }
    let waits = answered.iter().filter(|(reason, wait)| reason == "RATE_LIMITED" && wait.is_some()).count();
    let bad = answered.iter().filter(|(reason, _)| reason == "INVALID_MACAROON").count();
    assert!(bad >= 1 && waits > 150 && bad + waits == 200, "{answered:?}");
    assert!(shop.made() < 20, "{} invoices", shop.made());
    // Whoever pays is served, from the same network too; strangers of other networks are asked to pay as ever.
    assert_eq!(shop.call("192.0.2.1", &[("authorization", &good)]).await.status, 200);
    assert_eq!(shop.call("198.51.100.1", &[]).await.reason, "PAYMENT_REQUIRED");
    let (dealt, refused) = shop.till().failures(Failure::Forged);
    assert!(dealt < 50 && dealt + refused == 200, "{dealt} and {refused}");
}

#[tokio::test]
async fn a_forger_slows_nobody_whose_name_it_uses() {
    let shop = Shop::bearing(settings(), BOUNDS);
    let good = shop.voucher(1).await;
    // The right macaroon with another preimage claims the same account, and proves nothing.
    let (macaroon, _) = good.split_once(':').expect("a colon");
    let claimed = format!("{macaroon}:{}", "ab".repeat(32));
    for _ in 0..50 {
        let answer = shop.call("192.0.2.1", &[("authorization", &claimed)]).await;
        assert_ne!(answer.status, 200);
    }
    assert_eq!(shop.call("203.0.113.5", &[("authorization", &good)]).await.status, 200);
}

#[tokio::test]
async fn a_spent_credential_shown_again_and_again_waits_by_itself() {
    let shop = Shop::bearing(settings(), BOUNDS);
    let (spent, other) = (shop.voucher(1).await, shop.voucher(2).await);
    assert_eq!(shop.call("192.0.2.1", &[("authorization", &spent)]).await.status, 200);
    let mut refused = 0;
    for _ in 0..50 {
        let reason = shop.call("192.0.2.1", &[("authorization", &spent)]).await.reason;
        assert!(reason == "RATE_LIMITED" || reason == "CREDENTIAL_SPENT", "{reason}");
        refused += usize::from(reason == "RATE_LIMITED");
    }
    assert!(refused > 0);
    assert_eq!(shop.call("192.0.2.1", &[("authorization", &other)]).await.status, 200);
    assert_eq!(shop.call("192.0.2.1", &[]).await.reason, "PAYMENT_REQUIRED", "its network did nothing");
}

#[tokio::test]
async fn invoices_that_nobody_pays_become_rare() {
    let shop = Shop::bearing(settings(), FailedPayments { free: 3, recover_seconds: 20 });
    let mut made = 0;
    let refused = loop {
        let answer = shop.call("192.0.2.1", &[]).await;
        if answer.reason != "PAYMENT_REQUIRED" {
            break answer;
        }
        made += 1;
    };
    assert_eq!((refused.reason.as_str(), refused.retry_after), ("RATE_LIMITED", Some(1)));
    assert!(made == 4 && shop.made() == 4, "three are free, the fourth starts the wait");
    assert_eq!(shop.call("198.51.100.1", &[]).await.reason, "PAYMENT_REQUIRED");
}

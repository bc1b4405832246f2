//! A node that cannot receive, does not answer, or is slow.

use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use http::StatusCode;
use octroi_gate::invoices::{Alert, InvoiceSettings};
use octroi_l402::Msat;
use octroi_lightning::NodeError;

use crate::shop::{PRICE, Shop, settings};

/// Waits for something that another task does.
async fn until(what: impl Fn() -> bool) {
    let seen = async {
        while !what() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), seen).await.expect("it should have come");
}

#[tokio::test]
async fn what_the_node_cannot_receive_is_not_asked_for() {
    let shop = Shop::open(InvoiceSettings { low_inbound: Some(Msat::new(10 * PRICE)), ..settings() });
    *shop.node.inbound.lock().expect("a lock") = Some(Msat::new(PRICE - 1));
    let mut alerts = shop.desk.alerts();
    shop.tend();
    let news = alerts.recv().await.expect("an alert");
    assert_eq!((news.alert, news.raised), (Alert::LowInbound, true));
    assert_eq!(news.text, "2999 msat can be received, 30000 are wanted");
    let answer = shop.call("192.0.2.1", &[]).await;
    assert_eq!((answer.status, answer.reason.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "NO_LIQUIDITY"));
    assert!(answer.retry_after.is_some());
    assert_eq!(shop.made(), 0);
}

#[tokio::test]
async fn a_channel_that_was_opened_meanwhile_is_seen_at_the_next_wish() {
    let shop = Shop::open(settings());
    *shop.node.inbound.lock().expect("a lock") = Some(Msat::ZERO);
    assert_eq!(shop.call("192.0.2.1", &[]).await.status, StatusCode::PAYMENT_REQUIRED, "not looked at yet");
    shop.tend();
    until(|| shop.desk.balances().is_some()).await;
    assert_eq!(shop.call("192.0.2.1", &[]).await.reason, "NO_LIQUIDITY");
    *shop.node.inbound.lock().expect("a lock") = Some(Msat::new(PRICE));
    assert_eq!(shop.call("192.0.2.1", &[]).await.status, StatusCode::PAYMENT_REQUIRED);
}

#[tokio::test]
async fn a_node_that_is_down_is_asked_once_and_money_on_accounts_is_still_good() {
    let shop = Shop::open(settings());
    let credential = shop.voucher(1).await;
    let mut alerts = shop.desk.alerts();
    *shop.node.broken.lock().expect("a lock") = Some(NodeError::Unreachable("no connection".to_owned()));
    let first = shop.call("192.0.2.1", &[]).await;
    assert_eq!((first.status, first.reason.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "NO_LIQUIDITY"));
    assert_eq!(first.retry_after, Some(1));
    assert_eq!(alerts.recv().await.map(|news| news.alert), Some(Alert::NodeDown));

    // Nobody waits for it now: while this is held the node answers nothing at all.
    let busy = shop.node.busy.lock().await;
    let second = shop.call("192.0.2.2", &[]).await;
    assert_eq!(second.status, StatusCode::SERVICE_UNAVAILABLE);
    drop(busy);
    assert_eq!(shop.call("192.0.2.1", &[("authorization", &credential)]).await.status, StatusCode::OK);
    // Nothing that could not be verified is accepted.
    let unpaid = shop.voucher(2).await.replace("L402 A", "L402 B");
    assert_ne!(shop.call("192.0.2.1", &[("authorization", &unpaid)]).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_node_that_refuses_is_not_down() {
    let shop = Shop::open(settings());
    *shop.node.broken.lock().expect("a lock") = Some(NodeError::Refused("too many".to_owned()));
    assert_eq!(shop.call("192.0.2.1", &[]).await.reason, "NO_LIQUIDITY");
    *shop.node.broken.lock().expect("a lock") = None;
    assert_eq!(shop.call("192.0.2.1", &[]).await.status, StatusCode::PAYMENT_REQUIRED);
}

#[tokio::test]
async fn invoices_made_ahead_are_handed_out_while_the_node_is_busy() {
    let shop = Shop::open(InvoiceSettings { ready: 3, ..settings() });
    shop.tend();
    shop.call("192.0.2.1", &[]).await;
    until(|| shop.desk.in_stock() == 3).await;
    let made = shop.made();
    let busy = shop.node.busy.lock().await;
    let started = Instant::now();
    let mut invoices = std::collections::HashSet::new();
    for _ in 0..3 {
        invoices.insert(shop.call("192.0.2.1", &[]).await.invoice().to_owned());
    }
    assert_eq!(invoices.len(), 3, "each is handed out once");
    assert!(started.elapsed() < Duration::from_secs(5), "nobody waited for the node");
    drop(busy);
    until(|| shop.made() == made + 3 && shop.desk.in_stock() == 3).await;
    assert_eq!(shop.node.forgotten.load(SeqCst), 0);
}

#[tokio::test]
async fn a_slow_node_is_an_alert() {
    let shop = Shop::open(InvoiceSettings { slow: Duration::ZERO, ..settings() });
    let mut alerts = shop.desk.alerts();
    shop.call("192.0.2.1", &[]).await;
    let news = alerts.recv().await.expect("an alert");
    assert_eq!((news.alert, news.raised), (Alert::Slow, true));
    assert!(news.text.starts_with("making an invoice took "), "{}", news.text);
    assert_eq!(shop.desk.making().cumulative().1, 1);
}

#[tokio::test]
async fn an_invoice_for_the_money_of_another_chain_is_not_handed_out() {
    let shop = Shop::open(InvoiceSettings { network: Some("bitcoin"), ..settings() });
    let mut alerts = shop.desk.alerts();
    let answer = shop.call("192.0.2.1", &[]).await;
    assert_eq!((answer.status, answer.reason.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "NO_LIQUIDITY"));
    let news = alerts.recv().await.expect("an alert");
    assert_eq!(news.alert, Alert::NodeDown);
    assert!(news.text.contains("not for bitcoin"), "{}", news.text);
}

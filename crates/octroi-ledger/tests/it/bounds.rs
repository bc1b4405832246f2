//! Every bound, met.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use octroi_ledger::{HoldRefused, Ledger, LedgerError};

use crate::support::{World, assert_sound, available, fund, hold, quote, settlement, token, voucher};

on_both_engines! {
    a_full_queue_is_busy_before_any_work_is_done,
    accounts_dropped_from_memory_are_found_again,
    too_many_waiters_are_answered_at_once,
    a_closed_ledger_refuses,
}

async fn a_full_queue_is_busy_before_any_work_is_done(world: World) {
    let mut config = world.config();
    config.queue = 3;
    let ledger = Ledger::open(config).unwrap();
    fund(&ledger, 1, 10_000).await;
    let mut open_holds = Vec::new();
    for _ in 0..3 {
        let open = hold(&ledger, 1, 1_000).await.unwrap();
        open.durable().await.unwrap();
        open_holds.push(open);
    }
    assert_eq!(hold(&ledger, 1, 1_000).await.unwrap_err(), HoldRefused::Busy);
    assert_eq!(ledger.record_quote(quote(2)).await.unwrap_err(), LedgerError::Busy);
    assert_eq!(ledger.load(octroi_ledger::AccountRef::Token(token(9))).await.unwrap_err(), LedgerError::Busy);
    open_holds.clear();
    // The three ends are queued before this quote; the quote is refused until there is room.
    while ledger.record_quote(quote(2)).await == Err(LedgerError::Busy) {
        tokio::task::yield_now().await;
    }
    assert_eq!(available(&ledger, 1).await, 10_000);
    assert_sound(&ledger);
}

async fn accounts_dropped_from_memory_are_found_again(world: World) {
    let mut config = world.config();
    config.cached_accounts = 4;
    let ledger = Ledger::open(config).unwrap();
    for n in 0..40 {
        ledger.mint_voucher(voucher(n, 100)).await.unwrap();
    }
    let kept = hold(&ledger, 0, 60).await.unwrap();
    for n in 1..40 {
        hold(&ledger, n, 60).await.unwrap().capture(60);
    }
    assert_eq!(hold(&ledger, 0, 60).await.unwrap_err(), HoldRefused::Insufficient { available: 40 });
    kept.void();
    for n in 1..40 {
        assert_eq!(hold(&ledger, n, 60).await.unwrap_err(), HoldRefused::Insufficient { available: 40 });
    }
    hold(&ledger, 0, 100).await.unwrap().capture(100);
    assert_sound(&ledger);
}

async fn too_many_waiters_are_answered_at_once(world: World) {
    let mut config = world.config();
    config.waiters = 1;
    let ledger = Ledger::open(config).unwrap();
    ledger.record_quote(quote(1)).await.unwrap();
    let long = Duration::from_secs(600);
    let mut waiting = pin!(ledger.wait_for_credit(token(1), long));
    // Polled once, it has taken the one place.
    poll_fn(|context| {
        assert!(waiting.as_mut().poll(context).is_pending());
        Poll::Ready(())
    })
    .await;
    assert!(!ledger.wait_for_credit(token(2), long).await);
    ledger.credit_payment(settlement(1, 3_000)).await.unwrap();
    assert!(waiting.await);
    // The place is free again, so this one is told.
    let (told, _) = tokio::join!(ledger.wait_for_credit(token(2), long), ledger.mint_voucher(voucher(2, 1)));
    assert!(told);
}

async fn a_closed_ledger_refuses(world: World) {
    let ledger = world.open();
    fund(&ledger, 1, 10).await;
    ledger.close().await;
    ledger.close().await;
    assert!(matches!(hold(&ledger, 1, 1).await, Err(HoldRefused::Unavailable(_))));
    assert!(matches!(ledger.record_quote(quote(2)).await, Err(LedgerError::Unavailable(_))));
}

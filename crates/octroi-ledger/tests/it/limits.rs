//! Budgets and quotas.

use octroi_ledger::{AccountRef, Counts, HoldRefused, Limit, Unit, Window};

use crate::support::{FUTURE, World, assert_sound, fund, hold, owner, request, token, work};

on_both_engines! {
    a_free_quota_counts_calls_and_forgets_those_that_failed,
    a_budget_counts_what_is_charged_and_several_hold_together,
    too_many_limits_are_refused,
    what_never_starts_over_is_forgotten_with_its_account_and_not_before,
}

const DAY: u64 = 86_400;

fn calls(n: u32, most: i64) -> Limit {
    Limit { key: owner(n), window: Window::Day, counts: Counts::Calls, most }
}

fn spend(n: u32, most: i64) -> Limit {
    Limit { key: owner(n), window: Window::Day, counts: Counts::Amount, most }
}

async fn a_free_quota_counts_calls_and_forgets_those_that_failed(world: World) {
    let ledger = world.open();
    let limits = [calls(1, 2)];
    let free = request(AccountRef::Nobody, 0).limited(&limits);
    ledger.hold(&free).await.unwrap().void();
    ledger.hold(&free).await.unwrap().capture(0);
    let under_way = ledger.hold(&free).await.unwrap();
    let refused = ledger.hold(&free).await.unwrap_err();
    assert!(
        matches!(refused, HoldRefused::Limited { limit: 0, left: 0, until } if until.is_multiple_of(DAY)),
        "{refused:?}"
    );
    drop(under_way);
    let under_way = ledger.hold(&free).await.unwrap();
    under_way.durable().await.unwrap();
    under_way.capture(0);
    ledger.close().await;
    let ledger = world.open();
    assert!(matches!(ledger.hold(&free).await, Err(HoldRefused::Limited { .. })), "remembered over restarts");
    let other = [calls(2, 2)];
    ledger.hold(&request(AccountRef::Nobody, 0).limited(&other)).await.expect("another caller").capture(0);
    assert!(matches!(ledger.hold(&request(AccountRef::Nobody, 1)).await, Err(HoldRefused::Amount)));
    ledger.close().await;
    assert_sound(&ledger);
    assert_eq!(ledger.reader().unwrap().calls(9).unwrap().len(), 5);
}

async fn a_budget_counts_what_is_charged_and_several_hold_together(world: World) {
    let ledger = world.open();
    fund(&ledger, 1, 10_000).await;
    let limits = [spend(1, 2_500), calls(1, 3)];
    let call = request(AccountRef::Token(token(1)), 1_000).limited(&limits);
    ledger.hold(&call).await.unwrap().capture(400);
    ledger.hold(&call).await.unwrap().capture(1_000);
    let third = ledger.hold(&call).await.unwrap();
    third.durable().await.unwrap();
    let refused = ledger.hold(&call).await.unwrap_err();
    assert!(matches!(refused, HoldRefused::Limited { limit: 0, left: 100, .. }), "{refused:?}");
    third.capture(100);
    let refused = ledger.hold(&call).await.unwrap_err();
    assert!(matches!(refused, HoldRefused::Limited { limit: 1, left: 0, .. }), "{refused:?}");
    // A hold that a limit refuses takes nothing from the account, and one the account refuses nothing from a limit.
    assert_eq!(crate::support::available(&ledger, 1).await, 8_500);
    let limits = [spend(2, 20_000)];
    let dear = request(AccountRef::Token(token(1)), 9_000).limited(&limits);
    assert!(matches!(ledger.hold(&dear).await, Err(HoldRefused::Insufficient { .. })));
    let rest = [spend(2, 8_500)];
    ledger.hold(&request(AccountRef::Token(token(1)), 8_500).limited(&rest)).await.unwrap().capture(8_500);
    assert_sound(&ledger);
}

async fn too_many_limits_are_refused(world: World) {
    let ledger = world.open();
    let limits = [calls(1, 2); octroi_ledger::MAX_LIMITS + 1];
    let call = request(AccountRef::Nobody, 0).limited(&limits);
    assert!(matches!(ledger.hold(&call).await, Err(HoldRefused::Amount)));
}

async fn what_never_starts_over_is_forgotten_with_its_account_and_not_before(world: World) {
    let once = |n| [Limit { key: owner(n), window: Window::Always, counts: Counts::Calls, most: 1 }];
    let ledger = world.open();
    for n in 1..=2 {
        fund(&ledger, n, 1_000).await;
        ledger.hold(&request(AccountRef::Token(token(n)), 400).limited(&once(n))).await.unwrap().capture(400);
    }
    // Calls bought with work end by themselves.
    ledger.credit_work(work(3, 9)).await.unwrap();
    let mut worked = request(AccountRef::Token(token(3)), 1);
    worked.unit = Unit::Call;
    ledger.hold(&worked.limited(&once(3))).await.unwrap().capture(1);
    let forgotten =
        async |now| ledger.prune(now).await.unwrap().counters + ledger.prune(now).await.unwrap().counters;
    let week = 8 * DAY;
    assert_eq!(forgotten(FUTURE - 1).await, 0, "the credentials are good");
    assert_eq!(
        forgotten(FUTURE + 1).await,
        1,
        "the work has ended; money has no end, its credential can be renewed"
    );
    hold(&ledger, 2, 600).await.unwrap().capture(600);
    hold(&ledger, 2, 0).await.unwrap().durable().await.unwrap();
    assert_eq!(forgotten(FUTURE + 1).await, 0, "a late payment may still arrive");
    assert_eq!(forgotten(FUTURE + week).await, 1, "spent and ended");
    assert_eq!(forgotten(FUTURE + week).await, 0);
    ledger.close().await;
    let ledger = world.open();
    let again = request(AccountRef::Token(token(1)), 100);
    assert!(matches!(ledger.hold(&again.limited(&once(1))).await, Err(HoldRefused::Limited { .. })), "kept");
    assert_sound(&ledger);
}

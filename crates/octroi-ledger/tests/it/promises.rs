//! The promises that can be seen from outside, one after the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use octroi_l402::Msat;
use octroi_ledger::{
    AccountRef, CallEnd, Claimed, Counts, Credited, HoldRefused, HoldRequest, LedgerError, Limit, Pruned,
    QuoteState, Settlement, Told, Unit, Window,
};

use crate::support::{
    FUTURE, PAST, World, answer, assert_sound, available, fund, hash, hold, open, owner, quote, request,
    settlement, token, voucher, work,
};

on_both_engines! {
    a_payment_of_one_price_buys_one_call,
    a_durable_hold_is_on_disk,
    what_is_not_captured_can_be_spent_at_once,
    a_payment_is_credited_once_and_moves_the_cursor,
    what_arrived_is_credited_be_it_late_more_or_less,
    money_for_nobody_waits_in_suspense,
    a_hash_is_quoted_once,
    a_puzzle_is_rewarded_once_and_in_calls,
    work_expires_and_money_does_not,
    a_voucher_is_an_entry_like_any_other,
    amounts_out_of_bounds_are_errors,
    a_principal_spends_its_oldest_account_that_bears_the_call,
    a_principal_with_thousands_of_small_rests_still_finds_its_money,
    a_payer_ahead_of_the_event_waits_for_it,
    what_cannot_matter_any_more_is_forgotten,
}

async fn a_payment_of_one_price_buys_one_call(world: World) {
    let ledger = world.open();
    fund(&ledger, 1, 3_000).await;
    let paid = hold(&ledger, 1, 3_000).await.unwrap();
    assert_eq!(paid.balance_after(), 0);
    assert_eq!(hold(&ledger, 1, 3_000).await.unwrap_err(), HoldRefused::Insufficient { available: 0 });
    paid.durable().await.unwrap();
    paid.capture(3_000);
    assert_eq!(hold(&ledger, 1, 1).await.unwrap_err(), HoldRefused::Insufficient { available: 0 });
    ledger.close().await;

    let ledger = world.open();
    assert_sound(&ledger);
    let report = ledger.report().unwrap();
    assert_eq!(
        (report.received_msat, report.credit_msat, report.captured, report.open_holds),
        (3_000, 0, 1, 0)
    );
    assert_eq!((report.revenue[0].tool.as_str(), report.revenue[0].msat), ("image_describe", 3_000));
    let calls = ledger.reader().unwrap().calls(10).unwrap();
    assert_eq!((calls.len(), calls[0].end, calls[0].captured), (1, CallEnd::Captured, 3_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_callers_never_spend_the_same_sat() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path());
    fund(&ledger, 1, 100_000).await;
    let captured = Arc::new(AtomicI64::new(0));
    let callers: Vec<_> = (0..32)
        .map(|caller: i64| {
            let (ledger, captured) = (ledger.clone(), Arc::clone(&captured));
            tokio::spawn(async move {
                for call in 0..40 {
                    let Ok(open) = hold(&ledger, 1, 700).await else { continue };
                    open.durable().await.unwrap();
                    match (caller + call) % 3 {
                        0 => open.void(),
                        1 => {
                            captured.fetch_add(700, Ordering::Relaxed);
                            open.capture(700);
                        }
                        _ => {
                            captured.fetch_add(200, Ordering::Relaxed);
                            open.capture(200);
                        }
                    }
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    let spent = captured.load(Ordering::Relaxed);
    assert!(spent <= 100_000 && spent > 99_000, "{spent}");
    assert_eq!(available(&ledger, 1).await, 100_000 - spent);
    ledger.close().await;
    let ledger = open(dir.path());
    assert_sound(&ledger);
    assert_eq!(available(&ledger, 1).await, 100_000 - spent);
}

async fn a_durable_hold_is_on_disk(world: World) {
    let ledger = world.open();
    fund(&ledger, 1, 3_000).await;
    let open = hold(&ledger, 1, 2_000).await.unwrap();
    open.durable().await.unwrap();
    let account = ledger.reader().unwrap().account(&token(1)).unwrap().unwrap();
    assert_eq!((account.balance, account.held), (3_000, 2_000));
    assert_eq!(ledger.report().unwrap().open_holds, 1);
    open.void();
}

async fn what_is_not_captured_can_be_spent_at_once(world: World) {
    let ledger = world.open();
    fund(&ledger, 1, 3_000).await;
    hold(&ledger, 1, 3_000).await.unwrap().void();
    drop(hold(&ledger, 1, 3_000).await.expect("a void gives everything back"));
    hold(&ledger, 1, 3_000).await.expect("a drop gives everything back").capture(1_000);
    assert_eq!(hold(&ledger, 1, 2_001).await.unwrap_err(), HoldRefused::Insufficient { available: 2_000 });
    hold(&ledger, 1, 500).await.unwrap().capture(i64::MAX);
    hold(&ledger, 1, 500).await.unwrap().capture(-7);
    assert_eq!(available(&ledger, 1).await, 1_500);
    ledger.close().await;
    let ledger = world.open();
    assert_sound(&ledger);
    let report = ledger.report().unwrap();
    assert_eq!((report.captured, report.voided, report.credit_msat), (3, 2, 1_500));
}

async fn a_payment_is_credited_once_and_moves_the_cursor(world: World) {
    let ledger = world.open();
    fund(&ledger, 1, 3_000).await;
    assert_eq!(ledger.settlement_cursor("node").await.unwrap().as_deref(), Some("cursor-1"));
    let again = Settlement { cursor: Some("later".to_owned()), ..settlement(1, 5_000) };
    assert_eq!(ledger.credit_payment(again).await.unwrap(), Credited::Duplicate);
    assert_eq!(ledger.settlement_cursor("node").await.unwrap().as_deref(), Some("later"));
    let looked_up = Settlement { cursor: None, node: "node".to_owned(), ..settlement(1, 5_000) };
    assert_eq!(ledger.credit_payment(looked_up).await.unwrap(), Credited::Duplicate);
    assert_eq!(ledger.settlement_cursor("node").await.unwrap().as_deref(), Some("later"));
    assert_eq!(ledger.settlement_cursor("other").await.unwrap(), None);
    assert_eq!(ledger.settlement_cursors("node").await.unwrap(), ["later"]);
    assert_eq!(ledger.settlement_cursors("nod").await.unwrap(), Vec::<String>::new());
    assert_eq!(available(&ledger, 1).await, 3_000);
    assert_sound(&ledger);
}

async fn what_arrived_is_credited_be_it_late_more_or_less(world: World) {
    let ledger = world.open();
    let mut late = quote(1);
    late.expires_at = PAST + 1;
    ledger.record_quote(late.clone()).await.unwrap();
    assert_eq!(ledger.quote(&hash(1)).await.unwrap(), QuoteState::Unpaid(late));
    let paid = Settlement { settled_at: PAST + 1_000, ..settlement(1, 4_500) };
    assert!(matches!(ledger.credit_payment(paid).await.unwrap(), Credited::New { balance: 4_500, .. }));
    assert_eq!(ledger.quote(&hash(1)).await.unwrap(), QuoteState::Paid(Some(token(1))));
    fund(&ledger, 2, 1_200).await;
    assert_eq!(hold(&ledger, 2, 3_000).await.unwrap_err(), HoldRefused::Insufficient { available: 1_200 });
    assert_sound(&ledger);
}

async fn money_for_nobody_waits_in_suspense(world: World) {
    let ledger = world.open();
    assert_eq!(ledger.quote(&hash(9)).await.unwrap(), QuoteState::Unknown);
    assert_eq!(ledger.credit_payment(settlement(9, 777)).await.unwrap(), Credited::Unknown);
    assert_eq!(ledger.credit_payment(settlement(9, 777)).await.unwrap(), Credited::Duplicate);
    assert_eq!(ledger.quote(&hash(9)).await.unwrap(), QuoteState::Paid(None));
    let report = ledger.report().unwrap();
    assert_eq!((report.suspense_msat, report.received_msat, report.accounts), (777, 777, 0));
    // A payment for a credential that counts calls belongs to nobody either.
    ledger.credit_work(work(4, 5)).await.unwrap();
    ledger.record_quote(quote(4)).await.unwrap();
    assert_eq!(ledger.credit_payment(settlement(4, 10)).await.unwrap(), Credited::Unknown);
    assert_sound(&ledger);
}

async fn a_hash_is_quoted_once(world: World) {
    let ledger = world.open();
    ledger.record_quote(quote(1)).await.unwrap();
    assert_eq!(ledger.record_quote(quote(1)).await.unwrap_err(), LedgerError::QuoteTaken);
}

async fn a_puzzle_is_rewarded_once_and_in_calls(world: World) {
    let ledger = world.open();
    let credited = ledger.credit_work(work(1, 2)).await.unwrap();
    assert_eq!(credited, Credited::New { token_id: token(1), owner: None, balance: 2 });
    let mut replay = work(1, 2);
    replay.token_id = token(2);
    assert_eq!(ledger.credit_work(replay).await.unwrap(), Credited::Duplicate);
    let call = HoldRequest { unit: Unit::Call, ..request(AccountRef::Token(token(1)), 1) };
    ledger.hold(&call).await.unwrap().capture(1);
    ledger.hold(&call).await.unwrap().capture(1);
    assert_eq!(ledger.hold(&call).await.unwrap_err(), HoldRefused::Insufficient { available: 0 });
    assert_eq!(hold(&ledger, 1, 1).await.unwrap_err(), HoldRefused::OtherUnit(Unit::Call));
    ledger.close().await;
    let ledger = world.open();
    assert_sound(&ledger);
    let revenue = ledger.report().unwrap().revenue;
    assert_eq!((revenue[0].msat, revenue[0].work_calls, revenue[0].captured), (0, 2, 2));
}

async fn work_expires_and_money_does_not(world: World) {
    let ledger = world.open();
    let mut solved = work(1, 2);
    solved.expires_at = PAST;
    ledger.credit_work(solved).await.unwrap();
    let call = HoldRequest { unit: Unit::Call, ..request(AccountRef::Token(token(1)), 1) };
    assert_eq!(ledger.hold(&call).await.unwrap_err(), HoldRefused::Expired);
    let mut ended = quote(2);
    ended.macaroon_expires_at = PAST;
    ledger.record_quote(ended).await.unwrap();
    ledger.credit_payment(settlement(2, 10)).await.unwrap();
    hold(&ledger, 2, 10).await.expect("money does not expire").void();
}

async fn a_voucher_is_an_entry_like_any_other(world: World) {
    let ledger = world.open();
    assert!(matches!(
        ledger.mint_voucher(voucher(1, 5_000)).await.unwrap(),
        Credited::New { balance: 5_000, .. }
    ));
    assert_eq!(ledger.mint_voucher(voucher(1, 5_000)).await.unwrap(), Credited::Duplicate);
    hold(&ledger, 1, 5_000).await.unwrap().capture(5_000);
    ledger.close().await;
    let ledger = world.open();
    assert_eq!(ledger.report().unwrap().vouchers_msat, 5_000);
    assert_sound(&ledger);
}

async fn amounts_out_of_bounds_are_errors(world: World) {
    let ledger = world.open();
    fund(&ledger, 1, 10).await;
    assert_eq!(hold(&ledger, 1, -1).await.unwrap_err(), HoldRefused::Amount);
    assert_eq!(hold(&ledger, 1, i64::MAX).await.unwrap_err(), HoldRefused::Amount);
    for msat in [0, -5, i64::MAX] {
        assert_eq!(ledger.credit_payment(settlement(2, msat)).await.unwrap_err(), LedgerError::Amount);
        assert_eq!(ledger.mint_voucher(voucher(2, msat)).await.unwrap_err(), LedgerError::Amount);
        assert_eq!(ledger.settlement_cursor("node").await.unwrap().as_deref(), Some("cursor-1"));
    }
    // All the bitcoin there is, four times, fits; the fifth does not, and leaves everything as it was.
    for n in 10..14 {
        ledger.mint_voucher(voucher(n, octroi_ledger::MAX_AMOUNT)).await.unwrap();
    }
    let fifth = ledger.mint_voucher(voucher(14, octroi_ledger::MAX_AMOUNT)).await;
    assert_eq!(fifth.unwrap_err(), LedgerError::Refused);
    assert_sound(&ledger);
    assert_eq!(ledger.balance(&token(14)).await.unwrap(), None);
}

async fn a_principal_spends_its_oldest_account_that_bears_the_call(world: World) {
    let ledger = world.open();
    for (n, msat) in [(1, 1_000), (2, 5_000), (3, 5_000)] {
        let mut asked = quote(n);
        asked.owner = Some(owner(7));
        ledger.record_quote(asked).await.unwrap();
        ledger.credit_payment(settlement(n, msat)).await.unwrap();
    }
    fund(&ledger, 4, 9_000).await;
    let mine = AccountRef::Owner(owner(7));
    let first = ledger.hold(&request(mine, 3_000)).await.unwrap();
    assert_eq!(first.balance_after(), 2_000, "the second account, not the first, which has too little");
    assert_eq!(ledger.hold(&request(mine, 3_000)).await.unwrap().balance_after(), 2_000, "the third");
    first.void();
    ledger.hold(&request(mine, 5_000)).await.unwrap().capture(5_000);
    ledger.hold(&request(mine, 5_000)).await.unwrap().capture(5_000);
    let poor = ledger.hold(&request(mine, 3_000)).await.unwrap_err();
    assert_eq!(
        poor,
        HoldRefused::Insufficient { available: 1_000 },
        "accounts are not added up, nor are others' touched"
    );
    let nobody = ledger.hold(&request(AccountRef::Owner(owner(8)), 1)).await.unwrap_err();
    assert_eq!(nobody, HoldRefused::Unknown);
    ledger.close().await;

    let ledger = world.open();
    ledger.hold(&request(mine, 1_000)).await.expect("also after a restart").capture(1_000);
    assert_eq!(ledger.hold(&request(mine, 1)).await.unwrap_err(), HoldRefused::Unknown);
    // What comes later is found although the principal has been looked up before.
    let mut asked = quote(5);
    asked.owner = Some(owner(7));
    ledger.record_quote(asked).await.unwrap();
    ledger.credit_payment(settlement(5, 40)).await.unwrap();
    assert_eq!(ledger.hold(&request(mine, 30)).await.unwrap().balance_after(), 10);
}

async fn a_principal_with_thousands_of_small_rests_still_finds_its_money(world: World) {
    let ledger = world.open();
    for n in 0..1_200 {
        let mut gift = voucher(n, 1);
        gift.owner = Some(owner(7));
        ledger.mint_voucher(gift).await.unwrap();
    }
    let mut gift = voucher(5_000, 50);
    gift.owner = Some(owner(7));
    ledger.mint_voucher(gift).await.unwrap();
    ledger.close().await;
    let ledger = world.open();
    let mine = AccountRef::Owner(owner(7));
    assert_eq!(ledger.hold(&request(mine, 50)).await.unwrap().balance_after(), 0);
    assert_eq!(
        ledger.hold(&request(mine, 51)).await.unwrap_err(),
        HoldRefused::Insufficient { available: 50 }
    );
}

async fn a_payer_ahead_of_the_event_waits_for_it(world: World) {
    let ledger = world.open();
    assert!(!ledger.wait_for_credit(token(1), Duration::ZERO).await);
    ledger.record_quote(quote(1)).await.unwrap();
    let long = Duration::from_secs(600);
    let (told, _) =
        tokio::join!(ledger.wait_for_credit(token(1), long), ledger.credit_payment(settlement(1, 3_000)));
    assert!(told);
    assert!(ledger.wait_for_credit(token(1), long).await, "what has been credited is not waited for");
}

async fn what_cannot_matter_any_more_is_forgotten(world: World) {
    let ledger = world.open();
    for (n, expires_at) in [(1, PAST), (2, PAST), (3, FUTURE)] {
        let mut asked = quote(n);
        asked.expires_at = expires_at;
        ledger.record_quote(asked).await.unwrap();
    }
    ledger.credit_payment(settlement(2, 3_000)).await.unwrap();
    let mut solved = work(5, 1);
    solved.expires_at = PAST;
    ledger.credit_work(solved).await.unwrap();
    let Claimed::New(claim) = ledger.claim([9; 32], [1; 32], Duration::ZERO).await.unwrap() else { panic!() };
    let limit = Limit { key: [1; 32], window: Window::Day, counts: Counts::Calls, most: 5 };
    let limits = [limit];
    let call = request(AccountRef::Token(token(2)), 10).limited(&limits).billed(Some("cus_1"));
    let charged = ledger.hold(&call).await.unwrap();
    charged.durable().await.unwrap();
    let id = charged.id();
    charged.capture_and_keep(10, claim, answer("done"));
    ledger.outbox_told(id, Told::Delivered).await.unwrap();

    let early = ledger.prune(PAST + octroi_ledger::QUOTE_MARGIN_SECONDS).await.unwrap();
    assert_eq!(early, Pruned { works: 1, ..Pruned::default() });
    let late = ledger.prune(FUTURE).await.unwrap();
    assert_eq!(late, Pruned { quotes: 1, works: 0, answers: 1, counters: 1, outbox: 1 });
    assert_eq!(ledger.quote(&hash(1)).await.unwrap(), QuoteState::Unknown);
    assert_eq!(ledger.quote(&hash(2)).await.unwrap(), QuoteState::Paid(Some(token(2))));
    assert!(
        matches!(ledger.quote(&hash(3)).await.unwrap(), QuoteState::Unpaid(q) if q.price == Msat::new(3_000))
    );
    assert_sound(&ledger);
}

//! What the operator takes back, and the outbox.

use std::time::Duration;

use octroi_l402::TokenId;
use octroi_ledger::{AccountRef, Credited, HoldRefused, Revocation, Told};

use crate::support::{FUTURE, World, assert_sound, available, fund, hold, owner, request, token, voucher};

on_both_engines! {
    nothing_can_be_held_for_what_is_revoked_until_it_is_restored,
    a_charge_is_told_until_it_is_taken,
}

async fn nothing_can_be_held_for_what_is_revoked_until_it_is_restored(world: World) {
    let ledger = world.open();
    let mut gift = voucher(1, 10_000);
    gift.owner = Some(owner(1));
    let mut number = *gift.token_id.as_bytes();
    number[..4].copy_from_slice(&7_u32.to_be_bytes());
    gift.token_id = TokenId::from_bytes(number);
    let id = gift.token_id;
    assert!(matches!(ledger.mint_voucher(gift).await, Ok(Credited::New { .. })));
    fund(&ledger, 2, 10_000).await;
    let mut ledger = ledger;
    for what in [Revocation::Token(id), Revocation::Owner(owner(1)), Revocation::MasterKey(7)] {
        let under_way = ledger.hold(&request(AccountRef::Token(id), 1_000)).await.unwrap();
        ledger.revoke(what, "stolen").await.unwrap();
        ledger.revoke(what, "twice does no harm").await.unwrap();
        for restarted in [false, true] {
            if restarted {
                ledger.close().await;
                ledger = world.open();
            }
            for account in [AccountRef::Token(id), AccountRef::Owner(owner(1))] {
                let refused = ledger.hold(&request(account, 1_000)).await.unwrap_err();
                assert_eq!(refused, HoldRefused::Revoked, "{what:?} {account:?}");
            }
        }
        drop(under_way);
        let listed = ledger.reader().unwrap().revocations().unwrap();
        assert_eq!((listed.len(), listed[0].reason.as_str()), (1, "stolen"));
        hold(&ledger, 2, 10).await.expect("others are not touched").capture(10);
        ledger.restore(what).await.unwrap();
        ledger.hold(&request(AccountRef::Owner(owner(1)), 1_000)).await.unwrap().void();
    }
    assert_eq!(ledger.balance(&id).await.unwrap().unwrap().available, 10_000, "the money is still there");
    assert_sound(&ledger);
}

async fn a_charge_is_told_until_it_is_taken(world: World) {
    let ledger = world.open();
    fund(&ledger, 1, 10_000).await;
    let billed = request(AccountRef::Token(token(1)), 1_000).billed(Some("cus_9"));
    let lease = Duration::from_secs(600);
    ledger.hold(&billed).await.unwrap().void();
    hold(&ledger, 1, 1_000).await.unwrap().capture(1_000);
    let mut ids = Vec::new();
    for charged in [1_000, 700] {
        let open = ledger.hold(&billed).await.unwrap();
        open.durable().await.unwrap();
        ids.push(open.id());
        open.capture(charged);
    }
    assert!(ledger.outbox_take(0, lease).await.unwrap().is_empty());
    let taken = ledger.outbox_take(10, lease).await.unwrap();
    assert_eq!(taken.iter().map(|row| row.id).collect::<Vec<_>>(), ids);
    let first = &taken[0];
    assert_eq!(
        (first.msat, first.customer.as_str(), first.tool.as_str()),
        (1_000, "cus_9", "image_describe")
    );
    assert_eq!((first.tries, taken[1].msat), (1, 700));
    assert!(ledger.outbox_take(10, lease).await.unwrap().is_empty(), "lent to one teller at a time");
    ledger.outbox_told(ids[0], Told::Later { at: 0, why: "busy".to_owned(), doubtful: false }).await.unwrap();
    ledger.outbox_told(ids[1], Told::Delivered).await.unwrap();
    let again = ledger.outbox_take(10, lease).await.unwrap();
    assert_eq!((again.len(), again[0].id, again[0].tries), (1, ids[0], 2));
    ledger
        .outbox_told(ids[0], Told::Refused { why: "no such customer".to_owned(), doubtful: false })
        .await
        .unwrap();
    ledger
        .outbox_told(ids[0], Told::Later { at: 0, why: "too late".to_owned(), doubtful: false })
        .await
        .unwrap();
    assert!(ledger.outbox_take(10, lease).await.unwrap().is_empty());
    let report = ledger.report().unwrap();
    assert_eq!((report.outbox_waiting, report.outbox_refused), (0, 1));
    assert_eq!(ledger.prune(FUTURE).await.unwrap().outbox, 1, "what was refused waits for the operator");
    assert_sound(&ledger);
    assert_eq!(available(&ledger, 1).await, 7_300);
}

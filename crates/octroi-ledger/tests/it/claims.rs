//! Calls that are tried again.

use std::time::Duration;

use octroi_ledger::{
    AccountRef, Answer, Claim, Claimed, DEFAULT_KEPT_BODY, Ledger, MAX_ANSWER_MEDIA, Revocation,
};

use crate::support::{World, answer, assert_sound, available, fund, request, token};

on_both_engines! {
    a_retried_call_is_charged_once_and_answered_as_it_was,
    of_many_at_once_one_runs_and_the_others_get_its_answer,
    whoever_waits_for_a_call_that_fails_makes_it,
    an_answer_too_long_to_keep_is_remembered_without_its_body,
    a_call_whose_gate_died_may_be_tried_again,
    of_answers_beyond_the_bounds_the_oldest_go,
    an_answer_is_given_to_nobody_once_its_credential_is_revoked,
}

const KEY: [u8; 32] = [9; 32];
const REQUEST: [u8; 32] = [1; 32];
const OTHER: [u8; 32] = [2; 32];
const LONG: Duration = Duration::from_secs(600);

async fn claimed(ledger: &Ledger) -> Claim {
    match ledger.claim(KEY, REQUEST, Duration::ZERO).await.unwrap() {
        Claimed::New(claim) => claim,
        other => panic!("{other:?}"),
    }
}

async fn seen(ledger: &Ledger, request: [u8; 32]) -> Claimed {
    ledger.claim(KEY, request, Duration::ZERO).await.unwrap()
}

async fn a_retried_call_is_charged_once_and_answered_as_it_was(world: World) {
    let ledger = world.open();
    fund(&ledger, 1, 10_000).await;
    let call = request(AccountRef::Token(token(1)), 1_000);
    // A call that failed may be tried again.
    let claim = claimed(&ledger).await;
    ledger.hold(&call).await.unwrap().void();
    drop(claim);

    let claim = claimed(&ledger).await;
    assert!(matches!(seen(&ledger, REQUEST).await, Claimed::Running));
    assert!(matches!(seen(&ledger, OTHER).await, Claimed::Conflict));
    let hold = ledger.hold(&call).await.unwrap();
    hold.durable().await.unwrap();
    hold.capture_and_keep(1_000, claim, answer("first"));
    let later = ledger.claim(KEY, REQUEST, LONG).await.unwrap();
    assert!(matches!(later, Claimed::Done(ref kept) if *kept == answer("first")), "{later:?}");
    assert!(matches!(seen(&ledger, OTHER).await, Claimed::Conflict));
    ledger.close().await;

    let ledger = world.open();
    assert!(matches!(seen(&ledger, REQUEST).await, Claimed::Done(kept) if kept == answer("first")));
    assert_eq!(available(&ledger, 1).await, 9_000);
    assert_sound(&ledger);
}

async fn of_many_at_once_one_runs_and_the_others_get_its_answer(world: World) {
    let ledger = world.open();
    fund(&ledger, 1, 10_000).await;
    let tries: Vec<_> = (0..50)
        .map(|_| {
            let ledger = ledger.clone();
            tokio::spawn(async move {
                match ledger.claim(KEY, REQUEST, LONG).await.unwrap() {
                    Claimed::New(claim) => {
                        let call = request(AccountRef::Token(token(1)), 1_000);
                        let hold = ledger.hold(&call).await.unwrap();
                        hold.durable().await.unwrap();
                        hold.capture_and_keep(1_000, claim, answer("only"));
                        1
                    }
                    Claimed::Done(kept) if kept == answer("only") => 0,
                    other => panic!("{other:?}"),
                }
            })
        })
        .collect();
    let mut ran = 0;
    for one in tries {
        ran += one.await.unwrap();
    }
    assert_eq!((ran, available(&ledger, 1).await), (1, 9_000));
    assert_sound(&ledger);
}

async fn whoever_waits_for_a_call_that_fails_makes_it(world: World) {
    let ledger = world.open();
    let first = claimed(&ledger).await;
    let second = tokio::spawn({
        let ledger = ledger.clone();
        async move { ledger.claim(KEY, REQUEST, LONG).await.unwrap() }
    });
    tokio::task::yield_now().await;
    drop(first);
    assert!(matches!(second.await.unwrap(), Claimed::New(_)));
}

async fn an_answer_too_long_to_keep_is_remembered_without_its_body(world: World) {
    let ledger = world.open();
    fund(&ledger, 1, 10_000).await;
    let long = Answer { status: 200, media: "é".repeat(200), body: Some(vec![b'x'; DEFAULT_KEPT_BODY + 1]) };
    let claim = claimed(&ledger).await;
    let hold = ledger.hold(&request(AccountRef::Token(token(1)), 1_000)).await.unwrap();
    hold.durable().await.unwrap();
    hold.capture_and_keep(1_000, claim, long);
    let Claimed::Done(kept) = ledger.claim(KEY, REQUEST, LONG).await.unwrap() else { panic!() };
    assert_eq!((kept.body, kept.media.len()), (None, MAX_ANSWER_MEDIA));
}

async fn a_call_whose_gate_died_may_be_tried_again(world: World) {
    let ledger = world.open();
    fund(&ledger, 1, 10_000).await;
    let claim = claimed(&ledger).await;
    let hold = ledger.hold(&request(AccountRef::Token(token(1)), 1_000)).await.unwrap();
    hold.durable().await.unwrap();
    ledger.close().await;
    hold.capture_and_keep(1_000, claim, answer("lost"));
    let ledger = world.open();
    assert!(matches!(seen(&ledger, REQUEST).await, Claimed::New(_)));
    assert_eq!(available(&ledger, 1).await, 10_000);
}

/// Makes a call under the key of this number, and keeps its answer.
async fn kept(ledger: &Ledger, number: u8, text: &str) {
    let Claimed::New(claim) = ledger.claim([number; 32], REQUEST, Duration::ZERO).await.unwrap() else {
        panic!("it was made before");
    };
    let hold = ledger.hold(&request(AccountRef::Token(token(1)), 10)).await.unwrap();
    hold.durable().await.unwrap();
    hold.capture_and_keep(10, claim, answer(text));
    // Its end is on disk when the next claim is answered.
    ledger.claim([number; 32], OTHER, Duration::ZERO).await.unwrap();
}

async fn body(ledger: &Ledger, number: u8) -> Option<Option<Vec<u8>>> {
    match ledger.claim([number; 32], REQUEST, Duration::from_secs(60)).await.unwrap() {
        Claimed::Done(answer) => Some(answer.body),
        Claimed::New(_) => None,
        other => panic!("{other:?}"),
    }
}

async fn of_answers_beyond_the_bounds_the_oldest_go(world: World) {
    let mut config = world.config();
    (config.kept_answers, config.kept_bytes) = (3, 25);
    let ledger = Ledger::open(config).unwrap();
    fund(&ledger, 1, 10_000).await;
    for number in 1..=4 {
        kept(&ledger, number, "ten bytes.").await;
    }
    // So many bytes are more than a sixteenth of the bound: whoever prunes is told.
    ledger.prune_due(Duration::from_secs(600)).await;
    assert_eq!(ledger.prune(0).await.unwrap().answers, 1);
    let ten = Some(b"ten bytes.".to_vec());
    assert_eq!(body(&ledger, 4).await, Some(ten.clone()));
    assert_eq!(body(&ledger, 3).await, Some(ten));
    assert_eq!(body(&ledger, 2).await, Some(None), "its body is gone, and it is charged once all the same");
    assert_eq!(body(&ledger, 1).await, None, "forgotten");
    assert_sound(&ledger);
    assert_eq!(available(&ledger, 1).await, 10_000 - 4 * 10);
}

async fn an_answer_is_given_to_nobody_once_its_credential_is_revoked(world: World) {
    let ledger = world.open();
    fund(&ledger, 1, 10_000).await;
    kept(&ledger, 1, "secret").await;
    let what = [Revocation::Token(token(1)), Revocation::MasterKey(1)];
    for what in what {
        ledger.revoke(what, "").await.unwrap();
        let asked = ledger.claim([1; 32], REQUEST, Duration::ZERO).await.unwrap();
        assert!(matches!(asked, Claimed::Revoked), "{what:?}: {asked:?}");
        ledger.restore(what).await.unwrap();
        assert_eq!(body(&ledger, 1).await, Some(Some(b"secret".to_vec())));
    }
}

//! Several gates on one PostgreSQL, and a database that goes away.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use octroi_ledger::{
    AccountRef, Claimed, Counts, HoldRefused, Ledger, LedgerConfig, LedgerError, Limit, OpenError,
    Revocation, Standing, Store, Strike, Window,
};
use octroi_testkit::postgres::{Cluster, ClusterOptions};

use crate::proxy::Proxy;
use crate::support::{
    LEASE, TIMEOUT, World, answer, assert_sound, available, cluster, fund, hold, owner, quote, request,
    settlement, token, voucher,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gates_spend_one_credential_as_fast_as_they_can_and_the_sum_is_exact() {
    let world = World::postgres();
    let gates = [world.open(), world.open()];
    fund(&gates[0], 1, 100_000).await;
    let earned = Arc::new(AtomicI64::new(0));
    let callers: Vec<_> = (0..16)
        .map(|caller| {
            let (ledger, earned) = (gates[caller % 2].clone(), Arc::clone(&earned));
            tokio::spawn(async move {
                for call in 0.. {
                    match hold(&ledger, 1, 300).await {
                        Ok(open) => {
                            open.durable().await.unwrap();
                            let charged = if call % 4 == 0 { 0 } else { 300 - call % 3 };
                            open.capture(charged);
                            earned.fetch_add(charged, Ordering::SeqCst);
                        }
                        Err(HoldRefused::Insufficient { .. }) => return,
                        Err(other) => panic!("{other:?}"),
                    }
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    let [first, second] = gates;
    first.close().await;
    second.close().await;
    let ledger = world.open();
    let left = available(&ledger, 1).await;
    assert_eq!(left + earned.load(Ordering::SeqCst), 100_000);
    assert!(left < 300 * 16, "{left}");
    assert_sound(&ledger);
    assert_eq!(ledger.report().unwrap().revenue[0].msat, earned.load(Ordering::SeqCst));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_gate_is_told_every_gate_knows() {
    let world = World::postgres();
    let (here, there) = (world.open(), world.open());
    here.record_quote(quote(1)).await.unwrap();
    // Money credited by one is waited for on the other.
    let long = Duration::from_secs(60);
    let (told, _) =
        tokio::join!(there.wait_for_credit(token(1), long), here.credit_payment(settlement(1, 10_000)));
    assert!(told);
    hold(&there, 1, 1_000).await.unwrap().capture(1_000);

    // A limit counts over both.
    let limits = [Limit { key: owner(1), window: Window::Day, counts: Counts::Calls, most: 1 }];
    let free = request(AccountRef::Nobody, 0).limited(&limits);
    let first = here.hold(&free).await.unwrap();
    assert!(matches!(there.hold(&free).await, Err(HoldRefused::Limited { .. })));
    first.capture(0);

    // A call runs on one of them.
    let Claimed::New(claim) = here.claim([7; 32], [1; 32], Duration::ZERO).await.unwrap() else { panic!() };
    assert!(matches!(there.claim([7; 32], [1; 32], Duration::ZERO).await.unwrap(), Claimed::Running));
    assert!(matches!(there.claim([7; 32], [2; 32], Duration::ZERO).await.unwrap(), Claimed::Conflict));
    let waiting = there.claim([7; 32], [1; 32], long);
    let made = async {
        let open = hold(&here, 1, 1_000).await.unwrap();
        open.durable().await.unwrap();
        open.capture_and_keep(1_000, claim, answer("once"));
    };
    let (waited, ()) = tokio::join!(waiting, made);
    assert!(matches!(waited.unwrap(), Claimed::Done(kept) if kept == answer("once")));

    // A revocation stands everywhere at once.
    here.revoke(Revocation::Token(token(1)), "stolen").await.unwrap();
    assert_eq!(hold(&there, 1, 1).await.unwrap_err(), HoldRefused::Revoked);
    assert_sound(&there);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gates_that_open_at_once_make_one_schema() {
    let world = World::postgres();
    let opened = [0; 6].map(|_| {
        let config = world.config();
        std::thread::spawn(move || Ledger::open(config).unwrap())
    });
    for ledger in opened.map(|thread| thread.join().unwrap()) {
        ledger.mint_voucher(voucher(1, 5)).await.unwrap();
        ledger.close().await;
    }
    assert_eq!(available(&world.open(), 1).await, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gates_leave_each_other_notes_that_end() {
    let world = World::postgres();
    let (here, there) = (world.open(), world.open());
    let (here, there) = (here.board().unwrap(), there.board().unwrap());
    for text in ["first", "sealed"] {
        here.pin(&[1; 32], text.as_bytes(), 100).await.unwrap();
    }
    assert_eq!(there.find(&[1; 32], 99).await, Ok(Some(b"sealed".to_vec())));
    assert_eq!((there.find(&[1; 32], 100).await, there.find(&[2; 32], 0).await), (Ok(None), Ok(None)));
    there.sweep(99_999).await.unwrap();
    assert!(here.find(&[1; 32], 0).await.unwrap().is_some());
    there.sweep(100_000).await.unwrap();
    assert_eq!(here.find(&[1; 32], 0).await, Ok(None));
    assert!(here.pin(&[1; 32], &[0; octroi_ledger::MAX_NOTE + 1], 100).await.is_err());
    here.pin(&[1; 32], &[0; octroi_ledger::MAX_NOTE], 100).await.unwrap();
    let alone = World::sqlite().open();
    assert!(alone.board().is_none(), "nobody else reads it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_gates_tell_of_failures_adds_up_and_is_bounded() {
    let world = World::postgres();
    let (here, there) = (world.open(), world.open());
    let (here, there) = (here.board().unwrap(), there.board().unwrap());
    let lately = Duration::from_secs(3_600);
    let strike = |longer, waits_until| Strike { who: [1; 16], longer, waits_until };
    let told = here.share(&[strike(2_000, 0)], Duration::ZERO, 10_000, 9_000).await.unwrap();
    assert_eq!(told, [Standing { who: [1; 16], calm_at: 12_000, waits_until: 0 }]);
    there.share(&[strike(3_000, 11_000)], lately, 11_000, 9_000).await.unwrap();
    let heard = here.share(&[], lately, 11_000, 9_000).await.unwrap();
    assert_eq!(heard, [Standing { who: [1; 16], calm_at: 15_000, waits_until: 11_000 }]);
    // What is over counts from now on; nobody owes more than the longest; a paid call takes away.
    for (longer, at, calm_at) in [(2_000, 20_000, 22_000), (99_000, 20_000, 29_000), (-4_000, 20_000, 25_000)]
    {
        let told = here.share(&[strike(longer, 0)], Duration::ZERO, at, 9_000).await.unwrap();
        assert_eq!(told[0].calm_at, calm_at);
    }
    there.sweep(25_001).await.unwrap();
    assert_eq!(here.share(&[], lately, 25_000, 9_000).await.unwrap(), []);
    // Gates that tell of the same callers at once do not wait for each other in a circle.
    let many =
        |start: u8| (0..100).map(|n| Strike { who: [n ^ start; 16], longer: 1, waits_until: 0 }).collect();
    let (up, down): (Vec<Strike>, Vec<Strike>) = (many(0), many(127));
    for _ in 0..20 {
        let (a, b) = tokio::join!(here.share(&up, lately, 1, 9), there.share(&down, lately, 1, 9));
        assert!(a.is_ok() && b.is_ok());
    }
}

/// A place whose gates are taken for dead after a second.
fn short_lived() -> World {
    World::at(Store::postgres(&cluster().fresh_url(), TIMEOUT, Duration::from_secs(1)).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_holds_of_a_gate_that_is_not_heard_of_are_voided_by_the_others() {
    let world = short_lived();
    let survivor = world.open();
    fund(&survivor, 1, 1_000).await;
    // A gate that died in the middle of a call: nothing it could still do is done.
    let mut database = world.connect().await;
    database.gate_that_died(600).await;
    while available(&survivor, 1).await != 1_000 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_sound(&survivor);
    assert_eq!(survivor.reader().unwrap().calls(1).unwrap()[0].end, octroi_ledger::CallEnd::Recovered);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_taken_for_dead_lives_on_and_charges_nothing_twice() {
    let world = World::postgres();
    let ledger = world.open();
    fund(&ledger, 1, 1_000).await;
    let open = hold(&ledger, 1, 600).await.unwrap();
    open.durable().await.unwrap();
    world.connect().await.execute("UPDATE gates SET ended = true").await;
    // Another gate, or this one in its next life, gives the payer the money back.
    let other = world.open();
    assert_eq!(other.recovered().voided, 1);
    open.capture(600);
    loop {
        match hold(&ledger, 1, 1_000).await {
            Ok(open) => break open.capture(1_000),
            Err(HoldRefused::Unavailable(_)) => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(other) => panic!("{other:?}"),
        }
    }
    ledger.close().await;
    assert_eq!(available(&other, 1).await, 0);
    assert_eq!(other.report().unwrap().revenue[0].msat, 1_000);
    assert_sound(&other);
}

/// Spends until told to stop; says what was charged for certain, and what may have been.
async fn spend(ledger: Ledger, stop: Arc<AtomicI64>) -> (i64, i64) {
    let (mut certain, mut possible) = (0, 0);
    while stop.load(Ordering::SeqCst) == 0 {
        let Ok(open) = hold(&ledger, 1, 10).await else {
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        };
        if open.durable().await.is_ok() {
            certain += 10;
            open.capture(10);
        } else {
            possible += 10;
        }
    }
    (certain, possible)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_goes_away_stops_sales_and_comes_back_with_every_sum_exact() {
    const FUNDS: i64 = 1_000_000_000;
    let mut server = Cluster::start(ClusterOptions::default()).unwrap();
    let proxy = Proxy::to(server.port()).await;
    let direct = server.url("money");
    let through = direct.replace(&server.port().to_string(), &proxy.port().to_string());
    let store = |url: &str| Store::postgres(url, Duration::from_secs(2), LEASE).unwrap();
    let mut config = LedgerConfig::at(store(&through));
    config.retry_after = Duration::from_millis(20);
    let ledger = Ledger::open(config).unwrap();
    fund(&ledger, 1, FUNDS).await;
    let stop = Arc::new(AtomicI64::new(0));
    let callers: Vec<_> = (0..8).map(|_| tokio::spawn(spend(ledger.clone(), Arc::clone(&stop)))).collect();
    let busy = async || {
        // Until it sells again: each disaster meets it at work.
        while hold(&ledger, 1, 0).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(60)).await;
    };
    for round in 0..6 {
        busy().await;
        match round % 3 {
            0 => proxy.cut(),
            1 => {
                server.crash().unwrap();
                assert!(
                    matches!(hold(&ledger, 1, 1).await, Err(HoldRefused::Unavailable(_))),
                    "nothing is sold without it"
                );
                server.resume().unwrap();
            }
            _ => {
                server.pause().unwrap();
                server.resume().unwrap();
            }
        }
    }
    busy().await;
    stop.store(1, Ordering::SeqCst);
    let (mut certain, mut possible) = (0, 0);
    for caller in callers {
        let (sure, maybe) = caller.await.unwrap();
        certain += sure;
        possible += maybe;
    }
    ledger.close().await;
    let ledger = Ledger::open(LedgerConfig::at(store(&direct))).unwrap();
    assert_sound(&ledger);
    let earned = FUNDS - available(&ledger, 1).await;
    assert_eq!(earned, certain, "what was delivered is charged, and nothing else (in doubt: {possible})");
    assert!(certain > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_answer_is_not_waited_for_for_long() {
    let proxy = Proxy::to(cluster().port()).await;
    let url = cluster().fresh_url().replace(&cluster().port().to_string(), &proxy.port().to_string());
    let store = Store::postgres(&url, Duration::from_millis(300), LEASE).unwrap();
    let ledger = Ledger::open(LedgerConfig::at(store)).unwrap();
    fund(&ledger, 1, 1_000).await;
    proxy.silence(true);
    assert!(matches!(hold(&ledger, 1, 10).await, Err(HoldRefused::Unavailable(_))));
    assert!(matches!(ledger.prune(0).await, Err(LedgerError::Unavailable(_))));
    proxy.silence(false);
    proxy.cut();
    while hold(&ledger, 1, 10).await.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn tls_is_spoken_and_the_certificate_is_checked() {
    let server = Cluster::start(ClusterOptions { tls: true, ..ClusterOptions::default() }).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let roots = folder.path().join("ca.pem");
    std::fs::write(&roots, octroi_testkit::postgres::CERTIFICATE_AUTHORITY).unwrap();
    let open = |host: &str, more: &str| {
        let url = server.url("money").replace("127.0.0.1", host) + more;
        Ledger::open(LedgerConfig::at(Store::postgres(&url, TIMEOUT, LEASE).unwrap()))
    };
    let trusted = format!("&sslmode=verify-full&sslrootcert={}", roots.display());
    open("localhost", &trusted).expect("the right authority and the right name");
    let refused = |opened: Result<Ledger, OpenError>| matches!(opened, Err(OpenError::Postgres(_)));
    assert!(refused(open("127.0.0.1", &trusted)), "another name");
    assert!(refused(open("localhost", "&sslmode=require")), "an authority nobody knows");
    assert!(refused(open("localhost", "&sslmode=disable")), "the server insists");
}

//! What a purse keeps, who can read it, and that no limit is passed, however many processes spend at once.

use octroi_l402::{Msat, Offer, PaymentHash, Preimage, challenge::Scheme};
use proptest::prelude::*;

use super::*;
use crate::Bill;

const NO_LIMITS: Limits = Limits { hour: i64::MAX, day: i64::MAX, server_day: i64::MAX };
const AT: &str = "http://gate/mcp";

fn preimage(number: u64) -> Preimage {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    Preimage::from_bytes(bytes)
}

fn spend(number: u64, tool: &str, amount: i64, server: &str) -> Spend {
    let offer = Offer { scheme: Scheme::L402, token: "AgE=".to_owned(), invoice: "lnbcrt1".to_owned() };
    let bill = Bill {
        offer,
        payment_hash: preimage(number).payment_hash(),
        amount: Msat::new(amount),
        calls: 2,
        expires_at: 100,
        network: "regtest",
        description: Some("two calls".to_owned()),
        counted: true,
    };
    Spend::new(server, AT, tool, &bill)
}

fn put(purse: &Purse, number: u64, tool: &str) -> PaymentHash {
    let spend = spend(number, tool, 3_000, "http://gate");
    assert_eq!(purse.begin(&spend, &NO_LIMITS, Msat::new(5), 1).unwrap(), Begun::Within(Msat::new(5)));
    purse.finish(&spend, &preimage(number), Msat::new(3_001), 0, 1).unwrap().hash()
}

fn take(purse: &Purse, tool: &str, tried: &[PaymentHash]) -> Option<PaymentHash> {
    purse.take(AT, tool, tried, Kept::Any, 0).unwrap().map(|bought| bought.hash())
}

fn calls_left(purse: &Purse) -> Option<u32> {
    purse.credentials().unwrap()[0].calls_left
}

fn worked(number: u64, tool: &str, expires_at: u64) -> Bought {
    Bought {
        endpoint: AT.to_owned(),
        tool: tool.to_owned(),
        payment_hash: preimage(number).payment_hash().to_string(),
        calls_left: Some(1),
        expires_at: Some(expires_at),
        worked: true,
        opens: Opens {
            scheme: "L402".to_owned(),
            token: "AgE=".to_owned().into(),
            preimage: String::new().into(),
        },
    }
}

#[test]
fn what_was_worked_for_comes_first_and_ends_for_good() {
    let purse = Purse::in_memory().unwrap();
    let (paid, free) = (put(&purse, 1, "a"), worked(2, "a", 100));
    assert!(purse.keep(&free, 1).unwrap());
    assert!(!purse.keep(&free, 1).unwrap() && !purse.keep(&worked(1, "a", 100), 1).unwrap());
    let taken = |kept, now| purse.take(AT, "a", &[], kept, now).unwrap().map(|bought| bought.hash());
    assert_eq!(taken(Kept::Worked, 100), None, "it has ended");
    assert_eq!(taken(Kept::Any, 99), Some(free.hash()));
    assert_eq!((taken(Kept::Worked, 99), taken(Kept::Any, 99)), (None, Some(paid)));
    // Room is made for the next one.
    assert!(purse.keep(&worked(3, "b", 300), 50).unwrap());
    assert_eq!(purse.credentials().unwrap().len(), 2);
}

#[test]
fn a_voucher_is_used_like_what_was_bought() {
    let purse = Purse::in_memory().unwrap();
    let voucher = crate::Secret::new(format!("AgEW:{}", preimage(1).to_hex()));
    assert!(purse.add(AT, "a", &voucher, 1).unwrap() && !purse.add(AT, "a", &voucher, 1).unwrap());
    let taken = purse.take(AT, "a", &[], Kept::Any, 1).unwrap().unwrap();
    assert_eq!(taken.authorization().reveal(), format!("L402 {}", voucher.reveal()));
    // Its server tells what it is worth.
    purse.learn(&taken.hash(), 1).unwrap();
    assert_eq!(
        (take(&purse, "b", &[]), take(&purse, "a", &[]), take(&purse, "a", &[])),
        (None, Some(taken.hash()), None)
    );
    for bad in ["", "AgEW", "AgEW:12", "a b:00", &format!(":{}", preimage(1).to_hex())] {
        let added = purse.add(AT, "a", &crate::Secret::new(bad), 1);
        assert!(matches!(added, Err(PurseError::NotACredential)), "{bad}");
    }
}

#[test]
fn a_purse_of_the_first_form_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("purse.db");
    let hash = put(&Purse::open(&path).unwrap(), 1, "a");
    let old = Connection::open(&path).unwrap();
    old.execute_batch("ALTER TABLE credentials DROP COLUMN worked; PRAGMA user_version = 1").unwrap();
    drop(old);
    let purse = Purse::open(&path).unwrap();
    assert_eq!(take(&purse, "a", &[]), Some(hash));
    assert!(purse.keep(&worked(2, "a", 100), 1).unwrap());
}

#[test]
fn a_credential_is_counted_off_and_given_back() {
    let purse = Purse::in_memory().unwrap();
    let hash = put(&purse, 1, "a");
    assert_eq!(take(&purse, "b", &[]), None);
    assert_eq!(take(&purse, "a", &[hash]), None);
    assert_eq!((take(&purse, "a", &[]), take(&purse, "a", &[])), (Some(hash), Some(hash)));
    assert_eq!(take(&purse, "a", &[]), None);
    purse.give_back(&hash).unwrap();
    assert_eq!(take(&purse, "a", &[]), Some(hash));
    purse.learn(&hash, 7).unwrap();
    assert_eq!(calls_left(&purse), Some(7));
    purse.learn(&hash, 9).unwrap();
    assert_eq!(calls_left(&purse), Some(7), "other calls are on their way");
    purse.learn(&hash, 2).unwrap();
    assert_eq!(purse.calls_left(AT, "a", 0).unwrap(), Some(2));
    purse.drop_credential(&hash).unwrap();
    assert!(purse.credentials().unwrap().is_empty());
}

#[test]
fn a_credential_nobody_counts_is_tried_for_everything_there() {
    let purse = Purse::in_memory().unwrap();
    let mut free = spend(1, "GET /a", 3_000, "http://gate");
    free.counted = false;
    purse.begin(&free, &NO_LIMITS, Msat::ZERO, 1).unwrap();
    let hash = purse.finish(&free, &preimage(1), Msat::new(3_000), 0, 1).unwrap().hash();
    for tool in ["GET /a", "GET /b", "GET /a"] {
        assert_eq!(take(&purse, tool, &[]), Some(hash));
    }
    assert_eq!(purse.calls_left(AT, "GET /c", 0).unwrap(), None);
    assert_eq!(
        purse.take("http://other/mcp", "GET /a", &[], Kept::Any, 0).unwrap().map(|found| found.hash()),
        None
    );
}

#[test]
fn several_hands_take_from_one_file_and_each_call_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("purse.db");
    let purse = Purse::open(&path).unwrap();
    let mut many = spend(1, "a", 3_000, "http://gate");
    many.calls = 200;
    purse.begin(&many, &NO_LIMITS, Msat::ZERO, 1).unwrap();
    purse.finish(&many, &preimage(1), Msat::new(3_000), 0, 1).unwrap();
    let taken: usize = std::thread::scope(|scope| {
        let hands: Vec<_> = (0..4)
            .map(|_| {
                let path = &path;
                scope.spawn(move || {
                    let purse = Purse::open(path).unwrap();
                    (0..100).filter(|_| take(&purse, "a", &[]).is_some()).count()
                })
            })
            .collect();
        hands.into_iter().map(|hand| hand.join().unwrap()).sum()
    });
    assert_eq!(taken, 200);
}

#[test]
fn the_file_is_for_its_owner_and_its_secrets_are_sealed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("purse.db");
    let purse = Purse::open(&path).unwrap();
    let open = spend(2, "b", 3_000, "http://gate");
    purse.begin(&open, &NO_LIMITS, Msat::ZERO, 1).unwrap();
    let hash = put(&purse, 1, "a");
    purse.keep_session(AT, &"the refresh token", 1).unwrap();
    #[cfg(unix)]
    for file in ["purse.db", "purse.db-wal", "purse.db.key"] {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(folder.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    drop(purse);
    let bytes = std::fs::read(&path).unwrap();
    for secret in ["AgE=", "lnbcrt1", "the refresh token", &preimage(1).to_hex()] {
        assert!(memchr::memmem::find(&bytes, secret.as_bytes()).is_none(), "{secret}");
    }
    let again = Purse::open(&path).unwrap();
    assert_eq!(take(&again, "a", &[]), Some(hash));
    let found = again.open_spend(AT, "b").unwrap().unwrap();
    assert_eq!((found.payment_hash, found.invoice()), (open.payment_hash, "lnbcrt1"));
    assert!(again.open_spend(AT, "a").unwrap().is_none());
    assert_eq!(again.session::<String>(AT).unwrap().as_deref(), Some("the refresh token"));
    assert!(again.forget_session(AT).unwrap());
    assert_eq!(again.session::<String>(AT).unwrap(), None);
}

#[test]
fn another_key_opens_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("purse.db");
    let words = KeySource::Passphrase(crate::Secret::new("correct horse"));
    let hash = put(&Purse::open_with(&path, &words).unwrap(), 1, "a");
    let hex = KeySource::Hex(crate::Secret::new("11".repeat(32)));
    let wrong = KeySource::Passphrase(crate::Secret::new("wrong horse"));
    for other in [&wrong, &hex, &KeySource::beside(&path)] {
        assert!(matches!(Purse::open_with(&path, other), Err(PurseError::WrongKey)), "{other:?}");
    }
    assert_eq!(take(&Purse::open_with(&path, &words).unwrap(), "a", &[]), Some(hash));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let file = folder.path().join("loose.key");
        std::fs::write(&file, "22".repeat(32)).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        let loose = Purse::open_with(&folder.path().join("loose.db"), &KeySource::File(file));
        assert!(matches!(loose, Err(PurseError::Key(_))));
    }
}

#[test]
fn what_is_no_purse_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("purse.db");
    for text in ["not a database, and long enough to be none of SQLite's, surely", r#"{"version":1}"#] {
        std::fs::write(&path, text).unwrap();
        assert!(matches!(Purse::open(&path), Err(PurseError::Format(_))), "{text}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
    std::fs::remove_file(&path).unwrap();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE mine (x); ").unwrap();
    assert!(matches!(Purse::open(&path), Err(PurseError::Format(_))));
}

#[test]
fn payments_without_an_outcome_are_bounded_and_an_invoice_is_paid_once() {
    let purse = Purse::in_memory().unwrap();
    let begin = |number| purse.begin(&spend(number, "a", 1, "s"), &NO_LIMITS, Msat::ZERO, 1);
    for number in 0..64 {
        begin(number).unwrap();
    }
    begin(0).unwrap();
    assert!(matches!(begin(64), Err(PurseError::TooManyOpen)));
    purse.fail(&preimage(0).payment_hash(), 2).unwrap();
    purse.finish(&spend(1, "a", 1, "s"), &preimage(1), Msat::new(1), 0, 2).unwrap();
    begin(0).unwrap();
    assert!(matches!(begin(1), Err(PurseError::PaidBefore)));
    // The same hash for more, while the first payment may still go.
    let more = purse.begin(&spend(0, "a", 2, "s"), &NO_LIMITS, Msat::ZERO, 1);
    assert!(matches!(more, Err(PurseError::PaidBefore)));
    assert_eq!(purse.totals(None, 3).unwrap().all, Msat::new(64));
    assert_eq!(purse.open_spends().unwrap().len(), 63);
}

#[test]
fn receipts_tell_what_became_of_each_payment() {
    let purse = Purse::in_memory().unwrap();
    put(&purse, 1, "a");
    purse.begin(&spend(2, "b", 500, "http://gate"), &NO_LIMITS, Msat::new(9), 5).unwrap();
    purse.begin(&spend(3, "c", 600, "http://gate"), &NO_LIMITS, Msat::new(9), 5).unwrap();
    purse.fail(&preimage(3).payment_hash(), 6).unwrap();
    let told: Vec<_> = purse
        .receipts(9)
        .unwrap()
        .into_iter()
        .map(|receipt| (receipt.tool, receipt.state, receipt.cost.as_i64()))
        .collect();
    let expected =
        [("c", SpendState::Failed, 0), ("b", SpendState::Open, 509), ("a", SpendState::Paid, 3_001)];
    assert_eq!(told, expected.map(|(tool, state, cost)| (tool.to_owned(), state, cost)));
    assert_eq!(purse.bought_since(AT, "a", 0).unwrap(), (2, 1));
}

#[test]
fn nothing_secret_is_printed() {
    let purse = Purse::in_memory().unwrap();
    put(&purse, 7, "a");
    let shown = format!("{:?}", purse.credentials().unwrap());
    assert!(!shown.contains("AgE=") && !shown.contains(&preimage(7).to_hex()), "{shown}");
}

/// Something that happens to a purse in one of its processes.
#[derive(Clone, Debug)]
struct Act {
    hand: usize,
    number: u64,
    amount: i64,
    server: usize,
    later: u64,
    end: u8,
    restart: bool,
}

fn act() -> impl Strategy<Value = Act> {
    let amount = prop_oneof![8 => 1_i64..400, 1 => Just(i64::MAX), 1 => Just(i64::MAX / 2)];
    (0_usize..3, 0_u64..12, amount, 0_usize..2, 0_u64..3000, 0_u8..4, prop::bool::weighted(0.1)).prop_map(
        |(hand, number, amount, server, later, end, restart)| Act {
            hand,
            number,
            amount,
            server,
            later,
            end,
            restart,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever is begun, paid, failed or left open, by whichever process: what was paid or may still go in any window is
    /// within its limit.
    #[test]
    fn no_window_passes_its_limit(
        acts in prop::collection::vec(act(), 1..40),
        hour in 0_i64..1500,
        day in 0_i64..3000,
        server_day in 0_i64..2500,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("purse.db");
        let key = KeySource::Hex(crate::Secret::new("33".repeat(32)));
        let open = || Purse::open_with(&path, &key).unwrap();
        let mut hands = [open(), open(), open()];
        let limits = Limits { hour, day, server_day };
        let servers = ["http://one", "http://two"];
        let mut now = 1_000_000;
        // When money went, to whom, how much.
        let mut gone: Vec<(u64, usize, i64)> = Vec::new();
        for act in acts {
            now += act.later;
            if act.restart {
                hands[act.hand] = open();
            }
            let purse = &hands[act.hand];
            let spend = spend(act.number, "a", act.amount, servers[act.server]);
            if let Ok(Begun::Within(fee)) = purse.begin(&spend, &limits, Msat::new(20), now) {
                prop_assert!((0..=20).contains(&fee.as_i64()));
                match act.end {
                    0 => purse.fail(&spend.payment_hash, now).unwrap(),
                    1 => {} // no outcome
                    _ => {
                        let cost = act.amount + fee.as_i64();
                        purse.finish(&spend, &preimage(act.number), Msat::new(cost), 0, now).unwrap();
                        gone.push((now, act.server, cost));
                    }
                }
            }
            let within = |window: u64, server: Option<usize>| -> i64 {
                let to = |entry: &&(u64, usize, i64)| server.is_none_or(|server| entry.1 == server);
                gone.iter().filter(|entry| entry.0 > now - window).filter(to).map(|entry| entry.2).sum()
            };
            prop_assert!(within(3600, None) <= hour);
            prop_assert!(within(86400, None) <= day);
            prop_assert!((0..2).all(|server| within(86400, Some(server)) <= server_day));
            prop_assert!(purse.totals(None, now).unwrap().hour.as_i64() <= hour);
        }
    }
}

#[test]
fn a_purse_that_many_make_at_once_is_one_for_all_of_them() {
    for _ in 0..25 {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("purse.db");
        let start = std::sync::Barrier::new(8);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    start.wait();
                    Purse::open(&path).map(|_| ()).unwrap();
                });
            }
        });
    }
}

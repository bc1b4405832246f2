//! What a purse keeps, and who can read it.

use super::*;

fn spend(number: u8, tool: &str) -> Spend {
    Spend {
        endpoint: "http://gate/mcp".to_owned(),
        tool: tool.to_owned(),
        payment_hash: Preimage::from_bytes([number; 32]).payment_hash().to_string(),
        invoice: "lnbcrt1".to_owned(),
        amount_msat: 3_000,
        calls: 2,
        invoice_expires_at: 100,
        scheme: "L402".to_owned(),
        token: "AgE=".to_owned(),
    }
}

fn put(purse: &Purse, number: u8, tool: &str) -> PaymentHash {
    purse.begin(spend(number, tool)).unwrap();
    purse.finish(spend(number, tool), &Preimage::from_bytes([number; 32])).unwrap().hash()
}

fn take(purse: &Purse, tool: &str, tried: &[PaymentHash]) -> Option<PaymentHash> {
    purse.take("http://gate/mcp", tool, tried, 0).unwrap().map(|bought| bought.hash())
}

#[test]
fn a_credential_is_counted_off_and_given_back() {
    let purse = Purse::in_memory();
    let hash = put(&purse, 1, "a");
    assert_eq!(take(&purse, "b", &[]), None);
    assert_eq!(take(&purse, "a", &[hash]), None);
    assert_eq!((take(&purse, "a", &[]), take(&purse, "a", &[])), (Some(hash), Some(hash)));
    assert_eq!(take(&purse, "a", &[]), None);
    purse.give_back(&hash).unwrap();
    assert_eq!(take(&purse, "a", &[]), Some(hash));
    purse.learn(&hash, 7).unwrap();
    assert_eq!(purse.credentials()[0].calls_left, 7);
    purse.drop_credential(&hash).unwrap();
    assert!(purse.credentials().is_empty());
}

#[test]
fn the_file_is_for_its_owner_and_for_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("purse.json");
    let purse = Purse::open(&path).unwrap();
    purse.begin(spend(2, "b")).unwrap();
    let hash = put(&purse, 1, "a");
    assert!(matches!(Purse::open(&path), Err(PurseError::Busy)));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        for file in ["purse.json", "purse.json.lock"] {
            let mode = std::fs::metadata(folder.path().join(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
    }
    drop(purse);
    let again = Purse::open(&path).unwrap();
    assert_eq!(take(&again, "a", &[]), Some(hash));
    assert_eq!(again.open_spend("http://gate/mcp", "b").unwrap().payment_hash, spend(2, "b").payment_hash);
    assert!(again.open_spend("http://gate/mcp", "a").is_none());
}

#[test]
fn what_is_no_purse_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("purse.json");
    for text in ["not json", "{}", r#"{"version":2,"bought":[],"spends":[]}"#] {
        std::fs::write(&path, text).unwrap();
        assert!(matches!(Purse::open(&path), Err(PurseError::Format(_))), "{text}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
}

#[test]
fn a_change_that_cannot_be_written_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("inside");
    std::fs::create_dir(&inside).unwrap();
    let purse = Purse::open(&inside.join("purse.json")).unwrap();
    std::fs::remove_dir_all(&inside).unwrap();
    assert!(matches!(purse.begin(spend(1, "a")), Err(PurseError::Io(_))));
    assert!(purse.open_spend("http://gate/mcp", "a").is_none());
}

#[test]
fn payments_without_an_outcome_are_bounded() {
    let purse = Purse::in_memory();
    for number in 0..SPENDS_MAX {
        purse.begin(spend(u8::try_from(number).unwrap(), "a")).unwrap();
    }
    purse.begin(spend(0, "a")).unwrap();
    assert!(matches!(purse.begin(spend(255, "a")), Err(PurseError::TooManyOpen)));
}

#[test]
fn nothing_secret_is_printed() {
    let purse = Purse::in_memory();
    put(&purse, 7, "a");
    let shown = format!("{:?}", purse.credentials());
    assert!(!shown.contains("AgE=") && !shown.contains(&"07".repeat(32)), "{shown}");
}

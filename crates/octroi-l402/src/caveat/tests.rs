use proptest::prelude::*;

use super::*;

fn read(caveats: &[&str]) -> Result<Terms, TermsError> {
    Terms::read("toll", caveats.iter().map(|caveat| caveat.as_bytes()))
}

fn hex_of(byte: u8) -> String {
    hex::encode([byte; 32])
}

fn never() -> [u8; 32] {
    panic!("the arguments' digest is not needed")
}

fn bob(counted: Counted, most: i64) -> Budget {
    Budget { label: "bob".to_owned(), counted, most }
}

fn full() -> Terms {
    Terms {
        tools: Some(vec!["search".to_owned(), "fetch".to_owned()]),
        valid_until: Some(1_800_000_000),
        price: Some(Msat::new(3000)),
        max_price: Some(Msat::new(5000)),
        arguments_digest: Some([1; 32]),
        calls: Some(100),
        price_for: Some([3; 32]),
        budgets: vec![bob(Counted::Msat, 5000), bob(Counted::Calls, 7)],
        ..Terms::new("toll").vouch_for([2; 32])
    }
}

#[test]
fn what_is_minted_is_what_is_read() {
    let caveats = full().to_caveats().unwrap();
    assert_eq!(
        caveats,
        [
            "toll_price_msat=3000",
            &format!("toll_price_for={}", hex_of(3)),
            &format!("toll_principal={}", hex_of(2)),
            "services=toll:0",
            "toll_capabilities=search,fetch",
            "toll_valid_until=1800000000",
            "toll_calls=100",
            "toll_max_msat=5000",
            "toll_budget_msat=5000:bob",
            "toll_budget_calls=7:bob",
            &format!("toll_arguments_sha256={}", hex_of(1)),
        ]
    );
    assert_eq!(Terms::read("toll", caveats.iter().map(String::as_bytes)), Ok(full()));
}

#[test]
fn names_that_would_say_something_else_cannot_be_minted() {
    for name in ["", "a,b", "a:1", "a=b", "a\nb"] {
        assert_eq!(Terms::new(name).to_caveats(), Err(TermsError::Unwritable), "{name}");
    }
    for name in ["", "a,b", "a\nb"] {
        let terms = Terms { tools: Some(vec![name.to_owned()]), ..Terms::new("toll") };
        assert_eq!(terms.to_caveats(), Err(TermsError::Unwritable), "{name}");
    }
    // Only the first `=` separates, so most URIs can be said.
    let terms = Terms { tools: Some(vec!["file:///a?b=c".to_owned()]), ..Terms::new("toll") };
    assert_eq!(Terms::read("toll", terms.to_caveats().unwrap().iter().map(String::as_bytes)), Ok(terms));
}

#[test]
fn a_token_must_name_the_service() {
    assert_eq!(read(&[]), Err(TermsError::WrongService));
    assert_eq!(read(&["toll_calls=1"]), Err(TermsError::WrongService));
    assert_eq!(read(&["services=other:0"]), Err(TermsError::WrongService));
    assert_eq!(read(&["services=toll2:0"]), Err(TermsError::WrongService));
    assert!(read(&["services=other:1,toll:0"]).is_ok());
    // Each repetition may only take away.
    assert_eq!(read(&["services=toll:0", "services=other:0"]), Err(TermsError::WrongService));
    assert_eq!(read(&["services=other:0", "services=toll:0"]), Err(TermsError::WrongService));
}

#[test]
fn unknown_caveats_are_skipped() {
    let caveats = [
        "",
        "x",
        "=",
        "ip=1.2.3.4",
        "services=toll:0",
        "other_calls=x",
        "toll_colour=red",
        "tollcalls=1",
        "toll_",
    ];
    assert_eq!(read(&caveats), Ok(Terms::new("toll")));
    let binary: [&[u8]; 2] = [b"services=toll:0", b"\xff\xfe=\xff"];
    assert_eq!(Terms::read("toll", binary), Ok(Terms::new("toll")));
}

#[test]
fn malformed_values_of_known_caveats_fail_closed() {
    let hex63 = &hex_of(1)[1..];
    for bad in [
        "services=",
        "services=toll",
        "services=toll:",
        "services=toll:256",
        "services=toll:-1",
        "services=toll:0,",
        "services=:0",
        "toll_capabilities=",
        "toll_capabilities=a,,b",
        "toll_capabilities=,",
        "toll_valid_until=",
        "toll_valid_until=+1",
        "toll_valid_until=-1",
        "toll_valid_until=1e9",
        "toll_valid_until=01",
        "toll_valid_until= 1",
        "toll_valid_until=18446744073709551616",
        "toll_calls=4294967296",
        "toll_max_msat=9223372036854775808",
        "toll_price_msat=-1",
        "toll_arguments_sha256=",
        "toll_principal=zz",
        "toll_price_for=zz",
        "toll_budget_msat=5",
        "toll_budget_msat=5:",
        "toll_budget_msat=:bob",
        "toll_budget_msat=-1:bob",
        "toll_budget_calls=5:b b",
        "toll_budget_calls=9223372036854775808:bob",
        &format!("toll_budget_msat=1:{}", "b".repeat(65)),
        &format!("toll_principal={hex63}"),
        &format!("toll_arguments_sha256={hex63}"),
    ] {
        assert_eq!(read(&["services=toll:0", bad]), Err(TermsError::Malformed), "{bad}");
        assert_eq!(read(&[bad, "services=toll:0"]), Err(TermsError::Malformed), "{bad}");
    }
}

#[test]
fn repetition_only_restricts() {
    let terms = read(&[
        "services=toll:0",
        "toll_capabilities=a,b,c",
        "toll_capabilities=b,c,d",
        "toll_capabilities=c,b",
        "toll_valid_until=20",
        "toll_valid_until=10",
        "toll_valid_until=30",
        "toll_calls=5",
        "toll_calls=9",
        "toll_max_msat=7",
        "toll_max_msat=8",
    ])
    .unwrap();
    assert_eq!(terms.tools, Some(vec!["b".to_owned(), "c".to_owned()]));
    assert_eq!((terms.valid_until, terms.calls, terms.max_price), (Some(10), Some(5), Some(Msat::new(7))));
    let none = read(&["services=toll:0", "toll_capabilities=a", "toll_capabilities=b"]).unwrap();
    assert_eq!(none.permit("a", never, None), Err(NotPermitted::WrongTool));
    assert_eq!(none.permit("b", never, None), Err(NotPermitted::WrongTool));
    assert_eq!(none.to_caveats(), Err(TermsError::Contradictory));
}

#[test]
fn of_budgets_under_one_label_the_smaller_counts() {
    let terms = read(&[
        "services=toll:0",
        "toll_budget_msat=5000:bob",
        "toll_budget_msat=9000:bob",
        "toll_budget_calls=7:bob",
        "toll_budget_msat=100:carol",
        "toll_budget_calls=3:bob",
    ])
    .unwrap();
    let carol = Budget { label: "carol".to_owned(), counted: Counted::Msat, most: 100 };
    assert_eq!(terms.budgets, [bob(Counted::Msat, 5000), bob(Counted::Calls, 3), carol]);
    let many: Vec<String> = (0..=MAX_BUDGETS).map(|n| format!("toll_budget_msat=1:b{n}")).collect();
    let many: Vec<&str> = ["services=toll:0"].into_iter().chain(many.iter().map(String::as_str)).collect();
    assert_eq!(read(&many), Err(TermsError::Malformed));
    assert!(read(&many[..=MAX_BUDGETS]).is_ok());
    let unwritable = Terms { budgets: vec![bob(Counted::Msat, -1)], ..Terms::new("toll") };
    assert_eq!(unwritable.to_caveats(), Err(TermsError::Unwritable));
}

#[test]
fn a_promise_is_for_its_tools_and_arguments() {
    let promise = |caveats: &[&str]| read(caveats).unwrap().promised(|| [1; 32]);
    let price = Some(Msat::new(3000));
    assert_eq!(promise(&["toll_price_msat=3000", "services=toll:0", "toll_capabilities=a"]), price);
    assert_eq!(promise(&["toll_price_msat=3000", "services=toll:0"]), None);
    for (byte, promised) in [(1, price), (2, None)] {
        let bound = format!("toll_price_for={}", hex_of(byte));
        let caveats = ["toll_price_msat=3000", &bound, "services=toll:0", "toll_capabilities=a"];
        assert_eq!(promise(&caveats), promised);
        // A holder cannot make it a promise for other arguments.
        let other = format!("toll_price_for={}", hex_of(3 - byte));
        assert_eq!(promise(&[&caveats[..], &[&other]].concat()), promised);
    }
}

#[test]
fn contradictions_permit_nothing() {
    let digests = [1, 2].map(|byte| format!("toll_arguments_sha256={}", hex_of(byte)));
    let terms = read(&["services=toll:0", &digests[0], &digests[1]]).unwrap();
    for byte in [1, 2] {
        assert_eq!(terms.permit("t", || [byte; 32], None), Err(NotPermitted::WrongArguments));
    }
    let principals = [1, 2].map(|byte| format!("toll_principal={}", hex_of(byte)));
    let terms = read(&["services=toll:0", &principals[0], &principals[1]]).unwrap();
    for byte in [1, 2] {
        assert_eq!(terms.permit("t", never, Some(&[byte; 32])), Err(NotPermitted::WrongPrincipal));
    }
    let same = read(&["services=toll:0", &digests[0], &digests[0], &principals[1], &principals[1]]).unwrap();
    assert_eq!(same.permit("t", || [1; 32], Some(&[2; 32])), Ok(()));
}

#[test]
fn a_holder_cannot_give_itself_a_price_or_a_principal() {
    let principal = format!("toll_principal={}", hex_of(9));
    let terms = read(&["services=toll:0", "toll_price_msat=0", &principal]).unwrap();
    assert_eq!(terms.price, None);
    assert_eq!(terms.vouched_principal, None);
    assert_eq!(terms.permit("t", never, None), Err(NotPermitted::WrongPrincipal));
    assert_eq!(terms.permit("t", never, Some(&[9; 32])), Ok(()));
    // A promise can be raised by a holder, never lowered.
    let price = |more: &str| read(&["toll_price_msat=3000", "services=toll:0", more]).unwrap().price;
    assert_eq!(price("toll_price_msat=1"), Some(Msat::new(3000)));
    assert_eq!(price("toll_price_msat=4000"), Some(Msat::new(4000)));
    // Nor does naming the issuer's principal again behind `services` change who is vouched for.
    let own = format!("toll_principal={}", hex_of(2));
    let terms = read(&[&own, "services=toll:0", &principal]).unwrap();
    assert_eq!(terms.vouched_principal, Some([2; 32]));
    assert_eq!(terms.permit("t", never, Some(&[2; 32])), Err(NotPermitted::WrongPrincipal));
}

#[test]
fn renewing_does_not_vouch_for_what_a_holder_added() {
    let appended = format!("toll_principal={}", hex_of(9));
    let terms = read(&["services=toll:0", &appended]).unwrap();
    assert_eq!(terms.to_caveats().unwrap(), ["services=toll:0", &appended]);
    let own = format!("toll_principal={}", hex_of(2));
    let contradictory = read(&[&own, "services=toll:0", &appended]).unwrap();
    assert_eq!(contradictory.to_caveats(), Err(TermsError::Contradictory));
}

#[test]
fn a_renewed_token_is_bound_as_before_and_stands_for_nobody() {
    let renewed = full().renewed(7);
    let caveats = renewed.to_caveats().unwrap();
    let read = read(&caveats.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    assert_eq!((read.vouched_principal, read.principal), (None, Some([2; 32])));
    assert_eq!((read.valid_until, read.arguments_digest), (Some(7), full().arguments_digest));
}

#[test]
fn permission_names_the_limit() {
    let terms = full();
    let digest = || [1; 32];
    assert_eq!(terms.permit("fetch", digest, Some(&[2; 32])), Ok(()));
    assert_eq!(terms.permit("Fetch", digest, Some(&[2; 32])), Err(NotPermitted::WrongTool));
    assert_eq!(terms.permit("fetch", || [9; 32], Some(&[2; 32])), Err(NotPermitted::WrongArguments));
    assert_eq!(terms.permit("fetch", digest, Some(&[9; 32])), Err(NotPermitted::WrongPrincipal));
    assert_eq!(terms.permit("fetch", digest, None), Err(NotPermitted::WrongPrincipal));
    assert_eq!(Terms::new("toll").permit("anything", never, None), Ok(()));
}

fn caveat() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("services=toll:0".to_owned()),
        Just("services=toll:0,other:1".to_owned()),
        "toll_capabilities=[ab](,[abc]){0,2}",
        "toll_(valid_until|calls|max_msat|price_msat)=[1-9]",
        "toll_budget_(calls|msat)=[1-9]:[ab]",
        (0_u8..2).prop_map(|byte| format!("toll_price_for={}", hex_of(byte))),
        (0_u8..2).prop_map(|byte| format!("toll_arguments_sha256={}", hex_of(byte))),
        (0_u8..2).prop_map(|byte| format!("toll_principal={}", hex_of(byte))),
        "[a-z_]{0,12}=?[a-z0-9,:]{0,8}",
    ]
}

proptest! {
    /// Whatever is appended: no call is permitted that was not before, and no limit is loosened.
    #[test]
    fn appending_never_gives(issued in prop::collection::vec(caveat(), 0..6), added in prop::collection::vec(caveat(), 1..4)) {
        crate::invariants::attenuation(&format!("{}\n\n{}", issued.join("\n"), added.join("\n")));
    }
}

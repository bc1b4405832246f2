use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;

use super::*;
use crate::{Macaroon, Msat};

const NOW: u64 = 1_700_000_000;

fn keys() -> MasterKeys {
    MasterKeys::new((7, [0x42; 32]))
}

fn preimage() -> Preimage {
    Preimage::from_bytes([0xaa; 32])
}

fn terms() -> Terms {
    Terms { valid_until: Some(NOW + 300), price: Some(Msat::new(3000)), ..Terms::new("toll") }
}

fn mint(keys: &MasterKeys, terms: &Terms) -> Macaroon {
    let id = Identifier { payment_hash: preimage().payment_hash(), token_id: keys.new_token_id([5; 28]) };
    let root = keys.root_key(&id.token_id).unwrap();
    Macaroon::mint(&root, &id, "toll", terms.to_caveats().unwrap()).unwrap()
}

fn credential(macaroon: &Macaroon) -> Credential {
    Credential::new(macaroon.encode_v2(), preimage())
}

#[test]
fn a_paid_token_is_verified_with_its_terms() {
    let verified = verify(&credential(&mint(&keys(), &terms())), &keys(), "toll", NOW).unwrap();
    assert_eq!(verified.terms, terms());
    assert_eq!(verified.payment_hash, preimage().payment_hash());
    assert_eq!(verified.token_id, keys().new_token_id([5; 28]));
    assert_eq!(verified.permits("any", || [0; 32], None), Ok(()));
}

#[test]
fn each_refusal_has_its_reason() {
    let macaroon = mint(&keys(), &terms());
    let judge =
        |credential: &Credential, service, now| verify(credential, &keys(), service, now).unwrap_err();
    let good = credential(&macaroon);
    assert_eq!(judge(&good, "toll", NOW + 300), VerifyError::Expired { at: NOW + 300 });
    assert!(verify(&good, &keys(), "toll", NOW + 299).is_ok());
    assert!(authenticate(&good, &keys(), "toll").is_ok());
    assert_eq!(judge(&good, "other", NOW), VerifyError::WrongService);
    let unpaid = Credential::new(macaroon.encode_v2(), Preimage::from_bytes([0xab; 32]));
    assert_eq!(judge(&unpaid, "toll", NOW), VerifyError::WrongPreimage);
    let gone = MasterKeys::new((8, [0x42; 32]));
    assert_eq!(verify(&good, &gone, "toll", NOW), Err(VerifyError::UnknownKey));
    let changed = MasterKeys::new((7, [0x43; 32]));
    assert_eq!(verify(&good, &changed, "toll", NOW), Err(VerifyError::BadSignature));
    let garbage = Credential::new(b"garbage".to_vec(), preimage());
    assert!(matches!(judge(&garbage, "toll", NOW), VerifyError::Malformed(Malformed::Macaroon(_))));
    let bad_caveat = credential(&macaroon.add_caveat("toll_calls=many").unwrap());
    assert_eq!(judge(&bad_caveat, "toll", NOW), VerifyError::Malformed(Malformed::Caveat));
}

#[test]
fn of_a_forged_token_nothing_but_the_forgery_is_told() {
    let forger = MasterKeys::new((7, [0x66; 32]));
    let expired = Terms { valid_until: Some(1), ..terms() };
    let forged = mint(&forger, &expired).add_caveat("toll_calls=many").unwrap();
    let unpaid = Credential::new(forged.encode_v2(), Preimage::from_bytes([0; 32]));
    assert_eq!(verify(&unpaid, &keys(), "other", NOW), Err(VerifyError::BadSignature));
}

#[test]
fn an_older_key_is_honoured_while_it_is_held() {
    let old = credential(&mint(&keys(), &terms()));
    let rotated = MasterKeys::new((8, [0x88; 32])).with_previous((7, [0x42; 32])).unwrap();
    assert!(verify(&old, &rotated, "toll", NOW).is_ok());
    let new = credential(&mint(&rotated, &terms()));
    assert!(verify(&new, &rotated, "toll", NOW).is_ok());
    assert_eq!(&new.claimed_identifier().unwrap().token_id.as_bytes()[..4], &[0, 0, 0, 8]);
}

#[test]
fn any_dialect_any_case_any_form() {
    let macaroon = mint(&keys(), &terms());
    let hex = preimage().to_hex();
    for bytes in [macaroon.encode_v1(), macaroon.encode_v2()] {
        for text in [
            format!("{}:{hex}", STANDARD.encode(&bytes)),
            format!("  {}:{} \t", URL_SAFE_NO_PAD.encode(&bytes), hex.to_uppercase()),
        ] {
            let credential = Credential::parse(&text).unwrap();
            assert!(verify(&credential, &keys(), "toll", NOW).is_ok(), "{text}");
        }
    }
    let text = credential(&macaroon).to_text();
    assert_eq!(Credential::parse(&text).unwrap().to_text(), text);
}

#[test]
fn text_that_is_no_credential() {
    let hex = preimage().to_hex();
    let cases = [
        (String::new(), CredentialError::Form),
        ("AgEE".to_owned(), CredentialError::Form),
        (format!(":{hex}"), CredentialError::Form),
        (format!("AgEE,AgEE:{hex}"), CredentialError::Several),
        (format!("Ag E:{hex}"), CredentialError::Macaroon(MacaroonError::Text)),
        (format!("AgEE:{hex}:{hex}"), CredentialError::Preimage),
        (format!("AgEE:{hex}0"), CredentialError::Preimage),
        (format!("AgEE:{}", &hex[1..]), CredentialError::Preimage),
        ("AgEE:".to_owned(), CredentialError::Preimage),
    ];
    for (text, error) in cases {
        assert_eq!(Credential::parse(&text), Err(error), "{text}");
    }
}

#[test]
fn the_preimage_may_stand_in_the_macaroon() {
    let macaroon = mint(&keys(), &terms());
    let with =
        macaroon.clone().add_caveat(format!("preimage={}", preimage().to_hex().to_uppercase())).unwrap();
    let alone = Credential::from_macaroon_hex(&hex::encode_upper(with.encode_v2())).unwrap();
    assert!(verify(&alone, &keys(), "toll", NOW).is_ok());
    // Beside the header's preimage it must be the same one.
    assert!(verify(&credential(&with), &keys(), "toll", NOW).is_ok());
    let other = with.clone().add_caveat(format!("preimage={}", "00".repeat(32))).unwrap();
    assert_eq!(verify(&credential(&other), &keys(), "toll", NOW), Err(VerifyError::WrongPreimage));
    let unreadable = with.add_caveat("preimage=0").unwrap();
    assert_eq!(
        verify(&credential(&unreadable), &keys(), "toll", NOW),
        Err(VerifyError::Malformed(Malformed::Caveat))
    );
    let without = hex::encode(macaroon.encode_v2());
    assert_eq!(Credential::from_macaroon_hex(&without), Err(CredentialError::NoPreimage));
}

#[test]
fn nothing_secret_is_shown() {
    let credential = credential(&mint(&keys(), &terms()));
    assert_eq!(format!("{credential:?}"), "Credential(secret)");
    assert_eq!(format!("{:?}", keys()), "MasterKeys { numbers: [7], .. }");
    assert_eq!(format!("{:?}", keys().root_key(&keys().new_token_id([0; 28]))), "Some(RootKey(secret))");
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}", hex in "[0-9a-fA-F]{60,68}") {
        crate::invariants::credential(&text);
        crate::invariants::credential(&format!("{text}:{hex}"));
        let bytes = mint(&MasterKeys::new((0, [1; 32])), &terms()).encode_v2();
        crate::invariants::credential(&format!("{}:{hex}", STANDARD.encode(bytes)));
    }

    /// A holder may narrow; whatever else is changed in the bytes, it is no longer a token of ours.
    #[test]
    fn no_changed_byte_is_verified(at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let macaroon = mint(&keys(), &terms());
        let mut bytes = macaroon.encode_v2();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        // The location is a hint and not signed.
        let location = 3..7;
        let changed = verify(&Credential::new(bytes, preimage()), &keys(), "toll", NOW);
        prop_assert!(changed.is_err() || location.contains(&at));
    }
}

use proptest::prelude::*;

use super::*;

fn receipt() -> Receipt {
    Receipt {
        iss: "https://gate.example.com/mcp".to_owned(),
        iat: 1_790_000_000,
        jti: "0199".repeat(8),
        service: "mcp".to_owned(),
        tool: "image_describe".to_owned(),
        msat: 3000,
        balance_msat: 297_000,
        payer: Payer::Token("11".repeat(32)),
        arguments_sha256: Some("22".repeat(32)),
        result_sha256: None,
    }
}

fn key(seed: u8) -> ReceiptKey {
    ReceiptKey::from_seed(&[seed; 32]).unwrap()
}

fn set(keys: &[&ReceiptKey]) -> ReceiptKeys {
    let jwks: Vec<Value> = keys.iter().map(|key| key.jwk()).collect();
    ReceiptKeys::from_jwks(json!({"keys": jwks}).to_string().as_bytes()).unwrap()
}

/// RFC 8037, appendix A.2 and A.3: the public key and its thumbprint.
#[test]
fn a_key_is_named_as_the_standard_names_it() {
    let seed = URL_SAFE_NO_PAD.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
    let key = ReceiptKey::from_seed(&seed.try_into().unwrap()).unwrap();
    assert_eq!(key.jwk()["x"], "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
    assert_eq!(key.id(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

#[test]
fn what_was_signed_is_read_and_nothing_else() {
    let (ours, older, stranger) = (key(1), key(2), key(3));
    let keys = set(&[&ours, &older]);
    for signer in [&ours, &older] {
        assert_eq!(keys.verify(&signer.sign(&receipt())), Ok(receipt()));
    }
    let jws = ours.sign(&receipt());
    assert_eq!(keys.verify(&format!(" {jws}\n")), Ok(receipt()));
    assert_eq!(keys.verify(&stranger.sign(&receipt())), Err(ReceiptError::UnknownKey));
    let [header, claims, signature] = jws.split('.').collect::<Vec<_>>()[..] else { panic!("three parts") };
    let dearer = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&Receipt { msat: 1, ..receipt() }).unwrap());
    assert_eq!(keys.verify(&format!("{header}.{dearer}.{signature}")), Err(ReceiptError::Signature));
    let older_header = older.sign(&receipt()).split('.').next().unwrap().to_owned();
    assert_eq!(keys.verify(&format!("{older_header}.{claims}.{signature}")), Err(ReceiptError::Signature));
    for header in [
        json!({"alg": "none", "typ": TYPE, "kid": ours.id()}),
        json!({"alg": "EdDSA", "typ": "JWT", "kid": ours.id()}),
        json!({"alg": "EdDSA", "typ": TYPE, "kid": ours.id(), "crit": ["exp"]}),
        json!({"alg": "EdDSA", "typ": TYPE}),
    ] {
        let header = URL_SAFE_NO_PAD.encode(header.to_string());
        assert_eq!(keys.verify(&format!("{header}.{claims}.{signature}")), Err(ReceiptError::Header));
    }
    for text in ["", ".", "a.b", &"a".repeat(MAX_BYTES + 1), &jws.replace('.', "!")] {
        assert_eq!(keys.verify(text), Err(ReceiptError::Form));
    }
}

#[test]
fn keys_that_sign_no_receipts_are_left_out() {
    let set = |keys: Value| ReceiptKeys::from_jwks(json!({"keys": keys}).to_string().as_bytes());
    let mut nameless = key(1).jwk();
    nameless.as_object_mut().unwrap().remove("kid");
    let rsa = json!({"kty": "RSA", "n": "AQAB", "e": "AQAB"});
    assert_eq!(set(json!([rsa.clone(), nameless])).unwrap().verify(&key(1).sign(&receipt())), Ok(receipt()));
    assert_eq!(set(json!([rsa])), Err(ReceiptError::Keys));
    assert_eq!(set(json!([])), Err(ReceiptError::Keys));
    assert_eq!(set(json!(vec![key(1).jwk(); MAX_KEYS + 1])), Err(ReceiptError::Keys));
    assert_eq!(ReceiptKeys::from_jwks(b"no"), Err(ReceiptError::Keys));
    assert!(!format!("{:?}", key(7)).contains("07"), "no secret shows");
}

proptest! {
    #[test]
    fn any_text_is_judged_without_panic(text in "\\PC{0,200}", set in "\\PC{0,200}") {
        crate::invariants::receipt(&text);
        crate::invariants::receipt(&set);
    }

    #[test]
    fn no_changed_receipt_is_believed(at in 0..600_usize, flip in 1..=127_u8) {
        let jws = key(1).sign(&receipt());
        let mut bytes = jws.clone().into_bytes();
        let at = at % bytes.len();
        bytes[at] ^= flip;
        let changed = String::from_utf8_lossy(&bytes);
        prop_assume!(changed.trim_ascii() != jws);
        prop_assert!(set(&[&key(1)]).verify(&changed).is_err());
    }
}

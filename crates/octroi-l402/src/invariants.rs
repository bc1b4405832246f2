//! What must hold for any bytes at all. The fuzz targets and the property tests call these; nothing else does.

use crate::caveat::MAX_BUDGETS;
use crate::macaroon::{MAX_BYTES, MAX_CAVEATS, decode_base64, decode_hex};
use crate::receipt::{self, Payer};
use crate::{
    Budget, Credential, Identifier, Macaroon, MacaroonView, MasterKeys, Msat, Offer, Preimage, Receipt,
    ReceiptKey, ReceiptKeys, RootKey, Terms, VerifyError, authenticate, challenge, verify,
};

/// A decoder never panics, keeps its bounds, writes again exactly what it took, and takes nothing as signed that was
/// not.
///
/// # Panics
/// When one of these does not hold.
pub fn macaroon(bytes: &[u8]) {
    let Ok(view) = MacaroonView::decode(bytes) else { return };
    assert!(bytes.len() <= MAX_BYTES && view.caveats().count() <= MAX_CAVEATS);
    assert!(!view.is_signed_by(&RootKey::from_bytes([0x42; 32])));
    let owned = view.to_owned();
    let is_v2 = bytes.first() == Some(&2);
    let again = if is_v2 { owned.encode_v2() } else { owned.encode_v1() };
    // An empty V2 location may be written as a field or left out; everything else has one spelling.
    assert!(again == bytes || (bytes.starts_with(&[2, 1, 0]) && view.location().is_empty()));
    assert_eq!(MacaroonView::decode(&again).map(|view| view.to_owned()), Ok(owned.clone()));
    if let Ok(Identifier { payment_hash, token_id }) = view.l402_identifier() {
        assert_eq!(owned.identifier(), Identifier { payment_hash, token_id }.encode());
    }
    // Narrowing changes the signature and nothing before it.
    if let Ok(narrowed) = owned.clone().add_caveat("x") {
        assert_ne!(narrowed, owned);
        assert!(narrowed.caveats().zip(owned.caveats()).all(|(after, before)| after == before));
    }
}

/// Header values never panic a reader; a credential that is read is written and read again as the same one; none is
/// taken for one of ours; a challenge that is read can be answered.
///
/// # Panics
/// When one of these does not hold.
pub fn credential(text: &str) {
    let keys = MasterKeys::new((0, [0x42; 32]));
    for read in [Credential::parse(text), Credential::from_macaroon_hex(text)] {
        let Ok(read) = read else { continue };
        assert_eq!(Credential::parse(&read.to_text()).as_ref(), Ok(&read));
        assert!(!matches!(verify(&read, &keys, "toll", 0), Ok(_) | Err(VerifyError::Expired { .. })));
        macaroon(read.macaroon());
    }
    for bytes in [decode_base64(text), decode_hex(text)].into_iter().flatten() {
        assert!(bytes.len() <= MAX_BYTES + 2);
        macaroon(&bytes);
    }
    if let Ok(Offer { token, invoice, .. }) = challenge::parse(text) {
        assert!(!token.is_empty() && !invoice.is_empty());
    }
}

/// What a holder appends to a token takes away and never gives: no call is permitted that was not before, no limit is
/// loosened, no promise made, nobody spoken for. Lines before an empty one are the issuer's caveats, those behind it are
/// appended.
///
/// # Panics
/// When one of these does not hold.
pub fn attenuation(text: &str) {
    let (issued, added) = text.split_once("\n\n").unwrap_or((text, ""));
    let keys = MasterKeys::new((0, [0x42; 32]));
    let preimage = Preimage::from_bytes([7; 32]);
    let token_id = keys.new_token_id([9; 28]);
    let identifier = Identifier { payment_hash: preimage.payment_hash(), token_id };
    // The service comes last, as the issuer's own word ends with it.
    let issued = issued.lines().filter(|line| !line.starts_with("services=")).chain(["services=toll:0"]);
    let Some(root) = keys.root_key(&token_id) else { return };
    let Ok(minted) = Macaroon::mint(&root, &identifier, "", issued) else { return };
    let judged = |macaroon: &Macaroon| {
        authenticate(&Credential::new(macaroon.encode_v2(), preimage.clone()), &keys, "toll")
    };
    let Ok(before) = judged(&minted) else { return };
    let narrowed = added.lines().try_fold(minted, |macaroon, caveat| macaroon.add_caveat(caveat));
    let Ok(narrowed) = narrowed else { return };
    // A caveat that cannot be read makes the token no good, and so does a wrong preimage in one.
    let Ok(after) = judged(&narrowed) else { return };
    assert_eq!(before.identifier, after.identifier);
    takes_away(&before.terms, &after.terms);
}

fn takes_away(before: &Terms, after: &Terms) {
    let tools = before.tools.iter().flatten().map(String::as_str).chain(["a", "b", ""]);
    let digests = [before.arguments_digest.unwrap_or_default(), [1; 32]];
    let principals = [None, before.principal, Some([1; 32])];
    for tool in tools {
        for digest in digests {
            for principal in &principals {
                let permits = |terms: &Terms| terms.permit(tool, || digest, principal.as_ref()).is_ok();
                assert!(permits(before) || !permits(after), "{tool} is permitted now");
            }
        }
    }
    let limits = |terms: &Terms| {
        let price = terms.max_price.map_or(i64::MAX, Msat::as_i64);
        (terms.valid_until.unwrap_or(u64::MAX), terms.calls.unwrap_or(u32::MAX), price)
    };
    let ((until, calls, price), (until_then, calls_then, price_then)) = (limits(after), limits(before));
    assert!(until <= until_then && calls <= calls_then && price <= price_then, "a limit was loosened");
    assert_eq!((after.price.is_some(), after.price_for), (before.price.is_some(), before.price_for));
    assert!(after.price >= before.price, "a lower price was promised");
    assert_eq!(after.vouched_principal, before.vouched_principal);
    assert!(after.budgets.len() <= MAX_BUDGETS);
    for budget in &before.budgets {
        let same = |other: &&Budget| other.label == budget.label && other.counted == budget.counted;
        assert!(after.budgets.iter().find(same).is_some_and(|other| other.most <= budget.most));
    }
    // Renewed for its holder, it is bound as it is, and stands for nobody.
    if let Ok(caveats) = after.clone().renewed(7).to_caveats()
        && let Ok(renewed) = Terms::read("toll", caveats.iter().map(String::as_bytes))
    {
        assert_eq!((renewed.vouched_principal, renewed.principal), (None, after.principal));
        assert_eq!((renewed.tools, renewed.arguments_digest), (after.tools.clone(), after.arguments_digest));
    }
}

/// Neither a receipt nor a key set of any form makes a reader panic, and nothing is believed that the key did not sign.
///
/// # Panics
/// When one of these does not hold.
pub fn receipt(text: &str) {
    let _ = ReceiptKeys::from_jwks(text.as_bytes());
    let Some(key) = ReceiptKey::from_seed(&[0x42; 32]) else { return };
    let set = serde_json::json!({"keys": [key.jwk()]}).to_string();
    let keys = ReceiptKeys::from_jwks(set.as_bytes());
    let Ok(keys) = keys else { return };
    assert!(keys.verify(text).is_err(), "nobody knows this key");
    // Any name at all can stand in a receipt; what was signed is read, and nothing that was changed since.
    let receipt = Receipt {
        iss: text.to_owned(),
        iat: 0,
        jti: String::new(),
        service: String::new(),
        tool: text.to_owned(),
        msat: 1,
        balance_msat: 0,
        payer: Payer::Token(text.to_owned()),
        arguments_sha256: None,
        result_sha256: None,
    };
    let jws = key.sign(&receipt);
    let Ok(read) = keys.verify(&jws) else {
        assert!(jws.len() > receipt::MAX_BYTES, "a good receipt is refused");
        return;
    };
    assert_eq!(read, receipt);
    let changed = format!("{}{jws}", text.chars().next().map(String::from).unwrap_or_default());
    assert!(changed.trim() == jws || keys.verify(&changed).is_err());
}

//! What must hold for any bytes at all. The fuzz targets and the property tests call these; nothing else does.

use crate::macaroon::{MAX_BYTES, MAX_CAVEATS, decode_base64, decode_hex};
use crate::{Credential, Identifier, MacaroonView, MasterKeys, Offer, RootKey, VerifyError};
use crate::{ReceiptKey, ReceiptKeys, challenge, verify};

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

/// Neither a receipt nor a key set of any form makes a reader panic, and nothing is believed that the key did not sign.
///
/// # Panics
/// When one of these does not hold.
pub fn receipt(text: &str) {
    let _ = ReceiptKeys::from_jwks(text.as_bytes());
    let Some(key) = ReceiptKey::from_seed(&[0x42; 32]) else { return };
    let set = serde_json::json!({"keys": [key.jwk()]}).to_string();
    let keys = ReceiptKeys::from_jwks(set.as_bytes());
    assert!(keys.is_ok_and(|keys| keys.verify(text).is_err()), "nobody knows this key");
}

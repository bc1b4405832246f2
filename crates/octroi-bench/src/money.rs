//! What paying costs besides the ledger: credentials, receipts, prices that are worked out.

use std::hint::black_box;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use octroi_gate::price::Formula;
use octroi_l402::receipt::Payer;
use octroi_l402::{
    Credential, Identifier, Macaroon, MasterKeys, Msat, Preimage, Receipt, ReceiptKey, ReceiptKeys, Terms,
};
use octroi_mcp::digest::arguments_digest;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::failure::{Failure, Measured};
use crate::request::PAID;
use crate::single::{Row, time};

const SERVICE: &str = "bench";
const ARGUMENTS: &[u8] =
    br#"{"query":"which gate had the most carts this week?","limit":20,"options":{"hd":true}}"#;
const FORMULA: &str = "100 + size(args.query) * 2 + (args.options.hd ? args.limit * 50 : 0)";

/// A credential, the keys it is judged with, and how many HMACs that takes: one for the root key, one for the key of the chain,
/// one for the identifier, and one for each caveat.
struct Sold {
    text: String,
    keys: MasterKeys,
    hmacs: usize,
}

/// Measures all of them.
pub(crate) fn measure() -> Measured<Vec<Row>> {
    let mut plain = Terms::new(SERVICE);
    plain.tools = Some(vec![PAID.to_owned()]);
    plain.valid_until = Some(u64::MAX);
    plain.price = Some(Msat::new(1000));
    let mut vouched = plain.clone().vouch_for([6; 32]);
    vouched.calls = Some(1);
    vouched.arguments_digest = Some(arguments_digest(Some(ARGUMENTS)));
    let mut rows = vec![
        credential("L402 credential, from text to terms", &plain)?,
        credential("L402 credential for one call with its arguments", &vouched)?,
    ];
    rows.extend(receipts()?);
    rows.push(formula()?);
    Ok(rows)
}

fn sold(terms: &Terms) -> Measured<Sold> {
    let failed = "a credential";
    let (keys, preimage) = (MasterKeys::new((0, [7; 32])), Preimage::from_bytes([8; 32]));
    let token_id = keys.new_token_id([9; 28]);
    let identifier = Identifier { payment_hash: preimage.payment_hash(), token_id };
    let caveats = terms.to_caveats().map_err(Failure::of(failed))?;
    let root = keys.root_key(&token_id).ok_or_else(|| Failure::new(failed))?;
    let macaroon = Macaroon::mint(&root, &identifier, "https://gate.example.com", &caveats)
        .map_err(Failure::of(failed))?;
    let text = Credential::new(macaroon.encode_v2(), preimage).to_text();
    Ok(Sold { text, keys, hmacs: 3 + caveats.len() })
}

/// From the text of a header to what the call may do, beside the HMACs and the SHA-256 that it cannot do without.
fn credential(name: &'static str, terms: &Terms) -> Measured<Row> {
    let sold = sold(terms)?;
    let judge = || {
        let credential = Credential::parse(black_box(&sold.text)).ok()?;
        let verified = octroi_l402::verify(&credential, &sold.keys, SERVICE, 1).ok()?;
        let digest = || arguments_digest(Some(black_box(ARGUMENTS)));
        verified.permits(PAID, digest, Some(&[6; 32])).ok()
    };
    judge().ok_or_else(|| Failure::new("a good credential is refused"))?;
    let message = [0x5a_u8; 48];
    let bare = time(|| {
        let mut tag = [7_u8; 32];
        for _ in 0..sold.hmacs {
            let key = hmac::Key::new(hmac::HMAC_SHA256, &tag);
            tag.copy_from_slice(hmac::sign(&key, black_box(&message)).as_ref());
        }
        (tag, Sha256::digest(black_box(tag)))
    });
    Ok(Row { name, ns: time(judge), beside: Some(("its HMACs and its SHA-256 alone", bare)) })
}

fn receipts() -> Measured<[Row; 2]> {
    let failed = || Failure::new("a receipt");
    let key = ReceiptKey::from_seed(&[3; 32]).ok_or_else(failed)?;
    let receipt = Receipt {
        iss: "https://gate.example.com/mcp".to_owned(),
        iat: 1_790_000_000,
        jti: "0199c2f0-0000-7000-8000-000000000000".to_owned(),
        service: SERVICE.to_owned(),
        tool: PAID.to_owned(),
        msat: 1000,
        balance_msat: 99_000,
        payer: Payer::Token("09".repeat(32)),
        arguments_sha256: Some("0a".repeat(32)),
        result_sha256: Some("0b".repeat(32)),
    };
    let jws = key.sign(&receipt);
    let pair = Ed25519KeyPair::from_seed_unchecked(&[3; 32]).map_err(|_| failed())?;
    let signed = jws.rsplit_once('.').map(|(signed, _)| signed.as_bytes().to_vec()).ok_or_else(failed)?;
    let bare_sign = time(|| pair.sign(black_box(&signed)));
    let signature = pair.sign(&signed);
    let public = UnparsedPublicKey::new(&aws_lc_rs::signature::ED25519, pair.public_key().as_ref());
    let bare_verify = time(|| public.verify(black_box(&signed), signature.as_ref()).is_ok());
    let set = json!({"keys": [key.jwk()]}).to_string();
    let keys = ReceiptKeys::from_jwks(set.as_bytes()).map_err(Failure::of("a receipt's key"))?;
    keys.verify(&jws).map_err(Failure::of("a good receipt"))?;
    Ok([
        Row {
            name: "receipt, signed",
            ns: time(|| key.sign(black_box(&receipt))),
            beside: Some(("Ed25519 alone", bare_sign)),
        },
        Row {
            name: "receipt, verified",
            ns: time(|| keys.verify(black_box(&jws)).is_ok()),
            beside: Some(("Ed25519 alone", bare_verify)),
        },
    ])
}

fn formula() -> Measured<Row> {
    let formula = Formula::compile(FORMULA).map_err(Failure::of("a formula"))?;
    let price = || formula.evaluate(Some(black_box(ARGUMENTS)));
    price().map_err(Failure::of("a price"))?;
    let bare = time(|| serde_json::from_slice::<serde_json::Value>(black_box(ARGUMENTS)));
    Ok(Row {
        name: "price by a formula over the arguments",
        ns: time(price),
        beside: Some(("serde_json to a tree", bare)),
    })
}

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::invariants;
use crate::{PaymentHash, Preimage, TokenId};

/// A macaroon on which pymacaroons 0.13.0, npm macaroon 3.0.4 and crate macaroon 0.3.0 agree byte for byte.
const VECTOR: &str = "AgEEbHNhdAJCAADg53pQdBKxIPbt5h9iKVsaey/xnT3Mj3JT5RZjRwyIjhERERERERERERERERERERERERERERERERERERERERER\
     AAIPc2VydmljZXM9dG9sbDowAAIedG9sbF9jYXBhYmlsaXRpZXM9c2VhcmNoLGZldGNoAAIbdG9sbF92YWxpZF91bnRpbD0xODAwMDAwMD\
     AwAAAGICkTXH59JxvLZbndBddAY7462GOj36fikFYkjJugW2XV";
const CAVEATS: [&str; 3] =
    ["services=toll:0", "toll_capabilities=search,fetch", "toll_valid_until=1800000000"];

fn root() -> RootKey {
    RootKey::from_bytes(std::array::from_fn(|i| i as u8))
}

fn vector() -> Macaroon {
    let payment_hash = Preimage::from_bytes([0xaa; 32]).payment_hash();
    let id = Identifier { payment_hash, token_id: TokenId::from_bytes([0x11; 32]) };
    Macaroon::mint(&root(), &id, "lsat", CAVEATS).unwrap()
}

fn signature_hex(macaroon: &Macaroon) -> String {
    hex::encode(macaroon.signature)
}

#[test]
fn the_vector_to_the_byte() {
    let macaroon = vector();
    assert_eq!(signature_hex(&macaroon), "29135c7e7d271bcb65b9dd05d74063be3ad863a3dfa7e29056248c9ba05b65d5");
    assert_eq!(macaroon.encode_v2().len(), 192);
    assert_eq!(STANDARD.encode(macaroon.encode_v2()), VECTOR);
    let narrowed = macaroon.add_caveat(format!("preimage={}", "aa".repeat(32))).unwrap();
    assert_eq!(signature_hex(&narrowed), "3564a794ddd500ff6d10bdab699ba939ba5d53431980b0106975b12551794d12");
}

#[test]
fn read_back_from_both_forms_and_every_dialect() {
    let macaroon = vector();
    for bytes in [macaroon.encode_v1(), macaroon.encode_v2()] {
        for text in [
            STANDARD.encode(&bytes),
            STANDARD_NO_PAD.encode(&bytes),
            URL_SAFE.encode(&bytes),
            URL_SAFE_NO_PAD.encode(&bytes),
        ] {
            assert_eq!(decode_base64(&text).as_ref(), Ok(&bytes));
        }
        assert_eq!(decode_hex(&hex::encode_upper(&bytes)).as_ref(), Ok(&bytes));
        let view = MacaroonView::decode(&bytes).unwrap();
        assert!(view.is_signed_by(&root()));
        assert!(!view.is_signed_by(&RootKey::from_bytes([0; 32])));
        assert_eq!(view.location(), b"lsat");
        assert_eq!(view.to_owned(), macaroon);
    }
}

/// The file says how each was made.
#[test]
fn other_libraries_write_the_same() {
    let id = Identifier {
        payment_hash: PaymentHash::from_bytes([0x22; 32]),
        token_id: TokenId::from_bytes([0x11; 32]),
    };
    let short = Macaroon::mint(&root(), &id, "lsat", CAVEATS).unwrap();
    let long = short.clone().add_caveat(format!("preimage={}", "aa".repeat(32))).unwrap();
    let lines = include_str!("../../testdata/interop.txt").lines().filter(|line| !line.starts_with('#'));
    let mut seen = 0;
    for line in lines {
        let [library, form, dialect, caveats, text] = *line.split(' ').collect::<Vec<_>>() else {
            panic!("{line}")
        };
        let ours = if caveats == "3" { &short } else { &long };
        let bytes = if form == "v1" { ours.encode_v1() } else { ours.encode_v2() };
        let written =
            if dialect == "std-padded" { STANDARD.encode(&bytes) } else { URL_SAFE_NO_PAD.encode(&bytes) };
        assert_eq!(written, text, "{library} {form}");
        assert!(MacaroonView::decode(&decode_base64(text).unwrap()).unwrap().is_signed_by(&root()));
        seen += 1;
    }
    assert_eq!(seen, 5);
}

#[test]
fn base64_has_one_spelling_per_dialect() {
    for bad in ["+-AA", "_/AA", "AA=A", "A", "AAAA=", "AB==", "AB", "AA AA", "\u{e9}AAA", "AA\n"] {
        assert_eq!(decode_base64(bad), Err(MacaroonError::Text), "{bad}");
    }
    assert_eq!(decode_base64(&"A".repeat(MAX_BYTES * 4 / 3 + 8)), Err(MacaroonError::TooLong));
    assert_eq!(decode_hex(&"a".repeat(MAX_BYTES * 2 + 2)), Err(MacaroonError::TooLong));
    assert_eq!(decode_hex("abc"), Err(MacaroonError::Text));
}

#[test]
fn nothing_may_follow_and_nothing_may_lack() {
    let macaroon = vector();
    for bytes in [macaroon.encode_v1(), macaroon.encode_v2()] {
        for more in [&b"\0"[..], b"\n", b"0"] {
            let longer = [&bytes[..], more].concat();
            assert_eq!(MacaroonView::decode(&longer).unwrap_err(), MacaroonError::TrailingData);
        }
        for len in 0..bytes.len() {
            assert!(MacaroonView::decode(&bytes[..len]).is_err(), "cut to {len}");
        }
    }
}

#[test]
fn third_party_caveats_are_refused() {
    // Hand-made: identifier "i", a caveat "c" with a verification id, and one with only a location.
    let tail = [&b"\x00\x00\x06\x20"[..], &[0; 32]].concat();
    let vid = [&b"\x02\x02\x01i\x00\x02\x01c\x04\x01v"[..], &tail].concat();
    let cl = [&b"\x02\x02\x01i\x00\x01\x01l\x02\x01c"[..], &tail].concat();
    let v1 = b"000flocation x\n0011identifier i\n000acid c\n000avid v\n";
    let v1_location = b"000flocation x\n0011identifier i\n000acid c\n0009cl l\n";
    for bytes in [&vid[..], &cl, v1, v1_location] {
        assert_eq!(MacaroonView::decode(bytes).unwrap_err(), MacaroonError::ThirdParty, "{bytes:?}");
    }
}

#[test]
fn lengths_have_one_spelling() {
    // Identifier length 1 as the two-byte varint 81 00.
    let long_form = [&b"\x02\x02\x81\x00i\x00\x00\x06\x20"[..], &[0; 32]].concat();
    assert_eq!(MacaroonView::decode(&long_form).unwrap_err(), MacaroonError::Malformed);
    let plain = [&b"\x02\x02\x01i\x00\x00\x06\x20"[..], &[0; 32]].concat();
    assert!(MacaroonView::decode(&plain).is_ok());
    // V1: upper-case length, a sign, lengths shorter than their packet's own parts or longer than what is there.
    let v1 = vector().encode_v1();
    let good = b"0012location lsat\n";
    assert!(v1.starts_with(good));
    for bad in [&b"001Alocation x\n"[..], b"+00flocation x\n", b"0000", b"0003", b"0004", b"0005\n", b"ffffx"]
    {
        let bytes = [bad, &v1[good.len()..]].concat();
        assert!(
            matches!(
                MacaroonView::decode(&bytes),
                Err(MacaroonError::Malformed | MacaroonError::UnknownForm)
            ),
            "{bad:?}"
        );
    }
}

#[test]
fn size_and_count_are_bounded() {
    let id = vector().l402_identifier().unwrap();
    let full = Macaroon::mint(&root(), &id, "", std::iter::repeat_n("a", MAX_CAVEATS)).unwrap();
    for bytes in [full.encode_v1(), full.encode_v2()] {
        assert_eq!(MacaroonView::decode(&bytes).unwrap().caveats().count(), MAX_CAVEATS);
    }
    assert_eq!(full.clone().add_caveat("a").unwrap_err(), MacaroonError::TooManyCaveats);
    let mut over = full;
    over.caveats.push(b"a".to_vec());
    for bytes in [over.encode_v1(), over.encode_v2()] {
        assert_eq!(MacaroonView::decode(&bytes).unwrap_err(), MacaroonError::TooManyCaveats);
    }
    let none = std::iter::empty::<&str>;
    let long = "l".repeat(MAX_BYTES);
    assert_eq!(Macaroon::mint(&root(), &id, &long, none()).unwrap_err(), MacaroonError::TooLong);
    assert_eq!(vector().add_caveat(&long).unwrap_err(), MacaroonError::TooLong);
    assert_eq!(MacaroonView::decode(&[2; MAX_BYTES + 1]).unwrap_err(), MacaroonError::TooLong);
    assert_eq!(MacaroonView::decode(b"{}").unwrap_err(), MacaroonError::UnknownForm);
    assert_eq!(MacaroonView::decode(b"").unwrap_err(), MacaroonError::UnknownForm);
}

#[test]
fn the_signature_is_not_shown() {
    let shown = format!("{:?} {:?}", vector(), MacaroonView::decode(&vector().encode_v2()).unwrap());
    assert!(!shown.contains("29135c7e") && !shown.contains("41, 19, 92"), "{shown}");
}

proptest! {
    #[test]
    fn any_bytes(bytes in vec(any::<u8>(), 0..300)) {
        invariants::macaroon(&bytes);
        invariants::macaroon(&[&[v2::FIRST_BYTE][..], &bytes].concat());
    }

    #[test]
    fn nearly_a_macaroon(v1 in any::<bool>(), edits in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut bytes = if v1 { vector().encode_v1() } else { vector().encode_v2() };
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        invariants::macaroon(&bytes);
    }

    #[test]
    fn every_bit_but_the_location_is_signed(bit in 0_usize..192 * 8) {
        let mut bytes = vector().encode_v2();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let location = 3..7;
        if let Ok(view) = MacaroonView::decode(&bytes) {
            prop_assert_eq!(view.is_signed_by(&root()), location.contains(&(bit / 8)));
        }
    }

    #[test]
    fn any_content_survives_both_forms(
        hash in any::<[u8; 32]>(), id in any::<[u8; 32]>(), location in "[a-z .:/]{0,200}",
        caveats in vec(vec(any::<u8>(), 0..200), 0..12),
    ) {
        let id = Identifier { payment_hash: PaymentHash::from_bytes(hash), token_id: TokenId::from_bytes(id) };
        let macaroon = Macaroon::mint(&root(), &id, &location, &caveats).unwrap();
        for bytes in [macaroon.encode_v1(), macaroon.encode_v2()] {
            let view = MacaroonView::decode(&bytes).unwrap();
            prop_assert!(view.is_signed_by(&root()));
            prop_assert_eq!(view.l402_identifier(), Ok(id));
            prop_assert_eq!(&view.to_owned(), &macaroon);
        }
    }
}

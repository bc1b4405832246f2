//! What must be so of anything a node, a wallet or a relay may say. For the fuzzer and the property tests.

use octroi_l402::Msat;

use crate::queue::{Arrival, Place, Queue};
use crate::{bolt11, cln, lnbits, lnd, lnurl, nwc, phoenixd};

/// How many parsers the first byte chooses from.
pub const PARSERS: u8 = 7;

/// Reads the bytes after the first with the parser that the first names: LND, Core Lightning, phoenixd, LNbits, LNURL, Nostr Wallet
/// Connect, and what all have in common.
///
/// # Panics
/// When a promise is broken: an amount that could not be booked, a cursor that is not read as it was written, a Lightning Address that
/// sends the gate to this machine, an event that a stranger signed.
pub fn any_answer(data: &[u8]) {
    let Some((parser, bytes)) = data.split_first() else { return };
    match parser % PARSERS {
        0 => booked(lnd::read_anything(bytes)),
        1 => booked(cln::read_anything(bytes)),
        2 => booked(phoenixd::read_anything(bytes)),
        3 => booked(lnbits::read_anything(bytes)),
        4 => address(bytes),
        5 => booked(nwc::read_anything(&String::from_utf8_lossy(bytes))),
        _ => common(&String::from_utf8_lossy(bytes)),
    }
}

/// What arrived can be booked, and its cursor says where it stands.
fn booked(arrivals: Vec<Arrival>) {
    let queue = Queue::new();
    let mut after = None;
    for arrival in arrivals {
        assert!(arrival.amount > Msat::ZERO && arrival.amount <= Msat::new(2_100_000_000_000_000_000));
        queue.push(arrival);
        let given = queue.first_after(after.as_deref());
        let cursor = given.map(|settlement| settlement.cursor).unwrap_or_default();
        assert!(cursor.len() <= 128 && cursor.is_ascii(), "{cursor}");
        assert_eq!(Place::parse(&cursor), Some(Place::of(&arrival)));
        after = Some(cursor);
    }
}

fn address(bytes: &[u8]) {
    let Ok(terms_at) = "https://example.com/.well-known/lnurlp/me".parse() else { return };
    for url in lnurl::read_anything(&terms_at, bytes) {
        let name = url.domain().unwrap_or_default();
        assert!(
            !name.is_empty() && name != "localhost" && name.parse::<std::net::IpAddr>().is_err(),
            "{url}"
        );
        assert!(url.scheme() == "https" || name.ends_with(".onion"), "{url}");
    }
}

/// Invoices, cursors, times and a node's own words.
fn common(text: &str) {
    let _ = bolt11::decode(text);
    let _ = (Place::parse(text), crate::time::parse_rfc3339_ms(text), crate::latest_cursor([text]));
    assert!(!crate::rest::words(text.as_bytes()).chars().any(char::is_control));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Something like what each parser knows, with one value changed to anything.
    fn near() -> impl Strategy<Value = String> {
        let value = prop_oneof![
            any::<i64>().prop_map(|number| number.to_string()),
            any::<u64>().prop_map(|number| format!("\"{number}\"")),
            any::<f64>().prop_map(|number| serde_json::json!(number).to_string()),
            Just("null".to_owned()),
            Just("true".to_owned()),
            Just("[]".to_owned()),
            Just("{}".to_owned()),
            "[a-z:/.0-9]{0,20}".prop_map(|text| serde_json::json!(text).to_string()),
        ];
        let hash = "01".repeat(32);
        let shapes = [
            r#"{"result":{"r_hash":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=","state":"SETTLED","amt_paid_msat":~,"settle_date":~,"settle_index":~}}"#.to_owned(),
            format!(r#"{{"jsonrpc":"2.0","id":"octroi","result":{{"payment_hash":"{hash}","status":"paid","pay_index":~,"amount_received_msat":~,"paid_at":~}}}}"#),
            format!(r#"[{{"paymentHash":"{hash}","isPaid":true,"requestedSat":~,"receivedSat":~,"fees":~,"completedAt":~}}]"#),
            format!(r#"[{{"payment_hash":"{hash}","amount":~,"status":"success","updated_at":~}}]"#),
            r#"{"tag":"payRequest","callback":~,"minSendable":~,"maxSendable":~,"pr":"","verify":~}"#.to_owned(),
            format!(r#"{{"result_type":"lookup_invoice","notification_type":"payment_received","notification":{{"type":"incoming","payment_hash":"{hash}","amount":~,"settled_at":~}},"result":{{"payment_hash":"{hash}","amount":~,"settled_at":~,"state":"settled"}}}}"#),
        ];
        (0..shapes.len(), proptest::collection::vec(value, 5)).prop_map(move |(shape, values)| {
            let mut values = values.into_iter().cycle();
            let parts: Vec<&str> = shapes[shape].split('~').collect();
            let filled = parts
                .iter()
                .skip(1)
                .fold(parts[0].to_owned(), |text, part| text + &values.next().unwrap_or_default() + part);
            format!("{}{filled}", shape as u8 as char)
        })
    }

    proptest! {
        #[test]
        fn nothing_that_is_said_is_too_strange(parser in 0..PARSERS, bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            any_answer(&[&[parser][..], &bytes].concat());
        }

        #[test]
        fn nothing_that_is_nearly_right_is_too_strange(text in near()) {
            any_answer(text.as_bytes());
        }
    }
}

//! What a macaroon of LND allows. It stands in the macaroon itself, so nobody is asked: the identifier is a byte 3 and
//! `MacaroonId { bytes nonce = 1; bytes storage_id = 2; repeated Op ops = 3 }` with
//! `Op { string entity = 1; repeated string actions = 2 }` (protocol buffers).

use octroi_l402::MacaroonView;

use crate::powers::{Power, Powers};

/// LND's version of identifiers.
const VERSION: u8 = 3;

/// An operation: on what, and what of it.
type Op<'a> = (&'a [u8], &'a [u8]);

/// Caveats (an address, a date) may narrow what is said here.
pub(super) fn of(macaroon: &[u8]) -> Powers {
    let Some(ops) = MacaroonView::decode(macaroon).ok().and_then(|macaroon| ops(macaroon.identifier()))
    else {
        return Powers::UNKNOWN;
    };
    let has =
        |entity: &str, action: &str| Power::from_bool(ops.contains(&(entity.as_bytes(), action.as_bytes())));
    // A macaroon may instead name the calls themselves.
    let calls = |wanted: &[&str]| {
        Power::all(wanted.iter().map(|call| has("uri", &format!("/lnrpc.Lightning/{call}"))))
    };
    let sends = ops.iter().any(|(entity, call)| {
        let call = String::from_utf8_lossy(call);
        *entity == b"uri"
            && ["Send", "OpenChannel", "CloseChannel", "BakeMacaroon"].iter().any(|part| call.contains(part))
    });
    Powers {
        receive: Power::any([
            Power::all([has("invoices", "read"), has("invoices", "write")]),
            calls(&["AddInvoice", "LookupInvoice", "SubscribeInvoices"]),
        ]),
        look: Power::any([
            Power::all([has("offchain", "read"), has("info", "read")]),
            calls(&["ChannelBalance", "ListChannels", "GetInfo"]),
        ]),
        spend: Power::any([
            has("offchain", "write"),
            has("onchain", "write"),
            // Whoever bakes macaroons bakes one that spends.
            has("macaroon", "generate"),
            Power::from_bool(sends),
        ]),
    }
}

fn ops(identifier: &[u8]) -> Option<Vec<Op<'_>>> {
    let (version, message) = identifier.split_first()?;
    if *version != VERSION {
        return None;
    }
    let mut found = Vec::new();
    for (field, op) in fields(message)? {
        if field != 3 {
            continue;
        }
        let parts = fields(op)?;
        let entity = parts.iter().find(|(field, _)| *field == 1)?.1;
        found.extend(parts.iter().filter(|(field, _)| *field == 2).map(|(_, action)| (entity, *action)));
    }
    Some(found)
}

/// The fields of a message that consists of bytes and texts alone (wire type 2).
fn fields(mut bytes: &[u8]) -> Option<Vec<(u64, &[u8])>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let length = usize::try_from(varint(&mut bytes)?).ok()?;
        if key & 7 != 2 || length > bytes.len() {
            return None;
        }
        let (value, rest) = bytes.split_at(length);
        found.push((key >> 3, value));
        bytes = rest;
    }
    Some(found)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..63).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn field(number: u8, value: &[u8]) -> Vec<u8> {
        let mut bytes = vec![number << 3 | 2, u8::try_from(value.len()).unwrap()];
        bytes.extend_from_slice(value);
        bytes
    }

    fn macaroon(ops: &[(&str, &[&str])]) -> Vec<u8> {
        let mut identifier = vec![VERSION];
        identifier.extend(field(1, &[7; 16]));
        identifier.extend(field(2, b"0"));
        for (entity, actions) in ops {
            let mut op = field(1, entity.as_bytes());
            actions.iter().for_each(|action| op.extend(field(2, action.as_bytes())));
            identifier.extend(field(3, &op));
        }
        let packet = |kind: u8, bytes: &[u8]| {
            let mut packet = vec![kind];
            match u8::try_from(bytes.len()).unwrap() {
                length @ ..0x80 => packet.push(length),
                // A varint of two bytes.
                length => packet.extend([length, 1]),
            }
            packet.extend_from_slice(bytes);
            packet
        };
        let parts = [
            &[2][..],
            &packet(2, &identifier),
            &[0],
            &packet(2, b"ipaddr 10.0.0.1"),
            &[0, 0],
            &packet(6, &[9; 32]),
        ];
        parts.concat()
    }

    #[test]
    fn what_lnd_bakes_is_read() {
        let least =
            macaroon(&[("info", &["read"]), ("invoices", &["read", "write"]), ("offchain", &["read"])]);
        let expected = Powers { receive: Power::Allowed, look: Power::Allowed, spend: Power::Refused };
        assert_eq!(of(&least), expected);
        let invoice_only = macaroon(&[("invoices", &["read", "write"])]);
        assert_eq!(of(&invoice_only), Powers { look: Power::Refused, ..expected });
        let blind = macaroon(&[("invoices", &["read"]), ("offchain", &["read"])]);
        assert_eq!(of(&blind).receive, Power::Refused);
        for (entity, action) in [("offchain", "write"), ("onchain", "write"), ("macaroon", "generate")] {
            assert_eq!(of(&macaroon(&[(entity, &[action])])).spend, Power::Allowed, "{entity}");
        }
        let by_call = ["AddInvoice", "LookupInvoice", "SubscribeInvoices"]
            .map(|call| format!("/lnrpc.Lightning/{call}"));
        let calls: Vec<&str> = by_call.iter().map(String::as_str).collect();
        assert_eq!(of(&macaroon(&[("uri", &calls)])), Powers { look: Power::Refused, ..expected });
        let sends = macaroon(&[("uri", &["/routerrpc.Router/SendPaymentV2"])]);
        assert_eq!(of(&sends).spend, Power::Allowed);
    }

    proptest! {
        #[test]
        fn no_macaroon_is_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = of(&bytes);
            let mut identifier = vec![VERSION];
            identifier.extend(&bytes);
            let _ = ops(&identifier);
        }
    }
}

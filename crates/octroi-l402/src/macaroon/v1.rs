//! The V1 binary form: packets of `LLLL name SP data LF`, where `LLLL` is the packet's own length in lower-case hex.
//!
//! In order: `location`, `identifier`, any number of `cid`, `signature` (32 raw bytes). Nothing follows.

use smallvec::SmallVec;

use super::{MAX_CAVEATS, Macaroon, MacaroonError, MacaroonView};

const LOCATION: &[u8] = b"location";
const IDENTIFIER: &[u8] = b"identifier";
const CAVEAT: &[u8] = b"cid";
const VERIFICATION_ID: &[u8] = b"vid";
const CAVEAT_LOCATION: &[u8] = b"cl";
const SIGNATURE: &[u8] = b"signature";

/// Digits of the length that opens a packet.
const PREFIX: usize = 4;

pub(super) fn decode(bytes: &[u8]) -> Result<MacaroonView<'_>, MacaroonError> {
    let mut rest = bytes;
    let location = named(packet(&mut rest)?, LOCATION)?;
    let identifier = named(packet(&mut rest)?, IDENTIFIER)?;
    let mut caveats = SmallVec::new();
    let signature = loop {
        let (name, data) = packet(&mut rest)?;
        if name == SIGNATURE {
            break data;
        }
        if name == VERIFICATION_ID || name == CAVEAT_LOCATION {
            return Err(MacaroonError::ThirdParty);
        }
        if caveats.len() == MAX_CAVEATS {
            return Err(MacaroonError::TooManyCaveats);
        }
        caveats.push(named((name, data), CAVEAT)?);
    };
    if !rest.is_empty() {
        return Err(MacaroonError::TrailingData);
    }
    let signature = signature.try_into().map_err(|_| MacaroonError::Malformed)?;
    Ok(MacaroonView { location, identifier, caveats, signature })
}

fn named<'a>((name, data): (&[u8], &'a [u8]), expected: &[u8]) -> Result<&'a [u8], MacaroonError> {
    if name == expected { Ok(data) } else { Err(MacaroonError::Malformed) }
}

/// Takes one packet off the front: its name and its data.
fn packet<'a>(rest: &mut &'a [u8]) -> Result<(&'a [u8], &'a [u8]), MacaroonError> {
    let (prefix, _) = rest.split_first_chunk::<PREFIX>().ok_or(MacaroonError::Malformed)?;
    let len = prefix.iter().try_fold(0, |len, digit| hex_digit(*digit).map(|digit| len << 4 | digit));
    let len = len.ok_or(MacaroonError::Malformed)?;
    let (whole, after) = rest.split_at_checked(len).ok_or(MacaroonError::Malformed)?;
    let body =
        whole.get(PREFIX..).and_then(|body| body.strip_suffix(b"\n")).ok_or(MacaroonError::Malformed)?;
    let space = body.iter().position(|byte| *byte == b' ').ok_or(MacaroonError::Malformed)?;
    *rest = after;
    Ok((&body[..space], &body[space + 1..]))
}

fn hex_digit(byte: u8) -> Option<usize> {
    match byte {
        b'0'..=b'9' => Some(usize::from(byte - b'0')),
        b'a'..=b'f' => Some(usize::from(byte - b'a') + 10),
        _ => None,
    }
}

pub(super) fn encode(macaroon: &Macaroon) -> Vec<u8> {
    let mut out = Vec::with_capacity(encoded_len(macaroon));
    for (name, data) in packets(macaroon) {
        out.extend_from_slice(format!("{:04x}", packet_len(name, data)).as_bytes());
        out.extend_from_slice(name);
        out.push(b' ');
        out.extend_from_slice(data);
        out.push(b'\n');
    }
    out
}

pub(super) fn encoded_len(macaroon: &Macaroon) -> usize {
    packets(macaroon).map(|(name, data)| packet_len(name, data)).sum()
}

const fn packet_len(name: &[u8], data: &[u8]) -> usize {
    PREFIX + name.len() + data.len() + 2
}

fn packets(macaroon: &Macaroon) -> impl Iterator<Item = (&[u8], &[u8])> {
    let head = [(LOCATION, macaroon.location.as_slice()), (IDENTIFIER, macaroon.identifier.as_slice())];
    let caveats = macaroon.caveats.iter().map(|caveat| (CAVEAT, caveat.as_slice()));
    head.into_iter().chain(caveats).chain([(SIGNATURE, macaroon.signature.as_slice())])
}

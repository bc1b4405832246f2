//! The V2 binary form: `02 [location] identifier EOS (caveat EOS)* EOS signature`.
//!
//! A field is `type varint ‖ length varint ‖ data`; `EOS` is the single byte 0. Nothing follows the signature.

use smallvec::SmallVec;

use super::{MAX_CAVEATS, Macaroon, MacaroonError, MacaroonView};

pub(super) const FIRST_BYTE: u8 = 2;

const EOS: u8 = 0;
const LOCATION: u8 = 1;
const IDENTIFIER: u8 = 2;
const VERIFICATION_ID: u8 = 4;
const SIGNATURE: u8 = 6;

pub(super) fn decode(bytes: &[u8]) -> Result<MacaroonView<'_>, MacaroonError> {
    let mut rest = bytes.get(1..).ok_or(MacaroonError::Malformed)?;
    let location = if rest.first() == Some(&LOCATION) { field(&mut rest, LOCATION)? } else { &[] };
    let identifier = field(&mut rest, IDENTIFIER)?;
    end_of_section(&mut rest)?;
    let mut caveats = SmallVec::new();
    loop {
        match rest.first() {
            Some(&EOS) => break,
            Some(&LOCATION) => return Err(MacaroonError::ThirdParty),
            _ => {}
        }
        if caveats.len() == MAX_CAVEATS {
            return Err(MacaroonError::TooManyCaveats);
        }
        caveats.push(field(&mut rest, IDENTIFIER)?);
        if rest.first() == Some(&VERIFICATION_ID) {
            return Err(MacaroonError::ThirdParty);
        }
        end_of_section(&mut rest)?;
    }
    end_of_section(&mut rest)?;
    let signature = field(&mut rest, SIGNATURE)?.try_into().map_err(|_| MacaroonError::Malformed)?;
    if !rest.is_empty() {
        return Err(MacaroonError::TrailingData);
    }
    Ok(MacaroonView { location, identifier, caveats, signature })
}

fn end_of_section(rest: &mut &[u8]) -> Result<(), MacaroonError> {
    let Some((&EOS, after)) = rest.split_first() else { return Err(MacaroonError::Malformed) };
    *rest = after;
    Ok(())
}

fn field<'a>(rest: &mut &'a [u8], kind: u8) -> Result<&'a [u8], MacaroonError> {
    let Some((&found, after)) = rest.split_first() else { return Err(MacaroonError::Malformed) };
    if found != kind {
        return Err(MacaroonError::Malformed);
    }
    let (len, after) = length(after).ok_or(MacaroonError::Malformed)?;
    let (data, after) = after.split_at_checked(len).ok_or(MacaroonError::Malformed)?;
    *rest = after;
    Ok(data)
}

/// A varint of at most two bytes, which is enough for [`super::MAX_BYTES`], in its shortest form.
fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    match *bytes {
        [low @ 0..=0x7f, ref rest @ ..] => Some((usize::from(low), rest)),
        [low, high @ 1..=0x7f, ref rest @ ..] => {
            Some((usize::from(low & 0x7f) | usize::from(high) << 7, rest))
        }
        _ => None,
    }
}

pub(super) fn encode(macaroon: &Macaroon) -> Vec<u8> {
    let mut out = vec![FIRST_BYTE];
    if !macaroon.location.is_empty() {
        put(&mut out, LOCATION, &macaroon.location);
    }
    put(&mut out, IDENTIFIER, &macaroon.identifier);
    out.push(EOS);
    for caveat in &macaroon.caveats {
        put(&mut out, IDENTIFIER, caveat);
        out.push(EOS);
    }
    out.push(EOS);
    put(&mut out, SIGNATURE, &macaroon.signature);
    out
}

fn put(out: &mut Vec<u8>, kind: u8, data: &[u8]) {
    out.push(kind);
    let mut len = data.len();
    while len > 0x7f {
        out.push((len & 0x7f) as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
    out.extend_from_slice(data);
}

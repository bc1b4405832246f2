//! The text of a challenge's signature, which holds the binding beside the HMAC, and the bytes the HMAC is over.
//!
//! Clients send back what they know: six fields. What the solution may be used for travels inside the signature, so
//! that nothing has to be stored and nothing can be left out.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::{Algorithm, Binding, Challenge};

/// The version of both encodings below.
const VERSION: u8 = 1;
/// Says what is signed, so that the key can serve other purposes under other labels.
const LABEL: &[u8] = b"octroi pow challenge v1";

const ABSENT: u8 = 0;
const PRESENT: u8 = 1;

/// What the signature text holds.
pub(crate) struct Sealed {
    pub(crate) key: u32,
    pub(crate) algorithm: Algorithm,
    pub(crate) binding: Binding,
    pub(crate) mac: [u8; 32],
}

impl Sealed {
    pub(crate) fn of(challenge: &Challenge) -> Self {
        Self {
            key: challenge.key,
            algorithm: challenge.algorithm,
            binding: challenge.binding.clone(),
            mac: challenge.mac,
        }
    }

    pub(crate) fn to_text(&self) -> String {
        let mut bytes = terms(self.key, self.algorithm, &self.binding);
        bytes.extend_from_slice(&self.mac);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads the text; `None` for anything [`Sealed::to_text`] would not have written.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (mut rest, mac) = bytes.split_last_chunk::<32>()?;
        let rest = &mut rest;
        if take::<1>(rest)? != [VERSION] {
            return None;
        }
        let key = u32::from_be_bytes(take(rest)?);
        let algorithm = Algorithm::named(&take_text(rest)?)?;
        let calls = u32::from_be_bytes(take(rest)?);
        let service = take_text(rest)?;
        let tool = take_option(rest, take_text)?;
        let principal = take_option(rest, take)?;
        let arguments_digest = take_option(rest, take)?;
        let binding = Binding { tool, principal, arguments_digest, calls, service };
        rest.is_empty().then_some(Self { key, algorithm, binding, mac: *mac })
    }
}

/// Everything a challenge says, in fixed order, every text behind its length: no two challenges have the same bytes.
pub(crate) fn signed_bytes(challenge: &Challenge) -> Vec<u8> {
    let mut out = LABEL.to_vec();
    out.extend_from_slice(&challenge.id);
    put_text(&mut out, &challenge.salt);
    out.extend_from_slice(&challenge.difficulty.millibits().to_be_bytes());
    out.extend_from_slice(challenge.difficulty.target());
    out.extend_from_slice(&challenge.expires_at.to_be_bytes());
    out.extend_from_slice(&terms(challenge.key, challenge.algorithm, &challenge.binding));
    out
}

fn terms(key: u32, algorithm: Algorithm, binding: &Binding) -> Vec<u8> {
    let Binding { tool, principal, arguments_digest, calls, service } = binding;
    let mut out = vec![VERSION];
    out.extend_from_slice(&key.to_be_bytes());
    put_text(&mut out, algorithm.name());
    out.extend_from_slice(&calls.to_be_bytes());
    put_text(&mut out, service);
    put_option(&mut out, tool.as_deref(), put_text);
    put_option(&mut out, principal.as_ref(), |out, digest| out.extend_from_slice(digest));
    put_option(&mut out, arguments_digest.as_ref(), |out, digest| out.extend_from_slice(digest));
    out
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u64).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn put_option<T: ?Sized>(out: &mut Vec<u8>, value: Option<&T>, put: impl FnOnce(&mut Vec<u8>, &T)) {
    match value {
        Some(value) => {
            out.push(PRESENT);
            put(out, value);
        }
        None => out.push(ABSENT),
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*taken)
}

fn take_text(rest: &mut &[u8]) -> Option<String> {
    let len = usize::try_from(u64::from_be_bytes(take(rest)?)).ok()?;
    let (text, after) = rest.split_at_checked(len)?;
    *rest = after;
    str::from_utf8(text).ok().map(str::to_owned)
}

fn take_option<T>(rest: &mut &[u8], take_value: impl FnOnce(&mut &[u8]) -> Option<T>) -> Option<Option<T>> {
    match take(rest)? {
        [ABSENT] => Some(None),
        [PRESENT] => take_value(rest).map(Some),
        _ => None,
    }
}

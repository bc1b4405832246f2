//! A digest of a call's arguments that survives re-serialisation.
//!
//! A credential bought for one call is bound to this digest, and an agent that pays may well serialise the same arguments
//! anew for the retry: in another order, with other white space or escapes. The digest does not change then.

use std::borrow::Cow;

use sha2::{Digest, Sha256};
use smallvec::SmallVec;

use crate::json::{self, Limits, tape};

/// SHA-256 over the canonical form of raw, validated arguments. Absent (or `null`) arguments count as `{}`.
///
/// Canonical form: no white space; members sorted by the UTF-8 bytes of their decoded keys; strings with the fewest
/// escapes (RFC 8785 §3.2.2.2); numbers as written, so that `1.0` and `1` differ: no reader's idea of precision is imposed.
#[must_use]
pub fn arguments_digest(raw: Option<&[u8]>) -> [u8; 32] {
    let raw = raw.filter(|raw| *raw != b"null").unwrap_or(b"{}");
    let mut hasher = Sha256::new();
    match tape::Tape::new(raw, usize::from(Limits::DEEPEST)) {
        Some(tape) => canonical(&tape, 0, &mut hasher),
        // Only what never passed validation is deeper than any limit; it gets a digest of its own all the same.
        None => hasher.update(raw),
    }
    hasher.finalize().into()
}

/// Feeds one value to the hasher. Recursion is bounded by the depth the tape was made with.
fn canonical(tape: &tape::Tape<'_>, node: usize, hasher: &mut Sha256) {
    let raw = tape.raw(node);
    match raw.first() {
        Some(b'{') => {
            let mut members: SmallVec<[(Cow<'_, str>, usize); 16]> =
                tape.children(node).map(|child| (tape.key(child), child)).collect();
            members.sort_unstable_by(|a, b| a.0.cmp(&b.0));
            hasher.update(b"{");
            for (index, (key, child)) in members.iter().enumerate() {
                if index > 0 {
                    hasher.update(b",");
                }
                string(key, hasher);
                hasher.update(b":");
                canonical(tape, *child, hasher);
            }
            hasher.update(b"}");
        }
        Some(b'[') => {
            hasher.update(b"[");
            for (index, child) in tape.children(node).enumerate() {
                if index > 0 {
                    hasher.update(b",");
                }
                canonical(tape, child, hasher);
            }
            hasher.update(b"]");
        }
        Some(b'"') if raw.contains(&b'\\') => string(&json::string(raw).unwrap_or_default(), hasher),
        _ => hasher.update(raw),
    }
}

fn string(text: &str, hasher: &mut Sha256) {
    let mut quoted = Vec::with_capacity(text.len() + 2);
    json::write_string(&mut quoted, text);
    hasher.update(&quoted);
}

#[cfg(test)]
mod tests;

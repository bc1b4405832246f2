//! A digest of a call's arguments that survives re-serialisation.

/// SHA-256 over the canonical form of raw, validated arguments. Absent (or `null`) arguments count as `{}`.
///
/// Canonical form: no white space; members sorted by the UTF-8 bytes of their decoded keys; strings with the fewest
/// escapes; numbers as written.
#[must_use]
pub fn arguments_digest(_raw: Option<&[u8]>) -> [u8; 32] {
    todo!()
}

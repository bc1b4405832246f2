//! Exactly 32 bytes written as exactly 64 hexadecimal digits, in any case.

/// Reads 64 hexadecimal digits; `None` for any other length or character.
pub(crate) fn read_32(text: &[u8]) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(bytes)
}

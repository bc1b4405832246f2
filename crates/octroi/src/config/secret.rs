//! A value that must not be seen.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A password, token or key: wiped from memory when dropped, never shown by `Debug`, compared in constant time.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps a value that must not be seen.
    pub fn new(value: impl Into<String>) -> Self {
        Self(Zeroizing::new(value.into()))
    }

    /// The value itself; keep it out of logs, errors and requests it was not meant for.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The 32 bytes written as 64 hexadecimal digits, or `None` when this is not such a key.
    pub fn hex_key(&self) -> Option<Zeroizing<[u8; 32]>> {
        let mut key = Zeroizing::new([0; 32]);
        hex::decode_to_slice(self.reveal(), key.as_mut_slice()).ok()?;
        Some(key)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Secret {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_never_shows_the_value() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(…)");
    }

    #[test]
    fn a_key_is_exactly_32_bytes_of_hex() {
        let digits = "0F".repeat(32);
        assert_eq!(Secret::new(digits.as_str()).hex_key().as_deref(), Some(&[15; 32]));
        assert!(Secret::new(&digits[..62]).hex_key().is_none());
        assert!(Secret::new(digits.replace('F', "g")).hex_key().is_none());
    }

    #[test]
    fn equality_is_by_value() {
        assert_eq!(Secret::new("a"), Secret::new("a"));
        assert_ne!(Secret::new("a"), Secret::new("ab"));
    }
}

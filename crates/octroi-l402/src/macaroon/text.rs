//! The texts a binary macaroon travels as: base64 in HTTP headers, hex in metadata headers.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::{MAX_BYTES, MacaroonError};

const EITHER_PADDING: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, EITHER_PADDING);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, EITHER_PADDING);

/// Reads base64 in any of its four dialects (RFC 4648 §4 and §5, padded or not), up to [`MAX_BYTES`] bytes.
///
/// L402 asks for the standard alphabet with padding; clients and servers in use send all four. The two alphabets may
/// not be mixed, and stray bits after the last byte are refused, so that a dialect has one spelling.
///
/// # Errors
/// [`MacaroonError::Text`] or [`MacaroonError::TooLong`].
pub fn decode_base64(text: &str) -> Result<Vec<u8>, MacaroonError> {
    if text.len() > MAX_BYTES.div_ceil(3) * 4 {
        return Err(MacaroonError::TooLong);
    }
    let url_safe = text.bytes().any(|byte| matches!(byte, b'-' | b'_'));
    let engine = if url_safe { &URL_SAFE } else { &STANDARD };
    engine.decode(text).map_err(|_| MacaroonError::Text)
}

/// Reads the hexadecimal form of the `Macaroon` and `Grpc-Metadata-Macaroon` headers, in any case.
///
/// # Errors
/// [`MacaroonError::Text`] or [`MacaroonError::TooLong`].
pub fn decode_hex(text: &str) -> Result<Vec<u8>, MacaroonError> {
    if text.len() > MAX_BYTES * 2 {
        return Err(MacaroonError::TooLong);
    }
    hex::decode(text).map_err(|_| MacaroonError::Text)
}

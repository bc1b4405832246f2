//! A token's text: its three parts and its header (RFC 7515, RFC 7519).

pub(crate) mod claims;
pub(crate) mod json;
mod profile;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::{Algorithm, IdentityConfig, InvalidToken, Provider, TokenType};
use json::NotAnObject;

/// A compact JWS whose header is read and allowed, and whose signature is not verified yet.
#[derive(Debug)]
pub(crate) struct UnverifiedToken<'a> {
    /// The algorithm to verify with: one the provider's preset names.
    pub(crate) algorithm: Algorithm,
    /// The key's name.
    pub(crate) key_id: Option<String>,
    /// What the signature covers: header and claims as they came.
    pub(crate) signed: &'a str,
    /// The signature, base64url.
    pub(crate) signature: &'a str,
    claims: &'a str,
}

impl<'a> UnverifiedToken<'a> {
    /// Splits a token and judges its header by the provider's rules. Header members that name a key by
    /// value or by URL (`jwk`, `jku`, `x5c`, `x5u`) are not looked at: keys come from the issuer alone.
    pub(crate) fn parse(token: &'a str, provider: &Provider) -> Result<Self, InvalidToken> {
        if token.len() > IdentityConfig::MAX_TOKEN_BYTES {
            return Err(InvalidToken::TooLong);
        }
        let (header, claims, signature) = split(token)?;
        let signed = &token[..header.len() + 1 + claims.len()];
        let header = decode_object(header)?;
        if header.contains_key("crit") {
            return Err(InvalidToken::CriticalHeader);
        }
        let algorithm = header.get("alg").and_then(Value::as_str).ok_or(InvalidToken::Malformed)?;
        let algorithm = provider
            .algorithms
            .iter()
            .copied()
            .find(|allowed| allowed.name() == algorithm)
            .ok_or(InvalidToken::Algorithm)?;
        if !provider.types.contains(&token_type(&header)?) {
            return Err(InvalidToken::Type);
        }
        let key_id = match header.get("kid") {
            None => None,
            Some(Value::String(key_id)) => Some(key_id.clone()),
            Some(_) => return Err(InvalidToken::Malformed),
        };
        Ok(Self { algorithm, key_id, signed, signature, claims })
    }

    /// The claims. To be read only once the signature has been verified.
    pub(crate) fn claims(&self) -> Result<Map<String, Value>, InvalidToken> {
        decode_object(self.claims)
    }
}

/// The claims of a token that nobody vouches for: to find out whom to ask, and for nothing else.
pub(crate) fn claims_unverified(token: &str) -> Result<Map<String, Value>, InvalidToken> {
    let (_, claims, _) = split(token)?;
    decode_object(claims)
}

/// Header, claims and signature of a compact JWS.
pub(crate) fn split(token: &str) -> Result<(&str, &str, &str), InvalidToken> {
    let mut parts = token.split('.');
    match (parts.next(), parts.next(), parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(header), Some(claims), Some(signature), None, ..) => Ok((header, claims, signature)),
        // RFC 7516 §3.1: a JWE has five.
        (Some(header), .., Some(_), None) if decode_object(header).is_ok() => Err(InvalidToken::Encrypted),
        _ => Err(InvalidToken::Malformed),
    }
}

/// The JSON object in a part.
pub(crate) fn decode_object(part: &str) -> Result<Map<String, Value>, InvalidToken> {
    let text = URL_SAFE_NO_PAD.decode(part).map_err(|_| InvalidToken::Malformed)?;
    json::object(&text).map_err(|error| match error {
        NotAnObject::Duplicate => InvalidToken::DuplicateName,
        NotAnObject::Malformed => InvalidToken::Malformed,
    })
}

fn token_type(header: &Map<String, Value>) -> Result<TokenType, InvalidToken> {
    let typ = match header.get("typ") {
        None => return Ok(TokenType::Absent),
        Some(Value::String(typ)) => typ,
        Some(_) => return Err(InvalidToken::Malformed),
    };
    Ok(TokenType::from_typ(typ))
}

//! Receipts: what a call cost, signed by who charged it, so that the payer can show it to anybody.
//!
//! A receipt is a JWS (RFC 7515) in compact form over a JSON object, signed with Ed25519 (`EdDSA`, RFC 8037 §3.1), so that any
//! JOSE library verifies it. The public keys are a JWK set (RFC 7517); a key's id is its thumbprint (RFC 7638).

use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The `typ` of a receipt's header.
pub const TYPE: &str = "octroi-receipt+jwt";
/// The longest receipt that is read, in bytes.
pub const MAX_BYTES: usize = 16 * 1024;
/// The most keys that one set may hold.
pub const MAX_KEYS: usize = 64;
/// The longest key set that is read, in bytes.
pub const MAX_SET_BYTES: usize = 64 * 1024;

/// Who paid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Payer {
    /// The account of a credential: its token id, in hexadecimal.
    Token(String),
    /// A caller known by its identity, from the credit of its earlier payments: the digest of its principal, in hexadecimal.
    Principal(String),
}

/// What was charged for one call. The members are those of the signed JSON object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The address of the MCP endpoint that charged.
    pub iss: String,
    /// When, in Unix seconds.
    pub iat: u64,
    /// The call's id in the ledger, in hexadecimal. No two calls have the same.
    pub jti: String,
    /// The service's name, as it stands in credentials.
    pub service: String,
    /// The tool, resource or prompt.
    pub tool: String,
    /// What was charged, in millisatoshi.
    pub msat: i64,
    /// What is left on the account that paid, in millisatoshi.
    pub balance_msat: i64,
    /// Who paid.
    pub payer: Payer,
    /// SHA-256 of the arguments in canonical form, in hexadecimal, where they are not too long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments_sha256: Option<String>,
    /// SHA-256 of the `result` in canonical form without this receipt, in hexadecimal, where it is not too long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_sha256: Option<String>,
}

/// Why a receipt is not believed. The fault of whoever shows it, or of the keys it is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// It is no JWS in compact form, or longer than [`MAX_BYTES`].
    #[error("this is not a receipt")]
    Form,
    /// Its header asks for another algorithm or type, or names extensions that must be understood.
    #[error("the receipt is signed in a way that receipts are not")]
    Header,
    /// It names a key that is not among the keys.
    #[error("the receipt's key is not among the keys of this gate")]
    UnknownKey,
    /// Its signature is wrong.
    #[error("the receipt's signature is wrong")]
    Signature,
    /// What is signed is no receipt.
    #[error("what is signed is not a receipt")]
    Claims,
    /// The key set cannot be read, or holds no key for receipts.
    #[error("the key set holds no Ed25519 key")]
    Keys,
}

/// A key that signs receipts. Secret; wiped by its library when dropped.
pub struct ReceiptKey {
    pair: Ed25519KeyPair,
    id: String,
    /// The first part of every receipt, with its dot.
    header: String,
}

impl ReceiptKey {
    /// The key that follows from 32 secret bytes (RFC 8032 §5.1.5). `None` should the library refuse them.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Option<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
        let id = thumbprint(pair.public_key().as_ref());
        let header = json!({"alg": "EdDSA", "typ": TYPE, "kid": id}).to_string();
        let header = format!("{}.", URL_SAFE_NO_PAD.encode(header));
        Some(Self { pair, id, header })
    }

    /// The key's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Signs a receipt: the compact JWS.
    #[must_use]
    pub fn sign(&self, receipt: &Receipt) -> String {
        // A receipt is text and numbers: writing it cannot fail.
        let claims = serde_json::to_vec(receipt).unwrap_or_default();
        let mut text = String::with_capacity(self.header.len() + claims.len() * 4 / 3 + 92);
        text.push_str(&self.header);
        URL_SAFE_NO_PAD.encode_string(claims, &mut text);
        let signature = self.pair.sign(text.as_bytes());
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(signature.as_ref(), &mut text);
        text
    }

    /// The public key as a JWK.
    #[must_use]
    pub fn jwk(&self) -> Value {
        let x = URL_SAFE_NO_PAD.encode(self.pair.public_key().as_ref());
        json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": self.id, "x": x})
    }
}

impl fmt::Debug for ReceiptKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceiptKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Public keys that receipts are verified by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptKeys(Vec<(String, [u8; 32])>);

impl ReceiptKeys {
    /// Reads a JWK set. Keys of other kinds are left out; a key without `kid` goes by its thumbprint.
    ///
    /// # Errors
    /// [`ReceiptError::Keys`] where none is left, or there are too many.
    pub fn from_jwks(set: &[u8]) -> Result<Self, ReceiptError> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        if set.len() > MAX_SET_BYTES {
            return Err(ReceiptError::Keys);
        }
        let set: Set = serde_json::from_slice(set).map_err(|_| ReceiptError::Keys)?;
        if set.keys.len() > MAX_KEYS {
            return Err(ReceiptError::Keys);
        }
        let keys: Vec<_> = set.keys.iter().filter_map(public_key).collect();
        if keys.is_empty() { Err(ReceiptError::Keys) } else { Ok(Self(keys)) }
    }

    /// The receipt in a compact JWS, if one of these keys signed it.
    ///
    /// # Errors
    /// [`ReceiptError`].
    pub fn verify(&self, jws: &str) -> Result<Receipt, ReceiptError> {
        #[derive(Deserialize)]
        struct Header {
            alg: String,
            typ: String,
            kid: String,
            crit: Option<Value>,
        }
        let jws = jws.trim_ascii();
        if jws.len() > MAX_BYTES {
            return Err(ReceiptError::Form);
        }
        let (signed, signature) = jws.rsplit_once('.').ok_or(ReceiptError::Form)?;
        let (header, claims) = signed.split_once('.').ok_or(ReceiptError::Form)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| ReceiptError::Form);
        let (header, claims, signature) = (decode(header)?, decode(claims)?, decode(signature)?);
        let header: Header = serde_json::from_slice(&header).map_err(|_| ReceiptError::Header)?;
        if header.alg != "EdDSA" || header.typ != TYPE || header.crit.is_some() {
            return Err(ReceiptError::Header);
        }
        let (_, key) = self.0.iter().find(|(id, _)| *id == header.kid).ok_or(ReceiptError::UnknownKey)?;
        let key = UnparsedPublicKey::new(&ED25519, key);
        key.verify(signed.as_bytes(), &signature).map_err(|_| ReceiptError::Signature)?;
        serde_json::from_slice(&claims).map_err(|_| ReceiptError::Claims)
    }
}

/// The id and the bytes of a public key in a JWK (RFC 8037 §2).
fn public_key(jwk: &Value) -> Option<(String, [u8; 32])> {
    let text = |member: &str| jwk.get(member).and_then(Value::as_str);
    if text("kty") != Some("OKP") || text("crv") != Some("Ed25519") {
        return None;
    }
    let key: [u8; 32] = URL_SAFE_NO_PAD.decode(text("x")?).ok()?.try_into().ok()?;
    let id = text("kid").map_or_else(|| thumbprint(&key), str::to_owned);
    Some((id, key))
}

/// RFC 7638 §3: SHA-256 over the required members, in lexicographic order and without white space.
fn thumbprint(key: &[u8]) -> String {
    let x = URL_SAFE_NO_PAD.encode(key);
    URL_SAFE_NO_PAD.encode(Sha256::digest(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#)))
}

#[cfg(test)]
mod tests;

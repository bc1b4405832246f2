//! Access tokens of every usual algorithm: seen before, and in full, beside the signature alone. And a DPoP proof.

use std::hint::black_box;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED,
    ECDSA_P384_SHA384_FIXED_SIGNING, ED25519, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair,
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RSA_PSS_2048_8192_SHA256, RSA_PSS_SHA256,
    RsaEncoding, RsaKeyPair, VerificationAlgorithm,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use octroi_identity::{
    DpopConfig, DpopVerifier, IdentityConfig, KeySource, Method, Provider, ShownProof, Verifier,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::failure::{Failure, Measured};
use crate::issuer::AUDIENCE;
use crate::single::{Row, time};

const ISSUER: &str = "https://issuer.example.com";

/// How an algorithm's rows are called: a token seen before, a token in full, the signature alone.
struct Names(&'static str, &'static str, &'static str);

/// Makes signatures.
type Sign = Box<dyn Fn(&[u8]) -> Option<Vec<u8>>>;

/// A key, in the three forms that are needed.
struct Key {
    algorithm: &'static str,
    names: Names,
    /// The public half (RFC 7517).
    jwk: Value,
    bare: ParsedPublicKey,
    sign: Sign,
}

/// Measures every algorithm.
pub(crate) fn measure() -> Measured<Vec<Row>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::of("a runtime"))?;
    let mut rows = Vec::new();
    for key in keys()? {
        rows.extend(token(&runtime, &key)?);
    }
    rows.push(proof()?);
    Ok(rows)
}

fn token(runtime: &tokio::runtime::Runtime, key: &Key) -> Measured<[Row; 2]> {
    let now = now();
    let claims = json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "user-4711", "client_id": "octroi-bench", "iat": now, "exp": now + 3600,
        "jti": "0123456789abcdef", "scope": "tools:read tools:call", "roles": ["member"], "org_id": "org-1",
    });
    let header = json!({"typ": "at+jwt", "alg": key.algorithm, "kid": "bench"});
    let (signed, signature) = signed(key, &header, &claims)?;
    let text = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(&signature));

    let mut provider = Provider::oidc(ISSUER);
    provider.method = Method::Jwt(KeySource::Fixed(json!({"keys": [key.jwk]}).to_string()));
    let mut config = IdentityConfig::new(provider, vec![AUDIENCE.to_owned()]);
    config.token_cache_seconds = IdentityConfig::MAX_TOKEN_CACHE_SECONDS;
    let verifier =
        runtime.block_on(Verifier::connect(config)).map_err(Failure::of("the verifier's configuration"))?;
    let verify = || runtime.block_on(verifier.verify(black_box(&text), now));
    verify().map_err(Failure::of("a good token"))?;
    let cached = || verifier.cached(black_box(&text), now);
    cached().ok_or_else(|| Failure::new("a token just verified is not remembered"))?;

    let alone = || key.bare.verify_sig(black_box(signed.as_bytes()), black_box(&signature));
    alone().map_err(|_| Failure::new("a good signature is refused"))?;
    let Names(seen, full, signature) = key.names;
    let beside = Some((signature, time(alone)));
    Ok([Row { name: seen, ns: time(cached), beside }, Row { name: full, ns: time(verify), beside }])
}

/// A proof checked by itself, which nobody can remember: each is shown once.
fn proof() -> Measured<Row> {
    let key =
        elliptic("ES256", Names("", "", ""), &ECDSA_P256_SHA256_FIXED_SIGNING, &ECDSA_P256_SHA256_FIXED)?;
    let (token, now) = ("an-access-token", now());
    let claims = json!({
        "jti": "0123456789abcdef", "htm": "POST", "htu": AUDIENCE, "iat": now,
        "ath": URL_SAFE_NO_PAD.encode(Sha256::digest(token)),
    });
    let mut jwk = key.jwk.clone();
    if let Value::Object(members) = &mut jwk {
        members.retain(|name, _| !matches!(name.as_str(), "kid" | "use" | "alg"));
    }
    let header = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk});
    let (signed, signature) = signed(&key, &header, &claims)?;
    let text = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(&signature));
    let verifier = DpopVerifier::new(DpopConfig::default()).map_err(Failure::of("a verifier of proofs"))?;
    let url = AUDIENCE.parse().map_err(Failure::of("a URL"))?;
    let proofs = [text.as_str()];
    let shown = ShownProof { proofs: &proofs, method: "POST", url: &url };
    let check = || verifier.check(black_box(&shown), token, now).is_ok();
    if !check() {
        return Err(Failure::new("a good proof is refused"));
    }
    let alone = time(|| key.bare.verify_sig(black_box(signed.as_bytes()), black_box(&signature)));
    Ok(Row {
        name: "DPoP proof (ES256)",
        ns: time(check),
        beside: Some(("its ES256 signature alone", alone)),
    })
}

fn keys() -> Measured<Vec<Key>> {
    Ok(vec![
        elliptic(
            "ES256",
            Names("ES256 token seen before", "ES256 token in full", "its ES256 signature alone"),
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            &ECDSA_P256_SHA256_FIXED,
        )?,
        elliptic(
            "ES384",
            Names("ES384 token seen before", "ES384 token in full", "its ES384 signature alone"),
            &ECDSA_P384_SHA384_FIXED_SIGNING,
            &ECDSA_P384_SHA384_FIXED,
        )?,
        edwards()?,
        rsa(
            "RS256",
            Names("RS256 token seen before", "RS256 token in full", "its RS256 signature alone"),
            &RSA_PKCS1_SHA256,
            &RSA_PKCS1_2048_8192_SHA256,
        )?,
        rsa(
            "PS256",
            Names("PS256 token seen before", "PS256 token in full", "its PS256 signature alone"),
            &RSA_PSS_SHA256,
            &RSA_PSS_2048_8192_SHA256,
        )?,
    ])
}

fn elliptic(
    algorithm: &'static str,
    names: Names,
    signing: &'static EcdsaSigningAlgorithm,
    bare: &'static dyn VerificationAlgorithm,
) -> Measured<Key> {
    let pair = EcdsaKeyPair::generate(signing).map_err(|_| Failure::new("no key could be made"))?;
    let public = pair.public_key().as_ref().to_vec();
    let (x, y) = public[1..].split_at(public.len() / 2);
    let curve = if algorithm == "ES256" { "P-256" } else { "P-384" };
    let jwk = json!({"kty": "EC", "crv": curve, "kid": "bench", "x": base64(x), "y": base64(y)});
    let random = SystemRandom::new();
    let sign =
        move |message: &[u8]| pair.sign(&random, message).ok().map(|signature| signature.as_ref().to_vec());
    key(algorithm, names, jwk, bare, &public, sign)
}

fn edwards() -> Measured<Key> {
    let names = Names("EdDSA token seen before", "EdDSA token in full", "its Ed25519 signature alone");
    let pair = Ed25519KeyPair::generate().map_err(|_| Failure::new("no key could be made"))?;
    let public = pair.public_key().as_ref().to_vec();
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "kid": "bench", "x": base64(&public)});
    let sign = move |message: &[u8]| Some(pair.sign(message).as_ref().to_vec());
    key("EdDSA", names, jwk, &ED25519, &public, sign)
}

fn rsa(
    algorithm: &'static str,
    names: Names,
    encoding: &'static dyn RsaEncoding,
    bare: &'static dyn VerificationAlgorithm,
) -> Measured<Key> {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| Failure::new("no key could be made"))?;
    let public = pair.public_key();
    let (n, e) = (public.modulus(), public.exponent());
    let jwk = json!({
        "kty": "RSA", "kid": "bench", "n": base64(n.big_endian_without_leading_zero()),
        "e": base64(e.big_endian_without_leading_zero()),
    });
    let public = public.as_ref().to_vec();
    let random = SystemRandom::new();
    let sign = move |message: &[u8]| {
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(encoding, &random, message, &mut signature).ok().map(|()| signature)
    };
    key(algorithm, names, jwk, bare, &public, sign)
}

fn key(
    algorithm: &'static str,
    names: Names,
    jwk: Value,
    bare: &'static dyn VerificationAlgorithm,
    public: &[u8],
    sign: impl Fn(&[u8]) -> Option<Vec<u8>> + 'static,
) -> Measured<Key> {
    let bare = ParsedPublicKey::new(bare, public).map_err(|_| Failure::new("a public key cannot be read"))?;
    Ok(Key { algorithm, names, jwk, bare, sign: Box::new(sign) })
}

fn signed(key: &Key, header: &Value, claims: &Value) -> Measured<(String, Vec<u8>)> {
    let signed =
        format!("{}.{}", base64(header.to_string().as_bytes()), base64(claims.to_string().as_bytes()));
    let signature =
        (key.sign)(signed.as_bytes()).ok_or_else(|| Failure::new("a token could not be signed"))?;
    Ok((signed, signature))
}

fn base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs())
}

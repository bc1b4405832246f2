//! The gate as a client of an issuer: `client_id`, and what proves it.

use octroi_identity::{ClientAuth, Secret, SigningKey};

use super::super::super::reader::{Field, Section};

/// How the gate proves who it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Method {
    Basic,
    Post,
    PrivateKeyJwt,
}

/// What is written of the gate's own, whole or not.
pub(super) struct Client<'t> {
    id: Field<'t>,
    secret: Field<'t>,
    key: Field<'t>,
    /// `None` when a part is missing or wrong.
    pub(super) auth: Option<ClientAuth>,
}

/// Reads `client_id` with `client_secret` or `client_key`; `issuer` is whom a key's statements are for unless it is written.
pub(super) fn read<'t>(section: &Section<'t>, issuer: Option<&str>) -> Client<'t> {
    let (id, secret, key) =
        (section.field("client_id"), section.field("client_secret"), section.field("client_key"));
    let method = section.field("client_auth");
    let methods =
        [("basic", Method::Basic), ("post", Method::Post), ("private_key_jwt", Method::PrivateKeyJwt)];
    let by_what_is_there = if key.is_given() { Method::PrivateKeyJwt } else { Method::Basic };
    let chosen = method.choice(&methods).unwrap_or(by_what_is_there);
    let client_id = id.filled("octroi-gate").map(str::to_owned);
    let client_secret = secret.secret().map(|secret| Secret::new(secret.reveal()));
    let auth = match chosen {
        Method::PrivateKeyJwt => {
            if secret.is_given() {
                secret.spot.wrong("a key stands in its place", "remove client_secret");
            }
            if method.is_given() && !key.is_given() {
                method.spot.wrong("no `client_key` to sign with", "add client_key = \"file:client-key.pem\"");
            }
            let audience = section.field("client_key_audience");
            let audience = audience.filled("https://login.example.com/token").or(issuer).map(str::to_owned);
            let signer = signer(section, &key);
            client_id
                .zip(signer)
                .zip(audience)
                .map(|((client_id, key), audience)| ClientAuth::PrivateKeyJwt { client_id, key, audience })
        }
        Method::Basic | Method::Post => {
            let fields = ["client_key", "client_key_id", "client_key_audience"];
            section.only_with(&fields, "client_auth = \"private_key_jwt\"");
            client_id.zip(client_secret).map(|(client_id, client_secret)| match chosen {
                Method::Post => ClientAuth::Post { client_id, client_secret },
                _ => ClientAuth::Basic { client_id, client_secret },
            })
        }
    };
    Client { id, secret, key, auth }
}

/// The key, under the name that the issuer gave it.
fn signer(section: &Section<'_>, key: &Field<'_>) -> Option<SigningKey> {
    let id = section.field("client_key_id");
    let id = id.filled("key-1");
    match SigningKey::from_pem(key.secret()?.reveal()) {
        Ok(signer) => Some(match id {
            Some(id) => signer.with_id(id),
            None => signer,
        }),
        Err(error) => {
            key.spot.wrong(error.to_string(), "name a file with a P-256, Ed25519 or RSA key in PKCS #8");
            None
        }
    }
}

impl Client<'_> {
    /// Complains about what is not written, where nothing works without.
    pub(super) fn demand(&self, section: &Section<'_>, problem: &str) {
        if !self.id.is_given() {
            section.spot.wrong(problem, "add client_id = \"octroi-gate\"");
        }
        if !self.secret.is_given() && !self.key.is_given() {
            section.spot.wrong(problem, "add client_secret = \"env:OBO_SECRET\", or client_key");
        }
    }
}

//! Tokens for tokens: RFC 8693, and Entra's on-behalf-of form of RFC 7523.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Map, Value, json};

use super::endpoints::Form;
use super::{State, TokenSpec};

/// `grant_type` of RFC 8693 §2.1.
pub(super) const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// `grant_type` of RFC 7523 §2.1.
pub(super) const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
/// How long an exchanged token is good, in seconds.
const TTL_SECONDS: u64 = 300;
/// How many parties may act for a subject, the one that asks included; as Auth0 does.
const MAX_ACT_DEPTH: usize = 5;

impl State {
    /// A token for the same subject and another audience, in which the client acts for it.
    pub(super) fn exchanged(&self, client: &str, form: &Form) -> Result<Value, &'static str> {
        let obo = form.one("grant_type")? == Some(JWT_BEARER);
        let subject_token = if obo {
            if form.one("requested_token_use")? != Some("on_behalf_of") {
                return Err("invalid_request");
            }
            form.one("assertion")?
        } else {
            if form.one("subject_token_type")? != Some(ACCESS_TOKEN) {
                return Err("invalid_request");
            }
            form.one("subject_token")?
        };
        let refused = if obo { "invalid_grant" } else { "invalid_request" };
        let claims = subject_token.and_then(|token| self.own_claims(token)).ok_or(refused)?;
        let scope = form.one("scope")?;
        let audience = match form.one("audience")?.or(form.one("resource")?) {
            Some(audience) => audience.to_owned(),
            // Entra: the target is the resource that the scope names.
            None if obo => {
                scope.and_then(|scope| scope.rsplit_once('/')).ok_or("invalid_scope")?.0.to_owned()
            }
            None => return Err("invalid_target"),
        };
        let act = acting(client, claims.get("act")).ok_or("invalid_request")?;
        let subject = claims.get("sub").and_then(Value::as_str).ok_or(refused)?;
        let mut spec = TokenSpec::new(subject, &audience).ttl_seconds(TTL_SECONDS).claim("act", act);
        client.clone_into(&mut spec.client_id);
        spec.scopes = scope.unwrap_or_default().split_ascii_whitespace().map(str::to_owned).collect();
        Ok(json!({
            "access_token": self.token(spec),
            "issued_token_type": ACCESS_TOKEN,
            "token_type": "Bearer",
            "expires_in": TTL_SECONDS,
            "scope": scope.unwrap_or_default(),
        }))
    }

    /// The client whose signed statement this is (RFC 7523 §3): for this issuer, and still good.
    pub(super) fn asserted(&self, assertion: &str) -> Option<String> {
        let subject = unverified_claims(assertion)?.get("sub")?.as_str()?.to_owned();
        let key = self.clients.lock().get(&subject)?.key.clone()?;
        let claims = verified(assertion, &json!([key]), Some(&[&self.url, &self.endpoint("token")]))?;
        (claims.get("iss")?.as_str()? == subject && claims.contains_key("jti")).then_some(subject)
    }

    /// The claims of a token that this issuer has signed and that has not expired.
    fn own_claims(&self, token: &str) -> Option<Map<String, Value>> {
        let published = self.keys.lock().published();
        verified(token, published.get("keys")?, None)
    }
}

/// The chain of those who act: the client first. `None` when it grows too long.
fn acting(client: &str, before: Option<&Value>) -> Option<Value> {
    let mut act = json!({ "sub": client });
    let mut depth = 1;
    let mut next = before;
    while let Some(act) = next {
        depth += 1;
        next = act.get("act");
    }
    if let Some(before) = before {
        act["act"] = before.clone();
    }
    (depth <= MAX_ACT_DEPTH).then_some(act)
}

fn unverified_claims(token: &str) -> Option<Map<String, Value>> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?).ok()
}

fn verified(token: &str, keys: &Value, audiences: Option<&[&str]>) -> Option<Map<String, Value>> {
    let header = jsonwebtoken::decode_header(token).ok()?;
    let mut validation = Validation::new(Algorithm::ES256);
    validation.algorithms = vec![header.alg];
    match audiences {
        Some(audiences) => validation.set_audience(audiences),
        None => validation.validate_aud = false,
    }
    let keys = keys.as_array()?.iter().filter_map(|key| {
        let jwk = serde_json::from_value(key.clone()).ok()?;
        DecodingKey::from_jwk(&jwk).ok()
    });
    keys.into_iter().find_map(|key| {
        jsonwebtoken::decode::<Map<String, Value>>(token, &key, &validation).ok().map(|token| token.claims)
    })
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::super::Issuer;
    use super::*;

    fn ask(issuer: &Issuer, fields: &[(&str, &str)]) -> (StatusCode, Value) {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.extend_pairs([("client_id", "gate"), ("client_secret", "s")]).extend_pairs(fields);
        issuer.state.grant(None, form.finish().as_bytes())
    }

    #[tokio::test]
    async fn the_client_acts_for_the_subject() {
        let issuer = Issuer::start().await.unwrap();
        issuer.register_client("gate", "s", &[]);
        let mut token = issuer.token(TokenSpec::new("alice", "https://gate.example/mcp"));
        for depth in 1..=MAX_ACT_DEPTH + 1 {
            let (status, answer) = ask(
                &issuer,
                &[
                    ("grant_type", TOKEN_EXCHANGE),
                    ("subject_token", &token),
                    ("subject_token_type", ACCESS_TOKEN),
                    ("audience", "https://upstream.example"),
                ],
            );
            if depth > MAX_ACT_DEPTH {
                assert_eq!((status, &answer["error"]), (StatusCode::BAD_REQUEST, &json!("invalid_request")));
                break;
            }
            token = answer["access_token"].as_str().unwrap().to_owned();
            let claims = unverified_claims(&token).unwrap();
            assert_eq!((&claims["sub"], &claims["act"]["sub"]), (&json!("alice"), &json!("gate")));
            assert_eq!(claims["act"].get("act").is_some(), depth > 1);
        }
    }

    #[tokio::test]
    async fn entra_s_form_names_the_target_by_its_scope() {
        let issuer = Issuer::start().await.unwrap();
        issuer.register_client("gate", "s", &[]);
        let token = issuer.token(TokenSpec::new("alice", "a"));
        let fields = |assertion: &str| {
            ask(
                &issuer,
                &[
                    ("grant_type", JWT_BEARER),
                    ("requested_token_use", "on_behalf_of"),
                    ("assertion", assertion),
                    ("scope", "api://upstream/.default"),
                ],
            )
        };
        let claims = unverified_claims(fields(&token).1["access_token"].as_str().unwrap()).unwrap();
        assert_eq!(claims["aud"], "api://upstream");
        assert_eq!(fields("x.y.z").1["error"], "invalid_grant");
    }
}

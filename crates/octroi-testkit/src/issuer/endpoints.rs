//! What the endpoints answer.

use aws_lc_rs::constant_time;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::exchange::{JWT_BEARER, TOKEN_EXCHANGE};
use super::faults::Endpoint;
use super::{State, TokenSpec};

/// How long a token from the token endpoint is good, in seconds.
const TTL_SECONDS: u64 = 3600;

impl State {
    /// The endpoint at a path.
    pub(super) fn endpoint_at(&self, path: &str) -> Option<Endpoint> {
        const OAUTH: &str = "/.well-known/oauth-authorization-server";
        const OPENID: &str = "/.well-known/openid-configuration";
        let own = self.path.trim_end_matches('/');
        let below = path.strip_prefix(own);
        match (path.strip_prefix(OAUTH), path.strip_prefix(OPENID), below) {
            (Some(rest), ..) if rest == own => Some(Endpoint::AuthorizationServerMetadata),
            (_, Some(rest), _) if rest == own => Some(Endpoint::OpenidConfiguration),
            (.., Some(OPENID)) => Some(Endpoint::OpenidConfigurationBelow),
            (.., Some("/jwks")) => Some(Endpoint::Jwks),
            (.., Some("/token")) => Some(Endpoint::Token),
            (.., Some("/introspect")) => Some(Endpoint::Introspection),
            (.., Some("/tokeninfo")) => Some(Endpoint::TokenInfo),
            (.., Some("/userinfo")) => Some(Endpoint::UserInfo),
            (.., Some(place)) if place.starts_with("/applications/") && place.ends_with("/token") => {
                Some(Endpoint::GitHubToken)
            }
            _ => None,
        }
    }

    /// Authorization server metadata (RFC 8414 §2). It names no authorization endpoint, having none.
    pub(super) fn metadata(&self) -> Value {
        json!({
            "issuer": self.url,
            "jwks_uri": self.endpoint("jwks"),
            "token_endpoint": self.endpoint("token"),
            "introspection_endpoint": self.endpoint("introspect"),
            "userinfo_endpoint": self.endpoint("userinfo"),
            "grant_types_supported": ["client_credentials", TOKEN_EXCHANGE, JWT_BEARER],
            "response_types_supported": [],
            "token_endpoint_auth_methods_supported": [
                "client_secret_basic", "client_secret_post", "private_key_jwt",
            ],
            "code_challenge_methods_supported": ["S256"],
        })
    }

    /// A token request: client credentials (RFC 6749 §4.4) for one resource (RFC 8707 §2), or an exchange.
    pub(super) fn grant(&self, authorization: Option<&HeaderValue>, form: &[u8]) -> (StatusCode, Value) {
        match self.granted(authorization, form) {
            Ok(answer) => (StatusCode::OK, answer),
            Err("invalid_client") => (StatusCode::UNAUTHORIZED, json!({ "error": "invalid_client" })),
            Err(error) => (StatusCode::BAD_REQUEST, json!({ "error": error })),
        }
    }

    /// The answer, or the error code of RFC 6749 §5.2, RFC 8693 §2.2.2 or RFC 8707 §2.
    fn granted(&self, authorization: Option<&HeaderValue>, form: &[u8]) -> Result<Value, &'static str> {
        let form = Form::read(form);
        match form.one("grant_type")?.ok_or("invalid_request")? {
            "client_credentials" => {
                let id = self.authenticated(authorization, &form)?;
                self.client_credentials(&id, &form)
            }
            TOKEN_EXCHANGE | JWT_BEARER => {
                let id = self.authenticated(authorization, &form)?;
                self.exchanged(&id, &form)
            }
            _ => Err("unsupported_grant_type"),
        }
    }

    fn client_credentials(&self, id: &str, form: &Form) -> Result<Value, &'static str> {
        let scopes = self.granted_scopes(id, form.one("scope")?)?;
        let audience = form.one("resource")?.or(form.one("audience")?).ok_or("invalid_target")?;
        let mut spec = TokenSpec::new(id, audience).ttl_seconds(TTL_SECONDS);
        id.clone_into(&mut spec.client_id);
        spec.scopes.clone_from(&scopes);
        Ok(json!({
            "access_token": self.token(spec),
            "token_type": "Bearer",
            "expires_in": TTL_SECONDS,
            "scope": scopes.join(" "),
        }))
    }

    /// The client that proves who it is: by its secret, in the header or in the form, or by its key (RFC 7523 §2.2).
    pub(super) fn authenticated(
        &self,
        authorization: Option<&HeaderValue>,
        form: &Form,
    ) -> Result<String, &'static str> {
        if let Some(assertion) = form.one("client_assertion")? {
            return self.asserted(assertion).ok_or("invalid_client");
        }
        let posted = form.one("client_id")?.zip(form.one("client_secret")?);
        let posted = posted.map(|(id, secret)| (id.to_owned(), secret.to_owned()));
        let shown = authorization.and_then(basic_credentials).or(posted).ok_or("invalid_client")?;
        let clients = self.clients.lock();
        let client = clients.get(&shown.0).filter(|client| client.key.is_none()).ok_or("invalid_client")?;
        constant_time::verify_slices_are_equal(client.secret.as_bytes(), shown.1.as_bytes())
            .map_err(|_| "invalid_client")?;
        Ok(shown.0)
    }

    /// The scopes asked for, or all that the client may have.
    pub(super) fn granted_scopes(&self, id: &str, asked: Option<&str>) -> Result<Vec<String>, &'static str> {
        let clients = self.clients.lock();
        let client = clients.get(id).ok_or("invalid_client")?;
        let Some(asked) = asked else { return Ok(client.scopes.clone()) };
        let asked: Vec<String> = asked.split_ascii_whitespace().map(str::to_owned).collect();
        if asked.iter().all(|scope| client.scopes.contains(scope)) { Ok(asked) } else { Err("invalid_scope") }
    }
}

/// The fields of a form that are not empty.
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    pub(super) fn read(form: &[u8]) -> Self {
        let fields = url::form_urlencoded::parse(form).into_owned();
        Self(fields.filter(|(_, value)| !value.is_empty()).collect())
    }

    /// A field that must not be repeated (RFC 6749 §3.2); several resources are not offered here.
    pub(super) fn one(&self, name: &str) -> Result<Option<&str>, &'static str> {
        let mut values = self.0.iter().filter(|(field, _)| field == name).map(|(_, value)| value.as_str());
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            (_, Some(_)) => Err("invalid_request"),
        }
    }
}

/// `client_secret_basic` (RFC 6749 §2.3.1): each half is form-encoded.
pub(super) fn basic_credentials(authorization: &HeaderValue) -> Option<(String, String)> {
    let (scheme, encoded) = authorization.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    let plain = |half: &str| {
        url::form_urlencoded::parse(half.as_bytes())
            .next()
            .map_or_else(String::new, |(name, _)| name.into_owned())
    };
    Some((plain(id), plain(secret)))
}

#[cfg(test)]
mod tests {
    use super::super::Issuer;
    use super::*;

    const RESOURCE: &str = "resource=https%3A%2F%2Fgate.example%2Fmcp";

    async fn issuer() -> Issuer {
        let issuer = Issuer::start_at("/realms/one").await.unwrap();
        issuer.register_client("agent", "s3cret:%&", &["read", "write"]);
        issuer
    }

    fn claims(token: &Value) -> Value {
        let part = token.as_str().unwrap().split('.').nth(1).unwrap();
        let text = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    #[tokio::test]
    async fn a_registered_client_gets_a_token_for_one_resource() {
        let issuer = issuer().await;
        let posted = "client_id=agent&client_secret=s3cret%3A%25%26";
        let basic =
            HeaderValue::from_str(&format!("Basic {}", STANDARD.encode("agent:s3cret%3A%25%26"))).unwrap();
        let form = |rest: &str| format!("grant_type=client_credentials&{RESOURCE}{rest}");
        for (authorization, form, scope) in [
            (None, form(&format!("&{posted}")), "read write"),
            (None, form(&format!("&{posted}&scope=write")), "write"),
            (Some(&basic), form(""), "read write"),
            (Some(&basic), form("&scope=read"), "read"),
        ] {
            let (status, answer) = issuer.state.grant(authorization, form.as_bytes());
            assert_eq!(status, StatusCode::OK, "{form}");
            assert_eq!((&answer["scope"], &answer["token_type"]), (&json!(scope), &json!("Bearer")));
            let claims = claims(&answer["access_token"]);
            assert_eq!(
                (&claims["aud"], &claims["sub"]),
                (&json!("https://gate.example/mcp"), &json!("agent"))
            );
            assert_eq!((&claims["iss"], &claims["scope"]), (&json!(issuer.url()), &json!(scope)));
        }
    }

    #[tokio::test]
    async fn other_requests_are_refused_with_the_code_of_the_rfc() {
        let issuer = issuer().await;
        let client = "client_id=agent&client_secret=s3cret%3A%25%26";
        let grant = "grant_type=client_credentials";
        for (form, error) in [
            (String::new(), "invalid_request"),
            ("grant_type=password".to_owned(), "unsupported_grant_type"),
            (format!("{grant}&{RESOURCE}"), "invalid_client"),
            (format!("{grant}&{RESOURCE}&client_id=agent&client_secret=wrong"), "invalid_client"),
            (format!("{grant}&{RESOURCE}&client_id=nobody&client_secret=x"), "invalid_client"),
            (format!("{grant}&{client}"), "invalid_target"),
            (format!("{grant}&{client}&{RESOURCE}&scope=read+admin"), "invalid_scope"),
            (format!("{grant}&{client}&{RESOURCE}&{RESOURCE}"), "invalid_request"),
        ] {
            let (status, answer) = issuer.state.grant(None, form.as_bytes());
            assert_eq!(answer["error"], error, "{form}");
            assert_eq!(status == StatusCode::UNAUTHORIZED, error == "invalid_client");
        }
    }

    #[tokio::test]
    async fn endpoints_lie_where_the_standards_put_them() {
        let issuer = issuer().await;
        for (path, endpoint) in [
            (
                "/.well-known/oauth-authorization-server/realms/one",
                Some(Endpoint::AuthorizationServerMetadata),
            ),
            ("/.well-known/openid-configuration/realms/one", Some(Endpoint::OpenidConfiguration)),
            ("/realms/one/.well-known/openid-configuration", Some(Endpoint::OpenidConfigurationBelow)),
            ("/realms/one/jwks", Some(Endpoint::Jwks)),
            ("/realms/one/token", Some(Endpoint::Token)),
            ("/.well-known/oauth-authorization-server", None),
            ("/.well-known/openid-configuration/realms/two", None),
            ("/jwks", None),
        ] {
            assert_eq!(issuer.state.endpoint_at(path), endpoint, "{path}");
        }
    }
}

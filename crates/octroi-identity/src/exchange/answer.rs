//! What a token endpoint answers.

use serde_json::{Map, Value};

use super::{ExchangeError, UpstreamToken};
use crate::http::Answer;
use crate::token::json;
use crate::{IdentityConfig, Secret};

/// The longest part of an issuer's words that is written to the log, in characters.
const MAX_WORDS: usize = 200;

/// The token, or why there is none.
pub(super) fn read(
    answer: &Answer,
    subject_token: &str,
    now: u64,
    early_seconds: u64,
) -> Result<UpstreamToken, ExchangeError> {
    let body = json::object(&answer.body).map_err(|_| ExchangeError::Unavailable)?;
    if answer.status.is_success() {
        return granted(&body, subject_token, now, early_seconds).ok_or(ExchangeError::Unavailable);
    }
    if answer.status.is_client_error() && answer.status.as_u16() != 429 {
        return Err(refused(&body));
    }
    Err(ExchangeError::Unavailable)
}

fn granted(
    body: &Map<String, Value>,
    subject_token: &str,
    now: u64,
    early_seconds: u64,
) -> Option<UpstreamToken> {
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    let token = text("access_token").filter(|token| {
        // It goes into a header; and the caller's own token never goes behind the gate, whoever hands it back.
        (1..=IdentityConfig::MAX_TOKEN_BYTES).contains(&token.len())
            && token.bytes().all(|byte| byte.is_ascii_graphic())
            && *token != subject_token
    })?;
    // The gate has no key of its own that a DPoP token could be bound to.
    if !text("token_type").is_some_and(|kind| kind.eq_ignore_ascii_case("bearer")) {
        return None;
    }
    let kind = text("issued_token_type").unwrap_or("urn:ietf:params:oauth:token-type:access_token");
    if !matches!(kind.rsplit(':').next(), Some("access_token" | "jwt")) {
        return None;
    }
    // Some write the number as text. A token that does not say how long it lives is used once.
    let lifetime = match body.get("expires_in") {
        Some(Value::String(text)) => text.parse().unwrap_or(0),
        Some(number) => number.as_u64().unwrap_or(0),
        None => 0,
    };
    let until = now.saturating_add(lifetime.saturating_sub(early_seconds));
    Some(UpstreamToken { token: Secret::new(token), until })
}

/// RFC 6749 §5.2, RFC 8693 §2.2.2, and what Entra and OpenID Connect add.
fn refused(body: &Map<String, Value>) -> ExchangeError {
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
    match text("error") {
        "invalid_grant"
            if matches!(text("suberror"), "consent_required" | "basic_action" | "additional_action") =>
        {
            ExchangeError::InteractionRequired
        }
        // RFC 8693 §2.2.2: `invalid_request` says that the subject token is not acceptable.
        "invalid_grant" | "invalid_request" | "invalid_token" => ExchangeError::SubjectRefused,
        "interaction_required" | "consent_required" | "login_required" => ExchangeError::InteractionRequired,
        "invalid_scope" | "invalid_target" | "access_denied" => ExchangeError::Denied,
        "invalid_client" | "unauthorized_client" | "unsupported_grant_type" => ExchangeError::GateRefused,
        _ => ExchangeError::Unavailable,
    }
}

/// The issuer's error code and description, in one short line of visible ASCII.
pub(super) fn words(answer: &Answer) -> String {
    let Ok(body) = json::object(&answer.body) else { return String::new() };
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
    let both = format!("{}: {}", text("error"), text("error_description"));
    both.chars().map(|c| if matches!(c, ' '..='~') { c } else { ' ' }).take(MAX_WORDS).collect()
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;
    use serde_json::json;

    use super::*;

    fn answered(status: u16, body: &Value) -> Result<(String, u64), ExchangeError> {
        let answer =
            Answer { status: StatusCode::from_u16(status).unwrap(), body: body.to_string().into_bytes() };
        read(&answer, "own", 1000, 30).map(|token| (token.token.reveal().to_owned(), token.until))
    }

    #[test]
    fn a_good_answer_is_a_token() {
        let good = json!({"access_token": "t", "token_type": "bearer", "expires_in": 300});
        assert_eq!(answered(200, &good), Ok(("t".to_owned(), 1270)));
        for (name, value, until) in [
            ("expires_in", json!("300"), 1270),
            ("expires_in", json!(10), 1000),
            ("expires_in", Value::Null, 1000),
            ("issued_token_type", json!("urn:ietf:params:oauth:token-type:jwt"), 1270),
        ] {
            let mut answer = good.clone();
            answer[name] = value;
            assert_eq!(answered(200, &answer).map(|(_, until)| until), Ok(until), "{answer}");
        }
    }

    #[test]
    fn what_is_no_token_for_the_upstream_is_refused() {
        let good = json!({"access_token": "t", "token_type": "Bearer", "expires_in": 300});
        for (name, value) in [
            ("access_token", json!("own")),
            ("access_token", json!("")),
            ("access_token", json!("a b")),
            ("access_token", json!("a\r\nb")),
            ("access_token", json!(1)),
            ("access_token", json!("x".repeat(IdentityConfig::MAX_TOKEN_BYTES + 1))),
            ("token_type", json!("DPoP")),
            ("token_type", json!("N_A")),
            ("token_type", Value::Null),
            ("issued_token_type", json!("urn:ietf:params:oauth:token-type:id_token")),
            ("issued_token_type", json!("urn:ietf:params:oauth:token-type:refresh_token")),
        ] {
            let mut answer = good.clone();
            answer[name] = value;
            assert_eq!(answered(200, &answer), Err(ExchangeError::Unavailable), "{answer}");
        }
    }

    #[test]
    fn errors_say_whose_fault_it_is() {
        for (status, error, expected) in [
            (400, "invalid_grant", 401),
            (400, "invalid_request", 401),
            (400, "interaction_required", 401),
            (400, "invalid_scope", 403),
            (400, "invalid_target", 403),
            (403, "access_denied", 403),
            (401, "invalid_client", 502),
            (400, "unauthorized_client", 502),
            (400, "unsupported_grant_type", 502),
            (400, "whatever", 502),
            (429, "invalid_grant", 502),
            (500, "invalid_grant", 502),
            (302, "invalid_grant", 502),
        ] {
            let refused = answered(status, &json!({"error": error})).unwrap_err();
            assert_eq!(refused.status(), expected, "{error}");
        }
        let consent = json!({"error": "invalid_grant", "suberror": "consent_required"});
        assert_eq!(answered(400, &consent), Err(ExchangeError::InteractionRequired));
        let nonsense = Answer { status: StatusCode::BAD_REQUEST, body: b"<html>".to_vec() };
        assert!(matches!(read(&nonsense, "own", 0, 0), Err(ExchangeError::Unavailable)));
    }
}

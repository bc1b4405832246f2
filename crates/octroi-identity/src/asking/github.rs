//! GitHub's access tokens: whether they were given to our app.

use reqwest::StatusCode;
use reqwest::header::AUTHORIZATION;
use serde_json::{Map, Value, json};
use url::Url;

use super::{NoAnswer, object};
use crate::client_auth;
use crate::http::Fetcher;
use crate::{GitHubApp, InvalidToken, Secret, SetupError};

pub(crate) struct Questions {
    issuer: String,
    place: Url,
    client_id: String,
    client_secret: Secret,
    cache_seconds: u64,
}

impl Questions {
    pub(super) fn new(issuer: &str, app: &GitHubApp) -> Result<Self, SetupError> {
        let not_a_url = || SetupError::NotAUrl { url: app.api.clone() };
        if app.client_id.is_empty() || app.client_secret.is_empty() {
            return Err(SetupError::NoGateCredential);
        }
        let mut place = super::url(&app.api)?;
        place.path_segments_mut().map_err(|()| not_a_url())?.pop_if_empty().extend([
            "applications",
            &app.client_id,
            "token",
        ]);
        Ok(Self {
            issuer: issuer.to_owned(),
            place,
            client_id: app.client_id.clone(),
            client_secret: app.client_secret.clone(),
            cache_seconds: app.cache_seconds,
        })
    }

    pub(super) async fn ask(
        &self,
        fetcher: &Fetcher,
        token: &str,
        now: u64,
    ) -> Result<Map<String, Value>, NoAnswer> {
        let gate = client_auth::basic(&self.client_id, &self.client_secret).map_err(NoAnswer::silent)?;
        let request = fetcher
            .request(reqwest::Method::POST, &self.place)?
            .header(AUTHORIZATION, gate)
            .header("x-github-api-version", "2022-11-28")
            .json(&json!({ "access_token": token }));
        let answer = fetcher.answer(request).await?;
        match answer.status {
            StatusCode::OK => self.claims(&object(&answer)?, now),
            // Not a token of this app, or none at all.
            StatusCode::NOT_FOUND | StatusCode::UNPROCESSABLE_ENTITY => {
                Err(NoAnswer::Refused(InvalidToken::Inactive))
            }
            _ => Err(NoAnswer::status(&answer)),
        }
    }

    /// The answer as claims. The token itself, which GitHub repeats, is not among them.
    fn claims(&self, answer: &Map<String, Value>, now: u64) -> Result<Map<String, Value>, NoAnswer> {
        let incomplete = || NoAnswer::silent("the answer names no app or no person");
        let client_id = answer.get("app").and_then(|app| app.get("client_id")).ok_or_else(incomplete)?;
        let user = answer.get("user").and_then(Value::as_object).ok_or_else(incomplete)?;
        let id = user.get("id").and_then(Value::as_u64).ok_or_else(incomplete)?;
        let mut claims = Map::new();
        let mut put = |name: &str, value: Value| claims.insert(name.to_owned(), value);
        put("iss", json!(self.issuer));
        // The number stays; the login name can pass to somebody else.
        put("sub", json!(id.to_string()));
        put("client_id", client_id.clone());
        if let Some(scopes) = answer.get("scopes").filter(|scopes| !scopes.is_null()) {
            put("scopes", scopes.clone());
        }
        for name in ["login", "name", "email", "avatar_url", "type"] {
            if let Some(value) = user.get(name).filter(|value| !value.is_null()) {
                put(name, value.clone());
            }
        }
        let time = |name: &str| match answer.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(time) => time
                .as_str()
                .and_then(seconds)
                .map(Some)
                .ok_or_else(|| NoAnswer::silent(format!("{name} is no time"))),
        };
        if let Some(issued_at) = time("created_at")? {
            put("iat", json!(issued_at));
        }
        put("exp", json!(time("expires_at")?.unwrap_or_else(|| now.saturating_add(self.cache_seconds))));
        Ok(claims)
    }
}

/// Seconds since the Unix epoch of `2026-11-21T15:00:00Z`, the only form GitHub writes (RFC 3339 §5.6).
fn seconds(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let numbers = |text: &str, separator: char| {
        let numbers: Option<Vec<u64>> = text
            .split(separator)
            .map(|part| part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok())?)
            .collect();
        numbers.and_then(|numbers| <[u64; 3]>::try_from(numbers).ok())
    };
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(time, ':')?;
    if !(1970..=9999).contains(&year)
        || !(1..=12).contains(&month)
        || !(1..=31).contains(&day)
        || hour > 23
        || minute > 59
        || second > 60
    {
        return None;
    }
    // Days since 0000-03-01, with years that begin in March so that the leap day comes last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    Some((days - 719_468) * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-29T12:34:56Z", Some(951_827_696)),
            ("2000-03-01T00:00:00Z", Some(951_868_800)),
            ("2026-11-21T15:00:00Z", Some(1_795_273_200)),
            ("2026-13-21T15:00:00Z", None),
            ("2026-11-21T15:00:00", None),
            ("2026-11-21 15:00:00Z", None),
            ("+026-11-21T15:00:00Z", None),
            ("", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }
}

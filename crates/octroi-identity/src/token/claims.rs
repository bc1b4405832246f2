//! The checks of a token's claims, after its signature was verified.

use serde_json::{Map, Value};

use crate::{Caller, IdentityConfig, InvalidToken, Provider, ScopeForm, ScopeSet, SubjectRule};

/// Seconds beyond which a date is nonsense: 2^53, the last integer every JSON reader agrees on.
const LATEST_DATE: f64 = 9_007_199_254_740_992.0;

/// Judges the claims in the order issuer, kind of token, audience and client, time, subject, and gives the
/// caller they describe. `now` is in seconds since the Unix epoch.
pub(crate) fn judge(
    claims: Map<String, Value>,
    config: &IdentityConfig,
    now: u64,
) -> Result<Caller, InvalidToken> {
    let provider = &config.provider;
    let issuer = text(&claims, "iss")?.ok_or(InvalidToken::Issuer)?;
    if !provider.issuers.iter().any(|trusted| trusted == issuer) {
        return Err(InvalidToken::Issuer);
    }
    judge_kind(&claims, provider)?;
    let client_id = client(&claims, provider)?;
    let audiences = judge_audience(&claims, config, client_id)?;
    let expires_at = judge_times(&claims, config, now)?;
    let subject = subject(&claims, provider.subject)?;
    Ok(Caller {
        issuer: issuer.to_owned(),
        principal: Caller::principal_of(issuer, &subject),
        subject,
        client_id: client_id.map(str::to_owned),
        scopes: scopes(&claims, provider)?,
        audiences,
        expires_at,
        email: claims.get("email").and_then(Value::as_str).map(str::to_owned),
        claims,
    })
}

/// Refuses what is not a plain bearer access token.
fn judge_kind(claims: &Map<String, Value>, provider: &Provider) -> Result<(), InvalidToken> {
    if provider.id_token_claims.iter().any(|name| claims.contains_key(*name)) {
        return Err(InvalidToken::IdToken);
    }
    if claims.contains_key("cnf") {
        return Err(InvalidToken::SenderConstrained);
    }
    for (name, wanted) in &provider.must_equal {
        match claims.get(*name) {
            None => return Err(InvalidToken::MissingClaim(name)),
            Some(value) if value != wanted => return Err(InvalidToken::ClaimRefused(name)),
            Some(_) => {}
        }
    }
    match provider.must_not_equal.iter().find(|(name, unwanted)| claims.get(*name) == Some(unwanted)) {
        Some((name, _)) => Err(InvalidToken::ClaimRefused(name)),
        None => Ok(()),
    }
}

/// The client, by the first claim present.
fn client<'a>(claims: &'a Map<String, Value>, provider: &Provider) -> Result<Option<&'a str>, InvalidToken> {
    for name in &provider.client_claims {
        if let Some(client) = text(claims, name)? {
            return Ok(Some(client));
        }
    }
    Ok(None)
}

/// One audience must be ours, exactly (RFC 7519 §4.1.3). Where the provider may leave `aud` out, the client
/// must be listed instead; where clients are listed, the client must be listed anyway.
fn judge_audience(
    claims: &Map<String, Value>,
    config: &IdentityConfig,
    client: Option<&str>,
) -> Result<Vec<String>, InvalidToken> {
    let audiences = match claims.get("aud") {
        None => Vec::new(),
        Some(Value::String(audience)) => vec![audience.clone()],
        Some(Value::Array(list)) => strings(list).ok_or(InvalidToken::MalformedClaim("aud"))?,
        Some(_) => return Err(InvalidToken::MalformedClaim("aud")),
    };
    let absent_is_fine = config.provider.audience_may_be_absent && !claims.contains_key("aud");
    if !absent_is_fine && !audiences.iter().any(|audience| config.audiences.contains(audience)) {
        return Err(InvalidToken::Audience);
    }
    let listed = client.is_some_and(|client| config.allowed_clients.iter().any(|allowed| allowed == client));
    if (absent_is_fine || !config.allowed_clients.is_empty()) && !listed {
        return Err(InvalidToken::Client);
    }
    Ok(audiences)
}

/// `exp` is required; `nbf` and `iat` are checked when present (RFC 7519 §4.1.4 to §4.1.6).
fn judge_times(claims: &Map<String, Value>, config: &IdentityConfig, now: u64) -> Result<u64, InvalidToken> {
    let latest = now.saturating_add(config.leeway_seconds);
    let earliest = now.saturating_sub(config.leeway_seconds);
    let expires_at = date(claims, "exp")?.ok_or(InvalidToken::MissingClaim("exp"))?;
    if expires_at <= earliest {
        return Err(InvalidToken::Expired);
    }
    if date(claims, "nbf")?.is_some_and(|not_before| not_before > latest) {
        return Err(InvalidToken::NotYetValid);
    }
    let issued_at = date(claims, "iat")?;
    if issued_at.is_some_and(|issued_at| issued_at > latest) {
        return Err(InvalidToken::IssuedInFuture);
    }
    if let Some(max_age) = config.max_age_seconds {
        let issued_at = issued_at.ok_or(InvalidToken::MissingClaim("iat"))?;
        if issued_at.saturating_add(max_age) <= earliest {
            return Err(InvalidToken::TooOld);
        }
    }
    Ok(expires_at)
}

fn subject(claims: &Map<String, Value>, rule: SubjectRule) -> Result<String, InvalidToken> {
    let required = |name| text(claims, name)?.ok_or(InvalidToken::MissingClaim(name));
    match rule {
        SubjectRule::Claim(name) => required(name).map(str::to_owned),
        SubjectRule::ClaimOr { first, otherwise } => match text(claims, first)? {
            Some(subject) => Ok(subject.to_owned()),
            None => required(otherwise).map(str::to_owned),
        },
        SubjectRule::ClaimInTenant { person, tenant } => {
            Ok(format!("{}/{}", required(person)?, required(tenant)?))
        }
    }
}

fn scopes(claims: &Map<String, Value>, provider: &Provider) -> Result<ScopeSet, InvalidToken> {
    let mut scopes: Vec<String> = Vec::new();
    for claim in &provider.scope_claims {
        match (claims.get(claim.name), claim.form) {
            (None, _) => {}
            (Some(Value::String(words)), ScopeForm::Words | ScopeForm::Either) => {
                scopes.extend(words.split(' ').map(str::to_owned));
            }
            (Some(Value::Array(list)), ScopeForm::List | ScopeForm::Either) => {
                scopes.extend(strings(list).ok_or(InvalidToken::MalformedClaim(claim.name))?);
            }
            (Some(_), _) => return Err(InvalidToken::MalformedClaim(claim.name)),
        }
    }
    Ok(scopes.into_iter().collect())
}

/// A claim that must be a string, and not an empty one, when present.
fn text<'a>(claims: &'a Map<String, Value>, name: &'static str) -> Result<Option<&'a str>, InvalidToken> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
        Some(_) => Err(InvalidToken::MalformedClaim(name)),
    }
}

fn strings(list: &[Value]) -> Option<Vec<String>> {
    list.iter().map(|item| item.as_str().map(str::to_owned)).collect()
}

/// A NumericDate in whole seconds; fractions are cut off (RFC 7519 §2 allows them).
fn date(claims: &Map<String, Value>, name: &'static str) -> Result<Option<u64>, InvalidToken> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    match value.as_f64() {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range by the guard")]
        Some(seconds) if (0.0..LATEST_DATE).contains(&seconds) => Ok(Some(seconds as u64)),
        _ => Err(InvalidToken::MalformedClaim(name)),
    }
}

//! The checks of a token's claims, after its signature was verified or its issuer vouched for it.

use serde_json::{Map, Value};

use super::profile;
use crate::caller::act_chain;
use crate::provider::PlaceNames;
use crate::terms::Terms;
use crate::{
    AudienceRule, Binding, Caller, CallerKind, ClaimPath, ClientSign, InvalidToken, IssuerRule, Provider,
    SubjectRule,
};

/// Seconds beyond which a date is nonsense: 2^53, the last integer every JSON reader agrees on.
const LATEST_DATE: f64 = 9_007_199_254_740_992.0;

/// Judges the claims in the order issuer, kind of token, audience and client, time, subject, delegation, and gives the
/// caller they describe, who may be bound to a key. `now` is in seconds since the Unix epoch.
pub(crate) fn judge(claims: Map<String, Value>, terms: &Terms, now: u64) -> Result<Caller, InvalidToken> {
    let provider = &terms.provider;
    let issuer = issuer(&claims, provider)?;
    judge_kind(&claims, provider)?;
    let client = client(&claims, provider)?;
    let audiences = judge_audience(&claims, terms, client)?;
    let (expires_at, issued_at) = judge_times(&claims, terms, now)?;
    let subject = subject(&claims, &provider.subject)?;
    let mut caller = Caller::new(&issuer, &subject, expires_at);
    caller.issued_at = issued_at;
    caller.act = act_chain(&claims, terms.max_act_depth)?;
    caller.binding = binding(&claims)?;
    caller.kind =
        if shows_client(&claims, provider, &subject, client) { CallerKind::Client } else { provider.kind };
    caller.client_id = client.map(str::to_owned);
    let names = PlaceNames { client, organisation: None, audiences: &terms.audiences };
    profile::read(&claims, provider, names, &mut caller)?;
    caller.audiences = audiences;
    caller.claims = claims;
    if let Some(trusted) = &terms.trusted {
        trusted.admits(&caller)?;
        caller.scopes = caller.scopes.iter().chain(trusted.scopes.iter().map(String::as_str)).collect();
        caller.roles = caller.roles.iter().chain(trusted.roles.iter().map(String::as_str)).collect();
        caller.groups = caller.groups.iter().chain(trusted.groups.iter().map(String::as_str)).collect();
    }
    Ok(caller)
}

/// The issuer that claims name, by the provider's rule; `None` where they name none.
pub(crate) fn named_issuer(claims: &Map<String, Value>, rule: IssuerRule) -> Option<&str> {
    match rule {
        IssuerRule::Claim => claims.get("iss")?.as_str(),
        IssuerRule::TrustDomain => {
            let id = claims.get("sub")?.as_str()?;
            let (domain, path) = id.strip_prefix("spiffe://")?.split_once('/')?;
            (!domain.is_empty() && !path.is_empty()).then(|| &id[..id.len() - path.len() - 1])
        }
    }
}

fn issuer(claims: &Map<String, Value>, provider: &Provider) -> Result<String, InvalidToken> {
    if provider.issuer_rule == IssuerRule::Claim {
        text(claims, &"iss".into())?;
    }
    named_issuer(claims, provider.issuer_rule)
        .filter(|named| provider.issuers.iter().any(|trusted| trusted == named))
        .map(str::to_owned)
        .ok_or(InvalidToken::Issuer)
}

/// Refuses what is not an access token of the provider's.
fn judge_kind(claims: &Map<String, Value>, provider: &Provider) -> Result<(), InvalidToken> {
    if provider.id_token_claims.iter().any(|path| path.one(claims).is_some()) {
        return Err(InvalidToken::IdToken);
    }
    for rule in &provider.must_equal {
        match rule.claim.one(claims) {
            None => return Err(InvalidToken::MissingClaim(rule.claim.name())),
            Some(value) if !rule.values.contains(value) => {
                return Err(InvalidToken::ClaimRefused(rule.claim.name()));
            }
            Some(_) => {}
        }
    }
    let refused = |rule: &&crate::ClaimRule| {
        rule.claim.find(claims, PlaceNames::default()).into_iter().any(|value| rule.values.contains(value))
    };
    match provider.must_not_equal.iter().find(refused) {
        Some(rule) => Err(InvalidToken::ClaimRefused(rule.claim.name())),
        None => Ok(()),
    }
}

/// The client, by the first claim present.
fn client<'a>(claims: &'a Map<String, Value>, provider: &Provider) -> Result<Option<&'a str>, InvalidToken> {
    for path in &provider.client_claims {
        if let Some(client) = text(claims, path)? {
            return Ok(Some(client));
        }
    }
    Ok(None)
}

/// One audience must be ours, exactly (RFC 7519 §4.1.3). Where the provider may leave `aud` out, the client
/// must be listed instead; where clients are listed, the client must be listed anyway.
fn judge_audience(
    claims: &Map<String, Value>,
    terms: &Terms,
    client: Option<&str>,
) -> Result<Vec<String>, InvalidToken> {
    let audiences = match claims.get("aud") {
        None => Vec::new(),
        Some(Value::String(audience)) => vec![audience.clone()],
        Some(Value::Array(list)) => {
            profile::strings(list).ok_or_else(|| InvalidToken::MalformedClaim("aud".into()))?
        }
        Some(_) => return Err(InvalidToken::MalformedClaim("aud".into())),
    };
    let client_decides = match terms.provider.audience_rule {
        AudienceRule::Required => false,
        AudienceRule::OrClient => !claims.contains_key("aud"),
        AudienceRule::Client => true,
    };
    if !client_decides && !audiences.iter().any(|audience| terms.audiences.contains(audience)) {
        return Err(InvalidToken::Audience);
    }
    let listed = client.is_some_and(|client| terms.allowed_clients.iter().any(|allowed| allowed == client));
    if (client_decides || !terms.allowed_clients.is_empty()) && !listed {
        return Err(InvalidToken::Client);
    }
    Ok(audiences)
}

/// `exp` is required; `nbf` and `iat` are checked when present (RFC 7519 §4.1.4 to §4.1.6). Gives `exp` and `iat`.
fn judge_times(
    claims: &Map<String, Value>,
    terms: &Terms,
    now: u64,
) -> Result<(u64, Option<u64>), InvalidToken> {
    let latest = now.saturating_add(terms.leeway_seconds);
    let earliest = now.saturating_sub(terms.leeway_seconds);
    let expires_at = date(claims, "exp")?.ok_or_else(|| InvalidToken::MissingClaim("exp".into()))?;
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
    if let Some(max_age) = terms.max_age_seconds {
        let issued_at = issued_at.ok_or_else(|| InvalidToken::MissingClaim("iat".into()))?;
        if issued_at.saturating_add(max_age) <= earliest {
            return Err(InvalidToken::TooOld);
        }
    }
    Ok((expires_at, issued_at))
}

fn subject(claims: &Map<String, Value>, rule: &SubjectRule) -> Result<String, InvalidToken> {
    let required = |path| text(claims, path)?.ok_or_else(|| InvalidToken::MissingClaim(path.name()));
    match rule {
        SubjectRule::Claim(path) => required(path).map(str::to_owned),
        SubjectRule::ClaimOr { first, otherwise } => match text(claims, first)? {
            Some(subject) => Ok(subject.to_owned()),
            None => required(otherwise).map(str::to_owned),
        },
        SubjectRule::ClaimInTenant { person, tenant } => {
            Ok(format!("{}/{}", required(person)?, required(tenant)?))
        }
    }
}

/// The key the sender must hold (RFC 7800 §3.1). A confirmation that cannot be read binds the token to something nobody
/// can prove here.
fn binding(claims: &Map<String, Value>) -> Result<Option<Binding>, InvalidToken> {
    let Some(confirmation) = claims.get("cnf") else { return Ok(None) };
    let confirmation = confirmation.as_object().ok_or_else(|| InvalidToken::MalformedClaim("cnf".into()))?;
    match (confirmation.get("jkt"), confirmation.len()) {
        (Some(Value::String(thumbprint)), 1) => Ok(Some(Binding::Jkt(thumbprint.clone()))),
        _ => Ok(Some(Binding::Unknown)),
    }
}

fn shows_client(
    claims: &Map<String, Value>,
    provider: &Provider,
    subject: &str,
    client: Option<&str>,
) -> bool {
    let text = |path: &ClaimPath| path.one(claims).and_then(Value::as_str);
    provider.client_signs.iter().any(|sign| match sign {
        ClientSign::SubjectIsClient => client == Some(subject),
        ClientSign::Equals { claim, value } => claim.one(claims) == Some(value),
        ClientSign::StartsWith { claim, text: start } => {
            text(claim).is_some_and(|text| text.starts_with(start))
        }
        ClientSign::EndsWith { claim, text: end } => text(claim).is_some_and(|text| text.ends_with(end)),
        ClientSign::Present { claim } => claim.one(claims).is_some(),
        ClientSign::Absent { claim } => claim.one(claims).is_none(),
    })
}

/// A claim that must be a string, and not an empty one, when present.
fn text<'a>(claims: &'a Map<String, Value>, path: &ClaimPath) -> Result<Option<&'a str>, InvalidToken> {
    match path.one(claims) {
        None => Ok(None),
        Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
        Some(_) => Err(InvalidToken::MalformedClaim(path.name())),
    }
}

/// A NumericDate in whole seconds; fractions are cut off (RFC 7519 §2 allows them).
fn date(claims: &Map<String, Value>, name: &'static str) -> Result<Option<u64>, InvalidToken> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    match value.as_f64() {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range by the guard")]
        Some(seconds) if (0.0..LATEST_DATE).contains(&seconds) => Ok(Some(seconds as u64)),
        _ => Err(InvalidToken::MalformedClaim(name.into())),
    }
}

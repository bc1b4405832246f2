//! The token endpoint.

use serde::Deserialize;
use zeroize::Zeroizing;

use super::{Session, client::Client, issuer::Issuer};
use crate::AgentError;
use crate::agent::unix_now;
use crate::http::Http;

/// Most bytes of an answer.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// A token endpoint's answer (RFC 6749 §5).
#[derive(Deserialize)]
struct Answer {
    access_token: Option<Zeroizing<String>>,
    token_type: Option<String>,
    expires_in: Option<u64>,
    refresh_token: Option<Zeroizing<String>>,
    scope: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
}

/// What a session begins with.
pub(super) struct Ask<'a> {
    pub(super) issuer: &'a Issuer,
    pub(super) client: Client,
    pub(super) resource: String,
    pub(super) scope: Option<String>,
}

/// A code for a token.
pub(super) async fn redeem(
    http: &Http,
    ask: Ask<'_>,
    code: &str,
    verifier: &str,
    redirect: &str,
) -> Result<Session, AgentError> {
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", redirect),
        ("code_verifier", verifier),
    ];
    begin(http, ask, &form).await
}

/// A token for the program itself.
pub(super) async fn own(
    http: &Http,
    issuer: &Issuer,
    client: Client,
    resource: String,
    scope: Option<String>,
) -> Result<Session, AgentError> {
    let asked = scope.clone();
    let ask = Ask { issuer, client, resource, scope };
    let mut form = vec![("grant_type", "client_credentials")];
    form.extend(asked.as_deref().map(|scope| ("scope", scope)));
    begin(http, ask, &form).await
}

async fn begin(http: &Http, ask: Ask<'_>, form: &[(&str, &str)]) -> Result<Session, AgentError> {
    let Ask { issuer, client, resource, scope } = ask;
    let blank = Session {
        issuer: issuer.name.clone(),
        token_endpoint: issuer.token_endpoint.clone(),
        client,
        resource,
        scope,
        access_token: Zeroizing::default(),
        refresh_token: None,
        expires_at: None,
    };
    post(http, &blank, form).await
}

/// A new token for a session whose own is used up.
pub(super) async fn refresh(http: &Http, session: &Session) -> Result<Session, AgentError> {
    let Some(token) = &session.refresh_token else {
        // A program's own token is simply asked for again.
        if session.client.secret.is_some() {
            let mut form = vec![("grant_type", "client_credentials")];
            form.extend(session.scope.as_deref().map(|scope| ("scope", scope)));
            return post(http, session, &form).await;
        }
        return Err(AgentError::SignIn("there is no refresh token".to_owned()));
    };
    post(http, session, &[("grant_type", "refresh_token"), ("refresh_token", token)]).await
}

async fn post(http: &Http, session: &Session, form: &[(&str, &str)]) -> Result<Session, AgentError> {
    let client = &session.client;
    let mut form = form.to_vec();
    form.push(("resource", &session.resource));
    let basic = client.basic();
    if basic.is_none() {
        form.push(("client_id", &client.id));
        form.extend(client.secret.as_ref().map(|secret| ("client_secret", secret.as_str())));
    }
    let basic = basic.as_ref().map(|(id, secret)| (id.as_str(), secret.reveal()));
    let (status, body) = http.post_form(&session.token_endpoint, &form, basic, ANSWER_BYTES_MAX).await?;
    let body = Zeroizing::new(body);
    let Ok(answer) = serde_json::from_slice::<Answer>(&body) else {
        return Err(AgentError::SignIn(format!("the token endpoint's answer was not understood ({status})")));
    };
    let bearer = answer.token_type.as_deref().is_some_and(|kind| kind.eq_ignore_ascii_case("bearer"));
    let Some(access_token) = answer.access_token.filter(|_| status == 200 && bearer) else {
        let why = answer.error_description.or(answer.error);
        return Err(AgentError::SignIn(format!(
            "the issuer gave no token ({status}): {}",
            why.unwrap_or_else(|| "no reason given".to_owned())
        )));
    };
    Ok(Session {
        access_token,
        expires_at: answer.expires_in.map(|seconds| unix_now().saturating_add(seconds)),
        // One that is not replaced stays good (RFC 6749 §6).
        refresh_token: answer.refresh_token.or_else(|| session.refresh_token.clone()),
        scope: answer.scope.or_else(|| session.scope.clone()),
        ..session.clone()
    })
}

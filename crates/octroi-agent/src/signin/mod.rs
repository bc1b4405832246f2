//! Signing in: an access token for one server, got from the issuer it names, kept and renewed.
//!
//! Discovery by RFC 9728 and RFC 8414 ([`issuer`]), a client by registration or by its metadata document ([`client`]), the
//! person by authorization code with PKCE on a loopback redirect ([`code`]), the token endpoint ([`tokens`]).

mod client;
mod code;
mod issuer;
mod tokens;

use std::sync::Arc;

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use url::Url;
use zeroize::Zeroizing;

use crate::agent::unix_now;
use crate::http::Http;
use crate::identity::{IdentityNeeded, is_about_identity};
use crate::{AgentError, Purse, Secret};

pub use client::client_metadata;

use client::Client;
use issuer::Issuer;

/// A token that ends within so many seconds is renewed before it is used.
const RENEW_BEFORE: u64 = 30;
/// What the purse calls the turn to sign in.
const TURN: &str = "sign in";

/// How a token is had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Grant {
    /// A person agrees in a browser (RFC 6749 §4.1, RFC 7636).
    #[default]
    Code,
    /// The program itself is the client (RFC 6749 §4.4); needs an id and a secret.
    ClientCredentials,
}

/// How to sign in.
#[derive(Clone)]
pub struct SignInSettings {
    /// How a token is had.
    pub grant: Grant,
    /// A client that was registered beforehand.
    pub client_id: Option<String>,
    /// Its secret.
    pub client_secret: Option<Secret>,
    /// Where this client's metadata document lies (CIMD); used where the issuer takes one and no `client_id` is set.
    pub client_metadata_url: Option<Url>,
    /// Scopes to ask for beside those the server names.
    pub scopes: Vec<String>,
    /// The loopback port of the redirect; any free one unless set.
    pub redirect_port: Option<u16>,
    /// Shows the person where to go; called once for every time.
    pub show: Arc<dyn Fn(&Url) + Send + Sync>,
}

/// A session, as it lies sealed in the purse.
#[derive(Clone, Serialize, Deserialize)]
struct Session {
    issuer: String,
    token_endpoint: Url,
    client: Client,
    resource: String,
    scope: Option<String>,
    access_token: Zeroizing<String>,
    refresh_token: Option<Zeroizing<String>>,
    /// Unix seconds.
    expires_at: Option<u64>,
}

/// Signs in to one server, for every process that shares the purse.
pub struct SignIn {
    http: Http,
    endpoint: Url,
    purse: Arc<Purse>,
    settings: SignInSettings,
    held: RwLock<Option<Session>>,
}

impl SignIn {
    /// For the server at `endpoint`. Nothing is sent yet.
    ///
    /// # Errors
    /// [`AgentError::Config`], [`AgentError::Purse`].
    pub fn new(endpoint: Url, purse: Arc<Purse>, settings: SignInSettings) -> Result<Self, AgentError> {
        if settings.grant == Grant::ClientCredentials
            && (settings.client_id.is_none() || settings.client_secret.is_none())
        {
            let words = "client credentials are an id and a secret";
            return Err(AgentError::Config(words.to_owned()));
        }
        let held = RwLock::new(purse.session(endpoint.as_str())?);
        Ok(Self { http: Http::new()?, endpoint, purse, settings, held })
    }

    /// The token there is, renewed where it is about to end. Nobody is asked.
    ///
    /// # Errors
    /// [`AgentError::Purse`]. A token that cannot be renewed is used as long as the server takes it.
    pub async fn token(&self) -> Result<Option<Secret>, AgentError> {
        let Some(session) = self.held.read().clone() else { return Ok(None) };
        if session.is_fresh(unix_now()) {
            return Ok(Some(session.token()));
        }
        let _turn = self.turn().await?;
        if let Some(other) = self.news(&session.access_token)? {
            return Ok(Some(other));
        }
        match self.refresh(&session).await {
            Ok(session) => Ok(Some(session.token())),
            Err(error) => {
                tracing::debug!(%error, "the access token could not be renewed");
                Ok(Some(session.token()))
            }
        }
    }

    /// A better token, after the server answered `status` with these `WWW-Authenticate` lines (one below the other) to the token
    /// `refused`. `None` where no token would help.
    ///
    /// # Errors
    /// [`AgentError::SignIn`], and those about the network.
    pub async fn answer(
        &self,
        refused: Option<&Secret>,
        status: u16,
        challenges: &str,
    ) -> Result<Option<Secret>, AgentError> {
        if !is_about_identity(status, challenges) {
            return Ok(None);
        }
        let _turn = self.turn().await?;
        if let Some(token) = self.renewed(refused, status).await? {
            return Ok(Some(token));
        }
        match IdentityNeeded::read_parts(&self.http, &self.endpoint, status, challenges).await {
            Some(needed) => self.ask(&needed).await.map(Some),
            None => Ok(None),
        }
    }

    /// As [`SignIn::answer`], for a refusal that was read already.
    ///
    /// # Errors
    /// [`AgentError::SignIn`], and those about the network.
    pub async fn obtain(
        &self,
        refused: Option<&Secret>,
        needed: &IdentityNeeded,
    ) -> Result<Secret, AgentError> {
        let _turn = self.turn().await?;
        match self.renewed(refused, needed.status).await? {
            Some(token) => Ok(token),
            None => self.ask(needed).await,
        }
    }

    /// One process asks the person; the others wait for what comes of it.
    async fn turn(&self) -> Result<crate::purse::Turn, AgentError> {
        Ok(self.purse.turn(self.endpoint.as_str(), TURN).await?)
    }

    /// A token that needs nobody: another process's, or a renewed one.
    async fn renewed(&self, refused: Option<&Secret>, status: u16) -> Result<Option<Secret>, AgentError> {
        if let Some(other) = self.news(refused.map_or("", Secret::reveal))? {
            return Ok(Some(other));
        }
        let earlier = self.held.read().clone().filter(|_| status == 401);
        let Some(session) = earlier else { return Ok(None) };
        Ok(self.refresh(&session).await.ok().map(|session| session.token()))
    }

    async fn ask(&self, needed: &IdentityNeeded) -> Result<Secret, AgentError> {
        let earlier = self.held.read().clone();
        let issuer = Issuer::of(&self.http, &self.endpoint, needed).await?;
        let session = self.sign_in(&issuer, needed, earlier.as_ref()).await?;
        let token = session.token();
        self.keep(session)?;
        Ok(token)
    }

    /// What another process got meanwhile: a token that is not `than`.
    fn news(&self, than: &str) -> Result<Option<Secret>, AgentError> {
        let kept: Option<Session> = self.purse.session(self.endpoint.as_str())?;
        let Some(kept) = kept.filter(|kept| *kept.access_token != than && kept.is_fresh(unix_now())) else {
            return Ok(None);
        };
        let token = kept.token();
        *self.held.write() = Some(kept);
        Ok(Some(token))
    }

    async fn refresh(&self, session: &Session) -> Result<Session, AgentError> {
        let session = tokens::refresh(&self.http, session).await?;
        self.keep(session.clone())?;
        Ok(session)
    }

    async fn sign_in(
        &self,
        issuer: &Issuer,
        needed: &IdentityNeeded,
        earlier: Option<&Session>,
    ) -> Result<Session, AgentError> {
        let resource = needed.metadata.as_ref().map(|metadata| metadata.resource.clone());
        let resource = resource.unwrap_or_else(|| self.endpoint.as_str().trim_end_matches('/').to_owned());
        let scope = self.scope(issuer, needed, earlier);
        match self.settings.grant {
            Grant::ClientCredentials => {
                let client = client::configured(&self.settings, issuer)
                    .ok_or_else(|| AgentError::SignIn("no client id is set".to_owned()))?;
                tokens::own(&self.http, issuer, client, resource, scope).await
            }
            Grant::Code => {
                let door = code::Door::open(self.settings.redirect_port).await?;
                // What was registered may be used again where the port does not matter (RFC 8252 §7.3).
                let known =
                    earlier.filter(|earlier| earlier.issuer == issuer.name).map(|it| it.client.clone());
                let client = match known {
                    Some(client) => client,
                    None => client::find(&self.http, &self.settings, issuer, door.redirect()).await?,
                };
                code::walk(&self.http, issuer, client, door, &resource, scope, &*self.settings.show).await
            }
        }
    }

    /// The scopes the server names, else those it has, and those the owner wants. What was granted before is asked for again.
    fn scope(&self, issuer: &Issuer, needed: &IdentityNeeded, earlier: Option<&Session>) -> Option<String> {
        let mut scopes: Vec<&str> = Vec::new();
        let listed = needed.metadata.as_ref().map(|metadata| &metadata.scopes_supported);
        match &needed.scope {
            Some(scope) => scopes.extend(scope.split_ascii_whitespace()),
            None => scopes.extend(listed.into_iter().flatten().map(String::as_str)),
        }
        scopes.extend(self.settings.scopes.iter().map(String::as_str));
        let before = earlier.filter(|earlier| earlier.issuer == issuer.name && needed.status == 403);
        let before = before.and_then(|earlier| earlier.scope.as_deref()).unwrap_or_default();
        scopes.extend(before.split_ascii_whitespace());
        if self.settings.grant == Grant::Code && issuer.offers_offline_access() {
            scopes.push("offline_access");
        }
        let mut seen = std::collections::HashSet::new();
        scopes.retain(|scope| seen.insert(*scope));
        (!scopes.is_empty()).then(|| scopes.join(" "))
    }

    fn keep(&self, session: Session) -> Result<(), AgentError> {
        self.purse.keep_session(self.endpoint.as_str(), &session, unix_now())?;
        *self.held.write() = Some(session);
        Ok(())
    }
}

/// Where a document sends whoever signs in to the server at `endpoint`, if it is taken for one at all.
pub(crate) fn places_of_issuer(document: &[u8], endpoint: &Url) -> Vec<Url> {
    let issuer = serde_json::from_slice::<Issuer>(document).ok();
    issuer.filter(|issuer| issuer.check(endpoint).is_ok()).map(|issuer| issuer.places()).unwrap_or_default()
}

impl Session {
    fn token(&self) -> Secret {
        Secret::new(self.access_token.as_str())
    }

    fn is_fresh(&self, now: u64) -> bool {
        self.expires_at.is_none_or(|at| at > now + RENEW_BEFORE)
    }
}

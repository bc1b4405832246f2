//! The agent: one MCP server, one caller, its wallet and its limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use octroi_l402::Msat;
use octroi_lightning::LightningNode;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use url::Url;

use crate::http::Http;
use crate::session::{self, SESSION_ID, Session};
use crate::{
    AgentError, Budget, Exchange, IdentityNeeded, Observer, Payer, PayerBuilder, Policy, Price, Purse,
    Request, Secret, WorkPolicy,
};

/// Most pages of a tool list that are read.
const PAGES_MAX: usize = 100;
/// `_meta` key under which a tool's price stands in `tools/list`.
const PRICE_KEY: &str = "dev.octroi/price";

/// Which era of MCP the agent speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// 2026-07-28: every request stands for itself.
    #[default]
    Modern,
    /// 2025-11-25 and earlier: a session, opened by `initialize`.
    Legacy,
}

/// A tool, as the server lists it.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolInfo {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// What a call costs, where the server announces it.
    pub price: Option<Price>,
    /// The whole entry.
    pub raw: Value,
}

/// How a call is to be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallOptions {
    /// How many calls to buy at once, should one have to be bought; as many as the policy's rule says unless given.
    pub calls: Option<u32>,
}

impl CallOptions {
    /// Buying so many calls at once.
    #[must_use]
    pub const fn buying(calls: u32) -> Self {
        Self { calls: Some(calls) }
    }
}

/// Calls tools on one MCP server, and gets through what stands before it.
pub struct Agent {
    pub(crate) http: Http,
    pub(crate) endpoint: Url,
    pub(crate) token: Option<Secret>,
    pub(crate) payer: Arc<Payer>,
    protocol: Protocol,
    session: Mutex<Option<Session>>,
    next_id: AtomicU64,
}

/// Sets an [`Agent`] up. Without a wallet and a [`Budget`] it pays nothing; without a [`WorkPolicy`] it computes nothing.
pub struct AgentBuilder {
    endpoint: Url,
    token: Option<Secret>,
    pays: PayerBuilder,
    payer: Option<Arc<Payer>>,
    protocol: Protocol,
}

impl AgentBuilder {
    /// The access token shown with every call.
    #[must_use]
    pub fn token(mut self, token: Secret) -> Self {
        self.token = Some(token);
        self
    }

    /// Who pays, in place of everything set below.
    #[must_use]
    pub fn payer(mut self, payer: Arc<Payer>) -> Self {
        self.payer = Some(payer);
        self
    }

    /// What pays.
    #[must_use]
    pub fn wallet(mut self, wallet: Arc<dyn LightningNode>) -> Self {
        self.pays = self.pays.wallet(wallet);
        self
    }

    /// How much may be given away.
    #[must_use]
    pub fn budget(mut self, budget: Budget) -> Self {
        self.pays = self.pays.budget(budget);
        self
    }

    /// The owner's rules.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.pays = self.pays.policy(policy);
        self
    }

    /// Whether puzzles are solved; one that is within the limit is solved rather than paid.
    #[must_use]
    pub fn work(mut self, work: WorkPolicy) -> Self {
        self.pays = self.pays.work(work);
        self
    }

    /// Where credentials are kept. Without one they are forgotten with the agent.
    #[must_use]
    pub fn purse(mut self, purse: Arc<Purse>) -> Self {
        self.pays = self.pays.purse(purse);
        self
    }

    /// Who is told of every step.
    #[must_use]
    pub fn observer(mut self, observer: Observer) -> Self {
        self.pays = self.pays.observer(observer);
        self
    }

    /// Which era to speak.
    #[must_use]
    pub fn protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// The agent. Nothing is sent yet.
    ///
    /// # Errors
    /// [`AgentError::Config`] when the endpoint is not an `http` or `https` URL without user name and password.
    pub fn build(self) -> Result<Agent, AgentError> {
        if !matches!(self.endpoint.scheme(), "http" | "https") {
            return Err(AgentError::Config("the URL must begin with http:// or https://".to_owned()));
        }
        if !self.endpoint.username().is_empty() || self.endpoint.password().is_some() {
            return Err(AgentError::Config("credentials do not belong into the URL".to_owned()));
        }
        Ok(Agent {
            http: Http::new()?,
            endpoint: self.endpoint,
            token: self.token,
            payer: self.payer.unwrap_or_else(|| self.pays.build()),
            protocol: self.protocol,
            session: Mutex::new(None),
            next_id: AtomicU64::new(1),
        })
    }
}

impl Agent {
    /// An agent for the MCP server at `endpoint`.
    #[must_use]
    pub fn builder(endpoint: Url) -> AgentBuilder {
        AgentBuilder {
            endpoint,
            token: None,
            pays: Payer::builder(),
            payer: None,
            protocol: Protocol::default(),
        }
    }

    /// What this agent has given away so far, or has set aside for payments without an outcome.
    #[must_use]
    pub fn spent(&self) -> Msat {
        self.payer.spent()
    }

    /// The credentials it keeps.
    #[must_use]
    pub fn purse(&self) -> &Arc<Purse> {
        self.payer.purse()
    }

    /// Who pays.
    #[must_use]
    pub fn payer(&self) -> &Arc<Payer> {
        &self.payer
    }

    /// Every tool the server lists, with the prices it announces.
    ///
    /// # Errors
    /// [`AgentError`]; listing costs nothing, so none about payment.
    pub async fn list_tools(&self) -> Result<Vec<ToolInfo>, AgentError> {
        let (mut tools, mut cursor) = (Vec::new(), None);
        for _ in 0..PAGES_MAX {
            let params = cursor.map_or_else(|| json!({}), |cursor: Value| json!({"cursor": cursor}));
            let exchange =
                self.send_raw(&Request::new("tools/list", params).with_token(self.token.clone())).await?;
            let Some(result) = exchange.result() else { return Err(self.refusal(&exchange).await) };
            let listed = result.get("tools").and_then(Value::as_array);
            let listed = listed.ok_or_else(|| AgentError::BadReply("tools/list without tools".to_owned()))?;
            tools.extend(listed.iter().filter_map(tool));
            cursor = result.get("nextCursor").filter(|cursor| cursor.is_string()).cloned();
            if cursor.is_none() {
                return Ok(tools);
            }
        }
        Err(AgentError::BadReply(format!("tools/list has more than {PAGES_MAX} pages")))
    }

    /// Sends one request with exactly the credentials it names, and takes the answer as it is. Nothing is paid, computed, or
    /// taken from the purse. In the legacy era a session is opened first.
    ///
    /// # Errors
    /// Only those about the network and the wire; a refusal is an [`Exchange`] like any other.
    pub async fn send_raw(&self, request: &Request) -> Result<Exchange, AgentError> {
        match self.protocol {
            Protocol::Modern => self.http.post(&self.endpoint, session::modern(self.id(), request)?).await,
            Protocol::Legacy => self.send_in_session(request).await,
        }
    }

    async fn send_in_session(&self, request: &Request) -> Result<Exchange, AgentError> {
        let session = match self.session(request).await? {
            Ok(session) => session,
            Err(refused) => return Ok(*refused),
        };
        let message = session::legacy(Some(self.id()), request, Some(&session))?;
        let exchange = self.http.post(&self.endpoint, message).await?;
        if exchange.status == 404 && session.id.is_some() {
            // The server ended the session: the next request opens another (MCP 2025-11-25 basic/transports).
            self.session.lock().await.take();
        }
        Ok(exchange)
    }

    /// The session, opened where there is none; or the refusal to open one.
    async fn session(&self, request: &Request) -> Result<Result<Session, Box<Exchange>>, AgentError> {
        let mut held = self.session.lock().await;
        if let Some(session) = held.as_ref() {
            return Ok(Ok(session.clone()));
        }
        let open = session::initialize().with_token(request.token.clone());
        let opened = self.http.post(&self.endpoint, session::legacy(Some(self.id()), &open, None)?).await?;
        let Some(result) = opened.result() else { return Ok(Err(Box::new(opened))) };
        let session = Session::read(opened.headers.get(SESSION_ID), result);
        let ready = Request::new("notifications/initialized", json!({})).with_token(request.token.clone());
        self.http.post(&self.endpoint, session::legacy(None, &ready, Some(&session))?).await?;
        Ok(Ok(held.insert(session).clone()))
    }

    /// What an answer that is neither a result nor about payment says.
    pub(crate) async fn refusal(&self, exchange: &Exchange) -> AgentError {
        if let Some(needed) = IdentityNeeded::read(&self.http, &self.endpoint, exchange).await {
            return AgentError::IdentityNeeded(Box::new(needed));
        }
        let error = exchange.error();
        if error.is_none() && (200..300).contains(&exchange.status) {
            return AgentError::BadReply("neither a result nor an error".to_owned());
        }
        let message = error.and_then(|error| error.get("message")).and_then(Value::as_str);
        let reason = error.and_then(|error| error.pointer("/data/reason")).and_then(Value::as_str);
        AgentError::Refused {
            status: exchange.status,
            reason: reason.map(str::to_owned),
            message: message.unwrap_or("the server did not say why").to_owned(),
        }
    }

    fn id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }
}

fn tool(raw: &Value) -> Option<ToolInfo> {
    let text = |key: &str| raw.get(key).and_then(Value::as_str).map(str::to_owned);
    Some(ToolInfo {
        name: text("name")?,
        description: text("description"),
        price: raw.get("_meta").and_then(|meta| meta.get(PRICE_KEY)).and_then(Price::read),
        raw: raw.clone(),
    })
}

/// Seconds since the Unix epoch; 0 on a machine whose clock stands before it.
pub(crate) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

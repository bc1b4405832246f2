//! One MCP server behind the gate: where it is, who may call it, and what its tools cost.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use octroi_gate::price::Price;
use octroi_pow::Algorithm;
use url::Url;

use super::Secret;

/// One MCP server behind the gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// Its name under `[mcp_servers.NAME]`; `None` for the single `[mcp_server]`.
    pub name: Option<String>,
    /// Where the gate serves it: `/mcp`, or `/NAME/mcp`.
    pub path: String,
    /// [`path`](Self::path) under the public URL: the resource identifier of RFC 9728.
    pub resource: Url,
    /// Where the server is.
    pub upstream: Upstream,
    /// How long it is waited for.
    pub timeouts: Timeouts,
    /// How much it may say, and be asked, at once.
    pub limits: Limits,
    /// How a price is told to the caller.
    pub challenge: ChallengeStyle,
    /// What happens to `tools/call` that no rule names.
    pub default: DefaultPolicy,
    /// What happens to `resources/read` and `prompts/get` that no rule names: the same when `default` is written,
    /// else open, or open to identified callers where [`identity`](Self::identity) is configured.
    pub default_reads: DefaultPolicy,
    /// Browser origins that may call, exactly as sent (`https://app.example.com`); empty refuses all.
    pub allowed_origins: Vec<String>,
    /// The names of the gate's own tools.
    pub gate_tools: GateTools,
    /// Who may call; `None` when no tool asks.
    pub identity: Option<IdentityConfig>,
    /// How calls are paid; `None` when nothing is priced.
    pub payment: Option<PaymentConfig>,
    /// Rules for `tools/call`, exact names before patterns, then as written.
    pub tools: Vec<Rule>,
    /// Rules for `resources/read`, by URI.
    pub resources: Vec<Rule>,
    /// Rules for `prompts/get`.
    pub prompts: Vec<Rule>,
}

impl ServerConfig {
    /// The address of `path` below the public URL.
    pub(super) fn resource_under(public_url: &Url, path: &str) -> Option<Url> {
        Url::parse(&format!("{}{path}", public_url.as_str().trim_end_matches('/'))).ok()
    }
}

impl ServerConfig {
    /// What the ledger books on and credentials are good for: the server's name, `mcp` for the single one.
    pub fn service(&self) -> &str {
        self.name.as_deref().unwrap_or("mcp")
    }
}

/// Where an MCP server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// Nothing: the gate hands out puzzles and checks solutions for other services.
    None,
    /// A Streamable HTTP endpoint.
    Http(Url),
    /// A program spoken to over its standard input and output.
    Stdio {
        /// The program and its arguments; never empty.
        command: Vec<String>,
        /// Variables set for it, besides the few it inherits.
        env: BTreeMap<String, Secret>,
        /// Its working directory.
        cwd: Option<PathBuf>,
    },
}

/// How long an upstream is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until it accepts the connection.
    pub connect: Duration,
    /// From the request to the first byte of the answer.
    pub first_byte: Duration,
    /// Between two pieces of an answer.
    pub idle: Duration,
}

/// How much may be said at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest request body, in bytes.
    pub max_body_bytes: usize,
    /// Longest single answer or stream event from the upstream, in bytes.
    pub max_response_bytes: usize,
    /// Most sessions, each one child process for a stdio server, open at once.
    pub max_sessions: usize,
}

/// How a price is told to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChallengeStyle {
    /// HTTP 402 for callers known to handle it, a tool result for the others.
    Auto,
    /// Always HTTP 402.
    Http,
    /// Always a tool result (`isError: true`) that a model can read.
    InBand,
}

/// What happens to calls that no rule names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DefaultPolicy {
    /// Refused.
    Deny,
    /// Open to everybody.
    Free,
    /// Open to callers with a valid access token.
    Identified,
    /// Sold to anybody at this price.
    Paid {
        /// What a call costs.
        price: Price,
    },
}

/// The names of the gate's own tools; `None` leaves one out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateTools {
    /// Asks for a proof-of-work puzzle.
    pub challenge: Option<String>,
    /// Hands in its solution.
    pub verify: Option<String>,
    /// Tells prices and the caller's balance.
    pub status: Option<String>,
}

/// Who may call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityConfig {
    /// Which product issues the tokens; decides the quirks.
    pub provider: Provider,
    /// `iss` exactly as tokens carry it, trailing slash or not.
    pub issuer: String,
    /// Where the keys are; `None` finds them by discovery at the issuer.
    pub jwks_uri: Option<Url>,
    /// Accepted `aud` values, compared exactly; at least one.
    pub audiences: Vec<String>,
    /// Scopes every caller needs.
    pub required_scopes: Vec<String>,
    /// Accepted signature algorithms (`RS256`, `ES256`, …); at least one, all asymmetric.
    pub algorithms: Vec<String>,
    /// Accepted clients (`client_id`, `azp`, …); empty accepts all.
    pub client_ids: Vec<String>,
    /// Whether upstream tokens are to be exchanged on the caller's behalf. No effect in this release.
    pub obo_enabled: bool,
    /// Whether the issuer may be reached over plain HTTP; one on this machine always may.
    pub allow_insecure_http: bool,
    /// Whether the issuer may live at an address that is not public; one on this machine always may.
    pub allow_private_addresses: bool,
    /// Clock difference tolerated in `exp` and `nbf`, 0 to 300 s.
    pub leeway: Duration,
}

/// Which product issues the tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// Auth0: the issuer is the tenant, with a trailing slash.
    Auth0,
    /// Any issuer with OpenID Connect or RFC 8414 discovery.
    Oidc,
    /// Keys at a given URL, no discovery.
    Jwks,
    /// Keycloak: the issuer is the realm.
    Keycloak,
    /// An Okta custom authorization server.
    Okta,
}

/// How calls are paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentConfig {
    /// Published as the macaroon's location; a hint for people.
    pub gateway: Option<String>,
    /// How long a credential is good, 10 s to 1 year.
    pub macaroon_ttl: Duration,
    /// Whether a credential ends with its first captured call, whatever was paid.
    pub single_use: bool,
    /// Most calls one payment may buy, 1..=1 000 000.
    pub max_calls: u32,
    /// The free door; `None` when it is shut.
    pub pow: Option<PowConfig>,
}

/// The free door: calls for computation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PowConfig {
    /// The kind of puzzle handed out; one that this build has.
    pub kind: Algorithm,
    /// The difficulty when nobody comes, in thousandths of a bit, 0..=40 000.
    pub rest_millibits: u32,
    /// The highest difficulty, in thousandths of a bit, from the lowest to 40 000.
    pub most_millibits: u32,
    /// Free calls that can be borne.
    pub free_calls: RateLimit,
    /// What every puzzle is bound to.
    pub bind: PowBind,
    /// Calls one solution buys, 1..=1000.
    pub calls: u32,
    /// How long they may be made, 10 s to 1 day.
    pub ttl: Duration,
}

/// What every puzzle is bound to, whether its caller asks for it or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PowBind {
    /// The tool.
    pub tool: bool,
    /// The caller, where one is known.
    pub principal: bool,
    /// The arguments of the call.
    pub arguments: bool,
}

impl PowConfig {
    /// The difficulty when nobody comes, in bits.
    pub fn rest_bits(&self) -> f64 {
        f64::from(self.rest_millibits) / 1000.0
    }

    /// The highest difficulty, in bits.
    pub fn most_bits(&self) -> f64 {
        f64::from(self.most_millibits) / 1000.0
    }
}

impl RateLimit {
    /// Calls per second.
    pub fn per_second(&self) -> f64 {
        f64::from(self.calls.get()) / self.per.as_secs_f64()
    }
}

/// What one tool, resource or prompt asks of its caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The name or URI; `*` stands for any run of characters.
    pub pattern: String,
    /// Whether nobody may call it, whatever else is said.
    pub forbidden: bool,
    /// Whether a valid access token is needed.
    pub requires_identity: bool,
    /// Scopes the token needs, besides the server's.
    pub scopes: Vec<String>,
    /// What a call costs; `None` is free.
    pub price: Option<Price>,
    /// How many calls a day each caller has for nothing.
    pub free_per_day: u32,
    /// Whether proof of work may stand in for the price.
    pub pow: bool,
    /// Free calls of this subject that can be borne, where that is less than the server's.
    pub pow_free_calls: Option<RateLimit>,
    /// Most calls per caller.
    pub rate_limit: Option<RateLimit>,
    /// Whether a call whose result says `isError` is charged all the same.
    pub charge_failed: bool,
}

/// So many calls in so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Calls.
    pub calls: NonZeroU32,
    /// The time they are counted over.
    pub per: Duration,
}

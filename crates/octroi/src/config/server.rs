//! One MCP server behind the gate: where it is, who may call it, and what its tools cost.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use octroi_gate::price::Price;
use octroi_gate::{Budgets, FailedPayments};
use octroi_pow::Algorithm;
use url::Url;

use octroi_gate::credentials::Carriers;
use octroi_gate::policy::{Selling, Standing};

use super::{CedarConfig, IdentityConfig, Secret};

/// What the one server of `[mcp_server]` is called where a name is needed.
pub(super) const SINGLE_NAME: &str = "mcp";

/// One MCP server behind the gate.
#[derive(Clone, Debug)]
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
    /// Whether lists show each caller only what it may call.
    pub filtered_lists: bool,
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
    /// Where credentials may stand in a request.
    pub carriers: Carriers,
    /// Policies in Cedar that calls must pass besides the rules.
    pub cedar: Option<CedarConfig>,
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
        self.name.as_deref().unwrap_or(SINGLE_NAME)
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

/// How something that is missing, a payment or an access token, is told to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChallengeStyle {
    /// By an HTTP status for callers known to handle it, by a tool result for the others.
    Auto,
    /// Always by an HTTP status.
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

/// How calls are paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentConfig {
    /// Published as the macaroon's location; a hint for people.
    pub gateway: Option<String>,
    /// How long a credential is good, 10 s to 1 year.
    pub macaroon_ttl: Duration,
    /// What is sold with a call, where its rule does not say.
    pub selling: Selling,
    /// Whether paid replies carry signed receipts.
    pub receipts: bool,
    /// The most that credentials and callers may spend.
    pub budgets: Budgets,
    /// How much failing to pay is borne.
    pub failed_payments: FailedPayments,
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
    /// Roles, groups and organisations the caller needs.
    pub standing: Standing,
    /// Whether proof of work may stand in for the price.
    pub pow: bool,
    /// Free calls of this subject that can be borne, where that is less than the server's.
    pub pow_free_calls: Option<RateLimit>,
    /// Most calls per caller.
    pub rate_limit: Option<RateLimit>,
    /// Whether a call whose result says `isError` is charged all the same.
    pub charge_failed: bool,
    /// What is sold with a call.
    pub selling: Selling,
}

/// So many calls in so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Calls.
    pub calls: NonZeroU32,
    /// The time they are counted over.
    pub per: Duration,
}

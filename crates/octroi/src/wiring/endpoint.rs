//! One MCP server: its upstream, its identity desk, its till and its gate.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use octroi_gate::customers::Customers;
use octroi_gate::invoices::{InvoiceDesk, Order};
use octroi_gate::policy::{Pattern, Policy};
use octroi_gate::price::Held;
use octroi_gate::{
    AccessTokens, Bind, ChallengeStyle, Gate, GateParts, Limits, ListStyle, OwnTools, ReceiptDesk, Till,
    TillSettings, WorkSettings,
};
use octroi_identity::SigningKeys;
use octroi_ledger::Ledger;
use octroi_mcp::json;
use octroi_pow::door::Bounds;
use octroi_server::upstream::{HttpSettings, HttpUpstream, Nothing, StdioSettings, StdioUpstream, Upstream};
use octroi_server::{Endpoint, GateTools, JWKS_PATH, OriginRules, ToolNames};

use super::policy::policy;
use super::{Keys, StartError, identity};
use crate::config::{self, Config, PowConfig, RateLimit, ServerConfig};

/// How long a puzzle may be solved.
const PUZZLE_TTL_SECONDS: u64 = 300;
/// Between two pieces of an event stream; servers send keep-alives much more often.
const STREAM_IDLE: Duration = Duration::from_secs(3600);
/// How long a stdio session may stand unused.
const SESSION_IDLE: Duration = Duration::from_secs(1800);
/// How long an unused upstream connection is kept, and how many.
const POOL_IDLE: Duration = Duration::from_secs(60);
const POOL_MAX: usize = 256;
/// The waits between restarts of a stdio server that dies.
const RESTART_MIN: Duration = Duration::from_millis(200);
const RESTART_MAX: Duration = Duration::from_secs(30);

/// What an endpoint is built from.
pub(super) struct Parts<'a> {
    pub(super) config: &'a Config,
    pub(super) server: &'a ServerConfig,
    /// Where the gate listens.
    pub(super) bound: Option<SocketAddr>,
    pub(super) keys: &'a Keys,
    pub(super) ledger: &'a Ledger,
    pub(super) invoices: Option<&'a Arc<InvoiceDesk>>,
    /// The keys that statements about callers are signed with, where some server gets them.
    pub(super) signing: Option<&'a Arc<SigningKeys>>,
    /// Callers whose charges another ledger is told of.
    pub(super) customers: Option<&'a Arc<Customers>>,
}

/// Builds the endpoint of one server.
pub(super) async fn build(parts: &Parts<'_>) -> Result<Endpoint, StartError> {
    let server = parts.server;
    let service = server.service().to_owned();
    let policy = policy(server);
    let till = till(parts, &policy)?.map(Arc::new);
    let identity = match &server.identity {
        Some(settings) => Some(identity::desk(settings, server).await?),
        None => None,
    };
    let introduction = identity::introduction(server, parts.config, parts.signing)?;
    let on_behalf = identity::on_behalf(server)?;
    let names = ToolNames {
        challenge: server.gate_tools.challenge.clone(),
        verify: server.gate_tools.verify.clone(),
        status: server.gate_tools.status.clone(),
    };
    let own: Arc<dyn OwnTools> = Arc::new(GateTools::new(&service, &policy, till.clone(), &names));
    let upstream = upstream(server, &service)?;
    let gate = Gate::new(GateParts {
        identity,
        rules: identity::fine_rules(server),
        till,
        own_tools: Some(own),
        challenge: style(server.challenge),
        identity_challenge: style(
            server.identity.as_ref().map_or(config::ChallengeStyle::Auto, |identity| identity.challenge),
        ),
        lists: if server.filtered_lists { ListStyle::Filtered } else { ListStyle::Open },
        carriers: server.carriers,
        introduction,
        on_behalf,
        limits: Limits {
            body_bytes_max: server.limits.max_body_bytes,
            reply_bytes_max: server.limits.max_response_bytes,
            json: json::Limits::default(),
        },
        ..GateParts::new(service, policy)
    });
    let origins = OriginRules::new(&parts.config.public_url, &server.allowed_origins, parts.bound);
    let keys = parts.signing.map(|_| format!("{}{JWKS_PATH}", identity::gate_name(parts.config)));
    let endpoint = Endpoint::new(server.path.clone(), &server.resource, keys, gate, upstream, origins);
    Ok(endpoint.with_receipt_keys(parts.keys.receipt_set.clone()))
}

fn style(style: config::ChallengeStyle) -> ChallengeStyle {
    match style {
        config::ChallengeStyle::Auto => ChallengeStyle::Auto,
        config::ChallengeStyle::Http => ChallengeStyle::Http,
        config::ChallengeStyle::InBand => ChallengeStyle::InBand,
    }
}

/// One call of each tool that is named in full and always costs the same: what callers most often ask for.
fn keep_ready(desk: &InvoiceDesk, service: &str, policy: &Policy) {
    for (name, rule) in policy.tools.entries().filter(|(name, _)| !name.contains('*')) {
        if let Some(Held::Fixed(price)) = rule.price.as_ref().map(|price| &price.held) {
            desk.keep_ready(Order::new(service, name, 1, *price));
        }
    }
}

fn till(parts: &Parts<'_>, policy: &Policy) -> Result<Option<Till>, StartError> {
    let Some(payment) = &parts.server.payment else { return Ok(None) };
    if !policy.has_prices() && payment.pow.is_none() {
        return Ok(None);
    }
    if let Some(desk) = parts.invoices {
        keep_ready(desk, parts.server.service(), policy);
    }
    let work = payment.pow.as_ref().map(|pow| free_door(parts, pow)).transpose()?;
    let location = payment.gateway.clone().unwrap_or_else(|| parts.config.public_url.to_string());
    let till = Till::new(TillSettings {
        service: parts.server.service().to_owned(),
        keys: Arc::clone(&parts.keys.master),
        ledger: parts.ledger.clone(),
        invoices: parts.invoices.cloned(),
        location,
        credential_ttl_seconds: payment.macaroon_ttl.as_secs(),
        calls_max: payment.max_calls,
        budgets: payment.budgets,
        failed_payments: payment.failed_payments,
        receipts: payment.receipts.then(|| {
            Arc::new(ReceiptDesk::new(Arc::clone(&parts.keys.receipts), parts.server.resource.as_str()))
        }),
        work,
    });
    Ok(Some(match parts.customers {
        Some(customers) => till.billing(Arc::clone(customers)),
        None => till,
    }))
}

fn free_door(parts: &Parts<'_>, pow: &PowConfig) -> Result<WorkSettings, StartError> {
    let server = parts.server;
    let bounds = |calls: RateLimit| Bounds {
        calls_per_second: calls.per_second(),
        rest_bits: pow.rest_bits(),
        most_bits: pow.most_bits(),
    };
    let own = |rule: &config::Rule| {
        let calls = rule.pow_free_calls.filter(|_| rule.pow)?;
        Some((Pattern::new(rule.pattern.clone()), bounds(calls)))
    };
    let issuer = parts.config.public_url.as_str().trim_end_matches('/');
    let tokens = AccessTokens::new(issuer, parts.keys.tokens.iter().map(|seed| &**seed))
        .map_err(|error| StartError::Value(error.to_string()))?;
    Ok(WorkSettings {
        signer: parts.keys.puzzles.clone(),
        kind: pow.kind,
        bounds: bounds(pow.free_calls),
        tools: server.tools.iter().filter_map(own).collect(),
        bind: Bind { tool: pow.bind.tool, principal: pow.bind.principal, arguments: pow.bind.arguments },
        calls: pow.calls,
        challenge_ttl_seconds: PUZZLE_TTL_SECONDS,
        credential_ttl_seconds: pow.ttl.as_secs(),
        access_tokens: Arc::new(tokens),
        audience: server.resource.to_string(),
    })
}

fn upstream(server: &ServerConfig, service: &str) -> Result<Upstream, StartError> {
    let timeouts = &server.timeouts;
    Ok(match &server.upstream {
        config::Upstream::None => Upstream::Nothing(Nothing),
        config::Upstream::Http(url) => HttpUpstream::new(&HttpSettings {
            url: url.clone(),
            connect_timeout: timeouts.connect,
            first_byte_timeout: timeouts.first_byte,
            idle_timeout: timeouts.idle,
            stream_idle_timeout: STREAM_IDLE,
            max_response_bytes: server.limits.max_response_bytes,
            pool_max_idle: POOL_MAX,
            pool_idle_timeout: POOL_IDLE,
        })?
        .into(),
        config::Upstream::Stdio { command, env, cwd } => StdioUpstream::new(
            service,
            StdioSettings {
                command: command.clone(),
                env: env.iter().map(|(name, value)| (name.clone(), value.reveal().to_owned())).collect(),
                cwd: cwd.clone(),
                first_byte_timeout: timeouts.first_byte,
                idle_timeout: timeouts.idle,
                max_sessions: server.limits.max_sessions,
                session_idle: SESSION_IDLE,
                max_message_bytes: server.limits.max_response_bytes,
                restart_min: RESTART_MIN,
                restart_max: RESTART_MAX,
            },
        )?
        .into(),
    })
}

//! `[mcp_server]` and `[mcp_servers.NAME]`

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use url::{Origin, Url};

use super::super::reader::{Field, Section, shortened};
use super::super::{ChallengeStyle, GateTools, Limits, ServerConfig, Timeouts, Upstream};
use super::policy;

const UPSTREAM_EXAMPLE: &str = "http://127.0.0.1:3000/mcp";
const UPSTREAM_FIX: &str =
    "add upstream = \"http://127.0.0.1:3000/mcp\", or { command = [\"npx\", \"-y\", \"…\"] }";
/// What stands for no upstream at all.
const NO_UPSTREAM: &str = "none";
const NAME_CHARS_MAX: usize = 64;
const SECONDS_MAX: i64 = 86_400;
const TIMEOUTS_DEFAULT: Timeouts = Timeouts {
    connect: Duration::from_secs(5),
    first_byte: Duration::from_secs(120),
    idle: Duration::from_secs(300),
};
const BODY_BYTES: i64 = 256 << 20;
const LIMITS_DEFAULT: Limits =
    Limits { max_body_bytes: 4 << 20, max_response_bytes: 16 << 20, max_sessions: 256 };

/// Every server of the file, in the order written.
pub(super) fn all(root: &Section<'_>, public_url: Option<&Url>) -> Vec<ServerConfig> {
    let (single, several) = (root.field("mcp_server"), root.field("mcp_servers"));
    match (single.is_given(), several.is_given()) {
        (true, true) => several.spot.wrong("there is an mcp_server too", "move that one to mcp_servers.NAME"),
        (false, false) => {
            root.spot.wrong(
                "no MCP server to stand in front of",
                "add [mcp_server] with upstream = \"http://127.0.0.1:3000/mcp\"",
            );
        }
        _ => {}
    }
    let mut servers: Vec<ServerConfig> = Vec::new();
    if single.is_given() {
        servers.extend(one(single.section(), None, public_url));
    }
    let named = several.section();
    if several.is_given() && named.entries().is_empty() {
        named.spot.wrong("names no server", "add [mcp_servers.NAME]");
    }
    let mut names: Vec<String> = Vec::new();
    for (name, field) in named.entries() {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if name.is_empty() || name.len() > NAME_CHARS_MAX || !name.chars().all(plain) {
            field.spot.wrong("a name that does not fit into an address", "use letters, digits, - and _");
        } else if names.iter().any(|other| other.eq_ignore_ascii_case(name)) {
            field.spot.wrong("another server has this name", "give each a name of its own");
        }
        names.push(name.to_owned());
        servers.extend(one(field.section(), Some(name), public_url));
    }
    servers
}

fn one(section: Section<'_>, name: Option<&str>, public_url: Option<&Url>) -> Option<ServerConfig> {
    let path = name.map_or_else(|| "/mcp".to_owned(), |name| format!("/{name}/mcp"));
    let resource = public_url.and_then(|url| ServerConfig::resource_under(url, &path));
    let upstream = upstream(&section);
    let timeouts = timeouts(section.section("timeouts"));
    let limits = limits(section.section("limits"));
    let styles =
        [("auto", ChallengeStyle::Auto), ("http", ChallengeStyle::Http), ("in-band", ChallengeStyle::InBand)];
    let challenge = section.field("challenge").choice(&styles).unwrap_or(ChallengeStyle::Auto);
    let allowed_origins = allowed_origins(&section.field("allowed_origins"));
    let gate_tools = gate_tools(&section.field("gate_tools"));
    let policy = policy::read(&section, name, resource.as_ref(), upstream.as_ref());
    let filtered_lists =
        section.field("lists").choice(&[("open", false), ("filtered", true)]).unwrap_or(false);
    section.finish();
    Some(ServerConfig {
        name: name.map(str::to_owned),
        path,
        resource: resource?,
        upstream: upstream?,
        timeouts,
        limits,
        challenge,
        filtered_lists,
        default: policy.default,
        default_reads: policy.default_reads,
        allowed_origins,
        gate_tools,
        identity: policy.identity,
        carriers: policy.carriers,
        cedar: policy.cedar,
        payment: policy.payment,
        tools: policy.tools,
        resources: policy.resources,
        prompts: policy.prompts,
    })
}

fn upstream(section: &Section<'_>) -> Option<Upstream> {
    let transport = section.field("transport").choice(&[("http_streamable", false), ("stdio", true)]);
    let field = section.field("upstream");
    if !field.is_given() {
        field.spot.wrong(
            "no `upstream`: where is the MCP server?",
            format!("{UPSTREAM_FIX}, or start with --upstream URL"),
        );
        return None;
    }
    if field.is_word(NO_UPSTREAM) {
        return Some(Upstream::None);
    }
    if !field.is_table() {
        let url = field.web_url(UPSTREAM_EXAMPLE)?;
        // The flag says where the server is now, whatever the file said of its transport.
        if transport == Some(true) && !field.spot.is_flag() {
            field.spot.wrong(
                "a URL, but transport is \"stdio\"",
                "write { command = [\"npx\", \"-y\", \"…\"] }, or remove transport",
            );
        }
        return Some(Upstream::Http(url));
    }
    let table = field.section();
    let command_field = table.field("command");
    let command: Vec<String> = command_field.texts("npx").into_iter().map(|(_, word)| word).collect();
    if command.is_empty() {
        command_field.spot.wrong("no program to start", "add command = [\"npx\", \"-y\", \"…\"]");
    }
    let mut env = BTreeMap::new();
    for (name, value) in table.section("env").entries() {
        if name.is_empty() || name.contains(['=', '\0']) {
            value.spot.wrong("not the name of a variable", "write NAME = \"value\"");
        }
        if let Some(secret) = value.text("env:NAME").and_then(|written| value.spot.secret(written)) {
            env.insert(name.to_owned(), secret);
        }
    }
    let cwd = table.field("cwd").filled("/srv/my-server").map(PathBuf::from);
    table.finish();
    (!command.is_empty()).then_some(Upstream::Stdio { command, env, cwd })
}

fn timeouts(section: Section<'_>) -> Timeouts {
    let seconds = |name, default| section.field(name).seconds(1..=SECONDS_MAX).unwrap_or(default);
    let timeouts = Timeouts {
        connect: seconds("connect_seconds", TIMEOUTS_DEFAULT.connect),
        first_byte: seconds("first_byte_seconds", TIMEOUTS_DEFAULT.first_byte),
        idle: seconds("idle_seconds", TIMEOUTS_DEFAULT.idle),
    };
    section.finish();
    timeouts
}

fn limits(section: Section<'_>) -> Limits {
    let bytes = |name, default| section.field(name).number(1024..=BODY_BYTES, "bytes").unwrap_or(default);
    let limits = Limits {
        max_body_bytes: bytes("max_body_bytes", LIMITS_DEFAULT.max_body_bytes),
        max_response_bytes: bytes("max_response_bytes", LIMITS_DEFAULT.max_response_bytes),
        max_sessions: section
            .field("max_sessions")
            .number(1..=100_000, "sessions")
            .unwrap_or(LIMITS_DEFAULT.max_sessions),
    };
    section.finish();
    limits
}

fn allowed_origins(field: &Field<'_>) -> Vec<String> {
    let mut origins = Vec::new();
    for (spot, written) in field.texts("https://app.example.com") {
        let origin = Url::parse(&written).ok().map(|url| url.origin()).filter(Origin::is_tuple);
        // RFC 6454 §6.2: a browser sends exactly this spelling.
        match origin.map(|origin| origin.ascii_serialization()) {
            Some(serialized) if serialized == written.trim_end_matches('/').to_ascii_lowercase() => {
                origins.push(serialized);
            }
            Some(serialized) => spot.wrong("more than an origin", format!("write \"{serialized}\"")),
            None => spot.wrong(
                format!("\"{}\" is no origin", shortened(&written)),
                "write scheme and host, like \"https://app.example.com\"",
            ),
        }
    }
    origins
}

fn gate_tools(field: &Field<'_>) -> GateTools {
    if field.is_false() {
        return GateTools { challenge: None, verify: None, status: None };
    }
    let section = field.section();
    let mut taken: Vec<String> = Vec::new();
    let mut name = |name: &'static str| {
        let field = section.field(name);
        if field.is_false() {
            return None;
        }
        let chosen = field.filled(name).unwrap_or(name).to_owned();
        if taken.contains(&chosen) {
            field.spot.wrong(
                "another of the gate's tools has this name",
                format!("write \"octroi_{name}\", or false"),
            );
        }
        taken.push(chosen.clone());
        Some(chosen)
    };
    let tools = GateTools { challenge: name("challenge"), verify: name("verify"), status: name("status") };
    section.finish();
    tools
}

//! What the gate would do, for a person.

use std::fmt::Write as _;

use octroi_lightning::Capabilities;
use octroi_lightning::lnbits::Lnbits;
use octroi_lightning::lnd::Lnd;
use octroi_lightning::lnurl::Lnurl;
use octroi_lightning::nwc::Nwc;
use octroi_lightning::phoenixd::Phoenixd;
use octroi_pow::door::LAPTOP_HASHES_PER_SECOND;

use super::ask::Answer;
use super::price;
use crate::config::{
    ChainSource, Cln, Config, DefaultPolicy, LightningBackend, PowConfig, RateLimit, Rule, ServerConfig,
    Upstream,
};

const HEADINGS: [&str; 7] =
    ["call", "identity", "needs", "price", "proof of work", "limit per caller", "when it fails"];

pub(super) fn of_config(config: &Config, node: Option<&Answer>) -> String {
    let mut text = format!("listens on   {}\n", config.listen);
    line(&mut text, "public URL", config.public_url.as_str());
    line(&mut text, "ledger", &config.ledger.store.to_string());
    line(&mut text, "lightning", &lightning(config));
    if let Some(capabilities) = capabilities(config) {
        line(&mut text, "", &capabilities.to_string());
    }
    for said in node.map_or(&[][..], |node| &node.lines) {
        line(&mut text, "the node", said);
    }
    for server in &config.servers {
        text.push('\n');
        of_server(&mut text, server);
    }
    let notes = config.notes();
    if !notes.is_empty() {
        text.push_str("\nnotes\n");
    }
    for note in notes {
        text.push_str(&format!("  - {note}\n"));
    }
    text
}

fn line(text: &mut String, name: &str, value: &str) {
    text.push_str(&format!("{name:<12} {value}\n"));
}

pub(super) fn lightning(config: &Config) -> String {
    let Some(lightning) = &config.lightning else { return "none".to_owned() };
    let network = lightning.network.name();
    match &lightning.backend {
        LightningBackend::Lnd(lnd) => format!("LND at {} ({network})", lnd.url),
        LightningBackend::Cln(Cln::Socket(path)) => {
            format!("Core Lightning at {} ({network})", path.display())
        }
        LightningBackend::Cln(Cln::Rest { url, .. }) => format!("Core Lightning at {url} ({network})"),
        LightningBackend::Lnbits(lnbits) => format!("a wallet at the LNbits at {} ({network})", lnbits.url),
        LightningBackend::Lnurl(lnurl) => format!("the Lightning Address {} ({network})", lnurl.address),
        LightningBackend::Nwc(_) => format!("a wallet over Nostr Wallet Connect ({network})"),
        LightningBackend::Phoenixd(phoenixd) => format!("phoenixd at {} ({network})", phoenixd.url),
        LightningBackend::Embedded(node) => {
            let chain = match &node.chain {
                ChainSource::Bitcoind { host, port, .. } => format!("bitcoind at {host}:{port}"),
                ChainSource::Esplora(url) => format!("esplora at {url}"),
                ChainSource::Electrum(address) => format!("electrum at {address}"),
            };
            format!("embedded node in {} ({network}), blocks from {chain}", node.storage_dir.display())
        }
    }
}

/// What the node can and cannot do.
pub(super) fn capabilities(config: &Config) -> Option<Capabilities> {
    Some(match &config.lightning.as_ref()?.backend {
        LightningBackend::Embedded(node) => {
            Capabilities { buys_inbound: node.lsp.is_some(), ..Capabilities::EMBEDDED }
        }
        LightningBackend::Phoenixd(_) => Phoenixd::CAPABILITIES,
        LightningBackend::Lnd(_) => Lnd::CAPABILITIES,
        LightningBackend::Cln(_) => octroi_lightning::cln::Cln::CAPABILITIES,
        LightningBackend::Lnbits(_) => Lnbits::CAPABILITIES,
        LightningBackend::Lnurl(_) => Lnurl::CAPABILITIES,
        LightningBackend::Nwc(_) => Nwc::CAPABILITIES,
    })
}

fn of_server(text: &mut String, server: &ServerConfig) {
    line(
        text,
        server.name.as_deref().unwrap_or("server"),
        &format!("{} -> {}", server.resource, upstream(server)),
    );
    if let Some(identity) = &server.identity {
        line(text, "issuer", &format!("{} ({})", identity.issuer(), identity.preset));
        line(text, "audience", &identity.tokens.audiences.join(", "));
        for trusted in &identity.tokens.trusted_issuers {
            let issuers = trusted.provider.issuers.join(", ");
            line(text, "also trusts", &format!("{issuers} ({})", trusted.provider.name));
        }
        if !identity.required_scopes.is_empty() {
            line(text, "scopes", &identity.required_scopes.join(" "));
        }
    }
    if let Some(pow) = server.payment.as_ref().and_then(|payment| payment.pow) {
        line(text, "free door", &free_door(&pow));
    }
    if let Some(cedar) = &server.cedar {
        line(text, "Cedar", &format!("{} policies in {}", cedar.count, cedar.path.display()));
    }
    text.push('\n');
    if server.upstream == Upstream::None {
        return;
    }
    let mut rows = vec![HEADINGS.map(str::to_owned).to_vec()];
    rows.extend(rows_of(server));
    write_table(text, &rows);
}

/// What the operator wished, and what it means.
fn free_door(pow: &PowConfig) -> String {
    let laptop = |bits: f64| bits.exp2() / LAPTOP_HASHES_PER_SECOND;
    format!(
        "{}, {:.1} to {:.1} bits ({:.2} s to {:.2} s of an ordinary laptop), follows the load at {} free calls",
        pow.kind.name(),
        pow.rest_bits(),
        pow.most_bits(),
        laptop(pow.rest_bits()),
        laptop(pow.most_bits()),
        rate(pow.free_calls),
    )
}

pub(super) fn upstream(server: &ServerConfig) -> String {
    match &server.upstream {
        Upstream::None => "nothing (proof of work for other services)".to_owned(),
        Upstream::Http(url) => url.to_string(),
        // Arguments may hold secrets.
        Upstream::Stdio { command, .. } => format!("{} (stdio)", command.first().map_or("", String::as_str)),
    }
}

fn rows_of(server: &ServerConfig) -> Vec<Vec<String>> {
    let pow = server.payment.as_ref().and_then(|payment| payment.pow);
    let mut rows = Vec::new();
    for (kind, rules) in [("", &server.tools), ("resource ", &server.resources), ("prompt ", &server.prompts)]
    {
        rows.extend(rules.iter().map(|rule| row(&format!("{kind}{}", rule.pattern), rule, pow)));
    }
    rows.push(default_row("any other tool", &server.default));
    rows.push(default_row("any other resource or prompt", &server.default_reads));
    rows
}

fn row(subject: &str, rule: &Rule, pow: Option<PowConfig>) -> Vec<String> {
    if rule.forbidden {
        return refused(subject);
    }
    let none = || "-".to_owned();
    let work = pow.filter(|_| rule.pow).map_or_else(none, |pow| {
        format!("{} bits for {} calls in {} s", pow.rest_bits(), pow.calls, pow.ttl.as_secs())
    });
    let failure = match (&rule.price, rule.charge_failed) {
        (None, _) => none(),
        (Some(_), true) => "charged".to_owned(),
        (Some(_), false) => "credited back".to_owned(),
    };
    vec![
        subject.to_owned(),
        if rule.requires_identity { "required" } else { "-" }.to_owned(),
        standing(rule),
        rule.price.as_ref().map_or_else(|| "free".to_owned(), |price| price::said(price, rule.free_per_day)),
        work,
        rule.rate_limit.map_or_else(none, rate),
        failure,
    ]
}

/// Scopes, then roles, groups and organisations: `|` between those of which one is enough, `+` between those that all are
/// needed.
fn standing(rule: &Rule) -> String {
    let asked = &rule.standing;
    let mut parts = vec![rule.scopes.join(" ")];
    for (kind, names, joint) in [
        ("role", &asked.roles, "|"),
        ("roles", &asked.all_roles, "+"),
        ("group", &asked.groups, "|"),
        ("groups", &asked.all_groups, "+"),
        ("organisation", &asked.organisations, "|"),
    ] {
        if !names.is_empty() {
            parts.push(format!("{kind} {}", names.join(joint)));
        }
    }
    parts.retain(|part| !part.is_empty());
    if parts.is_empty() { "-".to_owned() } else { parts.join(", ") }
}

fn refused(subject: &str) -> Vec<String> {
    let mut row = vec![subject.to_owned(), "refused".to_owned()];
    row.resize(HEADINGS.len(), "-".to_owned());
    row
}

fn default_row(subject: &str, default: &DefaultPolicy) -> Vec<String> {
    let (identity, cost, failure) = match default {
        DefaultPolicy::Deny => return refused(subject),
        DefaultPolicy::Free => ("-", "free".to_owned(), "-"),
        DefaultPolicy::Identified => ("required", "free".to_owned(), "-"),
        DefaultPolicy::Paid { price } => ("-", price::said(price, 0), "credited back"),
    };
    let cells = [subject, identity, "-", &cost, "-", "-", failure];
    cells.map(str::to_owned).to_vec()
}

fn rate(limit: RateLimit) -> String {
    let per = match limit.per.as_secs() {
        1 => "s".to_owned(),
        60 => "min".to_owned(),
        3600 => "h".to_owned(),
        86_400 => "day".to_owned(),
        seconds => format!("{seconds} s"),
    };
    format!("{} / {per}", limit.calls)
}

fn write_table(text: &mut String, rows: &[Vec<String>]) {
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..HEADINGS.len()).map(width).collect();
    for row in rows {
        let mut written = String::from(" ");
        for (cell, width) in row.iter().zip(&widths) {
            // Writing to a String cannot fail.
            let _ = write!(written, " {cell:<width$} ");
        }
        text.push_str(written.trim_end());
        text.push('\n');
    }
}

//! What is no mistake, but what an operator should know before the first call.

use url::Url;

use super::address::is_loopback;
use super::{
    ChainSource, Cln, Config, DefaultPolicy, LightningBackend, Lnbits, Lnd, MasterKeySource, Network,
    Phoenixd, Rule, ServerConfig, Upstream,
};

impl Config {
    /// Remarks on a valid configuration, one sentence each.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        self.lightning_notes(&mut notes);
        self.exposure_notes(&mut notes);
        if let MasterKeySource::File(path) = &self.secrets.master_key {
            notes.push(format!("The master key is kept in {}; back it up with the ledger.", path.display()));
            if self.ledger.store.is_shared() {
                notes.push(
                    "Gates that share a ledger need the same master key: set [secrets] master_key."
                        .to_owned(),
                );
            }
        }
        for server in &self.servers {
            server.notes(&mut notes);
        }
        notes
    }

    fn lightning_notes(&self, notes: &mut Vec<String>) {
        let sells =
            self.servers.iter().any(|server| server.payment.is_some() && server.upstream != Upstream::None);
        let Some(lightning) = &self.lightning else {
            if sells {
                notes.push(
                    "No [lightning] node is configured: paid calls are answered NO_LIQUIDITY, except with \
                     proof of work, vouchers or credit."
                        .to_owned(),
                );
            }
            return;
        };
        if !sells {
            notes.push("A Lightning node is configured, but nothing has a price.".to_owned());
        }
        notes.extend(lightning.backend.power_remarks(lightning.backend.known_powers()));
        let node = match &lightning.backend {
            LightningBackend::Embedded(node) => node,
            LightningBackend::Phoenixd(Phoenixd { url, .. })
            | LightningBackend::Lnd(Lnd { url, .. })
            | LightningBackend::Cln(Cln::Rest { url, .. }) => return plain_node_note(url, notes),
            LightningBackend::Cln(Cln::Socket(_)) => return,
            LightningBackend::Lnbits(Lnbits { url, .. }) => {
                notes.push(CUSTODIAL.to_owned());
                return plain_node_note(url, notes);
            }
            LightningBackend::Lnurl(_) | LightningBackend::Nwc(_) => return notes.push(CUSTODIAL.to_owned()),
        };
        if cfg!(not(feature = "lightning-embedded")) {
            notes.push(
                "This build of octroi has no embedded Lightning node; serve will refuse to start.".to_owned(),
            );
        }
        if ChainSource::public_default(lightning.network).as_ref() == Some(&node.chain)
            && let ChainSource::Esplora(url) = &node.chain
        {
            notes.push(format!(
                "Blocks come from the public server {url}, which learns what the node watches; set lightning.chain \
                 to a node of your own."
            ));
        }
        if node.passphrase.is_none() && lightning.network != Network::Regtest {
            notes.push(format!(
                "The Lightning node's keys lie open in {}; set lightning.passphrase to encrypt them.",
                node.storage_dir.display()
            ));
        }
        if lightning.network == Network::Bitcoin {
            notes.push(format!(
                "Real money is kept in {}; back it up, and never run two nodes on it.",
                node.storage_dir.display()
            ));
        }
    }

    fn exposure_notes(&self, notes: &mut Vec<String>) {
        let open = !self.listen.ip().is_loopback();
        if self.public_url.scheme() == "http" && (open || !is_loopback(&self.public_url)) {
            notes.push(format!(
                "Listens on {} with a public_url that is not https: tokens and credentials can be read on the way.",
                self.listen
            ));
        }
        if let Some(admin) = self.admin.listen.filter(|admin| !admin.ip().is_loopback()) {
            notes.push(format!("The admin pages are open to whoever reaches {admin}."));
        }
    }
}

impl ServerConfig {
    fn notes(&self, notes: &mut Vec<String>) {
        let name = self
            .name
            .as_deref()
            .map_or_else(|| "mcp_server".to_owned(), |name| format!("mcp_servers.{name}"));
        if self.identity.as_ref().is_some_and(|identity| identity.obo_without_client) {
            notes.push(format!(
                "{name}: obo_enabled does nothing without [auth.identity.obo]: exchanging tokens needs a client of the gate's own."
            ));
        }
        if self.identity.as_ref().is_some_and(|identity| identity.tokens.allow_insecure_http) {
            notes.push(format!(
                "{name}: the issuer's keys may be fetched over plain http, where they can be changed."
            ));
        }
        match self.default {
            _ if self.upstream == Upstream::None => {
                notes.push(format!("{name}: no MCP server: other services check what is solved here."));
            }
            DefaultPolicy::Deny if self.tools.is_empty() => {
                notes.push(format!(
                    "{name}: no tool is listed and default is deny: every tools/call is refused."
                ));
            }
            DefaultPolicy::Deny => notes.push(format!("{name}: tools that no rule names are refused.")),
            DefaultPolicy::Free => {
                notes.push(format!("{name}: tools that no rule names are open to everybody."))
            }
            DefaultPolicy::Identified | DefaultPolicy::Paid { .. } => {}
        }
        let asks = |rule: &Rule| rule.requires_identity;
        let everywhere = self.identity.as_ref().is_some_and(|identity| identity.required);
        let identified = [&self.tools, &self.resources, &self.prompts].into_iter().flatten().any(asks)
            || [&self.default, &self.default_reads].contains(&&DefaultPolicy::Identified);
        if self.identity.is_some() && !identified && !everywhere && self.cedar.is_none() {
            notes.push(format!("{name}: identity is configured, but no tool requires it."));
        }
        if let Upstream::Http(url) = &self.upstream
            && plain_and_far(url)
        {
            notes.push(format!("{name}: the upstream is reached over plain http."));
        }
    }
}

/// Where somebody else keeps the money.
const CUSTODIAL: &str = "Somebody else keeps the money, and knows every preimage: a call is admitted only when they say that \
                         its invoice was paid.";

fn plain_node_note(url: &Url, notes: &mut Vec<String>) {
    if plain_and_far(url) {
        notes.push(
            "The Lightning node is reached over plain http: its credential can be read on the way."
                .to_owned(),
        );
    }
}

fn plain_and_far(url: &Url) -> bool {
    url.scheme() == "http" && !is_loopback(url)
}

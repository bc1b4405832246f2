//! `octroi check --ask`: what the node itself says, so that nobody learns it from the first caller.

use std::time::Duration;

use octroi_l402::PaymentHash;
use octroi_lightning::{NodeError, NodeInfo, Powers, Settlements};
use serde_json::{Value, json};

use crate::config::{LightningBackend, LightningConfig};
use crate::wiring::Node;

/// How long the node may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// What was found.
pub(super) struct Answer {
    /// What was said, one line each.
    pub(super) lines: Vec<String>,
    /// Nothing can be sold like this.
    pub(super) fatal: bool,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        json!({"ok": !self.fatal, "says": self.lines})
    }

    fn fatal(line: String) -> Self {
        Self { lines: vec![line], fatal: true }
    }
}

/// Asks the configured node. An embedded one is not started for it.
pub(super) fn node(config: &LightningConfig) -> Answer {
    if matches!(config.backend, LightningBackend::Embedded(_)) {
        let line = "an embedded node is not started by a check; see `octroi lightning status`".to_owned();
        return Answer { lines: vec![line], fatal: false };
    }
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return Answer::fatal(error.to_string()),
    };
    let asked = async { tokio::time::timeout(PATIENCE, ask(config)).await };
    runtime.block_on(asked).unwrap_or_else(|_| Answer::fatal("the Lightning node took too long".to_owned()))
}

async fn ask(config: &LightningConfig) -> Answer {
    let node = match Node::start(config).await {
        Ok(node) => node.handle(),
        Err(error) => return Answer::fatal(error.to_string()),
    };
    let powers = match node.powers().await {
        Ok(powers) => powers,
        Err(error) => return Answer::fatal(error.to_string()),
    };
    let mut answer = match node.info().await {
        Ok(info) => known(config, &info),
        // Who may not ask may still sell.
        Err(error @ (NodeError::Refused(_) | NodeError::Unsupported(_))) if powers != Powers::UNKNOWN => {
            Answer { lines: vec![format!("does not say who it is: {error}")], fatal: false }
        }
        Err(error) => return Answer::fatal(error.to_string()),
    };
    // What a credential says of itself is worth nothing at a node that did not make it. This invoice was never made.
    if let Err(error) = node.lookup(&PaymentHash::from_bytes([0; 32])).await {
        answer.lines.push(format!("does not say what became of an invoice: {error}"));
        answer.fatal = true;
    }
    if node.capabilities().settlements != Settlements::Stream
        && let Ok(settlements) = node.settlements().await
    {
        answer.lines.push(settlements.words().to_owned());
    }
    answer.lines.extend(config.backend.power_remarks(powers));
    answer.fatal |= powers.receive == octroi_lightning::Power::Refused;
    answer
}

fn known(config: &LightningConfig, info: &NodeInfo) -> Answer {
    let name = info.alias.as_deref().unwrap_or(&info.id);
    let mut lines = vec![if name.is_empty() { "answers".to_owned() } else { format!("answers: {name}") }];
    if info.channels > 0 {
        lines[0].push_str(&format!(", {} of {} channels usable", info.usable_channels, info.channels));
    }
    if !info.synced {
        lines.push("has not seen the chain's tip lately: payments may fail".to_owned());
    }
    let wanted = config.network.name();
    let wrong = !info.network.is_empty() && info.network != wanted;
    if wrong {
        lines.push(format!("is on {}, but [lightning] network is {wanted}", info.network));
    }
    Answer { lines, fatal: wrong }
}

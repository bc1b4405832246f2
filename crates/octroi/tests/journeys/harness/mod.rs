//! What the journeys share: the gate as a process, a raw caller, a payer, other people's programs.

mod client;
mod gate;
pub(crate) mod money;
pub(crate) mod peers;

use std::time::Duration;

pub(crate) use client::{Ask, Caller, Challenge, Events, LEGACY, MODERN, Reply};
pub(crate) use gate::{Gate, Launch, Secrets};
pub(crate) use money::Market;

/// Generous, because the machine may be busy; nothing waits this long unless it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What must come soon, or the test is stuck.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("the test is stuck")
}

/// A gate that lets everybody call everything of `upstream` (a TOML value) for nothing, and adds nothing of its own.
pub(crate) fn free_policy(upstream: &str) -> String {
    format!(
        "listen = \"127.0.0.1:0\"\n[mcp_server]\nupstream = {upstream}\ndefault = \"free\"\n\
         gate_tools = {{ challenge = false, verify = false, status = false }}\n"
    )
}

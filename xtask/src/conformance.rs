//! `cargo xtask conformance`: the MCP project's own suite, server mode.

use std::process::Command;

use crate::peers::Peers;
use crate::process::{self, Chore};
use crate::test;

/// The requirement sets run, each a revision of the protocol frozen by the suite.
const REQUIREMENTS: [&str; 2] = ["2025-11-25", "2026-07-28"];

/// Direct and through the gate, compared check by check: a journey like the others, its figures shown.
pub(crate) fn compare() -> Chore {
    test::run(&["--test", "journeys", "conformance", "--", "--nocapture"])
}

/// Against the server at `url`, which must let the suite in without a credential: it can send none.
pub(crate) fn against(url: &str) -> Chore {
    let peers = Peers::install()?;
    let suite = peers.folder.join("node_modules/@modelcontextprotocol/conformance/dist/index.js");
    for revision in REQUIREMENTS {
        let arguments = ["server", "--url", url, "--requirements", revision];
        process::run(Command::new(&peers.node).arg(&suite).args(arguments))?;
    }
    Ok(())
}

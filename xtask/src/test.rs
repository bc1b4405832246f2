//! `cargo xtask test`

use crate::peers::Peers;
use crate::process::{self, Chore, cargo};

/// The one feature no default build has: the upstream of the conformance journey.
pub(crate) const FEATURES: [&str; 2] = ["--features", "octroi-testkit/conformance,octroi-agent/rmcp"];

/// A kind of puzzle that no default build has, for its licence: the rules, and agents before gates that ask for it. The latter with
/// everything else as above, so that only what knows of puzzles is built again.
const EQUIX: [&[&str]; 2] = [
    &["test", "-p", "octroi-pow", "--features", "equix"],
    &[
        "test",
        "--workspace",
        "--features",
        "octroi-testkit/conformance,octroi-agent/rmcp,octroi/equix",
        "--test",
        "journeys",
        "equix",
    ],
];

/// Installs what the tests need and runs them; `more` goes to `cargo test`.
pub(crate) fn run(more: &[&str]) -> Chore {
    let peers = Peers::install()?;
    // The journeys start these as processes; `cargo test` alone builds only some of them.
    process::run(cargo().args(["build", "--workspace", "--bins"]).args(FEATURES))?;
    let mut test = cargo();
    test.args(["test", "--workspace"]).args(FEATURES).args(more);
    peers.tell(&mut test);
    process::run(&mut test)?;
    if more.is_empty() {
        for equix in EQUIX {
            process::run(cargo().args(equix))?;
        }
    }
    Ok(())
}

//! Licences, advisories, duplicates and sources of the dependencies, by deny.toml.

use std::process::Command;

use crate::cache;
use crate::process::{self, Chore, root, succeeds};

const VERSION: &str = "0.20.2";

/// Where the advisory database lives, asked for before anything is left out.
const ADVISORIES: &str = "https://github.com/RustSec/advisory-db";

pub(crate) fn run() -> Chore {
    let deny = cache::tool("cargo-deny", VERSION)?;
    let deny = || {
        let mut command = Command::new(&deny);
        command.current_dir(root());
        command
    };
    if succeeds(deny().args(["fetch", "db"])) {
        return process::run(deny().args(["check", "--disable-fetch"]));
    }
    eprintln!(
        "xtask: NOTE: {ADVISORIES} cannot be reached from here, so known vulnerabilities were NOT looked for;"
    );
    eprintln!("xtask: NOTE: licences, bans and sources are checked all the same.");
    process::run(deny().args(["check", "bans", "licenses", "sources"]))
}

//! `cargo xtask fuzz`: the targets of the fuzz workspace, from their seeds.

use std::fs;
use std::process::Command;

use crate::cache;
use crate::process::{self, Chore, Failure, about, root};

const VERSION: &str = "0.13.2";

/// How long each target runs unless told otherwise, in seconds.
pub(crate) const SECONDS: u32 = 60;

/// Largest input tried, in bytes: the parsers' bounds lie below it, and small inputs find more per second.
const INPUT_BYTES_MAX: u32 = 4096;

/// Runs the targets named in `only`, or all.
pub(crate) fn run(seconds: u32, only: &[&str]) -> Chore {
    let tool = cache::tool("cargo-fuzz", VERSION)?;
    let fuzz = root().join("fuzz");
    let targets = fuzz.join("fuzz_targets");
    let mut names: Vec<String> = fs::read_dir(&targets)
        .map_err(about(&targets))?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".rs").map(str::to_owned))
        .collect();
    names.sort();
    if let Some(unknown) = only.iter().find(|name| !names.iter().any(|known| known == *name)) {
        return Err(Failure::new(format!("no target is called {unknown}; there are {}", names.join(", "))));
    }
    if !only.is_empty() {
        names.retain(|name| only.contains(&name.as_str()));
    }
    for name in names {
        let corpus = fuzz.join("corpus").join(&name);
        fs::create_dir_all(&corpus).map_err(about(&corpus))?;
        // The sanitizers need a nightly compiler; the targets are safe Rust and assert their own properties.
        let mut command = Command::new(&tool);
        command.args(["run", "--sanitizer", "none", "--all-features", &name]).arg(&corpus).current_dir(&fuzz);
        let seeds = fuzz.join("seeds").join(&name);
        if seeds.is_dir() {
            command.arg(seeds);
        }
        command
            .arg("--")
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-max_len={INPUT_BYTES_MAX}"));
        process::run(&mut command)?;
    }
    Ok(())
}

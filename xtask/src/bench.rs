//! `cargo xtask bench`: builds the gate and the measurements as they are shipped, and measures.

use crate::process::{self, Chore, cargo};

/// `more` goes to octroi-bench: which rows, and how many seconds each is measured.
pub(crate) fn run(more: &[&str]) -> Chore {
    if more == ["lightning"] {
        process::run(cargo().args(["build", "--release", "-p", "octroi"]))?;
        let bench = ["run", "--release", "-p", "octroi-bench", "--features", "lightning", "--", "lightning"];
        return process::run(cargo().args(bench));
    }
    // The Lightning node inside the binary is not on the way of a call, and takes minutes to build.
    process::run(cargo().args(["build", "--release", "-p", "octroi", "--no-default-features"]))?;
    process::run(cargo().args(["run", "--release", "-p", "octroi-bench", "--"]).args(more))
}

//! `cargo xtask plots`: the free door under every scripted attack, drawn into the target folder.

use std::process::Command;

use crate::process::{self, Chore, cargo, target_folder};

pub(crate) fn run() -> Chore {
    // The Lightning node inside the binary has nothing to do with it, and takes minutes to build.
    process::run(cargo().args(["build", "--package", "octroi", "--no-default-features"]))?;
    draw()
}

/// With the binary that is there.
pub(crate) fn draw() -> Chore {
    let folder = target_folder().join("plots");
    let mut simulate = Command::new(target_folder().join("debug/octroi"));
    process::run(simulate.args(["pow", "simulate", "--out"]).arg(&folder))?;
    eprintln!("xtask: the pictures are in {}", folder.display());
    Ok(())
}

//! `cargo xtask lint`

use crate::process::{self, Chore, cargo, root};
use crate::{deny, test};

pub(crate) fn run() -> Chore {
    process::run(cargo().args(["fmt", "--all", "--check"]))?;
    process::run(cargo().args(["fmt", "--check"]).current_dir(root().join("fuzz")))?;
    let clippy = ["clippy", "--workspace", "--all-targets"];
    process::run(cargo().args(clippy).args(test::FEATURES).args(["--", "-D", "warnings"]))?;
    // The slim binary, and the kind of puzzle no default build has.
    let slim = ["clippy", "-p", "octroi", "--no-default-features", "--features", "equix"];
    process::run(cargo().args(slim).args(["--", "-D", "warnings"]))?;
    deny::run()
}

//! `cargo xtask lint`

use crate::process::{self, Chore, cargo, root};
use crate::{deny, test};

pub(crate) fn run() -> Chore {
    process::run(cargo().args(["fmt", "--all", "--check"]))?;
    process::run(cargo().args(["fmt", "--check"]).current_dir(root().join("fuzz")))?;
    let clippy = ["clippy", "--workspace", "--all-targets"];
    process::run(cargo().args(clippy).args(test::FEATURES).args(["--", "-D", "warnings"]))?;
    deny::run()
}

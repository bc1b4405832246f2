//! `cargo xtask wasm`: the solver for browsers, built into the asset that the gate serves.
//!
//! The asset is committed, so that building the gate needs no second target. `--check` builds it again and compares: with
//! the compiler named in `solver.wasm.txt` every byte must be the same.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{self, Chore, Failure, about, cargo, output, root, succeeds, target_folder};

const TARGET: &str = "wasm32-unknown-unknown";
const ASSET: &str = "crates/octroi-server/assets/pow/solver.wasm";
const RECORD: &str = "crates/octroi-server/assets/pow/solver.wasm.txt";

/// Builds the asset anew.
pub(crate) fn build() -> Chore {
    if !has_target() {
        return Err(Failure::new(format!("this needs `rustup target add {TARGET}`, which did not work")));
    }
    let built = compile()?;
    let (asset, record) = (root().join(ASSET), root().join(RECORD));
    fs::write(&asset, &built).map_err(about(&asset))?;
    fs::write(&record, format!("Built by `cargo xtask wasm` with\n{}\n", compiler()?)).map_err(about(&record))
}

/// Compares the committed asset with one built now.
pub(crate) fn check() -> Chore {
    if !has_target() {
        eprintln!("xtask: NOTE: the target {TARGET} cannot be installed here, so {ASSET}");
        eprintln!("xtask: NOTE: was NOT built anew and compared with its source.");
        return Ok(());
    }
    let built = compile()?;
    let (asset, record) = (root().join(ASSET), root().join(RECORD));
    let recorded = fs::read_to_string(&record).map_err(about(&record))?;
    let compiler = compiler()?;
    if !recorded.contains(&compiler) {
        eprintln!("xtask: NOTE: {ASSET} was built with another compiler than {compiler};");
        eprintln!("xtask: NOTE: its source builds, but its bytes were NOT compared.");
        return Ok(());
    }
    if fs::read(&asset).map_err(about(&asset))? == built {
        return Ok(());
    }
    Err(Failure::new(format!("{ASSET} is not what its source makes: run `cargo xtask wasm` and commit it")))
}

/// Whether the target's library is here, or can be had.
fn has_target() -> bool {
    let here = || {
        let folder = output(Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]));
        folder.is_some_and(|folder| Path::new(&folder).is_dir())
    };
    here() || (succeeds(Command::new("rustup").args(["target", "add", TARGET])) && here())
}

/// The compiler's name, version and commit.
fn compiler() -> Chore<String> {
    output(Command::new("rustc").arg("--version"))
        .ok_or_else(|| Failure::new("rustc does not say its version"))
}

/// Builds it with the paths of this machine taken out.
fn compile() -> Chore<Vec<u8>> {
    let folder = target_folder().join("wasm");
    fs::create_dir_all(&folder).map_err(about(&folder))?;
    let home = std::env::var("CARGO_HOME").ok().map(PathBuf::from);
    let home = home.or_else(|| std::env::var("HOME").ok().map(|home| PathBuf::from(home).join(".cargo")));
    let mut flags = format!("--remap-path-prefix={}=/octroi", root().display());
    if let Some(home) = home {
        flags.push_str(&format!(" --remap-path-prefix={}=/cargo", home.display()));
    }
    let mut build = cargo();
    let package = ["build", "--package", "octroi-pow-wasm", "--profile", "wasm"];
    build.args(package).args(["--locked", "--target", TARGET, "--target-dir"]).arg(&folder);
    build.env("RUSTFLAGS", flags).env_remove("CARGO_ENCODED_RUSTFLAGS");
    process::run(&mut build)?;
    let built = folder.join(TARGET).join("wasm/octroi_pow_wasm.wasm");
    fs::read(&built).map_err(about(&built))
}

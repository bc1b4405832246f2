//! The folder outside the clone for what is downloaded or built once.

use std::path::PathBuf;

use crate::process::{Chore, Failure, about, cargo, run, succeeds};

/// `$OCTROI_CACHE`, else `octroi` in the user's cache folder.
pub(crate) fn folder() -> Chore<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("OCTROI_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|caches| caches.join("octroi")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/octroi")))
        .ok_or_else(|| Failure::new("set OCTROI_CACHE or HOME: downloads need a folder"))?;
    std::fs::create_dir_all(&folder).map_err(about(&folder))?;
    Ok(folder)
}

/// The path of a cargo tool of exactly this version, built into the cache when it is not there.
pub(crate) fn tool(name: &str, version: &str) -> Chore<PathBuf> {
    let tools = folder()?.join("tools").join(format!("{name}-{version}"));
    let binary = tools.join("bin").join(name);
    if !succeeds(std::process::Command::new(&binary).arg("--version")) {
        eprintln!("xtask: building {name} {version}, once, which takes minutes");
        run(cargo().args(["install", "--locked", &format!("{name}@{version}"), "--root"]).arg(&tools))?;
    }
    Ok(binary)
}

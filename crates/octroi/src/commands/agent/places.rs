//! Where an agent's files lie unless it is told otherwise.

use std::path::PathBuf;

/// The purse, in the folder for a user's data.
pub(super) fn purse() -> Option<PathBuf> {
    data().map(|folder| folder.join("octroi").join("purse.db"))
}

/// The policy, in the folder for a user's settings.
pub(super) fn policy() -> Option<PathBuf> {
    settings().map(|folder| folder.join("octroi").join("policy.toml"))
}

fn set(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}

#[cfg(target_os = "macos")]
fn data() -> Option<PathBuf> {
    set("HOME").map(|home| home.join("Library/Application Support"))
}

#[cfg(target_os = "macos")]
fn settings() -> Option<PathBuf> {
    data()
}

/// XDG Base Directory Specification.
#[cfg(not(target_os = "macos"))]
fn data() -> Option<PathBuf> {
    set("XDG_DATA_HOME").or_else(|| set("HOME").map(|home| home.join(".local/share")))
}

/// XDG Base Directory Specification.
#[cfg(not(target_os = "macos"))]
fn settings() -> Option<PathBuf> {
    set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")))
}

//! Debian's glewlwyd, an identity provider that the tests run: unpacked into the cache, not installed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cache;
use crate::process::{Chore, about, output, run, succeeds};

const PACKAGE: &str = "glewlwyd";

/// Where it was unpacked with the libraries this machine lacks; `None` where there are no Debian packages, which is said
/// aloud.
pub(crate) fn unpacked() -> Chore<Option<PathBuf>> {
    let debian = ["apt-get", "apt-cache", "dpkg", "dpkg-query"];
    if !debian.iter().all(|tool| succeeds(Command::new(tool).arg("--version"))) {
        eprintln!("xtask: WARNING: no Debian packages here: {PACKAGE} will NOT be tested");
        return Ok(None);
    }
    if needs().is_empty() {
        let is_root = output(Command::new("id").arg("-u")).as_deref() == Some("0");
        if is_root {
            run(Command::new("apt-get").arg("update"))?;
        }
    }
    let packages = needs();
    if packages.is_empty() {
        eprintln!("xtask: WARNING: apt knows no package {PACKAGE}: it will NOT be tested");
        return Ok(None);
    }
    let version = output(Command::new("apt-cache").args(["show", "--no-all-versions", PACKAGE]))
        .and_then(|text| Some(text.lines().find_map(|line| line.strip_prefix("Version: "))?.to_owned()))
        .unwrap_or_default();
    let safe = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let folder =
        cache::folder()?.join(format!("{PACKAGE}-{}", version.chars().map(safe).collect::<String>()));
    if !folder.join("complete").exists() {
        unpack(&packages, &folder)?;
    }
    Ok(Some(folder.join("root")))
}

fn unpack(packages: &BTreeSet<String>, folder: &Path) -> Chore {
    let (files, root) = (folder.join("packages"), folder.join("root"));
    for fresh in [&files, &root] {
        // What an interrupted run left is of no use.
        if fresh.exists() {
            fs::remove_dir_all(fresh).map_err(about(fresh))?;
        }
        fs::create_dir_all(fresh).map_err(about(fresh))?;
    }
    run(Command::new("apt-get").arg("download").args(packages).current_dir(&files))?;
    for file in fs::read_dir(&files).map_err(about(&files))?.flatten() {
        run(Command::new("dpkg").arg("-x").arg(file.path()).arg(&root))?;
    }
    let mark = folder.join("complete");
    fs::write(&mark, "").map_err(about(&mark))
}

/// The package and the libraries it needs, directly or not, that are not installed.
fn needs() -> BTreeSet<String> {
    let mut wanted = vec![PACKAGE.to_owned()];
    let mut needs = BTreeSet::new();
    while let Some(package) = wanted.pop() {
        if needs.contains(&package) || is_installed(&package) {
            continue;
        }
        let depends =
            ["depends", "--no-recommends", "--no-suggests", "--no-conflicts", "--no-breaks", "--no-replaces"];
        let Some(listed) = output(Command::new("apt-cache").args(depends).arg(&package)) else { continue };
        wanted.extend(libraries(&listed));
        needs.insert(package);
    }
    needs
}

/// The libraries in what `apt-cache depends` prints. Everything else, such as a database server's set-up, is of no use to
/// a program that is only unpacked.
fn libraries(listed: &str) -> Vec<String> {
    let dependency = |line: &str| {
        let (kind, name) = line.trim_start().trim_start_matches('|').split_once(": ")?;
        (kind.ends_with("Depends") && name.starts_with("lib")).then(|| name.to_owned())
    };
    listed.lines().filter_map(dependency).collect()
}

fn is_installed(package: &str) -> bool {
    let status = output(Command::new("dpkg-query").args(["-W", "-f=${Status}", package]));
    status.is_some_and(|status| status.ends_with(" installed"))
}

#[cfg(test)]
mod tests {
    use super::libraries;

    #[test]
    fn libraries_are_read() {
        let listed = "glewlwyd\n  PreDepends: init-system-helpers\n  Depends: libulfius2.7\n |Depends: libyder2.0\n  Depends: <debconf-2.0>\n    cdebconf\n  Depends: sqlite3\n";
        assert_eq!(libraries(listed), ["libulfius2.7", "libyder2.0"]);
    }
}

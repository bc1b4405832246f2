//! Running other programs, each shown before it runs.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// How a chore ends.
pub(crate) type Chore<T = ()> = Result<T, Failure>;

/// Why a chore stopped, in words for the person who started it.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What failed about a file or folder.
pub(crate) fn about(path: &Path) -> impl FnOnce(std::io::Error) -> Failure {
    move |error| Failure::new(format!("{}: {error}", path.display()))
}

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// The folder that cargo builds into.
pub(crate) fn target_folder() -> PathBuf {
    let set = std::env::var_os("CARGO_TARGET_DIR").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    root().join(set.unwrap_or_else(|| PathBuf::from("target")))
}

/// The cargo that runs this.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    cargo
}

/// Runs the command with its output shown; an exit code other than 0 is a failure.
pub(crate) fn run(command: &mut Command) -> Chore {
    eprintln!("+ {}", shown(command));
    let status = command
        .status()
        .map_err(|error| Failure::new(format!("cannot start {}: {error}", shown(command))))?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure::new(format!("{} ended with {status}", shown(command))))
    }
}

/// Whether the command can be started and succeeds; its output is not shown.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}

/// What the command prints, or `None` when it cannot be started or fails.
pub(crate) fn output(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    if !output.status.success() {
        return None;
    }
    String::from_utf8(output.stdout).ok().map(|text| text.trim().to_owned())
}

/// The command as a person would type it, the program without its folder.
fn shown(command: &Command) -> String {
    let program = PathBuf::from(command.get_program());
    let program = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
    command.get_args().fold(program, |line, argument| {
        let argument = argument.to_string_lossy();
        if argument.contains(char::is_whitespace) {
            format!("{line} '{argument}'")
        } else {
            format!("{line} {argument}")
        }
    })
}

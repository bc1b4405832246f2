//! What a configuration may refer to beyond its own text: environment variables and files.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// Longest secret read from a file, in bytes.
const SECRET_FILE_BYTES_MAX: u64 = 64 * 1024;

/// The surroundings of a configuration, so that reading one can be tried without them.
pub trait Outside {
    /// All environment variables that are text.
    fn variables(&self) -> Vec<(String, String)>;

    /// The content of a small text file.
    ///
    /// # Errors
    /// What the system says, or that the file is too long or no text.
    fn read(&self, path: &Path) -> io::Result<String>;
}

/// The environment and the files of this process.
#[derive(Clone, Copy, Debug)]
pub struct Process;

impl Outside for Process {
    fn variables(&self) -> Vec<(String, String)> {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    fn read(&self, path: &Path) -> io::Result<String> {
        read_text(path, SECRET_FILE_BYTES_MAX)
    }
}

/// Reads at most `limit` bytes of text; a longer file is an error.
pub(super) fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("longer than {limit} bytes")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        io::Error::new(io::ErrorKind::InvalidData, format!("not UTF-8 text from line {line} on"))
    })
}

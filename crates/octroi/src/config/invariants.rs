//! What must hold for any text at all. The fuzz target and the property tests call this; nothing else does.

use std::io;
use std::path::Path;

use super::{Config, ConfigArgs, Format, Outside, Place};

/// Surroundings with nothing in them, so that no text can reach the machine it is tried on.
struct Nowhere;

impl Outside for Nowhere {
    fn variables(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    fn read(&self, _: &Path) -> io::Result<String> {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// Text in any format is read or refused; every refusal says what is wrong and on which of the file's lines, except
/// that the file is too long; and what is read can be remarked on and moved to another address.
///
/// # Panics
/// When this does not hold.
pub fn config(text: &str, format: Format) {
    let mistakes = match Config::from_text(text, format, &ConfigArgs::new("octroi"), &Nowhere) {
        Ok(config) => {
            assert!(!config.servers.is_empty());
            assert!(config.notes().iter().all(|note| !note.is_empty()));
            let address = config.listen;
            assert_eq!(config.bound_to(address).listen, address);
            return;
        }
        Err(mistakes) => mistakes.0,
    };
    assert!(!mistakes.is_empty());
    let lines = text.lines().count().max(1);
    for mistake in &mistakes {
        assert!(!mistake.problem.is_empty());
        match mistake.place {
            Place::Line { line, .. } => {
                assert!((1..=lines).contains(&line), "line {line} of {lines}: {mistake}")
            }
            Place::File(_) => assert!(text.len() > 1 << 20, "no line: {mistake}"),
            Place::Variable(_) | Place::Flag(_) => panic!("nothing was overridden: {mistake}"),
        }
    }
}

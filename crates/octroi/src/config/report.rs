//! The mistakes of a configuration, and the places they are noted at.

use std::cell::RefCell;
use std::path::Path;

use super::Secret;
use super::mistake::{Mistake, Mistakes, Place};
use super::outside::Outside;
use super::tree::Origin;

/// Collects mistakes.
pub(super) struct Report<'s> {
    file: &'s str,
    /// Parsers place what is missing at the end one line further.
    last_line: usize,
    found: RefCell<Vec<(Origin, Mistake)>>,
    outside: &'s dyn Outside,
}

/// A place in the configuration that can be complained about.
#[derive(Clone)]
pub(super) struct Spot<'t> {
    pub(super) report: &'t Report<'t>,
    pub(super) path: String,
    pub(super) origin: Origin,
}

impl<'s> Report<'s> {
    pub(super) fn new(file: &'s str, text: &str, outside: &'s dyn Outside) -> Self {
        Self { file, last_line: text.lines().count().max(1), found: RefCell::default(), outside }
    }

    pub(super) fn add(&self, origin: &Origin, field: &str, problem: impl Into<String>, fix: Option<String>) {
        let place = match origin {
            Origin::Line(line) => {
                Place::Line { file: self.file.to_owned(), line: (*line).min(self.last_line) }
            }
            Origin::Variable(name) => Place::Variable(name.to_string()),
            Origin::Flag(name) => Place::Flag(name.to_string()),
        };
        let mistake = Mistake { place, field: field.to_owned(), problem: problem.into(), fix };
        self.found.borrow_mut().push((origin.clone(), mistake));
    }

    /// All mistakes in the order they are written, or none.
    pub(super) fn finish(self) -> Result<(), Mistakes> {
        let mut found = self.found.into_inner();
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        if found.is_empty() {
            Ok(())
        } else {
            Err(Mistakes(found.into_iter().map(|(_, mistake)| mistake).collect()))
        }
    }

    pub(super) const fn outside(&self) -> &dyn Outside {
        self.outside
    }
}

impl Spot<'_> {
    /// Notes a mistake here, and what to write instead.
    pub(super) fn wrong(&self, problem: impl Into<String>, fix: impl Into<String>) {
        self.report.add(&self.origin, &self.path, problem, Some(fix.into()));
    }

    /// Notes a mistake in another file that this place names.
    #[cfg(feature = "cedar")]
    pub(super) fn wrong_in_file(
        &self,
        file: &Path,
        line: usize,
        problem: impl Into<String>,
        fix: impl Into<String>,
    ) {
        let place = Place::Line { file: file.display().to_string(), line };
        let mistake = Mistake { place, field: String::new(), problem: problem.into(), fix: Some(fix.into()) };
        self.report.found.borrow_mut().push((self.origin.clone(), mistake));
    }

    /// What lies beyond the configuration's own text.
    #[cfg(feature = "cedar")]
    pub(super) fn outside(&self) -> &dyn Outside {
        self.report.outside
    }

    /// Whether this was said on the command line.
    pub(super) const fn is_flag(&self) -> bool {
        matches!(self.origin, Origin::Flag(_))
    }

    /// Reads `written` as a secret: itself, or what `env:NAME` or `file:PATH` refers to.
    pub(super) fn secret(&self, written: &str) -> Option<Secret> {
        if let Some(name) = written.strip_prefix("env:") {
            let found = self.report.outside.variables().into_iter().find(|(variable, _)| variable == name);
            if found.is_none() {
                self.wrong(
                    format!("environment variable {name} is not set"),
                    format!("set {name} before starting octroi"),
                );
            }
            return found.map(|(_, value)| Secret::new(value));
        }
        let Some(path) = written.strip_prefix("file:") else { return Some(Secret::new(written)) };
        match self.report.outside.read(Path::new(path)) {
            Ok(text) => Some(Secret::new(text.trim_end_matches(['\r', '\n']))),
            Err(error) => {
                self.wrong(
                    format!("cannot read {path}: {error}"),
                    "name a readable file that holds only the secret",
                );
                None
            }
        }
    }
}

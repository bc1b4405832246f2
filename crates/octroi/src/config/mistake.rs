//! What is wrong with a configuration, where, and what to write instead.

use std::fmt;

/// One thing wrong: place, field, reason, remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where it was written.
    pub place: Place,
    /// The field, as a dotted path (`mcp_server.tools[0].name`); empty for the file as a whole.
    pub field: String,
    /// What is wrong.
    pub problem: String,
    /// What to write instead, when that can be said.
    pub fix: Option<String>,
}

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A line of the file, counted from 1.
    Line {
        /// The file as named on the command line.
        file: String,
        /// The line.
        line: usize,
    },
    /// An environment variable, by name.
    Variable(String),
    /// A command-line flag, by name.
    Flag(String),
    /// The file as a whole: it could not be read.
    File(String),
}

/// All mistakes of one configuration, in the order they are written; never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { file, line } => write!(f, "{file}:{line}"),
            Self::Variable(name) | Self::Flag(name) | Self::File(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.problem)?;
        match &self.fix {
            Some(fix) => write!(f, "\n  fix: {fix}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            mistake.fmt(f)?;
        }
        Ok(())
    }
}

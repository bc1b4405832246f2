//! Why nothing could be measured, in words for the person who asked.

use std::fmt;

/// The outcome of whatever may stop a measurement.
pub(crate) type Measured<T = ()> = Result<T, Failure>;

/// A measurement that is not there. A wrong figure is worse than none, so any error on the way ends the run.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }

    /// `what` failed with this error.
    pub(crate) fn of<E: fmt::Display>(what: &str) -> impl FnOnce(E) -> Self + '_ {
        move |error| Self(format!("{what}: {error}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

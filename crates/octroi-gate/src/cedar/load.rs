//! From the text of a policy file to policies that can be evaluated, or to what is wrong and where.

use cedar_policy::{ParseErrors, PolicySet, ValidationMode, Validator};
use miette::Diagnostic;

use super::{ArgumentRule, schema};

/// A mistake in a policy file. The operator's to mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyMistake {
    /// The line, counted from 1; `None` when it is about the file as a whole.
    pub line: Option<usize>,
    /// What is wrong.
    pub problem: String,
    /// What Cedar suggests to write instead.
    pub help: Option<String>,
}

impl PolicyMistake {
    pub(super) fn of_file(problem: impl Into<String>) -> Self {
        Self { line: None, problem: problem.into(), help: None }
    }

    fn new(text: &str, diagnostic: &dyn Diagnostic) -> Self {
        let at = diagnostic.labels().and_then(|mut labels| labels.next()).map(|label| label.offset());
        let line = at.map(|at| {
            let before = text.as_bytes().get(..at).unwrap_or(text.as_bytes());
            before.iter().filter(|byte| **byte == b'\n').count() + 1
        });
        let help = diagnostic.help().map(|help| help.to_string());
        Self { line, problem: one_line(&diagnostic.to_string()), help: help.map(|help| one_line(&help)) }
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Parses and validates.
///
/// Warnings count as mistakes: a policy that can never apply, or whose letters only look like others, is not what its author
/// meant.
pub(super) fn policies(text: &str, arguments: &[ArgumentRule]) -> Result<PolicySet, Vec<PolicyMistake>> {
    let policies: PolicySet = text.parse().map_err(|errors: ParseErrors| {
        errors.iter().map(|error| PolicyMistake::new(text, error)).collect::<Vec<_>>()
    })?;
    if policies.is_empty() {
        return Err(vec![PolicyMistake::of_file("there is no policy in it, so every call would be refused")]);
    }
    if policies.num_of_templates() > 0 {
        let problem = "policies with ?principal or ?resource are not linked to anything here";
        return Err(vec![PolicyMistake::of_file(problem)]);
    }
    let schema = schema::schema(arguments).map_err(|error| vec![PolicyMistake::of_file(error)])?;
    let judged = Validator::new(schema).validate(&policies, ValidationMode::Strict);
    let errors = judged.validation_errors().map(|error| PolicyMistake::new(text, error));
    let warnings = judged.validation_warnings().map(|warning| PolicyMistake::new(text, warning));
    let mut mistakes: Vec<PolicyMistake> = errors.chain(warnings).collect();
    mistakes.sort_by_key(|mistake| mistake.line);
    mistakes.dedup();
    if mistakes.is_empty() { Ok(policies) } else { Err(mistakes) }
}

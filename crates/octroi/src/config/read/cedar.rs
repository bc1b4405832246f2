//! `auth.cedar`: policies in Cedar, and the arguments they may look at.

/// Reads the section, and the policies. `server` is the name that policies know the server by.
#[cfg(not(feature = "cedar"))]
pub(super) fn read(
    field: &super::super::reader::Field<'_>,
    _server: &str,
) -> Option<super::super::CedarConfig> {
    if field.is_given() {
        field.spot.wrong(
            "this octroi was built without Cedar",
            "use a build with the feature `cedar`, or say it with roles, groups and scopes",
        );
    }
    None
}

#[cfg(feature = "cedar")]
pub(super) use with_cedar::read;

#[cfg(feature = "cedar")]
mod with_cedar {
    use std::path::PathBuf;
    use std::sync::Arc;

    use octroi_gate::cedar::{ArgumentRule, ArgumentType, CedarPolicy};
    use octroi_gate::policy::Pattern;

    use super::super::super::CedarConfig;
    use super::super::super::reader::{Field, Section, shortened};

    /// Most arguments that policies may look at.
    const ARGUMENTS_MAX: usize = 256;

    /// Reads the section, and the policies. `server` is the name that policies know the server by.
    pub(in super::super) fn read(field: &Field<'_>, server: &str) -> Option<CedarConfig> {
        if !field.is_given() {
            return None;
        }
        let section = field.section();
        let file = section.field("policies");
        if !file.is_given() && field.is_table() {
            section.spot.wrong("no `policies`", "add policies = \"policies.cedar\"");
        }
        let path = file.filled("policies.cedar").map(PathBuf::from);
        let arguments = arguments(section.section("arguments"));
        section.finish();
        let path = path?;
        let text = match file.spot.outside().read(&path) {
            Ok(text) => text,
            Err(error) => {
                let problem = format!("cannot read {}: {error}", path.display());
                file.spot.wrong(problem, "name a readable file of Cedar policies");
                return None;
            }
        };
        match CedarPolicy::load(&text, server, arguments) {
            Ok(policies) => {
                let count = policies.count();
                Some(CedarConfig { path, count, policies: Arc::new(policies) })
            }
            Err(mistakes) => {
                for mistake in mistakes {
                    let help = mistake
                        .help
                        .unwrap_or_else(|| "see docs/identity.md for what policies may say".to_owned());
                    file.spot.wrong_in_file(&path, mistake.line.unwrap_or(1), mistake.problem, help);
                }
                None
            }
        }
    }

    /// `{ transfer = { amount = "Long" } }`: for each tool or prompt, its arguments and their types.
    fn arguments(section: Section<'_>) -> Vec<ArgumentRule> {
        let mut rules: Vec<ArgumentRule> = Vec::new();
        for (subject, field) in section.entries() {
            for (path, typed) in field.section().entries() {
                let kind = typed.choice(&ArgumentType::NAMES);
                if !is_path(path) {
                    let problem = format!("\"{}\" is no name of an argument", shortened(path));
                    typed.spot.wrong(problem, "write its name, with dots between names inside of objects");
                    continue;
                }
                let Some(kind) = kind else { continue };
                if let Some(other) = rules.iter().find(|other| other.path == path && other.kind != kind) {
                    let problem = format!("{path} is a {} elsewhere", other.kind.cedar_name());
                    typed.spot.wrong(
                        problem,
                        "a name has one type for all tools of a server; leave one of them out",
                    );
                }
                rules.push(ArgumentRule { subject: Pattern::new(subject), path: path.to_owned(), kind });
            }
        }
        if rules.len() > ARGUMENTS_MAX {
            section
                .spot
                .wrong(format!("more than {ARGUMENTS_MAX} arguments"), "name those that policies look at");
        }
        rules
    }

    fn is_path(path: &str) -> bool {
        path.split('.').all(|name| !name.is_empty())
            && path.chars().all(|c| !c.is_control() && !matches!(c, '"' | '\\'))
    }
}

//! Laying the environment and the command line over the file's tree.
//!
//! Later wins: the file, then `OCTROI_SECTION__FIELD` variables, then `--set section.field=value`, then the flags
//! with a name of their own.

use std::rc::Rc;

use zeroize::Zeroizing;

use super::ConfigArgs;
use super::report::Report;
use super::tree::{DEPTH_MAX, Entry, Node, Origin, Table, Value, parse_toml_value};

const PREFIX: &str = "OCTROI_";

/// Variables without a section; any other `OCTROI_X` is left alone, since Kubernetes sets `OCTROI_PORT` and
/// its like for a service of that name.
const TOP_FIELDS: [&str; 3] = ["listen", "public_url", "trusted_proxies"];

pub(super) fn apply(root: &mut Node, args: &ConfigArgs, report: &Report<'_>) {
    let mut variables = report.outside().variables();
    variables.sort();
    for (name, value) in variables {
        apply_variable(root, &name, &value, report);
    }
    for written in &args.set {
        apply_set(root, written, report);
    }
    let flags = [
        ("--listen", "listen", args.listen.map(|address| address.to_string())),
        ("--public-url", "public_url", args.public_url.as_ref().map(ToString::to_string)),
    ];
    for (flag, field, value) in flags {
        if let Some(value) = value {
            put(root, &[field.to_owned()], Node::flag(flag, value), report);
        }
    }
    if let Some(url) = &args.upstream {
        apply_to_server(root, &["upstream"], Node::flag("--upstream", url.to_string()), report);
    }
    if let Some(issuer) = &args.issuer {
        apply_to_server(
            root,
            &["auth", "identity", "issuer"],
            Node::flag("--issuer", issuer.clone()),
            report,
        );
    }
}

impl Node {
    fn flag(name: &str, value: String) -> Self {
        Self { origin: Origin::Flag(Rc::from(name)), value: Value::Text(Zeroizing::new(value)) }
    }
}

fn apply_variable(root: &mut Node, name: &str, value: &str, report: &Report<'_>) {
    let Some(path) = name.strip_prefix(PREFIX).map(str::to_ascii_lowercase) else { return };
    // Compose files pass unset variables on as empty ones.
    if value.is_empty() {
        return;
    }
    let path: Vec<String> = path.split("__").map(str::to_owned).collect();
    let known = match path.as_slice() {
        [field] => TOP_FIELDS.contains(&field.as_str()),
        _ => true,
    };
    if known {
        let origin = Origin::Variable(Rc::from(name));
        lay(root, &path, value, &origin, report);
    }
}

fn apply_set(root: &mut Node, written: &str, report: &Report<'_>) {
    let origin = |path: &str| Origin::Flag(Rc::from(format!("--set {path}")));
    let Some((path, value)) = split_assignment(written) else {
        let fix = Some("write --set section.field=value".to_owned());
        // What was written may hold a secret.
        report.add(&origin("…"), "", "no `=` after the field", fix);
        return;
    };
    match split_path(path) {
        Some(steps) => lay(root, &steps, value, &origin(path), report),
        None => {
            let fix = Some("write names between dots; quote a name that holds one: a.\"b.c\"=1".to_owned());
            report.add(&origin(path), "", "not a path of names", fix);
        }
    }
}

/// Splits at the first `=` outside quotes.
fn split_assignment(written: &str) -> Option<(&str, &str)> {
    let mut quoted = false;
    let at = written.char_indices().find_map(|(at, c)| {
        quoted ^= c == '"';
        (c == '=' && !quoted).then_some(at)
    })?;
    Some((written[..at].trim(), written[at + 1..].trim()))
}

/// Splits at dots outside quotes.
fn split_path(path: &str) -> Option<Vec<String>> {
    let (mut steps, mut quoted) = (vec![String::new()], false);
    for c in path.chars() {
        match c {
            '"' => quoted = !quoted,
            '.' if !quoted => steps.push(String::new()),
            c => steps.last_mut()?.push(c),
        }
    }
    (!quoted && steps.iter().all(|step| !step.is_empty())).then_some(steps)
}

/// Reads `value` (a TOML list, table or quoted text, else plain text of whatever type the field wants) and puts
/// it at `path`.
fn lay(root: &mut Node, path: &[String], value: &str, origin: &Origin, report: &Report<'_>) {
    let node = if value.starts_with(['[', '{', '"', '\'']) {
        match parse_toml_value(value, origin) {
            Ok(node) => node,
            Err(problem) => {
                let fix = Some("write it as in TOML: [\"a\", \"b\"], { sats = 3 }".to_owned());
                report.add(origin, &path.join("."), format!("not a value: {problem}"), fix);
                return;
            }
        }
    } else {
        Node { origin: origin.clone(), value: Value::Loose(Zeroizing::new(value.to_owned())) }
    };
    put(root, path, node, report);
}

fn put(root: &mut Node, path: &[String], node: Node, report: &Report<'_>) {
    let origin = node.origin.clone();
    if path.len() > DEPTH_MAX {
        report.add(
            &origin,
            "",
            format!("deeper than {DEPTH_MAX} names"),
            Some("name a known field".to_owned()),
        );
        return;
    }
    let Some(slot) = path.iter().try_fold(root, |at, step| descend(at, step, &origin)) else {
        let fix = "name fields of sections, and items of lists by their number from 0".to_owned();
        report.add(&origin, &path.join("."), "no such place in the file", Some(fix));
        return;
    };
    *slot = node;
}

/// The child called `step`, made when it is not there. A file's mistake in `at` is left for its own message.
fn descend<'n>(at: &'n mut Node, step: &str, origin: &Origin) -> Option<&'n mut Node> {
    if matches!(at.value, Value::Null) {
        at.value = Value::Table(Table::default());
    }
    let blank = || Node { origin: origin.clone(), value: Value::Null };
    match &mut at.value {
        Value::Table(table) => {
            let folded = || table.entries.iter().position(|entry| entry.key.eq_ignore_ascii_case(step));
            let at = table.position(step).or_else(folded);
            let at = at.unwrap_or_else(|| {
                table.entries.push(Entry { key: step.to_owned(), key_origin: origin.clone(), node: blank() });
                table.entries.len() - 1
            });
            table.entries.get_mut(at).map(|entry| &mut entry.node)
        }
        Value::List(items) => {
            let index: usize = step.parse().ok()?;
            if index == items.len() {
                items.push(blank());
            }
            items.get_mut(index)
        }
        _ => None,
    }
}

/// Puts a flag's value into the one server there is; the flags do not say which of several is meant.
fn apply_to_server(root: &mut Node, path: &[&str], node: Node, report: &Report<'_>) {
    let Value::Table(table) = &mut root.value else { return };
    let mut steps = match table.get("mcp_servers").map(|entry| &entry.node.value) {
        Some(Value::Table(servers)) => match servers.entries.as_slice() {
            [server] => vec!["mcp_servers".to_owned(), server.key.clone()],
            [] => vec!["mcp_server".to_owned()],
            [server, ..] => {
                let example = format!("use --set mcp_servers.{}.{}=…", server.key, path.join("."));
                report.add(&node.origin, "", "the file has several servers", Some(example));
                return;
            }
        },
        _ => vec!["mcp_server".to_owned()],
    };
    steps.extend(path.iter().map(|step| (*step).to_owned()));
    put(root, &steps, node, report);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_split_at_the_first_equals_outside_quotes() {
        assert_eq!(split_assignment("a.b = c=d"), Some(("a.b", "c=d")));
        assert_eq!(split_assignment("a.\"x=y\"=1"), Some(("a.\"x=y\"", "1")));
        assert_eq!(split_assignment("a.b"), None);
    }

    #[test]
    fn paths_split_at_dots_outside_quotes() {
        assert_eq!(split_path("a.\"b.c\".0"), Some(vec!["a".into(), "b.c".into(), "0".into()]));
        assert_eq!(split_path("a..b"), None);
        assert_eq!(split_path("a.\"b"), None);
        assert_eq!(split_path(""), None);
    }
}

//! Reading fields out of the tree, with every mistake noted at its place.
//!
//! A reader never fails: a wrong value is reported and read as absent, so that the rest is still checked.

use std::cell::RefCell;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::Secret;
use super::nearest::nearest;
use super::report::{Report, Spot};
use super::tree::{Node, Table, Value};

/// A table of named fields.
pub(super) struct Section<'t> {
    pub(super) spot: Spot<'t>,
    table: Option<&'t Table>,
    asked: RefCell<Vec<&'static str>>,
}

/// One field, given or not.
#[derive(Clone)]
pub(super) struct Field<'t> {
    pub(super) spot: Spot<'t>,
    node: Option<&'t Node>,
}

impl<'t> Section<'t> {
    pub(super) fn root(report: &'t Report<'t>, root: &'t Node) -> Self {
        let spot = Spot { report, path: String::new(), origin: root.origin.clone() };
        let table = if let Value::Table(table) = &root.value { Some(table) } else { None };
        Self { spot, table, asked: RefCell::default() }
    }

    /// The field of this name; asking makes the name known.
    pub(super) fn field(&self, name: &'static str) -> Field<'t> {
        self.asked.borrow_mut().push(name);
        let entry = self.table.and_then(|table| table.get(name));
        let node = entry.map(|entry| &entry.node).filter(|node| !matches!(node.value, Value::Null));
        let origin = node.map_or(&self.spot.origin, |node| &node.origin).clone();
        Field { spot: Spot { report: self.spot.report, path: join(&self.spot.path, name), origin }, node }
    }

    /// The section of this name; without one, an empty section at the same place.
    pub(super) fn section(&self, name: &'static str) -> Self {
        self.field(name).section()
    }

    /// All entries, for a table whose names are free.
    pub(super) fn entries(&self) -> Vec<(&'t str, Field<'t>)> {
        let entries = self.table.map_or(&[][..], |table| table.entries.as_slice());
        let field = |key: &str, node: &'t Node| Field {
            spot: Spot {
                report: self.spot.report,
                path: join(&self.spot.path, key),
                origin: node.origin.clone(),
            },
            node: Some(node),
        };
        entries.iter().map(|entry| (entry.key.as_str(), field(&entry.key, &entry.node))).collect()
    }

    /// Complains about given fields that only make sense under `condition`.
    pub(super) fn only_with(&self, names: &[&'static str], condition: &str) {
        for name in names {
            let field = self.field(name);
            if field.is_given() {
                field.spot.wrong(format!("only used with {condition}"), "remove it");
            }
        }
    }

    /// As [`only_with`](Self::only_with), unless the field was asked for before.
    pub(super) fn only_with_once(&self, name: &'static str, condition: &str) {
        if !self.asked.borrow().contains(&name) {
            self.only_with(&[name], condition);
        }
    }

    /// Complains about every field nobody asked for.
    pub(super) fn finish(self) {
        let asked = self.asked.into_inner();
        let entries = self.table.map_or(&[][..], |table| table.entries.as_slice());
        for entry in entries.iter().filter(|entry| !asked.contains(&entry.key.as_str())) {
            let fix = match nearest(&entry.key, &asked) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("known here: {}", asked.join(", ")),
            };
            self.spot.report.add(
                &entry.key_origin,
                &join(&self.spot.path, &entry.key),
                "unknown field",
                Some(fix),
            );
        }
    }
}

impl<'t> Field<'t> {
    pub(super) const fn is_given(&self) -> bool {
        self.node.is_some()
    }

    fn wrong_kind(&self, node: &Node, expected: &str, fix: impl Into<String>) {
        self.spot.wrong(format!("expected {expected}, found {}", node.value.kind()), fix);
    }

    /// Text. `example` shows what to write, without quotes.
    pub(super) fn text(&self, example: &str) -> Option<&'t str> {
        let node = self.node?;
        match &node.value {
            Value::Text(text) | Value::Loose(text) => Some(text),
            _ => {
                self.wrong_kind(node, "text", format!("write \"{example}\""));
                None
            }
        }
    }

    /// Text that is not empty.
    pub(super) fn filled(&self, example: &str) -> Option<&'t str> {
        let text = self.text(example)?;
        if text.trim().is_empty() {
            self.spot.wrong("empty", format!("write \"{example}\""));
            return None;
        }
        Some(text)
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        let node = self.node?;
        match &node.value {
            Value::Boolean(value) => return Some(*value),
            Value::Loose(text) => {
                if let Ok(value) = text.trim().parse() {
                    return Some(value);
                }
            }
            _ => {}
        }
        self.wrong_kind(node, "true or false", "write true or false, without quotes");
        None
    }

    /// A whole number within `range`, in `unit` (for the message; may be empty).
    pub(super) fn integer(&self, range: RangeInclusive<i64>, unit: &str) -> Option<i64> {
        let node = self.node?;
        let (low, high) = (range.start(), range.end());
        let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
        let number = match &node.value {
            Value::Integer(number) => Some(*number),
            Value::Loose(text) => text.trim().parse().ok(),
            _ => None,
        };
        let Some(number) = number else {
            self.wrong_kind(node, "a whole number", format!("write {low} to {high}{unit}, without quotes"));
            return None;
        };
        if !range.contains(&number) {
            self.spot.wrong(format!("{number} is out of range"), format!("write {low} to {high}{unit}"));
            return None;
        }
        Some(number)
    }

    /// A number of seconds within `range`.
    pub(super) fn seconds(&self, range: RangeInclusive<i64>) -> Option<Duration> {
        self.integer(range, "seconds").map(|seconds| Duration::from_secs(seconds.unsigned_abs()))
    }

    /// A whole number within `range` as whatever integer type it fits.
    pub(super) fn number<N: TryFrom<i64>>(&self, range: RangeInclusive<i64>, unit: &str) -> Option<N> {
        self.integer(range, unit).and_then(|number| N::try_from(number).ok())
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&self, words: &[(&'static str, T)]) -> Option<T> {
        let names: Vec<&'static str> = words.iter().map(|(word, _)| *word).collect();
        let written = self.text(names.first().copied().unwrap_or_default())?;
        let found = words.iter().find(|(word, _)| *word == written);
        if found.is_none() {
            let fix = match nearest(written, &names) {
                Some(name) => format!("did you mean \"{name}\"?"),
                None => format!("write one of {}", names.join(", ")),
            };
            self.spot.wrong(format!("\"{}\" is not known", shortened(written)), fix);
        }
        found.map(|(_, value)| *value)
    }

    /// A list of texts; a single text is a list of one, and from outside the file commas separate.
    pub(super) fn texts(&self, example: &str) -> Vec<(Spot<'t>, String)> {
        let Some(node) = self.node else { return Vec::new() };
        match &node.value {
            Value::Text(text) => vec![(self.spot.clone(), text.to_string())],
            Value::Loose(text) => {
                let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
                words.map(|word| (self.spot.clone(), word.to_owned())).collect()
            }
            Value::List(_) => {
                let items = self.items();
                items
                    .iter()
                    .filter_map(|item| Some((item.spot.clone(), item.filled(example)?.to_owned())))
                    .collect()
            }
            _ => {
                self.wrong_kind(node, "a list of texts", format!("write [\"{example}\"]"));
                Vec::new()
            }
        }
    }

    /// The value as JSON, for fields whose form a library knows. From outside the file, text is text.
    pub(super) fn json(&self) -> Option<serde_json::Value> {
        let node = self.node?;
        let value = node.value.to_json();
        if value.is_none() {
            self.wrong_kind(node, "text, numbers, lists and tables", "see docs/identity.md for its form");
        }
        value
    }

    /// The items of a list.
    pub(super) fn items(&self) -> Vec<Self> {
        let Some(node) = self.node else { return Vec::new() };
        let Value::List(items) = &node.value else {
            self.wrong_kind(node, "a list", "write [ … ]");
            return Vec::new();
        };
        let item = |(index, node): (usize, &'t Node)| Self {
            spot: Spot {
                report: self.spot.report,
                path: format!("{}[{index}]", self.spot.path),
                origin: node.origin.clone(),
            },
            node: Some(node),
        };
        items.iter().enumerate().map(item).collect()
    }

    /// A table; without one, an empty section at the same place.
    pub(super) fn section(&self) -> Section<'t> {
        let table = match self.node.map(|node| (&node.value, node)) {
            Some((Value::Table(table), _)) => Some(table),
            Some((_, node)) => {
                self.wrong_kind(
                    node,
                    "a table of fields",
                    "write { field = value }, or a section of its own",
                );
                None
            }
            None => None,
        };
        Section { spot: self.spot.clone(), table, asked: RefCell::default() }
    }

    /// Whether a table stands here.
    pub(super) fn is_table(&self) -> bool {
        self.node.is_some_and(|node| matches!(node.value, Value::Table(_)))
    }

    /// Whether `false` stands here.
    pub(super) fn is_false(&self) -> bool {
        self.node.is_some_and(|node| match &node.value {
            Value::Boolean(value) => !value,
            Value::Loose(text) => text.trim() == "false",
            _ => false,
        })
    }

    /// Whether this very text stands here.
    pub(super) fn is_word(&self, word: &str) -> bool {
        self.node.is_some_and(|node| match &node.value {
            Value::Text(text) => **text == *word,
            Value::Loose(text) => text.trim() == word,
            _ => false,
        })
    }

    /// A secret, fetched from where `env:NAME` or `file:PATH` says.
    pub(super) fn secret(&self) -> Option<Secret> {
        let written = self.filled("env:NAME")?;
        self.spot.secret(written)
    }
}

fn join(path: &str, name: &str) -> String {
    let plain = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '*'));
    let name = if plain { name.to_owned() } else { format!("\"{}\"", shortened(name)) };
    if path.is_empty() { name } else { format!("{path}.{name}") }
}

/// What was written, on one line and not too long, for a message.
pub(super) fn shortened(written: &str) -> String {
    const SHOWN_MAX: usize = 60;
    let mut shown: String = written.chars().take(SHOWN_MAX).flat_map(char::escape_debug).collect();
    if written.chars().nth(SHOWN_MAX).is_some() {
        shown.push('…');
    }
    shown
}

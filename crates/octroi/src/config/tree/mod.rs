//! A configuration file as a tree whose every value knows where it was written, whatever its format.
//!
//! One tree for three formats means one set of readers and one kind of error: the sections are read from here
//! with every mistake collected, where a serde derive would stop at the first and know no line.

mod format;
mod json;
mod toml;
mod yaml;

use std::rc::Rc;

use zeroize::Zeroizing;

pub use format::Format;
pub(super) use toml::parse_value as parse_toml_value;

/// Longest configuration file, in bytes.
pub(super) const FILE_BYTES_MAX: usize = 1 << 20;

/// Deepest nesting of tables and lists; the deepest known field lies at 7.
pub(super) const DEPTH_MAX: usize = 32;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Origin {
    /// A line of the file, from 1.
    Line(usize),
    /// An environment variable, by name.
    Variable(Rc<str>),
    /// A command-line flag, by name.
    Flag(Rc<str>),
}

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) origin: Origin,
    pub(super) value: Value,
}

/// What stands at a place. No `Debug` reaches the texts: any of them may be a secret.
#[derive(Clone)]
pub(super) enum Value {
    Null,
    Boolean(bool),
    Integer(i64),
    /// A number with a fraction, or too large for an integer: no field takes one.
    Float,
    /// A TOML date or time: no field takes one.
    Date,
    Text(Zeroizing<String>),
    /// Text from outside the file, whose type is what the field wants.
    Loose(Zeroizing<String>),
    List(Vec<Node>),
    Table(Table),
}

/// Named values in the order they were written.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    pub(super) entries: Vec<Entry>,
}

/// One named value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    /// Where the name stands, which may be above the value.
    pub(super) key_origin: Origin,
    pub(super) node: Node,
}

/// Text that is not of its format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SyntaxError {
    pub(super) line: usize,
    /// The field, when the trouble is with a known one.
    pub(super) field: String,
    pub(super) problem: String,
    pub(super) fix: Option<String>,
}

impl SyntaxError {
    fn new(line: usize, problem: impl Into<String>) -> Self {
        Self { line, field: String::new(), problem: problem.into(), fix: None }
    }

    fn duplicate(line: usize, field: String) -> Self {
        let fix = Some("keep one of the two".to_owned());
        Self { line, field, problem: "given twice".to_owned(), fix }
    }

    fn too_deep(line: usize) -> Self {
        Self::new(line, format!("nested deeper than {DEPTH_MAX} levels"))
    }
}

/// Reads `text` as `format`; the root is always a table.
pub(super) fn parse(text: &str, format: Format) -> Result<Node, Vec<SyntaxError>> {
    let root = match format {
        Format::Toml => toml::parse(text)?,
        Format::Json => json::parse(text)?,
        Format::Yaml => yaml::parse(text)?,
    };
    match root.value {
        // What is missing from the file as a whole is told at its beginning.
        Value::Table(_) => Ok(Node { origin: Origin::Line(1), value: root.value }),
        // An empty YAML document, or one of comments only, is an empty table as it is in TOML.
        Value::Null if format == Format::Yaml => {
            Ok(Node { origin: Origin::Line(1), value: Value::Table(Table::default()) })
        }
        other => {
            let Origin::Line(line) = root.origin else { return Err(Vec::new()) };
            Err(vec![SyntaxError::new(line, format!("expected a table of fields, found {}", other.kind()))])
        }
    }
}

impl Value {
    /// The same value without its places; `None` where something in it has no form in JSON that a field takes.
    pub(super) fn to_json(&self) -> Option<serde_json::Value> {
        use serde_json::Value as Json;
        Some(match self {
            Self::Null => Json::Null,
            Self::Boolean(value) => Json::Bool(*value),
            Self::Integer(value) => Json::from(*value),
            Self::Float | Self::Date => return None,
            Self::Text(text) | Self::Loose(text) => Json::String(text.to_string()),
            Self::List(items) => {
                Json::Array(items.iter().map(|item| item.value.to_json()).collect::<Option<_>>()?)
            }
            Self::Table(table) => {
                let entries = table.entries.iter();
                let members = entries.map(|entry| Some((entry.key.clone(), entry.node.value.to_json()?)));
                Json::Object(members.collect::<Option<_>>()?)
            }
        })
    }

    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(Zeroizing::new(text.into()))
    }

    /// What a person calls it.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Boolean(_) => "true or false",
            Self::Integer(_) => "a whole number",
            Self::Float => "a number that is not whole or too large",
            Self::Date => "a date",
            Self::Text(_) | Self::Loose(_) => "text",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.kind())
    }
}

impl Table {
    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    pub(super) fn position(&self, key: &str) -> Option<usize> {
        self.entries.iter().position(|entry| entry.key == key)
    }
}

impl Entry {
    /// A table or list is found by its name, a plain value by itself.
    fn new(key: String, key_line: usize, mut node: Node) -> Self {
        let key_origin = Origin::Line(key_line);
        if matches!(node.value, Value::Table(_) | Value::List(_)) {
            node.origin = key_origin.clone();
        }
        Self { key, key_origin, node }
    }
}

/// Finds the line of a byte offset.
struct Lines<'t> {
    text: &'t str,
    /// The offset each line begins at.
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    fn new(text: &'t str) -> Self {
        let newlines = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let starts = std::iter::once(0).chain(newlines.map(|(offset, _)| offset + 1)).collect();
        Self { text, starts }
    }

    /// Counted from 1; an offset past the end is on the last line that holds anything.
    fn line(&self, offset: usize) -> usize {
        let last = self.text.trim_end().len();
        self.starts.partition_point(|start| *start <= offset.min(last)).max(1)
    }
}

#[cfg(test)]
mod tests;

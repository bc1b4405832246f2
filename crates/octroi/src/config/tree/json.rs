//! JSON into the tree, keeping lines.
//!
//! serde_json reports no places, but hands out raw slices of its input: where a slice begins is where the value is.

use std::fmt;

use serde::de::{Deserializer as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{DEPTH_MAX, Entry, Lines, Node, Origin, SyntaxError, Table, Value};

pub(super) fn parse(text: &str) -> Result<Node, Vec<SyntaxError>> {
    let lines = Lines::new(text);
    // First for its errors alone: taking raw slices, serde_json words them worse.
    serde_json::from_str::<serde_json::Value>(text).map_err(|error| vec![syntax(&error)])?;
    let raw: &RawValue = serde_json::from_str(text).map_err(|error| vec![syntax(&error)])?;
    let mut reader = Reader { text, lines, errors: Vec::new() };
    let root = reader.node(raw.get(), "", 0);
    if reader.errors.is_empty() { Ok(root) } else { Err(reader.errors) }
}

fn syntax(error: &serde_json::Error) -> SyntaxError {
    let problem = error.to_string();
    // The place is told on its own.
    let problem = problem.rsplit_once(" at line ").map_or(problem.as_str(), |(problem, _)| problem);
    SyntaxError::new(error.line().max(1), format!("not JSON: {problem}"))
}

struct Reader<'t> {
    text: &'t str,
    lines: Lines<'t>,
    errors: Vec<SyntaxError>,
}

impl<'t> Reader<'t> {
    fn line(&self, piece: &str) -> usize {
        self.lines.line((piece.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize))
    }

    fn node(&mut self, raw: &'t str, path: &str, depth: usize) -> Node {
        let line = self.line(raw);
        let value = if depth > DEPTH_MAX {
            self.errors.push(SyntaxError::too_deep(line));
            Value::Null
        } else {
            match raw.as_bytes().first() {
                Some(b'{') => self.table(raw, path, depth),
                Some(b'[') => self.list(raw, path, depth),
                _ => self.scalar(raw, line),
            }
        };
        Node { origin: Origin::Line(line), value }
    }

    fn scalar(&mut self, raw: &str, line: usize) -> Value {
        match serde_json::from_str(raw) {
            Ok(serde_json::Value::Null) => Value::Null,
            Ok(serde_json::Value::Bool(value)) => Value::Boolean(value),
            Ok(serde_json::Value::Number(number)) => number.as_i64().map_or(Value::Float, Value::Integer),
            Ok(serde_json::Value::String(text)) => Value::text(text),
            Ok(_) => Value::Null,
            Err(error) => {
                // A lone surrogate, say: skipping over the value did not look so closely.
                self.errors.push(SyntaxError { line, ..syntax(&error) });
                Value::Null
            }
        }
    }

    fn table(&mut self, raw: &'t str, path: &str, depth: usize) -> Value {
        let members = match serde_json::Deserializer::from_str(raw).deserialize_map(Members) {
            Ok(members) => members,
            Err(error) => {
                let line = self.line(raw) + error.line().saturating_sub(1);
                self.errors.push(SyntaxError { line, ..syntax(&error) });
                return Value::Null;
            }
        };
        let mut table = Table::default();
        for (raw_key, raw_value) in members {
            let line = self.line(raw_key.get());
            let Value::Text(key) = self.scalar(raw_key.get(), line) else { continue };
            let field = if path.is_empty() { key.to_string() } else { format!("{path}.{}", key.as_str()) };
            let node = self.node(raw_value.get(), &field, depth + 1);
            if table.get(&key).is_some() {
                self.errors.push(SyntaxError::duplicate(line, field));
            } else {
                table.entries.push(Entry::new(key.to_string(), line, node));
            }
        }
        Value::Table(table)
    }

    fn list(&mut self, raw: &'t str, path: &str, depth: usize) -> Value {
        match serde_json::Deserializer::from_str(raw).deserialize_seq(Items) {
            Ok(items) => {
                let nodes = items.into_iter().enumerate();
                Value::List(
                    nodes
                        .map(|(i, item)| self.node(item.get(), &format!("{path}[{i}]"), depth + 1))
                        .collect(),
                )
            }
            Err(error) => {
                let line = self.line(raw) + error.line().saturating_sub(1);
                self.errors.push(SyntaxError { line, ..syntax(&error) });
                Value::Null
            }
        }
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(&'de RawValue, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(members)
    }
}

struct Items;

impl<'de> Visitor<'de> for Items {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(items)
    }
}

//! TOML into the tree, keeping lines.

use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue, Error};

use super::{DEPTH_MAX, Entry, Lines, Node, Origin, SyntaxError, Table, Value};

pub(super) fn parse(text: &str) -> Result<Node, Vec<SyntaxError>> {
    let reader = Reader { lines: Lines::new(text) };
    let (table, errors) = DeTable::parse_recoverable(text);
    // Only the first: what follows a slip in the syntax is often no mistake of its own.
    if let Some(error) = errors.iter().min_by_key(|error| error.span().map_or(0, |span| span.start)) {
        return Err(vec![reader.syntax(error)]);
    }
    let value = Value::Table(reader.table(table.into_inner(), 0).map_err(|error| vec![error])?);
    Ok(Node { origin: Origin::Line(1), value })
}

/// Reads one value written as in TOML (`["a", "b"]`, `{ sats = 3 }`, `"text"`) from outside the file; its parts
/// are all at `origin`.
pub(in super::super) fn parse_value(text: &str, origin: &Origin) -> Result<Node, String> {
    let value = DeValue::parse(text).map_err(|error| error.message().to_owned())?;
    let reader = Reader { lines: Lines::new(text) };
    let mut node = reader.node(value, 0).map_err(|error| error.problem)?;
    relocate(&mut node, origin);
    Ok(node)
}

fn relocate(node: &mut Node, origin: &Origin) {
    node.origin = origin.clone();
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(|item| relocate(item, origin)),
        Value::Table(table) => table.entries.iter_mut().for_each(|entry| {
            entry.key_origin = origin.clone();
            relocate(&mut entry.node, origin);
        }),
        _ => {}
    }
}

struct Reader<'t> {
    lines: Lines<'t>,
}

impl Reader<'_> {
    fn syntax(&self, error: &Error) -> SyntaxError {
        let line = self.lines.line(error.span().map_or(0, |span| span.start));
        if error.message() == "duplicate key" {
            let field = error.span().and_then(|span| self.lines.text.get(span)).unwrap_or_default();
            return SyntaxError::duplicate(line, field.to_owned());
        }
        SyntaxError::new(line, format!("not TOML: {}", error.message()))
    }

    fn node(&self, spanned: Spanned<DeValue<'_>>, depth: usize) -> Result<Node, SyntaxError> {
        let line = self.lines.line(spanned.span().start);
        if depth > DEPTH_MAX {
            return Err(SyntaxError::too_deep(line));
        }
        let value = match spanned.into_inner() {
            DeValue::String(text) => Value::text(text),
            DeValue::Integer(number) => integer(&number),
            DeValue::Float(_) => Value::Float,
            DeValue::Boolean(value) => Value::Boolean(value),
            DeValue::Datetime(_) => Value::Date,
            DeValue::Array(items) => Value::List(
                items.into_iter().map(|item| self.node(item, depth + 1)).collect::<Result<_, _>>()?,
            ),
            DeValue::Table(table) => Value::Table(self.table(table, depth)?),
        };
        Ok(Node { origin: Origin::Line(line), value })
    }

    fn table(&self, table: DeTable<'_>, depth: usize) -> Result<Table, SyntaxError> {
        let mut entries: Vec<(usize, Entry)> = Vec::new();
        for (key, value) in table {
            let offset = key.span().start;
            let node = self.node(value, depth + 1)?;
            entries.push((offset, Entry::new(key.into_inner().into_owned(), self.lines.line(offset), node)));
        }
        // The library sorts by name; the written order is the one people see in messages and tables.
        entries.sort_by_key(|(offset, _)| *offset);
        Ok(Table { entries: entries.into_iter().map(|(_, entry)| entry).collect() })
    }
}

fn integer(number: &DeInteger<'_>) -> Value {
    i64::from_str_radix(number.as_str(), number.radix()).map_or(Value::Float, Value::Integer)
}

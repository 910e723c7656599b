//! Text to tree.

use serde_json::{Number, Value as Json};
use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::tree::{Entry, Node, Table, Value};
use crate::diagnostics::{FileId, Problem, Span};

/// Tables and lists within one another, at most.
const DEPTH: usize = 32;

/// Reads one file. What can be read is returned even if there are problems.
pub fn parse(file: FileId, text: &str, problems: &mut Vec<Problem>) -> Table {
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader {
        file,
        base: 0,
        len: text.len(),
        problems,
    };
    for error in errors {
        let place = reader.at(error.span().unwrap_or(0..0));
        let problem = Problem::error("syntax", "this is not TOML").at(place, error.message());
        reader.problems.push(problem);
    }
    reader.table(root.into_inner(), 0)
}

/// Reads one `path=value` of `--set`, which stands at `base` in its text. A value that is not TOML is taken as a
/// string; `None` if the path is none.
pub fn parse_set(
    file: FileId,
    base: usize,
    path: &str,
    value: &str,
    problems: &mut Vec<Problem>,
) -> Option<Table> {
    let mut reader = Reader {
        file,
        base,
        len: path.len() + 1 + value.len(),
        problems,
    };
    let typed = format!("{path}={value}");
    if path.contains(['\n', '\r', '=', '#']) {
        return None;
    }
    if !value.contains(['\n', '\r'])
        && let Ok(root) = DeTable::parse(&typed)
    {
        return Some(reader.table(root.into_inner(), 0));
    }
    let keys = format!("{path}=0");
    let root = DeTable::parse(&keys).ok()?;
    let mut table = reader.table(root.into_inner(), 0);
    if let Some(node) = leaf(&mut table) {
        *node = Node::new(
            Value::Scalar(value.into()),
            reader.at(path.len() + 1..typed.len()),
        );
    }
    Some(table)
}

/// The keys of a path such as `dev.pit.irq."out[0]"`; `None` if it is none.
pub fn parse_path(path: &str) -> Option<Vec<String>> {
    if path.contains(['\n', '\r', '=', '#']) {
        return None;
    }
    let text = format!("{path}=0");
    let mut table = DeTable::parse(&text).ok()?.into_inner();
    let mut keys = Vec::new();
    loop {
        let (key, value) = table.into_iter().next()?;
        keys.push(key.into_inner().into_owned());
        match value.into_inner() {
            DeValue::Table(inner) => table = inner,
            _ => return Some(keys),
        }
    }
}

/// The path of the innermost value that starts at or before a place and ends behind it, if it is in a table.
pub fn path_at(text: &str, at: usize) -> Option<Vec<String>> {
    let (root, _) = DeTable::parse_recoverable(text);
    let mut table = root.into_inner();
    let mut keys = Vec::new();
    // A header's tables are told apart by what is in them: only a value has a place that is its own.
    loop {
        let found = table.into_iter().find(|(_, value)| contains(value, at))?;
        keys.push(found.0.into_inner().into_owned());
        match found.1.into_inner() {
            DeValue::Table(inner) => table = inner,
            _ => return Some(keys),
        }
    }
}

fn contains(value: &Spanned<DeValue<'_>>, at: usize) -> bool {
    match value.get_ref() {
        DeValue::Table(table) => table.iter().any(|(_, value)| contains(value, at)),
        _ => value.span().contains(&at),
    }
}

/// The value at the end of a tree that is one path.
fn leaf(table: &mut Table) -> Option<&mut Node> {
    let node = &mut table.values_mut().next()?.node;
    if node.as_table().is_none() {
        return Some(node);
    }
    match &mut node.value {
        Value::Table(inner) => leaf(inner),
        _ => None,
    }
}

struct Reader<'a> {
    file: FileId,
    /// Where the text that is parsed starts in the file, and how long it is.
    base: usize,
    len: usize,
    problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    fn at(&self, range: std::ops::Range<usize>) -> Span {
        let end = range.end.min(self.len);
        Span {
            file: self.file,
            start: self.base + range.start.min(end),
            end: self.base + end,
        }
    }

    fn table(&mut self, table: DeTable<'_>, depth: usize) -> Table {
        table
            .into_iter()
            .map(|(key, value)| {
                let entry = Entry {
                    key: self.at(key.span()),
                    node: self.node(value, depth + 1),
                };
                (key.into_inner().into_owned(), entry)
            })
            .collect()
    }

    fn node(&mut self, value: Spanned<DeValue<'_>>, depth: usize) -> Node {
        let span = self.at(value.span());
        let value = match value.into_inner() {
            DeValue::Table(_) | DeValue::Array(_) if depth > DEPTH => {
                self.refuse(span, format!("tables and lists go at most {DEPTH} deep"))
            }
            DeValue::Table(table) => Value::Table(self.table(table, depth)),
            DeValue::Array(items) => Value::Array(
                items
                    .into_iter()
                    .map(|item| self.node(item, depth + 1))
                    .collect(),
            ),
            DeValue::String(text) => Value::Scalar(text.into_owned().into()),
            DeValue::Boolean(truth) => Value::Scalar(truth.into()),
            DeValue::Integer(integer) => match number(&integer) {
                Some(number) => Value::Scalar(number.into()),
                None => self.refuse(span, "integers have at most 64 bits"),
            },
            DeValue::Float(float) => match float.as_str().parse().ok().and_then(Number::from_f64) {
                Some(number) => Value::Scalar(number.into()),
                None => self.refuse(span, "no property takes this number"),
            },
            DeValue::Datetime(_) => {
                self.refuse(span, "no property takes a date; a string has quotes")
            }
        };
        Node::new(value, span)
    }

    fn refuse(&mut self, span: Span, why: impl Into<String>) -> Value {
        self.problems
            .push(Problem::error("syntax", "this value cannot stand on a board").at(span, why));
        Value::Scalar(Json::Null)
    }
}

fn number(integer: &DeInteger<'_>) -> Option<Number> {
    let text = integer.as_str();
    let unsigned = u64::from_str_radix(text, integer.radix()).map(Number::from);
    let signed = || i64::from_str_radix(text, integer.radix()).map(Number::from);
    unsigned.or_else(|_| signed()).ok()
}

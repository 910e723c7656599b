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
    let tree = reader.table(root.into_inner(), 0);
    for error in errors {
        let place = reader.at(error.span().unwrap_or(0..0));
        let problem = Problem::error("syntax", "this is not TOML").at(place, error.message());
        let problem = problem.at_some(earlier(text, &tree, place), "it stands here already");
        reader.problems.push(match quoted(text, place) {
            Some(key) => problem.help(format!("a key with brackets has quotes: {key}")),
            None => problem,
        });
    }
    tree
}

/// The text of a key from the start of its line to its end, if it is a header's, and where the line starts.
fn line_to(text: &str, end: usize) -> (Option<&str>, &str, usize) {
    let before = text.get(..end).unwrap_or_default();
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = before[start..].trim_start();
    let header = line.strip_prefix("[[").or_else(|| line.strip_prefix('['));
    (header, line, start)
}

/// Where the key that ends a place was written first, if it was before.
fn earlier(text: &str, tree: &Table, place: Span) -> Option<Span> {
    let (header, line, mut start) = line_to(text, place.end);
    let keys = match header {
        Some(header) => parse_path(header)?,
        None => {
            let mut keys = Vec::new();
            while start > 0 {
                let (above, _, next) = line_to(text, start - 1);
                if let Some(header) = above.and_then(|above| above.split(']').next()) {
                    keys = parse_path(header)?;
                    break;
                }
                start = next;
            }
            keys.extend(parse_path(line)?);
            keys
        }
    };
    let (last, tables) = keys.split_last()?;
    let mut table = tree;
    for key in tables {
        table = table.get(key)?.node.as_table()?;
    }
    let mut first = first_key(table.get(last)?);
    let mut start = 0;
    for line in text.get(..place.start)?.split_inclusive('\n') {
        let (path, ..) = line_to(line, line.trim_end().len());
        let path = path.and_then(|path| path.split(']').next());
        if path.and_then(parse_path).is_some_and(|path| path == keys) && start < first.start {
            first.start = start;
            first.end = start + line.trim_end().len();
        }
        start += line.len();
    }
    (first.start < place.start).then_some(first)
}

/// Where a key, or one within it, was written first: a header that comes again takes the place of the first, and what is in
/// that tells of it.
fn first_key(entry: &Entry) -> Span {
    let within = entry.node.as_table().into_iter().flatten();
    let within = within.map(|(_, entry)| first_key(entry));
    within.fold(entry.key, |first, key| first.min(key))
}

/// A key whose bracket is no TOML, with the quotes that it lacks: `irq."out[0]"`.
fn quoted(text: &str, place: Span) -> Option<String> {
    let rest = text.get(place.start..)?.strip_prefix('[')?;
    let (header, line, _) = line_to(text, place.start);
    let (pins, _) = rest.split_once(']')?;
    if header.is_some() || pins.contains(['\n', '"', '=']) {
        return None;
    }
    let (tables, name) = line.rsplit_once('.').unwrap_or(("", line));
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let dot = if tables.is_empty() { "" } else { "." };
    let name = name.trim();
    (!name.is_empty() && name.chars().all(plain))
        .then(|| format!("{tables}{dot}\"{name}[{pins}]\""))
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
                let at = self.at(key.span());
                if key.get_ref().contains(char::is_control) {
                    let what = "a key has characters that cannot be seen";
                    let problem = Problem::error("bad-name", what).at(at, "");
                    self.problems.push(problem);
                }
                let entry = Entry {
                    key: at,
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
                None if integer
                    .as_str()
                    .chars()
                    .any(|c| c.is_digit(integer.radix())) =>
                {
                    self.refuse(span, "integers have at most 64 bits")
                }
                None => self.refuse(span, "this integer has no digits"),
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

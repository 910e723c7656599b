//! The text of a board as a tree in which every key and value knows where it was written.

use std::borrow::Cow;
use std::ops::Range;

use serde_json::Value as Json;

pub use super::table::Table;
use crate::diagnostics::Span;
use crate::reference::{Inputs, Place, Places, Reference};

/// A key with its value.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Where the key was written first.
    pub key: Span,
    /// The value.
    pub node: Node,
}

/// A value with its place.
#[derive(Debug, Clone)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where it was written; for a table, its header.
    pub span: Span,
    /// Where the parameter that stands here got its value.
    pub param: Option<Span>,
    /// What stood here before: the `"${NAME}"` that the parameter's value took the place of, else what the next weaker
    /// layer says.
    pub below: Option<Box<Node>>,
    /// What it refers to, if its names were made those of the whole board.
    pub refer: Option<Box<Reference>>,
    /// A layer takes away what weaker layers say here.
    pub cut: Option<Box<Cut>>,
}

/// What a layer's `delete` leaves inside a chip, which is only read later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Where that was written.
    pub span: Span,
    /// A weaker layer of the board said something here.
    pub found: bool,
}

/// A value.
#[derive(Debug, Clone)]
pub enum Value {
    /// A string, number or truth value.
    Scalar(Json),
    /// An array.
    Array(Vec<Node>),
    /// A table.
    Table(Table),
}

impl Node {
    /// A value as it was written.
    pub fn new(value: Value, span: Span) -> Self {
        Self {
            value,
            span,
            param: None,
            below: None,
            refer: None,
            cut: None,
        }
    }

    /// The value as a layer wrote it: where a parameter's value stands, the `"${NAME}"` that names it.
    pub fn written(&self) -> &Self {
        match &self.below {
            Some(written) if self.param.is_some() => written,
            _ => self,
        }
    }

    /// What the weakest layer says here.
    pub fn lowest(&mut self) -> &mut Self {
        match self.below {
            Some(ref mut below) => below.lowest(),
            None => self,
        }
    }

    /// Where weaker layers say what this one replaces, the stronger first.
    pub fn weaker(&self) -> Vec<Span> {
        let mut spans = Vec::new();
        let mut node = self.written();
        while let Some(below) = &node.below {
            spans.push(below.span);
            node = below;
        }
        spans
    }

    /// The string, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(scalar) => scalar.as_str(),
            _ => None,
        }
    }

    /// The table, if it is one.
    pub fn as_table(&self) -> Option<&Table> {
        match &self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    /// The table, if it is one.
    pub fn as_table_mut(&mut self) -> Option<&mut Table> {
        match &mut self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    /// The value without its places.
    pub fn to_json(&self) -> Json {
        match &self.value {
            Value::Scalar(scalar) => scalar.clone(),
            Value::Array(items) => items.iter().map(Node::to_json).collect(),
            Value::Table(table) => to_json(table),
        }
    }

    /// Whether a scalar within it passes the test. A null stands where a value's trouble has been reported.
    pub fn any(&self, test: fn(&Json) -> bool) -> bool {
        match &self.value {
            Value::Scalar(scalar) => test(scalar),
            Value::Array(items) => items.iter().any(|item| item.any(test)),
            Value::Table(table) => table.values().any(|entry| entry.node.any(test)),
        }
    }

    /// What kind of value it is, with its article.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Scalar(Json::String(_)) => "a string",
            Value::Scalar(Json::Bool(_)) => "a truth value",
            Value::Scalar(Json::Number(n)) if n.is_f64() => "a number with a fraction",
            Value::Scalar(Json::Number(_)) => "an integer",
            Value::Scalar(_) => "not a number",
            Value::Array(_) => "a list",
            Value::Table(_) => "a table",
        }
    }

    /// The place of part of a string, if it was written without escapes; else of the whole.
    pub fn part(&self, start: usize, len: usize) -> Span {
        let written = self.span.end - self.span.start;
        let Some(text) = self.as_str().filter(|_| self.param.is_none()) else {
            return self.span;
        };
        let quote = match written.checked_sub(text.len()) {
            Some(0) => 0,
            Some(2) => 1,
            _ => return self.span,
        };
        let start = self.span.start + quote + start;
        Span {
            file: self.span.file,
            start,
            end: start + len,
        }
    }

    /// The string as a reference; `None` if it is no string.
    pub fn read<T>(&self, parse: fn(&str, Places<'_>) -> T) -> Option<T> {
        let part = |range: Range<usize>| self.part(range.start, range.len());
        self.as_str().map(|text| parse(text, &part))
    }

    /// The place that it names; `None` if it is no string.
    pub fn as_place(&self) -> Option<Cow<'_, Place>> {
        match self.refer.as_deref() {
            Some(Reference::Place(place)) => Some(Cow::Borrowed(place)),
            _ => self.read(Place::parse).map(Cow::Owned),
        }
    }

    /// The inputs that it names; `None` if it is no string.
    pub fn as_inputs(&self) -> Option<Cow<'_, Inputs>> {
        match self.refer.as_deref() {
            Some(Reference::Inputs(inputs)) => Some(Cow::Borrowed(inputs)),
            _ => self.read(Inputs::parse).map(Cow::Owned),
        }
    }
}

/// Takes out what stands at a path; `None` if nothing does.
pub fn remove(root: &mut Table, path: &[String]) -> Option<Entry> {
    let (last, tables) = path.split_last()?;
    let mut table = root;
    for key in tables {
        table = table.get_mut(key)?.node.as_table_mut()?;
    }
    table.remove(last)
}

/// The value at a path; `None` if there is none.
pub fn get<'b>(root: &'b Table, path: &[&str]) -> Option<&'b Node> {
    let (last, tables) = path.split_last()?;
    let mut table = root;
    for key in tables {
        table = table.get(key)?.node.as_table()?;
    }
    Some(&table.get(last)?.node)
}

/// How many values a table holds, those in tables and lists within it included.
pub fn count(table: &Table) -> usize {
    fn one(node: &Node) -> usize {
        match &node.value {
            Value::Scalar(_) => 1,
            Value::Array(items) => 1 + items.iter().map(one).sum::<usize>(),
            Value::Table(table) => 1 + count(table),
        }
    }
    table.values().map(|entry| one(&entry.node)).sum()
}

/// A table without its places, and without values whose trouble has been reported.
pub fn to_json(table: &Table) -> Json {
    let known = table
        .iter()
        .filter(|(_, entry)| !matches!(entry.node.value, Value::Scalar(Json::Null)));
    Json::Object(
        known
            .map(|(key, entry)| (key.clone(), entry.node.to_json()))
            .collect(),
    )
}

/// Writes what a table holds, so that equal tables give equal texts.
pub fn describe(table: &Table, out: &mut String) {
    use std::fmt::Write;
    fn value(node: &Node, out: &mut String) {
        match &node.value {
            Value::Scalar(scalar) => {
                let _ = write!(out, "{scalar},");
            }
            Value::Array(items) => {
                out.push('[');
                items.iter().for_each(|item| value(item, out));
                out.push(']');
            }
            Value::Table(table) => {
                out.push('{');
                describe(table, out);
                out.push('}');
            }
        }
    }
    for (key, entry) in table {
        let _ = write!(out, "{key:?}=");
        value(&entry.node, out);
    }
}

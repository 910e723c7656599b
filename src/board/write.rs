//! A board's tree as TOML again.

use std::fmt::Write;

use serde_json::Value as Json;

use super::Board;
use super::format::{KEYS, SECTIONS};
use super::tree::{Node, Table, Value};
use crate::diagnostics::Sources;
use crate::toml::{inline, json, key, path};

/// A board with its layers merged as one file, which resolves to the same plan. Parameters stay parameters: what the
/// command line set is their default. Integers are in the base they were written in.
pub fn board(board: &Board, sources: &Sources) -> String {
    let mut writer = Writer {
        board,
        sources,
        out: String::new(),
    };
    for section in SECTIONS {
        if let Some(table) = table(&board.root, section) {
            writer.table(&[section], table);
        }
    }
    writer.out
}

/// A value on one line, as a layer wrote it.
pub fn value(node: &Node, sources: &Sources) -> String {
    let node = node.written();
    match &node.value {
        Value::Scalar(Json::Number(number)) => {
            let text = sources.text(node.span.file);
            let literal = text.get(node.span.start..node.span.end).unwrap_or_default();
            if literal.is_empty() || node.param.is_some() {
                number.to_string()
            } else {
                literal.to_owned()
            }
        }
        Value::Scalar(scalar) => json(scalar),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| value(item, sources)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Table(table) => inline(
            table
                .iter()
                .map(|(name, entry)| (name, value(&entry.node, sources))),
        ),
    }
}

fn table<'b>(root: &'b Table, key: &str) -> Option<&'b Table> {
    root.get(key)?.node.as_table()
}

struct Writer<'a> {
    board: &'a Board,
    sources: &'a Sources,
    out: String,
}

impl Writer<'_> {
    /// Writes a table under its header: what is no table first, then the tables within.
    fn table(&mut self, keys: &[&str], table: &Table) {
        let mut lines = Vec::new();
        let mut nested = Vec::new();
        for (name, entry) in table {
            match (keys, name.as_str(), entry.node.as_table()) {
                (["board"], "extends", _) => {}
                (["param", param], "default", _) if self.setting(param).is_some() => {}
                (["dev", _], group, Some(inner)) if KEYS.contains(&group) => {
                    let pairs = inner.iter().map(|(name, entry)| {
                        (path([group, name]), value(&entry.node, self.sources))
                    });
                    lines.extend(pairs);
                }
                (["slot"], ..) | (_, _, None) => {
                    lines.push((key(name), value(&entry.node, self.sources)));
                }
                (_, _, Some(inner)) => nested.push((name, inner)),
            }
        }
        if let ["param", param] = keys {
            let default = self.setting(param).map(json);
            lines.extend(default.map(|value| ("default".to_owned(), value)));
            // In the order it has when it is written again.
            lines.sort();
        }
        if !lines.is_empty() || nested.is_empty() {
            if !self.out.is_empty() {
                self.out.push('\n');
            }
            let _ = writeln!(self.out, "[{}]", path(keys.iter().copied()));
        }
        for (name, value) in lines {
            let _ = writeln!(self.out, "{name} = {value}");
        }
        for (name, inner) in nested {
            self.table(&[keys, &[name.as_str()]].concat(), inner);
        }
    }

    /// A parameter's value if the command line set it.
    fn setting(&self, param: &str) -> Option<&Json> {
        let set = self.board.settings.iter().any(|s| s.name == param);
        let decided = self.board.params.get(param).filter(|_| set)?;
        Some(&decided.as_ref()?.value)
    }
}

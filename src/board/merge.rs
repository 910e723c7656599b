//! Layers to one tree: the board extended, the board, and what the command line sets, the later stronger.

use super::params::Setting;
use super::parse::parse_set;
use super::tree::{Entry, Node, Table, Value};
use crate::diagnostics::{FileId, Problem, Span};
use crate::graph::KEYS;
use crate::graph::resolve::SECTIONS;
use crate::registry::find;

/// Lays one tree over another: tables are merged, anything else replaces what was there.
pub fn overlay(base: &mut Table, over: Table) {
    for (key, entry) in over {
        match base.get_mut(&key) {
            Some(Entry {
                node:
                    Node {
                        value: Value::Table(below),
                        ..
                    },
                ..
            }) if entry.node.as_table().is_some() => {
                if let Value::Table(above) = entry.node.value {
                    overlay(below, above);
                }
            }
            _ => {
                base.insert(key, entry);
            }
        }
    }
}

/// `DEVICE.PROPERTY` as `dev.DEVICE.TYPE.PROPERTY`.
fn spell_out(root: &Table, set: Table) -> Table {
    let devices = root.get("dev").and_then(|entry| entry.node.as_table());
    let mut out = Table::new();
    for (name, entry) in set {
        let device = devices
            .filter(|_| !SECTIONS.contains(&name.as_str()))
            .and_then(|devices| devices.get(&name)?.node.as_table());
        let kind = device.and_then(|device| {
            device.iter().find(|(key, value)| {
                !KEYS.contains(&key.as_str()) && value.node.as_table().is_some()
            })
        });
        let typed = entry.node.as_table().is_some_and(|keys| {
            keys.keys()
                .all(|key| !KEYS.contains(&key.as_str()) && find(key).is_none())
        });
        let (path, entry) = match kind {
            Some((kind, _)) if typed => (vec!["dev", &name, kind], entry),
            Some(_) => (vec!["dev", &name], entry),
            None => (vec![name.as_str()], entry),
        };
        let mut nested = entry;
        for key in path.iter().skip(1).rev() {
            let Entry { key: at, ref node } = nested;
            let span = node.span;
            nested = Entry {
                key: at,
                node: Node::new(
                    Value::Table(Table::from([((*key).to_owned(), nested)])),
                    span,
                ),
            };
        }
        out.insert(path[0].to_owned(), nested);
    }
    out
}

/// The text that the settings of the command line are shown as.
pub fn set_text(set: &[(String, String)]) -> String {
    set.iter()
        .map(|(path, value)| format!("{path}={value}\n"))
        .collect()
}

/// Lays the settings of the command line over the board; those of parameters are returned.
pub fn set(
    root: &mut Table,
    file: FileId,
    set: &[(String, String)],
    problems: &mut Vec<Problem>,
) -> Vec<Setting> {
    let mut settings = Vec::new();
    let mut base = 0;
    for (path, value) in set {
        let key = Span {
            file,
            start: base,
            end: base + path.len(),
        };
        let span = Span {
            file,
            start: key.end + 1,
            end: key.end + 1 + value.len(),
        };
        if let Some(name) = path
            .trim()
            .strip_prefix("param.")
            .filter(|name| !name.contains('.'))
        {
            settings.push(Setting {
                name: name.to_owned(),
                text: value.clone(),
                key,
                span,
            });
        } else if let Some(over) = parse_set(file, base, path, value, problems) {
            let over = spell_out(root, over);
            overlay(root, over);
        } else {
            let problem = Problem::error("syntax", format!("`{path}` is not a path"));
            problems.push(
                problem
                    .at(key, "")
                    .help("write `--set dev.NAME.TYPE.PROPERTY=VALUE` or `--set param.NAME=VALUE`"),
            );
        }
        base = span.end + 1;
    }
    settings
}

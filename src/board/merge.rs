//! Layers to one tree: the board extended, the board, and what the command line sets, the later stronger.

use super::params::Setting;
use super::parse::parse_set;
use super::tree::{Entry, Node, Table, Value};
use crate::diagnostics::{FileId, Problem, Span, suggest};
use crate::graph::KEYS;
use crate::graph::resolve::SECTIONS;
use crate::registry::find;

/// Lays one tree over another: tables are merged, anything else replaces what was there, which stays known as what lies
/// below.
pub fn overlay(base: &mut Table, over: Table) {
    for (key, mut entry) in over {
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
            Some(below) => {
                std::mem::swap(below, &mut entry);
                below.node.below = Some(Box::new(entry.node));
            }
            None => {
                base.insert(key, entry);
            }
        }
    }
}

/// Finds the device that a setting is about, and gives its path in the tree: `DEVICE.PROPERTY` is short for `dev.DEVICE.TYPE.PROPERTY`.
///
/// # Errors
/// There is no such device.
pub fn spell_out(root: &Table, set: Table) -> Result<Table, Problem> {
    let none = Table::new();
    let devices = root.get("dev").and_then(|entry| entry.node.as_table());
    let devices = devices.unwrap_or(&none);
    let device = |name: &str, at: Span| {
        devices.get(name).ok_or_else(|| {
            Problem::error("unknown-device", format!("there is no device `{name}`"))
                .at(at, "")
                .help(suggest(name, "devices", devices.keys().map(String::as_str)))
        })
    };
    let mut out = Table::new();
    for (first, entry) in set {
        if SECTIONS.contains(&first.as_str()) {
            let named = entry.node.as_table().filter(|_| first == "dev");
            for (name, entry) in named.into_iter().flatten() {
                device(name, entry.key)?;
            }
            out.insert(first, entry);
            continue;
        }
        let typed = |key: &String| !KEYS.contains(&key.as_str());
        let device = device(&first, entry.key)?.node.as_table();
        let kind = device.and_then(|device| device.keys().find(|key| typed(key)));
        let property = entry.node.as_table().and_then(|keys| keys.keys().next());
        let entry = match (kind, property) {
            (Some(kind), Some(key)) if typed(key) && find(key).is_none() => under(kind, entry),
            _ => entry,
        };
        out.insert("dev".to_owned(), under(&first, entry));
    }
    Ok(out)
}

/// A table that has the value under this key.
fn under(key: &str, entry: Entry) -> Entry {
    let (at, span) = (entry.key, entry.node.span);
    let table = Table::from([(key.to_owned(), entry)]);
    Entry {
        key: at,
        node: Node::new(Value::Table(table), span),
    }
}

/// The name of the text that the settings of the command line are shown as.
pub const SET: &str = "--set";

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
            match spell_out(root, over) {
                Ok(over) => overlay(root, over),
                Err(problem) => problems.push(problem),
            }
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

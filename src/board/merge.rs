//! Layers to one tree: the board extended, the board, overlays, and what the command line sets, the later stronger.

use super::chips::Library;
use super::format::KEYS;
use super::gone::Gone;
use super::parse::parse_path;
use super::set::inside;
use super::tree::{self, Cut, Entry, Node, Table, Value};
use crate::diagnostics::{Problem, Span, suggest};
use crate::registry;
use crate::toml;

/// Lays one tree over another: tables are merged, anything else replaces what was there, which stays known as what lies
/// below.
pub fn overlay(base: &mut Table, over: Table) {
    for (key, mut entry) in over {
        let Some(below) = base.get_mut(&key) else {
            base.insert(key, entry);
            continue;
        };
        if let Some(cut) = &mut entry.node.cut {
            cut.found = true;
            *below = entry;
            continue;
        }
        match (&mut below.node.value, &mut entry.node.value) {
            (Value::Table(base), Value::Table(over)) => overlay(base, std::mem::take(over)),
            _ => {
                std::mem::swap(below, &mut entry);
                below.node.below = Some(Box::new(entry.node));
            }
        }
    }
}

/// As [`overlay`], for the last time: what a layer took away goes now.
pub fn overlay_cut(base: &mut Table, over: Table, problems: &mut Vec<Problem>) {
    for (key, mut entry) in over {
        if let Some(cut) = entry.node.cut.take()
            && base.remove(&key).is_none()
            && !cut.found
        {
            problems.push(nothing_there(&key, cut.span, base));
        }
        match (base.get_mut(&key), entry.node.as_table_mut()) {
            (Some(below), Some(over)) if below.node.as_table().is_some() => {
                if let Some(base) = below.node.as_table_mut() {
                    overlay_cut(base, std::mem::take(over), problems);
                }
            }
            (None, Some(over)) => {
                let mut whole = Table::new();
                overlay_cut(&mut whole, std::mem::take(over), problems);
                if !whole.is_empty() {
                    entry.node.value = Value::Table(whole);
                    base.insert(key, entry);
                }
            }
            _ => overlay(base, Table::from([(key, entry)])),
        }
    }
}

fn nothing_there(key: &str, at: Span, table: &Table) -> Problem {
    Problem::error(
        "nothing-to-delete",
        format!("there is no `{key}` to delete"),
    )
    .at(at, "no weaker layer says it")
    .help(suggest(key, "keys", table.keys().map(String::as_str)))
}

/// Takes away what a layer's `delete` names. What is inside a chip is marked, and goes when the chip is put on the board.
pub fn delete(
    base: &mut Table,
    list: Option<&Node>,
    gone: &mut Gone,
    library: &mut dyn Library,
    problems: &mut Vec<Problem>,
) {
    for (item, path) in paths(list, problems) {
        match path.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["chip", chip, _, ..] if tree::get(base, &["chip", chip]).is_some() => {
                cut(base, &path, item.span);
                gone.note(&path, item.span);
            }
            _ => {
                if tree::remove(base, &path).is_some() {
                    gone.note(&path, item.span);
                } else {
                    problems.push(missing(base, &path, item, library));
                }
            }
        }
    }
}

/// The paths that a `delete` names, each with what says it. Those that can name nothing are reported.
pub fn paths<'n>(
    list: Option<&'n Node>,
    problems: &mut Vec<Problem>,
) -> Vec<(&'n Node, Vec<String>)> {
    let items = match list.map(|list| &list.value) {
        Some(Value::Array(items)) => &items[..],
        _ => &[],
    };
    let mut paths = Vec::new();
    for item in items {
        let Some(text) = item.as_str() else { continue };
        let (wrong, help) = match parse_path(text) {
            None => (
                "is not a path",
                "write it as the headers of tables are: \"dev.NAME\", \"dev.NAME.irq\"",
            ),
            Some(path) if path.len() == 1 || ["board", "overlay"].contains(&path[0].as_str()) => (
                "cannot be deleted",
                "name a table of dev, chip, join, slot, param, alias or defaults, or a key in one",
            ),
            Some(path) => {
                paths.push((item, path));
                continue;
            }
        };
        let problem = Problem::error("bad-path", format!("`{text}` {wrong}"));
        problems.push(problem.at(item.span, "").help(help));
    }
    paths
}

/// A problem that says how far a path leads.
fn missing(base: &Table, path: &[String], item: &Node, library: &mut dyn Library) -> Problem {
    let mut table = base;
    for (depth, key) in path.iter().enumerate() {
        match table.get(key).map(|entry| entry.node.as_table()) {
            Some(Some(inner)) => table = inner,
            Some(None) => break,
            None => {
                let mut problem =
                    nothing_there(&path[..=depth].join("."), item.span, &Table::new());
                let suggestion = suggest(key, "keys", table.keys().map(String::as_str));
                let home = match path {
                    [dev, device, ..] if dev == "dev" && depth == 1 => home(base, device, library),
                    _ => None,
                };
                problem.help = Some(match home {
                    Some((about, home)) => format!("{about}: write \"{home}\""),
                    None => suggestion,
                });
                return problem;
            }
        }
    }
    nothing_there(&path.join("."), item.span, &Table::new())
}

/// What a name means that is no device's of the board itself, and the path of that: it is a chip, a device within one, by its
/// own name or by that on the whole board, or an alias of one.
fn home(base: &Table, name: &str, library: &mut dyn Library) -> Option<(String, String)> {
    if tree::get(base, &["chip", name]).is_some() {
        let about = format!("`{name}` is a chip");
        return Some((about, toml::path(["chip", name, "dev", "NAME"])));
    }
    let alias = tree::get(base, &["alias", name]).and_then(Node::as_str);
    if let Some(device) = alias.filter(|device| tree::get(base, &["dev", device]).is_some()) {
        let about = format!("`{name}` is an alias of `{device}`");
        return Some((about, toml::path(["dev", device])));
    }
    let mut chips: Vec<&str> = alias.unwrap_or(name).split('.').collect();
    let last = chips.pop()?;
    let found = inside(base, last, library);
    let mut found = found.iter().filter_map(|path| path.split_last());
    let (device, chips) = found.find(|(_, path)| chips.is_empty() || *path == chips)?;
    let keys = chips.iter().flat_map(|chip| ["chip", chip]);
    let whole = toml::path(keys.chain(["dev", device]));
    let about = format!("`{name}` is a device of the chip `{}`", chips.join("."));
    Some((about, whole))
}

fn cut(base: &mut Table, path: &[String], span: Span) {
    let found = tree::remove(base, path).is_some();
    let mut table = base;
    for (depth, key) in path.iter().enumerate() {
        let entry = table.get_or_insert_with(key, || Entry {
            key: span,
            node: Node::new(Value::Table(Table::new()), span),
        });
        if depth + 1 == path.len() {
            entry.node.cut = Some(Box::new(Cut { span, found }));
        }
        match entry.node.as_table_mut() {
            Some(inner) => table = inner,
            None => return,
        }
    }
}

/// Reports devices that a layer gives properties to although no weaker one declares them, and takes them out of it. A
/// device is declared where it gets a place.
pub fn undeclared(
    base: &Table,
    over: &mut Table,
    library: &mut dyn Library,
    problems: &mut Vec<Problem>,
) {
    let none = Table::new();
    let declared = base.get("dev").and_then(|e| e.node.as_table());
    let declared = declared.unwrap_or(&none);
    let Some(devices) = over.get_mut("dev").and_then(|e| e.node.as_table_mut()) else {
        return;
    };
    devices.retain(|name, entry| {
        let Some(table) = entry.node.as_table() else {
            return true;
        };
        let placed = table.contains_key("at") || table.contains_key("map") || !needs_place(table);
        let gone = entry.node.cut.is_some() && table.is_empty();
        if placed || gone || declared.contains_key(name) {
            return true;
        }
        let problem = Problem::error(
            "undeclared-device",
            format!("no board below declares the device `{name}`"),
        )
        .at(entry.key, "a new device needs `at`");
        problems.push(match home(base, name, library) {
            Some((about, home)) => {
                let kind = table.keys().find(|key| !KEYS.contains(&key.as_str()));
                let kind = kind.map(|kind| format!(".{}", toml::path([kind.as_str()])));
                let kind = kind.unwrap_or_default();
                problem.help(format!("{about}: write [{home}{kind}]"))
            }
            None => problem.help(suggest(
                name,
                "devices",
                declared.keys().map(String::as_str),
            )),
        });
        false
    });
}

/// Whether a device of this table has to say where it sits.
fn needs_place(table: &Table) -> bool {
    let kinds = table
        .keys()
        .filter(|key| !KEYS.contains(&key.as_str()))
        .filter_map(|key| registry::find(key));
    kinds
        .filter_map(|kind| (kind.defaults)().interface().ok())
        .all(|interface| interface.bus.is_some())
}

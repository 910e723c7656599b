//! What the command line sets: paths as in the files, and short ones.

use super::chips::{Library, MAX_DEVICES};
use super::format::{CHIP_KEYS, KEYS, SECTIONS};
use super::merge::overlay;
use super::params::{Given, Setting};
use super::parse::parse_set;
use super::tree::{Entry, Node, Table, Value};
use crate::diagnostics::{FileId, Problem, Span, suggest};
use crate::registry::find;

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
    library: &mut dyn Library,
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
                value: Given::Text(value.clone()),
                key,
                span,
            });
        } else if let Some(over) = parse_set(file, base, path, value, problems) {
            let Some((keys, node)) = branch(over) else {
                continue;
            };
            if let Some(problem) = alone(root, &keys, &node) {
                problems.push(problem);
                continue;
            }
            match spell_out(root, keys, library) {
                Ok(keys) => overlay(root, grow(keys, node)),
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

/// A path, each key with its place.
pub type Keys = Vec<(String, Span)>;

/// Takes a tree that is one path apart: its keys, outermost first, and what is at its end.
pub fn branch(mut tree: Table) -> Option<(Keys, Node)> {
    let mut keys = Keys::new();
    loop {
        let (key, entry) = tree.into_iter().next()?;
        keys.push((key, entry.key));
        match entry.node.value {
            Value::Table(inner) if inner.len() == 1 => tree = inner,
            value => {
                let node = Node {
                    value,
                    ..entry.node
                };
                return Some((keys, node));
            }
        }
    }
}

/// A tree that is one path.
fn grow(keys: Keys, node: Node) -> Table {
    let whole = keys.into_iter().rfold(node, |node, (key, span)| {
        let at = node.span;
        let table = Table::from([(key, Entry { key: span, node })]);
        Node::new(Value::Table(table), at)
    });
    match whole.value {
        Value::Table(table) => table,
        _ => Table::new(),
    }
}

/// Gives a path as it stands in the files: `DEVICE.PROPERTY` is short for `dev.DEVICE.TYPE.PROPERTY`, and
/// `CHIP.DEVICE.PROPERTY` for `chip.CHIP.dev.DEVICE.TYPE.PROPERTY`. A device within a chip can go without the chip's
/// name where no other has its name.
///
/// # Errors
/// There is no such device.
fn spell_out(root: &Table, keys: Keys, library: &mut dyn Library) -> Result<Keys, Problem> {
    let (first, at) = keys[0].clone();
    if SECTIONS.contains(&first.as_str()) {
        return match (first.as_str(), keys.get(1)) {
            ("dev", Some((name, at))) if member(root, "dev", name).is_none() => {
                Err(no_device(root, name, *at))
            }
            _ => Ok(keys),
        };
    }
    let mut rest = keys;
    let named = member(root, "dev", &first).or_else(|| member(root, "chip", &first));
    let prefix = match member(root, "alias", &first).and_then(|e| e.node.as_str()) {
        Some(device) => Some(device.split('.').map(str::to_owned).collect()),
        None if named.is_some() => None,
        None => match &inside(root, &first, library)[..] {
            [only] => Some(only.clone()),
            [] => return Err(no_device(root, &first, at)),
            several => {
                let several: Vec<_> = several.iter().map(|path| path.join(".")).collect();
                return Err(Problem::error(
                    "ambiguous-device",
                    format!("several devices are called `{first}`"),
                )
                .at(at, "")
                .help(format!("they are {}", several.join(", "))));
            }
        },
    };
    if let Some(prefix) = prefix {
        let prefix: Keys = prefix.into_iter().map(|key: String| (key, at)).collect();
        rest.splice(0..1, prefix);
    }
    let mut out = Keys::new();
    let mut chip;
    let mut level = root;
    let mut rest = rest.into_iter().peekable();
    while let Some((name, at)) = rest.next() {
        if let Some(device) = member(level, "dev", &name) {
            out.extend([("dev".to_owned(), at), (name, at)]);
            let kinds = device.node.as_table().into_iter().flatten();
            let kind = kinds.map(|(key, _)| key).find(|key| typed(key));
            if let (Some(kind), Some((key, at))) = (kind, rest.peek())
                && typed(key)
                && find(key).is_none()
            {
                out.push((kind.clone(), *at));
            }
            out.extend(rest);
            break;
        }
        let Some(instance) = member(level, "chip", &name) else {
            return Err(no_device(level, &name, at));
        };
        out.extend([("chip".to_owned(), at), (name, at)]);
        if rest
            .peek()
            .is_some_and(|(key, _)| CHIP_KEYS.contains(&key.as_str()))
        {
            out.extend(rest);
            break;
        }
        match library.chip_of(instance) {
            Some(found) => chip = found,
            None => return Ok(out),
        }
        level = &chip.tree;
    }
    Ok(out)
}

/// What to say of a name alone, to which no value can be given.
fn alone(root: &Table, keys: &Keys, node: &Node) -> Option<Problem> {
    let ([(name, at)], None) = (&keys[..], node.as_table()) else {
        return None;
    };
    let there = |section: &str| member(root, section, name).is_some();
    let (what, help) = if there("param") {
        let what = if there("dev") { "device" } else { "parameter" };
        (what, format!("did you mean `param.{name}`?"))
    } else if there("slot") {
        ("slot", format!("did you mean `run --backend {name}=…`?"))
    } else if there("dev") || there("chip") || there("alias") {
        let help = format!("name one of its properties: `{name}.PROPERTY=…`");
        ("device", help)
    } else {
        return None;
    };
    let problem = Problem::error(
        "not-a-value",
        format!("`{name}` is a {what}, and has no value"),
    );
    Some(problem.at(*at, "").help(help))
}

fn typed(key: &str) -> bool {
    !KEYS.contains(&key)
}

fn member<'t>(level: &'t Table, section: &str, name: &str) -> Option<&'t Entry> {
    level.get(section)?.node.as_table()?.get(name)
}

fn no_device(level: &Table, name: &str, at: Span) -> Problem {
    let names = |section: &str| {
        let table = level.get(section).and_then(|entry| entry.node.as_table());
        table.into_iter().flat_map(|table| table.keys())
    };
    let all = ["dev", "chip", "alias"].into_iter().flat_map(names);
    Problem::error("unknown-device", format!("there is no device `{name}`"))
        .at(at, "")
        .help(suggest(name, "devices", all.map(String::as_str)))
}

/// The paths of devices within chips that have this name: the chips' names, and then its own.
pub fn inside(level: &Table, name: &str, library: &mut dyn Library) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let chips = level.get("chip").and_then(|entry| entry.node.as_table());
    for (chip, instance) in chips.into_iter().flatten() {
        let inner = library.chip_of(instance);
        let Some(inner) = inner.filter(|chip| chip.devices <= MAX_DEVICES) else {
            continue;
        };
        let here = member(&inner.tree, "dev", name).map(|_| vec![name.to_owned()]);
        let deeper = inside(&inner.tree, name, library);
        for path in here.into_iter().chain(deeper) {
            found.push([vec![chip.clone()], path].concat());
        }
    }
    found
}

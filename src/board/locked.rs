//! The lock of a board, as far as it has a say in what the board is: the defaults of the device types, as they were when it was
//! written, and what the program has to be able to do.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::format::KEYS;
use super::parse;
use super::tree::{self, Entry, Node, Table, Value};
use crate::diagnostics::{FileId, Problem, Span};
use crate::registry::{self, Entry as Type};

/// The form of locks.
pub const FORMAT: u64 = 1;

/// A lock that was read.
#[derive(Debug, Clone)]
pub struct Locked {
    /// Its file, as shown in messages.
    pub name: String,
    /// What stands in it before the devices. The rest is read where the board is not to the letter what it was.
    pub tree: Table,
    /// Its start.
    pub whole: Span,
    /// It is that of the board itself, not of one that the board extends.
    pub own: bool,
}

impl Locked {
    /// Reads as much of a lock as a board is resolved on.
    pub fn read(
        name: String,
        file: FileId,
        text: &str,
        own: bool,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let whole = Span {
            file,
            start: 0,
            end: 0,
        };
        Self {
            name,
            tree: parse::parse(file, head(text), problems),
            whole,
            own,
        }
    }

    /// The same with all that stands in it.
    pub fn with_all(&self, text: &str, problems: &mut Vec<Problem>) -> Self {
        Self {
            tree: parse::parse(self.whole.file, text, problems),
            ..self.clone()
        }
    }

    /// Whether the program can read it and give what it needs. What is wrong is reported.
    pub fn fits(&self, problems: &mut Vec<Problem>) -> bool {
        let format = tree::get(&self.tree, &["lock", "format"]);
        match format.map(Node::to_json).and_then(|format| format.as_u64()) {
            Some(FORMAT) => {}
            _ => {
                let message = format!("{} is no lock that this program knows", self.name);
                let problem = Problem::error("wrong-lock", message);
                let text = format!("expected `format = {FORMAT}` in [lock]");
                problems.push(problem.at(format.map_or(self.whole, |node| node.span), text));
                return false;
            }
        }
        let needs = tree::get(&self.tree, &["lock", "needs"]);
        let before = problems.len();
        let needs = match needs.map(|node| (&node.value, node.span)) {
            Some((Value::Array(items), _)) => &items[..],
            Some((_, span)) => {
                let message = format!("{} does not say what it needs", self.name);
                let problem = Problem::error("wrong-lock", message);
                problems.push(problem.at(span, "expected a list of cargo features"));
                &[]
            }
            None => &[],
        };
        for need in needs {
            let name = need.as_str().unwrap_or_default();
            let problem = match given(name) {
                Some(true) => continue,
                Some(false) => {
                    let message =
                        format!("the board needs `{name}`, which this program was built without");
                    let help =
                        format!("build the program with its cargo feature: --features {name}");
                    Problem::error("feature-not-there", message).help(help)
                }
                None => {
                    let message =
                        format!("the board needs `{name}`, of which this program knows nothing");
                    Problem::error("feature-not-there", message)
                }
            };
            problems.push(problem.at(need.span, "its machine had it when it was locked"));
        }
        problems.len() == before
    }

    /// The type that a table of defaults is of, if there is still one.
    fn types(&self) -> impl Iterator<Item = (&'static Type, &Entry, &Table)> {
        let defaults = self.tree.get("defaults").and_then(|e| e.node.as_table());
        defaults.into_iter().flatten().filter_map(|(name, entry)| {
            let found = registry::find(name).or_else(|| registry::renamed(name))?;
            Some((found, entry, entry.node.as_table()?))
        })
    }

    /// The default that a property had, if it was there.
    pub fn default(&self, kind: &Type, property: &str) -> Option<Json> {
        let (_, _, table) = self.types().find(|(known, ..)| *known == kind)?;
        let old = kind
            .old_properties
            .iter()
            .filter(|(_, new)| *new == property);
        let mut names = [property].into_iter().chain(old.map(|(old, _)| *old));
        let entry = names.find_map(|name| table.get(name));
        let before = || (kind.before)(property);
        entry
            .map(|entry| unset_as_null(entry.node.to_json()))
            .or_else(before)
    }

    /// Lays the defaults of its time below all that the board says, where those of this program are others. Chips are on the board
    /// and parameters are put in.
    pub fn lay_under(&self, root: &mut Table, problems: &mut Vec<Problem>) {
        let used = types_of(root);
        for (kind, entry, table) in self.types() {
            if !used.contains(&kind.name) {
                continue;
            }
            let under = self.under(kind, entry, table, problems);
            if !under.is_empty() {
                lay(root, &["defaults", kind.name], under, entry.key);
            }
        }
    }

    /// The defaults of a type that are not this program's.
    fn under(
        &self,
        kind: &'static Type,
        entry: &Entry,
        table: &Table,
        problems: &mut Vec<Problem>,
    ) -> Vec<(String, Node)> {
        let now = (kind.defaults)();
        let mut under = Vec::new();
        let mut known = Vec::new();
        for (name, was) in table {
            let renamed = kind.old_properties.iter().find(|(old, _)| old == name);
            let name = renamed.map_or(name.as_str(), |(_, new)| new);
            known.push(name);
            match now.get(name) {
                Some(value) if *value == unset_as_null(was.node.to_json()) => {}
                Some(_) => under.push((name.to_owned(), was.node.clone())),
                None => {
                    let message = format!("{} has no property `{name}` any more", kind.name);
                    let problem = Problem::error("property-gone", message);
                    let help = "the board was made with it; a property that a released board has stays, or its model says \
                                in `OLD_PROPERTIES` what it is called now";
                    problems.push(problem.at(was.key, "the lock has it").help(help));
                }
            }
        }
        for (name, value) in now.all().filter(|(name, _)| !known.contains(name)) {
            match (kind.before)(name) {
                Some(before) if before == *value => {}
                Some(before) => {
                    // What has no text of its own has no place.
                    let span = Span {
                        end: entry.key.start,
                        ..entry.key
                    };
                    under.push((name.to_owned(), node(&before, span)));
                }
                None => {
                    let message = format!(
                        "`{name}` of {} is newer than {}, and its model does not say what it was before",
                        kind.name, self.name
                    );
                    let problem = Problem::error("no-history", message);
                    let text = "the lock was made without it";
                    problems.push(problem.at(entry.key, text).help(DECLARE));
                }
            }
        }
        under
    }
}

/// What stands in a lock before the devices; all of it if anything else than what a lock has is behind that.
fn head(text: &str) -> &str {
    const BEHIND: [&str; 5] = ["[dev.", "[lines]", "[slot]", "[boot]", "[layout]"];
    let end = text.find("\n[dev.").unwrap_or(text.len());
    let (head, rest) = text.split_at(end);
    let mut headers = rest
        .lines()
        .filter(|line| line.trim_start().starts_with('['));
    match headers.all(|line| BEHIND.iter().any(|known| line.starts_with(known))) {
        true => head,
        false => text,
    }
}

/// The properties of a saved machine's devices, by the device's name: the lock of a stream.
pub type Saved = BTreeMap<String, Json>;

/// Lays the properties that devices were saved with below all that the board of the stream says, where it says nothing and this
/// program's defaults are others.
pub fn lay_saved(saved: &Saved, root: &mut Table, problems: &mut Vec<Problem>) {
    let devices = root.get("dev").and_then(|entry| entry.node.as_table());
    let mut all = Vec::new();
    for (name, entry) in devices.into_iter().flatten() {
        let table = entry.node.as_table();
        let kind = table
            .into_iter()
            .flat_map(Table::keys)
            .find_map(|key| registry::find(key));
        let (Some(kind), Some(Json::Object(was))) = (kind, saved.get(name)) else {
            continue;
        };
        let span = Span {
            end: entry.key.start,
            ..entry.key
        };
        let mut under = Vec::new();
        for (property, value) in (kind.defaults)().all() {
            let said = [
                &["dev", name, kind.name, property][..],
                &["defaults", kind.name, property],
            ];
            if said.iter().any(|path| tree::get(root, path).is_some()) {
                continue;
            }
            let old = kind
                .old_properties
                .iter()
                .filter(|(_, new)| *new == property);
            let mut names = [property].into_iter().chain(old.map(|(old, _)| *old));
            let was = names.find_map(|name| was.get(name)).cloned();
            match was.or_else(|| (kind.before)(property)) {
                Some(was) if was == *value => {}
                Some(was) => under.push((property.to_owned(), node(&was, span))),
                None => {
                    let message = format!(
                        "`{property}` of {} is newer than the saved machine, and its model does not say what it was before",
                        kind.name
                    );
                    problems.push(
                        Problem::error("no-history", message)
                            .at(span, "")
                            .help(DECLARE),
                    );
                }
            }
        }
        if !under.is_empty() {
            all.push(([name.clone(), kind.name.to_owned()], under, entry.key));
        }
    }
    for ([name, kind], under, key) in all {
        lay(root, &["dev", &name, &kind], under, key);
    }
}

/// What to do about a property without a history.
const DECLARE: &str = "declare it at the property: #[prop(since = N, before = …)], N the state version that brings it";

/// Whether the program can do what a cargo feature brings; `None` for what it does not know.
fn given(need: &str) -> Option<bool> {
    let interfaces = registry::TYPES
        .iter()
        .filter_map(|kind| (kind.defaults)().interface().ok());
    let mut parts = interfaces.flat_map(|interface| interface.parts);
    parts
        .find(|part| part.feature == Some(need))
        .map(|part| part.built)
}

/// The types of a board's devices.
fn types_of(root: &Table) -> Vec<&'static str> {
    let devices = root.get("dev").and_then(|entry| entry.node.as_table());
    let tables = devices.into_iter().flat_map(Table::values);
    let keys = tables
        .filter_map(|device| device.node.as_table())
        .flat_map(Table::keys);
    let kinds = keys.filter(|key| !KEYS.contains(&key.as_str()));
    let mut kinds: Vec<_> = kinds
        .filter_map(|kind| Some(registry::find(kind)?.name))
        .collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

/// Puts values at a path, where nothing is said.
fn lay(root: &mut Table, path: &[&str], values: Vec<(String, Node)>, key: Span) {
    let mut table = root;
    for name in path {
        let entry = table.get_or_insert_with(name, || Entry {
            key,
            node: Node::new(Value::Table(Table::new()), key),
        });
        match entry.node.as_table_mut() {
            Some(inner) => table = inner,
            // It is no table, which is reported elsewhere.
            None => return,
        }
    }
    for (name, node) in values {
        match table.get_mut(&name) {
            Some(said) => said.node.lowest().below = Some(Box::new(node)),
            None => {
                table.insert(name, Entry { key, node });
            }
        }
    }
}

/// A value as a node.
fn node(value: &Json, span: Span) -> Node {
    let value = match value {
        Json::Array(items) => Value::Array(items.iter().map(|item| node(item, span)).collect()),
        Json::Object(table) => Value::Table(
            table
                .iter()
                .map(|(key, value)| {
                    let node = node(value, span);
                    (key.clone(), Entry { key: span, node })
                })
                .collect(),
        ),
        Json::Null => Value::Table(Table::new()),
        scalar => Value::Scalar(scalar.clone()),
    };
    Node::new(value, span)
}

/// A value of a lock as a property's: an empty table is one that is not set.
pub fn unset_as_null(value: Json) -> Json {
    match value {
        Json::Object(table) if table.is_empty() => Json::Null,
        value => value,
    }
}

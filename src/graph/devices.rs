//! The devices of a board: their type, their properties, and what these make of the type.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use serde_json::{Value as Json, json};
use solderless_model::{Interface, PartDecl, Parts, PropError};

use crate::board::Board;
use crate::board::decode::{Target, decode};
use crate::board::format::KEYS;
use crate::board::tree::{self, Entry as TreeEntry, Node, Table};
use crate::diagnostics::{Problem, Span, suggest};
use crate::registry::{self, Entry, Properties};
use crate::toml;

/// A device on its way to the plan.
pub struct Draft<'b> {
    /// Its name.
    pub name: &'b str,
    /// Where the name was written.
    pub key: Span,
    /// All that stands under its name.
    pub table: &'b Table,
    /// What it is; `None` if that could not be made out, which has been reported.
    pub model: Option<Typed>,
}

/// A device whose type and properties are known.
pub struct Typed {
    /// Its type.
    pub entry: &'static Entry,
    /// All properties are known. Otherwise those in trouble, which has been reported, are as if they were not set, and how
    /// large its memory is can only be guessed.
    pub sure: bool,
    /// What it is made of these.
    pub known: Known,
}

/// What sets the properties of a device.
#[derive(Clone, Copy)]
struct Layers<'b> {
    /// The device itself.
    own: &'b Table,
    /// The board, for every device of the type.
    shared: Option<&'b Table>,
}

impl<'b> Layers<'b> {
    /// The value that set a property, if it is not at its type's default.
    fn origin(self, property: &str) -> Option<&'b Node> {
        let own = self.own.get(property);
        let entry = own.or_else(|| self.shared?.get(property))?;
        Some(&entry.node)
    }
}

/// What properties make of a type. Devices with the same properties share it.
#[derive(Clone)]
pub struct Known {
    /// Every property.
    pub props: Arc<Properties>,
    /// What connects the device to the rest of the board.
    pub interface: Arc<Interface>,
    /// The parts it has.
    pub parts: Arc<Parts>,
}

/// What is known of types with properties, by type and text of the properties that the device sets itself.
type Cache = HashMap<(&'static str, String), Known>;

impl<'b> Draft<'b> {
    /// A table under the device's name; `None` if there is none or, which is reported, it is none.
    pub fn table_at(&self, key: &str, problems: &mut Vec<Problem>) -> Option<&'b Table> {
        let node = &self.table.get(key)?.node;
        let table = node.as_table();
        if table.is_none() && !node.any(Json::is_null) {
            let message = format!("`{key}` of `{}` is not a table", self.name);
            let found = format!("expected a table, found {}", node.kind());
            let problem = Problem::error("bad-value", message).at(node.span, found);
            let interface = self.interface();
            problems.push(match key {
                "irq" => {
                    let all = interface.into_iter().flat_map(|i| &i.outputs);
                    let all = all.map(|pins| pins.name);
                    problem.help(form("irq.OUTPUT = \"DEVICE[INPUT]\"", "outputs", all))
                }
                _ => {
                    let all = interface.into_iter().flat_map(|i| &i.slots);
                    let all = all.map(|slot| slot.name);
                    problem.help(form("backend.SLOT = \"NAME\"", "slots", all))
                }
            });
        }
        table
    }

    /// What its properties make of it.
    pub fn interface(&self) -> Option<&Interface> {
        self.model.as_ref().map(|m| &*m.known.interface)
    }
}

/// How a key of a device is written, and what can stand in it.
fn form<'n>(form: &str, what: &str, all: impl Iterator<Item = &'n str>) -> String {
    match all.collect::<Vec<_>>()[..] {
        [] => format!("write `{form}`"),
        ref all => format!("write `{form}`; the {what} are {}", all.join(", ")),
    }
}

/// The devices in order of their names.
pub fn devices<'b>(board: &'b Board, problems: &mut Vec<Problem>) -> Vec<Draft<'b>> {
    let root = &board.root;
    let mut whole = Whole {
        board,
        defaults: defaults(root, problems),
        used: BTreeSet::new(),
        cache: Cache::new(),
    };
    let mut drafts = Vec::new();
    let table = root
        .get("dev")
        .and_then(|entry| table_of(format_args!("dev"), entry, problems));
    for (name, entry) in table.into_iter().flatten() {
        let key = entry.key;
        let plain = |name: &str| {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        // A device of a chip has the chip's name and its own.
        if !name.split('.').all(plain) || name == "sys" || name == "chip" {
            problems.push(
                Problem::error("bad-name", format!("`{name}` cannot be a device's name"))
                    .at(key, "")
                    .help("a name has letters, digits, `-` and `_`; `sys` and `chip` are taken"),
            );
        }
        let Some(table) = table_of(format_args!("dev.{name}"), entry, problems) else {
            continue;
        };
        let model = typed(&mut whole, name, key, table, problems);
        drafts.push(Draft {
            name,
            key,
            table,
            model,
        });
    }
    for (name, (key, _)) in &whole.defaults {
        if !whole.used.contains(name) {
            problems.push(
                Problem::warning(
                    "unused-default",
                    format!("no device of the board has the type `{name}`"),
                )
                .at(*key, "these defaults apply to nothing")
                .place(*name),
            );
        }
    }
    drafts
}

fn table_of<'b>(
    path: fmt::Arguments<'_>,
    entry: &'b TreeEntry,
    problems: &mut Vec<Problem>,
) -> Option<&'b Table> {
    let table = entry.node.as_table();
    if table.is_none() {
        problems.push(
            Problem::error("bad-value", format!("`{path}` is not a table")).at(
                entry.node.span,
                format!("expected a table, found {}", entry.node.kind()),
            ),
        );
    }
    table
}

type Defaults<'b> = BTreeMap<&'static str, (Span, Option<&'b Table>)>;

/// `[defaults.*]`: by type, the place, and the values if they are good.
fn defaults<'b>(root: &'b Table, problems: &mut Vec<Problem>) -> Defaults<'b> {
    let mut defaults = Defaults::new();
    let table = root
        .get("defaults")
        .and_then(|entry| table_of(format_args!("defaults"), entry, problems));
    for (name, entry) in table.into_iter().flatten() {
        let Some(kind) = registry::find(name) else {
            problems.push(unknown_type(name, entry.key));
            continue;
        };
        let table = table_of(format_args!("defaults.{name}"), entry, problems);
        let good = table.filter(|table| properties(kind, table, entry.key, problems).is_some());
        defaults.insert(kind.name, (entry.key, good));
    }
    defaults
}

fn unknown_type(name: &str, key: Span) -> Problem {
    Problem::error("unknown-type", format!("there is no device type `{name}`"))
        .at(key, "")
        .help(suggest(
            name,
            "types",
            registry::TYPES.iter().map(|e| e.name),
        ))
}

fn properties(
    entry: &'static Entry,
    table: &Table,
    at: Span,
    problems: &mut Vec<Problem>,
) -> Option<Properties> {
    let target = Target {
        what: entry.name,
        keys: "properties",
        schema: &|| (entry.schema)().to_value(),
        decode: &entry.decode,
    };
    decode(&target, table, at, problems)
}

/// The properties, as far as they can be known: those in trouble are left out.
fn known(
    entry: &'static Entry,
    table: &Table,
    at: Span,
    problems: &mut Vec<Problem>,
) -> Option<Properties> {
    properties(entry, table, at, problems).or_else(|| {
        let values = table.iter().map(|(key, value)| (key, value.node.to_json()));
        let mut good = serde_json::Map::new();
        for (key, value) in values {
            if (entry.decode)(&json!({ key.as_str(): value })).is_ok() {
                good.insert(key.clone(), value);
            }
        }
        (entry.decode)(&Json::Object(good)).ok()
    })
}

/// The types that a device has, each with its place and the properties: one, if all is well.
fn types<'b>(
    name: &str,
    table: &'b Table,
    problems: &mut Vec<Problem>,
) -> Vec<(&'static Entry, Span, &'b Table)> {
    let mut types = Vec::new();
    for (key, entry) in table
        .iter()
        .filter(|(key, _)| !KEYS.contains(&key.as_str()))
    {
        match (registry::find(key), entry.node.as_table()) {
            (Some(found), Some(own)) => types.push((found, entry.key, own)),
            (Some(_), None) => {
                table_of(format_args!("dev.{name}.{key}"), entry, problems);
            }
            (None, Some(_)) => problems.push(unknown_type(key, entry.key)),
            (None, None) => problems.push(
                Problem::error("unknown-key", format!("a device has no key `{key}`"))
                    .at(entry.key, "")
                    .help(format!(
                        "{}\na property stands in the table of the device's type: [dev.{name}.TYPE]",
                        suggest(key, "keys", KEYS)
                    )),
            ),
        }
    }
    types
}

/// Reports what is wrong with devices whatever else a board says of them: their types, properties and defaults.
pub fn alone(root: &Table, problems: &mut Vec<Problem>) {
    defaults(root, problems);
    let table = |section: &str| root.get(section).and_then(|e| e.node.as_table());
    for (name, entry) in table("dev").into_iter().flatten() {
        let Some(table) = table_of(format_args!("dev.{name}"), entry, problems) else {
            continue;
        };
        for (kind, at, own) in types(name, table, problems) {
            properties(kind, own, at, problems);
        }
        let draft = Draft {
            name,
            key: entry.key,
            table,
            model: None,
        };
        for key in ["irq", "backend"] {
            draft.table_at(key, problems);
        }
    }
    for chip in table("chip").into_iter().flat_map(|chips| chips.values()) {
        if let Some(chip) = chip.node.as_table() {
            alone(chip, problems);
        }
    }
}

/// What is the same for all devices of a board.
struct Whole<'b> {
    board: &'b Board,
    defaults: Defaults<'b>,
    /// The types that devices have.
    used: BTreeSet<&'static str>,
    cache: Cache,
}

fn typed<'b>(
    whole: &mut Whole<'b>,
    name: &str,
    key: Span,
    table: &'b Table,
    problems: &mut Vec<Problem>,
) -> Option<Typed> {
    let types = types(name, table, problems);
    whole
        .used
        .extend(types.iter().map(|(entry, ..)| entry.name));
    let (entry, type_key, own) = match types[..] {
        [only] => only,
        [] => {
            let other = table.keys().any(|key| !KEYS.contains(&key.as_str()));
            if !other {
                problems.push(
                    Problem::error("no-type", format!("device `{name}` has no type"))
                        .at(key, "")
                        .help(format!(
                            "add a table with the type as its key: [dev.{name}.TYPE]"
                        )),
                );
            }
            return None;
        }
        [(first, at, _), (second, then, _), ..] => {
            problems.push(
                Problem::error("two-types", format!("device `{name}` has two types"))
                    .at(at, first.name)
                    .at(then, second.name),
            );
            return None;
        }
    };
    let shared = whole.defaults.get(entry.name).and_then(|(_, table)| *table);
    let layers = Layers { own, shared };
    let mut text = String::new();
    tree::describe(own, &mut text);
    let cached = (entry.name, text);
    if let Some(known) = whole.cache.get(&cached) {
        return Some(Typed {
            entry,
            sure: true,
            known: known.clone(),
        });
    }
    let before = problems.len();
    // Each layer is judged alone, so that the defaults' mistakes are not repeated for every device.
    let mut props = known(entry, own, type_key, problems)?;
    let mut sure = problems.len() == before && !own.values().any(|e| e.node.any(Json::is_null));
    if let Some(shared) = shared {
        let mut both = shared.clone();
        both.extend(own.iter().map(|(key, value)| (key.clone(), value.clone())));
        props = known(entry, &both, type_key, problems)?;
    }
    sure &= whole
        .defaults
        .get(entry.name)
        .is_none_or(|(_, good)| good.is_some());
    let about = |problem: Problem, error: &PropError| {
        let origin = layers.origin(error.property);
        problem
            .at(origin.map_or(type_key, |node| node.span), &error.reason)
            .at_some(
                origin.and_then(|node| node.param),
                "the parameter's value comes from here",
            )
            .over(origin.map(Node::weaker).unwrap_or_default())
    };
    let interface = match props.interface() {
        Ok(interface) => interface,
        Err(error) => {
            let message = format!("bad value for `{}` of {}", error.property, entry.name);
            let problem = Problem::error("bad-value", message);
            problems.push(about(problem, &error));
            sure = false;
            // What it is without that value.
            let defaults = (entry.defaults)();
            let mut set = props.to_json();
            set[error.property] = defaults.get(error.property).cloned().unwrap_or_default();
            props = (entry.decode)(&set).ok()?;
            props.interface().ok()?
        }
    };
    for limit in &interface.limited {
        let message = format!(
            "{} can do only a part of its `{}`",
            entry.name, limit.property
        );
        let problem = Problem::warning("limited-value", message).place(name);
        problems.push(about(problem, limit));
    }
    let known = Known {
        parts: interface.present().into(),
        props: props.into(),
        interface: interface.into(),
    };
    let parts = &known.interface.parts;
    let mut left_out = parts.iter().filter(|p| p.present && !p.built).peekable();
    // What is wrong with one device is wrong with each like it.
    if left_out.peek().is_none() && sure {
        whole.cache.insert(cached, known.clone());
    }
    for part in left_out {
        let own = toml::path(whole.board.keys_of(name).into_iter().chain([entry.name]));
        problems.push(not_built(&own, entry, &known, layers, part, type_key));
    }
    Some(Typed { entry, sure, known })
}

/// A part that the program was built without, with what asked for it and both ways out.
fn not_built(
    own: &str,
    entry: &Entry,
    known: &Known,
    layers: Layers<'_>,
    part: &PartDecl,
    type_key: Span,
) -> Problem {
    let kind = entry.name;
    let mut problem = Problem::error(
        "part-not-built",
        format!("this program was built without `{}` of {kind}", part.name),
    );
    let mut help = Vec::new();
    for (property, off) in part.off {
        if known.props.get(property).and_then(Json::as_bool) == Some(*off) {
            continue;
        }
        let line = format!("{property} = {off}");
        match layers.origin(property) {
            Some(node) => {
                let table = match layers.own.contains_key(property) {
                    true => own.to_owned(),
                    false => format!("defaults.{kind}"),
                };
                problem = problem
                    .at(node.span, format!("`{property}` of [{table}] asks for it"))
                    .at_some(node.param, "the parameter's value comes from here")
                    .over(node.weaker());
                help.push(format!("write `{line}` there"));
            }
            None => {
                let value = format!("`{property}` is {}, the default of {kind}", !off);
                problem = problem.at(type_key, format!("{value}, and asks for it"));
                help.push(format!("add `{line}` to [{own}] or [defaults.{kind}]"));
            }
        }
    }
    if let Some(feature) = part.feature {
        help.push(format!(
            "or build the program with its cargo feature: --features {feature}"
        ));
    }
    problem.help(help.join("\n"))
}

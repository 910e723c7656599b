//! Chips put on the board: their devices become the board's, and every name in them one of the whole board.
//!
//! A reference in a chip's file means what it means there. [`expand`] makes it mean the same on the board, so that nothing
//! behind it knows of chips: `pic[9]` in the chip `piix4` becomes `piix4.pic[9]`, and `piix4.isa`, a port of the chip,
//! becomes the bus behind it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::rc::Rc;

use serde_json::Value as Json;

use super::decode::section;
use super::format::ChipSection;
use super::gone::Gone;
use super::merge::{overlay, overlay_cut};
use super::params::{self, Given, Setting};
use super::refer::{self, Lost};
use super::tree::{Entry, Node, Table, Value};
use super::when;
use crate::diagnostics::{Problem, Span, suggest};
use crate::reference::{Bus, Inputs, Output, Outputs, PINS, Place};

/// A chip as its file has it.
#[derive(Debug)]
pub struct Chip {
    /// The file, as shown in messages.
    pub name: String,
    /// What stands in it, with what it extends.
    pub tree: Table,
    /// Its ports, with the place of each; `None` for one whose trouble has been reported.
    pub ports: Ports,
    /// How many devices it brings, those of the chips in it included. A chip counts as one, too.
    pub devices: usize,
    /// How many values stand in it.
    pub values: usize,
    /// The numbers of the texts that it is in, those of the chips in it aside.
    pub files: Range<usize>,
    /// What it takes away of those that it extends.
    pub gone: Gone,
    /// Where its own text starts.
    pub whole: Span,
}

/// See [`Chip::ports`].
pub type Ports = BTreeMap<String, (Option<Port>, Span)>;

/// What a port of a chip leads to, as the chip names it.
#[derive(Debug, Clone)]
pub enum Port {
    /// A bus that a device of the chip offers.
    Bus(Bus),
    /// Inputs of a device of the chip.
    Inputs(Inputs),
    /// An output of a device of the chip.
    Output(Output),
}

/// The keys of a chip on a board that are tables.
pub const TABLES: [&str; 6] = ["irq", "backend", "param", "defaults", "dev", "chip"];

/// The most devices that the chips of a board can bring. A text of a few lines can name the same chip again and again.
pub const MAX_DEVICES: usize = 1 << 17;
/// The most values that stand in the chips of a board, all together.
const MAX_VALUES: usize = 1 << 22;

/// Where chips come from.
pub trait Library {
    /// The chip that a `use` names; `None` if there is none, which has been reported.
    fn chip(&mut self, name: &Node) -> Option<Rc<Chip>>;

    /// The chip of an instance.
    fn chip_of(&mut self, instance: &Entry) -> Option<Rc<Chip>> {
        let name = &instance.node.as_table()?.get("use")?.node;
        self.chip(name)
    }
}

/// The chips of one board or chip, by name; `None` for one whose trouble has been reported.
pub type Instances = BTreeMap<String, Option<Rc<Chip>>>;

/// The devices and all else that is looked up by name, of the whole board.
#[derive(Default)]
struct Flat {
    dev: Table,
    join: Table,
    alias: Table,
    allow: Table,
}

/// One chip on its way to the board.
struct Scope<'s> {
    /// What its names start with on the board; empty for the board itself.
    prefix: String,
    /// It is a chip, not the board itself.
    inner: bool,
    /// Where it sits.
    place: Option<&'s Node>,
    /// The board's slots that are plugged into its own.
    backends: Option<&'s Table>,
    /// What stronger layers give every device of a type.
    defaults: &'s Table,
    /// The name of the chip on the board, for messages.
    key: Option<Span>,
}

/// Puts the chips of a board, or of a chip by itself (`inner`), in place of `[chip]`. Params have been put in. Params that
/// nothing uses are added to `unused`. Returns the names of the chips.
pub fn expand(
    root: &mut Table,
    inner: bool,
    library: &mut dyn Library,
    unused: &mut Vec<(String, Span)>,
    problems: &mut Vec<Problem>,
) -> BTreeSet<String> {
    if !root.contains_key("chip") && !inner {
        return BTreeSet::new();
    }
    let none = Table::new();
    let scope = Scope {
        prefix: String::new(),
        inner,
        place: None,
        backends: None,
        defaults: &none,
        key: None,
    };
    let mut expander = Expander {
        library,
        unused,
        problems,
        flat: Flat::default(),
        chips: BTreeSet::new(),
        size: (0, 0),
    };
    expander.scope(root, &scope);
    let Flat {
        dev,
        join,
        alias,
        allow,
    } = expander.flat;
    for (section, table) in [
        ("dev", dev),
        ("join", join),
        ("alias", alias),
        ("allow", allow),
    ] {
        match root
            .get_mut(section)
            .and_then(|entry| entry.node.as_table_mut())
        {
            Some(place) => *place = table,
            None if table.is_empty() => {}
            None => {
                let at = root["chip"].key;
                root.insert(
                    section.to_owned(),
                    Entry {
                        key: at,
                        node: Node::new(Value::Table(table), at),
                    },
                );
            }
        }
    }
    root.remove("chip");
    expander.chips
}

struct Expander<'a> {
    library: &'a mut dyn Library,
    unused: &'a mut Vec<(String, Span)>,
    problems: &'a mut Vec<Problem>,
    flat: Flat,
    /// The names of the chips on the board.
    chips: BTreeSet<String>,
    /// How many devices and values they bring.
    size: (usize, usize),
}

fn take(tree: &mut Table, section: &str) -> Table {
    let table = tree
        .get_mut(section)
        .and_then(|entry| entry.node.as_table_mut());
    table.map(std::mem::take).unwrap_or_default()
}

impl Expander<'_> {
    /// Moves what stands in a board or chip to the whole board.
    fn scope(&mut self, tree: &mut Table, scope: &Scope<'_>) {
        let mut chips = take(tree, "chip");
        let mut instances = Instances::new();
        chips.retain(|name, entry| {
            let chip = self.instance(name, entry);
            let there = chip.is_some();
            instances.insert(name.clone(), chip);
            there
        });
        refer::all(
            &mut refer::Names {
                prefix: &scope.prefix,
                inner: scope.inner,
                place: scope.place,
                backends: scope.backends,
                instances: &instances,
                chip: scope.key,
                problems: self.problems,
            },
            tree,
            &mut chips,
        );
        let board = tree.get("defaults").and_then(|e| e.node.as_table());
        let defaults = match board.filter(|_| scope.prefix.is_empty()) {
            Some(board) => board.clone(),
            None => scope.defaults.clone(),
        };
        for (name, entry) in chips {
            let Some(Some(chip)) = instances.get(&name) else {
                continue;
            };
            self.put(&name, entry, chip, scope, &defaults);
        }
        self.emit(tree, scope);
    }

    /// Reads what names the chip of an instance.
    fn instance(&mut self, name: &str, entry: &Entry) -> Option<Rc<Chip>> {
        let what = format!("chip.{name}");
        let Some(table) = entry.node.as_table() else {
            self.problems.push(
                Problem::error("bad-value", format!("`{what}` is not a table"))
                    .at(entry.node.span, "expected a table with `use`"),
            );
            return None;
        };
        let (inner, own): (Table, Table) = table
            .iter()
            .map(|(key, value)| (key.clone(), value.clone()))
            .partition(|(key, _)| TABLES.contains(&key.as_str()));
        for (key, entry) in inner.iter().filter(|(_, e)| e.node.as_table().is_none()) {
            let problem =
                Problem::error("bad-value", format!("`{key}` of `{what}` is not a table"));
            let kind = entry.node.kind();
            let problem = problem.at(entry.node.span, format!("expected a table, found {kind}"));
            self.problems.push(match key.as_str() {
                "irq" => problem.help("write `irq.OUTPUT = \"DEVICE[INPUT]\"`"),
                "backend" => problem.help("write `backend.SLOT = \"NAME\"`"),
                _ => problem.help(format!("write [{what}.{key}]")),
            });
        }
        let _: ChipSection = section(&what, &own, entry.key, self.problems)?;
        self.library.chip(&table.get("use")?.node)
    }

    /// Puts one chip on the board.
    fn put(
        &mut self,
        name: &str,
        entry: Entry,
        chip: &Rc<Chip>,
        outer: &Scope<'_>,
        defaults: &Table,
    ) {
        let key = entry.key;
        let Value::Table(mut own) = entry.node.value else {
            return;
        };
        // One that is too large by itself has been reported.
        if chip.devices > MAX_DEVICES {
            return;
        }
        // The chips in it count when it is their turn.
        let devices = chip.tree.get("dev").and_then(|e| e.node.as_table());
        let fits = |(devices, values)| devices <= MAX_DEVICES && values <= MAX_VALUES;
        let before = self.size;
        self.size.0 += 1 + devices.map_or(0, Table::len);
        self.size.1 += chip.values;
        if !fits(self.size) {
            if fits(before) {
                let message = "the chips of the board are too many, or too large";
                self.problems.push(
                    Problem::error("too-many-devices", message)
                        .at(key, "from this one on")
                        .help(format!(
                            "they can have {MAX_DEVICES} devices in all, and {MAX_VALUES} values"
                        )),
                );
            }
            return;
        }
        self.chips.insert(format!("{}{name}", outer.prefix));
        let mut tree = chip.tree.clone();
        let settings: Vec<_> = take(&mut own, "param")
            .into_iter()
            .map(|(name, entry)| Setting {
                name,
                key: entry.key,
                span: entry.node.span,
                value: Given::Node(entry.node),
            })
            .collect();
        let whose = params::Whose::Chip {
            at: key,
            help: &|param| format!("set it: `{param} = …` under [chip.{name}.param]"),
        };
        let params = params::decide(&tree, &settings, &whose, self.problems);
        let mut used = BTreeSet::new();
        when::settle(&mut tree, &params, &mut used, self.problems);
        params::substitute(&mut tree, &params, None, &mut used, self.problems);
        let prefix = format!("{}{name}.", outer.prefix);
        self.unused.extend(params::unused(&tree, &used, &prefix));
        self.outputs(&mut tree, &mut own, name, chip);
        let backends = self.backends(&mut own, name, chip);
        let inner = self.lay_over(&mut tree, &own, key, defaults);
        let scope = Scope {
            prefix,
            inner: true,
            place: own.get("at").map(|entry| &entry.node),
            backends: Some(&backends),
            defaults: &inner,
            key: Some(key),
        };
        self.scope(&mut tree, &scope);
    }

    /// Takes what the board plugs into the chip's slots.
    fn backends(&mut self, own: &mut Table, name: &str, chip: &Chip) -> Table {
        let backends = take(own, "backend");
        for (slot, entry) in &backends {
            let slots = chip.tree.get("slot").and_then(|e| e.node.as_table());
            if !slots.is_some_and(|slots| slots.contains_key(slot)) {
                let names = slots.into_iter().flat_map(|slots| slots.keys());
                self.problems.push(
                    Problem::error(
                        "unknown-slot",
                        format!("the chip `{name}` has no slot `{slot}`"),
                    )
                    .at(entry.key, "")
                    .help(suggest(slot, "slots", names.map(String::as_str))),
                );
            }
        }
        backends
    }

    /// Lays over a chip what the board says of its devices, chips and defaults. Returns the defaults for the chips within it;
    /// `outer` are those around it.
    fn lay_over(&mut self, tree: &mut Table, own: &Table, key: Span, outer: &Table) -> Table {
        let mut over = Table::new();
        for section in ["dev", "chip", "defaults"] {
            over.extend(
                own.get(section)
                    .cloned()
                    .map(|entry| (section.to_owned(), entry)),
            );
        }
        super::merge::undeclared(tree, &mut over, self.library, self.problems);
        // What goes within the chips in it goes when they are put there.
        let chips = take(&mut over, "chip");
        let (gone, kept): (Table, Table) = chips
            .into_iter()
            .partition(|(_, entry)| entry.node.cut.is_some());
        let inner = tree.get_mut("chip").and_then(|e| e.node.as_table_mut());
        match inner {
            Some(inner) => {
                overlay_cut(inner, gone, self.problems);
                overlay(inner, kept);
            }
            None => {
                over.insert(
                    "chip".to_owned(),
                    Entry {
                        key,
                        node: Node::new(Value::Table(kept), key),
                    },
                );
            }
        }
        // The defaults of the chip and of what is around it come between the chip's devices and these.
        let devices = over.remove("dev");
        overlay_cut(tree, over, self.problems);
        let inner = defaults_within(tree, outer);
        if let Some(entry) = devices {
            overlay_cut(
                tree,
                Table::from([("dev".to_owned(), entry)]),
                self.problems,
            );
        }
        inner
    }

    /// Takes the lines that the board draws from the chip's output ports to the devices behind them.
    fn outputs(&mut self, tree: &mut Table, own: &mut Table, name: &str, chip: &Chip) {
        for (key, entry) in take(own, "irq") {
            let Some(Outputs {
                group: port,
                numbers,
            }) = Outputs::parse(&key)
            else {
                let message = format!("this names no output of the chip `{name}`");
                let problem = Problem::error("bad-pin", message).at(entry.key, "");
                self.problems.push(problem.help(PINS));
                continue;
            };
            let output = match chip.ports.get(&port) {
                Some((Some(Port::Output(output)), at)) => (output, at),
                Some((None, _)) => continue,
                _ => {
                    let outputs = chip.ports.iter();
                    let outputs =
                        outputs.filter(|(_, (port, _))| matches!(port, Some(Port::Output(_))));
                    self.problems.push(
                        Problem::error(
                            "unknown-port",
                            format!("the chip `{name}` has no output `{port}`"),
                        )
                        .at(entry.key, "")
                        .help(suggest(
                            &port,
                            "outputs",
                            outputs.map(|(name, _)| name.as_str()),
                        )),
                    );
                    continue;
                }
            };
            let (output, at) = output;
            let target = refer::pick_output(output, numbers.as_deref());
            let line = target.and_then(|Output { device, outputs }| {
                let section = ["dev", "chip"].into_iter().find(|section| {
                    let table = tree.get(section).and_then(|e| e.node.as_table());
                    table.is_some_and(|table| table.contains_key(&device))
                })?;
                let device = tree
                    .get_mut(section)?
                    .node
                    .as_table_mut()?
                    .get_mut(&device)?;
                let device = device.node.as_table_mut()?;
                let irq = device.get_or_insert_with("irq", || Entry {
                    key: entry.key,
                    node: Node::new(Value::Table(Table::new()), entry.key),
                });
                Some((irq.node.as_table_mut()?, outputs.to_string()))
            });
            match line {
                Some((irq, pins)) => fan_out(irq, pins, entry),
                None => self.problems.push(
                    Problem::error(
                        "bad-port",
                        format!("the port `{port}` of the chip `{name}` leads nowhere"),
                    )
                    .at(*at, "expected \"device.output\"")
                    .at(entry.key, "used here"),
                ),
            }
        }
    }

    /// Adds what stands in a chip to what the whole board has.
    fn emit(&mut self, tree: &mut Table, scope: &Scope<'_>) {
        let prefix = &scope.prefix;
        for (name, entry) in take(tree, "dev") {
            let name = format!("{prefix}{name}");
            let key = entry.key;
            if let Some(other) = self.flat.dev.insert(name.clone(), entry) {
                self.problems.push(
                    Problem::error("two-devices", format!("two devices are called `{name}`"))
                        .at(key, "")
                        .at(other.key, "the other one"),
                );
            }
        }
        for (section, flat) in [
            ("join", &mut self.flat.join),
            ("alias", &mut self.flat.alias),
        ] {
            let all = take(tree, section).into_iter();
            flat.extend(all.map(|(name, entry)| (format!("{prefix}{name}"), entry)));
        }
        for (lint, mut entry) in take(tree, "allow") {
            if let Some(places) = entry.node.as_table_mut() {
                let all = std::mem::take(places).into_iter();
                places.extend(all.map(|(place, entry)| (format!("{prefix}{place}"), entry)));
            }
            overlay(&mut self.flat.allow, Table::from([(lint, entry)]));
        }
    }
}

/// Gives the devices of a chip what the chip's `[defaults]` say, which is weaker than the devices' own tables, and what
/// those around the chip say, which is stronger. Returns both together, for the chips within it.
fn defaults_within(tree: &mut Table, outer: &Table) -> Table {
    let mut defaults = take(tree, "defaults");
    let devices = tree.get_mut("dev").and_then(|e| e.node.as_table_mut());
    for device in devices.into_iter().flat_map(|table| table.values_mut()) {
        for (kind, entry) in device.node.as_table_mut().into_iter().flatten() {
            lay(entry, &defaults, kind, true);
            lay(entry, outer, kind, false);
        }
    }
    overlay(&mut defaults, outer.clone());
    defaults
}

/// Lays the defaults of a type under or over the properties of a device.
fn lay(entry: &mut Entry, defaults: &Table, kind: &str, under: bool) {
    let Some(table) = defaults.get(kind).and_then(|entry| entry.node.as_table()) else {
        return;
    };
    let Some(own) = entry.node.as_table_mut() else {
        return;
    };
    if under {
        let mut whole = table.clone();
        overlay(&mut whole, std::mem::take(own));
        *own = whole;
    } else {
        overlay(own, table.clone());
    }
}

/// Adds inputs to those that an output drives.
fn fan_out(irq: &mut Table, pins: String, entry: Entry) {
    let items = |node: Node| match node.value {
        Value::Array(items) => items,
        _ => vec![node],
    };
    match irq.remove(&pins) {
        None => {
            irq.insert(pins, entry);
        }
        Some(first) => {
            let span = entry.node.span;
            let all = [items(first.node), items(entry.node)].concat();
            irq.insert(
                pins,
                Entry {
                    key: first.key,
                    node: Node::new(Value::Array(all), span),
                },
            );
        }
    }
}

/// The ports of a chip's file, those of the chips within it put through.
pub fn ports(tree: &Table, instances: &Instances, problems: &mut Vec<Problem>) -> Ports {
    let mut ports = Ports::new();
    let table = tree.get("port").and_then(|entry| entry.node.as_table());
    for (name, entry) in table.into_iter().flatten() {
        let mut fields = entry.node.as_table().into_iter().flatten();
        let at = entry.node.span;
        let port = match (fields.next(), fields.next()) {
            (Some((kind, to)), None) => {
                let text = to.node.as_str();
                let port = text.and_then(|text| self::port(name, kind, text, at, instances));
                port.map(|port| {
                    port.map_err(|problem| match problem {
                        Some(problem) if problem.labels.is_empty() => {
                            Some(problem.at(to.node.span, ""))
                        }
                        problem => problem,
                    })
                })
            }
            _ => None,
        };
        let (port, problem) = match port {
            Some(Ok(port)) => (Some(port), None),
            Some(Err(problem)) => (None, problem),
            None if entry.node.any(Json::is_null) => (None, None),
            None => (None, Some(
                Problem::error("bad-port", format!("`{name}` is no port")).at(
                    at,
                    "expected one of { bus = \"device.port\" }, { input = \"device[input]\" }, { output = \"device.output\" }",
                ),
            )),
        };
        problems.extend(problem);
        ports.insert(name.clone(), (port, at));
    }
    ports
}

/// A port of this kind and name that stands here; `None` if there is no such kind.
fn port(
    name: &str,
    kind: &str,
    text: &str,
    at: Span,
    instances: &Instances,
) -> Option<Result<Port, Lost>> {
    let bad = |message: String, form: &str| Some(Problem::error("bad-port", message).at(at, form));
    let port = match kind {
        "bus" => match Place::parse(text, &|_| at) {
            Place {
                bus: bus @ (Bus::Port { .. } | Bus::Other(_)),
                address: None,
            } => refer::inner_bus(instances, &bus).map(Port::Bus),
            _ => Err(bad(
                format!("`{name}` is no bus of a device of the chip"),
                "expected \"device.port\"",
            )),
        },
        "input" => {
            let inputs = Inputs::parse(text, &|_| at);
            refer::inner_input(instances, inputs).map(Port::Inputs)
        }
        "output" => match Output::parse(text) {
            Some(output) => refer::inner_output(instances, &output).map(|()| Port::Output(output)),
            None => Err(bad(
                format!("the port `{name}` leads nowhere"),
                "expected \"device.output\"",
            )),
        },
        _ => return None,
    };
    Some(port)
}

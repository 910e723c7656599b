//! What differs between two plans.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Value as Json, json};

use super::{Plan, PlannedDevice};
use crate::toml;

/// What is said of one thing, in the order it is printed: by the kind of fact and its name.
type Facts = BTreeMap<(u8, String), String>;

/// Kinds of things, and of facts about a device.
const DEVICE: u8 = 2;
const LINES: u8 = 3;
const SLOT: u8 = 5;

/// The facts of a plan, by the kind and name of the thing.
type Things = BTreeMap<(u8, String), Facts>;

/// What differs between two plans. Shown as text, each line that only the first has starts with `-`, each that only the
/// second has with `+`, under the name of the thing that they are about. Equal plans give no text.
#[derive(Debug)]
pub struct Diff {
    first: Things,
    second: Things,
}

/// Compares two plans. The names of things decide, never their order.
pub fn diff(first: &Plan, second: &Plan) -> Diff {
    Diff {
        first: things(first),
        second: things(second),
    }
}

/// Compares two plans in what a guest can tell: their devices and lines, not what they are called nor what is plugged
/// in.
pub fn machines(first: &Plan, second: &Plan) -> Diff {
    let machine = |plan: &Plan| {
        let mut things = things(plan);
        things.retain(|(kind, _), _| matches!(*kind, DEVICE | LINES));
        for facts in things.values_mut() {
            facts.retain(|(kind, _), _| *kind != SLOT);
        }
        things
    };
    Diff {
        first: machine(first),
        second: machine(second),
    }
}

impl Diff {
    /// Of facts by the kind and name of the things that they are about: the order, the fact's name, and its value.
    pub(crate) fn new(first: Things, second: Things) -> Self {
        Self { first, second }
    }

    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.first == self.second
    }
}

impl fmt::Display for Diff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let none = Facts::new();
        let keys: BTreeSet<_> = self.first.keys().chain(self.second.keys()).collect();
        for key in keys {
            let (first, second) = (self.first.get(key), self.second.get(key));
            if first == second {
                continue;
            }
            let mark = match (first, second) {
                (Some(_), None) => '-',
                (None, Some(_)) => '+',
                _ => ' ',
            };
            writeln!(f, "{mark} {}", key.1)?;
            let (first, second) = (first.unwrap_or(&none), second.unwrap_or(&none));
            let facts: BTreeSet<_> = first.keys().chain(second.keys()).collect();
            for fact in facts {
                let (old, new) = (first.get(fact), second.get(fact));
                if old == new {
                    continue;
                }
                for (mark, value) in [('-', old), ('+', new)] {
                    match value.map(String::as_str) {
                        Some("") => writeln!(f, "{mark}   {}", fact.1)?,
                        Some(value) => writeln!(f, "{mark}   {} = {value}", fact.1)?,
                        None => {}
                    }
                }
            }
        }
        Ok(())
    }
}

fn things(plan: &Plan) -> Things {
    let mut things = Things::new();
    let mut add = |order: u8, name: String, facts: Facts| {
        if !facts.is_empty() {
            things.insert((order, name), facts);
        }
    };
    let text = |text: &str| toml::json(&text.into());
    let board = [("name", &plan.name), ("summary", &plan.summary)];
    let board = board.map(|(name, value)| (name, text(value)));
    let version = plan
        .version
        .iter()
        .map(|version| ("version", text(version)));
    let state = plan.state.map(|version| ("state", version.to_string()));
    let board = board.into_iter().chain(version).chain(state);
    add(0, "board".to_owned(), facts(board));
    let params = plan.params.iter();
    let params = params.map(|(name, value)| (name.as_str(), toml::json(value)));
    add(1, "params".to_owned(), facts(params));
    for device in &plan.devices {
        add(
            DEVICE,
            format!("device {}", device.path),
            of_device(plan, device),
        );
    }
    let mut wires = Facts::new();
    for net in &plan.nets {
        for driver in &net.drivers {
            for sink in &net.sinks {
                let wire = format!("{} → {}", plan.pin(*driver, false), plan.pin(*sink, true));
                wires.insert((0, wire), String::new());
            }
        }
    }
    add(LINES, "lines".to_owned(), wires);
    for slot in &plan.slots {
        let default = slot.default.as_deref().map(|d| ("default", text(d)));
        let all = [("kind", toml::json(&json!(slot.kind)))];
        add(
            4,
            format!("slot {}", slot.name),
            facts(all.into_iter().chain(default)),
        );
    }
    add(5, "boot".to_owned(), of_boot(plan));
    things
}

fn facts<'a>(all: impl IntoIterator<Item = (&'a str, String)>) -> Facts {
    let all = all.into_iter();
    all.map(|(name, value)| ((0, name.to_owned()), value))
        .collect()
}

fn of_device(plan: &Plan, device: &PlannedDevice) -> Facts {
    let mut facts = Facts::new();
    let mut add = |order: u8, name: String, value: String| {
        facts.insert((order, name), value);
    };
    add(0, "type".to_owned(), device.entry.name.to_owned());
    if let Some(seat) = device.seat {
        add(1, "at".to_owned(), plan.seat(seat));
    }
    for (name, value) in device.props.all() {
        let value = match value {
            Json::Null => "none".to_owned(),
            value => toml::json(value),
        };
        add(2, name.to_owned(), value);
    }
    for window in &device.windows {
        add(3, device.window(plan, window), String::new());
    }
    for part in device.interface.parts.iter().filter(|part| part.present) {
        add(4, format!("part {}", part.name), String::new());
    }
    for (slot, bound) in device.interface.slots.iter().zip(&device.backends) {
        if let Some(bound) = bound.and_then(|index| plan.slots.get(index)) {
            add(SLOT, format!("slot {}", slot.name), bound.name.clone());
        }
    }
    facts
}

fn of_boot(plan: &Plan) -> Facts {
    let Some(boot) = &plan.boot else {
        return Facts::new();
    };
    let device = |index: usize| plan.devices.get(index).map_or("", |d| &d.path).to_owned();
    let firmware = plan.slots.get(boot.firmware).map_or("", |slot| &slot.name);
    let mut all = facts([
        ("firmware", firmware.to_owned()),
        ("memory", device(boot.memory)),
        ("cpu", device(boot.cpu)),
        ("protocol", toml::json(&json!(boot.protocol.name()))),
        ("low-memory", format!("{:#x}", boot.low_memory)),
    ]);
    let console = boot.console.map(|at| ("console", format!("{at:#x}")));
    all.extend(facts(console));
    for (n, (address, word)) in boot.setup.iter().enumerate() {
        let value = format!("[{address:#x}, {word:#x}]");
        all.insert((1, format!("setup {n:02}")), value);
    }
    all
}

//! The names in references: what they mean in a chip, and what that is on the whole board.

use serde_json::Value as Json;

use super::chips::{Chip, Instances, Port};
use super::tree::{Node, Table, Value};
use crate::diagnostics::{Problem, Span, suggest};
use crate::reference::{
    Address, Bus, Inputs, Item, Numbers, Output, Outputs, PINS, Pins, Place, Reference, Word,
    bare_address,
};

/// What a board's or chip's references mean.
pub struct Names<'a> {
    /// What the names start with on the board.
    pub prefix: &'a str,
    /// These are a chip's, which calls its own place `chip`.
    pub inner: bool,
    /// Where the chip sits.
    pub place: Option<&'a Node>,
    /// The board's slots that are plugged into the chip's own; `None` on the board itself.
    pub backends: Option<&'a Table>,
    /// The chips in it.
    pub instances: &'a Instances,
    /// Where the chip itself was put on the board; `None` once it was said that it has no place there.
    pub chip: Option<Span>,
    /// What is wrong with them.
    pub problems: &'a mut Vec<Problem>,
}

/// Makes every reference in a board or chip one of the whole board. `chips` are the chips in it.
pub fn all(names: &mut Names<'_>, tree: &mut Table, chips: &mut Table) {
    let sections = ["dev", "join", "alias"].map(|section| {
        let table = tree.get_mut(section);
        table.and_then(|entry| entry.node.as_table_mut().map(std::mem::take))
    });
    let [mut devices, mut joins, mut aliases] = sections;
    names.devices(devices.as_mut());
    for join in joins.iter_mut().flat_map(|table| table.values_mut()) {
        if let Some(inputs) = join.node.as_table_mut().and_then(|t| t.get_mut("inputs")) {
            names.line(&mut inputs.node);
        }
    }
    for alias in aliases.iter_mut().flat_map(|table| table.values_mut()) {
        names.device(&mut alias.node);
    }
    names.chips(chips);
    for (section, table) in [("dev", devices), ("join", joins), ("alias", aliases)] {
        if let (Some(table), Some(entry)) = (table, tree.get_mut(section)) {
            entry.node.value = Value::Table(table);
        }
    }
}

impl Names<'_> {
    fn chips(&mut self, chips: &mut Table) {
        for chip in chips.values_mut() {
            let Some(chip) = chip.node.as_table_mut() else {
                continue;
            };
            self.wires(chip);
            self.devices(chip.get_mut("dev").and_then(|e| e.node.as_table_mut()));
            if let Some(inner) = chip.get_mut("chip").and_then(|e| e.node.as_table_mut()) {
                self.chips(inner);
            }
        }
    }

    fn devices(&mut self, devices: Option<&mut Table>) {
        for device in devices.into_iter().flat_map(|table| table.values_mut()) {
            if let Some(device) = device.node.as_table_mut() {
                self.wires(device);
            }
        }
    }

    /// What a device or chip is connected to.
    fn wires(&mut self, table: &mut Table) {
        if let Some(at) = table.get_mut("at") {
            self.place(&mut at.node);
        }
        if let Some(Value::Array(windows)) = table.get_mut("map").map(|map| &mut map.node.value) {
            for window in windows.iter_mut().filter_map(Node::as_table_mut) {
                if let Some(at) = window.get_mut("at") {
                    self.place(&mut at.node);
                }
                if let Some(cpu) = window.get_mut("cpu") {
                    self.device(&mut cpu.node);
                }
            }
        }
        let lines = table.get_mut("irq").and_then(|e| e.node.as_table_mut());
        for line in lines.into_iter().flat_map(|table| table.values_mut()) {
            match &mut line.node.value {
                Value::Array(items) => items.iter_mut().for_each(|item| self.line(item)),
                _ => self.line(&mut line.node),
            }
        }
        if let Some(slots) = table.get_mut("backend").and_then(|e| e.node.as_table_mut()) {
            slots.retain(|_, entry| self.slot(&mut entry.node));
        }
    }

    /// A slot: the board's that is plugged into the chip's. Whether there is one.
    fn slot(&mut self, node: &mut Node) -> bool {
        if node.refer.is_some() {
            return true;
        }
        if let (Some(backends), Some(name)) = (self.backends, node.as_str()) {
            match backends.get(name) {
                Some(outer) => *node = outer.node.clone(),
                // A slot that the chip does not have is an error of its own; one that nobody fills stays empty.
                None => return false,
            }
        }
        node.refer.get_or_insert_with(|| Box::new(Reference::Name));
        true
    }

    /// `bus:address`.
    fn place(&mut self, node: &mut Node) {
        let Some(place) = unread(node, Place::parse) else {
            return;
        };
        let bare = self.inner.then(|| bare_address("chip", &place)).flatten();
        let at = place.bus.span();
        let Place { bus, address } = place;
        match &bus {
            Bus::System(_) => {
                return self.put(node, Reference::Place(Place { bus, address }), false);
            }
            Bus::Other(word) if word.text == "chip" && self.inner => {
                return self.at_chip(node, address.as_ref());
            }
            _ => {}
        }
        let now = match bare {
            Some(help) => Err(Some(
                Problem::error("unknown-bus", format!("there is no bus `{bus}`")).help(help),
            )),
            None => inner_bus(self.instances, &bus),
        };
        match now {
            Ok(now) => {
                let changed = now != bus;
                let bus = now.within(self.prefix);
                self.put(node, Reference::Place(Place { bus, address }), changed);
            }
            Err(problem) => self.lose(node, problem, at),
        }
    }

    /// Puts what a reference is on the whole board in its place. It is written otherwise if it was `changed`, or its names
    /// start with those of chips.
    fn put(&self, node: &mut Node, reference: Reference, changed: bool) {
        let text = match &reference {
            Reference::Place(place) => Some(place.to_string()),
            Reference::Inputs(inputs) => Some(inputs.to_string()),
            Reference::Name => node.as_str().map(|name| format!("{}{name}", self.prefix)),
        };
        if let Some(text) = text.filter(|_| changed || !self.prefix.is_empty()) {
            node.value = Value::Scalar(text.into());
            // What the parameter was called says nothing outside of the chip.
            node.below = None;
        }
        node.refer = Some(Box::new(reference));
    }

    /// Takes a reference away that leads nowhere, and reports it.
    fn lose(&mut self, node: &mut Node, problem: Lost, at: Span) {
        let problem = problem.map(|problem| problem.at(at, ""));
        self.problems.extend(problem);
        node.value = Value::Scalar(Json::Null);
    }

    /// A place relative to the chip's own.
    fn at_chip(&mut self, node: &mut Node, distance: Option<&Address>) {
        if self.place.is_some_and(|place| place.any(Json::is_null)) {
            node.value = Value::Scalar(Json::Null);
            return;
        }
        let Some(place) = self.place.and_then(Node::as_place) else {
            if let Some(chip) = self.chip.take() {
                self.problems.push(
                    Problem::error("no-place", "the chip has no place")
                        .at(chip, "add `at = \"bus:address\"`")
                        .at(node.span, "this lies relative to it"),
                );
            }
            node.value = Value::Scalar(Json::Null);
            return;
        };
        match place.plus(distance) {
            Some(now) => {
                let written = node.as_str().map_or(0, str::len);
                let now = now.at(node.part(0, written));
                self.put(node, Reference::Place(now), true);
            }
            None => {
                self.problems.push(
                    Problem::error(
                        "bad-address",
                        format!("no place lies so far from `{place}`"),
                    )
                    .at(
                        node.span,
                        "expected \"chip:.FUNCTION\" or \"chip:DISTANCE\"",
                    )
                    .at_some(self.place.map(|place| place.span), "the chip's place"),
                );
                node.value = Value::Scalar(Json::Null);
            }
        }
    }

    /// A device.
    fn device(&mut self, node: &mut Node) {
        let Some(name) = unread(node, |text, _| text.to_owned()) else {
            return;
        };
        match chip_of(self.instances, &name) {
            Some((None, ..)) => self.lose(node, None, node.span),
            _ => self.put(node, Reference::Name, false),
        }
    }

    /// `device[inputs]`.
    fn line(&mut self, node: &mut Node) {
        let Some(inputs) = unread(node, Inputs::parse) else {
            return;
        };
        if let Some((None, ..)) = chip_of(self.instances, &inputs.device.text) {
            return self.lose(node, None, node.span);
        }
        let changed = self.instances.contains_key(&inputs.device.text);
        match inner_input(self.instances, inputs) {
            Ok(mut inputs) => {
                inputs.device.text.insert_str(0, self.prefix);
                self.put(node, Reference::Inputs(inputs), changed);
            }
            Err(problem) => self.lose(node, problem, node.span),
        }
    }
}

/// A reference that is not yet one of the whole board.
fn unread<T>(node: &Node, parse: fn(&str, crate::reference::Places<'_>) -> T) -> Option<T> {
    match node.refer {
        Some(_) => None,
        None => node.read(parse),
    }
}

/// What is wrong with a reference; `None` if that has been reported.
pub type Lost = Option<Problem>;

/// The chip that a name starts with, `None` if it was lost, its own name, and what follows that.
fn chip_of<'i, 't>(
    instances: &'i Instances,
    name: &'t str,
) -> Option<(Option<&'i Chip>, &'t str, &'t str)> {
    let (path, rest) = name.split_once('.').unwrap_or((name, ""));
    instances
        .get(path)
        .map(|chip| (chip.as_deref(), path, rest))
}

/// A bus as a chip names it, with the port of a chip within it put through.
///
/// # Errors
/// That chip has no such port.
pub fn inner_bus(instances: &Instances, bus: &Bus) -> Result<Bus, Lost> {
    let (device, port) = match bus {
        Bus::System(_) => return Ok(bus.clone()),
        Bus::Port { device, port } => (device, Some(port)),
        Bus::Other(word) => (word, None),
    };
    match (chip_of(instances, &device.text), port) {
        (Some((None, ..)), _) => Err(None),
        (Some((Some(chip), path, "")), Some(port)) => {
            let inner = bus_port(chip, path, &port.text)?.clone();
            Ok(inner.at(bus.span()).within(&format!("{path}.")))
        }
        (Some((Some(chip), path, "")), None) => {
            let buses = chip.ports.iter();
            let buses = buses.filter(|(_, (port, _))| matches!(port, Some(Port::Bus(_))));
            let buses: Vec<_> = buses.map(|(name, _)| format!("{path}.{name}")).collect();
            let problem = Problem::error("unknown-bus", format!("there is no bus `{bus}`"));
            Err(Some(problem.help(match &buses[..] {
                [] => format!("the chip `{path}` offers no bus"),
                [only] => format!("did you mean `{only}`?"),
                several => format!("the chip's buses are {}", several.join(", ")),
            })))
        }
        // It is a device's within the chip, or of none.
        _ => Ok(bus.clone()),
    }
}

/// Inputs as a chip names them, with the ports of a chip within it put through.
///
/// # Errors
/// That chip has no such port, or what is written names no inputs of it.
pub fn inner_input(instances: &Instances, inputs: Inputs) -> Result<Inputs, Lost> {
    let name = &inputs.device.text;
    let chip = match instances.get(name) {
        Some(Some(chip)) => chip,
        Some(None) => return Err(None),
        None => return Ok(inputs),
    };
    match &inputs.pins {
        Pins::Some(items, at) => {
            let (device, items) = input_port(chip, name, items)?;
            let device = Word {
                text: format!("{name}.{device}"),
                at: inputs.device.at,
            };
            let pins = Pins::Some(items, *at);
            Ok(Inputs { device, pins })
        }
        Pins::Malformed(_) => Err(Some(
            Problem::error(
                "bad-pin",
                format!("this names no input of the chip `{name}`"),
            )
            .help(PINS),
        )),
        Pins::None | Pins::Open(_) => Err(Some(
            Problem::error("bad-pin", "a line ends at an input")
                .help(format!("`{name}` is a chip: write \"{name}[PORT]\"")),
        )),
    }
}

/// Makes sure that an output that a chip names is one of a chip within it, if it is of a chip.
///
/// # Errors
/// That chip has no such port.
pub fn inner_output(instances: &Instances, output: &Output) -> Result<(), Lost> {
    let port = &output.outputs.group;
    match chip_of(instances, &output.device) {
        Some((None, ..)) => Err(None),
        Some((Some(chip), path, "")) => match chip.ports.get(port) {
            Some((Some(Port::Output(_)), _)) => Ok(()),
            Some((None, _)) => Err(None),
            _ => Err(unknown(chip, path, port, "output", |port| {
                matches!(port, Port::Output(_))
            })),
        },
        _ => Ok(()),
    }
}

/// The bus behind a chip's port, named within the chip.
fn bus_port<'c>(chip: &'c Chip, path: &str, port: &str) -> Result<&'c Bus, Lost> {
    match chip.ports.get(port) {
        Some((Some(Port::Bus(bus)), _)) => Ok(bus),
        Some((None, _)) => Err(None),
        _ => Err(unknown(chip, path, port, "bus", |port| {
            matches!(port, Port::Bus(_))
        })),
    }
}

fn unknown(chip: &Chip, path: &str, name: &str, what: &str, is: fn(&Port) -> bool) -> Lost {
    let names = chip.ports.iter();
    let names = names.filter(|(_, (port, _))| port.as_ref().is_some_and(is));
    let names = names.map(|(name, _)| name.as_str());
    let message = format!("the chip `{path}` has no {what} `{name}`");
    let help = suggest(name, &format!("ports of this kind ({what})"), names);
    Some(Problem::error("unknown-port", message).help(help))
}

/// The inputs behind a chip's ports, and their device as the chip names it.
fn input_port<'c>(
    chip: &'c Chip,
    path: &str,
    items: &[Item],
) -> Result<(&'c str, Vec<Item>), Lost> {
    let mut device: Option<&str> = None;
    let mut pins = Vec::new();
    for item in items {
        let (port, index) = match item {
            Item::Numbers(numbers) => (numbers.to_string(), None),
            Item::Group(port, index) => (port.clone(), *index),
        };
        let inputs = match chip.ports.get(&port) {
            Some((Some(Port::Inputs(inputs)), _)) => inputs,
            Some((None, _)) => return Err(None),
            _ => {
                return Err(unknown(chip, path, &port, "input", |port| {
                    matches!(port, Port::Inputs(_))
                }));
            }
        };
        let picked = match &inputs.pins {
            Pins::Some(all, _) => pick(all, index),
            _ => None,
        };
        let Some(picked) = picked else {
            let message = format!("the port `{port}` of the chip `{path}` has no such input");
            let help = format!("it is \"{inputs}\" in the chip");
            return Err(Some(Problem::error("unknown-pin", message).help(help)));
        };
        let to = inputs.device.text.as_str();
        if *device.get_or_insert(to) != to {
            let problem = Problem::error("bad-pin", "these ports lead to several devices");
            return Err(Some(problem.help("wire each on its own")));
        }
        pins.extend(picked);
    }
    Ok((device.unwrap_or_default(), pins))
}

/// Some of the pins that items name, by their place among them: `0-1` of `3-7` is `3-4`. A group alone is as many pins as the
/// device has, which is not known here.
fn pick(all: &[Item], index: Option<Numbers>) -> Option<Vec<Item>> {
    let Some(index) = index else {
        return Some(all.to_vec());
    };
    if let [Item::Group(group, None)] = all {
        return Some(vec![Item::Group(group.clone(), Some(index))]);
    }
    let parts = all.iter().map(|item| match item {
        Item::Numbers(numbers) => Some((None, *numbers)),
        Item::Group(group, numbers) => Some((Some(group), (*numbers)?)),
    });
    let picked = index.of(&parts.collect::<Option<Vec<_>>>()?)?;
    let items = picked.into_iter().map(|(group, numbers)| match group {
        None => Item::Numbers(numbers),
        Some(group) => Item::Group(group.clone(), Some(numbers)),
    });
    Some(items.collect())
}

/// The output behind a chip's port, or some of it; `None` if it has not as many.
pub fn pick_output(port: &Output, selection: Option<&[Numbers]>) -> Option<Output> {
    let numbers = match (&port.outputs.numbers, selection) {
        (all, None) => all.clone(),
        (None, Some(selection)) => Some(selection.to_vec()),
        (Some(all), Some(selection)) => {
            let all: Vec<_> = all.iter().map(|numbers| ((), *numbers)).collect();
            let picked = selection.iter().map(|numbers| numbers.of(&all));
            let picked = picked.collect::<Option<Vec<_>>>()?.into_iter().flatten();
            Some(picked.map(|((), numbers)| numbers).collect())
        }
    };
    Some(Output {
        device: port.device.clone(),
        outputs: Outputs {
            group: port.outputs.group.clone(),
            numbers,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostics::Sources;

    fn inputs(text: &str) -> Inputs {
        let file = Sources::default().add("", "");
        let (start, end) = (0, 0);
        Inputs::parse(text, &|_| Span { file, start, end })
    }

    #[test]
    fn pins_behind_a_port() {
        for (all, index, expected) in [
            ("pirq", "x", Some("pirq")),
            ("pirq", "x.2", Some("pirq.2")),
            ("pirq", "x.1-3", Some("pirq.1-3")),
            ("3-7,9", "x.5", Some("9")),
            ("3-7", "x.0-1", Some("3-4")),
            ("3-7,9,g.1-2", "x.4-6", Some("7,9,g.1")),
            ("3-7", "x.5", None),
            ("3-7,a", "x.0", None),
            ("in.2-3", "x.1", Some("in.3")),
        ] {
            let (of, index) = (inputs(&format!("d[{all}]")), inputs(&format!("c[{index}]")));
            let (Pins::Some(of, at), Pins::Some(index, _)) = (of.pins, index.pins) else {
                panic!("{all}");
            };
            let [Item::Group(_, index)] = index[..] else {
                panic!("{index:?}");
            };
            let picked = pick(&of, index).map(|items| Inputs {
                pins: Pins::Some(items, at),
                ..inputs("d")
            });
            let expected = expected.map(|text| format!("d[{text}]"));
            assert_eq!(picked.map(|i| i.to_string()), expected, "{all} {index:?}");
        }
    }

    #[test]
    fn outputs_behind_a_port() {
        for (port, key, expected) in [
            ("pic.int", "x", Some("pic.int")),
            ("pit.out", "x[1]", Some("pit.out[1]")),
            ("pit.out[1-2]", "x[0]", Some("pit.out[1]")),
            ("pit.out[1-2]", "x[0,1]", Some("pit.out[1,2]")),
            ("pit.out[1-2]", "x[2]", None),
            ("a.b.out", "x", Some("a.b.out")),
        ] {
            let key = Outputs::parse(key).unwrap();
            let got = pick_output(&Output::parse(port).unwrap(), key.numbers.as_deref());
            assert_eq!(got.map(|o| o.to_string()).as_deref(), expected, "{port}");
        }
    }
}

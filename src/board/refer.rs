//! The names in references: what they mean in a chip, and what that is on the whole board.

use serde_json::Value as Json;

use super::chips::{Chip, Instances, absolute};
use super::format::PortSection;
use super::tree::{Head, Node, Table, Value};
use crate::diagnostics::{Problem, Span, suggest};

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
        if node.head.is_some() {
            return true;
        }
        let Some(backends) = self.backends else {
            absolute(node);
            return true;
        };
        let Some(name) = node.as_str() else {
            return true;
        };
        match backends.get(name) {
            Some(outer) => {
                *node = outer.node.clone();
                absolute(node);
                true
            }
            // A slot that the chip does not have is an error of its own; one that nobody fills stays empty.
            None => false,
        }
    }

    /// `bus:address`.
    fn place(&mut self, node: &mut Node) {
        let Some(text) = reference(node) else { return };
        let (bus, address) = match text.split_once(':') {
            Some((bus, address)) => (bus, Some(address)),
            None => (text.as_str(), None),
        };
        if bus == "sys" {
            return absolute(node);
        }
        if bus == "chip" && self.inner {
            return self.at_chip(node, address);
        }
        let at = node.part(0, bus.len());
        let bare = bare_address("chip", node).filter(|_| self.inner);
        let now = match bare {
            Some(help) => Err(Some(
                Problem::error("unknown-bus", format!("there is no bus `{bus}`")).help(help),
            )),
            None => inner_bus(self.instances, bus),
        };
        self.put(node, bus.len(), now, at);
    }

    /// Puts the whole board's name for something into a reference, or reports what is wrong with it.
    fn put(&mut self, node: &mut Node, written: usize, now: Result<String, Lost>, at: Span) {
        match now {
            Ok(now)
                if self.prefix.is_empty() && node.as_str().is_some_and(|t| t[..written] == now) =>
            {
                absolute(node);
            }
            Ok(now) => replace(node, written, &format!("{}{now}", self.prefix)),
            Err(problem) => {
                self.problems
                    .extend(problem.map(|problem| problem.at(at, "")));
                node.value = Value::Scalar(Json::Null);
            }
        }
    }

    /// A place relative to the chip's own.
    fn at_chip(&mut self, node: &mut Node, distance: Option<&str>) {
        if self.place.is_some_and(|place| place.any(Json::is_null)) {
            node.value = Value::Scalar(Json::Null);
            return;
        }
        let Some(place) = self.place.and_then(Node::as_str) else {
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
        let (bus, base) = match place.split_once(':') {
            Some((bus, base)) => (bus, Some(base)),
            None => (place, None),
        };
        let now = match (base, distance) {
            (_, None) => Some(place.to_owned()),
            (Some(slot), Some(function)) if function.starts_with('.') => {
                let slot = slot.strip_suffix(".0").unwrap_or(slot);
                Some(format!("{bus}:{slot}{function}"))
            }
            (Some(base), Some(distance)) => number(base)
                .zip(number(distance))
                .and_then(|(base, distance)| base.checked_add(distance))
                .map(|at| format!("{bus}:{at:#x}")),
            (None, Some(_)) => None,
        };
        let written = node.as_str().map_or(0, str::len);
        match now {
            Some(now) => replace(node, written, &now),
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
        let Some(text) = reference(node) else { return };
        let lost = chip_of(self.instances, &text).is_some_and(|(chip, ..)| chip.is_none());
        let now = if lost { Err(None) } else { Ok(text.clone()) };
        self.put(node, text.len(), now, node.span);
    }

    /// `device[inputs]`.
    fn line(&mut self, node: &mut Node) {
        let Some(text) = reference(node) else { return };
        let head = text.split('[').next().unwrap_or_default();
        let (written, now) = match chip_of(self.instances, head) {
            Some((None, ..)) => (head.len(), Err(None)),
            Some((Some(_), _, "")) => (text.len(), inner_input(self.instances, &text)),
            _ => (head.len(), Ok(head.to_owned())),
        };
        self.put(node, written, now, node.span);
    }
}

/// Help for a place that is an address alone, or has a dot for the colon: what it is on the bus that is meant.
pub fn bare_address(bus: &str, node: &Node) -> Option<String> {
    let text = node.as_str()?;
    let address = text.strip_prefix(bus).map_or(text, |rest| {
        rest.trim_start_matches(|c: char| c.is_ascii_punctuation() || c == ' ')
    });
    number(address).map(|_| format!("did you mean \"{bus}:{address}\"?"))
}

/// A number as an address has it.
pub fn number(text: &str) -> Option<u64> {
    let digits = |t: &str, radix: u32| {
        let plain = t.chars().all(|c| c.is_digit(radix) || c == '_');
        u64::from_str_radix(&t.replace('_', ""), radix)
            .ok()
            .filter(|_| plain)
    };
    match text.strip_prefix("0x") {
        Some(hex) => digits(hex, 16),
        None => digits(text, 10),
    }
}

/// The text of a reference that is not yet one of the whole board.
fn reference(node: &Node) -> Option<String> {
    if node.head.is_some() {
        return None;
    }
    node.as_str().map(str::to_owned)
}

/// Puts another name for the first bytes of a reference.
fn replace(node: &mut Node, written: usize, now: &str) {
    let Some(text) = node.as_str() else { return };
    let rest = text.get(written..).unwrap_or_default();
    node.value = Value::Scalar(format!("{now}{rest}").into());
    // No text of a board is so long that these do not fit.
    node.head = Some(Head {
        now: now.len() as u32,
        written: written as u32,
    });
    // What the parameter was called says nothing outside of the chip.
    node.below = None;
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
pub fn inner_bus(instances: &Instances, bus: &str) -> Result<String, Lost> {
    match chip_of(instances, bus) {
        None => Ok(bus.to_owned()),
        Some((None, ..)) => Err(None),
        Some((Some(chip), path, "")) => {
            let buses = chip.ports.iter();
            let buses = buses.filter(|(_, (port, _))| matches!(port, Some(PortSection::Bus(_))));
            let buses: Vec<_> = buses.map(|(name, _)| format!("{path}.{name}")).collect();
            let problem = Problem::error("unknown-bus", format!("there is no bus `{bus}`"));
            Err(Some(problem.help(match &buses[..] {
                [] => format!("the chip `{path}` offers no bus"),
                [only] => format!("did you mean `{only}`?"),
                several => format!("the chip's buses are {}", several.join(", ")),
            })))
        }
        // What has more dots than one is a device's within it.
        Some((Some(_), _, port)) if port.contains('.') => Ok(bus.to_owned()),
        Some((Some(chip), path, port)) => Ok(format!("{path}.{}", bus_port(chip, path, port)?)),
    }
}

/// Inputs as a chip names them, with the ports of a chip within it put through.
///
/// # Errors
/// That chip has no such port, or what is written names no inputs of it.
pub fn inner_input(instances: &Instances, text: &str) -> Result<String, Lost> {
    let head = text.split('[').next().unwrap_or_default();
    let chip = match instances.get(head) {
        Some(Some(chip)) => chip,
        Some(None) => return Err(None),
        None => return Ok(text.to_owned()),
    };
    let selection = text[head.len()..].strip_prefix('[');
    match selection.and_then(|text| text.strip_suffix(']')) {
        Some(selection) => input_port(chip, head, selection),
        None => Err(Some(
            Problem::error("bad-pin", "a line ends at an input")
                .help(format!("`{head}` is a chip: write \"{head}[PORT]\"")),
        )),
    }
}

/// Makes sure that an output that a chip names is one of a chip within it, if it is of a chip.
///
/// # Errors
/// That chip has no such port.
pub fn inner_output(instances: &Instances, text: &str) -> Result<(), Lost> {
    match chip_of(instances, text) {
        Some((None, ..)) => Err(None),
        Some((Some(chip), path, port)) if !port.contains('.') => {
            let port = port.split('[').next().unwrap_or_default();
            match chip.ports.get(port) {
                Some((Some(PortSection::Output(_)), _)) => Ok(()),
                Some((None, _)) => Err(None),
                _ => Err(unknown(chip, path, port, "output", |port| {
                    matches!(port, PortSection::Output(_))
                })),
            }
        }
        _ => Ok(()),
    }
}

/// The bus behind a chip's port, named within the chip.
fn bus_port(chip: &Chip, path: &str, port: &str) -> Result<String, Lost> {
    match chip.ports.get(port) {
        Some((Some(PortSection::Bus(bus)), _)) => Ok(bus.clone()),
        Some((None, _)) => Err(None),
        _ => Err(unknown(chip, path, port, "bus", |port| {
            matches!(port, PortSection::Bus(_))
        })),
    }
}

fn unknown(chip: &Chip, path: &str, name: &str, what: &str, is: fn(&PortSection) -> bool) -> Lost {
    let names = chip.ports.iter();
    let names = names.filter(|(_, (port, _))| port.as_ref().is_some_and(is));
    let names = names.map(|(name, _)| name.as_str());
    let message = format!("the chip `{path}` has no {what} `{name}`");
    let help = suggest(name, &format!("ports of this kind ({what})"), names);
    Some(Problem::error("unknown-port", message).help(help))
}

/// The inputs behind a chip's ports, named within the chip.
fn input_port(chip: &Chip, path: &str, selection: &str) -> Result<String, Lost> {
    let mut device: Option<String> = None;
    let mut pins = Vec::new();
    for item in selection.split(',').map(str::trim) {
        let (port, index) = match item.split_once('.') {
            Some((port, index)) => (port, Some(index)),
            None => (item, None),
        };
        let inputs = match chip.ports.get(port) {
            Some((Some(PortSection::Input(inputs)), _)) => inputs,
            Some((None, _)) => return Err(None),
            _ => {
                return Err(unknown(chip, path, port, "input", |port| {
                    matches!(port, PortSection::Input(_))
                }));
            }
        };
        let parts = inputs
            .strip_suffix(']')
            .and_then(|text| text.split_once('['));
        let picked = parts.and_then(|(to, all)| Some((to, pick(all, index)?)));
        let Some((to, picked)) = picked else {
            let message = format!("the port `{port}` of the chip `{path}` has no such input");
            let help = format!("it is \"{inputs}\" in the chip");
            return Err(Some(Problem::error("unknown-pin", message).help(help)));
        };
        if *device.get_or_insert_with(|| to.to_owned()) != to {
            let problem = Problem::error("bad-pin", "these ports lead to several devices");
            return Err(Some(problem.help("wire each on its own")));
        }
        pins.push(picked);
    }
    Ok(format!(
        "{path}.{}[{}]",
        device.unwrap_or_default(),
        pins.join(",")
    ))
}

/// The device and its output behind a chip's port, both as within the chip.
pub fn output(port: &str, selection: Option<&str>) -> Option<(String, String)> {
    let (device, output) = match port.split_once('[') {
        Some((name, pins)) => {
            let (device, name) = name.rsplit_once('.')?;
            let picked = pick(pins.strip_suffix(']')?, selection)?;
            (device, format!("{name}[{picked}]"))
        }
        None => {
            let (device, name) = port.rsplit_once('.')?;
            let pins = selection.map(|selection| format!("[{selection}]"));
            (device, format!("{name}{}", pins.unwrap_or_default()))
        }
    };
    Some((device.to_owned(), output))
}

/// Some of the pins that a selection names, by their place in it: `0-1` of `3-7` is `3,4`. A name alone is as many pins as
/// the device has, which is not known here.
fn pick(all: &str, index: Option<&str>) -> Option<String> {
    let Some(index) = index else {
        return Some(all.to_owned());
    };
    let all = all.trim();
    let is_group = !all.contains(['.', ',']) && !all.starts_with(|c: char| c.is_ascii_digit());
    if is_group {
        return Some(format!("{all}.{index}"));
    }
    let mut pins = Vec::new();
    for item in all.split(',').map(str::trim) {
        let (group, numbers) = match item.split_once('.') {
            Some((group, numbers)) => (format!("{group}."), numbers),
            None => (String::new(), item),
        };
        let (first, last) = range(numbers)?;
        pins.extend((first..=last).map(|n| format!("{group}{n}")));
    }
    let (first, last) = range(index)?;
    let picked = pins.get(usize::from(first)..=usize::from(last))?;
    Some(picked.join(","))
}

fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_behind_a_port() {
        for (all, index, expected) in [
            ("pirq", None, Some("pirq")),
            ("pirq", Some("2"), Some("pirq.2")),
            ("pirq", Some("1-3"), Some("pirq.1-3")),
            ("3-7,9", Some("5"), Some("9")),
            ("3-7", Some("0-1"), Some("3,4")),
            ("3-7", Some("5"), None),
            ("3-7", Some("1-0"), None),
            ("in.2-3", Some("1"), Some("in.3")),
        ] {
            assert_eq!(pick(all, index).as_deref(), expected, "{all} {index:?}");
        }
    }

    #[test]
    fn outputs_behind_a_port() {
        for (port, selection, expected) in [
            ("pic.int", None, Some(("pic", "int"))),
            ("pit.out", Some("1"), Some(("pit", "out[1]"))),
            ("pit.out[1-2]", Some("0"), Some(("pit", "out[1]"))),
            ("a.b.out", None, Some(("a.b", "out"))),
            ("pic", None, None),
        ] {
            let got = output(port, selection);
            let got = got.as_ref().map(|(d, p)| (d.as_str(), p.as_str()));
            assert_eq!(got, expected, "{port} {selection:?}");
        }
    }
}

//! `"bus:address"`: the bus by name, the address by the kind of bus.

use std::collections::HashMap;

use solderless_model::{Addresses, BusKind, PortId};

use super::devices::Draft;
use crate::board::tree::{Node, Table};
use crate::board::{Board, Gone};
use crate::diagnostics::{Problem, Span, nearest, suggest};
use crate::plan::{Address, Bus};
use crate::reference::{self, Word, bare_address};

/// The devices of a board and their names.
pub struct Names<'a, 'b> {
    /// In order of their names.
    pub drafts: &'a [Draft<'b>],
    index: HashMap<&'b str, usize>,
    /// What a `when` keeps away: `dev.usb`.
    absent: &'b [String],
    gone: &'b Gone,
}

impl<'a, 'b> Names<'a, 'b> {
    /// The names of these devices.
    pub fn new(
        drafts: &'a [Draft<'b>],
        aliases: Option<&'b Table>,
        board: &'b Board,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let index = drafts
            .iter()
            .enumerate()
            .map(|(i, draft)| (draft.name, i))
            .collect();
        let mut names = Self {
            drafts,
            index,
            absent: &board.absent,
            gone: &board.gone,
        };
        for (alias, entry) in aliases.into_iter().flatten() {
            match entry
                .node
                .as_str()
                .map(|device| (device, names.get(device)))
            {
                _ if names.index.contains_key(alias.as_str()) => problems.push(
                    Problem::error("two-devices", format!("`{alias}` is a device's own name"))
                        .at(entry.key, "it cannot be another's alias"),
                ),
                Some((_, Some(device))) => {
                    names.index.insert(alias, device);
                }
                Some((device, None)) => problems.push(names.unknown(device, entry.node.span)),
                None if entry.node.any(serde_json::Value::is_null) => {}
                None => problems.push(
                    Problem::error("bad-value", "an alias stands for a device").at(
                        entry.node.span,
                        format!("expected a device's name, found {}", entry.node.kind()),
                    ),
                ),
            }
        }
        names
    }

    /// The place of the device with this name.
    pub fn get(&self, name: &str) -> Option<usize> {
        self.index.get(name).copied()
    }

    /// Every bus by name.
    fn buses(&self) -> Vec<String> {
        let mut buses = vec!["sys".to_owned()];
        for draft in self.drafts {
            let ports = draft.interface().into_iter().flat_map(|i| &i.ports);
            buses.extend(ports.map(|port| format!("{}.{}", draft.name, port.name)));
        }
        buses
    }

    /// The problem of a name that no device has.
    pub fn unknown(&self, wrong: &str, at: Span) -> Problem {
        if let Some(problem) = self.gone.device(wrong, at) {
            return problem;
        }
        let problem =
            Problem::error("unknown-device", format!("there is no device `{wrong}`")).at(at, "");
        let absent = self
            .absent
            .iter()
            .any(|path| path.strip_prefix("dev.") == Some(wrong));
        if absent {
            return problem.help(format!(
                "the `when` of `{wrong}` keeps it away; give what needs it the same `when`"
            ));
        }
        let mut names: Vec<_> = self.index.keys().copied().collect();
        names.sort_unstable();
        problem.help(suggest(wrong, "devices", names))
    }
}

/// A place that was read.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// The bus.
    pub bus: Bus,
    /// Its kind.
    pub kind: BusKind,
    /// The address on it; [`Address::None`] if none was written.
    pub address: Address,
}

/// Reads a place. `None` if it is none, which has then been reported unless another report explains it.
pub fn place(node: &Node, names: &Names<'_, '_>, problems: &mut Vec<Problem>) -> Option<Place> {
    let Some(place) = node.as_place() else {
        if !node.any(serde_json::Value::is_null) {
            let problem = Problem::error("bad-value", "a place on a bus is a string").at(
                node.span,
                format!("expected \"bus:address\", found {}", node.kind()),
            );
            problems.push(match node.to_json().as_u64() {
                Some(address) => problem.help(format!("did you mean \"sys:{address:#x}\"?")),
                None => problem,
            });
        }
        return None;
    };
    let (bus, kind) = bus(&place, names, problems)?;
    let address = match &place.address {
        None => Address::None,
        Some(written) => match address(kind, written) {
            Ok(address) => address,
            Err(expected) => {
                problems.push(
                    Problem::error(
                        "bad-address",
                        format!("`{written}` is no address on `{}`", place.bus),
                    )
                    .at(written.at, expected),
                );
                return None;
            }
        },
    };
    Some(Place { bus, kind, address })
}

/// The bus of a place, and its kind.
pub fn bus(
    place: &reference::Place,
    names: &Names<'_, '_>,
    problems: &mut Vec<Problem>,
) -> Option<(Bus, BusKind)> {
    let (device, port) = match &place.bus {
        reference::Bus::System(_) => return Some((Bus::System, BusKind::System)),
        reference::Bus::Port { device, port } => (device, port),
        reference::Bus::Other(wrong) => {
            problems.push(no_bus(wrong, place, names));
            return None;
        }
    };
    let Some(index) = names.get(&device.text) else {
        problems.push(names.unknown(&device.text, device.at));
        return None;
    };
    let ports = &names.drafts[index].interface()?.ports;
    let Some(number) = ports.iter().position(|p| p.name == port.text) else {
        problems.push(
            Problem::error("unknown-port", format!("`{device}` has no port `{port}`"))
                .at(port.at, "")
                .help(suggest(&port.text, "ports", ports.iter().map(|p| p.name))),
        );
        return None;
    };
    Some((Bus::Port(index, PortId(number as u8)), ports[number].kind))
}

/// The problem of a place on what is no bus.
fn no_bus(wrong: &Word, place: &reference::Place, names: &Names<'_, '_>) -> Problem {
    let problem = Problem::error("unknown-bus", format!("there is no bus `{wrong}`"));
    let problem = problem.at(wrong.at, "");
    let text = wrong.text.as_str();
    let ports = names.get(text).and_then(|i| names.drafts[i].interface());
    let ports = ports.map(|interface| &interface.ports[..]);
    let form = "a bus is `sys`, or a device's port: `device.port`";
    match (ports, bare_address("sys", place)) {
        (_, Some(help)) => problem.help(help),
        (Some([only]), _) => problem.help(format!("did you mean `{text}.{}`?", only.name)),
        (Some([]), _) => problem.help(format!("the device `{text}` offers no bus\n{form}")),
        (Some(ports), _) => {
            let ports: Vec<_> = ports.iter().map(|p| format!("{text}.{}", p.name)).collect();
            problem.help(format!("its buses are {}", ports.join(", ")))
        }
        (None, _) => match nearest(text, names.buses().iter().map(String::as_str)) {
            Some(meant) => problem.help(format!("did you mean `{meant}`?\n{form}")),
            None => problem.help(form),
        },
    }
}

/// An address, or what was expected.
fn address(kind: BusKind, written: &reference::Address) -> Result<Address, String> {
    let rules = kind.rules();
    let number = |last: u64| written.number().filter(|n| *n <= last);
    let (address, what) = match rules.addresses {
        Addresses::Number => {
            let spaces = [rules.memory, rules.io].into_iter().flatten();
            let last = spaces.map(|space| space.last).max();
            (last.and_then(number).map(Address::Number), "an address")
        }
        Addresses::SevenBits => (
            number(0x7f).map(|n| Address::I2c(n as u8)),
            "a 7-bit address",
        ),
        Addresses::OneBit => (number(1).map(|n| Address::Ide(n as u8)), "device"),
        Addresses::SlotAndFunction => (
            written
                .slot()
                .map(|(slot, function)| Address::Pci { slot, function }),
            "a slot (hexadecimal, 00 to 1f) and a function (0 to 7)",
        ),
    };
    address.ok_or_else(|| match rules.addresses {
        Addresses::OneBit => format!("expected {what} {}", rules.example),
        _ => format!("expected {what} such as {}", rules.example),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostics::Sources;

    #[test]
    fn addresses_are_read_by_the_kind_of_bus() {
        for (kind, text, expected) in [
            (BusKind::System, "0x1f00_0000", Some("0x1f000000")),
            (BusKind::System, "4096", Some("0x1000")),
            (BusKind::System, "1f", None),
            (BusKind::System, "-1", None),
            (BusKind::System, "+1", None),
            (BusKind::System, "", None),
            (BusKind::System, "0x", None),
            (BusKind::System, "0x10000000000000000", None),
            (BusKind::Isa, "0x3f8", Some("0x3f8")),
            (BusKind::Isa, "0x1000000", None),
            (BusKind::I2c, "0x50", Some("0x50")),
            (BusKind::I2c, "0x80", None),
            (BusKind::Pci, "0a.3", Some("0a.3")),
            (BusKind::Pci, "1f", Some("1f.0")),
            (BusKind::Pci, "20", None),
            (BusKind::Pci, "0a.8", None),
            (BusKind::Pci, "0x0a", None),
            (BusKind::Pci, "+a", None),
        ] {
            let file = Sources::default().add("", "");
            let (start, end) = (0, 0);
            let place = format!("bus:{text}");
            let place = reference::Place::parse(&place, &|_| Span { file, start, end });
            let got = address(kind, &place.address.unwrap())
                .ok()
                .map(|address| address.to_string());
            assert_eq!(got.as_deref(), expected, "{kind:?} {text}");
        }
    }
}

//! Where devices sit: their bus and address, and the windows through which the bus sees them.

use std::collections::BTreeMap;

use solderless_model::memory::PAGE;
use solderless_model::{Addresses, BusKind, Interface, Placement, Region, RegionKind};

use super::address::{Names, Place, place};
use super::devices::Draft;
use crate::board::decode::section;
use crate::board::format::{Amount, MapEntry};
use crate::board::tree::{Node, Value};
use crate::diagnostics::{Problem, Span, suggest};
use crate::plan::{Address, Bus, Seat, Window};

/// Where a device sits.
#[derive(Debug, Default)]
pub struct Placed {
    /// Its bus and address.
    pub seat: Option<Seat>,
    /// The bus that the board puts it on, even if it does not fit there.
    pub on: Option<Bus>,
    /// Its windows, with the places that asked for them.
    pub windows: Vec<(Window, Span)>,
    /// Where its seat was written.
    at: Option<Span>,
}

/// Places every device, in their order.
pub fn placed(names: &Names<'_, '_>, problems: &mut Vec<Problem>) -> Vec<Placed> {
    let placed: Vec<Placed> = names
        .drafts
        .iter()
        .map(|draft| one(draft, names, problems))
        .collect();
    shared_seats(names.drafts, &placed, problems);
    overlaps(names.drafts, &placed, problems);
    placed
}

fn one(draft: &Draft<'_>, names: &Names<'_, '_>, problems: &mut Vec<Problem>) -> Placed {
    let at = draft.table.get("at").map(|entry| &entry.node);
    let seat = at.and_then(|node| place(node, names, problems));
    let (entries, map_written) = map(draft, names, problems);
    let first = entries.first().map(|(_, _, place, _)| place);
    let on = seat.as_ref().or(first).map(|place| place.bus);
    let misfit = Placed {
        on,
        ..Placed::default()
    };
    let Some(model) = &draft.model else {
        return misfit;
    };
    let interface = &model.known.interface;
    let type_name = model.entry.name;
    let Some(kind) = interface.bus else {
        let written = at
            .map(|node| node.span)
            .or(draft.table.get("map").map(|entry| entry.key));
        if let Some(span) = written {
            problems.push(
                Problem::error("wrong-bus", format!("{type_name} sits on no bus"))
                    .at(span, "take this away"),
            );
        }
        return Placed::default();
    };
    if at.is_none() && !map_written {
        let written = match kind {
            BusKind::System if interface.initiator || !placed_by_board(interface) => {
                "at = \"sys\"".to_owned()
            }
            BusKind::System => "at = \"sys:ADDRESS\"".to_owned(),
            _ => {
                let address = match kind.rules().addresses {
                    Addresses::SlotAndFunction => "SLOT.FUNCTION",
                    Addresses::Number | Addresses::SevenBits | Addresses::OneBit => "ADDRESS",
                };
                format!("at = \"DEVICE.PORT:{address}\"")
            }
        };
        problems.push(
            Problem::error("no-place", format!("device `{}` has no place", draft.name))
                .at(draft.key, "")
                .help(format!(
                    "{type_name} sits on {}: add `{written}`",
                    kind.rules().name
                )),
        );
        return Placed::default();
    }
    let mut placer = Placer {
        interface,
        type_name,
        sure: model.sure,
        kind,
        placed: Placed {
            at: at.map(|node| node.span),
            on,
            ..Placed::default()
        },
        problems,
    };
    let mut bus = None;
    if let (Some(node), Some(seat)) = (at, seat) {
        if !placer.sits_on(&seat, node) {
            return misfit;
        }
        bus = Some(seat.bus);
        placer.by_address(seat.address, node, !entries.is_empty());
        placer.placed.seat = Some(Seat {
            bus: seat.bus,
            address: seat.address,
        });
    }
    for (entry, cpu, place, node) in &entries {
        if !placer.sits_on(place, node) {
            continue;
        }
        if *bus.get_or_insert(place.bus) != place.bus {
            placer.problems.push(
                Problem::error(
                    "two-buses",
                    format!("device `{}` cannot sit on two buses", draft.name),
                )
                .at(node.span, "another bus than its first"),
            );
            continue;
        }
        placer.by_map(entry, *cpu, place.address, node);
    }
    if let (None, Some(bus)) = (placer.placed.seat, bus) {
        placer.placed.seat = Some(Seat {
            bus,
            address: Address::None,
        });
        placer.placed.at = entries.first().map(|(.., node)| node.span);
    }
    if let Some(span) = placer.placed.at {
        placer.fixed(span);
    }
    placer.placed
}

/// Whether some region lies relative to the device's address.
fn placed_by_board(interface: &Interface) -> bool {
    interface
        .regions
        .iter()
        .any(|r| matches!(r.place, Placement::Board(_)))
}

/// An entry of `map`, its CPU, and its place.
type MapWindow<'b> = (MapEntry, Option<usize>, Place, &'b Node);

/// The entries of `map` with their places, and whether there is a `map` at all.
fn map<'b>(
    draft: &Draft<'b>,
    names: &Names<'_, '_>,
    problems: &mut Vec<Problem>,
) -> (Vec<MapWindow<'b>>, bool) {
    let Some(entry) = draft.table.get("map") else {
        return (Vec::new(), false);
    };
    let Value::Array(items) = &entry.node.value else {
        problems.push(
            Problem::error(
                "bad-value",
                format!("`map` of `{}` is not a list", draft.name),
            )
            .at(
                entry.node.span,
                "expected a list such as [{ at = \"sys:0x1f000000\" }]",
            ),
        );
        return (Vec::new(), true);
    };
    let mut windows = Vec::new();
    for item in items {
        let Some(table) = item.as_table() else {
            problems.push(Problem::error("bad-value", "a window is a table").at(
                item.span,
                format!("expected {{ at = \"bus:address\" }}, found {}", item.kind()),
            ));
            continue;
        };
        if let Some(entry) = section::<MapEntry>("a window", table, item.span, problems)
            && let Some(at) = table.get("at")
            && let Some(place) = place(&at.node, names, problems)
        {
            let cpu = table.get("cpu").zip(entry.cpu.as_ref());
            let cpu = match cpu.map(|(at, name)| view_of(name, at.node.span, &place, names)) {
                None => None,
                Some(Ok(cpu)) => cpu,
                Some(Err(problem)) => {
                    problems.push(problem);
                    continue;
                }
            };
            windows.push((entry, cpu, place, &at.node));
        }
    }
    (windows, true)
}

/// The CPU that alone sees a window; `None` if its type is not known, which has been reported.
fn view_of(
    name: &str,
    span: Span,
    place: &Place,
    names: &Names<'_, '_>,
) -> Result<Option<usize>, Problem> {
    let Some(cpu) = names.get(name) else {
        return Err(names.unknown(name, span));
    };
    match names.drafts[cpu].interface() {
        Some(interface) if !interface.initiator => Err(Problem::error(
            "wrong-device",
            format!("`{name}` is no CPU"),
        )
        .at(span, "it starts no accesses that could see a window")),
        Some(_) if place.bus != Bus::System => Err(Problem::error(
            "wrong-bus",
            "a CPU has windows of its own on the system bus alone",
        )
        .at(span, "this window is on another bus")),
        Some(_) => Ok(Some(cpu)),
        None => Ok(None),
    }
}

/// What a window shows of its region, and to whom.
struct Extent {
    offset: u64,
    limit: u64,
    over: bool,
    cpu: Option<usize>,
}

impl Default for Extent {
    fn default() -> Self {
        Self {
            offset: 0,
            limit: u64::MAX,
            over: false,
            cpu: None,
        }
    }
}

struct Placer<'a> {
    interface: &'a Interface,
    type_name: &'static str,
    sure: bool,
    kind: BusKind,
    placed: Placed,
    problems: &'a mut Vec<Problem>,
}

impl Placer<'_> {
    fn error(&mut self, code: &'static str, message: String, at: Span, text: impl Into<String>) {
        self.problems
            .push(Problem::error(code, message).at(at, text));
    }

    fn sits_on(&mut self, place: &Place, node: &Node) -> bool {
        if place.kind != self.kind {
            let message = format!("{} sits on {}", self.type_name, self.kind.rules().name);
            self.error(
                "wrong-bus",
                message,
                node.span,
                format!("this is {}", place.kind.rules().name),
            );
        }
        place.kind == self.kind
    }

    /// The regions that lie relative to the address in `at`.
    fn by_address(&mut self, address: Address, node: &Node, mapped: bool) {
        let name = self.type_name;
        let Address::Number(base) = address else {
            let needed = match self.kind.rules().addresses.select() {
                true => address == Address::None,
                false => !mapped && !self.interface.initiator && placed_by_board(self.interface),
            };
            if needed {
                self.error(
                    "no-address",
                    format!("{name} needs an address"),
                    node.span,
                    "expected \"bus:address\"",
                );
            }
            return;
        };
        if self.interface.initiator || !placed_by_board(self.interface) {
            let why = if self.interface.initiator {
                "has no address"
            } else {
                "places itself"
            };
            self.error(
                "bad-address",
                format!("{name} {why}"),
                node.span,
                "name the bus alone",
            );
            return;
        }
        let interface = self.interface;
        for region in &interface.regions {
            if let Placement::Board(distance) = region.place {
                match base.checked_add_signed(distance) {
                    Some(at) => self.window(region, at, Extent::default(), node.span),
                    None => self.outside(region, node.span),
                }
            }
        }
    }

    fn by_map(&mut self, entry: &MapEntry, cpu: Option<usize>, address: Address, node: &Node) {
        let interface = self.interface;
        let name = self.type_name;
        let Address::Number(at) = address else {
            return self.error(
                "no-address",
                format!("a window of {name} needs an address"),
                node.span,
                "expected \"bus:address\"",
            );
        };
        let region = match &entry.view {
            None => interface.regions.first(),
            Some(view) => match interface.regions.iter().find(|r| r.name == view) {
                Some(region) => Some(region),
                None => {
                    let names = interface.regions.iter().map(|r| r.name);
                    self.problems.push(
                        Problem::error("unknown-region", format!("{name} has no region `{view}`"))
                            .at(node.span, "")
                            .help(suggest(view, "regions", names)),
                    );
                    return;
                }
            },
        };
        let Some(region) = region else {
            return self.error(
                "unknown-region",
                format!("{name} has no region to map"),
                node.span,
                "",
            );
        };
        if !matches!(region.place, Placement::Board(_) | Placement::View) {
            let message = format!("`{}` of {name} is not the board's to place", region.name);
            return self.error("unknown-region", message, node.span, "");
        }
        let limit = entry.limit.map_or(u64::MAX, |Amount(bytes)| bytes);
        self.window(
            region,
            at,
            Extent {
                offset: entry.offset.0,
                limit,
                over: entry.over,
                cpu,
            },
            node.span,
        );
    }

    /// The regions that lie at the same address whatever the board says.
    fn fixed(&mut self, span: Span) {
        let interface = self.interface;
        for region in &interface.regions {
            if let Placement::Fixed(at) = region.place {
                self.window(region, at, Extent::default(), span);
            }
        }
    }

    fn window(&mut self, region: &Region, at: u64, extent: Extent, span: Span) {
        let Extent {
            offset,
            limit,
            over,
            cpu,
        } = extent;
        let size = region.size.saturating_sub(offset).min(limit);
        if size == 0 {
            return;
        }
        // Where its size is a guess it has one page for certain.
        let size = match region.kind {
            RegionKind::Memory if !self.sure => size.min(PAGE),
            _ => size,
        };
        // Where its bus has no such space, a region fits nowhere.
        let space = self.kind.space(region.space);
        let end = at.checked_add(size - 1);
        if end.zip(space).is_none_or(|(end, space)| end > space.last) {
            return self.outside(region, span);
        }
        let unit = match region.kind {
            RegionKind::Memory | RegionKind::Bridge { .. } => PAGE,
            RegionKind::Registers { max_width } => max_width.into(),
        };
        let movable = !matches!(region.place, Placement::Fixed(_));
        if movable && [at, offset].iter().any(|n| !n.is_multiple_of(unit)) {
            let message = format!("`{}` of {} is misaligned", region.name, self.type_name);
            return self.error(
                "misaligned",
                message,
                span,
                format!("address and offset must be multiples of {unit:#x}"),
            );
        }
        self.placed.windows.push((
            Window {
                region: region.id,
                at,
                size,
                offset,
                over,
                cpu,
            },
            span,
        ));
    }

    fn outside(&mut self, region: &Region, span: Span) {
        let message = format!(
            "`{}` of {} does not fit on its bus",
            region.name, self.type_name
        );
        let size = region.size;
        self.error(
            "outside-bus",
            message,
            span,
            format!(
                "{size:#x} bytes from here end beyond {}",
                self.kind.rules().name
            ),
        );
    }
}

/// Reports devices at one address of a bus where the address selects one, and PCI slots without a function 0.
fn shared_seats(drafts: &[Draft<'_>], placed: &[Placed], problems: &mut Vec<Problem>) {
    let mut taken = BTreeMap::new();
    for (i, place) in placed.iter().enumerate() {
        let Some(seat) = place.seat else { continue };
        let number = match seat.address {
            Address::Pci { slot, function } => (slot << 3) | function,
            Address::I2c(address) | Address::Ide(address) => address,
            Address::Number(_) | Address::None => continue,
        };
        let first = *taken.entry((seat.bus, number)).or_insert(i);
        if let (true, Some(at), Some(other)) = (first != i, place.at, placed[first].at) {
            let message = format!(
                "`{}` and `{}` are both at {}",
                drafts[first].name, drafts[i].name, seat.address
            );
            problems.push(
                Problem::error("address-taken", message)
                    .at(at, format!("`{}`", drafts[i].name))
                    .at(other, format!("`{}`", drafts[first].name)),
            );
        }
    }
    for (i, place) in placed.iter().enumerate() {
        if let (
            Some(Seat {
                bus,
                address:
                    Address::Pci {
                        slot,
                        function: 1..,
                    },
            }),
            Some(at),
        ) = (place.seat, place.at)
            && !taken.contains_key(&(bus, slot << 3))
        {
            problems.push(
                Problem::warning(
                    "no-function-0",
                    format!("PCI slot {slot:02x} has no function 0"),
                )
                .at(at, format!("no guest will find `{}`", drafts[i].name))
                .place(drafts[i].name),
            );
        }
    }
}

/// Reports windows that overlap on one bus, other than those meant to lie over another.
fn overlaps(drafts: &[Draft<'_>], placed: &[Placed], problems: &mut Vec<Problem>) {
    let mut windows = Vec::new();
    for (i, place) in placed.iter().enumerate() {
        let (Some(seat), Some(interface)) = (place.seat, drafts[i].interface()) else {
            continue;
        };
        for (window, span) in &place.windows {
            let Some(region) = interface.region(window.region) else {
                continue;
            };
            if !region.background {
                windows.push((
                    (seat.bus, region.space, window.cpu, window.over),
                    *window,
                    *span,
                    i,
                    region.name,
                ));
            }
        }
    }
    windows.sort_by_key(|(group, window, span, ..)| (*group, window.at, window.size, *span));
    let mut reach: Option<usize> = None;
    for (n, (group, window, span, device, region)) in windows.iter().enumerate() {
        let last = |w: &Window| w.at + (w.size - 1);
        let before = reach.map(|r| &windows[r]).filter(|w| w.0 == *group);
        if let Some((_, other, there, owner, other_region)) = before
            && last(other) >= window.at
        {
            let range = |w: &Window| format!("{:#x} to {:#x}", w.at, last(w));
            let label = |device: usize, region: &str, w: &Window| {
                format!("`{region}` of `{}`: {}", drafts[device].name, range(w))
            };
            let bus = bus_name(group.0, drafts);
            let message = format!(
                "`{}` and `{}` overlap on {bus}",
                drafts[*owner].name, drafts[*device].name
            );
            let problem = Problem::error("overlap", message)
                .at(*span, label(*device, region, window))
                .at(*there, label(*owner, other_region, other));
            problems
                .push(problem.help(
                    "a window that is meant to lie over another says `over = true` in `map`",
                ));
        }
        if before.is_none_or(|w| last(&w.1) < last(window)) {
            reach = Some(n);
        }
    }
}

/// A bus as a board names it.
fn bus_name(bus: Bus, drafts: &[Draft<'_>]) -> String {
    match bus {
        Bus::System => "`sys`".to_owned(),
        Bus::Port(device, port) => {
            let draft = &drafts[device];
            let port = draft
                .interface()
                .and_then(|i| i.ports.get(usize::from(port.0)));
            format!("`{}.{}`", draft.name, port.map_or("", |p| p.name))
        }
    }
}

//! A board's tree to its plan: every name looked up, every rule checked.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use petgraph::Direction;
use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use serde_json::Value as Json;
use solderless_model::boot::Protocol;
use solderless_model::{RegionKind, Size, SlotKind};

use super::address::{self, Names};
use super::devices::{Draft, devices};
use super::lines::{self, inputs, nets};
use super::lints;
use super::windows::{Placed, placed};
use crate::board::chips::{Port, Ports};
use crate::board::decode::section;
use crate::board::format::{BoardSection, BootSection, SlotSection};
use crate::board::tree::{Entry, Table};
use crate::board::{Board, Gone};
use crate::diagnostics::{Problem, Severity, Span, suggest};
use crate::plan::{
    BoardSlot, Boot, Bus, MOST_MEMORY, Net, Plan, PlannedDevice, Seat, Window, slot_kind,
};
use crate::reference;
use crate::registry;

/// Resolves a board. `None` if something is missing without which there is no plan; a plan that comes with errors must
/// not be built.
pub fn resolve(board: &Board, problems: &mut Vec<Problem>) -> Option<Plan> {
    let root = &board.root;
    let header = root
        .get("board")
        .and_then(|entry| Some((entry.key, entry.node.as_table()?)));
    let header: Option<BoardSection> = match header {
        Some((key, table)) => section("[board]", table, key, problems),
        None => {
            let problem = Problem::error("missing-key", "the board has no name");
            problems.push(
                problem
                    .at(board.whole, "")
                    .help("start with [board] and `name = \"…\"`"),
            );
            None
        }
    };
    let said = root.get("board").and_then(|board| board.node.as_table());
    for key in ["name", "version"] {
        if let Some(entry) = said.and_then(|board| board.get(key))
            && let Some(text) = entry.node.as_str()
            && text.contains(char::is_control)
        {
            let what = format!("the board's {key} has characters that cannot be seen");
            problems.push(Problem::error("bad-name", what).at(entry.node.span, ""));
        }
    }
    let drafts = devices(board, problems);
    memory(&drafts, problems);
    let aliases = table(root, "alias", problems);
    let names = Names::new(&drafts, aliases, board, problems);
    let placed = placed(&names, problems);
    let order = order(&drafts, &placed, problems);
    let nets = nets(table(root, "join", problems), &names, problems);
    let slots = slots(root, problems);
    let backends = backends(&drafts, &slots, &board.gone, problems);
    let boot = boot(root, &names, &slots, &board.gone, problems);
    // What is odd about a board that is wrong comes mostly from what is wrong.
    if let Some(all) = &board.ports {
        ports(all, board, &names, problems);
    }
    let wrong = problems.iter().any(|p| p.severity == Severity::Error);
    if wrong || board.ports.is_some() {
        problems.retain(|p| p.place.is_none());
    }
    if !wrong {
        lints::unused_slots(board, &drafts, problems);
        match board.ports {
            Some(_) => lints::unused_params(board, problems),
            None => {
                lints::check(board, &names, &placed, &nets, problems);
                lints::empty_slots(&drafts, &backends, problems);
            }
        }
        lints::silence(board, problems);
    }

    let header = header?;
    // Where each draft is in the plan.
    let mut rank = vec![0; drafts.len()];
    for (place, draft) in order.iter().enumerate() {
        rank[*draft] = place;
    }
    let mut devices: Vec<Option<PlannedDevice>> = drafts
        .into_iter()
        .zip(placed)
        .zip(backends)
        .map(|((draft, placed), backends)| {
            let model = draft.model?;
            Some(PlannedDevice {
                path: draft.name.to_owned(),
                entry: model.entry,
                props: model.known.props,
                interface: model.known.interface,
                parts: model.known.parts,
                seat: placed.seat.map(|seat| Seat {
                    bus: ranked(seat.bus, &rank),
                    ..seat
                }),
                windows: placed
                    .windows
                    .into_iter()
                    .map(|(window, _)| Window {
                        cpu: window.cpu.map(|cpu| rank[cpu]),
                        ..window
                    })
                    .collect(),
                backends,
            })
        })
        .collect();
    Some(Plan {
        name: header.name,
        version: header.version,
        summary: header.summary,
        params: board
            .params
            .iter()
            .filter_map(|(name, p)| Some((name.clone(), p.as_ref()?.value.clone())))
            .collect(),
        devices: order
            .iter()
            .map(|draft| devices[*draft].take())
            .collect::<Option<_>>()?,
        nets: renumber(nets, &rank),
        slots: slots
            .into_values()
            .filter_map(|slot| Some(slot?.0))
            .collect(),
        boot: boot.map(|boot| Boot {
            memory: rank[boot.memory],
            cpu: rank[boot.cpu],
            ..boot
        }),
        state: header.state.map(std::num::NonZeroU32::get),
    })
}

/// Refuses a board with more memory than any machine has.
fn memory(drafts: &[Draft<'_>], problems: &mut Vec<Problem>) {
    let sizes = drafts.iter().map(|draft| {
        let regions = draft.interface().into_iter().flat_map(|i| &i.regions);
        let memories = regions.filter(|r| r.kind == RegionKind::Memory);
        memories.fold(0u64, |sum, r| sum.saturating_add(r.size))
    });
    let sizes: Vec<u64> = sizes.collect();
    let total = sizes
        .iter()
        .fold(0u64, |sum, size| sum.saturating_add(*size));
    let largest = drafts.iter().zip(&sizes).max_by_key(|(_, size)| **size);
    if let Some((draft, size)) = largest.filter(|_| total > MOST_MEMORY) {
        let problem = format!("the board has more than {} of memory", Size(MOST_MEMORY));
        let problem = Problem::error("too-much-memory", problem);
        problems.push(problem.at(draft.key, format!("this has the most, {}", Size(*size))));
    }
}

/// Reports ports of a chip that lead to nothing in it.
fn ports(ports: &Ports, board: &Board, names: &Names<'_, '_>, problems: &mut Vec<Problem>) {
    for (port, at) in ports.values() {
        match port {
            Some(Port::Bus(bus)) => {
                let (bus, address) = (bus.clone(), None);
                address::bus(&reference::Place { bus, address }, names, problems);
            }
            Some(Port::Inputs(to)) => {
                let mut wrong = Vec::new();
                inputs(to, *at, names, &mut wrong);
                // A board takes some of a port, and is told of those that are no pins if it takes one.
                problems.extend(wrong.into_iter().filter(|problem| problem.code != "no-pin"));
            }
            // Of a chip within it that is known to have it.
            Some(Port::Output(output)) if board.chips.contains(&output.device) => {}
            Some(Port::Output(output)) => lines::output(output, *at, names, problems),
            None => {}
        }
    }
}

fn ranked(bus: Bus, rank: &[usize]) -> Bus {
    match bus {
        Bus::System => bus,
        Bus::Port(device, port) => Bus::Port(rank[device], port),
    }
}

fn renumber(nets: Vec<Net>, rank: &[usize]) -> Vec<Net> {
    let ends = |ends: Vec<(usize, _)>| {
        let mut ends: Vec<_> = ends
            .into_iter()
            .map(|(device, pin)| (rank[device], pin))
            .collect();
        ends.sort();
        ends
    };
    let renumbered = nets.into_iter().map(|net| Net {
        drivers: ends(net.drivers),
        sinks: ends(net.sinks),
    });
    let mut nets: Vec<Net> = renumbered.collect();
    nets.sort_by(|a, b| (&a.drivers, &a.sinks).cmp(&(&b.drivers, &b.sinks)));
    nets
}

/// The devices so that one that offers a bus comes before those that sit on it, otherwise by name.
fn order(drafts: &[Draft<'_>], placed: &[Placed], problems: &mut Vec<Problem>) -> Vec<usize> {
    let mut contains = DiGraph::<(), ()>::with_capacity(drafts.len(), drafts.len());
    for _ in drafts {
        contains.add_node(());
    }
    let mut waits_for = vec![false; drafts.len()];
    for (child, place) in placed.iter().enumerate() {
        if let Some(Bus::Port(parent, _)) = place.on {
            contains.add_edge(NodeIndex::new(parent), NodeIndex::new(child), ());
            waits_for[child] = true;
        }
    }
    for mut ring in tarjan_scc(&contains) {
        if ring.len() > 1 || contains.contains_edge(ring[0], ring[0]) {
            // From child to parent, so that the chain reads "a sits on b sits on a".
            ring.sort();
            let start = ring[0];
            let mut chain = vec![start];
            while let Some(parent) = contains
                .neighbors_directed(chain[chain.len() - 1], Direction::Incoming)
                .next()
            {
                chain.push(parent);
                if parent == start {
                    break;
                }
            }
            let path: Vec<_> = chain
                .iter()
                .map(|node| format!("`{}`", drafts[node.index()].name))
                .collect();
            let mut problem = Problem::error(
                "bus-cycle",
                format!("a device sits on itself: {}", path.join(" on ")),
            );
            for node in &chain[1..] {
                let draft = &drafts[node.index()];
                let place = draft.table.get("at").or_else(|| draft.table.get("map"));
                let span = place.map(|entry| entry.node.span);
                problem = problem.at_some(span, format!("`{}`", draft.name));
            }
            problems.push(problem);
        }
    }
    let roots = (0..drafts.len()).filter(|i| !waits_for[*i]);
    let mut ready: BinaryHeap<_> = roots.map(Reverse).collect();
    let mut order = Vec::with_capacity(drafts.len());
    while let Some(Reverse(next)) = ready.pop() {
        order.push(next);
        ready.extend(
            contains
                .neighbors(NodeIndex::new(next))
                .map(|child| Reverse(child.index())),
        );
    }
    order
}

/// The board's slots by name, with the place of each; `None` for one that is wrong.
type Slots<'b> = BTreeMap<&'b str, Option<(BoardSlot, usize)>>;

fn slots<'b>(root: &'b Table, problems: &mut Vec<Problem>) -> Slots<'b> {
    let mut slots = Slots::new();
    let mut count = 0;
    for (name, entry) in table(root, "slot", problems).into_iter().flatten() {
        let what = format!("slot.{name}");
        let found = match entry.node.as_table() {
            Some(table) => section::<SlotSection>(&what, table, entry.key, problems),
            None => {
                let problem = Problem::error("bad-value", format!("`{what}` is not a table"));
                problems.push(problem.at(
                    entry.node.span,
                    "expected { kind = \"…\", default = \"…\" }",
                ));
                None
            }
        };
        let slot = found.map(|SlotSection { kind, default }| {
            count += 1;
            (
                BoardSlot {
                    name: name.clone(),
                    kind,
                    default,
                },
                count - 1,
            )
        });
        slots.insert(name, slot);
    }
    slots
}

fn table<'b>(root: &'b Table, key: &str, problems: &mut Vec<Problem>) -> Option<&'b Table> {
    let entry = root.get(key)?;
    let table = entry.node.as_table();
    if table.is_none() {
        let problem = Problem::error("bad-value", format!("`{key}` is not a table"));
        problems.push(problem.at(
            entry.node.span,
            format!("expected a table, found {}", entry.node.kind()),
        ));
    }
    table
}

/// For every device, the board slot plugged into each of its slots.
fn backends(
    drafts: &[Draft<'_>],
    slots: &Slots<'_>,
    gone: &Gone,
    problems: &mut Vec<Problem>,
) -> Vec<Vec<Option<usize>>> {
    let mut taken: BTreeMap<usize, Span> = BTreeMap::new();
    let mut backends = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let table = draft.table_at("backend", problems);
        let Some(model) = &draft.model else {
            for entry in table.into_iter().flat_map(|table| table.values()) {
                slot(entry, slots, gone, problems);
            }
            backends.push(Vec::new());
            continue;
        };
        let offered = &model.known.interface.slots;
        let mut bound = vec![None; offered.len()];
        for (key, entry) in table.into_iter().flatten() {
            let Some(index) = offered.iter().position(|slot| slot.name == key) else {
                problems.push(
                    Problem::error(
                        "unknown-backend",
                        format!("{} has no slot `{key}`", model.entry.name),
                    )
                    .at(entry.key, "")
                    .help(suggest(
                        key,
                        "slots",
                        offered.iter().map(|slot| slot.name),
                    )),
                );
                continue;
            };
            let Some((slot, number)) = slot(entry, slots, gone, problems) else {
                continue;
            };
            if slot.kind != offered[index].kind {
                let message = format!(
                    "`{key}` of {} and slot `{}` do not fit",
                    model.entry.name, slot.name
                );
                problems.push(Problem::error("wrong-slot", message).at(
                    entry.node.span,
                    format!(
                        "this takes {}, the slot has {}",
                        slot_kind(offered[index].kind),
                        slot_kind(slot.kind)
                    ),
                ));
                continue;
            }
            if let Some(other) = taken.insert(*number, entry.node.span) {
                problems.push(
                    Problem::error(
                        "slot-taken",
                        format!("slot `{}` is plugged in twice", slot.name),
                    )
                    .at(entry.node.span, format!("`{key}` of `{}`", draft.name))
                    .at(other, "it is taken"),
                );
            }
            bound[index] = Some(*number);
        }
        backends.push(bound);
    }
    backends
}

/// The board slot that a value names.
fn slot<'s>(
    entry: &Entry,
    slots: &'s Slots<'_>,
    gone: &Gone,
    problems: &mut Vec<Problem>,
) -> Option<&'s (BoardSlot, usize)> {
    let Some(name) = entry.node.as_str() else {
        if !entry.node.any(Json::is_null) {
            let problem = Problem::error("bad-value", "this is no slot's name");
            problems.push(problem.at(
                entry.node.span,
                format!("expected a string, found {}", entry.node.kind()),
            ));
        }
        return None;
    };
    match slots.get(name) {
        Some(slot) => slot.as_ref(),
        None => {
            let deleted = gone.other("slot", name, entry.node.span);
            problems.push(deleted.unwrap_or_else(|| {
                Problem::error("unknown-slot", format!("there is no slot `{name}`"))
                    .at(entry.node.span, "")
                    .help(suggest(name, "slots", slots.keys().copied()))
            }));
            None
        }
    }
}

/// `[boot]`, its devices by their place among the drafts.
fn boot(
    root: &Table,
    names: &Names<'_, '_>,
    slots: &Slots<'_>,
    gone: &Gone,
    problems: &mut Vec<Problem>,
) -> Option<Boot> {
    let entry = root.get("boot")?;
    let table = table(root, "boot", problems)?;
    let section: BootSection = section("[boot]", table, entry.key, problems)?;
    let mut device =
        |key: &str, name: &str, what: &str, fits: fn(&solderless_model::Interface) -> bool| {
            let at = table.get(key)?.node.span;
            let Some(index) = names.get(name) else {
                problems.push(names.unknown(name, at));
                return None;
            };
            if !fits(names.drafts[index].interface()?) {
                problems.push(
                    Problem::error("wrong-device", format!("`{name}` is no {what}")).at(at, ""),
                );
                return None;
            }
            Some(index)
        };
    let memory = device("memory", &section.memory, "memory", |i| {
        i.regions
            .first()
            .is_some_and(|r| r.kind == solderless_model::RegionKind::Memory)
    });
    let cpu = device("cpu", &section.cpu, "CPU", |i| i.cpu.is_some());
    let firmware =
        slot(table.get("firmware")?, slots, gone, problems).and_then(|(slot, number)| {
            if slot.kind != SlotKind::Image {
                let problem = Problem::error(
                    "wrong-slot",
                    format!("slot `{}` takes no firmware", slot.name),
                );
                problems.push(problem.at(
                    table["firmware"].node.span,
                    "expected a slot of kind \"image\"",
                ));
                return None;
            }
            Some(*number)
        });
    let cpu = cpu?;
    let protocol = protocol(names.drafts[cpu].interface()?, &section, table, problems);
    Some(Boot {
        firmware: firmware?,
        memory: memory?,
        cpu,
        protocol: protocol?,
        low_memory: section.low_memory.0,
        console: section.console,
        setup: section.setup,
    })
}

/// The boot protocol that `[boot]` names, of the CPU that starts.
fn protocol(
    cpu: &solderless_model::Interface,
    section: &BootSection,
    table: &Table,
    problems: &mut Vec<Problem>,
) -> Option<&'static dyn Protocol> {
    let architecture = registry::architecture(cpu.cpu?.architecture)?;
    let mut all = architecture.protocols().iter();
    let name = &section.protocol.0;
    let Some(protocol) = all.find(|protocol| protocol.name() == name) else {
        let names = architecture.protocols().iter().map(|p| p.name());
        let message = format!(
            "no kernel for {} is started with `{name}`",
            architecture.title()
        );
        let problem = Problem::error("wrong-protocol", message);
        let problem = problem.at(table.get("protocol")?.node.span, "");
        problems.push(problem.help(suggest(name, "protocols of this CPU", names)));
        return None;
    };
    for key in ["console", "setup"] {
        if let Some(entry) = table.get(key)
            && !entry.node.any(Json::is_null)
            && !protocol.keys().contains(&key)
        {
            let message = format!("`{key}` of [boot] has no effect: `{name}` does not use it");
            problems.push(Problem::warning("unused-key", message).at(entry.key, ""));
        }
    }
    Some(*protocol)
}

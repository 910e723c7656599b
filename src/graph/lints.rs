//! What is odd about a whole board: good for its rules, and probably not what was meant.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use solderless_model::{Pin, Pins, Placement};

use super::address::Names;
use super::devices::Draft;
use super::windows::Placed;
use crate::board::Board;
use crate::board::tree::Table;
use crate::diagnostics::{Problem, Severity, Span, suggest};
use crate::plan::{Bus, Net, Window, pin_name};
use crate::reference::Outputs;
use crate::toml;

/// The warnings that a board can silence, each with what it is about.
pub const LINTS: [(&str, &str); 11] = [
    ("empty-slot", "A device's slot that nothing is plugged into"),
    (
        "hidden-window",
        "A window that windows meant to lie over others cover from end to end, or beyond the addresses of every CPU",
    ),
    (
        "limited-value",
        "A property's value of which the device can do a part only",
    ),
    (
        "no-function-0",
        "A function in a PCI slot without a function 0: no guest looks for it",
    ),
    (
        "odd-lines",
        "Lines whose order or fan-out is unlike that of all other devices of the type on the bus",
    ),
    ("unconnected-output", "An output that leads nowhere"),
    ("undriven-input", "An input that nothing drives"),
    ("unreachable-device", "A device that no CPU can reach"),
    ("unused-default", "Defaults for a type that no device has"),
    ("unused-param", "A parameter that nothing uses"),
    ("unused-slot", "A slot of the board that no device has"),
];

/// Looks for all of them.
pub fn check(
    board: &Board,
    names: &Names<'_, '_>,
    placed: &[Placed],
    nets: &[Net],
    problems: &mut Vec<Problem>,
) {
    pins(names.drafts, nets, problems);
    odd_lines(names.drafts, placed, nets, problems);
    hidden_windows(names.drafts, placed, problems);
    unreachable(names.drafts, placed, problems);
    unused_params(board, problems);
}

/// Parameters that nothing uses.
pub fn unused_params(board: &Board, problems: &mut Vec<Problem>) {
    for (name, span) in &board.unused {
        problems.push(
            Problem::warning("unused-param", format!("nothing uses the param `{name}`"))
                .at(*span, "")
                .place(name.clone()),
        );
    }
}

/// Slots of devices that nothing is plugged into. `backends` are what is plugged into each of them.
pub fn empty_slots(
    drafts: &[Draft<'_>],
    backends: &[Vec<Option<usize>>],
    problems: &mut Vec<Problem>,
) {
    for (draft, backends) in drafts.iter().zip(backends) {
        let slots = draft.interface().map_or(&[][..], |i| &i.slots);
        for (slot, backend) in slots.iter().zip(backends) {
            if backend.is_none() && !slot.optional {
                let message = format!(
                    "nothing is plugged into `{}` of `{}`",
                    slot.name, draft.name
                );
                problems.push(
                    Problem::warning("empty-slot", message)
                        .at(draft.key, "")
                        .help(format!(
                            "plug in a slot of the board: backend.{} = \"…\"",
                            slot.name
                        ))
                        .place(format!("{}.{}", draft.name, slot.name)),
                );
            }
        }
    }
}

/// Slots of the board that are plugged in nowhere.
pub fn unused_slots(board: &Board, drafts: &[Draft<'_>], problems: &mut Vec<Problem>) {
    let mut used = BTreeSet::new();
    for draft in drafts {
        let plugged = draft.table.get("backend").and_then(|e| e.node.as_table());
        let plugged = plugged.into_iter().flat_map(|table| table.values());
        used.extend(plugged.filter_map(|entry| entry.node.as_str()));
    }
    let slots = board.root.get("slot").and_then(|e| e.node.as_table());
    for (name, entry) in slots.into_iter().flatten() {
        if !used.contains(name.as_str()) {
            problems.push(
                Problem::warning("unused-slot", format!("no device has the slot `{name}`"))
                    .at(entry.key, "what is plugged in here goes nowhere")
                    .help(format!("plug it into a device: backend.SLOT = \"{name}\""))
                    .place(name.clone()),
            );
        }
    }
}

/// What `[allow]` silences: the warning, what it is about, where that stands, and whether there was such a warning. What is
/// wrong with it is reported.
pub fn allowed<'b>(
    root: &'b Table,
    wrong: &mut Vec<Problem>,
) -> Vec<(&'b str, &'b str, Span, bool)> {
    let mut allowed = Vec::new();
    let allow = root.get("allow").and_then(|entry| entry.node.as_table());
    for (lint, entry) in allow.into_iter().flatten() {
        if LINTS.iter().all(|(name, _)| name != lint) {
            wrong.push(
                Problem::error("unknown-lint", format!("there is no warning `{lint}`"))
                    .at(entry.key, "")
                    .help(suggest(lint, "warnings", LINTS.map(|(name, _)| name))),
            );
            continue;
        }
        let Some(places) = entry.node.as_table() else {
            let problem = Problem::error("bad-value", format!("`allow.{lint}` is not a table"));
            let form = "expected the name of what is meant, and the reason";
            wrong.push(problem.at(entry.node.span, form));
            continue;
        };
        for (place, reason) in places {
            if reason
                .node
                .as_str()
                .is_none_or(|text| text.trim().is_empty())
            {
                wrong.push(
                    Problem::error("no-reason", "a warning is silenced with a reason")
                        .at(reason.node.span, "expected a string that says why"),
                );
            }
            allowed.push((lint.as_str(), place.as_str(), reason.key, false));
        }
    }
    allowed
}

/// Takes out the warnings that `[allow.LINT]` silences, and reports what silences nothing.
pub fn silence(board: &Board, problems: &mut Vec<Problem>) {
    let mut wrong = Vec::new();
    let mut allowed = allowed(&board.root, &mut wrong);
    problems.retain(|problem| {
        let Some(at) = problem
            .place
            .as_deref()
            .filter(|_| problem.severity == Severity::Warning)
        else {
            return true;
        };
        let mut silenced = false;
        for (lint, place, _, used) in &mut allowed {
            let inner = at
                .strip_prefix(*place)
                .map(|rest| rest.is_empty() || rest.starts_with('.'));
            if *lint == problem.code && inner == Some(true) {
                *used = true;
                silenced = true;
            }
        }
        !silenced
    });
    for problem in problems
        .iter_mut()
        .filter(|p| p.severity == Severity::Warning)
    {
        let (code, Some(place)) = (problem.code, &problem.place) else {
            continue;
        };
        let key = toml::path([&**place]);
        let add = format!("if it is meant, say so: [allow.{code}] {key} = \"the reason\"");
        problem.help = Some(match problem.help.take() {
            Some(help) => format!("{help}\n{add}"),
            None => add,
        });
    }
    problems.extend(wrong);
    // What a board inherits may be about what it took away.
    for (lint, place, span, used) in allowed {
        let looked_for = board.ports.is_none() || lint == "unused-param" || lint == "unused-slot";
        if !used && looked_for && span.file == board.whole.file {
            problems.push(
                Problem::warning(
                    "unused-allow",
                    format!("`{place}` gives no warning `{lint}`"),
                )
                .at(span, "this silences nothing"),
            );
        }
    }
}

/// Groups of pins that are connected to nothing although they are of no use so.
fn pins(drafts: &[Draft<'_>], nets: &[Net], problems: &mut Vec<Problem>) {
    let mut connected: [Vec<u64>; 2] = [vec![0; drafts.len()], vec![0; drafts.len()]];
    let group_of = |groups: &[Pins], pin: Pin| {
        let mut last = 0;
        groups.iter().position(|group| {
            last += group.count;
            pin.0 < last
        })
    };
    for net in nets {
        for (ends, input) in [(&net.sinks, true), (&net.drivers, false)] {
            for (device, pin) in ends {
                let Some(interface) = drafts[*device].interface() else {
                    continue;
                };
                let groups = if input {
                    &interface.inputs
                } else {
                    &interface.outputs
                };
                if let Some(group) = group_of(groups, *pin) {
                    connected[usize::from(input)][*device] |= 1 << group.min(63);
                }
            }
        }
    }
    for (index, draft) in drafts.iter().enumerate() {
        let Some(interface) = draft.interface() else {
            continue;
        };
        for (groups, input) in [(&interface.inputs, true), (&interface.outputs, false)] {
            for (number, group) in groups.iter().enumerate() {
                let is = connected[usize::from(input)][index] >> number.min(63) & 1 != 0;
                if is || group.optional {
                    continue;
                }
                let place = format!("{}.{}", draft.name, group.name);
                problems.push(if input {
                    Problem::warning("undriven-input", format!("nothing drives `{place}`"))
                        .at(draft.key, "")
                        .place(place)
                } else {
                    Problem::warning("unconnected-output", format!("`{place}` leads nowhere"))
                        .at(draft.key, "")
                        .help(format!(
                            "wire it under the device: irq.{} = \"…\"",
                            group.name
                        ))
                        .place(place)
                });
            }
        }
    }
}

/// How the outputs of a group are wired: per pin how many inputs it drives, and by how much the input's number goes up from
/// pin to pin.
type Shape = Vec<(usize, Option<u16>)>;

/// Devices of one type on one bus that are wired alike, but for one.
fn odd_lines(drafts: &[Draft<'_>], placed: &[Placed], nets: &[Net], problems: &mut Vec<Problem>) {
    let mut siblings: BTreeMap<(&str, Option<Bus>), Vec<usize>> = BTreeMap::new();
    for (index, draft) in drafts.iter().enumerate() {
        if let Some(model) = &draft.model {
            let bus = placed[index].seat.map(|seat| seat.bus);
            siblings
                .entry((model.entry.name, bus))
                .or_default()
                .push(index);
        }
    }
    siblings.retain(|_, devices| devices.len() >= 3);
    if siblings.is_empty() {
        return;
    }
    let mut sinks: HashMap<(usize, Pin), Vec<(usize, Pin)>> = HashMap::new();
    for net in nets {
        for driver in &net.drivers {
            sinks.entry(*driver).or_default().extend(&net.sinks);
        }
    }
    for devices in siblings.into_values() {
        let groups = drafts[devices[0]]
            .interface()
            .map_or(0, |i| i.outputs.len());
        for group in 0..groups {
            let shapes: Vec<_> = devices
                .iter()
                .map(|device| shape(drafts, &sinks, *device, group))
                .collect();
            let mut counts: HashMap<&Shape, usize> = HashMap::new();
            for shape in shapes.iter().flatten() {
                *counts.entry(shape).or_default() += 1;
            }
            let alike = devices.len() - 1;
            let usual = counts.iter().find(|(_, count)| **count == alike);
            // One that is connected where no other is says nothing.
            let Some((usual, _)) = usual.filter(|(shape, _)| shape.iter().any(|(n, _)| *n > 0))
            else {
                continue;
            };
            let odd = shapes
                .iter()
                .position(|shape| shape.as_ref() != Some(usual));
            let Some(odd) = odd.map(|odd| devices[odd]) else {
                continue;
            };
            let (draft, like) = (
                &drafts[odd],
                &drafts[devices[usize::from(devices[0] == odd)]],
            );
            let name = draft.interface().and_then(|i| i.outputs.get(group));
            let name = name.map_or("", |group| group.name);
            let lines = |draft: &Draft<'_>| {
                let irq = draft
                    .table
                    .get("irq")
                    .and_then(|entry| entry.node.as_table());
                let line = irq.into_iter().flatten();
                let mut line =
                    line.filter(|(key, _)| Outputs::parse(key).is_some_and(|o| o.group == name));
                line.next().map_or(draft.key, |(_, entry)| entry.node.span)
            };
            problems.push(
                Problem::warning(
                    "odd-lines",
                    format!(
                        "`{}.{name}` is wired unlike its {alike} siblings'",
                        draft.name
                    ),
                )
                .at(lines(draft), "its order or fan-out is another")
                .at(lines(like), format!("as on `{}`", like.name))
                .place(draft.name),
            );
        }
    }
}

fn shape(
    drafts: &[Draft<'_>],
    sinks: &HashMap<(usize, Pin), Vec<(usize, Pin)>>,
    device: usize,
    group: usize,
) -> Option<Shape> {
    let outputs = &drafts[device].interface()?.outputs;
    let first: u16 = outputs[..group].iter().map(|group| group.count).sum();
    let mut before: Option<(usize, Pin)> = None;
    let shape = (first..first + outputs[group].count).map(|pin| {
        let ends = sinks
            .get(&(device, Pin(pin)))
            .map_or(&[][..], Vec::as_slice);
        let end = ends.first().copied();
        let step = match (before, end) {
            (Some((to, last)), Some((now, next))) if to == now => {
                let groups = drafts[to].interface().map_or(&[][..], |i| &i.inputs);
                // Rotations count as the order they are of.
                let size = groups
                    .iter()
                    .find(|g| pin_name(groups, next).starts_with(g.name));
                let size = size.map_or(u16::MAX, |group| group.count.max(1));
                Some(next.0.wrapping_sub(last.0).wrapping_add(size) % size)
            }
            _ => None,
        };
        before = end;
        (ends.len(), step)
    });
    Some(shape.collect())
}

/// Windows that others cover entirely.
fn hidden_windows(drafts: &[Draft<'_>], placed: &[Placed], problems: &mut Vec<Problem>) {
    let mut over: BTreeMap<_, Vec<(u64, u64, Span, usize)>> = BTreeMap::new();
    for (index, place) in placed.iter().enumerate() {
        for (window, span) in &place.windows {
            if let Some(bus) = group(drafts, place, index, window).filter(|_| window.over) {
                let last = window.at + (window.size - 1);
                over.entry(bus)
                    .or_default()
                    .push((window.at, last, *span, index));
            }
        }
    }
    for windows in over.values_mut() {
        windows.sort_unstable();
    }
    for (index, place) in placed.iter().enumerate() {
        for (window, span) in place.windows.iter().filter(|(window, _)| !window.over) {
            let above = group(drafts, place, index, window).and_then(|bus| over.get(&bus));
            let Some(above) = above else { continue };
            let last = window.at + (window.size - 1);
            let mut next = Some(window.at);
            let mut by = None;
            let from = above.partition_point(|(_, end, ..)| *end < window.at);
            for (at, end, there, device) in &above[from..] {
                match next {
                    Some(need) if *at <= need && *device != index => {
                        by.get_or_insert((*there, *device));
                        next = end.checked_add(1).filter(|next| *next <= last);
                    }
                    _ => break,
                }
            }
            if let (None, Some((there, device))) = (next, by) {
                let name = drafts[index].name;
                problems.push(
                    Problem::warning("hidden-window", format!("nobody sees a window of `{name}`"))
                        .at(*span, format!("{:#x} to {last:#x}", window.at))
                        .at(there, format!("`{}` lies over it", drafts[device].name))
                        .place(name),
                );
            }
        }
    }
}

fn group(
    drafts: &[Draft<'_>],
    place: &Placed,
    index: usize,
    window: &Window,
) -> Option<(Bus, solderless_model::Space, Option<usize>)> {
    let region = drafts[index].interface()?.region(window.region)?;
    Some((place.seat?.bus, region.space, window.cpu))
}

/// Devices that nothing on the board leads to.
fn unreachable(drafts: &[Draft<'_>], placed: &[Placed], problems: &mut Vec<Problem>) {
    let interfaces = drafts.iter().filter_map(Draft::interface);
    let Some(bits) = interfaces.filter_map(|i| i.address_bits).max() else {
        return;
    };
    let last = u64::MAX >> (64 - u32::from(bits.clamp(1, 64)));
    let mut reached: Vec<Option<bool>> = vec![None; drafts.len()];
    for index in 0..drafts.len() {
        reach(drafts, placed, last, index, &mut reached);
    }
    for (index, draft) in drafts.iter().enumerate() {
        if reached[index] != Some(false) {
            continue;
        }
        // What sits on it needs no warning of its own.
        if let Some(Bus::Port(parent, _)) = placed[index].seat.map(|seat| seat.bus)
            && reached[parent] == Some(false)
        {
            continue;
        }
        let message = format!("no CPU can reach the device `{}`", draft.name);
        let problem = Problem::warning("unreachable-device", message).place(draft.name);
        problems.push(match placed[index].windows.first() {
            Some((_, span)) => problem
                .at(
                    *span,
                    format!("the addresses of every CPU end at {last:#x}"),
                )
                .help("place it, or show a part of it through `map`, below that"),
            None => problem
                .at(draft.key, "no window shows any of it")
                .help("show a region of it through `map`"),
        });
    }
    for (index, place) in placed.iter().enumerate() {
        let beyond = place.windows.iter().filter(|(window, _)| window.at > last);
        for (window, span) in beyond.filter(|_| reached[index] == Some(true)) {
            let name = drafts[index].name;
            let end = window.at + (window.size - 1);
            problems.push(
                Problem::warning("hidden-window", format!("nobody sees a window of `{name}`"))
                    .at(*span, format!("{:#x} to {end:#x}", window.at))
                    .help(format!("the addresses of every CPU end at {last:#x}"))
                    .place(name),
            );
        }
    }
}

/// Whether accesses get to a device, with addresses up to `last`. Chains are as long as buses are deep.
fn reach(
    drafts: &[Draft<'_>],
    placed: &[Placed],
    last: u64,
    index: usize,
    reached: &mut Vec<Option<bool>>,
) -> bool {
    if let Some(known) = reached[index] {
        return known;
    }
    // On a ring of buses, which is an error of its own, everything counts as reached.
    reached[index] = Some(true);
    let Some(interface) = drafts[index].interface() else {
        return true;
    };
    let bus = match placed[index].seat.map(|seat| seat.bus) {
        Some(Bus::Port(parent, _)) => reach(drafts, placed, last, parent, reached),
        Some(Bus::System) => true,
        // With a place that is none it has an error already.
        None => {
            let lost = drafts[index].table.get("map").is_some_and(|map| {
                matches!(&map.node.value, crate::board::tree::Value::Array(all) if all.is_empty())
            });
            reached[index] = Some(!lost);
            return !lost;
        }
    };
    let by_address = interface
        .bus
        .is_some_and(|bus| bus.rules().addresses.select());
    let regions = &interface.regions;
    let shown = by_address
        || interface.initiator
        || regions.is_empty()
        || regions
            .iter()
            .any(|region| region.place == Placement::Device)
        || placed[index].windows.iter().any(|(w, _)| w.at <= last);
    reached[index] = Some(bus && shown);
    bus && shown
}

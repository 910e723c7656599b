//! Where things are across the page: buses in rows of rails, each device a card on its rail.

use std::collections::BTreeMap;

use solderless_model::{Interface, Pin, PortId, Space};

use super::wires::Wire;
use super::{LABEL_ENDS, text_width};
use crate::plan::{Address, Bus, Plan, PlannedDevice, Window};

/// The widest that a rail gets before it is broken, unless one card is wider.
const MAX_WIDTH: i32 = 1560;
/// Between cards, between rails, and around a chip.
const CARD_GAP: i32 = 14;
const RAIL_GAP: i32 = 40;
pub const FRAME_PAD: i32 = 8;
/// Between pins, and around them.
const PIN_PITCH: i32 = 14;
pub const PAD: i32 = 8;
/// Heights: a line of text, a part, the rule above the pins, a plug below the card.
pub const LINE: i32 = 13;
pub const PART: i32 = 17;
pub const PLUG: i32 = 26;
/// Sizes of text.
pub const NAME: i32 = 12;
pub const SMALL: i32 = 10;
pub const TINY: i32 = 9;
/// How many windows a card lists, at most.
const WINDOWS: usize = 8;

/// A line of text on a card.
pub struct Text {
    pub text: String,
    /// It stands back: what yields to all else.
    pub dim: bool,
}

/// Something at the lower edge of a card.
pub struct Stub {
    /// From the left of the page, once it is placed.
    pub x: i32,
    pub label: String,
    pub what: What,
}

/// What is at the lower edge of a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A bus that the device offers.
    Port(PortId),
    /// A slot of the board.
    Plug { slot: usize, width: i32 },
    /// The end of a wire.
    Pin { wire: usize, input: bool },
}

/// A device.
pub struct Card {
    pub device: usize,
    pub x: i32,
    pub width: i32,
    /// Without its plugs.
    pub height: i32,
    pub places: Vec<Text>,
    /// Parts by row.
    pub parts: Vec<Vec<String>>,
    pub stubs: Vec<Stub>,
}

/// The part of a chip that is on a rail.
pub struct Frame {
    pub name: String,
    pub x: i32,
    pub width: i32,
    /// How many chips it is in.
    pub depth: i32,
    /// Its cards on the rail.
    pub cards: std::ops::Range<usize>,
}

/// A bus, or a piece of one that is too wide for the page.
pub struct Rail {
    /// `None` for the devices that sit on no bus.
    pub bus: Option<Bus>,
    pub label: String,
    pub x: i32,
    pub width: i32,
    pub cards: Vec<Card>,
    pub frames: Vec<Frame>,
}

/// The rails in rows, from the top, and the width of the widest row.
pub struct Page {
    pub rows: Vec<Vec<Rail>>,
    pub width: i32,
}

/// Places a plan's devices.
pub fn page(plan: &Plan, wires: &[Wire]) -> Page {
    let mut members: BTreeMap<Option<Bus>, Vec<usize>> = BTreeMap::new();
    for (index, device) in plan.devices.iter().enumerate() {
        members
            .entry(device.seat.map(|seat| seat.bus))
            .or_default()
            .push(index);
    }
    let mut pins: Vec<Vec<(bool, Pin, usize, &str)>> = vec![Vec::new(); plan.devices.len()];
    for (index, wire) in wires.iter().enumerate() {
        for end in &wire.ends {
            pins[end.device].push((!end.input, end.pin, index, &end.pins));
        }
    }
    let mut rows: Vec<Vec<Rail>> = Vec::new();
    let mut tier = vec![Some(Bus::System)];
    loop {
        let mut next = Vec::new();
        let mut rails = Vec::new();
        for bus in tier {
            let mut devices = members.remove(&bus).unwrap_or_default();
            sort(plan, &mut devices);
            for device in &devices {
                let ports = 0..plan.devices[*device].interface.ports.len();
                next.extend(ports.map(|port| Some(Bus::Port(*device, PortId(port as u8)))));
            }
            let cards = devices.into_iter().map(|device| {
                let mut pins = std::mem::take(&mut pins[device]);
                pins.sort_unstable();
                card(plan, device, &pins)
            });
            rails.extend(broken(plan, bus, cards.collect()));
        }
        rows.extend(packed(rails));
        if !next.is_empty() {
            tier = next;
        } else if members.contains_key(&None) {
            tier = vec![None];
        } else {
            break;
        }
    }
    let labels = wires
        .iter()
        .map(|wire| text_width(&wire.name(plan, LABEL_ENDS), TINY) + 8);
    let widths = rows.iter().map(|row| row_width(row)).chain(labels);
    let width = widths.max().unwrap_or_default();
    spread(&mut rows, width);
    Page { rows, width }
}

/// Puts devices in the order of their addresses, those of a chip side by side.
fn sort(plan: &Plan, devices: &mut [usize]) {
    let address = |device: &PlannedDevice| match device.seat.map(|seat| seat.address) {
        _ if device.interface.initiator => (0, 0),
        Some(Address::Pci { slot, function }) => (1, u64::from(slot) * 8 + u64::from(function)),
        Some(Address::I2c(address) | Address::Ide(address)) => (1, address.into()),
        _ => {
            let seen = device
                .windows
                .iter()
                .filter(|w| !is_background(&device.interface, w));
            seen.map(|w| (1, w.at)).min().unwrap_or((2, 0))
        }
    };
    let mut first: BTreeMap<&str, (i32, u64)> = BTreeMap::new();
    for device in devices.iter().map(|index| &plan.devices[*index]) {
        let here = address(device);
        for path in within(&device.path) {
            let first = first.entry(path).or_insert(here);
            *first = here.min(*first);
        }
    }
    let key = |index: &usize| -> Vec<_> {
        let path = &plan.devices[*index].path;
        within(path).map(|path| (first.get(path), path)).collect()
    };
    devices.sort_by_cached_key(key);
}

/// The chips that a device is in, from the outermost, then the device: of `a.b.c` they are `a`, `a.b`, `a.b.c`.
fn within(path: &str) -> impl Iterator<Item = &str> {
    let dots = path.match_indices('.').map(|(at, _)| at);
    dots.chain([path.len()]).map(|end| &path[..end])
}

/// How many chips a device is in.
fn depth(path: &str) -> i32 {
    path.matches('.').count() as i32
}

fn is_background(interface: &Interface, window: &Window) -> bool {
    let region = interface.region(window.region);
    region.is_some_and(|region| region.background)
}

fn card(plan: &Plan, device: usize, pins: &[(bool, Pin, usize, &str)]) -> Card {
    let planned = &plan.devices[device];
    let interface = &planned.interface;
    let mut stubs = Vec::new();
    let mut x = PAD;
    let mut below = 0;
    for (port, offered) in interface.ports.iter().enumerate() {
        let width = text_width(offered.name, TINY) + 6;
        stubs.push(Stub {
            x: x + width / 2,
            label: offered.name.to_owned(),
            what: What::Port(PortId(port as u8)),
        });
        x += width + 4;
        below = below.max(LINE);
    }
    for (offered, bound) in interface.slots.iter().zip(&planned.backends) {
        let Some((index, slot)) = bound.and_then(|index| Some((index, plan.slots.get(index)?)))
        else {
            continue;
        };
        let width = text_width(&slot.name, TINY).max(text_width(offered.name, TINY)) + 10;
        let what = What::Plug { slot: index, width };
        stubs.push(Stub {
            x: x + width / 2,
            label: offered.name.to_owned(),
            what,
        });
        x += width + 4;
        below = below.max(LINE);
    }
    for (output, _, wire, label) in pins {
        let what = What::Pin {
            wire: *wire,
            input: !output,
        };
        stubs.push(Stub {
            x: x + PIN_PITCH / 2,
            label: (*label).to_owned(),
            what,
        });
        x += PIN_PITCH;
        below = below.max(text_width(label, TINY) + 4);
    }
    let places = places(plan, planned);
    let parts = parts(planned);
    let rows = parts
        .iter()
        .map(|row| row.iter().map(|part| part_width(part) + 4).sum::<i32>() - 4);
    let texts = places.iter().map(|line| text_width(&line.text, SMALL));
    let chips = within(&planned.path).filter(|path| *path != planned.path);
    let inner = texts
        .chain(rows)
        .chain(chips.map(|chip| text_width(chip, SMALL)))
        .chain([
            text_width(&planned.path, NAME),
            text_width(planned.entry.name, SMALL),
        ]);
    let width = (inner.max().unwrap_or_default() + 2 * PAD).max(x + PAD - 4);
    let lines = 1 + places.len() as i32;
    let height = PAD
        + NAME
        + 4
        + lines * LINE
        + parts.len() as i32 * PART
        + if below > 0 { below + 8 } else { 4 };
    Card {
        device,
        x: 0,
        width,
        height,
        places,
        parts,
        stubs,
    }
}

/// The width of a part's box.
pub fn part_width(name: &str) -> i32 {
    text_width(name, TINY) + 10
}

/// The names of a device's parts, in rows.
fn parts(device: &PlannedDevice) -> Vec<Vec<String>> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut left = 0;
    for part in device.interface.parts.iter().filter(|part| part.present) {
        let width = part_width(part.name) + 4;
        match rows.last_mut() {
            Some(row) if width <= left => row.push(part.name.to_owned()),
            _ => {
                rows.push(vec![part.name.to_owned()]);
                left = 160;
            }
        }
        left -= width;
    }
    rows
}

/// What a card says of where the device is.
fn places(plan: &Plan, device: &PlannedDevice) -> Vec<Text> {
    let seat = device.seat.map(|seat| seat.address);
    let on_pci = matches!(seat, Some(Address::Pci { .. }));
    let mut lines = Vec::new();
    if let Some(address @ (Address::Pci { .. } | Address::I2c(_) | Address::Ide(_))) = seat {
        lines.push(Text {
            text: address.to_string(),
            dim: false,
        });
    }
    let named = device
        .windows
        .iter()
        .any(|window| window.region != device.windows[0].region);
    for window in device.windows.iter().take(WINDOWS) {
        let Some(region) = device.interface.region(window.region) else {
            continue;
        };
        let wide = region.space == Space::Memory;
        let hex = |n: u64| {
            if wide {
                format!("{n:#010x}")
            } else {
                format!("{n:#x}")
            }
        };
        let mut text = hex(window.at);
        if window.size > 1 {
            text.push_str(&format!(
                "–{}",
                hex(window.at.saturating_add(window.size - 1))
            ));
        }
        if on_pci {
            text.push_str(if wide { " memory" } else { " I/O" });
        }
        if named || region.background {
            text.push_str(&format!(" {}", region.name));
        }
        if window.over {
            text.push_str(" (over)");
        }
        if let Some(cpu) = window.cpu.and_then(|cpu| plan.devices.get(cpu)) {
            text.push_str(&format!(" ({} alone)", cpu.path));
        }
        lines.push(Text {
            text,
            dim: region.background,
        });
    }
    if device.windows.len() > WINDOWS {
        lines.push(Text {
            text: format!("{} more", device.windows.len() - WINDOWS),
            dim: true,
        });
    }
    lines
}

/// The rails of a bus: one, unless the page is too narrow for its cards.
fn broken(plan: &Plan, bus: Option<Bus>, cards: Vec<Card>) -> Vec<Rail> {
    let chip = |card: &Card| {
        plan.devices[card.device]
            .path
            .rsplit_once('.')
            .map_or("", |(chip, _)| chip)
    };
    let mut pieces: Vec<Vec<Card>> = vec![Vec::new()];
    let mut x = 0;
    for mut card in cards {
        let here = chip(&card).to_owned();
        let before = pieces.last().and_then(|piece| piece.last());
        let levels = |path: &str| if path.is_empty() { 0 } else { depth(path) + 1 };
        let edges = before.map_or(levels(&here), |before| {
            let before = chip(before);
            let shared = before
                .split('.')
                .zip(here.split('.'))
                .take_while(|(a, b)| a == b && !a.is_empty());
            levels(before) + levels(&here) - 2 * shared.count() as i32
        });
        let gap = if before.is_some() { CARD_GAP } else { 0 };
        if before.is_some() && x + gap + edges * FRAME_PAD + card.width > MAX_WIDTH {
            pieces.push(Vec::new());
            x = levels(&here) * FRAME_PAD;
        } else {
            x += gap + edges * FRAME_PAD;
        }
        card.x = x;
        x += card.width;
        if let Some(piece) = pieces.last_mut() {
            piece.push(card);
        }
    }
    let count = pieces.len();
    let pieces = pieces.into_iter().enumerate().map(|(number, cards)| {
        let mut label = bus.map_or("no bus".to_owned(), |bus| plan.bus(bus));
        if count > 1 {
            label.push_str(&format!(" ({} of {count})", number + 1));
        }
        let frames = frames(plan, &cards);
        let ends = cards.iter().map(|card| card.x + card.width);
        let ends = ends.chain(frames.iter().map(|frame| frame.x + frame.width));
        let least = text_width(&label, NAME) + 90;
        let width = ends.max().unwrap_or_default().max(least);
        Rail {
            bus,
            label,
            x: 0,
            width,
            cards,
            frames,
        }
    });
    pieces.collect()
}

/// The frames around the cards of a rail: one for every chip, the outer ones first.
fn frames(plan: &Plan, cards: &[Card]) -> Vec<Frame> {
    let path = |card: &Card| plan.devices[card.device].path.as_str();
    let deepest = cards
        .iter()
        .map(|card| depth(path(card)))
        .max()
        .unwrap_or_default();
    let mut frames: Vec<Frame> = Vec::new();
    for level in 0..deepest {
        for (index, card) in cards.iter().enumerate() {
            let own = depth(path(card));
            let Some(name) = within(path(card))
                .nth(level as usize)
                .filter(|_| own > level)
            else {
                continue;
            };
            let pad = FRAME_PAD * (own - level);
            let right = card.x + card.width + pad;
            match frames.last_mut() {
                Some(frame)
                    if frame.depth == level && frame.cards.end == index && frame.name == name =>
                {
                    frame.cards.end = index + 1;
                    frame.width = right - frame.x;
                }
                _ => frames.push(Frame {
                    name: name.to_owned(),
                    x: card.x - pad,
                    width: right - card.x + pad,
                    depth: level,
                    cards: index..index + 1,
                }),
            }
        }
    }
    frames
}

/// Puts rails into rows as wide as the page, in their order.
fn packed(rails: Vec<Rail>) -> Vec<Vec<Rail>> {
    let mut rows: Vec<Vec<Rail>> = Vec::new();
    for rail in rails {
        match rows.last_mut() {
            Some(row) if row_width(row) + RAIL_GAP + rail.width <= MAX_WIDTH => row.push(rail),
            _ => rows.push(vec![rail]),
        }
    }
    rows
}

fn row_width(row: &[Rail]) -> i32 {
    row.iter().map(|rail| rail.width + RAIL_GAP).sum::<i32>() - RAIL_GAP
}

/// Moves every rail as near below the device that offers it as its row allows.
fn spread(rows: &mut [Vec<Rail>], width: i32) {
    let mut offered: BTreeMap<Bus, i32> = BTreeMap::new();
    for row in rows {
        let mut left = 0;
        for rail in row.iter_mut() {
            let above = rail.bus.and_then(|bus| offered.get(&bus)).copied();
            rail.x = (above.unwrap_or(width / 2) - rail.width / 2).max(left);
            left = rail.x + rail.width + RAIL_GAP;
        }
        let mut right = width;
        for rail in row.iter_mut().rev() {
            rail.x = rail.x.min(right - rail.width);
            right = rail.x - RAIL_GAP;
        }
        for rail in row {
            for frame in &mut rail.frames {
                frame.x += rail.x;
            }
            for card in &mut rail.cards {
                card.x += rail.x;
                for stub in &mut card.stubs {
                    stub.x += card.x;
                    if let What::Port(port) = stub.what {
                        offered.insert(Bus::Port(card.device, port), stub.x);
                    }
                }
            }
        }
    }
}

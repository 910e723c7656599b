//! The plan as a picture: buses as rails, devices as cards that hang on them in the order of their addresses, lines as wires
//! below the cards.

mod place;
mod route;
mod wires;

use std::collections::BTreeSet;
use std::fmt::Write;

use solderless_model::BusKind;

use crate::plan::{Bus, Plan, slot_kind};
use place::{Card, FRAME_PAD, Frame, LINE, NAME, PAD, PART, PLUG, Page, Rail, TINY, What, page};
use route::{At, Point, Route, Routes, Run, Tracks, routes};
use wires::{Wire, wires};

/// How many ends of a side a wire's label names.
const LABEL_ENDS: usize = 5;
/// Around everything.
const MARGIN: i32 = 28;
/// The board's name and summary.
const HEADER: i32 = 46;
/// What the signs mean.
const FOOTER: i32 = 34;
/// A rail's height, and how far below it the cards hang.
const RAIL: i32 = 20;
const HANG: i32 = 14;
/// A chip's name.
const FRAME_TOP: i32 = 16;
/// Below the cards, for the arrows of their inputs.
const ARROWS: i32 = 10;
/// Between tracks and columns.
const WIRE_PITCH: i32 = 14;
const BUS_PITCH: i32 = 10;
const COLUMN: i32 = 9;

const STYLE: &str = "\
text{font-family:'DejaVu Sans Mono',Menlo,Consolas,monospace;fill:#1f2933}\
.title{font:bold 20px 'DejaVu Sans',Helvetica,Arial,sans-serif}\
.note{font:12px 'DejaVu Sans',Helvetica,Arial,sans-serif;fill:#52606d}\
.name{font-size:12px;font-weight:bold}.small{font-size:10px}.dim{fill:#8a94a0}.tiny{font-size:9px}\
.middle{text-anchor:middle}\
.card>rect{fill:#fff;stroke:#1f2933;stroke-width:1.2}\
.part rect{fill:#eef1f4;stroke:#8a94a0}\
.plug rect{fill:#fdf3d8;stroke:#a9790c}.plug path{stroke:#a9790c;stroke-width:1.5;fill:none}\
.chip rect{fill:#f6f8fa;stroke:#8a94a0;stroke-dasharray:5 3}\
.bus path{fill:none;stroke-width:4;stroke-linejoin:round}.bus text{fill:#fff}\
.system rect{fill:#334e68}.system path{stroke:#334e68}.pci rect{fill:#2b6cb0}.pci path{stroke:#2b6cb0}\
.isa rect{fill:#6b46a1}.isa path{stroke:#6b46a1}.i2c rect{fill:#25736a}.i2c path{stroke:#25736a}\
.none rect{fill:#8a94a0}.none path{stroke:#8a94a0}\
.wire path{fill:none;stroke:#b5303f;stroke-width:1.1;stroke-linejoin:round}.several path{stroke-width:2.2}\
.wire circle,.wire polygon{fill:#b5303f}\
.wire text{fill:#7d1f2b;paint-order:stroke;stroke:#fff;stroke-width:3px;stroke-linejoin:round}";

/// The width of a text of so many pixels' size in a font of fixed width.
fn text_width(text: &str, size: i32) -> i32 {
    // Such fonts are three fifths as wide as high, or a little more.
    (text.chars().count() as i32 * size * 61 + 99) / 100
}

/// Text within an element. What XML has no way to write is replaced.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\t' | '\n' => out.push(c),
            '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Draws a plan.
pub fn svg(plan: &Plan) -> String {
    let wires = wires(plan);
    let page = page(plan, &wires);
    let routes = routes(plan, &page, &wires);
    let sheet = Sheet::new(plan, &wires, &page, &routes);
    let mut out = String::new();
    sheet.draw(&mut out);
    out
}

/// Where things are down the page.
struct Sheet<'a> {
    plan: &'a Plan,
    wires: &'a [Wire],
    page: &'a Page,
    routes: &'a Routes,
    rows: Vec<Row>,
    /// The top of every gap.
    gaps: Vec<i32>,
    /// The left end of the rows.
    left: i32,
    width: i32,
    height: i32,
}

/// The places of a row.
#[derive(Clone, Copy)]
struct Row {
    rail: i32,
    cards: i32,
    /// How many chips are around one another.
    depth: i32,
}

/// A line from the top of a gap straight down, which a label should not lie on.
struct Down {
    x: i32,
    to: i32,
}

impl<'a> Sheet<'a> {
    fn new(plan: &'a Plan, wires: &'a [Wire], page: &'a Page, routes: &'a Routes) -> Self {
        let mut y = MARGIN + HEADER;
        let mut rows = Vec::new();
        let mut gaps = Vec::new();
        for (rails, tracks) in page.rows.iter().zip(&routes.tracks) {
            gaps.push(y);
            let rail = y + height(*tracks);
            let depth = rails
                .iter()
                .flat_map(|rail| &rail.frames)
                .map(|frame| frame.depth + 1)
                .max()
                .unwrap_or(0);
            let row = Row {
                rail,
                cards: rail + RAIL + HANG + FRAME_TOP * depth,
                depth,
            };
            let cards = rails
                .iter()
                .flat_map(|rail| &rail.cards)
                .map(|card| row.cards + bottom(card));
            let frames = rails
                .iter()
                .flat_map(|rail| rail.frames.iter().map(|frame| row.frame_end(rail, frame)));
            y = cards.chain(frames).max().unwrap_or(rail + RAIL);
            rows.push(row);
        }
        gaps.push(y);
        let last = routes.tracks.last().copied().unwrap_or_default();
        let (left, right) = routes.columns;
        let beside = |columns: usize, pitch: i32| {
            if columns > 0 {
                columns as i32 * pitch + 8
            } else {
                0
            }
        };
        let start = MARGIN + beside(left, BUS_PITCH);
        let words = text_width(&plan.summary, NAME)
            .max(text_width(&plan.name, 22))
            .max(420);
        let drawn = start + page.width + beside(right, COLUMN) + MARGIN;
        Self {
            plan,
            wires,
            page,
            routes,
            rows,
            gaps,
            left: start,
            width: drawn.max(words + 2 * MARGIN),
            height: y + height(last) + FOOTER + MARGIN / 2,
        }
    }

    fn draw(&self, out: &mut String) {
        let (w, h) = (self.width, self.height);
        let _ = writeln!(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}\" height=\"{h}\" viewBox=\"0 0 {w} {h}\">\n\
            <title>{}</title>\n<style>{STYLE}</style>\n<rect width=\"{w}\" height=\"{h}\" fill=\"#fff\"/>",
            escaped(&format!("{}: {}", self.plan.name, self.plan.summary))
        );
        text(out, "title", MARGIN, MARGIN + 14, &self.plan.name);
        text(out, "note", MARGIN, MARGIN + 34, &self.plan.summary);
        for (rails, row) in self.page.rows.iter().zip(&self.rows) {
            for rail in rails {
                for frame in &rail.frames {
                    self.frame(out, row, rail, frame);
                }
            }
        }
        for (rails, row) in self.page.rows.iter().zip(&self.rows) {
            for rail in rails {
                self.rail(out, row, rail);
            }
        }
        for (bus, route) in &self.routes.buses {
            let _ = writeln!(
                out,
                "<g class=\"bus {}\"><title>{}</title>",
                class(self.kind(Some(*bus))),
                escaped(&self.plan.bus(*bus))
            );
            let _ = writeln!(out, "<path d=\"{}\"/></g>", self.path(route, false));
        }
        for (wire, route) in self.wires.iter().zip(&self.routes.wires) {
            self.wire(out, wire, route);
        }
        for (rails, row) in self.page.rows.iter().zip(&self.rows) {
            for card in rails.iter().flat_map(|rail| &rail.cards) {
                self.card(out, row, card);
            }
        }
        self.labels(out);
        self.legend(out);
        out.push_str("</svg>\n");
    }

    fn kind(&self, bus: Option<Bus>) -> Option<BusKind> {
        match bus? {
            Bus::System => Some(BusKind::System),
            Bus::Port(device, port) => {
                let ports = &self.plan.devices.get(device)?.interface.ports;
                Some(ports.get(usize::from(port.0))?.kind)
            }
        }
    }

    fn rail(&self, out: &mut String, row: &Row, rail: &Rail) {
        let kind = self.kind(rail.bus);
        let (x, y) = (self.left + rail.x, row.rail);
        let _ = writeln!(
            out,
            "<g class=\"bus {}\"><title>{}</title>",
            class(kind),
            escaped(&rail.label)
        );
        if !rail.cards.is_empty() {
            let hangs = rail.cards.iter().map(|card| {
                format!(
                    "M{} {}V{}",
                    self.left + card.x + card.width / 2,
                    y + RAIL,
                    row.cards
                )
            });
            let _ = writeln!(out, "<path d=\"{}\"/>", hangs.collect::<String>());
        }
        rect(out, x, y, rail.width, RAIL, 4);
        text(out, "name", x + 10, y + 14, &rail.label);
        let words = match kind {
            Some(BusKind::System) => "system",
            Some(BusKind::Isa) => "ISA",
            Some(BusKind::Pci) => "PCI",
            Some(BusKind::I2c) => "I²C",
            Some(BusKind::Ide) => "IDE",
            None => "",
        };
        text(
            out,
            "small",
            x + 20 + text_width(&rail.label, NAME),
            y + 14,
            words,
        );
        out.push_str("</g>\n");
    }

    fn frame(&self, out: &mut String, row: &Row, rail: &Rail, frame: &Frame) {
        let top = row.cards - FRAME_TOP * (row.depth - frame.depth);
        let x = self.left + frame.x;
        let _ = writeln!(
            out,
            "<g class=\"chip\"><title>{}</title>",
            escaped(&frame.name)
        );
        rect(
            out,
            x,
            top,
            frame.width,
            row.frame_end(rail, frame) - top,
            6,
        );
        text(out, "small", x + 6, top + 11, &frame.name);
        out.push_str("</g>\n");
    }

    fn card(&self, out: &mut String, row: &Row, card: &Card) {
        let device = &self.plan.devices[card.device];
        let (x, y) = (self.left + card.x, row.cards);
        let mut about = format!(
            "{}: {}\n{}",
            device.path, device.entry.name, device.entry.summary
        );
        for (name, value) in device.props.all().filter(|(_, value)| !value.is_null()) {
            let _ = write!(about, "\n{name} = {value}");
        }
        let _ = writeln!(out, "<g class=\"card\"><title>{}</title>", escaped(&about));
        rect(out, x, y, card.width, card.height, 3);
        let mut line = y + PAD + NAME - 2;
        text(out, "name", x + PAD, line, &device.path);
        line += LINE + 1;
        text(out, "small", x + PAD, line, device.entry.name);
        for place in &card.places {
            line += LINE;
            text(
                out,
                if place.dim { "small dim" } else { "small" },
                x + PAD,
                line,
                &place.text,
            );
        }
        line += 6;
        for parts in &card.parts {
            let mut at = x + PAD;
            for part in parts {
                let width = place::part_width(part);
                let _ = writeln!(
                    out,
                    "<g class=\"part\"><title>{}</title>",
                    escaped(&format!("{}.{part}", device.path))
                );
                rect(out, at, line, width, PART - 3, 2);
                text(out, "tiny", at + 5, line + 10, part);
                out.push_str("</g>\n");
                at += width + 4;
            }
            line += PART;
        }
        for stub in &card.stubs {
            let (x, end) = (self.left + stub.x, y + card.height);
            match stub.what {
                What::Port(_) => text(out, "tiny middle", x, end - 5, &stub.label),
                What::Plug { slot, width } => {
                    text(out, "tiny middle", x, end - 5, &stub.label);
                    self.plug(out, x, end, slot, width);
                }
                What::Pin { .. } => {
                    let _ = writeln!(
                        out,
                        "<text class=\"tiny\" transform=\"translate({} {}) rotate(-90)\">{}</text>",
                        x + 3,
                        end - 4,
                        escaped(&stub.label)
                    );
                }
            }
        }
        out.push_str("</g>\n");
    }

    fn plug(&self, out: &mut String, x: i32, y: i32, slot: usize, width: i32) {
        let slot = &self.plan.slots[slot];
        let kind = slot_kind(slot.kind);
        let default = slot
            .default
            .as_ref()
            .map(|default| format!(", {default} if a run does not say"));
        let about = format!("{}: {kind}{}", slot.name, default.unwrap_or_default());
        let _ = writeln!(
            out,
            "<g class=\"plug\"><title>{}</title><path d=\"M{} {y}v7M{} {y}v7\"/>",
            escaped(&about),
            x - 3,
            x + 3
        );
        rect(out, x - width / 2, y + 7, width, PLUG - 11, 7);
        text(out, "tiny middle", x, y + 18, &slot.name);
        out.push_str("</g>\n");
    }

    /// The height of a track in a gap.
    fn track(&self, gap: usize, track: usize, wire: bool) -> i32 {
        let tracks = self.routes.tracks[gap];
        self.gaps[gap]
            + if wire {
                ARROWS + WIRE_PITCH * (track as i32 + 1)
            } else {
                wires_height(tracks) + 8 + BUS_PITCH * track as i32
            }
    }

    /// Where a connection comes from the cards above a gap, or ends at a rail below it.
    fn end(&self, gap: usize, point: Point) -> i32 {
        if point.at == At::Rail {
            return self.rows[gap].rail;
        }
        let row = gap - 1;
        let cards = self.page.rows[row].iter().flat_map(|rail| &rail.cards);
        let card = cards
            .filter(|card| (card.x..=card.x + card.width).contains(&point.x))
            .map(|card| card.height)
            .next();
        self.rows[row].cards + card.unwrap_or_default()
    }

    /// A connection's track and how far along it reaches.
    fn reach(&self, route: &Route, gap: usize, run: &Run, wire: bool) -> Option<(i32, i32, i32)> {
        let y = self.track(gap, run.track?, wire);
        let column = route.column.map(|column| self.column(column, wire));
        let xs = || {
            run.points
                .iter()
                .map(|point| self.left + point.x)
                .chain(column)
        };
        Some((y, xs().min()?, xs().max()?))
    }

    fn column(&self, column: usize, wire: bool) -> i32 {
        if wire {
            self.left + self.page.width + 8 + COLUMN * column as i32
        } else {
            self.left - 12 - BUS_PITCH * column as i32
        }
    }

    fn path(&self, route: &Route, wire: bool) -> String {
        let mut path = String::new();
        let mut heights = Vec::new();
        for (gap, run) in &route.runs {
            let reach = self.reach(route, *gap, run, wire);
            if let Some((y, from, to)) = reach {
                let _ = write!(path, "M{from} {y}H{to}");
                heights.push(y);
            }
            let mut points = run.points.clone();
            points.sort_unstable();
            match (reach, &points[..]) {
                (Some((y, ..)), points) => {
                    for point in points {
                        let _ = write!(
                            path,
                            "M{} {}V{y}",
                            self.left + point.x,
                            self.end(*gap, *point)
                        );
                    }
                }
                (None, [above, .., below]) => {
                    let (from, to) = (self.end(*gap, *above), self.end(*gap, *below));
                    let _ = write!(path, "M{} {from}V{to}", self.left + above.x);
                }
                _ => {}
            }
        }
        if let (Some(column), [first, .., last]) = (route.column, &heights[..]) {
            let _ = write!(path, "M{} {first}V{last}", self.column(column, wire));
        }
        path
    }

    fn wire(&self, out: &mut String, wire: &Wire, route: &Route) {
        let several = if wire.lines > 1 { " several" } else { "" };
        let name = wire.name(self.plan, usize::MAX);
        let _ = writeln!(
            out,
            "<g class=\"wire{several}\"><title>{}</title>",
            escaped(&name)
        );
        let _ = writeln!(out, "<path d=\"{}\"/>", self.path(route, true));
        for (gap, run) in &route.runs {
            let Some((y, from, to)) = self.reach(route, *gap, run, true) else {
                continue;
            };
            for point in &run.points {
                let x = self.left + point.x;
                if from < x && x < to {
                    let _ = writeln!(out, "<circle cx=\"{x}\" cy=\"{y}\" r=\"2.5\"/>");
                }
                if point.at == At::Input {
                    let tip = self.end(*gap, *point);
                    let _ = writeln!(
                        out,
                        "<polygon points=\"{x},{tip} {},{base} {},{base}\"/>",
                        x - 4,
                        x + 4,
                        base = tip + 8
                    );
                }
            }
        }
        if let Some(column) = route.column {
            let (first, last) = (route.runs.keys().next(), route.runs.keys().next_back());
            let between = route
                .runs
                .iter()
                .filter(|(gap, _)| Some(*gap) != first && Some(*gap) != last);
            for (y, ..) in between.filter_map(|(gap, run)| self.reach(route, *gap, run, true)) {
                let _ = writeln!(
                    out,
                    "<circle cx=\"{}\" cy=\"{y}\" r=\"2.5\"/>",
                    self.column(column, true)
                );
            }
        }
        out.push_str("</g>\n");
    }

    /// What lies across the tracks of every gap, from left to right.
    fn downs(&self) -> Vec<Vec<Down>> {
        let mut downs: Vec<Vec<Down>> = self.gaps.iter().map(|_| Vec::new()).collect();
        let buses = self.routes.buses.values().map(|route| (route, false));
        let wires = self.routes.wires.iter().map(|route| (route, true));
        for (route, wire) in buses.chain(wires) {
            for (gap, run) in &route.runs {
                let rail = || self.rows.get(*gap).map_or(i32::MAX, |row| row.rail);
                let to = run
                    .track
                    .map_or_else(rail, |track| self.track(*gap, track, wire));
                let above = run.points.iter().filter(|point| point.at != At::Rail);
                downs[*gap].extend(above.map(|point| Down {
                    x: self.left + point.x,
                    to,
                }));
            }
        }
        for downs in &mut downs {
            downs.sort_by_key(|down| down.x);
        }
        downs
    }

    /// The wires' names, each on its tracks where the fewest lines cross it.
    fn labels(&self, out: &mut String) {
        let downs = self.downs();
        let right = self.left + self.page.width;
        out.push_str("<g class=\"wire\">\n");
        for (wire, route) in self.wires.iter().zip(&self.routes.wires) {
            let label = wire.name(self.plan, LABEL_ENDS);
            let width = text_width(&label, TINY);
            for (gap, run) in &route.runs {
                let Some((y, from, to)) = self.reach(route, *gap, run, true) else {
                    continue;
                };
                let (from, to) = route::with_label(self.plan, wire, from, to.min(right), right);
                let downs = &downs[*gap];
                let crossing = |x: i32| {
                    let first = downs.partition_point(|down| down.x < x - 2);
                    let near = downs[first..]
                        .iter()
                        .take_while(|down| down.x <= x + width + 2);
                    near.filter(|down| y - TINY <= down.to).count()
                };
                let after = downs.iter().map(|down| down.x + 4);
                let inside = after.filter(|x| *x > from && x + width + 4 <= to);
                let best = [from + 4]
                    .into_iter()
                    .chain(inside)
                    .min_by_key(|x| (crossing(*x), *x));
                text(out, "tiny", best.unwrap_or(from + 4), y - 3, &label);
            }
        }
        out.push_str("</g>\n");
    }

    /// What the signs that are used mean, and the slots that no device has.
    fn legend(&self, out: &mut String) {
        let lines = |most: bool| self.wires.iter().any(|wire| (wire.lines > 1) == most);
        let devices = &self.plan.devices;
        let plugged = devices.iter().flat_map(|device| &device.backends).flatten();
        let plugged: BTreeSet<usize> = plugged.copied().collect();
        let slots = self.plan.slots.iter().enumerate();
        let loose: Vec<_> = slots.filter(|(slot, _)| !plugged.contains(slot)).collect();
        let mut parts = devices.iter().flat_map(|device| &device.interface.parts);
        // Each as it is drawn: a line, or a box with round corners.
        let signs = [
            (lines(false), "wire", None, "line"),
            (lines(true), "wire several", None, "several lines"),
            (
                !plugged.is_empty(),
                "plug",
                Some(7),
                "slot: a run plugs in here",
            ),
            (parts.any(|part| part.present), "part", Some(2), "part"),
        ];
        let y = self.height - MARGIN / 2 - 8;
        let mut x = MARGIN;
        for (_, class, round, words) in signs.into_iter().filter(|(shown, ..)| *shown) {
            let _ = writeln!(out, "<g class=\"{class}\">");
            match round {
                Some(round) => rect(out, x, y - 11, 28, 14, round),
                None => {
                    let _ = writeln!(out, "<path d=\"M{x} {}h28\"/>", y - 4);
                }
            }
            out.push_str("</g>\n");
            text(out, "note", x + 34, y, words);
            x += 34 + text_width(words, NAME) + 16;
        }
        if !loose.is_empty() {
            let names: Vec<_> = loose
                .into_iter()
                .map(|(_, slot)| slot.name.as_str())
                .collect();
            text(
                out,
                "note",
                x,
                y,
                &format!("slots without a device: {}", names.join(", ")),
            );
        }
    }
}

impl Row {
    /// Where a chip's frame ends.
    fn frame_end(&self, rail: &Rail, frame: &Frame) -> i32 {
        let cards = rail.cards[frame.cards.clone()].iter().map(bottom);
        self.cards + cards.max().unwrap_or_default() + FRAME_PAD * (self.depth - frame.depth)
    }
}

/// A card's height with its plugs.
fn bottom(card: &Card) -> i32 {
    let plugs = card
        .stubs
        .iter()
        .any(|stub| matches!(stub.what, What::Plug { .. }));
    card.height + if plugs { PLUG } else { 0 }
}

fn wires_height(tracks: Tracks) -> i32 {
    if tracks.wires > 0 {
        ARROWS + WIRE_PITCH * tracks.wires as i32 + 8
    } else {
        0
    }
}

fn height(tracks: Tracks) -> i32 {
    wires_height(tracks) + 8 + BUS_PITCH * tracks.buses as i32 + 10
}

fn class(kind: Option<BusKind>) -> &'static str {
    match kind {
        Some(BusKind::System) => "system",
        Some(BusKind::Isa) => "isa",
        Some(BusKind::Pci) => "pci",
        Some(BusKind::I2c) => "i2c",
        Some(BusKind::Ide) => "ide",
        None => "none",
    }
}

fn rect(out: &mut String, x: i32, y: i32, width: i32, height: i32, round: i32) {
    let _ = writeln!(
        out,
        "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"{round}\"/>"
    );
}

fn text(out: &mut String, class: &str, x: i32, y: i32, words: &str) {
    let _ = writeln!(
        out,
        "<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{}</text>",
        escaped(words)
    );
}

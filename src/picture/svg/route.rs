//! Where connections run: along tracks in the gaps between the rows, and from gap to gap in columns beside them, so that no
//! two lie on one another.
//!
//! Gap `n` is above row `n`. Its upper part has the tracks of the wires, all of whose ends come from the cards above it; its
//! lower part has the tracks of the buses, which come from cards above it too, and end at rails below it.

use std::collections::{BTreeMap, BTreeSet};

use super::place::{Page, What};
use super::text_width;
use super::wires::Wire;
use super::{LABEL_ENDS, place};
use crate::plan::{Bus, Plan};

/// Between tracks side by side in one line, and between vertical lines.
const APART: i32 = 10;
const APART_DOWN: i32 = 6;

/// An end of a connection in a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    pub x: i32,
    pub at: At,
}

/// What a connection ends at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum At {
    /// An output or a port of a card above the gap.
    Output,
    /// An input of a card above the gap.
    Input,
    /// A rail below the gap.
    Rail,
}

/// A connection in a gap.
#[derive(Debug, Default)]
pub struct Run {
    pub points: Vec<Point>,
    /// The track along which they meet; `None` if they are straight above one another.
    pub track: Option<usize>,
}

/// A connection: a wire, or a bus from its device to its rails.
#[derive(Debug, Default)]
pub struct Route {
    /// By gap.
    pub runs: BTreeMap<usize, Run>,
    /// The column that joins them, if there are several.
    pub column: Option<usize>,
}

/// How many tracks a gap has.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tracks {
    pub wires: usize,
    pub buses: usize,
}

/// All connections.
pub struct Routes {
    pub buses: BTreeMap<Bus, Route>,
    /// In the order of the wires.
    pub wires: Vec<Route>,
    /// By gap.
    pub tracks: Vec<Tracks>,
    /// How many columns are left of the rows, for buses, and right of them, for wires.
    pub columns: (usize, usize),
}

/// Lengths of lines that are taken, by their start.
type Taken = BTreeMap<i32, i32>;

/// Takes the first line on which a length is free.
fn take(lines: &mut Vec<Taken>, from: i32, to: i32, apart: i32) -> usize {
    let free = |line: &Taken| {
        line.range(..to + apart)
            .next_back()
            .is_none_or(|(_, end)| end + apart <= from)
    };
    let line = lines.iter().position(free).unwrap_or(lines.len());
    if line == lines.len() {
        lines.push(Taken::new());
    }
    lines[line].insert(from, to);
    line
}

/// Routes a page's buses and wires.
pub fn routes(plan: &Plan, page: &Page, wires: &[Wire]) -> Routes {
    let gaps = page.rows.len() + 1;
    let mut buses = buses(page);
    let mut lines: Vec<Route> = wires.iter().map(|_| Route::default()).collect();
    for (row, rails) in page.rows.iter().enumerate() {
        for stub in rails
            .iter()
            .flat_map(|rail| &rail.cards)
            .flat_map(|card| &card.stubs)
        {
            if let What::Pin { wire, input } = stub.what {
                let at = if input { At::Input } else { At::Output };
                lines[wire]
                    .runs
                    .entry(row + 1)
                    .or_default()
                    .points
                    .push(Point { x: stub.x, at });
            }
        }
    }
    let left = columns(buses.values_mut());
    let right = columns(lines.iter_mut());
    let mut tracks = vec![Tracks::default(); gaps];
    let mut bent: Vec<Vec<Length<'_>>> = (0..gaps).map(|_| Vec::new()).collect();
    for route in buses.values_mut() {
        let column = route.column.is_some();
        for (gap, run) in &mut route.runs {
            let Some((from, to)) = span(run) else {
                continue;
            };
            if column || from < to {
                let from = if column { -1 } else { from };
                bent[*gap].push(Length { from, to, run });
            }
        }
    }
    for (tracks, lengths) in tracks.iter_mut().zip(bent) {
        tracks.buses = assign(lengths);
    }
    let mut wired: Vec<Vec<Length<'_>>> = (0..gaps).map(|_| Vec::new()).collect();
    for (route, wire) in lines.iter_mut().zip(wires) {
        let column = route.column.is_some();
        for (gap, run) in &mut route.runs {
            let Some((from, to)) = span(run) else {
                continue;
            };
            let to = if column { page.width } else { to };
            let (from, to) = with_label(plan, wire, from, to, page.width);
            wired[*gap].push(Length { from, to, run });
        }
    }
    for (tracks, lengths) in tracks.iter_mut().zip(wired) {
        tracks.wires = assign(lengths);
    }
    Routes {
        buses,
        wires: lines,
        tracks,
        columns: (left, right),
    }
}

/// The length of a track with room for its label.
pub fn with_label(plan: &Plan, wire: &Wire, from: i32, to: i32, width: i32) -> (i32, i32) {
    let label = text_width(&wire.name(plan, LABEL_ENDS), place::TINY) + 8;
    if to - from >= label {
        (from, to)
    } else if from + label <= width {
        (from, from + label)
    } else {
        (to - label, to)
    }
}

fn span(run: &Run) -> Option<(i32, i32)> {
    let xs = || run.points.iter().map(|point| point.x);
    Some((xs().min()?, xs().max()?))
}

/// A run that needs a track of this length.
struct Length<'r> {
    from: i32,
    to: i32,
    run: &'r mut Run,
}

/// Gives every run a track, the short ones the upper ones; how many there are.
fn assign(mut lengths: Vec<Length<'_>>) -> usize {
    lengths.sort_by_key(|length| (length.to - length.from, length.from));
    let mut lines = Vec::new();
    for Length { from, to, run } in lengths {
        run.track = Some(take(&mut lines, from, to, APART));
    }
    lines.len()
}

/// Gives every connection that is in several gaps a column, the short ones the inner ones; how many there are.
fn columns<'r>(routes: impl Iterator<Item = &'r mut Route>) -> usize {
    let mut several: Vec<_> = routes
        .filter_map(|route| {
            let (first, last) = (
                *route.runs.keys().next()? as i32,
                *route.runs.keys().next_back()? as i32,
            );
            (first < last).then_some((first, last, route))
        })
        .collect();
    several.sort_by_key(|(first, last, _)| (last - first, *first));
    let mut lines = Vec::new();
    for (first, last, route) in several {
        route.column = Some(take(&mut lines, first, last, 1));
    }
    lines.len()
}

/// The buses from their devices to their rails. The system bus is here if it is broken into several.
fn buses(page: &Page) -> BTreeMap<Bus, Route> {
    let mut buses: BTreeMap<Bus, Route> = BTreeMap::new();
    // The vertical lines of a gap.
    let mut down: Vec<BTreeSet<i32>> = vec![BTreeSet::new(); page.rows.len() + 1];
    for (row, rails) in page.rows.iter().enumerate() {
        for card in rails.iter().flat_map(|rail| &rail.cards) {
            for stub in &card.stubs {
                if let What::Port(port) = stub.what {
                    let run = buses
                        .entry(Bus::Port(card.device, port))
                        .or_default()
                        .runs
                        .entry(row + 1);
                    run.or_default().points.push(Point {
                        x: stub.x,
                        at: At::Output,
                    });
                    down[row + 1].insert(stub.x);
                }
            }
        }
    }
    let pieces = page
        .rows
        .iter()
        .flatten()
        .filter(|rail| rail.bus == Some(Bus::System))
        .count();
    for (gap, rails) in page.rows.iter().enumerate() {
        for rail in rails {
            let Some(bus) = rail.bus.filter(|bus| *bus != Bus::System || pieces > 1) else {
                continue;
            };
            let (left, right) = (rail.x + APART, rail.x + rail.width - APART);
            let run = buses.entry(bus).or_default().runs.entry(gap).or_default();
            let above = run
                .points
                .iter()
                .find(|point| point.at != At::Rail)
                .map(|point| point.x);
            let x = match above {
                Some(x) if (left..=right).contains(&x) => x,
                above => free(&down[gap], above.unwrap_or(left), left, right),
            };
            run.points.push(Point { x, at: At::Rail });
            down[gap].insert(x);
        }
    }
    buses
}

/// The place for a vertical line nearest to the one wished for; that one if there is no room.
fn free(taken: &BTreeSet<i32>, wish: i32, left: i32, right: i32) -> i32 {
    let wish = wish.clamp(left, right);
    let near = (0..=right - left).flat_map(|by| [wish - by, wish + by]);
    let mut inside = near.filter(|x| (left..=right).contains(x));
    let is_free = |x: &i32| {
        taken
            .range(x - APART_DOWN + 1..x + APART_DOWN)
            .next()
            .is_none()
    };
    inside.find(is_free).unwrap_or(wish)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_meets_on_a_line_takes_another() {
        let mut lines = Vec::new();
        for (from, to, expected) in [
            (0, 100, 0),
            (109, 120, 1),
            (130, 150, 0),
            (110, 120, 0),
            (0, 99, 1),
            (-50, -10, 0),
            (-50, 200, 2),
        ] {
            assert_eq!(take(&mut lines, from, to, 10), expected, "{from} to {to}");
        }
    }

    #[test]
    fn vertical_lines_keep_apart() {
        let taken = BTreeSet::from([100, 112]);
        for (wish, expected) in [
            (50, 50),
            (100, 94),
            (106, 106),
            (110, 106),
            (300, 190),
            (0, 10),
        ] {
            assert_eq!(free(&taken, wish, 10, 190), expected, "{wish}");
        }
        assert_eq!(free(&taken, 100, 99, 101), 100);
    }
}

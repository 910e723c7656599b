//! Which blocks make up a loop.

use crate::generate::{Member, To};
use crate::isa::Straight;

/// Blocks in a loop at most.
const MOST: usize = 128;

/// A block that is reached.
struct Found<B> {
    unit: u16,
    block: B,
    /// The blocks of the page that may follow it.
    next: Vec<u16>,
}

/// The blocks that are reached from the one at `here` and lead back to it without leaving the page, in the order of their
/// places, given the `known` blocks of the page and their content. `None` if there are none, or too many.
pub fn loop_around<B: Straight>(
    here: To,
    unit_bits: u8,
    known: &[u16],
    decoded: impl Fn(u16) -> Option<B>,
) -> Option<Vec<Member<B>>> {
    let mut found = reached(here, unit_bits, known, decoded)?;
    // Those that lead back, or to one that does.
    let mut inside = Vec::new();
    loop {
        let before = inside.len();
        for Found { unit, next, .. } in &found {
            let leads = |next: &u16| *next == here.unit || inside.contains(next);
            if !inside.contains(unit) && next.iter().any(leads) {
                inside.push(*unit);
            }
        }
        if inside.len() == before {
            break;
        }
    }
    if !inside.contains(&here.unit) || inside.len() > MOST {
        return None;
    }
    found.retain(|f| inside.contains(&f.unit));
    found.sort_by_key(|f| f.unit);
    // A jump back spans a loop. Computed ones lead to and fro.
    let spans: Vec<(u16, u16)> = found
        .iter()
        .filter(|f| !f.block.is_computed())
        .flat_map(|f| f.next.iter().map(|next| (*next, f.unit)))
        .filter(|(to, from)| to <= from && inside.contains(to))
        .collect();
    let members = found.into_iter().map(|Found { unit, block, .. }| {
        let around = spans.iter().filter(|s| (s.0..=s.1).contains(&unit));
        let depth = around.count().max(1) as u32;
        Member { unit, block, depth }
    });
    Some(members.collect())
}

/// The blocks of the page that are reached from the one at `here`, and that one.
fn reached<B: Straight>(
    here: To,
    unit_bits: u8,
    known: &[u16],
    decoded: impl Fn(u16) -> Option<B>,
) -> Option<Vec<Found<B>>> {
    let following = |unit: u16, block: &B| -> Vec<u16> {
        let from = To { unit, ..here };
        let next = block.followers().into_iter();
        let next = next.filter_map(|offset| from.beside(offset, unit_bits));
        next.map(|to| to.unit).collect()
    };
    // What a computed jump may lead to: blocks that no other one leads to.
    let entered = || -> Option<Vec<u16>> {
        let mut others = known.to_vec();
        for unit in known {
            let next = following(*unit, &decoded(*unit)?);
            others.retain(|other| !next.contains(other));
        }
        Some(others)
    };
    let mut computed = None;
    let mut found = Vec::<Found<B>>::new();
    let mut left = vec![here.unit];
    while let Some(unit) = left.pop() {
        if !known.contains(&unit) || found.iter().any(|f| f.unit == unit) {
            continue;
        }
        let block = decoded(unit)?;
        let mut next = following(unit, &block);
        if block.is_computed() {
            if computed.is_none() {
                computed = Some(entered()?);
            }
            next.extend(computed.iter().flatten());
        }
        left.extend(&next);
        found.push(Found { unit, block, next });
    }
    Some(found)
}

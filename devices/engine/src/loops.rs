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
#[cfg(test)]
mod tests {
    use super::*;

    /// A block of one unit, by what follows it.
    #[derive(Debug, Clone)]
    enum Block {
        /// What is behind it.
        Falls,
        /// That, or what is at this unit.
        Branches(u16),
        Computed,
        Returns,
    }

    #[derive(Debug)]
    struct At(u16, Block);

    impl Straight for At {
        fn instructions(&self) -> u8 {
            1
        }
        fn bytes(&self) -> u32 {
            4
        }
        fn taken(&self) -> Option<u32> {
            match self.1 {
                Block::Branches(to) => {
                    Some((u32::from(to) * 4).wrapping_sub(u32::from(self.0) * 4))
                }
                _ => None,
            }
        }
        fn followers(&self) -> Vec<u32> {
            match self.1 {
                Block::Falls => vec![4],
                Block::Branches(_) => self.taken().into_iter().chain([4]).collect(),
                Block::Computed | Block::Returns => Vec::new(),
            }
        }
        fn is_computed(&self) -> bool {
            matches!(self.1, Block::Computed)
        }
    }

    use Block::*;

    /// The loop around a unit of a page with these blocks, and how deep its blocks are.
    fn around(here: u16, known: &[u16], blocks: &[Block]) -> Option<Vec<(u16, u32)>> {
        let to = To {
            home: (0, 0),
            kind: 0,
            unit: here,
        };
        let decoded = |unit: u16| Some(At(unit, blocks.get(usize::from(unit))?.clone()));
        let members = loop_around(to, 2, known, decoded)?;
        Some(members.into_iter().map(|m| (m.unit, m.depth)).collect())
    }

    #[test]
    fn loops_in_loops() {
        let blocks = [Falls, Falls, Branches(2), Falls, Branches(1), Returns];
        let known = [0, 1, 2, 3, 4, 5];
        let whole = Some(vec![(1, 1), (2, 2), (3, 1), (4, 1)]);
        assert_eq!(around(2, &known, &blocks), whole);
        assert_eq!(around(4, &known, &blocks), whole);
        // What leads in or out is not part of it.
        assert_eq!(around(0, &known, &blocks), None);
        assert_eq!(around(5, &known, &blocks), None);
        // A block that was never executed.
        assert_eq!(around(2, &[2, 4, 5], &blocks), Some(vec![(2, 1)]));
    }

    #[test]
    fn computed_jumps_lead_to_what_nothing_else_leads_to() {
        let blocks = [
            Computed,
            Falls,
            Computed,
            Branches(6),
            Computed,
            Falls,
            Returns,
        ];
        let known = [0, 1, 2, 3, 4, 6];
        assert_eq!(
            around(0, &known, &blocks),
            Some(vec![(0, 1), (1, 1), (2, 1), (3, 1), (4, 1)])
        );
    }
}

//! Which blocks make up a loop.

use crate::block::To;
use crate::generate::Member;
use crate::ir::Block;

/// Blocks in a loop at most.
const MOST: usize = 128;

/// A block that is reached.
struct Found {
    word: u16,
    block: Block,
    /// The blocks of the page that may follow it.
    next: Vec<u16>,
}

/// The blocks that are reached from the one at `here` and lead back to it without leaving the page, in the order of their
/// places, given the `known` blocks of the page and their content. `None` if there are none, or too many.
pub fn loop_around(
    here: To,
    known: &[u16],
    decoded: impl Fn(u16) -> Option<Block>,
) -> Option<Vec<Member>> {
    let mut found = reached(here, known, decoded)?;
    // Those that lead back, or to one that does.
    let mut inside = Vec::new();
    loop {
        let before = inside.len();
        for Found { word, next, .. } in &found {
            let leads = |next: &u16| *next == here.word || inside.contains(next);
            if !inside.contains(word) && next.iter().any(leads) {
                inside.push(*word);
            }
        }
        if inside.len() == before {
            break;
        }
    }
    if !inside.contains(&here.word) || inside.len() > MOST {
        return None;
    }
    found.retain(|f| inside.contains(&f.word));
    found.sort_by_key(|f| f.word);
    // A jump back spans a loop. Computed ones lead to and fro.
    let spans: Vec<(u16, u16)> = found
        .iter()
        .filter(|f| !f.block.is_computed())
        .flat_map(|f| f.next.iter().map(|next| (*next, f.word)))
        .filter(|(to, from)| to <= from && inside.contains(to))
        .collect();
    let members = found.into_iter().map(|Found { word, block, .. }| {
        let around = spans.iter().filter(|s| (s.0..=s.1).contains(&word));
        let depth = around.count().max(1) as u32;
        Member { word, block, depth }
    });
    Some(members.collect())
}

/// The blocks of the page that are reached from the one at `here`, and that one.
fn reached(here: To, known: &[u16], decoded: impl Fn(u16) -> Option<Block>) -> Option<Vec<Found>> {
    let following = |word: u16, block: &Block| -> Vec<u16> {
        let from = To { word, ..here };
        let next = block.followers().filter_map(|offset| from.beside(offset));
        next.map(|to| to.word).collect()
    };
    // What a computed jump may lead to: blocks that no other one leads to.
    let entered = || -> Option<Vec<u16>> {
        let mut others = known.to_vec();
        for word in known {
            let next = following(*word, &decoded(*word)?);
            others.retain(|other| !next.contains(other));
        }
        Some(others)
    };
    let mut computed = None;
    let mut found = Vec::<Found>::new();
    let mut left = vec![here.word];
    while let Some(word) = left.pop() {
        if !known.contains(&word) || found.iter().any(|f| f.word == word) {
            continue;
        }
        let block = decoded(word)?;
        let mut next = following(word, &block);
        if block.is_computed() {
            if computed.is_none() {
                computed = Some(entered()?);
            }
            next.extend(computed.iter().flatten());
        }
        left.extend(&next);
        found.push(Found { word, block, next });
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::FpMode;
    use crate::translate::translate;

    const NOP: u32 = 0;
    const JR_T0: u32 = 8 << 21 | 8;
    const JR_RA: u32 = 31 << 21 | 8;

    fn bne(from: u16, to: u16) -> u32 {
        5 << 26 | 8 << 21 | u32::from(to.wrapping_sub(from).wrapping_sub(1))
    }

    /// The loop around a word of a page with these words, and how deep its blocks are.
    fn around(here: u16, known: &[u16], words: &[u32]) -> Option<Vec<(u16, u32)>> {
        let to = To {
            home: (0, 0),
            kind: 0,
            word: here,
        };
        let decoded = |word: u16| translate(&words[usize::from(word)..], 64, FpMode::Off);
        let members = loop_around(to, known, decoded)?;
        Some(members.into_iter().map(|m| (m.word, m.depth)).collect())
    }

    #[test]
    fn loops_in_loops() {
        let words = [NOP, NOP, bne(2, 2), NOP, bne(4, 1), NOP, JR_RA, NOP];
        let known = [0, 1, 2, 4, 6];
        assert_eq!(
            around(2, &known, &words),
            Some(vec![(1, 1), (2, 2), (4, 1)])
        );
        assert_eq!(
            around(4, &known, &words),
            Some(vec![(1, 1), (2, 2), (4, 1)])
        );
        // What leads in or out is not part of it.
        assert_eq!(around(0, &known, &words), None);
        assert_eq!(around(6, &known, &words), None);
        // A block that was never executed.
        assert_eq!(around(2, &[2, 4, 6], &words), Some(vec![(2, 1)]));
    }

    #[test]
    fn computed_jumps_lead_to_what_nothing_else_leads_to() {
        let words = [
            JR_T0,
            NOP,
            NOP,
            JR_T0,
            NOP,
            bne(5, 9),
            NOP,
            JR_T0,
            NOP,
            JR_RA,
            NOP,
        ];
        let known = [0, 2, 5, 7, 9];
        assert_eq!(
            around(0, &known, &words),
            Some(vec![(0, 1), (2, 1), (5, 1), (7, 1)])
        );
    }
}

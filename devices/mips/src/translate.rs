//! From instruction words to a [`Block`]: finds its end and resolves delay slots.

use crate::decode::{Decoded, Set, decode};
use crate::ir::{Block, Cond, End, Inst, Kind, SINK, Step};

/// Instructions in a block at most.
pub const MAX: usize = 64;

/// Translates straight code from the start of `words` up to a branch and its slot, the end of `words`, or `max`
/// instructions, of which a branch with its slot may be one more.
///
/// `None` means that the first instruction is a branch, and its slot is not among the words.
pub fn translate(words: &[u32], max: usize, set: Set) -> Option<Block> {
    let max = max.clamp(1, MAX).min(words.len());
    let mut block = Block {
        steps: Vec::with_capacity(8),
        end: End::Fall,
        len: 0,
    };
    for (at, word) in words.iter().take(max).enumerate() {
        let decoded = decode(*word, set);
        let inst = match decoded {
            Decoded::Plain(inst) => inst,
            // A branch that does not fit starts the next block.
            _ if at > 0 && at + 1 >= max => break,
            _ => {
                let slot = slot(*words.get(at + 1)?, set);
                transfer(&mut block, at as u8, decoded, slot);
                block.len = at as u8 + 2;
                return Some(block);
            }
        };
        block.len = at as u8 + 1;
        if !matches!(inst.kind, Kind::Nop) {
            block.steps.push(Step {
                inst,
                at: at as u8,
                slot: false,
            });
        }
        if ends_block(inst.kind) {
            break;
        }
    }
    Some(block)
}

/// The instruction in a delay slot. Control transfers and ERET and WAIT are unpredictable there; they are reserved here.
#[inline(always)]
pub fn slot(word: u32, set: Set) -> Inst {
    match decode(word, set) {
        Decoded::Plain(inst) if !matches!(inst.kind, Kind::Eret | Kind::Wait) => inst,
        _ => Inst::new(Kind::Reserved),
    }
}

/// Nothing after it is ever reached from before it.
fn ends_block(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Syscall | Kind::Break | Kind::Reserved | Kind::Unusable | Kind::Eret | Kind::Wait
    )
}

fn transfer(block: &mut Block, at: u8, decoded: Decoded, slot: Inst) {
    let here = u32::from(at) * 4;
    let mut step = |inst: Inst, slot: bool| {
        if !matches!(inst.kind, Kind::Nop) {
            block.steps.push(Step {
                inst,
                at: at + u8::from(slot),
                slot,
            });
        }
    };
    let link = |register| Inst {
        a: register,
        imm: here + 8,
        ..Inst::new(Kind::Link)
    };
    block.end = match decoded {
        Decoded::Plain(_) => End::Fall,
        Decoded::Branch {
            cond,
            b,
            c,
            link: links,
            likely,
            offset,
        } => {
            let taken = (here + 4).wrapping_add(offset);
            // B and BAL: what is compared is the same, or zero with itself.
            let always = match cond {
                Cond::Eq => b == c,
                Cond::Gez => b == 0,
                _ => false,
            };
            if always {
                if links {
                    step(link(31), false);
                }
                step(slot, true);
                block.end = End::Always { taken };
                return;
            }
            let test = |kind| Inst {
                b,
                c,
                ..Inst::new(kind)
            };
            if links {
                // The condition is tested before the link is written.
                step(test(Kind::Latch(cond)), false);
                step(link(31), false);
            }
            if likely {
                let skip = match links {
                    true => Kind::SkipLatched,
                    false => Kind::Skip(cond),
                };
                step(test(skip), false);
                step(slot, true);
                End::Always { taken }
            } else if links {
                step(slot, true);
                End::Latched { taken }
            } else if slot.leaves(cond, b, c) {
                step(slot, true);
                End::Branch { cond, b, c, taken }
            } else {
                step(test(Kind::Latch(cond)), false);
                step(slot, true);
                End::Latched { taken }
            }
        }
        Decoded::Jump {
            target,
            link: links,
        } => {
            if links {
                step(link(31), false);
            }
            step(slot, true);
            End::Jump { target }
        }
        Decoded::JumpRegister { b, link: to } => {
            let direct = to != b && slot.leaves_registers(b, b);
            if !direct {
                step(
                    Inst {
                        b,
                        ..Inst::new(Kind::LatchTarget)
                    },
                    false,
                );
            }
            if to != SINK {
                step(link(to), false);
            }
            step(slot, true);
            if direct {
                End::Register { b }
            } else {
                End::LatchedRegister
            }
        }
    };
}

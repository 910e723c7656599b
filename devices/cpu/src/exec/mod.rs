//! The interpreter: each step of a [`Block`] becomes an [`Op`] with the function that executes it.
//!
//! A function does its work and calls the function of the next op in its last act, which optimised builds make a jump;
//! unoptimised ones nest calls, no deeper than a block is long. What is rare (misses, faults, devices) is in functions
//! of its own, so that the frequent case needs no stack.

use solderless_model::Cx;

use crate::core::Core;
use crate::ir::{Block, Inst, Kind, Step};

mod alu;
mod flow;
mod fp;
mod memory;
mod system;

pub use fp::Due;

/// How execution left a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By its branch, which was taken.
    Taken,
    /// At its end.
    Fall,
    /// To the address in [`Core::pc`].
    Goto,
    /// To the address in [`Core::pc`], and something has happened that must be looked at first.
    Event,
    /// The same, to wait for an interrupt.
    Wait,
}

/// Executes one op and all that follow in the block.
pub type Handler = fn(&mut Core, &Op, &[Op], &mut Cx<'_>) -> Exit;

/// A step, ready to be executed.
#[derive(Debug, Clone, Copy)]
pub struct Op {
    run: Handler,
    imm: u32,
    imm2: u32,
    a: u8,
    b: u8,
    c: u8,
    /// Instructions from the start of the block.
    pub at: u8,
    /// It is in a delay slot.
    pub slot: bool,
}

/// What functions are chosen by, besides the instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode {
    /// Byte order.
    pub big_endian: bool,
}

/// Goes on with the next op.
#[inline(always)]
fn next(core: &mut Core, rest: &[Op], cx: &mut Cx<'_>) -> Exit {
    match rest {
        [op, rest @ ..] => (op.run)(core, op, rest, cx),
        // The last op of a block does not go on.
        [] => Exit::Event,
    }
}

/// Goes on after an op that needs what it has done to be looked at: outside, unless the branch it is in the slot of is
/// yet to be finished.
#[inline(never)]
fn after(core: &mut Core, op: &Op, rest: &[Op], cx: &mut Cx<'_>) -> Exit {
    if op.slot {
        core.attention();
        next(core, rest, cx)
    } else {
        core.leave(op);
        core.pc = core.pc.wrapping_add(u32::from(op.at) * 4 + 4);
        Exit::Event
    }
}

/// Executes ops from the first one on.
#[inline(always)]
pub fn run(core: &mut Core, ops: &[Op], cx: &mut Cx<'_>) -> Exit {
    next(core, ops, cx)
}

/// Makes ops of a block.
pub fn lower(block: &Block, mode: Mode) -> Box<[Op]> {
    let mut ops: Vec<Op> = Vec::with_capacity(block.steps.len() + 1);
    ops.extend(block.steps.iter().map(|step| op(step, mode)));
    ops.push(flow::end(block));
    ops.into()
}

fn op(step: &Step, mode: Mode) -> Op {
    let Inst {
        kind,
        a,
        b,
        c,
        imm,
        imm2,
    } = step.inst;
    let run = match kind {
        Kind::Fp(op, fmt) => fp::arithmetic(op, fmt),
        kind => alu::handler(kind)
            .or_else(|| memory::handler(kind, mode))
            .or_else(|| flow::handler(kind))
            .or_else(|| system::handler(kind))
            .or_else(|| fp::handler(kind))
            .unwrap_or(system::reserved),
    };
    Op {
        run,
        imm,
        imm2,
        a,
        b,
        c,
        at: step.at,
        slot: step.slot,
    }
}

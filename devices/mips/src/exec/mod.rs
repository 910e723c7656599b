//! The interpreter: each step of a [`Block`] becomes an [`Op`] with the function that executes it.
//!
//! A function does its work and calls the function of the next op in its last act, which optimised builds make a jump;
//! unoptimised ones nest calls, no deeper than a block is long. What is rare (misses, faults, devices) is in functions
//! of its own, so that the frequent case needs no stack.

use solderless_engine::Exit;
use solderless_model::Cx;

use crate::core::Core;
use crate::ir::{Block, Inst, Kind, Step};
use crate::width::Width;

mod alu;
mod flow;
mod fp;
mod memory;
pub mod pair;
mod system;

pub use fp::{Due, due};
pub use memory::{Missed, missed};

/// Executes one op and all that follow in the block.
pub type Handler<W = u32> = fn(&mut Core<W>, &Op<W>, &[Op<W>], &mut Cx<'_>) -> Exit;

/// A step, or two, ready to be executed.
#[derive(Debug, Clone, Copy)]
pub struct Op<W: Width = u32> {
    run: Handler<W>,
    imm: u32,
    imm2: u32,
    a: u8,
    b: u8,
    c: u8,
    place: u8,
    a2: u8,
    b2: u8,
    c2: u8,
    place2: u8,
}

/// The bit of a place that says it is a delay slot; the others count instructions from the start of the block.
const SLOT: u8 = 0x80;

impl<W: Width> Op<W> {
    /// One that does nothing, at a place in its block.
    const fn nothing(place: u8) -> Self {
        Self {
            run: done,
            imm: 0,
            imm2: 0,
            a: 0,
            b: 0,
            c: 0,
            place,
            a2: 0,
            b2: 0,
            c2: 0,
            place2: 0,
        }
    }

    /// Instructions from the start of the block.
    #[inline(always)]
    pub fn at(&self) -> u8 {
        self.place & !SLOT
    }

    /// It is in a delay slot.
    #[inline(always)]
    pub fn slot(&self) -> bool {
        self.place & SLOT != 0
    }

    /// Whether both are the same instruction at the same place.
    pub fn same(&self, other: &Self) -> bool {
        let key = |o: &Self| (o.imm, o.imm2, o.a, o.b, o.c, o.place);
        std::ptr::fn_addr_eq(self.run, other.run) && key(self) == key(other)
    }

    /// The second of two steps.
    fn second(&self) -> Self {
        Self {
            imm: self.imm2,
            a: self.a2,
            b: self.b2,
            c: self.c2,
            place: self.place2,
            ..*self
        }
    }
}

/// What functions are chosen by, besides the instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode {
    /// Byte order.
    pub big_endian: bool,
}

/// Goes on with the next op.
#[inline(always)]
fn next<W: Width>(core: &mut Core<W>, rest: &[Op<W>], cx: &mut Cx<'_>) -> Exit {
    match rest {
        [op, rest @ ..] => (op.run)(core, op, rest, cx),
        // The last op of a block does not go on.
        [] => Exit::Event,
    }
}

/// Goes on after an op that needs what it has done to be looked at: outside, unless the branch it is in the slot of is
/// yet to be finished.
#[inline(never)]
fn after<W: Width>(core: &mut Core<W>, op: &Op<W>, rest: &[Op<W>], cx: &mut Cx<'_>) -> Exit {
    stop(core, op, rest, cx, Exit::Event)
}

/// Goes on after an op that changed what addresses or instructions mean: where the next one is looked up, unless as for
/// [`after`].
fn anew<W: Width>(core: &mut Core<W>, op: &Op<W>, rest: &[Op<W>], cx: &mut Cx<'_>) -> Exit {
    stop(core, op, rest, cx, Exit::Goto)
}

#[inline(always)]
fn stop<W: Width>(
    core: &mut Core<W>,
    op: &Op<W>,
    rest: &[Op<W>],
    cx: &mut Cx<'_>,
    exit: Exit,
) -> Exit {
    if op.slot() {
        core.vcpu.attention();
        next(core, rest, cx)
    } else {
        core.leave(op);
        core.pc = core.pc.offset(u32::from(op.at()) * 4 + 4);
        exit
    }
}

/// Executes ops from the first one on.
#[inline(always)]
pub fn run<W: Width>(core: &mut Core<W>, ops: &[Op<W>], cx: &mut Cx<'_>) -> Exit {
    next(core, ops, cx)
}

fn done<W: Width>(_: &mut Core<W>, _: &Op<W>, _: &[Op<W>], _: &mut Cx<'_>) -> Exit {
    Exit::Next
}

/// What stands behind a single op.
fn no_more<W: Width>() -> [Op<W>; 1] {
    [Op::nothing(0)]
}

/// Executes a single op of a block.
#[inline(always)]
pub fn one<W: Width>(core: &mut Core<W>, op: &Op<W>, cx: &mut Cx<'_>) -> Exit {
    (op.run)(core, op, &no_more(), cx)
}

/// Adds the ops of a block.
pub fn lower<W: Width>(block: &Block, mode: Mode, ops: &mut Vec<Op<W>>) {
    ops.reserve(block.steps.len() + 1);
    let mut steps = block.steps.as_slice();
    let end = flow::end(block);
    loop {
        match steps {
            [first, second, rest @ ..] if let Some(both) = W::pair(first, second, mode) => {
                ops.push(both);
                steps = rest;
            }
            [last] if let Some(both) = W::pair_with_end(last, block, mode) => {
                ops.push(both);
                return;
            }
            [step, rest @ ..] => {
                ops.push(op(step, mode));
                steps = rest;
            }
            [] => {
                ops.push(end);
                return;
            }
        }
    }
}

/// Makes an op of a step.
#[inline(always)]
pub fn op<W: Width>(step: &Step, mode: Mode) -> Op<W> {
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
        place: place(step),
        a2: 0,
        b2: 0,
        c2: 0,
        place2: 0,
    }
}

fn place(step: &Step) -> u8 {
    step.at | if step.slot { SLOT } else { 0 }
}

//! Two instructions in one op.
//!
//! What an op costs is mostly going on to the next, and passing values from one to the next through memory. So the most
//! frequent instructions are executed in pairs where they follow one another, and where the second takes the first's
//! result as its first source (a chain), it gets it in a host register.

use solderless_engine::Exit;
use solderless_model::Cx;

use super::alu::{Addiu, Addu, And, Andi, Li, Move, Or, Rotr, Sll, Sltiu, Sltu, Srl, Subu, Xor};
use super::flow::{self, Ending, Link};
use super::memory::{Done, Lbu, Lhu, Lw, Sb, Sw};
use super::{Handler, Mode, Op, after, next, place};
use crate::core::Core;
use crate::ir::{Block, Cond, End, Inst, Kind, Step};
use crate::width::Width;

/// An instruction that can be part of a pair, as a type, so that functions of their own are made for each combination.
pub trait Piece<W: Width> {
    /// What goes into register `a`, given the sources' values; `None` if that is not quickly said, and nothing is done.
    fn quick(core: &mut Core<W>, b: W, c: W, imm: u32) -> Option<W>;

    /// Does all of what [`Piece::quick`] could not.
    ///
    /// # Errors
    /// An exception was taken.
    fn slow(core: &mut Core<W>, op: &Op<W>, _cx: &mut Cx<'_>) -> Result<Done<()>, Exit> {
        let (b, c) = (core.r[op.b], core.r[op.c]);
        if let Some(value) = Self::quick(core, b, c, op.imm) {
            core.r[op.a] = value;
        }
        Ok(Done::Quiet(()))
    }
}

/// Executes one instruction.
pub fn single<W: Width, P: Piece<W>>(
    core: &mut Core<W>,
    op: &Op<W>,
    rest: &[Op<W>],
    cx: &mut Cx<'_>,
) -> Exit {
    let (b, c) = (core.r[op.b], core.r[op.c]);
    match P::quick(core, b, c, op.imm) {
        Some(value) => {
            core.r[op.a] = value;
            next(core, rest, cx)
        }
        None => single_slow::<W, P>(core, op, rest, cx),
    }
}

#[cold]
#[inline(never)]
fn single_slow<W: Width, P: Piece<W>>(
    core: &mut Core<W>,
    op: &Op<W>,
    rest: &[Op<W>],
    cx: &mut Cx<'_>,
) -> Exit {
    match P::slow(core, op, cx) {
        Ok(Done::Quiet(())) => next(core, rest, cx),
        Ok(Done::Event(())) => after(core, op, rest, cx),
        Err(exit) => exit,
    }
}

fn both<W: Width, A: Piece<W>, B: Piece<W>, const CHAIN: bool>(
    core: &mut Core<W>,
    op: &Op<W>,
    rest: &[Op<W>],
    cx: &mut Cx<'_>,
) -> Exit {
    let (b, c) = (core.r[op.b], core.r[op.c]);
    let Some(first) = A::quick(core, b, c, op.imm) else {
        return both_slow::<W, A, B>(core, op, rest, cx);
    };
    core.r[op.a] = first;
    let b2 = if CHAIN { first } else { core.r[op.b2] };
    let c2 = core.r[op.c2];
    let Some(second) = B::quick(core, b2, c2, op.imm2) else {
        return second_slow::<W, B>(core, op, rest, cx);
    };
    core.r[op.a2] = second;
    next(core, rest, cx)
}

#[cold]
#[inline(never)]
fn both_slow<W: Width, A: Piece<W>, B: Piece<W>>(
    core: &mut Core<W>,
    op: &Op<W>,
    rest: &[Op<W>],
    cx: &mut Cx<'_>,
) -> Exit {
    match A::slow(core, op, cx) {
        Ok(Done::Quiet(())) => second_slow::<W, B>(core, op, rest, cx),
        // The first of two is in no slot: the block is left between them.
        Ok(Done::Event(())) => after(core, op, rest, cx),
        Err(exit) => exit,
    }
}

#[cold]
#[inline(never)]
fn second_slow<W: Width, B: Piece<W>>(
    core: &mut Core<W>,
    op: &Op<W>,
    rest: &[Op<W>],
    cx: &mut Cx<'_>,
) -> Exit {
    single_slow::<W, B>(core, &op.second(), rest, cx)
}

fn then_end<W: Width, A: Piece<W>, E: Ending<W>, const CHAIN: bool>(
    core: &mut Core<W>,
    op: &Op<W>,
    rest: &[Op<W>],
    cx: &mut Cx<'_>,
) -> Exit {
    let (b, c) = (core.r[op.b], core.r[op.c]);
    let Some(first) = A::quick(core, b, c, op.imm) else {
        return then_end_slow::<W, A, E>(core, op, rest, cx);
    };
    core.r[op.a] = first;
    let b2 = if CHAIN { first } else { core.r[op.b2] };
    let c2 = core.r[op.c2];
    E::go(core, b2, c2, op.imm2)
}

#[cold]
#[inline(never)]
fn then_end_slow<W: Width, A: Piece<W>, E: Ending<W>>(
    core: &mut Core<W>,
    op: &Op<W>,
    rest: &[Op<W>],
    cx: &mut Cx<'_>,
) -> Exit {
    match A::slow(core, op, cx) {
        Ok(Done::Quiet(())) => {}
        Ok(Done::Event(())) if op.slot() => core.vcpu.attention(),
        Ok(Done::Event(())) => return after(core, op, rest, cx),
        Err(exit) => return exit,
    }
    let (b2, c2) = (core.r[op.b2], core.r[op.c2]);
    E::go(core, b2, c2, op.imm2)
}

/// Chooses by the kind of an instruction what a function is to be made with.
macro_rules! by_kind {
    ($kind:expr, $with:ident) => {
        match $kind {
            Kind::Addiu => $with!(Addiu),
            Kind::Addu => $with!(Addu),
            Kind::Subu => $with!(Subu),
            Kind::And => $with!(And),
            Kind::Andi => $with!(Andi),
            Kind::Or => $with!(Or),
            Kind::Xor => $with!(Xor),
            Kind::Sll => $with!(Sll),
            Kind::Srl => $with!(Srl),
            Kind::Rotr => $with!(Rotr),
            Kind::Sltu => $with!(Sltu),
            Kind::Sltiu => $with!(Sltiu),
            Kind::Li => $with!(Li),
            Kind::Move => $with!(Move),
            Kind::Link => $with!(Link),
            Kind::Lbu => $with!(Lbu<false>),
            Kind::Sb => $with!(Sb<false>),
            Kind::Lhu => $with!(Lhu<BIG>),
            Kind::Lw => $with!(Lw<BIG>),
            Kind::Sw => $with!(Sw<BIG>),
            _ => return None,
        }
    };
}

fn first<W: Width, const BIG: bool>(a: Kind, b: Kind, chain: bool) -> Option<Handler<W>> {
    macro_rules! with {
        ($piece:ty) => {
            second::<W, $piece, BIG>(b, chain)
        };
    }
    by_kind!(a, with)
}

fn second<W: Width, A: Piece<W>, const BIG: bool>(b: Kind, chain: bool) -> Option<Handler<W>> {
    macro_rules! with {
        ($piece:ty) => {
            match chain {
                true => both::<W, A, $piece, true>,
                false => both::<W, A, $piece, false>,
            }
        };
    }
    let handler: Handler<W> = by_kind!(b, with);
    Some(handler)
}

fn with_end<W: Width, const BIG: bool>(a: Kind, end: End, chain: bool) -> Option<Handler<W>> {
    macro_rules! with {
        ($piece:ty) => {
            ending::<W, $piece>(end, chain)
        };
    }
    by_kind!(a, with)
}

fn ending<W: Width, A: Piece<W>>(end: End, chain: bool) -> Option<Handler<W>> {
    macro_rules! with {
        ($end:ty) => {
            match chain {
                true => then_end::<W, A, $end, true>,
                false => then_end::<W, A, $end, false>,
            }
        };
    }
    let handler: Handler<W> = match end {
        End::Branch { cond, .. } => match cond {
            Cond::Eq => with!(flow::Eq),
            Cond::Ne => with!(flow::Ne),
            Cond::Lez => with!(flow::Lez),
            Cond::Gtz => with!(flow::Gtz),
            Cond::Ltz => with!(flow::Ltz),
            Cond::Gez => with!(flow::Gez),
            Cond::FpFalse | Cond::FpTrue => return None,
        },
        End::Always { .. } => then_end::<W, A, flow::Always, false>,
        End::Fall => then_end::<W, A, flow::Fall, false>,
        End::Jump { .. } => then_end::<W, A, flow::Jump, false>,
        End::Register { .. } => then_end::<W, A, flow::Register, false>,
        End::Latched { .. } | End::LatchedRegister => return None,
    };
    Some(handler)
}

/// The sources of an instruction in the order that makes a chain, if its sources can be exchanged.
fn sources(first: &Inst, exchange: bool, b: u8, c: u8) -> (u8, u8) {
    if exchange && c == first.a {
        (c, b)
    } else {
        (b, c)
    }
}

/// One op for two steps, the first of which is in no delay slot; `None` if they are no pair.
#[inline(always)]
pub fn steps<W: Width>(one: &Step, two: &Step, mode: Mode) -> Option<Op<W>> {
    let (a, b) = (&one.inst, &two.inst);
    if one.slot {
        return None;
    }
    let exchange = matches!(b.kind, Kind::Addu | Kind::And | Kind::Or | Kind::Xor);
    let (b2, c2) = sources(a, exchange, b.b, b.c);
    let chain = b2 == a.a;
    let run = match mode.big_endian {
        true => first::<W, true>(a.kind, b.kind, chain),
        false => first::<W, false>(a.kind, b.kind, chain),
    }?;
    Some(Op {
        run,
        imm: a.imm,
        imm2: b.imm,
        a: a.a,
        b: a.b,
        c: a.c,
        place: place(one),
        a2: b.a,
        b2,
        c2,
        place2: place(two),
    })
}

/// One op for the last step of a block and its end; `None` if they are no pair.
#[inline(always)]
pub fn step_and_end<W: Width>(last: &Step, block: &Block, mode: Mode) -> Option<Op<W>> {
    let inst = &last.inst;
    let (b, c, imm, exchange) = match block.end {
        End::Branch { cond, b, c, taken } => (b, c, taken, matches!(cond, Cond::Eq | Cond::Ne)),
        End::Always { taken } => (0, 0, taken, false),
        End::Jump { target } => (0, 0, target, false),
        End::Register { b } => (b, 0, 0, false),
        End::Fall => (0, 0, 0, false),
        End::Latched { .. } | End::LatchedRegister => return None,
    };
    let (b2, c2) = sources(inst, exchange, b, c);
    let chain = b2 == inst.a;
    let run = match mode.big_endian {
        true => with_end::<W, true>(inst.kind, block.end, chain),
        false => with_end::<W, false>(inst.kind, block.end, chain),
    }?;
    Some(Op {
        run,
        imm: inst.imm,
        imm2: imm,
        a: inst.a,
        b: inst.b,
        c: inst.c,
        place: place(last),
        a2: 0,
        b2,
        c2,
        place2: 0,
    })
}

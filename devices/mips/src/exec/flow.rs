//! Control transfers: what latches a condition, and the ends of blocks.

use solderless_engine::Exit;
use solderless_model::Cx;

use super::pair::{Piece, single};
use super::{Handler, Op, next};
use crate::core::Core;
use crate::ir::{Block, Cond, End, Kind};

/// A condition on the values of two general registers, as a type, so that a function of its own is made for each.
pub trait Compare {
    fn holds(b: u32, c: u32) -> bool;
}

macro_rules! compares {
    ($($name:ident($b:ident, $c:ident) = $holds:expr;)*) => {$(
        pub struct $name;
        impl Compare for $name {
            #[inline(always)]
            fn holds($b: u32, $c: u32) -> bool {
                let _ = $c;
                $holds
            }
        }
    )*};
}

compares! {
    Eq(b, c) = b == c;
    Ne(b, c) = b != c;
    Lez(b, c) = b.cast_signed() <= 0;
    Gtz(b, c) = b.cast_signed() > 0;
    Ltz(b, c) = b.cast_signed() < 0;
    Gez(b, c) = b.cast_signed() >= 0;
}

/// The end of a block, as a type.
pub trait Ending {
    /// Goes where it leads, given the values of two general registers and an immediate.
    fn go(core: &mut Core, b: u32, c: u32, imm: u32) -> Exit;
}

/// To the offset in the immediate.
pub struct Always;
/// Past the end of the block.
pub struct Fall;
/// To the address in the immediate, within the 256 MiB of the slot.
pub struct Jump;
/// To the address in the first register.
pub struct Register;
/// To the address that was kept.
struct LatchedRegister;
/// As [`Always`] if the condition that was kept holds.
struct Latched;

impl Ending for Always {
    #[inline(always)]
    fn go(core: &mut Core, _: u32, _: u32, imm: u32) -> Exit {
        core.pc = core.pc.wrapping_add(imm);
        Exit::Taken
    }
}

impl Ending for Fall {
    #[inline(always)]
    fn go(core: &mut Core, _: u32, _: u32, _: u32) -> Exit {
        core.pc = core.pc.wrapping_add(core.vcpu.len * 4);
        Exit::Fall
    }
}

impl<C: Compare> Ending for C {
    #[inline(always)]
    fn go(core: &mut Core, b: u32, c: u32, imm: u32) -> Exit {
        match C::holds(b, c) {
            true => Always::go(core, b, c, imm),
            false => Fall::go(core, b, c, imm),
        }
    }
}

impl Ending for Latched {
    #[inline(always)]
    fn go(core: &mut Core, b: u32, c: u32, imm: u32) -> Exit {
        match core.latch != 0 {
            true => Always::go(core, b, c, imm),
            false => Fall::go(core, b, c, imm),
        }
    }
}

impl Ending for Jump {
    #[inline(always)]
    fn go(core: &mut Core, _: u32, _: u32, imm: u32) -> Exit {
        let slot = core.pc.wrapping_add(core.vcpu.len * 4).wrapping_sub(4);
        core.pc = slot & 0xf000_0000 | imm;
        Exit::Goto
    }
}

impl Ending for Register {
    #[inline(always)]
    fn go(core: &mut Core, b: u32, _: u32, _: u32) -> Exit {
        core.pc = b;
        Exit::Goto
    }
}

impl Ending for LatchedRegister {
    #[inline(always)]
    fn go(core: &mut Core, _: u32, _: u32, _: u32) -> Exit {
        core.pc = core.latch;
        Exit::Goto
    }
}

fn ending<E: Ending>(core: &mut Core, op: &Op, _: &[Op], _: &mut Cx<'_>) -> Exit {
    let (b, c) = (core.r[op.b], core.r[op.c]);
    E::go(core, b, c, op.imm)
}

fn fp_branch<const HOLDS: bool>(core: &mut Core, op: &Op, _: &[Op], _: &mut Cx<'_>) -> Exit {
    match core.fcsr.cc(op.b.into()) == HOLDS {
        true => Always::go(core, 0, 0, op.imm),
        false => Fall::go(core, 0, 0, op.imm),
    }
}

fn latch<C: Compare>(core: &mut Core, op: &Op, rest: &[Op], cx: &mut Cx<'_>) -> Exit {
    core.latch = C::holds(core.r[op.b], core.r[op.c]).into();
    next(core, rest, cx)
}

fn fp_latch<const HOLDS: bool>(core: &mut Core, op: &Op, rest: &[Op], cx: &mut Cx<'_>) -> Exit {
    core.latch = (core.fcsr.cc(op.b.into()) == HOLDS).into();
    next(core, rest, cx)
}

fn latch_target(core: &mut Core, op: &Op, rest: &[Op], cx: &mut Cx<'_>) -> Exit {
    core.latch = core.r[op.b];
    next(core, rest, cx)
}

/// The address of the block plus an immediate.
pub struct Link;

impl Piece for Link {
    #[inline(always)]
    fn quick(core: &mut Core, _: u32, _: u32, imm: u32) -> Option<u32> {
        Some(core.pc.wrapping_add(imm))
    }
}

/// Leaves the block unless a condition holds.
#[inline(always)]
fn unless(holds: bool, core: &mut Core, op: &Op, rest: &[Op], cx: &mut Cx<'_>) -> Exit {
    if holds {
        next(core, rest, cx)
    } else {
        core.leave(op);
        Fall::go(core, 0, 0, 0)
    }
}

fn skip<C: Compare>(core: &mut Core, op: &Op, rest: &[Op], cx: &mut Cx<'_>) -> Exit {
    let holds = C::holds(core.r[op.b], core.r[op.c]);
    unless(holds, core, op, rest, cx)
}

fn fp_skip<const HOLDS: bool>(core: &mut Core, op: &Op, rest: &[Op], cx: &mut Cx<'_>) -> Exit {
    let holds = core.fcsr.cc(op.b.into()) == HOLDS;
    unless(holds, core, op, rest, cx)
}

fn skip_latched(core: &mut Core, op: &Op, rest: &[Op], cx: &mut Cx<'_>) -> Exit {
    let holds = core.latch != 0;
    unless(holds, core, op, rest, cx)
}

/// The function for a condition, of one for general registers and one for condition codes.
macro_rules! by_cond {
    ($cond:expr, $general:ident, $fp:ident) => {
        match $cond {
            Cond::Eq => $general::<Eq>,
            Cond::Ne => $general::<Ne>,
            Cond::Lez => $general::<Lez>,
            Cond::Gtz => $general::<Gtz>,
            Cond::Ltz => $general::<Ltz>,
            Cond::Gez => $general::<Gez>,
            Cond::FpFalse => $fp::<false>,
            Cond::FpTrue => $fp::<true>,
        }
    };
}

/// The function of a step that prepares a transfer.
pub fn handler(kind: Kind) -> Option<Handler> {
    Some(match kind {
        Kind::Latch(cond) => by_cond!(cond, latch, fp_latch),
        Kind::LatchTarget => latch_target,
        Kind::Link => single::<Link>,
        Kind::Skip(cond) => by_cond!(cond, skip, fp_skip),
        Kind::SkipLatched => skip_latched,
        _ => return None,
    })
}

/// The op that ends a block.
pub fn end(block: &Block) -> Op {
    let op = |run: Handler, b, c, imm| Op {
        run,
        imm,
        imm2: 0,
        a: 0,
        b,
        c,
        place: block.len,
        a2: 0,
        b2: 0,
        c2: 0,
        place2: 0,
    };
    match block.end {
        End::Branch { cond, b, c, taken } => op(by_cond!(cond, ending, fp_branch), b, c, taken),
        End::Latched { taken } => op(ending::<Latched>, 0, 0, taken),
        End::Always { taken } => op(ending::<Always>, 0, 0, taken),
        End::Jump { target } => op(ending::<Jump>, 0, 0, target),
        End::Register { b } => op(ending::<Register>, b, 0, 0),
        End::LatchedRegister => op(ending::<LatchedRegister>, 0, 0, 0),
        End::Fall => op(ending::<Fall>, 0, 0, 0),
    }
}

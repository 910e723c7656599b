//! Control transfers: what latches a condition, and the ends of blocks.

use solderless_engine::Exit;
use solderless_model::Cx;

use super::pair::{Piece, single};
use super::{Handler, Op, next};
use crate::core::Core;
use crate::ir::{Block, Cond, End, Kind};
use crate::width::Width;

/// A condition on the values of two general registers, as a type, so that a function of its own is made for each.
pub trait Compare<W: Width> {
    fn holds(b: W, c: W) -> bool;
}

macro_rules! compares {
    ($($name:ident($b:ident, $c:ident) = $holds:expr;)*) => {$(
        pub struct $name;
        impl<W: Width> Compare<W> for $name {
            #[inline(always)]
            fn holds($b: W, $c: W) -> bool {
                let _ = $c;
                $holds
            }
        }
        impl<W: Width> Ending<W> for $name {
            #[inline(always)]
            fn go(core: &mut Core<W>, b: W, c: W, imm: u32) -> Exit {
                match Self::holds(b, c) {
                    true => Always::go(core, b, c, imm),
                    false => Fall::go(core, b, c, imm),
                }
            }
        }
    )*};
}

compares! {
    Eq(b, c) = b == c;
    Ne(b, c) = b != c;
    Lez(b, c) = b.is_negative() || b.is_zero();
    Gtz(b, c) = !b.is_negative() && !b.is_zero();
    Ltz(b, c) = b.is_negative();
    Gez(b, c) = !b.is_negative();
}

/// The end of a block, as a type.
pub trait Ending<W: Width> {
    /// Goes where it leads, given the values of two general registers and an immediate.
    fn go(core: &mut Core<W>, b: W, c: W, imm: u32) -> Exit;
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

impl<W: Width> Ending<W> for Always {
    #[inline(always)]
    fn go(core: &mut Core<W>, _: W, _: W, imm: u32) -> Exit {
        core.pc = core.pc.offset(imm);
        Exit::Taken
    }
}

impl<W: Width> Ending<W> for Fall {
    #[inline(always)]
    fn go(core: &mut Core<W>, _: W, _: W, _: u32) -> Exit {
        core.pc = core.pc.offset(core.vcpu.len * 4);
        Exit::Fall
    }
}

impl<W: Width> Ending<W> for Latched {
    #[inline(always)]
    fn go(core: &mut Core<W>, b: W, c: W, imm: u32) -> Exit {
        match !core.latch.is_zero() {
            true => Always::go(core, b, c, imm),
            false => Fall::go(core, b, c, imm),
        }
    }
}

impl<W: Width> Ending<W> for Jump {
    #[inline(always)]
    fn go(core: &mut Core<W>, _: W, _: W, imm: u32) -> Exit {
        let slot = core.pc.offset(core.vcpu.len * 4 - 4);
        core.pc = slot & W::signed(0xf000_0000) | imm.into();
        Exit::Goto
    }
}

impl<W: Width> Ending<W> for Register {
    #[inline(always)]
    fn go(core: &mut Core<W>, b: W, _: W, _: u32) -> Exit {
        core.pc = b;
        Exit::Goto
    }
}

impl<W: Width> Ending<W> for LatchedRegister {
    #[inline(always)]
    fn go(core: &mut Core<W>, _: W, _: W, _: u32) -> Exit {
        core.pc = core.latch;
        Exit::Goto
    }
}

fn ending<W: Width, E: Ending<W>>(
    core: &mut Core<W>,
    op: &Op<W>,
    _: &[Op<W>],
    _: &mut Cx<'_>,
) -> Exit {
    let (b, c) = (core.r[op.b], core.r[op.c]);
    E::go(core, b, c, op.imm)
}

fn fp_branch<W: Width, const HOLDS: bool>(
    core: &mut Core<W>,
    op: &Op<W>,
    _: &[Op<W>],
    _: &mut Cx<'_>,
) -> Exit {
    match core.fcsr.cc(op.b.into()) == HOLDS {
        true => Always::go(core, W::default(), W::default(), op.imm),
        false => Fall::go(core, W::default(), W::default(), op.imm),
    }
}

fn latch<W: Width, C: Compare<W>>(
    core: &mut Core<W>,
    op: &Op<W>,
    rest: &[Op<W>],
    cx: &mut Cx<'_>,
) -> Exit {
    core.latch = C::holds(core.r[op.b], core.r[op.c]).into();
    next(core, rest, cx)
}

fn fp_latch<W: Width, const HOLDS: bool>(
    core: &mut Core<W>,
    op: &Op<W>,
    rest: &[Op<W>],
    cx: &mut Cx<'_>,
) -> Exit {
    core.latch = (core.fcsr.cc(op.b.into()) == HOLDS).into();
    next(core, rest, cx)
}

fn latch_target<W: Width>(core: &mut Core<W>, op: &Op<W>, rest: &[Op<W>], cx: &mut Cx<'_>) -> Exit {
    core.latch = core.r[op.b];
    next(core, rest, cx)
}

/// The address of the block plus an immediate.
pub struct Link;

impl<W: Width> Piece<W> for Link {
    #[inline(always)]
    fn quick(core: &mut Core<W>, _: W, _: W, imm: u32) -> Option<W> {
        Some(core.pc.offset(imm))
    }
}

/// Leaves the block unless a condition holds.
#[inline(always)]
fn unless<W: Width>(
    holds: bool,
    core: &mut Core<W>,
    op: &Op<W>,
    rest: &[Op<W>],
    cx: &mut Cx<'_>,
) -> Exit {
    if holds {
        next(core, rest, cx)
    } else {
        core.leave(op);
        Fall::go(core, W::default(), W::default(), 0)
    }
}

fn skip<W: Width, C: Compare<W>>(
    core: &mut Core<W>,
    op: &Op<W>,
    rest: &[Op<W>],
    cx: &mut Cx<'_>,
) -> Exit {
    let holds = C::holds(core.r[op.b], core.r[op.c]);
    unless(holds, core, op, rest, cx)
}

fn fp_skip<W: Width, const HOLDS: bool>(
    core: &mut Core<W>,
    op: &Op<W>,
    rest: &[Op<W>],
    cx: &mut Cx<'_>,
) -> Exit {
    let holds = core.fcsr.cc(op.b.into()) == HOLDS;
    unless(holds, core, op, rest, cx)
}

fn skip_latched<W: Width>(core: &mut Core<W>, op: &Op<W>, rest: &[Op<W>], cx: &mut Cx<'_>) -> Exit {
    let holds = !core.latch.is_zero();
    unless(holds, core, op, rest, cx)
}

/// The function for a condition, of one for general registers and one for condition codes.
macro_rules! by_cond {
    ($cond:expr, $general:ident, $fp:ident) => {
        match $cond {
            Cond::Eq => $general::<_, Eq>,
            Cond::Ne => $general::<_, Ne>,
            Cond::Lez => $general::<_, Lez>,
            Cond::Gtz => $general::<_, Gtz>,
            Cond::Ltz => $general::<_, Ltz>,
            Cond::Gez => $general::<_, Gez>,
            Cond::FpFalse => $fp::<_, false>,
            Cond::FpTrue => $fp::<_, true>,
        }
    };
}

/// The function of a step that prepares a transfer.
pub fn handler<W: Width>(kind: Kind) -> Option<Handler<W>> {
    Some(match kind {
        Kind::Latch(cond) => by_cond!(cond, latch, fp_latch),
        Kind::LatchTarget => latch_target,
        Kind::Link => single::<_, Link>,
        Kind::Skip(cond) => by_cond!(cond, skip, fp_skip),
        Kind::SkipLatched => skip_latched,
        _ => return None,
    })
}

/// The op that ends a block.
pub fn end<W: Width>(block: &Block) -> Op<W> {
    let op = |run: Handler<W>, b, c, imm| Op {
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
        End::Latched { taken } => op(ending::<_, Latched>, 0, 0, taken),
        End::Always { taken } => op(ending::<_, Always>, 0, 0, taken),
        End::Jump { target } => op(ending::<_, Jump>, 0, 0, target),
        End::Register { b } => op(ending::<_, Register>, b, 0, 0),
        End::LatchedRegister => op(ending::<_, LatchedRegister>, 0, 0, 0),
        End::Fall => op(ending::<_, Fall>, 0, 0, 0),
    }
}

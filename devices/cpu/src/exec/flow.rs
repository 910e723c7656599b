//! Control transfers: what latches a condition, and the ends of blocks.

use solderless_model::Cx;

use super::{Exit, Handler, Op, next};
use crate::core::Core;
use crate::ir::{Block, Cond, End, Kind};

/// A condition as a type, so that a function of its own is made for each.
trait Test {
    fn holds(core: &Core, op: &Op) -> bool;
}

/// A condition on the values of two general registers.
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

impl<C: Compare> Test for C {
    #[inline(always)]
    fn holds(core: &Core, op: &Op) -> bool {
        C::holds(core.r[op.b], core.r[op.c])
    }
}

macro_rules! tests {
    ($($name:ident($core:ident, $op:ident) = $holds:expr;)*) => {$(
        struct $name;
        impl Test for $name {
            #[inline(always)]
            fn holds($core: &Core, $op: &Op) -> bool {
                $holds
            }
        }
    )*};
}

tests! {
    FpFalse(core, op) = !core.fcsr.cc(op.b.into());
    FpTrue(core, op) = core.fcsr.cc(op.b.into());
    Latched(core, _op) = core.latch != 0;
}

/// The function for a condition.
macro_rules! by_cond {
    ($cond:expr, $function:ident) => {
        match $cond {
            Cond::Eq => $function::<Eq>,
            Cond::Ne => $function::<Ne>,
            Cond::Lez => $function::<Lez>,
            Cond::Gtz => $function::<Gtz>,
            Cond::Ltz => $function::<Ltz>,
            Cond::Gez => $function::<Gez>,
            Cond::FpFalse => $function::<FpFalse>,
            Cond::FpTrue => $function::<FpTrue>,
        }
    };
}

fn latch<T: Test>(core: &mut Core, op: &Op, rest: &[Op], cx: &mut Cx<'_>) -> Exit {
    core.latch = T::holds(core, op).into();
    next(core, rest, cx)
}

fn latch_target(core: &mut Core, op: &Op, rest: &[Op], cx: &mut Cx<'_>) -> Exit {
    core.latch = core.r[op.b];
    next(core, rest, cx)
}

fn link(core: &mut Core, op: &Op, rest: &[Op], cx: &mut Cx<'_>) -> Exit {
    core.r[op.a] = core.pc.wrapping_add(op.imm);
    next(core, rest, cx)
}

fn skip<T: Test>(core: &mut Core, op: &Op, rest: &[Op], cx: &mut Cx<'_>) -> Exit {
    if T::holds(core, op) {
        next(core, rest, cx)
    } else {
        core.leave(op);
        core.pc = core.pc.wrapping_add(op.imm);
        Exit::Fall
    }
}

/// Goes where a branch leads, `taken` bytes from the start of the block or past its end.
#[inline(always)]
pub fn go(core: &mut Core, holds: bool, taken: u32) -> Exit {
    if holds {
        core.pc = core.pc.wrapping_add(taken);
        Exit::Taken
    } else {
        core.pc = core.pc.wrapping_add(core.len * 4);
        Exit::Fall
    }
}

fn branch<T: Test>(core: &mut Core, op: &Op, _: &[Op], _: &mut Cx<'_>) -> Exit {
    go(core, T::holds(core, op), op.imm)
}

fn always(core: &mut Core, op: &Op, _: &[Op], _: &mut Cx<'_>) -> Exit {
    core.pc = core.pc.wrapping_add(op.imm);
    Exit::Taken
}

fn fall(core: &mut Core, _: &Op, _: &[Op], _: &mut Cx<'_>) -> Exit {
    go(core, false, 0)
}

fn jump(core: &mut Core, op: &Op, _: &[Op], _: &mut Cx<'_>) -> Exit {
    core.pc = core.pc.wrapping_add(op.imm2) & 0xf000_0000 | op.imm;
    Exit::Goto
}

fn register(core: &mut Core, op: &Op, _: &[Op], _: &mut Cx<'_>) -> Exit {
    core.pc = core.r[op.b];
    Exit::Goto
}

fn latched_register(core: &mut Core, _: &Op, _: &[Op], _: &mut Cx<'_>) -> Exit {
    core.pc = core.latch;
    Exit::Goto
}

/// The function of a step that prepares a transfer.
pub fn handler(kind: Kind) -> Option<Handler> {
    Some(match kind {
        Kind::Latch(cond) => by_cond!(cond, latch),
        Kind::LatchTarget => latch_target,
        Kind::Link => link,
        Kind::Skip(cond) => by_cond!(cond, skip),
        Kind::SkipLatched => skip::<Latched>,
        _ => return None,
    })
}

/// The op that ends a block.
pub fn end(block: &Block) -> Op {
    let op = |run: Handler, imm, imm2| Op {
        run,
        imm,
        imm2,
        a: 0,
        b: 0,
        c: 0,
        place: block.len,
        a2: 0,
        b2: 0,
        c2: 0,
        place2: 0,
    };
    match block.end {
        End::Branch { cond, b, c, taken } => Op {
            b,
            c,
            ..op(by_cond!(cond, branch), taken, 0)
        },
        End::Latched { taken } => op(branch::<Latched>, taken, 0),
        End::Always { taken } => op(always, taken, 0),
        End::Jump { target, from } => op(jump, target, from),
        End::Register { b } => Op {
            b,
            ..op(register, 0, 0)
        },
        End::LatchedRegister => op(latched_register, 0, 0),
        End::Fall => op(fall, 0, 0),
    }
}

//! Control transfers: what latches a condition, and the ends of blocks.

use solderless_model::Cx;

use super::{Exit, Handler, Op, next};
use crate::core::Core;
use crate::ir::{Block, Cond, End, Kind};

/// A condition as a type, so that a function of its own is made for each.
trait Test {
    fn holds(core: &Core, op: &Op) -> bool;
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
    Eq(core, op) = core.r[op.b] == core.r[op.c];
    Ne(core, op) = core.r[op.b] != core.r[op.c];
    Lez(core, op) = core.r[op.b].cast_signed() <= 0;
    Gtz(core, op) = core.r[op.b].cast_signed() > 0;
    Ltz(core, op) = core.r[op.b].cast_signed() < 0;
    Gez(core, op) = core.r[op.b].cast_signed() >= 0;
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

fn branch<T: Test>(core: &mut Core, op: &Op, _: &[Op], _: &mut Cx<'_>) -> Exit {
    if T::holds(core, op) {
        core.pc = core.pc.wrapping_add(op.imm);
        Exit::Taken
    } else {
        core.pc = core.pc.wrapping_add(op.imm2);
        Exit::Fall
    }
}

fn always(core: &mut Core, op: &Op, _: &[Op], _: &mut Cx<'_>) -> Exit {
    core.pc = core.pc.wrapping_add(op.imm);
    Exit::Taken
}

fn fall(core: &mut Core, op: &Op, _: &[Op], _: &mut Cx<'_>) -> Exit {
    core.pc = core.pc.wrapping_add(op.imm);
    Exit::Fall
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
    let past = u32::from(block.len) * 4;
    let op = |run: Handler, imm, imm2| Op {
        run,
        imm,
        imm2,
        a: 0,
        b: 0,
        c: 0,
        at: block.len,
        slot: false,
    };
    match block.end {
        End::Branch { cond, b, c, taken } => Op {
            b,
            c,
            ..op(by_cond!(cond, branch), taken, past)
        },
        End::Latched { taken } => op(branch::<Latched>, taken, past),
        End::Always { taken } => op(always, taken, 0),
        End::Jump { target, from } => op(jump, target, from),
        End::Register { b } => Op {
            b,
            ..op(register, 0, 0)
        },
        End::LatchedRegister => op(latched_register, 0, 0),
        End::Fall => op(fall, past, 0),
    }
}

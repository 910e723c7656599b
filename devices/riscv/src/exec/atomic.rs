//! Atomic memory operations (the Unprivileged ISA, chapter 8).
//!
//! CPUs take turns, so what one instruction does is atomic.

use solderless_engine::Exit;
use solderless_model::Cx;

use super::{Handler, Op, next};
use crate::core::Core;
use crate::trap::{Access, Trap, cause};

/// What an AMO makes of the value in memory and that of its register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amo {
    Swap,
    Add,
    Xor,
    And,
    Or,
    Min,
    Max,
    Minu,
    Maxu,
}

/// Sign-extended from so many bytes.
fn signed(value: u64, size: u8) -> u64 {
    match size {
        4 => value as i32 as u64,
        _ => value,
    }
}

macro_rules! amos {
    ($($name:ident |$old:ident, $with:ident| $new:expr;)*) => {
        impl Amo {
            pub fn handler(self, size: u8) -> Handler {
                match (self, size) {
                    $((Self::$name, 4) => |core, op, rest, cx| {
                        amo::<4>(core, op, rest, cx, |$old, $with| $new)
                    },
                    (Self::$name, _) => |core, op, rest, cx| {
                        amo::<8>(core, op, rest, cx, |$old, $with| $new)
                    },)*
                }
            }
        }
    };
}

// Values are sign-extended, which keeps the order of unsigned ones.
amos! {
    Swap |_old, with| with;
    Add |old, with| old.wrapping_add(with);
    Xor |old, with| old ^ with;
    And |old, with| old & with;
    Or |old, with| old | with;
    Min |old, with| (old as i64).min(with as i64) as u64;
    Max |old, with| (old as i64).max(with as i64) as u64;
    Minu |old, with| old.min(with);
    Maxu |old, with| old.max(with);
}

#[inline(always)]
fn amo<const SIZE: u8>(
    core: &mut Core,
    op: &Op,
    rest: &[Op],
    cx: &mut Cx<'_>,
    new: impl Fn(u64, u64) -> u64,
) -> Exit {
    let va = core.address(core.x[op.b]);
    let with = signed(core.x[op.c], SIZE);
    if va & (u64::from(SIZE) - 1) != 0 {
        return core.raise(op, Trap::new(cause::STORE_MISALIGNED, va));
    }
    if let Err(exit) = core.stop_before(op, cx, va, SIZE, true) {
        return exit;
    }
    let mut old = 0;
    let changed = core.change_memory(cx, va, SIZE, |value| {
        old = signed(value, SIZE);
        new(old, with)
    });
    match changed {
        Ok(watched) => {
            core.x[op.a] = old;
            match watched {
                false => next(core, rest, cx),
                true => core.after(op, Exit::Event),
            }
        }
        Err(trap) => core.raise(op, trap),
    }
}

pub fn load_reserved(size: u8) -> Handler {
    fn run<const SIZE: u8>(core: &mut Core, op: &Op, rest: &[Op], cx: &mut Cx<'_>) -> Exit {
        let va = core.address(core.x[op.b]);
        if va & (u64::from(SIZE) - 1) != 0 {
            return core.raise(op, Trap::new(cause::LOAD_MISALIGNED, va));
        }
        if let Err(exit) = core.stop_before(op, cx, va, SIZE, false) {
            return exit;
        }
        match core.read_memory(cx, va, SIZE) {
            Ok((value, pa)) => {
                core.reserve(pa, SIZE);
                core.x[op.a] = signed(value, SIZE);
                next(core, rest, cx)
            }
            Err(trap) => core.raise(op, trap),
        }
    }
    match size {
        4 => run::<4>,
        _ => run::<8>,
    }
}

pub fn store_conditional(size: u8) -> Handler {
    fn run<const SIZE: u8>(core: &mut Core, op: &Op, rest: &[Op], cx: &mut Cx<'_>) -> Exit {
        let va = core.address(core.x[op.b]);
        if va & (u64::from(SIZE) - 1) != 0 {
            return core.raise(op, Trap::new(cause::STORE_MISALIGNED, va));
        }
        let value = core.x[op.c];
        let place = match core.place(cx, va, Access::Store) {
            Ok(place) => place,
            Err(trap) => return core.raise(op, trap),
        };
        if let Err(exit) = core.stop_before(op, cx, va, SIZE, true) {
            return exit;
        }
        if !core.take_reservation(place.pa, SIZE) {
            core.x[op.a] = 1;
            return next(core, rest, cx);
        }
        match core.change_memory(cx, va, SIZE, |_| value) {
            Ok(watched) => {
                core.x[op.a] = 0;
                match watched {
                    false => next(core, rest, cx),
                    true => core.after(op, Exit::Event),
                }
            }
            Err(trap) => core.raise(op, trap),
        }
    }
    match size {
        4 => run::<4>,
        _ => run::<8>,
    }
}

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

/// Reads what the soft TLB has.
#[inline(always)]
fn quick_read<const SIZE: u8>(core: &Core, va: u64) -> Option<u64> {
    match SIZE {
        4 => core.vcpu.wide.read_u32(va).map(u64::from),
        _ => core.vcpu.wide.read_u64(va),
    }
}

/// Writes what the soft TLB has, or does not.
#[inline(always)]
fn quick_write<const SIZE: u8>(core: &mut Core, va: u64, value: u64) -> bool {
    match SIZE {
        4 => core.vcpu.wide.write_u32(va, value as u32),
        _ => core.vcpu.wide.write_u64(va, value),
    }
}

pub fn load_reserved(size: u8) -> Handler {
    fn run<const SIZE: u8>(core: &mut Core, op: &Op, rest: &[Op], cx: &mut Cx<'_>) -> Exit {
        let va = core.address(core.x[op.b]);
        if let Some(pa) = core.vcpu.wide.physical(va, SIZE, false)
            && let Some(value) = quick_read::<SIZE>(core, va)
        {
            core.reserve(pa, SIZE);
            core.x[op.a] = signed(value, SIZE);
            return next(core, rest, cx);
        }
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
        let value = core.x[op.c];
        if let Some(pa) = core.vcpu.wide.physical(va, SIZE, true) {
            let taken = core.take_reservation(pa, SIZE) && quick_write::<SIZE>(core, va, value);
            core.x[op.a] = u64::from(!taken);
            return next(core, rest, cx);
        }
        if va & (u64::from(SIZE) - 1) != 0 {
            return core.raise(op, Trap::new(cause::STORE_MISALIGNED, va));
        }
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

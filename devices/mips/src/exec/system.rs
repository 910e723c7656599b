//! Coprocessor 0, traps and system calls.

use solderless_engine::Exit;
use solderless_model::{Cx, Request};

use super::{Handler, Op, after, anew, next};
use crate::core::Core;
use crate::cp0::{Effect, status};
use crate::exception::Exception;
use crate::ir::{Kind, Test};
use crate::tlb::{ASID, Entry};
use crate::width::Width;

/// Status and Cause fields that say how instructions are to be decoded and addresses to be understood.
const MODE: u32 = status::CU1
    | status::FR
    | status::KSU
    | status::KX
    | status::SX
    | status::UX
    | status::PX
    | status::ERL
    | status::EXL
    | status::BEV;

impl<W: Width> Core<W> {
    /// Lets an instruction of coprocessor 0 pass in kernel mode, and where Status.CU0 is set.
    ///
    /// # Errors
    /// The exception was taken.
    #[inline(always)]
    pub fn privileged(&mut self, op: &Op<W>) -> Result<(), Exit> {
        if self.cp0.kernel() || self.cp0.status & status::CU0 != 0 {
            Ok(())
        } else {
            Err(self.raise(op, Exception::Unusable(0)))
        }
    }
}

macro_rules! privileged {
    ($core:ident, $op:ident) => {
        if let Err(exit) = $core.privileged($op) {
            return exit;
        }
    };
}

/// Goes on, or leaves the block if an interrupt has become due.
fn checked<W: Width>(core: &mut Core<W>, op: &Op<W>, rest: &[Op<W>], cx: &mut Cx<'_>) -> Exit {
    if core.interrupted() {
        after(core, op, rest, cx)
    } else {
        next(core, rest, cx)
    }
}

/// The value of a register of coprocessor 0, after the time that instructions have taken, if it depends on that.
#[inline(always)]
fn read<W: Width>(core: &mut Core<W>, op: &Op<W>, cx: &mut Cx<'_>) -> W {
    const COUNT: u32 = 9 << 3;
    const CAUSE: u32 = 13 << 3;
    let now = if matches!(op.imm, COUNT | CAUSE) {
        core.advance_to(op, cx);
        core.catch_up_counter(cx);
        cx.now()
    } else {
        0
    };
    core.mfc0(op.imm, now)
}

fn mfc0<W: Width>(core: &mut Core<W>, op: &Op<W>, rest: &[Op<W>], cx: &mut Cx<'_>) -> Exit {
    privileged!(core, op);
    core.r[op.a] = W::signed(read(core, op, cx).low());
    next(core, rest, cx)
}

fn dmfc0<W: Width>(core: &mut Core<W>, op: &Op<W>, rest: &[Op<W>], cx: &mut Cx<'_>) -> Exit {
    privileged!(core, op);
    core.r[op.a] = read(core, op, cx);
    next(core, rest, cx)
}

fn mtc0<W: Width>(core: &mut Core<W>, op: &Op<W>, rest: &[Op<W>], cx: &mut Cx<'_>) -> Exit {
    privileged!(core, op);
    let value = W::signed(core.r[op.b].low());
    write(core, op, rest, cx, value)
}

fn dmtc0<W: Width>(core: &mut Core<W>, op: &Op<W>, rest: &[Op<W>], cx: &mut Cx<'_>) -> Exit {
    privileged!(core, op);
    let value = core.r[op.b];
    write(core, op, rest, cx, value)
}

#[inline(always)]
fn write<W: Width>(
    core: &mut Core<W>,
    op: &Op<W>,
    rest: &[Op<W>],
    cx: &mut Cx<'_>,
    value: W,
) -> Exit {
    const TIMED: [u32; 3] = [9 << 3, 11 << 3, 13 << 3];
    if TIMED.contains(&op.imm) {
        core.advance_to(op, cx);
    }
    let before = core.cp0.status;
    match core.mtc0(op.imm, value, cx) {
        Effect::None => next(core, rest, cx),
        Effect::Check if (core.cp0.status ^ before) & MODE == 0 => checked(core, op, rest, cx),
        Effect::Check => {
            core.mode_changed();
            match core.interrupted() {
                true => after(core, op, rest, cx),
                false => anew(core, op, rest, cx),
            }
        }
        Effect::Translation => {
            core.address_space_changed();
            anew(core, op, rest, cx)
        }
        Effect::Timer => after(core, op, rest, cx),
    }
}

fn di<W: Width>(core: &mut Core<W>, op: &Op<W>, rest: &[Op<W>], cx: &mut Cx<'_>) -> Exit {
    privileged!(core, op);
    core.r[op.a] = W::signed(core.cp0.status);
    core.cp0.status &= !status::IE;
    next(core, rest, cx)
}

fn ei<W: Width>(core: &mut Core<W>, op: &Op<W>, rest: &[Op<W>], cx: &mut Cx<'_>) -> Exit {
    privileged!(core, op);
    core.r[op.a] = W::signed(core.cp0.status);
    core.cp0.status |= status::IE;
    checked(core, op, rest, cx)
}

fn eret<W: Width>(core: &mut Core<W>, op: &Op<W>, _: &[Op<W>], _: &mut Cx<'_>) -> Exit {
    privileged!(core, op);
    core.leave(op);
    core.exception_return();
    if core.interrupted() {
        Exit::Event
    } else {
        Exit::Goto
    }
}

fn wait<W: Width>(core: &mut Core<W>, op: &Op<W>, _: &[Op<W>], _: &mut Cx<'_>) -> Exit {
    privileged!(core, op);
    core.leave(op);
    core.pc = core.pc.offset(u32::from(op.at()) * 4 + 4);
    core.waiting = true;
    Exit::Wait
}

fn tlbp<W: Width>(core: &mut Core<W>, op: &Op<W>, rest: &[Op<W>], cx: &mut Cx<'_>) -> Exit {
    privileged!(core, op);
    let hi = core.cp0.entry_hi;
    core.cp0.index = match core.tlb.find(hi, hi) {
        Some(index) => index as u32,
        None => {
            core.nothing_matches();
            core.cp0.index | 1 << 31
        }
    };
    next(core, rest, cx)
}

fn tlbr<W: Width>(core: &mut Core<W>, op: &Op<W>, rest: &[Op<W>], cx: &mut Cx<'_>) -> Exit {
    privileged!(core, op);
    let index = core.cp0.index & 0x7fff_ffff;
    let Some(entry) = core.tlb.get(index as usize).copied() else {
        return next(core, rest, cx);
    };
    core.entry_known(index as usize);
    let c = &mut core.cp0;
    c.entry_lo = entry.lo;
    c.page_mask = entry.mask;
    let same = (c.entry_hi ^ entry.hi).low() & ASID == 0;
    c.entry_hi = entry.hi;
    if same {
        next(core, rest, cx)
    } else {
        core.address_space_changed();
        anew(core, op, rest, cx)
    }
}

#[inline(always)]
fn tlb_write<W: Width>(
    core: &mut Core<W>,
    op: &Op<W>,
    rest: &[Op<W>],
    cx: &mut Cx<'_>,
    index: u32,
    random: bool,
) -> Exit {
    let c = &core.cp0;
    let entry = Entry::new(c.entry_hi, c.entry_lo, c.page_mask);
    match core.tlb.replace(index as usize, entry) {
        Some(old) => {
            core.entry_replaced(index as usize, old, &entry, random);
            core.expect_entry(cx, &entry);
            next(core, rest, cx)
        }
        None if index as usize >= core.tlb.len() => next(core, rest, cx),
        None => {
            core.tell_machine_check(op, cx, index as usize, &entry, random);
            core.raise(op, Exception::MachineCheck)
        }
    }
}

fn tlbwi<W: Width>(core: &mut Core<W>, op: &Op<W>, rest: &[Op<W>], cx: &mut Cx<'_>) -> Exit {
    privileged!(core, op);
    let index = core.cp0.index & 0x7fff_ffff;
    tlb_write(core, op, rest, cx, index, false)
}

fn tlbwr<W: Width>(core: &mut Core<W>, op: &Op<W>, rest: &[Op<W>], cx: &mut Cx<'_>) -> Exit {
    privileged!(core, op);
    let index = core.cp0.take_random(core.tlb.len() as u32);
    tlb_write(core, op, rest, cx, index, true)
}

fn shadow<W: Width>(core: &mut Core<W>, op: &Op<W>, rest: &[Op<W>], cx: &mut Cx<'_>) -> Exit {
    privileged!(core, op);
    core.r[op.a] = core.r[op.b];
    next(core, rest, cx)
}

fn rdhwr<W: Width>(core: &mut Core<W>, op: &Op<W>, rest: &[Op<W>], cx: &mut Cx<'_>) -> Exit {
    const CC: u32 = 2;
    if op.imm == CC {
        core.advance_to(op, cx);
    }
    match core.hardware_register(op.imm, cx.now()) {
        Some(value) => {
            core.r[op.a] = value;
            next(core, rest, cx)
        }
        None => core.raise(op, Exception::Reserved),
    }
}

fn syscall<W: Width>(core: &mut Core<W>, op: &Op<W>, _: &[Op<W>], _: &mut Cx<'_>) -> Exit {
    core.raise(op, Exception::Syscall)
}

fn breakpoint<W: Width>(core: &mut Core<W>, op: &Op<W>, _: &[Op<W>], _: &mut Cx<'_>) -> Exit {
    core.raise(op, Exception::Breakpoint)
}

/// SDBBP 1: a call to whoever debugs (MIPS UHI Reference Manual, MD01069, "Calling convention").
const SDBBP_1: u32 = 0x7000_007f;
/// UHI's call that ends the program, with a status in a0.
const UHI_EXIT: u32 = 1;
/// The C library's number of "there is no such call", for UHI.
const ENOSYS: u32 = 88;

/// Takes a call of UHI: the one that ends the program. The others fail: no guest reaches files of the host.
#[cold]
fn semihosted<W: Width>(core: &mut Core<W>, op: &Op<W>, cx: &mut Cx<'_>) -> Exit {
    const A0: u8 = 4;
    const T9: u8 = 25;
    const V0: u8 = 2;
    const V1: u8 = 3;
    core.leave(op);
    core.pc = core.address_of(op).offset(4);
    match core.r[T9].low() {
        UHI_EXIT => cx.request(Request::Exit(core.r[A0].low() as u8)),
        _ => (core.r[V0], core.r[V1]) = (!W::default(), ENOSYS.into()),
    }
    Exit::Event
}

/// An encoding that is no instruction.
pub fn reserved<W: Width>(core: &mut Core<W>, op: &Op<W>, _: &[Op<W>], cx: &mut Cx<'_>) -> Exit {
    if core.semihosting && !op.slot() && core.word_at(cx, core.address_of(op)) == Some(SDBBP_1) {
        return semihosted(core, op, cx);
    }
    core.tell_reserved(op, cx);
    core.raise(op, Exception::Reserved)
}

fn reserved_cop0<W: Width>(core: &mut Core<W>, op: &Op<W>, _: &[Op<W>], cx: &mut Cx<'_>) -> Exit {
    privileged!(core, op);
    core.tell_reserved(op, cx);
    core.raise(op, Exception::Reserved)
}

fn unusable<W: Width>(core: &mut Core<W>, op: &Op<W>, _: &[Op<W>], _: &mut Cx<'_>) -> Exit {
    core.raise(op, Exception::Unusable(op.imm))
}

/// A trap on register and register, or on register and immediate.
macro_rules! traps {
    ($($by_register:ident, $by_immediate:ident($b:ident, $c:ident) = $holds:expr;)*) => {$(
        fn $by_register<W: Width>(core: &mut Core<W>, op: &Op<W>, rest: &[Op<W>], cx: &mut Cx<'_>) -> Exit {
            let ($b, $c) = (core.r[op.b], core.r[op.c]);
            if $holds { core.raise(op, Exception::Trap) } else { next(core, rest, cx) }
        }
        fn $by_immediate<W: Width>(core: &mut Core<W>, op: &Op<W>, rest: &[Op<W>], cx: &mut Cx<'_>) -> Exit {
            let ($b, $c) = (core.r[op.b], W::signed(op.imm));
            if $holds { core.raise(op, Exception::Trap) } else { next(core, rest, cx) }
        }
    )*};
}

traps! {
    teq, teqi(b, c) = b == c;
    tne, tnei(b, c) = b != c;
    tlt, tlti(b, c) = b.cast_signed() < c.cast_signed();
    tltu, tltiu(b, c) = b < c;
    tge, tgei(b, c) = b.cast_signed() >= c.cast_signed();
    tgeu, tgeiu(b, c) = b >= c;
}

/// The function of an instruction of this family.
pub fn handler<W: Width>(kind: Kind) -> Option<Handler<W>> {
    Some(match kind {
        Kind::Mfc0 => mfc0,
        Kind::Mtc0 => mtc0,
        Kind::Dmfc0 => dmfc0,
        Kind::Dmtc0 => dmtc0,
        Kind::Di => di,
        Kind::Ei => ei,
        Kind::Eret => eret,
        Kind::Wait => wait,
        Kind::Tlbp => tlbp,
        Kind::Tlbr => tlbr,
        Kind::Tlbwi => tlbwi,
        Kind::Tlbwr => tlbwr,
        Kind::Shadow => shadow,
        Kind::Rdhwr => rdhwr,
        Kind::Syscall => syscall,
        Kind::Break => breakpoint,
        Kind::Reserved => reserved,
        Kind::ReservedCop0 => reserved_cop0,
        Kind::Unusable => unusable,
        Kind::Trap(Test::Eq) => teq,
        Kind::Trap(Test::Ne) => tne,
        Kind::Trap(Test::Lt) => tlt,
        Kind::Trap(Test::Ltu) => tltu,
        Kind::Trap(Test::Ge) => tge,
        Kind::Trap(Test::Geu) => tgeu,
        Kind::TrapImm(Test::Eq) => teqi,
        Kind::TrapImm(Test::Ne) => tnei,
        Kind::TrapImm(Test::Lt) => tlti,
        Kind::TrapImm(Test::Ltu) => tltiu,
        Kind::TrapImm(Test::Ge) => tgei,
        Kind::TrapImm(Test::Geu) => tgeiu,
        _ => return None,
    })
}

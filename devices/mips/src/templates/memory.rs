//! Loads and stores: a hit in the soft TLB is generated, everything else is left to the interpreter.

use solderless_engine::host::{
    self, Assembler, Binary, Extend, Mem, Operand, Reach, Reg, Shift, Size, T0, T1, T2,
};
use solderless_engine::{Slow, Src};

use super::{At, Emitter, missed, signed, slow, width, word};
use crate::ir::{Inst, Kind};
use crate::width::Width;

/// What an access is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum For {
    Read,
    Write,
}

/// The place of a floating point register's word.
pub fn fpr<W: Width>(place: u8) -> Mem {
    Mem::field(At::<W>::FPR + i32::from(place & 63) * 4)
}

/// The place of a 64-bit floating point register.
pub fn fpr64<W: Width>(place: u8) -> Mem {
    fpr::<W>(place & !1)
}

/// Emits an instruction of this family; false if it is of another.
pub fn emit<W: Width, A: Assembler>(e: &mut Emitter<'_, A, W>, inst: &Inst) -> bool {
    match inst.kind {
        Kind::Lb | Kind::Lbu | Kind::Lh | Kind::Lhu | Kind::Lw | Kind::Lwu | Kind::Ld => {
            load(e, inst);
        }
        Kind::Sb | Kind::Sh | Kind::Sw | Kind::Sd => store(e, inst),
        Kind::Lwl | Kind::Lwr if !W::WIDE => load_part(e, inst),
        Kind::Swl | Kind::Swr if !W::WIDE => store_part(e, inst),
        Kind::Lwc1 | Kind::Lwxc1 => load_fp(e, inst, Size::B4),
        Kind::Ldc1 | Kind::Ldxc1 | Kind::Luxc1 => load_fp(e, inst, Size::B8),
        Kind::Swc1 | Kind::Swxc1 => store_fp(e, inst, Size::B4),
        Kind::Sdc1 | Kind::Sdxc1 | Kind::Suxc1 => store_fp(e, inst, Size::B8),
        _ => return false,
    }
    true
}

/// The address of an access: a host register and a displacement that is a multiple of `low + 1`.
fn address<W: Width, A: Assembler>(e: &mut Emitter<'_, A, W>, inst: &Inst, low: u8) -> (Reg, i32) {
    let by = inst.imm.cast_signed();
    if let Some(base) = known_address(e, inst) {
        e.asm.set(T0, Src::Imm(base.cast_signed()));
        return (T0, 0);
    }
    let base = e.asm.value(inst.b, T0);
    e.asm.addresses(inst.b);
    let made = match inst.kind {
        Kind::Lwxc1 | Kind::Swxc1 | Kind::Ldxc1 | Kind::Sdxc1 | Kind::Luxc1 | Kind::Suxc1 => {
            e.asm.set(T0, Src::Reg(base));
            e.asm.op(Binary::Add, T0, e.asm.src(inst.imm as u8));
            if matches!(inst.kind, Kind::Luxc1 | Kind::Suxc1) {
                e.asm.op(Binary::And, T0, Src::Imm(!7));
            }
            (T0, 0)
        }
        _ if e.known.short || inst.imm & u32::from(low) != 0 => {
            e.asm.add_number(T0, base, by);
            (T0, 0)
        }
        _ => (base, by),
    };
    if W::WIDE && e.known.short {
        e.asm.extend(Size::B4, Extend::SignWide, T0, T0);
    }
    made
}

/// The address of an access, if it is known.
fn known_address<W: Width, A: Assembler>(e: &Emitter<'_, A, W>, inst: &Inst) -> Option<u32> {
    let indexed = matches!(
        inst.kind,
        Kind::Lwxc1 | Kind::Swxc1 | Kind::Ldxc1 | Kind::Sdxc1 | Kind::Luxc1 | Kind::Suxc1
    );
    let base = e.known.registers.value(inst.b);
    // Of 64 bits, a sum may be more than what is known has.
    let base = base.filter(|_| !indexed && !W::WIDE)?;
    Some(base.wrapping_add(inst.imm))
}

/// Gives the place in the host's memory, or goes on at `slow`. `low` are the bits of the address that must be zero.
fn reach<W: Width, A: Assembler>(
    e: &mut Emitter<'_, A, W>,
    inst: &Inst,
    low: u8,
    access: For,
    slow: &mut Slow,
) -> Mem {
    let (base, by) = address(e, inst, low);
    slow.with(base, by);
    let known = known_address(e, inst);
    e.asm.reach(&Reach {
        width: width::<W>(),
        base,
        by,
        known,
        write: access == For::Write,
        low,
        span: 1,
        slow: slow.from,
    })
}

/// The bits of a word's address that must be zero, but for those that are known to be.
fn word_bits<W: Width, A: Assembler>(e: &Emitter<'_, A, W>, inst: &Inst) -> u8 {
    match e.known.registers.aligned(inst.b) && inst.imm & 3 == 0 {
        true => 0,
        false => 3,
    }
}

fn load<W: Width, A: Assembler>(e: &mut Emitter<'_, A, W>, inst: &Inst) {
    let mut slow = missed(e);
    let (low, size, extend) = match inst.kind {
        Kind::Lb => (0, Size::B1, signed::<W>()),
        Kind::Lbu => (0, Size::B1, Extend::Zero),
        Kind::Lh => (1, Size::B2, signed::<W>()),
        Kind::Lhu => (1, Size::B2, Extend::Zero),
        Kind::Lwu => (word_bits(e, inst), Size::B4, Extend::Zero),
        Kind::Ld => (7, Size::B8, Extend::Zero),
        _ => (word_bits(e, inst), Size::B4, word::<W>()),
    };
    let place = reach(e, inst, low, For::Read, &mut slow);
    let to = e.asm.target(inst.a, T0);
    match (size, e.known.mode.big_endian) {
        (Size::B2, true) => {
            e.asm.load(size, Extend::Zero, T0, place);
            e.asm.swap_bytes(size, T0);
            e.asm.extend(size, extend, to, T0);
        }
        (Size::B4 | Size::B8, true) => {
            e.asm.load(size, Extend::Zero, to, place);
            e.asm.swap_bytes(size, to);
            if extend == Extend::SignWide {
                e.asm.extend(size, extend, to, to);
            }
        }
        _ => e.asm.load(size, extend, to, place),
    }
    e.asm.put(inst.a, to);
    if to == T0 {
        slow.holds(inst.a);
    }
    e.back(slow);
}

fn store<W: Width, A: Assembler>(e: &mut Emitter<'_, A, W>, inst: &Inst) {
    let mut slow = missed(e);
    let (low, size) = match inst.kind {
        Kind::Sb => (0, Size::B1),
        Kind::Sh => (1, Size::B2),
        Kind::Sd => (7, Size::B8),
        _ => (word_bits(e, inst), Size::B4),
    };
    let place = reach(e, inst, low, For::Write, &mut slow);
    if matches!(size, Size::B4 | Size::B8) && e.asm.src(inst.c) == Src::Imm(0) {
        e.asm.store_imm(size, 0, place);
    } else {
        let mut from = e.asm.value(inst.c, T2);
        if e.known.mode.big_endian && size != Size::B1 {
            e.asm.set(T2, Src::Reg(from));
            from = T2;
            e.asm.swap_bytes(size, T2);
        }
        e.asm.store(size, from, place);
    }
    e.back(slow);
}

/// Makes the host's address in the first scratch register that of the word, and gives in the second by how many bits what is
/// addressed is into the word, from the low end (for LWR and SWR) or the high one.
fn split<W: Width, A: Assembler>(e: &mut Emitter<'_, A, W>, left: bool) {
    e.asm.set(T1, Src::Reg(T0));
    e.asm.op(Binary::And, T1, Src::Imm(3));
    e.asm.shift_by(Shift::Shl, T1, Some(3));
    e.asm
        .binary(host::Width::W64, Binary::And, T0, Operand::Imm(-4));
    // `shift` of the interpreter is 8 × (va & 3), or 24 less that; the left ones shift by 24 less `shift`.
    if left != e.known.mode.big_endian {
        e.asm.op(Binary::Xor, T1, Src::Imm(24));
    }
}

fn load_part<W: Width, A: Assembler>(e: &mut Emitter<'_, A, W>, inst: &Inst) {
    let left = inst.kind == Kind::Lwl;
    let mut slow = slow(e);
    let place = reach(e, inst, 0, For::Read, &mut slow);
    e.asm.address(T0, place);
    split(e, left);
    e.asm.load(Size::B4, Extend::Zero, T0, Mem::at(T0, 0));
    if e.known.mode.big_endian {
        e.asm.swap_bytes(Size::B4, T0);
    }
    e.asm.set(T2, Src::Imm(-1));
    let shift = if left { Shift::Shl } else { Shift::Shr };
    e.asm.shift_by(shift, T0, None);
    e.asm.shift_by(shift, T2, None);
    e.asm.not(host::Width::W32, T2);
    e.asm.op(Binary::And, T2, e.asm.src(inst.c));
    e.asm.op(Binary::Or, T0, Src::Reg(T2));
    e.asm.put(inst.a, T0);
    e.back(slow);
}

fn store_part<W: Width, A: Assembler>(e: &mut Emitter<'_, A, W>, inst: &Inst) {
    let left = inst.kind == Kind::Swl;
    let mut slow = slow(e);
    let place = reach(e, inst, 0, For::Write, &mut slow);
    e.asm.address(T0, place);
    split(e, left);
    // new = old & !mask | value, both shifted: old & !(MAX >> n) | value >> n, where the n upper bits stay, or the other way round.
    e.asm.set(T2, e.asm.src(inst.c));
    let shift = if left { Shift::Shr } else { Shift::Shl };
    let swap = |e: &mut Emitter<'_, A, W>| {
        if e.known.mode.big_endian {
            e.asm.swap_bytes(Size::B4, T2);
        }
    };
    e.asm.shift_by(shift, T2, None);
    swap(e);
    e.asm.store(Size::B4, T2, A::STACK);
    e.asm.set(T2, Src::Imm(-1));
    e.asm.shift_by(shift, T2, None);
    swap(e);
    e.asm.not(host::Width::W32, T2);
    let word = Mem::at(T0, 0);
    e.asm
        .binary(host::Width::W32, Binary::And, T2, Operand::Mem(word));
    e.asm
        .binary(host::Width::W32, Binary::Or, T2, Operand::Mem(A::STACK));
    e.asm.store(Size::B4, T2, word);
    e.back(slow);
}

/// The place of a floating point register for a value of this size.
fn register<W: Width>(size: Size, place: u8) -> Mem {
    match size {
        Size::B8 => fpr64::<W>(place),
        _ => fpr::<W>(place),
    }
}

/// The bits of an address that must be zero.
fn alignment(size: Size) -> u8 {
    match size {
        Size::B8 => 7,
        _ => 3,
    }
}

fn load_fp<W: Width, A: Assembler>(e: &mut Emitter<'_, A, W>, inst: &Inst, size: Size) {
    let mut slow = missed(e);
    let place = reach(e, inst, alignment(size), For::Read, &mut slow);
    e.asm.load(size, Extend::Zero, T1, place);
    if e.known.mode.big_endian {
        e.asm.swap_bytes(size, T1);
    }
    e.asm.store(size, T1, register::<W>(size, inst.c));
    e.back(slow);
}

fn store_fp<W: Width, A: Assembler>(e: &mut Emitter<'_, A, W>, inst: &Inst, size: Size) {
    let mut slow = missed(e);
    let place = reach(e, inst, alignment(size), For::Write, &mut slow);
    e.asm
        .load(size, Extend::Zero, T2, register::<W>(size, inst.c));
    if e.known.mode.big_endian {
        e.asm.swap_bytes(size, T2);
    }
    e.asm.store(size, T2, place);
    e.back(slow);
}

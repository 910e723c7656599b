//! Floating point: what the host's arithmetic gives and raises nothing but Inexact is generated, the rest is left to the
//! interpreter.
//!
//! A block with arithmetic is entered only where FCSR says that the host rounds alike, and that Inexact neither traps nor is
//! news; so the result is all there is to compute, and what FCSR.Cause is to say is noted as due, as the interpreter does.

use solderless_engine::Src;
use solderless_engine::host::{
    Assembler, Binary, Extend, Float, Freg, If, Label, Mem, Operand, Shift, Size, T0, T1, Width,
};

use super::memory::{fpr, fpr64};
use super::{Emitter, at, flow, slow};
use crate::exec::due;
use crate::fpu::Fcsr;
use crate::ir::{Cond, Fmt, Fp, How, Inst, Kind};

/// Whether a block with this instruction needs the FPU to be as above.
pub fn is_arithmetic(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Fp(
            Fp::Add
                | Fp::Sub
                | Fp::Mul
                | Fp::Div
                | Fp::Sqrt
                | Fp::Abs
                | Fp::Neg
                | Fp::ToW(How::Trunc)
                | Fp::ToS
                | Fp::ToD
                | Fp::Compare,
            _
        )
    )
}

/// Emits an instruction of this family; false if it is of another, or one that is left to the interpreter.
pub fn emit<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst) -> bool {
    match inst.kind {
        Kind::Mfc1 => {
            let to = e.asm.target(inst.a, T0);
            e.asm.load(Size::B4, Extend::Zero, to, fpr(inst.c));
            e.asm.put(inst.a, to);
        }
        Kind::Mtc1 => {
            let from = e.asm.value(inst.b, T0);
            e.asm.store(Size::B4, from, fpr(inst.c));
        }
        Kind::Movf | Kind::Movt => {
            let over = e.asm.label();
            let cond = match inst.kind {
                Kind::Movt => Cond::FpTrue,
                _ => Cond::FpFalse,
            };
            let holds = flow::test_fp(e, cond, inst.c);
            e.asm.jump_if(!holds, over);
            let from = e.asm.value(inst.b, T0);
            e.asm.put(inst.a, from);
            e.asm.bind(over);
        }
        Kind::Fp(op @ (Fp::Mov | Fp::Movf | Fp::Movt | Fp::Movz | Fp::Movn), fmt) => {
            move_register(e, inst, op, fmt == Fmt::D);
        }
        // After CTC1 FCSR may say anything.
        Kind::Fp(..) if e.known.fcsr_written => return false,
        Kind::Fp(op, fmt @ (Fmt::S | Fmt::D)) => {
            let double = fmt == Fmt::D;
            match op {
                Fp::Add => arithmetic(e, inst, op, Float::Add, double),
                Fp::Sub => arithmetic(e, inst, op, Float::Sub, double),
                Fp::Mul => arithmetic(e, inst, op, Float::Mul, double),
                Fp::Div => arithmetic(e, inst, op, Float::Div, double),
                Fp::Sqrt => arithmetic(e, inst, op, Float::Sqrt, double),
                Fp::Abs | Fp::Neg => sign(e, inst, op == Fp::Neg, double),
                Fp::Compare => compare(e, inst, double),
                Fp::ToW(How::Trunc) => truncate(e, inst, double),
                Fp::ToS if double => narrow(e, inst),
                Fp::ToD if !double => widen(e, inst),
                _ => return false,
            }
        }
        Kind::Fp(Fp::ToD, Fmt::W) => {
            let from = Operand::Mem(fpr(inst.b));
            e.asm.float_of(true, Width::W32, from);
            e.asm.store_float(Freg::F0, true, fpr64(inst.a));
            raised_nothing(e);
        }
        _ => return false,
    }
    true
}

/// The place of a register of a format.
fn register(place: u8, double: bool) -> Mem {
    match double {
        true => fpr64(place),
        false => fpr(place),
    }
}

fn get<A: Assembler>(e: &mut Emitter<'_, A>, to: Freg, place: u8, double: bool) {
    e.asm.load_float(to, double, register(place, double));
}

fn put<A: Assembler>(e: &mut Emitter<'_, A>, place: u8, double: bool) {
    e.asm.store_float(Freg::F0, double, register(place, double));
}

/// An operation has raised nothing: FCSR.Cause says so.
fn raised_nothing<A: Assembler>(e: &mut Emitter<'_, A>) {
    e.asm.store_imm(Size::B8, 0, Mem::field(at::DUE));
    let keep = (!Fcsr::CAUSE).cast_signed();
    e.asm
        .binary_at(Width::W32, Binary::And, Mem::field(at::FCSR), keep);
}

/// Gets the biased exponent of a number, less what is given.
fn exponent<A: Assembler>(e: &mut Emitter<'_, A>, of: Freg, double: bool, less: i32) {
    e.asm.float_bits(T0, double, of);
    let (width, shift, mask) = match double {
        true => (Width::W64, 52, 0x7ff),
        false => (Width::W32, 23, 0xff),
    };
    e.asm.shift(width, Shift::Shr, T0, Some(shift));
    e.asm.op(Binary::And, T0, Src::Imm(mask));
    e.asm.op(Binary::Sub, T0, Src::Imm(less));
}

/// Goes to `slow` unless the result is a normal number, and not the smallest.
fn unless_normal<A: Assembler>(e: &mut Emitter<'_, A>, double: bool, slow: Label) {
    exponent(e, Freg::F0, double, 2);
    let most = if double { 0x7fd } else { 0xfd };
    e.asm.op(Binary::Cmp, T0, Src::Imm(most));
    e.asm.jump_if(If::AboveOrEqual, slow);
}

/// Notes that Cause is due from an operation on these operands.
fn note_due<A: Assembler>(e: &mut Emitter<'_, A>, op: Fp, fmt: Fmt, inst: &Inst) {
    let again = due(op, fmt).map_or(0, |f| f as usize);
    let double = fmt == Fmt::D;
    for (place, n) in [(inst.b, 0), (inst.c, 1)] {
        let size = if double { Size::B8 } else { Size::B4 };
        e.asm.load(size, Extend::Zero, T1, register(place, double));
        let to = Mem::field(at::DUE_OPERANDS + 8 * n);
        e.asm.store(Size::B8, T1, to);
    }
    e.asm.mov_wide(T1, again as u64);
    e.asm.store(Size::B8, T1, Mem::field(at::DUE));
}

fn arithmetic<A: Assembler>(
    e: &mut Emitter<'_, A>,
    inst: &Inst,
    op: Fp,
    float: Float,
    double: bool,
) {
    let slow = slow(e);
    if float == Float::Sqrt {
        get(e, Freg::F1, inst.b, double);
    } else {
        get(e, Freg::F0, inst.b, double);
        get(e, Freg::F1, inst.c, double);
    }
    e.asm.float(float, double);
    unless_normal(e, double, slow.from);
    note_due(e, op, if double { Fmt::D } else { Fmt::S }, inst);
    put(e, inst.a, double);
    e.back(slow);
}

fn narrow<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst) {
    let slow = slow(e);
    get(e, Freg::F1, inst.b, true);
    e.asm.convert(false);
    unless_normal(e, false, slow.from);
    note_due(e, Fp::ToS, Fmt::D, inst);
    put(e, inst.a, false);
    e.back(slow);
}

/// Always exact; what is neither normal nor zero is left to the interpreter.
fn widen<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst) {
    let slow = slow(e);
    get(e, Freg::F1, inst.b, false);
    exponent(e, Freg::F1, false, 1);
    e.asm.op(Binary::Cmp, T0, Src::Imm(0xfe));
    e.asm.jump_if(If::AboveOrEqual, slow.from);
    e.asm.convert(true);
    put(e, inst.a, true);
    raised_nothing(e);
    e.back(slow);
}

fn sign<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst, negate: bool, double: bool) {
    let slow = slow(e);
    get(e, Freg::F0, inst.b, double);
    e.asm.compare_float(double, None);
    e.asm.jump_if(If::Unordered, slow.from);
    e.asm.float_bits(T0, double, Freg::F0);
    let (bit, size) = match double {
        true => (63, Size::B8),
        false => (31, Size::B4),
    };
    e.asm.bit(bit, negate);
    e.asm.store(size, T0, register(inst.a, double));
    raised_nothing(e);
    e.back(slow);
}

fn compare<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst, double: bool) {
    let slow = slow(e);
    let (less, equal) = (inst.imm & 4 != 0, inst.imm & 2 != 0);
    let bit = Fcsr::cc_bit(inst.imm >> 4);
    get(e, Freg::F0, inst.b, double);
    e.asm.compare_float(double, Some(register(inst.c, double)));
    e.asm.jump_if(If::Unordered, slow.from);
    let condition = match (less, equal) {
        (true, true) => Some(If::BelowOrEqual),
        (true, false) => Some(If::Below),
        (false, true) => Some(If::Equal),
        (false, false) => None,
    };
    match condition {
        Some(condition) => {
            e.asm.set_if(condition, T0);
            let shift = bit.trailing_zeros() as u8;
            e.asm.shift_by(Shift::Shl, T0, Some(shift));
        }
        None => e.asm.set(T0, Src::Imm(0)),
    }
    let keep = !(Fcsr::CAUSE | bit);
    e.asm.get_field(T1, at::FCSR);
    e.asm.op(Binary::And, T1, Src::Imm(keep.cast_signed()));
    e.asm.op(Binary::Or, T1, Src::Reg(T0));
    e.asm.put_field(at::FCSR, T1);
    e.asm.store_imm(Size::B8, 0, Mem::field(at::DUE));
    e.back(slow);
}

fn truncate<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst, double: bool) {
    let slow = slow(e);
    let fmt = if double { Fmt::D } else { Fmt::S };
    get(e, Freg::F0, inst.b, double);
    e.asm.truncate(Width::W32, double);
    // Zero can be of a subnormal number, 0x80000000 is of what does not fit.
    e.asm.sum(Width::W32, T1, T0, T0);
    e.asm.test_zero(T1);
    e.asm.jump_if(If::Equal, slow.from);
    note_due(e, Fp::ToW(How::Trunc), fmt, inst);
    e.asm.store(Size::B4, T0, fpr(inst.a));
    e.back(slow);
}

/// A move between floating point registers, under a condition.
fn move_register<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst, op: Fp, double: bool) {
    let over = e.asm.label();
    let stays = match op {
        Fp::Mov => None,
        Fp::Movf => Some(flow::test_fp(e, Cond::FpTrue, inst.c)),
        Fp::Movt => Some(flow::test_fp(e, Cond::FpFalse, inst.c)),
        _ => {
            let c = e.asm.value(inst.c, T0);
            e.asm.test_zero(c);
            Some(match op {
                Fp::Movz => If::NotEqual,
                _ => If::Equal,
            })
        }
    };
    if let Some(stays) = stays {
        e.asm.jump_if(stays, over);
    }
    let size = if double { Size::B8 } else { Size::B4 };
    e.asm.load(size, Extend::Zero, T0, register(inst.b, double));
    e.asm.store(size, T0, register(inst.a, double));
    e.asm.bind(over);
}

//! Floating point: what the host's arithmetic gives and raises nothing but Inexact is generated, the rest is left to the
//! interpreter.
//!
//! A block with arithmetic is entered only where FCSR says that the host rounds alike, and that Inexact neither traps nor is
//! news; so the result is all there is to compute, and what FCSR.Cause is to say is noted as due, as the interpreter does.

use solderless_engine::Src;
use solderless_engine::host::{
    self, Assembler, Binary, Extend, Float, Freg, If, Label, Mem, Operand, Shift, Size, T0, T1,
};

use super::memory::{fpr, fpr64};
use super::{At, Emitter, flow, slow, word};
use crate::exec::due;
use crate::fpu::Fcsr;
use crate::ir::{Cond, Fmt, Fp, How, Inst, Kind};
use crate::width::Width;

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
pub fn emit<W: Width, A: Assembler>(e: &mut Emitter<'_, A, W>, inst: &Inst) -> bool {
    match inst.kind {
        Kind::Mfc1 => {
            let to = e.asm.target(inst.a, T0);
            e.asm.load(Size::B4, word::<W>(), to, fpr::<W>(inst.c));
            e.asm.put(inst.a, to);
        }
        Kind::Mtc1 => {
            let from = e.asm.value(inst.b, T0);
            e.asm.store(Size::B4, from, fpr::<W>(inst.c));
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
                Fp::Abs | Fp::Neg => change_sign(e, inst, op == Fp::Neg, double),
                Fp::Compare => compare(e, inst, double),
                Fp::ToW(How::Trunc) => truncate(e, inst, double),
                Fp::ToS if double => narrow(e, inst),
                Fp::ToD if !double => widen(e, inst),
                _ => return false,
            }
        }
        Kind::Fp(Fp::ToD, Fmt::W) => {
            let from = Operand::Mem(fpr::<W>(inst.b));
            e.asm.float_of(true, host::Width::W32, from);
            e.asm.store_float(Freg::F0, true, fpr64::<W>(inst.a));
            raised_nothing(e);
        }
        _ => return false,
    }
    true
}

/// The place of a register of a format.
fn register<W: Width>(place: u8, double: bool) -> Mem {
    match double {
        true => fpr64::<W>(place),
        false => fpr::<W>(place),
    }
}

fn get<W: Width, A: Assembler>(e: &mut Emitter<'_, A, W>, to: Freg, place: u8, double: bool) {
    e.asm.load_float(to, double, register::<W>(place, double));
}

fn put<W: Width, A: Assembler>(e: &mut Emitter<'_, A, W>, place: u8, double: bool) {
    e.asm
        .store_float(Freg::F0, double, register::<W>(place, double));
}

/// An operation has raised nothing: FCSR.Cause says so.
fn raised_nothing<W: Width, A: Assembler>(e: &mut Emitter<'_, A, W>) {
    e.asm.store_imm(Size::B8, 0, Mem::field(At::<W>::DUE));
    let keep = (!Fcsr::CAUSE).cast_signed();
    e.asm.binary_at(
        host::Width::W32,
        Binary::And,
        Mem::field(At::<W>::FCSR),
        keep,
    );
}

/// Gets the biased exponent of a number, less what is given.
fn exponent<W: Width, A: Assembler>(e: &mut Emitter<'_, A, W>, of: Freg, double: bool, less: i32) {
    e.asm.float_bits(T0, double, of);
    let (width, shift, mask) = match double {
        true => (host::Width::W64, 52, 0x7ff),
        false => (host::Width::W32, 23, 0xff),
    };
    e.asm.shift(width, Shift::Shr, T0, Some(shift));
    e.asm.op_low(Binary::And, T0, Src::Imm(mask));
    e.asm.op_low(Binary::Sub, T0, Src::Imm(less));
}

/// Goes to `slow` unless the result is a normal number, and not the smallest.
fn unless_normal<W: Width, A: Assembler>(e: &mut Emitter<'_, A, W>, double: bool, slow: Label) {
    exponent(e, Freg::F0, double, 2);
    let most = if double { 0x7fd } else { 0xfd };
    e.asm.op_low(Binary::Cmp, T0, Src::Imm(most));
    e.asm.jump_if(If::AboveOrEqual, slow);
}

/// Notes that Cause is due from an operation on these operands.
fn note_due<W: Width, A: Assembler>(e: &mut Emitter<'_, A, W>, op: Fp, fmt: Fmt, inst: &Inst) {
    let again = due(op, fmt).map_or(0, |f| f as usize);
    let double = fmt == Fmt::D;
    for (place, n) in [(inst.b, 0), (inst.c, 1)] {
        let size = if double { Size::B8 } else { Size::B4 };
        e.asm
            .load(size, Extend::Zero, T1, register::<W>(place, double));
        let to = Mem::field(At::<W>::DUE_OPERANDS + 8 * n);
        e.asm.store(Size::B8, T1, to);
    }
    e.asm.mov_wide(T1, again as u64);
    e.asm.store(Size::B8, T1, Mem::field(At::<W>::DUE));
}

fn arithmetic<W: Width, A: Assembler>(
    e: &mut Emitter<'_, A, W>,
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

fn narrow<W: Width, A: Assembler>(e: &mut Emitter<'_, A, W>, inst: &Inst) {
    let slow = slow(e);
    get(e, Freg::F1, inst.b, true);
    e.asm.convert(false);
    unless_normal(e, false, slow.from);
    note_due(e, Fp::ToS, Fmt::D, inst);
    put(e, inst.a, false);
    e.back(slow);
}

/// Always exact; what is neither normal nor zero is left to the interpreter.
fn widen<W: Width, A: Assembler>(e: &mut Emitter<'_, A, W>, inst: &Inst) {
    let slow = slow(e);
    get(e, Freg::F1, inst.b, false);
    exponent(e, Freg::F1, false, 1);
    e.asm.op_low(Binary::Cmp, T0, Src::Imm(0xfe));
    e.asm.jump_if(If::AboveOrEqual, slow.from);
    e.asm.convert(true);
    put(e, inst.a, true);
    raised_nothing(e);
    e.back(slow);
}

fn change_sign<W: Width, A: Assembler>(
    e: &mut Emitter<'_, A, W>,
    inst: &Inst,
    negate: bool,
    double: bool,
) {
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
    e.asm.store(size, T0, register::<W>(inst.a, double));
    raised_nothing(e);
    e.back(slow);
}

fn compare<W: Width, A: Assembler>(e: &mut Emitter<'_, A, W>, inst: &Inst, double: bool) {
    let slow = slow(e);
    let (less, equal) = (inst.imm & 4 != 0, inst.imm & 2 != 0);
    let bit = Fcsr::cc_bit(inst.imm >> 4);
    get(e, Freg::F0, inst.b, double);
    e.asm
        .compare_float(double, Some(register::<W>(inst.c, double)));
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
    e.asm
        .load(Size::B4, Extend::Zero, T1, Mem::field(At::<W>::FCSR));
    e.asm.op_low(Binary::And, T1, Src::Imm(keep.cast_signed()));
    e.asm.op_low(Binary::Or, T1, Src::Reg(T0));
    e.asm.store(Size::B4, T1, Mem::field(At::<W>::FCSR));
    e.asm.store_imm(Size::B8, 0, Mem::field(At::<W>::DUE));
    e.back(slow);
}

fn truncate<W: Width, A: Assembler>(e: &mut Emitter<'_, A, W>, inst: &Inst, double: bool) {
    let slow = slow(e);
    let fmt = if double { Fmt::D } else { Fmt::S };
    get(e, Freg::F0, inst.b, double);
    e.asm.truncate(host::Width::W32, double);
    // Zero can be of a subnormal number, 0x80000000 is of what does not fit.
    e.asm.sum(host::Width::W32, T1, T0, T0);
    e.asm.test_zero(T1);
    e.asm.jump_if(If::Equal, slow.from);
    note_due(e, Fp::ToW(How::Trunc), fmt, inst);
    e.asm.store(Size::B4, T0, fpr::<W>(inst.a));
    e.back(slow);
}

/// A move between floating point registers, under a condition.
fn move_register<W: Width, A: Assembler>(
    e: &mut Emitter<'_, A, W>,
    inst: &Inst,
    op: Fp,
    double: bool,
) {
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
    e.asm
        .load(size, Extend::Zero, T0, register::<W>(inst.b, double));
    e.asm.store(size, T0, register::<W>(inst.a, double));
    e.asm.bind(over);
}

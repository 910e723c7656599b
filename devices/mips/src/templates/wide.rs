//! What CPUs of 64 bits have apart: computations on 64 bits, those on 32 whose results are extended, and HI and LO, which are
//! registers like the others.
//!
//! No template of an instruction that [`writes_only_a`](super::alu::writes_only_a) uses the third scratch register.

use solderless_engine::Src;
use solderless_engine::host::{
    Assembler, Binary, Extend, If, Operand, Reg, Shift, Size, T0, T1, T2, Width as Bits,
};

use super::{Emitter, alu, slow};
use crate::ir::{HI, Inst, Kind, LO, SINK};
use crate::width::Width;

/// Emits an instruction of this family; false if it is of another, or registers have 32 bits.
pub fn emit<W: Width, A: Assembler>(e: &mut Emitter<'_, A, W>, inst: &Inst) -> bool {
    if !W::WIDE {
        return false;
    }
    let Inst {
        kind,
        a,
        b,
        c,
        imm,
        imm2,
    } = *inst;
    if a == SINK && alu::writes_only_a(kind) {
        return true;
    }
    let number = Src::Imm(imm.cast_signed());
    match kind {
        // What `alu` makes of these is for HI and LO in one register.
        Kind::Li => e.asm.put_imm(a, imm.cast_signed()),
        Kind::Move => match e.asm.place_of(b) {
            Src::Imm(value) => e.asm.put_imm(a, value),
            _ => {
                let to = e.asm.target(a, T0);
                let from = e.asm.value(b, to);
                e.asm.put(a, from);
            }
        },
        Kind::Addu => word(e, a, b, e.asm.src(c), Binary::Add),
        Kind::Subu => word(e, a, b, e.asm.src(c), Binary::Sub),
        Kind::Mul => word(e, a, b, e.asm.src(c), Binary::Mul),
        Kind::Addiu => word(e, a, b, number, Binary::Add),
        Kind::Daddu if let (Src::Reg(_), Src::Reg(_)) = (e.asm.place_of(b), e.asm.place_of(c)) => {
            let (b, c) = (e.asm.value(b, T0), e.asm.value(c, T0));
            let to = e.asm.target(a, T0);
            e.asm.add_registers(to, b, c);
            e.asm.put(a, to);
        }
        Kind::Daddu => e.asm.combine(Binary::Add, a, b, e.asm.src(c), true),
        Kind::Dsubu if b == 0 => {
            let to = e.asm.target(a, T0);
            e.asm.set(to, e.asm.src(c));
            e.asm.negate(Bits::W64, to);
            e.asm.put(a, to);
        }
        Kind::Dsubu => e.asm.combine(Binary::Sub, a, b, e.asm.src(c), false),
        Kind::Daddiu => match e.asm.place_of(b) {
            Src::Reg(from) if e.asm.target(a, T0) != from => {
                let (to, from) = (e.asm.target(a, T0), e.asm.value(b, T0));
                e.asm.add_number(to, from, imm.cast_signed());
                e.asm.put(a, to);
            }
            _ => e.asm.combine(Binary::Add, a, b, number, true),
        },
        Kind::Sll if imm == 0 => extended(e, a, b, Size::B4),
        Kind::Seb => extended(e, a, b, Size::B1),
        Kind::Seh => extended(e, a, b, Size::B2),
        Kind::Sll => shift(e, inst, Shift::Shl, Bits::W32, true),
        Kind::Srl => shift(e, inst, Shift::Shr, Bits::W32, true),
        Kind::Sra => shift(e, inst, Shift::Sar, Bits::W32, true),
        Kind::Rotr => shift(e, inst, Shift::Ror, Bits::W32, true),
        Kind::Sllv => shift(e, inst, Shift::Shl, Bits::W32, false),
        Kind::Srlv => shift(e, inst, Shift::Shr, Bits::W32, false),
        Kind::Srav => shift(e, inst, Shift::Sar, Bits::W32, false),
        Kind::Rotrv => shift(e, inst, Shift::Ror, Bits::W32, false),
        Kind::Dsll => shift(e, inst, Shift::Shl, Bits::W64, true),
        Kind::Dsrl => shift(e, inst, Shift::Shr, Bits::W64, true),
        Kind::Dsra => shift(e, inst, Shift::Sar, Bits::W64, true),
        Kind::Drotr => shift(e, inst, Shift::Ror, Bits::W64, true),
        Kind::Dsllv => shift(e, inst, Shift::Shl, Bits::W64, false),
        Kind::Dsrlv => shift(e, inst, Shift::Shr, Bits::W64, false),
        Kind::Dsrav => shift(e, inst, Shift::Sar, Bits::W64, false),
        Kind::Drotrv => shift(e, inst, Shift::Ror, Bits::W64, false),
        Kind::Clz | Kind::Clo => leading(e, inst, Bits::W32, kind == Kind::Clo),
        Kind::Dclz | Kind::Dclo => leading(e, inst, Bits::W64, kind == Kind::Dclo),
        Kind::Wsbh => {
            e.asm.set_low(T0, e.asm.src(b));
            e.asm.swap_in_halves(T0);
            put_word(e, a, T0);
        }
        Kind::Ext => {
            e.asm.set_low(T0, e.asm.src(b));
            e.asm
                .shift(Bits::W32, Shift::Shr, T0, Some((imm & 31) as u8));
            e.asm.op_low(Binary::And, T0, Src::Imm(imm2.cast_signed()));
            put_word(e, a, T0);
        }
        Kind::Ins => {
            e.asm.set_low(T1, e.asm.src(b));
            e.asm
                .shift(Bits::W32, Shift::Shl, T1, Some((imm & 31) as u8));
            e.asm.op_low(Binary::And, T1, Src::Imm(imm2.cast_signed()));
            e.asm.set_low(T0, e.asm.src(c));
            e.asm.op_low(Binary::And, T0, Src::Imm(!imm2.cast_signed()));
            e.asm.op_low(Binary::Or, T0, Src::Reg(T1));
            put_word(e, a, T0);
        }
        // The field to the upper end, and down again.
        Kind::Dext => {
            e.asm.set(T0, e.asm.src(b));
            let up = 64 - imm - imm2;
            if up != 0 {
                e.asm.shift_by(Shift::Shl, T0, Some(up as u8 & 63));
            }
            if imm2 != 64 {
                e.asm.shift_by(Shift::Shr, T0, Some((64 - imm2) as u8 & 63));
            }
            e.asm.put(a, T0);
        }
        Kind::Dins => {
            let mask = u64::MAX.wrapping_shr(64 - imm2).wrapping_shl(imm);
            e.asm.mov_wide(T0, !mask);
            e.asm.op(Binary::And, T0, e.asm.src(c));
            e.asm.set(T1, e.asm.src(b));
            let up = 64 - imm2;
            if up != 0 {
                e.asm.shift_by(Shift::Shl, T1, Some(up as u8 & 63));
            }
            let down = up - imm;
            if down != 0 {
                e.asm.shift_by(Shift::Shr, T1, Some(down as u8 & 63));
            }
            e.asm.op(Binary::Or, T0, Src::Reg(T1));
            e.asm.put(a, T0);
        }
        Kind::Add => checked(e, inst, e.asm.src(c), Binary::Add, Bits::W32),
        Kind::Sub => checked(e, inst, e.asm.src(c), Binary::Sub, Bits::W32),
        Kind::Addi => checked(e, inst, number, Binary::Add, Bits::W32),
        Kind::Dadd => checked(e, inst, e.asm.src(c), Binary::Add, Bits::W64),
        Kind::Dsub => checked(e, inst, e.asm.src(c), Binary::Sub, Bits::W64),
        Kind::Daddi => checked(e, inst, number, Binary::Add, Bits::W64),
        Kind::Mult | Kind::Multu => {
            product(e, inst, kind == Kind::Mult);
            put_halves(e);
        }
        Kind::Madd | Kind::Maddu => {
            accumulator(e);
            product(e, inst, kind == Kind::Madd);
            e.asm.op(Binary::Add, T0, Src::Reg(T1));
            put_halves(e);
        }
        Kind::Msub | Kind::Msubu => {
            accumulator(e);
            product(e, inst, kind == Kind::Msub);
            e.asm.op(Binary::Sub, T1, Src::Reg(T0));
            e.asm.set(T0, Src::Reg(T1));
            put_halves(e);
        }
        Kind::Dmult | Kind::Dmultu => {
            e.asm.set(T1, e.asm.src(c));
            e.asm.set(T0, e.asm.src(b));
            e.asm.multiply_high(kind == Kind::Dmult);
            e.asm.put(HI, T2);
            e.asm.set(T0, e.asm.src(b));
            e.asm.op(Binary::Mul, T0, e.asm.src(c));
            e.asm.put(LO, T0);
        }
        Kind::Div | Kind::Divu => divide(e, inst, Bits::W32, kind == Kind::Div),
        Kind::Ddiv | Kind::Ddivu => divide(e, inst, Bits::W64, kind == Kind::Ddiv),
        Kind::Dmfc1 => {
            let to = e.asm.target(a, T0);
            let from = super::memory::fpr64::<W>(c);
            e.asm.load(Size::B8, Extend::Zero, to, from);
            e.asm.put(a, to);
        }
        Kind::Dmtc1 => {
            let from = e.asm.value(b, T0);
            let to = super::memory::fpr64::<W>(c);
            e.asm.store(Size::B8, from, to);
        }
        _ => return false,
    }
    true
}

/// Extends a result of 32 bits, which is in the register's [`target`](solderless_engine::Asm::target) or a scratch register.
fn put_word<W: Width, A: Assembler>(e: &mut Emitter<'_, A, W>, a: u8, from: Reg) {
    let to = e.asm.target(a, T0);
    e.asm
        .set_extended(Size::B4, Extend::SignWide, to, Src::Reg(from));
    e.asm.put(a, to);
}

fn extended<W: Width, A: Assembler>(e: &mut Emitter<'_, A, W>, a: u8, b: u8, size: Size) {
    let to = e.asm.target(a, T0);
    e.asm.set_extended(size, Extend::SignWide, to, e.asm.src(b));
    e.asm.put(a, to);
}

/// An operation on 32 bits.
fn word<W: Width, A: Assembler>(
    e: &mut Emitter<'_, A, W>,
    a: u8,
    b: u8,
    c: Src,
    operation: Binary,
) {
    let to = e.asm.target(a, T0);
    let to = if c == Src::Reg(to) { T0 } else { to };
    match (operation, e.asm.place_of(b), c) {
        (Binary::Add, Src::Reg(from), Src::Imm(number)) if from != to => {
            e.asm.src(b);
            e.asm.add_to(Bits::W32, to, from, number);
        }
        (Binary::Add, Src::Reg(left), Src::Reg(right)) if left != to => {
            e.asm.src(b);
            e.asm.sum(Bits::W32, to, left, right);
        }
        _ => {
            e.asm.set_low(to, e.asm.src(b));
            e.asm.op_low(operation, to, c);
        }
    }
    put_word(e, a, to);
}

/// A shift by a number in the instruction, or in a register.
fn shift<W: Width, A: Assembler>(
    e: &mut Emitter<'_, A, W>,
    inst: &Inst,
    shift: Shift,
    width: Bits,
    known: bool,
) {
    let most = if width == Bits::W32 { 31 } else { 63 };
    let by = known.then_some((inst.imm & most) as u8);
    if !known {
        e.asm.set_low(T1, e.asm.src(inst.c));
    }
    let to = e.asm.target(inst.a, T0);
    match width {
        Bits::W64 => {
            e.asm.set(to, e.asm.src(inst.b));
            e.asm.shift_by(shift, to, by);
            e.asm.put(inst.a, to);
        }
        Bits::W32 => {
            e.asm.set_low(to, e.asm.src(inst.b));
            e.asm.shift(width, shift, to, by);
            put_word(e, inst.a, to);
        }
    }
}

fn leading<W: Width, A: Assembler>(
    e: &mut Emitter<'_, A, W>,
    inst: &Inst,
    width: Bits,
    ones: bool,
) {
    e.asm.set(T0, e.asm.src(inst.b));
    if ones {
        e.asm.not(width, T0);
    }
    e.asm.leading_zeros(width);
    e.asm.put(inst.a, T0);
}

/// An addition or subtraction that traps on overflow.
fn checked<W: Width, A: Assembler>(
    e: &mut Emitter<'_, A, W>,
    inst: &Inst,
    c: Src,
    operation: Binary,
    width: Bits,
) {
    let slow = slow(e);
    match width {
        Bits::W32 => {
            e.asm.set_low(T0, e.asm.src(inst.b));
            e.asm.op_low(operation, T0, c);
        }
        Bits::W64 => {
            e.asm.set(T0, e.asm.src(inst.b));
            e.asm.op(operation, T0, c);
        }
    }
    e.asm.jump_if(If::Overflow, slow.from);
    match width {
        Bits::W32 if inst.a != SINK => put_word(e, inst.a, T0),
        _ => e.asm.put(inst.a, T0),
    }
    e.back(slow);
}

/// The product of the lower halves, of 64 bits, in the first scratch register; changes the third.
fn product<W: Width, A: Assembler>(e: &mut Emitter<'_, A, W>, inst: &Inst, signed: bool) {
    let extend = if signed {
        Extend::SignWide
    } else {
        Extend::Zero
    };
    e.asm.set_extended(Size::B4, extend, T0, e.asm.src(inst.b));
    e.asm.set_extended(Size::B4, extend, T2, e.asm.src(inst.c));
    e.asm.binary(Bits::W64, Binary::Mul, T0, Operand::Reg(T2));
}

/// HI and LO of 32 bits each, in the second scratch register; changes the first.
fn accumulator<W: Width, A: Assembler>(e: &mut Emitter<'_, A, W>) {
    e.asm.set(T1, e.asm.src(HI));
    e.asm.shift_by(Shift::Shl, T1, Some(32));
    e.asm
        .set_extended(Size::B4, Extend::Zero, T0, e.asm.src(LO));
    e.asm.op(Binary::Or, T1, Src::Reg(T0));
}

/// The halves of what is in the first scratch register go to HI and LO.
fn put_halves<W: Width, A: Assembler>(e: &mut Emitter<'_, A, W>) {
    e.asm.set(T2, Src::Reg(T0));
    e.asm.shift_by(Shift::Sar, T2, Some(32));
    e.asm.put(HI, T2);
    put_word(e, LO, T0);
}

fn divide<W: Width, A: Assembler>(
    e: &mut Emitter<'_, A, W>,
    inst: &Inst,
    width: Bits,
    signed: bool,
) {
    let slow = slow(e);
    e.asm.set(T1, e.asm.src(inst.c));
    e.asm.test(width, T1, T1);
    e.asm.jump_if(If::Equal, slow.from);
    if signed {
        // The one quotient that overflows has this divisor.
        e.asm.binary(width, Binary::Cmp, T1, Operand::Imm(-1));
        e.asm.jump_if(If::Equal, slow.from);
    }
    e.asm.set(T0, e.asm.src(inst.b));
    e.asm.divide(width, signed);
    match width {
        Bits::W32 => {
            put_word(e, LO, T0);
            put_word(e, HI, T2);
        }
        Bits::W64 => {
            e.asm.put(LO, T0);
            e.asm.put(HI, T2);
        }
    }
    e.back(slow);
}

//! Integer arithmetic.

use solderless_engine::Src;
use solderless_engine::host::{Assembler, Binary, Extend, If, Shift, Size, T0, T1, T2, Width};

use super::{Emitter, flow, slow};
use crate::exec::Alu;
use crate::inst::{Inst, Kind, SINK};

/// The right operand of an operation.
#[derive(Debug, Clone, Copy)]
enum Right {
    Register(u8),
    Number(i32),
}

impl Right {
    /// Where it is, to be read once.
    fn src<A: Assembler>(self, e: &Emitter<'_, A>) -> Src {
        match self {
            Self::Register(register) => e.asm.src(register),
            Self::Number(number) => Src::Imm(number),
        }
    }

    fn is_zero(self) -> bool {
        matches!(self, Self::Register(0) | Self::Number(0))
    }
}

/// Emits an instruction of this family; false if it is of another, or one that is left to the interpreter.
pub fn emit<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst) -> bool {
    let (operation, c) = match inst.kind {
        Kind::Registers(operation) => (operation, Right::Register(inst.c)),
        Kind::Number(operation) => (operation, Right::Number(inst.imm)),
        // The sum of the offset and the number has 32 bits.
        Kind::Auipc if inst.imm < 0x7fff_0000 => {
            if inst.a != SINK {
                let offset = u32::from(inst.at).wrapping_add_signed(inst.imm);
                flow::address_of(e, inst.a, offset);
            }
            return true;
        }
        Kind::Fence | Kind::FenceI => return true,
        _ => return false,
    };
    inst.a == SINK || operate(e, inst, operation, c)
}

fn operate<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst, operation: Alu, c: Right) -> bool {
    let (a, b) = (inst.a, inst.b);
    match (operation, c) {
        (Alu::Add | Alu::Addw, Right::Number(number)) if b == 0 => e.asm.put_imm(a, number),
        (Alu::Add | Alu::Or | Alu::Xor | Alu::Sub, c) if c.is_zero() => copy(e, a, b),
        (Alu::Add | Alu::Or | Alu::Xor, Right::Register(c)) if b == 0 => copy(e, a, c),
        (Alu::Addw, c) if c.is_zero() => extended(e, a, b, Size::B4, Extend::SignWide),
        (Alu::Add, Right::Number(number)) => match e.asm.place_of(b) {
            Src::Reg(from) if e.asm.target(a, T0) != from => {
                let (to, from) = (e.asm.target(a, T0), e.asm.value(b, T0));
                e.asm.add_number(to, from, number);
                e.asm.put(a, to);
            }
            _ => e.asm.combine(Binary::Add, a, b, Src::Imm(number), true),
        },
        (Alu::Add, Right::Register(c))
            if let (Src::Reg(_), Src::Reg(_)) = (e.asm.place_of(b), e.asm.place_of(c)) =>
        {
            let (b, c) = (e.asm.value(b, T0), e.asm.value(c, T0));
            let to = e.asm.target(a, T0);
            e.asm.add_registers(to, b, c);
            e.asm.put(a, to);
        }
        (Alu::Sub, Right::Register(c)) if b == 0 => {
            let to = e.asm.target(a, T0);
            e.asm.set(to, e.asm.src(c));
            e.asm.negate(Width::W64, to);
            e.asm.put(a, to);
        }
        (Alu::Xor, Right::Number(-1)) => {
            let to = e.asm.target(a, T0);
            e.asm.set(to, e.asm.src(b));
            e.asm.not(Width::W64, to);
            e.asm.put(a, to);
        }
        (Alu::Add, c) => e.asm.combine(Binary::Add, a, b, c.src(e), true),
        (Alu::Sub, c) => e.asm.combine(Binary::Sub, a, b, c.src(e), false),
        (Alu::And, c) => e.asm.combine(Binary::And, a, b, c.src(e), true),
        (Alu::Or, c) => e.asm.combine(Binary::Or, a, b, c.src(e), true),
        (Alu::Xor, c) => e.asm.combine(Binary::Xor, a, b, c.src(e), true),
        (Alu::Mul, c) => e.asm.combine(Binary::Mul, a, b, c.src(e), true),
        (Alu::Addw, c) => word(e, a, b, c, Binary::Add),
        (Alu::Subw, c) => word(e, a, b, c, Binary::Sub),
        (Alu::Mulw, c) => word(e, a, b, c, Binary::Mul),
        (Alu::Slt, c) => compare(e, a, b, c, If::Less),
        (Alu::Sltu, c) => compare(e, a, b, c, If::Below),
        (Alu::Sll, c) => shift(e, a, b, c, Shift::Shl, Width::W64),
        (Alu::Srl, c) => shift(e, a, b, c, Shift::Shr, Width::W64),
        (Alu::Sra, c) => shift(e, a, b, c, Shift::Sar, Width::W64),
        (Alu::Rol, c) => shift(e, a, b, c, Shift::Rol, Width::W64),
        (Alu::Ror, c) => shift(e, a, b, c, Shift::Ror, Width::W64),
        (Alu::Sllw, c) => shift(e, a, b, c, Shift::Shl, Width::W32),
        (Alu::Srlw, c) => shift(e, a, b, c, Shift::Shr, Width::W32),
        (Alu::Sraw, c) => shift(e, a, b, c, Shift::Sar, Width::W32),
        (Alu::Rolw, c) => shift(e, a, b, c, Shift::Rol, Width::W32),
        (Alu::Rorw, c) => shift(e, a, b, c, Shift::Ror, Width::W32),
        (Alu::Mulh | Alu::Mulhu, Right::Register(c)) => {
            e.asm.set(T1, e.asm.src(c));
            e.asm.set(T0, e.asm.src(b));
            e.asm.multiply_high(operation == Alu::Mulh);
            e.asm.put(a, T2);
        }
        (Alu::Div | Alu::Divu | Alu::Rem | Alu::Remu, Right::Register(_)) => {
            let signed = matches!(operation, Alu::Div | Alu::Rem);
            let rest = matches!(operation, Alu::Rem | Alu::Remu);
            divide(e, inst, Width::W64, signed, rest);
        }
        (Alu::Divw | Alu::Divuw | Alu::Remw | Alu::Remuw, Right::Register(_)) => {
            let signed = matches!(operation, Alu::Divw | Alu::Remw);
            let rest = matches!(operation, Alu::Remw | Alu::Remuw);
            divide(e, inst, Width::W32, signed, rest);
        }
        (Alu::Sh1add, c) => shift_and_add(e, a, b, c, 1, false),
        (Alu::Sh2add, c) => shift_and_add(e, a, b, c, 2, false),
        (Alu::Sh3add, c) => shift_and_add(e, a, b, c, 3, false),
        (Alu::AddUw, c) => shift_and_add(e, a, b, c, 0, true),
        (Alu::Sh1addUw, c) => shift_and_add(e, a, b, c, 1, true),
        (Alu::Sh2addUw, c) => shift_and_add(e, a, b, c, 2, true),
        (Alu::Sh3addUw, c) => shift_and_add(e, a, b, c, 3, true),
        (Alu::SllUw, Right::Number(by)) => {
            let to = e.asm.target(a, T0);
            e.asm.set_extended(Size::B4, Extend::Zero, to, e.asm.src(b));
            e.asm.shift_by(Shift::Shl, to, Some(by as u8 & 63));
            e.asm.put(a, to);
        }
        (Alu::SextB, _) => extended(e, a, b, Size::B1, Extend::SignWide),
        (Alu::SextH, _) => extended(e, a, b, Size::B2, Extend::SignWide),
        (Alu::ZextH, _) => extended(e, a, b, Size::B2, Extend::Zero),
        (Alu::Andn, c) => inverted(e, a, b, c, Binary::And),
        (Alu::Orn, c) => inverted(e, a, b, c, Binary::Or),
        (Alu::Xnor, c) => inverted(e, a, b, c, Binary::Xor),
        (Alu::Min, c) => choose(e, a, b, c, If::Less),
        (Alu::Minu, c) => choose(e, a, b, c, If::Below),
        (Alu::Max, c) => choose(e, a, b, c, If::Greater),
        (Alu::Maxu, c) => choose(e, a, b, c, If::Above),
        (Alu::Clz | Alu::Ctz | Alu::Clzw | Alu::Ctzw, _) => {
            let width = match operation {
                Alu::Clz | Alu::Ctz => Width::W64,
                _ => Width::W32,
            };
            e.asm.set(T0, e.asm.src(b));
            match operation {
                Alu::Clz | Alu::Clzw => e.asm.leading_zeros(width),
                _ => e.asm.trailing_zeros(width),
            }
            e.asm.put(a, T0);
        }
        (Alu::Rev8, _) => {
            let to = e.asm.target(a, T0);
            e.asm.set(to, e.asm.src(b));
            e.asm.swap_bytes(Size::B8, to);
            e.asm.put(a, to);
        }
        (Alu::Bset, c) => bit(e, a, b, c, Binary::Or),
        (Alu::Binv, c) => bit(e, a, b, c, Binary::Xor),
        (Alu::Bclr, c) => bit(e, a, b, c, Binary::And),
        (Alu::Bext, c) => {
            amount(e, c);
            e.asm.set(T0, e.asm.src(b));
            e.asm.shift_by(Shift::Shr, T0, known(c));
            e.asm.op(Binary::And, T0, Src::Imm(1));
            e.asm.put(a, T0);
        }
        _ => return false,
    }
    true
}

fn copy<A: Assembler>(e: &mut Emitter<'_, A>, a: u8, from: u8) {
    match e.asm.place_of(from) {
        Src::Imm(value) => e.asm.put_imm(a, value),
        _ => {
            let to = e.asm.target(a, T0);
            let from = e.asm.value(from, to);
            e.asm.put(a, from);
        }
    }
}

/// The low bytes of a register, and what fills the others.
fn extended<A: Assembler>(e: &mut Emitter<'_, A>, a: u8, b: u8, size: Size, extend: Extend) {
    let to = e.asm.target(a, T0);
    e.asm.set_extended(size, extend, to, e.asm.src(b));
    e.asm.put(a, to);
}

/// Extends a result of 32 bits, which is in `to`, the register's [`target`](solderless_engine::Asm::target) or a scratch register.
fn put_word<A: Assembler>(e: &mut Emitter<'_, A>, a: u8, from: solderless_engine::host::Reg) {
    let to = e.asm.target(a, T0);
    e.asm
        .set_extended(Size::B4, Extend::SignWide, to, Src::Reg(from));
    e.asm.put(a, to);
}

/// An operation on 32 bits.
fn word<A: Assembler>(e: &mut Emitter<'_, A>, a: u8, b: u8, c: Right, operation: Binary) {
    let to = e.asm.target(a, T0);
    let c = c.src(e);
    let to = if c == Src::Reg(to) { T0 } else { to };
    match (operation, e.asm.place_of(b), c) {
        (Binary::Add, Src::Reg(from), Src::Imm(number)) if from != to => {
            e.asm.src(b);
            e.asm.add_to(Width::W32, to, from, number);
        }
        (Binary::Add, Src::Reg(left), Src::Reg(right)) if left != to => {
            e.asm.src(b);
            e.asm.sum(Width::W32, to, left, right);
        }
        _ => {
            e.asm.set_low(to, e.asm.src(b));
            e.asm.op_low(operation, to, c);
        }
    }
    put_word(e, a, to);
}

fn compare<A: Assembler>(e: &mut Emitter<'_, A>, a: u8, b: u8, c: Right, condition: If) {
    let c = c.src(e);
    let left = e.asm.value(b, T0);
    match e.asm.place_of(a) {
        // Where it is not compared itself, the register is cleared first, as only its lowest byte is set.
        Src::Reg(to) if left != to && c != Src::Reg(to) => {
            e.asm.set(to, Src::Imm(0));
            e.asm.op(Binary::Cmp, left, c);
            e.asm.set_byte_if(condition, to);
            e.asm.wrote(a);
        }
        _ => {
            let to = e.asm.target(a, T0);
            e.asm.op(Binary::Cmp, left, c);
            e.asm.set_byte_if(condition, T0);
            e.asm.extend(Size::B1, Extend::Zero, to, T0);
            e.asm.put(a, to);
        }
    }
}

/// Has the number of bits of a shift where it is expected, if it is not known.
fn amount<A: Assembler>(e: &mut Emitter<'_, A>, c: Right) {
    if let Right::Register(c) = c {
        e.asm.set_low(T1, e.asm.src(c));
    }
}

/// The number of bits of a shift, if it is known.
fn known(c: Right) -> Option<u8> {
    match c {
        Right::Register(_) => None,
        Right::Number(number) => Some(number as u8 & 63),
    }
}

fn shift<A: Assembler>(e: &mut Emitter<'_, A>, a: u8, b: u8, c: Right, shift: Shift, width: Width) {
    amount(e, c);
    let to = e.asm.target(a, T0);
    match width {
        Width::W64 => {
            e.asm.set(to, e.asm.src(b));
            e.asm.shift_by(shift, to, known(c));
            e.asm.put(a, to);
        }
        Width::W32 => {
            e.asm.set_low(to, e.asm.src(b));
            e.asm.shift(width, shift, to, known(c).map(|by| by & 31));
            put_word(e, a, to);
        }
    }
}

fn divide<A: Assembler>(
    e: &mut Emitter<'_, A>,
    inst: &Inst,
    width: Width,
    signed: bool,
    rest: bool,
) {
    let slow = slow(e, inst);
    e.asm.set(T1, e.asm.src(inst.c));
    e.asm.test(width, T1, T1);
    e.asm.jump_if(If::Equal, slow.from);
    if signed {
        // The one quotient that overflows has this divisor.
        let minus_one = solderless_engine::host::Operand::Imm(-1);
        e.asm.binary(width, Binary::Cmp, T1, minus_one);
        e.asm.jump_if(If::Equal, slow.from);
    }
    e.asm.set(T0, e.asm.src(inst.b));
    e.asm.divide(width, signed);
    let result = if rest { T2 } else { T0 };
    match width {
        Width::W32 => put_word(e, inst.a, result),
        Width::W64 => e.asm.put(inst.a, result),
    }
    e.back(slow);
}

fn shift_and_add<A: Assembler>(e: &mut Emitter<'_, A>, a: u8, b: u8, c: Right, by: u8, low: bool) {
    let b = e.asm.src(b);
    match low {
        true => e.asm.set_extended(Size::B4, Extend::Zero, T0, b),
        false => e.asm.set(T0, b),
    }
    e.asm.shift_by(Shift::Shl, T0, Some(by));
    e.asm.op(Binary::Add, T0, c.src(e));
    e.asm.put(a, T0);
}

/// An operation with the right operand inverted.
fn inverted<A: Assembler>(e: &mut Emitter<'_, A>, a: u8, b: u8, c: Right, operation: Binary) {
    e.asm.set(T0, c.src(e));
    e.asm.not(Width::W64, T0);
    e.asm.op(operation, T0, e.asm.src(b));
    e.asm.put(a, T0);
}

/// The left operand if a condition holds, else the right one.
fn choose<A: Assembler>(e: &mut Emitter<'_, A>, a: u8, b: u8, c: Right, condition: If) {
    e.asm.set(T1, c.src(e));
    let b = e.asm.value(b, T0);
    e.asm.op(Binary::Cmp, b, Src::Reg(T1));
    e.asm.move_if(Width::W64, condition, T1, b);
    e.asm.put(a, T1);
}

/// An operation with a single bit, or with all others.
fn bit<A: Assembler>(e: &mut Emitter<'_, A>, a: u8, b: u8, c: Right, operation: Binary) {
    amount(e, c);
    e.asm.set(T2, Src::Imm(1));
    e.asm.shift_by(Shift::Shl, T2, known(c));
    if operation == Binary::And {
        e.asm.not(Width::W64, T2);
    }
    e.asm.set(T0, e.asm.src(b));
    e.asm.op(operation, T0, Src::Reg(T2));
    e.asm.put(a, T0);
}

//! Floating point: what the host's arithmetic gives and raises nothing but Inexact is generated, the rest is left to the
//! interpreter.
//!
//! A block with such instructions is entered only where registers are noted as written (FS), and with arithmetic only where
//! rounding is to the nearest number and Inexact is no news; so the result is all there is to compute.

use std::mem::offset_of;

use solderless_engine::Src;
use solderless_engine::host::{
    Assembler, Binary, Extend, Float, Freg, Fused, If, Label, Mem, Operand, Shift, Size, T0, T1,
    Width,
};

use super::memory::{self, alignment};
use super::{Emitter, place, slow};
use crate::core::Core;
use crate::csr::{Csr, status};
use crate::exec::FpOp;
use crate::inst::{Block, Inst, Kind, SINK};

const F: i32 = place(offset_of!(Core, f));
const STATUS: i32 = place(offset_of!(Core, csr) + offset_of!(Csr, status));
const FFLAGS: i32 = place(offset_of!(Core, csr) + offset_of!(Csr, fflags));
const FRM: i32 = place(offset_of!(Core, csr) + offset_of!(Csr, frm));
/// Inexact, in fflags.
const NX: i32 = 1;

/// What an instruction needs, so that it can be generated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Needs {
    /// It has nothing to do with floating point.
    Nothing,
    /// Registers are noted as written.
    Registers,
    /// Inexact was raised before, too.
    Inexact,
    /// And frm says that rounding is to the nearest number.
    Nearest,
}

/// What an instruction says of rounding (table "Rounding mode encoding"): to the nearest number, to zero, as frm says.
const NEAREST: u32 = 0;
const ZERO: u32 = 1;
const DYNAMIC: u32 = 7;

fn needs(inst: &Inst) -> Needs {
    let rounding = inst.raw >> 12 & 7;
    match inst.kind {
        Kind::FpLoad(_) | Kind::FpStore(_) => Needs::Registers,
        Kind::Fp(op, _) => match op {
            FpOp::Sgnj | FpOp::Sgnjn | FpOp::Sgnjx | FpOp::MvToInteger | FpOp::MvFromInteger => {
                Needs::Registers
            }
            FpOp::Eq | FpOp::Lt | FpOp::Le | FpOp::Min | FpOp::Max | FpOp::Class => {
                Needs::Registers
            }
            _ if rounding == DYNAMIC => Needs::Nearest,
            _ => Needs::Inexact,
        },
        _ => Needs::Nothing,
    }
}

/// Has the block be interpreted unless the CPU is as its instructions need it. Only at its start.
pub fn check<A: Assembler>(e: &mut Emitter<'_, A>, block: &Block) {
    let needs = block.insts.iter().map(needs).max();
    let needs = needs.unwrap_or(Needs::Nothing);
    if needs == Needs::Nothing {
        return;
    }
    let from = e.asm.label();
    e.asm.get_field(T0, STATUS);
    let dirty = status::FS as i32;
    e.asm.op_low(Binary::And, T0, Src::Imm(dirty));
    e.asm.op_low(Binary::Cmp, T0, Src::Imm(dirty));
    e.asm.jump_if(If::NotEqual, from);
    if needs >= Needs::Inexact {
        e.asm.test_at(Mem::field(FFLAGS), NX);
        e.asm.jump_if(If::Equal, from);
    }
    if needs >= Needs::Nearest {
        e.asm.test_at(Mem::field(FRM), 7);
        e.asm.jump_if(If::NotEqual, from);
    }
    e.interpret(from);
}

/// The place of a register.
fn register(number: u8) -> Mem {
    Mem::field(F + 8 * i32::from(number & 31))
}

/// The upper half of a register.
fn upper(number: u8) -> Mem {
    Mem::field(F + 8 * i32::from(number & 31) + 4)
}

fn size(double: bool) -> Size {
    match double {
        true => Size::B8,
        false => Size::B4,
    }
}

/// Notes that a register holds a number in single precision.
fn boxed<A: Assembler>(e: &mut Emitter<'_, A>, number: u8, double: bool) {
    if !double {
        e.asm.store_imm(Size::B4, -1, upper(number));
    }
}

/// Goes to `slow` unless registers hold numbers of a precision.
fn unless_boxed<A: Assembler>(e: &mut Emitter<'_, A>, registers: &[u8], double: bool, slow: Label) {
    if double {
        return;
    }
    for number in registers {
        e.asm.binary_at(Width::W32, Binary::Cmp, upper(*number), -1);
        e.asm.jump_if(If::NotEqual, slow);
    }
}

/// Emits an instruction of this family; false if it is of another, or one that is left to the interpreter.
pub fn emit<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst) -> bool {
    // After a write of a CSR they may say anything.
    if e.known.csr_written && needs(inst) != Needs::Nothing {
        return false;
    }
    match inst.kind {
        Kind::FpLoad(bytes) => load(e, inst, bytes == 8),
        Kind::FpStore(bytes) => store(e, inst, bytes == 8),
        Kind::Fp(op, double) => return operate(e, inst, op, double),
        _ => return false,
    }
    true
}

fn load<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst, double: bool) {
    let size = size(double);
    let slow = slow(e, inst);
    let place = memory::reach(e, inst, inst.imm, alignment(size), false, &slow);
    e.asm.load(size, Extend::Zero, T1, place);
    e.asm.store(size, T1, register(inst.a));
    boxed(e, inst.a, double);
    e.back(slow);
}

fn store<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst, double: bool) {
    let size = size(double);
    let slow = slow(e, inst);
    let place = memory::reach(e, inst, inst.imm, alignment(size), true, &slow);
    let value = solderless_engine::host::T2;
    e.asm.load(size, Extend::Zero, value, register(inst.c));
    e.asm.store(size, value, place);
    e.back(slow);
}

fn operate<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst, op: FpOp, double: bool) -> bool {
    let rounding = inst.raw >> 12 & 7;
    let nearest = matches!(rounding, NEAREST | DYNAMIC);
    // Where nothing is rounded it still has to be one that there is.
    let exact = nearest || rounding < 5;
    match op {
        FpOp::Add if nearest => arithmetic(e, inst, Float::Add, double),
        FpOp::Sub if nearest => arithmetic(e, inst, Float::Sub, double),
        FpOp::Mul if nearest => arithmetic(e, inst, Float::Mul, double),
        FpOp::Div if nearest => arithmetic(e, inst, Float::Div, double),
        FpOp::Sqrt if nearest => arithmetic(e, inst, Float::Sqrt, double),
        FpOp::Madd if nearest => return fused(e, inst, Fused::Add, double),
        FpOp::Msub if nearest => return fused(e, inst, Fused::Sub, double),
        FpOp::Nmsub if nearest => return fused(e, inst, Fused::NegatedAdd, double),
        FpOp::Nmadd if nearest => return fused(e, inst, Fused::NegatedSub, double),
        FpOp::Sgnj | FpOp::Sgnjn | FpOp::Sgnjx if inst.b == inst.c => sign(e, inst, op, double),
        FpOp::Eq => compare(e, inst, If::Equal, double),
        FpOp::Lt => compare(e, inst, If::Below, double),
        FpOp::Le => compare(e, inst, If::BelowOrEqual, double),
        FpOp::Min => choose(e, inst, If::Below, double),
        FpOp::Max => choose(e, inst, If::Above, double),
        FpOp::CvtOther if double && exact => widen(e, inst),
        FpOp::CvtOther if !double && nearest => narrow(e, inst),
        FpOp::CvtW if rounding == ZERO => truncate(e, inst, Width::W32, double),
        FpOp::CvtL if rounding == ZERO => truncate(e, inst, Width::W64, double),
        FpOp::CvtFromW if double && exact || nearest => from_integer(e, inst, Width::W32, double),
        FpOp::CvtFromL if nearest => from_integer(e, inst, Width::W64, double),
        FpOp::CvtFromWu if double && exact || nearest => {
            e.asm
                .set_extended(Size::B4, Extend::Zero, T0, e.asm.src(inst.b));
            e.asm.float_of(double, Width::W64, Operand::Reg(T0));
            put(e, inst.a, double);
        }
        FpOp::MvToInteger if inst.a != SINK => {
            let to = e.asm.target(inst.a, T0);
            let size = size(double);
            e.asm.load(size, Extend::SignWide, to, register(inst.b));
            e.asm.put(inst.a, to);
        }
        FpOp::MvFromInteger => {
            let from = e.asm.value(inst.b, T0);
            e.asm.store(size(double), from, register(inst.a));
            boxed(e, inst.a, double);
        }
        _ => return false,
    }
    true
}

fn get<A: Assembler>(e: &mut Emitter<'_, A>, to: Freg, number: u8, double: bool) {
    e.asm.load_float(to, double, register(number));
}

fn put<A: Assembler>(e: &mut Emitter<'_, A>, number: u8, double: bool) {
    e.asm.store_float(Freg::F0, double, register(number));
    boxed(e, number, double);
}

/// Goes to `slow` if the biased exponent of a number, less what is given, is not below a limit.
fn unless_exponent<A: Assembler>(
    e: &mut Emitter<'_, A>,
    of: Freg,
    double: bool,
    (less, limit): (i32, i32),
    slow: Label,
) {
    e.asm.float_bits(T0, double, of);
    let (width, shift, mask) = match double {
        true => (Width::W64, 52, 0x7ff),
        false => (Width::W32, 23, 0xff),
    };
    e.asm.shift(width, Shift::Shr, T0, Some(shift));
    e.asm.op_low(Binary::And, T0, Src::Imm(mask));
    e.asm.op_low(Binary::Sub, T0, Src::Imm(less));
    e.asm.op_low(Binary::Cmp, T0, Src::Imm(limit));
    e.asm.jump_if(If::AboveOrEqual, slow);
}

/// Goes to `slow` unless the result is a normal number, and not the smallest.
fn unless_normal<A: Assembler>(e: &mut Emitter<'_, A>, double: bool, slow: Label) {
    let most = if double { 0x7fd } else { 0xfd };
    unless_exponent(e, Freg::F0, double, (2, most), slow);
}

fn arithmetic<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst, float: Float, double: bool) {
    let slow = slow(e, inst);
    if float == Float::Sqrt {
        unless_boxed(e, &[inst.b], double, slow.from);
        get(e, Freg::F1, inst.b, double);
    } else {
        unless_boxed(e, &[inst.b, inst.c], double, slow.from);
        get(e, Freg::F0, inst.b, double);
        get(e, Freg::F1, inst.c, double);
    }
    e.asm.float(float, double);
    unless_normal(e, double, slow.from);
    put(e, inst.a, double);
    e.back(slow);
}

fn fused<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst, fused: Fused, double: bool) -> bool {
    let slow = slow(e, inst);
    unless_boxed(e, &[inst.b, inst.c, inst.d], double, slow.from);
    get(e, Freg::F0, inst.b, double);
    get(e, Freg::F1, inst.c, double);
    if !e.asm.multiply_add(fused, double, register(inst.d)) {
        // Nothing was written.
        e.asm.jump(slow.from);
    }
    unless_normal(e, double, slow.from);
    put(e, inst.a, double);
    e.back(slow);
    true
}

/// A number with its sign as it is, inverted or cleared.
fn sign<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst, op: FpOp, double: bool) {
    let slow = slow(e, inst);
    unless_boxed(e, &[inst.b], double, slow.from);
    let size = size(double);
    e.asm.load(size, Extend::Zero, T0, register(inst.b));
    let bit = if double { 63 } else { 31 };
    match op {
        FpOp::Sgnjn => e.asm.bit(bit, true),
        FpOp::Sgnjx => e.asm.bit(bit, false),
        _ => {}
    }
    e.asm.store(size, T0, register(inst.a));
    boxed(e, inst.a, double);
    e.back(slow);
}

fn compare<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst, condition: If, double: bool) {
    let slow = slow(e, inst);
    unless_boxed(e, &[inst.b, inst.c], double, slow.from);
    get(e, Freg::F0, inst.b, double);
    e.asm.compare_float(double, Some(register(inst.c)));
    e.asm.jump_if(If::Unordered, slow.from);
    e.asm.set_if(condition, T0);
    if inst.a != SINK {
        e.asm.put(inst.a, T0);
    }
    e.back(slow);
}

/// The left number if a condition holds, else the right one. Of zeros, the sign counts.
fn choose<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst, condition: If, double: bool) {
    let slow = slow(e, inst);
    unless_boxed(e, &[inst.b, inst.c], double, slow.from);
    get(e, Freg::F0, inst.b, double);
    e.asm.compare_float(double, Some(register(inst.c)));
    e.asm.jump_if(If::Unordered, slow.from);
    e.asm.jump_if(If::Equal, slow.from);
    let size = size(double);
    e.asm.load(size, Extend::Zero, T0, register(inst.c));
    e.asm.load(size, Extend::Zero, T1, register(inst.b));
    e.asm.move_if(Width::W64, condition, T0, T1);
    e.asm.store(size, T0, register(inst.a));
    boxed(e, inst.a, double);
    e.back(slow);
}

/// Always exact; what is not a normal number is left to the interpreter.
fn widen<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst) {
    let slow = slow(e, inst);
    unless_boxed(e, &[inst.b], false, slow.from);
    get(e, Freg::F1, inst.b, false);
    unless_exponent(e, Freg::F1, false, (1, 0xfe), slow.from);
    e.asm.convert(true);
    put(e, inst.a, true);
    e.back(slow);
}

fn narrow<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst) {
    let slow = slow(e, inst);
    get(e, Freg::F1, inst.b, true);
    e.asm.convert(false);
    unless_normal(e, false, slow.from);
    put(e, inst.a, false);
    e.back(slow);
}

fn truncate<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst, width: Width, double: bool) {
    let slow = slow(e, inst);
    unless_boxed(e, &[inst.b], double, slow.from);
    get(e, Freg::F0, inst.b, double);
    e.asm.truncate(width, double);
    // The least number is of what does not fit, too: the one that has no opposite.
    e.asm.mov(width, T1, Operand::Reg(T0));
    e.asm.negate(width, T1);
    e.asm.binary(width, Binary::And, T1, Operand::Reg(T0));
    e.asm.test(width, T1, T1);
    e.asm.jump_if(If::Negative, slow.from);
    if inst.a != SINK {
        if width == Width::W32 {
            e.asm.extend(Size::B4, Extend::SignWide, T0, T0);
        }
        e.asm.put(inst.a, T0);
    }
    e.back(slow);
}

fn from_integer<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst, width: Width, double: bool) {
    let from = e.asm.value(inst.b, T0);
    e.asm.float_of(double, width, Operand::Reg(from));
    put(e, inst.a, double);
}

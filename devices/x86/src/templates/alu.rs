//! Integer arithmetic and logic.

use iced_x86::Mnemonic::*;
use solderless_engine::host::{
    Assembler, Binary, Extend, If, Mem, Operand as Host, Place, Shift, Size, T0, T1, T2, Unary,
    Width,
};

use super::{
    Emitter, flags, is_memory, is_near, load, operand, put, reach, shorten, size, slow, width,
};
use crate::core::{RAX, RCX, RDX};
use crate::inst::{Inst, Operand};

/// Emits an instruction of this family; false if it is of another, or one that is left to the interpreter.
pub fn emit<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst) -> bool {
    if inst.ops.iter().any(|op| is_memory(*op)) && !is_near(e, inst) {
        return false;
    }
    match inst.mnemonic {
        Add => two(e, inst, Binary::Add),
        Or => two(e, inst, Binary::Or),
        Adc => two(e, inst, Binary::Adc),
        Sbb => two(e, inst, Binary::Sbb),
        And => two(e, inst, Binary::And),
        Sub => two(e, inst, Binary::Sub),
        Xor => two(e, inst, Binary::Xor),
        Cmp => two(e, inst, Binary::Cmp),
        Test => test(e, inst),
        Inc => one(e, inst, Unary::Inc),
        Dec => one(e, inst, Unary::Dec),
        Not => one(e, inst, Unary::Not),
        Neg => one(e, inst, Unary::Neg),
        Shl | Sal => shift(e, inst, Shift::Shl),
        Shr => shift(e, inst, Shift::Shr),
        Sar => shift(e, inst, Shift::Sar),
        Rol => rotate(e, inst, Shift::Rol),
        Ror => rotate(e, inst, Shift::Ror),
        Imul if inst.ops[1] != Operand::None => imul(e, inst),
        Mul => mul(e, inst),
        Div => div(e, inst, false),
        Idiv => div(e, inst, true),
        _ => false,
    }
}

/// Whether an operation is one of logic, which leaves AF undefined.
fn is_logic(operation: Binary) -> bool {
    matches!(operation, Binary::And | Binary::Or | Binary::Xor)
}

/// Keeps the flags of what was computed at a place. AF of logic is clear, as that of a comparison with zero is.
fn keep<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst, bytes: u8, logic: bool, place: Place) {
    if logic && flags::are_live(e, inst) {
        e.asm
            .arithmetic(size(bytes), Binary::Cmp, place, Host::Imm(0));
    }
    flags::keep(e, inst, true);
}

/// Has the lowest bytes of a general register, or the second one, where an instruction can read them.
fn right<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst, n: usize) -> Option<Host> {
    Some(match inst.ops[n] {
        Operand::Reg(register, _) => operand(e, register),
        Operand::High(register) => {
            let from = operand(e, register);
            e.asm.mov(Width::W32, T2, from);
            e.asm.shift(Width::W32, Shift::Shr, T2, Some(8));
            Host::Reg(T2)
        }
        Operand::Imm => Host::Imm(inst.imm as i32),
        _ => return None,
    })
}

/// Whether the numbers of an instruction have a form in the host's.
fn fits(inst: &Inst) -> bool {
    inst.size != 8 || i32::try_from(inst.imm as i64).is_ok()
}

fn two<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst, operation: Binary) -> bool {
    let bytes = inst.size;
    let carry = matches!(operation, Binary::Adc | Binary::Sbb);
    let writes = operation != Binary::Cmp;
    let [first, second] = [inst.ops[0], inst.ops[1]];
    if inst.ops.contains(&Operand::Imm) && !fits(inst)
        || carry && matches!(second, Operand::High(_))
    {
        return false;
    }
    match (first, second) {
        (Operand::Reg(to, _), Operand::Mem(_)) => {
            let slow = load(e, inst, bytes, T2);
            if carry {
                flags::take_carry(e);
            }
            register(e, inst, operation, to, Host::Reg(T2));
            flags::back(e, slow);
        }
        (Operand::Reg(to, _), _) => {
            let same = second == first;
            if operation == Binary::Xor && same && bytes >= 4 {
                // Nobody waits for the old value.
                if flags::are_live(e, inst) {
                    let target = e.asm.target(to, T0);
                    e.asm
                        .arithmetic(Size::B4, Binary::Xor, Place::Reg(target), Host::Reg(target));
                    e.asm.put(to, target);
                    keep(e, inst, 4, true, Place::Reg(target));
                } else {
                    e.asm.put_imm(to, 0);
                }
                return true;
            }
            if carry {
                flags::take_carry(e);
            }
            let Some(from) = right(e, inst, 1) else {
                return false;
            };
            register(e, inst, operation, to, from);
        }
        (Operand::Mem(_), _) => {
            let slow = slow(e, inst);
            let place = reach(e, inst, bytes, writes, &slow);
            e.asm.address(T1, place);
            let place = Place::Mem(Mem::at(T1, 0));
            let from = match second {
                Operand::Reg(from, _) => Host::Reg(e.asm.value(from, T2)),
                _ => match right(e, inst, 1) {
                    Some(from) => from,
                    None => return false,
                },
            };
            if carry {
                flags::take_carry(e);
            }
            e.asm.arithmetic(size(bytes), operation, place, from);
            keep(e, inst, bytes, is_logic(operation), place);
            flags::back(e, slow);
        }
        _ => return false,
    }
    true
}

/// An operation on a register; what is set of the carry before is not changed.
fn register<A: Assembler>(
    e: &mut Emitter<'_, A>,
    inst: &Inst,
    operation: Binary,
    to: u8,
    from: Host,
) {
    let bytes = inst.size;
    let writes = operation != Binary::Cmp;
    let target = e.asm.target(to, T0);
    if target == T0 {
        let old = operand(e, to);
        e.asm.mov(Width::W64, T0, old);
    }
    e.asm
        .arithmetic(size(bytes), operation, Place::Reg(target), from);
    if writes {
        match target {
            T0 => put(e, to, bytes, T0),
            _ => e.asm.wrote(to),
        }
    } else {
        let _read = e.asm.src(to);
    }
    keep(e, inst, bytes, is_logic(operation), Place::Reg(target));
}

fn test<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst) -> bool {
    let bytes = inst.size;
    if inst.ops.contains(&Operand::Imm) && !fits(inst) {
        return false;
    }
    match inst.ops[0] {
        Operand::Mem(_) => {
            let slow = load(e, inst, bytes, T0);
            let Some(from) = right(e, inst, 1) else {
                return false;
            };
            e.asm
                .arithmetic(size(bytes), Binary::And, Place::Reg(T0), from);
            keep(e, inst, bytes, true, Place::Reg(T0));
            flags::back(e, slow);
        }
        Operand::Reg(register, _) => {
            if !flags::are_live(e, inst) {
                return true;
            }
            if inst.ops[1] == inst.ops[0] {
                let value = e.asm.value(register, T0);
                keep(e, inst, bytes, true, Place::Reg(value));
                return true;
            }
            let old = operand(e, register);
            e.asm.mov(Width::W64, T0, old);
            let Some(from) = right(e, inst, 1) else {
                return false;
            };
            e.asm
                .arithmetic(size(bytes), Binary::And, Place::Reg(T0), from);
            keep(e, inst, bytes, true, Place::Reg(T0));
        }
        _ => return false,
    }
    true
}

fn one<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst, operation: Unary) -> bool {
    let bytes = inst.size;
    // The carry stays.
    let carry = matches!(operation, Unary::Inc | Unary::Dec);
    let here = e.asm.here();
    match inst.ops[0] {
        Operand::Reg(to, _) => {
            let target = e.asm.target(to, T0);
            if carry {
                flags::take_carry(e);
            }
            let old = operand(e, to);
            e.asm.mov(Width::W64, target, old);
            e.asm.unary(size(bytes), operation, Place::Reg(target));
            match target {
                T0 => put(e, to, bytes, T0),
                _ => e.asm.wrote(to),
            }
            match operation {
                Unary::Not => flags::still(e, here),
                _ => flags::keep(e, inst, true),
            }
        }
        Operand::Mem(_) => {
            let slow = slow(e, inst);
            let place = reach(e, inst, bytes, true, &slow);
            e.asm.address(T1, place);
            if carry {
                flags::take_carry(e);
            }
            let place = Place::Mem(Mem::at(T1, 0));
            e.asm.unary(size(bytes), operation, place);
            if operation != Unary::Not {
                flags::keep(e, inst, true);
            }
            flags::back(e, slow);
        }
        _ => return false,
    }
    true
}

/// The number of bits of a shift, if it is known and not zero.
fn known_count(inst: &Inst) -> Option<u8> {
    let count = (inst.imm & inst.count_mask()) as u8;
    (inst.ops[1] == Operand::Imm && count != 0).then_some(count)
}

fn shift<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst, shift: Shift) -> bool {
    let bytes = inst.size;
    let Operand::Reg(to, _) = inst.ops[0] else {
        return false;
    };
    let live = flags::are_live(e, inst);
    let count = known_count(inst);
    match (count, inst.ops[1]) {
        (Some(count), _) if !live || u16::from(count) <= 8 * u16::from(bytes) => {}
        // Zero leaves the flags.
        (None, Operand::Reg(RCX, 1)) if !live => {
            let from = operand(e, RCX);
            e.asm.mov(Width::W32, T1, from);
        }
        _ => return false,
    }
    let target = e.asm.target(to, T0);
    let old = operand(e, to);
    e.asm.mov(Width::W64, target, old);
    let place = Place::Reg(target);
    match count {
        // The last bit says what OF is.
        Some(count) if live && count > 1 => {
            e.asm.shift_low(size(bytes), shift, place, Some(count - 1));
            e.asm.shift_low(size(bytes), shift, place, Some(1));
        }
        count => {
            e.asm.shift_low(size(bytes), shift, place, count);
            if count.is_none() && bytes == 4 {
                // One by zero bits leaves what is above.
                shorten(e, target);
            }
        }
    }
    match target {
        T0 => put(e, to, bytes, T0),
        _ => e.asm.wrote(to),
    }
    flags::keep(e, inst, false);
    true
}

/// Rotations set two of the flags, so that they are left to the interpreter where somebody may look.
fn rotate<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst, shift: Shift) -> bool {
    match (inst.ops[0], known_count(inst)) {
        (Operand::Reg(to, bytes), Some(count)) if !flags::are_live(e, inst) => {
            let target = e.asm.target(to, T0);
            let old = operand(e, to);
            e.asm.mov(Width::W64, target, old);
            e.asm
                .shift_low(size(bytes), shift, Place::Reg(target), Some(count));
            match target {
                T0 => put(e, to, bytes, T0),
                _ => e.asm.wrote(to),
            }
            true
        }
        _ => false,
    }
}

/// Keeps the flags of a product of which the lower half is in the first scratch register, and the condition says that it did not fit.
fn keep_product<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst, overflow: If) {
    if flags::are_live(e, inst) {
        e.asm.set_if(overflow, T2);
        e.asm.test(width(inst.size), T0, T0);
        flags::keep_product(e);
    }
}

/// IMUL of two or three operands.
fn imul<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst) -> bool {
    let bytes = inst.size;
    let Operand::Reg(to, 4 | 8) = inst.ops[0] else {
        return false;
    };
    if inst.ops.contains(&Operand::Imm) && !fits(inst) {
        return false;
    }
    let three = inst.ops[2] != Operand::None;
    let (from, slow) = match inst.ops[1] {
        Operand::Reg(from, _) => (operand(e, from), None),
        Operand::Mem(_) => (Host::Reg(T2), Some(load(e, inst, bytes, T2))),
        _ => return false,
    };
    let (first, second) = match three {
        true => (from, Host::Imm(inst.imm as i32)),
        false => (operand(e, to), from),
    };
    e.asm.mov(width(bytes), T0, first);
    e.asm.binary(width(bytes), Binary::Mul, T0, second);
    e.asm.put(to, T0);
    keep_product(e, inst, If::Overflow);
    flags::back(e, slow);
    true
}

/// MUL of four bytes.
fn mul<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst) -> bool {
    if inst.size != 4 {
        return false;
    }
    let slow = match inst.ops[0] {
        Operand::Reg(from, _) => {
            let from = operand(e, from);
            e.asm.mov(Width::W32, T1, from);
            None
        }
        Operand::Mem(_) => Some(load(e, inst, 4, T1)),
        _ => return false,
    };
    let by = operand(e, RAX);
    e.asm.mov(Width::W32, T0, by);
    e.asm.binary(Width::W64, Binary::Mul, T0, Host::Reg(T1));
    e.asm.mov(Width::W64, T1, Host::Reg(T0));
    shorten(e, T0);
    e.asm.put(RAX, T0);
    e.asm.shift(Width::W64, Shift::Shr, T1, Some(32));
    e.asm.put(RDX, T1);
    if flags::are_live(e, inst) {
        e.asm.test(Width::W32, T1, T1);
    }
    keep_product(e, inst, If::NotEqual);
    flags::back(e, slow);
    true
}

/// DIV and IDIV. What raises an exception is the interpreter's.
fn div<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst, signed: bool) -> bool {
    let bytes = inst.size;
    let Operand::Reg(by, 4 | 8) = inst.ops[0] else {
        return false;
    };
    let slow = slow(e, inst);
    let how = match (bytes, signed) {
        (4, true) => Extend::SignWide,
        _ => Extend::Zero,
    };
    // Everything has 64 bits, so that no quotient is too large.
    let by = e.asm.value(by, T1);
    match bytes {
        4 => e.asm.extend(Size::B4, how, T1, by),
        _ => e.asm.mov(Width::W64, T1, Host::Reg(by)),
    }
    e.asm.test(Width::W64, T1, T1);
    e.asm.jump_if(If::Equal, slow.from);
    if signed {
        e.asm.binary(Width::W64, Binary::Cmp, T1, Host::Imm(-1));
        e.asm.jump_if(If::Equal, slow.from);
    }
    let [low, high] = [RAX, RDX].map(|register| operand(e, register));
    match (bytes, signed) {
        (4, _) => {
            e.asm.mov(Width::W32, T2, high);
            e.asm.mov(Width::W32, T0, low);
            e.asm.shift(Width::W64, Shift::Shl, T2, Some(32));
            e.asm.binary(Width::W64, Binary::Or, T0, Host::Reg(T2));
        }
        (_, true) => {
            // Only what CQO has widened.
            e.asm.mov(Width::W64, T0, low);
            e.asm.mov(Width::W64, T2, Host::Reg(T0));
            e.asm.shift(Width::W64, Shift::Sar, T2, Some(63));
            e.asm.binary(Width::W64, Binary::Cmp, T2, high);
            e.asm.jump_if(If::NotEqual, slow.from);
        }
        (_, false) => {
            e.asm.mov(Width::W64, T0, high);
            e.asm.test(Width::W64, T0, T0);
            e.asm.jump_if(If::NotEqual, slow.from);
            e.asm.mov(Width::W64, T0, low);
        }
    }
    e.asm.divide(Width::W64, signed);
    if bytes == 4 {
        // The quotient of 32 bits is the whole one, or it does not fit.
        e.asm.extend(Size::B4, how, T1, T0);
        e.asm.binary(Width::W64, Binary::Cmp, T1, Host::Reg(T0));
        e.asm.jump_if(If::NotEqual, slow.from);
        shorten(e, T0);
        shorten(e, T2);
    }
    e.asm.put(RAX, T0);
    e.asm.put(RDX, T2);
    e.back(slow);
    true
}

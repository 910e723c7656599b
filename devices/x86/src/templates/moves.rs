//! Moves: between registers and memory, and the stack.

use iced_x86::{Code, Mnemonic::*};
use solderless_engine::host::{Assembler, Extend, Operand as Host, Shift, T0, T1, T2, Width};

use super::{
    Emitter, flags, flow, is_memory, is_near, load, offset, operand, put, reach, reach_at, size,
    slow, width,
};
use crate::core::{RAX, RBP, RDX, RSP};
use crate::inst::{Inst, Operand};

/// Emits an instruction of this family; false if it is of another, or one that is left to the interpreter.
pub fn emit<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst) -> bool {
    if inst.ops.iter().any(|op| is_memory(*op)) && !is_near(e, inst) {
        return false;
    }
    match inst.mnemonic {
        Mov => mov(e, inst),
        Movzx => extend(e, inst, false),
        Movsx | Movsxd => extend(e, inst, true),
        Lea => lea(e, inst),
        Push => push(e, inst),
        Pop => pop(e, inst),
        Leave => leave(e, inst),
        Nop => true,
        Bswap => bswap(e, inst),
        Cwde | Cdqe => widen(e, inst),
        Cdq | Cqo => spread(e, inst),
        Cmovo | Cmovno | Cmovb | Cmovae | Cmove | Cmovne | Cmovbe | Cmova | Cmovs | Cmovns
        | Cmovp | Cmovnp | Cmovl | Cmovge | Cmovle | Cmovg => cmov(e, inst),
        Seto | Setno | Setb | Setae | Sete | Setne | Setbe | Seta | Sets | Setns | Setp | Setnp
        | Setl | Setge | Setle | Setg => setcc(e, inst),
        _ => false,
    }
}

fn mov<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst) -> bool {
    let here = e.asm.here();
    match (inst.ops[0], inst.ops[1]) {
        (Operand::Reg(to, bytes @ (4 | 8)), Operand::Reg(from, _)) => {
            let target = e.asm.target(to, T0);
            let from = operand(e, from);
            match (bytes, from) {
                (4, Host::Reg(from)) => e.asm.extend(size(4), Extend::Zero, target, from),
                _ => e.asm.mov(width(bytes), target, from),
            }
            e.asm.put(to, target);
            flags::still(e, here);
        }
        (Operand::Reg(to, bytes), Operand::Reg(from, _)) => {
            let from = e.asm.value(from, T0);
            put(e, to, bytes, from);
            flags::still(e, here);
        }
        (Operand::Reg(to, bytes), Operand::Imm) => {
            let target = match bytes {
                4 | 8 => e.asm.target(to, T0),
                _ => T0,
            };
            match i32::try_from(inst.imm as i64) {
                Ok(imm) if bytes == 8 => e.asm.mov(Width::W64, target, Host::Imm(imm)),
                Err(_) if bytes == 8 => e.asm.mov_wide(target, inst.imm),
                _ => e.asm.mov(Width::W32, target, Host::Imm(inst.imm as i32)),
            }
            put(e, to, bytes, target);
        }
        (Operand::Reg(to, _), Operand::Mem(bytes)) => {
            let slow = slow(e, inst);
            let place = reach(e, inst, bytes, false, &slow);
            let target = match bytes {
                4 | 8 => e.asm.target(to, T0),
                _ => T0,
            };
            e.asm.load(size(bytes), Extend::Zero, target, place);
            put(e, to, bytes, target);
            e.back(slow);
        }
        (Operand::Mem(bytes), Operand::Reg(from, _)) => {
            let slow = slow(e, inst);
            let place = reach(e, inst, bytes, true, &slow);
            let from = e.asm.value(from, T2);
            e.asm.store(size(bytes), from, place);
            e.back(slow);
        }
        (Operand::Mem(bytes), Operand::Imm) => {
            let slow = slow(e, inst);
            let place = reach(e, inst, bytes, true, &slow);
            e.asm.store_imm(size(bytes), inst.imm as i32, place);
            e.back(slow);
        }
        _ => return false,
    }
    true
}

fn extend<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst, signed: bool) -> bool {
    let Operand::Reg(to, bytes @ (4 | 8)) = inst.ops[0] else {
        return false;
    };
    let how = match (signed, bytes) {
        (false, _) => Extend::Zero,
        (true, 4) => Extend::Sign,
        (true, _) => Extend::SignWide,
    };
    let here = e.asm.here();
    match inst.ops[1] {
        Operand::Reg(from, of) => {
            let target = e.asm.target(to, T0);
            let from = e.asm.value(from, T0);
            e.asm.extend(size(of), how, target, from);
            e.asm.put(to, target);
            flags::still(e, here);
        }
        Operand::High(from) => {
            high(e, from);
            let target = e.asm.target(to, T0);
            e.asm.extend(size(1), how, target, T0);
            e.asm.put(to, target);
        }
        Operand::Mem(of) => {
            let slow = slow(e, inst);
            let place = reach(e, inst, of, false, &slow);
            let target = e.asm.target(to, T0);
            e.asm.load(size(of), how, target, place);
            e.asm.put(to, target);
            e.back(slow);
        }
        _ => return false,
    }
    true
}

/// Has the second byte of a general register be the first one of the first scratch register.
fn high<A: Assembler>(e: &mut Emitter<'_, A>, register: u8) {
    let from = operand(e, register);
    e.asm.mov(Width::W32, T0, from);
    e.asm.shift(Width::W32, Shift::Shr, T0, Some(8));
}

fn lea<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst) -> bool {
    let Operand::Reg(to, bytes @ (4 | 8)) = inst.ops[0] else {
        return false;
    };
    let (base, by) = offset(e, inst);
    let target = e.asm.target(to, T0);
    e.asm.add_to(width(bytes), target, base, by);
    e.asm.put(to, target);
    true
}

/// Bytes that PUSH and POP move, if they are as many as an address has.
fn stacked<A: Assembler>(e: &Emitter<'_, A>, inst: &Inst) -> Option<u8> {
    let word = e.known.word();
    let bytes = match inst.ops[0] {
        Operand::Reg(_, bytes) | Operand::Mem(bytes) => bytes,
        Operand::Imm if !matches!(inst.code, Code::Push_imm16 | Code::Pushw_imm8) => word,
        _ => 0,
    };
    (bytes == word).then_some(word)
}

fn push<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst) -> bool {
    let Some(bytes) = stacked(e, inst) else {
        return false;
    };
    let slow = match is_memory(inst.ops[0]) {
        true => {
            let slow = load(e, inst, bytes, T0);
            e.asm.store(size(8), T0, A::STACK);
            slow
        }
        false => slow(e, inst),
    };
    let stack = e.asm.value(RSP, T0);
    e.asm.addresses(RSP);
    let place = reach_at(e, stack, -i32::from(bytes), bytes, true, &slow);
    match inst.ops[0] {
        Operand::Imm => e.asm.store_imm(size(bytes), inst.imm as i32, place),
        Operand::Reg(from, _) => {
            let from = e.asm.value(from, T2);
            e.asm.store(size(bytes), from, place);
        }
        _ => {
            e.asm.mov(Width::W64, T2, Host::Mem(A::STACK));
            e.asm.store(size(bytes), T2, place);
        }
    }
    flow::move_stack(e, -i32::from(bytes));
    e.back(slow);
    true
}

fn pop<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst) -> bool {
    let Operand::Reg(to, bytes) = inst.ops[0] else {
        return false;
    };
    if to == RSP || bytes != e.known.word() {
        return false;
    }
    let slow = slow(e, inst);
    let stack = e.asm.value(RSP, T0);
    e.asm.addresses(RSP);
    let place = reach_at(e, stack, 0, bytes, false, &slow);
    let target = e.asm.target(to, T0);
    e.asm.load(size(bytes), Extend::Zero, target, place);
    e.asm.put(to, target);
    flow::move_stack(e, bytes.into());
    e.back(slow);
    true
}

fn leave<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst) -> bool {
    let bytes = e.known.word();
    let whole = match inst.code {
        Code::Leavew => 2,
        Code::Leaved => 4,
        _ => 8,
    };
    if whole != bytes {
        return false;
    }
    let slow = slow(e, inst);
    let frame = e.asm.value(RBP, T0);
    e.asm.addresses(RBP);
    let place = reach_at(e, frame, 0, bytes, false, &slow);
    e.asm.load(size(bytes), Extend::Zero, T2, place);
    let stack = e.asm.target(RSP, T0);
    e.asm.add_to(width(bytes), stack, frame, bytes.into());
    e.asm.put(RSP, stack);
    e.asm.put(RBP, T2);
    e.back(slow);
    true
}

fn bswap<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst) -> bool {
    let Operand::Reg(register, bytes @ (4 | 8)) = inst.ops[0] else {
        return false;
    };
    let here = e.asm.here();
    let to = e.asm.target(register, T0);
    let from = operand(e, register);
    e.asm.mov(width(bytes), to, from);
    e.asm.swap_bytes(size(bytes), to);
    e.asm.put(register, to);
    flags::still(e, here);
    true
}

/// CWDE and CDQE.
fn widen<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst) -> bool {
    let here = e.asm.here();
    let to = e.asm.target(RAX, T0);
    let from = e.asm.value(RAX, T0);
    match inst.mnemonic {
        Cwde => e.asm.extend(size(2), Extend::Sign, to, from),
        _ => e.asm.extend(size(4), Extend::SignWide, to, from),
    }
    e.asm.put(RAX, to);
    flags::still(e, here);
    true
}

/// CDQ and CQO.
fn spread<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst) -> bool {
    let (width, by) = match inst.mnemonic {
        Cqo => (Width::W64, 63),
        _ => (Width::W32, 31),
    };
    let to = e.asm.target(RDX, T0);
    let from = operand(e, RAX);
    e.asm.mov(width, to, from);
    e.asm.shift(width, Shift::Sar, to, Some(by));
    e.asm.put(RDX, to);
    true
}

fn cmov<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst) -> bool {
    let Operand::Reg(to, bytes @ (4 | 8)) = inst.ops[0] else {
        return false;
    };
    let (from, slow) = match inst.ops[1] {
        Operand::Reg(from, _) => (Some(from), None),
        Operand::Mem(_) => (None, Some(load(e, inst, bytes, T2))),
        _ => return false,
    };
    let condition = flags::condition(e, inst);
    let here = e.asm.here();
    let from = from.map_or(T2, |from| e.asm.value(from, T2));
    let target = e.asm.target(to, T1);
    let old = operand(e, to);
    e.asm.mov(Width::W64, target, old);
    e.asm.move_if(width(bytes), condition, target, from);
    e.asm.put(to, target);
    flags::still(e, here);
    flags::back(e, slow);
    true
}

fn setcc<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst) -> bool {
    let Operand::Reg(to, _) = inst.ops[0] else {
        return false;
    };
    let condition = flags::condition(e, inst);
    let here = e.asm.here();
    e.asm.set_byte_if(condition, T0);
    put(e, to, 1, T0);
    flags::still(e, here);
    true
}

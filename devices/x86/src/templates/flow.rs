//! Jumps, calls, returns and branches: the ways out of a block.

use iced_x86::{Code, Mnemonic};
use solderless_engine::Slow;
use solderless_engine::host::{
    Assembler, Binary, Extend, If, Operand as Host, Shift, T0, T1, T2, Width,
};

use super::{Emitter, flags, is_near, operand, reach, reach_at, size, slow, width};
use crate::core::RSP;
use crate::inst::{Inst, Operand, is_far};

/// Whether an instruction is for the end of its block.
pub fn is_left_to_end<A: Assembler>(e: &Emitter<'_, A>, inst: &Inst) -> bool {
    let whole = inst.size == e.known.word();
    match inst.mnemonic {
        _ if flags::is_branch(inst) => whole,
        Mnemonic::Jmp | Mnemonic::Call if !is_far(inst.code) => {
            let there = match inst.ops[0] {
                Operand::Imm | Operand::Reg(..) => true,
                Operand::Mem(_) => is_near(e, inst),
                _ => false,
            };
            whole && there
        }
        Mnemonic::Ret => returned(inst) == e.known.word(),
        _ => false,
    }
}

/// Bytes of the address that RET takes.
fn returned(inst: &Inst) -> u8 {
    match inst.code {
        Code::Retnw | Code::Retnw_imm16 => 2,
        Code::Retnd | Code::Retnd_imm16 => 4,
        _ => 8,
    }
}

/// Emits such an instruction.
pub fn end<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst) {
    let to = inst.past().wrapping_add(inst.imm as u32);
    match (inst.mnemonic, inst.ops[0]) {
        (Mnemonic::Ret, _) => ret(e, inst),
        (Mnemonic::Jmp, Operand::Imm) => e.end_at(to),
        (Mnemonic::Jmp, _) => {
            let slow = slow(e, inst);
            target(e, inst, &slow);
            flags::back(e, slow);
            e.jump_to_address(true);
        }
        (Mnemonic::Call, Operand::Imm) => {
            let slow = slow(e, inst);
            push_next(e, inst, &slow);
            move_stack(e, -i32::from(inst.size));
            flags::back(e, slow);
            e.end_at(to);
        }
        (Mnemonic::Call, _) => {
            let slow = slow(e, inst);
            target(e, inst, &slow);
            e.asm.store(size(8), T0, A::STACK);
            push_next(e, inst, &slow);
            move_stack(e, -i32::from(inst.size));
            e.asm.mov(Width::W64, T0, Host::Mem(A::STACK));
            flags::back(e, slow);
            e.jump_to_address(false);
        }
        _ => {
            let condition = flags::condition(e, inst);
            e.branch(condition, to, None);
        }
    }
}

/// Has the address that an operand says in the first scratch register.
fn target<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst, slow: &Slow) {
    match inst.ops[0] {
        Operand::Reg(register, bytes) => {
            let from = operand(e, register);
            e.asm.mov(width(bytes), T0, from);
        }
        _ => {
            let place = reach(e, inst, inst.size, false, slow);
            e.asm.load(size(inst.size), Extend::Zero, T0, place);
        }
    }
    check(e, slow);
}

/// Leaves to the interpreter an address in the first scratch register that is none.
fn check<A: Assembler>(e: &mut Emitter<'_, A>, slow: &Slow) {
    if e.known.word() == 8 {
        e.asm.mov(Width::W64, T1, Host::Reg(T0));
        e.asm.shift(Width::W64, Shift::Shl, T1, Some(16));
        e.asm.shift(Width::W64, Shift::Sar, T1, Some(16));
        e.asm.binary(Width::W64, Binary::Cmp, T1, Host::Reg(T0));
        e.asm.jump_if(If::NotEqual, slow.from);
    }
}

/// Moves the stack pointer.
pub fn move_stack<A: Assembler>(e: &mut Emitter<'_, A>, by: i32) {
    let width = e.known.width();
    let from = e.asm.value(RSP, T2);
    let to = e.asm.target(RSP, T2);
    e.asm.add_to(width, to, from, by);
    e.asm.put(RSP, to);
}

/// Writes the address of the next instruction below the stack.
fn push_next<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst, slow: &Slow) {
    let bytes = inst.size;
    let stack = e.asm.value(RSP, T0);
    e.asm.addresses(RSP);
    let place = reach_at(e, stack, -i32::from(bytes), bytes, true, slow);
    e.address_of(T2, inst.past());
    e.asm.store(size(bytes), T2, place);
}

fn ret<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst) {
    let bytes = e.known.word();
    let slow = slow(e, inst);
    let stack = e.asm.value(RSP, T0);
    e.asm.addresses(RSP);
    let place = reach_at(e, stack, 0, bytes, false, &slow);
    e.asm.load(size(bytes), Extend::Zero, T0, place);
    check(e, &slow);
    let by = i32::from(bytes) + (inst.imm & 0xffff) as i32;
    move_stack(e, by);
    flags::back(e, slow);
    e.jump_to_address(false);
}

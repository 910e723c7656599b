//! Jumps and branches: the ways out of a block.

use solderless_engine::Src;
use solderless_engine::host::{Assembler, Binary, Extend, If, Size, T0, T1};

use super::{Emitter, slow};
use crate::inst::{Cond, Inst, Kind, SINK};

/// Whether an instruction is for the end of its block: a jump to where instructions can be.
pub fn is_left_to_end<A: Assembler>(e: &Emitter<'_, A>, inst: &Inst) -> bool {
    let aligned = e.known.compressed || inst.target() & 3 == 0;
    match inst.kind {
        Kind::Jal | Kind::Branch(_) => aligned,
        Kind::Jalr => true,
        _ => false,
    }
}

/// Emits such an instruction.
pub fn end<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst) {
    match inst.kind {
        Kind::Jal => {
            link(e, inst);
            e.end_at(inst.target());
        }
        Kind::Jalr => jump_register(e, inst),
        _ => {
            let condition = condition(e, inst);
            e.branch(condition, inst.target(), None);
        }
    }
}

/// The address at an offset from the start of the block, as a register holds it.
pub fn address_of<A: Assembler>(e: &mut Emitter<'_, A>, a: u8, offset: u32) {
    let to = e.asm.target(a, T1);
    e.address_of(to, offset);
    if e.known.rv32 {
        let low = Src::Reg(to);
        e.asm.set_extended(Size::B4, Extend::SignWide, to, low);
    }
    e.asm.put(a, to);
}

/// Gives a register the address of the next instruction.
fn link<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst) {
    if inst.a != SINK {
        address_of(e, inst.a, inst.past());
    }
}

fn jump_register<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst) {
    let base = e.asm.value(inst.b, T0);
    match inst.imm {
        0 => e.asm.set(T0, Src::Reg(base)),
        by => e.asm.add_number(T0, base, by),
    }
    e.asm.op(Binary::And, T0, Src::Imm(!1));
    if e.known.rv32 {
        e.asm.extend(Size::B4, Extend::Zero, T0, T0);
    }
    if !e.known.compressed {
        let slow = slow(e, inst);
        e.asm.test_low(T0, 2);
        e.asm.jump_if(If::NotEqual, slow.from);
        e.back(slow);
    }
    link(e, inst);
    e.jump_to_address(inst.is_computed());
}

/// Compares what a branch asks for; gives the condition that says whether it is taken.
pub fn condition<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst) -> If {
    let Kind::Branch(cond) = inst.kind else {
        return If::Equal;
    };
    let condition = match cond {
        Cond::Eq => If::Equal,
        Cond::Ne => If::NotEqual,
        Cond::Lt => If::Less,
        Cond::Ge => If::GreaterOrEqual,
        Cond::Ltu => If::Below,
        Cond::Geu => If::AboveOrEqual,
    };
    let asm = &mut e.asm;
    // What is known, or in memory, to the right.
    let swap = match (asm.place_of(inst.b), asm.place_of(inst.c)) {
        (Src::Imm(_), right) => !matches!(right, Src::Imm(_)),
        (left @ Src::Mem(_), Src::Reg(_)) => !asm.is_held(left),
        _ => false,
    };
    let (b, c, condition) = match swap {
        true => (inst.c, inst.b, mirrored(condition)),
        false => (inst.b, inst.c, condition),
    };
    let left = asm.value(b, T0);
    match asm.src(c) {
        Src::Imm(0) if matches!(cond, Cond::Eq | Cond::Ne) => asm.test_if_zero(left),
        Src::Imm(0) if matches!(cond, Cond::Lt | Cond::Ge) => asm.test_zero(left),
        right => asm.op(Binary::Cmp, left, right),
    }
    condition
}

/// The condition that holds with the operands exchanged.
fn mirrored(condition: If) -> If {
    match condition {
        If::Less => If::Greater,
        If::GreaterOrEqual => If::LessOrEqual,
        If::Below => If::Above,
        If::AboveOrEqual => If::BelowOrEqual,
        other => other,
    }
}

//! The arithmetic flags: who looks at them, and where they are.

use std::mem::offset_of;

use iced_x86::Mnemonic::*;
use solderless_engine::Slow;
use solderless_engine::host::{Assembler, If, Mem};

use super::{Emitter, is, is_memory, place};
use crate::core::Core;
use crate::inst::{Inst, Operand};

/// Where the flags are kept.
const KEPT: Mem = Mem::field(place(offset_of!(Core, kept)));

/// What an instruction has to do with the flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// Nothing.
    None,
    /// It sets all of them, and looks at none.
    Sets,
    /// Somebody may look at them.
    Looks,
}

fn effect(inst: &Inst) -> Effect {
    // It may raise an exception, by which all of them are seen.
    if inst.ops.iter().any(|op| is_memory(*op)) && inst.mnemonic != Lea {
        return Effect::Looks;
    }
    match inst.mnemonic {
        Mov | Movzx | Movsx | Movsxd | Lea | Not | Bswap | Cbw | Cwde | Cdqe | Cwd | Cdq | Cqo
        | Nop => match inst.ops.iter().any(|op| is_plain(*op)) {
            true => Effect::None,
            false => Effect::Looks,
        },
        Add | Sub | Cmp | And | Or | Xor | Test | Neg => Effect::Sets,
        Imul if inst.ops[1] != Operand::None => Effect::Sets,
        Shl | Sal | Shr | Sar => match inst.ops[1] {
            Operand::Imm if inst.imm & inst.count_mask() != 0 => Effect::Sets,
            _ => Effect::Looks,
        },
        _ => Effect::Looks,
    }
}

/// Whether an operand is neither a segment nor a control register.
fn is_plain(operand: Operand) -> bool {
    !matches!(
        operand,
        Operand::Seg(_) | Operand::Control(_) | Operand::Debug(_)
    )
}

/// The instructions of a block behind which somebody may look at the flags before all of them are set again, one bit each.
pub fn live(insts: &[Inst]) -> u64 {
    let mut live = 0;
    let mut looked_at = true;
    for (n, inst) in insts.iter().enumerate().rev() {
        if looked_at {
            live |= 1 << (n & 63);
        }
        match effect(inst) {
            Effect::None => {}
            Effect::Sets => looked_at = false,
            Effect::Looks => looked_at = true,
        }
    }
    live
}

/// Whether somebody may look at what an instruction makes of the flags.
pub fn are_live<A: Assembler>(e: &Emitter<'_, A>, inst: &Inst) -> bool {
    e.known.live >> (inst.index_in_block & 63) & 1 != 0
}

/// The host's conditions are the flags of an instruction: keeps them if somebody may look. `with_half` says that AF is defined.
pub fn keep<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst, with_half: bool) {
    if are_live(e, inst) {
        e.asm.keep_conditions(KEPT, with_half);
        e.known.flags_at = with_half.then(|| e.asm.here());
    }
}

/// The same of a product.
pub fn keep_product<A: Assembler>(e: &mut Emitter<'_, A>) {
    e.asm.keep_product(KEPT);
}

/// What was emitted since the place in the code has not changed the conditions.
pub fn still<A: Assembler>(e: &mut Emitter<'_, A>, since: usize) {
    if e.known.flags_at == Some(since) {
        e.known.flags_at = Some(e.asm.here());
    }
}

/// Has the host's conditions be the flags; may change the first scratch register.
pub fn take<A: Assembler>(e: &mut Emitter<'_, A>) {
    if e.known.flags_at != Some(e.asm.here()) {
        e.asm.take_conditions(KEPT);
        e.known.flags_at = Some(e.asm.here());
    }
}

/// Has the host's carry be CF.
pub fn take_carry<A: Assembler>(e: &mut Emitter<'_, A>) {
    if e.known.flags_at != Some(e.asm.here()) {
        e.asm.take_carry(KEPT);
    }
}

/// Where an instruction ends that may be left to the interpreter, which keeps the flags, if there is a way there.
pub fn back<A: Assembler>(e: &mut Emitter<'_, A>, slow: impl std::convert::Into<Option<Slow>>) {
    let Some(mut slow) = slow.into() else {
        return;
    };
    if e.known.flags_at == Some(e.asm.here()) {
        slow.conditions(KEPT);
    }
    e.back(slow);
}

/// Has the host's conditions be the flags; gives the condition that an instruction asks for.
pub fn condition<A: Assembler>(e: &mut Emitter<'_, A>, inst: &Inst) -> If {
    take(e);
    match inst.condition & 15 {
        0 => If::Overflow,
        1 => If::NoOverflow,
        2 => If::Below,
        3 => If::AboveOrEqual,
        4 => If::Equal,
        5 => If::NotEqual,
        6 => If::BelowOrEqual,
        7 => If::Above,
        8 => If::Negative,
        9 => If::NotNegative,
        10 => If::Unordered,
        11 => If::Ordered,
        12 => If::Less,
        13 => If::GreaterOrEqual,
        14 => If::LessOrEqual,
        _ => If::Greater,
    }
}

/// Whether an instruction is a branch by the flags.
pub fn is_branch(inst: &Inst) -> bool {
    is(
        inst,
        &[
            Jo, Jno, Jb, Jae, Je, Jne, Jbe, Ja, Js, Jns, Jp, Jnp, Jl, Jge, Jle, Jg,
        ],
    )
}

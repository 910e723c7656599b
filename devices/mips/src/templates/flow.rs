//! Control transfers: what prepares a branch, and the ways out of a block.

use solderless_engine::Src;
use solderless_engine::host::{self, Assembler, Binary, If, Mem, T0};

use super::{At, Emitter, alu, slow};
use crate::ir::{Block, Cond, End, Inst, Kind, Test};
use crate::width::Width;

/// Emits an instruction of this family; false if it is of another.
pub fn emit<W: Width, A: Assembler>(e: &mut Emitter<'_, A, W>, inst: &Inst) -> bool {
    match inst.kind {
        Kind::Link => {
            let to = e.asm.target(inst.a, T0);
            e.address_of(to, inst.imm);
            e.asm.put(inst.a, to);
        }
        Kind::Latch(cond) if keep_condition(e, (cond, inst.b, inst.c)) => {}
        Kind::Latch(cond) => {
            let condition = alu::test_registers(e, cond, inst.b, inst.c);
            e.asm.set_if(condition, T0);
            e.asm.put_field(At::<W>::LATCH, T0);
        }
        Kind::LatchTarget => {
            let from = e.asm.value(inst.b, T0);
            e.asm.put_field(At::<W>::LATCH, from);
        }
        Kind::Skip(cond) => {
            let condition = alu::test_registers(e, cond, inst.b, inst.c);
            leave_unless(e, condition);
        }
        Kind::SkipLatched => {
            test_latch(e);
            leave_unless(e, If::NotEqual);
        }
        Kind::Trap(test) => trap(e, inst, test, e.asm.src(inst.c)),
        Kind::TrapImm(test) => trap(e, inst, test, Src::Imm(inst.imm.cast_signed())),
        _ => return false,
    }
    true
}

fn trap<W: Width, A: Assembler>(e: &mut Emitter<'_, A, W>, inst: &Inst, test: Test, c: Src) {
    let slow = slow(e);
    let b = e.asm.value(inst.b, T0);
    e.asm.op(Binary::Cmp, b, c);
    let condition = match test {
        Test::Eq => If::Equal,
        Test::Ne => If::NotEqual,
        Test::Lt => If::Less,
        Test::Ltu => If::Below,
        Test::Ge => If::GreaterOrEqual,
        Test::Geu => If::AboveOrEqual,
    };
    e.asm.jump_if(condition, slow.from);
    e.back(slow);
}

/// What a branch tests at the end of the block although its slot has changed it, in place of what [`Kind::Latch`] keeps in the core.
#[derive(Debug, Clone, Copy)]
pub enum Latched {
    /// The result of a comparison, which is made again.
    Compared { inst: Inst, cond: Cond },
    /// Two registers, one of which is kept.
    Kept { test: (Cond, u8, u8), kept: u8 },
}

/// Leaves a condition to the end of the block, if the instruction in the slot is such that it can be told there.
fn keep_condition<W: Width, A: Assembler>(e: &mut Emitter<'_, A, W>, test: (Cond, u8, u8)) -> bool {
    let (cond, b, c) = test;
    let Some(slot) = e.known.slot else {
        return false;
    };
    if matches!(cond, Cond::FpFalse | Cond::FpTrue) || ![b, c].contains(&slot.a) {
        return false;
    }
    e.known.latched = match alu::compared(e, test, Some(&slot)) {
        Some(inst) => Some(Latched::Compared { inst, cond }),
        None => {
            let kept = slot.a;
            e.asm.set(alu::KEPT, e.asm.src(kept));
            Some(Latched::Kept { test, kept })
        }
    };
    true
}

fn test_latch<W: Width, A: Assembler>(e: &mut Emitter<'_, A, W>) {
    e.asm
        .binary_at(host::Width::W32, Binary::Cmp, Mem::field(At::<W>::LATCH), 0);
}

/// Goes on behind the block, giving back the instructions that are not executed, unless a condition holds.
fn leave_unless<W: Width, A: Assembler>(e: &mut Emitter<'_, A, W>, condition: If) {
    let at = e.known.step.map_or(0, |s| s.at);
    e.leave_unless(condition, at);
}

/// Tests the condition of the block's branch; gives the one that says whether it holds.
pub fn condition<W: Width, A: Assembler>(e: &mut Emitter<'_, A, W>, block: &Block) -> If {
    match block.end {
        End::Branch { cond, b, c, .. } => {
            if let Some((inst, kept)) = e.known.told {
                e.asm.put_imm(inst.a, (cond == Cond::Ne).into());
                return alu::compare_again(e, &inst, kept, cond);
            }
            alu::test_registers(e, cond, b, c)
        }
        _ => match e.known.latched {
            Some(Latched::Compared { inst, cond }) => {
                alu::compare_again(e, &inst, alu::kept(&inst), cond)
            }
            Some(Latched::Kept { test, kept }) => alu::test(e, test, Some(kept)),
            None => {
                test_latch(e);
                If::NotEqual
            }
        },
    }
}

/// The result of a comparison that was left to the branch which tests it, and what it is where that is not taken.
pub fn told<W: Width, A: Assembler>(e: &Emitter<'_, A, W>, block: &Block) -> Option<(u8, i32)> {
    match block.end {
        End::Branch { cond, .. } => Some((e.known.told?.0.a, (cond != Cond::Ne).into())),
        _ => None,
    }
}

/// Emits the end of the block.
pub fn end<W: Width, A: Assembler>(e: &mut Emitter<'_, A, W>, block: &Block) {
    match block.end {
        End::Branch { taken, .. } | End::Latched { taken } => {
            let condition = condition(e, block);
            let told = told(e, block);
            e.branch(condition, taken, told);
        }
        End::Always { taken } => e.end_at(taken),
        End::Fall => e.end_at(block.past()),
        End::Jump { target } => {
            let region = e
                .direct()
                .map(|page| page & !0x0fff_ffff | u64::from(target));
            if !region.is_some_and(|va| e.go_direct(va)) {
                e.asm.get_field(T0, At::<W>::PC);
                let region = 0xf000_0000_u32.cast_signed();
                e.asm.op(Binary::And, T0, Src::Imm(region));
                e.asm.op(Binary::Or, T0, Src::Imm(target.cast_signed()));
                e.look_up_code();
            }
        }
        End::Register { b } => {
            e.asm.set(T0, e.asm.src(b));
            e.jump_to_address(block.is_computed());
        }
        End::LatchedRegister => {
            e.asm.get_field(T0, At::<W>::LATCH);
            e.jump_to_address(block.is_computed());
        }
    }
}

/// Tests a floating point condition code; gives the condition that says whether `cond` holds.
pub fn test_fp<W: Width, A: Assembler>(e: &mut Emitter<'_, A, W>, cond: Cond, code: u8) -> If {
    let bit = crate::fpu::Fcsr::cc_bit(code.into()).cast_signed();
    e.asm.test_at(Mem::field(At::<W>::FCSR), bit);
    match cond {
        Cond::FpTrue => If::NotEqual,
        _ => If::Equal,
    }
}

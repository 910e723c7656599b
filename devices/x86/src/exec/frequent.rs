//! The most frequent instructions once more, each for operands of a kind and a size: what they are is looked at when the block is
//! decoded. What they do is as in the other files.

use iced_x86::Mnemonic;
use solderless_model::Cx;

use super::alu::{ADC, ADD, AND, OR, SBB, SUB, XOR};
use super::{Handler, Op, Step};
use crate::core::Core;
use crate::inst::{Inst, Operand};

/// Kinds of operands: from a register or a number to a register, from memory to a register, from a register or a number to memory.
const IN_REGISTERS: u8 = 0;
const FROM_MEMORY: u8 = 1;
const TO_MEMORY: u8 = 2;

/// The function for a kind of operands and a size of 4 or 8 bytes.
macro_rules! by_form {
    ($form:expr, $function:ident $(, $what:expr)*) => {
        match $form {
            (IN_REGISTERS, 4) => $function::<$({ $what },)* IN_REGISTERS, 4>,
            (IN_REGISTERS, _) => $function::<$({ $what },)* IN_REGISTERS, 8>,
            (FROM_MEMORY, 4) => $function::<$({ $what },)* FROM_MEMORY, 4>,
            (FROM_MEMORY, _) => $function::<$({ $what },)* FROM_MEMORY, 8>,
            (_, 4) => $function::<$({ $what },)* TO_MEMORY, 4>,
            _ => $function::<$({ $what },)* TO_MEMORY, 8>,
        }
    };
}

pub fn handler(inst: &Inst) -> Option<Handler> {
    use Operand::{Imm, Mem, Reg};
    let form = match inst.ops {
        [Reg(_, a), Reg(_, b), Operand::None] if a == b => (IN_REGISTERS, a),
        [Reg(_, a), Imm, Operand::None] => (IN_REGISTERS, a),
        [Reg(_, a), Mem(b), Operand::None] if a == b => (FROM_MEMORY, a),
        [Mem(a), Reg(_, b), Operand::None] if a == b => (TO_MEMORY, a),
        [Mem(a), Imm, Operand::None] => (TO_MEMORY, a),
        _ => return None,
    };
    if form.1 != inst.size || !matches!(form.1, 4 | 8) {
        return None;
    }
    use Mnemonic as M;
    let handler: Handler = match inst.mnemonic {
        M::Mov => by_form!(form, mov),
        M::Add => by_form!(form, two, ADD),
        M::Or => by_form!(form, two, OR),
        M::Adc => by_form!(form, two, ADC),
        M::Sbb => by_form!(form, two, SBB),
        M::And => by_form!(form, two, AND),
        M::Sub => by_form!(form, two, SUB),
        M::Xor => by_form!(form, two, XOR),
        M::Cmp => by_form!(form, compare, SUB),
        M::Test => by_form!(form, compare, AND),
        _ => return None,
    };
    Some(handler)
}

/// The register that is the first operand, or the second.
#[inline(always)]
fn register(op: &Op, n: usize) -> usize {
    match op.inst.ops[n] {
        Operand::Reg(n, _) => usize::from(n & 15),
        _ => 0,
    }
}

/// The value of a register or number.
#[inline(always)]
fn value<const SIZE: u8>(core: &Core, op: &Op, n: usize) -> u64 {
    match op.inst.ops[n] {
        Operand::Reg(n, _) => core.reg(n, SIZE),
        _ => op.inst.imm & crate::inst::mask(SIZE),
    }
}

#[inline(always)]
fn set<const SIZE: u8>(core: &mut Core, op: &Op, value: u64) {
    core.x[register(op, 0)] = value & crate::inst::mask(SIZE);
}

fn mov<const FORM: u8, const SIZE: u8>(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    match FORM {
        IN_REGISTERS => {
            let value = value::<SIZE>(core, op, 1);
            set::<SIZE>(core, op, value);
        }
        FROM_MEMORY => {
            let va = core.address(op, SIZE, false)?;
            let value = core.load(cx, op, va, SIZE)?;
            set::<SIZE>(core, op, value);
        }
        _ => {
            let va = core.address(op, SIZE, true)?;
            core.store(cx, op, va, SIZE, value::<SIZE>(core, op, 1))?;
        }
    }
    Ok(())
}

fn two<const WHAT: u8, const FORM: u8, const SIZE: u8>(
    core: &mut Core,
    op: &Op,
    cx: &mut Cx<'_>,
) -> Step {
    if FORM == TO_MEMORY {
        let va = core.address(op, SIZE, true)?;
        let a = core.load_to_change(cx, op, va, SIZE)?;
        let b = value::<SIZE>(core, op, 1);
        let flags = (core.lazy, core.result, core.carries);
        let result = core.operate::<WHAT>(a, b, SIZE);
        let stored = core.store(cx, op, va, SIZE, result);
        if stored.is_err() {
            (core.lazy, core.result, core.carries) = flags;
        }
        return stored;
    }
    let a = value::<SIZE>(core, op, 0);
    let b = second::<FORM, SIZE>(core, op, cx)?;
    let result = core.operate::<WHAT>(a, b, SIZE);
    set::<SIZE>(core, op, result);
    Ok(())
}

/// The second operand.
#[inline(always)]
fn second<const FORM: u8, const SIZE: u8>(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step<u64> {
    match FORM {
        FROM_MEMORY => {
            let va = core.address(op, SIZE, false)?;
            core.load(cx, op, va, SIZE)
        }
        _ => Ok(value::<SIZE>(core, op, 1)),
    }
}

fn compare<const WHAT: u8, const FORM: u8, const SIZE: u8>(
    core: &mut Core,
    op: &Op,
    cx: &mut Cx<'_>,
) -> Step {
    let a = match FORM {
        TO_MEMORY => {
            let va = core.address(op, SIZE, false)?;
            core.load(cx, op, va, SIZE)?
        }
        _ => value::<SIZE>(core, op, 0),
    };
    let b = second::<FORM, SIZE>(core, op, cx)?;
    core.operate::<WHAT>(a, b, SIZE);
    Ok(())
}

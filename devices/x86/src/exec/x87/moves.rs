//! Loads, stores and constants of the x87.

use iced_x86::Mnemonic;
use solderless_float::Rounding;
use solderless_float::{Class, Env, Extended, Flags, Format};
use solderless_model::Cx;

use super::{operand, register};
use crate::core::Core;
use crate::exec::{Op, Step};
use crate::fpu::{Fpu, X87, exceptions, indefinite, status};

pub fn load(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.begin_fpu(cx)?;
    if let Some(n) = register(op, 0) {
        core.note_fpu(op);
        let fpu = &mut core.fpu;
        if !fpu.is_empty(n) {
            let value = fpu.st(n);
            fpu.push(value);
        } else if fpu.stack_fault(false) {
            fpu.set_top(fpu.top().wrapping_sub(1));
            fpu.set_st(0, indefinite());
        }
        return Ok(());
    }
    let (value, flags) = operand(core, op, cx)?;
    core.note_fpu(op);
    let fpu = &mut core.fpu;
    if !fpu.is_empty(7) {
        fpu.push(value);
        return Ok(());
    }
    let (value, invalid) = match op.inst.size {
        // A NaN of another format becomes quiet.
        4 | 8 if X87.class::<Extended>(value) == Class::SignalingNan => {
            Env::new(&X87).add::<Extended>(value, value)
        }
        _ => (value, Flags::NONE),
    };
    if fpu.note(invalid) {
        fpu.push(value);
        // A subnormal number is loaded, whether that is masked or not.
        fpu.raise(exceptions(flags) & status::DE);
    }
    Ok(())
}

/// Digits of a packed decimal number.
const DIGITS: u32 = 18;

pub fn load_decimal(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.begin_fpu(cx)?;
    let va = core.address(op, 10, false)?;
    let mut bytes = [0; 10];
    core.load_wide(cx, op, va, &mut bytes)?;
    core.note_fpu(op);
    let magnitude = bytes[..9].iter().rev().fold(0u64, |all, byte| {
        all * 100 + u64::from(byte >> 4) * 10 + u64::from(byte & 15)
    });
    let (value, _) = Env::new(&X87).from_integer::<u64, Extended>(magnitude);
    let value = match bytes[9] & 0x80 {
        0 => value,
        _ => Extended::negate(value),
    };
    core.fpu.push(value);
    Ok(())
}

pub fn store<const POPS: u8>(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.begin_fpu(cx)?;
    if let Some(n) = register(op, 0) {
        core.note_fpu(op);
        let fpu = &mut core.fpu;
        if fpu.there(&[0], n, POPS) {
            fpu.status &= !status::C1;
            let value = fpu.st(0);
            fpu.set_st(n, value);
            (0..POPS).for_each(|_| fpu.pop());
        }
        return Ok(());
    }
    let size = op.inst.size;
    let before = core.fpu.clone();
    core.note_fpu(op);
    let fpu = &mut core.fpu;
    let empty = fpu.is_empty(0);
    let (value, flags) = match (empty, size) {
        (true, 4) => (X87.default_nan_of::<f32>().into(), Flags::NONE),
        (true, 8) => (X87.default_nan_of::<f64>().into(), Flags::NONE),
        (true, _) => (indefinite(), Flags::NONE),
        (_, 4) => {
            let (value, flags) = fpu.env().convert::<Extended, f32>(fpu.st(0));
            (value.into(), flags)
        }
        (_, 8) => {
            let (value, flags) = fpu.env().convert::<Extended, f64>(fpu.st(0));
            (value.into(), flags)
        }
        _ => (fpu.st(0), Flags::NONE),
    };
    let there = match empty {
        true => fpu.stack_fault(false),
        false => fpu.note_store(flags),
    };
    if !there {
        return Ok(());
    }
    store_and_pop(
        core,
        op,
        cx,
        &value.to_le_bytes()[..usize::from(size)],
        before,
        POPS,
    )
}

/// FSTP with another opcode, to which an empty register is nothing special.
pub fn store_unchecked(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.begin_fpu(cx)?;
    core.note_fpu(op);
    let fpu = &mut core.fpu;
    let value = fpu.st(0);
    fpu.set_st(register(op, 0).unwrap_or(0), value);
    fpu.pop();
    Ok(())
}

/// Stores what has been made of the top of the stack, or goes back to what was before.
fn store_and_pop(
    core: &mut Core,
    op: &Op,
    cx: &mut Cx<'_>,
    bytes: &[u8],
    before: Fpu,
    pops: u8,
) -> Step {
    let place = core.address(op, bytes.len() as u8, true);
    let stored = place.and_then(|va| core.store_wide(cx, op, va, bytes));
    match stored {
        Ok(()) => (0..pops).for_each(|_| core.fpu.pop()),
        Err(_) => core.fpu = before,
    }
    stored
}

impl Fpu {
    /// As [`Fpu::note`], of a store: overflow and underflow keep it from being made as well, and a subnormal number is nothing.
    fn note_store(&mut self, flags: Flags) -> bool {
        let flags = flags & (Flags::IEEE | Flags::ROUNDED_UP);
        let kept = exceptions(flags) & !self.control & (status::OE | status::UE);
        if kept != 0 {
            self.status &= !status::C1;
            self.raise(kept);
            return false;
        }
        self.note(flags)
    }
}

pub fn store_integer<const POPS: u8, const TRUNCATE: bool>(
    core: &mut Core,
    op: &Op,
    cx: &mut Cx<'_>,
) -> Step {
    core.begin_fpu(cx)?;
    let size = op.inst.size;
    let before = core.fpu.clone();
    core.note_fpu(op);
    let fpu = &mut core.fpu;
    let mut env = fpu.env();
    if TRUNCATE {
        env.rounding = Rounding::Zero;
    }
    let indefinite = 1u64 << (8 * u32::from(size) - 1);
    let value = fpu.st(0);
    let (value, flags) = match size {
        2 => {
            let (value, flags) = env.to_integer::<Extended, i16>(value);
            (value as u64, flags)
        }
        4 => {
            let (value, flags) = env.to_integer::<Extended, i32>(value);
            (value as u64, flags)
        }
        _ => {
            let (value, flags) = env.to_integer::<Extended, i64>(value);
            (value as u64, flags)
        }
    };
    let (value, there) = match fpu.is_empty(0) {
        true => (indefinite, fpu.stack_fault(false)),
        false => (value, fpu.note_store(flags)),
    };
    if !there {
        return Ok(());
    }
    store_and_pop(
        core,
        op,
        cx,
        &value.to_le_bytes()[..usize::from(size)],
        before,
        POPS,
    )
}

pub fn store_decimal(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.begin_fpu(cx)?;
    let before = core.fpu.clone();
    core.note_fpu(op);
    let fpu = &mut core.fpu;
    let value = fpu.st(0);
    let (number, mut flags) = fpu.env().to_integer::<Extended, i64>(value);
    let mut magnitude = number.unsigned_abs();
    let fits = magnitude < 10u64.pow(DIGITS) && !flags.has(Flags::INVALID);
    if !fits {
        flags = Flags::INVALID;
    }
    let (fits, there) = match fpu.is_empty(0) {
        true => (false, fpu.stack_fault(false)),
        false => (fits, fpu.note_store(flags)),
    };
    if !there {
        return Ok(());
    }
    let mut bytes = [0, 0, 0, 0, 0, 0, 0, 0xc0, 0xff, 0xff];
    if fits {
        for byte in &mut bytes[..9] {
            *byte = (((magnitude / 10 % 10) << 4) | (magnitude % 10)) as u8;
            magnitude /= 100;
        }
        bytes[9] = if Extended::is_negative(value) {
            0x80
        } else {
            0
        };
    }
    store_and_pop(core, op, cx, &bytes, before, 1)
}

/// A constant, and by how much it is above the number it stands for: its last digit, or nothing, or less than nothing.
pub fn constant(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.begin_fpu(cx)?;
    core.note_fpu(op);
    use Mnemonic::*;
    let (exponent, significand, above): (u128, u64, i8) = match op.inst.mnemonic {
        Fld1 => (0x3fff, 1 << 63, 0),
        Fldl2t => (0x4000, 0xd49a_784b_cd1b_8afe, -1),
        Fldl2e => (0x3fff, 0xb8aa_3b29_5c17_f0bc, 1),
        Fldpi => (0x4000, 0xc90f_daa2_2168_c235, 1),
        Fldlg2 => (0x3ffd, 0x9a20_9a84_fbcf_f799, 1),
        Fldln2 => (0x3ffe, 0xb172_17f7_d1cf_79ac, 1),
        _ => (0, 0, 0),
    };
    let significand = match (core.fpu.env().rounding, above) {
        (Rounding::Down | Rounding::Zero, 1) => significand - 1,
        (Rounding::Up, -1) => significand + 1,
        _ => significand,
    };
    core.fpu.push(exponent << 64 | u128::from(significand));
    Ok(())
}

//! Shifts and rotations, and instructions for single bits.

use iced_x86::Mnemonic;
use solderless_model::Cx;

use super::{Handler, Op, Step};
use crate::core::{Core, flag};
use crate::inst::{Operand, mask, sign_extend};

pub fn handler(mnemonic: Mnemonic) -> Option<Handler> {
    Some(match mnemonic {
        Mnemonic::Rol => rotate::<ROL>,
        Mnemonic::Ror => rotate::<ROR>,
        Mnemonic::Rcl => rotate::<RCL>,
        Mnemonic::Rcr => rotate::<RCR>,
        Mnemonic::Shl | Mnemonic::Sal => shift::<SHL>,
        Mnemonic::Shr => shift::<SHR>,
        Mnemonic::Sar => shift::<SAR>,
        Mnemonic::Shld => double::<SHL>,
        Mnemonic::Shrd => double::<SHR>,
        Mnemonic::Bt => bit::<TEST>,
        Mnemonic::Bts => bit::<SET>,
        Mnemonic::Btr => bit::<RESET>,
        Mnemonic::Btc => bit::<COMPLEMENT>,
        Mnemonic::Bsf => scan::<SHR>,
        Mnemonic::Bsr => scan::<SHL>,
        Mnemonic::Popcnt => popcnt,
        _ => return None,
    })
}

const ROL: u8 = 0;
const ROR: u8 = 1;
const RCL: u8 = 2;
const RCR: u8 = 3;
const SHL: u8 = 4;
const SHR: u8 = 5;
const SAR: u8 = 7;

const TEST: u8 = 0;
const SET: u8 = 1;
const RESET: u8 = 2;
const COMPLEMENT: u8 = 3;

/// The count of a shift of so many bytes.
fn count(core: &mut Core, cx: &mut Cx<'_>, op: &Op, n: usize) -> Step<u32> {
    let count = match op.inst.ops[n] {
        // It is no operand of the size of the other.
        Operand::Imm => op.inst.imm,
        _ => core.get(cx, op, n)?,
    };
    Ok((count & op.inst.count_mask()) as u32)
}

fn set(on: bool, bit: u64) -> u64 {
    if on { bit } else { 0 }
}

fn rotate<const WHAT: u8>(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    let size = op.inst.size;
    let bits = 8 * u32::from(size);
    let count = count(core, cx, op, 1)?;
    let value = core.get_to_change(cx, op, 0)?;
    if count == 0 {
        return core.put(cx, op, 0, value);
    }
    let carry = u128::from(core.carry());
    let top = |value: u64, from_top: u32| value >> (bits - from_top) & 1 != 0;
    let (result, carry) = match WHAT {
        ROL | ROR => {
            let by = match WHAT {
                ROL => count % bits,
                _ => (bits - count % bits) % bits,
            };
            let result = value << by | value.checked_shr(bits - by).unwrap_or(0);
            let result = result & mask(size);
            let carry = match WHAT {
                ROL => result & 1 != 0,
                _ => top(result, 1),
            };
            (result, carry)
        }
        _ => {
            // The carry is one more bit, above.
            let all = u128::from(value) | carry << bits;
            let width = bits + 1;
            let by = match WHAT {
                RCL => count % width,
                _ => (width - count % width) % width,
            };
            let rotated = all << by | all.checked_shr(width - by).unwrap_or(0);
            (rotated as u64 & mask(size), rotated >> bits & 1 != 0)
        }
    };
    core.put(cx, op, 0, result)?;
    let overflow = match WHAT {
        ROL | RCL => top(result, 1) != carry,
        _ => top(result, 1) != top(result, 2),
    };
    core.set_flags(
        flag::CF | flag::OF,
        set(carry, flag::CF) | set(overflow, flag::OF),
    );
    Ok(())
}

fn shift<const WHAT: u8>(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    let size = op.inst.size;
    let bits = 8 * u32::from(size);
    let count = count(core, cx, op, 1)?;
    let value = core.get_to_change(cx, op, 0)?;
    if count == 0 {
        return core.put(cx, op, 0, value);
    }
    let signed = sign_extend(value, size) as i64;
    let (result, carry) = match WHAT {
        SHL => {
            let wide = u128::from(value) << count;
            (wide as u64 & mask(size), wide >> bits & 1 != 0)
        }
        SHR => {
            let result = value.checked_shr(count).unwrap_or(0);
            let carry = value.checked_shr(count - 1).unwrap_or(0) & 1 != 0;
            (result, carry)
        }
        _ => {
            let result = (signed >> count.min(63)) as u64 & mask(size);
            (result, signed >> (count - 1).min(63) & 1 != 0)
        }
    };
    core.put(cx, op, 0, result)?;
    let top = |value: u64| value >> (bits - 1) & 1 != 0;
    let overflow = match WHAT {
        SHL => top(result) != carry,
        // As if it went bit by bit, of which the last one counts.
        SHR => count == 1 && top(value),
        _ => false,
    };
    core.shifted(size, result, carry, overflow);
    Ok(())
}

impl Core {
    /// The flags of a shift: AF, which is undefined, is clear.
    #[inline(always)]
    fn shifted(&mut self, size: u8, result: u64, carry: bool, overflow: bool) {
        self.set_lazy(result, 0, size);
        let carry = u64::from(carry);
        self.carries = carry << 63 | (carry ^ u64::from(overflow)) << 62;
    }
}

fn double<const WHAT: u8>(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    let size = op.inst.size;
    let bits = 8 * u32::from(size);
    let count = count(core, cx, op, 2)?;
    let value = core.get_to_change(cx, op, 0)?;
    let other = core.get(cx, op, 1)?;
    if count == 0 {
        return core.put(cx, op, 0, value);
    }
    // Of 16 bits with a count above 16 the first operand follows the second again.
    let (value128, other128) = (u128::from(value), u128::from(other));
    let (result, carry) = match (WHAT, count > bits) {
        (SHL, false) => {
            let all = value128 << bits | other128;
            let shifted = all << count;
            ((shifted >> bits) as u64, all >> (2 * bits - count) & 1 != 0)
        }
        (SHL, true) => {
            let all = value128 << (2 * bits) | other128 << bits | value128;
            let shifted = all << count;
            (
                (shifted >> (2 * bits)) as u64,
                all >> (3 * bits - count) & 1 != 0,
            )
        }
        (_, false) => {
            let all = other128 << bits | value128;
            ((all >> count) as u64, all >> (count - 1) & 1 != 0)
        }
        (_, true) => {
            let all = value128 << (2 * bits) | other128 << bits | value128;
            ((all >> count) as u64, all >> (count - 1) & 1 != 0)
        }
    };
    let result = result & mask(size);
    core.put(cx, op, 0, result)?;
    let top = |value: u64| value >> (bits - 1) & 1 != 0;
    core.shifted(size, result, carry, top(result) != top(value));
    Ok(())
}

/// BT and those that change the bit. One in memory can be far away.
fn bit<const WHAT: u8>(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    let size = op.inst.size;
    let bits = 8 * u64::from(size);
    let number = match op.inst.ops[1] {
        Operand::Imm => op.inst.imm & (bits - 1),
        _ => core.get(cx, op, 1)?,
    };
    let change = |value: u64| {
        let bit = 1u64 << (number & (bits - 1));
        match WHAT {
            SET => value | bit,
            RESET => value & !bit,
            _ => value ^ bit,
        }
    };
    let value;
    if let Operand::Mem(_) = op.inst.ops[0] {
        let units = (sign_extend(number, size) as i64).div_euclid(bits as i64);
        let by = units.wrapping_mul(size.into()) as u64;
        let offset = core.offset(op).wrapping_add(by) & mask(op.inst.address_size);
        let write = WHAT != TEST;
        let va = core.linear(op.inst.memory.segment, offset, size, write)?;
        if write {
            value = core.load_to_change(cx, op, va, size)?;
            core.store(cx, op, va, size, change(value))?;
        } else {
            value = core.load(cx, op, va, size)?;
        }
    } else {
        value = core.get(cx, op, 0)?;
        if WHAT != TEST {
            core.put(cx, op, 0, change(value))?;
        }
    }
    let carry = value >> (number & (bits - 1)) & 1 != 0;
    core.set_flags(flag::CF, set(carry, flag::CF));
    Ok(())
}

/// BSF and BSR: of zero the destination stays, as it does on all CPUs that there are.
fn scan<const WHAT: u8>(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    let value = core.get(cx, op, 1)?;
    if value != 0 {
        let found = match WHAT {
            SHR => value.trailing_zeros(),
            _ => 63 - value.leading_zeros(),
        };
        core.put(cx, op, 0, found.into())?;
    }
    core.set_flags(flag::ZF, set(value == 0, flag::ZF));
    Ok(())
}

fn popcnt(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    let value = core.get(cx, op, 1)?;
    core.put(cx, op, 0, value.count_ones().into())?;
    core.set_flags(flag::ARITHMETIC, set(value == 0, flag::ZF));
    Ok(())
}

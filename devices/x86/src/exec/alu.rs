//! Arithmetic and logic, and products and quotients.

use iced_x86::Mnemonic;
use solderless_model::Cx;

use super::{Handler, Op, Step};
use crate::core::{Core, RAX, RDX, flag};
use crate::inst::{Operand, mask, sign_extend};
use crate::trap::{Fault, vector};

pub fn handler(mnemonic: Mnemonic) -> Option<Handler> {
    Some(match mnemonic {
        Mnemonic::Add => two::<ADD>,
        Mnemonic::Or => two::<OR>,
        Mnemonic::Adc => two::<ADC>,
        Mnemonic::Sbb => two::<SBB>,
        Mnemonic::And => two::<AND>,
        Mnemonic::Sub => two::<SUB>,
        Mnemonic::Xor => two::<XOR>,
        Mnemonic::Cmp => compare::<SUB>,
        Mnemonic::Test => compare::<AND>,
        Mnemonic::Inc => step::<ADD>,
        Mnemonic::Dec => step::<SUB>,
        Mnemonic::Neg => neg,
        Mnemonic::Not => not,
        Mnemonic::Xadd => xadd,
        Mnemonic::Cmpxchg => cmpxchg,
        Mnemonic::Mul => mul,
        Mnemonic::Imul => imul,
        Mnemonic::Div => div,
        Mnemonic::Idiv => idiv,
        Mnemonic::Aaa => aaa::<ADD>,
        Mnemonic::Aas => aaa::<SUB>,
        Mnemonic::Daa => daa::<ADD>,
        Mnemonic::Das => daa::<SUB>,
        Mnemonic::Aam => aam,
        Mnemonic::Aad => aad,
        _ => return None,
    })
}

const ADD: u8 = 0;
const OR: u8 = 1;
const ADC: u8 = 2;
const SBB: u8 = 3;
const AND: u8 = 4;
const SUB: u8 = 5;
const XOR: u8 = 6;

/// The carries out of the bits of a sum.
#[inline(always)]
fn carries(a: u64, b: u64, sum: u64) -> u64 {
    a & b | (a | b) & !sum
}

/// The borrows of a difference.
#[inline(always)]
fn borrows(a: u64, b: u64, difference: u64) -> u64 {
    !a & b | !(a ^ b) & difference
}

impl Core {
    /// An operation, and what it says of the flags.
    #[inline(always)]
    fn operate<const WHAT: u8>(&mut self, a: u64, b: u64, size: u8) -> u64 {
        let carry = match WHAT {
            ADC | SBB => u64::from(self.carry()),
            _ => 0,
        };
        let (result, carries) = match WHAT {
            ADD | ADC => {
                let sum = a.wrapping_add(b).wrapping_add(carry);
                (sum, carries(a, b, sum))
            }
            SUB | SBB => {
                let difference = a.wrapping_sub(b).wrapping_sub(carry);
                (difference, borrows(a, b, difference))
            }
            OR => (a | b, 0),
            AND => (a & b, 0),
            _ => (a ^ b, 0),
        };
        self.set_lazy(result, carries, size);
        result
    }
}

fn two<const WHAT: u8>(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    let size = op.inst.size;
    let a = core.get_to_change(cx, op, 0)?;
    let b = core.get(cx, op, 1)?;
    let flags = (core.lazy, core.result, core.carries);
    let result = core.operate::<WHAT>(a, b, size);
    core.put_or_undo(cx, op, result, flags)
}

impl Core {
    /// Sets the first operand, or leaves the flags as they were.
    #[inline(always)]
    fn put_or_undo(
        &mut self,
        cx: &mut Cx<'_>,
        op: &Op,
        result: u64,
        flags: (bool, u64, u64),
    ) -> Step {
        let put = self.put(cx, op, 0, result);
        if put.is_err() {
            (self.lazy, self.result, self.carries) = flags;
        }
        put
    }
}

fn compare<const WHAT: u8>(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    let a = core.get(cx, op, 0)?;
    let b = core.get(cx, op, 1)?;
    core.operate::<WHAT>(a, b, op.inst.size);
    Ok(())
}

/// INC and DEC, which leave CF.
fn step<const WHAT: u8>(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    let size = op.inst.size;
    let a = core.get_to_change(cx, op, 0)?;
    let carry = u64::from(core.carry());
    let (result, carries) = match WHAT {
        ADD => (a.wrapping_add(1), carries(a, 1, a.wrapping_add(1))),
        _ => (a.wrapping_sub(1), borrows(a, 1, a.wrapping_sub(1))),
    };
    core.put(cx, op, 0, result)?;
    core.set_lazy(result, carries, size);
    let overflow = (core.carries >> 63 ^ core.carries >> 62) & 1;
    core.carries = core.carries & 8 | carry << 63 | (carry ^ overflow) << 62;
    Ok(())
}

fn neg(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    let a = core.get_to_change(cx, op, 0)?;
    let result = a.wrapping_neg();
    core.put(cx, op, 0, result)?;
    core.set_lazy(result, borrows(0, a, result), op.inst.size);
    Ok(())
}

fn not(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    let a = core.get_to_change(cx, op, 0)?;
    core.put(cx, op, 0, !a)
}

fn xadd(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    let a = core.get_to_change(cx, op, 0)?;
    let b = core.get(cx, op, 1)?;
    let sum = a.wrapping_add(b);
    if matches!(op.inst.ops[0], Operand::Mem(_)) {
        core.put(cx, op, 0, sum)?;
        core.put(cx, op, 1, a)?;
    } else {
        core.put(cx, op, 1, a)?;
        core.put(cx, op, 0, sum)?;
    }
    core.set_lazy(sum, carries(a, b, sum), op.inst.size);
    Ok(())
}

fn cmpxchg(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    let size = op.inst.size;
    let a = core.get_to_change(cx, op, 0)?;
    let accumulator = core.reg(RAX, size);
    if a == accumulator {
        let b = core.get(cx, op, 1)?;
        core.put(cx, op, 0, b)?;
    } else {
        // It is written in any case.
        if matches!(op.inst.ops[0], Operand::Mem(_)) {
            core.put(cx, op, 0, a)?;
        }
        core.set_reg(RAX, size, a);
    }
    core.operate::<SUB>(accumulator, a, size);
    Ok(())
}

/// The product in RDX:RAX or AX.
fn set_product(core: &mut Core, size: u8, product: u128) {
    if size == 1 {
        core.set_reg(RAX, 2, product as u64);
    } else {
        core.set_reg(RAX, size, product as u64);
        core.set_reg(RDX, size, (product >> (8 * u32::from(size))) as u64);
    }
}

impl Core {
    /// CF and OF of a product; the others, which are undefined, are those of its lower half.
    fn set_product_flags(&mut self, low: u64, size: u8, overflow: bool) {
        self.set_lazy(low, 0, size);
        self.carries = u64::from(overflow) << 63;
    }
}

fn mul(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    let size = op.inst.size;
    let b = core.get(cx, op, 0)?;
    let product = u128::from(core.reg(RAX, size)) * u128::from(b);
    set_product(core, size, product);
    let overflow = product >> (8 * u32::from(size)) != 0;
    core.set_product_flags(product as u64, size, overflow);
    Ok(())
}

fn signed(value: u64, size: u8) -> i128 {
    i128::from(sign_extend(value, size) as i64)
}

fn imul(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    let size = op.inst.size;
    let one = op.inst.ops[1] == Operand::None;
    let (a, b) = if one {
        (core.reg(RAX, size), core.get(cx, op, 0)?)
    } else if op.inst.ops[2] == Operand::None {
        (core.get(cx, op, 0)?, core.get(cx, op, 1)?)
    } else {
        (core.get(cx, op, 1)?, core.get(cx, op, 2)?)
    };
    let product = signed(a, size) * signed(b, size);
    match one {
        true => set_product(core, size, product as u128),
        false => core.put(cx, op, 0, product as u64)?,
    }
    let overflow = signed(product as u64, size) != product;
    core.set_product_flags(product as u64, size, overflow);
    Ok(())
}

/// The dividend in RDX:RAX or AX.
fn dividend(core: &Core, size: u8) -> u128 {
    match size {
        1 => core.reg(RAX, 2).into(),
        _ => {
            let high = u128::from(core.reg(RDX, size)) << (8 * u32::from(size));
            high | u128::from(core.reg(RAX, size))
        }
    }
}

fn set_quotient(core: &mut Core, size: u8, quotient: u64, remainder: u64) {
    match size {
        1 => core.set_reg(RAX, 2, quotient & 0xff | (remainder & 0xff) << 8),
        _ => {
            core.set_reg(RAX, size, quotient);
            core.set_reg(RDX, size, remainder);
        }
    }
}

fn div(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    let size = op.inst.size;
    let by = u128::from(core.get(cx, op, 0)?);
    let dividend = dividend(core, size);
    let quotient = dividend.checked_div(by);
    match quotient.filter(|q| *q <= mask(size).into()) {
        Some(quotient) => {
            set_quotient(core, size, quotient as u64, (dividend % by) as u64);
            Ok(())
        }
        None => Err(Fault::plain(vector::DE).into()),
    }
}

fn idiv(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    let size = op.inst.size;
    let by = signed(core.get(cx, op, 0)?, size);
    let dividend = dividend(core, size);
    let unused = 128 - 16 * u32::from(size);
    let dividend = (dividend << unused) as i128 >> unused;
    let quotient = dividend.checked_div(by);
    match quotient.filter(|q| signed(*q as u64, size) == *q) {
        Some(quotient) => {
            set_quotient(core, size, quotient as u64, (dividend % by) as u64);
            Ok(())
        }
        None => Err(Fault::plain(vector::DE).into()),
    }
}

/// AAA and AAS.
fn aaa<const WHAT: u8>(core: &mut Core, _: &Op, _: &mut Cx<'_>) -> Step {
    let ax = core.reg(RAX, 2);
    let adjust = ax & 15 > 9 || core.rflags() & flag::AF != 0;
    let ax = match (adjust, WHAT) {
        (false, _) => ax,
        (true, ADD) => ax.wrapping_add(0x106),
        (true, _) => ax.wrapping_sub(0x106),
    };
    core.set_reg(RAX, 2, ax & 0xff0f);
    core.set_lazy(ax & 15, 0, 1);
    let both = if adjust { flag::AF | flag::CF } else { 0 };
    core.set_flags(flag::AF | flag::CF, both);
    Ok(())
}

/// DAA and DAS.
fn daa<const WHAT: u8>(core: &mut Core, _: &Op, _: &mut Cx<'_>) -> Step {
    let old = core.reg(RAX, 1);
    let flags = core.rflags();
    let (mut al, mut set) = (old, 0);
    let adjust = |al: u64, by: u64| match WHAT {
        ADD => al.wrapping_add(by),
        _ => al.wrapping_sub(by),
    };
    if al & 15 > 9 || flags & flag::AF != 0 {
        al = adjust(al, 6);
        set |= flag::AF;
        if WHAT != ADD && old < 6 {
            set |= flag::CF;
        }
    }
    if old > 0x99 || flags & flag::CF != 0 {
        al = adjust(al, 0x60);
        set |= flag::CF;
    }
    core.set_reg(RAX, 1, al);
    core.set_lazy(al, 0, 1);
    core.set_flags(flag::AF | flag::CF, set);
    Ok(())
}

fn aam(core: &mut Core, op: &Op, _: &mut Cx<'_>) -> Step {
    let al = core.reg(RAX, 1);
    let by = op.inst.imm & 0xff;
    let Some(high) = al.checked_div(by) else {
        return Err(Fault::plain(vector::DE).into());
    };
    let low = al % by;
    core.set_reg(RAX, 2, high << 8 | low);
    core.set_lazy(low, 0, 1);
    Ok(())
}

fn aad(core: &mut Core, op: &Op, _: &mut Cx<'_>) -> Step {
    let ax = core.reg(RAX, 2);
    let by = op.inst.imm & 0xff;
    let low = (ax & 0xff).wrapping_add((ax >> 8).wrapping_mul(by)) & 0xff;
    core.set_reg(RAX, 2, low);
    core.set_lazy(low, 0, 1);
    Ok(())
}

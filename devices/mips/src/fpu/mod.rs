//! The arithmetic of the MIPS32 Release 2 floating point unit: formats S, D, W and L.
//!
//! One function for each arithmetic instruction, named after it: [`add_d`] is ADD.D. A function
//! takes FCSR and its operands as register bits, `u32` for S and W, `u64` for D and L, and gives
//! the result's bits. It replaces FCSR.Cause, and adds what was raised to FCSR.Flags; if that is
//! enabled to trap, it gives [`FpTrap`] instead, with Flags as they were, and the CPU writes no
//! register and takes the Floating Point exception. MOV.fmt, the conditional moves, loads and
//! stores are not arithmetic and not here; nor is which register a value is in.
//!
//! Sources: MIPS32 Architecture, volume I-A (MD00083), the chapter on the FPU, and volume II-A
//! (MD00086), the instructions. Where they leave a choice, it is made as follows.
//!
//! - NaNs have the legacy encoding: the top fraction bit is *set* in a signalling NaN. A signalling
//!   operand gives Invalid and the default NaN; else the result is the first operand that is a NaN,
//!   in the order `fs`, `ft`; a multiply-add takes the product before `fr`.
//! - ABS and NEG are arithmetic, as there is no FCSR.ABS2008: any NaN operand gives Invalid. The
//!   result of a quiet NaN is that NaN with the sign changed.
//! - Tininess is detected after rounding. An exact tiny result raises Underflow only where that
//!   traps.
//! - FCSR.FS makes zeros, with their signs, of subnormal operands (except in ABS and NEG) and of
//!   tiny results; only the latter raise an exception, Underflow and Inexact. There are no FO and
//!   FN bits.
//! - MADD, MSUB, NMADD and NMSUB round the product and the sum. The last two change the sign of the
//!   sum even if it is a NaN.
//! - RECIP and RSQRT are as exact as a division, and a square root and a division.
//! - No operation raises Unimplemented.

mod fast;
mod fcsr;
mod soft;
#[cfg(test)]
mod tests;

pub use fcsr::{
    DIVIDE_BY_ZERO, Fcsr, FpTrap, INEXACT, INVALID, OVERFLOW, Rounding, UNDERFLOW, UNIMPLEMENTED,
};

use fast::{Fast, Host};
use soft::{Context, D, Outcome, S};

/// Ends an operation with what the host made of it, else with the exact arithmetic.
#[inline]
fn finish(
    fcsr: &mut Fcsr,
    fast: Fast,
    soft: impl FnOnce(Context) -> Outcome,
) -> Result<u64, FpTrap> {
    match fast {
        Some((result, inexact)) if fcsr.rounds_as_host() => {
            fcsr.set_inexact(inexact);
            Ok(result)
        }
        _ => exactly(fcsr, soft),
    }
}

#[cold]
#[inline(never)]
fn exactly<T>(fcsr: &mut Fcsr, soft: impl FnOnce(Context) -> Outcome<T>) -> Result<T, FpTrap> {
    let (result, exceptions) = soft(Context::from(*fcsr));
    fcsr.raise(exceptions)?;
    Ok(result)
}

#[inline]
fn add<F: Host>(fcsr: &mut Fcsr, fs: u64, ft: u64) -> Result<u64, FpTrap> {
    finish(fcsr, fast::add::<F>(fs, ft), |soft| {
        soft.add(F::FORMAT, fs, ft)
    })
}

#[inline]
fn sub<F: Host>(fcsr: &mut Fcsr, fs: u64, ft: u64) -> Result<u64, FpTrap> {
    finish(fcsr, fast::sub::<F>(fs, ft), |soft| {
        soft.sub(F::FORMAT, fs, ft)
    })
}

#[inline]
fn mul<F: Host>(fcsr: &mut Fcsr, fs: u64, ft: u64) -> Result<u64, FpTrap> {
    finish(fcsr, fast::mul::<F>(fs, ft), |soft| {
        soft.mul(F::FORMAT, fs, ft)
    })
}

#[inline]
fn div<F: Host>(fcsr: &mut Fcsr, fs: u64, ft: u64) -> Result<u64, FpTrap> {
    finish(fcsr, fast::div::<F>(fs, ft), |soft| {
        soft.div(F::FORMAT, fs, ft)
    })
}

#[inline]
fn sqrt<F: Host>(fcsr: &mut Fcsr, fs: u64) -> Result<u64, FpTrap> {
    finish(fcsr, fast::sqrt::<F>(fs), |soft| soft.sqrt(F::FORMAT, fs))
}

#[inline]
fn recip<F: Host>(fcsr: &mut Fcsr, fs: u64) -> Result<u64, FpTrap> {
    finish(fcsr, fast::recip::<F>(fs), |soft| soft.recip(F::FORMAT, fs))
}

#[inline]
fn rsqrt<F: Host>(fcsr: &mut Fcsr, fs: u64) -> Result<u64, FpTrap> {
    finish(fcsr, fast::rsqrt::<F>(fs), |soft| soft.rsqrt(F::FORMAT, fs))
}

#[inline]
fn abs<F: Host>(fcsr: &mut Fcsr, fs: u64) -> Result<u64, FpTrap> {
    change_sign::<F>(fcsr, fs, fs & !F::FORMAT.sign_bit())
}

#[inline]
fn neg<F: Host>(fcsr: &mut Fcsr, fs: u64) -> Result<u64, FpTrap> {
    change_sign::<F>(fcsr, fs, fs ^ F::FORMAT.sign_bit())
}

#[inline]
fn change_sign<F: Host>(fcsr: &mut Fcsr, fs: u64, changed: u64) -> Result<u64, FpTrap> {
    if fast::is_nan::<F>(fs) {
        exactly(fcsr, |soft| soft.change_sign(F::FORMAT, fs, changed))
    } else {
        fcsr.set_inexact(false);
        Ok(changed)
    }
}

#[inline]
fn madd<F: Host>(fcsr: &mut Fcsr, fr: u64, fs: u64, ft: u64) -> Result<u64, FpTrap> {
    finish(fcsr, fast::madd::<F>(fs, ft, fr, false), |soft| {
        soft.madd(F::FORMAT, fs, ft, fr, false)
    })
}

#[inline]
fn msub<F: Host>(fcsr: &mut Fcsr, fr: u64, fs: u64, ft: u64) -> Result<u64, FpTrap> {
    finish(fcsr, fast::madd::<F>(fs, ft, fr, true), |soft| {
        soft.madd(F::FORMAT, fs, ft, fr, true)
    })
}

#[inline]
fn nmadd<F: Host>(fcsr: &mut Fcsr, fr: u64, fs: u64, ft: u64) -> Result<u64, FpTrap> {
    Ok(madd::<F>(fcsr, fr, fs, ft)? ^ F::FORMAT.sign_bit())
}

#[inline]
fn nmsub<F: Host>(fcsr: &mut Fcsr, fr: u64, fs: u64, ft: u64) -> Result<u64, FpTrap> {
    Ok(msub::<F>(fcsr, fr, fs, ft)? ^ F::FORMAT.sign_bit())
}

#[inline]
fn to_fixed<F: Host>(
    fcsr: &mut Fcsr,
    rounding: Rounding,
    width: u32,
    fs: u64,
) -> Result<i64, FpTrap> {
    match fast::to_fixed::<F>(rounding, width, fs) {
        Some((result, inexact)) if !(inexact && fcsr.traps_inexact()) => {
            fcsr.set_inexact(inexact);
            Ok(result)
        }
        _ => exactly(fcsr, |soft| {
            Context { rounding, ..soft }.to_fixed(F::FORMAT, width, fs)
        }),
    }
}

#[inline]
fn from_fixed<F: Host>(fcsr: &mut Fcsr, fs: i64) -> Result<u64, FpTrap> {
    let (result, inexact) = fast::from_fixed::<F>(fs);
    if !inexact || fcsr.rounds_as_host() {
        fcsr.set_inexact(inexact);
        Ok(result)
    } else {
        exactly(fcsr, |soft| soft.convert_fixed(F::FORMAT, fs))
    }
}

#[inline]
fn c_cond<F: Host>(fcsr: &mut Fcsr, cond: u32, cc: u32, fs: u64, ft: u64) -> Result<(), FpTrap> {
    let holds = match fast::compare::<F>(fcsr.fs(), cond, fs, ft) {
        Some(holds) => {
            fcsr.set_inexact(false);
            holds
        }
        None => exactly(fcsr, |soft| soft.compare(F::FORMAT, cond, fs, ft))?,
    };
    fcsr.set_cc(cc, holds);
    Ok(())
}

/// The public functions of an instruction with the formats S and D.
macro_rules! arithmetic {
    ($($(#[$doc:meta])* $s:ident, $d:ident = $op:ident($($operand:ident),+);)+) => {$(
        $(#[$doc])*
        #[doc = ""]
        #[doc = "Format S. `Err` if an exception traps."]
        #[inline]
        pub fn $s(fcsr: &mut Fcsr, $($operand: u32),+) -> Result<u32, FpTrap> {
            $op::<f32>(fcsr, $($operand.into()),+).map(|result| result as u32)
        }

        $(#[$doc])*
        #[doc = ""]
        #[doc = "Format D. `Err` if an exception traps."]
        #[inline]
        pub fn $d(fcsr: &mut Fcsr, $($operand: u64),+) -> Result<u64, FpTrap> {
            $op::<f64>(fcsr, $($operand),+)
        }
    )+};
}

arithmetic! {
    /// ADD: `fs + ft`.
    add_s, add_d = add(fs, ft);
    /// SUB: `fs - ft`.
    sub_s, sub_d = sub(fs, ft);
    /// MUL: `fs * ft`.
    mul_s, mul_d = mul(fs, ft);
    /// DIV: `fs / ft`.
    div_s, div_d = div(fs, ft);
    /// SQRT: the square root of `fs`.
    sqrt_s, sqrt_d = sqrt(fs);
    /// RECIP: `1 / fs`.
    recip_s, recip_d = recip(fs);
    /// RSQRT: `1 / sqrt(fs)`, rounded twice.
    rsqrt_s, rsqrt_d = rsqrt(fs);
    /// ABS: the absolute value of `fs`.
    abs_s, abs_d = abs(fs);
    /// NEG: `-fs`.
    neg_s, neg_d = neg(fs);
    /// MADD: `fs * ft + fr`, rounded twice.
    madd_s, madd_d = madd(fr, fs, ft);
    /// MSUB: `fs * ft - fr`, rounded twice.
    msub_s, msub_d = msub(fr, fs, ft);
    /// NMADD: `-(fs * ft + fr)`, rounded twice.
    nmadd_s, nmadd_d = nmadd(fr, fs, ft);
    /// NMSUB: `-(fs * ft - fr)`, rounded twice.
    nmsub_s, nmsub_d = nmsub(fr, fs, ft);
}

/// The public functions of an instruction that converts to the formats W and L.
macro_rules! to_fixed {
    ($(
        $(#[$doc:meta])*
        $w_s:ident, $w_d:ident, $l_s:ident, $l_d:ident = |$fcsr:ident| $rounding:expr;
    )+) => {$(
        $(#[$doc])*
        #[doc = ""]
        #[doc = "S to W. `Err` if an exception traps."]
        #[inline]
        pub fn $w_s($fcsr: &mut Fcsr, fs: u32) -> Result<u32, FpTrap> {
            to_fixed::<f32>($fcsr, $rounding, 32, fs.into()).map(|result| result as u32)
        }

        $(#[$doc])*
        #[doc = ""]
        #[doc = "D to W. `Err` if an exception traps."]
        #[inline]
        pub fn $w_d($fcsr: &mut Fcsr, fs: u64) -> Result<u32, FpTrap> {
            to_fixed::<f64>($fcsr, $rounding, 32, fs).map(|result| result as u32)
        }

        $(#[$doc])*
        #[doc = ""]
        #[doc = "S to L. `Err` if an exception traps."]
        #[inline]
        pub fn $l_s($fcsr: &mut Fcsr, fs: u32) -> Result<u64, FpTrap> {
            to_fixed::<f32>($fcsr, $rounding, 64, fs.into()).map(i64::cast_unsigned)
        }

        $(#[$doc])*
        #[doc = ""]
        #[doc = "D to L. `Err` if an exception traps."]
        #[inline]
        pub fn $l_d($fcsr: &mut Fcsr, fs: u64) -> Result<u64, FpTrap> {
            to_fixed::<f64>($fcsr, $rounding, 64, fs).map(i64::cast_unsigned)
        }
    )+};
}

to_fixed! {
    /// ROUND: `fs` rounded to the nearest integer. A NaN, and what does not fit, is Invalid and
    /// gives the largest integer.
    round_w_s, round_w_d, round_l_s, round_l_d = |fcsr| Rounding::Nearest;
    /// TRUNC: `fs` rounded toward zero. A NaN, and what does not fit, is Invalid and gives the
    /// largest integer.
    trunc_w_s, trunc_w_d, trunc_l_s, trunc_l_d = |fcsr| Rounding::Zero;
    /// CEIL: `fs` rounded up. A NaN, and what does not fit, is Invalid and gives the largest
    /// integer.
    ceil_w_s, ceil_w_d, ceil_l_s, ceil_l_d = |fcsr| Rounding::Up;
    /// FLOOR: `fs` rounded down. A NaN, and what does not fit, is Invalid and gives the largest
    /// integer.
    floor_w_s, floor_w_d, floor_l_s, floor_l_d = |fcsr| Rounding::Down;
    /// CVT: `fs` rounded by FCSR.RM. A NaN, and what does not fit, is Invalid and gives the largest
    /// integer.
    cvt_w_s, cvt_w_d, cvt_l_s, cvt_l_d = |fcsr| fcsr.rm();
}

/// CVT.S.D: `fs` in single precision. `Err` if an exception traps.
#[inline]
pub fn cvt_s_d(fcsr: &mut Fcsr, fs: u64) -> Result<u32, FpTrap> {
    finish(fcsr, fast::narrow(fs), |soft| soft.convert(D, S, fs)).map(|result| result as u32)
}

/// CVT.D.S: `fs` in double precision. `Err` if an exception traps.
#[inline]
pub fn cvt_d_s(fcsr: &mut Fcsr, fs: u32) -> Result<u64, FpTrap> {
    match fast::widen(fs.into()) {
        Some(result) => {
            fcsr.set_inexact(false);
            Ok(result)
        }
        None => exactly(fcsr, |soft| soft.convert(S, D, fs.into())),
    }
}

/// CVT.S.W: the 32-bit integer `fs` in single precision. `Err` if an exception traps.
#[inline]
pub fn cvt_s_w(fcsr: &mut Fcsr, fs: u32) -> Result<u32, FpTrap> {
    from_fixed::<f32>(fcsr, fs.cast_signed().into()).map(|result| result as u32)
}

/// CVT.D.W: the 32-bit integer `fs` in double precision; always exact. `Err` is not given.
#[inline]
pub fn cvt_d_w(fcsr: &mut Fcsr, fs: u32) -> Result<u64, FpTrap> {
    from_fixed::<f64>(fcsr, fs.cast_signed().into())
}

/// CVT.S.L: the 64-bit integer `fs` in single precision. `Err` if an exception traps.
#[inline]
pub fn cvt_s_l(fcsr: &mut Fcsr, fs: u64) -> Result<u32, FpTrap> {
    from_fixed::<f32>(fcsr, fs.cast_signed()).map(|result| result as u32)
}

/// CVT.D.L: the 64-bit integer `fs` in double precision. `Err` if an exception traps.
#[inline]
pub fn cvt_d_l(fcsr: &mut Fcsr, fs: u64) -> Result<u64, FpTrap> {
    from_fixed::<f64>(fcsr, fs.cast_signed())
}

/// C.cond.S: sets condition code `cc` (0 to 7) to whether `fs` and `ft` are as `cond` says, bits
/// 3:0 of the instruction: 1 unordered, 2 equal, 4 less, and 8 raises Invalid if they are
/// unordered. `Err` if that traps; `cc` is then as it was.
#[inline]
pub fn c_cond_s(fcsr: &mut Fcsr, cond: u32, cc: u32, fs: u32, ft: u32) -> Result<(), FpTrap> {
    c_cond::<f32>(fcsr, cond, cc, fs.into(), ft.into())
}

/// C.cond.D: sets condition code `cc` (0 to 7) to whether `fs` and `ft` are as `cond` says, bits
/// 3:0 of the instruction: 1 unordered, 2 equal, 4 less, and 8 raises Invalid if they are
/// unordered. `Err` if that traps; `cc` is then as it was.
#[inline]
pub fn c_cond_d(fcsr: &mut Fcsr, cond: u32, cc: u32, fs: u64, ft: u64) -> Result<(), FpTrap> {
    c_cond::<f64>(fcsr, cond, cc, fs, ft)
}

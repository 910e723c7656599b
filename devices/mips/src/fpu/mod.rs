//! The arithmetic of the MIPS32 Release 2 floating point unit: formats S, D, W and L. What belongs to no architecture is in
//! `devices/float`.
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

mod fcsr;
#[cfg(test)]
mod tests;

pub use fcsr::{
    DIVIDE_BY_ZERO, Fcsr, FpTrap, INEXACT, INVALID, OVERFLOW, UNDERFLOW, UNIMPLEMENTED,
};
pub use solderless_float::Rounding;

use solderless_float::host::{self, Fast, Host};
use solderless_float::{Class, Env, Flags, Integer, Outcome, Policy, Propagation, Tininess, Unfit};

/// What MIPS32 Release 2 decides of what IEEE 754 leaves open.
static POLICY: Policy = Policy {
    signaling_bit: true,
    // Every bit of the fraction but the signalling one.
    default_nan: (false, !(1 << 62)),
    propagation: Propagation::DefaultIfSignaling,
    invalid_product_before_nan: true,
    unfit: Unfit::Largest,
    tininess: Tininess::AfterRounding,
};

/// The parts of FCSR that an operation depends on.
fn env(fcsr: Fcsr) -> Env {
    Env {
        rounding: fcsr.rm(),
        flush_inputs: fcsr.fs(),
        flush_results: fcsr.fs(),
        traps_underflow: fcsr.enables() & UNDERFLOW != 0,
        ..Env::new(&POLICY)
    }
}

/// Ends an operation with what the host made of it, else with the exact arithmetic.
#[inline]
fn finish<T>(
    fcsr: &mut Fcsr,
    fast: Fast<T>,
    exact: impl FnOnce(Env) -> Outcome<T>,
) -> Result<T, FpTrap> {
    match fast {
        Some((result, inexact)) if fcsr.rounds_as_host() => {
            fcsr.set_inexact(inexact);
            Ok(result)
        }
        _ => exactly(fcsr, exact),
    }
}

/// Not called cold, or what it calls would be made small and not quick.
#[inline(never)]
fn exactly<T>(fcsr: &mut Fcsr, exact: impl FnOnce(Env) -> Outcome<T>) -> Result<T, FpTrap> {
    let (result, flags) = exact(env(*fcsr));
    fcsr.raise(flags)?;
    Ok(result)
}

#[inline]
fn add<F: Host>(fcsr: &mut Fcsr, fs: F::Bits, ft: F::Bits) -> Result<F::Bits, FpTrap> {
    finish(fcsr, host::add::<F>(fs, ft), |env| env.add::<F>(fs, ft))
}

#[inline]
fn sub<F: Host>(fcsr: &mut Fcsr, fs: F::Bits, ft: F::Bits) -> Result<F::Bits, FpTrap> {
    finish(fcsr, host::sub::<F>(fs, ft), |env| env.sub::<F>(fs, ft))
}

#[inline]
fn mul<F: Host>(fcsr: &mut Fcsr, fs: F::Bits, ft: F::Bits) -> Result<F::Bits, FpTrap> {
    finish(fcsr, host::mul::<F>(fs, ft), |env| env.mul::<F>(fs, ft))
}

#[inline]
fn div<F: Host>(fcsr: &mut Fcsr, fs: F::Bits, ft: F::Bits) -> Result<F::Bits, FpTrap> {
    finish(fcsr, host::div::<F>(fs, ft), |env| env.div::<F>(fs, ft))
}

#[inline]
fn sqrt<F: Host>(fcsr: &mut Fcsr, fs: F::Bits) -> Result<F::Bits, FpTrap> {
    finish(fcsr, host::sqrt::<F>(fs), |env| env.sqrt::<F>(fs))
}

#[inline]
fn recip<F: Host>(fcsr: &mut Fcsr, fs: F::Bits) -> Result<F::Bits, FpTrap> {
    div::<F>(fcsr, F::one(), fs)
}

#[inline]
fn rsqrt<F: Host>(fcsr: &mut Fcsr, fs: F::Bits) -> Result<F::Bits, FpTrap> {
    let fast = host::sqrt::<F>(fs)
        .and_then(|(root, rooting)| then(rooting, host::div::<F>(F::one(), root)));
    finish(fcsr, fast, |env| {
        let (root, rooting) = env.sqrt::<F>(fs);
        let (result, dividing) = env.div::<F>(F::one(), root);
        (result, rooting | dividing)
    })
}

/// A result after another, which was inexact or not.
#[inline]
fn then<T>(inexact: bool, fast: Fast<T>) -> Fast<T> {
    fast.map(|(result, more)| (result, inexact | more))
}

#[inline]
fn abs<F: Host>(fcsr: &mut Fcsr, fs: F::Bits) -> Result<F::Bits, FpTrap> {
    change_sign::<F>(fcsr, fs, F::abs(fs))
}

#[inline]
fn neg<F: Host>(fcsr: &mut Fcsr, fs: F::Bits) -> Result<F::Bits, FpTrap> {
    change_sign::<F>(fcsr, fs, F::negate(fs))
}

#[inline]
fn change_sign<F: Host>(fcsr: &mut Fcsr, fs: F::Bits, changed: F::Bits) -> Result<F::Bits, FpTrap> {
    if host::is_nan::<F>(fs) {
        exactly(fcsr, |env| match env.policy.class::<F>(fs) {
            Class::SignalingNan => (env.policy.default_nan_of::<F>(), Flags::INVALID),
            _ => (changed, Flags::INVALID),
        })
    } else {
        fcsr.set_inexact(false);
        Ok(changed)
    }
}

#[inline]
fn madd<F: Host>(
    fcsr: &mut Fcsr,
    fr: F::Bits,
    fs: F::Bits,
    ft: F::Bits,
) -> Result<F::Bits, FpTrap> {
    let fast = host::mul::<F>(fs, ft)
        .and_then(|(product, multiplying)| then(multiplying, host::add::<F>(product, fr)));
    finish(fcsr, fast, |env| {
        let (product, multiplying) = env.mul::<F>(fs, ft);
        let (result, adding) = env.add::<F>(product, fr);
        (result, multiplying | adding)
    })
}

#[inline]
fn msub<F: Host>(
    fcsr: &mut Fcsr,
    fr: F::Bits,
    fs: F::Bits,
    ft: F::Bits,
) -> Result<F::Bits, FpTrap> {
    let fast = host::mul::<F>(fs, ft)
        .and_then(|(product, multiplying)| then(multiplying, host::sub::<F>(product, fr)));
    finish(fcsr, fast, |env| {
        let (product, multiplying) = env.mul::<F>(fs, ft);
        let (result, subtracting) = env.sub::<F>(product, fr);
        (result, multiplying | subtracting)
    })
}

#[inline]
fn nmadd<F: Host>(
    fcsr: &mut Fcsr,
    fr: F::Bits,
    fs: F::Bits,
    ft: F::Bits,
) -> Result<F::Bits, FpTrap> {
    madd::<F>(fcsr, fr, fs, ft).map(F::negate)
}

#[inline]
fn nmsub<F: Host>(
    fcsr: &mut Fcsr,
    fr: F::Bits,
    fs: F::Bits,
    ft: F::Bits,
) -> Result<F::Bits, FpTrap> {
    msub::<F>(fcsr, fr, fs, ft).map(F::negate)
}

#[inline]
fn to_fixed<F: Host, I: Integer>(
    fcsr: &mut Fcsr,
    rounding: Rounding,
    fs: F::Bits,
) -> Result<I, FpTrap> {
    match host::to_integer::<F, I>(rounding, fs) {
        Some((result, inexact)) if !(inexact && fcsr.traps_inexact()) => {
            fcsr.set_inexact(inexact);
            Ok(result)
        }
        _ => exactly(fcsr, |env| Env { rounding, ..env }.to_integer::<F, I>(fs)),
    }
}

#[inline]
fn from_fixed<F: Host, I: Integer>(fcsr: &mut Fcsr, fs: I) -> Result<F::Bits, FpTrap> {
    let (result, inexact) = host::from_integer::<I, F>(fs);
    if !inexact || fcsr.rounds_as_host() {
        fcsr.set_inexact(inexact);
        Ok(result)
    } else {
        exactly(fcsr, |env| env.from_integer::<I, F>(fs))
    }
}

#[inline]
fn c_cond<F: Host>(
    fcsr: &mut Fcsr,
    cond: u32,
    cc: u32,
    fs: F::Bits,
    ft: F::Bits,
) -> Result<(), FpTrap> {
    let relation = match host::compare::<F>(fcsr.fs(), fs, ft) {
        Some(relation) => {
            fcsr.set_inexact(false);
            relation
        }
        None => exactly(fcsr, |env| env.compare::<F>(fs, ft, cond & 8 != 0))?,
    };
    // Three of the relations have the same bits there.
    fcsr.set_cc(cc, cond & 7 & relation.bits() != 0);
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
            $op::<f32>(fcsr, $($operand),+)
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
            to_fixed::<f32, i32>($fcsr, $rounding, fs).map(i32::cast_unsigned)
        }

        $(#[$doc])*
        #[doc = ""]
        #[doc = "D to W. `Err` if an exception traps."]
        #[inline]
        pub fn $w_d($fcsr: &mut Fcsr, fs: u64) -> Result<u32, FpTrap> {
            to_fixed::<f64, i32>($fcsr, $rounding, fs).map(i32::cast_unsigned)
        }

        $(#[$doc])*
        #[doc = ""]
        #[doc = "S to L. `Err` if an exception traps."]
        #[inline]
        pub fn $l_s($fcsr: &mut Fcsr, fs: u32) -> Result<u64, FpTrap> {
            to_fixed::<f32, i64>($fcsr, $rounding, fs).map(i64::cast_unsigned)
        }

        $(#[$doc])*
        #[doc = ""]
        #[doc = "D to L. `Err` if an exception traps."]
        #[inline]
        pub fn $l_d($fcsr: &mut Fcsr, fs: u64) -> Result<u64, FpTrap> {
            to_fixed::<f64, i64>($fcsr, $rounding, fs).map(i64::cast_unsigned)
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
    finish(fcsr, host::narrow(fs), |env| env.convert::<f64, f32>(fs))
}

/// CVT.D.S: `fs` in double precision. `Err` if an exception traps.
#[inline]
pub fn cvt_d_s(fcsr: &mut Fcsr, fs: u32) -> Result<u64, FpTrap> {
    match host::widen(fs) {
        Some(result) => {
            fcsr.set_inexact(false);
            Ok(result)
        }
        None => exactly(fcsr, |env| env.convert::<f32, f64>(fs)),
    }
}

/// CVT.S.W: the 32-bit integer `fs` in single precision. `Err` if an exception traps.
#[inline]
pub fn cvt_s_w(fcsr: &mut Fcsr, fs: u32) -> Result<u32, FpTrap> {
    from_fixed::<f32, i32>(fcsr, fs.cast_signed())
}

/// CVT.D.W: the 32-bit integer `fs` in double precision; always exact. `Err` is not given.
#[inline]
pub fn cvt_d_w(fcsr: &mut Fcsr, fs: u32) -> Result<u64, FpTrap> {
    from_fixed::<f64, i32>(fcsr, fs.cast_signed())
}

/// CVT.S.L: the 64-bit integer `fs` in single precision. `Err` if an exception traps.
#[inline]
pub fn cvt_s_l(fcsr: &mut Fcsr, fs: u64) -> Result<u32, FpTrap> {
    from_fixed::<f32, i64>(fcsr, fs.cast_signed())
}

/// CVT.D.L: the 64-bit integer `fs` in double precision. `Err` if an exception traps.
#[inline]
pub fn cvt_d_l(fcsr: &mut Fcsr, fs: u64) -> Result<u64, FpTrap> {
    from_fixed::<f64, i64>(fcsr, fs.cast_signed())
}

/// C.cond.S: sets condition code `cc` (0 to 7) to whether `fs` and `ft` are as `cond` says, bits
/// 3:0 of the instruction: 1 unordered, 2 equal, 4 less, and 8 raises Invalid if they are
/// unordered. `Err` if that traps; `cc` is then as it was.
#[inline]
pub fn c_cond_s(fcsr: &mut Fcsr, cond: u32, cc: u32, fs: u32, ft: u32) -> Result<(), FpTrap> {
    c_cond::<f32>(fcsr, cond, cc, fs, ft)
}

/// C.cond.D: sets condition code `cc` (0 to 7) to whether `fs` and `ft` are as `cond` says, bits
/// 3:0 of the instruction: 1 unordered, 2 equal, 4 less, and 8 raises Invalid if they are
/// unordered. `Err` if that traps; `cc` is then as it was.
#[inline]
pub fn c_cond_d(fcsr: &mut Fcsr, cond: u32, cc: u32, fs: u64, ft: u64) -> Result<(), FpTrap> {
    c_cond::<f64>(fcsr, cond, cc, fs, ft)
}

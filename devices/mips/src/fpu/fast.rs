//! The common case, computed by the host's floating point unit.
//!
//! A function gives the result, and whether it is inexact, where operands and result are normal
//! numbers or zeros, rounding is to nearest, and no exception but Inexact can arise; else `None`,
//! and [`super::soft`] has to do it. Whether a result is inexact is decided by arithmetic that is
//! exact itself. The host rounds to nearest and keeps subnormals, as Rust requires.

use core::ops::{Add, Div, Mul, Sub};

use super::fcsr::Rounding;
use super::soft::{D, Format, S};

/// A result, and whether it is inexact.
pub(super) type Fast<T = u64> = Option<(T, bool)>;

/// The host's type for a format; raw values are passed as `u64` in both.
pub(super) trait Host:
    Copy
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
{
    const FORMAT: Format;
    fn from_raw(raw: u64) -> Self;
    fn raw(self) -> u64;
    fn sqrt(self) -> Self;
    fn to_f64(self) -> f64;
    fn from_i64(value: i64) -> Self;
}

impl Host for f32 {
    const FORMAT: Format = S;

    #[inline]
    fn from_raw(raw: u64) -> Self {
        Self::from_bits(raw as u32)
    }

    #[inline]
    fn raw(self) -> u64 {
        self.to_bits().into()
    }

    #[inline]
    fn sqrt(self) -> Self {
        self.sqrt()
    }

    #[inline]
    fn to_f64(self) -> f64 {
        self.into()
    }

    #[inline]
    fn from_i64(value: i64) -> Self {
        value as Self
    }
}

impl Host for f64 {
    const FORMAT: Format = D;

    #[inline]
    fn from_raw(raw: u64) -> Self {
        Self::from_bits(raw)
    }

    #[inline]
    fn raw(self) -> u64 {
        self.to_bits()
    }

    #[inline]
    fn sqrt(self) -> Self {
        self.sqrt()
    }

    #[inline]
    fn to_f64(self) -> f64 {
        self
    }

    #[inline]
    fn from_i64(value: i64) -> Self {
        value as Self
    }
}

#[inline]
fn exponent<F: Host>(raw: u64) -> u64 {
    raw >> F::FORMAT.frac & ((1 << F::FORMAT.exp) - 1)
}

#[inline]
fn is_zero<F: Host>(raw: u64) -> bool {
    raw << (63 - F::FORMAT.exp - F::FORMAT.frac) << 1 == 0
}

/// Whether a value is a normal number, but not of the topmost binade, where [`sum_is_inexact`]
/// could overflow.
#[inline]
fn is_normal<F: Host>(raw: u64) -> bool {
    exponent::<F>(raw).wrapping_sub(1) < (1 << F::FORMAT.exp) - 3
}

/// Whether a result is as [`is_normal`] says, and was not rounded up to the smallest normal number.
#[inline]
fn is_safe<F: Host>(raw: u64) -> bool {
    exponent::<F>(raw).wrapping_sub(2) < (1 << F::FORMAT.exp) - 4
}

#[inline]
fn is_subnormal<F: Host>(raw: u64) -> bool {
    exponent::<F>(raw) == 0 && !is_zero::<F>(raw)
}

/// Whether `sum` is not exactly `a + b`: the error of a sum is a number itself, and Knuth's TwoSum
/// gives it.
#[inline]
fn sum_is_inexact<F: Host>(a: F, b: F, sum: F) -> bool {
    let b_part = sum - a;
    let error = (a - (sum - b_part)) + (b - b_part);
    error != F::from_raw(0)
}

/// Whether `product` is not exactly `x * y`, where they are equal but for one rounding of any of
/// the three.
///
/// The product of the significands has twice their length, and what it could differ by is below
/// 2^64: comparing the low 64 bits is enough.
#[inline]
fn product_is_inexact<F: Host>(x: u64, y: u64, product: u64) -> bool {
    let implicit = 1 << F::FORMAT.frac;
    let significand = |raw: u64| raw & (implicit - 1) | implicit;
    let bias = (1 << (F::FORMAT.exp - 1)) - 1;
    let shift = exponent::<F>(product)
        .wrapping_add(bias + u64::from(F::FORMAT.frac))
        .wrapping_sub(exponent::<F>(x))
        .wrapping_sub(exponent::<F>(y));
    significand(x).wrapping_mul(significand(y)) != significand(product).wrapping_shl(shift as u32)
}

#[inline]
pub(super) fn is_nan<F: Host>(raw: u64) -> bool {
    let x = F::from_raw(raw);
    x.partial_cmp(&x).is_none()
}

#[inline]
pub(super) fn add<F: Host>(a: u64, b: u64) -> Fast {
    let (x, y) = (F::from_raw(a), F::from_raw(b));
    let sum = x + y;
    let raw = sum.raw();
    if is_normal::<F>(a) & is_normal::<F>(b) {
        return (is_safe::<F>(raw) || is_zero::<F>(raw)).then(|| (raw, sum_is_inexact(x, y, sum)));
    }
    let simple = |raw| is_normal::<F>(raw) || is_zero::<F>(raw);
    (simple(a) && simple(b)).then_some((raw, false))
}

#[inline]
pub(super) fn sub<F: Host>(a: u64, b: u64) -> Fast {
    add::<F>(a, b ^ 1 << (F::FORMAT.exp + F::FORMAT.frac))
}

#[inline]
pub(super) fn mul<F: Host>(a: u64, b: u64) -> Fast {
    let product = (F::from_raw(a) * F::from_raw(b)).raw();
    if is_normal::<F>(a) & is_normal::<F>(b) {
        return is_safe::<F>(product).then(|| (product, product_is_inexact::<F>(a, b, product)));
    }
    let zero = is_zero::<F>(a) && (is_normal::<F>(b) || is_zero::<F>(b))
        || is_normal::<F>(a) && is_zero::<F>(b);
    zero.then_some((product, false))
}

#[inline]
pub(super) fn div<F: Host>(a: u64, b: u64) -> Fast {
    let quotient = (F::from_raw(a) / F::from_raw(b)).raw();
    if is_normal::<F>(a) & is_normal::<F>(b) {
        return is_safe::<F>(quotient).then(|| (quotient, product_is_inexact::<F>(quotient, b, a)));
    }
    (is_zero::<F>(a) && is_normal::<F>(b)).then_some((quotient, false))
}

#[inline]
pub(super) fn sqrt<F: Host>(a: u64) -> Fast {
    let positive = a >> (F::FORMAT.exp + F::FORMAT.frac) == 0;
    if positive & is_normal::<F>(a) {
        let root = F::from_raw(a).sqrt().raw();
        return Some((root, product_is_inexact::<F>(root, root, a)));
    }
    is_zero::<F>(a).then_some((a, false))
}

#[inline]
pub(super) fn recip<F: Host>(a: u64) -> Fast {
    div::<F>(F::FORMAT.one(), a)
}

#[inline]
pub(super) fn rsqrt<F: Host>(a: u64) -> Fast {
    let (root, rooting) = sqrt::<F>(a)?;
    let (result, dividing) = recip::<F>(root)?;
    Some((result, rooting | dividing))
}

#[inline]
pub(super) fn madd<F: Host>(a: u64, b: u64, c: u64, subtract: bool) -> Fast {
    let (product, multiplying) = mul::<F>(a, b)?;
    let (result, adding) = if subtract {
        sub::<F>(product, c)?
    } else {
        add::<F>(product, c)?
    };
    Some((result, multiplying | adding))
}

/// To double precision; exact, so good in every rounding mode.
#[inline]
pub(super) fn widen(a: u64) -> Option<u64> {
    (is_normal::<f32>(a) || is_zero::<f32>(a)).then(|| f32::from_raw(a).to_f64().raw())
}

/// To single precision.
#[inline]
pub(super) fn narrow(a: u64) -> Fast {
    let wide = f64::from_bits(a);
    let narrow = wide as f32;
    let raw = narrow.raw();
    (is_safe::<f32>(raw) || is_zero::<f64>(a)).then(|| (raw, narrow.to_f64() != wide))
}

/// To a signed integer of `width` bits, 32 or 64, by any rounding mode.
#[inline]
pub(super) fn to_fixed<F: Host>(rounding: Rounding, width: u32, a: u64) -> Fast<i64> {
    // Below 2^51 the sum with 1.5 * 2^52 has a unit of one.
    const SHIFTER: f64 = 6_755_399_441_055_744.0;
    let x = F::from_raw(a).to_f64();
    let in_range = if width == 32 {
        x.abs() < 2_147_483_647.0
    } else {
        x.abs() < 2_251_799_813_685_248.0
    };
    if !in_range || is_subnormal::<F>(a) {
        return None;
    }
    let truncated = x as i64;
    let integer = match rounding {
        Rounding::Nearest => ((x + SHIFTER) - SHIFTER) as i64,
        Rounding::Zero => truncated,
        Rounding::Up => truncated + i64::from((truncated as f64) < x),
        Rounding::Down => truncated - i64::from(truncated as f64 > x),
    };
    Some((integer, integer as f64 != x))
}

/// From a signed integer. An exact result is good in every rounding mode.
#[inline]
pub(super) fn from_fixed<F: Host>(a: i64) -> (u64, bool) {
    let magnitude = a.unsigned_abs();
    let significant = magnitude >> (magnitude.trailing_zeros() & 63);
    (
        F::from_i64(a).raw(),
        significant >> (F::FORMAT.frac + 1) != 0,
    )
}

/// C.cond on ordered operands; `flush` is FCSR.FS.
#[inline]
pub(super) fn compare<F: Host>(flush: bool, cond: u32, a: u64, b: u64) -> Option<bool> {
    let (x, y) = (F::from_raw(a), F::from_raw(b));
    let relation = u32::from(x < y) << 2 | u32::from(x == y) << 1;
    let ordered = relation != 0 || x > y;
    let flushed = flush && (is_subnormal::<F>(a) || is_subnormal::<F>(b));
    (ordered && !flushed).then_some(cond & relation != 0)
}

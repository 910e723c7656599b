//! The frequent case, computed by the host's floating point unit.
//!
//! A function gives the result, and whether it is inexact, where operands and result are normal numbers or zeros, rounding is
//! to nearest, and no exception but inexact can arise; else `None`, and [`Env`](crate::Env) has to do it. No
//! [`Policy`](crate::Policy) has a bearing on such a result, nor have flushing and traps of underflow. Whether it is inexact is
//! decided by arithmetic that is exact itself. The host rounds to nearest and keeps subnormals, as Rust requires.

use std::ops::{Add, Div, Mul, Sub};

use crate::env::Rounding;
use crate::format::Format;
use crate::integer::Integer;
use crate::order::Relation;

/// A result, and whether it is inexact.
pub type Fast<T> = Option<(T, bool)>;

/// A format that the host computes with.
pub trait Host:
    Format<Bits: Into<u64>>
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
{
    /// The number with these bits.
    fn from_bits(bits: Self::Bits) -> Self;
    /// The bits of the number.
    fn to_bits(self) -> Self::Bits;
    /// Its square root.
    fn sqrt(self) -> Self;
    /// It in double precision.
    fn to_f64(self) -> f64;
    /// The number nearest to an integer.
    fn from_i64(value: i64) -> Self;
    /// The number nearest to an integer.
    fn from_u64(value: u64) -> Self;
}

macro_rules! hosts {
    ($($type:ident),+) => {$(
        impl Host for $type {
            #[inline]
            fn from_bits(bits: Self::Bits) -> Self {
                Self::from_bits(bits)
            }

            #[inline]
            fn to_bits(self) -> Self::Bits {
                self.to_bits()
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

            #[inline]
            fn from_u64(value: u64) -> Self {
                value as Self
            }
        }
    )+};
}

hosts!(f32, f64);

/// The bits of the fraction.
const fn fraction_bits<F: Host>() -> u32 {
    F::PRECISION - 1
}

#[inline(always)]
fn exponent<F: Host>(bits: F::Bits) -> u64 {
    bits.into() >> fraction_bits::<F>() & u64::from(F::TOP_EXPONENT)
}

#[inline]
fn is_zero<F: Host>(bits: F::Bits) -> bool {
    let bits: u64 = bits.into();
    bits << (63 - F::EXPONENT_BITS - fraction_bits::<F>()) << 1 == 0
}

/// Whether a value is a normal number, but not of the topmost binade, where [`sum_is_inexact`]
/// could overflow.
#[inline]
fn is_normal<F: Host>(bits: F::Bits) -> bool {
    exponent::<F>(bits).wrapping_sub(1) < u64::from(F::TOP_EXPONENT) - 2
}

/// Whether a result is as [`is_normal`] says, and was not rounded up to the smallest normal number.
#[inline]
fn is_safe<F: Host>(bits: F::Bits) -> bool {
    exponent::<F>(bits).wrapping_sub(2) < u64::from(F::TOP_EXPONENT) - 3
}

#[inline]
fn is_subnormal<F: Host>(bits: F::Bits) -> bool {
    exponent::<F>(bits) == 0 && !is_zero::<F>(bits)
}

/// Whether `sum` is not exactly `a + b`: the error of a sum is a number itself, and Knuth's TwoSum
/// gives it.
#[inline]
fn sum_is_inexact<F: Host>(a: F, b: F, sum: F) -> bool {
    let b_part = sum - a;
    let error = (a - (sum - b_part)) + (b - b_part);
    !is_zero::<F>(error.to_bits())
}

/// Whether `product` is not exactly `x * y`, where they are equal but for one rounding of any of
/// the three.
///
/// The product of the significands has twice their length, and what it could differ by is below
/// 2^64: comparing the low 64 bits is enough.
#[inline]
fn product_is_inexact<F: Host>(x: F::Bits, y: F::Bits, product: F::Bits) -> bool {
    let implicit = 1 << fraction_bits::<F>();
    let significand = |bits: F::Bits| bits.into() & (implicit - 1) | implicit;
    let shift = exponent::<F>(product)
        .wrapping_add(F::BIAS as u64 + u64::from(fraction_bits::<F>()))
        .wrapping_sub(exponent::<F>(x))
        .wrapping_sub(exponent::<F>(y));
    significand(x).wrapping_mul(significand(y)) != significand(product).wrapping_shl(shift as u32)
}

/// The bits of what the host made of any operands, if nothing but inexact can have been raised: it is a normal number, and not
/// the smallest, which may have been tiny before rounding. Whether it is inexact is left open.
#[inline(always)]
pub fn plain<F: Host>(result: F) -> Option<F::Bits> {
    let bits = result.to_bits();
    (exponent::<F>(bits).wrapping_sub(2) < u64::from(F::TOP_EXPONENT) - 2).then_some(bits)
}

/// Whether a value is a NaN, of either kind.
#[inline]
pub fn is_nan<F: Host>(bits: F::Bits) -> bool {
    let x = F::from_bits(bits);
    x.partial_cmp(&x).is_none()
}

/// `a + b`.
#[inline]
pub fn add<F: Host>(a: F::Bits, b: F::Bits) -> Fast<F::Bits> {
    let (x, y) = (F::from_bits(a), F::from_bits(b));
    let sum = x + y;
    let bits = sum.to_bits();
    if is_normal::<F>(a) & is_normal::<F>(b) {
        return (is_safe::<F>(bits) || is_zero::<F>(bits))
            .then(|| (bits, sum_is_inexact(x, y, sum)));
    }
    let simple = |bits| is_normal::<F>(bits) || is_zero::<F>(bits);
    (simple(a) && simple(b)).then_some((bits, false))
}

/// `a - b`.
#[inline]
pub fn sub<F: Host>(a: F::Bits, b: F::Bits) -> Fast<F::Bits> {
    add::<F>(a, F::negate(b))
}

/// `a * b`.
#[inline]
pub fn mul<F: Host>(a: F::Bits, b: F::Bits) -> Fast<F::Bits> {
    let product = (F::from_bits(a) * F::from_bits(b)).to_bits();
    if is_normal::<F>(a) & is_normal::<F>(b) {
        return is_safe::<F>(product).then(|| (product, product_is_inexact::<F>(a, b, product)));
    }
    let zero = is_zero::<F>(a) && (is_normal::<F>(b) || is_zero::<F>(b))
        || is_normal::<F>(a) && is_zero::<F>(b);
    zero.then_some((product, false))
}

/// `a / b`.
#[inline]
pub fn div<F: Host>(a: F::Bits, b: F::Bits) -> Fast<F::Bits> {
    let quotient = (F::from_bits(a) / F::from_bits(b)).to_bits();
    if is_normal::<F>(a) & is_normal::<F>(b) {
        return is_safe::<F>(quotient).then(|| (quotient, product_is_inexact::<F>(quotient, b, a)));
    }
    (is_zero::<F>(a) && is_normal::<F>(b)).then_some((quotient, false))
}

/// The square root of `a`.
#[inline]
pub fn sqrt<F: Host>(a: F::Bits) -> Fast<F::Bits> {
    if !F::is_negative(a) & is_normal::<F>(a) {
        let root = F::from_bits(a).sqrt().to_bits();
        return Some((root, product_is_inexact::<F>(root, root, a)));
    }
    is_zero::<F>(a).then_some((a, false))
}

/// To double precision; exact, so good in every rounding mode.
#[inline]
pub fn widen(a: u32) -> Option<u64> {
    (is_normal::<f32>(a) || is_zero::<f32>(a)).then(|| f32::from_bits(a).to_f64().to_bits())
}

/// To single precision.
#[inline]
pub fn narrow(a: u64) -> Fast<u32> {
    let wide = f64::from_bits(a);
    let narrow = wide as f32;
    let bits = narrow.to_bits();
    (is_safe::<f32>(bits) || is_zero::<f64>(a)).then(|| (bits, narrow.to_f64() != wide))
}

/// To an integer, by any rounding mode.
#[inline]
pub fn to_integer<F: Host, I: Integer>(rounding: Rounding, a: F::Bits) -> Fast<I> {
    // Below 2^51 the sum with 1.5 * 2^52 has a unit of one.
    const SHIFTER: f64 = 6_755_399_441_055_744.0;
    const LIMIT: f64 = 2_251_799_813_685_248.0;
    let x = F::from_bits(a).to_f64();
    let in_range = x.abs() < LIMIT.min(I::MAX as f64) && (I::SIGNED || x >= 0.0);
    if !in_range || is_subnormal::<F>(a) {
        return None;
    }
    let truncated = x as i64;
    let integer = match rounding {
        Rounding::Nearest => ((x + SHIFTER) - SHIFTER) as i64,
        Rounding::NearestAway => return None,
        Rounding::Zero => truncated,
        Rounding::Up => truncated + i64::from((truncated as f64) < x),
        Rounding::Down => truncated - i64::from(truncated as f64 > x),
    };
    Some((I::truncate(integer.into()), integer as f64 != x))
}

/// From an integer. An exact result is good in every rounding mode.
#[inline]
pub fn from_integer<I: Integer, F: Host>(a: I) -> (F::Bits, bool) {
    let value = a.value();
    let magnitude = value.unsigned_abs() as u64;
    let significant = magnitude >> (magnitude.trailing_zeros() & 63);
    let nearest = if I::SIGNED {
        F::from_i64(value as i64)
    } else {
        F::from_u64(magnitude)
    };
    (nearest.to_bits(), significant >> F::PRECISION != 0)
}

/// How `a` compares to `b`, which are no NaNs; `flush` says whether subnormals count as zeros.
#[inline]
pub fn compare<F: Host>(flush: bool, a: F::Bits, b: F::Bits) -> Option<Relation> {
    let (x, y) = (F::from_bits(a), F::from_bits(b));
    let flushed = flush && (is_subnormal::<F>(a) || is_subnormal::<F>(b));
    let ordered = x.partial_cmp(&y).is_some();
    (ordered && !flushed).then(|| Relation::ordered(x == y, x < y, x > y))
}

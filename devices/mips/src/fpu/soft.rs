//! Exact arithmetic in integers: every operand, rounding mode and exception.
//!
//! A finite number is unpacked to a sign, an exponent and a 64-bit significand with its top bit
//! set. An operation computes a 128-bit significand that is exact, or whose last bit says that
//! something was lost below it ("sticky"), and [`Context::round`] makes the result of it.

use super::fcsr::{DIVIDE_BY_ZERO, Fcsr, INEXACT, INVALID, OVERFLOW, Rounding, UNDERFLOW};

/// A binary interchange format: one sign bit, `exp` exponent bits, `frac` fraction bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Format {
    pub(super) exp: u32,
    pub(super) frac: u32,
}

/// Format S, single precision.
pub(super) const S: Format = Format { exp: 8, frac: 23 };
/// Format D, double precision.
pub(super) const D: Format = Format { exp: 11, frac: 52 };

impl Format {
    pub(super) const fn sign_bit(self) -> u64 {
        1 << (self.exp + self.frac)
    }

    const fn max_exponent(self) -> u64 {
        (1 << self.exp) - 1
    }

    const fn bias(self) -> i32 {
        (1 << (self.exp - 1)) - 1
    }

    const fn frac_mask(self) -> u64 {
        (1 << self.frac) - 1
    }

    /// The fraction bit that tells the NaNs apart: in the legacy encoding it is set in a signalling
    /// NaN.
    const fn signaling_bit(self) -> u64 {
        1 << (self.frac - 1)
    }

    pub(super) const fn infinity(self) -> u64 {
        self.max_exponent() << self.frac
    }

    /// The NaN that an invalid operation gives: positive, every fraction bit set except the
    /// signalling one.
    pub(super) const fn default_nan(self) -> u64 {
        self.infinity() | self.frac_mask() ^ self.signaling_bit()
    }

    const fn with_sign(self, negative: bool, magnitude: u64) -> u64 {
        if negative {
            magnitude | self.sign_bit()
        } else {
            magnitude
        }
    }

    /// 1.0.
    pub(super) const fn one(self) -> u64 {
        (self.bias() as u64) << self.frac
    }
}

/// A result, and the exceptions it raises as bits of the Cause field.
pub(super) type Outcome<T = u64> = (T, u32);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Zero,
    Finite,
    Infinity,
    Quiet,
    Signaling,
}

/// An operand. `exp` and `sig` have a meaning for [`Class::Finite`] only: the number is `sig *
/// 2^(exp - 63)`.
#[derive(Clone, Copy)]
struct Unpacked {
    bits: u64,
    negative: bool,
    class: Class,
    exp: i32,
    sig: u64,
}

/// The parts of FCSR that an operation depends on.
#[derive(Clone, Copy)]
pub(super) struct Context {
    pub(super) rounding: Rounding,
    pub(super) flush: bool,
    pub(super) traps_underflow: bool,
}

impl From<Fcsr> for Context {
    fn from(fcsr: Fcsr) -> Self {
        Self {
            rounding: fcsr.rm(),
            flush: fcsr.fs(),
            traps_underflow: fcsr.enables() & UNDERFLOW != 0,
        }
    }
}

/// Shifts right; what is lost sets the last bit.
fn shift_right_sticky(value: u128, amount: u32) -> u128 {
    let kept = value.checked_shr(amount).unwrap_or(0);
    let lost = kept.checked_shl(amount).unwrap_or(0) != value;
    kept | u128::from(lost)
}

impl Context {
    fn unpack(self, f: Format, bits: u64) -> Unpacked {
        let negative = bits & f.sign_bit() != 0;
        let biased = bits >> f.frac & f.max_exponent();
        let frac = bits & f.frac_mask();
        let finite = |exp: i32, sig: u64| {
            let zeros = sig.leading_zeros();
            (Class::Finite, exp.wrapping_sub(zeros as i32), sig << zeros)
        };
        let to_top = 63 - f.frac as i32;
        let (class, exp, sig) = if biased == f.max_exponent() {
            let class = match frac {
                0 => Class::Infinity,
                _ if frac & f.signaling_bit() != 0 => Class::Signaling,
                _ => Class::Quiet,
            };
            (class, 0, 0)
        } else if biased != 0 {
            finite(biased as i32 - f.bias() + to_top, frac | 1 << f.frac)
        } else if frac == 0 || self.flush {
            (Class::Zero, 0, 0)
        } else {
            finite(1 - f.bias() + to_top, frac)
        };
        Unpacked {
            bits,
            negative,
            class,
            exp,
            sig,
        }
    }

    /// Drops the low `shift` bits (1 to 127) of a significand. Tells whether the result is inexact.
    fn round_off(self, negative: bool, value: u128, shift: u32) -> (u128, bool) {
        let kept = value >> shift;
        let rest = value & ((1 << shift) - 1);
        let half = 1 << (shift - 1);
        let up = match self.rounding {
            Rounding::Nearest => rest > half || rest == half && kept & 1 != 0,
            Rounding::Zero => false,
            Rounding::Up => rest != 0 && !negative,
            Rounding::Down => rest != 0 && negative,
        };
        (kept + u128::from(up), rest != 0)
    }

    /// The number nearest, by the rounding mode, to `sig * 2^(exp - 127)`; `sig` is not zero, its
    /// last bit may be sticky.
    ///
    /// Tininess is detected after rounding and loss of accuracy as an inexact result (MD00083,
    /// "Underflow Exception"). Where Underflow traps, a tiny result raises it even if exact.
    fn round(self, f: Format, negative: bool, exp: i32, sig: u128) -> Outcome {
        let zeros = sig.leading_zeros();
        let sig = sig << zeros;
        let biased = exp - zeros as i32 + f.bias();
        let shift = 127 - f.frac;
        let (rounded, inexact) = self.round_off(negative, sig, shift);
        if biased >= 1 {
            // The leading bit of the significand counts one into the exponent.
            let magnitude = ((biased as u64 - 1) << f.frac).wrapping_add(rounded as u64);
            if biased as u64 >= f.max_exponent() || magnitude >= f.infinity() {
                return (self.overflow(f, negative), OVERFLOW | INEXACT);
            }
            return (
                f.with_sign(negative, magnitude),
                if inexact { INEXACT } else { 0 },
            );
        }
        let tiny = biased < 0 || rounded >> (f.frac + 1) == 0;
        if tiny && self.flush {
            return (f.with_sign(negative, 0), UNDERFLOW | INEXACT);
        }
        let sig = shift_right_sticky(sig, biased.abs_diff(1));
        let (rounded, inexact) = self.round_off(negative, sig, shift);
        let exceptions = match (inexact, tiny) {
            (true, true) => UNDERFLOW | INEXACT,
            (true, false) => INEXACT,
            (false, true) if self.traps_underflow => UNDERFLOW,
            (false, _) => 0,
        };
        (f.with_sign(negative, rounded as u64), exceptions)
    }

    fn overflow(self, f: Format, negative: bool) -> u64 {
        let to_infinity = match self.rounding {
            Rounding::Nearest => true,
            Rounding::Zero => false,
            Rounding::Up => !negative,
            Rounding::Down => negative,
        };
        f.with_sign(
            negative,
            if to_infinity {
                f.infinity()
            } else {
                f.infinity() - 1
            },
        )
    }

    /// What an operation with a NaN gives: the default NaN and Invalid if one signals, else the
    /// first of them.
    fn nan(f: Format, operands: &[Unpacked]) -> Option<Outcome> {
        if operands.iter().any(|x| x.class == Class::Signaling) {
            return Some((f.default_nan(), INVALID));
        }
        operands
            .iter()
            .find(|x| x.class == Class::Quiet)
            .map(|x| (x.bits, 0))
    }

    pub(super) fn add(self, f: Format, a: u64, b: u64) -> Outcome {
        self.sum(f, a, b, false)
    }

    pub(super) fn sub(self, f: Format, a: u64, b: u64) -> Outcome {
        self.sum(f, a, b, true)
    }

    fn sum(self, f: Format, a: u64, b: u64, negate_b: bool) -> Outcome {
        let (a, mut b) = (self.unpack(f, a), self.unpack(f, b));
        if let Some(nan) = Self::nan(f, &[a, b]) {
            return nan;
        }
        b.negative ^= negate_b;
        // The sign of a zero that is the sum of operands with opposite signs.
        let cancelled = f.with_sign(self.rounding == Rounding::Down, 0);
        match (a.class, b.class) {
            (Class::Infinity, Class::Infinity) if a.negative != b.negative => {
                (f.default_nan(), INVALID)
            }
            (Class::Infinity, _) => (f.with_sign(a.negative, f.infinity()), 0),
            (_, Class::Infinity) => (f.with_sign(b.negative, f.infinity()), 0),
            (Class::Zero, Class::Zero) if a.negative == b.negative => {
                (f.with_sign(a.negative, 0), 0)
            }
            (Class::Zero, Class::Zero) => (cancelled, 0),
            (_, Class::Zero) => self.round(f, a.negative, a.exp + 64, a.sig.into()),
            (Class::Zero, _) => self.round(f, b.negative, b.exp + 64, b.sig.into()),
            _ => {
                let (big, small) = if (a.exp, a.sig) >= (b.exp, b.sig) {
                    (a, b)
                } else {
                    (b, a)
                };
                let wide = u128::from(big.sig) << 63;
                let aligned =
                    shift_right_sticky(u128::from(small.sig) << 63, big.exp.abs_diff(small.exp));
                let sum = if a.negative == b.negative {
                    wide + aligned
                } else {
                    wide - aligned
                };
                if sum == 0 {
                    (cancelled, 0)
                } else {
                    self.round(f, big.negative, big.exp + 1, sum)
                }
            }
        }
    }

    pub(super) fn mul(self, f: Format, a: u64, b: u64) -> Outcome {
        let (a, b) = (self.unpack(f, a), self.unpack(f, b));
        if let Some(nan) = Self::nan(f, &[a, b]) {
            return nan;
        }
        let negative = a.negative != b.negative;
        match (a.class, b.class) {
            (Class::Infinity, Class::Zero) | (Class::Zero, Class::Infinity) => {
                (f.default_nan(), INVALID)
            }
            (Class::Infinity, _) | (_, Class::Infinity) => (f.with_sign(negative, f.infinity()), 0),
            (Class::Zero, _) | (_, Class::Zero) => (f.with_sign(negative, 0), 0),
            _ => self.round(
                f,
                negative,
                a.exp + b.exp + 1,
                u128::from(a.sig) * u128::from(b.sig),
            ),
        }
    }

    pub(super) fn div(self, f: Format, a: u64, b: u64) -> Outcome {
        let (a, b) = (self.unpack(f, a), self.unpack(f, b));
        if let Some(nan) = Self::nan(f, &[a, b]) {
            return nan;
        }
        let negative = a.negative != b.negative;
        match (a.class, b.class) {
            (Class::Infinity, Class::Infinity) | (Class::Zero, Class::Zero) => {
                (f.default_nan(), INVALID)
            }
            (Class::Infinity, _) => (f.with_sign(negative, f.infinity()), 0),
            (_, Class::Zero) => (f.with_sign(negative, f.infinity()), DIVIDE_BY_ZERO),
            (Class::Zero, _) | (_, Class::Infinity) => (f.with_sign(negative, 0), 0),
            _ => {
                let dividend = u128::from(a.sig) << 63;
                let divisor = u128::from(b.sig);
                let quotient = dividend / divisor;
                let sticky = quotient * divisor != dividend;
                self.round(
                    f,
                    negative,
                    a.exp - b.exp + 63,
                    quotient << 1 | u128::from(sticky),
                )
            }
        }
    }

    pub(super) fn sqrt(self, f: Format, a: u64) -> Outcome {
        let a = self.unpack(f, a);
        if let Some(nan) = Self::nan(f, &[a]) {
            return nan;
        }
        match a.class {
            Class::Zero => (f.with_sign(a.negative, 0), 0),
            _ if a.negative => (f.default_nan(), INVALID),
            Class::Infinity => (f.infinity(), 0),
            _ => {
                // An even power of two is left outside the root.
                let odd = a.exp & 1;
                let square = u128::from(a.sig) << (63 + odd);
                let root = square.isqrt();
                let sticky = root * root != square;
                self.round(
                    f,
                    false,
                    (a.exp - odd) / 2 + 63,
                    root << 1 | u128::from(sticky),
                )
            }
        }
    }

    pub(super) fn recip(self, f: Format, a: u64) -> Outcome {
        self.div(f, f.one(), a)
    }

    pub(super) fn rsqrt(self, f: Format, a: u64) -> Outcome {
        let (root, rooting) = self.sqrt(f, a);
        let (result, dividing) = self.recip(f, root);
        (result, rooting | dividing)
    }

    /// `a * b + c`, or `a * b - c`, with both results rounded.
    pub(super) fn madd(self, f: Format, a: u64, b: u64, c: u64, subtract: bool) -> Outcome {
        let (product, multiplying) = self.mul(f, a, b);
        let (result, adding) = self.sum(f, product, c, subtract);
        (result, multiplying | adding)
    }

    /// ABS and NEG of `a`, which with its new sign is `changed`.
    pub(super) fn change_sign(self, f: Format, a: u64, changed: u64) -> Outcome {
        match self.unpack(f, a).class {
            Class::Signaling => (f.default_nan(), INVALID),
            Class::Quiet => (changed, INVALID),
            _ => (changed, 0),
        }
    }

    /// Converts between formats.
    pub(super) fn convert(self, from: Format, to: Format, a: u64) -> Outcome {
        let x = self.unpack(from, a);
        match x.class {
            Class::Signaling => (to.default_nan(), INVALID),
            Class::Quiet => {
                let frac = a & from.frac_mask();
                let frac = if to.frac >= from.frac {
                    frac << (to.frac - from.frac)
                } else {
                    frac >> (from.frac - to.frac)
                };
                // A fraction that lost all its bits would make it an infinity.
                let nan = if frac == 0 {
                    to.default_nan()
                } else {
                    to.with_sign(x.negative, to.infinity() | frac)
                };
                (nan, 0)
            }
            Class::Infinity => (to.with_sign(x.negative, to.infinity()), 0),
            Class::Zero => (to.with_sign(x.negative, 0), 0),
            Class::Finite => self.round(to, x.negative, x.exp + 64, x.sig.into()),
        }
    }

    /// Converts to a signed integer of `width` bits, 32 or 64. What does not fit, and any NaN,
    /// gives the largest one.
    pub(super) fn to_fixed(self, f: Format, width: u32, a: u64) -> Outcome<i64> {
        let x = self.unpack(f, a);
        let max = i64::MAX >> (64 - width);
        let (magnitude, inexact) = match x.class {
            Class::Zero => return (0, 0),
            // With 64 bits of fraction; less than a half is all sticky.
            Class::Finite if x.exp < -1 => self.round_off(x.negative, 1, 64),
            Class::Finite if x.exp < 64 => self.round_off(
                x.negative,
                u128::from(x.sig) << x.exp.wrapping_add(1).cast_unsigned(),
                64,
            ),
            _ => return (max, INVALID),
        };
        let limit = max.cast_unsigned() + u64::from(x.negative);
        match u64::try_from(magnitude) {
            Ok(m) if m <= limit => {
                let value = if x.negative { m.wrapping_neg() } else { m };
                (value.cast_signed(), if inexact { INEXACT } else { 0 })
            }
            _ => (max, INVALID),
        }
    }

    /// Converts a signed integer.
    pub(super) fn convert_fixed(self, f: Format, a: i64) -> Outcome {
        match a {
            0 => (0, 0),
            _ => self.round(f, a < 0, 127, a.unsigned_abs().into()),
        }
    }

    /// C.cond: whether one of the relations that `cond` names holds. Its bits are, from bit 0:
    /// unordered, equal, less, and Invalid if the operands are unordered.
    pub(super) fn compare(self, f: Format, cond: u32, a: u64, b: u64) -> Outcome<bool> {
        let (a, b) = (self.unpack(f, a), self.unpack(f, b));
        if let Some((_, exceptions)) = Self::nan(f, &[a, b]) {
            let signals = if cond & 8 != 0 { INVALID } else { 0 };
            return (cond & 1 != 0, exceptions | signals);
        }
        let order = |x: Unpacked| {
            let magnitude = if x.class == Class::Zero {
                0
            } else {
                (x.bits & !f.sign_bit()).cast_signed()
            };
            if x.negative { -magnitude } else { magnitude }
        };
        let (a, b) = (order(a), order(b));
        (cond & 2 != 0 && a == b || cond & 4 != 0 && a < b, 0)
    }
}

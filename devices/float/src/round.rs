//! Results made of exact ones, and the operations that are no more than that.
//!
//! They are inlined into each operation of each format, whose digits and limits are then numbers in its code.

use crate::env::{Env, Flags, Outcome, Precision, Rounding};
use crate::exact::{self, Exact, shift_right_sticky};
use crate::format::Format;
use crate::policy::Tininess;
use crate::unpacked::{Class, Unpacked};

/// The numbers that a result can be.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    digits: u32,
    bias: i32,
    top_exponent: u32,
}

impl Shape {
    pub(crate) const fn of<F: Format>() -> Self {
        Self {
            digits: F::PRECISION,
            bias: F::BIAS,
            top_exponent: F::TOP_EXPONENT,
        }
    }

    /// What an exponent is changed by for who handles an overflow or underflow.
    const fn wrap(self) -> u32 {
        3 * (self.top_exponent + 1) / 4
    }

    #[inline]
    fn at_most(self, precision: Precision) -> Self {
        Self {
            digits: self.digits.min(precision.digits()),
            ..self
        }
    }
}

/// What [`Format::join`] makes a value of.
struct Packed {
    negative: bool,
    exponent: u32,
    sig: u64,
}

/// A significand without its last digits.
pub(crate) struct Rounded {
    pub value: u128,
    pub flags: Flags,
}

impl Env {
    /// Drops the low `shift` bits (1 to 127) of a significand.
    #[inline(always)]
    pub(crate) fn round_off(&self, negative: bool, value: u128, shift: u32) -> Rounded {
        let kept = value >> shift;
        let rest = value & ((1 << shift) - 1);
        let half = 1 << (shift - 1);
        let up = match self.rounding {
            Rounding::Nearest => rest > half || rest == half && kept & 1 != 0,
            Rounding::NearestAway => rest >= half,
            Rounding::Zero => false,
            Rounding::Up => rest != 0 && !negative,
            Rounding::Down => rest != 0 && negative,
        };
        Rounded {
            value: kept + u128::from(up),
            flags: Flags::INEXACT.only_if(rest != 0) | Flags::ROUNDED_UP.only_if(up),
        }
    }

    /// The number of a shape that the rounding mode makes of an exact result.
    #[inline(always)]
    fn round(&self, shape: Shape, exact: Exact) -> Outcome<Packed> {
        const FIRST: u64 = 1 << 63;
        let infinity = |negative| Packed {
            negative,
            exponent: shape.top_exponent,
            sig: FIRST,
        };
        let zero = |negative| Packed {
            negative,
            exponent: 0,
            sig: 0,
        };
        match exact {
            Exact::Invalid => {
                let nan = self.policy.default_nan();
                let packed = Packed {
                    negative: nan.negative,
                    exponent: shape.top_exponent,
                    sig: nan.sig,
                };
                (packed, Flags::INVALID)
            }
            Exact::Infinity { negative } => (infinity(negative), Flags::NONE),
            Exact::Pole { negative } => (infinity(negative), Flags::DIVIDE_BY_ZERO),
            Exact::Zero { negative } => (zero(negative), Flags::NONE),
            Exact::Cancelled => (zero(self.rounding == Rounding::Down), Flags::NONE),
            Exact::Finite { negative, exp, sig } => {
                let zeros = sig.leading_zeros();
                let exponent = exp - zeros as i32 + shape.bias;
                self.round_finite(shape, negative, exponent, sig << zeros)
            }
        }
    }

    /// As [`Env::round`], for a significand with its first digit at bit 127 and an exponent as it is written, but without
    /// limits.
    #[inline(always)]
    fn round_finite(
        &self,
        shape: Shape,
        negative: bool,
        exponent: i32,
        sig: u128,
    ) -> Outcome<Packed> {
        let shift = 128 - shape.digits;
        let packed = |exponent, value: u128| Packed {
            negative,
            exponent,
            sig: (value << (64 - shape.digits)) as u64,
        };
        let Rounded { value, flags } = self.round_off(negative, sig, shift);
        let carry = value >> shape.digits != 0;
        if exponent >= 1 {
            let exponent = exponent.cast_unsigned() + u32::from(carry);
            if exponent >= shape.top_exponent {
                let wrapped = exponent.wrapping_sub(shape.wrap());
                if self.wraps.0 && wrapped < shape.top_exponent {
                    let packed = packed(wrapped, value >> u32::from(carry));
                    return (packed, flags | Flags::OVERFLOW);
                }
                return self.overflow(shape, negative);
            }
            return (packed(exponent, value >> u32::from(carry)), flags);
        }
        let tiny = match self.policy.tininess {
            Tininess::BeforeRounding => true,
            Tininess::AfterRounding => exponent < 0 || !carry,
        };
        if tiny && self.flush_results {
            return (packed(0, 0), Flags::UNDERFLOW | Flags::INEXACT);
        }
        let wrapped = exponent + i32::from(carry) + shape.wrap().cast_signed();
        if tiny && self.wraps.1 && wrapped > 0 {
            let packed = packed(wrapped.cast_unsigned(), value >> u32::from(carry));
            return (packed, flags | Flags::UNDERFLOW);
        }
        let sig = shift_right_sticky(sig, exponent.abs_diff(1));
        let Rounded { value, mut flags } = self.round_off(negative, sig, shift);
        if tiny && (flags.has(Flags::INEXACT) || self.traps_underflow) {
            flags |= Flags::UNDERFLOW;
        }
        // The smallest normal number has its first digit and the exponent 1.
        let exponent = (value >> (shape.digits - 1)) as u32;
        (packed(exponent, value), flags)
    }

    fn overflow(&self, shape: Shape, negative: bool) -> Outcome<Packed> {
        let to_infinity = match self.rounding {
            Rounding::Nearest | Rounding::NearestAway => true,
            Rounding::Zero => false,
            Rounding::Up => !negative,
            Rounding::Down => negative,
        };
        let (exponent, sig) = if to_infinity {
            (shape.top_exponent, 1 << 63)
        } else {
            (shape.top_exponent - 1, u64::MAX << (64 - shape.digits))
        };
        let packed = Packed {
            negative,
            exponent,
            sig,
        };
        let flags = Flags::OVERFLOW | Flags::INEXACT | Flags::ROUNDED_UP.only_if(to_infinity);
        (packed, flags)
    }

    /// Ends an operation: a NaN that comes from the operands, else what `exact` makes of them.
    #[inline(always)]
    pub(crate) fn finish<F: Format>(
        &self,
        shape: Shape,
        operands: &[Unpacked],
        exact: impl FnOnce() -> Exact,
    ) -> Outcome<F::Bits> {
        if let Some((nan, flags)) = self.policy.nan(operands) {
            return (self.nan::<F>(nan), flags);
        }
        let (packed, flags) = self.round(shape, exact());
        let bits = F::join(packed.negative, packed.exponent, packed.sig);
        (bits, denormal(operands, flags))
    }

    /// A NaN in a format. One that loses its whole fraction would be an infinity.
    pub(crate) fn nan<F: Format>(&self, nan: Unpacked) -> F::Bits {
        let kept = nan.sig << 1 >> 1 >> (64 - F::PRECISION);
        let nan = if kept == 0 {
            self.policy.default_nan()
        } else {
            nan
        };
        F::join(nan.negative, F::TOP_EXPONENT, nan.sig)
    }

    /// `addition` (IEEE 754-2019, 5.4.1): `a + b`.
    #[inline(always)]
    pub fn add<F: Format>(&self, a: F::Bits, b: F::Bits) -> Outcome<F::Bits> {
        let [a, b] = self.operands::<F, 2>([a, b]);
        self.finish::<F>(self.shape::<F>(), &[a, b], || {
            exact::sum(a.into(), b.into())
        })
    }

    /// `subtraction` (5.4.1): `a - b`. A NaN keeps its sign.
    #[inline(always)]
    pub fn sub<F: Format>(&self, a: F::Bits, b: F::Bits) -> Outcome<F::Bits> {
        let [a, b] = self.operands::<F, 2>([a, b]);
        let negated = Unpacked {
            negative: !b.negative,
            ..b
        };
        self.finish::<F>(self.shape::<F>(), &[a, b], || {
            exact::sum(a.into(), negated.into())
        })
    }

    /// `multiplication` (5.4.1): `a * b`.
    #[inline(always)]
    pub fn mul<F: Format>(&self, a: F::Bits, b: F::Bits) -> Outcome<F::Bits> {
        let [a, b] = self.operands::<F, 2>([a, b]);
        self.finish::<F>(self.shape::<F>(), &[a, b], || exact::product(a, b))
    }

    /// `division` (5.4.1): `a / b`.
    #[inline(always)]
    pub fn div<F: Format>(&self, a: F::Bits, b: F::Bits) -> Outcome<F::Bits> {
        let [a, b] = self.operands::<F, 2>([a, b]);
        self.finish::<F>(self.shape::<F>(), &[a, b], || exact::quotient(a, b))
    }

    /// `squareRoot` (5.4.1).
    #[inline]
    pub fn sqrt<F: Format>(&self, a: F::Bits) -> Outcome<F::Bits> {
        let [a] = self.operands::<F, 1>([a]);
        self.finish::<F>(self.shape::<F>(), &[a], || exact::square_root(a))
    }

    /// `fusedMultiplyAdd` (5.4.1): `a * b + c`, rounded once. The product must fit into 125 digits, so it is not for the
    /// extended format.
    ///
    /// Of NaNs, `a` is the first, and `c` the last. For the variants that negate the product or `c`, negate `a` or `c` before; where
    /// a NaN keeps its sign in them, as on x86, not a NaN.
    pub fn mul_add<F: Format>(&self, a: F::Bits, b: F::Bits, c: F::Bits) -> Outcome<F::Bits> {
        const { assert!(F::PRECISION <= 62) };
        let operands @ [a, b, c] = self.operands::<F, 3>([a, b, c]);
        let product = exact::product(a, b);
        let invalid = matches!(product, Exact::Invalid) && !a.class.is_nan() && !b.class.is_nan();
        if invalid && c.class == Class::QuietNan && self.policy.invalid_product_before_nan {
            return (self.nan::<F>(self.policy.default_nan()), Flags::INVALID);
        }
        self.finish::<F>(self.shape::<F>(), &operands, || {
            exact::sum(product, c.into())
        })
    }

    /// `convertFormat` (5.4.2): the value of `F` nearest to one of `G`. Precision control does not matter.
    pub fn convert<F: Format, G: Format>(&self, a: F::Bits) -> Outcome<G::Bits> {
        let [a] = self.operands::<F, 1>([a]);
        self.finish::<G>(Shape::of::<G>(), &[a], || a.into())
    }

    /// `roundToIntegralExact` (5.9): the integer that the rounding mode says, in the same format. The other operations of that
    /// clause are the same with another mode and without [`Flags::INEXACT`].
    pub fn round_to_integral<F: Format>(&self, a: F::Bits) -> Outcome<F::Bits> {
        let [a] = self.operands::<F, 1>([a]);
        let mut flags = Flags::NONE;
        let (result, more) = self.finish::<F>(Shape::of::<F>(), &[a], || {
            let finite = matches!(a.class, Class::Normal | Class::Subnormal);
            if !finite || a.exp >= 63 {
                return a.into();
            }
            // With 64 bits of fraction; less than a half is all sticky.
            let fixed = match a.exp {
                ..-1 => 1,
                exp => u128::from(a.sig) << (exp + 1),
            };
            let rounded = self.round_off(a.negative, fixed, 64);
            flags = rounded.flags;
            match rounded.value {
                0 => Exact::Zero {
                    negative: a.negative,
                },
                sig => Exact::Finite {
                    negative: a.negative,
                    exp: 127,
                    sig,
                },
            }
        });
        (result, flags | more)
    }

    #[inline]
    fn shape<F: Format>(&self) -> Shape {
        Shape::of::<F>().at_most(self.precision)
    }
}

/// What an operation that involves no NaN raises.
#[inline]
pub(crate) fn denormal(operands: &[Unpacked], flags: Flags) -> Flags {
    let any = operands.iter().any(|x| x.class == Class::Subnormal);
    let first = flags.has(Flags::INVALID | Flags::DIVIDE_BY_ZERO);
    flags | Flags::DENORMAL.only_if(any && !first)
}

//! Operands taken apart.

use crate::env::Env;
use crate::format::Format;
use crate::policy::Policy;

/// What a value is (IEEE 754-2019, 5.7.2, `class`, without the sign).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Zero.
    Zero,
    /// A number below the smallest normal one.
    Subnormal,
    /// A normal number.
    Normal,
    /// An infinity.
    Infinity,
    /// A quiet NaN.
    QuietNan,
    /// A signalling NaN.
    SignalingNan,
    /// Bits of the extended format that are no value; as an operand they make an operation invalid.
    Unsupported,
}

impl Class {
    /// Whether it is a NaN of either kind.
    #[inline]
    pub const fn is_nan(self) -> bool {
        matches!(self, Self::QuietNan | Self::SignalingNan)
    }

    /// Whether it is a number or an infinity.
    #[inline]
    pub const fn is_number(self) -> bool {
        !self.is_nan() && !matches!(self, Self::Unsupported)
    }
}

/// A value taken apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unpacked {
    pub negative: bool,
    pub class: Class,
    /// Of a number other than zero, which is `sig * 2^(exp - 63)`.
    pub exp: i32,
    /// Of a number other than zero, with bit 63 set; of a NaN its significand.
    pub sig: u64,
}

impl Policy {
    /// What a value is.
    pub fn class<F: Format>(&self, bits: F::Bits) -> Class {
        self.unpack::<F>(bits).class
    }

    #[inline]
    pub(crate) fn unpack<F: Format>(&self, bits: F::Bits) -> Unpacked {
        const FIRST: u64 = 1 << 63;
        let (negative, exponent, digits) = F::split(bits);
        let number = |class, exponent: u32, sig: u64| {
            let zeros = sig.leading_zeros();
            (
                class,
                exponent as i32 - F::BIAS - zeros as i32,
                sig.wrapping_shl(zeros),
            )
        };
        let (class, exp, sig) = if exponent != 0 && F::EXPLICIT && digits & FIRST == 0 {
            (Class::Unsupported, 0, digits)
        } else if exponent == F::TOP_EXPONENT {
            let class = match digits & !FIRST {
                0 => Class::Infinity,
                fraction if self.signals(fraction) => Class::SignalingNan,
                _ => Class::QuietNan,
            };
            (class, 0, digits | FIRST)
        } else if exponent != 0 {
            number(Class::Normal, exponent, digits | FIRST)
        } else if digits != 0 {
            number(Class::Subnormal, 1, digits)
        } else {
            (Class::Zero, 0, 0)
        };
        Unpacked {
            negative,
            class,
            exp,
            sig,
        }
    }
}

impl Env {
    /// The operands of an operation.
    #[inline]
    pub(crate) fn operands<F: Format, const N: usize>(&self, bits: [F::Bits; N]) -> [Unpacked; N] {
        bits.map(|bits| {
            let mut x = self.policy.unpack::<F>(bits);
            if self.flush_inputs && x.class == Class::Subnormal {
                x.class = Class::Zero;
            }
            x
        })
    }
}

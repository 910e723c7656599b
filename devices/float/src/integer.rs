//! Conversions to and from integers.

use crate::env::{Env, Flags, Outcome};
use crate::exact::Exact;
use crate::format::Format;
use crate::policy::Unfit;
use crate::round::{Rounded, Shape, denormal};
use crate::unpacked::Class;

/// An integer that values are converted to and from.
pub trait Integer: Copy + 'static {
    /// How many bits it has, at most 64.
    const BITS: u32;
    /// Whether its first bit is a sign.
    const SIGNED: bool;

    /// The low bits of a number.
    fn truncate(value: i128) -> Self;
    /// Its value.
    fn value(self) -> i128;

    /// The largest one.
    const MAX: i128 = (1 << (Self::BITS - Self::SIGNED as u32)) - 1;
    /// The smallest one.
    const MIN: i128 = if Self::SIGNED { -Self::MAX - 1 } else { 0 };
}

macro_rules! integers {
    ($($type:ident: $signed:literal),+) => {$(
        impl Integer for $type {
            const BITS: u32 = $type::BITS;
            const SIGNED: bool = $signed;

            #[inline]
            fn truncate(value: i128) -> Self {
                value as Self
            }

            #[inline]
            fn value(self) -> i128 {
                self.into()
            }
        }
    )+};
}

integers!(i16: true, i32: true, i64: true, u32: false, u64: false);

impl Env {
    /// `convertToIntegerExact…` (IEEE 754-2019, 5.8), by the rounding mode. The operations without *Exact* are the same without
    /// [`Flags::INEXACT`].
    ///
    /// What does not fit after rounding is invalid, and not inexact; [`Policy::unfit`](crate::Policy) says the result.
    pub fn to_integer<F: Format, I: Integer>(&self, a: F::Bits) -> Outcome<I> {
        let (value, flags) = self.integer_between::<F>(a, I::MIN, I::MAX);
        (I::truncate(value), flags)
    }

    fn integer_between<F: Format>(&self, a: F::Bits, min: i128, max: i128) -> Outcome<i128> {
        let [a] = self.operands::<F, 1>([a]);
        let (nearest, flags) = match a.class {
            Class::Zero => (Some(0), Flags::NONE),
            Class::QuietNan | Class::SignalingNan | Class::Unsupported => (None, Flags::INVALID),
            _ => {
                // With 64 bits of fraction; less than a half is all sticky.
                let Rounded { value, flags } = match a.exp {
                    _ if a.class == Class::Infinity || a.exp > 63 => Rounded {
                        value: 1 << 64,
                        flags: Flags::NONE,
                    },
                    ..-1 => self.round_off(a.negative, 1, 64),
                    exp => self.round_off(a.negative, u128::from(a.sig) << (exp + 1), 64),
                };
                let magnitude = value as i128;
                let value = if a.negative { -magnitude } else { magnitude };
                if (min..=max).contains(&value) {
                    (Some(value), flags)
                } else {
                    (Some(value.clamp(min, max)), Flags::INVALID)
                }
            }
        };
        let value = match (nearest, self.policy.unfit) {
            (Some(value), _) if !flags.has(Flags::INVALID) => value,
            (_, Unfit::Largest) => max,
            (_, Unfit::Indefinite) => {
                if min < 0 {
                    min
                } else {
                    max
                }
            }
            (nearest, Unfit::Nearest) => nearest.unwrap_or(max),
            (nearest, Unfit::NearestOrZero) => nearest.unwrap_or(0),
        };
        (value, denormal(&[a], flags))
    }

    /// `convertFromInt` (IEEE 754-2019, 5.4.1). Precision control does not matter.
    pub fn from_integer<I: Integer, F: Format>(&self, a: I) -> Outcome<F::Bits> {
        let value = a.value();
        self.convert_integer::<F>(value < 0, value.unsigned_abs() as u64)
    }

    fn convert_integer<F: Format>(&self, negative: bool, magnitude: u64) -> Outcome<F::Bits> {
        self.finish::<F>(Shape::of::<F>(), &[], || match magnitude {
            0 => Exact::Zero { negative },
            _ => Exact::Finite {
                negative,
                exp: 127,
                sig: magnitude.into(),
            },
        })
    }
}

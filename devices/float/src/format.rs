//! The formats.

use std::fmt::Debug;

/// A binary format (IEEE 754-2019, 3.4 and 3.7): a sign bit, an exponent, a significand.
///
/// [`f32`] stands for binary32, [`f64`] for binary64. A new format is its parameters.
pub trait Format: Copy + 'static {
    /// What holds a value. Bits above the format's width are ignored, and zero in results.
    type Bits: Copy + Debug + Eq + Into<u128>;
    /// The bits of the exponent, *w*.
    const EXPONENT_BITS: u32;
    /// The digits of a significand, *p*, at most 64.
    const PRECISION: u32;
    /// Whether the first digit of a significand is in the bits, and not implied by the exponent.
    const EXPLICIT: bool;

    /// The low bits of a number.
    fn truncate(raw: u128) -> Self::Bits;

    /// The exponent of infinities and NaNs, as it is written.
    const TOP_EXPONENT: u32 = (1 << Self::EXPONENT_BITS) - 1;
    /// What is added to an exponent to write it; also the largest exponent, *emax*.
    const BIAS: i32 = (1 << (Self::EXPONENT_BITS - 1)) - 1;
    /// The bits that the significand takes.
    const SIGNIFICAND_BITS: u32 = Self::PRECISION - !Self::EXPLICIT as u32;
    /// The sign bit.
    const SIGN: u128 = 1 << (Self::EXPONENT_BITS + Self::SIGNIFICAND_BITS);

    /// The sign, the exponent as it is written, and the significand with its first digit at bit 63, which is clear where
    /// that is implied.
    #[inline]
    fn split(bits: Self::Bits) -> (bool, u32, u64) {
        let raw: u128 = bits.into();
        (
            raw & Self::SIGN != 0,
            (raw >> Self::SIGNIFICAND_BITS) as u32 & Self::TOP_EXPONENT,
            (raw as u64) << (64 - Self::PRECISION) & (u64::MAX >> !Self::EXPLICIT as u32),
        )
    }

    /// The value with these parts; of the significand, what the format has no place for is dropped.
    #[inline]
    fn join(negative: bool, exponent: u32, significand: u64) -> Self::Bits {
        let digits = significand & (u64::MAX >> !Self::EXPLICIT as u32);
        let raw = u128::from(exponent) << Self::SIGNIFICAND_BITS
            | u128::from(digits >> (64 - Self::PRECISION));
        Self::truncate(if negative { raw | Self::SIGN } else { raw })
    }

    /// `negate` (5.5.1): the other sign, for a NaN too.
    #[inline]
    fn negate(bits: Self::Bits) -> Self::Bits {
        Self::truncate(bits.into() ^ Self::SIGN)
    }

    /// `abs` (5.5.1): a positive sign, for a NaN too.
    #[inline]
    fn abs(bits: Self::Bits) -> Self::Bits {
        Self::truncate(bits.into() & !Self::SIGN)
    }

    /// `copySign` (5.5.1): a value with the sign of another.
    #[inline]
    fn copy_sign(bits: Self::Bits, sign: Self::Bits) -> Self::Bits {
        Self::truncate(bits.into() & !Self::SIGN | sign.into() & Self::SIGN)
    }

    /// `isSignMinus` (5.7.2).
    #[inline]
    fn is_negative(bits: Self::Bits) -> bool {
        bits.into() & Self::SIGN != 0
    }

    /// 1.0.
    #[inline]
    fn one() -> Self::Bits {
        Self::join(false, Self::BIAS as u32, 1 << 63)
    }
}

impl Format for f32 {
    type Bits = u32;
    const EXPONENT_BITS: u32 = 8;
    const PRECISION: u32 = 24;
    const EXPLICIT: bool = false;

    #[inline]
    fn truncate(raw: u128) -> u32 {
        raw as u32
    }
}

impl Format for f64 {
    type Bits = u64;
    const EXPONENT_BITS: u32 = 11;
    const PRECISION: u32 = 53;
    const EXPLICIT: bool = false;

    #[inline]
    fn truncate(raw: u128) -> u64 {
        raw as u64
    }
}

/// The x87's double extended precision, 80 bits: the sign and exponent are at bits 79:64, the significand with its first
/// digit at 63:0.
///
/// Encodings whose first digit contradicts the exponent (Intel SDM, volume 1, 8.2.2, "Unsupported Double Extended-Precision
/// Floating-Point Encodings and Pseudo-Denormals") are [`Class::Unsupported`](crate::Class::Unsupported); a
/// pseudo-denormal is a subnormal number.
#[derive(Clone, Copy, Debug)]
pub struct Extended;

impl Format for Extended {
    type Bits = u128;
    const EXPONENT_BITS: u32 = 15;
    const PRECISION: u32 = 64;
    const EXPLICIT: bool = true;

    #[inline]
    fn truncate(raw: u128) -> u128 {
        raw & ((1 << 80) - 1)
    }
}

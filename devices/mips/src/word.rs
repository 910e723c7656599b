//! The width of general registers and of addresses: what the CPU is written over, once for both.

use std::fmt::{Debug, LowerHex};
use std::ops::{BitAnd, BitOr, BitXor, Not};

use solderless_model::State;

/// The value of a general register: 32 bits, or 64. Instructions on 32 bits keep theirs sign-extended.
pub trait Word:
    State
    + Copy
    + Eq
    + Ord
    + Default
    + Debug
    + LowerHex
    + Into<u64>
    + From<u32>
    + From<bool>
    + BitAnd<Output = Self>
    + BitOr<Output = Self>
    + BitXor<Output = Self>
    + Not<Output = Self>
    + 'static
{
    /// Registers have 64 bits.
    const WIDE: bool;
    /// The same bits as a number with a sign.
    type Signed: Copy + Ord + Default;

    /// 32 bits, with their sign above them.
    fn signed(low: u32) -> Self;
    /// The lower bits of 64.
    fn cut(value: u64) -> Self;
    /// The lower 32 bits.
    fn low(self) -> u32;
    fn cast_signed(self) -> Self::Signed;
    fn wrapping_add(self, other: Self) -> Self;
    fn wrapping_sub(self, other: Self) -> Self;

    /// Whether it is zero.
    #[inline(always)]
    fn is_zero(self) -> bool {
        self == Self::default()
    }

    /// The highest bit.
    #[inline(always)]
    fn is_negative(self) -> bool {
        self.cast_signed() < Self::Signed::default()
    }

    /// The sum with a number that has a sign.
    #[inline(always)]
    fn offset(self, by: u32) -> Self {
        self.wrapping_add(Self::signed(by))
    }
}

macro_rules! word {
    ($word:ident, $signed:ident, $wide:literal, |$low:ident| $extended:expr) => {
        impl Word for $word {
            const WIDE: bool = $wide;
            type Signed = $signed;

            #[inline(always)]
            fn signed($low: u32) -> Self {
                $extended
            }
            #[inline(always)]
            fn cut(value: u64) -> Self {
                value as Self
            }
            #[inline(always)]
            fn low(self) -> u32 {
                self as u32
            }
            #[inline(always)]
            fn cast_signed(self) -> $signed {
                <$word>::cast_signed(self)
            }
            #[inline(always)]
            fn wrapping_add(self, other: Self) -> Self {
                <$word>::wrapping_add(self, other)
            }
            #[inline(always)]
            fn wrapping_sub(self, other: Self) -> Self {
                <$word>::wrapping_sub(self, other)
            }
        }
    };
}

word!(u32, i32, false, |low| low);
word!(u64, i64, true, |low| low.cast_signed() as Self);

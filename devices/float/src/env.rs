//! What an operation depends on besides its operands, and what it raises.

use std::ops::{BitAnd, BitOr, BitOrAssign};

use crate::policy::Policy;

/// A rounding-direction attribute (IEEE 754-2019, 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// `roundTiesToEven`: to the nearest number, a tie to the one with an even significand.
    Nearest,
    /// `roundTiesToAway`: to the nearest number, a tie to the one with the larger magnitude.
    NearestAway,
    /// `roundTowardZero`.
    Zero,
    /// `roundTowardPositive`.
    Up,
    /// `roundTowardNegative`.
    Down,
}

/// How many digits a result has at most: the x87's precision control (Intel SDM, volume 1, 8.1.5.2).
///
/// It holds for the addition, subtraction, multiplication, division and square root. The range of exponents stays that of the
/// format. What is not below the format's own precision has no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// 24 digits.
    Single,
    /// 53 digits.
    Double,
    /// 64 digits: those of the format.
    Extended,
}

impl Precision {
    pub(crate) const fn digits(self) -> u32 {
        match self {
            Self::Single => 24,
            Self::Double => 53,
            Self::Extended => 64,
        }
    }
}

/// What an operation raises: the exceptions of IEEE 754-2019, clause 7, and two facts that x86 tells of.
///
/// An operation says everything that it met; what an architecture's instruction does not raise, the caller leaves out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u8);

impl Flags {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Inexact (7.6): the result is not the exact one.
    pub const INEXACT: Self = Self(1 << 0);
    /// Underflow (7.5): the result is tiny and inexact, or tiny where [`Env::traps_underflow`] says so.
    pub const UNDERFLOW: Self = Self(1 << 1);
    /// Overflow (7.4): the rounded result is above the largest finite number.
    pub const OVERFLOW: Self = Self(1 << 2);
    /// Division by zero (7.3): an exact infinity from finite operands.
    pub const DIVIDE_BY_ZERO: Self = Self(1 << 3);
    /// Invalid operation (7.2): there is no usefully definable result.
    pub const INVALID: Self = Self(1 << 4);
    /// An operand is a subnormal number that was not flushed, and no operand is a NaN, the operation neither invalid nor a
    /// division by zero: x86's denormal-operand exception (Intel SDM, volume 1, 4.9.1.2 and 4.9.2).
    pub const DENORMAL: Self = Self(1 << 5);
    /// The magnitude of the result is above the exact one: the x87's C1 (Intel SDM, volume 1, 8.1.3.2).
    pub const ROUNDED_UP: Self = Self(1 << 6);
    /// The five exceptions of the standard. Their bits, from 0, are inexact, underflow, overflow, division by zero, invalid: those
    /// of MIPS's FCSR and RISC-V's fflags.
    pub const IEEE: Self = Self(0x1f);

    /// All of them as a number.
    #[inline]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether any of `flags` is among them.
    #[inline]
    pub const fn has(self, flags: Self) -> bool {
        self.0 & flags.0 != 0
    }

    pub(crate) const fn only_if(self, condition: bool) -> Self {
        if condition { self } else { Self::NONE }
    }
}

impl BitOr for Flags {
    type Output = Self;

    #[inline]
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Flags {
    #[inline]
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl BitAnd for Flags {
    type Output = Self;

    #[inline]
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

/// A result, and what it raises.
pub type Outcome<T> = (T, Flags);

/// What an operation depends on besides its operands.
#[derive(Clone, Copy, Debug)]
pub struct Env {
    /// The rounding mode.
    pub rounding: Rounding,
    /// The precision of results.
    pub precision: Precision,
    /// Whether subnormal operands count as zeros of their sign, and raise nothing: x86's DAZ, MIPS's FS.
    pub flush_inputs: bool,
    /// Whether tiny results become zeros of their sign, and raise underflow and inexact: x86's FTZ, MIPS's FS.
    pub flush_results: bool,
    /// Whether underflow traps: then a tiny result raises it even if exact (7.5, alternate exception handling).
    pub traps_underflow: bool,
    /// Whether a result that is too large has its exponent made smaller, and one that is tiny made larger, by three times two to
    /// the power of the exponent's bits less two, for who handles the exception: the x87 with overflow or underflow unmasked
    /// (IEEE 754-1985, 7.3 and 7.4). Overflow and underflow.
    pub wraps: (bool, bool),
    /// What the architecture has decided.
    pub policy: &'static Policy,
}

impl Env {
    /// Rounding to nearest, all digits, subnormals as numbers, no trap.
    pub const fn new(policy: &'static Policy) -> Self {
        Self {
            rounding: Rounding::Nearest,
            precision: Precision::Extended,
            flush_inputs: false,
            flush_results: false,
            traps_underflow: false,
            wraps: (false, false),
            policy,
        }
    }
}

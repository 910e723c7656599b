//! What IEEE 754 leaves to an architecture.

use crate::env::Flags;
use crate::format::Format;
use crate::unpacked::{Class, Unpacked};

/// What IEEE 754 leaves to an architecture. An architecture's constant says it once for all operations.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Whether the first bit of a NaN's fraction is set in a signalling one, and not in a quiet one as IEEE 754-2019, 6.2.1,
    /// recommends: MIPS before FCSR.NAN2008 (MD00083, "Signaling Non-Number (SNaN)").
    pub signaling_bit: bool,
    /// The sign, and the significand from its first digit at bit 63 on, of the NaN that an invalid operation gives. A shorter
    /// format drops the end.
    pub default_nan: (bool, u64),
    /// Which NaN operand a result comes from.
    pub propagation: Propagation,
    /// Whether infinity times zero, plus a quiet NaN, is invalid and gives the default NaN (RISC-V); else it is that NaN, and
    /// raises nothing (x86). IEEE 754-2019, 7.2 c, leaves it open.
    pub invalid_product_before_nan: bool,
    /// The integer for what does not fit.
    pub unfit: Unfit,
    /// When a result counts as tiny.
    pub tininess: Tininess,
}

/// Which NaN the result of an operation with NaN operands is (IEEE 754-2019, 6.2.3).
///
/// A signalling one that becomes a result is made quiet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// The default NaN always: RISC-V (the unprivileged ISA, "NaN Generation and Propagation").
    Default,
    /// The default NaN if one signals, else the first: MIPS before FCSR.NAN2008 (MD00083, "Invalid Operation Exception").
    DefaultIfSignaling,
    /// The first: x86's SSE and FMA (Intel SDM, volume 1, 4.8.3.5, table 4-7, and 14.5.2).
    First,
    /// The first that signals, else the first: MIPS with FCSR.NAN2008.
    SignalingFirst,
    /// A quiet one rather than one that signals; of two alike the one with the larger significand, then the positive one: x87
    /// (Intel SDM, volume 1, table 4-7).
    LargerSignificand,
}

/// The integer for a NaN, an infinity and a number out of range, all of which are invalid (IEEE 754-2019, 5.8 and 7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// The largest: MIPS before FCSR.NAN2008 (MD00086, CVT.W.fmt).
    Largest,
    /// The one nearest, for a NaN the largest: RISC-V (the unprivileged ISA, "Domains of float-to-integer conversions").
    Nearest,
    /// The one nearest, for a NaN zero: MIPS with FCSR.NAN2008 (MD00086, CVT.W.fmt).
    NearestOrZero,
    /// Of signed integers the smallest, of unsigned ones the largest: x86's integer indefinite (Intel SDM, volume 1, 4.8.3.7
    /// and, of AVX-512, VCVTSD2USI).
    Indefinite,
}

/// When a result is tiny (IEEE 754-2019, 7.5), which has to do with when underflow is raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tininess {
    /// If the exact result is below the smallest normal number.
    BeforeRounding,
    /// If it still is after rounding as though exponents had no limit: MIPS (MD00083, "Underflow Exception"), RISC-V
    /// (the unprivileged ISA, "F" extension) and x86 (Intel SDM, volume 1, 4.9.1.5).
    AfterRounding,
}

impl Policy {
    const QUIET_BIT: u64 = 1 << 62;

    /// Whether a NaN with this significand signals.
    pub(crate) fn signals(&self, sig: u64) -> bool {
        (sig & Self::QUIET_BIT != 0) == self.signaling_bit
    }

    /// The NaN that an invalid operation gives.
    #[inline]
    pub fn default_nan_of<F: Format>(&self) -> F::Bits {
        let (negative, sig) = self.default_nan;
        F::join(negative, F::TOP_EXPONENT, sig)
    }

    pub(crate) fn default_nan(&self) -> Unpacked {
        let (negative, sig) = self.default_nan;
        Unpacked {
            negative,
            class: Class::QuietNan,
            exp: 0,
            sig,
        }
    }

    /// The NaN of an operation with these operands, if one of them is, and whether that is invalid.
    #[inline]
    pub(crate) fn nan(&self, operands: &[Unpacked]) -> Option<(Unpacked, Flags)> {
        let first = operands.iter().find(|x| !x.class.is_number())?;
        Some(self.nan_of(operands, first))
    }

    /// As [`Policy::nan`], of operands of which this is the first that is no number.
    #[cold]
    fn nan_of(&self, operands: &[Unpacked], first: &Unpacked) -> (Unpacked, Flags) {
        let signaling = || operands.iter().find(|x| x.class == Class::SignalingNan);
        let quiet = || operands.iter().find(|x| x.class == Class::QuietNan);
        if operands.iter().any(|x| x.class == Class::Unsupported) {
            return (self.default_nan(), Flags::INVALID);
        }
        let flags = Flags::INVALID.only_if(signaling().is_some());
        let chosen = match self.propagation {
            Propagation::Default => return (self.default_nan(), flags),
            Propagation::DefaultIfSignaling | Propagation::SignalingFirst => {
                signaling().unwrap_or(first)
            }
            Propagation::First => first,
            Propagation::LargerSignificand => {
                let class = quiet().unwrap_or(first).class;
                operands
                    .iter()
                    .filter(|x| x.class == class)
                    .max_by_key(|x| (x.sig, !x.negative))
                    .unwrap_or(first)
            }
        };
        (self.quieted(*chosen), flags)
    }

    fn quieted(&self, nan: Unpacked) -> Unpacked {
        if nan.class == Class::QuietNan {
            nan
        } else if self.signaling_bit || self.propagation == Propagation::DefaultIfSignaling {
            self.default_nan()
        } else {
            Unpacked {
                class: Class::QuietNan,
                sig: nan.sig | Self::QUIET_BIT,
                ..nan
            }
        }
    }
}

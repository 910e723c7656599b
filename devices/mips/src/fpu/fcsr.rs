//! The FPU control and status register and the three registers that show parts of it.

use solderless_float::{Flags, Rounding};

/// The operation gave a result that is not the exact one. A bit of a Cause, Enables or Flags field.
pub const INEXACT: u32 = 1 << 0;
/// The result is tiny: not zero, and below the smallest normal number after rounding.
pub const UNDERFLOW: u32 = 1 << 1;
/// The rounded result is above the largest finite number.
pub const OVERFLOW: u32 = 1 << 2;
/// A finite number other than zero was divided by zero.
pub const DIVIDE_BY_ZERO: u32 = 1 << 3;
/// The operands have no meaningful result under the operation.
pub const INVALID: u32 = 1 << 4;
/// Unimplemented Operation. In the Cause field only, and always enabled.
pub const UNIMPLEMENTED: u32 = 1 << 5;

const FLAGS_SHIFT: u32 = 2;
const ENABLES_SHIFT: u32 = 7;
const CAUSE_SHIFT: u32 = 12;
const RM: u32 = 0x0000_0003;
const FLAGS: u32 = 0x1f << FLAGS_SHIFT;
const ENABLES: u32 = 0x1f << ENABLES_SHIFT;
const CAUSE: u32 = 0x3f << CAUSE_SHIFT;
const FCC0: u32 = 1 << 23;
const FS: u32 = 1 << 24;
const FCC7_1: u32 = 0xfe00_0000;
/// FENR has FS at bit 2.
const FENR_FS: u32 = 1 << 2;

/// An enabled floating point exception: FCSR.Cause says which, FCSR.Flags and the destination are
/// as they were before.
///
/// The CPU answers with the Floating Point exception (ExcCode 15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FpTrap;

/// FCSR, the floating point control and status register (CP1 control register 31).
///
/// Source: MIPS32 Architecture, volume I-A (MD00083), "Floating Point Control and Status Register".
///
/// | bits | field | |
/// |---|---|---|
/// | 31:25, 23 | FCC7..FCC1, FCC0 | condition codes |
/// | 24 | FS | subnormal operands and tiny results become zero |
/// | 17:12 | Cause | E V Z O U I: what the last arithmetic operation raised |
/// | 11:7 | Enables | V Z O U I: what traps |
/// | 6:2 | Flags | V Z O U I: what was raised without a trap since software cleared it |
/// | 1:0 | RM | rounding mode: 0 to nearest, 1 toward zero, 2 up, 3 down |
///
/// The other bits read as zero and ignore writes: these cores have the legacy NaN encoding only (no
/// NaN2008, no ABS2008).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Fcsr(pub u32);

impl Fcsr {
    /// The bits that a CTC1 can change.
    pub const WRITABLE: u32 = FCC7_1 | FS | FCC0 | CAUSE | ENABLES | FLAGS | RM;

    /// The rounding mode.
    #[inline]
    pub fn rm(self) -> Rounding {
        match self.0 & RM {
            0 => Rounding::Nearest,
            1 => Rounding::Zero,
            2 => Rounding::Up,
            _ => Rounding::Down,
        }
    }

    /// Flush to zero: subnormal operands and tiny results become zero.
    #[inline]
    pub fn fs(self) -> bool {
        self.0 & FS != 0
    }

    /// The Cause field, six bits from [`INEXACT`] to [`UNIMPLEMENTED`].
    #[inline]
    pub fn cause(self) -> u32 {
        (self.0 & CAUSE) >> CAUSE_SHIFT
    }

    /// The Enables field, five bits from [`INEXACT`] to [`INVALID`].
    #[inline]
    pub fn enables(self) -> u32 {
        (self.0 & ENABLES) >> ENABLES_SHIFT
    }

    /// The Flags field, five bits from [`INEXACT`] to [`INVALID`].
    #[inline]
    pub fn flags(self) -> u32 {
        (self.0 & FLAGS) >> FLAGS_SHIFT
    }

    /// Condition code `n`, 0 to 7 (of a larger `n` the low three bits count).
    #[inline]
    pub fn cc(self, n: u32) -> bool {
        self.0 & Self::cc_bit(n) != 0
    }

    /// Sets condition code `n`, 0 to 7 (of a larger `n` the low three bits count).
    #[inline]
    pub fn set_cc(&mut self, n: u32, value: bool) {
        let bit = Self::cc_bit(n);
        self.0 = if value { self.0 | bit } else { self.0 & !bit };
    }

    #[inline]
    pub(crate) fn cc_bit(n: u32) -> u32 {
        match n & 7 {
            0 => FCC0,
            n => 1 << (24 + n),
        }
    }

    /// CTC1 to FCSR: writes the writable bits.
    ///
    /// # Errors
    ///
    /// The value has a Cause bit and its Enable, or Cause.E. It is written all the same.
    pub fn write(&mut self, value: u32) -> Result<(), FpTrap> {
        self.replace(Self::WRITABLE, value)
    }

    /// FCCR (CP1 control register 25): the condition codes, at bits 7:0.
    pub fn fccr(self) -> u32 {
        (self.0 & FCC7_1) >> 24 | (self.0 & FCC0) >> 23
    }

    /// CTC1 to FCCR: writes the condition codes.
    pub fn write_fccr(&mut self, value: u32) {
        let bits = (value & 0xfe) << 24 | (value & 1) << 23;
        self.0 = self.0 & !(FCC7_1 | FCC0) | bits;
    }

    /// FEXR (CP1 control register 26): Cause and Flags, at their places in FCSR.
    pub fn fexr(self) -> u32 {
        self.0 & (CAUSE | FLAGS)
    }

    /// CTC1 to FEXR: writes Cause and Flags.
    ///
    /// # Errors
    ///
    /// As for [`Fcsr::write`].
    pub fn write_fexr(&mut self, value: u32) -> Result<(), FpTrap> {
        self.replace(CAUSE | FLAGS, value)
    }

    /// FENR (CP1 control register 28): Enables and RM at their places in FCSR, FS at bit 2.
    pub fn fenr(self) -> u32 {
        let fs = if self.fs() { FENR_FS } else { 0 };
        self.0 & (ENABLES | RM) | fs
    }

    /// CTC1 to FENR: writes Enables, RM and FS.
    ///
    /// # Errors
    ///
    /// As for [`Fcsr::write`].
    pub fn write_fenr(&mut self, value: u32) -> Result<(), FpTrap> {
        let fs = if value & FENR_FS != 0 { FS } else { 0 };
        self.replace(ENABLES | RM | FS, value & (ENABLES | RM) | fs)
    }

    fn replace(&mut self, mask: u32, value: u32) -> Result<(), FpTrap> {
        self.0 = self.0 & !mask | value & mask;
        if self.cause() & (self.enables() | UNIMPLEMENTED) != 0 {
            Err(FpTrap)
        } else {
            Ok(())
        }
    }

    /// Ends an arithmetic operation: its exceptions replace Cause, and are added to Flags unless
    /// one of them traps.
    #[inline]
    pub(super) fn raise(&mut self, flags: Flags) -> Result<(), FpTrap> {
        // They are at the same places there.
        let exceptions = u32::from((flags & Flags::IEEE).bits());
        self.0 = self.0 & !CAUSE | exceptions << CAUSE_SHIFT;
        if exceptions & self.enables() != 0 {
            return Err(FpTrap);
        }
        self.0 |= exceptions << FLAGS_SHIFT;
        Ok(())
    }

    /// Ends an arithmetic operation that raised nothing, or Inexact where that does not trap.
    #[inline]
    pub(super) fn set_inexact(&mut self, inexact: bool) {
        let bits =
            (INEXACT << CAUSE_SHIFT | INEXACT << FLAGS_SHIFT) & u32::from(inexact).wrapping_neg();
        self.0 = self.0 & !CAUSE | bits;
    }

    /// Whether Inexact traps.
    #[inline]
    pub(super) fn traps_inexact(self) -> bool {
        self.0 & INEXACT << ENABLES_SHIFT != 0
    }

    /// Whether an operation that rounds as the host does, and raises at most Inexact, changes nothing but Cause: Inexact
    /// does not trap, its flag is set, and subnormals are kept.
    #[inline]
    pub(crate) fn inexact_is_noted(self) -> bool {
        self.0 & Self::NOTED_MASK == Self::NOTED
    }

    /// The bits that [`Fcsr::inexact_is_noted`] looks at.
    pub(crate) const NOTED_MASK: u32 = RM | FS | INEXACT << ENABLES_SHIFT | Self::NOTED;
    /// What they are then.
    pub(crate) const NOTED: u32 = INEXACT << FLAGS_SHIFT;
    /// The Cause field.
    pub(crate) const CAUSE: u32 = CAUSE;

    /// Whether an operation that rounds as the host does, and raises at most Inexact, can leave it
    /// to the host.
    #[inline]
    pub(super) fn rounds_as_host(self) -> bool {
        self.0 & (RM | INEXACT << ENABLES_SHIFT) == 0
    }
}

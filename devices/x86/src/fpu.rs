//! The registers of the x87 unit, of MMX and of SSE, and what they raise.
//!
//! Intel SDM, volume 1, chapters 8 to 10.

use solderless_float::{Class, Env, Extended, Flags, Format, Policy, Precision, Propagation};
use solderless_float::{Rounding, Tininess, Unfit};
use solderless_model::State;

/// Bits of the status word; the lowest six are the exceptions, in the same places in MXCSR.
pub mod status {
    pub const IE: u16 = 1;
    pub const DE: u16 = 1 << 1;
    pub const ZE: u16 = 1 << 2;
    pub const OE: u16 = 1 << 3;
    pub const UE: u16 = 1 << 4;
    pub const PE: u16 = 1 << 5;
    pub const EXCEPTIONS: u16 = 0x3f;
    /// The stack has overflowed or was empty.
    pub const SF: u16 = 1 << 6;
    /// An exception is pending.
    pub const ES: u16 = 1 << 7;
    pub const C0: u16 = 1 << 8;
    pub const C1: u16 = 1 << 9;
    pub const C2: u16 = 1 << 10;
    pub const TOP: u16 = 7 << 11;
    pub const C3: u16 = 1 << 14;
    pub const BUSY: u16 = 1 << 15;
}

/// Bits of MXCSR.
pub mod mxcsr {
    /// Subnormal operands are zeros.
    pub const DAZ: u32 = 1 << 6;
    /// Tiny results are zeros.
    pub const FTZ: u32 = 1 << 15;
    /// Those that there are.
    pub const ALL: u32 = 0xffff;
}

/// SSE's NaNs and the like.
pub const SSE: Policy = Policy {
    signaling_bit: false,
    default_nan: (true, 3 << 62),
    propagation: Propagation::First,
    invalid_product_before_nan: false,
    unfit: Unfit::Indefinite,
    tininess: Tininess::AfterRounding,
};

/// The x87's.
pub const X87: Policy = Policy {
    propagation: Propagation::LargerSignificand,
    ..SSE
};

/// The rounding modes by their number.
const ROUNDING: [Rounding; 4] = [
    Rounding::Nearest,
    Rounding::Down,
    Rounding::Up,
    Rounding::Zero,
];

/// The rounding mode with a number.
pub fn rounding(number: u32) -> Rounding {
    ROUNDING[number as usize & 3]
}

/// Exceptions as x86 has them.
pub fn exceptions(flags: Flags) -> u16 {
    let bit = |flag, bit: u16| if flags.has(flag) { bit } else { 0 };
    bit(Flags::INVALID, status::IE)
        | bit(Flags::DENORMAL, status::DE)
        | bit(Flags::DIVIDE_BY_ZERO, status::ZE)
        | bit(Flags::OVERFLOW, status::OE)
        | bit(Flags::UNDERFLOW, status::UE)
        | bit(Flags::INEXACT, status::PE)
}

/// A register of the x87 unit. MMX has the significand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, State)]
pub struct Float80 {
    pub significand: u64,
    /// The sign and the exponent.
    pub exponent: u16,
}

impl From<u128> for Float80 {
    fn from(bits: u128) -> Self {
        Self {
            significand: bits as u64,
            exponent: (bits >> 64) as u16,
        }
    }
}

impl From<Float80> for u128 {
    fn from(value: Float80) -> Self {
        Self::from(value.exponent) << 64 | Self::from(value.significand)
    }
}

/// All of these registers.
#[derive(Debug, Clone, State)]
pub struct Fpu {
    /// R0 to R7: the top of the stack is one of them.
    pub r: [Float80; 8],
    pub control: u16,
    pub status: u16,
    /// Registers that are not empty, a bit each.
    pub used: u8,
    /// The last instruction that is no control instruction, and its operand in memory.
    pub opcode: u16,
    pub ip: u64,
    pub cs: u16,
    pub dp: u64,
    pub ds: u16,
    /// XMM0 to XMM15, the low half of each first.
    pub xmm: [[u64; 2]; 16],
    pub mxcsr: u32,
}

impl Fpu {
    /// As it comes out of reset (Intel SDM, volume 3, table 9-1).
    pub fn new() -> Self {
        Self {
            r: [Float80::default(); 8],
            control: 0x40,
            status: 0,
            used: 0xff,
            opcode: 0,
            ip: 0,
            cs: 0,
            dp: 0,
            ds: 0,
            xmm: [[0; 2]; 16],
            mxcsr: 0x1f80,
        }
    }

    /// FNINIT.
    pub fn init(&mut self) {
        *self = Self {
            control: 0x37f,
            used: 0,
            r: self.r,
            xmm: self.xmm,
            mxcsr: self.mxcsr,
            ..Self::new()
        };
    }

    pub fn top(&self) -> u8 {
        (self.status >> 11 & 7) as u8
    }

    pub fn set_top(&mut self, top: u8) {
        self.status = self.status & !status::TOP | u16::from(top & 7) << 11;
    }

    /// The place of a register of the stack.
    fn place(&self, n: u8) -> usize {
        usize::from(self.top().wrapping_add(n) & 7)
    }

    pub fn is_empty(&self, n: u8) -> bool {
        self.used >> self.place(n) & 1 == 0
    }

    pub fn st(&self, n: u8) -> u128 {
        self.r[self.place(n)].into()
    }

    pub fn set_st(&mut self, n: u8, value: u128) {
        let place = self.place(n);
        self.r[place] = value.into();
        self.used |= 1 << place;
    }

    pub fn free(&mut self, n: u8) {
        self.used &= !(1 << self.place(n));
    }

    pub fn pop(&mut self) {
        self.free(0);
        self.set_top(self.top().wrapping_add(1));
    }

    /// The operands' registers are MMX's from now on.
    pub fn enter_mmx(&mut self) {
        self.set_top(0);
        self.used = 0xff;
    }

    pub fn mm(&self, n: u8) -> u64 {
        self.r[usize::from(n & 7)].significand
    }

    pub fn set_mm(&mut self, n: u8, value: u64) {
        self.r[usize::from(n & 7)] = Float80 {
            significand: value,
            exponent: 0xffff,
        };
    }

    #[inline(always)]
    pub fn x(&self, n: u8) -> u128 {
        let [low, high] = self.xmm[usize::from(n & 15)];
        u128::from(high) << 64 | u128::from(low)
    }

    #[inline(always)]
    pub fn set_x(&mut self, n: u8, value: u128) {
        self.xmm[usize::from(n & 15)] = [value as u64, (value >> 64) as u64];
    }

    /// Sets the control word, and with it what is pending.
    pub fn set_control(&mut self, control: u16) {
        self.control = control & 0x1f7f | 0x40;
        self.summarize();
    }

    /// An exception that is not masked is pending.
    pub fn summarize(&mut self) {
        let pending = self.status & !self.control & status::EXCEPTIONS != 0;
        self.status &= !(status::ES | status::BUSY);
        if pending {
            self.status |= status::ES | status::BUSY;
        }
    }

    /// Notes exceptions; says whether one of them is not masked.
    pub fn raise(&mut self, exceptions: u16) -> bool {
        self.status |= exceptions;
        self.summarize();
        exceptions & !self.control & status::EXCEPTIONS != 0
    }

    /// The tag word, with what is in each register.
    pub fn tags(&self) -> u16 {
        let tag = |place: usize| {
            if self.used >> place & 1 == 0 {
                return 3;
            }
            match X87.class::<Extended>(self.r[place].into()) {
                Class::Normal => 0,
                Class::Zero => 1,
                _ => 2,
            }
        };
        (0..8).fold(0, |all, place| all | tag(place) << (2 * place))
    }

    /// Sets them; what is not empty is as its register says.
    pub fn set_tags(&mut self, tags: u16) {
        self.used = (0..8).fold(0, |all, place| {
            all | u8::from(tags >> (2 * place) & 3 != 3) << place
        });
    }

    /// What x87 instructions compute with.
    pub fn env(&self) -> Env {
        Env {
            rounding: rounding(u32::from(self.control) >> 10),
            precision: match self.control >> 8 & 3 {
                0 => Precision::Single,
                2 => Precision::Double,
                _ => Precision::Extended,
            },
            traps_underflow: self.control & status::UE == 0,
            ..Env::new(&X87)
        }
    }

    /// What SSE instructions compute with.
    #[inline]
    pub fn sse_env(&self) -> Env {
        let masked = self.mxcsr >> 7 & u32::from(status::UE) != 0;
        Env {
            rounding: rounding(self.mxcsr >> 13),
            flush_inputs: self.mxcsr & mxcsr::DAZ != 0,
            flush_results: self.mxcsr & mxcsr::FTZ != 0 && masked,
            traps_underflow: !masked,
            ..Env::new(&SSE)
        }
    }

    /// Notes the exceptions of an SSE instruction; says whether one of them is not masked, so that there is no result.
    pub fn raise_sse(&mut self, exceptions: u16) -> bool {
        let unmasked = |exceptions: u16| u32::from(exceptions) & !(self.mxcsr >> 7) != 0;
        // What an operand raises comes before what a result does.
        let before = exceptions & (status::IE | status::DE | status::ZE);
        let all = if unmasked(before) { before } else { exceptions };
        let raises = unmasked(all);
        self.mxcsr |= u32::from(all);
        raises
    }
}

/// The NaN that an invalid operation gives.
pub fn indefinite() -> u128 {
    X87.default_nan_of::<Extended>()
}

/// 1.0.
pub fn one() -> u128 {
    Extended::one()
}

//! Floating point: the F and D extensions (the Unprivileged ISA, chapters 11 and 12).

use solderless_engine::Exit;
use solderless_float::host::{self, Fast, Host};
use solderless_float::{
    Class, Env, Extremum, Flags, Integer, Outcome, Policy, Propagation, Relation, Rounding,
    Tininess, Unfit,
};
use solderless_model::Cx;

use super::{Handler, Op, next};
use crate::core::Core;
use crate::csr::status;

/// What RISC-V has decided ("NaN Generation and Propagation", "Underflow", table "Domains of float-to-integer conversions").
const POLICY: Policy = Policy {
    signaling_bit: false,
    default_nan: (false, 3 << 62),
    propagation: Propagation::Default,
    invalid_product_before_nan: true,
    unfit: Unfit::Nearest,
    tininess: Tininess::AfterRounding,
};

/// A floating point operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FpOp {
    Madd,
    Msub,
    Nmsub,
    Nmadd,
    Add,
    Sub,
    Mul,
    Div,
    Sqrt,
    Sgnj,
    Sgnjn,
    Sgnjx,
    Min,
    Max,
    Eq,
    Lt,
    Le,
    /// From the other format.
    CvtOther,
    CvtW,
    CvtWu,
    CvtL,
    CvtLu,
    CvtFromW,
    CvtFromWu,
    CvtFromL,
    CvtFromLu,
    Class,
    MvToInteger,
    MvFromInteger,
}

/// A format in registers of 64 bits.
trait Single: Host {
    type Other: Single;
    /// The value that a register holds: a NaN if what is there is not boxed.
    fn unboxed(register: u64) -> Self::Bits;
    /// How a register holds it.
    fn boxed(bits: Self::Bits) -> u64;
    /// The value of an integer register's low bits.
    fn from_low(bits: u64) -> Self::Bits;
    /// Bits as an integer register holds them.
    fn extended(bits: Self::Bits) -> u64;
}

impl Single for f32 {
    type Other = f64;
    fn unboxed(register: u64) -> u32 {
        match register >> 32 {
            0xffff_ffff => register as u32,
            _ => POLICY.default_nan_of::<f32>(),
        }
    }
    fn boxed(bits: u32) -> u64 {
        u64::MAX << 32 | u64::from(bits)
    }
    fn from_low(bits: u64) -> u32 {
        bits as u32
    }
    fn extended(bits: u32) -> u64 {
        bits as i32 as u64
    }
}

impl Single for f64 {
    type Other = f32;
    fn unboxed(register: u64) -> u64 {
        register
    }
    fn boxed(bits: u64) -> u64 {
        bits
    }
    fn from_low(bits: u64) -> u64 {
        bits
    }
    fn extended(bits: u64) -> u64 {
        bits
    }
}

impl Core {
    /// Whether floating point instructions can be used.
    #[inline(always)]
    pub fn fp_on(&self) -> bool {
        self.csr.status & status::FS != 0
    }

    /// Writes a floating point register.
    #[inline(always)]
    pub fn set_f(&mut self, register: u8, value: u64) {
        self.f[usize::from(register & 31)] = value;
        self.csr.status |= status::FS;
    }

    fn raise_flags(&mut self, flags: Flags) {
        let flags = flags.bits() & Flags::IEEE.bits();
        if flags != 0 {
            self.csr.fflags |= flags;
            self.csr.status |= status::FS;
        }
    }

    /// The rounding mode that an instruction asks for; `None` if there is none of this number.
    fn rounding(&self, op: &Op) -> Option<Rounding> {
        let mode = match op.raw >> 12 & 7 {
            7 => u32::from(self.csr.frm),
            mode => mode,
        };
        Some(match mode {
            0 => Rounding::Nearest,
            1 => Rounding::Zero,
            2 => Rounding::Down,
            3 => Rounding::Up,
            4 => Rounding::NearestAway,
            _ => return None,
        })
    }
}

fn env(rounding: Rounding) -> Env {
    Env {
        rounding,
        ..Env::new(&POLICY)
    }
}

/// What the host has computed, if it could, else what software does.
#[inline(always)]
fn quick<T>(
    rounding: Rounding,
    fast: Fast<T>,
    exact: impl FnOnce(&Env) -> Outcome<T>,
) -> Outcome<T> {
    match fast {
        Some((value, false)) => (value, Flags::NONE),
        Some((value, true)) if rounding == Rounding::Nearest => (value, Flags::INEXACT),
        _ => exact(&env(rounding)),
    }
}

/// The operands of an operation, and how it rounds.
struct Operands<F: Single> {
    rounding: Rounding,
    a: F::Bits,
    b: F::Bits,
    c: F::Bits,
    /// The integer register.
    x: u64,
}

/// What an operation gives.
enum Result<F: Single> {
    Float(F::Bits),
    Integer(u64),
}

fn execute<F: Single>(
    core: &mut Core,
    op: &Op,
    rest: &[Op],
    cx: &mut Cx<'_>,
    rounds: bool,
    operation: impl FnOnce(Operands<F>) -> (Result<F>, Flags),
) -> Exit {
    let rounding = match rounds {
        true => core.rounding(op),
        false => Some(Rounding::Nearest),
    };
    let Some(rounding) = rounding.filter(|_| core.fp_on()) else {
        return core.illegal(op);
    };
    let f = |register: u8| F::unboxed(core.f[usize::from(register & 31)]);
    let operands = Operands {
        rounding,
        a: f(op.b),
        b: f(op.c),
        c: f(op.d),
        x: core.x[op.b],
    };
    let (result, flags) = operation(operands);
    core.raise_flags(flags);
    match result {
        Result::Float(bits) => core.set_f(op.a, F::boxed(bits)),
        Result::Integer(value) => core.x[op.a] = value,
    }
    next(core, rest, cx)
}

/// Each operation once: whether it has a rounding mode, and what it gives.
macro_rules! operations {
    ($($name:ident $rounds:literal |$o:ident| $value:expr;)*) => {
        impl FpOp {
            fn of<F: Single>(self) -> Handler {
                match self {
                    $(Self::$name => |core, op, rest, cx| {
                        execute::<F>(core, op, rest, cx, $rounds, |$o| $value)
                    },)*
                    // The source has the other format.
                    Self::CvtOther => |core, op, rest, cx| {
                        let from = <F::Other as Single>::unboxed(core.f[usize::from(op.b & 31)]);
                        execute::<F>(core, op, rest, cx, true, |o| {
                            float(env(o.rounding).convert::<F::Other, F>(from))
                        })
                    },
                }
            }
        }
    };
}

fn float<F: Single>((bits, flags): Outcome<F::Bits>) -> (Result<F>, Flags) {
    (Result::Float(bits), flags)
}

fn plain<F: Single>(bits: F::Bits) -> (Result<F>, Flags) {
    (Result::Float(bits), Flags::NONE)
}

fn integer<F: Single>(value: u64) -> (Result<F>, Flags) {
    (Result::Integer(value), Flags::NONE)
}

fn to_integer<F: Single, I: Integer>(
    o: &Operands<F>,
    extend: impl FnOnce(I) -> u64,
) -> (Result<F>, Flags) {
    let fast = host::to_integer::<F, I>(o.rounding, o.a).map(|(value, inexact)| {
        let flags = if inexact { Flags::INEXACT } else { Flags::NONE };
        (value, flags)
    });
    let exact = || env(o.rounding).to_integer::<F, I>(o.a);
    let (value, flags) = fast.unwrap_or_else(exact);
    (Result::Integer(extend(value)), flags)
}

fn from_integer<F: Single, I: Integer>(rounding: Rounding, value: I) -> (Result<F>, Flags) {
    let fast = Some(host::from_integer::<I, F>(value));
    float(quick(rounding, fast, |env| env.from_integer::<I, F>(value)))
}

fn compare<F: Single>(o: &Operands<F>, signaling: bool, wanted: Relation) -> (Result<F>, Flags) {
    let (relation, flags) = match host::compare::<F>(false, o.a, o.b) {
        Some(relation) => (relation, Flags::NONE),
        None => env(Rounding::Nearest).compare::<F>(o.a, o.b, signaling),
    };
    (Result::Integer(relation.is(wanted).into()), flags)
}

/// FCLASS (table "Format of result of FCLASS instruction").
fn class<F: Single>(bits: F::Bits) -> u64 {
    let negative = F::is_negative(bits);
    1 << match (POLICY.class::<F>(bits), negative) {
        (Class::Infinity, true) => 0,
        (Class::Normal, true) => 1,
        (Class::Subnormal, true) => 2,
        (Class::Zero, true) => 3,
        (Class::Zero, false) => 4,
        (Class::Subnormal, false) => 5,
        (Class::Normal, false) => 6,
        (Class::Infinity, false) => 7,
        (Class::SignalingNan, _) => 8,
        _ => 9,
    }
}

operations! {
    Madd true |o| float(env(o.rounding).mul_add::<F>(o.a, o.b, o.c));
    Msub true |o| float(env(o.rounding).mul_add::<F>(o.a, o.b, F::negate(o.c)));
    Nmsub true |o| float(env(o.rounding).mul_add::<F>(F::negate(o.a), o.b, o.c));
    Nmadd true |o| float(env(o.rounding).mul_add::<F>(F::negate(o.a), o.b, F::negate(o.c)));
    Add true |o| float(quick(o.rounding, nearest(&o, host::add::<F>), |env| env.add::<F>(o.a, o.b)));
    Sub true |o| float(quick(o.rounding, nearest(&o, host::sub::<F>), |env| env.sub::<F>(o.a, o.b)));
    Mul true |o| float(quick(o.rounding, nearest(&o, host::mul::<F>), |env| env.mul::<F>(o.a, o.b)));
    Div true |o| float(quick(o.rounding, nearest(&o, host::div::<F>), |env| env.div::<F>(o.a, o.b)));
    Sqrt true |o| float(quick(
        o.rounding,
        nearest(&o, |a, _| host::sqrt::<F>(a)),
        |env| env.sqrt::<F>(o.a),
    ));
    Sgnj false |o| plain(F::copy_sign(o.a, o.b));
    Sgnjn false |o| plain(F::copy_sign(o.a, F::negate(o.b)));
    Sgnjx false |o| plain(match F::is_negative(o.b) {
        true => F::negate(o.a),
        false => o.a,
    });
    Min false |o| float(env(o.rounding).min::<F>(Extremum::Number, o.a, o.b));
    Max false |o| float(env(o.rounding).max::<F>(Extremum::Number, o.a, o.b));
    Eq false |o| compare(&o, false, Relation::EQUAL);
    Lt false |o| compare(&o, true, Relation::LESS);
    Le false |o| compare(&o, true, Relation::LESS | Relation::EQUAL);
    CvtW true |o| to_integer(&o, |value: i32| value as u64);
    CvtWu true |o| to_integer(&o, |value: u32| value as i32 as u64);
    CvtL true |o| to_integer(&o, |value: i64| value as u64);
    CvtLu true |o| to_integer(&o, |value: u64| value);
    CvtFromW true |o| from_integer(o.rounding, o.x as i32);
    CvtFromWu true |o| from_integer(o.rounding, o.x as u32);
    CvtFromL true |o| from_integer(o.rounding, o.x as i64);
    CvtFromLu true |o| from_integer(o.rounding, o.x);
    Class false |o| integer(class::<F>(o.a));
    MvFromInteger false |o| plain(F::from_low(o.x));
    // Of what is not boxed, too, the low bits.
    MvToInteger false |o| integer(F::extended(o.a));
}

/// What the host computes, if results are rounded to the nearest number: elsewhere even a zero can have another sign.
#[inline(always)]
fn nearest<F: Single>(
    o: &Operands<F>,
    compute: impl FnOnce(F::Bits, F::Bits) -> Fast<F::Bits>,
) -> Fast<F::Bits> {
    match o.rounding {
        Rounding::Nearest => compute(o.a, o.b),
        _ => None,
    }
}

impl FpOp {
    pub fn handler(self, double: bool) -> Handler {
        match (self, double) {
            // The low bits, whatever the others are.
            (Self::MvToInteger, false) => |core, op, rest, cx| {
                let low = core.f[usize::from(op.b & 31)] as i32;
                execute::<f32>(core, op, rest, cx, false, |_| integer(low as u64))
            },
            (op, true) => op.of::<f64>(),
            (op, false) => op.of::<f32>(),
        }
    }
}

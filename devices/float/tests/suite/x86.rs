//! An x86 processor as the witness: results, flags and NaNs of SSE, FMA, AVX-512 and the x87.

use std::arch::asm;
use std::fmt::Debug;

use proptest::prelude::*;
use solderless_float::{
    Class, Env, Extended, Extremum, Flags, Format, Outcome, Policy, Precision, Propagation,
    Quotient, Relation, Rounding, Tininess, Unfit,
};

use crate::operands::{DIRECTIONS, cases, pair, shortened, specials, value};

/// SSE's and AVX's policy.
const SSE: Policy = Policy {
    signaling_bit: false,
    default_nan: (true, 3 << 62),
    propagation: Propagation::First,
    invalid_product_before_nan: false,
    unfit: Unfit::Indefinite,
    tininess: Tininess::AfterRounding,
};

/// The x87's policy.
const X87: Policy = Policy {
    propagation: Propagation::LargerSignificand,
    ..SSE
};

/// MXCSR and the x87's registers have their exception flags at the same bits.
fn flags(bits: u32) -> Flags {
    [
        Flags::INVALID,
        Flags::DENORMAL,
        Flags::DIVIDE_BY_ZERO,
        Flags::OVERFLOW,
        Flags::UNDERFLOW,
        Flags::INEXACT,
    ]
    .into_iter()
    .enumerate()
    .filter(|(bit, _)| bits >> bit & 1 != 0)
    .fold(Flags::NONE, |all, (_, flag)| all | flag)
}

/// The exceptions of x86.
fn exceptions<T>((value, flags): Outcome<T>) -> (T, Flags) {
    (value, flags & (Flags::IEEE | Flags::DENORMAL))
}

/// Without DENORMAL, which the instruction does not raise.
fn but_denormal<T>((value, flags): Outcome<T>) -> (T, Flags) {
    (value, flags & Flags::IEEE)
}

fn rounding_control(rounding: Rounding) -> u32 {
    DIRECTIONS
        .iter()
        .position(|&r| r == rounding)
        .expect("a mode of x86") as u32
}

/// What MXCSR says, with all exceptions masked.
fn mxcsr(env: &Env) -> u32 {
    0x1f80
        | u32::from(env.flush_inputs) << 6
        | u32::from(env.flush_results) << 15
        | rounding_control(env.rounding) << 13
}

fn sse_env() -> impl Strategy<Value = Env> {
    (
        prop::sample::select(&DIRECTIONS),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(rounding, flush_inputs, flush_results)| Env {
            rounding,
            flush_inputs,
            flush_results,
            ..Env::new(&SSE)
        })
}

/// The functions of instructions that change their first operand: of MXCSR and the operands, they give the result and the
/// flags.
macro_rules! sse_changing {
    ($($name:ident($a:ident: $type:ty $(, $operand:ident)*) = $code:literal;)+) => {$(
        fn $name(mxcsr: u32, $a: $type $(, $operand: $type)*) -> ($type, Flags) {
            let (mut control, mut saved) = (mxcsr, 0u32);
            let result: $type;
            // SAFETY: MXCSR is as before at the end, and its exceptions are masked.
            unsafe {
                asm!(
                    "stmxcsr [{saved}]",
                    "ldmxcsr [{control}]",
                    $code,
                    "stmxcsr [{control}]",
                    "ldmxcsr [{saved}]",
                    saved = in(reg) &raw mut saved,
                    control = in(reg) &raw mut control,
                    $a = inout(xmm_reg) $a => result,
                    $($operand = in(xmm_reg) $operand,)*
                );
            }
            (result, flags(control))
        }
    )+};
}

sse_changing! {
    addss(a: f32, b) = "addss {a}, {b}"; addsd(a: f64, b) = "addsd {a}, {b}";
    subss(a: f32, b) = "subss {a}, {b}"; subsd(a: f64, b) = "subsd {a}, {b}";
    mulss(a: f32, b) = "mulss {a}, {b}"; mulsd(a: f64, b) = "mulsd {a}, {b}";
    divss(a: f32, b) = "divss {a}, {b}"; divsd(a: f64, b) = "divsd {a}, {b}";
    minss(a: f32, b) = "minss {a}, {b}"; minsd(a: f64, b) = "minsd {a}, {b}";
    maxss(a: f32, b) = "maxss {a}, {b}"; maxsd(a: f64, b) = "maxsd {a}, {b}";
    sqrtss(a: f32) = "sqrtss {a}, {a}"; sqrtsd(a: f64) = "sqrtsd {a}, {a}";
    roundss(a: f32) = "roundss {a}, {a}, 4"; roundsd(a: f64) = "roundsd {a}, {a}, 4";
    fma213ss(a: f32, b, c) = "vfmadd213ss {a}, {b}, {c}"; fma213sd(a: f64, b, c) = "vfmadd213sd {a}, {b}, {c}";
    fma132ss(a: f32, b, c) = "vfmadd132ss {a}, {b}, {c}"; fma132sd(a: f64, b, c) = "vfmadd132sd {a}, {b}, {c}";
    fma231ss(a: f32, b, c) = "vfmadd231ss {a}, {b}, {c}"; fma231sd(a: f64, b, c) = "vfmadd231sd {a}, {b}, {c}";
}

/// As [`sse_changing`], of instructions with a result of another type.
macro_rules! sse_converting {
    ($($name:ident($in:ident $from:ty) -> $out:ident $to:ty = $code:literal;)+) => {$(
        fn $name(mxcsr: u32, a: $from) -> ($to, Flags) {
            let (mut control, mut saved) = (mxcsr, 0u32);
            let result: $to;
            // SAFETY: MXCSR is as before at the end, and its exceptions are masked.
            unsafe {
                asm!(
                    "stmxcsr [{saved}]",
                    "ldmxcsr [{control}]",
                    $code,
                    "stmxcsr [{control}]",
                    "ldmxcsr [{saved}]",
                    saved = in(reg) &raw mut saved,
                    control = in(reg) &raw mut control,
                    a = in($in) a,
                    result = out($out) result,
                );
            }
            (result, flags(control))
        }
    )+};
}

sse_converting! {
    cvtss2sd(xmm_reg f32) -> xmm_reg f64 = "cvtss2sd {result}, {a}";
    cvtsd2ss(xmm_reg f64) -> xmm_reg f32 = "cvtsd2ss {result}, {a}";
    cvtss2si_32(xmm_reg f32) -> reg i32 = "cvtss2si {result:e}, {a}";
    cvtss2si_64(xmm_reg f32) -> reg i64 = "cvtss2si {result:r}, {a}";
    cvtsd2si_32(xmm_reg f64) -> reg i32 = "cvtsd2si {result:e}, {a}";
    cvtsd2si_64(xmm_reg f64) -> reg i64 = "cvtsd2si {result:r}, {a}";
    cvtsi2ss_32(reg i32) -> xmm_reg f32 = "cvtsi2ss {result}, {a:e}";
    cvtsi2ss_64(reg i64) -> xmm_reg f32 = "cvtsi2ss {result}, {a:r}";
    cvtsi2sd_32(reg i32) -> xmm_reg f64 = "cvtsi2sd {result}, {a:e}";
    cvtsi2sd_64(reg i64) -> xmm_reg f64 = "cvtsi2sd {result}, {a:r}";
    cvtss2usi_32(xmm_reg f32) -> reg u32 = "vcvtss2usi {result:e}, {a}";
    cvtss2usi_64(xmm_reg f32) -> reg u64 = "vcvtss2usi {result:r}, {a}";
    cvtsd2usi_32(xmm_reg f64) -> reg u32 = "vcvtsd2usi {result:e}, {a}";
    cvtsd2usi_64(xmm_reg f64) -> reg u64 = "vcvtsd2usi {result:r}, {a}";
    cvtusi2ss_32(reg u32) -> xmm_reg f32 = "vcvtusi2ss {result}, {result}, {a:e}";
    cvtusi2ss_64(reg u64) -> xmm_reg f32 = "vcvtusi2ss {result}, {result}, {a:r}";
    cvtusi2sd_64(reg u64) -> xmm_reg f64 = "vcvtusi2sd {result}, {result}, {a:r}";
}

/// As [`sse_changing`], of instructions that compare.
macro_rules! sse_comparing {
    ($($name:ident($type:ty) = $code:literal;)+) => {$(
        fn $name(mxcsr: u32, a: $type, b: $type) -> (Relation, Flags) {
            let (mut control, mut saved) = (mxcsr, 0u32);
            let (parity, carry, zero): (u8, u8, u8);
            // SAFETY: MXCSR is as before at the end, and its exceptions are masked.
            unsafe {
                asm!(
                    "stmxcsr [{saved}]",
                    "ldmxcsr [{control}]",
                    $code,
                    "setp {parity}",
                    "setc {carry}",
                    "setz {zero}",
                    "stmxcsr [{control}]",
                    "ldmxcsr [{saved}]",
                    saved = in(reg) &raw mut saved,
                    control = in(reg) &raw mut control,
                    a = in(xmm_reg) a,
                    b = in(xmm_reg) b,
                    parity = out(reg_byte) parity,
                    carry = out(reg_byte) carry,
                    zero = out(reg_byte) zero,
                );
            }
            (relation(parity, carry, zero), flags(control))
        }
    )+};
}

sse_comparing! {
    comiss(f32) = "comiss {a}, {b}"; comisd(f64) = "comisd {a}, {b}";
    ucomiss(f32) = "ucomiss {a}, {b}"; ucomisd(f64) = "ucomisd {a}, {b}";
}

/// What a comparison makes of the processor's flags.
fn relation(parity: u8, carry: u8, zero: u8) -> Relation {
    match (parity, carry, zero) {
        (1, ..) => Relation::UNORDERED,
        (_, 1, _) => Relation::LESS,
        (.., 1) => Relation::EQUAL,
        _ => Relation::GREATER,
    }
}

type Agreement = Result<(), TestCaseError>;

/// For a format, a function that compares our results and flags with the processor's.
macro_rules! sse_agrees {
    ($(
        $name:ident: $format:ident, to $other:ident by $convert:ident,
        [$($operation:ident $instruction:ident)+], $sqrt:ident $min:ident $max:ident $comis:ident $ucomis:ident $round:ident,
        [$($integer:ident $to_integer:ident)+], [$($unsigned:ident $to_unsigned:ident)+];
    )+) => {$(
        fn $name(env: &Env, [a, b]: [<$format as Format>::Bits; 2]) -> Agreement {
            let (x, y, csr) = ($format::from_bits(a), $format::from_bits(b), mxcsr(env));
            let bits = |(value, flags): ($format, Flags)| (value.to_bits(), flags);
            let second = Extremum::Second;
            $(prop_assert_eq!(
                exceptions(env.$operation::<$format>(a, b)), bits($instruction(csr, x, y)), "{}", stringify!($instruction)
            );)+
            prop_assert_eq!(exceptions(env.sqrt::<$format>(a)), bits($sqrt(csr, x)), "sqrt");
            prop_assert_eq!(exceptions(env.min::<$format>(second, a, b)), bits($min(csr, x, y)), "min");
            prop_assert_eq!(exceptions(env.max::<$format>(second, a, b)), bits($max(csr, x, y)), "max");
            prop_assert_eq!(exceptions(env.compare::<$format>(a, b, true)), $comis(csr, x, y), "comis");
            prop_assert_eq!(exceptions(env.compare::<$format>(a, b, false)), $ucomis(csr, x, y), "ucomis");
            let (other, raised) = $convert(csr, x);
            prop_assert_eq!(exceptions(env.convert::<$format, $other>(a)), (other.to_bits(), raised), "convert");
            $(prop_assert_eq!(
                but_denormal(env.to_integer::<$format, $integer>(a)), $to_integer(csr, x), "{}", stringify!($to_integer)
            );)+
            if is_x86_feature_detected!("sse4.1") {
                prop_assert_eq!(but_denormal(env.round_to_integral::<$format>(a)), bits($round(csr, x)), "round");
            }
            if is_x86_feature_detected!("avx512f") {
                $(prop_assert_eq!(
                    but_denormal(env.to_integer::<$format, $unsigned>(a)), $to_unsigned(csr, x), "{}", stringify!($to_unsigned)
                );)+
            }
            Ok(())
        }
    )+};
}

sse_agrees! {
    single_agrees: f32, to f64 by cvtss2sd,
        [add addss sub subss mul mulss div divss], sqrtss minss maxss comiss ucomiss roundss,
        [i32 cvtss2si_32 i64 cvtss2si_64], [u32 cvtss2usi_32 u64 cvtss2usi_64];
    double_agrees: f64, to f32 by cvtsd2ss,
        [add addsd sub subsd mul mulsd div divsd], sqrtsd minsd maxsd comisd ucomisd roundsd,
        [i32 cvtsd2si_32 i64 cvtsd2si_64], [u32 cvtsd2usi_32 u64 cvtsd2usi_64];
}

/// As [`sse_agrees`], of FMA. The forms differ in which operands are the factors, and so which NaN is the first.
macro_rules! fma_agrees {
    ($($name:ident: $format:ident, $form132:ident $form213:ident $form231:ident;)+) => {$(
        fn $name(env: &Env, [a, b, c]: [<$format as Format>::Bits; 3]) -> Agreement {
            if !is_x86_feature_detected!("fma") {
                return Ok(());
            }
            let ([x, y, z], csr) = ([a, b, c].map($format::from_bits), mxcsr(env));
            let bits = |(value, flags): ($format, Flags)| (value.to_bits(), flags);
            prop_assert_eq!(exceptions(env.mul_add::<$format>(a, c, b)), bits($form132(csr, x, y, z)), "132");
            prop_assert_eq!(exceptions(env.mul_add::<$format>(b, a, c)), bits($form213(csr, x, y, z)), "213");
            prop_assert_eq!(exceptions(env.mul_add::<$format>(b, c, a)), bits($form231(csr, x, y, z)), "231");
            Ok(())
        }
    )+};
}

fma_agrees! {
    fused_single_agrees: f32, fma132ss fma213ss fma231ss;
    fused_double_agrees: f64, fma132sd fma213sd fma231sd;
}

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn sse_single((a, b) in pair::<f32>(), env in sse_env()) {
        single_agrees(&env, [a, b])?;
    }

    #[test]
    fn sse_double((a, b) in pair::<f64>(), env in sse_env()) {
        double_agrees(&env, [a, b])?;
    }

    #[test]
    fn fma_single((a, c) in pair::<f32>(), b in value::<f32>(), near in prop::option::of(0..4u32), env in sse_env()) {
        // The product itself as the third operand cancels.
        let c = near.map_or(c, |low| f32::negate(env.mul::<f32>(b, a).0 ^ low));
        fused_single_agrees(&env, [a, b, c])?;
    }

    #[test]
    fn fma_double((a, c) in pair::<f64>(), b in value::<f64>(), near in prop::option::of(0..4u64), env in sse_env()) {
        let c = near.map_or(c, |low| f64::negate(env.mul::<f64>(b, a).0 ^ low));
        fused_double_agrees(&env, [a, b, c])?;
    }

    #[test]
    fn sse_from_integers(a in any::<u64>(), shift in 0..64u32, left in any::<bool>(), env in sse_env()) {
        let csr = mxcsr(&env);
        let a = if left { a << shift } else { a >> shift };
        let single = |(value, flags): (f32, Flags)| (value.to_bits(), flags);
        let double = |(value, flags): (f64, Flags)| (value.to_bits(), flags);
        let (w, l) = (a as i32, a as i64);
        prop_assert_eq!(exceptions(env.from_integer::<i32, f32>(w)), single(cvtsi2ss_32(csr, w)));
        prop_assert_eq!(exceptions(env.from_integer::<i64, f32>(l)), single(cvtsi2ss_64(csr, l)));
        prop_assert_eq!(exceptions(env.from_integer::<i32, f64>(w)), double(cvtsi2sd_32(csr, w)));
        prop_assert_eq!(exceptions(env.from_integer::<i64, f64>(l)), double(cvtsi2sd_64(csr, l)));
        if is_x86_feature_detected!("avx512f") {
            prop_assert_eq!(exceptions(env.from_integer::<u32, f32>(a as u32)), single(cvtusi2ss_32(csr, a as u32)));
            prop_assert_eq!(exceptions(env.from_integer::<u64, f32>(a)), single(cvtusi2ss_64(csr, a)));
            prop_assert_eq!(exceptions(env.from_integer::<u64, f64>(a)), double(cvtusi2sd_64(csr, a)));
        }
    }
}

/// Every special value with every other, and with every third one.
#[test]
fn sse_special_values() {
    let (single, double) = (specials::<f32>(), specials::<f64>());
    for rounding in DIRECTIONS {
        for flush in 0..4 {
            let env = Env {
                rounding,
                flush_inputs: flush & 1 != 0,
                flush_results: flush & 2 != 0,
                ..Env::new(&SSE)
            };
            for (&(a, b), &(c, d)) in pairs(&single).iter().zip(&pairs(&double)) {
                assert_agrees(&env, [a, b], single_agrees);
                assert_agrees(&env, [c, d], double_agrees);
                for (&e, &f) in single.iter().zip(&double) {
                    assert_agrees(&env, [a, b, e], fused_single_agrees);
                    assert_agrees(&env, [c, d, f], fused_double_agrees);
                }
            }
        }
    }
}

fn assert_agrees<T: Copy + Debug>(env: &Env, operands: T, agreement: fn(&Env, T) -> Agreement) {
    if let Err(error) = agreement(env, operands) {
        panic!("{operands:x?} {env:?}: {error}");
    }
}

fn pairs<T: Copy>(values: &[T]) -> Vec<(T, T)> {
    let with = |&a: &T| values.iter().map(move |&b| (a, b));
    values.iter().flat_map(with).collect()
}

/// What the x87 gives: the value, the flags, and C3 to C0.
struct Stored<T> {
    value: T,
    flags: Flags,
    conditions: Conditions,
}

/// The condition code bits of the status word.
#[derive(Clone, Copy)]
struct Conditions(u16);

impl Conditions {
    fn c0(self) -> bool {
        self.0 & 1 << 8 != 0
    }
    fn c1(self) -> bool {
        self.0 & 1 << 9 != 0
    }
    fn c2(self) -> bool {
        self.0 & 1 << 10 != 0
    }
    fn c3(self) -> bool {
        self.0 & 1 << 14 != 0
    }
}

/// The x87's control word, with all exceptions masked.
fn control_word(env: &Env) -> u16 {
    let precision = match env.precision {
        Precision::Single => 0,
        Precision::Double => 2,
        Precision::Extended => 3,
    };
    0x3f | precision << 8 | (rounding_control(env.rounding) as u16) << 10
}

const PRECISIONS: [Precision; 3] = [Precision::Single, Precision::Double, Precision::Extended];

fn x87_env() -> impl Strategy<Value = Env> {
    (
        prop::sample::select(&DIRECTIONS),
        prop::sample::select(&PRECISIONS),
    )
        .prop_map(|(rounding, precision)| Env {
            rounding,
            precision,
            ..Env::new(&X87)
        })
}

/// Functions of x87 instructions: of a control word and values in memory. The code leaves an empty stack and the status word
/// in AX.
macro_rules! x87 {
    ($($name:ident($($operand:ident: $type:ty),+) -> $result:ty = $($code:literal),+;)+) => {$(
        fn $name(control: u16, $($operand: $type),+) -> Stored<$result> {
            let mut result: $result = Default::default();
            let status: u16;
            // SAFETY: the x87 is as after a reset at the end, which is how the ABI has it.
            unsafe {
                asm!(
                    "fninit",
                    "fldcw [{control}]",
                    $($code,)+
                    "fninit",
                    control = in(reg) &raw const control,
                    $($operand = in(reg) &raw const $operand,)+
                    result = in(reg) &raw mut result,
                    out("ax") status,
                    out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _,
                    out("st(4)") _, out("st(5)") _, out("st(6)") _, out("st(7)") _,
                );
            }
            Stored { value: result, flags: flags(status.into()), conditions: Conditions(status) }
        }
    )+};
}

/// Instructions of two operands in registers.
macro_rules! x87_binary {
    ($($name:ident = $code:literal;)+) => {
        x87! {$(
            $name(a: u128, b: u128) -> u128 =
                "fld tbyte ptr [{b}]", "fld tbyte ptr [{a}]", $code, "fnstsw ax", "fstp tbyte ptr [{result}]", "fstp st(0)";
        )+}
    };
}

/// Instructions of one operand in a register.
macro_rules! x87_unary {
    ($($name:ident = $code:literal;)+) => {
        x87! {$(
            $name(a: u128) -> u128 = "fld tbyte ptr [{a}]", $code, "fnstsw ax", "fstp tbyte ptr [{result}]";
        )+}
    };
}

x87_binary! {
    fadd = "fadd st(0), st(1)";
    fsub = "fsub st(0), st(1)";
    fmul = "fmul st(0), st(1)";
    fdiv = "fdiv st(0), st(1)";
    fprem = "fprem";
    fprem1 = "fprem1";
    fcom = "fcom st(1)";
    fucom = "fucom st(1)";
}

x87_unary! {
    fsqrt = "fsqrt";
    frndint = "frndint";
    fxam = "fxam";
}

x87! {
    fld_32(a: u32) -> u128 = "fld dword ptr [{a}]", "fnstsw ax", "fstp tbyte ptr [{result}]";
    fld_64(a: u64) -> u128 = "fld qword ptr [{a}]", "fnstsw ax", "fstp tbyte ptr [{result}]";
    fild_16(a: i16) -> u128 = "fild word ptr [{a}]", "fnstsw ax", "fstp tbyte ptr [{result}]";
    fild_32(a: i32) -> u128 = "fild dword ptr [{a}]", "fnstsw ax", "fstp tbyte ptr [{result}]";
    fild_64(a: i64) -> u128 = "fild qword ptr [{a}]", "fnstsw ax", "fstp tbyte ptr [{result}]";
    fst_32(a: u128) -> u32 = "fld tbyte ptr [{a}]", "fstp dword ptr [{result}]", "fnstsw ax";
    fst_64(a: u128) -> u64 = "fld tbyte ptr [{a}]", "fstp qword ptr [{result}]", "fnstsw ax";
    fist_16(a: u128) -> i16 = "fld tbyte ptr [{a}]", "fistp word ptr [{result}]", "fnstsw ax";
    fist_32(a: u128) -> i32 = "fld tbyte ptr [{a}]", "fistp dword ptr [{result}]", "fnstsw ax";
    fist_64(a: u128) -> i64 = "fld tbyte ptr [{a}]", "fistp qword ptr [{result}]", "fnstsw ax";
}

/// A result as the x87 has it, with C1.
fn rounded<T>(stored: Stored<T>) -> (T, Flags) {
    let up = if stored.conditions.c1() {
        Flags::ROUNDED_UP
    } else {
        Flags::NONE
    };
    (stored.value, stored.flags | up)
}

/// A result of an instruction that does not raise DENORMAL, as the x87 has it.
fn loaded<T>((value, flags): Outcome<T>) -> (T, Flags) {
    (value, flags & (Flags::IEEE | Flags::ROUNDED_UP))
}

/// What FCOM says.
fn compared<T>(stored: Stored<T>) -> (Relation, Flags) {
    let c = stored.conditions;
    (
        relation(c.c2().into(), c.c0().into(), c.c3().into()),
        stored.flags,
    )
}

/// A remainder as FPREM gives it.
fn reduced(stored: Stored<u128>) -> (u128, Option<u64>, Flags) {
    let c = stored.conditions;
    let quotient = u64::from(c.c0()) << 2 | u64::from(c.c3()) << 1 | u64::from(c.c1());
    (stored.value, (!c.c2()).then_some(quotient), stored.flags)
}

/// A finite number of the extended format with an exponent near that of another.
fn divisor_of(a: u128, distance: u16, digits: u64) -> u128 {
    let exponent = (a >> 64 & 0x7fff).saturating_sub(distance.into()).max(1);
    exponent << 64 | u128::from(digits | 1 << 63)
}

fn extended_agrees(env: &Env, [a, b]: [u128; 2]) -> Agreement {
    let control = control_word(env);
    prop_assert_eq!(
        env.add::<Extended>(a, b),
        rounded(fadd(control, a, b)),
        "fadd"
    );
    prop_assert_eq!(
        env.sub::<Extended>(a, b),
        rounded(fsub(control, a, b)),
        "fsub"
    );
    prop_assert_eq!(
        env.mul::<Extended>(a, b),
        rounded(fmul(control, a, b)),
        "fmul"
    );
    prop_assert_eq!(
        env.div::<Extended>(a, b),
        rounded(fdiv(control, a, b)),
        "fdiv"
    );
    prop_assert_eq!(env.sqrt::<Extended>(a), rounded(fsqrt(control, a)), "fsqrt");
    prop_assert_eq!(
        env.compare::<Extended>(a, b, true),
        compared(fcom(control, a, b)),
        "fcom"
    );
    prop_assert_eq!(
        env.compare::<Extended>(a, b, false),
        compared(fucom(control, a, b)),
        "fucom"
    );
    prop_assert_eq!(
        env.round_to_integral::<Extended>(a),
        rounded(frndint(control, a)),
        "frndint"
    );
    Ok(())
}

fn remainders_agree(env: &Env, [a, b]: [u128; 2]) -> Agreement {
    let control = control_word(env);
    for (how, stored) in [
        (Quotient::Truncated, fprem(control, a, b)),
        (Quotient::Nearest, fprem1(control, a, b)),
    ] {
        let (step, raised) = env.partial_remainder::<Extended>(a, b, how);
        let low = step.quotient.map(|quotient| quotient & 7);
        prop_assert_eq!((step.value, low, raised), reduced(stored), "{:?}", how);
    }
    Ok(())
}

#[test]
fn x87_special_values() {
    for rounding in DIRECTIONS {
        for precision in PRECISIONS {
            let env = Env {
                rounding,
                precision,
                ..Env::new(&X87)
            };
            for (a, b) in pairs(&specials::<Extended>()) {
                assert_agrees(&env, [a, b], extended_agrees);
                assert_agrees(&env, [a, b], remainders_agree);
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn x87_arithmetic((a, b) in pair::<Extended>(), env in x87_env()) {
        extended_agrees(&env, [a, b])?;
    }

    #[test]
    fn x87_conversions(a in shortened(), l in any::<i64>(), shift in 0..64u32, env in x87_env()) {
        let control = control_word(&env);
        let l = l >> shift;
        prop_assert_eq!(loaded(env.convert::<Extended, f32>(a)), rounded(fst_32(control, a)), "fst m32");
        prop_assert_eq!(loaded(env.convert::<Extended, f64>(a)), rounded(fst_64(control, a)), "fst m64");
        prop_assert_eq!(loaded(env.to_integer::<Extended, i16>(a)), rounded(fist_16(control, a)), "fist m16");
        prop_assert_eq!(loaded(env.to_integer::<Extended, i32>(a)), rounded(fist_32(control, a)), "fist m32");
        prop_assert_eq!(loaded(env.to_integer::<Extended, i64>(a)), rounded(fist_64(control, a)), "fist m64");
        prop_assert_eq!(env.from_integer::<i16, Extended>(l as i16), rounded(fild_16(control, l as i16)), "fild m16");
        prop_assert_eq!(env.from_integer::<i32, Extended>(l as i32), rounded(fild_32(control, l as i32)), "fild m32");
        prop_assert_eq!(env.from_integer::<i64, Extended>(l), rounded(fild_64(control, l)), "fild m64");
    }

    #[test]
    fn x87_loads(a in value::<f32>(), b in value::<f64>(), env in x87_env()) {
        let control = control_word(&env);
        prop_assert_eq!(env.convert::<f32, Extended>(a), rounded(fld_32(control, a)), "fld m32");
        prop_assert_eq!(env.convert::<f64, Extended>(b), rounded(fld_64(control, b)), "fld m64");
    }

    #[test]
    fn x87_remainders(
        (a, b) in pair::<Extended>(),
        near in prop::option::of((0..160u16, any::<u64>())),
        env in x87_env(),
    ) {
        let b = near.map_or(b, |(distance, digits)| divisor_of(a, distance, digits));
        remainders_agree(&env, [a, b])?;
    }

    #[test]
    fn x87_classes(a in value::<Extended>()) {
        let c = fxam(0x37f, a).conditions;
        let class = match (c.c3(), c.c2(), c.c0()) {
            (false, false, false) => Class::Unsupported,
            (false, false, true) if a >> 62 & 1 != 0 => Class::QuietNan,
            (false, false, true) => Class::SignalingNan,
            (false, true, false) => Class::Normal,
            (false, true, true) => Class::Infinity,
            (true, false, false) => Class::Zero,
            (true, true, false) => Class::Subnormal,
            other => panic!("{other:?}"),
        };
        prop_assert_eq!(X87.class::<Extended>(a), class);
    }
}

//! What architectures decide, by their manuals.

use proptest::prelude::*;
use solderless_float::{
    Class, Env, Extended, Extremum, Flags, Format, Integer, Policy, Propagation, Rounding,
    Tininess, Unfit,
};

use crate::operands::{DIRECTIONS, cases, pair};

/// RISC-V (the unprivileged ISA, chapters "F" and "D").
const RISCV: Policy = Policy {
    signaling_bit: false,
    default_nan: (false, 3 << 62),
    propagation: Propagation::Default,
    invalid_product_before_nan: true,
    unfit: Unfit::Nearest,
    tininess: Tininess::AfterRounding,
};

/// MIPS without FCSR.NAN2008 (MD00083, the chapter on the FPU).
const MIPS_LEGACY: Policy = Policy {
    signaling_bit: true,
    default_nan: (false, !(1 << 62)),
    propagation: Propagation::DefaultIfSignaling,
    invalid_product_before_nan: true,
    unfit: Unfit::Largest,
    tininess: Tininess::AfterRounding,
};

/// MIPS with FCSR.NAN2008.
const MIPS_2008: Policy = Policy {
    signaling_bit: false,
    default_nan: (false, 3 << 62),
    propagation: Propagation::SignalingFirst,
    invalid_product_before_nan: true,
    unfit: Unfit::NearestOrZero,
    tininess: Tininess::AfterRounding,
};

/// An invention: as RISC-V, but NaNs are propagated.
const PROPAGATING: Policy = Policy {
    propagation: Propagation::SignalingFirst,
    ..RISCV
};

/// An invention: as RISC-V, but tiny before rounding.
const EARLY: Policy = Policy {
    tininess: Tininess::BeforeRounding,
    ..RISCV
};

const NONE: Flags = Flags::NONE;
const INVALID: Flags = Flags::INVALID;
const INEXACT: Flags = Flags::INEXACT;

const ONE: u32 = 0x3f80_0000;
const MINUS: u32 = 1 << 31;
const INF: u32 = 0x7f80_0000;
/// Quiet by the standard, signalling in MIPS of old.
const SET: u32 = 0x7fc0_1234;
const SET2: u32 = 0xffc0_0001;
/// The other way round.
const CLEAR: u32 = 0x7f80_1234;
const CLEAR2: u32 = 0xff80_0001;
const QUIET_BIT: u32 = 1 << 22;

const RISCV_NAN: u32 = 0x7fc0_0000;
const MIPS_NAN: u32 = 0x7fbf_ffff;

#[test]
fn sums_of_nans() {
    let cases = [
        (&RISCV, SET, ONE, RISCV_NAN, NONE),
        (&RISCV, ONE, SET2, RISCV_NAN, NONE),
        (&RISCV, CLEAR, ONE, RISCV_NAN, INVALID),
        (&RISCV, INF, INF | MINUS, RISCV_NAN, INVALID),
        (&MIPS_LEGACY, CLEAR, CLEAR2, CLEAR, NONE),
        (&MIPS_LEGACY, ONE, CLEAR2, CLEAR2, NONE),
        (&MIPS_LEGACY, CLEAR, SET, MIPS_NAN, INVALID),
        (&MIPS_LEGACY, INF, INF | MINUS, MIPS_NAN, INVALID),
        (&MIPS_2008, SET, SET2, SET, NONE),
        (&MIPS_2008, SET2, CLEAR, CLEAR | QUIET_BIT, INVALID),
        (&MIPS_2008, CLEAR2, CLEAR, CLEAR2 | QUIET_BIT, INVALID),
        (&MIPS_2008, INF, INF | MINUS, RISCV_NAN, INVALID),
    ];
    for (policy, a, b, result, flags) in cases {
        let env = Env::new(policy);
        assert_eq!(
            env.add::<f32>(a, b),
            (result, flags),
            "{policy:?} {a:x} {b:x}"
        );
    }
}

#[test]
fn conversions_of_nans() {
    let wide = |policy, a| Env::new(policy).convert::<f32, f64>(a);
    let narrow = |policy, a| Env::new(policy).convert::<f64, f32>(a);
    assert_eq!(wide(&RISCV, SET), (0x7ff8 << 48, NONE));
    assert_eq!(wide(&RISCV, CLEAR), (0x7ff8 << 48, INVALID));
    assert_eq!(wide(&MIPS_2008, SET2), (0xfff8_0000_2000_0000, NONE));
    assert_eq!(wide(&MIPS_2008, CLEAR2), (0xfff8_0000_2000_0000, INVALID));
    assert_eq!(wide(&MIPS_LEGACY, CLEAR2), (0xfff0_0000_2000_0000, NONE));
    assert_eq!(wide(&MIPS_LEGACY, SET), (0x7ff7_ffff_ffff_ffff, INVALID));
    assert_eq!(
        narrow(&MIPS_2008, 0xfff0_0000_0000_0001),
        (0xffc0_0000, INVALID)
    );
    // What is left of the fraction would make an infinity.
    assert_eq!(
        narrow(&MIPS_LEGACY, 0xfff0_0000_0000_0001),
        (MIPS_NAN, NONE)
    );
}

#[test]
fn an_invalid_product_and_a_nan() {
    let env = Env::new(&RISCV);
    assert_eq!(env.mul_add::<f32>(INF, 0, SET), (RISCV_NAN, INVALID));
    assert_eq!(env.mul_add::<f32>(INF, ONE, SET), (RISCV_NAN, NONE));
    assert_eq!(env.mul_add::<f32>(INF, 0, ONE), (RISCV_NAN, INVALID));
    // That goes before a quiet NaN, not before one that signals, nor before a NaN as a factor.
    let env = Env::new(&PROPAGATING);
    assert_eq!(env.mul_add::<f32>(INF, 0, SET), (RISCV_NAN, INVALID));
    let quieted = (CLEAR | QUIET_BIT, INVALID);
    assert_eq!(env.mul_add::<f32>(INF, 0, CLEAR), quieted);
    assert_eq!(env.mul_add::<f32>(SET, 0, SET2), (SET, NONE));
    assert_eq!(
        env.mul_add::<f32>(INF, ONE, INF | MINUS),
        (RISCV_NAN, INVALID)
    );
}

fn integer<I: Integer>(policy: &'static Policy, value: f64) -> (i128, Flags) {
    let env = Env {
        rounding: Rounding::Zero,
        ..Env::new(policy)
    };
    let (integer, flags) = env.to_integer::<f64, I>(value.to_bits());
    (integer.value(), flags)
}

/// The unprivileged ISA, "Domains of float-to-integer conversions and behavior for invalid inputs".
#[test]
fn integers_of_riscv() {
    const W: i128 = 1 << 31;
    const L: i128 = 1 << 63;
    for (value, w, wu, l, lu) in [
        (f64::NEG_INFINITY, -W, 0, -L, 0),
        (-1e30, -W, 0, -L, 0),
        (1e30, W - 1, 2 * W - 1, L - 1, 2 * L - 1),
        (f64::INFINITY, W - 1, 2 * W - 1, L - 1, 2 * L - 1),
        (f64::NAN, W - 1, 2 * W - 1, L - 1, 2 * L - 1),
    ] {
        assert_eq!(integer::<i32>(&RISCV, value), (w, INVALID), "{value}");
        assert_eq!(integer::<u32>(&RISCV, value), (wu, INVALID), "{value}");
        assert_eq!(integer::<i64>(&RISCV, value), (l, INVALID), "{value}");
        assert_eq!(integer::<u64>(&RISCV, value), (lu, INVALID), "{value}");
    }
    assert_eq!(integer::<u32>(&RISCV, -0.9), (0, INEXACT));
    assert_eq!(integer::<u32>(&RISCV, -1.0), (0, INVALID));
    assert_eq!(
        integer::<u32>(&RISCV, 4_294_967_295.9),
        (2 * W - 1, INEXACT)
    );
    assert_eq!(
        integer::<u64>(&RISCV, 9_223_372_036_854_775_808.0),
        (L, NONE)
    );
    assert_eq!(integer::<i32>(&RISCV, -2_147_483_648.9), (-W, INEXACT));
    assert_eq!(
        integer::<i64>(&RISCV, -9_223_372_036_854_775_808.0),
        (-L, NONE)
    );
}

/// MD00086, CVT.W.fmt and CVT.L.fmt.
#[test]
fn integers_of_mips() {
    let (max, min) = (i32::MAX.into(), i32::MIN.into());
    for (value, legacy, new) in [(f64::NAN, max, 0), (-1e30, max, min), (1e30, max, max)] {
        assert_eq!(integer::<i32>(&MIPS_LEGACY, value), (legacy, INVALID));
        assert_eq!(integer::<i32>(&MIPS_2008, value), (new, INVALID));
    }
}

#[test]
fn minima_and_maxima() {
    use Extremum::{Nan, Number, NumberUnlessSignaling, Second};
    let cases = [
        // Numbers.
        (Number, ONE, INF, ONE, INF, NONE),
        (Number, 0, MINUS, MINUS, 0, NONE),
        (Number, MINUS, 0, MINUS, 0, NONE),
        (Nan, 0, MINUS, MINUS, 0, NONE),
        (NumberUnlessSignaling, 0, MINUS, MINUS, 0, NONE),
        (Second, 0, MINUS, MINUS, MINUS, NONE),
        (Second, MINUS, 0, 0, 0, NONE),
        // A quiet NaN.
        (Number, SET, ONE, ONE, ONE, NONE),
        (Number, ONE, SET, ONE, ONE, NONE),
        (Number, SET, SET, RISCV_NAN, RISCV_NAN, NONE),
        (Nan, SET, ONE, RISCV_NAN, RISCV_NAN, NONE),
        (NumberUnlessSignaling, ONE, SET, ONE, ONE, NONE),
        (Second, SET, ONE, ONE, ONE, INVALID),
        (Second, ONE, SET, SET, SET, INVALID),
        // One that signals.
        (Number, CLEAR, ONE, ONE, ONE, INVALID),
        (Number, ONE, CLEAR, ONE, ONE, INVALID),
        (Number, SET, CLEAR, RISCV_NAN, RISCV_NAN, INVALID),
        (Nan, CLEAR, ONE, RISCV_NAN, RISCV_NAN, INVALID),
        (
            NumberUnlessSignaling,
            CLEAR,
            ONE,
            RISCV_NAN,
            RISCV_NAN,
            INVALID,
        ),
        (Second, ONE, CLEAR, CLEAR, CLEAR, INVALID),
    ];
    let env = Env::new(&RISCV);
    for (which, a, b, min, max, flags) in cases {
        assert_eq!(
            env.min::<f32>(which, a, b),
            (min, flags),
            "{which:?} {a:x} {b:x}"
        );
        assert_eq!(
            env.max::<f32>(which, a, b),
            (max, flags),
            "{which:?} {a:x} {b:x}"
        );
    }
}

#[test]
fn classes() {
    for (bits, class) in [
        (0, Class::Zero),
        (MINUS, Class::Zero),
        (1, Class::Subnormal),
        (MINUS | 0x7f_ffff, Class::Subnormal),
        (0x80_0000, Class::Normal),
        (INF - 1, Class::Normal),
        (INF | MINUS, Class::Infinity),
        (CLEAR, Class::SignalingNan),
        (SET2, Class::QuietNan),
    ] {
        assert_eq!(RISCV.class::<f32>(bits), class, "{bits:x}");
    }
    assert_eq!(MIPS_LEGACY.class::<f32>(CLEAR), Class::QuietNan);
    assert_eq!(MIPS_LEGACY.class::<f32>(SET), Class::SignalingNan);
}

#[test]
fn signs() {
    assert_eq!(f32::negate(SET), SET | MINUS);
    assert_eq!(<f32 as Format>::abs(SET2), SET2 & !MINUS);
    assert_eq!(f32::copy_sign(ONE, SET2), ONE | MINUS);
    assert_eq!(f64::negate(0), 1 << 63);
    assert_eq!(Extended::negate(Extended::one()), 0xbfff << 64 | 1 << 63);
    assert!(Extended::is_negative(1 << 79) && !Extended::is_negative(1 << 80));
    assert_eq!((f32::one(), f64::one()), (ONE, 0x3ff0 << 48));
}

/// Where underflow traps, a tiny result raises it even if it is exact.
#[test]
fn exact_tiny_results() {
    let (quiet, trapping) = (
        Env::new(&RISCV),
        Env {
            traps_underflow: true,
            ..Env::new(&RISCV)
        },
    );
    let (min, half) = (0x80_0000, 0x3f00_0000);
    assert_eq!(quiet.mul::<f32>(min, half), (min / 2, NONE));
    assert_eq!(trapping.mul::<f32>(min, half), (min / 2, Flags::UNDERFLOW));
    assert_eq!(trapping.mul::<f32>(min, ONE), (min, NONE));
    assert_eq!(trapping.mul::<f32>(0, half), (0, NONE));
}

/// (1 - 2^-24) 2^-126 is tiny before rounding, not after.
#[test]
fn tininess() {
    let (a, b, min) = (0x7f_ffff, ONE + 1, 0x80_0000);
    let raised = |policy| {
        let (result, flags) = Env::new(policy).mul::<f32>(a, b);
        assert_eq!(result, min);
        flags & Flags::IEEE
    };
    assert_eq!(raised(&RISCV), INEXACT);
    assert_eq!(raised(&EARLY), INEXACT | Flags::UNDERFLOW);
}

fn is_tiny<F: Format>(bits: F::Bits) -> bool {
    matches!(RISCV.class::<F>(bits), Class::Zero | Class::Subnormal)
}

proptest! {
    #![proptest_config(cases(1_000))]

    /// What is tiny before rounding is tiny when truncated; and all that is tiny after rounding was so before.
    #[test]
    fn early_tininess((a, b) in pair::<f32>(), (c, d) in pair::<Extended>(), rounding in prop::sample::select(&DIRECTIONS)) {
        fn check<F: Format>(a: F::Bits, b: F::Bits, rounding: Rounding) -> Result<(), TestCaseError> {
            type Operation<F> = fn(&Env, <F as Format>::Bits, <F as Format>::Bits) -> (<F as Format>::Bits, Flags);
            let operations: [Operation<F>; 3] = [Env::add::<F>, Env::mul::<F>, Env::div::<F>];
            for operation in operations {
                let with = |policy, rounding| operation(&Env { rounding, ..Env::new(policy) }, a, b);
                let (truncated, _) = with(&EARLY, Rounding::Zero);
                let ((result, early), (same, late)) = (with(&EARLY, rounding), with(&RISCV, rounding));
                prop_assert_eq!(result, same);
                let underflow = early.has(Flags::INEXACT) && is_tiny::<F>(truncated);
                prop_assert_eq!(early.has(Flags::UNDERFLOW), underflow);
                prop_assert!(underflow || !late.has(Flags::UNDERFLOW));
            }
            Ok(())
        }
        check::<f32>(a, b, rounding)?;
        check::<Extended>(c, d, rounding)?;
    }
}

mod execute;

use solderless_float::Format;

use super::*;
use execute::{Effect, NAMES, execute};

const I: u32 = INEXACT;
const U: u32 = UNDERFLOW;
const O: u32 = OVERFLOW;
const Z: u32 = DIVIDE_BY_ZERO;
const V: u32 = INVALID;

const RN: u32 = 0;
const RZ: u32 = 1;
const RP: u32 = 2;
const RM: u32 = 3;
const FS: u32 = 1 << 24;

/// The Enables field with these exceptions.
const fn enabled(exceptions: u32) -> u32 {
    exceptions << 7
}

const ONE_S: u64 = 0x3f80_0000;
const MIN_S: u64 = 0x0080_0000;
const MAX_S: u64 = 0x7f7f_ffff;
const INF_S: u64 = 0x7f80_0000;
const QUIET_S: u64 = 0xffa0_0001;
const SIGNALING_S: u64 = 0x7fc0_0000;
const NAN_S: u64 = 0x7fbf_ffff;
const MINUS_S: u64 = 1 << 31;

const ONE: u64 = 0x3ff0_0000_0000_0000;
const TWO: u64 = 0x4000_0000_0000_0000;
const THREE: u64 = 0x4008_0000_0000_0000;
const HALF: u64 = 0x3fe0_0000_0000_0000;
const TENTH: u64 = 0x3fb9_9999_9999_999a;
const MIN: u64 = 0x0010_0000_0000_0000;
const MAX: u64 = 0x7fef_ffff_ffff_ffff;
const INF: u64 = 0x7ff0_0000_0000_0000;
const QUIET: u64 = 0x7ff0_0000_0000_1234;
const QUIET2: u64 = 0xfff7_0000_0000_0001;
const SIGNALING: u64 = 0xfff8_0000_0000_0000;
const NAN: u64 = 0x7ff7_ffff_ffff_ffff;
const MINUS: u64 = 1 << 63;
const MAX_W: u64 = 0x7fff_ffff;
const MAX_L: u64 = 0x7fff_ffff_ffff_ffff;

/// Checks `(instruction, FCSR, [fs, ft, fr], result, exceptions)`: untrapped, and with each of the
/// exceptions enabled.
fn check(cases: &[(&str, u32, [u64; 3], u64, u32)]) {
    for &(op, fcsr, [fs, ft, fr], result, exceptions) in cases {
        // Cause is replaced, Flags are added to.
        let before = fcsr | 0x3f << 12 | Z << 2;
        let after = fcsr | exceptions << 12 | (exceptions | Z) << 2;
        let want = Effect {
            result: Some(result),
            fcsr: after,
        };
        assert_eq!(
            execute(op, before, fs, ft, fr),
            want,
            "{op} FCSR={before:x} {fs:x} {ft:x} {fr:x}"
        );
        for trap in [I, U, O, Z, V]
            .into_iter()
            .filter(|bit| exceptions & bit != 0)
        {
            let before = fcsr | enabled(trap) | 0x3f << 12 | Z << 2;
            let after = fcsr | enabled(trap) | exceptions << 12 | Z << 2;
            let want = Effect {
                result: None,
                fcsr: after,
            };
            assert_eq!(
                execute(op, before, fs, ft, fr),
                want,
                "{op} FCSR={before:x} {fs:x} {ft:x} {fr:x}"
            );
        }
    }
}

#[test]
fn fcsr_has_its_fields_where_the_manual_says() {
    let mut fcsr = Fcsr::default();
    assert_eq!(fcsr.write(0xffff_ffff), Err(FpTrap), "Cause and Enables");
    assert_eq!(fcsr.0, 0xff83_ffff);
    assert_eq!(
        (fcsr.cause(), fcsr.enables(), fcsr.flags()),
        (0x3f, 0x1f, 0x1f)
    );
    assert_eq!((fcsr.rm(), fcsr.fs()), (Rounding::Down, true));
    assert_eq!(
        (fcsr.fccr(), fcsr.fexr(), fcsr.fenr()),
        (0xff, 0x3f07c, 0xf87)
    );
    for (rm, want) in [
        Rounding::Nearest,
        Rounding::Zero,
        Rounding::Up,
        Rounding::Down,
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(Fcsr(rm as u32).rm(), want);
    }
}

#[test]
fn condition_codes_have_their_bits() {
    for (n, bit) in [
        (0, 23),
        (1, 25),
        (2, 26),
        (3, 27),
        (4, 28),
        (5, 29),
        (6, 30),
        (7, 31),
    ] {
        let mut fcsr = Fcsr(0);
        fcsr.set_cc(n, true);
        assert_eq!(fcsr.0, 1 << bit);
        assert!(fcsr.cc(n));
        assert_eq!(fcsr.fccr(), 1 << n);
        fcsr.0 = !0;
        fcsr.set_cc(n, false);
        assert_eq!(fcsr.0, !(1 << bit));
        assert!(!fcsr.cc(n));
    }
}

#[test]
fn views_write_their_own_fields() {
    for (old, new) in [(0, !0), (0xff83_ffff, 0), (0x0083_0001, 0x5a5a_a5a5)] {
        let mut fcsr = Fcsr(old);
        fcsr.write_fccr(new);
        assert_eq!(
            (fcsr.fccr(), fcsr.fexr(), fcsr.fenr()),
            (new & 0xff, Fcsr(old).fexr(), Fcsr(old).fenr())
        );
        let mut fcsr = Fcsr(old);
        let _ = fcsr.write_fexr(new);
        assert_eq!(
            (fcsr.fccr(), fcsr.fexr(), fcsr.fenr()),
            (Fcsr(old).fccr(), new & 0x3f07c, Fcsr(old).fenr())
        );
        let mut fcsr = Fcsr(old);
        let _ = fcsr.write_fenr(new);
        assert_eq!(
            (fcsr.fccr(), fcsr.fexr(), fcsr.fenr()),
            (Fcsr(old).fccr(), Fcsr(old).fexr(), new & 0xf87)
        );
    }
}

#[test]
fn a_write_traps_where_cause_is_enabled() {
    for bit in [I, U, O, Z, V] {
        assert_eq!(Fcsr(0).write(bit << 12), Ok(()));
        assert_eq!(Fcsr(0).write(bit << 12 | enabled(!bit & 0x1f)), Ok(()));
        assert_eq!(Fcsr(0).write(bit << 12 | enabled(bit)), Err(FpTrap));
        assert_eq!(Fcsr(bit << 12).write_fenr(enabled(bit)), Err(FpTrap));
        assert_eq!(Fcsr(enabled(bit)).write_fexr(bit << 12), Err(FpTrap));
    }
    assert_eq!(
        Fcsr(0).write_fexr(UNIMPLEMENTED << 12),
        Err(FpTrap),
        "E cannot be disabled"
    );
}

#[test]
fn arithmetic() {
    check(&[
        ("add_d", RN, [ONE, TWO, 0], THREE, 0),
        (
            "add_d",
            RN,
            [TENTH, 0x3fc9_9999_9999_999a, 0],
            0x3fd3_3333_3333_3334,
            I,
        ),
        (
            "add_d",
            RZ,
            [TENTH, 0x3fc9_9999_9999_999a, 0],
            0x3fd3_3333_3333_3333,
            I,
        ),
        ("add_d", RN, [ONE, 1, 0], ONE, I),
        ("add_d", RP, [ONE, 1, 0], ONE + 1, I),
        ("add_d", RM, [ONE, 1 | MINUS, 0], ONE - 1, I),
        ("add_d", RN, [1, 1, 0], 2, 0),
        ("add_d", RN, [MAX, MAX, 0], INF, O | I),
        ("add_d", RZ, [MAX, MAX, 0], MAX, O | I),
        ("add_d", RM, [MAX, MAX, 0], MAX, O | I),
        (
            "add_d",
            RP,
            [MAX | MINUS, MAX | MINUS, 0],
            MAX | MINUS,
            O | I,
        ),
        (
            "add_d",
            RM,
            [MAX | MINUS, MAX | MINUS, 0],
            INF | MINUS,
            O | I,
        ),
        ("add_d", RN, [INF, INF | MINUS, 0], NAN, V),
        ("sub_d", RN, [INF, INF, 0], NAN, V),
        ("sub_d", RN, [INF, ONE, 0], INF, 0),
        ("sub_d", RN, [ONE, INF, 0], INF | MINUS, 0),
        ("sub_d", RN, [ONE, ONE, 0], 0, 0),
        ("sub_d", RM, [ONE, ONE, 0], MINUS, 0),
        ("sub_d", RN, [MINUS, 0, 0], MINUS, 0),
        ("add_d", RN, [MINUS, 0, 0], 0, 0),
        ("add_d", RM, [MINUS, 0, 0], MINUS, 0),
        ("add_s", RN, [ONE_S, 0x3380_0000, 0], ONE_S, I),
        ("add_s", RN, [ONE_S, 0x3380_0001, 0], ONE_S + 1, I),
        ("add_s", RN, [ONE_S + 1, 0x3380_0000, 0], ONE_S + 2, I),
        ("mul_d", RN, [THREE, HALF, 0], 0x3ff8_0000_0000_0000, 0),
        ("mul_d", RN, [TENTH, TENTH, 0], 0x3f84_7ae1_47ae_147c, I),
        ("mul_d", RN, [MAX, TWO, 0], INF, O | I),
        ("mul_d", RN, [INF, 0, 0], NAN, V),
        ("mul_d", RN, [INF, ONE | MINUS, 0], INF | MINUS, 0),
        ("mul_d", RN, [MINUS, THREE, 0], MINUS, 0),
        ("mul_s", RN, [MAX_S, MAX_S, 0], INF_S, O | I),
        ("mul_s", RN, [1, 1, 0], 0, U | I),
        ("mul_s", RP, [1, 1, 0], 1, U | I),
        ("div_d", RN, [ONE, THREE, 0], 0x3fd5_5555_5555_5555, I),
        ("div_d", RP, [ONE, THREE, 0], 0x3fd5_5555_5555_5556, I),
        ("div_d", RN, [THREE, TWO, 0], 0x3ff8_0000_0000_0000, 0),
        ("div_d", RN, [ONE, MINUS, 0], INF | MINUS, Z),
        ("div_d", RN, [0, 0, 0], NAN, V),
        ("div_d", RN, [INF, INF, 0], NAN, V),
        ("div_d", RN, [INF, 0, 0], INF, 0),
        ("div_d", RN, [ONE, INF, 0], 0, 0),
        ("sqrt_d", RN, [TWO, 0, 0], 0x3ff6_a09e_667f_3bcd, I),
        ("sqrt_d", RZ, [TWO, 0, 0], 0x3ff6_a09e_667f_3bcc, I),
        ("sqrt_d", RN, [0x4022_0000_0000_0000, 0, 0], THREE, 0),
        ("sqrt_d", RN, [MINUS, 0, 0], MINUS, 0),
        ("sqrt_d", RN, [ONE | MINUS, 0, 0], NAN, V),
        ("sqrt_d", RN, [INF | MINUS, 0, 0], NAN, V),
        ("sqrt_d", RN, [INF, 0, 0], INF, 0),
        ("sqrt_s", RN, [1, 0, 0], 0x1a35_04f3, I),
        ("recip_d", RN, [HALF, 0, 0], TWO, 0),
        ("recip_d", RN, [0, 0, 0], INF, Z),
        ("recip_s", RN, [INF_S | MINUS_S, 0, 0], MINUS_S, 0),
        ("rsqrt_d", RN, [0x3fd0_0000_0000_0000, 0, 0], TWO, 0),
        ("rsqrt_d", RN, [MINUS, 0, 0], INF | MINUS, Z),
        ("rsqrt_d", RN, [ONE | MINUS, 0, 0], NAN, V),
        ("abs_s", RN, [ONE_S | MINUS_S, 0, 0], ONE_S, 0),
        ("neg_s", RN, [0, 0, 0], MINUS_S, 0),
        ("abs_d", RN, [INF | MINUS, 0, 0], INF, 0),
        ("neg_d", RM, [ONE, 0, 0], ONE | MINUS, 0),
    ]);
}

#[test]
fn multiply_add_rounds_twice() {
    // 1 + 2^-52, whose square is 1 + 2^-51 + 2^-104.
    let x = ONE + 1;
    check(&[
        ("madd_d", RN, [THREE, TWO, ONE], 0x401c_0000_0000_0000, 0),
        ("msub_d", RN, [THREE, TWO, ONE], 0x4014_0000_0000_0000, 0),
        ("nmadd_d", RN, [THREE, TWO, ONE], 0xc01c_0000_0000_0000, 0),
        ("nmsub_d", RN, [THREE, TWO, ONE], 0xc014_0000_0000_0000, 0),
        ("msub_d", RN, [x, x, ONE + 2], 0, I),
        ("nmsub_d", RN, [x, x, ONE + 2], MINUS, I),
        ("madd_d", RN, [MAX, TWO, INF | MINUS], NAN, O | I | V),
        ("madd_d", RN, [INF, 0, QUIET], NAN, V),
        ("nmadd_d", RN, [INF, 0, ONE], NAN | MINUS, V),
        ("nmadd_d", RN, [ONE, ONE, QUIET], QUIET | MINUS, 0),
        ("madd_s", RN, [1, 1, ONE_S], ONE_S, U | I),
    ]);
}

#[test]
fn nans() {
    check(&[
        ("add_d", RN, [QUIET, ONE, 0], QUIET, 0),
        ("add_d", RN, [ONE, QUIET2, 0], QUIET2, 0),
        ("add_d", RN, [QUIET, QUIET2, 0], QUIET, 0),
        ("sub_d", RN, [QUIET2, QUIET, 0], QUIET2, 0),
        ("sub_d", RN, [INF, QUIET, 0], QUIET, 0),
        ("mul_d", RN, [SIGNALING, QUIET, 0], NAN, V),
        ("mul_d", RN, [QUIET, SIGNALING, 0], NAN, V),
        ("div_d", RN, [QUIET, 0, 0], QUIET, 0),
        ("div_s", RN, [SIGNALING_S, 0, 0], NAN_S, V),
        ("sqrt_d", RN, [QUIET2, 0, 0], QUIET2, 0),
        ("sqrt_s", RN, [SIGNALING_S, 0, 0], NAN_S, V),
        ("recip_s", RN, [QUIET_S, 0, 0], QUIET_S, 0),
        ("madd_d", RN, [QUIET, ONE, QUIET2], QUIET, 0),
        ("madd_d", RN, [ONE, ONE, SIGNALING], NAN, V),
        ("abs_d", RN, [QUIET2, 0, 0], QUIET2 & !MINUS, V),
        ("neg_d", RN, [QUIET2, 0, 0], QUIET2 & !MINUS, V),
        ("neg_s", RN, [QUIET_S, 0, 0], QUIET_S & !MINUS_S, V),
        ("abs_s", RN, [SIGNALING_S, 0, 0], NAN_S, V),
        ("neg_d", RN, [SIGNALING, 0, 0], NAN, V),
        ("cvt_d_s", RN, [QUIET_S, 0, 0], 0xfff4_0000_2000_0000, 0),
        ("cvt_d_s", RN, [SIGNALING_S, 0, 0], NAN, V),
        ("cvt_s_d", RN, [QUIET2, 0, 0], 0xffb8_0000, 0),
        // All the fraction bits there are get lost.
        ("cvt_s_d", RN, [QUIET, 0, 0], NAN_S, 0),
        ("cvt_s_d", RN, [SIGNALING, 0, 0], NAN_S, V),
    ]);
}

#[test]
fn underflow_is_detected_after_rounding() {
    check(&[
        ("mul_d", RN, [MIN, HALF, 0], MIN >> 1, 0),
        ("mul_d", RN, [MIN + 1, HALF, 0], MIN >> 1, U | I),
        ("mul_d", RP, [MIN + 1, HALF, 0], (MIN >> 1) + 1, U | I),
        // (1 - 2^-52)(1 + 2^-52) 2^-1022: rounds up to the smallest normal, so is not tiny.
        ("mul_d", RN, [MIN - 1, ONE + 1, 0], MIN, I),
        ("mul_d", RZ, [MIN - 1, ONE + 1, 0], MIN - 1, U | I),
        // (1 - 2^-53) 2^-1022 is tiny as a 53-bit number, though its subnormal rounding is normal.
        ("div_d", RN, [0x001f_ffff_ffff_ffff, TWO, 0], MIN, U | I),
        ("div_s", RN, [0x00ff_ffff, 0x4000_0000, 0], MIN_S, U | I),
        ("cvt_s_d", RN, [0x380f_ffff_ffff_ffff, 0, 0], MIN_S, I),
        ("cvt_s_d", RN, [0x3690_0000_0000_0000, 0, 0], 0, U | I),
        ("cvt_s_d", RN, [0x3690_0000_0000_0001, 0, 0], 1, U | I),
    ]);
    // An exact tiny result raises Underflow, alone, where it traps.
    for (op, fs, ft) in [
        ("mul_d", MIN, HALF),
        ("add_d", 1, 1),
        ("sub_d", MIN + 1, MIN),
        ("mul_s", MIN_S, 0x3f00_0000),
    ] {
        let want = Effect {
            result: None,
            fcsr: enabled(U) | U << 12,
        };
        assert_eq!(execute(op, enabled(U), fs, ft, 0), want, "{op}");
    }
}

#[test]
fn flush_to_zero() {
    check(&[
        ("mul_d", FS, [MIN, HALF, 0], 0, U | I),
        ("mul_d", FS | RP, [MIN, HALF | MINUS, 0], MINUS, U | I),
        ("mul_d", FS, [MIN - 1, TWO, 0], 0, 0),
        ("mul_d", FS, [MIN, TWO, 0], 2 * MIN, 0),
        ("div_d", FS, [0x001f_ffff_ffff_ffff, TWO, 0], 0, U | I),
        ("div_d", FS, [ONE, 1, 0], INF, Z),
        ("div_d", FS, [1, 1, 0], NAN, V),
        ("add_d", FS, [ONE, 1, 0], ONE, 0),
        ("add_d", FS, [1 | MINUS, 1 | MINUS, 0], MINUS, 0),
        ("sub_d", FS, [MIN + 1, MIN, 0], 0, U | I),
        ("sqrt_d", FS, [1 | MINUS, 0, 0], MINUS, 0),
        ("madd_d", FS, [MIN, HALF, MIN], MIN, U | I),
        ("cvt_d_s", FS, [1, 0, 0], 0, 0),
        ("cvt_s_d", FS, [0x3800_0000_0000_0000, 0, 0], 0, U | I),
        ("ceil_w_d", FS, [1, 0, 0], 0, 0),
        ("neg_d", FS, [1, 0, 0], 1 | MINUS, 0),
    ]);
}

#[test]
fn conversions() {
    let minus_2_31 = 0xc1e0_0000_0000_0000;
    let minus_2_63 = 0xc3e0_0000_0000_0000;
    let w = |value: i32| u64::from(value.cast_unsigned());
    let l = |value: i64| value.cast_unsigned();
    let (half_more, minus_half_more) = (0x4004_0000_0000_0000, 0xc004_0000_0000_0000);
    check(&[
        ("round_w_d", RM, [half_more, 0, 0], 2, I),
        ("round_w_d", RM, [0x400c_0000_0000_0000, 0, 0], 4, I),
        ("round_l_d", RP, [HALF, 0, 0], 0, I),
        ("trunc_w_d", RP, [minus_half_more, 0, 0], w(-2), I),
        ("ceil_w_d", RM, [half_more, 0, 0], 3, I),
        ("ceil_w_d", RN, [minus_half_more, 0, 0], w(-2), I),
        ("floor_w_d", RN, [half_more, 0, 0], 2, I),
        ("floor_l_d", RN, [minus_half_more, 0, 0], l(-3), I),
        ("floor_l_s", RN, [1 | MINUS_S, 0, 0], l(-1), I),
        ("ceil_w_s", RN, [1, 0, 0], 1, I),
        ("cvt_w_d", RN, [half_more, 0, 0], 2, I),
        ("cvt_w_d", RZ, [minus_half_more, 0, 0], w(-2), I),
        ("cvt_w_d", RP, [half_more, 0, 0], 3, I),
        ("cvt_l_d", RM, [minus_half_more, 0, 0], l(-3), I),
        ("cvt_w_d", RN, [minus_2_31, 0, 0], w(i32::MIN), 0),
        ("cvt_w_d", RN, [minus_2_31 + 1, 0, 0], w(i32::MIN), I),
        ("cvt_w_d", RM, [minus_2_31 + 1, 0, 0], MAX_W, V),
        ("cvt_w_d", RN, [minus_2_31 ^ MINUS, 0, 0], MAX_W, V),
        ("cvt_w_d", RN, [0x41df_ffff_ffc0_0000, 0, 0], MAX_W, 0),
        ("cvt_w_d", RN, [0x41df_ffff_ffe0_0000, 0, 0], MAX_W, V),
        ("cvt_w_d", RZ, [0x41df_ffff_ffe0_0000, 0, 0], MAX_W, I),
        ("cvt_l_d", RN, [minus_2_63, 0, 0], l(i64::MIN), 0),
        ("cvt_l_d", RN, [minus_2_63 + 1, 0, 0], MAX_L, V),
        (
            "cvt_l_d",
            RN,
            [0x43df_ffff_ffff_ffff, 0, 0],
            0x7fff_ffff_ffff_fc00,
            0,
        ),
        ("cvt_l_s", RN, [INF_S | MINUS_S, 0, 0], MAX_L, V),
        ("trunc_w_s", RN, [QUIET_S, 0, 0], MAX_W, V),
        ("trunc_l_d", RN, [SIGNALING, 0, 0], MAX_L, V),
        ("trunc_w_d", RN, [MINUS, 0, 0], 0, 0),
        ("cvt_s_w", RN, [w(0x0100_0001), 0, 0], 0x4b80_0000, I),
        ("cvt_s_w", RP, [w(0x0100_0001), 0, 0], 0x4b80_0001, I),
        ("cvt_s_w", RN, [w(i32::MIN), 0, 0], 0xcf00_0000, 0),
        ("cvt_s_w", RM, [0, 0, 0], 0, 0),
        ("cvt_d_w", RN, [w(-1), 0, 0], ONE | MINUS, 0),
        ("cvt_d_l", RN, [l(i64::MIN), 0, 0], minus_2_63, 0),
        ("cvt_d_l", RN, [MAX_L, 0, 0], minus_2_63 ^ MINUS, I),
        ("cvt_d_l", RZ, [MAX_L, 0, 0], 0x43df_ffff_ffff_ffff, I),
        ("cvt_s_l", RZ, [l(-0x100_0001), 0, 0], 0xcb80_0000, I),
        ("cvt_s_d", RN, [TENTH, 0, 0], 0x3dcc_cccd, I),
        ("cvt_s_d", RZ, [TENTH, 0, 0], 0x3dcc_cccc, I),
        ("cvt_s_d", RN, [MAX, 0, 0], INF_S, O | I),
        ("cvt_s_d", RZ, [MAX | MINUS, 0, 0], MAX_S | MINUS_S, O | I),
        ("cvt_s_d", RN, [INF | MINUS, 0, 0], INF_S | MINUS_S, 0),
        ("cvt_d_s", RN, [1, 0, 0], 0x36a0_0000_0000_0000, 0),
        ("cvt_d_s", RN, [0x3dcc_cccd, 0, 0], 0x3fb9_9999_a000_0000, 0),
    ]);
}

#[test]
fn compares() {
    // Operands, and the bit of `cond` for their relation; 0 is greater.
    let pairs = [
        (ONE, TWO, 4),
        (TWO, ONE, 0),
        (TWO, TWO, 2),
        (ONE | MINUS, TWO | MINUS, 0),
        (TWO | MINUS, ONE, 4),
        (0, MINUS, 2),
        (1, 2, 4),
        (1 | MINUS, 0, 4),
        (INF | MINUS, MAX | MINUS, 4),
        (INF, INF, 2),
        (QUIET, ONE, 1),
        (ONE, QUIET, 1),
        (SIGNALING, ONE, 1),
        (QUIET, SIGNALING, 1),
    ];
    for (fs, ft, relation) in pairs {
        let signals = fs == SIGNALING || ft == SIGNALING;
        for cond in 0..16 {
            let invalid = if signals || cond & 8 != 0 && relation == 1 {
                V
            } else {
                0
            };
            let holds = cond & relation != 0;
            for cc in 0..8 {
                let mut fcsr = Fcsr(0x3f << 12);
                fcsr.set_cc(cc, !holds);
                let mut want = Fcsr(invalid << 12 | invalid << 2);
                want.set_cc(cc, holds);
                assert_eq!(c_cond_d(&mut fcsr, cond, cc, fs, ft), Ok(()));
                assert_eq!(fcsr, want, "C.{cond}.D {cc}, {fs:x}, {ft:x}");

                let mut fcsr = Fcsr(enabled(V));
                fcsr.set_cc(cc, !holds);
                let trapped = c_cond_d(&mut fcsr, cond, cc, fs, ft).is_err();
                assert_eq!(trapped, invalid != 0);
                assert_eq!(
                    fcsr.cc(cc),
                    holds != trapped,
                    "a trapped compare leaves its condition code"
                );
            }
        }
    }
    for (fcsr, fs, ft, equal) in [
        (0, 1, 2 | MINUS, false),
        (FS, 1, 2 | MINUS, true),
        (FS, 1, MIN, false),
    ] {
        assert_eq!(
            execute("c2_d", fcsr, fs, ft, 0).result,
            Some(u64::from(equal)),
            "flushed operands"
        );
    }
}

/// Xorshift64*, for operands.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 16) % n
    }

    /// A value of a format, mostly one where something happens.
    fn value<F: Format>(&mut self) -> u64 {
        let top = u64::from(F::TOP_EXPONENT);
        let fraction_bits = F::PRECISION - 1;
        let exp = match self.below(8) {
            0 => 0,
            1 => 1 + self.below(3),
            2 => top - self.below(3),
            3 => self.next() & top,
            4 => top / 4 + self.below(8),
            _ => top / 2 - 4 + self.below(u64::from(fraction_bits) + 16),
        };
        let fraction = match self.below(6) {
            0 => 0,
            1 => !0,
            2 => self.below(4),
            3 => self.next() << self.below(fraction_bits.into()),
            4 => !(1 << self.below(fraction_bits.into())),
            _ => self.next(),
        };
        (self.next() & 1) << (F::EXPONENT_BITS + fraction_bits)
            | exp << fraction_bits
            | fraction & ((1 << fraction_bits) - 1)
    }
}

/// What takes two operations raises what either does, whoever computes it.
#[test]
fn two_operations_in_one() {
    fn check<F: Host>(seed: u64, names: [&str; 3]) {
        let mut random = Random(seed);
        for _ in 0..20_000 {
            let (a, b) = (random.value::<F>(), random.value::<F>());
            let product = |env: Env| env.mul::<F>(bits::<F>(a), bits::<F>(b));
            // The sum often cancels.
            let c = match random.below(2) {
                0 => random.value::<F>(),
                _ => product(env(Fcsr(0))).0.into() ^ random.below(4),
            };
            for fcsr in [0, FS] {
                let env = env(Fcsr(fcsr));
                let (p, multiplying) = product(env);
                let (root, rooting) = env.sqrt::<F>(bits::<F>(a));
                let (sum, adding) = env.add::<F>(p, bits::<F>(c));
                let (difference, subtracting) = env.sub::<F>(p, bits::<F>(c));
                let (reciprocal, dividing) = env.div::<F>(F::one(), root);
                let wants = [
                    (sum, multiplying | adding),
                    (difference, multiplying | subtracting),
                    (reciprocal, rooting | dividing),
                ];
                for (op, (result, flags)) in names.into_iter().zip(wants) {
                    let exceptions = u32::from((flags & Flags::IEEE).bits());
                    let want = Effect {
                        result: Some(result.into()),
                        fcsr: fcsr | exceptions << 12 | exceptions << 2,
                    };
                    let effect = execute(op, fcsr, a, b, c);
                    assert_eq!(effect, want, "{op} FCSR={fcsr:x} {a:x} {b:x} {c:x}");
                }
            }
        }
    }
    fn bits<F: Host>(value: u64) -> F::Bits {
        F::truncate(value.into())
    }
    check::<f32>(1, ["madd_s", "msub_s", "rsqrt_s"]);
    check::<f64>(2, ["madd_d", "msub_d", "rsqrt_d"]);
}

/// Directed results are next to each other, with the nearest among them, and are one number if
/// exact.
#[test]
fn rounding_modes_enclose_the_exact_result() {
    let mut random = Random(6);
    for _ in 0..20_000 {
        for (sign, (a, b), ops) in [
            (
                MINUS_S,
                (random.value::<f32>(), random.value::<f32>()),
                ["add_s", "mul_s", "div_s"],
            ),
            (
                MINUS,
                (random.value::<f64>(), random.value::<f64>()),
                ["add_d", "mul_d", "div_d"],
            ),
        ] {
            for op in ops {
                let [nearest, zero, up, down] = [RN, RZ, RP, RM].map(|rm| execute(op, rm, a, b, 0));
                let inexact = nearest.fcsr & I << 12 != 0;
                let order = |e: Effect| {
                    let bits = e.result.unwrap_or(0);
                    let magnitude = (bits & (sign - 1)).cast_signed();
                    if bits & sign != 0 {
                        -magnitude
                    } else {
                        magnitude
                    }
                };
                assert_eq!(
                    order(up) - order(down),
                    i64::from(inexact),
                    "{op} {a:x} {b:x}"
                );
                assert!(nearest.result == up.result || nearest.result == down.result || !inexact);
                assert_eq!(
                    order(zero).abs(),
                    order(up).abs().min(order(down).abs()),
                    "{op} {a:x} {b:x}"
                );
            }
        }
    }
}

/// Any operands with any FCSR: a trap is what Enables says, and writes no Flags; without one, Flags
/// gather Cause.
#[test]
fn cause_flags_and_traps_agree() {
    let mut random = Random(7);
    let compares = (0..16).flat_map(|cond| [format!("c{cond}_s"), format!("c{cond}_d")]);
    let ops: Vec<String> = NAMES
        .split(' ')
        .map(str::to_owned)
        .chain(compares)
        .collect();
    for _ in 0..2_000 {
        for op in &ops {
            let operands = [(); 3].map(|()| {
                if op.ends_with("_s") {
                    random.value::<f32>()
                } else {
                    random.value::<f64>()
                }
            });
            let before = Fcsr(random.next() as u32 & Fcsr::WRITABLE);
            let effect = execute(op, before.0, operands[0], operands[1], operands[2]);
            let after = Fcsr(effect.fcsr);
            assert_eq!(after.cause() & UNIMPLEMENTED, 0, "{op}");
            assert_eq!(
                effect.result.is_none(),
                after.cause() & before.enables() != 0,
                "{op} {operands:x?} {before:x?}"
            );
            let raised = if effect.result.is_none() {
                0
            } else {
                after.cause()
            };
            assert_eq!(
                after.flags(),
                before.flags() | raised,
                "{op} {operands:x?} {before:x?}"
            );
            assert_eq!(after.fenr(), before.fenr());
            // What is enabled has no bearing on an untrapped result, but for the exact tiny one.
            let untrapped = execute(
                op,
                before.0 & !enabled(0x1f),
                operands[0],
                operands[1],
                operands[2],
            );
            assert_eq!(
                effect.result.unwrap_or(0),
                effect.result.and(untrapped.result).unwrap_or(0),
                "{op}"
            );
        }
    }
}

#[test]
fn golden_vectors() {
    let mut count = 0;
    for line in include_str!("tests/golden.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
    {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [op, fcsr, fs, ft, fr, result, after] = words[..] else {
            panic!("{line}")
        };
        let hex = |word: &str| u64::from_str_radix(word, 16).unwrap_or_else(|_| panic!("{line}"));
        let want = Effect {
            result: (result != "trap").then(|| hex(result)),
            fcsr: hex(after) as u32,
        };
        assert_eq!(
            execute(op, hex(fcsr) as u32, hex(fs), hex(ft), hex(fr)),
            want,
            "{line}"
        );
        count += 1;
    }
    assert!(count > 300);
}

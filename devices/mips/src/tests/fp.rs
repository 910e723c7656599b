//! Floating point instructions around the arithmetic.

use super::{CODE, Rig, i};
use crate::CpuModel;

const CU1: u32 = 1 << 29;
const FR: u32 = 1 << 26;
const T0: u32 = 8;
const T1: u32 = 9;

fn fp(fmt: u32, function: u32, ft: u32, fs: u32, fd: u32) -> u32 {
    0x11 << 26 | fmt << 21 | ft << 16 | fs << 11 | fd << 6 | function
}
const S: u32 = 16;
const D: u32 = 17;
const W: u32 = 20;
const L: u32 = 21;

/// Moves between t1 and floating point registers.
fn moves(op: u32, fs: u32) -> u32 {
    0x11 << 26 | op << 21 | T1 << 16 | fs << 11
}
const MFC1: u32 = 0;
const CFC1: u32 = 2;
const MFHC1: u32 = 3;
const MTC1: u32 = 4;
const CTC1: u32 = 6;
const MTHC1: u32 = 7;

fn rig(status: u32, words: &[u32]) -> Rig {
    let mut rig = Rig::new(|_| ());
    rig.set(32, status);
    rig.put(CODE, words);
    rig
}

fn set_double(rig: &mut Rig, register: u32, value: f64) {
    let bits = value.to_bits();
    for (op, part) in [(MTC1, bits as u32), (MTHC1, (bits >> 32) as u32)] {
        rig.set(9, part);
        rig.execute(&[moves(op, register)]);
    }
}

fn double(rig: &mut Rig, register: u32) -> f64 {
    rig.execute(&[moves(MFC1, register)]);
    let low = rig.get(9);
    rig.execute(&[moves(MFHC1, register)]);
    f64::from_bits(u64::from(rig.get(9)) << 32 | u64::from(low))
}

#[test]
fn a_double_is_a_pair_or_a_register() {
    for (status, register) in [(CU1, 2), (CU1 | FR, 3)] {
        let mut rig = rig(status, &[fp(D, 0, 4, register, register)]);
        set_double(&mut rig, register, 1.5);
        set_double(&mut rig, 4, 2.25);
        rig.run(1);
        assert_eq!(double(&mut rig, register), 3.75);
    }
    let mut rig = rig(CU1, &[moves(MFC1, 3)]);
    set_double(&mut rig, 2, 1.5);
    rig.run(1);
    assert_eq!(
        rig.get(9),
        0x3ff8_0000,
        "the odd register is the upper half"
    );
}

#[test]
fn what_the_mode_does_not_have_is_reserved() {
    for (name, status, word, expected) in [
        ("odd pair", CU1, fp(D, 0, 2, 3, 4), 10),
        ("odd pair, ldc1", CU1, i(0x35, T0, 3, 0), 10),
        ("cvt.l", CU1, fp(D, 0x25, 0, 2, 4), 10),
        ("paired single", CU1 | FR, fp(22, 0, 2, 4, 6), 10),
        ("no format", CU1 | FR, fp(18, 0, 2, 4, 6), 10),
        ("add.w", CU1 | FR, fp(W, 0, 2, 4, 6), 10),
        ("cvt.s.s", CU1 | FR, fp(S, 0x20, 0, 4, 6), 10),
        ("off", FR, fp(S, 0, 2, 4, 6), 11),
        ("off, cop1x", FR, 0x4c00_0020, 11),
        ("luxc1", CU1, 0x4c00_0005, 10),
    ] {
        let rig = &mut rig(status, &[word]);
        rig.run(1);
        assert_eq!(
            (rig.pc(), rig.cp0(13, 0) >> 2 & 31),
            (0x8000_0180, expected),
            "{name}"
        );
        if expected == 11 {
            assert_eq!(rig.cp0(13, 0) >> 28 & 3, 1, "{name}: Cause.CE");
        }
    }
    let mut rig = Rig::new(|p| p.model = CpuModel::M24Kc);
    rig.set(32, CU1);
    assert_eq!(rig.cp0(12, 0), 0, "without an FPU, it cannot be enabled");
}

#[test]
fn computing_and_converting() {
    // fs in $f2, ft in $f4, fr in $f6; the result's bits in $f8.
    let x = |function: u32| 0x13 << 26 | 6 << 21 | 4 << 16 | 2 << 11 | 8 << 6 | function;
    let binary = |function| fp(D, function, 4, 2, 8);
    let unary = |function| fp(D, function, 0, 2, 8);
    for (name, word, expected) in [
        ("add", binary(0), 9.5f64.to_bits()),
        ("sub", binary(1), 5.5f64.to_bits()),
        ("mul", binary(2), 15.0f64.to_bits()),
        ("div", binary(3), 3.75f64.to_bits()),
        ("sqrt", fp(D, 4, 0, 10, 8), 3.0f64.to_bits()),
        ("abs", fp(D, 5, 0, 12, 8), 1.0f64.to_bits()),
        ("mov", unary(6), 7.5f64.to_bits()),
        ("neg", unary(7), (-7.5f64).to_bits()),
        ("round.l", unary(0x08), 8),
        ("trunc.l", unary(0x09), 7),
        ("ceil.l", unary(0x0a), 8),
        ("floor.l", fp(D, 0x0b, 0, 12, 8), u64::MAX),
        ("cvt.l", unary(0x25), 8),
        ("cvt.d.l", fp(L, 0x21, 0, 14, 8), 5.0f64.to_bits()),
        ("madd", x(0x21), 16.0f64.to_bits()),
        ("msub", x(0x29), 14.0f64.to_bits()),
        ("nmadd", x(0x31), (-16.0f64).to_bits()),
        ("nmsub", x(0x39), (-14.0f64).to_bits()),
        ("recip", fp(D, 0x15, 0, 4, 8), 0.5f64.to_bits()),
        ("rsqrt", fp(D, 0x16, 0, 10, 8), (1.0 / 3.0f64).to_bits()),
    ] {
        let rig = &mut rig(CU1 | FR, &[word]);
        for (register, value) in [
            (2, 7.5),
            (4, 2.0),
            (6, 1.0),
            (10, 9.0),
            (12, -1.0),
            (14, f64::from_bits(5)),
        ] {
            set_double(rig, register, value);
        }
        rig.run(1);
        assert_eq!(rig.pc(), CODE + 4, "{name}");
        assert_eq!(double(rig, 8).to_bits(), expected, "{name}");
    }
}

#[test]
fn conditions_branch_and_move() {
    let movci = |tf: u32, cc: u32| T0 << 21 | cc << 18 | tf << 16 | T1 << 11 | 1;
    for (function, holds) in [(0x3c, true), (0x32, false), (0x3e, true)] {
        for cc in [0, 1, 7] {
            let compare = fp(D, function, 4, 2, 0) | cc << 8;
            let bc1t = 0x4501_0003 | cc << 18;
            let rig = &mut rig(
                CU1,
                &[
                    compare,
                    movci(1, cc),
                    bc1t,
                    movci(0, cc),
                    i(0x0d, 0, 10, 1),
                    0,
                    0,
                ],
            );
            set_double(rig, 2, 1.0);
            set_double(rig, 4, 2.0);
            rig.set(8, 55);
            rig.set(9, 0);
            rig.run(2);
            assert_eq!(rig.get(9), if holds { 55 } else { 0 }, "{function:x} {cc}");
            rig.set(9, 0);
            rig.run(1);
            assert_eq!(rig.get(9), if holds { 0 } else { 55 });
            assert_eq!(rig.pc(), CODE + if holds { 24 } else { 16 });
        }
    }
    // The slot changes the condition, too late.
    let rig = &mut rig(CU1, &[0x4501_0003, fp(D, 0x3f, 4, 2, 0)]);
    rig.run(1);
    assert_eq!(rig.pc(), CODE + 8);
}

#[test]
fn enabled_exceptions_trap() {
    let rig = &mut rig(CU1 | FR, &[fp(D, 3, 4, 2, 8)]);
    set_double(rig, 2, 1.0);
    set_double(rig, 4, 0.0);
    set_double(rig, 8, 3.0);
    rig.set(9, 1 << 10);
    rig.execute(&[moves(CTC1, 31)]);
    rig.run(1);
    assert_eq!((rig.pc(), rig.cp0(13, 0) >> 2 & 31), (0x8000_0180, 15));
    assert_eq!(rig.get(70), 1 << 15 | 1 << 10, "Cause.Z, and no flag");
    assert_eq!(double(rig, 8), 3.0, "nothing written");
    rig.set(32, CU1 | FR);
    rig.set(9, 1 << 15 | 1 << 10);
    rig.put(CODE, &[moves(CTC1, 31)]);
    rig.go(CODE);
    rig.run(1);
    assert_eq!(rig.pc(), 0x8000_0180, "CTC1 traps as well");
}

#[test]
fn cause_is_right_whenever_it_is_read() {
    let divide = fp(D, 3, 4, 2, 8);
    let values = [
        (1.0, 3.0),
        (1.0, 2.0),
        (0.0, 5.0),
        (1e-310, 3.0),
        (1e300, 1e-300),
        (f64::NAN, 1.0),
    ];
    for flags in [0, 4] {
        for (fs, ft) in values {
            for op in 0..4 {
                let mut rig = rig(CU1 | FR, &[divide & !3 | op, moves(CFC1, 31)]);
                set_double(&mut rig, 2, fs);
                set_double(&mut rig, 4, ft);
                rig.set(70, flags);
                rig.run(2);
                let mut expected = crate::fpu::Fcsr(flags);
                let function = [
                    crate::fpu::add_d,
                    crate::fpu::sub_d,
                    crate::fpu::mul_d,
                    crate::fpu::div_d,
                ];
                let value =
                    function[op as usize](&mut expected, fs.to_bits(), ft.to_bits()).unwrap();
                assert_eq!(rig.get(9), expected.0, "{op} of {fs} and {ft}");
                assert_eq!(rig.get(70), expected.0);
                assert_eq!(double(&mut rig, 8).to_bits(), value);
            }
        }
    }
}

#[test]
fn loads_and_stores() {
    for (big, status) in [
        (false, CU1),
        (true, CU1),
        (false, CU1 | FR),
        (true, CU1 | FR),
    ] {
        let mut rig = Rig::new(|p| p.big_endian = big);
        rig.set(32, status);
        rig.set(8, 0x8000_2000);
        let pi = std::f64::consts::PI;
        rig.ram
            .write(
                0x2000,
                &if big {
                    pi.to_be_bytes()
                } else {
                    pi.to_le_bytes()
                },
            )
            .unwrap();
        // ldc1 $f2, 0; sdc1 $f2, 8; lwc1 $f4, 4; swc1 $f4, 16; then the indexed ones, by t2 = 8.
        rig.set(10, 8);
        let x = |function: u32, fs: u32, fd: u32| {
            0x13 << 26 | T0 << 21 | 10 << 16 | fs << 11 | fd << 6 | function
        };
        rig.put(
            CODE,
            &[
                i(0x35, T0, 2, 0),
                i(0x3d, T0, 2, 8),
                i(0x31, T0, 4, 4),
                i(0x39, T0, 4, 16),
                x(0x01, 0, 6),
                x(0x00, 0, 8),
                i(0x3d, T0, 6, 24),
                i(0x39, T0, 8, 32),
                i(0x09, 0, 10, 40),
                x(0x09, 6, 0),
                i(0x09, 0, 10, 48),
                x(0x08, 8, 0),
            ],
        );
        rig.run(12);
        assert_eq!(rig.pc(), CODE + 48);
        let at = |offset: u32| [rig.word(0x2000 + offset), rig.word(0x2004 + offset)];
        let whole = at(0);
        for offset in [8, 24, 40] {
            assert_eq!(at(offset), whole, "{offset} {big} {status:x}");
        }
        assert_eq!(at(16)[0], whole[1]);
        assert_eq!((at(32)[0], at(48)[0]), (whole[0], whole[0]));
    }
}

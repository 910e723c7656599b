//! Exceptions: where they go and what they leave.

use solderless_model::Pin;

use super::{CODE, NOP, Rig, i, r};
use crate::CpuModel;

const T0: u32 = 8;
const T1: u32 = 9;
const BD: u32 = 1 << 31;
const EXL: u32 = 2;

/// MTC0 and MFC0 of t1.
pub fn mtc0(register: u32, select: u32) -> u32 {
    0x4080_0000 | T1 << 16 | register << 11 | select
}
pub fn mfc0(register: u32, select: u32) -> u32 {
    0x4000_0000 | T1 << 16 | register << 11 | select
}

fn code(rig: &Rig) -> u32 {
    rig.cp0(13, 0) >> 2 & 31
}

#[test]
fn causes() {
    // Instruction, t0, t1, ExcCode, BadVAddr if it is set.
    type Case<'a> = (&'a str, u32, u32, u32, u32, Option<u32>);
    let table: &[Case<'_>] = &[
        ("syscall", 0x0000_000c, 0, 0, 8, None),
        ("break", 0x0000_000d, 0, 0, 9, None),
        ("reserved", 0x0000_0005, 0, 0, 10, None),
        ("ldl", 0x6800_0000, 0, 0, 10, None),
        ("sdbbp", 0x7000_003f, 0, 0, 10, None),
        ("rotr of 2", r(0x02, 2, T0, T1, 1), 0, 0, 10, None),
        ("lwc2", i(0x32, T0, T1, 0), 0, 0, 11, None),
        ("add.s", 0x4600_0000, 0, 0, 11, None),
        ("movf", 0x0000_0001, 0, 0, 11, None),
        ("add", r(0x20, T0, T1, 1, 0), 0x7fff_ffff, 1, 12, None),
        ("sub", r(0x22, T0, T1, 1, 0), 0x8000_0000, 1, 12, None),
        ("addi", i(0x08, T0, 1, 0xffff), 0x8000_0000, 0, 12, None),
        ("teq", r(0x34, T0, T1, 0, 0), 5, 5, 13, None),
        ("tne", r(0x36, T0, T1, 0, 0), 5, 6, 13, None),
        ("tge", r(0x30, T0, T1, 0, 0), 0, 0xffff_ffff, 13, None),
        ("tgeu", r(0x31, T0, T1, 0, 0), 0xffff_ffff, 0, 13, None),
        ("tlt", r(0x32, T0, T1, 0, 0), 0xffff_ffff, 0, 13, None),
        ("tltu", r(0x33, T0, T1, 0, 0), 0, 0xffff_ffff, 13, None),
        ("tgei", i(1, T0, 0x08, 0xffff), 0, 0, 13, None),
        ("tgeiu", i(1, T0, 0x09, 0xffff), 0xffff_ffff, 0, 13, None),
        ("tlti", i(1, T0, 0x0a, 0), 0xffff_ffff, 0, 13, None),
        ("tltiu", i(1, T0, 0x0b, 0xffff), 5, 0, 13, None),
        ("teqi", i(1, T0, 0x0c, 0xfffe), 0xffff_fffe, 0, 13, None),
        ("tnei", i(1, T0, 0x0e, 0), 1, 0, 13, None),
        (
            "lw",
            i(0x23, T0, T1, 1),
            0x8000_2000,
            0,
            4,
            Some(0x8000_2001),
        ),
        (
            "lh",
            i(0x21, T0, T1, 1),
            0x8000_2000,
            0,
            4,
            Some(0x8000_2001),
        ),
        (
            "ll",
            i(0x30, T0, T1, 2),
            0x8000_2000,
            0,
            4,
            Some(0x8000_2002),
        ),
        (
            "sw",
            i(0x2b, T0, T1, 1),
            0x8000_2000,
            0,
            5,
            Some(0x8000_2001),
        ),
        (
            "sh",
            i(0x29, T0, T1, 1),
            0x8000_2000,
            0,
            5,
            Some(0x8000_2001),
        ),
        (
            "sc",
            i(0x38, T0, T1, 1),
            0x8000_2000,
            0,
            5,
            Some(0x8000_2001),
        ),
        (
            "lw, TLB",
            i(0x23, T0, T1, 4),
            0x40_0000,
            0,
            2,
            Some(0x40_0004),
        ),
        (
            "lwl, TLB",
            i(0x22, T0, T1, 3),
            0x40_0000,
            0,
            2,
            Some(0x40_0003),
        ),
        (
            "sw, TLB",
            i(0x2b, T0, T1, 4),
            0x40_0000,
            0,
            3,
            Some(0x40_0004),
        ),
        (
            "swr, TLB",
            i(0x2e, T0, T1, 2),
            0x40_0000,
            0,
            3,
            Some(0x40_0002),
        ),
        ("lw, bus", i(0x23, T0, T1, 0), 0xbd00_0000, 0, 7, None),
        ("sw, bus", i(0x2b, T0, T1, 0), 0xbd00_0000, 0, 7, None),
    ];
    for (name, word, t0, t1, expected, bad) in table {
        for (prefix, slot) in [(&[][..], false), (&[i(0x04, 0, 0, 5)][..], true)] {
            let mut rig = Rig::new(|_| ());
            rig.put(CODE, &[NOP]);
            let words: Vec<u32> = prefix.iter().copied().chain([*word]).collect();
            rig.put(CODE + 4, &words);
            rig.set(8, *t0);
            rig.set(9, *t1);
            rig.run(2);
            let vector = if name.ends_with("TLB") {
                0x8000_0000
            } else {
                0x8000_0180
            };
            assert_eq!(rig.pc(), vector, "{name} {slot}");
            assert_eq!(rig.cp0(14, 0), CODE + 4, "{name} {slot}: EPC");
            assert_eq!(rig.cp0(13, 0) & BD != 0, slot, "{name}: BD");
            assert_eq!(code(&rig), *expected, "{name}: ExcCode");
            assert_eq!(rig.cp0(12, 0) & EXL, EXL);
            if let Some(bad) = bad {
                assert_eq!(rig.cp0(8, 0), *bad, "{name}: BadVAddr");
            }
            assert_eq!(
                (rig.get(8), rig.get(9)),
                (*t0, *t1),
                "{name}: nothing written"
            );
            if matches!(expected, 2 | 3) {
                assert_eq!(rig.cp0(10, 0), 0x40_0000, "{name}: EntryHi");
                assert_eq!(rig.cp0(4, 0), 0x40_0000 >> 9, "{name}: Context");
            }
        }
    }
}

#[test]
fn nested_exceptions_keep_epc() {
    let mut rig = Rig::new(|_| ());
    rig.put(CODE, &[0x0000_000c]);
    rig.put(0x180, &[i(0x23, 0, T0, 0x10)]);
    rig.run(2);
    assert_eq!(
        rig.pc(),
        0x8000_0180,
        "a refill within an exception goes to the general vector"
    );
    assert_eq!((rig.cp0(14, 0), code(&rig), rig.cp0(8, 0)), (CODE, 2, 0x10));
}

#[test]
fn fetches_fault() {
    for (target, expected, vector, bad) in [
        (CODE + 2, 4, 0x8000_0180, Some(CODE + 2)),
        (0x40_0000, 2, 0x8000_0000, Some(0x40_0000)),
        (0xbd00_0000, 6, 0x8000_0180, None),
    ] {
        let mut rig = Rig::new(|_| ());
        rig.put(CODE, &[r(0x08, T0, 0, 0, 0), NOP]);
        rig.set(8, target);
        rig.run(3);
        assert_eq!((rig.pc(), code(&rig)), (vector, expected), "{target:#x}");
        assert_eq!((rig.cp0(14, 0), rig.cp0(13, 0) & BD), (target, 0));
        if let Some(bad) = bad {
            assert_eq!(rig.cp0(8, 0), bad);
        }
    }
}

#[test]
fn user_mode_may_not() {
    for (name, word, t0, expected) in [
        ("mfc0", mfc0(12, 0), 0, 11),
        ("di", 0x4160_6000, 0, 11),
        ("eret", 0x4200_0018, 0, 11),
        ("wait", 0x4200_0020, 0, 11),
        ("cache", i(0x2f, T0, 0, 0), 0, 11),
        ("tlbwr", 0x4200_0006, 0, 11),
        ("reserved cop0", 0x4200_003f, 0, 11),
        ("kseg0", i(0x23, T0, T1, 0), 0x8000_0000, 4),
        ("kseg3", i(0x2b, T0, T1, 0), 0xe000_0000, 5),
        ("rdhwr 29", 0x7c03_e83b, 0, 10),
        ("rdhwr 2", 0x7c03_103b, 0, 10),
    ] {
        let mut rig = Rig::new(|_| ());
        // ERL maps kuseg one to one and is kernel mode; so map a page instead.
        rig.map(0x40_0000, 0x1000, 6);
        rig.put(CODE, &[word]);
        rig.go(0x40_0000);
        rig.set(8, t0);
        rig.set(32, 0x10);
        rig.run(1);
        assert_eq!((rig.pc(), code(&rig)), (0x8000_0180, expected), "{name}");
        if expected == 11 {
            assert_eq!(rig.cp0(13, 0) >> 28 & 3, 0, "{name}: Cause.CE");
        }
    }
}

#[test]
fn vectors() {
    let run = |model: CpuModel, status: u32, cause: u32, ebase: u32, intctl: u32| {
        let mut rig = Rig::new(|p| p.model = model);
        rig.bench
            .around
            .registers
            .extend([(0x1fc0_0380, 0), (0x1fc0_0400, 0)]);
        for (register, select, value) in [
            (15, 1, ebase),
            (12, 1, intctl),
            (13, 0, cause),
            (12, 0, status),
        ] {
            rig.set_cp0(register, select, value);
        }
        rig.bench.line(Pin(4), true);
        rig.bench.line(Pin(2), true);
        rig.run(1);
        (rig.pc(), rig.cp0(14, 0))
    };
    let status = 0x1401;
    let boot = status | 1 << 22;
    const IV: u32 = 1 << 23;
    for (name, status, cause, ebase, intctl, expected) in [
        ("general", status, 0, 0x8000_0000, 0, 0x8000_0180),
        ("special", status, IV, 0x8000_0000, 0, 0x8000_0200),
        ("EBase", status, IV, 0x8010_0000, 0, 0x8010_0200),
        ("boot", boot, 0, 0x8010_0000, 0, 0xbfc0_0380),
        ("boot, special", boot, IV, 0x8010_0000, 0, 0xbfc0_0400),
        ("vectored", status, IV, 0x8000_0000, 0x20, 0x8000_0280),
        ("vectored wide", status, IV, 0x8000_0000, 0x200, 0x8000_0a00),
        ("vectored masked", 0x401, IV, 0x8000_0000, 0x20, 0x8000_0240),
        ("vectored, boot", boot, IV, 0x8000_0000, 0x20, 0xbfc0_0400),
        ("not special", status, 0, 0x8000_0000, 0x20, 0x8000_0180),
    ] {
        for model in [
            CpuModel::M4KEc,
            CpuModel::M24Kc,
            CpuModel::M24Kf,
            CpuModel::M34Kf,
            CpuModel::M74Kf,
        ] {
            // One instruction of the handler has been executed.
            let after = run(model, status, cause, ebase, intctl);
            assert_eq!(after, (expected + 4, CODE), "{name} of {model:?}");
        }
    }
}

#[test]
fn interrupts_need_every_gate() {
    for (status, taken) in [
        (0x0401, true),
        (0x0400, false),
        (0x0801, false),
        (0x0403, false),
        (0x0405, false),
    ] {
        let mut rig = Rig::new(|_| ());
        rig.put(CODE, &[mtc0(12, 0), NOP, NOP]);
        rig.bench.line(Pin(2), true);
        rig.set(9, status);
        rig.run(2);
        let expected = if taken { 0x8000_0184 } else { CODE + 8 };
        assert_eq!(rig.pc(), expected, "{status:#x}");
        if taken {
            assert_eq!(rig.cp0(14, 0), CODE + 4, "taken behind the MTC0");
        }
    }
}

#[test]
fn enabling_takes_a_pending_interrupt_at_once() {
    let ei = 0x4160_6020 | 11 << 16;
    let mut rig = Rig::new(|_| ());
    rig.put(CODE, &[mtc0(13, 0), ei, NOP, NOP]);
    rig.set(32, 0x0100);
    rig.set(9, 0x0100);
    rig.run(3);
    assert_eq!((rig.pc(), rig.cp0(14, 0)), (0x8000_0184, CODE + 8));
    assert_eq!(rig.get(11), 0x0100, "EI gives the status before it");
}

#[test]
fn nmi_and_error_return() {
    let mut rig = Rig::new(|_| ());
    rig.put(CODE, &[NOP, NOP]);
    rig.run(1);
    rig.bench.line(Pin(8), true);
    rig.run(0);
    rig.run(1);
    assert_eq!(rig.cp0(30, 0), CODE + 4, "ErrorEPC");
    assert_eq!(rig.cp0(12, 0) & 0x0048_0004, 0x0048_0004, "BEV, NMI, ERL");
    rig.put(CODE + 8, &[0x4200_0018]);
    rig.go(CODE + 8);
    rig.run(1);
    assert_eq!((rig.pc(), rig.cp0(12, 0) & 4), (CODE + 4, 0));
}

#[test]
fn register_masks() {
    let table: &[(u32, u32, u32, u32)] = &[
        (0, 0, 0xf, 0),
        (2, 0, 0x03ff_ffff, 0),
        (3, 0, 0x03ff_ffff, 0),
        (4, 0, 0xff80_0000, 0),
        (4, 2, 0, 0),
        (5, 0, 0x1fff_e000, 0),
        (5, 1, 0, 0),
        (6, 0, 0xf, 0),
        (7, 0, 0xf, 0),
        (8, 0, 0, 0),
        (10, 0, 0xffff_e0ff, 0),
        (11, 0, 0xffff_ffff, 0),
        (12, 1, 0xe000_03e0, 0xe000_0000),
        (12, 2, 0, 0),
        (13, 0, 0x0880_0300, 0),
        (14, 0, 0xffff_ffff, 0),
        (15, 0, 0x0001_9300, 0x0001_9300),
        (15, 1, 0xbfff_f000, 0x8000_0000),
        (16, 0, 0x8000_0487, 0x8000_0480),
        (16, 1, 0x9e19_0c81, 0x9e19_0c81),
        (16, 2, 0x8000_0000, 0x8000_0000),
        (16, 3, 0x20, 0x20),
        (16, 7, 0, 0),
        (17, 0, 0, 0),
        (18, 0, 0, 0),
        (23, 0, 0, 0),
        (25, 0, 0, 0),
        (26, 0, 0x3000_0000, 0),
        (28, 0, 0xffff_fcf6, 0),
        (28, 1, 0xffff_ffff, 0),
        (29, 0, 0xffff_ffff, 0),
        (30, 0, 0xffff_ffff, 0),
        (31, 0, 0, 0),
    ];
    for (register, select, ones, zeros) in table {
        for (value, expected) in [(u32::MAX, ones), (0, zeros)] {
            let mut rig = Rig::new(|_| ());
            rig.put(CODE, &[mtc0(*register, *select), mfc0(*register, *select)]);
            rig.set(9, value);
            rig.run(2);
            assert_eq!(rig.get(9), *expected, "{register},{select} of {value:x}");
        }
    }
    // Status apart: all ones set ERL and BEV, which is kernel mode.
    for (model, ones) in [
        (CpuModel::M24Kf, 0x3440_ff17),
        (CpuModel::M4KEc, 0x1040_ff17),
    ] {
        let mut rig = Rig::new(|p| p.model = model);
        rig.put(CODE, &[mtc0(12, 0), mfc0(12, 0)]);
        rig.set(9, u32::MAX);
        rig.run(2);
        assert_eq!(rig.get(9), ones, "{model:?}");
    }
}

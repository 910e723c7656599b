//! Integer instructions, branches and delay slots, loads and stores in both byte orders.

use super::{CODE, NOP, Rig, i, r};

const T0: u32 = 8;
const T1: u32 = 9;
const T2: u32 = 10;

/// SPECIAL2 and SPECIAL3.
fn s2(function: u32, rs: u32, rt: u32, rd: u32) -> u32 {
    0x1c << 26 | r(function, rs, rt, rd, 0)
}
fn s3(function: u32, rs: u32, rt: u32, rd: u32, sa: u32) -> u32 {
    0x1f << 26 | r(function, rs, rt, rd, sa)
}

#[test]
fn one_result() {
    // Instruction with t0 and t1 as sources and t2 as destination, values, result.
    let three = |f| r(f, T0, T1, T2, 0);
    let shift = |f, sa| r(f, 0, T0, T2, sa);
    let by = |f| r(f, T1, T0, T2, 0);
    let table: &[(&str, u32, u32, u32, u32)] = &[
        ("addu", three(0x21), 0xffff_ffff, 2, 1),
        ("add", three(0x20), 0x7fff_fffe, 1, 0x7fff_ffff),
        ("subu", three(0x23), 1, 2, 0xffff_ffff),
        ("sub", three(0x22), 0x8000_0001, 1, 0x8000_0000),
        ("and", three(0x24), 0xff00, 0x0ff0, 0x0f00),
        ("or", three(0x25), 0xff00, 0x0ff0, 0xfff0),
        ("xor", three(0x26), 0xff00, 0x0ff0, 0xf0f0),
        ("nor", three(0x27), 0xff00, 0x0ff0, 0xffff_000f),
        ("slt", three(0x2a), 0xffff_ffff, 0, 1),
        ("sltu", three(0x2b), 0xffff_ffff, 0, 0),
        ("movz", three(0x0a), 7, 0, 7),
        ("movz not", three(0x0a), 7, 1, 0xdead),
        ("movn", three(0x0b), 7, 1, 7),
        ("movn not", three(0x0b), 7, 0, 0xdead),
        ("mul", s2(0x02, T0, T1, T2), 0x1_0001, 0x1_0001, 0x0002_0001),
        ("clz", s2(0x20, T0, T1, T2), 0x0000_8000, 0, 16),
        ("clz 0", s2(0x20, T0, T1, T2), 0, 0, 32),
        ("clo", s2(0x21, T0, T1, T2), 0xfff0_0000, 0, 12),
        ("sll", shift(0x00, 4), 0x8000_000f, 0, 0xf0),
        ("srl", shift(0x02, 4), 0x8000_000f, 0, 0x0800_0000),
        ("sra", shift(0x03, 4), 0x8000_000f, 0, 0xf800_0000),
        ("rotr", r(0x02, 1, T0, T2, 4), 0x8000_000f, 0, 0xf800_0000),
        ("sllv", by(0x04), 0x8000_000f, 0xffff_ff24, 0xf0),
        ("srlv", by(0x06), 0x8000_000f, 36, 0x0800_0000),
        ("srav", by(0x07), 0x8000_000f, 36, 0xf800_0000),
        (
            "rotrv",
            r(0x06, T1, T0, T2, 1),
            0x8000_000f,
            36,
            0xf800_0000,
        ),
        ("ext", s3(0x00, T0, T2, 7, 8), 0x1234_5678, 0, 0x56),
        (
            "ext all",
            s3(0x00, T0, T2, 31, 0),
            0x1234_5678,
            0,
            0x1234_5678,
        ),
        ("ins", s3(0x04, T0, T2, 15, 8), 0x12, 0, 0x12ad),
        ("wsbh", s3(0x20, 0, T0, T2, 2), 0x1122_3344, 0, 0x2211_4433),
        ("seb", s3(0x20, 0, T0, T2, 0x10), 0x1180, 0, 0xffff_ff80),
        ("seh", s3(0x20, 0, T0, T2, 0x18), 0x18000, 0, 0xffff_8000),
        ("addi", i(0x08, T0, T2, 0xffff), 5, 0, 4),
        ("addiu", i(0x09, T0, T2, 0x8000), 0, 0, 0xffff_8000),
        ("slti", i(0x0a, T0, T2, 0xffff), 0xffff_fffe, 0, 1),
        ("sltiu", i(0x0b, T0, T2, 0xffff), 0xffff_fffe, 0, 1),
        ("andi", i(0x0c, T0, T2, 0xff00), 0xffff_ffff, 0, 0xff00),
        ("ori", i(0x0d, T0, T2, 0xff00), 0xf, 0, 0xff0f),
        ("xori", i(0x0e, T0, T2, 0xffff), 0xffff, 0, 0),
        ("lui", i(0x0f, 0, T2, 0x8001), 0, 0, 0x8001_0000),
        ("move", three(0x25) & !(31 << 16), 5, 6, 5),
    ];
    for (name, word, t0, t1, expected) in table {
        let mut rig = Rig::new(|_| ());
        rig.put(CODE, &[*word]);
        rig.set(8, *t0);
        rig.set(9, *t1);
        rig.set(10, 0xdead);
        rig.run(1);
        assert_eq!(rig.pc(), CODE + 4, "{name}");
        assert_eq!(rig.get(10), *expected, "{name}");
    }
}

#[test]
fn register_0_stays_zero() {
    let mut rig = Rig::new(|_| ());
    rig.put(
        CODE,
        &[
            i(0x0f, 0, T1, 0x8000),
            i(0x23, T1, 0, 0x1000),
            i(0x09, 0, 0, 5),
            r(0x21, 0, 0, T0, 0),
        ],
    );
    rig.set(8, 1);
    rig.run(4);
    assert_eq!((rig.get(0), rig.get(8)), (0, 0));
}

#[test]
fn hi_and_lo() {
    let table: &[(&str, u32, u32, u32, u64)] = &[
        ("mult", r(0x18, T0, T1, 0, 0), 0xffff_ffff, 3, -3i64 as u64),
        (
            "multu",
            r(0x19, T0, T1, 0, 0),
            0xffff_ffff,
            3,
            0x2_ffff_fffd,
        ),
        (
            "div",
            r(0x1a, T0, T1, 0, 0),
            -7i32 as u32,
            2,
            0xffff_ffff_ffff_fffd,
        ),
        (
            "div overflow",
            r(0x1a, T0, T1, 0, 0),
            0x8000_0000,
            0xffff_ffff,
            0x8000_0000,
        ),
        ("divu", r(0x1b, T0, T1, 0, 0), 7, 2, 1 << 32 | 3),
        ("madd", s2(0x00, T0, T1, 0), 0xffff_ffff, 1, 0x1_0000_0001),
        ("maddu", s2(0x01, T0, T1, 0), 0xffff_ffff, 1, 0x2_0000_0001),
        ("msub", s2(0x04, T0, T1, 0), 0xffff_ffff, 1, 0x1_0000_0003),
        ("msubu", s2(0x05, T0, T1, 0), 0xffff_ffff, 1, 3),
        ("mthi", r(0x11, T0, 0, 0, 0), 9, 0, 9 << 32 | 2),
        ("mtlo", r(0x13, T0, 0, 0, 0), 9, 0, 1 << 32 | 9),
    ];
    for (name, word, t0, t1, expected) in table {
        let mut rig = Rig::new(|_| ());
        rig.put(CODE, &[*word, r(0x10, 0, 0, T2, 0), r(0x12, 0, 0, 11, 0)]);
        rig.set(8, *t0);
        rig.set(9, *t1);
        rig.set(34, 1);
        rig.set(33, 2);
        rig.run(3);
        let value = u64::from(rig.get(10)) << 32 | u64::from(rig.get(11));
        assert_eq!(value, *expected, "{name}");
    }
}

#[test]
fn branches() {
    let regimm = |rt| move |rs| i(1, rs, rt, 3);
    let op = |op: u32| move |rs| i(op, rs, if op & 2 == 0 { T1 } else { 0 }, 3);
    // For t0 of -1, 0 and 1 (t1 is 0): taken or not.
    type Case<'a> = (&'a str, &'a dyn Fn(u32) -> u32, [bool; 3]);
    let table: &[Case<'_>] = &[
        ("beq", &op(4), [false, true, false]),
        ("bne", &op(5), [true, false, true]),
        ("blez", &op(6), [true, true, false]),
        ("bgtz", &op(7), [false, false, true]),
        ("bltz", &regimm(0), [true, false, false]),
        ("bgez", &regimm(1), [false, true, true]),
        ("bltzal", &regimm(0x10), [true, false, false]),
        ("bgezal", &regimm(0x11), [false, true, true]),
        ("beql", &op(0x14), [false, true, false]),
        ("bnel", &op(0x15), [true, false, true]),
        ("blezl", &op(0x16), [true, true, false]),
        ("bgtzl", &op(0x17), [false, false, true]),
        ("bltzl", &regimm(2), [true, false, false]),
        ("bgezl", &regimm(3), [false, true, true]),
        ("bltzall", &regimm(0x12), [true, false, false]),
        ("bgezall", &regimm(0x13), [false, true, true]),
    ];
    for (name, word, taken) in table {
        for (value, taken) in [-1, 0, 1].into_iter().zip(taken) {
            // A slot that leaves the condition alone, and one that changes it.
            for (slot, changed) in [(i(0x09, T2, T2, 1), 10), (i(0x09, T0, T0, 1), 8)] {
                let mut rig = Rig::new(|_| ());
                rig.put(CODE, &[word(T0), slot, NOP, NOP, NOP]);
                rig.set(8, value as u32);
                let before = rig.get(changed);
                rig.run(1);
                let likely = name.ends_with('l') && *name != "bltzal" && *name != "bgezal";
                assert_eq!(
                    rig.pc(),
                    CODE + if *taken { 16 } else { 8 },
                    "{name} {value}"
                );
                let ran = u32::from(*taken || !likely);
                assert_eq!(rig.get(changed), before.wrapping_add(ran), "{name} {value}");
                let link = if name.contains("al") { CODE + 8 } else { 0 };
                assert_eq!(rig.get(31), link, "{name} {value}");
            }
        }
    }
}

#[test]
fn jumps() {
    let target = CODE + 0x100;
    let field = target >> 2 & 0x03ff_ffff;
    for (name, word, slot, link) in [
        ("j", 2 << 26 | field, NOP, 0),
        ("jal", 3 << 26 | field, NOP, CODE + 8),
        ("jr", r(0x08, T0, 0, 0, 0), NOP, 0),
        ("jr, slot", r(0x08, T0, 0, 0, 0), i(0x09, T0, T0, 4), 0),
        ("jalr", r(0x09, T0, 0, 31, 0), NOP, CODE + 8),
        (
            "jalr.hb, slot",
            r(0x09, T0, 0, 31, 0x10),
            i(0x09, T0, T0, 4),
            CODE + 8,
        ),
    ] {
        let mut rig = Rig::new(|_| ());
        rig.put(CODE, &[word, slot]);
        rig.set(8, target);
        rig.run(1);
        assert_eq!((rig.pc(), rig.get(31)), (target, link), "{name}");
    }
    let mut rig = Rig::new(|_| ());
    rig.put(CODE, &[r(0x09, T0, 0, T0, 0), r(0x21, T0, 0, T1, 0)]);
    rig.set(8, target);
    rig.run(2);
    assert_eq!(
        (rig.pc(), rig.get(9)),
        (target, CODE + 8),
        "the slot sees the link"
    );
}

#[test]
fn a_slot_across_pages() {
    let at = CODE + 0xffc;
    let mut rig = Rig::new(|_| ());
    rig.put(at, &[i(0x05, T0, 0, 0xfffe), i(0x09, T0, T0, 0xffff)]);
    rig.put(at - 4, &[i(0x09, T1, T1, 1)]);
    rig.set(8, 3);
    rig.go(at - 4);
    rig.run(12);
    assert_eq!((rig.pc(), rig.get(8), rig.get(9)), (at + 8, u32::MAX, 4));
    // Either of the two words changes.
    for change in [at + 4, at] {
        let word = if change == at {
            NOP
        } else {
            i(0x09, T0, T0, 5)
        };
        rig.put(change, &[word]);
        rig.set(8, 0);
        rig.go(at);
        rig.run(2);
        assert_eq!(rig.get(8), 5, "{change:#x}");
    }
}

#[test]
fn loads_and_stores() {
    const DATA: u32 = 0x8000_2000;
    let bytes = [0x81, 0x92, 0xa3, 0xb4, 0xc5, 0xd6, 0xe7, 0xf8];
    // Instruction, offset, and what t1 (0x11223344 before) holds then, little-endian and big-endian.
    let loads: &[(&str, u32, u32, u32, u32)] = &[
        ("lb", 0x20, 1, 0xffff_ff92, 0xffff_ff92),
        ("lbu", 0x24, 1, 0x92, 0x92),
        ("lh", 0x21, 2, 0xffff_b4a3, 0xffff_a3b4),
        ("lhu", 0x25, 2, 0xb4a3, 0xa3b4),
        ("lw", 0x23, 4, 0xf8e7_d6c5, 0xc5d6_e7f8),
        ("ll", 0x30, 4, 0xf8e7_d6c5, 0xc5d6_e7f8),
        ("lwl 0", 0x22, 0, 0x8122_3344, 0x8192_a3b4),
        ("lwl 1", 0x22, 1, 0x9281_3344, 0x92a3_b444),
        ("lwl 2", 0x22, 2, 0xa392_8144, 0xa3b4_3344),
        ("lwl 3", 0x22, 3, 0xb4a3_9281, 0xb422_3344),
        ("lwr 0", 0x26, 0, 0xb4a3_9281, 0x1122_3381),
        ("lwr 1", 0x26, 1, 0x11b4_a392, 0x1122_8192),
        ("lwr 2", 0x26, 2, 0x1122_b4a3, 0x1181_92a3),
        ("lwr 3", 0x26, 3, 0x1122_33b4, 0x8192_a3b4),
    ];
    // Instruction, offset, and the first word's bytes then, of t1 = 0x11223344.
    type Bytes = [u8; 4];
    let stores: &[(&str, u32, u32, Bytes, Bytes)] = &[
        (
            "sb",
            0x28,
            1,
            [0x81, 0x44, 0xa3, 0xb4],
            [0x81, 0x44, 0xa3, 0xb4],
        ),
        (
            "sh",
            0x29,
            2,
            [0x81, 0x92, 0x44, 0x33],
            [0x81, 0x92, 0x33, 0x44],
        ),
        (
            "sw",
            0x2b,
            0,
            [0x44, 0x33, 0x22, 0x11],
            [0x11, 0x22, 0x33, 0x44],
        ),
        (
            "swl 0",
            0x2a,
            0,
            [0x11, 0x92, 0xa3, 0xb4],
            [0x11, 0x22, 0x33, 0x44],
        ),
        (
            "swl 1",
            0x2a,
            1,
            [0x22, 0x11, 0xa3, 0xb4],
            [0x81, 0x11, 0x22, 0x33],
        ),
        (
            "swl 2",
            0x2a,
            2,
            [0x33, 0x22, 0x11, 0xb4],
            [0x81, 0x92, 0x11, 0x22],
        ),
        (
            "swl 3",
            0x2a,
            3,
            [0x44, 0x33, 0x22, 0x11],
            [0x81, 0x92, 0xa3, 0x11],
        ),
        (
            "swr 0",
            0x2e,
            0,
            [0x44, 0x33, 0x22, 0x11],
            [0x44, 0x92, 0xa3, 0xb4],
        ),
        (
            "swr 1",
            0x2e,
            1,
            [0x81, 0x44, 0x33, 0x22],
            [0x33, 0x44, 0xa3, 0xb4],
        ),
        (
            "swr 2",
            0x2e,
            2,
            [0x81, 0x92, 0x44, 0x33],
            [0x22, 0x33, 0x44, 0xb4],
        ),
        (
            "swr 3",
            0x2e,
            3,
            [0x81, 0x92, 0xa3, 0x44],
            [0x11, 0x22, 0x33, 0x44],
        ),
    ];
    for big in [false, true] {
        let rig = |op, offset| {
            let mut rig = Rig::new(|p| p.big_endian = big);
            rig.put(CODE, &[i(op, T0, T1, offset)]);
            rig.ram.write(0x2000, &bytes).unwrap();
            rig.set(8, DATA);
            rig.set(9, 0x1122_3344);
            rig
        };
        for (name, op, offset, little, expected) in loads {
            // Once by the slow way, once by the quick one.
            let mut rig = rig(*op, *offset);
            for _ in 0..2 {
                rig.set(9, 0x1122_3344);
                rig.go(CODE);
                rig.run(1);
                let expected = if big { expected } else { little };
                assert_eq!(rig.get(9), *expected, "{name} {big}");
            }
        }
        for (name, op, offset, little, expected) in stores {
            let mut rig = rig(*op, *offset);
            for _ in 0..2 {
                rig.ram.write(0x2000, &bytes).unwrap();
                rig.go(CODE);
                rig.run(1);
                let mut word = [0; 4];
                rig.ram.read(0x2000, &mut word).unwrap();
                assert_eq!(&word, if big { expected } else { little }, "{name} {big}");
            }
        }
    }
}

#[test]
fn load_linked_and_store_conditional() {
    let ll = i(0x30, T0, T1, 0);
    let sc = i(0x38, T0, T1, 0);
    let eret = 0x4200_0018;
    let rig = |code: &[u32], steps| {
        let mut rig = Rig::new(|_| ());
        rig.put(CODE, code);
        rig.set(8, 0x8000_2000);
        rig.run(steps);
        (rig.get(9), rig.word(0x2000))
    };
    let li = i(0x09, 0, T1, 7);
    assert_eq!(rig(&[ll, li, sc], 3), (1, 7));
    assert_eq!(rig(&[li, sc], 2), (0, 0), "without LL");
    assert_eq!(rig(&[ll, li, sc, li, sc], 5), (0, 7), "once only");
    assert_eq!(rig(&[ll, li, i(0x38, T0, T1, 4)], 3), (0, 0), "elsewhere");
    // Somebody else writes there between two runs: what is there already, beside it, and further away.
    for (at, expected) in [
        (0x2000, (0, 0)),
        (0x200c, (0, 0)),
        (0x2010, (1, 7)),
        (0x1ffc, (1, 7)),
    ] {
        let mut rig = Rig::new(|_| ());
        rig.put(CODE, &[ll, li, sc]);
        rig.set(8, 0x8000_2000);
        rig.run(1);
        rig.ram.write_u32(at, 0).unwrap();
        rig.run(2);
        assert_eq!((rig.get(9), rig.word(0x2000)), expected, "{at:#x}");
    }
    // EPC is the SC behind the ERET.
    let mtc0_epc = 0x4080_0000 | 10 << 16 | 14 << 11;
    let there = [
        i(0x0f, 0, T2, 0x8000),
        i(0x0d, T2, T2, 0x1018),
        mtc0_epc,
        ll,
        li,
        eret,
        sc,
    ];
    assert_eq!(rig(&there, 7), (0, 0), "ERET clears the link");
}

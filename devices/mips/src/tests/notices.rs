//! What the user is told of a guest that cannot go on.

use solderless_model::Hertz;

use super::exceptions::mtc0;
use super::{CODE, NOP, Rig, TLBWI, i};
use crate::CpuModel;

const SELF: u32 = 0x1000_ffff;
const ERET: u32 = 0x4200_0018;
const SYSCALL: u32 = 0xc;
const RESERVED: u32 = 5;
const RESET: u32 = 0xbfc0_0000;

/// What was told since the last time.
fn told(rig: &mut Rig) -> Vec<String> {
    std::mem::take(&mut rig.bench.around.warnings)
}

#[test]
fn a_machine_check_tells_once_what_wrote_which_entry() {
    let mut rig = Rig::new(|_| ());
    rig.map(0x40_0000, 0x3000, 6);
    rig.set_cp0(0, 0, 5);
    for again in [false, true] {
        rig.go(CODE);
        rig.put(CODE, &[NOP, TLBWI]);
        rig.run(2);
        let told = told(&mut rig);
        match again {
            false => assert_eq!(
                told,
                [
                    "the guest takes a Machine Check at pc 0x80001004: TLBWI writes entry 5 (EntryHi 0x00400000, PageMask 0x0) \
                     although entry 0 (EntryHi 0x00400000, PageMask 0x0) is for the same address"
                ]
            ),
            true => assert!(told.is_empty(), "{told:?}"),
        }
        rig.set(32, 0);
    }
}

#[test]
fn the_first_instruction_that_a_model_leaves_out_is_told() {
    use CpuModel::{M4KEc, M24Kc, M24Kf, M34Kf, M74Kf};
    const ALL: &[CpuModel] = &[M4KEc, M24Kc, M24Kf, M34Kf, M74Kf];
    let dsp = |function: u32| i(0x1f, 8, 9, function);
    for (name, word, models, extension) in [
        ("jalx", 0x7400_0400, ALL, "MIPS16e"),
        ("addu.qb", dsp(0x10), &[M34Kf, M74Kf], "DSP"),
        ("cmpu.eq.qb", dsp(0x11), &[M34Kf, M74Kf], "DSP"),
        ("absq_s.ph", dsp(0x252), &[M34Kf, M74Kf], "DSP"),
        ("shll.qb", dsp(0x13), &[M34Kf, M74Kf], "DSP"),
        ("lwx", dsp(0x0a), &[M34Kf, M74Kf], "DSP"),
        ("insv", dsp(0x0c), &[M34Kf, M74Kf], "DSP"),
        ("adduh.qb", dsp(0x18), &[M34Kf, M74Kf], "DSP"),
        ("dpau.h.qbl", dsp(0x30), &[M34Kf, M74Kf], "DSP"),
        ("append", dsp(0x31), &[M34Kf, M74Kf], "DSP"),
        ("rddsp", dsp(0x4b8), &[M34Kf, M74Kf], "DSP"),
        ("bposge32", i(1, 0, 0x1c, 4), &[M34Kf, M74Kf], "DSP"),
        ("fork", dsp(0x08), &[M34Kf], "MT"),
        ("yield", dsp(0x09), &[M34Kf], "MT"),
        ("dvpe", 0x4160_0001, &[M34Kf], "MT"),
        ("mftr", 0x4108_0000, &[M34Kf], "MT"),
        ("no instruction", RESERVED, &[], ""),
    ] {
        for model in ALL {
            let mut rig = Rig::new(|p| p.model = *model);
            for _ in 0..2 {
                rig.go(CODE);
                rig.put(CODE, &[NOP, word]);
                rig.run(2);
                assert_eq!(rig.cp0(13, 0) >> 2 & 31, 10, "{name} of {model:?}");
                rig.set(32, 0);
            }
            let told = told(&mut rig);
            assert_eq!(
                told.len(),
                usize::from(models.contains(model)),
                "{name} of {model:?}: {told:?}"
            );
            for line in told {
                let what = format!("the instruction {word:#010x} at pc 0x80001004 is of ");
                assert!(
                    line.starts_with(&what) && line.contains(extension),
                    "{line}"
                );
            }
        }
    }
}

#[test]
fn a_jump_to_mips16e_code_is_told() {
    let mut rig = Rig::new(|_| ());
    rig.put(CODE, &[0x0120_0008, NOP]);
    rig.set(9, 0x8000_2001);
    rig.run(3);
    assert_eq!(rig.cp0(13, 0) >> 2 & 31, 4);
    let told = told(&mut rig);
    assert!(
        told.len() == 1 && told[0].starts_with("the code at this odd address at pc 0x80002001"),
        "{told:?}"
    );
}

/// A CPU of 1 MHz, so that its seconds are short.
fn slow() -> Rig {
    Rig::new(|p| p.clock = Hertz(1_000_000))
}

#[test]
fn a_guest_that_stays_in_a_handler_is_told_once() {
    let mut rig = slow();
    rig.put(CODE, &[SYSCALL]);
    rig.put(0x8000_0180, &[NOP, SELF, NOP]);
    for _ in 0..9 {
        rig.run(100_000);
        assert!(told(&mut rig).is_empty());
    }
    for _ in 0..20 {
        rig.run(100_000);
    }
    let told = told(&mut rig);
    assert_eq!(
        told,
        [
            "the guest stays in a handler of exceptions and does not return: System Call, EPC 0x80001000, BadVAddr 0x00000000, \
             Status 0x10000002, now at pc 0x80000184"
        ]
    );
}

#[test]
fn exceptions_without_end_are_told_once() {
    let mut rig = Rig::new(|_| ());
    rig.put(CODE, &[SYSCALL]);
    rig.put(0x8000_0180, &[RESERVED]);
    rig.run(1_100_000);
    rig.run(1_100_000);
    let told = told(&mut rig);
    assert_eq!(
        told,
        [
            "the guest takes exceptions in its handlers of exceptions and does not return: Reserved Instruction, EPC 0x80001000, \
             BadVAddr 0x00000000, Status 0x10000002, now at pc 0x80000180"
        ]
    );
}

#[test]
fn a_guest_that_stops_in_its_machine_check_is_told_in_one_line() {
    let mut rig = slow();
    rig.map(0x40_0000, 0x3000, 6);
    rig.set_cp0(0, 0, 5);
    rig.put(CODE, &[TLBWI]);
    rig.put(0x8000_0180, &[SELF, NOP]);
    for _ in 0..30 {
        rig.run(100_000);
    }
    let told = told(&mut rig);
    assert!(
        told.len() == 1 && told[0].contains("Machine Check"),
        "{told:?}"
    );
}

#[test]
fn a_guest_that_returns_to_the_same_instruction_is_told_once() {
    let mut rig = slow();
    rig.put(CODE, &[SYSCALL]);
    rig.put(0x8000_0180, &[ERET]);
    for _ in 0..300 {
        rig.run(9_973);
    }
    let told = told(&mut rig);
    assert_eq!(
        told,
        [
            "the guest returns from a handler of exceptions to the instruction that raised it, again and again: System Call, \
             EPC 0x80001000, BadVAddr 0x00000000"
        ]
    );
}

#[test]
fn a_guest_that_returns_is_not_told_of() {
    let mut rig = slow();
    // System calls for ever, each with an exception in its handler, which returns behind it.
    rig.put(CODE, &[SYSCALL, 0x1000_fffe, NOP]);
    // To the way back, which CP0 has as ErrorEPC, the second time.
    let again = [
        i(0x05, 8, 0, 4),
        i(0x09, 0, 8, 1),
        SYSCALL,
        NOP,
        NOP,
        i(0x09, 0, 8, 0),
        0x401a_7000, // mfc0 k0, EPC
        i(0x09, 26, 26, 4),
        0x409a_7000, // mtc0 k0, EPC
        ERET,
    ];
    rig.put(0x8000_0180, &again);
    for _ in 0..300 {
        rig.run(9_973);
    }
    assert!(told(&mut rig).is_empty());
    // Software that sets Status.EXL and computes.
    let mut rig = slow();
    rig.put(CODE, &[mtc0(12, 0), SELF, NOP]);
    rig.set(9, 0x1000_0002);
    for _ in 0..30 {
        rig.run(100_000);
    }
    assert_eq!(rig.cp0(12, 0), 0x1000_0002);
    assert!(told(&mut rig).is_empty());
}

#[test]
fn a_reset_vector_without_code_is_told() {
    let words = |words: [u32; 4]| (0..).map(|i| 0x1fc0_0000 + 4 * i).zip(words.map(u64::from));
    for (name, at, expected) in [
        ("nothing", None, Some("nothing answers there")),
        ("zeros", Some([0; 4]), Some("there are zeros")),
        ("ones", Some([u32::MAX; 4]), Some("there are ones")),
        ("code", Some([0, 0, 0, SELF]), None),
    ] {
        let mut rig = Rig::new(|_| ());
        rig.bench.reset();
        rig.bench
            .around
            .registers
            .extend(at.into_iter().flat_map(words));
        for _ in 0..2 {
            rig.go(RESET);
            rig.run(1);
        }
        let told = told(&mut rig);
        assert_eq!(told.len(), usize::from(expected.is_some()), "{name}");
        for (line, expected) in told.iter().zip(expected) {
            assert!(line.contains(expected), "{name}: {line}");
        }
    }
}

#[test]
fn memory_at_the_reset_vector_is_code_if_anything_is_in_it() {
    for (offset, silent) in [
        (None, false),
        (Some(0), true),
        (Some(0x1ffc), true),
        (Some(0x2000), false),
    ] {
        let mut rig = Rig::new(|_| ());
        rig.bench.reset();
        rig.bench.around.mirror = Some(0x1fc0_0000);
        let zeros = (0..4).map(|i| (0x1fc0_0000 + 4 * i, 0));
        rig.bench.around.registers.extend(zeros);
        if let Some(offset) = offset {
            rig.put(offset, &[SELF]);
        }
        rig.go(RESET);
        rig.run(1);
        assert_eq!(told(&mut rig).is_empty(), silent, "{offset:?}");
    }
}

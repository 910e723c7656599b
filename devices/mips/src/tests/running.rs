//! Running: time, exactness, waiting, changing code, devices, saved state, and any code at all.

use proptest::prelude::*;
use solderless_model::{Hertz, Pin, Processor, Stop};

use super::exceptions::{mfc0, mtc0};
use super::{CODE, NOP, Rig, i, r};
use crate::CpuModel;

const T0: u32 = 8;
const T1: u32 = 9;
const WAIT: u32 = 0x4200_0020;

#[test]
fn time_passes_with_instructions() {
    let mut rig = Rig::new(|p| p.clock = Hertz(320_000_000));
    rig.put(CODE, &[i(0x04, 0, 0, 0xffff), NOP]);
    for n in 1..=10 {
        rig.run(32);
        assert_eq!(rig.bench.around.now, n * 100);
        assert_eq!(rig.cp0(9, 0), n as u32 * 16 + 1, "Count");
    }
    rig.bench.around.deadline = 1007;
    assert_eq!(rig.run(u64::MAX), Stop::Deadline);
    assert_eq!(
        rig.bench.dev.instructions(),
        324,
        "the first even number that makes 1007 ns"
    );
}

#[test]
fn slices_make_no_difference() {
    let words = [
        i(0x09, T0, T0, 1),
        i(0x09, 0, 10, 3),
        i(0x09, 10, 10, 0xffff),
        i(0x05, 10, 0, 0xfffe),
        i(0x09, T1, T1, 1),
        i(0x23, T1, 11, 0),
        i(0x04, 0, 0, 0xfff9),
        i(0x09, 12, 12, 1),
    ];
    let run = |slices: &[u64]| {
        let mut rig = Rig::new(|_| ());
        rig.put(CODE, &words);
        rig.put(0x180, &[i(0x09, 13, 13, 1), 0x4200_0018]);
        for slice in slices.iter().cycle() {
            let left = 10_001u64.saturating_sub(rig.bench.dev.instructions());
            if left == 0 {
                break;
            }
            rig.run((*slice).min(left));
        }
        (0..38).map(|n| rig.get(n)).collect::<Vec<_>>()
    };
    let whole = run(&[u64::MAX]);
    for slices in [&[1][..], &[7, 1, 64], &[1000, 3]] {
        assert_eq!(run(slices), whole, "{slices:?}");
    }
}

#[test]
fn compare_interrupts_exactly() {
    let run = |step: u64| {
        let mut rig = Rig::new(|_| ());
        rig.put(
            CODE,
            &[
                mtc0(11, 0),
                NOP,
                i(0x09, T0, T0, 1),
                i(0x04, 0, 0, 0xfffe),
                NOP,
            ],
        );
        rig.put(0x180, &[mfc0(9, 0), i(0x04, 0, 0, 0xffff), NOP]);
        rig.set(32, 0x8001);
        rig.set(9, 100);
        rig.run(1);
        loop {
            // What a machine does: it stops at a timer, and runs it.
            let timer = rig.bench.around.timers.values().min().copied();
            rig.bench.around.deadline = timer.unwrap_or(u64::MAX);
            let stop = rig.run(step);
            if stop == Stop::Deadline {
                rig.bench.advance(0);
            }
            if rig.pc() < CODE && rig.pc() != 0x8000_0180 {
                break;
            }
        }
        (
            rig.cp0(14, 0),
            rig.get(8),
            rig.get(9),
            rig.cp0(13, 0) >> 30 & 1,
        )
    };
    let whole = run(1000);
    assert_eq!(whole.2, 100, "Count, as the handler reads it first");
    assert_eq!(whole.3, 1, "Cause.TI");
    assert_eq!(run(1), whole);
    assert_eq!(run(3), whole);
}

#[test]
fn count_can_be_set_and_stopped() {
    let mut rig = Rig::new(|_| ());
    rig.put(CODE, &[i(0x04, 0, 0, 0xffff), NOP]);
    rig.set_cp0(9, 0, 1000);
    let start = rig.cp0(9, 0);
    assert!((1000..1002).contains(&start));
    rig.run(100);
    assert_eq!(rig.cp0(9, 0), start + 50);
    rig.set_cp0(13, 0, 1 << 27);
    let stopped = rig.cp0(9, 0);
    rig.run(100);
    assert_eq!(rig.cp0(9, 0), stopped);
    assert!(rig.bench.around.timers.is_empty());
    rig.set_cp0(13, 0, 0);
    rig.run(100);
    assert_eq!(rig.cp0(9, 0), stopped + 50);
}

#[test]
fn waiting() {
    let mut rig = Rig::new(|_| ());
    rig.put(CODE, &[WAIT, i(0x09, T0, T0, 1)]);
    rig.set(32, 0x0401);
    assert_eq!(rig.run(100), Stop::Wait);
    assert_eq!(rig.pc(), CODE + 4);
    assert_eq!(rig.run(100), Stop::Wait, "nothing has happened");
    rig.bench.line(Pin(3), true);
    assert_eq!(rig.run(100), Stop::Wait, "what is masked does not wake it");
    rig.bench.line(Pin(2), true);
    assert_eq!(rig.run(1), Stop::Limit);
    assert_eq!(
        (rig.cp0(14, 0), rig.get(8)),
        (CODE + 4, 0),
        "taken behind the WAIT"
    );
}

#[test]
fn code_that_changes() {
    let one = i(0x09, T0, T0, 1);
    let two = i(0x09, T0, T0, 2);
    // sw t1 over an instruction further on in the same block, then in a slot before it, then behind the CPU's back.
    let mut rig = Rig::new(|_| ());
    rig.put(CODE, &[i(0x2b, 10, T1, 8), NOP, one, one]);
    rig.set(10, CODE);
    rig.set(9, two);
    rig.run(4);
    assert_eq!(rig.get(8), 3);
    rig.put(CODE, &[i(0x04, 0, 0, 2), i(0x2b, 10, T1, 12), NOP, one]);
    rig.go(CODE);
    rig.set(8, 0);
    rig.run(3);
    assert_eq!(rig.get(8), 2);
    rig.put(CODE, &[one, one]);
    rig.go(CODE);
    rig.set(8, 0);
    rig.run(2);
    assert_eq!(rig.get(8), 2);
    // Data beside code: the code stays, and so does what is written.
    rig.put(CODE, &[i(0x2b, 10, T1, 0x400), one, i(0x23, 10, 11, 0x400)]);
    for value in [5, 6, 7] {
        rig.go(CODE);
        rig.set(9, value);
        rig.run(3);
        assert_eq!((rig.get(11), rig.word(CODE + 0x400)), (value, value));
    }
}

#[test]
fn code_may_be_seen_at_two_addresses_of_kseg0() {
    const MIRROR: u32 = 0x0100_0000;
    const RA: u32 = 31;
    let mut rig = Rig::new(|_| ());
    rig.bench.around.mirror = Some(MIRROR.into());
    // The return address of BAL over the end of a page's code, and that of BAL in the next page, then back by the first.
    let last = CODE + 0xff0;
    rig.put(
        last,
        &[i(0x01, 0, 0x11, 1), r(0x25, RA, 0, T0, 0), NOP, NOP],
    );
    rig.put(
        last + 16,
        &[i(0x01, 0, 0x11, 1), r(0x25, RA, 0, T1, 0), NOP],
    );
    for at in [last, last + MIRROR, last, last + MIRROR] {
        for _ in 0..3 {
            rig.go(at);
            rig.run(6);
            assert_eq!(
                [rig.get(8), rig.get(9), rig.pc()],
                [at + 8, at + 24, at + 24],
                "{at:#x}"
            );
        }
    }
}

#[test]
fn devices_answer_in_order_and_in_time() {
    let mut rig = Rig::new(|_| ());
    rig.bench.around.registers.insert(0x1f00_0000, 0x1122_3344);
    rig.put(
        CODE,
        &[
            NOP,
            i(0x23, 10, T0, 0),
            i(0x04, 0, 0, 3),
            i(0x2b, 10, T1, 0),
            NOP,
            NOP,
        ],
    );
    rig.set(10, 0xbf00_0000);
    rig.set(9, 9);
    rig.run(4);
    assert_eq!(rig.get(8), 0x1122_3344);
    assert_eq!(rig.bench.around.registers[&0x1f00_0000], 9);
    assert_eq!((rig.pc(), rig.bench.around.now), (CODE + 24, 4));
    // In the big-endian CPU's order, the lowest address is the highest byte.
    let mut rig = Rig::new(|p| p.big_endian = true);
    rig.bench.around.registers.insert(0x1f00_0000, 0x1122_3344);
    rig.put(CODE, &[i(0x23, 10, T0, 0)]);
    rig.set(10, 0xbf00_0000);
    rig.run(1);
    assert_eq!(rig.get(8), 0x4433_2211);
}

#[test]
fn code_outside_memory_runs() {
    let mut rig = Rig::new(|_| ());
    for (n, word) in [
        i(0x09, T0, T0, 1),
        i(0x05, T0, T1, 0xfffe),
        NOP,
        i(0x09, 0, 10, 7),
    ]
    .into_iter()
    .enumerate()
    {
        rig.bench
            .around
            .registers
            .insert(0x1fc0_0000 + 4 * n as u64, word.into());
    }
    rig.go(0xbfc0_0000);
    rig.set(9, 3);
    rig.run(10);
    assert_eq!((rig.get(8), rig.get(10), rig.pc()), (3, 7, 0xbfc0_0010));
}

#[test]
fn hardware_registers() {
    let rdhwr = |n: u32| 0x7c00_003b | T1 << 16 | n << 11;
    let mut rig = Rig::new(|p| p.user_local = Some(true));
    rig.set_cp0(4, 2, 0x1234);
    rig.set_cp0(7, 0, u32::MAX);
    assert_eq!(rig.cp0(7, 0), 0x2000_000f);
    for (n, expected) in [(0, 0), (1, 16), (3, 2), (29, 0x1234)] {
        rig.execute(&[rdhwr(n)]);
        assert_eq!(rig.get(9), expected, "{n}");
    }
    rig.execute(&[rdhwr(2)]);
    assert_eq!(u64::from(rig.get(9)), rig.bench.around.now / 2 + 1);
}

fn words() -> impl Strategy<Value = u32> {
    // Opcodes evenly, so that rare ones come; and those with many functions more often.
    (any::<u32>(), 0u32..64, 0u32..4).prop_map(|(word, opcode, special)| {
        let opcode = match special {
            0 => [0, 0x10, 0x11, 0x1c, 0x1f, 0x13, 1, 0][(opcode & 7) as usize],
            _ => opcode,
        };
        // Few registers, so that instructions depend on one another, where the fields are registers.
        let registers = if matches!(opcode, 0x10 | 0x11) {
            0
        } else {
            0x0318_0000
        };
        word & 0x03ff_ffff & !registers | opcode << 26
    })
}

fn chaos(words: &[u32], values: &[u32], model: CpuModel, big: bool) -> Rig {
    let mut rig = Rig::new(|p| {
        p.model = model;
        p.big_endian = big;
    });
    rig.put(CODE, words);
    for vector in [0, 0x180] {
        rig.put(
            vector,
            &[
                0x4000_7000 | 26 << 16,
                i(0x09, 26, 26, 4),
                0x4080_7000 | 26 << 16,
                0x4200_0018,
            ],
        );
    }
    for (n, value) in values.iter().enumerate() {
        rig.set(n + 1, *value);
    }
    rig.map(0x40_0000, 0x3000, 6);
    rig.set(32, 0x3000_ff01 | (values[0] & 1) << 26);
    rig.go(CODE);
    rig
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_code_is_executed_alike(
        words in prop::collection::vec(words(), 1..80),
        values in prop::collection::vec(prop_oneof![any::<u32>(), 0x8000_1000u32..0x8000_1200, 0x40_0000u32..0x40_1000], 31),
        model in prop_oneof![Just(CpuModel::M24Kf), Just(CpuModel::M34Kf), Just(CpuModel::M4KEc)],
        big in any::<bool>(),
    ) {
        let mut whole = chaos(&words, &values, model, big);
        let mut steps = chaos(&words, &values, model, big);
        whole.run(300);
        let end = whole.bench.dev.instructions();
        while steps.bench.dev.instructions() < end {
            if steps.run(1) == Stop::Wait {
                break;
            }
        }
        prop_assert_eq!(whole.bench.save(), steps.bench.save());
        // What is saved is all there is: a fresh CPU goes on as the old one does.
        let mut fresh = chaos(&words, &values, model, big);
        whole.copy_memory(&mut fresh);
        let saved = whole.bench.save();
        fresh.bench.load(&saved, &whole.bench.around);
        prop_assert_eq!(&fresh.bench.save(), &saved);
        whole.run(100);
        fresh.run(100);
        prop_assert_eq!(fresh.bench.save(), whole.bench.save());
    }
}

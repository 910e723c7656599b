//! Every opcode and function code of a 24Kf, used or not, one at a time with its other fields zero.

use solderless_testing::frame::{Input, PROGRAM};
use solderless_testing::program::{self, Cpu, Program};

/// Encodings that QEMU 7.2 treats in another way: from, to, why ours is right.
pub const QEMU_DIFFERS: &[(u32, u32, &str)] = &[
    (
        0x0000_0005,
        0x0000_0005,
        "QEMU calls a ROM monitor that is not there",
    ),
    (
        0x0000_001a,
        0x0000_001b,
        "a division by zero leaves anything in hi and lo",
    ),
    (
        0x041f_0000,
        0x041f_0000,
        "synci translates its address, and that misses the TLB",
    ),
    (0x4100_0000, 0x4100_0000, "mftr of the MT extension, to r0"),
    (0x4180_0000, 0x4180_0000, "mttr of the MT extension, of r0"),
    (
        0x4200_0003,
        0x4200_0004,
        "tlbinv and tlbinvf are for CPUs whose Config4 says so",
    ),
    (0x4600_001c, 0x4600_001f, "the MIPS-3D extension"),
    (0x4620_001c, 0x4620_001f, "the MIPS-3D extension"),
    (
        0x4800_0000,
        0x4bff_ffff,
        "coprocessor 2 is unusable, which comes before what its encodings mean",
    ),
    (0x7800_0000, 0x7800_0000, "the MSA extension"),
    (
        0x7c00_0010,
        0x7c00_0010,
        "an instruction of the DSP extension, to r0",
    ),
    (
        0x7c00_0013,
        0x7c00_0013,
        "an instruction of the DSP extension, to r0",
    ),
    (
        0x7c00_0038,
        0x7c00_0038,
        "an instruction of the DSP extension, to r0",
    ),
    (
        0xe000_0000,
        0xe000_0000,
        "sc translates its address even without a link, and that misses the TLB",
    ),
];

/// All of them but jumps, and what stops the CPU or changes what it executes next.
pub fn all() -> impl Iterator<Item = u32> {
    let field = |op: u32, at: u32, values: std::ops::Range<u32>, without: &'static [u32]| {
        values
            .filter(|v| !without.contains(v))
            .map(move |v| op << 26 | v << at)
    };
    const JUMPS: &[u32] = &[
        0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x10, 0x11, 0x13, 0x14, 0x15, 0x16, 0x17,
        0x1c, 0x1d, 0x1f,
    ];
    let floating = [0x10, 0x11, 0x14, 0x15, 0x16].into_iter();
    let coprocessor0 = 0x10 << 26 | 1 << 25;
    field(0, 26, 0..64, JUMPS)
        // jr, jalr
        .chain(field(0x00, 0, 0..64, &[0x08, 0x09]))
        .chain(field(
            0x01,
            16,
            0..32,
            &[0x00, 0x01, 0x02, 0x03, 0x10, 0x11, 0x12, 0x13],
        ))
        // sdbbp
        .chain(field(0x1c, 0, 0..64, &[0x3f]))
        .chain(field(0x1f, 0, 0..64, &[]))
        .chain(field(0x10, 21, 0..16, &[]))
        // tlbwi, tlbwr, eret, deret, wait
        .chain(field(0, 0, 0..64, &[0x02, 0x06, 0x18, 0x1f, 0x20]).map(move |w| w | coprocessor0))
        // branches
        .chain(field(0x11, 21, 0..32, &[0x08]))
        .chain(floating.flat_map(move |fmt| field(0x11, 0, 0..64, &[]).map(move |w| w | fmt << 21)))
        .chain(field(0x13, 0, 0..64, &[]))
        .chain(field(0x12, 21, 0..32, &[]))
}

/// A program of one instruction in kernel mode.
pub fn program(word: u32, cpu: Cpu) -> Program {
    let start = 0x8000_0000 | PROGRAM;
    let made = program::make(1, cpu);
    let input = Input {
        status: if cpu.fpu {
            program::CU1 | program::FR
        } else {
            0
        },
        start,
        end: start + 8,
        passes: 1,
        fcsr: 0,
        gpr: [0; 32],
        fpr: [0; 32],
        ..made.input
    };
    Program {
        input,
        code: vec![(word, "encoding"), (0, "nop"), (0xc, "syscall")],
    }
}

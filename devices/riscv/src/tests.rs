//! A CPU on a bench with memory at 0x80000000, and programs as words.

use solderless_model::memory::Ram;
use solderless_model::testing::Bench;
use solderless_model::{Engine, Hertz, Processor, Stop};

use crate::{CpuModel, Props, RiscvCpu};

const RAM: u64 = 0x8000_0000;
const NOP: u32 = 0x13;
const ECALL: u32 = 0x73;
const MRET: u32 = 0x3020_0073;

struct Rig {
    bench: Bench<RiscvCpu>,
    ram: Ram,
}

/// Both engines, if there are two.
fn engines() -> impl Iterator<Item = Engine> {
    let generated = solderless_engine::GENERATES.then_some(Engine::Jit { after: 1 });
    std::iter::once(Engine::Interp).chain(generated)
}

impl Rig {
    fn new(engine: Engine, change: impl FnOnce(&mut Props)) -> Self {
        let mut props = Props {
            resetvec: RAM,
            clock: Hertz(1_000_000_000),
            ..Props::default()
        };
        change(&mut props);
        let mut bench = Bench::<RiscvCpu>::new(props);
        let ram = Ram::new(1 << 20).unwrap();
        bench.around.ram = Some(ram.clone());
        bench.around.mirror = Some(RAM);
        bench.around.deadline = u64::MAX;
        assert!(bench.dev.set_engine(engine));
        Self { bench, ram }
    }

    fn put(&self, at: u64, words: &[u32]) {
        for (offset, word) in (at - RAM..).step_by(4).zip(words) {
            self.ram.write_u32(offset, *word).unwrap();
        }
    }

    fn run(&mut self, instructions: u64) -> Stop {
        self.bench.with(|d, cx| d.run(cx, instructions))
    }

    fn set(&mut self, register: usize, value: u64) {
        assert!(self.bench.dev.set_register(register, value.into()));
    }

    fn get(&self, register: usize) -> u64 {
        self.bench.dev.register(register).unwrap().low()
    }

    fn csr(&self, number: u32) -> u64 {
        let now = self.bench.around.now;
        self.bench.dev.csr(number, now).unwrap()
    }

    fn pc(&self) -> u64 {
        self.bench.dev.pc()
    }
}

fn i(imm: i32, rs1: u32, funct: u32, rd: u32, opcode: u32) -> u32 {
    (imm as u32) << 20 | rs1 << 15 | funct << 12 | rd << 7 | opcode
}

fn addi(rd: u32, rs1: u32, imm: i32) -> u32 {
    i(imm, rs1, 0, rd, 0x13)
}

fn csrrw(rd: u32, csr: u32, rs1: u32) -> u32 {
    csr << 20 | rs1 << 15 | 1 << 12 | rd << 7 | 0x73
}

fn csrrs(rd: u32, csr: u32, rs1: u32) -> u32 {
    csr << 20 | rs1 << 15 | 2 << 12 | rd << 7 | 0x73
}

/// x12 = x10 op x11.
const OP: u32 = 11 << 20 | 10 << 15 | 12 << 7;

#[test]
fn integer_instructions_give_what_the_manual_says() {
    const MIN: u64 = 1 << 63;
    const ALL: u64 = u64::MAX;
    let cases = [
        // Division by zero and overflow.
        (OP | 0x0200_4033, 7, 0, ALL),
        (OP | 0x0200_4033, MIN, ALL, MIN),
        (OP | 0x0200_6033, MIN, ALL, 0),
        (OP | 0x0200_7033, 7, 0, 7),
        (OP | 0x0200_403b, 0x8000_0000, ALL, 0xffff_ffff_8000_0000),
        // MULH, MULHSU, MULHU.
        (OP | 0x0200_1033, ALL, ALL, 0),
        (OP | 0x0200_2033, ALL, ALL, ALL),
        (OP | 0x0200_3033, ALL, ALL, ALL - 1),
        // ADDW, SLLW, SRLW.
        (OP | 0x003b, 0x7fff_ffff, 1, 0xffff_ffff_8000_0000),
        (OP | 0x103b, 1, 0x3f, 0xffff_ffff_8000_0000),
        (OP | 0x503b, 0xf_8000_0000, 31, 1),
        // SH2ADD, ADD.UW, ANDN, MINU, ROR, BEXT.
        (OP | 0x2000_4033, 3, 5, 17),
        (OP | 0x0800_003b, ALL, 1, 1 << 32),
        (OP | 0x4000_7033, 0xff, 0x0f, 0xf0),
        (OP | 0x0a00_5033, ALL, 1, 1),
        (OP | 0x6000_5033, 1, 1, MIN),
        (OP | 0x4800_5033, MIN, 63, 1),
    ];
    for engine in engines() {
        for (word, a, b, result) in cases {
            let mut rig = Rig::new(engine, |_| ());
            rig.put(RAM, &[word, NOP]);
            rig.set(10, a);
            rig.set(11, b);
            rig.run(2);
            assert_eq!(rig.get(12), result, "{word:#x}");
        }
    }
}

#[test]
fn rv32_works_on_32_bits() {
    let cases = [
        (OP | 0x33, 0x7fff_ffff, 1, 0x8000_0000),
        (OP | 0x5033, 0x8000_0000, 33, 0x4000_0000),
        (OP | 0x4000_5033, 0x8000_0000, 1, 0xc000_0000),
        (OP | 0x0200_3033, 0xffff_ffff, 0xffff_ffff, 0xffff_fffe),
        (OP | 0x0200_5033, 0xffff_ffff, 0, 0xffff_ffff),
        (OP | 0x3033, 0x7fff_ffff, 0x8000_0000, 1),
        (OP | 0x2800_1033, 0, 63, 0x8000_0000),
    ];
    for engine in engines() {
        for (word, a, b, result) in cases {
            let mut rig = Rig::new(engine, |p| p.model = CpuModel::Rv32);
            rig.put(RAM, &[word, NOP]);
            rig.set(10, a);
            rig.set(11, b);
            rig.run(2);
            assert_eq!(rig.get(12), result, "{word:#x}");
        }
    }
}

#[test]
fn an_instruction_goes_on_in_the_next_page() {
    for engine in engines() {
        let mut rig = Rig::new(engine, |_| ());
        // C.NOP up to the last halfword, then addi x5, x5, 1 across, and back.
        rig.put(RAM + 0xff8, &[0x0001_0001, 0x8293_0001, 0xbfd5_0012]);
        for _ in 0..3 {
            rig.bench.dev.set_pc(RAM + 0xff8);
            rig.run(4);
            assert_eq!(rig.pc(), RAM + 0x1002, "{engine:?}");
        }
        assert_eq!(rig.get(5), 3);
    }
}

#[test]
fn traps_tell_their_cause_and_their_value() {
    // From user mode, with medeleg = 0: cause, mtval, and instructions that retire.
    let cases: [(u32, u64, u64); 6] = [
        (ECALL, 8, 0),
        (0x0010_0073, 3, RAM + 0x100),
        // A CSR of machine mode, MRET, bits that are none.
        (csrrs(5, 0x300, 0), 2, csrrs(5, 0x300, 0) as u64),
        (MRET, 2, MRET as u64),
        (0xffff_ffff, 2, 0xffff_ffff),
        // ld x5, -8(x0), behind all physical addresses.
        (i(-8, 0, 3, 5, 0x03), 5, -8_i64 as u64),
    ];
    for engine in engines() {
        for (word, cause, value) in cases {
            let mut rig = Rig::new(engine, |_| ());
            rig.put(
                RAM,
                &[
                    csrrw(0, 0x341, 10),
                    csrrw(0, 0x305, 11),
                    csrrw(0, 0x3b0, 12),
                    // addi x6, x0, 31; csrw pmpcfg0, x6.
                    addi(6, 0, 31),
                    csrrw(0, 0x3a0, 6),
                    MRET,
                ],
            );
            rig.put(RAM + 0x100, &[word]);
            rig.put(RAM + 0x200, &[NOP, NOP]);
            rig.set(10, RAM + 0x100);
            rig.set(11, RAM + 0x200);
            rig.set(12, u64::MAX);
            rig.run(7);
            assert_eq!(rig.pc(), RAM + 0x200, "{word:#x}");
            let found = [0x342, 0x343, 0x341].map(|csr| rig.csr(csr));
            assert_eq!(found, [cause, value, RAM + 0x100], "{word:#x}");
            // Six before it, and it did not retire.
            assert_eq!(rig.csr(0xb02), 6, "{word:#x}");
        }
    }
}

/// A rig in supervisor mode behind Sv39, with 2 MiB at 0x40000000 and its first page once more at 0x200000, whose entry has `flags`.
fn supervisor(engine: Engine, flags: u64, change: impl FnOnce(&mut Props)) -> Rig {
    let mut rig = Rig::new(engine, change);
    const ROOT: u64 = RAM + 0x1_0000;
    let pointer = |at: u64| at >> 2 | 1;
    for (at, entry) in [
        (ROOT, pointer(ROOT + 0x1000)),
        (ROOT + 8, RAM >> 2 | 0xcf),
        (ROOT + 16, RAM >> 2 | 0xcf),
        (ROOT + 0x1000 + 8, pointer(ROOT + 0x2000)),
        (ROOT + 0x2000, RAM >> 2 | flags),
    ] {
        rig.ram.write_u64(at - RAM, entry).unwrap();
    }
    rig.put(
        RAM,
        &[
            csrrw(0, 0x341, 10),
            csrrw(0, 0x305, 11),
            csrrw(0, 0x3b0, 12),
            addi(6, 0, 31),
            csrrw(0, 0x3a0, 6),
            csrrw(0, 0x180, 13),
            csrrw(0, 0x300, 14),
            MRET,
        ],
    );
    rig.put(RAM + 0x200, &[NOP, NOP]);
    for (register, value) in [
        (10, RAM + 0x100),
        (11, RAM + 0x200),
        (12, u64::MAX),
        (13, 8 << 60 | ROOT >> 12),
        (14, 1 << 11),
        (15, 0x20_0000),
    ] {
        rig.set(register, value);
    }
    rig
}

#[test]
fn page_tables_say_where_and_whether() {
    // sw x15, 8(x15); lw x5, 8(x15).
    let program = [0x00f7_a423, i(8, 15, 2, 5, 0x03), NOP];
    // Of V, R, W, X, U, G, A, D: what is there, the cause if there is a trap, and what is there after it.
    for (flags, svadu, cause, after) in [
        (0xc7, true, None, 0xc7),
        (0x07, true, None, 0xc7),
        (0x07, false, Some(15), 0x07),
        (0x47, false, Some(15), 0x47),
        (0xc3, true, Some(15), 0xc3),
        (0xd7, true, Some(15), 0xd7),
        (0xc5, true, Some(15), 0xc5),
        (0, true, Some(15), 0),
    ] {
        for engine in engines() {
            let mut rig = supervisor(engine, flags, |p| p.svadu = svadu);
            rig.put(RAM + 0x100, &program);
            rig.run(10);
            let entry = rig.ram.read_u64(0x1_2000).unwrap();
            assert_eq!(entry & 0x3ff, after, "{flags:#x}");
            match cause {
                None => {
                    assert_eq!(rig.pc(), RAM + 0x108);
                    assert_eq!(rig.get(5), 0x20_0000);
                    assert_eq!(rig.ram.read_u32(8), Ok(0x20_0000));
                }
                Some(cause) => {
                    assert_eq!([rig.csr(0x342), rig.csr(0x343)], [cause, 0x20_0008]);
                    assert_eq!(rig.csr(0x341), RAM + 0x100, "{flags:#x}");
                }
            }
        }
    }
}

#[test]
fn time_reaches_stimecmp_at_its_instant() {
    for engine in engines() {
        let mut rig = Rig::new(engine, |p| p.timebase_frequency = Hertz(1_000_000));
        // menvcfg.STCE, stimecmp = 5, mie.STIE; wait.
        rig.put(
            RAM,
            &[
                csrrs(0, 0x30a, 10),
                addi(5, 0, 5),
                csrrw(0, 0x14d, 5),
                addi(5, 0, 32),
                csrrs(0, 0x304, 5),
                0x1050_0073,
                NOP,
                NOP,
            ],
        );
        rig.set(10, 1 << 63);
        assert_eq!(rig.run(100), Stop::Wait);
        assert_eq!(rig.csr(0x344), 0);
        assert_eq!(rig.bench.around.timers.values().next(), Some(&5000));
        let left = 5000 - rig.bench.around.now;
        rig.bench.advance(left);
        assert_eq!(rig.csr(0x344), 32);
        rig.run(1);
        assert_eq!(rig.pc(), RAM + 0x1c);
    }
}

#[test]
fn a_saved_cpu_goes_on_as_if_nothing_had_been_saved() {
    // A loop of integer, floating point and atomic instructions in supervisor mode.
    let program = [
        addi(5, 5, 3),
        0xd002_f053,                    // fcvt.s.w f0, x5
        0x1800_70d3,                    // fdiv.s f1, f0, f0
        0x0810_70d3 | 1 << 15 | 1 << 7, // fsub.s f1, f1, f1
        0x0057_a02f,                    // amoadd.w x0, x5, (x15)
        0x1007_a32f,                    // lr.w x6, (x15)
        0x1867_a3af,                    // sc.w x7, x6, (x15)
        0xfe5f_f06f,                    // j to the first
    ];
    for engine in engines() {
        let new = || {
            let mut rig = supervisor(engine, 0xc7, |_| ());
            rig.put(RAM + 0x100, &program);
            rig.set(14, 1 << 11 | 3 << 13);
            rig.set(15, 0x20_0400);
            rig
        };
        let mut straight = new();
        straight.run(2000);
        let mut pieces = new();
        let mut left = 2000;
        for n in 1.. {
            let piece = (n * 37 % 101).min(left);
            pieces.run(piece);
            left -= piece;
            if left == 0 {
                break;
            }
            let mut next = new();
            next.bench.around.now = pieces.bench.around.now;
            let mut memory = vec![0; 1 << 20];
            pieces.ram.read(0, &mut memory).unwrap();
            next.ram.write(0, &memory).unwrap();
            let saved = pieces.bench.save();
            next.bench.load(&saved, &pieces.bench.around);
            pieces = next;
        }
        let all = |rig: &Rig| (0..70).map(|n| rig.get(n)).collect::<Vec<_>>();
        assert_eq!(all(&straight), all(&pieces), "{engine:?}");
        assert_eq!(straight.ram.read_u32(0x400), pieces.ram.read_u32(0x400));
        assert_ne!(straight.ram.read_u32(0x400), Ok(0));
        assert_eq!(straight.csr(0xb02), pieces.csr(0xb02));
    }
}

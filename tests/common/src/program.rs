//! Random programs over the whole instruction set, in random states of the CPU.
//!
//! A program is a row of units: single instructions, or short sequences that belong together (a jump with the loads of
//! its target, a TLB write with its operands). Jumps lead forward to the start of a unit, so that every program ends.
//! What the architecture leaves open is not generated: see the comments.

mod floating;
mod mapping;

use crate::frame::{DATA, DATA_SIZE, Input, PROGRAM};

use floating::{DOUBLE_NAN, SINGLE_NAN};
use mapping::WILD;

/// A generator of pseudo-random numbers (xorshift64*).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A sequence of its own for every seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn word(&mut self) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u32) -> u32 {
        self.word() % end
    }

    /// True so many times in a hundred.
    pub fn chance(&mut self, percent: u32) -> bool {
        self.below(100) < percent
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u32) as usize]
    }
}

/// What a program is made for.
#[derive(Debug, Clone, Copy)]
pub struct Cpu {
    pub fpu: bool,
    pub tlb_entries: u32,
}

/// A program and the state it starts in.
#[derive(Debug, Clone)]
pub struct Program {
    pub input: Input,
    /// Each instruction's word and what it is.
    pub code: Vec<(u32, &'static str)>,
}

/// Where the code of mapped programs appears.
pub const MAPPED: u32 = 0x0040_0000;
/// Status: coprocessor 1, 64-bit floating point registers, boot vectors, user mode.
pub const CU1: u32 = 1 << 29;
pub const FR: u32 = 1 << 26;
const BEV: u32 = 1 << 22;
const UM: u32 = 1 << 4;
/// Cause: Count stands still, interrupts have their own vector.
const DC: u32 = 1 << 27;
const IV: u32 = 1 << 23;
const ASIDS: [u32; 2] = [0x11, 0xee];

/// Registers with addresses in them, which nothing else writes: in kseg0, in kseg1, mapped, and anywhere.
const BASES: [u32; 4] = [16, 17, 18, 19];

#[derive(Debug, Clone, Copy)]
enum Fix {
    No,
    /// The 16-bit distance to a unit.
    Branch(usize),
    /// The 26-bit address of a unit.
    Jump(usize),
    /// Half of a unit's address.
    High(usize),
    Low(usize),
    /// Half of the kseg0 address of an instruction so many words on.
    AheadHigh(u32),
    AheadLow(u32),
}

type Insn = (u32, &'static str, Fix);

fn plain(word: u32, name: &'static str) -> Insn {
    (word, name, Fix::No)
}

fn r_type(rs: u32, rt: u32, rd: u32, sa: u32, funct: u32) -> u32 {
    rs << 21 | rt << 16 | rd << 11 | sa << 6 | funct
}

fn i_type(op: u32, rs: u32, rt: u32, immediate: u32) -> u32 {
    op << 26 | rs << 21 | rt << 16 | immediate & 0xffff
}

/// Loads a number.
fn li(rt: u32, value: u32) -> [Insn; 2] {
    [
        plain(i_type(0x0f, 0, rt, value >> 16), "lui"),
        plain(i_type(0x0d, rt, rt, value), "ori"),
    ]
}

fn mtc0(rt: u32, rd: u32) -> Insn {
    plain(0x4080_0000 | rt << 16 | rd << 11, "mtc0")
}

/// What an instruction is called after which a floating point register may hold a NaN that is about to be replaced.
pub const UNSETTLED: &str = "arithmetic";

const EHB: Insn = (0xc0, "ehb", Fix::No);
const NOP: Insn = (0, "nop", Fix::No);

struct Maker<'a> {
    random: &'a mut Random,
    cpu: Cpu,
    status: u32,
    user: bool,
    fr: bool,
    /// Where the program will run.
    start: u32,
}

/// Makes the program of a seed.
pub fn make(seed: u64, cpu: Cpu) -> Program {
    let random = &mut Random::new(seed);
    let mapped = random.chance(30);
    let user = mapped && random.chance(60);
    let fr = cpu.fpu && random.chance(50);
    let start = if mapped {
        MAPPED
    } else {
        0x8000_0000 | PROGRAM
    };
    let mut status = if cpu.fpu && random.chance(92) { CU1 } else { 0 };
    status |= if fr { FR } else { 0 };
    status |= if user { UM } else { 0 };
    status |= if random.chance(10) { BEV } else { 0 };
    let mut maker = Maker {
        random,
        cpu,
        status,
        user,
        fr,
        start,
    };
    let count = 12 + maker.random.below(60) as usize;
    let mut units: Vec<Vec<Insn>> = (0..count).map(|at| maker.unit(at, count)).collect();
    units.push(vec![plain(0xc, "syscall")]);
    let input = maker.input(&units);
    Program {
        code: lay_out(&units, start),
        input,
    }
}

fn lay_out(units: &[Vec<Insn>], start: u32) -> Vec<(u32, &'static str)> {
    let mut at = start;
    let mut starts = Vec::new();
    for unit in units {
        starts.push(at);
        at += 4 * unit.len() as u32;
    }
    let mut pc = start;
    let mut code = Vec::new();
    for (word, name, fix) in units.iter().flatten() {
        let ahead = |words: u32| (pc - start + PROGRAM + 4 * words) | 0x8000_0000;
        let field = match fix {
            Fix::No => 0,
            Fix::Branch(unit) => (starts[*unit].wrapping_sub(pc + 4) >> 2) & 0xffff,
            Fix::Jump(unit) => starts[*unit] >> 2 & 0x03ff_ffff,
            Fix::High(unit) => starts[*unit] >> 16,
            Fix::Low(unit) => starts[*unit] & 0xffff,
            Fix::AheadHigh(words) => ahead(*words) >> 16,
            Fix::AheadLow(words) => ahead(*words) & 0xffff,
        };
        code.push((word | field, *name));
        pc += 4;
    }
    code
}

impl Maker<'_> {
    /// A register to write: not one with an address, nor k0 and k1, which the exception handler uses.
    fn dest(&mut self) -> u32 {
        loop {
            let r = 1 + self.random.below(31);
            if !matches!(r, 16..=19 | 26 | 27) {
                return r;
            }
        }
    }

    fn source(&mut self) -> u32 {
        self.random.pick(&[
            0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 20, 21, 22, 23, 24, 25, 28, 29,
            30, 31,
        ])
    }

    /// A number that finds edges.
    fn value(&mut self) -> u32 {
        match self.random.below(4) {
            0 => self.random.pick(&[
                0,
                1,
                2,
                31,
                32,
                0x7f,
                0x80,
                0x7fff,
                0x8000,
                0xffff,
                0x7fff_ffff,
                0x8000_0000,
            ]),
            1 => self.random.below(64).wrapping_sub(32),
            _ => self.random.word(),
        }
    }

    fn unit(&mut self, at: usize, count: usize) -> Vec<Insn> {
        let target = at + 1 + self.random.below(6) as usize;
        let target = target.min(count);
        let floating = if self.cpu.fpu { 22 } else { 2 };
        match self.random.below(100) {
            n if n < floating / 2 => vec![self.fpu()],
            n if n < floating => self.arithmetic(),
            22..=41 => vec![self.alu()],
            42..=47 => self.multiply(),
            48..=63 => self.memory(),
            64..=77 => self.jump(target),
            78..=80 => vec![self.trap()],
            81..=84 => vec![self.read_cp0()],
            85..=88 => self.write_cp0(),
            89..=91 => self.tlb(),
            92..=93 => self.bases(),
            94 => self.linked(),
            95 => vec![self.reserved()],
            96 => self.return_from_exception(at, target),
            97 => self.software_interrupt(),
            98 => self.patch(),
            _ if self.cpu.fpu && self.random.chance(50) => self.fcsr(),
            _ if self.cpu.fpu => self.sign(),
            _ => vec![self.alu()],
        }
    }

    /// An instruction for a delay slot: anything but jumps, and what changes how the next instruction is seen.
    fn slot(&mut self) -> Insn {
        match self.random.below(20) {
            0..=8 => self.alu(),
            9..=12 => self.access(),
            13..=15 => self.fpu(),
            16 => self.trap(),
            17 => self.read_cp0(),
            18 => self.reserved(),
            _ => NOP,
        }
    }

    fn alu(&mut self) -> Insn {
        const THREE: &[(&str, u32)] = &[
            ("add", 0x20),
            ("addu", 0x21),
            ("sub", 0x22),
            ("subu", 0x23),
            ("and", 0x24),
            ("or", 0x25),
            ("xor", 0x26),
            ("nor", 0x27),
            ("slt", 0x2a),
            ("sltu", 0x2b),
            ("sllv", 0x04),
            ("srlv", 0x06),
            ("srav", 0x07),
            ("rotrv", 0x46),
            ("movz", 0x0a),
            ("movn", 0x0b),
        ];
        const IMMEDIATE: &[(&str, u32)] = &[
            ("addi", 0x08),
            ("addiu", 0x09),
            ("slti", 0x0a),
            ("sltiu", 0x0b),
            ("andi", 0x0c),
            ("ori", 0x0d),
            ("xori", 0x0e),
        ];
        let (rs, rt, rd) = (self.source(), self.source(), self.dest());
        let sa = self.random.below(32);
        match self.random.below(20) {
            0..=6 => {
                let (name, funct) = self.random.pick(THREE);
                plain(r_type(rs, rt, rd, 0, funct), name)
            }
            7..=12 => {
                let (name, op) = self.random.pick(IMMEDIATE);
                plain(i_type(op, rs, rd, self.value()), name)
            }
            13 => plain(i_type(0x0f, 0, rd, self.value()), "lui"),
            14..=15 => {
                let (name, rotate, funct) = self.random.pick(&[
                    ("sll", 0, 0),
                    ("srl", 0, 2),
                    ("sra", 0, 3),
                    ("rotr", 1, 2),
                ]);
                plain(r_type(rotate, rt, rd, sa, funct), name)
            }
            16 => {
                let (name, funct) = self.random.pick(&[("clz", 0x20), ("clo", 0x21)]);
                plain(0x1c << 26 | r_type(rs, rd, rd, 0, funct), name)
            }
            17 => {
                let (name, sa) = self
                    .random
                    .pick(&[("wsbh", 2), ("seb", 0x10), ("seh", 0x18)]);
                plain(0x1f << 26 | r_type(0, rt, rd, sa, 0x20), name)
            }
            18 => {
                // Fields that reach beyond the register are not defined.
                let last = sa + self.random.below(32 - sa);
                match self.random.chance(50) {
                    true => plain(0x1f << 26 | r_type(rs, rd, last - sa, sa, 0), "ext"),
                    false => plain(0x1f << 26 | r_type(rs, rd, last, sa, 4), "ins"),
                }
            }
            _ => {
                let on = self.random.below(2);
                plain(
                    r_type(rs, self.random.below(8) << 2 | on, rd, 0, 1),
                    if on == 1 { "movt" } else { "movf" },
                )
            }
        }
    }

    fn multiply(&mut self) -> Vec<Insn> {
        let (rs, rt, rd) = (self.source(), self.source(), self.dest());
        let special2 = 0x1c << 26;
        match self.random.below(12) {
            0 => vec![plain(special2 | r_type(rs, rt, rd, 0, 2), "mul")],
            1 => vec![plain(r_type(rs, rt, 0, 0, 0x18), "mult")],
            2 => vec![plain(r_type(rs, rt, 0, 0, 0x19), "multu")],
            3 => vec![plain(special2 | r_type(rs, rt, 0, 0, 0), "madd")],
            4 => vec![plain(special2 | r_type(rs, rt, 0, 0, 1), "maddu")],
            5 => vec![plain(special2 | r_type(rs, rt, 0, 0, 4), "msub")],
            6 => vec![plain(special2 | r_type(rs, rt, 0, 0, 5), "msubu")],
            7 => vec![plain(r_type(0, 0, rd, 0, 0x10), "mfhi")],
            8 => vec![plain(r_type(0, 0, rd, 0, 0x12), "mflo")],
            9 => {
                let (name, funct) = self.random.pick(&[("mthi", 0x11), ("mtlo", 0x13)]);
                vec![plain(r_type(rs, 0, 0, 0, funct), name)]
            }
            n => {
                // A division by zero leaves anything in hi and lo.
                let odd = plain(i_type(0x0d, rt, rd, 1), "ori");
                let (name, funct) = if n == 10 {
                    ("div", 0x1a)
                } else {
                    ("divu", 0x1b)
                };
                vec![odd, plain(r_type(rs, rd, 0, 0, funct), name)]
            }
        }
    }

    /// A load or store of the integer unit or the FPU.
    fn access(&mut self) -> Insn {
        const INTEGER: &[(&str, u32, u32)] = &[
            ("lb", 0x20, 1),
            ("lh", 0x21, 2),
            ("lwl", 0x22, 1),
            ("lw", 0x23, 4),
            ("lbu", 0x24, 1),
            ("lhu", 0x25, 2),
            ("lwr", 0x26, 1),
            ("sb", 0x28, 1),
            ("sh", 0x29, 2),
            ("swl", 0x2a, 1),
            ("sw", 0x2b, 4),
            ("swr", 0x2e, 1),
            ("pref", 0x33, 1),
        ];
        const FLOATING: &[(&str, u32, u32)] = &[
            ("lwc1", 0x31, 4),
            ("ldc1", 0x35, 8),
            ("swc1", 0x39, 4),
            ("sdc1", 0x3d, 8),
        ];
        let floating = self.random.chance(25);
        let (name, op, size) = self.random.pick(if floating { FLOATING } else { INTEGER });
        let rt = match (op, floating) {
            (0x33, _) => self.random.pick(&[0, 1, 4, 5, 6, 7, 25]),
            (0x31 | 0x35, true) => self.freg_dest(size == 8),
            (_, true) => self.freg(size == 8),
            (0x28.., false) => self.source(),
            (_, false) => self.dest(),
        };
        let (base, offset) = self.place(size);
        plain(i_type(op, base, rt, offset), name)
    }

    /// A base register and an offset: aligned most times.
    fn place(&mut self, size: u32) -> (u32, u32) {
        let base = self.random.pick(&[16, 16, 17, 18, 18, 18, 19]);
        // The mapped base lies in the middle of what may be a page of 4 KiB.
        let reach = if base < 18 { DATA_SIZE / 2 - 16 } else { 0x7f0 };
        let mut offset = self.random.below(2 * reach).wrapping_sub(reach);
        if self.random.chance(85) {
            offset &= size.wrapping_neg();
        }
        (base, offset)
    }

    fn memory(&mut self) -> Vec<Insn> {
        match self.random.below(10) {
            0 => {
                const INDEXED: &[(&str, u32, bool)] = &[
                    ("lwxc1", 0x00, true),
                    ("ldxc1", 0x01, true),
                    ("luxc1", 0x05, true),
                    ("swxc1", 0x08, false),
                    ("sdxc1", 0x09, false),
                    ("suxc1", 0x0d, false),
                ];
                let (name, funct, load) = self.random.pick(INDEXED);
                let (base, offset) = self.place(8);
                let index = self.dest();
                let f = self.freg_dest(funct & 7 != 0);
                let (fs, fd) = if load { (0, f) } else { (f, 0) };
                let word = 0x13 << 26 | r_type(base, index, fs, fd, funct);
                vec![
                    plain(i_type(0x09, 0, index, offset), "addiu"),
                    plain(word, name),
                ]
            }
            1 => {
                // Hit operations: memory is coherent, so they change nothing. In kseg0, where they cannot fault.
                let (_, offset) = self.place(4);
                let (word, name) = self.random.pick(&[
                    (0xf, "sync"),
                    (i_type(1, 16, 0x1f, offset), "synci"),
                    (i_type(0x2f, 16, 0x10, offset), "cache"),
                    (i_type(0x2f, 16, 0x15, offset), "cache"),
                    (i_type(0x2f, 16, 0x19, offset), "cache"),
                ]);
                vec![if self.user { NOP } else { plain(word, name) }]
            }
            _ => vec![self.access()],
        }
    }

    fn trap(&mut self) -> Insn {
        const TRAPS: &[(&str, u32)] = &[
            ("tge", 0x30),
            ("tgeu", 0x31),
            ("tlt", 0x32),
            ("tltu", 0x33),
            ("teq", 0x34),
            ("tne", 0x36),
        ];
        const IMMEDIATE: &[(&str, u32)] = &[
            ("tgei", 8),
            ("tgeiu", 9),
            ("tlti", 0xa),
            ("tltiu", 0xb),
            ("teqi", 0xc),
            ("tnei", 0xe),
        ];
        let (rs, rt) = (self.source(), self.source());
        match self.random.below(4) {
            0 => plain(self.random.below(1 << 20) << 6 | 0x0c, "syscall"),
            1 => plain(self.random.below(1 << 20) << 6 | 0x0d, "break"),
            2 => {
                let (name, funct) = self.random.pick(TRAPS);
                plain(
                    r_type(rs, rt, 0, 0, funct) | self.random.below(1 << 10) << 6,
                    name,
                )
            }
            _ => {
                let (name, rt) = self.random.pick(IMMEDIATE);
                plain(i_type(1, rs, rt, self.value()), name)
            }
        }
    }

    fn jump(&mut self, target: usize) -> Vec<Insn> {
        const TWO: &[(&str, u32)] = &[("beq", 4), ("bne", 5), ("beql", 0x14), ("bnel", 0x15)];
        const ONE: &[(&str, u32)] = &[("blez", 6), ("bgtz", 7), ("blezl", 0x16), ("bgtzl", 0x17)];
        const REGIMM: &[(&str, u32)] = &[
            ("bltz", 0),
            ("bgez", 1),
            ("bltzl", 2),
            ("bgezl", 3),
            ("bltzal", 0x10),
            ("bgezal", 0x11),
            ("bltzall", 0x12),
            ("bgezall", 0x13),
        ];
        const FLOATING: &[(&str, u32)] = &[("bc1f", 0), ("bc1t", 1), ("bc1fl", 2), ("bc1tl", 3)];
        // Where the linking register is the one tested, executing a branch again after an exception in its slot goes
        // another way, so the architecture forbids it.
        // QEMU takes a branch that can never be taken (bne of a register with itself, bltz of r0) for a nop, and so what
        // follows for no delay slot.
        let rs = 1 + self.random.below(15);
        let rt = loop {
            let rt = self.source();
            if rt != rs {
                break rt;
            }
        };
        let slot = self.slot();
        let branch = |word, name| vec![(word, name, Fix::Branch(target)), slot];
        match self.random.below(12) {
            0..=3 => {
                let (name, op) = self.random.pick(TWO);
                branch(i_type(op, rs, rt, 0), name)
            }
            4..=5 => {
                let (name, op) = self.random.pick(ONE);
                branch(i_type(op, rs, 0, 0), name)
            }
            6..=8 => {
                let (name, rt) = self.random.pick(REGIMM);
                branch(i_type(1, rs, rt, 0), name)
            }
            9 => {
                let (name, bits) = self.random.pick(FLOATING);
                branch(i_type(0x11, 8, self.random.below(8) << 2 | bits, 0), name)
            }
            10 => {
                let (name, op) = self.random.pick(&[("j", 2), ("jal", 3)]);
                vec![(op << 26, name, Fix::Jump(target)), slot]
            }
            _ => {
                let at = self.dest();
                let link = loop {
                    let link = self.dest();
                    if link != at {
                        break link;
                    }
                };
                let (name, word) = self.random.pick(&[
                    ("jr", r_type(at, 0, 0, 0, 8)),
                    ("jr.hb", r_type(at, 0, 0, 0x10, 8)),
                    ("jalr", r_type(at, 0, link, 0, 9)),
                    ("jalr.hb", r_type(at, 0, link, 0x10, 9)),
                ]);
                let high = (i_type(0x0f, 0, at, 0), "lui", Fix::High(target));
                let low = (i_type(0x0d, at, at, 0), "ori", Fix::Low(target));
                vec![high, low, plain(word, name), slot]
            }
        }
    }

    /// Registers that both CPUs have, and that are defined to the last bit: not Random, Count, Context after an address
    /// error, Cause.CE after most exceptions, Config1 and Config3, which say what else a CPU has.
    /// And not rdpgpr, by which QEMU 7.2 reads a value older than that of the instruction before.
    fn read_cp0(&mut self) -> Insn {
        const REGISTERS: &[(u32, u32)] = &[
            (0, 0),
            (2, 0),
            (3, 0),
            (5, 0),
            (5, 1),
            (6, 0),
            (7, 0),
            (8, 0),
            (10, 0),
            (11, 0),
            (12, 0),
            (12, 1),
            (14, 0),
            (15, 0),
            (15, 1),
            (16, 0),
            (16, 2),
            (30, 0),
        ];
        let rt = self.dest();
        match self.random.below(5) {
            0 => {
                // Not SYNCI_Step, for which QEMU says 32 although its cache lines have 16 bytes; not UserLocal in kernel
                // mode, where QEMU gives it even if Config3.ULRI says there is none.
                let register = self.random.pick(if self.user {
                    &[0, 3, 4, 29]
                } else {
                    &[0, 3, 4, 5]
                });
                plain(0x1f << 26 | r_type(0, rt, register, 0, 0x3b), "rdhwr")
            }
            _ => {
                let (register, select) = self.random.pick(REGISTERS);
                plain(0x4000_0000 | rt << 16 | register << 11 | select, "mfc0")
            }
        }
    }

    fn write_cp0(&mut self) -> Vec<Insn> {
        let rt = self.dest();
        let (register, value) = match self.random.below(12) {
            0 => (4, self.random.word()),
            1 => (14, self.random.word()),
            2 => (30, self.random.word()),
            3 => (7, self.random.below(16)),
            4 => (
                13,
                DC | self.random.pick(&[0, IV]) | self.random.below(4) << 8,
            ),
            5 => (10, self.random.pick(&ASIDS)),
            6 => (2, self.entry_lo(0)),
            7 => (3, self.entry_lo(0)),
            8 => (12, self.new_status()),
            9 => (12, self.new_status()),
            10 => return vec![plain(0x4160_6000 | rt << 16, "di"), EHB],
            // Random depends on Wired, and is not compared: it goes back to its one value.
            _ => {
                let mut unit = li(rt, self.random.below(self.cpu.tlb_entries)).to_vec();
                let other = self.dest();
                unit.extend([
                    mtc0(rt, 6),
                    EHB,
                    plain(0x4000_0000 | other << 16 | 6 << 11, "mfc0"),
                ]);
                unit.extend(li(rt, self.cpu.tlb_entries - 1));
                unit.extend([mtc0(rt, 6), EHB]);
                return unit;
            }
        };
        let mut unit = li(rt, value).to_vec();
        unit.extend([mtc0(rt, register), EHB]);
        unit
    }

    /// Another Status for the program: FR stays, because with it the registers' content becomes unpredictable; so do
    /// the operating mode and the interrupt enable.
    fn new_status(&mut self) -> u32 {
        let mut status = self.status & !(CU1 | BEV);
        status |= if self.cpu.fpu && self.random.chance(85) {
            CU1
        } else {
            0
        };
        status |= if self.random.chance(15) { BEV } else { 0 };
        status | self.random.below(0x80) << 8
    }

    /// A link and what may become of it. In kseg0, where a store that has lost its link cannot fault.
    fn linked(&mut self) -> Vec<Insn> {
        let (loaded, stored) = (self.dest(), self.dest());
        let base = self.random.pick(&[16, 17]);
        let offset = self.random.below(0x400) << 2;
        if self.user {
            let (base, offset) = self.place(4);
            return vec![plain(i_type(0x30, base, loaded, offset), "ll")];
        }
        let mut unit = Vec::new();
        if self.random.chance(75) {
            unit.push(plain(i_type(0x30, base, loaded, offset), "ll"));
        }
        unit.push(plain(i_type(0x09, loaded, stored, 1), "addiu"));
        if self.random.chance(20) {
            unit.push(plain(0xc, "syscall"));
        }
        unit.push(plain(i_type(0x38, base, stored, offset), "sc"));
        unit
    }

    /// Encodings that neither Release 2 nor an extension of these CPUs uses.
    fn reserved(&mut self) -> Insn {
        let word = self.random.pick(&[
            0x0000_000e,
            0x0000_0015,
            0x0000_0028,
            0x0000_0039,
            0x0405_0000,
            0x040d_0000,
            0x0418_0000,
            0x7000_0006,
            0x7000_0022,
            0x6000_0000,
            0x6800_0000,
            0x9c00_0000,
            0xd000_0000,
            0xdc00_0000,
            0xfc00_0000,
        ]);
        plain(word, "reserved")
    }

    fn return_from_exception(&mut self, at: usize, target: usize) -> Vec<Insn> {
        let rt = self.dest();
        // An exception while EXL is set keeps EPC, and takes the general vector even for a TLB miss. The handler
        // steps over what EPC points to: a row of nops at the end of this unit.
        let nested = self.random.chance(50);
        let to = if nested { at } else { target };
        let mut unit = vec![
            (i_type(0x0f, 0, rt, 0), "lui", Fix::High(to)),
            (i_type(0x0d, rt, rt, 0), "ori", Fix::Low(to)),
        ];
        if nested {
            unit.push(plain(i_type(0x09, rt, rt, 4 * 10), "addiu"));
        }
        unit.push(mtc0(rt, 14));
        unit.extend(li(rt, self.status | 2));
        unit.extend([mtc0(rt, 12), EHB]);
        if nested {
            unit.push(self.access());
        }
        unit.push(plain(0x4200_0018, "eret"));
        if nested {
            unit.extend([NOP; 3]);
        }
        unit
    }

    fn software_interrupt(&mut self) -> Vec<Insn> {
        if self.user {
            return vec![plain(0x4160_6020, "ei")];
        }
        let rt = self.dest();
        let mut unit = li(rt, self.status | 0x301).to_vec();
        unit.extend([mtc0(rt, 12), EHB]);
        unit.extend(li(
            rt,
            DC | self.random.pick(&[0, IV]) | self.random.pick(&[0x100, 0x200, 0x300]),
        ));
        unit.extend([mtc0(rt, 13), EHB, NOP]);
        unit.extend(li(rt, self.status));
        unit.extend([mtc0(rt, 12), EHB]);
        unit
    }

    /// The program changes an instruction ahead of it, and makes the change seen as the architecture demands.
    fn patch(&mut self) -> Vec<Insn> {
        if self.user {
            return vec![NOP];
        }
        let (new, at) = (1, 2);
        let (word, _, _) = self.alu();
        let [high, low] = li(new, word);
        let places = |from: u32| {
            let high = (i_type(0x0f, 0, at, 0), "lui", Fix::AheadHigh(from));
            [
                high,
                (i_type(0x0d, at, at, 0), "ori", Fix::AheadLow(from - 1)),
            ]
        };
        let mut unit = vec![high, low];
        unit.extend(places(9));
        unit.extend([
            plain(i_type(0x2b, at, new, 0), "sw"),
            plain(i_type(1, at, 0x1f, 0), "synci"),
            plain(0xf, "sync"),
        ]);
        // A jump with a hazard barrier, in the address space of the program.
        let offset = self.start.wrapping_sub(0x8000_0000 | PROGRAM);
        unit.push(if offset == 0 {
            NOP
        } else {
            plain(i_type(0x0f, 0, 3, offset >> 16), "lui")
        });
        unit.push(if offset == 0 {
            NOP
        } else {
            plain(r_type(at, 3, at, 0, 0x21), "addu")
        });
        unit.extend([plain(r_type(at, 0, 0, 0x10, 8), "jr.hb"), NOP, NOP]);
        unit
    }

    /// The state that the program starts in.
    fn input(&mut self, units: &[Vec<Insn>]) -> Input {
        let words: usize = units.iter().map(Vec::len).sum();
        let mut gpr = [0; 32];
        for value in &mut gpr {
            *value = self.value();
        }
        let middle = if self.user {
            self.mapped_address()
        } else {
            0x8000_0000 | (DATA + DATA_SIZE / 2)
        };
        let uncached = if self.user {
            self.mapped_address()
        } else {
            0xa000_0000 | (DATA + DATA_SIZE / 2)
        };
        for (base, value) in BASES.into_iter().zip([
            middle,
            uncached,
            self.mapped_address(),
            self.random.pick(&WILD),
        ]) {
            gpr[base as usize] = value;
        }
        let mut fpr = std::array::from_fn(|_| self.double());
        fpr[SINGLE_NAN as usize] = 0x7fbf_ffff;
        fpr[DOUBLE_NAN as usize] = 0x7ff7_ffff_ffff_ffff;
        // The first entry maps the program itself.
        let mut tlb = vec![[
            MAPPED,
            PROGRAM >> 12 << 6 | 0x1f,
            (PROGRAM + 0x1000) >> 12 << 6 | 0x1f,
            0,
        ]];
        for index in 1..self.cpu.tlb_entries {
            tlb.push(self.entry(index));
        }
        let cp0 = [
            self.random.pick(&ASIDS),
            0,
            self.cpu.tlb_entries - 1,
            self.random.word(),
            self.random.below(16),
            DC | self.random.pick(&[0, IV]),
            self.random.word() & 0x03ff_ffff,
            self.random.word() & 0x03ff_ffff,
        ];
        Input {
            status: self.status,
            start: self.start,
            end: self.start + 4 * (words as u32 - 1),
            passes: 1 + self.random.below(4),
            seed: self.random.word(),
            fcsr: if self.cpu.fpu { self.random_fcsr() } else { 0 },
            hi: self.value(),
            lo: self.value(),
            fpu: self.cpu.fpu,
            cp0,
            gpr,
            fpr,
            tlb,
        }
    }
}

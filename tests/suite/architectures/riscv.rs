//! RISC-V: random programs in all modes, on page tables of each kind, with a handler that goes on behind whatever traps.

use solderless_model::testing::Noise;

use super::{Architecture, Bytes, Guest, Random};

pub const RISCV: Architecture = Architecture {
    name: "riscv",
    random: || Some(Box::new(|seed| Program::new(seed, false).guest) as Random),
    programs: 200,
    listed,
};

/// Before the program, while it runs, and after that, when it goes round in a circle.
const INSTRUCTIONS: [u64; 3] = [70, 8_000, 3_000];
/// How often the program is run.
const PASSES: u64 = 60;

/// Where memory is: code, the trap handler, what it keeps, what registers hold at first, the handler of S mode and what that keeps,
/// what the program works on, page tables.
const RAM: u64 = 0x8000_0000;
const SIZE: u64 = 2 << 20;
const HANDLER: u64 = RAM + 0x1_0000;
const SAVE: u64 = RAM + 0x1_1000;
const INITIAL: u64 = RAM + 0x1_2000;
const HANDLER_S: u64 = RAM + 0x1_3000;
const SAVE_S: u64 = RAM + 0x1_4000;
const DATA: u64 = RAM + 0x2_0000;
const TABLES: u64 = RAM + 0x3_0000;

/// Registers that the program keeps: passes left, and what it works on.
const LEFT: u32 = 30;
const BASE: u32 = 31;

/// Modes: U, S and M.
const USER: u64 = 0;
const MACHINE: u64 = 3;

/// A kind of CPU, and what it runs a program in.
struct Setting {
    rv32: bool,
    mode: u64,
    /// MODE of satp.
    satp: u64,
}

const SETTINGS: [(bool, u64, u64); 8] = [
    (false, MACHINE, 0),
    (true, MACHINE, 0),
    (false, 1, 8),
    (false, USER, 9),
    (true, USER, 1),
    (false, USER, 10),
    (true, 1, 1),
    (false, USER, 0),
];

/// A random program.
pub struct Program {
    pub guest: Guest,
    pub rv32: bool,
    /// Where it goes round in a circle when it is done.
    pub end: u64,
}

/// Bits of mstatus: SUM, and FS that says that the floating point unit is on.
const SUM: u64 = 1 << 18;
const FS_ON: u64 = 1 << 13;
/// What S mode may handle: all exceptions but its own calls and those of M mode.
const DELEGABLE: u64 = 0xb1ff;
/// Supervisor software interrupts.
const SSIP: u64 = 1 << 1;

impl Program {
    /// The program of a seed. One for peers has nothing in it that two CPUs may do in different ways.
    pub fn new(seed: u64, for_peers: bool) -> Self {
        let (rv32, mode, satp) = SETTINGS[(seed % 8) as usize];
        let setting = Setting { rv32, mode, satp };
        let mut noise = Noise(seed);
        let mut code = Code {
            noise: &mut noise,
            setting: &setting,
            for_peers,
            seed,
            words: Vec::new(),
        };
        code.start();
        let body = code.here();
        code.body();
        let (entry, body_end) = (RAM, code.end(body));
        let text = code.words;
        let delegated = match noise.below(2) {
            _ if mode == MACHINE => 0,
            0 => 0,
            _ => noise.value() & DELEGABLE,
        };
        let registers = vec![
            ("t0", HANDLER),
            ("t1", mode << 11 | FS_ON | SUM),
            ("t2", setting.satp()),
            ("t3", SAVE),
            ("t4", RAM + body),
            ("t5", u64::from(noise.below(8) as u32)),
            ("t6", INITIAL),
            ("a0", RAM >> 2 | (SIZE / 8 - 1)),
            ("a1", 0x1f),
            ("a2", u64::MAX >> if rv32 { 32 } else { 0 }),
            ("a3", delegated),
            ("a4", SSIP * noise.below(2)),
            ("a5", HANDLER_S),
            ("a6", SAVE_S),
        ];
        let word = if rv32 { 4 } else { 8 };
        let number = |value: u64| value.to_le_bytes()[..word].to_vec();
        let mut initial = vec![0; word];
        for register in 1..32 {
            initial.extend(number(match register {
                2 => DATA + 0x800 + 8 * noise.below(64),
                LEFT => PASSES,
                BASE => DATA + 0x1000,
                _ => noise.value(),
            }));
        }
        let mut save = vec![0; 3 * word];
        save.extend(number(RAM + body_end));
        let mut data = Vec::new();
        (0..0x400).for_each(|_| data.extend(noise.value().to_le_bytes()));
        let mut memory = vec![
            (RAM, text),
            (HANDLER, handler(rv32, MSTATUS)),
            (HANDLER_S, handler(rv32, SSTATUS)),
            (SAVE, save.clone()),
            (SAVE_S, save),
            (INITIAL, initial),
            (DATA, data),
        ];
        memory.extend(setting.tables(seed));
        // What QEMU's does not have.
        let peers = if for_peers {
            "zicbom = false\nzicboz = false\n"
        } else {
            ""
        };
        let guest = Guest {
            board: Guest::board(&format!(
                "[board]\nname = \"bare\"\n[dev.cpu]\nat = \"sys\"\n[dev.cpu.riscv-cpu]\nmodel = \"{}\"\nclock = \"50MHz\"\n{peers}[dev.ram]\nat = \"sys:{RAM:#x}\"\n[dev.ram.ram]\nsize = \"2MiB\"\n",
                if rv32 { "rv32" } else { "rv64" }
            )),
            about: format!("rv32: {rv32}, mode {mode}, satp {satp}, medeleg {delegated:#x}"),
            memory,
            registers,
            pc: entry,
            instructions: INSTRUCTIONS,
            physical: |va| (RAM..RAM + SIZE).contains(&va).then_some(va),
        };
        Self {
            guest,
            rv32,
            end: RAM + body_end + 8,
        }
    }
}

impl Setting {
    fn satp(&self) -> u64 {
        let root = match self.satp {
            9 => TABLES + 0x3000,
            10 => TABLES + 0x4000,
            _ => TABLES,
        };
        match (self.satp, self.rv32) {
            (0, _) => 0,
            (_, true) => 1 << 31 | root >> 12,
            (mode, false) => mode << 60 | root >> 12,
        }
    }

    /// Whether the second page of data does not allow everything.
    fn restricts(&self, seed: u64) -> bool {
        self.satp != 0 && !(seed / 8).is_multiple_of(4)
    }

    /// Tables that leave addresses as they are. Not all pages allow everything, and not all were accessed.
    fn tables(&self, seed: u64) -> Vec<(u64, Vec<u8>)> {
        const V: u64 = 1;
        let user = if self.mode == USER { 1 << 4 } else { 0 };
        let all = V | 7 << 1 | user | 3 << 6;
        let leaf = |n: u64| {
            let at = RAM + 0x1000 * n;
            let flags = match (at, seed / 8 % 4) {
                (HANDLER_S | SAVE_S, _) => all & !(1 << 4),
                (DATA, _) => all & !(3 << 6),
                (_, 1) if at == DATA + 0x1000 => all & !4,
                (_, 2) if at == DATA + 0x1000 => all & !(3 << 1),
                (_, 3) if at == DATA + 0x1000 => 0,
                _ => all,
            };
            at >> 12 << 10 | flags
        };
        let entry = |table: u64, index: u64, value: u64| {
            let size = if self.rv32 { 4 } else { 8 };
            (
                table + index * size,
                value.to_le_bytes()[..size as usize].to_vec(),
            )
        };
        let to = |table: u64| table >> 12 << 10 | V;
        let mut entries: Vec<_> = (0..512)
            .map(|n| match self.rv32 {
                true => entry(TABLES + 0x1000, n, leaf(n)),
                false => entry(TABLES + 0x2000, n, leaf(n)),
            })
            .collect();
        match self.rv32 {
            true => entries.push(entry(TABLES, RAM >> 22, to(TABLES + 0x1000))),
            false => entries.extend([
                entry(TABLES + 0x1000, 0, to(TABLES + 0x2000)),
                entry(TABLES, RAM >> 30, to(TABLES + 0x1000)),
                entry(TABLES + 0x3000, 0, to(TABLES)),
                entry(TABLES + 0x4000, 0, to(TABLES + 0x3000)),
            ]),
        }
        entries
    }
}

fn i(opcode: u32, f3: u32, rd: u32, rs1: u32, imm: i32) -> u32 {
    imm.cast_unsigned() << 20 | rs1 << 15 | f3 << 12 | rd << 7 | opcode
}

fn s(opcode: u32, f3: u32, rs1: u32, rs2: u32, imm: i32) -> u32 {
    let imm = imm.cast_unsigned();
    (imm >> 5 & 0x7f) << 25 | rs2 << 20 | rs1 << 15 | f3 << 12 | (imm & 31) << 7 | opcode
}

fn branch(f3: u32, rs1: u32, rs2: u32, by: i32) -> u32 {
    let by = by.cast_unsigned();
    let high = by >> 12 & 1;
    high << 31
        | (by >> 5 & 0x3f) << 25
        | rs2 << 20
        | rs1 << 15
        | f3 << 12
        | (by >> 1 & 15) << 8
        | (by >> 11 & 1) << 7
        | 0x63
}

fn jal(rd: u32, by: i32) -> u32 {
    let by = by.cast_unsigned();
    (by >> 20 & 1) << 31
        | (by >> 1 & 0x3ff) << 21
        | (by >> 11 & 1) << 20
        | (by >> 12 & 0xff) << 12
        | rd << 7
        | 0x6f
}

/// CSRRW of a register.
fn csrw(csr: u32, rs1: u32) -> u32 {
    csr << 20 | rs1 << 15 | 1 << 12 | 0x73
}

/// CSRRS that reads.
fn csrr(rd: u32, csr: u32) -> u32 {
    csr << 20 | 2 << 12 | rd << 7 | 0x73
}

const MRET: u32 = 0x3020_0073;
const SRET: u32 = 0x1020_0073;
const SFENCE_VMA: u32 = 0x1200_0073;
const ECALL: u32 = 0x73;
/// The first of the registers of a mode, by which the numbers of others are known.
const MSTATUS: u32 = 0x300;
const SSTATUS: u32 = 0x100;
const TVEC: u32 = 5;
const SCRATCH: u32 = 0x40;
const EPC: u32 = 0x41;
const CAUSE: u32 = 0x42;
const TVAL: u32 = 0x43;
const IP: u32 = 0x44;
const IE: u32 = 4;

/// The trap handler of a mode: it sums up causes and values, and goes on behind the instruction, at the end of the program if
/// nothing can be fetched, or where it was if it was interrupted.
fn handler(rv32: bool, mode: u32) -> Vec<u8> {
    let (load, word) = if rv32 { (2, 4) } else { (3, 8) };
    let get = |rd, n: i32| i(3, load, rd, 29, n * word);
    let put = |rs2, n: i32| s(0x23, load, 29, rs2, n * word);
    let csrr = |rd, csr| csrr(rd, mode + csr);
    let csrw = |csr, rs1| csrw(mode + csr, rs1);
    let swap = (mode + SCRATCH) << 20 | 29 << 15 | 1 << 12 | 29 << 7 | 0x73;
    let back = if mode == MSTATUS { MRET } else { SRET };
    let leave = [get(27, 1), get(28, 0), swap, back];
    let mut code = vec![swap, put(28, 0), put(27, 1), get(27, 2), csrr(28, CAUSE)];
    let sum = 28 << 20 | 27 << 15 | 27 << 7 | 0x33;
    code.extend([sum, csrr(28, TVAL), sum, put(27, 2), csrr(28, CAUSE)]);
    // To where it recovers, and behind that to what interrupts need.
    code.extend([i(0x13, 0, 27, 0, 2), branch(6, 28, 27, 4 * 16)]);
    code.extend([i(0x13, 0, 27, 0, 12), branch(0, 28, 27, 4 * 14)]);
    code.push(branch(4, 28, 0, 4 * 19));
    code.extend([csrr(28, EPC), i(3, 5, 27, 28, 0), i(0x13, 7, 27, 27, 3)]);
    code.extend([i(0x13, 0, 27, 27, -3), i(0x13, 0, 28, 28, 2)]);
    code.extend([branch(1, 27, 0, 8), i(0x13, 0, 28, 28, 2), csrw(EPC, 28)]);
    code.extend(leave);
    code.extend([get(28, 3), csrw(EPC, 28)]);
    code.extend(leave);
    // CSRRCI of the software interrupt.
    code.push((mode + IP) << 20 | (SSIP as u32) << 15 | 7 << 12 | 0x73);
    code.extend(leave);
    code.into_iter().flat_map(u32::to_le_bytes).collect()
}

struct Code<'a> {
    noise: &'a mut Noise,
    setting: &'a Setting,
    for_peers: bool,
    seed: u64,
    words: Vec<u8>,
}

impl Code<'_> {
    fn here(&self) -> u64 {
        self.words.len() as u64
    }

    fn put(&mut self, words: impl IntoIterator<Item = u32>) {
        self.words
            .extend(words.into_iter().flat_map(u32::to_le_bytes));
    }

    /// Sets up the CPU by what is in registers, and goes to what follows.
    fn start(&mut self) {
        // pmpaddr0 and pmpcfg0, the counters, and what is common to all.
        self.put([
            csrw(0x3b0, 10),
            csrw(0x3a0, 11),
            csrw(0x306, 12),
            csrw(0x106, 12),
        ]);
        self.put([
            csrw(MSTATUS + TVEC, 5),
            csrw(MSTATUS, 6),
            csrw(MSTATUS + SCRATCH, 28),
            csrw(MSTATUS + EPC, 29),
        ]);
        // medeleg and mideleg, what S mode has of the same, and nothing of what was before.
        self.put([csrw(0x302, 13), csrw(0x303, 14), csrw(SSTATUS + TVEC, 15)]);
        self.put([csrw(SSTATUS + SCRATCH, 16), csrw(MSTATUS + IE, 14)]);
        self.put([MSTATUS + CAUSE, MSTATUS + TVAL, MSTATUS + IP].map(|csr| csrw(csr, 0)));
        self.put([SSTATUS + EPC, SSTATUS + CAUSE, SSTATUS + TVAL].map(|csr| csrw(csr, 0)));
        self.put([csrw(0x180, 7), csrw(0x003, 30), SFENCE_VMA]);
        let (load, word) = if self.setting.rv32 { (2, 4) } else { (3, 8) };
        self.put((1..32).map(|n| i(3, load, n, 31, n as i32 * word)));
        self.put([MRET]);
    }

    fn body(&mut self) {
        let count = 20 + self.noise.below(100);
        for _ in 0..count {
            self.instruction();
        }
        // What jumps forward from the last ones ends here, or behind.
        self.put([0x13; 10]);
    }

    /// The end of a pass, and of all; gives where it is.
    fn end(&mut self, body: u64) -> u64 {
        let end = self.here();
        self.put([i(0x13, 0, LEFT, LEFT, -1)]);
        let back = body as i32 - self.here() as i32;
        self.put([branch(1, LEFT, 0, back), jal(0, 0)]);
        end
    }

    fn below(&mut self, end: u64) -> u32 {
        self.noise.below(end) as u32
    }

    fn register(&mut self) -> u32 {
        self.below(32)
    }

    /// A destination.
    fn target(&mut self) -> u32 {
        self.below(30)
    }

    fn number(&mut self) -> i32 {
        self.noise.below(4096) as i32 - 2048
    }

    fn instruction(&mut self) {
        let (rd, rs1, rs2) = (self.target(), self.register(), self.register());
        let (imm, f3) = (self.number(), self.below(8));
        // Where a misaligned access faults, CPUs differ in the address that they tell of, and a peer may have a device there.
        let base = match self.below(16) {
            0 if !self.for_peers => rs1,
            _ => BASE,
        };
        let multiple = imm & !((1 << (f3 & 3)) - 1);
        let near = if self.below(8) == 0 { imm } else { multiple };
        // For peers over one instruction, so that none is entered in its middle: it may be any then, and leave the program.
        let forward = match self.for_peers {
            true => 8,
            false => 4 + 2 * self.below(12) as i32,
        };
        let skipped = i(0x13, 0, rd, rd, 1);
        let word = match self.below(27) {
            0..=3 => i(0x13, f3, rd, rs1, imm),
            4 | 5 => {
                // Shifts and bit manipulation by a number.
                let f7 = [0, 0x20, 0x24, 0x30, 0x14, 0x34, 0x28][self.below(7) as usize];
                let by = self.below(64).cast_signed();
                let f3 = if f3 & 1 == 0 { 1 } else { 5 };
                i(0x13, f3, rd, rs1, f7 << 5 | by)
            }
            6 => {
                let f7 = [0, 0x20, 0x30, 4][self.below(4) as usize];
                let by = self.below(32).cast_signed();
                i(
                    0x1b,
                    [0, 1, 5][self.below(3) as usize],
                    rd,
                    rs1,
                    f7 << 5 | by,
                )
            }
            7..=10 => {
                let f7 = [0, 0, 0x20, 1, 1, 0x10, 5, 4, 0x24, 0x14, 0x30, 0x34];
                let f7 = f7[self.below(12) as usize];
                let opcode = if self.below(3) == 0 { 0x3b } else { 0x33 };
                i(opcode, f3, rd, rs1, f7 << 5 | rs2.cast_signed())
            }
            11 => self.noise.value() as u32 & 0xffff_f000 | rd << 7 | 0x37,
            12 => self.below(1 << 20) << 12 | rd << 7 | 0x17,
            13 | 14 => i(3, f3, rd, base, near),
            15 | 16 => s(0x23, f3 & 3, base, rs2, near),
            17 => {
                let f3 = 2 | f3 & 1;
                match self.below(2) {
                    0 => i(7, f3, rs2, base, imm & !7),
                    _ => s(0x27, f3, base, rs2, imm & !7),
                }
            }
            18 => {
                let operation =
                    [0, 1, 2, 2, 3, 3, 4, 8, 12, 16, 20, 24, 28][self.below(13) as usize];
                if self.for_peers && self.setting.restricts(self.seed) {
                    // QEMU's tell of a load where they cannot read what they would write, and do not look where SC fails.
                    return;
                }
                if self.for_peers && matches!(operation, 2 | 3) {
                    // What comes between them decides in each CPU in another way.
                    self.put([i(0x2f, 2 | f3 & 1, rd, base, 2 << 7)]);
                    if rd == base {
                        return;
                    }
                    let rs2 = rs2.cast_signed();
                    self.put([i(0x2f, 2 | f3 & 1, rd, base, 3 << 7 | rs2)]);
                    return;
                }
                let rs2 = if operation == 2 { 0 } else { rs2 };
                i(
                    0x2f,
                    2 | f3 & 1,
                    rd,
                    base,
                    operation << 7 | rs2.cast_signed(),
                )
            }
            19 | 20 => {
                let f5 = [0, 1, 2, 3, 4, 5, 8, 11, 20, 24, 26, 28, 30][self.below(13) as usize];
                let mode = if self.below(2) == 0 { 7 } else { f3 };
                let source = if f5 >= 8 {
                    self.below(4).cast_signed()
                } else {
                    rs2.cast_signed()
                };
                let double = self.below(2).cast_signed();
                i(0x53, mode, rd, rs1, f5 << 7 | double << 5 | source)
            }
            21 => {
                let fused = [0x43, 0x47, 0x4b, 0x4f][self.below(4) as usize];
                let third = self.below(32).cast_signed();
                let double = self.below(2).cast_signed();
                i(
                    fused,
                    7,
                    rd,
                    rs1,
                    third << 7 | double << 5 | rs2.cast_signed(),
                )
            }
            22 if self.for_peers => {
                self.put([branch(f3, rs1, rs2, forward), skipped]);
                return;
            }
            23 if self.for_peers => {
                match self.below(2) {
                    0 => self.put([jal(rd, forward), skipped]),
                    _ => self.put([28 << 7 | 0x17, i(0x67, 0, rd, 28, 12), skipped]),
                }
                return;
            }
            22 => branch(f3, rs1, rs2, forward),
            23 => match self.below(3) {
                0 => jal(rd, forward),
                1 => {
                    // To what is behind, by a register.
                    self.put([28 << 7 | 0x17]);
                    i(0x67, 0, rd, 28, 4 + forward)
                }
                _ => {
                    // What comes soon is another instruction then.
                    self.put([28 << 7 | 0x17]);
                    s(0x23, 1, 28, rs2, 4 + forward)
                }
            },
            24 => {
                let csr = [
                    1, 2, 3, 0x142, 0x143, 0x100, 0x300, 0x343, 0x342, 0x104, 0x144, 0x304, 0x344,
                    0x141, 0xc00, 0xc01, 0xc02, 0xb00, 0xb02, 0x3b5,
                ];
                // Of the last ones QEMU's keeps a bit too many (sepc), they count what CPUs do in different ways, or are kept by one program
                // for the next.
                let known = if self.for_peers { 13 } else { 20 };
                let csr = csr[self.below(known) as usize];
                // Of those that enable interrupts and tell of them, the software interrupt is what a handler ends.
                let f3 = match csr {
                    0x104 | 0x144 | 0x304 | 0x344 => 5 + self.below(3),
                    MSTATUS => 6 + self.below(2),
                    // QEMU's keep the state of vectors that are not there.
                    SSTATUS if self.for_peers => 6 + self.below(2),
                    _ => f3,
                };
                // QEMU's keep an interrupt of a hypervisor that is not there.
                let rs1 = if matches!(csr, 0x304 | 0x344) {
                    rs1 & !4
                } else {
                    rs1
                };
                i(0x73, f3, rd, rs1, csr.cast_signed())
            }
            25 => {
                // Calls, fences, and what only other modes may execute.
                let s_mode = self.setting.mode == 1;
                let words = [ECALL, SFENCE_VMA | rs1 << 15 | rs2 << 20, 0x0f, 0x0ff0_000f];
                match self.below(6) {
                    4 if self.setting.mode != MACHINE => MRET,
                    5 if self.setting.mode != MACHINE && !s_mode => SRET,
                    n => words[n as usize & 3],
                }
            }
            _ => return self.compressed(),
        };
        self.put([word]);
    }

    /// A compressed instruction that does not jump, nor changes what is kept.
    fn compressed(&mut self) {
        let half = loop {
            let half = self.noise.value() as u16;
            let (quadrant, f3) = (half & 3, half >> 13);
            let rd = u32::from(half >> 7 & 31);
            let jumps = match quadrant {
                1 => matches!(f3, 5..=7) || f3 == 1 && self.setting.rv32,
                2 => f3 == 4 && half >> 2 & 31 == 0,
                _ => false,
            };
            let base = match quadrant {
                0 if f3 != 0 => Some(8 + (half >> 7 & 7)),
                2 if f3 & 3 != 0 => Some(2),
                _ => None,
            };
            if quadrant != 3 && !jumps && (quadrant == 0 || rd < 30) {
                // C.MV
                if let Some(base) = base.filter(|_| self.for_peers) {
                    let moved = 0x8002 | base << 7 | (BASE as u16) << 2;
                    self.words.extend(moved.to_le_bytes());
                }
                break half;
            }
        };
        self.words.extend(half.to_le_bytes());
    }
}

fn listed(byte: &mut Bytes<'_>, _: bool) -> (String, u64) {
    let mut half = |at| Some(u32::from(byte(at)?) | u32::from(byte(at + 1)?) << 8);
    let Some(low) = half(0) else {
        return (String::new(), 2);
    };
    match (low & 3, half(2)) {
        (3, Some(high)) => {
            let raw = high << 16 | low;
            (format!("{raw:08x} {}", solderless_riscv::describe(raw)), 4)
        }
        _ => (
            format!("    {low:04x} {}", solderless_riscv::describe(low)),
            2,
        ),
    }
}

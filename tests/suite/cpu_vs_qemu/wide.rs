//! The same with CPUs of 64 bits: random programs of instructions on 64 bits and on 32, at addresses in all kinds of segments. A
//! handler notes what an exception tells, and goes on behind the instruction.

use std::process::{Child, Stdio};

use solderless::compose::{self, Options};
use solderless::machine::{Fittings, Machine};
use solderless_model::Engine;
use solderless_testing::emulator::Emulator;
use solderless_testing::program::Random;
use solderless_testing::{Endian, guests};

use super::gdb::Gdb;
use super::{SEED, known, number};

/// Programs of each byte order, unless the environment says otherwise.
const PROGRAMS: u64 = 150;
/// Where everything is: vectors, the program and its data.
const CKSEG0: u64 = 0xffff_ffff_8000_0000;
const PROGRAM: u64 = 0x1_0000;
const DATA: u64 = 0x10_0000;
const DATA_SIZE: usize = 0x2000;
/// Far more than any program executes.
const INSTRUCTIONS: u64 = 200_000;
/// CU1, FR, KX, SX, UX.
const STATUS: u64 = 1 << 29 | 1 << 26 | 0xe0;
const GDB_STATUS: usize = 32;
const GDB_PC: usize = 37;
const FPR: usize = 38;

/// Registers that programs compute with.
const FREE: [u32; 16] = [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25];
/// What bases hold: the data in ckseg0, in xkphys, in xuseg and in xkseg, and what is nowhere.
const BASES: [(u32, u64); 5] = [
    (16, CKSEG0 + DATA),
    (17, 0x9800_0000_0000_0000 + DATA),
    (18, 0x0000_0012_3456_0000),
    (19, 0xc000_0000_0001_0000),
    (20, 0x4000_0000_0000_0000),
];
/// Passes that are left, and what exceptions have told.
const PASSES: u32 = 22;
const TOLD: u32 = 23;
const K0: u32 = 26;
const K1: u32 = 27;

fn r(rs: u32, rt: u32, rd: u32, sa: u32, function: u32) -> u32 {
    rs << 21 | rt << 16 | rd << 11 | sa << 6 | function
}

fn i(op: u32, rs: u32, rt: u32, immediate: u32) -> u32 {
    op << 26 | rs << 21 | rt << 16 | immediate & 0xffff
}

fn dmfc0(rt: u32, rd: u32) -> u32 {
    0x4020_0000 | rt << 16 | rd << 11
}

fn dmtc0(rt: u32, rd: u32) -> u32 {
    0x40a0_0000 | rt << 16 | rd << 11
}

/// A handler of exceptions: notes which one it is, with a number of the vector, and goes on behind the instruction.
fn handler(vector: u32) -> Vec<u32> {
    let mut code = vec![
        // Cause without pending interrupts
        dmfc0(K1, 13),
        i(0x0c, K1, K1, 0x7c),
        i(0x0d, K1, K1, vector),
    ];
    // BadVAddr, Context, XContext and EntryHi
    for register in [8, 4, 20, 10] {
        code.extend([
            r(TOLD, K1, TOLD, 0, 0x2d),
            // drotr
            r(1, TOLD, TOLD, 7, 0x3a),
            dmfc0(K1, register),
        ]);
    }
    code.extend([
        r(TOLD, K1, TOLD, 0, 0x2d),
        dmfc0(K0, 14),
        i(0x19, K0, K0, 4),
        dmtc0(K0, 14),
        0x4200_0018,
    ]);
    code
}

/// Loads a number of 64 bits.
fn li(rt: u32, value: u64) -> Vec<u32> {
    let part = |at: u32| (value >> at) as u32 & 0xffff;
    vec![
        i(0x0f, 0, rt, part(48)),
        i(0x0d, rt, rt, part(32)),
        r(0, rt, rt, 16, 0x38),
        i(0x0d, rt, rt, part(16)),
        r(0, rt, rt, 16, 0x38),
        i(0x0d, rt, rt, part(0)),
    ]
}

/// A program, and the general and floating point registers it starts with.
struct Case {
    code: Vec<u32>,
    gpr: [u64; 32],
    fpr: [u64; 32],
    data: Vec<u8>,
}

fn make(seed: u64) -> Case {
    let mut random = Random::new(seed);
    let value = |random: &mut Random| {
        let wide = u64::from(random.word()) << 32 | u64::from(random.word());
        match random.below(6) {
            0 => wide as i32 as u64,
            1 => wide & 0x3f,
            2 => 1 << (wide & 63),
            3 => u64::MAX << (wide & 63),
            _ => wide,
        }
    };
    let mut gpr = [0; 32];
    let mut fpr = [0; 32];
    for register in FREE {
        gpr[register as usize] = value(&mut random);
    }
    for (register, base) in BASES {
        gpr[register as usize] = base;
    }
    gpr[PASSES as usize] = 3;
    for register in &mut fpr {
        *register = value(&mut random);
    }
    let data = (0..DATA_SIZE).map(|_| random.word() as u8).collect();
    let mut code = Vec::new();
    // The mapped data: two pages of 4 KiB in each of two entries.
    for (index, (_, base)) in (0..).zip(&BASES[2..4]) {
        code.extend(li(K1, *base));
        code.extend([dmtc0(K1, 10), dmtc0(0, 5)]);
        for (register, page) in [(2, 0), (3, 0x1000)] {
            code.extend([
                i(0x0f, 0, K1, (DATA + page) as u32 >> 6 >> 16),
                i(0x0d, K1, K1, (DATA + page) as u32 >> 6 | 7),
                dmtc0(K1, register),
            ]);
        }
        code.extend([i(0x09, 0, K1, index), dmtc0(K1, 0), 0x4200_0002]);
    }
    let start = code.len();
    // Branches, and where what belongs together starts, which they may lead to.
    let (mut branches, mut starts) = (Vec::new(), Vec::new());
    for _ in 0..60 {
        if random.chance(10) {
            branches.push(code.len());
            code.push(branch(&mut random));
            // Its slot.
            let (rs, rt, rd) = (random.pick(&FREE), random.pick(&FREE), random.pick(&FREE));
            code.push(r(rs, rt, rd, 0, random.pick(&[0x2d, 0x2f, 0x26, 0x2c])));
        }
        starts.push(code.len());
        instruction(&mut random, &mut code);
    }
    let end = code.len();
    for at in branches {
        // Behind the slot.
        let behind: Vec<_> = starts.iter().copied().filter(|s| *s > at).collect();
        let to = random.pick(&behind[..behind.len().min(4)]);
        code[at] |= (to - at - 1) as u32;
    }
    let back = (start as i32 - end as i32 - 2) as u32;
    code.extend([
        i(0x19, PASSES, PASSES, 0xffff),
        i(0x05, PASSES, 0, back),
        0,
        i(0x04, 0, 0, 0xffff),
        0,
    ]);
    Case {
        code,
        gpr,
        fpr,
        data,
    }
}

/// A branch, without its distance.
fn branch(random: &mut Random) -> u32 {
    let (rs, rt) = (random.pick(&FREE), random.pick(&FREE));
    match random.below(4) {
        // beq, bne, beql, bnel
        0 | 1 => i(random.pick(&[4, 5, 0x14, 0x15]), rs, rt, 0),
        // blez, bgtz and likely
        2 => i(random.pick(&[6, 7, 0x16, 0x17]), rs, 0, 0),
        // bltz, bgez and likely
        _ => i(1, rs, random.below(4), 0),
    }
}

/// Adds an instruction that is no branch, with what must come before it.
fn instruction(random: &mut Random, code: &mut Vec<u32>) {
    let [rs, rt, rd] = [(); 3].map(|()| random.pick(&FREE));
    let sa = random.below(32);
    let immediate = random.word();
    // What is computed on 32 bits of registers with others is anything: they are extended first.
    let extend = |code: &mut Vec<u32>| {
        code.extend([r(0, rs, rs, 0, 0), r(0, rt, rt, 0, 0)]);
    };
    match random.below(20) {
        0..=2 => {
            // daddu, dsubu, and, or, xor, nor, slt, sltu, movz, movn, dadd, dsub
            const WHOLE: [u32; 12] = [
                0x2d, 0x2f, 0x24, 0x25, 0x26, 0x27, 0x2a, 0x2b, 0x0a, 0x0b, 0x2c, 0x2e,
            ];
            code.push(r(rs, rt, rd, 0, random.pick(&WHOLE)));
        }
        3 | 4 => {
            // daddi, daddiu, slti, sltiu, andi, ori, xori, lui
            let op = random.pick(&[0x18, 0x19, 0x19, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f]);
            let rs = if op == 0x0f { 0 } else { rs };
            code.push(i(op, rs, rd, immediate));
        }
        5 | 6 => {
            // dsll, dsrl, dsra and by 32 more; drotr
            let function = random.pick(&[0x38, 0x3a, 0x3b, 0x3c, 0x3e, 0x3f]);
            let rotates = u32::from(function & 3 == 2 && random.chance(50));
            code.push(r(rotates, rt, rd, sa, function));
        }
        7 => {
            // dsllv, dsrlv, dsrav, drotrv
            let (function, sa) = random.pick(&[(0x14, 0), (0x16, 0), (0x17, 0), (0x16, 1)]);
            code.push(r(rs, rt, rd, sa, function));
        }
        8 => {
            // dclz, dclo; dsbh, dshd
            code.push(match random.below(4) {
                0 => 0x7000_0000 | r(rs, rd, rd, 0, 0x24),
                1 => 0x7000_0000 | r(rs, rd, rd, 0, 0x25),
                2 => 0x7c00_0000 | r(0, rt, rd, 2, 0x24),
                _ => 0x7c00_0000 | r(0, rt, rd, 5, 0x24),
            });
        }
        9 => {
            // dext and dins, with all their ways to say 32 more
            let size = 1 + random.below(64);
            let low = random.below(65 - size);
            let field =
                |function: u32, upper: u32| 0x7c00_0000 | r(rs, rt, upper & 31, low & 31, function);
            let last = low + size - 1;
            code.push(match random.chance(50) {
                true if size > 32 => field(1, size - 33),
                true if low >= 32 => field(2, size - 1),
                true => field(3, size - 1),
                false if low >= 32 => field(6, last - 32),
                false if last >= 32 => field(5, last - 32),
                false => field(7, last),
            });
        }
        10 => {
            // dmult, dmultu; ddiv and ddivu, of no zero
            let function = random.pick(&[0x1c, 0x1d, 0x1e, 0x1f]);
            if function >= 0x1e {
                code.push(i(0x0d, rt, rt, 1));
            }
            code.push(r(rs, rt, 0, 0, function));
            // mfhi, mflo
            code.push(r(0, 0, rd, 0, random.pick(&[0x10, 0x12])));
        }
        11 => {
            // mult, multu, madd, maddu, msub, msubu, div, divu, mul
            extend(code);
            match random.below(9) {
                n @ 0..=1 => code.push(r(rs, rt, 0, 0, 0x18 + n)),
                n @ 2..=5 => {
                    // Of HI and LO, what is extended counts.
                    code.extend([
                        r(0, 0, rd, 0, 0x12),
                        r(0, rd, rd, 0, 0),
                        r(rd, 0, 0, 0, 0x13),
                    ]);
                    code.extend([
                        r(0, 0, rd, 0, 0x10),
                        r(0, rd, rd, 0, 0),
                        r(rd, 0, 0, 0, 0x11),
                    ]);
                    extend(code);
                    code.push(0x7000_0000 | r(rs, rt, 0, 0, [0, 1, 4, 5][n as usize - 2]));
                }
                n @ 6..=7 => code.extend([i(0x0d, rt, rt, 1), r(rs, rt, 0, 0, 0x1a + n - 6)]),
                _ => code.push(0x7000_0000 | r(rs, rt, rd, 0, 2)),
            }
        }
        12 | 13 => {
            extend(code);
            code.push(match random.below(9) {
                // add, addu, sub, subu
                0 | 1 => r(rs, rt, rd, 0, random.pick(&[0x20, 0x21, 0x22, 0x23])),
                // addi, addiu
                2 | 3 => i(random.pick(&[8, 9, 9]), rs, rd, immediate),
                // sll, srl, sra, rotr
                4 => {
                    let (rotates, function) = random.pick(&[(0, 0), (0, 2), (0, 3), (1, 2)]);
                    r(rotates, rt, rd, sa, function)
                }
                5 => {
                    let (sa, function) = random.pick(&[(0, 4), (0, 6), (0, 7), (1, 6)]);
                    r(rs, rt, rd, sa, function)
                }
                // seb, seh, wsbh
                6 => 0x7c00_0000 | r(0, rt, rd, random.pick(&[2, 16, 24]), 0x20),
                // clz, clo
                7 => 0x7000_0000 | r(rs, rd, rd, 0, random.pick(&[0x20, 0x21])),
                // ext, ins
                _ => {
                    let size = 1 + random.below(32);
                    let low = random.below(33 - size);
                    let (function, upper) = random.pick(&[(0, size - 1), (4, low + size - 1)]);
                    0x7c00_0000 | r(rs, rt, upper, low, function)
                }
            });
        }
        14 => {
            // dmfc1, mfc1, mfhc1, dmtc1, mtc1, mthc1, mov.d, ldc1, sdc1
            let fs = random.below(32);
            let base = random.pick(&BASES[..4]).0;
            let offset = random.below(512) * 8;
            code.push(match random.below(9) {
                n @ 0..=5 => {
                    let how = [1, 0, 3, 5, 4, 7][n as usize];
                    0x4400_0000 | how << 21 | rt << 16 | fs << 11
                }
                6 => 0x4620_0006 | fs << 11 | random.below(32) << 6,
                7 => i(0x35, base, fs, offset),
                _ => i(0x3d, base, fs, offset),
            });
        }
        15 => {
            // A link of a doubleword or a word, and a store to it.
            let (base, _) = random.pick(&BASES[..4]);
            let offset = random.below(512) * 8;
            let (linked, store) = random.pick(&[(0x34, 0x3c), (0x30, 0x38)]);
            code.extend([i(linked, base, rs, offset), i(store, base, rt, offset)]);
        }
        _ => {
            // lb, lh, lw, lbu, lhu, lwu, ld, lwl, lwr, ldl, ldr; sb, sh, sw, sd, swl, swr, sdl, sdr
            const ALIGNED: [(u32, u32); 11] = [
                (0x20, 1),
                (0x21, 2),
                (0x23, 4),
                (0x24, 1),
                (0x25, 2),
                (0x27, 4),
                (0x37, 8),
                (0x28, 1),
                (0x29, 2),
                (0x2b, 4),
                (0x3f, 8),
            ];
            const PARTS: [u32; 8] = [0x22, 0x26, 0x1a, 0x1b, 0x2a, 0x2e, 0x2c, 0x2d];
            let (base, _) = match random.chance(5) {
                true => BASES[4],
                false => random.pick(&BASES[..4]),
            };
            let (op, size) = match random.chance(25) {
                true => (random.pick(&PARTS), 1),
                false => random.pick(&ALIGNED),
            };
            let offset = random.below(DATA_SIZE as u32 - 16);
            let offset = match random.chance(5) {
                true => offset,
                false => offset & !(size - 1),
            };
            // LWL and LWR need what they merge into extended.
            if matches!(op, 0x22 | 0x26) {
                code.push(r(0, rt, rt, 0, 0));
            }
            code.push(i(op, base, rt, offset));
        }
    }
}

struct Pair {
    endian: Endian,
    ours: Vec<Machine>,
    theirs: Gdb,
    qemu: Child,
    socket: std::path::PathBuf,
}

impl Drop for Pair {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
        let _ = std::fs::remove_file(&self.socket);
    }
}

impl Pair {
    fn new(endian: Endian) -> Option<Self> {
        let name = format!("wide-{}-{endian:?}", std::process::id());
        let socket = guests::cache().join(format!("{name}.socket"));
        let image = guests::cache().join("nothing.bin");
        guests::replace(&image, &[0; 4096]);
        let gdb = format!("unix:{},server=on,wait=off", socket.display());
        let qemu = Emulator::qemu64(endian)?
            .ram(256)
            .firmware(&image, Endian::Big)
            .args(["-S", "-gdb", &gdb]);
        let mut qemu = qemu.command();
        qemu.stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let qemu = qemu.spawn().expect("QEMU starts");
        let mut theirs = Gdb::connect(&socket, endian);
        theirs.set_wide_registers(&[(GDB_STATUS, STATUS)]);
        let mut machines = vec![machine(endian)];
        let mut generating = machine(endian);
        let generates = generating
            .cpu()
            .is_some_and(|cpu| cpu.set_engine(Engine::Jit { after: 1 }));
        if generates {
            machines.push(generating);
        }
        Some(Self {
            endian,
            ours: machines,
            theirs,
            qemu,
            socket,
        })
    }

    /// Runs a program in all, and returns the differences.
    fn compare(&mut self, case: &Case) -> Vec<String> {
        let bytes =
            |code: &[u32]| -> Vec<u8> { code.iter().flat_map(|w| self.endian.bytes(*w)).collect() };
        let end = CKSEG0 + PROGRAM + 4 * (case.code.len() as u64 - 2);
        let mut memory = vec![(PROGRAM, bytes(&case.code)), (DATA, case.data.clone())];
        for (at, vector) in [(0, 1), (0x80, 2), (0x180, 3)] {
            memory.push((at, bytes(&handler(vector))));
        }
        let general = (0..).zip(case.gpr);
        let floating = (FPR..).zip(case.fpr);
        let others = [
            (GDB_STATUS, STATUS),
            (33, 0),
            (34, 0),
            (35, 0),
            (GDB_PC, CKSEG0 + PROGRAM),
        ];
        // Status first: it says what floating point registers are.
        let registers: Vec<_> = others.into_iter().chain(general).chain(floating).collect();
        for (at, bytes) in &memory {
            self.theirs.write(CKSEG0 + at, bytes);
        }
        self.theirs.set_wide_registers(&registers);
        self.theirs.set_breakpoint(end);
        if self.theirs.go().is_err() {
            return vec!["QEMU does not get to the end".into()];
        }
        self.theirs.clear_breakpoint(end);
        let theirs = self.theirs.wide_registers();
        let written = self.theirs.read(CKSEG0 + DATA, DATA_SIZE);
        let mut differences = Vec::new();
        for (machine, engine) in self.ours.iter_mut().zip(["interpreter", "generated code"]) {
            for (at, bytes) in &memory {
                machine.load(*at, bytes).expect("there is memory");
            }
            let cpu = machine.cpu().expect("a CPU");
            let names = known(cpu);
            for (number, value) in &registers {
                // Register 0 is none that could be written.
                let _ = cpu.set_register(names[*number].0, (*value).into());
            }
            cpu.set_pc(CKSEG0 + PROGRAM);
            let mut left = INSTRUCTIONS;
            while machine.cpu().expect("a CPU").pc() != end && left > 0 {
                machine.step(100);
                left -= 100;
            }
            let cpu = machine.cpu().expect("a CPU");
            for (number, (place, name)) in names.iter().enumerate() {
                // Cause has interrupts of devices; k0 and k1 are the handler's.
                if matches!(number, 26 | 27 | GDB_STATUS | 35 | 36 | GDB_PC | 71..) {
                    continue;
                }
                let ours = cpu.register(*place).unwrap_or_default().low();
                if ours != theirs[number] {
                    let theirs = theirs[number];
                    differences.push(format!("{engine}: {name}: {ours:016x}, QEMU {theirs:016x}"));
                }
            }
            if left == 0 {
                differences.push(format!("{engine}: does not get to the end: {:x}", cpu.pc()));
            }
            for at in (0..DATA_SIZE).step_by(8) {
                let ours = machine.read(DATA + at as u64, 8).expect("there is memory");
                let theirs = &written[at..at + 8];
                if ours.to_le_bytes() != theirs {
                    differences.push(format!(
                        "{engine}: data {at:x}: {ours:016x}, QEMU {theirs:02x?}"
                    ));
                }
            }
        }
        differences
    }
}

fn machine(endian: Endian) -> Machine {
    let board = format!(
        "{}64{}",
        "malta",
        if endian == Endian::Big { "-be" } else { "" }
    );
    let (plan, _) = compose::load(&board, &Options::default()).expect("the board is good");
    let boot = plan.boot.as_ref().expect("it boots").firmware;
    let mut images = vec![None; plan.slots.len()];
    images[boot] = Some(vec![0; 4096]);
    let fittings = Fittings {
        images,
        ..Fittings::default()
    };
    Machine::new(&plan, fittings).expect("it can be built")
}

#[test]
fn random_programs_of_64_bits_leave_what_they_leave_in_qemu() {
    let seed = number("SOLDERLESS_SEED", SEED);
    let programs = number("SOLDERLESS_PROGRAMS", PROGRAMS);
    let mut failures = Vec::new();
    for endian in Endian::BOTH {
        let Some(mut pair) = Pair::new(endian) else {
            return;
        };
        for seed in seed..seed + programs {
            let case = make(seed);
            let mut differences = pair.compare(&case);
            if !differences.is_empty() {
                differences.truncate(6);
                failures.push(format!(
                    "{endian:?}, seed {seed}:\n    {}",
                    differences.join("\n    ")
                ));
                if std::env::var_os("SOLDERLESS_LIST").is_some() {
                    for (n, word) in case.code.iter().enumerate() {
                        println!("{:x}: {word:08x}", PROGRAM + 4 * n as u64);
                    }
                }
                assert!(failures.len() < 6, "{}", failures.join("\n"));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

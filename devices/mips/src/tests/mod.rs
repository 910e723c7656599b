//! A CPU on a bench with memory, and an assembler for what the tests execute.

use solderless_model::memory::Ram;
use solderless_model::registers::Register;
use solderless_model::testing::Bench;
use solderless_model::{Engine, Hertz, Processor, Stop};

use crate::{Mips32Cpu, Props};

mod exceptions;
mod fp;
mod integer;
mod loops;
mod notices;
mod registers;
mod running;
mod tlb;
mod wide;

/// Where test programs start: kseg0.
pub const CODE: u32 = 0x8000_1000;

/// A CPU with memory from physical address 0 on.
pub struct Rig {
    pub bench: Bench<Mips32Cpu>,
    pub ram: Ram,
    big: bool,
}

impl Rig {
    pub fn new(change: impl FnOnce(&mut Props)) -> Self {
        let mut props = Props {
            clock: Hertz(1_000_000_000),
            ..Props::default()
        };
        change(&mut props);
        let big = props.big_endian;
        let mut bench = Bench::<Mips32Cpu>::new(props);
        let ram = Ram::new(1 << 21).unwrap();
        bench.around.ram = Some(ram.clone());
        bench.around.deadline = u64::MAX;
        bench.dev.set_pc(CODE.into());
        // These tests are compiled twice, under two names.
        if solderless_engine::GENERATES && module_path!().ends_with("generated") {
            assert!(bench.dev.set_engine(Engine::Jit { after: 1 }));
        }
        // Normal level, vectors in memory.
        let mut rig = Self { bench, ram, big };
        rig.set(32, 0x1000_0000);
        rig
    }

    /// Puts words at a physical address (the low 29 bits count).
    pub fn put(&self, at: u32, words: &[u32]) {
        for (i, word) in words.iter().enumerate() {
            let raw = if self.big { word.swap_bytes() } else { *word };
            self.ram
                .write_u32(u64::from(at & 0x1fff_ffff) + 4 * i as u64, raw)
                .unwrap();
        }
    }

    /// A word at a physical address.
    pub fn word(&self, at: u32) -> u32 {
        let raw = self.ram.read_u32((at & 0x1fff_ffff).into()).unwrap();
        if self.big { raw.swap_bytes() } else { raw }
    }

    /// Goes on elsewhere.
    pub fn go(&mut self, pc: u32) {
        self.bench.dev.set_pc(pc.into());
    }

    /// The place of a register in the CPU's table, by gdb's number.
    fn place(&self, number: usize) -> usize {
        let table = self.bench.dev.registers();
        let known = |r: &Register| r.gdb.is_some_and(|gdb| usize::from(gdb.number) == number);
        table.iter().position(known).unwrap()
    }

    /// Sets a register by gdb's number.
    pub fn set(&mut self, register: usize, value: u32) {
        let place = self.place(register);
        assert!(self.bench.dev.set_register(place, value.into()));
    }

    /// The lowest 32 bits of a register, by gdb's number.
    pub fn get(&self, register: usize) -> u32 {
        self.bench.dev.register(self.place(register)).unwrap().low() as u32
    }

    pub fn pc(&self) -> u32 {
        self.bench.dev.pc() as u32
    }

    /// Executes words, all of them straight, and goes on where it was.
    pub fn execute(&mut self, words: &[u32]) {
        const SCRATCH: u32 = 0x8000_0f00;
        let pc = self.pc();
        self.put(SCRATCH, words);
        self.go(SCRATCH);
        self.run(words.len() as u64);
        self.go(pc);
    }

    /// Writes a register of coprocessor 0 as a program does.
    pub fn set_cp0(&mut self, register: u32, select: u32, value: u32) {
        let at = self.get(9);
        self.set(9, value);
        self.execute(&[exceptions::mtc0(register, select)]);
        self.set(9, at);
    }

    /// Maps a page of 4 KiB for the current address space, and an invalid one at its side, with TLB entry `va / 8 KiB`
    /// modulo 16. `flags` are those of EntryLo.
    pub fn map(&mut self, va: u32, pa: u32, flags: u32) {
        let asid = self.cp0(10, 0) & 0xff;
        let lo = [pa >> 6 | flags, flags & 1];
        let odd = (va >> 12 & 1) as usize;
        for (register, value) in [
            (0, va >> 13 & 15),
            (2, lo[odd]),
            (3, lo[odd ^ 1]),
            (5, 0),
            (10, va & !0x1fff | asid),
        ] {
            self.set_cp0(register, 0, value);
        }
        self.execute(&[TLBWI]);
    }

    /// Makes another's memory hold what this one's does.
    pub fn copy_memory(&self, to: &mut Rig) {
        let mut memory = vec![0; self.ram.size() as usize];
        self.ram.read(0, &mut memory).unwrap();
        to.ram.write(0, &memory).unwrap();
    }

    /// Runs for a number of instructions.
    pub fn run(&mut self, limit: u64) -> Stop {
        self.bench.with(|d, cx| d.run(cx, limit))
    }

    pub fn cp0(&self, register: u32, select: u32) -> u32 {
        self.bench.dev.cp0(register, select, self.bench.around.now)
    }
}

/// An I-type instruction.
pub fn i(opcode: u32, rs: u32, rt: u32, imm: u32) -> u32 {
    opcode << 26 | rs << 21 | rt << 16 | imm & 0xffff
}

/// A SPECIAL instruction.
pub fn r(function: u32, rs: u32, rt: u32, rd: u32, sa: u32) -> u32 {
    rs << 21 | rt << 16 | rd << 11 | sa << 6 | function
}

pub const NOP: u32 = 0;
pub const TLBWI: u32 = 0x4200_0002;

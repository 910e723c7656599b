//! What RISC-V CPUs boot, and how.

mod none;
mod sbi;

use solderless_model::boot::{Architecture, Protocol};

/// The architecture of [`RiscvCpu`](crate::RiscvCpu).
#[derive(Debug)]
pub struct Riscv;

impl Riscv {
    /// Its name.
    pub const NAME: &str = "riscv";
}

impl Architecture for Riscv {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn title(&self) -> &'static str {
        "RISC-V"
    }

    fn elf_machine(&self) -> u16 {
        243
    }

    fn protocols(&self) -> &'static [&'static dyn Protocol] {
        &[&sbi::Sbi, &none::None]
    }
}

/// A number as a register of so many bits holds it.
fn long(value: u64, bits: u8) -> Vec<u8> {
    value.to_le_bytes()[..usize::from(bits / 8)].to_vec()
}

/// Where [`enter`] goes, from the start of what it makes; the second argument is 8 bytes behind.
const START: usize = 0x18;
/// What is behind them.
const BEHIND: usize = 0x28;

/// Code that enters a program at `start` on every hart: a0 is the hart's number, a1 an argument, and a2 leads to what stands behind
/// the code.
fn enter(start: u64, argument: u64, bits: u8) -> Vec<u8> {
    let load: u32 = if bits == 64 { 0x3003 } else { 0x2003 };
    let load = |to: u32, offset: usize| load | (offset as u32) << 20 | T0 << 15 | to << 7;
    const T0: u32 = 5;
    const A1: u32 = 11;
    let code = [
        0x0000_0297,                         // auipc t0, 0
        0x0002_8613 | (BEHIND as u32) << 20, // addi a2, t0, BEHIND
        0xf140_2573,                         // csrr a0, mhartid
        load(A1, START + 8),
        load(T0, START),
        0x0002_8067, // jr t0
    ];
    let mut bytes: Vec<u8> = code.into_iter().flat_map(u32::to_le_bytes).collect();
    bytes.extend(start.to_le_bytes());
    bytes.extend(argument.to_le_bytes());
    bytes
}

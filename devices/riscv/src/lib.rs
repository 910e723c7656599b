//! RISC-V CPUs: RV64 and RV32 with the extensions IMAFDC, Zicsr, Zifencei, Zba, Zbb, Zbs, Zicbom and Zicboz, machine,
//! supervisor and user mode.
//!
//! The way of an instruction: `decode` makes an `inst` of its bits, straight code of which is a block, and `exec` a chain of
//! functions of that; `templates` make host code of blocks that are executed often. `core` has the registers, `csr`, `mmu`,
//! `pmp` and `trap` what privileged software sees, `isa` what the engine ([`solderless_engine`]) has to know.

// What templates promise, and nothing else.
#![deny(unsafe_code)]
#![deny(clippy::undocumented_unsafe_blocks)]

pub mod boot;
mod core;
mod cpu;
mod csr;
mod decode;
mod disasm;
mod exec;
mod inst;
mod isa;
mod mmu;
mod model;
mod pmp;
mod registers;
mod templates;
mod trap;

pub use cpu::RiscvCpu;
pub use model::{CpuModel, Identity, Props, SatpMode};

/// The instruction with these bits in words, as a CPU with all there is decodes it.
#[must_use]
pub fn describe(raw: u32) -> String {
    Identity::new(&Props::default()).map_or(String::new(), |identity| {
        let inst = decode::decode(raw, &identity);
        format!(
            "{:?} {} {} {} {}",
            inst.kind, inst.a, inst.b, inst.c, inst.imm
        )
    })
}

#[cfg(test)]
mod tests;

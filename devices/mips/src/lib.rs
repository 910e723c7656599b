//! The MIPS CPUs of the Malta board: MIPS32 Release 2, and MIPS64. They are written once, over the width of registers and
//! addresses (`word`, `width`).
//!
//! The way of an instruction: `decode` makes an `ir` instruction of a word, `translate` a block of straight
//! code with delay slots resolved, `exec` a chain of functions of it; `templates` make host code of blocks that are executed
//! often. `core` has the registers, `cp0`, `tlb` and `exception` what privileged software sees, `fpu` the floating point
//! arithmetic, `isa` what the engine ([`solderless_engine`]) has to know.

// What templates promise, and nothing else.
#![deny(unsafe_code)]
#![deny(clippy::undocumented_unsafe_blocks)]

pub mod boot;
mod core;
mod cp0;
mod cpu;
mod decode;
mod disasm;
mod exception;
mod exec;
pub mod fpu;
mod ir;
mod isa;
mod model;
mod notices;
mod registers;
mod templates;
mod tlb;
mod translate;
mod victims;
mod width;
mod word;

pub use cpu::{Mips32Cpu, Mips64Cpu, MipsCpu};
pub use model::{CpuModel, CpuModel64, Identity, Props};

/// The same tests with generated code, if there is some for this host.
#[cfg(test)]
#[path = "tests/mod.rs"]
#[allow(clippy::duplicate_mod, reason = "see above")]
mod generated;

/// What a word means, in the words of the intermediate form, with the FPU on and registers of 64 bits: for messages.
pub fn describe(word: u32) -> String {
    match decode::decode(word, decode::Set::mips32(decode::FpMode::Full)) {
        decode::Decoded::Plain(inst) => format!("{inst:?}"),
        transfer => format!("{transfer:?}"),
    }
}

#[cfg(test)]
mod tests;

//! x86 CPUs, from the 486 to x86-64: real, virtual-8086, protected and long mode with their segments, tasks, interrupts and page
//! tables, and the integer instructions.
//!
//! The way of an instruction: `inst` makes straight code of bytes with the decoder of the crate iced-x86, and `exec` functions of
//! that. `core` has the registers and the flags, which are computed when somebody asks; `segment`, `mmu`, `memory` and `trap` what
//! software is protected by, `isa` what the engine ([`solderless_engine`]) has to know.

// What templates promise, and nothing else.
#![deny(unsafe_code)]
#![deny(clippy::undocumented_unsafe_blocks)]

pub mod boot;
mod core;
mod cpu;
mod exec;
mod inst;
mod isa;
mod memory;
mod mmu;
mod model;
mod registers;
mod segment;
mod templates;
mod trap;

pub use cpu::X86Cpu;
pub use model::{CpuModel, Identity, Props, feature};

/// The instruction that some bytes are in code of 16, 32 or 64 bits, as a CPU with all there is decodes it, and how many bytes it
/// has.
#[must_use]
pub fn describe(bytes: &[u8], bits: u32) -> (String, usize) {
    let mut decoder = iced_x86::Decoder::new(bits, bytes, iced_x86::DecoderOptions::NONE);
    let raw = decoder.decode();
    let code = bytes.get(..raw.len()).unwrap_or_default();
    (format!("{code:02x?} {:?}", raw.code()), raw.len())
}

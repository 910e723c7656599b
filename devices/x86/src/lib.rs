//! x86 CPUs, from the 486 to x86-64: real, virtual-8086, protected, long and system management mode with their segments, tasks,
//! interrupts and page tables, x87, MMX and SSE up to SSE4.2, and the local APIC.
//!
//! The way of an instruction: `inst` makes straight code of bytes with the decoder of the crate iced-x86, and `exec` functions of
//! that. `core` has the registers and the flags, which are computed when somebody asks, `fpu` those of x87, MMX and SSE; `segment`,
//! `mmu`, `memory` and `trap` what software is protected by, `apic` and `smm` what their names say, and `isa` what the engine
//! ([`solderless_engine`]) has to know.

// What templates promise, and nothing else.
#![deny(unsafe_code)]
#![deny(clippy::undocumented_unsafe_blocks)]

mod apic;
pub mod boot;
mod core;
mod cpu;
mod exec;
mod fpu;
mod inst;
mod isa;
mod memory;
mod mmu;
mod model;
mod registers;
mod segment;
mod smm;
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

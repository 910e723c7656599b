//! CPU engines: the MIPS32 Release 2 CPUs of the Malta board.
//!
//! The way of an instruction: `decode` makes an `ir` instruction of a word, `translate` a block of straight
//! code with delay slots resolved, `exec` a chain of functions of it, which `block` keeps and `cpu` runs. `core` has the
//! registers, `cp0`, `tlb` and `exception` what privileged software sees, `fpu` the floating point arithmetic.

#![forbid(unsafe_code)]

mod block;
mod core;
mod cp0;
mod cpu;
mod decode;
mod exception;
mod exec;
pub mod fpu;
mod ir;
mod model;
mod tlb;
mod translate;

pub use cpu::Mips32Cpu;
pub use model::{CpuModel, Identity, Props};

#[cfg(test)]
mod tests;

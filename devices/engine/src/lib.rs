//! What CPUs of all architectures share: decoded blocks by physical page, tiers, links, loops, generated code, budget and time.
//!
//! Nothing here knows a register, an instruction or an exception of a guest. What an instruction set says of itself is [`Isa`];
//! its code for the host is written as [`Templates`] against an [`Assembler`](host::Assembler), which a host implements. The way of an
//! instruction: [`Isa::decode`] makes a block of bytes, `block` keeps it and `run` executes it, first by [`Isa::run`], and when it is
//! executed often by the code that `emit` makes of it.

// Code is installed by `native` and the host's stubs, and nothing else here needs it.
#![deny(unsafe_code)]
#![deny(clippy::undocumented_unsafe_blocks)]
#![cfg_attr(
    not(generator),
    allow(dead_code, reason = "what only a code generator asks for")
)]

mod asm;
mod block;
mod emit;
mod frame;
mod generate;
mod halts;
pub mod host;
mod isa;
mod links;
mod loops;
#[cfg(generator)]
mod native;
#[cfg(not(generator))]
#[path = "none.rs"]
mod native;
mod run;
mod vcpu;

pub use asm::{Asm, Src};
pub use emit::{Emitter, Slow};
pub use frame::Frame;
pub use halts::{Halts, Reached};
pub use isa::{Bytes, Exit, Isa, Straight, Templates};
pub use native::AVAILABLE as GENERATES;
pub use run::Engine;
pub use vcpu::{CodeAt, Frame as Physical, Vcpu};

/// An instruction set that this host can run: with templates for its assembler, if it has one.
#[cfg(generator)]
pub trait Guest: Templates<host::Assembled> {}
#[cfg(generator)]
impl<I: Templates<host::Assembled>> Guest for I {}

/// An instruction set that this host can run.
#[cfg(not(generator))]
pub trait Guest: Isa {}
#[cfg(not(generator))]
impl<I: Isa> Guest for I {}

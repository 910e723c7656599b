//! What the whole-machine tests and benchmarks share.
//!
//! [`guests`] finds, fetches and builds what runs inside a machine; [`emulator`] makes the commands that run it, here
//! and in QEMU; [`console`] types into a running machine and waits for its answers; [`usage`] measures one.

#![forbid(unsafe_code)]

pub mod console;
pub mod emulator;
pub mod guests;
pub mod usage;

pub use console::{Console, Terminal};
pub use emulator::Endian;

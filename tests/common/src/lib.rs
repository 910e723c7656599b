//! What the whole-machine tests and benchmarks share.
//!
//! [`guests`] finds, fetches and builds what runs inside a machine, [`userland`] a whole Debian system for it, packed by
//! [`initrd`], and [`installed`] one on a disk; [`emulator`] makes the commands that run it, here and in QEMU; [`console`] types into a running machine
//! and waits for its answers; [`gdb`] debugs one, [`usage`] measures one, and [`report`] prints what was measured. [`streams`] tampers with
//! saved ones. [`target`] has the tools for each kind of CPU.
//!
//! [`program`] makes random programs for CPUs, and [`frame`] is what they run in.

#![forbid(unsafe_code)]

pub mod console;
pub mod emulator;
pub mod frame;
pub mod gdb;
pub mod guests;
pub mod initrd;
pub mod installed;
pub mod program;
pub mod report;
pub mod streams;
pub mod target;
pub mod usage;
pub mod userland;

pub use console::{Console, Terminal};
pub use emulator::Endian;
pub use target::{TARGETS, Target};

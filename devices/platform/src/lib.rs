//! Memory and board logic.

#![forbid(unsafe_code)]

mod ram;

pub use ram::{Ram, RamProps};

//! Memory and board logic.

#![forbid(unsafe_code)]

mod bitbang;
mod malta_fpga;
mod ram;

pub use malta_fpga::{MaltaFpga, MaltaFpgaProps};
pub use ram::{Ram, RamProps};

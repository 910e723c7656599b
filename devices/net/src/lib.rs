//! Network interfaces.

#![forbid(unsafe_code)]

mod mipsnet;

pub use mipsnet::{MipsNet, MipsNetProps};

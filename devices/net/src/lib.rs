//! Network interfaces.

#![forbid(unsafe_code)]

mod mac;
mod mipsnet;
pub mod offload;
mod pcnet;

pub use mac::Mac;
pub use mipsnet::{MipsNet, MipsNetProps};
pub use pcnet::{Pcnet, PcnetProps};

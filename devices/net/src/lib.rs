//! Network interfaces.

#![forbid(unsafe_code)]

mod e1000;
mod mac;
mod mipsnet;
pub mod offload;
mod pcnet;

pub use e1000::{E1000, E1000Props};
pub use mac::Mac;
pub use mipsnet::{MipsNet, MipsNetProps};
pub use pcnet::{Pcnet, PcnetProps};

//! From a board's tree to its plan: every name looked up, every rule checked.

mod address;
pub mod devices;
mod lines;
pub mod lints;
pub mod resolve;
mod windows;

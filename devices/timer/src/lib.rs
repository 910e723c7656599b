//! Timers and clocks.

#![forbid(unsafe_code)]

#[cfg(test)]
mod exercise;
mod i8254;

pub use i8254::{I8254, I8254Props};

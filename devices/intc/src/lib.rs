//! Interrupt controllers.

#![forbid(unsafe_code)]

#[cfg(test)]
mod exercise;
mod i8259;

pub use i8259::{I8259, I8259Props};

//! DMA controllers.

#![forbid(unsafe_code)]

#[cfg(test)]
mod exercise;
mod i8237;

pub use i8237::{I8257, I8257Props};

//! DMA controllers.

#![forbid(unsafe_code)]

mod i8237;

pub use i8237::{I8257, I8257Props};

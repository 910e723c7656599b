//! Interrupt controllers.

#![forbid(unsafe_code)]

mod i8259;

pub use i8259::{I8259, I8259Props};

//! Timers and clocks.

#![forbid(unsafe_code)]

mod i8254;
mod mc146818;

pub use i8254::{I8254, I8254Props};
pub use mc146818::{Mc146818, Mc146818Props};

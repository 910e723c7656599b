//! Disk controllers and flash memory.

#![forbid(unsafe_code)]

mod pflash;

pub use pflash::{Pflash, PflashProps};

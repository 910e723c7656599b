//! Disk controllers and flash memory.

#![forbid(unsafe_code)]

mod ide;
mod pflash;

pub use ide::{Ide, IdeProps};
pub use pflash::{Pflash, PflashProps};

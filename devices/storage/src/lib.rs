//! Disk controllers and flash memory.

#![forbid(unsafe_code)]

mod ata;
mod ide;
mod ide_cd;
mod ide_hd;
mod pflash;

pub use ide::{IdeProps, Piix3Ide, Piix4Ide};
pub use ide_cd::{IdeCd, IdeCdProps};
pub use ide_hd::{IdeHd, IdeHdProps};
pub use pflash::{Pflash, PflashProps};

//! Disk controllers and flash memory.

#![forbid(unsafe_code)]

mod array;
mod ata;
mod ide;
mod ide_cd;
mod ide_hd;
mod pflash;
mod pflash02;

pub use ide::{IdeProps, Piix3Ide, Piix4Ide};
pub use ide_cd::{IdeCd, IdeCdProps};
pub use ide_hd::{IdeHd, IdeHdProps};
pub use pflash::{Pflash, PflashProps};
pub use pflash02::{Pflash02, Pflash02Props};

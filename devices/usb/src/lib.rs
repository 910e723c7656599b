//! USB host controllers.

#![forbid(unsafe_code)]

mod uhci;

pub use uhci::{Piix4Uhci, Piix4UhciProps};

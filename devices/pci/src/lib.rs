//! PCI host bridges, bridges and connectors.

#![forbid(unsafe_code)]

mod gt64120;
mod i440fx;
mod piix4;
mod slot;

pub use gt64120::{Gt64120, Gt64120Props};
pub use i440fx::{I440Fx, I440FxProps};
pub use piix4::{Piix3Isa, Piix4Isa, Piix4IsaProps};
pub use slot::{PciSlot, PciSlotProps};

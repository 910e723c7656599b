//! Serial ports.

#![forbid(unsafe_code)]

mod pci_serial;
mod uart16550;

pub use pci_serial::{PciSerial, PciSerialProps};
pub use uart16550::{Endianness, IsaSerial, IsaSerialProps, SerialMm, SerialMmProps, Uart16550};

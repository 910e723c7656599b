//! Serial ports.

#![forbid(unsafe_code)]

mod uart16550;

pub use uart16550::{Endianness, IsaSerial, IsaSerialProps, SerialMm, SerialMmProps, Uart16550};

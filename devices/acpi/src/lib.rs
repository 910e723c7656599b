//! Power management and what hangs on its SMBus.

#![forbid(unsafe_code)]

mod smbus_eeprom;
mod spd;

pub use smbus_eeprom::{Props as SmbusEepromProps, SmbusEeprom};

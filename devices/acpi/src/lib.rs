//! Power management and what hangs on its SMBus.

#![forbid(unsafe_code)]

mod cpu_hotplug;
mod hotplug;
mod memory_hotplug;
mod pci_hotplug;
mod piix4_pm;
mod smbus_eeprom;
mod smbus_host;
mod spd;

pub use hotplug::{Hotplug, HotplugError, Place};
pub use memory_hotplug::MemoryModule;
pub use piix4_pm::{Piix4Pm, Piix4PmProps};
pub use smbus_eeprom::{SmbusEeprom, SmbusEepromProps};

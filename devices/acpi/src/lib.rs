//! Power management and what hangs on its SMBus.

#![forbid(unsafe_code)]

#[cfg(feature = "cpu-hotplug")]
mod cpu_hotplug;
mod hotplug;
#[cfg(feature = "memory-hotplug")]
mod memory_hotplug;
mod parts;
#[cfg(feature = "pci-hotplug")]
mod pci_hotplug;
mod piix4_pm;
mod smbus_eeprom;
mod smbus_host;
mod spd;

pub use hotplug::{Hotplug, HotplugError, MemoryModule, Place};
pub use piix4_pm::{Piix4Pm, Piix4PmProps};
pub use smbus_eeprom::{SmbusEeprom, SmbusEepromProps};

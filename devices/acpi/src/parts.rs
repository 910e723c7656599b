//! The hotplug parts, with their code or, where it is left out of the build, without values.

#[cfg(feature = "cpu-hotplug")]
pub(crate) use crate::cpu_hotplug::CpuHotplug;
#[cfg(feature = "memory-hotplug")]
pub(crate) use crate::memory_hotplug::MemoryHotplug;
#[cfg(feature = "pci-hotplug")]
pub(crate) use crate::pci_hotplug::{AcpiIndex, PciHotplug};

#[cfg(not(feature = "pci-hotplug"))]
solderless_model::not_built! {
    pub(crate) PciHotplug: "pcihp", feature "pci-hotplug";
    fn reset(&self);
    fn restored(&self) -> Result<(), solderless_model::StateError>;
    fn read(&self, offset: u64, size: u8, fixed: u32) -> u64;
    fn write(&self, offset: u64, size: u8, value: u64, fixed: u32);
    fn acpi_index(&self, slots: u64) -> u32;
    fn plug(&self, bus: u8, slot: u8, acpi_index: u32) -> Result<(), crate::HotplugError>;
    fn request_unplug(&self, bus: u8, slot: u8) -> Result<(), crate::HotplugError>;
    fn take_ejected(&self) -> Vec<crate::Place>;
}

#[cfg(not(feature = "pci-hotplug"))]
solderless_model::not_built! {
    pub(crate) AcpiIndex: "acpi-index", feature "pci-hotplug";
    fn reset(&self);
    fn read(&self, size: u8) -> u64;
    fn answer(&self, size: u8, number: u32);
}

#[cfg(not(feature = "memory-hotplug"))]
solderless_model::not_built! {
    pub(crate) MemoryHotplug: "memhp", feature "memory-hotplug";
    fn reset(&self);
    fn restored(&self) -> Result<(), solderless_model::StateError>;
    fn read(&self, offset: u64, size: u8) -> u64;
    fn write(&self, offset: u64, size: u8, value: u64);
    fn plug(&self, slot: u8, module: crate::MemoryModule) -> Result<(), crate::HotplugError>;
    fn request_unplug(&self, slot: u8) -> Result<(), crate::HotplugError>;
    fn take_ejected(&self) -> Vec<crate::Place>;
    fn ospm_status(&self, slot: u8) -> Option<(u32, u32)>;
}

#[cfg(not(feature = "cpu-hotplug"))]
solderless_model::not_built! {
    pub(crate) CpuHotplug: "cpuhp", feature "cpu-hotplug";
    fn read(&self, offset: u64) -> u8;
    fn plug(&self, number: u8) -> Result<(), crate::HotplugError>;
}

//! CPU hotplug by ACPI: the bitmap through which a PC's firmware tables learn which processors are there (QEMU,
//! docs/specs/acpi_cpu_hotplug.rst, the legacy interface). No part of the PIIX4: boards that are not PCs do
//! without.

use solderless_model::{Part, State};

use crate::HotplugError;

/// The I/O port of the first register.
pub(crate) const BASE: u64 = 0xaf00;
/// Ports that the registers take: one bit for each processor.
pub(crate) const SIZE: u64 = 0x20;

/// Which processors are there, by their APIC number.
#[derive(Debug, State)]
pub(crate) struct CpuHotplug {
    present: [u8; SIZE as usize],
}

impl Part for CpuHotplug {
    const NAME: &'static str = "cpuhp";
}

impl CpuHotplug {
    /// With so many processors from number 0 on.
    pub(crate) fn new(count: u16) -> Self {
        let mut part = Self {
            present: [0; SIZE as usize],
        };
        for number in 0..count.min(256) {
            part.present[usize::from(number / 8)] |= 1 << (number % 8);
        }
        part
    }

    pub(crate) fn read(&self, offset: u64) -> u8 {
        usize::try_from(offset)
            .ok()
            .and_then(|at| self.present.get(at).copied())
            .unwrap_or(0)
    }

    /// A processor was plugged in.
    pub(crate) fn plug(&mut self, number: u8) -> Result<(), HotplugError> {
        let byte = &mut self.present[usize::from(number / 8)];
        let bit = 1 << (number % 8);
        if *byte & bit != 0 {
            return Err(HotplugError::Occupied);
        }
        *byte |= bit;
        Ok(())
    }
}

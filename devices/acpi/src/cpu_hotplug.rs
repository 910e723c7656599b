//! CPU hotplug by ACPI: the bitmap through which a PC's firmware tables learn which processors are there (QEMU,
//! docs/specs/acpi_cpu_hotplug.txt, the legacy interface). No part of the PIIX4: boards that are not PCs do
//! without.

use solderless_model::{BuildError, Fitted, Part, State, Wires};

use crate::{HotplugError, Piix4PmProps};

/// Bytes of the bitmap.
const SIZE: usize = 0x20;

/// Which processors are there, by their APIC number.
#[derive(Debug, State)]
pub(crate) struct CpuHotplug {
    present: [u8; SIZE],
}

impl Part for CpuHotplug {
    const NAME: &'static str = "cpuhp";
    const FEATURE: Option<&'static str> = Some("cpu-hotplug");
}

impl CpuHotplug {
    /// With so many processors from number 0 on as there are at power-on.
    pub(crate) fn fit(wires: Wires<'_>, props: &Piix4PmProps) -> Result<Fitted<Self>, BuildError> {
        Ok(wires.fit(|| {
            let mut present = [0; SIZE];
            for number in 0..props.boot_cpus.min(256) {
                present[usize::from(number / 8)] |= 1 << (number % 8);
            }
            Self { present }
        }))
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

//! PCI hotplug by ACPI: the registers through which a PC's firmware tables learn which slots changed (QEMU,
//! docs/specs/acpi_pci_hotplug.rst). No part of the PIIX4: boards that are not PCs do without.

use solderless_model::{Part, State, lanes, merge};

use crate::{HotplugError, Place};

/// The I/O port of the first register.
pub(crate) const BASE: u64 = 0xae00;
/// Ports that the registers take.
pub(crate) const SIZE: u64 = 0x18;

const UP: u64 = 0x00;
const DOWN: u64 = 0x04;
const EJECT: u64 = 0x08;
const REMOVABLE: u64 = 0x0c;
const SELECT: u64 = 0x10;
const ACPI_INDEX: u64 = 0x14;

const SLOTS: u8 = 32;

/// One bit for each slot of a bus.
#[derive(Debug, Clone, Copy, Default, State)]
struct Slots {
    /// Something was plugged in and the guest has not looked yet.
    up: u32,
    /// The guest has been asked to let it go.
    down: u32,
    /// The guest has let it go and nobody has taken it out yet.
    ejected: u32,
}

/// The registers, for each of the 256 buses.
#[derive(Debug, State)]
pub(crate) struct PciHotplug {
    #[state(skip = "properties")]
    root: bool,
    #[state(skip = "properties")]
    bridges: bool,
    select: u32,
    buses: Box<[Slots; 256]>,
}

impl Part for PciHotplug {
    const NAME: &'static str = "pcihp";
}

impl PciHotplug {
    /// Registers for the root bus, for the buses behind bridges, or both.
    pub(crate) fn new(root: bool, bridges: bool) -> Self {
        Self {
            root,
            bridges,
            select: 0,
            buses: Box::new([Slots::default(); 256]),
        }
    }

    /// A reset completes what the guest was asked to let go: the firmware that starts does not know it.
    pub(crate) fn reset(&mut self) {
        self.select = 0;
        for slots in self.buses.iter_mut() {
            slots.ejected |= slots.down;
            slots.down = 0;
            slots.up = 0;
        }
    }

    fn serves(&self, bus: u8) -> bool {
        if bus == 0 { self.root } else { self.bridges }
    }

    /// The selected bus, if there is one that can change.
    pub(crate) fn selected(&self) -> Option<u8> {
        u8::try_from(self.select)
            .ok()
            .filter(|bus| self.serves(*bus))
    }

    pub(crate) fn read(&mut self, offset: u64, size: u8) -> u64 {
        let register = offset & !3;
        if register == SELECT {
            return lanes(self.select, offset, size);
        }
        let Some(bus) = self.selected() else {
            return 0;
        };
        let per_bus = self.bridges;
        let slots = &mut self.buses[usize::from(bus)];
        let value = match register {
            // Firmware for the root bus alone reads it more than once.
            UP if per_bus => std::mem::take(&mut slots.up),
            UP => slots.up,
            DOWN => slots.down,
            REMOVABLE => u32::MAX,
            // EJECT reads as the set of features: the basic one.
            _ => 0,
        };
        lanes(value, offset, size)
    }

    /// Writes a register; returns the slots that the guest has let go by it.
    pub(crate) fn write(&mut self, offset: u64, size: u8, value: u64) -> u32 {
        match (offset & !3, self.selected()) {
            (SELECT, _) if self.bridges => {
                self.select = merge(self.select, offset, size, value);
                0
            }
            (EJECT, Some(bus)) => {
                let gone = merge(0, offset, size, value);
                let slots = &mut self.buses[usize::from(bus)];
                slots.up &= !gone;
                slots.down &= !gone;
                slots.ejected |= gone;
                gone
            }
            _ => 0,
        }
    }

    fn slots(&mut self, bus: u8, slot: u8) -> Result<(&mut Slots, u32), HotplugError> {
        if slot >= SLOTS || !self.serves(bus) {
            return Err(HotplugError::NoSuchPlace);
        }
        Ok((&mut self.buses[usize::from(bus)], 1 << slot))
    }

    /// A function was plugged in.
    pub(crate) fn plug(&mut self, bus: u8, slot: u8) -> Result<(), HotplugError> {
        let (slots, bit) = self.slots(bus, slot)?;
        slots.up |= bit;
        Ok(())
    }

    /// Asks the guest to let a slot go.
    pub(crate) fn request_unplug(&mut self, bus: u8, slot: u8) -> Result<(), HotplugError> {
        let (slots, bit) = self.slots(bus, slot)?;
        slots.down |= bit;
        Ok(())
    }

    /// The slots that the guest has let go since this was last asked.
    pub(crate) fn take_ejected(&mut self) -> Vec<Place> {
        (0u8..=255)
            .zip(self.buses.iter_mut())
            .flat_map(|(bus, slots)| {
                let gone = std::mem::take(&mut slots.ejected);
                (0..SLOTS)
                    .filter(move |slot| gone >> slot & 1 != 0)
                    .map(move |slot| Place::Pci { bus, slot })
            })
            .collect()
    }
}

/// The register that tells an operating system the number by which it names a device, whatever its slot.
#[derive(Debug, Default, State)]
pub(crate) struct AcpiIndex {
    /// The answer to the last question; reading takes it away.
    answer: u32,
    /// Bus, slot and number of the devices that have one.
    known: Vec<(u8, u8, u32)>,
}

impl Part for AcpiIndex {
    const NAME: &'static str = "acpi-index";
}

impl AcpiIndex {
    /// Whether this is where the register lies in the block.
    pub(crate) fn at(offset: u64) -> bool {
        offset & !3 == ACPI_INDEX
    }

    pub(crate) fn reset(&mut self) {
        self.answer = 0;
    }

    pub(crate) fn read(&mut self, offset: u64, size: u8) -> u64 {
        lanes(std::mem::take(&mut self.answer), offset, size)
    }

    /// Asks for the number of the device in a slot of the selected bus.
    pub(crate) fn ask(&mut self, bus: u8, slot: u64) {
        self.answer = self
            .known
            .iter()
            .find(|(b, s, _)| *b == bus && u64::from(*s) == slot)
            .map_or(0, |(_, _, number)| *number);
    }

    /// A device with a number was plugged in; 0 is no number.
    pub(crate) fn plug(&mut self, bus: u8, slot: u8, number: u32) {
        self.forget(bus, 1u32.checked_shl(u32::from(slot)).unwrap_or(0));
        if number != 0 {
            self.known.push((bus, slot, number));
        }
    }

    /// The devices in these slots are gone.
    pub(crate) fn forget(&mut self, bus: u8, slots: u32) {
        self.known.retain(|(b, s, _)| {
            *b != bus || slots.checked_shr(u32::from(*s)).unwrap_or(0) & 1 == 0
        });
    }
}

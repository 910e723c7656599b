//! PCI hotplug by ACPI: the registers through which a PC's firmware tables learn which slots changed (QEMU,
//! docs/specs/acpi_pci_hotplug.rst). No part of the PIIX4: boards that are not PCs do without.

use std::collections::BTreeSet;

use solderless_model::{BuildError, Fitted, Part, State, StateError, Wires};

use crate::{HotplugError, Piix4PmProps, Place};

// The registers answer to accesses of this width alone.
const WIDTH: u8 = 4;
const UP: u64 = 0x00;
const DOWN: u64 = 0x04;
const EJECT: u64 = 0x08;
const REMOVABLE: u64 = 0x0c;
const SELECT: u64 = 0x10;

const SLOTS: u8 = 32;
/// The slot of the root bus that answers for the bus's own bridge.
const HOST_BRIDGE: u32 = 1 << 0;

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
    /// Bus, slot and number of the devices that have one by which an operating system names them.
    numbered: Vec<(u8, u8, u32)>,
}

impl Part for PciHotplug {
    const NAME: &'static str = "pcihp";
    const FEATURE: Option<&'static str> = Some("pci-hotplug");
}

impl PciHotplug {
    /// Registers for the root bus, for the buses behind bridges, or both.
    pub(crate) fn fit(wires: Wires<'_>, props: &Piix4PmProps) -> Result<Fitted<Self>, BuildError> {
        Ok(wires.fit(|| Self {
            root: props.acpi_root_pci_hotplug,
            bridges: props.acpi_pci_hotplug_with_bridge_support,
            select: 0,
            buses: Box::new([Slots::default(); 256]),
            numbered: Vec::new(),
        }))
    }

    /// A reset completes what the guest was asked to let go: the firmware that starts does not know it.
    pub(crate) fn reset(&mut self) {
        self.select = 0;
        for bus in 0..=u8::MAX {
            let slots = &mut self.buses[usize::from(bus)];
            let gone = std::mem::take(&mut slots.down);
            slots.up = 0;
            slots.ejected |= gone;
            self.forget(bus, gone);
        }
    }

    /// State was loaded.
    ///
    /// # Errors
    /// A device has a number in a slot that there is not, or several have one in the same.
    pub(crate) fn restored(&self) -> Result<(), StateError> {
        let mut places = BTreeSet::new();
        for (bus, slot, _) in &self.numbered {
            if *slot >= SLOTS || !places.insert((bus, slot)) {
                let reason = format!("numbered: a device in slot {slot} of bus {bus}");
                return Err(StateError::new(reason));
            }
        }
        Ok(())
    }

    fn serves(&self, bus: u8) -> bool {
        if bus == 0 { self.root } else { self.bridges }
    }

    /// The selected bus, if there is one that can change.
    fn selected(&self) -> Option<u8> {
        u8::try_from(self.select)
            .ok()
            .filter(|bus| self.serves(*bus))
    }

    /// `fixed` are the slots of the root bus whose devices are the board's own.
    pub(crate) fn read(&mut self, offset: u64, size: u8, fixed: u32) -> u64 {
        let Some(bus) = self.selected().filter(|_| size == WIDTH) else {
            return 0;
        };
        let slots = &mut self.buses[usize::from(bus)];
        let value = match offset {
            // Firmware for the root bus alone reads it more than once.
            UP if self.bridges => std::mem::take(&mut slots.up),
            UP => slots.up,
            DOWN => slots.down,
            REMOVABLE if bus == 0 => !(fixed | HOST_BRIDGE),
            REMOVABLE => u32::MAX,
            SELECT => self.select,
            // EJECT reads as the set of features: the basic one.
            _ => 0,
        };
        u64::from(value)
    }

    pub(crate) fn write(&mut self, offset: u64, size: u8, value: u64, fixed: u32) {
        match (offset, self.selected()) {
            _ if size != WIDTH => {}
            (SELECT, _) => self.select = value as u32,
            (EJECT, Some(bus)) => {
                let gone = lowest(value);
                let slots = &mut self.buses[usize::from(bus)];
                slots.up &= !gone;
                slots.down &= !gone;
                if bus != 0 || gone & fixed == 0 {
                    slots.ejected |= gone;
                    self.forget(bus, gone);
                }
            }
            _ => {}
        }
    }

    /// The number of the device in a slot of the selected bus, given as a bit; 0 if it has none.
    pub(crate) fn acpi_index(&self, slots: u64) -> u32 {
        let asked = lowest(slots);
        let bus = self.selected();
        let mut numbered = self.numbered.iter();
        numbered
            .find(|(b, slot, _)| Some(*b) == bus && 1 << slot == asked)
            .map_or(0, |(_, _, number)| *number)
    }

    /// The devices in these slots are gone.
    fn forget(&mut self, bus: u8, slots: u32) {
        self.numbered
            .retain(|(b, slot, _)| *b != bus || slots >> slot & 1 == 0);
    }

    fn slots(&mut self, bus: u8, slot: u8) -> Result<(&mut Slots, u32), HotplugError> {
        if slot >= SLOTS || !self.serves(bus) {
            return Err(HotplugError::NoSuchPlace);
        }
        Ok((&mut self.buses[usize::from(bus)], 1 << slot))
    }

    /// A function was plugged in; 0 is no number.
    pub(crate) fn plug(&mut self, bus: u8, slot: u8, acpi_index: u32) -> Result<(), HotplugError> {
        let (slots, bit) = self.slots(bus, slot)?;
        slots.up |= bit;
        self.forget(bus, bit);
        if acpi_index != 0 {
            self.numbered.push((bus, slot, acpi_index));
        }
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

/// A register takes one slot at a time: its lowest bit that is set.
fn lowest(slots: u64) -> u32 {
    let slots = slots as u32;
    slots & slots.wrapping_neg()
}

/// The register that tells an operating system the number by which it names a device, whatever its slot.
#[derive(Debug, State)]
pub(crate) struct AcpiIndex {
    /// The answer to the last question; reading takes it away.
    answer: u32,
}

impl Part for AcpiIndex {
    const NAME: &'static str = "acpi-index";
    const FEATURE: Option<&'static str> = Some("pci-hotplug");
}

impl AcpiIndex {
    pub(crate) fn fit(wires: Wires<'_>, _: &Piix4PmProps) -> Result<Fitted<Self>, BuildError> {
        Ok(wires.fit(|| Self { answer: 0 }))
    }

    pub(crate) fn reset(&mut self) {
        self.answer = 0;
    }

    pub(crate) fn read(&mut self, size: u8) -> u64 {
        match size {
            WIDTH => u64::from(std::mem::take(&mut self.answer)),
            _ => 0,
        }
    }

    /// The guest asked for a device's number, and this is it.
    pub(crate) fn answer(&mut self, size: u8, number: u32) {
        if size == WIDTH {
            self.answer = number;
        }
    }
}

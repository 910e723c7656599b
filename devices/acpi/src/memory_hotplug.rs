//! Memory hotplug by ACPI: the registers through which a PC's firmware tables learn which memory modules
//! changed (QEMU, docs/specs/acpi_mem_hotplug.rst). No part of the PIIX4: boards that are not PCs do without.

use solderless_model::{BuildError, Fitted, Part, State, StateError, Wires, lanes, merge};

use crate::{HotplugError, MemoryModule, Piix4PmProps, Place};

// A register answers at its first byte, to accesses of any width. Reads show the selected module.
const ADDRESS: u64 = 0x00;
const ADDRESS_HIGH: u64 = 0x04;
const LENGTH: u64 = 0x08;
const LENGTH_HIGH: u64 = 0x0c;
const PROXIMITY: u64 = 0x10;
const FLAGS: u64 = 0x14;
// Writes go to other registers at the same offsets.
const SELECT: u64 = 0x00;
const OST_EVENT: u64 = 0x04;
const OST_STATUS: u64 = 0x08;

const ENABLED: u32 = 1 << 0;
const INSERTING: u32 = 1 << 1;
const REMOVING: u32 = 1 << 2;
const EJECT: u32 = 1 << 3;

#[derive(Debug, Clone, Copy, Default, State)]
struct Slot {
    module: Option<MemoryModule>,
    inserting: bool,
    removing: bool,
    /// The guest has let the module go and nobody has taken it out yet.
    ejected: bool,
    ost_event: u32,
    ost_status: u32,
}

/// The registers, for each slot.
#[derive(Debug, State)]
pub(crate) struct MemoryHotplug {
    #[state(skip = "properties")]
    count: usize,
    select: u32,
    slots: Vec<Slot>,
}

impl Part for MemoryHotplug {
    const NAME: &'static str = "memhp";
    const FEATURE: Option<&'static str> = Some("memory-hotplug");
}

impl MemoryHotplug {
    /// Registers for so many slots as the board has, all empty.
    pub(crate) fn fit(wires: Wires<'_>, props: &Piix4PmProps) -> Result<Fitted<Self>, BuildError> {
        let count = usize::from(props.memory_slots);
        Ok(wires.fit(|| Self {
            count,
            select: 0,
            slots: vec![Slot::default(); count],
        }))
    }

    /// Modules stay. A reset completes what the guest was asked to let go: the firmware that starts does not
    /// know it.
    pub(crate) fn reset(&mut self) {
        self.select = 0;
        for slot in &mut self.slots {
            if std::mem::take(&mut slot.removing) {
                slot.ejected |= slot.module.take().is_some();
            }
            *slot = Slot {
                module: slot.module,
                ejected: slot.ejected,
                ..Slot::default()
            };
        }
    }

    /// Checks that the stream had as many slots as the board.
    pub(crate) fn restored(&self) -> Result<(), StateError> {
        if self.slots.len() == self.count {
            return Ok(());
        }
        Err(StateError::new(format!(
            "{} memory slots saved, {} here",
            self.slots.len(),
            self.count
        )))
    }

    fn selected(&mut self) -> Option<&mut Slot> {
        self.slots.get_mut(usize::try_from(self.select).ok()?)
    }

    pub(crate) fn read(&mut self, offset: u64, size: u8) -> u64 {
        let Some(slot) = self.selected() else {
            return 0;
        };
        let module = slot.module.unwrap_or_default();
        let value = match offset {
            ADDRESS => module.address as u32,
            ADDRESS_HIGH => (module.address >> 32) as u32,
            LENGTH => module.size as u32,
            LENGTH_HIGH => (module.size >> 32) as u32,
            PROXIMITY => module.proximity,
            FLAGS => {
                (u32::from(slot.module.is_some()) * ENABLED)
                    | (u32::from(slot.inserting) * INSERTING)
                    | (u32::from(slot.removing) * REMOVING)
            }
            _ => u32::MAX,
        };
        lanes(value, 0, size)
    }

    pub(crate) fn write(&mut self, offset: u64, size: u8, value: u64) {
        let value = merge(0, 0, size, value);
        if offset == SELECT {
            self.select = value;
            return;
        }
        let Some(slot) = self.selected() else {
            return;
        };
        match offset {
            OST_EVENT => slot.ost_event = value,
            OST_STATUS => slot.ost_status = value,
            FLAGS => {
                slot.inserting &= value & INSERTING == 0;
                slot.removing &= value & REMOVING == 0;
                if value & EJECT != 0 {
                    slot.ejected |= slot.module.take().is_some();
                }
            }
            _ => {}
        }
    }

    fn slot(&mut self, slot: u8) -> Result<&mut Slot, HotplugError> {
        self.slots
            .get_mut(usize::from(slot))
            .ok_or(HotplugError::NoSuchPlace)
    }

    /// A module was plugged in.
    pub(crate) fn plug(&mut self, slot: u8, module: MemoryModule) -> Result<(), HotplugError> {
        let slot = self.slot(slot)?;
        if slot.module.is_some() || slot.ejected {
            return Err(HotplugError::Occupied);
        }
        slot.module = Some(module);
        slot.inserting = true;
        Ok(())
    }

    /// Asks the guest to let a module go.
    pub(crate) fn request_unplug(&mut self, slot: u8) -> Result<(), HotplugError> {
        let slot = self.slot(slot)?;
        if slot.module.is_none() {
            return Err(HotplugError::Empty);
        }
        slot.removing = true;
        Ok(())
    }

    /// The modules that the guest has let go since this was last asked.
    pub(crate) fn take_ejected(&mut self) -> Vec<Place> {
        (0u8..=255)
            .zip(&mut self.slots)
            .filter_map(|(slot, state)| {
                std::mem::take(&mut state.ejected).then_some(Place::Memory { slot })
            })
            .collect()
    }

    /// What the guest has last said about a slot: the codes of ACPI's `_OST` method, event and status.
    pub(crate) fn ospm_status(&self, slot: u8) -> Option<(u32, u32)> {
        let slot = self.slots.get(usize::from(slot))?;
        Some((slot.ost_event, slot.ost_status))
    }
}

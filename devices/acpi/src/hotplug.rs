//! Changes to a running machine that its owner asks for.

use std::error::Error;
use std::fmt;

use solderless_model::State;

/// Something that happens to a running machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hotplug {
    /// A PCI device was plugged in.
    Pci {
        /// Number of the bus; 0 is the root.
        bus: u8,
        /// Its slot, 0 to 31.
        slot: u8,
        /// The number by which an operating system names it, or 0.
        acpi_index: u32,
    },
    /// A memory module was plugged in.
    Memory {
        /// Its slot.
        slot: u8,
        /// What it is.
        module: MemoryModule,
    },
    /// A processor was plugged in.
    Cpu {
        /// Its APIC number.
        number: u8,
    },
    /// The guest is asked to let something go. It may take its time, or never do it.
    Unplug(Place),
}

/// A memory module that is plugged in while the machine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, State)]
pub struct MemoryModule {
    /// Physical address.
    pub address: u64,
    /// Size in bytes.
    pub size: u64,
    /// Proximity domain: the NUMA node.
    pub proximity: u32,
}

/// Where something is plugged in that can be taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A PCI slot.
    Pci {
        /// Number of the bus; 0 is the root.
        bus: u8,
        /// The slot, 0 to 31.
        slot: u8,
    },
    /// A memory slot.
    Memory {
        /// The slot.
        slot: u8,
    },
}

/// Why a change cannot be told to the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HotplugError {
    /// The board has the device without the part for it.
    NoRegisters,
    /// The registers have no such bus, slot or number.
    NoSuchPlace,
    /// Something is there already.
    Occupied,
    /// Nothing is there.
    Empty,
}

impl fmt::Display for HotplugError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoRegisters => "the board has no hotplug registers for it",
            Self::NoSuchPlace => "there is no such place",
            Self::Occupied => "something is plugged in there",
            Self::Empty => "nothing is plugged in there",
        })
    }
}

impl Error for HotplugError {}

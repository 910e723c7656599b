//! The plan: a resolved board, every value and wire of it, ready to build.

pub mod diff;
mod print;

use std::sync::Arc;

pub(crate) use print::{pin_name, slot_kind};
use serde_json::Value;
use solderless_model::boot::Protocol;
use solderless_model::{Interface, NEWEST, Parts, Pin, PortId, RegionId, Slot, SlotKind};

use crate::registry::{Entry, Properties};

/// How much memory the devices of a board can have together, in bytes: several times what a CPU of 32 bits reaches.
pub const MOST_MEMORY: u64 = 16 << 30;

/// A resolved board. Equal boards have equal plans, in whatever order their tables were written.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The board's name.
    pub name: String,
    /// Its version, if it is a versioned board.
    pub version: Option<String>,
    /// One line about it.
    pub summary: String,
    /// The parameters and their values.
    pub params: Vec<(String, Value)>,
    /// The devices; one that offers a bus comes before those that sit on it.
    pub devices: Vec<PlannedDevice>,
    /// The lines.
    pub nets: Vec<Net>,
    /// Where host resources plug in.
    pub slots: Vec<BoardSlot>,
    /// How `--firmware` and `--kernel` are served.
    pub boot: Option<Boot>,
    /// The state version that the board is held to, if it is.
    pub state: Option<u32>,
}

impl Plan {
    /// The device that has a slot of the board, and which of its slots that is.
    pub fn user_of(&self, slot: usize) -> Option<(&PlannedDevice, &Slot)> {
        self.devices.iter().find_map(|device| {
            let number = device.backends.iter().position(|b| *b == Some(slot))?;
            Some((device, device.interface.slots.get(number)?))
        })
    }

    /// The state version of the board's machine: what later ones brought is not in its layout.
    pub fn state_version(&self) -> u32 {
        self.state.unwrap_or(NEWEST)
    }
}

impl Plan {
    /// A number that is equal for equal plans, and the same in every run and build.
    pub fn hash(&self) -> u128 {
        xxhash_rust::xxh3::xxh3_128(self.to_string().as_bytes())
    }
}

/// One device of a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedDevice {
    /// Its name on the board.
    pub path: String,
    /// Its type.
    pub entry: &'static Entry,
    /// Every property, defaults included.
    pub props: Arc<Properties>,
    /// What these properties make of the type.
    pub interface: Arc<Interface>,
    /// The parts it has.
    pub parts: Arc<Parts>,
    /// Where it sits; `None` for a device on no bus.
    pub seat: Option<Seat>,
    /// The regions that the board or the device type places.
    pub windows: Vec<Window>,
    /// For each of its slots, the index of the board's slot plugged in.
    pub backends: Vec<Option<usize>>,
}

/// A bus: the system bus, or one that a device offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bus {
    /// `sys`.
    System,
    /// A device's port, the device by its index in the plan.
    Port(usize, PortId),
}

/// A place on a bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seat {
    /// The bus.
    pub bus: Bus,
    /// The address on it.
    pub address: Address,
}

/// An address, by the kind of bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Address {
    /// A CPU, or a device that places its regions itself.
    None,
    /// A memory or I/O address.
    Number(u64),
    /// PCI slot and function.
    Pci {
        /// 0 to 31.
        slot: u8,
        /// 0 to 7.
        function: u8,
    },
    /// A 7-bit I²C address.
    I2c(u8),
    /// Device 0 or 1 of an IDE cable.
    Ide(u8),
}

/// A piece of a region at a fixed address of the bus the device sits on, in the region's space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The region.
    pub region: RegionId,
    /// Bus address.
    pub at: u64,
    /// Length in bytes, not zero.
    pub size: u64,
    /// Where in the region it starts.
    pub offset: u64,
    /// It is meant to lie over another window.
    pub over: bool,
    /// The CPU that alone sees it, by device index; all see it otherwise.
    pub cpu: Option<usize>,
}

/// A line: outputs to inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Net {
    /// Outputs, by device index and pin; their levels are OR-ed.
    pub drivers: Vec<(usize, Pin)>,
    /// Inputs.
    pub sinks: Vec<(usize, Pin)>,
}

/// A slot of the board, which a run fills.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoardSlot {
    /// Its name (`serial0`).
    pub name: String,
    /// What it takes.
    pub kind: SlotKind,
    /// What is plugged in if the run does not say.
    pub default: Option<String>,
}

/// How the board boots what the user names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boot {
    /// Index of the slot that `--firmware` fills, and that gets the boot stub with `--kernel`.
    pub firmware: usize,
    /// The main memory, by device index.
    pub memory: usize,
    /// The CPU that boots, by device index.
    pub cpu: usize,
    /// How a kernel is started.
    pub protocol: &'static dyn Protocol,
    /// The largest part of the main memory that a kernel is told of as `memsize`, in bytes.
    pub low_memory: u64,
    /// Physical address of a 16550's registers, one byte apart, that the firmware's print calls write to.
    pub console: Option<u64>,
    /// What firmware leaves set up before a kernel starts: physical address and 32-bit word (byte lanes, lowest
    /// address first), written in this order.
    pub setup: Vec<(u64, u32)>,
}

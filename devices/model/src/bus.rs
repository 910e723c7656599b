//! Buses: the table of their kinds, and the cycles on them.

use serde::Serialize;

use crate::pci;
use crate::{BusError, Cx, Device, I2c, Ide, PortId};

/// What kind of bus a device sits on or offers. What that means stands in one table: [`BusKind::rules`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BusKind {
    /// The CPU's bus.
    System,
    /// Industry Standard Architecture.
    Isa,
    /// Peripheral Component Interconnect.
    Pci,
    /// Inter-Integrated Circuit, and SMBus.
    I2c,
    /// Integrated Drive Electronics: the cable of an ATA channel.
    Ide,
}

/// The address spaces a bus can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Space {
    /// Memory.
    Memory,
    /// Port I/O.
    Io,
}

/// What a kind of bus is: a row of the table that says it to the resolver and to the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BusRules {
    /// The kind in words: "an ISA bus".
    pub name: &'static str,
    /// How a board writes an address on it.
    pub addresses: Addresses,
    /// Such an address, as a message shows it.
    pub example: &'static str,
    /// Its memory space, if it has one.
    pub memory: Option<SpaceRules>,
    /// Its I/O space, if it has one.
    pub io: Option<SpaceRules>,
}

/// What a space of a bus is. How long an access takes is the port's: [`Port::wait_ns`](crate::Port::wait_ns).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpaceRules {
    /// The last address in it.
    pub last: u64,
    /// What an access does that nothing answers.
    pub open: Open,
}

/// What an access does that nothing answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// It fails.
    Error,
    /// A read gives all ones, and a write vanishes: nobody drives the lines, and nobody waits for an answer.
    Ones,
}

/// How a board writes addresses on a bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addresses {
    /// A number: where in the bus's spaces the device's regions lie. It fits the largest of them.
    Number,
    /// `slot.function`, hexadecimal: the device is selected by it.
    SlotAndFunction,
    /// A number of seven bits: the device is selected by it.
    SevenBits,
    /// 0 or 1: the device is selected by it.
    OneBit,
}

impl Addresses {
    /// Whether the address selects a device, so that two cannot have the same.
    pub const fn select(self) -> bool {
        !matches!(self, Self::Number)
    }
}

/// Bytes of I/O space on an ISA bus: 16 address lines.
pub const ISA_PORTS: u64 = 1 << 16;
/// Bytes of memory space on an ISA bus: 24 address lines.
pub const ISA_MEMORY: u64 = 1 << 24;

impl BusKind {
    /// All kinds.
    pub const ALL: [Self; 5] = [Self::System, Self::Isa, Self::Pci, Self::I2c, Self::Ide];

    /// The kind's row in the table.
    pub const fn rules(self) -> BusRules {
        const fn space(last: u64, open: Open) -> Option<SpaceRules> {
            Some(SpaceRules { last, open })
        }
        match self {
            // Ports are those of a CPU that has instructions for them (x86): 16 bits, and a host bridge that ends a cycle
            // nobody claims with all ones.
            Self::System => BusRules {
                name: "the system bus",
                addresses: Addresses::Number,
                example: "0x1f000000",
                memory: space(u64::MAX, Open::Error),
                io: space(u16::MAX as u64, Open::Ones),
            },
            Self::Isa => BusRules {
                name: "an ISA bus",
                addresses: Addresses::Number,
                example: "0x3f8",
                memory: space(ISA_MEMORY - 1, Open::Ones),
                io: space(ISA_PORTS - 1, Open::Ones),
            },
            Self::Pci => BusRules {
                name: "a PCI bus",
                addresses: Addresses::SlotAndFunction,
                example: "0a.3",
                memory: space(u32::MAX as u64, Open::Error),
                io: space(u32::MAX as u64, Open::Error),
            },
            Self::I2c => BusRules {
                name: "an I²C bus",
                addresses: Addresses::SevenBits,
                example: "0x50",
                memory: None,
                io: None,
            },
            Self::Ide => BusRules {
                name: "an IDE cable",
                addresses: Addresses::OneBit,
                example: "0 or 1",
                memory: None,
                io: None,
            },
        }
    }

    /// What a space of such a bus is; `None` if it has no such space.
    pub const fn space(self, space: Space) -> Option<SpaceRules> {
        match space {
            Space::Memory => self.rules().memory,
            Space::Io => self.rules().io,
        }
    }
}

/// Which of the buses that a device is at a cycle goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// The one that it sits on.
    Own,
    /// One that it offers.
    Port(PortId),
}

/// One cycle on a bus, as its master starts it. Its answer is what was read: of a write 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cycle {
    /// A read, or a write of a value, in one of the bus's spaces. Byte lanes as everywhere.
    Access {
        /// In which.
        space: Space,
        /// Where.
        at: u64,
        /// 1, 2, 4 or 8 bytes.
        size: u8,
        /// What is written; `None` is a read.
        write: Option<u64>,
    },
    /// The same in the configuration space of a PCI function. No answer is a master abort.
    Config {
        /// Slot × 8 + function.
        devfn: u8,
        /// A multiple of `size`.
        offset: u16,
        /// 1, 2 or 4 bytes.
        size: u8,
        /// What is written; `None` is a read.
        write: Option<u32>,
    },
    /// Asks the interrupt controllers for the vector of what interrupts: the first that takes part answers.
    Acknowledge,
    /// An event on an I²C bus. An answer is an acknowledge, with the byte that was read.
    I2c {
        /// The target, 7 bits.
        address: u8,
        /// What happens.
        event: I2c,
    },
    /// A transfer on an IDE cable. No answer is a device that is not there, or not selected.
    Ide {
        /// Device 0 or 1.
        device: u8,
        /// Which.
        transfer: Ide,
    },
}

impl Cycle {
    /// A read of `size` bytes.
    pub const fn read(space: Space, at: u64, size: u8) -> Self {
        let write = None;
        Self::Access {
            space,
            at,
            size,
            write,
        }
    }

    /// A write of the `size` low bytes of `value`.
    pub const fn write(space: Space, at: u64, size: u8, value: u64) -> Self {
        let write = Some(value);
        Self::Access {
            space,
            at,
            size,
            write,
        }
    }

    /// The address that selects the device, on a bus where one does.
    pub const fn select(self) -> Option<u8> {
        match self {
            Self::Config { devfn, .. } => Some(devfn),
            Self::I2c { address, .. } => Some(address),
            Self::Ide { device, .. } => Some(device),
            Self::Access { .. } | Self::Acknowledge => None,
        }
    }

    /// For the composer: what a device says to a cycle that comes to it as a whole. An access comes to a region instead:
    /// [`Device::access`].
    ///
    /// # Errors
    /// The device does not answer.
    pub fn answer(self, device: &mut dyn Device, cx: &mut Cx<'_>) -> Result<u64, BusError> {
        let answer =
            match self {
                Self::Access { .. } => None,
                Self::Acknowledge => device.interrupt_acknowledge(cx).map(u64::from),
                Self::I2c { event, .. } => device.i2c().and_then(|i| i.event(event)).map(u64::from),
                Self::Ide {
                    device: number,
                    transfer,
                } => device
                    .ide()
                    .and_then(|ide| ide.transfer(cx, number, transfer)),
                Self::Config {
                    offset,
                    size,
                    write,
                    ..
                } => u8::try_from(offset)
                    .ok()
                    .zip(device.pci())
                    .map(|(offset, function)| match write {
                        None => {
                            function.config_read(cx, offset, size);
                            function.config().get(offset, size).into()
                        }
                        Some(value) => {
                            pci::config_write(function, cx, offset, size, value);
                            0
                        }
                    }),
            };
        answer.ok_or(BusError)
    }
}

/// Bytes between guest memory and a bus master.
#[derive(Debug)]
pub enum Transfer<'a> {
    /// From memory into this.
    Read(&'a mut [u8]),
    /// Into memory from this.
    Write(&'a [u8]),
}

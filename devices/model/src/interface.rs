//! What a device of given properties offers and needs, said before any device exists.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{BusKind, Part, Parts, Space, acpi, tree};

macro_rules! index {
    ($(#[doc = $doc:literal] $name:ident($ty:ty);)*) => {$(
        #[doc = $doc]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        pub struct $name(pub $ty);

        impl $name {
            /// The one so many places behind it.
            #[must_use]
            pub const fn nth(self, n: $ty) -> Self {
                Self(self.0.saturating_add(n))
            }
        }
    )*};
}
index! {
    /// A pin: its place among the device's inputs, or among its outputs, all groups laid end to end.
    Pin(u16);
    /// A region: its place among those that a device of any properties can have.
    RegionId(u8);
    /// A port: its place in [`Interface::ports`].
    PortId(u8);
    /// A slot: its place in [`Interface::slots`].
    SlotId(u8);
    /// One of a device's timers; the numbers are the device's own.
    TimerId(u8);
}

/// What answers in a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RegionKind {
    /// [`Device::read`](crate::Device::read) and `write`. Wider accesses than `max_width` bytes are
    /// split, lowest address first; narrower ones arrive as they are.
    Registers {
        /// 1, 2, 4 or 8 bytes.
        max_width: u8,
    },
    /// Guest memory by pointer, as [`Device::memory`](crate::Device::memory) gives it; what that does
    /// not allow falls to `read` and `write`.
    Memory,
    /// A window onto a space of a bus that the device offers.
    Bridge {
        /// The device's port.
        port: PortId,
        /// Which space of that bus.
        space: Space,
    },
}

/// Who says where a region lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Placement {
    /// The board: the region lies this far from the address in `at`.
    Board(i64),
    /// The board, if it names the region as a `view` in `map`; otherwise it is nowhere.
    View,
    /// Always here, whatever `at` says (a bus address of the parent bus's space).
    Fixed(u64),
    /// The device itself, at run time ([`Cx::map`](crate::Cx::map)); nowhere until then.
    Device,
}

/// A range of addresses that a device answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Region {
    /// Its number.
    #[serde(skip)]
    pub id: RegionId,
    /// Name within the device.
    pub name: &'static str,
    /// Which space of the bus it sits on.
    pub space: Space,
    /// Length in bytes; a bridge may be mapped shorter.
    pub size: u64,
    /// What answers.
    pub kind: RegionKind,
    /// Who says where it lies.
    pub place: Placement,
    /// It yields to every region that is not in the background, and only it may be covered silently.
    pub background: bool,
}

impl Region {
    /// Registers, 32 bits wide at most, in the bus's memory space, placed by the board's `at`.
    pub fn registers(name: &'static str, size: u64) -> Self {
        let kind = RegionKind::Registers { max_width: 4 };
        Self {
            id: RegionId(0),
            name,
            space: Space::Memory,
            size,
            kind,
            place: Placement::Board(0),
            background: false,
        }
    }

    /// Registers one byte wide in I/O space, placed by the board's `at`.
    pub fn ports(name: &'static str, size: u64) -> Self {
        Self::registers(name, size).io().max_width(1)
    }

    /// Guest memory.
    pub fn memory(name: &'static str, size: u64) -> Self {
        Self {
            kind: RegionKind::Memory,
            ..Self::registers(name, size)
        }
    }

    /// A window onto a space of a bus that the device offers through `port`.
    pub fn bridge(name: &'static str, size: u64, port: PortId, space: Space) -> Self {
        Self {
            kind: RegionKind::Bridge { port, space },
            ..Self::registers(name, size)
        }
    }

    /// In I/O space.
    #[must_use]
    pub fn io(self) -> Self {
        Self {
            space: Space::Io,
            ..self
        }
    }

    /// With accesses of at most this many bytes.
    #[must_use]
    pub fn max_width(self, max_width: u8) -> Self {
        Self {
            kind: RegionKind::Registers { max_width },
            ..self
        }
    }

    /// Placed otherwise than at the board's `at`.
    #[must_use]
    pub fn placed(self, place: Placement) -> Self {
        Self { place, ..self }
    }

    /// Behind all else in its space.
    #[must_use]
    pub fn background(self) -> Self {
        Self {
            background: true,
            ..self
        }
    }
}

/// A bus that a device offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Port {
    /// Name: devices sit at `<device>.<name>:<address>`.
    pub name: &'static str,
    /// What kind of bus.
    pub kind: BusKind,
    /// Nanoseconds of guest time that one access to a register on this bus takes.
    pub wait_ns: u32,
}

impl Port {
    /// A bus whose accesses take no time of their own.
    pub fn new(name: &'static str, kind: BusKind) -> Self {
        Self {
            name,
            kind,
            wait_ns: 0,
        }
    }

    /// One access takes so many nanoseconds of guest time.
    #[must_use]
    pub fn wait(self, wait_ns: u32) -> Self {
        Self { wait_ns, ..self }
    }
}

/// A group of pins: `name` alone, or `name[0..count]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pins {
    /// Datasheet name.
    pub name: &'static str,
    /// How many; 1 is a single pin.
    pub count: u16,
    /// Many boards leave all of them open.
    pub optional: bool,
    /// The numbers of the group that are no pins: what has them is inside the device.
    pub inside: &'static [u16],
    /// What they are, if there are any: a phrase that says why nothing can be wired to them.
    pub why_inside: &'static str,
}

impl Pins {
    /// One pin.
    pub fn named(name: &'static str) -> Self {
        Self {
            name,
            count: 1,
            optional: false,
            inside: &[],
            why_inside: "",
        }
    }

    /// So many.
    #[must_use]
    pub fn count(self, count: u16) -> Self {
        Self { count, ..self }
    }

    /// Many boards leave all of them open.
    #[must_use]
    pub fn optional(self) -> Self {
        Self {
            optional: true,
            ..self
        }
    }

    /// Some numbers are no pins, so that the others keep theirs. A phrase says what they are.
    #[must_use]
    pub fn inside(self, inside: &'static [u16], why_inside: &'static str) -> Self {
        Self {
            inside,
            why_inside,
            ..self
        }
    }
}

/// The levels of a device's pins, however many it has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PinLevels(Vec<u64>);

impl PinLevels {
    /// All low.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets one.
    pub fn set(&mut self, pin: Pin, high: bool) {
        let (word, bit) = (usize::from(pin.0 / 64), pin.0 % 64);
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] = self.0[word] & !(1 << bit) | u64::from(high) << bit;
    }

    /// The level of one.
    pub fn get(&self, pin: Pin) -> bool {
        let word = self.0.get(usize::from(pin.0 / 64));
        word.is_some_and(|word| word >> (pin.0 % 64) & 1 != 0)
    }

    /// Those of `count` from one on, one bit each; 64 at most.
    pub fn run(&self, from: Pin, count: u16) -> u64 {
        let (first, bit) = (usize::from(from.0 / 64), u32::from(from.0 % 64));
        let word = |n: usize| self.0.get(n).copied().unwrap_or(0);
        let above = word(first + 1).checked_shl(64 - bit).unwrap_or(0);
        let all = word(first) >> bit | above;
        let mask = u64::MAX.checked_shr(64_u32.saturating_sub(count.into()));
        all & mask.unwrap_or(0)
    }
}

/// What host resource a slot takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SlotKind {
    /// A character stream in both directions: a console, a socket, a file.
    Chardev,
    /// The initial content of a memory, given at build time: [`Wires::image`](crate::Wires::image).
    Image,
    /// A network: Ethernet frames in both directions.
    Netdev,
    /// A disk, or what a drive has in it: [`Cx::submit`](crate::Cx::submit).
    Block,
    /// A folder of the host, for which there are jobs as for a disk.
    Folder,
}

/// A place where a host resource plugs into a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Slot {
    /// Name: a board binds it with `backend.<name>`.
    pub name: &'static str,
    /// What it takes.
    pub kind: SlotKind,
    /// The device only reads what is in it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// A board that plugs in nothing has not forgotten it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
}

impl Slot {
    /// A slot.
    pub const fn new(name: &'static str, kind: SlotKind) -> Self {
        Self {
            name,
            kind,
            read_only: false,
            optional: false,
        }
    }

    /// The device only reads what is in it.
    #[must_use]
    pub const fn read_only(self) -> Self {
        Self {
            read_only: true,
            ..self
        }
    }

    /// A board can leave it empty without a word.
    #[must_use]
    pub const fn optional(self) -> Self {
        Self {
            optional: true,
            ..self
        }
    }
}

/// An optional block of a device type, present or absent by a property.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartDecl {
    /// Name: the plan's node is `<device>.<name>`.
    pub name: &'static str,
    /// The properties that decide, each with the value at which it does not ask for the part.
    pub off: &'static [(&'static str, bool)],
    /// Whether these properties have it.
    pub present: bool,
    /// The cargo feature that brings its code, if it can be left out of a build.
    pub feature: Option<&'static str>,
    /// Whether this build of the program has the code for it.
    pub built: bool,
}

/// A property value that its type allows but the device does not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{property}: {reason}")]
pub struct PropError {
    /// The property, as a board writes it.
    pub property: &'static str,
    /// What is wrong and what would be right, a phrase.
    pub reason: String,
}

impl PropError {
    /// An error about one property.
    pub fn new(property: &'static str, reason: impl Into<String>) -> Self {
        Self {
            property,
            reason: reason.into(),
        }
    }
}

/// What is known of a CPU before it exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Cpu {
    /// The name of its architecture: [`Architecture::name`](crate::boot::Architecture::name).
    pub architecture: &'static str,
    /// How many bits its addresses of code and data have: 32 or 64.
    pub bits: u8,
    /// Whether words have their highest byte first.
    pub big_endian: bool,
}

/// Everything that connects a device of given properties to the rest of a board.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Interface {
    /// The kind of bus it sits on; `None` if it sits on none.
    pub bus: Option<BusKind>,
    /// It starts accesses and has no address of its own there.
    pub initiator: bool,
    /// What it is if it is a CPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Cpu>,
    /// How many bits the addresses have that it accesses; `None` if it starts no accesses.
    pub address_bits: Option<u8>,
    /// The regions it answers.
    pub regions: Vec<Region>,
    /// The buses it offers.
    pub ports: Vec<Port>,
    /// The pins that others drive.
    pub inputs: Vec<Pins>,
    /// The pins that it drives.
    pub outputs: Vec<Pins>,
    /// Where host resources plug in.
    pub slots: Vec<Slot>,
    /// The optional blocks, present or not.
    pub parts: Vec<PartDecl>,
    /// Property values of which the device can do a part only, and which.
    #[serde(skip)]
    pub limited: Vec<PropError>,
    /// What a device tree says of it, if that says anything.
    #[serde(skip)]
    pub tree: Option<tree::Node>,
    /// What ACPI's tables say of it, if they say anything.
    #[serde(skip)]
    pub acpi: Option<acpi::Node>,
}

impl Interface {
    /// A device that sits on a bus of this kind.
    pub fn on(bus: BusKind) -> Self {
        Self {
            bus: Some(bus),
            ..Self::default()
        }
    }

    /// It starts accesses on its bus, whose addresses have so many bits, and has no address there.
    #[must_use]
    pub fn initiator(mut self, address_bits: u8) -> Self {
        self.initiator = true;
        self.address_bits = Some(address_bits);
        self
    }

    /// It is a CPU, which starts accesses as an [`initiator`](Self::initiator) does.
    #[must_use]
    pub fn processor(self, cpu: Cpu, address_bits: u8) -> Self {
        Self {
            cpu: Some(cpu),
            ..self.initiator(address_bits)
        }
    }

    /// A device tree has a node for it.
    #[must_use]
    pub fn node(self, node: tree::Node) -> Self {
        Self {
            tree: Some(node),
            ..self
        }
    }

    /// ACPI's tables know it.
    #[must_use]
    pub fn acpi(self, node: acpi::Node) -> Self {
        Self {
            acpi: Some(node),
            ..self
        }
    }

    /// ACPI's tables know it as one device, with its regions and these interrupts.
    #[must_use]
    pub fn said(self, name: &'static str, hid: &'static str, outputs: &'static [Pin]) -> Self {
        let said = acpi::Said {
            name,
            hid,
            regions: true,
            outputs,
        };
        self.acpi(acpi::Node::Devices(vec![said]))
    }

    /// The region with this number, if these properties have it.
    pub fn region(&self, id: RegionId) -> Option<&Region> {
        self.regions.iter().find(|region| region.id == id)
    }

    /// For [`connections!`](crate::connections), which gives the number.
    #[doc(hidden)]
    #[must_use]
    pub fn with_region(mut self, id: RegionId, region: Option<Region>) -> Self {
        self.regions
            .extend(region.map(|region| Region { id, ..region }));
        self
    }

    /// For [`connections!`](crate::connections).
    #[doc(hidden)]
    #[must_use]
    pub fn with_port(mut self, port: Port) -> Self {
        self.ports.push(port);
        self
    }

    /// For [`connections!`](crate::connections).
    #[doc(hidden)]
    #[must_use]
    pub fn with_inputs(mut self, pins: Pins) -> Self {
        self.inputs.push(pins);
        self
    }

    /// For [`connections!`](crate::connections).
    #[doc(hidden)]
    #[must_use]
    pub fn with_outputs(mut self, pins: Pins) -> Self {
        self.outputs.push(pins);
        self
    }

    /// For [`connections!`](crate::connections).
    #[doc(hidden)]
    #[must_use]
    pub fn with_slots(mut self, slots: impl IntoIterator<Item = Slot>) -> Self {
        self.slots.extend(slots);
        self
    }

    /// Adds an optional block, with the properties that decide and the value at which each does not ask for it.
    #[must_use]
    pub fn part<T: Part>(mut self, off: &'static [(&'static str, bool)], present: bool) -> Self {
        self.parts.push(PartDecl {
            name: T::NAME,
            off,
            present,
            feature: T::FEATURE,
            built: T::BUILT,
        });
        self
    }

    /// The names of the optional blocks that are present.
    pub fn present(&self) -> Parts {
        let present = self.parts.iter().filter(|p| p.present);
        present.map(|p| p.name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_there_for_any_number_of_pins() {
        let mut levels = PinLevels::new();
        for pin in [0, 62, 63, 64, 70, 127, 128, 199] {
            levels.set(Pin(pin), true);
        }
        for (from, count, expected) in [
            (0, 1, 1),
            (0, 0, 0),
            (62, 4, 0b111),
            (64, 7, 0x41),
            (64, 6, 1),
            (127, 2, 0b11),
            (136, 64, 1 << 63),
            (199, 64, 1),
            (200, 64, 0),
            (u16::MAX, 64, 0),
        ] {
            assert_eq!(levels.run(Pin(from), count), expected, "{from} {count}");
        }
    }
}

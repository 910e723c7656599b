//! Where a CPU is to stop, for a debugger, and where it has.

/// An address, as a debugger means it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// As instructions have it, in whatever address space.
    Virtual(u64),
    /// On the bus of the CPU.
    Physical(u64),
}

impl Place {
    /// The number.
    pub fn address(self) -> u64 {
        match self {
            Self::Virtual(at) | Self::Physical(at) => at,
        }
    }
}

/// Which accesses a watch point is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Watching {
    /// Loads.
    Reads,
    /// Stores.
    Writes,
    /// Both.
    Accesses,
}

impl Watching {
    /// Whether it is for a load or store.
    pub fn meets(self, write: bool) -> bool {
        match self {
            Self::Reads => !write,
            Self::Writes => write,
            Self::Accesses => true,
        }
    }
}

/// A watch point: the CPU stops before an instruction that accesses any of these bytes. Instruction fetches, devices and other
/// CPUs' accesses are not meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Watch {
    /// The first byte.
    pub at: Place,
    /// Bytes.
    pub len: u64,
    /// Which accesses.
    pub on: Watching,
}

/// All that a CPU is to stop for. What it does in between does not depend on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stops {
    /// It stops before the instruction there, once each time that it comes there. One in a delay slot stops it only where it
    /// comes there by itself.
    pub breakpoints: Vec<Place>,
    /// See [`Watch`].
    pub watchpoints: Vec<Watch>,
}

impl Stops {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.breakpoints.is_empty() && self.watchpoints.is_empty()
    }
}

/// An access that a watch point has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watched {
    /// The watch point.
    pub watch: Watch,
    /// The virtual address that is about to be accessed.
    pub at: u64,
    /// It is a store.
    pub write: bool,
}

//! What ACPI's tables say of a device (Advanced Configuration and Power Interface Specification, 6.4).
//!
//! A model says what it is. Where it is, and which interrupts it raises, is in the plan.

use crate::{Pin, PortId};

/// What a device is to an operating system that knows a board by its tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// It is found by the tables alone. One device can be several to them.
    Devices(Vec<Said>),
    /// It leads from the system's bus to a PCI bus.
    PciHost(PortId),
    /// It leads to an ISA bus, and routes PCI's interrupts.
    Router(Router),
    /// Its inputs are a PC's interrupts, each with the number that it has there; it is found as well.
    Interrupts(Said),
    /// The fixed hardware is in it.
    Power(Power),
}

/// A device that is found by the tables alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Said {
    /// What it is called: three capital letters, behind which comes a number.
    pub name: &'static str,
    /// What it is: an EISA ID, or of ACPI's own.
    pub hid: &'static str,
    /// Its regions are among its resources.
    pub regions: bool,
    /// Its interrupts.
    pub outputs: &'static [Pin],
}

/// A bridge that routes PCI's interrupts: a register in its configuration space for each of its inputs, from one on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Router {
    /// The bus that it leads to.
    pub port: PortId,
    /// The first input.
    pub input: Pin,
    /// The first register: bit 7 disables, bits 3 to 0 are the interrupt.
    pub register: u8,
    /// How many there are.
    pub count: u8,
    /// The interrupts that can be chosen, a bit each.
    pub choices: u16,
    /// The port that resets, and what is written there.
    pub reset: (u16, u8),
}

/// Fixed hardware, as it is once firmware has run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Power {
    /// The ports of the event and control registers and of the timer.
    pub events: u16,
    pub control: u16,
    pub timer: u16,
    /// Those of the general-purpose events, and how many there are.
    pub gpe0: u16,
    pub gpe0_size: u8,
    /// The port of commands to firmware, and those that hand power management to the operating system, and take it back.
    pub command: u16,
    pub enable: u8,
    pub disable: u8,
    /// Its interrupt.
    pub sci: Pin,
    /// The sleep types that cut the power: with the state gone, and with the state on a disk, if that is not refused.
    pub off: u8,
    pub hibernate: Option<u8>,
}

//! Virtio devices (Virtual I/O Device, version 1.2, OASIS Committee Specification 01), and how drivers reach them.

#![forbid(unsafe_code)]

mod blk;
mod device;
mod mmio;
mod net;
mod pci;
mod queue;

pub use blk::{Blk, BlkProps};
pub use device::Virtio;
pub use mmio::{Mmio, VirtioMmio, VirtioMmioProps};
pub use net::{VirtioNet, VirtioNetProps};
pub use pci::Pci;

/// Block device behind an MMIO transport.
pub type VirtioBlkDevice = Virtio<Mmio, Blk>;
/// Block device on a PCI bus.
pub type VirtioBlkPci = Virtio<Pci, Blk>;
/// Network device behind an MMIO transport.
pub type VirtioNetDevice = Virtio<Mmio, VirtioNet>;
/// Network device on a PCI bus.
pub type VirtioNetPci = Virtio<Pci, VirtioNet>;

#[cfg(test)]
mod testing;

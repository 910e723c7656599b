//! Virtio devices (Virtual I/O Device, version 1.2, OASIS Committee Specification 01), and how drivers reach them.

#![forbid(unsafe_code)]

mod blk;
mod console;
mod device;
mod mmio;
mod net;
mod p9;
mod pci;
mod queue;
mod rng;

pub use blk::{Blk, BlkProps};
pub use console::{Console, ConsoleProps};
pub use device::Virtio;
pub use mmio::{Mmio, VirtioMmio, VirtioMmioProps};
pub use net::{VirtioNet, VirtioNetProps};
pub use p9::{P9, P9Props};
pub use pci::Pci;
pub use rng::{Rng, RngProps};

/// Block device behind an MMIO transport.
pub type VirtioBlkDevice = Virtio<Mmio, Blk>;
/// Block device on a PCI bus.
pub type VirtioBlkPci = Virtio<Pci, Blk>;
/// Network device behind an MMIO transport.
pub type VirtioNetDevice = Virtio<Mmio, VirtioNet>;
/// Network device on a PCI bus.
pub type VirtioNetPci = Virtio<Pci, VirtioNet>;
/// 9P device behind an MMIO transport.
pub type Virtio9pDevice = Virtio<Mmio, P9>;
/// 9P device on a PCI bus.
pub type Virtio9pPci = Virtio<Pci, P9>;
/// Entropy device behind an MMIO transport.
pub type VirtioRngDevice = Virtio<Mmio, Rng>;
/// Entropy device on a PCI bus.
pub type VirtioRngPci = Virtio<Pci, Rng>;
/// Console behind an MMIO transport.
pub type VirtioSerialDevice = Virtio<Mmio, Console>;
/// Console on a PCI bus.
pub type VirtioSerialPci = Virtio<Pci, Console>;

#[cfg(test)]
mod testing;

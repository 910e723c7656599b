//! Entropy device (Virtio 1.2, section 5.4): it hands on what a source of random characters gives.

use solderless_model::{Cx, Slot, SlotId, SlotKind, State, StateError};

use crate::device::{Function, Io, Names, properties};
use crate::queue::{Chain, length};

properties! {
    /// Properties of `virtio-rng-device` and `virtio-rng-pci`.
    RngProps;
}

/// Places of its queue, as QEMU's has.
const SIZE: u16 = 8;
/// Characters that it takes at once at most.
const MOST: u64 = 64;

/// The device.
#[derive(Debug, State)]
pub struct Rng {
    /// The buffer that is filled next.
    wanted: Option<Chain>,
}

impl Function for Rng {
    type Props = RngProps;
    const NAMES: Names = Names {
        mmio: "virtio-rng-device",
        mmio_summary: "Virtio entropy device behind an MMIO transport (Virtio 1.2)",
        pci: "virtio-rng-pci",
        pci_summary: "Virtio entropy device on PCI (Virtio 1.2)",
    };
    const ID: u16 = 4;
    const PCI_CLASS: u32 = 0x00_ff00;
    const CONFIG_LEN: u32 = 0;
    const SLOTS: &'static [Slot] = &[Slot::new("rng", SlotKind::Chardev)];

    fn queues(_: &RngProps) -> Vec<u16> {
        vec![SIZE]
    }

    fn new(_: &RngProps) -> Self {
        Self { wanted: None }
    }

    fn features(&self, _: &Cx<'_>) -> u64 {
        0
    }

    fn config(&self, _: &Cx<'_>, _: u64) -> Vec<u8> {
        Vec::new()
    }

    fn reset(&mut self, _: &mut Cx<'_>) {
        self.wanted = None;
    }

    fn notified(&mut self, io: &mut Io<'_, '_>, queue: usize) {
        // One for nothing is given back at once.
        while self.wanted.is_none()
            && let Some(chain) = io.take(queue)
        {
            match length(&chain.writable) {
                0 => io.give(queue, &chain, 0),
                _ => self.wanted = Some(chain),
            }
        }
    }

    fn queue_reset(&mut self, _: usize) {
        self.wanted = None;
    }

    fn restored(&mut self, _: &mut Cx<'_>, _: usize) -> Result<(), StateError> {
        match self.wanted.as_ref().is_none_or(Chain::is_sane) {
            true => Ok(()),
            false => Err(StateError::new("a buffer that nobody can have offered")),
        }
    }

    fn takes_characters(&self, _: SlotId) -> usize {
        let wanted = self.wanted.as_ref();
        wanted.map_or(0, |chain| length(&chain.writable).min(MOST) as usize)
    }

    fn characters(&mut self, io: &mut Io<'_, '_>, slot: SlotId, bytes: &[u8]) {
        let room = self.takes_characters(slot).min(bytes.len());
        if room > 0
            && let Some(chain) = self.wanted.take()
            && io.write(&chain, 0, &bytes[..room])
        {
            io.give(0, &chain, room as u32);
            self.notified(io, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use solderless_model::memory::Ram;
    use solderless_model::testing::exercise;

    use super::*;
    use crate::testing::{BUFFER, Device, get, lies, offered, set_up};

    fn device() -> Device<Rng> {
        Device::new(RngProps::default())
    }

    #[test]
    fn what_the_source_gives_is_in_the_buffer() {
        let mut b = device();
        let features = offered(&mut b);
        let queue = &mut set_up(&mut b, features, 8)[0];
        let ram: Ram = b.around.ram.clone().unwrap();
        assert_eq!(b.dev.function.takes_characters(SlotId(0)), 0);
        queue.offer(&ram, &[(BUFFER, 16, true)]);
        queue.offer(&ram, &[(BUFFER + 16, 100, true)]);
        queue.notify(&mut b);
        assert_eq!(b.dev.function.takes_characters(SlotId(0)), 16);
        let mut give = |bytes: &[u8]| {
            b.with(|d, cx| {
                use solderless_model::CharFrontend as _;
                d.receive(cx, SlotId(0), bytes);
            });
        };
        give(b"chance");
        give(&[7; 64]);
        assert_eq!(queue.given(&ram, 1), Some((0, 6)));
        assert_eq!(queue.given(&ram, 1), Some((1, 64)));
        let mut got = [0; 6];
        ram.read(BUFFER, &mut got).unwrap();
        assert_eq!(&got, b"chance");
        assert_eq!(get(&mut b, 0x60), 1);
    }

    #[test]
    fn random_accesses_saved_state_and_rings_that_lie() {
        exercise(device);
        lies(device);
    }
}

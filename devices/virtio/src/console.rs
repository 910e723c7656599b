//! Console device (Virtio 1.2, section 5.3): one port, which is a console. Left out: several ports and their control queue.

use solderless_model::{Cx, Slot, SlotId, SlotKind, State, StateError, TimerId};

use crate::device::{Function, Io, Names, properties};
use crate::queue::{Chain, length};

properties! {
    /// Properties of `virtio-serial-device` and `virtio-serial-pci`.
    ConsoleProps;
    /// Offers to write a character without a queue, for when all is lost.
    #[serde(rename = "emergency-write")]
    emergency_write: bool = true,
}

/// Feature: a character can be written to the configuration.
const EMERG_WRITE: u64 = 1 << 2;
/// Offset of it there.
const EMERG_WR: usize = 8;
const RX: usize = 0;
const TX: usize = 1;
/// Places of each queue, as QEMU's have.
const SIZE: u16 = 128;
/// Characters that are sent at once, and when the next are, in nanoseconds: the host's side has its turn between.
const BURST: usize = 1024;
const PAUSE: u64 = 10_000;

const CHR: SlotId = SlotId(0);

/// The console.
#[derive(Debug, State)]
pub struct Console {
    #[state(skip = "properties")]
    props: ConsoleProps,
    /// The buffer for what comes.
    wanted: Option<Chain>,
    /// What is being sent, and how much of it has been.
    sending: Option<Chain>,
    sent: u32,
    /// When more is sent.
    sends_at: Option<u64>,
}

impl Function for Console {
    type Props = ConsoleProps;
    const NAMES: Names = Names {
        mmio: "virtio-serial-device",
        mmio_summary: "Virtio console behind an MMIO transport (Virtio 1.2)",
        pci: "virtio-serial-pci",
        pci_summary: "Virtio console on PCI (Virtio 1.2)",
    };
    const ID: u16 = 3;
    const PCI_CLASS: u32 = 0x07_8000;
    const CONFIG_LEN: u32 = 12;
    const SLOTS: &'static [Slot] = &[Slot::new("chr", SlotKind::Chardev)];

    fn queues(_: &ConsoleProps) -> Vec<u16> {
        vec![SIZE; 2]
    }

    fn new(props: &ConsoleProps) -> Self {
        Self {
            props: props.clone(),
            wanted: None,
            sending: None,
            sent: 0,
            sends_at: None,
        }
    }

    fn features(&self, _: &Cx<'_>) -> u64 {
        if self.props.emergency_write {
            EMERG_WRITE
        } else {
            0
        }
    }

    fn config(&self, _: &Cx<'_>, _: u64) -> Vec<u8> {
        let mut config = vec![0; 12];
        config[4] = 1; // max_nr_ports
        config
    }

    fn config_written(&mut self, io: &mut Io<'_, '_>, offset: usize, value: u8) {
        if offset == EMERG_WR && self.props.emergency_write {
            io.cx.send(CHR, &[value]);
        }
    }

    fn reset(&mut self, cx: &mut Cx<'_>) {
        (self.wanted, self.sending, self.sent) = (None, None, 0);
        self.sends_at = None;
        cx.disarm(TimerId(0));
    }

    fn started(&mut self, io: &mut Io<'_, '_>) {
        self.prepare(io);
    }

    fn notified(&mut self, io: &mut Io<'_, '_>, queue: usize) {
        match queue {
            RX => self.prepare(io),
            TX if self.sends_at.is_none() => self.transmit(io),
            _ => {}
        }
    }

    fn queue_reset(&mut self, queue: usize) {
        match queue {
            RX => self.wanted = None,
            _ => (self.sending, self.sent) = (None, 0),
        }
    }

    fn restored(&mut self, cx: &mut Cx<'_>, _: usize) -> Result<(), StateError> {
        let mut chains = self.wanted.iter().chain(&self.sending);
        if !chains.all(Chain::is_sane) {
            return Err(StateError::new("a buffer that nobody can have offered"));
        }
        if let Some(at) = self.sends_at {
            cx.arm(TimerId(0), at);
        }
        Ok(())
    }

    fn takes_characters(&self, _: SlotId) -> usize {
        let wanted = self.wanted.as_ref();
        wanted.map_or(0, |chain| {
            length(&chain.writable).min(BURST as u64) as usize
        })
    }

    fn characters(&mut self, io: &mut Io<'_, '_>, slot: SlotId, bytes: &[u8]) {
        let room = self.takes_characters(slot).min(bytes.len());
        if room > 0
            && let Some(chain) = self.wanted.take()
            && io.write(&chain, 0, &bytes[..room])
        {
            io.give(RX, &chain, room as u32);
            self.prepare(io);
        }
    }

    fn timer(&mut self, io: &mut Io<'_, '_>) {
        self.sends_at = None;
        self.transmit(io);
    }
}

impl Console {
    /// Takes a buffer for what comes.
    fn prepare(&mut self, io: &mut Io<'_, '_>) {
        while self.wanted.is_none()
            && let Some(chain) = io.take(RX)
        {
            match length(&chain.writable) {
                0 => io.give(RX, &chain, 0),
                _ => self.wanted = Some(chain),
            }
        }
    }

    /// Sends what the driver has put into its queue, some of it now and the rest later.
    fn transmit(&mut self, io: &mut Io<'_, '_>) {
        let mut left = BURST;
        while let Some(chain) = self.sending.take().or_else(|| io.take(TX)) {
            let rest = length(&chain.readable).saturating_sub(self.sent.into());
            let mut piece = vec![0; rest.min(left as u64) as usize];
            if !io.read(&chain, self.sent.into(), &mut piece) {
                return;
            }
            io.cx.send(CHR, &piece);
            // One for nothing takes its turn too.
            left -= piece.len().max(1);
            if piece.len() as u64 == rest {
                self.sent = 0;
                io.give(TX, &chain, 0);
            } else {
                self.sent += piece.len() as u32;
                self.sending = Some(chain);
            }
            if left == 0 {
                let at = io.cx.now().saturating_add(PAUSE);
                self.sends_at = Some(at);
                return io.cx.arm(TimerId(0), at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use solderless_model::memory::Ram;
    use solderless_model::testing::exercise;

    use super::*;
    use crate::testing::{BUFFER, Device, lies, offered, put, set_up};

    fn device() -> Device<Console> {
        Device::new(ConsoleProps::default())
    }

    #[test]
    fn characters_go_both_ways() {
        let mut b = device();
        let features = offered(&mut b);
        let mut queues = set_up(&mut b, features, 8);
        let ram: Ram = b.around.ram.clone().unwrap();
        queues[RX].offer(&ram, &[(BUFFER, 4, true)]);
        queues[RX].notify(&mut b);
        assert_eq!(b.dev.function.takes_characters(CHR), 4);
        b.with(|d, cx| {
            use solderless_model::CharFrontend as _;
            d.receive(cx, CHR, b"abc");
        });
        assert_eq!(queues[RX].given(&ram, 1), Some((0, 3)));
        assert_eq!(b.dev.function.takes_characters(CHR), 0);
        // More than goes out at once.
        let text: Vec<u8> = (0..3000).map(|n| n as u8).collect();
        ram.write(BUFFER, &text).unwrap();
        queues[TX].offer(&ram, &[(BUFFER, 3000, false)]);
        queues[TX].notify(&mut b);
        assert_eq!(b.around.sent[&CHR].len(), BURST);
        assert_eq!(queues[TX].given(&ram, 1), None);
        b.advance(3 * PAUSE);
        assert_eq!(b.around.sent[&CHR], text);
        assert_eq!(queues[TX].given(&ram, 1), Some((0, 0)));
        put(&mut b, 0x100 + EMERG_WR as u64, b'!'.into());
        assert_eq!(b.around.sent[&CHR].last(), Some(&b'!'));
    }

    #[test]
    fn random_accesses_saved_state_and_rings_that_lie() {
        exercise(device);
        lies(device);
    }
}

//! Network device (Virtio 1.2, section 5.1): an Ethernet controller whose link is always up. It completes checksums and cuts TCP into
//! segments for its driver, and takes frames into several buffers. Left out: several pairs of queues, and what would come in with its
//! checksum unfinished or uncut.

use std::collections::VecDeque;

use solderless_model::{Cx, PropError, Slot, SlotId, SlotKind, State, StateError, TimerId};
use solderless_net::Mac;
use solderless_net::offload::{LONGEST_OFFLOADED, checksum, network_header, segment};

use crate::device::{Function, Io, Names, VERSION_1, properties};
use crate::queue::{Chain, length};

properties! {
    /// Properties of `virtio-net-device` and `virtio-net-pci`.
    VirtioNetProps;
    /// The station's address.
    mac: Mac = Mac::default(),
    /// Offers to complete checksums of what is sent.
    csum: bool = true,
    /// Offers to cut TCP over IPv4 into segments.
    #[serde(rename = "host_tso4")]
    host_tso4: bool = true,
    /// Offers to cut TCP over IPv6 into segments.
    #[serde(rename = "host_tso6")]
    host_tso6: bool = true,
    /// Offers to spread a frame over several buffers.
    #[serde(rename = "mrg_rxbuf")]
    mrg_rxbuf: bool = true,
    /// Has a queue for commands: which frames are received.
    #[serde(rename = "ctrl_vq")]
    ctrl_vq: bool = true,
    /// The most places of the virtqueue for what is received, a power of two.
    #[serde(rename = "rx_queue_size")]
    #[schemars(range(min = 256, max = 1024))]
    rx_queue_size: u16 = 256,
    /// The most places of the virtqueue for what is sent, a power of two.
    #[serde(rename = "tx_queue_size")]
    #[schemars(range(min = 256, max = 1024))]
    tx_queue_size: u16 = 256,
}

// Feature bits (5.1.3).
const CSUM: u64 = 1 << 0;
const MAC: u64 = 1 << 5;
const HOST_TSO4: u64 = 1 << 11;
const HOST_TSO6: u64 = 1 << 12;
const MRG_RXBUF: u64 = 1 << 15;
const STATUS: u64 = 1 << 16;
const CTRL_VQ: u64 = 1 << 17;
const CTRL_RX: u64 = 1 << 18;
const CTRL_VLAN: u64 = 1 << 19;
const CTRL_RX_EXTRA: u64 = 1 << 20;
const CTRL_MAC_ADDR: u64 = 1 << 23;

const RX: usize = 0;
const TX: usize = 1;
const CTRL: usize = 2;
/// Places of the queue for commands, as QEMU's has.
const CTRL_SIZE: u16 = 64;

/// Bytes of the header before each frame (5.1.6), and where in it is the number of buffers, which a legacy header need not have.
const HEADER: usize = 12;
const NUM_BUFFERS: usize = 10;
const NEEDS_CSUM: u8 = 1;
const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
const GSO_ECN: u8 = 0x80;

/// The longest frame that is received, with a VLAN's tag.
const LONGEST: usize = 1518;
/// Buffers for what is received that are taken in advance, at most.
const HELD: usize = 64;
/// Frames that are sent at once, and when the next are, in nanoseconds: the host's side has its turn between.
const BURST: usize = 64;
const PAUSE: u64 = 10_000;

// Commands (5.1.6.5): class and command.
const RX_PROMISC: (u8, u8) = (0, 0);
const RX_LAST: u8 = 5;
const MAC_TABLE_SET: (u8, u8) = (1, 0);
const MAC_ADDR_SET: (u8, u8) = (1, 1);
const VLAN_ADD: (u8, u8) = (2, 0);
const VLAN_DEL: (u8, u8) = (2, 1);
const OK: u8 = 0;
const ERR: u8 = 1;
/// Addresses that a table holds; with more, all pass.
const TABLE: usize = 64;

const NETDEV: SlotId = SlotId(0);

/// Which frames are received.
#[derive(Debug, Clone, State)]
struct Filter {
    mac: [u8; 6],
    /// Promiscuous, all multicast, all unicast, no multicast, no unicast, no broadcast: as the commands number them.
    modes: [bool; 6],
    /// Addresses of single stations and of groups; `None` is all.
    unicast: Option<Vec<[u8; 6]>>,
    multicast: Option<Vec<[u8; 6]>>,
    vlans: [u64; 64],
}

impl Filter {
    fn new(mac: [u8; 6]) -> Self {
        Self {
            mac,
            modes: [true, false, false, false, false, false],
            unicast: Some(Vec::new()),
            multicast: Some(Vec::new()),
            vlans: [0; 64],
        }
    }

    fn passes(&self, frame: &[u8], by_vlan: bool) -> bool {
        let [
            promiscuous,
            all_multicast,
            all_unicast,
            no_multicast,
            no_unicast,
            no_broadcast,
        ] = self.modes;
        if promiscuous {
            return true;
        }
        let Some(to) = frame.first_chunk::<6>().filter(|_| frame.len() >= 16) else {
            return false;
        };
        if by_vlan && network_header(frame) == 18 {
            let id = usize::from(u16::from_be_bytes([frame[14], frame[15]]) & 0xfff);
            if self.vlans[id / 64] >> (id % 64) & 1 == 0 {
                return false;
            }
        }
        let among =
            |table: &Option<Vec<[u8; 6]>>| table.as_ref().is_none_or(|table| table.contains(to));
        if *to == [0xff; 6] {
            !no_broadcast
        } else if to[0] & 1 != 0 {
            !no_multicast && (all_multicast || among(&self.multicast))
        } else {
            !no_unicast && (all_unicast || *to == self.mac || among(&self.unicast))
        }
    }
}

/// The controller.
#[derive(Debug, State)]
pub struct VirtioNet {
    #[state(skip = "properties")]
    props: VirtioNetProps,
    filter: Filter,
    /// The driver's features, as far as they say how frames are received.
    merges: bool,
    by_vlan: bool,
    /// Bytes of a header.
    header: u32,
    /// Buffers for what is received.
    held: VecDeque<Chain>,
    /// When more is sent.
    sends_at: Option<u64>,
}

impl Function for VirtioNet {
    type Props = VirtioNetProps;
    const NAMES: Names = Names {
        mmio: "virtio-net-device",
        mmio_summary: "Virtio network device behind an MMIO transport (Virtio 1.2)",
        pci: "virtio-net-pci",
        pci_summary: "Virtio network device on PCI (Virtio 1.2)",
    };
    const ID: u16 = 1;
    const PCI_CLASS: u32 = 0x02_0000;
    const CONFIG_LEN: u32 = 12;
    const SLOTS: &'static [Slot] = &[Slot::new("netdev", SlotKind::Netdev)];

    fn check(props: &VirtioNetProps) -> Result<(), PropError> {
        for (property, value) in [
            ("rx_queue_size", props.rx_queue_size),
            ("tx_queue_size", props.tx_queue_size),
        ] {
            if !value.is_power_of_two() {
                return Err(PropError::new(
                    property,
                    format!("{value} is no power of two"),
                ));
            }
        }
        Ok(())
    }

    fn queues(props: &VirtioNetProps) -> Vec<u16> {
        let mut queues = vec![props.rx_queue_size, props.tx_queue_size];
        queues.extend(props.ctrl_vq.then_some(CTRL_SIZE));
        queues
    }

    fn new(props: &VirtioNetProps) -> Self {
        Self {
            props: props.clone(),
            filter: Filter::new(props.mac.0),
            merges: false,
            by_vlan: false,
            header: HEADER as u32,
            held: VecDeque::new(),
            sends_at: None,
        }
    }

    fn features(&self, _: &Cx<'_>) -> u64 {
        let props = &self.props;
        let commands = CTRL_VQ | CTRL_RX | CTRL_VLAN | CTRL_RX_EXTRA | CTRL_MAC_ADDR;
        [
            (MAC | STATUS, true),
            (CSUM, props.csum),
            (HOST_TSO4, props.csum && props.host_tso4),
            (HOST_TSO6, props.csum && props.host_tso6),
            (MRG_RXBUF, props.mrg_rxbuf),
            (commands, props.ctrl_vq),
        ]
        .into_iter()
        .fold(
            0,
            |all, (bits, offered)| if offered { all | bits } else { all },
        )
    }

    fn config(&self, _: &Cx<'_>, _: u64) -> Vec<u8> {
        let mut config = self.filter.mac.to_vec();
        config.extend(1u16.to_le_bytes()); // status: the link is up
        config.extend(1u16.to_le_bytes()); // max_virtqueue_pairs
        config.extend(1500u16.to_le_bytes()); // mtu
        config
    }

    /// A legacy driver sets its address so.
    fn config_written(&mut self, io: &mut Io<'_, '_>, offset: usize, value: u8) {
        if let Some(byte) = self.filter.mac.get_mut(offset)
            && io.features() & (VERSION_1 | CTRL_MAC_ADDR) == 0
        {
            *byte = value;
        }
    }

    fn reset(&mut self, cx: &mut Cx<'_>) {
        self.filter = Filter::new(self.props.mac.0);
        (self.merges, self.by_vlan) = (false, false);
        self.held.clear();
        self.sends_at = None;
        cx.disarm(TimerId(0));
    }

    fn negotiated(&mut self, features: u64) {
        self.merges = features & MRG_RXBUF != 0;
        self.by_vlan = features & CTRL_VLAN != 0;
        let long = features & (VERSION_1 | MRG_RXBUF) != 0;
        self.header = if long {
            HEADER as u32
        } else {
            NUM_BUFFERS as u32
        };
    }

    fn started(&mut self, io: &mut Io<'_, '_>) {
        self.prepare(io);
    }

    fn notified(&mut self, io: &mut Io<'_, '_>, queue: usize) {
        match queue {
            RX => self.prepare(io),
            TX if self.sends_at.is_none() => self.transmit(io),
            CTRL => {
                while let Some(chain) = io.take(CTRL) {
                    let ack = self.command(io, &chain);
                    if io.write(&chain, 0, &[ack]) {
                        io.give(CTRL, &chain, 1);
                    }
                }
            }
            _ => {}
        }
    }

    fn queue_reset(&mut self, queue: usize) {
        if queue == RX {
            self.held.clear();
        }
    }

    fn restored(&mut self, cx: &mut Cx<'_>, _: usize) -> Result<(), StateError> {
        let tables = [&self.filter.unicast, &self.filter.multicast];
        let small = tables
            .iter()
            .all(|table| table.as_ref().is_none_or(|table| table.len() <= TABLE));
        let header = self.header as usize;
        let sane = [HEADER, NUM_BUFFERS].contains(&header)
            && self.held.len() <= HELD
            && self.held.iter().all(Chain::is_sane);
        if !small || !sane {
            return Err(StateError::new(
                "more addresses or buffers than there can be",
            ));
        }
        if let Some(at) = self.sends_at {
            cx.arm(TimerId(0), at);
        }
        Ok(())
    }

    fn takes_frame(&self) -> bool {
        match self.merges {
            true => self.held.len() == HELD || self.room() >= (LONGEST + HEADER) as u64,
            false => !self.held.is_empty(),
        }
    }

    fn frame(&mut self, io: &mut Io<'_, '_>, frame: &[u8]) {
        if io.is_live(RX) && frame.len() <= LONGEST && self.filter.passes(frame, self.by_vlan) {
            self.receive(io, frame);
            self.prepare(io);
        }
    }

    fn timer(&mut self, io: &mut Io<'_, '_>) {
        self.sends_at = None;
        self.transmit(io);
    }
}

impl VirtioNet {
    /// Room in the buffers for what is received.
    fn room(&self) -> u64 {
        self.held.iter().map(|chain| length(&chain.writable)).sum()
    }

    /// Takes as many buffers as the longest frame needs.
    fn prepare(&mut self, io: &mut Io<'_, '_>) {
        while !self.takes_frame()
            && let Some(chain) = io.take(RX)
        {
            self.held.push_back(chain);
        }
    }

    /// Puts a frame into the driver's buffers. One for which there are too few is lost.
    fn receive(&mut self, io: &mut Io<'_, '_>, frame: &[u8]) {
        let header = self.header as usize;
        let total = (header + frame.len()) as u64;
        let mut room = 0;
        let wanted = self.held.iter().position(|chain| {
            room += length(&chain.writable);
            room >= total
        });
        let used = match wanted {
            Some(last) if last == 0 || self.merges => last + 1,
            // A buffer too short for the frame is not used up.
            _ => return,
        };
        let mut bytes = vec![0; header];
        if header == HEADER {
            bytes[NUM_BUFFERS..].copy_from_slice(&(used as u16).to_le_bytes());
        }
        bytes.extend(frame);
        let mut rest = &bytes[..];
        for chain in self.held.drain(..used) {
            let here = rest.len().min(length(&chain.writable) as usize);
            let (now, later) = rest.split_at(here);
            if !io.write(&chain, 0, now) {
                return;
            }
            io.give(RX, &chain, here as u32);
            rest = later;
        }
    }

    /// Sends what the driver has put into its queue, some of it now and the rest later.
    fn transmit(&mut self, io: &mut Io<'_, '_>) {
        let mut sent = 0;
        while sent < BURST {
            let Some(chain) = io.take(TX) else {
                return;
            };
            let Some(frames) = self.send(io, &chain) else {
                return;
            };
            sent += frames.max(1);
            io.give(TX, &chain, 0);
        }
        let at = io.cx.now().saturating_add(PAUSE);
        self.sends_at = Some(at);
        io.cx.arm(TimerId(0), at);
    }

    /// Sends what is in a chain: how many frames that were. What cannot be sent is lost.
    fn send(&self, io: &mut Io<'_, '_>, chain: &Chain) -> Option<usize> {
        let size = self.header as usize;
        let total = length(&chain.readable);
        let Some(len) = total.checked_sub(size as u64) else {
            io.refuse("a frame without its header");
            return None;
        };
        if len < 14 || len > LONGEST_OFFLOADED as u64 {
            return Some(0);
        }
        let mut bytes = vec![0; total as usize];
        if !io.read(chain, 0, &mut bytes) {
            return None;
        }
        let (header, frame) = bytes.split_at_mut(size);
        let word = |at: usize| usize::from(u16::from_le_bytes([header[at], header[at + 1]]));
        let (flags, kind, mss) = (header[0], header[1] & !GSO_ECN, word(4));
        let (start, offset) = (word(6), word(8));
        if kind == GSO_NONE {
            let end = frame.len();
            let whole = flags & NEEDS_CSUM == 0 || checksum(frame, start, end, start + offset);
            if !whole || end > LONGEST {
                return Some(0);
            }
            io.cx.send(NETDEV, frame);
            return Some(1);
        }
        let mut frames = 0;
        if kind == GSO_TCPV4 || kind == GSO_TCPV6 {
            let ip = network_header(frame);
            segment(frame, ip, start, mss, |piece| {
                frames += 1;
                io.cx.send(NETDEV, piece);
            });
        }
        Some(frames)
    }

    /// Does what a command asks for.
    fn command(&mut self, io: &mut Io<'_, '_>, chain: &Chain) -> u8 {
        let len = length(&chain.readable).min(4096) as usize;
        let mut bytes = vec![0; len];
        if !io.read(chain, 0, &mut bytes) {
            return ERR;
        }
        let [class, command, data @ ..] = &bytes[..] else {
            return ERR;
        };
        let number = || {
            data.first_chunk::<2>()
                .map(|two| usize::from(u16::from_le_bytes(*two)))
        };
        match (*class, *command) {
            (class, command) if class == RX_PROMISC.0 && command <= RX_LAST => match data {
                [on, ..] => self.filter.modes[usize::from(command)] = *on != 0,
                [] => return ERR,
            },
            MAC_ADDR_SET => match data.first_chunk::<6>() {
                Some(mac) => self.filter.mac = *mac,
                None => return ERR,
            },
            MAC_TABLE_SET => {
                let table = |data: &[u8]| {
                    let (count, rest) = data.split_first_chunk::<4>()?;
                    let bytes = (u32::from_le_bytes(*count) as usize).checked_mul(6)?;
                    let (table, rest) = rest.split_at_checked(bytes)?;
                    let (table, _) = table.as_chunks::<6>();
                    let table = (table.len() <= TABLE).then(|| table.to_vec());
                    Some((table, rest.len()))
                };
                let Some((unicast, left)) = table(data) else {
                    return ERR;
                };
                let Some((multicast, _)) = table(&data[data.len() - left..]) else {
                    return ERR;
                };
                (self.filter.unicast, self.filter.multicast) = (unicast, multicast);
            }
            VLAN_ADD | VLAN_DEL => match number() {
                Some(id @ 0..4096) => {
                    let bit = 1 << (id % 64);
                    let word = &mut self.filter.vlans[id / 64];
                    *word = *word & !bit | if *command == VLAN_ADD.1 { bit } else { 0 };
                }
                _ => return ERR,
            },
            _ => return ERR,
        }
        OK
    }
}

#[cfg(test)]
mod tests;

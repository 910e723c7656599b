//! MIPSnet, the Ethernet interface of MIPS Technologies' simulator MIPSsim.
//!
//! There is no public datasheet. The registers and what they do are those that Linux's driver (drivers/net/mipsnet,
//! to version 3.4) uses and that QEMU's `mipsnet` has. One frame is sent and one received at a time, a byte per access
//! to the data ports; while an interrupt is pending the interface is busy and takes no frame. It has no address of its
//! own and takes every frame that comes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solderless_model::{
    Access, BuildError, BusError, BusKind, Cx, Device, Interface, Model, NetFrontend, Pins,
    PropError, Ranges, Region, Slot, SlotId, SlotKind, State, StateError, Wires, connections,
};

connections! {
    fn connections(_: &MipsNetProps) on BusKind::Isa;
    region PORTS = Region::registers("ports", SIZE).io();
    output INT = Pins::named("int");
    slot NETDEV = Slot::new("netdev", SlotKind::Netdev);
}

const DEV_ID: u64 = 0x00;
const DEV_ID_HIGH: u64 = 0x04;
const BUSY: u64 = 0x08;
const RX_DATA_COUNT: u64 = 0x0c;
const TX_DATA_COUNT: u64 = 0x10;
const INT_CTL: u64 = 0x14;
const INTERRUPT_INFO: u64 = 0x18;
const RX_DATA_BUFFER: u64 = 0x1c;
const TX_DATA_BUFFER: u64 = 0x20;
const SIZE: u64 = 0x24;

const INT_CTL_TX_DONE: u32 = 1 << 0;
const INT_CTL_RX_DONE: u32 = 1 << 1;
const INT_CTL_TEST: u32 = 1 << 31;

/// The longest frame: 1500 bytes of data and the header, without the check sequence.
const FRAME: usize = 1514;

/// Properties of `mipsnet`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema, Ranges)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MipsNetProps {
    /// Registers are words in the order of a big-endian CPU.
    pub big_endian: bool,
}

/// A MIPSnet interface.
#[derive(Debug, State)]
pub struct MipsNet {
    #[state(skip = "property")]
    big_endian: bool,
    busy: bool,
    int_ctl: u32,
    /// The level of the interrupt: the pending interrupts when it was last looked at.
    asserted: bool,
    /// The frame received, and how much of it the guest has read.
    rx: Vec<u8>,
    rx_read: u32,
    /// The length of the frame being written, and what of it is there.
    tx_count: u32,
    tx: Vec<u8>,
}

impl Model for MipsNet {
    const TYPE: &'static str = "mipsnet";
    const SUMMARY: &'static str = "MIPSnet Ethernet interface of the MIPSsim simulator";
    type Props = MipsNetProps;

    fn interface(props: &MipsNetProps) -> Result<Interface, PropError> {
        Ok(connections(props))
    }

    fn build(props: MipsNetProps, _: Wires<'_>) -> Result<Self, BuildError> {
        Ok(Self {
            big_endian: props.big_endian,
            busy: true,
            int_ctl: 0,
            asserted: false,
            rx: Vec::new(),
            rx_read: 0,
            tx_count: 0,
            tx: Vec::new(),
        })
    }
}

impl MipsNet {
    /// After a reset the interface is busy until the guest has dealt with the interrupt of a test.
    fn clear(&mut self) {
        self.busy = true;
        self.int_ctl = 0;
        self.rx.clear();
        self.rx_read = 0;
        self.tx_count = 0;
        self.tx.clear();
    }

    fn update(&mut self, cx: &mut Cx<'_>) {
        self.asserted = self.int_ctl != 0;
        cx.set(INT, self.asserted);
    }

    /// Bytes of the received frame that the guest has not read.
    fn rx_left(&self) -> u32 {
        self.rx.len() as u32 - self.rx_read
    }

    fn read_register(&mut self, offset: u64) -> u32 {
        match offset {
            DEV_ID => u32::from_le_bytes(*b"MIPS"),
            DEV_ID_HIGH => u32::from_le_bytes(*b"NET0"),
            BUSY => self.busy.into(),
            RX_DATA_COUNT => self.rx_left(),
            TX_DATA_COUNT => self.tx_count,
            // A test interrupt is gone once it was seen; the line follows with the next write.
            INT_CTL => {
                let value = self.int_ctl;
                self.int_ctl &= !INT_CTL_TEST;
                value
            }
            INTERRUPT_INFO => 0,
            RX_DATA_BUFFER => match self.rx.get(self.rx_read as usize) {
                Some(byte) => {
                    self.rx_read += 1;
                    (*byte).into()
                }
                None => 0,
            },
            _ => 0,
        }
    }

    fn write_int_ctl(&mut self, cx: &mut Cx<'_>, value: u32) {
        // One at a time: the lowest bit counts. Zero acknowledges a test.
        if value & INT_CTL_TX_DONE != 0 {
            self.int_ctl &= !INT_CTL_TX_DONE;
        } else if value & INT_CTL_RX_DONE != 0 {
            self.int_ctl &= !INT_CTL_RX_DONE;
        } else if value & INT_CTL_TEST != 0 {
            self.clear();
            self.int_ctl = INT_CTL_TEST;
        }
        self.busy = self.int_ctl != 0;
        self.update(cx);
    }

    fn write_tx(&mut self, cx: &mut Cx<'_>, byte: u8) {
        self.tx.push(byte);
        if self.tx.len() == self.tx_count as usize || self.tx.len() == FRAME {
            cx.send(NETDEV, &self.tx);
            self.tx.clear();
            self.tx_count = 0;
            self.int_ctl |= INT_CTL_TX_DONE;
            self.busy = true;
            self.update(cx);
        }
    }

    /// A value in the guest's order as byte lanes, or the other way round.
    fn ordered(&self, value: u64, size: u8) -> u64 {
        if self.big_endian {
            value.swap_bytes() >> (64 - 8 * u32::from(size.clamp(1, 8)))
        } else {
            value
        }
    }
}

impl Device for MipsNet {
    fn reset(&mut self, cx: &mut Cx<'_>) {
        self.clear();
        self.update(cx);
    }

    /// A register answers at its own address alone; a narrower access sees its low-order bytes.
    fn read(&mut self, _: &mut Cx<'_>, at: Access) -> Result<u64, BusError> {
        let value = self.read_register(at.offset);
        let mask = u64::MAX >> (64 - 8 * u32::from(at.size.clamp(1, 8)));
        Ok(self.ordered(u64::from(value) & mask, at.size))
    }

    fn write(&mut self, cx: &mut Cx<'_>, at: Access, value: u64) -> Result<(), BusError> {
        let value = self.ordered(value, at.size) as u32;
        match at.offset {
            TX_DATA_COUNT => {
                self.tx_count = if value as usize <= FRAME { value } else { 0 };
                self.tx.clear();
            }
            INT_CTL => self.write_int_ctl(cx, value),
            TX_DATA_BUFFER => self.write_tx(cx, value as u8),
            _ => {}
        }
        Ok(())
    }

    fn netdev(&mut self) -> Option<&mut dyn NetFrontend> {
        Some(self)
    }

    fn restored(&mut self, cx: &mut Cx<'_>) -> Result<(), StateError> {
        if self.rx.len() > FRAME || self.rx_read as usize > self.rx.len() || self.tx.len() >= FRAME
        {
            return Err(StateError::new(format!(
                "frames of {} bytes ({} read) and {} bytes do not fit the buffers of {FRAME}",
                self.rx.len(),
                self.rx_read,
                self.tx.len()
            )));
        }
        cx.set(INT, self.asserted);
        Ok(())
    }
}

impl NetFrontend for MipsNet {
    fn can_receive(&self, _: SlotId) -> bool {
        !self.busy
    }

    fn receive(&mut self, cx: &mut Cx<'_>, _: SlotId, frame: &[u8]) {
        if self.busy || frame.len() > FRAME {
            return;
        }
        self.busy = true;
        self.rx = frame.to_vec();
        self.rx_read = 0;
        self.int_ctl |= INT_CTL_RX_DONE;
        self.update(cx);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use solderless_model::testing::{Bench, exercise};

    type Net = Bench<MipsNet>;

    fn net() -> Net {
        Bench::new(MipsNetProps::default())
    }

    fn get(b: &mut Net, offset: u64) -> u64 {
        b.read(PORTS, offset, 4).expect("answers")
    }

    fn put(b: &mut Net, offset: u64, value: u64) {
        assert!(b.write(PORTS, offset, 4, value));
    }

    fn arrives(b: &mut Net, frame: &[u8]) {
        b.with(|d, cx| d.receive(cx, NETDEV, frame));
    }

    /// As Linux's driver opens it: asks for a test interrupt, sees it and acknowledges it.
    fn open(b: &mut Net) {
        put(b, INT_CTL, INT_CTL_TEST.into());
        assert!(b.output(INT));
        assert_eq!(get(b, INT_CTL), u64::from(INT_CTL_TEST));
        assert!(b.output(INT), "the line waits for the acknowledge");
        put(b, INT_CTL, 0);
        assert!(!b.output(INT));
        assert_eq!(get(b, BUSY), 0);
    }

    #[test]
    fn it_says_what_it_is_in_either_byte_order() {
        for (big_endian, words) in [
            (false, [0x5350_494d, 0x3054_454e]),
            (true, [0x4d49_5053, 0x4e45_5430]),
        ] {
            let mut b = Bench::<MipsNet>::new(MipsNetProps { big_endian });
            assert_eq!([get(&mut b, 0), get(&mut b, 4)], words);
            assert_eq!(b.read(PORTS, 0, 1), Some(b'M'.into()));
            assert_eq!(b.read(PORTS, 1, 1), Some(0), "no register there");
        }
    }

    #[test]
    fn a_frame_is_sent_once_all_its_bytes_are_there() {
        let mut b = net();
        open(&mut b);
        put(&mut b, TX_DATA_COUNT, 3);
        for byte in *b"ab" {
            assert!(b.write(PORTS, TX_DATA_BUFFER, 1, byte.into()));
        }
        assert!(b.around.sent.is_empty() && !b.output(INT));
        put(&mut b, TX_DATA_BUFFER, b'c'.into());
        assert_eq!(b.around.sent[&NETDEV], b"abc");
        assert!(b.output(INT));
        assert_eq!((get(&mut b, INT_CTL), get(&mut b, BUSY)), (1, 1));
        put(&mut b, INT_CTL, 1);
        assert!(!b.output(INT));
        put(&mut b, TX_DATA_COUNT, 1515);
        assert_eq!(get(&mut b, TX_DATA_COUNT), 0);
        for _ in 0..FRAME {
            put(&mut b, TX_DATA_BUFFER, 7);
        }
        assert_eq!(b.around.sent[&NETDEV].len(), 3 + FRAME);
    }

    #[test]
    fn a_frame_is_received_when_nothing_is_pending() {
        let mut b = net();
        assert!(!b.dev.can_receive(NETDEV), "busy until it was opened");
        open(&mut b);
        arrives(&mut b, &[0; FRAME + 1]);
        assert!(!b.output(INT), "too long");
        arrives(&mut b, b"xyz");
        assert!(b.output(INT));
        assert!(!b.dev.can_receive(NETDEV));
        assert_eq!((get(&mut b, INT_CTL), get(&mut b, RX_DATA_COUNT)), (2, 3));
        let read: Vec<_> = (0..4).map(|_| get(&mut b, RX_DATA_BUFFER)).collect();
        assert_eq!(read, [0x78, 0x79, 0x7a, 0]);
        put(&mut b, INT_CTL, 2);
        assert!(!b.output(INT) && b.dev.can_receive(NETDEV));
    }

    #[test]
    fn random_accesses_and_saved_state() {
        exercise(net);
        exercise(|| {
            let mut b = net();
            open(&mut b);
            b
        });
    }
}

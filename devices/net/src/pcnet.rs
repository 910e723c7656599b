//! AMD Am79C973 PCnet-FAST III, the Ethernet controller of the Malta board (AMD publication 21510, rev. E; the older
//! Am79C970A, publication 19436, describes most of it as well).
//!
//! All of the controller that a driver on a PCI bus sees is here, in all three software styles, with the internal PHY, whose link
//! is always up at 100 Mbit/s, full duplex. A frame is on the wire at the instant at which it is sent. A frame for which there is no
//! descriptor waits in the controller's memory, and those behind it outside, until there is one. Left out: the expansion bus, the serial EEPROM's own lines (what
//! it holds has been read), Magic Packet and pattern matching, the power states, and the JTAG port.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solderless_model::pci::{COMMAND_MASTER, PciConfig, PciFunction, PciId};
use solderless_model::{
    Access, Ask, BuildError, BusError, BusKind, Cx, Device, Interface, Model, NetFrontend, Pins,
    Placement, PropError, Question, Ranges, Region, Slot, SlotId, SlotKind, Space, State,
    StateError, TimerId, Wires, connections,
};

use crate::Mac;

/// Properties of `pcnet`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema, Ranges)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct PcnetProps {
    /// The station's address, which the EEPROM holds.
    pub mac: Mac,
}

connections! {
    fn connections(_: &PcnetProps) on BusKind::Pci;
    region IO = Region::registers("io", u64::from(SIZE)).io().placed(Placement::Device);
    region MEMORY = Region::registers("mmio", u64::from(SIZE)).placed(Placement::Device);
    output INTX = Pins::named("intx");
    slot NETDEV = Slot::new("netdev", SlotKind::Netdev);
}

const SIZE: u32 = 32;
/// Looks at the descriptors (CSR47, CSR49).
const POLL: TimerId = TimerId(0);
/// The software timer (BCR31).
const SOFTWARE: TimerId = TimerId(1);

/// Bytes of the address PROM; the registers follow.
const APROM: u64 = 16;

const CSR0_INIT: u16 = 1 << 0;
const CSR0_STRT: u16 = 1 << 1;
const CSR0_STOP: u16 = 1 << 2;
const CSR0_TDMD: u16 = 1 << 3;
const CSR0_TXON: u16 = 1 << 4;
const CSR0_RXON: u16 = 1 << 5;
const CSR0_IENA: u16 = 1 << 6;
const CSR0_INTR: u16 = 1 << 7;
const CSR0_IDON: u16 = 1 << 8;
const CSR0_TINT: u16 = 1 << 9;
const CSR0_RINT: u16 = 1 << 10;
const CSR0_MERR: u16 = 1 << 11;
const CSR0_MISS: u16 = 1 << 12;
const CSR0_CERR: u16 = 1 << 13;
const CSR0_BABL: u16 = 1 << 14;
const CSR0_ERR: u16 = 1 << 15;
const CSR0_CLEARABLE: u16 = 0x7f00;
/// Those that ask for an interrupt, with the masks of CSR3 at the same places.
const CSR0_SOURCES: u16 = 0x5f00;
const CSR3_WRITABLE: u16 = 0x5f7c;
/// Transmission after a deferral, look-ahead and the like do nothing where frames take no time.
const CSR4_RESET: u16 = 0x0115;
/// JAB, TXSTRT, RCVCCO, UINT, MFCO: cleared by writing one.
const CSR4_CLEARABLE: u16 = 0x026a;
const CSR4_TXSTRT: u16 = 1 << 3;
const CSR4_TXSTRTM: u16 = 1 << 2;
const CSR4_UINT: u16 = 1 << 6;
const CSR4_UINTCMD: u16 = 1 << 7;
const CSR4_MFCOM: u16 = 1 << 8;
const CSR4_MFCO: u16 = 1 << 9;
const CSR4_ASTRP_RCV: u16 = 1 << 10;
const CSR4_APAD_XMT: u16 = 1 << 11;
const CSR4_DPOLL: u16 = 1 << 12;
const CSR4_WRITABLE: u16 = 0xfd15;
const CSR5_SPND: u16 = 1 << 0;
/// MPINT, SLPINT, SINT and EXDINT.
const CSR5_CLEARABLE: u16 = 0x0a90;
const CSR5_SINT: u16 = 1 << 11;
const CSR5_SINTE: u16 = 1 << 10;
const CSR5_LTINTEN: u16 = 1 << 14;
const CSR5_TOKINTD: u16 = 1 << 15;
const CSR5_WRITABLE: u16 = 0xc56f;
const CSR7_STINT: u16 = 1 << 11;
const CSR7_STINTE: u16 = 1 << 10;
const CSR7_RDMD: u16 = 1 << 13;
const CSR7_CLEARABLE: u16 = 0x0aaa;
const CSR7_WRITABLE: u16 = 0x9555;
const MODE_DRX: u16 = 1 << 0;
const MODE_DTX: u16 = 1 << 1;
const MODE_LOOP: u16 = 1 << 2;
const MODE_DXMTFCS: u16 = 1 << 3;
const MODE_DRCVPA: u16 = 1 << 13;
const MODE_DRCVBC: u16 = 1 << 14;
const MODE_PROM: u16 = 1 << 15;

/// Control and status registers by their numbers.
const IADR: usize = 1;
const LADRF: usize = 8;
const PADR: usize = 12;
const MODE: usize = 15;
const BADR: usize = 24;
const BADX: usize = 30;
const POLLINT: usize = 47;
const RXPOLLINT: usize = 49;
const RCVRC: usize = 72;
const XMTRC: usize = 74;
const RCVRL: usize = 76;
const XMTRL: usize = 78;
const CHIP: usize = 88;
const MFC: usize = 112;
/// The Am79C973, revision 0: part 2625, manufacturer 1.
const CHIP_ID: u32 = 0x0262_5003;

/// Bus configuration registers by their numbers.
const BSBC: usize = 18;
const BSBC_DWIO: u16 = 1 << 7;
const EECAS: usize = 19;
/// What the EEPROM holds was read and is right, and there is one.
const EECAS_RESET: u16 = 0xa000;
const SWS: usize = 20;
const SWS_SSIZE32: u16 = 1 << 8;
const SWS_CSRPCNET: u16 = 1 << 9;
const PCISVID: usize = 23;
const STVAL: usize = 31;
const MIICAS: usize = 32;
const MIIADDR: usize = 33;
const MIIMDR: usize = 34;
/// Values after a hardware reset.
const BCR_RESET: &[(usize, u16)] = &[
    (0, 0x0005),
    (1, 0x0005),
    (2, 0x0102),
    (4, 0x00c0),
    (5, 0x0084),
    (6, 0x0088),
    (7, 0x0090),
    (BSBC, 0x9001),
    (EECAS, EECAS_RESET),
    (SWS, 0x0200),
    (22, 0xff06),
    (STVAL, 0xffff),
    (MIICAS, 0x0400),
    (35, 0x1022),
];
/// LEDs: LEDOUT is a status, LNKSE chooses the link's.
const LED_OUT: u16 = 1 << 15;
const LED_LINK: u16 = 1 << 6;
/// The software timer counts periods of 12.8 µs.
const STVAL_NS: u64 = 12_800;

/// The internal PHY's address, and its registers (IEEE 802.3, section 22.2.4).
const PHY: u16 = 30;
const PHY_CONTROL: u16 = 0;
const PHY_STATUS: u16 = 1;
const PHY_ADVERTISED: u16 = 4;
const PHY_CONTROL_RESET: u16 = 0x3100;
const PHY_ADVERTISED_RESET: u16 = 0x01e1;

/// The first word of a descriptor's status, in the upper half of a double word.
const OWN: u16 = 1 << 15;
const ERR: u16 = 1 << 14;
const STP: u16 = 1 << 9;
const ENP: u16 = 1 << 8;
/// Of a transmit descriptor: the frame's check sequence is to be added; an interrupt is wanted.
const ADD_FCS: u16 = 1 << 13;
const LTINT: u16 = 1 << 12;
/// Of a receive descriptor.
const OFLO: u16 = 1 << 12;
const BUFF: u16 = 1 << 10;
const PAM: u16 = 1 << 6;
const LAFM: u16 = 1 << 5;
const BAM: u16 = 1 << 4;

/// The shortest and the longest frame without its check sequence; the longest has a tag (IEEE 802.1Q).
const SHORTEST: usize = 60;
const LONGEST: usize = 1518;
const FCS: usize = 4;
/// Periods of the bus clock, of 33 MHz, in nanoseconds.
const CLOCK_NS: u64 = 30;

/// An Am79C973.
#[derive(Debug, State)]
pub struct Pcnet {
    config: PciConfig,
    #[state(skip = "property")]
    mac: [u8; 6],
    aprom: [u8; APROM as usize],
    rap: u16,
    csr: [u16; 128],
    bcr: [u16; 64],
    phy_control: u16,
    phy_advertised: u16,
    /// What has been gathered of the frame that is to be sent.
    tx: Vec<u8>,
    /// The frame being gathered is without its check sequence.
    tx_add_fcs: bool,
    /// The frame for which there is no descriptor.
    held: Option<Vec<u8>>,
    /// When the descriptors are looked at next.
    poll_at: Option<u64>,
    /// When the software timer ends.
    software_at: Option<u64>,
}

/// A descriptor, whatever its style.
#[derive(Debug, Clone, Copy)]
struct Descriptor {
    at: u64,
    buffer: u64,
    status: u16,
    /// Bytes of the buffer.
    length: usize,
}

impl Model for Pcnet {
    const TYPE: &'static str = "pcnet";
    const QUESTIONS: &'static [Question] = &[Question {
        name: "chip",
        steps: &[Ask::Indexed((IO, 0x12, 2), (IO, 0x10, 2), 88, 89)],
    }];
    const SUMMARY: &'static str = "PCnet-FAST III Ethernet controller (Am79C973)";
    type Props = PcnetProps;

    fn interface(props: &PcnetProps) -> Result<Interface, PropError> {
        Ok(connections(props))
    }

    fn build(props: PcnetProps, _: Wires<'_>) -> Result<Self, BuildError> {
        let id = PciId {
            vendor: 0x1022,
            device: 0x2000,
            revision: 0x40,
            class: 0x02_0000,
            subsystem: (0, 0),
            header_type: 0,
            interrupt_pin: 1,
        };
        let config = PciConfig::new(id)
            .initial(solderless_model::pci::STATUS, 2, 0x0280)
            .initial(0x3e, 2, 0xff06)
            .bar(0, Space::Io, SIZE, IO)
            .bar(1, Space::Memory, SIZE, MEMORY);
        let mac = props.mac.0;
        let mut aprom = [0; APROM as usize];
        aprom[..6].copy_from_slice(&mac);
        aprom[9] = 0x11; // what AMD's drivers look for
        aprom[14..].copy_from_slice(b"WW");
        let sum: u16 = aprom.iter().map(|byte| u16::from(*byte)).sum();
        aprom[12..14].copy_from_slice(&sum.to_le_bytes());
        let mut pcnet = Self {
            config,
            mac,
            aprom,
            rap: 0,
            csr: [0; 128],
            bcr: [0; 64],
            phy_control: 0,
            phy_advertised: 0,
            tx: Vec::new(),
            tx_add_fcs: false,
            held: None,
            poll_at: None,
            software_at: None,
        };
        pcnet.hardware_reset();
        Ok(pcnet)
    }
}

impl Device for Pcnet {
    fn reset(&mut self, cx: &mut Cx<'_>) {
        self.config.reset();
        self.config.apply_bars(cx);
        self.hardware_reset();
        self.drive(cx);
    }

    fn read(&mut self, cx: &mut Cx<'_>, at: Access) -> Result<u64, BusError> {
        let value = self.io_read(cx, at.offset, at.size);
        self.drive(cx);
        Ok(value.into())
    }

    fn write(&mut self, cx: &mut Cx<'_>, at: Access, value: u64) -> Result<(), BusError> {
        self.io_write(cx, at.offset, at.size, value as u32);
        self.drive(cx);
        Ok(())
    }

    fn timer(&mut self, cx: &mut Cx<'_>, id: TimerId) {
        match id {
            POLL => {
                self.poll_at = None;
                self.go_on(cx);
            }
            _ => {
                self.csr[7] |= CSR7_STINT;
                self.start_software_timer(cx);
            }
        }
        self.drive(cx);
    }

    fn pci(&mut self) -> Option<&mut dyn PciFunction> {
        Some(self)
    }

    fn netdev(&mut self) -> Option<&mut dyn NetFrontend> {
        Some(self)
    }

    fn restored(&mut self, cx: &mut Cx<'_>) -> Result<(), StateError> {
        let held = self.held.as_ref().map_or(0, Vec::len);
        if self.tx.len() > LONGEST + FCS || held > LONGEST {
            return Err(StateError::new(format!(
                "frames of {} and {held} bytes are longer than {LONGEST}",
                self.tx.len()
            )));
        }
        self.config.apply_bars(cx);
        for (id, at) in [(POLL, self.poll_at), (SOFTWARE, self.software_at)] {
            if let Some(at) = at {
                cx.arm(id, at);
            }
        }
        self.drive(cx);
        Ok(())
    }
}

impl PciFunction for Pcnet {
    fn config(&mut self) -> &mut PciConfig {
        &mut self.config
    }

    fn config_written(&mut self, cx: &mut Cx<'_>, _: u8, _: u8) {
        self.drive(cx);
    }
}

impl NetFrontend for Pcnet {
    fn can_receive(&self, _: SlotId) -> bool {
        self.held.is_none()
    }

    fn receive(&mut self, cx: &mut Cx<'_>, _: SlotId, frame: &[u8]) {
        self.take(cx, frame);
        self.drive(cx);
    }
}

impl Pcnet {
    /// H_RESET: also what S_RESET leaves alone.
    fn hardware_reset(&mut self) {
        self.bcr = [0; 64];
        for (number, value) in BCR_RESET {
            self.bcr[*number] = *value;
        }
        self.rap = 0;
        self.phy_control = PHY_CONTROL_RESET;
        self.phy_advertised = PHY_ADVERTISED_RESET;
        self.csr = [0; 128];
        self.csr[100] = 0x0200;
        self.csr[125] = 0x603c;
        self.software_at = None;
        self.software_reset();
    }

    /// S_RESET: what a read of the reset register does (section "Software Reset").
    fn software_reset(&mut self) {
        self.csr[0] = CSR0_STOP;
        self.csr[3] = 0;
        self.csr[4] = CSR4_RESET;
        self.csr[5] = 0;
        self.csr[7] = 0;
        self.csr[LADRF..LADRF + 4].fill(0);
        for (index, pair) in self.mac.chunks(2).enumerate() {
            self.csr[PADR + index] = u16::from_le_bytes([pair[0], pair[1]]);
        }
        self.csr[MODE] = 0;
        self.csr[POLLINT] = 0;
        self.csr[RXPOLLINT] = 0;
        self.csr[MFC] = 0;
        self.stop();
    }

    /// STOP: all that is under way ends.
    fn stop(&mut self) {
        self.csr[0] = CSR0_STOP;
        self.csr[4] &= !(CSR4_CLEARABLE | CSR4_UINTCMD);
        self.csr[5] &= !CSR5_SPND;
        self.tx.clear();
        self.held = None;
        self.poll_at = None;
    }

    fn dwio(&self) -> bool {
        self.bcr[BSBC] & BSBC_DWIO != 0
    }

    fn io_read(&mut self, cx: &mut Cx<'_>, offset: u64, size: u8) -> u32 {
        if let Some(bytes) = self
            .aprom
            .get(offset as usize..offset as usize + usize::from(size))
        {
            return bytes
                .iter()
                .rev()
                .fold(0, |value, byte| value << 8 | u32::from(*byte));
        }
        let value = match (offset, size, self.dwio()) {
            (0x10, 2, false) | (0x10, 4, true) => self.csr_read(cx),
            (0x12, 2, false) | (0x14, 4, true) => self.rap,
            (0x14, 2, false) | (0x18, 4, true) => {
                self.software_reset();
                self.rearm(cx);
                0
            }
            (0x16, 2, false) | (0x1c, 4, true) => self.bcr_read(),
            // Byte accesses to the registers are undefined, and one of the wrong width.
            _ => {
                cx.guest_error(format_args!("read of {size} bytes at {offset:#04x}"));
                return u32::MAX >> (32 - 8 * u32::from(size.clamp(1, 4)));
            }
        };
        value.into()
    }

    fn io_write(&mut self, cx: &mut Cx<'_>, offset: u64, size: u8, value: u32) {
        // A double word to the first register switches to double words, until the next hardware reset.
        if offset == 0x10 && size == 4 && !self.dwio() {
            self.bcr[BSBC] |= BSBC_DWIO;
        }
        let word = value as u16;
        match (offset, size, self.dwio()) {
            (0..APROM, _, _) => {
                // APROMWE
                if self.bcr[2] & 1 << 8 != 0 {
                    let bytes = value.to_le_bytes();
                    let end = (offset as usize + usize::from(size)).min(self.aprom.len());
                    let at = offset as usize..end;
                    let length = at.len();
                    self.aprom[at].copy_from_slice(&bytes[..length]);
                }
            }
            (0x10, 2, false) | (0x10, 4, true) => self.csr_write(cx, word),
            (0x12, 2, false) | (0x14, 4, true) => self.rap = word & 0x7f,
            (0x14, 2, false) | (0x18, 4, true) => {}
            (0x16, 2, false) | (0x1c, 4, true) => self.bcr_write(cx, word),
            _ => cx.guest_error(format_args!("write of {size} bytes at {offset:#04x}")),
        }
    }

    fn csr_read(&self, cx: &mut Cx<'_>) -> u16 {
        match usize::from(self.rap) {
            0 => self.status(),
            // The other names of registers.
            16 | 17 => self.csr[usize::from(self.rap) - 15],
            58 => self.bcr[SWS],
            CHIP => CHIP_ID as u16,
            89 => (CHIP_ID >> 16) as u16,
            // Where the controller is in its rings.
            n @ (26 | 27) => (self.place(BADR, RCVRL, RCVRC) >> (16 * (n - 26))) as u16,
            n @ (34 | 35) => (self.place(BADX, XMTRL, XMTRC) >> (16 * (n - 34))) as u16,
            n if n < self.csr.len() => self.csr[n],
            n => {
                cx.guest_error(format_args!("read of CSR{n}"));
                0
            }
        }
    }

    fn csr_write(&mut self, cx: &mut Cx<'_>, value: u16) {
        let number = usize::from(self.rap);
        // Most can be written only while nothing is under way.
        let still = self.csr[0] & CSR0_STOP != 0 || self.csr[5] & CSR5_SPND != 0;
        match number {
            0 => self.control(cx, value),
            3 => self.csr[3] = value & CSR3_WRITABLE,
            4 => {
                let kept = self.csr[4] & !(value & CSR4_CLEARABLE) & CSR4_CLEARABLE;
                // A command, and what comes of it.
                let command = match value & CSR4_UINTCMD {
                    0 => 0,
                    _ => CSR4_UINT,
                };
                self.csr[4] = value & CSR4_WRITABLE | kept | command;
            }
            5 => {
                let kept = self.csr[5] & !(value & CSR5_CLEARABLE) & CSR5_CLEARABLE;
                self.csr[5] = value & CSR5_WRITABLE | kept;
                self.go_on(cx);
            }
            7 => {
                let kept = self.csr[7] & !(value & CSR7_CLEARABLE) & CSR7_CLEARABLE;
                self.csr[7] = value & CSR7_WRITABLE | kept;
                if value & CSR7_RDMD != 0 {
                    self.go_on(cx);
                }
            }
            58 => self.software_style(value),
            1
            | 2
            | LADRF..=MODE
            | BADR
            | 25
            | BADX
            | 31
            | POLLINT
            | RXPOLLINT
            | RCVRC
            | XMTRC
            | RCVRL
            | XMTRL
                if still =>
            {
                self.csr[number] = value;
            }
            16 | 17 if still => self.csr[number - 15] = value,
            // Their changes do nothing where frames take no time.
            46 | 80 | 82 | 100 | MFC | 114 | 116 | 122 | 124 | 125 => self.csr[number] = value,
            _ => cx.guest_error(format_args!("write of CSR{number} ({value:#06x})")),
        }
    }

    /// A write of CSR0.
    fn control(&mut self, cx: &mut Cx<'_>, value: u16) {
        self.csr[0] &= !(value & CSR0_CLEARABLE);
        self.csr[0] = self.csr[0] & !CSR0_IENA | value & CSR0_IENA;
        if value & CSR0_STOP != 0 {
            self.stop();
            return self.rearm(cx);
        }
        if value & CSR0_INIT != 0 && self.csr[0] & CSR0_INIT == 0 {
            self.initialize(cx);
        }
        if value & CSR0_STRT != 0 && self.csr[0] & CSR0_STRT == 0 {
            self.csr[0] = self.csr[0] & !CSR0_STOP | CSR0_STRT;
            let mode = self.csr[MODE];
            if mode & MODE_DTX == 0 {
                self.csr[0] |= CSR0_TXON;
            }
            if mode & MODE_DRX == 0 {
                self.csr[0] |= CSR0_RXON;
            }
        }
        if value & (CSR0_TDMD | CSR0_STRT) != 0 {
            self.go_on(cx);
        }
    }

    /// Reads the initialization block.
    fn initialize(&mut self, cx: &mut Cx<'_>) {
        self.csr[0] = self.csr[0] & !CSR0_STOP | CSR0_INIT;
        let at = u64::from(self.pair(IADR));
        let wide = self.wide();
        let mut block = [0; 28];
        let length = if wide { 28 } else { 24 };
        if !self.master() || cx.dma_read(self.address(at), &mut block[..length]).is_err() {
            self.csr[0] |= CSR0_MERR;
            return;
        }
        let word = |at: usize| u16::from_le_bytes([block[at], block[at + 1]]);
        self.csr[MODE] = word(0);
        let (lengths, padr, ladrf, rings) = match wide {
            true => {
                let length = |byte: u8| 1u16.checked_shl(u32::from(byte >> 4).min(9)).unwrap_or(0);
                ([length(block[2]), length(block[3])], 4, 12, [20, 24])
            }
            false => {
                let length = |byte: u8| 1u16 << (byte >> 5);
                ([length(block[19]), length(block[23])], 2, 8, [16, 20])
            }
        };
        for index in 0..3 {
            self.csr[PADR + index] = word(padr + 2 * index);
        }
        for index in 0..4 {
            self.csr[LADRF + index] = word(ladrf + 2 * index);
        }
        for ((base, at), (ring, length)) in [BADR, BADX]
            .iter()
            .zip(rings)
            .zip([(RCVRL, lengths[0]), (XMTRL, lengths[1])])
        {
            self.csr[*base] = word(at);
            self.csr[*base + 1] = match wide {
                true => word(at + 2),
                false => u16::from(block[at + 2]),
            };
            self.csr[ring] = length.wrapping_neg();
            self.csr[ring - 4] = length.wrapping_neg();
        }
        self.csr[0] |= CSR0_IDON;
    }

    /// Two registers, the lower half in the first.
    fn pair(&self, number: usize) -> u32 {
        u32::from(self.csr[number]) | u32::from(self.csr[number + 1]) << 16
    }

    fn wide(&self) -> bool {
        self.bcr[SWS] & SWS_SSIZE32 != 0
    }

    fn style(&self) -> u16 {
        self.bcr[SWS] & 0xff
    }

    fn master(&self) -> bool {
        self.config.command() & COMMAND_MASTER != 0
    }

    /// An address of the guest's structures: of 24 bits where they are of the old kind, with CSR2's upper byte above.
    fn address(&self, at: u64) -> u64 {
        match self.wide() {
            true => at,
            false => at & 0xff_ffff | u64::from(self.csr[2] & 0xff00) << 16,
        }
    }

    fn software_style(&mut self, value: u16) {
        let fixed = match value & 0xff {
            0 => SWS_CSRPCNET,
            1 => SWS_SSIZE32,
            _ => SWS_SSIZE32 | SWS_CSRPCNET,
        };
        self.bcr[SWS] = value & 0x04ff | fixed;
    }

    fn bcr_read(&self) -> u16 {
        match usize::from(self.rap) {
            MIIMDR => self.phy_read(),
            // The link is up.
            4 if self.bcr[4] & LED_LINK != 0 => self.bcr[4] | LED_OUT,
            number => self.bcr.get(number).copied().unwrap_or(0),
        }
    }

    fn bcr_write(&mut self, cx: &mut Cx<'_>, value: u16) {
        match usize::from(self.rap) {
            SWS => self.software_style(value),
            BSBC => self.bcr[BSBC] = value & !BSBC_DWIO | self.bcr[BSBC] & BSBC_DWIO,
            4..=7 => self.bcr[usize::from(self.rap)] = value & !LED_OUT,
            MIIMDR => self.phy_write(value),
            STVAL => {
                self.bcr[STVAL] = value;
                self.start_software_timer(cx);
            }
            EECAS => self.bcr[EECAS] = value & 0x001f | EECAS_RESET,
            number @ (2 | 9 | 16 | 17 | 21 | 22 | PCISVID | 24..=30 | MIICAS | MIIADDR) => {
                self.bcr[number] = value;
            }
            number => cx.guest_error(format_args!("write of BCR{number} ({value:#06x})")),
        }
    }

    fn start_software_timer(&mut self, cx: &mut Cx<'_>) {
        let period = u64::from(self.bcr[STVAL]).max(1) * STVAL_NS;
        let at = cx.now().saturating_add(period);
        self.software_at = Some(at);
        cx.arm(SOFTWARE, at);
    }

    fn phy_read(&self) -> u16 {
        if self.bcr[MIIADDR] >> 5 & 31 != PHY {
            return u16::MAX;
        }
        match self.bcr[MIIADDR] & 31 {
            PHY_CONTROL => self.phy_control,
            // 100 and 10 Mbit/s, full and half duplex; negotiated; link up.
            PHY_STATUS => 0x786d,
            2 => 0x0000,
            3 => 0x6b60,
            PHY_ADVERTISED => self.phy_advertised,
            // The other end can do all of it, and has said so.
            5 => 0x45e1,
            6 => 0x0001,
            _ => 0,
        }
    }

    fn phy_write(&mut self, value: u16) {
        if self.bcr[MIIADDR] >> 5 & 31 != PHY {
            return;
        }
        match self.bcr[MIIADDR] & 31 {
            // A reset and a negotiation are over at once.
            PHY_CONTROL if value & 1 << 15 != 0 => {
                self.phy_control = PHY_CONTROL_RESET;
                self.phy_advertised = PHY_ADVERTISED_RESET;
            }
            PHY_CONTROL => self.phy_control = value & !(1 << 9),
            PHY_ADVERTISED => self.phy_advertised = value,
            _ => {}
        }
    }

    /// CSR0 with what follows from the others.
    fn status(&self) -> u16 {
        let csr0 = self.csr[0];
        let error = match csr0 & (CSR0_BABL | CSR0_CERR | CSR0_MISS | CSR0_MERR) {
            0 => 0,
            _ => CSR0_ERR,
        };
        let interrupt = if self.asks() { CSR0_INTR } else { 0 };
        csr0 | error | interrupt
    }

    /// Whether there is a reason for an interrupt.
    fn asks(&self) -> bool {
        let [csr4, csr5, csr7] = [4, 5, 7].map(|n| self.csr[n]);
        let masked = |flag, mask, csr: u16| csr & flag != 0 && csr & mask == 0;
        self.csr[0] & CSR0_SOURCES & !self.csr[3] != 0
            || csr4 & CSR4_UINT != 0
            || masked(CSR4_TXSTRT, CSR4_TXSTRTM, csr4)
            || masked(CSR4_MFCO, CSR4_MFCOM, csr4)
            || csr5 & CSR5_SINT != 0 && csr5 & CSR5_SINTE != 0
            || csr7 & CSR7_STINT != 0 && csr7 & CSR7_STINTE != 0
    }

    fn drive(&mut self, cx: &mut Cx<'_>) {
        let asserted = self.asks() && self.csr[0] & CSR0_IENA != 0;
        let level = self.config.intx(asserted);
        cx.set(INTX, level);
    }

    /// Sends what there is to send, tries to place the frame that waits, and says when to look again.
    fn go_on(&mut self, cx: &mut Cx<'_>) {
        self.transmit(cx);
        if let Some(frame) = self.held.take() {
            self.take(cx, &frame);
        }
        self.rearm(cx);
    }

    /// Looks at the descriptors again after CSR47's time, or CSR49's if a frame waits.
    fn rearm(&mut self, cx: &mut Cx<'_>) {
        let sends = self.csr[0] & CSR0_TXON != 0 && self.csr[4] & CSR4_DPOLL == 0;
        let interval = match (self.held.is_some(), sends) {
            (true, _) => self.csr[RXPOLLINT],
            (false, true) => self.csr[POLLINT],
            (false, false) => {
                self.poll_at = None;
                return cx.disarm(POLL);
            }
        };
        // Two's complements; zero is 65,536 clocks. A guest's shortest one must not keep the host busy.
        let clocks = (1u64 << 16) - u64::from(interval);
        let at = cx.now().saturating_add(clocks.max(1 << 8) * CLOCK_NS);
        self.poll_at = Some(at);
        cx.arm(POLL, at);
    }

    fn entry(&self) -> u64 {
        if self.wide() { 16 } else { 8 }
    }

    /// The address of the present descriptor of a ring, by the registers of its base, its length and its counter.
    fn place(&self, base: usize, length: usize, counter: usize) -> u64 {
        let length = self.csr[length].wrapping_neg();
        let index = length.wrapping_sub(self.csr[counter].wrapping_neg());
        let at = u64::from(self.pair(base)) + u64::from(index) * self.entry();
        self.address(at)
    }

    /// Goes on to the next descriptor: the counter counts up from the negative length.
    fn next(&mut self, length: usize, counter: usize) {
        self.csr[counter] = match self.csr[counter].wrapping_add(1) {
            0 => self.csr[length],
            next => next,
        };
    }

    fn descriptor(&mut self, cx: &mut Cx<'_>, at: u64) -> Option<Descriptor> {
        let mut bytes = [0; 16];
        let size = self.entry() as usize;
        if !self.master() || cx.dma_read(at, &mut bytes[..size]).is_err() {
            self.csr[0] |= CSR0_MERR;
            return None;
        }
        let word = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let long = |at: usize| u32::from(word(at)) | u32::from(word(at + 2)) << 16;
        let (buffer, status, count) = match (self.wide(), self.style()) {
            (false, _) => {
                let buffer = u32::from(word(0)) | u32::from(bytes[2]) << 16;
                (self.address(buffer.into()), word(2) & 0xff00, word(4))
            }
            (true, 3) => (long(8).into(), word(6), word(4)),
            (true, _) => (long(0).into(), word(6), word(4)),
        };
        Some(Descriptor {
            at,
            buffer,
            status,
            // A two's complement of twelve bits; zero is 4096.
            length: usize::from(0x1000 - (count & 0xfff)),
        })
    }

    /// Gives a descriptor back with this status, and, of a receive descriptor's last, the frame's length.
    fn give_back(&mut self, cx: &mut Cx<'_>, one: Descriptor, status: u16, length: Option<usize>) {
        // The length first: the guest looks at the status.
        let (count_at, status_at) = match (self.wide(), self.style()) {
            (false, _) => (6, 3),
            (true, 3) => (0, 6),
            (true, _) => (8, 6),
        };
        let mut failed = false;
        if let Some(length) = length {
            let count = (length as u32 & 0xfff).to_le_bytes();
            let size = if self.wide() { 4 } else { 2 };
            failed |= cx.dma_write(one.at + count_at, &count[..size]).is_err();
        }
        let bytes = status.to_le_bytes();
        let bytes = if self.wide() { &bytes[..] } else { &bytes[1..] };
        failed |= cx.dma_write(one.at + status_at, bytes).is_err();
        if failed {
            self.csr[0] |= CSR0_MERR;
        }
    }

    /// Sends what the guest has given, at most one ring of it.
    fn transmit(&mut self, cx: &mut Cx<'_>) {
        let on = self.csr[0] & CSR0_TXON != 0 && self.csr[5] & CSR5_SPND == 0;
        if !on {
            return;
        }
        for _ in 0..self.csr[XMTRL].wrapping_neg().clamp(1, 512) {
            let at = self.place(BADX, XMTRL, XMTRC);
            let Some(one) = self.descriptor(cx, at) else {
                return;
            };
            if one.status & OWN == 0 {
                return;
            }
            if one.status & STP != 0 {
                self.tx.clear();
                self.tx_add_fcs = one.status & ADD_FCS != 0;
            }
            let start = self.tx.len();
            let room = (LONGEST + FCS).saturating_sub(start);
            self.tx.resize(start + one.length.min(room), 0);
            let read = cx.dma_read(one.buffer, &mut self.tx[start..]);
            let mut status = one.status & !(OWN | ERR);
            if read.is_err() {
                self.csr[0] |= CSR0_MERR;
                self.tx.clear();
                status |= ERR;
            }
            self.give_back(cx, one, status, None);
            self.next(XMTRL, XMTRC);
            if one.length > room {
                self.csr[0] |= CSR0_BABL;
            }
            if one.status & ENP != 0 {
                self.frame_out(cx);
                // LTINT asks for the interrupt, where it was chosen that only it does.
                let quiet = self.csr[5] & CSR5_TOKINTD != 0
                    || self.csr[5] & CSR5_LTINTEN != 0 && one.status & LTINT == 0;
                if !quiet {
                    self.csr[0] |= CSR0_TINT;
                }
                self.csr[4] |= CSR4_TXSTRT;
            }
        }
    }

    /// Puts the frame that has been gathered onto the wire.
    fn frame_out(&mut self, cx: &mut Cx<'_>) {
        let mut frame = std::mem::take(&mut self.tx);
        let with_fcs = self.csr[MODE] & MODE_DXMTFCS != 0 && !self.tx_add_fcs;
        if with_fcs {
            frame.truncate(frame.len().saturating_sub(FCS));
        } else if self.csr[4] & CSR4_APAD_XMT != 0 && frame.len() < SHORTEST {
            frame.resize(SHORTEST, 0);
        }
        if frame.len() < 14 || frame.len() > LONGEST {
            return;
        }
        match self.csr[MODE] & MODE_LOOP != 0 {
            true => self.take(cx, &frame),
            false => cx.send(NETDEV, &frame),
        }
        self.tx = frame;
        self.tx.clear();
    }

    /// How a frame's address is one of ours: the bit that says it.
    fn accepts(&self, frame: &[u8]) -> Option<u16> {
        let to = frame.first_chunk::<6>()?;
        let mode = self.csr[MODE];
        let own = self.csr[PADR..PADR + 3]
            .iter()
            .flat_map(|w| w.to_le_bytes());
        if *to == [0xff; 6] && mode & MODE_DRCVBC == 0 {
            return Some(BAM);
        }
        if to[0] & 1 == 0 && mode & MODE_DRCVPA == 0 && own.eq(to.iter().copied()) {
            return Some(PAM);
        }
        if to[0] & 1 != 0 && *to != [0xff; 6] {
            let hash = usize::from((crc(to) >> 26) as u8);
            if self.csr[LADRF + hash / 16] >> (hash % 16) & 1 != 0 {
                return Some(LAFM);
            }
        }
        (mode & MODE_PROM != 0).then_some(0)
    }

    /// Takes a frame from the wire: into the guest's buffers, or into the controller's own memory.
    fn take(&mut self, cx: &mut Cx<'_>, frame: &[u8]) {
        let on = self.csr[0] & CSR0_RXON != 0 && self.csr[5] & CSR5_SPND == 0;
        let Some(matched) = self.accepts(frame).filter(|_| on && frame.len() <= LONGEST) else {
            return;
        };
        let at = self.place(BADR, RCVRL, RCVRC);
        let Some(mut one) = self.descriptor(cx, at) else {
            return;
        };
        if one.status & OWN == 0 {
            self.held = Some(frame.to_vec());
            return self.rearm(cx);
        }
        let mut bytes = frame.to_vec();
        bytes.resize(bytes.len().max(SHORTEST), 0);
        // A length, not a type: what is padding, and the check sequence, can be taken away.
        let length = usize::from(u16::from_be_bytes([bytes[12], bytes[13]]));
        if self.csr[4] & CSR4_ASTRP_RCV != 0 && length < SHORTEST - 14 {
            bytes.truncate(14 + length);
        } else {
            let sequence = !crc(&bytes);
            bytes.extend(sequence.to_le_bytes());
        }
        let matched = if self.wide() { matched } else { 0 };
        let (mut rest, mut first) = (&bytes[..], STP);
        loop {
            let (now, later) = rest.split_at(rest.len().min(one.length));
            let mut status = one.status & 0x000f | matched | first;
            if cx.dma_write(one.buffer, now).is_err() {
                self.csr[0] |= CSR0_MERR;
                self.give_back(cx, one, status | ERR | ENP, Some(0));
                self.next(RCVRL, RCVRC);
                break;
            }
            if later.is_empty() {
                self.give_back(cx, one, status | ENP, Some(bytes.len()));
                self.next(RCVRL, RCVRC);
                break;
            }
            self.next(RCVRL, RCVRC);
            let at = self.place(BADR, RCVRL, RCVRC);
            let next = self
                .descriptor(cx, at)
                .filter(|next| next.status & OWN != 0);
            if next.is_none() {
                status |= ERR | OFLO | BUFF;
            }
            self.give_back(cx, one, status, None);
            let Some(next) = next else { break };
            (one, rest, first) = (next, later, 0);
        }
        self.csr[0] |= CSR0_RINT;
    }
}

/// The check sequence of Ethernet before its last inversion (IEEE 802.3, section 3.2.9).
fn crc(bytes: &[u8]) -> u32 {
    !crc32fast::hash(bytes)
}

#[cfg(test)]
mod tests;

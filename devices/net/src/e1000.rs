//! Intel 82540EM, the Gigabit Ethernet controller of the PRO/1000 MT desktop card (Intel 317453, "PCI/PCI-X Family of Gigabit Ethernet
//! Controllers Software Developer's Manual").
//!
//! A driver on a PCI bus finds all that it needs: rings of descriptors of each kind, checksums and the cutting of TCP on the way out, filters
//! of addresses and VLANs, statistics, the EEPROM by its lines and by EERD, and the PHY, whose link is always up at 1000 Mbit/s, full
//! duplex. A frame for which there are too few descriptors waits outside until there are more. Left out: checksums on the way in, which
//! a driver is told to ignore; the moderation of interrupts; wake-up, flow control and the power states.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solderless_model::pci::{COMMAND_MASTER, PciConfig, PciFunction, PciId};
use solderless_model::{
    Access, BuildError, BusError, BusKind, Cx, Device, Interface, Model, NetFrontend, Pins,
    Placement, PropError, Ranges, Region, Slot, SlotId, SlotKind, Space, State, StateError,
    TimerId, Wires, connections,
};

use crate::Mac;
use crate::offload::{LONGEST_OFFLOADED, checksum, segment};

/// Properties of `e1000`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema, Ranges)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct E1000Props {
    /// The station's address, which the EEPROM holds.
    pub mac: Mac,
}

connections! {
    fn connections(_: &E1000Props) on BusKind::Pci;
    region MEMORY = Region::registers("mmio", MEMORY_SIZE.into()).placed(Placement::Device);
    region IO = Region::registers("io", IO_SIZE.into()).io().placed(Placement::Device);
    output INTX = Pins::named("intx");
    slot NETDEV = Slot::new("netdev", SlotKind::Netdev);
}

const MEMORY_SIZE: u32 = 0x2_0000;
const IO_SIZE: u32 = 0x40;
/// Goes on sending.
const TRANSMIT: TimerId = TimerId(0);
/// Frames that are sent at once, and when the next are, in nanoseconds: the host's side has its turn between.
const BURST: usize = 64;
const PAUSE: u64 = 10_000;

// Registers (chapter 13).
const CTRL: u64 = 0x0000;
const CTRL_DUP: u64 = 0x0004;
const STATUS: u64 = 0x0008;
const EECD: u64 = 0x0010;
const EERD: u64 = 0x0014;
const MDIC: u64 = 0x0020;
const VET: u64 = 0x0038;
const ICR: u64 = 0x00c0;
const ICS: u64 = 0x00c8;
const IMS: u64 = 0x00d0;
const IMC: u64 = 0x00d8;
const RCTL: u64 = 0x0100;
const TCTL: u64 = 0x0400;
const RDBAL: u64 = 0x2800;
const RDBAH: u64 = 0x2804;
const RDLEN: u64 = 0x2808;
const RDH: u64 = 0x2810;
const RDT: u64 = 0x2818;
const TDBAL: u64 = 0x3800;
const TDBAH: u64 = 0x3804;
const TDLEN: u64 = 0x3808;
const TDH: u64 = 0x3810;
const TDT: u64 = 0x3818;
const STATISTICS: u64 = 0x4000;
const MTA: u64 = 0x5200;
const RA: u64 = 0x5400;
const RA_END: u64 = 0x5480;
const VFTA: u64 = 0x5600;
const VFTA_END: u64 = 0x5800;
/// Registers that do nothing but hold a value: CTRL_EXT, FCAL, FCAH, FCT, ITR, FCTTV, TXCW, TIPG, AIFS, LEDCTL, PBA, FCRTL, FCRTH,
/// RDTR, RXDCTL, RADV, TIDV, TXDCTL, TADV, TSPMT, RXCSUM, WUC, WUFC, MANC.
const PLAIN: [u64; 24] = [
    0x0018, 0x0028, 0x002c, 0x0030, 0x00c4, 0x0170, 0x0178, 0x0410, 0x0458, 0x0e00, 0x1000, 0x2160,
    0x2168, 0x2820, 0x2828, 0x282c, 0x3820, 0x3828, 0x382c, 0x3830, 0x5000, 0x5800, 0x5808, 0x5820,
];

// CTRL.
const CTRL_FD: u32 = 1 << 0;
const CTRL_SLU: u32 = 1 << 6;
const CTRL_SPEED_1000: u32 = 2 << 8;
const CTRL_RST: u32 = 1 << 26;
const CTRL_VME: u32 = 1 << 30;
const CTRL_PHY_RST: u32 = 1 << 31;
// STATUS: full duplex, link up, 1000 Mbit/s.
const STATUS_FD: u32 = 1 << 0;
const STATUS_LU: u32 = 1 << 1;
const STATUS_SPEED_1000: u32 = 2 << 6;
// EECD: the EEPROM's lines, and who has them.
const EE_SK: u32 = 1 << 0;
const EE_CS: u32 = 1 << 1;
const EE_DI: u32 = 1 << 2;
const EE_DO: u32 = 1 << 3;
const EE_REQ: u32 = 1 << 6;
const EE_GNT: u32 = 1 << 7;
const EE_PRES: u32 = 1 << 8;
const EE_KEPT: u32 = EE_SK | EE_CS | EE_DI | 3 << 4 | EE_REQ;
/// A start bit and the operation "read" of the EEPROM, and how many bits of address follow.
const EE_READ: u32 = 0b110;
const EE_ADDRESS: u32 = 6;
// EERD.
const EERD_START: u32 = 1 << 0;
const EERD_DONE: u32 = 1 << 4;
// MDIC.
const MDIC_WRITE: u32 = 1;
const MDIC_READ: u32 = 2;
const MDIC_READY: u32 = 1 << 28;
const MDIC_INTERRUPT: u32 = 1 << 29;
const MDIC_ERROR: u32 = 1 << 30;
const PHY_ADDRESS: u32 = 1;
// Interrupts.
const TXDW: u32 = 1 << 0;
const TXQE: u32 = 1 << 1;
const LSC: u32 = 1 << 2;
const RXDMT0: u32 = 1 << 4;
const RXO: u32 = 1 << 6;
const RXT0: u32 = 1 << 7;
const MDAC: u32 = 1 << 9;
const INTERRUPTS: u32 = 0x1_ffff;
// RCTL.
const RCTL_EN: u32 = 1 << 1;
const RCTL_UPE: u32 = 1 << 3;
const RCTL_MPE: u32 = 1 << 4;
const RCTL_LPE: u32 = 1 << 5;
const RCTL_LOOPBACK: u32 = 3 << 6;
const RCTL_BAM: u32 = 1 << 15;
const RCTL_VFE: u32 = 1 << 18;
const RCTL_BSEX: u32 = 1 << 25;
const RCTL_SECRC: u32 = 1 << 26;
// TCTL.
const TCTL_EN: u32 = 1 << 1;
const TCTL_PSP: u32 = 1 << 3;
/// RAH: the address is valid.
const RAH_AV: u32 = 1 << 31;

// Descriptors: what a transmit descriptor asks for, in bits 24 to 31 of its third word.
const CMD_EOP: u32 = 1 << 24;
const CMD_IC: u32 = 1 << 26;
const CMD_TSE: u32 = 1 << 26;
const CMD_RS: u32 = 1 << 27;
const CMD_DEXT: u32 = 1 << 29;
const CMD_VLE: u32 = 1 << 30;
/// The same of a context: the packet is TCP.
const TUCMD_TCP: u32 = 1 << 24;
const POPTS_IXSM: u32 = 1 << 8;
const POPTS_TXSM: u32 = 1 << 9;
const DD: u8 = 1 << 0;
const RX_EOP: u8 = 1 << 1;
const RX_IXSM: u8 = 1 << 2;
const RX_VP: u8 = 1 << 3;

/// Bytes of a descriptor, of a check sequence, of the shortest and the longest frames without it.
const DESC: u64 = 16;
const FCS: usize = 4;
const SHORTEST: usize = 60;
const LONGEST: usize = 1518;
const LONGEST_LONG: usize = 16384 - FCS;

// Statistics, by their places from STATISTICS on, in words.
const MPC: usize = 0x10 / 4;
const GPRC: usize = 0x74 / 4;
const BPRC: usize = 0x78 / 4;
const MPRC: usize = 0x7c / 4;
const GPTC: usize = 0x80 / 4;
const GORCL: usize = 0x88 / 4;
const GOTCL: usize = 0x90 / 4;
const RNBC: usize = 0xa0 / 4;
const TORL: usize = 0xc0 / 4;
const TOTL: usize = 0xc8 / 4;
const TPR: usize = 0xd0 / 4;
const TPT: usize = 0xd4 / 4;
const MPTC: usize = 0xf0 / 4;
const BPTC: usize = 0xf4 / 4;

/// A ring of descriptors.
#[derive(Debug, Clone, Copy, Default, State)]
struct Ring {
    base: u64,
    /// Bytes.
    length: u32,
    head: u32,
    tail: u32,
}

impl Ring {
    fn size(&self) -> u32 {
        self.length / DESC as u32
    }

    /// How many descriptors the driver has given.
    fn given(&self) -> u32 {
        let size = self.size();
        if self.head >= size || self.tail >= size {
            return 0;
        }
        (self.tail + size - self.head) % size
    }

    fn at(&self) -> u64 {
        self.base.wrapping_add(DESC * u64::from(self.head))
    }

    fn next(&mut self) {
        self.head = (self.head + 1).checked_rem(self.size()).unwrap_or(0);
    }
}

/// What a context descriptor says of the packets behind it (3.3.6).
#[derive(Debug, Clone, Copy, Default, State)]
struct Context {
    ipcss: u8,
    ipcso: u8,
    ipcse: u16,
    tucss: u8,
    tucso: u8,
    tucse: u16,
    mss: u16,
    tcp: bool,
}

/// The controller.
#[derive(Debug, State)]
pub struct E1000 {
    #[state(skip = "property")]
    mac: Mac,
    config: PciConfig,
    ioaddr: u32,
    ctrl: u32,
    eecd: u32,
    /// Bits that have gone into the EEPROM since it was selected, and how many; the bit that comes out, if a word is being read.
    ee_in: u32,
    ee_count: u32,
    ee_out: Option<u32>,
    eerd: u32,
    mdic: u32,
    phy: [u16; 32],
    vet: u32,
    icr: u32,
    ims: u32,
    rctl: u32,
    tctl: u32,
    rx: Ring,
    tx: Ring,
    plain: [u32; 24],
    statistics: [u32; 64],
    mta: [u32; 128],
    ra: [u32; 32],
    vfta: [u32; 128],
    /// The contexts of what is cut, and of what is not.
    segments: Context,
    checksums: Context,
    /// The packet that is being gathered, and what its first descriptor asks for.
    packet: Vec<u8>,
    popts: u32,
    /// More is sent then.
    sends_at: Option<u64>,
}

impl Model for E1000 {
    const TYPE: &'static str = "e1000";
    const SUMMARY: &'static str = "Intel 82540EM Gigabit Ethernet controller on PCI (Intel 317453)";
    type Props = E1000Props;

    fn interface(props: &E1000Props) -> Result<Interface, PropError> {
        Ok(connections(props))
    }

    fn build(props: E1000Props, _: Wires<'_>) -> Result<Self, BuildError> {
        let id = PciId {
            vendor: 0x8086,
            device: 0x100e,
            revision: 3,
            class: 0x02_0000,
            subsystem: (0x1af4, 0x1100),
            header_type: 0,
            interrupt_pin: 1,
        };
        let mut made = Self {
            mac: props.mac,
            config: PciConfig::new(id)
                .bar(0, Space::Memory, MEMORY_SIZE, MEMORY)
                .bar(1, Space::Io, IO_SIZE, IO),
            ioaddr: 0,
            ctrl: 0,
            eecd: 0,
            ee_in: 0,
            ee_count: 0,
            ee_out: None,
            eerd: 0,
            mdic: 0,
            phy: [0; 32],
            vet: 0,
            icr: 0,
            ims: 0,
            rctl: 0,
            tctl: 0,
            rx: Ring::default(),
            tx: Ring::default(),
            plain: [0; 24],
            statistics: [0; 64],
            mta: [0; 128],
            ra: [0; 32],
            vfta: [0; 128],
            segments: Context::default(),
            checksums: Context::default(),
            packet: Vec::new(),
            popts: 0,
            sends_at: None,
        };
        made.clear();
        Ok(made)
    }
}

impl E1000 {
    /// All registers to their reset values, and what the EEPROM says into them.
    fn clear(&mut self) {
        self.ioaddr = 0;
        self.ctrl = CTRL_FD | CTRL_SLU | CTRL_SPEED_1000;
        (self.eecd, self.eerd, self.mdic) = (0, EERD_DONE, MDIC_READY);
        (self.ee_in, self.ee_count, self.ee_out) = (0, 0, None);
        self.reset_phy();
        self.vet = 0x8100;
        (self.icr, self.ims, self.rctl, self.tctl) = (0, 0, 0, 0);
        (self.rx, self.tx) = (Ring::default(), Ring::default());
        self.plain = [0; 24];
        self.set_plain(0x1000, 0x0010_0030); // PBA
        self.set_plain(0x0e00, 0x0706_0502); // LEDCTL
        self.statistics = [0; 64];
        (self.mta, self.vfta, self.ra) = ([0; 128], [0; 128], [0; 32]);
        let [a, b, c, d, e, f] = self.mac.0;
        self.ra[0] = u32::from_le_bytes([a, b, c, d]);
        self.ra[1] = u32::from_le_bytes([e, f, 0, 0]) | RAH_AV;
        (self.segments, self.checksums) = (Context::default(), Context::default());
        self.packet.clear();
        self.popts = 0;
        self.sends_at = None;
    }

    fn set_plain(&mut self, register: u64, value: u32) {
        if let Some(place) = PLAIN.iter().position(|plain| *plain == register) {
            self.plain[place] = value;
        }
    }

    /// A Marvell 88E1011S whose partner can do all that it can.
    fn reset_phy(&mut self) {
        self.phy = [0; 32];
        for (register, value) in [
            (0, 0x1140), // control: negotiates, 1000 Mbit/s, full duplex
            (1, 0x796d), // status: negotiation complete, link up
            (2, 0x0141), // identifier
            (3, 0x0c20),
            (4, 0x0de1), // what is offered
            (5, 0x45e1), // what the partner offers
            (6, 0x0001),
            (9, 0x0e00), // the same at 1000 Mbit/s
            (10, 0x3c00),
            (15, 0x3000),
            (16, 0x0360),
            (17, 0xac00), // 1000 Mbit/s, full duplex, resolved, link up
            (20, 0x0d60),
        ] {
            self.phy[register] = value;
        }
    }

    /// A word of the EEPROM (5.6): the address, what identifies the function, and a sum of 0xbaba over all.
    fn eeprom(&self, word: u32) -> u16 {
        let mac = self.mac.0;
        let word_of = |word: usize| -> u16 {
            match word {
                0..=2 => u16::from_le_bytes([mac[2 * word], mac[2 * word + 1]]),
                0x04 => 0xffff, // LEDs as usual
                0x0a => 0x6403,
                0x0b => 0x1100,
                0x0c => 0x1af4,
                0x0d => 0x100e,
                0x0e => 0x8086,
                0x0f => 0x3040,
                _ => 0,
            }
        };
        match word & 0x3f {
            0x3f => (0..0x3f).fold(0xbaba, |sum: u16, word| sum.wrapping_sub(word_of(word))),
            word => word_of(word as usize),
        }
    }

    fn write_eecd(&mut self, value: u32) {
        let before = std::mem::replace(&mut self.eecd, value & EE_KEPT);
        let rises = |line| value & !before & line != 0;
        if value & EE_CS == 0 || rises(EE_CS) {
            (self.ee_in, self.ee_count, self.ee_out) = (0, 0, None);
        }
        if value & EE_CS == 0 || !rises(EE_SK) {
            return;
        }
        if let Some(bit) = &mut self.ee_out {
            // One word comes after the other.
            *bit = (*bit + 1) % (64 * 16);
            return;
        }
        let bit = u32::from(value & EE_DI != 0);
        // What comes before the start bit is nothing.
        if self.ee_count == 0 && bit == 0 {
            return;
        }
        self.ee_in = self.ee_in << 1 | bit;
        self.ee_count += 1;
        if self.ee_count == 3 + EE_ADDRESS {
            let address = self.ee_in & ((1 << EE_ADDRESS) - 1);
            if self.ee_in >> EE_ADDRESS == EE_READ {
                // A zero comes before the word.
                self.ee_out = Some((address * 16 + 64 * 16 - 1) % (64 * 16));
            }
            (self.ee_in, self.ee_count) = (0, 0);
        }
    }

    fn read_eecd(&self) -> u32 {
        let out = match self.ee_out {
            Some(bit) => self.eeprom(bit / 16) >> (15 - bit % 16) & 1 != 0,
            None => true,
        };
        self.eecd | EE_PRES | EE_GNT | if out { EE_DO } else { 0 }
    }

    fn write_mdic(&mut self, value: u32) {
        let register = (value >> 16 & 31) as usize;
        self.mdic = value & !(MDIC_ERROR | MDIC_READY) | MDIC_READY;
        match (value >> 21 & 31, value >> 26 & 3) {
            (PHY_ADDRESS, MDIC_READ) => {
                self.mdic = self.mdic & !0xffff | u32::from(self.phy[register]);
            }
            (PHY_ADDRESS, MDIC_WRITE) => match register {
                0 if value & 0x8000 != 0 => self.reset_phy(),
                // A negotiation is over at once.
                0 => {
                    self.phy[0] = value as u16 & !0x0200;
                    if value & 0x0200 != 0 {
                        self.icr |= LSC;
                    }
                }
                4 | 9 | 16 | 18 | 20 | 29 | 30 => self.phy[register] = value as u16,
                _ => {}
            },
            _ => self.mdic |= MDIC_ERROR,
        }
        if value & MDIC_INTERRUPT != 0 {
            self.icr |= MDAC;
        }
    }

    fn read_register(&mut self, register: u64) -> u32 {
        let place = |from: u64| ((register - from) / 4) as usize;
        match register {
            CTRL | CTRL_DUP => self.ctrl,
            STATUS => {
                let up = if self.ctrl & CTRL_SLU != 0 {
                    STATUS_LU
                } else {
                    0
                };
                STATUS_FD | STATUS_SPEED_1000 | up
            }
            EECD => self.read_eecd(),
            EERD => self.eerd,
            MDIC => self.mdic,
            VET => self.vet,
            ICR => std::mem::take(&mut self.icr),
            IMS => self.ims,
            RCTL => self.rctl,
            TCTL => self.tctl,
            RDBAL => self.rx.base as u32,
            RDBAH => (self.rx.base >> 32) as u32,
            RDLEN => self.rx.length,
            RDH => self.rx.head,
            RDT => self.rx.tail,
            TDBAL => self.tx.base as u32,
            TDBAH => (self.tx.base >> 32) as u32,
            TDLEN => self.tx.length,
            TDH => self.tx.head,
            TDT => self.tx.tail,
            // Reading them clears them.
            STATISTICS..=0x40fc => std::mem::take(&mut self.statistics[place(STATISTICS)]),
            MTA..RA => self.mta[place(MTA)],
            RA..RA_END => self.ra[place(RA)],
            VFTA..VFTA_END => self.vfta[place(VFTA)],
            _ => {
                let plain = PLAIN.iter().position(|plain| *plain == register);
                plain.map_or(0, |place| self.plain[place])
            }
        }
    }

    fn write_register(&mut self, cx: &mut Cx<'_>, register: u64, value: u32) {
        let place = |from: u64| ((register - from) / 4) as usize;
        let low = |base: &mut u64| *base = *base >> 32 << 32 | u64::from(value & !15);
        let high = |base: &mut u64| *base = *base & 0xffff_ffff | u64::from(value) << 32;
        match register {
            CTRL | CTRL_DUP => {
                if value & CTRL_RST != 0 {
                    self.clear();
                    cx.disarm(TRANSMIT);
                    return;
                }
                if value & CTRL_PHY_RST != 0 {
                    self.reset_phy();
                }
                if value & !self.ctrl & CTRL_SLU != 0 {
                    self.icr |= LSC;
                }
                self.ctrl = value & !CTRL_PHY_RST;
            }
            EECD => self.write_eecd(value),
            EERD if value & EERD_START != 0 => {
                let word = value >> 8 & 0xff;
                self.eerd = value & 0xff00 | EERD_DONE | u32::from(self.eeprom(word)) << 16;
            }
            MDIC => self.write_mdic(value),
            VET => self.vet = value & 0xffff,
            ICR => self.icr &= !value,
            ICS => self.icr |= value & INTERRUPTS,
            IMS => self.ims |= value & INTERRUPTS,
            IMC => self.ims &= !value,
            RCTL => self.rctl = value & 0x07ff_fffe,
            TCTL => {
                self.tctl = value;
                self.transmit(cx);
            }
            RDBAL => low(&mut self.rx.base),
            RDBAH => high(&mut self.rx.base),
            RDLEN => self.rx.length = value & 0xf_ff80,
            RDH => self.rx.head = value & 0xffff,
            RDT => self.rx.tail = value & 0xffff,
            TDBAL => low(&mut self.tx.base),
            TDBAH => high(&mut self.tx.base),
            TDLEN => self.tx.length = value & 0xf_ff80,
            TDH => self.tx.head = value & 0xffff,
            TDT => {
                self.tx.tail = value & 0xffff;
                self.transmit(cx);
            }
            MTA..RA => self.mta[place(MTA)] = value,
            RA..RA_END => self.ra[place(RA)] = value,
            VFTA..VFTA_END => self.vfta[place(VFTA)] = value,
            _ => self.set_plain(register, value),
        }
    }

    fn drive(&mut self, cx: &mut Cx<'_>) {
        let level = self.config.intx(self.icr & self.ims != 0);
        cx.set(INTX, level);
    }

    fn masters(&self) -> bool {
        self.config.command() & COMMAND_MASTER != 0
    }

    fn count(&mut self, statistic: usize, by: u32) {
        self.statistics[statistic] = self.statistics[statistic].saturating_add(by);
    }

    /// Sends what the driver has given, some of it now and the rest later.
    fn transmit(&mut self, cx: &mut Cx<'_>) {
        if self.tctl & TCTL_EN == 0 || !self.masters() || self.sends_at.is_some() {
            return;
        }
        let (mut frames, mut descriptors) = (0, 0);
        while self.tx.given() > 0 {
            if frames >= BURST || descriptors >= 4 * BURST {
                let at = cx.now().saturating_add(PAUSE);
                self.sends_at = Some(at);
                return cx.arm(TRANSMIT, at);
            }
            let at = self.tx.at();
            let mut bytes = [0; DESC as usize];
            if cx.dma_read(at, &mut bytes).is_err() {
                cx.guest_error(format_args!(
                    "a transmit descriptor at {at:#x} is no memory"
                ));
                self.tctl &= !TCTL_EN;
                return;
            }
            frames += self.descriptor(cx, bytes);
            descriptors += 1;
            let word = |at: usize| {
                u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
            };
            if word(8) & CMD_RS != 0 {
                let _ = cx.dma_write(at.wrapping_add(12), &[bytes[12] | DD]);
                self.icr |= TXDW;
            }
            self.tx.next();
        }
        self.icr |= TXQE;
    }

    /// Does what a transmit descriptor asks for (3.3): how many frames that were.
    fn descriptor(&mut self, cx: &mut Cx<'_>, bytes: [u8; 16]) -> usize {
        let word = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let half = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let (command, upper) = (word(8), word(12));
        let extended = command & CMD_DEXT != 0;
        if extended && command >> 20 & 15 == 0 {
            let context = Context {
                ipcss: bytes[0],
                ipcso: bytes[1],
                ipcse: half(2),
                tucss: bytes[4],
                tucso: bytes[5],
                tucse: half(6),
                mss: half(14),
                tcp: command & TUCMD_TCP != 0,
            };
            match command & CMD_TSE != 0 {
                true => self.segments = context,
                false => self.checksums = context,
            }
            return 0;
        }
        let length = match extended {
            true => command & 0xf_ffff,
            false => command & 0xffff,
        } as usize;
        if self.packet.is_empty() {
            self.popts = upper;
        }
        let start = self.packet.len();
        let room = (LONGEST_OFFLOADED + 1).saturating_sub(start);
        self.packet.resize(start + length.min(room), 0);
        let at = u64::from(word(0)) | u64::from(word(4)) << 32;
        let read = cx.dma_read(at, &mut self.packet[start..]);
        if read.is_err() {
            cx.guest_error(format_args!(
                "{length} bytes to send at {at:#x} are no memory"
            ));
            // It becomes a packet that is too long.
            self.packet.resize(LONGEST_OFFLOADED + 1, 0);
        }
        if command & CMD_EOP == 0 {
            return 0;
        }
        let mut packet = std::mem::take(&mut self.packet);
        let sent = self.packet_out(cx, &mut packet, command, bytes);
        self.packet = packet;
        self.packet.clear();
        sent
    }

    /// Puts a packet onto the wire: how many frames that are.
    fn packet_out(
        &mut self,
        cx: &mut Cx<'_>,
        packet: &mut [u8],
        command: u32,
        bytes: [u8; 16],
    ) -> usize {
        if packet.len() < 14 || packet.len() > LONGEST_OFFLOADED {
            return 0;
        }
        let tag =
            (command & CMD_VLE != 0 && self.ctrl & CTRL_VME != 0).then(|| [bytes[14], bytes[15]]);
        let extended = command & CMD_DEXT != 0;
        if extended && command & CMD_TSE != 0 {
            let context = self.segments;
            if !context.tcp {
                return 0;
            }
            let (ip, tcp, mss) = (
                context.ipcss.into(),
                context.tucss.into(),
                context.mss.into(),
            );
            let mut frames = 0;
            segment(packet, ip, tcp, mss, |piece| {
                frames += 1;
                self.frame_out(cx, piece.to_vec(), tag);
            });
            return frames;
        }
        let end = |last: u16| {
            if last == 0 {
                usize::MAX
            } else {
                usize::from(last) + 1
            }
        };
        if extended {
            let context = self.checksums;
            if self.popts & POPTS_IXSM != 0 {
                checksum(
                    packet,
                    context.ipcss.into(),
                    end(context.ipcse),
                    context.ipcso.into(),
                );
            }
            if self.popts & POPTS_TXSM != 0 {
                checksum(
                    packet,
                    context.tucss.into(),
                    end(context.tucse),
                    context.tucso.into(),
                );
            }
        } else if command & CMD_IC != 0 {
            checksum(packet, bytes[13].into(), usize::MAX, bytes[10].into());
        }
        self.frame_out(cx, packet.to_vec(), tag);
        1
    }

    fn frame_out(&mut self, cx: &mut Cx<'_>, mut frame: Vec<u8>, tag: Option<[u8; 2]>) {
        if let Some([low, high]) = tag {
            let [a, b] = (self.vet as u16).to_be_bytes();
            frame.splice(12..12, [a, b, high, low]);
        }
        if self.tctl & TCTL_PSP != 0 && frame.len() < SHORTEST {
            frame.resize(SHORTEST, 0);
        }
        if frame.len() > LONGEST_LONG {
            return;
        }
        let length = (frame.len() + FCS) as u32;
        for (statistic, by) in [(TPT, 1), (GPTC, 1), (TOTL, length), (GOTCL, length)] {
            self.count(statistic, by);
        }
        match frame[0] {
            0xff => self.count(BPTC, 1),
            first if first & 1 != 0 => self.count(MPTC, 1),
            _ => {}
        }
        match self.rctl & RCTL_LOOPBACK == RCTL_LOOPBACK {
            true => self.take(cx, &frame),
            false => cx.send(NETDEV, &frame),
        }
    }

    /// Bytes of a receive buffer.
    fn buffer(&self) -> usize {
        let size = 2048 >> (self.rctl >> 16 & 3);
        match self.rctl & RCTL_BSEX != 0 {
            true => size * 16,
            false => size,
        }
    }

    /// The longest frame that it takes.
    fn longest(&self) -> usize {
        match self.rctl & RCTL_LPE != 0 {
            true => LONGEST_LONG,
            false => LONGEST,
        }
    }

    /// Whether a frame is for this station (3.2.1).
    fn accepts(&self, frame: &[u8]) -> bool {
        let Some(to) = frame.first_chunk::<6>() else {
            return false;
        };
        let vlan = u16::from_be_bytes([frame[12], frame[13]]);
        if self.rctl & RCTL_VFE != 0 && u32::from(vlan) == self.vet {
            let id = usize::from(u16::from_be_bytes([frame[14], frame[15]]) & 0xfff);
            if self.vfta[id / 32] >> (id % 32) & 1 == 0 {
                return false;
            }
        }
        let group = to[0] & 1 != 0;
        let all = if group { RCTL_MPE } else { RCTL_UPE };
        if self.rctl & all != 0 || *to == [0xff; 6] && self.rctl & RCTL_BAM != 0 {
            return true;
        }
        let (pairs, _) = self.ra.as_chunks::<2>();
        let exact = pairs.iter().any(|[low, high]| {
            let [a, b, c, d] = low.to_le_bytes();
            let [e, f, ..] = high.to_le_bytes();
            high & RAH_AV != 0 && *to == [a, b, c, d, e, f]
        });
        if exact {
            return true;
        }
        let shift = [4, 3, 2, 0][(self.rctl >> 12 & 3) as usize];
        let hash = usize::from(u16::from_le_bytes([to[4], to[5]]) >> shift) & 0xfff;
        group && self.mta[hash / 32] >> (hash % 32) & 1 != 0
    }

    /// Takes a frame from the wire.
    fn take(&mut self, cx: &mut Cx<'_>, frame: &[u8]) {
        let on = self.rctl & RCTL_EN != 0 && self.masters();
        if !on || frame.len() < 16 || frame.len() > self.longest() || !self.accepts(frame) {
            return;
        }
        let mut bytes = frame.to_vec();
        let mut status = DD | RX_IXSM;
        let mut special = [0; 2];
        let tagged = u32::from(u16::from_be_bytes([bytes[12], bytes[13]])) == self.vet;
        if tagged && self.ctrl & CTRL_VME != 0 {
            special = [bytes[15], bytes[14]];
            status |= RX_VP;
            bytes.drain(12..16);
        }
        bytes.resize(bytes.len().max(SHORTEST), 0);
        if self.rctl & RCTL_SECRC == 0 {
            bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        }
        let buffer = self.buffer();
        if bytes.len().div_ceil(buffer) > self.rx.given() as usize {
            self.count(MPC, 1);
            self.count(RNBC, 1);
            self.icr |= RXO;
            return;
        }
        let length = (frame.len().max(SHORTEST) + FCS) as u32;
        for (statistic, by) in [(TPR, 1), (GPRC, 1), (TORL, length), (GORCL, length)] {
            self.count(statistic, by);
        }
        match frame[0] {
            0xff => self.count(BPRC, 1),
            first if first & 1 != 0 => self.count(MPRC, 1),
            _ => {}
        }
        let pieces = bytes.chunks(buffer);
        let last = pieces.len() - 1;
        for (n, piece) in pieces.enumerate() {
            let at = self.rx.at();
            let mut address = [0; 8];
            let status = if n == last { status | RX_EOP } else { status };
            let [low, high] = (piece.len() as u16).to_le_bytes();
            let back = [low, high, 0, 0, status, 0, special[0], special[1]];
            let moved = cx
                .dma_read(at, &mut address)
                .and_then(|()| cx.dma_write(u64::from_le_bytes(address), piece))
                .and_then(|()| cx.dma_write(at.wrapping_add(8), &back));
            if moved.is_err() {
                cx.guest_error(format_args!(
                    "a receive descriptor at {at:#x}, or its buffer, is no memory"
                ));
            }
            self.rx.next();
        }
        self.icr |= RXT0;
        let few = self.rx.size() >> (1 + (self.rctl >> 8 & 3));
        if self.rx.given() <= few {
            self.icr |= RXDMT0;
        }
    }
}

impl Device for E1000 {
    fn reset(&mut self, cx: &mut Cx<'_>) {
        self.config.reset();
        self.config.apply_bars(cx);
        self.clear();
        self.drive(cx);
    }

    /// Registers are words; a narrower access sees its part of one.
    fn read(&mut self, cx: &mut Cx<'_>, at: Access) -> Result<u64, BusError> {
        let word = match (at.region, at.offset & !3) {
            (IO, 0) => self.ioaddr,
            (IO, 4) => self.read_register(u64::from(self.ioaddr) & !3),
            (IO, _) => 0,
            (_, offset) => self.read_register(offset),
        };
        self.drive(cx);
        Ok(solderless_model::lanes(word, at.offset, at.size))
    }

    fn write(&mut self, cx: &mut Cx<'_>, at: Access, value: u64) -> Result<(), BusError> {
        match (at.region, at.offset) {
            (IO, 0) => self.ioaddr = value as u32,
            (IO, 4) => self.write_register(cx, u64::from(self.ioaddr) & !3, value as u32),
            (IO, _) => {}
            (_, offset) if offset % 4 == 0 => self.write_register(cx, offset, value as u32),
            _ => {}
        }
        self.drive(cx);
        Ok(())
    }

    fn timer(&mut self, cx: &mut Cx<'_>, _: TimerId) {
        self.sends_at = None;
        self.transmit(cx);
        self.drive(cx);
    }

    fn pci(&mut self) -> Option<&mut dyn PciFunction> {
        Some(self)
    }

    fn netdev(&mut self) -> Option<&mut dyn NetFrontend> {
        Some(self)
    }

    fn restored(&mut self, cx: &mut Cx<'_>) -> Result<(), StateError> {
        if self.packet.len() > LONGEST_OFFLOADED + 1
            || self.ee_out.is_some_and(|bit| bit >= 64 * 16)
        {
            return Err(StateError::new(
                "a packet, or a bit of the EEPROM, that there cannot be",
            ));
        }
        if self
            .rx
            .head
            .max(self.rx.tail)
            .max(self.tx.head)
            .max(self.tx.tail)
            > 0xffff
            || self.ee_count >= 3 + EE_ADDRESS
        {
            return Err(StateError::new("a place that no ring has"));
        }
        self.config.apply_bars(cx);
        if let Some(at) = self.sends_at {
            cx.arm(TRANSMIT, at);
        }
        self.drive(cx);
        Ok(())
    }
}

impl PciFunction for E1000 {
    fn config(&mut self) -> &mut PciConfig {
        &mut self.config
    }

    fn config_written(&mut self, cx: &mut Cx<'_>, _: u8, _: u8) {
        self.drive(cx);
    }
}

impl NetFrontend for E1000 {
    /// One that is off takes what nobody gets. Otherwise there have to be buffers for the longest frame.
    fn can_receive(&self, _: SlotId) -> bool {
        let needed = (LONGEST + FCS).div_ceil(self.buffer());
        let on = self.rctl & RCTL_EN != 0 && self.masters();
        !on || self.rx.size() as usize <= needed || self.rx.given() as usize >= needed
    }

    fn receive(&mut self, cx: &mut Cx<'_>, _: SlotId, frame: &[u8]) {
        if self.ctrl & CTRL_SLU != 0 {
            self.take(cx, frame);
            self.drive(cx);
        }
    }
}

#[cfg(test)]
mod tests;

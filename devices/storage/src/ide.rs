//! Function 1 of the PIIX4: the two-channel IDE controller (Intel 82371AB datasheet, 290562, chapter 5; bus master:
//! Programming Interface for Bus Master IDE Controller, revision 1.0).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solderless_model::pci::{self, COMMAND_IO, PciConfig, PciFunction, PciId};
use solderless_model::{
    Access, BuildError, BusError, BusKind, Cx, Device, Interface, Model, Pins, Placement,
    PropError, Ranges, Region, RegionId, Space, State, StateError, Wires, connections, lanes,
    merge,
};

connections! {
    fn connections(_: &IdeProps) on BusKind::Pci;
    region PRIMARY = ports("primary", COMMAND_BLOCK);
    region PRIMARY_CONTROL = ports("primary-control", CONTROL_BLOCK);
    region SECONDARY = ports("secondary", COMMAND_BLOCK);
    region SECONDARY_CONTROL = ports("secondary-control", CONTROL_BLOCK);
    region BUS_MASTER = ports("bmdma", u64::from(BUS_MASTER_SIZE));
    output IRQ14 = Pins::named("irq14");
    output IRQ15 = Pins::named("irq15");
}

fn ports(name: &'static str, size: u64) -> Region {
    Region::registers(name, size).io().placed(Placement::Device)
}

const BUS_MASTER_SIZE: u32 = 16;

// Configuration registers.
const IDETIM: [u8; 2] = [0x40, 0x42];
const SIDETIM: u8 = 0x44;
const UDMACTL: u8 = 0x48;
const UDMATIM: u8 = 0x4a;
/// IDETIM: the channel's ports answer.
const IDE_DECODE: u32 = 1 << 15;

/// The ports of a channel that answers: its command block and its control block.
const PORTS: [(RegionId, u64, RegionId, u64); 2] = [
    (PRIMARY, 0x1f0, PRIMARY_CONTROL, 0x3f6),
    (SECONDARY, 0x170, SECONDARY_CONTROL, 0x376),
];
const COMMAND_BLOCK: u64 = 8;
const CONTROL_BLOCK: u64 = 1;

// Bus master: BMIC in the lowest byte of the first word, BMIS in the third; BMIDTP is the second word.
const SSBM: u32 = 1 << 0;
const BMIC_KEPT: u32 = 0x09;
const BMIS_ACTIVE: u32 = 1 << 16;
const BMIS_CLEAR: u32 = 0x06 << 16;
const BMIS_KEPT: u32 = 0x60 << 16;
const BMIDTP_KEPT: u32 = !3;

/// A `piix4-ide` has no properties.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema, Ranges)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct IdeProps {}

/// A channel: its bus master, and its cable with both places for drives empty. The registers of the command and
/// control blocks are in the drives, so that without one there is nothing to write to.
#[derive(Debug, Default, State)]
struct Channel {
    /// BMIC and the bits of BMIS that are kept.
    command_status: u32,
    bmidtp: u32,
}

impl Channel {
    /// What `size` bytes at `offset` of a block read with nothing on the cable: the bus floats high but for DD7,
    /// which the host pulls down so that BSY reads 0 (ATA/ATAPI-4, section 4.2).
    fn floating(offset: u64, size: u8) -> u64 {
        // The data register is 16 bits wide, the others are 8.
        let word: u32 = if offset == 0 {
            0xff7f_ff7f
        } else {
            0x7f7f_7f7f
        };
        lanes(word, 0, size)
    }

    /// Reads one of the bus master's two words.
    fn bus_master(&self, second: bool) -> u32 {
        if second {
            return self.bmidtp;
        }
        // A transfer that was started goes on: no drive ends it.
        let active = if self.command_status & SSBM != 0 {
            BMIS_ACTIVE
        } else {
            0
        };
        self.command_status | active
    }

    /// Writes the bytes in `written` of one of the bus master's two words.
    fn write_bus_master(&mut self, second: bool, bits: u32, written: u32) {
        if second {
            let mask = written & BMIDTP_KEPT;
            self.bmidtp = self.bmidtp & !mask | bits & mask;
        } else {
            let mask = written & (BMIC_KEPT | BMIS_KEPT);
            let kept = self.command_status & !(bits & BMIS_CLEAR);
            self.command_status = kept & !mask | bits & mask;
        }
    }
}

/// The device.
#[derive(Debug, State)]
pub struct Ide {
    config: PciConfig,
    channels: [Channel; 2],
}

impl Model for Ide {
    const TYPE: &'static str = "piix4-ide";
    const SUMMARY: &'static str = "Intel 82371AB (PIIX4) IDE controller";
    type Props = IdeProps;

    fn interface(props: &IdeProps) -> Result<Interface, PropError> {
        Ok(connections(props))
    }

    fn build(_: IdeProps, _: Wires<'_>) -> Result<Self, BuildError> {
        let config = PciConfig::new(PciId {
            vendor: 0x8086,
            device: 0x7111,
            class: 0x01_0180,
            subsystem: (0x1af4, 0x1100),
            ..PciId::default()
        })
        .writable(pci::COMMAND, 2, 0x0005)
        .initial(pci::STATUS, 2, 0x0280)
        .bar(4, Space::Io, BUS_MASTER_SIZE, BUS_MASTER)
        .writable(IDETIM[0], 2, 0xf3ff)
        .writable(IDETIM[1], 2, 0xf3ff)
        .writable(SIDETIM, 1, 0xff)
        .writable(UDMACTL, 1, 0x0f)
        .writable(UDMATIM, 2, 0x3333);
        Ok(Self {
            config,
            channels: Default::default(),
        })
    }
}

impl Device for Ide {
    fn reset(&mut self, cx: &mut Cx<'_>) {
        self.config.reset();
        self.channels = Default::default();
        self.show(cx);
    }

    fn read(&mut self, _: &mut Cx<'_>, at: Access) -> Result<u64, BusError> {
        let Access { offset, size, .. } = at;
        match at.region {
            PRIMARY | SECONDARY => Ok(Channel::floating(offset, size)),
            // Alternate status.
            PRIMARY_CONTROL | SECONDARY_CONTROL => Ok(Channel::floating(offset | 1, size)),
            BUS_MASTER => {
                let channel = &self.channels[usize::from(offset & 8 != 0)];
                Ok(lanes(channel.bus_master(offset & 4 != 0), offset, size))
            }
            _ => Err(BusError),
        }
    }

    fn write(&mut self, _: &mut Cx<'_>, at: Access, value: u64) -> Result<(), BusError> {
        let Access { offset, size, .. } = at;
        match at.region {
            PRIMARY | SECONDARY | PRIMARY_CONTROL | SECONDARY_CONTROL => Ok(()),
            BUS_MASTER => {
                self.channels[usize::from(offset & 8 != 0)].write_bus_master(
                    offset & 4 != 0,
                    merge(0, offset, size, value),
                    merge(0, offset, size, u64::MAX),
                );
                Ok(())
            }
            _ => Err(BusError),
        }
    }

    fn pci(&mut self) -> Option<&mut dyn PciFunction> {
        Some(self)
    }

    fn restored(&mut self, cx: &mut Cx<'_>) -> Result<(), StateError> {
        self.show(cx);
        Ok(())
    }
}

impl PciFunction for Ide {
    fn config(&mut self) -> &mut PciConfig {
        &mut self.config
    }

    fn config_written(&mut self, cx: &mut Cx<'_>, _: u8, _: u8) {
        self.place(cx);
    }
}

impl Ide {
    /// Everything that others see of the registers as they now stand.
    fn show(&self, cx: &mut Cx<'_>) {
        self.config.apply_bars(cx);
        self.place(cx);
        // Only drives interrupt.
        cx.set(IRQ14, false);
        cx.set(IRQ15, false);
    }

    /// Puts the ports of the channels that are decoded where every PC has them.
    fn place(&self, cx: &mut Cx<'_>) {
        let io = self.config.command() & COMMAND_IO != 0;
        for (idetim, (block, at, control, control_at)) in IDETIM.into_iter().zip(PORTS) {
            if io && self.config.get(idetim, 2) & IDE_DECODE != 0 {
                cx.map(block, at, COMMAND_BLOCK, 0);
                cx.map(control, control_at, CONTROL_BLOCK, 0);
            } else {
                cx.unmap(block);
                cx.unmap(control);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use solderless_model::testing::{Bench, exercise};

    fn bench() -> Bench<Ide> {
        Bench::new(IdeProps {})
    }

    #[test]
    fn configuration_after_reset_and_what_can_be_written() {
        let mut b = bench();
        for (offset, reset, ones) in [
            (0x00, 0x7111_8086, 0x7111_8086),
            (0x04, 0x0280_0000, 0x0280_0005),
            (0x08, 0x0101_8000, 0x0101_8000),
            (0x10, 0, 0),
            (0x1c, 0, 0),
            (0x20, 0x0000_0001, 0xffff_fff1),
            (0x24, 0, 0),
            (0x2c, 0x1100_1af4, 0x1100_1af4),
            (0x3c, 0, 0x0000_00ff),
            (0x40, 0, 0xf3ff_f3ff),
            (0x44, 0, 0x0000_00ff),
            (0x48, 0, 0x3333_000f),
            (0x4c, 0, 0),
        ] {
            assert_eq!(b.config_read(offset, 4), reset, "{offset:#x} after reset");
            b.config_write(offset, 4, u32::MAX);
            assert_eq!(b.config_read(offset, 4), ones, "{offset:#x} written");
        }
        b.reset();
        assert_eq!(b.config_read(0x40, 4), 0);
        assert!(b.around.mapped.is_empty());
    }

    #[test]
    fn channels_answer_where_they_are_decoded() {
        let mut b = bench();
        b.config_write(0x40, 2, 0x8000);
        assert!(b.around.mapped.is_empty(), "I/O space is off");
        b.config_write(0x04, 2, 1);
        assert_eq!(b.around.mapped.get(&PRIMARY), Some(&(0x1f0, 8, 0)));
        assert_eq!(b.around.mapped.get(&PRIMARY_CONTROL), Some(&(0x3f6, 1, 0)));
        assert_eq!(b.around.mapped.len(), 2);
        b.config_write(0x43, 1, 0x80);
        b.config_write(0x20, 4, 0x1080);
        assert_eq!(b.around.mapped.get(&SECONDARY), Some(&(0x170, 8, 0)));
        assert_eq!(
            b.around.mapped.get(&SECONDARY_CONTROL),
            Some(&(0x376, 1, 0))
        );
        assert_eq!(b.around.mapped.get(&BUS_MASTER), Some(&(0x1080, 16, 0)));
        b.config_write(0x41, 1, 0);
        assert_eq!(b.around.mapped.len(), 3);
        b.config_write(0x04, 2, 0);
        assert!(b.around.mapped.is_empty());
    }

    #[test]
    fn an_empty_channel_is_neither_busy_nor_holds_what_is_written() {
        let mut b = bench();
        for (block, control) in [(PRIMARY, PRIMARY_CONTROL), (SECONDARY, SECONDARY_CONTROL)] {
            for offset in 0..8 {
                b.write(block, offset, 1, 0x55);
                assert_eq!(b.read(block, offset, 1), Some(0x7f), "{offset}");
            }
            assert_eq!(b.read(block, 0, 2), Some(0xff7f));
            assert_eq!(b.read(block, 0, 4), Some(0xff7f_ff7f));
            b.write(control, 0, 1, 4);
            assert_eq!(b.read(control, 0, 1), Some(0x7f));
        }
        assert!(!b.output(IRQ14) && !b.output(IRQ15));
    }

    #[test]
    fn bus_master_registers() {
        let mut b = bench();
        for base in [0, 8] {
            for (offset, size, written, read) in [
                (0, 1, 0xff, 0x09),
                (2, 1, 0xff, 0x61),
                (0, 1, 0x08, 0x08),
                (2, 1, 0x00, 0x00),
                (4, 4, 0xffff_ffff, 0xffff_fffc),
                (6, 1, 0x12, 0x12),
                (1, 1, 0xff, 0),
                (3, 1, 0xff, 0),
            ] {
                b.write(BUS_MASTER, base + offset, size, written);
                assert_eq!(
                    b.read(BUS_MASTER, base + offset, size),
                    Some(read),
                    "{offset} := {written:#x}"
                );
            }
            assert_eq!(b.read(BUS_MASTER, base + 4, 4), Some(0xff12_fffc));
        }
        b.reset();
        assert_eq!(b.read(BUS_MASTER, 4, 4), Some(0));
    }

    #[test]
    fn random_accesses_and_saved_state() {
        exercise(bench);
    }
}

//! Function 1 of the PIIX3 and PIIX4: the two-channel IDE controller (Intel 82371FB/82371SB datasheet, 290550, chapter 2; Intel 82371AB
//! datasheet, 290562, chapter 5; bus master: Programming Interface for Bus Master IDE Controller, revision 1.0). A PIIX3 has no Ultra DMA.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solderless_model::pci::{self, COMMAND_IO, COMMAND_MASTER, PciConfig, PciFunction, PciId};
use solderless_model::{
    Access, BuildError, BusError, BusKind, Cx, Cycle, Device, Ide as IdeTransfer, IdeSignals,
    Interface, Model, On, Pin, Pins, Placement, Port, PortId, PropError, Ranges, Region, RegionId,
    Space, State, StateError, Transfer, Wires, connections, lanes, merge,
};

connections! {
    fn connections(_: &IdeProps) on BusKind::Pci;
    region PRIMARY = ports("primary", COMMAND_BLOCK);
    region PRIMARY_CONTROL = ports("primary-control", CONTROL_BLOCK);
    region SECONDARY = ports("secondary", COMMAND_BLOCK);
    region SECONDARY_CONTROL = ports("secondary-control", CONTROL_BLOCK);
    region BUS_MASTER = ports("bmdma", u64::from(BUS_MASTER_SIZE));
    port IDE0 = Port::new("ide0", BusKind::Ide);
    port IDE1 = Port::new("ide1", BusKind::Ide);
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
/// The cables of the channels, their interrupts, and the devices on each.
const PORTS_OF_CABLES: [PortId; 2] = [IDE0, IDE1];
const IRQS: [Pin; 2] = [IRQ14, IRQ15];
const DEVICES: [u8; 2] = [0, 1];
/// The register of the control block, as a cable has it.
const CONTROL: u8 = 8;

/// The channel of a region, and whether it is the control block.
fn place_of(region: RegionId) -> Option<(usize, bool)> {
    Some(match region {
        PRIMARY => (0, false),
        PRIMARY_CONTROL => (0, true),
        SECONDARY => (1, false),
        SECONDARY_CONTROL => (1, true),
        _ => return None,
    })
}

/// The registers that an access touches, one after the other: which, in which byte lane, and how many bytes of it. The data
/// register has 16 bits, and four bytes of it are two transfers.
fn registers(control: bool, offset: u64, size: u8) -> impl Iterator<Item = (u8, u8, u8)> {
    let wide = !control && offset == 0;
    let width = if wide { size.min(2) } else { 1 };
    (0..size.div_ceil(width)).map(move |n| {
        let register = match (control, wide) {
            (true, _) => CONTROL,
            (false, true) => 0,
            (false, false) => offset as u8 + n,
        };
        (register, n * width, width)
    })
}

/// Starts a transfer on a cable.
fn ask(cx: &mut Cx<'_>, channel: usize, device: u8, transfer: IdeTransfer) -> Option<u64> {
    let on = On::Port(PORTS_OF_CABLES[channel]);
    cx.cycle(on, Cycle::Ide { device, transfer }).ok()
}

// Bus master: BMIC in the lowest byte of the first word, BMIS in the third; BMIDTP is the second word.
const SSBM: u32 = 1 << 0;
/// Data goes to memory.
const RWCON: u32 = 1 << 3;
/// Bytes of a memory region at most.
const LARGEST_REGION: u32 = 1 << 16;
const BMIC_KEPT: u32 = 0x09;
const BMIS_ACTIVE: u32 = 1 << 16;
const BMIS_ERROR: u32 = 2 << 16;
const BMIS_INTERRUPT: u32 = 4 << 16;
const BMIS_CLEAR: u32 = 0x06 << 16;
const BMIS_KEPT: u32 = 0x60 << 16;
const BMIDTP_KEPT: u32 = !3;

/// A `piix3-ide` or `piix4-ide` has no properties.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema, Ranges)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct IdeProps {}

/// Where the bus master is in its list of memory regions (Programming Interface for Bus Master IDE Controller, 1.2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, State)]
struct Cursor {
    /// The address of the next descriptor.
    next: u32,
    /// The address of the region's rest, and its length in bytes; 0 before the first region.
    at: u32,
    left: u32,
    /// The region is the last.
    last: bool,
}

/// What drives have to do with a channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, State)]
struct Traffic {
    /// Where a transfer is that has begun.
    cursor: Option<Cursor>,
    /// The last region has been filled, or could not be reached.
    ended: bool,
    /// INTRQ as the drives have it.
    intrq: bool,
}

/// A channel: its bus master, and its cable. The registers of the command and control blocks are in the drives, so that without
/// one there is nothing to write to.
#[derive(Debug, Default, State)]
struct Channel {
    /// BMIC and the bits of BMIS that are kept.
    command_status: u32,
    bmidtp: u32,
    #[state(since = 3, default = Traffic::default())]
    traffic: Traffic,
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

    /// Whether a transfer was started and goes on.
    fn active(&self) -> bool {
        self.command_status & SSBM != 0 && !self.traffic.ended
    }

    /// Reads one of the bus master's two words.
    fn bus_master(&self, second: bool) -> u32 {
        if second {
            return self.bmidtp;
        }
        let active = if self.active() { BMIS_ACTIVE } else { 0 };
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
            let before = self.command_status;
            self.command_status = kept & !mask | bits & mask;
            // A transfer that is stopped cannot go on; one that is started begins with the list.
            if (before ^ self.command_status) & SSBM != 0 {
                (self.traffic.cursor, self.traffic.ended) = (None, false);
            }
        }
    }
}

/// The device.
#[derive(Debug, State)]
pub struct PiixIde<const CHIP: u8> {
    config: PciConfig,
    channels: [Channel; 2],
    #[state(skip = "data on its way within one call")]
    scratch: Vec<u8>,
}

/// Function 1 of a PIIX3.
pub type Piix3Ide = PiixIde<3>;
/// Function 1 of a PIIX4.
pub type Piix4Ide = PiixIde<4>;

impl<const CHIP: u8> Model for PiixIde<CHIP> {
    const TYPE: &'static str = match CHIP {
        3 => "piix3-ide",
        _ => "piix4-ide",
    };
    const SUMMARY: &'static str = match CHIP {
        3 => "Intel 82371SB (PIIX3) IDE controller",
        _ => "Intel 82371AB (PIIX4) IDE controller",
    };
    type Props = IdeProps;

    fn interface(props: &IdeProps) -> Result<Interface, PropError> {
        Ok(connections(props))
    }

    fn build(_: IdeProps, _: Wires<'_>) -> Result<Self, BuildError> {
        let config = PciConfig::new(PciId {
            vendor: 0x8086,
            device: if CHIP == 3 { 0x7010 } else { 0x7111 },
            class: 0x01_0180,
            subsystem: (0x1af4, 0x1100),
            ..PciId::default()
        })
        .writable(pci::COMMAND, 2, 0x0005)
        .initial(pci::STATUS, 2, 0x0280)
        .bar(4, Space::Io, BUS_MASTER_SIZE, BUS_MASTER)
        .writable(IDETIM[0], 2, 0xf3ff)
        .writable(IDETIM[1], 2, 0xf3ff)
        .writable(SIDETIM, 1, 0xff);
        let config = match CHIP {
            3 => config,
            _ => config
                .writable(UDMACTL, 1, 0x0f)
                .writable(UDMATIM, 2, 0x3333),
        };
        Ok(Self {
            config,
            channels: Default::default(),
            scratch: Vec::new(),
        })
    }
}

impl<const CHIP: u8> Device for PiixIde<CHIP> {
    fn reset(&mut self, cx: &mut Cx<'_>) {
        self.config.reset();
        self.channels = Default::default();
        self.show(cx);
    }

    fn read(&mut self, cx: &mut Cx<'_>, at: Access) -> Result<u64, BusError> {
        let Access { offset, size, .. } = at;
        if at.region == BUS_MASTER {
            let channel = &self.channels[usize::from(offset & 8 != 0)];
            return Ok(lanes(channel.bus_master(offset & 4 != 0), offset, size));
        }
        let (channel, control) = place_of(at.region).ok_or(BusError)?;
        let mut value = 0;
        for (register, lane, width) in registers(control, offset, size) {
            let part = self.read_register(cx, channel, register, width);
            value |= part << (8 * lane);
        }
        Ok(value)
    }

    fn write(&mut self, cx: &mut Cx<'_>, at: Access, value: u64) -> Result<(), BusError> {
        let Access { offset, size, .. } = at;
        if at.region == BUS_MASTER {
            let channel = usize::from(offset & 8 != 0);
            self.channels[channel].write_bus_master(
                offset & 4 != 0,
                merge(0, offset, size, value),
                merge(0, offset, size, u64::MAX),
            );
            self.update(cx, channel);
            return Ok(());
        }
        let (channel, control) = place_of(at.region).ok_or(BusError)?;
        for (register, lane, width) in registers(control, offset, size) {
            let mask = if width == 1 { 0xff } else { 0xffff };
            let part = (value >> (8 * lane)) as u16 & mask;
            for device in DEVICES {
                let _ = ask(cx, channel, device, IdeTransfer::Write(register, part));
            }
        }
        Ok(())
    }

    fn attend(&mut self, cx: &mut Cx<'_>, port: PortId) {
        self.update(cx, usize::from(port == IDE1));
    }

    fn pci(&mut self) -> Option<&mut dyn PciFunction> {
        Some(self)
    }

    fn restored(&mut self, cx: &mut Cx<'_>) -> Result<(), StateError> {
        let cursors = self.channels.iter().filter_map(|c| c.traffic.cursor);
        if cursors
            .into_iter()
            .any(|cursor| cursor.left > LARGEST_REGION)
        {
            return Err(StateError::new("a memory region that no descriptor has"));
        }
        self.show(cx);
        Ok(())
    }
}

impl<const CHIP: u8> PciFunction for PiixIde<CHIP> {
    fn config(&mut self) -> &mut PciConfig {
        &mut self.config
    }

    fn config_written(&mut self, cx: &mut Cx<'_>, _: u8, _: u8) {
        self.place(cx);
        // It may be a bus master now.
        (0..self.channels.len()).for_each(|channel| self.update(cx, channel));
    }
}

impl<const CHIP: u8> PiixIde<CHIP> {
    /// Everything that others see of the registers as they now stand.
    fn show(&self, cx: &mut Cx<'_>) {
        self.config.apply_bars(cx);
        self.place(cx);
        for (channel, irq) in self.channels.iter().zip(IRQS) {
            cx.set(irq, channel.traffic.intrq);
        }
    }

    /// Reads a register of the drive that is selected.
    fn read_register(&self, cx: &mut Cx<'_>, channel: usize, register: u8, width: u8) -> u64 {
        let read = IdeTransfer::Read(register);
        let answer = DEVICES
            .into_iter()
            .find_map(|device| ask(cx, channel, device, read));
        answer.unwrap_or_else(|| {
            let there = |device| ask(cx, channel, device, IdeTransfer::Signals).is_some();
            match DEVICES.into_iter().any(there) {
                // The one that is there answers for the other (ATA/ATAPI-6, 9.16.1).
                true => 0,
                false => Channel::floating(register.into(), width),
            }
        })
    }

    /// Follows the lines of a cable, and moves what data can be moved.
    fn update(&mut self, cx: &mut Cx<'_>, channel: usize) {
        loop {
            let signals = DEVICES.map(|device| {
                let lines = ask(cx, channel, device, IdeTransfer::Signals);
                lines.map_or(IdeSignals::default(), IdeSignals::from)
            });
            let intrq = signals.iter().any(|s| s.intrq);
            let state = &mut self.channels[channel];
            if intrq && !state.traffic.intrq {
                state.command_status |= BMIS_INTERRUPT;
            }
            state.traffic.intrq = intrq;
            cx.set(IRQS[channel], intrq);
            let asks = (0..).zip(signals).find(|(_, s)| s.dmarq);
            match asks {
                Some((device, _)) if state.active() && self.move_data(cx, channel, device) => {}
                _ => return,
            }
        }
    }

    /// Moves data between a drive and the region where the bus master is, or goes on to the next region. False if it does not
    /// go on from here.
    fn move_data(&mut self, cx: &mut Cx<'_>, channel: usize, device: u8) -> bool {
        if self.config.command() & COMMAND_MASTER == 0 {
            return false;
        }
        let state = &mut self.channels[channel];
        let to_memory = state.command_status & RWCON != 0;
        let mut cursor = state.traffic.cursor.unwrap_or(Cursor {
            next: state.bmidtp,
            ..Cursor::default()
        });
        if cursor.left == 0 {
            let mut descriptor = [0; 8];
            if cursor.last || cx.dma_read(cursor.next.into(), &mut descriptor).is_err() {
                self.end_transfer(channel, !cursor.last);
                return false;
            }
            let [a, b, c, d, e, f, _, flags] = descriptor;
            let length = u32::from(u16::from_le_bytes([e, f]) & !1);
            cursor = Cursor {
                next: cursor.next.wrapping_add(8),
                at: u32::from_le_bytes([a, b, c, d]) & !1,
                left: if length == 0 { LARGEST_REGION } else { length },
                last: flags & 0x80 != 0,
            };
        }
        let port = PORTS_OF_CABLES[channel];
        self.scratch.resize(cursor.left as usize, 0);
        let at = u64::from(cursor.at);
        let (moved, reached) = match to_memory {
            true => {
                let moved = cx.burst(port, device, Transfer::Read(&mut self.scratch));
                (moved, cx.dma_write(at, &self.scratch[..moved]))
            }
            false => match cx.dma_read(at, &mut self.scratch) {
                Ok(()) => (
                    cx.burst(port, device, Transfer::Write(&self.scratch)),
                    Ok(()),
                ),
                refused => (0, refused),
            },
        };
        cursor.at = cursor.at.wrapping_add(moved as u32);
        cursor.left -= moved as u32;
        self.channels[channel].traffic.cursor = Some(cursor);
        if reached.is_err() || cursor.left == 0 && cursor.last {
            self.end_transfer(channel, reached.is_err());
        }
        moved > 0
    }

    /// The bus master stops, because the list is at its end or memory could not be reached.
    fn end_transfer(&mut self, channel: usize, error: bool) {
        let state = &mut self.channels[channel];
        state.traffic.ended = true;
        if error {
            state.command_status |= BMIS_ERROR;
        }
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

    fn bench() -> Bench<Piix4Ide> {
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
    fn a_piix3_has_no_ultra_dma() {
        let mut b = Bench::<Piix3Ide>::new(IdeProps {});
        assert_eq!(b.config_read(0, 4), 0x7010_8086);
        b.config_write(0x48, 4, u32::MAX);
        assert_eq!(b.config_read(0x48, 4), 0);
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

//! The configuration space of a PCI function (PCI Local Bus Specification 2.2, chapter 6).

use crate::{Cx, RegionId, Space, State};

/// Offset of the command register.
pub const COMMAND: u8 = 0x04;
/// Offset of the status register.
pub const STATUS: u8 = 0x06;
/// Command: answers I/O accesses.
pub const COMMAND_IO: u16 = 1 << 0;
/// Command: answers memory accesses.
pub const COMMAND_MEMORY: u16 = 1 << 1;
/// Command: may be a bus master.
pub const COMMAND_MASTER: u16 = 1 << 2;
/// Command: keeps its INTx pin quiet.
pub const COMMAND_INTX_DISABLE: u16 = 1 << 10;
/// Status: its INTx pin would be asserted.
pub const STATUS_INTX: u16 = 1 << 3;

/// A function on a PCI bus: the face of a [`Device`](crate::Device).
pub trait PciFunction {
    /// The configuration space.
    fn config(&mut self) -> &mut PciConfig;
    /// `size` bytes at `offset` are about to be read.
    fn config_read(&mut self, cx: &mut Cx<'_>, offset: u8, size: u8) {
        let _ = (cx, offset, size);
    }
    /// `size` bytes at `offset` were written; base address registers have already been applied.
    fn config_written(&mut self, cx: &mut Cx<'_>, offset: u8, size: u8) {
        let _ = (cx, offset, size);
    }
}

/// Runs a configuration write: the register, then the regions behind base address registers, then the
/// function's own reaction.
pub fn config_write(
    function: &mut dyn PciFunction,
    cx: &mut Cx<'_>,
    offset: u8,
    size: u8,
    value: u32,
) {
    let config = function.config();
    config.write(offset, size, value);
    if offset < 0x28 || offset & !3 == ROM_BASE {
        config.apply_bars(cx);
    }
    function.config_written(cx, offset, size);
}

/// What identifies a function; the read-only head of its configuration space.
#[derive(Debug, Clone, Copy, Default)]
pub struct PciId {
    /// Vendor.
    pub vendor: u16,
    /// Device.
    pub device: u16,
    /// Revision.
    pub revision: u8,
    /// Class, subclass and programming interface, 24 bits.
    pub class: u32,
    /// Subsystem vendor and subsystem.
    pub subsystem: (u16, u16),
    /// 0x80 in function 0 of a device with several.
    pub header_type: u8,
    /// INTA# is 1, INTD# is 4, none is 0.
    pub interrupt_pin: u8,
}

#[derive(Debug, Clone, Copy)]
struct Bar {
    space: Space,
    size: u32,
    region: RegionId,
}

/// 256 bytes of configuration space: their values, which bits a guest can set, and which it clears by
/// writing one.
#[derive(Debug, State)]
pub struct PciConfig {
    bytes: [u8; 256],
    #[state(skip = "fixed by the type")]
    reset: [u8; 256],
    #[state(skip = "fixed by the type")]
    writable: [u8; 256],
    #[state(skip = "fixed by the type")]
    clearable: [u8; 256],
    #[state(skip = "fixed by the type")]
    bars: [Option<Bar>; 6],
    #[state(skip = "fixed by the type")]
    rom: Option<Bar>,
}

/// The expansion ROM's base address register, and the bit of it that enables the ROM.
const ROM_BASE: u8 = 0x30;
const ROM_ENABLE: u32 = 1 << 0;

impl PciConfig {
    /// A type 0 header: command (I/O, memory, master, SERR#, INTx disable), cache line size and interrupt line can be
    /// written, and the status error bits cleared.
    pub fn new(id: PciId) -> Self {
        let zero = [0; 256];
        let mut config = Self {
            bytes: zero,
            reset: zero,
            writable: zero,
            clearable: zero,
            bars: [None; 6],
            rom: None,
        };
        for (offset, size, value) in [
            (0x00, 2, u32::from(id.vendor)),
            (0x02, 2, u32::from(id.device)),
            (0x08, 4, id.class << 8 | u32::from(id.revision)),
            (0x0e, 1, u32::from(id.header_type)),
            (0x2c, 2, u32::from(id.subsystem.0)),
            (0x2e, 2, u32::from(id.subsystem.1)),
            (0x3d, 1, u32::from(id.interrupt_pin)),
        ] {
            config = config.initial(offset, size, value);
        }
        config
            .writable(COMMAND, 2, 0x0507)
            .clearable(STATUS, 2, 0xf900)
            .writable(0x0c, 1, 0xff)
            .writable(0x3c, 1, 0xff)
    }

    /// Sets the value after reset of `size` bytes at `offset`.
    #[must_use]
    pub fn initial(mut self, offset: u8, size: u8, value: u32) -> Self {
        put(&mut self.reset, offset, size, value);
        self.bytes = self.reset;
        self
    }

    /// Sets which bits of `size` bytes at `offset` a guest can write, replacing what was set before.
    #[must_use]
    pub fn writable(mut self, offset: u8, size: u8, mask: u32) -> Self {
        put(&mut self.writable, offset, size, mask);
        self
    }

    /// Sets which bits of `size` bytes at `offset` a guest clears by writing one.
    #[must_use]
    pub fn clearable(mut self, offset: u8, size: u8, mask: u32) -> Self {
        put(&mut self.clearable, offset, size, mask);
        self
    }

    /// Base address register `index` (0 to 5) shows a region of the device. `size` is the power of two that the
    /// register decodes, at least 16 for memory and 4 for I/O.
    #[must_use]
    pub fn bar(mut self, index: u8, space: Space, size: u32, region: RegionId) -> Self {
        let offset = 0x10 + 4 * (index % 6);
        let (flags, low) = if space == Space::Io { (1, 3) } else { (0, 15) };
        self.bars[usize::from(index % 6)] = Some(Bar {
            space,
            size,
            region,
        });
        self.initial(offset, 4, flags)
            .writable(offset, 4, !(size.wrapping_sub(1) | low))
    }

    /// The expansion ROM's base address register shows a region of the device, of a power of two of at least 2 KiB.
    #[must_use]
    pub fn rom(mut self, size: u32, region: RegionId) -> Self {
        self.rom = Some(Bar {
            space: Space::Memory,
            size,
            region,
        });
        let mask = !(size.wrapping_sub(1) | 0x7ff) | ROM_ENABLE;
        self.writable(ROM_BASE, 4, mask)
    }

    /// Back to the values after reset. Call [`PciConfig::apply_bars`] afterwards.
    pub fn reset(&mut self) {
        self.bytes = self.reset;
    }

    /// The value of `size` bytes (1, 2 or 4) at `offset`.
    pub fn get(&self, offset: u8, size: u8) -> u32 {
        (0..size).rev().fold(0, |value, i| {
            value << 8 | u32::from(self.bytes[usize::from(offset.wrapping_add(i))])
        })
    }

    /// Sets `size` bytes at `offset` from the device's side: no mask applies.
    pub fn set(&mut self, offset: u8, size: u8, value: u32) {
        put(&mut self.bytes, offset, size, value);
    }

    /// A write by the guest.
    pub fn write(&mut self, offset: u8, size: u8, value: u32) {
        for i in 0..size {
            let at = usize::from(offset.wrapping_add(i));
            let byte = (value >> (8 * u32::from(i))) as u8;
            let kept = self.bytes[at] & !self.writable[at] & !(byte & self.clearable[at]);
            self.bytes[at] = kept | (byte & self.writable[at]);
        }
    }

    /// The command register.
    pub fn command(&self) -> u16 {
        self.get(COMMAND, 2) as u16
    }

    /// The base address registers that show a region: the number of each, its space, and the bytes that it decodes.
    pub fn bars(&self) -> impl Iterator<Item = (u8, Space, u32)> {
        let bars = (0..).zip(&self.bars);
        bars.filter_map(|(index, bar)| bar.map(|bar| (index, bar.space, bar.size)))
    }

    /// Which bits a guest can set, and which it clears by writing one.
    pub fn masks(&self) -> [(&'static str, &[u8; 256]); 2] {
        [("writable", &self.writable), ("clearable", &self.clearable)]
    }

    /// The address in a base address register, if its space is enabled and it has been set.
    pub fn bar_address(&self, index: u8) -> Option<u64> {
        let bar = self.bars.get(usize::from(index)).copied().flatten()?;
        let enable = if bar.space == Space::Io {
            COMMAND_IO
        } else {
            COMMAND_MEMORY
        };
        let base = self.get(0x10 + 4 * index, 4) & !(bar.size.wrapping_sub(1));
        (self.command() & enable != 0 && base != 0).then_some(u64::from(base))
    }

    /// Maps or unmaps the regions behind the base address registers as they now stand.
    pub fn apply_bars(&self, cx: &mut Cx<'_>) {
        for (index, bar) in (0..).zip(&self.bars) {
            if let Some(bar) = bar {
                match self.bar_address(index) {
                    Some(at) => cx.map(bar.region, at, u64::from(bar.size), 0),
                    None => cx.unmap(bar.region),
                }
            }
        }
        if let Some(rom) = &self.rom {
            let register = self.get(ROM_BASE, 4);
            let base = register & !(rom.size.wrapping_sub(1));
            let on = register & ROM_ENABLE != 0 && self.command() & COMMAND_MEMORY != 0;
            match on && base != 0 {
                true => cx.map(rom.region, base.into(), rom.size.into(), 0),
                false => cx.unmap(rom.region),
            }
        }
    }

    /// Notes in the status register whether the function asks for an interrupt, and returns the level for its INTx
    /// output: asserted unless the command register disables it.
    pub fn intx(&mut self, asserted: bool) -> bool {
        let status = self.get(STATUS, 2) as u16 & !STATUS_INTX;
        self.set(
            STATUS,
            2,
            u32::from(if asserted {
                status | STATUS_INTX
            } else {
                status
            }),
        );
        asserted && self.command() & COMMAND_INTX_DISABLE == 0
    }
}

fn put(bytes: &mut [u8; 256], offset: u8, size: u8, value: u32) {
    for i in 0..size.min(4) {
        bytes[usize::from(offset.wrapping_add(i))] = (value >> (8 * u32::from(i))) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> PciConfig {
        PciConfig::new(PciId {
            vendor: 0x8086,
            device: 0x7113,
            class: 0x068000,
            revision: 3,
            ..PciId::default()
        })
        .initial(STATUS, 2, 0x0280)
        .bar(4, Space::Io, 16, RegionId(0))
    }

    #[test]
    fn read_only_and_clearable_bits() {
        let mut c = config();
        c.write(0, 4, 0);
        assert_eq!(c.get(0, 4), 0x7113_8086);
        assert_eq!(c.get(8, 4), 0x0680_0003);
        c.write(4, 4, 0xffff_ffff);
        assert_eq!(c.get(4, 4), 0x0280_0507);
        c.set(STATUS, 2, 0xffff);
        c.write(4, 4, 0x1000_0000);
        assert_eq!(c.get(4, 4), 0xefff_0000);
    }

    #[test]
    fn a_bar_is_sized_and_enabled() {
        let mut c = config();
        c.write(0x20, 4, 0xffff_ffff);
        assert_eq!(c.get(0x20, 4), 0xffff_fff1);
        c.write(0x20, 4, 0x1081);
        assert_eq!(c.bar_address(4), None);
        c.write(4, 2, 1);
        assert_eq!(c.bar_address(4), Some(0x1080));
        c.write(0x10, 4, 0xffff_ffff);
        assert_eq!(c.get(0x10, 4), 0);
        c.reset();
        assert_eq!(c.get(0x20, 4), 1);
    }
}

//! Galileo GT-64120 system controller: CPU address decode, PCI host bridge, interrupt causes, timer/counters
//! and DMA (Galileo Technology, GT-64120 System Controller datasheet, register tables).
//!
//! The controller answers the whole low 512 MiB of its bus, so nothing there is a bus error. SDRAM, flash and
//! device chip selects are wired on the board, so their decode and timing registers only hold their values.
//! PCI_1 is the upper half of the 64-bit PCI bus and has no devices: its windows are not mapped, and its
//! configuration cycles end in master aborts.
//!
//! **Byte order.** The registers are little-endian in memory as long as CPU configuration bit 12 tells the
//! order in which the CPU was strapped (`big-endian`), and byte-swapped while it does not. The PCI master
//! swaps bytes while MByteSwap of the PCI command register is 0. For the configuration data port both swaps
//! apply (its own function 0.0 only has the first). For the memory and I/O windows the two cancel out when
//! the guest sets both right, which keeps every byte at its address; this is what the model does, and a guest
//! that sets MByteSwap against the strap is told that the windows do not follow. The other swap bits concern
//! PCI masters and 64-bit words, and hold their values.

mod counter;
mod dma;
#[cfg(test)]
mod tests;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solderless_model::pci::{PciConfig, PciId, STATUS};
use solderless_model::{
    Access, BuildError, BusError, BusKind, Cx, Cycle, Device, Hertz, Interface, Model, On, Pins,
    Placement, Port, PropError, Ranges, Region, Space, State, StateError, TimerId, Wires,
    connections, lanes, merge,
};

use counter::{Counter, Mode};

/// Properties of a GT-64120.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, Ranges)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Gt64120Props {
    /// Byte order of the CPU, as the chip samples it at reset: the reset value of the endianness bit and of the
    /// byte swap bits.
    pub big_endian: bool,
    /// Frequency of the TClk pin, which clocks the timer/counters and the DMA channels: at most 1 GHz.
    pub tclk: Hertz,
}

impl Default for Gt64120Props {
    fn default() -> Self {
        Self {
            big_endian: false,
            tclk: Hertz(100_000_000),
        }
    }
}

connections! {
    fn connections(_: &Gt64120Props) on BusKind::System;
    region ISD = Region::registers("isd", 0x1000).placed(Placement::Device);
    region PCI0_IO = window("pci0-io", Space::Io);
    region PCI0_MEM0 = window("pci0-mem0", Space::Memory);
    region PCI0_MEM1 = window("pci0-mem1", Space::Memory);
    region UNCLAIMED = Region::registers("unclaimed", 512 << 20)
        .max_width(8)
        .placed(Placement::Fixed(0))
        .background();
    port PCI = Port::new("pci", BusKind::Pci);
    output INT = Pins::named("int");
}

fn window(name: &'static str, space: Space) -> Region {
    Region::bridge(name, WINDOW_MAX, PCI, space).placed(Placement::Device)
}

/// A PCI window is at most 128 steps of 2 MiB long.
const WINDOW_MAX: u64 = 128 << WINDOW_SHIFT;
const WINDOW_SHIFT: u32 = 21;

const CPU_CONFIG: usize = 0x000;
const ISD_DECODE: usize = 0x068;
const CPU_ERROR_LOW: usize = 0x070;
const CPU_ERROR_HIGH: usize = 0x078;
const TIMER_0: usize = 0x850;
const TIMER_3: usize = 0x85c;
const TC_CONTROL: usize = 0x864;
const PCI0_COMMAND: usize = 0xc00;
const PCI1_COMMAND: usize = 0xc80;
const CAUSE: usize = 0xc18;
const CPU_MASK: usize = 0xc1c;
const PCI0_MASK: usize = 0xc24;
const PCI1_IACK: usize = 0xc30;
const PCI0_IACK: usize = 0xc34;
const CPU_SELECT: usize = 0xc70;
const PCI0_SELECT: usize = 0xc74;
const HIGH_CAUSE: usize = 0xc98;
const HIGH_CPU_MASK: usize = 0xc9c;
const HIGH_PCI0_MASK: usize = 0xca4;
const PCI1_CONFIG_ADDRESS: usize = 0xcf0;
const PCI1_CONFIG_DATA: usize = 0xcf4;
const PCI0_CONFIG_ADDRESS: usize = 0xcf8;
const PCI0_CONFIG_DATA: usize = 0xcfc;

const CPU_LITTLE_ENDIAN: u32 = 1 << 12;
const MASTER_BYTE_SWAP_OFF: u32 = 1 << 0;
const SLAVE_BYTE_SWAP_OFF: u32 = 1 << 16;
const CONFIG_ENABLE: u32 = 1 << 31;

const CAUSE_DMA_OUT: u32 = 1 << 2;
const CAUSE_CPU_OUT: u32 = 1 << 3;
const CAUSE_DMA_COMP: u32 = 1 << 4;
const CAUSE_TIMER: u32 = 1 << 8;
const CAUSE_MASTER_ABORT: u32 = 1 << 18;
/// Doorbells that the CPU rings by writing 0.
const CAUSE_CPU_INT: u32 = 0x03e0_0000;
/// What may interrupt the CPU, and what may interrupt PCI; the rest of the register are their summaries.
const CAUSE_FOR_CPU: u32 = 0x3c1f_fffe;
const CAUSE_FOR_PCI: u32 = 0x03ff_fffe;
const CAUSE_ANY: u32 = CAUSE_FOR_CPU | CAUSE_FOR_PCI;

/// Received master abort, in the high byte of the PCI status register.
const STATUS_MASTER_ABORT: u32 = 1 << 13;

/// Low decode, high decode and remap register of a window of the CPU's addresses.
struct Decode {
    low: usize,
    high: usize,
    remap: usize,
}

const fn decode(low: usize, remap: usize) -> Decode {
    Decode {
        low,
        high: low + 8,
        remap,
    }
}

/// Where the PCI_0 windows are decoded: I/O, memory 0, memory 1, in the order of their regions.
const PCI0_WINDOWS: [Decode; 3] = [
    decode(0x048, 0x0f0),
    decode(0x058, 0x0f8),
    decode(0x080, 0x100),
];
/// The other windows: SCS[1:0], SCS[3:2], CS[2:0], CS[3] and boot, and PCI_1's three.
const OTHER_WINDOWS: [Decode; 7] = [
    decode(0x008, 0x0d0),
    decode(0x018, 0x0d8),
    decode(0x028, 0x0e0),
    decode(0x038, 0x0e8),
    decode(0x090, 0x108),
    decode(0x0a0, 0x110),
    decode(0x0b0, 0x118),
];

/// Every register: offset, value after reset, bits that a write sets. What is not listed reads 0.
#[rustfmt::skip]
const REGISTERS: &[(usize, u32, u32)] = &[
    // CPU configuration, and the decode of CPU addresses.
    (CPU_CONFIG, 0, !0), (0x120, 3, 0),
    (0x008, 0x000, 0x7fff), (0x010, 0x07, 0x7f), (0x018, 0x008, 0x7fff), (0x020, 0x0f, 0x7f),
    (0x028, 0x0e0, 0x7fff), (0x030, 0x70, 0x7f), (0x038, 0x0f8, 0x7fff), (0x040, 0x7f, 0x7f),
    (0x048, 0x080, 0x7fff), (0x050, 0x0f, 0x7f), (0x058, 0x090, 0x7fff), (0x060, 0x1f, 0x7f),
    (ISD_DECODE, 0xa0, 0x7fff),
    (0x080, 0x790, 0x7fff), (0x088, 0x1f, 0x7f), (0x090, 0x100, 0x7fff), (0x098, 0x0f, 0x7f),
    (0x0a0, 0x110, 0x7fff), (0x0a8, 0x1f, 0x7f), (0x0b0, 0x120, 0x7fff), (0x0b8, 0x2f, 0x7f),
    // Remaps. Reading a sync barrier register drains the buffers of its PCI bus; the value means nothing.
    (0x0c0, 0xc000_ffee, 0), (0x0c8, 0xc000_ffee, 0),
    (0x0d0, 0x000, 0x7ff), (0x0d8, 0x008, 0x7ff), (0x0e0, 0x0e0, 0x7ff), (0x0e8, 0x0f8, 0x7ff),
    (0x0f0, 0x080, 0x7ff), (0x0f8, 0x090, 0x7ff), (0x100, 0x790, 0x7ff),
    (0x108, 0x100, 0x7ff), (0x110, 0x110, 0x7ff), (0x118, 0x120, 0x7ff),
    // CPU errors: address, data, parity.
    (CPU_ERROR_LOW, 0, 0), (CPU_ERROR_HIGH, 0, 0), (0x128, !0, 0), (0x130, !0, 0), (0x138, 0xff, 0),
    // SDRAM and device decode, parameters and ECC.
    (0x400, 0x00, 0xff), (0x404, 0x07, 0xff), (0x408, 0x08, 0xff), (0x40c, 0x0f, 0xff),
    (0x410, 0x10, 0xff), (0x414, 0x17, 0xff), (0x418, 0x18, 0xff), (0x41c, 0x1f, 0xff),
    (0x420, 0xc0, 0xff), (0x424, 0xc7, 0xff), (0x428, 0xc8, 0xff), (0x42c, 0xcf, 0xff),
    (0x430, 0xd0, 0xff), (0x434, 0xdf, 0xff), (0x438, 0xf0, 0xff), (0x43c, 0xfb, 0xff),
    (0x440, 0xfc, 0xff), (0x444, 0xff, 0xff), (0x448, 0x200, !0),
    (0x44c, 5, 0x3fff), (0x450, 5, 0x3fff), (0x454, 5, 0x3fff), (0x458, 5, 0x3fff),
    (0x45c, 0x386f_ffff, !0), (0x460, 0x386f_ffff, !0), (0x464, 0x386f_ffff, !0),
    (0x468, 0x386f_ffff, !0), (0x46c, 0x146f_ffff, !0),
    (0x470, !0, 0), (0x474, 0, 7), (0x478, 7, 0xfff), (0x47c, 2, 7),
    (0x480, 0, 0), (0x484, 0, 0), (0x488, 0, 0), (0x48c, 0, 0), (0x490, 0, 0),
    // DMA: byte counts, source, destination, next record, control, current record, arbiter.
    (0x800, 0, 0xffff), (0x804, 0, 0xffff), (0x808, 0, 0xffff), (0x80c, 0, 0xffff),
    (0x810, 0, !0), (0x814, 0, !0), (0x818, 0, !0), (0x81c, 0, !0),
    (0x820, 0, !0), (0x824, 0, !0), (0x828, 0, !0), (0x82c, 0, !0),
    (0x830, 0, !0), (0x834, 0, !0), (0x838, 0, !0), (0x83c, 0, !0),
    (0x840, 0, !0), (0x844, 0, !0), (0x848, 0, !0), (0x84c, 0, !0),
    (0x870, 0, !0), (0x874, 0, !0), (0x878, 0, !0), (0x87c, 0, !0), (0x860, 0, 0xffff),
    // Timer/counters.
    (TIMER_0, !0, !0), (0x854, 0x00ff_ffff, 0x00ff_ffff), (0x858, 0x00ff_ffff, 0x00ff_ffff),
    (TIMER_3, 0x00ff_ffff, 0x00ff_ffff), (TC_CONTROL, 0, 0xff),
    // PCI_0: command, time-out, bank sizes, BAR enable, prefetch, BARs and swapped BARs.
    (PCI0_COMMAND, 0, 0x0401_fc0f), (0xc04, 0x070f, 0x00ff_ffff),
    (0xc08, 0x00ff_f000, 0xffff_f000), (0xc0c, 0x00ff_f000, 0xffff_f000),
    (0xc10, 0x01ff_f000, 0xffff_f000), (0xc14, 0x00ff_f000, 0xffff_f000),
    (0xc3c, 0x0f, 0x1ff), (0xc40, 0x40, 0xff),
    (0xc48, 0, 0xffff_f000), (0xc4c, 0x0100_0000, 0xffff_f000), (0xc50, 0x1c00_0000, 0xffff_f000),
    (0xc54, 0x1f00_0000, 0xffff_f000), (0xc58, 0, 0xffff_f000), (0xc5c, 0x0100_0000, 0xffff_f000),
    (0xc64, 0x1f00_0000, 0xffff_f000),
    // PCI_1: the same.
    (PCI1_COMMAND, 0, 0x0401_fc0f), (0xc84, 0x070f, 0x00ff_ffff),
    (0xc88, 0x00ff_f000, 0xffff_f000), (0xc8c, 0x00ff_f000, 0xffff_f000),
    (0xc90, 0x01ff_f000, 0xffff_f000), (0xc94, 0x00ff_f000, 0xffff_f000),
    (0xcbc, 0x0f, 0x1ff), (0xcc0, 0x40, 0xff),
    (0xcc8, 0, 0xffff_f000), (0xccc, 0x0100_0000, 0xffff_f000), (0xcd0, 0x1c00_0000, 0xffff_f000),
    (0xcd4, 0x1f00_0000, 0xffff_f000), (0xcd8, 0, 0xffff_f000), (0xcdc, 0x0100_0000, 0xffff_f000),
    (0xce4, 0x1f00_0000, 0xffff_f000),
    // Interrupt causes, masks and selected causes, low and high; SERR masks; acknowledge.
    (CAUSE, 0, CAUSE_ANY), (CPU_MASK, 0, CAUSE_FOR_CPU), (PCI0_MASK, 0, CAUSE_FOR_PCI), (0xc28, 0, !0),
    (PCI1_IACK, 0, 0), (PCI0_IACK, 0, 0), (CPU_SELECT, 0, 0), (PCI0_SELECT, 0, 0),
    (HIGH_CAUSE, 0, CAUSE_ANY), (HIGH_CPU_MASK, 0, CAUSE_FOR_CPU), (HIGH_PCI0_MASK, 0, CAUSE_FOR_PCI),
    (0xca8, 0, !0),
    // Configuration address and data.
    (PCI1_CONFIG_ADDRESS, 0, 0x80ff_fffc), (PCI1_CONFIG_DATA, 0, 0),
    (PCI0_CONFIG_ADDRESS, 0, 0x80ff_fffc), (PCI0_CONFIG_DATA, 0, 0),
];

const REGISTER_COUNT: usize = 0x400;

/// What is known of each of the 1024 words: reset value and writable bits, or nothing.
static KNOWN: [Option<(u32, u32)>; REGISTER_COUNT] = {
    let mut known = [None; REGISTER_COUNT];
    let mut i = 0;
    while i < REGISTERS.len() {
        let (offset, reset, writable) = REGISTERS[i];
        known[offset / 4] = Some((reset, writable));
        i += 1;
    }
    known
};

/// The GT-64120.
#[derive(Debug, State)]
pub struct Gt64120 {
    /// Every register as last written, by offset / 4. Causes are kept without their summary bits.
    registers: Box<[u32; REGISTER_COUNT]>,
    config: PciConfig,
    counters: [Counter; 4],
    /// When the record that a DMA channel works on is done.
    dma_due: [Option<u64>; 4],
    #[state(skip = "property")]
    big_endian: bool,
    #[state(skip = "property")]
    tclk: u64,
}

impl Model for Gt64120 {
    const TYPE: &'static str = "gt64120";
    const SUMMARY: &'static str = "Galileo GT-64120 system controller and PCI host bridge";
    type Props = Gt64120Props;

    fn interface(props: &Gt64120Props) -> Result<Interface, PropError> {
        if !(1..=1_000_000_000).contains(&props.tclk.0) {
            return Err(PropError::new("tclk", "must be 1Hz to 1GHz"));
        }
        Ok(connections(props))
    }

    fn build(props: Gt64120Props, _: Wires<'_>) -> Result<Self, BuildError> {
        Ok(Self {
            registers: Box::new([0; REGISTER_COUNT]),
            config: config_space(),
            counters: Default::default(),
            dma_due: [None; 4],
            big_endian: props.big_endian,
            tclk: props.tclk.0,
        })
    }
}

/// Function 0.0. Its base address registers are the SDRAM, device and register windows towards PCI masters.
/// The model lets masters reach the system's memory at its own addresses whatever they say, so they are fixed
/// at their reset values: a guest that sizes them finds nothing to assign.
fn config_space() -> PciConfig {
    let id = PciId {
        vendor: 0x11ab,
        device: 0x4620,
        revision: 0x10,
        class: 0x06_0000,
        subsystem: (0x1af4, 0x1100),
        header_type: 0,
        interrupt_pin: 1,
    };
    [
        0x0000_0008,
        0x0100_0008,
        0x1c00_0000,
        0x1f00_0000,
        0x1400_0000,
        0x1400_0001,
    ]
    .into_iter()
    .zip((0x10..).step_by(4))
    .fold(
        PciConfig::new(id).initial(STATUS, 2, 0x0280),
        |config, (bar, offset)| config.initial(offset, 4, bar),
    )
}

impl Device for Gt64120 {
    fn reset(&mut self, cx: &mut Cx<'_>) {
        for (register, known) in self.registers.iter_mut().zip(&KNOWN) {
            *register = known.map_or(0, |(reset, _)| reset);
        }
        if !self.big_endian {
            *self.reg_mut(CPU_CONFIG) = CPU_LITTLE_ENDIAN;
            let no_swap = MASTER_BYTE_SWAP_OFF | SLAVE_BYTE_SWAP_OFF;
            *self.reg_mut(PCI0_COMMAND) = no_swap;
            *self.reg_mut(PCI1_COMMAND) = no_swap;
        }
        self.config.reset();
        let now = cx.now();
        let programmed = |n| Counter::programmed(self.reg(TIMER_0 + 4 * n), now);
        self.counters = std::array::from_fn(programmed);
        self.dma_due = [None; 4];
        self.map_registers(cx);
        self.map_windows(cx);
        self.drive(cx);
    }

    fn read(&mut self, cx: &mut Cx<'_>, at: Access) -> Result<u64, BusError> {
        match at.region {
            ISD => {}
            UNCLAIMED => {
                self.unclaimed(cx, at.offset, "read");
                return Ok(0);
            }
            _ => return Err(BusError),
        }
        let swap = self.swaps_registers();
        let (offset, _) = swapped_if(swap, at.offset, at.size, 0);
        let value = match (offset & 0xffc) as usize {
            PCI0_CONFIG_DATA => self.config_read(cx, offset, at.size),
            PCI1_CONFIG_DATA => {
                self.high_master_abort(cx, self.reg(PCI1_CONFIG_ADDRESS) & CONFIG_ENABLE != 0);
                u64::MAX
            }
            word => lanes(self.read_register(cx, word), offset, at.size),
        };
        Ok(swapped_if(swap, 0, at.size, value).1)
    }

    fn write(&mut self, cx: &mut Cx<'_>, at: Access, value: u64) -> Result<(), BusError> {
        match at.region {
            ISD => {}
            UNCLAIMED => {
                self.unclaimed(cx, at.offset, "write");
                return Ok(());
            }
            _ => return Err(BusError),
        }
        let (offset, value) = swapped_if(self.swaps_registers(), at.offset, at.size, value);
        match (offset & 0xffc) as usize {
            PCI0_CONFIG_DATA => self.config_write(cx, offset, at.size, value),
            PCI1_CONFIG_DATA => {
                self.high_master_abort(cx, self.reg(PCI1_CONFIG_ADDRESS) & CONFIG_ENABLE != 0);
            }
            word => {
                let written = merge(0, offset, at.size, value);
                let enabled = merge(0, offset, at.size, u64::MAX);
                self.write_register(cx, word, written, enabled);
            }
        }
        Ok(())
    }

    fn timer(&mut self, cx: &mut Cx<'_>, id: TimerId) {
        let n = usize::from(id.0);
        if let Some(counter) = self.counters.get_mut(n) {
            counter.due = None;
            self.raise(cx, CAUSE_TIMER << n);
        } else if n < usize::from(dma::FIRST_TIMER) + self.dma_due.len() {
            self.dma_done(cx, n - usize::from(dma::FIRST_TIMER));
        }
    }

    fn restored(&mut self, cx: &mut Cx<'_>) -> Result<(), StateError> {
        self.map_registers(cx);
        self.map_windows(cx);
        self.drive(cx);
        self.arm_counters(cx);
        self.arm_dma(cx);
        Ok(())
    }
}

/// The same access seen through a byte swap of its word: where it lies, and its value.
fn swapped_if(swap: bool, offset: u64, size: u8, value: u64) -> (u64, u64) {
    match (swap, size) {
        (true, 1) => (offset ^ 3, value),
        (true, 2) => (offset ^ 2, u64::from((value as u16).swap_bytes())),
        (true, 4) => (offset, u64::from((value as u32).swap_bytes())),
        _ => (offset, value),
    }
}

impl Gt64120 {
    fn reg(&self, offset: usize) -> u32 {
        self.registers[offset / 4 % REGISTER_COUNT]
    }

    fn reg_mut(&mut self, offset: usize) -> &mut u32 {
        &mut self.registers[offset / 4 % REGISTER_COUNT]
    }

    fn read_register(&mut self, cx: &mut Cx<'_>, offset: usize) -> u32 {
        if KNOWN[offset / 4 % REGISTER_COUNT].is_none() {
            cx.guest_error(format_args!("read of reserved register {offset:#05x}"));
        }
        match offset {
            TIMER_0..=TIMER_3 => {
                let n = (offset - TIMER_0) / 4 % self.counters.len();
                self.counters[n].count(self.counter_mode(n), cx.now(), self.tclk)
            }
            CAUSE => self.summary(CAUSE, CPU_MASK, PCI0_MASK),
            HIGH_CAUSE => self.summary(HIGH_CAUSE, HIGH_CPU_MASK, HIGH_PCI0_MASK),
            CPU_SELECT => self.select(CPU_MASK, HIGH_CPU_MASK),
            PCI0_SELECT => self.select(PCI0_MASK, HIGH_PCI0_MASK),
            PCI0_IACK => match cx.cycle(On::Port(PCI), Cycle::Acknowledge) {
                Ok(vector) => vector as u32,
                Err(BusError) => {
                    self.master_abort(cx);
                    u32::MAX
                }
            },
            PCI1_IACK => {
                self.high_master_abort(cx, true);
                u32::MAX
            }
            _ => self.reg(offset),
        }
    }

    /// Writes the bytes of a register that `enabled` covers.
    fn write_register(&mut self, cx: &mut Cx<'_>, offset: usize, written: u32, enabled: u32) {
        let Some((_, writable)) = KNOWN[offset / 4 % REGISTER_COUNT] else {
            cx.guest_error(format_args!("write of reserved register {offset:#05x}"));
            return;
        };
        let old = self.reg(offset);
        let enabled = enabled & writable;
        let new = old & !enabled | written & enabled;
        match offset {
            CAUSE | HIGH_CAUSE => {
                let zeros = enabled & !written;
                *self.reg_mut(offset) = old & !(zeros & !CAUSE_CPU_INT) | zeros & CAUSE_CPU_INT;
                self.arm_counters(cx);
                self.drive(cx);
                return;
            }
            _ => *self.reg_mut(offset) = new,
        }
        match offset {
            ISD_DECODE => self.map_registers(cx),
            0x008..=0x040 | 0x048..=0x060 | 0x080..=0x0b8 | 0x0f0..=0x100 => {
                let mut windows = PCI0_WINDOWS.iter().chain(&OTHER_WINDOWS);
                if let Some(window) = windows.find(|w| w.low == offset) {
                    *self.reg_mut(window.remap) = new & 0x7ff;
                }
                self.map_windows(cx);
            }
            dma::CONTROL..=0x84c => self.dma_controlled(cx, (offset - dma::CONTROL) / 4, old),
            TIMER_0..=TIMER_3 => {
                let n = (offset - TIMER_0) / 4 % self.counters.len();
                self.counters[n] = Counter::programmed(new, cx.now());
                self.arm_counters(cx);
            }
            TC_CONTROL => {
                for (n, counter) in self.counters.iter_mut().enumerate() {
                    let before = Mode::of(old, n);
                    if before != Mode::of(new, n) {
                        counter.switch(before, cx.now(), self.tclk);
                    }
                }
                self.arm_counters(cx);
            }
            PCI0_COMMAND if (new & MASTER_BYTE_SWAP_OFF == 0) != self.big_endian => {
                cx.guest_error(format_args!(
                    "MByteSwap does not fit the CPU's byte order: PCI windows do not follow"
                ));
            }
            CPU_MASK | PCI0_MASK | HIGH_CPU_MASK | HIGH_PCI0_MASK => self.drive(cx),
            _ => {}
        }
    }

    /// Whether register accesses are byte-swapped: the endianness bit is not what the CPU is.
    fn swaps_registers(&self) -> bool {
        (self.reg(CPU_CONFIG) & CPU_LITTLE_ENDIAN != 0) == self.big_endian
    }

    /// Start and length of a window in CPU addresses; a window whose high is below its low is closed.
    fn window(&self, decode: &Decode) -> Option<(u64, u64)> {
        let low = self.reg(decode.low);
        let (first, last) = (low & 0x7f, self.reg(decode.high) & 0x7f);
        (first <= last).then(|| {
            let steps = u64::from(last - first) + 1;
            (u64::from(low) << WINDOW_SHIFT, steps << WINDOW_SHIFT)
        })
    }

    /// Where on PCI a window starts: the remap register replaces the address bits that are the same all over
    /// the window, and the others pass.
    fn target(&self, decode: &Decode) -> u64 {
        let low = self.reg(decode.low);
        let last = low & !0x7f | self.reg(decode.high) & 0x7f;
        let passing = (low ^ last).checked_ilog2().map_or(0, |bit| (2 << bit) - 1);
        let steps = self.reg(decode.remap) & !passing | low & passing & 0x7ff;
        u64::from(steps) << WINDOW_SHIFT
    }

    fn map_registers(&self, cx: &mut Cx<'_>) {
        let at = u64::from(self.reg(ISD_DECODE)) << WINDOW_SHIFT;
        cx.map(ISD, at, 0x1000, 0);
    }

    /// Maps the PCI_0 windows. Targets on PCI decode 16 bits of an I/O address, so whatever step of 2 MiB the
    /// remap register names, an I/O window starts at port 0 and answers in its first 64 KiB.
    fn map_windows(&self, cx: &mut Cx<'_>) {
        for (region, decode) in [PCI0_IO, PCI0_MEM0, PCI0_MEM1]
            .into_iter()
            .zip(&PCI0_WINDOWS)
        {
            let target = match region {
                PCI0_IO => self.target(decode) & 0xffff,
                _ => self.target(decode),
            };
            match self.window(decode) {
                Some((at, size)) => cx.map(region, at, size, target),
                None => cx.unmap(region),
            }
        }
    }

    /// An access that nothing else answers: a master abort in a PCI window, an address that no decoder takes
    /// outside of all windows, and otherwise a chip select without a chip.
    fn unclaimed(&mut self, cx: &mut Cx<'_>, address: u64, what: &str) {
        cx.guest_error(format_args!("{what} of {address:#010x}, where nothing is"));
        let inside = |decode: &&Decode| {
            self.window(decode)
                .is_some_and(|(at, size)| (at..at + size).contains(&address))
        };
        if PCI0_WINDOWS.iter().any(|d| inside(&d)) {
            self.master_abort(cx);
        } else if !OTHER_WINDOWS.iter().any(|d| inside(&d)) {
            if self.reg(CAUSE) & CAUSE_CPU_OUT == 0 {
                *self.reg_mut(CPU_ERROR_LOW) = address as u32;
                *self.reg_mut(CPU_ERROR_HIGH) = (address >> 32) as u32;
            }
            self.raise(cx, CAUSE_CPU_OUT);
        }
    }

    /// A transaction as PCI_0 master that no target claimed.
    fn master_abort(&mut self, cx: &mut Cx<'_>) {
        let status = self.config.get(STATUS, 2) | STATUS_MASTER_ABORT;
        self.config.set(STATUS, 2, status);
        self.raise(cx, CAUSE_MASTER_ABORT);
    }

    /// The same on PCI_1, if there was a transaction.
    fn high_master_abort(&mut self, cx: &mut Cx<'_>, transaction: bool) {
        if transaction {
            *self.reg_mut(HIGH_CAUSE) |= CAUSE_MASTER_ABORT;
            self.drive(cx);
        }
    }

    /// The function that the configuration address register names: slot × 8 + function, and the register. `None` if the
    /// register is disabled, on another bus (there are no bridges), or names slot 31, which stands for
    /// special cycles.
    fn config_address(&self) -> Option<(u8, u8)> {
        let address = self.reg(PCI0_CONFIG_ADDRESS);
        let (bus, slot) = (address >> 16 & 0xff, address >> 11 & 0x1f);
        (address & CONFIG_ENABLE != 0 && bus == 0 && slot != 31)
            .then_some(((address >> 8) as u8, address as u8 & 0xfc))
    }

    /// Whether the PCI master swaps the data of a configuration cycle: it does not run one for its own slot.
    fn swaps_config(&self) -> bool {
        let outside = self.reg(PCI0_CONFIG_ADDRESS) & 0x00ff_f800 != 0;
        outside && self.reg(PCI0_COMMAND) & MASTER_BYTE_SWAP_OFF == 0
    }

    fn config_read(&mut self, cx: &mut Cx<'_>, offset: u64, size: u8) -> u64 {
        let (lane, _) = swapped_if(self.swaps_config(), offset & 3, size, 0);
        let lane = lane as u8 & !(size - 1);
        let value = match self.config_address() {
            Some((0, register)) => Some(self.config.get(register | lane, size).into()),
            Some((devfn @ 8.., register)) => {
                let cycle = Cycle::Config {
                    devfn,
                    offset: (register | lane).into(),
                    size,
                    write: None,
                };
                let value = cx.cycle(On::Port(PCI), cycle);
                if value.is_err() {
                    self.master_abort(cx);
                }
                value.ok()
            }
            _ => {
                self.config_nowhere(cx);
                None
            }
        };
        let value = value.unwrap_or(u64::MAX);
        swapped_if(self.swaps_config(), 0, size, value).1
    }

    fn config_write(&mut self, cx: &mut Cx<'_>, offset: u64, size: u8, value: u64) {
        let (lane, value) = swapped_if(self.swaps_config(), offset & 3, size, value);
        let lane = lane as u8 & !(size - 1);
        match self.config_address() {
            Some((0, register)) => self.config.write(register | lane, size, value as u32),
            Some((devfn @ 8.., register)) => {
                let cycle = Cycle::Config {
                    devfn,
                    offset: (register | lane).into(),
                    size,
                    write: Some(value as u32),
                };
                if cx.cycle(On::Port(PCI), cycle).is_err() {
                    self.master_abort(cx);
                }
            }
            _ => self.config_nowhere(cx),
        }
    }

    /// A configuration access to a function of slot 0 other than 0, to another bus, or to slot 31; the last
    /// is a special cycle, which no target claims and which is no error.
    fn config_nowhere(&mut self, cx: &mut Cx<'_>) {
        let address = self.reg(PCI0_CONFIG_ADDRESS);
        if address & CONFIG_ENABLE != 0 && address & 0x00ff_f800 != 0x0000_f800 {
            self.master_abort(cx);
        }
    }

    fn counter_mode(&self, n: usize) -> Mode {
        Mode::of(self.reg(TC_CONTROL), n)
    }

    /// Arms a timer for the next expiry of each counter whose cause bit is not set already: while it is, another
    /// expiry changes nothing.
    fn arm_counters(&mut self, cx: &mut Cx<'_>) {
        for n in 0..self.counters.len() {
            let mode = self.counter_mode(n);
            let told = self.reg(CAUSE) & CAUSE_TIMER << n != 0;
            let counter = &mut self.counters[n];
            if told || mode == Mode::Stopped {
                counter.due = None;
            } else if counter.due.is_none() {
                counter.due = counter.next_expiry(mode, cx.now(), self.tclk);
            }
            match counter.due {
                Some(at) => cx.arm(TimerId(n as u8), at),
                None => cx.disarm(TimerId(n as u8)),
            }
        }
    }

    fn raise(&mut self, cx: &mut Cx<'_>, cause: u32) {
        *self.reg_mut(CAUSE) |= cause;
        self.drive(cx);
    }

    /// A cause register with its summaries: bit 0 any cause, 30 any that interrupts the CPU, 31 any that interrupts
    /// PCI.
    fn summary(&self, cause: usize, cpu_mask: usize, pci_mask: usize) -> u32 {
        let cause = self.reg(cause);
        cause
            | u32::from(cause != 0)
            | u32::from(cause & self.reg(cpu_mask) != 0) << 30
            | u32::from(cause & self.reg(pci_mask) != 0) << 31
    }

    /// The cause register that a handler has to look at: bit 30 says which (1 is the high one), bit 31 that
    /// both have something.
    fn select(&self, mask: usize, high_mask: usize) -> u32 {
        let low = self.reg(CAUSE) & self.reg(mask) != 0;
        let high = self.reg(HIGH_CAUSE) & self.reg(high_mask) != 0;
        match (low, high) {
            (false, true) => self.reg(HIGH_CAUSE) | 1 << 30,
            (true, true) => self.reg(CAUSE) | 1 << 31,
            _ => self.reg(CAUSE),
        }
    }

    fn drive(&self, cx: &mut Cx<'_>) {
        let low = self.reg(CAUSE) & self.reg(CPU_MASK);
        let high = self.reg(HIGH_CAUSE) & self.reg(HIGH_CPU_MASK);
        cx.set(INT, low | high != 0);
    }
}

//! A VGA with a linear framebuffer, as QEMU's and Bochs' standard adapter has it.
//!
//! IBM Personal System/2 Hardware Interface Technical Reference, "Video subsystem", for the VGA; Bochs' VBE extensions (DISPI) and QEMU,
//! docs/specs/standard-vga.rst, for modes with a linear framebuffer. The four planes lie interleaved in memory: the byte at offset A of
//! plane P is byte 4·A + P.
//!
//! A picture is made when somebody asks for one. Nothing blinks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solderless_model::memory::Ram;
use solderless_model::pci::{PciConfig, PciFunction, PciId};
use solderless_model::{
    Access, Backing, BuildError, BusError, BusKind, Cx, Device, Interface, Model, Picture,
    Placement, PropError, Ranges, Region, RegionId, Slot, SlotKind, Space, State, StateError,
    Wires, connections,
};

use crate::picture::{self, Text};

connections! {
    fn connections(props: &VgaProps) on BusKind::Pci;
    region VRAM = Region::memory("vram", props.vram().into()).placed(Placement::Device);
    region MMIO = Region::registers("mmio", MMIO_SIZE.into()).placed(Placement::Device);
    region ROM = Region::memory("rom", ROM_SIZE.into()).placed(Placement::Device);
    region WINDOW = Region::registers("window", WINDOW_SIZE).placed(Placement::Fixed(0xa_0000));
    region VBE = Region::ports("vbe", 4).max_width(2).placed(Placement::Fixed(0x1ce));
    region MONO = Region::ports("crtc-mono", 2).placed(Placement::Fixed(0x3b4));
    region MONO_STATUS = Region::ports("status-mono", 1).placed(Placement::Fixed(0x3ba));
    region PORTS = Region::ports("vga", 16).placed(Placement::Fixed(0x3c0));
    region COLOR = Region::ports("crtc-color", 2).placed(Placement::Fixed(0x3d4));
    region COLOR_STATUS = Region::ports("status-color", 1).placed(Placement::Fixed(0x3da));
    slot ROMFILE = Slot::new("romfile", SlotKind::Image);
}

const MMIO_SIZE: u32 = 0x1000;
const ROM_SIZE: u32 = 0x1_0000;
/// What a VGA shows of its memory below 1 MiB.
const WINDOW_SIZE: u64 = 0x2_0000;

// Miscellaneous output: the CRTC is at 3dx, not 3bx.
const MISC_COLOR: u8 = 1 << 0;
// Sequencer.
const SEQ_CLOCKING: usize = 1;
const SEQ_MAP_MASK: usize = 2;
const SEQ_FONTS: usize = 3;
const SEQ_MODE: usize = 4;
const SEQ_CHAIN4: u8 = 1 << 3;
// Graphics controller.
const GR_SET: usize = 0;
const GR_ENABLE_SET: usize = 1;
const GR_COMPARE: usize = 2;
const GR_ROTATE: usize = 3;
const GR_READ_MAP: usize = 4;
const GR_MODE: usize = 5;
const GR_MISC: usize = 6;
const GR_DONT_CARE: usize = 7;
const GR_BIT_MASK: usize = 8;
const GR_READ_COMPARE: u8 = 1 << 3;
const GR_ODD_EVEN: u8 = 1 << 4;
const GR_GRAPHICS: u8 = 1 << 0;
/// Bits of the registers that there are.
const SEQ_BITS: [u8; 8] = [0x03, 0x3d, 0x0f, 0x3f, 0x0e, 0, 0, 0xff];
const GR_BITS: [u8; 16] = [
    0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff, 0, 0, 0, 0, 0, 0, 0,
];
// CRTC.
const CRTC_OVERFLOW: usize = 0x07;
const CRTC_SYNC_END: usize = 0x11;
/// CRTC 11: registers 0 to 7 are not written, but for bit 4 of the last.
const CRTC_PROTECT: u8 = 1 << 7;
/// Attribute controller: the palette is shown and not written.
const AR_SHOWN: u8 = 1 << 5;

/// Of a picture 60 times a second: how long the whole, its return to the top, and a line take.
const FRAME_NS: u64 = 16_683_000;
const RETRACE_NS: u64 = 500_000;
const LINE_NS: u64 = 31_778;
const LINE_SHOWN_NS: u64 = 25_422;
const STATUS_BLANK: u8 = 1 << 0;
const STATUS_RETRACE: u8 = 1 << 3;

/// Bochs' registers.
mod vbe {
    pub const ID: usize = 0;
    pub const XRES: usize = 1;
    pub const YRES: usize = 2;
    pub const BPP: usize = 3;
    pub const ENABLE: usize = 4;
    pub const BANK: usize = 5;
    pub const VIRT_WIDTH: usize = 6;
    pub const VIRT_HEIGHT: usize = 7;
    pub const X_OFFSET: usize = 8;
    pub const Y_OFFSET: usize = 9;
    pub const MEMORY_64K: usize = 10;
    pub const COUNT: usize = 11;

    /// The newest of their versions.
    pub const NEWEST: u16 = 0xb0c5;
    pub const OLDEST: u16 = 0xb0c0;
    // ENABLE.
    pub const ENABLED: u16 = 1 << 0;
    pub const GETCAPS: u16 = 1 << 1;
    pub const DAC_8BIT: u16 = 1 << 5;
    pub const NOCLEARMEM: u16 = 1 << 7;
    /// What GETCAPS answers.
    pub const MOST: [u16; 3] = [16000, 12000, 32];
}

/// Where QEMU's own registers are in the memory of registers, with how many bytes they have and the byte order of pixels.
const EXTENDED: u64 = 0x600;
const EXTENDED_SIZE: u32 = 8;
const LITTLE_ENDIAN: u32 = 0x1e1e_1e1e;

/// Properties of `VGA`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, Ranges)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct VgaProps {
    /// How much memory it has, in MiB: a power of two.
    #[serde(rename = "vgamem_mb")]
    #[schemars(range(min = 1, max = 256))]
    pub vgamem_mb: u16,
}

impl Default for VgaProps {
    fn default() -> Self {
        Self { vgamem_mb: 16 }
    }
}

impl VgaProps {
    fn vram(&self) -> u32 {
        u32::from(self.vgamem_mb) << 20
    }
}

/// The color look-up table and its ports.
#[derive(Debug, State)]
struct Dac {
    /// Red, green and blue of each color.
    colors: Box<[[u8; 3]; 256]>,
    mask: u8,
    read_index: u8,
    write_index: u8,
    /// Which of three bytes is next, and those written before it.
    part: u8,
    written: [u8; 3],
    reading: bool,
}

/// The adapter.
#[derive(Debug, State)]
pub struct Vga {
    config: PciConfig,
    vram: Ram,
    rom: Ram,
    misc: u8,
    feature: u8,
    seq_index: u8,
    seq: [u8; 8],
    crtc_index: u8,
    crtc: [u8; 32],
    gr_index: u8,
    gr: [u8; 16],
    ar_index: u8,
    /// The next write to the attribute controller is data.
    ar_data: bool,
    ar: [u8; 32],
    dac: Dac,
    /// What the last read has left of the four planes.
    latch: [u8; 4],
    vbe_index: u16,
    /// The lower byte of a value that comes in two: its port does not lie at an even address.
    vbe_low: u8,
    vbe: [u16; vbe::COUNT],
}

impl Model for Vga {
    const TYPE: &'static str = "VGA";
    const SUMMARY: &'static str =
        "VGA with a linear framebuffer by Bochs' registers, as QEMU's standard adapter";
    type Props = VgaProps;

    fn interface(props: &VgaProps) -> Result<Interface, PropError> {
        if !props.vgamem_mb.is_power_of_two() {
            return Err(PropError::new("vgamem_mb", "expected a power of two"));
        }
        Ok(connections(props))
    }

    fn build(props: VgaProps, wires: Wires<'_>) -> Result<Self, BuildError> {
        let memory = |size: u32| Ram::new(size.into()).map_err(|e| BuildError(e.to_string()));
        let rom = memory(ROM_SIZE)?;
        let config = PciConfig::new(PciId {
            vendor: 0x1234,
            device: 0x1111,
            revision: 2,
            class: 0x03_0000,
            subsystem: (0x1af4, 0x1100),
            ..PciId::default()
        })
        .bar(0, Space::Memory, props.vram(), VRAM)
        // Prefetchable.
        .initial(0x10, 4, 8)
        .bar(2, Space::Memory, MMIO_SIZE, MMIO);
        let image = wires.image_for(ROMFILE, ROM_SIZE.into(), "ROM")?;
        let written = rom.write(0, image);
        written.map_err(|e| BuildError(e.to_string()))?;
        let config = match image {
            [] => config,
            _ => config.rom(ROM_SIZE, ROM),
        };
        Ok(Self {
            config,
            vram: memory(props.vram())?,
            rom,
            misc: 0,
            feature: 0,
            seq_index: 0,
            seq: [0; 8],
            crtc_index: 0,
            crtc: [0; 32],
            gr_index: 0,
            gr: [0; 16],
            ar_index: 0,
            ar_data: false,
            ar: [0; 32],
            dac: Dac {
                colors: Box::new([[0; 3]; 256]),
                mask: 0xff,
                read_index: 0,
                write_index: 0,
                part: 0,
                written: [0; 3],
                reading: false,
            },
            latch: [0; 4],
            vbe_index: 0,
            vbe_low: 0,
            vbe: [0; vbe::COUNT],
        })
    }
}

impl Device for Vga {
    fn reset(&mut self, cx: &mut Cx<'_>) {
        self.config.reset();
        (self.misc, self.feature) = (0, 0);
        (self.seq_index, self.seq) = (0, [0; 8]);
        (self.crtc_index, self.crtc) = (0, [0; 32]);
        (self.gr_index, self.gr) = (0, [0; 16]);
        (self.ar_index, self.ar_data, self.ar) = (0, false, [0; 32]);
        self.dac = Dac {
            colors: Box::new([[0; 3]; 256]),
            mask: 0xff,
            read_index: 0,
            write_index: 0,
            part: 0,
            written: [0; 3],
            reading: false,
        };
        self.latch = [0; 4];
        (self.vbe_index, self.vbe_low) = (0, 0);
        self.vbe = [0; vbe::COUNT];
        self.vbe[vbe::ID] = vbe::NEWEST;
        self.vbe[vbe::MEMORY_64K] = (self.vram.size() >> 16) as u16;
        self.config.apply_bars(cx);
    }

    fn read(&mut self, cx: &mut Cx<'_>, at: Access) -> Result<u64, BusError> {
        let Access {
            region,
            offset,
            size,
        } = at;
        Ok(match region {
            WINDOW => bytes(size).fold(0, |value, n| {
                value | u64::from(self.window_read(offset + n)) << (8 * n)
            }),
            VBE if offset == 0 => self.vbe_index.into(),
            VBE => {
                let value = self.vbe_read(usize::from(self.vbe_index));
                match (offset, size) {
                    (1, 1) => (value & 0xff).into(),
                    (2, 1) => (value >> 8).into(),
                    _ => value.into(),
                }
            }
            MONO if self.misc & MISC_COLOR == 0 => self.crtc_read(offset).into(),
            COLOR if self.misc & MISC_COLOR != 0 => self.crtc_read(offset).into(),
            MONO | COLOR => 0xff,
            MONO_STATUS | COLOR_STATUS => {
                self.ar_data = false;
                status(cx.now()).into()
            }
            PORTS => self.port_read(offset).into(),
            MMIO => self.mmio_read(offset, size),
            _ => return Err(BusError),
        })
    }

    fn write(&mut self, _: &mut Cx<'_>, at: Access, value: u64) -> Result<(), BusError> {
        let Access {
            region,
            offset,
            size,
        } = at;
        match region {
            WINDOW => {
                bytes(size).for_each(|n| self.window_write(offset + n, (value >> (8 * n)) as u8));
            }
            VBE if offset == 0 => self.vbe_index = value as u16,
            VBE if (offset, size) == (1, 1) => self.vbe_low = value as u8,
            VBE => {
                let both = u16::from_le_bytes([self.vbe_low, value as u8]);
                let value = if size == 1 { both } else { value as u16 };
                self.vbe_write(usize::from(self.vbe_index), value);
            }
            MONO if self.misc & MISC_COLOR == 0 => self.crtc_write(offset, value as u8),
            COLOR if self.misc & MISC_COLOR != 0 => self.crtc_write(offset, value as u8),
            MONO | COLOR => {}
            MONO_STATUS | COLOR_STATUS => self.feature = value as u8 & 0x10,
            PORTS => self.port_write(offset, value as u8),
            MMIO => self.mmio_write(offset, size, value),
            // The ROM is one.
            _ => {}
        }
        Ok(())
    }

    fn memory(&self, region: RegionId) -> Option<Backing> {
        let (ram, writable) = match region {
            VRAM => (&self.vram, true),
            ROM => (&self.rom, false),
            _ => return None,
        };
        Some(Backing {
            ram: ram.clone(),
            offset: 0,
            len: ram.size(),
            readable: true,
            writable,
        })
    }

    fn pci(&mut self) -> Option<&mut dyn PciFunction> {
        Some(self)
    }

    fn screen(&self) -> Option<Picture> {
        Some(self.picture())
    }

    fn restored(&mut self, cx: &mut Cx<'_>) -> Result<(), StateError> {
        self.config.apply_bars(cx);
        Ok(())
    }
}

impl PciFunction for Vga {
    fn config(&mut self) -> &mut PciConfig {
        &mut self.config
    }
}

/// The places of an access's bytes.
fn bytes(size: u8) -> std::ops::Range<u64> {
    0..u64::from(size.min(8))
}

/// Input status 1 at a point of time.
fn status(now: u64) -> u8 {
    let in_frame = now % FRAME_NS;
    match in_frame {
        _ if in_frame >= FRAME_NS - RETRACE_NS => STATUS_BLANK | STATUS_RETRACE,
        _ if in_frame % LINE_NS >= LINE_SHOWN_NS => STATUS_BLANK,
        _ => 0,
    }
}

/// Each of the lowest four bits as a byte.
fn planes(bits: u8) -> [u8; 4] {
    [0, 1, 2, 3].map(|plane| if bits >> plane & 1 != 0 { 0xff } else { 0 })
}

impl Vga {
    fn byte(&self, at: u64) -> u8 {
        let mut byte = [0];
        match self.vram.read(at, &mut byte) {
            Ok(()) => byte[0],
            Err(_) => 0,
        }
    }

    fn set_byte(&self, at: u64, value: u8) {
        // What lies behind the memory is not there.
        let _ = self.vram.write(at, &[value]);
    }

    /// A mode of Bochs' registers is shown.
    fn linear(&self) -> bool {
        self.vbe[vbe::ENABLE] & vbe::ENABLED != 0
    }

    /// Where in the VGA's memory a place of its window lies, if it shows any.
    fn shown(&self, at: u64) -> Option<u64> {
        match self.gr[GR_MISC] >> 2 & 3 {
            0 => Some(at),
            1 => (at < 0x1_0000).then_some(at),
            2 => at.checked_sub(0x1_0000).filter(|at| *at < 0x8000),
            _ => at.checked_sub(0x1_8000),
        }
    }

    /// Where a byte lies whose plane is chosen by its address: in memory, and which plane; `None` where all four are meant.
    fn placed(&self, at: u64) -> Option<(u64, u8)> {
        if self.linear() && self.vbe[vbe::BPP] >= 8 {
            let bank = u64::from(self.vbe[vbe::BANK]) << 16;
            return Some((bank + at, 4));
        }
        if self.seq[SEQ_MODE] & SEQ_CHAIN4 != 0 {
            return Some((at, (at & 3) as u8));
        }
        (self.gr[GR_MODE] & GR_ODD_EVEN != 0).then(|| {
            let plane = self.gr[GR_READ_MAP] & 2 | (at & 1) as u8;
            ((at & !1) << 1 | u64::from(plane), plane)
        })
    }

    fn window_read(&mut self, at: u64) -> u8 {
        let Some(at) = self.shown(at) else {
            return 0xff;
        };
        if let Some((place, _)) = self.placed(at) {
            return self.byte(place);
        }
        self.latch = [0, 1, 2, 3].map(|plane| self.byte(4 * at + plane));
        if self.gr[GR_MODE] & GR_READ_COMPARE == 0 {
            return self.latch[usize::from(self.gr[GR_READ_MAP] & 3)];
        }
        let compare = planes(self.gr[GR_COMPARE]);
        let care = planes(self.gr[GR_DONT_CARE]);
        let differ = (0..4).fold(0, |all, p| all | (self.latch[p] ^ compare[p]) & care[p]);
        !differ
    }

    fn window_write(&mut self, at: u64, value: u8) {
        let Some(at) = self.shown(at) else {
            return;
        };
        let mask = self.seq[SEQ_MAP_MASK];
        if let Some((place, plane)) = self.placed(at) {
            if plane > 3 || mask >> plane & 1 != 0 {
                self.set_byte(place, value);
            }
            return;
        }
        let rotated = value.rotate_right(u32::from(self.gr[GR_ROTATE] & 7));
        let set = planes(self.gr[GR_SET]);
        let enable = planes(self.gr[GR_ENABLE_SET]);
        let mut bits = self.gr[GR_BIT_MASK];
        let data = match self.gr[GR_MODE] & 3 {
            0 => [0, 1, 2, 3].map(|p| rotated & !enable[p] | set[p] & enable[p]),
            1 => self.latch,
            2 => planes(value),
            _ => {
                bits &= rotated;
                set
            }
        };
        for (plane, (new, old)) in data.into_iter().zip(self.latch).enumerate() {
            if mask >> plane & 1 == 0 {
                continue;
            }
            let done = match self.gr[GR_ROTATE] >> 3 {
                _ if self.gr[GR_MODE] & 3 == 1 => new,
                1 => new & old & bits | old & !bits,
                2 => (new | old) & bits | old & !bits,
                3 => (new ^ old) & bits | old & !bits,
                _ => new & bits | old & !bits,
            };
            self.set_byte(4 * at + plane as u64, done);
        }
    }

    fn port_read(&mut self, port: u64) -> u8 {
        let dac = &mut self.dac;
        match port {
            0x0 => self.ar_index,
            0x1 => self.ar[usize::from(self.ar_index & 0x1f)],
            0x4 => self.seq_index,
            0x5 => self.seq[usize::from(self.seq_index & 7)],
            0x6 => dac.mask,
            0x7 => u8::from(dac.reading) * 3,
            0x8 => dac.write_index,
            0x9 => {
                let part = usize::from(dac.part % 3);
                let value = dac.colors[usize::from(dac.read_index)][part];
                dac.part = (dac.part + 1) % 3;
                dac.read_index = dac.read_index.wrapping_add(u8::from(dac.part == 0));
                value
            }
            0xa => self.feature,
            0xc => self.misc,
            0xe => self.gr_index,
            0xf => self.gr[usize::from(self.gr_index & 15)],
            _ => 0,
        }
    }

    fn port_write(&mut self, port: u64, value: u8) {
        let dac = &mut self.dac;
        match port {
            0x0 | 0x1 => {
                let index = usize::from(self.ar_index & 0x1f);
                match self.ar_data {
                    false => self.ar_index = value & 0x3f,
                    true if index < 0x10 && self.ar_index & AR_SHOWN != 0 => {}
                    true if index < 0x10 => self.ar[index] = value & 0x3f,
                    true if index < 0x15 => self.ar[index] = value,
                    true => {}
                }
                self.ar_data = !self.ar_data;
            }
            0x2 => self.misc = value & 0xef,
            0x4 => self.seq_index = value & 7,
            0x5 => {
                let index = usize::from(self.seq_index & 7);
                self.seq[index] = value & SEQ_BITS[index];
            }
            0x6 => dac.mask = value,
            0x7 => (dac.read_index, dac.part, dac.reading) = (value, 0, true),
            0x8 => (dac.write_index, dac.part, dac.reading) = (value, 0, false),
            0x9 => {
                let part = usize::from(dac.part % 3);
                dac.written[part] = value;
                dac.part = (dac.part + 1) % 3;
                if dac.part == 0 {
                    dac.colors[usize::from(dac.write_index)] = dac.written;
                    dac.write_index = dac.write_index.wrapping_add(1);
                }
            }
            0xe => self.gr_index = value & 15,
            0xf => {
                let index = usize::from(self.gr_index & 15);
                self.gr[index] = value & GR_BITS[index];
            }
            _ => {}
        }
    }

    fn crtc_read(&self, offset: u64) -> u8 {
        match offset {
            0 => self.crtc_index,
            _ => self.crtc[usize::from(self.crtc_index & 0x1f)],
        }
    }

    fn crtc_write(&mut self, offset: u64, value: u8) {
        if offset == 0 {
            self.crtc_index = value;
            return;
        }
        let index = usize::from(self.crtc_index & 0x1f);
        let protected = self.crtc[CRTC_SYNC_END] & CRTC_PROTECT != 0 && index <= CRTC_OVERFLOW;
        match index {
            CRTC_OVERFLOW if protected => {
                self.crtc[index] = self.crtc[index] & !0x10 | value & 0x10;
            }
            _ if protected => {}
            ..=0x18 => self.crtc[index] = value,
            _ => {}
        }
    }

    fn vbe_read(&self, index: usize) -> u16 {
        let caps = self.vbe[vbe::ENABLE] & vbe::GETCAPS != 0;
        match index {
            vbe::XRES | vbe::YRES | vbe::BPP if caps => vbe::MOST[index - vbe::XRES],
            _ => self.vbe.get(index).copied().unwrap_or(0),
        }
    }

    fn vbe_write(&mut self, index: usize, value: u16) {
        match index {
            vbe::ID if (vbe::OLDEST..=vbe::NEWEST).contains(&value) => self.vbe[index] = value,
            vbe::XRES if value <= vbe::MOST[0] => self.vbe[index] = value & !7,
            vbe::YRES if value <= vbe::MOST[1] => self.vbe[index] = value,
            vbe::BPP if value == 0 => self.vbe[index] = 8,
            vbe::BPP if matches!(value, 4 | 8 | 15 | 16 | 24 | 32) => self.vbe[index] = value,
            vbe::BANK => {
                let banks = (self.vram.size() >> 16) as u16;
                self.vbe[index] = value & (banks - 1);
            }
            vbe::ENABLE => {
                let begins = value & !self.vbe[index] & vbe::ENABLED != 0;
                self.vbe[index] = value;
                if begins {
                    self.vbe[vbe::VIRT_WIDTH] = self.vbe[vbe::XRES];
                    self.vbe[vbe::X_OFFSET] = 0;
                    self.vbe[vbe::Y_OFFSET] = 0;
                    self.vbe[vbe::BANK] = 0;
                    self.fit();
                    let line = self.pitch();
                    let size = line * u64::from(self.vbe[vbe::YRES]);
                    if value & vbe::NOCLEARMEM == 0 {
                        // It is as large as the memory at most.
                        let _ = self.vram.fill(0, size.min(self.vram.size()), 0);
                    }
                }
            }
            vbe::VIRT_WIDTH => {
                self.vbe[index] = value.max(self.vbe[vbe::XRES]);
                self.fit();
            }
            vbe::X_OFFSET | vbe::Y_OFFSET => self.vbe[index] = value,
            _ => {}
        }
    }

    /// Bytes of a line.
    fn pitch(&self) -> u64 {
        let bits = match self.vbe[vbe::BPP] {
            15 => 16,
            bits => u64::from(bits),
        };
        u64::from(self.vbe[vbe::VIRT_WIDTH]) * bits / 8
    }

    /// As many lines as there is memory for.
    fn fit(&mut self) {
        let lines = self.vram.size().checked_div(self.pitch()).unwrap_or(0);
        self.vbe[vbe::VIRT_HEIGHT] = lines.min(u64::from(u16::MAX)) as u16;
    }

    fn mmio_read(&mut self, offset: u64, size: u8) -> u64 {
        match offset {
            0x400..0x420 => bytes(size).fold(0, |value, n| {
                let byte = match offset + n - 0x400 {
                    port @ 0..0x10 => self.port_read(port),
                    port @ 0x14..0x16 => self.crtc_read(port - 0x14),
                    _ => 0,
                };
                value | u64::from(byte) << (8 * n)
            }),
            0x500..0x516 => {
                let index = ((offset - 0x500) / 2) as usize;
                let both = u64::from(self.vbe_read(index))
                    | u64::from(self.vbe.get(index + 1).copied().unwrap_or(0)) << 16;
                let lanes = both >> (8 * (offset & 1));
                lanes & (u64::MAX >> (64 - 8 * u32::from(size.clamp(1, 4))))
            }
            EXTENDED => EXTENDED_SIZE.into(),
            0x604 => LITTLE_ENDIAN.into(),
            _ => 0,
        }
    }

    fn mmio_write(&mut self, offset: u64, size: u8, value: u64) {
        match offset {
            0x400..0x420 => bytes(size).for_each(|n| {
                let byte = (value >> (8 * n)) as u8;
                match offset + n - 0x400 {
                    port @ 0..0x10 => self.port_write(port, byte),
                    port @ 0x14..0x16 => self.crtc_write(port - 0x14, byte),
                    _ => {}
                }
            }),
            0x500..0x516 if size == 2 && offset & 1 == 0 => {
                self.vbe_write(((offset - 0x500) / 2) as usize, value as u16);
            }
            _ => {}
        }
    }

    /// A color of the look-up table: its entries have 6 bits, or 8 where a mode of Bochs' registers asks for that.
    fn color(&self, index: u8) -> [u8; 3] {
        let color = self.dac.colors[usize::from(index & self.dac.mask)];
        match self.vbe[vbe::ENABLE] & (vbe::ENABLED | vbe::DAC_8BIT) {
            both if both == vbe::ENABLED | vbe::DAC_8BIT => color,
            _ => color.map(|part| (part & 63) << 2 | (part & 63) >> 4),
        }
    }

    /// A color of the 16 that the attribute controller chooses.
    fn attribute(&self, index: u8) -> [u8; 3] {
        let chosen = self.ar[usize::from(index & 15)];
        let select = self.ar[0x14];
        self.color(match self.ar[0x10] & 0x80 {
            0 => chosen & 0x3f | (select & 0x0c) << 4,
            _ => chosen & 0x0f | (select & 0x0f) << 4,
        })
    }

    fn picture(&self) -> Picture {
        if self.linear() {
            return self.linear_picture();
        }
        let crtc = |n: usize| usize::from(self.crtc[n]);
        let overflow = crtc(CRTC_OVERFLOW);
        let lines = crtc(0x12) | (overflow & 2) << 7 | (overflow & 0x40) << 3;
        let (lines, columns) = (lines + 1, crtc(1) + 1);
        let start = crtc(0xc) << 8 | crtc(0xd);
        let stride = crtc(0x13) * 2;
        let each = (crtc(9) & 0x1f) + 1;
        if self.ar_index & AR_SHOWN == 0 || self.seq[SEQ_CLOCKING] & AR_SHOWN != 0 {
            return picture::blank(640, 400);
        }
        if self.gr[GR_MISC] & GR_GRAPHICS == 0 {
            let fonts = self.seq[SEQ_FONTS];
            let font = |high: u8, two: u8| {
                let number = (fonts >> high & 1) << 2 | fonts >> two & 3;
                let banks = [0u64, 16, 32, 48, 8, 24, 40, 56];
                banks[usize::from(number)] << 10
            };
            return Text {
                columns,
                rows: lines / each,
                width: if self.seq[SEQ_CLOCKING] & 1 == 0 {
                    9
                } else {
                    8
                },
                height: each,
                start,
                stride,
                fonts: [font(4, 0), font(5, 2)],
                lines_extend: self.ar[0x10] & 4 != 0,
                blinks: self.ar[0x10] & 8 != 0,
                cursor: (self.crtc[0xa] & 0x20 == 0).then_some(crtc(0xe) << 8 | crtc(0xf)),
                cursor_lines: (crtc(0xa) & 0x1f, crtc(0xb) & 0x1f),
            }
            .picture(|at| self.byte(at), |index| self.attribute(index));
        }
        let each = each << usize::from(self.crtc[9] >> 7);
        let height = lines / each.max(1);
        match self.gr[GR_MODE] >> 5 & 3 {
            0 => picture::made(columns * 8, height, |x, y| {
                let at = 4 * (start + y * stride + x / 8) as u64;
                let bit = 7 - x % 8;
                let index = (0..4u8).fold(0, |all, plane| {
                    all | (self.byte(at + u64::from(plane)) >> bit & 1) << plane
                });
                self.attribute(index & self.ar[0x12])
            }),
            1 => picture::made(columns * 8, height, |x, y| {
                // Two banks of lines, two bits a pixel in the first two planes by turns.
                let (y, bank) = match self.crtc[0x17] & 1 {
                    0 => (y / 2, y % 2),
                    _ => (y, 0),
                };
                let byte = y * stride + x / 4;
                let at = 4 * (start + bank * 0x1000 + byte / 2) + byte % 2;
                let index = self.byte(at as u64) >> (6 - 2 * (x % 4)) & 3;
                self.attribute(index)
            }),
            _ => picture::made(columns * 4, height, |x, y| {
                self.color(self.byte((4 * start + y * stride * 4 + x) as u64))
            }),
        }
    }

    fn linear_picture(&self) -> Picture {
        let [width, height, bits] = [vbe::XRES, vbe::YRES, vbe::BPP].map(|n| self.vbe[n]);
        let line = self.pitch();
        let (left, top) = (self.vbe[vbe::X_OFFSET], self.vbe[vbe::Y_OFFSET]);
        let pixel = |x: usize, y: usize, size: u64| {
            let x = x as u64 + u64::from(left);
            let at = (y as u64 + u64::from(top)) * line + x * size;
            (0..size).fold(0u32, |all, n| all | u32::from(self.byte(at + n)) << (8 * n))
        };
        let wide = |part: u32, bits: u32| (part << (8 - bits) | part >> (2 * bits - 8)) as u8;
        // More than the memory has is no picture.
        let (width, height) = match u64::from(height) * line <= self.vram.size() {
            true => (usize::from(width), usize::from(height)),
            false => (0, 0),
        };
        picture::made(width, height, |x, y| match bits {
            15 => {
                let p = pixel(x, y, 2);
                [10, 5, 0].map(|at| wide(p >> at & 31, 5))
            }
            16 => {
                let p = pixel(x, y, 2);
                [wide(p >> 11 & 31, 5), wide(p >> 5 & 63, 6), wide(p & 31, 5)]
            }
            24 | 32 => {
                let p = pixel(x, y, u64::from(bits / 8));
                [16, 8, 0].map(|at| (p >> at) as u8)
            }
            8 => self.color(pixel(x, y, 1) as u8),
            _ => {
                let at = y as u64 * line + x as u64 / 8;
                let bit = 7 - x % 8;
                let index = (0..4u8).fold(0, |all, plane| {
                    all | (self.byte(4 * at + u64::from(plane)) >> bit & 1) << plane
                });
                self.attribute(index)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use solderless_model::testing::{Bench, exercise};

    fn bench() -> Bench<Vga> {
        let props = VgaProps { vgamem_mb: 1 };
        let mut bench = Bench::with_images(props, &[Some(vec![0x55, 0xaa])]);
        bench.reset();
        bench
    }

    fn put(b: &mut Bench<Vga>, port: u64, index: u64, value: u64) {
        assert!(b.write(PORTS, port, 1, index));
        assert!(b.write(PORTS, port + 1, 1, value));
    }

    fn crtc(b: &mut Bench<Vga>, index: u64, value: u64) {
        assert!(b.write(COLOR, 0, 1, index));
        assert!(b.write(COLOR, 1, 1, value));
    }

    #[test]
    fn it_is_found_with_its_rom() {
        let mut b = bench();
        assert_eq!(b.config_read(0, 4), 0x1111_1234);
        assert_eq!(b.config_read(0x10, 4), 8);
        b.config_write(0x30, 4, u32::MAX);
        assert_eq!(b.config_read(0x30, 4), 0xffff_0001);
        b.config_write(4, 2, 2);
        b.config_write(0x30, 4, 0xfeb0_0001);
        assert_eq!(b.around.mapped[&ROM], (0xfeb0_0000, 0x1_0000, 0));
        b.config_write(0x30, 4, 0xfeb0_0000);
        assert!(!b.around.mapped.contains_key(&ROM));
        let mut none = Bench::<Vga>::with_images(VgaProps { vgamem_mb: 1 }, &[None]);
        none.config_write(0x30, 4, u32::MAX);
        assert_eq!(none.config_read(0x30, 4), 0);
    }

    #[test]
    fn planes_are_written_and_read_by_their_modes() {
        let mut b = bench();
        put(&mut b, 0xe, 6, 5); // graphics at a0000
        put(&mut b, 4, 2, 0xf);
        put(&mut b, 0xe, 8, 0xff);
        assert!(b.write(WINDOW, 0, 2, 0xc3a5));
        assert_eq!(b.read(WINDOW, 0, 2), Some(0xc3a5));
        // Planes 1 and 3 are set where bits are chosen; the latch has what was read last.
        put(&mut b, 0xe, 5, 2);
        put(&mut b, 0xe, 8, 0x0f);
        assert_eq!(b.read(WINDOW, 0, 1), Some(0xa5));
        assert!(b.write(WINDOW, 0, 1, 0x0a));
        for (plane, byte) in [(0, 0xa0), (1, 0xaf), (2, 0xa0), (3, 0xaf)] {
            put(&mut b, 0xe, 4, plane);
            assert_eq!(b.read(WINDOW, 0, 1), Some(byte), "{plane}");
        }
        // Comparing with 0b1010.
        put(&mut b, 0xe, 5, 8);
        put(&mut b, 0xe, 2, 0x0a);
        put(&mut b, 0xe, 7, 0x0f);
        assert_eq!(b.read(WINDOW, 0, 1), Some(0x0f));
        // Nothing is shown where another window is.
        put(&mut b, 0xe, 6, 0x0d);
        assert_eq!(b.read(WINDOW, 0, 1), Some(0xff));
    }

    #[test]
    fn a_text_is_shown() {
        let mut b = bench();
        assert!(b.write(PORTS, 2, 1, 1));
        put(&mut b, 4, 1, 1); // 8 dots
        put(&mut b, 4, 2, 4);
        put(&mut b, 0xe, 6, 4); // the font, plane 2 at a0000
        put(&mut b, 0xe, 8, 0xff);
        assert!(b.write(WINDOW, 65 * 32, 1, 0x81));
        put(&mut b, 0xe, 6, 0xe);
        put(&mut b, 0xe, 5, 0x10);
        put(&mut b, 4, 2, 3);
        for (index, value) in [(1, 1), (0x12, 15), (9, 15), (0x13, 1), (0xa, 0x20)] {
            crtc(&mut b, index, value);
        }
        put(&mut b, 0xe, 6, 0xc); // text at b8000
        assert!(b.write(WINDOW, 0x18002, 2, 0x2141));
        for (index, color) in [(1, 3), (2, 5)] {
            assert!(b.write(PORTS, 0, 1, index));
            assert!(b.write(PORTS, 0, 1, color));
        }
        assert!(b.write(PORTS, 0, 1, 0x20));
        assert!(b.write(PORTS, 8, 1, 3));
        for part in [63, 0, 0, 0, 0, 0, 0, 0, 63] {
            assert!(b.write(PORTS, 9, 1, part));
        }
        let picture = b.dev.screen().unwrap();
        assert_eq!((picture.width, picture.height), (16, 16));
        let at = |x: usize| &picture.rgb[3 * x..3 * x + 3];
        assert_eq!(at(0), [0, 0, 0]);
        assert_eq!(
            [at(8), at(9), at(15)],
            [[255, 0, 0], [0, 0, 255], [255, 0, 0]]
        );
    }

    #[test]
    fn a_linear_mode_is_shown() {
        let mut b = bench();
        let set = |b: &mut Bench<Vga>, index: u64, value: u64| {
            assert!(b.write(VBE, 0, 2, index));
            assert!(b.write(VBE, 1, 2, value));
        };
        assert_eq!(b.read(VBE, 1, 2), Some(0xb0c5));
        // By bytes, as a bus does that has them at two addresses.
        assert!(b.write(VBE, 1, 1, 0xc0) && b.write(VBE, 2, 1, 0xb0));
        assert_eq!(b.read(VBE, 1, 1), Some(0xc0));
        assert_eq!(b.read(VBE, 2, 1), Some(0xb0));
        for (index, value) in [(1, 16), (2, 4), (3, 32), (4, 0x41)] {
            set(&mut b, index, value);
        }
        b.dev.vram.write(64, &[1, 2, 3, 0]).unwrap();
        let picture = b.dev.screen().unwrap();
        assert_eq!((picture.width, picture.height), (16, 4));
        assert_eq!(picture.rgb[48..51], [3, 2, 1]);
        // What the memory does not hold is not shown.
        set(&mut b, 4, 0);
        set(&mut b, 1, 16000);
        set(&mut b, 2, 12000);
        set(&mut b, 4, 1);
        assert_eq!(b.dev.screen().unwrap().rgb.len(), 0);
        assert_eq!(b.read(MMIO, 0x500, 2), Some(0xb0c0));
        assert_eq!(b.read(MMIO, 0x604, 4), Some(0x1e1e_1e1e));
    }

    #[test]
    fn registers_stand_any_access() {
        exercise(bench);
    }
}

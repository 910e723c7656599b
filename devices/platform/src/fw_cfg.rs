//! QEMU's firmware configuration device: what firmware asks a virtual machine about itself, by ports and by DMA.
//!
//! QEMU, docs/specs/fw_cfg.rst. The items are the signature, the interface's version, the memory's size, the number of CPUs, and files:
//! `etc/e820` with the map of main memory, and those of the image in its slot, which is a row of files: name (56 bytes, filled up with
//! zeros), size (4 bytes, the lowest first) and content of each. Items cannot be written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solderless_model::{
    Access, BuildError, BusError, BusKind, Cx, Device, Interface, Model, PropError, Ranges, Region,
    Size, Slot, SlotKind, State, StateError, Wires, connections,
};

connections! {
    fn connections(dma: bool) on BusKind::System;
    region PORTS = Region::ports("ports", 2).max_width(2);
    region DMA = Region::ports("dma", 8)
        .max_width(4)
        .placed(solderless_model::Placement::Board(4)), if dma;
    slot FILES = Slot::new("files", SlotKind::Image);
}

/// Properties of `fw_cfg_io`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, Ranges)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct FwCfgProps {
    /// Whether items are read by DMA as well.
    pub dma_enabled: bool,
    /// How much main memory the board has, from address 0 on and above 4 GiB.
    pub ram: Size,
    /// How much of it is below 4 GiB.
    pub below_4g: Size,
    /// How many CPUs there are.
    #[schemars(range(min = 1, max = 255))]
    pub cpus: u8,
}

impl Default for FwCfgProps {
    fn default() -> Self {
        Self {
            dma_enabled: true,
            ram: Size(128 << 20),
            below_4g: Size(3 << 30),
            cpus: 1,
        }
    }
}

/// Keys of items.
mod key {
    pub const SIGNATURE: u16 = 0x00;
    pub const ID: u16 = 0x01;
    pub const RAM_SIZE: u16 = 0x03;
    pub const NB_CPUS: u16 = 0x05;
    pub const MAX_CPUS: u16 = 0x0f;
    pub const FILE_DIR: u16 = 0x19;
    /// The first file.
    pub const FILE_FIRST: u16 = 0x20;
}

/// What the DMA port answers.
const DMA_SIGNATURE: u64 = u64::from_be_bytes(*b"QEMU CFG");

/// Bits of a DMA request's control word.
mod control {
    pub const ERROR: u32 = 1;
    pub const READ: u32 = 1 << 1;
    pub const SKIP: u32 = 1 << 2;
    pub const SELECT: u32 = 1 << 3;
    pub const WRITE: u32 = 1 << 4;
}

/// The device.
#[derive(Debug, State)]
pub struct FwCfg {
    /// The item that is selected, and how much of it was read.
    key: u16,
    offset: u32,
    /// The upper half of the address of a DMA request.
    dma_high: u32,
    /// The image in the slot.
    files: Vec<u8>,
    #[state(skip = "properties")]
    props: FwCfgProps,
    #[state(skip = "derived of properties and files")]
    items: Vec<(u16, Vec<u8>)>,
}

impl Model for FwCfg {
    const TYPE: &'static str = "fw_cfg_io";
    const SUMMARY: &'static str = "QEMU's firmware configuration device, at I/O ports";
    type Props = FwCfgProps;

    fn interface(props: &FwCfgProps) -> Result<Interface, PropError> {
        if props.below_4g.0 > 1 << 32 {
            return Err(PropError::new("below-4g", "expected 4GiB at most"));
        }
        Ok(connections(props.dma_enabled))
    }

    fn build(props: FwCfgProps, wires: Wires<'_>) -> Result<Self, BuildError> {
        let image = wires.image(FILES).unwrap_or_default();
        let broken = || BuildError("the image is no row of files".to_owned());
        let files = files(image).ok_or_else(broken)?;
        Ok(Self {
            key: 0,
            offset: 0,
            dma_high: 0,
            items: items(&props, files),
            files: image.to_vec(),
            props,
        })
    }
}

/// Bytes of a file's name.
const NAME: usize = 56;

/// The files of an image: their names and contents.
fn files(mut image: &[u8]) -> Option<Vec<(&str, &[u8])>> {
    let mut files = Vec::new();
    while !image.is_empty() {
        let (name, rest) = image.split_at_checked(NAME)?;
        let (size, rest) = rest.split_at_checked(4)?;
        let size = u32::from_le_bytes(size.try_into().ok()?) as usize;
        let (content, rest) = rest.split_at_checked(size)?;
        let name = std::str::from_utf8(name).ok()?;
        files.push((name.trim_end_matches('\0'), content));
        image = rest;
    }
    Some(files)
}

/// All items.
fn items(props: &FwCfgProps, more: Vec<(&str, &[u8])>) -> Vec<(u16, Vec<u8>)> {
    let id = 1 | u32::from(props.dma_enabled) << 1;
    let cpus = u16::from(props.cpus).to_le_bytes().to_vec();
    let mut files = vec![("etc/e820", e820(props))];
    // The directory counts them with 16 bits.
    let more = more.into_iter().take(1000);
    files.extend(more.map(|(name, content)| (name, content.to_vec())));
    let mut directory = (files.len() as u32).to_be_bytes().to_vec();
    let mut items = vec![
        (key::SIGNATURE, b"QEMU".to_vec()),
        (key::ID, id.to_le_bytes().to_vec()),
        (key::RAM_SIZE, props.ram.0.to_le_bytes().to_vec()),
        (key::NB_CPUS, cpus.clone()),
        (key::MAX_CPUS, cpus),
    ];
    for (select, (name, content)) in (key::FILE_FIRST..).zip(files) {
        directory.extend((content.len() as u32).to_be_bytes());
        directory.extend(select.to_be_bytes());
        directory.extend([0, 0]);
        let mut padded = [0; NAME];
        let places = padded.iter_mut().zip(name.bytes());
        places.for_each(|(to, from)| *to = from);
        directory.extend(padded);
        items.push((select, content));
    }
    items.push((key::FILE_DIR, directory));
    items
}

/// The map of main memory: address, size and type of each piece.
fn e820(props: &FwCfgProps) -> Vec<u8> {
    const RAM: u32 = 1;
    let low = props.ram.0.min(props.below_4g.0);
    let pieces = [(0, low), (1 << 32, props.ram.0 - low)];
    let mut map = Vec::new();
    for (at, size) in pieces.into_iter().filter(|(_, size)| *size != 0) {
        map.extend(u64::to_le_bytes(at));
        map.extend(size.to_le_bytes());
        map.extend(RAM.to_le_bytes());
    }
    map
}

impl Device for FwCfg {
    fn reset(&mut self, _: &mut Cx<'_>) {
        (self.key, self.offset, self.dma_high) = (0, 0, 0);
    }

    fn read(&mut self, _: &mut Cx<'_>, at: Access) -> Result<u64, BusError> {
        match (at.region, at.offset, at.size) {
            (PORTS, 1, 1) => Ok(self.next().into()),
            // The selector cannot be read.
            (PORTS, ..) => Ok(0),
            // The signature, its first byte at the lowest address.
            (DMA, ..) => {
                let swapped = DMA_SIGNATURE.swap_bytes() >> (8 * at.offset.min(7));
                Ok(swapped & (u64::MAX >> (64 - 8 * u32::from(at.size.clamp(1, 8)))))
            }
            _ => Err(BusError),
        }
    }

    fn write(&mut self, cx: &mut Cx<'_>, at: Access, value: u64) -> Result<(), BusError> {
        match (at.region, at.offset, at.size) {
            (PORTS, 0, 2) => self.select(value as u16),
            (PORTS, ..) => cx.guest_error(format_args!("items cannot be written")),
            (DMA, 0, 4) => self.dma_high = (value as u32).swap_bytes(),
            (DMA, 4, 4) => {
                let low = (value as u32).swap_bytes();
                let address = u64::from(self.dma_high) << 32 | u64::from(low);
                self.dma_high = 0;
                self.transfer(cx, address);
            }
            (DMA, ..) => cx.guest_error(format_args!("the address is written in two halves")),
            _ => return Err(BusError),
        }
        Ok(())
    }

    fn restored(&mut self, _: &mut Cx<'_>) -> Result<(), StateError> {
        let files = files(&self.files);
        let files = files.ok_or_else(|| StateError::new("files: no row of files"))?;
        self.items = items(&self.props, files);
        Ok(())
    }
}

impl FwCfg {
    fn select(&mut self, key: u16) {
        (self.key, self.offset) = (key, 0);
    }

    fn item(&self) -> &[u8] {
        let item = self.items.iter().find(|(key, _)| *key == self.key);
        item.map_or(&[], |(_, content)| content)
    }

    /// The next byte of the item, and zeros behind it.
    fn next(&mut self) -> u8 {
        let byte = self.item().get(self.offset as usize).copied();
        self.offset = self.offset.saturating_add(1);
        byte.unwrap_or(0)
    }

    /// Does what a request in memory asks for, and says there that it is done.
    fn transfer(&mut self, cx: &mut Cx<'_>, address: u64) {
        let mut request = [0; 16];
        if cx.dma_read(address, &mut request).is_err() {
            cx.guest_error(format_args!("the request at {address:#x} is not in memory"));
            return;
        }
        let [c0, c1, c2, c3, l0, l1, l2, l3, to @ ..] = request;
        let control = u32::from_be_bytes([c0, c1, c2, c3]);
        let length = u32::from_be_bytes([l0, l1, l2, l3]);
        let to = u64::from_be_bytes(to);
        if control & control::SELECT != 0 {
            self.select((control >> 16) as u16);
        }
        let done = if control & control::READ != 0 {
            self.copy(cx, to, length)
        } else {
            if control & control::SKIP != 0 {
                self.offset = self.offset.saturating_add(length);
            }
            control & control::WRITE == 0
        };
        let answer = if done { 0 } else { control::ERROR };
        if cx.dma_write(address, &answer.to_be_bytes()).is_err() {
            cx.guest_error(format_args!("the answer at {address:#x} is not in memory"));
        }
    }

    /// Copies so many bytes of the item to memory, and zeros for those behind it. Says whether there was memory.
    fn copy(&mut self, cx: &mut Cx<'_>, to: u64, length: u32) -> bool {
        let mut at = to;
        let mut left = length as usize;
        let mut piece = [0; 256];
        while left > 0 {
            let len = left.min(piece.len());
            let bytes = &mut piece[..len];
            bytes.iter_mut().for_each(|byte| *byte = self.next());
            if cx.dma_write(at, bytes).is_err() {
                return false;
            }
            at = at.wrapping_add(len as u64);
            left -= len;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use solderless_model::memory::Ram;
    use solderless_model::testing::{Bench, exercise};

    fn bench() -> Bench<FwCfg> {
        let props = FwCfgProps {
            ram: Size(4 << 30),
            ..FwCfgProps::default()
        };
        let mut bench = Bench::new(props);
        bench.reset();
        bench
    }

    fn read(b: &mut Bench<FwCfg>, key: u16, len: usize) -> Vec<u8> {
        assert!(b.write(PORTS, 0, 2, key.into()));
        let byte = |_| b.read(PORTS, 1, 1).unwrap() as u8;
        (0..len).map(byte).collect()
    }

    #[test]
    fn items_are_read_byte_by_byte_and_end_in_zeros() {
        let mut b = bench();
        assert_eq!(read(&mut b, key::SIGNATURE, 5), b"QEMU\0");
        assert_eq!(read(&mut b, key::ID, 4), [3, 0, 0, 0]);
        assert_eq!(read(&mut b, key::NB_CPUS, 2), [1, 0]);
        assert_eq!(read(&mut b, 0x77, 2), [0, 0]);
        let directory = read(&mut b, key::FILE_DIR, 4 + 64);
        assert_eq!(directory[..12], [0, 0, 0, 1, 0, 0, 0, 40, 0, 0x20, 0, 0]);
        assert_eq!(&directory[12..21], b"etc/e820\0");
        let map = read(&mut b, 0x20, 40);
        assert_eq!(map[..8], [0; 8]);
        assert_eq!(map[8..16], (3u64 << 30).to_le_bytes());
        assert_eq!(map[20..28], (4u64 << 30).to_le_bytes());
        assert_eq!(map[28..36], (1u64 << 30).to_le_bytes());
    }

    #[test]
    fn a_request_in_memory_is_done_and_answered() {
        let mut b = bench();
        let ram = Ram::new(0x2000).unwrap();
        b.around.ram = Some(ram.clone());
        assert_eq!(b.read(DMA, 0, 4), Some(u32::from_le_bytes(*b"QEMU").into()));
        assert_eq!(b.read(DMA, 4, 4), Some(u32::from_le_bytes(*b" CFG").into()));
        let ask = |b: &mut Bench<FwCfg>, control: u32, length: u32, to: u64| {
            ram.write(0x100, &control.to_be_bytes()).unwrap();
            ram.write(0x104, &length.to_be_bytes()).unwrap();
            ram.write(0x108, &to.to_be_bytes()).unwrap();
            assert!(b.write(DMA, 0, 4, 0));
            assert!(b.write(DMA, 4, 4, 0x100u32.swap_bytes().into()));
            ram.read_u32(0x100).unwrap().swap_bytes()
        };
        let read = control::SELECT | control::READ;
        assert_eq!(ask(&mut b, read, 4, 0x200), 0);
        assert_eq!(ram.read_u32(0x200), Ok(u32::from_le_bytes(*b"QEMU")));
        let skip = control::SELECT | control::SKIP;
        assert_eq!(ask(&mut b, skip, 2, 0), 0);
        assert_eq!(ask(&mut b, control::READ, 4, 0x200), 0);
        assert_eq!(ram.read_u32(0x200), Ok(u32::from_le_bytes(*b"MU\0\0")));
        assert_eq!(ask(&mut b, control::WRITE, 4, 0x200), control::ERROR);
        assert_eq!(ask(&mut b, read, 4, 0x1fff), control::ERROR);
        exercise(bench);
    }
}

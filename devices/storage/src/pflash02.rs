//! Parallel NOR flash with the AMD command set.
//!
//! AMD Am29LV160D datasheet, "Command Definitions" and "Common Flash Memory Interface"; JEDEC JESD68 for the query table, with
//! AMD's own part of it ("CFI Specification", release 2.0). Properties and what reads as what are as QEMU's `cfi.pflash02` has
//! them. A bank is one part, `width` bytes wide, which takes commands in the low byte of its lanes; addresses of commands count
//! words of that width.
//!
//! Erasing and programming are done the moment they are confirmed, so whoever polls the data finds it there, and a suspend never finds
//! anything to suspend. A bit that is programmed from zero to one stays zero, without an error. There is no sector protection, and no
//! write buffer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solderless_model::memory::PAGE;
use solderless_model::{
    Access, Ask, Backing, BuildError, BusError, BusKind, Cx, Device, Interface, Model, PropError,
    Question, Ranges, Region, RegionId, Size, Slot, SlotId, SlotKind, State, StateError, Wires,
    connections, tree,
};

use crate::array::Array;

connections! {
    fn connections(size: u64) on BusKind::System;
    region FLASH = Region::memory("flash", size);
    slot IMAGE = Slot::new("image", SlotKind::Image);
}

const RESET: u8 = 0xf0;
/// The first and the second unlock cycle.
const UNLOCK: [u8; 2] = [0xaa, 0x55];
const UNLOCK_BYPASS: u8 = 0x20;
const UNLOCK_BYPASS_RESET: u8 = 0x00;
const AUTOSELECT: u8 = 0x90;
const PROGRAM: u8 = 0xa0;
const ERASE: u8 = 0x80;
const CHIP_ERASE: u8 = 0x10;
const SECTOR_ERASE: u8 = 0x30;
const QUERY: u8 = 0x98;
const SUSPEND: u8 = 0xb0;
/// The word where a query is asked for.
const QUERY_AT: u64 = 0x55;
/// Reset of the Intel command set. Software that looks for either kind sends it; here it is no command.
const INTEL_RESET: u8 = 0xff;

/// Bits of a command's address that count.
const ADDRESS: u64 = 0x7ff;

/// Properties of `cfi.pflash02`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, Ranges)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Pflash02Props {
    /// Sectors, if all have one length: with `sector-length` they make a power of two.
    #[schemars(range(min = 1, max = 65536))]
    pub num_blocks: u32,
    /// Bytes in a sector: a multiple of 256.
    pub sector_length: Size,
    /// Sectors at the start of the bank, if there are several lengths; 0 if there is one.
    #[schemars(range(max = 65536))]
    pub num_blocks0: u32,
    /// Bytes in each of them.
    pub sector_length0: Size,
    /// Sectors behind those.
    #[schemars(range(max = 65536))]
    pub num_blocks1: u32,
    /// Bytes in each of them.
    pub sector_length1: Size,
    /// Sectors behind those.
    #[schemars(range(max = 65536))]
    pub num_blocks2: u32,
    /// Bytes in each of them.
    pub sector_length2: Size,
    /// Sectors behind those.
    #[schemars(range(max = 65536))]
    pub num_blocks3: u32,
    /// Bytes in each of them.
    pub sector_length3: Size,
    /// Bytes in the bank's data bus: 1, 2 or 4.
    #[schemars(range(min = 1, max = 4))]
    pub width: u8,
    /// The low-order byte of a word is at its highest address.
    pub big_endian: bool,
    /// The manufacturer code.
    pub id0: u16,
    /// The device code.
    pub id1: u16,
    /// The second word of the device code, at word 0x0e.
    pub id2: u16,
    /// The third one, at word 0x0f.
    pub id3: u16,
    /// The word of the first unlock cycle, and of commands.
    #[schemars(range(max = 2047))]
    pub unlock_addr0: u16,
    /// The word of the second unlock cycle.
    #[schemars(range(max = 2047))]
    pub unlock_addr1: u16,
}

impl Default for Pflash02Props {
    fn default() -> Self {
        Self {
            num_blocks: 64,
            sector_length: Size(64 << 10),
            num_blocks0: 0,
            sector_length0: Size(0),
            num_blocks1: 0,
            sector_length1: Size(0),
            num_blocks2: 0,
            sector_length2: Size(0),
            num_blocks3: 0,
            sector_length3: Size(0),
            width: 2,
            big_endian: false,
            id0: 0x01,
            id1: 0x22f9,
            id2: 0,
            id3: 0,
            unlock_addr0: 0x555,
            unlock_addr1: 0x2aa,
        }
    }
}

impl Pflash02Props {
    /// Sectors of one length each, as the query table has them.
    fn sectors(&self) -> Vec<(u64, u64)> {
        let several = [
            (self.num_blocks0, self.sector_length0),
            (self.num_blocks1, self.sector_length1),
            (self.num_blocks2, self.sector_length2),
            (self.num_blocks3, self.sector_length3),
        ];
        let one = [(self.num_blocks, self.sector_length)];
        let all = if self.num_blocks0 == 0 {
            &one[..]
        } else {
            &several[..]
        };
        let there = all.iter().take_while(|(number, _)| *number > 0);
        there
            .map(|(number, length)| (u64::from(*number), length.0))
            .collect()
    }

    /// Bytes in the bank, once the properties are known to fit each other.
    fn size(&self) -> Result<u64, PropError> {
        if !matches!(self.width, 1 | 2 | 4) {
            return Err(PropError::new("width", "a bus is 1, 2 or 4 bytes wide"));
        }
        let sectors = self.sectors();
        let of =
            |name: &'static str, nth: &'static str| if self.num_blocks0 == 0 { name } else { nth };
        if sectors.iter().any(|(_, len)| {
            *len == 0 || !len.is_multiple_of(256) || len / 256 > u64::from(u16::MAX)
        }) {
            return Err(PropError::new(
                of("sector-length", "sector-length0"),
                "a sector has a multiple of 256B, below 16MiB",
            ));
        }
        let size = sectors
            .iter()
            .map(|(number, length)| number * length)
            .sum::<u64>();
        if !size.is_power_of_two() || size < PAGE {
            return Err(PropError::new(
                of("num-blocks", "num-blocks0"),
                format!(
                    "all sectors have {size:#x} bytes, which is no power of two of at least {}",
                    Size(PAGE)
                ),
            ));
        }
        Ok(size)
    }

    /// The query table, from word address 0x10 on.
    fn query(&self, size: u64) -> Vec<u8> {
        let exponent = size.trailing_zeros() as u8;
        let sectors = self.sectors();
        let mut table = [
            b"QRY",
            // Primary command set 2 (AMD) with its table behind the regions, at 0x40, and no other.
            &[2, 0, 0x40, 0, 0, 0, 0, 0][..],
            // Supply 2.7 to 3.6 V, no programming supply.
            &[0x27, 0x36, 0, 0],
            // 2^n us for a word, no buffer, 2^n ms for a sector; at most 2^n times as long.
            &[7, 0, 9, 0, 12, 0, 4, 0],
            // 2^n bytes, x8 or x16, no buffer, so many regions of sectors of n times 256 bytes.
            &[exponent, 2, 0, 0, 0, sectors.len() as u8],
        ]
        .concat();
        for (number, length) in sectors {
            table.extend(((number - 1) as u16).to_le_bytes());
            table.extend(((length / 256) as u16).to_le_bytes());
        }
        table.resize(0x40 - 0x10, 0);
        table.extend(b"PRI10");
        // Unlock addresses count, a suspend can program, no protection, no simultaneous operation, burst or page mode.
        table.extend([0, 2, 0, 0, 0, 0, 0, 0]);
        table
    }
}

/// What a read gives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, State)]
enum Mode {
    #[default]
    Array,
    Autoselect,
    Query,
    /// The array, whose first read ends the time in which further sectors are named.
    Erased,
}

/// What the next write is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, State)]
enum Step {
    #[default]
    First,
    SecondUnlock,
    Command,
    Data,
    EraseFirst,
    EraseSecondUnlock,
    EraseCommand,
    BypassReset,
}

/// A bank of flash.
#[derive(Debug, State)]
pub struct Pflash02 {
    #[state(skip = "properties")]
    props: Pflash02Props,
    #[state(skip = "derived from properties")]
    query: Vec<u8>,
    array: Array,
    mode: Mode,
    step: Step,
    /// Words are programmed without unlock cycles.
    bypass: bool,
}

impl Model for Pflash02 {
    const TYPE: &'static str = "cfi.pflash02";
    const QUESTIONS: &'static [Question] = &[Question {
        name: "cfi",
        // One of these is the word, whatever the width.
        steps: &[
            Ask::Write((FLASH, QUERY_AT, 1), QUERY as u64),
            Ask::Write((FLASH, 2 * QUERY_AT, 1), QUERY as u64),
            Ask::Write((FLASH, 4 * QUERY_AT, 1), QUERY as u64),
            Ask::Registers((FLASH, 0x40, 4), 0x134, 4),
        ],
    }];
    const SUMMARY: &'static str = "CFI NOR flash with the AMD command set (Am29LV160D)";
    type Props = Pflash02Props;

    fn interface(props: &Pflash02Props) -> Result<Interface, PropError> {
        let node = tree::Node::new("flash", &["cfi-flash"]);
        let node = node.with("bank-width", u32::from(props.width));
        Ok(connections(props.size()?).node(node))
    }

    fn build(props: Pflash02Props, wires: Wires<'_>) -> Result<Self, BuildError> {
        let size = props.size().map_err(|e| BuildError(e.to_string()))?;
        let array = Array::new(size, wires, IMAGE)?;
        Ok(Self {
            query: props.query(size),
            props,
            array,
            mode: Mode::Array,
            step: Step::First,
            bypass: false,
        })
    }
}

impl Device for Pflash02 {
    fn reset(&mut self, cx: &mut Cx<'_>) {
        self.step = Step::First;
        self.bypass = false;
        self.set_mode(cx, Mode::Array);
    }

    fn memory(&self, region: RegionId) -> Option<Backing> {
        (region == FLASH).then(|| self.array.backing(self.mode == Mode::Array))
    }

    fn image(&self, slot: SlotId) -> Option<Vec<u8>> {
        (slot == IMAGE).then(|| self.array.content())
    }

    fn read(&mut self, cx: &mut Cx<'_>, at: Access) -> Result<u64, BusError> {
        if self.mode == Mode::Erased {
            self.set_mode(cx, Mode::Array);
        }
        if self.mode == Mode::Array {
            return self.array.answer(cx, at);
        }
        let mut bytes = [0; 8];
        let wanted = bytes.get_mut(..usize::from(at.size)).ok_or(BusError)?;
        let width = usize::from(self.props.width);
        for (cycle, offset) in wanted.chunks_mut(width).zip((at.offset..).step_by(width)) {
            let mut number = [0; 4];
            number[..2].copy_from_slice(&self.register(offset).to_le_bytes());
            if self.props.big_endian {
                number[..cycle.len()].reverse();
            }
            cycle.copy_from_slice(&number[..cycle.len()]);
        }
        Ok(u64::from_le_bytes(bytes))
    }

    fn write(&mut self, cx: &mut Cx<'_>, at: Access, value: u64) -> Result<(), BusError> {
        let bytes = value.to_le_bytes();
        let bytes = bytes.get(..usize::from(at.size)).ok_or(BusError)?;
        let width = usize::from(self.props.width);
        for (cycle, offset) in bytes.chunks(width).zip((at.offset..).step_by(width)) {
            self.cycle(cx, offset, cycle);
        }
        Ok(())
    }

    fn restored(&mut self, cx: &mut Cx<'_>) -> Result<(), StateError> {
        self.array.restored()?;
        cx.memory_changed(FLASH);
        Ok(())
    }
}

impl Pflash02 {
    fn set_mode(&mut self, cx: &mut Cx<'_>, mode: Mode) {
        let was = std::mem::replace(&mut self.mode, mode);
        if (was == Mode::Array) != (mode == Mode::Array) {
            cx.memory_changed(FLASH);
        }
    }

    /// What a word reads as where the array is not shown.
    fn register(&self, offset: u64) -> u16 {
        let word = (offset / u64::from(self.props.width)) & 0xff;
        match (self.mode, word) {
            (Mode::Query, _) => {
                let at = usize::try_from(word)
                    .ok()
                    .and_then(|word| word.checked_sub(0x10));
                let byte = at.and_then(|at| self.query.get(at));
                byte.copied().unwrap_or(0).into()
            }
            (_, 0x00) => self.props.id0,
            (_, 0x01) => self.props.id1,
            (_, 0x0e) => self.props.id2,
            (_, 0x0f) => self.props.id3,
            // No sector is protected.
            _ => 0,
        }
    }

    /// One write cycle, at most as wide as the bank.
    fn cycle(&mut self, cx: &mut Cx<'_>, offset: u64, lanes: &[u8]) {
        let low = if self.props.big_endian {
            lanes.last()
        } else {
            lanes.first()
        };
        let command = low.copied().unwrap_or(0);
        let word = (offset / u64::from(self.props.width)) & ADDRESS;
        let at = |address: u16| word == u64::from(address);
        let first = at(self.props.unlock_addr0) && command == UNLOCK[0];
        let second = at(self.props.unlock_addr1) && command == UNLOCK[1];
        let named = at(self.props.unlock_addr0);
        let (step, mode) = match (std::mem::take(&mut self.step), command) {
            (Step::First, SECTOR_ERASE) if self.mode == Mode::Erased => {
                self.erase(cx, offset);
                (Step::First, Mode::Erased)
            }
            (Step::First, PROGRAM) if self.bypass => (Step::Data, Mode::Array),
            (Step::First, AUTOSELECT) if self.bypass => (Step::BypassReset, Mode::Array),
            (Step::First, QUERY) if word & 0xff == QUERY_AT => (Step::First, Mode::Query),
            (Step::First, _) if first => (Step::SecondUnlock, self.mode),
            (Step::SecondUnlock, _) if second => (Step::Command, self.mode),
            (Step::Command, AUTOSELECT) if named => (Step::First, Mode::Autoselect),
            (Step::Command, PROGRAM) if named => (Step::Data, Mode::Array),
            (Step::Command, ERASE) if named => (Step::EraseFirst, Mode::Array),
            (Step::Command, UNLOCK_BYPASS) if named => {
                self.bypass = true;
                (Step::First, Mode::Array)
            }
            (Step::Command, QUERY) if named => (Step::First, Mode::Query),
            (Step::Data, _) => {
                // The bus asks for what lies within the array alone.
                let _ = self.array.program(cx, IMAGE, offset, lanes);
                (Step::First, Mode::Array)
            }
            (Step::EraseFirst, _) if first => (Step::EraseSecondUnlock, self.mode),
            (Step::EraseSecondUnlock, _) if second => (Step::EraseCommand, self.mode),
            (Step::EraseCommand, CHIP_ERASE) if named => {
                self.erase_all(cx);
                (Step::First, Mode::Array)
            }
            (Step::EraseCommand, SECTOR_ERASE) => {
                self.erase(cx, offset);
                (Step::First, Mode::Erased)
            }
            (Step::BypassReset, UNLOCK_BYPASS_RESET) => {
                self.bypass = false;
                (Step::First, Mode::Array)
            }
            (_, RESET) => (Step::First, Mode::Array),
            // Nothing takes time, so there is nothing to suspend or to resume.
            (Step::First, INTEL_RESET | SUSPEND | SECTOR_ERASE) => (Step::First, self.mode),
            (step, _) => {
                cx.guest_error(format_args!(
                    "{command:#x} at {offset:#x} is no command, or not what follows the cycles before it"
                ));
                let mode = if step == Step::First {
                    self.mode
                } else {
                    Mode::Array
                };
                (Step::First, mode)
            }
        };
        self.step = step;
        self.set_mode(cx, mode);
    }

    /// The sector that an offset is in: where it begins, and its length.
    fn sector(&self, offset: u64) -> Option<(u64, u64)> {
        let mut start = 0;
        for (number, length) in self.props.sectors() {
            let within = offset.checked_sub(start)?;
            if within < number * length {
                return Some((start + within / length * length, length));
            }
            start += number * length;
        }
        None
    }

    fn erase(&mut self, cx: &mut Cx<'_>, offset: u64) {
        if let Some((start, length)) = self.sector(offset) {
            // A sector lies within the array.
            let _ = self.array.erase(cx, IMAGE, start, length);
        }
    }

    fn erase_all(&mut self, cx: &mut Cx<'_>) {
        let size = self.array.size();
        let mut start = 0;
        while start < size {
            self.erase(cx, start);
            start = self.sector(start).map_or(size, |(at, length)| at + length);
        }
    }
}

#[cfg(test)]
mod tests;

//! Parallel NOR flash with the Intel command set.
//!
//! Intel StrataFlash Memory (J3) datasheet, "Commands" and "Status register"; JEDEC JESD68 and the Intel
//! CFI application note AP-646 for the query table. A bank is `width` bytes wide and made of parts that
//! are `device-width` bytes wide and work in lock step, as software drives them: each takes the command in
//! the low byte of its lanes, and all answer alike. A bank narrower than the access sees several cycles; an access
//! narrower than a part reaches it with its low-order byte, and programs only the bytes it has.
//!
//! Erasing and programming are done the moment they are confirmed, so a suspend never finds anything to
//! suspend. Content and block lock bits are not volatile: they survive a reset.

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

const READ_ARRAY: u8 = 0xff;
const READ_STATUS: u8 = 0x70;
const CLEAR_STATUS: u8 = 0x50;
const READ_ID: u8 = 0x90;
const READ_QUERY: u8 = 0x98;
const ERASE: u8 = 0x20;
const PROGRAM: u8 = 0x40;
const PROGRAM_ALTERNATE: u8 = 0x10;
const WRITE_TO_BUFFER: u8 = 0xe8;
const SUSPEND: u8 = 0xb0;
/// Confirms what was set up; alone, resumes what was suspended.
const CONFIRM: u8 = 0xd0;
const LOCK_SETUP: u8 = 0x60;
const LOCK: u8 = 0x01;
/// Reset of the AMD command set. Software that looks for either kind sends it; here it is no command.
const AMD_RESET: u8 = 0xf0;

const STATUS_READY: u8 = 1 << 7;
const STATUS_ERASE_ERROR: u8 = 1 << 5;
const STATUS_PROGRAM_ERROR: u8 = 1 << 4;
const STATUS_LOCKED: u8 = 1 << 1;
/// Both error bits: the second cycle did not fit the first.
const STATUS_SEQUENCE_ERROR: u8 = STATUS_ERASE_ERROR | STATUS_PROGRAM_ERROR;

/// Bytes in the write buffer of a bank; the query table says 2 to the power of 11.
const BUFFER: usize = 2048;

/// Properties of `cfi.pflash01`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, Ranges)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct PflashProps {
    /// Erase blocks in the bank; with `sector-length` they make a power of two.
    #[schemars(range(min = 1, max = 65536))]
    pub num_blocks: u32,
    /// Bytes in an erase block of the bank: a multiple of 256 for each part.
    pub sector_length: Size,
    /// Bytes in the bank's data bus: 1, 2 or 4.
    #[schemars(range(min = 1, max = 4))]
    pub width: u8,
    /// Bytes in the data bus of one part: 1, 2 or 4, at most `width`; 0 is a single part as wide as the bank.
    #[schemars(range(min = 0, max = 4))]
    pub device_width: u8,
    /// The low-order byte of a word is at its highest address.
    pub big_endian: bool,
    /// High byte of the manufacturer code.
    #[schemars(range(max = 255))]
    pub id0: u16,
    /// Low byte of the manufacturer code.
    #[schemars(range(max = 255))]
    pub id1: u16,
    /// High byte of the device code.
    #[schemars(range(max = 255))]
    pub id2: u16,
    /// Low byte of the device code.
    #[schemars(range(max = 255))]
    pub id3: u16,
}

impl Default for PflashProps {
    fn default() -> Self {
        Self {
            num_blocks: 64,
            sector_length: Size(64 << 10),
            width: 4,
            device_width: 0,
            big_endian: false,
            id0: 0,
            id1: 0,
            id2: 0,
            id3: 0,
        }
    }
}

impl PflashProps {
    /// Parts in the bank.
    fn devices(&self) -> u64 {
        match self.device_width {
            0 => 1,
            part => u64::from(self.width / part),
        }
    }

    /// Bytes in the bank, once the properties are known to fit each other.
    fn size(&self) -> Result<u64, PropError> {
        if !matches!(self.width, 1 | 2 | 4) {
            return Err(PropError::new("width", "a bus is 1, 2 or 4 bytes wide"));
        }
        if !matches!(self.device_width, 0 | 1 | 2 | 4) || self.device_width > self.width {
            return Err(PropError::new(
                "device-width",
                "a part is 1, 2 or 4 bytes wide, and no wider than the bank",
            ));
        }
        let block = self.sector_length.0 / self.devices();
        if block == 0
            || !self.sector_length.0.is_multiple_of(256 * self.devices())
            || block / 256 > u64::from(u16::MAX)
        {
            return Err(PropError::new(
                "sector-length",
                "each part's share is a multiple of 256B, below 16MiB",
            ));
        }
        let size = u64::from(self.num_blocks) * self.sector_length.0;
        if !size.is_power_of_two() || size < PAGE {
            return Err(PropError::new(
                "num-blocks",
                format!(
                    "{} blocks of {} do not make a power of two of at least {}",
                    self.num_blocks,
                    self.sector_length,
                    Size(PAGE)
                ),
            ));
        }
        Ok(size)
    }

    /// The query table of one part, from word address 0x10 on.
    fn query(&self, size: u64) -> Vec<u8> {
        let devices = self.devices();
        let exponent = (size / devices).trailing_zeros() as u8;
        let blocks = self.num_blocks.wrapping_sub(1).to_le_bytes();
        let block = (self.sector_length.0 / devices / 256).to_le_bytes();
        [
            b"QRY",
            // Primary command set 1 (Intel extended) with its table at 0x31, and no other.
            &[1, 0, 0x31, 0, 0, 0, 0, 0][..],
            // Supply 4.5 to 5.5 V, no programming supply.
            &[0x45, 0x55, 0, 0],
            // 2^n us for a word and a buffer, 2^n ms for a block; at most 2^n times as long.
            &[7, 7, 10, 0, 4, 4, 4, 0],
            // 2^n bytes, x8 or x16, 2^n bytes of buffer, one region of blocks of n times 256 bytes.
            &[exponent, 2, 0, 11, 0, 1],
            &[blocks[0], blocks[1], block[0], block[1]],
            // At 0x31: suspends, instant block locking; programs while suspended; shows lock bits.
            b"PRI10",
            &[0x26, 0, 0, 0, 1, 1],
        ]
        .concat()
    }
}

/// What a read gives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, State)]
enum Mode {
    #[default]
    Array,
    Status,
    Id,
    Query,
}

/// What the next write is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, State)]
enum Step {
    #[default]
    Command,
    EraseConfirm,
    ProgramData,
    LockConfirm,
    /// The number of cycles to come, less one.
    BufferCount {
        block: u64,
    },
    /// Data for the buffer. The first says where the buffer starts; the commands around it only name the block.
    BufferData {
        block: u64,
        start: Option<u64>,
        left: u64,
        bad: bool,
    },
    BufferConfirm {
        start: u64,
        bad: bool,
    },
}

/// A bank of flash.
#[derive(Debug, State)]
pub struct Pflash {
    #[state(skip = "properties")]
    props: PflashProps,
    #[state(skip = "derived from properties")]
    query: Vec<u8>,
    array: Array,
    locked: Vec<bool>,
    mode: Mode,
    step: Step,
    status: u8,
    buffer: Box<[u8; BUFFER]>,
}

impl Model for Pflash {
    const TYPE: &'static str = "cfi.pflash01";
    const QUESTIONS: &'static [Question] = &[
        Question {
            name: "id",
            steps: &[
                Ask::Write((FLASH, 0, 4), READ_ID as u64),
                Ask::Registers((FLASH, 0, 4), 0x0c, 4),
            ],
        },
        Question {
            name: "cfi",
            steps: &[
                Ask::Write((FLASH, 0, 4), READ_QUERY as u64),
                Ask::Registers((FLASH, 0x40, 4), 0xdc, 4),
            ],
        },
        Question {
            name: "status",
            steps: &[
                Ask::Write((FLASH, 0, 4), READ_STATUS as u64),
                Ask::Read((FLASH, 0, 4)),
            ],
        },
    ];
    const SUMMARY: &'static str = "CFI NOR flash with the Intel command set (StrataFlash J3)";
    type Props = PflashProps;

    fn interface(props: &PflashProps) -> Result<Interface, PropError> {
        let node = tree::Node::new("flash", &["cfi-flash"]);
        let node = node.with("bank-width", u32::from(props.width));
        Ok(connections(props.size()?).node(node))
    }

    fn build(props: PflashProps, wires: Wires<'_>) -> Result<Self, BuildError> {
        let size = props.size().map_err(|e| BuildError(e.to_string()))?;
        let array = Array::new(size, wires, IMAGE)?;
        Ok(Self {
            query: props.query(size),
            locked: vec![false; props.num_blocks as usize],
            props,
            array,
            mode: Mode::Array,
            step: Step::Command,
            status: STATUS_READY,
            buffer: Box::new([0xff; BUFFER]),
        })
    }
}

impl Device for Pflash {
    fn reset(&mut self, cx: &mut Cx<'_>) {
        self.step = Step::Command;
        self.status = STATUS_READY;
        self.set_mode(cx, Mode::Array);
    }

    fn memory(&self, region: RegionId) -> Option<Backing> {
        (region == FLASH).then(|| self.array.backing(self.mode == Mode::Array))
    }

    fn image(&self, slot: SlotId) -> Option<Vec<u8>> {
        (slot == IMAGE).then(|| self.array.content())
    }

    fn read(&mut self, cx: &mut Cx<'_>, at: Access) -> Result<u64, BusError> {
        if self.mode == Mode::Array {
            return self.array.answer(cx, at);
        }
        let mut bytes = [0; 8];
        let wanted = bytes.get_mut(..usize::from(at.size)).ok_or(BusError)?;
        let width = usize::from(self.props.width);
        for (cycle, offset) in wanted.chunks_mut(width).zip((at.offset..).step_by(width)) {
            self.answer(offset, cycle);
        }
        Ok(u64::from_le_bytes(bytes))
    }

    fn write(&mut self, cx: &mut Cx<'_>, at: Access, value: u64) -> Result<(), BusError> {
        let bytes = value.to_le_bytes();
        let bytes = bytes.get(..usize::from(at.size)).ok_or(BusError)?;
        for (cycle, offset) in bytes
            .chunks(usize::from(self.props.width))
            .zip((at.offset..).step_by(usize::from(self.props.width)))
        {
            self.cycle(cx, offset, cycle);
        }
        Ok(())
    }

    fn restored(&mut self, cx: &mut Cx<'_>) -> Result<(), StateError> {
        self.array.restored()?;
        if self.locked.len() != self.props.num_blocks as usize {
            return Err(StateError::new(format!(
                "lock bits for {} blocks, the flash has {}",
                self.locked.len(),
                self.props.num_blocks
            )));
        }
        cx.memory_changed(FLASH);
        Ok(())
    }
}

impl Pflash {
    fn set_mode(&mut self, cx: &mut Cx<'_>, mode: Mode) {
        let was = std::mem::replace(&mut self.mode, mode);
        if (was == Mode::Array) != (mode == Mode::Array) {
            cx.memory_changed(FLASH);
        }
    }

    /// Bytes of one part, or of the whole access if it is narrower, that carry one number.
    fn unit(&self, len: usize) -> usize {
        let part = match self.props.device_width {
            0 => self.props.width,
            part => part,
        };
        len.min(usize::from(part)).max(1)
    }

    /// Puts what every part answers onto the lanes of one cycle.
    fn answer(&self, offset: u64, lanes: &mut [u8]) {
        let unit = self.unit(lanes.len());
        let mut number = [0; 4];
        number[..2].copy_from_slice(&self.register(offset).to_le_bytes());
        if self.props.big_endian {
            number[..unit].reverse();
        }
        for part in lanes.chunks_mut(unit) {
            part.copy_from_slice(&number[..part.len()]);
        }
    }

    /// What a part answers when it does not show the array.
    fn register(&self, offset: u64) -> u16 {
        let word = offset % self.props.sector_length.0 / u64::from(self.props.width);
        match (self.mode, word) {
            (Mode::Query, 0x10..) => {
                let at = usize::try_from(word & 0xff).unwrap_or(0);
                let byte = at.checked_sub(0x10).and_then(|i| self.query.get(i));
                byte.copied().unwrap_or(0).into()
            }
            (Mode::Query | Mode::Id, 0) => self.props.id0 << 8 | self.props.id1 & 0xff,
            (Mode::Query | Mode::Id, 1) => self.props.id2 << 8 | self.props.id3 & 0xff,
            (Mode::Query | Mode::Id, 2) => self.is_locked(self.block(offset)).into(),
            (Mode::Query | Mode::Id, _) => 0,
            (Mode::Array | Mode::Status, _) => self.status.into(),
        }
    }

    fn block(&self, offset: u64) -> u64 {
        offset / self.props.sector_length.0
    }

    fn is_locked(&self, block: u64) -> bool {
        usize::try_from(block).is_ok_and(|b| self.locked.get(b).copied().unwrap_or(false))
    }

    /// One write cycle, at most as wide as the bank.
    fn cycle(&mut self, cx: &mut Cx<'_>, offset: u64, lanes: &[u8]) {
        let mut number = [0; 4];
        let unit = self.unit(lanes.len());
        number[..unit].copy_from_slice(&lanes[..unit]);
        if self.props.big_endian {
            number[..unit].reverse();
        }
        let number = u32::from_le_bytes(number);
        let command = number as u8;
        match std::mem::take(&mut self.step) {
            Step::Command => self.command(cx, offset, command),
            Step::EraseConfirm if command == CONFIRM => self.erase(cx, offset),
            Step::ProgramData => self.program(cx, offset, lanes),
            Step::LockConfirm if matches!(command, LOCK | CONFIRM) => {
                let block = usize::try_from(self.block(offset)).ok();
                if let Some(bit) = block.and_then(|b| self.locked.get_mut(b)) {
                    *bit = command == LOCK;
                }
            }
            Step::BufferCount { block } => {
                self.buffer.fill(0xff);
                let count = u64::from(number);
                self.step = Step::BufferData {
                    block,
                    start: None,
                    left: count,
                    bad: count >= BUFFER as u64,
                };
            }
            Step::BufferData {
                block,
                start,
                left,
                bad,
            } => {
                let start = start.unwrap_or(offset);
                let bad = bad || self.block(offset) != block || !self.fill(start, offset, lanes);
                self.step = match left.checked_sub(1) {
                    Some(left) => Step::BufferData {
                        block,
                        start: Some(start),
                        left,
                        bad,
                    },
                    None => Step::BufferConfirm { start, bad },
                };
            }
            Step::BufferConfirm { start, bad: false } if command == CONFIRM => {
                let buffer = self.buffer.clone();
                let room = usize::try_from(self.array.size().saturating_sub(start));
                let len = room.unwrap_or(BUFFER).min(BUFFER);
                self.program(cx, start, buffer.get(..len).unwrap_or(&[]));
            }
            Step::EraseConfirm | Step::LockConfirm | Step::BufferConfirm { .. } => {
                cx.guest_error(format_args!(
                    "{command:#x} at {offset:#x} does not complete the command before it"
                ));
                self.status |= STATUS_SEQUENCE_ERROR;
            }
        }
    }

    fn command(&mut self, cx: &mut Cx<'_>, offset: u64, command: u8) {
        let (step, mode) = match command {
            READ_ARRAY => (Step::Command, Mode::Array),
            READ_ID => (Step::Command, Mode::Id),
            READ_QUERY => (Step::Command, Mode::Query),
            READ_STATUS | SUSPEND | CONFIRM => (Step::Command, Mode::Status),
            CLEAR_STATUS => {
                self.status = STATUS_READY;
                (Step::Command, self.mode)
            }
            ERASE => (Step::EraseConfirm, Mode::Status),
            PROGRAM | PROGRAM_ALTERNATE => (Step::ProgramData, Mode::Status),
            LOCK_SETUP => (Step::LockConfirm, Mode::Status),
            WRITE_TO_BUFFER => {
                let block = self.block(offset);
                (Step::BufferCount { block }, Mode::Status)
            }
            AMD_RESET => (Step::Command, self.mode),
            _ => {
                cx.guest_error(format_args!("{command:#x} at {offset:#x} is no command"));
                (Step::Command, self.mode)
            }
        };
        self.step = step;
        self.set_mode(cx, mode);
    }

    fn erase(&mut self, cx: &mut Cx<'_>, offset: u64) {
        let block = self.block(offset);
        if self.is_locked(block) {
            self.status |= STATUS_ERASE_ERROR | STATUS_LOCKED;
            return;
        }
        let length = self.props.sector_length.0;
        let erased = self.array.erase(cx, IMAGE, block * length, length);
        if erased.is_err() {
            self.status |= STATUS_ERASE_ERROR;
        }
    }

    /// Programming takes bits from one to zero, never back.
    fn program(&mut self, cx: &mut Cx<'_>, offset: u64, data: &[u8]) {
        if self.is_locked(self.block(offset)) {
            self.status |= STATUS_PROGRAM_ERROR | STATUS_LOCKED;
            return;
        }
        if self.array.program(cx, IMAGE, offset, data).is_err() {
            self.status |= STATUS_PROGRAM_ERROR;
        }
    }

    /// Puts the bytes of one cycle into the buffer; false if they lie outside it.
    fn fill(&mut self, start: u64, offset: u64, lanes: &[u8]) -> bool {
        let place = offset
            .checked_sub(start)
            .and_then(|at| usize::try_from(at).ok())
            .and_then(|at| self.buffer.get_mut(at..at.checked_add(lanes.len())?));
        match place {
            Some(place) => {
                place.copy_from_slice(lanes);
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests;

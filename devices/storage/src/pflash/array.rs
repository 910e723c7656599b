//! The cells of a flash memory. Erased cells that nobody has looked at yet take no host memory.

use solderless_model::memory::{MapError, OutOfBounds, PAGE, Ram};
use solderless_model::{Parts, Reader, Shape, State, StateError, Writer};

/// What erased cells read as.
const ERASED: u8 = 0xff;
/// Cells are made real in steps of this many bytes.
const STEP: u64 = 64 << 10;

/// An array of bytes, erased when made.
#[derive(Debug)]
pub struct Array {
    ram: Ram,
    /// Bytes below this offset are in `ram`; those above are erased.
    real: u64,
}

impl Array {
    /// An erased array of `size` bytes.
    pub fn new(size: u64) -> Result<Self, MapError> {
        let ram = Ram::new(size)?;
        Ok(Self { ram, real: 0 })
    }

    /// Size in bytes.
    pub fn size(&self) -> u64 {
        self.ram.size()
    }

    /// The memory that holds the array, and how many bytes of it do so now.
    pub fn memory(&self) -> (&Ram, u64) {
        (&self.ram, self.real)
    }

    /// Makes the bytes up to `end` real. Returns whether that changed what `memory` says.
    pub fn reach(&mut self, end: u64) -> bool {
        if end <= self.real {
            return false;
        }
        let end = end.min(self.size()).next_multiple_of(STEP).min(self.size());
        let from = self.real;
        // Within the block, as `end` is at most its size.
        let made = self.ram.fill(from, end.saturating_sub(from), ERASED);
        self.real = if made.is_ok() { end } else { from };
        self.real != from
    }

    /// Copies bytes out.
    pub fn read(&mut self, offset: u64, out: &mut [u8]) -> Result<(), OutOfBounds> {
        self.reach(offset.saturating_add(out.len() as u64));
        self.ram.read(offset, out)
    }

    /// Copies bytes in, as a programmer of empty parts does.
    pub fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), OutOfBounds> {
        self.reach(offset.saturating_add(data.len() as u64));
        self.ram.write(offset, data)
    }

    /// Erases bytes.
    pub fn erase(&mut self, offset: u64, len: u64) -> Result<(), OutOfBounds> {
        self.reach(offset.saturating_add(len));
        self.ram.fill(offset, len, ERASED)
    }
}

/// Saved whole, real or not.
impl State for Array {
    fn shape(parts: &Parts) -> Shape {
        Ram::shape(parts)
    }

    fn save(&self, out: &mut Writer) {
        let mut page = [0; PAGE as usize];
        let mut offset = 0;
        while offset < self.size() {
            let len = (self.size() - offset).min(PAGE) as usize;
            if offset >= self.real || self.ram.read(offset, &mut page[..len]).is_err() {
                page.fill(ERASED);
            }
            out.bytes(&page[..len]);
            offset += len as u64;
        }
    }

    fn load(&mut self, from: &mut Reader<'_>) -> Result<(), StateError> {
        self.real = self.size();
        self.ram.load(from)
    }
}

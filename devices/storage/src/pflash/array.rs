//! The cells of a flash memory. Erased cells that nobody has looked at yet take no host memory.

use solderless_model::memory::{MapError, OutOfBounds, Ram};
use solderless_model::{State, StateError};

/// What erased cells read as.
const ERASED: u8 = 0xff;
/// Cells are made real in steps of this many bytes.
const STEP: u64 = 16 << 10;

/// An array of bytes, erased when made.
#[derive(Debug, State)]
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

    /// Looks at what was loaded.
    pub fn restored(&self) -> Result<(), StateError> {
        if self.real <= self.size() {
            return Ok(());
        }
        Err(StateError::new(format!(
            "{} bytes in use of an array of {}",
            self.real,
            self.size()
        )))
    }

    /// Copies bytes out.
    pub fn read(&mut self, offset: u64, out: &mut [u8]) -> Result<(), OutOfBounds> {
        self.reach(offset.saturating_add(out.len() as u64));
        self.ram.read(offset, out)
    }

    /// All of it.
    pub fn content(&self) -> Vec<u8> {
        let mut content = vec![ERASED; self.size() as usize];
        let real = content.get_mut(..self.real as usize).unwrap_or_default();
        // Within the block, as `real` is at most its size.
        let _ = self.ram.read(0, real);
        content
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

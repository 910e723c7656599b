//! The cells of a flash memory, whatever its commands. Erased cells that nobody has looked at yet take no host memory.

use solderless_model::memory::{OutOfBounds, Ram};
use solderless_model::{
    Access, Backing, BuildError, BusError, Cx, SlotId, State, StateError, Wires,
};

/// What erased cells read as.
const ERASED: u8 = 0xff;
/// Cells are made real in steps of this many bytes.
const STEP: u64 = 16 << 10;

/// An array of bytes, filled from the image in a slot when made, and erased behind that.
#[derive(Debug, State)]
pub struct Array {
    ram: Ram,
    /// Bytes below this offset are in `ram`; those above are erased.
    real: u64,
}

impl Array {
    /// An array of `size` bytes.
    ///
    /// # Errors
    /// The image is larger, or the host has no memory.
    pub fn new(size: u64, wires: Wires<'_>, slot: SlotId) -> Result<Self, BuildError> {
        let fail = |e: &dyn std::fmt::Display| BuildError(e.to_string());
        let image = wires.image_for(slot, size, "flash")?;
        let ram = Ram::new(size).map_err(|e| fail(&e))?;
        let mut array = Self { ram, real: 0 };
        array.write(0, image).map_err(|e| fail(&e))?;
        Ok(array)
    }

    /// Size in bytes.
    pub fn size(&self) -> u64 {
        self.ram.size()
    }

    /// What is behind its region, which shows the array or the answers to commands.
    pub fn backing(&self, shown: bool) -> Backing {
        Backing {
            ram: self.ram.clone(),
            offset: 0,
            len: self.real,
            readable: shown,
            writable: false,
        }
    }

    /// Makes the bytes up to `end` real. Returns whether that changed what is behind the region.
    fn reach(&mut self, end: u64) -> bool {
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

    /// A guest's read.
    ///
    /// # Errors
    /// It is wider than a bus, or beyond the end.
    pub fn answer(&mut self, cx: &mut Cx<'_>, at: Access) -> Result<u64, BusError> {
        let mut bytes = [0; 8];
        let wanted = bytes.get_mut(..usize::from(at.size)).ok_or(BusError)?;
        if self.reach(at.offset.saturating_add(u64::from(at.size))) {
            cx.memory_changed(at.region);
        }
        self.ram.read(at.offset, wanted).map_err(|_| BusError)?;
        Ok(u64::from_le_bytes(bytes))
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
    fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), OutOfBounds> {
        self.reach(offset.saturating_add(data.len() as u64));
        self.ram.write(offset, data)
    }

    /// Erases bytes, and says so of the image in the slot.
    pub fn erase(
        &mut self,
        cx: &mut Cx<'_>,
        slot: SlotId,
        offset: u64,
        len: u64,
    ) -> Result<(), OutOfBounds> {
        self.reach(offset.saturating_add(len));
        self.ram.fill(offset, len, ERASED)?;
        cx.store(slot, offset, &vec![ERASED; len as usize]);
        Ok(())
    }

    /// Takes bits from one to zero, never back, and says so of the image in the slot.
    pub fn program(
        &mut self,
        cx: &mut Cx<'_>,
        slot: SlotId,
        offset: u64,
        data: &[u8],
    ) -> Result<(), OutOfBounds> {
        let mut bytes = vec![0; data.len()];
        self.read(offset, &mut bytes)?;
        for (old, new) in bytes.iter_mut().zip(data) {
            *old &= new;
        }
        self.write(offset, &bytes)?;
        cx.store(slot, offset, &bytes);
        Ok(())
    }
}

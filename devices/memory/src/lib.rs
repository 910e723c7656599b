//! Guest memory: mapped blocks, and the table of pages a CPU reaches without asking.
//!
//! This is one of the few crates that may use `unsafe`. Everything it offers is safe to call:
//! a block checks its bounds, and a [`SoftTlb`] entry is only ever filled with a whole page of a
//! block that the table keeps alive.
//!
//! Guest memory has one owner and one thread: handles are reference-counted with [`Rc`], so
//! nothing here can be shared between threads, and plain (non-atomic) accesses are sound. No Rust
//! reference to guest bytes is ever made; all access is by value through raw pointers.

#![deny(clippy::undocumented_unsafe_blocks)]

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::rc::Rc;

use vm_memory::MmapRegion;

mod soft_tlb;
mod watch;
mod wide_tlb;
pub use soft_tlb::{SoftTlb, layout};
pub use watch::{Dirty, Reservation, Watcher};
pub use wide_tlb::{Hull, WideTlb, wide_layout};

/// Size in bytes of the pages that [`SoftTlb`] and [`Watcher`] work in.
pub const PAGE: u64 = 4096;

/// A page could not be mapped.
#[derive(Debug, thiserror::Error)]
#[error("cannot map {size} bytes of guest memory: {reason}")]
pub struct MapError {
    size: u64,
    reason: String,
}

/// An access that does not lie within its block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{len} bytes at {offset:#x} lie outside a block of {size:#x} bytes")]
pub struct OutOfBounds {
    offset: u64,
    len: u64,
    size: u64,
}

struct Inner {
    map: MmapRegion,
    size: u64,
    /// One bit per page: somebody wants to know of writes to it. Made with the first.
    watched: OnceCell<Box<[Cell<u64>]>>,
    /// Who that is.
    watch: watch::Watch,
    /// Pages that are a file's.
    mapped: RefCell<Vec<Range<u64>>>,
}

/// A block of guest memory, zero-filled when made. Cloning gives another handle to the same bytes.
///
/// Multi-byte values are read and written little-endian: the number is what the byte lanes of a
/// bus carry, lowest address in the lowest byte.
#[derive(Clone)]
pub struct Ram(Rc<Inner>);

impl fmt::Debug for Ram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ram({:#x} bytes)", self.0.size)
    }
}

macro_rules! scalar {
    ($read:ident, $write:ident, $ty:ty) => {
        /// Reads a value at any byte offset.
        ///
        /// # Errors
        /// [`OutOfBounds`] if it does not lie within the block.
        #[inline]
        pub fn $read(&self, offset: u64) -> Result<$ty, OutOfBounds> {
            let at = self.at(offset, size_of::<$ty>() as u64)?;
            // SAFETY: `at` checked that all bytes lie within the mapping.
            Ok(<$ty>::from_le(unsafe { at.cast::<$ty>().read_unaligned() }))
        }

        /// Writes a value at any byte offset; who watches it is told.
        ///
        /// # Errors
        /// [`OutOfBounds`] if it does not lie within the block.
        #[inline]
        pub fn $write(&self, offset: u64, value: $ty) -> Result<(), OutOfBounds> {
            let at = self.at(offset, size_of::<$ty>() as u64)?;
            self.touch(offset, size_of::<$ty>() as u64);
            // SAFETY: as above; no Rust reference to these bytes exists.
            unsafe { at.cast::<$ty>().write_unaligned(value.to_le()) };
            Ok(())
        }
    };
}

impl Ram {
    /// Maps a zero-filled block of `size` bytes.
    ///
    /// # Errors
    /// The host refuses the mapping, or `size` is zero.
    pub fn new(size: u64) -> Result<Self, MapError> {
        let error = |reason: String| MapError { size, reason };
        let pages = size.div_ceil(PAGE);
        let len = usize::try_from(pages * PAGE).map_err(|e| error(e.to_string()))?;
        let map = MmapRegion::new(len).map_err(|e| error(e.to_string()))?;
        Ok(Self(Rc::new(Inner {
            map,
            size,
            watched: OnceCell::new(),
            watch: watch::Watch::default(),
            mapped: RefCell::default(),
        })))
    }

    /// Size of the block in bytes.
    pub fn size(&self) -> u64 {
        self.0.size
    }

    /// Whether both handles are of the same block.
    pub fn same(&self, other: &Ram) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }

    #[inline]
    fn at(&self, offset: u64, len: u64) -> Result<*mut u8, OutOfBounds> {
        match offset.checked_add(len) {
            Some(end) if end <= self.0.size => {
                // SAFETY: `offset` is within the mapping, which is at least `size` long.
                Ok(unsafe { self.0.map.as_ptr().add(offset as usize) })
            }
            _ => Err(OutOfBounds {
                offset,
                len,
                size: self.0.size,
            }),
        }
    }

    #[inline]
    fn touch(&self, offset: u64, len: u64) {
        if len == 0 || self.0.watched.get().is_none() {
            return;
        }
        for page in offset / PAGE..=(offset + len - 1) / PAGE {
            if self.is_watched(page as u32) {
                self.written(page as u32, offset, len);
            }
        }
    }

    scalar!(read_u8, write_u8, u8);
    scalar!(read_u16, write_u16, u16);
    scalar!(read_u32, write_u32, u32);
    scalar!(read_u64, write_u64, u64);

    /// Copies bytes out of the block.
    ///
    /// # Errors
    /// [`OutOfBounds`] if they do not all lie within the block; nothing is copied then.
    pub fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), OutOfBounds> {
        let at = self.at(offset, out.len() as u64)?;
        // SAFETY: `at` checked the range; `out` is a Rust slice and so cannot overlap the mapping.
        unsafe { at.copy_to_nonoverlapping(out.as_mut_ptr(), out.len()) };
        Ok(())
    }

    /// Copies bytes into the block; who watches them is told.
    ///
    /// # Errors
    /// [`OutOfBounds`] if they do not all fit within the block; nothing is copied then.
    pub fn write(&self, offset: u64, data: &[u8]) -> Result<(), OutOfBounds> {
        let at = self.at(offset, data.len() as u64)?;
        self.touch(offset, data.len() as u64);
        // SAFETY: as in `read`.
        unsafe { at.copy_from_nonoverlapping(data.as_ptr(), data.len()) };
        Ok(())
    }

    /// Fills part of the block with one byte value; who watches it is told.
    ///
    /// # Errors
    /// [`OutOfBounds`] if the range does not lie within the block; nothing is written then.
    pub fn fill(&self, offset: u64, len: u64, value: u8) -> Result<(), OutOfBounds> {
        let at = self.at(offset, len)?;
        self.touch(offset, len);
        // SAFETY: `at` checked the range.
        unsafe { at.write_bytes(value, len as usize) };
        Ok(())
    }

    /// Whether both blocks have the same size and content.
    pub fn equals(&self, other: &Ram) -> bool {
        let mut bytes = [[0; PAGE as usize]; 2];
        self.size() == other.size()
            && (0..self.size()).step_by(PAGE as usize).all(|offset| {
                let len = (self.size() - offset).min(PAGE) as usize;
                let [mine, theirs] = bytes.each_mut().map(|b| &mut b[..len]);
                self.read(offset, mine).is_ok()
                    && other.read(offset, theirs).is_ok()
                    && mine == theirs
            })
    }

    /// How many pages the block has; the last may be cut short.
    pub fn pages(&self) -> u64 {
        self.0.size.div_ceil(PAGE)
    }

    /// The value that every byte of the page with this number has; `None` if they differ.
    ///
    /// # Errors
    /// The block has no such page.
    pub fn uniform(&self, page: u64) -> Result<Option<u8>, OutOfBounds> {
        let offset = page.saturating_mul(PAGE);
        let at = self.at(offset, 1)?.cast::<u64>();
        // SAFETY: the mapping is a whole number of pages, aligned to them, and `at` checked that it has this one.
        let first = unsafe { at.read() };
        let byte = first as u8;
        if first != u64::from_ne_bytes([byte; 8]) {
            return Ok(None);
        }
        const GROUP: usize = 16;
        for group in 0..PAGE as usize / 8 / GROUP {
            let mut differ = 0;
            for word in 0..GROUP {
                // SAFETY: as above.
                differ |= first ^ unsafe { at.add(group * GROUP + word).read() };
            }
            if differ != 0 {
                return Ok(None);
            }
        }
        Ok(Some(byte))
    }

    /// For each page, whether it is known to be zero because nobody has touched it; a look at it would make the host give
    /// it memory. `None` if the host does not say.
    pub fn untouched(&self) -> Option<Vec<bool>> {
        // What Linux says of a page of a process: 8 bytes each, whose highest bits are "swapped" and "present".
        const THERE: u64 = 3 << 62;
        if rustix::param::page_size() as u64 != PAGE {
            return None;
        }
        let mut bytes = vec![0; 8 * self.pages() as usize];
        let says = File::open("/proc/self/pagemap").ok()?;
        let start = self.0.map.as_ptr() as u64 / PAGE;
        says.read_exact_at(&mut bytes, 8 * start).ok()?;
        // A host that says nothing of a page that is there for certain, namely this one, is not believed.
        let (mut own, here) = ([0; 8], (&raw const bytes) as u64 / PAGE);
        says.read_exact_at(&mut own, 8 * here).ok()?;
        if u64::from_le_bytes(own) & THERE == 0 {
            return None;
        }
        let (entries, _) = bytes.as_chunks();
        let entries = entries.iter().map(|entry| u64::from_le_bytes(*entry));
        let mut untouched: Vec<bool> = entries.map(|entry| entry & THERE == 0).collect();
        for pages in self.0.mapped.borrow().iter() {
            untouched[pages.start as usize..pages.end as usize].fill(false);
        }
        Some(untouched)
    }

    /// Whether somebody is to be told of writes to the page with this number (offset / [`PAGE`]). There must be no writable
    /// [`SoftTlb`] entry for such a page.
    #[inline]
    pub fn is_watched(&self, page: u32) -> bool {
        let watched = self.0.watched.get();
        watched
            .and_then(|w| w.get(page as usize / 64))
            .is_some_and(|marks| marks.get() >> (page % 64) & 1 != 0)
    }

    /// Makes pages of the block, from this one on, those of a file from an offset on, privately: they are read when they
    /// are first looked at, and what is written to them stays here. Whoever cuts the file short later ends the process
    /// (`SIGBUS`) when it comes to a page that is gone.
    ///
    /// # Errors
    /// The pages do not lie within the block or the file, or the host refuses: it may have larger pages. Nothing has
    /// changed then.
    pub fn map(&self, page: u64, pages: u64, file: &File, offset: u64) -> std::io::Result<()> {
        use rustix::mm::{MapFlags, ProtFlags};
        let invalid = || std::io::Error::from(std::io::ErrorKind::InvalidInput);
        let within = |from: u64, len: u64, size: u64| {
            from.checked_add(len).filter(|end| *end <= size).is_some()
        };
        let len = pages.checked_mul(PAGE).ok_or_else(invalid)?;
        if pages == 0
            || !within(page, pages, self.pages())
            || !within(offset, len, file.metadata()?.len())
        {
            return Err(invalid());
        }
        self.touch(page * PAGE, len.min(self.0.size - page * PAGE));
        // SAFETY: `page` is one of the mapping's.
        let at = unsafe { self.0.map.as_ptr().add((page * PAGE) as usize) };
        let (protection, flags) = (
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE,
        );
        // SAFETY: all pages lie within the block's own mapping, which it replaces there: nobody else's memory is touched,
        // and the whole is unmapped with the block. No Rust reference to guest memory exists, so none sees a change.
        unsafe { rustix::mm::mmap(at.cast(), len as usize, protection, flags, file, offset) }?;
        self.0.mapped.borrow_mut().push(page..page + pages);
        Ok(())
    }

    /// Pointer to the start of a whole page, for [`SoftTlb`].
    fn page(&self, offset: u64) -> Option<*mut u8> {
        let start = offset & !(PAGE - 1);
        if start >= self.0.size {
            return None;
        }
        // SAFETY: the mapping is a whole number of pages and `start` is below its size.
        Some(unsafe { self.0.map.as_ptr().add(start as usize) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_exact() {
        let ram = Ram::new(10).unwrap();
        assert_eq!(ram.write_u32(6, 0x0403_0201), Ok(()));
        assert!(ram.write_u32(7, 0).is_err());
        assert!(ram.read_u8(10).is_err());
        assert!(ram.read_u64(u64::MAX - 3).is_err());
        let mut bytes = [0; 5];
        ram.read(5, &mut bytes).unwrap();
        assert_eq!(bytes, [0, 1, 2, 3, 4]);
        assert!(ram.read(6, &mut bytes).is_err());
    }

    #[test]
    fn untouched_pages_are_zero_and_others_are_not_called_so() {
        let ram = Ram::new(8 * PAGE).unwrap();
        ram.write_u8(3 * PAGE + 5, 1).unwrap();
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[7; 2 * PAGE as usize], 0).unwrap();
        ram.map(5, 2, &file, 0).unwrap();
        let untouched = ram.untouched().unwrap();
        let expected = [true, true, true, false, true, false, false, true];
        assert_eq!(untouched, expected);
        for (page, untouched) in (0..).zip(untouched) {
            assert_eq!(untouched, ram.uniform(page) == Ok(Some(0)), "page {page}");
        }
    }
}

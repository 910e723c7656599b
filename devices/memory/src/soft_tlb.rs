//! The soft TLB: which virtual pages a CPU reaches by host pointer, without leaving its loop.
//!
//! It is a flat table for each address space, with a word for every page of 4 GiB that a host's page fault allocates when it is
//! written: looking an address up is one load. Reading and writing have tables of their own, and so do kernel and user mode: the
//! upper half of a user's tables is empty. A [`View`] puts the halves of a pair of tables next to each other; as a half is mapped into
//! several views, an entry is made and taken away in one place.

use std::cell::UnsafeCell;
use std::ptr;

use rustix::fd::OwnedFd;
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

use crate::{PAGE, Ram};

/// Pages of a 32-bit address space.
const PAGES: usize = 1 << 20;
/// Entries of half a table.
const HALF: usize = PAGES / 2;
/// Bytes of half a table.
const HALF_SIZE: usize = HALF * 8;
/// Address spaces whose pages are kept. More than these take one another's place.
const SLOTS: usize = 8;
/// Where the upper half is, behind those of the address spaces.
const UPPER: usize = SLOTS;
/// In place of the slot of an address space whose lower half is empty: only the upper half is there as well.
const NOWHERE: usize = UPPER;
/// Entries of a table that lie in one page of the host: what is cleared at once.
const CHUNK: usize = 512;
const CHUNKS: usize = HALF / CHUNK;
/// No slot.
const NONE: u8 = u8::MAX;

/// The tables of a view: that for reading, then that for writing.
///
/// An entry is 0, or what is added to a virtual address of the page to get the host's.
type View = *const u64;

/// How a [`SoftTlb`] lies in memory, for generated code: at [`VIEW`](layout::VIEW) is the address of a table with a word for every
/// page, for reading, and [`WRITE`](layout::WRITE) bytes behind it is that for writing. A word that is not zero is added to the
/// guest's address to get the host's. What an access needs in alignment is for the code to check.
///
/// The pages within [`MARGIN`](layout::MARGIN) bytes of either end of the address space are never there. So code may leave out that the sum of a register
/// and a displacement of 16 bits wraps around: it does so in those only.
pub mod layout {
    /// Offset of the address of the table.
    pub const VIEW: usize = std::mem::offset_of!(super::SoftTlb, view);
    /// From the table for reading to that for writing.
    pub const WRITE: usize = super::PAGES * 8;
    /// See above.
    pub const MARGIN: u32 = 1 << 15;
}

/// The tables where there are none: neither reading nor writing finds anything. As what is in a cell could change, they take no
/// room in the program's file.
static EMPTY: Empty = Empty(UnsafeCell::new([0; 2 * PAGES]));

struct Empty(UnsafeCell<[u64; 2 * PAGES]>);

// SAFETY: nobody writes what is in it: views are read only.
unsafe impl Sync for Empty {}

/// The memory of all tables.
struct Tables {
    file: OwnedFd,
    /// All halves, for changing them: those for reading and writing of each slot in turn, then the upper ones.
    halves: *mut u64,
    /// By slot and mode; null where it was not needed yet.
    views: [[View; 2]; SLOTS + 1],
    /// Chunks that were written, by slot.
    written: [[u64; CHUNKS / 64]; SLOTS + 1],
}

impl Tables {
    const SIZE: usize = 2 * (SLOTS + 1) * HALF_SIZE;
    const VIEW_SIZE: usize = 4 * HALF_SIZE;

    fn new() -> rustix::io::Result<Self> {
        let file = memfd_create("soft-tlb", MemfdFlags::CLOEXEC)?;
        ftruncate(&file, Self::SIZE as u64)?;
        let (protection, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
        // SAFETY: a new mapping at an address that the host chooses overlaps nothing.
        let halves = unsafe { mmap(ptr::null_mut(), Self::SIZE, protection, flags, &file, 0) }?;
        Ok(Self {
            file,
            halves: halves.cast(),
            views: [[ptr::null(); 2]; SLOTS + 1],
            written: [[0; CHUNKS / 64]; SLOTS + 1],
        })
    }

    /// The view of a slot in a mode, mapped when it is first asked for.
    fn view(&mut self, slot: usize, kernel: bool) -> rustix::io::Result<View> {
        let known = self.views[slot][usize::from(kernel)];
        if !known.is_null() {
            return Ok(known);
        }
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: a new mapping at an address that the host chooses overlaps nothing. It reads as zero.
        let all =
            unsafe { mmap_anonymous(ptr::null_mut(), Self::VIEW_SIZE, ProtFlags::READ, flags) }?;
        let lower = (slot != NOWHERE).then_some((0, slot));
        let upper = kernel.then_some((1, UPPER));
        for (half, slot) in lower.into_iter().chain(upper) {
            for write in 0..2 {
                let at = all.wrapping_byte_add((2 * write + half) * HALF_SIZE);
                let offset = (2 * slot + write) * HALF_SIZE;
                let flags = MapFlags::SHARED | MapFlags::FIXED;
                // SAFETY: it replaces a part of the mapping made above, to which nobody has a pointer yet.
                let mapped = unsafe {
                    mmap(
                        at,
                        HALF_SIZE,
                        ProtFlags::READ,
                        flags,
                        &self.file,
                        offset as u64,
                    )
                };
                mapped.inspect_err(|_| {
                    // SAFETY: it was mapped above, and nobody has a pointer into it.
                    let _ = unsafe { munmap(all, Self::VIEW_SIZE) };
                })?;
            }
        }
        self.views[slot][usize::from(kernel)] = all.cast();
        Ok(all.cast())
    }

    /// The entries for reading and writing of a page, given by its number in its half.
    fn entries(&mut self, slot: usize, page: usize) -> [&mut u64; 2] {
        let at = (2 * slot.min(UPPER)) * HALF + page % HALF;
        // SAFETY: both are within the mapping, and not the same; views read it by pointer only, and not while these live.
        unsafe { [&mut *self.halves.add(at), &mut *self.halves.add(at + HALF)] }
    }

    fn clear(&mut self, slot: usize) {
        for (group, written) in self.written[slot].iter_mut().enumerate() {
            let mut left = std::mem::take(written);
            while left != 0 {
                let chunk = group * 64 + left.trailing_zeros() as usize;
                left &= left - 1;
                for half in [2 * slot, 2 * slot + 1] {
                    // SAFETY: a chunk lies within its half, and that within the mapping.
                    unsafe {
                        self.halves
                            .add(half * HALF + chunk * CHUNK)
                            .write_bytes(0, CHUNK);
                    }
                }
            }
        }
    }
}

impl Drop for Tables {
    fn drop(&mut self) {
        // SAFETY: all are mappings of these sizes, and pointers to them go with the `SoftTlb` that owns this.
        unsafe {
            let _ = munmap(self.halves.cast(), Self::SIZE);
            for view in self.views.into_iter().flatten().filter(|v| !v.is_null()) {
                let _ = munmap(view.cast_mut().cast(), Self::VIEW_SIZE);
            }
        }
    }
}

/// Virtual pages by which a page of memory can be written: two for each half, by the lowest bit of what tells segments apart
/// there, so that the usual ones do not take one another's place. Others than these are not entered.
type Writers = [Writer; 4];

/// A virtual page, with its slot; zero if there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Writer(u32);

impl Writer {
    fn new(slot: usize, page: usize) -> Self {
        Self(page as u32 | (slot as u32 + 1) << 20)
    }

    /// Its slot and page.
    fn page(self) -> Option<(usize, usize)> {
        let slot = (self.0 >> 20).checked_sub(1)? as usize;
        Some((slot, self.0 as usize % PAGES))
    }
}

/// A block that entries point into.
struct Block {
    /// What keeps the pointers valid.
    ram: Ram,
    /// Of its pages; empty until one can be written.
    writers: Vec<Writers>,
}

/// A table from virtual pages to guest memory, 32-bit addresses.
///
/// An access either hits (a pointer access, the way nearly all go) or misses, and the CPU then asks the
/// machine. Misaligned addresses always miss. Values are little-endian numbers, as in [`Ram`].
///
/// Pages below 0x80000000 belong to the address space that was [selected](SoftTlb::select), those above to all of them, and
/// are seen in kernel mode only.
pub struct SoftTlb {
    view: View,
    /// The address space that was selected.
    asid: Option<u8>,
    slot: usize,
    kernel: bool,
    tables: Option<Box<Tables>>,
    /// The host has no memory for tables.
    refused: bool,
    /// The slots of address spaces.
    slot_of: [u8; 256],
    /// The address spaces in slots.
    asid_of: [Option<u8>; SLOTS],
    /// The slot that is given away next.
    next: usize,
    blocks: Vec<Block>,
}

impl Default for SoftTlb {
    fn default() -> Self {
        Self {
            view: EMPTY.0.get().cast_const().cast(),
            asid: None,
            slot: NOWHERE,
            kernel: false,
            tables: None,
            refused: false,
            slot_of: [NONE; 256],
            asid_of: [None; SLOTS],
            next: 0,
            blocks: Vec::new(),
        }
    }
}

impl std::fmt::Debug for SoftTlb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SoftTlb")
            .field("slot", &self.slot)
            .field("kernel", &self.kernel)
            .finish_non_exhaustive()
    }
}

macro_rules! access {
    ($read:ident, $write:ident, $ty:ty) => {
        /// Reads a naturally aligned value; `None` is a miss.
        #[inline(always)]
        pub fn $read(&self, va: u32) -> Option<$ty> {
            // SAFETY: a view has a table with an entry for every page.
            let base = unsafe { *self.view.add((va >> 12) as usize) };
            if base == 0 || va & (size_of::<$ty>() as u32 - 1) != 0 {
                return None;
            }
            let at = base.wrapping_add(va.into()) as *const $ty;
            // SAFETY: an entry was put there by `fill` for a whole page of a block in `blocks`, and the address is
            // aligned, so the access lies in it.
            Some(<$ty>::from_le(unsafe { at.read_unaligned() }))
        }

        /// Writes a naturally aligned value; `false` is a miss and nothing is written.
        #[inline(always)]
        pub fn $write(&mut self, va: u32, value: $ty) -> bool {
            // SAFETY: a view has two tables with an entry for every page.
            let base = unsafe { *self.view.add(PAGES + (va >> 12) as usize) };
            if base == 0 || va & (size_of::<$ty>() as u32 - 1) != 0 {
                return false;
            }
            let at = base.wrapping_add(va.into()) as *mut $ty;
            // SAFETY: as for reading; `fill` makes an entry for writing only on request, and no Rust reference to guest
            // memory exists.
            unsafe { at.write_unaligned(value.to_le()) };
            true
        }
    };
}

impl SoftTlb {
    access!(read_u8, write_u8, u8);
    access!(read_u16, write_u16, u16);
    access!(read_u32, write_u32, u32);
    access!(read_u64, write_u64, u64);

    /// Has accesses from now on be those of an address space, or with `None` of one without pages below 0x80000000, in
    /// kernel or user mode.
    #[inline]
    pub fn select(&mut self, asid: Option<u8>, kernel: bool) {
        let slot = asid.map_or(NOWHERE as u8, |asid| self.slot_of[usize::from(asid)]);
        (self.asid, self.kernel) = (asid, kernel);
        if slot != NONE
            && let Some(tables) = &self.tables
            && let view = tables.views[usize::from(slot)][usize::from(kernel)]
            && !view.is_null()
        {
            self.slot = slot.into();
            self.view = view;
        } else {
            self.make_view();
        }
    }

    /// Finds a slot for the address space, and maps its view.
    #[cold]
    fn make_view(&mut self) {
        let Some(tables) = &mut self.tables else {
            return;
        };
        self.slot = match self
            .asid
            .map(|asid| (asid, self.slot_of[usize::from(asid)]))
        {
            None => NOWHERE,
            Some((asid, NONE)) => {
                let slot = self.next;
                self.next = (self.next + 1) % SLOTS;
                if let Some(old) = self.asid_of[slot].replace(asid) {
                    self.slot_of[usize::from(old)] = NONE;
                }
                self.slot_of[usize::from(asid)] = slot as u8;
                tables.clear(slot);
                slot
            }
            Some((_, slot)) => slot.into(),
        };
        match tables.view(self.slot, self.kernel) {
            Ok(view) => self.view = view,
            Err(_) => self.give_up(),
        }
    }

    /// Goes on without tables.
    fn give_up(&mut self) {
        *self = Self {
            refused: true,
            asid: self.asid,
            kernel: self.kernel,
            ..Self::default()
        };
    }

    /// Enters the page of `ram` that holds `offset` for the virtual page that holds `va`, in place of what is entered
    /// there.
    pub fn fill(&mut self, va: u32, ram: &Ram, offset: u64, writable: bool) {
        let Some(at) = ram.page(offset) else {
            return;
        };
        if va.wrapping_add(layout::MARGIN) < 2 * layout::MARGIN {
            return;
        }
        if self.tables.is_none() {
            if self.refused {
                return;
            }
            match Tables::new() {
                Ok(tables) => self.tables = Some(Box::new(tables)),
                Err(_) => return self.give_up(),
            }
            self.make_view();
        }
        let page = (va >> 12) as usize;
        let lower = va >> 31 == 0;
        // What is above is the kernel's, and an address space without a slot has nothing below.
        if !lower && !self.kernel || lower && self.slot == NOWHERE {
            return;
        }
        // Of the upper half, memory is in 0x80000000 and 0xa0000000 at once; of a lower one it can be shared.
        let (slot, kind) = match lower {
            true => (self.slot, 2 + self.slot % 2),
            false => (UPPER, (va >> 29) as usize & 1),
        };
        let block = match self.blocks.iter().position(|b| b.ram.same(ram)) {
            Some(block) => block,
            None => {
                self.blocks.push(Block {
                    ram: ram.clone(),
                    writers: Vec::new(),
                });
                self.blocks.len() - 1
            }
        };
        let Some(tables) = &mut self.tables else {
            return;
        };
        let base = (at as u64).wrapping_sub(u64::from(va & !0xfff));
        if writable {
            let writers = &mut self.blocks[block].writers;
            if writers.is_empty() {
                *writers = vec![Writers::default(); ram.pages() as usize];
            }
            let writer = &mut writers[(offset / PAGE) as usize][kind];
            let this = Writer::new(slot, page);
            if *writer != this {
                if let Some((slot, page)) = writer.page() {
                    *tables.entries(slot, page)[1] = 0;
                }
                *writer = this;
            }
        }
        let [read, write] = tables.entries(slot, page);
        *read = base;
        *write = if writable { base } else { 0 };
        let chunk = page % HALF / CHUNK;
        tables.written[slot][chunk / 64] |= 1 << (chunk % 64);
    }

    /// Forgets what is entered for the virtual page that holds `va`, in one address space or in all.
    pub fn forget(&mut self, va: u32, asid: Option<u8>) {
        let Some(tables) = &mut self.tables else {
            return;
        };
        let mut forget = |slot| {
            for entry in tables.entries(slot, (va >> 12) as usize) {
                *entry = 0;
            }
        };
        match asid.map(|asid| self.slot_of[usize::from(asid)]) {
            _ if va >> 31 != 0 => forget(UPPER),
            None => (0..SLOTS)
                .filter(|slot| self.asid_of[*slot].is_some())
                .for_each(forget),
            Some(NONE) => {}
            Some(slot) => forget(slot.into()),
        }
    }

    /// Takes away the right to write from every entry of the page of `ram` that holds `offset`.
    pub fn protect(&mut self, ram: &Ram, offset: u64) {
        let Some(tables) = &mut self.tables else {
            return;
        };
        let Some(block) = self.blocks.iter_mut().find(|b| b.ram.same(ram)) else {
            return;
        };
        let Some(writers) = block.writers.get_mut((offset / PAGE) as usize) else {
            return;
        };
        for (slot, page) in std::mem::take(writers).into_iter().filter_map(Writer::page) {
            *tables.entries(slot, page)[1] = 0;
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        if let Some(tables) = &mut self.tables {
            (0..=SLOTS).for_each(|slot| tables.clear(slot));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_spaces_pages_and_alignment_must_match() {
        let ram = Ram::new(2 * PAGE).unwrap();
        ram.write_u32(PAGE + 8, 0x1122_3344).unwrap();
        let mut tlb = SoftTlb::default();
        tlb.select(Some(7), false);
        tlb.fill(0x40_1000, &ram, PAGE + 4, false);
        assert_eq!(tlb.read_u32(0x40_1008), Some(0x1122_3344));
        assert_eq!(tlb.read_u8(0x40_100b), Some(0x11));
        for va in [0x40_1009, 0x40_100a, 0x40_2008, 0x60_1008, 0xc040_1008] {
            assert_eq!(tlb.read_u32(va), None, "{va:#x}");
        }
        for (asid, kernel, hit) in [
            (Some(6), false, false),
            (Some(6), true, false),
            (None, true, false),
            (Some(7), true, true),
            (Some(7), false, true),
        ] {
            tlb.select(asid, kernel);
            assert_eq!(tlb.read_u32(0x40_1008).is_some(), hit, "{asid:?} {kernel}");
        }
        assert!(!tlb.write_u32(0x40_1008, 1), "read-only");
        tlb.fill(0x40_1000, &ram, PAGE, true);
        assert!(tlb.write_u64(0x40_1008, 5));
        assert_eq!(ram.read_u64(PAGE + 8), Ok(5));
        tlb.protect(&ram, PAGE);
        assert!(!tlb.write_u64(0x40_1008, 6));
        assert_eq!(tlb.read_u64(0x40_1008), Some(5));
        tlb.forget(0x40_1fff, Some(6));
        assert_eq!(tlb.read_u64(0x40_1008), Some(5));
        tlb.forget(0x40_1fff, Some(7));
        assert_eq!(tlb.read_u64(0x40_1008), None);
    }

    #[test]
    fn the_upper_half_is_the_kernels_in_every_address_space() {
        let ram = Ram::new(PAGE).unwrap();
        let mut tlb = SoftTlb::default();
        tlb.select(Some(1), true);
        tlb.fill(0x8000_0000, &ram, 0, true);
        for asid in [Some(1), Some(2), None] {
            tlb.select(asid, true);
            assert!(tlb.write_u8(0x8000_0001, 3));
            tlb.select(asid, false);
            assert_eq!(tlb.read_u8(0x8000_0001), None);
            tlb.fill(0x8000_0000, &ram, 0, true);
            assert_eq!(tlb.read_u8(0x8000_0001), None);
        }
        tlb.select(None, true);
        tlb.fill(0x1_1000, &ram, 0, true);
        assert_eq!(tlb.read_u8(0x1_1000), None, "nothing is below");
        tlb.clear();
        assert_eq!(tlb.read_u8(0x8000_0001), None);
    }

    #[test]
    fn all_ways_to_write_a_page_are_taken_away() {
        let ram = Ram::new(4 * PAGE).unwrap();
        let mut tlb = SoftTlb::default();
        let spaces = 0..2 * SLOTS as u8;
        for asid in spaces.clone() {
            tlb.select(Some(asid), true);
            for va in [0x1_1000, 0x1_5000, 0x8000_2000, 0xa000_2000, 0xc000_0000] {
                tlb.fill(va, &ram, 2 * PAGE, true);
                assert!(tlb.write_u8(va, 1), "{asid} {va:#x}");
            }
        }
        tlb.protect(&ram, 2 * PAGE);
        for asid in spaces {
            tlb.select(Some(asid), true);
            for va in [0x1_1000, 0x1_5000, 0x8000_2000, 0xa000_2000, 0xc000_0000] {
                assert!(!tlb.write_u8(va, 1), "{asid} {va:#x}");
            }
        }
    }

    #[test]
    fn more_address_spaces_than_slots_are_not_mixed_up() {
        let ram = Ram::new(PAGE * 64).unwrap();
        let mut tlb = SoftTlb::default();
        for asid in 0..64 {
            ram.write_u8(u64::from(asid) * PAGE, asid).unwrap();
        }
        for round in 0..3 {
            for asid in 0..64u8 {
                tlb.select(Some(asid), false);
                if let Some(there) = tlb.read_u8(0x1_7000) {
                    assert_eq!(there, asid, "round {round}");
                }
                tlb.fill(0x1_7000, &ram, u64::from(asid) * PAGE, false);
                assert_eq!(tlb.read_u8(0x1_7000), Some(asid));
            }
        }
    }

    #[test]
    fn an_empty_table_has_nothing() {
        let mut tlb = SoftTlb::default();
        for va in [0, 4, 8, 0x7fff_ffff, 0x8000_0000, 0xffff_f000, 0xffff_ffff] {
            assert_eq!(tlb.read_u8(va), None);
            assert!(!tlb.write_u8(va, 0));
        }
    }

    #[test]
    fn pointers_outlive_the_handles_they_came_from() {
        let mut tlb = SoftTlb::default();
        let ram = Ram::new(PAGE).unwrap();
        tlb.select(Some(0), true);
        tlb.fill(0x1_0000, &ram, 0, true);
        drop(ram);
        assert!(tlb.write_u32(0x1_0000, 9));
        assert_eq!(tlb.read_u32(0x1_0000), Some(9));
    }

    #[test]
    fn nothing_is_at_the_ends_of_the_address_space() {
        let ram = Ram::new(PAGE).unwrap();
        let mut tlb = SoftTlb::default();
        tlb.select(Some(0), true);
        for (va, there) in [
            (0, false),
            (layout::MARGIN - 1, false),
            (layout::MARGIN, true),
            (layout::MARGIN.wrapping_neg() - 1, true),
            (layout::MARGIN.wrapping_neg(), false),
            (u32::MAX, false),
        ] {
            tlb.fill(va, &ram, 0, true);
            assert_eq!(tlb.read_u8(va).is_some(), there, "{va:#x}");
            assert_eq!(tlb.write_u8(va, 0), there, "{va:#x}");
        }
    }
}

//! The soft TLB for addresses of 64 bits: a table with a place for each page by the low bits of its number, for each of the
//! last address spaces.

use std::ptr;

use crate::{PAGE, Ram};

/// Places of a table.
const ENTRIES: usize = 1024;
/// Address spaces whose pages are kept.
const SPACES: usize = 16;
/// No address looks like this once its low bits are cleared.
const NOTHING: u64 = u64::MAX;

/// What is known of a page: the page if it may be read, and if it may be written, what is added to an address of it to get the
/// host's, and its physical address.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(32))]
struct Entry {
    read: u64,
    write: u64,
    base: u64,
    physical: u64,
}

/// How a [`WideTlb`] lies in memory, for generated code: at [`VIEW`](wide_layout::VIEW) is the address of a table of entries of
/// two to the power of [`ENTRY_BITS`](wide_layout::ENTRY_BITS) bytes. An entry has the address of the page at
/// [`READ`](wide_layout::READ) if it may be read and at [`WRITE`](wide_layout::WRITE) if it may be written; what is at
/// [`BASE`](wide_layout::BASE) is added to an address in it to get the host's.
pub mod wide_layout {
    use super::{Entry, WideTlb};
    use std::mem::offset_of;

    /// Offset of the address of the table.
    pub const VIEW: usize = offset_of!(WideTlb, view);
    /// Entries of a table; an address has its own by the low bits of its page's number.
    pub const ENTRIES: usize = super::ENTRIES;
    /// See above.
    pub const ENTRY_BITS: u32 = size_of::<Entry>().trailing_zeros();
    /// See above.
    pub const READ: usize = offset_of!(Entry, read);
    /// See above.
    pub const WRITE: usize = offset_of!(Entry, write);
    /// See above.
    pub const BASE: usize = offset_of!(Entry, base);
}

const NO_ENTRY: Entry = Entry {
    read: NOTHING,
    write: NOTHING,
    base: 0,
    physical: 0,
};

/// The table of an address space that has none.
static EMPTY: [Entry; ENTRIES] = [NO_ENTRY; ENTRIES];

/// The pages of an address space, as one kind of access sees it.
struct Space {
    /// What it is selected by.
    key: Key,
    entries: Box<[Entry; ENTRIES]>,
    /// Those that are parts of a larger page, so that forgetting one forgets all.
    large: Hull,
}

/// Addresses that lie among the larger pages which were added: between the first and the last of each half of all addresses.
#[derive(Debug, Clone, Copy)]
pub struct Hull([(u64, u64); 2]);

impl Default for Hull {
    fn default() -> Self {
        Self([(u64::MAX, 0); 2])
    }
}

impl Hull {
    /// Adds the page of so many bytes, a power of two, that holds an address.
    pub fn add(&mut self, va: u64, span: u64) {
        let (first, last) = &mut self.0[(va >> 63) as usize];
        *first = (*first).min(va & !(span - 1));
        *last = (*last).max(va | (span - 1));
    }

    /// Whether an address lies there.
    #[must_use]
    pub fn contains(&self, va: u64) -> bool {
        let (first, last) = self.0[(va >> 63) as usize];
        (first..=last).contains(&va)
    }
}

/// What pages are found by besides their address: any two numbers that say all that a translation depends on.
type Key = (u64, u64);

/// A table from virtual pages to guest memory, 64-bit addresses.
///
/// An access either hits or misses, and the CPU then asks the machine. Misaligned addresses miss, but for the accesses that are
/// for them. Values are little-endian numbers, as in [`Ram`].
pub struct WideTlb {
    /// The table of the address space that was [selected](WideTlb::select), or [`EMPTY`].
    view: *const Entry,
    key: Key,
    /// Which of `spaces` is selected; none if it has no table yet.
    current: Option<usize>,
    spaces: Vec<Space>,
    /// The space that is given away next.
    next: usize,
    /// What keeps the pointers valid.
    blocks: Vec<Ram>,
}

impl Default for WideTlb {
    fn default() -> Self {
        Self {
            view: EMPTY.as_ptr(),
            key: (0, 0),
            current: None,
            spaces: Vec::new(),
            next: 0,
            blocks: Vec::new(),
        }
    }
}

impl std::fmt::Debug for WideTlb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WideTlb")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// The place of an address.
#[inline(always)]
fn place(va: u64) -> usize {
    (va / PAGE) as usize % ENTRIES
}

macro_rules! access {
    ($read:ident, $write:ident, $ty:ty) => {
        /// Reads a naturally aligned value; `None` is a miss.
        #[inline(always)]
        pub fn $read(&self, va: u64) -> Option<$ty> {
            // SAFETY: a view has as many entries as there are places.
            let entry = unsafe { &*self.view.add(place(va)) };
            if entry.read != va & !(PAGE - size_of::<$ty>() as u64) {
                return None;
            }
            let at = entry.base.wrapping_add(va) as *const $ty;
            // SAFETY: an entry was put there by `fill` for a whole page of a block in `blocks`, and as the low bits of the
            // address are zero, the access lies in it.
            Some(<$ty>::from_le(unsafe { at.read_unaligned() }))
        }

        /// Writes a naturally aligned value; `false` is a miss and nothing is written.
        #[inline(always)]
        pub fn $write(&mut self, va: u64, value: $ty) -> bool {
            // SAFETY: a view has as many entries as there are places.
            let entry = unsafe { &*self.view.add(place(va)) };
            if entry.write != va & !(PAGE - size_of::<$ty>() as u64) {
                return false;
            }
            let at = entry.base.wrapping_add(va) as *mut $ty;
            // SAFETY: as for reading; `fill` makes an entry for writing only on request, and no Rust reference to guest
            // memory exists.
            unsafe { at.write_unaligned(value.to_le()) };
            true
        }
    };
}

impl WideTlb {
    access!(read_u8, write_u8, u8);
    access!(read_u16, write_u16, u16);
    access!(read_u32, write_u32, u32);
    access!(read_u64, write_u64, u64);

    /// Whether a value of so many bytes is within a page, and which way to the host's memory there is then; `None` is a miss.
    #[inline(always)]
    fn anywhere(&self, va: u64, size: u64, write: bool) -> Option<u64> {
        // SAFETY: a view has as many entries as there are places.
        let entry = unsafe { &*self.view.add(place(va)) };
        let tag = if write { entry.write } else { entry.read };
        let inside = va % PAGE <= PAGE - size;
        (tag == va & !(PAGE - 1) && inside).then(|| entry.base.wrapping_add(va))
    }

    /// Reads a value of so many bytes that may be unaligned; `None` is a miss, as it is across pages.
    #[inline(always)]
    #[must_use]
    pub fn read_unaligned<const SIZE: usize>(&self, va: u64) -> Option<[u8; SIZE]> {
        let at = self.anywhere(va, SIZE as u64, false)? as *const [u8; SIZE];
        // SAFETY: an entry was put there by `fill` for a whole page of a block in `blocks`, and the access lies in it.
        Some(unsafe { at.read_unaligned() })
    }

    /// Writes one; `false` is a miss and nothing is written.
    #[inline(always)]
    #[must_use]
    pub fn write_unaligned<const SIZE: usize>(&mut self, va: u64, value: [u8; SIZE]) -> bool {
        let Some(at) = self.anywhere(va, SIZE as u64, true) else {
            return false;
        };
        // SAFETY: as for reading; `fill` makes an entry for writing only on request, and no Rust reference to guest memory
        // exists.
        unsafe { (at as *mut [u8; SIZE]).write_unaligned(value) };
        true
    }

    /// The physical address of a naturally aligned value of so many bytes that may be read, or written; `None` is a miss.
    #[inline(always)]
    #[must_use]
    pub fn physical(&self, va: u64, size: u8, write: bool) -> Option<u64> {
        // SAFETY: a view has as many entries as there are places.
        let entry = unsafe { &*self.view.add(place(va)) };
        let tag = if write { entry.write } else { entry.read };
        (tag == va & !(PAGE - u64::from(size))).then_some(entry.physical | va & (PAGE - 1))
    }

    /// Has accesses from now on be those of an address space and of what else a translation depends on.
    pub fn select(&mut self, key: Key) {
        if key == self.key && self.current.is_some() {
            return;
        }
        self.key = key;
        self.current = self.spaces.iter().position(|s| s.key == key);
        self.view = match self.current.and_then(|current| self.spaces.get(current)) {
            Some(space) => space.entries.as_ptr(),
            None => EMPTY.as_ptr(),
        };
    }

    /// The space that is selected, with a table.
    fn space(&mut self) -> Option<&mut Space> {
        if self.current.is_none() {
            let place = self.next;
            self.next = (self.next + 1) % SPACES;
            if let Some(space) = self.spaces.get_mut(place) {
                space.entries.fill(NO_ENTRY);
                (space.key, space.large) = (self.key, Hull::default());
            } else {
                self.spaces.push(Space {
                    key: self.key,
                    entries: Box::new([NO_ENTRY; ENTRIES]),
                    large: Hull::default(),
                });
            }
            self.current = Some(place);
            self.view = self.spaces.get(place)?.entries.as_ptr();
        }
        self.spaces.get_mut(self.current?)
    }

    /// Enters the page of `ram` that holds `offset`, which is at the physical page that holds `pa`, for the virtual page that
    /// holds `va`, in place of what is entered there, to be read and written as `rights` say. It is forgotten with any address
    /// of a page of `span` bytes around it.
    pub fn fill(
        &mut self,
        (va, pa): (u64, u64),
        (ram, offset): (&Ram, u64),
        rights: (bool, bool),
        span: u64,
    ) {
        let Some(at) = ram.page(offset) else {
            return;
        };
        if !self.blocks.iter().any(|b| b.same(ram)) {
            self.blocks.push(ram.clone());
        }
        let page = va & !(PAGE - 1);
        let tag = |there: bool| if there { page } else { NOTHING };
        let Some(space) = self.space() else {
            return;
        };
        if span > PAGE {
            space.large.add(va, span);
        }
        space.entries[place(va)] = Entry {
            read: tag(rights.0),
            write: tag(rights.1),
            base: (at as u64).wrapping_sub(page),
            physical: pa & !(PAGE - 1),
        };
    }

    /// Forgets what is known of a virtual page in every address space.
    pub fn forget(&mut self, va: u64) {
        for space in &mut self.spaces {
            if space.large.contains(va) {
                space.entries.fill(NO_ENTRY);
                space.large = Hull::default();
            } else {
                space.entries[place(va)] = NO_ENTRY;
            }
        }
    }

    /// Takes away the right to write from every entry of the page of `ram` that holds `offset`.
    pub fn protect(&mut self, ram: &Ram, offset: u64) {
        let Some(at) = ram.page(offset) else {
            return;
        };
        for space in &mut self.spaces {
            for entry in space.entries.iter_mut().filter(|e| e.write != NOTHING) {
                if ptr::addr_eq(entry.base.wrapping_add(entry.write) as *const u8, at) {
                    entry.write = NOTHING;
                }
            }
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        for space in &mut self.spaces {
            space.entries.fill(NO_ENTRY);
            space.large = Hull::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_pages_rights_and_alignment_must_match() {
        const HIGH: u64 = 0xffff_ffff_8000_0000;
        let ram = Ram::new(2 * PAGE).unwrap();
        ram.write_u64(PAGE + 8, 0x1122_3344_5566_7788).unwrap();
        let mut tlb = WideTlb::default();
        tlb.select((7, 1));
        assert_eq!(tlb.read_u32(HIGH + 8), None);
        tlb.fill((HIGH, PAGE), (&ram, PAGE), (true, false), PAGE);
        assert_eq!(tlb.read_u64(HIGH + 8), Some(0x1122_3344_5566_7788));
        assert_eq!(tlb.read_u16(HIGH + 10), Some(0x5566));
        assert_eq!(tlb.physical(HIGH + 8, 8, false), Some(PAGE + 8));
        assert_eq!(tlb.physical(HIGH + 12, 8, false), None);
        assert_eq!(tlb.physical(HIGH + 8, 8, true), None);
        assert_eq!(tlb.read_u32(HIGH + 10), None);
        assert_eq!(tlb.read_unaligned(HIGH + 9), Some([0x77, 0x66, 0x55, 0x44]));
        assert_eq!(tlb.read_unaligned(HIGH + PAGE - 4), Some([0; 4]));
        assert_eq!(tlb.read_unaligned::<4>(HIGH + PAGE - 3), None);
        assert!(!tlb.write_unaligned(HIGH + 9, [0; 4]));
        assert!(!tlb.write_u32(HIGH + 8, 0));
        // Another page at the same place.
        assert_eq!(tlb.read_u64((HIGH + 8) & 0xffff_ffff), None);
        tlb.select((7, 2));
        assert_eq!(tlb.read_u64(HIGH + 8), None);
        tlb.select((7, 1));
        assert_eq!(tlb.read_u8(HIGH + 15), Some(0x11));
        tlb.fill((HIGH, PAGE), (&ram, PAGE), (false, true), PAGE);
        assert_eq!(tlb.read_u8(HIGH + 15), None);
        assert!(tlb.write_unaligned(HIGH + 21, [7, 8]));
        assert!(!tlb.write_unaligned(HIGH + PAGE - 1, [7, 8]));
        assert_eq!(ram.read_u16(PAGE + 21), Ok(0x807));
        assert!(tlb.write_u8(HIGH + 15, 5));
        assert_eq!(ram.read_u8(PAGE + 15), Ok(5));
        tlb.protect(&ram, PAGE + 100);
        assert!(!tlb.write_u8(HIGH + 15, 6));
    }

    #[test]
    fn a_page_of_a_larger_one_takes_the_others_with_it() {
        const HIGH: u64 = 0xffff_ffff_8000_0000;
        let ram = Ram::new(4 * PAGE).unwrap();
        for (span, forgotten, left) in [
            (PAGE, 0, true),
            (1 << 21, 0, false),
            (1 << 21, (1 << 21) - 1, false),
            (1 << 21, 1 << 21, true),
            (1 << 21, HIGH, true),
        ] {
            for base in [0, HIGH] {
                let mut tlb = WideTlb::default();
                tlb.fill((base + PAGE, PAGE), (&ram, PAGE), (true, true), span);
                tlb.fill((base + 2 * PAGE, PAGE), (&ram, PAGE), (true, true), span);
                tlb.forget(base ^ forgotten);
                let there = [1, 2].map(|n| tlb.read_u8(base + n * PAGE).is_some());
                assert_eq!(there, [left; 2], "{span:#x} {forgotten:#x}");
            }
        }
    }

    #[test]
    fn address_spaces_take_one_anothers_place() {
        let ram = Ram::new(PAGE).unwrap();
        let mut tlb = WideTlb::default();
        for space in 0..=SPACES as u64 {
            tlb.select((space, 0));
            assert_eq!(tlb.read_u8(0), None, "{space}");
            tlb.fill((0, 0), (&ram, 0), (true, true), PAGE);
            assert_eq!(tlb.read_u8(0), Some(0));
        }
        tlb.select((0, 0));
        assert_eq!(tlb.read_u8(0), None);
        tlb.select((SPACES as u64, 0));
        assert_eq!(tlb.read_u8(0), Some(0));
        tlb.clear();
        assert_eq!(tlb.read_u8(0), None);
    }
}

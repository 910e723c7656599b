//! The soft TLB: which virtual pages a CPU reaches by host pointer, without leaving its loop.

use crate::{PAGE, Ram};

const ENTRIES: usize = 512;
/// No [`Key`] has this pattern, so an empty entry never matches.
const EMPTY: u32 = 0x010;

/// What besides the page must match: an address space number, the kernel, or nothing at all.
/// Bits 11:3 of a tag; the three bits below it stay free to catch misaligned addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Key(pub u32);

impl Key {
    /// Pages visible in every address space, to a privileged CPU only. It is zero, so that generated code compares with a
    /// tag as it is.
    pub const KERNEL: Key = Key(0);
    /// Never matches an entry.
    pub const NEVER: Key = Key(0x008);

    /// Pages of one address space.
    pub const fn asid(asid: u8) -> Key {
        Key(0x800 | (asid as u32) << 3)
    }
}

#[derive(Clone, Copy)]
#[repr(C)]
struct Entry {
    read: u32,
    write: u32,
    /// What is added to a virtual address of the page to get the host's.
    base: *mut u8,
}

const VACANT: Entry = Entry {
    read: EMPTY,
    write: EMPTY,
    base: std::ptr::null_mut(),
};

/// How a [`SoftTlb`] lies in memory, for generated code: entry n, with n the virtual page number modulo
/// [`ENTRIES`](layout::ENTRIES), is `1 << SHIFT` bytes from the start of the table.
///
/// An address hits if its page, with the low bits of the address that must be zero for its alignment, equals the tag but
/// for the bits of the [`Key`](super::Key); the host's address is then the sum of the guest's and the entry's base.
pub mod layout {
    /// Entries of the table, a power of two.
    pub const ENTRIES: usize = super::ENTRIES;
    /// Logarithm of an entry's size.
    pub const SHIFT: u32 = size_of::<super::Entry>().trailing_zeros();
    /// Offset of the table in [`SoftTlb`](super::SoftTlb).
    pub const TABLE: usize = std::mem::offset_of!(super::SoftTlb, entries);
    /// Offset of the tag for reading in an entry: 32 bits.
    pub const READ: usize = std::mem::offset_of!(super::Entry, read);
    /// Offset of the tag for writing: 32 bits.
    pub const WRITE: usize = std::mem::offset_of!(super::Entry, write);
    /// Offset of the base: 64 bits.
    pub const BASE: usize = std::mem::offset_of!(super::Entry, base);
}

/// A direct-mapped table from virtual page and [`Key`] to guest memory, 32-bit addresses.
///
/// An access either hits (a pointer access, the way nearly all go) or misses, and the CPU then asks the
/// machine. Misaligned addresses always miss. Values are little-endian numbers, as in [`Ram`].
pub struct SoftTlb {
    entries: [Entry; ENTRIES],
    /// Every block an entry may point into: what keeps the pointers valid.
    blocks: Vec<Ram>,
}

impl Default for SoftTlb {
    fn default() -> Self {
        Self {
            entries: [VACANT; ENTRIES],
            blocks: Vec::new(),
        }
    }
}

impl std::fmt::Debug for SoftTlb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let filled = self.entries.iter().filter(|e| !e.base.is_null()).count();
        write!(f, "SoftTlb({filled} of {ENTRIES} entries)")
    }
}

macro_rules! access {
    ($read:ident, $write:ident, $ty:ty) => {
        /// Reads a naturally aligned value; `None` is a miss.
        #[inline(always)]
        pub fn $read(&self, va: u32, key: Key) -> Option<$ty> {
            let entry = &self.entries[(va >> 12) as usize % ENTRIES];
            let mask = 0xffff_f000 | (size_of::<$ty>() as u32 - 1);
            if entry.read == (va & mask) | key.0 {
                let at = entry.base.wrapping_add(va as usize);
                // SAFETY: a matching tag was put there by `fill` together with the base of a whole
                // page of a block in `blocks`, and the address is aligned, so the access lies in it.
                Some(<$ty>::from_le(unsafe { at.cast::<$ty>().read_unaligned() }))
            } else {
                None
            }
        }

        /// Writes a naturally aligned value; `false` is a miss and nothing is written.
        #[inline(always)]
        pub fn $write(&mut self, va: u32, key: Key, value: $ty) -> bool {
            let entry = &self.entries[(va >> 12) as usize % ENTRIES];
            let mask = 0xffff_f000 | (size_of::<$ty>() as u32 - 1);
            if entry.write == (va & mask) | key.0 {
                let at = entry.base.wrapping_add(va as usize);
                // SAFETY: as for reading; `fill` sets a write tag only on request, and no Rust
                // reference to guest memory exists.
                unsafe { at.cast::<$ty>().write_unaligned(value.to_le()) };
                true
            } else {
                false
            }
        }
    };
}

impl SoftTlb {
    access!(read_u8, write_u8, u8);
    access!(read_u16, write_u16, u16);
    access!(read_u32, write_u32, u32);
    access!(read_u64, write_u64, u64);

    /// Enters the page of `ram` that holds `offset` for the virtual page that holds `va`,
    /// replacing what its place in the table held. Returns whether the block has such a page.
    pub fn fill(&mut self, va: u32, key: Key, ram: &Ram, offset: u64, writable: bool) -> bool {
        let Some(page) = ram.page(offset) else {
            return false;
        };
        if key == Key::NEVER {
            return false;
        }
        if !self.blocks.iter().any(|b| b.same(ram)) {
            self.blocks.push(ram.clone());
        }
        let tag = (va & !(PAGE as u32 - 1)) | key.0;
        let write = if writable { tag } else { EMPTY };
        self.entries[(va >> 12) as usize % ENTRIES] = Entry {
            read: tag,
            write,
            base: page.wrapping_sub((va & !(PAGE as u32 - 1)) as usize),
        };
        true
    }

    /// Forgets whatever is entered for the virtual page that holds `va`, under any key.
    pub fn forget(&mut self, va: u32) {
        let entry = &mut self.entries[(va >> 12) as usize % ENTRIES];
        if (entry.read ^ va) & 0xffff_f000 == 0 {
            *entry = VACANT;
        }
    }

    /// Takes away the right to write from every entry of the page of `ram` that holds `offset`.
    pub fn protect(&mut self, ram: &Ram, offset: u64) {
        let Some(page) = ram.page(offset) else { return };
        for entry in &mut self.entries {
            let at = (entry.read & !(PAGE as u32 - 1)) as usize;
            if entry.base.wrapping_add(at) == page {
                entry.write = EMPTY;
            }
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.entries.fill(VACANT);
        self.blocks.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_pages_and_alignment_must_match() {
        let ram = Ram::new(2 * PAGE).unwrap();
        ram.write_u32(PAGE + 8, 0x1122_3344).unwrap();
        let mut tlb = SoftTlb::default();
        assert!(tlb.fill(0x40_1000, Key::asid(7), &ram, PAGE + 4, false));
        assert_eq!(tlb.read_u32(0x40_1008, Key::asid(7)), Some(0x1122_3344));
        assert_eq!(tlb.read_u8(0x40_100b, Key::asid(7)), Some(0x11));
        for (va, key) in [
            (0x40_1008, Key::asid(6)),
            (0x40_1008, Key::KERNEL),
            (0x40_1008, Key::NEVER),
            (0x40_1009, Key::asid(7)),
            (0x40_100a, Key::asid(7)),
            (0x40_2008, Key::asid(7)),
            (0x60_1008, Key::asid(7)),
        ] {
            assert_eq!(tlb.read_u32(va, key), None, "{va:#x} {key:?}");
        }
        assert!(!tlb.write_u32(0x40_1008, Key::asid(7), 1), "read-only");
        tlb.fill(0x40_1000, Key::asid(7), &ram, PAGE, true);
        assert!(tlb.write_u64(0x40_1008, Key::asid(7), 5));
        assert_eq!(ram.read_u64(PAGE + 8), Ok(5));
        tlb.protect(&ram, PAGE);
        assert!(!tlb.write_u64(0x40_1008, Key::asid(7), 6));
        tlb.forget(0x40_1fff);
        assert_eq!(tlb.read_u32(0x40_1008, Key::asid(7)), None);
    }

    #[test]
    fn an_empty_entry_matches_nothing() {
        let tlb = SoftTlb::default();
        for key in (0..=255).map(Key::asid).chain([Key::KERNEL, Key::NEVER]) {
            for va in [0, 4, 8, 0xffff_f000, 0xffff_ffff, 0x808, 0x7f8] {
                assert_eq!(tlb.read_u8(va, key), None);
                assert_eq!(tlb.read_u64(va, key), None);
            }
        }
    }

    #[test]
    fn pointers_outlive_the_handles_they_came_from() {
        let mut tlb = SoftTlb::default();
        let ram = Ram::new(PAGE).unwrap();
        tlb.fill(0, Key::KERNEL, &ram, 0, true);
        drop(ram);
        assert!(tlb.write_u32(0, Key::KERNEL, 9));
        assert_eq!(tlb.read_u32(0, Key::KERNEL), Some(9));
    }
}

//! The joint TLB: 16 to 64 pairs of pages of 4 KiB to 256 MiB, with address space numbers.
//!
//! MIPS32 Architecture volume III (MD00090), chapter "Virtual Memory".

use solderless_model::State;

use crate::width::Width;

/// Entries of the largest TLB.
pub const MAX: usize = 64;

/// EntryLo.D: the page may be written.
const DIRTY: u32 = 4;
/// EntryLo.V.
const VALID: u32 = 2;
/// EntryLo.G.
const GLOBAL: u32 = 1;
/// EntryHi.ASID.
pub const ASID: u32 = 0xff;
/// EntryHi.VPN2.
pub const VPN2: u32 = 0xffff_e000;

/// An entry as TLBR and TLBWI move it to and from the registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, State)]
pub struct Entry<W = u32> {
    /// EntryHi: VPN2 and ASID.
    pub hi: W,
    /// EntryLo0 and EntryLo1. G is set in both or in neither.
    pub lo: [W; 2],
    /// PageMask.
    pub mask: u32,
    /// It was written since power-on: until then it matches nothing.
    pub written: bool,
}

impl<W: Width> Entry<W> {
    /// What the registers make of an entry: G is that of both EntryLo, a mask is a run of pairs of bits, and address
    /// bits under the mask are zero.
    pub fn new(hi: W, lo: [W; 2], mask: u32) -> Self {
        let pairs = ((mask >> 13).trailing_ones() / 2).min(8);
        let mask = ((1 << (2 * pairs)) - 1) << 13;
        let global = lo[0] & lo[1] & W::from(GLOBAL);
        Self {
            hi: hi & !W::from(mask),
            lo: lo.map(|l| l & !W::from(GLOBAL) | global),
            mask,
            written: true,
        }
    }

    /// Bytes that the pair of pages spans.
    pub fn span(&self) -> u32 {
        (self.mask | 0x1fff) + 1
    }

    /// Whether it is for every address space.
    pub fn global(&self) -> bool {
        self.lo[0].low() & GLOBAL != 0
    }

    /// Whether there is a page that it leads to.
    pub fn is_valid(&self) -> bool {
        self.written && (self.lo[0] | self.lo[1]).low() & VALID != 0
    }

    /// Whether it is for an address in an address space, as EntryHi has them.
    pub fn matches(&self, key: W) -> bool {
        ((key ^ self.tag()) & self.care()).is_zero()
    }

    /// Whether another one matches an address that this one matches.
    pub fn clashes(&self, other: &Self) -> bool {
        clashes(self.tag(), self.care(), other.tag(), other.care())
    }

    /// Where an address that it matches leads.
    pub fn translate(&self, va: W) -> Mapping {
        let half = (self.mask | 0x1fff) >> 1;
        let lo = self.lo[usize::from(va.low() & (half + 1) != 0)];
        Mapping::new(lo, va, half)
    }

    fn tag(&self) -> W {
        if self.written {
            self.hi
        } else {
            NOTHING.into()
        }
    }

    fn care(&self) -> W {
        match (self.written, self.global()) {
            (false, _) => W::signed(u32::MAX),
            (true, true) => !W::from(self.mask | 0x1fff),
            (true, false) => !W::from(self.mask | 0x1fff) | ASID.into(),
        }
    }
}

/// No EntryHi has this bit.
const NOTHING: u32 = 0x100;

/// Whether two entries, by tag and care, match the same address.
#[inline(always)]
fn clashes<W: Width>(tag: W, care: W, other_tag: W, other_care: W) -> bool {
    ((tag ^ other_tag) & (care & other_care | NOTHING.into())).is_zero()
}

/// Where a mapped address leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapping {
    /// Physical address.
    pub pa: u64,
    /// V: the mapping may be used.
    pub valid: bool,
    /// D: it may be written.
    pub dirty: bool,
    /// It is the same in every address space.
    pub global: bool,
}

impl Mapping {
    /// Where a page leads by its EntryLo, `offset` masking the address bits within it.
    pub fn new<W: Width>(lo: W, va: W, offset: u32) -> Self {
        let (frame, low) = (lo.into() << 6, lo.low());
        Self {
            pa: frame & !u64::from(offset) | u64::from(va.low() & offset),
            valid: low & VALID != 0,
            dirty: low & DIRTY != 0,
            global: low & GLOBAL != 0,
        }
    }
}

/// The TLB.
#[derive(Debug, State)]
pub struct Tlb<W = u32> {
    entries: [Entry<W>; MAX],
    #[state(skip = "derived from the entries: what an address must equal under `care`")]
    tags: [W; MAX],
    #[state(skip = "derived from the entries")]
    care: [W; MAX],
    #[state(skip = "a property")]
    len: usize,
    #[state(skip = "a property: the bits of an address that EntryHi has")]
    vpn2: W,
}

impl<W: Width> Tlb<W> {
    /// A TLB of 16 to 64 entries, none written. `vpn2` are the bits of an address that EntryHi has.
    pub fn new(len: u8, vpn2: W) -> Self {
        Self {
            entries: [Entry::default(); MAX],
            tags: [NOTHING.into(); MAX],
            care: [W::signed(u32::MAX); MAX],
            len: usize::from(len).clamp(1, MAX),
            vpn2,
        }
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Recomputes what derives from loaded entries.
    pub fn restored(&mut self) {
        for i in 0..MAX {
            self.tags[i] = self.entries[i].tag();
            self.care[i] = self.entries[i].care();
        }
    }

    /// An address in an address space, as EntryHi has them.
    #[inline(always)]
    pub fn key(&self, va: W, asid: W) -> W {
        va & self.vpn2 | asid & ASID.into()
    }

    /// Whether an address is in the pair of pages of 4 KiB of an EntryHi.
    pub fn is_pair_of(&self, va: W, hi: W) -> bool {
        ((va ^ hi) & self.vpn2).is_zero()
    }

    /// The entry that matches an address in an address space. At most one does.
    pub fn find(&self, va: W, asid: W) -> Option<usize> {
        let key = self.key(va, asid);
        let mut found = 0;
        let (tags, care) = (self.tags.as_chunks::<16>().0, self.care.as_chunks::<16>().0);
        let groups = tags.iter().zip(care).take(self.len.div_ceil(16));
        for (group, (tags, care)) in groups.enumerate() {
            // Without a branch, so that it is done for several entries at a time. Those beyond the last match nothing.
            for i in 0..16 {
                let hit = ((key ^ tags[i]) & care[i]).is_zero();
                found |= if hit {
                    group as u32 * 16 + i as u32 + 1
                } else {
                    0
                };
            }
        }
        (found as usize).checked_sub(1)
    }

    /// Looks an address up.
    pub fn translate(&self, va: W, asid: W) -> Option<Mapping> {
        let entry = self.entries.get(self.find(va, asid)?)?;
        Some(entry.translate(va))
    }

    /// An entry by its number.
    pub fn get(&self, index: usize) -> Option<&Entry<W>> {
        self.entries[..self.len].get(index)
    }

    /// The entry that matches an address that another one would match at a place.
    pub fn clashing(&self, index: usize, entry: &Entry<W>) -> Option<(usize, &Entry<W>)> {
        let mut others = self.entries[..self.len].iter().enumerate();
        others.find(|(place, other)| *place != index && entry.clashes(other))
    }

    /// Replaces an entry and gives the old one. `None`, with nothing replaced, if there is no such entry or another one
    /// matches an address that this one matches: the core then raises Machine Check.
    pub fn replace(&mut self, index: usize, entry: Entry<W>) -> Option<Entry<W>> {
        let (tag, care) = (entry.tag(), entry.care());
        let clashes = |t: W, c: W| u32::from(clashes(tag, care, t, c));
        let mut clash = 0;
        let (tags, cares) = (self.tags.as_chunks::<16>().0, self.care.as_chunks::<16>().0);
        for (tags, cares) in tags.iter().zip(cares).take(self.len.div_ceil(16)) {
            for i in 0..16 {
                clash += clashes(tags[i], cares[i]);
            }
        }
        let place = self.entries[..self.len].get_mut(index)?;
        // Its own place is no clash.
        if clash != clashes(self.tags[index], self.care[index]) {
            return None;
        }
        let old = std::mem::replace(place, entry);
        self.tags[index] = tag;
        self.care[index] = care;
        Some(old)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lo(pa: u32, flags: u32) -> u32 {
        pa >> 6 | flags
    }

    #[test]
    fn every_page_size_splits_into_even_and_odd() {
        for pairs in 0..=8 {
            let mask = ((1u32 << (2 * pairs)) - 1) << 13;
            let page = (mask | 0x1fff).div_ceil(2);
            let mut tlb = Tlb::new(16, VPN2);
            let hi = 0x4000_0000 & !mask | 5;
            let entry = Entry::new(hi, [lo(0x2000_0000, 2), lo(0x6000_0000, 6)], mask);
            assert_eq!(tlb.replace(3, entry).map(|e| e.written), Some(false));
            let va = hi & VPN2;
            for (va, pa, dirty) in [
                (va, 0x2000_0000, false),
                (va + page - 4, 0x2000_0000 + page - 4, false),
                (va + page, 0x6000_0000, true),
                (va + 2 * page - 1, 0x6000_0000 + page - 1, true),
            ] {
                assert_eq!(
                    tlb.translate(va, 5),
                    Some(Mapping {
                        pa: u64::from(pa),
                        valid: true,
                        dirty,
                        global: false
                    }),
                    "{page:#x} {va:#x}"
                );
                assert_eq!(tlb.translate(va, 6), None);
            }
            assert_eq!(tlb.translate(va.wrapping_add(2 * page), 5), None);
            assert_eq!(tlb.translate(va.wrapping_sub(1), 5), None);
        }
    }

    #[test]
    fn global_takes_both_halves() {
        let mut tlb = Tlb::new(16, VPN2);
        tlb.replace(0, Entry::new(0x2001, [3, 2], 0));
        assert_eq!(tlb.translate(0x2000, 9), None);
        tlb.replace(0, Entry::new(0x2001, [3, 3], 0));
        assert!(tlb.translate(0x2000, 9).is_some_and(|m| m.global));
    }

    #[test]
    fn a_second_match_is_refused() {
        let mut tlb = Tlb::new(16, VPN2);
        let first = Entry::new(0x0040_0001, [2, 2], 0);
        assert!(tlb.replace(0, first).is_some());
        for (hi, lo, mask, clash) in [
            (0x0040_0001, 2, 0, true),
            (0x0040_0002, 2, 0, false),
            (0x0040_0002, 3, 0, true),
            (0x0040_0001, 2, 0x1e000, true),
            (0x0040_2001, 2, 0, false),
        ] {
            let entry = Entry::new(hi, [lo; 2], mask);
            assert_eq!(tlb.replace(1, entry).is_none(), clash, "{hi:x} {mask:x}");
            tlb = Tlb::new(16, VPN2);
            tlb.replace(0, first);
        }
        assert!(tlb.replace(0, first).is_some(), "its own place is no clash");
        assert_eq!(tlb.replace(16, first), None);
    }

    #[test]
    fn what_was_not_written_is_no_match() {
        for (len, hi) in [(16, 0), (32, 0), (64, 0x4000_0000)] {
            let mut tlb = Tlb::new(len, VPN2);
            assert_eq!(tlb.find(hi, 0), None);
            assert!(tlb.replace(3, Entry::new(hi, [2; 2], 0)).is_some());
            assert_eq!(tlb.find(hi, 0), Some(3));
        }
    }

    #[test]
    fn masks_are_whole_pairs() {
        assert_eq!(Entry::<u32>::new(0, [0; 2], 0x2000).mask, 0);
        assert_eq!(Entry::<u32>::new(0, [0; 2], 0xe000).mask, 0x6000);
        assert_eq!(Entry::<u32>::new(0, [0; 2], 0x1fff_e000).mask, 0x1fff_e000);
    }
}

//! Entries that TLBWR has replaced, and that translate for as long as software has no way to tell that they are gone.
//!
//! Software cannot know which entry TLBWR replaces, so it can only rely on a mapping being gone after it has looked for it
//! (TLBP), or after it has read (TLBR) or overwritten (TLBWI) the entry that held it. A victim goes when any of that happens, or
//! when a new entry matches its addresses. Until then an access that it allows does not miss; one that it does not allow is a
//! miss, as on hardware. QEMU's MIPS cores do the like.

use solderless_model::{Part, State};

use crate::tlb::{Entry, Mapping};
use crate::width::Width;

/// Sets of victims, by address.
const SETS: usize = 64;
/// Victims of a set. The oldest makes room for another one.
const WAYS: usize = 4;

/// The page size that victims have: larger ones are few, and are not kept.
const MASK: u32 = 0;

/// An entry that was replaced.
#[derive(Debug, Clone, Copy, Default, State)]
struct Victim<W = u32> {
    entry: Entry<W>,
    /// Its number in the TLB.
    index: u8,
}

impl<W> Victim<W> {
    /// Whether it translates anything.
    fn is_there(&self) -> bool {
        self.entry.written
    }
}

/// What TLBWR has replaced.
#[derive(Debug, Clone, State)]
pub struct Victims<W = u32> {
    sets: [[Victim<W>; WAYS]; SETS],
    /// By set, which one makes room.
    oldest: [u8; SETS],
}

impl<W: Width> Part for Victims<W> {
    const NAME: &'static str = "victims";
}

fn set<W: Width>(va: W) -> usize {
    let va = va.low();
    (va >> 13 ^ va >> 19) as usize % SETS
}

impl<W: Width> Victims<W> {
    /// None.
    pub fn new() -> Self {
        Self {
            sets: [[Victim::default(); WAYS]; SETS],
            oldest: [0; SETS],
        }
    }

    /// Keeps an entry of the TLB that was replaced. Gives the one that translates no more: this one, or another that made
    /// room.
    pub fn keep(&mut self, index: usize, entry: Entry<W>) -> Option<Entry<W>> {
        if !entry.is_valid() || entry.mask != MASK {
            return Some(entry);
        }
        let set = set(entry.hi);
        let oldest = &mut self.oldest[set];
        let place = &mut self.sets[set][usize::from(*oldest) % WAYS];
        *oldest = oldest.wrapping_add(1) % WAYS as u8;
        let index = index as u8;
        let old = std::mem::replace(place, Victim { entry, index });
        old.is_there().then_some(old.entry)
    }

    /// Where an address leads, which is `key` as EntryHi has it with its address space.
    pub fn translate(&self, key: W, va: W) -> Option<Mapping> {
        let victims = self.sets[set(va)].iter();
        let victim = victims.into_iter().find(|v| v.entry.matches(key))?;
        Some(victim.entry.translate(va))
    }

    /// Takes one that matches an address that an entry matches as well.
    pub fn take_matching(&mut self, entry: &Entry<W>) -> Option<Entry<W>> {
        match entry.mask {
            MASK => Self::take(&mut self.sets[set(entry.hi)], |v| v.entry.clashes(entry)),
            _ => Self::take(self.sets.as_flattened_mut(), |v| v.entry.clashes(entry)),
        }
    }

    /// Takes one that was the entry with a number.
    pub fn take_of(&mut self, index: usize) -> Option<Entry<W>> {
        Self::take(self.sets.as_flattened_mut(), |v| {
            usize::from(v.index) == index
        })
    }

    fn take(from: &mut [Victim<W>], which: impl Fn(&Victim<W>) -> bool) -> Option<Entry<W>> {
        let mut victims = from.iter_mut();
        let victim = victims.find(|v| v.is_there() && which(v))?;
        Some(std::mem::take(victim).entry)
    }
}

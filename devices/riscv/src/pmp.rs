//! Physical memory protection (the Privileged ISA, 3.7): 16 regions, in units of a page.
//!
//! The grain of a page (G = 10) is what makes the answer the same for all of a page, so that it need not be asked for each access.

use std::cell::Cell;

use solderless_model::State;

use crate::csr::MACHINE;

/// Entries.
pub const ENTRIES: usize = 16;

pub const READ: u8 = 1;
pub const WRITE: u8 = 2;
pub const EXECUTE: u8 = 4;
const ALL: u8 = READ | WRITE | EXECUTE;
const MATCH: u8 = 3 << 3;
const TOR: u8 = 1 << 3;
const NA4: u8 = 2 << 3;
const LOCK: u8 = 1 << 7;
/// Bits of pmpaddr below the grain.
const GRAIN: u64 = (1 << 10) - 1;

/// The registers.
#[derive(Debug, State)]
pub struct Pmp {
    config: [u8; ENTRIES],
    address: [u64; ENTRIES],
    #[state(skip = "derived: what was last asked for")]
    last: Cell<Answer>,
}

/// From the first address to the last, this entry decides; none, where it is beyond them.
#[derive(Debug, Clone, Copy)]
struct Answer {
    first: u64,
    last: u64,
    entry: usize,
}

/// Not known of any address.
const NO_ANSWER: Answer = Answer {
    first: u64::MAX,
    last: 0,
    entry: ENTRIES,
};

impl Default for Pmp {
    fn default() -> Self {
        Self {
            config: [0; ENTRIES],
            address: [0; ENTRIES],
            last: Cell::new(NO_ANSWER),
        }
    }
}

impl Pmp {
    /// The registers have changed.
    pub fn changed(&mut self) {
        self.last.set(NO_ANSWER);
    }

    /// A byte of pmpcfg.
    pub fn config(&self, entry: usize) -> u8 {
        self.config.get(entry).copied().unwrap_or(0)
    }

    /// pmpaddr, as it is read.
    pub fn address(&self, entry: usize) -> u64 {
        let address = self.address.get(entry).copied().unwrap_or(0);
        match self.config(entry) & MATCH {
            NA4.. => address | GRAIN >> 1,
            _ => address & !GRAIN,
        }
    }

    fn locked(&self, entry: usize) -> bool {
        self.config(entry) & LOCK != 0
    }

    /// Writes a byte of pmpcfg.
    pub fn set_config(&mut self, entry: usize, value: u8) {
        if self.locked(entry) {
            return;
        }
        if let Some(config) = self.config.get_mut(entry) {
            let mut value = value & (LOCK | MATCH | ALL);
            // Regions of four bytes are below the grain, and writable without readable is reserved.
            if value & MATCH == NA4 {
                value = value & !MATCH | *config & MATCH;
            }
            if value & (READ | WRITE) == WRITE {
                value &= !WRITE;
            }
            *config = value;
            self.changed();
        }
    }

    /// Writes pmpaddr.
    pub fn set_address(&mut self, entry: usize, value: u64) {
        let next = self.config(entry + 1);
        if self.locked(entry) || next & LOCK != 0 && next & MATCH == TOR {
            return;
        }
        if let Some(address) = self.address.get_mut(entry) {
            *address = value;
            self.changed();
        }
    }

    /// The first address of a region and the last.
    fn region(&self, entry: usize) -> Option<(u64, u64)> {
        let address = self.address.get(entry).copied()?;
        match self.config(entry) & MATCH {
            0 => None,
            TOR => {
                let below = entry.checked_sub(1).and_then(|n| self.address.get(n));
                let start = (below.copied().unwrap_or(0) & !GRAIN) << 2;
                let end = (address & !GRAIN) << 2;
                (start < end).then(|| (start, end - 1))
            }
            _ => {
                let ones = (address | GRAIN >> 1).trailing_ones();
                let span = 8_u64
                    .checked_shl(ones)
                    .filter(|span| *span != 0 && ones < 61);
                let last = span.map_or(u64::MAX, |span| span - 1);
                let start = address.wrapping_shl(2) & !last;
                Some((start, start | last))
            }
        }
    }

    /// What may be done at a physical address in a mode.
    pub fn allowed(&self, pa: u64, privilege: u8) -> u8 {
        let mut answer = self.last.get();
        if !(answer.first..=answer.last).contains(&pa) {
            answer = self.decide(pa);
            self.last.set(answer);
        }
        let matching = answer.entry < ENTRIES;
        match answer.entry {
            entry if matching && (privilege != MACHINE || self.locked(entry)) => {
                self.config(entry) & ALL
            }
            _ if !matching && privilege != MACHINE => 0,
            _ => ALL,
        }
    }

    /// Which entry decides about a physical address, and about which around it.
    fn decide(&self, pa: u64) -> Answer {
        let mut answer = Answer {
            first: 0,
            last: u64::MAX,
            entry: ENTRIES,
        };
        for entry in 0..ENTRIES {
            match self.region(entry) {
                Some((start, last)) if (start..=last).contains(&pa) => {
                    answer.first = answer.first.max(start);
                    answer.last = answer.last.min(last);
                    answer.entry = entry;
                    break;
                }
                Some((start, _)) if start > pa => answer.last = answer.last.min(start - 1),
                Some((_, last)) => answer.first = answer.first.max(last + 1),
                None => {}
            }
        }
        answer
    }

    /// Whether M mode may not do everything everywhere.
    pub fn restricts_machine(&self) -> bool {
        self.config.iter().any(|c| c & LOCK != 0 && c & MATCH != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::csr::{SUPERVISOR, USER};

    #[test]
    fn the_first_region_that_matches_decides() {
        let mut pmp = Pmp::default();
        assert_eq!(pmp.allowed(0, MACHINE), ALL);
        assert_eq!(pmp.allowed(0, SUPERVISOR), 0);
        // 0x80000000 to 0x80001fff readable, below that everything.
        pmp.set_address(0, 0x8000_0000 >> 2 | 0x3ff);
        pmp.set_config(0, 3 << 3 | READ);
        pmp.set_address(1, (0x8000_0000 >> 3) - 1);
        pmp.set_config(1, 3 << 3 | ALL);
        for (pa, allowed) in [
            (0, ALL),
            (0x7fff_ffff, ALL),
            (0x8000_0000, READ),
            (0x8000_1fff, READ),
            (0x8000_2000, 0),
        ] {
            assert_eq!(pmp.allowed(pa, USER), allowed, "{pa:#x}");
            assert_eq!(pmp.allowed(pa, MACHINE), ALL);
        }
    }

    #[test]
    fn locked_entries_stay_and_bind_machine_mode() {
        let mut pmp = Pmp::default();
        pmp.set_address(0, 0x1000 >> 2);
        pmp.set_address(1, 0x2000 >> 2);
        assert!(!pmp.restricts_machine());
        pmp.set_config(1, LOCK | TOR | READ);
        assert!(pmp.restricts_machine());
        pmp.set_config(1, 0);
        pmp.set_address(0, 0);
        pmp.set_address(1, 0);
        assert_eq!(pmp.config(1), LOCK | TOR | READ);
        assert_eq!(pmp.allowed(0x1800, MACHINE), READ);
        assert_eq!(pmp.allowed(0x2000, MACHINE), ALL);
        assert_eq!(pmp.allowed(0xfff, MACHINE), ALL);
    }

    #[test]
    fn what_is_below_the_grain_reads_as_the_specification_says() {
        let mut pmp = Pmp::default();
        pmp.set_address(2, u64::MAX >> 10);
        assert_eq!(pmp.address(2), u64::MAX >> 10 & !0x3ff);
        pmp.set_config(2, NA4 | ALL);
        assert_eq!(pmp.config(2), ALL);
        pmp.set_address(2, 0);
        pmp.set_config(2, 3 << 3 | WRITE);
        assert_eq!(pmp.config(2), 3 << 3);
        assert_eq!(pmp.address(2), 0x1ff);
        pmp.set_config(2, 3 << 3 | ALL);
        pmp.set_address(2, u64::MAX >> 10);
        assert_eq!(pmp.allowed(0xff_ffff_ffff, USER), ALL);
        assert_eq!(pmp.allowed(0, USER), ALL);
    }
}

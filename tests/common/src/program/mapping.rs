//! What programs do with the TLB, and where they access memory.

use super::{ASIDS, EHB, Insn, Maker, li, mtc0, plain};
use crate::frame::{DATA, DATA_SIZE};

/// Addresses outside of what programs should touch: unmapped, misaligned, beyond what a user may see.
pub(super) const WILD: [u32; 8] = [
    0,
    0x0000_0801,
    0x7fff_f800,
    0xc000_0800,
    0xe000_0800,
    0xffff_f000,
    0x5800_0003,
    0xdfff_f800,
];

/// The addresses that a TLB entry is for, and its page mask: half of them in kuseg, half in kseg2; entry 1 for the
/// largest pages.
fn region(index: u32) -> (u32, u32) {
    const SIZES: [u32; 6] = [
        0x0000_0000,
        0x0000_6000,
        0x0001_e000,
        0x0007_e000,
        0x001f_e000,
        0x007f_e000,
    ];
    const LARGE: [u32; 3] = [0x01ff_e000, 0x07ff_e000, 0x1fff_e000];
    match index {
        1 => (0x6000_0000, LARGE[2]),
        2 => (0x5000_0000, LARGE[1]),
        3 => (0x4e00_0000, LARGE[0]),
        _ => {
            let base = if index.is_multiple_of(2) {
                0x1000_0000
            } else {
                0xc000_0000
            };
            let size = if index.is_multiple_of(3) {
                SIZES[(index / 3 % 6) as usize]
            } else {
                0
            };
            (base + index / 2 * 0x0100_0000, size)
        }
    }
}

impl Maker<'_> {
    /// New addresses for the base registers.
    pub(super) fn bases(&mut self) -> Vec<Insn> {
        let (base, value) = match self.random.below(3) {
            0 => (19, self.random.pick(&WILD)),
            _ => (18, self.mapped_address()),
        };
        li(base, value).to_vec()
    }

    /// An address that a TLB entry of this program may map to DATA.
    pub(super) fn mapped_address(&mut self) -> u32 {
        let index = 1 + self.random.below(self.cpu.tlb_entries - 1);
        let (start, mask) = region(index);
        let size = (mask + 0x2000) / 2;
        let half = self.random.below(2);
        let data = if size > DATA_SIZE {
            DATA & (size - 1)
        } else {
            0
        };
        let room = size.min(DATA_SIZE);
        start + half * size + data + self.random.below(room >> 12) * 0x1000 + 0x800
    }

    /// EntryLo for a page of this size that holds DATA.
    pub(super) fn entry_lo(&mut self, mask: u32) -> u32 {
        let size = ((mask + 0x2000) & !0x1fff) / 2;
        let page = match size {
            0x1000 => DATA + self.random.below(4) * 0x1000,
            _ => DATA & !(size - 1),
        };
        // A few lead to where nothing answers: a bus error.
        let page = if self.random.chance(3) {
            0x2000_0000
        } else {
            page
        };
        let flags =
            if self.random.chance(85) { 2 } else { 0 } | if self.random.chance(70) { 4 } else { 0 };
        let global = if self.random.chance(40) { 1 } else { 0 };
        page >> 12 << 6 | self.random.pick(&[2, 3]) << 3 | flags | global
    }

    /// A whole TLB entry: no two can match one address, for each index has a region of its own.
    pub(super) fn entry(&mut self, index: u32) -> [u32; 4] {
        let (start, mask) = region(index);
        [
            start | self.random.pick(&ASIDS),
            self.entry_lo(mask),
            self.entry_lo(mask),
            mask,
        ]
    }

    pub(super) fn tlb(&mut self) -> Vec<Insn> {
        let rt = self.dest();
        let last = self.cpu.tlb_entries - 1;
        let index = 1 + self.random.below(last);
        let asid = self.random.pick(&ASIDS);
        let mut unit = Vec::new();
        let mut set = |register, value| {
            unit.extend(li(rt, value));
            unit.push(mtc0(rt, register));
        };
        match self.random.below(4) {
            0 => {
                set(10, region(index).0 | asid);
                unit.extend([EHB, plain(0x4200_0008, "tlbp"), EHB]);
            }
            1 => {
                set(0, index);
                unit.extend([EHB, plain(0x4200_0001, "tlbr"), EHB]);
                unit.extend(li(rt, asid));
                unit.push(mtc0(rt, 10));
            }
            n => {
                // Wired leaves Random one value, the last index.
                let (index, word, name) = if n == 2 {
                    (last, 0x4200_0006, "tlbwr")
                } else {
                    (index, 0x4200_0002, "tlbwi")
                };
                let [hi, lo0, lo1, mask] = self.entry(index);
                for (register, value) in [(0, index), (10, hi), (2, lo0), (3, lo1), (5, mask)] {
                    set(register, value);
                }
                unit.extend([EHB, plain(word, name)]);
                if n == 2 {
                    // QEMU goes on using the entry that was overwritten until this.
                    unit.extend([EHB, plain(0x4200_0001, "tlbr")]);
                }
            }
        }
        unit.push(EHB);
        unit
    }
}

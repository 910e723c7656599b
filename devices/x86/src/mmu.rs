//! Addresses: from linear to physical ones, and what may be done there.
//!
//! Intel SDM, volume 3, chapter 4.

use solderless_engine::Physical;
use solderless_model::Cx;
use solderless_model::memory::PAGE;

use crate::core::{CS, Core, Segment, access, cr0, cr4, efer, flag};
use crate::inst::mask;
use crate::trap::{Fault, vector};

/// What an access is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Fetch,
    Read,
    Write,
}

/// Where a linear address leads.
#[derive(Debug, Clone, Copy)]
pub struct Mapping {
    pub pa: u64,
    /// It may be written without anything to be noted.
    pub writable: bool,
    /// Bytes of the page that it is in.
    pub span: u64,
}

/// Bits of an entry of a page table.
mod pte {
    pub const P: u64 = 1;
    pub const W: u64 = 1 << 1;
    pub const U: u64 = 1 << 2;
    pub const A: u64 = 1 << 5;
    pub const D: u64 = 1 << 6;
    pub const PS: u64 = 1 << 7;
    pub const NX: u64 = 1 << 63;
}

/// Bits of the error code of a page fault.
mod error {
    pub const P: u32 = 1;
    pub const W: u32 = 2;
    pub const U: u32 = 4;
    pub const RSVD: u32 = 8;
    pub const ID: u32 = 16;
}

/// The bits of an address in an entry.
const FRAME: u64 = 0x000f_ffff_ffff_f000;

/// What the entries on the way to a page say together.
struct Way {
    /// Where the last entry is, and what it is.
    at: u64,
    entry: u64,
    wide: bool,
    /// Bits of the offset in the page.
    span: u32,
    page: u64,
    /// Rights of all: W and U of each, NX of any.
    rights: u64,
}

impl Core {
    /// Where a linear address leads, for user or supervisor mode.
    ///
    /// # Errors
    /// The page fault.
    pub fn translate(
        &mut self,
        cx: &Cx<'_>,
        va: u64,
        access: Access,
        user: bool,
    ) -> Result<Mapping, Fault> {
        if !self.is(cr0::PG) {
            return Ok(Mapping {
                pa: self.by_a20(va),
                writable: true,
                span: PAGE,
            });
        }
        let nx = self.msrs.efer & efer::NXE != 0;
        let smep = self.is4(cr4::SMEP);
        let fault = |kind: u32| {
            let mut code = kind;
            if access == Access::Write {
                code |= error::W;
            }
            if user {
                code |= error::U;
            }
            if access == Access::Fetch && (nx || smep) {
                code |= error::ID;
            }
            Fault {
                vector: vector::PF,
                error: Some(code),
                address: Some(va),
            }
        };
        let way = self.walk(cx, va).map_err(fault)?;
        let writable = way.rights & pte::W != 0 || !user && !self.is(cr0::WP);
        let of_user = way.rights & pte::U != 0;
        let allowed = match access {
            Access::Read | Access::Write => {
                let smap = self.is4(cr4::SMAP) && self.flags & flag::AC == 0;
                (of_user || !user)
                    && (user || !of_user || !smap)
                    && (access == Access::Read || writable)
            }
            Access::Fetch => {
                (of_user || !user) && way.rights & pte::NX == 0 && (user || !of_user || !smep)
            }
        };
        if !allowed {
            return Err(fault(error::P));
        }
        let dirty = if access == Access::Write { pte::D } else { 0 };
        let wanted = way.entry | pte::A | dirty;
        if wanted != way.entry {
            self.set_entry(cx, way.at, way.wide, wanted);
        }
        Ok(Mapping {
            pa: self.by_a20(way.page | va & ((1 << way.span) - 1)),
            writable: writable && wanted & pte::D != 0,
            span: 1 << way.span,
        })
    }

    /// Goes through the page tables, and notes that entries on the way are used.
    fn walk(&mut self, cx: &Cx<'_>, va: u64) -> Result<Way, u32> {
        let wide = self.is4(cr4::PAE);
        let long = self.long();
        let beyond = FRAME & !((1 << self.identity.physical_bits()) - 1);
        let reserved_nx = match self.msrs.efer & efer::NXE {
            0 => pte::NX,
            _ => 0,
        };
        let (levels, bits) = match (long, wide) {
            (true, _) => (4, 9),
            (_, true) => (3, 9),
            _ => (2, 10),
        };
        let mut table = match (long, wide) {
            (true, _) => self.cr3 & FRAME,
            (_, true) => self.cr3 & 0xffff_ffe0,
            _ => self.cr3 & 0xffff_f000,
        };
        let mut rights = pte::W | pte::U;
        for level in (0..levels).rev() {
            let span = 12 + bits * level;
            let index = va >> span & ((1 << bits) - 1);
            // Those above the directories of PAE are four.
            let pointers = !long && wide && level == 2;
            let index = if pointers { index & 3 } else { index };
            let at = table + index * if wide { 8 } else { 4 };
            let entry = self.entry(cx, at, wide);
            if entry & pte::P == 0 {
                return Err(0);
            }
            if pointers {
                if entry & (beyond | 0x1e6 | pte::NX) != 0 {
                    return Err(error::P | error::RSVD);
                }
                table = entry & FRAME;
                continue;
            }
            if wide && entry & (beyond | reserved_nx) != 0 {
                return Err(error::P | error::RSVD);
            }
            let large = level > 0
                && entry & pte::PS != 0
                && (wide && level == 1 || !wide && self.is4(cr4::PSE));
            if level == 3 && entry & pte::PS != 0 || level == 2 && long && entry & pte::PS != 0 {
                return Err(error::P | error::RSVD);
            }
            rights &= entry | !(pte::W | pte::U);
            rights |= if wide { entry & pte::NX } else { 0 };
            if level == 0 || large {
                let within = (1u64 << span) - 1;
                let page = match (wide, large) {
                    (true, _) => entry & FRAME & !within,
                    // PSE-36.
                    (false, true) if self.has(crate::model::feature::PSE36) => {
                        entry & 0xffc0_0000 | (entry >> 13 & 0xff) << 32
                    }
                    (false, true) => entry & 0xffc0_0000,
                    (false, false) => entry & 0xffff_f000,
                };
                // The bits between the address and PAT.
                if large && wide && entry & within & FRAME & !(1 << 12) != 0 {
                    return Err(error::P | error::RSVD);
                }
                if large && !wide && page >> self.identity.physical_bits() != 0 {
                    return Err(error::P | error::RSVD);
                }
                return Ok(Way {
                    at,
                    entry,
                    wide,
                    span,
                    page,
                    rights,
                });
            }
            if entry & pte::A == 0 {
                self.set_entry(cx, at, wide, entry | pte::A);
            }
            table = entry & if wide { FRAME } else { 0xffff_f000 };
        }
        Err(0)
    }

    /// Reads an entry of a page table. Where there is no memory nothing is present.
    fn entry(&mut self, cx: &Cx<'_>, at: u64, wide: bool) -> u64 {
        let at = self.by_a20(at);
        let Physical::Memory { ram, offset, .. } = self.vcpu.frame(cx, at) else {
            return 0;
        };
        let offset = offset + at % PAGE;
        let ram = self.vcpu.memory.rams.get(ram as usize);
        let read = ram.and_then(|ram| match wide {
            true => ram.read_u64(offset).ok(),
            false => ram.read_u32(offset).ok().map(u64::from),
        });
        read.unwrap_or(0)
    }

    fn set_entry(&mut self, cx: &Cx<'_>, at: u64, wide: bool, entry: u64) {
        let at = self.by_a20(at);
        let Physical::Memory {
            ram,
            offset,
            writable: true,
        } = self.vcpu.frame(cx, at)
        else {
            return;
        };
        let offset = offset + at % PAGE;
        if let Some(ram) = self.vcpu.memory.rams.get(ram as usize) {
            // The bounds are those of what was just read.
            let _ = match wide {
                true => ram.write_u64(offset, entry),
                false => ram.write_u32(offset, entry as u32),
            };
        }
    }

    /// The physical address of code at a linear one.
    ///
    /// # Errors
    /// It cannot be fetched.
    pub fn translate_code(&mut self, cx: &Cx<'_>, va: u64) -> Result<u64, Fault> {
        if self.is64() {
            if !canonical(va) {
                return Err(Fault::gp(0));
            }
        } else if self.ip_of(va) > self.seg(CS).limit.into() {
            return Err(Fault::gp(0));
        }
        Ok(self.translate(cx, va, Access::Fetch, self.cpl == 3)?.pa)
    }

    /// The physical address of a linear one as page tables in memory have it, with nothing noted.
    pub fn look(&self, va: u64) -> Option<u64> {
        (!self.is(cr0::PG)).then_some(va & 0xffff_ffff)
    }

    /// The linear address of an offset in a segment, for so many bytes.
    ///
    /// # Errors
    /// It is not in the segment, or that cannot be accessed so.
    #[inline(always)]
    pub fn linear(&self, n: u8, offset: u64, size: u8, write: bool) -> Result<u64, Fault> {
        if self.is64() {
            return self.linear64(n, offset, size);
        }
        if self.flat[usize::from(n) % 6] {
            return Ok(self.seg(n).base.wrapping_add(offset) & 0xffff_ffff);
        }
        self.limited(n, offset, size.into(), write)
    }

    #[inline]
    fn linear64(&self, n: u8, offset: u64, size: u8) -> Result<u64, Fault> {
        let base = if n >= 4 { self.seg(n).base } else { 0 };
        let at = base.wrapping_add(offset);
        let end = at.wrapping_add(u64::from(size).saturating_sub(1));
        match canonical(at) && canonical(end) {
            true => Ok(at),
            false => Err(Fault::of_segment(n)),
        }
    }

    /// Looks at all there is to look at of a segment.
    ///
    /// # Errors
    /// As of [`Core::linear`].
    pub fn limited(&self, n: u8, offset: u64, size: u64, write: bool) -> Result<u64, Fault> {
        let seg = self.seg(n);
        let code = seg.is(access::CODE);
        let protected = !self.paragraphs();
        let wrong = !seg.is(access::PRESENT)
            || write && protected && (code || !seg.is(access::RW))
            || !write && protected && code && !seg.is(access::RW);
        if wrong || !within(seg, offset, size) {
            return Err(Fault::of_segment(n));
        }
        Ok(seg.base.wrapping_add(offset) & 0xffff_ffff)
    }

    /// What follows a linear address by so many bytes.
    #[inline]
    pub fn beside(&self, va: u64, by: u64) -> u64 {
        va.wrapping_add(by) & mask(if self.is64() || self.long() { 8 } else { 4 })
    }
}

/// Whether the upper bits of an address are copies of its 48th.
#[inline(always)]
pub fn canonical(va: u64) -> bool {
    (va as i64) << 16 >> 16 == va as i64
}

/// Whether so many bytes at an offset are in a segment.
pub fn within(seg: &Segment, offset: u64, size: u64) -> bool {
    let last = offset.wrapping_add(size.saturating_sub(1));
    let limit = u64::from(seg.limit);
    match seg.access & (access::CODE | access::DC) {
        access::DC => {
            let big = seg.is(access::BIG);
            let top = if big { u32::MAX.into() } else { 0xffff };
            offset > limit && last <= top && last >= offset
        }
        _ => last <= limit && last >= offset,
    }
}

//! System management mode: from an SMI to RSM.
//!
//! Intel SDM, volume 3, chapter 31; AMD64 Architecture Programmer's Manual, volume 2, chapter 10. CPUs with long mode save what AMD's
//! do (table 10-1), the others what Intel's P6 did; offsets are from SMBASE + 8000h.

use solderless_model::Cx;

use crate::core::{CS, Core, Segment, Table, access, cr0, flag};
use crate::model::feature;
use crate::trap::Fault;

/// SMBASE after a reset.
pub const BASE: u32 = 0x3_0000;
/// From SMBASE to the handler, and to what is saved.
const ENTRY: u64 = 0x8000;
/// The revision, of which bit 17 says that SMBASE can be moved.
const REVISION: u64 = 0x7efc;
const REVISION_32: u64 = 0x2_0000;
const REVISION_64: u64 = 0x2_0064;

/// What is in one direction or the other between the CPU and memory.
struct Image<'a, 'b> {
    cx: &'a mut Cx<'b>,
    at: u64,
    saves: bool,
}

impl Image<'_, '_> {
    /// A number of so many bytes.
    fn number(&mut self, offset: u64, size: u8, value: &mut u64) {
        let at = self.at + offset;
        if self.saves {
            // What nobody takes is lost.
            let _ = self
                .cx
                .bus_write(at, size, *value & crate::inst::mask(size));
        } else {
            *value = self.cx.bus_read(at, size).unwrap_or(0) & crate::inst::mask(size);
        }
    }

    fn word(&mut self, offset: u64, value: &mut u64) {
        self.number(offset, 4, value);
    }

    fn long(&mut self, offset: u64, value: &mut u64) {
        self.number(offset, 8, value);
    }

    /// A segment of AMD's map.
    fn segment64(&mut self, offset: u64, segment: &mut Segment) {
        let (mut selector, mut attributes) = (u64::from(segment.selector), packed(segment.access));
        let mut limit = segment.limit.into();
        self.number(offset, 2, &mut selector);
        self.number(offset + 2, 2, &mut attributes);
        self.word(offset + 4, &mut limit);
        self.long(offset + 8, &mut segment.base);
        segment.selector = selector as u16;
        segment.access = unpacked(attributes);
        segment.limit = limit as u32;
    }

    /// One of Intel's, whose selector is elsewhere.
    fn segment32(&mut self, selector_at: u64, offset: u64, segment: &mut Segment) {
        let (mut selector, mut attributes) = (u64::from(segment.selector), packed(segment.access));
        let mut limit = segment.limit.into();
        self.word(selector_at, &mut selector);
        self.word(offset, &mut attributes);
        self.word(offset + 4, &mut limit);
        self.word(offset + 8, &mut segment.base);
        segment.selector = selector as u16;
        segment.access = unpacked(attributes);
        segment.limit = limit as u32;
    }

    fn table(&mut self, base_at: u64, limit_at: u64, wide: bool, table: &mut Table) {
        let mut limit = table.limit.into();
        self.number(base_at, if wide { 8 } else { 4 }, &mut table.base);
        self.word(limit_at, &mut limit);
        table.limit = limit as u16;
    }
}

/// Rights without the gap between them.
fn packed(access: u16) -> u64 {
    u64::from(access & 0xff | access >> 4 & 0xf00)
}

fn unpacked(attributes: u64) -> u16 {
    attributes as u16 & 0xff | (attributes as u16 & 0xf00) << 4
}

impl Core {
    fn image<'a, 'b>(&self, cx: &'a mut Cx<'b>, saves: bool) -> Image<'a, 'b> {
        Image {
            cx,
            at: u64::from(self.smbase) + ENTRY,
            saves,
        }
    }

    /// Saves what the CPU was at, or loads it.
    fn exchange(&mut self, cx: &mut Cx<'_>, saves: bool) {
        let (mut ip, mut flags) = (self.rip(), self.flags);
        let wide = self.has(feature::LM);
        let mut base = u64::from(self.smbase);
        let mut revision = if wide { REVISION_64 } else { REVISION_32 };
        let mut image = self.image(cx, saves);
        if saves {
            image.word(REVISION, &mut revision);
        }
        if wide {
            for (n, segment) in (0u64..).zip(&mut self.segs) {
                image.segment64(0x7e00 + 16 * n, segment);
            }
            image.table(0x7e68, 0x7e64, true, &mut self.gdtr);
            image.segment64(0x7e70, &mut self.ldtr);
            image.table(0x7e88, 0x7e84, true, &mut self.idtr);
            image.segment64(0x7e90, &mut self.tr);
            image.long(0x7ed0, &mut self.msrs.efer);
            image.word(0x7f00, &mut base);
            image.long(0x7f48, &mut self.cr4);
            image.long(0x7f50, &mut self.cr3);
            image.long(0x7f58, &mut self.cr0);
            image.long(0x7f60, &mut self.dr[7]);
            image.long(0x7f68, &mut self.dr[6]);
            image.long(0x7f70, &mut flags);
            image.long(0x7f78, &mut ip);
            for (n, register) in (0u64..).zip(&mut self.x) {
                image.long(0x7ff8 - 8 * n, register);
            }
        } else {
            image.word(0x7ef8, &mut base);
            image.word(0x7f14, &mut self.cr4);
            for (n, segment) in (0u64..).zip(&mut self.segs) {
                let at = if n < 3 { 0x7f84 } else { 0x7f2c } + 12 * (n % 3);
                image.segment32(0x7fa8 + 4 * n, at, segment);
            }
            image.table(0x7f58, 0x7f54, false, &mut self.idtr);
            image.segment32(0x7fc4, 0x7f5c, &mut self.tr);
            image.table(0x7f74, 0x7f70, false, &mut self.gdtr);
            image.segment32(0x7fc0, 0x7f78, &mut self.ldtr);
            image.word(0x7fc8, &mut self.dr[7]);
            image.word(0x7fcc, &mut self.dr[6]);
            for (n, register) in (0u64..8).zip(&mut self.x) {
                image.word(0x7fd0 + 4 * n, register);
            }
            image.word(0x7ff0, &mut ip);
            image.word(0x7ff4, &mut flags);
            image.word(0x7ff8, &mut self.cr3);
            image.word(0x7ffc, &mut self.cr0);
        }
        if !saves {
            self.smbase = base as u32;
            self.flags = flags & 0x3f_7fd5 | flag::ONE;
            self.keep_flags();
            self.pc = ip;
        }
    }

    /// Goes to system management mode.
    pub fn enter_smm(&mut self, cx: &mut Cx<'_>) {
        self.settle();
        self.smi_pending = false;
        self.smm = true;
        self.halted = false;
        self.show_smm(cx);
        self.exchange(cx, true);
        (self.nmi_before_smm, self.nmi_blocked) = (self.nmi_blocked, true);
        self.flags = flag::ONE;
        self.keep_flags();
        self.cr0 &= !(cr0::PE | cr0::EM | cr0::TS | cr0::PG);
        (self.cr4, self.msrs.efer, self.dr[7]) = (0, 0, 0x400);
        self.cpl = 0;
        let flat = Segment {
            access: access::PRESENT | access::S | access::RW | access::ACCESSED,
            limit: u32::MAX,
            ..Segment::real(0)
        };
        self.segs = [flat; 6];
        self.segs[usize::from(CS)] = Segment {
            selector: (self.smbase >> 4) as u16,
            base: self.smbase.into(),
            access: flat.access | access::CODE,
            ..flat
        };
        self.vcpu.forget_pages();
        self.mode_changed();
        self.set_rip(ENTRY);
    }

    /// RSM.
    ///
    /// # Errors
    /// The CPU is not in system management mode.
    pub fn leave_smm(&mut self, cx: &mut Cx<'_>) -> Result<(), Fault> {
        if !self.smm {
            return Err(Fault::ud());
        }
        self.settle();
        self.exchange(cx, false);
        self.smm = false;
        self.nmi_blocked = self.nmi_before_smm;
        self.show_smm(cx);
        let ip = self.pc;
        let cpl = self.seg(crate::core::SS).dpl();
        self.cpl = match (self.protected(), self.virtual8086()) {
            (false, _) => 0,
            (_, true) => 3,
            _ => cpl,
        };
        if self.is_impossible() {
            // As a CPU that has loaded what it cannot be.
            self.shut_down = true;
        }
        self.vcpu.forget_pages();
        self.mode_changed();
        self.set_rip(ip);
        Ok(())
    }

    /// Whether control registers and modes contradict one another.
    fn is_impossible(&self) -> bool {
        use crate::core::efer;
        let long = self.msrs.efer & efer::LMA != 0;
        self.is(cr0::PG) && !self.is(cr0::PE)
            || long && !self.has(feature::LM)
            || self.virtual8086() && (long || !self.protected())
            || self.cr4 & !self.cr4_bits() != 0
    }
}

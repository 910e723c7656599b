//! Addresses: from virtual to physical ones, and what may be done there.
//!
//! The Privileged ISA (1.12 and 1.13), 4.3 to 4.6, with Svadu or Svade, Svpbmt and Svinval.

use solderless_engine::Physical;
use solderless_model::Cx;
use solderless_model::memory::PAGE;

use crate::core::Core;
use crate::csr::{MACHINE, SUPERVISOR, USER, envcfg, satp, status};
use crate::pmp;
use crate::trap::{Access, Fault};

/// Bits of a page table entry.
mod pte {
    pub const V: u64 = 1;
    pub const R: u64 = 1 << 1;
    pub const W: u64 = 1 << 2;
    pub const X: u64 = 1 << 3;
    pub const U: u64 = 1 << 4;
    pub const A: u64 = 1 << 6;
    pub const D: u64 = 1 << 7;
    /// Reserved, and N of Svnapot, which is not there.
    pub const RESERVED: u64 = 1 << 63 | 0x7f << 54;
    pub const PBMT_SHIFT: u32 = 61;
}

/// Where an address leads.
#[derive(Debug, Clone, Copy)]
pub struct Mapping {
    pub pa: u64,
    /// What else may be done at its page without anything to be noted.
    pub readable: bool,
    pub writable: bool,
    /// Bytes of the page that it is in, as page tables have it.
    pub span: u64,
}

/// How a page table is built.
struct Scheme {
    levels: u32,
    /// Of the index of a level.
    bits: u32,
    entry: u8,
}

impl Core {
    /// Where an address leads for an access of the mode that the CPU is in.
    ///
    /// # Errors
    /// Why it is not allowed.
    pub fn translate(&mut self, cx: &Cx<'_>, va: u64, access: Access) -> Result<Mapping, Fault> {
        let privilege = match access {
            Access::Fetch => self.privilege,
            _ => self.data_privilege,
        };
        let mut mapping = match self.translates(privilege) {
            true => self.walk(cx, va, access, privilege)?,
            false if va >> self.physical_bits() != 0 => return Err(Fault::Access),
            false => Mapping {
                pa: va,
                readable: true,
                writable: true,
                span: PAGE,
            },
        };
        let allowed = self.protected(mapping.pa, privilege);
        let needed = match access {
            Access::Fetch => pmp::EXECUTE,
            Access::Load => pmp::READ,
            Access::Store => pmp::WRITE,
        };
        if allowed & needed == 0 {
            return Err(Fault::Access);
        }
        if access == Access::Fetch && mapping.span > PAGE {
            self.large_code.add(va, mapping.span);
        }
        mapping.readable &= allowed & pmp::READ != 0;
        mapping.writable &= allowed & pmp::WRITE != 0;
        Ok(mapping)
    }

    fn physical_bits(&self) -> u32 {
        if self.identity.rv32 { 34 } else { 56 }
    }

    /// What PMP allows.
    fn protected(&self, pa: u64, privilege: u8) -> u8 {
        match self.identity.pmp {
            true => self.pmp.allowed(pa, privilege),
            false => u8::MAX,
        }
    }

    fn walk(
        &mut self,
        cx: &Cx<'_>,
        va: u64,
        access: Access,
        privilege: u8,
    ) -> Result<Mapping, Fault> {
        let rv32 = self.identity.rv32;
        let scheme = match satp::mode(self.csr.satp, rv32) {
            _ if rv32 => Scheme {
                levels: 2,
                bits: 10,
                entry: 4,
            },
            mode => Scheme {
                levels: mode as u32 - 5,
                bits: 9,
                entry: 8,
            },
        };
        let unused = 64 - 12 - scheme.levels * scheme.bits;
        if !rv32 && (va as i64) << unused >> unused != va as i64 {
            return Err(Fault::Page);
        }
        let c = &self.csr;
        let memory_types = c.menvcfg & envcfg::PBMTE != 0;
        let updates = c.menvcfg & envcfg::ADUE != 0;
        let (sum, mxr) = (c.status & status::SUM != 0, c.status & status::MXR != 0);
        let mut table = satp::root(c.satp, rv32);
        for level in (0..scheme.levels).rev() {
            let span = 12 + scheme.bits * level;
            let index = va >> span & ((1 << scheme.bits) - 1);
            let at = table + index * u64::from(scheme.entry);
            let entry = self.page_table_entry(cx, at, scheme.entry)?;
            let is = |bits: u64| entry & bits != 0;
            let kind = if rv32 {
                0
            } else {
                entry >> pte::PBMT_SHIFT & 3
            };
            if !is(pte::V)
                || entry & (pte::R | pte::W) == pte::W
                || !rv32 && is(pte::RESERVED)
                || kind == 3
                || kind != 0 && !memory_types
            {
                return Err(Fault::Page);
            }
            let page = match rv32 {
                true => entry >> 10 << 12,
                false => (entry >> 10 & ((1 << 44) - 1)) << 12,
            };
            if !is(pte::R | pte::X) {
                if is(pte::D | pte::A | pte::U) || kind != 0 {
                    return Err(Fault::Page);
                }
                table = page;
                continue;
            }
            let within = (1 << span) - 1;
            let readable = is(pte::R) || mxr && is(pte::X);
            let allowed = match access {
                Access::Fetch => is(pte::X),
                Access::Load => readable,
                Access::Store => is(pte::W),
            };
            let visible = match (is(pte::U), privilege) {
                (user, USER) => user,
                (user, _) => !user || sum && access != Access::Fetch,
            };
            if !allowed || !visible || page & within != 0 {
                return Err(Fault::Page);
            }
            let wanted = match access {
                Access::Store => entry | pte::A | pte::D,
                _ => entry | pte::A,
            };
            if wanted != entry {
                if !updates {
                    return Err(Fault::Page);
                }
                self.set_page_table_entry(cx, at, scheme.entry, wanted)?;
            }
            return Ok(Mapping {
                pa: page | va & within,
                readable,
                writable: is(pte::W) && wanted & pte::D != 0,
                span: within + 1,
            });
        }
        Err(Fault::Page)
    }

    /// Reads an entry of a page table, which must be in memory.
    fn page_table_entry(&mut self, cx: &Cx<'_>, at: u64, size: u8) -> Result<u64, Fault> {
        if self.protected(at, SUPERVISOR) & pmp::READ == 0 {
            return Err(Fault::Access);
        }
        let Physical::Memory { ram, offset, .. } = self.vcpu.frame(cx, at) else {
            return Err(Fault::Access);
        };
        let ram = self.vcpu.memory.rams.get(ram as usize);
        let ram = ram.ok_or(Fault::Access)?;
        let offset = offset + at % 4096;
        let entry = match size {
            4 => ram.read_u32(offset).map(u64::from),
            _ => ram.read_u64(offset),
        };
        entry.map_err(|_| Fault::Access)
    }

    fn set_page_table_entry(
        &mut self,
        cx: &Cx<'_>,
        at: u64,
        size: u8,
        entry: u64,
    ) -> Result<(), Fault> {
        if self.protected(at, SUPERVISOR) & pmp::WRITE == 0 {
            return Err(Fault::Access);
        }
        let Physical::Memory {
            ram,
            offset,
            writable: true,
        } = self.vcpu.frame(cx, at)
        else {
            return Err(Fault::Access);
        };
        let ram = self.vcpu.memory.rams.get(ram as usize);
        let ram = ram.ok_or(Fault::Access)?;
        let offset = offset + at % 4096;
        let written = match size {
            4 => ram.write_u32(offset, entry as u32),
            _ => ram.write_u64(offset, entry),
        };
        written.map_err(|_| Fault::Access)
    }

    /// The physical address of a virtual one where nothing translates; what a page table says is not looked for.
    pub fn look(&self, va: u64) -> Option<u64> {
        let va = self.address(va);
        (!self.translates(self.privilege)).then_some(va)
    }

    /// SFENCE.VMA for one address, or for all.
    pub fn fence(&mut self, va: Option<u64>) {
        match va {
            Some(va) => {
                self.vcpu.wide.forget(va);
                match self.large_code.contains(va) {
                    true => self.forget_code_pages(),
                    false => self.vcpu.forget_code_page(va),
                }
            }
            None => self.forget_pages(),
        }
    }

    /// Whether M mode is what the CPU is in.
    pub fn is_machine(&self) -> bool {
        self.privilege == MACHINE
    }
}

//! Control and status registers.
//!
//! The Privileged ISA (1.12), chapters 2 to 4; Sstc (1.0.0). Values are as an rv64 holds them; an rv32 sees their halves.

use std::mem::offset_of;

use solderless_model::{Cx, State, TimerId};

use crate::core::Core;
use crate::model::Identity;
use crate::pmp::ENTRIES;

/// When `time` reaches stimecmp.
pub const TIMER: TimerId = TimerId(0);

pub const USER: u8 = 0;
pub const SUPERVISOR: u8 = 1;
pub const MACHINE: u8 = 3;

/// Fields of mstatus.
pub mod status {
    pub const SIE: u64 = 1 << 1;
    pub const MIE: u64 = 1 << 3;
    pub const SPIE: u64 = 1 << 5;
    pub const MPIE: u64 = 1 << 7;
    pub const SPP: u64 = 1 << 8;
    pub const MPP_SHIFT: u32 = 11;
    pub const MPP: u64 = 3 << MPP_SHIFT;
    /// The state of the floating point unit: off, initial, clean, dirty.
    pub const FS: u64 = 3 << 13;
    pub const MPRV: u64 = 1 << 17;
    pub const SUM: u64 = 1 << 18;
    pub const MXR: u64 = 1 << 19;
    pub const TVM: u64 = 1 << 20;
    pub const TW: u64 = 1 << 21;
    pub const TSR: u64 = 1 << 22;
    /// U and S mode have registers of 64 bits.
    pub const UXL: u64 = 2 << 32;
    pub const SXL: u64 = 2 << 34;
}

/// Fields of menvcfg and senvcfg.
pub mod envcfg {
    pub const FIOM: u64 = 1;
    pub const CBIE: u64 = 3 << 4;
    pub const CBCFE: u64 = 1 << 6;
    pub const CBZE: u64 = 1 << 7;
    pub const ADUE: u64 = 1 << 61;
    pub const PBMTE: u64 = 1 << 62;
    pub const STCE: u64 = 1 << 63;
}

/// Bits of mip and mie.
pub const SSIP: u64 = 1 << 1;
pub const MSIP: u64 = 1 << 3;
pub const STIP: u64 = 1 << 5;
pub const MTIP: u64 = 1 << 7;
pub const SEIP: u64 = 1 << 9;
pub const MEIP: u64 = 1 << 11;
const SUPERVISOR_INTERRUPTS: u64 = SSIP | STIP | SEIP;
const MACHINE_INTERRUPTS: u64 = MSIP | MTIP | MEIP;
/// The exceptions that S mode can handle: all but the one that only M mode raises.
const DELEGABLE: u64 = 0xb3ff;

/// satp.
pub mod satp {
    /// MODE: 0 is Bare, 1 Sv32, 8, 9 and 10 are Sv39, Sv48 and Sv57.
    pub fn mode(satp: u64, rv32: bool) -> u64 {
        if rv32 { satp >> 31 } else { satp >> 60 }
    }

    /// The address of the root of the page table.
    pub fn root(satp: u64, rv32: bool) -> u64 {
        let bits = if rv32 { 22 } else { 44 };
        (satp & ((1 << bits) - 1)) << 12
    }
}

/// mcountinhibit, and the bits that mcounteren has for the same.
const CYCLE: u64 = 1;
const TIME: u64 = 2;
const INSTRET: u64 = 4;

const NANOSECONDS: u128 = 1_000_000_000;

/// The registers that hold state.
#[derive(Debug, State)]
pub struct Csr {
    /// mstatus without SD.
    pub status: u64,
    pub mtvec: u64,
    pub medeleg: u64,
    pub mideleg: u64,
    pub mie: u64,
    /// Of mip what software has written.
    pub mip: u64,
    mscratch: u64,
    pub mepc: u64,
    pub mcause: u64,
    pub mtval: u64,
    mcounteren: u64,
    mcountinhibit: u64,
    pub menvcfg: u64,
    /// mcycle less the cycles since time 0; while it stands still, mcycle.
    cycle_offset: u64,
    /// minstret less the instructions that were executed; while it stands still, minstret.
    pub instret_offset: u64,
    pub stvec: u64,
    scounteren: u64,
    pub senvcfg: u64,
    sscratch: u64,
    pub sepc: u64,
    pub scause: u64,
    pub stval: u64,
    pub stimecmp: u64,
    pub satp: u64,
    pub fflags: u8,
    pub frm: u8,
}

/// What a write asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    None,
    /// Look whether there is an interrupt before the next instruction.
    Interrupts,
    /// The same, and at all else that the next instruction depends on, and when the next thing happens.
    Check,
}

/// What a register takes that has no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writable {
    /// Every value.
    All,
    /// Addresses where instructions can be.
    Code,
    /// Not every value, or there is more to do.
    Nothing,
}

/// The place in a [`Csr`] of a register that rv64 has in whole and that is read without more, and what it takes; `None` of all
/// others.
pub fn plain(csr: u32) -> Option<(usize, Writable)> {
    Some(match csr {
        STVEC => (offset_of!(Csr, stvec), Writable::Nothing),
        SSCRATCH => (offset_of!(Csr, sscratch), Writable::All),
        SEPC => (offset_of!(Csr, sepc), Writable::Code),
        SCAUSE => (offset_of!(Csr, scause), Writable::All),
        STVAL => (offset_of!(Csr, stval), Writable::All),
        MSCRATCH => (offset_of!(Csr, mscratch), Writable::All),
        MEPC => (offset_of!(Csr, mepc), Writable::Code),
        MCAUSE => (offset_of!(Csr, mcause), Writable::All),
        MTVAL => (offset_of!(Csr, mtval), Writable::All),
        _ => return None,
    })
}

/// Values of the registers that exist, by number.
mod number {
    pub const FFLAGS: u32 = 0x001;
    pub const FRM: u32 = 0x002;
    pub const FCSR: u32 = 0x003;
    pub const SSTATUS: u32 = 0x100;
    pub const SIE: u32 = 0x104;
    pub const STVEC: u32 = 0x105;
    pub const SCOUNTEREN: u32 = 0x106;
    pub const SENVCFG: u32 = 0x10a;
    pub const SSCRATCH: u32 = 0x140;
    pub const SEPC: u32 = 0x141;
    pub const SCAUSE: u32 = 0x142;
    pub const STVAL: u32 = 0x143;
    pub const SIP: u32 = 0x144;
    pub const STIMECMP: u32 = 0x14d;
    pub const STIMECMPH: u32 = 0x15d;
    pub const SATP: u32 = 0x180;
    pub const MSTATUS: u32 = 0x300;
    pub const MISA: u32 = 0x301;
    pub const MEDELEG: u32 = 0x302;
    pub const MIDELEG: u32 = 0x303;
    pub const MIE: u32 = 0x304;
    pub const MTVEC: u32 = 0x305;
    pub const MCOUNTEREN: u32 = 0x306;
    pub const MENVCFG: u32 = 0x30a;
    pub const MSTATUSH: u32 = 0x310;
    pub const MENVCFGH: u32 = 0x31a;
    pub const MCOUNTINHIBIT: u32 = 0x320;
    pub const MSCRATCH: u32 = 0x340;
    pub const MEPC: u32 = 0x341;
    pub const MCAUSE: u32 = 0x342;
    pub const MTVAL: u32 = 0x343;
    pub const MIP: u32 = 0x344;
    pub const PMPCFG0: u32 = 0x3a0;
    pub const PMPCFG15: u32 = 0x3af;
    pub const PMPADDR0: u32 = 0x3b0;
    pub const PMPADDR63: u32 = 0x3ef;
    pub const TSELECT: u32 = 0x7a0;
    pub const TINFO: u32 = 0x7a4;
    pub const MVENDORID: u32 = 0xf11;
    pub const MHARTID: u32 = 0xf14;
    pub const MCONFIGPTR: u32 = 0xf15;
}
use number::*;

impl Csr {
    /// The registers at reset.
    pub fn new(id: &Identity) -> Self {
        let widths = match (id.rv32, id.s, id.u) {
            (true, ..) | (_, _, false) => 0,
            (_, false, _) => status::UXL,
            _ => status::UXL | status::SXL,
        };
        let mut menvcfg = 0;
        if id.svadu {
            menvcfg |= envcfg::ADUE;
        }
        if id.svpbmt {
            menvcfg |= envcfg::PBMTE;
        }
        Self {
            status: widths | if id.u { 0 } else { status::MPP },
            mtvec: 0,
            medeleg: 0,
            mideleg: 0,
            mie: 0,
            mip: 0,
            mscratch: 0,
            mepc: 0,
            mcause: 0,
            mtval: 0,
            mcounteren: 0,
            mcountinhibit: 0,
            menvcfg,
            cycle_offset: 0,
            instret_offset: 0,
            stvec: 0,
            scounteren: 0,
            senvcfg: 0,
            sscratch: 0,
            sepc: 0,
            scause: 0,
            stval: 0,
            stimecmp: u64::MAX,
            satp: 0,
            fflags: 0,
            frm: 0,
        }
    }
}

/// So many in a second since time 0.
fn since_start(now: u64, rate: u64) -> u64 {
    (u128::from(now) * u128::from(rate) / NANOSECONDS) as u64
}

/// What becomes of menvcfg or senvcfg by a write.
fn environment(id: &Identity, value: u64, old: u64, extra: u64) -> u64 {
    let mut writable = extra | envcfg::FIOM;
    if id.zicboz {
        writable |= envcfg::CBZE;
    }
    if id.zicbom {
        writable |= envcfg::CBCFE | envcfg::CBIE;
    }
    let mut value = value & writable;
    // This one is reserved.
    if value & envcfg::CBIE == 2 << 4 {
        value = value & !envcfg::CBIE | old & envcfg::CBIE;
    }
    value
}

/// A half of a register with one of 32 bits in its place.
fn half(register: u64, value: u64, high: bool) -> u64 {
    match high {
        true => register & 0xffff_ffff | value << 32,
        false => register & !0xffff_ffff | value & 0xffff_ffff,
    }
}

impl Core {
    /// The fields of mstatus that S mode sees.
    const SSTATUS: u64 =
        status::SIE | status::SPIE | status::SPP | status::FS | status::SUM | status::MXR | 3 << 32;

    /// mstatus, or a part of it, with SD.
    fn status_read(&self, part: u64) -> u64 {
        let status = self.csr.status & part;
        let dirty = status & status::FS == status::FS;
        match self.identity.rv32 {
            true => status & 0xffff_ffff | u64::from(dirty) << 31,
            false => status | u64::from(dirty) << 63,
        }
    }

    fn set_status(&mut self, value: u64, part: u64) {
        let id = &self.identity;
        let mut writable = status::MIE | status::MPIE;
        if id.u {
            writable |= status::MPP | status::MPRV | status::TW;
        }
        if id.s {
            writable |= Self::SSTATUS | status::TVM | status::TSR;
        }
        if id.f {
            writable |= status::FS;
        } else {
            writable &= !status::FS;
        }
        writable &= part & !(3 << 32);
        let mut status = self.csr.status & !writable | value & writable;
        let mode = (status >> status::MPP_SHIFT & 3) as u8;
        if !(mode == MACHINE || mode == USER && id.u || mode == SUPERVISOR && id.s) {
            status = status & !status::MPP | self.csr.status & status::MPP;
        }
        self.csr.status = status;
        self.mode_changed();
    }

    /// What misa says of the extensions.
    fn misa(&self) -> u64 {
        let id = &self.identity;
        let letters = [
            ('a', id.a),
            ('b', id.zba && id.zbb && id.zbs),
            ('c', id.c),
            ('d', id.d),
            ('f', id.f),
            ('i', true),
            ('m', id.m),
            ('s', id.s),
            ('u', id.u),
        ];
        let letters = letters.into_iter().filter(|(_, there)| *there);
        let extensions: u64 = letters
            .map(|(letter, _)| 1 << (letter as u32 - 'a' as u32))
            .sum();
        match id.rv32 {
            true => 1 << 30 | extensions,
            false => 2 << 62 | extensions,
        }
    }

    /// What `time` is at an instant of guest time.
    fn time(&self, now: u64) -> u64 {
        since_start(now, self.identity.timebase_frequency.0)
    }

    fn cycles(&self, now: u64) -> u64 {
        let counted = match self.csr.mcountinhibit & CYCLE {
            0 => since_start(now, self.identity.clock.0),
            _ => 0,
        };
        self.csr.cycle_offset.wrapping_add(counted)
    }

    fn instret(&self, executed: u64) -> u64 {
        let counted = match self.csr.mcountinhibit & INSTRET {
            0 => executed,
            _ => 0,
        };
        self.csr.instret_offset.wrapping_add(counted)
    }

    /// Writes mcountinhibit: counters go on from where they stand.
    fn set_inhibit(&mut self, value: u64, now: u64, executed: u64) {
        let (cycles, instret) = (self.cycles(now), self.instret(executed));
        self.csr.mcountinhibit = value & (CYCLE | INSTRET);
        (self.csr.cycle_offset, self.csr.instret_offset) = (0, 0);
        self.csr.cycle_offset = cycles.wrapping_sub(self.cycles(now));
        self.csr.instret_offset = instret.wrapping_sub(self.instret(executed));
    }

    /// Whether a counter of U and S mode may be read, by its number.
    fn counter_enabled(&self, counter: u32, privilege: u8) -> bool {
        let c = &self.csr;
        let by = |enable: u64| enable >> counter & 1 != 0;
        match privilege {
            MACHINE => true,
            SUPERVISOR => by(c.mcounteren),
            _ => by(c.mcounteren) && (!self.identity.s || by(c.scounteren)),
        }
    }

    /// Whether a mode may use stimecmp.
    fn timer_enabled(&self, privilege: u8) -> bool {
        privilege == MACHINE || self.counter_enabled(1, privilege) && self.timer_compared()
    }

    /// mip for an instruction that changes bits of it: an external interrupt is not what software has set.
    fn pending_to_change(&self) -> u64 {
        self.pending() & !SEIP | self.csr.mip & SEIP
    }

    /// The value of a register, and what an instruction changes if it sets or clears bits; `None` if there is none, or not for
    /// this mode. `executed` are the instructions before this one.
    pub fn read_csr(&self, csr: u32, now: u64, executed: u64) -> Option<(u64, u64)> {
        self.csr_in(csr, self.privilege, self.fp_on(), now, executed)
    }

    fn csr_in(
        &self,
        csr: u32,
        privilege: u8,
        fp: bool,
        now: u64,
        executed: u64,
    ) -> Option<(u64, u64)> {
        let (id, c) = (&self.identity, &self.csr);
        let needed = (csr >> 8 & 3) as u8;
        if needed > privilege {
            return None;
        }
        let there = match csr {
            FFLAGS..=FCSR => id.f && fp,
            STIMECMP => id.sstc && self.timer_enabled(privilege),
            STIMECMPH => id.rv32 && id.sstc && self.timer_enabled(privilege),
            SATP => id.s && (privilege == MACHINE || c.status & status::TVM == 0),
            0x100..=0x1ff | MEDELEG | MIDELEG => id.s,
            MCOUNTEREN | MENVCFG => id.u,
            MENVCFGH => id.u && id.rv32,
            MSTATUSH => id.rv32,
            PMPCFG0..=PMPADDR63 => id.pmp,
            0xc00..=0xc1f => id.u && self.counter_enabled(csr & 31, privilege),
            0xc80..=0xc9f => id.u && id.rv32 && self.counter_enabled(csr & 31, privilege),
            0xb81 | 0xb01 => false,
            0xb80..=0xb9f => id.rv32,
            _ => true,
        };
        if !there {
            return None;
        }
        let high = |value: u64| value >> 32;
        let value = match csr {
            FFLAGS => c.fflags.into(),
            FRM => c.frm.into(),
            FCSR => u64::from(c.frm) << 5 | u64::from(c.fflags),
            SSTATUS => self.status_read(Self::SSTATUS),
            SIE => c.mie & c.mideleg,
            STVEC => c.stvec,
            SCOUNTEREN => c.scounteren,
            SENVCFG => c.senvcfg,
            SSCRATCH => c.sscratch,
            SEPC => c.sepc,
            SCAUSE => c.scause,
            STVAL => c.stval,
            SIP => {
                let part = c.mideleg;
                return Some((self.pending() & part, self.pending_to_change() & part));
            }
            STIMECMP => c.stimecmp,
            STIMECMPH => high(c.stimecmp),
            SATP => c.satp,
            MSTATUS => self.status_read(u64::MAX),
            MSTATUSH => 0,
            MISA => self.misa(),
            MEDELEG => c.medeleg,
            MIDELEG => c.mideleg,
            MIE => c.mie,
            MTVEC => c.mtvec,
            MCOUNTEREN => c.mcounteren,
            MENVCFG => c.menvcfg,
            MENVCFGH => high(c.menvcfg),
            MCOUNTINHIBIT => c.mcountinhibit,
            // Counters of events that there are none of.
            0x323..=0x33f | 0xb03..=0xb1f | 0xb83..=0xb9f | 0xc03..=0xc1f | 0xc83..=0xc9f => 0,
            MSCRATCH => c.mscratch,
            MEPC => c.mepc,
            MCAUSE => c.mcause,
            MTVAL => c.mtval,
            MIP => return Some((self.pending(), self.pending_to_change())),
            PMPCFG0..=PMPCFG15 => self.pmp_config(csr - PMPCFG0)?,
            PMPADDR0..=PMPADDR63 => self.pmp.address((csr - PMPADDR0) as usize),
            // There is no trigger.
            TINFO => 1,
            TSELECT..=0x7a3 => 0,
            0xb00 | 0xc00 => self.cycles(now),
            0xb80 | 0xc80 => high(self.cycles(now)),
            0xc01 => self.time(now),
            0xc81 => high(self.time(now)),
            0xb02 | 0xc02 => self.instret(executed),
            0xb82 | 0xc82 => high(self.instret(executed)),
            MHARTID => id.hartid.into(),
            MVENDORID..=MCONFIGPTR => 0,
            _ => return None,
        };
        let value = self.extend(value);
        Some((value, value))
    }

    /// The entries of a register of pmpcfg: four of them, or eight in the even ones.
    fn pmp_entries(&self, register: u32) -> Option<std::ops::Range<usize>> {
        let first = 4 * register as usize;
        match self.identity.rv32 {
            true => Some(first..first + 4),
            false if register.is_multiple_of(2) => Some(first..first + 8),
            false => None,
        }
    }

    fn pmp_config(&self, register: u32) -> Option<u64> {
        let entries = self.pmp_entries(register)?.rev();
        Some(entries.fold(0, |value, entry| {
            value << 8 | u64::from(self.pmp.config(entry))
        }))
    }

    /// Writes a register that could be read. `executed` are the instructions before this one.
    pub fn write_csr(&mut self, csr: u32, value: u64, executed: u64, cx: &mut Cx<'_>) -> Effect {
        let rv32 = self.identity.rv32;
        let value = if rv32 { value & 0xffff_ffff } else { value };
        let now = cx.now();
        let aligned = if self.identity.c { !1 } else { !3 };
        let supervisor = match self.identity.s {
            true => SUPERVISOR_INTERRUPTS,
            false => 0,
        };
        let counters = u64::from(u32::MAX);
        let whole = |register: u64, high: bool| match rv32 {
            true => half(register, value, high),
            false => value,
        };
        let c = &mut self.csr;
        match csr {
            FFLAGS..=FCSR => {
                match csr {
                    FFLAGS => c.fflags = value as u8 & 0x1f,
                    FRM => c.frm = value as u8 & 7,
                    _ => (c.fflags, c.frm) = (value as u8 & 0x1f, (value >> 5) as u8 & 7),
                }
                c.status |= status::FS;
            }
            SSTATUS => {
                self.set_status(value, Self::SSTATUS);
                return Effect::Interrupts;
            }
            SIE => {
                c.mie = c.mie & !c.mideleg | value & c.mideleg;
                return Effect::Interrupts;
            }
            STVEC if value & 2 == 0 => c.stvec = value,
            SCOUNTEREN => c.scounteren = value & counters,
            SENVCFG => c.senvcfg = environment(&self.identity, value, c.senvcfg, 0),
            SSCRATCH => c.sscratch = value,
            SEPC => c.sepc = value & aligned,
            SCAUSE => c.scause = value,
            STVAL => c.stval = value,
            SIP => {
                let part = c.mideleg & SSIP;
                c.mip = c.mip & !part | value & part;
                return Effect::Interrupts;
            }
            STIMECMP | STIMECMPH => {
                c.stimecmp = whole(c.stimecmp, csr == STIMECMPH);
                self.arm_timer(cx);
                return Effect::Check;
            }
            SATP => {
                let mode = satp::mode(value, rv32);
                if self.identity.satp_modes >> mode & 1 != 0 && c.satp != value {
                    // Of Bare, nothing else counts.
                    c.satp = if mode == 0 { 0 } else { value };
                    self.mode_changed();
                    return Effect::Check;
                }
            }
            MSTATUS => {
                let part = if rv32 { counters } else { u64::MAX };
                self.set_status(value, part);
                return Effect::Interrupts;
            }
            MEDELEG => c.medeleg = value & DELEGABLE,
            MIDELEG => {
                c.mideleg = value & supervisor;
                return Effect::Interrupts;
            }
            MIE => {
                c.mie = value & (MACHINE_INTERRUPTS | supervisor);
                return Effect::Interrupts;
            }
            MTVEC if value & 2 == 0 => c.mtvec = value,
            MCOUNTEREN => c.mcounteren = value & counters,
            MENVCFG | MENVCFGH => {
                let id = &self.identity;
                let mut extra = 0;
                for (there, bit) in [
                    (id.sstc, envcfg::STCE),
                    (id.svpbmt, envcfg::PBMTE),
                    (id.svadu, envcfg::ADUE),
                ] {
                    extra |= if there { bit } else { 0 };
                }
                let value = whole(c.menvcfg, csr == MENVCFGH);
                c.menvcfg = environment(id, value, c.menvcfg, extra);
                self.forget_pages();
                self.arm_timer(cx);
                return Effect::Check;
            }
            MCOUNTINHIBIT => self.set_inhibit(value, now, executed),
            MSCRATCH => c.mscratch = value,
            MEPC => c.mepc = value & aligned,
            MCAUSE => c.mcause = value,
            MTVAL => c.mtval = value,
            MIP => {
                let timer = match self.timer_compared() {
                    true => 0,
                    false => STIP,
                };
                let part = (SSIP | SEIP | timer) & supervisor;
                self.csr.mip = self.csr.mip & !part | value & part;
                return Effect::Interrupts;
            }
            PMPCFG0..=PMPCFG15 => {
                let entries = self.pmp_entries(csr - PMPCFG0).into_iter().flatten();
                for (entry, byte) in entries.zip(value.to_le_bytes()) {
                    self.pmp.set_config(entry, byte);
                }
                return self.protection_changed();
            }
            PMPADDR0..=PMPADDR63 => {
                let value = if rv32 { value } else { value & ((1 << 54) - 1) };
                self.pmp.set_address((csr - PMPADDR0) as usize, value);
                return self.protection_changed();
            }
            0xb00 | 0xb80 => {
                let cycles = self.cycles(now);
                let value = whole(cycles, csr == 0xb80);
                let offset = &mut self.csr.cycle_offset;
                *offset = offset.wrapping_add(value).wrapping_sub(cycles);
            }
            0xb02 | 0xb82 => {
                // The next instruction reads what this one writes.
                let value = whole(self.instret(executed), csr == 0xb82);
                let next = self.instret(executed.wrapping_add(1));
                let offset = &mut self.csr.instret_offset;
                *offset = offset.wrapping_add(value).wrapping_sub(next);
            }
            // misa, mstatush, and what counts nothing and triggers nothing.
            _ => {}
        }
        Effect::None
    }

    fn protection_changed(&mut self) -> Effect {
        self.forget_pages();
        self.mode_changed();
        Effect::Check
    }

    /// A register as a person looks at it, whatever the mode; `None` if there is none.
    pub fn look_at_csr(&self, csr: u32, now: u64) -> Option<u64> {
        let executed = self.vcpu.instructions;
        Some(self.csr_in(csr, MACHINE, true, now, executed)?.0)
    }

    /// Looks whether `time` has reached stimecmp, and arms the timer for when it will.
    pub fn arm_timer(&mut self, cx: &mut Cx<'_>) {
        self.compare_time(cx);
        if !self.timer_compared() || self.timer_pending {
            cx.disarm(TIMER);
            return;
        }
        let due = u128::from(self.csr.stimecmp) * NANOSECONDS;
        let due = due.div_ceil(u128::from(self.identity.timebase_frequency.0));
        match u64::try_from(due) {
            Ok(at) if at < solderless_model::END_OF_TIME => cx.arm(TIMER, at),
            _ => cx.disarm(TIMER),
        }
    }

    /// Looks whether `time` has reached stimecmp.
    pub fn compare_time(&mut self, cx: &Cx<'_>) {
        self.timer_pending = self.time(cx.now()) >= self.csr.stimecmp;
    }

    /// Makes what was loaded what could have been written.
    pub fn restore_csrs(&mut self) -> Result<(), &'static str> {
        let id = self.identity;
        let known = match self.privilege {
            MACHINE => true,
            SUPERVISOR => id.s,
            USER => id.u,
            _ => false,
        };
        if !known {
            return Err("privilege: no mode of this CPU");
        }
        let c = &self.csr;
        let mode = satp::mode(c.satp, id.rv32);
        if mode > 63 || id.satp_modes >> mode & 1 == 0 {
            return Err("satp: a mode that this CPU does not have");
        }
        let mpp = (c.status >> status::MPP_SHIFT & 3) as u8;
        if !(mpp == MACHINE || mpp == USER && id.u || mpp == SUPERVISOR && id.s) {
            return Err("status: MPP is no mode of this CPU");
        }
        if c.fflags > 0x1f || c.frm > 7 {
            return Err("fcsr: more bits than it has");
        }
        let interrupts = MACHINE_INTERRUPTS | SUPERVISOR_INTERRUPTS;
        if (c.mie | c.mideleg) & !interrupts != 0 || c.mip & !SUPERVISOR_INTERRUPTS != 0 {
            return Err("mip: interrupts that there are none of");
        }
        if !self.reservation_fits() {
            return Err("reserved_at: nothing that an LR reads");
        }
        Ok(())
    }
}

/// Which of the counters a program may see is asked by these bits.
const _: () = assert!(CYCLE | TIME | INSTRET == 7 && ENTRIES == 16);

//! The table of the registers, for those who look at the CPU from outside.
//!
//! Numbers and features are those of gdb's manual, "i386 Features", with the order in which gdb has them.

use solderless_model::registers::{Gdb, Register, Row};

use crate::core::{CS, Core, RSP};
use crate::model::{Identity, feature};

const CORE: &str = "org.gnu.gdb.i386.core";

const WIDE: [&str; 16] = [
    "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13",
    "r14", "r15",
];
const NARROW: [&str; 8] = ["eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"];
/// The numbers of [`WIDE`], in the order of the encoding.
const ENCODED: [u16; 16] = [0, 3, 1, 2, 6, 7, 5, 4, 8, 9, 10, 11, 12, 13, 14, 15];

/// Segment registers in gdb's order, and their numbers in the encoding.
const SEGMENTS: [(&str, u16); 6] = [
    ("cs", 1),
    ("ss", 2),
    ("ds", 3),
    ("es", 0),
    ("fs", 4),
    ("gs", 5),
];

/// What gdb does not ask for.
/// A name, how many bits, and what is in it.
type Looked = (&'static str, u16, fn(&Core) -> u64);

const SYSTEM: [Looked; 16] = [
    ("cr0", 32, |core| core.cr0),
    ("cr2", 64, |core| core.cr2),
    ("cr3", 64, |core| core.cr3),
    ("cr4", 32, |core| core.cr4),
    ("efer", 64, |core| core.msrs.efer),
    ("fs_base", 64, |core| core.segs[4].base),
    ("gs_base", 64, |core| core.segs[5].base),
    ("gdt", 64, |core| core.gdtr.base),
    ("idt", 64, |core| core.idtr.base),
    ("ldtr", 16, |core| core.ldtr.selector.into()),
    ("tr", 16, |core| core.tr.selector.into()),
    ("dr6", 32, |core| core.dr[6]),
    ("dr7", 32, |core| core.dr[7]),
    ("cpl", 8, |core| core.cpl.into()),
    // It has executed HLT, and the level of its input for interrupts.
    ("hlt", 1, |core| core.halted.into()),
    ("intr", 1, |core| core.intr.into()),
];

const fn row(
    name: &'static str,
    group: &'static str,
    bits: u16,
    gdb: Option<u16>,
    kind: &'static str,
) -> Row<Core> {
    let gdb = match gdb {
        Some(number) => Some(Gdb {
            feature: CORE,
            name,
            number,
            kind,
        }),
        None => None,
    };
    Row {
        register: Register {
            name,
            group,
            bits,
            gdb,
        },
        index: 0,
        read: |_, _| 0u64.into(),
        write: None,
    }
}

const fn table<const GENERAL: usize, const ALL: usize>(bits: u16) -> [Row<Core>; ALL] {
    let ip = if bits == 64 { "rip" } else { "eip" };
    let ip: Row<Core> = Row {
        read: |core, _| core.rip().into(),
        write: Some(|core, _, value| core.go_on_at(value.low())),
        ..row(ip, "general", bits, Some(GENERAL as u16), "code_ptr")
    };
    let mut table = [ip; ALL];
    let mut n = 0;
    while n < GENERAL {
        let (name, index) = match bits {
            64 => (WIDE[n], ENCODED[n]),
            _ => (NARROW[n], n as u16),
        };
        let kind = match index as u8 {
            RSP => "data_ptr",
            _ if bits == 64 => "int64",
            _ => "int",
        };
        table[n] = Row {
            index,
            read: |core, n| core.x[n as usize].into(),
            write: Some(|core, n, value| core.x[n as usize] = value.low()),
            ..row(name, "general", bits, Some(n as u16), kind)
        };
        if bits == 32 {
            table[n].write = Some(|core, n, value| core.x[n as usize] = value.low() & 0xffff_ffff);
        }
        n += 1;
    }
    let mut at = GENERAL + 1;
    table[at] = Row {
        read: |core, _| core.look_at_flags().into(),
        write: Some(|core, _, value| core.write_flags(value.low())),
        ..row("eflags", "general", 32, Some(at as u16), "int")
    };
    at += 1;
    n = 0;
    while n < SEGMENTS.len() {
        let (name, index) = SEGMENTS[n];
        table[at] = Row {
            index,
            read: |core, n| u64::from(core.segs[n as usize].selector).into(),
            write: Some(|core, n, value| core.write_segment(n as u8, value.low() as u16)),
            ..row(name, "general", 32, Some(at as u16), "int")
        };
        at += 1;
        n += 1;
    }
    n = 0;
    while n < SYSTEM.len() {
        let (name, bits, _) = SYSTEM[n];
        table[at] = Row {
            index: n as u16,
            read: |core, n| SYSTEM[n as usize].2(core).into(),
            ..row(name, "system", bits, None, "int")
        };
        at += 1;
        n += 1;
    }
    table
}

const COMMON: usize = 2 + SEGMENTS.len() + SYSTEM.len();
static TABLE32: [Row<Core>; 8 + COMMON] = table::<8, { 8 + COMMON }>(32);
static TABLE64: [Row<Core>; 16 + COMMON] = table::<16, { 16 + COMMON }>(64);

/// The registers of a core.
pub fn table_of(identity: &Identity) -> &'static [Row<Core>] {
    match identity.has(feature::LM) {
        true => &TABLE64,
        false => &TABLE32,
    }
}

impl Core {
    /// Goes on at another instruction pointer, waiting no more.
    pub fn go_on_at(&mut self, ip: u64) {
        self.set_rip(ip);
        self.halted = false;
    }

    /// Sets a selector where that is a paragraph. Otherwise descriptors say what it may be.
    fn write_segment(&mut self, n: u8, selector: u16) {
        if !self.protected() {
            let ip = self.rip();
            self.set_real_segment(n, selector);
            self.mode_changed();
            self.set_rip(ip);
        }
    }

    /// Sets the flags that do not change what the CPU is in.
    fn write_flags(&mut self, value: u64) {
        use crate::core::flag;
        let which = flag::ARITHMETIC | flag::DF | flag::IF;
        self.set_flags(which, value);
    }

    /// Whether what was loaded of a stream is what a CPU can be in.
    ///
    /// # Errors
    /// What is not.
    pub fn restored(&mut self) -> Result<(), &'static str> {
        use crate::core::{cr0, efer, flag};
        let long = self.msrs.efer & efer::LMA != 0;
        if self.cpl > 3 || self.attention > 1 {
            return Err("cpl or attention: no such number");
        }
        if self.is(cr0::PG) && !self.is(cr0::PE) || long && !self.has(feature::LM) {
            return Err("cr0 and efer: no mode of the CPU");
        }
        if self.virtual8086() && (long || self.cpl != 3) {
            return Err("flags: no virtual-8086 mode here");
        }
        self.flags = self.flags & 0x3f_7fd7 | flag::ONE;
        self.mode_changed();
        if !self.is64() && (self.pc >> 32 != 0 || self.seg(CS).base >> 32 != 0) {
            return Err("pc: no address of an instruction");
        }
        Ok(())
    }
}

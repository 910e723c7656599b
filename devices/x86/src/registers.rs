//! The table of the registers, for those who look at the CPU from outside.
//!
//! Numbers and features are those of gdb's manual, "i386 Features", with the order in which gdb has them.

use solderless_model::registers::{Gdb, Register, Row, Value};

use crate::core::{CS, Core, RSP};
use crate::fpu::mxcsr;
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

const fn table<const GENERAL: usize, const VECTORS: usize, const ALL: usize>(
    bits: u16,
) -> [Row<Core>; ALL] {
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
    let (floats, from) = (if VECTORS == 0 { 16 } else { 17 + VECTORS }, at);
    n = 0;
    while n < floats {
        table[at] = float(n, VECTORS, from);
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

/// Reads a register.
type Read = fn(&Core) -> u64;

/// The x87's registers behind its stack, in gdb's order.
const CONTROL: [(&str, Read); 8] = [
    ("fctrl", |core| core.fpu.control.into()),
    ("fstat", |core| core.fpu.status.into()),
    ("ftag", |core| core.fpu.tags().into()),
    ("fiseg", |core| core.fpu.cs.into()),
    ("fioff", |core| core.fpu.ip),
    ("foseg", |core| core.fpu.ds.into()),
    ("fooff", |core| core.fpu.dp),
    ("fop", |core| core.fpu.opcode.into()),
];

fn set_control(core: &mut Core, n: u16, value: Value) {
    let fpu = &mut core.fpu;
    let word = value.low() as u16;
    match n {
        0 => fpu.set_control(word),
        1 => {
            fpu.status = word;
            fpu.set_control(fpu.control);
        }
        2 => fpu.set_tags(word),
        3 => fpu.cs = word,
        4 => fpu.ip = value.low(),
        5 => fpu.ds = word,
        6 => fpu.dp = value.low(),
        _ => fpu.opcode = word & 0x7ff,
    }
}

/// A number of 128 bits.
fn wide(bits: u128) -> Value {
    Value::wide([bits as u64, (bits >> 64) as u64, 0, 0, 0, 0, 0, 0])
}

fn bits_of(value: Value) -> u128 {
    let words = value.words(128);
    let word = |n: usize| u128::from(words.get(n).copied().unwrap_or(0));
    word(1) << 64 | word(0)
}

const STACK: [&str; 8] = ["st0", "st1", "st2", "st3", "st4", "st5", "st6", "st7"];
const VECTORS: [&str; 16] = [
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
    "xmm11", "xmm12", "xmm13", "xmm14", "xmm15",
];

/// The rows of a register of x87 or SSE.
const fn float(place: usize, vectors: usize, from: usize) -> Row<Core> {
    let number = Some((from + place) as u16);
    let n = place as u16;
    if place < 8 {
        return Row {
            index: n,
            read: |core, n| wide(core.fpu.st(n as u8)),
            write: Some(|core, n, value| {
                let at = usize::from(core.fpu.top().wrapping_add(n as u8) & 7);
                core.fpu.r[at] = bits_of(value).into();
            }),
            ..row(STACK[place], "float", 80, number, "i387_ext")
        };
    }
    if place < 16 {
        return Row {
            index: n - 8,
            read: |core, n| CONTROL[n as usize].1(core).into(),
            write: Some(set_control),
            ..row(CONTROL[place - 8].0, "float", 32, number, "int")
        };
    }
    let row: Row<Core> = if place < 16 + vectors {
        Row {
            index: n - 16,
            read: |core, n| wide(core.fpu.x(n as u8)),
            write: Some(|core, n, value| core.fpu.set_x(n as u8, bits_of(value))),
            ..row(VECTORS[place - 16], "vector", 128, number, "uint128")
        }
    } else {
        Row {
            read: |core, _| core.fpu.mxcsr.into(),
            write: Some(|core, _, value| core.fpu.mxcsr = value.low() as u32 & mxcsr::ALL),
            ..row("mxcsr", "vector", 32, number, "int")
        }
    };
    in_feature(row, "org.gnu.gdb.i386.sse")
}

const fn in_feature(row: Row<Core>, feature: &'static str) -> Row<Core> {
    let gdb = match row.register.gdb {
        Some(gdb) => Some(Gdb { feature, ..gdb }),
        None => None,
    };
    Row {
        register: Register {
            gdb,
            ..row.register
        },
        ..row
    }
}

/// Registers besides the general and the vector registers.
const COMMON: usize = 2 + SEGMENTS.len() + SYSTEM.len() + 16;
static TABLE32: [Row<Core>; 8 + COMMON] = table::<8, 0, { 8 + COMMON }>(32);
static TABLE32_SSE: [Row<Core>; 8 + COMMON + 9] = table::<8, 8, { 8 + COMMON + 9 }>(32);
static TABLE64: [Row<Core>; 16 + COMMON + 17] = table::<16, 16, { 16 + COMMON + 17 }>(64);

/// The registers of a core.
pub fn table_of(identity: &Identity) -> &'static [Row<Core>] {
    match (identity.has(feature::LM), identity.has(feature::SSE)) {
        (true, _) => &TABLE64,
        (_, true) => &TABLE32_SSE,
        _ => &TABLE32,
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
        if !self.apic.is_possible() {
            return Err("apic: no such base");
        }
        if self.virtual8086() && (long || self.cpl != 3) {
            return Err("flags: no virtual-8086 mode here");
        }
        self.flags = self.flags & 0x3f_7fd7 | flag::ONE;
        self.keep_flags();
        self.shadowed = self.attention != 0;
        self.mode_changed();
        if !self.is64() && (self.pc >> 32 != 0 || self.seg(CS).base >> 32 != 0) {
            return Err("pc: no address of an instruction");
        }
        Ok(())
    }
}

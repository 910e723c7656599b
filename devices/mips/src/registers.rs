//! The table of the registers, for those who look at the CPU from outside.
//!
//! Names are the assembler's and the manuals'. Numbers and features are those of gdb's manual, "MIPS Features".

use std::marker::PhantomData;

use solderless_model::registers::{Gdb, Register, Row, Value, Write};

use crate::core::Core;
use crate::cp0::{reg, status};
use crate::fpu::Fcsr;
use crate::ir::{HI, LO};
use crate::model::Identity;
use crate::width::Width;

const CPU: &str = "org.gnu.gdb.mips.cpu";
const CP0: &str = "org.gnu.gdb.mips.cp0";
/// The rest of coprocessor 0, of which gdb knows nothing: it shows what it is told.
const MORE: &str = "org.solderless.mips.cp0";
const FPU: &str = "org.gnu.gdb.mips.fpu";

/// The general registers, by number: as the assembler and as gdb names them.
pub const GENERAL: [(&str, &str); 32] = [
    ("zero", "r0"),
    ("at", "r1"),
    ("v0", "r2"),
    ("v1", "r3"),
    ("a0", "r4"),
    ("a1", "r5"),
    ("a2", "r6"),
    ("a3", "r7"),
    ("t0", "r8"),
    ("t1", "r9"),
    ("t2", "r10"),
    ("t3", "r11"),
    ("t4", "r12"),
    ("t5", "r13"),
    ("t6", "r14"),
    ("t7", "r15"),
    ("s0", "r16"),
    ("s1", "r17"),
    ("s2", "r18"),
    ("s3", "r19"),
    ("s4", "r20"),
    ("s5", "r21"),
    ("s6", "r22"),
    ("s7", "r23"),
    ("t8", "r24"),
    ("t9", "r25"),
    ("k0", "r26"),
    ("k1", "r27"),
    ("gp", "r28"),
    ("sp", "r29"),
    ("s8", "r30"),
    ("ra", "r31"),
];

/// The registers of coprocessor 0 that nothing is needed to read: not Count, which depends on the time.
const COPROCESSOR: [(&str, u32); 25] = [
    ("status", reg(12, 0)),
    ("badvaddr", reg(8, 0)),
    ("cause", reg(13, 0)),
    ("epc", reg(14, 0)),
    ("errorepc", reg(30, 0)),
    ("entryhi", reg(10, 0)),
    ("entrylo0", reg(2, 0)),
    ("entrylo1", reg(3, 0)),
    ("pagemask", reg(5, 0)),
    ("index", reg(0, 0)),
    ("random", reg(1, 0)),
    ("wired", reg(6, 0)),
    ("context", reg(4, 0)),
    ("userlocal", reg(4, 2)),
    ("hwrena", reg(7, 0)),
    ("compare", reg(11, 0)),
    ("intctl", reg(12, 1)),
    ("ebase", reg(15, 1)),
    ("prid", reg(15, 0)),
    ("config", reg(16, 0)),
    ("config1", reg(16, 1)),
    ("config2", reg(16, 2)),
    ("config3", reg(16, 3)),
    ("lladdr", reg(17, 0)),
    ("xcontext", reg(20, 0)),
];

const FLOATING: [&str; 32] = [
    "f0", "f1", "f2", "f3", "f4", "f5", "f6", "f7", "f8", "f9", "f10", "f11", "f12", "f13", "f14",
    "f15", "f16", "f17", "f18", "f19", "f20", "f21", "f22", "f23", "f24", "f25", "f26", "f27",
    "f28", "f29", "f30", "f31",
];

/// Registers of all CPUs of a width, and those of the FPU behind them.
const fn common(wide: bool) -> usize {
    let absent = if wide { 0 } else { 1 };
    GENERAL.len() + 3 + COPROCESSOR.len() - absent
}
/// Registers of the FPU.
const FPU_ONLY: usize = FLOATING.len() + 2;
/// Places of a table, of which one of 32 bits has not all.
const ALL: usize = common(true) + FPU_ONLY;

const fn gdb(
    feature: &'static str,
    name: &'static str,
    number: usize,
    kind: &'static str,
) -> Option<Gdb> {
    Some(Gdb {
        feature,
        name,
        number: number as u16,
        kind,
    })
}

/// The type of a register that holds an address. Where gdb knows no program, its pointers have 32 bits.
const fn kind<W: Width>(pointer: &'static str) -> &'static str {
    if W::WIDE { "int" } else { pointer }
}

/// The bits of a general register.
const fn bits<W: Width>() -> u16 {
    if W::WIDE { 64 } else { 32 }
}

const fn row<W: Width>(
    name: &'static str,
    group: &'static str,
    bits: u16,
    gdb: Option<Gdb>,
) -> Row<Core<W>> {
    Row {
        register: Register {
            name,
            group,
            bits,
            gdb,
        },
        index: 0,
        read: |core, n| value(core.r[n as u8]),
        write: Some(|core, n, value| core.r[n as u8] = W::cut(value.low())),
    }
}

const fn general<W: Width>(n: usize) -> Row<Core<W>> {
    let (name, other) = GENERAL[n];
    let row = row(name, "general", bits::<W>(), gdb(CPU, other, n, "int"));
    let write = if n == 0 { None } else { row.write };
    Row {
        index: n as u16,
        write,
        ..row
    }
}

const fn pc<W: Width>() -> Row<Core<W>> {
    Row {
        read: |core, _| value(core.pc),
        write: Some(|core, _, value| core.go_on_at(W::cut(value.low()))),
        ..row(
            "pc",
            "general",
            bits::<W>(),
            gdb(CPU, "pc", 37, kind::<W>("code_ptr")),
        )
    }
}

/// Numbers of gdb's that nothing has, less the registers of coprocessor 0 that it knows.
const MORE_FROM: usize = 70;

const fn coprocessor<W: Width>(n: usize) -> Row<Core<W>> {
    let (name, number) = COPROCESSOR[n];
    let (known, write): (_, Option<Write<Core<W>>>) = match n {
        0 => (
            gdb(CP0, name, 32, "int"),
            Some(|core, _, value| {
                core.set_status(value.low() as u32);
                core.mode_changed();
            }),
        ),
        1 => (
            gdb(CP0, name, 35, kind::<W>("data_ptr")),
            Some(|core, _, value| core.cp0.bad_vaddr = W::cut(value.low())),
        ),
        2 => (
            gdb(CP0, name, 36, "int"),
            Some(|core, _, value| core.cp0.set_cause(value.low() as u32)),
        ),
        3 => (
            gdb(MORE, name, MORE_FROM + n, kind::<W>("code_ptr")),
            Some(|core, _, value| core.cp0.epc = W::cut(value.low())),
        ),
        4 => (
            gdb(MORE, name, MORE_FROM + n, kind::<W>("code_ptr")),
            Some(|core, _, value| core.cp0.error_epc = W::cut(value.low())),
        ),
        _ => (gdb(MORE, name, MORE_FROM + n, "int"), None),
    };
    Row {
        index: number as u16,
        read: |core, number| value(core.cp0(number.into(), 0)),
        write,
        ..row(name, "cp0", bits::<W>(), known)
    }
}

/// The place of the 32 bits of a floating point register while Status.FR is 0: two of them are in an even one.
fn half(n: u16) -> u8 {
    (n / 2 * 4 + n % 2) as u8
}

/// 64 bits; the lower 32 alone where Status.FR is 0.
const fn floating<W: Width>(n: usize) -> Row<Core<W>> {
    Row {
        index: n as u16,
        read: |core, n| match core.cp0.status & status::FR != 0 {
            true => core.fpr[usize::from(n)].into(),
            false => core.fpr32(half(n)).into(),
        },
        write: Some(|core, n, value| match core.cp0.status & status::FR != 0 {
            true => core.fpr[usize::from(n)] = value.low(),
            false => core.set_fpr32(half(n), value.low() as u32),
        }),
        ..row(
            FLOATING[n],
            "fpu",
            64,
            gdb(FPU, FLOATING[n], 38 + n, "ieee_double"),
        )
    }
}

/// What a register of the CPU's width has.
fn value<W: Width>(register: W) -> Value {
    let bits: u64 = register.into();
    bits.into()
}

const fn build<W: Width>() -> [Row<Core<W>>; ALL] {
    let mut table = [pc(); ALL];
    let (mut at, mut n) = (0, 0);
    while n < GENERAL.len() {
        table[at + n] = general(n);
        n += 1;
    }
    at += n;
    // The order of what is in front of the program counter is that of the manuals.
    table[at] = Row {
        index: HI as u16,
        ..row("hi", "general", bits::<W>(), gdb(CPU, "hi", 34, "int"))
    };
    table[at + 1] = Row {
        index: LO as u16,
        ..row("lo", "general", bits::<W>(), gdb(CPU, "lo", 33, "int"))
    };
    at += 3;
    n = 0;
    while at + n < common(W::WIDE) {
        table[at + n] = coprocessor(n);
        n += 1;
    }
    at += n;
    n = 0;
    while n < FLOATING.len() {
        table[at + n] = floating(n);
        n += 1;
    }
    at += n;
    table[at] = Row {
        read: |core, _| core.fcsr.0.into(),
        write: Some(|core, _, value| core.fcsr = Fcsr(value.low() as u32 & Fcsr::WRITABLE)),
        ..row("fcsr", "fpu", bits::<W>(), gdb(FPU, "fcsr", 70, "int"))
    };
    table[at + 1] = Row {
        read: |core, _| core.identity.fir.into(),
        write: None,
        ..row("fir", "fpu", bits::<W>(), gdb(FPU, "fir", 71, "int"))
    };
    table
}

/// The tables by width.
struct Table<W>(PhantomData<W>);

impl<W: Width> Table<W> {
    const ROWS: &'static [Row<Core<W>>] = &build::<W>();
}

/// The registers of a core.
pub fn table<W: Width>(identity: &Identity) -> &'static [Row<Core<W>>] {
    let fpu = if identity.fpu { FPU_ONLY } else { 0 };
    &Table::<W>::ROWS[..common(W::WIDE) + fpu]
}

//! The table of the registers, for those who look at the CPU from outside.
//!
//! Names are the assembler's and the manuals'. Numbers and features are those of gdb's manual, "RISC-V Features".

use solderless_model::registers::{Gdb, Register, Row};

use crate::core::Core;
use crate::model::Identity;

const CPU: &str = "org.gnu.gdb.riscv.cpu";
const FPU: &str = "org.gnu.gdb.riscv.fpu";
const CSR: &str = "org.gnu.gdb.riscv.csr";
const VIRTUAL: &str = "org.gnu.gdb.riscv.virtual";
/// gdb's numbers of others than the integer registers.
const PC: u16 = 32;
const F0: u16 = 33;
const CSR0: u16 = 65;
const PRIVILEGE: u16 = 4161;

/// The integer registers, as the assembler and gdb name them.
const INTEGER: [&str; 32] = [
    "zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "fp", "s1", "a0", "a1", "a2", "a3", "a4",
    "a5", "a6", "a7", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4",
    "t5", "t6",
];

const FLOATING: [&str; 32] = [
    "ft0", "ft1", "ft2", "ft3", "ft4", "ft5", "ft6", "ft7", "fs0", "fs1", "fa0", "fa1", "fa2",
    "fa3", "fa4", "fa5", "fa6", "fa7", "fs2", "fs3", "fs4", "fs5", "fs6", "fs7", "fs8", "fs9",
    "fs10", "fs11", "ft8", "ft9", "ft10", "ft11",
];

/// The CSRs that nothing is needed to read: not those that depend on the time.
const CSRS: [(&str, u16); 23] = [
    ("mstatus", 0x300),
    ("misa", 0x301),
    ("mtvec", 0x305),
    ("medeleg", 0x302),
    ("mideleg", 0x303),
    ("mie", 0x304),
    ("mip", 0x344),
    ("mscratch", 0x340),
    ("mepc", 0x341),
    ("mcause", 0x342),
    ("mtval", 0x343),
    ("mhartid", 0xf14),
    ("menvcfg", 0x30a),
    ("mcounteren", 0x306),
    ("stvec", 0x105),
    ("sscratch", 0x140),
    ("sepc", 0x141),
    ("scause", 0x142),
    ("stval", 0x143),
    ("stimecmp", 0x14d),
    ("satp", 0x180),
    ("scounteren", 0x106),
    ("senvcfg", 0x10a),
];

/// Registers of all CPUs, and those of the FPU behind them.
const COMMON: usize = INTEGER.len() + 2 + CSRS.len();
const ALL: usize = COMMON + FLOATING.len() + 1;

const fn row(
    name: &'static str,
    group: &'static str,
    bits: u16,
    feature: &'static str,
    number: u16,
    kind: &'static str,
) -> Row<Core> {
    let gdb = Some(Gdb {
        feature,
        name,
        number,
        kind,
    });
    Row {
        register: Register {
            name,
            group,
            bits,
            gdb,
        },
        index: number,
        read: |core, n| core.address(core.x[n as u8]).into(),
        write: None,
    }
}

const fn integer(n: usize, bits: u16) -> Row<Core> {
    let row = row(INTEGER[n], "general", bits, CPU, n as u16, "int");
    match n {
        0 => row,
        _ => Row {
            write: Some(|core, n, value| core.x[n as u8] = core.extend(value.low())),
            ..row
        },
    }
}

const fn csr(n: usize, bits: u16) -> Row<Core> {
    let (name, number) = CSRS[n];
    Row {
        index: number,
        read: |core, number| {
            core.address(core.look_at_csr(number.into(), 0).unwrap_or(0))
                .into()
        },
        ..row(name, "csr", bits, CSR, CSR0 + number, "int")
    }
}

const fn table_of(bits: u16) -> [Row<Core>; ALL] {
    let pc: Row<Core> = Row {
        read: |core, _| core.pc.into(),
        write: Some(|core, _, value| core.go_on_at(value.low())),
        ..row("pc", "general", bits, CPU, PC, "code_ptr")
    };
    let mut table = [pc; ALL];
    let mut n = 0;
    while n < INTEGER.len() {
        table[n] = integer(n, bits);
        n += 1;
    }
    // The program counter is behind them.
    let mut at = n + 1;
    table[at] = Row {
        read: |core, _| u32::from(core.privilege).into(),
        ..row("priv", "csr", 8, VIRTUAL, PRIVILEGE, "int")
    };
    at += 1;
    n = 0;
    while n < CSRS.len() {
        table[at + n] = csr(n, bits);
        n += 1;
    }
    at += n;
    n = 0;
    while n < FLOATING.len() {
        table[at + n] = Row {
            index: n as u16,
            read: |core, n| core.f[usize::from(n)].into(),
            write: Some(|core, n, value| core.f[usize::from(n)] = value.low()),
            ..row(FLOATING[n], "fpu", 64, FPU, F0 + n as u16, "ieee_double")
        };
        n += 1;
    }
    at += n;
    table[at] = Row {
        index: 3,
        read: |core, number| core.look_at_csr(number.into(), 0).unwrap_or(0).into(),
        ..row("fcsr", "fpu", 32, FPU, CSR0 + 3, "int")
    };
    table
}

static TABLE32: [Row<Core>; ALL] = table_of(32);
static TABLE64: [Row<Core>; ALL] = table_of(64);

/// The registers of a core.
pub fn table(identity: &Identity) -> &'static [Row<Core>] {
    let table = match identity.rv32 {
        true => &TABLE32,
        false => &TABLE64,
    };
    match identity.f {
        true => table,
        false => &table[..COMMON],
    }
}

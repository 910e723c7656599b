//! The programs of others that tests need for each kind of CPU, in one table: compilers, and QEMU.

use crate::Endian;

/// What programs for a kind of CPU are built with, and what runs them besides ours.
#[derive(Debug, PartialEq, Eq)]
pub struct Target {
    /// The architecture's name in the registry.
    pub architecture: &'static str,
    /// Its byte order.
    pub endian: Endian,
    /// The prefix of Debian's cross compiler. Its package is `gcc-`, and this.
    pub toolchain: &'static str,
    /// What every program is compiled with.
    pub flags: &'static [&'static str],
    /// What one without an operating system is compiled with as well.
    pub bare: &'static [&'static str],
    /// QEMU's program.
    pub qemu: &'static str,
    /// Debian's package of it.
    pub qemu_package: &'static str,
}

const MIPS: Target = Target {
    architecture: "mips",
    endian: Endian::Little,
    toolchain: "mipsel-linux-gnu",
    flags: &["-march=mips32r2", "-mabi=32"],
    bare: &["-mno-abicalls", "-fno-pic", "-G0"],
    qemu: "qemu-system-mipsel",
    qemu_package: "qemu-system-mips",
};

/// All of them.
pub static TARGETS: [Target; 4] = [
    MIPS,
    Target {
        endian: Endian::Big,
        toolchain: "mips-linux-gnu",
        qemu: "qemu-system-mips",
        ..MIPS
    },
    Target {
        architecture: "riscv",
        endian: Endian::Little,
        toolchain: "riscv64-linux-gnu",
        flags: &["-march=rv64gc", "-mabi=lp64d"],
        bare: &["-mcmodel=medany"],
        qemu: "qemu-system-riscv64",
        qemu_package: "qemu-system-misc",
    },
    Target {
        architecture: "x86",
        endian: Endian::Little,
        toolchain: "i686-linux-gnu",
        flags: &["-march=i486"],
        bare: &["-fno-pic"],
        qemu: "qemu-system-i386",
        qemu_package: "qemu-system-x86",
    },
];

/// The MIPS of a byte order.
impl From<Endian> for &'static Target {
    fn from(endian: Endian) -> Self {
        let mut all = TARGETS.iter();
        let found = all.find(|t| t.architecture == MIPS.architecture && t.endian == endian);
        found.expect("there are both")
    }
}

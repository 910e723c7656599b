//! The commands that run a machine, here and in QEMU.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::guests::{self, Linux};
use crate::target::Target;

/// A byte order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endian {
    /// Least significant byte first.
    Little,
    /// Most significant byte first.
    Big,
}

impl Endian {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Little, Self::Big];

    /// The prefix of Debian's cross compilers for MIPS.
    pub fn triple(self) -> &'static str {
        <&Target>::from(self).toolchain
    }

    /// A word as bytes in memory.
    pub fn bytes(self, word: u32) -> [u8; 4] {
        match self {
            Self::Little => word.to_le_bytes(),
            Self::Big => word.to_be_bytes(),
        }
    }

    /// A word from bytes in memory.
    pub fn word(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }

    /// The name of our board.
    pub fn board(self) -> &'static str {
        match self {
            Self::Little => "malta",
            Self::Big => "malta-be",
        }
    }
}

/// The command line of a machine: the program, and what it boots.
#[derive(Debug)]
pub struct Emulator {
    command: Command,
    ours: bool,
}

impl Emulator {
    /// Our own: the built program at this path, with Malta.
    pub fn ours(program: &str, endian: Endian) -> Self {
        Self::ours_with(program, endian.board())
    }

    /// Our own, with any board.
    pub fn ours_with(program: &str, board: &str) -> Self {
        let mut command = Command::new(program);
        command.args(["run", board]);
        Self {
            command,
            ours: true,
        }
    }

    /// Debian's QEMU with Malta. `None` as for [`Emulator::qemu_with`].
    pub fn qemu(endian: Endian) -> Option<Self> {
        let emulator = Self::qemu_with(endian, "malta")?;
        Some(emulator.args(["-vga", "none"]))
    }

    /// Debian's QEMU with one of its machines: no display or monitor; the first serial port is standard input and
    /// output. `None` where the caller's test is to be skipped because it is not installed.
    pub fn qemu_with(endian: Endian, machine: &str) -> Option<Self> {
        let target: &Target = endian.into();
        Self::qemu_of(target.qemu, target.qemu_package, machine)
    }

    /// Debian's QEMU with Malta and a CPU of 64 bits. `None` as for [`Emulator::qemu_with`].
    pub fn qemu64(endian: Endian) -> Option<Self> {
        let program = match endian {
            Endian::Little => "qemu-system-mips64el",
            Endian::Big => "qemu-system-mips64",
        };
        let emulator = Self::qemu_of(program, <&Target>::from(endian).qemu_package, "malta")?;
        Some(emulator.args(["-vga", "none", "-cpu", "MIPS64R2-generic"]))
    }

    fn qemu_of(program: &str, package: &str, machine: &str) -> Option<Self> {
        if !guests::tool(program, package) {
            return None;
        }
        let mut command = Command::new(program);
        let devices = ["-display", "none", "-monitor", "none", "-serial", "stdio"];
        command.args(["-M", machine]).args(devices);
        Some(Self {
            command,
            ours: false,
        })
    }

    /// GXemul with the same board and a bare-metal program, without its own messages.
    pub fn gxemul(elf: &Path) -> Command {
        let mut command = Command::new("gxemul");
        command.args(["-q", "-e", "malta"]).arg(elf);
        command
    }

    /// Main memory in MiB.
    #[must_use]
    pub fn ram(mut self, mib: u32) -> Self {
        match self.ours {
            true => self.command.arg("--ram").arg(format!("{mib}MiB")),
            false => self.command.arg("-m").arg(mib.to_string()),
        };
        self
    }

    /// Boots an ELF file.
    #[must_use]
    pub fn kernel(mut self, file: &Path) -> Self {
        self.command
            .arg(if self.ours { "--kernel" } else { "-kernel" })
            .arg(file);
        self
    }

    /// Boots Debian's kernel with a command line.
    #[must_use]
    pub fn linux(self, linux: &Linux, append: &str) -> Self {
        let mut emulator = self.kernel(&linux.kernel);
        let dashes = if emulator.ours { "--" } else { "-" };
        emulator
            .command
            .arg(format!("{dashes}initrd"))
            .arg(&linux.initrd);
        emulator.command.arg(format!("{dashes}append")).arg(append);
        emulator
    }

    /// Boots a firmware image in its CPU's byte order.
    ///
    /// # Panics
    /// The image cannot be read, or turned for QEMU.
    #[must_use]
    pub fn firmware(mut self, file: &Path, endian: Endian) -> Self {
        if self.ours {
            self.command.arg("--firmware").arg(file);
            return self;
        }
        let file = if endian == Endian::Little {
            turned(file)
        } else {
            file.to_path_buf()
        };
        self.command.arg("-bios").arg(file);
        self
    }

    /// Further arguments, in the program's own form.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(args);
        self
    }

    /// The command, to be started.
    pub fn command(self) -> Command {
        self.command
    }
}

/// QEMU's little-endian Malta wants the bytes of every word of its firmware the other way round.
fn turned(file: &Path) -> PathBuf {
    let bytes = std::fs::read(file).expect("the firmware image can be read");
    let bytes: Vec<u8> = bytes
        .chunks(4)
        .flat_map(|word| word.iter().rev().copied())
        .collect();
    // There are several of one name.
    let mut names = file.iter().rev().map(OsStr::to_string_lossy);
    let name = names.next().unwrap_or_default();
    let folder = names.next().unwrap_or_default();
    let path = guests::cache().join(format!("{folder}-{name}"));
    let path = path.with_extension("turned");
    guests::replace(&path, &bytes);
    path
}

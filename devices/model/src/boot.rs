//! How a CPU's world starts a kernel: what an architecture says of images, and the protocols in which firmware hands over.
//!
//! The composer reads files and knows where memory is. What is in an image for a CPU, and what a kernel of it expects to find, is
//! said by the crate of the CPU, as an [`Architecture`] with its [`Protocol`]s.
//!
//! A kernel is always started by a *stub*, code at the CPU's reset vector, and never by setting registers: what a reset does is then
//! in the machine's memory, where it is saved, and a kernel that resets the board is started again.

use std::fmt;

use crate::{Cpu, Size};

/// An architecture of CPUs, as far as it matters for what they boot.
pub trait Architecture: Sync {
    /// The name by which an [`Interface`](crate::Interface) says that a device is a CPU of it: in small letters.
    fn name(&self) -> &'static str;
    /// What people call it: `MIPS`.
    fn title(&self) -> &'static str;
    /// What QEMU calls a machine with such a CPU, as in `qemu-system-riscv64`.
    fn target(&self, cpu: &Cpu) -> String {
        format!("{}{}", self.name(), cpu.bits)
    }
    /// `e_machine` of its ELF files.
    fn elf_machine(&self) -> u16;
    /// Whether a CPU of 64 bits starts in a state in which code for 32 bits runs, so that it boots kernels of either.
    fn starts_narrow(&self) -> bool {
        false
    }
    /// The protocols in which kernels are started, the usual one first.
    fn protocols(&self) -> &'static [&'static dyn Protocol];
    /// Takes a firmware image as its build made it, and gives what a memory of the CPU holds in place of it, if that is something
    /// else.
    ///
    /// # Errors
    /// It is not for such a CPU.
    fn firmware(&self, image: &[u8], big_endian: bool) -> Result<Option<Vec<u8>>, BootError> {
        let _ = (image, big_endian);
        Ok(None)
    }
}

/// A way to start a kernel.
pub trait Protocol: Sync {
    /// Its name in `[boot]`.
    fn name(&self) -> &'static str;
    /// What is handed over, in a sentence, with the source.
    fn summary(&self) -> &'static str;
    /// The keys of `[boot]` that it takes, of those that not all take: `console`, `setup`.
    fn keys(&self) -> &'static [&'static str];
    /// Whether a kernel gets a command line and an initial RAM disk.
    fn hands_over(&self) -> bool;
    /// Whether `--firmware` is a program in memory that the stub enters, and that may start a kernel; otherwise it is the content of
    /// the board's firmware slot, and a kernel is started without.
    fn firmware_in_memory(&self) -> bool {
        false
    }
    /// Such firmware for a CPU of so many bits, which starts a kernel where the user names none.
    fn own_firmware(&self, bits: u8) -> Option<&'static [u8]> {
        let _ = bits;
        None
    }
    /// Whether a device tree of the board is handed over; it then says itself where that lies.
    fn takes_tree(&self) -> bool {
        false
    }
    /// Whether it takes images that are no ELF files; it then says itself where they lie.
    fn takes_raw(&self) -> bool {
        false
    }
    /// Whether the board's ACPI tables are handed over; it then says itself where they lie.
    fn takes_acpi(&self) -> bool {
        false
    }
    /// Whether a kernel is told of memory in several pieces, and may lie in any of them.
    fn takes_pieces(&self) -> bool {
        false
    }
    /// Where a segment of an ELF file lies in physical memory, by its `p_vaddr` and `p_paddr`.
    fn physical(&self, virtual_address: u64, physical_address: u64) -> u64 {
        let _ = virtual_address;
        physical_address
    }
    /// Lays out all that a reset writes.
    ///
    /// # Errors
    /// What is asked for cannot be started in this way.
    fn lay_out(&self, start: &Start<'_>) -> Result<Layout, BootError>;
    /// The bytes of the arguments: at a physical address, from texts and 64 random hexadecimal digits, in the CPU's byte order.
    fn arguments(&self, at: u32, strings: &[String], seed: &str, big_endian: bool) -> Vec<u8> {
        let _ = (at, strings, seed, big_endian);
        Vec::new()
    }
}

impl fmt::Debug for dyn Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Protocols of one architecture differ in their names.
impl PartialEq for dyn Protocol {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for dyn Protocol {}

/// An image cannot be booted on this board.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BootError(pub String);

impl BootError {
    /// Refuses something.
    ///
    /// # Errors
    /// Always.
    pub fn refuse<T>(reason: impl Into<String>) -> Result<T, Self> {
        Err(Self(reason.into()))
    }
}

/// A program as its image has it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Program<'a> {
    /// The content of an image that is no ELF file; then nothing of it lies in memory yet.
    pub raw: Option<&'a [u8]>,
    /// Where it is entered, a virtual address.
    pub entry: u64,
    /// Physical addresses and sizes of what it takes.
    pub ranges: &'a [(u64, u64)],
}

/// What is to be started, and the board.
#[derive(Debug)]
pub struct Start<'a> {
    /// The kernel's name as the user gave it, or that of the firmware.
    pub name: &'a str,
    /// What the stub enters: the kernel, or firmware that is in memory.
    pub program: Program<'a>,
    /// The kernel that such firmware starts.
    pub kernel: Option<Program<'a>>,
    /// The size of the initial RAM disk, which is not empty.
    pub initrd: Option<u64>,
    /// The command line.
    pub append: &'a str,
    /// The board's memory.
    pub memory: &'a Memory,
    /// `console` of `[boot]`: physical address of a 16550's registers, one byte apart.
    pub console: Option<u64>,
    /// `setup` of `[boot]`: physical addresses, or ports, and 32-bit words (byte lanes, lowest address first) that firmware would
    /// have written.
    pub setup: &'a [(u64, u32)],
    /// The CPU's byte order.
    pub big_endian: bool,
    /// The bits of the CPU's registers.
    pub bits: u8,
    /// The size of the board's device tree, if the protocol takes one.
    pub tree: Option<u64>,
    /// The size of the board's ACPI tables, if the protocol takes them and the board has some.
    pub acpi: Option<u64>,
}

impl Start<'_> {
    /// The first address behind the kernel.
    pub fn end(&self) -> u64 {
        let ends = self
            .program
            .ranges
            .iter()
            .map(|(at, size)| at.saturating_add(*size));
        ends.max().unwrap_or(self.memory.start)
    }

    /// Whether the kernel takes something of `size` bytes at an address.
    pub fn overlaps(&self, at: u64, size: u64) -> bool {
        let mut ranges = self.program.ranges.iter();
        ranges.any(|(start, len)| at < start.saturating_add(*len) && *start < at + size)
    }

    /// Places the initial RAM disk as high as it fits in the memory, at a multiple of `align`, so that it ends at least `gap`
    /// bytes below the memory's end.
    ///
    /// # Errors
    /// There is no room for it behind the kernel.
    pub fn place_initrd(&self, size: u64, gap: u64, align: u64) -> Result<u64, BootError> {
        let Memory { start, low, .. } = *self.memory;
        let at = (start + low).saturating_sub(size + gap);
        let at = at - at % align;
        if at >= self.end() {
            return Ok(at);
        }
        BootError::refuse(format!(
            "kernel ({} KiB) and initrd ({} KiB) do not fit in {} together{}",
            (self.end() - start) / 1024,
            size / 1024,
            Size(low),
            self.memory.remedy()
        ))
    }
}

/// What a reset writes.
#[derive(Debug, Clone, Default)]
pub struct Layout {
    /// The content of the board's firmware slot: the stub.
    pub stub: Vec<u8>,
    /// Where the initial RAM disk goes.
    pub initrd: Option<u64>,
    /// What else goes into memory, by physical address: an image that is no ELF file, boot parameters.
    pub loads: Vec<(u64, Vec<u8>)>,
    /// Where the device tree goes, below 4 GiB. [`Protocol::arguments`] then gives the bytes of its `rng-seed`.
    pub tree: Option<u64>,
    /// Memory that a kernel leaves alone, which the device tree tells it: physical addresses and sizes.
    pub reserved: Vec<(u64, u64)>,
    /// Where the ACPI tables go, the first of them the RSDP.
    pub acpi: Option<u32>,
    /// The physical address and the texts of a block that [`Protocol::arguments`] makes anew at every reset.
    pub arguments: Option<(u32, Vec<String>)>,
}

/// A board's main memory as a kernel is told of it. Sizes are bytes.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// Physical address of its start.
    pub start: u64,
    /// How much follows in one piece, and is for the kernel.
    pub low: u64,
    /// Further pieces for the kernel, if its protocol tells of several: addresses and sizes, in order.
    pub more: Vec<(u64, u64)>,
    /// Where the CPU sees it: physical address, size, and the offset in the memory.
    pub windows: Vec<(u64, u64, u64)>,
    /// How whoever runs the board gives it more in one piece, where that can be.
    pub remedy: Option<String>,
    /// What else is on the bus: first and last address, and a phrase about it.
    pub others: Vec<(u64, u64, String)>,
}

impl Memory {
    /// How much of the memory, from an offset on, the CPU sees in one piece from an address on.
    pub fn reach(&self, at: u64, offset: u64) -> u64 {
        let mut len = 0;
        let next = |len: u64| {
            let shows = |(start, size, from): &&(u64, u64, u64)| {
                let into = at.saturating_add(len).checked_sub(*start);
                into.is_some_and(|into| into < *size && from + into == offset + len)
            };
            let window = self.windows.iter().find(shows);
            window.map(|(start, size, _)| start.saturating_add(*size) - at)
        };
        while let Some(further) = next(len) {
            len = further;
        }
        len
    }

    /// The pieces that are for the kernel: addresses and sizes, in order.
    pub fn pieces(&self) -> impl DoubleEndedIterator<Item = (u64, u64)> {
        let first = (self.start, self.low);
        std::iter::once(first).chain(self.more.iter().copied())
    }

    /// How much is for the kernel.
    pub fn size(&self) -> u64 {
        self.pieces().map(|(_, size)| size).sum()
    }

    /// Refuses a piece of a kernel that does not lie in it.
    ///
    /// # Errors
    /// Where it should lie and what is there.
    pub fn hold(&self, at: u64, size: u64) -> Result<(), BootError> {
        let end = at.saturating_add(size);
        let holds = |(start, len): (u64, u64)| at >= start && end <= start + len;
        if self.pieces().any(holds) {
            return Ok(());
        }
        let pieces = self.pieces();
        let has = pieces.map(|(start, len)| format!("{} from {start:#x} on", Size(len)));
        let has = has.collect::<Vec<_>>().join(" and ");
        let others = self.others.iter();
        let there = others.filter(|(first, last, _)| *first < end && at <= *last);
        if let Some((first, _, what)) = there.min_by_key(|(first, ..)| *first) {
            return BootError::refuse(format!(
                "the kernel is made to lie at {at:#x}, but the board's main memory is {has}; at {:#x} is {what}",
                at.max(*first)
            ));
        }
        // What ends the memory leaves no room for more.
        let below = self.pieces().rfind(|(start, _)| *start <= at);
        let Some((start, len)) = below else {
            return BootError::refuse(format!(
                "the kernel needs memory at {at:#x}, but the board has {has}"
            ));
        };
        let behind = start + len;
        let next = self.others.iter().find(|(first, ..)| *first == behind);
        let next = next.map(|(.., what)| format!(", and at {behind:#x} is {what}"));
        BootError::refuse(format!(
            "the kernel needs memory up to {end:#x}, but the board has {has}{}",
            next.unwrap_or_else(|| self.remedy())
        ))
    }

    /// How whoever runs the board gives it more, as the end of a sentence.
    pub fn remedy(&self) -> String {
        match &self.remedy {
            Some(option) => format!(" (give it more with {option})"),
            None => String::new(),
        }
    }
}

/// The bytes of a random seed, which [`Protocol::arguments`] gets as hexadecimal digits.
pub fn seed_bytes(seed: &str) -> Vec<u8> {
    let digit = |digit: &u8| (*digit as char).to_digit(16).unwrap_or(0) as u8;
    let pairs = seed.as_bytes().chunks(2);
    pairs
        .map(|pair| pair.iter().fold(0, |byte, d| byte << 4 | digit(d)))
        .collect()
}

//! Linux's boot protocol without firmware (Linux, Documentation/arch/x86/boot.rst and zero-page.rst): a bzImage is entered at its
//! 32-bit entry point, which kernels of 64 bits have too, with a zero page that says what firmware would have been asked for.

use solderless_model::Size;
use solderless_model::boot::{BootError, Layout, Memory, Protocol, Start, seed_bytes};

/// The protocol.
#[derive(Debug)]
pub struct Linux;

/// Where in the memory below 640 KiB what is: the zero page; `setup_data` with random numbers; the command line.
const ZERO_PAGE: u64 = 0x1_0000;
const SEED: u64 = 0x1_1000;
const COMMAND_LINE: u64 = 0x1_2000;
/// Where the part of a bzImage goes that runs in protected mode.
const KERNEL: u64 = 0x10_0000;

/// Offsets in the setup header, which are the same in the file's start and in the zero page.
mod header {
    pub const SETUP_SECTS: usize = 0x1f1;
    pub const BOOT_FLAG: usize = 0x1fe;
    /// The distance from 0x202 to the header's end.
    pub const JUMP: usize = 0x201;
    pub const MAGIC: usize = 0x202;
    pub const VERSION: usize = 0x206;
    pub const TYPE_OF_LOADER: usize = 0x210;
    pub const LOADFLAGS: usize = 0x211;
    pub const RAMDISK_IMAGE: usize = 0x218;
    pub const RAMDISK_SIZE: usize = 0x21c;
    pub const CMD_LINE_PTR: usize = 0x228;
    pub const INITRD_ADDR_MAX: usize = 0x22c;
    pub const KERNEL_ALIGNMENT: usize = 0x230;
    pub const RELOCATABLE: usize = 0x234;
    pub const XLOADFLAGS: usize = 0x236;
    pub const CMDLINE_SIZE: usize = 0x238;
    pub const SETUP_DATA: usize = 0x250;
    pub const PREF_ADDRESS: usize = 0x258;
    pub const INIT_SIZE: usize = 0x260;
    pub const END: usize = 0x290;
}
/// Further offsets in the zero page.
const ACPI_RSDP: usize = 0x70;
const E820_ENTRIES: usize = 0x1e8;
const E820_TABLE: usize = 0x2d0;
const E820_MOST: usize = 128;

const BOOT_FLAG: u64 = 0xaa55;
const MAGIC: u64 = 0x5372_6448;
/// Version 2.10, of Linux 2.6.31: the first that says how much memory the kernel takes.
const OLDEST: u64 = 0x20a;
/// No boot loader that has a number.
const LOADER: u64 = 0xff;
const LOADED_HIGH: u64 = 1;
const XLF_KERNEL_64: u64 = 1;
/// The types of pieces in the map of memory.
const RAM: u32 = 1;
const ACPI: u32 = 3;
/// `setup_data` with random numbers.
const SETUP_RNG_SEED: u32 = 9;

impl Protocol for Linux {
    fn name(&self) -> &'static str {
        "linux"
    }

    fn summary(&self) -> &'static str {
        "Linux's boot protocol for x86 without firmware: a bzImage or ELF file is entered in protected mode of 32 bits with a zero page at ESI, which has the command line, the initial RAM disk and the map of memory. `setup` writes I/O ports."
    }

    fn keys(&self) -> &'static [&'static str] {
        &["setup"]
    }

    fn hands_over(&self) -> bool {
        true
    }

    fn takes_raw(&self) -> bool {
        true
    }

    fn takes_acpi(&self) -> bool {
        true
    }

    fn takes_pieces(&self) -> bool {
        true
    }

    fn lay_out(&self, start: &Start<'_>) -> Result<Layout, BootError> {
        let mut page = vec![0; 0x1000];
        let mut loads = Vec::new();
        // An ELF file is a kernel without the part that unpacks it, or another program.
        let (entry, kernel) = match start.program.raw {
            Some(image) => {
                let kernel = Kernel::find(image)?;
                if kernel.is_64 && start.bits == 32 {
                    return BootError::refuse(
                        "the kernel image is for 64-bit CPUs, but the board's CPU is 32-bit",
                    );
                }
                if start.append.len() as u64 > kernel.cmdline_size {
                    return BootError::refuse(format!(
                        "the command line has {} bytes; this kernel takes {}",
                        start.append.len(),
                        kernel.cmdline_size
                    ));
                }
                start.memory.hold(KERNEL, kernel.end - KERNEL)?;
                let from = header::SETUP_SECTS;
                let header = image.get(from..kernel.header_end).unwrap_or_default();
                page[from..from + header.len()].copy_from_slice(header);
                loads.push((KERNEL, kernel.code.to_vec()));
                (KERNEL, Some((kernel.end, kernel.initrd_max)))
            }
            None => (start.program.entry, None),
        };
        let (end, initrd_max) = kernel.unwrap_or((start.end(), u64::from(u32::MAX >> 1)));
        let initrd = start
            .initrd
            .map(|size| place_initrd(start.memory, size, end, initrd_max))
            .transpose()?;
        let mut put = |at: usize, size: usize, value: u64| {
            page[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]);
        };
        put(header::TYPE_OF_LOADER, 1, LOADER);
        put(header::RAMDISK_IMAGE, 4, initrd.unwrap_or(0));
        put(header::RAMDISK_SIZE, 4, start.initrd.unwrap_or(0));
        put(header::CMD_LINE_PTR, 4, COMMAND_LINE);
        put(header::SETUP_DATA, 8, SEED);
        // The tables end the first piece of memory.
        let first = start.memory.start + start.memory.low;
        let acpi = start
            .acpi
            .map(|size| (first.saturating_sub(size) & !0xfff, size));
        put(ACPI_RSDP, 8, acpi.map_or(0, |(at, _)| at));
        let windows = start.memory.windows.iter();
        let mut map: Vec<_> = windows.map(|(at, size, _)| (*at, *size, RAM)).collect();
        map.extend(acpi.map(|(at, _)| (at, first - at, ACPI)));
        map.sort_unstable();
        if let Some((at, _)) = acpi {
            // What is theirs is no memory for others.
            let holds = |piece: &&mut (u64, u64, u32)| piece.0 < at && piece.0 + piece.1 == first;
            if let Some(piece) = map.iter_mut().find(holds) {
                piece.1 = at - piece.0;
            }
        }
        map.truncate(E820_MOST);
        put(E820_ENTRIES, 1, map.len() as u64);
        for (n, (at, size, kind)) in map.into_iter().enumerate() {
            let entry = E820_TABLE + 20 * n;
            put(entry, 8, at);
            put(entry + 8, 8, size);
            put(entry + 16, 4, kind.into());
        }
        let mut line = start.append.as_bytes().to_vec();
        line.push(0);
        for (at, size) in [(ZERO_PAGE, page.len()), (COMMAND_LINE, line.len())] {
            if start.overlaps(at, size as u64) {
                return BootError::refuse(format!(
                    "the kernel lies at {at:#x}, where its arguments are: it has to lie from {KERNEL:#x} on"
                ));
            }
        }
        loads.extend([(ZERO_PAGE, page), (COMMAND_LINE, line)]);
        Ok(Layout {
            stub: super::enter(entry as u32, ZERO_PAGE as u32, start.setup)?,
            initrd,
            loads,
            acpi: acpi.map(|(at, _)| at as u32),
            arguments: Some((SEED as u32, Vec::new())),
            ..Layout::default()
        })
    }

    /// `struct setup_data`.
    fn arguments(&self, _: u32, _: &[String], seed: &str, _: bool) -> Vec<u8> {
        let seed = seed_bytes(seed);
        let mut bytes = 0u64.to_le_bytes().to_vec();
        bytes.extend(SETUP_RNG_SEED.to_le_bytes());
        bytes.extend((seed.len() as u32).to_le_bytes());
        bytes.extend(seed);
        bytes
    }
}

/// A number of up to 8 bytes; what is beyond the end counts as zeros.
fn le(bytes: &[u8], at: usize, size: usize) -> u64 {
    let bytes = bytes.iter().skip(at).take(size);
    bytes
        .rev()
        .fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// What the header of a bzImage says.
struct Kernel<'a> {
    /// The part that runs in protected mode.
    code: &'a [u8],
    header_end: usize,
    is_64: bool,
    cmdline_size: u64,
    /// The last address that the initial RAM disk may take.
    initrd_max: u64,
    /// The first address behind what the kernel takes until it knows its memory.
    end: u64,
}

impl<'a> Kernel<'a> {
    fn find(image: &'a [u8]) -> Result<Self, BootError> {
        let refuse = |why: &str| BootError::refuse(format!("the kernel image {why}"));
        if image.len() < header::END
            || le(image, header::BOOT_FLAG, 2) != BOOT_FLAG
            || le(image, header::MAGIC, 4) != MAGIC
        {
            return refuse("is neither a bzImage of Linux's for x86 nor an ELF file");
        }
        let at = |offset, size| le(image, offset, size);
        if at(header::VERSION, 2) < OLDEST || at(header::LOADFLAGS, 1) & LOADED_HIGH == 0 {
            return refuse("is older than Linux 2.6.31: boot it with a boot loader, from a disk");
        }
        let sectors = match at(header::SETUP_SECTS, 1) {
            0 => 4,
            sectors => sectors as usize,
        };
        let code = image.get((1 + sectors) * 512..).unwrap_or_default();
        if code.is_empty() {
            return refuse("is cut short");
        }
        // It moves itself to where it runs.
        let aligned = match at(header::RELOCATABLE, 1) {
            0 => KERNEL,
            _ => KERNEL.next_multiple_of(at(header::KERNEL_ALIGNMENT, 4).max(1)),
        };
        let runs = aligned.max(at(header::PREF_ADDRESS, 8));
        let taken = runs.checked_add(at(header::INIT_SIZE, 4));
        let Some(taken) = taken.filter(|end| *end < 1 << 32) else {
            return refuse("has a broken header");
        };
        Ok(Self {
            code,
            header_end: (header::MAGIC + image[header::JUMP] as usize).min(header::END),
            is_64: at(header::XLOADFLAGS, 2) & XLF_KERNEL_64 != 0,
            cmdline_size: at(header::CMDLINE_SIZE, 4),
            initrd_max: at(header::INITRD_ADDR_MAX, 4),
            end: taken.max(KERNEL + code.len() as u64),
        })
    }
}

/// Places the initial RAM disk as high as it may be.
fn place_initrd(memory: &Memory, size: u64, behind: u64, last: u64) -> Result<u64, BootError> {
    let mut places = memory.pieces().rev().filter_map(|(at, len)| {
        let end = (at + len).min(last.saturating_add(1));
        let place = end.checked_sub(size)? & !0xfff;
        (place >= at.max(behind)).then_some(place)
    });
    places.next().map_or_else(
        || {
            BootError::refuse(format!(
                "the kernel takes memory up to {behind:#x}, and behind it the initrd ({} KiB) does not fit in {}{}",
                size / 1024,
                Size(memory.size()),
                memory.remedy()
            ))
        },
        Ok,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use solderless_model::boot::Program;

    const MIB: u64 = 1 << 20;

    fn memory(size: u64) -> Memory {
        Memory {
            start: 0,
            low: 0xa_0000,
            more: vec![(MIB, size - MIB)],
            windows: vec![(MIB, size - MIB, MIB), (0, 0xa_0000, 0)],
            ..Memory::default()
        }
    }

    /// The header of a kernel that runs at 16 MiB and takes 24 MiB there.
    fn image() -> Vec<u8> {
        let mut image = vec![0; 0x1000];
        for (at, size, value) in [
            (header::SETUP_SECTS, 1, 1),
            (header::BOOT_FLAG, 2, BOOT_FLAG),
            (header::JUMP, 1, 0x6a),
            (header::MAGIC, 4, MAGIC),
            (header::VERSION, 2, 0x20f),
            (header::LOADFLAGS, 1, LOADED_HIGH),
            (header::INITRD_ADDR_MAX, 4, 0x7fff_ffff),
            (header::KERNEL_ALIGNMENT, 4, 16 * MIB),
            (header::RELOCATABLE, 1, 1),
            (header::CMDLINE_SIZE, 4, 100),
            (header::PREF_ADDRESS, 8, 16 * MIB),
            (header::INIT_SIZE, 4, 24 * MIB),
        ] {
            image[at..at + size].copy_from_slice(&u64::to_le_bytes(value)[..size]);
        }
        image
    }

    fn lay_out(memory: &Memory, image: &[u8], append: &str, bits: u8) -> Result<Layout, String> {
        let start = Start {
            name: "k",
            program: Program {
                raw: Some(image),
                ..Program::default()
            },
            kernel: None,
            initrd: Some(5000),
            append,
            memory,
            console: None,
            setup: &[(0xcf8, 0x8000_0940)],
            big_endian: false,
            bits,
            tree: None,
            acpi: Some(0x1234),
        };
        Linux.lay_out(&start).map_err(|e| e.0)
    }

    #[test]
    fn a_zero_page_says_what_there_is() {
        let layout = lay_out(&memory(64 * MIB), &image(), "quiet", 32).unwrap();
        assert_eq!(layout.initrd, Some(64 * MIB - 0x2000));
        let [(kernel, code), (page_at, page), (line_at, line)] = &layout.loads[..] else {
            panic!("{:x?}", layout.loads);
        };
        assert_eq!((*kernel, code.len()), (MIB, 0x1000 - 1024));
        assert_eq!((*line_at, &line[..]), (COMMAND_LINE, &b"quiet\0"[..]));
        assert_eq!(*page_at, ZERO_PAGE);
        assert_eq!(layout.acpi, Some(0x9_e000));
        for (at, size, value) in [
            (header::MAGIC, 4, MAGIC),
            (header::TYPE_OF_LOADER, 1, 0xff),
            (header::RAMDISK_IMAGE, 4, 64 * MIB - 0x2000),
            (header::RAMDISK_SIZE, 4, 5000),
            (header::CMD_LINE_PTR, 4, COMMAND_LINE),
            (ACPI_RSDP, 8, 0x9_e000),
            (E820_ENTRIES, 1, 3),
            (E820_TABLE, 8, 0),
            (E820_TABLE + 8, 8, 0x9_e000),
            (E820_TABLE + 20, 8, 0x9_e000),
            (E820_TABLE + 28, 8, 0x2000),
            (E820_TABLE + 36, 4, 3),
            (E820_TABLE + 40, 8, MIB),
            (E820_TABLE + 48, 8, 63 * MIB),
            (E820_TABLE + 56, 4, 1),
        ] {
            assert_eq!(le(page, at, size), value, "{at:#x}");
        }
        let seed = Linux.arguments(0, &[], &"01".repeat(32), false);
        assert_eq!((seed.len(), le(&seed, 8, 4)), (48, 9));
    }

    #[test]
    fn what_cannot_be_started_is_refused() {
        let large = memory(64 * MIB);
        let changed = |at: usize, value: u8| {
            let mut image = image();
            image[at] = value;
            image
        };
        for (memory, image, append, bits, reason) in [
            (
                &large,
                changed(header::MAGIC, 0),
                "",
                32,
                "neither a bzImage",
            ),
            (
                &large,
                image()[..0x280].to_vec(),
                "",
                32,
                "neither a bzImage",
            ),
            (&large, image()[..0x400].to_vec(), "", 32, "cut short"),
            (&large, changed(header::VERSION, 2), "", 32, "older than"),
            (
                &large,
                changed(header::XLOADFLAGS, 1),
                "",
                32,
                "64-bit CPUs",
            ),
            (&large, image(), &"x".repeat(101), 32, "takes 100"),
            (
                &large,
                changed(header::PREF_ADDRESS + 4, 1),
                "",
                32,
                "broken",
            ),
            (
                &memory(39 * MIB),
                image(),
                "",
                32,
                "needs memory up to 0x2800000",
            ),
            (&memory(40 * MIB), image(), "", 32, "does not fit"),
        ] {
            let error = lay_out(memory, &image, append, bits).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
        let long = [(0x10000, 1)];
        assert!(super::super::enter(0, 0, &long).is_err());
        assert!(super::super::enter(0, 0, &[(1, 1); 400]).is_err());
    }
}

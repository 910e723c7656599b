//! Firmware in memory, such as OpenSBI, which starts a kernel in S mode.
//!
//! OpenSBI, docs/firmware/fw_dynamic.md and include/sbi/fw_dynamic.h: all harts enter the firmware with their number in a0, the address
//! of a device tree in a1 and that of a `struct fw_dynamic_info` in a2, which says where to go on. What is built to know that itself
//! (fw_jump, fw_payload) does not look at a2. Linux, Documentation/arch/riscv/boot.rst and boot-image-header.rst, for kernels.

use solderless_model::Size;
use solderless_model::boot::{BootError, Layout, Program, Protocol, Start, seed_bytes};

use super::{BEHIND, enter, long};

/// `OSBI`.
const MAGIC: u64 = 0x4942_534f;
const VERSION: u64 = 2;
/// S mode.
const NEXT_MODE: u64 = 1;
/// Whichever hart comes first boots.
const ANY_HART: u64 = u64::MAX;

/// The tree and the initial RAM disk are at multiples of these.
const TREE_ALIGN: u64 = 2 << 20;
const PAGE: u64 = 0x1000;
/// The tree ends below, so that a kernel of 32 bits reaches it, as QEMU has it.
const TREE_END: u64 = 0xc000_0000;
/// How much of the memory firmware may write behind the tree that it is given: it adds to it.
const TREE_ROOM: u64 = 64 << 10;

/// What the program's own firmware (`machines/rom/sbi`) takes of the memory; more than its image has.
const OWN_SIZE: u64 = 64 << 10;

/// The protocol.
#[derive(Debug)]
pub struct Sbi;

impl Protocol for Sbi {
    fn name(&self) -> &'static str {
        "sbi"
    }

    fn summary(&self) -> &'static str {
        "Firmware (--firmware) is in memory and entered by all harts in M mode as OpenSBI's fw_dynamic is, with a device tree; it starts the kernel (--kernel) in S mode. Where none is given, a small one of the program's own does that."
    }

    fn keys(&self) -> &'static [&'static str] {
        &["console"]
    }

    fn hands_over(&self) -> bool {
        true
    }

    fn takes_raw(&self) -> bool {
        true
    }

    fn firmware_in_memory(&self) -> bool {
        true
    }

    fn own_firmware(&self, bits: u8) -> Option<&'static [u8]> {
        Some(match bits {
            64 => include_bytes!("../../../../machines/rom/sbi-rv64.bin"),
            _ => include_bytes!("../../../../machines/rom/sbi-rv32.bin"),
        })
    }

    fn takes_tree(&self) -> bool {
        true
    }

    fn lay_out(&self, start: &Start<'_>) -> Result<Layout, BootError> {
        let memory = start.memory;
        let mut loads = Vec::new();
        let mut taken: Vec<(u64, u64)> = Vec::new();
        // As it is linked, or at the start of the memory.
        // OpenSBI tells the kernel itself that its memory is not for others.
        let own = start.program.raw.is_some() && start.program.raw == self.own_firmware(start.bits);
        let size = if own { OWN_SIZE } else { 0 };
        let firmware = place(&start.program, memory.start, size, &mut loads, &mut taken);
        let kernel = start.kernel.map(|kernel| {
            // The largest page of the page table's lowest level but one.
            let far = if start.bits == 64 { 2 << 20 } else { 4 << 20 };
            let header = kernel.raw.and_then(Header::find);
            let offset = header.as_ref().map_or(far, |h| h.text_offset);
            let size = header.map_or(0, |h| h.image_size);
            place(&kernel, memory.start + offset, size, &mut loads, &mut taken)
        });
        for (n, (at, size)) in taken.iter().enumerate() {
            memory.hold(*at, *size)?;
            let mut before = taken.iter().take(n);
            let over = |(other, len): &&(u64, u64)| at < &(other + len) && *other < at + size;
            if before.any(|piece| over(&piece)) {
                return BootError::refuse(
                    "kernel and firmware are made to lie at the same place in memory",
                );
            }
        }
        let behind = taken.iter().map(|(at, size)| at + size).max();
        let behind = behind.unwrap_or(memory.start);
        let end = memory.start + memory.low;
        let tree_size = start.tree.unwrap_or(0) + TREE_ROOM;
        let tree = end.min(TREE_END).saturating_sub(tree_size) / TREE_ALIGN * TREE_ALIGN;
        let initrd = start
            .initrd
            .map(|size| tree.saturating_sub(size) / PAGE * PAGE);
        if initrd.unwrap_or(tree) < behind {
            let initrd = match start.initrd {
                Some(size) => format!(", initrd ({} KiB)", size / 1024),
                None => String::new(),
            };
            return BootError::refuse(format!(
                "firmware and kernel ({} KiB){initrd} and a device tree do not fit in {} together",
                (behind - memory.start) / 1024,
                Size(memory.low),
            ));
        }
        let mut stub = enter(firmware, tree, start.bits);
        debug_assert_eq!(stub.len(), BEHIND);
        let info = [MAGIC, VERSION, kernel.unwrap_or(0), NEXT_MODE, 0, ANY_HART];
        stub.extend(info.into_iter().flat_map(|value| long(value, start.bits)));
        Ok(Layout {
            stub,
            initrd,
            loads,
            tree: Some(tree),
            reserved: own.then_some((firmware, size)).into_iter().collect(),
            ..Layout::default()
        })
    }

    /// The seed as a property of the tree has it: 32 bytes.
    fn arguments(&self, _: u32, _: &[String], seed: &str, _: bool) -> Vec<u8> {
        seed_bytes(seed)
    }
}

/// Where a program is entered. One that does not say where it lies is put at `raw_at`, and takes `size` bytes there if that is more than
/// it has.
fn place(
    program: &Program<'_>,
    raw_at: u64,
    size: u64,
    loads: &mut Vec<(u64, Vec<u8>)>,
    taken: &mut Vec<(u64, u64)>,
) -> u64 {
    if let Some(bytes) = program.raw {
        loads.push((raw_at, bytes.to_vec()));
        taken.push((raw_at, size.max(bytes.len() as u64)));
        return raw_at;
    }
    taken.extend(program.ranges);
    let holds = |(at, size): &(u64, u64)| (*at..at.saturating_add(*size)).contains(&program.entry);
    // A kernel's entry is a virtual address.
    let lowest = program.ranges.iter().map(|(at, _)| *at).min();
    match program.ranges.iter().any(holds) {
        true => program.entry,
        false => lowest.unwrap_or(program.entry),
    }
}

/// What the header of a kernel image (`Image`) says.
struct Header {
    text_offset: u64,
    image_size: u64,
}

impl Header {
    fn find(image: &[u8]) -> Option<Self> {
        let number = |at: usize| Some(u64::from_le_bytes(image.get(at..at + 8)?.try_into().ok()?));
        (image.get(56..60)? == b"RSC\x05").then_some(())?;
        // More than any kernel has is none.
        let sane = |value: &u64| *value < 1 << 40;
        Some(Self {
            text_offset: number(8).filter(sane)?,
            image_size: number(16).filter(sane)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use solderless_model::boot::Memory;

    use super::*;

    const MIB: u64 = 1 << 20;
    const BASE: u64 = 0x8000_0000;

    fn memory(low: u64) -> Memory {
        Memory {
            start: BASE,
            low,
            windows: vec![(BASE, low, 0)],
            ..Memory::default()
        }
    }

    fn start<'a>(memory: &'a Memory, firmware: &'a [u8], kernel: Option<Program<'a>>) -> Start<'a> {
        Start {
            name: "k",
            program: Program {
                raw: Some(firmware),
                ..Program::default()
            },
            kernel,
            initrd: None,
            append: "",
            memory,
            console: None,
            setup: &[],
            big_endian: false,
            bits: 64,
            tree: Some(3000),
            acpi: None,
        }
    }

    fn raw(bytes: &[u8]) -> Option<Program<'_>> {
        Some(Program {
            raw: Some(bytes),
            ..Program::default()
        })
    }

    /// The numbers of a stub, of 64 bits: where it goes, the tree, and the information for the firmware.
    fn numbers(layout: &Layout) -> Vec<u64> {
        let longs = layout.stub[super::super::START..].chunks_exact(8);
        longs
            .map(|long| u64::from_le_bytes(long.try_into().unwrap()))
            .collect()
    }

    #[test]
    fn firmware_is_told_where_the_kernel_is() {
        let memory = memory(128 * MIB);
        let layout = Sbi
            .lay_out(&start(&memory, b"firmware", raw(b"kernel")))
            .unwrap();
        let (kernel, tree) = (BASE + 2 * MIB, BASE + 126 * MIB);
        assert_eq!(
            numbers(&layout),
            [BASE, tree, MAGIC, VERSION, kernel, 1, 0, u64::MAX]
        );
        assert_eq!(layout.tree, Some(tree));
        let loads = [(BASE, b"firmware".to_vec()), (kernel, b"kernel".to_vec())];
        assert_eq!(layout.loads, loads);
        // A kernel image says itself how far from the start it lies, and an ELF file where.
        let mut image = vec![0; 64];
        image[8..16].copy_from_slice(&0x40_0000u64.to_le_bytes());
        image[16..24].copy_from_slice(&(16 * MIB).to_le_bytes());
        image[56..60].copy_from_slice(b"RSC\x05");
        let layout = Sbi.lay_out(&start(&memory, b"f", raw(&image))).unwrap();
        assert_eq!(numbers(&layout)[4], BASE + 4 * MIB);
        let elf = |entry| Program {
            raw: None,
            entry,
            ranges: &[(BASE + 8 * MIB, 0x1000)],
        };
        for (entry, expected) in [
            (BASE + 8 * MIB + 16, BASE + 8 * MIB + 16),
            (0xffff_ffff_8000_0000, BASE + 8 * MIB),
        ] {
            let layout = Sbi
                .lay_out(&start(&memory, b"f", Some(elf(entry))))
                .unwrap();
            assert_eq!(numbers(&layout)[4], expected);
        }
    }

    #[test]
    fn the_own_firmware_keeps_its_memory_for_itself() {
        let memory = memory(128 * MIB);
        for bits in [32, 64] {
            let own = Sbi.own_firmware(bits).unwrap();
            assert!((own.len() as u64) < OWN_SIZE);
            let start = Start {
                bits,
                ..start(&memory, own, raw(b"kernel"))
            };
            let layout = Sbi.lay_out(&start).unwrap();
            assert_eq!(layout.reserved, [(BASE, OWN_SIZE)]);
        }
        let other = Sbi.lay_out(&start(&memory, b"f", raw(b"k"))).unwrap();
        assert_eq!(other.reserved, []);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let memory = memory(32 * MIB);
        let large = vec![0; 3 << 20];
        let error = Sbi.lay_out(&start(&memory, &large, raw(b"k"))).unwrap_err();
        assert!(error.0.contains("the same place"), "{error}");
        let error = Sbi
            .lay_out(&start(&memory, b"f", raw(&[0; 31 << 20])))
            .unwrap_err();
        assert!(error.0.contains("needs memory up to"), "{error}");
        for (initrd, good) in [(27 * MIB, true), (29 * MIB, false)] {
            let start = Start {
                initrd: Some(initrd),
                ..start(&memory, b"f", raw(b"k"))
            };
            let layout = Sbi.lay_out(&start);
            assert_eq!(layout.is_ok(), good, "{layout:?}");
        }
    }

    #[test]
    fn a_seed_is_bytes() {
        let seed = "0123456789abcdef".repeat(4);
        let bytes = Sbi.arguments(0, &[], &seed, false);
        assert_eq!(bytes.len(), 32);
        assert_eq!(bytes[..4], [0x01, 0x23, 0x45, 0x67]);
    }
}

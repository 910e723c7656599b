//! YAMON's way to start a kernel (MIPS YAMON User's Manual, MD00008): argc, argv, envp and the memory's size in a0 to a3.

use solderless_model::boot::{BootError, Layout, Memory, Protocol, Start};

use super::assembler::{Assembler, reg};
use super::{KSEG0, KSEG1, word};

/// Where the environment block lies in main memory, and its parts (YAMON's place, as the Malta boards have it).
const BLOCK: u32 = 0x2000;
const BLOCK_POINTERS: u32 = 16;
const BLOCK_STRING: u32 = 256;
const BLOCK_STRINGS: u32 = BLOCK + 4 * BLOCK_POINTERS;
const BLOCK_SIZE: u32 = BLOCK_STRINGS - BLOCK + BLOCK_POINTERS * BLOCK_STRING;
/// An initrd ends more than 64 KiB below the top of low memory, and starts at a multiple of `INITRD_ALIGN`.
const INITRD_GAP: u64 = (64 << 10) + 1;
const INITRD_ALIGN: u64 = 64 << 10;
/// Where a kernel for Malta looks for the memory behind the first 256 MiB: as far from this address as that is from the
/// memory's start (Linux, arch/mips/mti-malta/malta-dtshim.c).
const HIGH: u64 = 0x8000_0000;
const HIGH_FROM: u64 = 256 << 20;

/// The protocol.
#[derive(Debug)]
pub struct Yamon;

impl Protocol for Yamon {
    fn name(&self) -> &'static str {
        "yamon"
    }

    fn summary(&self) -> &'static str {
        "MIPS YAMON: argc, argv, envp and memory size in a0 to a3 (MIPS YAMON User's Manual, MD00008)."
    }

    fn keys(&self) -> &'static [&'static str] {
        &["console", "setup"]
    }

    fn hands_over(&self) -> bool {
        true
    }

    fn physical(&self, virtual_address: u64, physical_address: u64) -> u64 {
        super::physical(virtual_address, physical_address)
    }

    fn lay_out(&self, start: &Start<'_>) -> Result<Layout, BootError> {
        let memory = start.memory;
        let mut command_line = start.append.to_owned();
        let place = |size| start.place_initrd(size, INITRD_GAP, INITRD_ALIGN);
        let initrd = start.initrd.map(place).transpose()?;
        if let Some((at, size)) = initrd.zip(start.initrd) {
            // Linux wants the kseg0 address sign-extended to 64 bits, whatever the kernel's width.
            let at = i64::from((KSEG0 | at as u32) as i32);
            command_line = format!("rd_start={at:#x} rd_size={size} {}", start.append);
        }
        // A bare-metal program may cover YAMON's place; the arguments then lie behind it.
        let usual = memory.start + u64::from(BLOCK);
        let at = match start.overlaps(usual, BLOCK_SIZE.into()) {
            true => start.end().next_multiple_of(0x1000),
            false => usual,
        };
        let size = u64::from(BLOCK_SIZE) + command_line.len() as u64;
        if at + size > memory.start + memory.low {
            return BootError::refuse("the kernel leaves no room for its arguments");
        }
        let strings = vec![
            start.name.to_owned(),
            command_line,
            "memsize".into(),
            memory.low.to_string(),
            "ememsize".into(),
            all(memory).to_string(),
            "modetty0".into(),
            "38400n8r".into(),
        ];
        Ok(Layout {
            stub: stub(start, at as u32),
            initrd,
            arguments: Some((at as u32, strings)),
            ..Layout::default()
        })
    }

    /// One table of pointers that is argv and, from its third entry on, envp; then the strings.
    fn arguments(&self, at: u32, strings: &[String], seed: &str, big_endian: bool) -> Vec<u8> {
        let strings = strings.iter().map(String::as_str).chain(["rngseed", seed]);
        let mut bytes = vec![0; BLOCK_SIZE as usize];
        let first = BLOCK_STRINGS - BLOCK;
        for (index, text) in (0..BLOCK_POINTERS).zip(strings) {
            let room = first + index * BLOCK_STRING;
            // A string too long for its place, with its terminator, goes behind the block.
            let offset = if text.len() < BLOCK_STRING as usize {
                room
            } else {
                bytes.len() as u32
            };
            let end = offset as usize + text.len() + 1;
            bytes.resize(bytes.len().max(end), 0);
            bytes[offset as usize..end - 1].copy_from_slice(text.as_bytes());
            let pointer = word(KSEG0 | at.wrapping_add(offset), big_endian);
            bytes[4 * index as usize..][..4].copy_from_slice(&pointer);
        }
        bytes
    }
}

/// All memory that the kernel can find: `ememsize`.
fn all(memory: &Memory) -> u64 {
    let Memory { start, low, .. } = *memory;
    low + match low {
        HIGH_FROM => memory.reach(start.saturating_add(HIGH + low), low),
        _ => 0,
    }
}

/// What stands at the reset vector with `--kernel`: it does what the board's firmware would have done, and jumps. YAMON's
/// call vectors at +0x500 are there for kernels that print through them.
fn stub(start: &Start<'_>, environment: u32) -> Vec<u8> {
    const NOTHING: usize = 0x560;
    const PRINT: usize = 0x568;
    const PRINT_COUNT: usize = 0x5b0;
    // Last, as a board can have any number of words to write.
    const START: usize = 0x600;
    let memory = start.memory;
    let mut code = Assembler::default();
    code.immediate(0x04, 0, 0, (START / 4 - 1) as u32); // b START
    code.nop();
    for (vector, target) in [
        (0x500, START),
        (0x504, PRINT_COUNT),
        (0x520, START),
        (0x52c, NOTHING),
        (0x534, PRINT),
        (0x538, NOTHING),
        (0x53c, NOTHING),
        (0x540, NOTHING),
        (0x544, NOTHING),
        (0x548, NOTHING),
        (0x54c, NOTHING),
        (0x550, NOTHING),
        (0x554, NOTHING),
    ] {
        code.at(vector);
        code.emit([0x9fc0_0000 | target as u32]);
    }
    code.at(NOTHING);
    code.return_zero();
    code.at(PRINT);
    print(&mut code, start.console, false);
    code.at(PRINT_COUNT);
    print(&mut code, start.console, true);
    code.at(START);
    code.li(reg::T0, 0x0040_0000);
    code.mtc0(reg::T0, 12); // Status: BEV alone, so that kuseg is mapped
    // `lui` and a store each: addresses are physical, reached uncached, values are byte lanes.
    for (at, value) in start.setup {
        let base = KSEG1 | *at as u32;
        let value = if start.big_endian {
            value.swap_bytes()
        } else {
            *value
        };
        code.immediate(0x0f, 0, reg::T0, base.wrapping_add(0x8000) >> 16);
        code.li(reg::T1, value);
        code.sw(reg::T1, reg::T0, base);
    }
    // Below the environment, where that has its usual place.
    code.li(
        reg::SP,
        KSEG0 | (memory.start as u32).wrapping_add(BLOCK - 0x40),
    );
    code.li(reg::A0, 2);
    code.li(reg::A1, KSEG0 | environment);
    code.li(reg::A2, (KSEG0 | environment) + 8);
    code.li(reg::A3, memory.low as u32);
    code.li(reg::T9, start.program.entry as u32);
    code.jalr(reg::T9);
    code.nop();
    code.immediate(0x04, 0, 0, 0xffff); // a program that returns stops here
    code.nop();
    code.bytes(start.big_endian)
}

/// Sends the bytes at a1 to the console: up to a zero byte, or a2 of them.
fn print(code: &mut Assembler, console: Option<u64>, counted: bool) {
    let Some(console) = console else {
        return code.return_zero();
    };
    let base = KSEG1 | console as u32;
    code.immediate(0x0f, 0, reg::T2, base.wrapping_add(0x8000) >> 16);
    if counted {
        code.immediate(0x04, reg::A2, reg::ZERO, 10); // beqz a2, end
        code.immediate(0x09, reg::A2, reg::A2, 0xffff); // addiu a2, -1
        code.immediate(0x24, reg::A1, reg::T0, 0); // lbu t0, (a1)
    } else {
        code.immediate(0x24, reg::A1, reg::T0, 0);
        code.immediate(0x04, reg::T0, reg::ZERO, 9); // beqz t0, end
        code.nop();
    }
    code.immediate(0x09, reg::A1, reg::A1, 1); // addiu a1, 1
    code.immediate(0x24, reg::T2, reg::T1, base + 5); // lbu t1, LSR
    code.immediate(0x0c, reg::T1, reg::T1, 0x40); // andi t1, TEMT
    code.immediate(0x04, reg::T1, reg::ZERO, (-3i32) as u32); // beqz t1, back to lbu
    code.nop();
    code.immediate(0x04, reg::ZERO, reg::ZERO, (-9i32) as u32); // b loop
    code.immediate(0x28, reg::T2, reg::T0, base); // sb t0, THR
    code.return_zero();
}

#[cfg(test)]
mod tests {
    use solderless_model::boot::Program;

    use super::*;

    /// Memory in one piece.
    fn memory(range: std::ops::Range<u64>) -> Memory {
        let size = range.end - range.start;
        Memory {
            start: range.start,
            low: size,
            more: Vec::new(),
            windows: vec![(range.start, size, 0)],
            remedy: Some("--ram".to_owned()),
            others: Vec::new(),
        }
    }

    /// A kernel of one segment in a memory.
    fn start<'a>(memory: &'a Memory, ranges: &'a [(u64, u64)]) -> Start<'a> {
        Start {
            name: "k",
            program: Program {
                raw: None,
                entry: u64::from(KSEG0) + ranges[0].0,
                ranges,
            },
            kernel: None,
            initrd: None,
            append: "console=ttyS0",
            memory,
            console: Some(0x1800_03f8),
            setup: &[(0x1400_0068, 0xdf); 60],
            big_endian: false,
            bits: 32,
            tree: None,
            acpi: None,
        }
    }

    fn text(block: &[u8], at: u32, index: usize) -> String {
        let pointer = u32::from_le_bytes(block[4 * index..][..4].try_into().unwrap());
        let text = &block[(pointer - KSEG0 - at) as usize..];
        let end = text.iter().position(|b| *b == 0).unwrap();
        String::from_utf8(text[..end].to_vec()).unwrap()
    }

    #[test]
    fn the_environment_has_yamons_form() {
        let memory = memory(0..256 << 20);
        let ranges = [(0x010f_0000, 4)];
        let start = Start {
            initrd: Some(27_038_261),
            ..start(&memory, &ranges)
        };
        let layout = Yamon.lay_out(&start).unwrap();
        assert_eq!(layout.initrd, Some(0x0e62_0000));
        // The call vectors lead to code, however much is written before the kernel starts.
        let stub =
            |at: u32| u32::from_le_bytes(layout.stub[at as usize..][..4].try_into().unwrap());
        for vector in [0x500, 0x504, 0x52c, 0x534, 0x554] {
            assert_eq!(stub(vector) & !0xfff, 0x9fc0_0000);
            assert_ne!(stub(stub(vector) & 0xfff), 0);
        }
        assert_eq!(stub(stub(0x52c) & 0xfff), 0x03e0_0008, "jr ra");
        let (at, strings) = layout.arguments.unwrap();
        assert_eq!(at, 0x2000);
        let block = Yamon.arguments(at, &strings, "01", false);
        for index in 0..10 {
            let pointer = u32::from_le_bytes(block[4 * index..][..4].try_into().unwrap());
            assert_eq!(pointer, 0x8000_2040 + 256 * index as u32);
        }
        let text = |index| text(&block, at, index);
        assert_eq!(
            text(1),
            "rd_start=0xffffffff8e620000 rd_size=27038261 console=ttyS0"
        );
        assert_eq!([text(2), text(3)], ["memsize", "268435456"]);
        assert_eq!(
            [text(6), text(7), text(8), text(9)],
            ["modetty0", "38400n8r", "rngseed", "01"]
        );
        assert_eq!(block[40..44], [0; 4]);
        let big = Yamon.arguments(at, &strings, "01", true);
        assert_eq!(big[..4], [0x80, 0, 0x20, 0x40]);
    }

    #[test]
    fn memory_can_start_anywhere() {
        let memory = memory(0x0800_0000..0x0a00_0000);
        let ranges = [(0x0810_0000, 4)];
        let start = Start {
            initrd: Some(100),
            ..start(&memory, &ranges)
        };
        let layout = Yamon.lay_out(&start).unwrap();
        assert_eq!(layout.initrd, Some(0x09fe_0000));
        assert_eq!(layout.arguments.unwrap().0, 0x0800_2000);
    }

    #[test]
    fn arguments_make_room_for_a_program_and_for_a_long_line() {
        let memory = memory(0..16 << 20);
        let ranges = [(0x1000, 0x10_0000)];
        let append = "x".repeat(1000);
        let start = Start {
            append: &append,
            ..start(&memory, &ranges)
        };
        let (at, strings) = Yamon.lay_out(&start).unwrap().arguments.unwrap();
        assert_eq!(at, 0x10_1000);
        let block = Yamon.arguments(at, &strings, "", false);
        assert_eq!(text(&block, at, 1), append);
        let ranges = [(0x1000, 0xff_e000)];
        let program = Program {
            ranges: &ranges,
            ..start.program
        };
        let start = Start { program, ..start };
        let error = Yamon.lay_out(&start).unwrap_err();
        assert!(error.0.contains("no room for its arguments"), "{error}");
    }

    #[test]
    fn what_does_not_fit_is_refused_with_the_way_out() {
        let memory = memory(0..256 << 20);
        let ranges = [(0x0f00_0000, 4)];
        let start = Start {
            initrd: Some(20 << 20),
            ..start(&memory, &ranges)
        };
        let error = Yamon.lay_out(&start).unwrap_err().0;
        assert!(
            error.contains("do not fit in 256MiB together (give it more with --ram)"),
            "{error}"
        );
    }

    #[test]
    fn memory_behind_the_first_256_mib_is_seen_2_gib_on() {
        const MIB: u64 = 1 << 20;
        let told = |low: u64, windows: &[(u64, u64, u64)]| {
            let memory = Memory {
                low: low * MIB,
                windows: windows
                    .iter()
                    .map(|(at, size, from)| (at * MIB, size * MIB, from * MIB))
                    .collect(),
                ..Memory::default()
            };
            all(&memory) / MIB
        };
        assert_eq!(told(256, &[(0, 256, 0), (2048, 1000, 0)]), 1000);
        assert_eq!(told(256, &[(0, 256, 0), (2048, 512, 0)]), 512);
        assert_eq!(told(256, &[(0, 256, 0)]), 256);
        // Behind 64 MiB no kernel looks anywhere else.
        assert_eq!(told(64, &[(0, 64, 0), (2048, 256, 0)]), 64);
    }
}

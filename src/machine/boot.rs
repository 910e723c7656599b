//! Images that a user boots: firmware for a flash memory, and kernels with the environment that firmware would
//! have given them.

use object::elf::{EM_MIPS, FileHeader32, PT_LOAD};
use object::read::elf::{ElfFile32, FileHeader, ProgramHeader};
use object::{Endianness, Object, ReadRef};
use solderless_model::memory::{PAGE, Ram};
use solderless_model::{BusError, Field, Parts, Reader, Shape, Size, State, StateError, Writer};

use crate::plan::{Boot, Bus, Plan, Window};
use crate::registry::Protocol;

/// Where the environment block lies in main memory, and its parts (YAMON's place, as the Malta boards have it).
const BLOCK: u32 = 0x2000;
const BLOCK_POINTERS: u32 = 16;
const BLOCK_STRING: u32 = 256;
const BLOCK_STRINGS: u32 = BLOCK + 4 * BLOCK_POINTERS;
const BLOCK_SIZE: u32 = BLOCK_STRINGS - BLOCK + BLOCK_POINTERS * BLOCK_STRING;
/// Cached and uncached views of low physical memory.
const KSEG0: u32 = 0x8000_0000;
const KSEG1: u32 = 0xa000_0000;
/// An initrd ends this far below the top of low memory at the latest, and starts at a multiple of `INITRD_ALIGN`.
const INITRD_GAP: u64 = 128 << 10;
const INITRD_ALIGN: u64 = 64 << 10;

/// An image cannot be booted on this board.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BootError(pub String);

fn refuse<T>(reason: impl Into<String>) -> Result<T, BootError> {
    Err(BootError(reason.into()))
}

/// A firmware image, in the byte order of the board's CPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firmware {
    /// The bytes for the flash memory.
    pub image: Vec<u8>,
    /// Its 32-bit words came in the other order, and were turned.
    pub swapped: bool,
}

/// Takes a firmware image as its build made it. A little-endian Malta image exists in two forms: in the CPU's order,
/// and with every word turned, as programmers of the real board's big-endian flash want it. Both are taken.
///
/// # Errors
/// The image is empty, an ELF file, or code for the other byte order.
pub fn firmware_image(bytes: &[u8], big_endian: bool) -> Result<Firmware, BootError> {
    if bytes.is_empty() {
        return refuse("the image is empty");
    }
    if bytes.starts_with(b"\x7fELF") {
        return refuse(
            "the image is an ELF file, not the content of a flash memory; boot it with --kernel, or take the .bin file",
        );
    }
    let turned: Vec<u8> = bytes
        .chunks(4)
        .flat_map(|w| w.iter().rev().copied())
        .collect();
    let (here, there) = (
        code_score(bytes, big_endian),
        code_score(&turned, big_endian),
    );
    // Only code that is clearly of the other order counts; anything else is the user's business.
    if there <= 2 * here + 8 {
        return Ok(Firmware {
            image: bytes.to_vec(),
            swapped: false,
        });
    }
    // Turned words make code of the other byte order, or code of this one whose text is scrambled.
    if text_score(bytes) > text_score(&turned) {
        let (is, wants) = if big_endian {
            ("little", "big")
        } else {
            ("big", "little")
        };
        return refuse(format!(
            "the image holds {is}-endian code, but the board's CPU is {wants}-endian"
        ));
    }
    let image = if bytes.len().is_multiple_of(4) {
        turned
    } else {
        return refuse("the image's words are turned, but its size is not a multiple of 4");
    };
    Ok(Firmware {
        image,
        swapped: true,
    })
}

/// How much the start of an image, and a sample of the rest, looks like MIPS code: common opcodes count.
fn code_score(bytes: &[u8], big_endian: bool) -> usize {
    let words = bytes.chunks_exact(4).filter_map(|c| c.try_into().ok());
    let word = |c: [u8; 4]| {
        if big_endian {
            u32::from_be_bytes(c)
        } else {
            u32::from_le_bytes(c)
        }
    };
    let common = |w: &u32| match w >> 26 {
        // lui, addiu, ori, lw, sw with registers that compilers use; j and jal into the boot segments
        0x0f => w >> 21 & 0x1f == 0,
        0x09 | 0x23 | 0x2b => matches!(w >> 21 & 0x1f, 2..=9 | 16..=23 | 28 | 29),
        0x10 => w & 0x7f8 == 0,
        0 => matches!(*w, 0x03e0_0008 | 0x0320_f809),
        _ => false,
    };
    words.map(word).filter(common).count()
}

/// How often pieces of English and of format strings occur; turning words tears them apart.
fn text_score(bytes: &[u8]) -> usize {
    const PIECES: [&[u8]; 12] = [
        b"the ", b"and ", b"for ", b"not ", b"tion", b"ing ", b"with", b"error", b"help", b"%08",
        b"%s ", b": %",
    ];
    PIECES
        .iter()
        .map(|piece| bytes.windows(piece.len()).filter(|w| w == piece).count())
        .sum()
}

/// A kernel with its initial RAM disk and arguments, laid out for a board.
#[derive(Debug, Clone, Default, State)]
pub struct Kernel {
    segments: Segments,
    big_endian: bool,
    #[state(skip = "in the flash memory since the machine was built")]
    stub: Vec<u8>,
    environment: Option<Environment>,
}

/// Physical addresses, and what is written there at a reset.
#[derive(Debug, Clone, Default)]
struct Segments(Vec<(u64, Ram)>);

impl State for Segments {
    fn shape(parts: &Parts) -> Shape {
        let fields = [
            Field::new("at", u64::shape(parts)),
            Field::new("content", Shape::Memory),
        ];
        Shape::Sequence(Box::new(Shape::structure("Segment", parts, fields)))
    }
    fn save(&self, out: &mut Writer) {
        (self.0.len() as u64).save(out);
        for (at, content) in &self.0 {
            at.save(out);
            content.save(out);
        }
    }
    fn load(&mut self, from: &mut Reader<'_>) -> Result<(), StateError> {
        let mut left = 0u64;
        left.load(from)?;
        self.0.clear();
        for _ in 0..left {
            let mut at = 0u64;
            at.load(from)?;
            self.0.push((at, from.block()?));
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Default, State)]
struct Environment {
    at: u32,
    strings: Vec<String>,
    /// The value of `rngseed`: fixed, or drawn anew at every reset.
    seed: Option<String>,
}

/// What a user asked to boot.
#[derive(Debug, Clone, Copy)]
pub struct KernelFiles<'a, R> {
    /// Its name as the user gave it.
    pub name: &'a str,
    /// The ELF file, of which only what is loaded is read.
    pub image: R,
    /// The initial RAM disk.
    pub initrd: Option<&'a [u8]>,
    /// The command line.
    pub append: &'a str,
    /// The kernel's random seed is the same in every run.
    pub fixed_seed: bool,
}

/// The main memory as a kernel is told of it. Sizes are bytes.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// Physical address of its start.
    pub start: u64,
    /// How much follows in one piece, and is for the kernel: `memsize`.
    pub low: u64,
    /// All that the kernel can find: `ememsize`.
    pub all: u64,
    /// How whoever runs the board gives it more in one piece, where that can be.
    pub remedy: Option<String>,
    /// What else is on the bus: first and last address, and a phrase about it.
    pub others: Vec<(u64, u64, String)>,
}

/// Where a kernel for Malta looks for the memory behind the first 256 MiB: as far from this address as that is from the
/// memory's start (Linux, arch/mips/mti-malta/malta-dtshim.c).
const HIGH: u64 = 0x8000_0000;
const HIGH_FROM: u64 = 256 << 20;

impl Memory {
    /// The main memory of a board that can boot a kernel.
    pub fn of(plan: &Plan, boot: &Boot) -> Self {
        let memory = &plan.devices[boot.memory];
        let seen: Vec<&Window> = memory
            .windows
            .iter()
            .filter(|w| w.region.0 == 0 && w.cpu.is_none_or(|cpu| cpu == boot.cpu))
            .collect();
        let starts = seen.iter().filter(|w| w.offset == 0);
        let start = starts.map(|w| w.at).min().unwrap_or(0);
        // How much from an offset in the memory on is seen in one piece from an address on.
        let reach = |at: u64, offset: u64| {
            let mut len = 0;
            let next = |len: u64| {
                let shows = |w: &&&Window| {
                    let into = at.saturating_add(len).checked_sub(w.at);
                    into.is_some_and(|into| into < w.size && w.offset + into == offset + len)
                };
                seen.iter()
                    .find(shows)
                    .map(|w| w.at.saturating_add(w.size) - at)
            };
            while let Some(further) = next(len) {
                len = further;
            }
            len
        };
        let low = reach(start, 0).min(boot.low_memory);
        let high = match low {
            HIGH_FROM => reach(start.saturating_add(HIGH + low), low),
            _ => 0,
        };
        let size = memory.interface.regions.first().map_or(0, |r| r.size);
        let remedy = match plan.params.iter().any(|(name, _)| name == "ram") {
            true => "--ram".to_owned(),
            false => format!("--set {}.size=…", memory.path),
        };
        let others = plan.devices.iter().enumerate();
        let others = others.filter(|(index, device)| {
            *index != boot.memory && device.seat.is_some_and(|seat| seat.bus == Bus::System)
        });
        let others = others.flat_map(|(_, device)| {
            let content = match device.backends.contains(&Some(boot.firmware)) {
                true => ", whose content is given with --firmware, as a .bin file",
                false => "",
            };
            let what = format!("`{}`{content}", device.path);
            let windows = device.windows.iter();
            windows.map(move |w| (w.at, w.at + (w.size - 1), what.clone()))
        });
        Self {
            start,
            low,
            all: low + high,
            remedy: (low == size && low < boot.low_memory).then_some(remedy),
            others: others.collect(),
        }
    }

    /// Refuses a piece of a kernel that does not lie in it.
    fn hold(&self, at: u64, size: u64) -> Result<(), BootError> {
        let end = at.saturating_add(size);
        if at >= self.start && end <= self.start + self.low {
            return Ok(());
        }
        let has = format!("{} from {:#x} on", Size(self.low), self.start);
        let mut others = self.others.iter();
        if let Some((.., what)) = others.find(|(first, last, _)| (*first..=*last).contains(&at)) {
            return refuse(format!(
                "the kernel is made to lie at {at:#x}, but the board's main memory is {has}; at {at:#x} is {what}"
            ));
        }
        refuse(match at < self.start {
            true => format!("the kernel needs memory at {at:#x}, but the board has {has}"),
            false => format!(
                "the kernel needs memory up to {end:#x}, but the board has {has}{}",
                self.remedy()
            ),
        })
    }

    fn remedy(&self) -> String {
        match &self.remedy {
            Some(option) => format!(" (give it more with {option})"),
            None => String::new(),
        }
    }
}

impl Kernel {
    /// Lays out a kernel for a board with this main memory.
    ///
    /// # Errors
    /// The image is no MIPS ELF file of the board's byte order, or does not fit the memory.
    pub fn new<'a>(
        files: KernelFiles<'a, impl ReadRef<'a>>,
        boot: &Boot,
        memory: &Memory,
        big_endian: bool,
    ) -> Result<Self, BootError> {
        let Memory { start, low, .. } = *memory;
        let elf = Elf::parse(files.image, big_endian)?;
        for (at, size) in &elf.ranges {
            memory.hold(*at, *size)?;
        }
        // Only now is it known that the sizes in the file are sane.
        let mut segments = Segments::default();
        for ((at, bytes), (_, size)) in elf.segments.into_iter().zip(&elf.ranges) {
            segments.0.push((at, block(bytes, *size)?));
        }
        if boot.protocol == Protocol::None {
            if files.initrd.is_some() || !files.append.is_empty() {
                return refuse(
                    "this board hands nothing to a kernel: build the initial RAM disk and the command line into it",
                );
            }
            return Ok(Self {
                segments,
                big_endian,
                stub: jump(elf.entry, big_endian),
                environment: None,
            });
        }
        let end = elf
            .ranges
            .iter()
            .map(|(at, size)| at + size)
            .max()
            .unwrap_or(start);
        let mut command_line = files.append.to_owned();
        if let Some(initrd) = files.initrd {
            let size = initrd.len() as u64;
            if size == 0 {
                return refuse("the initial RAM disk is empty");
            }
            let top = (start + low)
                .saturating_sub(size + INITRD_GAP)
                .next_multiple_of(INITRD_ALIGN);
            if top < end {
                return refuse(format!(
                    "kernel ({} KiB) and initrd ({} KiB) do not fit in {} together{}",
                    (end - start) / 1024,
                    size / 1024,
                    Size(low),
                    memory.remedy()
                ));
            }
            // Linux wants the kseg0 address sign-extended to 64 bits, whatever the kernel's width.
            let start = i64::from((KSEG0 | top as u32) as i32);
            command_line = format!("rd_start={start:#x} rd_size={size} {}", files.append);
            segments.0.push((top, block(initrd, size)?));
        }
        let overlaps = |block: u64| {
            elf.ranges
                .iter()
                .any(|(at, size)| block < at + size && *at < block + u64::from(BLOCK_SIZE))
        };
        // A bare-metal program may cover YAMON's place; the arguments then lie behind it.
        let block = start + u64::from(BLOCK);
        let at = if overlaps(block) {
            end.next_multiple_of(0x1000)
        } else {
            block
        };
        if at + u64::from(BLOCK_SIZE) + command_line.len() as u64 > start + low {
            return refuse("the kernel leaves no room for its arguments");
        }
        let strings = vec![
            files.name.to_owned(),
            command_line,
            "memsize".into(),
            low.to_string(),
            "ememsize".into(),
            memory.all.to_string(),
            "modetty0".into(),
            "38400n8r".into(),
        ];
        let seed = files.fixed_seed.then(|| "0123456789abcdef".repeat(4));
        let environment = Environment {
            at: at as u32,
            strings,
            seed,
        };
        let stub = stub(boot, elf.entry, environment.at, memory, big_endian);
        Ok(Self {
            segments,
            big_endian,
            stub,
            environment: Some(environment),
        })
    }

    /// The content for the board's firmware slot: what runs at the reset vector.
    pub fn firmware(&self) -> Vec<u8> {
        self.stub.clone()
    }

    /// Writes everything into memory, as after a reset: `put` takes a physical address and bytes.
    ///
    /// # Errors
    /// Where `put` found no memory.
    pub(super) fn put(
        &self,
        mut put: impl FnMut(u64, &[u8]) -> Result<(), BusError>,
    ) -> Result<(), u64> {
        let mut page = [0; PAGE as usize];
        for (at, content) in &self.segments.0 {
            for offset in (0..content.size()).step_by(page.len()) {
                let piece = &mut page[..(content.size() - offset).min(PAGE) as usize];
                let here = at.saturating_add(offset);
                content
                    .read(offset, piece)
                    .map_err(|_| BusError)
                    .and_then(|()| put(here, piece))
                    .map_err(|_| here)?;
            }
        }
        let Some(environment) = &self.environment else {
            return Ok(());
        };
        let at = u64::from(environment.at);
        put(at, &environment.block(self.big_endian)).map_err(|_| at)
    }
}

/// Memory of this size that starts with these bytes.
fn block(bytes: &[u8], size: u64) -> Result<Ram, BootError> {
    let block = Ram::new(size).map_err(|e| BootError(e.to_string()))?;
    match block.write(0, bytes) {
        Ok(()) => Ok(block),
        Err(e) => refuse(e.to_string()),
    }
}

impl Environment {
    /// One table of pointers that is argv and, from its third entry on, envp; then the strings.
    fn block(&self, big_endian: bool) -> Vec<u8> {
        let seed = self.seed.clone().unwrap_or_else(random_seed);
        let mut strings: Vec<&str> = self.strings.iter().map(String::as_str).collect();
        strings.extend(["rngseed", &seed]);
        let mut bytes = vec![0; BLOCK_SIZE as usize];
        let first = BLOCK_STRINGS - BLOCK;
        for (index, text) in (0u32..).zip(&strings) {
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
            let pointer = word(KSEG0 | (self.at + offset), big_endian);
            bytes[4 * index as usize..][..4].copy_from_slice(&pointer);
        }
        bytes
    }
}

fn random_seed() -> String {
    let mut bytes = [0u8; 32];
    if let Ok(mut file) = std::fs::File::open("/dev/urandom") {
        // Without entropy the guest boots all the same, with a poor seed.
        let _ = std::io::Read::read_exact(&mut file, &mut bytes);
    }
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn word(value: u32, big_endian: bool) -> [u8; 4] {
    if big_endian {
        value.to_be_bytes()
    } else {
        value.to_le_bytes()
    }
}

struct Elf<'a> {
    entry: u32,
    /// Physical address and bytes of what the file holds.
    segments: Vec<(u64, &'a [u8])>,
    /// Physical address and size of what is in memory, zero-filled parts included.
    ranges: Vec<(u64, u64)>,
}

impl<'a> Elf<'a> {
    fn parse(image: impl ReadRef<'a>, big_endian: bool) -> Result<Self, BootError> {
        let start = image.len().map_or(0, |len| len.min(5));
        let what = match image.read_bytes_at(0, start).unwrap_or_default() {
            [0x7f, b'E', b'L', b'F', 1] => None,
            [0x7f, b'E', b'L', b'F', 2] => Some("a 64-bit ELF file, but the board's CPU is 32-bit"),
            [0x1f, 0x8b, ..] => Some("compressed with gzip; unpack it first"),
            [0x27, 0x05, 0x19, 0x56, ..] => {
                Some("a U-Boot image (uImage); take the ELF file of the same build")
            }
            [] => Some("empty"),
            _ => Some("not an ELF file"),
        };
        if let Some(what) = what {
            return refuse(format!("the kernel image is {what}"));
        }
        let broken =
            |e: object::Error| BootError(format!("the kernel image is a broken ELF file: {e}"));
        let header = FileHeader32::<Endianness>::parse(image).map_err(broken)?;
        let endian = header.endian().map_err(broken)?;
        if header.e_machine(endian) != EM_MIPS {
            let file = ElfFile32::<Endianness, _>::parse(image).map_err(broken)?;
            return refuse(format!(
                "the kernel image is for {:?}, but the board's CPU is MIPS",
                file.architecture()
            ));
        }
        let name = |big| if big { "big-endian" } else { "little-endian" };
        let is_big = endian == Endianness::Big;
        if is_big != big_endian {
            return refuse(format!(
                "the kernel image is {}, but the board's CPU is {}",
                name(is_big),
                name(big_endian)
            ));
        }
        let (mut segments, mut ranges) = (Vec::new(), Vec::new());
        for header in header.program_headers(endian, image).map_err(broken)? {
            if header.p_type(endian) != PT_LOAD || header.p_memsz(endian) == 0 {
                continue;
            }
            let Ok(data) = header.data(endian, image) else {
                return refuse(
                    "the kernel image is cut short: a segment lies beyond the end of the file",
                );
            };
            let va = header.p_vaddr(endian);
            let unmapped = (KSEG0..0xc000_0000).contains(&va);
            let at = u64::from(if unmapped {
                va & !(KSEG0 | KSEG1)
            } else {
                header.p_paddr(endian)
            });
            ranges.push((at, u64::from(header.p_memsz(endian)).max(data.len() as u64)));
            segments.push((at, data));
        }
        if segments.is_empty() {
            return refuse("the kernel image has nothing to load");
        }
        Ok(Self {
            entry: header.e_entry(endian),
            segments,
            ranges,
        })
    }
}

/// Registers by their numbers in the o32 convention.
mod reg {
    pub const ZERO: u32 = 0;
    pub const V0: u32 = 2;
    pub const A0: u32 = 4;
    pub const A1: u32 = 5;
    pub const A2: u32 = 6;
    pub const A3: u32 = 7;
    pub const T0: u32 = 8;
    pub const T1: u32 = 9;
    pub const T2: u32 = 10;
    pub const T9: u32 = 25;
    pub const K0: u32 = 26;
    pub const SP: u32 = 29;
    pub const RA: u32 = 31;
}

/// Instruction words, by offset from the reset vector.
struct Assembler {
    words: Vec<u32>,
}

impl Assembler {
    fn at(&mut self, offset: usize) {
        self.words.resize(self.words.len().max(offset / 4), 0);
    }
    fn emit(&mut self, words: impl IntoIterator<Item = u32>) {
        self.words.extend(words);
    }
    fn immediate(&mut self, op: u32, rs: u32, rt: u32, value: u32) {
        self.emit([op << 26 | rs << 21 | rt << 16 | value & 0xffff]);
    }
    fn li(&mut self, rt: u32, value: u32) {
        self.immediate(0x0f, 0, rt, value >> 16);
        self.immediate(0x0d, rt, rt, value);
    }
    fn sw(&mut self, rt: u32, base: u32, offset: u32) {
        self.immediate(0x2b, base, rt, offset);
    }
    fn mtc0(&mut self, rt: u32, rd: u32) {
        self.emit([0x10 << 26 | 4 << 21 | rt << 16 | rd << 11]);
    }
    fn jr(&mut self, rs: u32) {
        self.emit([rs << 21 | 8]);
    }
    fn jalr(&mut self, rs: u32) {
        self.emit([rs << 21 | reg::RA << 11 | 9]);
    }
    fn nop(&mut self) {
        self.emit([0]);
    }
    /// Sends the bytes at a1 to the console: up to a zero byte, or a2 of them.
    fn print(&mut self, console: Option<u64>, counted: bool) {
        let Some(console) = console else {
            return self.return_zero();
        };
        let base = KSEG1 | console as u32;
        self.immediate(0x0f, 0, reg::T2, base.wrapping_add(0x8000) >> 16);
        if counted {
            self.immediate(0x04, reg::A2, reg::ZERO, 10); // beqz a2, end
            self.immediate(0x09, reg::A2, reg::A2, 0xffff); // addiu a2, -1
            self.immediate(0x24, reg::A1, reg::T0, 0); // lbu t0, (a1)
        } else {
            self.immediate(0x24, reg::A1, reg::T0, 0);
            self.immediate(0x04, reg::T0, reg::ZERO, 9); // beqz t0, end
            self.nop();
        }
        self.immediate(0x09, reg::A1, reg::A1, 1); // addiu a1, 1
        self.immediate(0x24, reg::T2, reg::T1, base + 5); // lbu t1, LSR
        self.immediate(0x0c, reg::T1, reg::T1, 0x40); // andi t1, TEMT
        self.immediate(0x04, reg::T1, reg::ZERO, (-3i32) as u32); // beqz t1, back to lbu
        self.nop();
        self.immediate(0x04, reg::ZERO, reg::ZERO, (-9i32) as u32); // b loop
        self.immediate(0x28, reg::T2, reg::T0, base); // sb t0, THR
        self.return_zero();
    }
    fn bytes(&self, big_endian: bool) -> Vec<u8> {
        let words = self.words.iter();
        words.flat_map(|w| word(*w, big_endian)).collect()
    }
    fn return_zero(&mut self) {
        self.jr(reg::RA);
        self.emit([reg::V0 << 11 | 0x25]); // or v0, zero, zero
    }
}

/// What stands at the reset vector with `--kernel`: it does what the board's firmware would have done, and jumps. YAMON's
/// call vectors at +0x500 are there for kernels that print through them.
fn stub(boot: &Boot, entry: u32, environment: u32, memory: &Memory, big_endian: bool) -> Vec<u8> {
    const START: usize = 0x580;
    const NOTHING: usize = 0x800;
    const PRINT: usize = 0x808;
    const PRINT_COUNT: usize = 0x850;
    let mut code = Assembler { words: Vec::new() };
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
    code.at(START);
    code.li(reg::T0, 0x0040_0000);
    code.mtc0(reg::T0, 12); // Status: BEV alone, so that kuseg is mapped
    // `lui` and a store each: addresses are physical, reached uncached, values are byte lanes.
    for (at, value) in &boot.setup {
        let base = KSEG1 | *at as u32;
        let value = if big_endian {
            value.swap_bytes()
        } else {
            *value
        };
        code.immediate(0x0f, 0, reg::T0, base.wrapping_add(0x8000) >> 16);
        code.li(reg::T1, value);
        code.sw(reg::T1, reg::T0, base);
    }
    // Below the environment, where that has its usual place.
    code.li(reg::SP, KSEG0 | (memory.start as u32 + BLOCK - 0x40));
    code.li(reg::A0, 2);
    code.li(reg::A1, KSEG0 | environment);
    code.li(reg::A2, (KSEG0 | environment) + 8);
    code.li(reg::A3, memory.low as u32);
    code.li(reg::T9, entry);
    code.jalr(reg::T9);
    code.nop();
    code.immediate(0x04, 0, 0, 0xffff); // a program that returns stops here
    code.nop();
    code.at(NOTHING);
    code.return_zero();
    code.at(PRINT);
    code.print(boot.console, false);
    code.at(PRINT_COUNT);
    code.print(boot.console, true);
    code.bytes(big_endian)
}

/// What stands at the reset vector if nothing is handed over.
fn jump(entry: u32, big_endian: bool) -> Vec<u8> {
    let mut code = Assembler { words: Vec::new() };
    code.li(reg::K0, entry);
    code.jr(reg::K0);
    code.nop();
    code.bytes(big_endian)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boot() -> Boot {
        Boot {
            firmware: 0,
            memory: 0,
            cpu: 0,
            protocol: Protocol::Yamon,
            low_memory: 256 << 20,
            console: Some(0x1800_03f8),
            setup: vec![(0x1400_0068, 0xdf); 60],
        }
    }

    /// Memory in one piece, on a board with `ram` as its parameter.
    fn memory(range: std::ops::Range<u64>) -> Memory {
        let size = range.end - range.start;
        Memory {
            start: range.start,
            low: size,
            all: size,
            remedy: Some("--ram".to_owned()),
            others: vec![(0x1e00_0000, 0x1e3f_ffff, "`flash`".to_owned())],
        }
    }

    /// A minimal ELF32 file: one segment of `memory` bytes at `va` with four bytes of content.
    fn elf(class: u8, data: u8, machine: u16, va: u32, memory: u32) -> Vec<u8> {
        let half = |v: u16| {
            if data == 2 {
                v.to_be_bytes()
            } else {
                v.to_le_bytes()
            }
        };
        let long = |v: u32| word(v, data == 2);
        let mut out = vec![0x7f, b'E', b'L', b'F', class, data, 1];
        out.resize(16, 0);
        out.extend([half(2), half(machine)].concat());
        out.extend([long(1), long(va), long(52), long(0), long(0)].concat());
        out.extend([half(52), half(32), half(1), half(40), half(0), half(0)].concat());
        out.extend(
            [
                long(1),
                long(84),
                long(va),
                long(va),
                long(4),
                long(memory),
                long(7),
                long(4),
            ]
            .concat(),
        );
        out.extend([1, 2, 3, 4]);
        out
    }

    fn kernel(image: &[u8], initrd: Option<&[u8]>) -> Result<Kernel, String> {
        let files = KernelFiles {
            name: "k",
            image,
            initrd,
            append: "console=ttyS0",
            fixed_seed: true,
        };
        Kernel::new(files, &boot(), &memory(0..256 << 20), false).map_err(|e| e.0)
    }

    fn written(kernel: &Kernel) -> Vec<(u64, Vec<u8>)> {
        let mut pieces = Vec::new();
        let put = |at, bytes: &[u8]| {
            pieces.push((at, bytes.to_vec()));
            Ok(())
        };
        kernel.put(put).unwrap();
        pieces
    }

    #[test]
    fn bad_kernels_are_refused_with_a_reason() {
        for (image, reason) in [
            (vec![], "empty"),
            (b"#!/bin/sh".to_vec(), "not an ELF file"),
            (vec![0x1f, 0x8b, 8], "gzip"),
            (elf(2, 1, 8, KSEG0, 4), "64-bit"),
            (elf(1, 1, 3, KSEG0, 4), "I386"),
            (elf(1, 2, 8, KSEG0, 4), "big-endian"),
            (elf(1, 1, 8, KSEG0, 4)[..85].to_vec(), "cut short"),
            (elf(1, 1, 8, KSEG0, 4)[..60].to_vec(), "broken ELF"),
            (elf(1, 1, 8, KSEG0 | 0x0fff_fffd, 4), "--ram"),
            (
                elf(1, 1, 8, KSEG1 | 0x1e00_0000, 4),
                "0x1e000000 is `flash`",
            ),
        ] {
            let error = kernel(&image, None).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
        let error = kernel(
            &elf(1, 1, 8, KSEG0 | 0x0f00_0000, 4),
            Some(&vec![0; 20 << 20]),
        )
        .unwrap_err();
        assert!(error.contains("do not fit"), "{error}");
    }

    #[test]
    fn the_environment_has_yamons_form() {
        let initrd = vec![0; 27_038_261];
        let kernel = kernel(&elf(1, 1, 8, 0x810f_0000, 4), Some(&initrd)).unwrap();
        let written = written(&kernel);
        let [(first, _), (second, _), .., (last, block)] = &written[..] else {
            panic!("{} pieces", written.len());
        };
        assert_eq!((*first, *second, *last), (0x010f_0000, 0x0e62_0000, 0x2000));
        let text = |index: usize| {
            let pointer = u32::from_le_bytes(block[4 * index..][..4].try_into().unwrap());
            assert_eq!(pointer, 0x8000_2040 + 256 * index as u32);
            let start = (pointer - 0x8000_2000) as usize;
            let bytes = &block[start..];
            String::from_utf8_lossy(&bytes[..bytes.iter().position(|b| *b == 0).unwrap()])
                .into_owned()
        };
        assert_eq!(
            text(1),
            "rd_start=0xffffffff8e620000 rd_size=27038261 console=ttyS0"
        );
        assert_eq!([text(2), text(3)], ["memsize", "268435456"]);
        assert_eq!(
            [text(6), text(7), text(8)],
            ["modetty0", "38400n8r", "rngseed"]
        );
        assert_eq!(block[40..44], [0; 4]);
    }

    #[test]
    fn without_a_protocol_nothing_is_handed_over() {
        let image = elf(1, 1, 8, 0x1000, 4);
        let boot = Boot {
            protocol: Protocol::None,
            ..boot()
        };
        let kernel = |append| {
            let files = KernelFiles {
                name: "k",
                image: &image[..],
                initrd: None,
                append,
                fixed_seed: true,
            };
            Kernel::new(files, &boot, &memory(0..1 << 20), false)
        };
        let good = kernel("").unwrap();
        assert_eq!(written(&good), [(0x1000, vec![1, 2, 3, 4])]);
        assert_eq!(good.firmware().len(), 16);
        assert!(kernel("x").unwrap_err().0.contains("hands nothing"));
    }

    #[test]
    fn memory_can_start_anywhere() {
        let image = elf(1, 1, 8, 0x8810_0000, 4);
        let initrd = [5; 100];
        let kernel = |range| {
            let files = KernelFiles {
                name: "k",
                image: &image[..],
                initrd: Some(&initrd),
                append: "",
                fixed_seed: true,
            };
            Kernel::new(files, &boot(), &memory(range), false).map_err(|e| e.0)
        };
        let good = kernel(0x0800_0000..0x0a00_0000).unwrap();
        let at: Vec<u64> = written(&good).iter().map(|(at, _)| *at).collect();
        assert_eq!(at, [0x0810_0000, 0x09fe_0000, 0x0800_2000]);
        for (range, reason) in [
            (0x0900_0000..0x0a00_0000, "has 16MiB from 0x9000000"),
            (0x0800_0000..0x0810_0000, "1MiB from 0x8000000 on"),
            (0..0x0810_0000, "has 129MiB from 0x0 on"),
        ] {
            let error = kernel(range).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn a_kernel_is_told_of_memory_that_it_finds() {
        const MIB: u64 = 1 << 20;
        let told = |text: &str, ram: &str| {
            let text = format!("[board]\nname = \"b\"\nextends = \"malta\"\n{text}");
            let options = crate::compose::Options {
                set: vec![("param.ram".to_owned(), ram.to_owned())],
                ..Default::default()
            };
            let loaded = crate::compose::open_text("b.toml", &text, &options).unwrap();
            let memory = Memory::of(&loaded.plan, loaded.plan.boot.as_ref().unwrap());
            assert_eq!(memory.start, 0);
            (memory.low / MIB, memory.all / MIB, memory.remedy)
        };
        let more = || Some("--ram".to_owned());
        let map = |windows: &str| format!("[dev.ram]\nmap = [{windows}]\n");
        assert_eq!(told("", "64MiB"), (64, 64, more()));
        assert_eq!(told("", "256MiB"), (256, 256, None));
        assert_eq!(told("", "1000MiB"), (256, 1000, None));
        // Behind 64 MiB no kernel looks anywhere else.
        let first = r#"{ at = "sys:0", limit = "64MiB" }, { at = "sys:0x80000000" }"#;
        assert_eq!(told(&map(first), "256MiB"), (64, 64, None));
        let low = "[boot]\nlow-memory = \"64MiB\"\n";
        assert_eq!(told(low, "256MiB"), (64, 64, None));
        // Two windows that follow each other are one piece.
        let two = r#"{ at = "sys:0", limit = "64MiB" }, { at = "sys:0x4000000", offset = "64MiB", limit = "64MiB" }"#;
        assert_eq!(told(&map(two), "256MiB"), (128, 128, None));
        // What is not where a kernel looks is not told of.
        let alone = r#"{ at = "sys:0", limit = "256MiB" }"#;
        assert_eq!(told(&map(alone), "1GiB"), (256, 256, None));
        let part =
            r#"{ at = "sys:0", limit = "256MiB" }, { at = "sys:0x80000000", limit = "512MiB" }"#;
        assert_eq!(told(&map(part), "1GiB"), (256, 512, None));
    }

    #[test]
    fn arguments_make_room_for_a_program_and_for_a_long_line() {
        let image = elf(1, 1, 8, KSEG0 | 0x1000, 0x10_0000);
        let append = "x".repeat(1000);
        let files = KernelFiles {
            name: "k",
            image: &image[..],
            initrd: None,
            append: &append,
            fixed_seed: true,
        };
        let kernel = Kernel::new(files, &boot(), &memory(0..16 << 20), false).unwrap();
        let (at, block) = written(&kernel).pop().unwrap();
        assert_eq!(at, 0x10_1000);
        let pointer = u32::from_le_bytes(block[4..8].try_into().unwrap());
        assert_eq!(
            &block[(pointer - 0x8010_1000) as usize..][..1001],
            format!("{append}\0").as_bytes()
        );
    }

    #[test]
    fn firmware_is_taken_in_either_word_order() {
        let code: Vec<u8> = (0..64u32)
            .flat_map(|i| [0x3c08_1234 + i, 0x2508_0001, 0x8fbf_0010, 0x03e0_0008])
            .flat_map(u32::to_le_bytes)
            .chain(*b"type help for the list of commands and their meaning now\0\0\0\0")
            .collect();
        let turned: Vec<u8> = code
            .chunks(4)
            .flat_map(|w| w.iter().rev().copied())
            .collect();
        let big: Vec<u8> = turned[..1024]
            .iter()
            .chain(&code[1024..])
            .copied()
            .collect();
        assert_eq!(
            firmware_image(&code, false).unwrap(),
            Firmware {
                image: code.clone(),
                swapped: false
            }
        );
        assert_eq!(
            firmware_image(&turned, false).unwrap(),
            Firmware {
                image: code,
                swapped: true
            }
        );
        assert!(
            firmware_image(&big, false)
                .unwrap_err()
                .0
                .contains("big-endian code")
        );
        assert!(!firmware_image(&big, true).unwrap().swapped);
        assert!(firmware_image(b"", false).is_err());
        assert!(
            firmware_image(b"\x7fELF....", false)
                .unwrap_err()
                .0
                .contains("--kernel")
        );
    }
}

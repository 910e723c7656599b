//! Images that a user boots: firmware for a memory, and kernels with what firmware would have given them. What is in them for a
//! CPU, and how a kernel of it is started, is the matter of the CPU's crate ([`Architecture`], [`Protocol`]).

use object::elf::PT_LOAD;
use object::read::elf::{ElfFile, FileHeader, ProgramHeader};
use object::{Endianness, Object, ReadRef};
use solderless_model::boot::{Architecture, BootError, Memory, Program, Protocol, Start};
use solderless_model::memory::{PAGE, Ram};
use solderless_model::{
    BusError, Cpu, Describe, Describer, Persist, Reader, Space, State, StateError, Type, Writer,
};

use crate::acpi;
use crate::plan::{Boot, Bus, Plan, Window};
use crate::registry;
use crate::tree::{self, Chosen};

/// The random seed of a run that is to be like any other.
const FIXED_SEED: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A firmware image, in the byte order of the board's CPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firmware {
    /// The bytes for the memory.
    pub image: Vec<u8>,
    /// They are not those of the image, but what was meant with them: its words were turned.
    pub changed: bool,
}

/// The architecture and the description of the CPU that boots.
fn cpu(plan: &Plan, boot: &Boot) -> (&'static dyn Architecture, Cpu) {
    let cpu = plan.devices[boot.cpu].interface.cpu;
    let known = cpu.and_then(|cpu| Some((registry::architecture(cpu.architecture)?, cpu)));
    known.expect("the resolver has found the boot protocol in the CPU's architecture")
}

/// Takes a firmware image as its build made it.
///
/// # Errors
/// The image is empty, or not for the board's CPU.
pub fn firmware_image(bytes: &[u8], plan: &Plan, boot: &Boot) -> Result<Firmware, BootError> {
    if bytes.is_empty() {
        return BootError::refuse("the image is empty");
    }
    let (architecture, cpu) = cpu(plan, boot);
    let meant = architecture.firmware(bytes, cpu.big_endian)?;
    let changed = meant.is_some();
    let image = meant.unwrap_or_else(|| bytes.to_vec());
    Ok(Firmware { image, changed })
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

impl Describe for Segments {
    fn describe(by: &mut Describer) -> Option<Type> {
        let segment = by.structure("Segment", |fields| {
            fields.field::<u64>("at");
            fields.field::<Ram>("content");
        });
        Some(Type::Sequence(Box::new(segment)))
    }
}

impl Persist for Segments {
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

/// The arguments that a boot protocol makes anew at every reset: where they go, and what of.
#[derive(Debug, Clone, Default, State)]
struct Environment {
    at: u32,
    strings: Vec<String>,
    /// What the kernel's random numbers start from: fixed, or drawn anew at every reset.
    seed: Option<String>,
}

/// What a user asked to boot.
#[derive(Debug, Clone, Copy)]
pub struct KernelFiles<'a, R> {
    /// Its name as the user gave it.
    pub name: &'a str,
    /// The file, of which only what is loaded is read; only with firmware there can be none.
    pub image: Option<R>,
    /// Firmware that is in memory, where the protocol has it there: its name, and the file.
    pub firmware: Option<(&'a str, R)>,
    /// The initial RAM disk.
    pub initrd: Option<&'a [u8]>,
    /// The command line.
    pub append: &'a str,
    /// The kernel's random seed is the same in every run.
    pub fixed_seed: bool,
}

/// The main memory of a board that can boot a kernel.
pub fn main_memory(plan: &Plan, boot: &Boot) -> Memory {
    let device = &plan.devices[boot.memory];
    let size = device.interface.regions.first().map_or(0, |r| r.size);
    let remedy = match plan.params.iter().any(|(name, _)| name == "ram") {
        true => "--ram".to_owned(),
        false => format!("--set {}.size=…", device.path),
    };
    let seen = seen(plan, boot.cpu);
    // Of two at one place the CPU sees what it alone has there, and then what is meant to lie over others.
    let strength = |w: &Window| (w.cpu.is_some(), w.over);
    let own = seen.iter();
    let own = own.filter(|(index, w)| *index == boot.memory && w.region.0 == 0);
    let own: Vec<&Window> = own.map(|(_, window)| *window).collect();
    let windows = own.iter().flat_map(|window| {
        let above = seen.iter().map(|(_, other)| *other);
        let above = above.filter(|other| strength(other) > strength(window));
        pieces(window, above)
    });
    let starts = own.iter().filter(|window| window.offset == 0);
    let others = seen.iter().filter(|(index, _)| *index != boot.memory);
    let others = others.map(|(index, w)| {
        let device = &plan.devices[*index];
        let content = match device.backends.contains(&Some(boot.firmware)) {
            true => ", whose content is given with --firmware, as a .bin file",
            false => "",
        };
        (w.at, last(w), format!("`{}`{content}", device.path))
    });
    let mut memory = Memory {
        start: starts.map(|window| window.at).min().unwrap_or(0),
        others: others.collect(),
        windows: windows.collect(),
        ..Memory::default()
    };
    memory.low = memory.reach(memory.start, 0).min(boot.low_memory);
    if boot.protocol.takes_pieces() {
        memory.more = more(&memory, boot.low_memory);
    }
    // What is for the kernel ends with the memory, and could be more.
    let last = memory.pieces().next_back().unwrap_or((memory.start, 0));
    let shown = last.0 - memory.start + last.1;
    memory.remedy = (shown == size && shown < boot.low_memory).then_some(remedy);
    memory
}

/// What follows the first piece of a memory, up to `limit` bytes behind its start.
fn more(memory: &Memory, limit: u64) -> Vec<(u64, u64)> {
    let end = memory.start.saturating_add(limit);
    let mut next = memory.start + memory.low;
    let mut windows = memory.windows.clone();
    windows.sort_unstable();
    let mut more: Vec<(u64, u64)> = Vec::new();
    for (at, size, _) in windows {
        let (from, to) = (at.max(next), at.saturating_add(size).min(end));
        if from >= to {
            continue;
        }
        match more.last_mut() {
            Some((start, len)) if *start + *len == from => *len = to - *start,
            _ => more.push((from, to - from)),
        }
        next = to;
    }
    more
}

/// What a CPU sees on the system bus's memory space: windows, each with the index of its device.
fn seen(plan: &Plan, cpu: usize) -> Vec<(usize, &Window)> {
    let devices = plan.devices.iter().enumerate();
    let devices = devices.filter(|(_, d)| d.seat.is_some_and(|seat| seat.bus == Bus::System));
    let seen = devices.flat_map(|(index, device)| {
        let windows = device.windows.iter().filter(move |w| {
            let region = device.interface.region(w.region);
            // What yields to all else is never in the way.
            let memory = region.is_some_and(|r| r.space == Space::Memory && !r.background);
            memory && w.cpu.is_none_or(|only| only == cpu)
        });
        windows.map(move |window| (index, window))
    });
    seen.collect()
}

/// The last address of a window.
fn last(window: &Window) -> u64 {
    window.at + (window.size - 1)
}

/// What others that lie over a window leave of it: addresses, sizes and offsets.
fn pieces<'w>(window: &Window, above: impl Iterator<Item = &'w Window>) -> Vec<(u64, u64, u64)> {
    let mut left = vec![(window.at, last(window))];
    for other in above {
        let around = |(from, to): (u64, u64)| {
            let before = (from < other.at).then(|| (from, to.min(other.at - 1)));
            let behind = (to > last(other)).then(|| (from.max(last(other) + 1), to));
            before.into_iter().chain(behind)
        };
        left = left.into_iter().flat_map(around).collect();
    }
    let sized = left.into_iter();
    sized
        .map(|(from, to)| (from, to - from + 1, window.offset + (from - window.at)))
        .collect()
}

impl Kernel {
    /// Lays out a kernel for a board.
    ///
    /// # Errors
    /// The image is not for the board's CPU, or does not fit the memory.
    pub fn new<'a>(
        files: KernelFiles<'a, impl ReadRef<'a>>,
        plan: &Plan,
        boot: &Boot,
    ) -> Result<Self, BootError> {
        let (architecture, cpu) = cpu(plan, boot);
        let memory = main_memory(plan, boot);
        let tree = |chosen: &Chosen| tree::blob(plan, Some(chosen));
        let acpi = || acpi::Tables::of(plan);
        Self::lay_out(files, boot, &memory, architecture, cpu, &tree, &acpi)
    }

    fn lay_out<'a>(
        files: KernelFiles<'a, impl ReadRef<'a>>,
        boot: &Boot,
        memory: &Memory,
        architecture: &dyn Architecture,
        cpu: Cpu,
        tree: &dyn Fn(&Chosen) -> Vec<u8>,
        acpi: &dyn Fn() -> Option<acpi::Tables>,
    ) -> Result<Self, BootError> {
        let protocol = boot.protocol;
        if !protocol.hands_over() && (files.initrd.is_some() || !files.append.is_empty()) {
            return BootError::refuse(
                "this board hands nothing to a kernel: build the initial RAM disk and the command line into it",
            );
        }
        if files.initrd.is_some_and(<[u8]>::is_empty) {
            return BootError::refuse("the initial RAM disk is empty");
        }
        let parse = |what, image| Image::parse(what, image, protocol, architecture, cpu);
        let kernel = files
            .image
            .map(|image| parse("kernel", image))
            .transpose()?;
        let firmware = files.firmware.map(|(name, image)| {
            let image = parse("firmware", image);
            image.map_err(|e| BootError(format!("{name}: {e}")))
        });
        let (program, kernel) = match (firmware.transpose()?, kernel) {
            (Some(firmware), kernel) => (firmware, kernel),
            (None, Some(kernel)) if protocol.firmware_in_memory() => {
                let Some(own) = protocol.own_firmware(cpu.bits) else {
                    return BootError::refuse(
                        "a kernel of this board is started by firmware: give it some with --firmware",
                    );
                };
                let firmware = Image {
                    raw: Some(own),
                    ..Image::default()
                };
                (firmware, Some(kernel))
            }
            (None, Some(kernel)) => (kernel, None),
            (None, None) => return BootError::refuse("there is nothing to boot"),
        };
        for (at, size) in program
            .ranges
            .iter()
            .chain(kernel.iter().flat_map(|k| &k.ranges))
        {
            memory.hold(*at, *size)?;
        }
        let mut chosen = Chosen {
            append: files.append.to_owned(),
            initrd: files.initrd.map(|bytes| (0, bytes.len() as u64)),
            console: boot.console,
            seed: true,
            reserved: Vec::new(),
        };
        let takes_tree = protocol.takes_tree();
        let acpi = protocol.takes_acpi().then(acpi).flatten();
        let layout = protocol.lay_out(&Start {
            name: files.name,
            program: program.program(),
            kernel: kernel.as_ref().map(Image::program),
            initrd: files.initrd.map(|bytes| bytes.len() as u64),
            append: files.append,
            memory,
            console: boot.console,
            setup: &boot.setup,
            big_endian: cpu.big_endian,
            bits: cpu.bits,
            tree: takes_tree.then(|| tree(&chosen).len() as u64),
            acpi: acpi.as_ref().map(|tables| tables.size() as u64),
        })?;
        // Only now is it known that the sizes in the files are sane.
        let mut segments = Segments::default();
        for image in [Some(program), kernel].into_iter().flatten() {
            for ((at, bytes), (_, size)) in image.segments.into_iter().zip(&image.ranges) {
                segments.0.push((at, block(bytes, *size)?));
            }
        }
        let mut loads = layout.loads;
        if let Some((at, tables)) = layout.acpi.zip(acpi) {
            loads.push((at.into(), tables.at(at)));
        }
        let mut environment = layout.arguments;
        if let Some(at) = layout.tree {
            if let (Some((_, size)), Some(place)) = (chosen.initrd, layout.initrd) {
                chosen.initrd = Some((place, size));
            }
            chosen.reserved = layout.reserved;
            let bytes = tree(&chosen);
            let seed = tree::seed_in(&bytes).map(|offset| at + offset);
            environment = seed.and_then(|at| Some((u32::try_from(at).ok()?, Vec::new())));
            loads.push((at, bytes));
        }
        let initrd = layout.initrd.zip(files.initrd);
        let loads = loads.iter().map(|(at, bytes)| (*at, &bytes[..]));
        for (at, bytes) in initrd.into_iter().chain(loads) {
            memory.hold(at, bytes.len() as u64)?;
            segments.0.push((at, block(bytes, bytes.len() as u64)?));
        }
        let seed = files.fixed_seed.then(|| FIXED_SEED.to_owned());
        let environment = environment.map(|(at, strings)| Environment { at, strings, seed });
        Ok(Self {
            segments,
            big_endian: cpu.big_endian,
            stub: layout.stub,
            environment,
        })
    }

    /// The content for the board's firmware slot: what runs at the reset vector.
    pub fn firmware(&self) -> Vec<u8> {
        self.stub.clone()
    }

    /// Writes everything into memory, as after a reset: `draw` gives what random numbers start from, if that is not fixed; `put` takes a
    /// physical address and bytes.
    ///
    /// # Errors
    /// Where `put` found no memory.
    pub(super) fn put(
        &self,
        protocol: &dyn Protocol,
        draw: impl FnOnce() -> String,
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
        let Environment { at, strings, seed } = environment;
        let seed = seed.clone().unwrap_or_else(draw);
        let bytes = protocol.arguments(*at, strings, &seed, self.big_endian);
        put((*at).into(), &bytes).map_err(|_| u64::from(*at))
    }
}

/// Memory of this size that starts with these bytes.
fn block(bytes: &[u8], size: u64) -> Result<Ram, BootError> {
    let block = Ram::new(size).map_err(|e| BootError(e.to_string()))?;
    match block.write(0, bytes) {
        Ok(()) => Ok(block),
        Err(e) => BootError::refuse(e.to_string()),
    }
}

/// What random numbers can start from, of the host's.
pub(super) fn random_seed() -> String {
    let mut bytes = [0u8; 32];
    if let Ok(mut file) = std::fs::File::open("/dev/urandom") {
        // Without entropy the guest boots all the same, with a poor seed.
        let _ = std::io::Read::read_exact(&mut file, &mut bytes);
    }
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// An image, of which only what is loaded is read.
#[derive(Default)]
struct Image<'a> {
    /// All of it, if it is no ELF file.
    raw: Option<&'a [u8]>,
    /// Virtual address of its start.
    entry: u64,
    /// Physical address and bytes of what the file holds.
    segments: Vec<(u64, &'a [u8])>,
    /// Physical address and size of what is in memory, zero-filled parts included.
    ranges: Vec<(u64, u64)>,
}

impl<'a> Image<'a> {
    fn program(&self) -> Program<'_> {
        Program {
            raw: self.raw,
            entry: self.entry,
            ranges: &self.ranges,
        }
    }

    /// `what` is the image, for messages.
    fn parse(
        what: &str,
        image: impl ReadRef<'a>,
        protocol: &dyn Protocol,
        architecture: &dyn Architecture,
        cpu: Cpu,
    ) -> Result<Self, BootError> {
        use object::elf::{FileHeader32, FileHeader64};
        let start = image.len().map_or(0, |len| len.min(5));
        let is = match image.read_bytes_at(0, start).unwrap_or_default() {
            [0x7f, b'E', b'L', b'F', 1] => {
                return Self::elf::<FileHeader32<Endianness>>(
                    what,
                    image,
                    protocol,
                    architecture,
                    cpu,
                );
            }
            [0x7f, b'E', b'L', b'F', 2] if cpu.bits == 64 => {
                return Self::elf::<FileHeader64<Endianness>>(
                    what,
                    image,
                    protocol,
                    architecture,
                    cpu,
                );
            }
            [0x7f, b'E', b'L', b'F', 2] => "a 64-bit ELF file, but the board's CPU is 32-bit",
            [0x1f, 0x8b, ..] => "compressed with gzip; unpack it first",
            [0x27, 0x05, 0x19, 0x56, ..] => {
                "a U-Boot image (uImage); take the ELF file of the same build"
            }
            [] => "empty",
            _ if protocol.takes_raw() => {
                let all = image.len().and_then(|len| image.read_bytes_at(0, len));
                let all =
                    all.map_err(|()| BootError(format!("the {what} image cannot be read")))?;
                return Ok(Self {
                    raw: Some(all),
                    ..Self::default()
                });
            }
            _ => "not an ELF file",
        };
        BootError::refuse(format!("the {what} image is {is}"))
    }

    fn elf<H: FileHeader<Endian = Endianness>>(
        what: &str,
        image: impl ReadRef<'a>,
        protocol: &dyn Protocol,
        architecture: &dyn Architecture,
        cpu: Cpu,
    ) -> Result<Self, BootError> {
        let broken =
            |e: object::Error| BootError(format!("the {what} image is a broken ELF file: {e}"));
        let header = H::parse(image).map_err(broken)?;
        let endian = header.endian().map_err(broken)?;
        if header.e_machine(endian) != architecture.elf_machine() {
            let file = ElfFile::<H, _>::parse(image).map_err(broken)?;
            return BootError::refuse(format!(
                "the {what} image is for {:?}, but the board's CPU is {}",
                file.architecture(),
                architecture.title()
            ));
        }
        if header.is_class_32() && cpu.bits != 32 && !architecture.starts_narrow() {
            return BootError::refuse(format!(
                "the {what} image is a 32-bit ELF file, but the board's CPU is {}-bit",
                cpu.bits
            ));
        }
        let name = |big| if big { "big-endian" } else { "little-endian" };
        let is_big = endian == Endianness::Big;
        if is_big != cpu.big_endian {
            return BootError::refuse(format!(
                "the {what} image is {}, but the board's CPU is {}",
                name(is_big),
                name(cpu.big_endian)
            ));
        }
        let (mut segments, mut ranges) = (Vec::new(), Vec::new());
        for header in header.program_headers(endian, image).map_err(broken)? {
            let size = header.p_memsz(endian).into();
            if header.p_type(endian) != PT_LOAD || size == 0 {
                continue;
            }
            let Ok(data) = header.data(endian, image) else {
                return BootError::refuse(format!(
                    "the {what} image is cut short: a segment lies beyond the end of the file"
                ));
            };
            let (va, pa) = (header.p_vaddr(endian), header.p_paddr(endian));
            let at = protocol.physical(va.into(), pa.into());
            ranges.push((at, size.max(data.len() as u64)));
            segments.push((at, data));
        }
        if segments.is_empty() {
            return BootError::refuse(format!("the {what} image has nothing to load"));
        }
        Ok(Self {
            raw: None,
            entry: header.e_entry(endian).into(),
            segments,
            ranges,
        })
    }
}

#[cfg(test)]
mod tests {
    use solderless_model::boot::Layout;

    use super::*;

    /// An architecture of which only this is known: what its images are.
    struct Toy;

    const MACHINE: u16 = 0x7079;

    impl Architecture for Toy {
        fn name(&self) -> &'static str {
            "toy"
        }
        fn title(&self) -> &'static str {
            "Toy"
        }
        fn elf_machine(&self) -> u16 {
            MACHINE
        }
        fn protocols(&self) -> &'static [&'static dyn Protocol] {
            &[&Direct, &Alone]
        }
    }

    /// A protocol with all that one can have: images of any form, at 64 KiB if they do not say where, a block that does
    /// not change, and one that does.
    struct Direct;

    impl Protocol for Direct {
        fn name(&self) -> &'static str {
            "direct"
        }
        fn summary(&self) -> &'static str {
            ""
        }
        fn keys(&self) -> &'static [&'static str] {
            &[]
        }
        fn hands_over(&self) -> bool {
            true
        }
        fn takes_raw(&self) -> bool {
            true
        }
        fn lay_out(&self, start: &Start<'_>) -> Result<Layout, BootError> {
            let raw = start.program.raw;
            let raw = raw.map(|bytes| (0x1_0000, bytes.to_vec()));
            let initrd = start.initrd.map(|size| start.place_initrd(size, 0, 0x1000));
            Ok(Layout {
                stub: start.program.entry.to_le_bytes().to_vec(),
                initrd: initrd.transpose()?,
                loads: raw
                    .into_iter()
                    .chain([(0x800, b"fixed".to_vec())])
                    .collect(),
                arguments: Some((0x900, vec![start.append.to_owned()])),
                ..Layout::default()
            })
        }
        fn arguments(&self, _: u32, strings: &[String], seed: &str, big_endian: bool) -> Vec<u8> {
            format!("{strings:?} {} {big_endian}", seed.len()).into_bytes()
        }
    }

    /// Nothing is handed over.
    struct Alone;

    impl Protocol for Alone {
        fn name(&self) -> &'static str {
            "alone"
        }
        fn summary(&self) -> &'static str {
            ""
        }
        fn keys(&self) -> &'static [&'static str] {
            &[]
        }
        fn hands_over(&self) -> bool {
            false
        }
        fn lay_out(&self, _: &Start<'_>) -> Result<Layout, BootError> {
            Ok(Layout::default())
        }
    }

    /// 16 MiB of memory from 0 on, on a board with `ram` as its parameter.
    fn memory() -> Memory {
        Memory {
            start: 0,
            low: 16 << 20,
            more: Vec::new(),
            windows: vec![(0, 16 << 20, 0)],
            remedy: Some("--ram".to_owned()),
            others: vec![(0x1e00_0000, 0x1e3f_ffff, "`flash`".to_owned())],
        }
    }

    /// A minimal ELF file: one segment of `memory` bytes at `pa` with four bytes of content.
    fn elf(bits: u8, big: bool, machine: u16, pa: u64, memory: u64) -> Vec<u8> {
        let number = |value: u64, size: usize| match big {
            true => value.to_be_bytes()[8 - size..].to_vec(),
            false => value.to_le_bytes()[..size].to_vec(),
        };
        let (word, header, segment) = if bits == 64 { (8, 64, 56) } else { (4, 52, 32) };
        let content = header + segment;
        let mut out = vec![0x7f, b'E', b'L', b'F', bits / 32, 1 + u8::from(big), 1];
        out.resize(16, 0);
        let half = |value| number(value, 2);
        let long = |value| number(value, 4);
        let wide = |value| number(value, word);
        out.extend([half(2), half(machine.into()), long(1)].concat());
        out.extend([wide(0x4000_0000), wide(header), wide(0), long(0)].concat());
        out.extend(
            [
                half(header),
                half(segment),
                half(1),
                half(40),
                half(0),
                half(0),
            ]
            .concat(),
        );
        let flags = long(7);
        out.extend(long(1));
        if bits == 64 {
            out.extend(&flags);
        }
        out.extend(
            [
                wide(content),
                wide(0x4000_0000),
                wide(pa),
                wide(4),
                wide(memory),
            ]
            .concat(),
        );
        if bits == 32 {
            out.extend(&flags);
        }
        out.extend(wide(4));
        out.extend([1, 2, 3, 4]);
        out
    }

    fn laid_out(
        image: &[u8],
        initrd: Option<&[u8]>,
        protocol: &'static dyn Protocol,
        bits: u8,
    ) -> Result<Kernel, String> {
        let files = KernelFiles {
            name: "k",
            image: Some(image),
            firmware: None,
            initrd,
            append: if protocol.hands_over() { "quiet" } else { "" },
            fixed_seed: true,
        };
        let boot = Boot {
            firmware: 0,
            memory: 0,
            cpu: 0,
            protocol,
            low_memory: 16 << 20,
            console: None,
            setup: Vec::new(),
        };
        let cpu = Cpu {
            architecture: "toy",
            bits,
            big_endian: false,
        };
        let (tree, acpi) = (|_: &Chosen| Vec::new(), || None);
        Kernel::lay_out(files, &boot, &memory(), &Toy, cpu, &tree, &acpi).map_err(|e| e.0)
    }

    fn written(kernel: &Kernel, protocol: &dyn Protocol) -> Vec<(u64, Vec<u8>)> {
        let mut pieces = Vec::new();
        let put = |at, bytes: &[u8]| {
            pieces.push((at, bytes.to_vec()));
            Ok(())
        };
        kernel.put(protocol, random_seed, put).unwrap();
        pieces
    }

    #[test]
    fn bad_kernels_are_refused_with_a_reason() {
        let good = elf(32, false, MACHINE, 0x1000, 4);
        for (image, reason) in [
            (vec![], "empty"),
            (b"#!/bin/sh".to_vec(), "not an ELF file"),
            (vec![0x1f, 0x8b, 8], "gzip"),
            (vec![0x27, 5, 0x19, 0x56, 0], "uImage"),
            (elf(64, false, MACHINE, 0x1000, 4), "64-bit"),
            (
                elf(32, false, 2, 0x1000, 4),
                "Sparc, but the board's CPU is Toy",
            ),
            (elf(32, true, MACHINE, 0x1000, 4), "big-endian"),
            (good[..85].to_vec(), "cut short"),
            (good[..60].to_vec(), "broken ELF"),
            (elf(32, false, MACHINE, 0xff_fffd, 4), "--ram"),
            (
                elf(32, false, MACHINE, 0x1e00_0000, 4),
                "0x1e000000 is `flash`",
            ),
        ] {
            let error = laid_out(&image, None, &Alone, 32).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
        let error = laid_out(&good, None, &Alone, 64).unwrap_err();
        assert!(
            error.contains("is a 32-bit ELF file, but the board's CPU is 64-bit"),
            "{error}"
        );
        let good = laid_out(&good, None, &Alone, 32).unwrap();
        assert_eq!(written(&good, &Alone), [(0x1000, vec![1, 2, 3, 4])]);
    }

    #[test]
    fn what_cannot_be_handed_over_is_refused() {
        let good = elf(64, false, MACHINE, 0x1000, 4);
        let error = laid_out(&good, Some(b"x"), &Alone, 64).unwrap_err();
        assert!(error.contains("hands nothing"), "{error}");
        let error = laid_out(&good, Some(b""), &Direct, 64).unwrap_err();
        assert!(error.contains("initial RAM disk is empty"), "{error}");
        let large = vec![0; 16 << 20];
        let error = laid_out(&good, Some(&large), &Direct, 64).unwrap_err();
        assert!(
            error.contains("do not fit in 16MiB together (give it more with --ram)"),
            "{error}"
        );
        let error = laid_out(&large, None, &Direct, 64).unwrap_err();
        assert!(error.contains("memory up to 0x1010000"), "{error}");
    }

    #[test]
    fn a_reset_writes_what_the_protocol_lays_out() {
        let fixed = (0x800, b"fixed".to_vec());
        let arguments = (0x900, b"[\"quiet\"] 64 false".to_vec());
        let image = elf(64, false, MACHINE, 0x2000, 0x1005);
        let kernel = laid_out(&image, Some(b"disk"), &Direct, 64).unwrap();
        assert_eq!(kernel.firmware(), 0x4000_0000u64.to_le_bytes());
        let mut first = vec![0; 0x1000];
        first[..4].copy_from_slice(&[1, 2, 3, 4]);
        assert_eq!(
            written(&kernel, &Direct),
            [
                (0x2000, first),
                (0x3000, vec![0; 5]),
                (0x00ff_f000, b"disk".to_vec()),
                fixed.clone(),
                arguments.clone(),
            ]
        );
        let kernel = laid_out(b"raw code", None, &Direct, 64).unwrap();
        let raw = (0x1_0000, b"raw code".to_vec());
        assert_eq!(written(&kernel, &Direct), [raw, fixed, arguments]);
    }

    #[test]
    fn memory_is_seen_where_the_board_has_it() {
        const MIB: u64 = 1 << 20;
        let told = |text: &str, ram: &str| {
            let text = format!("[board]\nname = \"b\"\nextends = \"malta\"\n{text}");
            let options = crate::compose::Options {
                set: vec![("param.ram".to_owned(), ram.to_owned())],
                ..Default::default()
            };
            let loaded = crate::compose::open_text("b.toml", &text, &options).unwrap();
            let memory = main_memory(&loaded.plan, loaded.plan.boot.as_ref().unwrap());
            assert_eq!(memory.start, 0);
            let beyond = memory.reach(0x8000_0000 + memory.low, memory.low);
            (memory.low / MIB, beyond / MIB, memory.remedy)
        };
        let more = || Some("--ram".to_owned());
        let map = |windows: &str| format!("[dev.ram]\nmap = [{windows}]\n");
        assert_eq!(told("", "64MiB"), (64, 0, more()));
        assert_eq!(told("", "256MiB"), (256, 0, None));
        assert_eq!(told("", "1000MiB"), (256, 744, None));
        let first = r#"{ at = "sys:0", limit = "64MiB" }, { at = "sys:0x80000000" }"#;
        assert_eq!(told(&map(first), "256MiB"), (64, 192, None));
        let low = "[boot]\nlow-memory = \"64MiB\"\n";
        assert_eq!(told(low, "256MiB"), (64, 192, None));
        // Two windows that follow each other are one piece.
        let two = r#"{ at = "sys:0", limit = "64MiB" }, { at = "sys:0x4000000", offset = "64MiB", limit = "64MiB" }"#;
        assert_eq!(told(&map(two), "256MiB"), (128, 0, None));
        // What lies over the memory hides it.
        let over = r#"[dev.more]
            map = [{ at = "sys:0x2000000", over = true }]
            rom.size = "1MiB"
            "#;
        assert_eq!(told(over, "256MiB"), (32, 224, None));
        assert_eq!(told(over, "32MiB"), (32, 0, more()));
        let alone = r#"{ at = "sys:0", limit = "256MiB" }"#;
        assert_eq!(told(&map(alone), "1GiB"), (256, 0, None));
        let part =
            r#"{ at = "sys:0", limit = "256MiB" }, { at = "sys:0x80000000", limit = "512MiB" }"#;
        assert_eq!(told(&map(part), "1GiB"), (256, 256, None));
    }

    #[test]
    fn what_lies_over_the_memory_is_named() {
        let text = r#"
            board = { name = "b", extends = "malta" }
            dev.more = { map = [{ at = "sys:0x2000000", over = true }], rom.size = "1MiB" }
            "#;
        let loaded = crate::compose::open_text("b.toml", text, &Default::default()).unwrap();
        let memory = main_memory(&loaded.plan, loaded.plan.boot.as_ref().unwrap());
        assert_eq!(memory.hold(0x1ff_f000, 0x1000), Ok(()));
        for (at, size, reason) in [
            (
                0x100_0000,
                0x200_0000,
                "is 32MiB from 0x0 on; at 0x2000000 is `more`",
            ),
            (
                0x300_0000,
                0x1000,
                "has 32MiB from 0x0 on, and at 0x2000000 is `more`",
            ),
        ] {
            let error = memory.hold(at, size).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}

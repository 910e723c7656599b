//! MIPS: the programs of `solderless_testing::program`, in the frame that they run in beside QEMU.

use solderless_testing::Endian;
use solderless_testing::frame::{self, Frame};
use solderless_testing::program::{self, Cpu};

use super::{Architecture, Bytes, Guest, Random};

pub const MIPS: Architecture = Architecture {
    name: "mips",
    random,
    programs: 400,
    listed,
};

/// Instructions that the frame executes before any program starts; more than a program executes until it has ended or has raised
/// as many exceptions as are noted; and more than it takes to look at what it has left.
const INSTRUCTIONS: [u64; 3] = [28_000, 6_000, 60_000];

fn random() -> Option<Random> {
    let frames = [Frame::new(Endian::Little)?, Frame::new(Endian::Big)?];
    Some(Box::new(move |seed| {
        let [little, big] = &frames;
        let cpu = |fpu, tlb_entries| Cpu { fpu, tlb_entries };
        match seed % 4 {
            0 => guest(seed, Endian::Little, little, "24Kf", cpu(true, 16)),
            1 => guest(seed, Endian::Big, big, "24Kf", cpu(true, 16)),
            2 => guest(seed, Endian::Little, little, "34Kf", cpu(true, 64)),
            _ => guest(seed, Endian::Big, big, "4KEc", cpu(false, 16)),
        }
    }))
}

fn guest(seed: u64, endian: Endian, frame: &Frame, model: &str, cpu: Cpu) -> Guest {
    let mut program = program::make(seed, cpu);
    program.input.passes = 20;
    let placed = frame.memory(&program).into_iter();
    let vectors = (0x1fc0_0000, frame.firmware.clone());
    let memory = placed
        .chain(frame.segments.iter().cloned())
        .chain([vectors]);
    let physical = |(at, bytes): (u32, _)| (u64::from(at & 0x1fff_ffff), bytes);
    Guest {
        board: Guest::board(&bare(endian, model)),
        about: format!("{model}, {endian:?}"),
        memory: memory.map(physical).collect(),
        registers: vec![("status", frame::STATUS.into())],
        pc: frame.entry.into(),
        instructions: INSTRUCTIONS,
        physical: mapped,
    }
}

/// A board with memory, and some more of it where programs expect the interrupt controllers and the exception vectors of a
/// start.
fn bare(endian: Endian, model: &str) -> String {
    let mut text = format!(
        "[board]\nname = \"bare\"\n[dev.cpu]\nat = \"sys\"\n[dev.cpu.mips32-cpu]\nmodel = \"{model}\"\nbig-endian = {}\n",
        endian == Endian::Big
    );
    for (name, at, size) in [
        ("ram", 0, "2MiB"),
        ("ports", 0x1000_0000, "4KiB"),
        ("vectors", 0x1fc0_0000, "4KiB"),
    ] {
        text +=
            &format!("[dev.{name}]\nat = \"sys:{at:#x}\"\n[dev.{name}.ram]\nsize = \"{size}\"\n");
    }
    text
}

/// Where unmapped addresses are.
pub fn unmapped(address: u64) -> Option<u64> {
    (address >> 30 == 2).then_some(address & 0x1fff_ffff)
}

/// Where programs are: mapped ones in the first entry of the TLB.
fn mapped(address: u64) -> Option<u64> {
    let offset = address.wrapping_sub(program::MAPPED.into());
    unmapped(address).or((offset < 0x2000).then_some(u64::from(frame::PROGRAM) + offset))
}

fn listed(byte: &mut Bytes<'_>, big_endian: bool) -> (String, u64) {
    let bytes: Option<Vec<u8>> = (0..4).map(byte).collect();
    let text = bytes
        .and_then(|bytes| <[u8; 4]>::try_from(bytes).ok())
        .map(|bytes| {
            let word = match big_endian {
                true => u32::from_be_bytes(bytes),
                false => u32::from_le_bytes(bytes),
            };
            format!("{word:08x} {}", solderless_mips::describe(word))
        });
    (text.unwrap_or_default(), 4)
}

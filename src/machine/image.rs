//! What a file has for a memory: its bytes, or pieces with addresses, as ELF, Intel HEX and Motorola's S-records have them.
//!
//! Intel, "Hexadecimal Object File Format Specification" (1988); for S-records the manual page srec(5), as Motorola's own text
//! (M68000 Family Programmer's Reference Manual, appendix C) has the records but not what a file ends with.

use std::fmt;
use std::str::FromStr;

use object::elf::{FileHeader32, FileHeader64, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{Endianness, ReadRef};
use solderless_model::boot::BootError;

use crate::plan::{Bus, Plan, Window};

/// How a file has what it has for a memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageFormat {
    /// Byte by byte.
    Raw,
    /// The segments that are loaded, at their physical addresses.
    Elf,
    /// Intel HEX.
    Ihex,
    /// Motorola's S-records.
    Srec,
}

/// Their names, as objcopy has those that it has.
const NAMES: [(&str, ImageFormat); 4] = [
    ("raw", ImageFormat::Raw),
    ("elf", ImageFormat::Elf),
    ("ihex", ImageFormat::Ihex),
    ("srec", ImageFormat::Srec),
];

impl fmt::Display for ImageFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(_, format)| format == self);
        f.write_str(name.map_or("", |(name, _)| name))
    }
}

impl FromStr for ImageFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = NAMES.iter().find(|(name, _)| *name == text);
        known.map(|(_, format)| *format).ok_or_else(|| {
            let names: Vec<_> = NAMES.iter().map(|(name, _)| *name).collect();
            format!("{text} is no format: there are {}", names.join(", "))
        })
    }
}

impl ImageFormat {
    /// As many bytes tell what a file is: the longest line of S-records.
    pub const HEAD: usize = 520;

    /// What a file is, by what it begins with: for the formats that are text a whole line.
    pub fn of(head: &[u8]) -> Self {
        let line = head.split(|byte| *byte == b'\n').next().unwrap_or(head);
        match line.trim_ascii() {
            _ if head.starts_with(b"\x7fELF") => Self::Elf,
            [b':', digits @ ..] if ihex(digits).is_ok() => Self::Ihex,
            [b'S', kind, digits @ ..] if srec(*kind, digits).is_ok() => Self::Srec,
            _ => Self::Raw,
        }
    }
}

/// The most bytes of a memory that pieces with addresses fill, gaps included: they are laid out before the machine has them.
const LAID_OUT_MOST: u64 = 1 << 30;

/// What a file that is none for a memory may be meant as.
const KERNELS: &str = "a program that is to be loaded into RAM is booted with --kernel";

/// Bytes for the memory, and the address of the first.
type Piece = (u64, Vec<u8>);

/// Lays out what a file has for the memory in whose slot it is. A raw one begins where the memory does, or at so many bytes
/// behind that; pieces are where their addresses are on the memory's bus, or the first of them at so many bytes behind the
/// memory's start. What they leave is 0xff.
///
/// # Errors
/// It is broken, has something for where the memory is not, or takes more than 1 GiB with its gaps.
pub fn memory_image(
    bytes: Vec<u8>,
    format: ImageFormat,
    at: Option<u64>,
    plan: &Plan,
    slot: usize,
) -> Result<Vec<u8>, BootError> {
    let pieces = match (format, at) {
        (ImageFormat::Raw, None | Some(0)) => return Ok(bytes),
        (ImageFormat::Raw, Some(_)) => vec![(0, bytes)],
        (ImageFormat::Elf, _) => elf(&bytes, plan)?,
        (ImageFormat::Ihex, _) => lines(&bytes, "Intel HEX", &mut Ihex::default())?,
        (ImageFormat::Srec, _) => lines(&bytes, "S-records", &mut Srec::default())?,
    };
    let memory = Memory::of(plan, slot);
    let start = pieces.first().map_or(0, |(start, _)| *start);
    let mut content = Vec::new();
    for (address, bytes) in pieces {
        let len = bytes.len() as u64;
        let place = match at {
            Some(at) => at.checked_add(address - start),
            None => memory.offset(address, len),
        };
        let room = place.and_then(|offset| memory.size.checked_sub(offset)?.checked_sub(len));
        let (Some(offset), Some(_)) = (place, room) else {
            return BootError::refuse(memory.outside(address, len, at));
        };
        let needed = match memory.aligned_to_its_end {
            true => memory.size,
            false => offset + len,
        };
        if needed > LAID_OUT_MOST {
            return BootError::refuse(format!(
                "with what is before that, it takes {needed:#x} bytes of `{}`, and {LAID_OUT_MOST:#x} is the most; a raw image of all of the memory has no such limit",
                memory.path
            ));
        }
        let (offset, needed) = (offset as usize, needed as usize);
        if content.len() < needed {
            content.resize(needed, 0xff);
        }
        content[offset..offset + bytes.len()].copy_from_slice(&bytes);
    }
    Ok(content)
}

/// Where a memory is.
struct Memory<'p> {
    path: &'p str,
    size: u64,
    /// Where it is on the system bus.
    windows: Vec<&'p Window>,
    /// It is on another bus, where what is shorter may lie at its end.
    aligned_to_its_end: bool,
}

impl<'p> Memory<'p> {
    /// The one that this slot is for.
    fn of(plan: &'p Plan, slot: usize) -> Self {
        let mut devices = plan.devices.iter();
        let device = devices.find(|d| d.backends.contains(&Some(slot)));
        let regions = device.map_or(&[][..], |device| &device.interface.regions);
        let largest = regions.iter().enumerate().max_by_key(|(_, r)| r.size);
        let (index, size) = largest.map_or((0, 0), |(index, region)| (index, region.size));
        let on_system = device
            .and_then(|device| device.seat)
            .is_some_and(|seat| seat.bus == Bus::System);
        let windows = device.filter(|_| on_system).into_iter();
        let windows = windows.flat_map(|device| &device.windows);
        Self {
            path: device.map_or("", |device| &device.path),
            size,
            windows: windows
                .filter(|w| usize::from(w.region.0) == index)
                .collect(),
            aligned_to_its_end: !on_system,
        }
    }

    /// Where an address is in it, with all of so many bytes.
    fn offset(&self, at: u64, len: u64) -> Option<u64> {
        self.windows.iter().find_map(|window| {
            let within = at.checked_sub(window.at)?;
            let whole = within.checked_add(len)? <= window.size;
            whole.then_some(window.offset + within)
        })
    }

    /// Why it has no room for a piece.
    fn outside(&self, address: u64, len: u64, at: Option<u64>) -> String {
        let range = |at: u64, len: u64| {
            format!("{at:#x} to {:#x}", at.saturating_add(len.saturating_sub(1)))
        };
        let (piece, path) = (range(address, len), self.path);
        let size = self.size;
        if let Some(at) = at {
            return format!(
                "{piece} and what is before it do not fit into the {size:#x} bytes of `{path}` from {at:#x} on"
            );
        }
        let places: Vec<_> = self.windows.iter().map(|w| range(w.at, w.size)).collect();
        let is = match &places[..] {
            [] => "not on the system bus".to_owned(),
            places => format!("at {}", places.join(" and ")),
        };
        format!(
            "it has something for {piece}, and `{path}` is {is}; `,at=0` puts what it has first at the start of the memory; {KERNELS}"
        )
    }
}

/// The segments of an ELF file.
fn elf(bytes: &[u8], plan: &Plan) -> Result<Vec<Piece>, BootError> {
    match bytes.get(4) {
        Some(2) => segments::<FileHeader64<Endianness>>(bytes, plan),
        _ => segments::<FileHeader32<Endianness>>(bytes, plan),
    }
}

fn segments<H: FileHeader<Endian = Endianness>>(
    bytes: &[u8],
    plan: &Plan,
) -> Result<Vec<Piece>, BootError> {
    let broken = |e: object::Error| {
        BootError(format!(
            "it is a broken ELF file: {e}; make it anew, or take it as it is with `,format=raw`; {KERNELS}"
        ))
    };
    let header = H::parse(bytes).map_err(broken)?;
    let endian = header.endian().map_err(broken)?;
    let mut pieces = Vec::new();
    for segment in header.program_headers(endian, bytes).map_err(broken)? {
        let len: u64 = segment.p_filesz(endian).into();
        if segment.p_type(endian) != PT_LOAD || len == 0 {
            continue;
        }
        let start = segment.p_offset(endian).into();
        let Ok(data) = bytes.read_bytes_at(start, len) else {
            return BootError::refuse("it is cut short: a segment lies beyond the end of the file");
        };
        let (va, pa) = (
            segment.p_vaddr(endian).into(),
            segment.p_paddr(endian).into(),
        );
        let at = plan
            .boot
            .as_ref()
            .map_or(pa, |boot| boot.protocol.physical(va, pa));
        pieces.push((at, data.to_vec()));
    }
    in_order(pieces)
}

/// Sorts pieces by their addresses.
fn in_order(mut pieces: Vec<Piece>) -> Result<Vec<Piece>, BootError> {
    if pieces.is_empty() {
        return BootError::refuse("it has nothing for a memory");
    }
    pieces.sort_by_key(|(at, _)| *at);
    for pair in pieces.windows(2) {
        let (first, second) = (&pair[0], &pair[1]);
        if first.0.saturating_add(first.1.len() as u64) > second.0 {
            return BootError::refuse(format!("it has two things for {:#x}", second.0));
        }
    }
    Ok(pieces)
}

/// What a line says.
enum Line {
    Data(u64, Vec<u8>),
    Other,
    /// The last one.
    End,
}

/// A format whose files are lines.
trait Lines {
    /// Takes a line, without what is white around it.
    fn take(&mut self, line: &[u8]) -> Result<Line, String>;
    /// How the last line begins.
    const LAST: &'static str;
}

/// The pieces that lines have. Neighbours become one.
fn lines<L: Lines>(bytes: &[u8], what: &str, format: &mut L) -> Result<Vec<Piece>, BootError> {
    let (mut pieces, mut ended) = (Vec::<Piece>::new(), false);
    for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        let bad = |why: &str| {
            BootError(format!(
                "line {number} of its {what}: {why}; make the file anew, or take it as it is with `,format=raw`"
            ))
        };
        if ended {
            return Err(bad("the file has already ended"));
        }
        match format.take(line).map_err(|why| bad(&why))? {
            Line::End => ended = true,
            Line::Other => {}
            Line::Data(at, data) => match pieces.last_mut() {
                Some((start, before)) if *start + before.len() as u64 == at => before.extend(data),
                _ => pieces.push((at, data)),
            },
        }
    }
    match ended {
        true => in_order(pieces),
        false => BootError::refuse(format!(
            "its {what} are cut short: the last line begins with {}",
            L::LAST
        )),
    }
}

/// Bytes as pairs of hexadecimal digits.
fn pairs(digits: &[u8]) -> Result<Vec<u8>, String> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let mut bytes = Vec::with_capacity(digits.len() / 2);
    for pair in digits.chunks(2) {
        let [high, low] = pair else {
            return Err("a digit is missing".to_owned());
        };
        let (Some(high), Some(low)) = (digit(high), digit(low)) else {
            return Err(format!("{} is no hexadecimal number", pair.escape_ascii()));
        };
        bytes.push((high * 16 + low) as u8);
    }
    Ok(bytes)
}

/// Adds bytes up, as both formats do.
fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

fn wrong_sum(is: u8, made: u8) -> String {
    format!("its checksum is {is:02X}, and its bytes make {made:02X}")
}

fn wrong_length(says: u8, is: usize) -> String {
    format!("it says that it has {says} bytes, and has {is}")
}

/// A line of Intel HEX behind its colon: type, address and data.
fn ihex(digits: &[u8]) -> Result<(u8, u16, Vec<u8>), String> {
    let bytes = pairs(digits)?;
    let [len, high, low, kind, data @ .., check] = &bytes[..] else {
        return Err("it is too short".to_owned());
    };
    if usize::from(*len) != data.len() {
        return Err(wrong_length(*len, data.len()));
    }
    let made = sum(&bytes[..bytes.len() - 1]).wrapping_neg();
    match made == *check {
        true => Ok((*kind, u16::from_be_bytes([*high, *low]), data.to_vec())),
        false => Err(wrong_sum(*check, made)),
    }
}

/// Intel HEX: what is added to addresses.
#[derive(Default)]
struct Ihex {
    base: u64,
}

impl Lines for Ihex {
    const LAST: &'static str = ":00000001";

    fn take(&mut self, line: &[u8]) -> Result<Line, String> {
        let Some(digits) = line.strip_prefix(b":") else {
            return Err("it does not begin with a colon".to_owned());
        };
        let (kind, address, data) = ihex(digits)?;
        match (kind, &data[..]) {
            (0, _) => Ok(Line::Data(self.base + u64::from(address), data)),
            (1, []) => Ok(Line::End),
            (2, [high, low]) => {
                self.base = u64::from(u16::from_be_bytes([*high, *low])) << 4;
                Ok(Line::Other)
            }
            (4, [high, low]) => {
                self.base = u64::from(u16::from_be_bytes([*high, *low])) << 16;
                Ok(Line::Other)
            }
            // Where a program starts is the matter of the CPU's reset.
            (3 | 5, [_, _, _, _]) => Ok(Line::Other),
            (1..=5, _) => Err(format!("type {kind} has not {} bytes", data.len())),
            _ => Err(format!("there is no type {kind}")),
        }
    }
}

/// A line of S-records behind its type: the address and the data.
fn srec(kind: u8, digits: &[u8]) -> Result<(u64, Vec<u8>), String> {
    let width = match kind {
        b'0' | b'1' | b'5' | b'9' => 2,
        b'2' | b'6' | b'8' => 3,
        b'3' | b'7' => 4,
        _ => return Err(format!("there is no type S{}", [kind].escape_ascii())),
    };
    let bytes = pairs(digits)?;
    let [len, content @ .., check] = &bytes[..] else {
        return Err("it is too short".to_owned());
    };
    if usize::from(*len) != content.len() + 1 {
        return Err(wrong_length(*len, content.len() + 1));
    }
    let made = !sum(&bytes[..bytes.len() - 1]);
    if made != *check {
        return Err(wrong_sum(*check, made));
    }
    let Some((address, data)) = content.split_at_checked(width) else {
        return Err("it is too short for its address".to_owned());
    };
    let address = address
        .iter()
        .fold(0, |at, byte| at << 8 | u64::from(*byte));
    Ok((address, data.to_vec()))
}

/// Motorola's S-records: how many had data.
#[derive(Default)]
struct Srec {
    records: u64,
}

impl Lines for Srec {
    const LAST: &'static str = "S7, S8 or S9";

    fn take(&mut self, line: &[u8]) -> Result<Line, String> {
        let [b'S', kind, digits @ ..] = line else {
            return Err("it does not begin with S".to_owned());
        };
        let (address, data) = srec(*kind, digits)?;
        match kind {
            b'1'..=b'3' => {
                self.records += 1;
                Ok(Line::Data(address, data))
            }
            // The count has no more room than its address.
            b'5' | b'6' if address != self.records => Err(format!(
                "it says that there were {address} lines with data, and there were {}",
                self.records
            )),
            b'7'..=b'9' => Ok(Line::End),
            _ => Ok(Line::Other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &[u8] = b":020000040001F9\r\n:0400100001020304E2\r\n:01001400FFEC\n\n:020000040000FA\n:01000000AA55\n:00000001FF\n";
    const SREC: &[u8] = b"S00600004844521B\r\nS107001001020304DE\r\nS205123456AAB4\r\nS30680000000BBBE\r\nS5030003F9\r\nS705800000007A\r\n";

    fn hex(text: &[u8]) -> Result<Vec<Piece>, String> {
        lines(text, "Intel HEX", &mut Ihex::default()).map_err(|e| e.0)
    }

    fn records(text: &[u8]) -> Result<Vec<Piece>, String> {
        lines(text, "S-records", &mut Srec::default()).map_err(|e| e.0)
    }

    #[test]
    fn files_are_what_they_begin_with() {
        for (head, format) in [
            (HEX, ImageFormat::Ihex),
            (SREC, ImageFormat::Srec),
            (b"\x7fELF\x01", ImageFormat::Elf),
            // A checksum is wrong.
            (b":020000040001F8\n", ImageFormat::Raw),
            (b"S107001001020304DF\n", ImageFormat::Raw),
            (b":", ImageFormat::Raw),
            (b"S", ImageFormat::Raw),
            (b"", ImageFormat::Raw),
        ] {
            assert_eq!(ImageFormat::of(head), format, "{}", head.escape_ascii());
        }
        for (name, format) in NAMES {
            assert_eq!(
                (name.parse(), format.to_string()),
                (Ok(format), name.to_owned())
            );
        }
    }

    #[test]
    fn intel_hex_has_pieces_by_their_addresses() {
        let pieces = vec![(0, vec![0xaa]), (0x10010, vec![1, 2, 3, 4, 0xff])];
        assert_eq!(hex(HEX), Ok(pieces));
        let segment = b":020000021000EC\n:0100050007F3\n:00000001FF";
        assert_eq!(hex(segment), Ok(vec![(0x10005, vec![7])]));
        for (text, why) in [
            (
                &b":0100000001FE\n"[..],
                "cut short: the last line begins with :00000001",
            ),
            (
                b":0100000001FF\n",
                "line 1 of its Intel HEX: its checksum is FF, and its bytes make FE",
            ),
            (
                b"\n:0200000001FD\n",
                "line 2 of its Intel HEX: it says that it has 2 bytes, and has 1",
            ),
            (b":01000000G1FE\n", "G1 is no hexadecimal number"),
            (b":01000000010\n", "a digit is missing"),
            (b":0000\n", "it is too short"),
            (b":00000006FA\n", "there is no type 6"),
            (b":0100000101FD\n", "type 1 has not 1 bytes"),
            (
                b":00000001FF\n:00000001FF\n",
                "line 2 of its Intel HEX: the file has already ended",
            ),
            (b"0100000001FE\n", "it does not begin with a colon"),
            (
                b":0100000001FE\n:0100000002FD\n:00000001FF\n",
                "it has two things for 0x0",
            ),
            (b":00000001FF\n", "it has nothing for a memory"),
        ] {
            let said = hex(text).unwrap_err();
            assert!(said.contains(why), "{}: {said}", text.escape_ascii());
        }
    }

    #[test]
    fn s_records_have_pieces_by_their_addresses() {
        let pieces = vec![
            (0x10, vec![1, 2, 3, 4]),
            (0x12_3456, vec![0xaa]),
            (0x8000_0000, vec![0xbb]),
        ];
        assert_eq!(records(SREC), Ok(pieces));
        for (text, why) in [
            (
                &b"S107001001020304DE\n"[..],
                "the last line begins with S7, S8 or S9",
            ),
            (
                b"S107001001020304DE\nS5030002FA\n",
                "it says that there were 2 lines with data, and there were 1",
            ),
            (b"S4030000FC\n", "there is no type S4"),
            (b"S10200FD\n", "it is too short for its address"),
            (b"S1\n", "it is too short"),
            (b"X\n", "it does not begin with S"),
        ] {
            let said = records(text).unwrap_err();
            assert!(said.contains(why), "{}: {said}", text.escape_ascii());
        }
    }
}

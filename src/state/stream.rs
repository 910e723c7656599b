//! The bytes of a stream. `docs/state.md` describes them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;

use rustix::fs::{MemfdFlags, memfd_create};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use solderless_model::memory::{PAGE, Ram};
use solderless_model::{Section, Size, Type};

use super::layout::Layout;
use super::live::{self, LIVE, Link};
use super::runs::{BUFFER, Content, Run, fill, read_padded, runs, write_padded};
use crate::plan::MOST_MEMORY;
use crate::visible::name;

/// What a stream starts with.
pub(super) const MAGIC: [u8; 8] = *b"\x93SOLDER\n";
/// What it ends with, behind the checksum of all that stands before.
const END: [u8; 8] = *b"\x93SOLEND\n";
/// The newest format of streams of a machine that stands still, from which on runs of memory may be repeated; a stream without such
/// runs has the format before. Both also say that sections are encoded by bincode 2 with fixed-width little-endian integers, as
/// they are in those of a machine that runs ([`LIVE`]).
const REPEATS: u32 = 2;

/// The most bytes of what a stream says of itself: its board, which has few, and the devices and layout of that.
pub(super) const MOST_DESCRIPTION: u64 = 64 << 20;
/// The most bytes of sections, which hold a kernel and its initial RAM disk: as much as half of what a CPU of 32 bits reaches.
pub(super) const MOST_SECTIONS: u64 = 2 << 30;
/// The most bytes of the table: as many as if each page that there can be were a run.
const MOST_TABLE: u64 = 64 << 20;

const HEADER: usize = 96;
const TRAILER: u64 = 12;
/// A run of fewer pages is read, not mapped: a mapping costs more than it saves.
const SMALL_RUN: u64 = 4;
/// No more pieces than this are mapped; each takes two of the 65,530 mappings that Linux gives a process.
const MAPPINGS: u32 = 16 << 10;

/// Why a stream is not taken.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The host cannot give it.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is no stream, a broken one, or one from the future.
    #[error("{0}")]
    Broken(String),
}

pub(super) fn broken<T>(reason: impl Into<String>) -> Result<T, StreamError> {
    Err(StreamError::Broken(reason.into()))
}

/// What a stream says of a device beside its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceSays {
    /// Its type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Every property, defaults included.
    pub properties: Json,
}

/// What a stream says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The resolved board, as TOML.
    pub board: String,
    /// The rest.
    pub about: About,
}

/// What a stream says of itself beside the board.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The version of the program that saved it.
    pub program: String,
    /// The devices, by name.
    pub devices: BTreeMap<String, DeviceSays>,
    /// The state version that the machine was saved at.
    pub state: u32,
    /// What is in the sections.
    pub layout: Layout,
}

/// A saved machine.
#[derive(Debug)]
pub struct Stream {
    /// What it says of itself.
    pub description: Description,
    /// The sections, in the order of the layout.
    pub sections: Vec<Section>,
    /// The format of its header and of what that points to.
    pub format: u32,
    /// How many bytes it has.
    pub length: u64,
    /// How many bytes of guest memory it carries.
    pub carried: u64,
    /// The machine stood still, and is to stand still where it goes on.
    pub stands: bool,
}

/// Filled runs are mapped from a piece of memory of this size: a longer one takes longer to fill than it saves mappings.
const PATTERN: u64 = 512 << 10;
/// Only for very long runs, so that they take no more mappings than this, it is longer.
const PIECES: u64 = 1 << 10;

/// A block, and the runs of its pages that a stream has.
type Block = (Ram, Vec<Run>);

/// Where a part of the stream lies.
#[derive(Debug, Clone, Copy, Default)]
struct Extent {
    at: u64,
    len: u64,
}

struct Header {
    format: u32,
    total: u64,
    description: Extent,
    sections: Extent,
    table: Extent,
    memory: Extent,
}

/// What every stream begins with: what it is, its format and flags.
pub(super) fn start_of(format: u32, flags: u32) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend(format.to_le_bytes());
    out.extend(flags.to_le_bytes());
    out
}

impl Header {
    fn encode(&self) -> Vec<u8> {
        let mut out = start_of(self.format, 0);
        out.extend(self.total.to_le_bytes());
        for extent in [self.description, self.sections, self.table, self.memory] {
            out.extend(extent.at.to_le_bytes());
            out.extend(extent.len.to_le_bytes());
        }
        out.extend(0u32.to_le_bytes());
        seal(&mut out, 0);
        out
    }

    fn decode(bytes: &[u8; HEADER]) -> Result<Self, StreamError> {
        let mut from = Bytes(bytes);
        if from.take(8)? != MAGIC {
            return broken("this is no stream of a machine's state");
        }
        let format = from.u32()?;
        if format > LIVE {
            return broken(format!(
                "the stream has format {format}, this program reads up to {LIVE}: a newer program wrote it"
            ));
        }
        check(bytes, "header")?;
        let flags = from.u32()?;
        if flags != 0 || format == 0 {
            return broken(format!("the header has unknown flags ({flags:#x})"));
        }
        let total = from.u64()?;
        let mut extents = [Extent::default(); 4];
        let mut end = HEADER as u64;
        for (index, extent) in extents.iter_mut().enumerate() {
            *extent = Extent {
                at: from.u64()?,
                len: from.u64()?,
            };
            if index == 3 {
                end = end.next_multiple_of(PAGE);
            }
            if extent.at != end {
                return broken("the header contradicts itself about what lies where");
            }
            // So that nothing below can overflow.
            end = end
                .checked_add(extent.len)
                .filter(|end| *end < 1 << 62)
                .ok_or_else(|| {
                    StreamError::Broken("the header speaks of impossible lengths".to_owned())
                })?;
        }
        let [description, sections, table, memory] = extents;
        for (what, extent, most) in [
            ("description", description, MOST_DESCRIPTION),
            ("sections' part", sections, MOST_SECTIONS),
            ("table of memory", table, MOST_TABLE),
            ("memory", memory, MOST_MEMORY),
        ] {
            if extent.len > most {
                return broken(format!(
                    "the {what} has {} bytes, more than there can be ({most})",
                    extent.len
                ));
            }
        }
        if end + TRAILER != total || from.u32()? != 0 {
            return broken("the header contradicts itself about the stream's length");
        }
        Ok(Self {
            format,
            total,
            description,
            sections,
            table,
            memory,
        })
    }
}

/// Appends the checksum of all from `start` on.
fn seal(out: &mut Vec<u8>, start: usize) {
    let sum = crc32c::crc32c(&out[start..]);
    out.extend(sum.to_le_bytes());
}

/// Makes sure that the last four bytes are the checksum of those before.
fn check<'a>(bytes: &'a [u8], what: &str) -> Result<&'a [u8], StreamError> {
    match bytes.split_last_chunk::<4>() {
        Some((content, sum)) if crc32c::crc32c(content) == u32::from_le_bytes(*sum) => Ok(content),
        _ => broken(format!("the {what} is damaged (its checksum is wrong)")),
    }
}

/// What is left to decode.
pub(super) struct Bytes<'a>(pub &'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, len: u64) -> Result<&'a [u8], StreamError> {
        let split = usize::try_from(len)
            .ok()
            .and_then(|len| self.0.split_at_checked(len));
        match split {
            Some((taken, rest)) => {
                self.0 = rest;
                Ok(taken)
            }
            None => broken("a length is larger than what holds it"),
        }
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], StreamError> {
        let bytes = self.take(N as u64)?;
        bytes.try_into().or_else(|_| broken("it ends early"))
    }

    pub fn u32(&mut self) -> Result<u32, StreamError> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, StreamError> {
        self.array().map(u64::from_le_bytes)
    }

    fn text(&mut self, what: &str) -> Result<String, StreamError> {
        let len = self.u64()?;
        let bytes = self.take(len)?.to_vec();
        String::from_utf8(bytes).or_else(|_| broken(format!("the {what} is no text")))
    }

    /// What a stream says of itself.
    pub fn description(&mut self) -> Result<Description, StreamError> {
        let board = self.text("board")?;
        let about = self.text("layout")?;
        // JSON has no end of a line in a text but as an escape, and our names have none.
        if about.contains('\\') && serde_json::from_str(&about).is_ok_and(|about| breaks(&about)) {
            return broken("a name in its description has more than one line");
        }
        let about: About = serde_json::from_str(&about)
            .map_err(|e| StreamError::Broken(format!("the description makes no sense: {e}")))?;
        Ok(Description { board, about })
    }
}

/// Writes what a stream says of itself.
pub(super) fn put_description(out: &mut Vec<u8>, description: &Description) -> io::Result<()> {
    put_text(out, &description.board);
    put_text(out, &serde_json::to_string(&description.about)?);
    Ok(())
}

/// The memory blocks of a stream, as they are said to be.
pub(super) struct Memories {
    /// The sizes of those that each section has.
    says: Vec<Vec<Option<u64>>>,
    total: u64,
}

impl Memories {
    pub fn of(layout: &Layout) -> Self {
        let says = layout.sections.iter().map(|says| {
            let content = layout.content(says);
            content.map(Type::memories).unwrap_or_default()
        });
        Self {
            says: says.collect(),
            total: 0,
        }
    }

    /// Makes the next block of this section.
    pub fn block(
        &mut self,
        sections: &mut [Section],
        section: u64,
        size: u64,
    ) -> Result<Ram, StreamError> {
        let index = usize::try_from(section).unwrap_or(usize::MAX);
        let (Some(section), Some(says)) = (sections.get_mut(index), self.says.get(index)) else {
            return broken("memory of a section that there is not");
        };
        if !says.contains(&Some(size)) && !says.contains(&None) {
            return broken(format!(
                "the section {} has {} of memory, which is not what its layout says",
                section.path,
                Size(size)
            ));
        }
        self.total = self.total.saturating_add(size.next_multiple_of(PAGE));
        if self.total > MOST_MEMORY {
            return broken(format!("it has more than {} of memory", Size(MOST_MEMORY)));
        }
        let block = Ram::new(size).map_err(|e| StreamError::Broken(e.to_string()))?;
        section.memory.push(block.clone());
        Ok(block)
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

/// Told how many bytes of how many are done.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);

/// Writes a stream front to back.
///
/// # Errors
/// The layout does not name the sections, which is a mistake of this program; or it cannot be written.
pub fn write(
    out: &mut dyn Write,
    description: &Description,
    sections: &[Section],
    progress: Progress<'_>,
) -> Result<u64, StreamError> {
    let layout = &description.about.layout;
    if !layout
        .sections
        .iter()
        .map(|s| &s.path)
        .eq(sections.iter().map(|s| &s.path))
    {
        return broken("the machine's sections are not those of its layout");
    }
    let owned = sections.iter().enumerate();
    let (owners, blocks): (Vec<usize>, Vec<&Ram>) = owned
        .flat_map(|(index, s)| s.memory.iter().map(move |block| (index, block)))
        .unzip();
    let runs = runs(&blocks)?;

    let mut text = Vec::new();
    put_description(&mut text, description)?;
    seal(&mut text, 0);

    let mut body = (sections.len() as u32).to_le_bytes().to_vec();
    for (section, layout) in sections.iter().zip(&layout.sections) {
        let start = body.len();
        put_text(&mut body, &section.path);
        put_text(&mut body, &layout.model);
        body.extend(layout.version.to_le_bytes());
        body.extend((section.payload.len() as u64).to_le_bytes());
        body.extend(&section.payload);
        seal(&mut body, start);
    }
    seal(&mut body, 0);

    let mut table = (runs.len() as u64).to_le_bytes().to_vec();
    let (mut format, mut carried) = (REPEATS - 1, 0);
    for ((owner, block), runs) in owners.iter().zip(&blocks).zip(&runs) {
        let start = [*owner as u64, block.size(), runs.len() as u64];
        let entries = runs.iter().flat_map(Run::encode);
        table.extend(start.into_iter().chain(entries).flat_map(u64::to_le_bytes));
        for run in runs {
            carried += run.carried();
            if matches!(run.content, Content::Repeated(_)) {
                format = REPEATS;
            }
        }
    }
    seal(&mut table, 0);

    let extent = |at, bytes: &[u8]| Extent {
        at,
        len: bytes.len() as u64,
    };
    let description = extent(HEADER as u64, &text);
    let sections = extent(description.at + description.len, &body);
    let table_at = extent(sections.at + sections.len, &table);
    let memory = Extent {
        at: (table_at.at + table_at.len).next_multiple_of(PAGE),
        len: carried,
    };
    let header = Header {
        format,
        total: memory.at + memory.len + TRAILER,
        description,
        sections,
        table: table_at,
        memory,
    };
    let mut start = header.encode();
    start.append(&mut text);
    start.append(&mut body);
    start.append(&mut table);
    start.resize(memory.at as usize, 0);

    let mut sum = crc32c::crc32c(&start);
    out.write_all(&start)?;
    let mut done = start.len() as u64;
    progress(done, header.total);
    let mut buffer = vec![0; BUFFER];
    for (block, runs) in blocks.iter().zip(&runs) {
        for run in runs.iter().filter(|run| run.content == Content::Carried) {
            for (offset, len) in run.pieces() {
                let piece = &mut buffer[..len];
                read_padded(block, offset, piece)?;
                sum = crc32c::crc32c_append(sum, piece);
                out.write_all(piece)?;
                done += len as u64;
                progress(done, header.total);
            }
        }
    }
    let mut trailer = sum.to_le_bytes().to_vec();
    trailer.extend(END);
    out.write_all(&trailer)?;
    out.flush()?;
    Ok(header.total)
}

/// Maps pieces of files as guest memory.
struct Mapper {
    /// How many more.
    left: u32,
    /// Files filled with one value each, to be mapped wherever that value is; and their lengths.
    patterns: BTreeMap<u8, (File, u64)>,
}

impl Default for Mapper {
    fn default() -> Self {
        Self {
            left: MAPPINGS,
            patterns: BTreeMap::new(),
        }
    }
}

impl Mapper {
    /// Whether the pages could be mapped.
    fn map(&mut self, block: &Ram, page: u64, pages: u64, file: &File, at: u64) -> bool {
        if pages < SMALL_RUN || self.left == 0 {
            return false;
        }
        self.left -= 1;
        block.map(page, pages, file, at).is_ok()
    }

    /// Fills a run of a block that is new, so zero.
    fn fill(&mut self, block: &Ram, run: &Run, byte: u8) -> Result<(), StreamError> {
        let end = run.page + run.pages;
        if byte == 0 {
            return Ok(());
        }
        if run.pages < SMALL_RUN || end * PAGE > block.size() {
            return fill(block, run, byte);
        }
        let (file, mut length) = match self.patterns.remove(&byte) {
            Some(there) => there,
            None => {
                let file = memfd_create("pattern", MemfdFlags::CLOEXEC).map_err(io::Error::from)?;
                (File::from(file), 0)
            }
        };
        let longest = PATTERN.max((run.pages / PIECES + 1).next_power_of_two() * PAGE);
        let wanted = (run.pages * PAGE).min(longest);
        let piece = [byte; PAGE as usize];
        while length < wanted {
            file.write_all_at(&piece, length)?;
            length += PAGE;
        }
        for page in (run.page..end).step_by((wanted / PAGE) as usize) {
            let pages = (end - page).min(wanted / PAGE);
            if !self.map(block, page, pages, &file, 0) {
                let rest = Run {
                    page,
                    pages,
                    ..*run
                };
                fill(block, &rest, byte)?;
            }
        }
        self.patterns.insert(byte, (file, length));
        Ok(())
    }
}

impl Stream {
    /// Reads a stream front to back, all checksums included.
    ///
    /// # Errors
    /// It cannot be read, is none, or is damaged.
    pub fn read(from: &mut dyn Read, progress: Progress<'_>) -> Result<Self, StreamError> {
        Self::arrive(from, None, &mut |_| Ok(()), progress).map(|(stream, _)| stream)
    }

    /// The same. `check` says whether a machine of this description can be taken, before any of its memory comes. Where the
    /// machine runs meanwhile, and its source can be answered by `back`, it waits for that.
    ///
    /// # Errors
    /// As [`Stream::read`]; or `check` says no.
    pub fn arrive(
        from: &mut dyn Read,
        back: Option<File>,
        check: &mut dyn FnMut(&Description) -> Result<(), StreamError>,
        progress: Progress<'_>,
    ) -> Result<(Self, Option<Link>), StreamError> {
        let mut from = Summed { from, sum: 0 };
        let mut start = [0; live::START];
        from.exact(&mut start)?;
        let mut parts = Bytes(&start);
        if parts.take(8)? == MAGIC && parts.u32()? == LIVE {
            return live::receive(&mut from, parts.u32()?, back, check, progress);
        }
        let (header, mut stream, runs) = Self::start(&mut from, &start)?;
        check(&stream.description)?;
        let mut done = header.memory.at;
        let mut mapper = Mapper::default();
        let mut buffer = vec![0; BUFFER];
        // What has been read so far: by its offset in the stream's memory, the block and the offset there.
        let mut there: BTreeMap<u64, (&Ram, u64)> = BTreeMap::new();
        for (block, runs) in &runs {
            for run in runs {
                match run.content {
                    Content::Filled(byte) => mapper.fill(block, run, byte)?,
                    Content::Carried => {
                        there.insert(done - header.memory.at, (block, run.page * PAGE));
                        for (offset, len) in run.pieces() {
                            let piece = &mut buffer[..len];
                            from.exact(piece)?;
                            write_padded(block, offset, piece)?;
                            done += len as u64;
                            progress(done, header.total);
                        }
                    }
                    Content::Repeated(at) => {
                        let page = &mut buffer[..PAGE as usize];
                        for offset in (0..run.pages).map(|page| page * PAGE) {
                            if let Some((start, (from, first))) =
                                there.range(..=at + offset).next_back()
                            {
                                read_padded(from, first + (at + offset - start), page)?;
                            }
                            write_padded(block, run.page * PAGE + offset, page)?;
                        }
                    }
                }
            }
        }
        let sum = from.sum;
        let mut trailer = [0; TRAILER as usize];
        from.exact(&mut trailer)?;
        Self::end(&trailer)?;
        if trailer[..4] != sum.to_le_bytes() {
            return broken("the stream is damaged (its checksum is wrong)");
        }
        stream.length = header.total;
        Ok((stream, None))
    }

    /// Takes a stream from a file without reading its memory: the pages are mapped, privately. Their checksum is not
    /// looked at; those of all else are. One that was sent while its machine ran is read.
    ///
    /// # Errors
    /// As [`Stream::read`].
    pub fn map(file: &File) -> Result<Self, StreamError> {
        let length = file.metadata()?.len();
        let mut reader = io::BufReader::with_capacity(64 << 10, file);
        let mut from = Summed {
            from: &mut reader,
            sum: 0,
        };
        let whole = |total| match length == total {
            true => Ok(()),
            false => broken(format!(
                "the file has {length} bytes, its stream {total}: it is {}",
                if length < total {
                    "cut short"
                } else {
                    "too long"
                }
            )),
        };
        let mut start = [0; live::START];
        from.exact(&mut start)?;
        let mut parts = Bytes(&start);
        if parts.take(8)? == MAGIC && parts.u32()? == LIVE {
            let (check, progress) = (&mut |_: &_| Ok(()), &mut |_, _| {});
            let (stream, _) = live::receive(&mut from, parts.u32()?, None, check, progress)?;
            whole(stream.length)?;
            return Ok(stream);
        }
        let (header, mut stream, runs) = Self::start(&mut from, &start)?;
        whole(header.total)?;
        let mut trailer = [0; TRAILER as usize];
        file.read_exact_at(&mut trailer, length - TRAILER)?;
        Self::end(&trailer)?;
        let mut at = header.memory.at;
        let mut mapper = Mapper::default();
        let mut buffer = vec![0; BUFFER];
        for (block, runs) in &runs {
            for run in runs {
                let from = match run.content {
                    Content::Filled(byte) => {
                        mapper.fill(block, run, byte)?;
                        continue;
                    }
                    Content::Carried => at,
                    Content::Repeated(offset) => header.memory.at + offset,
                };
                // The last page of a block that it does not fill is looked at.
                let whole = run.pages.min(block.size() / PAGE - run.page);
                let mapped = mapper.map(block, run.page, whole, file, from);
                let rest = Run {
                    page: run.page + if mapped { whole } else { 0 },
                    pages: run.pages - if mapped { whole } else { 0 },
                    ..*run
                };
                let mut here = from + (rest.page - run.page) * PAGE;
                for (offset, len) in rest.pieces() {
                    let piece = &mut buffer[..len];
                    file.read_exact_at(piece, here)?;
                    write_padded(block, offset, piece)?;
                    here += len as u64;
                }
                at += run.carried();
            }
        }
        stream.length = header.total;
        Ok(stream)
    }

    fn end(trailer: &[u8; TRAILER as usize]) -> Result<(), StreamError> {
        match trailer.ends_with(&END) {
            true => Ok(()),
            false => broken("the stream's end mark is missing"),
        }
    }

    /// Reads everything in front of the memory, from behind the start.
    fn start(
        from: &mut Summed<'_>,
        start: &[u8; live::START],
    ) -> Result<(Header, Self, Vec<Block>), StreamError> {
        let mut header = [0; HEADER];
        let (first, rest) = header.split_at_mut(live::START);
        first.copy_from_slice(start);
        from.exact(rest)?;
        let header = Header::decode(&header)?;

        let bytes = from.claimed(header.description.len)?;
        let mut text = Bytes(check(&bytes, "description")?);
        let description = text.description()?;
        if !text.0.is_empty() {
            return broken("the description has bytes left over");
        }
        let layout = &description.about.layout;

        let bytes = from.claimed(header.sections.len)?;
        let mut sections = sections(&bytes, layout)?;
        let mut memories = Memories::of(layout);

        let bytes = from.claimed(header.table.len)?;
        let mut table = Bytes(check(&bytes, "table of memory")?);
        let mut runs = Vec::new();
        let mut carried = 0u64;
        for _ in 0..table.u64()? {
            let (section, size, count) = (table.u64()?, table.u64()?, table.u64()?);
            let block = memories.block(&mut sections, section, size)?;
            let mut of_block = Vec::new();
            let mut next = 0;
            for _ in 0..count {
                let run = Run::decode([table.u64()?, table.u64()?, table.u64()?]);
                let Some(run) = run else {
                    return broken("the table of memory has an unknown kind of run");
                };
                let end = run
                    .page
                    .checked_add(run.pages)
                    .filter(|end| *end <= block.pages());
                match end {
                    Some(end) if run.page >= next && run.pages > 0 => next = end,
                    _ => return broken("memory outside of its block, or out of order"),
                }
                if let Content::Repeated(at) = run.content
                    && (header.format < REPEATS
                        || (run.pages * PAGE)
                            .checked_add(at)
                            .is_none_or(|end| end > carried))
                {
                    return broken("memory is repeated that has not come");
                }
                carried = carried.saturating_add(run.carried());
                of_block.push(run);
            }
            runs.push((block, of_block));
        }
        if !table.0.is_empty() || header.memory.len != carried {
            return broken("the table of memory does not match the memory");
        }
        let padding = header.memory.at - (header.table.at + header.table.len);
        if from.claimed(padding)?.iter().any(|b| *b != 0) {
            return broken("there is something between the parts of the stream");
        }
        let stream = Self {
            description,
            sections,
            format: header.format,
            length: 0,
            carried: header.memory.len,
            stands: false,
        };
        Ok((header, stream, runs))
    }
}

/// Whether a text in it has more than one line.
fn breaks(json: &Json) -> bool {
    let more = |text: &str| text.contains(['\n', '\r']);
    match json {
        Json::String(text) => more(text),
        Json::Array(items) => items.iter().any(breaks),
        Json::Object(fields) => fields
            .iter()
            .any(|(name, value)| more(name) || breaks(value)),
        _ => false,
    }
}

/// The sections, which are those of the layout.
fn sections(bytes: &[u8], layout: &Layout) -> Result<Vec<Section>, StreamError> {
    let all = check(bytes, "sections' part")?;
    let mut from = Bytes(all);
    let count = from.u32()?;
    if count as usize != layout.sections.len() {
        return broken(format!(
            "the stream has {count} sections, its layout {}",
            layout.sections.len()
        ));
    }
    let mut sections = Vec::new();
    for says in &layout.sections {
        let start = all.len() - from.0.len();
        let path = from.text("section's name")?;
        let model = from.text("section's model")?;
        let version = from.u32()?;
        let len = from.u64()?;
        let payload = from.take(len)?.to_vec();
        let end = all.len() - from.0.len() + 4;
        from.u32()?;
        check(&all[start..end], &format!("section {}", name(&path)))?;
        if (&path, &model, version) != (&says.path, &says.model, says.version) {
            let [path, model] = [&path, &model].map(|text| name(text));
            return broken(format!(
                "the section {path} ({model}, version {version}) stands where the layout has {} ({}, version {})",
                says.path, says.model, says.version
            ));
        }
        sections.push(Section {
            path,
            payload,
            memory: Vec::new(),
        });
    }
    match from.0.is_empty() {
        true => Ok(sections),
        false => broken("there is something behind the last section"),
    }
}

/// A reader that sums up what it reads.
pub(super) struct Summed<'a> {
    from: &'a mut dyn Read,
    pub sum: u32,
}

impl Summed<'_> {
    pub fn exact(&mut self, out: &mut [u8]) -> Result<(), StreamError> {
        self.from.read_exact(out).map_err(short)?;
        self.sum = crc32c::crc32c_append(self.sum, out);
        Ok(())
    }

    /// Reads so many bytes, taking memory only as they come: the number is but a claim.
    pub fn claimed(&mut self, len: u64) -> Result<Vec<u8>, StreamError> {
        let mut bytes = Vec::new();
        self.from.take(len).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != len {
            return broken("the stream is cut short");
        }
        self.sum = crc32c::crc32c_append(self.sum, &bytes);
        Ok(bytes)
    }
}

fn short(error: io::Error) -> StreamError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => StreamError::Broken("the stream is cut short".to_owned()),
        _ => StreamError::Io(error),
    }
}

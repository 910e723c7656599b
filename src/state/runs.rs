//! The pages of memory that a stream has: which of them it carries, and where the others come from.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;

use solderless_model::memory::{PAGE, Ram};
use xxhash_rust::xxh3::xxh3_64;

use super::stream::StreamError;

/// Memory goes through a buffer of this size, which stays in the CPU's cache.
pub(super) const BUFFER: usize = 256 << 10;

/// Pages of one block that follow one another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub page: u64,
    pub pages: u64,
    pub content: Content,
}

/// What is in the pages of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// The stream's memory has them.
    Carried,
    /// Every byte has this value.
    Filled(u8),
    /// They are equal to those at this offset of the stream's memory, which stand before.
    Repeated(u64),
}

/// Marks the value of a run in the table.
const FILLED: u64 = 0x100;
/// Marks the offset of a run whose pages the stream's memory has already.
const REPEATED: u64 = 0x200;

impl Run {
    /// How many bytes of the stream's memory it takes.
    pub fn carried(&self) -> u64 {
        match self.content {
            Content::Carried => self.pages.saturating_mul(PAGE),
            Content::Filled(_) | Content::Repeated(_) => 0,
        }
    }

    /// Its entry in the table.
    pub fn encode(&self) -> [u64; 3] {
        let kind = match self.content {
            Content::Carried => 0,
            Content::Filled(byte) => FILLED | u64::from(byte),
            Content::Repeated(at) => REPEATED | at,
        };
        [self.page, self.pages, kind]
    }

    /// Reads an entry of the table; `None` if no run is of this kind.
    pub fn decode([page, pages, kind]: [u64; 3]) -> Option<Self> {
        let content = match kind {
            0 => Content::Carried,
            FILLED..REPEATED => Content::Filled(kind as u8),
            _ if kind % PAGE == REPEATED => Content::Repeated(kind - REPEATED),
            _ => return None,
        };
        Some(Self {
            page,
            pages,
            content,
        })
    }

    /// The run cut into pieces of a buffer at most: where in the block, and how long.
    pub fn pieces(&self) -> impl Iterator<Item = (u64, usize)> + use<> {
        let (start, end) = (self.page * PAGE, (self.page + self.pages) * PAGE);
        (start..end)
            .step_by(BUFFER)
            .map(move |at| (at, (end - at).min(BUFFER as u64) as usize))
    }

    /// Whether this page goes on where the run ends.
    fn goes_on(&self, page: u64, content: Content) -> bool {
        self.page + self.pages == page
            && match (self.content, content) {
                (Content::Repeated(from), Content::Repeated(at)) => from + self.pages * PAGE == at,
                (mine, content) => mine == content,
            }
    }
}

/// The pages of each block that are not all zero. A page that was there before is not carried a second time.
pub(super) fn runs(blocks: &[&Ram]) -> io::Result<Vec<Vec<Run>>> {
    // Few pages are equal to another, so all of a page is looked at only where some of it is equal.
    let mut alike: HashMap<u64, bool> = HashMap::new();
    let mut pages = Vec::new();
    for (index, block) in blocks.iter().enumerate() {
        let untouched = block.untouched().unwrap_or_default();
        for page in 0..block.pages() {
            if untouched.get(page as usize) == Some(&true) {
                continue;
            }
            let kind = match block.uniform(page).map_err(io::Error::other)? {
                Some(0) => continue,
                Some(byte) => Err(byte),
                None => {
                    let sample = sample(block, page);
                    let first = alike.entry(sample);
                    first.and_modify(|again| *again = true).or_insert(false);
                    Ok(sample)
                }
            };
            pages.push((index, page, kind));
        }
    }
    let mut all: Vec<Vec<Run>> = blocks.iter().map(|_| Vec::new()).collect();
    let mut seen = Seen::default();
    let mut carried = 0;
    for (index, page, kind) in pages {
        let content = match kind {
            Err(byte) => Content::Filled(byte),
            Ok(sample) if !alike[&sample] => Content::Carried,
            Ok(_) => match seen.before(blocks[index], page, carried)? {
                Some(at) => Content::Repeated(at),
                None => Content::Carried,
            },
        };
        match all[index].last_mut() {
            Some(run) if run.goes_on(page, content) => run.pages += 1,
            _ => all[index].push(Run {
                page,
                pages: 1,
                content,
            }),
        }
        if content == Content::Carried {
            carried += PAGE;
        }
    }
    Ok(all)
}

/// A hash of some words of a page.
fn sample(block: &Ram, page: u64) -> u64 {
    const WORDS: u64 = 8;
    let mut bytes = [0; 8 * WORDS as usize];
    for (word, bytes) in (0..WORDS).zip(bytes.chunks_exact_mut(8)) {
        // One in each eighth of the page, not all at the same place in it: tables have zeros in all their columns.
        let offset = page * PAGE + word * (PAGE / WORDS + 24);
        // The last page may be cut short.
        let value = block.read_u64(offset).unwrap_or(0);
        bytes.copy_from_slice(&value.to_ne_bytes());
    }
    xxh3_64(&bytes)
}

/// Pages that are carried, by a hash of their content.
#[derive(Default)]
struct Seen<'a>(HashMap<u64, (&'a Ram, u64, u64)>);

impl<'a> Seen<'a> {
    /// Where the stream's memory has the content of this page; if nowhere, it has it at `carried` now.
    fn before(&mut self, block: &'a Ram, page: u64, carried: u64) -> io::Result<Option<u64>> {
        let (mut bytes, mut other) = ([0; PAGE as usize], [0; PAGE as usize]);
        read_padded(block, page * PAGE, &mut bytes)?;
        match self.0.entry(xxh3_64(&bytes)) {
            Entry::Vacant(place) => {
                place.insert((block, page, carried));
                Ok(None)
            }
            Entry::Occupied(there) => {
                let (block, page, at) = *there.get();
                read_padded(block, page * PAGE, &mut other)?;
                Ok((bytes == other).then_some(at))
            }
        }
    }
}

/// Reads whole pages; the last of a block may be cut short, and is padded with zeros.
pub(super) fn read_padded(block: &Ram, offset: u64, out: &mut [u8]) -> io::Result<()> {
    let there = block.size().saturating_sub(offset).min(out.len() as u64) as usize;
    let (content, padding) = out.split_at_mut(there);
    padding.fill(0);
    block.read(offset, content).map_err(io::Error::other)
}

/// Writes whole pages; the last of a block may be cut short, and is zero there.
pub(super) fn write_padded(block: &Ram, offset: u64, bytes: &[u8]) -> Result<(), StreamError> {
    let there = block.size().saturating_sub(offset).min(bytes.len() as u64) as usize;
    let (content, padding) = bytes.split_at(there);
    if padding.iter().any(|b| *b != 0) {
        return Err(StreamError::Broken(
            "memory behind the end of its block is not zero".to_owned(),
        ));
    }
    block
        .write(offset, content)
        .map_err(|e| StreamError::Broken(e.to_string()))
}

/// Fills the pages of a run.
pub(super) fn fill(block: &Ram, run: &Run, byte: u8) -> Result<(), StreamError> {
    let at = run.page * PAGE;
    let len = (run.pages * PAGE).min(block.size().saturating_sub(at));
    let filled = block.fill(at, len, byte);
    filled.map_err(|e| StreamError::Broken(e.to_string()))
}

//! What a qcow2 image says of itself at its beginning (QEMU, `docs/interop/qcow2.txt`).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::image::QCOW2_MAGIC;

/// Incompatible features.
pub const DIRTY: u64 = 1 << 0;
pub const CORRUPT: u64 = 1 << 1;
pub const DATA_FILE: u64 = 1 << 2;
pub const EXTENDED_L2: u64 = 1 << 4;
/// Those that are known.
const KNOWN: u64 = 0x1f;
/// Autoclear features: there are bitmaps.
pub const BITMAPS: u64 = 1 << 0;

/// Header extensions: the format of the backing file, and the name of the data file.
const BACKING_FORMAT: u32 = 0xe279_2aca;
const DATA_FILE_NAME: u32 = 0x4441_5441;

/// The longest name, and the most bytes of an L1 table, as QEMU takes them.
const LONGEST_NAME: u32 = 1023;
pub const LARGEST_L1: u64 = 32 << 20;
/// The most bytes of a refcount table.
const LARGEST_TABLE: u64 = 8 << 20;
/// The most snapshots, and the most bytes of one's text and of all.
const MOST_SNAPSHOTS: u32 = 65536;

/// The header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// 2 or 3.
    pub version: u32,
    /// A cluster has so many bytes, as a power of two.
    pub cluster_bits: u32,
    /// The length of the disk in bytes.
    pub bytes: u64,
    /// How it is encrypted; 0 if it is not.
    pub encryption: u32,
    /// Where tables are, and how many entries or clusters they have.
    pub l1: (u64, u32),
    pub refcounts: (u64, u32),
    pub snapshots: (u64, u32),
    pub incompatible: u64,
    pub autoclear: u64,
    /// A reference count has so many bits, as a power of two.
    pub refcount_order: u32,
    /// How clusters are compressed.
    pub compression: &'static str,
    /// The image that it lies on, and its format if it says so.
    pub backing: Option<String>,
    pub backing_format: Option<String>,
    /// Where its data is, if that is another file.
    pub data_file: Option<String>,
}

fn bad(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

/// The number at a place, big-endian.
pub fn word(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..at + 4).and_then(|b| b.try_into().ok());
    word.map_or(0, u32::from_be_bytes)
}

/// The same, of 64 bits.
pub fn long(bytes: &[u8], at: usize) -> u64 {
    let long = bytes.get(at..at + 8).and_then(|b| b.try_into().ok());
    long.map_or(0, u64::from_be_bytes)
}

impl Header {
    /// Reads the header of an image.
    ///
    /// # Errors
    /// Those of the host; it is none, or one that cannot be.
    pub fn read(file: &File) -> io::Result<Self> {
        let mut first = [0; 112];
        let mut there = 0;
        while there < first.len() {
            match file.read_at(&mut first[there..], there as u64)? {
                0 => break,
                more => there += more,
            }
        }
        if !first.starts_with(QCOW2_MAGIC) {
            return Err(bad("it is not qcow2"));
        }
        let version = word(&first, 4);
        let length = match version {
            2 => 72,
            3 => word(&first, 100),
            _ => return Err(bad(format!("it has version {version} of qcow2"))),
        };
        if there < 72 || version == 3 && (there < 104 || length < 104) {
            return Err(bad("its header is cut short"));
        }
        let v3 = |at: usize| if version == 3 { long(&first, at) } else { 0 };
        let (backing_at, backing_len) = (long(&first, 8), word(&first, 16));
        let mut header = Self {
            version,
            cluster_bits: word(&first, 20),
            bytes: long(&first, 24),
            encryption: word(&first, 32),
            l1: (long(&first, 40), word(&first, 36)),
            refcounts: (long(&first, 48), word(&first, 56)),
            snapshots: (long(&first, 64), word(&first, 60)),
            incompatible: v3(72),
            autoclear: v3(88),
            refcount_order: match version {
                3 => word(&first, 96),
                _ => 4,
            },
            compression: match (length > 104, first[104]) {
                (true, 1) => "zstd",
                _ => "zlib",
            },
            backing: None,
            backing_format: None,
            data_file: None,
        };
        header.check(length)?;
        if backing_at != 0 {
            if backing_len > LONGEST_NAME || backing_at > header.cluster() {
                return Err(bad("the name of its backing file cannot be"));
            }
            header.backing = Some(text(file, backing_at, backing_len)?);
        }
        let end = match backing_at {
            0 => header.cluster(),
            at => at,
        };
        header.extensions(file, u64::from(length), end)?;
        Ok(header)
    }

    fn check(&self, length: u32) -> io::Result<()> {
        let unknown = self.incompatible & !KNOWN;
        if unknown != 0 {
            return Err(bad(format!("it has unknown features, {unknown:#x}")));
        }
        if !(9..=21).contains(&self.cluster_bits) {
            return Err(bad(format!(
                "its clusters cannot have 2^{} bytes",
                self.cluster_bits
            )));
        }
        if self.refcount_order > 6 || u64::from(length) > self.cluster() {
            return Err(bad("its header cannot be"));
        }
        let inside = self.cluster() - 1;
        let unaligned = |(at, _): (u64, u32)| at & inside != 0;
        if [self.l1, self.refcounts, self.snapshots]
            .into_iter()
            .any(unaligned)
        {
            return Err(bad("a table of its is not at the beginning of a cluster"));
        }
        if u64::from(self.l1.1) * 8 > LARGEST_L1
            || u64::from(self.refcounts.1) << self.cluster_bits > LARGEST_TABLE
            || self.snapshots.1 > MOST_SNAPSHOTS
        {
            return Err(bad("a table of its is longer than any"));
        }
        Ok(())
    }

    fn extensions(&mut self, file: &File, mut at: u64, end: u64) -> io::Result<()> {
        while at + 8 <= end {
            let mut head = [0; 8];
            file.read_exact_at(&mut head, at)?;
            let (kind, len) = (word(&head, 0), word(&head, 4));
            if kind == 0 {
                return Ok(());
            }
            if u64::from(len) > end - at - 8 {
                return Err(bad("an extension of its header is longer than that"));
            }
            match kind {
                BACKING_FORMAT => self.backing_format = Some(text(file, at + 8, len)?),
                DATA_FILE_NAME => self.data_file = Some(text(file, at + 8, len)?),
                _ => {}
            }
            at += 8 + u64::from(len).next_multiple_of(8);
        }
        Ok(())
    }

    /// Bytes of a cluster.
    pub fn cluster(&self) -> u64 {
        1 << self.cluster_bits
    }
}

fn text(file: &File, at: u64, len: u32) -> io::Result<String> {
    let mut text = vec![0; len as usize];
    file.read_exact_at(&mut text, at)?;
    String::from_utf8(text).map_err(|_| bad("a name in it is no text"))
}

/// An internal snapshot: its name, its date since 1970, and where its L1 table is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub name: String,
    pub date: u64,
    pub l1: (u64, u32),
}

impl Header {
    /// The internal snapshots, and how many bytes their table has.
    ///
    /// # Errors
    /// Those of the host; the table cannot be.
    pub fn snapshots(&self, file: &File) -> io::Result<(Vec<Snapshot>, u64)> {
        let (start, count) = self.snapshots;
        let (mut at, mut all) = (start, Vec::new());
        let mut l1s = 0;
        for _ in 0..count {
            let mut head = [0; 40];
            file.read_exact_at(&mut head, at)?;
            let short = |at: usize| u64::from(head[at]) << 8 | u64::from(head[at + 1]);
            let (id, name, extra) = (short(12), short(14), u64::from(word(&head, 36)));
            let l1 = (long(&head, 0), word(&head, 8));
            l1s += u64::from(l1.1) * 8;
            if extra > 1024 || l1s > LARGEST_L1 * 64 || !l1.0.is_multiple_of(self.cluster()) {
                return Err(bad("a snapshot in it cannot be"));
            }
            all.push(Snapshot {
                name: text(file, at + 40 + extra + id, name as u32)?,
                date: word(&head, 16).into(),
                l1,
            });
            at += (40 + extra + id + name).next_multiple_of(8);
        }
        Ok((all, at - start))
    }
}

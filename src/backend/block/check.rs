//! Whether the tables of a qcow2 image agree: what the image refers to, and how often it says that it does.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::header::{BITMAPS, CORRUPT, DATA_FILE, DIRTY, EXTENDED_L2, Header, long};

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// What would damage data, or already has: how often, and the first of it in words.
    pub errors: u64,
    /// Clusters that nothing refers to and that are not free.
    pub leaks: u64,
    /// The first of both, a line each.
    pub lines: Vec<String>,
    /// Clusters with data of the guest as it now is.
    pub allocated: u64,
    /// Part of the image was not looked at.
    pub unchecked: Option<&'static str>,
}

/// So many are told in words.
const TOLD: usize = 20;

impl Found {
    fn error(&mut self, line: String) {
        self.errors += 1;
        self.tell(line);
    }

    fn tell(&mut self, line: String) {
        if self.lines.len() < TOLD {
            self.lines.push(line);
        }
    }
}

/// Numbers of references by cluster, of those that have any.
#[derive(Default)]
struct Counts(HashMap<u64, Box<[u32; Counts::PAGE]>>);

impl Counts {
    const PAGE: usize = 4096;

    fn at(&mut self, cluster: u64) -> &mut u32 {
        let page = self.0.entry(cluster / Self::PAGE as u64);
        let page = page.or_insert_with(|| Box::new([0; Self::PAGE]));
        &mut page[(cluster % Self::PAGE as u64) as usize]
    }

    fn of(&self, cluster: u64) -> u32 {
        let page = self.0.get(&(cluster / Self::PAGE as u64));
        page.map_or(0, |page| page[(cluster % Self::PAGE as u64) as usize])
    }

    /// All clusters with a number, in order.
    fn all(&self) -> impl Iterator<Item = (u64, u32)> {
        let mut pages: Vec<_> = self.0.iter().collect();
        pages.sort_by_key(|(page, _)| **page);
        pages.into_iter().flat_map(|(page, counts)| {
            let numbered = (page * Self::PAGE as u64..).zip(counts.iter().copied());
            numbered.filter(|(_, count)| *count > 0)
        })
    }
}

struct Check<'a> {
    file: &'a File,
    header: Header,
    /// Clusters that the file has, the last perhaps in part.
    clusters: u64,
    references: Counts,
    refcounts: Counts,
    found: Found,
}

/// Looks at an image. Nothing is written.
///
/// # Errors
/// Those of the host; it is no image that can be looked at.
pub fn check(file: &File, progress: &mut dyn FnMut(u64, u64)) -> io::Result<Found> {
    let header = Header::read(file)?;
    if header.encryption != 0 {
        return Err(io::Error::other("it is encrypted"));
    }
    let clusters = file.metadata()?.len().div_ceil(header.cluster());
    let mut check = Check {
        file,
        header,
        clusters,
        references: Counts::default(),
        refcounts: Counts::default(),
        found: Found::default(),
    };
    check.all(progress)?;
    Ok(check.found)
}

/// Entries of L1 and L2 tables: the place, and whether the cluster belongs to nobody else.
const PLACE: u64 = 0x00ff_ffff_ffff_fe00;
/// Bits that nothing may set.
const RESERVED_L1: u64 = 0x7f00_0000_0000_01ff;
const RESERVED_L2: u64 = 0x3f00_0000_0000_01fe;
const COPIED: u64 = 1 << 63;
const COMPRESSED: u64 = 1 << 62;

impl Check<'_> {
    fn all(&mut self, progress: &mut dyn FnMut(u64, u64)) -> io::Result<()> {
        let header = self.header.clone();
        if header.incompatible & CORRUPT != 0 {
            self.found.error("it is marked as damaged".to_owned());
        }
        if header.incompatible & DIRTY != 0 {
            let line = "it was not closed: its reference counts may be old";
            self.found.error(line.to_owned());
        }
        if header.autoclear & BITMAPS != 0 {
            self.found.unchecked = Some("its bitmaps");
        }
        self.read_refcounts(&header)?;
        self.refer(0, header.cluster(), "the header");
        let (table, clusters) = header.refcounts;
        let bytes = u64::from(clusters) << header.cluster_bits;
        self.refer(table, bytes, "the table of reference counts");
        let (snapshots, bytes) = header.snapshots(self.file)?;
        if bytes > 0 {
            self.refer(header.snapshots.0, bytes, "the table of snapshots");
        }
        let of = snapshots.len() as u64 + 1;
        self.walk(header.l1, None, &mut |done, all| {
            progress(done, all * of);
        })?;
        for (number, snapshot) in (1..).zip(&snapshots) {
            self.walk(snapshot.l1, Some(&snapshot.name), &mut |done, all| {
                progress(done + all * number, all * of);
            })?;
        }
        self.compare();
        Ok(())
    }

    /// A table of the file, as far as the file has it; what is missing is told.
    fn table(&mut self, at: u64, bytes: u64, what: &str) -> io::Result<Option<Vec<u8>>> {
        let mut table = vec![0; bytes as usize];
        match self.file.read_exact_at(&mut table, at) {
            Ok(()) => Ok(Some(table)),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                self.found
                    .error(format!("{what} at {at:#x} is not in the file"));
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }

    /// Something refers to these bytes.
    fn refer(&mut self, at: u64, bytes: u64, what: &str) {
        if bytes == 0 {
            return;
        }
        let bits = self.header.cluster_bits;
        let last = at.saturating_add(bytes - 1) >> bits;
        if last >= self.clusters {
            self.found
                .error(format!("{what} at {at:#x} is not in the file"));
        }
        for cluster in at >> bits..(last + 1).min(self.clusters) {
            let count = self.references.at(cluster);
            *count = count.saturating_add(1);
        }
    }

    fn read_refcounts(&mut self, header: &Header) -> io::Result<()> {
        let (at, clusters) = header.refcounts;
        let bytes = u64::from(clusters) << header.cluster_bits;
        let Some(table) = self.table(at, bytes, "the table of reference counts")? else {
            return Ok(());
        };
        let order = header.refcount_order;
        let per_block = (header.cluster() * 8) >> order;
        let mut seen = HashSet::new();
        for (number, entry) in (0u64..).zip(table.chunks_exact(8).map(|e| long(e, 0))) {
            if entry == 0 {
                continue;
            }
            let what = "a block of reference counts";
            if entry & (header.cluster() - 1) != 0 || !seen.insert(entry) {
                self.found.error(format!("{what} cannot be at {entry:#x}"));
                continue;
            }
            self.refer(entry, header.cluster(), what);
            let Some(block) = self.table(entry, header.cluster(), what)? else {
                continue;
            };
            for index in 0..per_block {
                let count = refcount(&block, index, order);
                if count > 0 {
                    *self.refcounts.at(number * per_block + index) = count;
                }
            }
        }
        Ok(())
    }

    /// Goes through what an L1 table refers to.
    fn walk(
        &mut self,
        (at, entries): (u64, u32),
        snapshot: Option<&str>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> io::Result<()> {
        let of = match snapshot {
            None => String::new(),
            Some(name) => format!(" of the snapshot {}", crate::visible::name(name)),
        };
        let bytes = u64::from(entries) * 8;
        let what = format!("the L1 table{of}");
        self.refer(at, bytes, &what);
        let Some(table) = self.table(at, bytes, &what)? else {
            return Ok(());
        };
        let mut seen = HashSet::new();
        for (number, entry) in (0u64..).zip(table.chunks_exact(8).map(|e| long(e, 0))) {
            progress(number, entries.into());
            let place = entry & PLACE;
            let what = format!("an L2 table{of}");
            if entry & RESERVED_L1 != 0 {
                self.found.error(format!("the entry {entry:#x} of {what}"));
            }
            if place == 0 {
                continue;
            }
            if place & (self.header.cluster() - 1) != 0 || !seen.insert(place) {
                self.found.error(format!("{what} cannot be at {place:#x}"));
                continue;
            }
            self.refer(place, self.header.cluster(), &what);
            if snapshot.is_none() {
                self.alone(place, entry, &what);
            }
            let Some(l2) = self.table(place, self.header.cluster(), &what)? else {
                continue;
            };
            let size = match self.header.incompatible & EXTENDED_L2 != 0 {
                true => 16,
                false => 8,
            };
            for entry in l2.chunks_exact(size) {
                self.data(long(entry, 0), &of, snapshot.is_none());
            }
        }
        Ok(())
    }

    /// An entry of an L2 table.
    fn data(&mut self, entry: u64, of: &str, now: bool) {
        let bits = self.header.cluster_bits;
        let what = || format!("data{of}");
        if entry & COMPRESSED != 0 {
            let split = 62 - (bits - 8);
            let place = entry & ((1 << split) - 1);
            let sectors = (entry & (COMPRESSED - 1)) >> split;
            let end = (place & !511) + (sectors + 1) * 512;
            // The last sector may end behind the file.
            let end = end.min((self.clusters << bits).max(place + 1));
            if entry & COPIED != 0 {
                let line = format!(
                    "compressed {} at {place:#x} is marked as nobody else's",
                    what()
                );
                self.found.error(line);
            }
            self.found.allocated += u64::from(now);
            self.refer(place, end - place, &what());
            return;
        }
        if entry & RESERVED_L2 != 0 {
            let line = format!("the entry {entry:#x} of {}", what());
            self.found.error(line);
        }
        let place = entry & PLACE;
        if place == 0 {
            return;
        }
        self.found.allocated += u64::from(now);
        // Its place is in another file.
        if self.header.incompatible & DATA_FILE != 0 {
            return;
        }
        if place & (self.header.cluster() - 1) != 0 {
            self.found
                .error(format!("{} cannot be at {place:#x}", what()));
        }
        if place >> bits >= self.clusters {
            self.found
                .error(format!("{} at {place:#x} is not in the file", what()));
            return;
        }
        *self.references.at(place >> bits) += 1;
        if now {
            self.alone(place, entry, "data");
        }
    }

    /// An entry says whether the cluster has one reference.
    fn alone(&mut self, place: u64, entry: u64, what: &str) {
        let count = self.refcounts.of(place >> self.header.cluster_bits);
        if (count == 1) != (entry & COPIED != 0) {
            let says = match entry & COPIED != 0 {
                true => "is marked as nobody else's",
                false => "is not marked as nobody else's",
            };
            self.found.error(format!(
                "{what} at {place:#x} {says}, and has the reference count {count}"
            ));
        }
    }

    fn compare(&mut self) {
        let bits = self.header.cluster_bits;
        for (cluster, references) in self.references.all() {
            let count = self.refcounts.of(cluster);
            if count < references {
                self.found.error(format!(
                    "the cluster at {:#x} has {references} references, and the reference count {count}",
                    cluster << bits
                ));
            }
        }
        for (cluster, count) in self.refcounts.all() {
            let references = self.references.of(cluster);
            // What was not looked at may refer to it, and what the file does not have takes no room.
            let lost = cluster < self.clusters && self.found.unchecked.is_none();
            if count > references && lost {
                self.found.leaks += 1;
                self.found.tell(format!(
                    "the cluster at {:#x} has {references} references, and the reference count {count}",
                    cluster << bits
                ));
            }
        }
    }
}

/// An entry of a block of reference counts, as far as it fits.
fn refcount(block: &[u8], index: u64, order: u32) -> u32 {
    let bits = 1u64 << order;
    let at = index * bits / 8;
    if order < 3 {
        let byte = u64::from(block[at as usize]);
        return (byte >> (index * bits % 8) & ((1 << bits) - 1)) as u32;
    }
    let bytes = &block[at as usize..(at + bits / 8) as usize];
    let whole = bytes
        .iter()
        .fold(0u64, |all, byte| all << 8 | u64::from(*byte));
    u32::try_from(whole).unwrap_or(u32::MAX)
}

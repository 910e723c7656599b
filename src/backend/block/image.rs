//! Disk images: raw files and devices, qcow2, and what lies over one for a while.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use imago::format::PreallocateMode;
use imago::qcow2::Qcow2;
use imago::{FormatAccess, FormatDriverBuilder, Mapping, StorageOpenOptions};
use rustix::fs::{FallocateFlags, MemfdFlags, SeekFrom as SeekTo, fallocate, memfd_create, seek};
use rustix::io::Errno;
use solderless_model::{SECTOR, Size};

use super::check::check;
use super::gate::{Gate, Opened};
use super::lock;
use crate::visible::shown;

/// How an image is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Byte by byte.
    Raw,
    /// QEMU's copy-on-write format, version 2 or 3.
    Qcow2,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        })
    }
}

impl std::str::FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "raw" => Ok(Self::Raw),
            "qcow2" => Ok(Self::Qcow2),
            _ => Err(format!("{text} is no format: there are raw and qcow2")),
        }
    }
}

/// What a qcow2 image begins with.
pub const QCOW2_MAGIC: &[u8] = b"QFI\xfb";
/// The most bytes that a disk has: what 48 bits of sector numbers reach is more than any file has.
pub const LARGEST: u64 = 1 << 60;
/// The most bytes of a disk that are saved with a machine.
pub const MOST_WRITTEN: u64 = 1 << 30;
/// The most bytes of a part of them.
const AT_ONCE: u64 = 1 << 20;
/// What an overlay copies at once.
pub(super) const CLUSTER: u64 = 1 << 16;

/// An image that is open.
#[derive(Debug)]
pub struct Image {
    content: Content,
    format: Format,
    bytes: u64,
    writable: bool,
    /// What is written to it is in no file of the user's.
    apart: bool,
}

#[derive(Debug)]
enum Content {
    /// A file, and how long it was.
    Raw(File, u64),
    Qcow2(Box<FormatAccess<imago::file::File>>, Files),
    Overlay(Box<Overlay>),
}

/// The files of a qcow2 image. Where one has been cut short its content would be read as zeroes.
#[derive(Debug)]
struct Files {
    itself: File,
    /// How long it was when it was used last.
    len: Cell<u64>,
    /// Those that it lies on, with their lengths.
    below: Opened,
}

impl Files {
    fn new(itself: File, below: Opened) -> io::Result<Self> {
        let len = Cell::new(itself.metadata()?.len());
        Ok(Self { itself, len, below })
    }

    /// # Errors
    /// One of them is shorter than it was.
    fn whole(&self) -> io::Result<()> {
        self.len.set(uncut(&self.itself, self.len.get())?);
        self.below
            .iter()
            .try_for_each(|(file, len)| uncut(file, *len).map(drop))
    }
}

/// The length of a file.
///
/// # Errors
/// It is shorter than it was.
fn uncut(file: &File, was: u64) -> io::Result<u64> {
    let about = file.metadata()?;
    match about.is_file() && about.len() < was {
        true => Err(io::Error::new(
            ErrorKind::UnexpectedEof,
            "the file has been cut short",
        )),
        false => Ok(about.len()),
    }
}

/// How an image is opened.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mode {
    /// Its format, if it is not to be guessed.
    pub format: Option<Format>,
    /// It is written to.
    pub write: bool,
    /// A backing file can be anywhere.
    pub any_backing: bool,
}

impl Image {
    /// Opens a file or a block device.
    ///
    /// # Errors
    /// Those of the host; it is no disk; somebody else has it.
    pub fn open(path: &Path, mode: Mode) -> io::Result<Self> {
        let refuse = |what: &str| Err(io::Error::new(ErrorKind::InvalidInput, what));
        let kind = std::fs::metadata(path)?.file_type();
        if kind.is_dir() {
            return refuse("it is a folder");
        }
        if !kind.is_file() && !kind.is_block_device() {
            return refuse("it is no file and no disk");
        }
        let mut file = OpenOptions::new().read(true).write(mode.write).open(path)?;
        lock::take(&file, mode.write)?;
        // Of a block device only its end says how long it is.
        let len = file.seek(SeekFrom::End(0))?;
        let format = match mode.format {
            Some(format) => format,
            None => probe(&file)?,
        };
        let (content, bytes) = match format {
            Format::Raw if len == 0 => return refuse("it is empty"),
            Format::Raw => (Content::Raw(file, len), len.next_multiple_of(SECTOR)),
            Format::Qcow2 => {
                let itself = file.try_clone()?;
                // Who writes by tables that do not agree writes over what is there.
                if mode.write && check(&itself, &mut |_, _| {})?.errors > 0 {
                    return refuse(
                        "its tables do not agree, so that writing to it would damage it; `solderless image check` says more, and `qemu-img check -r all` mends it",
                    );
                }
                let (opened, below) = open_qcow2(path, file, mode)?;
                let bytes = opened.size();
                let files = Files::new(itself, below)?;
                (Content::Qcow2(Box::new(opened), files), bytes)
            }
        };
        // What is behind the last whole sector of a qcow2 image is of no use to a guest.
        let whole = bytes / SECTOR * SECTOR;
        if bytes > LARGEST || whole == 0 {
            return refuse(&format!("it has {bytes} bytes"));
        }
        Ok(Self {
            content,
            format,
            bytes: whole,
            writable: mode.write,
            apart: false,
        })
    }

    /// An image of so many bytes in the host's memory, all zero.
    ///
    /// # Errors
    /// Those of the host.
    pub fn memory(bytes: u64) -> io::Result<Self> {
        let file = File::from(memfd_create("disk", MemfdFlags::CLOEXEC)?);
        file.set_len(bytes)?;
        Ok(Self {
            content: Content::Raw(file, bytes),
            format: Format::Raw,
            bytes,
            writable: true,
            apart: true,
        })
    }

    /// A raw image that is open to be written.
    pub(super) fn raw(file: File, len: u64) -> Self {
        Self {
            content: Content::Raw(file, len),
            format: Format::Raw,
            bytes: len.next_multiple_of(SECTOR),
            writable: true,
            apart: false,
        }
    }

    /// A qcow2 image that is open to be written.
    ///
    /// # Errors
    /// Those of the host.
    pub(super) fn qcow2(image: FormatAccess<imago::file::File>, file: File) -> io::Result<Self> {
        Ok(Self {
            bytes: image.size() / SECTOR * SECTOR,
            content: Content::Qcow2(Box::new(image), Files::new(file, Vec::new())?),
            format: Format::Qcow2,
            writable: true,
            apart: false,
        })
    }

    /// Has it so long.
    ///
    /// # Errors
    /// Those of the host; it is a disk of the host, which is as long as it is.
    pub(super) fn grow(&mut self, bytes: u64) -> io::Result<()> {
        match &mut self.content {
            Content::Raw(file, len) => {
                file.set_len(bytes)?;
                *len = bytes;
            }
            Content::Qcow2(image, _) => {
                image.resize_grow(bytes, PreallocateMode::None)?;
            }
            Content::Overlay(_) => return Err(io::Error::from(ErrorKind::Unsupported)),
        }
        self.bytes = bytes / SECTOR * SECTOR;
        Ok(())
    }

    /// Whether there may be something but zeroes at a place, and for how many of so many bytes that is so.
    ///
    /// # Errors
    /// Those of the host.
    pub(super) fn extent(&self, offset: u64, len: u64) -> io::Result<(bool, u64)> {
        match &self.content {
            Content::Raw(file, _) => match seek(file, SeekTo::Data(offset)) {
                Ok(data) if data > offset => Ok((false, len.min(data - offset))),
                Ok(_) => match seek(file, SeekTo::Hole(offset)) {
                    Ok(hole) if hole > offset => Ok((true, len.min(hole - offset))),
                    _ => Ok((true, len)),
                },
                Err(Errno::NXIO) => Ok((false, len)),
                // Not every file system knows.
                Err(_) => Ok((true, len)),
            },
            Content::Qcow2(image, _) => {
                let (mapping, there) = image.get_mapping(offset, len)?;
                let zero = matches!(mapping, Mapping::Zero { .. });
                Ok((!zero, if there == 0 { len } else { there.min(len) }))
            }
            Content::Overlay(_) => Ok((true, len)),
        }
    }

    /// The image with a file over it that takes what is written, and is gone with it.
    ///
    /// # Errors
    /// Those of the host.
    pub fn overlaid(self) -> io::Result<Self> {
        let (bytes, format) = (self.bytes, self.format);
        Ok(Self {
            content: Content::Overlay(Box::new(Overlay::over(self)?)),
            format,
            bytes,
            writable: true,
            apart: true,
        })
    }

    /// How it is stored.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Its length in bytes, a multiple of [`SECTOR`].
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether it can be written.
    pub fn writable(&self) -> bool {
        self.writable
    }

    /// Whether what is written to it is in no file of the user's: it goes with the image.
    pub fn is_apart(&self) -> bool {
        self.apart
    }

    /// A number that changes when the file may have been changed: of the file below an overlay. Memory has none.
    ///
    /// # Errors
    /// Those of the host.
    pub fn generation(&self) -> io::Result<u64> {
        match &self.content {
            Content::Raw(..) if self.apart => Ok(0),
            Content::Raw(file, _) => stamp(file),
            Content::Qcow2(_, files) => stamp(&files.itself),
            Content::Overlay(overlay) => overlay.below.generation(),
        }
    }

    /// The file that what is written goes to.
    ///
    /// # Errors
    /// There is none, or it is a disk of the host, of which a copy would have all.
    pub(super) fn file(&self) -> io::Result<&File> {
        let refuse = |why: &str| Err(io::Error::new(ErrorKind::Unsupported, why));
        let file = match &self.content {
            Content::Raw(file, _) => file,
            Content::Qcow2(_, files) => &files.itself,
            Content::Overlay(_) => return refuse("no file of it is written"),
        };
        if self.apart || !self.writable {
            return refuse("no file of it is written");
        }
        match file.metadata()?.is_file() {
            true => Ok(file),
            false => refuse(
                "it is a disk of the host, of which no copy is made; with `,snapshot` behind it what the guest writes is saved with the machine",
            ),
        }
    }

    /// What is written to it, if that is apart: the parts, by their places.
    ///
    /// # Errors
    /// Those of the host; it is more than `MOST_WRITTEN`.
    pub fn written(&self) -> io::Result<Vec<(u64, Vec<u8>)>> {
        let (mut parts, mut all, mut at) = (Vec::<(u64, Vec<u8>)>::new(), 0, 0);
        while at < self.bytes && self.apart {
            let (there, len) = match &self.content {
                Content::Overlay(overlay) => overlay.extent(at),
                _ => self.extent(at, self.bytes - at)?,
            };
            let len = len.min(self.bytes - at).min(AT_ONCE);
            if there {
                all += len;
                if all > MOST_WRITTEN {
                    return Err(io::Error::other(format!(
                        "the guest has written more than the {} that are saved with a machine; `solderless image create --backing` makes an image that takes what it writes",
                        Size(MOST_WRITTEN)
                    )));
                }
                let mut part = vec![0; len as usize];
                self.read(at, &mut part)?;
                parts.push((at, part));
            }
            at += len;
        }
        Ok(parts)
    }

    /// Has this in place of what was written to it. If that fails, it is as it was.
    ///
    /// # Errors
    /// Those of the host; what is written to it is not apart, or has no such places.
    pub fn rewrite(&mut self, parts: &[(u64, &[u8])]) -> io::Result<()> {
        let end = |(at, part): &(u64, &[u8])| at.checked_add(part.len() as u64);
        let fits = parts
            .iter()
            .all(|part| end(part).is_some_and(|end| end <= self.bytes));
        if !self.apart || !fits {
            return Err(io::Error::from(ErrorKind::InvalidInput));
        }
        match &mut self.content {
            Content::Overlay(overlay) => overlay.rewrite(parts),
            content => {
                let mut fresh = Self::memory(self.bytes)?;
                for (at, part) in parts {
                    fresh.write(*at, part)?;
                }
                *content = fresh.content;
                Ok(())
            }
        }
    }

    /// Reads the file anew, which is not what it was.
    ///
    /// # Errors
    /// Those of the host; it is no image any more.
    pub(super) fn read_again(&mut self, path: &Path, mode: Mode) -> io::Result<()> {
        if let Content::Qcow2(image, files) = &mut self.content {
            let mut again = files.itself.try_clone()?;
            again.rewind()?;
            let (opened, below) = open_qcow2(path, again, mode)?;
            *files = Files::new(files.itself.try_clone()?, below)?;
            **image = opened;
        }
        Ok(())
    }

    /// Reads a part of it.
    ///
    /// # Errors
    /// Those of the host; the file has become shorter.
    pub fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        match &self.content {
            Content::Raw(file, len) => {
                // The rest of the last sector.
                let there = len.saturating_sub(offset).min(out.len() as u64) as usize;
                let (there, behind) = out.split_at_mut(there);
                behind.fill(0);
                file.read_exact_at(there, offset)
            }
            Content::Qcow2(image, files) => {
                image.read(out, offset)?;
                files.whole()
            }
            Content::Overlay(overlay) => overlay.read(offset, out),
        }
    }

    /// Writes a part of it.
    ///
    /// # Errors
    /// Those of the host.
    pub fn write(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        if !self.writable {
            return Err(io::Error::from(ErrorKind::ReadOnlyFilesystem));
        }
        match &mut self.content {
            Content::Raw(file, len) => {
                // A file that has been cut short is not made longer again.
                uncut(file, *len)?;
                file.write_all_at(data, offset)
            }
            Content::Qcow2(image, files) => {
                files.whole()?;
                image.write(data, offset)?;
                files.whole()
            }
            Content::Overlay(overlay) => overlay.over.write(&overlay.below, offset, data),
        }
    }

    /// Forgets a part of it, which then reads as anything.
    ///
    /// # Errors
    /// Those of the host.
    pub fn discard(&mut self, offset: u64, len: u64) -> io::Result<()> {
        if !self.writable {
            return Err(io::Error::from(ErrorKind::ReadOnlyFilesystem));
        }
        match &mut self.content {
            Content::Raw(file, _) => {
                let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                // Not every file system can.
                let _ = fallocate(&*file, flags, offset, len);
                Ok(())
            }
            Content::Qcow2(image, _) => image.discard_to_any(offset, len),
            Content::Overlay(_) => Ok(()),
        }
    }

    /// Has what was written survive the loss of power; of an overlay nothing has to.
    ///
    /// # Errors
    /// Those of the host.
    pub fn flush(&mut self) -> io::Result<()> {
        match &self.content {
            Content::Raw(file, _) => file.sync_data(),
            Content::Qcow2(image, _) => {
                image.flush()?;
                image.sync()
            }
            Content::Overlay(_) => Ok(()),
        }
    }

    /// Hands all on to the host, which may keep it in memory: what the file then says of itself is true.
    ///
    /// # Errors
    /// Those of the host.
    pub fn hand_over(&mut self) -> io::Result<()> {
        match &self.content {
            Content::Qcow2(image, _) => image.flush(),
            Content::Raw(..) | Content::Overlay(_) => Ok(()),
        }
    }
}

/// What a file is by what it begins with.
pub(super) fn probe(file: &File) -> io::Result<Format> {
    let mut magic = [0; 4];
    match file.read_exact_at(&mut magic, 0) {
        Ok(()) if magic == QCOW2_MAGIC => Ok(Format::Qcow2),
        Ok(()) => Ok(Format::Raw),
        Err(e) if e.kind() == ErrorKind::UnexpectedEof => Ok(Format::Raw),
        Err(e) => Err(e),
    }
}

/// Opens an image and the files that it lies on, which come with their lengths.
fn open_qcow2(
    path: &Path,
    file: File,
    mode: Mode,
) -> io::Result<(FormatAccess<imago::file::File>, Opened)> {
    let options = StorageOpenOptions::new().filename(path).write(mode.write);
    let storage = imago::file::File::from_open_file(file, options)?;
    let builder = Qcow2::<imago::file::File>::builder(storage).write(mode.write);
    let problem: Rc<RefCell<Option<io::Error>>> = Rc::default();
    let below = Rc::default();
    let gate = Gate::new(path, mode.any_backing, problem.clone(), Rc::clone(&below));
    match builder.open(gate) {
        Ok(image) => Ok((FormatAccess::new(image), below.take())),
        // What the gate says is plainer than what is made of it.
        Err(e) => Err(problem.take().unwrap_or(e)),
    }
}

/// When a file was written, and its length, as one number.
fn stamp(file: &File) -> io::Result<u64> {
    let about = file.metadata()?;
    let time = (about.mtime() as u64).wrapping_mul(1_000_000_000);
    Ok(time.wrapping_add(about.mtime_nsec() as u64) ^ about.len().rotate_left(40))
}

/// What is written over an image that stays as it is.
#[derive(Debug)]
struct Overlay {
    below: Image,
    over: Over,
}

/// Clusters of an image in a file without a name.
#[derive(Debug)]
struct Over {
    file: File,
    /// Which clusters are in the file, one bit each.
    present: Vec<u64>,
}

impl Over {
    fn new(below: &Image) -> io::Result<Self> {
        let clusters = below.bytes.div_ceil(CLUSTER);
        Ok(Self {
            file: nameless()?,
            present: vec![0; clusters.div_ceil(64) as usize],
        })
    }

    fn has(&self, cluster: u64) -> bool {
        self.present[(cluster / 64) as usize] >> (cluster % 64) & 1 != 0
    }

    fn write(&mut self, below: &Image, offset: u64, data: &[u8]) -> io::Result<()> {
        for (offset, piece) in pieces(offset, data.len()) {
            let cluster = offset / CLUSTER;
            if !self.has(cluster) {
                let start = cluster * CLUSTER;
                let mut whole = vec![0; (below.bytes - start).min(CLUSTER) as usize];
                if piece.len() < whole.len() {
                    below.read(start, &mut whole)?;
                    self.file.write_all_at(&whole, start)?;
                }
            }
            self.file.write_all_at(&data[piece], offset)?;
            self.present[(cluster / 64) as usize] |= 1 << (cluster % 64);
        }
        Ok(())
    }
}

impl Overlay {
    fn over(below: Image) -> io::Result<Self> {
        Ok(Self {
            over: Over::new(&below)?,
            below,
        })
    }

    /// Whether it has what is at a place itself, and for how many bytes that is so.
    fn extent(&self, at: u64) -> (bool, u64) {
        let (first, last) = (at / CLUSTER, self.below.bytes.div_ceil(CLUSTER));
        let has = self.over.has(first);
        let other = (first..last).find(|cluster| self.over.has(*cluster) != has);
        (has, other.unwrap_or(last) * CLUSTER - at)
    }

    /// Has these parts in place of what was written.
    fn rewrite(&mut self, parts: &[(u64, &[u8])]) -> io::Result<()> {
        let mut over = Over::new(&self.below)?;
        for (at, part) in parts {
            over.write(&self.below, *at, part)?;
        }
        self.over = over;
        Ok(())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        for (offset, piece) in pieces(offset, out.len()) {
            match self.over.has(offset / CLUSTER) {
                true => self.over.file.read_exact_at(&mut out[piece], offset)?,
                false => self.below.read(offset, &mut out[piece])?,
            }
        }
        Ok(())
    }
}

/// The parts of a piece that lie in one cluster each: where, and which bytes of it.
pub(super) fn pieces(
    offset: u64,
    len: usize,
) -> impl Iterator<Item = (u64, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let room = (CLUSTER - at % CLUSTER).min((len - done) as u64) as usize;
        let piece = done..done + room;
        done += room;
        (room > 0).then_some((at, piece))
    })
}

/// A file that is gone when it is closed, where temporary files are.
fn nameless() -> io::Result<File> {
    let folder = std::env::temp_dir();
    let path: PathBuf = folder.join(format!(
        "solderless-{}-{:x}",
        std::process::id(),
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |time| time.as_nanos())
    ));
    let in_folder = |e: io::Error| {
        io::Error::new(
            e.kind(),
            format!("no temporary file in {}: {e}", shown(&folder)),
        )
    };
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    let file = std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600)
        .open(&path)
        .map_err(in_folder)?;
    std::fs::remove_file(&path).map_err(in_folder)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(folder: &Path, name: &str, content: &[u8]) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    fn write() -> Mode {
        Mode {
            write: true,
            ..Mode::default()
        }
    }

    #[test]
    fn a_raw_file_is_read_and_written_where_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = raw(folder.path(), "a", &[7; 1000]);
        let mut image = Image::open(&path, write()).unwrap();
        assert_eq!((image.bytes(), image.format()), (1024, Format::Raw));
        let mut out = [1; 600];
        image.read(424, &mut out).unwrap();
        assert_eq!((out[0], out[575], out[576], out[599]), (7, 7, 0, 0));
        image.write(0, &[9; 512]).unwrap();
        drop(image);
        assert_eq!(std::fs::read(&path).unwrap()[510..514], [9, 9, 7, 7]);
    }

    #[test]
    fn a_file_that_is_cut_short_is_an_error_and_not_zeroes() {
        let folder = tempfile::tempdir().unwrap();
        let path = raw(folder.path(), "a", &[7; 4096]);
        let mut image = Image::open(&path, write()).unwrap();
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(1024)
            .unwrap();
        let mut out = [0; 512];
        image.read(0, &mut out).unwrap();
        assert!(image.read(1024, &mut out).is_err());
        assert!(image.write(2048, &out).is_err());
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 1024);
    }

    #[test]
    fn a_qcow2_image_and_what_it_lies_on_are_no_zeroes_either_when_cut_short() {
        let folder = tempfile::tempdir().unwrap();
        let base = raw(folder.path(), "base", &[7; 1 << 20]);
        let path = raw(folder.path(), "over", &[]);
        let shape = super::super::Shape {
            format: Format::Qcow2,
            bytes: 1 << 20,
            backing: Some(("base".to_owned(), Format::Raw)),
        };
        let opened = |path| File::options().read(true).write(true).open(path).unwrap();
        drop(shape.make(&opened(&path)).unwrap());
        let second = raw(folder.path(), "second", &[]);
        drop(shape.make(&opened(&second)).unwrap());
        let mut image = Image::open(&path, write()).unwrap();
        let mut out = [0; 512];
        // What has lost its name alone is there still.
        std::fs::rename(&base, folder.path().join("other")).unwrap();
        image.read(1 << 19, &mut out).unwrap();
        assert_eq!(out, [7; 512]);
        let why = Image::open(&second, write()).unwrap_err().to_string();
        assert!(why.contains("base, which cannot be opened"), "{why}");
        std::fs::rename(folder.path().join("other"), &base).unwrap();
        opened(&base).set_len(4096).unwrap();
        assert!(image.read(1 << 19, &mut out).is_err());
        assert!(image.write(0, &out).is_err());
        opened(&base).set_len(1 << 20).unwrap();
        image.write(0, &[9; 512]).unwrap();
        image.flush().unwrap();
        let len = std::fs::metadata(&path).unwrap().len();
        opened(&path).set_len(len - 512).unwrap();
        assert!(image.read(0, &mut out).is_err());
    }

    #[test]
    fn what_is_no_disk_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = raw(folder.path(), "empty", &[]);
        let why = |path: &Path| Image::open(path, write()).unwrap_err().to_string();
        assert_eq!(why(&path), "it is empty");
        assert_eq!(why(folder.path()), "it is a folder");
        assert_eq!(why(Path::new("/dev/null")), "it is no file and no disk");
        let qcow2 = raw(folder.path(), "cut", b"QFI\xfb\0\0\0\x03");
        assert!(Image::open(&qcow2, write()).is_err());
    }

    #[test]
    fn an_overlay_keeps_what_is_written_and_the_file_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let content: Vec<u8> = (0..200_192u32).map(|n| (n / 512) as u8).collect();
        let path = raw(folder.path(), "a", &content);
        let below = Image::open(&path, Mode::default()).unwrap();
        let mut image = below.overlaid().unwrap();
        let mut expected = content.clone();
        for (offset, len) in [
            (512, 512),
            (65_024, 1024),
            (131_072, 65_536),
            (199_680, 512),
        ] {
            image.write(offset as u64, &vec![0xaa; len]).unwrap();
            expected[offset..offset + len].fill(0xaa);
        }
        let mut all = vec![0; expected.len()];
        image.read(0, &mut all).unwrap();
        assert!(all == expected);
        assert!(std::fs::read(&path).unwrap() == content);
    }

    /// What was written to an image that has it apart goes on in another one, in place of what was written there.
    #[test]
    fn what_is_written_apart_can_be_had_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = raw(folder.path(), "a", &vec![7; 200_192]);
        let overlay = || {
            let below = Image::open(&path, Mode::default()).unwrap();
            below.overlaid().unwrap()
        };
        let memory = || Image::memory(5 << 20).unwrap();
        let makers: [&dyn Fn() -> Image; 2] = [&overlay, &memory];
        for make in makers {
            let (mut image, mut other) = (make(), make());
            assert!(image.is_apart() && image.written().unwrap().is_empty());
            let end = image.bytes() - 512;
            for (at, byte) in [(0, 1), (1024, 2), (131_072, 3), (end, 4)] {
                image.write(at, &[byte; 512]).unwrap();
            }
            other.write(70_000 / 512 * 512, &[9; 1024]).unwrap();
            let written = image.written().unwrap();
            let parts: Vec<_> = written.iter().map(|(at, part)| (*at, &part[..])).collect();
            other.rewrite(&parts).unwrap();
            let [mut wanted, mut there] = [(); 2].map(|()| vec![0; image.bytes() as usize]);
            image.read(0, &mut wanted).unwrap();
            other.read(0, &mut there).unwrap();
            assert!(wanted == there);
            assert_eq!(other.generation().unwrap(), image.generation().unwrap());
            // It stays as it is where that cannot be.
            assert!(other.rewrite(&[(end, &[0; 1024])]).is_err());
            other.read(0, &mut there).unwrap();
            assert!(wanted == there);
        }
        assert!(!Image::open(&path, write()).unwrap().is_apart());
    }
}

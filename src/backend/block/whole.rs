//! Images as a whole: made, copied, and an overlay's content brought to where it lies.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use imago::qcow2::Qcow2;
use imago::{
    DenyImplicitOpenGate, FormatAccess, FormatCreateBuilder, FormatDriverBuilder, ShallowMapping,
    StorageOpenOptions,
};

use super::gate;
use super::header::Header;
use super::image::{CLUSTER, Format, Image, Mode, pieces, probe};
use super::lock;
use crate::visible::shown;

/// What is copied at once.
const AT_ONCE: u64 = 4 << 20;
static ZEROES: [u8; CLUSTER as usize] = [0; CLUSTER as usize];

/// An image that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    pub format: Format,
    pub bytes: u64,
    /// What it lies on, as it is to be written down, and its format.
    pub backing: Option<(String, Format)>,
}

impl Shape {
    /// Makes an image of an empty file, open to be written. A guest finds all zero in it, or what it lies on.
    ///
    /// # Errors
    /// Those of the host.
    pub fn make(&self, file: &File) -> io::Result<Image> {
        let file = file.try_clone()?;
        if self.format == Format::Raw {
            file.set_len(self.bytes)?;
            return Ok(Image::raw(file, self.bytes));
        }
        let storage = imago::file::File::from_open_file(
            file.try_clone()?,
            StorageOpenOptions::new().write(true),
        )?;
        type Made = Qcow2<imago::file::File>;
        let mut builder = Made::create_builder(storage).size(self.bytes);
        if let Some((path, format)) = &self.backing {
            builder = builder.backing(path.clone(), format.to_string());
        }
        let made = builder.create_open(DenyImplicitOpenGate::default(), |storage| {
            Ok(Made::builder(storage).backing(None).write(true))
        })?;
        Image::qcow2(FormatAccess::new(made), file)
    }
}

/// Copies all that is not zero, and says how many bytes that was.
///
/// # Errors
/// Those of the host.
pub fn copy(from: &Image, to: &mut Image, progress: &mut dyn FnMut(u64, u64)) -> io::Result<u64> {
    let (bytes, mut at, mut copied) = (from.bytes(), 0, 0);
    let mut buffer = vec![0; AT_ONCE as usize];
    while at < bytes {
        progress(at, bytes);
        let (data, len) = from.extent(at, bytes - at)?;
        if !data {
            at += len;
            continue;
        }
        let piece = &mut buffer[..len.min(AT_ONCE - at % CLUSTER) as usize];
        from.read(at, piece)?;
        // What is zero stays a hole; neighbours that are not are written together.
        let mut run = 0..0;
        let end = (at + piece.len() as u64, piece.len()..piece.len());
        for (_, part) in pieces(at, piece.len()).chain([end]) {
            if piece[part.clone()] != ZEROES[..part.len()] {
                run.end = part.end;
                continue;
            }
            if !run.is_empty() {
                to.write(at + run.start as u64, &piece[run.clone()])?;
                copied += run.len() as u64;
            }
            run = part.end..part.end;
        }
        at += piece.len() as u64;
    }
    to.flush()?;
    Ok(copied)
}

/// An overlay whose content is where it lies.
#[derive(Debug)]
pub struct Committed {
    /// What it lies on.
    pub below: PathBuf,
    /// Bytes that were written there.
    pub bytes: u64,
    /// The overlay, empty.
    pub empty: Shape,
    /// Keeps others from both images.
    pub held: (File, Image),
}

/// Writes what a qcow2 image has to the image that it lies on. That has all of it then, and so has the overlay still; who is stopped
/// half way does it again.
///
/// # Errors
/// Those of the host; it lies on nothing, or on what it must not be written to.
pub fn commit(
    path: &Path,
    any_backing: bool,
    progress: &mut dyn FnMut(u64, u64),
) -> io::Result<Committed> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    lock::take(&file, true)?;
    if probe(&file)? == Format::Raw {
        return Err(io::Error::other("it is raw, and lies on no other image"));
    }
    let header = Header::read(&file)?;
    let Some(backing) = &header.backing else {
        return Err(io::Error::other("it lies on no other image"));
    };
    if header.snapshots.1 > 0 {
        return Err(io::Error::other(
            "it has snapshots of its own, which would be lost",
        ));
    }
    let below = path.parent().unwrap_or(Path::new("")).join(backing);
    gate::allowed(path, &below, any_backing)?;
    let format = match header.backing_format.as_deref() {
        Some(format) => Some(format.parse().map_err(io::Error::other)?),
        None => None,
    };
    let mode = Mode {
        format,
        write: true,
        any_backing,
    };
    let mut to = Image::open(&below, mode)
        .map_err(|e| io::Error::new(e.kind(), format!("it lies on {}: {e}", shown(&below))))?;
    let storage = imago::file::File::from_open_file(
        file.try_clone()?,
        StorageOpenOptions::new().filename(path),
    )?;
    let over = Qcow2::<imago::file::File>::builder(storage);
    let over = over.backing(None).write(false);
    let over = FormatAccess::new(over.open(DenyImplicitOpenGate::default())?);
    if over.size() > to.bytes() {
        to.grow(over.size())?;
    }
    let (bytes, mut at, mut written) = (over.size(), 0, 0);
    let mut buffer = vec![0; AT_ONCE as usize];
    while at < bytes {
        progress(at, bytes);
        let (mapping, len) = over.get_shallow_mapping(at, bytes - at)?;
        if len == 0 {
            break;
        }
        if let ShallowMapping::Zero {
            explicit: false, ..
        } = mapping
        {
            at += len;
            continue;
        }
        let piece = &mut buffer[..len.min(AT_ONCE) as usize];
        over.read(&mut *piece, at)?;
        to.write(at, piece)?;
        at += piece.len() as u64;
        written += piece.len() as u64;
    }
    to.flush()?;
    let empty = Shape {
        format: Format::Qcow2,
        bytes: header.bytes,
        backing: Some((backing.clone(), to.format())),
    };
    Ok(Committed {
        below,
        bytes: written,
        empty,
        held: (file, to),
    })
}

/// Whether nobody has a file open as a disk, so that it can be replaced.
///
/// # Errors
/// Somebody has, or it cannot be looked at.
pub fn free(path: &Path) -> io::Result<()> {
    match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) if file.metadata()?.file_type().is_block_device() => {
            Err(io::Error::other("it is a disk of the host"))
        }
        Ok(file) => lock::take(&file, true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
    }
}

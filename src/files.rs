//! Reading the files that a user or a board names, pipes and files without an end among them.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{OFlags, fcntl_setfl};
use solderless_model::Size;

/// Opens a file for reading. It may be a pipe, such as a shell's `<(…)`; one that nobody writes to is not waited for.
///
/// # Errors
/// Those of the host.
pub fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK.bits() as i32;
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    // Only opening it must not wait.
    fcntl_setfl(&file, OFlags::empty())?;
    Ok(file)
}

/// Reads an open file to its end, if that comes within `most` bytes.
///
/// # Errors
/// Those of the host; the file is larger, which is known of a plain file before it is read; or it is a pipe that nobody
/// writes to.
pub fn read_open(file: &mut File, most: u64) -> io::Result<Vec<u8>> {
    read_on(file, Vec::new(), most)
}

/// As [`read_open`], of a file whose beginning has been read.
///
/// # Errors
/// As [`read_open`].
pub fn read_on(file: &mut File, mut bytes: Vec<u8>, most: u64) -> io::Result<Vec<u8>> {
    let about = file.metadata()?;
    if !about.is_file() || about.len() <= most {
        let left = (most + 1).saturating_sub(bytes.len() as u64);
        file.take(left).read_to_end(&mut bytes)?;
        if bytes.is_empty() && about.file_type().is_fifo() {
            return Err(io::Error::other("it is a pipe that nobody writes to"));
        }
        if bytes.len() as u64 <= most {
            return Ok(bytes);
        }
    }
    Err(io::Error::other(format!("it has more than {}", Size(most))))
}

/// Reads a file of at most `most` bytes.
///
/// # Errors
/// As [`open`] and [`read_open`].
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    read_open(&mut open(path)?, most)
}

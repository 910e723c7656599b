//! Copies of the files of disks, which lie beside a snapshot: what loading it brings back.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{SeekFrom as SeekTo, ioctl_ficlone, seek};
use rustix::io::Errno;

use crate::machine::GoesOn;

/// What is copied at once.
const AT_ONCE: u64 = 1 << 20;

/// Copies a file, byte for byte; what is zero stays a hole, and a file system that can share what two files have does. The other file is there
/// once it is whole.
///
/// # Errors
/// Those of the host; `progress` says no.
pub(super) fn copy(from: &File, to: &Path, progress: GoesOn<'_>) -> io::Result<()> {
    let mut part = to.as_os_str().to_owned();
    part.push(".part");
    let part = Path::new(&part);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(true);
    let copied = options.mode(0o600).open(part).and_then(|file| {
        if ioctl_ficlone(&file, from).is_err() {
            make_equal(from, &file, progress)?;
        }
        file.sync_all()
    });
    let there = copied.and_then(|()| fs::rename(part, to));
    if there.is_err() {
        // What is there of it is of no use.
        let _ = fs::remove_file(part);
    }
    there
}

/// Has a file be as its copy is.
///
/// # Errors
/// Those of the host. Then the file is partly so.
pub(super) fn bring_back(from: &File, to: &File, progress: GoesOn<'_>) -> io::Result<()> {
    make_equal(from, to, progress)?;
    to.sync_data()
}

/// Writes to a file what another has, where that is not there already.
fn make_equal(from: &File, to: &File, progress: GoesOn<'_>) -> io::Result<()> {
    let len = from.metadata()?.len();
    to.set_len(len)?;
    let [mut wanted, mut there] = [(); 2].map(|()| vec![0; AT_ONCE as usize]);
    let mut at = 0;
    loop {
        // Where both have a hole nothing is to be done.
        at = at.max(data(from, at, len).min(data(to, at, len)));
        progress(at, len)?;
        if at >= len {
            return Ok(());
        }
        let piece = (len - at).min(AT_ONCE) as usize;
        from.read_exact_at(&mut wanted[..piece], at)?;
        to.read_exact_at(&mut there[..piece], at)?;
        if wanted[..piece] != there[..piece] {
            to.write_all_at(&wanted[..piece], at)?;
        }
        at += piece as u64;
    }
}

/// Where a file has something from a place on, as far as the host knows.
fn data(file: &File, at: u64, len: u64) -> u64 {
    match seek(file, SeekTo::Data(at)) {
        Ok(data) => data,
        Err(Errno::NXIO) => len,
        Err(_) => at,
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    #[test]
    fn a_file_is_again_what_it_was_when_it_was_copied() {
        let folder = tempfile::tempdir().unwrap();
        let [path, copied] = ["a", "a.copy"].map(|name| folder.path().join(name));
        let mut content = vec![0; 5 << 20];
        content[..3].fill(1);
        content[(3 << 20) - 1..][..2].fill(2);
        content.truncate((5 << 20) - 7);
        fs::write(&path, &content).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let mut last = (0, 0);
        copy(&file, &copied, &mut |at, of| {
            last = (at, of);
            Ok(())
        })
        .unwrap();
        assert_eq!(fs::read(&copied).unwrap(), content);
        assert!(!folder.path().join("a.copy.part").exists());
        file.set_len(6 << 20).unwrap();
        file.write_all_at(&[9; 700], (3 << 20) - 100).unwrap();
        file.write_all_at(&[8], 5 << 20).unwrap();
        let copied = File::open(&copied).unwrap();
        bring_back(&copied, &file, &mut |_, _| Ok(())).unwrap();
        assert!(fs::read(&path).unwrap() == content);
    }

    #[test]
    fn a_copy_that_is_given_up_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let [path, copied] = ["a", "a.copy"].map(|name| folder.path().join(name));
        fs::write(&path, vec![1; 3 << 20]).unwrap();
        let given_up = copy(
            &File::open(&path).unwrap(),
            &copied,
            &mut |at, _| match at {
                0 => Ok(()),
                _ => Err(io::Error::from(ErrorKind::Interrupted)),
            },
        );
        // A file system that shares what files have is done at once.
        assert_eq!(given_up.is_ok(), copied.exists());
        assert!(!folder.path().join("a.copy.part").exists());
    }
}

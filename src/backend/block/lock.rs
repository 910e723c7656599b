//! Locks on the files of disks, so that two machines do not write one: those that QEMU takes, so that it is one of the two.
//!
//! A program that has an image open holds a lock on a byte for each thing that it does with it, and on another for each that nobody
//! else may do (QEMU, `block/file-posix.c`). They are gone when the file is closed.

use std::fs::File;
use std::io;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc::{self, flock};

/// Where the bytes of what is done lie, and of what nobody else may do.
const DONE: i64 = 100;
const FORBIDDEN: i64 = 200;
/// The things, by their places.
const READ: i64 = 0;
const WRITE: i64 = 1;
const RESIZE: i64 = 3;

/// Takes the locks of somebody who reads, or also writes.
///
/// # Errors
/// Somebody else has the file open whom that would disturb.
pub fn take(file: &File, write: bool) -> io::Result<()> {
    let (done, forbidden) = match write {
        true => (&[READ, WRITE][..], &[WRITE, RESIZE][..]),
        false => (&[READ][..], &[WRITE, RESIZE][..]),
    };
    let bytes = |of: i64, things: &[i64]| -> Vec<i64> { things.iter().map(|t| of + t).collect() };
    for byte in [bytes(DONE, done), bytes(FORBIDDEN, forbidden)].concat() {
        match fcntl(file, FcntlArg::F_OFD_SETLK(&lock(libc::F_RDLCK, byte))) {
            Ok(_) => {}
            Err(Errno::EAGAIN | Errno::EACCES) => return Err(taken(write)),
            // The file system has none.
            Err(_) => return Ok(()),
        }
    }
    for byte in [bytes(FORBIDDEN, done), bytes(DONE, forbidden)].concat() {
        let mut other = lock(libc::F_WRLCK, byte);
        let asked = fcntl(file, FcntlArg::F_OFD_GETLK(&mut other));
        if asked.is_ok() && i32::from(other.l_type) != libc::F_UNLCK {
            return Err(taken(write));
        }
    }
    Ok(())
}

fn lock(kind: i32, byte: i64) -> flock {
    flock {
        l_type: kind as i16,
        l_whence: libc::SEEK_SET as i16,
        l_start: byte,
        l_len: 1,
        l_pid: 0,
    }
}

fn taken(write: bool) -> io::Error {
    let what = match write {
        true => "another machine has it, or a program such as qemu-img",
        false => "another machine writes it",
    };
    io::Error::new(io::ErrorKind::ResourceBusy, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_writes_or_many_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        std::fs::write(&path, [0; 512]).unwrap();
        let open = || File::options().read(true).write(true).open(&path).unwrap();
        let (one, other) = (open(), open());
        take(&one, true).unwrap();
        assert!(take(&open(), true).is_err() && take(&open(), false).is_err());
        drop(one);
        take(&other, false).unwrap();
        take(&open(), false).unwrap();
        assert!(take(&open(), true).is_err());
        drop(other);
        take(&open(), true).unwrap();
    }
}

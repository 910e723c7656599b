//! Files that are replaced in one step.

use std::fs::{self, File, Permissions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use crate::visible::shown;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags, linkat, renameat_with};
use rustix::io::Errno;

/// Has a file written by `write`, which is there as a whole once its content is on the disk (`fsync`), or not at all: whoever
/// ends the program finds what was there before or the new content. A new file is its owner's alone to read and write; one
/// that replaces another has that one's mode, owner and group. A link stays one, what it leads to is replaced. What is no
/// file, such as a pipe, is written into.
///
/// # Errors
/// It cannot be written; `write` fails; the old file may not be written, or its owner cannot be kept; or the path is that of a
/// link to nothing. What was there is still there then.
pub fn replace<T, E: From<io::Error>>(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<T, E>,
) -> Result<T, E> {
    if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        return write(&mut File::options().write(true).open(path)?);
    }
    put(path, true, |mut file| write(&mut file))
}

/// As [`replace`], with the file itself, for a path where nothing is or, with `over`, a file.
///
/// # Errors
/// As [`replace`]; something is there that is not to be replaced, or no file.
pub fn put<T, E: From<io::Error>>(
    path: &Path,
    over: bool,
    write: impl FnOnce(&File) -> Result<T, E>,
) -> Result<T, E> {
    let taken = || io::Error::new(io::ErrorKind::AlreadyExists, "it is there already");
    let old = match fs::metadata(path) {
        Ok(_) if !over => return Err(taken().into()),
        Ok(there) if !there.is_file() => return Err(io::Error::other("it is no file").into()),
        // Who may not write to it may not replace it; and the host decides whether the links to it are to be followed.
        Ok(_) => Some(File::options().write(true).open(path)?.metadata()?),
        Err(e) if e.kind() == io::ErrorKind::NotFound => match fs::read_link(path) {
            Ok(to) => {
                let reason = format!("it is a link to {}, which is not there", shown(&to));
                return Err(io::Error::new(io::ErrorKind::NotFound, reason).into());
            }
            Err(_) => None,
        },
        Err(e) => return Err(e.into()),
    };
    let path = match old {
        Some(_) => fs::canonicalize(path)?,
        None => path.to_owned(),
    };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // A file without a name leaves nothing behind when the program is killed; not every file system has them.
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::TMPFILE;
    let (file, mut part) = match rustix::fs::open(folder, flags, Mode::RUSR | Mode::WUSR) {
        Ok(file) => (File::from(file), None),
        Err(_) => {
            let mut options = File::options();
            options.read(true).write(true).create_new(true).mode(0o600);
            let (file, name) = named(&path, |name| options.open(name))?;
            (file, Some(name))
        }
    };
    let result = (|| {
        if let Some(old) = &old {
            keep(old, &file)?;
        }
        let written = write(&file)?;
        file.sync_all()?;
        let name = match part.take() {
            Some(name) => name,
            None => {
                let own = format!("/proc/self/fd/{}", file.as_raw_fd());
                let link = |name: &Path| Ok(linkat(CWD, &own, CWD, name, AtFlags::SYMLINK_FOLLOW)?);
                named(&path, link)?.1
            }
        };
        let name = part.insert(name);
        match over {
            true => fs::rename(name, &path)?,
            // Nor is what has come there meanwhile replaced.
            false => match renameat_with(CWD, &*name, CWD, &path, RenameFlags::NOREPLACE) {
                Err(Errno::EXIST) => return Err(taken().into()),
                // Not every file system can.
                Err(Errno::INVAL) => fs::rename(name, &path)?,
                renamed => renamed.map_err(io::Error::from)?,
            },
        }
        Ok(written)
    })();
    if let (Err(_), Some(part)) = (&result, part) {
        let _ = fs::remove_file(part);
    }
    result
}

/// Gives a new file the mode, owner and group of the old one.
fn keep(old: &fs::Metadata, new: &File) -> io::Result<()> {
    let own = new.metadata()?;
    if (old.uid(), old.gid()) != (own.uid(), own.gid()) {
        fchown(new, Some(old.uid()), Some(old.gid())).map_err(|e| {
            let reason = format!("the owner of the file that is there cannot be kept: {e}");
            io::Error::new(e.kind(), reason)
        })?;
    }
    new.set_permissions(Permissions::from_mode(old.mode() & 0o7777))
}

/// Makes something beside a file, under a name that nobody can know before and that nobody has.
fn named<T>(path: &Path, make: impl Fn(&Path) -> io::Result<T>) -> io::Result<(T, PathBuf)> {
    loop {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(
            ".part-{:016x}",
            RandomState::new().build_hasher().finish()
        ));
        match make(Path::new(&name)) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            result => return result.map(|made| (made, name.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn whole(path: &Path, text: &[u8]) -> io::Result<()> {
        replace(path, |out| out.write_all(text))
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn what_fails_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        whole(&path, b"old").unwrap();
        let result: io::Result<u64> = replace(&path, |out| {
            out.write_all(b"new")?;
            Err(io::Error::other("no"))
        });
        assert!(result.is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        whole(&path, b"newer").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"newer");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_there_is_replaced_if_it_may_be() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let put = |over, text: &[u8]| -> io::Result<()> {
            put(&path, over, |mut file| file.write_all(text))
        };
        put(false, b"first").unwrap();
        let refused = put(false, b"second").unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"first");
        put(true, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        // Somebody else is faster.
        let other = folder.path().join("y");
        let late: io::Result<()> = super::put(&other, false, |_| fs::write(&other, "theirs"));
        assert_eq!(late.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&other).unwrap(), b"theirs");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_new_file_is_its_owners_and_an_old_one_stays_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        whole(&path, b"1").unwrap();
        assert_eq!(mode(&path), 0o600);
        for wanted in [0o600, 0o640, 0o664] {
            fs::set_permissions(&path, Permissions::from_mode(wanted)).unwrap();
            let file = File::open(&path).unwrap();
            // Only root can give a file away.
            let given = fchown(&file, Some(1234), Some(1235)).is_ok();
            whole(&path, b"2").unwrap();
            assert_eq!(mode(&path), wanted);
            let now = fs::metadata(&path).unwrap();
            assert!(!given || (now.uid(), now.gid()) == (1234, 1235));
        }
    }

    #[test]
    fn a_link_stays_one_and_one_to_nothing_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("x"), folder.path().join("link"));
        symlink("x", &link).unwrap();
        let reason = whole(&link, b"1").unwrap_err().to_string();
        assert!(reason.contains("a link to x"), "{reason}");
        assert!(link.is_symlink() && !path.exists());
        fs::write(&path, "old").unwrap();
        whole(&link, b"new").unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }
}

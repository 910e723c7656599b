//! Named snapshots: the files of a folder.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::Uri;
use crate::visible::shown;

/// The folder, unless the user names another: in the current one.
pub const FOLDER: &str = "snapshots";

const EXTENSION: &str = "snap";

/// The copy of a disk's file that belongs to a snapshot: `NAME.SLOT.GENERATION`, beside it.
pub fn copy(folder: &Path, name: &str, slot: &str, generation: u64) -> PathBuf {
    folder.join(format!("{name}.{slot}.{generation:016x}"))
}

/// The copies that belong to a snapshot.
///
/// # Errors
/// The folder cannot be read.
pub fn copies(folder: &Path, name: &str) -> io::Result<Vec<PathBuf>> {
    let mut copies = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let file = path.file_name().and_then(|file| file.to_str());
        let rest = file.and_then(|file| file.strip_prefix(name)?.strip_prefix('.'));
        // A slot's name has no dot.
        let parts = rest.and_then(|rest| rest.split_once('.'));
        let is = parts.is_some_and(|(_, generation)| {
            generation.len() == 16 && generation.bytes().all(|b| b.is_ascii_hexdigit())
        });
        if is {
            copies.push(path);
        }
    }
    Ok(copies)
}

/// A snapshot of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Its name.
    pub name: String,
    /// Its file.
    pub path: PathBuf,
    /// The bytes of its file, and those that its disks' copies take of the host's.
    pub size: u64,
    /// When it was saved.
    pub saved: SystemTime,
}

/// Where the snapshot of this name is saved: `NAME.snap` in the folder, which is made if it is not there.
///
/// # Errors
/// The name cannot be a file's, or the folder cannot be made.
pub fn place(folder: &Path, name: &str) -> io::Result<Uri> {
    let path = path(folder, name)?;
    fs::create_dir_all(folder)?;
    Ok(Uri::File(path))
}

/// Where the snapshot of this name is.
///
/// # Errors
/// There is none; the message names those that there are.
pub fn find(folder: &Path, name: &str) -> io::Result<Uri> {
    let path = path(folder, name)?;
    if path.is_file() {
        return Ok(Uri::File(path));
    }
    let names: Vec<_> = list(folder)?.into_iter().map(|s| s.name).collect();
    let there = match names.is_empty() {
        true => "it has none".to_owned(),
        false => format!("it has {}", names.join(", ")),
    };
    Err(io::Error::new(
        io::ErrorKind::NotFound,
        format!("{} has no snapshot {name}; {there}", shown(folder)),
    ))
}

/// The snapshots of a folder, in order of their names; none if the folder is not there.
///
/// # Errors
/// The folder cannot be read.
pub fn list(folder: &Path) -> io::Result<Vec<Snapshot>> {
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut snapshots = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_stem().and_then(|n| n.to_str());
        let (Some(name), Ok(about)) = (name, fs::metadata(&path)) else {
            continue;
        };
        // What has another name is not found by it.
        if is_name(name) && about.is_file() && path.extension().is_some_and(|e| e == EXTENSION) {
            let of_disks = copies(folder, name)?.into_iter();
            let taken = of_disks.map(|copy| Ok(fs::metadata(copy)?.blocks() * 512));
            snapshots.push(Snapshot {
                name: name.to_owned(),
                size: about.len() + taken.sum::<io::Result<u64>>()?,
                saved: about.modified()?,
                path,
            });
        }
    }
    snapshots.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(snapshots)
}

/// Deletes the snapshot of this name.
///
/// # Errors
/// There is none, or it cannot be deleted.
pub fn delete(folder: &Path, name: &str) -> io::Result<()> {
    find(folder, name)?;
    fs::remove_file(path(folder, name)?)?;
    copies(folder, name)?.iter().try_for_each(fs::remove_file)
}

fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || "-_.+@ ".contains(c);
    !name.is_empty() && !name.starts_with('.') && name.chars().all(plain)
}

fn path(folder: &Path, name: &str) -> io::Result<PathBuf> {
    if !is_name(name) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "\"{name}\" cannot be a snapshot's name; it has letters, digits, blanks and any of -_.+@, and no dot in front"
            ),
        ));
    }
    Ok(folder.join(format!("{name}.{EXTENSION}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_files_of_the_folder_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/b");
        assert!(find(&inner, "x").unwrap_err().to_string().contains("none"));
        assert_eq!(list(&inner).unwrap(), []);
        for name in ["before-test", "1"] {
            let Ok(Uri::File(path)) = place(&inner, name) else {
                panic!("a file")
            };
            fs::write(path, name).unwrap();
        }
        fs::write(inner.join("other.txt"), "").unwrap();
        // A disk of each, and one of a snapshot whose name begins as that of another.
        let [own, other] = ["1", "1.disk0"].map(|name| copy(&inner, name, "disk0", 7));
        for copy in [&own, &other] {
            fs::write(copy, [1; 512]).unwrap();
        }
        assert_eq!(copies(&inner, "1").unwrap(), std::slice::from_ref(&own));
        assert!(list(&inner).unwrap()[0].size > 512);
        let names: Vec<_> = list(&inner).unwrap().into_iter().map(|s| s.name).collect();
        assert_eq!(names, ["1", "before-test"]);
        assert!(find(&inner, "1").is_ok());
        assert!(
            find(&inner, "2")
                .unwrap_err()
                .to_string()
                .ends_with("it has 1, before-test")
        );
        delete(&inner, "1").unwrap();
        assert!(find(&inner, "1").is_err());
        assert!(!own.exists() && other.exists());
        for bad in ["", "..", "a/b", "/etc/passwd", ".x"] {
            assert!(place(&inner, bad).is_err(), "{bad}");
        }
    }
}

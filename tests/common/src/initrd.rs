//! Initial RAM disks: archives in cpio's "newc", which is what Linux unpacks.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::guests;

const FOLDER: u32 = 0o040_000;
const DEVICE: u32 = 0o020_000;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_000;

/// What a guest finds in its root folder.
#[derive(Debug, Clone)]
pub struct Initrd {
    archive: Vec<u8>,
    entries: u32,
}

impl Initrd {
    /// One with `/dev/console`, which the kernel opens for the first process.
    #[must_use]
    pub fn new() -> Self {
        let mut initrd = Self {
            archive: Vec::new(),
            entries: 0,
        };
        initrd.folder("dev");
        initrd.entry("dev/console", DEVICE | 0o600, (5, 1), &[]);
        initrd
    }

    /// Adds a folder. Paths have no leading `/`, and what they lie in comes first.
    pub fn folder(&mut self, path: &str) {
        self.entry(path, FOLDER | 0o755, (0, 0), &[]);
    }

    /// Adds a file that can be executed.
    pub fn program(&mut self, path: &str, content: &[u8]) {
        self.entry(path, FILE | 0o755, (0, 0), content);
    }

    /// Adds a file.
    pub fn file(&mut self, path: &str, content: &[u8]) {
        self.entry(path, FILE | 0o644, (0, 0), content);
    }

    /// Adds a symbolic link.
    pub fn link(&mut self, path: &str, target: &str) {
        self.entry(path, LINK | 0o777, (0, 0), target.as_bytes());
    }

    /// Adds all that lies in a folder of the host, in the order of its names, but for paths that `leave_out` names.
    ///
    /// # Panics
    /// It cannot be read, or holds a name that is not UTF-8.
    pub fn tree(&mut self, root: &Path, leave_out: &dyn Fn(&str) -> bool) {
        self.below(root, "", leave_out);
    }

    fn below(&mut self, root: &Path, inside: &str, leave_out: &dyn Fn(&str) -> bool) {
        let entries = std::fs::read_dir(root.join(inside)).expect("a folder of the guest");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("the folder can be read").file_name())
            .map(|name| name.into_string().expect("a name in UTF-8"))
            .collect();
        names.sort();
        for name in names {
            let path = match inside {
                "" => name,
                inside => format!("{inside}/{name}"),
            };
            if leave_out(&path) {
                continue;
            }
            let host = root.join(&path);
            let data = std::fs::symlink_metadata(&host).expect("it was just listed");
            let kind = data.file_type();
            if kind.is_dir() {
                self.folder(&path);
                self.below(root, &path, leave_out);
            } else if kind.is_symlink() {
                let target = std::fs::read_link(&host).expect("a symbolic link");
                self.link(&path, target.to_str().expect("a name in UTF-8"));
            } else {
                assert!(!kind.is_char_device() && !kind.is_block_device(), "{path}");
                let content = std::fs::read(&host).expect("a file of the guest");
                self.entry(&path, FILE | data.mode() & 0o7777, (0, 0), &content);
            }
        }
    }

    /// A header of hexadecimal fields, a name and the content, each padded to 4 bytes.
    fn entry(&mut self, path: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        self.entries += 1;
        let length = |bytes: usize| u32::try_from(bytes).expect("a guest's file is below 4 GiB");
        let fields = [
            self.entries,
            mode,
            0,
            0,
            1,
            0,
            length(content.len()),
            0,
            0,
            device.0,
            device.1,
            length(path.len() + 1),
            0,
        ];
        self.archive.extend(b"070701");
        for field in fields {
            self.archive.extend(format!("{field:08x}").bytes());
        }
        self.archive.extend(path.bytes().chain([0]));
        self.pad();
        self.archive.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.archive
            .resize(self.archive.len().next_multiple_of(4), 0);
    }

    /// Writes the archive to `target/guests/NAME.cpio`.
    ///
    /// # Panics
    /// It cannot be written.
    pub fn write(mut self, name: &str) -> PathBuf {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        let path = guests::cache().join(format!("{name}.cpio"));
        guests::replace(&path, &self.archive);
        path
    }
}

impl Default for Initrd {
    fn default() -> Self {
        Self::new()
    }
}

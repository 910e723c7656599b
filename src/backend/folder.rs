//! A folder of the host, whose files a guest reads and writes. What the guest names is looked for below the folder alone: no
//! symbolic link is followed on the way, for following them is the guest's own affair, in what it has mounted.
//!
//! Files belong to the user of this program: a guest cannot give them to anybody else, nor make programs that run as somebody else.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, UTIME_NOW,
    UTIME_OMIT, fstat, fstatfs, linkat, mkdirat, openat, openat2, readlinkat, renameat, symlinkat,
    unlinkat, utimensat,
};
use rustix::io::Errno;
use solderless_model::folder::{
    Attributes, FileRef, FolderJob, SET_ATIME, SET_ATIME_GIVEN, SET_MODE, SET_MTIME,
    SET_MTIME_GIVEN, SET_SIZE, say,
};
use solderless_model::{Failure, Job, JobId, Medium};

use super::outside::Post;
use super::{BackendError, Form, Wrong};
use crate::machine::{Answer, Disk, Identity, JobDone};
use crate::visible::shown;

/// What plugs into a slot for a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Folder {
    /// Nothing.
    Null,
    /// A folder of the host, and whether the guest only reads.
    Path(PathBuf, bool),
}

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Path(path, read_only) => {
                let read_only = if *read_only { ",read-only" } else { "" };
                write!(f, "folder:{}{read_only}", shown(path))
            }
        }
    }
}

/// How they are written.
pub(super) const FORMS: &[Form<Folder>] = &[
    Form {
        name: "null",
        args: "",
        about: "no folder",
        example: "--backend share0=null",
        options: Vec::new,
        parse: |_| Ok(Folder::Null),
    },
    Form {
        name: "folder",
        args: ":PATH[,read-only]",
        about: "a folder of the host; the guest sees nothing above it",
        example: "--backend share0=folder:work,read-only",
        options: Vec::new,
        parse: |text| {
            let (path, read_only) = match text.strip_suffix(",read-only") {
                Some(path) => (path, true),
                None => (text, false),
            };
            match path.is_empty() {
                true => Err(Wrong::Form),
                false => Ok(Folder::Path(path.into(), read_only)),
            }
        },
    },
];

/// Opens what is plugged into a slot for a folder.
///
/// # Errors
/// It is no folder, or cannot be looked into; or the host refuses a thread.
pub(super) fn open(
    name: &str,
    folder: &Folder,
    slot: usize,
    post: Post,
) -> Result<Option<Box<dyn Disk>>, BackendError> {
    let Folder::Path(path, read_only) = folder else {
        return Ok(None);
    };
    let called = shown(path);
    let failed =
        |e: &dyn fmt::Display| BackendError::new(format!("{name}: cannot share {called}: {e}"));
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = openat(CWD, path, flags, Mode::empty()).map_err(|e| match e {
        Errno::NOTDIR => failed(&"it is no folder"),
        e => failed(&e),
    })?;
    let device = fstat(&root).map_err(|e| failed(&e))?.st_dev;
    let server = Server {
        root,
        device,
        read_only: *read_only,
        open: BTreeMap::new(),
        used: 0,
    };
    // An old kernel does not know how to stay below a folder.
    if let Err(e) = server.list(&FileRef::default()) {
        return Err(failed(&io::Error::from(e)));
    }
    let (work, jobs) = channel();
    let thread = thread::Builder::new().name(name.chars().take(15).collect());
    let thread = thread
        .spawn(move || server.work(slot, &jobs, &post))
        .map_err(|e| failed(&e))?;
    Ok(Some(Box::new(Plugged {
        called: shown(path),
        writable: !read_only,
        work: Some(work),
        thread: Some(thread),
    })))
}

/// What the folder's thread is asked for.
enum Work {
    Job(u64, JobId, FolderJob),
    /// What became of the last jobs, once all are done.
    Answers(SyncSender<Vec<Answer>>),
}

/// The machine's end.
struct Plugged {
    called: String,
    writable: bool,
    work: Option<Sender<Work>>,
    thread: Option<JoinHandle<()>>,
}

/// How long a save waits for a folder that has something to do.
const PATIENCE: Duration = Duration::from_secs(30);

impl Disk for Plugged {
    fn medium(&self) -> Medium {
        Medium {
            bytes: 0,
            writable: self.writable,
        }
    }

    fn start(&mut self, ticket: u64, id: JobId, job: Job) {
        if let (Some(work), Job::Folder(job)) = (&self.work, job) {
            // The thread ends after this does.
            let _ = work.send(Work::Job(ticket, id, job));
        }
    }

    fn stops(&self, _: Failure) -> bool {
        false
    }

    fn identity(&self) -> Result<Identity, String> {
        // What is in it may change: it is the host's.
        Ok(Identity {
            name: self.called.clone(),
            format: self.format(),
            ..Identity::default()
        })
    }

    fn answers(&self) -> Result<Vec<Answer>, String> {
        let (sender, answers) = sync_channel(1);
        let asked = self
            .work
            .as_ref()
            .map(|work| work.send(Work::Answers(sender)));
        match (asked, answers.recv_timeout(PATIENCE)) {
            (Some(Ok(())), Ok(answers)) => Ok(answers),
            _ => Err("the folder does not answer".to_owned()),
        }
    }

    fn format(&self) -> String {
        "folder".to_owned()
    }

    fn is_folder(&self) -> bool {
        true
    }

    fn may_have_changed(&self) -> bool {
        true
    }
}

impl Drop for Plugged {
    /// What the guest has asked for is done before the program ends.
    fn drop(&mut self) {
        self.work = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Files that are open at once; beyond them the one that was not used longest is opened again when it is needed.
const OPEN: usize = 256;
/// Answers that a save can ask for: more than a device waits for at once.
const ANSWERS: usize = 256;

/// What is open.
enum Open {
    File(File),
    /// The names in a folder, as they were when it was read from its start.
    Folder(Vec<Entry>),
}

/// A name in a folder: which file it is of, and of which type.
struct Entry {
    id: [u8; 13],
    kind: u8,
    name: Vec<u8>,
}

/// The folder's thread.
struct Server {
    root: OwnedFd,
    device: u64,
    read_only: bool,
    /// What is open, by the device's number, each with when it was used last.
    open: BTreeMap<u32, (Open, u64)>,
    used: u64,
}

type Done<T> = Result<T, Errno>;

impl Server {
    fn work(mut self, slot: usize, jobs: &Receiver<Work>, post: &Post) {
        let mut answers: VecDeque<Answer> = VecDeque::new();
        for work in jobs {
            match work {
                Work::Job(ticket, id, job) => {
                    let said = say(self.job(&job).map_err(number));
                    answers.push_back((id, said.clone()));
                    if answers.len() > ANSWERS {
                        answers.pop_front();
                    }
                    let done = JobDone {
                        slot,
                        ticket,
                        id,
                        outcome: Ok(said),
                    };
                    // The rest is done even if nobody hears of it.
                    let _ = post.done(done);
                }
                Work::Answers(asked) => {
                    let _ = asked.send(answers.iter().cloned().collect());
                }
            }
        }
    }

    fn job(&mut self, job: &FolderJob) -> Done<Vec<u8>> {
        match job {
            FolderJob::Nothing => {}
            FolderJob::CloseAll => self.open.clear(),
            FolderJob::Close { handle } => drop(self.open.remove(handle)),
            FolderJob::Walk { paths } => return self.walk(paths),
            FolderJob::FileSystem { file } => return self.file_system(file),
            FolderJob::Attributes { file } => return self.attributes(file),
            FolderJob::SetAttributes { file, to } => self.set_attributes(file, to)?,
            FolderJob::Open { file, flags } => {
                let flags = Self::flags(*flags);
                self.may(!flags.intersects(OFlags::WRONLY | OFlags::RDWR | OFlags::TRUNC))?;
                let at = self.at(&file.path)?;
                let about = fstat(&at)?;
                if FileType::from_raw_mode(about.st_mode) == FileType::Directory {
                    let names = self.list(file)?;
                    self.keep(file.handle, Open::Folder(names));
                } else {
                    let opened = self.again(&at, flags)?;
                    self.keep(file.handle, Open::File(opened));
                }
                return Ok(self.opened(&about));
            }
            FolderJob::Create { file, flags, mode } => {
                self.may(false)?;
                let (folder, name) = self.parent(&file.path)?;
                let flags = Self::flags(*flags) | OFlags::CREATE | OFlags::NOFOLLOW;
                let flags = flags | OFlags::CLOEXEC | OFlags::NONBLOCK;
                let opened = openat(folder, name, flags, permissions(*mode))?;
                let about = fstat(&opened)?;
                self.keep(file.handle, Open::File(opened.into()));
                return Ok(self.opened(&about));
            }
            FolderJob::MakeFolder { path, mode } => {
                self.may(false)?;
                let (folder, name) = self.parent(path)?;
                mkdirat(folder, name, permissions(*mode))?;
                return Ok(self.id(&fstat(self.at(path)?)?).to_vec());
            }
            FolderJob::MakeLink { path, target } => {
                self.may(false)?;
                let (folder, name) = self.parent(path)?;
                symlinkat(&target[..], folder, name)?;
                return Ok(self.id(&fstat(self.at(path)?)?).to_vec());
            }
            FolderJob::Link { file, path } => {
                self.may(false)?;
                let (from, old) = self.parent(&file.path)?;
                let (to, new) = self.parent(path)?;
                linkat(from, old, to, new, AtFlags::empty())?;
            }
            FolderJob::Rename { from, to } => {
                self.may(false)?;
                let (from, old) = self.parent(from)?;
                let (to, new) = self.parent(to)?;
                renameat(from, old, to, new)?;
            }
            FolderJob::Remove { path, folder } => {
                self.may(false)?;
                let (parent, name) = self.parent(path)?;
                let flags = if *folder {
                    AtFlags::REMOVEDIR
                } else {
                    AtFlags::empty()
                };
                unlinkat(parent, name, flags)?;
            }
            FolderJob::ReadLink { path } => {
                let target = readlinkat(self.at(path)?, "", Vec::new())?;
                return Ok(text(target.to_bytes()));
            }
            FolderJob::ReadFolder {
                file,
                offset,
                count,
            } => {
                return self.read_folder(file, *offset, *count);
            }
            FolderJob::Read {
                file,
                offset,
                count,
            } => {
                let mut body = vec![0; 4 + *count as usize];
                let read = self.file(file)?.read_at(&mut body[4..], *offset);
                let read = read.map_err(|e| errno(&e))?;
                body.truncate(4 + read);
                body[..4].copy_from_slice(&(read as u32).to_le_bytes());
                return Ok(body);
            }
            FolderJob::Write { file, offset, data } => {
                self.may(false)?;
                let written = self.file(file)?.write_at(data, *offset);
                let written = written.map_err(|e| errno(&e))?;
                return Ok((written as u32).to_le_bytes().to_vec());
            }
            FolderJob::Sync { file } => {
                match self.file(file) {
                    Ok(file) => file.sync_all().map_err(|e| errno(&e))?,
                    // A folder's names last as those of the host do.
                    Err(Errno::ISDIR) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(Vec::new())
    }

    /// Whether something is done that only reads, or may be done.
    fn may(&self, reads: bool) -> Done<()> {
        match reads || !self.read_only {
            true => Ok(()),
            false => Err(Errno::ROFS),
        }
    }

    /// What of a guest's flags, which are Linux's on most machines, counts.
    fn flags(flags: u32) -> OFlags {
        const KNOWN: [(u32, OFlags); 4] = [
            (0o1, OFlags::WRONLY),
            (0o2, OFlags::RDWR),
            (0o200, OFlags::EXCL),
            (0o1000, OFlags::TRUNC),
        ];
        let known = KNOWN.iter().filter(|(bit, _)| flags & bit != 0);
        known.fold(OFlags::RDONLY, |all, (_, flag)| all | *flag)
    }

    /// A file of the folder, to be looked at: a symbolic link is one.
    fn at(&self, path: &[u8]) -> Done<OwnedFd> {
        let path: &[u8] = if path.is_empty() { b"." } else { path };
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let below = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        openat2(&self.root, path, flags, Mode::empty(), below)
    }

    /// The folder that a file is in, and its name there.
    fn parent<'p>(&self, path: &'p [u8]) -> Done<(OwnedFd, &'p [u8])> {
        let (folder, name) = match path.iter().rposition(|byte| *byte == b'/') {
            Some(at) => (&path[..at], &path[at + 1..]),
            None => (&path[..0], path),
        };
        match name.is_empty() {
            // The folder itself is not the guest's.
            true => Err(Errno::BUSY),
            false => Ok((self.at(folder)?, name)),
        }
    }

    /// Opens a file that is looked at; one that something else may wait behind is not opened.
    fn again(&self, at: &OwnedFd, flags: OFlags) -> Done<File> {
        match FileType::from_raw_mode(fstat(at)?.st_mode) {
            FileType::RegularFile => {}
            FileType::Directory => return Err(Errno::ISDIR),
            FileType::Symlink => return Err(Errno::LOOP),
            _ => return Err(Errno::NXIO),
        }
        let flags = flags.difference(OFlags::EXCL) | OFlags::CLOEXEC | OFlags::NONBLOCK;
        Ok(openat(CWD, link(at), flags, Mode::empty())?.into())
    }

    /// What the device has opened. What was open before a restore, or too long ago, is opened again, for all that it may be for.
    fn file(&mut self, file: &FileRef) -> Done<&File> {
        if !matches!(self.open.get(&file.handle), Some((Open::File(_), _))) {
            let at = self.at(&file.path)?;
            let opened = match self.read_only {
                true => self.again(&at, OFlags::RDONLY),
                false => self.again(&at, OFlags::RDWR),
            };
            let opened = opened.or_else(|_| self.again(&at, OFlags::RDONLY))?;
            self.keep(file.handle, Open::File(opened));
        }
        self.used += 1;
        match self.open.get_mut(&file.handle) {
            Some((Open::File(file), used)) => {
                *used = self.used;
                Ok(file)
            }
            _ => Err(Errno::BADF),
        }
    }

    fn keep(&mut self, handle: u32, opened: Open) {
        if self.open.len() >= OPEN && !self.open.contains_key(&handle) {
            let oldest = self.open.iter().min_by_key(|(_, (_, used))| *used);
            if let Some(oldest) = oldest.map(|(handle, _)| *handle) {
                self.open.remove(&oldest);
            }
        }
        self.used += 1;
        self.open.insert(handle, (opened, self.used));
    }

    /// What tells a file from others, as 9P has it: type, version, number.
    fn id(&self, about: &Stat) -> [u8; 13] {
        let kind = match FileType::from_raw_mode(about.st_mode) {
            FileType::Directory => 0x80,
            FileType::Symlink => 0x02,
            _ => 0,
        };
        let version = (about.st_mtime as u32) ^ (about.st_mtime_nsec as u32);
        // A file of another file system that is mounted below may have the same number.
        let number = about.st_ino ^ (about.st_dev ^ self.device).rotate_left(40);
        Self::pack(kind, version, number)
    }

    fn pack(kind: u8, version: u32, number: u64) -> [u8; 13] {
        let mut id = [kind; 13];
        id[1..5].copy_from_slice(&version.to_le_bytes());
        id[5..].copy_from_slice(&number.to_le_bytes());
        id
    }

    /// The answer to who opens a file: messages say how much is read at once.
    fn opened(&self, about: &Stat) -> Vec<u8> {
        [&self.id(about)[..], &[0; 4]].concat()
    }

    /// As many of these files as are there, one after the other.
    fn walk(&self, paths: &[Vec<u8>]) -> Done<Vec<u8>> {
        let mut body = vec![0; 2];
        for (found, path) in (1u16..).zip(paths) {
            match self.at(path).and_then(|at| fstat(&at)) {
                Ok(about) => {
                    body.extend(self.id(&about));
                    body[..2].copy_from_slice(&found.to_le_bytes());
                }
                Err(error) if found == 1 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(body)
    }

    fn file_system(&self, file: &FileRef) -> Done<Vec<u8>> {
        let it = fstatfs(self.at(&file.path)?)?;
        let mut body = Vec::new();
        // V9FS_MAGIC
        body.extend(0x0102_1997u32.to_le_bytes());
        body.extend((it.f_bsize as u32).to_le_bytes());
        for number in [
            it.f_blocks,
            it.f_bfree,
            it.f_bavail,
            it.f_files,
            it.f_ffree,
            0,
        ] {
            body.extend(number.to_le_bytes());
        }
        body.extend((it.f_namelen as u32).to_le_bytes());
        Ok(body)
    }

    fn about(&self, file: &FileRef) -> Done<Stat> {
        match self.open.get(&file.handle) {
            // One without a name is still there.
            Some((Open::File(file), _)) => fstat(file),
            _ => fstat(self.at(&file.path)?),
        }
    }

    #[allow(
        clippy::unnecessary_cast,
        reason = "how wide the numbers are is the host's"
    )]
    fn attributes(&self, file: &FileRef) -> Done<Vec<u8>> {
        /// All but what no file system has.
        const BASIC: u64 = 0x7ff;
        let it = self.about(file)?;
        let mut body = BASIC.to_le_bytes().to_vec();
        body.extend(self.id(&it));
        for number in [it.st_mode, it.st_uid, it.st_gid] {
            body.extend(number.to_le_bytes());
        }
        for number in [
            it.st_nlink as u64,
            it.st_rdev,
            it.st_size as u64,
            it.st_blksize as u64,
            it.st_blocks as u64,
            it.st_atime as u64,
            it.st_atime_nsec as u64,
            it.st_mtime as u64,
            it.st_mtime_nsec as u64,
            it.st_ctime as u64,
            it.st_ctime_nsec as u64,
            0,
            0,
            0,
            0,
        ] {
            body.extend(number.to_le_bytes());
        }
        Ok(body)
    }

    fn set_attributes(&mut self, file: &FileRef, to: &Attributes) -> Done<()> {
        self.may(false)?;
        let has = |bit| to.valid & bit != 0;
        if has(SET_SIZE) {
            let it = self.file(file)?;
            it.set_len(to.size).map_err(|e| errno(&e))?;
        }
        let at = match self.open.get(&file.handle) {
            Some((Open::File(file), _)) => {
                file.as_fd().try_clone_to_owned().map_err(|e| errno(&e))?
            }
            _ => self.at(&file.path)?,
        };
        if has(SET_MODE) {
            let mode = permissions(to.mode).as_raw_mode();
            let set = fs::set_permissions(link(&at), fs::Permissions::from_mode(mode));
            set.map_err(|e| errno(&e))?;
        }
        if has(SET_ATIME) || has(SET_MTIME) {
            let time = |set, given, (seconds, nanos): (u64, u64)| Timespec {
                tv_sec: seconds as i64,
                tv_nsec: match (has(set), has(given)) {
                    (false, _) => UTIME_OMIT,
                    (true, false) => UTIME_NOW,
                    (true, true) => (nanos % 1_000_000_000) as _,
                },
            };
            let times = Timestamps {
                last_access: time(SET_ATIME, SET_ATIME_GIVEN, to.atime),
                last_modification: time(SET_MTIME, SET_MTIME_GIVEN, to.mtime),
            };
            utimensat(CWD, link(&at), &times, AtFlags::empty())?;
        }
        Ok(())
    }

    /// The names in a folder, in order.
    fn list(&self, folder: &FileRef) -> Done<Vec<Entry>> {
        let at = self.at(&folder.path)?;
        let own = self.id(&fstat(&at)?);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut names = Vec::new();
        for entry in Dir::new(openat(CWD, link(&at), flags, Mode::empty())?)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes().to_vec();
            // What is above the folder is not the guest's.
            let (id, kind) = match &name[..] {
                b"." | b".." => (own, 4),
                _ => {
                    let (bits, kind) = match entry.file_type() {
                        FileType::Directory => (0x80, 4),
                        FileType::Symlink => (0x02, 10),
                        FileType::RegularFile => (0, 8),
                        _ => (0, 0),
                    };
                    (Self::pack(bits, 0, entry.ino()), kind)
                }
            };
            names.push(Entry { id, kind, name });
        }
        names.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(names)
    }

    fn read_folder(&mut self, file: &FileRef, offset: u64, count: u32) -> Done<Vec<u8>> {
        let there = matches!(self.open.get(&file.handle), Some((Open::Folder(_), _)));
        if !there || offset == 0 {
            let names = self.list(file)?;
            self.keep(file.handle, Open::Folder(names));
        }
        let Some((Open::Folder(names), _)) = self.open.get(&file.handle) else {
            return Err(Errno::BADF);
        };
        let mut body = vec![0; 4];
        for (place, entry) in names.iter().enumerate().skip(offset as usize) {
            let length = 13 + 8 + 1 + 2 + entry.name.len();
            if body.len() - 4 + length > count as usize {
                break;
            }
            body.extend(entry.id);
            body.extend((place as u64 + 1).to_le_bytes());
            body.push(entry.kind);
            body.extend(text(&entry.name));
        }
        let length = (body.len() - 4) as u32;
        body[..4].copy_from_slice(&length.to_le_bytes());
        Ok(body)
    }
}

/// The host's own name of what is open.
fn link(at: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", at.as_raw_fd())
}

/// What a guest may set of a file's mode: not that it runs as somebody else.
fn permissions(mode: u32) -> Mode {
    Mode::from_raw_mode(mode & 0o1777)
}

/// A text as 9P has it.
fn text(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_le_bytes()[..], bytes].concat()
}

/// The number of an error. Above 34 not all of Linux's architectures have the same: what has a twin below is told by that.
fn number(error: Errno) -> u32 {
    let twin = match error {
        Errno::NOTEMPTY => Errno::EXIST,
        Errno::DQUOT => Errno::NOSPC,
        error => error,
    };
    twin.raw_os_error() as u32
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Heard, Outside};

    /// A folder beside which is a file that nobody may reach, and what has jobs done there.
    struct Lab {
        outside: Outside,
        disk: Box<dyn Disk>,
        jobs: u64,
        above: tempfile::TempDir,
    }

    impl Lab {
        fn new(read_only: bool) -> Self {
            let above = tempfile::tempdir().unwrap();
            let path = above.path().join("shared");
            fs::create_dir_all(path.join("inner")).unwrap();
            fs::write(above.path().join("secret"), "secret").unwrap();
            std::os::unix::fs::symlink("../secret", path.join("file-out")).unwrap();
            std::os::unix::fs::symlink("..", path.join("out")).unwrap();
            std::os::unix::fs::symlink("inner", path.join("in")).unwrap();
            let outside = Outside::new().unwrap();
            let folder = Folder::Path(path, read_only);
            let disk = outside.folder(0, "share0", &folder).unwrap();
            Self {
                outside,
                disk: disk.expect("it is plugged in"),
                jobs: 0,
                above,
            }
        }

        fn job(&mut self, job: FolderJob) -> Result<Vec<u8>, Errno> {
            self.jobs += 1;
            self.disk.start(1, JobId(self.jobs), Job::Folder(job));
            let heard = self.outside.wait(Some(Duration::from_secs(60)));
            let Some(Heard::Done(done)) = heard else {
                panic!("{heard:?}");
            };
            assert_eq!((done.ticket, done.id), (1, JobId(self.jobs)));
            let heard = solderless_model::folder::hear(done.outcome);
            heard.map_err(|number| Errno::from_raw_os_error(number as i32))
        }
    }

    fn file(path: &str) -> FileRef {
        FileRef {
            handle: 7,
            path: path.into(),
        }
    }

    /// All that can be done with a path.
    fn everything(path: &str) -> Vec<FolderJob> {
        let (name, other) = (path.as_bytes().to_vec(), b"other".to_vec());
        let to = Attributes {
            valid: SET_MODE | SET_SIZE | SET_MTIME,
            ..Attributes::default()
        };
        vec![
            FolderJob::Walk {
                paths: vec![name.clone()],
            },
            FolderJob::Attributes { file: file(path) },
            FolderJob::SetAttributes {
                file: file(path),
                to,
            },
            FolderJob::Open {
                file: file(path),
                flags: 0,
            },
            FolderJob::Open {
                file: file(path),
                flags: 0o1001,
            },
            FolderJob::Create {
                file: file(path),
                flags: 2,
                mode: 0o644,
            },
            FolderJob::MakeFolder {
                path: name.clone(),
                mode: 0o755,
            },
            FolderJob::MakeLink {
                path: name.clone(),
                target: other.clone(),
            },
            FolderJob::Link {
                file: file(path),
                path: other.clone(),
            },
            FolderJob::Rename {
                from: name.clone(),
                to: other,
            },
            FolderJob::Remove {
                path: name.clone(),
                folder: false,
            },
            FolderJob::Remove {
                path: name.clone(),
                folder: true,
            },
            FolderJob::ReadLink { path: name },
            FolderJob::ReadFolder {
                file: file(path),
                offset: 0,
                count: 4096,
            },
            FolderJob::Read {
                file: file(path),
                offset: 0,
                count: 100,
            },
            FolderJob::Write {
                file: file(path),
                offset: 0,
                data: b"broken".to_vec(),
            },
        ]
    }

    #[test]
    fn nothing_leads_out_of_the_folder() {
        for path in [
            "out/secret",
            "out/shared/inner",
            "../secret",
            "inner/../../secret",
            "/etc/passwd",
            "in/new",
        ] {
            let mut lab = Lab::new(false);
            for job in everything(path) {
                let done = lab.job(job.clone());
                assert!(done.is_err(), "{job:?}: {done:?}");
            }
            let secret = fs::read_to_string(lab.above.path().join("secret"));
            assert_eq!(secret.unwrap(), "secret", "{path}");
        }
        // A link itself is in the folder, what it leads to is not.
        let mut lab = Lab::new(false);
        for job in everything("file-out") {
            let _ = lab.job(job);
        }
        let secret = lab.above.path().join("secret");
        assert_eq!(fs::read_to_string(&secret).unwrap(), "secret");
        assert_eq!(
            fs::metadata(&secret).unwrap().permissions().mode() & 0o700,
            0o600
        );
        assert!(!fs::metadata(&secret).unwrap().permissions().readonly());
        for job in everything("") {
            let _ = lab.job(job);
        }
        assert!(lab.above.path().join("shared").is_dir());
    }

    #[test]
    fn who_may_only_read_changes_nothing() {
        let mut lab = Lab::new(true);
        let look = |lab: &Lab| {
            let list = std::process::Command::new("ls")
                .arg("-lR")
                .arg(lab.above.path())
                .output();
            list.unwrap().stdout
        };
        let before = look(&lab);
        for path in ["inner", "file-out", "new", ""] {
            for job in everything(path) {
                let _ = lab.job(job);
            }
        }
        assert_eq!(look(&lab), before);
        let made = FolderJob::MakeFolder {
            path: b"new".to_vec(),
            mode: 0o755,
        };
        assert_eq!(lab.job(made), Err(Errno::ROFS));
    }

    #[test]
    fn what_waits_in_a_saved_machine_is_not_done_twice() {
        let mut lab = Lab::new(false);
        let made = FolderJob::MakeFolder {
            path: b"new".to_vec(),
            mode: 0o4755,
        };
        lab.disk.start(1, JobId(5), Job::Folder(made.clone()));
        let answers = lab.disk.answers().unwrap();
        assert!(matches!(&answers[..], [(JobId(5), answer)] if answer.starts_with(&[0; 4])));
        assert!(lab.outside.wait(Some(Duration::from_secs(60))).is_some());
        assert_eq!(lab.job(made), Err(Errno::EXIST));
        let mode = fs::metadata(lab.above.path().join("shared/new")).unwrap();
        assert_eq!(mode.permissions().mode() & 0o7000, 0);
    }

    #[test]
    fn what_was_open_before_a_restore_is_read_and_written() {
        let mut lab = Lab::new(false);
        let path = lab.above.path().join("shared/inner/file");
        fs::write(&path, "before").unwrap();
        let file = || file("inner/file");
        let (offset, count) = (0, 6);
        let read = FolderJob::Read {
            file: file(),
            offset,
            count,
        };
        let read = lab.job(read).unwrap();
        assert_eq!(&read[4..], b"before");
        let write = FolderJob::Write {
            file: file(),
            offset,
            data: b"after!".to_vec(),
        };
        assert_eq!(lab.job(write), Ok(vec![6, 0, 0, 0]));
        lab.job(FolderJob::Sync { file: file() }).unwrap();
        assert_eq!(fs::read_to_string(path).unwrap(), "after!");
    }

    #[test]
    fn names_are_read_in_order_and_in_pieces() {
        let mut lab = Lab::new(false);
        for n in 0..100 {
            fs::write(lab.above.path().join(format!("shared/inner/{n:02}")), "").unwrap();
        }
        let (mut names, mut offset) = (Vec::new(), 0);
        loop {
            let file = file("inner");
            let read = FolderJob::ReadFolder {
                file,
                offset,
                count: 200,
            };
            let body = lab.job(read).unwrap();
            assert_eq!(body[..4], ((body.len() - 4) as u32).to_le_bytes());
            let mut rest = &body[4..];
            if rest.is_empty() {
                break;
            }
            while let Some((head, after)) = rest.split_at_checked(24) {
                offset = u64::from_le_bytes(head[13..21].try_into().unwrap());
                let length = usize::from(u16::from_le_bytes([head[22], head[23]]));
                names.push(String::from_utf8(after[..length].to_vec()).unwrap());
                rest = &after[length..];
            }
            // What goes away meanwhile hides nothing else.
            for name in names.iter().filter(|name| name.parse::<u32>().is_ok()) {
                let _ = fs::remove_file(lab.above.path().join("shared/inner").join(name));
            }
        }
        let expected = [".", ".."].map(str::to_owned);
        let expected = expected
            .into_iter()
            .chain((0..100).map(|n| format!("{n:02}")));
        assert_eq!(names, expected.collect::<Vec<_>>());
    }
}

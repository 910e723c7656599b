//! What plugs into a block slot: disk images.
//!
//! A disk has a thread of its own, which does one job after the other and says what became of each in the machine's queue.

mod check;
mod gate;
mod header;
mod image;
mod keep;
pub(super) mod lock;
mod whole;

use std::fmt;
use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use solderless_model::{Bytes, Failure, Job, JobId, Medium, SECTOR, Size};

pub use check::{Found, check};
pub use header::{CORRUPT, DIRTY, Header};
pub use image::{Format, Image as DiskImage, LARGEST, Mode, QCOW2_MAGIC};
pub use whole::{Committed, Shape, commit, copy, free};

use super::outside::Post;
use super::{BackendError, Form, Wrong, and, read};
use crate::machine::{Disk, GoesOn, Identity, JobDone, Piece};
use crate::visible::shown;

/// A backend of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Block {
    /// No disk.
    Null,
    /// So many bytes of the host's memory, all zero at first.
    Memory(u64),
    /// An image in a file, or a block device.
    File(PathBuf, Options),
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Memory(bytes) => write!(f, "memory:{}", Size(*bytes)),
            Self::File(path, _) => write!(f, "file:{}", shown(path)),
        }
    }
}

/// What stands behind the path of a disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Its format, if it is not to be guessed.
    pub format: Option<Format>,
    /// It is not written to.
    pub read_only: bool,
    /// What is written goes to a temporary file.
    pub snapshot: bool,
    /// It may lie on any file of the host.
    pub any_backing: bool,
    /// A machine that was saved takes it though it has been written since.
    pub any_change: bool,
    /// What happens where it cannot be read or written.
    pub on_error: OnError,
}

/// What happens where a disk cannot be read or written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnError {
    /// The guest is told.
    Report,
    /// The machine stands still until somebody has it go on; then it is tried again.
    Stop,
    /// That if the host has no room left, else the guest is told.
    #[default]
    Enospc,
}

/// How they are written.
pub(super) const FORMS: &[Form<Block>] = &[
    Form {
        name: "null",
        args: "",
        about: "no disk, or nothing in the drive",
        example: "--backend disk0=null",
        options: Vec::new,
        parse: |_| Ok(Block::Null),
    },
    Form {
        name: "memory",
        args: ":SIZE",
        about: "an empty disk in memory, which is gone with the machine",
        example: "--disk memory:64MiB",
        options: Vec::new,
        parse: |size| match size.parse::<Size>() {
            Ok(Size(bytes)) if (1..=LARGEST).contains(&bytes) && bytes % SECTOR == 0 => {
                Ok(Block::Memory(bytes))
            }
            Ok(_) => Err(Wrong::Because(format!(
                "a disk has a multiple of {SECTOR} bytes"
            ))),
            Err(why) => Err(Wrong::Because(why.to_string())),
        },
    },
    Form {
        name: "file",
        args: ":PATH[,OPTION…]",
        about: "an image, raw or qcow2, or a disk of the host",
        example: "--disk root.qcow2,snapshot",
        options: || {
            OPTIONS
                .iter()
                .map(|o| (o.word.to_owned(), o.about))
                .collect()
        },
        parse: file,
    },
];

/// An option of a file, and what it does.
struct Choice {
    word: &'static str,
    about: &'static str,
    set: fn(&mut Options),
}

const OPTIONS: &[Choice] = &[
    Choice {
        word: "snapshot",
        about: "what the guest writes goes to a temporary file; the image stays as it is",
        set: |options| options.snapshot = true,
    },
    Choice {
        word: "read-only",
        about: "the image is not written to: for a drive that only reads, or with snapshot",
        set: |options| options.read_only = true,
    },
    Choice {
        word: "format=raw",
        about: "it is raw, whatever it begins with",
        set: |options| options.format = Some(Format::Raw),
    },
    Choice {
        word: "format=qcow2",
        about: "it is qcow2",
        set: |options| options.format = Some(Format::Qcow2),
    },
    Choice {
        word: "backing=any",
        about: "it may lie on any file of the host, not only on one in its folder or below it",
        set: |options| options.any_backing = true,
    },
    Choice {
        word: "changed=any",
        about: "a machine that was saved takes it though it has been written since",
        set: |options| options.any_change = true,
    },
    Choice {
        word: "on-error=enospc",
        about: "the machine stands still where the host has no room left, else the guest is told; so it is without it",
        set: |options| options.on_error = OnError::Enospc,
    },
    Choice {
        word: "on-error=report",
        about: "the guest is told of every error",
        set: |options| options.on_error = OnError::Report,
    },
    Choice {
        word: "on-error=stop",
        about: "the machine stands still at every error, until the monitor's cont",
        set: |options| options.on_error = OnError::Stop,
    },
];

/// Reads a path with its options.
fn file(text: &str) -> Result<Block, Wrong> {
    let (mut path, mut options) = (text, Options::default());
    while let Some((before, word)) = path.rsplit_once(',') {
        match OPTIONS.iter().find(|option| option.word == word) {
            Some(option) => (option.set)(&mut options),
            None => {
                let key = word.split_once('=').map(|(key, _)| format!("{key}="));
                let alike = OPTIONS.iter().map(|option| option.word.to_owned());
                let alike: Vec<_> = alike
                    .filter(|known| key.as_ref().is_some_and(|key| known.starts_with(key)))
                    .collect();
                if !alike.is_empty() {
                    let there = and(&alike);
                    return Err(Wrong::Because(format!("{word}: there is {there}")));
                }
                // What is no option belongs to the path.
                break;
            }
        }
        path = before;
    }
    match path {
        "" => Err(Wrong::Form),
        path => Ok(Block::File(path.into(), options)),
    }
}

impl Block {
    /// Reads a disk as a user writes it for a slot.
    pub(super) fn parse(text: &str) -> Result<Self, BackendError> {
        read(FORMS, " for a disk", text)
    }

    /// Reads a disk of `--disk` or `--cdrom`: also a path alone.
    ///
    /// # Errors
    /// It is none.
    pub fn disk(text: &str) -> Result<Self, BackendError> {
        let name = text.split([':', ',']).next().unwrap_or_default();
        match FORMS.iter().any(|form| form.name == name) {
            true => Self::parse(text),
            false => Self::parse(&format!("file:{text}")),
        }
    }
}

/// Opens a backend, for a device that writes its disk or one that only reads. Nothing is plugged in by [`Block::Null`].
pub(super) fn open(
    name: &str,
    backend: &Block,
    reads_only: bool,
    slot: usize,
    post: Post,
) -> Result<Option<Box<dyn Disk>>, BackendError> {
    let failed = |what: String, e: io::Error| BackendError::new(format!("{name}: {what}: {e}"));
    let (image, called, options, opened) = match backend {
        Block::Null => return Ok(None),
        Block::Memory(bytes) => {
            let image = DiskImage::memory(*bytes);
            let image = image.map_err(|e| failed("no memory for the disk".to_owned(), e))?;
            (
                image,
                format!("memory:{}", Size(*bytes)),
                Options::default(),
                None,
            )
        }
        Block::File(path, options) => {
            if options.read_only && !options.snapshot && !reads_only {
                return Err(BackendError::new(format!(
                    "{name}: {} is not to be written, and the guest writes to this disk; `,snapshot` instead of `,read-only` keeps what it writes out of the file",
                    shown(path)
                )));
            }
            let mode = Mode {
                format: options.format,
                write: !reads_only && !options.snapshot,
                any_backing: options.any_backing,
            };
            let image = DiskImage::open(path, mode).map_err(|e| {
                let (path, kind) = (shown(path), e.kind());
                let help = match kind {
                    ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem if mode.write => {
                        "; `,snapshot` behind it keeps what the guest writes in a temporary file"
                    }
                    ErrorKind::NotFound if !reads_only => {
                        "; `solderless image create FILE 8GiB` makes an empty one"
                    }
                    _ => "",
                };
                BackendError::new(format!("{name}: cannot use {path} as a disk: {e}{help}"))
            })?;
            let image = match options.snapshot {
                false => image,
                true => image
                    .overlaid()
                    .map_err(|e| failed(format!("no overlay for {}", shown(path)), e))?,
            };
            let opened = Some((path.clone(), mode));
            (image, shown(path), options.clone(), opened)
        }
    };
    tracing::info!(
        "{name}: {called}, {}, {} bytes",
        image.format(),
        image.bytes()
    );
    let medium = Medium {
        bytes: image.bytes(),
        writable: image.writable(),
    };
    let (format, apart) = (image.format(), image.is_apart());
    let (work, jobs) = channel();
    let worker = Worker {
        // What a guest writes must not make another format of a raw image, for the next run to find.
        guard: image.format() == Format::Raw && options.format.is_none(),
        name: name.to_owned(),
        called,
        image,
        opened,
        slot,
        broken: false,
        told: 0,
    };
    let thread = thread::Builder::new().name(name.chars().take(15).collect());
    let thread = thread
        .spawn(move || worker.work(&jobs, &post))
        .map_err(|e| failed("cannot start a thread".to_owned(), e))?;
    Ok(Some(Box::new(Plugged {
        format,
        apart,
        work: Some(work),
        thread: Some(thread),
        medium,
        any_change: options.any_change,
        on_error: options.on_error,
    })))
}

/// What a disk's thread is asked for.
enum Work {
    Job(u64, JobId, Job),
    /// Something else, once what was before is done.
    Other(Box<dyn FnOnce(&mut Worker) + Send>),
}

/// The machine's end of a disk.
struct Plugged {
    format: Format,
    apart: bool,
    work: Option<Sender<Work>>,
    thread: Option<JoinHandle<()>>,
    medium: Medium,
    any_change: bool,
    on_error: OnError,
}

/// How long a save waits for a disk that has something to do.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often somebody hears how far a disk is.
const OFTEN: Duration = Duration::from_millis(100);

impl Plugged {
    /// Has the disk's thread do something once what was before is done.
    fn ask(&self, what: impl FnOnce(&mut Worker) + Send + 'static) {
        if let Some(work) = &self.work {
            // Who waits for an answer gets none.
            let _ = work.send(Work::Other(Box::new(what)));
        }
    }

    /// Waits for the answer to a question.
    fn answer<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Worker) -> io::Result<T> + Send + 'static,
    ) -> Result<T, String> {
        let (answer, answered) = sync_channel(1);
        self.ask(move |worker| {
            let _ = answer.send(worker.safely(question));
        });
        match answered.recv_timeout(PATIENCE) {
            Ok(answer) => answer.map_err(|e| e.to_string()),
            Err(_) => Err("the disk does not answer".to_owned()),
        }
    }

    /// Waits for something long.
    fn wait(
        &self,
        goes_on: GoesOn<'_>,
        work: impl FnOnce(&mut Worker, GoesOn<'_>) -> io::Result<()> + Send + 'static,
    ) -> Result<(), String> {
        let (say, hear) = sync_channel(1);
        self.ask(move |worker| {
            let mut told = Instant::now();
            let done = worker.safely(|worker| {
                work(worker, &mut |at, of| {
                    if told.elapsed() < OFTEN {
                        return Ok(());
                    }
                    told = Instant::now();
                    let gone = |_| io::Error::other("it was given up");
                    say.send(Step::At(at, of)).map_err(gone)
                })
            });
            let _ = say.send(Step::Done(done));
        });
        let mut far = (0, 0);
        loop {
            match hear.recv_timeout(OFTEN) {
                Ok(Step::Done(done)) => return done.map_err(|e| e.to_string()),
                Ok(Step::At(at, of)) => far = (at, of),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err("the disk does not answer".to_owned());
                }
            }
            goes_on(far.0, far.1).map_err(|e| e.to_string())?;
        }
    }
}

/// How far something long is.
enum Step {
    At(u64, u64),
    Done(io::Result<()>),
}

impl Disk for Plugged {
    fn format(&self) -> String {
        self.format.to_string()
    }

    fn medium(&self) -> Medium {
        self.medium
    }

    fn start(&mut self, ticket: u64, id: JobId, job: Job) {
        if let Some(work) = &self.work {
            // The thread ends after this does.
            let _ = work.send(Work::Job(ticket, id, job));
        }
    }

    fn stops(&self, failure: Failure) -> bool {
        match self.on_error {
            OnError::Report => false,
            OnError::Stop => true,
            OnError::Enospc => failure == Failure::NoSpace,
        }
    }

    fn may_have_changed(&self) -> bool {
        self.any_change
    }

    fn identity(&self) -> Result<Identity, String> {
        self.answer(Worker::identity)
    }

    fn is_apart(&self) -> bool {
        self.apart
    }

    fn written(&self) -> Result<Vec<Piece>, String> {
        if !self.apart {
            return Ok(Vec::new());
        }
        let parts = self.answer(|worker| worker.image.written())?;
        let piece = |(offset, data)| Piece {
            offset,
            data: Bytes(data),
        };
        Ok(parts.into_iter().map(piece).collect())
    }

    fn rewrite(&mut self, pieces: Vec<Piece>) -> Result<(), String> {
        self.answer(move |worker| {
            let parts: Vec<_> = pieces.iter().map(|p| (p.offset, &*p.data.0)).collect();
            worker.image.rewrite(&parts)
        })
    }

    fn copy(&self, to: &Path, goes_on: GoesOn<'_>) -> Result<(), String> {
        let to = to.to_owned();
        self.wait(goes_on, move |worker, goes_on| {
            worker.image.hand_over()?;
            keep::copy(worker.image.file()?, &to, goes_on)
        })
    }

    fn bring_back(&mut self, from: &Path, goes_on: GoesOn<'_>) -> Result<(), String> {
        let from = from.to_owned();
        self.wait(goes_on, move |worker, goes_on| {
            let copy = std::fs::File::open(&from)?;
            if worker.guard && image::probe(&copy)? == Format::Qcow2 {
                return Err(io::Error::other(
                    "its copy is a qcow2 image, and the disk is a raw one; `,format=raw` takes it",
                ));
            }
            worker.image.hand_over()?;
            keep::bring_back(&copy, worker.image.file()?, goes_on)?;
            match &worker.opened {
                Some((path, mode)) => worker.image.read_again(path, *mode),
                None => Ok(()),
            }
        })
    }
}

impl Drop for Plugged {
    /// What was written is handed to the host before the program ends.
    fn drop(&mut self) {
        self.work = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The thread of a disk.
struct Worker {
    name: String,
    called: String,
    image: DiskImage,
    /// The path by which it was opened, and how.
    opened: Option<(PathBuf, Mode)>,
    slot: usize,
    guard: bool,
    broken: bool,
    /// Errors that were told.
    told: u32,
}

/// As many errors of a disk are told.
const TOLD: u32 = 5;

impl Worker {
    fn work(mut self, jobs: &Receiver<Work>, post: &Post) {
        for work in jobs {
            match work {
                Work::Job(ticket, id, job) => {
                    let outcome = self.safely(|worker| worker.job(&job));
                    let outcome = outcome.map_err(|e| self.failed(&job, &e));
                    let slot = self.slot;
                    let done = JobDone {
                        slot,
                        ticket,
                        id,
                        outcome,
                    };
                    // The rest is done even if nobody hears of it.
                    let _ = post.done(done);
                }
                Work::Other(what) => what(&mut self),
            }
        }
        let ended = catch_unwind(AssertUnwindSafe(|| self.image.hand_over()));
        if let Ok(Err(e)) = ended {
            tracing::warn!("{}: {} is not whole: {e}", self.name, self.called);
        }
    }

    /// Does something. A disk whose image has the code that reads it panic is no more.
    fn safely<T>(&mut self, what: impl FnOnce(&mut Self) -> io::Result<T>) -> io::Result<T> {
        let no_more = || Err(io::Error::other("its image cannot be understood"));
        if self.broken {
            return no_more();
        }
        catch_unwind(AssertUnwindSafe(|| what(self))).unwrap_or_else(|_| {
            self.broken = true;
            no_more()
        })
    }

    fn job(&mut self, job: &Job) -> io::Result<Vec<u8>> {
        let mut read = Vec::new();
        match job {
            Job::Read { offset, len } => {
                read = vec![0; *len as usize];
                self.image.read(*offset, &mut read)?;
            }
            Job::Write { offset: 0, data } if self.guard && data.starts_with(QCOW2_MAGIC) => {
                return Err(io::Error::other(
                    "the guest makes a qcow2 image of a raw one; `,format=raw` lets it",
                ));
            }
            Job::Write { offset, data } => self.image.write(*offset, data)?,
            Job::Discard { offset, len } => self.image.discard(*offset, *len)?,
            Job::Flush => self.image.flush()?,
            Job::Folder(_) => return Err(io::Error::other("a disk is no folder")),
        }
        Ok(read)
    }

    fn failed(&mut self, job: &Job, error: &io::Error) -> Failure {
        let (offset, len) = job.extent();
        let what = match job {
            Job::Flush => "cannot be flushed".to_owned(),
            Job::Folder(_) => "has no files".to_owned(),
            Job::Read { .. } => format!("{len} bytes at {offset} cannot be read"),
            Job::Write { .. } => format!("{len} bytes at {offset} cannot be written"),
            Job::Discard { .. } => format!("{len} bytes at {offset} cannot be discarded"),
        };
        self.told += 1;
        if self.told <= TOLD {
            tracing::warn!("{}: {}: {what}: {error}", self.name, self.called);
        }
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                Failure::NoSpace
            }
            _ => Failure::Io,
        }
    }

    fn identity(&mut self) -> io::Result<Identity> {
        self.image.hand_over()?;
        Ok(Identity {
            name: self.called.clone(),
            format: self.image.format().to_string(),
            bytes: self.image.bytes(),
            generation: self.image.generation()?,
        })
    }
}

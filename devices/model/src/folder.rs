//! Work that a folder of the host has to do, in the terms of 9P2000.L: a device that serves files keeps what is open, and asks for
//! the rest.

use crate::{Failure, Outcome, State};

/// Bytes of a path at most.
pub const LONGEST_PATH: usize = 4096;
/// Bytes of a name at most.
pub const LONGEST_NAME: usize = 255;

// Numbers of errors that devices give themselves; they are Linux's, of most architectures where they are above 34.
pub const EPERM: u32 = 1;
pub const EIO: u32 = 5;
pub const EBADF: u32 = 9;
pub const EINVAL: u32 = 22;
pub const EMFILE: u32 = 24;
pub const ENAMETOOLONG: u32 = 36;
pub const ENODATA: u32 = 61;
pub const EOPNOTSUPP: u32 = 95;

/// A file of a folder.
#[derive(Debug, Clone, Default, PartialEq, Eq, State)]
pub struct FileRef {
    /// What was opened under this number, while the host still has it.
    pub handle: u32,
    /// Plain names, with a `/` between any two; without one it is the folder itself.
    pub path: Vec<u8>,
}

/// Which attributes of a file are set, and to what: the fields of Tsetattr.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, State)]
pub struct Attributes {
    /// Which are: bits `SET_*`.
    pub valid: u32,
    pub mode: u32,
    pub size: u64,
    /// Seconds and nanoseconds.
    pub atime: (u64, u64),
    pub mtime: (u64, u64),
}

// Bits of `valid`.
pub const SET_MODE: u32 = 1 << 0;
pub const SET_SIZE: u32 = 1 << 3;
pub const SET_ATIME: u32 = 1 << 4;
pub const SET_MTIME: u32 = 1 << 5;
/// The time is the one given, not that of the host.
pub const SET_ATIME_GIVEN: u32 = 1 << 7;
pub const SET_MTIME_GIVEN: u32 = 1 << 8;

/// Something for a folder to do. What comes of it is the body of the answer that the message has in 9P2000.L.
#[derive(Debug, Clone, Default, PartialEq, Eq, State)]
pub enum FolderJob {
    /// Nothing, which is done once all that was before is.
    #[default]
    Nothing,
    /// Closes all that is open.
    CloseAll,
    /// Closes a file.
    Close {
        /// Its number.
        handle: u32,
    },
    /// Looks for files, each in the folder before.
    Walk { paths: Vec<Vec<u8>> },
    /// Tells of the file system.
    FileSystem { file: FileRef },
    /// Tells the attributes of a file.
    Attributes { file: FileRef },
    /// Sets them.
    SetAttributes { file: FileRef, to: Attributes },
    /// Opens a file.
    Open {
        file: FileRef,
        /// How: Linux's flags.
        flags: u32,
    },
    /// Makes a file and opens it.
    Create {
        file: FileRef,
        flags: u32,
        mode: u32,
    },
    /// Makes a folder.
    MakeFolder { path: Vec<u8>, mode: u32 },
    /// Makes a symbolic link, which is never followed by the host.
    MakeLink { path: Vec<u8>, target: Vec<u8> },
    /// Gives a file another name as well.
    Link { file: FileRef, path: Vec<u8> },
    /// Gives a file another name.
    Rename { from: Vec<u8>, to: Vec<u8> },
    /// Takes away a name of a file, or an empty folder.
    Remove { path: Vec<u8>, folder: bool },
    /// The target of a symbolic link.
    ReadLink { path: Vec<u8> },
    /// Names in a folder.
    ReadFolder {
        file: FileRef,
        /// How many were read before.
        offset: u64,
        /// Bytes that there is room for.
        count: u32,
    },
    /// Bytes of a file.
    Read {
        file: FileRef,
        offset: u64,
        count: u32,
    },
    /// Writes them.
    Write {
        file: FileRef,
        offset: u64,
        data: Vec<u8>,
    },
    /// Puts what has been written where it survives the loss of power.
    Sync { file: FileRef },
}

impl FolderJob {
    /// Bytes that it carries or brings.
    pub fn extent(&self) -> u64 {
        match self {
            Self::Read { count, .. } | Self::ReadFolder { count, .. } => (*count).into(),
            Self::Write { data, .. } => data.len() as u64,
            _ => 0,
        }
    }
}

/// What a folder says of a job: the body of the answer, or the number of the error.
pub fn say(answer: Result<Vec<u8>, u32>) -> Vec<u8> {
    match answer {
        Ok(body) => [&0u32.to_le_bytes()[..], &body].concat(),
        Err(number) => number.max(1).to_le_bytes().to_vec(),
    }
}

/// The same, where it is heard.
///
/// # Errors
/// The number of an error.
pub fn hear(outcome: Outcome) -> Result<Vec<u8>, u32> {
    let mut said = outcome.map_err(|failure| match failure {
        Failure::NoSpace => 28,
        Failure::Io => EIO,
    })?;
    let number = said.first_chunk::<4>().map(|n| u32::from_le_bytes(*n));
    match number {
        Some(0) => Ok(said.split_off(4)),
        Some(number) => Err(number),
        None => Err(EIO),
    }
}

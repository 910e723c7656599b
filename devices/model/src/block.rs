//! Work that a disk of the host has to do, which takes time.

use crate::folder::FolderJob;
use crate::{Cx, SlotId, State};

/// Bytes that one job reads or writes at most: a device splits what is longer.
pub const LONGEST_JOB: usize = 1 << 18;

/// Jobs that a device has with a disk at once at most, with those that it has given up: [`Cx::jobs`] counts them.
pub const MOST_JOBS: usize = 1024;

/// Bytes in which a disk is counted: the place and the length of what is read and written are multiples of it.
pub const SECTOR: u64 = 512;

/// Something for a disk to do.
#[derive(Debug, Clone, Default, PartialEq, Eq, State)]
pub enum Job {
    /// Puts what has been written where it survives the loss of power.
    #[default]
    Flush,
    /// Reads so many bytes, at most [`LONGEST_JOB`], from a place on.
    Read {
        /// Bytes from the start of the medium.
        offset: u64,
        /// How many.
        len: u32,
    },
    /// Writes at most [`LONGEST_JOB`] bytes at a place.
    Write {
        /// Bytes from the start of the medium.
        offset: u64,
        /// What is written.
        data: Vec<u8>,
    },
    /// Nobody needs what is there any more.
    Discard {
        /// Bytes from the start of the medium.
        offset: u64,
        /// How many.
        len: u64,
    },
    /// Something for a folder, in a slot of kind [`SlotKind::Folder`](crate::SlotKind::Folder).
    #[state(since = 3)]
    Folder(FolderJob),
}

impl Job {
    /// What is needed of a medium to do it: the place and the length.
    pub fn extent(&self) -> (u64, u64) {
        match self {
            Self::Flush | Self::Folder(_) => (0, 0),
            Self::Read { offset, len } => (*offset, u64::from(*len)),
            Self::Write { offset, data } => (*offset, data.len() as u64),
            Self::Discard { offset, len } => (*offset, *len),
        }
    }
}

/// The number of a job among those of its slot; none is used twice, not even after a restore.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, State)]
pub struct JobId(pub u64);

/// What became of a job: what was read, of another job nothing.
pub type Outcome = Result<Vec<u8>, Failure>;

/// Why a disk could not do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The host has no room left.
    NoSpace,
    /// It cannot be read or written there, or at all.
    Io,
}

/// What is in a slot of kind [`SlotKind::Block`](crate::SlotKind::Block).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Medium {
    /// Its length in bytes, a multiple of [`SECTOR`].
    pub bytes: u64,
    /// It can be written.
    pub writable: bool,
}

impl Medium {
    /// How many sectors it has.
    pub fn sectors(&self) -> u64 {
        self.bytes / SECTOR
    }
}

/// The tray of a drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tray {
    pub open: bool,
    /// The guest does not let it be opened.
    pub locked: bool,
}

/// A device that works with a disk of the host.
pub trait BlockFrontend {
    /// A job of [`Cx::submit`] is done. After a reset nothing is heard of those from before it.
    fn done(&mut self, cx: &mut Cx<'_>, slot: SlotId, id: JobId, outcome: Outcome);

    /// What the guest has done with the tray of a drive whose medium can be changed; `None` of a disk.
    fn tray(&self, slot: SlotId) -> Option<Tray> {
        let _ = slot;
        None
    }

    /// Another medium is in the slot, or none any more: [`Cx::medium`] says what. Jobs with the one before fail.
    fn medium_changed(&mut self, cx: &mut Cx<'_>, slot: SlotId) {
        let _ = (cx, slot);
    }
}

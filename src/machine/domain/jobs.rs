//! What the disks in the board's slots are doing for the guest.
//!
//! A job is state from the instant at which a device makes it until the device hears of its outcome: it is saved, and a
//! restored machine has it done again. Disks do their jobs in order, and nothing is written over what a job before it reads until the
//! device has that, so that doing some again ends the same.

use std::collections::VecDeque;
use std::io;
use std::path::Path;

use solderless_model::folder::FolderJob;
use solderless_model::{
    Bytes, Failure, Job, JobId, LONGEST_JOB, MOST_JOBS, Medium, Outcome, SECTOR, State, StateError,
    Tray,
};

use super::Domain;
use crate::machine::{Consumer, JobDone};

/// Guest time that a job takes in deterministic mode, whatever the host needs.
const JOB_NS: u64 = 100_000;
/// Jobs of a slot with which a guest has to wait for the host: it makes them faster than a disk does them, if it gives up each.
pub(super) const BUSY: usize = 128;

/// What a folder says of a job.
pub type Answer = (JobId, Vec<u8>);

/// A disk, or a folder, that is plugged into a slot. It does one job after the other, on a thread of its own.
pub trait Disk {
    /// What the guest finds.
    fn medium(&self) -> Medium;
    /// Starts a job, without waiting. [`Message::Done`](crate::machine::Message::Done) comes with the same ticket and number.
    fn start(&mut self, ticket: u64, id: JobId, job: Job);
    /// Whether the machine stands still where this happens, for somebody to mend it, and the job is then done again.
    fn stops(&self, failure: Failure) -> bool;
    /// What tells it from others, once all that it was given is done.
    ///
    /// # Errors
    /// It does not get done, or cannot be looked at.
    fn identity(&self) -> Result<Identity, String>;
    /// Of a folder, for which nothing can be done twice: what became of the last jobs, once all that it was given are done.
    ///
    /// # Errors
    /// They do not get done.
    fn answers(&self) -> Result<Vec<Answer>, String> {
        Ok(Vec::new())
    }
    /// How it is stored, as [`Identity::format`].
    fn format(&self) -> String;
    /// Whether it is a folder.
    fn is_folder(&self) -> bool {
        false
    }
    /// Whether a machine that was saved takes it though it has been changed since.
    fn may_have_changed(&self) -> bool;
    /// Whether what the guest writes is in no file of the user's, so that a saved machine has to have it with it.
    fn is_apart(&self) -> bool {
        false
    }
    /// What the guest has written, if that is apart, once all that the disk was given is done.
    ///
    /// # Errors
    /// It is too much, or cannot be read.
    fn written(&self) -> Result<Vec<Piece>, String> {
        Ok(Vec::new())
    }
    /// Has this in place of what the guest has written. What there was stays where that fails.
    ///
    /// # Errors
    /// It is not apart, has no room, or the host's.
    fn rewrite(&mut self, pieces: Vec<Piece>) -> Result<(), String> {
        let _ = pieces;
        Err("nothing that is written there is apart".to_owned())
    }
    /// Copies the file that the guest writes to another, as it is once all is done; `goes_on` is told how far that is, and ends it.
    ///
    /// # Errors
    /// There is no such file, it cannot be copied, or `goes_on` says no.
    fn copy(&self, to: &Path, goes_on: GoesOn<'_>) -> Result<(), String> {
        let _ = (to, goes_on);
        Err("there is no file to copy".to_owned())
    }
    /// Has the file again as it was copied.
    ///
    /// # Errors
    /// Those of the host: then the file is partly what it was.
    fn bring_back(&mut self, from: &Path, goes_on: GoesOn<'_>) -> Result<(), String> {
        let _ = (from, goes_on);
        Err("there is no file to bring back".to_owned())
    }
}

/// Hears how many bytes of how many are done, and says whether to go on.
pub type GoesOn<'a> = &'a mut dyn FnMut(u64, u64) -> io::Result<()>;

/// A part of what a guest has written to a disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, State)]
pub struct Piece {
    /// Bytes from the start of the medium, a multiple of [`SECTOR`].
    pub offset: u64,
    pub data: Bytes,
}

impl Piece {
    /// The place behind it.
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.data.0.len() as u64)
    }
}

/// What a disk could not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskFailed {
    /// The slot of the board.
    pub slot: usize,
    pub failure: Failure,
    /// It was to be read.
    pub reads: bool,
    /// The machine stands still; else the guest is told.
    pub stops: bool,
}

/// What a stream says of a disk whose machine it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, State)]
pub struct Identity {
    /// As the user named it.
    pub name: String,
    /// How it is stored: `raw`, `qcow2`.
    pub format: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// Changes whenever the content may have been changed.
    pub generation: u64,
}

impl Identity {
    /// Says what was in a slot when the machine was saved, and what is there now, if that is not the same.
    fn check(saved: Option<&Self>, now: Option<&Self>) -> Result<(), String> {
        let about = |it: &Self| format!("{} ({}, {} bytes)", it.name, it.format, it.bytes);
        match (saved, now) {
            (None, None) => Ok(()),
            (Some(saved), None) => Err(format!(
                "the machine was saved with {} in it, and now nothing is",
                about(saved)
            )),
            (None, Some(now)) => Err(format!(
                "the machine was saved with nothing in it, and now {} is",
                about(now)
            )),
            (Some(saved), Some(now))
                if (&saved.format, saved.bytes) != (&now.format, now.bytes) =>
            {
                Err(format!(
                    "the machine was saved with {} in it, and now {} is",
                    about(saved),
                    about(now)
                ))
            }
            (Some(saved), Some(now)) if saved.generation != now.generation => Err(format!(
                "{} has been written since the machine was saved, or is not the one that was there",
                now.name
            )),
            (Some(_), Some(_)) => Ok(()),
        }
    }
}

/// A job that its device has not heard of yet.
#[derive(Debug, Default, Clone, State)]
struct Waiting {
    id: JobId,
    /// When it was made, in guest time.
    made: u64,
    job: Job,
    /// Of a job for a folder: what it said when the machine was saved.
    #[state(since = 3, default = None)]
    answer: Option<Vec<u8>>,
    #[state(skip = "a restored machine has the job done again")]
    outcome: Option<Outcome>,
    #[state(skip = "the same")]
    again: bool,
}

/// A slot for a disk, with what it has to do.
#[derive(Default, State)]
pub struct Drive {
    /// The number of the next job.
    next: JobId,
    waiting: VecDeque<Waiting>,
    /// What was in it when the machine was saved.
    held: Option<Identity>,
    /// What the guest has written that is in no file, as there was when the machine was saved.
    #[state(since = 3, default = Vec::new())]
    written: Vec<Piece>,
    #[state(skip = "a restored machine starts them again")]
    started: usize,
    #[state(skip = "set by a load")]
    restored: bool,
    #[state(skip = "what a run plugs in")]
    disk: Option<Box<dyn Disk>>,
    #[state(skip = "the disk's")]
    medium: Option<Medium>,
    #[state(skip = "tells the outcomes of this machine's jobs from those of one before it")]
    ticket: u64,
}

impl Drive {
    /// What a stream has of it: with what is in it now.
    pub(in crate::machine) fn kept(&self) -> Result<Self, String> {
        let (held, written) = match &self.disk {
            Some(disk) => (Some(disk.identity()?), disk.written()?),
            None if self.restored => (self.held.clone(), self.written.clone()),
            None => (None, Vec::new()),
        };
        let answers = match &self.disk {
            Some(disk) if !self.waiting.is_empty() => disk.answers()?,
            _ => Vec::new(),
        };
        let mut kept = self.seen();
        for waiting in &mut kept.waiting {
            let answer = answers.iter().find(|(id, _)| *id == waiting.id);
            waiting.answer = answer.map(|(_, answer)| answer.clone());
        }
        Ok(Self {
            held,
            written,
            ..kept
        })
    }

    /// What a guest can see of it.
    pub(in crate::machine) fn seen(&self) -> Self {
        let waiting = self.waiting.iter().cloned();
        Self {
            next: self.next,
            waiting: waiting
                .map(|waiting| Waiting {
                    answer: None,
                    ..waiting
                })
                .collect(),
            ..Self::default()
        }
    }

    /// How many jobs its device has not heard of yet.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// What was in it when the machine was saved, if it was.
    fn held(&self) -> Option<&Identity> {
        self.held.as_ref().filter(|_| self.restored)
    }

    /// Whether a disk, or none, is what was in it when the machine was saved, if it was. `back` is whether the disk's file is going to be as
    /// it was then.
    fn suits(&self, disk: Option<&dyn Disk>, back: bool) -> Result<(), String> {
        if !self.restored {
            return Ok(());
        }
        if let Some(disk) = disk
            && !self.written.is_empty()
            && !disk.is_apart()
        {
            return Err("what the guest had written is not in the file, but was saved with the machine: `,snapshot` behind the file takes it".to_owned());
        }
        if disk.is_some_and(Disk::may_have_changed) {
            return Ok(());
        }
        let mut now = disk.map(Disk::identity).transpose()?;
        if let (true, Some(now), Some(held)) = (back, &mut now, &self.held) {
            now.generation = held.generation;
        }
        Identity::check(self.held.as_ref(), now.as_ref()).map_err(|why| {
            let help = match disk {
                Some(_) => "; `,changed=any` behind a file takes it as it is, and a guest that had it mounted may damage what is on it",
                None => "",
            };
            format!("{why}{help}")
        })
    }

    /// Has the disk do what can be done by now.
    fn start(&mut self) {
        while let Some(next) = self.waiting.get(self.started) {
            let mut before = self.waiting.iter().take(self.started);
            if before.any(|before| overwrites(&next.job, &before.job)) {
                return;
            }
            let (offset, len) = next.job.extent();
            let end = offset.checked_add(len);
            let fits = |medium: Medium| end.is_some_and(|end| end <= medium.bytes);
            let outcome = match (&next.answer, &mut self.disk) {
                (Some(answer), _) => Some(Ok(answer.clone())),
                (None, Some(disk)) if self.medium.is_some_and(fits) => {
                    disk.start(self.ticket, next.id, next.job.clone());
                    None
                }
                _ => Some(Err(Failure::Io)),
            };
            self.waiting[self.started].outcome = outcome;
            self.started += 1;
        }
    }

    /// Has the jobs from one on done anew.
    fn start_again(&mut self, from: usize) {
        self.ticket += 1;
        if let Some(disk) = &mut self.disk
            && disk.is_folder()
        {
            // What another machine had open there is not this one's.
            let job = Job::Folder(FolderJob::CloseAll);
            disk.start(self.ticket, JobId(u64::MAX), job);
        }
        for waiting in self.waiting.iter_mut().skip(from) {
            (waiting.outcome, waiting.again) = (None, false);
        }
        self.started = from;
        self.start();
    }

    /// When the first of its jobs is done, if that is known.
    fn due(&self, deterministic: bool) -> Option<u64> {
        let first = self.waiting.front()?;
        match (deterministic, &first.outcome) {
            (true, _) => Some(first.made.saturating_add(JOB_NS)),
            (false, Some(_)) => Some(first.made),
            (false, None) => None,
        }
    }

    /// Comes out of a stream. Refuses what no device makes.
    pub(in crate::machine) fn loaded(&mut self) -> Result<(), StateError> {
        self.restored = true;
        let refuse = |what: &str| Err(StateError::new(what.to_owned()));
        if self.waiting.len() > MOST_JOBS {
            return refuse("more jobs than a device has at once");
        }
        let numbers = self.waiting.iter().map(|waiting| waiting.id);
        if !numbers.chain([self.next]).is_sorted_by(|a, b| a < b) {
            return refuse("jobs whose numbers do not rise");
        }
        let longest = self.waiting.iter().map(|waiting| match &waiting.job {
            Job::Discard { .. } => 0,
            Job::Folder(job) => job.extent(),
            job => job.extent().1,
        });
        let answers = self.waiting.iter().flat_map(|waiting| &waiting.answer);
        let longest = longest.chain(answers.map(|answer| answer.len() as u64 / 2));
        if longest.max().unwrap_or(0) > LONGEST_JOB as u64 {
            return refuse("a job longer than a disk does at once");
        }
        let ends = self.written.iter().flat_map(|p| [p.offset, p.end()]);
        let whole = |at: u64| at.is_multiple_of(SECTOR);
        if !ends.clone().is_sorted() || !ends.clone().all(whole) {
            return refuse("parts of a disk that are none");
        }
        let bytes = self.held.as_ref().map_or(0, |held| held.bytes);
        if ends.last().is_some_and(|end| end > bytes) {
            return refuse("parts of a disk that lie behind its end");
        }
        Ok(())
    }
}

/// Whether a job changes what another one reads.
fn overwrites(job: &Job, other: &Job) -> bool {
    let changes = matches!(job, Job::Write { .. } | Job::Discard { .. });
    let ((at, len), (from, size)) = (job.extent(), other.extent());
    let meets = at < from.saturating_add(size) && from < at.saturating_add(len);
    changes && matches!(other, Job::Read { .. }) && meets
}

impl Domain {
    /// The slot of the board is one for a disk, which belongs to a device.
    pub(in crate::machine) fn add_drive(&mut self, slot: usize, consumer: Consumer) {
        self.drives.insert(slot, (consumer, Drive::default()));
    }

    /// A slot for a disk, with what is to be done there.
    pub(in crate::machine) fn drive(&self, slot: usize) -> Option<&Drive> {
        self.drives.get(&slot).map(|(_, drive)| drive)
    }

    /// The same, to be loaded.
    pub(in crate::machine) fn drive_mut(&mut self, slot: usize) -> Option<&mut Drive> {
        self.drives.get_mut(&slot).map(|(_, drive)| drive)
    }

    /// Puts a disk into a slot before the machine runs, or none, and has it do what waits there.
    pub(in crate::machine) fn plug_disk(
        &mut self,
        slot: usize,
        mut disk: Option<Box<dyn Disk>>,
    ) -> Result<(), String> {
        if let Some((_, drive)) = self.drives.get_mut(&slot) {
            drive.suits(disk.as_deref(), false)?;
            let written = std::mem::take(&mut drive.written);
            if let Some(disk) = &mut disk
                && !written.is_empty()
            {
                disk.rewrite(written)?;
            }
            drive.restored = false;
            drive.medium = disk.as_ref().map(|disk| disk.medium());
            drive.disk = disk;
            drive.start_again(0);
        }
        self.plan_jobs();
        Ok(())
    }

    /// Whether the disks of another domain of the same board are those with which this one was saved, or are going to be: the slot in which
    /// one is not, and why.
    pub(in crate::machine) fn suits(
        &self,
        other: &Self,
        back: &[usize],
    ) -> Result<(), (usize, String)> {
        for (slot, (_, drive)) in &self.drives {
            let suits = drive.suits(other.disk(*slot), back.contains(slot));
            suits.map_err(|why| (*slot, why))?;
        }
        Ok(())
    }

    /// The slots for disks, and what was in each when the machine was saved.
    pub(in crate::machine) fn held(&self) -> impl Iterator<Item = (usize, &Identity)> {
        let drives = self.drives.iter();
        drives.filter_map(|(slot, (_, drive))| Some((*slot, drive.held()?)))
    }

    /// Has the disks of another domain, which is going to be this one, have what its guest had written: the slot in which one has not, and why.
    pub(in crate::machine) fn rewrite(&mut self, other: &mut Self) -> Result<(), (usize, String)> {
        for (slot, (_, drive)) in &mut self.drives {
            if let Some((_, from)) = other.drives.get_mut(slot)
                && let Some(disk) = drive.disk.as_mut().filter(|disk| disk.is_apart())
            {
                let written = std::mem::take(&mut from.written);
                disk.rewrite(written).map_err(|why| (*slot, why))?;
            }
        }
        Ok(())
    }

    /// Puts another disk into a slot while the machine runs, or none. What the one before had to do fails.
    pub(in crate::machine) fn change_disk(&mut self, slot: usize, disk: Option<Box<dyn Disk>>) {
        let Some((to, drive)) = self.drives.get_mut(&slot) else {
            return;
        };
        drive.ticket += 1;
        for waiting in &mut drive.waiting {
            waiting.outcome.get_or_insert(Err(Failure::Io));
        }
        drive.started = drive.waiting.len();
        drive.medium = disk.as_ref().map(|disk| disk.medium());
        drive.disk = disk;
        let to = *to;
        self.plan_jobs();
        self.call(to.dev, |d, cx| {
            if let Some(block) = d.blockdev() {
                block.medium_changed(cx, to.slot);
            }
        });
    }

    /// The tray of the drive whose slot this is.
    pub(in crate::machine) fn tray(&mut self, slot: usize) -> Option<Tray> {
        let to = self.drives.get(&slot)?.0;
        let device = self.places[to.dev.0 as usize].device.as_mut()?;
        device.blockdev()?.tray(to.slot)
    }

    /// What is in a slot for a disk.
    pub(in crate::machine) fn disk(&self, slot: usize) -> Option<&dyn Disk> {
        self.drives.get(&slot)?.1.disk.as_deref()
    }

    /// The same, to be brought back.
    pub(in crate::machine) fn disk_mut(&mut self, slot: usize) -> Option<&mut Box<dyn Disk>> {
        self.drives.get_mut(&slot)?.1.disk.as_mut()
    }

    /// Takes over the disks of another domain of the same board, for which jobs may be under way that nobody waits for any more.
    pub(super) fn take_disks(&mut self, other: &mut Self) {
        for (slot, (_, drive)) in &mut self.drives {
            let Some((_, before)) = other.drives.get_mut(slot) else {
                continue;
            };
            drive.disk = before.disk.take();
            drive.medium = before.medium;
            drive.ticket = before.ticket;
            drive.restored = false;
            drive.start_again(0);
        }
        self.deterministic = other.deterministic;
        self.plan_jobs();
    }

    /// Forgets all jobs: the devices that made them are reset.
    pub(super) fn forget_jobs(&mut self) {
        for (_, drive) in self.drives.values_mut() {
            drive.waiting.clear();
            drive.started = 0;
            drive.ticket += 1;
        }
        self.plan_jobs();
    }

    /// A device has made a job for a slot of the board.
    pub(super) fn make_job(&mut self, slot: Option<usize>, job: Job) -> JobId {
        let now = self.now;
        let Some((_, drive)) = slot.and_then(|slot| self.drives.get_mut(&slot)) else {
            return JobId::default();
        };
        let id = drive.next;
        drive.next = JobId(id.0.wrapping_add(1));
        drive.waiting.push_back(Waiting {
            id,
            made: now,
            job,
            ..Waiting::default()
        });
        drive.start();
        self.plan_jobs();
        id
    }

    /// What is in a slot of the board.
    pub(super) fn medium_in(&self, slot: Option<usize>) -> Option<Medium> {
        self.drives.get(&slot?)?.1.medium
    }

    /// The job that is done, if somebody waits for it.
    fn waiting_for(&mut self, done: &JobDone) -> Option<(&mut Waiting, Option<&dyn Disk>)> {
        let (_, drive) = self.drives.get_mut(&done.slot)?;
        let mut waiting = drive.waiting.iter_mut();
        let waiting = waiting.find(|waiting| waiting.id == done.id)?;
        (drive.ticket == done.ticket).then_some((waiting, drive.disk.as_deref()))
    }

    /// What could not be done, if somebody waits for it. Where the machine is to stand still for that, the job is done again then.
    pub(in crate::machine) fn failed(&mut self, done: &JobDone) -> Option<DiskFailed> {
        let Err(failure) = done.outcome else {
            return None;
        };
        let (waiting, disk) = self.waiting_for(done)?;
        waiting.again = disk.is_some_and(|disk| disk.stops(failure));
        Some(DiskFailed {
            slot: done.slot,
            failure,
            reads: matches!(waiting.job, Job::Read { .. }),
            stops: waiting.again,
        })
    }

    /// The outcome of a job has come.
    pub(in crate::machine) fn job_done(&mut self, done: JobDone) {
        if let Some((waiting, _)) = self.waiting_for(&done) {
            waiting.outcome = Some(done.outcome);
            self.plan_jobs();
        }
    }

    /// Has those done again for which the machine stood still, and what came behind them.
    pub(in crate::machine) fn try_again(&mut self) {
        for (_, drive) in self.drives.values_mut() {
            let first = drive.waiting.iter().position(|waiting| waiting.again);
            if let Some(first) = first {
                drive.start_again(first);
            }
        }
        self.plan_jobs();
    }

    /// Whether guest time alone says when a job is done.
    pub(in crate::machine) fn set_deterministic(&mut self, deterministic: bool) {
        self.deterministic = deterministic;
        self.plan_jobs();
    }

    /// Works out when the next job is done.
    fn plan_jobs(&mut self) {
        let drives = self.drives.values();
        let due = drives.filter_map(|(_, drive)| drive.due(self.deterministic));
        self.next_job = due.min().unwrap_or(u64::MAX);
        self.plan_timer();
    }

    /// Tells the device of the job that is due first; false if its outcome has not come.
    pub(super) fn finish_job(&mut self) -> bool {
        let (next, deterministic) = (self.next_job, self.deterministic);
        let mut drives = self.drives.values_mut();
        let first = drives.find(|(_, drive)| drive.due(deterministic) == Some(next));
        let Some((to, drive)) = first else {
            return false;
        };
        let Some(waiting) = drive.waiting.pop_front_if(|first| first.outcome.is_some()) else {
            return false;
        };
        drive.started -= 1;
        drive.start();
        let to = *to;
        self.plan_jobs();
        let outcome = waiting.outcome.unwrap_or(Err(Failure::Io));
        self.call(to.dev, |d, cx| {
            if let Some(block) = d.blockdev() {
                block.done(cx, to.slot, waiting.id, outcome);
            }
        });
        true
    }

    /// Whether guest time cannot go on before a disk has done what is due, or some of too much.
    pub(in crate::machine) fn waits_for_disk(&self) -> bool {
        let mut drives = self.drives.values();
        let waits = match self.deterministic {
            true => self.next_job <= self.now,
            false => drives.any(|(_, drive)| drive.waiting.len() >= BUSY),
        };
        waits && !self.in_round()
    }
}

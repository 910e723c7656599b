//! A stream that is sent while its machine runs: live migration.
//!
//! Memory goes in passes: all of it, then what was written meanwhile, until the rest takes no longer than the downtime that is
//! allowed. Then the machine stands still, and the rest follows with the state of its devices. The machine's thread copies pages
//! between two slices; a thread of the stream's own sums them up and waits for the wire. Where the other end can answer, it says
//! three words, each a line: `ready` once it has found that the machine fits, `loaded` once it has all of it, and `running` once
//! it was told to go on. Until the last one is heard, the machine here can go on.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TryRecvError, TrySendError};
use std::sync::mpsc::{channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use solderless_model::Section;
use solderless_model::memory::{PAGE, Ram};

use super::runs::{Content, Run, fill, read_padded, write_padded};
use super::stream::{
    Bytes, Description, MOST_DESCRIPTION, MOST_SECTIONS, Memories, StreamError, Summed, broken,
    put_description, start_of,
};
use super::uri::{Peer, Uri};
use super::{Progress, Stream};
use crate::machine::Watch;

/// The format of such a stream.
pub(super) const LIVE: u32 = 3;
/// The bytes in front of the first chunk: magic, format and flags.
pub(super) const START: usize = 16;
/// In the flags: whoever sends it waits for words.
const LISTENS: u32 = 1;

/// What a chunk has. Each begins with this number and its length (`u32`, `u64`), and ends with the CRC-32C of all that the stream
/// had so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Board and layout, as in other streams; then the number of memory blocks, and of each its section's place and its size.
    Description = 1,
    /// A section's place (`u32`) and its payload; one that came before counts no more.
    Section = 2,
    /// A block (`u32`), a page (`u64`), and what is in the pages from there on.
    Pages = 3,
    /// A block (`u32`), a page and a number of pages (`u64` each), and the value of all bytes there.
    Fill = 4,
    /// All has come: 1 if the machine ran, 0 if it stood still.
    End = 5,
    /// Go on with it.
    Go = 6,
}

impl Kind {
    fn of(number: u32) -> Option<Self> {
        use Kind::{Description, End, Fill, Go, Pages, Section};
        let all = [Description, Section, Pages, Fill, End, Go];
        all.into_iter().find(|kind| *kind as u32 == number)
    }
}

/// Pages in a chunk at most.
const PIECE: u64 = 16;
/// Chunks that wait for the wire at most.
const QUEUE: usize = 256;
/// Bytes that are left of a full queue when the machine's thread is woken to fill it: on a busy host it comes late.
const ROOM: u64 = QUEUE as u64 * PIECE * PAGE / 2;
/// How long the other end may take and say nothing while the machine stands still for it.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest line that the other end can say.
const LINE: u64 = 16 << 10;
/// Memory is copied for so long at once, and then the machine runs for as long: a wire that takes all would leave it no time.
const TURN: Duration = Duration::from_millis(5);
/// A machine is held up for so long at once.
const HELD: Duration = Duration::from_millis(100);

/// What a migration may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long the machine may stand still.
    pub downtime: Duration,
    /// Bytes a second while it runs; 0 for as many as the wire takes.
    pub bandwidth: u64,
    /// A machine that writes memory faster than the wire takes it is slowed down.
    pub throttle: bool,
    /// By so many per cent first.
    pub initial: u32,
    /// By so many more each time.
    pub increment: u32,
    /// By so many at most.
    pub most: u32,
}

impl Default for Limits {
    /// As in QEMU 7.2, but for these two: there is no limit to the bandwidth, and a machine is slowed down.
    fn default() -> Self {
        Self {
            downtime: Duration::from_millis(300),
            bandwidth: 0,
            throttle: true,
            initial: 20,
            increment: 10,
            most: 99,
        }
    }
}

/// A part of the stream, as the machine's thread makes it.
#[derive(Debug)]
struct Chunk {
    kind: Kind,
    /// What it has, behind [`HEAD`] bytes for what stands in front of that: one piece, so that it is written as one.
    bytes: Vec<u8>,
}

/// The bytes in front of what a chunk has.
const HEAD: usize = 12;

impl Chunk {
    /// One with room for so many bytes.
    fn new(kind: Kind, room: usize) -> Self {
        let mut bytes = Vec::with_capacity(HEAD + room + 4);
        bytes.resize(HEAD, 0);
        Self { kind, bytes }
    }

    fn with(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend(bytes);
        self
    }
}

/// What the machine's thread and that of the stream both know.
#[derive(Debug, Default)]
struct Shared {
    /// Bytes that the wire has taken.
    written: AtomicU64,
    /// Bytes of chunks that wait for it.
    queued: AtomicU64,
    /// The machine's thread wants to hear as soon as fewer bytes than this wait; 0 if it does not.
    wanted: AtomicU64,
    /// It is given up.
    cancelled: AtomicBool,
    /// The machine stands still for it.
    stands: AtomicBool,
    /// The other end was told to go on.
    told: AtomicBool,
}

impl Shared {
    /// The patience with the wire.
    fn patience(&self, waited: Duration) -> io::Result<()> {
        let told = self.told.load(SeqCst);
        if self.cancelled.load(SeqCst) && !told {
            return Err(io::Error::other("it was cancelled"));
        }
        if (self.stands.load(SeqCst) || told) && waited >= PATIENCE {
            let reason = format!(
                "the destination took and said nothing for {} s",
                PATIENCE.as_secs()
            );
            return Err(io::Error::new(ErrorKind::TimedOut, reason));
        }
        Ok(())
    }
}

/// What the stream's thread reports.
#[derive(Debug)]
enum Report {
    /// Pages can be sent.
    Ready,
    /// It has come to its end.
    Over(Result<(), String>),
}

/// What is to be done about a migration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Goes,
    /// The machine is to stand still, and [`Outgoing::hand_over`] to be called.
    Fits,
    /// It is over: the machine goes on elsewhere, or was not taken for this reason.
    Over(Result<(), String>),
}

/// A block of memory, and which of its pages are still to be sent.
#[derive(Debug)]
struct Block {
    ram: Ram,
    pending: Vec<u64>,
    left: u64,
}

impl Block {
    fn new(ram: Ram) -> Self {
        Self {
            pending: vec![0; ram.pages().div_ceil(64) as usize],
            ram,
            left: 0,
        }
    }

    fn has(&self, page: u64) -> bool {
        let word = self.pending.get((page / 64) as usize);
        word.is_some_and(|word| word >> (page % 64) & 1 != 0)
    }

    fn set(&mut self, page: u64, on: bool) {
        if self.has(page) != on {
            self.pending[(page / 64) as usize] ^= 1 << (page % 64);
            self.left = if on { self.left + 1 } else { self.left - 1 };
        }
    }

    /// The first page from this one on that is to be sent.
    fn next(&self, from: u64) -> Option<u64> {
        let mut page = from;
        while page < self.ram.pages() {
            let word = self.pending[(page / 64) as usize] >> (page % 64);
            if word != 0 {
                return Some(page + u64::from(word.trailing_zeros()));
            }
            page = (page / 64 + 1) * 64;
        }
        None
    }
}

/// How far a migration is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The other end is not ready.
    Setup,
    /// Memory is sent while the machine runs.
    Copying,
    /// It stands still, and what is left is sent.
    Last,
    /// All is sent.
    Sent,
}

/// A machine on its way to another program.
pub struct Outgoing {
    phase: Phase,
    chunks: SyncSender<Chunk>,
    reports: Receiver<Report>,
    shared: Arc<Shared>,
    /// A chunk that there was no room for.
    held: Option<Chunk>,
    /// The sections that are to be sent.
    sections: VecDeque<usize>,
    /// All of them as they were when they were looked at last, with their paths.
    states: Vec<(String, Vec<u8>)>,
    blocks: Vec<Block>,
    watch: Option<Watch>,
    /// Where memory is looked for next: the block and the page.
    at: (usize, u64),
    /// When it began, and when memory began to be sent.
    begin: Instant,
    copying: Option<Instant>,
    /// When the present pass began, and what the wire had taken then.
    pass: (Instant, u64),
    passes: u64,
    /// Passes one after the other in which the machine wrote too much.
    outrun: u32,
    throttle: u32,
    /// Bytes a second that the wire takes, once that is known.
    rate: Option<f64>,
    /// Bytes that may be sent, and since when: where the bandwidth has a limit.
    allowed: (f64, Instant),
    /// When the machine's thread is to look again, which the bandwidth or the machine's own time waits for.
    due: Option<Instant>,
    /// Until then the machine runs.
    rests_until: Instant,
    /// Pages that were sent, and those of them that have one value.
    pages: (u64, u64),
    /// Pages that were written in the last pass, a second.
    dirtied: u64,
    /// Since when the machine stands still.
    stands: Option<Instant>,
    running: bool,
}

impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Outgoing({:?}, {} passes)", self.phase, self.passes)
    }
}

/// How far a migration is, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Travelled {
    /// The other end is ready.
    pub ready: bool,
    /// The machine stands still for it.
    pub stands: bool,
    /// How long it has taken so far.
    pub time: Duration,
    /// How much of that until the other end was ready.
    pub setup: Duration,
    /// How long the machine stood still; how long it would at the speed so far.
    pub downtime: Duration,
    /// Bytes that were sent.
    pub sent: u64,
    /// Bytes of memory that are to be sent still.
    pub left: u64,
    /// Bytes of memory that the machine has.
    pub memory: u64,
    /// Pages that were sent as they are.
    pub pages: u64,
    /// Pages that have one value.
    pub uniform: u64,
    /// How often it was asked what the machine has written.
    pub passes: u64,
    /// Pages that it writes in a second.
    pub dirtied: u64,
    /// Bits that the wire takes in a second.
    pub rate: f64,
    /// By how many per cent the machine is slowed down.
    pub throttle: u32,
}

impl Outgoing {
    /// Begins to send a machine with these sections. `wake` wakes the machine's thread, which is to call [`Outgoing::pump`] then.
    ///
    /// # Errors
    /// The host has no thread for it.
    pub fn start(
        uri: Uri,
        description: &Description,
        sections: Vec<Section>,
        wake: impl Fn() + Send + 'static,
    ) -> io::Result<Self> {
        let mut about = Vec::new();
        put_description(&mut about, description)?;
        let mut blocks = Vec::new();
        for (index, section) in sections.iter().enumerate() {
            blocks.extend(section.memory.iter().map(|ram| (index as u64, ram)));
        }
        let table = blocks.iter().flat_map(|(index, ram)| [*index, ram.size()]);
        let table = [blocks.len() as u64].into_iter().chain(table);
        about.extend(table.flat_map(u64::to_le_bytes));
        let blocks = blocks.into_iter().map(|(_, ram)| Block::new(ram.clone()));
        let blocks = blocks.collect();

        let (chunks, queue) = sync_channel(QUEUE);
        let (post, reports) = channel();
        let shared = Arc::new(Shared::default());
        let first = Chunk::new(Kind::Description, about.len()).with(&about);
        let worker = Worker {
            shared: shared.clone(),
            post,
            wake: Box::new(wake),
        };
        let thread = thread::Builder::new().name("migration".to_owned());
        thread.spawn(move || worker.run(&uri, first, &queue))?;
        let now = Instant::now();
        Ok(Self {
            phase: Phase::Setup,
            chunks,
            reports,
            shared,
            held: None,
            sections: (0..sections.len()).collect(),
            watch: Some(Watch::of(&sections)),
            states: sections.into_iter().map(|s| (s.path, s.payload)).collect(),
            blocks,
            at: (0, 0),
            begin: now,
            copying: None,
            pass: (now, 0),
            passes: 0,
            outrun: 0,
            throttle: 0,
            rate: None,
            allowed: (0.0, now),
            due: None,
            rests_until: now,
            pages: (0, 0),
            dirtied: 0,
            stands: None,
            running: false,
        })
    }

    /// Sends as much as the wire takes, without waiting for it; where the machine `runs`, no more at once than leaves it its time.
    pub fn pump(&mut self, limits: &Limits, runs: bool) -> Step {
        loop {
            match self.reports.try_recv() {
                Ok(Report::Ready) => self.ready(),
                Ok(Report::Over(result)) => return Step::Over(result),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    return Step::Over(Err("its thread has ended".to_owned()));
                }
            }
        }
        self.due = None;
        if matches!(self.phase, Phase::Setup | Phase::Sent) {
            return Step::Goes;
        }
        let begin = Instant::now();
        let shares = runs && self.phase == Phase::Copying;
        if shares && begin < self.rests_until {
            self.due = Some(self.rests_until);
            return Step::Goes;
        }
        loop {
            if !self.may_send(limits) {
                return Step::Goes;
            }
            let now = Instant::now();
            if shares && now - begin >= TURN {
                self.rests_until = now + (now - begin);
                self.due = Some(self.rests_until);
                return Step::Goes;
            }
            let Some(chunk) = self.held.take().or_else(|| self.next()) else {
                if self.phase == Phase::Last {
                    self.phase = Phase::Sent;
                    self.held = Some(Chunk::new(Kind::End, 1).with(&[u8::from(self.running)]));
                    continue;
                }
                // What waits for the wire would have the machine wait as well.
                if self.waits() {
                    return Step::Goes;
                }
                if self.pass_over(limits) {
                    return Step::Fits;
                }
                continue;
            };
            if !self.send(chunk) || self.phase == Phase::Sent {
                return Step::Goes;
            }
        }
    }

    /// Whether chunks wait for the wire. Then the thread that writes them wakes the machine's.
    fn waits(&self) -> bool {
        self.shared.wanted.store(1, SeqCst);
        self.shared.queued.load(SeqCst) > 0
    }

    /// Puts a chunk into the queue; false if there is no room.
    fn send(&mut self, chunk: Chunk) -> bool {
        let bytes = chunk.bytes.len() as u64;
        self.shared.queued.fetch_add(bytes, SeqCst);
        let sent = self.chunks.try_send(chunk).or_else(|error| match error {
            TrySendError::Full(chunk) => {
                // Asked for before the last try: room that comes between the two is not missed.
                self.shared.wanted.store(ROOM, SeqCst);
                self.chunks.try_send(chunk)
            }
            error => Err(error),
        });
        match sent {
            Ok(()) => {
                self.allowed.0 -= bytes as f64;
                true
            }
            Err(TrySendError::Full(chunk) | TrySendError::Disconnected(chunk)) => {
                self.shared.queued.fetch_sub(bytes, SeqCst);
                self.held = Some(chunk);
                false
            }
        }
    }

    /// Whether the bandwidth allows more; if not, when it will is noted.
    fn may_send(&mut self, limits: &Limits) -> bool {
        if limits.bandwidth == 0 || self.phase != Phase::Copying {
            return true;
        }
        let rate = limits.bandwidth as f64;
        let now = Instant::now();
        let (left, since) = self.allowed;
        // What was not used is kept for a twentieth of a second.
        let left = (left + rate * (now - since).as_secs_f64()).min(rate / 20.0);
        self.allowed = (left, now);
        if left > 0.0 {
            return true;
        }
        let wait = Duration::from_secs_f64((1.0 - left) / rate);
        self.due = Some(now + wait.max(Duration::from_millis(1)));
        false
    }

    /// The other end is ready: all memory is to be sent, and what is written from now on again.
    fn ready(&mut self) {
        self.phase = Phase::Copying;
        let now = Instant::now();
        self.copying = Some(now);
        self.pass = (now, self.shared.written.load(SeqCst));
        // Whatever was written before is sent in any case.
        if let Some(watch) = &self.watch {
            drop(watch.written());
        }
        for block in &mut self.blocks {
            let untouched = block.ram.untouched().unwrap_or_default();
            for page in 0..block.ram.pages() {
                let zero = untouched.get(page as usize) == Some(&true);
                block.set(page, !zero);
            }
        }
    }

    /// Has what was written since this was asked last sent again; how many pages those are.
    fn look(&mut self) -> u64 {
        let mut count = 0;
        if let Some(watch) = &self.watch {
            for (block, memory) in self.blocks.iter_mut().zip(watch.blocks()) {
                let written = memory.written();
                count += written.len() as u64;
                for page in written {
                    block.set(page.into(), true);
                }
            }
        }
        self.at = (0, 0);
        self.passes += 1;
        count
    }

    /// All of a pass has gone out. Whether what the machine has written meanwhile is so little that it can stand still for it; if
    /// not, the next pass begins.
    fn pass_over(&mut self, limits: &Limits) -> bool {
        /// A pass of less says nothing about the wire.
        const ENOUGH: u64 = 1 << 20;
        let (now, written) = (Instant::now(), self.shared.written.load(SeqCst));
        let (time, sent) = ((now - self.pass.0).as_secs_f64(), written - self.pass.1);
        if self.rate.is_none() || sent >= ENOUGH {
            self.rate = Some(sent.max(PAGE) as f64 / time.max(1e-6));
        }
        let count = self.look();
        self.dirtied = (count as f64 / time.max(1e-3)) as u64;
        self.pass = (now, written);
        if self.expected() <= limits.downtime {
            return true;
        }
        // What QEMU calls auto-converge: more than half of what was sent was written again, twice.
        self.outrun = if count * PAGE * 2 > sent {
            self.outrun + 1
        } else {
            0
        };
        if limits.throttle && self.outrun >= 2 {
            self.outrun = 0;
            self.throttle = match self.throttle {
                0 => limits.initial,
                throttle => throttle + limits.increment,
            };
            self.throttle = self.throttle.min(limits.most);
        }
        false
    }

    /// How long the wire takes for what is left.
    fn expected(&self) -> Duration {
        let rate = self.rate.unwrap_or(f64::INFINITY);
        let seconds = (self.left() as f64 / rate).min(1e9);
        Duration::try_from_secs_f64(seconds).unwrap_or_default()
    }

    fn left(&self) -> u64 {
        self.blocks.iter().map(|block| block.left * PAGE).sum()
    }

    /// The next chunk of what is to be sent.
    fn next(&mut self) -> Option<Chunk> {
        if let Some(index) = self.sections.pop_front() {
            let payload = &self.states[index].1;
            let chunk = Chunk::new(Kind::Section, 4 + payload.len());
            return Some(chunk.with(&(index as u32).to_le_bytes()).with(payload));
        }
        while let Some(block) = self.blocks.get_mut(self.at.0) {
            let Some(first) = block.next(self.at.1) else {
                self.at = (self.at.0 + 1, 0);
                continue;
            };
            let uniform = |page| block.ram.uniform(page).ok().flatten();
            let value = uniform(first);
            let most = if value.is_some() { u64::MAX } else { PIECE };
            let mut end = first + 1;
            while end - first < most && block.has(end) && uniform(end) == value {
                end += 1;
            }
            let (kind, room) = match value {
                Some(_) => (Kind::Fill, 9),
                None => (Kind::Pages, ((end - first) * PAGE) as usize),
            };
            let mut chunk = Chunk::new(kind, 12 + room)
                .with(&(self.at.0 as u32).to_le_bytes())
                .with(&first.to_le_bytes());
            match value {
                Some(value) => {
                    chunk = chunk.with(&(end - first).to_le_bytes()).with(&[value]);
                    self.pages.1 += end - first;
                }
                None => {
                    let start = chunk.bytes.len();
                    chunk.bytes.resize(start + room, 0);
                    // The pages are the block's.
                    let _ = read_padded(&block.ram, first * PAGE, &mut chunk.bytes[start..]);
                    self.pages.0 += end - first;
                }
            }
            (first..end).for_each(|page| block.set(page, false));
            self.at.1 = end;
            return Some(chunk);
        }
        None
    }

    /// The machine stands still, and these are its sections; what does not change while it runs can be left out. `running` is whether it is to
    /// run where it goes on.
    pub fn hand_over(&mut self, sections: Vec<Section>, running: bool) {
        self.stands = Some(Instant::now());
        self.shared.stands.store(true, SeqCst);
        self.look();
        for section in sections {
            let place = self
                .states
                .iter()
                .position(|(path, _)| *path == section.path);
            if let Some(place) = place
                && self.states[place].1 != section.payload
            {
                self.states[place].1 = section.payload;
                self.sections.push_back(place);
            }
        }
        self.running = running;
        self.phase = Phase::Last;
    }

    /// Whether the other end is ready.
    pub fn is_ready(&self) -> bool {
        self.phase != Phase::Setup
    }

    /// When [`Outgoing::pump`] is to be called even if nobody wakes the thread.
    pub fn due(&self) -> Option<Duration> {
        let due = self.due?;
        Some(due.saturating_duration_since(Instant::now()))
    }

    /// How long a machine is held up that has run for so long, so that it writes less.
    pub fn hold_up(&self, ran: Duration) -> Duration {
        match (self.phase, self.throttle) {
            (Phase::Copying, throttle @ 1..=99) => (ran * throttle / (100 - throttle)).min(HELD),
            _ => Duration::ZERO,
        }
    }

    /// Gives it up, and waits until the other end cannot go on with the machine any more; false if it does already.
    pub fn cancel(self) -> bool {
        self.shared.cancelled.store(true, SeqCst);
        drop(self.chunks);
        loop {
            match self.reports.recv_timeout(PATIENCE + PATIENCE) {
                Ok(Report::Ready) => {}
                Ok(Report::Over(Ok(()))) => return false,
                Ok(Report::Over(Err(_))) | Err(_) => return true,
            }
        }
    }

    /// How far it is.
    pub fn travelled(&self) -> Travelled {
        let copying = self.copying.unwrap_or_else(Instant::now);
        let sent = self.shared.written.load(SeqCst);
        let time = copying.elapsed().as_secs_f64();
        let rate = self
            .rate
            .unwrap_or(if time > 0.0 { sent as f64 / time } else { 0.0 });
        Travelled {
            ready: self.phase != Phase::Setup,
            stands: self.stands.is_some(),
            time: self.begin.elapsed(),
            setup: copying.duration_since(self.begin),
            downtime: match self.stands {
                Some(since) => since.elapsed(),
                None => self.expected(),
            },
            sent,
            left: self.left(),
            memory: self.blocks.iter().map(|block| block.ram.size()).sum(),
            pages: self.pages.0,
            uniform: self.pages.1,
            passes: self.passes,
            dirtied: self.dirtied,
            rate: rate * 8.0,
            throttle: self.throttle,
        }
    }
}

/// What the stream's thread has.
struct Worker {
    shared: Arc<Shared>,
    post: Sender<Report>,
    wake: Box<dyn Fn() + Send>,
}

impl Worker {
    fn run(&self, uri: &Uri, first: Chunk, chunks: &Receiver<Chunk>) {
        let patience = &mut |waited| self.shared.patience(waited);
        let result = uri.write(patience, |out, back| self.send(out, back, first, chunks));
        self.report(Report::Over(result.map(drop).map_err(|e| {
            // Nobody can know then.
            let told = self.shared.told.load(SeqCst);
            let perhaps = if told {
                "; the destination was told to go on, so see whether it does, and end one of the two"
            } else {
                ""
            };
            format!("{e}{perhaps}")
        })));
    }

    fn report(&self, report: Report) {
        // The machine may not be there any more.
        let _ = self.post.send(report);
        (self.wake)();
    }

    fn send(
        &self,
        out: &mut dyn Write,
        back: Option<File>,
        first: Chunk,
        chunks: &Receiver<Chunk>,
    ) -> io::Result<u64> {
        let patience = &mut |waited| self.shared.patience(waited);
        let mut back = back.map(|back| Peer::reader(back, patience));
        let mut out = Sealed {
            out,
            sum: 0,
            shared: &self.shared,
        };
        let sent = (|| {
            let flags = if back.is_some() { LISTENS } else { 0 };
            out.put(&start_of(LIVE, flags))?;
            out.chunk(first)?;
            if let Some(back) = &mut back {
                hear(back, "ready")?;
            }
            self.report(Report::Ready);
            loop {
                // Without the machine's thread it is given up.
                let gone = |_| io::Error::from(ErrorKind::BrokenPipe);
                let chunk = chunks.recv().map_err(gone)?;
                let (kind, bytes) = (chunk.kind, chunk.bytes.len() as u64);
                out.chunk(chunk)?;
                let left = self.shared.queued.fetch_sub(bytes, SeqCst) - bytes;
                if left < self.shared.wanted.load(SeqCst) {
                    self.shared.wanted.store(0, SeqCst);
                    (self.wake)();
                }
                if kind == Kind::End {
                    break;
                }
            }
            out.out.flush()
        })();
        if let (Err(e), Some(back)) = (&sent, &mut back)
            && matches!(e.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
            && !self.shared.cancelled.load(SeqCst)
        {
            // It may have said why.
            let why = hear(back, "").err();
            return Err(why.unwrap_or_else(|| io::Error::from(e.kind())));
        }
        sent?;
        if let Some(back) = &mut back {
            hear(back, "loaded")?;
            self.shared.told.store(true, SeqCst);
            out.chunk(Chunk::new(Kind::Go, 0))?;
            hear(back, "running")?;
        }
        Ok(self.shared.written.load(SeqCst))
    }
}

/// Waits for a word of the destination.
fn hear(back: &mut impl BufRead, word: &str) -> io::Result<()> {
    let mut line = String::new();
    match back.take(LINE).read_line(&mut line) {
        Ok(0) => {
            return Err(io::Error::other(
                "the destination has closed the connection",
            ));
        }
        Err(e) if matches!(e.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
            return Err(io::Error::other(
                "the destination has closed the connection",
            ));
        }
        result => result?,
    };
    let line = line.trim_end();
    match line.strip_prefix(REFUSED) {
        Some(why) => Err(io::Error::other(format!(
            "the destination refuses it: {why}"
        ))),
        None if line == word => Ok(()),
        None => Err(io::Error::other(
            "the destination says what a program that takes a machine does not say",
        )),
    }
}

/// What stands in front of the reason.
const REFUSED: &str = "refused ";

/// A writer that sums up what it writes.
struct Sealed<'a> {
    out: &'a mut dyn Write,
    sum: u32,
    shared: &'a Shared,
}

impl Sealed<'_> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sum = crc32c::crc32c_append(self.sum, bytes);
        self.out.write_all(bytes)?;
        self.shared.written.fetch_add(bytes.len() as u64, SeqCst);
        Ok(())
    }

    fn chunk(&mut self, chunk: Chunk) -> io::Result<()> {
        let Chunk { kind, mut bytes } = chunk;
        let length = (bytes.len() - HEAD) as u64;
        bytes[..4].copy_from_slice(&(kind as u32).to_le_bytes());
        bytes[4..HEAD].copy_from_slice(&length.to_le_bytes());
        let sum = crc32c::crc32c_append(self.sum, &bytes);
        bytes.extend(sum.to_le_bytes());
        // The sum of all, this one too.
        self.put(&bytes)
    }
}

/// The way back to the program that sends a machine, which waits there for words.
#[derive(Debug)]
pub struct Link {
    back: File,
    sum: u32,
}

impl Link {
    fn say(&mut self, line: &str) -> io::Result<()> {
        self.back.write_all(format!("{line}\n").as_bytes())
    }

    /// Says that the machine is not taken, and why.
    pub fn refuse(mut self, why: &str) {
        let line: String = why
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let line: String = line.chars().take(LINE as usize / 8).collect();
        // It may have gone.
        let _ = self.say(&format!("{REFUSED}{line}"));
    }

    /// The machine is there, with all that is plugged in: waits until it is to go on here, and says that it does.
    ///
    /// # Errors
    /// The source has gone, or has given it up.
    pub fn take_over(mut self) -> Result<(), StreamError> {
        let gone = |e: io::Error| match e.kind() {
            ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => {
                StreamError::Broken(
                    "the machine does not go on here: its source has closed the connection"
                        .to_owned(),
                )
            }
            _ => StreamError::Io(e),
        };
        self.say("loaded").map_err(gone)?;
        let patience = &mut |waited| match waited < PATIENCE {
            true => Ok(()),
            false => Err(io::Error::new(
                ErrorKind::TimedOut,
                format!("the source said nothing for {} s", PATIENCE.as_secs()),
            )),
        };
        let mut head = [0; 16];
        let mut source = Peer::new(&self.back, patience);
        source.read_exact(&mut head).map_err(gone)?;
        let sum = crc32c::crc32c_append(self.sum, &head[..12]);
        let mut from = Bytes(&head);
        if (from.u32()?, from.u64()?, from.u32()?) != (Kind::Go as u32, 0, sum) {
            return broken("the source says something else than to go on");
        }
        self.say("running").map_err(gone)
    }
}

/// Reads a stream of this format from behind its start. `check` says whether a machine of this description can be taken.
pub(super) fn receive(
    from: &mut Summed<'_>,
    flags: u32,
    back: Option<File>,
    check: &mut dyn FnMut(&Description) -> Result<(), StreamError>,
    progress: Progress<'_>,
) -> Result<(Stream, Option<Link>), StreamError> {
    if flags & !LISTENS != 0 {
        return broken(format!("the start has unknown flags ({flags:#x})"));
    }
    let mut link = match (flags & LISTENS != 0, back) {
        (true, Some(back)) => Some(Link { back, sum: 0 }),
        _ => None,
    };
    let result = take_in(from, &mut link, check, progress);
    match (result, link) {
        (Ok(stream), link) => Ok((stream, link)),
        (Err(e), link) => {
            if let Some(link) = link {
                link.refuse(&e.to_string());
            }
            Err(e)
        }
    }
}

fn take_in(
    from: &mut Summed<'_>,
    link: &mut Option<Link>,
    check: &mut dyn FnMut(&Description) -> Result<(), StreamError>,
    progress: Progress<'_>,
) -> Result<Stream, StreamError> {
    let mut length = START as u64;
    let (kind, bytes) = chunk(from, &mut length)?;
    if kind != Kind::Description {
        return broken("the stream does not begin with what it is of");
    }
    let mut about = Bytes(&bytes);
    let description = about.description()?;
    let layout = &description.about.layout;
    let says = layout.sections.iter();
    let mut sections: Vec<_> = says
        .map(|says| Section {
            path: says.path.clone(),
            payload: Vec::new(),
            memory: Vec::new(),
        })
        .collect();
    let mut memories = Memories::of(layout);
    let mut blocks = Vec::new();
    for _ in 0..about.u64()? {
        let (section, size) = (about.u64()?, about.u64()?);
        blocks.push(memories.block(&mut sections, section, size)?);
    }
    if !about.0.is_empty() {
        return broken("the description has bytes left over");
    }
    check(&description)?;
    if let Some(link) = link {
        link.say("ready")?;
    }
    let total: u64 = blocks.iter().map(Ram::size).sum();
    let (mut carried, mut payloads) = (0, 0);
    let mut there = vec![false; sections.len()];
    let ran = loop {
        let (kind, bytes) = chunk(from, &mut length)?;
        let mut part = Bytes(&bytes);
        match kind {
            Kind::Section => {
                let index = part.u32()? as usize;
                let (Some(section), Some(there)) = (sections.get_mut(index), there.get_mut(index))
                else {
                    return broken("a section that there is not");
                };
                payloads = payloads + part.0.len() as u64 - section.payload.len() as u64;
                if payloads > MOST_SECTIONS {
                    return broken("its sections have more bytes than there can be");
                }
                section.payload = part.0.to_vec();
                *there = true;
            }
            Kind::Pages | Kind::Fill => {
                let block = blocks.get(part.u32()? as usize);
                let page = part.u64()?;
                let (pages, value) = match kind {
                    Kind::Fill => (part.u64()?, Some(part.array::<1>()?[0])),
                    _ => (part.0.len() as u64 / PAGE, None),
                };
                let Some(block) = block.filter(|block| {
                    let end = page.checked_add(pages);
                    end.is_some_and(|end| end <= block.pages())
                }) else {
                    return broken("memory outside of its block");
                };
                match value {
                    Some(byte) if part.0.is_empty() => {
                        let content = Content::Filled(byte);
                        let run = Run {
                            page,
                            pages,
                            content,
                        };
                        fill(block, &run, byte)?;
                    }
                    None if part.0.len() as u64 == pages * PAGE => {
                        write_padded(block, page * PAGE, part.0)?;
                        carried += pages * PAGE;
                    }
                    _ => return broken("a part of memory is no number of pages"),
                }
                progress(carried.min(total), total);
            }
            Kind::End => match part.0 {
                [ran @ (0 | 1)] => break *ran == 1,
                _ => return broken("the end of the stream says nothing that is known"),
            },
            Kind::Description | Kind::Go => return broken("a part of the stream is out of place"),
        }
    };
    if there.contains(&false) {
        return broken("sections of the machine are missing");
    }
    if let Some(link) = link {
        link.sum = from.sum;
    }
    Ok(Stream {
        description,
        sections,
        format: LIVE,
        length,
        carried,
        stands: !ran,
    })
}

/// Reads a chunk, and makes sure that it is whole.
fn chunk(from: &mut Summed<'_>, length: &mut u64) -> Result<(Kind, Vec<u8>), StreamError> {
    let mut head = [0; HEAD];
    from.exact(&mut head)?;
    let mut start = Bytes(&head);
    let (kind, bytes) = (start.u32()?, start.u64()?);
    let damaged = || StreamError::Broken("a part of the stream is damaged".to_owned());
    let kind = Kind::of(kind).ok_or_else(damaged)?;
    let most = match kind {
        Kind::Description => 2 * MOST_DESCRIPTION,
        Kind::Section => MOST_SECTIONS + 4,
        Kind::Pages | Kind::Fill | Kind::End | Kind::Go => PIECE * PAGE + 64,
    };
    if bytes > most {
        return Err(damaged());
    }
    let content = from.claimed(bytes)?;
    let sum = from.sum;
    let mut says = [0; 4];
    from.exact(&mut says)?;
    if says != sum.to_le_bytes() {
        return broken("a part of the stream is damaged (its checksum is wrong)");
    }
    *length += HEAD as u64 + bytes + 4;
    Ok((kind, content))
}

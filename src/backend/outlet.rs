//! The way out: bytes go from the machine's thread, which waits for nothing, through a queue to a thread that writes them.
//!
//! The queue has one writer, one reader and no lock. When its reader outside is slow it fills up; what then happens is the
//! backend's rule. The machine stands still while the queue has no room: nothing that the guest can see, and signals, the
//! time limit and the monitor find the machine's thread awake. A reader that takes nothing at all may hold the machine for as
//! long as its backend's patience, and what comes then is dropped until it reads again.

use std::cell::RefCell;
use std::io::{self, ErrorKind, Write};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use rtrb::{Consumer, Producer, RingBuffer};

use super::BackendError;
use super::outside::{Post, spawn};
use crate::machine::{Backlog, Sink, Word};

/// What is kept for a slow reader, in bytes.
pub(super) const KEPT: usize = 1 << 16;
/// The machine stands still while there is less room than this: more than what the guest can send before it does.
const MARGIN: usize = 1 << 12;
/// Bytes written at once. A pipe that can be written to takes so many.
const PIECE: usize = 1 << 10;
/// How long the machine, or its end, waits for a peer that takes nothing.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// What both ends know of a queue.
#[derive(Debug, Default)]
pub(super) struct Level {
    /// Bytes in the queue, those being written included.
    waiting: AtomicUsize,
    /// Bytes written, or dropped by the writer, so far; it wraps.
    written: AtomicUsize,
    /// The machine wants to hear of room.
    wanted: AtomicBool,
}

impl Level {
    /// Waits until what is in the queue now has been written, or its reader has taken nothing for the patience of a peer.
    pub(super) fn settle(&self) {
        let start = self.written.load(SeqCst);
        let wanted = self.waiting.load(SeqCst);
        let (mut last, mut since) = (start, Instant::now());
        while self.waiting.load(SeqCst) > 0 {
            let written = self.written.load(SeqCst);
            if written != last {
                (last, since) = (written, Instant::now());
            }
            if written.wrapping_sub(start) >= wanted || since.elapsed() > PATIENCE {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// A way out to a backend. Copies of it are the same one.
#[derive(Debug, Clone)]
pub struct Outlet(Rc<RefCell<Queue>>);

/// The thread that writes.
#[derive(Debug)]
struct Writer(Thread);

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.unpark();
    }
}

#[derive(Debug)]
struct Queue {
    name: String,
    ring: Producer<u8>,
    level: Arc<Level>,
    // Dropped after the ring, which the writer then finds abandoned.
    writer: Writer,
    /// How long the machine waits for a reader that takes nothing; without it, for ever.
    patience: Option<Duration>,
    /// Since when the reader has taken nothing, and how much it had taken then.
    stalled: Option<(Instant, usize)>,
    /// The reader took nothing for too long, and had taken so much then: what comes is dropped until it takes more.
    dropping: Option<usize>,
    /// Whether that was said.
    told: bool,
}

impl Outlet {
    /// Starts the thread that writes to `out` what is sent. The first error is passed to `failed`; what is sent after that is
    /// dropped. `post` tells the machine of room that it waits for.
    pub(super) fn new(
        name: &str,
        patience: Option<Duration>,
        post: Post,
        out: impl Write + Send + 'static,
        failed: impl FnOnce(io::Error) + Send + 'static,
    ) -> Result<(Self, Arc<Level>), BackendError> {
        let (ring, consumer) = RingBuffer::new(KEPT);
        let level = Arc::new(Level::default());
        let known = level.clone();
        let writer = spawn(name, move || write(consumer, &known, &post, out, failed))?;
        let queue = Queue {
            name: name.to_owned(),
            ring,
            level: level.clone(),
            writer: Writer(writer),
            patience,
            stalled: None,
            dropping: None,
            told: false,
        };
        Ok((Self(Rc::new(RefCell::new(queue))), level))
    }

    /// Takes as many bytes as there is room for, and says how many.
    pub fn send_some(&self, bytes: &[u8]) -> usize {
        self.0.borrow_mut().push(bytes)
    }

    /// Asks to be told, by [`Word::Room`], when there is more room.
    pub fn want_room(&self) {
        self.0.borrow().level.wanted.store(true, SeqCst);
    }
}

impl Sink for Outlet {
    fn send(&mut self, bytes: &[u8]) {
        let mut queue = self.0.borrow_mut();
        if let Some(taken) = queue.dropping {
            if taken == queue.level.written.load(SeqCst) {
                return;
            }
            queue.dropping = None;
        }
        queue.push(bytes);
    }

    fn wait(&mut self) -> Option<Duration> {
        self.0.borrow_mut().wait()
    }

    fn backlog(&self) -> Backlog {
        let queue = self.0.borrow();
        queue.level.wanted.store(true, SeqCst);
        Backlog {
            bytes: queue.level.waiting.load(SeqCst),
            patient: queue.patience.is_none(),
        }
    }
}

impl Queue {
    fn push(&mut self, bytes: &[u8]) -> usize {
        // Before they are there: the writer must not count down below nothing.
        let room = bytes.len().min(self.ring.slots());
        self.level.waiting.fetch_add(room, SeqCst);
        let (taken, _) = self.ring.push_partial_slice(&bytes[..room]);
        debug_assert_eq!(taken.len(), room, "nobody else fills the queue");
        self.writer.0.unpark();
        room
    }

    fn wait(&mut self) -> Option<Duration> {
        if self.dropping.is_some() || self.ring.slots() >= MARGIN {
            self.stalled = None;
            return None;
        }
        self.level.wanted.store(true, SeqCst);
        if self.ring.slots() >= MARGIN {
            return None;
        }
        let Some(patience) = self.patience else {
            return Some(PATIENCE);
        };
        let written = self.level.written.load(SeqCst);
        let since = match self.stalled {
            Some((since, before)) if before == written => since,
            _ => self.stalled.insert((Instant::now(), written)).0,
        };
        let left = patience.saturating_sub(since.elapsed());
        if left.is_zero() {
            self.dropping = Some(written);
            self.stalled = None;
            if !std::mem::replace(&mut self.told, true) {
                let name = &self.name;
                tracing::warn!(
                    "{name}: nobody reads it; what it sends is dropped until somebody does"
                );
            }
            return None;
        }
        Some(left)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        let left = self.level.waiting.load(SeqCst);
        if left > 0 && self.dropping.is_none() {
            tracing::warn!("{}: {left} bytes of output were not read", self.name);
        }
    }
}

/// Writes what comes until nobody sends any more.
fn write(
    mut from: Consumer<u8>,
    level: &Level,
    post: &Post,
    mut out: impl Write,
    failed: impl FnOnce(io::Error),
) {
    let mut failed = Some(failed);
    loop {
        let length = from.slots().min(PIECE);
        if length == 0 {
            if from.is_abandoned() {
                return;
            }
            thread::park();
            continue;
        }
        let Ok(chunk) = from.read_chunk(length) else {
            continue;
        };
        let (first, _) = chunk.as_slices();
        let done = match failed.is_some().then(|| out.write(first)) {
            Some(Ok(done)) if done > 0 => done,
            Some(Err(e)) if e.kind() == ErrorKind::Interrupted => continue,
            Some(result) => {
                let error = result.err().unwrap_or(ErrorKind::WriteZero.into());
                if let Some(failed) = failed.take() {
                    failed(error);
                }
                continue;
            }
            None => first.len(),
        };
        chunk.commit(done);
        level.written.fetch_add(done, SeqCst);
        let left = level.waiting.fetch_sub(done, SeqCst) - done;
        if (left == 0 || left <= KEPT / 2) && level.wanted.swap(false, SeqCst) {
            // A machine that has ended wants no more.
            let _ = post.word(Word::Room);
        }
    }
}

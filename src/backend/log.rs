//! Standard error while a machine runs: lines go through a queue to a thread that writes them, so that whoever does not read
//! them cannot stop the machine. One who reads slowly is waited for; what comes while nobody reads is dropped, and said to be.

use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::PATIENCE;
use crate::visible::visible;

/// Lines that may wait.
const LINES: usize = 1 << 10;

/// The log is the process's, hence a static; it is nothing if there is no thread for it.
static LOG: OnceLock<Option<Log>> = OnceLock::new();

/// Says something on standard error; if that has gone, there is nobody to tell.
pub fn say(text: &str) {
    match LOG.get_or_init(|| Log::start(io::stderr)) {
        Some(log) => log.push(text.as_bytes().to_vec()),
        None => drop(io::stderr().write_all(text.as_bytes())),
    }
}

/// Waits until all that was said is there, as long as somebody reads it.
pub fn flush() {
    if let Some(Some(log)) = LOG.get() {
        log.flush();
    }
}

/// A line of the log; what is written to it is said.
#[derive(Debug)]
pub struct Line;

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        say(&visible(&String::from_utf8_lossy(bytes)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Debug)]
struct Log {
    lines: SyncSender<Vec<u8>>,
    sent: AtomicUsize,
    counts: &'static Counts,
    /// How much was written when the reader was given up.
    stalled: AtomicUsize,
}

/// What the thread has done.
#[derive(Debug, Default)]
struct Counts {
    written: AtomicUsize,
    lost: AtomicUsize,
}

impl Log {
    fn start<W: Write>(open: impl FnOnce() -> W + Send + 'static) -> Option<Self> {
        let (lines, queue) = sync_channel(LINES);
        let counts: &'static Counts = Box::leak(Box::default());
        let write = move || counts.write(&queue, open());
        thread::Builder::new()
            .name("log".into())
            .spawn(write)
            .ok()?;
        Some(Self {
            lines,
            sent: AtomicUsize::new(0),
            counts,
            stalled: AtomicUsize::new(usize::MAX),
        })
    }

    fn push(&self, mut line: Vec<u8>) {
        let mut seen = (self.counts.written.load(SeqCst), Instant::now());
        loop {
            line = match self.lines.try_send(line) {
                Ok(()) => {
                    self.sent.fetch_add(1, SeqCst);
                    return;
                }
                Err(TrySendError::Full(line)) => line,
                Err(TrySendError::Disconnected(_)) => return,
            };
            let written = self.counts.written.load(SeqCst);
            if written != seen.0 {
                seen = (written, Instant::now());
            }
            if self.stalled.load(SeqCst) == written || seen.1.elapsed() > PATIENCE {
                self.stalled.store(written, SeqCst);
                self.counts.lost.fetch_add(1, SeqCst);
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn flush(&self) {
        let mut seen = (self.counts.written.load(SeqCst), Instant::now());
        while seen.0 < self.sent.load(SeqCst) && seen.1.elapsed() < PATIENCE {
            thread::sleep(Duration::from_micros(100));
            let written = self.counts.written.load(SeqCst);
            if written != seen.0 {
                seen = (written, Instant::now());
            }
        }
    }
}

impl Counts {
    fn write(&self, queue: &Receiver<Vec<u8>>, mut out: impl Write) {
        for line in queue {
            let lost = self.lost.swap(0, SeqCst);
            // There is nobody to tell that nobody can be told.
            if lost > 0 {
                let _ = writeln!(out, "({lost} lines of the log are lost)");
            }
            let _ = out.write_all(&line);
            self.written.fetch_add(1, SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;

    use super::*;

    #[test]
    fn a_log_that_nobody_reads_waits_once() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let log = Log::start(|| File::from(writer)).unwrap();
        let start = Instant::now();
        let line = b"0123456789".repeat(10);
        for _ in 0..10_000 {
            log.push(line.clone());
        }
        log.flush();
        assert!(start.elapsed() < 10 * PATIENCE);
        assert!(log.counts.lost.load(SeqCst) > 8_000);
        // From then on it is whole again.
        let (mut reader, mut text) = (File::from(reader), String::new());
        let all = thread::spawn(move || reader.read_to_string(&mut text).map(|_| text));
        while log.counts.written.load(SeqCst) < log.sent.load(SeqCst) {
            thread::sleep(Duration::from_millis(1));
        }
        (0..5_000).for_each(|n| log.push(format!("line {n}\n").into_bytes()));
        log.flush();
        drop(log);
        let text = all.join().unwrap().unwrap();
        assert!(text.contains("lines of the log are lost)\n"));
        assert_eq!(text.matches("line ").count(), 5_000);
    }
}

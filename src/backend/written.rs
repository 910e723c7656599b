//! What a guest programs into a memory, kept in the file that filled it.
//!
//! A thread writes it there, so that the machine does not wait for the host.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::BackendError;
use super::block::lock;
use crate::machine::Sink;
use crate::visible::shown;

/// What a memory reads as where its file has nothing.
const ERASED: u8 = 0xff;
/// Bytes that wait to be written before the machine stands still.
const MOST: usize = 1 << 20;
const WAIT: Duration = Duration::from_millis(5);

/// Opens the file that a memory was filled from, for a machine that has this content there.
///
/// # Errors
/// It cannot be written, another machine has it, or it has something else.
pub(super) fn open(name: &str, path: &Path, content: &[u8]) -> Result<Box<dyn Sink>, BackendError> {
    let path_shown = shown(path);
    let cannot = |e: io::Error| {
        BackendError::new(format!(
            "{name}: {path_shown} cannot be written, and the guest is to write to it: {e}; without `,write` what it writes is not kept"
        ))
    };
    let file = OpenOptions::new().read(true).write(true).open(path);
    let file = file.map_err(cannot)?;
    if !file.metadata().map_err(cannot)?.is_file() {
        return Err(cannot(io::Error::other("it is no file")));
    }
    lock::take(&file, true).map_err(cannot)?;
    let mut there = vec![ERASED; content.len().next_multiple_of(4)];
    let mut at = 0;
    while at < content.len() {
        match file.read_at(&mut there[at..content.len()], at as u64) {
            Ok(0) => break,
            Ok(more) => at += more,
            Err(e) => return Err(cannot(e)),
        }
    }
    let same = |there: &[u8]| there[..content.len()] == *content;
    let mut turned = false;
    if !same(&there) {
        turned = true;
        turn(&mut there);
        if !same(&there) {
            return Err(BackendError::new(format!(
                "{name}: {path_shown} has not what the machine has there: a saved machine has what it was saved with, and one with --kernel what starts that; without `,write` the file is left as it is"
            )));
        }
    }
    let (send, writes) = channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    let worker = Worker {
        what: format!("{name}: {path_shown}"),
        file,
        turned,
        lost: false,
        waiting: waiting.clone(),
    };
    let thread = thread::Builder::new().name(name.chars().take(15).collect());
    let thread = thread.spawn(move || worker.work(&writes)).map_err(cannot)?;
    Ok(Box::new(Written {
        writes: Some(send),
        waiting,
        thread: Some(thread),
    }))
}

/// Turns each word round.
fn turn(words: &mut [u8]) {
    words.chunks_exact_mut(4).for_each(<[u8]>::reverse);
}

/// What the guest programs into a memory that nothing keeps: it is told of once.
#[derive(Debug)]
pub struct Forgotten {
    name: String,
    told: bool,
}

impl Forgotten {
    /// For the slot with this name.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            told: false,
        }
    }
}

impl Sink for Forgotten {
    fn send(&mut self, _: &[u8]) {}

    fn store(&mut self, _: u64, _: &[u8]) {
        if !std::mem::replace(&mut self.told, true) {
            let name = &self.name;
            tracing::warn!(
                "{name}: what the guest writes there is not kept when the program ends, but in a saved machine; `--backend {name}=file:PATH,write` keeps it in the file"
            );
        }
    }
}

/// The machine's end.
struct Written {
    writes: Option<Sender<(u64, Vec<u8>)>>,
    waiting: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Sink for Written {
    fn send(&mut self, _: &[u8]) {}

    fn store(&mut self, offset: u64, bytes: &[u8]) {
        if let Some(writes) = &self.writes {
            self.waiting.fetch_add(bytes.len(), Ordering::Relaxed);
            // The thread ends after this does.
            let _ = writes.send((offset, bytes.to_vec()));
        }
    }

    fn stores(&self) -> bool {
        true
    }

    fn wait(&mut self) -> Option<Duration> {
        (self.waiting.load(Ordering::Relaxed) > MOST).then_some(WAIT)
    }
}

impl Drop for Written {
    /// All is in the file before the program ends.
    fn drop(&mut self) {
        self.writes = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Worker {
    what: String,
    file: File,
    /// The words of the file are those of the memory turned round.
    turned: bool,
    lost: bool,
    waiting: Arc<AtomicUsize>,
}

impl Worker {
    fn work(mut self, writes: &Receiver<(u64, Vec<u8>)>) {
        while let Ok((mut offset, mut bytes)) = writes.recv() {
            // A guest programs word after word.
            while let Ok((next, more)) = writes.try_recv() {
                if next == offset + bytes.len() as u64 && bytes.len() < MOST {
                    bytes.extend(more);
                } else {
                    self.done(offset, &bytes);
                    (offset, bytes) = (next, more);
                }
            }
            self.done(offset, &bytes);
        }
        let synced = self.file.sync_data();
        self.tell(synced);
    }

    fn done(&mut self, offset: u64, bytes: &[u8]) {
        let written = self.write(offset, bytes);
        self.tell(written);
        self.waiting.fetch_sub(bytes.len(), Ordering::Relaxed);
    }

    fn tell(&mut self, result: io::Result<()>) {
        if let Err(e) = result
            && !std::mem::replace(&mut self.lost, true)
        {
            tracing::warn!("{}: what the guest writes is not all kept: {e}", self.what);
        }
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        // Whole words, of which the rest is what is there.
        let (start, end) = (
            offset & !3,
            (offset + bytes.len() as u64).next_multiple_of(4),
        );
        let len = self.file.metadata()?.len();
        if start > len {
            self.file
                .write_all_at(&vec![ERASED; (start - len) as usize], len)?;
        }
        let mut words = vec![ERASED; (end - start) as usize];
        let there = len.saturating_sub(start).min(end - start) as usize;
        self.file.read_exact_at(&mut words[..there], start)?;
        if self.turned {
            turn(&mut words);
        }
        let at = (offset - start) as usize;
        words[at..at + bytes.len()].copy_from_slice(bytes);
        if self.turned {
            turn(&mut words);
        }
        self.file.write_all_at(&words, start)
    }
}

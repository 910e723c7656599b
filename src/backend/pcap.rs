//! Frames of a network in a file, as `tcpdump -r` and Wireshark read it (the format of libpcap, draft-ietf-opsawg-pcap).

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::iter;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::outside::spawn;
use super::{BackendError, say};
use crate::machine::{Backlog, Sink};
use crate::visible::{shown, visible};

/// Frames that wait to be written at most.
const KEPT: usize = 1024;
/// The machine stands still while there is room for fewer: more than what the guest can send before it does.
const MARGIN: usize = 256;
/// The longest frame that there can be, which the file's header says.
const LONGEST: u32 = 1 << 16;
/// Time stamps of the file have microseconds.
const MAGIC: u32 = 0xa1b2_c3d4;
const ETHERNET: u32 = 1;

/// A frame, and when it was on the wire.
type Stamped = (Duration, Vec<u8>);

/// The way into a file, from both ends of a wire.
#[derive(Debug, Clone)]
pub(super) struct Record {
    to: SyncSender<Stamped>,
    /// Frames that are not in the file yet.
    waiting: Arc<AtomicUsize>,
}

impl Record {
    /// Makes the file, for its owner alone, and starts the thread that writes it.
    pub(super) fn create(name: &str, path: &Path) -> Result<Self, BackendError> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let file = options.open(path);
        let file = file.and_then(|mut file| file.write_all(&header()).map(|()| file));
        let file = file
            .map_err(|e| BackendError::new(format!("{name}: cannot write {}: {e}", shown(path))))?;
        Self::start(name, &format!("{name}: {}", shown(path)), file)
    }

    /// Starts the thread that writes to `file`, behind its header.
    fn start(
        name: &str,
        place: &str,
        file: impl Write + Send + 'static,
    ) -> Result<Self, BackendError> {
        let (to, frames) = sync_channel(KEPT);
        let waiting = Arc::new(AtomicUsize::new(0));
        let (level, place) = (waiting.clone(), place.to_owned());
        spawn(name, move || write(file, &frames, &level, &place))?;
        Ok(Self { to, waiting })
    }

    fn stamped(&self, frame: &[u8]) -> Stamped {
        self.waiting.fetch_add(1, SeqCst);
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        (now.unwrap_or_default(), frame.to_vec())
    }

    /// Keeps a frame that comes to the machine. It waits for the file: the frame's sender does, too.
    pub(super) fn keep(&self, frame: &[u8]) {
        // The writer goes on for as long as there is anybody who can send.
        let _ = self.to.send(self.stamped(frame));
    }
}

fn header() -> Vec<u8> {
    let mut header = Vec::new();
    header.extend(MAGIC.to_le_bytes());
    // Version 2.4; two fields that are zero.
    header.extend([2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    header.extend(LONGEST.to_le_bytes());
    header.extend(ETHERNET.to_le_bytes());
    header
}

/// Writes frames until nobody has any more to give. What comes once the file has failed is dropped.
fn write(file: impl Write, frames: &Receiver<Stamped>, waiting: &AtomicUsize, place: &str) {
    let mut file = Some(BufWriter::new(file));
    while let Ok(first) = frames.recv() {
        let some: Vec<_> = iter::once(first)
            .chain(frames.try_iter())
            .take(KEPT)
            .collect();
        if let Some(out) = &mut file
            && let Err(error) = append(out, &some)
        {
            say(&visible(&format!(
                "warning: {place} cannot be written, and has no more frames from here on: {error}\n"
            )));
            file = None;
        }
        waiting.fetch_sub(some.len(), SeqCst);
    }
}

fn append(out: &mut impl Write, frames: &[Stamped]) -> io::Result<()> {
    for (time, frame) in frames {
        let length = (frame.len() as u32).to_le_bytes();
        out.write_all(&(time.as_secs() as u32).to_le_bytes())?;
        out.write_all(&time.subsec_micros().to_le_bytes())?;
        out.write_all(&length)?;
        out.write_all(&length)?;
        out.write_all(frame)?;
    }
    out.flush()
}

/// A network whose frames are kept as well.
pub(super) struct Recorded {
    inner: Option<Box<dyn Sink>>,
    record: Record,
}

impl Recorded {
    /// What the machine sends goes to `inner`, if there is anybody, and to the file.
    pub(super) fn new(inner: Option<Box<dyn Sink>>, record: Record) -> Self {
        Self { inner, record }
    }

    fn waiting(&self) -> usize {
        self.record.waiting.load(SeqCst)
    }
}

impl Sink for Recorded {
    fn send(&mut self, frame: &[u8]) {
        if self.record.to.try_send(self.record.stamped(frame)).is_err() {
            self.record.waiting.fetch_sub(1, SeqCst);
        }
        if let Some(inner) = &mut self.inner {
            inner.send(frame);
        }
    }

    fn wait(&mut self) -> Option<Duration> {
        match self.waiting() + MARGIN > KEPT {
            true => Some(Duration::from_millis(1)),
            false => self.inner.as_mut()?.wait(),
        }
    }

    fn backlog(&self) -> Backlog {
        let inner = self.inner.as_ref().map(|inner| inner.backlog());
        let inner = inner.unwrap_or_default();
        let waiting = self.waiting();
        Backlog {
            bytes: inner.bytes + waiting,
            patient: inner.patient || waiting > 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_frames_of_both_directions_are_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.pcap");
        let record = Record::create("net0", &path).unwrap();
        let mut sink = Recorded::new(None, record.clone());
        let frames: Vec<Vec<u8>> = (0..3000).map(|n| vec![n as u8; 60 + n % 1454]).collect();
        for (n, frame) in frames.iter().enumerate() {
            match n % 2 {
                0 => record.keep(frame),
                _ => {
                    while let Some(time) = sink.wait() {
                        std::thread::sleep(time);
                    }
                    sink.send(frame);
                }
            }
        }
        while sink.backlog().bytes > 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        let file = std::fs::read(&path).unwrap();
        let mut rest = &file[24..];
        assert_eq!(file[..4], MAGIC.to_le_bytes());
        for frame in frames {
            let length = u32::from_le_bytes(rest[8..12].try_into().unwrap()) as usize;
            assert_eq!(rest[12..16], rest[8..12]);
            assert!(rest[16..16 + length] == frame);
            rest = &rest[16 + length..];
        }
        assert!(rest.is_empty());
        let error = Record::create("net0", folder.path())
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("net0: cannot write "), "{error}");
        let error = Record::create("net0", Path::new("/dev/full")).unwrap_err();
        assert!(error.to_string().contains("No space left"), "{error}");
    }

    #[test]
    fn a_file_that_fails_holds_nobody() {
        let full = std::fs::File::options().write(true).open("/dev/full");
        let record = Record::start("net0", "/dev/full", full.unwrap()).unwrap();
        let mut sink = Recorded::new(None, record.clone());
        for n in 0..3 * KEPT {
            // Both ends go on.
            record.keep(&[n as u8; 60]);
            while let Some(time) = sink.wait() {
                std::thread::sleep(time);
            }
            sink.send(&[n as u8; 60]);
        }
        while sink.backlog().bytes > 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

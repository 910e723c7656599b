//! The outside of a machine: everything that comes to it, in one queue.
//!
//! What comes is bounded: whoever reads from a backend has a credit of bytes or frames, which the machine gives back as the
//! guest takes them. A reader without credit does not read, so the peer waits, not the program's memory.

use std::cell::Cell;
use std::collections::VecDeque;
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use super::exit_on::{ExitOn, Watched};
use super::pcap::Record;
use super::signals::Signals;
use super::user::Wake;
use super::{
    BackendError, Block, Chardev, Folder, Netdev, Outlet, block, chardev, folder, netdev, terminal,
    written,
};
use crate::machine::{Disk, Event, JobDone, Sink, Word};

/// Characters that wait for a slot's device at most.
const CHARACTERS: usize = 1 << 20;
/// Random ones: nobody wants more of them than are asked for.
const RANDOM: usize = 256;
/// Frames that wait for a slot's device at most.
const FRAMES: usize = 256;
/// Characters that wait for the monitor at most.
const COMMANDS: usize = 1 << 16;

/// Something that came from outside.
#[derive(Debug)]
pub enum Heard {
    /// For the guest.
    Event(Event),
    /// A disk has done a job.
    Done(JobDone),
    /// For whoever runs the machine.
    Word(Word),
    /// For the monitor, from the one with this number.
    Monitor(usize, Said),
}

/// What somebody says to the monitor.
#[derive(Debug)]
pub enum Said {
    /// Here I am.
    Opened,
    /// What was typed.
    Text(Vec<u8>),
    /// There is nobody any more.
    Closed,
}

/// What talks to the monitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Face {
    /// A terminal, which has its line drawn.
    Terminal,
    /// A stream of lines.
    Lines,
    /// A program, by messages.
    Messages,
    /// A debugger.
    Debugger,
}

/// Who gets what comes in from a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// A slot of the board.
    Slot(usize),
    /// The monitor, from the one with this number.
    Monitor(usize),
}

/// Puts something into the machine's queue.
#[derive(Debug, Clone)]
pub(super) struct Post(Sender<Heard>);

/// The machine is no more.
#[derive(Debug)]
pub(super) struct Gone;

impl Post {
    pub(super) fn event(&self, event: Event) -> Result<(), Gone> {
        self.hear(Heard::Event(event))
    }

    pub(super) fn done(&self, done: JobDone) -> Result<(), Gone> {
        self.hear(Heard::Done(done))
    }

    pub(super) fn word(&self, word: Word) -> Result<(), Gone> {
        self.hear(Heard::Word(word))
    }

    fn hear(&self, heard: Heard) -> Result<(), Gone> {
        self.0.send(heard).map_err(|_| Gone)
    }
}

/// How much more the reader of a backend may read.
#[derive(Debug)]
struct Credit {
    left: AtomicUsize,
    most: usize,
    reader: OnceLock<Reader>,
}

/// Whoever waits for credit.
#[derive(Debug)]
enum Reader {
    /// A thread that waits for nothing else.
    Parked(Thread),
    /// One that waits for sockets as well.
    Polling(Arc<Wake>),
}

impl Credit {
    fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            left: AtomicUsize::new(most),
            most,
            reader: OnceLock::new(),
        })
    }

    /// Gives some back, from the machine's thread.
    fn give(&self, count: usize) {
        let more = |left: usize| Some(left.saturating_add(count).min(self.most));
        let _ = self.left.fetch_update(SeqCst, SeqCst, more);
        match self.reader.get() {
            Some(Reader::Parked(thread)) => thread.unpark(),
            Some(Reader::Polling(wake)) => wake.wake(),
            None => {}
        }
    }

    /// Waits until there is some; `None` if `give_up`, which is asked now and then, says so.
    fn wait(&self, give_up: &dyn Fn() -> bool) -> Option<usize> {
        self.reader
            .get_or_init(|| Reader::Parked(thread::current()));
        loop {
            match self.left.load(SeqCst) {
                0 if give_up() => return None,
                0 => thread::park_timeout(Duration::from_millis(500)),
                left => return Some(left),
            }
        }
    }

    /// Takes so much, if there is as much.
    fn spend(&self, count: usize) -> bool {
        let less = |left: usize| left.checked_sub(count);
        self.left.fetch_update(SeqCst, SeqCst, less).is_ok()
    }
}

/// That a backend is taken out of its slot while the machine runs.
#[derive(Default)]
struct Over {
    over: AtomicBool,
    /// Wakes its threads, which may wait for a peer.
    wake: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl std::fmt::Debug for Over {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Over({})", self.over.load(SeqCst))
    }
}

impl Over {
    fn say(&self) {
        self.over.store(true, SeqCst);
        if let Some(wake) = self.wake.get() {
            wake();
        }
    }
}

/// The way in from one backend.
#[derive(Debug, Clone)]
pub(super) struct Feed {
    pub(super) post: Post,
    to: To,
    credit: Arc<Credit>,
    /// For one peer at a time: that its end was heard.
    peers: Arc<Credit>,
    over: Arc<Over>,
    /// Where frames are kept as well.
    record: Option<Record>,
}

impl Feed {
    /// Whether it leads to the monitor.
    pub(super) fn commands(&self) -> bool {
        matches!(self.to, To::Monitor(_))
    }

    /// Waits until more may come in, and says how much; `None` if `give_up` says so, or if it is over.
    pub(super) fn allowance(&self, give_up: &dyn Fn() -> bool) -> Option<usize> {
        self.credit.wait(&|| give_up() || self.is_over())
    }

    /// Whether the backend was taken out of its slot.
    pub(super) fn is_over(&self) -> bool {
        self.over.over.load(SeqCst)
    }

    /// Has something be done when it is, so that whoever waits hears of it.
    pub(super) fn when_over(&self, wake: impl Fn() + Send + Sync + 'static) {
        // There is one such place for each.
        let _ = self.over.wake.set(Box::new(wake));
    }

    fn goes_on(&self) -> Result<(), Gone> {
        match self.is_over() {
            true => Err(Gone),
            false => Ok(()),
        }
    }

    /// Somebody is there. For a monitor the last one's end has been heard before.
    pub(super) fn opened(&self) -> Result<(), Gone> {
        self.goes_on()?;
        match self.to {
            To::Slot(_) => Ok(()),
            To::Monitor(number) => self.post.hear(Heard::Monitor(number, Said::Opened)),
        }
    }

    /// Passes on what came. What was not allowed is dropped; the answer says whether it was.
    pub(super) fn text(&self, bytes: &[u8]) -> Result<bool, Gone> {
        self.goes_on()?;
        if !self.credit.spend(bytes.len()) {
            return Ok(false);
        }
        self.post.hear(match self.to {
            To::Slot(slot) => Heard::Event(Event::Input(slot, bytes.to_vec())),
            To::Monitor(number) => Heard::Monitor(number, Said::Text(bytes.to_vec())),
        })?;
        Ok(true)
    }

    /// How much may come in now. `wake` is told when it is more.
    pub(super) fn room(&self, wake: &Arc<Wake>) -> usize {
        self.credit
            .reader
            .get_or_init(|| Reader::Polling(wake.clone()));
        self.credit.left.load(SeqCst)
    }

    /// Has frames kept as well.
    pub(super) fn record(&mut self, record: Record) {
        self.record = Some(record);
    }

    /// Passes on a frame.
    pub(super) fn frame(&self, frame: Vec<u8>) -> Result<(), Gone> {
        self.goes_on()?;
        match self.to {
            To::Slot(slot) if self.credit.spend(1) => {
                if let Some(record) = &self.record {
                    record.keep(&frame);
                }
                self.post.event(Event::Input(slot, frame))
            }
            _ => Ok(()),
        }
    }

    /// A break condition.
    pub(super) fn send_break(&self) -> Result<(), Gone> {
        self.goes_on()?;
        match self.to {
            To::Slot(slot) => self.post.event(Event::Break(slot)),
            To::Monitor(_) => Ok(()),
        }
    }

    /// No more will come, or none from the present peer of a socket.
    pub(super) fn closed(&self) -> Result<(), Gone> {
        self.goes_on()?;
        self.peers.spend(1);
        self.post.hear(match self.to {
            To::Slot(slot) => Heard::Word(Word::InputEnd(slot)),
            To::Monitor(number) => Heard::Monitor(number, Said::Closed),
        })
    }

    /// Waits until the monitor has heard that a peer has gone.
    pub(super) fn heard_closed(&self) {
        self.peers.wait(&|| false);
    }
}

/// Starts a thread of a backend.
pub(super) fn spawn(
    name: &str,
    work: impl FnOnce() + Send + 'static,
) -> Result<Thread, BackendError> {
    // The kernel keeps fifteen bytes of it.
    let thread = thread::Builder::new().name(name.chars().take(15).collect());
    let started = thread.spawn(work);
    started
        .map(|started| started.thread().clone())
        .map_err(|e| BackendError::new(format!("{name}: cannot start a thread: {e}")))
}

/// A backend that something comes from.
#[derive(Debug)]
struct Source {
    to: To,
    credit: Arc<Credit>,
    peers: Arc<Credit>,
    over: Arc<Over>,
    /// What the machine has taken and has not given back yet.
    owed: usize,
}

/// Everything that can happen to a machine from outside, in one queue.
#[derive(Debug)]
pub struct Outside {
    post: Post,
    events: Receiver<Heard>,
    signals: Signals,
    is_ready: bool,
    /// What was already taken from the queue.
    early: VecDeque<Heard>,
    /// Something that ends the run is among it.
    ends: bool,
    sources: Vec<Source>,
    /// Where the monitor answers, by number, and what is there: those that were not taken yet, and how many were.
    monitors: Vec<(Outlet, Face)>,
    taken: usize,
    /// The pseudo-terminal that was made last.
    pty: Option<String>,
    /// Texts that end the run.
    exits: Rc<[ExitOn]>,
    /// One of them did.
    exited: Rc<Cell<bool>>,
    /// The monitor can be reached from the terminal of a console.
    switch: bool,
    interactive: bool,
    /// What comes from a file or pipe has all been there so far whenever the guest could ask for it, and the guest's input is
    /// to depend on nothing else.
    steady: Option<To>,
}

impl Outside {
    /// Starts to listen for the signals that would end the program. Before [`Outside::begin`] one ends it at once; then one asks
    /// the machine to stop, and a second one ends the program where it is.
    ///
    /// # Errors
    /// The host refuses a thread.
    pub fn new() -> std::io::Result<Self> {
        let (sender, events) = channel();
        let post = Post(sender);
        Ok(Self {
            signals: Signals::listen(post.clone())?,
            is_ready: false,
            post,
            events,
            early: VecDeque::new(),
            ends: false,
            sources: Vec::new(),
            monitors: Vec::new(),
            taken: 0,
            pty: None,
            exits: Rc::default(),
            exited: Rc::default(),
            switch: true,
            interactive: false,
            steady: None,
        })
    }

    fn feed(&mut self, to: To, most: usize) -> Feed {
        let (credit, peers) = (Credit::new(most), Credit::new(1));
        let over = Arc::new(Over::default());
        self.sources.push(Source {
            to,
            credit: credit.clone(),
            peers: peers.clone(),
            over: over.clone(),
            owed: 0,
        });
        Feed {
            post: self.post.clone(),
            to,
            credit,
            peers,
            over,
            record: None,
        }
    }

    /// Opens what is plugged into a chardev slot; nothing comes of one with nothing in it.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn plug(
        &mut self,
        slot: usize,
        name: &str,
        backend: &Chardev,
    ) -> Result<Option<Box<dyn Sink>>, BackendError> {
        self.interactive |= backend.is_interactive();
        let terminal = *backend == Chardev::Stdio && backend.is_interactive();
        let monitor = self.next_monitor();
        let monitor = (terminal && self.switch).then(|| self.feed(monitor, COMMANDS));
        let shared = monitor.is_some();
        let most = match backend {
            Chardev::Random => RANDOM,
            _ => CHARACTERS,
        };
        let feed = self.feed(To::Slot(slot), most);
        let outlet = chardev::open(name, backend, feed, monitor, &mut self.pty)?;
        if let Some(outlet) = outlet.clone().filter(|_| shared) {
            self.monitors.push((outlet, Face::Terminal));
        }
        let sink = outlet.map(|outlet| Box::new(outlet) as Box<dyn Sink>);
        if self.exits.is_empty() {
            return Ok(sink);
        }
        Ok(Some(Box::new(Watched {
            name: name.to_owned(),
            texts: self.exits.clone(),
            found: self.exited.clone(),
            post: self.post.clone(),
            last: Vec::new(),
            inner: sink,
        })))
    }

    /// Has these texts end the run when the guest prints one to what is plugged in from now on.
    pub fn exit_on(&mut self, texts: &[ExitOn]) {
        self.exits = texts.into();
    }

    /// Opens a place from which commands come to the monitor.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn monitor(&mut self, backend: &Chardev) -> Result<(), BackendError> {
        let terminal = match backend {
            Chardev::Stdio => backend.is_interactive(),
            backend => *backend == Chardev::Pty,
        };
        self.interactive |= terminal;
        let face = if terminal {
            Face::Terminal
        } else {
            Face::Lines
        };
        self.listen("monitor", backend, face)
    }

    /// Opens a place from which a program gives commands.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn program(&mut self, backend: &Chardev) -> Result<(), BackendError> {
        self.listen("qmp", backend, Face::Messages)
    }

    /// Opens a place from which a debugger comes.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn debugger(&mut self, backend: &Chardev) -> Result<(), BackendError> {
        self.listen("gdb", backend, Face::Debugger)
    }

    fn listen(&mut self, name: &str, backend: &Chardev, face: Face) -> Result<(), BackendError> {
        let number = self.next_monitor();
        let feed = self.feed(number, COMMANDS);
        if let Some(outlet) = chardev::open(name, backend, feed, None, &mut self.pty)? {
            self.monitors.push((outlet, face));
        }
        Ok(())
    }

    /// Leaves a console's terminal to the console.
    pub fn no_switch(&mut self) {
        self.switch = false;
    }

    /// The name of the pseudo-terminal that was made last.
    pub fn pty(&self) -> Option<&str> {
        self.pty.as_deref()
    }

    fn next_monitor(&self) -> To {
        To::Monitor(self.taken + self.monitors.len())
    }

    /// Where the monitor answers, by number, and what is there: those that have come since this was asked.
    pub fn take_monitors(&mut self) -> Vec<(Outlet, Face)> {
        self.taken += self.monitors.len();
        std::mem::take(&mut self.monitors)
    }

    /// What was plugged into a slot before the last is out of it: nothing more comes from there.
    pub fn unplug_older(&mut self, slot: usize) {
        let count = self
            .sources
            .iter()
            .filter(|s| s.to == To::Slot(slot))
            .count();
        self.unplug_first(slot, count.saturating_sub(1));
    }

    /// Nothing is in a slot any more.
    pub fn unplug(&mut self, slot: usize) {
        self.unplug_first(slot, usize::MAX);
    }

    fn unplug_first(&mut self, slot: usize, mut count: usize) {
        self.sources.retain(|source| {
            let goes = source.to == To::Slot(slot) && count > 0;
            if goes {
                count -= 1;
                source.over.say();
            }
            !goes
        });
    }

    /// Opens what is plugged into a netdev slot; nothing comes of one with nothing in it.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn connect(
        &mut self,
        slot: usize,
        name: &str,
        backend: &Netdev,
    ) -> Result<Option<Box<dyn Sink>>, BackendError> {
        let feed = self.feed(To::Slot(slot), FRAMES);
        netdev::open(name, backend, feed)
    }

    /// Opens what is plugged into a block slot, whose device writes to it or only reads; nothing comes of one with nothing in it.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn disk(
        &self,
        slot: usize,
        name: &str,
        backend: &Block,
        read_only: bool,
    ) -> Result<Option<Box<dyn Disk>>, BackendError> {
        block::open(name, backend, read_only, slot, self.post.clone())
    }

    /// Opens what is plugged into a slot for a folder; nothing comes of one with nothing in it.
    ///
    /// # Errors
    /// It is no folder.
    pub fn folder(
        &self,
        slot: usize,
        name: &str,
        backend: &Folder,
    ) -> Result<Option<Box<dyn Disk>>, BackendError> {
        folder::open(name, backend, slot, self.post.clone())
    }

    /// Opens the file that a memory was filled from, which keeps what the guest writes; the memory has this content.
    ///
    /// # Errors
    /// It cannot be written, or has something else.
    pub fn written(
        &self,
        name: &str,
        path: &Path,
        content: &[u8],
    ) -> Result<Box<dyn Sink>, BackendError> {
        written::open(name, path, content)
    }

    /// Takes in what standard input has before the machine starts: all of it, or as much as may wait, if that comes within
    /// `patience`. What comes later comes at an instant of guest time that no two runs share, unless it is there whenever the
    /// guest has taken what was before it.
    pub fn gather(&mut self, from: To) {
        let most = self.sources.iter().find(|source| source.to == from);
        let most = most.map_or(0, |source| source.credit.most);
        self.steady = Some(from);
        self.refill(from, most);
    }

    /// Waits until so much more has come, or all there is.
    fn refill(&mut self, from: To, count: usize) {
        let (start, mut left) = (Instant::now(), count);
        while left > 0 {
            let patience = INPUT_PATIENCE.saturating_sub(start.elapsed());
            let Ok(heard) = self.events.recv_timeout(patience) else {
                tracing::info!("input comes late: it reaches the guest when it does");
                self.steady = None;
                return;
            };
            match (&heard, from) {
                (Heard::Event(Event::Input(slot, bytes)), To::Slot(from)) if *slot == from => {
                    left = left.saturating_sub(bytes.len());
                }
                (Heard::Monitor(number, Said::Text(bytes)), To::Monitor(from))
                    if *number == from =>
                {
                    left = left.saturating_sub(bytes.len());
                }
                (Heard::Word(Word::InputEnd(_)) | Heard::Monitor(_, Said::Closed), _) => {
                    self.steady = None;
                    left = 0;
                }
                (Heard::Word(Word::Quit(_)), _) => left = 0,
                _ => {}
            }
            self.keep(heard);
        }
    }

    /// As much of what came was taken: more may come.
    pub fn taken(&mut self, from: To, count: usize) {
        let Some(source) = self.sources.iter_mut().find(|source| source.to == from) else {
            return;
        };
        source.owed += count;
        // A reader is woken for more than a character or two.
        if source.owed < source.credit.most / 2 {
            return;
        }
        let owed = std::mem::take(&mut source.owed);
        source.credit.give(owed);
        if self.steady == Some(from) {
            self.refill(from, owed);
        }
    }

    /// The monitor has heard that the peer with this number has gone: another may come.
    pub fn next_peer(&self, number: usize) {
        let to = To::Monitor(number);
        if let Some(source) = self.sources.iter().find(|source| source.to == to) {
            source.peers.give(1);
        }
    }

    /// Whether a person may be watching: a terminal, a pseudo-terminal or a socket is plugged in.
    pub fn interactive(&self) -> bool {
        self.interactive
    }

    fn keep(&mut self, heard: Heard) {
        self.ends |= matches!(heard, Heard::Word(Word::Quit(_)));
        self.early.push_back(heard);
    }

    /// Whether something has come that ends the run. It comes again.
    pub fn ends(&mut self) -> bool {
        while let Ok(heard) = self.events.try_recv() {
            self.keep(heard);
        }
        self.ends
    }

    /// Wakes whoever waits here, from any thread.
    pub fn waker(&self) -> impl Fn() + Send + use<> {
        let post = self.post.clone();
        move || drop(post.word(Word::Room))
    }

    /// What has come, without waiting.
    pub fn poll(&mut self) -> Option<Heard> {
        self.early
            .pop_front()
            .or_else(|| self.events.try_recv().ok())
    }

    /// What comes within this time; `None` for the time means for ever.
    pub fn wait(&mut self, time: Option<Duration>) -> Option<Heard> {
        if let Some(heard) = self.early.pop_front() {
            return Some(heard);
        }
        match time {
            Some(time) => self.events.recv_timeout(time).ok(),
            None => self.events.recv().ok(),
        }
    }

    /// Waits until signals are listened for, before anything is plugged in.
    ///
    /// # Errors
    /// The host refuses a signal handler.
    pub fn ready(&mut self) -> std::io::Result<()> {
        // They are listened for once.
        match std::mem::replace(&mut self.is_ready, true) {
            true => Ok(()),
            false => self.signals.ready(),
        }
    }

    /// There is a machine that a signal can ask to stop.
    pub fn begin(&self) {
        self.signals.begin();
    }
}

/// How long a deterministic run waits for input that it was started with.
const INPUT_PATIENCE: Duration = Duration::from_millis(200);

impl Drop for Outside {
    fn drop(&mut self) {
        terminal::restore();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How much of slot 1 has come, and whether its end has.
    fn come(outside: &mut Outside) -> (usize, bool) {
        let (mut length, mut ended) = (0, false);
        while let Some(heard) = outside.poll() {
            match heard {
                Heard::Event(Event::Input(1, bytes)) => length += bytes.len(),
                Heard::Word(Word::InputEnd(1)) => ended = true,
                other => panic!("{other:?}"),
            }
        }
        (length, ended)
    }

    /// Reads from a source with this much, as far as it may.
    fn read(feed: Feed, mut length: usize) {
        thread::spawn(move || {
            while length > 0 {
                let most = feed.allowance(&|| false).expect("nobody gives up");
                let some = most.min(length).min(1000);
                // As slow as a busy host is.
                if length.is_multiple_of(7) {
                    thread::sleep(Duration::from_millis(1));
                }
                assert!(feed.text(&vec![b'x'; some]).expect("it is heard"));
                length -= some;
            }
            feed.closed().expect("it is heard");
        });
    }

    #[test]
    fn what_comes_is_bounded_and_there_when_the_guest_can_ask_for_it() {
        let mut outside = Outside::new().unwrap();
        let feed = outside.feed(To::Slot(1), 64_000);
        read(feed.clone(), 200_000);
        outside.gather(To::Slot(1));
        assert_eq!(come(&mut outside), (64_000, false));
        // A reader is not woken for a few.
        outside.taken(To::Slot(1), 31_999);
        thread::sleep(Duration::from_millis(20));
        assert_eq!(come(&mut outside), (0, false));
        assert!(!feed.text(b"x").unwrap(), "there is no credit");
        outside.taken(To::Slot(1), 1);
        assert_eq!(come(&mut outside), (32_000, false));
        for _ in 0..3 {
            outside.taken(To::Slot(1), 32_000);
            assert_eq!(come(&mut outside), (32_000, false));
        }
        outside.taken(To::Slot(1), 64_000);
        assert_eq!(come(&mut outside), (8_000, true));
    }

    #[test]
    fn credit_grows_to_its_bound_alone() {
        let credit = Credit::new(10);
        assert!(!credit.spend(11) && credit.spend(10) && !credit.spend(1));
        credit.give(4);
        credit.give(100);
        assert_eq!(credit.wait(&|| false), Some(10));
        assert!(credit.spend(10));
        assert_eq!(credit.wait(&|| true), None);
    }
}

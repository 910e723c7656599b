//! The outside of a machine: everything that comes to it, in one queue, and signals.

use std::collections::VecDeque;
use std::fmt;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;

use super::{BackendError, Chardev, Netdev, chardev, netdev, terminal};
use crate::machine::{Event, Sink};

/// Something that came from outside.
pub enum Heard {
    /// For the machine.
    Event(Event),
    /// For the monitor, from the one with this number.
    Monitor(usize, Said),
}

/// What somebody says to the monitor.
pub enum Said {
    /// Here I am, to be answered there from now on if not where the monitor was opened.
    Opened(Option<Box<dyn Sink + Send>>),
    /// What was typed.
    Text(Vec<u8>),
    /// There is nobody any more.
    Closed,
}

/// Who gets what comes in from a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum To {
    /// A slot of the board.
    Slot(usize),
    /// The monitor, from the one with this number.
    Monitor(usize),
}

/// Puts what comes from outside into the queue.
#[derive(Debug, Clone)]
pub(super) struct Feed(pub(super) Sender<Heard>);

/// The machine is no more.
#[derive(Debug)]
pub(super) struct Gone;

impl Feed {
    pub(super) fn send(&self, event: Event) -> Result<(), Gone> {
        self.hear(Heard::Event(event))
    }

    pub(super) fn hear(&self, heard: Heard) -> Result<(), Gone> {
        self.0.send(heard).map_err(|_| Gone)
    }

    pub(super) fn opened(&self, to: To, answer: Option<Box<dyn Sink + Send>>) -> Result<(), Gone> {
        match to {
            To::Slot(_) => Ok(()),
            To::Monitor(number) => self.hear(Heard::Monitor(number, Said::Opened(answer))),
        }
    }

    pub(super) fn text(&self, to: To, bytes: &[u8]) -> Result<(), Gone> {
        self.hear(match to {
            To::Slot(slot) => Heard::Event(Event::Input(slot, bytes.to_vec())),
            To::Monitor(number) => Heard::Monitor(number, Said::Text(bytes.to_vec())),
        })
    }

    /// No more will come, or none from the present peer of a socket.
    pub(super) fn closed(&self, to: To) -> Result<(), Gone> {
        self.hear(match to {
            To::Slot(slot) => Heard::Event(Event::InputEnd(slot)),
            To::Monitor(number) => Heard::Monitor(number, Said::Closed),
        })
    }
}

/// Everything that can happen to a machine from outside, in one queue.
pub struct Outside {
    feed: Feed,
    events: Receiver<Heard>,
    /// What was already taken from the queue.
    early: VecDeque<Heard>,
    /// Where the monitor answers, by number, and whether a terminal is there.
    monitors: Vec<(Box<dyn Sink>, bool)>,
    /// The monitor can be reached from the terminal of a console.
    switch: bool,
    interactive: bool,
}

impl fmt::Debug for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Outside({} monitors)", self.monitors.len())
    }
}

impl Outside {
    /// Starts to listen for the signals that end the program. One asks the machine to stop; a second one ends the
    /// program where it is.
    ///
    /// # Errors
    /// The host refuses a signal handler.
    pub fn new() -> std::io::Result<Self> {
        let (sender, events) = channel();
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGCONT])?;
        let feed = Feed(sender);
        let quit = feed.clone();
        std::thread::spawn(move || {
            let mut asked = false;
            for signal in signals.forever() {
                if signal == SIGCONT {
                    terminal::resume();
                    continue;
                }
                let status = 128 + signal as u8;
                if asked || quit.send(Event::Quit(status)).is_err() {
                    terminal::restore();
                    std::process::exit(i32::from(status));
                }
                asked = true;
            }
        });
        Ok(Self {
            feed,
            events,
            early: VecDeque::new(),
            monitors: Vec::new(),
            switch: true,
            interactive: false,
        })
    }

    /// Opens what is plugged into a chardev slot.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn plug(
        &mut self,
        slot: usize,
        name: &str,
        backend: &Chardev,
    ) -> Result<Box<dyn Sink>, BackendError> {
        self.interactive |= backend.is_interactive();
        let terminal = *backend == Chardev::Stdio && backend.is_interactive();
        let monitor = (terminal && self.switch).then_some(self.monitors.len());
        if monitor.is_some() {
            self.monitors.push((chardev::stdout(&self.feed), true));
        }
        chardev::open(To::Slot(slot), monitor, name, backend, &self.feed)
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
        let to = To::Monitor(self.monitors.len());
        let sink = chardev::open(to, None, "monitor", backend, &self.feed)?;
        self.monitors.push((sink, terminal));
        Ok(())
    }

    /// Leaves a console's terminal to the console.
    pub fn no_switch(&mut self) {
        self.switch = false;
    }

    /// Where the monitor answers, by number, and whether a terminal is there.
    pub fn take_monitors(&mut self) -> Vec<(Box<dyn Sink>, bool)> {
        std::mem::take(&mut self.monitors)
    }

    /// Opens what is plugged into a netdev slot.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn connect(
        &mut self,
        slot: usize,
        name: &str,
        backend: &Netdev,
    ) -> Result<Box<dyn Sink>, BackendError> {
        netdev::open(slot, name, backend, &self.feed)
    }

    /// Takes in all of standard input before the machine starts, if it ends within `patience`: what comes later comes
    /// at an instant of guest time that no two runs share.
    pub fn gather(&mut self, patience: Duration) {
        let start = Instant::now();
        while let Some(left) = patience.checked_sub(start.elapsed()) {
            let Ok(event) = self.events.recv_timeout(left) else {
                return;
            };
            let ended = matches!(
                event,
                Heard::Event(Event::InputEnd(_) | Event::Quit(_)) | Heard::Monitor(_, Said::Closed)
            );
            self.early.push_back(event);
            if ended {
                return;
            }
        }
    }

    /// Whether a person may be watching: a terminal, a pseudo-terminal or a socket is plugged in.
    pub fn interactive(&self) -> bool {
        self.interactive
    }

    /// What has come, without waiting.
    pub fn poll(&mut self) -> Option<Heard> {
        self.early
            .pop_front()
            .or_else(|| self.events.try_recv().ok())
    }

    /// What comes within this time; `None` for the time means for ever.
    pub fn wait(&mut self, time: Option<Duration>) -> Option<Heard> {
        match time {
            Some(time) => self.events.recv_timeout(time).ok(),
            None => self.events.recv().ok(),
        }
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        terminal::restore();
    }
}

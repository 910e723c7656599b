//! The outside of a machine: the terminal, files and sockets behind its slots, signals.

mod chardev;
mod images;
mod netdev;
mod terminal;

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;

pub use chardev::{Backend, BackendError};
pub use images::rom;
pub use netdev::NetBackend;

use crate::machine::{Event, Host, Sink};

/// Everything that can happen to a machine from outside, in one queue.
#[derive(Debug)]
pub struct Outside {
    sender: Sender<Event>,
    events: Receiver<Event>,
    /// Events already taken from the queue.
    early: VecDeque<Event>,
    interactive: bool,
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
        let quit = sender.clone();
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
            sender,
            events,
            early: VecDeque::new(),
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
        backend: &Backend,
    ) -> Result<Box<dyn Sink>, BackendError> {
        self.interactive |= backend.is_interactive();
        chardev::open(slot, name, backend, &self.sender)
    }

    /// Opens what is plugged into a netdev slot.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn connect(
        &mut self,
        slot: usize,
        name: &str,
        backend: &NetBackend,
    ) -> Result<Box<dyn Sink>, BackendError> {
        netdev::open(slot, name, backend, &self.sender)
    }

    /// Takes in all of standard input before the machine starts, if it ends within `patience`: what comes later comes
    /// at an instant of guest time that no two runs share.
    pub fn gather(&mut self, patience: Duration) {
        let start = Instant::now();
        while let Some(left) = patience.checked_sub(start.elapsed()) {
            let Ok(event) = self.events.recv_timeout(left) else {
                return;
            };
            let ended = matches!(event, Event::InputEnd(_) | Event::Quit(_));
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
}

impl Drop for Outside {
    fn drop(&mut self) {
        terminal::restore();
    }
}

impl Host for Outside {
    fn poll(&mut self) -> Option<Event> {
        self.early
            .pop_front()
            .or_else(|| self.events.try_recv().ok())
    }

    fn wait(&mut self, time: Option<Duration>) -> Option<Event> {
        match time {
            Some(time) => self.events.recv_timeout(time).ok(),
            None => self.events.recv().ok(),
        }
    }
}

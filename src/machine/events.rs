//! What comes to a machine from outside.

use std::fmt;

use solderless_model::{JobId, Outcome, Pin};

/// Something from outside that a guest can see. It comes through the door, at a moment of the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Characters, or one frame of a network, for a board slot.
    Input(usize, Vec<u8>),
    /// A break condition for a board slot.
    Break(usize),
    /// From now on CPUs execute so many instructions in 64 cycles of their clocks: 64 or more.
    Pace(u32),
    /// The board's reset button is pressed.
    Reset,
    /// A button is pressed and let go: an input of a device, by its place among the board's, is high for an instant.
    Button(usize, Pin),
    /// A key of a keyboard, a device by its place among the board's, is pressed or let go: its scan code of set 1, with 0xe000 added if 0xe0
    /// stands before it.
    Key {
        /// The device.
        device: usize,
        /// The key.
        code: u16,
        /// It is pressed.
        down: bool,
    },
    /// A monitor reads from the bus, by physical address, where there is no memory: a device may act on it.
    Read {
        /// The address.
        at: u64,
        /// 1, 2, 4 or 8 bytes.
        size: u8,
    },
}

/// A job that a disk has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobDone {
    /// The board slot.
    pub slot: usize,
    /// What the job was started with: that of another machine, or from before a reset, is nobody's.
    pub ticket: u64,
    /// The job.
    pub id: JobId,
    /// What became of it.
    pub outcome: Outcome,
}

/// What the host has to say to a machine's run. No guest can see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// No more characters will come for a board slot.
    InputEnd(usize),
    /// Have the machine stand still; it goes on when it is run again.
    Pause,
    /// A sink that was full may have room again.
    Room,
    /// End the program with this status.
    Quit(u8),
}

/// What comes to a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// For the guest.
    Event(Event),
    /// A disk has done a job. Where guest time alone says when the guest hears of that, as in a run with a log, it only has to
    /// have come by then.
    Done(JobDone),
    /// For whoever runs it.
    Word(Word),
}

impl From<Event> for Message {
    fn from(event: Event) -> Self {
        Self::Event(event)
    }
}

impl From<Word> for Message {
    fn from(word: Word) -> Self {
        Self::Word(word)
    }
}

/// A place in a run. Between two events a machine does what follows from its state alone, so it is in one state at each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Guest time in nanoseconds since power-on.
    pub ns: u64,
    /// Instructions that all CPUs have executed since power-on. Several can be executed in a nanosecond, and time passes without
    /// any.
    pub instructions: u64,
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.ns, self.instructions)
    }
}

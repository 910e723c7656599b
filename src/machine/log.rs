//! The log of what comes to a machine: a text with a line for each thing and its moment. It is written while a machine runs, and read
//! to have another do the same.
//!
//! Its first line names the format, the second the run. Every further one begins with a [moment](Moment): guest time in
//! nanoseconds, and the instructions executed until then. `docs/running.md` has the table of what comes behind that.

use std::fmt;
use std::io::{self, BufRead, Read, Seek, SeekFrom, Write};

use solderless_model::{END_OF_TIME, Pin, SlotKind};

use super::door::PACE;
use super::events::{Event, Moment};
use super::run::{End, FASTEST};
use crate::plan::Plan;

/// The first line of a log, without the version.
const FORMAT: &str = "solderless events";
/// The version of the format.
const VERSION: &str = "1";
/// Stands for the hash of a state that nobody knows.
pub(super) const NO_HASH: u128 = 0;
/// The longest line, in bytes.
const LONGEST: u64 = 16 << 20;

/// What a run is beside its machine and what comes to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The board's name.
    pub board: String,
    /// Guest time depends on instructions alone, and what does not come from outside is fixed.
    pub deterministic: bool,
    /// The length of a turn in nanoseconds.
    pub quantum: u64,
}

/// What a log has a line for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    /// The calendar at power-on, in seconds since 1970.
    Calendar(i64),
    /// What the kernel's random numbers start from, drawn at a reset.
    Seed(String),
    /// The log begins, with a machine whose state has this hash.
    Start(u128),
    /// Something comes.
    Event(Event),
    /// The run ends, with this hash.
    End(End, u128),
}

/// A log is wrong, or is of another run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct LogError {
    /// The line, from 1.
    pub line: usize,
    /// What is the matter.
    pub what: String,
}

/// The board's slots as lines name them, and its devices with how many inputs they have.
#[derive(Debug, Clone)]
struct Slots(Vec<(String, SlotKind)>, Vec<(String, u16)>);

impl Slots {
    fn of(plan: &Plan) -> Self {
        let slots = plan.slots.iter();
        let devices = plan.devices.iter().map(|device| {
            let inputs = device.interface.inputs.iter().map(|pins| pins.count);
            (device.path.clone(), inputs.sum())
        });
        Self(
            slots.map(|s| (s.name.clone(), s.kind)).collect(),
            devices.collect(),
        )
    }

    fn name(&self, slot: usize) -> &str {
        self.0.get(slot).map_or("", |(name, _)| name)
    }

    /// The slot with a name, if it is of one of these kinds.
    fn find(&self, name: &str, network: bool) -> Result<usize, String> {
        let fits = |kind: SlotKind| match network {
            true => kind == SlotKind::Netdev,
            false => kind == SlotKind::Chardev,
        };
        let slots = self.0.iter();
        let mut fitting = slots.enumerate().filter(|(_, (_, kind))| fits(*kind));
        if let Some((slot, _)) = fitting.clone().find(|(_, (slot, _))| slot == name) {
            return Ok(slot);
        }
        let what = match network {
            true => "a network",
            false => "characters",
        };
        let names: Vec<_> = fitting
            .by_ref()
            .map(|(_, (name, _))| name.as_str())
            .collect();
        Err(match names[..] {
            [] => format!("the board has no slot for {what}"),
            _ => format!(
                "'{name}' is no slot for {what}; the board has {}",
                names.join(", ")
            ),
        })
    }
}

/// Where a machine's log is written.
pub struct Journal {
    /// Nothing once it has failed.
    to: Option<Box<dyn Write>>,
    slots: Slots,
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Journal")
    }
}

impl Journal {
    /// Begins a log.
    ///
    /// # Errors
    /// Those of the host.
    pub fn new(mut to: Box<dyn Write>, header: &Header, plan: &Plan) -> io::Result<Self> {
        let time = match header.deterministic {
            true => "deterministic",
            false => "host",
        };
        let head = format!(
            "{FORMAT} {VERSION}\nboard \"{}\" time {time} quantum {}\n",
            header.board.as_bytes().escape_ascii(),
            header.quantum
        );
        to.write_all(head.as_bytes())?;
        Ok(Self {
            to: Some(to),
            slots: Slots::of(plan),
        })
    }

    /// Writes a line: all of it at once, so that a program that is killed leaves whole lines.
    pub(super) fn note(&mut self, at: Moment, entry: &Entry) {
        let Some(to) = &mut self.to else { return };
        let line = format!("{at} {}\n", Line(entry, &self.slots));
        if let Err(error) = to.write_all(line.as_bytes()) {
            tracing::warn!("the log of events cannot be written, and ends here: {error}");
            self.to = None;
        }
    }
}

/// An entry as a line has it behind its moment.
struct Line<'a>(&'a Entry, &'a Slots);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(entry, slots) = self;
        match entry {
            Entry::Calendar(seconds) => write!(f, "calendar {seconds}"),
            Entry::Seed(seed) => write!(f, "seed \"{}\"", seed.as_bytes().escape_ascii()),
            Entry::Start(hash) => write!(f, "start {hash:032x}"),
            Entry::Event(Event::Input(slot, bytes)) => match slots.0.get(*slot) {
                Some((name, SlotKind::Netdev)) => {
                    write!(f, "frame {name} ")?;
                    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
                }
                _ => write!(
                    f,
                    "input {} \"{}\"",
                    slots.name(*slot),
                    bytes.escape_ascii()
                ),
            },
            Entry::Event(Event::Break(slot)) => write!(f, "break {}", slots.name(*slot)),
            Entry::Event(Event::Pace(pace)) => write!(f, "pace {pace}"),
            Entry::Event(Event::Reset) => f.write_str("reset"),
            Entry::Event(Event::Button(device, pin)) => {
                let path = slots.1.get(*device).map_or("", |(path, _)| path);
                write!(f, "button {path} {}", pin.0)
            }
            Entry::Event(Event::Key { device, code, down }) => {
                let path = slots.1.get(*device).map_or("", |(path, _)| path);
                let way = if *down { "down" } else { "up" };
                write!(f, "key {path} {code:#x} {way}")
            }
            Entry::Event(Event::Read { at, size }) => write!(f, "read {at:#x} {size}"),
            Entry::End(end, hash) => {
                let how = match end {
                    End::PowerOff => "power-off".to_owned(),
                    End::Reset => "reset".to_owned(),
                    End::TimeUp => "time-up".to_owned(),
                    End::Exit(status) => format!("exit-status {status}"),
                    End::Quit(status) => format!("quit {status}"),
                    End::Paused | End::DiskError | End::Stopped(..) | End::Astray => {
                        "quit 0".to_owned()
                    }
                };
                write!(f, "end {hash:032x} {how}")
            }
        }
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|_| format!("'{text}' is no number that can stand here"))
}

/// What stands between quotes, without its escapes.
fn unquoted(text: &str) -> Result<Vec<u8>, String> {
    let inner = text.strip_prefix('"').and_then(|t| t.strip_suffix('"'));
    let inner = inner.ok_or("a text between quotes is expected here")?;
    let mut bytes = Vec::new();
    let mut rest = inner.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'"' {
            return Err("a quote within a text is written \\\"".to_owned());
        }
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        let code = rest.next();
        bytes.push(match code {
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(plain @ (b'\\' | b'"' | b'\'')) => plain,
            Some(b'x') => {
                let digits = [rest.next(), rest.next()].map(|digit| digit.unwrap_or(b' '));
                hex(&digits).ok_or("behind \\x two hexadecimal digits are expected")?
            }
            _ => {
                return Err(
                    "this escape is none: they are \\n \\r \\t \\\\ \\\" \\' \\xNN".to_owned(),
                );
            }
        });
    }
    Ok(bytes)
}

/// A byte of two hexadecimal digits.
fn hex(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    match digits {
        [high, low] => Some((digit(*high)? << 4 | digit(*low)?) as u8),
        _ => None,
    }
}

fn hash(text: &str) -> Result<u128, String> {
    let hash = u128::from_str_radix(text, 16)
        .ok()
        .filter(|_| text.len() == 32);
    hash.ok_or_else(|| format!("'{text}' is no hash of a state, which has 32 hexadecimal digits"))
}

impl Entry {
    fn parse(text: &str, slots: &Slots) -> Result<(Moment, Self), String> {
        let mut words = text.splitn(4, ' ');
        let mut next = || words.next().unwrap_or_default();
        let at = Moment {
            ns: number(next())?,
            instructions: number(next())?,
        };
        if at.ns > END_OF_TIME + END_OF_TIME / 2 {
            return Err(format!("guest time ends before {} ns", at.ns));
        }
        let (what, rest) = (next(), next());
        let args: Vec<_> = rest.splitn(2, ' ').collect();
        let entry = match (what, &args[..]) {
            ("calendar", [seconds]) => Self::Calendar(number(seconds)?),
            ("seed", [seed]) => {
                let seed = String::from_utf8(unquoted(seed)?);
                Self::Seed(seed.map_err(|_| "a seed is a text")?)
            }
            ("start", [state]) => Self::Start(hash(state)?),
            ("input", [slot, text]) => {
                Self::Event(Event::Input(slots.find(slot, false)?, unquoted(text)?))
            }
            ("frame", [slot, digits]) => {
                let bytes = digits.as_bytes().chunks(2).map(hex);
                let bytes: Option<Vec<_>> = bytes.collect();
                let bytes = bytes.ok_or("a frame is written with two hexadecimal digits a byte")?;
                Self::Event(Event::Input(slots.find(slot, true)?, bytes))
            }
            ("break", [slot]) => Self::Event(Event::Break(slots.find(slot, false)?)),
            ("pace", [pace]) => {
                let pace = number(pace)?;
                if !(PACE..=FASTEST * PACE).contains(&pace) {
                    return Err(format!("a pace is {PACE} to {}", FASTEST * PACE));
                }
                Self::Event(Event::Pace(pace))
            }
            ("reset", [""]) => Self::Event(Event::Reset),
            ("button", [path, pin]) => {
                let device = slots.1.iter().position(|(device, _)| device == path);
                let device = device.ok_or_else(|| format!("the board has no device {path}"))?;
                let pin: u16 = number(pin)?;
                if pin >= slots.1[device].1 {
                    return Err(format!("{path} has no input {pin}"));
                }
                Self::Event(Event::Button(device, Pin(pin)))
            }
            ("key", [path, rest]) => {
                let device = slots.1.iter().position(|(device, _)| device == path);
                let device = device.ok_or_else(|| format!("the board has no device {path}"))?;
                let parts = rest
                    .strip_prefix("0x")
                    .and_then(|rest| rest.split_once(' '));
                let (digits, way) = parts.ok_or("a key has a scan code, and goes up or down")?;
                let code = u16::from_str_radix(digits, 16);
                let code = code.map_err(|_| "a scan code has four hexadecimal digits at most")?;
                let down = match way {
                    "down" => true,
                    "up" => false,
                    _ => return Err("a key goes up or down".to_owned()),
                };
                Self::Event(Event::Key { device, code, down })
            }
            ("read", [at, size]) => {
                let digits = at.strip_prefix("0x").unwrap_or_default();
                let at = u64::from_str_radix(digits, 16);
                let at = at.map_err(|_| "an address begins with 0x")?;
                let size: u8 = number(size)?;
                if ![1, 2, 4, 8].contains(&size) {
                    return Err(format!("a read has 1, 2, 4 or 8 bytes, not {size}"));
                }
                Self::Event(Event::Read { at, size })
            }
            ("end", [state, how]) => {
                let end = match *how {
                    "power-off" => End::PowerOff,
                    "reset" => End::Reset,
                    "time-up" => End::TimeUp,
                    how => match how.split_once(' ') {
                        Some(("exit-status", status)) => End::Exit(number(status)?),
                        Some(("quit", status)) => End::Quit(number(status)?),
                        _ => return Err(format!("'{how}' is no end of a run")),
                    },
                };
                Self::End(end, hash(state)?)
            }
            _ => {
                return Err(format!(
                    "'{what}' with these arguments is nothing that a log has"
                ));
            }
        };
        Ok((at, entry))
    }
}

/// What a log can be read from.
pub trait Source: BufRead + Seek {}
impl<T: BufRead + Seek> Source for T {}

/// The lines of a log, one after the other.
struct Lines {
    from: Box<dyn Source>,
    /// The number of the line that was read last.
    number: usize,
}

impl Lines {
    fn error(&self, what: impl Into<String>) -> LogError {
        LogError {
            line: self.number,
            what: what.into(),
        }
    }

    /// The next line, if there is one.
    fn next(&mut self) -> Result<Option<String>, LogError> {
        self.number += 1;
        let mut line = Vec::new();
        let read = (&mut self.from).take(LONGEST).read_until(b'\n', &mut line);
        read.map_err(|e| self.error(format!("it cannot be read: {e}")))?;
        if line.is_empty() {
            return Ok(None);
        }
        if line.pop() != Some(b'\n') {
            return Err(self.error("it is cut off, or too long for a line of a log"));
        }
        let line = String::from_utf8(line);
        line.map(Some)
            .map_err(|_| self.error("it is no text, as the lines of a log are"))
    }
}

/// A log that is read to repeat a run.
pub struct Script {
    lines: Lines,
    slots: Slots,
    header: Header,
    /// What comes next.
    head: Option<(Moment, Entry)>,
    /// The line that an error is about: of what came last, or of what should have come.
    line: usize,
    /// Why the run that it is of cannot be repeated.
    trouble: Option<LogError>,
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Script(line {})", self.lines.number)
    }
}

impl Script {
    /// Reads a log from its beginning to its end, and then again as its run is repeated.
    ///
    /// # Errors
    /// It is none, or not of this board, or not whole.
    pub fn open(from: Box<dyn Source>, plan: &Plan) -> Result<Self, LogError> {
        let mut lines = Lines { from, number: 0 };
        let first = lines.next();
        let first = first.ok().flatten().unwrap_or_default();
        match first.strip_prefix(FORMAT).map(str::trim) {
            Some(VERSION) => {}
            Some(version) => {
                return Err(lines.error(format!(
                    "the log has version {}, this program reads {VERSION}",
                    version.escape_debug()
                )));
            }
            None => {
                return Err(lines.error(format!(
                    "this is no log of events, which begins with '{FORMAT} {VERSION}'"
                )));
            }
        }
        let second = lines.next()?.unwrap_or_default();
        let header = header(&second).map_err(|what| lines.error(what))?;
        if header.board != plan.name {
            return Err(lines.error(format!(
                "the log is of the board {}, this is {}",
                header.board.escape_debug(),
                plan.name
            )));
        }
        let mut script = Self {
            lines,
            slots: Slots::of(plan),
            header,
            head: None,
            line: 1,
            trouble: None,
        };
        let place = script.lines.from.stream_position();
        let place = place.map_err(|e| script.lines.error(format!("it cannot be read: {e}")))?;
        script.check()?;
        let again = script.lines.from.seek(SeekFrom::Start(place));
        again.map_err(|e| script.lines.error(format!("it cannot be read again: {e}")))?;
        script.lines.number = 2;
        script.head = script.read()?;
        Ok(script)
    }

    /// What the run is.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Whether the log begins where the machine is switched on.
    pub fn begins_at_power_on(&self) -> bool {
        matches!(self.head, Some((_, Entry::Calendar(_))))
    }

    fn read(&mut self) -> Result<Option<(Moment, Entry)>, LogError> {
        let Some(line) = self.lines.next()? else {
            return Ok(None);
        };
        let entry = Entry::parse(&line, &self.slots);
        entry.map(Some).map_err(|what| self.lines.error(what))
    }

    /// Reads to the end.
    fn check(&mut self) -> Result<(), LogError> {
        let (mut last, mut started, mut ended) = (Moment::default(), false, false);
        while let Some((at, entry)) = self.read()? {
            if ended {
                return Err(self.lines.error("it comes behind the end of the run"));
            }
            if at.ns < last.ns || at.instructions < last.instructions {
                return Err(self.lines.error(format!(
                    "its moment, {at}, lies before that of the line before, {last}"
                )));
            }
            last = at;
            match entry {
                Entry::Start(_) if !std::mem::replace(&mut started, true) => {}
                Entry::Calendar(_) | Entry::Seed(_) if !started => {}
                Entry::Start(_) | Entry::Calendar(_) => {
                    return Err(self.lines.error("the run has begun already"));
                }
                Entry::Event(_) | Entry::End(..) if !started => {
                    return Err(self
                        .lines
                        .error("the run has not begun yet: 'start' is missing"));
                }
                Entry::End(..) => ended = true,
                Entry::Event(_) | Entry::Seed(_) => {}
            }
        }
        match ended {
            true => Ok(()),
            false => Err(self.lines.error(format!(
                "the log is cut off: its last line would be an 'end'. To repeat what there is of it, write '{last} end {NO_HASH:032x} quit 0' here"
            ))),
        }
    }

    /// When something comes next.
    pub(super) fn next_at(&self) -> Option<Moment> {
        self.head.as_ref().map(|(at, _)| *at)
    }

    /// What comes at this moment, if it is one for which this holds.
    pub(super) fn take(
        &mut self,
        now: Moment,
        wanted: impl FnOnce(&Entry) -> bool,
    ) -> Option<Entry> {
        let (at, entry) = self.head.as_ref()?;
        if *at != now {
            if at.ns < now.ns || at.instructions < now.instructions {
                let at = *at;
                self.line = self.lines.number;
                self.astray(format!(
                    "the run is at {now}, and was not at {at} on its way"
                ));
            }
            return None;
        }
        if !wanted(entry) {
            return None;
        }
        let (_, entry) = self.head.take()?;
        self.line = self.lines.number;
        match self.read() {
            Ok(head) => self.head = head,
            Err(error) => self.trouble = Some(error),
        }
        Some(entry)
    }

    /// How the run ends, if that is now.
    pub(super) fn end(&self, now: Moment) -> Option<End> {
        match self.head {
            Some((at, Entry::End(end, _))) if at == now => Some(end),
            _ => None,
        }
    }

    /// Something is wrong with the line that comes next.
    pub(super) fn error(&self, what: impl Into<String>) -> LogError {
        LogError {
            line: self.line,
            what: what.into(),
        }
    }

    /// The run is not the one that the log is of.
    pub(super) fn astray(&mut self, what: String) {
        let error = self.error(format!(
            "{what}: this is another run than the one that was logged"
        ));
        self.trouble.get_or_insert(error);
    }

    /// Why the run cannot be repeated.
    pub(super) fn trouble(&self) -> Option<&LogError> {
        self.trouble.as_ref()
    }
}

fn header(line: &str) -> Result<Header, String> {
    let wrong = || {
        "a line 'board \"NAME\" time host|deterministic quantum NANOSECONDS' is expected here"
            .to_owned()
    };
    let rest = line.strip_prefix("board ").ok_or_else(wrong)?;
    let (name, rest) = rest.rsplit_once(" time ").ok_or_else(wrong)?;
    let name = String::from_utf8(unquoted(name)?).map_err(|_| wrong())?;
    let (time, quantum) = rest.split_once(" quantum ").ok_or_else(wrong)?;
    Ok(Header {
        board: name,
        deterministic: match time {
            "deterministic" => true,
            "host" => false,
            _ => return Err(wrong()),
        },
        quantum: number(quantum)?,
    })
}

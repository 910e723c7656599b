//! Those who talk to the monitor: the terminal, with a line to edit, and streams, with plain lines.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use super::commands;
use super::editor::Editor;
use crate::backend::{Face, Heard, Outlet, Outside, PATIENCE, Said, To};
use crate::machine::{Backlog, End, Host, Machine, Message, Sink, Word};
use crate::visible::visible;

/// What stands before a line.
const PROMPT: &str = "(solderless) ";

/// The longest line of a stream. What is longer is cut off.
const LONGEST: usize = 1 << 14;
/// Bytes that a terminal's editor is given at once: each may have the whole line drawn anew.
const TYPED: usize = 64;

/// The outside of a machine with the monitor's part of it taken out.
#[derive(Debug)]
pub struct Sessions {
    outside: Outside,
    /// By the number under which [`Outside`] hears them.
    sessions: Vec<Session>,
    commands: VecDeque<(usize, String)>,
    /// What the debugger has said and was not looked at yet.
    packets: VecDeque<Said>,
    /// The debugger's number.
    debugger: Option<usize>,
    /// When the time allowed is over.
    until: Option<Instant>,
}

struct Session {
    outlet: Outlet,
    /// What of an answer there was no room for. Until it is out, nothing more that this one says is looked at.
    answer: VecDeque<u8>,
    /// What was said and not looked at yet.
    said: VecDeque<Said>,
    /// A command was given and is not answered yet.
    asked: bool,
    input: Input,
    greeted: bool,
}

enum Input {
    Terminal(Editor),
    /// What has come of a line, and whether the last one ended with a carriage return.
    Lines(Vec<u8>, bool),
    /// The debugger's packets, which are looked at elsewhere.
    Packets,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.input {
            Input::Terminal(_) => "terminal",
            Input::Lines(..) => "lines",
            Input::Packets => "packets",
        })
    }
}

impl Sessions {
    /// Takes over the outside. Each monitor has the number of its place, and says what talks to it.
    pub fn new(outside: Outside, monitors: Vec<(Outlet, Face)>) -> Self {
        let debugger = monitors
            .iter()
            .position(|(_, face)| *face == Face::Debugger);
        let session = |(outlet, face)| Session {
            outlet,
            answer: VecDeque::new(),
            said: VecDeque::new(),
            asked: false,
            input: match face {
                Face::Terminal => Input::Terminal(Editor::new(PROMPT)),
                Face::Lines => Input::Lines(Vec::new(), false),
                Face::Debugger => Input::Packets,
            },
            greeted: false,
        };
        Self {
            outside,
            sessions: monitors.into_iter().map(session).collect(),
            commands: VecDeque::new(),
            packets: VecDeque::new(),
            debugger,
            until: None,
        }
    }

    /// The time allowed is over then.
    pub fn allow(&mut self, until: Option<Instant>) {
        self.until = until;
    }

    /// Whether the run may go on, for those who wait for something else. What ends it is heard again.
    ///
    /// # Errors
    /// It is to end: by a signal, by the escape key, or because the time allowed is over.
    pub fn goes_on(&mut self) -> io::Result<()> {
        let over = self.until.is_some_and(|until| until <= Instant::now());
        let reason = match self.outside.ends() {
            true => "a signal or Ctrl-A x ends the run",
            false if over => "the time that --max-time allows is over",
            false => return Ok(()),
        };
        Err(io::Error::other(reason))
    }

    /// The next command, and who gave it.
    pub fn command(&mut self) -> Option<(usize, String)> {
        self.commands.pop_front()
    }

    /// The next that the debugger has said, and its number, if all that it was told has gone out.
    pub fn packets(&mut self) -> Option<(usize, Said)> {
        let number = self.debugger?;
        let there = !self.packets.is_empty() && self.sessions.get_mut(number)?.flush();
        let said = there.then(|| self.packets.pop_front()).flatten()?;
        Some((number, said))
    }

    /// So many bytes of what the debugger said were looked at; the rest comes again.
    pub fn put_back(&mut self, number: usize, rest: Vec<u8>, used: usize) {
        if !rest.is_empty() {
            self.packets.push_front(Said::Text(rest));
        }
        self.outside.taken(To::Monitor(number), used);
    }

    /// Tells the debugger something.
    pub fn reply(&mut self, bytes: &[u8]) {
        if let Some(session) = self
            .debugger
            .and_then(|number| self.sessions.get_mut(number))
        {
            session.send(bytes);
        }
    }

    /// The debugger's end has been heard: another may come.
    pub fn next_peer(&mut self, number: usize) {
        if let Some(session) = self.sessions.get_mut(number) {
            session.answer.clear();
        }
        self.outside.next_peer(number);
    }

    /// Whether there is something to be done between two instructions.
    fn is_due(&mut self) -> bool {
        let debugger = self.debugger.filter(|_| !self.packets.is_empty());
        let debugger = debugger.and_then(|number| self.sessions.get_mut(number));
        !self.commands.is_empty() || debugger.is_some_and(Session::flush)
    }

    /// Answers whoever gave a command, and asks for the next.
    pub fn answer(&mut self, session: usize, text: &str) {
        if let Some(asker) = self.sessions.get_mut(session) {
            asker.asked = false;
            asker.say(text);
            asker.prompt();
            self.attend(session);
        }
    }

    /// Looks at what one has said, up to the next command, if its last answer is out.
    fn attend(&mut self, number: usize) {
        let Some(session) = self.sessions.get_mut(number) else {
            return;
        };
        while session.flush()
            && !session.asked
            && let Some(said) = session.said.pop_front()
        {
            let closed = matches!(said, Said::Closed);
            let (line, taken) = session.hear(said);
            if let Some(line) = line {
                session.asked = true;
                self.commands.push_back((number, line));
            }
            self.outside.taken(To::Monitor(number), taken);
            if closed {
                self.outside.next_peer(number);
            }
        }
    }

    /// Takes out what is said to the monitor.
    fn sort(&mut self, heard: Heard) -> Message {
        match heard {
            Heard::Word(Word::Room) => (0..self.sessions.len()).for_each(|n| self.attend(n)),
            Heard::Word(word) => return word.into(),
            Heard::Event(event) => return event.into(),
            Heard::Monitor(number, said) if self.debugger == Some(number) => {
                self.packets.push_back(said);
            }
            Heard::Monitor(number, said) => {
                if let Some(session) = self.sessions.get_mut(number) {
                    session.said.push_back(said);
                }
                self.attend(number);
            }
        }
        match self.is_due() {
            true => Word::Pause.into(),
            false => Word::Room.into(),
        }
    }

    /// Waits until all that was said to the outside is there: as long as that takes if the guest ended the run, unless a signal
    /// or the time allowed ends it meanwhile, and otherwise as long as somebody reads. Returns how the run ends then.
    pub fn finish(&mut self, machine: &Machine, mut end: End) -> End {
        let (mut last, mut since) = (usize::MAX, Instant::now());
        loop {
            let mut left = machine.backlog();
            for session in &mut self.sessions {
                session.flush();
                let more = session.backlog();
                left.bytes += more.bytes;
                left.patient |= more.patient;
            }
            if left.bytes == 0 {
                return end;
            }
            if left.bytes != last {
                (last, since) = (left.bytes, Instant::now());
            }
            let own = matches!(end, End::PowerOff | End::Exit(_) | End::Reset);
            let mut patience = match own && left.patient {
                true => Duration::MAX,
                false => PATIENCE.saturating_sub(since.elapsed()),
            };
            if let Some(until) = self.until.filter(|_| own) {
                let time = until.saturating_duration_since(Instant::now());
                if time.is_zero() {
                    end = End::TimeUp;
                    continue;
                }
                patience = patience.min(time);
            }
            if patience.is_zero() {
                return end;
            }
            // The other end may not have got as far as to say so.
            let patience = patience.min(Duration::from_millis(100));
            if let Some(Heard::Word(Word::Quit(status))) = self.outside.wait(Some(patience)) {
                end = End::Quit(status);
            }
        }
    }
}

impl Host for Sessions {
    fn poll(&mut self) -> Option<Message> {
        if self.is_due() {
            return Some(Word::Pause.into());
        }
        let heard = self.outside.poll()?;
        Some(self.sort(heard))
    }

    fn wait(&mut self, time: Option<Duration>) -> Option<Message> {
        if self.is_due() {
            return Some(Word::Pause.into());
        }
        let heard = self.outside.wait(time)?;
        Some(self.sort(heard))
    }

    fn taken(&mut self, slot: usize, count: usize) {
        self.outside.taken(To::Slot(slot), count);
    }
}

impl Session {
    /// Takes in what was said, up to the end of a line: the line, and how many bytes were taken.
    fn hear(&mut self, said: Said) -> (Option<String>, usize) {
        match (said, &mut self.input) {
            (_, Input::Packets) => (None, 0),
            (Said::Opened, input) => {
                if let Input::Lines(..) = input {
                    *input = Input::Lines(Vec::new(), false);
                    self.greeted = false;
                } else {
                    self.say("\n");
                }
                if !std::mem::replace(&mut self.greeted, true) {
                    let version = env!("CARGO_PKG_VERSION");
                    self.say(&format!(
                        "Solderless {version} monitor - type 'help' for more information\n"
                    ));
                }
                self.prompt();
                (None, 0)
            }
            (Said::Closed, Input::Terminal(_)) => {
                self.say("\n");
                (None, 0)
            }
            // A line that its end cut short is none.
            (Said::Closed, Input::Lines(partial, _)) => {
                partial.clear();
                (None, 0)
            }
            (Said::Text(mut bytes), Input::Terminal(editor)) => {
                let mut echo = String::new();
                let some = &bytes[..bytes.len().min(TYPED)];
                let (line, used) = editor.feed(some, &mut echo, &commands::complete);
                self.send(echo.as_bytes());
                self.rest(bytes.split_off(used));
                (line, used)
            }
            (Said::Text(mut bytes), Input::Lines(partial, returned)) => {
                let mut whole = None;
                for (used, byte) in (1..).zip(&bytes) {
                    match byte {
                        // Some end a line with both.
                        b'\n' if std::mem::take(returned) => {}
                        b'\n' | b'\r' => {
                            *returned = *byte == b'\r';
                            let line = std::mem::take(partial);
                            whole = Some((String::from_utf8_lossy(&line).into_owned(), used));
                            break;
                        }
                        byte => {
                            *returned = false;
                            if partial.len() < LONGEST {
                                partial.push(*byte);
                            }
                        }
                    }
                }
                let (line, used) = whole.unzip();
                let used = used.unwrap_or(bytes.len());
                self.rest(bytes.split_off(used));
                (line, used)
            }
        }
    }

    /// What is left of a text comes next.
    fn rest(&mut self, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.said.push_front(Said::Text(bytes));
        }
    }

    /// Sends as much of the answer as there is room for; whether that is all.
    fn flush(&mut self) -> bool {
        while !self.answer.is_empty() {
            // Asked for before the last try: room that comes between the two is not missed.
            self.outlet.want_room();
            let sent = self.outlet.send_some(self.answer.as_slices().0);
            if sent == 0 {
                return false;
            }
            self.answer.drain(..sent);
        }
        true
    }

    fn send(&mut self, bytes: &[u8]) {
        self.answer.extend(bytes);
        self.flush();
    }

    /// What it is still to be told.
    fn backlog(&self) -> Backlog {
        let mut left = self.outlet.backlog();
        left.bytes += self.answer.len();
        left
    }

    fn say(&mut self, text: &str) {
        let text = visible(text);
        match self.input {
            Input::Terminal(_) => self.send(text.replace('\n', "\r\n").as_bytes()),
            Input::Lines(..) | Input::Packets => self.send(text.as_bytes()),
        }
    }

    fn prompt(&mut self) {
        match &self.input {
            Input::Terminal(editor) => self.send(editor.draw().into_bytes().as_slice()),
            Input::Lines(..) => self.send(PROMPT.as_bytes()),
            Input::Packets => {}
        }
    }
}

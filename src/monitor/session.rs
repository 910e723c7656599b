//! Those who talk to the monitor: people at the terminal, with a line to edit, and on streams, with plain lines; programs, with
//! messages.
//!
//! Whoever floods the monitor costs the machine no more than its share of time ([`Share`]); what waits then waits at the peer.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use serde_json::Value;
use solderless_model::Failure;

use super::editor::Editor;
use super::people::{self, Known};
use super::programs::{self, Framer};
use crate::backend::{BackendError, Block, Face, Heard, Outlet, Outside, PATIENCE, Said, To};
use crate::machine::{Backlog, Disk, DiskFailed, End, Host, Machine, Message, Sink, Word};
use crate::state::{Limits, Outgoing, Step};
use crate::visible::visible;

/// What stands before a line.
const PROMPT: &str = "(solderless) ";

/// The longest line of a stream. What is longer is cut off.
const LONGEST: usize = 1 << 14;
/// How much a program may leave unread before it misses what happens.
const UNREAD: usize = 1 << 16;
/// Bytes that a terminal's editor is given at once: each may have the whole line drawn anew.
const TYPED: usize = 64;

/// The outside of a machine with the monitor's part of it taken out.
#[derive(Debug)]
pub struct Sessions {
    outside: Outside,
    /// By the number under which [`Outside`] hears them.
    sessions: Vec<Session>,
    commands: VecDeque<(usize, Given)>,
    /// What the debugger has said and was not looked at yet.
    packets: VecDeque<Said>,
    /// The debugger's number.
    debugger: Option<usize>,
    /// When the time allowed is over.
    until: Option<Instant>,
    /// Where those are that are no console's terminal, as it is written.
    places: Vec<String>,
    known: Known,
    share: Share,
    /// Somebody's words were not looked at, because the share was used up.
    late: bool,
    /// The machine is on its way to another program, within these limits.
    outgoing: Option<Outgoing>,
    limits: Limits,
    /// Programs are told how far it is.
    told: bool,
    /// What has become of that, until it is asked for.
    step: Step,
    /// When the machine went on last.
    went_on: Instant,
}

/// A command that was given.
#[derive(Debug)]
pub enum Given {
    /// By a person.
    Line(String),
    /// By a program.
    Message(programs::Message),
}

/// The part of the time that the monitor may take from a machine that runs: a twentieth. What is not used is kept for a while, so
/// that nobody who gives a command now and then waits.
#[derive(Debug)]
struct Share {
    /// Nanoseconds that may be used now; below nothing if too many were.
    left: i64,
    since: Instant,
    /// The machine runs, and somebody's guest waits.
    runs: bool,
}

impl Share {
    /// One part in so many.
    const PART: i64 = 20;
    /// The most that is kept.
    const KEPT: i64 = 100_000_000;
    /// The most that one command counts. A save takes what it takes.
    const MOST: i64 = 5_000_000;

    fn new() -> Self {
        Self {
            left: Self::KEPT,
            since: Instant::now(),
            runs: true,
        }
    }

    fn spend(&mut self, time: Duration) {
        if self.runs {
            let time = i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
            self.left -= time.min(Self::MOST);
        }
    }

    /// How long nothing may be used; `None` if something may be.
    fn wait(&mut self) -> Option<Duration> {
        if self.left > 0 || !self.runs {
            return None;
        }
        let now = Instant::now();
        let passed = i64::try_from((now - self.since).as_nanos()).unwrap_or(i64::MAX);
        self.left = (self.left + passed / Self::PART).min(Self::KEPT);
        self.since = now;
        let missing = u64::try_from(1 - self.left).unwrap_or(0);
        (missing > 0).then(|| Duration::from_nanos(missing * Self::PART as u64))
    }
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
    /// What has come of a message, and whether the client has said that it is ready.
    Messages(Framer, bool),
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.input {
            Input::Terminal(_) => "terminal",
            Input::Lines(..) => "lines",
            Input::Packets => "packets",
            Input::Messages(..) => "messages",
        })
    }
}

impl Sessions {
    /// Takes over the outside. Each monitor has the number of its place, and says what talks to it. `places` says where those are that
    /// are on no console's terminal.
    pub fn new(outside: Outside, monitors: Vec<(Outlet, Face)>, places: Vec<String>) -> Self {
        let debugger = monitors
            .iter()
            .position(|(_, face)| *face == Face::Debugger);
        Self {
            outside,
            sessions: monitors.into_iter().map(Session::new).collect(),
            commands: VecDeque::new(),
            packets: VecDeque::new(),
            debugger,
            until: None,
            places,
            known: Known::default(),
            share: Share::new(),
            late: false,
            outgoing: None,
            limits: Limits::default(),
            told: false,
            step: Step::Goes,
            went_on: Instant::now(),
        }
    }

    /// What comes from outside, for whoever plugs in something.
    pub fn outside(&mut self) -> &mut Outside {
        &mut self.outside
    }

    /// Takes in those monitors that have been opened since.
    pub fn take_in(&mut self) {
        for (outlet, face) in self.outside.take_monitors() {
            if face == Face::Debugger {
                self.debugger = Some(self.sessions.len());
            }
            self.sessions.push(Session::new((outlet, face)));
        }
    }

    /// Wakes the machine's thread.
    pub fn waker(&self) -> impl Fn() + Send + use<> {
        self.outside.waker()
    }

    /// The machine on its way to another program, if it is; and what the way may take.
    pub fn migration(&mut self) -> (&mut Option<Outgoing>, &mut Limits) {
        (&mut self.outgoing, &mut self.limits)
    }

    /// Tells programs how far it is, if they want to know.
    pub fn tell_migration(&mut self, status: &str) {
        if self.told {
            let data = serde_json::json!({ "status": status });
            self.event("MIGRATION", Some(data));
        }
    }

    /// Whether they do.
    pub fn is_migration_told(&self) -> bool {
        self.told
    }

    /// Has them be told, or not.
    pub fn tells_migration(&mut self, told: bool) {
        self.told = told;
    }

    /// What is to be done about it.
    pub fn step(&mut self) -> Step {
        std::mem::replace(&mut self.step, Step::Goes)
    }

    /// Sends as much of the machine as the wire takes, and leaves it its time if it `runs`. Whether something is to be done about it.
    fn pump(&mut self, runs: bool) -> bool {
        if let Some(outgoing) = &mut self.outgoing
            && self.step == Step::Goes
        {
            let was_ready = outgoing.is_ready();
            self.step = outgoing.pump(&self.limits, runs);
            if outgoing.is_ready() != was_ready {
                self.tell_migration("active");
            }
        }
        self.step != Step::Goes
    }

    /// Holds up a machine that writes memory faster than the wire takes it.
    fn hold_up(&mut self) {
        let ran = self.went_on.elapsed();
        let time = self.outgoing.as_ref().map(|o| o.hold_up(ran));
        let until = Instant::now() + time.unwrap_or_default();
        while !self.pump(time.unwrap_or_default().is_zero()) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            std::thread::sleep(left.min(Duration::from_millis(2)));
        }
        self.went_on = Instant::now();
    }

    /// Where those are that are on no console's terminal, as it is written.
    pub fn places(&self) -> &[String] {
        &self.places
    }

    /// What lines can be completed to.
    pub fn know(&mut self, known: Known) {
        self.known = known;
    }

    /// Whether the machine runs: one that stands still loses no time by what is asked of it.
    pub fn runs(&mut self, runs: bool) {
        self.share.runs = runs;
    }

    /// A command has taken so long.
    pub fn spent(&mut self, time: Duration) {
        self.share.spend(time);
    }

    /// Opens what is put into a slot for a disk, whose device writes to it or only reads.
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
        self.outside.disk(slot, name, backend, read_only)
    }

    /// Tells every program that is ready of something that has happened.
    pub fn event(&mut self, name: &str, data: Option<Value>) {
        let ready = |s: &&mut Session| matches!(s.input, Input::Messages(_, true));
        let mut text = None;
        for session in self.sessions.iter_mut().filter(ready) {
            let text = text.get_or_insert_with(|| programs::event(name, data.clone()));
            // One that reads nothing hears nothing any more.
            if session.answer.len() < UNREAD {
                session.send(text.as_bytes());
            }
        }
    }

    /// Whether a program has said that it is ready.
    pub fn ready(&self, session: usize) -> bool {
        let session = self.sessions.get(session);
        session.is_some_and(|s| matches!(s.input, Input::Messages(_, true)))
    }

    /// Notes whether a program has said so.
    pub fn set_ready(&mut self, session: usize, is_ready: bool) {
        if let Some(session) = self.sessions.get_mut(session)
            && let Input::Messages(_, ready) = &mut session.input
        {
            *ready = is_ready;
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
    pub fn command(&mut self) -> Option<(usize, Given)> {
        match self.share.wait() {
            None => self.commands.pop_front(),
            Some(_) => None,
        }
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

    /// Answers whoever gave a command, and asks for the next.
    pub fn answer(&mut self, session: usize, text: &str) {
        if let Some(asker) = self.sessions.get_mut(session) {
            asker.asked = false;
            match asker.input {
                // It is all in JSON, which has nothing for a terminal in it.
                Input::Messages(..) => asker.send(text.as_bytes()),
                Input::Terminal(_) | Input::Lines(..) | Input::Packets => {
                    asker.say(text);
                    asker.prompt();
                }
            }
            self.attend(session);
        }
    }

    /// Looks at what one has said, up to the next command, if its last answer is out.
    fn attend(&mut self, number: usize) {
        if self.share.wait().is_some() {
            self.late = true;
            return;
        }
        let begin = Instant::now();
        self.look(number);
        self.share.spend(begin.elapsed());
    }

    fn look(&mut self, number: usize) {
        let Some(session) = self.sessions.get_mut(number) else {
            return;
        };
        while session.flush()
            && !session.asked
            && let Some(said) = session.said.pop_front()
        {
            let closed = matches!(said, Said::Closed);
            let (given, taken) = session.hear(said, &self.known);
            if let Some(given) = given {
                session.asked = true;
                self.commands.push_back((number, given));
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
            Heard::Done(done) => return Message::Done(done),
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
        match self.due() {
            Ok(true) => Word::Pause.into(),
            Ok(false) | Err(_) => Word::Room.into(),
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

impl Sessions {
    /// Whether a command is to be carried out now, after a look at what waited for it; how long that has to wait otherwise, if
    /// there is anything.
    fn due(&mut self) -> Result<bool, Duration> {
        // Whoever debugs a machine has all of its time.
        let debugger = self.debugger.filter(|_| !self.packets.is_empty());
        let debugger = debugger.and_then(|number| self.sessions.get_mut(number));
        if debugger.is_some_and(Session::flush) {
            return Ok(true);
        }
        if self.commands.is_empty() && !self.late {
            return Ok(false);
        }
        if let Some(time) = self.share.wait() {
            return Err(time);
        }
        if std::mem::take(&mut self.late) {
            (0..self.sessions.len()).for_each(|n| self.attend(n));
        }
        Ok(!self.commands.is_empty())
    }
}

impl Host for Sessions {
    fn poll(&mut self) -> Option<Message> {
        if self.outgoing.is_some() {
            self.hold_up();
        }
        if self.step != Step::Goes || self.due() == Ok(true) {
            return Some(Word::Pause.into());
        }
        let heard = self.outside.poll()?;
        Some(self.sort(heard))
    }

    fn wait(&mut self, time: Option<Duration>) -> Option<Message> {
        if self.pump(false) {
            return Some(Word::Pause.into());
        }
        let sooner = |time: Option<Duration>, other| time.map_or(other, |time| time.min(other));
        let time = match self.due() {
            Ok(true) => return Some(Word::Pause.into()),
            Ok(false) => time,
            // Those who wait for their share are looked at when it has come.
            Err(wait) => Some(sooner(time, wait)),
        };
        let due = self.outgoing.as_ref().and_then(Outgoing::due);
        let time = due.map_or(time, |due| Some(sooner(time, due)));
        let heard = self.outside.wait(time);
        // It has not run meanwhile.
        self.went_on = Instant::now();
        match heard {
            Some(heard) => Some(self.sort(heard)),
            None if self.due() == Ok(true) => Some(Word::Pause.into()),
            None => None,
        }
    }

    fn was_reset(&mut self) {
        let data = serde_json::json!({ "guest": true, "reason": "guest-reset" });
        self.event("RESET", Some(data));
    }

    fn disk_failed(&mut self, failed: DiskFailed) {
        let no_space = failed.failure == Failure::NoSpace;
        let data = serde_json::json!({
            "device": self.known.slots.get(failed.slot),
            "operation": if failed.reads { "read" } else { "write" },
            "action": if failed.stops { "stop" } else { "report" },
            "nospace": no_space,
            "reason": if no_space { "No space left on device" } else { "Input/output error" },
        });
        self.event("BLOCK_IO_ERROR", Some(data));
    }

    fn taken(&mut self, slot: usize, count: usize) {
        self.outside.taken(To::Slot(slot), count);
    }
}

impl Session {
    fn new((outlet, face): (Outlet, Face)) -> Self {
        Self {
            outlet,
            answer: VecDeque::new(),
            said: VecDeque::new(),
            asked: false,
            input: match face {
                Face::Terminal => Input::Terminal(Editor::new(PROMPT)),
                Face::Lines => Input::Lines(Vec::new(), false),
                Face::Messages => Input::Messages(Framer::default(), false),
                Face::Debugger => Input::Packets,
            },
            greeted: false,
        }
    }

    /// Takes in what was said, up to the end of a line: the line, and how many bytes were taken.
    fn hear(&mut self, said: Said, known: &Known) -> (Option<Given>, usize) {
        match (said, &mut self.input) {
            (_, Input::Packets) => (None, 0),
            (Said::Opened, Input::Messages(framer, ready)) => {
                (*framer, *ready) = (Framer::default(), false);
                self.send(programs::greeting().as_bytes());
                (None, 0)
            }
            (Said::Closed, Input::Messages(framer, ready)) => {
                (*framer, *ready) = (Framer::default(), false);
                (None, 0)
            }
            (Said::Text(mut bytes), Input::Messages(framer, _)) => {
                let (message, used) = framer.feed(&bytes);
                self.rest(bytes.split_off(used));
                (message.map(Given::Message), used)
            }
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
                let complete = |line: &str| people::complete(known, line);
                let (line, used) = editor.feed(some, &mut echo, &complete);
                self.send(echo.as_bytes());
                self.rest(bytes.split_off(used));
                (line.map(Given::Line), used)
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
                (line.map(Given::Line), used)
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
            Input::Messages(..) => {}
        }
    }

    fn prompt(&mut self) {
        match &self.input {
            Input::Terminal(editor) => self.send(editor.draw().into_bytes().as_slice()),
            Input::Lines(..) => self.send(PROMPT.as_bytes()),
            Input::Messages(..) | Input::Packets => {}
        }
    }
}

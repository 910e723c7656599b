//! Those who talk to the monitor: the terminal, with a line to edit, and streams, with plain lines.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use super::commands;
use super::editor::Editor;
use crate::backend::{Heard, Outside, Said};
use crate::machine::{Event, Host, Sink};

/// What stands before a line.
const PROMPT: &str = "(solderless) ";

/// The longest line of a stream.
const LONGEST: usize = 1 << 16;

/// The outside of a machine with the monitor's part of it taken out.
#[derive(Debug)]
pub struct Sessions {
    outside: Outside,
    /// By the number under which [`Outside`] hears them.
    sessions: Vec<Session>,
    commands: VecDeque<(usize, String)>,
}

struct Session {
    sink: Box<dyn Sink>,
    input: Input,
    greeted: bool,
}

enum Input {
    Terminal(Editor),
    /// What has come of a line, and whether the last one ended with a carriage return.
    Lines(Vec<u8>, bool),
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.input {
            Input::Terminal(_) => "terminal",
            Input::Lines(..) => "lines",
        })
    }
}

impl Sessions {
    /// Takes over the outside. Each monitor has the number of its place, and says whether it is a terminal.
    pub fn new(outside: Outside, monitors: Vec<(Box<dyn Sink>, bool)>) -> Self {
        let session = |(sink, terminal)| Session {
            sink,
            input: match terminal {
                true => Input::Terminal(Editor::new(PROMPT)),
                false => Input::Lines(Vec::new(), false),
            },
            greeted: false,
        };
        Self {
            outside,
            sessions: monitors.into_iter().map(session).collect(),
            commands: VecDeque::new(),
        }
    }

    /// The next command, and who gave it.
    pub fn command(&mut self) -> Option<(usize, String)> {
        self.commands.pop_front()
    }

    /// Answers whoever gave a command, and asks for the next.
    pub fn answer(&mut self, session: usize, text: &str) {
        if let Some(session) = self.sessions.get_mut(session) {
            session.say(text);
            session.prompt();
        }
    }

    /// Takes out what is said to the monitor.
    fn sort(&mut self, heard: Heard) -> Option<Event> {
        let (number, said) = match heard {
            Heard::Event(event) => return Some(event),
            Heard::Monitor(number, said) => (number, said),
        };
        let lines = self.sessions.get_mut(number)?.hear(said);
        let commands = lines.into_iter().map(|line| (number, line));
        self.commands.extend(commands);
        (!self.commands.is_empty()).then_some(Event::Pause)
    }
}

impl Host for Sessions {
    fn poll(&mut self) -> Option<Event> {
        if !self.commands.is_empty() {
            return Some(Event::Pause);
        }
        loop {
            let heard = self.outside.poll()?;
            if let Some(event) = self.sort(heard) {
                return Some(event);
            }
        }
    }

    fn wait(&mut self, time: Option<Duration>) -> Option<Event> {
        if !self.commands.is_empty() {
            return Some(Event::Pause);
        }
        let heard = self.outside.wait(time)?;
        self.sort(heard)
    }
}

impl Session {
    /// The lines that are whole now.
    fn hear(&mut self, said: Said) -> Vec<String> {
        match (said, &mut self.input) {
            (Said::Opened(answer), input) => {
                if let Input::Lines(..) = input {
                    *input = Input::Lines(Vec::new(), false);
                    self.greeted = false;
                } else {
                    self.say("\n");
                }
                if let Some(sink) = answer {
                    self.sink = sink;
                }
                if !std::mem::replace(&mut self.greeted, true) {
                    let version = env!("CARGO_PKG_VERSION");
                    self.say(&format!(
                        "Solderless {version} monitor - type 'help' for more information\n"
                    ));
                }
                self.prompt();
            }
            (Said::Closed, Input::Terminal(_)) => self.say("\n"),
            // A line that its end cut short is none.
            (Said::Closed, Input::Lines(partial, _)) => partial.clear(),
            (Said::Text(bytes), Input::Terminal(editor)) => {
                let (mut lines, mut echo, mut rest) = (Vec::new(), String::new(), &bytes[..]);
                while !rest.is_empty() {
                    let (line, used) = editor.feed(rest, &mut echo, &commands::complete);
                    lines.extend(line);
                    rest = &rest[used..];
                }
                self.sink.send(echo.as_bytes());
                return lines;
            }
            (Said::Text(bytes), Input::Lines(partial, returned)) => {
                let mut lines = Vec::new();
                for byte in bytes {
                    match byte {
                        // Some end a line with both.
                        b'\n' if std::mem::take(returned) => {}
                        b'\n' | b'\r' => {
                            *returned = byte == b'\r';
                            let line = std::mem::take(partial);
                            lines.push(String::from_utf8_lossy(&line).into_owned());
                        }
                        byte => {
                            *returned = false;
                            if partial.len() < LONGEST {
                                partial.push(byte);
                            }
                        }
                    }
                }
                return lines;
            }
        }
        Vec::new()
    }

    fn say(&mut self, text: &str) {
        match self.input {
            Input::Terminal(_) => self.sink.send(text.replace('\n', "\r\n").as_bytes()),
            Input::Lines(..) => self.sink.send(text.as_bytes()),
        }
    }

    fn prompt(&mut self) {
        match &self.input {
            Input::Terminal(editor) => self.sink.send(editor.draw().as_bytes()),
            Input::Lines(..) => self.sink.send(PROMPT.as_bytes()),
        }
    }
}

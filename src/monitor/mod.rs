//! The monitor: commands to a running machine, spelt as QEMU's (HMP).
//!
//! Commands run between two slices of the run loop, when the machine stands still and nobody else has it. One that fails
//! says why and has changed nothing.

mod commands;
mod editor;
mod info;
mod session;
mod snapshot;
mod words;

use std::path::Path;
use std::time::{Duration, Instant};

use crate::compose::Loaded;
use crate::machine::{End, Machine, Pace, Run};

pub use session::Sessions;

/// A machine with what its monitor can change.
#[derive(Debug)]
pub struct Vm<'a> {
    /// The machine.
    pub machine: Machine,
    /// What it was built from.
    pub loaded: &'a Loaded,
    /// How it runs.
    pub run: Run,
    /// The folder of named snapshots.
    pub snapshots: &'a Path,
    /// It stands still until it is told to go on.
    pub paused: bool,
}

/// What a command came to.
enum Done {
    /// It has this to say.
    Say(String),
    /// The run ends.
    End(End),
}

type Outcome = Result<Done, String>;

impl Vm<'_> {
    /// Runs the machine and carries out the commands that come, until something ends the run.
    pub fn drive(&mut self, mut sessions: Sessions) -> End {
        let until = self
            .run
            .max_time
            .filter(|_| self.run.pace != Pace::Deterministic);
        let until = until.map(|limit| Instant::now() + limit);
        let end = self.until_end(&mut sessions);
        sessions.finish(&self.machine, end, until)
    }

    fn until_end(&mut self, sessions: &mut Sessions) -> End {
        let limit = self.run.max_time;
        let (begin, start) = (Instant::now(), self.machine.now());
        loop {
            self.run.max_time = limit.map(|limit| match self.run.pace {
                Pace::Deterministic => {
                    let passed = self.machine.now().saturating_sub(start);
                    limit.saturating_sub(Duration::from_nanos(passed))
                }
                Pace::Watched | Pace::Free => limit.saturating_sub(begin.elapsed()),
            });
            let end = match (self.paused, self.run.pace) {
                (false, _) => self.machine.run(self.run, sessions),
                // Guest time stands still too.
                (true, Pace::Deterministic) => self.machine.hold(None, sessions),
                (true, _) => self.machine.hold(self.run.max_time, sessions),
            };
            if end != End::Paused {
                return end;
            }
            while let Some((session, line)) = sessions.command() {
                match self.execute(&line) {
                    Ok(Done::Say(text)) => sessions.answer(session, &text),
                    Ok(Done::End(end)) => return end,
                    Err(reason) => sessions.answer(session, &format!("Error: {reason}\n")),
                }
            }
        }
    }

    fn execute(&mut self, line: &str) -> Outcome {
        let mut words = words::words(line)?;
        // A format can stand without a blank: xp/4xw.
        if let Some(slash) = words.first().and_then(|name| name.find('/')) {
            let format = words[0].split_off(slash);
            words.insert(1, format);
        }
        let Some((name, args)) = words.split_first() else {
            return Ok(Done::Say(String::new()));
        };
        commands::run(commands::COMMANDS, "command", self, name, args)
    }
}

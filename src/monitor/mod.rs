//! The monitor: commands to a running machine, spelt as QEMU's (HMP).
//!
//! Commands run between two slices of the run loop, when the machine stands still and nobody else has it. One that fails
//! says why and has changed nothing.

mod commands;
mod editor;
mod gdb;
mod info;
mod session;
mod snapshot;
mod words;

use std::path::Path;
use std::time::{Duration, Instant};

use crate::compose::Loaded;
use crate::machine::{End, Machine, Pace, Run};

pub use gdb::Debugger;
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
    /// The CPU that is looked at, by its place among the board's.
    pub cpu: usize,
    /// It stands still until it is told to go on.
    pub paused: bool,
    /// What comes from outside.
    pub sessions: Sessions,
    /// Who debugs it.
    pub debugger: Debugger<'a>,
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
    /// Runs the machine and carries out the commands that come, until something ends the run. Nothing comes in then any more,
    /// and the terminal is as it was.
    pub fn drive(mut self) -> (Machine, End) {
        let limit = self.run.max_time;
        let limit = limit.filter(|_| self.run.pace != Pace::Deterministic);
        let until = limit.and_then(|limit| Instant::now().checked_add(limit));
        self.sessions.allow(until);
        let end = self.until_end();
        self.debugger_ends(end);
        let end = self.sessions.finish(&self.machine, end);
        (self.machine, end)
    }

    fn until_end(&mut self) -> End {
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
            self.machine.step_cpu(self.debugger.stepping());
            let end = match (self.paused, self.run.pace) {
                (false, _) => self.machine.run(self.run, &mut self.sessions),
                // Guest time stands still too.
                (true, Pace::Deterministic) => self.machine.hold(None, &mut self.sessions),
                (true, _) => self.machine.hold(self.run.max_time, &mut self.sessions),
            };
            match end {
                End::Paused => {}
                End::Stopped(cpu, stop) => self.debugger_stopped(cpu, stop),
                end => return end,
            }
            while let Some((session, line)) = self.sessions.command() {
                match self.execute(&line) {
                    Ok(Done::Say(text)) => self.sessions.answer(session, &text),
                    Ok(Done::End(end)) => return end,
                    Err(reason) => {
                        let answer = format!("Error: {reason}\n");
                        self.sessions.answer(session, &answer);
                    }
                }
            }
            if let Some(end) = self.attend_debugger() {
                return end;
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

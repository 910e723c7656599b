//! The monitor: commands to a running machine, as QEMU's. One table of them (`commands`), and two faces: people type words
//! (`people`, HMP), programs send JSON (`programs`, QMP).
//!
//! Commands run between two slices of the run loop, when the machine stands still and nobody else has it. One that fails
//! says why and has changed nothing.

mod commands;
mod editor;
mod expr;
mod gdb;
mod people;
mod programs;
mod reference;
mod session;
mod symbols;
mod table;
mod words;

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use solderless_model::SlotKind;

use crate::compose::Loaded;
use crate::machine::{End, Keep, Machine, Pace, Run, points};
use crate::state::{Arrival, Travelled};

pub use commands::{JobInfo, Wished};
pub use gdb::Debugger;
pub use people::Known;
pub use reference::reference;
use session::Given;
pub use session::Sessions;
pub use symbols::Symbols;

/// What is to be made where there is no machine.
#[derive(Debug)]
pub enum Wish<'w> {
    /// A machine of a board.
    Board(&'w Wished),
    /// The one that comes by this door.
    Stream(Arrival),
}

/// Makes a machine, which whoever has started the program does.
pub type Maker<'a> = Box<dyn Fn(Wish<'_>, &mut Sessions) -> Result<Made<'a>, String> + 'a>;

/// A machine that was made.
#[derive(Debug)]
pub struct Made<'a> {
    /// The machine, with all that is plugged in.
    pub machine: Machine,
    /// What it was built from.
    pub loaded: &'a Loaded,
    /// See [`Vm::plugged`].
    pub plugged: Vec<String>,
    /// See [`Vm::symbols`].
    pub symbols: Symbols,
    /// See [`Vm::trace`].
    pub trace: Option<Trail>,
    /// How guest time relates to the wall clock.
    pub pace: Pace,
    /// It stood still when it was sent.
    pub stands: bool,
}

/// Where traces go.
pub struct Trail(pub Keep);

impl std::fmt::Debug for Trail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Trail")
    }
}

/// A machine with what its monitor can change.
pub struct Vm<'a> {
    /// The machine.
    pub machine: Machine,
    /// What it was built from.
    pub loaded: &'a Loaded,
    /// What is plugged into each of its slots, as it is written; empty for nothing.
    pub plugged: Vec<String>,
    /// The symbols of what the guest runs.
    pub symbols: Symbols,
    /// Where traces go, while there are none.
    pub trace: Option<Keep>,
    /// How it runs.
    pub run: Run,
    /// The folder of named snapshots.
    pub snapshots: &'a Path,
    /// The CPU that is looked at, by its place among the board's.
    pub cpu: usize,
    /// Makes the machine, where there is none yet: the one that there is has nothing on its board.
    pub maker: Option<Maker<'a>>,
    /// The machine that is still to come.
    pub incoming: Option<Arrival>,
    /// Whatever is made stands still at first.
    pub stays_paused: bool,
    /// It stands still until it is told to go on.
    pub paused: bool,
    /// It has run.
    pub started: bool,
    /// It stands still because somebody goes on in its place.
    pub moved: bool,
    /// It stands still because somebody is about to.
    pub handing_over: bool,
    /// What became of the last `migrate`.
    pub migration: Option<Migration>,
    /// What programs have started and not dismissed.
    pub jobs: Vec<JobInfo>,
    /// A command ends the run so, and what programs are told of it.
    pub end: Option<(End, &'static str)>,
    /// What comes from outside.
    pub sessions: Sessions,
    /// Who debugs it.
    pub debugger: Debugger<'a>,
}

/// What became of a machine that was to go on elsewhere.
#[derive(Debug, Clone)]
pub struct Migration {
    /// `completed`, `failed` or `cancelled`.
    pub status: &'static str,
    /// How far it came.
    pub travelled: Travelled,
    /// The machine ran meanwhile.
    pub live: bool,
    /// Why it failed.
    pub reason: Option<String>,
}

impl std::fmt::Debug for Vm<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Vm({})", self.loaded.plan.name)
    }
}

impl<'a> Vm<'a> {
    /// A machine, and those who talk to its monitor.
    pub fn new(
        machine: Machine,
        loaded: &'a Loaded,
        run: Run,
        snapshots: &'a Path,
        sessions: Sessions,
    ) -> Self {
        Self {
            machine,
            loaded,
            plugged: Vec::new(),
            symbols: Symbols::default(),
            trace: None,
            run,
            snapshots,
            cpu: 0,
            maker: None,
            incoming: None,
            stays_paused: false,
            paused: false,
            started: false,
            moved: false,
            handing_over: false,
            migration: None,
            jobs: Vec::new(),
            end: None,
            sessions,
            debugger: Debugger::default(),
        }
    }

    /// Runs the machine and carries out the commands that come, until something ends the run. Nothing comes in then any more,
    /// and the terminal is as it was.
    ///
    /// Returns the machine, what it was built from, if there ever was one, and how the run ended.
    pub fn drive(mut self) -> (Machine, Option<&'a Loaded>, End) {
        let limit = self.run.max_time;
        let limit = limit.filter(|_| self.run.pace != Pace::Deterministic);
        let until = limit.and_then(|limit| Instant::now().checked_add(limit));
        self.sessions.allow(until);
        self.started |= !self.paused || self.machine.now() > 0;
        let known = self.known();
        self.sessions.know(known);
        let end = self.until_end();
        self.give_up_migration();
        let (guest, reason) = match (end, self.end) {
            (_, Some((_, reason))) => (false, reason),
            (End::PowerOff | End::Exit(_), None) => (true, "guest-shutdown"),
            (End::Reset, None) => (true, "guest-reset"),
            (End::Quit(0), None) => (false, "host-ui"),
            (End::Quit(_), None) => (false, "host-signal"),
            (End::TimeUp | End::Paused | End::DiskError | End::Stopped(..) | End::Astray, None) => {
                (false, "host-error")
            }
        };
        let data = json!({ "guest": guest, "reason": reason });
        self.sessions.event("SHUTDOWN", Some(data));
        self.debugger_ends(end);
        let end = self.sessions.finish(&self.machine, end);
        let loaded = self.maker.is_none().then_some(self.loaded);
        (self.machine, loaded, end)
    }

    /// Makes the machine, which runs then unless it is to stand still.
    ///
    /// # Errors
    /// There is one already, or it cannot be made; then there is still none.
    pub fn make(&mut self, wish: Wish<'_>, stopped: bool) -> Result<(), String> {
        let Some(maker) = self.maker.take() else {
            return Err("there is a machine already".to_owned());
        };
        let made = match maker(wish, &mut self.sessions) {
            Ok(made) => made,
            Err(e) => {
                self.maker = Some(maker);
                return Err(e);
            }
        };
        self.machine = made.machine;
        self.loaded = made.loaded;
        self.plugged = made.plugged;
        self.symbols = made.symbols;
        self.trace = made.trace.map(|trail| trail.0);
        self.run.pace = made.pace;
        self.sessions.take_in();
        let known = self.known();
        self.sessions.know(known);
        let stands = stopped || self.stays_paused || made.stands;
        self.started = !stands || self.machine.now() > 0;
        self.pause(stands);
        Ok(())
    }

    /// Has the machine come that is waited for, once its source is there.
    fn attend_incoming(&mut self) {
        let Some(door) = self.incoming.take_if(|door| door.has_come()) else {
            return;
        };
        self.sessions.tell_migration("active");
        let begin = Instant::now();
        let place = door.to_string();
        let result = self.make(Wish::Stream(door), false);
        if let Err(e) = &result {
            tracing::warn!("no machine has come: {place}: {e}");
        }
        self.conclude_incoming(result, begin.elapsed());
    }

    /// Whether there is a machine.
    pub fn is_made(&self) -> bool {
        self.maker.is_none()
    }

    /// Has it stand still, or go on, which programs are told.
    pub fn pause(&mut self, paused: bool) {
        if std::mem::replace(&mut self.paused, paused) != paused {
            let event = if paused { "STOP" } else { "RESUME" };
            self.sessions.event(event, None);
        }
    }

    /// The names that a line can be completed to.
    fn known(&mut self) -> Known {
        let registers = self.machine.cpu().map(|cpu| cpu.registers());
        let mut names = Vec::new();
        for register in registers.into_iter().flatten() {
            if !names.iter().any(|name| name == register.group) {
                names.push(register.group.to_owned());
            }
            names.push(register.name.to_owned());
        }
        let plan = &self.loaded.plan;
        let devices = plan.devices.iter();
        let slots = plan.slots.iter().filter(|s| s.kind == SlotKind::Chardev);
        Known {
            devices: devices.map(|device| device.path.clone()).collect(),
            slots: self
                .loaded
                .plan
                .slots
                .iter()
                .map(|slot| slot.name.clone())
                .collect(),
            registers: names,
            chardevs: slots.map(|slot| slot.name.clone()).collect(),
            points: points(plan),
            snapshots: self.snapshots.to_owned(),
        }
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
            self.attend_incoming();
            let still = self.paused || self.handing_over;
            self.sessions.runs(!still);
            self.machine.step_cpu(self.debugger.stepping());
            let end = match (still, self.run.pace) {
                (false, _) => self.machine.run(self.run, &mut self.sessions),
                // Guest time stands still too.
                (true, Pace::Deterministic) if self.incoming.is_none() => {
                    self.machine.hold(None, &mut self.sessions)
                }
                (true, _) if self.incoming.is_some() => {
                    let tick = self.run.max_time.map_or(TICK, |left| left.min(TICK));
                    match self.machine.hold(Some(tick), &mut self.sessions) {
                        End::TimeUp if self.run.max_time.is_none_or(|left| left > TICK) => {
                            End::Paused
                        }
                        end => end,
                    }
                }
                (true, _) => self.machine.hold(self.run.max_time, &mut self.sessions),
            };
            match end {
                End::Paused => {}
                End::Stopped(cpu, stop) => self.debugger_stopped(cpu, stop),
                End::DiskError => {
                    self.pause(true);
                    tracing::warn!(
                        "the machine stands still until the monitor's command `cont`, which tries it again"
                    );
                }
                end => return end,
            }
            self.attend_migration();
            while let Some((session, given)) = self.sessions.command() {
                let begin = Instant::now();
                match given {
                    Given::Line(line) => {
                        let answer = people::answer(self, &line);
                        // A person sees that the program has ended.
                        if self.end.is_none() {
                            self.sessions.answer(session, &answer);
                        }
                    }
                    Given::Message(message) => {
                        let mut ready = self.sessions.ready(session);
                        let answer = programs::answer(self, &mut ready, &message);
                        self.sessions.set_ready(session, ready);
                        self.sessions.answer(session, &answer);
                    }
                }
                if let Some((end, _)) = self.end {
                    return end;
                }
                self.sessions.spent(begin.elapsed());
            }
            if let Some(end) = self.attend_debugger() {
                return end;
            }
        }
    }
}

/// Time between two looks at whether a machine has come.
const TICK: Duration = Duration::from_millis(10);

/// How many CPUs there are, in words.
fn cpus_there_are(count: usize) -> String {
    match count {
        0 => "the board has no CPU".to_owned(),
        1 => "the board has one, 0".to_owned(),
        _ => format!("the board has {count}, 0 to {}", count - 1),
    }
}

//! Several CPUs take turns on the machine's one thread, a quantum of guest time each, in the plan's order.
//!
//! Each has a clock of its own. The machine's time is that of the slowest that runs; one that waits for an interrupt holds nobody
//! up. In a round everybody runs up to the same instant: the next multiple of the quantum, or a timer before that, or the interrupt that
//! one CPU sends to another. So no timer is overtaken, and what a round does depends on guest time alone: a run that is
//! stopped within a turn goes on with that turn.
//!
//! Devices see one time, which never goes back: that of the CPU that asks, or where another was ahead of it, that one's. It
//! is ahead of the machine's by less than a quantum.

use solderless_model::{DevId, END_OF_TIME, State, StateError, Stop};

use super::Domain;

/// Guest time of a turn, in nanoseconds, unless the run wants another.
pub const QUANTUM_NS: u64 = 100_000;
/// The longest turn.
pub const LONGEST_NS: u64 = 100_000_000;

/// Where a CPU is in its round.
#[derive(Debug, Clone, Default, State)]
struct Turn {
    /// Its clock: guest time in nanoseconds.
    time: u64,
    /// It waits for an interrupt, as far as is known.
    idle: bool,
}

/// The CPUs of a machine that has several, or one.
#[derive(Debug, State)]
pub struct Turns {
    /// When the round ends; 0 between two rounds.
    end: u64,
    /// Whose turn it is.
    next: u32,
    cpus: Vec<Turn>,
    #[state(skip = "from the plan")]
    devices: Vec<DevId>,
    #[state(skip = "the run's choice")]
    quantum: u64,
    #[state(skip = "within a turn: what devices have seen of time")]
    seen: u64,
    #[state(skip = "within an access: how far that is ahead of the CPU's clock")]
    lead: u64,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            end: 0,
            next: 0,
            cpus: Vec::new(),
            devices: Vec::new(),
            quantum: QUANTUM_NS,
            seen: 0,
            lead: 0,
        }
    }
}

/// Instructions that may be executed.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// By all CPUs together.
    pub left: u64,
    /// Of this CPU one at most.
    pub step: Option<usize>,
}

impl Limit {
    /// As many as there is time for.
    pub const NONE: Self = Self {
        left: u64::MAX,
        step: None,
    };

    /// How many a CPU may execute.
    fn of(self, cpu: usize) -> u64 {
        match self.step {
            Some(one) if one == cpu => self.left.min(1),
            _ => self.left,
        }
    }

    /// So many were executed.
    fn take(&mut self, instructions: u64) {
        self.left = self.left.saturating_sub(instructions);
    }
}

impl Turns {
    fn several(&self) -> bool {
        self.devices.len() > 1
    }
}

impl Domain {
    /// A device is a CPU.
    pub(in crate::machine) fn add_cpu(&mut self, dev: DevId) {
        self.turns.cpus.push(Turn::default());
        self.turns.devices.push(dev);
    }

    /// The CPUs, in the plan's order.
    pub(in crate::machine) fn cpus(&self) -> &[DevId] {
        &self.turns.devices
    }

    /// The clock of a CPU, by its place among them, and whether it waits for an interrupt.
    pub(in crate::machine) fn cpu_clock(&self, index: usize) -> Option<(u64, bool)> {
        let turn = self.turns.cpus.get(index)?;
        Some(match self.turns.several() {
            true => (turn.time, turn.idle),
            false => (self.now, turn.idle),
        })
    }

    /// Whether a round has begun and is not over. It goes on when the CPUs are run.
    pub(in crate::machine) fn in_round(&self) -> bool {
        self.turns.end != 0
    }

    /// How long a turn is, in nanoseconds.
    pub(in crate::machine) fn quantum(&self) -> u64 {
        self.turns.quantum
    }

    /// Sets how long a turn is, in nanoseconds.
    pub(in crate::machine) fn set_quantum(&mut self, ns: u64) {
        self.turns.quantum = ns.clamp(1, LONGEST_NS);
    }

    /// Guest time in nanoseconds since power-on: that of the slowest CPU that runs.
    pub fn now(&self) -> u64 {
        if !self.turns.several() {
            return self.now;
        }
        let running = self.turns.cpus.iter().filter(|turn| !turn.idle);
        running.map(|turn| turn.time).min().unwrap_or(self.now)
    }

    /// Runs the CPUs until guest time is `until`, something else has to happen, all wait, or so many instructions were executed, by all
    /// together or by one. A round is not cut short by `until`. Returns why, and of which CPU that is said, by its place among them.
    pub(in crate::machine) fn run_cpus(
        &mut self,
        until: u64,
        limit: Limit,
    ) -> Option<(usize, Stop)> {
        match self.turns.devices.as_slice() {
            [] => None,
            [one] => {
                let cpu = *one;
                self.slice_end = until;
                let stop = self.run_cpu(cpu, limit.of(0))?;
                self.turns.cpus[0].idle = stop == Stop::Wait;
                Some((0, stop))
            }
            _ => Some(self.run_turns(until, limit)),
        }
    }

    fn run_turns(&mut self, until: u64, limit: Limit) -> (usize, Stop) {
        let mut left = limit;
        loop {
            if !self.in_round() {
                let now = self.now();
                let quantum = self.turns.quantum;
                self.turns.end = (now / quantum + 1).saturating_mul(quantum).min(END_OF_TIME);
            }
            while let index = self.turns.next as usize
                && let Some(cpu) = self.turns.devices.get(index).copied()
            {
                let before = self.instructions_of(cpu);
                let stop = self.turn(index, left.of(index));
                left.take(self.instructions_of(cpu) - before);
                match stop {
                    // The turn is not over.
                    Stop::Deadline if self.request.is_some() || self.full => {
                        self.keep_up();
                        return (index, stop);
                    }
                    Stop::Deadline | Stop::Wait => self.turns.next += 1,
                    _ => {
                        self.keep_up();
                        return (index, stop);
                    }
                }
            }
            (self.turns.end, self.turns.next) = (0, 0);
            self.keep_up();
            if self.turns.cpus.iter().all(|turn| turn.idle) {
                return (0, Stop::Wait);
            }
            let now = self.now();
            if now >= until.min(self.next_timer) || now >= END_OF_TIME {
                return (0, Stop::Deadline);
            }
        }
    }

    /// Gives a CPU its turn, or the rest of it.
    fn turn(&mut self, index: usize, limit: u64) -> Stop {
        let (seen, cpu) = (self.now, self.turns.devices[index]);
        let turn = &self.turns.cpus[index];
        // What waits wakes no earlier than what wakes it has come.
        let from = match turn.idle {
            true => turn.time.max(seen),
            false => turn.time,
        };
        self.now = from;
        self.turns.seen = seen;
        self.slice_end = self.turns.end;
        let stop = self.run_cpu(cpu, limit).unwrap_or(Stop::Wait);
        let turn = &mut self.turns.cpus[index];
        // While it waits its clock stands still, however often it was looked at.
        if !turn.idle || stop != Stop::Wait || self.now != from {
            turn.time = self.now;
        }
        turn.idle = stop == Stop::Wait;
        self.now = self.turns.seen;
        stop
    }

    /// Devices see no earlier time than the machine has.
    fn keep_up(&mut self) {
        let all = self.turns.cpus.iter();
        let least = match all.clone().all(|turn| turn.idle) {
            true => all.map(|turn| turn.time).max().unwrap_or(0),
            false => self.now(),
        };
        self.now = self.now.max(least);
    }

    /// How many instructions all CPUs have executed.
    pub(in crate::machine) fn instructions(&mut self) -> u64 {
        let cpus = 0..self.turns.devices.len();
        cpus.map(|index| self.instructions_of(self.turns.devices[index]))
            .fold(0, u64::wrapping_add)
    }

    fn instructions_of(&mut self, cpu: DevId) -> u64 {
        let device = self.device(cpu);
        device
            .and_then(|d| d.processor())
            .map_or(0, |p| p.instructions())
    }

    /// All CPUs begin anew.
    pub(super) fn reset_turns(&mut self) {
        if self.turns.several() {
            let latest = self.turns.cpus.iter().map(|turn| turn.time).max();
            self.now = self.now.max(latest.unwrap_or(0));
        }
        (self.turns.end, self.turns.next) = (0, 0);
        for turn in &mut self.turns.cpus {
            (turn.time, turn.idle) = (self.now, false);
        }
    }

    /// A CPU, if it is one that runs, asks the bus: devices see the time of whoever is ahead.
    pub(super) fn lead(&mut self) {
        self.turns.lead = self.turns.seen.saturating_sub(self.now);
        self.now += self.turns.lead;
    }

    /// Its own time goes on.
    pub(super) fn follow(&mut self) {
        self.turns.seen = self.now;
        self.now -= self.turns.lead;
        self.turns.lead = 0;
    }

    /// An input of a device has risen: if that is a CPU that does not run, it has its turn soon.
    pub(super) fn called(&mut self, dev: DevId) {
        if self.in_round() && self.turns.devices.contains(&dev) {
            let now = (self.now - self.turns.lead).max(1);
            self.turns.end = self.turns.end.min(now);
            self.slice_end = self.slice_end.min(now);
        }
    }

    /// The state of the turns, of a machine that has several CPUs.
    pub(in crate::machine) fn turns(&self) -> &Turns {
        &self.turns
    }

    /// The same, to be loaded.
    pub(in crate::machine) fn turns_mut(&mut self) -> &mut Turns {
        &mut self.turns
    }

    /// Whether loaded turns can be those of a machine of so many CPUs that is at this time.
    ///
    /// # Errors
    /// They cannot.
    pub(in crate::machine) fn check_turns(&self) -> Result<(), StateError> {
        let refuse = |what: String| Err(StateError::new(what));
        let (turns, cpus) = (&self.turns, self.turns.devices.len());
        if turns.cpus.len() != cpus {
            return refuse(format!("{} CPUs, where there are {cpus}", turns.cpus.len()));
        }
        if turns.next as usize >= cpus {
            return refuse(format!("it is the turn of CPU {}", turns.next));
        }
        // Of a machine that was saved all are within a round of one another.
        let (now, most) = (self.now, 2 * LONGEST_NS);
        let times = turns.cpus.iter().map(|turn| turn.time);
        if let Some(time) = times
            .chain([turns.end])
            .find(|t| *t > now.saturating_add(most))
        {
            return refuse(format!("{time} ns is far ahead of {now} ns"));
        }
        let mut running = turns.cpus.iter().filter(|turn| !turn.idle);
        if let Some(turn) = running.find(|turn| turn.time < now.saturating_sub(most)) {
            return refuse(format!("{} ns is far behind {now} ns", turn.time));
        }
        Ok(())
    }
}

//! The run loop: instructions, timers, input and the passing of time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use solderless_model::{END_OF_TIME, Persist, Request, SlotKind, Stop};

use super::domain::turns::Limit;
use super::{Consumer, Machine};

/// Guest time between two looks at the host.
const SLICE_NS: u64 = 1_000_000;
/// How late an idle guest may be woken for its timers: waking the host's CPU costs more than a guest's tick, so several
/// ticks are run in one go, each at its own guest time. Input wakes the guest at once.
const SLACK_NS: u64 = 32_000_000;
/// How far a watched guest may run ahead of the wall clock before it is held.
const LEAD_NS: u64 = 2_000_000;
/// How long a deterministic machine at least stands still for a reader that takes nothing, if its run has a time limit.
const STANDSTILL: Duration = Duration::from_secs(30);
/// Instructions in a cycle of a watched guest's CPU at most.
const FASTEST: f64 = 64.0;

/// Something that happened outside the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Characters, or one frame of a network, for a board slot.
    Input(usize, Vec<u8>),
    /// No more characters will come for a board slot.
    InputEnd(usize),
    /// A break condition for a board slot.
    Break(usize),
    /// Have the machine stand still; it goes on when it is run again.
    Pause,
    /// A sink that was full may have room again.
    Room,
    /// End the program with this status.
    Quit(u8),
}

/// The world outside the machine.
pub trait Host {
    /// What has happened, without waiting.
    fn poll(&mut self) -> Option<Event>;
    /// What happens within this time; `None` for the time means for ever.
    fn wait(&mut self, time: Option<Duration>) -> Option<Event>;
    /// A slot's device has taken so many of the characters or frames that came, or the machine has dropped them.
    fn taken(&mut self, _slot: usize, _count: usize) {}
}

/// How guest time relates to the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// A person watches: guest time follows the wall clock, and a busy guest executes as many instructions in it as the host
    /// can, if that is not less than one in a cycle.
    Watched,
    /// Nobody watches: a busy guest runs as fast as it can, an idle one sleeps.
    Free,
    /// Guest time depends on instructions alone; an idle guest skips to its next event.
    Deterministic,
}

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The guest cut the power.
    PowerOff,
    /// The guest reset the board, and the run ends there.
    Reset,
    /// The time allowed is over.
    TimeUp,
    /// The host asked for the machine to stand still.
    Paused,
    /// The host asked for it, with this status.
    Quit(u8),
    /// A CPU, by its place among them, is where a debugger wanted it to stop, or has done its single step ([`Stop::Limit`]).
    Stopped(usize, Stop),
}

/// What ends a run, and how time passes in it.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// See [`Pace`].
    pub pace: Pace,
    /// A reset ends the run.
    pub no_reboot: bool,
    /// The longest it may take: guest time if deterministic, wall time otherwise.
    pub max_time: Option<Duration>,
}

/// Frames that wait for a device; further ones are lost, as on any network whose receiver is busy.
const FRAMES: usize = 256;

/// What came from outside and waits until a device takes it.
#[derive(Debug)]
pub(super) enum Pending {
    Characters(VecDeque<u8>),
    Frames(VecDeque<Vec<u8>>),
}

impl Pending {
    /// How many characters or frames wait.
    fn len(&self) -> usize {
        match self {
            Self::Characters(queue) => queue.len(),
            Self::Frames(queue) => queue.len(),
        }
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The queue, which is state.
    pub(super) fn state(&self) -> &dyn Persist {
        match self {
            Self::Characters(queue) => queue,
            Self::Frames(queue) => queue,
        }
    }

    /// The queue, to be loaded.
    pub(super) fn state_mut(&mut self) -> &mut dyn Persist {
        match self {
            Self::Characters(queue) => queue,
            Self::Frames(queue) => queue,
        }
    }

    fn push(&mut self, bytes: Vec<u8>) {
        match self {
            Self::Characters(queue) => queue.extend(bytes),
            Self::Frames(queue) if queue.len() < FRAMES => queue.push_back(bytes),
            Self::Frames(_) => {}
        }
    }
}

struct Clock {
    start: Instant,
    /// Guest time at `start`, moved on when a lead is forgiven.
    base: u64,
}

impl Clock {
    fn starting(base: u64) -> Self {
        Self {
            start: Instant::now(),
            base,
        }
    }

    fn wall(&self) -> u64 {
        self.base + self.start.elapsed().as_nanos() as u64
    }
}

impl Machine {
    /// Runs until something ends it.
    pub fn run(&mut self, run: Run, host: &mut dyn Host) -> End {
        let mut clock = Clock::starting(self.now());
        let begin = Instant::now();
        // Since when it has stood still for a reader.
        let mut still = None;
        // The end of the time allowed, if guest time decides.
        let last = match (run.pace, run.max_time) {
            (Pace::Deterministic, Some(limit)) => self
                .now()
                .saturating_add(u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX)),
            _ => u64::MAX,
        };
        if run.pace != Pace::Watched {
            self.set_pace(1.0);
        }
        loop {
            // Whatever ends the run finds no timer due, and what has been asked for stays to be done: a machine that is
            // saved now goes on as this one would.
            self.domain.run_timers();
            match self.domain.requested() {
                Some(Request::PowerOff) => return End::PowerOff,
                Some(Request::Reset) if run.no_reboot => return End::Reset,
                Some(Request::Reset) => {
                    tracing::info!("the guest resets the board");
                    self.reset();
                }
                None => {}
            }
            let before = (self.now(), clock.wall());
            while let Some(event) = host.poll() {
                if let Some(end) = self.take(event) {
                    return end;
                }
            }
            if run.max_time.is_some_and(|limit| match run.pace {
                Pace::Deterministic => self.now() >= last,
                Pace::Watched | Pace::Free => begin.elapsed() >= limit,
            }) {
                return End::TimeUp;
            }
            if self.now() >= END_OF_TIME {
                tracing::warn!("guest time ends, after 292 years");
                return End::TimeUp;
            }
            if let Some(time) = self.domain.full() {
                let since = *still.get_or_insert_with(Instant::now);
                let left = match (run.pace, run.max_time) {
                    (_, None) => time,
                    (Pace::Deterministic, Some(limit)) => {
                        limit.max(STANDSTILL).saturating_sub(since.elapsed())
                    }
                    (_, Some(limit)) => limit.saturating_sub(begin.elapsed()),
                };
                if left.is_zero() && run.pace == Pace::Deterministic {
                    tracing::warn!(
                        "the run ends before its guest time is over: nobody reads what the guest sends"
                    );
                    return End::TimeUp;
                }
                if let Some(end) = host.wait(Some(time.min(left))).and_then(|e| self.take(e)) {
                    return end;
                }
                // Guest time stood still.
                clock = Clock::starting(self.now());
                continue;
            }
            still = None;
            if self.now() >= self.look_at && !self.domain.in_round() {
                self.deliver(host);
            }
            let slice_end = ((self.now() / SLICE_NS + 1) * SLICE_NS).min(END_OF_TIME);
            let limit = self.stepping.map_or(Limit::None, Limit::Step);
            let stop = self.domain.run_cpus(last.min(slice_end), limit);
            if let Some((cpu, stop @ (Stop::Limit | Stop::Break(_) | Stop::Watch(_)))) = stop {
                self.stepping = None;
                // Input has its turn when it would have had it otherwise.
                self.look_at = slice_end;
                return End::Stopped(cpu, stop);
            }
            let stop = stop.map(|(_, stop)| stop);
            if self.domain.requested().is_some() {
                self.look_at = 0;
                continue;
            }
            // Where a run ends in the middle of a slice, input has its turn at the end of it, as if there had been no end.
            let cut = stop == Some(Stop::Deadline)
                && self.now() < slice_end.min(self.domain.next_timer());
            self.look_at = if cut { slice_end } else { 0 };
            if self.domain.is_full() {
                continue;
            }
            if stop != Some(Stop::Deadline) && self.can_deliver() {
                continue;
            }
            let sleep = match (stop, run.pace) {
                (Some(Stop::Wait) | None, Pace::Deterministic) => {
                    let next = self.domain.next_timer().min(last);
                    if next < u64::MAX {
                        self.domain.skip_to(next);
                    } else if let Some(end) = host.wait(None).and_then(|e| self.take(e)) {
                        // Nothing but input could go on from here.
                        return end;
                    }
                    None
                }
                (Some(Stop::Wait) | None, _) => {
                    let wall = clock.wall();
                    if run.pace == Pace::Free && self.now() > wall {
                        clock.base += self.now() - wall;
                    }
                    let next = self.domain.next_timer();
                    // Once: it goes on meanwhile.
                    let wall = clock.wall();
                    self.domain.skip_to(wall);
                    match next {
                        u64::MAX => Some(None),
                        next if next > wall => {
                            let time = (next - wall).max(SLACK_NS);
                            Some(Some(Duration::from_nanos(time)))
                        }
                        _ => None,
                    }
                }
                (_, Pace::Watched) => {
                    let (now, wall) = (self.now(), clock.wall());
                    self.follow([now - before.0, wall - before.1], now as f64 - wall as f64);
                    let lead = now.saturating_sub(wall);
                    (lead > LEAD_NS).then(|| Some(Duration::from_nanos(lead)))
                }
                (_, Pace::Free | Pace::Deterministic) => None,
            };
            if let Some(time) = sleep {
                let left = run
                    .max_time
                    .map(|limit| limit.saturating_sub(begin.elapsed()));
                let time = match (time, left) {
                    (Some(time), Some(left)) => Some(time.min(left)),
                    (time, left) => time.or(left),
                };
                if let Some(end) = host.wait(time).and_then(|e| self.take(e)) {
                    return end;
                }
                if stop != Some(Stop::Deadline) {
                    self.domain.skip_to(clock.wall());
                }
            }
        }
    }

    /// Adjusts how many instructions a cycle has, after a slice that took so much guest time and so much of the wall clock's,
    /// so that a busy guest goes on at the wall clock's pace. `lead` is how far it is ahead.
    fn follow(&mut self, [guest, wall]: [u64; 2], lead: f64) {
        // A lead is worked off within some 50 ms, and the speed of single slices says little.
        let correction = 1.0 + (lead / 5e7).clamp(-0.5, 0.5);
        let wanted = self.pace * guest as f64 / wall.max(1) as f64 * correction;
        self.set_pace((self.pace + (wanted - self.pace) / 8.0).clamp(1.0, FASTEST));
    }

    fn set_pace(&mut self, per_cycle: f64) {
        self.pace = per_cycle;
        for index in 0..self.domain.cpus().len() {
            if let Some(cpu) = self.cpu_at(index) {
                cpu.set_pace(per_cycle);
            }
        }
    }

    /// Has the machine stand still until the host says something that ends that, or this time is over.
    pub fn hold(&mut self, time: Option<Duration>, host: &mut dyn Host) -> End {
        let begin = Instant::now();
        loop {
            let left = time.map(|time| time.saturating_sub(begin.elapsed()));
            if left == Some(Duration::ZERO) {
                return End::TimeUp;
            }
            if let Some(end) = host.wait(left).and_then(|event| self.take(event)) {
                return end;
            }
        }
    }

    fn take(&mut self, event: Event) -> Option<End> {
        match event {
            Event::Input(slot, bytes) => {
                // What nobody takes is not kept.
                if let Some(to) = self.consumers.get(slot).copied().flatten() {
                    self.counted[slot] += match to.kind {
                        SlotKind::Netdev => 1,
                        _ => bytes.len(),
                    };
                    self.domain.input[slot].push(bytes);
                }
            }
            Event::Break(slot) => {
                if let Some(to) = self.consumers.get(slot).copied().flatten() {
                    self.domain.call(to.dev, |d, cx| {
                        d.chardev().map(|c| c.receive_break(cx, to.slot))
                    });
                }
            }
            Event::InputEnd(_) | Event::Room => {}
            Event::Pause => return Some(End::Paused),
            Event::Quit(status) => return Some(End::Quit(status)),
        }
        None
    }

    /// Whether a device would take input that waits for it.
    fn can_deliver(&mut self) -> bool {
        (0..self.domain.input.len())
            .any(|slot| !self.domain.input[slot].is_empty() && self.room(slot) > 0)
    }

    /// How many characters, or frames, the device behind a slot takes now.
    fn room(&mut self, slot: usize) -> usize {
        let Some(to) = self.consumers[slot] else {
            return 0;
        };
        let Some(device) = self.domain.device(to.dev) else {
            return 0;
        };
        match to.kind {
            SlotKind::Netdev => device
                .netdev()
                .map_or(0, |n| usize::from(n.can_receive(to.slot))),
            _ => device.chardev().map_or(0, |c| c.can_receive(to.slot)),
        }
    }

    fn deliver(&mut self, host: &mut dyn Host) {
        for slot in 0..self.domain.input.len() {
            self.deliver_to(slot);
            let waiting = self.domain.input[slot].len();
            if let Some(taken @ 1..) = self.counted[slot].checked_sub(waiting) {
                self.counted[slot] = waiting;
                host.taken(slot, taken);
            }
        }
    }

    fn deliver_to(&mut self, slot: usize) {
        let Some(to) = self.consumers[slot].filter(|_| !self.domain.input[slot].is_empty()) else {
            return;
        };
        let room = self.room(slot);
        match &mut self.domain.input[slot] {
            Pending::Characters(queue) => {
                let room = room.min(queue.len());
                if room > 0 {
                    let bytes: Vec<u8> = queue.drain(..room).collect();
                    self.domain.call(to.dev, |d, cx| {
                        d.chardev().map(|c| c.receive(cx, to.slot, &bytes))
                    });
                }
            }
            Pending::Frames(_) => {
                while self.room(slot) > 0
                    && let Pending::Frames(queue) = &mut self.domain.input[slot]
                    && let Some(frame) = queue.pop_front()
                {
                    self.domain.call(to.dev, |d, cx| {
                        d.netdev().map(|n| n.receive(cx, to.slot, &frame))
                    });
                }
            }
        }
    }
}

pub(super) fn queue(consumer: &Option<Consumer>) -> Pending {
    match consumer {
        Some(to) if to.kind == SlotKind::Netdev => Pending::Frames(VecDeque::new()),
        _ => Pending::Characters(VecDeque::new()),
    }
}

//! The run loop: instructions, timers, input and the passing of time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use solderless_model::{END_OF_TIME, Persist, Request, SlotKind, Stop};

use super::domain::turns::Limit;
use super::door::PACE;
use super::events::{Event, Message, Word};
use super::{Consumer, DiskFailed, Machine};

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
pub(super) const FASTEST: u32 = 64;

/// The world outside the machine.
pub trait Host {
    /// What has happened, without waiting.
    fn poll(&mut self) -> Option<Message>;
    /// What happens within this time; `None` for the time means for ever.
    fn wait(&mut self, time: Option<Duration>) -> Option<Message>;
    /// The guest has reset the board.
    fn was_reset(&mut self) {}
    /// A disk could not do what the guest asked for.
    fn disk_failed(&mut self, _failed: DiskFailed) {}
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
    /// The guest ends the program, with this status.
    Exit(u8),
    /// The guest reset the board, and the run ends there.
    Reset,
    /// The time allowed is over.
    TimeUp,
    /// The host asked for the machine to stand still.
    Paused,
    /// A disk could not do what the guest asked for, and the machine is to stand still until somebody has mended that. It is
    /// tried again when the machine is run.
    DiskError,
    /// The host asked for it, with this status.
    Quit(u8),
    /// A CPU, by its place among them, is where a debugger wanted it to stop, or has done its single step ([`Stop::Limit`]).
    Stopped(usize, Stop),
    /// The log that it is repeated from does not fit: [`Machine::conclude`] says why.
    Astray,
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
#[derive(Debug, Clone)]
pub(super) enum Pending {
    Characters(VecDeque<u8>),
    Frames(VecDeque<Vec<u8>>),
}

impl Pending {
    /// How many characters or frames wait.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Characters(queue) => queue.len(),
            Self::Frames(queue) => queue.len(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
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

    pub(super) fn push(&mut self, bytes: Vec<u8>) {
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
    /// Runs until something ends it. Where the host decides that, it is at a moment at which something could be
    /// let in, so that the end, too, is found again by its moment.
    pub fn run(&mut self, run: Run, host: &mut dyn Host) -> End {
        let repeated = self.door.is_repeated();
        let pace = match repeated {
            // The log says when something happens, and how fast CPUs are.
            true => Pace::Deterministic,
            false => run.pace,
        };
        let run = Run { pace, ..run };
        let mut clock = Clock::starting(self.now());
        let begin = Instant::now();
        // Since when it has stood still for a reader or a disk.
        let mut still = None;
        // What the host ends the run with, as soon as it can.
        let mut end = None;
        // The end of the time allowed, if guest time decides.
        let last = match (run.pace, run.max_time) {
            (Pace::Deterministic, Some(limit)) => self
                .now()
                .saturating_add(u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX)),
            _ => u64::MAX,
        };
        self.door.steady = run.pace == Pace::Deterministic;
        if run.pace != Pace::Watched && self.pace != PACE && !repeated {
            self.aim = PACE.into();
            self.door.put(Event::Pace(PACE));
        }
        // A log has no word of disks: their instants follow from guest time, and what they hold is as it was.
        self.domain
            .set_deterministic(self.door.steady || self.has_log());
        self.domain.try_again();
        loop {
            while end.is_none()
                && let Some(message) = host.poll()
            {
                end = self.hear(message, host);
            }
            // Whatever ends the run finds no timer due, and what has been asked for stays to be done: a machine that is
            // saved now goes on as this one would.
            self.domain.run_timers();
            match self.domain.requested() {
                Some(Request::PowerOff) => return End::PowerOff,
                Some(Request::Exit(status)) => return End::Exit(status),
                Some(Request::Reset) if run.no_reboot || self.logged_end() == Some(End::Reset) => {
                    return End::Reset;
                }
                Some(Request::Reset) => {
                    tracing::info!("the guest resets the board");
                    self.reset();
                    host.was_reset();
                }
                None => {}
            }
            let before = (self.now(), clock.wall());
            self.let_in();
            if self.door.trouble().is_some() {
                return End::Astray;
            }
            if self.domain.requested().is_some() {
                continue;
            }
            if self.domain.waits_for_disk() && (end.is_none() || !self.at_rest()) {
                let since = *still.get_or_insert_with(Instant::now);
                let left = run.max_time.map(|limit| match run.pace {
                    Pace::Deterministic => limit.max(STANDSTILL).saturating_sub(since.elapsed()),
                    Pace::Watched | Pace::Free => limit.saturating_sub(begin.elapsed()),
                });
                if left == Some(Duration::ZERO) {
                    tracing::warn!(
                        "the run ends before its guest time is over: a disk does not answer"
                    );
                    return End::TimeUp;
                }
                if let Some(message) = host.wait(left) {
                    end = self.hear(message, host).or(end);
                }
                continue;
            }
            if end.is_none() {
                end = self.logged_end();
            }
            let over = run.max_time.is_some_and(|limit| match run.pace {
                Pace::Deterministic => self.now() >= last,
                Pace::Watched | Pace::Free => begin.elapsed() >= limit,
            });
            if end.is_none() && (over || self.now() >= END_OF_TIME) {
                if !over {
                    tracing::warn!("guest time ends, after 292 years");
                }
                end = Some(End::TimeUp);
            }
            if let Some(end) = end.filter(|_| self.at_rest()) {
                return end;
            }
            if end.is_some() {
                // A little further, whoever does not read.
                self.domain.go_on();
            } else if let Some(time) = self.domain.full() {
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
                    end = Some(End::TimeUp);
                } else if let Some(message) = host.wait(Some(time.min(left))) {
                    end = self.hear(message, host);
                }
                // Guest time stood still.
                clock = Clock::starting(self.now());
                continue;
            }
            still = None;
            self.pass(host);
            let slice_end = match self.domain.in_round() && self.look_at > 0 {
                // A round belongs to the slice in which it has begun.
                true => self.look_at,
                false => ((self.now() / SLICE_NS + 1) * SLICE_NS).min(END_OF_TIME),
            };
            let until = match end {
                Some(_) => self.now() + 1,
                None => last.min(slice_end),
            };
            let (now, next) = (self.moment(), self.door.next_at());
            // All instructions until then are executed before time goes on to it.
            let left = next.map_or(0, |at| at.instructions.saturating_sub(now.instructions));
            let (left, until) = match (left, next) {
                (0, Some(at)) => (u64::MAX, until.min(at.ns)),
                (0, None) => (u64::MAX, until),
                (left, _) => (left, until),
            };
            let limit = Limit {
                left,
                step: self.stepping,
            };
            let stop = self.domain.run_cpus(until, limit);
            if self.domain.trace.is_some() {
                self.domain.trace_exceptions();
            }
            if let Some((cpu, stop @ (Stop::Limit | Stop::Break(_) | Stop::Watch(_)))) = stop
                && (stop != Stop::Limit || self.stepping == Some(cpu))
            {
                self.stepping = None;
                // Input has its turn when it would have had it otherwise.
                self.look_at = slice_end;
                // Whoever debugs does not hold up an end, which is said once.
                return match end {
                    Some(end) if end != End::Paused => end,
                    _ => End::Stopped(cpu, stop),
                };
            }
            let stop = stop.map(|(_, stop)| stop);
            if self.domain.requested().is_some() {
                self.look_at = 0;
                continue;
            }
            // Where a run ends in the middle of a slice, input has its turn at the end of it, as if there had been no end.
            let idle = matches!(stop, None | Some(Stop::Wait));
            let within = self.now() < slice_end.min(self.domain.next_timer());
            let cut = self.domain.in_round() || !idle && within;
            self.look_at = if cut { slice_end } else { 0 };
            if self.domain.is_full() {
                continue;
            }
            if idle && self.can_deliver() {
                // Once at each moment.
                if self.has_passed() {
                    self.domain.skip_to(self.now() + 1);
                }
                continue;
            }
            if idle && end.is_some() {
                self.domain.skip_to(self.now() + 1);
                continue;
            }
            let sleep = match (idle, run.pace) {
                (true, Pace::Deterministic) => {
                    let logged = self.door.next_at().map_or(u64::MAX, |at| at.ns);
                    let next = self.domain.next_timer().min(last).min(logged);
                    if repeated && next <= self.now() && self.has_passed() {
                        self.door.astray("the CPUs wait, and nothing comes");
                        return End::Astray;
                    }
                    if next < u64::MAX {
                        self.domain.skip_to(next);
                        None
                    } else {
                        // Nothing but input could go on from here.
                        Some(None)
                    }
                }
                (true, _) => {
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
                (false, Pace::Watched) => {
                    let (now, wall) = (self.now(), clock.wall());
                    self.follow([now - before.0, wall - before.1], now as f64 - wall as f64);
                    let lead = now.saturating_sub(wall);
                    (lead > LEAD_NS).then(|| Some(Duration::from_nanos(lead)))
                }
                (false, Pace::Free | Pace::Deterministic) => None,
            };
            if let Some(time) = sleep {
                let left = run
                    .max_time
                    .map(|limit| limit.saturating_sub(begin.elapsed()));
                let time = match (time, left) {
                    (Some(time), Some(left)) => Some(time.min(left)),
                    (time, left) => time.or(left),
                };
                if let Some(message) = host.wait(time) {
                    end = self.hear(message, host);
                }
                if idle && run.pace != Pace::Deterministic {
                    self.domain.skip_to(clock.wall());
                }
                // What has come is let in a moment later at least.
                if idle && self.door.waits() && self.has_passed() {
                    self.domain.skip_to(self.now() + 1);
                }
            }
        }
    }

    /// Adjusts how many instructions a cycle has, after a slice that took so much guest time and so much of the wall clock's,
    /// so that a busy guest goes on at the wall clock's pace. `lead` is how far it is ahead.
    fn follow(&mut self, [guest, wall]: [u64; 2], lead: f64) {
        // A lead is worked off within some 50 ms, and the speed of single slices says little.
        let correction = 1.0 + (lead / 5e7).clamp(-0.5, 0.5);
        let pace = f64::from(self.pace);
        let wanted = pace * guest as f64 / wall.max(1) as f64 * correction;
        let aim = self.aim + (wanted - self.aim) / 8.0;
        self.aim = aim.clamp(PACE.into(), (FASTEST * PACE).into());
        // What is not much is no event.
        if (self.aim - pace).abs() * 64.0 > pace {
            self.door.put(Event::Pace(self.aim.round() as u32));
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
            if let Some(message) = host.wait(left) {
                let end = self.hear(message, host);
                self.let_in();
                if let Some(end) = end {
                    return end;
                }
            }
        }
    }

    /// How a log has the run end now.
    fn logged_end(&mut self) -> Option<End> {
        if !self.door.is_repeated() {
            return None;
        }
        let now = self.moment();
        self.door.end(now)
    }

    /// Hears what comes; whether that ends the run.
    fn hear(&mut self, message: Message, host: &mut dyn Host) -> Option<End> {
        match message {
            Message::Done(done) => {
                let failed = self.domain.failed(&done);
                if let Some(failed) = failed {
                    host.disk_failed(failed);
                }
                if failed.is_some_and(|failed| failed.stops) {
                    return Some(End::DiskError);
                }
                self.domain.job_done(done);
            }
            Message::Event(event) if self.door.is_repeated() => {
                if let Event::Input(slot, bytes) = event {
                    host.taken(slot, self.amount(slot, &bytes));
                }
            }
            Message::Event(event) => self.door.put(event),
            Message::Word(Word::InputEnd(_) | Word::Room) => {}
            Message::Word(Word::Pause) => return Some(End::Paused),
            Message::Word(Word::Quit(status)) => return Some(End::Quit(status)),
        }
        None
    }
}

pub(super) fn queue(consumer: &Option<Consumer>) -> Pending {
    match consumer {
        Some(to) if to.kind == SlotKind::Netdev => Pending::Frames(VecDeque::new()),
        _ => Pending::Characters(VecDeque::new()),
    }
}

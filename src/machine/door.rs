//! The door of a machine: the one way in for what comes from outside.
//!
//! What comes waits at the door and is let in at a moment at which it is open: between two rounds of the CPUs, with nothing asked
//! of the machine, and only until the machine goes on from there. Then the moment alone tells where in the run it was: a
//! machine that is in the same state, and is given the same at the same moments, does the same to the last instruction,
//! wherever else either of them has been stopped.
//!
//! Characters and frames that were let in wait in the queue of their slot, which is state, for the device to take them. It is offered
//! them where the run would be without its host too: at the ends of slices, at timers, where the CPUs wait, and where something was let in.

use std::collections::VecDeque;

use solderless_model::{BusError, DevId, SlotKind};

use super::boot::random_seed;
use super::events::{Event, Moment};
use super::log::{Entry, Journal, LogError, NO_HASH, Script};
use super::run::End;
use super::{Host, Machine, Pending};

/// Cycles in which a CPU executes the number of instructions that [`Event::Pace`] has.
pub(super) const PACE: u32 = 64;

/// Where what is let in comes from, and whether that is written down.
#[derive(Debug, Default)]
enum Mode {
    /// From outside.
    #[default]
    Live,
    /// From outside, and it is written down.
    Logged(Journal),
    /// From a log: nothing comes from outside.
    Repeated(Script),
}

/// The way into a machine for what comes from outside. A new one lets in what comes, and keeps nothing of it.
#[derive(Debug, Default)]
pub struct Door {
    mode: Mode,
    /// What has come and is not let in yet.
    waiting: VecDeque<Event>,
    /// The moment from which the machine went on last: the door is not open there again.
    passed: Option<Moment>,
    /// Something was let in at the present moment.
    came: bool,
    /// What the guest does depends on nothing but what comes: it comes in where the run would be without its host.
    pub(super) steady: bool,
}

impl Door {
    /// One of which all that it lets in is written down.
    pub fn logged(to: Journal) -> Self {
        Self {
            mode: Mode::Logged(to),
            ..Self::default()
        }
    }

    /// One that lets in what a log has, and nothing else.
    pub fn repeated(from: Script) -> Self {
        Self {
            mode: Mode::Repeated(from),
            ..Self::default()
        }
    }

    /// Whether what is let in comes from a log.
    pub(super) fn is_repeated(&self) -> bool {
        matches!(self.mode, Mode::Repeated(_))
    }

    /// Why a run cannot be repeated any further.
    pub(super) fn trouble(&self) -> Option<&LogError> {
        match &self.mode {
            Mode::Repeated(script) => script.trouble(),
            Mode::Live | Mode::Logged(_) => None,
        }
    }

    /// When a log lets in something next.
    pub(super) fn next_at(&self) -> Option<Moment> {
        match &self.mode {
            Mode::Repeated(script) => script.next_at(),
            Mode::Live | Mode::Logged(_) => None,
        }
    }

    /// How a log has the run end now.
    pub(super) fn end(&self, now: Moment) -> Option<End> {
        match &self.mode {
            Mode::Repeated(script) => script.end(now),
            Mode::Live | Mode::Logged(_) => None,
        }
    }

    /// The run is not the one that the log is of.
    pub(super) fn astray(&mut self, what: &str) {
        if let Mode::Repeated(script) = &mut self.mode {
            script.astray(what.to_owned());
        }
    }

    fn note(&mut self, at: Moment, entry: &Entry) {
        if let Mode::Logged(journal) = &mut self.mode {
            journal.note(at, entry);
        }
    }

    /// What the outside has to say now: `drawn` of the host, or of a log what it drew then.
    fn ask<T>(
        &mut self,
        now: Moment,
        drawn: impl FnOnce() -> Entry,
        wanted: impl Fn(Entry) -> Option<T>,
        what: &str,
    ) -> Option<T> {
        if let Mode::Repeated(script) = &mut self.mode {
            let entry = script.take(now, |entry| wanted(entry.clone()).is_some());
            if entry.is_none() {
                script.astray(format!(
                    "the run is at {now}, and the log has no {what} there"
                ));
            }
            return entry.and_then(wanted);
        }
        let entry = drawn();
        self.note(now, &entry);
        wanted(entry)
    }

    /// The calendar at power-on, seconds since 1970, which the host says is this.
    pub(super) fn calendar(&mut self, host: i64) -> i64 {
        let seconds = |entry| match entry {
            Entry::Calendar(seconds) => Some(seconds),
            _ => None,
        };
        let power_on = Moment::default();
        let asked = self.ask(power_on, || Entry::Calendar(host), seconds, "calendar");
        asked.unwrap_or(host)
    }

    /// What the kernel's random numbers start from after a reset.
    pub(super) fn seed(&mut self, now: Moment) -> String {
        let seed = |entry| match entry {
            Entry::Seed(seed) => Some(seed),
            _ => None,
        };
        let asked = self.ask(now, || Entry::Seed(random_seed()), seed, "seed");
        asked.unwrap_or_default()
    }

    /// The door of another machine that takes the place of this one.
    pub(super) fn anew(self) -> Self {
        Self {
            passed: None,
            came: false,
            ..self
        }
    }

    /// Something has come.
    pub(super) fn put(&mut self, event: Event) {
        self.waiting.push_back(event);
    }

    /// Whether something waits to be let in.
    pub(super) fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The input for a slot that waits.
    pub(super) fn input(&self, slot: usize) -> impl Iterator<Item = &[u8]> {
        self.waiting.iter().filter_map(move |event| match event {
            Event::Input(to, bytes) if *to == slot => Some(&bytes[..]),
            _ => None,
        })
    }
}

/// Nothing comes to a machine whose run is repeated from a log, but what the log has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the run is repeated from a log, and nothing else can come to the machine")]
pub struct Repeated;

/// Why something cannot be read for someone who looks at a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unseen {
    /// Nothing answers.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// A device may act on it.
    #[error(transparent)]
    Repeated(#[from] Repeated),
    /// The same, and a log has no line for it.
    #[error("the machine stands within a round of its CPUs, for which a log has no moment")]
    Midway,
}

impl Machine {
    /// Where in its run the machine is.
    pub fn moment(&mut self) -> Moment {
        Moment {
            ns: self.now(),
            instructions: self.domain.instructions(),
        }
    }

    /// Whether the run can end here, or something be let in: the machine has not gone on from this moment, and nothing is half done.
    pub(super) fn at_rest(&mut self) -> bool {
        !self.domain.in_round() && self.domain.requested().is_none() && !self.has_passed()
    }

    /// Whether the machine has gone on from this moment.
    pub(super) fn has_passed(&mut self) -> bool {
        let moment = self.moment();
        self.door.passed == Some(moment)
    }

    /// Whether the run would be here without its host: what waits for a device is offered to it.
    fn is_regular(&self) -> bool {
        self.now() >= self.look_at
    }

    /// Lets in what waits, if the door is open. What follows from one thing is done before the next.
    pub(super) fn let_in(&mut self) {
        while self.at_rest()
            && let Some(event) = self.next_event()
        {
            // What was asked is nobody's but the asker's.
            let _ = self.act(event);
        }
    }

    /// What is let in next at this moment.
    fn next_event(&mut self) -> Option<Event> {
        let (now, regular) = (self.moment(), self.is_regular());
        if let Mode::Repeated(script) = &mut self.door.mode {
            let event = script.take(now, |entry| matches!(entry, Entry::Event(_)));
            return event.and_then(|entry| match entry {
                Entry::Event(event) => Some(event),
                _ => None,
            });
        }
        let late = |event: &Event| matches!(event, Event::Input(..)) && !regular;
        match self.door.waiting.front() {
            Some(event) if self.door.steady && late(event) => None,
            _ => self.door.waiting.pop_front(),
        }
    }

    /// Has something happen to the machine while it stands still: now, if the door is open, else when it is.
    ///
    /// # Errors
    /// The run is repeated from a log.
    pub fn tell(&mut self, event: Event) -> Result<(), Repeated> {
        if self.door.is_repeated() {
            return Err(Repeated);
        }
        self.door.put(event);
        self.let_in();
        Ok(())
    }

    /// Reads from the bus as the first CPU does, for someone who looks at the machine while it stands still. Of memory the guest does not
    /// notice.
    ///
    /// # Errors
    /// Nothing answers, or the run is one where it cannot be asked now.
    pub fn examine(&mut self, at: u64, size: u8) -> Result<u64, Unseen> {
        if let Some(value) = self.domain.glance(at, size) {
            return Ok(value);
        }
        if self.door.is_repeated() {
            return Err(Repeated.into());
        }
        if self.has_log() && !self.at_rest() {
            return Err(Unseen::Midway);
        }
        Ok(self.act(Event::Read { at, size })?)
    }

    /// Whether what comes to the machine is written down, or comes from a log.
    pub fn has_log(&self) -> bool {
        !matches!(self.door.mode, Mode::Live)
    }

    /// The log begins here, behind what came at power-on; or the machine is the one that the log begins with.
    ///
    /// # Errors
    /// It is another one.
    pub fn begin(&mut self) -> Result<(), LogError> {
        if !self.has_log() {
            return Ok(());
        }
        let (now, hash) = (self.moment(), self.state_hash());
        self.door.note(now, &Entry::Start(hash));
        if let Mode::Repeated(script) = &mut self.door.mode {
            let start = script.take(now, |entry| matches!(entry, Entry::Start(_)));
            match (script.trouble(), start) {
                (Some(trouble), _) => return Err(trouble.clone()),
                (None, Some(Entry::Start(logged))) if logged == hash => {}
                (None, Some(_)) => {
                    return Err(script.error(
                        "the machine is not the one that the log begins with: give the same options and the same files",
                    ));
                }
                (None, None) => {
                    return Err(
                        script.error(format!("the log begins elsewhere: the machine is at {now}"))
                    );
                }
            }
        }
        Ok(())
    }

    /// The run has ended. A repeated one has to end as the one that was logged, unless its host has ended it before.
    ///
    /// # Errors
    /// It does not.
    pub fn conclude(&mut self, end: End) -> Result<(), LogError> {
        if !self.has_log() {
            return Ok(());
        }
        let (now, hash) = (self.moment(), self.state_hash());
        self.door.note(now, &Entry::End(end, hash));
        let Mode::Repeated(script) = &mut self.door.mode else {
            return Ok(());
        };
        match script.take(now, |entry| matches!(entry, Entry::End(..))) {
            // One that was written behind what is left of a log has no hash.
            Some(Entry::End(_, NO_HASH)) => {}
            Some(Entry::End(logged, state)) if logged == end => {
                if state != hash {
                    script.astray(format!("the run ends at {now} in another state"));
                }
            }
            // Whoever runs it has ended it before.
            None if !matches!(end, End::PowerOff | End::Reset | End::Exit(_)) => {}
            _ => script.astray(format!("the run ends at {now}: {end:?}")),
        }
        script.trouble().cloned().map_or(Ok(()), Err)
    }

    /// Goes on from this moment, if no round has begun: devices are offered what waits for them, if the run is where it would be
    /// without its host or something was let in.
    pub(super) fn pass(&mut self, host: &mut dyn Host) {
        if self.domain.in_round() {
            return;
        }
        if std::mem::take(&mut self.door.came) || self.is_regular() {
            self.deliver(host);
        }
        self.door.passed = Some(self.moment());
    }

    /// Has an event happen, with what follows from it at once. There is no other way in which the outside reaches a guest. The answer is
    /// what was read.
    fn act(&mut self, event: Event) -> Result<u64, BusError> {
        let now = self.moment();
        let entry = Entry::Event(event);
        self.door.note(now, &entry);
        self.door.came = true;
        let mut answer = Ok(0);
        let Entry::Event(event) = entry else {
            return answer;
        };
        match event {
            Event::Input(slot, bytes) => {
                // What nobody takes is not kept.
                if self.consumers.get(slot).copied().flatten().is_some() {
                    if !self.door.is_repeated() {
                        self.counted[slot] += self.amount(slot, &bytes);
                    }
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
            Event::Pace(pace) => {
                self.pace = pace;
                self.set_pace_again();
            }
            Event::Reset => self.reset(),
            Event::Button(device, pin) => self.domain.pulse(DevId(device as u32), pin),
            Event::Key { device, code, down } => {
                self.domain.call(DevId(device as u32), |d, cx| {
                    d.keyboard().map(|keyboard| keyboard.key(cx, code, down))
                });
            }
            Event::Read { at, size } => answer = self.ask_bus(at, size),
        }
        self.domain.run_timers();
        answer
    }

    /// How much comes into a slot with this: characters, or one frame.
    pub(super) fn amount(&self, slot: usize, bytes: &[u8]) -> usize {
        match self.consumers.get(slot) {
            Some(Some(to)) if to.kind == SlotKind::Netdev => 1,
            _ => bytes.len(),
        }
    }

    /// Tells the CPUs their pace.
    pub(super) fn set_pace_again(&mut self) {
        let per_cycle = f64::from(self.pace) / f64::from(PACE);
        for index in 0..self.domain.cpus().len() {
            if let Some(cpu) = self.cpu_at(index) {
                cpu.set_pace(per_cycle);
            }
        }
    }

    /// What the first CPU would read from the bus.
    pub(super) fn ask_bus(&mut self, at: u64, size: u8) -> Result<u64, BusError> {
        let cpu = *self.domain.cpus().first().ok_or(BusError)?;
        self.domain
            .call(cpu, |_, cx| cx.bus_read(at, size))
            .unwrap_or(Err(BusError))
    }

    /// Whether a device would take input that waits for it.
    pub(super) fn can_deliver(&mut self) -> bool {
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

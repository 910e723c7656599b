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

use super::events::{Event, Moment};
use super::{Host, Machine, Pending};

/// Cycles in which a CPU executes the number of instructions that [`Event::Pace`] has.
pub(super) const PACE: u32 = 64;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Door {
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
            self.door.came = true;
            self.act(event);
            self.domain.run_timers();
        }
    }

    /// What is let in next at this moment.
    fn next_event(&mut self) -> Option<Event> {
        let regular = self.is_regular();
        let late = |event: &Event| matches!(event, Event::Input(..)) && !regular;
        match self.door.waiting.front() {
            Some(event) if self.door.steady && late(event) => None,
            _ => self.door.waiting.pop_front(),
        }
    }

    /// Has something happen to the machine while it stands still: now, if the door is open, else when it is.
    pub fn tell(&mut self, event: Event) {
        self.door.put(event);
        self.let_in();
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

    /// Has an event happen. There is no other way in which the outside reaches a guest.
    fn act(&mut self, event: Event) {
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
            Event::Pace(pace) => {
                self.pace = pace;
                self.set_pace_again();
            }
            Event::Reset => self.reset(),
            Event::Button(device, pin) => self.domain.pulse(DevId(device as u32), pin),
            Event::Read { at, size } => drop(self.ask_bus(at, size)),
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

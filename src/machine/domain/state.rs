//! The state of a domain beside its devices': its time and its lines.

use solderless_model::{
    DevId, END_OF_TIME, Persist, Pin, Reader, Request, State, StateError, Writer,
};

use super::Domain;

/// The time of a machine, and what it owes.
#[derive(Debug, Default, State)]
pub struct Clock {
    /// Guest time in nanoseconds since power-on.
    now: u64,
    /// Calendar time at power-on, seconds since 1970.
    epoch: i64,
    /// When input from outside is looked at next, in guest time.
    look_at: u64,
    /// What a device has asked for.
    #[state(since = 2, default = None)]
    request: Option<Request>,
}

impl Clock {
    /// The clock of a machine at this guest time.
    pub fn at(now: u64) -> Self {
        Self {
            now,
            ..Self::default()
        }
    }
}

impl Domain {
    /// Its time, with when input is to be looked at.
    pub(in crate::machine) fn clock(&self, look_at: u64) -> Clock {
        Clock {
            now: self.now,
            epoch: self.epoch,
            look_at,
            request: self.request,
        }
    }

    /// Takes a loaded time.
    ///
    /// # Errors
    /// It is not one that a machine can have.
    pub(in crate::machine) fn set_clock(&mut self, clock: &Clock) -> Result<(), StateError> {
        if clock.now >= END_OF_TIME {
            return Err(StateError::new(format!(
                "now is {} ns, and guest time ends at {END_OF_TIME} ns",
                clock.now
            )));
        }
        self.now = clock.now;
        self.epoch = clock.epoch;
        Ok(())
    }

    /// Goes on with devices, turns and time that were loaded, at these levels of the outputs. Returns when input is to be
    /// looked at.
    ///
    /// # Errors
    /// A device's state contradicts itself or a level. The domain is then of no use any more.
    pub(in crate::machine) fn loaded(
        &mut self,
        clock: &Clock,
        levels: &Levels,
    ) -> Result<u64, StateError> {
        for place in &mut self.places {
            place.stale_memory = true;
        }
        self.set_levels(levels);
        self.restoring = Some(None);
        let restored = self.restore_devices();
        self.restoring = None;
        self.request = clock.request;
        restored.map(|()| clock.look_at)
    }

    fn restore_devices(&mut self) -> Result<(), StateError> {
        for index in 0..self.places.len() {
            let result = self.visit(DevId(index as u32), |d, cx| d.restored(cx));
            let path = &self.places[index].path;
            if let Some(Err(e)) = result {
                return Err(StateError::new(format!("{path}: {e}")));
            }
            if let Some(Some(pin)) = self.restoring {
                let level = self.places[index].outputs.get(usize::from(pin.0));
                let saved = if level.is_some_and(|o| o.high) {
                    "high"
                } else {
                    "low"
                };
                return Err(StateError::new(format!(
                    "{path}: its state does not agree with output {}, which was {saved}",
                    pin.0
                )));
            }
        }
        Ok(())
    }

    /// The level of every output.
    pub(in crate::machine) fn output_levels(&self) -> Levels {
        let outputs = self.places.iter().flat_map(|p| &p.outputs);
        Levels(outputs.map(|o| o.high).collect())
    }

    /// Sets the level of every output, and of the inputs that follow from them, without edges.
    pub(super) fn set_levels(&mut self, levels: &Levels) {
        let mut levels = levels.0.iter();
        for dev in 0..self.places.len() {
            for pin in 0..self.places[dev].outputs.len() {
                let high = levels.next().copied().unwrap_or(false);
                self.places[dev].outputs[pin].high = high;
                for sink in 0..self.places[dev].outputs[pin].sinks.len() {
                    let (to, input) = self.places[dev].outputs[pin].sinks[sink];
                    if high {
                        self.hold(to, input);
                    }
                }
            }
        }
    }

    fn hold(&mut self, dev: DevId, input: Pin) {
        let place = &mut self.places[dev.0 as usize];
        if let Some(count) = place.inputs.get_mut(usize::from(input.0)) {
            *count += 1;
            place.levels.set(input, true);
        }
    }
}

/// Levels of outputs, as many as there are.
pub(in crate::machine) struct Levels(Vec<bool>);

impl Persist for Levels {
    fn save(&self, out: &mut Writer) {
        self.0.iter().for_each(|level| level.save(out));
    }
    fn load(&mut self, from: &mut Reader<'_>) -> Result<(), StateError> {
        self.0.iter_mut().try_for_each(|level| level.load(from))
    }
}

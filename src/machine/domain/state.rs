//! The state of a domain: its devices', its lines', and its time.

use solderless_model::{
    DevId, END_OF_TIME, Persist, Pin, Reader, Request, State, StateError, Writer,
};

use super::Domain;
use super::turns::TURNS;

/// The section of [`Clock`]. No device's name has a `/`.
pub const CLOCK: &str = "/clock";
/// The section of the lines: for each device with outputs, in order, their levels.
pub const LINES: &str = "/lines";

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
    /// Writes every device's state, the lines' and the clock's. Between two runs nothing else is going on.
    pub(in crate::machine) fn save(&self, out: &mut Writer, look_at: u64) {
        for place in &self.places {
            if let Some(device) = &place.device {
                out.section(&place.path, &**device);
            }
        }
        let clock = Clock {
            now: self.now,
            epoch: self.epoch,
            look_at,
            request: self.request,
        };
        out.section(CLOCK, &clock);
        if let Some(turns) = self.turns() {
            out.section(TURNS, turns);
        }
        out.section(LINES, &Levels(self.output_levels()));
    }

    /// Loads what [`Domain::save`] wrote. Returns when input is to be looked at.
    ///
    /// # Errors
    /// A section is missing, or holds what its device cannot have. The domain is then of no use any more.
    pub(in crate::machine) fn restore(&mut self, from: &mut Reader<'_>) -> Result<u64, StateError> {
        self.clear();
        for place in &mut self.places {
            if let Some(device) = &mut place.device {
                from.section(&place.path, &mut **device)?;
            }
            place.stale_memory = true;
        }
        let mut clock = Clock::default();
        from.section(CLOCK, &mut clock)?;
        if clock.now >= END_OF_TIME {
            return Err(StateError::new(format!(
                "{CLOCK}: now is {} ns, and guest time ends at {END_OF_TIME} ns",
                clock.now
            )));
        }
        self.now = clock.now;
        self.epoch = clock.epoch;
        self.load_turns(from)?;
        let mut levels = Levels(self.output_levels());
        from.section(LINES, &mut levels)?;
        self.set_levels(&levels.0);
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
    fn output_levels(&self) -> Vec<bool> {
        let outputs = self.places.iter().flat_map(|p| &p.outputs);
        outputs.map(|o| o.high).collect()
    }

    /// Sets the level of every output, and of the inputs that follow from them, without edges.
    fn set_levels(&mut self, levels: &[bool]) {
        let mut levels = levels.iter();
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
struct Levels(Vec<bool>);

impl Persist for Levels {
    fn save(&self, out: &mut Writer) {
        self.0.iter().for_each(|level| level.save(out));
    }
    fn load(&mut self, from: &mut Reader<'_>) -> Result<(), StateError> {
        self.0.iter_mut().try_for_each(|level| level.load(from))
    }
}

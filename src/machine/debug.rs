//! What a debugger asks of a machine: where to stop, single steps, memory as it sees it.

use solderless_model::memory::{PAGE, Ram};
use solderless_model::{BusError, Place, Stops};

use super::Machine;

impl Machine {
    /// Has every CPU stop where a debugger wants it: a run then ends by [`End::Stopped`](super::End::Stopped), and the next one
    /// goes on from there. What the guest does does not depend on it. False, with nothing changed, where a CPU cannot.
    pub fn set_stops(&mut self, stops: Stops) -> bool {
        let cpus = self.domain.cpus().len();
        let all = (0..cpus).all(|cpu| self.cpu_at(cpu).is_some_and(|c| c.set_stops(&stops)));
        if all {
            self.stops = stops;
        } else {
            self.set_stops_again();
        }
        all
    }

    /// Where the CPUs are to stop.
    pub fn stops(&self) -> &Stops {
        &self.stops
    }

    /// Tells the CPUs what they were told before.
    pub(super) fn set_stops_again(&mut self) {
        let stops = std::mem::take(&mut self.stops);
        for cpu in 0..self.domain.cpus().len() {
            self.cpu_at(cpu).map(|c| c.set_stops(&stops));
        }
        self.stops = stops;
    }

    /// Has the next run end after one instruction of this CPU, by its place among them; `None` takes that back. A branch goes with its delay slot, an
    /// exception or an interrupt that is taken with the first instruction of its handler. The other CPUs have their turns as
    /// always, and a CPU that waits does so until it executes something.
    pub fn step_cpu(&mut self, cpu: Option<usize>) {
        self.stepping = cpu;
    }

    /// Has what programs ask of a debugger end the run, see [`Processor::set_semihosting`](solderless_model::Processor::set_semihosting); false,
    /// with nothing changed, where a CPU cannot.
    pub fn set_semihosting(&mut self, on: bool) -> bool {
        let cpus = self.domain.cpus().len();
        let set = |machine: &mut Self, on| {
            (0..cpus).all(|cpu| machine.cpu_at(cpu).is_some_and(|c| c.set_semihosting(on)))
        };
        let all = set(self, on);
        if all {
            self.semihosting = on;
        } else {
            set(self, self.semihosting);
        }
        all
    }

    /// Reads memory as a CPU sees it now, with no effect on it or on any device.
    ///
    /// # Errors
    /// Not all of it is memory, or nothing translates the address.
    pub fn peek(&mut self, cpu: usize, at: Place, out: &mut [u8]) -> Result<(), BusError> {
        let mut left = &mut *out;
        for (ram, offset, len) in self.pieces(cpu, at, left.len())? {
            let (piece, rest) = left.split_at_mut(len);
            ram.read(offset, piece).map_err(|_| BusError)?;
            left = rest;
        }
        Ok(())
    }

    /// Writes memory as a CPU sees it now, all or nothing; memory that the guest can only read too.
    ///
    /// # Errors
    /// As [`Machine::peek`].
    pub fn poke(&mut self, cpu: usize, at: Place, data: &[u8]) -> Result<(), BusError> {
        let mut left = data;
        for (ram, offset, len) in self.pieces(cpu, at, left.len())? {
            let (piece, rest) = left.split_at(len);
            ram.write(offset, piece).map_err(|_| BusError)?;
            left = rest;
        }
        Ok(())
    }

    /// Where bytes are in memory: in which, from where, how many.
    fn pieces(
        &mut self,
        cpu: usize,
        at: Place,
        len: usize,
    ) -> Result<Vec<(Ram, u64, usize)>, BusError> {
        let dev = *self.domain.cpus().get(cpu).ok_or(BusError)?;
        let mut pieces = Vec::new();
        let mut done = 0;
        while done < len {
            let at = match at {
                Place::Physical(at) => at.checked_add(done as u64).ok_or(BusError)?,
                Place::Virtual(at) => {
                    let va = at.wrapping_add(done as u64);
                    let cpu = self.cpu_at(cpu).ok_or(BusError)?;
                    cpu.look(va).ok_or(BusError)?
                }
            };
            let (ram, offset, room) = self.domain.memory_of(dev, at).ok_or(BusError)?;
            // The next page may be elsewhere.
            let room = room.min(PAGE - at % PAGE).min((len - done) as u64) as usize;
            pieces.push((ram, offset, room));
            done += room;
        }
        Ok(pieces)
    }
}

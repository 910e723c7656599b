//! What the domain does for its devices.

use std::fmt;

use solderless_model::{
    BusError, Cycle, DevId, Fabric, Job, JobId, Medium, On, Page, Pin, PinLevels, PortId, RegionId,
    Request, SlotId, Space, TimerId, Transfer,
};

use super::errors::Master;
use super::{Change, Domain, PAGE};
use crate::machine::run::Pending;
use crate::machine::space::Rank;

impl Fabric for Domain {
    fn now(&self) -> u64 {
        self.now
    }

    fn epoch(&self) -> i64 {
        self.epoch
    }

    fn arm(&mut self, dev: DevId, id: TimerId, at: Option<u64>) {
        if let Some(before) = self.armed.remove(&(dev, id)) {
            self.timers.remove(&(before, dev, id));
        }
        if let Some(at) = at {
            self.timers.insert((at, dev, id));
            self.armed.insert((dev, id), at);
        }
        self.plan_timer();
    }

    fn set(&mut self, dev: DevId, pin: Pin, high: bool) {
        let Some(output) = self.places[dev.0 as usize]
            .outputs
            .get_mut(usize::from(pin.0))
        else {
            return;
        };
        if output.high == high {
            return;
        }
        if let Some(otherwise) = &mut self.restoring {
            otherwise.get_or_insert(pin);
            return;
        }
        output.high = high;
        if let Some(trace) = &mut self.trace
            && trace.wants_lines()
        {
            let path = &self.places[dev.0 as usize].path;
            trace.tell_line(self.now, path, pin.0.into(), high);
        }
        for index in 0..self.places[dev.0 as usize].outputs[usize::from(pin.0)]
            .sinks
            .len()
        {
            let (to, input) = self.places[dev.0 as usize].outputs[usize::from(pin.0)].sinks[index];
            let Some(count) = self.places[to.0 as usize]
                .inputs
                .get_mut(usize::from(input.0))
            else {
                continue;
            };
            let before = *count > 0;
            *count = if high {
                *count + 1
            } else {
                count.saturating_sub(1)
            };
            if before != (*count > 0) {
                self.changes.push_back((to, Change::Line(input, high)));
            }
        }
    }

    fn levels(&self, dev: DevId) -> &PinLevels {
        &self.places[dev.0 as usize].levels
    }

    fn map(&mut self, dev: DevId, region: RegionId, at: u64, size: u64, target: u64) {
        self.unmap(dev, region);
        self.add_window(dev, region, (at, size, target), Rank::Placed, None);
    }

    fn unmap(&mut self, dev: DevId, region: RegionId) {
        let place = &self.places[dev.0 as usize];
        let (Some(bus), Some(state)) = (place.bus, place.region(region)) else {
            return;
        };
        let rank = if state.region.background {
            Rank::Background
        } else {
            Rank::Placed
        };
        if let Some(space) = self.buses[bus].space(state.region.space)
            && self.spaces[space.0].remove(dev, region, rank)
        {
            self.generation += 1;
        }
    }

    fn memory_changed(&mut self, dev: DevId, _: RegionId) {
        self.places[dev.0 as usize].stale_memory = true;
    }

    fn cycle(&mut self, dev: DevId, on: On, cycle: Cycle) -> Result<u64, BusError> {
        let Cycle::Access {
            space,
            at,
            size,
            write,
        } = cycle
        else {
            return self.select(dev, on, cycle);
        };
        let space = self.master_space(dev, on, space).ok_or(BusError)?;
        self.begin(Master::new(dev, at, size, write));
        let result = self.access(space, at, size, write);
        self.end(result.is_err());
        result
    }

    fn dma(&mut self, dev: DevId, at: u64, mut bytes: Transfer<'_>) -> Result<(), BusError> {
        let space = self.dma_space(dev).ok_or(BusError)?;
        let len = match &bytes {
            Transfer::Read(out) => out.len(),
            Transfer::Write(data) => data.len(),
        };
        let mut done = 0;
        while done < len {
            let address = at.checked_add(done as u64).ok_or(BusError)?;
            let (block, offset, room) = self.memory_at(space, address).ok_or(BusError)?;
            let piece = done..done + room.min((len - done) as u64) as usize;
            done = piece.end;
            let moved = match &mut bytes {
                Transfer::Read(out) => block.ram.read(offset, &mut out[piece]),
                Transfer::Write(data) if block.writable => block.ram.write(offset, &data[piece]),
                Transfer::Write(_) => return Err(BusError),
            };
            moved.map_err(|_| BusError)?;
        }
        Ok(())
    }

    fn burst(&mut self, dev: DevId, port: PortId, device: u8, bytes: Transfer<'_>) -> usize {
        let bus = self.bus(dev, On::Port(port)).map(|bus| &self.buses[bus]);
        let Some(to) = bus.and_then(|bus| bus.by_address.get(&device)) else {
            return 0;
        };
        let moved = self.visit(*to, |d, cx| d.ide().map(|ide| ide.dma(cx, bytes)));
        moved.flatten().unwrap_or(0)
    }

    fn call_owner(&mut self, dev: DevId) {
        let bus = self.places[dev.0 as usize].bus;
        if let Some((owner, port)) = bus.and_then(|bus| self.buses[bus].owner) {
            self.changes.push_back((owner, Change::Bus(port)));
        }
    }

    fn page(&self, dev: DevId, at: u64) -> Page {
        let page = at & !(PAGE - 1);
        match self
            .master_space(dev, On::Own, Space::Memory)
            .and_then(|space| self.memory_at(space, page))
        {
            Some((b, offset, len)) if b.readable && len >= PAGE && offset.is_multiple_of(PAGE) => {
                Page::Memory {
                    ram: b.ram.clone(),
                    offset,
                    writable: b.writable,
                }
            }
            _ => Page::Registers,
        }
    }

    fn map_generation(&self) -> u64 {
        self.generation
    }

    fn occupied_slots(&mut self, dev: DevId) -> u32 {
        let place = &self.places[dev.0 as usize];
        let Some(bus) = place.bus.map(|bus| &self.buses[bus]) else {
            return 0;
        };
        let places = &mut self.places;
        let functions = bus.by_address.iter().filter(|(_, id)| {
            // One that is being called is a function; a connector with nothing in it is none.
            let device = places[id.0 as usize].device.as_mut();
            device.is_none_or(|device| device.pci().is_some())
        });
        functions.fold(0, |slots, (devfn, _)| slots | 1 << (devfn >> 3 & 31))
    }

    fn send(&mut self, dev: DevId, slot: SlotId, bytes: &[u8]) {
        let slot = self.board_slot(dev, slot);
        if let Some(sink) = slot.and_then(|s| self.sinks.get_mut(s)) {
            sink.send(bytes);
            self.full |= sink.wait().is_some();
        }
    }

    fn store(&mut self, dev: DevId, slot: SlotId, offset: u64, bytes: &[u8]) {
        let slot = self.board_slot(dev, slot);
        if let Some(sink) = slot.and_then(|s| self.sinks.get_mut(s)) {
            sink.store(offset, bytes);
            self.full |= sink.wait().is_some();
        }
    }

    fn give_back(&mut self, dev: DevId, slot: SlotId, characters: &[u8]) {
        let slot = self.board_slot(dev, slot);
        if let Some(Pending::Characters(queue)) = slot.and_then(|s| self.input.get_mut(s)) {
            characters.iter().rev().for_each(|c| queue.push_front(*c));
        }
    }

    fn medium(&self, dev: DevId, slot: SlotId) -> Option<Medium> {
        self.medium_in(self.board_slot(dev, slot))
    }

    fn submit(&mut self, dev: DevId, slot: SlotId, job: Job) -> JobId {
        self.make_job(self.board_slot(dev, slot), job)
    }

    fn jobs(&self, dev: DevId, slot: SlotId) -> usize {
        let drive = self.board_slot(dev, slot).and_then(|slot| self.drive(slot));
        drive.map_or(0, |drive| drive.waiting())
    }

    fn request(&mut self, request: Request) {
        // An end wins over a reset asked for in the same breath, and the first of two counts.
        if matches!(self.request, None | Some(Request::Reset)) {
            self.request = Some(request);
        }
    }

    fn advance(&mut self, ns: u64, pc: u64) {
        self.now += ns;
        self.pc = pc;
    }

    fn deadline(&self) -> u64 {
        if self.request.is_some() || self.full {
            0
        } else {
            self.next_timer.min(self.slice_end)
        }
    }

    fn guest_error(&mut self, dev: DevId, what: fmt::Arguments<'_>) {
        let path = &self.places[dev.0 as usize].path;
        self.errors.note(path, self.pc, self.access, what);
    }

    fn warn(&mut self, dev: DevId, what: fmt::Arguments<'_>) {
        tracing::warn!("{}: {what}", self.places[dev.0 as usize].path);
    }
}

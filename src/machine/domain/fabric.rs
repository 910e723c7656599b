//! What the domain does for its devices.

use std::fmt;

use solderless_model::pci;
use solderless_model::{
    BusError, DevId, Fabric, I2c, Page, Pin, PinLevels, PortId, RegionId, Request, SlotId, TimerId,
};

use super::errors::Master;
use super::{Domain, PAGE};
use crate::machine::run::Pending;
use crate::machine::space::Rank;

impl Fabric for Domain {
    fn now(&self) -> u64 {
        self.now
    }

    fn epoch(&self) -> i64 {
        self.epoch
    }

    fn arm(&mut self, dev: DevId, id: TimerId, at: u64) {
        self.disarm(dev, id);
        self.timers.insert((at, dev, id));
        self.armed.insert((dev, id), at);
        self.next_timer = self.next_timer.min(at);
    }

    fn disarm(&mut self, dev: DevId, id: TimerId) {
        if let Some(at) = self.armed.remove(&(dev, id)) {
            self.timers.remove(&(at, dev, id));
            self.next_timer = self.timers.first().map_or(u64::MAX, |t| t.0);
        }
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
                self.edges.push_back((to, input, high));
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
        let (Some(bus), Some(state)) = (place.bus, place.regions.get(usize::from(region.0))) else {
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

    fn bus_read(&mut self, dev: DevId, at: u64, size: u8) -> Result<u64, BusError> {
        let space = self.master_space(dev).ok_or(BusError)?;
        self.begin(Master::new(dev, at, size, None));
        let result = self.space_read(space, at, size);
        self.end(result.is_err());
        result
    }

    fn bus_write(&mut self, dev: DevId, at: u64, size: u8, value: u64) -> Result<(), BusError> {
        let space = self.master_space(dev).ok_or(BusError)?;
        self.begin(Master::new(dev, at, size, Some(value)));
        let result = self.space_write(space, at, size, value);
        self.end(result.is_err());
        result
    }

    fn dma_read(&mut self, dev: DevId, at: u64, out: &mut [u8]) -> Result<(), BusError> {
        self.dma(dev, at, out.len(), |b, offset, done, len| {
            b.ram
                .read(offset, &mut out[done..done + len])
                .map_err(|_| BusError)
        })
    }

    fn dma_write(&mut self, dev: DevId, at: u64, data: &[u8]) -> Result<(), BusError> {
        self.dma(dev, at, data.len(), |b, offset, done, len| {
            match b.writable {
                true => b
                    .ram
                    .write(offset, &data[done..done + len])
                    .map_err(|_| BusError),
                false => Err(BusError),
            }
        })
    }

    fn page(&self, dev: DevId, at: u64) -> Page {
        let page = at & !(PAGE - 1);
        match self
            .master_space(dev)
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

    fn config_read(
        &mut self,
        dev: DevId,
        port: PortId,
        devfn: u8,
        offset: u8,
        size: u8,
    ) -> Option<u32> {
        let bus = *self.places[dev.0 as usize].ports.get(usize::from(port.0))?;
        let function = *self.buses[bus].by_address.get(&devfn)?;
        self.visit(function, |d, _| {
            d.pci().map(|f| f.config().get(offset, size))
        })?
    }

    fn config_write(
        &mut self,
        dev: DevId,
        port: PortId,
        devfn: u8,
        offset: u8,
        size: u8,
        value: u32,
    ) -> bool {
        let bus = self.places[dev.0 as usize]
            .ports
            .get(usize::from(port.0))
            .copied();
        let Some(function) = bus.and_then(|b| self.buses[b].by_address.get(&devfn).copied()) else {
            return false;
        };
        let written = self.visit(function, |d, cx| match d.pci() {
            Some(f) => {
                pci::config_write(f, cx, offset, size, value);
                true
            }
            None => false,
        });
        written.unwrap_or(false)
    }

    fn interrupt_acknowledge(&mut self, dev: DevId, port: PortId) -> Option<u8> {
        let bus = *self.places[dev.0 as usize].ports.get(usize::from(port.0))?;
        for index in 0..self.buses[bus].members.len() {
            let member = self.buses[bus].members[index];
            if let Some(vector) = self
                .visit(member, |d, cx| d.interrupt_acknowledge(cx))
                .flatten()
            {
                return Some(vector);
            }
        }
        None
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

    fn i2c(&mut self, dev: DevId, port: PortId, address: u8, event: I2c) -> Option<u8> {
        let bus = *self.places[dev.0 as usize].ports.get(usize::from(port.0))?;
        let target = *self.buses[bus].by_address.get(&address)?;
        self.visit(target, |d, _| d.i2c().and_then(|t| t.event(event)))?
    }

    fn send(&mut self, dev: DevId, slot: SlotId, bytes: &[u8]) {
        let slot = self.board_slot(dev, slot);
        if let Some(sink) = slot.and_then(|s| self.sinks.get_mut(s)) {
            sink.send(bytes);
            self.full |= sink.wait().is_some();
        }
    }

    fn give_back(&mut self, dev: DevId, slot: SlotId, characters: &[u8]) {
        let slot = self.board_slot(dev, slot);
        if let Some(Pending::Characters(queue)) = slot.and_then(|s| self.input.get_mut(s)) {
            characters.iter().rev().for_each(|c| queue.push_front(*c));
        }
    }

    fn request(&mut self, request: Request) {
        // Power-off wins over a reset asked for in the same breath.
        if self.request != Some(Request::PowerOff) {
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

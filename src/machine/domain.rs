//! A domain: devices in their places, and everything between them. Its only owner is the machine.
//!
//! To visit a device it is taken out of its place, called with a [`Cx`] that reaches the rest, and put back, so a
//! device can be called from within another's call, but not from within its own. Line changes queue up and are
//! delivered when the outermost call is over, before the CPU goes on.

mod errors;
mod fabric;
pub(super) mod jobs;
mod map;
pub(super) mod state;
#[cfg(test)]
mod tests;
pub(super) mod turns;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::time::Duration;

use solderless_model::memory::Ram;
use solderless_model::{
    Access, Backing, BusError, BusKind, Cx, Cycle, DevId, Device, END_OF_TIME, Fabric, On, Open,
    Page, Pin, PinLevels, PortId, Region, RegionId, RegionKind, Request, SlotId,
    Space as SpaceKind, TimerId,
};

use self::errors::{GuestErrors, Master};
use self::jobs::Drive;
use self::turns::Turns;
use super::Consumer;
use super::run::Pending;
use super::space::{Behind, Rank, Space, SpaceId, Target, Window, resolve};
use super::trace::{Field, Trace};
use crate::plan;

/// A guest page is mapped by pointer only in whole pages of this size.
const PAGE: u64 = solderless_model::memory::PAGE;
/// Line changes that may follow from one event; more means that the wiring oscillates.
const SETTLE_LIMIT: usize = 10_000;
/// The region under which a CPU sees the bus it sits on.
const WHOLE_BUS: RegionId = RegionId(u8::MAX);

/// Where what a device sends to a slot of the board goes: characters, or for a network one frame at a time.
pub trait Sink {
    /// Takes it all, or drops it if nobody listens. It never waits.
    fn send(&mut self, bytes: &[u8]);

    /// Takes what has become of a part of a memory.
    fn store(&mut self, _offset: u64, _bytes: &[u8]) {}

    /// Whether it keeps what it takes of a memory.
    fn stores(&self) -> bool {
        false
    }

    /// While it has too little room, the machine stands still, until [`Word::Room`](super::Word::Room) or for this long;
    /// then it is asked again.
    fn wait(&mut self) -> Option<Duration> {
        None
    }

    /// What it has taken and not passed on yet.
    fn backlog(&self) -> Backlog {
        Backlog::default()
    }
}

/// What a sink has not passed on yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Bytes.
    pub bytes: usize,
    /// It is to be passed on however long that takes.
    pub patient: bool,
}

/// What has changed for a device.
#[derive(Debug, Clone, Copy)]
enum Change {
    /// The level of an input.
    Line(Pin, bool),
    /// A line of a bus that it offers: somebody there calls.
    Bus(PortId),
}

/// A bus: its spaces, and who sits on it.
#[derive(Debug)]
pub(super) struct BusState {
    kind: BusKind,
    memory: Option<SpaceId>,
    io: Option<SpaceId>,
    /// The bus of the device that offers this one.
    parent: Option<usize>,
    /// That device, and by which port.
    owner: Option<(DevId, PortId)>,
    /// By PCI slot × 8 + function, or I²C address.
    by_address: BTreeMap<u8, DevId>,
    members: Vec<DevId>,
}

struct RegionState {
    region: Region,
    backing: Option<Backing>,
}

struct Output {
    high: bool,
    sinks: Vec<(DevId, Pin)>,
}

struct Place {
    path: String,
    device: Option<Box<dyn Device>>,
    bus: Option<usize>,
    ports: Vec<usize>,
    /// By number: of those that its properties have.
    regions: Vec<Option<RegionState>>,
    outputs: Vec<Output>,
    /// How many outputs hold each input high.
    inputs: Vec<u32>,
    /// The input levels as delivered.
    levels: PinLevels,
    /// By slot of the device: the slot of the board.
    slots: Vec<Option<usize>>,
    stale_memory: bool,
}

impl Place {
    fn region(&self, id: RegionId) -> Option<&RegionState> {
        self.regions.get(usize::from(id.0))?.as_ref()
    }
}

/// See the module.
pub struct Domain {
    places: Vec<Place>,
    buses: Vec<BusState>,
    spaces: Vec<Space>,
    /// The spaces of CPUs that have windows of their own.
    views: BTreeMap<DevId, SpaceId>,
    /// By slot of the board: where goes what a device sends.
    sinks: Vec<Box<dyn Sink>>,
    /// By slot of the board: what has come from outside and waits for the guest to take it.
    pub(super) input: Vec<Pending>,
    /// A sink may be full.
    full: bool,
    /// By slot of the board, for those that take disks: whose it is, and what is to be done there.
    drives: BTreeMap<usize, (Consumer, Drive)>,
    /// When the first of their jobs is done, if that is known, else the end of time.
    next_job: u64,
    /// Guest time alone says when a job is done.
    deterministic: bool,
    changes: VecDeque<(DevId, Change)>,
    timers: BTreeSet<(u64, DevId, TimerId)>,
    armed: BTreeMap<(DevId, TimerId), u64>,
    next_timer: u64,
    now: u64,
    epoch: i64,
    slice_end: u64,
    turns: Turns,
    request: Option<Request>,
    generation: u64,
    /// Device calls in progress, the CPU's not counted.
    depth: u32,
    /// While state is loaded: outputs keep their level, and the first that a device drives otherwise is noted.
    restoring: Option<Option<Pin>>,
    /// Where the CPU was when it last let time pass.
    pc: u64,
    /// What the CPU is asking the bus.
    access: Option<Master>,
    errors: GuestErrors,
    /// What is traced.
    pub(super) trace: Option<Box<Trace>>,
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Domain({} devices at {} ns)",
            self.places.len(),
            self.now
        )
    }
}

/// What a device connects to, for [`Domain::add`].
pub(super) struct Seating {
    pub path: String,
    pub bus: Option<usize>,
    /// Its PCI slot × 8 + function, or I²C address.
    pub address: Option<u8>,
    pub regions: Vec<Region>,
    pub outputs: usize,
    pub inputs: usize,
    /// For each of its slots that take characters or frames: the slot of the board.
    pub slots: Vec<Option<usize>>,
}

impl Domain {
    /// An empty domain whose calendar stood at `epoch` (seconds since 1970) at power-on. Bus 0 is the system bus.
    pub(super) fn new(epoch: i64) -> Self {
        let mut domain = Self {
            places: Vec::new(),
            buses: Vec::new(),
            spaces: Vec::new(),
            views: BTreeMap::new(),
            sinks: Vec::new(),
            input: Vec::new(),
            full: false,
            drives: BTreeMap::new(),
            next_job: u64::MAX,
            deterministic: false,
            changes: VecDeque::new(),
            timers: BTreeSet::new(),
            armed: BTreeMap::new(),
            next_timer: u64::MAX,
            now: 0,
            epoch,
            slice_end: 0,
            turns: Turns::default(),
            request: None,
            generation: 0,
            depth: 0,
            restoring: None,
            pc: 0,
            access: None,
            errors: GuestErrors::default(),
            trace: None,
        };
        domain.add_bus(BusKind::System, None, 0);
        domain
    }

    fn add_bus(&mut self, kind: BusKind, parent: Option<usize>, wait_ns: u32) -> usize {
        let mut space = |space| {
            let rules = kind.space(space)?;
            self.spaces
                .push(Space::new(rules.last, rules.open, wait_ns));
            Some(SpaceId(self.spaces.len() - 1))
        };
        let memory = space(SpaceKind::Memory);
        let io = space(SpaceKind::Io);
        self.buses.push(BusState {
            kind,
            memory,
            io,
            parent,
            owner: None,
            by_address: BTreeMap::new(),
            members: Vec::new(),
        });
        self.buses.len() - 1
    }

    /// Makes room for a device. Its buses must be offered and its windows mapped before it runs.
    pub(super) fn add(&mut self, device: Box<dyn Device>, seating: Seating) -> DevId {
        let id = DevId(self.places.len() as u32);
        if let Some(bus) = seating.bus {
            self.buses[bus].members.push(id);
            if let Some(address) = seating.address {
                self.buses[bus].by_address.insert(address, id);
            }
        }
        let mut regions = Vec::new();
        for region in seating.regions {
            let number = usize::from(region.id.0);
            if regions.len() <= number {
                regions.resize_with(number + 1, || None);
            }
            regions[number] = Some(RegionState {
                region,
                backing: None,
            });
        }
        self.places.push(Place {
            path: seating.path,
            device: Some(device),
            bus: seating.bus,
            ports: Vec::new(),
            regions,
            outputs: (0..seating.outputs)
                .map(|_| Output {
                    high: false,
                    sinks: Vec::new(),
                })
                .collect(),
            inputs: vec![0; seating.inputs],
            levels: PinLevels::new(),
            slots: seating.slots,
            stale_memory: true,
        });
        id
    }

    /// Adds the bus behind the device's next port and returns its number.
    pub(super) fn offer(&mut self, dev: DevId, kind: BusKind, wait_ns: u32) -> usize {
        let parent = self.places[dev.0 as usize].bus;
        let bus = self.add_bus(kind, parent, wait_ns);
        let ports = &mut self.places[dev.0 as usize].ports;
        self.buses[bus].owner = Some((dev, PortId(ports.len() as u8)));
        ports.push(bus);
        bus
    }

    /// Connects an output to an input.
    pub(super) fn wire(&mut self, from: (DevId, Pin), to: (DevId, Pin)) {
        if let Some(output) = self.places[from.0.0 as usize]
            .outputs
            .get_mut(usize::from(from.1.0))
        {
            output.sinks.push(to);
        }
    }

    /// Maps a window that the plan places.
    pub(super) fn place(&mut self, dev: DevId, window: &plan::Window) {
        let rank = if window.over { Rank::Over } else { Rank::Board };
        let view = window.cpu.and_then(|cpu| self.view(DevId(cpu as u32)));
        let extent = (window.at, window.size, window.offset);
        self.add_window(dev, window.region, extent, rank, view);
    }

    /// What one CPU sees: its own windows, and behind them the bus it sits on.
    fn view(&mut self, cpu: DevId) -> Option<SpaceId> {
        if let Some(view) = self.views.get(&cpu) {
            return Some(*view);
        }
        let bus = self.master_space(cpu, On::Own, SpaceKind::Memory)?;
        let mut space = Space::new(u64::MAX, Open::Error, 0);
        space.add(Window {
            dev: cpu,
            region: WHOLE_BUS,
            at: 0,
            last: u64::MAX,
            offset: 0,
            behind: Behind::Space(bus),
            rank: Rank::Background,
        });
        self.spaces.push(space);
        let view = SpaceId(self.spaces.len() - 1);
        self.views.insert(cpu, view);
        Some(view)
    }

    /// Sets the sinks behind the board's slots, in their order.
    pub(super) fn set_sinks(&mut self, sinks: Vec<Box<dyn Sink>>) {
        self.sinks = sinks;
    }

    /// Puts another sink behind a slot of the board.
    pub(super) fn plug(&mut self, slot: usize, sink: Box<dyn Sink>) {
        if let Some(place) = self.sinks.get_mut(slot) {
            *place = sink;
        }
    }

    /// What the memory has that a slot of the board fills, if its device tells.
    pub(super) fn image(&self, slot: usize) -> Option<Vec<u8>> {
        self.places.iter().find_map(|place| {
            let own = place.slots.iter().position(|of| *of == Some(slot))?;
            place.device.as_ref()?.image(SlotId(own as u8))
        })
    }

    /// Takes over what is plugged into another domain of the same board.
    pub(super) fn take_plugged(&mut self, other: &mut Self) {
        self.sinks = std::mem::take(&mut other.sinks);
        self.take_disks(other);
        for slot in 0..self.sinks.len() {
            if self.sinks[slot].stores()
                && let Some(image) = self.image(slot)
            {
                self.sinks[slot].store(0, &image);
            }
        }
        self.full = other.full;
    }

    /// Adds a window of a region: where it lies, its length, and where in the region it starts. `view` is the space that it
    /// lies in if it is not the device's bus's.
    fn add_window(
        &mut self,
        dev: DevId,
        id: RegionId,
        (at, size, offset): (u64, u64, u64),
        rank: Rank,
        view: Option<SpaceId>,
    ) {
        let place = &self.places[dev.0 as usize];
        let (Some(bus), Some(state)) = (place.bus, place.region(id)) else {
            return;
        };
        let (space, behind) = match state.region.kind {
            RegionKind::Bridge { port, space } => {
                let child = place
                    .ports
                    .get(usize::from(port.0))
                    .and_then(|bus| self.buses[*bus].space(space));
                let Some(child) = child else { return };
                (
                    self.buses[bus].space(state.region.space),
                    Behind::Space(child),
                )
            }
            _ => (self.buses[bus].space(state.region.space), Behind::Region),
        };
        let size = match behind {
            Behind::Region => size.min(state.region.size.saturating_sub(offset)),
            Behind::Space(_) => size,
        };
        let rank = if state.region.background {
            Rank::Background
        } else {
            rank
        };
        if let Some(space) = view.or(space)
            && size > 0
        {
            let last = at.saturating_add(size - 1);
            self.spaces[space.0].add(Window {
                dev,
                region: id,
                at,
                last,
                offset,
                behind,
                rank,
            });
            self.generation += 1;
        }
    }

    /// Calls a device. `None` if it is already being called.
    fn visit<R>(
        &mut self,
        dev: DevId,
        call: impl FnOnce(&mut dyn Device, &mut Cx<'_>) -> R,
    ) -> Option<R> {
        let Some(mut device) = self.places[dev.0 as usize].device.take() else {
            tracing::error!(
                "{} was called from within its own call",
                self.places[dev.0 as usize].path
            );
            return None;
        };
        self.depth += 1;
        let result = call(&mut *device, &mut Cx::new(self, dev));
        self.depth -= 1;
        self.put_back(dev, device);
        Some(result)
    }

    fn put_back(&mut self, dev: DevId, device: Box<dyn Device>) {
        let place = &mut self.places[dev.0 as usize];
        if std::mem::take(&mut place.stale_memory) {
            for state in place.regions.iter_mut().flatten() {
                if state.region.kind == RegionKind::Memory {
                    state.backing = device.memory(state.region.id);
                }
            }
            self.generation += 1;
        }
        place.device = Some(device);
    }

    /// Delivers line changes until there are none.
    fn settle(&mut self) {
        if self.depth > 0 || self.changes.is_empty() {
            return;
        }
        for _ in 0..SETTLE_LIMIT {
            let Some((dev, change)) = self.changes.pop_front() else {
                return;
            };
            let (pin, high) = match change {
                Change::Line(pin, high) => (pin, high),
                Change::Bus(port) => {
                    self.visit(dev, |d, cx| d.attend(cx, port));
                    continue;
                }
            };
            let place = &mut self.places[dev.0 as usize];
            place.levels.set(pin, high);
            // A running CPU reads its levels itself.
            if place.device.is_some() {
                if high {
                    self.called(dev);
                }
                self.visit(dev, |d, cx| d.line(cx, pin, high));
            }
        }
        tracing::error!("lines do not settle; the board's wiring oscillates");
        self.changes.clear();
    }

    /// Runs a CPU until something else has to happen.
    fn run_cpu(&mut self, cpu: DevId, limit: u64) -> Option<solderless_model::Stop> {
        let mut device = self.places.get_mut(cpu.0 as usize)?.device.take()?;
        let stop = device
            .processor()
            .map(|p| p.run(&mut Cx::new(self, cpu), limit));
        self.put_back(cpu, device);
        self.settle();
        stop
    }

    /// Calls a device from outside and settles what follows.
    pub(super) fn call<R>(
        &mut self,
        dev: DevId,
        call: impl FnOnce(&mut dyn Device, &mut Cx<'_>) -> R,
    ) -> Option<R> {
        let result = self.visit(dev, call);
        self.settle();
        result
    }

    /// Whether an input of a device is high.
    pub(super) fn is_high(&self, dev: DevId, pin: Pin) -> bool {
        let place = self.places.get(dev.0 as usize);
        let drivers = place.and_then(|place| place.inputs.get(usize::from(pin.0)));
        drivers.is_some_and(|drivers| *drivers > 0)
    }

    /// Has an input of a device high for an instant, as a button does.
    pub(super) fn pulse(&mut self, dev: DevId, pin: Pin) {
        for high in [true, false] {
            let place = self.places.get_mut(dev.0 as usize);
            let Some(drivers) = place.and_then(|p| p.inputs.get_mut(usize::from(pin.0))) else {
                return;
            };
            let before = *drivers > 0;
            *drivers = match high {
                true => *drivers + 1,
                false => drivers.saturating_sub(1),
            };
            if before != (*drivers > 0) {
                self.changes.push_back((dev, Change::Line(pin, high)));
            }
            self.settle();
        }
    }

    /// A look at a device that is in its place.
    pub(super) fn device(&mut self, dev: DevId) -> Option<&mut (dyn Device + 'static)> {
        self.places.get_mut(dev.0 as usize)?.device.as_deref_mut()
    }

    /// The same of one that stands still.
    pub(super) fn at_rest(&self, dev: DevId) -> Option<&dyn Device> {
        self.places.get(dev.0 as usize)?.device.as_deref()
    }

    /// Runs every timer that is due, and tells of every job that is done, each in order of its time.
    pub(super) fn run_timers(&mut self) {
        if self.in_round() {
            return;
        }
        while self.next_timer <= self.now() {
            match self.timers.first().copied() {
                Some((at, dev, id)) if at < self.next_job => {
                    self.timers.remove(&(at, dev, id));
                    self.armed.remove(&(dev, id));
                    self.plan_timer();
                    self.call(dev, |d, cx| d.timer(cx, id));
                }
                _ if self.finish_job() => {}
                _ => return,
            }
        }
    }

    /// Works out when the next timer or job is due.
    fn plan_timer(&mut self) {
        let timer = self.timers.first().map_or(u64::MAX, |t| t.0);
        self.next_timer = timer.min(self.next_job);
    }

    /// Takes away what devices have done outside of themselves: timers, lines, regions they have placed.
    pub(super) fn clear(&mut self) {
        self.request = None;
        self.timers.clear();
        self.armed.clear();
        self.forget_jobs();
        self.changes.clear();
        self.spaces.iter_mut().for_each(Space::remove_placed);
        for place in &mut self.places {
            place.levels = PinLevels::new();
            place.inputs.fill(0);
            place.outputs.iter_mut().for_each(|o| o.high = false);
        }
    }

    /// Presses the board's reset: all devices in order, with lines low and nothing placed by devices.
    pub(super) fn reset(&mut self) {
        self.clear();
        self.reset_turns();
        // Devices see the reset as one moment: nothing settles until all have had it.
        for index in 0..self.places.len() {
            self.visit(DevId(index as u32), |d, cx| d.reset(cx));
        }
        self.settle();
    }

    /// Logs how often the guest did what is logged a few times only.
    pub(super) fn sum_up(&self) {
        self.errors.sum_up();
    }

    /// Lets time pass without instructions, at most to the next timer.
    pub(super) fn skip_to(&mut self, at: u64) {
        self.now = self.now.max(at.min(self.next_timer).min(END_OF_TIME));
    }

    /// When the next timer is due; `u64::MAX` if none is armed.
    pub(super) fn next_timer(&self) -> u64 {
        self.next_timer
    }

    /// What has been asked of the machine. A reset is what it asked for, once it is done.
    pub(super) fn requested(&self) -> Option<Request> {
        self.request
    }

    /// The slot of the board behind one of a device's.
    fn board_slot(&self, dev: DevId, slot: SlotId) -> Option<usize> {
        let slots = &self.places[dev.0 as usize].slots;
        slots.get(usize::from(slot.0)).copied().flatten()
    }

    /// Whether the CPU was stopped because a sink was full.
    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    /// The CPUs run whether a sink is full or not, until something is sent.
    pub(super) fn go_on(&mut self) {
        self.full = false;
    }

    /// How long to stand still because a sink is full, before this is asked again.
    pub(super) fn full(&mut self) -> Option<Duration> {
        if !self.full {
            return None;
        }
        let wait = self.sinks.iter_mut().filter_map(|sink| sink.wait()).min();
        self.full = wait.is_some();
        wait
    }

    /// What the sinks have not passed on yet.
    pub(super) fn backlog(&self) -> Backlog {
        let sinks = self.sinks.iter().map(|sink| sink.backlog());
        sinks.fold(Backlog::default(), |sum, one| Backlog {
            bytes: sum.bytes + one.bytes,
            patient: sum.patient || one.patient && one.bytes > 0,
        })
    }

    /// Writes memory as a loader does: read-only memory takes it too.
    ///
    /// # Errors
    /// Not all of it is memory.
    pub(super) fn load(&mut self, mut at: u64, mut data: &[u8]) -> Result<(), BusError> {
        while !data.is_empty() {
            let (backing, offset, len) = self.memory_at(SpaceId(0), at).ok_or(BusError)?;
            let len = len.min(data.len() as u64) as usize;
            backing
                .ram
                .write(offset, &data[..len])
                .map_err(|_| BusError)?;
            data = &data[len..];
            at += len as u64;
        }
        Ok(())
    }

    fn memory_at(&self, space: SpaceId, at: u64) -> Option<(&Backing, u64, u64)> {
        let Some(Target::Region {
            dev,
            region,
            offset,
            len,
            ..
        }) = resolve(&self.spaces, space, at)
        else {
            return None;
        };
        let state = self.places[dev.0 as usize].region(region)?;
        let backing = state.backing.as_ref()?;
        let len = len.min(backing.len.saturating_sub(offset));
        (len > 0).then_some((backing, backing.offset + offset, len))
    }

    /// The memory at an address of a CPU's bus: which, where in it, and how much lies together there.
    pub(super) fn memory_of(&self, cpu: DevId, at: u64) -> Option<(Ram, u64, u64)> {
        let (backing, offset, len) =
            self.memory_at(self.master_space(cpu, On::Own, SpaceKind::Memory)?, at)?;
        Some((backing.ram.clone(), offset, len))
    }

    /// What is in memory at an address of the first CPU's bus, if it is memory that the CPU reads without asking a device.
    pub(super) fn glance(&self, at: u64, size: u8) -> Option<u64> {
        let Page::Memory { ram, offset, .. } = self.page(*self.cpus().first()?, at) else {
            return None;
        };
        let (within, size) = (at % PAGE, usize::from(size));
        let mut bytes = [0; 8];
        let fits = within + size as u64 <= PAGE;
        let read = fits.then(|| ram.read(offset + within, bytes.get_mut(..size)?).ok());
        read.flatten().map(|()| u64::from_le_bytes(bytes))
    }

    /// The space of a bus that a device's accesses go to: for a CPU with windows of its own, what it alone sees.
    fn master_space(&self, dev: DevId, on: On, space: SpaceKind) -> Option<SpaceId> {
        if let (On::Own, SpaceKind::Memory, Some(view)) = (on, space, self.views.get(&dev)) {
            return Some(*view);
        }
        self.buses[self.bus(dev, on)?].space(space)
    }

    /// The system memory that a bus master reaches: up through the bridges to the system bus.
    fn dma_space(&self, dev: DevId) -> Option<SpaceId> {
        let mut bus = self.places[dev.0 as usize].bus?;
        while self.buses[bus].kind != BusKind::System {
            bus = self.buses[bus].parent?;
        }
        self.buses[bus].memory
    }

    /// Reads a space, or writes a value to it. The answer to a write is 0.
    fn access(
        &mut self,
        space: SpaceId,
        at: u64,
        size: u8,
        write: Option<u64>,
    ) -> Result<u64, BusError> {
        let mask = u64::MAX >> (64 - 8 * u32::from(size.clamp(1, 8)));
        let Target::Region {
            dev,
            region,
            offset,
            len,
            wait_ns,
        } = resolve(&self.spaces, space, at).ok_or(BusError)?
        else {
            if size > 1 {
                return self.split(space, at, size, write);
            }
            self.no_port();
            return Ok(write.map_or(mask, |_| 0));
        };
        if len < u64::from(size) {
            return self.split(space, at, size, write);
        }
        let place = &self.places[dev.0 as usize];
        let state = place.region(region).ok_or(BusError)?;
        match (&state.region.kind, &state.backing) {
            (RegionKind::Memory, Some(b)) if b.holds(offset, size) => {
                let mut bytes = write.unwrap_or(0).to_le_bytes();
                let lanes = &mut bytes[..usize::from(size)];
                let moved = match write {
                    None if b.readable => Some(b.ram.read(b.offset + offset, lanes)),
                    Some(_) if b.writable => Some(b.ram.write(b.offset + offset, lanes)),
                    _ => None,
                };
                if let Some(moved) = moved {
                    let value = write.map_or(u64::from_le_bytes(bytes), |_| 0);
                    return moved.map(|()| value).map_err(|_| BusError);
                }
            }
            (RegionKind::Registers { max_width }, _) if *max_width < size => {
                return self.split(space, at, size, write);
            }
            _ => {}
        }
        self.now += u64::from(wait_ns);
        let access = Access {
            region,
            offset,
            size,
        };
        let write = write.map(|value| value & mask);
        let result = self
            .visit(dev, |d, cx| d.access(cx, access, write))
            .unwrap_or(Err(BusError))
            .map(|value| value & mask);
        if self.trace.is_some() {
            self.trace_access(dev, access, write, result);
        }
        result
    }

    /// Tells of an access to a device, if that is wanted to be known.
    #[cold]
    fn trace_access(
        &mut self,
        dev: DevId,
        access: Access,
        write: Option<u64>,
        result: Result<u64, BusError>,
    ) {
        let (now, pc) = (self.now, self.pc);
        let place = &self.places[dev.0 as usize];
        let Some(trace) = &mut self.trace else {
            return;
        };
        if !trace.wants_access(dev, write.is_some()) {
            return;
        }
        let way = if write.is_some() { "write" } else { "read" };
        let region = place.region(access.region).map_or("", |r| r.region.name);
        let mut fields = vec![
            ("region", Field::Text(region)),
            ("offset", Field::Number(access.offset)),
            ("size", Field::Count(access.size.into())),
        ];
        fields.push(match (write, result) {
            (Some(value), Ok(_)) | (None, Ok(value)) => ("value", Field::Number(value)),
            (_, Err(BusError)) => ("error", Field::Text("bus")),
        });
        fields.push(("pc", Field::Number(pc)));
        trace.tell(now, &format!("{}.{way}", place.path), fields);
    }

    /// The name of a device.
    pub(super) fn path(&self, dev: DevId) -> &str {
        &self.places[dev.0 as usize].path
    }

    /// An access to the bus begins: the guest's, if no device is being called.
    fn begin(&mut self, access: Master) {
        if self.depth == 0 {
            self.access = Some(access);
            self.lead();
        }
    }

    /// It is over, and nothing answered or something did.
    fn end(&mut self, failed: bool) {
        if failed && let Some(access) = self.access {
            self.guest_error(access.dev, format_args!("nothing answers"));
        }
        if self.depth == 0 {
            self.access = None;
            self.settle();
            self.follow();
        }
    }

    /// Nothing drives an open bus.
    fn no_port(&mut self) {
        if let Some(access) = &mut self.access
            && !std::mem::replace(&mut access.told, true)
        {
            let dev = access.dev;
            self.guest_error(dev, format_args!("no device is at the port"));
        }
    }

    /// An access in two halves, the one at the lower address first.
    fn split(
        &mut self,
        space: SpaceId,
        at: u64,
        size: u8,
        write: Option<u64>,
    ) -> Result<u64, BusError> {
        let half = size / 2;
        if half == 0 {
            return Err(BusError);
        }
        let low = self.access(space, at, half, write)?;
        let rest = write.map(|value| value >> (8 * half));
        let high = self.access(space, at + u64::from(half), half, rest)?;
        Ok(low | high << (8 * half))
    }

    /// Runs a cycle that comes to a device as a whole: to the one that its address selects, or to all until one answers.
    fn select(&mut self, dev: DevId, on: On, cycle: Cycle) -> Result<u64, BusError> {
        let bus = self.bus(dev, on).ok_or(BusError)?;
        if let Some(address) = cycle.select() {
            let to = self.buses[bus].by_address.get(&address).ok_or(BusError)?;
            let answer = self.visit(*to, |d, cx| cycle.answer(d, cx));
            return answer.unwrap_or(Err(BusError));
        }
        for index in 0..self.buses[bus].members.len() {
            let to = self.buses[bus].members[index];
            if to != dev
                && let Some(Ok(answer)) = self.visit(to, |d, cx| cycle.answer(d, cx))
            {
                return Ok(answer);
            }
        }
        Err(BusError)
    }

    fn bus(&self, dev: DevId, on: On) -> Option<usize> {
        let place = &self.places[dev.0 as usize];
        match on {
            On::Own => place.bus,
            On::Port(port) => place.ports.get(usize::from(port.0)).copied(),
        }
    }
}

impl BusState {
    fn space(&self, kind: SpaceKind) -> Option<SpaceId> {
        match kind {
            SpaceKind::Memory => self.memory,
            SpaceKind::Io => self.io,
        }
    }
}

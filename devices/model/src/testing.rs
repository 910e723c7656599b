//! A bench for one device: what a unit test needs to drive it without a machine.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use solderless_memory::Ram;

mod exercise;

pub use exercise::{Noise, exercise, goes_on_the_same, step};

use crate::folder;
use crate::pci::PciConfig;
use crate::{
    Access, BusError, Cx, Cycle, DevId, Device, Fabric, Failure, I2cTarget, IdeDevice, Interface,
    Job, JobId, Medium, Model, NEWEST, On, Outcome, Page, Pin, PinLevels, PortId, Reader, RegionId,
    Request, Section, SlotId, Space, StateError, TimerId, Transfer, Wires, Writer,
};

const DEV: DevId = DevId(0);

/// How many timers of one device may fall due at one instant.
pub const EVENTS_AT_ONCE: u64 = 16;

/// Nanoseconds of guest time from one event of a device to the next, at least, in the long run: more of them would
/// keep the host busier than the guest.
pub const SHORTEST_PERIOD: u64 = 250;

/// Everything around the device: time, lines, memory, and a record of what it did.
#[derive(Default)]
pub struct Surroundings {
    /// Guest time in nanoseconds.
    pub now: u64,
    /// Calendar time at power-on, seconds since 1970.
    pub epoch: i64,
    /// When a CPU must return.
    pub deadline: u64,
    /// Armed timers.
    pub timers: BTreeMap<TimerId, u64>,
    /// Current level of every output that was driven.
    pub outputs: BTreeMap<Pin, bool>,
    /// Every change of an output, in order.
    pub edges: Vec<(Pin, bool)>,
    /// Input levels.
    pub inputs: PinLevels,
    /// Regions the device has placed: address, size, target.
    pub mapped: BTreeMap<RegionId, (u64, u64, u64)>,
    /// Memory that it reaches as a bus master, from address 0 on.
    pub ram: Option<Ram>,
    /// The address where a CPU sees that memory once more.
    pub mirror: Option<u64>,
    /// Answers to its accesses to its bus's memory outside `ram`, by address.
    pub registers: BTreeMap<u64, u64>,
    /// Answers to its accesses to its bus's I/O space, by address.
    pub ports: BTreeMap<u64, u64>,
    /// Functions on its PCI ports, by port and slot × 8 + function.
    pub functions: BTreeMap<(PortId, u8), PciConfig>,
    /// Slots of its own PCI bus that hold a function, one bit each.
    pub occupied_slots: u32,
    /// Vectors that its interrupt acknowledge cycles get, last first.
    pub vectors: Vec<u8>,
    /// Targets on its I²C ports.
    pub targets: BTreeMap<(PortId, u8), Box<dyn I2cTarget>>,
    /// Devices on its IDE ports. They say nothing of a change of their lines.
    pub drives: BTreeMap<(PortId, u8), Box<dyn IdeDevice>>,
    /// How often it called the owner of the bus that it sits on.
    pub calls: u32,
    /// The disks in its slots.
    pub disks: BTreeMap<SlotId, Vec<u8>>,
    /// The disks cannot be written.
    pub read_only: bool,
    /// What it said has become of memory that images filled: the slot, the offset, and the bytes.
    pub stored: Vec<(SlotId, u64, Vec<u8>)>,
    /// Jobs it made that are not done, in order.
    pub jobs: VecDeque<(SlotId, JobId, Job)>,
    /// How many jobs it made.
    pub made: u64,
    /// Characters it sent.
    pub sent: BTreeMap<SlotId, Vec<u8>>,
    /// Characters it gave back, in order.
    pub given_back: BTreeMap<SlotId, Vec<u8>>,
    /// Requests it made.
    pub requests: Vec<Request>,
    /// Guest errors it logged.
    pub errors: Vec<String>,
    /// Nobody wants to know of those.
    pub deaf: bool,
    /// What it told the user.
    pub warnings: Vec<String>,
    /// Times it said that memory behind a region changed.
    pub memory_changes: Vec<RegionId>,
    generation: u64,
    /// While state is loaded, as in a machine: outputs keep their level, and the first that is driven otherwise is noted.
    restoring: Option<Option<Pin>>,
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Surroundings(now {} ns)", self.now)
    }
}

impl Fabric for Surroundings {
    fn now(&self) -> u64 {
        self.now
    }
    fn epoch(&self) -> i64 {
        self.epoch
    }
    fn arm(&mut self, _: DevId, id: TimerId, at: Option<u64>) {
        match at {
            Some(at) => self.timers.insert(id, at),
            None => self.timers.remove(&id),
        };
    }
    fn set(&mut self, _: DevId, pin: Pin, high: bool) {
        let before = self.outputs.get(&pin).copied().unwrap_or(false);
        if let (Some(otherwise), true) = (&mut self.restoring, before != high) {
            otherwise.get_or_insert(pin);
            return;
        }
        self.outputs.insert(pin, high);
        if before != high {
            self.edges.push((pin, high));
        }
    }
    fn levels(&self, _: DevId) -> &PinLevels {
        &self.inputs
    }
    fn map(&mut self, _: DevId, region: RegionId, at: u64, size: u64, target: u64) {
        self.generation += 1;
        self.mapped.insert(region, (at, size, target));
    }
    fn unmap(&mut self, _: DevId, region: RegionId) {
        self.generation += 1;
        self.mapped.remove(&region);
    }
    fn memory_changed(&mut self, _: DevId, region: RegionId) {
        self.generation += 1;
        self.memory_changes.push(region);
    }
    fn cycle(&mut self, _: DevId, on: On, cycle: Cycle) -> Result<u64, BusError> {
        match (cycle, on) {
            (
                Cycle::Access {
                    space,
                    at,
                    size,
                    write,
                },
                _,
            ) => self.access(space, at, size, write),
            (
                Cycle::Config {
                    devfn,
                    offset,
                    size,
                    write,
                },
                On::Port(port),
            ) => {
                let function = self.functions.get_mut(&(port, devfn)).ok_or(BusError)?;
                let offset = u8::try_from(offset).map_err(|_| BusError)?;
                match write {
                    None => Ok(function.get(offset, size).into()),
                    Some(value) => {
                        function.write(offset, size, value);
                        Ok(0)
                    }
                }
            }
            (Cycle::Acknowledge, _) => self.vectors.pop().map(u64::from).ok_or(BusError),
            (Cycle::I2c { address, event }, On::Port(port)) => {
                let target = self.targets.get_mut(&(port, address)).ok_or(BusError)?;
                target.event(event).map(u64::from).ok_or(BusError)
            }
            (Cycle::Ide { device, transfer }, On::Port(port)) => {
                let mut drive = self.drives.remove(&(port, device)).ok_or(BusError)?;
                let answer = drive.transfer(&mut Cx::new(self, DEV), device, transfer);
                self.drives.insert((port, device), drive);
                answer.ok_or(BusError)
            }
            (Cycle::Config { .. } | Cycle::I2c { .. } | Cycle::Ide { .. }, On::Own) => {
                Err(BusError)
            }
        }
    }
    fn dma(&mut self, _: DevId, at: u64, bytes: Transfer<'_>) -> Result<(), BusError> {
        let ram = self.ram.as_ref().ok_or(BusError)?;
        let moved = match bytes {
            Transfer::Read(out) => ram.read(at, out),
            Transfer::Write(data) => ram.write(at, data),
        };
        moved.map_err(|_| BusError)
    }
    fn burst(&mut self, _: DevId, port: PortId, device: u8, bytes: Transfer<'_>) -> usize {
        let Some(mut drive) = self.drives.remove(&(port, device)) else {
            return 0;
        };
        let moved = drive.dma(&mut Cx::new(self, DEV), bytes);
        self.drives.insert((port, device), drive);
        moved
    }
    fn call_owner(&mut self, _: DevId) {
        self.calls += 1;
    }
    fn page(&self, _: DevId, at: u64) -> Page {
        let page = at & !(solderless_memory::PAGE - 1);
        let page = page
            .checked_sub(self.mirror.unwrap_or(u64::MAX))
            .unwrap_or(page);
        match &self.ram {
            Some(ram) if page < ram.size() => Page::Memory {
                ram: ram.clone(),
                offset: page,
                writable: true,
            },
            _ => Page::Registers,
        }
    }
    fn map_generation(&self) -> u64 {
        self.generation
    }
    fn occupied_slots(&mut self, _: DevId) -> u32 {
        self.occupied_slots
    }
    fn send(&mut self, _: DevId, slot: SlotId, bytes: &[u8]) {
        self.sent.entry(slot).or_default().extend_from_slice(bytes);
    }
    fn give_back(&mut self, _: DevId, slot: SlotId, characters: &[u8]) {
        let given_back = self.given_back.entry(slot).or_default();
        given_back.extend_from_slice(characters);
    }
    fn store(&mut self, _: DevId, slot: SlotId, offset: u64, bytes: &[u8]) {
        self.stored.push((slot, offset, bytes.to_vec()));
    }
    fn medium(&self, _: DevId, slot: SlotId) -> Option<Medium> {
        self.disks.get(&slot).map(|disk| Medium {
            bytes: disk.len() as u64,
            writable: !self.read_only,
        })
    }
    fn submit(&mut self, _: DevId, slot: SlotId, job: Job) -> JobId {
        let id = JobId(self.made);
        self.made += 1;
        self.jobs.push_back((slot, id, job));
        id
    }
    fn jobs(&self, _: DevId, slot: SlotId) -> usize {
        self.jobs.iter().filter(|(of, ..)| *of == slot).count()
    }
    fn request(&mut self, request: Request) {
        self.requests.push(request);
        self.deadline = 0;
    }
    fn advance(&mut self, ns: u64, _: u64) {
        self.now += ns;
    }
    fn deadline(&self) -> u64 {
        self.deadline
    }
    fn guest_error(&mut self, _: DevId, what: fmt::Arguments<'_>) {
        if !self.deaf {
            self.errors.push(what.to_string());
        }
    }
    fn warn(&mut self, _: DevId, what: fmt::Arguments<'_>) {
        self.warnings.push(what.to_string());
    }
}

impl Surroundings {
    /// Does a job with the disk in a slot.
    fn work(&mut self, slot: SlotId, job: &Job) -> Outcome {
        let disk = self.disks.get_mut(&slot).ok_or(Failure::Io)?;
        if let Job::Folder(_) = job {
            // All goes well, and nothing is in it.
            return Ok(folder::say(Ok(vec![0; 64])));
        }
        let (offset, len) = job.extent();
        let end = offset.checked_add(len).ok_or(Failure::Io)? as usize;
        let piece = disk.get_mut(offset as usize..end).ok_or(Failure::Io)?;
        match job {
            Job::Read { .. } => return Ok(piece.to_vec()),
            Job::Flush | Job::Folder(_) => {}
            _ if self.read_only => return Err(Failure::Io),
            Job::Write { data, .. } => piece.copy_from_slice(data),
            Job::Discard { .. } => piece.fill(0),
        }
        Ok(Vec::new())
    }

    fn access(
        &mut self,
        space: Space,
        at: u64,
        size: u8,
        write: Option<u64>,
    ) -> Result<u64, BusError> {
        if let (Some(ram), Space::Memory) = (&self.ram, space) {
            let mut bytes = write.unwrap_or(0).to_le_bytes();
            let lanes = &mut bytes[..usize::from(size)];
            let moved = match write {
                None => ram.read(at, lanes),
                Some(_) => ram.write(at, lanes),
            };
            if moved.is_ok() {
                return Ok(write.map_or(u64::from_le_bytes(bytes), |_| 0));
            }
        }
        let registers = match space {
            Space::Memory => &mut self.registers,
            Space::Io => &mut self.ports,
        };
        let register = registers.get_mut(&at).ok_or(BusError)?;
        Ok(match write {
            None => *register,
            Some(value) => {
                *register = value;
                0
            }
        })
    }
}

/// Another block of memory with the same content. Test code: it panics where the host refuses the memory.
pub fn copy(block: &Ram) -> Ram {
    let copy = Ram::new(block.size()).expect("host memory");
    let mut content = vec![0; block.size() as usize];
    let copied = block.read(0, &mut content);
    copied
        .and_then(|()| copy.write(0, &content))
        .expect("blocks of the same size");
    copy
}

/// What a bench can hold: a device of a known type, or any device behind a box.
pub trait Subject {
    /// The device.
    fn device(&self) -> &dyn Device;
    /// The device, to call it.
    fn device_mut(&mut self) -> &mut dyn Device;
}

impl<D: Model> Subject for D {
    fn device(&self) -> &dyn Device {
        self
    }
    fn device_mut(&mut self) -> &mut dyn Device {
        self
    }
}

impl Subject for Box<dyn Device> {
    fn device(&self) -> &dyn Device {
        &**self
    }
    fn device_mut(&mut self) -> &mut dyn Device {
        &mut **self
    }
}

/// One device on a bench, built from its properties and reset.
#[derive(Debug)]
pub struct Bench<D> {
    /// The device.
    pub dev: D,
    /// What surrounds it.
    pub around: Surroundings,
    /// What it declared.
    pub interface: Interface,
}

impl<D: Model> Bench<D> {
    /// Builds and resets a device. Test code: it panics if the device cannot be built.
    pub fn new(props: D::Props) -> Self {
        Self::with_images(props, &[])
    }

    /// The same, with images in its slots.
    pub fn with_images(props: D::Props, images: &[Option<Vec<u8>>]) -> Self {
        let interface = D::interface(&props).expect("valid properties");
        let parts = interface.present();
        let dev = D::build(props, Wires::new(&parts, images)).expect("a device");
        Self::holding(dev, interface)
    }
}

impl<D: Subject> Bench<D> {
    /// Resets a device that has been built, with the interface of its properties.
    pub fn holding(dev: D, interface: Interface) -> Self {
        let mut bench = Self {
            dev,
            around: Surroundings::default(),
            interface,
        };
        bench.reset();
        bench
    }

    /// Calls the device with a context.
    pub fn with<R>(&mut self, call: impl FnOnce(&mut D, &mut Cx<'_>) -> R) -> R {
        call(&mut self.dev, &mut Cx::new(&mut self.around, DEV))
    }

    /// Has the disks do the first job that waits, and tells the device; or this becomes of it. False if none waits.
    pub fn finish_job(&mut self, instead: Option<Failure>) -> bool {
        let Some((slot, id, job)) = self.around.jobs.pop_front() else {
            return false;
        };
        let outcome = match instead {
            None => self.around.work(slot, &job),
            Some(failure) => Err(failure),
        };
        self.with(|d, cx| {
            if let Some(block) = d.device_mut().blockdev() {
                block.done(cx, slot, id, outcome);
            }
        });
        true
    }

    /// Has the disks do all that the device asks for.
    pub fn finish_jobs(&mut self) {
        while self.finish_job(None) {}
    }

    /// Presses reset.
    pub fn reset(&mut self) {
        self.around.timers.clear();
        self.around.jobs.clear();
        self.with(|d, cx| d.device_mut().reset(cx));
    }

    /// Reads a register, or writes a value to it; `None` is a bus error, or no such region.
    pub fn access(
        &mut self,
        region: RegionId,
        offset: u64,
        size: u8,
        write: Option<u64>,
    ) -> Option<u64> {
        self.interface.region(region)?;
        let at = Access {
            region,
            offset,
            size,
        };
        self.with(|d, cx| d.device_mut().access(cx, at, write)).ok()
    }

    /// Reads a register; `None` is a bus error.
    pub fn read(&mut self, region: RegionId, offset: u64, size: u8) -> Option<u64> {
        self.access(region, offset, size, None)
    }

    /// Writes a register; false is a bus error.
    pub fn write(&mut self, region: RegionId, offset: u64, size: u8, value: u64) -> bool {
        self.access(region, offset, size, Some(value)).is_some()
    }

    /// Has a cycle come to the device that is no access to a region; `None` is no answer.
    pub fn cycle(&mut self, cycle: Cycle) -> Option<u64> {
        self.with(|d, cx| cycle.answer(d.device_mut(), cx)).ok()
    }

    fn config(&mut self, offset: u8, size: u8, write: Option<u32>) -> Option<u64> {
        self.cycle(Cycle::Config {
            devfn: 0,
            offset: offset.into(),
            size,
            write,
        })
    }

    /// Reads its configuration space.
    pub fn config_read(&mut self, offset: u8, size: u8) -> u32 {
        let value = self.config(offset, size, None);
        value.map_or(u32::MAX, |value| value as u32)
    }

    /// Writes its configuration space.
    pub fn config_write(&mut self, offset: u8, size: u8, value: u32) {
        self.config(offset, size, Some(value));
    }

    /// Drives an input.
    pub fn line(&mut self, pin: Pin, high: bool) {
        if self.around.inputs.get(pin) != high {
            self.around.inputs.set(pin, high);
            self.with(|d, cx| d.device_mut().line(cx, pin, high));
        }
    }

    /// The level of an output.
    pub fn output(&self, pin: Pin) -> bool {
        self.around.outputs.get(&pin).copied().unwrap_or(false)
    }

    /// Lets guest time pass, running every timer that falls due, each at its time. Test code: it panics if timers
    /// fall due more often than [`EVENTS_AT_ONCE`] at one instant or [`SHORTEST_PERIOD`] allows in the long run.
    pub fn advance(&mut self, ns: u64) {
        let end = self.around.now.saturating_add(ns);
        let mut left = EVENTS_AT_ONCE + (end - self.around.now) / SHORTEST_PERIOD;
        while let Some((id, at)) = self.next_timer().filter(|(_, at)| *at <= end) {
            assert!(left > 0, "{id:?} falls due too often at {at} ns");
            left -= 1;
            self.around.timers.remove(&id);
            self.around.now = self.around.now.max(at);
            self.with(|d, cx| d.device_mut().timer(cx, id));
        }
        self.around.now = end;
    }

    fn next_timer(&self) -> Option<(TimerId, u64)> {
        self.around
            .timers
            .iter()
            .map(|(id, at)| (*id, *at))
            .min_by_key(|(id, at)| (*at, *id))
    }

    /// Saves its state.
    pub fn save(&self) -> Vec<Section> {
        let mut out = Writer::default();
        out.section("dev", self.dev.device());
        out.finish().expect("the newest version holds everything")
    }

    /// Loads what another of the same properties has saved: at the same time, with the same levels of its lines. Test
    /// code: panics on an error.
    pub fn load(&mut self, sections: &[Section], other: &Surroundings) {
        self.try_load(sections, other)
            .unwrap_or_else(|e| panic!("{e}"));
    }

    /// The same with sections that may be anything.
    ///
    /// # Errors
    /// They are not of this device, or contradict one another or the levels of its outputs.
    pub fn try_load(
        &mut self,
        sections: &[Section],
        other: &Surroundings,
    ) -> Result<(), StateError> {
        self.around.now = other.now;
        self.around.inputs = other.inputs.clone();
        self.around.outputs.clone_from(&other.outputs);
        self.around.disks.clone_from(&other.disks);
        self.around.jobs.clone_from(&other.jobs);
        self.around.made = other.made;
        self.around.timers.clear();
        self.around.mapped.clear();
        // The other goes on with its memory.
        let copy = |s: &Section| Section {
            memory: s.memory.iter().map(copy).collect(),
            ..s.clone()
        };
        let sections: Vec<_> = sections.iter().map(copy).collect();
        let mut reader = Reader::new(&sections, NEWEST);
        reader.section("dev", self.dev.device_mut())?;
        let unused: BTreeSet<&str> = reader.left().collect();
        assert!(unused.is_empty(), "sections left over: {unused:?}");
        self.around.restoring = Some(None);
        let restored = self.with(|d, cx| d.device_mut().restored(cx));
        match (restored, self.around.restoring.take()) {
            (Ok(()), Some(Some(pin))) => Err(StateError::new(format!(
                "it does not agree with the level of {pin:?}"
            ))),
            (restored, _) => restored,
        }
    }
}

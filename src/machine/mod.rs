//! A plan made into a running machine.

mod boot;
mod debug;
mod domain;
mod door;
mod events;
mod image;
mod log;
mod run;
mod sections;
mod space;
mod trace;
mod watch;

use solderless_model::boot::Protocol;
use solderless_model::memory::PAGE;
use solderless_model::{
    BusError, DevId, Device, Engine, Fabric, Medium, NEWEST, Picture, Pin, Processor, Request,
    SlotId, SlotKind, Stop, Stops, Tray, Wires,
};

pub use boot::{Firmware, Kernel, KernelFiles, firmware_image, main_memory};
pub use domain::jobs::{Answer, Disk, DiskFailed, GoesOn, Identity, Piece};
pub use domain::state::Clock;
pub use domain::turns::{LONGEST_NS, QUANTUM_NS};
pub use domain::{Backlog, Sink};
pub use door::{Door, Repeated, Unseen};
pub use events::{Event, JobDone, Message, Moment, Word};
pub use image::{ImageFormat, memory_image};
pub use log::{Header, Journal, LogError, Script, Source};
pub use run::{End, Host, Pace, Run};
pub use sections::{CLOCK, Kept, Of, memories};
pub use trace::{Field, Keep, Record, Trace, points, select};
pub use watch::{Watch, Watched};

use crate::plan::{Address, Bus, Plan};
use domain::turns::Limit;
use domain::{Domain, Seating};
use door::PACE;
use run::Pending;

/// What a run plugs into the slots of a board, and what calendar it starts with.
#[derive(Default)]
pub struct Fittings {
    /// For each board slot of kind `image`: its content.
    pub images: Vec<Option<Vec<u8>>>,
    /// For each board slot of kind `chardev` or `netdev`: where characters and frames go.
    pub sinks: Vec<Option<Box<dyn Sink>>>,
    /// A kernel to put into memory at every reset.
    pub kernel: Option<Kernel>,
    /// Calendar time at power-on, seconds since 1970-01-01 UTC.
    pub epoch: i64,
    /// How what comes from outside is let in.
    pub door: Door,
}

impl std::fmt::Debug for Fittings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Fittings({} images, {} sinks)",
            self.images.len(),
            self.sinks.len()
        )
    }
}

/// A device could not be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{device}: {reason}")]
pub struct BuildError {
    /// The device's name on the board.
    pub device: String,
    /// Why.
    pub reason: String,
}

/// A device's slot that takes characters, frames or a disk.
#[derive(Debug, Clone, Copy)]
struct Consumer {
    dev: DevId,
    slot: SlotId,
    kind: SlotKind,
}

/// A built plan, ready to run.
#[derive(Debug)]
pub struct Machine {
    domain: Domain,
    /// Device names, by number.
    names: Vec<String>,
    /// For each board slot: the device that takes what comes from it.
    consumers: Vec<Option<Consumer>>,
    /// The sections of its state.
    kept: Vec<Kept>,
    /// For each board slot: how much that has come from outside was not yet said to be taken. What a restored machine has
    /// waiting, and what a device has given back, is no part of it.
    counted: Vec<usize>,
    /// When input is looked at next, in guest time: 0, or the end of a slice that a run has ended in the middle of. A guest
    /// that waits for it is not kept waiting so long.
    look_at: u64,
    /// Instructions that each CPU executes in [`PACE`] cycles.
    pace: u32,
    /// Where that should be for guest time to be the wall clock's.
    aim: f64,
    door: Door,
    kernel: Option<Kernel>,
    /// How the board starts a kernel.
    protocol: Option<&'static dyn Protocol>,
    /// Where a debugger wants the CPUs to stop.
    stops: Stops,
    /// Programs can end the run by what they ask of a debugger.
    semihosting: bool,
    /// The CPU of which the next run executes one instruction.
    stepping: Option<usize>,
}

impl Machine {
    /// Builds every device of a plan, wires them and resets the board.
    ///
    /// # Errors
    /// A device that cannot be made with what is plugged in.
    pub fn new(plan: &Plan, fittings: Fittings) -> Result<Self, BuildError> {
        let mut fittings = fittings;
        fittings.epoch = fittings.door.calendar(fittings.epoch);
        let mut machine = Self::build(plan, fittings)?;
        machine.reset();
        Ok(machine)
    }

    /// Plugs something into a slot of the board, in place of what was there.
    pub fn plug(&mut self, slot: usize, sink: Box<dyn Sink>) {
        self.domain.plug(slot, sink);
    }

    /// Puts a disk into a slot of the board, or none, before the machine runs. It does what a machine that was saved had it do.
    ///
    /// # Errors
    /// The machine was saved with another, or with what this one held before it was written to.
    pub fn plug_disk(&mut self, slot: usize, disk: Option<Box<dyn Disk>>) -> Result<(), String> {
        self.domain.plug_disk(slot, disk)
    }

    /// Whether the machine, which was saved, can take over the disks of another one of its board; `back` are the slots whose files are
    /// going to be as they were.
    ///
    /// # Errors
    /// The slot, by its index in the plan, whose disk has changed since, and why.
    pub fn suits(&self, other: &Self, back: &[usize]) -> Result<(), (usize, String)> {
        self.domain.suits(&other.domain, back)
    }

    /// The slots, by their indices in the plan, that had a disk when the machine was saved, and what that was.
    pub fn held(&self) -> impl Iterator<Item = (usize, &Identity)> {
        self.domain.held()
    }

    /// Has the disks, which another machine is going to take over, have what its guest had written that is in no file.
    ///
    /// # Errors
    /// The slot, by its index in the plan, whose disk cannot, and why: those before it have.
    pub fn rewrite_disks(&mut self, other: &mut Self) -> Result<(), (usize, String)> {
        self.domain.rewrite(&mut other.domain)
    }

    /// The disk in a slot of the board.
    pub fn disk(&mut self, slot: usize) -> Option<&mut Box<dyn Disk>> {
        self.domain.disk_mut(slot)
    }

    /// What is in a slot of the board for a disk, and how that is stored.
    pub fn medium(&self, slot: usize) -> Option<(Medium, String)> {
        let disk = self.domain.disk(slot)?;
        Some((disk.medium(), disk.format()))
    }

    /// The tray of the drive whose slot of the board this is; `None` of a disk.
    pub fn tray(&mut self, slot: usize) -> Option<Tray> {
        self.domain.tray(slot)
    }

    /// Puts another disk into a slot of the board, or none, while the machine runs: the guest sees that.
    pub fn change_disk(&mut self, slot: usize, disk: Option<Box<dyn Disk>>) {
        self.domain.change_disk(slot, disk);
    }

    /// What has been sent to the slots and is not outside yet.
    pub fn backlog(&self) -> Backlog {
        self.domain.backlog()
    }

    /// Goes on as another machine of the same plan; what is plugged in and the engine stay.
    pub fn replace(&mut self, mut other: Self) {
        for index in 0..self.domain.cpus().len() {
            let engine = self.cpu_at(index).map(|cpu| cpu.engine_info().engine);
            if let (Some(engine), Some(cpu)) = (engine, other.cpu_at(index)) {
                cpu.set_engine(engine);
            }
        }
        other.domain.take_plugged(&mut self.domain);
        other.domain.set_quantum(self.domain.quantum());
        other.counted = std::mem::take(&mut self.counted);
        other.door = std::mem::take(&mut self.door).anew();
        other.stops = std::mem::take(&mut self.stops);
        let semihosting = self.semihosting;
        let trace = self.take_trace();
        *self = other;
        self.set_trace(trace);
        self.set_stops_again();
        self.set_semihosting(semihosting);
    }

    /// What the memory has that a slot of the board fills, if its device tells.
    pub fn image(&self, slot: usize) -> Option<Vec<u8>> {
        self.domain.image(slot)
    }

    fn build(plan: &Plan, fittings: Fittings) -> Result<Self, BuildError> {
        let mut domain = Domain::new(fittings.epoch);
        let mut consumers = vec![None; plan.slots.len()];
        let mut ports: Vec<Vec<usize>> = Vec::new();
        for (index, planned) in plan.devices.iter().enumerate() {
            let images: Vec<_> = planned
                .backends
                .iter()
                .map(|slot| slot.and_then(|slot| fittings.images.get(slot).cloned().flatten()))
                .collect();
            let wires = Wires::new(&planned.parts, &images);
            let device = planned.props.build(wires).map_err(|e| BuildError {
                device: planned.path.clone(),
                reason: e.0,
            })?;
            let bus = planned.seat.map(|seat| match seat.bus {
                Bus::System => 0,
                Bus::Port(owner, port) => ports[owner][usize::from(port.0)],
            });
            let address = planned.seat.and_then(|seat| match seat.address {
                Address::Pci { slot, function } => Some(slot << 3 | function),
                Address::I2c(address) | Address::Ide(address) => Some(address),
                Address::None | Address::Number(_) => None,
            });
            let slots = planned.backends.clone();
            let id = domain.add(
                device,
                Seating {
                    path: planned.path.clone(),
                    bus,
                    address,
                    regions: planned.interface.regions.clone(),
                    outputs: planned
                        .interface
                        .outputs
                        .iter()
                        .map(|p| usize::from(p.count))
                        .sum(),
                    inputs: planned
                        .interface
                        .inputs
                        .iter()
                        .map(|p| usize::from(p.count))
                        .sum(),
                    slots: slots.clone(),
                },
            );
            debug_assert_eq!(id.0 as usize, index, "devices are numbered as in the plan");
            for (number, (slot, backend)) in (0..).zip(planned.interface.slots.iter().zip(slots)) {
                let Some(backend) = backend else {
                    continue;
                };
                let consumer = Consumer {
                    dev: id,
                    slot: SlotId(number),
                    kind: slot.kind,
                };
                match slot.kind {
                    SlotKind::Block | SlotKind::Folder => domain.add_drive(backend, consumer),
                    SlotKind::Image => {}
                    _ => consumers[backend] = Some(consumer),
                }
            }
            if planned.interface.initiator {
                domain.add_cpu(id);
            }
            ports.push(
                planned
                    .interface
                    .ports
                    .iter()
                    .map(|port| domain.offer(id, port.kind, port.wait_ns))
                    .collect(),
            );
        }
        for (index, planned) in (0u32..).zip(&plan.devices) {
            for w in &planned.windows {
                domain.place(DevId(index), w);
            }
        }
        for net in &plan.nets {
            for driver in &net.drivers {
                for sink in &net.sinks {
                    let end = |(dev, pin): (usize, Pin)| (DevId(dev as u32), pin);
                    domain.wire(end(*driver), end(*sink));
                }
            }
        }
        domain.input = consumers.iter().map(run::queue).collect();
        let mut sinks = fittings.sinks;
        sinks.resize_with(plan.slots.len(), || None);
        let nowhere = |sink: Option<Box<dyn Sink>>| sink.unwrap_or_else(|| Box::new(Nowhere));
        domain.set_sinks(sinks.into_iter().map(nowhere).collect());
        let names = plan.devices.iter().map(|d| d.path.clone()).collect();
        Ok(Self {
            domain,
            names,
            kept: Kept::all(plan),
            counted: vec![0; plan.slots.len()],
            look_at: 0,
            pace: PACE,
            aim: PACE.into(),
            door: fittings.door,
            consumers,
            kernel: fittings.kernel,
            protocol: plan.boot.as_ref().map(|boot| boot.protocol),
            stops: Stops::default(),
            semihosting: false,
            stepping: None,
        })
    }

    /// Presses the board's reset button: devices first, then the images that a loader put into memory.
    pub fn reset(&mut self) {
        self.domain.reset();
        self.set_pace_again();
        let now = self.moment();
        if let Some(kernel) = &self.kernel
            && let Some(protocol) = self.protocol
            && let Err(at) = kernel.put(
                protocol,
                || self.door.seed(now),
                |at, bytes| self.domain.load(at, bytes),
            )
        {
            tracing::error!("the kernel's image does not fit the board's memory at {at:#x}");
        }
    }

    /// Asks for a reset or power-off, as a device does: it happens when the machine is run.
    pub fn request(&mut self, request: Request) {
        Fabric::request(&mut self.domain, request);
    }

    /// What a device or somebody outside has asked for, and has not happened yet. Until then no instruction is executed.
    pub fn requested(&self) -> Option<Request> {
        self.domain.requested()
    }

    /// Guest time in nanoseconds since power-on.
    pub fn now(&self) -> u64 {
        self.domain.now()
    }

    /// Logs how often the guest did what only the first times were logged of.
    pub fn sum_up(&self) {
        self.domain.sum_up();
    }

    /// Executes up to `limit` instructions, of all CPUs together; a branch and its delay slot stay together. Time events between them
    /// happen. Returns why the CPU stopped, or `None` on a board without one.
    pub fn step(&mut self, limit: u64) -> Option<Stop> {
        self.domain.run_timers();
        let limit = Limit {
            left: limit,
            ..Limit::NONE
        };
        let stop = self.domain.run_cpus(u64::MAX, limit);
        self.domain.run_timers();
        stop.map(|(_, stop)| stop)
    }

    /// What answers where in every address space, as the guest has it now; `plan` is what the machine was built from.
    pub fn address_map(&self, plan: &Plan) -> String {
        let ports = plan.devices.iter().flat_map(|device| {
            let ports = device.interface.ports.iter();
            ports.map(|port| format!("{}.{}", device.path, port.name))
        });
        let buses: Vec<_> = ["sys".to_owned()].into_iter().chain(ports).collect();
        self.domain.address_map(&buses)
    }

    /// Reads guest memory by physical address.
    ///
    /// # Errors
    /// Nothing answers there.
    pub fn read(&mut self, at: u64, size: u8) -> Result<u64, BusError> {
        self.ask_bus(at, size)
    }

    /// Writes memory by physical address as a loader does.
    ///
    /// # Errors
    /// Not all of it is memory.
    pub fn load(&mut self, at: u64, data: &[u8]) -> Result<(), BusError> {
        self.domain.load(at, data)
    }

    /// Whether an input of a device, by its place in the plan, is high.
    pub fn is_high(&self, device: usize, pin: Pin) -> bool {
        self.domain.is_high(DevId(device as u32), pin)
    }

    /// The device with this name.
    pub fn device(&mut self, name: &str) -> Option<&mut (dyn Device + 'static)> {
        let index = self.names.iter().position(|n| n == name)?;
        self.domain.device(DevId(index as u32))
    }

    /// What the first device that has a screen shows.
    pub fn screen(&mut self) -> Option<Picture> {
        let all = 0..self.names.len();
        all.into_iter()
            .find_map(|index| self.domain.device(DevId(index as u32))?.screen())
    }

    /// The first CPU.
    pub fn cpu(&mut self) -> Option<&mut dyn Processor> {
        self.cpu_at(0)
    }

    /// A CPU by its place among those of the board, in the plan's order.
    pub fn cpu_at(&mut self, index: usize) -> Option<&mut dyn Processor> {
        let cpu = *self.domain.cpus().get(index)?;
        self.domain.device(cpu)?.processor()
    }

    /// The names of the CPUs.
    pub fn cpus(&self) -> impl Iterator<Item = &str> {
        let cpus = self.domain.cpus().iter();
        cpus.map(|cpu| self.names[cpu.0 as usize].as_str())
    }

    /// The clock of a CPU, guest time in nanoseconds, and whether it waits for an interrupt.
    pub fn cpu_clock(&self, index: usize) -> Option<(u64, bool)> {
        self.domain.cpu_clock(index)
    }

    /// Sets how much guest time a turn has where several CPUs take turns, in nanoseconds: 1 to [`LONGEST_NS`].
    pub fn set_quantum(&mut self, ns: u64) {
        self.domain.set_quantum(ns);
    }

    /// Chooses how all CPUs execute instructions from now on; false, with nothing changed, where one cannot.
    pub fn set_engine(&mut self, engine: Engine) -> bool {
        let before = self.cpu().map(|cpu| cpu.engine_info().engine);
        let cpus = self.domain.cpus().len();
        let all = (0..cpus).all(|cpu| self.cpu_at(cpu).is_some_and(|c| c.set_engine(engine)));
        if let (false, Some(before)) = (all, before) {
            (0..cpus).for_each(|cpu| {
                self.cpu_at(cpu).map(|c| c.set_engine(before));
            });
        }
        all
    }

    /// A number that is equal for machines that are the same to their guests. What is not let in yet is no part of it.
    pub fn state_hash(&self) -> u128 {
        let mut hash = xxhash_rust::xxh3::Xxh3::new();
        // The newest version holds everything.
        for section in self.sections(NEWEST, false).unwrap_or_default() {
            hash.update(section.path.as_bytes());
            hash.update(&(section.payload.len() as u64).to_le_bytes());
            hash.update(&section.payload);
            for block in &section.memory {
                let mut page = [0; PAGE as usize];
                for offset in (0..block.size()).step_by(page.len()) {
                    let piece = &mut page[..(block.size() - offset).min(PAGE) as usize];
                    if block.read(offset, piece).is_ok() {
                        hash.update(piece);
                    }
                }
            }
        }
        hash.digest128()
    }
}

/// What a slot has with nothing in it.
#[derive(Debug)]
pub struct Nowhere;

impl Sink for Nowhere {
    fn send(&mut self, _: &[u8]) {}
}

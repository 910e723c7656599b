//! A plan made into a running machine.

mod boot;
mod domain;
mod run;
mod space;

use solderless_model::{BusError, DevId, Device, Pin, Section, SlotId, SlotKind, Stop, Wires};

pub use boot::{BootError, Firmware, Kernel, KernelFiles, firmware_image};
pub use domain::Sink;
pub use run::{End, Event, Host, Pace, Run};

use crate::graph::plan::{Address, Bus, Plan};
use domain::{Domain, Seating};

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

/// A device's slot that takes characters or frames.
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
    cpu: Option<DevId>,
    /// Device names, by number.
    names: Vec<String>,
    /// For each board slot: the device that takes what comes from it.
    consumers: Vec<Option<Consumer>>,
    kernel: Option<Kernel>,
}

impl Machine {
    /// Builds every device of a plan, wires them and resets the board.
    ///
    /// # Errors
    /// A device that cannot be made with what is plugged in.
    pub fn new(plan: &Plan, fittings: Fittings) -> Result<Self, BuildError> {
        let mut domain = Domain::new(fittings.epoch);
        let mut consumers = vec![None; plan.slots.len()];
        let mut ports: Vec<Vec<usize>> = Vec::new();
        let mut cpu = None;
        for (index, planned) in plan.devices.iter().enumerate() {
            let images: Vec<_> = planned
                .backends
                .iter()
                .map(|slot| slot.and_then(|slot| fittings.images.get(slot).cloned().flatten()))
                .collect();
            let device = (planned.entry.build)(&planned.props, Wires::new(&planned.parts, &images))
                .map_err(|e| BuildError {
                    device: planned.path.clone(),
                    reason: e.0,
                })?;
            let bus = planned.seat.map(|seat| match seat.bus {
                Bus::System => 0,
                Bus::Port(owner, port) => ports[owner][usize::from(port.0)],
            });
            let address = planned.seat.and_then(|seat| match seat.address {
                Address::Pci { slot, function } => Some(slot << 3 | function),
                Address::I2c(address) => Some(address),
                Address::None | Address::Number(_) => None,
            });
            let slots = planned
                .interface
                .slots
                .iter()
                .zip(&planned.backends)
                .map(|(slot, backend)| (*backend).filter(|_| slot.kind != SlotKind::Image));
            let slots: Vec<_> = slots.collect();
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
                if let Some(backend) = backend {
                    consumers[backend] = Some(Consumer {
                        dev: id,
                        slot: SlotId(number),
                        kind: slot.kind,
                    });
                }
            }
            if planned.interface.initiator && cpu.is_none() {
                cpu = Some(id);
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
                domain.place(DevId(index), w.region, w.at, w.size, w.offset, w.over);
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
        let mut sinks = fittings.sinks;
        sinks.resize_with(plan.slots.len(), || None);
        for sink in sinks {
            domain.add_sink(sink.unwrap_or_else(|| Box::new(Nowhere)));
        }
        let names = plan.devices.iter().map(|d| d.path.clone()).collect();
        let mut machine = Self {
            domain,
            cpu,
            names,
            consumers,
            kernel: fittings.kernel,
        };
        machine.reset();
        Ok(machine)
    }

    /// Presses the board's reset button: devices first, then the images that a loader put into memory.
    pub fn reset(&mut self) {
        self.domain.reset();
        if let Some(kernel) = &mut self.kernel {
            for (at, bytes) in kernel.blobs() {
                if self.domain.load(at, &bytes).is_err() {
                    tracing::error!(
                        "the kernel's image at {at:#x} does not fit the board's memory any more"
                    );
                }
            }
        }
    }

    /// Guest time in nanoseconds since power-on.
    pub fn now(&self) -> u64 {
        self.domain.now()
    }

    /// Executes up to `limit` instructions; a branch and its delay slot stay together. Time events between them
    /// happen. Returns why the CPU stopped, or `None` on a board without one.
    pub fn step(&mut self, limit: u64) -> Option<Stop> {
        self.domain.run_timers();
        self.domain.set_slice_end(u64::MAX);
        self.domain.run_cpu(self.cpu?, limit)
    }

    /// Reads guest memory by physical address.
    ///
    /// # Errors
    /// Nothing answers there.
    pub fn read(&mut self, at: u64, size: u8) -> Result<u64, BusError> {
        let cpu = self.cpu.ok_or(BusError)?;
        self.domain
            .call(cpu, |_, cx| cx.bus_read(at, size))
            .unwrap_or(Err(BusError))
    }

    /// Writes memory by physical address as a loader does.
    ///
    /// # Errors
    /// Not all of it is memory.
    pub fn load(&mut self, at: u64, data: &[u8]) -> Result<(), BusError> {
        self.domain.load(at, data)
    }

    /// The device with this name.
    pub fn device(&mut self, name: &str) -> Option<&mut (dyn Device + 'static)> {
        let index = self.names.iter().position(|n| n == name)?;
        self.domain.device(DevId(index as u32))
    }

    /// The CPU.
    pub fn cpu(&mut self) -> Option<&mut dyn solderless_model::Processor> {
        self.domain.device(self.cpu?)?.processor()
    }

    /// The state of every device and line, as sections.
    pub fn save(&self) -> Vec<Section> {
        self.domain.save()
    }

    /// A number that is equal for machines in equal states.
    pub fn state_hash(&self) -> u128 {
        let mut hash = xxhash_rust::xxh3::Xxh3::new();
        for section in self.save() {
            hash.update(section.path.as_bytes());
            hash.update(&(section.payload.len() as u64).to_le_bytes());
            hash.update(&section.payload);
        }
        hash.digest128()
    }
}

/// A slot with nothing in it.
struct Nowhere;

impl Sink for Nowhere {
    fn send(&mut self, _: &[u8]) {}
}

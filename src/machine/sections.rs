//! The sections of a machine's state. There is one list of them, made of the plan: a layout says what they hold, a save
//! writes them and a load reads them, all by going through that list.

use std::borrow::Cow;
use std::collections::HashSet;

use solderless_model::{
    Contents, DevId, Field, Parts, Reader, RegionKind, Section, SlotKind, StateError, Type, Writer,
    contents,
};

use super::boot::Kernel;
use super::domain::jobs::Drive;
use super::domain::state::Clock;
use super::domain::turns::Turns;
use super::{Fittings, Machine};
use crate::plan::{Plan, PlannedDevice};

/// The section of a machine's [`Clock`]. No device's name has a `/`.
pub const CLOCK: &str = "/clock";

/// A section, with those of the parts of what it is of behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its path: a device's name; with a `/` in front for what is no device's.
    pub path: String,
    /// What it is of.
    pub of: Of,
}

/// What a section is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// A device, by its index in the plan.
    Device(usize),
    /// Guest time, and what the machine owes.
    Clock,
    /// The clocks of several CPUs, and whose turn it is.
    Turns,
    /// The levels of the outputs.
    Lines,
    /// What has come into a slot, by its index in the plan, and waits for the guest.
    Input(usize),
    /// What is to be done in a slot for a disk or a folder, by its index in the plan.
    Block(usize),
    /// What is written to memory at a reset.
    Boot,
}

impl Kept {
    /// The sections of a plan's machine, in the order of its stream.
    pub fn all(plan: &Plan) -> Vec<Self> {
        let kept = |path: &str, of| Self {
            path: path.to_owned(),
            of,
        };
        let devices = plan.devices.iter().enumerate();
        let mut all: Vec<_> = devices
            .map(|(index, device)| kept(&device.path, Of::Device(index)))
            .collect();
        all.push(kept(CLOCK, Of::Clock));
        let cpus = plan.devices.iter().filter(|d| d.interface.initiator);
        if cpus.count() > 1 {
            all.push(kept("/turns", Of::Turns));
        }
        all.push(kept("/lines", Of::Lines));
        let bound = plan.devices.iter().flat_map(|d| &d.backends).flatten();
        let bound: HashSet<usize> = bound.copied().collect();
        for (index, slot) in plan.slots.iter().enumerate() {
            let (name, of) = match slot.kind {
                SlotKind::Image => continue,
                SlotKind::Block => ("block", Of::Block(index)),
                SlotKind::Folder => ("folder", Of::Block(index)),
                SlotKind::Chardev | SlotKind::Netdev => ("input", Of::Input(index)),
            };
            if bound.contains(&index) {
                all.push(kept(&format!("/{name}/{}", slot.name), of));
            }
        }
        all.push(kept("/boot", Of::Boot));
        all
    }

    /// What a stream calls what it is of: a device's type, or a word.
    pub fn model(&self, plan: &Plan) -> &'static str {
        match self.of {
            Of::Device(index) => plan.devices[index].entry.name,
            Of::Clock => "clock",
            Of::Turns => "turns",
            Of::Lines => "lines",
            Of::Input(_) => "input",
            Of::Block(_) => "block",
            Of::Boot => "boot",
        }
    }

    /// What it holds, and what those of the parts do. Some can hold nothing: a stream does not have them.
    pub fn contents(&self, plan: &Plan) -> Contents {
        let parts = Parts::default().at(plan.state_version());
        match self.of {
            Of::Device(index) => {
                let device = &plan.devices[index];
                let parts = Parts::clone(&device.parts).at(plan.state_version());
                (device.entry.contents)(&parts, &memories(device))
            }
            Of::Clock => contents::<Clock>(&parts, &[]),
            Of::Turns => contents::<Turns>(&parts, &[]),
            Of::Lines => vec![(String::new(), lines(plan))],
            Of::Input(slot) => match plan.slots[slot].kind {
                SlotKind::Netdev => contents::<Vec<Vec<u8>>>(&parts, &[]),
                _ => contents::<Vec<u8>>(&parts, &[]),
            },
            Of::Block(_) => contents::<Drive>(&parts, &[]),
            Of::Boot => contents::<Option<Kernel>>(&parts, &[]),
        }
    }
}

/// The sizes of a device's memories, in the order of its regions.
pub fn memories(device: &PlannedDevice) -> Vec<u64> {
    let regions = device.interface.regions.iter();
    let memories = regions.filter(|r| r.kind == RegionKind::Memory);
    memories.map(|r| r.size).collect()
}

/// The outputs of a board: for each device that has any, in order, their levels.
fn lines(plan: &Plan) -> Type {
    let outputs = |d: &PlannedDevice| d.interface.outputs.iter().map(|p| u64::from(p.count)).sum();
    let fields = plan.devices.iter().filter_map(|d| {
        let count: u64 = outputs(d);
        let levels = Type::Array(Box::new(Type::Scalar("bool".into())), count);
        (count > 0).then(|| Field::new(d.path.clone(), levels))
    });
    Type::structure("Lines", fields.collect())
}

impl Machine {
    /// The machine's state as sections of a state version, in the order of its layout. Their memory is the machine's own.
    /// Between two runs nothing else is going on. What has come and is not let in yet is not lost: it waits in the queues.
    ///
    /// # Errors
    /// Something has a value that the state version cannot hold.
    pub fn save(&self, version: u32) -> Result<Vec<Section>, StateError> {
        self.sections(version, true)
    }

    /// The same without what is as it was when the machine was built: what a reset writes to memory, which can be large.
    ///
    /// # Errors
    /// As for [`Machine::save`].
    pub fn save_what_changes(&self, version: u32) -> Result<Vec<Section>, StateError> {
        let changes = self.kept.iter().filter(|kept| kept.of != Of::Boot);
        self.sections_of(changes, version, true)
    }

    /// The same, or what a guest can see of it: without what is not let in yet, and where the run was stopped last.
    pub(super) fn sections(&self, version: u32, whole: bool) -> Result<Vec<Section>, StateError> {
        self.sections_of(self.kept.iter(), version, whole)
    }

    fn sections_of<'a>(
        &self,
        kept: impl Iterator<Item = &'a Kept>,
        version: u32,
        whole: bool,
    ) -> Result<Vec<Section>, StateError> {
        let mut out = Writer::new(version);
        for Kept { path, of } in kept {
            match *of {
                Of::Device(index) => {
                    if let Some(device) = self.domain.at_rest(DevId(index as u32)) {
                        out.section(path, device);
                    }
                }
                Of::Clock => out.section(
                    path,
                    &self.domain.clock(if whole { self.look_at } else { 0 }),
                ),
                Of::Turns => out.section(path, self.domain.turns()),
                Of::Lines => out.section(path, &self.domain.output_levels()),
                Of::Input(slot) => {
                    let mut queue = Cow::Borrowed(&self.domain.input[slot]);
                    for bytes in self.door.input(slot).filter(|_| whole) {
                        queue.to_mut().push(bytes.to_vec());
                    }
                    out.section(path, queue.state());
                }
                Of::Block(slot) => {
                    if let Some(drive) = self.domain.drive(slot) {
                        let drive = match whole {
                            true => drive.kept(),
                            false => Ok(drive.seen()),
                        };
                        let lost = |why| StateError::new(format!("{path}: {why}"));
                        out.section(path, &drive.map_err(lost)?);
                    }
                }
                Of::Boot => out.section(path, &self.kernel),
            }
        }
        out.finish()
    }

    /// Builds a machine of a plan and loads what [`Machine::save`] wrote, of a state version. The machine takes over the
    /// sections' memory.
    ///
    /// # Errors
    /// A section that is missing, left over, or not of this plan.
    pub fn restored(
        plan: &Plan,
        fittings: Fittings,
        sections: &[Section],
        version: u32,
    ) -> Result<Self, StateError> {
        let built = Self::build(plan, fittings);
        let mut machine = built.map_err(|e| StateError::new(e.to_string()))?;
        let mut from = Reader::new(sections, version);
        machine.load_state(&mut from)?;
        match from.left().next() {
            Some(left) => Err(StateError::new(format!("nothing has a section {left}"))),
            None => Ok(machine),
        }
    }

    /// The machine is of no use any more where that fails.
    fn load_state(&mut self, from: &mut Reader<'_>) -> Result<(), StateError> {
        self.domain.reset();
        self.domain.clear();
        let (mut clock, mut levels) = (Clock::default(), self.domain.output_levels());
        for Kept { path, of } in &self.kept {
            let inside = |e: StateError| StateError::new(format!("{path}: {e}"));
            match *of {
                Of::Device(index) => {
                    if let Some(device) = self.domain.device(DevId(index as u32)) {
                        from.section(path, device)?;
                    }
                }
                Of::Clock => {
                    from.section(path, &mut clock)?;
                    self.domain.set_clock(&clock).map_err(inside)?;
                }
                // Behind the clock, by which they are judged.
                Of::Turns => {
                    from.section(path, self.domain.turns_mut())?;
                    self.domain.check_turns().map_err(inside)?;
                }
                Of::Lines => from.section(path, &mut levels)?,
                Of::Input(slot) => from.section(path, self.domain.input[slot].state_mut())?,
                Of::Block(slot) => {
                    if let Some(drive) = self.domain.drive_mut(slot) {
                        from.section(path, drive)?;
                        drive.loaded().map_err(inside)?;
                    }
                }
                Of::Boot => from.section(path, &mut self.kernel)?,
            }
        }
        self.look_at = self.domain.loaded(&clock, &levels)?;
        for cpu in self.domain.cpus().to_vec() {
            self.domain.call(cpu, |d, cx| {
                if let Some(cpu) = d.processor() {
                    cpu.lend(cx);
                }
            });
        }
        Ok(())
    }
}

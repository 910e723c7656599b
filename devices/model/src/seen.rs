//! What a guest finds in a device right after a reset: identities, reset values, what a command tells of the device.
//!
//! The lock of a released board keeps it, so that no constant in a model's code changes under a board that is out there.

use std::fmt::Write as _;

use crate::registers::{Register, Value};
use crate::testing::{Bench, Subject};
use crate::{Cycle, I2c, Pins, RegionId, RegionKind, Space};

/// Something that a guest finds out about a device by more than the reading of a register: a [`Model`](crate::Model) lists
/// them, as far as the answer is no state of the device.
#[derive(Debug, Clone, Copy)]
pub struct Question {
    /// Its name: `cfi`.
    pub name: &'static str,
    /// How it is asked. The answer is what is read, in order.
    pub steps: &'static [Ask],
}

/// A register of a device: its region, its offset there in bytes, and the bytes of an access.
pub type At = (RegionId, u64, u8);

/// A part of a [`Question`].
#[derive(Debug, Clone, Copy)]
pub enum Ask {
    /// Writes a register.
    Write(At, u64),
    /// Reads a register.
    Read(At),
    /// Reads registers from the first to the second, so many bytes apart.
    Registers(At, u64, u64),
    /// Reads what is behind an index: writes the numbers from the first to the second to the index, and reads the data each
    /// time.
    Indexed(At, At, u64, u64),
    /// Lets guest time pass, in nanoseconds.
    Wait(u64),
}

/// What was found, by name: `config.00` or `registers.1f` with the offset, `writable.04` with the bits of `config.04` that a guest can set,
/// `cpu.prid`, `output.irq`, or a question's name. Values
/// are hexadecimal; `-` is no answer.
pub type Seen = Vec<(String, String)>;

/// The most registers of a region that are read.
const MOST: u64 = 4096;
/// How much of a memory is read, in bytes.
const MEMORY: usize = 64;

/// Looks at a device that was reset, as a guest would. What has the value of the register before it is left out, and so is a
/// register of a CPU that is zero. The device is not what it was: reading has effects.
pub fn seen<D: Subject>(bench: &mut Bench<D>, questions: &[Question]) -> Seen {
    let mut seen = Seen::new();
    // Most of what is read means nothing.
    bench.around.deaf = true;
    let interface = bench.interface.clone();
    for (pin, high) in bench.around.outputs.clone() {
        if high {
            let name = pin_name(&interface.outputs, pin.0);
            seen.push((format!("output.{name}"), "high".to_owned()));
        }
    }
    for (id, at) in bench.around.timers.clone() {
        seen.push((format!("timer.{}", id.0), format!("{at} ns")));
    }
    if let Some(cpu) = bench.dev.device_mut().processor() {
        for (place, Register { name, bits, .. }) in cpu.registers().iter().enumerate() {
            let value = cpu.register(place).unwrap_or_default();
            if value != Value::default() {
                seen.push((format!("cpu.{name}"), value.hex(*bits)));
            }
        }
    }
    let mut run = Run::default();
    for offset in (0..256u16).step_by(4) {
        let value = bench.cycle(Cycle::Config {
            devfn: 0,
            offset,
            size: 4,
            write: None,
        });
        run.next(&mut seen, "config", offset.into(), value, 4);
    }
    if let Some(function) = bench.dev.device_mut().pci() {
        let config = function.config();
        for (name, mask) in config.masks() {
            for (offset, bytes) in (0..).step_by(4).zip(mask.as_chunks().0) {
                let mask = u32::from_le_bytes(*bytes);
                if mask != 0 {
                    seen.push((format!("{name}.{offset:02x}"), hex(Some(mask.into()), 4)));
                }
            }
        }
        for (index, space, size) in config.bars() {
            let space = match space {
                Space::Io => "I/O",
                Space::Memory => "memory",
            };
            seen.push((format!("bar.{index}"), format!("{space}, {size:#x} bytes")));
        }
    }
    i2c(bench, &mut seen);
    for (id, (at, size, target)) in bench.around.mapped.clone() {
        let name = interface.region(id).map_or("", |region| region.name);
        seen.push((
            format!("mapped.{name}"),
            format!("{at:#x}, {size:#x} bytes, {target:#x}"),
        ));
    }
    for region in &interface.regions {
        match region.kind {
            RegionKind::Registers { max_width } => {
                let mut run = Run::default();
                let step = u64::from(max_width.max(1));
                let offsets = (0..).step_by(step as usize).take(MOST as usize);
                for offset in offsets.take_while(|offset| offset + step <= region.size) {
                    let value = bench.read(region.id, offset, max_width);
                    run.next(&mut seen, region.name, offset, value, max_width);
                }
            }
            RegionKind::Memory => {
                let mut bytes = [0; MEMORY];
                if let Some(backing) = bench.dev.device().memory(region.id) {
                    let len = MEMORY.min(backing.len as usize);
                    if backing.ram.read(backing.offset, &mut bytes[..len]).is_ok() {
                        let mut run = Run::default();
                        for (offset, byte) in (0..).zip(&bytes[..len]) {
                            let value = Some(u64::from(*byte));
                            run.next(&mut seen, region.name, offset, value, 1);
                        }
                    }
                }
            }
            RegionKind::Bridge { .. } => {}
        }
    }
    for question in questions {
        seen.push((question.name.to_owned(), ask(bench, question)));
    }
    seen
}

/// Values one after another, of which those are told that are not as the one before.
#[derive(Default)]
struct Run(Option<Option<u64>>);

impl Run {
    fn next(&mut self, seen: &mut Seen, name: &str, at: u64, value: Option<u64>, size: u8) {
        // A region that never answers has nothing to tell.
        if self.0.unwrap_or(None) != value {
            seen.push((format!("{name}.{at:02x}"), hex(value, size)));
        }
        self.0 = Some(value);
    }
}

fn hex(value: Option<u64>, size: u8) -> String {
    let digits = 2 * usize::from(size);
    value.map_or("-".to_owned(), |value| format!("{value:0digits$x}"))
}

/// What a target on an I²C bus has from address 0 on.
fn i2c<D: Subject>(bench: &mut Bench<D>, seen: &mut Seen) {
    let mut event = |event| bench.cycle(Cycle::I2c { address: 0, event });
    if event(I2c::Start { read: false }).is_none() {
        return;
    }
    event(I2c::Write(0));
    event(I2c::Start { read: true });
    let mut run = Run::default();
    for at in 0..256 {
        run.next(seen, "i2c", at, event(I2c::Read), 1);
    }
    event(I2c::Stop);
}

fn ask<D: Subject>(bench: &mut Bench<D>, question: &Question) -> String {
    let mut answer = String::new();
    let mut read = |bench: &mut Bench<D>, (region, offset, size): At| {
        let space = if answer.is_empty() { "" } else { " " };
        let value = bench.read(region, offset, size);
        // Writing to a text does not fail.
        let _ = write!(answer, "{space}{}", hex(value, size));
    };
    for step in question.steps {
        match *step {
            Ask::Write((region, offset, size), value) => {
                bench.write(region, offset, size, value);
            }
            Ask::Read(at) => read(bench, at),
            Ask::Registers((region, offset, size), last, apart) => {
                for at in (offset..=last).step_by(apart.max(1) as usize) {
                    read(bench, (region, at, size));
                }
            }
            Ask::Indexed((region, offset, size), data, first, last) => {
                for index in first..=last {
                    bench.write(region, offset, size, index);
                    read(bench, data);
                }
            }
            Ask::Wait(ns) => bench.advance(ns),
        }
    }
    answer
}

/// A pin by name: `intr`, `out[2]`.
fn pin_name(groups: &[Pins], pin: u16) -> String {
    let mut first = 0;
    for group in groups {
        if pin - first < group.count {
            return match group.count {
                1 => group.name.to_owned(),
                _ => format!("{}[{}]", group.name, pin - first),
            };
        }
        first += group.count;
    }
    pin.to_string()
}

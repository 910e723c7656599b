//! What no guest may break and every device must keep: random accesses, and saved state.

use std::fmt::Debug;

use solderless_memory::Ram;

use super::{Bench, Subject};
use crate::{Cycle, END_OF_TIME, Failure, I2c, Ide, Pin, RegionKind, Section, SlotId, Transfer};

/// How many random runs a device has to stand; fewer, but never below `FEWEST_RUNS`, if they would save more than
/// `SAVED` bytes in all.
const RUNS: u64 = 64;
const FEWEST_RUNS: u64 = 2;
const SAVED: u64 = 64 << 20;
/// Steps between two saves, and how often each run saves.
const STEPS: usize = 100;
const SAVES: u64 = 4;

/// Numbers that look random and are always the same for one seed (SplitMix64).
#[derive(Debug, Clone)]
pub struct Noise(pub u64);

impl Noise {
    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// The next number, below `end`; 0 if `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.draw().checked_rem(end).unwrap_or(0)
    }

    /// A number of the kinds that registers are sensitive to: any, a small one, a single bit, all ones.
    pub fn value(&mut self) -> u64 {
        match self.below(8) {
            0..4 => self.draw(),
            4 | 5 => self.below(64),
            6 => 1 << self.below(64),
            _ => u64::MAX,
        }
    }

    /// A size from 1 to `widest` bytes, a power of two.
    fn size(&mut self, widest: u8) -> u8 {
        1 << self.below(u64::from(widest.max(1).ilog2()) + 1)
    }
}

/// Something happens to a device: an access to a region or to configuration space, a change of an input, a timer, the
/// passing of time, a character, a frame, an event on its bus, a few instructions. Returns what can be seen of it from
/// outside.
pub fn step<D: Subject>(bench: &mut Bench<D>, noise: &mut Noise) -> Option<u64> {
    let inputs: u16 = bench.interface.inputs.iter().map(|p| p.count).sum();
    match noise.below(32) {
        0..20 => access(bench, noise),
        20..24 => {
            let size = noise.size(4);
            let offset = noise.below(256) as u8 & !(size - 1);
            if noise.below(2) == 0 {
                bench.config_write(offset, size, noise.value() as u32);
            }
            Some(bench.config_read(offset, size).into())
        }
        24 | 25 => {
            if inputs > 0 {
                let pin = Pin(noise.below(inputs.into()) as u16);
                bench.line(pin, noise.below(2) != 0);
            }
            None
        }
        26 => bench.cycle(Cycle::Acknowledge),
        27 => {
            // Any that is armed, and before its time.
            let armed = bench.around.timers.len() as u64;
            let id = bench.around.timers.keys().nth(noise.below(armed) as usize);
            if let Some(id) = id.copied() {
                bench.around.timers.remove(&id);
                bench.with(|d, cx| d.device_mut().timer(cx, id));
            }
            None
        }
        28 => {
            let ns = noise.draw() >> (40 + noise.below(24));
            bench.advance(ns);
            None
        }
        29 => {
            // Timers of a machine can be late, though never by this much.
            let ns = noise.draw() >> noise.below(64);
            let latest = END_OF_TIME - 1_000_000_000;
            let now = bench.around.now;
            bench.around.now = now.max(now.saturating_add(ns).min(latest));
            None
        }
        30 => {
            let event = match noise.below(5) {
                0 => I2c::Start { read: false },
                1 => I2c::Start { read: true },
                2 => I2c::Write(noise.value() as u8),
                3 => I2c::Read,
                _ => I2c::Stop,
            };
            bench.cycle(Cycle::I2c { address: 0, event })
        }
        _ => outside(bench, noise),
    }
}

fn access<D: Subject>(bench: &mut Bench<D>, noise: &mut Noise) -> Option<u64> {
    let index = noise.below(bench.interface.regions.len() as u64);
    let region = bench.interface.regions.get(index as usize)?;
    let widest = match region.kind {
        RegionKind::Registers { max_width } => max_width,
        RegionKind::Memory => 8,
        RegionKind::Bridge { .. } => return None,
    };
    let size = noise.size(widest);
    let last = region.size.checked_sub(size.into())?;
    // Registers lie at the start of most regions.
    let near = [16, 256, u64::MAX][noise.below(3) as usize];
    let offset = noise.below(near.min(last.saturating_add(1)));
    let offset = match noise.below(4) {
        0 => offset,
        _ => offset & !(u64::from(size) - 1),
    };
    let id = region.id;
    let write = (noise.below(2) != 0).then(|| {
        let mask = u64::MAX >> (64 - 8 * u32::from(size));
        noise.value() & mask
    });
    bench.access(id, offset, size, write)
}

/// What comes from a host or a clock: characters for a serial line, frames for a network, instructions for a CPU.
fn outside<D: Subject>(bench: &mut Bench<D>, noise: &mut Noise) -> Option<u64> {
    let byte = noise.draw() as u8;
    let mut ready = None;
    let slots = bench.interface.slots.len() as u64;
    let slot = SlotId(noise.below(slots) as u8);
    let length = noise.below(2000) as usize;
    bench.with(|d, cx| {
        if let Some(net) = d.device_mut().netdev() {
            let room = net.can_receive(slot);
            if room {
                net.receive(cx, slot, &vec![byte; length]);
            }
            ready = Some(room.into());
        }
        if let Some(line) = d.device_mut().chardev() {
            let room = line.can_receive(slot);
            line.receive(cx, slot, &vec![byte; room.min(64)]);
            if byte & 0xf0 == 0 {
                line.receive_break(cx, slot);
            }
            ready = Some(room as u64);
        }
        if let Some(ide) = d.device_mut().ide() {
            let mut data = vec![byte; length & !1];
            ready = Some(match noise.below(8) {
                0 => ide.dma(cx, Transfer::Read(&mut data)) as u64,
                1 => ide.dma(cx, Transfer::Write(&data)) as u64,
                _ => {
                    let register = noise.below(9) as u8;
                    let transfer = match noise.below(3) {
                        0 => Ide::Read(register),
                        1 => Ide::Write(register, noise.value() as u16),
                        _ => Ide::Signals,
                    };
                    ide.transfer(cx, 0, transfer).unwrap_or(u64::MAX)
                }
            });
        }
    });
    let works = bench.dev.device_mut().blockdev().is_some();
    if works && noise.below(2) == 0 {
        let failure = [None, None, None, Some(Failure::Io)][noise.below(4) as usize];
        bench.finish_job(failure);
    }
    bench.around.deadline = bench.around.now.saturating_add(10_000);
    bench.with(|d, cx| {
        if let Some(cpu) = d.device_mut().processor() {
            cpu.run(cx, u64::from(byte));
            ready = Some(cpu.pc());
        }
    });
    ready
}

/// Random accesses never panic, at no time, and a device that was loaded from another's state is equal to it from then
/// on. `new` always makes the same bench. Test code: panics where that does not hold.
pub fn exercise<D: Subject>(new: impl Fn() -> Bench<D>) {
    let size = |s: &Section| s.payload.len() as u64 + s.memory.iter().map(Ram::size).sum::<u64>();
    let state: u64 = new().save().iter().map(size).sum();
    let runs = (SAVED / SAVES / state.max(1)).clamp(FEWEST_RUNS, RUNS);
    goes_on_the_same(&new, runs, STEPS, step);
    for seed in 0..RUNS {
        let mut noise = Noise(!seed);
        let mut late = new();
        late.around.now = u64::MAX - 1_000_000_000;
        for _ in 0..3 * STEPS {
            step(&mut late, &mut noise);
        }
        late.reset();
    }
}

/// In each of so many runs a device is saved again and again, after so many steps and the passing of time: whatever it
/// brings up to date only when somebody looks is then out of date. Its state is loaded into a fresh one, and both are taken
/// through the same steps to the next save. What they save, what `step` returns, their timers, outputs and the regions
/// they have placed stay equal, as if nothing had been saved. `new` always makes the same bench; memory and the levels of
/// lines are carried over. Test code: panics where they differ.
pub fn goes_on_the_same<D: Subject, A: Debug + PartialEq>(
    new: impl Fn() -> Bench<D>,
    runs: u64,
    steps: usize,
    step: impl Fn(&mut Bench<D>, &mut Noise) -> A,
) {
    for seed in 0..runs {
        let mut noise = Noise(seed);
        let mut first = new();
        for _ in 0..steps {
            step(&mut first, &mut noise);
        }
        for save in 0..SAVES {
            let place = |n: usize| format!("run {seed}, {n} steps after save {save}");
            // A machine stands still between events: none is due.
            first.advance(noise.draw() >> (40 + noise.below(24)));
            let saved = first.save();
            let mut second = new();
            second.around.ram = first.around.ram.as_ref().map(super::copy);
            second.load(&saved, &first.around);
            assert!(second.save() == saved, "{}: loaded", place(0));
            let mut again = noise.clone();
            for n in 0..=steps {
                assert_eq!(first.around.timers, second.around.timers, "{}", place(n));
                assert_eq!(first.around.mapped, second.around.mapped, "{}", place(n));
                let differs = |(pin, level): (&Pin, &bool)| second.output(*pin) != *level;
                assert!(!first.around.outputs.iter().any(differs), "{}", place(n));
                let answers = (step(&mut first, &mut noise), step(&mut second, &mut again));
                assert_eq!(answers.0, answers.1, "{}", place(n));
            }
            assert!(first.save() == second.save(), "{}: states", place(steps));
        }
    }
}

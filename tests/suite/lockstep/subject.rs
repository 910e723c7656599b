//! The same machine in two engines, run to the same instants and compared at each.
//!
//! A difference is traced to the first block that makes it: the machines are built anew and brought to where they were equal,
//! with the same steps, and go on to instants closer and closer to it.

use std::fmt::Write;
use std::time::Duration;

use solderless::machine::{Machine, Pace, Run};
use solderless_model::memory::Ram;
use solderless_model::registers::Register;
use solderless_model::{Engine, NEWEST, Section, Stop};

use crate::architectures::Architecture;
use crate::outside::Typed;

/// Lets guest time pass.
pub fn run(machine: &mut Machine, ns: u64) {
    let run = Run {
        pace: Pace::Deterministic,
        no_reboot: false,
        max_time: Some(Duration::from_nanos(ns)),
    };
    machine.run(run, &mut Typed::default());
}

/// What steps are counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Guest time.
    Nanoseconds,
    /// Instructions, of which the interpreter executes one at a time in steps of up to [`SINGLE`].
    Instructions,
}

/// See [`Unit::Instructions`].
pub const SINGLE: u64 = 5000;
/// How long before a difference the block that makes it has started, in any unit.
const BACK: u64 = 1000;

/// What is run in both engines.
pub struct Subject<'a> {
    /// Makes the machine for an engine.
    pub make: &'a dyn Fn(Engine) -> Machine,
    pub architecture: &'static Architecture,
    pub big_endian: bool,
    /// The engine beside the interpreter.
    pub engine: Engine,
    pub unit: Unit,
    /// Where an address is in physical memory, as far as that is known, for the listing.
    pub physical: fn(u64) -> Option<u64>,
}

/// What is in each register of the CPU, in the order of its table and in words of 64 bits; before them the number of instructions
/// and the time.
fn registers(machine: &mut Machine, table: &[Register]) -> Vec<u64> {
    let now = machine.now();
    let cpu = machine.cpu().expect("a CPU");
    let mut words = vec![cpu.instructions(), now];
    for (place, register) in table.iter().enumerate() {
        let value = cpu.register(place).expect("it is in the table");
        words.extend(value.words(register.bits));
    }
    words
}

fn table(machine: &mut Machine) -> Vec<Register> {
    machine.cpu().expect("a CPU").registers()
}

/// What the words of [`registers`] are.
fn names(table: &[Register]) -> Vec<&'static str> {
    let words = |r: &Register| std::iter::repeat_n(r.name, r.bits.div_ceil(64).into());
    let names = table.iter().flat_map(words);
    ["instructions", "time"].into_iter().chain(names).collect()
}

fn differ(machines: &mut [Machine; 2], table: &[Register], whole: bool) -> bool {
    let [a, b] = machines;
    registers(a, table) != registers(b, table) || whole && a.state_hash() != b.state_hash()
}

fn content(memory: &Ram) -> Vec<u8> {
    let mut bytes = vec![0; memory.size() as usize];
    memory.read(0, &mut bytes).expect("it is all there");
    bytes
}

impl Subject<'_> {
    fn machine(&self, engine: Engine) -> Machine {
        let mut machine = (self.make)(engine);
        assert!(machine.cpu().expect("a CPU").set_engine(engine));
        machine
    }

    fn pair(&self) -> [Machine; 2] {
        [Engine::Interp, self.engine].map(|engine| self.machine(engine))
    }

    fn advance(&self, machine: &mut Machine, by: u64) {
        if self.unit == Unit::Nanoseconds {
            return run(machine, by);
        }
        let cpu = machine.cpu().expect("a CPU");
        let single = cpu.engine_info().engine == Engine::Interp && by <= SINGLE;
        let end = cpu.instructions() + by;
        let mut now = cpu.instructions();
        // One that waits, or that is to be reset, executes no more.
        while now < end
            && machine.requested().is_none()
            && machine.step(if single { 1 } else { end - now }) != Some(Stop::Wait)
        {
            now = machine.cpu().expect("a CPU").instructions();
        }
    }

    /// Runs both machines by these steps, one after the other, and compares registers after each, and all state after each that is
    /// at least `whole`, and at the end. Gives the number of blocks that code was generated for.
    ///
    /// # Errors
    /// They differ: where, and how.
    pub fn lockstep(&self, steps: &[u64], whole: u64) -> Result<u64, String> {
        let mut machines = self.pair();
        let table = table(&mut machines[0]);
        for (index, by) in steps.iter().enumerate() {
            for machine in &mut machines {
                self.advance(machine, *by);
            }
            let whole = *by >= whole || index + 1 == steps.len();
            if differ(&mut machines, &table, whole) {
                return Err(self.bisect(&steps[..index], *by, whole));
            }
        }
        let info = machines[1].cpu().expect("a CPU").engine_info();
        Ok(info.generated)
    }

    /// Finds when, within the last step, the machines become different, and says how.
    fn bisect(&self, steps: &[u64], last: u64, whole: bool) -> String {
        let at = |last: u64| {
            let mut machines = self.pair();
            for machine in &mut machines {
                steps.iter().for_each(|by| self.advance(machine, *by));
                self.advance(machine, last);
            }
            machines
        };
        let table = table(&mut at(0)[0]);
        let (mut equal, mut different) = (0, last);
        while different - equal > 1 {
            let middle = equal + (different - equal) / 2;
            if differ(&mut at(middle), &table, whole) {
                different = middle;
            } else {
                equal = middle;
            }
        }
        let start: u64 = steps.iter().sum();
        let unit = match self.unit {
            Unit::Nanoseconds => "ns",
            Unit::Instructions => "instructions",
        };
        let mut text = format!(
            "the engines agree until {} {unit} and differ at {} {unit}\n",
            start + equal,
            start + different
        );
        let [mut interpreted, mut generated] = at(different);
        let [a, b] = [&mut interpreted, &mut generated].map(|m| registers(m, &table));
        let (block, before) = self.last_block(steps, equal, a[0]);
        text += "the block that makes the difference:\n";
        for line in block {
            let _ = writeln!(text, "  {line}");
        }
        text += "before it, interpreted, and generated:\n";
        for (name, ((x, a), b)) in names(&table).iter().zip(before.iter().zip(&a).zip(&b)) {
            let mark = if a == b { "" } else { "  <<<" };
            let _ = writeln!(text, "  {name:>12} {x:16x} {a:16x} {b:16x}{mark}");
        }
        if a == b {
            let save = |m: &Machine| m.save(NEWEST).expect("it can be saved");
            let sections = save(&interpreted).into_iter().zip(save(&generated));
            for (a, b) in sections {
                let memory = |s: &Section| s.memory.iter().flat_map(content).collect::<Vec<_>>();
                for (kind, a_bytes, b_bytes) in [
                    ("state", a.payload.clone(), b.payload.clone()),
                    ("memory", memory(&a), memory(&b)),
                ] {
                    if a_bytes != b_bytes {
                        let first = a_bytes.iter().zip(&b_bytes).position(|(a, b)| a != b);
                        let _ = writeln!(
                            text,
                            "  {}: its {kind} differs from byte {first:x?} on",
                            a.path
                        );
                    }
                }
            }
        }
        text
    }

    /// The instructions of the block that the CPU is at the end of after so many of them, and the registers before it.
    fn last_block(&self, steps: &[u64], equal: u64, instructions: u64) -> (Vec<String>, Vec<u64>) {
        let mut machine = self.machine(Engine::Interp);
        // As many steps as leave enough to go.
        let (mut skip, mut left) = (steps.to_vec(), equal);
        while left < BACK
            && let Some(last) = skip.pop()
        {
            left += last;
        }
        skip.iter().for_each(|by| self.advance(&mut machine, *by));
        self.advance(&mut machine, left.saturating_sub(BACK));
        let (mut block, mut before, mut ended) = (Vec::new(), Vec::new(), true);
        let table = table(&mut machine);
        loop {
            let now = registers(&mut machine, &table);
            if now[0] >= instructions {
                return (block, before);
            }
            let pc = machine.cpu().expect("a CPU").pc();
            if ended {
                block.clear();
                before.clone_from(&now);
            }
            let (line, mut behind) = self.listed(&mut machine, pc);
            block.push(line);
            machine.step(1);
            let cpu = machine.cpu().expect("a CPU");
            let executed = cpu.instructions() - now[0];
            if executed == 0 {
                // It waits.
                run(&mut machine, 1000);
            }
            for _ in 1..executed {
                let (line, end) = self.listed(&mut machine, behind);
                block.push(line);
                behind = end;
            }
            ended = executed != 1 || machine.cpu().expect("a CPU").pc() != behind;
        }
    }

    /// The instruction at an address in words, and the address behind it.
    fn listed(&self, machine: &mut Machine, pc: u64) -> (String, u64) {
        let mut byte = |offset: u64| {
            let at = (self.physical)(pc.wrapping_add(offset))?;
            machine.read(at, 1).ok().map(|byte| byte as u8)
        };
        let (text, len) = (self.architecture.listed)(&mut byte, self.big_endian);
        (format!("{pc:08x}: {text}"), pc.wrapping_add(len))
    }
}

//! The CPU beside QEMU's: random programs, with exceptions, TLB and FPU, run in both, and what they leave is compared;
//! a part of them is compared step by step, and so is every one that leaves a difference.
//!
//! QEMU is driven through its gdb port. `SOLDERLESS_SEED` and `SOLDERLESS_PROGRAMS` in the environment choose the first
//! program and their number; a failure prints the seed that repeats it.

mod encodings;
mod gdb;
mod wide;

use std::ops::Range;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use self::gdb::Gdb;
use solderless::compose::{self, Options};
use solderless::machine::{Fittings, Machine};
use solderless_model::{Engine, Processor};
use solderless_testing::emulator::Emulator;
use solderless_testing::frame::{self, Frame, Input, Outcome, RESULT, RESULT_SIZE, defined};
use solderless_testing::program::{self, Cpu, Program};
use solderless_testing::{Endian, guests};

/// The first program, unless the environment says otherwise: the same in every run of CI, so that a change is to blame
/// for a failure.
const SEED: u64 = 1;
/// Programs over all configurations, unless the environment says otherwise.
const PROGRAMS: u64 = 3000;
/// One of so many programs is stepped.
const STEPPED: u64 = 10;
/// The most steps that a program is followed for.
const STEPS: u32 = 2000;
/// Far more than any program executes.
const INSTRUCTIONS: u64 = 3_000_000;

/// A byte order, a CPU model and its share of every hundred seeds.
const CONFIGURATIONS: [(Endian, &str, Cpu, Range<u64>); 5] = [
    (
        Endian::Little,
        "24Kf",
        Cpu {
            fpu: true,
            tlb_entries: 16,
        },
        0..45,
    ),
    (
        Endian::Big,
        "24Kf",
        Cpu {
            fpu: true,
            tlb_entries: 16,
        },
        45..70,
    ),
    (
        Endian::Little,
        "34Kf",
        Cpu {
            fpu: true,
            tlb_entries: 64,
        },
        70..80,
    ),
    (
        Endian::Little,
        "74Kf",
        Cpu {
            fpu: true,
            tlb_entries: 16,
        },
        80..90,
    ),
    (
        Endian::Little,
        "4KEc",
        Cpu {
            fpu: false,
            tlb_entries: 16,
        },
        90..100,
    ),
];

/// The two machines, in the same configuration.
struct Pair {
    endian: Endian,
    frame: Frame,
    ours: Machine,
    theirs: Gdb,
    qemu: Child,
    socket: std::path::PathBuf,
    /// Ours that executes all of it as generated code; `None` where there is no generator, and while it is in the place of
    /// the other.
    generating: Option<Machine>,
}

impl Drop for Pair {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
        let _ = std::fs::remove_file(&self.socket);
    }
}

impl Pair {
    /// Starts both with the frame in memory, or `None` where the test is to be skipped.
    fn new(endian: Endian, model: &str) -> Option<Self> {
        let frame = Frame::new(endian)?;
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let unique = (std::process::id(), STARTED.fetch_add(1, Ordering::Relaxed));
        let socket = guests::cache().join(format!("cpu-{}-{}.socket", unique.0, unique.1));
        let image = guests::cache().join(format!("cpu_frame-{}.bin", endian.triple()));
        guests::replace(&image, &frame.firmware);
        let gdb = format!("unix:{},server=on,wait=off", socket.display());
        let qemu = Emulator::qemu(endian)?
            .ram(256)
            .firmware(&image, endian)
            .args(["-cpu", model, "-S", "-gdb", &gdb]);
        let mut qemu = qemu.command();
        qemu.stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let qemu = qemu.spawn().expect("QEMU starts");
        let mut theirs = Gdb::connect(&socket, endian);
        let mut ours = machine(endian, model, &frame);
        let mut generating = machine(endian, model, &frame);
        for (at, bytes) in &frame.segments {
            theirs.write(0x8000_0000 | at, bytes);
            for machine in [&mut ours, &mut generating] {
                machine
                    .load(u64::from(*at), bytes)
                    .expect("there is memory");
            }
        }
        let generates = generating
            .cpu()
            .is_some_and(|cpu| cpu.set_engine(Engine::Jit { after: 1 }));
        theirs.set_breakpoint(frame.done);
        Some(Self {
            endian,
            frame,
            ours,
            theirs,
            qemu,
            socket,
            generating: generates.then_some(generating),
        })
    }

    /// Puts a program into both machines, ready to start.
    fn load(&mut self, program: &Program) {
        self.theirs.set_pc(self.frame.entry);
        for (at, bytes) in self.frame.memory(program) {
            self.theirs.write(at, &bytes);
        }
        self.load_ours(program);
    }

    fn load_ours(&mut self, program: &Program) {
        for (at, bytes) in self.frame.memory(program) {
            self.ours
                .load(u64::from(at & 0x1fff_ffff), &bytes)
                .expect("there is memory");
        }
        self.enter();
    }

    /// Has our CPU start the program that is in memory.
    fn enter(&mut self) {
        let cpu = self.ours.cpu().expect("a CPU");
        let status = cpu.named("status").expect("a MIPS CPU");
        assert!(cpu.set_register(status, frame::STATUS.into()));
        cpu.set_pc(self.frame.entry.into());
    }

    /// What the program leaves if all of it is executed as generated code, on a machine that has executed what the others
    /// have.
    fn generated(&mut self, program: &Program) -> Option<Outcome> {
        let generating = self.generating.take()?;
        let other = std::mem::replace(&mut self.ours, generating);
        self.load_ours(program);
        self.run_ours(self.frame.done, 4096);
        let [outcome, _] = self.outcomes();
        self.generating = Some(std::mem::replace(&mut self.ours, other));
        Some(outcome)
    }

    fn our_pc(&mut self) -> u32 {
        self.ours.cpu().expect("a CPU").pc() as u32
    }

    /// Runs our machine until the CPU gets to an address; says whether it did.
    fn run_ours(&mut self, to: u32, by: u64) -> bool {
        let mut left = INSTRUCTIONS;
        while self.our_pc() != to {
            if left == 0 {
                return false;
            }
            self.ours.step(by);
            left = left.saturating_sub(by);
        }
        true
    }

    /// What the program left in both.
    fn outcomes(&mut self) -> [Outcome; 2] {
        let theirs = self.theirs.read(RESULT, RESULT_SIZE);
        let endian = self.endian;
        let theirs = theirs
            .chunks_exact(4)
            .map(|c| endian.word([c[0], c[1], c[2], c[3]]))
            .collect();
        let mut word = |at: u32| {
            let lanes = self
                .ours
                .read(u64::from(RESULT & 0x1fff_ffff) + u64::from(at), 4)
                .expect("there is memory");
            endian.word((lanes as u32).to_le_bytes())
        };
        let ours = (0..RESULT_SIZE as u32).step_by(4).map(&mut word).collect();
        [Outcome(ours), Outcome(theirs)]
    }

    /// Runs a program in both, and returns the differences.
    fn compare(&mut self, program: &Program, cpu: Cpu) -> Vec<String> {
        self.load(program);
        if let Err(pc) = self.theirs.go() {
            return vec![format!("QEMU is still at {pc:#x}")];
        }
        // The frame waits in a loop, so that it does not matter how far the last step goes.
        if !self.run_ours(self.frame.done, 4096) {
            return vec![format!(
                "ours is still at {:#x} after {INSTRUCTIONS} instructions",
                self.our_pc()
            )];
        }
        let fr = program.input.status & program::FR != 0;
        let lines = |outcome: Outcome| outcome.lines(cpu.fpu, fr, program.input.tlb.len());
        let [ours, theirs] = self.outcomes().map(lines);
        let mut differences: Vec<String> = ours
            .iter()
            .zip(&theirs)
            .filter(|(a, b)| a != b)
            .map(|((name, a), (other, b))| match name == other {
                true => format!("{name}: {a:08x}, QEMU {b:08x}"),
                false => format!("{name}: {a:08x}, QEMU has {other}: {b:08x}"),
            })
            .collect();
        if ours.len() != theirs.len() {
            differences.push(format!("{} lines, QEMU {}", ours.len(), theirs.len()));
        }
        if let Some(generated) = self.generated(program).map(lines) {
            let pairs = ours.iter().zip(&generated).filter(|(a, b)| a != b);
            differences.extend(pairs.map(|(a, b)| format!("{a:x?}, generated code {b:x?}")));
        }
        differences
    }

    /// Runs a program in both, an instruction at a time, and returns the first difference in the registers.
    fn step(&mut self, program: &Program) -> Result<(), String> {
        self.load(program);
        let Input { start, .. } = program.input;
        self.theirs.set_breakpoint(start);
        if let Err(pc) = self.theirs.go() {
            return Err(format!("QEMU does not reach the program, but {pc:#x}"));
        }
        self.theirs.clear_breakpoint(start);
        if !self.run_ours(start, 1) {
            return Err("ours does not reach the program".into());
        }
        let names = known(self.ours.cpu().expect("a CPU"));
        let (mut before, mut last) = (start, Vec::new());
        let mut initial = [(0, 0); 2];
        for step in 0..STEPS {
            let mut theirs = self.theirs.registers();
            // QEMU stops between a branch and its delay slot, and before the first instruction of an interrupt's
            // handler, which is such a branch, and may notice the interrupt an instruction late; ours does none of it.
            for _ in 0..4 {
                if theirs[37] != self.our_pc() {
                    self.theirs.step();
                    theirs = self.theirs.registers();
                }
            }
            let cpu = self.ours.cpu().expect("a CPU");
            let ours: Vec<_> = names
                .iter()
                .map(|(place, _)| cpu.register(*place).unwrap_or_default().low() as u32)
                .collect();
            if step == 0 {
                initial = [35, 36].map(|n| (ours[n], theirs[n]));
            }
            let index = before.wrapping_sub(start) as usize / 4;
            let unsettled = program
                .code
                .get(index)
                .is_some_and(|(_, name)| *name == program::UNSETTLED);
            let differs = |number: &usize| match number {
                // The exception handler has values in k0 and k1 that are compared where it has logged them.
                26 | 27 => false,
                // What an exception of an earlier program has left is of no interest.
                35 | 36 if (ours[*number], theirs[*number]) == initial[*number - 35] => false,
                38..=69 if unsettled => false,
                36 => defined("Cause", ours[36] ^ theirs[36], 0) != 0,
                number => ours[*number] != theirs[*number],
            };
            if let Some(number) = (0..names.len()).find(differs) {
                let (name, a, b) = (names[number].1, ours[number], theirs[number]);
                let at = listed(program, before);
                return Err(format!(
                    "step {step}, after {at}: {name} is {a:08x}, QEMU {b:08x}; {}",
                    operands(program, before, &last, &names)
                ));
            }
            last = ours;
            before = self.our_pc();
            if before == self.frame.finish {
                break;
            }
            self.ours.step(1);
            self.theirs.step();
        }
        // Left between a branch and its delay slot, QEMU would take what comes next for the slot.
        self.run_ours(self.frame.done, 4096);
        self.generated(program);
        self.theirs
            .go()
            .map_err(|pc| format!("QEMU is still at {pc:#x}"))
    }
}

/// The instruction at an address, if it is the program's, and the one that follows.
fn listed(program: &Program, pc: u32) -> String {
    let index = pc.wrapping_sub(program.input.start) as usize / 4;
    let line = |at: usize| {
        program
            .code
            .get(at)
            .map_or(String::new(), |(word, name)| format!("{word:08x} {name}"))
    };
    format!("{pc:#x} ({}, {})", line(index), line(index + 1))
}

/// The registers that gdb knows of itself, by its numbers: the place of each in the CPU's table, and its name.
fn known(cpu: &dyn Processor) -> Vec<(usize, &'static str)> {
    let registers = cpu.registers();
    let known = registers.iter().zip(0..);
    let mut known: Vec<_> = known
        .filter_map(|(r, place)| Some((r.gdb?, (place, r.name))))
        .filter(|(gdb, _)| gdb.feature.starts_with("org.gnu.gdb."))
        .map(|(gdb, known)| (gdb.number, known))
        .collect();
    known.sort();
    for (expected, (number, _)) in (0..).zip(&known) {
        assert_eq!(*number, expected, "QEMU sends all of them, in this order");
    }
    known.into_iter().map(|(_, known)| known).collect()
}

/// The registers that the fields of an instruction name, as they were before it.
fn operands(program: &Program, pc: u32, registers: &[u32], names: &[(usize, &str)]) -> String {
    let index = pc.wrapping_sub(program.input.start) as usize / 4;
    let (Some((word, _)), [_, ..]) = (program.code.get(index), registers) else {
        return String::new();
    };
    let floating = matches!(word >> 26, 0x11 | 0x13);
    let first = if floating { 38 } else { 0 };
    let mut text = String::from("before it");
    for field in [21, 16, 11, 6] {
        let number = first + (word >> field & 0x1f) as usize;
        let Some((_, name)) = names.get(number) else {
            break;
        };
        text += &format!(" {name} {:08x}", registers[number]);
        // A double's other half, if FR=0.
        if floating {
            text += &format!("/{:08x}", registers[number | 1]);
        }
    }
    match registers.get(70) {
        Some(fcsr) => text + &format!(" fcsr {fcsr:08x}"),
        None => text,
    }
}

fn machine(endian: Endian, model: &str, frame: &Frame) -> Machine {
    let set = vec![
        ("param.cpu".into(), model.into()),
        ("param.ram".into(), "256MiB".into()),
    ];
    let (plan, _) = compose::load(
        endian.board(),
        &Options {
            set,
            ..Options::default()
        },
    )
    .expect("the board is good");
    let boot = plan.boot.as_ref().expect("it boots").firmware;
    let mut images = vec![None; plan.slots.len()];
    images[boot] = Some(frame.firmware.clone());
    Machine::new(
        &plan,
        Fittings {
            images,
            ..Fittings::default()
        },
    )
    .expect("it can be built")
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

#[test]
fn random_programs_leave_what_they_leave_in_qemu() {
    let seed = number("SOLDERLESS_SEED", SEED);
    let programs = number("SOLDERLESS_PROGRAMS", PROGRAMS);
    println!("SOLDERLESS_SEED={seed} SOLDERLESS_PROGRAMS={programs}");
    let mut failures = Vec::new();
    for (endian, model, cpu, share) in CONFIGURATIONS {
        let seeds = (seed..seed + programs).filter(|seed| share.contains(&(seed % 100)));
        let mut pair = None;
        for next in seeds {
            if pair.is_none() {
                pair = Pair::new(endian, model);
            }
            let Some(both) = &mut pair else { return };
            let program = program::make(next, cpu);
            let mut differences = both.compare(&program, cpu);
            let stepped = !differences.is_empty() || next % STEPPED == 0;
            if stepped && let Err(first) = both.step(&program) {
                differences.insert(0, first);
            }
            if !differences.is_empty() {
                differences.truncate(12);
                failures.push(format!(
                    "{model} {endian:?}, seed {next}:\n    {}",
                    differences.join("\n    ")
                ));
                assert!(
                    failures.len() < 10,
                    "SOLDERLESS_SEED={seed}\n{}",
                    failures.join("\n")
                );
                // Whatever state it left is not the next program's.
                pair = None;
            }
        }
    }
    assert!(
        failures.is_empty(),
        "SOLDERLESS_SEED={seed}\n{}",
        failures.join("\n")
    );
}

#[test]
fn encodings_mean_what_they_mean_in_qemu() {
    let (endian, model, cpu, _) = CONFIGURATIONS[0].clone();
    let Some(mut pair) = Pair::new(endian, model) else {
        return;
    };
    let mut failures = Vec::new();
    for word in encodings::all() {
        let differences = pair.compare(&encodings::program(word, cpu), cpu);
        let known = encodings::QEMU_DIFFERS
            .iter()
            .find(|(from, to, _)| (from..=to).contains(&&word));
        match (differences.first(), known) {
            (Some(first), None) => failures.push(format!("{word:08x}: {first}")),
            (None, Some((.., reason))) => {
                failures.push(format!("{word:08x}: no difference, but: {reason}"))
            }
            _ => {}
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

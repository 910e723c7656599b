//! How fast programs run in the machine, beside the same programs in QEMU and, where it is good at them, in GXemul.
//!
//! Each is bare metal, built by Debian's cross compiler from `benches/guests`, and does a fixed amount of work. What is
//! compared is the user and system time of the emulator from its start until the program's last line; the line holds
//! a result, which must be the same in all. Arguments name the programs to run.

#[path = "common/program.rs"]
mod program;

use std::path::Path;
use std::process::Command;

use solderless_testing::emulator::Emulator;
use solderless_testing::report::{self, median, row, verdict};
use solderless_testing::{Console, Endian, Terminal, guests, usage};

/// Runs of each program in each emulator, in turns; their medians count.
const RUNS: usize = 3;

struct Program {
    name: &'static str,
    source: &'static str,
    rounds: u32,
    /// The speed to reach as a part of QEMU's.
    target: f64,
    /// What the program is there for, if it can be counted: how often it happens in a round, and what it is.
    event: Option<(u32, &'static str)>,
    /// Whether GXemul runs it as well.
    gxemul: bool,
}

const PLAIN: Program = Program {
    name: "",
    source: "",
    rounds: 0,
    target: 1.1,
    event: None,
    gxemul: false,
};

const PROGRAMS: &[Program] = &[
    Program {
        name: "integer loop",
        source: "integer.c",
        rounds: 2_000,
        ..PLAIN
    },
    Program {
        name: "SHA-256",
        source: "sha256.c",
        rounds: 600_000,
        ..PLAIN
    },
    Program {
        name: "memory copy",
        source: "copy.c",
        rounds: 1_000,
        ..PLAIN
    },
    Program {
        name: "unaligned words",
        source: "unaligned.c",
        rounds: 1_000,
        target: 5.0,
        ..PLAIN
    },
    Program {
        name: "double precision",
        source: "float.c",
        rounds: 60,
        target: 5.0,
        ..PLAIN
    },
    Program {
        name: "system calls",
        source: "syscalls.c",
        rounds: 12_000_000,
        target: 1.2,
        event: Some((1, "call")),
        ..PLAIN
    },
    Program {
        name: "TLB refills",
        source: "tlb.c",
        rounds: 12_000,
        target: 4.0,
        event: Some((512, "refill")),
        ..PLAIN
    },
    Program {
        name: "code rewritten",
        source: "selfmod.c",
        rounds: 500_000,
        target: 16.0,
        event: Some((1, "change")),
        gxemul: true,
    },
    Program {
        name: "code run once",
        source: "once.c",
        rounds: 10,
        target: 3.0,
        event: Some((32_768, "function")),
        gxemul: true,
    },
];

/// Runs a program to its last line: the seconds of CPU time it took, and its result.
fn run(command: Command) -> (f64, String) {
    // GXemul keeps what it prints to a pipe until there is much of it.
    let mut console = match command.get_program() == "gxemul" {
        true => Terminal::new().start(command),
        false => Console::start(command),
    };
    console.expect("done ");
    let result = console.expect("\n");
    let seconds = usage::cpu_time(console.id()).as_secs_f64();
    (seconds, result.trim_end().to_owned())
}

/// Ours, QEMU's, and GXemul's where it takes part. `None` if QEMU is not installed, which was then said.
fn emulators(program: &Program, elf: &Path) -> Option<Vec<Command>> {
    let ours = Emulator::ours(env!("CARGO_BIN_EXE_solderless"), Endian::Little);
    let mut commands = vec![
        ours.kernel(elf).command(),
        Emulator::qemu(Endian::Little)?.kernel(elf).command(),
    ];
    if program.gxemul && guests::tool("gxemul", "gxemul") {
        commands.push(Emulator::gxemul(elf));
    }
    Some(commands)
}

fn main() {
    report::heading("Speed of bare-metal programs: CPU time to the last line, median of 3 runs");
    let wanted = report::wanted();
    let mut rows = vec![row([
        "program", "ours", "QEMU", "speed", "target", "", "GXemul", "speed", "", "ours", "QEMU",
        "result",
    ])];
    for program in PROGRAMS {
        if !wanted(program.name) {
            continue;
        }
        let Some(elf) = program::build(&["start.S", program.source], program.rounds) else {
            return;
        };
        let mut times = vec![Vec::new(); 3];
        let mut results = Vec::new();
        for _ in 0..RUNS {
            let Some(commands) = emulators(program, &elf) else {
                return;
            };
            for (times, command) in times.iter_mut().zip(commands) {
                let (time, result) = run(command);
                times.push(time);
                results.push(result);
            }
        }
        results.dedup();
        assert_eq!(results.len(), 1, "{}: the results differ", program.name);
        let medians: Vec<f64> = times
            .iter()
            .filter(|times| !times.is_empty())
            .map(|times| median(times.iter().copied()))
            .collect();
        let speed = medians[1] / medians[0];
        let each = |time: f64| match program.event {
            Some((count, _)) => {
                let count = f64::from(count) * f64::from(program.rounds);
                format!("{:.0} ns", time * 1e9 / count)
            }
            None => String::new(),
        };
        let gxemul = medians.get(2);
        rows.push(vec![
            program.name.to_owned(),
            format!("{:.2} s", medians[0]),
            format!("{:.2} s", medians[1]),
            format!("{speed:.2}×"),
            format!("≥ {}×", program.target),
            verdict(speed >= program.target).to_owned(),
            gxemul.map_or(String::new(), |time| format!("{time:.2} s")),
            gxemul.map_or(String::new(), |time| format!("{:.2}×", time / medians[0])),
            program
                .event
                .map_or(String::new(), |(_, what)| format!("a {what}:")),
            each(medians[0]),
            each(medians[1]),
            results.swap_remove(0),
        ]);
    }
    report::table(&rows);
}

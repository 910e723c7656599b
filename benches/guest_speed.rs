//! How fast programs run in the machine, beside the same programs in QEMU.
//!
//! Each is bare metal, built by Debian's cross compiler from `benches/guests`, and does a fixed amount of work. What is
//! compared is the user and system time of the emulator from its start until the program's last line; the line holds
//! a result, which must be the same in both.

#[path = "common/program.rs"]
mod program;

use solderless_testing::emulator::Emulator;
use solderless_testing::report::{self, median, row, verdict};
use solderless_testing::{Console, Endian, usage};

/// Runs of each program in each emulator, in turns; their medians count.
const RUNS: usize = 3;

/// Name, source file, rounds, and the speed to reach as a part of QEMU's.
const PROGRAMS: &[(&str, &str, u32, f64)] = &[
    ("integer loop", "integer.c", 2_000, 0.3),
    ("SHA-256", "sha256.c", 600_000, 0.3),
    ("memory copy", "copy.c", 1_000, 0.3),
    ("system calls", "syscalls.c", 12_000_000, 0.3),
    ("double precision", "float.c", 60, 2.0),
    ("TLB refills", "tlb.c", 24_000, 0.3),
];

/// Runs a program to its last line: the seconds of CPU time it took, and its result.
fn run(emulator: Emulator) -> (f64, String) {
    let mut console = Console::start(emulator.command());
    console.expect("done ");
    let result = console.expect("\n");
    let seconds = usage::cpu_time(console.id()).as_secs_f64();
    (seconds, result.trim_end().to_owned())
}

fn main() {
    report::heading("Speed of bare-metal programs: CPU time to the last line, median of 3 runs");
    let mut rows = vec![row([
        "program", "ours", "QEMU", "speed", "target", "", "result",
    ])];
    for &(name, source, rounds, target) in PROGRAMS {
        let Some(elf) = program::build(&["start.S", source], rounds) else {
            return;
        };
        let mut times = Vec::new();
        let mut result = String::new();
        for _ in 0..RUNS {
            let Some(qemu) = Emulator::qemu(Endian::Little) else {
                return;
            };
            let ours = Emulator::ours(env!("CARGO_BIN_EXE_solderless"), Endian::Little);
            let (ours, theirs) = (run(ours.kernel(&elf)), run(qemu.kernel(&elf)));
            assert_eq!(
                ours.1, theirs.1,
                "{name}: the results here and in QEMU differ"
            );
            times.push((ours.0, theirs.0));
            result = ours.1;
        }
        let ours = median(times.iter().map(|t| t.0));
        let qemu = median(times.iter().map(|t| t.1));
        rows.push(vec![
            name.to_owned(),
            format!("{ours:.2} s"),
            format!("{qemu:.2} s"),
            format!("{:.2}×", qemu / ours),
            format!("≥ {target}×"),
            verdict(qemu / ours >= target).to_owned(),
            result,
        ]);
    }
    report::table(&rows);
}

//! What it takes to boot Debian's kernel to the shell, and to keep it there, beside QEMU.

use std::time::Duration;

use solderless_testing::emulator::Emulator;
use solderless_testing::guests::{self, Linux};
use solderless_testing::report::{self, median, row, verdict};
use solderless_testing::{Console, Endian, usage};

/// Boots in each emulator, in turns; their medians count.
const RUNS: usize = 3;
/// What the kernel still does once the prompt is there is not idleness.
const SETTLE: Duration = Duration::from_secs(2);
/// How long the idle guest is watched.
const IDLE: Duration = Duration::from_secs(10);

/// Name, unit, and the most it may be: as a multiple of QEMU's, or by itself.
const FIGURES: [(&str, &str, Limit); 4] = [
    ("CPU time to the prompt", "s", Limit::Ratio(2.0)),
    ("peak resident memory", "MiB", Limit::Ratio(1.0)),
    ("resident memory at the prompt", "MiB", Limit::Ratio(1.0)),
    ("CPU time when idle", "%", Limit::Value(2.0)),
];

#[derive(Clone, Copy)]
enum Limit {
    Ratio(f64),
    Value(f64),
}

/// Boots to the shell and idles there: the figures in their order.
fn boot(emulator: Emulator, linux: &Linux) -> [f64; FIGURES.len()] {
    let emulator = emulator
        .ram(256)
        .linux(linux, "console=ttyS0 rdinit=/bin/sh");
    let mut console = Console::start(emulator.command());
    console.expect("~ # ");
    let cpu = usage::cpu_time(console.id());
    let memory = ["VmHWM", "VmRSS"].map(|f| usage::memory_kib(console.id(), f) as f64 / 1024.0);
    std::thread::sleep(SETTLE);
    let before = usage::cpu_time(console.id());
    std::thread::sleep(IDLE);
    let idle = usage::cpu_time(console.id()) - before;
    [
        cpu.as_secs_f64(),
        memory[0],
        memory[1],
        100.0 * idle.as_secs_f64() / IDLE.as_secs_f64(),
    ]
}

fn main() {
    report::heading("Debian's kernel, 256 MiB, to the shell and 10 s there: median of 3 runs");
    let Some(linux) = guests::linux() else { return };
    let mut runs = Vec::new();
    for _ in 0..RUNS {
        let Some(qemu) = Emulator::qemu(Endian::Little) else {
            return;
        };
        let ours = Emulator::ours(env!("CARGO_BIN_EXE_solderless"), Endian::Little);
        runs.push((boot(ours, &linux), boot(qemu, &linux)));
    }
    let mut rows = vec![row(["", "ours", "QEMU", "ratio", "target", ""])];
    for (index, (name, unit, limit)) in FIGURES.into_iter().enumerate() {
        let ours = median(runs.iter().map(|r| r.0[index]));
        let qemu = median(runs.iter().map(|r| r.1[index]));
        let (target, reached) = match limit {
            Limit::Ratio(most) => (format!("≤ {most}×"), ours <= most * qemu),
            Limit::Value(most) => (format!("< {most} {unit}"), ours < most),
        };
        rows.push(vec![
            name.to_owned(),
            format!("{ours:.2} {unit}"),
            format!("{qemu:.2} {unit}"),
            format!("{:.2}×", ours / qemu),
            target,
            verdict(reached).to_owned(),
        ]);
    }
    report::table(&rows);
}

//! What it takes to boot Debian's kernel to the shell, and to keep it there, and U-Boot to its prompt, beside QEMU.

use std::time::{Duration, Instant};

use solderless_testing::emulator::Emulator;
use solderless_testing::report::{self, median, row, verdict};
use solderless_testing::{Console, Endian, guests, usage};

/// Boots in each emulator, in turns; their medians count.
const RUNS: usize = 3;
/// What the kernel still does once the prompt is there is not idleness.
const SETTLE: Duration = Duration::from_secs(2);
/// How long the idle guest is watched.
const IDLE: Duration = Duration::from_secs(10);

/// Name, unit, and what is to be reached.
type Figure = (&'static str, &'static str, Target);

#[derive(Clone, Copy)]
enum Target {
    /// QEMU's as a multiple of ours, at least.
    Speed(f64),
    /// Ours as a multiple of QEMU's, at most.
    Ratio(f64),
    /// Ours by itself, at most.
    Value(f64),
}

const LINUX: &[Figure] = &[
    ("CPU time to the prompt", "s", Target::Speed(2.8)),
    ("wall time to the prompt", "s", Target::Speed(1.0)),
    ("peak resident memory", "MiB", Target::Ratio(1.0)),
    ("resident memory at the prompt", "MiB", Target::Ratio(1.0)),
    ("CPU time when idle", "%", Target::Value(2.0)),
];

const UBOOT: &[Figure] = &[
    ("CPU time to the prompt", "s", Target::Speed(1.5)),
    ("peak resident memory", "MiB", Target::Ratio(1.0)),
];

fn mib(console: &Console, field: &str) -> f64 {
    usage::memory_kib(console.id(), field) as f64 / 1024.0
}

/// Boots Linux to the shell and idles there: the figures in their order.
fn linux(emulator: Emulator) -> Vec<f64> {
    let start = Instant::now();
    let mut console = Console::start(emulator.command());
    console.expect("~ # ");
    let wall = start.elapsed();
    let cpu = usage::cpu_time(console.id());
    let (peak, now) = (mib(&console, "VmHWM"), mib(&console, "VmRSS"));
    std::thread::sleep(SETTLE);
    let before = usage::cpu_time(console.id());
    std::thread::sleep(IDLE);
    let idle = usage::cpu_time(console.id()) - before;
    let idle = 100.0 * idle.as_secs_f64() / IDLE.as_secs_f64();
    vec![cpu.as_secs_f64(), wall.as_secs_f64(), peak, now, idle]
}

/// Boots U-Boot to its prompt: the figures in their order.
fn uboot(emulator: Emulator) -> Vec<f64> {
    let mut console = Console::start(emulator.command());
    console.expect("maltael # ");
    let cpu = usage::cpu_time(console.id());
    vec![cpu.as_secs_f64(), mib(&console, "VmHWM")]
}

/// Runs a boot in both emulators and prints its table. `None` if QEMU is not installed, which was then said.
fn compare(
    name: &str,
    figures: &[Figure],
    boot: impl Fn(Emulator) -> Emulator,
    measure: fn(Emulator) -> Vec<f64>,
) -> Option<()> {
    let mut runs = Vec::new();
    for _ in 0..RUNS {
        let ours = Emulator::ours(env!("CARGO_BIN_EXE_solderless"), Endian::Little);
        let qemu = Emulator::qemu(Endian::Little)?;
        runs.push((measure(boot(ours)), measure(boot(qemu))));
    }
    let mut rows = vec![row([name, "ours", "QEMU", "QEMU / ours", "target", ""])];
    for (index, &(figure, unit, target)) in figures.iter().enumerate() {
        let ours = median(runs.iter().map(|r| r.0[index]));
        let qemu = median(runs.iter().map(|r| r.1[index]));
        let (target, reached) = match target {
            Target::Speed(least) => (format!("≥ {least}×"), qemu / ours >= least),
            Target::Ratio(most) => (format!("ours ≤ {most}×"), ours <= most * qemu),
            Target::Value(most) => (format!("ours < {most} {unit}"), ours < most),
        };
        rows.push(vec![
            figure.to_owned(),
            format!("{ours:.2} {unit}"),
            format!("{qemu:.2} {unit}"),
            format!("{:.2}×", qemu / ours),
            target,
            verdict(reached).to_owned(),
        ]);
    }
    report::table(&rows);
    println!();
    Some(())
}

fn main() {
    report::heading("Boots with 256 MiB; Linux is left idle for 10 s: median of 3 runs");
    let wanted = report::wanted();
    let (Some(kernel), Some(image)) = (guests::linux(), guests::uboot()) else {
        return;
    };
    if wanted("Debian's kernel") {
        let append = "console=ttyS0 rdinit=/bin/sh";
        let boot = |emulator: Emulator| emulator.ram(256).linux(&kernel, append);
        if compare("Debian's kernel", LINUX, boot, linux).is_none() {
            return;
        }
    }
    if wanted("U-Boot") {
        let boot = |emulator: Emulator| emulator.ram(256).firmware(&image, Endian::Little);
        compare("U-Boot", UBOOT, boot, uboot);
    }
}

//! How fast programs run under Debian's kernel in the machine, beside the same guest in QEMU.
//!
//! Both boot the same image once and stay at its shell. What is compared is the user and system time of the emulator's
//! process from a command to the prompt after it, so that neither booting nor waiting counts. What a command prints must be the
//! same in both. Arguments name the groups to run.

use std::path::PathBuf;
use std::time::Instant;

use solderless_testing::emulator::Emulator;
use solderless_testing::report::{self, geometric_mean, median, row, verdict};
use solderless_testing::userland::{self, PROMPT};
use solderless_testing::{Console, Endian, guests, usage};

/// Runs of each command in each emulator, in turns; their medians count.
const RUNS: usize = 3;

const SOURCES: &[&str] = &["tight.c", "integer.c", "float.c", "system.c"];
const SCRIPTS: &[&str] = &["work.py", "work.pl", "work.sql"];

/// What a group of commands is held to, as a part of QEMU's speed.
struct Target {
    /// The geometric mean.
    mean: Option<f64>,
    /// Each of them.
    each: Option<f64>,
}

/// A group: its name, its target, and its commands with their names.
type Group = (
    &'static str,
    Target,
    &'static [(&'static str, &'static str)],
);

const GROUPS: &[Group] = &[
    (
        "tight loops",
        Target {
            mean: None,
            each: Some(1.2),
        },
        &[
            ("two instructions", "tight two 500"),
            ("three instructions", "tight three 500"),
            ("four instructions", "tight four 400"),
            ("shift register", "tight lfsr 200"),
            ("SHA-256", "tight sha256 100"),
        ],
    ),
    (
        "integer",
        Target {
            mean: Some(2.5),
            each: Some(1.5),
        },
        &[
            ("sort", "integer sort 120"),
            ("hash", "integer hash 400"),
            ("matrix", "integer matrix 300"),
            ("interpreter loop", "integer interpreter 250"),
            ("compression", "integer compression 200"),
        ],
    ),
    (
        "double precision",
        Target {
            mean: Some(5.0),
            each: None,
        },
        &[
            ("planets", "float nbody 250"),
            ("spectral norm", "float spectral 600"),
            ("linear equations", "float linear 360"),
            ("Fourier transform", "float fourier 300"),
            ("Mandelbrot set", "float mandelbrot 150"),
        ],
    ),
    (
        "real programs",
        Target {
            mean: Some(3.0),
            each: None,
        },
        &[
            ("Python", "python3.11 /programs/work.py 2"),
            ("Perl", "perl /programs/work.pl 6"),
            ("SQLite", "sqlite3 < /programs/work.sql"),
            (
                "xz",
                "head -c 300000 /usr/bin/python3.11 | /usr/bin/xz -c | md5sum",
            ),
            (
                "zstd",
                "head -c 1500000 /usr/bin/python3.11 | /usr/bin/zstd -c | md5sum",
            ),
        ],
    ),
    (
        "the kernel's work",
        Target {
            mean: None,
            each: Some(1.2),
        },
        &[
            ("system calls", "system calls 400"),
            ("pipes", "system pipes 200"),
            ("fork and exec", "system processes 400"),
            ("mappings", "system mappings 500"),
        ],
    ),
];

/// Runs a command: the seconds of CPU time it took, and what it printed.
fn run(console: &mut Console, command: &str) -> (f64, String) {
    let before = usage::cpu_time(console.id());
    let output = console.run(command, PROMPT);
    let time = usage::cpu_time(console.id()) - before;
    (time.as_secs_f64(), output)
}

/// Boots the image: its console, and how long that took.
fn boot(emulator: Emulator, linux: &guests::Linux) -> (Console, f64) {
    let start = Instant::now();
    let console = userland::start(emulator, linux);
    (console, start.elapsed().as_secs_f64())
}

fn main() {
    report::heading(
        "Programs under Debian's kernel, 24Kf, 256 MiB: CPU time of the emulator, median of 3 runs",
    );
    let folder = "benches/guests/linux";
    let built = SOURCES
        .iter()
        .map(|file| guests::linux_program(&format!("{folder}/{file}")));
    let Some(mut files) = built.collect::<Option<Vec<PathBuf>>>() else {
        return;
    };
    files.extend(
        SCRIPTS
            .iter()
            .map(|file| guests::repository().join(folder).join(file)),
    );
    let (Some(linux), Some(qemu)) = (
        userland::image("bench", &files),
        Emulator::qemu(Endian::Little),
    ) else {
        return;
    };
    let wanted = report::wanted();
    let (mut ours, our_boot) = boot(
        Emulator::ours(env!("CARGO_BIN_EXE_solderless"), Endian::Little),
        &linux,
    );
    let (mut theirs, qemu_boot) = boot(qemu, &linux);
    for (group, target, commands) in GROUPS {
        if !wanted(group) {
            continue;
        }
        let mut rows = vec![row([group, "ours", "QEMU", "speed", "target", ""])];
        let mut speeds = Vec::new();
        for (name, command) in *commands {
            // What a first run does beside its work: read the program, compile a script.
            let (_, expected) = run(&mut theirs, command);
            let (_, printed) = run(&mut ours, command);
            let same = |printed: &str| assert_eq!(printed, expected, "{command} here and in QEMU");
            same(&printed);
            let mut times = Vec::new();
            for _ in 0..RUNS {
                let (here, there) = (run(&mut ours, command), run(&mut theirs, command));
                same(&here.1);
                same(&there.1);
                times.push((here.0, there.0));
            }
            let here = median(times.iter().map(|t| t.0));
            let there = median(times.iter().map(|t| t.1));
            let speed = there / here;
            speeds.push(speed);
            rows.push(vec![
                (*name).to_owned(),
                format!("{here:.2} s"),
                format!("{there:.2} s"),
                format!("{speed:.2}×"),
                target
                    .each
                    .map_or(String::new(), |least| format!("≥ {least}×")),
                target
                    .each
                    .map_or(String::new(), |least| verdict(speed >= least).to_owned()),
            ]);
        }
        let mean = geometric_mean(&speeds);
        rows.push(vec![
            "geometric mean".to_owned(),
            String::new(),
            String::new(),
            format!("{mean:.2}×"),
            target
                .mean
                .map_or(String::new(), |least| format!("≥ {least}×")),
            target
                .mean
                .map_or(String::new(), |least| verdict(mean >= least).to_owned()),
        ]);
        report::table(&rows);
        println!();
    }
    let peak = |console: &Console| usage::memory_kib(console.id(), "VmHWM") as f64 / 1024.0;
    let (here, there) = (peak(&ours), peak(&theirs));
    report::table(&[
        row(["", "ours", "QEMU", "ratio", "target", ""]),
        vec![
            "peak resident memory".to_owned(),
            format!("{here:.0} MiB"),
            format!("{there:.0} MiB"),
            format!("{:.2}×", here / there),
            "≤ 1×".to_owned(),
            verdict(here <= there).to_owned(),
        ],
        vec![
            "wall time to the shell".to_owned(),
            format!("{our_boot:.2} s"),
            format!("{qemu_boot:.2} s"),
            format!("{:.2}×", our_boot / qemu_boot),
        ],
    ]);
}

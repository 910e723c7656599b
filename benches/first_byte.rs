//! How soon a bare-metal program's first byte comes out of the UART after its emulator is started, beside QEMU and
//! GXemul, and how much memory the emulator has taken by then.

#[path = "common/program.rs"]
mod program;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use solderless_testing::emulator::Emulator;
use solderless_testing::report::{self, median, row, verdict};
use solderless_testing::{Endian, guests, usage};

/// Runs of each emulator, in turns; their medians count.
const RUNS: usize = 50;

/// Makes the command of an emulator; `None` if it is not installed.
type Start<'a> = &'a dyn Fn() -> Option<Command>;

/// Starts a program and waits for the byte: milliseconds from before the start, and the peak of resident memory in KiB.
///
/// # Panics
/// The program ends without it.
fn first_byte(mut command: Command) -> (f64, f64) {
    // Input that stays open: GXemul prints nothing once its input has ended.
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let start = Instant::now();
    let mut child = command
        .spawn()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let mut output = child.stdout.take().expect("it is a pipe");
    let mut byte = [0];
    while byte != *b"!" {
        output
            .read_exact(&mut byte)
            .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    }
    let time = start.elapsed().as_secs_f64() * 1e3;
    let memory = usage::memory_kib(child.id(), "VmHWM") as f64;
    let _ = child.kill();
    let _ = child.wait();
    (time, memory)
}

/// GXemul's command; `None` if it is not installed, which was then said.
fn gxemul(elf: &Path) -> Option<Command> {
    guests::tool("gxemul", "gxemul").then(|| Emulator::gxemul(elf))
}

/// The program as it is installed: a copy. What a linker has just written lies in the host's page cache in single pages,
/// which are slower to map than those of a file that was read or copied.
fn installed(folder: &Path) -> PathBuf {
    let copy = folder.join("solderless");
    fs::copy(env!("CARGO_BIN_EXE_solderless"), &copy).expect("the folder can be written to");
    copy
}

/// A process that does nothing else: what of the times is the host's.
fn floor() -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "echo !; read line"]);
    command
}

fn main() {
    report::heading(
        "From the start of the process to a program's first byte on the UART: median of 50 runs",
    );
    let Some(elf) = program::build(&["hello.S"], 1) else {
        return;
    };
    let folder = tempfile::tempdir_in(guests::cache()).expect("the repository can be written to");
    let program = installed(folder.path());
    let ours = || {
        let emulator = Emulator::ours(&program.to_string_lossy(), Endian::Little);
        Some(emulator.kernel(&elf).command())
    };
    let qemu = || Some(Emulator::qemu(Endian::Little)?.kernel(&elf).command());
    let gxemul = || gxemul(&elf);
    let shell = || Some(floor());
    // How much sooner than each ours is to be.
    let emulators: [(&str, Start, Option<f64>); 4] = [
        ("ours", &ours, None),
        ("QEMU", &qemu, Some(12.0)),
        ("GXemul", &gxemul, Some(1.0)),
        ("sh -c 'echo !'", &shell, None),
    ];
    let mut emulators: Vec<_> = emulators
        .into_iter()
        .filter(|(_, command, _)| command().is_some())
        .map(|(name, command, target)| (name, command, target, Vec::new()))
        .collect();
    for _ in 0..RUNS {
        for (_, command, _, samples) in &mut emulators {
            samples.extend(command().map(first_byte));
        }
    }
    let mut rows = vec![row([
        "",
        "time",
        "fastest",
        "peak memory",
        "ours is sooner",
        "target",
        "",
    ])];
    let mut our_time = None;
    for (name, _, target, samples) in &emulators {
        let time = median(samples.iter().map(|s| s.0));
        let fastest = samples.iter().map(|s| s.0).fold(f64::INFINITY, f64::min);
        let memory = median(samples.iter().map(|s| s.1)) / 1024.0;
        let ratio = time / *our_time.get_or_insert(time);
        rows.push(vec![
            (*name).to_owned(),
            format!("{time:.2} ms"),
            format!("{fastest:.2} ms"),
            format!("{memory:.1} MiB"),
            format!("{ratio:.2}×"),
            target.map_or(String::new(), |t| format!("≥ {t}×")),
            target.map_or(String::new(), |t| verdict(ratio >= t).to_owned()),
        ]);
    }
    report::table(&rows);
}

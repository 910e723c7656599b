//! What a debugger costs: steps beside QEMU's gdb port, and how much slower a guest is that is watched and not stopped.
//!
//! Both are asked by gdb's protocol, as gdb asks on MIPS: for a step it sets a breakpoint at the next instruction, lets the machine go on, takes
//! the breakpoint away, and looks at registers for its condition.

#[path = "common/program.rs"]
mod program;

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use solderless_testing::gdb::Remote;
use solderless_testing::report::{self, median, row, verdict};
use solderless_testing::{guests, usage};

/// Runs of each, in turns; their medians count.
const RUNS: usize = 5;
/// Steps in a run.
const STEPS: usize = 20_000;
/// Guest time of a run that is not stopped.
const TIME: &str = "15s";
/// The number of the program counter.
const PC: usize = 37;

/// A debugger of a machine.
struct Gdb {
    child: Child,
    remote: Remote,
}

impl Gdb {
    fn start(command: &mut Command, socket: &Path) -> Self {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = child.spawn().expect("it starts");
        let stream = (0..2000).find_map(|_| {
            std::thread::sleep(Duration::from_millis(5));
            UnixStream::connect(socket).ok()
        });
        let mut remote = Remote::new(stream.expect("it listens"));
        remote.ask("qSupported:swbreak+;hwbreak+;vContSupported+");
        Self { child, remote }
    }

    /// The program counter, of what was said of all registers or at a stop.
    fn pc(&mut self) -> u32 {
        let all = self.remote.ask("g");
        let word = &all[8 * PC..8 * PC + 8];
        u32::from_str_radix(word, 16).expect("digits").swap_bytes()
    }

    /// Executes instructions from a loop without branches but its own, one at a time; steps in a second.
    fn steps(&mut self, from: u32, instructions: u32) -> f64 {
        let start = Instant::now();
        let mut at = 0;
        for _ in 0..STEPS {
            at = (at + 1) % instructions;
            let next = from + 4 * at;
            assert_eq!(self.remote.ask(&format!("Z0,{next:x},4")), "OK");
            self.remote.ask("vCont;c");
            assert_eq!(self.remote.ask(&format!("z0,{next:x},4")), "OK");
            assert_eq!(self.pc(), next);
        }
        STEPS as f64 / start.elapsed().as_secs_f64()
    }
}

impl Drop for Gdb {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ours(elf: &Path, socket: Option<&Path>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_solderless"));
    command.args([
        "run",
        "malta",
        "--ram",
        "16MiB",
        "--backend",
        "serial0=null",
        "--kernel",
    ]);
    command.arg(elf);
    if let Some(socket) = socket {
        command
            .arg("--gdb")
            .arg(format!("unix:{}", socket.display()));
    }
    command
}

fn qemu(elf: &Path, socket: &Path) -> Command {
    let mut command = Command::new("qemu-system-mipsel");
    command.args([
        "-M", "malta", "-m", "16", "-display", "none", "-vga", "none", "-nic", "none",
    ]);
    command
        .args(["-serial", "null", "-monitor", "none", "-S", "-kernel"])
        .arg(elf);
    command
        .arg("-gdb")
        .arg(format!("unix:{},server=on,wait=off", socket.display()));
    command
}

fn main() {
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let Some(elf) = program::build(&["stepped.S"], 0) else {
        return;
    };
    if !guests::tool("qemu-system-mipsel", "qemu-system-mips") {
        return;
    }
    report::heading("A debugger beside QEMU's");
    let folder = tempfile::tempdir().expect("a folder");
    let socket = |name: &str| folder.path().join(name);
    // The loop of the program: five instructions, the last in the slot of the branch.
    let (start, loop_at): (u32, u32) = (0x8010_0000, 0x8010_0008);
    let stepped = |command: &mut Command, socket: &Path| {
        let mut gdb = Gdb::start(command, socket);
        gdb.remote.ask(&format!("Z0,{start:x},4"));
        gdb.remote.ask("vCont;c");
        gdb.remote.ask(&format!("z0,{start:x},4"));
        gdb.remote.ask(&format!("Z0,{loop_at:x},4"));
        gdb.remote.ask("vCont;c");
        gdb.remote.ask(&format!("z0,{loop_at:x},4"));
        assert_eq!(gdb.pc(), loop_at);
        gdb.steps(loop_at, 4)
    };
    let (mut own, mut theirs) = (Vec::new(), Vec::new());
    for run in 0..RUNS {
        let at = socket(&format!("ours{run}"));
        own.push(stepped(ours(&elf, Some(&at)).arg("-S"), &at));
        let at = socket(&format!("qemu{run}"));
        theirs.push(stepped(&mut qemu(&elf, &at), &at));
    }
    let (own, theirs) = (median(own), median(theirs));
    let ratio = own / theirs;

    // A breakpoint in the page of the loop, behind it.
    let time = |watched: bool, run: usize| {
        let at = socket(&format!("free{watched}{run}"));
        let before = usage::children();
        if watched {
            let mut command = ours(&elf, Some(&at));
            command.args(["-S", "--deterministic", "--max-time", TIME]);
            let mut gdb = Gdb::start(&mut command, &at);
            gdb.remote.ask("Z0,80100100,4");
            let end = gdb.remote.ask("vCont;c");
            assert!(end.starts_with('W'), "{end}");
            let _ = gdb.child.wait();
        } else {
            let mut command = ours(&elf, None);
            command.args(["--deterministic", "--max-time", TIME]);
            let status = command.stdin(Stdio::null()).status().expect("it runs");
            assert_eq!(status.code(), Some(124));
        }
        (usage::children() - before).as_secs_f64()
    };
    let (mut alone, mut watched) = (Vec::new(), Vec::new());
    for run in 0..RUNS {
        alone.push(time(false, run));
        watched.push(time(true, run));
    }
    let (alone, watched) = (median(alone), median(watched));
    let slower = watched / alone;
    report::table(&[
        row(["", "ours", "QEMU", "ours / QEMU", "target", ""]),
        row([
            "conditional steps a second",
            &format!("{own:.0}"),
            &format!("{theirs:.0}"),
            &format!("{ratio:.2}×"),
            "≥ 2×",
            verdict(ratio >= 2.0),
        ]),
    ]);
    println!();
    report::table(&[
        row(["", "alone", "watched", "watched / alone", "target", ""]),
        row([
            "CPU time, no breakpoint hit",
            &format!("{alone:.2} s"),
            &format!("{watched:.2} s"),
            &format!("{slower:.3}×"),
            "≤ 1.01×",
            verdict(slower <= 1.01),
        ]),
    ]);
}

//! What it costs to look at a machine, to ask it and to move it: traces, QMP beside QEMU's, live migration beside QEMU's.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use solderless_testing::guests::{self, Linux};
use solderless_testing::report::{self, median, row, verdict};
use solderless_testing::usage;

/// Runs of each, in turns; their medians count.
const RUNS: usize = 5;
/// Round trips in a run.
const TRIPS: u32 = 20_000;
/// Guest time of a run that is traced, or watched.
const TIME: &str = "12s";
const SHELL: &str = "~ # ";
const APPEND: &str = "console=ttyS0 rdinit=/bin/sh";

/// A program that is driven by QMP.
struct Driven {
    child: Child,
    stream: BufReader<UnixStream>,
}

impl Driven {
    fn start(command: &mut Command, socket: &Path) -> Self {
        let quiet = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = quiet.spawn().expect("it starts");
        let stream = (0..2000).find_map(|_| {
            std::thread::sleep(Duration::from_millis(5));
            UnixStream::connect(socket).ok()
        });
        let mut driven = Self {
            child,
            stream: BufReader::new(stream.expect("it listens")),
        };
        driven.line();
        driven.ask("qmp_capabilities", json!({}));
        driven
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("it runs");
        serde_json::from_str(&line).expect("JSON")
    }

    fn ask(&mut self, name: &str, arguments: Value) -> Value {
        let message = json!({ "execute": name, "arguments": arguments });
        let message = format!("{message}\n");
        let stream = self.stream.get_mut();
        stream.write_all(message.as_bytes()).expect("it runs");
        loop {
            let answer = self.line();
            assert!(answer.get("error").is_none(), "{answer}");
            if let Some(value) = answer.get("return") {
                return value.clone();
            }
        }
    }

    /// Round trips in a second.
    fn trips(&mut self) -> f64 {
        let start = Instant::now();
        for _ in 0..TRIPS {
            self.ask("query-status", json!({}));
        }
        f64::from(TRIPS) / start.elapsed().as_secs_f64()
    }

    /// Sends the machine to whoever waits there: milliseconds in which it stood still, and in all.
    fn migrate(&mut self, uri: &str) -> [f64; 2] {
        self.ask(
            "migrate-set-parameters",
            json!({ "max-bandwidth": 100u64 << 30 }),
        );
        self.ask("migrate", json!({ "uri": uri }));
        loop {
            let info = self.ask("query-migrate", json!({}));
            assert_ne!(info["status"], "failed", "{info}");
            if info["status"] == "completed" {
                let number = |name: &str| info[name].as_f64().expect("a number");
                return [number("downtime"), number("total-time")];
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ours() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_solderless"));
    command.arg("run");
    command
}

/// Debian on our board or QEMU's, with its console in a file and QMP at a socket.
fn debian(linux: &Linux, qemu: bool, log: &Path, socket: &Path) -> Command {
    let (log, socket) = (log.display(), socket.display());
    if qemu {
        let mut command = Command::new("qemu-system-mipsel");
        command.args([
            "-M", "malta", "-m", "256", "-display", "none", "-vga", "none", "-nic", "none",
        ]);
        command.args(["-monitor", "none", "-serial", &format!("file:{log}")]);
        command
            .arg("-kernel")
            .arg(&linux.kernel)
            .arg("-initrd")
            .arg(&linux.initrd);
        command.args([
            "-append",
            APPEND,
            "-qmp",
            &format!("unix:{socket},server=on,wait=off"),
        ]);
        return command;
    }
    let mut command = ours();
    command.args([
        "malta",
        "--ram",
        "256MiB",
        "--backend",
        &format!("serial0=file:{log}"),
    ]);
    command
        .arg("--kernel")
        .arg(&linux.kernel)
        .arg("--initrd")
        .arg(&linux.initrd);
    command.args([
        "--append",
        APPEND,
        "--qmp",
        &format!("unix:{socket},server"),
    ]);
    command
}

/// A migration of Debian at its shell: milliseconds in which it stood still, and in all.
fn migration(linux: &Linux, qemu: bool, folder: &Path, run: usize) -> [f64; 2] {
    let name = |what: &str| -> PathBuf { folder.join(format!("{what}{qemu}{run}")) };
    let (log, socket, wire) = (name("log"), name("qmp"), name("wire"));
    let mut source = Driven::start(&mut debian(linux, qemu, &log, &socket), &socket);
    while !std::fs::read_to_string(&log)
        .unwrap_or_default()
        .contains(SHELL)
    {
        std::thread::sleep(Duration::from_millis(50));
    }
    let uri = format!("unix:{}", wire.display());
    let other = name("other");
    let mut destination = if qemu {
        let mut command = debian(linux, qemu, &name("log2"), &other);
        command.args(["-incoming", &uri]);
        command
    } else {
        let mut command = ours();
        command.args(["--incoming", &uri, "--backend", "serial0=null"]);
        command
    };
    let quiet = destination
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = quiet.spawn().expect("it starts");
    while !wire.exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(300));
    let times = source.migrate(&uri);
    let _ = child.kill();
    let _ = child.wait();
    times
}

/// The CPU time of Debian's boot with these arguments as well.
fn boot(linux: &Linux, args: &[&str]) -> f64 {
    let mut command = ours();
    command.args([
        "malta",
        "--ram",
        "256MiB",
        "--backend",
        "serial0=null",
        "--deterministic",
    ]);
    command.args(["--max-time", TIME, "--append", APPEND]);
    command
        .arg("--kernel")
        .arg(&linux.kernel)
        .arg("--initrd")
        .arg(&linux.initrd);
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let before = usage::children();
    let status = command.status().expect("it starts");
    assert_eq!(status.code(), Some(124));
    (usage::children() - before).as_secs_f64()
}

fn main() {
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let Some(linux) = guests::linux() else { return };
    if !guests::tool("qemu-system-mipsel", "qemu-system-mips") {
        return;
    }
    report::heading("Looking at a machine, asking it and moving it, beside QEMU");
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);

    let mut trips = [Vec::new(), Vec::new()];
    for run in 0..RUNS {
        for (qemu, trips) in [false, true].into_iter().zip(&mut trips) {
            let socket = at(&format!("trips{qemu}{run}"));
            let mut command = debian(&linux, qemu, &at("log"), &socket);
            command.arg("-S");
            trips.push(Driven::start(&mut command, &socket).trips());
        }
    }
    let [own, theirs] = trips.map(median);
    let mut rows = vec![row(["", "ours", "QEMU", "ratio", "target", ""])];
    let ratio = own / theirs;
    rows.push(row([
        "query-status, a second",
        &format!("{own:.0}"),
        &format!("{theirs:.0}"),
        &format!("{ratio:.2}×"),
        "≥ 2×",
        verdict(ratio >= 2.0),
    ]));

    let (mut own, mut theirs) = (Vec::new(), Vec::new());
    for run in 0..RUNS {
        own.push(migration(&linux, false, folder.path(), run));
        theirs.push(migration(&linux, true, folder.path(), run));
    }
    for (place, name) in ["migration: standing still, ms", "migration: in all, ms"]
        .iter()
        .enumerate()
    {
        let of = |times: &[[f64; 2]]| median(times.iter().map(|t| t[place]));
        let (own, theirs) = (of(&own), of(&theirs));
        let ratio = own / theirs.max(0.5);
        rows.push(row([
            name,
            &format!("{own:.0}"),
            &format!("{theirs:.0}"),
            &format!("{ratio:.2}×"),
            "≤ 0.5×",
            verdict(ratio <= 0.5),
        ]));
    }

    let trace = at("trace").display().to_string();
    let traced = ["--trace", "cpu.exception", "--trace-to", &trace];
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        without.push(boot(&linux, &[]));
        with.push(boot(&linux, &traced));
    }
    let (without, with) = (median(without), median(with));
    let ratio = with / without;
    rows.push(row([
        "boot with --trace cpu.exception, CPU s",
        &format!("{with:.2}"),
        &format!("{without:.2} (without)"),
        &format!("{ratio:.3}×"),
        "≤ 1.1×",
        verdict(ratio <= 1.1),
    ]));
    report::table(&rows);
}

//! Saving a booted Debian guest and going on from it: time and size, beside the least that copying its memory takes, and
//! beside QEMU.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use solderless::compose::Options;
use solderless::machine::{Fittings, Machine};
use solderless::state::{Description, Stream, Uri, forever, save};
use solderless_model::NEWEST;
use solderless_model::memory::{PAGE, Ram};
use solderless_testing::emulator::Emulator;
use solderless_testing::guests::{self, Linux};
use solderless_testing::report::{self, median, row, verdict};
use solderless_testing::{Console, Endian};

const PROGRAM: &str = env!("CARGO_BIN_EXE_solderless");
const PROMPT: &str = "~ # ";
const APPEND: &str = "console=ttyS0 rdinit=/bin/sh";
/// Saves of each kind, in turns; their medians count.
const SAVES: usize = 5;
/// Restores of each kind, likewise.
const RESTORES: usize = 15;

fn milliseconds(time: Duration) -> f64 {
    1000.0 * time.as_secs_f64()
}

/// Boots ours to the shell and saves it.
fn boot(linux: &Linux, to: &Path) {
    let emulator = Emulator::ours(PROGRAM, Endian::Little).ram(256);
    let file = format!("file:{}", to.display());
    let emulator = emulator
        .linux(linux, APPEND)
        .args(["--save-on-exit", &file]);
    let mut console = Console::start(emulator.command());
    console.expect(PROMPT);
    std::thread::sleep(Duration::from_secs(2));
    console.signal(Signal::TERM);
    let ended = console.wait();
    assert_eq!(ended.errors, "");
}

/// The machine of a stream, with memory of its own, as after a boot.
fn machine(file: &Path) -> (Machine, Description) {
    let mut from = BufReader::new(File::open(file).expect("the stream"));
    let stream = Stream::read(&mut from, &mut |_, _| {}).expect("a good stream");
    let own = stream.board(&Options::default()).expect("its board");
    let machine = stream.build(&own.plan, &own.plan, Fittings::default());
    (machine.expect("it fits"), Description::new(&own))
}

/// A save, and the least that could be done instead: every page that is not zero copied, and written to a file.
fn saves(from: &Path, to: &Path) -> (f64, f64) {
    let (machine, description) = machine(from);
    // The host's memory for a file of this size is there for both.
    fs::copy(from, to).expect("room");
    fs::remove_file(to).expect("the file");
    let start = Instant::now();
    save(
        &machine,
        &description,
        &Uri::File(to.to_owned()),
        &mut |_, _| {},
        &mut forever,
    )
    .expect("a save");
    let saved = milliseconds(start.elapsed());
    fs::remove_file(to).expect("the file");

    let sections = machine.save(NEWEST).expect("all");
    let blocks: Vec<_> = sections.iter().flat_map(|s| &s.memory).collect();
    let mut pieces: Vec<(&Ram, u64, u64)> = Vec::new();
    for block in blocks {
        for page in (0..block.size() / PAGE).filter(|p| block.uniform(*p) != Ok(Some(0))) {
            match pieces.last_mut() {
                Some((last, start, pages))
                    if std::ptr::eq(*last, block) && *start + *pages == page && *pages < 64 =>
                {
                    *pages += 1;
                }
                _ => pieces.push((block, page, 1)),
            }
        }
    }
    let mut buffer = vec![0; 64 * PAGE as usize];
    let start = Instant::now();
    let mut file = File::create(to).expect("a file");
    for (block, page, pages) in pieces {
        let piece = &mut buffer[..(pages * PAGE) as usize];
        block.read(page * PAGE, piece).expect("within the block");
        file.write_all(piece).expect("room");
    }
    drop(file);
    let copied = milliseconds(start.elapsed());
    fs::remove_file(to).expect("the file");
    (saved, copied)
}

/// QEMU with its monitor at hand.
struct Qemu {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Qemu {
    fn start(args: &[String]) -> Self {
        let mut child = Command::new("qemu-system-mipsel")
            .args("-M malta -m 256 -display none -vga none -nic none -monitor stdio".split(' '))
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("QEMU");
        Self {
            input: child.stdin.take().expect("a pipe"),
            output: BufReader::new(child.stdout.take().expect("a pipe")),
            child,
        }
    }

    /// Sends a command, and returns the first line of the answer to it that has one of these words.
    fn ask(&mut self, command: &str, words: &[&str]) -> String {
        writeln!(self.input, "{command}").expect("QEMU runs");
        self.line(words)
    }

    /// Returns the next line of its output that has one of these words.
    fn line(&mut self, words: &[&str]) -> String {
        loop {
            let mut line = String::new();
            assert!(
                self.output.read_line(&mut line).expect("text") > 0,
                "QEMU has ended"
            );
            if words.iter().any(|word| line.contains(word)) {
                return line;
            }
        }
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Boots QEMU to the shell and migrates it to a file: the times in milliseconds, as it gives them itself. Without `-d`
/// its monitor looks only once a second whether it is done.
fn migrations(linux: &Linux, folder: &Path, to: &Path) -> Vec<f64> {
    let log = folder.join("console");
    let mut qemu = Qemu::start(&[
        "-serial".into(),
        format!("file:{}", log.display()),
        "-kernel".into(),
        linux.kernel.display().to_string(),
        "-initrd".into(),
        linux.initrd.display().to_string(),
        "-append".into(),
        APPEND.into(),
    ]);
    while !fs::read_to_string(&log)
        .unwrap_or_default()
        .contains(PROMPT)
    {
        std::thread::sleep(Duration::from_millis(100));
    }
    std::thread::sleep(Duration::from_secs(2));
    writeln!(qemu.input, "stop\nmigrate_set_parameter max-bandwidth 100G").expect("QEMU runs");
    let mut times = Vec::new();
    for _ in 0..SAVES {
        writeln!(qemu.input, "migrate -d \"exec:cat > {}\"", to.display()).expect("QEMU runs");
        while !qemu
            .ask("info migrate", &["Migration status"])
            .contains("completed")
        {
            std::thread::sleep(Duration::from_millis(1));
        }
        let total = qemu.line(&["total time:"]);
        let number = total.split_whitespace().nth(2).map(str::parse);
        times.push(number.expect("a time").expect("a number of milliseconds"));
        // A machine that was migrated away is not migrated again unless it has run.
        writeln!(qemu.input, "cont\nstop").expect("QEMU runs");
    }
    times
}

/// The time from the start of QEMU until the guest could run.
fn incoming(from: &Path) -> f64 {
    let start = Instant::now();
    let mut qemu = Qemu::start(&[
        "-serial".into(),
        "null".into(),
        "-incoming".into(),
        format!("exec:cat {}", from.display()),
    ]);
    // It was saved standing still, and stands still once all has come.
    while qemu
        .ask("info status", &["VM status"])
        .contains("inmigrate")
    {
        std::thread::sleep(Duration::from_micros(200));
    }
    milliseconds(start.elapsed())
}

/// The time of a whole process.
fn process(args: &[&str]) -> f64 {
    let start = Instant::now();
    let status = Command::new(PROGRAM)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status();
    let time = milliseconds(start.elapsed());
    assert!(
        matches!(status.expect("ours").code(), Some(0 | 124)),
        "{args:?}"
    );
    time
}

/// The time from the start of a restore to the answer to a key, of an idle guest.
fn key(from: &str) -> f64 {
    let mut command = Command::new(PROGRAM);
    command.args(["run", "--restore", from]);
    let start = Instant::now();
    let mut console = Console::start(command);
    console.send("\r");
    console.expect(PROMPT);
    milliseconds(start.elapsed())
}

fn main() {
    report::heading("Debian at the shell, 256 MiB: saved to tmpfs and restored; medians");
    let Some(linux) = guests::linux() else { return };
    if !guests::tool("qemu-system-mipsel", "qemu-system-mips") {
        return;
    }
    let tmpfs = Path::new("/dev/shm");
    let folder = tempfile::tempdir_in(tmpfs).expect("a folder on tmpfs");
    let at = |name: &str| -> PathBuf { folder.path().join(name) };
    let (ours, theirs) = (at("ours.snap"), at("qemu.migration"));
    boot(&linux, &ours);
    let file = format!("file:{}", ours.display());

    let (saves, copies): (Vec<_>, Vec<_>) = (0..SAVES).map(|_| saves(&ours, &at("x"))).unzip();
    let (save, copy) = (median(saves), median(copies));
    let migrate = median(migrations(&linux, folder.path(), &theirs));
    let run = "run --deterministic --max-time 1us --backend serial0=null --restore";
    let args: Vec<_> = run.split(' ').chain([file.as_str()]).collect();
    let mut restores = Vec::new();
    let mut incomings = Vec::new();
    for _ in 0..RESTORES {
        restores.push(process(&args));
        incomings.push(incoming(&theirs));
    }
    let (restore, incoming) = (median(restores), median(incomings));
    let size = |path: &Path| fs::metadata(path).expect("the file").len() as f64 / (1 << 20) as f64;
    let (size, size_qemu) = (size(&ours), size(&theirs));
    let layout = median((0..RESTORES).map(|_| process(&["layout", "malta"])));
    let key = median((0..SAVES).map(|_| key(&file)));

    let ms = |time: f64| format!("{time:.2} ms");
    let mib = |size: f64| format!("{size:.2} MiB");
    let line = |what: &str,
                ours: String,
                peer: &str,
                theirs: String,
                ratio: f64,
                target: &str,
                reached| {
        let ratio = format!("{ratio:.3}×");
        row([what, &ours, peer, &theirs, &ratio, target, verdict(reached)])
    };
    report::table(&[
        row(["", "ours", "peer", "peer's", "ratio", "target", ""]),
        line(
            "save",
            ms(save),
            "memcpy + write",
            ms(copy),
            save / copy,
            "≤ 1.5×",
            save <= 1.5 * copy,
        ),
        line(
            "save",
            ms(save),
            "migrate",
            ms(migrate),
            save / migrate,
            "≤ 0.5×",
            2.0 * save <= migrate,
        ),
        line(
            "restore, whole process",
            ms(restore),
            "-incoming",
            ms(incoming),
            restore / incoming,
            "≤ 0.1×",
            restore <= 0.1 * incoming,
        ),
        line(
            "restore, whole process",
            ms(restore),
            "",
            String::new(),
            restore / 10.0,
            "≤ 10 ms",
            restore <= 10.0,
        ),
        line(
            "size",
            mib(size),
            "migrate",
            mib(size_qemu),
            size / size_qemu,
            "≤ 1×",
            size <= size_qemu,
        ),
        line(
            "layout malta",
            ms(layout),
            "",
            String::new(),
            layout / 5.0,
            "< 5 ms",
            layout < 5.0,
        ),
        line(
            "first key after a restore",
            ms(key),
            "",
            String::new(),
            key / 100.0,
            "≤ 100 ms",
            key <= 100.0,
        ),
    ]);
}

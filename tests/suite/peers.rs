//! Peers that do not read, flood, leave and come back: none stops the machine, its time limit or its shutdown, and what they
//! send and do not take is kept to a bound.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use solderless_testing::{guests, usage};

const PROGRAM: &str = env!("CARGO_BIN_EXE_solderless");
/// It ends tests that hang.
const PATIENCE: Duration = Duration::from_secs(120);
/// What a small board takes with all its queues full, in KiB; a flood brings more than that in a second.
const MEMORY: u64 = 160 << 10;

/// A little-endian kernel for Malta that does nothing but send this byte from its first serial port.
pub fn flood(folder: &Path, byte: u8) -> PathBuf {
    kernel(
        folder,
        &[
            0x3c08_b800,                   // lui   t0, 0xb800
            0x3508_03f8,                   // ori   t0, t0, 0x3f8
            0x2409_0000 | u32::from(byte), // addiu t1, zero, byte
            0xa109_0000,                   // sb    t1, 0(t0)
            0x0804_0003,                   // j     to the store
            0x0000_0000,                   // nop
        ],
    )
}

/// A little-endian kernel of these instructions, at 0x80100000.
pub fn kernel(folder: &Path, code: &[u32]) -> PathBuf {
    let (at, headers, size) = (0x8010_0000u32, 84u32, 4 * code.len() as u32);
    let mut elf = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    elf.extend([2u16, 8].map(u16::to_le_bytes).concat());
    elf.extend([1, at, 52, 0, 0].map(u32::to_le_bytes).concat());
    elf.extend([52u16, 32, 1, 40, 0, 0].map(u16::to_le_bytes).concat());
    let segment = [1, headers, at, at, size, size, 5, 4];
    elf.extend(segment.map(u32::to_le_bytes).concat());
    elf.extend(code.iter().flat_map(|word| word.to_le_bytes()));
    let path = folder.join("flood.elf");
    fs::write(&path, elf).expect("a file");
    path
}

/// A machine that floods its console, without standard input.
fn flooding(folder: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["run", "malta", "--ram", "16MiB", "--kernel"]);
    command.arg(flood(folder, b'x'));
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// A program that is killed if its test fails.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Self {
        Self(command.spawn().expect("the program starts"))
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.0.id() as i32).expect("a process has a number");
        kill_process(pid, signal).expect("it runs");
    }

    /// Its status once it has ended, and the most memory it had in use, in KiB.
    fn end(&mut self) -> (Option<i32>, u64) {
        let (start, mut memory) = (Instant::now(), 0);
        loop {
            let now = usage::living_memory_kib(self.0.id(), "VmHWM");
            memory = memory.max(now.unwrap_or(0));
            if let Some(status) = self.0.try_wait().expect("a child") {
                return (status.code(), memory);
            }
            assert!(start.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Its status, and all it said on standard error.
    fn errors(&mut self) -> (Option<i32>, String) {
        let mut text = String::new();
        if let Some(mut errors) = self.0.stderr.take() {
            errors.read_to_string(&mut text).expect("text");
        }
        (self.end().0, text)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Tries until it works.
fn eventually<T>(attempt: impl Fn() -> std::io::Result<T>) -> T {
    let start = Instant::now();
    loop {
        match attempt() {
            Ok(value) => return value,
            Err(e) => assert!(start.elapsed() < PATIENCE, "{e}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn fifo(path: &Path) {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a FIFO");
}

/// Something at the other end that takes nothing, and stays until it is dropped.
type Other = Box<dyn std::any::Any>;

/// Starts a machine that floods its console, or its monitor's peer, with somebody at the other end who does not read.
fn stalled(way: &str, folder: &Path, args: &[&str]) -> (Running, Other) {
    let mut command = flooding(folder);
    command.args(args).stderr(Stdio::null());
    let at = |name: &str| folder.join(name);
    let backend = |spec: String| ["--backend".to_owned(), format!("serial0={spec}")];
    match way {
        "standard output" => {
            let (ours, theirs) = rustix::pipe::pipe().expect("a pipe");
            command.stdout(theirs);
            (Running::start(&mut command), Box::new(ours))
        }
        "a socket of ours" => {
            command.args(backend(format!("unix:{},server", at("console").display())));
            let running = Running::start(&mut command);
            let peer = eventually(|| UnixStream::connect(at("console")));
            (running, Box::new(peer))
        }
        "a socket of theirs" => {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
            let address = listener.local_addr().expect("an address");
            command.args(backend(format!("tcp:{address}")));
            (Running::start(&mut command), Box::new(listener))
        }
        "a FIFO" | "a FIFO that nobody opens" => {
            fifo(&at("fifo"));
            command.args(backend(format!("file:{}", at("fifo").display())));
            let both = File::options().read(true).write(true).open(at("fifo"));
            let both = both.ok().filter(|_| way == "a FIFO");
            (Running::start(&mut command), Box::new(both))
        }
        "a pseudo-terminal" => {
            command.args(backend("pty".to_owned()));
            (Running::start(&mut command), Box::new(()))
        }
        "standard error" => {
            let (ours, theirs) = rustix::pipe::pipe().expect("a pipe");
            // Until it is full.
            rustix::io::ioctl_fionbio(&theirs, true).expect("a pipe");
            while rustix::io::write(&theirs, &[b'.'; 4096]).is_ok() {}
            rustix::io::ioctl_fionbio(&theirs, false).expect("a pipe");
            command.args(["-vv", "--state-hash"]).stderr(theirs);
            (Running::start(&mut command), Box::new(ours))
        }
        "the monitor" => {
            command.args(backend("null".to_owned()));
            let place = format!("unix:{},server", at("monitor").display());
            command.args(["--monitor", &place]);
            let running = Running::start(&mut command);
            let mut peer = eventually(|| UnixStream::connect(at("monitor")));
            peer.set_nonblocking(true).expect("a socket");
            let start = Instant::now();
            // Until the machine takes no more commands.
            while start.elapsed() < Duration::from_millis(500) {
                let _ = peer.write(b"info mtree\ninfo qtree\n");
            }
            (running, Box::new(peer))
        }
        other => panic!("{other}"),
    }
}

const WAYS: [&str; 8] = [
    "standard output",
    "standard error",
    "a socket of ours",
    "a socket of theirs",
    "a FIFO",
    "a FIFO that nobody opens",
    "a pseudo-terminal",
    "the monitor",
];

#[test]
fn whoever_does_not_read_stops_neither_time_nor_shutdown() {
    let stall = |way: &str, asked: bool| {
        let folder = tempfile::tempdir().expect("a folder");
        let saved = folder.path().join("saved");
        let place = format!("file:{}", saved.display());
        let mut args = vec!["--save-on-exit", &place];
        if !asked {
            args.extend(["--max-time", "1500ms"]);
        }
        let (mut running, _other) = stalled(way, folder.path(), &args);
        if asked {
            std::thread::sleep(Duration::from_millis(500));
            running.signal(Signal::TERM);
        }
        let (status, memory) = running.end();
        assert_eq!(status, Some(if asked { 143 } else { 124 }), "{way}");
        assert!(saved.exists(), "{way}: the machine was not saved");
        assert!(memory < MEMORY, "{way}: {memory} KiB");
    };
    // The time of a deterministic run is the guest's, which stands still.
    let deterministic = |asked: bool| {
        let folder = tempfile::tempdir().expect("a folder");
        let args = ["--deterministic", "--max-time", "10s"];
        let (mut running, _other) = stalled("standard output", folder.path(), &args);
        if asked {
            std::thread::sleep(Duration::from_millis(500));
            running.signal(Signal::TERM);
        }
        assert_eq!(running.end().0, Some(if asked { 143 } else { 124 }));
    };
    std::thread::scope(|scope| {
        for asked in [false, true] {
            scope.spawn(move || deterministic(asked));
        }
        for way in WAYS {
            scope.spawn(move || [false, true].map(|asked| stall(way, asked)));
        }
    });
}

/// A place that takes nothing of a save, or gives nothing of one, and what holds it open.
fn stuck(way: &str, folder: &Path, load: bool) -> (String, Other) {
    let at = |name: &str| folder.join(name).display().to_string();
    match way {
        "exec" => ("exec:exec sleep 600 2>&-".to_owned(), Box::new(())),
        "FIFO" => {
            fifo(&folder.join("pipe"));
            (format!("file:{}", at("pipe")), Box::new(()))
        }
        "unix" => {
            let listener = UnixListener::bind(folder.join("there")).expect("a socket");
            let name = if load { "here" } else { "there" };
            (format!("unix:{}", at(name)), Box::new(listener))
        }
        other => panic!("{other}"),
    }
}

const STUCK: [&str; 3] = ["exec", "FIFO", "unix"];

#[test]
fn a_save_that_nobody_takes_ends_with_the_run() {
    let save = |way: &str, asked: bool| {
        let folder = tempfile::tempdir().expect("a folder");
        let (place, _other) = stuck(way, folder.path(), false);
        let saved = folder.path().join("saved");
        let monitor = folder.path().join("monitor");
        let mut command = flooding(folder.path());
        // More than any queue of the host takes.
        let content = folder.path().join("content");
        let bytes: Vec<_> = (0..1u32 << 20).map(|n| (n ^ n >> 12) as u8).collect();
        std::fs::write(&content, bytes).expect("it can be written");
        command.arg("--initrd").arg(&content);
        command.args(["--backend", "serial0=null", "--save-on-exit"]);
        command.arg(format!("file:{}", saved.display()));
        command.arg("--monitor");
        command.arg(format!("unix:{},server", monitor.display()));
        if !asked {
            command.args(["--max-time", "2s"]);
        }
        let mut running = Running::start(&mut command);
        let mut peer = eventually(|| UnixStream::connect(&monitor));
        let migrate = format!("migrate \"{place}\"\n");
        peer.write_all(migrate.as_bytes()).expect("it is read");
        if asked {
            std::thread::sleep(Duration::from_millis(1000));
            running.signal(Signal::TERM);
        }
        let mut answer = String::new();
        let _ = peer.read_to_string(&mut answer);
        let status = running.end().0;
        assert_eq!(status, Some(if asked { 143 } else { 124 }), "{way}");
        let reason = if asked { "a signal" } else { "--max-time" };
        for part in [&format!("not saved to {place}: "), reason] {
            assert!(answer.contains(part), "{way}: {answer}");
        }
        assert!(saved.exists(), "{way}: the machine was not saved");
    };
    std::thread::scope(|scope| {
        for way in STUCK {
            scope.spawn(move || [false, true].map(|asked| save(way, asked)));
        }
    });
}

#[test]
fn a_second_signal_ends_a_save_and_the_first_does_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let slow = folder.path().join("slow");
    let mut command = flooding(folder.path());
    command.args(["--backend", "serial0=null", "--max-time", "10ms"]);
    command.arg("--save-on-exit");
    command.arg(format!(
        "exec:touch '{0}.begun'; sleep 1; cat > '{0}'",
        slow.display()
    ));
    let begun = || fs::metadata(folder.path().join("slow.begun"));
    let mut running = Running::start(&mut command);
    eventually(begun);
    running.signal(Signal::TERM);
    assert_eq!(running.end().0, Some(124));
    assert!(fs::metadata(&slow).expect("the machine").len() > 4096);
    fs::remove_file(folder.path().join("slow.begun")).expect("it is there");
    let mut running = Running::start(&mut command);
    eventually(begun);
    running.signal(Signal::TERM);
    std::thread::sleep(Duration::from_millis(100));
    running.signal(Signal::TERM);
    assert_eq!(running.end().0, Some(143));
}

#[test]
fn a_machine_that_does_not_come_is_not_waited_for_longer_than_allowed() {
    let load = |way: &str| {
        let folder = tempfile::tempdir().expect("a folder");
        let (place, _other) = stuck(way, folder.path(), true);
        let mut command = Command::new(PROGRAM);
        command.args(["run", "--max-time", "500ms", "--restore", &place]);
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        let (status, errors) = Running::start(&mut command).errors();
        assert_eq!(status, Some(124), "{way}: {errors}");
        let reason = format!("error: {place}: nothing has come for 10s");
        assert!(errors.starts_with(&reason), "{way}: {errors}");
    };
    std::thread::scope(|scope| {
        for way in STUCK {
            scope.spawn(move || load(way));
        }
    });
}

/// The console's output and what standard error says of a deterministic flood, read with a pause after every piece.
fn read_slowly(folder: &Path, pause: Duration) -> (Vec<u8>, String) {
    let mut command = flooding(folder);
    command.args(["--deterministic", "--max-time", "400ms", "--state-hash"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = Running::start(&mut command);
    let mut out = running.0.stdout.take().expect("a pipe");
    let (mut text, mut piece) = (Vec::new(), vec![0; 1 << 16]);
    loop {
        std::thread::sleep(pause);
        match out.read(&mut piece).expect("a pipe") {
            0 => break,
            length => text.extend(&piece[..length]),
        }
    }
    let (status, errors) = running.errors();
    assert_eq!(status, Some(124), "{errors}");
    (text, errors)
}

#[test]
fn a_slow_reader_loses_nothing_and_the_guest_does_not_know() {
    let folder = tempfile::tempdir().expect("a folder");
    let (quick, state) = read_slowly(folder.path(), Duration::ZERO);
    assert!(
        quick.len() > 256 << 10,
        "{} bytes fill no queue",
        quick.len()
    );
    assert!(state.starts_with("state "), "{state}");
    let slow = read_slowly(folder.path(), Duration::from_millis(30));
    assert_eq!((quick.len(), state), (slow.0.len(), slow.1));
}

#[test]
fn a_flood_waits_outside() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = |name: &str| format!("unix:{},server", folder.path().join(name).display());
    let mut command = flooding(folder.path());
    command.args(["--max-time", "3s"]);
    command.args(["--monitor", &place("monitor")]);
    command.args(["--backend", &format!("serial2={}", place("console"))]);
    command.stdin(File::open("/dev/zero").expect("zeros"));
    let mut running = Running::start(&mut command);
    let floods: Vec<_> = ["console", "monitor"]
        .map(|name| {
            let mut peer = eventually(|| UnixStream::connect(folder.path().join(name)));
            std::thread::spawn(move || {
                let data = vec![b'x'; 1 << 20];
                let mut sent = 0;
                while let Ok(length) = peer.write(&data) {
                    sent += length;
                }
                sent
            })
        })
        .into();
    let (status, memory) = running.end();
    assert_eq!(status, Some(124));
    assert!(memory < MEMORY, "{memory} KiB");
    // Nobody reads the serial port. A line without an end is read for ever, and cut.
    let sent: Vec<usize> = floods
        .into_iter()
        .map(|f| f.join().expect("sent"))
        .collect();
    assert!(sent[0] < 4 << 20, "{} bytes went into nothing", sent[0]);
    assert!(sent[1] > 4 << 20, "{} bytes of a line", sent[1]);
}

#[test]
fn a_full_disk_is_told_of() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = flooding(folder.path());
    command.args(["--max-time", "60s"]).stderr(Stdio::piped());
    command.stdout(
        File::options()
            .write(true)
            .open("/dev/full")
            .expect("it is there"),
    );
    let (status, errors) = Running::start(&mut command).errors();
    assert_eq!(status, Some(3), "{errors}");
    assert_eq!(
        errors,
        "error: cannot write to standard output: No space left on device (os error 28)\n"
    );
    let mut command = flooding(folder.path());
    command.args(["--max-time", "300ms", "--backend", "serial0=file:/dev/full"]);
    let (status, errors) = Running::start(command.stderr(Stdio::piped())).errors();
    assert_eq!(status, Some(124), "{errors}");
    assert_eq!(
        errors
            .matches("serial0: cannot write to /dev/full: No space")
            .count(),
        1
    );
    // The limit of a file's size is an error like any other.
    let log = folder.path().join("log");
    let mut limited = Command::new("prlimit");
    let whole = flooding(folder.path());
    limited
        .args(["--fsize=100000"])
        .arg(PROGRAM)
        .args(whole.get_args());
    limited.args(["--max-time", "2s", "--backend"]);
    limited.arg(format!("serial0=file:{}", log.display()));
    limited
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let (status, errors) = Running::start(&mut limited).errors();
    assert_eq!(status, Some(124), "{errors}");
    assert!(errors.contains("File too large"), "{errors}");
    assert_eq!(fs::metadata(log).expect("a file").len(), 100_000);
}

#[test]
fn what_is_no_free_socket_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("important");
    fs::write(&file, "thesis").expect("a file");
    let used = folder.path().join("used");
    let _used = UnixDatagram::bind(&used).expect("a socket");
    for path in [&file, &used] {
        let place = path.display();
        for (board, args) in [
            (
                "malta",
                ["--monitor".to_owned(), format!("unix:{place},server")],
            ),
            (
                "malta",
                [
                    "--backend".to_owned(),
                    format!("serial1=unix:{place},server"),
                ],
            ),
            (
                "mipssim",
                [
                    "--backend".to_owned(),
                    format!("net0=unix:{place},peer=/nowhere"),
                ],
            ),
        ] {
            let mut command = Command::new(PROGRAM);
            command.args([
                "run",
                board,
                "--max-time",
                "1ms",
                "--backend",
                "serial0=null",
            ]);
            command
                .args(&args)
                .stdin(Stdio::null())
                .stderr(Stdio::piped());
            let (status, errors) = Running::start(&mut command).errors();
            assert_eq!(status, Some(2), "{args:?}: {errors}");
            assert!(errors.contains("cannot listen at"), "{args:?}: {errors}");
        }
    }
    assert_eq!(fs::read(&file).expect("it is there"), b"thesis");
    assert!(
        fs::metadata(&used)
            .expect("it is there")
            .file_type()
            .is_socket()
    );
    // One that is free is ours, and nobody else's.
    drop(UnixListener::bind(folder.path().join("left")).expect("a socket"));
    for name in ["left", "new"] {
        let place = folder.path().join(name);
        let mut command = flooding(folder.path());
        command.args(["--monitor", &format!("unix:{},server", place.display())]);
        let running = Running::start(&mut command);
        eventually(|| UnixStream::connect(&place));
        let mode = fs::metadata(&place).expect("a socket").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(running);
    }
}

#[test]
fn one_signal_is_enough_where_nothing_is_saved() {
    let folder = tempfile::tempdir().expect("a folder");
    let pipe = folder.path().join("pipe");
    fifo(&pipe);
    // Somebody has it open and writes nothing.
    let both = File::options().read(true).write(true).open(&pipe);
    let _writer = both.expect("a FIFO");
    for option in ["--kernel", "--firmware"] {
        let mut command = Command::new(PROGRAM);
        command
            .args(["run", "malta", option])
            .arg(&pipe)
            .stdin(Stdio::null());
        let mut running = Running::start(&mut command);
        std::thread::sleep(Duration::from_millis(300));
        running.signal(Signal::TERM);
        let status = running.0.wait().expect("it ends");
        assert_eq!(status.code(), Some(143), "{option}: {status}");
    }
}

#[test]
fn a_second_signal_ends_a_save_that_is_stuck() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = flooding(folder.path());
    command.args(["--save-on-exit", "exec:exec sleep 5"]);
    let mut running = Running::start(command.stderr(Stdio::null()));
    std::thread::sleep(Duration::from_millis(300));
    let start = Instant::now();
    running.signal(Signal::TERM);
    std::thread::sleep(Duration::from_millis(1500));
    running.signal(Signal::INT);
    assert_eq!(running.end().0, Some(130));
    assert!(
        start.elapsed() < Duration::from_secs(4),
        "the save ended first"
    );
}

#[test]
fn a_host_without_threads_is_an_error() {
    // The administrator has no such limit.
    let mut command = match rustix::process::getuid().is_root() {
        true => {
            let mut command = Command::new("setpriv");
            command.args([
                "--reuid=65534",
                "--regid=65534",
                "--clear-groups",
                "prlimit",
            ]);
            command
        }
        false => Command::new("prlimit"),
    };
    // Where that user cannot reach the build.
    let folder = tempfile::tempdir_in("/tmp").expect("a folder");
    fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).expect("it is ours");
    let program = folder.path().join("solderless");
    fs::copy(PROGRAM, &program).expect("a copy");
    command
        .arg("--nproc=0")
        .arg(&program)
        .args(["run", "malta"]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let (status, errors) = Running::start(&mut command).errors();
    assert_eq!(status, Some(2), "{errors}");
    assert!(errors.starts_with("error: "), "{errors}");
    assert!(errors.contains("temporarily unavailable"), "{errors}");
}

/// Random numbers: the high half of a linear congruential generator (Knuth, MMIX).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// A connection to one of the machine's sockets.
enum Peer {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Peer {
    fn try_write(&mut self, data: &[u8]) {
        let _ = match self {
            Self::Unix(stream) => stream.write(data),
            Self::Tcp(stream) => stream.write(data),
        };
    }

    fn try_read(&mut self, data: &mut [u8]) {
        let _ = match self {
            Self::Unix(stream) => stream.read(data),
            Self::Tcp(stream) => stream.read(data),
        };
    }

    fn shutdown(&self) {
        let _ = match self {
            Self::Unix(stream) => stream.shutdown(std::net::Shutdown::Write),
            Self::Tcp(stream) => stream.shutdown(std::net::Shutdown::Write),
        };
    }

    /// Leaves without a farewell: what was sent and not read makes the kernel send a reset.
    fn reset(self) {
        if let Self::Tcp(stream) = &self {
            let _ = rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO));
        }
    }
}

/// Does what a rude peer does for so long, and returns the steps, for whoever has to find out.
fn be_rude(seed: u64, time: Duration, unix: &[PathBuf], tcp: u16, net: &Path) -> Vec<String> {
    let (mut random, start, mut log) = (Random(seed), Instant::now(), Vec::new());
    let mut peers: Vec<Peer> = Vec::new();
    let lines: [&[u8]; 6] = [
        b"info mtree\n",
        b"info status\n\r\r\n",
        b"xp /4096xb 0\n",
        b"help\x01\x01x",
        b"\xff\xfe\x1b[999999999;1;1A\t\t",
        b"stop\ncont\n",
    ];
    let net = (UnixDatagram::unbound().expect("a socket"), net);
    net.0.set_nonblocking(true).expect("a socket");
    while start.elapsed() < time {
        let step = random.below(9);
        log.push(format!("{step} with {}", peers.len()));
        let which = random.below(peers.len().max(1) as u64) as usize;
        let few = peers.len() < 8;
        match (step, peers.get_mut(which)) {
            (0 | 1, _) if few => {
                let place = random.below(unix.len() as u64 + 1) as usize;
                let peer = match unix.get(place) {
                    Some(path) => UnixStream::connect(path).map(Peer::Unix),
                    None => TcpStream::connect(("127.0.0.1", tcp)).map(Peer::Tcp),
                };
                if let Ok(peer) = peer {
                    let _ = match &peer {
                        Peer::Unix(stream) => stream.set_nonblocking(true),
                        Peer::Tcp(stream) => stream.set_nonblocking(true),
                    };
                    peers.push(peer);
                }
            }
            (2, Some(peer)) => {
                let data = vec![random.below(256) as u8; 1 << random.below(20)];
                peer.try_write(&data);
            }
            (3, Some(peer)) => {
                let line = lines[random.below(lines.len() as u64) as usize];
                peer.try_write(&line.repeat(1 << random.below(12)));
            }
            (4, Some(peer)) => peer.try_read(&mut vec![0; 1 << random.below(20)]),
            (5, Some(peer)) => peer.shutdown(),
            (6, Some(_)) => drop(peers.remove(which)),
            (7, Some(_)) => peers.remove(which).reset(),
            (8, _) => {
                for _ in 0..random.below(1000) {
                    let frame = vec![0xff; random.below(1600) as usize];
                    let _ = net.0.send_to(&frame, net.1);
                }
            }
            _ => std::thread::sleep(Duration::from_millis(random.below(20))),
        }
    }
    log
}

/// `PEERS=60` is rude for a minute; `SEED` begins elsewhere.
#[test]
fn the_machine_outlives_rude_peers() {
    let number = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
    };
    let (seconds, seed) = (number("PEERS", 3), number("SEED", 1));
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
    let port = port.expect("an address").port();
    // Each machine has a console, and a monitor or a network.
    let malta = |command: &mut Command| {
        command.args([
            "--backend",
            &format!("serial0=unix:{},server", at("console").display()),
        ]);
        command.args(["--backend", &format!("serial1=tcp:127.0.0.1:{port},server")]);
        command.args([
            "--monitor",
            &format!("unix:{},server", at("monitor").display()),
        ]);
    };
    let mut first = flooding(folder.path());
    malta(&mut first);
    let mut second = Command::new(PROGRAM);
    second.args(["run", "mipssim", "--backend"]);
    second.arg(format!("net0=unix:{},peer=/nowhere", at("net").display()));
    second.args([
        "--backend",
        &format!("serial0=unix:{},server", at("second").display()),
    ]);
    second.stdin(Stdio::null()).stdout(Stdio::null());
    let limit = format!("{}s", seconds + 1);
    let start = |command: &mut Command| {
        command.args(["--max-time", &limit]).stderr(Stdio::null());
        Running::start(command)
    };
    let mut running = [start(&mut first), start(&mut second)];
    let places = ["console", "monitor", "second"].map(at);
    for place in &places {
        eventually(|| UnixStream::connect(place));
    }
    let peers: Vec<_> = (0..3)
        .map(|n| {
            let (places, net) = (places.clone(), at("net"));
            let time = Duration::from_secs(seconds);
            std::thread::spawn(move || be_rude(seed + n, time, &places, port, &net))
        })
        .collect();
    let ended = running.each_mut().map(Running::end);
    let logs: Vec<_> = peers
        .into_iter()
        .map(|p| p.join().expect("a peer"))
        .collect();
    for (status, memory) in ended {
        // A peer of the monitor may have asked for the machine to stand still; it does not know `quit`.
        assert_eq!(status, Some(124), "SEED={seed}: {logs:?}");
        assert!(memory < MEMORY, "SEED={seed}: {memory} KiB");
    }
}

/// The lines of the program, tests left out, with file and number.
fn lines(folder: &str, found: &mut Vec<(String, String)>) {
    let root = guests::repository();
    for entry in fs::read_dir(root.join(folder)).expect("a folder") {
        let path = entry.expect("a file").path();
        let name = path
            .strip_prefix(&root)
            .expect("it is below")
            .display()
            .to_string();
        if path.is_dir() {
            lines(&name, found);
        } else if name.ends_with(".rs") && !name.ends_with("/tests.rs") {
            let text = fs::read_to_string(&path).expect("text");
            let text = text
                .split("#[cfg(test)]\nmod tests")
                .next()
                .unwrap_or_default();
            let numbered = text.lines().zip(1..);
            found.extend(numbered.map(|(line, n)| (format!("{name}:{n}"), line.to_owned())));
        }
    }
}

#[test]
fn no_lock_is_on_the_guests_path() {
    let mut all = Vec::new();
    for folder in ["src/machine", "src/backend", "devices"] {
        lines(folder, &mut all);
    }
    let locks = [
        "Mutex",
        "RwLock",
        "Condvar",
        ".lock()",
        "static mut",
        "OnceLock",
        "LazyLock",
    ];
    let locked = all
        .iter()
        .filter(|(_, line)| locks.iter().any(|lock| line.contains(lock)));
    // Behind the queues: the log, the terminal's settings, a socket's peer, and who waits for credit.
    let behind = [
        "src/backend/log.rs",
        "src/backend/terminal.rs",
        "src/backend/chardev.rs",
    ];
    let known = |at: &str, line: &str| {
        behind.iter().any(|file| at.starts_with(file))
            || at.starts_with("src/backend/outside.rs") && line.contains("OnceLock")
    };
    let found: Vec<_> = locked.filter(|(at, line)| !known(at, line)).collect();
    assert!(found.is_empty(), "{found:#?}");
    assert!(all.len() > 10_000, "they were looked at");
}

#[test]
fn paths_are_named_on_one_line() {
    let mut all = Vec::new();
    lines("src", &mut all);
    let raw: Vec<_> = all
        .iter()
        .filter(|(_, line)| line.contains(".display()"))
        .collect();
    assert!(
        raw.is_empty(),
        "a path's name may have more than one line: {raw:#?}"
    );
    assert!(all.len() > 10_000, "they were looked at");
}

#[test]
fn nothing_panics_for_want_of_a_thread_or_of_standard_error() {
    let mut all = Vec::new();
    for folder in ["src/backend", "src/machine", "src/monitor", "src/state"] {
        lines(folder, &mut all);
    }
    let risky = [
        "thread::spawn(",
        "eprint!",
        "eprintln!",
        " print!",
        "println!",
    ];
    let found: Vec<_> = all
        .iter()
        .filter(|(_, line)| risky.iter().any(|risk| line.contains(risk)))
        .collect();
    assert!(found.is_empty(), "{found:#?}");
}

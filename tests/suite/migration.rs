//! Live migration: a machine goes on in another program, while it works, over wires that break.

use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use solderless_model::testing::Noise;
use solderless_testing::emulator::Emulator;
use solderless_testing::{Console, Endian, guests};

const PROGRAM: &str = env!("CARGO_BIN_EXE_solderless");
const PROMPT: &str = "(solderless) ";
const PATIENCE: Duration = Duration::from_secs(300);

/// How often something is done: the number in this variable of the environment, or the usual one.
fn amount(name: &str, usual: u64) -> u64 {
    let amount = std::env::var(name).ok();
    amount.map_or(usual, |text| text.parse().expect("a number"))
}

/// Connects as soon as somebody listens.
fn connect(path: &Path) -> UnixStream {
    let start = Instant::now();
    loop {
        match UnixStream::connect(path) {
            Ok(stream) => {
                stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
                return stream;
            }
            Err(e) => assert!(start.elapsed() < PATIENCE, "{}: {e}", path.display()),
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// A running program: its console at standard output, its monitor at a socket.
struct Host {
    console: Console,
    monitor: PathBuf,
    stream: Option<UnixStream>,
}

impl Host {
    fn start(folder: &Path, name: &str, mut command: Command) -> Self {
        let monitor = folder.join(format!("{name}.monitor"));
        let at = format!("unix:{},server", monitor.display());
        command.args(["--monitor", &at]);
        Self {
            console: Console::start(command),
            monitor,
            stream: None,
        }
    }

    /// One that waits for a machine at this place.
    fn waits(folder: &Path, name: &str, uri: &str) -> Self {
        let mut command = Command::new(PROGRAM);
        command.args(["run", "--incoming", uri]);
        Self::start(folder, name, command)
    }

    fn ask(&mut self, line: &str) -> String {
        let mut stream = self.stream.take().unwrap_or_else(|| {
            let mut stream = connect(&self.monitor);
            until_prompt(&mut stream);
            stream
        });
        stream
            .write_all(format!("{line}\n").as_bytes())
            .expect("it is connected");
        let answer = until_prompt(&mut stream);
        self.stream = Some(stream);
        answer
    }

    /// What becomes of a migration.
    fn outcome(&mut self) -> String {
        loop {
            let info = self.ask("info migrate");
            let going = ["setup", "active", "device"];
            if !going.iter().any(|s| info.contains(&format!("status: {s}"))) {
                return info;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// The number that a command prints behind this.
    fn number(&mut self, command: &str, before: &str) -> f64 {
        let said = self.ask(command);
        let number = said
            .split_once(before)
            .and_then(|(_, behind)| behind.split(' ').next());
        number
            .and_then(|number| number.parse().ok())
            .unwrap_or_else(|| panic!("{said}"))
    }

    /// The guest goes on, and has found nothing bad.
    fn works(&mut self) {
        for _ in 0..3 {
            let line = self.console.expect("\n");
            assert!(!line.contains("bad"), "{line}");
        }
    }

    fn quit(mut self) {
        let mut stream = self.stream.take().unwrap_or_else(|| connect(&self.monitor));
        stream.write_all(b"quit\n").expect("it is connected");
        assert_eq!(self.console.wait().code(), Some(0));
    }
}

fn until_prompt(stream: &mut UnixStream) -> String {
    let (mut text, mut buffer) = (String::new(), [0; 4096]);
    while !text.ends_with(PROMPT) {
        let len = stream.read(&mut buffer).expect("the monitor is connected");
        assert!(len > 0, "it ended after {text}");
        text += &String::from_utf8_lossy(&buffer[..len]);
    }
    text.truncate(text.len() - PROMPT.len());
    text
}

/// The program that works on its memory, on a machine; nothing where there is no compiler.
fn busy(folder: &Path) -> Option<Host> {
    let program = guests::bare_metal("busy.S", Endian::Little, 0x8010_0000)?;
    let mut command = Emulator::ours(PROGRAM, Endian::Little)
        .ram(16)
        .kernel(&program)
        .command();
    command.stderr(std::process::Stdio::null());
    let mut host = Host::start(folder, "first", command);
    host.works();
    Some(host)
}

/// A wire between two sockets, which breaks when so many bytes have gone along it, or when it is cut.
fn wire(from: &Path, to: &Path, most: u64) -> Arc<AtomicU64> {
    let listener = UnixListener::bind(from).expect("a socket");
    let to = to.to_owned();
    let passed = Arc::new(AtomicU64::new(0));
    let count = passed.clone();
    thread::spawn(move || {
        let (mut source, _) = listener.accept().expect("somebody connects");
        let mut destination = connect(&to);
        destination.set_read_timeout(None).expect("a socket");
        let ends = |stream: &UnixStream| stream.try_clone().expect("a socket");
        let (mut back, mut answers) = (ends(&source), ends(&destination));
        thread::spawn(move || {
            let _ = std::io::copy(&mut answers, &mut back);
            let _ = back.shutdown(Shutdown::Both);
        });
        let mut buffer = vec![0; 1 << 16];
        loop {
            let left = most - count.load(SeqCst);
            let room = left.min(buffer.len() as u64) as usize;
            let len = match room {
                0 => 0,
                _ => source.read(&mut buffer[..room]).unwrap_or(0),
            };
            if len == 0 || destination.write_all(&buffer[..len]).is_err() {
                break;
            }
            count.fetch_add(len as u64, SeqCst);
        }
        let _ = source.shutdown(Shutdown::Both);
        let _ = destination.shutdown(Shutdown::Both);
    });
    passed
}

#[test]
fn a_busy_machine_goes_to_and_fro() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(mut source) = busy(folder.path()) else {
        return;
    };
    for round in 0..amount("MIGRATIONS", 4) {
        let path = folder.path().join(format!("wire{round}"));
        let uri = format!("unix:{}", path.display());
        let mut next = Host::waits(folder.path(), &format!("host{round}"), &uri);
        // Whoever connects is taken for the source.
        while !path.exists() {
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(source.ask(&format!("migrate -d {uri}")), "");
        let outcome = source.outcome();
        assert!(outcome.contains("status: completed"), "{outcome}");
        assert_eq!(source.ask("info status"), "VM status: paused\n");
        source.quit();
        assert_eq!(next.ask("info status"), "VM status: running\n");
        next.works();
        source = next;
    }
    source.quit();
}

#[test]
fn a_wire_that_breaks_anywhere_leaves_the_machine_where_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(mut source) = busy(folder.path()) else {
        return;
    };
    // Slow enough for several passes, and for cuts in each.
    source.ask("migrate_set_parameter max-bandwidth 100");
    let mut noise = Noise(20);
    let mut total = None;
    for cut in 0..=amount("CUTS", 8) {
        let [from, to] = ["from", "to"].map(|name| folder.path().join(format!("{name}{cut}")));
        let mut destination = Host::waits(
            folder.path(),
            &format!("host{cut}"),
            &format!("unix:{}", to.display()),
        );
        // The first shows how much there is. Its last bytes are the order to go on, 16 of them.
        let most = match total {
            None => u64::MAX,
            Some(total) if cut % 4 == 1 => total - 1 - noise.below(100),
            Some(total) => noise.below(total),
        };
        let passed = wire(&from, &to, most);
        assert_eq!(
            source.ask(&format!("migrate -d unix:{}", from.display())),
            ""
        );
        let outcome = source.outcome();
        if total.is_none() {
            assert!(outcome.contains("status: completed"), "{outcome}");
            total = Some(passed.load(SeqCst));
            destination.works();
            destination.quit();
            // Nobody has it any more: it goes on here.
            source.ask("cont");
            source.works();
            continue;
        }
        // The number of passes differs, so that it may have been done before.
        if outcome.contains("status: completed") {
            assert!(passed.load(SeqCst) <= most);
            destination.works();
            destination.quit();
            source.ask("cont");
            continue;
        }
        assert!(outcome.contains("status: failed"), "{outcome}");
        assert!(outcome.contains("error: "), "{outcome}");
        assert_eq!(source.ask("info status"), "VM status: running\n");
        source.works();
        let ended = destination.console.wait();
        assert_eq!(ended.code(), Some(2), "{most}");
    }
    source.quit();
}

#[test]
fn who_does_not_take_it_says_why_and_who_dies_has_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(mut source) = busy(folder.path()) else {
        return;
    };
    let path = folder.path().join("wire");
    let uri = format!("unix:{}", path.display());
    // Another board: nothing of its memory is read.
    let mut command = Command::new(PROGRAM);
    command.args(["run", "mipssim", "--incoming", &uri]);
    command.stdout(std::process::Stdio::null());
    command.stderr(std::process::Stdio::piped());
    let other = command.spawn().expect("the program");
    while !path.exists() {
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(source.ask(&format!("migrate -d {uri}")), "");
    let outcome = source.outcome();
    assert!(
        outcome.contains("error: the destination refuses it: "),
        "{outcome}"
    );
    assert!(outcome.contains("malta"), "{outcome}");
    let ended = other.wait_with_output().expect("it ends");
    assert_eq!(ended.status.code(), Some(2));
    let errors = String::from_utf8_lossy(&ended.stderr);
    assert!(
        errors.contains("it is of the board malta, this is mipssim"),
        "{errors}"
    );
    source.works();

    // Nobody there.
    assert_eq!(source.ask(&format!("migrate -d {uri}")), "");
    assert!(source.outcome().contains("status: failed"));

    // It is killed, on the way; and another is given up.
    source.ask("migrate_set_parameter max-bandwidth 1");
    for killed in [true, false] {
        let _ = fs::remove_file(&path);
        let destination = Host::waits(folder.path(), &format!("dies{killed}"), &uri);
        while !path.exists() {
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(source.ask(&format!("migrate -d {uri}")), "");
        while !source.ask("info migrate").contains("status: active") {
            thread::sleep(Duration::from_millis(2));
        }
        let again = source.ask(&format!("migrate -d {uri}"));
        assert!(again.contains("in progress"), "{again}");
        assert!(source.ask("loadvm x").contains("in progress"));
        if killed {
            destination.console.signal(Signal::KILL);
            let outcome = source.outcome();
            assert!(outcome.contains("status: failed"), "{outcome}");
            assert!(
                outcome.contains("the destination has closed the connection"),
                "{outcome}"
            );
        } else {
            assert_eq!(source.ask("migrate_cancel"), "");
            assert_eq!(source.ask("info migrate"), "Migration status: cancelled\n");
            assert_eq!(destination.console.wait().code(), Some(2));
        }
        assert_eq!(source.ask("info status"), "VM status: running\n");
        source.works();
    }
    // What a machine that runs has sent to a command is a stream like others.
    source.ask("migrate_set_parameter max-bandwidth 0");
    let file = folder.path().join("file");
    assert_eq!(
        source.ask(&format!("migrate -d \"exec:cat > {}\"", file.display())),
        ""
    );
    assert!(source.outcome().contains("status: completed"));
    source.quit();
    let mut other = Host::waits(
        folder.path(),
        "last",
        &format!("exec:cat {}", file.display()),
    );
    other.works();
    other.quit();
    let mut other = Host::waits(folder.path(), "file", &format!("file:{}", file.display()));
    other.works();
    other.quit();
}

#[test]
fn a_machine_that_writes_faster_than_the_wire_is_slowed_down() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(mut source) = busy(folder.path()) else {
        return;
    };
    let path = folder.path().join("wire");
    let uri = format!("unix:{}", path.display());
    let mut destination = Host::waits(folder.path(), "next", &uri);
    while !path.exists() {
        thread::sleep(Duration::from_millis(5));
    }
    // All of its 4 MiB are written again and again: at 20 MiB/s they take 200 ms, which is too long.
    source.ask("migrate_set_parameter max-bandwidth 20");
    source.ask("migrate_set_parameter downtime-limit 50");
    source.ask("migrate_set_parameter cpu-throttle-increment 79");
    assert_eq!(source.ask(&format!("migrate -d {uri}")), "");
    let mut throttled = false;
    let start = Instant::now();
    while !throttled {
        let info = source.ask("info migrate");
        assert!(!info.contains("failed"), "{info}");
        throttled = info.contains("cpu throttle: ");
        assert!(start.elapsed() < PATIENCE, "{info}");
        thread::sleep(Duration::from_millis(2));
    }
    // Without a limit it goes, throttled or not.
    source.ask("migrate_set_parameter downtime-limit 2000");
    let outcome = source.outcome();
    assert!(outcome.contains("status: completed"), "{outcome}");
    source.quit();
    destination.works();
    destination.quit();
}

/// Debian goes on elsewhere in the middle of its work, and finds its files as they were.
#[test]
fn debian_works_on_elsewhere() {
    const SHELL: &str = "~ # ";
    let Some(linux) = guests::linux() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let command = Emulator::ours(PROGRAM, Endian::Little)
        .ram(256)
        .linux(&linux, "console=ttyS0 rdinit=/bin/sh")
        .command();
    let mut source = Host::start(folder.path(), "first", command);
    source.console.expect(SHELL);
    source
        .console
        .run("dmesg -n 1; stty columns 400; mkdir -p /t", SHELL);
    let files = "cat /bin/busybox /lib/*.so* | md5sum";
    let sum = source.console.run(files, SHELL);
    assert_eq!(sum.len(), 36, "{sum}");
    // It writes memory and takes the sum, again and again.
    let work = format!(
        "(while :; do cp /bin/busybox /t/f; cat /t/f /t/f > /t/g; {files}; done > /t/sums) & worker=$!"
    );
    source.console.run(&work, SHELL);
    for round in 0..amount("DEBIAN_MIGRATIONS", 2) {
        let path = folder.path().join(format!("wire{round}"));
        let uri = format!("unix:{}", path.display());
        let mut next = Host::waits(folder.path(), &format!("host{round}"), &uri);
        while !path.exists() {
            thread::sleep(Duration::from_millis(5));
        }
        let count = "cat /t/sums | wc -l";
        let before = source.console.run(count, SHELL);
        let start = source.number("info time", "guest time: ");
        assert_eq!(source.ask(&format!("migrate -d {uri}")), "");
        let outcome = source.outcome();
        assert!(outcome.contains("status: completed"), "{outcome}");
        // It ran meanwhile, whatever the wire took.
        let ran = source.number("info time", "guest time: ") - start;
        let took = source.number("info migrate", "total time: ") / 1e3;
        assert!(ran > took / 10.0, "{ran} s of {took} s");
        source.quit();
        let lines = |text: &str| text.trim().parse::<u64>().expect("a number");
        while lines(&next.console.run(count, SHELL)) < lines(&before) + 3 {}
        source = next;
    }
    source.console.run("kill $worker; wait", SHELL);
    let all = source.console.run("sort -u /t/sums", SHELL);
    assert_eq!(all, sum);
    source.quit();
}

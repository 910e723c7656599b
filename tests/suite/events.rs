//! What comes to a machine from outside, and when, decides what it does: a run whose events were logged is made again from the log, to
//! the last instruction.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fs;
use std::io::{self, Cursor, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use solderless::compose::{self, Loaded, Options};
use solderless::machine::{
    Door, End, Event, Fittings, Header, Host, Journal, LogError, Machine, Message, Pace,
    QUANTUM_NS, Run, Script, Sink, Word,
};
use solderless_model::Engine;
use solderless_model::testing::Noise;
use solderless_testing::emulator::Emulator;
use solderless_testing::{Console, Endian, guests, installed};

const PROGRAM: &str = env!("CARGO_BIN_EXE_solderless");

/// The engines that this host has.
const ENGINES: &[Engine] = if cfg!(target_arch = "x86_64") {
    &[Engine::JIT, Engine::Interp]
} else {
    &[Engine::Interp]
};

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// A file in memory.
#[derive(Clone, Default)]
struct Memory(Rc<RefCell<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a guest has sent, to a reader who often has no room.
struct Reader {
    heard: Memory,
    noise: Rc<RefCell<Noise>>,
    full: Rc<Cell<bool>>,
}

impl Sink for Reader {
    fn send(&mut self, bytes: &[u8]) {
        self.heard.0.borrow_mut().extend(bytes);
        self.full.set(self.noise.borrow_mut().below(4) == 0);
    }
    fn wait(&mut self) -> Option<Duration> {
        self.full.replace(false).then_some(Duration::ZERO)
    }
}

/// An outside that types, breaks and interferes at random, for so many looks at it.
struct Outside {
    noise: Rc<RefCell<Noise>>,
    looks: u64,
    /// Where it types.
    slot: usize,
    /// Nothing for the guest.
    dumb: bool,
    typed: VecDeque<Message>,
}

impl Outside {
    fn look(&mut self) -> Option<Message> {
        if let Some(typed) = self.typed.pop_front() {
            return Some(typed);
        }
        self.looks = self.looks.saturating_sub(1);
        let mut noise = self.noise.borrow_mut();
        let kind = noise.below(64);
        let text = |noise: &mut Noise| match noise.below(3) {
            0 => b"help\r".to_vec(),
            1 => b"\r".to_vec(),
            _ => (0..noise.below(40))
                .map(|_| noise.below(256) as u8)
                .collect(),
        };
        match kind {
            _ if self.looks == 0 && !self.dumb => Some(Word::Quit(7).into()),
            0..4 if !self.dumb => Some(Event::Input(self.slot, text(&mut noise)).into()),
            // Two things at once.
            4 if !self.dumb => {
                let text = text(&mut noise);
                self.typed.push_back(Event::Input(self.slot, text).into());
                Some(Event::Break(self.slot).into())
            }
            5..8 => Some(Word::Pause.into()),
            _ => None,
        }
    }
}

impl Host for Outside {
    fn poll(&mut self) -> Option<Message> {
        self.look()
    }
    fn wait(&mut self, time: Option<Duration>) -> Option<Message> {
        if self.noise.borrow_mut().below(16) == 0 {
            std::thread::sleep(time.unwrap_or_default().min(Duration::from_micros(300)));
        }
        self.look()
    }
}

/// A machine of a board, with a program at its reset vector or its own.
fn machine(
    loaded: &Loaded,
    program: &[u8],
    engine: Engine,
    quantum: u64,
    door: Door,
    noise: &Rc<RefCell<Noise>>,
) -> (Machine, Memory) {
    let heard = Memory::default();
    let sinks = loaded.plan.slots.iter().map(|slot| {
        let reader = || -> Box<dyn Sink> {
            Box::new(Reader {
                heard: heard.clone(),
                noise: noise.clone(),
                full: Rc::default(),
            })
        };
        (slot.name == "serial0").then(reader)
    });
    let images = loaded.plan.slots.iter().map(|slot| {
        (slot.name == "bios").then(|| {
            let rom = solderless::backend::rom("malta-rom-le");
            rom.expect("a ROM").to_vec()
        })
    });
    let fittings = Fittings {
        images: images.collect(),
        sinks: sinks.collect(),
        epoch: 1_700_000_000,
        door,
        ..Fittings::default()
    };
    let mut machine = Machine::new(&loaded.plan, fittings).expect("a machine");
    assert!(machine.set_engine(engine));
    machine.set_quantum(quantum);
    if !program.is_empty() {
        machine.load(0x1fc0_0000, program).expect("memory");
    }
    (machine, heard)
}

/// Runs a machine, with whatever its outside does, to the end.
fn drive(machine: &mut Machine, run: Run, outside: &mut Outside, uart: u64) -> End {
    loop {
        let end = machine.run(run, outside);
        if end != End::Paused {
            return end;
        }
        let kind = outside.noise.borrow_mut().below(16);
        match kind {
            // Taking a character away from the guest, or a status bit.
            0..4 if !outside.dumb => drop(machine.examine(uart + kind, 1)),
            4 if !outside.dumb => machine.tell(Event::Reset).expect("it is not repeated"),
            // The wall clock may ask for no other in so short a run.
            5 if !outside.dumb => machine.tell(Event::Pace(96)).expect("it is not repeated"),
            _ => drop(machine.examine(0x1000, 4)),
        }
    }
}

fn again_and_again(loaded: &Loaded, program: &[u8], uart: u64, looks: u64) {
    /// What has to have been in a log.
    const KINDS: [&str; 5] = ["input ", "break ", "pace ", "read ", "reset"];
    let (mut seen, runs) = ([false; KINDS.len()], number("RUNS", 6));
    for seed in number("SEED", 1)..number("SEED", 1) + runs {
        let noise = Rc::new(RefCell::new(Noise(seed)));
        let pace = [Pace::Free, Pace::Watched, Pace::Deterministic][seed as usize % 3];
        let engine = ENGINES[seed as usize % ENGINES.len()];
        let quantum = [QUANTUM_NS, 1000 + seed][seed as usize % 2];
        let header = Header {
            board: loaded.plan.name.clone(),
            deterministic: pace == Pace::Deterministic,
            quantum,
        };
        let log = Memory::default();
        let journal = Journal::new(Box::new(log.clone()), &header, &loaded.plan);
        let door = Door::logged(journal.expect("memory"));
        let (mut first, heard) = machine(loaded, program, engine, quantum, door, &noise);
        first.begin().expect("a log");
        let run = Run {
            pace,
            no_reboot: false,
            max_time: None,
        };
        let mut outside = Outside {
            noise: noise.clone(),
            looks,
            slot: loaded
                .plan
                .slots
                .iter()
                .position(|s| s.name == "serial0")
                .expect("a slot"),
            dumb: false,
            typed: VecDeque::new(),
        };
        let end = drive(&mut first, run, &mut outside, uart);
        assert_eq!(end, End::Quit(7));
        first.conclude(end).expect("a log");
        let log = log.0.borrow().clone();
        let text = String::from_utf8_lossy(&log).into_owned();
        for (seen, word) in seen.iter_mut().zip(KINDS) {
            *seen |= text.contains(&format!(" {word}"));
        }
        for engine in ENGINES {
            let what = format!("seed {seed}, {pace:?}, {engine:?}");
            let script = Script::open(Box::new(Cursor::new(log.clone())), &loaded.plan);
            let script = script.unwrap_or_else(|e| panic!("{what}: {e}\n{text}"));
            assert_eq!(*script.header(), header);
            let door = Door::repeated(script);
            let (mut second, said) = machine(loaded, program, *engine, quantum, door, &noise);
            second.begin().unwrap_or_else(|e| panic!("{what}: {e}"));
            outside.dumb = true;
            let end = drive(&mut second, run, &mut outside, uart);
            let done = second.conclude(end);
            done.unwrap_or_else(|e| panic!("{what}: {e}\n{text}"));
            assert_eq!(end, End::Quit(7), "{what}");
            assert_eq!(second.moment(), first.moment(), "{what}");
            assert_eq!(second.state_hash(), first.state_hash(), "{what}\n{text}");
            assert!(*said.0.borrow() == *heard.0.borrow(), "{what}: the output");
        }
    }
    assert_eq!(seen, [true; KINDS.len()], "not all kinds of events came");
}

fn malta() -> Loaded {
    let options = Options {
        set: vec![("param.ram".to_owned(), "16MiB".to_owned())],
        ..Options::default()
    };
    compose::open(Some("malta"), &options).unwrap_or_else(|e| panic!("{}", e.render(false)))
}

#[test]
fn a_run_with_random_events_is_made_again_whoever_stops_it_where() {
    again_and_again(&malta(), &[], 0x1800_03f8, 600);
}

#[test]
fn so_is_one_of_several_cpus() {
    let Some(program) = guests::bare_bytes("turns.S", Endian::Little, 0x9fc0_0000) else {
        return;
    };
    // Somebody types at the port by which one CPU calls the other.
    let board = include_str!("../boards/good/pair.toml").replace("100MHz", "4MHz");
    let board = board.replace(
        "[dev.call0]",
        "[slot]\nserial0 = { kind = \"chardev\" }\n[dev.call0]\nbackend.chr = \"serial0\"",
    );
    let loaded = compose::open_text("pair", &board, &Options::default());
    let loaded = loaded.unwrap_or_else(|e| panic!("{}", e.render(false)));
    again_and_again(&loaded, &program, 0x1f00_0900, 150);
}

/// The machine of a log, which has this behind its head.
fn opened(lines: &str) -> Result<Script, LogError> {
    let text = format!("solderless events 1\nboard \"malta\" time host quantum 100000\n{lines}");
    Script::open(Box::new(Cursor::new(text.into_bytes())), &malta().plan)
}

#[test]
fn a_log_that_is_none_is_refused_with_its_line() {
    const START: &str = "0 0 start 0123456789abcdef0123456789abcdef\n";
    const END: &str = "9 9 end 0123456789abcdef0123456789abcdef quit 0\n";
    for (lines, line, what) in [
        ("", 3, "the log is cut off"),
        (
            START,
            4,
            "the log is cut off: its last line would be an 'end'. To repeat what there is of it, write '0 0 end 00000000000000000000000000000000 quit 0' here",
        ),
        (&format!("{START}5 5 inp"), 4, "it is cut off"),
        (END, 3, "the run has not begun yet"),
        (
            &format!("{START}{START}{END}"),
            4,
            "the run has begun already",
        ),
        (&format!("{START}{END}{END}"), 5, "it comes behind the end"),
        (
            &format!("{START}7 5 reset\n6 5 reset\n{END}"),
            5,
            "its moment, 6 5, lies before that of the line before, 7 5",
        ),
        (
            &format!("{START}7 5 reset\n7 4 reset\n{END}"),
            5,
            "its moment, 7 4, lies before",
        ),
        (
            &format!("{START}7 5 input serial7 \"x\"\n{END}"),
            4,
            "'serial7' is no slot for characters; the board has display, serial0, serial1, serial2",
        ),
        (
            &format!("{START}7 5 frame net7 00\n{END}"),
            4,
            "'net7' is no slot for a network; the board has net0",
        ),
        (
            &format!("{START}7 5 input serial0 x\n{END}"),
            4,
            "a text between quotes",
        ),
        (
            &format!("{START}7 5 input serial0 \"\\q\"\n{END}"),
            4,
            "this escape is none",
        ),
        (
            &format!("{START}7 5 input serial0 \"\\x4\"\n{END}"),
            4,
            "behind \\x two hexadecimal digits",
        ),
        (
            &format!("{START}7 5 pace 1\n{END}"),
            4,
            "a pace is 64 to 4096",
        ),
        (
            &format!("{START}7 5 read 0x10 3\n{END}"),
            4,
            "a read has 1, 2, 4 or 8 bytes",
        ),
        (
            &format!("{START}7 five reset\n{END}"),
            4,
            "'five' is no number",
        ),
        (
            &format!("{START}7 5 reset now\n{END}"),
            4,
            "'reset' with these arguments",
        ),
        (
            &format!("{START}99999999999999999999 5 reset\n{END}"),
            4,
            "is no number",
        ),
        (
            &format!("{START}18446744073709551615 5 reset\n{END}"),
            4,
            "guest time ends before",
        ),
    ] {
        let error = opened(lines).expect_err(lines);
        assert_eq!(error.line, line, "{lines}: {error}");
        assert!(error.what.contains(what), "{lines}: {error}");
    }
    opened(&format!("{START}{END}")).expect("a log");
    for (text, what) in [
        ("", "line 1: this is no log of events"),
        ("\0\x01\u{fffd}", "line 1: this is no log of events"),
        ("solderless events 99\n", "line 1: the log has version 99"),
        ("solderless events 1\n", "line 2: a line 'board"),
        (
            "solderless events 1\nboard \"wren\" time host quantum 1\n",
            "line 2: the log is of the board wren, this is malta",
        ),
    ] {
        let file = Cursor::new(text.as_bytes().to_vec());
        let error = Script::open(Box::new(file), &malta().plan).expect_err(text);
        assert!(error.to_string().starts_with(what), "{text}: {error}");
    }
}

/// The program's run with a log, to be driven by a test, and then again from the log.
struct Logged<'a> {
    folder: &'a Path,
    emulator: &'a dyn Fn() -> Emulator,
}

impl Logged<'_> {
    fn log(&self) -> std::path::PathBuf {
        self.folder.join("run.log")
    }

    fn start(&self, args: &[&str]) -> Console {
        let log = self.log();
        let emulator = (self.emulator)()
            .args(args)
            .args(["--state-hash", "--log-events"]);
        Console::start(emulator.args([&log]).command())
    }

    /// Makes the run again with every engine: the same is printed, and the end is the same.
    fn again(&self, args: &[&str], output: &str, errors: &str, status: i32) {
        let log = self.log();
        let mode = fs::metadata(&log).expect("a log").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        for engine in ["jit", "interp"] {
            let emulator = (self.emulator)()
                .args(args)
                .args(["--state-hash", "--engine", engine]);
            let emulator = emulator.args(["--replay-events"]).args([&log]);
            let mut console = Console::start(emulator.command());
            console.close_input();
            let ended = console.wait();
            assert_eq!(ended.errors, errors, "{engine}");
            assert_eq!(ended.output, output, "{engine}");
            assert_eq!(ended.code(), Some(status), "{engine}");
        }
    }
}

#[test]
fn a_user_at_the_console_is_heard_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let logged = Logged {
        folder: folder.path(),
        emulator: &|| Emulator::ours(PROGRAM, Endian::Little),
    };
    let mut console = logged.start(&[]);
    console.expect("rom> ");
    for command in ["help\r", "x\r", "help\r"] {
        console.send(command);
        console.expect("rom> ");
    }
    console.signal(rustix::process::Signal::TERM);
    let ended = console.wait();
    assert_eq!(ended.code(), Some(143), "{}", ended.errors);
    logged.again(&[], &ended.output, &ended.errors, 143);
    // Another machine is refused, and nothing is run.
    let log = logged.log();
    let refused = |args: &[&str], what: &str| {
        let mut command = Command::new(PROGRAM);
        command
            .arg("run")
            .args(args)
            .arg("--replay-events")
            .arg(&log);
        let output = command.stdin(Stdio::null()).output().expect("the program");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{errors}");
        assert!(errors.contains(what), "{errors}");
        assert!(output.stdout.is_empty());
    };
    refused(
        &["wren"],
        "run.log: line 2: the log is of the board malta, this is wren",
    );
    refused(
        &["malta", "--ram", "64MiB"],
        "run.log: line 4: the machine is not the one that the log begins with",
    );
    // A log that was changed is another run's.
    let text = fs::read_to_string(&log).expect("a log");
    let changed = text.replacen("\"help\\r\"", "\"halp\\r\"", 1);
    assert_ne!(changed, text);
    fs::write(&log, changed).expect("a file");
    let mut console = {
        let emulator = (logged.emulator)().args(["--replay-events"]).args([&log]);
        Console::start(emulator.command())
    };
    console.close_input();
    let ended = console.wait();
    assert_eq!(ended.code(), Some(2), "{}", ended.errors);
    assert!(
        ended.errors.contains("this is another run"),
        "{}",
        ended.errors
    );
    // As far as a killed program has come.
    let whole = text.lines().collect::<Vec<_>>();
    let rest = whole[..whole.len() - 1].join("\n") + "\n";
    fs::write(&log, &rest).expect("a file");
    refused(&["malta"], "run.log: line 8: the log is cut off");
    let moment = whole[whole.len() - 2]
        .split(' ')
        .take(2)
        .collect::<Vec<_>>()
        .join(" ");
    fs::write(&log, format!("{rest}{moment} end {:032x} quit 0\n", 0)).expect("a file");
    let emulator = (logged.emulator)().args(["--replay-events"]).args([&log]);
    let mut console = Console::start(emulator.command());
    console.close_input();
    let ended = console.wait();
    assert_eq!(ended.code(), Some(0), "{}", ended.errors);
}

#[test]
fn uboots_network_needs_no_backend_the_second_time() {
    const PROMPT: &str = "maltael # ";
    let Some(image) = guests::uboot() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("kernel"), vec![0x5a; 50_000]).expect("a file");
    let net = format!("user,bootfile=kernel,tftp={}", folder.path().display());
    let emulator = || {
        let emulator = Emulator::ours_with(PROGRAM, "malta").ram(256);
        emulator.firmware(&image, Endian::Little)
    };
    let logged = Logged {
        folder: folder.path(),
        emulator: &emulator,
    };
    let mut console = logged.start(&["--no-reboot", "--net", &net]);
    console.expect(PROMPT);
    let loaded = console.run("dhcp 0x80200000", PROMPT);
    assert!(loaded.contains("Bytes transferred = 50000"), "{loaded}");
    console.send("reset\r");
    let ended = console.wait();
    assert_eq!(ended.code(), Some(0), "{}", ended.errors);
    fs::remove_file(folder.path().join("kernel")).expect("it is there");
    logged.again(&[], &ended.output, &ended.errors, 0);
}

#[test]
fn debian_boots_again_with_the_same_random_numbers_and_the_same_date() {
    const PROMPT: &str = "~ # ";
    let Some(linux) = guests::linux() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let emulator = || {
        let emulator = Emulator::ours(PROGRAM, Endian::Little).ram(256);
        emulator.linux(&linux, "console=ttyS0 rdinit=/bin/sh")
    };
    let logged = Logged {
        folder: folder.path(),
        emulator: &emulator,
    };
    let mut console = logged.start(&[]);
    console.expect(PROMPT);
    console.run(
        "mount -t proc p /proc; cat /proc/sys/kernel/random/uuid; date",
        PROMPT,
    );
    console.run("cat /proc/interrupts /proc/stat", PROMPT);
    console.send("poweroff -f\r");
    let ended = console.wait();
    assert_eq!(ended.code(), Some(0), "{}", ended.errors);
    logged.again(&[], &ended.output, &ended.errors, 0);
}

#[test]
fn a_run_with_a_disk_is_made_again() {
    let Some(installed) = installed::disk() else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let disk = format!("{},snapshot", installed.disk.display());
    let emulator = || {
        let emulator = Emulator::ours_with(PROGRAM, "malta").ram(256);
        let emulator = emulator.args(["--disk", &disk]);
        emulator.linux(&installed.linux, installed::APPEND)
    };
    let logged = Logged {
        folder: folder.path(),
        emulator: &emulator,
    };
    let mut console = logged.start(&[]);
    console.expect("malta login: ");
    console.send("root\r");
    console.expect(installed::PROMPT);
    let sums = "md5sum /bin/* | md5sum; head -c 300000 /dev/urandom > /new; sync; md5sum /new";
    console.run(sums, installed::PROMPT);
    console.send("poweroff\r");
    let ended = console.wait();
    assert_eq!(ended.code(), Some(0), "{}", ended.errors);
    logged.again(&[], &ended.output, &ended.errors, 0);
}

#[test]
fn a_restored_machine_has_a_log_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (state, snapshots) = (path("state"), path("snapshots"));
    let mut first = Console::start({
        let mut command = Command::new(PROGRAM);
        let save = format!("file:{state}");
        command.args(["run", "malta", "--save-on-exit", &save]);
        command
    });
    first.expect("rom> ");
    first.signal(rustix::process::Signal::TERM);
    first.wait();
    let log = path("run.log");
    let ask = |console: &mut Console, command: &str| {
        console.send(&format!("{command}\n"));
        console.expect("(solderless) ")
    };
    let run = |more: &[&str]| {
        let mut command = Command::new(PROGRAM);
        let restore = format!("file:{state}");
        command.args(["run", "--backend", "serial0=null", "--monitor", "stdio"]);
        command.args(["--snapshots", &snapshots, "--state-hash"]);
        command.args(["--restore", &restore]).args(more);
        Console::start(command)
    };
    let mut console = run(&["--log-events", &log]);
    console.expect("(solderless) ");
    for command in [
        "savevm here",
        "xp /1xb 0x180003f8",
        "system_reset",
        "savevm there",
    ] {
        let answer = ask(&mut console, command);
        assert!(!answer.contains("Error"), "{command}: {answer}");
    }
    let refused = ask(&mut console, "loadvm here");
    assert!(
        refused.contains("here was not loaded: the run has a log"),
        "{refused}"
    );
    console.send("quit\n");
    let ended = console.wait();
    assert_eq!(ended.code(), Some(0), "{}", ended.errors);
    let text = fs::read_to_string(&log).expect("a log");
    assert!(
        text.contains(" read 0x180003f8 1\n") && text.contains(" reset\n"),
        "{text}"
    );
    let mut console = run(&["--replay-events", &log, "-S"]);
    console.expect("(solderless) ");
    for command in ["system_reset", "xp /1xb 0x180003f8", "loadvm here"] {
        let answer = ask(&mut console, command);
        assert!(answer.contains("Error: "), "{command}: {answer}");
    }
    let memory = ask(&mut console, "xp 0x1000");
    assert!(memory.contains("0x"), "{memory}");
    console.send("cont\n");
    let again = console.wait();
    assert_eq!((again.code(), again.errors), (Some(0), ended.errors));
    // It is of this stream and no other.
    let mut command = Command::new(PROGRAM);
    command.args(["run", "malta", "--replay-events", &log]);
    let output = command.stdin(Stdio::null()).output().expect("the program");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(
        errors.contains("name its stream with --restore"),
        "{errors}"
    );
}

//! The monitor: on the terminal, on pipes and on sockets.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use solderless_testing::emulator::Emulator;
use solderless_testing::{Console, Endian, Terminal, guests};

const PROGRAM: &str = env!("CARGO_BIN_EXE_solderless");
const ROM: &str = "rom> ";
const PROMPT: &str = "(solderless) ";
const PATIENCE: Duration = Duration::from_secs(300);

fn malta(args: &[&str]) -> Command {
    let ours = Emulator::ours(PROGRAM, Endian::Little).ram(16);
    ours.args(args).command()
}

/// A machine whose monitor is at its standard input and output, which are pipes.
fn piped(args: &[&str]) -> Console {
    let mut console = Console::start(malta(&[&["--monitor", "stdio"], args].concat()));
    console.expect(PROMPT);
    console
}

/// Gives a command on a line; returns the answer.
fn ask(console: &mut Console, command: &str) -> String {
    console.send(&format!("{command}\n"));
    console.expect(PROMPT)
}

/// Connects as soon as somebody listens.
fn eventually<T>(connect: impl Fn() -> std::io::Result<T>) -> T {
    let start = Instant::now();
    loop {
        match connect() {
            Ok(stream) => return stream,
            Err(e) => assert!(start.elapsed() < PATIENCE, "{e}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_terminal_is_shared_by_console_and_monitor() {
    let terminal = Terminal::new();
    let mut console = terminal.start(malta(&[]));
    console.expect(ROM);
    console.send("\x01c");
    console.expect("Solderless");
    console.expect("monitor - type 'help' for more information");
    console.expect(PROMPT);
    // The line is edited, and comes back from the history.
    console.send("info statsu\x7f\x7fus\r");
    console.expect("VM status: running");
    console.expect(PROMPT);
    console.send("sto\t\r");
    console.expect(PROMPT);
    console.send("\x1b[A\x1b[A\r");
    console.expect("VM status: paused");
    console.expect(PROMPT);
    // What is typed to a guest that stands still waits for it.
    console.send("\x01c");
    console.send("help reset\r");
    console.send("\x01c");
    console.expect(PROMPT);
    std::thread::sleep(Duration::from_millis(100));
    console.send("cont\r");
    console.expect("SOFTRES");
    console.expect(ROM);
    console.send("\x01c");
    console.send("help poweroff\r");
    console.expect("SUS_EN");
    console.expect(ROM);
    console.send("\x01cq\r");
    assert_eq!(console.wait().code(), Some(0));
}

#[test]
fn a_terminal_can_be_the_monitors_alone() {
    let terminal = Terminal::new();
    let mut console = terminal.start(malta(&["--monitor", "stdio"]));
    console.expect(PROMPT);
    console.send("\x01c");
    console.expect("there is nothing else on this terminal");
    console.send("\rinfo status\r");
    console.expect("VM status: running");
    console.send("\x01x");
    let ended = console.wait();
    assert_eq!(ended.code(), Some(0));
    assert!(!ended.output.contains("Solderless ROM"), "{}", ended.output);
}

#[test]
fn a_new_pseudo_terminal_can_be_the_monitors() {
    let mut child = malta(&["--monitor", "pty", "--backend", "serial0=null"])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut errors = std::io::BufReader::new(child.stderr.take().expect("it is a pipe"));
    let mut line = String::new();
    std::io::BufRead::read_line(&mut errors, &mut line).expect("the name is printed");
    let name = line.trim().strip_prefix("monitor is ").expect("its name");
    let mut terminal = fs::File::options()
        .read(true)
        .write(true)
        .open(name)
        .expect("it can be opened");
    assert!(until_prompt(&mut terminal).contains("type 'help'"));
    terminal.write_all(b"info st\t\r").expect("it is open");
    let said = until_prompt(&mut terminal);
    assert!(
        said.contains("info status \r\nVM status: running\r\n"),
        "{said}"
    );
    terminal.write_all(b"quit\r").expect("it is open");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}

/// Reads until the prompt comes and nothing behind it.
fn until_prompt(stream: &mut dyn Read) -> String {
    let (mut text, mut buffer) = (String::new(), [0; 1024]);
    while !text.trim_end_matches("\x1b[K").ends_with(PROMPT) {
        let len = stream.read(&mut buffer).expect("the monitor is connected");
        assert!(len > 0, "it ended after {text}");
        text += &String::from_utf8_lossy(&buffer[..len]);
    }
    text
}

#[test]
fn no_monitor_is_none() {
    let terminal = Terminal::new();
    let mut console = terminal.start(malta(&["--monitor", "none"]));
    console.expect(ROM);
    console.send("\x01c");
    console.expect("there is nothing else on this terminal");
    console.send("help reset\r");
    console.expect("SOFTRES");
    console.send("\x01x");
    assert_eq!(console.wait().code(), Some(0));
}

#[test]
fn bad_commands_say_why_and_change_nothing() {
    let mut console = piped(&["--deterministic"]);
    ask(&mut console, "stop");
    let before = ask(&mut console, "info registers");
    for (line, reason) in [
        (
            "stpo",
            "Error: unknown command: 'stpo'\ndid you mean `stop`?",
        ),
        ("info stat", "Error: unknown info: 'stat'\n"),
        (
            "help x y",
            "Error: too many arguments; usage: help|? [COMMAND]",
        ),
        ("cont now", "Error: too many arguments; usage: cont|c"),
        (
            "info status now",
            "Error: too many arguments; usage: info status",
        ),
        (
            "info registers sp 2",
            "Error: the CPU has no register and no group '2'",
        ),
        ("info registers epcc", "did you mean `epc`?"),
        ("cpu 1", "Error: there is no CPU 1: the board has one, 0"),
        ("cpu x", "Error: 'x' is no number and no symbol"),
        ("cpu 1+1", "Error: there is no CPU 2: the board has one, 0"),
        ("x 1 2", "Error: '1 2' is no number: what is '2'?"),
        ("print $nobody", "Error: the CPU has no register 'nobody'"),
        ("info device nobody", "Error: Device 'nobody' not found"),
        ("x 0x100", "Error: nothing translates the address 0x100"),
        ("info usernet", "here it is info network"),
        ("drive_add 0 x", "--disk; `change` has another disc"),
        ("info \"status", "Error: unterminated string"),
        ("help bogus", "Error: unknown command: 'bogus'"),
        ("", ""),
    ] {
        let said = ask(&mut console, line);
        assert!(said.contains(reason), "{line}: {said}");
        let newlines = said.matches('\n').count();
        assert!(newlines <= 3, "{line}: {said}");
    }
    assert_eq!(ask(&mut console, "info status"), "VM status: paused\n");
    assert_eq!(ask(&mut console, "info registers"), before);
    console.send("quit\n");
    assert_eq!(console.wait().code(), Some(0));
}

#[test]
fn each_cpu_can_be_looked_at() {
    let board = "[board]\nname = \"pair\"\n[dev.first]\nat = \"sys\"\n[dev.first.mips32-cpu]\n[dev.second]\nat = \"sys\"\n[dev.second.mips32-cpu]\nfpu = false\ncpu-num = 1\n";
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("pair.toml");
    fs::write(&path, board).expect("it can be written");
    let emulator = Emulator::ours_with(PROGRAM, &path.to_string_lossy());
    let mut console = Console::start(emulator.args(["-S", "--monitor", "stdio"]).command());
    console.expect(PROMPT);
    assert_eq!(
        ask(&mut console, "info cpus"),
        "* CPU #0: first, pc 0xbfc00000\n  CPU #1: second, pc 0xbfc00000\n"
    );
    assert!(ask(&mut console, "info registers").contains("fpu:"));
    assert_eq!(ask(&mut console, "cpu 1"), "");
    assert!(ask(&mut console, "info cpus").contains("\n* CPU #1: second"));
    assert!(!ask(&mut console, "info registers").contains("fpu:"));
    let said = ask(&mut console, "cpu 2");
    assert!(
        said.contains("there is no CPU 2: the board has 2, 0 to 1"),
        "{said}"
    );
    let jit = ask(&mut console, "info jit");
    assert_eq!(jit.matches("engine: ").count(), 2, "{jit}");
    assert!(jit.contains("CPU #1: second\nengine: "), "{jit}");
    console.send("quit\n");
    assert_eq!(console.wait().code(), Some(0));
}

#[test]
fn help_names_every_command_and_every_command_has_its_help() {
    let mut console = piped(&[]);
    let list = ask(&mut console, "help");
    assert_eq!(ask(&mut console, "?"), list);
    let mut names = BTreeSet::new();
    for line in list.lines() {
        let (usage, help) = line.split_once(" -- ").expect("a line for each");
        assert!(!help.is_empty());
        let name = usage.split([' ', '|']).next().expect("a name");
        let own = ask(&mut console, &format!("help {name}"));
        assert!(own.starts_with(line), "{own}");
        names.insert(name.to_owned());
    }
    let kinds = ask(&mut console, "info");
    for line in kinds.lines() {
        let (usage, _) = line.split_once(" -- ").expect("a line for each");
        let name = usage.split(" [").next().expect("a name");
        let (name, device) = match name.strip_suffix(" DEVICE") {
            Some(name) => (name, " piix4.pic"),
            None => (name, ""),
        };
        let said = ask(&mut console, &format!("{name}{device}"));
        assert!(
            !said.is_empty() && !said.contains("Error"),
            "{name}: {said}"
        );
        names.insert(name.to_owned());
    }
    // The document describes exactly these.
    let text =
        fs::read_to_string(guests::repository().join("docs/monitor.md")).expect("it is there");
    let (_, table) = text.split_once("| command |").expect("the table");
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
    let described = rows.map(|row| {
        let usage = row.split('`').next().expect("a row");
        let words: Vec<_> = usage.split(' ').collect();
        match words[..] {
            ["info", what, ..] if !what.starts_with('[') => format!("info {what}"),
            [name, ..] => name.to_owned(),
            [] => String::new(),
        }
    });
    assert_eq!(described.collect::<BTreeSet<_>>(), names);
    console.send("quit\n");
    assert_eq!(console.wait().code(), Some(0));
}

#[test]
fn a_machine_that_is_stopped_stands_still() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = folder.path().join("console");
    let backend = format!("serial0=file:{}", output.display());
    let mut console = piped(&["--backend", &backend]);
    let said = || fs::read_to_string(&output).expect("it is there");
    let start = Instant::now();
    while !said().ends_with(ROM) {
        assert!(start.elapsed() < PATIENCE, "{}", said());
        std::thread::sleep(Duration::from_millis(10));
    }
    ask(&mut console, "stop");
    let before = ask(&mut console, "info registers");
    ask(&mut console, "system_reset");
    let pc = ask(&mut console, "info registers");
    assert!(pc.contains("pc bfc00000") && pc != before, "{pc}");
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(ask(&mut console, "info registers"), pc);
    assert_eq!(said().matches("Solderless ROM").count(), 1);
    ask(&mut console, "c");
    while said().matches(ROM).count() < 2 {
        assert!(start.elapsed() < PATIENCE, "{}", said());
        std::thread::sleep(Duration::from_millis(10));
    }
    console.send("q\n");
    assert_eq!(console.wait().code(), Some(0));
    assert_eq!(said().matches("Solderless ROM").count(), 2);
}

#[test]
fn a_machine_can_start_standing_still() {
    let mut console = piped(&["-S"]);
    assert_eq!(ask(&mut console, "info status"), "VM status: paused\n");
    let registers = ask(&mut console, "info registers");
    assert!(registers.contains("pc bfc00000"), "{registers}");
    // The ROM's first instructions: what QEMU's monitor prints in the same form.
    let words = ask(&mut console, "xp /4xw 0x1fc00000");
    let rom =
        fs::read(guests::repository().join("machines/rom/malta-rom-le.bin")).expect("the ROM");
    let word = |at: usize| u32::from_le_bytes(rom[at..at + 4].try_into().expect("four bytes"));
    let mut expected = "000000001fc00000:".to_owned();
    for at in [0, 4, 8, 12] {
        expected += &format!(" {:#010x}", word(at));
    }
    assert_eq!(words, expected + "\n");
    let revision = "000000001fc00010: 0x00000420\n";
    assert_eq!(ask(&mut console, "xp / 0x1fc00010"), revision);
    assert_eq!(ask(&mut console, "xp/ 0x1fc00010"), revision);
    assert_eq!(ask(&mut console, "xp 0x1fc00010"), revision);
    assert_eq!(ask(&mut console, "xp/4xw 0x1fc00000"), words);
    assert_eq!(
        ask(&mut console, "xp /1ub 532676624"),
        "000000001fc00010: 32\n"
    );
    assert_eq!(
        ask(&mut console, "xp /2dh 0x1fc00010"),
        "000000001fc00010: 1056 0\n"
    );
    let bytes = ask(&mut console, "xp /17xb 0x0");
    assert_eq!(bytes.lines().count(), 2, "{bytes}");
    for (line, reason) in [
        ("xp 4xw 0", "'4xw' is no number"),
        ("xp /4xz 0", "'/4xz' is no format"),
        ("xp /99999999999x 0", "is no format"),
        ("xp /65537x 0", "65537 are too many to print; at most 65536"),
        ("xp /x ten", "'ten' is no number and no symbol"),
        ("xp /x", "too few arguments"),
        (
            "xp /2g 0xffffffffffffff00",
            "nothing answers at 0xffffffffffffff00",
        ),
    ] {
        let said = ask(&mut console, line);
        assert!(
            said.starts_with("Error: ") && said.contains(reason),
            "{line}: {said}"
        );
    }
    ask(&mut console, "c");
    assert_eq!(ask(&mut console, "info status"), "VM status: running\n");
    console.send("q\n");
    assert_eq!(console.wait().code(), Some(0));
}

#[test]
fn the_time_allowed_passes_while_the_machine_stands_still() {
    let mut console = piped(&["--max-time", "2s"]);
    ask(&mut console, "stop");
    assert_eq!(console.wait().code(), Some(124));
}

#[test]
fn a_reset_from_outside_ends_a_run_without_reboot() {
    let mut console = piped(&["--no-reboot"]);
    console.send("system_reset\n");
    assert_eq!(console.wait().code(), Some(0));
}

/// The whole numbers in a line that starts like this.
fn figures(text: &str, start: &str) -> Vec<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(start));
    let line = line.unwrap_or_else(|| panic!("no line {start:?} in {text}"));
    let words = line.split([' ', ',']);
    words.filter_map(|word| word.parse().ok()).collect()
}

#[test]
fn the_engine_says_what_it_has_done_and_stays_over_a_load() {
    let folder = tempfile::tempdir().expect("a folder");
    let snapshots = folder.path().display().to_string();
    // What there is without a word, and what is not that on any host with a code generator.
    let default = match cfg!(target_arch = "x86_64") {
        true => "jit",
        false => "interp",
    };
    for (args, engine) in [(&[][..], default), (&["--engine", "interp"], "interp")] {
        let mut console = piped(&[args, &["--snapshots", &snapshots]].concat());
        // Until the ROM has started.
        let text = loop {
            let text = ask(&mut console, "info jit");
            if figures(&text, "interpreter: ")[1] > 10_000 {
                break text;
            }
        };
        assert!(text.starts_with(&format!("engine: {engine}")), "{text}");
        let (interpreter, native) = (
            figures(&text, "interpreter: "),
            figures(&text, "generated code: "),
        );
        let (looked_up, compiled) = (figures(&text, "look-ups: "), figures(&text, "compiled: "));
        assert!(looked_up[0] > 0, "{text}");
        assert!(looked_up[1] >= interpreter[0] + native[0], "{text}");
        assert!(compiled[0] >= native[0], "{text}");
        let generated = [&native[..], &compiled[..2], &figures(&text, "entered: ")].concat();
        for figure in generated {
            assert_eq!(figure > 0, engine == "jit", "{text}");
        }
        assert_eq!(figures(&text, "invalidated: ").len(), 2, "{text}");
        for command in ["savevm here", "loadvm here"] {
            assert_eq!(ask(&mut console, command), "");
            let text = ask(&mut console, "info jit");
            assert!(text.starts_with(&format!("engine: {engine}")), "{text}");
        }
        console.send("quit\n");
        assert_eq!(console.wait().code(), Some(0));
    }
}

/// Works at the other end of a socket.
fn work(mut stream: impl Read + Write, last: bool) {
    assert!(until_prompt(&mut stream).contains("type 'help'"));
    stream.write_all(b"info ").expect("it is connected");
    stream
        .write_all(b"status\r\ninfo version\n")
        .expect("it is connected");
    assert!(until_prompt(&mut stream).starts_with("VM status: running\n"));
    if last {
        stream.write_all(b"quit\n").expect("it is connected");
    } else {
        // Half a command is none.
        stream.write_all(b"quit").expect("it is connected");
    }
}

#[test]
fn a_socket_is_a_monitor_and_its_users_may_come_and_go() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("monitor");
    let mut console = Console::start(malta(&[
        "--monitor",
        &format!("unix:{},server", path.display()),
    ]));
    console.expect(ROM);
    for last in [false, true] {
        let stream = eventually(|| UnixStream::connect(&path));
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        work(stream, last);
    }
    assert_eq!(console.wait().code(), Some(0));

    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let console = Console::start(malta(&["--monitor", &format!("tcp:{address},server")]));
    let stream = eventually(|| TcpStream::connect(address));
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    work(stream, true);
    assert_eq!(console.wait().code(), Some(0));
}

#[test]
fn the_monitor_connects_to_a_socket() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("monitor");
    let listener = UnixListener::bind(&path).expect("a socket");
    let console = Console::start(malta(&["--monitor", &format!("unix:{}", path.display())]));
    let (stream, _) = listener.accept().expect("it connects");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    work(stream, true);
    assert_eq!(console.wait().code(), Some(0));
}

#[test]
fn bad_places_for_a_monitor_are_refused() {
    let refused = |args: &[&str], reason: &str| {
        let output = malta(args).output().expect("it starts");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{errors}");
        assert!(errors.contains(reason), "{errors}");
        assert_eq!(output.stdout, b"");
    };
    refused(&["--monitor", "file:x"], "there are none, stdio, pty");
    refused(&["--monitor", "telepathy"], "there are none, stdio, pty");
    refused(&["--monitor", "unix:/no/such/socket"], "No such file");
    refused(
        &["--monitor", "stdio", "--backend", "serial0=stdio"],
        "the monitor and serial0 both want standard input and output",
    );
    assert!(!Path::new("x").exists());
}

/// A machine in a folder of its own, with its console on pipes and its monitor on a socket.
struct Pair {
    folder: tempfile::TempDir,
    console: Console,
    monitor: UnixStream,
}

impl Pair {
    fn start(folder: tempfile::TempDir, command: impl FnOnce(&str) -> Command) -> Self {
        let path = folder.path().join("monitor");
        let mut command = command(&format!("unix:{},server", path.display()));
        command.current_dir(folder.path());
        let console = Console::start(command);
        let mut monitor = eventually(|| UnixStream::connect(&path));
        monitor.set_read_timeout(Some(PATIENCE)).expect("a socket");
        until_prompt(&mut monitor);
        Self {
            folder,
            console,
            monitor,
        }
    }

    fn ask(&mut self, command: &str) -> String {
        let line = format!("{command}\n");
        self.monitor
            .write_all(line.as_bytes())
            .expect("it is connected");
        let said = until_prompt(&mut self.monitor);
        said.strip_suffix(PROMPT).expect("the prompt").to_owned()
    }

    /// A word of memory, as the guest sees it.
    fn word(&mut self) -> String {
        let line = self.console.run("md a0400000 1", ROM);
        let word = line.split_whitespace().nth(1).expect("a word");
        word.to_owned()
    }

    fn set_word(&mut self, value: &str) {
        self.console.run(&format!("mw a0400000 {value}"), ROM);
        assert_eq!(self.word(), value);
    }

    fn quit(mut self) -> tempfile::TempDir {
        self.monitor.write_all(b"quit\n").expect("it is connected");
        assert_eq!(self.console.wait().code(), Some(0));
        self.folder
    }
}

fn pair() -> Pair {
    let folder = tempfile::tempdir().expect("a folder");
    let mut pair = Pair::start(folder, |monitor| malta(&["--monitor", monitor]));
    pair.console.expect(ROM);
    pair
}

/// The lines of the document that save a machine: the command to the monitor, and the one that goes on.
fn documented() -> (String, String) {
    let text =
        fs::read_to_string(guests::repository().join("docs/monitor.md")).expect("it is there");
    let line = |start: &str| {
        let lines = text.lines().filter_map(|line| line.strip_prefix(start));
        lines.map(str::to_owned).next().expect("the line")
    };
    let migrate = format!("migrate {}", line("(solderless) migrate "));
    (migrate, line("$ solderless "))
}

#[test]
fn every_command_of_the_document_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("disc"), [0; 2048]).expect("a disc");
    let mut pair = Pair::start(folder, |monitor| {
        malta(&["-S", "--deterministic", "--monitor", monitor])
    });
    let text =
        fs::read_to_string(guests::repository().join("docs/monitor.md")).expect("it is there");
    // The session about memory, as it is there.
    let (_, session) = text.split_once("(solderless) print $pc").expect("it");
    let (session, _) = session.split_once("\n```").expect("its end");
    let session = format!("(solderless) print $pc{session}\n");
    for asked in session.split("(solderless) ").skip(1) {
        let (command, answer) = asked.split_once('\n').expect("a command");
        assert_eq!(pair.ask(command), answer, "{command}");
    }
    let (_, table) = text.split_once("| command |").expect("the table");
    let mut tried = 0;
    for row in table.lines().filter_map(|line| line.strip_prefix("| `")) {
        let usage = row.split('`').next().expect("a command");
        let words = usage.split(' ').filter_map(|word| match word {
            "INDEX" | "[CPU-INDEX]" => Some("0"),
            "ADDRESS" if usage.starts_with("xp") => Some("0x1fc00000"),
            "ADDRESS" => Some("0xbfc00000"),
            "[/FORMAT]" if usage.starts_with("print") => Some("/x"),
            "[/FORMAT]" => Some("/4xw"),
            "VALUE" if usage.starts_with("migrate") => Some("300"),
            "VALUE" if usage.starts_with("qom-set") => Some("malta"),
            "ID" => Some("serial1"),
            "BACKEND" => Some("file:characters"),
            "KEYS" => Some("ctrl-c"),
            "[HOLD-TIME]" => Some("100"),
            "VALUE" => Some("$pc+(4*2)"),
            "VAL" if usage.starts_with("pmemsave") => Some("0"),
            "VAL" => Some("0x80000000"),
            "SIZE" => Some("0x20000"),
            "FILENAME" if usage.starts_with("change") => Some("disc"),
            "FILENAME" => Some("memory"),
            "NAME" => Some("here"),
            "PATH" => Some("/machine"),
            "PROPERTY" => Some("board"),
            "DEVICE" if usage.starts_with("change") || usage.starts_with("eject") => Some("cdrom"),
            "DEVICE" => Some("piix4.pm"),
            "URI" => Some("file:moved"),
            "CAPABILITY" => Some("events"),
            "STATE" => Some("on"),
            "PATTERN" => Some("irq"),
            "[STATE]" => Some("off"),
            "PARAMETER" => Some("downtime-limit"),
            "[COMMAND]" | "[WHAT]" | "[NAME...]" | "[-f]" => None,
            "[FORMAT]" => Some("raw"),
            "[-a]" | "[-d]" => Some(&word[1..3]),
            word => Some(word),
        });
        let command = words.collect::<Vec<_>>().join(" ");
        tried += 1;
        if command == "quit" {
            continue;
        }
        let said = pair.ask(&command);
        // There is a machine here, and Malta has no screen.
        let refused = ["migrate_incoming", "screendump"];
        let refused = refused.iter().any(|name| command.starts_with(name));
        assert_eq!(said.starts_with("Error"), refused, "{command}: {said}");
        let about = pair.ask(&format!(
            "help {}",
            command.split(' ').next().expect("a word")
        ));
        assert!(about.contains(" -- "), "{about}");
    }
    assert!(tried > 30, "the commands were not found");
    let size = fs::metadata(pair.folder.path().join("memory"))
        .expect("it was written")
        .len();
    assert_eq!(size, 0x20000);
    pair.quit();
}

#[test]
fn a_machine_migrates_through_a_command_and_goes_on_elsewhere() {
    let (migrate, restore) = documented();
    let mut old = pair();
    old.set_word("12345678");
    assert_eq!(old.ask(&migrate), "");
    assert_eq!(old.ask("info status"), "VM status: paused\n");
    // The one that was saved can go on as well, and they have nothing to do with one another.
    old.ask("cont");
    old.set_word("00000001");
    let new = |monitor: &str| {
        let mut command = Command::new("sh");
        let line = format!("exec {PROGRAM} {restore} --monitor {monitor}");
        command.args(["-c", &line]);
        command
    };
    let mut new = Pair::start(old.quit(), new);
    assert_eq!(new.ask("info status"), "VM status: running\n");
    assert_eq!(new.word(), "12345678");
    new.quit();
}

#[test]
fn snapshots_are_saved_loaded_and_deleted_by_name() {
    let mut pair = pair();
    assert_eq!(
        pair.ask("info snapshots"),
        "There is no snapshot available.\n"
    );
    pair.set_word("00000001");
    assert_eq!(pair.ask("savevm before-test"), "");
    assert_eq!(pair.ask("info status"), "VM status: running\n");
    pair.set_word("00000002");
    assert_eq!(pair.ask("savevm \"after test\""), "");
    pair.set_word("00000003");
    for (name, word) in [("before-test", "00000001"), ("\"after test\"", "00000002")] {
        assert_eq!(pair.ask(&format!("loadvm {name}")), "");
        assert_eq!(pair.word(), word);
    }
    // A machine that stands still stands still as the snapshot's.
    pair.ask("stop");
    assert_eq!(pair.ask("loadvm before-test"), "");
    assert_eq!(pair.ask("info status"), "VM status: paused\n");
    let first = pair.ask("info registers");
    pair.ask("loadvm \"after test\"");
    assert_ne!(pair.ask("info registers"), first);
    pair.ask("loadvm before-test");
    assert_eq!(pair.ask("info registers"), first);
    pair.ask("cont");
    assert_eq!(pair.word(), "00000001");

    let list = pair.ask("info snapshots");
    let lines: Vec<_> = list.lines().collect();
    assert_eq!(lines.len(), 3, "{list}");
    assert!(lines[1].starts_with("after test ") && lines[2].starts_with("before-test"));
    assert_eq!(pair.ask("delvm before-test"), "");
    assert!(!pair.ask("info snapshots").contains("before-test"));
    let said = pair.ask("loadvm before-test");
    assert!(
        said.contains("Error: ") && said.contains("it has after test"),
        "{said}"
    );
    let folder = pair.quit();
    assert!(folder.path().join("snapshots/after test.snap").is_file());
}

#[test]
fn a_load_that_fails_is_not_noticed_by_the_machine() {
    let mut pair = pair();
    pair.set_word("00000007");
    pair.ask("savevm good");
    let folder = pair.folder.path().join("snapshots");
    let good = fs::read(folder.join("good.snap")).expect("it was saved");
    let mut bent = good.clone();
    let middle = good.len() / 2;
    bent[200] ^= 1;
    let write = |name: &str, bytes: &[u8]| fs::write(folder.join(name), bytes).expect("it can be");
    write("bent.snap", &bent);
    write("short.snap", &good[..middle]);
    write("empty.snap", b"");
    write("text.snap", b"Dear Sir or Madam");
    let other = Command::new(PROGRAM)
        .args([
            "run",
            "malta",
            "--ram",
            "32MiB",
            "--backend",
            "serial0=null",
            "--max-time",
            "10ms",
        ])
        .args(["--deterministic", "--save-on-exit"])
        .arg(format!("file:{}", folder.join("other.snap").display()))
        .output()
        .expect("it starts");
    assert_eq!(other.status.code(), Some(124));
    pair.set_word("00000008");
    pair.ask("stop");
    let before = pair.ask("info registers");
    for name in [
        "bent", "short", "empty", "text", "other", "none", "../good", "",
    ] {
        let said = pair.ask(&format!("loadvm \"{name}\""));
        assert!(said.starts_with("Error: "), "{name}: {said}");
    }
    for command in [
        "migrate nowhere",
        "migrate file:/no/such/folder/file",
        "migrate \"exec:cat > /no/such/folder/file\"",
        "migrate exec:false",
        "migrate unix:/no/such/socket",
        "savevm a/b",
        "savevm",
        "delvm none",
    ] {
        let said = pair.ask(command);
        assert!(said.starts_with("Error: "), "{command}: {said}");
    }
    assert_eq!(pair.ask("info registers"), before);
    pair.ask("cont");
    assert_eq!(pair.word(), "00000008");
    // One that fails leaves it running, too.
    assert!(pair.ask("migrate exec:false").starts_with("Error: "));
    assert_eq!(pair.ask("info status"), "VM status: running\n");
    assert_eq!(pair.ask("loadvm good"), "");
    assert_eq!(pair.word(), "00000007");
    pair.quit();
}

//! The terminal and the other places a console can be; how a run ends, and what is refused before one starts.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use rustix::termios::{LocalModes, Termios};
use solderless_testing::emulator::Emulator;
use solderless_testing::{Console, Endian, Terminal, guests};

const PROGRAM: &str = env!("CARGO_BIN_EXE_solderless");
const PROMPT: &str = "rom> ";
const PATIENCE: Duration = Duration::from_secs(300);

fn malta(args: &[&str]) -> Command {
    Emulator::ours(PROGRAM, Endian::Little).args(args).command()
}

/// Runs a command to its end: status, standard output, standard error.
fn output(mut command: Command) -> (Option<i32>, String, String) {
    let output = command
        .stdin(std::process::Stdio::null())
        .output()
        .expect("the program starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

/// A file of this test's own.
fn scratch(name: &str) -> PathBuf {
    let path = guests::cache().join(format!("terminal-{}-{name}", std::process::id()));
    let _ = fs::remove_file(&path);
    path
}

/// What of a terminal's settings a raw mode changes.
fn modes(settings: &Termios) -> impl PartialEq + std::fmt::Debug {
    (
        settings.input_modes,
        settings.output_modes,
        settings.control_modes,
        settings.local_modes,
    )
}

#[test]
fn the_terminal_is_as_it_was_after_every_way_out() {
    type Way = fn(&mut Console);
    let ways: [(&str, &[&str], Way, i32); 8] = [
        ("Ctrl-A x", &[], |c| c.send("\x01x"), 0),
        ("power off", &[], |c| c.send("poweroff\r"), 0),
        ("reset", &["--no-reboot"], |c| c.send("reset\r"), 0),
        ("SIGTERM", &[], |c| c.signal(Signal::TERM), 143),
        ("SIGINT", &[], |c| c.signal(Signal::INT), 130),
        ("SIGHUP", &[], |c| c.signal(Signal::HUP), 129),
        ("SIGQUIT", &[], |c| c.signal(Signal::QUIT), 131),
        ("time up", &["--max-time", "3s"], |_| {}, 124),
    ];
    for (name, args, way, status) in ways {
        let terminal = Terminal::new();
        let before = terminal.settings();
        assert!(
            before
                .local_modes
                .contains(LocalModes::ECHO | LocalModes::ICANON)
        );
        let mut console = terminal.start(malta(args));
        console.expect(PROMPT);
        let raw = terminal.settings();
        assert!(
            !raw.local_modes
                .intersects(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG),
            "{name}"
        );
        way(&mut console);
        let ended = console.wait();
        assert_eq!(ended.code(), Some(status), "{name}: {}", ended.output);
        assert_eq!(modes(&terminal.settings()), modes(&before), "{name}");
    }
}

#[test]
fn the_terminal_is_as_it_was_after_any_signal() {
    // SIGKILL and SIGSTOP cannot be caught, and after a fault nothing can go on. The C library has 32 and 33.
    let faults = [Signal::ILL, Signal::BUS, Signal::FPE, Signal::SEGV];
    let others = [
        Signal::KILL,
        Signal::STOP,
        Signal::TSTP,
        Signal::TTIN,
        Signal::TTOU,
    ];
    let silent = [
        Signal::CHILD,
        Signal::CONT,
        Signal::PIPE,
        Signal::URG,
        Signal::XFSZ,
        Signal::WINCH,
    ];
    let numbers = |signals: &[Signal]| Vec::from_iter(signals.iter().map(|s| s.as_raw()));
    let [faults, others, silent] = [&faults[..], &others, &silent].map(numbers);
    let way = |number: i32| {
        let terminal = Terminal::new();
        let before = terminal.settings();
        let mut console = terminal.start(malta(&[]));
        console.expect(PROMPT);
        // Those of real time have no name.
        let kill = format!("kill -{number} {}", console.id());
        let status = Command::new("sh").args(["-c", &kill]).status();
        assert!(status.expect("a shell").success(), "{kill}");
        if silent.contains(&number) {
            // It has nothing to say, and the machine goes on.
            console.run("help reset", PROMPT);
            console.signal(Signal::TERM);
            assert_eq!(console.wait().code(), Some(143), "{number}");
        } else {
            assert_eq!(console.wait().code(), Some(128 + number), "{number}");
        }
        assert_eq!(modes(&terminal.settings()), modes(&before), "{number}");
    };
    let all = (1..32).chain(34..65);
    let all: Vec<i32> = all
        .filter(|n| !faults.contains(n) && !others.contains(n))
        .collect();
    std::thread::scope(|scope| {
        for some in all.chunks(all.len() / 4 + 1) {
            scope.spawn(|| some.iter().copied().for_each(way));
        }
    });
}

#[test]
fn a_stopped_program_leaves_the_terminal_as_it_was() {
    let terminal = Terminal::new();
    let before = terminal.settings();
    let mut console = terminal.start(malta(&[]));
    console.expect(PROMPT);
    let raw = terminal.settings();
    let until = |wanted: &Termios| {
        let start = Instant::now();
        while modes(&terminal.settings()) != modes(wanted) {
            assert!(start.elapsed() < PATIENCE, "the terminal stays as it was");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    for _ in 0..2 {
        console.signal(Signal::TSTP);
        until(&before);
        console.signal(Signal::CONT);
        until(&raw);
        console.run("help reset", PROMPT);
    }
    console.signal(Signal::TERM);
    assert_eq!(console.wait().code(), Some(143));
    assert_eq!(modes(&terminal.settings()), modes(&before));
}

#[test]
fn the_escape_key_reaches_the_program_and_all_others_the_guest() {
    let terminal = Terminal::new();
    let mut console = terminal.start(malta(&[]));
    console.expect(PROMPT);
    console.send("\x01h");
    for line in [
        "Ctrl-A h",
        "Ctrl-A x",
        "Ctrl-A b",
        "Ctrl-A c",
        "Ctrl-A Ctrl-A",
    ] {
        console.expect(line);
    }
    // The ROM takes Ctrl-C as giving up a line; a terminal that were not raw would make a signal of it.
    console.send("bogus\x03");
    console.expect("^C");
    console.expect(PROMPT);
    console.send("help reset\r");
    console.expect("SOFTRES");
    console.expect(PROMPT);
    console.send("\x01x");
    assert_eq!(console.wait().code(), Some(0));
}

#[test]
fn pipes_are_a_console_and_their_end_is_not_the_machines() {
    let mut console = Console::start(malta(&[]));
    console.expect(PROMPT);
    console.send("md 80001000 1\r");
    console.close_input();
    console.expect(PROMPT);
    std::thread::sleep(Duration::from_millis(200));
    console.signal(Signal::TERM);
    let ended = console.wait();
    assert_eq!(ended.code(), Some(143));
    assert_eq!(ended.errors, "", "a run that is not asked to says nothing");
}

#[test]
fn input_that_is_there_before_the_guest_is_not_lost() {
    let mut console = Console::start(malta(&[]));
    console.send("help reset\r");
    console.send(&"help poweroff\r".repeat(40));
    console.send("poweroff\r");
    let ended = console.wait();
    assert_eq!(ended.code(), Some(0));
    assert_eq!(
        ended.output.matches("SUS_EN").count(),
        40,
        "{}",
        ended.output
    );
}

#[test]
fn a_reader_that_goes_away_ends_the_program() {
    let mut child = malta(&[])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("it starts");
    drop(child.stdout.take());
    let start = Instant::now();
    let status = loop {
        match child.try_wait().expect("a child") {
            Some(status) => break status,
            None if start.elapsed() > PATIENCE => {
                child.kill().expect("it runs");
                panic!("it went on");
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    assert_eq!(status.code(), Some(141));
}

#[test]
fn time_and_reset_end_a_run_that_is_told_so() {
    let (status, out, errors) = output(malta(&["--max-time", "3s"]));
    assert_eq!((status, errors.as_str()), (Some(124), ""));
    assert!(out.contains(PROMPT), "{out}");
    let (status, out, _) = output(malta(&[
        "--deterministic",
        "--max-time",
        "2s",
        "--backend",
        "serial0=null",
    ]));
    assert_eq!((status, out.as_str()), (Some(124), ""));
}

#[test]
fn logs_are_there_for_those_who_ask() {
    let (status, _, errors) = output(malta(&[
        "-v",
        "--deterministic",
        "--max-time",
        "100ms",
        "--state-hash",
    ]));
    assert_eq!(status, Some(124));
    assert!(
        errors.contains("bios: ") && errors.contains("state "),
        "{errors}"
    );
}

#[test]
fn a_console_goes_to_a_file() {
    let path = scratch("file");
    let backend = format!("serial0=file:{}", path.display());
    let (status, out, errors) = output(malta(&[
        "--backend",
        &backend,
        "--deterministic",
        "--max-time",
        "2s",
    ]));
    assert_eq!((status, out.as_str(), errors.as_str()), (Some(124), "", ""));
    let text = fs::read_to_string(&path).expect("the file is there");
    assert!(
        text.contains("Solderless ROM") && text.ends_with(PROMPT),
        "{text}"
    );
    fs::remove_file(path).expect("the file is there");
}

/// Reads until the prompt comes.
fn until_prompt(stream: &mut dyn Read) -> String {
    let (mut text, mut buffer) = (Vec::new(), [0; 1024]);
    while !text.ends_with(PROMPT.as_bytes()) {
        let len = stream.read(&mut buffer).expect("the console is connected");
        assert!(len > 0, "it ended after {}", String::from_utf8_lossy(&text));
        text.extend(&buffer[..len]);
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// Works at the other end of a socket, to the end of the machine.
fn work(mut stream: impl Read + Write, console: Console) {
    stream
        .write_all(b"\rhelp reset\r")
        .expect("the console is connected");
    while !until_prompt(&mut stream).contains("SOFTRES") {}
    stream
        .write_all(b"poweroff\r")
        .expect("the console is connected");
    let ended = console.wait();
    assert_eq!((ended.code(), ended.output.as_str()), (Some(0), ""));
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
fn a_console_goes_to_a_socket() {
    let path = scratch("connect");
    let listener = UnixListener::bind(&path).expect("a socket");
    listener.set_nonblocking(true).expect("a socket");
    let console = Console::start(malta(&[
        "--backend",
        &format!("serial0=unix:{}", path.display()),
    ]));
    let (mut stream, _) = eventually(|| listener.accept());
    stream.set_nonblocking(false).expect("a socket");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    assert!(until_prompt(&mut stream).contains("Solderless ROM"));
    work(stream, console);
    fs::remove_file(path).expect("the socket is there");

    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    listener.set_nonblocking(true).expect("a socket");
    let port = listener.local_addr().expect("an address").port();
    let console = Console::start(malta(&[
        "--backend",
        &format!("serial0=tcp:127.0.0.1:{port}"),
    ]));
    let (mut stream, _) = eventually(|| listener.accept());
    stream.set_nonblocking(false).expect("a socket");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    assert!(until_prompt(&mut stream).contains("Solderless ROM"));
    work(stream, console);
}

#[test]
fn a_console_is_a_socket_and_its_users_may_come_and_go() {
    let path = scratch("listen");
    let console = Console::start(malta(&[
        "--backend",
        &format!("serial0=unix:{},server", path.display()),
    ]));
    let mut first = eventually(|| UnixStream::connect(&path));
    first.set_read_timeout(Some(PATIENCE)).expect("a socket");
    first.write_all(b"\r").expect("it is connected");
    until_prompt(&mut first);
    drop(first);
    // The second is served once the first one's end was noticed.
    let mut second = eventually(|| UnixStream::connect(&path));
    second.set_read_timeout(Some(PATIENCE)).expect("a socket");
    second.write_all(b"\r").expect("it is connected");
    until_prompt(&mut second);
    work(second, console);
    let _ = fs::remove_file(path);

    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let console = Console::start(malta(&[
        "--backend",
        &format!("serial0=tcp:{address},server"),
    ]));
    let mut stream = eventually(|| TcpStream::connect(address));
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    stream.write_all(b"\r").expect("it is connected");
    until_prompt(&mut stream);
    work(stream, console);
}

#[test]
fn a_console_is_a_new_pseudo_terminal() {
    let mut child = malta(&["--backend", "serial0=pty"])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut errors = std::io::BufReader::new(child.stderr.take().expect("it is a pipe"));
    let mut line = String::new();
    std::io::BufRead::read_line(&mut errors, &mut line).expect("the name is printed");
    let name = line
        .trim()
        .strip_prefix("serial0 is ")
        .expect("the name is printed");
    let mut terminal = fs::File::options()
        .read(true)
        .write(true)
        .open(name)
        .expect("it can be opened");
    terminal.write_all(b"\r").expect("it is open");
    until_prompt(&mut terminal);
    terminal.write_all(b"poweroff\r").expect("it is open");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}

#[test]
fn bad_input_is_refused_before_anything_starts() {
    let file = |name: &str, content: &[u8]| {
        let path = scratch(name);
        fs::write(&path, content).expect("the cache can be written to");
        path.display().to_string()
    };
    let text = file("text", b"#!/bin/sh\n");
    let packed = file("packed", &[0x1f, 0x8b, 8, 0]);
    let empty = file("empty", b"");
    let cut = file("cut", b"\x7fELF\x01\x01\x01");
    let host = fs::read(PROGRAM).expect("the program can be read");
    let host = file("host", &host[..host.len().min(4096)]);
    let huge = file("huge", &vec![0x24; 5 << 20]);
    let elf = file("elf", b"\x7fELF\x01\x01\x01 and more");
    let taken = guests::cache().display().to_string();
    let cases: &[(&[&str], &str)] = &[
        (&["--kernel", "/no/such/file"], "No such file"),
        (&["--kernel", &taken], "directory"),
        (&["--kernel", &text], "not an ELF file"),
        (&["--kernel", &packed], "unpack it first"),
        (&["--kernel", &empty], "empty"),
        (&["--kernel", &cut], "ELF"),
        (&["--kernel", &host], "64-bit"),
        (&["--firmware", &empty], "empty"),
        (&["--firmware", &elf], "--kernel"),
        (&["--firmware", &huge], "has more than 4MiB"),
        (&["--firmware", "/no/such/file"], "No such file"),
        (
            &["--firmware", &text, "--kernel", &text],
            "boots without firmware",
        ),
        (&["--append", "quiet"], "--kernel"),
        (&["--initrd", &text], "--kernel"),
        (&["--backend", "serial0"], "SLOT=BACKEND"),
        (&["--backend", "serial9=null"], "serial0"),
        (&["--backend", "serial0=telepathy"], "unknown backend"),
        (
            &["--backend", "serial0=file:/no/such/folder/file"],
            "No such file",
        ),
        (
            &["--backend", "serial0=unix:/no/such/socket"],
            "No such file",
        ),
        (
            &["--backend", "serial0=stdio", "--backend", "serial1=stdio"],
            "both want standard input",
        ),
        (&["--max-time", "soon"], "--max-time"),
        (&["--ram", "lots"], "lots"),
        (&["--ram", "16GiB"], "16GiB"),
        (&["--cpu", "R4000"], "R4000"),
        (&["--set", "param.rma=64MiB"], "ram"),
        (&["--set", "com1.colour=blue"], "colour"),
        (&["--frobnicate"], "--frobnicate"),
    ];
    for (args, reason) in cases {
        let (status, out, errors) = output(malta(args));
        assert_eq!((status, out.as_str()), (Some(2), ""), "{args:?}: {errors}");
        assert!(
            errors.contains(reason),
            "{args:?}: {reason} is not in {errors}"
        );
        assert!(!errors.contains("panicked"), "{args:?}: {errors}");
    }
    for path in [&text, &packed, &empty, &cut, &host, &huge, &elf] {
        fs::remove_file(path).expect("the file is there");
    }
}

#[test]
fn an_unknown_board_is_refused_with_the_known_ones() {
    for (board, reason) in [
        ("maltta", "malta"),
        ("./no/such/board.toml", "No such file"),
    ] {
        let mut command = Command::new(PROGRAM);
        command.args(["run", board]);
        let (status, out, errors) = output(command);
        assert_eq!((status, out.as_str()), (Some(2), ""), "{board}");
        assert!(errors.contains(reason), "{board}: {errors}");
    }
}

#[test]
fn a_kernel_of_the_other_byte_order_or_size_is_refused() {
    for (board, program) in [(Endian::Little, Endian::Big), (Endian::Big, Endian::Little)] {
        let Some(elf) = guests::bare_metal("hello.S", program, 0x8010_0000) else {
            return;
        };
        let (status, _, errors) = output(Emulator::ours(PROGRAM, board).kernel(&elf).command());
        assert_eq!(status, Some(2));
        assert!(
            errors.contains("-endian, but the board's CPU is"),
            "{errors}"
        );
    }
    let Some(linux) = guests::linux() else { return };
    let (status, _, errors) = output(
        Emulator::ours(PROGRAM, Endian::Little)
            .ram(32)
            .linux(&linux, "")
            .command(),
    );
    assert_eq!(status, Some(2));
    assert!(
        errors.contains("do not fit") && errors.contains("--ram"),
        "{errors}"
    );
}

#[test]
fn a_bare_metal_program_runs_in_both_byte_orders() {
    for endian in Endian::BOTH {
        let Some(elf) = guests::bare_metal("hello.S", endian, 0x8010_0000) else {
            return;
        };
        assert!(Path::new(&elf).is_file());
        let (status, out, errors) = output(
            Emulator::ours(PROGRAM, endian)
                .kernel(&elf)
                .args(["--append", "a b"])
                .command(),
        );
        assert_eq!(
            (status, out.as_str(), errors.as_str()),
            (Some(0), "Hello: a b\n", ""),
            "{endian:?}"
        );
    }
}

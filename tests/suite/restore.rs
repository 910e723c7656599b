//! Saving and restoring from the command line, with real guests.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use solderless::compose::{self, Options};
use solderless::machine::{Fittings, Machine};
use solderless::state::{Description, Stream, Uri, forever, save};
use solderless_model::testing::Noise;
use solderless_testing::emulator::Emulator;
use solderless_testing::{Console, Endian, Terminal, guests};

const PROGRAM: &str = env!("CARGO_BIN_EXE_solderless");
const PROMPT: &str = "~ # ";

fn uri(kind: &str, path: &Path) -> String {
    format!("{kind}{}", path.display())
}

/// Ends a run that saves its machine.
fn end(console: Console) {
    console.signal(Signal::TERM);
    let ended = console.wait();
    assert_eq!(ended.code(), Some(128 + 15), "{}", ended.errors);
    assert_eq!(ended.errors, "");
}

/// Goes on from a save, and saves again at the end.
fn restore(from: &str, to: Option<&str>) -> Console {
    let mut command = Command::new(PROGRAM);
    command.args(["run", "--restore", from]);
    if let Some(to) = to {
        command.args(["--save-on-exit", to]);
    }
    Console::start(command)
}

/// What the guest's loop comes to.
fn sum(rounds: u64) -> u64 {
    (1..=rounds).fold(0, |sum, i| (sum * 31 + i) % 1_000_003)
}

#[test]
fn debian_goes_on_from_the_middle_of_its_work() {
    const ROUNDS: u64 = 6000;
    let Some(linux) = guests::linux() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let first = uri("file:", &folder.path().join("first.snap"));
    let packed = folder.path().join("second.snap.gz");
    let mut console = Console::start(
        Emulator::ours(PROGRAM, Endian::Little)
            .ram(256)
            .linux(&linux, "console=ttyS0 rdinit=/bin/sh")
            .args(["--save-on-exit", &first])
            .command(),
    );
    console.expect(PROMPT);
    for command in [
        "stty columns 400; dmesg -n 1; mount -t proc p /proc",
        "mkdir -p /t/a/b; cp /bin/busybox /t/a/x; for i in 1 2 3 4 5 6 7 8; do mkdir /t/a/b/$i; echo $i > /t/a/b/$i/f; done",
    ] {
        assert_eq!(console.run(command, PROMPT), "", "{command}");
    }
    let tree = "md5sum /t/a/x /t/a/b/*/f";
    let files = console.run(tree, PROMPT);
    assert_eq!(files.lines().count(), 9, "{files}");
    let uptime = |text: String| {
        text.split(['.', ' '])
            .next()
            .and_then(|s| s.parse::<u64>().ok())
    };
    let before = uptime(console.run("cat /proc/uptime", PROMPT)).expect("seconds");

    console.send(&format!(
        "i=0; s=0; while [ $i -lt {ROUNDS} ]; do i=$((i+1)); s=$(((s*31+i)%1000003)); [ $i = {} ] && echo half; done; echo sum $s\r",
        ROUNDS / 2
    ));
    // The echo of the command has the word too.
    console.expect("sum $s");
    console.expect("half");
    end(console);

    let mut console = restore(
        &first,
        Some(&format!("exec:gzip -1 -c > {}", packed.display())),
    );
    let rest = console.expect(PROMPT);
    assert!(rest.contains(&format!("sum {}", sum(ROUNDS))), "{rest}");
    assert_eq!(console.run(tree, PROMPT), files);
    let after = uptime(console.run("cat /proc/uptime", PROMPT)).expect("seconds");
    assert!(
        (before..before + 300).contains(&after),
        "{before} s, then {after} s"
    );
    assert_eq!(console.run("sleep 1; echo awake", PROMPT), "awake\n");
    // Idle when it is saved: it has to be woken by its timer and by keys.
    end(console);

    let mut console = restore(&format!("exec:gzip -dc {}", packed.display()), None);
    assert_eq!(console.run("echo $((6 * 7))", PROMPT), "42\n");
    assert_eq!(console.run(tree, PROMPT), files);
    assert_eq!(console.run("sleep 1; echo awake", PROMPT), "awake\n");
    // The stream has the kernel, so a reset starts it again.
    console.send("reboot -f\r");
    let again = console.expect(PROMPT);
    assert!(again.contains("Linux version 6.1"), "{again}");
    console.send("poweroff -f\r");
    assert_eq!(console.wait().code(), Some(0));
}

#[test]
fn debian_migrates_from_one_terminal_to_another() {
    const MONITOR: &str = "(solderless) ";
    let Some(linux) = guests::linux() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Emulator::ours(PROGRAM, Endian::Little)
        .ram(256)
        .linux(&linux, "console=ttyS0 rdinit=/bin/sh")
        .command();
    command.current_dir(folder.path());
    let terminal = Terminal::new();
    let mut console = terminal.start(command);
    console.expect(PROMPT);
    assert_eq!(
        console.run("x=$((3 * 7)); mkdir /t; echo file > /t/f", PROMPT),
        ""
    );
    // The guest is in the middle of something, too.
    console.send("(sleep 2; echo $x > /t/late) & sleep 1; echo slept\r");
    console.expect("echo slept");
    console.send("\x01c");
    console.expect(MONITOR);
    console.send("migrate \"exec:gzip -c > STATEFILE.gz\"\r");
    console.expect("STATEFILE.gz");
    console.expect(MONITOR);
    console.send("info status\r");
    console.expect("VM status: paused");
    console.expect(MONITOR);
    console.send("quit\r");
    assert_eq!(console.wait().code(), Some(0));

    let mut command = Command::new(PROGRAM);
    command.args(["run", "--restore", "exec:gzip -dc STATEFILE.gz"]);
    command.current_dir(folder.path());
    let terminal = Terminal::new();
    let mut console = terminal.start(command);
    console.expect("slept");
    console.expect(PROMPT);
    let run = "wait; echo $((x * 2)) $(cat /t/f /t/late)";
    assert_eq!(console.run(run, PROMPT), "42 file 21\n");
    console.send("poweroff -f\r");
    assert_eq!(console.wait().code(), Some(0));
}

/// Runs the program to its end: its standard error.
fn ran(args: &[&str], status: i32) -> String {
    let output = Command::new(PROGRAM)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("the program");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(status), "{args:?}\n{errors}");
    errors
}

#[test]
fn linux_boots_alike_with_and_without_breaks() {
    let Some(linux) = guests::linux() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let kernel = linux.kernel.display().to_string();
    let file = uri("file:", &folder.path().join("x.snap"));
    let always = ["--deterministic", "--state-hash", "--max-time"];
    let start = [
        &[
            "run",
            "malta",
            "--ram",
            "64MiB",
            "--kernel",
            &kernel,
            "--append",
            "console=ttyS0",
        ],
        &always[..],
    ]
    .concat();
    let second = uri("file:", &folder.path().join("y.snap"));
    // The kernel unpacks itself for 6 s, and looks for its root file system at 13 s.
    let whole = ran(
        &[&start[..], &["13510ms", "--save-on-exit", &second]].concat(),
        124,
    );
    ran(
        &[&start[..], &["12310ms", "--save-on-exit", &file]].concat(),
        124,
    );
    let on = |file: &str, time: &str| {
        let args = ["run", "--restore", file, "--save-on-exit", file];
        ran(&[&args[..], &always, &[time]].concat(), 124)
    };
    let cut: Vec<_> = (0..12).map(|_| on(&file, "100ms")).collect();
    // The last instruction of a run may end behind its time: both go on to the same instant.
    let left = |text: &str| {
        let time = text.trim().rsplit(' ').nth(1).expect("a time");
        13_520_000_000 - time.parse::<u64>().expect("a number")
    };
    let whole = on(&second, &format!("{}ns", left(&whole)));
    let cut = on(&file, &format!("{}ns", left(&cut[11])));
    assert_eq!(whole, cut);
}

#[test]
fn every_way_to_carry_a_stream_brings_the_same_machine() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let (file, socket) = (uri("file:", &at("x")), uri("unix:", &at("socket")));
    let run = [
        "run",
        "--deterministic",
        "--backend",
        "serial0=null",
        "--max-time",
    ];
    let save = |to: &str| {
        let args = [
            &run[..],
            &["5ms", "malta", "--ram", "16MiB", "--save-on-exit", to],
        ]
        .concat();
        ran(&args, 124)
    };
    let load = |from: &str| {
        ran(
            &[&run[..], &["5ms", "--state-hash", "--restore", from]].concat(),
            124,
        )
    };
    save(&file);
    let state = load(&file);
    save(&format!("exec:cat > {}", at("y").display()));
    assert_eq!(load(&uri("file:", &at("y"))), state);
    assert_eq!(load(&format!("exec:cat {}", at("x").display())), state);
    // A descriptor: the shell opens it.
    let fd = |redirect: String, args: &[&str]| {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", &format!("exec \"$@\" {redirect}"), "sh", PROGRAM]);
        let output = shell
            .args(args)
            .stdin(Stdio::null())
            .output()
            .expect("a shell");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let args = [
        &run[..],
        &["5ms", "malta", "--ram", "16MiB", "--save-on-exit", "fd:7"],
    ]
    .concat();
    assert_eq!(fd(format!("7> {}", at("z").display()), &args), "");
    let args = [&run[..], &["5ms", "--state-hash", "--restore", "fd:8"]].concat();
    assert_eq!(fd(format!("8< {}", at("z").display()), &args), state);
    // A socket: the one that restores listens.
    for place in [socket.as_str(), "tcp:127.0.0.1:45831"] {
        let listener = Command::new(PROGRAM)
            .args(run)
            .args(["5ms", "--state-hash", "--restore", place])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program");
        let begin = Instant::now();
        let args = [
            &run[..],
            &["5ms", "malta", "--ram", "16MiB", "--save-on-exit", place],
        ]
        .concat();
        loop {
            let output = Command::new(PROGRAM)
                .args(&args)
                .stdin(Stdio::null())
                .output();
            if output.expect("the program").status.code() == Some(124) {
                break;
            }
            assert!(
                begin.elapsed() < Duration::from_secs(60),
                "nobody listens at {place}"
            );
        }
        let output = listener.wait_with_output().expect("the program");
        assert_eq!(String::from_utf8_lossy(&output.stderr), state, "{place}");
    }
}

#[test]
fn what_cannot_be_saved_or_loaded_ends_with_a_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x");
    let file = uri("file:", &path);
    let save = [
        "run",
        "malta",
        "--ram",
        "16MiB",
        "--max-time",
        "1ms",
        "--backend",
        "serial0=null",
        "--save-on-exit",
    ];
    let load = ["run", "--restore"];
    for (place, reason) in [
        ("file:/nonexistent/x", "was not saved"),
        ("exec:exit 3", "exit status: 3"),
    ] {
        // Something was started.
        let errors = ran(&[&save[..], &[place]].concat(), 3);
        assert!(errors.contains(reason), "{place}: {errors}");
    }
    for (args, reason) in [
        ([&save[..], &["http:x"]].concat(), "there are file:PATH"),
        ([&load[..], &[file.as_str()]].concat(), "No such file"),
        ([&load[..], &["exec:true"]].concat(), "cut short"),
        ([&load[..], &["exec:echo no stream of any kind, but long enough to be one, which would have ninety-six bytes at least"]].concat(), "no stream"),
        ([&load[..], &["fd:99"]].concat(), "descriptor 99"),
    ] {
        let errors = ran(&args, 2);
        assert!(errors.contains(reason), "{args:?}: {errors}");
    }
    assert!(!path.exists());
    ran(&[&save[..], &[file.as_str()]].concat(), 124);
    let errors = ran(&["run", "malta", "--ram", "32MiB", "--restore", &file], 2);
    let remedy = "ram.size is \"32MiB\" by ";
    assert!(errors.contains(remedy), "{errors}");
    assert!(errors.contains("; \"16MiB\" would fit"), "{errors}");
    let errors = ran(&["run", "--restore", &file, "--kernel", "x"], 2);
    assert!(errors.contains("cannot be used with"), "{errors}");
}

#[test]
fn a_command_that_has_sent_a_whole_stream_is_not_waited_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x");
    let start = ["run", "mipssim", "--max-time", "1ms", "--save-on-exit"];
    ran(&[&start[..], &[&uri("file:", &path)]].concat(), 124);
    let send = |behind: &str| format!("exec:cat {}; {behind}", path.display());
    let load = |from: &str, status| {
        let begin = Instant::now();
        let errors = ran(&["run", "--max-time", "1ms", "--restore", from], status);
        assert!(
            begin.elapsed() < Duration::from_secs(30),
            "{from} was waited for"
        );
        errors
    };
    // What goes on must not hold the pipe of the messages, which the test reads to its end.
    for behind in [
        "exec sleep 60 2>&-",
        "exit 3",
        "trap '' PIPE; exec sleep 60 2>&-",
    ] {
        load(&send(behind), 124);
    }
    let errors = load("exec:echo too short; exec >&-; exec sleep 60 2>&-", 2);
    assert!(errors.contains("cut short"), "{errors}");
}

#[test]
fn a_file_that_may_not_grow_is_an_error_of_the_save() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = format!(
        "ulimit -f 10; exec {PROGRAM} run malta --ram 16MiB --backend serial0=null --monitor stdio --save-on-exit file:x"
    );
    let mut command = Command::new("bash");
    command.args(["-c", &run]).current_dir(folder.path());
    let mut console = Console::start(command);
    console.send("savevm x\n");
    console.expect("was not saved");
    console.send("info status\n");
    console.expect("running");
    console.send("quit\n");
    let ended = console.wait();
    assert!(ended.errors.contains("File too large"), "{}", ended.errors);
    assert!(ended.code().is_some(), "a signal ended it");
    assert!(!folder.path().join("x").exists());
    let left = std::fs::read_dir(folder.path().join("snapshots")).expect("the folder");
    assert_eq!(left.count(), 0, "something of the save is left");
}

#[test]
fn what_is_saved_is_nobody_elses_to_read() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x");
    let save = uri("file:", &path);
    let run = [
        "run",
        "mipssim",
        "--max-time",
        "1ms",
        "--save-on-exit",
        &save,
    ];
    let mode = || {
        let about = std::fs::metadata(&path).expect("it is there");
        about.permissions().mode() & 0o777
    };
    ran(&run, 124);
    assert_eq!(mode(), 0o600);
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).expect("it is ours");
    ran(&run, 124);
    assert_eq!(mode(), 0o640);
    let link = folder.path().join("link");
    std::os::unix::fs::symlink("nowhere", &link).expect("a link");
    let errors = ran(&[&run[..5], &[&uri("file:", &link)]].concat(), 3);
    assert!(
        errors.contains("it is a link to nowhere, which is not there"),
        "{errors}"
    );
}

#[test]
fn a_save_that_is_killed_leaves_the_old_file_or_the_new() {
    let folder = tempfile::tempdir().expect("a folder");
    let (base, place) = (folder.path().join("base"), folder.path().join("x"));
    // Enough memory in use that a save takes a while.
    let text = "[board]\nname = \"full\"\n[dev.ram]\nat = \"sys:0\"\n[dev.ram.ram]\nsize = \"16MiB\"\n[dev.cpu]\nat = \"sys\"\n[dev.cpu.mips32-cpu]\n";
    let loaded = compose::open_text("full", text, &Options::default());
    let loaded = loaded.unwrap_or_else(|e| panic!("{}", e.render(false)));
    let mut machine = Machine::new(&loaded.plan, Fittings::default()).expect("a machine");
    let mut noise = Noise(1);
    for at in (0..16 << 20).step_by(512) {
        machine
            .load(at, &noise.draw().to_le_bytes())
            .expect("memory");
    }
    let description = Description::new(&loaded);
    save(
        &machine,
        &description,
        &Uri::File(base.clone()),
        &mut |_, _| {},
        &mut forever,
    )
    .expect("a file");
    let old = std::fs::read(&base).expect("the file");
    let start = || {
        let mut command = Command::new(PROGRAM);
        command
            .args(["run", "--deterministic", "--max-time", "1us", "--restore"])
            .arg(uri("file:", &base))
            .args(["--save-on-exit", &uri("file:", &place)])
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        command.spawn().expect("the program")
    };
    let begin = Instant::now();
    assert_eq!(start().wait().expect("it ends").code(), Some(124));
    let whole = begin.elapsed();
    let new = std::fs::read(&place).expect("the file");
    assert!(new != old);
    let (mut kept, mut replaced) = (0, 0);
    for _ in 0..100 {
        std::fs::write(&place, &old).expect("the file");
        let mut child = start();
        std::thread::sleep(whole.mul_f64(noise.below(1200) as f64 / 1000.0));
        child.kill().expect("a child");
        child.wait().expect("a child");
        let found = std::fs::read(&place).expect("the file is there");
        if found == old {
            kept += 1;
        } else {
            assert!(found == new, "neither the old file nor the new");
            replaced += 1;
        }
    }
    assert!(kept > 0 && replaced > 0, "{kept} kept, {replaced} replaced");
    let left = std::fs::read_dir(folder.path())
        .expect("the folder")
        .count();
    assert!(left <= 3, "{left} files are left over");
    assert!(Stream::open(&Uri::File(place), &mut |_, _| {}, &mut forever).is_ok());
}

#[test]
fn compat_names_what_prevents_a_load_and_where_the_board_has_it_from() {
    let compat = |args: &[&str]| {
        let output = Command::new(PROGRAM).arg("compat").args(args).output();
        let output = output.expect("the program");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), text)
    };
    let (status, text) = compat(&["malta@1", "malta@2"]);
    assert_eq!(status, Some(1), "{text}");
    for line in [
        "malta@1 does not load into malta@2:",
        "piix4.rtc.extended: the saved state has no such section",
        "piix4.rtc.extended-ram is true by malta@2.toml:13; false would fit",
    ] {
        assert!(text.contains(line), "{text}");
    }
    let off = ["--set", "piix4.rtc.extended-ram=false"];
    let (status, text) = compat(&["malta@1", "malta@2", off[0], off[1]]);
    assert_eq!(
        (status, text.as_str()),
        (Some(0), "malta@1 loads into malta@2\n")
    );
    let (status, text) = compat(&["malta@2", "malta@1"]);
    assert_eq!(status, Some(1));
    assert!(
        text.contains("piix4.rtc.extended-ram is false by malta@1.toml:121"),
        "{text}"
    );
    assert_eq!(compat(&["malta", "no-such-board"]).0, Some(2));
}

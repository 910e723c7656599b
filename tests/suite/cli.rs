//! The commands that answer about boards: what they print where, and how they end.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn solderless(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_solderless"));
    command
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn commands_end_with_the_right_status_and_print_in_the_right_place() {
    for (arguments, status, out, err) in [
        (
            &["check", "malta", "machines/malta-be.toml"][..],
            0,
            "malta: ok\nmachines/malta-be.toml: ok\n",
            "",
        ),
        (
            &["check", "malta", "tests/boards/errors/overlap.toml"],
            2,
            "malta: ok\n",
            "`low` and `high` overlap on `sys`",
        ),
        (&["check", "maltaa"], 2, "", "did you mean `malta`?"),
        (
            &["check", "no/such.toml"],
            2,
            "",
            "cannot read no/such.toml",
        ),
        (
            &["check", "/dev/zero"],
            2,
            "",
            "cannot read /dev/zero: it has more than 4MiB",
        ),
        (
            &["check", "malta", "--set", "param.ram=1MiB"],
            2,
            "",
            "expected at least 16MiB",
        ),
        (
            &["check", "malta", "--set", "ram"],
            2,
            "",
            "expected PATH=VALUE",
        ),
        (&["check"], 2, "", "Usage"),
        (&["frobnicate"], 2, "", "Usage"),
        (&["graph", "malta"], 0, "digraph \"malta\" {", ""),
        (
            &["graph", "malta", "--format", "json"],
            0,
            "\"board\": \"malta\"",
            "",
        ),
        (
            &["graph", "malta", "--format", "mermaid"],
            0,
            "flowchart LR\n",
            "",
        ),
        (
            &["graph", "malta", "--format", "svg"],
            0,
            "<svg xmlns=\"http://www.w3.org/2000/svg\"",
            "",
        ),
        (
            &["graph", "malta", "--set", "pm.memory-hotplug-support=true"],
            0,
            "piix4.pm.memhp",
            "",
        ),
        (
            &["graph", "tests/boards/errors/cycle.toml"],
            2,
            "",
            "a device sits on itself",
        ),
        (
            &["show", "malta-be", "--set", "com1.baudbase=9600"],
            0,
            "[dev.com1.isa-serial]\nbaudbase = 9600\n",
            "",
        ),
        (
            &["show", "tests/boards/errors/cycle.toml"],
            2,
            "",
            "a device sits on itself",
        ),
        (
            &[
                "explain",
                "malta",
                "com1.baudbase",
                "--set",
                "com1.baudbase=9600",
            ],
            0,
            "dev.com1.isa-serial.baudbase = 9600\n",
            "",
        ),
        (
            &["explain", "malta", "com1.baudbse"],
            2,
            "",
            "did you mean `baudbase`?",
        ),
        (&["diff", "malta", "machines/malta.toml"], 0, "", ""),
        (
            &["diff", "malta", "malta", "--set", "com1.baudbase=9600"],
            1,
            "  device com1\n-   baudbase = 115200\n+   baudbase = 9600\n",
            "",
        ),
        (&["diff", "malta", "maltaa"], 2, "", "did you mean `malta`?"),
        (&["devices"], 0, "PIIX4_PM  ", ""),
        (
            &["devices", "PIIX4_PM"],
            0,
            "memory-hotplug-support: boolean = true",
            "",
        ),
        (
            &["devices", "PIIX4_PM", "--format", "json"],
            0,
            "\"memory-hotplug-support\": true",
            "",
        ),
        (&["devices", "piix4_pm"], 2, "", "did you mean `PIIX4_PM`?"),
        (
            &["schema", "board"],
            0,
            "http://json-schema.org/draft-07/schema#",
            "",
        ),
        (&["--version"], 0, "solderless ", ""),
    ] {
        let output = solderless(arguments);
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        let shown = format!("{arguments:?}\n{stdout}{stderr}");
        assert_eq!(output.status.code(), Some(status), "{shown}");
        assert!(stdout.contains(out) && stderr.contains(err), "{shown}");
        assert_eq!(stdout.is_empty(), out.is_empty(), "{shown}");
        assert_eq!(stderr.is_empty(), err.is_empty(), "{shown}");
    }
}

#[test]
fn a_board_can_come_through_a_pipe_that_somebody_writes_to() {
    let check = |arguments: &[&str], script: &str| {
        let mut command = Command::new("bash");
        command.args(["-c", script, "bash", env!("CARGO_BIN_EXE_solderless")]);
        let output = command.args(arguments).output().unwrap();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        (output.status.code(), format!("{stdout}{stderr}"))
    };
    let script = "\"$1\" check <(sleep 0.1; cat machines/wren.toml)";
    let (status, printed) = check(&[], script);
    assert_eq!(status, Some(0), "{printed}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.toml");
    let path = path.to_str().unwrap();
    let (status, printed) = check(&[path], "mkfifo \"$2\" && \"$1\" check \"$2\"");
    assert_eq!(status, Some(2), "{printed}");
    assert!(
        printed.contains("it is a pipe that nobody writes to"),
        "{printed}"
    );
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_solderless"));
    command
        .args(["schema", "board"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}

#[test]
fn a_new_board_is_the_one_it_extends_until_it_says_otherwise() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("new");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let there = |arguments: &[&str], status: i32| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_solderless"));
        command.args(arguments).current_dir(&folder);
        let output = command.stdin(Stdio::null()).output().unwrap();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        let shown = format!("{stdout}{stderr}");
        assert_eq!(output.status.code(), Some(status), "{arguments:?}\n{shown}");
        shown
    };
    there(&["new", "mine", "--from", "malta"], 0);
    assert_eq!(there(&["check", "mine.toml"], 0), "mine.toml: ok\n");
    assert_eq!(
        there(&["diff", "malta", "mine.toml"], 1),
        "  board\n-   name = \"malta\"\n+   name = \"mine\"\n-   summary = \"MIPS Malta with a Core LV card\"\n\
        +   summary = \"mine, made from malta\"\n"
    );
    let printed = there(
        &[
            "run",
            "mine.toml",
            "--deterministic",
            "--max-time",
            "50ms",
            "--backend",
            "serial0=stdio",
        ],
        124,
    );
    assert!(printed.contains("Solderless ROM"), "{printed}");

    // What it has in comments is what is so.
    let written = fs::read_to_string(folder.join("mine.toml")).unwrap();
    let uncomment = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.is_empty() && !rest.starts_with([' ', ':']) => format!("{rest}\n"),
        _ => format!("{line}\n"),
    };
    let all: String = written.lines().map(uncomment).collect();
    assert!(
        all.lines().any(|line| line.starts_with("[param.ram]")),
        "{all}"
    );
    assert!(
        all.lines()
            .any(|line| line.starts_with("[dev.com1.isa-serial]")),
        "{all}"
    );
    fs::write(folder.join("all.toml"), all).unwrap();
    there(&["diff", "mine.toml", "all.toml"], 0);

    // A file that is there is left alone, and nothing bad is written.
    let refused = there(&["new", "mine", "--from", "malta-be"], 2);
    assert!(refused.contains("mine.toml is there already"), "{refused}");
    assert_eq!(
        fs::read_to_string(folder.join("mine.toml")).unwrap(),
        written
    );
    there(&["new", "second", "--from", "./mine.toml"], 0);
    there(&["check", "second.toml"], 0);
    for (arguments, why) in [
        (
            ["new", "malta", "--from", "malta"],
            "a board extends itself",
        ),
        (
            ["new", "a/b", "--from", "malta"],
            "cannot be a board's name",
        ),
        (["new", "", "--from", "malta"], "cannot be a board's name"),
        (
            ["new", "other", "--from", "maltaa"],
            "did you mean `malta`?",
        ),
    ] {
        let refused = there(&arguments, 2);
        assert!(refused.contains(why), "{refused}");
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 3);
}

#[test]
fn options_of_qemu_are_answered_with_ours() {
    let line = "run malta -m 256 -nographic -kernel vmlinux -append console=ttyS0 -gdb tcp::1234 -drive file=x -serial null";
    let output = solderless(&line.split(' ').collect::<Vec<_>>());
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    for answer in [
        "  -m: --ram 256MiB\n",
        "  -nographic: nothing",
        "  -kernel: --kernel vmlinux\n",
        "  -append: --append console=ttyS0\n",
        "  -gdb: --gdb tcp::1234\n",
        "  -drive: --disk PATH",
        "  -serial: --backend serial0=null\n",
    ] {
        assert!(said.contains(answer), "{answer} not in {said}");
    }
    for option in [
        "M", "cpu", "bios", "monitor", "hda", "cdrom", "netdev", "smp", "device",
    ] {
        let option = format!("-{option}");
        for arguments in [&["run", "malta", &option][..], &[&option, "x"]] {
            let output = solderless(arguments);
            let said = text(&output.stderr);
            assert!(said.contains(&format!("  {option}: ")), "{said}");
            assert_eq!(output.status.code(), Some(2), "{said}");
        }
    }
    // What is the kernel's, and what QEMU does not have either.
    let output = solderless(&["run", "malta", "--append", "-m", "--nonsense"]);
    let said = text(&output.stderr);
    assert!(said.contains("unexpected argument '--nonsense'"), "{said}");
    assert!(!said.contains("--ram"), "{said}");
}

/// How a shell is told that a line goes on; the last word is the one to complete.
fn completed(words: &[&str]) -> Vec<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_solderless"))
        .args(["--", "solderless"])
        .args(words)
        .env("SOLDERLESS_COMPLETE", "bash")
        .env("_CLAP_IFS", "\n")
        .env("_CLAP_COMPLETE_INDEX", words.len().to_string())
        .current_dir(tempfile_with_snapshot())
        .output()
        .unwrap();
    text(&output.stdout).lines().map(str::to_owned).collect()
}

/// A folder that is kept for the whole run of the tests, with one snapshot and one board in it.
fn tempfile_with_snapshot() -> &'static Path {
    static FOLDER: std::sync::OnceLock<tempfile::TempDir> = std::sync::OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("snapshots")).unwrap();
        fs::write(folder.path().join("snapshots/before.snap"), "").unwrap();
        let board = "[board]\nname = \"mine\"\nextends = \"wren\"\n";
        fs::write(folder.path().join("mine.toml"), board).unwrap();
        folder
    });
    folder.path()
}

#[test]
fn a_shell_completes_what_there_is() {
    for (words, ways) in [
        (&["bo"][..], &["boards"][..]),
        (&["run", "mipssim"], &["mipssim", "mipssim-be"]),
        (&["run", "mi"], &["mipssim", "mipssim-be", "mine.toml"]),
        (&["devices", "PIIX4_"], &["PIIX4_PM"]),
        (&["run", "malta", "--set", "param.r"], &["param.ram="]),
        (&["run", "malta", "--set", "com1."], &["com1.baudbase="]),
        (&["check", "mine.toml", "--set", "cpu.cl"], &["cpu.clock="]),
        (&["run", "malta", "--backend", "disp"], &["display="]),
        (&["explain", "malta", "param.c"], &["param.cpu"]),
        (&["run", "--restore", ""], &["file:snapshots/before.snap"]),
        (&["run", "no-such-board", "--set", ""], &[]),
    ] {
        assert_eq!(completed(words), ways, "{words:?}");
    }
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = solderless(&["completions", shell]);
        let script = text(&output.stdout);
        assert!(script.contains("SOLDERLESS_COMPLETE"), "{shell}: {script}");
    }
    // bash takes the script, and asks.
    let script = "complete() { :; }; source /dev/stdin; COMP_WORDS=(solderless run malta --set param.r); \
                  COMP_CWORD=4; COMP_TYPE=9; _clap_complete_solderless solderless param.r --set 2>/dev/null; echo \"${COMPREPLY[@]}\"";
    let program = Path::new(env!("CARGO_BIN_EXE_solderless"))
        .parent()
        .unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let file = tempfile_with_snapshot().join("script");
    fs::write(&file, solderless(&["completions", "bash"]).stdout).unwrap();
    let output = Command::new("bash")
        .args(["-c", script])
        .env("PATH", format!("{}:{path}", program.display()))
        .stdin(fs::File::open(file).unwrap())
        .output()
        .unwrap();
    assert_eq!(text(&output.stdout), "param.ram=\n", "{output:?}");
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    assert_eq!(
        solderless(&["man", "--folder", path]).status.code(),
        Some(0)
    );
    let help = solderless(&["help"]);
    let commands = text(&help.stdout)
        .lines()
        .skip_while(|line| *line != "Commands:");
    let commands = commands.skip(1).take_while(|line| !line.is_empty());
    let commands: Vec<_> = commands
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(commands.len() > 10, "{commands:?}");
    for command in commands.into_iter().filter(|command| *command != "help") {
        let page = solderless(&["man", command]).stdout;
        assert!(text(&page).contains(".SH SYNOPSIS"), "{command}");
        let file = folder.path().join(format!("solderless-{command}.1"));
        assert!(
            text(&fs::read(file).unwrap()).contains(".SH SYNOPSIS"),
            "{command}"
        );
    }
    assert!(text(&solderless(&["man"]).stdout).contains(".TH solderless 1"));
}

#[test]
fn remedies_name_what_can_be_written() {
    for (arguments, said) in [
        (
            "run",
            "malta-quad    MIPS Malta with five more serial ports",
        ),
        ("malta", "run it with `solderless run malta`"),
        ("run malta --set ram=64MiB", "did you mean `param.ram`?"),
        ("run malta --set cpu=24Kc", "did you mean `param.cpu`?"),
        (
            "check malta --set serial0=null",
            "`run --backend serial0=…`",
        ),
        ("check malta --set com1=9600", "`com1.PROPERTY=…`"),
        ("run malta --ram 256M", "[--ram:1:1]"),
        ("run malta --ram 256", "(units B, KiB, MiB, GiB, TiB)"),
        ("run wren --cpu 24Kc", "the board has no param `cpu`"),
        (
            "new foo.toml --from malta",
            "solderless new foo --from malta",
        ),
        ("explain malta com1.irq", "the keys are intr"),
        (
            "explain malta com1",
            "the other keys are at, backend.chr, irq.intr",
        ),
        (
            "explain malta cpu",
            "the parameter of this name is param.cpu",
        ),
        ("man nope", "there is no command `nope`"),
    ] {
        let output = solderless(&arguments.split(' ').collect::<Vec<_>>());
        assert_eq!(output.status.code(), Some(2), "{arguments}");
        let errors = text(&output.stderr);
        assert!(errors.contains(said), "{arguments}: {errors}");
    }
}

#[test]
fn no_more_of_a_file_is_read_than_can_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    // It has no content on the disk, and would take all memory.
    let large = fs::File::create(path("large")).unwrap();
    large.set_len(1 << 40).unwrap();
    fs::write(path("empty"), "").unwrap();
    let elf = [&b"\x7fELF\x01\x01\x01"[..], &[0; 100]].concat();
    fs::write(path("elf"), elf).unwrap();
    let made = Command::new("mkfifo").arg(path("fifo")).status();
    assert!(made.unwrap().success());
    let (large, empty, elf, fifo) = (path("large"), path("empty"), path("elf"), path("fifo"));
    for (arguments, said) in [
        (&["--firmware", &*large][..], "it has more than 4MiB"),
        (&["--firmware", "/dev/zero"], "it has more than 4MiB"),
        (
            &["--backend", "bios=file:/dev/zero"],
            "it has more than 4MiB",
        ),
        (&["--kernel", &large], "not an ELF file"),
        (&["--kernel", "/dev/zero"], "not an ELF file"),
        (&["--kernel", &fifo], "a pipe that nobody writes to"),
        (
            &["--kernel", &elf, "--initrd", &large],
            "it has more than 256MiB",
        ),
        (
            &["--kernel", &elf, "--initrd", "/dev/zero"],
            "it has more than 256MiB",
        ),
    ] {
        let output = solderless(&[&["run", "malta"], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let errors = text(&output.stderr);
        assert!(errors.contains(said), "{arguments:?}: {errors}");
    }
    let output = solderless(&["fix", "/dev/zero"]);
    assert_eq!(output.status.code(), Some(2));
    let (hello, little) = ("hello.S", solderless_testing::Endian::Little);
    let Some(hello) = solderless_testing::guests::bare_metal(hello, little, 0x8010_0000) else {
        return;
    };
    let kernel = hello.to_str().unwrap();
    let output = solderless(&["run", "malta", "--kernel", kernel, "--initrd", &empty]);
    let errors = text(&output.stderr);
    assert!(errors.contains("the initial RAM disk is empty"), "{errors}");
}

#[test]
fn a_machine_of_another_board_is_refused_in_few_lines() {
    let folder = tempfile::tempdir().unwrap();
    let file = format!("file:{}", folder.path().join("a.snap").display());
    let saved = solderless(&["run", "malta", "--max-time", "1ms", "--save-on-exit", &file]);
    assert_eq!(saved.status.code(), Some(124));
    let output = solderless(&["run", "mipssim", "--restore", &file]);
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        errors.contains("it is of the board malta, this is mipssim; "),
        "{errors}"
    );
    assert!(errors.lines().count() < 25, "{errors}");
}

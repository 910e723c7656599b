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
            "/dev/zero has more than 64 MiB",
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

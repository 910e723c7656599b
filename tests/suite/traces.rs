//! Traces: what they tell, where they go, and that the guest does not notice.

use std::path::Path;
use std::process::Output;

use serde_json::Value;
use solderless_testing::emulator::Emulator;
use solderless_testing::{Console, Endian, guests};

const PROGRAM: &str = env!("CARGO_BIN_EXE_solderless");
const PROMPT: &str = "(solderless) ";

fn run(args: &[&str]) -> Output {
    let ours = Emulator::ours(PROGRAM, Endian::Little).ram(16);
    let usual = ["--deterministic", "--max-time", "100ms", "--state-hash"];
    let mut command = ours.args(usual).args(args).command();
    command.stdin(std::process::Stdio::null());
    command.output().expect("the program")
}

/// The points that a trace tells of, and its lines.
fn told(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).expect("a trace");
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

#[test]
fn what_is_traced_is_told_and_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("t.json");
    let path = file.display().to_string();
    let hash = |output: &Output| {
        assert_eq!(output.status.code(), Some(124), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let without = hash(&run(&[]));
    let points = "com1*,irq,cpu.exception";
    for engine in ["interp", "jit"] {
        let args = ["--trace", points, "--trace-to", &path, "--engine", engine];
        assert_eq!(hash(&run(&args)), without);
        let lines = told(&file);
        let of = |point: &str| lines.iter().filter(|line| line["point"] == point).count();
        // The ROM says what it is, and has the timer interrupt it.
        assert!(of("com1.write") > 100, "{engine}");
        assert!(of("com1.read") > 100, "{engine}");
        assert!(of("cpu.exception") > 0, "{engine}");
        let write = lines.iter().find(|line| line["point"] == "com1.write");
        let write = write.expect("a write");
        for field in ["ns", "offset", "size", "value", "pc"] {
            assert!(write[field].is_u64(), "{write}");
        }
        let taken = lines.iter().find(|line| line["point"] == "cpu.exception");
        assert_eq!(taken.expect("an exception")["cause"], "Int");
    }
    // As text, on standard error.
    let output = run(&["--trace", "com1.write"]);
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said.lines().next().expect("a line");
    assert!(line.contains(" com1.write region="), "{line}");
    assert!(!said.contains("com1.read"), "{said}");
}

#[test]
fn lines_are_told_of() {
    let Some(program) = guests::bare_metal("busy.S", Endian::Little, 0x8010_0000) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("t.json");
    let path = file.display().to_string();
    let kernel = program.display().to_string();
    let args = ["--kernel", &kernel, "--trace", "irq", "--trace-to", &path];
    let output = run(&args);
    assert_eq!(output.status.code(), Some(124), "{output:?}");
    let lines = told(&file);
    let port: Vec<_> = lines
        .iter()
        .filter(|line| line["device"] == "com1")
        .collect();
    assert!(port.len() > 20, "{} of {}", port.len(), lines.len());
    // It goes up and down.
    for pair in port.windows(2) {
        assert_ne!(pair[0]["level"], pair[1]["level"]);
        assert!(pair[0]["ns"].as_u64() <= pair[1]["ns"].as_u64());
    }
}

#[test]
fn what_there_is_to_be_traced_is_said() {
    let output = run(&["--trace", "uart7"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("there is no point \"uart7\" to be traced"),
        "{said}"
    );
    assert!(
        said.contains("cpu.exception") && !said.contains("ram.read"),
        "{said}"
    );
    let output = run(&["--trace", "irq", "--trace-to", "/no/such/folder/t"]);
    assert_eq!(output.status.code(), Some(2));

    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("t.json");
    let path = file.display().to_string();
    let args = ["--monitor", "stdio", "-S", "--trace-to", &path];
    let ours = Emulator::ours(PROGRAM, Endian::Little).ram(16).args(args);
    let mut console = Console::start(ours.command());
    console.expect(PROMPT);
    let mut ask = |line: &str| {
        console.send(&format!("{line}\n"));
        console.expect(PROMPT)
    };
    assert!(ask("info trace").contains("com1.read: off\n"));
    assert_eq!(ask("trace com1.read,irq"), "");
    assert_eq!(ask("trace irq off"), "");
    let points = ask("info trace");
    assert!(
        points.contains("com1.read: on\n") && points.contains("irq: off\n"),
        "{points}"
    );
    assert!(ask("trace nobody").contains("there is no point"));
    ask("cont");
    std::thread::sleep(std::time::Duration::from_millis(200));
    console.send("quit\n");
    assert_eq!(console.wait().code(), Some(0));
    let lines = told(&file);
    assert!(!lines.is_empty());
    assert!(lines.iter().all(|line| line["point"] == "com1.read"));
}

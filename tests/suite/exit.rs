//! Guests that end the run with a status of their own.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use solderless_testing::guests;

use crate::peers::kernel;

const PROGRAM: &str = env!("CARGO_BIN_EXE_solderless");

fn run(board: &str, time: &str, args: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(PROGRAM);
    command
        .args(["run", board, "--deterministic", "--max-time", time])
        .args(args);
    let Output { status, stderr, .. } = command.stdin(Stdio::null()).output().expect("it runs");
    (status.code(), String::from_utf8_lossy(&stderr).into_owned())
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

#[test]
fn a_register_ends_the_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let readme = fs::read_to_string(guests::repository().join("README.md")).expect("a document");
    let tiny = readme
        .split("```toml\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    let exit = "[dev.exit]\nat = \"sys:0x1f000000\"\n[dev.exit.exit]\n";
    let board = folder.path().join("tiny.toml");
    fs::write(&board, format!("{}{exit}", tiny.expect("a board"))).expect("a file");
    for (value, status) in [(0, 0), (7, 7), (0x1ff, 255)] {
        let program = kernel(
            folder.path(),
            &[
                0x3c08_bf00,         // lui   t0, 0xbf00
                0x2409_0000 | value, // addiu t1, zero, value
                0xad09_0000,         // sw    t1, 0(t0)
                0x240a_0001,         // addiu t2, zero, 1
                0xad0a_0000,         // sw    t2, 0(t0)
                0x0804_0003,         // j     to the addition
                0x0000_0000,
            ],
        );
        let (code, said) = run(text(&board), "1ms", &["--kernel", text(&program)]);
        assert_eq!(code, Some(status), "{said}");
    }
}

#[test]
fn semihosting_ends_the_run_where_it_is_wanted() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = kernel(
        folder.path(),
        &[
            0x2419_0005,                                       // addiu t9, zero, 5: write
            0x7000_007f,                                       // sdbbp 1
            0x2063_0000 | 0x0000_ffff & 0u32.wrapping_sub(83), // addi v1, v1, -83: 5 of ENOSYS
            0x0062_2020,                                       // add   a0, v1, v0: 4
            0x2419_0001,                                       // addiu t9, zero, 1: exit
            0x7000_007f,                                       // sdbbp 1
            0x0804_0006,                                       // j     itself
            0x0000_0000,
        ],
    );
    let kernel = ["--kernel", text(&program)];
    for engine in ["interp", "jit"] {
        if engine == "jit" && !cfg!(target_arch = "x86_64") {
            continue;
        }
        let engine = ["--engine", engine];
        let (code, said) = run(
            "malta",
            "1ms",
            &[&kernel[..], &engine, &["--semihosting"]].concat(),
        );
        assert_eq!(code, Some(4), "{said}");
        // It is an instruction that there is not, otherwise.
        let (code, said) = run("malta", "1ms", &[&kernel[..], &engine].concat());
        assert_eq!(code, Some(124), "{said}");
    }
}

#[test]
fn a_text_ends_the_run() {
    for (args, status) in [
        (&["--exit-on", "rom> "][..], 1),
        (&["--exit-on", "0:rom> "], 0),
        (&["--exit-on", "panic", "--exit-on", "9:ROM"], 9),
        (&["--exit-on", "5:rom> ", "--backend", "serial0=null"], 5),
        (&["--exit-on", "panic"], 124),
        (&["--exit-on", "256:x"], 2),
        (&["--exit-on", ""], 2),
    ] {
        let (code, said) = run("malta", "50ms", args);
        assert_eq!(code, Some(status), "{args:?}: {said}");
        if ![124, 2].contains(&status) {
            assert!(
                said.contains(&format!("ends the run with status {status}")),
                "{said}"
            );
        }
    }
}

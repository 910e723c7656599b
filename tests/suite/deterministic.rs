//! Deterministic mode: two runs with the same inputs print the same and end in the same state.

use solderless_testing::emulator::Emulator;
use solderless_testing::{Console, Endian, guests};

const PROGRAM: &str = env!("CARGO_BIN_EXE_solderless");

/// Runs a machine twice at the same time; what both printed, and their state on standard error.
fn twice(machine: impl Fn() -> Emulator, status: i32) -> (String, String) {
    let start = || {
        Console::start(
            machine()
                .args(["--deterministic", "--state-hash"])
                .command(),
        )
    };
    let [first, second] = [start(), start()].map(|mut console| {
        console.close_input();
        console.wait()
    });
    for run in [&first, &second] {
        assert_eq!(run.code(), Some(status), "{}{}", run.output, run.errors);
    }
    assert_eq!(first.output, second.output);
    assert_eq!(first.errors, second.errors);
    assert!(first.errors.starts_with("state "), "{}", first.errors);
    (first.output, first.errors)
}

#[test]
fn the_rom_ends_in_the_same_state() {
    for endian in Endian::BOTH {
        let run = |time| move || Emulator::ours(PROGRAM, endian).args(["--max-time", time]);
        let (output, state) = twice(run("2s"), 124);
        assert!(output.ends_with("rom> "), "{output}");
        assert!(state.contains(" at 2000000"), "{state}");
        // The hash sees what differs.
        assert_ne!(twice(run("2001ms"), 124).1, state);
        let (_, earlier) = twice(run("1ms"), 124);
        assert_ne!(earlier.split(" at ").next(), state.split(" at ").next());
    }
}

#[test]
fn linux_does_the_same_to_the_last_instruction() {
    let Some(linux) = guests::linux() else { return };
    let script = "mount -t proc p /proc; cat /proc/interrupts /proc/stat /proc/uptime; date; md5sum /bin/busybox; poweroff -f";
    let append = format!("console=ttyS0 rdinit=/bin/sh -- -c \"{script}\"");
    let (output, _) = twice(
        || {
            Emulator::ours(PROGRAM, Endian::Little)
                .ram(256)
                .linux(&linux, &append)
        },
        0,
    );
    // Time starts at the same date in every run.
    assert!(output.contains(" UTC 2024"), "{output}");
    assert!(output.contains("  /bin/busybox"), "{output}");
}

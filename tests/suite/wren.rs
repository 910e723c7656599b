//! Wren, a board with a memory map of its own that is a text and nothing else, runs the ROM built for it.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use solderless_testing::emulator::Emulator;
use solderless_testing::{Console, Endian, guests};

const PROGRAM: &str = env!("CARGO_BIN_EXE_solderless");
const PROMPT: &str = "rom> ";

fn start(args: &[String]) -> (Console, String) {
    let emulator = Emulator::ours_with(PROGRAM, "wren").args(args);
    let mut console = Console::start(emulator.command());
    let banner = console.expect(PROMPT).replace('\r', "");
    (console, banner)
}

#[test]
fn the_rom_finds_what_the_board_has() {
    let (mut console, banner) = start(&["--ram".into(), "8MiB".into(), "--no-reboot".into()]);
    assert_eq!(
        banner.trim_start_matches('\0'),
        "\nSolderless ROM 1.0 (big-endian)
CPU   4KEc (PRId 00019000), no FPU, 16 TLB entries, I-cache 2 KiB, D-cache 2 KiB
RAM   8 MiB
Board Wren, number 4097
Type help for the commands.
"
    );
    let info = console.run("info", PROMPT);
    for line in [
        "Board Wren, number 4097\n",
        "Clock 200 MHz (Count 100 MHz by the 8254)\n",
        "Flash CFI at bc000000, 8 MiB\n",
        "EBase    88000000\n",
    ] {
        assert!(info.contains(line), "{line} in {info}");
    }
    for (command, prints) in [
        (
            "memtest",
            "Testing 88100000 to 881fffff, cached\nTesting a8100000 to a81fffff, uncached\n0 errors\n",
        ),
        (
            "memtest 80000000",
            "memtest: 80000000 is not in the RAM, which ends at 88800000\n",
        ),
        // Nothing is where Malta has its RAM, its flash and its ports.
        ("md 80000000", "md: bus error (load or store) at 80000000\n"),
        ("md be000000", "md: bus error (load or store) at be000000\n"),
        ("md b80003f8", "md: bus error (load or store) at b80003f8\n"),
        // The flash and the boot window are one.
        (
            "md bfc00010 2",
            "bfc00010: 00000000 00000000                    ........\n",
        ),
        (
            "md.b bc7fffff 1",
            "bc7fffff: ff                                               .\n",
        ),
        ("md bc800000", "md: bus error (load or store) at bc800000\n"),
        (
            "md bffffffc 1",
            "bffffffc: ffffffff                             ....\n",
        ),
    ] {
        assert_eq!(console.run(command, PROMPT), prints, "{command}");
    }
    // Five periods of 10 ms at 100 MHz, from the timer through the first pair of controllers.
    let ticks = console.run("tick 5", PROMPT);
    assert!(
        ["4.9", "5.0", "5.1"]
            .iter()
            .any(|counts| ticks == format!("5 ticks in {counts} million counts\n")),
        "{ticks}"
    );
    console.send("reset\r");
    assert_eq!(console.wait().code(), Some(0));
}

#[test]
fn every_serial_port_speaks_and_interrupts() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |n: usize| folder.path().join(format!("serial{n}"));
    let listeners: Vec<UnixListener> = (1..=3)
        .map(|n| UnixListener::bind(path(n)).expect("a socket"))
        .collect();
    let backends = (1..=3).flat_map(|n| {
        let backend = format!("serial{n}=unix:{}", path(n).display());
        ["--backend".to_owned(), backend]
    });
    let (mut console, _) = start(&backends.collect::<Vec<_>>());
    for (n, listener) in (1..).zip(&listeners) {
        let (mut line, _) = listener.accept().expect("the machine connects");
        let patience = Some(Duration::from_secs(60));
        line.set_read_timeout(patience).expect("it can be set");
        assert_eq!(console.run(&format!("say {n} port {n} speaks"), PROMPT), "");
        let mut said = [0; 14];
        line.read_exact(&mut said).expect("the guest sends");
        assert_eq!(said, *format!("port {n} speaks\n").as_bytes());
        console.send(&format!("hear {n}\r"));
        console.expect("\n");
        line.write_all(b"answer\n").expect("the machine listens");
        // Ports 1 and 2 come through both pairs of controllers, port 3 through the first.
        assert_eq!(console.expect(PROMPT), "answer (by interrupt)\r\n");
    }
    console.send("hear 1\r");
    console.expect("\n");
    console.send("\u{3}");
    assert_eq!(console.expect(PROMPT), "^C\r\n (nothing)\r\n");
}

#[test]
fn a_program_is_loaded_where_the_memory_is() {
    let Some(program) = guests::bare_metal("wren.S", Endian::Big, 0x8810_0000) else {
        return;
    };
    let emulator = Emulator::ours_with(PROGRAM, "wren").kernel(&program);
    let emulator = emulator.args(["--append", "from the command line", "--no-reboot"]);
    let ended = Console::start(emulator.command()).wait();
    assert_eq!((ended.code(), ended.errors.as_str()), (Some(0), ""));
    assert_eq!(ended.output, "from the command line\n");

    let Some(elsewhere) = guests::bare_metal("hello.S", Endian::Big, 0x8010_0000) else {
        return;
    };
    let output = Emulator::ours_with(PROGRAM, "wren")
        .kernel(&elsewhere)
        .command()
        .output();
    let output = output.expect("the program runs");
    assert_eq!(output.status.code(), Some(2));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        errors.contains("needs memory at 0x100000, but the board has 32MiB from 0x8000000 on"),
        "{errors}"
    );
}

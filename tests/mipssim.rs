//! The machine mipssim beside QEMU's of that name: one program sees the same in both, and they can share a cable.

use std::path::Path;

use solderless_testing::emulator::Emulator;
use solderless_testing::{Console, Endian, guests};

const PROGRAM: &str = env!("CARGO_BIN_EXE_solderless");
const PROMPT: &str = "> ";

fn program(endian: Endian) -> Option<std::path::PathBuf> {
    guests::bare_metal("mipssim.c", endian, 0x8010_0000)
}

fn ours(endian: Endian, program: &Path) -> Emulator {
    let order = format!("param.big-endian={}", endian == Endian::Big);
    let emulator = Emulator::ours_with(PROGRAM, "mipssim").args(["--set", &order]);
    emulator.ram(64).kernel(program)
}

/// With a network card on this network.
fn theirs(endian: Endian, program: &Path, network: &str) -> Option<Emulator> {
    let card = ["-net", "nic,netdev=net0,model=mipsnet"];
    let emulator = Emulator::qemu_with(endian, "mipssim")?.args(["-netdev", network]);
    Some(emulator.args(card).ram(64).kernel(program))
}

#[test]
fn a_program_sees_the_machine_that_it_sees_in_qemu() {
    for endian in Endian::BOTH {
        let Some(program) = program(endian) else {
            return;
        };
        let Some(theirs) = theirs(endian, &program, "hubport,id=net0,hubid=0") else {
            return;
        };
        let mut theirs = Console::start(theirs.command());
        let mut ours = Console::start(ours(endian, &program).command());
        let seen = ours.expect(PROMPT);
        assert_eq!(seen, theirs.expect(PROMPT), "{endian:?}");
        for line in [
            "ram 12345678",
            "network 5350494d",
            "test 00000400",
            "done 00000000",
        ] {
            assert!(seen.contains(line), "{line} in {seen}");
        }
        for console in [&mut ours, &mut theirs] {
            console.send("u");
            console.expect("typing\n");
            console.send("Hello, World 1\r");
            assert_eq!(console.expect("\r"), "HELLO, WORLD 1");
            console.expect(PROMPT);
        }
    }
}

/// Sends frames from one machine to the other, which sends them back: what the first prints, and the second.
fn ping(from: &mut Console, to: &mut Console, command: &str, count: usize) -> (String, String) {
    from.send(command);
    let back = from.expect(PROMPT);
    let mut echoed = String::new();
    for _ in 0..count {
        to.expect("echoed");
        echoed += &to.expect("\n");
        echoed.push('\n');
    }
    (back, echoed)
}

#[test]
fn two_machines_share_a_cable() {
    let (Some(little), Some(big)) = (program(Endian::Little), program(Endian::Big)) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let socket = |name: &str| folder.path().join(name).display().to_string();
    let start = |emulator: Emulator, own: &str, peer: &str| {
        let net = format!("net0=unix:{},peer={}", socket(own), socket(peer));
        let mut console = Console::start(emulator.args(["--backend", &net]).command());
        console.expect(PROMPT);
        console
    };
    let mut second = start(ours(Endian::Big, &big), "second", "first");
    second.send("e");
    second.expect("echoing");
    let mut first = start(ours(Endian::Little, &little), "first", "second");
    // What the program sent when it started comes back first, and is no answer.
    second.expect("echoed 0000003c");
    second.expect("\n");
    let (back, echoed) = ping(&mut first, &mut second, "p", 4);
    let back: Vec<Vec<&str>> = back.lines().map(|l| l.split(' ').collect()).collect();
    let lengths: Vec<_> = back.iter().map(|l| (l[1], l[2], l[3])).collect();
    assert_eq!(
        lengths,
        [
            ("0000003c", "0000003c", "00000001"),
            // Too short for a network: padded.
            ("00000014", "0000003c", "00000002"),
            ("0000003d", "0000003d", "00000003"),
            ("000005e9", "000005e9", "00000004"),
        ]
    );
    let echoed: Vec<Vec<&str>> = echoed.lines().map(|l| l.split(' ').collect()).collect();
    let sums = |lines: &[Vec<&str>], at: usize| -> Vec<String> {
        lines.iter().map(|l| l[at].to_owned()).collect()
    };
    assert_eq!(sums(&back, 4), sums(&echoed, 2));
    let (back, _) = ping(&mut first, &mut second, "l", 1);
    assert!(
        back.starts_with("back 000005ea 000005ea 00000005"),
        "{back}"
    );
}

#[test]
fn a_machine_shares_a_cable_with_qemus() {
    let Some(program) = program(Endian::Little) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let socket = |name: &str| folder.path().join(name).display().to_string();
    let (here, there) = (socket("here"), socket("there"));
    let network = format!(
        "dgram,id=net0,local.type=unix,local.path={there},remote.type=unix,remote.path={here}"
    );
    let Some(theirs) = theirs(Endian::Little, &program, &network) else {
        return;
    };
    let net = format!("net0=unix:{here},peer={there}");
    let ours = ours(Endian::Little, &program).args(["--backend", &net]);
    let mut ours = Console::start(ours.command());
    ours.expect(PROMPT);
    let mut theirs = Console::start(theirs.command());
    theirs.expect(PROMPT);
    theirs.send("e");
    theirs.expect("echoing\n");
    let (back, _) = ping(&mut ours, &mut theirs, "p", 4);
    assert!(back.contains("back 000005e9 000005e9 00000004"), "{back}");
    assert_eq!(back.lines().count(), 4, "{back}");
}

#[test]
fn without_firmware_and_kernel_there_is_nothing_to_run() {
    let output = Emulator::ours_with(PROGRAM, "mipssim").command().output();
    let output = output.expect("the program runs");
    assert_eq!(output.status.code(), Some(2));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("give it some with --firmware"), "{errors}");
}

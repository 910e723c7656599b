//! The machine mipssim beside QEMU's of that name: one program sees the same in both, and they can share a cable.

use std::path::Path;

use solderless_testing::emulator::Emulator;
use solderless_testing::{Console, Endian, guests};

const PROGRAM: &str = env!("CARGO_BIN_EXE_solderless");
const PROMPT: &str = "> ";
const ROM_PROMPT: &str = "rom> ";

fn program(endian: Endian) -> Option<std::path::PathBuf> {
    guests::bare_metal("mipssim.c", endian, 0x8010_0000)
}

fn ours(endian: Endian, program: &Path) -> Emulator {
    Emulator::ours_with(PROGRAM, board(endian))
        .ram(64)
        .kernel(program)
}

fn board(endian: Endian) -> &'static str {
    match endian {
        Endian::Little => "mipssim",
        Endian::Big => "mipssim-be",
    }
}

/// With a network card on this network.
fn theirs(endian: Endian, network: &str) -> Option<Emulator> {
    let card = ["-net", "nic,netdev=net0,model=mipsnet"];
    let emulator = Emulator::qemu_with(endian, "mipssim")?.args(["-netdev", network]);
    Some(emulator.args(card).ram(64))
}

const ALONE: &str = "hubport,id=net0,hubid=0";

#[test]
fn a_program_sees_the_machine_that_it_sees_in_qemu() {
    for endian in Endian::BOTH {
        let Some(program) = program(endian) else {
            return;
        };
        let Some(theirs) = theirs(endian, ALONE) else {
            return;
        };
        let mut theirs = Console::start(theirs.kernel(&program).command());
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
    let Some(theirs) = theirs(Endian::Little, &network) else {
        return;
    };
    let net = format!("net0=unix:{here},peer={there}");
    let ours = ours(Endian::Little, &program).args(["--backend", &net]);
    let mut ours = Console::start(ours.command());
    ours.expect(PROMPT);
    let mut theirs = Console::start(theirs.kernel(&program).command());
    theirs.expect(PROMPT);
    theirs.send("e");
    theirs.expect("echoing\n");
    let (back, _) = ping(&mut ours, &mut theirs, "p", 4);
    assert!(back.contains("back 000005e9 000005e9 00000004"), "{back}");
    assert_eq!(back.lines().count(), 4, "{back}");
}

/// The network behind which the host's is has the same host at the same address as QEMU's, and its frames can be kept.
#[test]
fn a_user_network_answers_as_qemus_does() {
    let Some(program) = program(Endian::Little) else {
        return;
    };
    let Some(theirs) = theirs(Endian::Little, "user,id=net0") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let record = folder.path().join("frames.pcap");
    let net = format!("net0=user,pcap={}", record.display());
    let ours = ours(Endian::Little, &program).args(["--backend", &net]);
    let mut answers = [ours.command(), theirs.kernel(&program).command()].map(|command| {
        let mut console = Console::start(command);
        console.expect(PROMPT);
        console.send("a");
        console.expect(PROMPT)
    });
    let [ours, theirs] = &mut answers;
    assert_eq!(ours, theirs);
    assert!(ours.ends_with("ahoy!\n"), "{ours}");
    // What the program sent when it started, a question and a ping with their answers.
    let record = std::fs::read(record).expect("frames");
    let (mut rest, mut kinds) = (&record[24..], Vec::new());
    while let [_, _, _, _, _, _, _, _, a, b, 0, 0, ..] = *rest {
        let end = 16 + usize::from(u16::from_le_bytes([a, b]));
        kinds.push([rest[16 + 12], rest[16 + 13]]);
        rest = &rest[end..];
    }
    assert_eq!(kinds[1..], [[8, 6], [8, 6], [8, 0], [8, 0]]);
}

#[test]
fn a_restricted_guest_reaches_nothing() {
    let Some(program) = program(Endian::Little) else {
        return;
    };
    let ours = ours(Endian::Little, &program).args(["--net", "user,restrict=on"]);
    let mut ours = Console::start(ours.command());
    ours.expect(PROMPT);
    // Its own host answers, what is outside is not reachable: an ICMP message of type 3.
    ours.send("a");
    let answer = ours.expect(PROMPT);
    assert!(answer.contains("ping 0000003c 00000000 "), "{answer}");
    ours.send("o");
    let answer = ours.expect(PROMPT);
    assert!(answer.contains(" 00000003 00000002 "), "{answer}");
}

#[test]
fn a_network_that_is_no_good_is_told_before_anything_runs() {
    for (args, told) in [
        (["--net", "user,hostfd=x"], "there is no \"hostfd\""),
        (["--net", "tape"], "unknown backend \"tape\" for a network"),
        (
            ["--net", "user,tftp=/no/such/folder"],
            "net0: tftp=/no/such/folder is no folder",
        ),
        (
            ["--net", "user,pcap=/no/such/folder/x"],
            "cannot write /no/such/folder/x",
        ),
        (["--net", "user,net=10.0.2.0/30"], "8 to 27 bits"),
        (["--net", "null"], ""),
    ] {
        let twice = ["--net", "user"];
        let more = if told.is_empty() { &twice[..] } else { &[] };
        let mut command = std::process::Command::new(PROGRAM);
        let command = command.args(["run", "mipssim"]).args(args).args(more);
        let output = command.output().expect("it runs");
        let error = String::from_utf8_lossy(&output.stderr);
        let told = if told.is_empty() {
            "--net user: no slot for a network is left; the board has net0"
        } else {
            told
        };
        assert_eq!(output.status.code(), Some(2), "{args:?}: {error}");
        assert!(error.contains(told), "{args:?}: {error}");
    }
}

/// What the ROM is asked, beside `info`, in which Config1 and Compare differ.
const COMMANDS: &[&str] = &[
    "help",
    "memtest",
    "memtest 80200000 1000",
    "md bfc00000 4",
    "mw bfc00000 0",
    "md bfc00000 1",
    "md bfd04200 9",
    "mw.b bfd003ff 5a",
    "md.b bfd003f9 7",
    "md bf000000",
    "mw 80300000 3e00008",
    "mw 80300004 24820007",
    "go 80300000 one",
];

#[test]
fn the_rom_works_as_in_qemu() {
    for endian in Endian::BOTH {
        let Some(theirs) = theirs(endian, ALONE) else {
            return;
        };
        let order = if endian == Endian::Big { "be" } else { "le" };
        let rom = format!("machines/rom/mipssim-rom-{order}.bin");
        let rom = guests::repository().join(rom);
        let theirs = theirs.args([std::ffi::OsStr::new("-bios"), rom.as_os_str()]);
        let mut theirs = Console::start(theirs.command());
        let ours = Emulator::ours_with(PROGRAM, board(endian)).ram(64);
        let mut ours = Console::start(ours.command());
        let banner = ours.expect(ROM_PROMPT);
        assert_eq!(banner, theirs.expect(ROM_PROMPT));
        assert!(banner.contains("RAM   64 MiB"), "{banner}");
        for command in COMMANDS {
            let here = ours.run(command, ROM_PROMPT);
            assert_eq!(here, theirs.run(command, ROM_PROMPT), "{command}");
        }
    }
}

//! The variants of Malta, each a few lines of TOML, on Debian's kernel and on the ROM.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use solderless_testing::emulator::Emulator;
use solderless_testing::{Console, Endian, guests};

const PROGRAM: &str = env!("CARGO_BIN_EXE_solderless");
const PROMPT: &str = "~ # ";
const ROM_PROMPT: &str = "rom> ";

/// Debian's kernel on a board, at the shell.
fn linux(emulator: Emulator) -> Option<Console> {
    let linux = guests::linux()?;
    let emulator = emulator.linux(&linux, "console=ttyS0 rdinit=/bin/sh");
    let mut console = Console::start(emulator.command());
    console.expect(PROMPT);
    for command in [
        "stty columns 400; dmesg -n 1",
        "mount -t proc p /proc; mount -t sysfs s /sys; mount -t devtmpfs d /dev",
    ] {
        assert_eq!(console.run(command, PROMPT), "", "{command}");
    }
    Some(console)
}

fn power_off(mut console: Console) {
    console.send("poweroff -f\r");
    let ended = console.wait();
    assert_eq!((ended.code(), ended.errors.as_str()), (Some(0), ""));
}

#[test]
fn malta_lite_has_what_is_left_and_boots_debian() {
    let Some(mut console) = linux(Emulator::ours_with(PROGRAM, "malta-lite")) else {
        return;
    };
    let functions = console.run("cut -c 1-13 /proc/bus/pci/devices", PROMPT);
    assert_eq!(
        functions,
        "0000\t11ab4620\n0050\t80867110\n0053\t80867113\n"
    );
    let devices = console.run(
        "cat /proc/bus/input/devices; ls /dev/input /dev/psaux",
        PROMPT,
    );
    assert!(!devices.contains("AT"), "{devices}");
    let interrupts = console.run("cat /proc/interrupts", PROMPT);
    for (name, there) in [("ttyS0", true), ("rtc0", true), ("i8042", false)] {
        assert_eq!(interrupts.contains(name), there, "{interrupts}");
    }
    power_off(console);
}

/// The host's end of a serial port: the machine connects to it.
struct Line {
    path: std::path::PathBuf,
    listener: UnixListener,
}

impl Line {
    fn new(folder: &std::path::Path, name: &str) -> Self {
        let path = folder.join(name);
        let listener = UnixListener::bind(&path).expect("a socket");
        Self { path, listener }
    }

    fn connected(&self) -> UnixStream {
        let (stream, _) = self.listener.accept().expect("the machine connects");
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .expect("a time-out can be set");
        stream
    }
}

fn read(stream: &mut UnixStream, length: usize) -> String {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).expect("the guest sends");
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn malta_quad_has_eight_serial_ports() {
    let folder = tempfile::tempdir().expect("a folder");
    let lines: Vec<Line> = (1..8)
        .map(|n| Line::new(folder.path(), &format!("serial{n}")))
        .collect();
    let backends = lines.iter().zip(1..).flat_map(|(line, n)| {
        [
            "--backend".to_owned(),
            format!("serial{n}=unix:{}", line.path.display()),
        ]
    });
    let Some(mut console) = linux(Emulator::ours_with(PROGRAM, "malta-quad").args(backends)) else {
        return;
    };
    let mut streams: Vec<UnixStream> = lines.iter().map(Line::connected).collect();

    // The kernel's driver has room for four ports: Malta's own, and the first of the card.
    let ports = console.run("cut -d ' ' -f 1-4 /proc/tty/driver/serial", PROMPT);
    let found: Vec<&str> = ports.lines().skip(1).collect();
    assert_eq!(found.len(), 4, "{ports}");
    assert!(
        found.iter().all(|line| line.contains("uart:16550A")),
        "{ports}"
    );
    assert!(found[3].contains("irq:10"), "{ports}");
    for n in 1..4 {
        let stream = &mut streams[n - 1];
        let tty = format!("/dev/ttyS{n}");
        assert_eq!(
            console.run(
                &format!("stty -F {tty} raw -echo; echo over $((6 * {n})) >{tty}"),
                PROMPT
            ),
            ""
        );
        let said = format!("over {}\n", 6 * n);
        assert_eq!(read(stream, said.len()), said);
        console.send(&format!("head -n 1 <{tty}\r"));
        stream
            .write_all(b"and back\n")
            .expect("the machine listens");
        assert!(console.expect(PROMPT).contains("and back"));
    }

    // The others by their registers: THR and RBR, with IER and MCR saying that the guest listens.
    let bases = console.run(
        "for d in 12 13; do head -n 1 /sys/bus/pci/devices/0000:00:$d.0/resource | cut -d ' ' -f 1,2; done",
        PROMPT,
    );
    let bases: Vec<u32> = bases
        .split_whitespace()
        .map(|n| u32::from_str_radix(n.trim_start_matches("0x"), 16).expect("a number"))
        .collect();
    let (card, single) = (bases[0], bases[2]);
    assert_eq!((bases[1] - card, bases[3] - single), (31, 7));
    console.run(
        "put() { printf $2 | dd of=/dev/port bs=1 seek=$1 2>/dev/null; }; get() { dd if=/dev/port bs=1 skip=$1 count=1 2>/dev/null; }",
        PROMPT,
    );
    for (n, base) in [(4, card + 8), (5, card + 16), (6, card + 24), (7, single)] {
        let stream = &mut streams[n - 1];
        let command = format!(
            "put {base} {n}; put {} '\\013'; put {} '\\001'; sleep 1",
            base + 4,
            base + 1
        );
        stream.write_all(b"x").expect("the machine listens");
        assert_eq!(console.run(&command, PROMPT), "");
        assert_eq!(read(stream, 1), n.to_string());
        assert_eq!(
            console.run(
                &format!("get {base}; echo; put {} '\\000'", base + 1),
                PROMPT
            ),
            "x\n",
            "{n}"
        );
    }
    power_off(console);
}

/// What the ROM shows of the cards, and what their registers are once they have an address.
const ON_THE_CARDS: &[&str] = &[
    "pci 0:12.0",
    "pci 0:13.0",
    // Address register 0 and the command register of both, through the GT-64120's configuration ports.
    "mw bbe00cf8 80009010",
    "mw bbe00cfc 1040",
    "mw bbe00cf8 80009004",
    "mw bbe00cfc 1",
    "mw bbe00cf8 80009810",
    "mw bbe00cfc 1080",
    "mw bbe00cf8 80009804",
    "mw bbe00cfc 1",
    "pci 0:12.0",
    "md.b b8001040 30",
    "md.b b8001080 8",
    // The third one, looped back, asks for an interrupt, and then must not.
    "mw.b b8001054 1b",
    "mw.b b8001050 5a",
    "mw.b b8001051 1",
    "md.b b8001052 1",
    "pci 0:12.0",
    "md.b b8001050 1",
    "pci 0:12.0",
    // But for RBR, which is empty.
    "md.b b8001051 f",
];

#[test]
fn the_cards_are_qemus() {
    let Some(qemu) = Emulator::qemu(Endian::Little) else {
        return;
    };
    let rom = guests::repository().join("machines/rom/malta-rom-le.bin");
    let cards = [
        "-device",
        "pci-serial-4x,addr=12",
        "-device",
        "pci-serial,addr=13",
    ];
    let qemu = qemu.firmware(&rom, Endian::Little).args(cards);
    let start = |emulator: Emulator| {
        let mut console = Console::start(emulator.command());
        console.expect(ROM_PROMPT);
        console
    };
    let mut theirs = start(qemu);
    let mut ours = start(Emulator::ours_with(PROGRAM, "malta-quad"));
    for command in ON_THE_CARDS {
        let here = ours.run(command, ROM_PROMPT);
        assert_eq!(here, theirs.run(command, ROM_PROMPT), "{command}");
        assert!(!here.contains("usage"), "{here}");
    }
}

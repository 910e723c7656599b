//! The ROM that ships with the boards: every command, in both byte orders; and that it is what its sources say.

use solderless_testing::emulator::Emulator;
use solderless_testing::{Console, Endian, guests};

const PROGRAM: &str = env!("CARGO_BIN_EXE_solderless");
const PROMPT: &str = "rom> ";

const PCI: [&str; 6] = [
    "00:00.0 11ab:4620 host bridge",
    "00:0a.0 8086:7110 ISA bridge",
    "00:0a.1 8086:7111 IDE controller",
    "00:0a.2 8086:7112 USB controller",
    "00:0a.3 8086:7113 bridge",
    "00:0b.0 1022:2000 Ethernet controller",
];

/// What each command prints on a little-endian and on a big-endian board.
const COMMANDS: &[(&str, [&str; 2])] = &[
    (
        "help poweroff",
        same("poweroff: switch the board off\nSets SUS_EN in the PIIX4's PMCNTRL register.\n"),
    ),
    (
        "bogus",
        same("bogus: unknown command; type help for the list\n"),
    ),
    ("md", same("usage: md[.b|.h|.w] address [count]\n")),
    (
        "md xyz",
        same("md: 'xyz' is not a hexadecimal number of up to 32 bits\n"),
    ),
    ("pci 0:1f.0", same("pci: there is no function at 00:1f.0\n")),
    (
        "pci 0:a.1",
        same(
            "00:0a.1 8086:7111 IDE controller
  class 010180, revision 00, header type 00
  command 0000, status 0280
  BAR4 I/O    00000000, 16 bytes
  00: 71118086 02800000 01018000 00000000
  10: 00000000 00000000 00000000 00000000
  20: 00000001 00000000 00000000 11001af4
  30: 00000000 00000000 00000000 00000000
",
        ),
    ),
    ("mw 80100000 12345678 4", same("")),
    (
        "md.h 80100000 8",
        [
            "80100000: 5678 1234 5678 1234 5678 1234 5678 1234  xV4.xV4.xV4.xV4.\n",
            "80100000: 1234 5678 1234 5678 1234 5678 1234 5678  .4Vx.4Vx.4Vx.4Vx\n",
        ],
    ),
    ("mw.b 80100001 ff", same("")),
    ("mw.h a0100006 beef", same("")),
    (
        "md 80100000 2",
        [
            "80100000: 1234ff78 beef5678                    x.4.xV..\n",
            "80100000: 12ff5678 1234beef                    ..Vx.4..\n",
        ],
    ),
    (
        "mw.b 80100000 100",
        same("mw: 100 does not fit in 8 bits\n"),
    ),
    (
        "md 1000",
        same("md: TLB miss (load or fetch) at 00001000\n"),
    ),
    (
        "md 80000001",
        same("md: address error (load or fetch) at 80000001\n"),
    ),
    (
        "mw 80100002 0",
        same("mw: address error (store) at 80100002\n"),
    ),
    (
        "memtest",
        same(
            "Testing 80100000 to 801fffff, cached\nTesting a0100000 to a01fffff, uncached\n0 errors\n",
        ),
    ),
    (
        "memtest 80200000 1000",
        same(
            "Testing 80200000 to 80200fff, cached\nTesting a0200000 to a0200fff, uncached\n0 errors\n",
        ),
    ),
    // jr ra, with addiu v0, a0, 7 in its delay slot
    ("mw 80300000 3e00008", same("")),
    ("mw 80300004 24820007", same("")),
    ("go 80300000", same("v0 = 00000008\n")),
    ("go 80300000 one two", same("v0 = 0000000a\n")),
    (
        "go 80300002",
        same("go: '80300002' is not a hexadecimal address and a multiple of 4\n"),
    ),
];

const fn same(text: &str) -> [&str; 2] {
    [text, text]
}

fn start(endian: Endian) -> (Console, String) {
    let mut console = Console::start(Emulator::ours(PROGRAM, endian).ram(64).command());
    let banner = console.expect(PROMPT).replace('\r', "");
    (console, banner)
}

fn commands_work(endian: Endian) {
    let (mut console, banner) = start(endian);
    let order = if endian == Endian::Big {
        "big"
    } else {
        "little"
    };
    let cpu = "CPU   24Kf (PRId 00019300), FPU, 16 TLB entries, I-cache 2 KiB, D-cache 2 KiB\n";
    let pci = format!("PCI   {}\n", PCI.join("\n      "));
    let shown = format!(
        "\nSolderless ROM 1.0 ({order}-endian)\n{cpu}RAM   64 MiB\n{pci}Type help for the commands.\n"
    );
    assert_eq!(banner.trim_start_matches('\0'), shown);

    for (command, [little, big]) in COMMANDS {
        let prints = if endian == Endian::Big { big } else { little };
        assert_eq!(console.run(command, PROMPT), *prints, "{command}");
    }

    let help = console.run("help", PROMPT);
    for name in [
        "help", "info", "pci", "md", "mw", "memtest", "go", "reset", "poweroff",
    ] {
        assert!(
            help.lines().any(|line| line.starts_with(name)),
            "{name} in {help}"
        );
    }
    assert_eq!(console.run("pci", PROMPT), PCI.join("\n") + "\n");
    let info = console.run("info", PROMPT);
    for line in [
        &format!("Board Malta with CoreLV (revision word 00000420), switched to {order}-endian\n"),
        cpu,
        "RAM   64 MiB\n",
        "SPD   64 MiB by the EEPROM of the memory module\n",
        "Flash CFI at be000000, 4 MiB, command set 0001",
        &pci,
        "CP0   Status   ",
    ] {
        assert!(info.contains(line), "{line} in {info}");
    }
    // Count runs at half the CPU's 320 MHz, by the power management timer's clock.
    let clock = info.lines().find_map(|l| {
        l.strip_prefix("Clock ")?
            .split(' ')
            .next()?
            .parse::<f64>()
            .ok()
    });
    assert!(
        clock.is_some_and(|mhz| (318.0..=322.0).contains(&mhz)),
        "{info}"
    );

    // An exception in a program is reported, not the end: the instruction is break.
    assert_eq!(console.run("mw 80300000 d", PROMPT), "");
    let report = console.run("go 80300000", PROMPT);
    assert!(
        report.contains("breakpoint (code 9)") && report.contains("EPC 80300000"),
        "{report}"
    );

    assert_eq!(
        console
            .run("md 80100000 1 \x7f\x7f2", PROMPT)
            .lines()
            .count(),
        1
    );
    console.send("reset\r");
    assert!(console.expect(PROMPT).contains("Solderless ROM"));
    assert_eq!(
        console.run("help reset", PROMPT),
        "reset: reset the board\nWrites 42 to the FPGA's SOFTRES register.\n"
    );
    console.send("poweroff\r");
    let ended = console.wait();
    assert_eq!(ended.code(), Some(0));
    assert_eq!(ended.errors, "");
}

#[test]
fn commands_work_on_a_little_endian_board() {
    commands_work(Endian::Little);
}

#[test]
fn commands_work_on_a_big_endian_board() {
    commands_work(Endian::Big);
}

#[test]
fn every_cpu_model_boots() {
    for (model, name, fpu) in [
        ("4KEc", "4KEc", false),
        ("24Kc", "24Kc", false),
        ("24Kf", "24Kf", true),
        ("34Kf", "34Kf", true),
        ("74Kf", "74Kf", true),
    ] {
        let emulator = Emulator::ours(PROGRAM, Endian::Little).args(["--cpu", model]);
        let mut console = Console::start(emulator.command());
        let banner = console.expect(PROMPT);
        let fpu = if fpu { ", FPU" } else { ", no FPU" };
        assert!(
            banner.contains(&format!("CPU   {name} ")) && banner.contains(fpu),
            "{model}: {banner}"
        );
        console.send("poweroff\r");
        assert_eq!(console.wait().code(), Some(0), "{model}");
    }
}

#[test]
fn the_committed_images_are_what_the_sources_make() {
    for endian in Endian::BOTH {
        let compiler = format!("{}-gcc", endian.triple());
        if !guests::tool(&compiler, &format!("gcc-{}", endian.triple())) {
            return;
        }
    }
    if !guests::tool("riscv64-linux-gnu-gcc", "gcc-riscv64-linux-gnu")
        || !guests::tool("make", "make")
    {
        return;
    }
    let sources = guests::repository().join("machines/rom");
    let out = guests::cache().join(format!("rom-{}", std::process::id()));
    let make = std::process::Command::new("make")
        .arg("-C")
        .arg(&sources)
        .arg(format!("OUT={}", out.display()))
        .output();
    let make = make.expect("make runs");
    assert!(
        make.status.success(),
        "{}",
        String::from_utf8_lossy(&make.stderr)
    );
    let images = std::fs::read_dir(&sources).expect("the folder is there");
    let images = images.map(|entry| entry.expect("a file").file_name());
    let images: Vec<_> = images
        .filter_map(|name| name.into_string().ok())
        .filter(|name| name.ends_with(".bin"))
        .collect();
    assert!(images.len() >= 8, "{images:?}");
    for image in &images {
        let read = |folder: &std::path::Path| {
            std::fs::read(folder.join(image)).expect("the image is there")
        };
        assert!(
            read(&sources) == read(&out),
            "machines/rom/{image} is not what its sources make; run make there"
        );
    }
    std::fs::remove_dir_all(out).expect("the folder is there");
}

//! What fills memories: files of every format at their places, and flash memory that keeps what is programmed.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use solderless_testing::Console;

const PROGRAM: &str = env!("CARGO_BIN_EXE_solderless");
const PROMPT: &str = "rom> ";

/// Malta with a ROM, some RAM and AMD's flash memory where nothing else is.
const BOARD: &str = r#"
[board]
name = "memories"
extends = "malta"

[slot]
rom = { kind = "image", default = "null" }
sram = { kind = "image", default = "null" }
amd = { kind = "image", default = "null" }
huge = { kind = "image", default = "null" }

[dev.rom]
at = "sys:0x1a000000"
backend.image = "rom"
[dev.rom.rom]
size = "64KiB"

[dev.sram]
at = "sys:0x1b000000"
backend.image = "sram"
[dev.sram.ram]
size = "64KiB"

[dev.amd]
at = "sys:0x1c000000"
backend.image = "amd"
[dev.amd."cfi.pflash02"]
num-blocks = 8
sector-length = "64KiB"
width = 2

[dev.huge]
at = "sys:0x100000000"
backend.image = "huge"
[dev.huge.ram]
size = "2GiB"

[allow.unreachable-device]
huge = "its image alone is tried"
"#;

/// A board file and a command that runs it in its folder, with these in its slots.
fn run(folder: &Path, backends: &[&str]) -> Command {
    fs::write(folder.join("board.toml"), BOARD).expect("a board");
    let mut run = Command::new(PROGRAM);
    run.args(["run", "board.toml", "--ram", "16MiB"]);
    for backend in backends {
        run.args(["--backend", backend]);
    }
    run.current_dir(folder);
    run
}

/// Bytes in hexadecimal digits.
fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

/// A line of Intel HEX.
fn hex(kind: u8, address: u16, data: &[u8]) -> String {
    let [high, low] = address.to_be_bytes();
    let bytes = [&[data.len() as u8, high, low, kind], data].concat();
    let sum = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte));
    format!(":{}{sum:02X}\n", digits(&bytes))
}

/// A line of S-records with an address of 32 bits.
fn srec(kind: u8, address: u32, data: &[u8]) -> String {
    let bytes = [&[data.len() as u8 + 5][..], &address.to_be_bytes(), data].concat();
    let sum = !bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    format!("S{kind}{}{sum:02X}\n", digits(&bytes))
}

/// A little-endian ELF file for MIPS with one segment at an address in kseg1.
fn elf(address: u32, data: &[u8]) -> Vec<u8> {
    let words = |words: &[u32]| {
        words
            .iter()
            .flat_map(|w| w.to_le_bytes())
            .collect::<Vec<_>>()
    };
    let mut file = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x08\0\x01\0\0\0".to_vec();
    file.extend(words(&[address, 52, 0, 0]));
    file.extend(b"\x34\0\x20\0\x01\0\0\0\0\0\0\0");
    let len = data.len() as u32;
    file.extend(words(&[1, 84, address, address, len, len, 7, 4]));
    file.extend(data);
    file
}

#[test]
fn an_image_is_what_its_file_is_and_where_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &[u8]| fs::write(folder.path().join(name), content).unwrap();
    let lines = [
        hex(4, 0, &[0x1b, 0x00]),
        hex(0, 0x20, &[1, 2, 3, 4]),
        hex(0, 0x28, &[5, 6, 7, 8]),
        hex(1, 0, &[]),
    ];
    write("sram.hex", lines.concat().as_bytes());
    let lines = [
        srec(3, 0x1c00_0010, &[0x11, 0x22, 0x33, 0x44]),
        srec(7, 0, &[]),
    ];
    write("amd.srec", lines.concat().as_bytes());
    write("rom.elf", &elf(0xba00_0040, b"from ELF"));
    write("raw", b"raw data");
    let boot = |backends: &[&str]| {
        let mut console = Console::start(run(folder.path(), backends));
        console.expect(PROMPT);
        console
    };
    let mut console = boot(&[
        "rom=file:rom.elf",
        "sram=file:sram.hex",
        "amd=file:amd.srec",
    ]);
    for (command, prints) in [
        ("md ba000040 2", "ba000040: 6d6f7266 464c4520"),
        ("md bb000020 3", "bb000020: 04030201 ffffffff 08070605"),
        ("md bc000010 2", "bc000010: 44332211 ffffffff"),
    ] {
        let said = console.run(command, PROMPT);
        assert!(said.starts_with(prints), "{command}: {said}");
    }
    drop(console);
    let mut console = boot(&[
        "rom=file:raw,at=0x80",
        "sram=file:sram.hex,format=raw",
        "amd=file:rom.elf,at=1KiB",
    ]);
    for (command, prints) in [
        ("md ba000080 2", "ba000080: 20776172 61746164"),
        ("md bb000000 1", "bb000000: 3032303a"),
        ("md bc000400 2", "bc000400: 6d6f7266 464c4520"),
    ] {
        let said = console.run(command, PROMPT);
        assert!(said.starts_with(prints), "{command}: {said}");
    }
}

#[test]
fn an_image_that_is_broken_or_elsewhere_is_refused_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str| fs::write(folder.path().join(name), content).unwrap();
    let (good, end) = (hex(0, 0, &[1, 2]), hex(1, 0, &[]));
    write(
        "sum",
        &format!("{good}{}{end}", good.replace("0102", "0103")),
    );
    write("cut", &good);
    write("low", &format!("{good}{end}"));
    write("long", &format!("{}{end}", hex(0, 0xffff, &[1, 2])));
    for (backend, why) in [
        (
            "rom=file:sum",
            "sum for the slot rom: line 2 of its Intel HEX: its checksum is FB, and its bytes make FA",
        ),
        (
            "rom=file:cut",
            "cut for the slot rom: its Intel HEX are cut short: the last line begins with :00000001",
        ),
        (
            "rom=file:low",
            "it has something for 0x0 to 0x1, and `rom` is at 0x1a000000 to 0x1a00ffff; `,at=0` puts",
        ),
        (
            "rom=file:long,at=0xffff",
            "0xffff to 0x10000 and what is before it do not fit into the 0x10000 bytes of `rom` from 0xffff on",
        ),
        (
            "amd=file:low,write",
            "it is ihex, and what the guest writes goes to a raw image; `,format=raw` takes it as one",
        ),
        ("amd=file:low,write,at=0", "leave out"),
        ("rom=file:low,at=here", "write at=0x1000 or at=4KiB"),
        (
            "huge=file:low,at=1536MiB",
            "with what is before that, it takes 0x60000002 bytes of `huge`, and 0x40000000 is the most",
        ),
        (
            "rom=file:low,format=hex",
            "hex is no format: there are raw, elf, ihex, srec",
        ),
    ] {
        let Output { status, stderr, .. } = run(folder.path(), &[backend]).output().unwrap();
        let said = String::from_utf8_lossy(&stderr);
        assert_eq!(status.code(), Some(2), "{backend}: {said}");
        assert!(said.contains(why), "{backend}: {said}");
    }
}

#[test]
fn what_is_programmed_into_amds_flash_is_in_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("flash.img");
    fs::write(&image, vec![0x5a; 0x2_0000]).unwrap();
    let boot = || {
        let mut console = Console::start(run(folder.path(), &["amd=file:flash.img,write"]));
        console.expect(PROMPT);
        console
    };
    let mut console = boot();
    let unlock = ["mw.h bc000aaa aa", "mw.h bc000554 55"];
    let erase = [
        &unlock[..],
        &["mw.h bc000aaa 80"],
        &unlock,
        &["mw.h bc010000 30"],
    ]
    .concat();
    let program = [&unlock[..], &["mw.h bc000aaa a0", "mw.h bc010004 1234"]].concat();
    for command in [erase, program].concat() {
        assert_eq!(console.run(command, PROMPT), "", "{command}");
    }
    let said = console.run("md.h bc010000 4", PROMPT);
    assert!(said.starts_with("bc010000: ffff ffff 1234 ffff"), "{said}");
    console.send("poweroff\r");
    assert_eq!(console.wait().code(), Some(0));
    let kept = fs::read(&image).unwrap();
    assert_eq!(kept.len(), 0x2_0000);
    assert!(kept[..0x1_0000].iter().all(|byte| *byte == 0x5a));
    assert_eq!(
        kept[0x1_0000..0x1_0008],
        [0xff, 0xff, 0xff, 0xff, 0x34, 0x12, 0xff, 0xff]
    );
    let said = boot().run("md.h bc010000 4", PROMPT);
    assert!(said.starts_with("bc010000: ffff ffff 1234 ffff"), "{said}");
}

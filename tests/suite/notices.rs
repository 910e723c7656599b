//! What the program says on standard error of a guest that goes wrong.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A CPU, memory, a ROM at the reset vector, and an ISA bus with nothing on it at 0x1800_0000.
const BOARD: &str = r#"
[board]
name = "bare"

[slot]
rom = { kind = "image" }

[boot]
firmware = "rom"
memory = "ram"
cpu = "cpu"
protocol = "none"
low-memory = "1MiB"

[dev.cpu]
at = "sys"
[dev.cpu.mips32-cpu]
clock = "1MHz"

[dev.ram]
at = "sys:0x00000000"
[dev.ram.ram]
size = "1MiB"

[dev.rom]
at = "sys:0x1fc00000"
backend.image = "rom"
[dev.rom.rom]
size = "4KiB"

[dev.io]
at = "sys:0x18000000"
[dev.io.isa-mmio]

[allow.undriven-input]
"cpu.ip" = "there is nothing to interrupt it"
"#;

const NOP: u32 = 0;
const SELF: u32 = 0x1000_ffff;

fn lui(rt: u32, value: u32) -> u32 {
    0x3c00_0000 | rt << 16 | value
}

struct Bare {
    folder: PathBuf,
}

impl Bare {
    fn new(name: &str, board: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("bare.toml"), board).unwrap();
        Self { folder }
    }

    /// What is on standard error of a run with this ROM, line by line.
    fn run(&self, words: &[u32], options: &[&str]) -> Vec<String> {
        let rom: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        let image = self.folder.join("rom.bin");
        fs::write(&image, rom).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_solderless"))
            .arg("run")
            .arg(self.folder.join("bare.toml"))
            .arg("--firmware")
            .arg(&image)
            .args(["--deterministic", "--max-time", "2s"])
            .args(options)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(124), "{errors}");
        errors.lines().map(str::to_owned).collect()
    }
}

#[test]
fn a_guest_that_cannot_go_on_is_told_of_once_without_being_asked() {
    let bare = Bare::new("notices", BOARD);
    for (name, words, expected) in [
        ("zeros", &[NOP; 1024][..], Some("there are zeros")),
        ("ones", &[u32::MAX; 1024], Some("there are ones")),
        // An Address Error, and a handler that is one more.
        (
            "exceptions",
            &{
                let mut words = [0x8c01_0001; 256];
                words[0] = lui(1, 0);
                words
            },
            Some("EPC 0xbfc00004, BadVAddr 0x00000001"),
        ),
        (
            "a handler",
            &{
                let mut words = [NOP; 256];
                (words[0], words[0xe0]) = (0xc, SELF);
                words
            },
            Some("System Call, EPC 0xbfc00000"),
        ),
        // A load that misses the TLB, and a handler that returns.
        (
            "a handler that does nothing",
            &{
                let mut words = [NOP; 256];
                words[..3].copy_from_slice(&[lui(1, 0x40), 0x4081_6000, NOP]);
                (words[3], words[0x80]) = (0x8c01_0010, 0x4200_0018);
                words
            },
            Some("TLB miss of a load or fetch, EPC 0xbfc0000c, BadVAddr 0x00000010"),
        ),
        // System calls in a loop, each of which is returned from to what follows it.
        (
            "system calls",
            &{
                let mut words = [NOP; 256];
                words[..3].copy_from_slice(&[lui(1, 0x40), 0x4081_6000, NOP]);
                words[3..6].copy_from_slice(&[0xc, 0x1000_fffe, NOP]);
                // mfc0 k0, EPC; addiu k0, k0, 4; mtc0 k0, EPC; ehb; eret
                let handler = [0x401a_7000, 0x275a_0004, 0x409a_7000, 0xc0, 0x4200_0018];
                words[0xe0..0xe5].copy_from_slice(&handler);
                words
            },
            None,
        ),
        ("a program", &[SELF, NOP], None),
    ] {
        let errors = bare.run(words, &[]);
        assert_eq!(
            errors.len(),
            usize::from(expected.is_some()),
            "{name}: {errors:#?}"
        );
        for (line, expected) in errors.iter().zip(expected) {
            assert!(line.contains(expected), "{name}: {line}");
        }
    }
}

#[test]
fn a_board_without_a_cpu_is_told_of() {
    let (rest, _) = BOARD.split_once("[boot]").unwrap();
    let ram = "[dev.ram]\nat = \"sys:0\"\n[dev.ram.ram]\n";
    let bare = Bare::new("no-cpu", "");
    fs::write(bare.folder.join("bare.toml"), format!("{rest}{ram}")).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_solderless"))
        .arg("run")
        .arg(bare.folder.join("bare.toml"))
        .args(["--max-time", "1ms"])
        .output()
        .unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(
        errors.contains("the board has no CPU: nothing is executed"),
        "{errors}"
    );
}

#[test]
fn a_stray_access_is_logged_with_what_it_was_and_a_busy_place_hides_no_other() {
    let bare = Bare::new("stray", BOARD);
    // Bus errors are returned from behind their instruction.
    let handler = [
        0x401a_7000_u32, // mfc0 k0, EPC
        0x275a_0004,     // addiu k0, k0, 4
        0x409a_7000,     // mtc0 k0, EPC
        NOP,
        0x4200_0018, // eret
    ];
    let mut words = vec![
        lui(1, 0x40),
        0x4081_6000,    // mtc0 at, Status: no error level
        lui(8, 0xb000), // t0: nothing is there
        lui(9, 0xb800), // t1: the ISA bus
        0x240a_0000 | 2000,
        0x3c0b_1234,
        0x356b_5678, // t3 = 0x12345678
        // loop:
        0x8d01_0010, // lw at, 0x10(t0)
        0x254a_ffff, // addiu t2, t2, -1
        0x1540_fffd, // bne t2, zero, loop
        NOP,
        0xad0b_0020, // sw t3, 0x20(t0)
        0x912c_0061, // lbu t4, 0x61(t1)
        0xa52b_0070, // sh t3, 0x70(t1)
        SELF,
        NOP,
    ];
    words.resize(0xe0, NOP);
    words.extend(handler);
    let errors = bare.run(&words, &["-vv"]);
    let count = |text: &str| errors.iter().filter(|line| line.contains(text)).count();
    let read = "cpu: nothing answers: read of 4 bytes at 0x10000010, pc 0xbfc0001c";
    // The first five, the 10th, the 100th, the 1000th.
    assert_eq!(count(read), 8, "{errors:#?}");
    for line in [
        "pc 0xbfc0001c (1000 times from here)",
        "cpu: nothing answers: write of 4 bytes, 0x12345678, at 0x10000020, pc 0xbfc0002c",
        "cpu: no device is at the port: read of 1 byte at 0x18000061, pc 0xbfc00030",
        "cpu: no device is at the port: write of 2 bytes, 0x5678, at 0x18000070, pc 0xbfc00034",
        "cpu from pc 0xbfc0001c: 2000 times in all",
    ] {
        assert_eq!(count(line), 1, "{line} in {errors:#?}");
    }
    assert!(bare.run(&words, &[]).is_empty());
}

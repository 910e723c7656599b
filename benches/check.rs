//! What it costs to check a board as a process: Malta, and generated boards of a thousand and of a hundred thousand devices,
//! in chips three deep, on a board that extends fifty others.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use solderless_testing::report::{self, row, verdict};
use solderless_testing::usage;

/// Devices in the chip `mid`, all that is in its chips included.
const PER_CHIP: usize = 41;
/// Boards that the generated one extends, each the one before.
const CHAIN: usize = 50;

/// Four 16550s.
fn quad() -> String {
    let mut out = String::from(
        "[interface]\nname = \"quad\"\n[param.baudbase]\ntype = \"int\"\ndefault = 115200\n",
    );
    for n in 0..4 {
        let _ = write!(
            out,
            "[port.intr{n}]\noutput = \"uart{n}.intr\"\n\
             [dev.uart{n}]\nat = \"chip:{:#x}\"\n[dev.uart{n}.serial-mm]\nregshift = 2\nbaudbase = \"${{baudbase}}\"\n",
            n * 0x20
        );
    }
    // Sixty thousand warnings are not what is measured.
    out.push_str("[allow.empty-slot]\n");
    for n in 0..4 {
        let _ = writeln!(out, "\"uart{n}.chr\" = \"nothing is sent\"");
    }
    out
}

/// A host bridge with a PIIX4, twelve 16550s and twenty EEPROMs.
fn mid() -> String {
    let mut out = String::from(
        "[interface]\nname = \"mid\"\n[param.baudbase]\ntype = \"int\"\ndefault = 9600\n\
         [port]\nintr = { output = \"south.intr\" }\n\
         [dev.host]\nat = \"sys\"\nirq.int = \"south[irq.5]\"\n[dev.host.gt64120]\n\
         [chip.south]\nuse = \"piix4\"\nat = \"host.pci:0a\"\n",
    );
    for n in 0..3 {
        let _ = write!(
            out,
            "[chip.quad{n}]\nuse = \"quad\"\nat = \"chip:{:#x}\"\nparam.baudbase = \"${{baudbase}}\"\n\
             irq = {{ intr0 = \"south[irq.3]\", intr1 = \"south[irq.4]\", intr2 = \"south[irq.6]\", intr3 = \"south[irq.7]\" }}\n",
            n * 0x100
        );
    }
    for n in 0..20 {
        let _ = write!(
            out,
            "[dev.eeprom{n}]\nat = \"south.smbus:{:#x}\"\n[dev.eeprom{n}.smbus-eeprom]\n",
            0x20 + n
        );
    }
    out
}

/// Writes a board of about so many devices, and the files that it is made of. Returns how many it has.
fn generate(folder: &Path, devices: usize) -> usize {
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).expect("a file");
    write("quad.toml", &quad());
    write("mid.toml", &mid());
    let mut board = String::from(
        "[board]\nname = \"generated\"\n[dev.cpu]\nat = \"sys\"\n[dev.cpu.mips32-cpu]\n\
         [defaults.PIIX4_PM]\nmemory-hotplug-support = false\nacpi-pci-hotplug-with-bridge-support = false\n\
         acpi-root-pci-hotplug = false\n[join.all]\ninputs = \"cpu[2]\"\nop = \"or\"\n",
    );
    let chips = devices.div_ceil(PER_CHIP);
    for n in 0..chips {
        let _ = write!(
            board,
            "[chip.m{n}]\nuse = \"mid\"\nat = \"sys:{:#x}\"\nirq.intr = \"cpu[2]\"\n",
            0x2000_0000u64 + n as u64 * 0x1000
        );
    }
    write("base0.toml", &board);
    for n in 1..CHAIN {
        let text = format!(
            "[board]\nname = \"base{n}\"\nextends = \"base{}\"\n[dev.cpu.mips32-cpu]\nclock = \"{}MHz\"\n",
            n - 1,
            100 + n
        );
        write(&format!("base{n}.toml"), &text);
    }
    let text = format!(
        "[board]\nname = \"generated\"\nextends = \"base{}\"\n",
        CHAIN - 1
    );
    write("board.toml", &text);
    1 + chips * PER_CHIP
}

/// Checks a board so many times: milliseconds of CPU time each, and the peak of resident memory in MiB.
fn check(board: &str, times: u32) -> (f64, f64) {
    let mut memory: f64 = 0.0;
    let before = usage::children();
    for _ in 0..times {
        let mut child = Command::new(env!("CARGO_BIN_EXE_solderless"))
            .args(["check", board])
            .stdout(Stdio::null())
            .spawn()
            .expect("the program");
        while child.try_wait().expect("a child").is_none() {
            let now = usage::living_memory_kib(child.id(), "VmHWM");
            memory = memory.max(now.unwrap_or(0) as f64 / 1024.0);
            std::thread::sleep(Duration::from_micros(500));
        }
        assert!(child.wait().expect("a child").success(), "{board}");
    }
    let time = (usage::children() - before).as_secs_f64() * 1e3;
    (time / f64::from(times), memory)
}

fn main() {
    report::heading("Checking boards, as a process: CPU time and peak memory");
    let folder = tempfile::tempdir().expect("a folder");
    let board = folder.path().join("board.toml");
    let board = board.to_str().expect("a path");
    let mut rows = vec![row(["", "CPU time", "a device", "memory", "target", ""])];
    let (time, _) = check("malta", 400);
    rows.push(vec![
        "malta".into(),
        format!("{time:.2} ms"),
        String::new(),
        String::new(),
        "< 5 ms".into(),
        verdict(time < 5.0).into(),
    ]);
    let mut first = None;
    for (devices, times) in [(1_000, 100), (100_000, 5)] {
        let count = generate(folder.path(), devices);
        let (time, memory) = check(board, times);
        let each = time * 1e3 / count as f64;
        let ratio = each / *first.get_or_insert(each);
        let reached = time < 1000.0 && memory < 500.0 && ratio <= 1.5;
        let target = if devices > 1_000 {
            format!("< 1 s, < 500 MiB, ≤ 1.5× a device (is {ratio:.2}×)")
        } else {
            String::new()
        };
        rows.push(vec![
            format!("{count} devices"),
            format!("{time:.1} ms"),
            format!("{each:.2} µs"),
            format!("{memory:.0} MiB"),
            target.clone(),
            if target.is_empty() {
                String::new()
            } else {
                verdict(reached).into()
            },
        ]);
    }
    report::table(&rows);
}

//! The PC: its own ROM, and SeaBIOS of Debian's package.

use solderless_testing::emulator::Emulator;
use solderless_testing::{Console, guests};

const PROGRAM: &str = env!("CARGO_BIN_EXE_solderless");

fn start(args: &[&str]) -> Console {
    let emulator = Emulator::ours_with(PROGRAM, "pc").args(args);
    Console::start(emulator.command())
}

#[test]
fn the_rom_says_what_it_found() {
    const PCI: &str = "PCI   00:00.0 8086:1237 host bridge
      00:01.0 8086:7000 ISA bridge
      00:01.3 8086:7113 bridge
";
    for (model, ram, found) in [
        (
            "486",
            "2MiB",
            "CPU   GenuineIntel (00000480), fpu\nRAM   2 MiB\n",
        ),
        (
            "pentium3",
            "64MiB",
            "CPU   GenuineIntel (00000683), fpu pse tsc msr pae cx8 apic sep mtrr pge cmov mmx fxsr sse\nRAM   64 MiB\n",
        ),
        (
            "qemu64",
            "256MiB",
            "CPU   QEMU Virtual CPU version 2.5+ (00060fb1), fpu pse tsc msr pae cx8 apic sep mtrr pge cmov mmx fxsr sse sse2 syscall nx lm\nRAM   256 MiB\n",
        ),
    ] {
        for engine in ["interp", "jit"] {
            let mut console = start(&["--cpu", model, "--ram", ram, "--engine", engine]);
            let said = console
                .expect("There is nothing to boot.")
                .replace('\r', "");
            assert_eq!(said, format!("\nSolderless ROM 1.0 (x86)\n{found}{PCI}"));
        }
    }
}

#[test]
fn seabios_looks_for_a_disk() {
    let Some(firmware) = guests::seabios() else {
        return;
    };
    let firmware = firmware.display().to_string();
    let mut console = start(&[
        "--deterministic",
        "--firmware",
        &firmware,
        "--backend",
        "serial0=null",
        "--backend",
        "debugcon=console",
    ]);
    let said = console.expect("No bootable device.");
    for line in [
        "Running on QEMU (i440fx)",
        "QEMU fw_cfg DMA interface supported",
        "qemu/e820: addr 0x0000000000000000 len 0x0000000008000000 [RAM]",
        "PCI: init bdf=00:01.3 id=8086:7113",
        "Using pmtimer, ioport 0xb008",
        "PS2 keyboard initialized",
        "  3: 0000000000100000 - 0000000007ffe000 = 1 RAM",
    ] {
        assert!(said.contains(line), "{line} in {said}");
    }
}

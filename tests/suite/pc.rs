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
      00:01.1 8086:7010 IDE controller
      00:01.3 8086:7113 bridge
      00:02.0 1234:1111 VGA
      00:03.0 8086:100e Ethernet
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

/// The code of a program that sends to COM1 what EBX points at, up to a zero, and waits.
fn print(to_ebx: &[u8]) -> Vec<u8> {
    let send = [
        0xba, 0xf8, 0x03, 0x00, 0x00, // mov edx, 3f8h
        0x8a, 0x03, // next: mov al, [ebx]
        0x43, // inc ebx
        0x84, 0xc0, // test al, al
        0x74, 0x03, // jz end
        0xee, // out dx, al
        0xeb, 0xf6, // jmp next
        0xf4, // end: hlt
        0xeb, 0xfd, // jmp end
    ];
    [to_ebx, &send].concat()
}

#[test]
fn a_bzimage_is_started_with_its_command_line() {
    let mut kernel = vec![0; 0x600];
    kernel[0x1f1] = 1;
    kernel[0x1fe..0x202].copy_from_slice(&[0x55, 0xaa, 0xeb, 0x6a]);
    kernel[0x202..0x208].copy_from_slice(b"HdrS\x0f\x02");
    kernel[0x211] = 1;
    kernel[0x22c..0x230].copy_from_slice(&[0xff, 0xff, 0xff, 0x7f]);
    kernel[0x238] = 0xff;
    // mov ebx, [esi + 228h]
    let code = print(&[0x8b, 0x9e, 0x28, 0x02, 0x00, 0x00]);
    kernel[0x400..0x400 + code.len()].copy_from_slice(&code);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("vmlinuz");
    std::fs::write(&file, kernel).unwrap();
    let file = file.display().to_string();
    let mut console = start(&["--kernel", &file, "--append", "console=ttyS0 <end>"]);
    assert_eq!(console.expect("<end>"), "console=ttyS0 ");
}

#[test]
fn seabios_boots_a_disk() {
    let Some(firmware) = guests::seabios() else {
        return;
    };
    let firmware = firmware.display().to_string();
    // In real mode: mov bx, 7c20h, and the program below it in code of 16 bits.
    let code = [
        0xbb, 0x20, 0x7c, 0xba, 0xf8, 0x03, 0x8a, 0x07, 0x43, 0x84, 0xc0, 0x74, 0x03, 0xee, 0xeb,
        0xf6, 0xf4, 0xeb, 0xfd,
    ];
    let mut sector = vec![0; 1 << 20];
    sector[..code.len()].copy_from_slice(&code);
    sector[0x20..0x31].copy_from_slice(b"read from a disk\n");
    sector[510..512].copy_from_slice(&[0x55, 0xaa]);
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk.img");
    std::fs::write(&disk, sector).unwrap();
    let disk = format!("{},format=raw", disk.display());
    let mut console = start(&["--deterministic", "--firmware", &firmware, "--disk", &disk]);
    console.expect("read from a disk");
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
        "Using pmtimer, ioport 0x608",
        "PS2 keyboard initialized",
        "  3: 0000000000100000 - 0000000007fff000 = 1 RAM",
    ] {
        assert!(said.contains(line), "{line} in {said}");
    }
}

/// The compiler of ACPI's language takes apart what the program makes, and finds nothing wrong with it.
#[test]
fn acpi_tables_have_no_errors() {
    if !guests::tool("iasl", "acpica-tools") {
        return;
    }
    for board in ["pc"] {
        let folder = tempfile::tempdir().unwrap();
        let run = |program: &str, args: &[&str]| {
            let mut command = std::process::Command::new(program);
            let done = command.args(args).current_dir(&folder).output().unwrap();
            assert!(done.status.success(), "{program} {args:?}: {done:?}");
            String::from_utf8_lossy(&done.stdout).into_owned()
        };
        let hex = run(PROGRAM, &["acpi", board]);
        std::fs::write(folder.path().join("tables"), hex).unwrap();
        run("acpixtract", &["-a", "tables"]);
        run("iasl", &["-d", "dsdt.dat"]);
        let said = run("iasl", &["dsdt.dsl"]);
        assert!(said.contains("0 Errors"), "{said}");
        let text = std::fs::read_to_string(folder.path().join("dsdt.dsl")).unwrap();
        for name in [
            "PCI0", "ISA", "LNKD", "COM1", "KBD1", "MOU1", "RTC1", "PIC1", "_S5",
        ] {
            assert!(text.contains(name), "{name}: {text}");
        }
        run("iasl", &["-d", "facp.dat"]);
        let fadt = std::fs::read_to_string(folder.path().join("facp.dsl")).unwrap();
        assert!(fadt.contains("SCI Interrupt : 0009"), "{fadt}");
        assert!(!fadt.contains("Incorrect checksum"), "{fadt}");
    }
}

/// A board without ACPI's power management has no tables.
#[test]
fn a_board_without_acpi_is_refused() {
    let mut command = std::process::Command::new(PROGRAM);
    let done = command.args(["acpi", "mipssim"]).output().unwrap();
    assert_eq!(done.status.code(), Some(2));
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(said.contains("mipssim has no ACPI tables"), "{said}");
}

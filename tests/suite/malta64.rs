//! Malta with a CPU of 64 bits: Debian's U-Boot and kernel for it, and its kernel of 32 bits.

use solderless_testing::emulator::Emulator;
use solderless_testing::guests::{self, Linux};
use solderless_testing::{Console, Endian};

const PROGRAM: &str = env!("CARGO_BIN_EXE_solderless");
const PROMPT: &str = "~ # ";

fn linux(linux: &Linux, model: &str) -> Console {
    let ours = Emulator::ours_with(PROGRAM, "malta64").ram(256);
    let model = format!("param.cpu={model}");
    let ours = ours.args(["--set", &model]);
    let ours = ours.linux(linux, "console=ttyS0 rdinit=/bin/sh");
    Console::start(ours.command())
}

#[test]
fn uboot_works_as_in_qemu() {
    const PROMPT: &str = "maltael # ";
    let Some(image) = guests::uboot64() else {
        return;
    };
    let Some(qemu) = Emulator::qemu64(Endian::Little) else {
        return;
    };
    let ours = Emulator::ours_with(PROGRAM, "malta64");
    let start = |emulator: Emulator| {
        let emulator = emulator.ram(256).firmware(&image, Endian::Little);
        Console::start(emulator.command())
    };
    let (mut ours, mut theirs) = (start(ours), start(qemu));
    assert_eq!(ours.expect(PROMPT), theirs.expect(PROMPT));
    for command in [
        "version",
        "bdinfo",
        "pci 0",
        "flinfo",
        "md.q ffffffffbfc00000 8",
        "md.q 900000001fc00000 2",
        "mw.q ffffffff81000000 8123456789abcdef 4",
        "md.q ffffffff81000000 4",
        "crc32 ffffffffbe000000 40000",
    ] {
        let (here, there) = (ours.run(command, PROMPT), theirs.run(command, PROMPT));
        assert_eq!(here, there, "{command}");
    }
}

#[test]
fn debian_boots_to_a_shell() {
    let Some(kernel) = guests::linux64() else {
        return;
    };
    let mut console = linux(&kernel, "MIPS64R2-generic");
    let boot = console.expect(PROMPT);
    assert!(
        !boot.contains("Oops") && !boot.contains("WARNING"),
        "{boot}"
    );
    console.run("mount -t proc p /proc", PROMPT);
    assert!(console.run("uname -m", PROMPT).contains("mips64"));
    let about = console.run("cat /proc/cpuinfo", PROMPT);
    assert!(about.contains("mips64r2"), "{about}");
    // The shell's numbers have 64 bits.
    let product = console.run("echo $((123456789 * 987654321))", PROMPT);
    assert!(product.contains("121932631112635269"), "{product}");
    console.send("poweroff -f\r");
    let ended = console.wait();
    assert_eq!((ended.code(), &*ended.errors), (Some(0), ""));
}

#[test]
fn a_kernel_of_32_bits_boots_on_it() {
    let Some(kernel) = guests::linux() else {
        return;
    };
    let mut console = linux(&kernel, "5KEc");
    let boot = console.expect("Memory: ");
    assert!(boot.contains("CPU0 revision is: 00018900"), "{boot}");
}

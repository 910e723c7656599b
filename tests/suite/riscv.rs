//! Debian's firmware, kernel and U-Boot for RISC-V on `riscv-virt`.

use std::process::Command;

use solderless_testing::Console;
use solderless_testing::emulator::Emulator;
use solderless_testing::guests::{self, Riscv};

const PROGRAM: &str = env!("CARGO_BIN_EXE_solderless");
const PROMPT: &str = "~ # ";
const UBOOT_PROMPT: &str = "=> ";

/// A machine with Debian's kernel, to a shell; the program's own firmware starts it.
fn linux(guests: &Riscv) -> Emulator {
    Emulator::ours_with(PROGRAM, "riscv-virt")
        .ram(512)
        .linux(&guests.linux, "console=ttyS0 rdinit=/bin/sh")
}

/// The same with OpenSBI.
fn linux_by_opensbi(guests: &Riscv) -> Emulator {
    linux(guests).args(["--firmware".as_ref(), guests.fw_dynamic.as_os_str()])
}

#[test]
fn debian_boots_on_four_harts_and_powers_off() {
    let Some(guests) = guests::riscv() else {
        return;
    };
    let mut console = Console::start(linux(&guests).args(["--cpus", "4"]).command());
    let boot = console.expect(PROMPT);
    for said in [
        "Solderless SBI 1.0, 4 harts",
        "SBI RFENCE extension detected",
        "SBI HSM extension detected",
        "Machine model: RISC-V virt",
        "smp: Brought up 1 node, 4 CPUs",
    ] {
        assert!(boot.contains(said), "{said} not in {boot}");
    }
    for trouble in [
        "Call Trace",
        "BUG",
        "Oops",
        "Unable to handle",
        "soft lockup",
        "WARNING",
    ] {
        assert!(!boot.contains(trouble), "{trouble} in {boot}");
    }
    for (command, prints) in [
        (
            "stty columns 400; dmesg -n 1; mount -t proc p /proc; mount -t sysfs s /sys",
            "",
        ),
        ("cat /sys/devices/system/cpu/online", "0-3\n"),
        ("grep -c '^mmu.*sv57' /proc/cpuinfo", "4\n"),
        (
            "printf abc | sha1sum",
            "a9993e364706816aba3e25717850c26c9cd0d89d  -\n",
        ),
        (
            "awk 'BEGIN { print 1 / 3, 2 / 3 * 1e300, int(-2.5), 0.1 + 0.2 }'",
            "0.333333 6.66667e+299 -2 0.3\n",
        ),
        (
            "for i in 1 2 3 4 5 6 7 8; do (echo $i > /p$i) & done; wait; cat /p?",
            "1\n2\n3\n4\n5\n6\n7\n8\n",
        ),
        // As QEMU's kernel shows it, but for PCI, which is not there, and the serial port, which has its registers alone.
        (
            "head -3 /proc/iomem",
            "00101000-00101fff : 101000.rtc rtc@101000\n10000000-10000007 : serial\n80000000-8000ffff : Reserved\n",
        ),
        (
            "sed -n 's/^ *1[0-9]:.*  //p' /proc/interrupts",
            "riscv-timer\nttyS0\n101000.rtc\n",
        ),
    ] {
        assert_eq!(console.run(command, PROMPT), prints, "{command}");
    }
    console.send("poweroff -f\r");
    let ended = console.wait();
    assert_eq!(ended.code(), Some(0), "{}", ended.errors);
}

/// What a run prints, and the last line of what it says: its state.
fn state(mut command: Command) -> (String, String) {
    command.args(["--deterministic", "--state-hash"]);
    let mut console = Console::start(command);
    console.close_input();
    let ended = console.wait();
    let last = ended.errors.lines().last().unwrap_or_default();
    assert!(
        last.starts_with("state "),
        "{}{}",
        ended.output,
        ended.errors
    );
    let last = last.into();
    (ended.output, last)
}

#[test]
fn a_boot_of_two_harts_goes_on_from_its_middle_in_another_engine() {
    let Some(guests) = guests::riscv() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let place = format!("file:{}", folder.path().join("middle.snap").display());
    let harts = |time: &str| {
        let emulator = linux_by_opensbi(&guests);
        emulator.args(["--cpus", "2", "--max-time", time])
    };
    let (boot, through) = state(harts("400ms").command());
    assert!(boot.contains("Platform HART Count       : 2"), "{boot}");
    let interpreted = ["--engine", "interp", "--save-on-exit", &place];
    state(harts("200ms").args(interpreted).command());
    let mut rest = Command::new(PROGRAM);
    rest.args(["run", "--restore", &place, "--max-time", "200ms"]);
    assert_eq!(state(rest).1, through);
}

#[test]
fn u_boot_comes_to_its_prompt_and_resets() {
    let Some(guests) = guests::riscv() else {
        return;
    };
    let emulator = || Emulator::ours_with(PROGRAM, "riscv-virt").kernel(&guests.uboot);
    u_boot(emulator());
    u_boot(emulator().args(["--firmware".as_ref(), guests.fw_jump.as_os_str()]));
}

fn u_boot(emulator: Emulator) {
    let mut console = Console::start(emulator.command());
    let to_the_prompt = |console: &mut Console| {
        let boot = console.expect("Hit any key to stop autoboot");
        assert!(boot.contains("Model: RISC-V virt"), "{boot}");
        console.send("\r");
        console.expect(UBOOT_PROMPT);
    };
    to_the_prompt(&mut console);
    let info = console.run("bdinfo", UBOOT_PROMPT);
    assert!(info.contains("size     = 0x0000000010000000"), "{info}");
    // Where OpenSBI has put it, and what it begins with.
    let dump = console.run("md 80200000 4", UBOOT_PROMPT);
    assert!(dump.starts_with("80200000: "), "{dump}");
    console.send("reset\r");
    to_the_prompt(&mut console);
}

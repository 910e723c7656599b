//! Debian's kernel for the Malta board, to the shell and back, beside the same kernel in QEMU.

use solderless_testing::emulator::Emulator;
use solderless_testing::guests::{self, Linux};
use solderless_testing::{Console, Endian};

const PROGRAM: &str = env!("CARGO_BIN_EXE_solderless");
const PROMPT: &str = "~ # ";

/// What `/proc/cpuinfo` may say here and not in QEMU, and the other way round.
const CPUINFO_DIFFERS: &[(&str, &str)] = &[
    ("BogoMIPS", "a measurement of the emulator's speed"),
    (
        "hardware watchpoint",
        "QEMU has eight pairs of watch registers that never trigger; Config1.WR is clear here",
    ),
    (
        "ASEs implemented",
        "QEMU has MIPS16; Config1.CA is clear here",
    ),
    (
        "Options implemented",
        "QEMU's Config1.EP promises an EJTAG unit that it lacks; the bit is clear here",
    ),
];

/// Starts a machine with Debian's kernel.
fn start(emulator: Emulator, linux: &Linux) -> Console {
    let emulator = emulator
        .ram(256)
        .linux(linux, "console=ttyS0 rdinit=/bin/sh");
    Console::start(emulator.command())
}

/// Waits for the shell, and prepares it.
fn to_the_shell(console: &mut Console) -> String {
    let boot = console.expect(PROMPT);
    for command in [
        "stty columns 400; dmesg -n 1",
        "mount -t proc p /proc; mount -t sysfs s /sys",
    ] {
        assert_eq!(console.run(command, PROMPT), "", "{command}");
    }
    boot
}

/// The lines of a text, without those that start with one of these words.
fn lines<'a>(text: &'a str, without: &[&str]) -> Vec<&'a str> {
    text.lines()
        .filter(|line| !without.iter().any(|word| line.starts_with(word)))
        .collect()
}

#[test]
fn debian_boots_works_reboots_and_powers_off_as_in_qemu() {
    let Some(linux) = guests::linux() else { return };
    let Some(qemu) = Emulator::qemu(Endian::Little) else {
        return;
    };
    // Its card has a ROM with code for PCs.
    let mut theirs = start(qemu.args(["-global", "pcnet.rombar=0"]), &linux);
    let mut ours = start(Emulator::ours(PROGRAM, Endian::Little), &linux);
    let boot = to_the_shell(&mut ours);
    to_the_shell(&mut theirs);

    the_boot_is_clean(&boot);
    the_guest_sees_what_qemu_shows(&mut ours, &mut theirs);
    commands_give_what_they_give_anywhere(&mut ours);
    time_passes(&mut ours);

    ours.send("reboot -f\r");
    let again = ours.expect(PROMPT);
    assert!(again.contains("Linux version 6.1"), "{again}");
    assert_eq!(ours.run("echo up $((6 * 7))", PROMPT), "up 42\n");
    ours.send("poweroff -f\r");
    let ended = ours.wait();
    assert_eq!(ended.code(), Some(0), "{}", ended.errors);
    assert_eq!(ended.errors, "");
}

fn the_boot_is_clean(boot: &str) {
    assert!(
        boot.starts_with("[    0.000000] Linux version 6.1")
            || boot.contains("\n[    0.000000] Linux version 6.1"),
        "{boot}"
    );
    for said in [
        "MIPS: machine is mti,malta",
        "CPU0 revision is: 00019300 (MIPS 24Kc)",
        "FPU revision is: 00739300",
    ] {
        assert!(boot.contains(said), "{said} not in {boot}");
    }
    for trouble in [
        "Call Trace",
        "BUG",
        "Oops",
        "Unable to handle",
        "nobody cared",
        "soft lockup",
        "WARNING",
    ] {
        assert!(!boot.contains(trouble), "{trouble} in {boot}");
    }
}

/// Runs a command in both machines.
fn both(ours: &mut Console, theirs: &mut Console, command: &str) -> (String, String) {
    (ours.run(command, PROMPT), theirs.run(command, PROMPT))
}

fn the_guest_sees_what_qemu_shows(ours: &mut Console, theirs: &mut Console) {
    for command in [
        "cat /proc/ioports",
        "cat /proc/devices",
        // How often the kernel had to look for it, which its number tells, depends on the host's load.
        "sed 's,/input/input[0-9]*,,' /proc/bus/input/devices",
        "cat /proc/bus/pci/devices",
        "cat /sys/bus/pci/devices/*/resource",
        // QEMU's network card has the revision of an older one.
        "cd /sys/bus/pci/devices; for f in vendor device class revision subsystem_vendor subsystem_device irq; do grep . */$f; done | grep -v 0b.0/revision; cd",
        "md5sum /bin/busybox /lib/libc.so.6 /bin/udevadm",
        "depmod 2>/dev/null; modprobe uhci-hcd; sleep 1; dmesg | grep uhci_hcd | cut -c 16-",
    ] {
        let (here, there) = both(ours, theirs, command);
        assert!(here.lines().count() > 2, "{command}: {here}");
        assert_eq!(here, there, "{command}");
    }
    // The kernel lies elsewhere at every boot.
    let (here, there) = both(ours, theirs, "cat /proc/iomem");
    let named = |text: &str| -> Vec<String> {
        let strip = |line: &str| {
            line.split_once(" : Kernel")
                .map_or(line.to_owned(), |(_, name)| format!("Kernel{name}"))
        };
        text.lines().map(strip).collect()
    };
    assert_eq!(named(&here), named(&there));
    assert!(here.contains("00000000-0fffffff : System RAM"), "{here}");

    // The counts differ from boot to boot, the lines and their names do not.
    let (here, there) = both(ours, theirs, "cat /proc/interrupts");
    let named = |text: &str| -> Vec<String> {
        let strip = |line: &str| {
            line.split_whitespace()
                .enumerate()
                .filter(|(i, _)| *i != 1)
                .map(|(_, w)| format!("{w} "))
                .collect()
        };
        text.lines()
            .skip(1)
            .filter(|l| !l.starts_with("ERR"))
            .map(strip)
            .collect()
    };
    assert_eq!(named(&here), named(&there));
    for (irq, busy) in [("  4:", true), (" 23:", true), ("  8:", false)] {
        let line = here.lines().find(|l| l.starts_with(irq));
        let count = line.and_then(|l| l.split_whitespace().nth(1)?.parse::<u32>().ok());
        assert_eq!(count.map(|c| c > 0), Some(busy), "{irq} in {here}");
    }

    let (here, there) = both(ours, theirs, "cat /proc/cpuinfo");
    let differ: Vec<_> = CPUINFO_DIFFERS.iter().map(|(name, _)| *name).collect();
    assert_eq!(lines(&here, &differ), lines(&there, &differ));
    let options = here
        .lines()
        .find(|l| l.starts_with("Options implemented"))
        .unwrap_or_default();
    for option in [
        "tlb",
        "4kex",
        "4k_cache",
        "fpu",
        "32fpr",
        "prefetch",
        "llsc",
        "nan_legacy",
    ] {
        assert!(
            options.contains(&format!(" {option}")),
            "{option} in {options}"
        );
    }

    let (here, there) = both(ours, theirs, "cat /proc/tty/driver/serial");
    let ports = |text: &str| -> Vec<String> {
        text.lines()
            .map(|l| l.split(" tx:").next().unwrap_or_default().to_owned())
            .collect()
    };
    assert_eq!(ports(&here), ports(&there));
}

fn commands_give_what_they_give_anywhere(ours: &mut Console) {
    for (command, prints) in [
        (
            "echo $((123456789 * 1000 + 987)) $((1 << 40)) $((-7 / 2)) $((-7 % 3))",
            "123456789987 1099511627776 -3 -1\n",
        ),
        (
            "printf abc | md5sum",
            "900150983cd24fb0d6963f7d28e17f72  -\n",
        ),
        (
            "printf abc | sha1sum",
            "a9993e364706816aba3e25717850c26c9cd0d89d  -\n",
        ),
        (
            "awk 'BEGIN { print 1 / 3, 2 / 3 * 1e300, int(-2.5), 0.1 + 0.2 }'",
            "0.333333 6.66667e+299 -2 0.3\n",
        ),
        (
            "i=0; while [ $i -lt 2000 ]; do i=$((i + 1)); done; echo $i",
            "2000\n",
        ),
        (
            "mknod /zero c 1 5; head -c 8388608 /zero | md5sum",
            "96995b58d4cbf6aaa9041b4f00c7f6ae  -\n",
        ),
        (
            "for i in 1 2 3 4 5 6 7 8; do (echo $i > /p$i) & done; wait; cat /p?",
            "1\n2\n3\n4\n5\n6\n7\n8\n",
        ),
        (
            "cat /no/such/file; echo $?",
            "cat: can't open '/no/such/file': No such file or directory\n1\n",
        ),
    ] {
        assert_eq!(ours.run(command, PROMPT), prints, "{command}");
    }
}

/// The kernel's clock, the board's clock and the host's agree.
fn time_passes(ours: &mut Console) {
    let host = || {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |d| d.as_secs())
    };
    let before = host();
    let guest: u64 = ours
        .run("date +%s", PROMPT)
        .trim()
        .parse()
        .expect("seconds");
    // The guest may be slower than the wall clock where the host is busy, never faster; a leap it must not make.
    assert!(
        (before.saturating_sub(600)..=host() + 120).contains(&guest),
        "{guest} at {before}"
    );
    let text = ours.run("cat /proc/driver/rtc", PROMPT);
    assert!(
        text.contains("24hr\t\t: yes") && text.contains("batt_status\t: okay"),
        "{text}"
    );
    let text = ours.run(
        "t=$(cut -d. -f1 /proc/uptime); sleep 2; echo $(($(cut -d. -f1 /proc/uptime) - t))",
        PROMPT,
    );
    assert!(["2\n", "3\n"].contains(&text.as_str()), "{text}");
}

//! Debian on a disk: it boots to a login, what it writes is there after a reboot and in QEMU, and nothing is damaged.

use std::path::{Path, PathBuf};

use solderless_testing::emulator::Emulator;
use solderless_testing::installed::{self, APPEND, Installed, PROMPT};
use solderless_testing::{Console, Endian};

const PROGRAM: &str = env!("CARGO_BIN_EXE_solderless");

/// A copy of the disk, which a guest may write to.
fn copy(of: &Installed, folder: &Path) -> PathBuf {
    let disk = folder.join("disk.img");
    // Holes stay holes.
    let copied = std::process::Command::new("cp")
        .arg("--sparse=always")
        .args([&of.disk, &disk])
        .status();
    assert!(copied.expect("a copy").success());
    disk
}

fn ours(installed: &Installed, disk: &str) -> Emulator {
    Emulator::ours_with(PROGRAM, "malta-disk")
        .ram(256)
        .args(["--disk", disk])
        .linux(&installed.linux, APPEND)
}

/// Waits for the login, and logs in.
fn log_in(console: &mut Console) {
    console.expect("malta login: ");
    console.send("root\r");
    console.expect(PROMPT);
}

/// A tree of files of several sizes, with their checksums.
const WRITE: &str = "mkdir -p /t; for n in 1 2 3 4 5 6 7 8; do mkdir -p /t/$n; head -c $((n * 100001)) /dev/urandom > /t/$n/f; done; cp -a /sbin /t/sbin; cd /t; find . -type f ! -name sums -exec md5sum {} + | sort > /t/sums; cd; sync; wc -l < /t/sums";
const CHECK: &str = "cd /t; md5sum --quiet -c sums && echo all as written; cd";

#[test]
fn debian_on_a_disk_works_and_what_it_writes_is_there_afterwards() {
    let Some(installed) = installed::disk() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let disk = copy(&installed, folder.path());
    let path = disk.to_str().unwrap();
    let mut console = Console::start(ours(&installed, path).command());
    log_in(&mut console);
    let files: u32 = console.run(WRITE, PROMPT).trim().parse().unwrap();
    assert!(files > 20, "{files}");
    // Read from the disk, not from memory.
    console.run("echo 3 > /proc/sys/vm/drop_caches", PROMPT);
    assert_eq!(console.run(CHECK, PROMPT), "all as written\n");
    console.send("reboot\r");
    log_in(&mut console);
    assert_eq!(console.run(CHECK, PROMPT), "all as written\n");
    console.send("poweroff\r");
    let ended = console.wait();
    assert_eq!((ended.code(), &*ended.errors), (Some(0), ""));
    assert_eq!(installed::damage(&disk), None);
    let Some(qemu) = Emulator::qemu(Endian::Little) else {
        return;
    };
    let drive = format!("file={path},format=raw,if=ide");
    let qemu = qemu.ram(256).args(["-drive", &drive]);
    let mut console = Console::start(qemu.linux(&installed.linux, APPEND).command());
    log_in(&mut console);
    assert_eq!(console.run(CHECK, PROMPT), "all as written\n");
    console.send("poweroff\r");
    assert_eq!(console.wait().code(), Some(0));
    assert_eq!(installed::damage(&disk), None);
}

#[test]
fn it_boots_one_instruction_after_the_other_and_leaves_the_image_as_it_was() {
    let Some(installed) = installed::disk() else {
        return;
    };
    let before = std::fs::metadata(&installed.disk)
        .unwrap()
        .modified()
        .unwrap();
    let disk = format!("{},snapshot", installed.disk.display());
    let emulator = ours(&installed, &disk).args(["--engine", "interp"]);
    let mut console = Console::start(emulator.command());
    log_in(&mut console);
    console.run("echo gone > /gone; sync", PROMPT);
    console.send("poweroff\r");
    assert_eq!(console.wait().code(), Some(0));
    let after = std::fs::metadata(&installed.disk)
        .unwrap()
        .modified()
        .unwrap();
    assert_eq!(before, after);
}

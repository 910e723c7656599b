//! Debian on a disk: it boots to a login, what it writes is there after a reboot and in QEMU, and nothing is damaged.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
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
    Emulator::ours_with(PROGRAM, "malta")
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

#[test]
fn a_saved_machine_goes_on_with_the_disk_that_it_had_alone() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        let mut command = std::process::Command::new(PROGRAM);
        command.args(["run", "--max-time", "10ms"]).args(args);
        command.arg("--backend").arg("serial0=null");
        let output = command.current_dir(&folder).output().expect("it runs");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), errors)
    };
    let disk = folder.path().join("a.img");
    std::fs::write(&disk, vec![0; 1 << 20]).unwrap();
    let saving = ["malta", "--disk", "a.img"];
    let (status, errors) = run(&[&saving[..], &["--save-on-exit", "file:a.snap"]].concat());
    assert_eq!(status, Some(124), "{errors}");
    let restored = |disk: &[&str]| run(&[&["--restore", "file:a.snap"], disk].concat());
    assert_eq!(restored(&["--disk", "a.img"]).0, Some(124));
    let refused = |disk: &[&str], why: &str| {
        let (status, errors) = restored(disk);
        assert_eq!(status, Some(2), "{disk:?}");
        assert!(errors.contains(why), "{disk:?}: {errors}");
    };
    refused(
        &[],
        "was saved with a.img (raw, 1048576 bytes) in it, and now nothing is",
    );
    refused(
        &["--disk", "memory:2MiB"],
        "and now memory:2MiB (raw, 2097152 bytes) is",
    );
    refused(&["--disk", "memory:1MiB"], "is not the one that was there");
    std::fs::write(&disk, vec![1; 1 << 20]).unwrap();
    refused(
        &["--disk", "a.img"],
        "a.img has been written since the machine was saved",
    );
    assert_eq!(restored(&["--disk", "a.img,changed=any"]).0, Some(124));
}

#[test]
fn a_guest_makes_no_qcow2_image_of_a_raw_one() {
    let Some(installed) = installed::disk() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let [raw, given] = ["a.img", "b.img"].map(|name| {
        let path = folder.path().join(name);
        std::fs::write(&path, vec![0; 1 << 20]).unwrap();
        path
    });
    let root = format!("{},snapshot", installed.disk.display());
    let given_raw = format!("{},format=raw", given.display());
    let more = ["--disk", raw.to_str().unwrap(), "--disk", &given_raw];
    let mut console = Console::start(ours(&installed, &root).args(more).command());
    log_in(&mut console);
    let write = |disk: &str, at: u32| {
        let to = format!("of=/dev/{disk} bs=4096 seek={at} conv=notrunc,fsync");
        format!("printf 'QFI\\373' | dd {to} 2> /dev/null && echo written || echo failed")
    };
    for (disk, at, said) in [
        ("sdb", 1, "written"),
        ("sdb", 0, "failed"),
        ("sdc", 0, "written"),
    ] {
        let answer = console.run(&write(disk, at), PROMPT);
        assert_eq!(answer.trim(), said, "{disk} {at}");
    }
    console.send("poweroff\r");
    let ended = console.wait();
    let told = "the guest makes a qcow2 image of a raw one; `,format=raw` lets it";
    assert!(ended.errors.contains(told), "{}", ended.errors);
    let begins =
        |path: &Path, at: usize| std::fs::read(path).unwrap()[at..].starts_with(b"QFI\xfb");
    assert!(begins(&raw, 4096) && !begins(&raw, 0) && begins(&given, 0));
}

#[test]
fn discs_are_read_changed_and_taken_out() {
    let Some(installed) = installed::disk() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let disc = |name: &str, byte: u8| {
        let path = folder.path().join(name);
        std::fs::write(&path, vec![byte; 300 << 11]).unwrap();
        path.display().to_string()
    };
    let (first, second) = (disc("a.iso", b'a'), disc("b.iso", b'b'));
    let root = format!("{},snapshot", installed.disk.display());
    let socket = folder.path().join("monitor");
    let place = format!("unix:{},server", socket.display());
    let more = ["--cdrom", &first, "--monitor", &place];
    let mut console = Console::start(ours(&installed, &root).args(more).command());
    log_in(&mut console);
    let monitor = UnixStream::connect(&socket).unwrap();
    let mut answers = BufReader::new(monitor.try_clone().unwrap());
    let mut ask = |command: &str| {
        writeln!(&monitor, "{command}\nprint 7177").unwrap();
        let mut said = String::new();
        while !said.contains("0x1c09") {
            assert!(answers.read_line(&mut said).unwrap() > 0, "{said}");
        }
        said
    };
    let read = "cat /dev/sr0 | tr -d '\\0' | cut -c1-3; blockdev --getsz /dev/sr0";
    assert_eq!(console.run(read, PROMPT), "aaa\n1200\n");
    let said = ask("info block");
    for words in [
        "cdrom: ",
        "a.iso (raw, read-only)",
        "Removable device",
        "disk0: ",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let said = ask("eject disk0");
    assert!(said.contains("Device 'disk0' is not removable"), "{said}");
    let said = ask("change cdrom nothing.iso");
    assert!(said.contains("nothing.iso"), "{said}");
    ask(&format!("change cdrom {second}"));
    assert_eq!(console.run(read, PROMPT), "bbb\n1200\n");
    ask("eject hdc");
    let said = ask("info block");
    assert!(said.contains("cdrom: [not inserted]"), "{said}");
    let gone = console.run("cat /dev/sr0 2>&1 | tail -n 1", PROMPT);
    assert!(gone.contains("No medium found"), "{gone}");
    ask(&format!("change cdrom {first}"));
    assert_eq!(console.run(read, PROMPT), "aaa\n1200\n");
    console.send("poweroff\r");
    assert_eq!(console.wait().code(), Some(0));
}

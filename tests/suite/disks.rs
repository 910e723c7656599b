//! Debian on a disk: it boots to a login, what it writes is there after a reboot and in QEMU, and nothing is damaged.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use solderless_model::testing::Noise;
use solderless_testing::emulator::Emulator;
use solderless_testing::initrd::Initrd;
use solderless_testing::installed::{self, APPEND, Installed, PROMPT};
use solderless_testing::{Console, Endian, guests};

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

/// A monitor at a socket.
struct Monitor {
    answers: BufReader<UnixStream>,
}

impl Monitor {
    /// The option for a monitor at this socket.
    fn at(socket: &Path) -> String {
        format!("unix:{},server", socket.display())
    }

    fn connect(socket: &Path) -> Self {
        let monitor = UnixStream::connect(socket).expect("the program listens");
        Self {
            answers: BufReader::new(monitor),
        }
    }

    /// What it says to a command.
    fn ask(&mut self, command: &str) -> String {
        writeln!(self.answers.get_ref(), "{command}\nprint 7177").expect("it listens");
        let mut said = String::new();
        while !said.contains("0x1c09") {
            assert!(self.answers.read_line(&mut said).unwrap() > 0, "{said}");
        }
        said
    }
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
    let [socket, snapshots] = ["monitor", "snapshots"].map(|name| folder.path().join(name));
    let more = ["--monitor", &Monitor::at(&socket), "--snapshots"];
    let emulator = ours(&installed, path).args(more);
    let mut console = Console::start(emulator.args([snapshots.to_str().unwrap()]).command());
    log_in(&mut console);
    let mut monitor = Monitor::connect(&socket);
    // The machine that is saved while it writes goes on with the disk that it had then.
    console.send(&format!("{}; {WRITE}\r", "echo begun"));
    console.expect("\nbegun");
    let nothing = monitor.ask("savevm middle");
    console.expect(PROMPT);
    console.run("rm -r /t; head -c 3000000 /dev/zero > /other; sync", PROMPT);
    assert!(
        nothing.ends_with(&monitor.ask("loadvm middle")),
        "{nothing}"
    );
    let said = console.expect(PROMPT);
    let files: u32 = said.trim().parse().expect("a number");
    assert!(files > 20, "{files}");
    assert_eq!(console.run("ls /other 2> /dev/null", PROMPT), "");
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

/// A guest that copies from one disk to others without end.
const COPIES: &str = "#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
for m in cdrom ata_piix; do /bin/busybox insmod /modules/$m.ko; done
while [ ! -b /dev/sdc ]; do /bin/busybox usleep 10000; done
n=0
while true; do
  for to in a b c; do
    /bin/busybox dd if=/dev/sda of=/dev/sd$to bs=32k skip=$n seek=$((n % 200 + 2)) count=7 conv=fsync 2> /dev/null
  done
  echo at $n
  n=$((n + 7))
done
";

/// At whatever instants a machine is saved while its guest works with its disks, it goes on as one that never was: also the disks that no file
/// of the user's has, and with what the guest has asked of them and not heard of.
#[test]
fn what_disks_hold_does_not_depend_on_saves() {
    const TIME: u64 = 400_000_000;
    let Some(installed) = installed::disk() else {
        return;
    };
    let saves = std::env::var("SAVES").map_or(3, |text| text.parse().expect("a number"));
    let folder = tempfile::tempdir().unwrap();
    let mut archive = std::fs::read(&installed.linux.initrd).unwrap();
    let mut init = Initrd::new();
    init.program("init", COPIES.as_bytes());
    archive.extend(std::fs::read(init.write("copies")).unwrap());
    std::fs::write(folder.path().join("initrd"), archive).unwrap();
    let root = format!("{},snapshot", installed.disk.display());
    let disk = |name: &str| folder.path().join(name).display().to_string();
    let run = |status: i32, file: &str, args: &[&str]| {
        let mut command = std::process::Command::new(PROGRAM);
        command.args(["run", "--deterministic", "--state-hash"]);
        command.args(["--disk", &root, "--disk", "memory:8MiB", "--disk", file]);
        command.args(["--backend", "serial0=file:out"]).args(args);
        let output = command.current_dir(&folder).output().expect("it runs");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(status), "{errors}");
        errors
    };
    std::fs::write(disk("plain"), vec![0; 8 << 20]).unwrap();
    let kernel = installed.linux.kernel.to_str().unwrap();
    let boots = ["malta", "--kernel", kernel, "--initrd", "initrd"];
    let begins = ["--append", "console=ttyS0 quiet", "--exit-on", "9:at 0"];
    let saves_it = ["--save-on-exit", "file:0"];
    let begun = run(
        9,
        &disk("plain"),
        &[&boots[..], &begins, &saves_it].concat(),
    );
    let now = |said: &str| -> u64 {
        let time = said.split(" at ").last().expect("a time").split(' ').next();
        time.expect("a number").parse().expect("a number")
    };
    let end = now(&begun) + TIME;
    let mut copy = std::process::Command::new("cp");
    copy.args(["-p", "plain", "cut"]).current_dir(&folder);
    assert!(copy.status().expect("a copy").success());
    let go_on = |ns: u64, file: &str, from: &str, to: &str| {
        let [from, to] = [from, to].map(|name| format!("file:{name}"));
        let time = format!("{ns}ns");
        let args = [
            "--max-time",
            &time,
            "--restore",
            &from,
            "--save-on-exit",
            &to,
        ];
        run(124, &disk(file), &args)
    };
    let plain = go_on(TIME, "plain", "0", "end");
    let (mut noise, mut last) = (Noise(11), begun);
    for n in 0..=saves {
        // Where the one before has ended is a little behind what it was told.
        let left = end - now(&last);
        let ns = match n == saves {
            true => left,
            false => noise.below(2 * left / (saves - n + 1)),
        };
        last = go_on(ns, "cut", &n.to_string(), &(n + 1).to_string());
    }
    assert_eq!(last, plain);
    let content = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    assert!(content("plain") == content("cut"));
    // All but when the file was written last and its name.
    let streams = [&*(saves + 1).to_string(), "end"].map(|name| {
        let mut show = std::process::Command::new(PROGRAM);
        show.args(["snapshot", "show", name, "/block/disk0", "/block/disk1"]);
        show.current_dir(&folder).output().expect("it runs").stdout
    });
    assert!(streams[0].len() > 10_000 && streams[0] == streams[1]);
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

/// A host without room has the machine stand still until there is some; a file that is cut short is an error of the disk; and whoever kills the
/// program does what a loss of power does.
#[test]
fn errors_of_the_host_are_those_of_a_disk_and_nothing_is_lost() {
    let Some(installed) = installed::disk() else {
        return;
    };
    if !guests::tool("prlimit", "util-linux") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let [full, cut, qmp] = ["full", "cut", "qmp"].map(|name| folder.path().join(name));
    let sized = |path: &Path, bytes: u64| {
        let file = std::fs::File::options()
            .create(true)
            .append(true)
            .open(path);
        file.unwrap().set_len(bytes).unwrap();
    };
    sized(&full, 512 << 20);
    sized(&cut, 8 << 20);
    let root = format!("{},snapshot", installed.disk.display());
    let (qmp_at, disks) = (
        Monitor::at(&qmp),
        [&full, &cut].map(|disk| disk.to_str().unwrap()),
    );
    let more = ["--disk", disks[0], "--disk", disks[1], "--qmp", &qmp_at];
    let mut command = ours(&installed, &root).args(more).command();
    // No file has more than 448 MiB, as if there were no more room.
    let limit = |more: &[&str]| {
        let mut prlimit = std::process::Command::new("prlimit");
        prlimit.args(more);
        prlimit
    };
    let mut limited = limit(&["--fsize=469762048:unlimited", "--"]);
    limited.arg(command.get_program()).args(command.get_args());
    std::mem::swap(&mut command, &mut limited);
    let mut console = Console::start(command);
    log_in(&mut console);
    let program = UnixStream::connect(&qmp).unwrap();
    let patience = std::time::Duration::from_secs(300);
    program.set_read_timeout(Some(patience)).unwrap();
    let mut events = BufReader::new(program.try_clone().unwrap());
    writeln!(&program, r#"{{"execute":"qmp_capabilities"}}"#).unwrap();
    let mut event = |name: &str| loop {
        let mut line = String::new();
        assert!(events.read_line(&mut line).unwrap() > 0, "no {name}");
        if line.contains(name) {
            return line;
        }
    };
    let write = |disk: &str, mib: u32| {
        let to = format!("of=/dev/{disk} bs=1M count=1 seek={mib} conv=notrunc,fsync");
        format!(
            "tr '\\0' x < /dev/zero | dd iflag=fullblock {to} 2> /dev/null && echo written || echo failed"
        )
    };
    console.send(&format!("{}\r", write("sdb", 460)));
    let told = event("BLOCK_IO_ERROR");
    for part in [
        r#""device":"disk1""#,
        r#""operation":"write""#,
        r#""action":"stop""#,
        r#""nospace":true"#,
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    event("STOP");
    let mut more_room = limit(&["--fsize=unlimited", "--pid"]);
    more_room.arg(console.id().to_string());
    assert!(more_room.status().unwrap().success());
    writeln!(&program, r#"{{"execute":"cont"}}"#).unwrap();
    console.expect("\nwritten");
    console.expect(PROMPT);
    sized(&cut, 1 << 20);
    assert_eq!(console.run(&write("sdc", 4), PROMPT).trim(), "failed");
    let told = event("BLOCK_IO_ERROR");
    assert!(told.contains(r#""action":"report""#), "{told}");
    assert_eq!(std::fs::metadata(&cut).unwrap().len(), 1 << 20);
    let make = "mke2fs -q /dev/sdb 65536; mkdir /b; mount /dev/sdb /b; dd if=/dev/urandom of=/b/f bs=1k count=300 2> /dev/null; sync; md5sum < /b/f";
    let sum = console.run(make, PROMPT);
    console.send("echo begun; while true; do cp -a /sbin /b; rm -r /b/sbin; done\r");
    console.expect("\nbegun");
    let pid = console.id().to_string();
    let mut kill = std::process::Command::new("kill");
    assert!(kill.args(["-KILL", &pid]).status().unwrap().success());
    assert_eq!(console.wait().code(), None);
    let repaired = std::process::Command::new("e2fsck")
        .arg("-fy")
        .arg(&full)
        .output();
    let status = repaired.expect("it belongs to mke2fs").status.code();
    assert!(matches!(status, Some(0 | 1)), "{status:?}");
    let mut there = std::process::Command::new("sh");
    there.args(["-c", "debugfs -R 'cat /f' \"$0\" 2> /dev/null | md5sum"]);
    let there = there.arg(&full).output().expect("a shell").stdout;
    assert_eq!(String::from_utf8_lossy(&there), sum);
}

#[test]
fn a_copy_in_the_snapshots_folder_makes_no_qcow2_image_of_a_raw_one() {
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("raw.img");
    std::fs::write(&raw, vec![0; 1 << 20]).unwrap();
    let run = |options: &str, commands: &[u8]| {
        let disk = format!("raw.img{options}");
        let mut child = Command::new(PROGRAM)
            .args(["run", "malta", "--disk", &disk, "--stopped"])
            .args(["--monitor", "stdio"])
            .current_dir(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program");
        let input = child.stdin.take();
        input.expect("a pipe").write_all(commands).unwrap();
        let output = child.wait_with_output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    run("", b"savevm a\nquit\n");
    let snapshots = std::fs::read_dir(folder.path().join("snapshots")).unwrap();
    let mut snapshots = snapshots.map(|file| file.unwrap().path());
    let copy = snapshots.find(|path| path.extension().is_none_or(|e| e != "snap"));
    let copy = copy.expect("a copy of the disk");
    let mut content = vec![0; 1 << 20];
    content[..4].copy_from_slice(b"QFI\xfb");
    std::fs::write(copy, &content).unwrap();
    std::fs::write(&raw, vec![1; 1 << 20]).unwrap();
    let said = run("", b"loadvm a\nquit\n");
    assert!(
        said.contains("is a qcow2 image, and the disk is a raw one"),
        "{said}"
    );
    assert!(std::fs::read(&raw).unwrap() == vec![1; 1 << 20]);
    run(",format=raw", b"loadvm a\nquit\n");
    assert!(std::fs::read(&raw).unwrap() == content);
}

/// A disc with files in its root folder, whose names are in capital letters (ECMA-119, which ISO 9660 is).
fn disc(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    const BLOCK: usize = 2048;
    // Numbers are there in both byte orders.
    let word = |n: u32| [n.to_le_bytes(), n.to_be_bytes()].concat();
    let half = |n: u16| [n.to_le_bytes(), n.to_be_bytes()].concat();
    let record = |name: &[u8], at: u32, len: usize, flags: u8| {
        let size = (33 + name.len()).next_multiple_of(2);
        let mut record = vec![size as u8, 0];
        record.extend([word(at), word(len as u32)].concat());
        record.extend([126, 1, 1, 0, 0, 0, 0, flags, 0, 0]);
        record.extend([&half(1)[..], &[name.len() as u8], name].concat());
        record.resize(size, 0);
        record
    };
    let root = |name: &[u8]| record(name, 18, BLOCK, 2);
    let mut folder = [root(&[0]), root(&[1])].concat();
    let mut at = 19;
    let mut contents = Vec::new();
    for (name, content) in files {
        let named = format!("{name};1");
        folder.extend(record(named.as_bytes(), at, content.len(), 0));
        contents.extend_from_slice(content);
        contents.resize(contents.len().next_multiple_of(BLOCK), 0);
        at = 19 + (contents.len() / BLOCK) as u32;
    }
    let mut volume = vec![0; 18 * BLOCK];
    let mut field = |at: usize, bytes: &[u8]| {
        volume[16 * BLOCK + at..][..bytes.len()].copy_from_slice(bytes);
    };
    field(0, b"\x01CD001\x01");
    field(80, &word(at));
    field(120, &[half(1), half(1), half(BLOCK as u16)].concat());
    field(156, &root(&[0]));
    field(881, &[1]);
    // Behind the volume's descriptor is the end of descriptors.
    field(BLOCK, b"\xffCD001\x01");
    folder.resize(BLOCK, 0);
    [volume, folder, contents].concat()
}

#[test]
fn discs_are_read_changed_and_taken_out() {
    let Some(installed) = installed::disk() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let same = |name: &str, byte: u8| {
        let path = folder.path().join(name);
        std::fs::write(&path, vec![byte; 300 << 11]).unwrap();
        path.display().to_string()
    };
    let (first, second) = (same("a.iso", b'a'), same("b.iso", b'b'));
    let root = format!("{},snapshot", installed.disk.display());
    let socket = folder.path().join("monitor");
    let place = Monitor::at(&socket);
    let more = ["--cdrom", &first, "--monitor", &place];
    let mut console = Console::start(ours(&installed, &root).args(more).command());
    log_in(&mut console);
    let mut monitor = Monitor::connect(&socket);
    let mut ask = |command: &str| monitor.ask(command);
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
    let mut noise = Noise(5);
    let files = [("A", 0), ("B.TXT", 1), ("LONG.BIN", 3_000_001), ("Z", 2048)];
    let files = files.map(|(name, len)| (name, (0..len).map(|_| noise.draw() as u8).collect()));
    let image = folder.path().join("files.iso");
    std::fs::write(&image, disc(&files)).unwrap();
    ask(&format!("change cdrom {}", image.display()));
    let mounted = "mount -t iso9660 -o ro /dev/sr0 /mnt && cd /mnt && md5sum *; cd; umount /mnt";
    let sums = console.run(mounted, PROMPT);
    let host = tempfile::tempdir().unwrap();
    for (name, content) in &files {
        std::fs::write(host.path().join(name.to_lowercase()), content).unwrap();
    }
    let mut sum = std::process::Command::new("sh");
    let sum = sum.args(["-c", "md5sum *"]).current_dir(&host);
    let expected = sum.output().expect("a shell").stdout;
    assert_eq!(sums, String::from_utf8_lossy(&expected));
    console.send("poweroff\r");
    assert_eq!(console.wait().code(), Some(0));
}

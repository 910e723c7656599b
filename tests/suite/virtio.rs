//! Debian on virtio devices.

use std::path::{Path, PathBuf};
use std::process::Command;

use solderless_model::testing::Noise;
use solderless_testing::emulator::Emulator;
use solderless_testing::installed::{self, Installed, PROMPT};
use solderless_testing::{Console, guests};

const PROGRAM: &str = env!("CARGO_BIN_EXE_solderless");

/// A copy of the disk, which a guest may write to.
fn copy(of: &Installed, folder: &Path) -> PathBuf {
    let disk = folder.join("disk.img");
    // Holes stay holes.
    let mut copy = Command::new("cp");
    let copied = copy.arg("--sparse=always").args([&of.disk, &disk]);
    assert!(copied.status().expect("a copy").success());
    disk
}

/// Waits for the login, and logs in.
fn log_in(console: &mut Console) {
    console.expect("malta login: ");
    console.send("root\r");
    console.expect(PROMPT);
}

/// Writes files with their checksums, and looks at them once they are on the disk alone.
fn writes_files(console: &mut Console) {
    const WRITE: &str = "mkdir -p /t; for n in 1 2 3; do head -c $((n * 1000001)) /dev/urandom > /t/$n; done; cp -a /usr/sbin /t; cd /t; find . -type f ! -name sums -exec md5sum {} + | sort > /t/sums; cd; sync; echo 3 > /proc/sys/vm/drop_caches; wc -l < /t/sums";
    let files: u32 = console.run(WRITE, PROMPT).trim().parse().expect("a number");
    assert!(files > 20, "{files}");
    has_files(console);
}

fn has_files(console: &mut Console) {
    const CHECK: &str = "cd /t; md5sum --quiet -c sums && echo all as written; cd";
    assert_eq!(console.run(CHECK, PROMPT), "all as written\n");
}

/// Reads and writes a folder of the host.
fn shares_files(console: &mut Console, shared: &Path) {
    std::fs::write(shared.join("from-host"), "of the host\n").unwrap();
    std::fs::write(shared.parent().unwrap().join("secret"), "not the guest's\n").unwrap();
    std::os::unix::fs::symlink("../secret", shared.join("out")).unwrap();
    let mut run = |command: &str| console.run(command, PROMPT);
    let mount = "mkdir /s; mount -t 9p -o trans=virtio,version=9p2000.L share0 /s; cd /s; ls | cat; ls -l 2>&1 | wc -l; cat from-host; cat out ../s/../secret 2>&1 | grep -c such";
    assert_eq!(run(mount), "from-host\nout\n3\nof the host\n2\n");
    // All that programs do to files.
    const WORK: &str = "cp -r /usr/sbin tree; (cd /usr/sbin; find . -type f -exec md5sum {} + | sort) > sums; mkdir -p a/b; mv tree a/b; ln -s b/tree a/link; ln sums a/other; chmod 600 sums; touch -d @1000000000 a/other; echo more >> a/new; truncate -s 1000000 a/new; (cd a/link; md5sum --quiet -c /s/sums) && echo all as written; rmdir a 2>&1 | grep -c exists; rm a/new; stat -c '%a %h %Y' sums; readlink a/link";
    assert_eq!(run(WORK), "all as written\n1\n600 2 1000000000\nb/tree\n");
    // A file without a name is still there for who has it open.
    const GONE: &str = "exec 3> gone 4< gone; rm gone; echo of nobody >&3; cat <&4; exec 3>&- 4<&-; ls | wc -l; cd; umount /s; rmdir /s";
    assert_eq!(run(GONE), "of nobody\n4\n");
    let sums = std::fs::read_to_string(shared.join("sums")).unwrap();
    let mut check = Command::new("md5sum");
    let check = check.args(["--quiet", "-c", "../../../sums"]);
    let tree = shared.join("a/b/tree");
    assert!(
        check.current_dir(tree).status().unwrap().success(),
        "{sums}"
    );
}

/// The option that puts a disk into the connector of Malta.
fn backend(disk: &Path) -> String {
    format!("vdisk0=file:{}", disk.display())
}

/// Malta with what a driver of its connectors needs.
fn malta(installed: &Installed, disk: &Path, options: &[&str]) -> Emulator {
    let modules = "virtio,virtio_ring,virtio_pci_modern_dev,virtio_pci_legacy_dev,virtio_pci,virtio_blk,9pnet,9pnet_virtio,netfs,fscache,9p";
    let append = format!("root=/dev/vda1 console=ttyS0 modules={modules}");
    Emulator::ours_with(PROGRAM, "malta-virtio")
        .ram(256)
        .args(["--backend", &backend(disk)])
        .args(options.iter().copied())
        .linux(&installed.linux, &append)
}

#[test]
fn debian_works_on_a_disk_in_a_connector_of_malta() {
    let Some(installed) = installed::disk() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let disk = copy(&installed, folder.path());
    let shared = folder.path().join("shared");
    std::fs::create_dir(&shared).unwrap();
    let share = format!("share0=folder:{}", shared.display());
    let emulator = malta(&installed, &disk, &["--backend", &share]);
    let mut console = Console::start(emulator.command());
    log_in(&mut console);
    writes_files(&mut console);
    shares_files(&mut console, &shared);
    console.send("reboot\r");
    log_in(&mut console);
    has_files(&mut console);
    console.send("poweroff\r");
    let ended = console.wait();
    assert_eq!((ended.code(), &*ended.errors), (Some(0), ""));
    assert_eq!(installed::damage(&disk), None);
}

/// Requests are under way at many of these instants: the root is mounted, and programs are read from it.
#[test]
fn a_boot_that_is_saved_at_instants_goes_on_as_if_it_were_not() {
    let Some(installed) = installed::disk() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let stream = folder.path().join("state.snap");
    let place = format!("file:{}", stream.display());
    let whole = copy(&installed, folder.path());
    let run = |emulator: Emulator, end: &str| {
        let emulator = emulator.args(["--deterministic", "--max-time", end]);
        let emulator = emulator.args(["--backend", "serial0=stdio"]);
        let output = emulator.command().output().expect("it runs");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(124), "{end}: {errors}");
        output.stdout
    };
    const END: u64 = 15_500;
    let expected = run(malta(&installed, &whole, &[]), &format!("{END}ms"));
    assert!(
        String::from_utf8_lossy(&expected).contains("INIT: version"),
        "the root is there"
    );
    let cut = copy(&installed, folder.path());
    let mut noise = Noise(7);
    let mut came = Vec::new();
    let mut instants: Vec<u64> = (0..8).map(|_| 13_500 + noise.below(1_500)).collect();
    instants.sort_unstable();
    let restored = || {
        let emulator = Emulator::ours_with(PROGRAM, "--restore").args([&place]);
        emulator.args(["--backend", &backend(&cut)])
    };
    let mut last = 0;
    for ms in instants {
        let emulator = match last {
            0 => malta(&installed, &cut, &[]),
            _ => restored(),
        };
        let emulator = emulator.args(["--save-on-exit", &place]);
        came.extend(run(emulator, &format!("{}ms", ms - last)));
        last = ms;
    }
    came.extend(run(restored(), &format!("{}ms", END - last)));
    assert!(came == expected, "{}", String::from_utf8_lossy(&came));
}

#[test]
fn debian_works_on_a_disk_behind_a_transport_of_the_riscv_board() {
    let (Some(installed), Some(riscv)) = (installed::riscv_disk(), guests::riscv()) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let disk = copy(&installed, folder.path());
    let emulator = Emulator::ours_with(PROGRAM, "riscv-virt")
        .ram(256)
        .args(["--disk", &format!("file:{}", disk.display())])
        .args(["--firmware", riscv.fw_dynamic.to_str().unwrap()])
        .linux(&installed.linux, "root=/dev/vda1 console=ttyS0");
    let mut console = Console::start(emulator.command());
    log_in(&mut console);
    assert_eq!(
        console.run("echo kept > /kept; sync; echo $?", PROMPT),
        "0\n"
    );
    console.send("poweroff\r");
    assert_eq!(console.wait().code(), Some(0));
    assert_eq!(installed::damage(&disk), None);
}

//! `solderless image` beside `qemu-img`: what one makes the other reads, both find the same wrong with an image, and nothing is lost on
//! the way. Then images that nobody would have made.
//!
//! `HOSTILE` and `SEED` are as in `hostile`.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use solderless::backend::block::check;
use solderless::backend::{DiskImage, Mode};
use solderless_model::testing::Noise;
use solderless_testing::guests;
use tempfile::TempDir;

use crate::fuzz_corpus::qcow2;
use crate::hostile::for_a_while;

const PROGRAM: &str = env!("CARGO_BIN_EXE_solderless");

fn qemu_img() -> bool {
    guests::tool("qemu-img", "qemu-utils")
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn run(&self, program: &str, line: &str) -> Output {
        let mut command = Command::new(program);
        let command = command.args(line.split(' ')).current_dir(&self.0);
        command.stdin(Stdio::null()).output().expect("it runs")
    }

    /// Our own, with its status and what it printed.
    fn image(&self, line: &str) -> (Option<i32>, String) {
        let output = self.run(PROGRAM, &format!("image {line}"));
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.code(),
            String::from_utf8_lossy(&text).into_owned(),
        )
    }

    fn works(&self, line: &str) -> String {
        let (status, said) = self.image(line);
        assert_eq!(status, Some(0), "{line}: {said}");
        said
    }

    fn refused(&self, line: &str, why: &str) {
        let (status, said) = self.image(line);
        assert_eq!(status, Some(2), "{line}: {said}");
        assert!(said.contains(why), "{line}: {said}");
    }

    /// QEMU's, which has to find it good.
    fn qemu(&self, line: &str) -> String {
        let output = self.run("qemu-img", line);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {said}{errors}");
        said
    }

    /// Changes an image as a guest would.
    fn write(&self, image: &str, orders: &[&str]) {
        let mut command = Command::new("qemu-io");
        for order in orders {
            command.args(["-c", order]);
        }
        let output = command.arg(image).current_dir(&self.0).output();
        let output = output.expect("qemu-io is beside qemu-img");
        assert!(output.status.success(), "{output:?}");
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("a folder");
        let names = entries.map(|e| e.expect("an entry").file_name());
        let mut names: Vec<_> = names.map(|n| n.to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

#[test]
fn an_image_is_made_copied_and_committed_as_qemu_does() {
    if !qemu_img() {
        return;
    }
    let folder = Folder::new();
    let made = folder.works("create disk.qcow2 8GiB");
    assert_eq!(made, "disk.qcow2: qcow2, 8GiB\n");
    assert!(folder.qemu("info disk.qcow2").contains("8 GiB (8589934592"));
    folder.works("create base.img 64MiB");
    assert_eq!(
        fs::metadata(folder.path("base.img")).unwrap().len(),
        64 << 20
    );
    folder.write("base.img", &["write -P 3 0 1M", "write -P 4 63M 1M"]);
    let made = folder.works("create --backing base.img,format=raw over.qcow2");
    assert_eq!(made, "over.qcow2: qcow2, 64MiB, on base.img\n");
    folder.write(
        "over.qcow2",
        &[
            "write -P 7 1M 3M",
            "write -P 9 70000 512",
            "write -z 63M 512k",
        ],
    );
    assert_eq!(folder.works("check over.qcow2"), "over.qcow2: ok\n");
    for to in ["whole.qcow2", "whole.img"] {
        folder.works(&format!("convert over.qcow2 {to}"));
        folder.qemu(&format!("compare over.qcow2 {to}"));
        // What is zero takes no room.
        let on_disk =
            std::os::unix::fs::MetadataExt::blocks(&fs::metadata(folder.path(to)).unwrap());
        assert!(on_disk * 512 < 6 << 20, "{to}: {on_disk}");
    }
    folder.qemu("check whole.qcow2");
    folder.works("convert whole.qcow2 back.img");
    folder.qemu("compare -f raw -F raw whole.img back.img");
    let done = folder.works("commit over.qcow2");
    assert!(done.contains("base.img: has "), "{done}");
    folder.qemu("compare over.qcow2 whole.img");
    folder.qemu("compare -f raw -F raw base.img whole.img");
    folder.qemu("check over.qcow2");
    assert!(fs::metadata(folder.path("over.qcow2")).unwrap().len() < 1 << 20);
    // What lies on a shorter image makes that longer.
    folder.works("create --backing base.img,format=raw long.qcow2 65MiB");
    folder.write("long.qcow2", &["write -P 5 64M 1M"]);
    folder.works("commit long.qcow2");
    assert_eq!(
        fs::metadata(folder.path("base.img")).unwrap().len(),
        65 << 20
    );
    let info = folder.works("info long.qcow2 base.img --format json");
    let info: serde_json::Value = serde_json::from_str(&info).expect("JSON");
    assert_eq!(info[0]["backing"], "base.img");
    assert_eq!(info[1]["size"], 65 << 20);
}

#[test]
fn images_of_every_kind_of_qemus_are_read() {
    if !qemu_img() {
        return;
    }
    let folder = Folder::new();
    let content: Vec<u8> = (0..3u32 << 20).map(|n| (n / 300) as u8).collect();
    fs::write(folder.path("content.img"), content).expect("a file");
    for (number, options) in (0..).zip([
        "-o compat=0.10",
        "-o compat=1.1",
        "-o cluster_size=512",
        "-o cluster_size=2M",
        "-o refcount_bits=1",
        "-o refcount_bits=64",
        "-c",
        "-c -o compat=0.10",
    ]) {
        let name = format!("{number}.qcow2");
        folder.qemu(&format!("convert -O qcow2 {options} content.img {name}"));
        let said = folder.works(&format!("check {name}"));
        assert_eq!(said, format!("{name}: ok\n"), "{options}");
        folder.works(&format!("convert {name} {number}.img"));
        folder.qemu(&format!("compare -f raw -F raw content.img {number}.img"));
        if !options.contains("bits=1") {
            folder.qemu(&format!("snapshot -c before {name}"));
            folder.write(&name, &["write -P 1 1M 100k"]);
            let said = folder.works(&format!("check {name}"));
            assert_eq!(said, format!("{name}: ok\n"), "{options}");
            let info = folder.works(&format!("info {name}"));
            assert!(info.contains("snapshots      before"), "{info}");
        }
    }
}

#[test]
fn what_is_wrong_with_an_image_is_found() {
    if !qemu_img() {
        return;
    }
    let folder = Folder::new();
    folder.qemu("create -f qcow2 good.qcow2 16M");
    folder.write("good.qcow2", &["write -P 1 0 1M", "write -P 2 8M 1M"]);
    // Its clusters are the header, the table of reference counts, a block of them, the L1 table, an L2 table, and data.
    const CLUSTER: u64 = 1 << 16;
    for (name, at, bytes) in [
        ("a reference count is too low", 2 * CLUSTER + 2 * 10, [0, 0]),
        ("one is too high", 2 * CLUSTER + 2 * 10, [0, 3]),
        ("a lost cluster", 2 * CLUSTER + 2 * 400, [0, 1]),
        ("data where there is no cluster", 4 * CLUSTER + 6, [2, 0]),
        ("bits that nothing has", 4 * CLUSTER + 6, [1, 0]),
        ("data behind the end", 4 * CLUSTER + 1, [0x10, 0]),
        ("an L2 table behind the end", 3 * CLUSTER + 1, [0x10, 0]),
        (
            "a block of reference counts that is none",
            CLUSTER + 6,
            [1, 0],
        ),
        ("data that is somebody else's", 4 * CLUSTER, [0, 0]),
    ] {
        fs::copy(folder.path("good.qcow2"), folder.path("bad.qcow2")).expect("a copy");
        let file = File::options().write(true).open(folder.path("bad.qcow2"));
        let file = file.expect("it is there");
        file.write_all_at(&bytes, at).expect("it is written");
        file.set_len(401 * CLUSTER).expect("it is longer");
        let found = check(
            &File::open(folder.path("bad.qcow2")).unwrap(),
            &mut |_, _| {},
        );
        let found = found.unwrap_or_else(|e| panic!("{name}: {e}"));
        let theirs = folder.run("qemu-img", "check --output=json bad.qcow2");
        let theirs: serde_json::Value = serde_json::from_slice(&theirs.stdout).unwrap_or_default();
        let count = |of: &str| theirs[of].as_u64().unwrap_or(0);
        let wrong = count("corruptions") + count("check-errors") > 0 || theirs.is_null();
        assert_eq!(found.errors > 0, wrong, "{name}: {found:?} {theirs}");
        // How many are lost is not known where the tables do not agree.
        if !wrong {
            assert_eq!(found.leaks, count("leaks"), "{name}: {found:?} {theirs}");
        }
        let (status, said) = folder.image("check bad.qcow2");
        assert_eq!(status, Some(1), "{name}: {said}");
    }
}

#[test]
fn nothing_that_is_there_is_lost() {
    let folder = Folder::new();
    fs::write(folder.path("there.qcow2"), "precious").expect("a file");
    folder.works("create a.img 1MiB");
    let there = |name: &str| fs::read(folder.path(name)).expect("it is there");
    folder.refused(
        "create there.qcow2 1MiB",
        "it is there already; --force replaces it",
    );
    folder.refused("convert a.img there.qcow2", "--force replaces it");
    assert_eq!(there("there.qcow2"), b"precious");
    folder.works("create there.qcow2 1MiB --force");
    folder.works("convert a.img there.qcow2 --force");
    folder.refused("convert a.img ./a.img --force", "it cannot become itself");
    folder.refused(
        "create --backing a.img a.img --force",
        "it cannot lie on itself",
    );
    folder.refused("create b.img", "how long is the disk?");
    folder.refused("create b.img 513B", "a multiple of 512");
    folder.refused("create b.qcow2 --backing nothing", "nothing: ");
    folder.refused(
        "create b.img 1MiB --format raw --backing a.img",
        "lies on no other",
    );
    folder.refused("commit a.img", "it is raw, and lies on no other image");
    folder.refused("commit there.qcow2", "it lies on no other image");
    folder.refused("check memory:1MiB", "it is no file");
    folder.refused("convert a.img,snapshot b.img", "format= and backing=any");
    folder.refused("convert a.img nowhere/b.img", "nowhere/b.img: ");
    // A host disk that is full, or as full as the program may make it.
    let noise: Vec<u8> = (0..8u32 << 20).map(|n| (n % 251) as u8).collect();
    fs::write(folder.path("big.img"), noise).expect("a file");
    let before = folder.names();
    for to in ["big.qcow2", "copy.img", "there.qcow2 --force"] {
        let line = format!("ulimit -f 4000; exec {PROGRAM} image convert big.img {to}");
        let mut shell = Command::new("bash");
        let shell = shell.args(["-c", &line]).current_dir(&folder.0);
        let output = shell.output().expect("a shell");
        assert_eq!(output.status.code(), Some(2), "{to}: {output:?}");
        assert_eq!(folder.names(), before, "{to}");
    }
    // Ended at any moment, it has made all of it or nothing.
    for wait in 0..8 {
        let mut child = Command::new(PROGRAM);
        let child = child.args(["image", "convert", "big.img", "new.qcow2"]);
        let mut child = child
            .current_dir(&folder.0)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(wait * 20));
        let _ = child.kill();
        child.wait().expect("it has ended");
        if folder.path("new.qcow2").exists() {
            folder.works("check new.qcow2");
            fs::remove_file(folder.path("new.qcow2")).unwrap();
        }
        assert_eq!(folder.names(), before);
    }
}

#[test]
fn an_image_in_use_and_one_of_a_stranger_are_left_alone() {
    let folder = Folder::new();
    folder.works("create base.img 1MiB");
    fs::create_dir(folder.path("theirs")).unwrap();
    folder.works("create theirs/over.qcow2 --backing base.img,format=raw");
    // It names a file of the host, which whoever commits it did not.
    folder.refused("commit theirs/over.qcow2", "`,backing=any` lets it");
    folder.works("commit theirs/over.qcow2,backing=any");
    folder.works("create over.qcow2 --backing base.img,format=raw");
    let mut machine = Command::new(PROGRAM);
    machine.args(["run", "malta", "--ram", "16MiB", "--disk", "over.qcow2"]);
    machine
        .args(["--backend", "serial0=pty"])
        .current_dir(&folder.0);
    let mut machine = machine.stderr(Stdio::piped()).spawn().unwrap();
    // It says where the terminal is once all is plugged in.
    let said = machine.stderr.as_mut().expect("a pipe");
    std::io::Read::read_exact(said, &mut [0]).expect("it says so");
    folder.refused("create over.qcow2 1MiB --force", "another machine has it");
    folder.refused("commit over.qcow2", "another machine has it");
    folder.refused("check over.qcow2", "another machine writes it");
    machine.kill().unwrap();
    machine.wait().unwrap();
    folder.works("commit over.qcow2");
}

#[test]
fn random_images_are_errors() {
    let folder = Folder::new();
    for (name, options) in [("a", ""), ("b", " --backing a.qcow2")] {
        folder.works(&format!("create {name}.qcow2 4MiB{options}"));
        let mode = Mode {
            write: true,
            ..Mode::default()
        };
        let mut image = DiskImage::open(&folder.path(&format!("{name}.qcow2")), mode).unwrap();
        image.write(0, &[7; 70_000]).unwrap();
        image.write(2 << 20, &[8; 4096]).unwrap();
        image.flush().unwrap();
    }
    let good = fs::read(folder.path("b.qcow2")).unwrap();
    let (path, kept) = (folder.path("bad.qcow2"), folder.path("kept"));
    for_a_while(move |seed| {
        let mut noise = Noise(seed);
        let mut bad = good.clone();
        for _ in 0..=noise.below(3) {
            // Mostly the header, else one of the tables.
            let table = [0, 0, 0, 1, 2, 3, 4][noise.below(7) as usize] << 16;
            let within = [112, 16, 16, 64][noise.below(4) as usize];
            let at = (table + noise.below(within)) as usize;
            let value = [0, 1, 0xff, 0x80, noise.below(256) as u8][noise.below(5) as usize];
            if let Some(byte) = bad.get_mut(at) {
                *byte = value;
            }
        }
        if noise.below(8) == 0 {
            bad.truncate(noise.below(bad.len() as u64) as usize);
        }
        fs::write(&path, &bad).expect("it is written");
        // It may be written to, so it is here that it is found if it ends the program.
        fs::write(&kept, &bad).expect("it is written");
        qcow2::open(&path)
    });
    drop(folder);
}

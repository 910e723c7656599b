//! How much a disk costs: sequential transfers and random reads by Debian's kernel on Malta, past the guest's own cache, beside QEMU with
//! the same guest, controller and kind of image; a boot of Debian from a disk; and images made, copied and checked, beside `qemu-img`.
//!
//! What is compared is the user and system time of the emulator's process from a command to the prompt after it, and the wall time.
//! Arguments name the rows to measure; `--mib=N` has transfers of N MiB instead of 512, and images of eight times as much.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use solderless_testing::emulator::Emulator;
use solderless_testing::initrd::Initrd;
use solderless_testing::installed::{self, Installed};
use solderless_testing::report::{self, median, row, verdict};
use solderless_testing::{Console, Endian, guests, usage};

const PROGRAM: &str = env!("CARGO_BIN_EXE_solderless");
/// Runs of each command in each emulator, in turns; their medians count.
const RUNS: usize = 3;
const PROMPT: &str = "bench # ";
/// Random reads in a run.
const READS: u32 = 8192;

/// The first process of the guest: it finds the disks, and is a shell then.
const INIT: &str = "#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
for m in cdrom ata_piix virtio virtio_ring virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_blk; do /bin/busybox insmod /modules/$m.ko; done
while [ ! -b /dev/$disk ]; do /bin/busybox usleep 10000; done
/bin/busybox stty columns 400
PS1='bench # ' exec /bin/busybox sh
";

/// A connector of Malta with a virtio disk, as QEMU is asked for one.
const VIRTIO: &str = "[board]\nname = \"bench\"\nextends = \"malta\"\ndelete = [\"dev.slot1.pci-slot\"]\n[slot]\nvdisk = { kind = \"block\", default = \"null\" }\n[dev.slot1]\nirq.intx = \"piix4[pirq.0]\"\nbackend.drive = \"vdisk\"\n[dev.slot1.virtio-blk-pci]\n";

/// Seconds of CPU time and of wall time.
#[derive(Debug, Clone, Copy)]
struct Cost {
    cpu: f64,
    wall: f64,
}

impl Cost {
    /// Of something that has the CPU time that `used` tells.
    fn of(used: impl Fn() -> f64, work: impl FnOnce()) -> Self {
        let (before, start) = (used(), Instant::now());
        work();
        Self {
            cpu: used() - before,
            wall: start.elapsed().as_secs_f64(),
        }
    }

    fn median(of: &[Self]) -> Self {
        Self {
            cpu: median(of.iter().map(|cost| cost.cpu)),
            wall: median(of.iter().map(|cost| cost.wall)),
        }
    }
}

/// What a row is held to, as a part of the other's speed: in CPU time, and in wall time.
type Target = (Option<f64>, Option<f64>);

/// The table, row by row.
struct Table(Vec<Vec<String>>);

impl Table {
    fn new(theirs: &str) -> Self {
        let cpu = ["", "ours", theirs, "CPU time", "target", ""];
        Self(vec![
            [&row(cpu)[..], &row(["ours", theirs, "wall", "target", ""])].concat(),
        ])
    }

    /// Measures in turns.
    fn measure(&mut self, name: &str, target: Target, mut both: impl FnMut() -> (Cost, Cost)) {
        let (ours, theirs): (Vec<_>, Vec<_>) = (0..RUNS).map(|_| both()).unzip();
        let (ours, theirs) = (Cost::median(&ours), Cost::median(&theirs));
        let mut cells = vec![name.to_owned()];
        let columns = [
            (ours.cpu, theirs.cpu, target.0),
            (ours.wall, theirs.wall, target.1),
        ];
        for (here, there, least) in columns {
            // The clock of CPU time has hundredths: what took none is not compared.
            let speed = (100.0 * there / here.max(0.01)).round() / 100.0;
            cells.extend([
                format!("{here:.2} s"),
                format!("{there:.2} s"),
                format!("{speed:.2}×"),
            ]);
            cells.push(least.map_or(String::new(), |least| format!("≥ {least}×")));
            cells.push(least.map_or("", |least| verdict(speed >= least)).to_owned());
        }
        self.0.push(cells);
    }

    /// Prints it, if it has rows.
    fn print(&self) {
        if self.0.len() > 1 {
            report::table(&self.0);
            println!();
        }
    }
}

/// A number of MiB after this option.
fn option(name: &str) -> Option<u64> {
    let mut arguments = std::env::args();
    arguments.find_map(|argument| argument.strip_prefix(name)?.parse().ok())
}

/// An empty image of so many MiB.
fn image(folder: &Path, name: &str, format: &str, mib: u64) -> PathBuf {
    let path = folder.join(name);
    let mut create = Command::new("qemu-img");
    create.args(["create", "-q", "-f", format]).arg(&path);
    let made = create.arg(format!("{mib}M")).status();
    assert!(made.expect("qemu-img was found").success());
    path
}

/// Starts the guest and waits for its shell.
fn boot(emulator: Emulator, installed: &Installed, initrd: &Path, disk: &str) -> Console {
    let mut linux = installed.linux.clone();
    linux.initrd = initrd.to_owned();
    let append = format!("console=ttyS0 quiet disk={disk}");
    let mut console = Console::start(emulator.ram(256).linux(&linux, &append).command());
    console.expect(PROMPT);
    console
}

/// What a command in the guest costs.
fn run(console: &mut Console, command: &str) -> Cost {
    let pid = console.id();
    Cost::of(
        || usage::cpu_time(pid).as_secs_f64(),
        || {
            let printed = console.run(command, PROMPT);
            assert_eq!(printed.trim(), "done", "{command}");
        },
    )
}

/// Transfers and random reads with one controller and kind of image.
fn transfers(
    folder: &Path,
    installed: &Installed,
    initrd: &Path,
    (bus, format): (&str, &str),
    mib: u64,
) -> Option<()> {
    let [ours, theirs] = ["ours", "theirs"].map(|name| image(folder, name, format, mib));
    let qemu = Emulator::qemu(Endian::Little)?;
    let drive = format!("file={},format={format},if=", theirs.display());
    let (disk, here, there) = match bus {
        "IDE" => (
            "sda",
            Emulator::ours(PROGRAM, Endian::Little).args(["--disk", &ours.to_string_lossy()]),
            qemu.args(["-drive", &format!("{drive}ide")]),
        ),
        _ => {
            let board = folder.join("board.toml");
            std::fs::write(&board, VIRTIO).expect("a board");
            let slot = format!("vdisk=file:{}", ours.display());
            let device = ["-device", "virtio-blk-pci,drive=d"];
            (
                "vda",
                Emulator::ours_with(PROGRAM, &board.to_string_lossy()).args(["--backend", &slot]),
                qemu.args(["-drive", &format!("{drive}none,id=d")])
                    .args(device),
            )
        }
    };
    let mut here = boot(here, installed, initrd, disk);
    let mut there = boot(there, installed, initrd, disk);
    let mut table = Table::new("QEMU");
    let device = format!("/dev/{disk} {mib}");
    let once = (Some(2.0), Some(1.0));
    for (name, target, command) in [
        ("write", once, format!("/disk write {device}")),
        ("read", once, format!("/disk read {device}")),
        (
            "random, 1",
            (Some(1.5), None),
            format!("/disk random {device} {READS} 1"),
        ),
        (
            "random, 32",
            (Some(1.5), None),
            format!("/disk random {device} {READS} 32"),
        ),
    ] {
        let name = format!("{bus}, {format}: {name}");
        table.measure(&name, target, || {
            (run(&mut here, &command), run(&mut there, &command))
        });
    }
    table.print();
    Some(())
}

/// Boots Debian from its disk to the login.
fn boots(installed: &Installed) {
    let mut table = Table::new("QEMU");
    let disk = installed.disk.display();
    let cost = |emulator: Emulator| {
        let emulator = emulator.ram(256).linux(&installed.linux, installed::APPEND);
        let start = Instant::now();
        let mut console = Console::start(emulator.command());
        console.expect("malta login: ");
        Cost {
            cpu: usage::cpu_time(console.id()).as_secs_f64(),
            wall: start.elapsed().as_secs_f64(),
        }
    };
    if guests::tool("qemu-system-mipsel", "qemu-system-mips") {
        table.measure("Debian to the login", (Some(2.0), None), || {
            let ours = Emulator::ours(PROGRAM, Endian::Little);
            let theirs = Emulator::qemu(Endian::Little).expect("it was found");
            let drive = format!("file={disk},format=raw,if=ide,snapshot=on");
            (
                cost(ours.args(["--disk", &format!("{disk},snapshot")])),
                cost(theirs.args(["-drive", &drive])),
            )
        });
    }
    table.print();
}

/// Makes, copies and checks images, an eighth of which is data.
fn images(folder: &Path, mib: u64) {
    let mut table = Table::new("qemu-img");
    let size = format!("{}MiB", 8 * mib);
    let qemu_size = format!("{}M", 8 * mib);
    let source = image(folder, "source.img", "raw", 8 * mib);
    let file = std::fs::File::options().write(true).open(&source);
    let file = file.expect("it was made");
    let mut noise = 1u32;
    let mut piece = vec![0; 1 << 20];
    for n in 0..mib {
        piece.fill_with(|| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (noise >> 24) as u8
        });
        let at = n * (8 << 20);
        std::os::unix::fs::FileExt::write_all_at(&file, &piece, at).expect("room for an image");
    }
    let run = |program: &str, args: &[&str]| {
        let mut command = Command::new(program);
        command.args(args).current_dir(folder);
        let children = || usage::children().as_secs_f64();
        Cost::of(children, || {
            let output = command.output().expect("it runs");
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{command:?}: {errors}");
        })
    };
    let ours = |args: &str| {
        let args: Vec<_> = ["image"].into_iter().chain(args.split(' ')).collect();
        run(PROGRAM, &args)
    };
    let theirs = |args: &str| run("qemu-img", &args.split(' ').collect::<Vec<_>>());
    let held = (Some(1.0), Some(1.0));
    table.measure(&format!("create {size}"), held, || {
        (
            ours(&format!("create ours.qcow2 {size} --force")),
            theirs(&format!("create -q -f qcow2 theirs.qcow2 {qemu_size}")),
        )
    });
    table.measure(&format!("convert {size}"), held, || {
        (
            ours("convert source.img ours.qcow2 --force"),
            theirs("convert -O qcow2 source.img theirs.qcow2"),
        )
    });
    table.measure(&format!("check {size}"), held, || {
        (ours("check ours.qcow2"), theirs("check -q theirs.qcow2"))
    });
    table.print();
}

fn main() {
    let mib = option("--mib=").unwrap_or(512);
    report::heading(&format!(
        "{mib} MiB and {READS} random reads of 4 KiB, Debian's kernel on Malta with 256 MiB: CPU and wall time, median of {RUNS} runs"
    ));
    let program = guests::linux_program("benches/guests/linux/disk.c");
    let (Some(installed), Some(program)) = (installed::disk(), program) else {
        return;
    };
    if !guests::tool("qemu-img", "qemu-utils") {
        return;
    }
    let folder = std::env::temp_dir().join(format!("solderless-disks-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let mut archive = std::fs::read(&installed.linux.initrd).expect("it was made");
    let mut more = Initrd::new();
    more.program("init", INIT.as_bytes());
    more.program("disk", &std::fs::read(program).expect("it was built"));
    archive.extend(std::fs::read(more.write("bench-disks")).expect("it was written"));
    let initrd = folder.join("initrd");
    std::fs::write(&initrd, archive).expect("room for an initial RAM disk");
    let wanted = report::wanted();
    for kind in [
        ("IDE", "raw"),
        ("IDE", "qcow2"),
        ("virtio", "raw"),
        ("virtio", "qcow2"),
    ] {
        if wanted(&format!("{}, {}", kind.0, kind.1))
            && transfers(&folder, &installed, &initrd, kind, mib).is_none()
        {
            return;
        }
    }
    if wanted("boot") {
        boots(&installed);
    }
    if wanted("images") {
        images(&folder, mib);
    }
    // What is left there is of no use to anybody.
    let _ = std::fs::remove_dir_all(folder);
}

//! Debian on a disk: its packages unpacked without root, with what an installed system has besides: an init that starts a login on
//! the console. Its kernel finds the disk with modules, which an initial RAM disk loads.

use std::fs;
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::guests::{self, Linux};
use crate::initrd::Initrd;
use crate::userland::{self, MIPSEL, Port, RISCV64};

/// What is on the disk besides its kernel, with all that it depends on.
const PACKAGES: &[&str] = &[
    "bash",
    "coreutils",
    "dash",
    "e2fsprogs",
    "findutils",
    "grep",
    "login",
    "procps",
    "sysvinit-core",
    "util-linux",
];

/// Modules of the file system, in the order in which they are loaded; those of the disk follow.
const EXT4: &[&str] = &["crc16", "crc32c_generic", "mbcache", "jbd2", "ext4"];

/// A Debian system for a board.
struct System {
    /// What its files in the cache are called.
    name: &'static str,
    port: Port,
    /// The package of its kernel, and what is there besides [`PACKAGES`].
    kernel: &'static str,
    packages: &'static [&'static str],
    /// Modules that find its disk and what else it has, and those that are loaded if the kernel's `modules=` names them.
    modules: &'static [&'static str],
    others: &'static [&'static str],
}

const MALTA: System = System {
    name: "installed",
    port: MIPSEL,
    kernel: "linux-image-4kc-malta",
    packages: &[
        "apt",
        "busybox-static",
        "diffutils",
        "dropbear-bin",
        "iproute2",
        "libc-bin",
        "tar",
    ],
    modules: &["ata_piix", "cdrom", "sr_mod", "isofs"],
    others: &[
        "virtio",
        "virtio_ring",
        "virtio_pci_modern_dev",
        "virtio_pci_legacy_dev",
        "virtio_pci",
        "virtio_blk",
        "failover",
        "net_failover",
        "virtio_net",
        "9pnet",
        "9pnet_virtio",
        "netfs",
        "fscache",
        "9p",
        "virtio_balloon",
        "mii",
        "pcnet32",
        "e1000",
    ],
};

const RISCV: System = System {
    name: "installed-riscv64",
    port: RISCV64,
    kernel: "linux-image-riscv64",
    packages: &[],
    modules: &["virtio_mmio", "virtio_blk"],
    others: &["failover", "net_failover", "virtio_net"],
};

/// The first process of the initial RAM disk: it loads the modules and starts the system on the disk.
const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
root=/dev/sda1
more=
for word in $(/bin/busybox cat /proc/cmdline); do
  case $word in
    root=*) root=${word#root=};;
    modules=*) IFS=,; more=$(echo ${word#modules=}); unset IFS;;
  esac
done
for m in MODULES $more; do /bin/busybox insmod /modules/$m.ko; done
for n in 1 2 3 4 5 6 7 8 9 10; do [ -b $root ] && break; /bin/busybox sleep 1; done
/bin/busybox mount -t ext4 -o ro $root /root || exec /bin/busybox sh
/bin/busybox mount --move /dev /root/dev
/bin/busybox umount /proc
exec /bin/busybox switch_root /root /sbin/init
"#;

/// Files of the system that packages' scripts, or an installer, would have written: path, content, whether it can be executed.
const FILES: &[(&str, &str, bool)] = &[
    (
        "etc/passwd",
        "root::0:0:root:/root:/bin/sh\n_apt:x:42:65534::/nonexistent:/usr/sbin/nologin\n",
        false,
    ),
    (
        "etc/group",
        "root:x:0:\ntty:x:5:\nutmp:x:43:\nnogroup:x:65534:\n",
        false,
    ),
    ("etc/shadow", "root::19700:0:99999:7:::\n", false),
    ("etc/hostname", "malta\n", false),
    ("etc/issue", "Debian GNU/Linux \\n \\l\n", false),
    (
        "etc/fstab",
        "/dev/sda1 / ext4 errors=remount-ro 0 1\n",
        false,
    ),
    (
        "etc/inittab",
        "id:2:initdefault:\nsi::sysinit:/etc/start\nl0:0:wait:/etc/stop -p\nl6:6:wait:/etc/stop -r\nT0:2:respawn:/sbin/getty -L ttyS0 115200 vt100\n",
        false,
    ),
    (
        "etc/start",
        "#!/bin/sh\n[ -d /proc/sys ] || mount -t proc proc /proc\n[ -d /sys/kernel ] || mount -t sysfs sys /sys\nmount -o remount,rw /\nmkdir -p /dev/pts\nmount -t devpts devpts /dev/pts\ncat /etc/hostname > /proc/sys/kernel/hostname\ndmesg -n 1\n",
        true,
    ),
    (
        "etc/stop",
        "#!/bin/sh\nmount -o remount,ro /\ncase $1 in -r) reboot -f;; *) poweroff -f;; esac\n",
        true,
    ),
    (
        "etc/udhcpc/default.script",
        "#!/bin/sh\n[ $1 = bound ] || exit 0\nip address replace $ip/$mask dev $interface\nip route replace default via $router\necho nameserver $dns > /etc/resolv.conf\n",
        true,
    ),
    // Nothing is installed as far as it knows: it has its own files alone.
    ("var/lib/dpkg/status", "", false),
    ("etc/pam.d/login", PAM, false),
    ("etc/pam.d/other", PAM, false),
    ("root/.profile", "PS1='malta # '; stty columns 500\n", false),
];

const PAM: &str = "auth required pam_permit.so\naccount required pam_permit.so\nsession required pam_permit.so\npassword required pam_permit.so\n";

/// What nothing in the guest reads.
const LEFT_OUT: &[&str] = &[
    "boot",
    "lib/modules",
    "usr/share/doc",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/man",
    "usr/share/zoneinfo",
    "usr/lib/mipsel-linux-gnu/gconv",
    "usr/lib/riscv64-linux-gnu/gconv",
    "var/cache",
];

/// What the shell prints when it waits for a command, once somebody has logged in.
pub const PROMPT: &str = "malta # ";

/// Where the disk's only partition begins, and how long it and the disk are.
pub const PARTITION: u64 = 1 << 20;
const FILE_SYSTEM: u64 = 320 << 20;
const DISK: u64 = PARTITION + FILE_SYSTEM;

/// Debian on a disk.
#[derive(Debug, Clone)]
pub struct Installed {
    /// The kernel, and the initial RAM disk that finds the disk.
    pub linux: Linux,
    /// A raw image of a disk with one partition; to be copied before something writes to it.
    pub disk: PathBuf,
}

/// What Malta's kernel is told to start it.
pub const APPEND: &str = "root=/dev/sda1 console=ttyS0";

/// The disk of a Malta board and its kernel, made once; `None` where the caller's test is to be skipped.
///
/// # Panics
/// They cannot be made, and the environment variable `CI` is set.
pub fn disk() -> Option<Installed> {
    of(&MALTA, &userland::packages()?)
}

/// The same of a RISC-V board, Debian 13.
///
/// # Panics
/// As [`disk`].
pub fn riscv_disk() -> Option<Installed> {
    let busybox = userland::unpacked(RISCV64, "busybox-riscv64", &["busybox-static"], false)?;
    of(&RISCV, &busybox)
}

fn of(what: &System, static_programs: &Path) -> Option<Installed> {
    if !guests::tool("mke2fs", "e2fsprogs") || !guests::tool("xz", "xz-utils") {
        return None;
    }
    let mut packages = [PACKAGES, what.packages, &[what.kernel]].concat();
    packages.sort_unstable();
    let system = userland::unpacked(what.port, what.name, &packages, true)?;
    let _lock = guests::lock();
    let initrd = initrd(what, &system, static_programs).expect("the kernel's modules");
    let disk = guests::cache().join(what.name).with_extension("img");
    // What the disk has is what this file says.
    let said = format!("{packages:?} {FILES:?} {DISK}");
    let note = disk.with_extension("txt");
    if !fs::read_to_string(&note).is_ok_and(|before| before == said) || !disk.is_file() {
        make(&system, &disk).expect("an image of a disk");
        fs::write(note, said).expect("the cache can be written to");
    }
    let kernel = find(&system.join("boot"), "vmlinu").expect("the kernel's package has one");
    Some(Installed {
        linux: Linux { kernel, initrd },
        disk,
    })
}

/// A file below a folder whose name begins so.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let mut entries: Vec<_> = fs::read_dir(folder)
        .ok()?
        .flatten()
        .map(|e| e.path())
        .collect();
    entries.sort();
    let named = |path: &&PathBuf| {
        path.file_name()
            .is_some_and(|n| n.to_string_lossy().starts_with(name))
    };
    let found = entries.iter().filter(|path| path.is_file()).find(named);
    found.cloned().or_else(|| {
        let mut folders = entries
            .iter()
            .filter(|path| path.is_dir() && !path.is_symlink());
        folders.find_map(|folder| find(folder, name))
    })
}

fn initrd(what: &System, system: &Path, static_programs: &Path) -> io::Result<PathBuf> {
    let mut initrd = Initrd::new();
    for folder in ["bin", "modules", "proc", "root", "sys"] {
        initrd.folder(folder);
    }
    let busybox = find(static_programs, "busybox").ok_or_else(|| io::Error::other("no busybox"))?;
    initrd.program("bin/busybox", &fs::read(busybox)?);
    let loaded = [EXT4, what.modules].concat();
    for module in loaded.iter().chain(what.others) {
        let file = find(&system.join("lib/modules"), &format!("{module}.ko"));
        let file = file.ok_or_else(|| io::Error::other(format!("no module {module}")))?;
        initrd.file(&format!("modules/{module}.ko"), &plain(&file)?);
    }
    let init = INIT.replace("MODULES", &loaded.join(" "));
    initrd.program("init", init.as_bytes());
    Ok(initrd.write(what.name))
}

/// A file, unpacked if it is compressed.
fn plain(file: &Path) -> io::Result<Vec<u8>> {
    if file.extension().is_none_or(|ending| ending != "xz") {
        return fs::read(file);
    }
    let unpacked = Command::new("xz").arg("-dc").arg(file).output()?;
    match unpacked.status.success() {
        true => Ok(unpacked.stdout),
        false => Err(io::Error::other(String::from_utf8_lossy(&unpacked.stderr))),
    }
}

/// Makes the disk: a partition table, and behind it the file system that the table names.
fn make(system: &Path, disk: &Path) -> io::Result<()> {
    let tree = disk.with_extension("tree");
    let _ = fs::remove_dir_all(&tree);
    let copy = Command::new("cp")
        .arg("-a")
        .args([system, &tree])
        .output()?;
    if !copy.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&copy.stderr)));
    }
    for path in LEFT_OUT {
        let _ = fs::remove_dir_all(tree.join(path));
    }
    for folder in [
        "mnt",
        "proc",
        "root",
        "run",
        "sys",
        "tmp",
        "var/cache/apt/archives/partial",
    ] {
        fs::create_dir_all(tree.join(folder))?;
    }
    for (path, content, executed) in FILES {
        let path = tree.join(path);
        fs::create_dir_all(path.parent().unwrap_or(&tree))?;
        fs::write(&path, content)?;
        let mode = if *executed { 0o755 } else { 0o644 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
    }
    if !tree.join("bin/sh").exists() {
        std::os::unix::fs::symlink("bash", tree.join("bin/sh"))?;
    }
    let part = disk.with_extension("part");
    let _ = fs::remove_file(&part);
    let file = fs::File::create(&part)?;
    file.set_len(DISK)?;
    let mut mke2fs = Command::new("mke2fs");
    mke2fs.args(["-q", "-F", "-t", "ext4", "-E"]);
    mke2fs.arg(format!("offset={PARTITION},root_owner=0:0"));
    let made = mke2fs.arg("-d").args([&tree, &part]);
    let made = made.arg(format!("{}k", FILE_SYSTEM / 1024)).output()?;
    if !made.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&made.stderr)));
    }
    // One partition of Linux's kind, found by its first sector and length.
    let mut entry = [0; 66];
    entry[4] = 0x83;
    entry[8..12].copy_from_slice(&((PARTITION / 512) as u32).to_le_bytes());
    entry[12..16].copy_from_slice(&((FILE_SYSTEM / 512) as u32).to_le_bytes());
    entry[64..].copy_from_slice(&[0x55, 0xaa]);
    file.write_all_at(&entry, 446)?;
    fs::remove_dir_all(tree)?;
    fs::rename(part, disk)
}

/// What `e2fsck` finds on the disk's file system, to which it does nothing; `None` if that is whole.
///
/// # Panics
/// It cannot be started.
pub fn damage(disk: &Path) -> Option<String> {
    let mut image = disk.as_os_str().to_owned();
    image.push(format!("?offset={PARTITION}"));
    let found = Command::new("e2fsck").arg("-fn").arg(image).output();
    let found = found.expect("e2fsck belongs to mke2fs");
    let text = || {
        String::from_utf8_lossy(&[found.stdout.clone(), found.stderr.clone()].concat()).into_owned()
    };
    (!found.status.success()).then(text)
}

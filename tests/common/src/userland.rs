//! A Debian userland for the guest: packages of a port of Debian's, unpacked on the host without root and without making the
//! port's an architecture of the host.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::console::Console;
use crate::emulator::Emulator;
use crate::guests::{self, Linux};
use crate::initrd::Initrd;

/// What Debian's packages are of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Port {
    /// The release.
    pub(crate) release: &'static str,
    /// The architecture.
    pub(crate) architecture: &'static str,
}

/// The release that last has `mipsel`.
pub(crate) const MIPSEL: Port = Port {
    release: "bookworm",
    architecture: "mipsel",
};
/// The release that first has `riscv64`.
pub(crate) const RISCV64: Port = Port {
    release: "trixie",
    architecture: "riscv64",
};

/// Where it comes from if the host's own lists do not say.
const MIRROR: &str = "http://deb.debian.org/debian/";
/// What signs it: a part of every Debian system.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A shell with its tools, an interpreter, a database, compressors, and the libraries that they need.
const PACKAGES: &[&str] = &[
    "busybox-static",
    "libc6",
    "libcrypt1",
    "libexpat1",
    "libgcc-s1",
    "liblz4-1",
    "liblzma5",
    "libpython3.11-minimal",
    "libpython3.11-stdlib",
    "libreadline8",
    "libsqlite3-0",
    "libstdc++6",
    "libtinfo6",
    "libzstd1",
    "perl-base",
    "python3.11-minimal",
    "sqlite3",
    "xz-utils",
    "zlib1g",
    "zstd",
];

/// What nothing in the guest reads.
const LEFT_OUT: &[&str] = &[
    "usr/share/bash-completion",
    "usr/share/doc",
    "usr/share/lintian",
    "usr/share/locale",
    "usr/share/man",
    "usr/lib/mipsel-linux-gnu/gconv",
];

/// What the shell of [`start`] prints when it waits for a command.
pub const PROMPT: &str = "guest # ";

/// The first process: the usual mounts, busybox's applets, and a shell.
const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /tmp /root /usr/bin /usr/sbin /sbin
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox --install -s
export PATH=/programs:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb PS1='guest # '
dmesg -n 1
stty columns 1000
cd
exec setsid cttyhack sh
"#;

/// The packages, unpacked into one folder; `None` where the caller's test is to be skipped.
///
/// # Panics
/// They cannot be had, and the environment variable `CI` is set.
pub fn packages() -> Option<PathBuf> {
    unpacked(MIPSEL, "userland", PACKAGES, false)
}

/// Packages, unpacked into one folder with this name; `whole` adds those that they depend on. `None` where the caller's test is to
/// be skipped.
///
/// # Panics
/// They cannot be had, and the environment variable `CI` is set.
pub(crate) fn unpacked(port: Port, name: &str, packages: &[&str], whole: bool) -> Option<PathBuf> {
    let folder = guests::cache().join(name);
    let wanted = packages.join("\n");
    // Another set of packages, from before or after this one, is not this one.
    let complete = || fs::read_to_string(folder.join(".packages")).is_ok_and(|have| have == wanted);
    if complete() {
        return Some(folder);
    }
    let _lock = guests::lock();
    if complete() {
        return Some(folder);
    }
    match fetch(port, &folder, packages, whole) {
        Ok(()) => Some(folder),
        Err(e) => guests::missing(&format!(
            "Debian's {} packages cannot be had: {e}",
            port.architecture
        )),
    }
}

/// Downloads the packages and unpacks them, all or nothing.
fn fetch(port: Port, folder: &Path, packages: &[&str], whole: bool) -> Result<(), String> {
    let apt = guests::cache().join("apt").join(port.architecture);
    let part = folder.with_extension("part");
    let debs = apt.join("debs");
    let _ = fs::remove_dir_all(&debs);
    let _ = fs::remove_dir_all(&part);
    for folder in [&part, &debs, &apt.join("lists/partial"), &apt.join("cache")] {
        fs::create_dir_all(folder).map_err(|e| e.to_string())?;
    }
    let config = configure(port, &apt).map_err(|e| e.to_string())?;
    let apt_get = || {
        let mut command = Command::new("apt-get");
        command.arg("-q").env("APT_CONFIG", &config);
        command
    };
    output(apt_get().args(["--error-on=any", "update"]))?;
    let mut names: Vec<String> = packages.iter().map(|name| (*name).to_owned()).collect();
    if whole {
        let plan = ["--simulate", "--no-install-recommends", "install"];
        let plan = output(apt_get().args(plan).args(packages))?;
        let lines = plan.lines().filter_map(|line| line.strip_prefix("Inst "));
        names = lines
            .filter_map(|line| line.split_whitespace().next())
            .map(str::to_owned)
            .collect();
    }
    output(apt_get().arg("download").args(names).current_dir(&debs))?;
    for deb in fs::read_dir(&debs).map_err(|e| e.to_string())?.flatten() {
        output(
            Command::new("dpkg-deb")
                .arg("-x")
                .args([&deb.path(), &part]),
        )?;
    }
    fs::write(part.join(".packages"), packages.join("\n")).map_err(|e| e.to_string())?;
    let _ = fs::remove_dir_all(&apt);
    let _ = fs::remove_dir_all(folder);
    fs::rename(&part, folder).map_err(|e| e.to_string())
}

/// Writes a configuration of apt that has nothing to do with the host's packages: its own lists, its own architecture.
/// The host's say where Debian is found and how it is reached.
fn configure(port: Port, apt: &Path) -> std::io::Result<PathBuf> {
    let Port {
        release,
        architecture,
    } = port;
    let targets = ["Created-By: Packages", "Component: main", "Origin: Debian"];
    let mirror = output(
        Command::new("apt-get")
            .args(["indextargets", "--format", "$(REPO_URI)"])
            .args(targets)
            .arg(format!("Codename: {release}")),
    );
    let mirror = mirror.unwrap_or_default();
    let mirror = mirror.lines().next().unwrap_or(MIRROR);
    let host = output(Command::new("apt-config").arg("dump")).unwrap_or_default();
    let reached = ["Acquire::http", "Acquire::https", "Acquire::Retries"];
    let reached = host
        .lines()
        .filter(|l| reached.iter().any(|r| l.starts_with(r)));
    let at = |path: &str| apt.join(path).display().to_string();
    let mut lines: Vec<String> = reached.map(str::to_owned).collect();
    for (name, value) in [
        ("Dir::State", at("")),
        ("Dir::State::lists", at("lists")),
        ("Dir::State::status", at("status")),
        ("Dir::Cache", at("cache")),
        ("Dir::Etc::main", "/dev/null".into()),
        ("Dir::Etc::parts", "/dev/null".into()),
        ("Dir::Etc::sourcelist", at("sources.list")),
        ("Dir::Etc::sourceparts", "/dev/null".into()),
        ("APT::Architecture", architecture.into()),
        // As root, apt would give the lists to a user who may not be able to reach this folder.
        ("APT::Sandbox::User", "root".into()),
        ("Acquire::Languages", "none".into()),
    ] {
        lines.push(format!("{name} \"{value}\";"));
    }
    lines.push(format!("APT::Architectures {{ \"{architecture}\"; }};"));
    fs::write(apt.join("status"), "")?;
    fs::write(
        apt.join("sources.list"),
        format!("deb [arch={architecture} signed-by={KEYRING}] {mirror} {release} main\n"),
    )?;
    let config = apt.join("apt.conf");
    fs::write(&config, lines.join("\n"))?;
    Ok(config)
}

/// Runs a command: what it prints, or why it failed.
fn output(command: &mut Command) -> Result<String, String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|e| e.to_string())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let errors = String::from_utf8_lossy(&output.stderr)
        .trim()
        .replace('\n', "; ");
    Err(format!("{}: {errors}", command.get_program().display()))
}

/// Debian's kernel with the userland, and files of the host in `/programs`, which is on the path. `None` as for
/// [`packages`].
///
/// # Panics
/// As [`packages`]; or a file cannot be read.
pub fn image(name: &str, files: &[PathBuf]) -> Option<Linux> {
    let kernel = guests::linux()?.kernel;
    let packages = packages()?;
    let mut initrd = Initrd::new();
    initrd.tree(&packages, &|path| LEFT_OUT.contains(&path));
    initrd.program("init", INIT.as_bytes());
    initrd.folder("programs");
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let content = fs::read(file).expect("a file for the guest");
        initrd.program(&format!("programs/{name}"), &content);
    }
    let initrd = initrd.write(name);
    Some(Linux { kernel, initrd })
}

/// Boots an [`image`] to its shell's first prompt.
///
/// # Panics
/// The shell does not come.
pub fn start(emulator: Emulator, linux: &Linux) -> Console {
    let emulator = emulator.ram(256).linux(linux, "console=ttyS0 rdinit=/init");
    let mut console = Console::start(emulator.command());
    console.expect(PROMPT);
    console
}

//! Guests: Debian's kernel and U-Boot for the Malta board, and programs of our own.
//!
//! Debian's are taken from packages: those installed on this host, else ones that `apt-get download` fetches (no root
//! needed) and `dpkg-deb` unpacks below `target/guests`. A test that needs a guest and cannot have it fails where the
//! environment variable `CI` is set; elsewhere it says how to get it, and passes.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::emulator::Endian;
use crate::initrd::Initrd;
use crate::target::Target;

/// Debian's kernel and initial RAM disk for the Malta board.
#[derive(Debug, Clone)]
pub struct Linux {
    /// `vmlinuz-6.1.0-*-4kc-malta`, an ELF file.
    pub kernel: PathBuf,
    /// `initrd.gz`, the installer's.
    pub initrd: PathBuf,
}

/// Debian's kernel, or `None` where the caller's test is to be skipped.
///
/// # Panics
/// It is missing, and the environment variable `CI` is set.
pub fn linux() -> Option<Linux> {
    malta("mipsel", "-4kc-malta")
}

/// Debian's kernel of 64 bits for the Malta board, or `None` where the caller's test is to be skipped.
///
/// # Panics
/// It is missing, and the environment variable `CI` is set.
pub fn linux64() -> Option<Linux> {
    malta("mips64el", "-5kc-malta")
}

/// The installer's kernel for the Malta board whose name ends so.
fn malta(architecture: &str, flavour: &str) -> Option<Linux> {
    let folder = format!("usr/lib/debian-installer/images/12/{architecture}/malta");
    let package = format!("debian-installer-12-netboot-{architecture}");
    let initrd = packaged(&package, &format!("{folder}/initrd.gz"))?;
    let entries = std::fs::read_dir(initrd.parent()?).ok()?;
    let kernel = entries.flatten().map(|e| e.path()).find(|p| {
        p.file_name()
            .is_some_and(|n| n.to_string_lossy().ends_with(flavour))
    });
    match kernel {
        Some(kernel) => Some(Linux { kernel, initrd }),
        None => missing(&format!("no kernel lies beside {}", initrd.display())),
    }
}

/// Debian's U-Boot for the little-endian Malta board, or `None` where the caller's test is to be skipped.
///
/// # Panics
/// It is missing, and the environment variable `CI` is set.
pub fn uboot() -> Option<PathBuf> {
    packaged("u-boot-qemu", "usr/lib/u-boot/maltael/u-boot.bin")
}

/// The same of 64 bits.
///
/// # Panics
/// It is missing, and the environment variable `CI` is set.
pub fn uboot64() -> Option<PathBuf> {
    packaged("u-boot-qemu", "usr/lib/u-boot/malta64el/u-boot.bin")
}

/// SeaBIOS, a PC's firmware; `None` if it cannot be had, and the test is to be skipped.
///
/// # Panics
/// It is missing, and the environment variable `CI` is set.
pub fn seabios() -> Option<PathBuf> {
    packaged("seabios", "usr/share/seabios/bios-256k.bin")
}

/// What a RISC-V board boots.
#[derive(Debug, Clone)]
pub struct Riscv {
    /// OpenSBI's firmware that is told what to start, and that which knows it.
    pub fw_dynamic: PathBuf,
    pub fw_jump: PathBuf,
    /// Debian's U-Boot for S mode.
    pub uboot: PathBuf,
    /// Debian 13's kernel, an `Image`, and the installer's initial RAM disk.
    pub linux: Linux,
}

/// Debian's guests for RISC-V, or `None` where the caller's test is to be skipped.
///
/// # Panics
/// One is missing, and the environment variable `CI` is set.
pub fn riscv() -> Option<Riscv> {
    const FIRMWARE: &str = "usr/lib/riscv64-linux-gnu/opensbi/generic";
    const FOLDER: &str = "usr/lib/debian-installer/images/13/riscv64/text/debian-installer/riscv64";
    let firmware = |name| packaged("opensbi", &format!("{FIRMWARE}/{name}"));
    let uboot = "usr/lib/u-boot/qemu-riscv64_smode/u-boot.bin";
    let installer = |name| {
        let package = "debian-installer-13-netboot-riscv64";
        packaged_in(Some("trixie"), package, &format!("{FOLDER}/{name}"))
    };
    Some(Riscv {
        fw_dynamic: firmware("fw_dynamic.bin")?,
        fw_jump: firmware("fw_jump.elf")?,
        uboot: packaged("u-boot-qemu", uboot)?,
        linux: Linux {
            kernel: installer("linux")?,
            initrd: installer("initrd.gz")?,
        },
    })
}

/// Whether a program is installed; if not, the caller's test is to be skipped.
///
/// # Panics
/// It is missing, and the environment variable `CI` is set.
pub fn tool(name: &str, package: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&folders).any(|folder| folder.join(name).is_file()) {
        return true;
    }
    missing::<()>(&format!(
        "{name} is not installed; `apt-get install {package}` gets it"
    ));
    false
}

/// The repository.
pub fn repository() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    root.expect("the crate lies two folders below the root")
        .to_path_buf()
}

/// A folder for what is fetched and built, kept between runs.
pub fn cache() -> PathBuf {
    let folder = repository().join("target/guests");
    std::fs::create_dir_all(&folder).expect("the repository can be written to");
    folder
}

/// A program of ours, built from `tests/guests/NAME` for one kind of CPU: bare metal, linked at `address`. `None` where the caller's test is to be skipped for want of a compiler.
///
/// # Panics
/// It does not compile; or there is no compiler, and the environment variable `CI` is set.
pub fn bare_metal(name: &str, target: impl Into<&'static Target>, address: u64) -> Option<PathBuf> {
    let target = target.into();
    let script = repository().join("tests/guests/bare.ld");
    let script = format!("-Wl,-T,{}", script.display());
    let place = format!("-Wl,--defsym,address={address:#x}");
    let flags = [
        "-nostdlib",
        "-static",
        "-Wl,--build-id=none",
        "-Wl,--no-warn-rwx-segments",
        &script,
        &place,
        "-ffreestanding",
    ];
    compile(name, target, address, &[&flags, target.bare].concat())
}

/// The bytes of the same program, from its address on.
///
/// # Panics
/// As [`bare_metal`].
pub fn bare_bytes(name: &str, endian: Endian, address: u32) -> Option<Vec<u8>> {
    let built = bare_metal(name, endian, address.into())?;
    let bytes = built.with_extension("bin");
    let _lock = lock();
    let mut command = Command::new(format!("{}-objcopy", endian.triple()));
    command.args(["-O", "binary"]).args([&built, &bytes]);
    run_compiler(&mut command, &built);
    Some(std::fs::read(bytes).expect("the program was built"))
}

/// A static Linux program for the little-endian Malta board, built from a C file of the repository and named as that is
/// without `.c`. `None` as for [`bare_metal`].
///
/// # Panics
/// As [`bare_metal`].
pub fn linux_program(source: &str) -> Option<PathBuf> {
    let target: &Target = Endian::Little.into();
    let compiler = format!("{}-gcc", target.toolchain);
    let flags = [target.flags, &["-static"]].concat();
    let headers = Path::new("/usr/mipsel-linux-gnu/include/stdio.h");
    if !tool(&compiler, "gcc-mipsel-linux-gnu") {
        return None;
    }
    if !headers.is_file() {
        return missing(
            "there is no C library for the guest; `apt-get install libc6-dev-mipsel-cross` gets it",
        );
    }
    Some(program(source, "guest", &compiler, &flags))
}

/// The same program for the host, to tell what it prints where it works. `None` if there is no compiler.
///
/// # Panics
/// As [`bare_metal`].
pub fn host_program(source: &str) -> Option<PathBuf> {
    // What the guest's FPU does: nothing is fused, nothing is wider.
    tool("cc", "gcc").then(|| program(source, "host", "cc", &["-ffp-contract=off"]))
}

/// Builds a C file of the repository.
fn program(source: &str, folder: &str, compiler: &str, flags: &[&str]) -> PathBuf {
    let source = Path::new(source);
    let name = source.file_stem().expect("a source has a name");
    let folder = cache().join(folder).join(source.parent().unwrap_or(source));
    let _lock = lock();
    std::fs::create_dir_all(&folder).expect("the cache can be written to");
    let built = folder.join(name);
    let source = repository().join(source);
    // Another test may be reading what was built before.
    let part = folder.join(format!("{}.part", std::process::id()));
    let mut command = Command::new(compiler);
    command
        .args(["-O2", "-o"])
        .args([&part, &source])
        .args(flags);
    run_compiler(command.arg("-lm"), &source);
    std::fs::rename(part, &built).expect("the cache can be written to");
    built
}

/// An initial RAM disk that holds one program, as `/init`.
///
/// # Panics
/// The program cannot be read.
pub fn initrd(program: &Path) -> PathBuf {
    let content = std::fs::read(program).expect("the program was built");
    let mut initrd = Initrd::new();
    initrd.program("init", &content);
    initrd.write(&program.file_stem().unwrap_or_default().to_string_lossy())
}

fn compile(name: &str, target: &Target, address: u64, flags: &[&str]) -> Option<PathBuf> {
    let Target { toolchain, .. } = target;
    let compiler = format!("{toolchain}-gcc");
    if !tool(&compiler, &format!("gcc-{toolchain}")) {
        return None;
    }
    let source = repository().join("tests/guests").join(name);
    let _lock = lock();
    let built = cache().join(format!("{name}-{toolchain}-{address:08x}.elf"));
    let mut command = Command::new(compiler);
    command
        .args(["-O2", "-o"])
        .args([&built, &source])
        .args(target.flags)
        .args(flags);
    run_compiler(&mut command, &source);
    Some(built)
}

fn run_compiler(command: &mut Command, source: &Path) {
    let output = command.output().expect("the compiler was found");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", source.display());
}

/// A file of a Debian package.
fn packaged(package: &str, file: &str) -> Option<PathBuf> {
    packaged_in(None, package, file)
}

/// The same of a release that the host is not of: its lists are kept in a folder of ours.
fn packaged_in(release: Option<&str>, package: &str, file: &str) -> Option<PathBuf> {
    let (installed, unpacked) = (Path::new("/").join(file), cache().join(package).join(file));
    let found = || {
        [&installed, &unpacked]
            .into_iter()
            .find(|p| p.is_file())
            .cloned()
    };
    found().or_else(|| {
        let _lock = lock();
        // Another test may have fetched it while this one waited.
        found().or_else(|| match fetch(release, package) {
            Ok(()) => found().or_else(|| missing(&format!("package {package} has no {file}"))),
            Err(e) => missing(&format!(
                "package {package} cannot be had ({e}); `apt-get install {package}` gets it"
            )),
        })
    })
}

/// Downloads a package and unpacks it, all or nothing.
fn fetch(release: Option<&str>, package: &str) -> Result<(), String> {
    let folder = cache().join(format!("{package}.part"));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
    let run = |command: &mut Command| {
        let output = command
            .current_dir(&folder)
            .stdin(Stdio::null())
            .output()
            .map_err(|e| e.to_string())?;
        let text = String::from_utf8_lossy(&output.stderr)
            .trim()
            .replace('\n', "; ");
        if output.status.success() {
            Ok(())
        } else {
            Err(text)
        }
    };
    let options = release.map_or(Ok(Vec::new()), apt_of)?;
    if !options.is_empty() {
        run(Command::new("apt-get")
            .args(&options)
            .args(["-q", "update"]))?;
    }
    run(Command::new("apt-get")
        .args(&options)
        .args(["-q", "download", package]))?;
    let entries = std::fs::read_dir(&folder).map_err(|e| e.to_string())?;
    let archive = entries
        .flatten()
        .map(|e| e.path())
        .find(|p| p.extension().is_some_and(|e| e == "deb"));
    let archive = archive.ok_or("nothing was downloaded")?;
    run(Command::new("dpkg-deb").arg("-x").args([&archive, &folder]))?;
    let _ = std::fs::remove_file(archive);
    std::fs::rename(&folder, cache().join(package)).map_err(|e| e.to_string())
}

/// What apt is told to have its sources and lists of a release in a folder of the cache, and nothing of the host's.
fn apt_of(release: &str) -> Result<Vec<String>, String> {
    let folder = cache().join("apt").join(release);
    for part in ["lists/partial", "cache/archives/partial"] {
        std::fs::create_dir_all(folder.join(part)).map_err(|e| e.to_string())?;
    }
    let sources = folder.join("sources.list");
    let key = "/usr/share/keyrings/debian-archive-keyring.gpg";
    let source = format!("deb [signed-by={key}] http://deb.debian.org/debian {release} main\n");
    std::fs::write(&sources, source).map_err(|e| e.to_string())?;
    let folder = folder.display();
    let options = [
        format!("Dir::Etc::sourcelist={}", sources.display()),
        "Dir::Etc::sourceparts=/dev/null".to_owned(),
        format!("Dir::State::lists={folder}/lists"),
        format!("Dir::Cache={folder}/cache"),
        "Acquire::Languages=none".to_owned(),
    ];
    Ok(options
        .into_iter()
        .flat_map(|option| ["-o".to_owned(), option])
        .collect())
}

/// Fails the calling test in CI; elsewhere says what is missing, past the test harness's capture of output.
pub(crate) fn missing<T>(what: &str) -> Option<T> {
    assert!(std::env::var_os("CI").is_none(), "{what}");
    let _ = writeln!(std::io::stderr(), "SKIPPED: {what}");
    None
}

/// One process at a time changes the cache.
pub(crate) fn lock() -> File {
    let file = File::create(cache().join("lock")).expect("the cache can be written to");
    file.lock().expect("the cache can be locked");
    file
}

/// Writes a file so that nobody sees half of it.
///
/// # Panics
/// It cannot be written.
pub fn replace(path: &Path, content: &[u8]) {
    static WRITTEN: AtomicU32 = AtomicU32::new(0);
    let unique = (std::process::id(), WRITTEN.fetch_add(1, Ordering::Relaxed));
    let part = path.with_extension(format!("part-{}-{}", unique.0, unique.1));
    std::fs::write(&part, content)
        .and_then(|()| std::fs::rename(&part, path))
        .expect("the cache can be written to");
}

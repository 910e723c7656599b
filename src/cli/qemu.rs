//! Options of QEMU that are typed by habit, and what they are called here.

use clap::error::{Error, ErrorKind};

/// Names of an option, and what to write instead. `…` stands for the option's value.
const OPTIONS: &[(&[&str], &str)] = &[
    (&["m"], "--ram …"),
    (&["cpu"], "--cpu …"),
    (
        &["M", "machine"],
        "the board's name behind `run`, such as malta",
    ),
    (&["kernel"], "--kernel …"),
    (&["initrd"], "--initrd …"),
    (&["append"], "--append …"),
    (&["bios", "pflash"], "--firmware …"),
    (
        &["nographic"],
        "nothing: the first serial port is on the terminal anyway",
    ),
    (
        &[
            "display", "vga", "curses", "sdl", "spice", "vnc", "k", "parallel",
        ],
        "nothing: no board has one",
    ),
    (&["serial"], "--backend serial0=…"),
    (&["chardev"], "--backend SLOT=…"),
    (&["monitor", "mon", "qmp"], "--monitor …"),
    (
        &["netdev", "nic", "net"],
        "--net user, or another network, for a board with a slot for one such as malta-net",
    ),
    (
        &[
            "drive", "blockdev", "hda", "hdb", "hdc", "hdd", "cdrom", "fda", "fdb", "sd",
            "mtdblock",
        ],
        "nothing: there are no disks; a memory is filled with --backend SLOT=file:PATH",
    ),
    (
        &["device"],
        "a table [dev.NAME] in the board, or in an overlay: --overlay FILE",
    ),
    (&["global"], "--set DEVICE.PROPERTY=VALUE"),
    (&["smp"], "nothing: a board says which CPUs it has"),
    (&["gdb"], "--gdb …"),
    (&["no-reboot"], "--no-reboot"),
    (&["loadvm"], "--restore file:snapshots/….snap"),
    (&["incoming"], "--restore …"),
    (&["icount"], "--deterministic"),
    (
        &["accel", "enable-kvm"],
        "--engine interp or jit; without it the faster",
    ),
    (&["d", "D", "trace"], "-v or -vv: a log on standard error"),
    (
        &[
            "nodefaults",
            "no-user-config",
            "name",
            "daemonize",
            "usb",
            "boot",
        ],
        "nothing",
    ),
    (&["version"], "`solderless --version`"),
    (
        &["L", "dtb", "snapshot", "rtc"],
        "nothing: there is no such option",
    ),
];

/// What to say of a line that is no good if it has options of QEMU.
pub fn translate(error: &Error, args: &[String]) -> Option<String> {
    let asked = |arg: &String| ["help", "-h", "--help"].contains(&arg.as_str());
    match error.kind() {
        ErrorKind::UnknownArgument => {}
        // `-hda` starts like `-h`.
        ErrorKind::DisplayHelp if !args.iter().any(asked) => {}
        _ => return None,
    }
    let mut lines = Vec::new();
    let mut args = args.iter().peekable();
    while let Some(arg) = args.next() {
        let next = args.peek().filter(|next| !next.starts_with('-'));
        if arg == "--append" {
            // Whatever stands behind it is the kernel's.
            args.next();
            continue;
        }
        let Some((_, here)) = find(arg) else {
            continue;
        };
        if here.split(' ').next() == Some(arg) {
            continue;
        }
        let value = next.map_or("…", |value| value.as_str());
        // A number alone is MiB to QEMU.
        let value = match arg.as_str() {
            "-m" if value.bytes().all(|b| b.is_ascii_digit()) => format!("{value}MiB"),
            _ if here.ends_with('…') || here.ends_with("….snap") => value.to_owned(),
            _ => "…".to_owned(),
        };
        lines.push(format!("  {arg}: {}", here.replace('…', &value)));
    }
    if lines.is_empty() {
        return None;
    }
    Some(format!(
        "these are options of QEMU; instead of them write:\n{}\n`solderless run --help` lists all options",
        lines.join("\n")
    ))
}

fn find(arg: &str) -> Option<&'static (&'static [&'static str], &'static str)> {
    let name = arg.strip_prefix("--").or_else(|| arg.strip_prefix('-'))?;
    let name = name.split_once('=').map_or(name, |(name, _)| name);
    OPTIONS.iter().find(|(names, _)| names.contains(&name))
}

//! Options of QEMU: what they are called here where they are typed by habit, and `solderless qemu`, which takes a whole line of them.

use std::process::ExitCode;

use clap::error::{Error, ErrorKind};

use crate::backend::Chardev;
use crate::{compose, registry};

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
    (&["monitor", "mon"], "--monitor …"),
    (&["qmp", "qmp-pretty"], "--qmp …"),
    (&["S"], "-S"),
    (&["netdev", "nic", "net"], "--net user, or another network"),
    (
        &["virtfs", "fsdev"],
        "--backend share0=folder:PATH, on a board with a virtio-9p device",
    ),
    (
        &["drive", "blockdev", "hda", "hdb", "hdc", "hdd"],
        "--disk PATH, with the options of its file behind commas",
    ),
    (&["cdrom"], "--cdrom PATH"),
    (
        &["fda", "fdb", "sd", "mtdblock"],
        "nothing: no board has such a drive; a memory is filled with --backend SLOT=file:PATH",
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
    (&["incoming"], "--incoming …"),
    (
        &["icount"],
        "--deterministic; for rr=record --log-events FILE, for rr=replay --replay-events FILE",
    ),
    (
        &["accel", "enable-kvm"],
        "--engine interp or jit; without it the faster",
    ),
    (
        &["d"],
        "--trace '*.exception' for int, -vv for guest_errors and unimp; for in_asm, exec and cpu gdb, or the monitor's `x/10i $pc` and `info registers`",
    ),
    (
        &["D", "trace"],
        "--trace POINTS, which the monitor's `info trace` lists, with --trace-to FILE",
    ),
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
        "these are options of QEMU; instead of them write:\n{}\n`solderless run --help` lists all options, and `solderless qemu` takes QEMU's as they are",
        lines.join("\n")
    ))
}

fn find(arg: &str) -> Option<&'static (&'static [&'static str], &'static str)> {
    let name = arg.strip_prefix("--").or_else(|| arg.strip_prefix('-'))?;
    let name = name.split_once('=').map_or(name, |(name, _)| name);
    OPTIONS.iter().find(|(names, _)| names.contains(&name))
}

/// The arguments of `solderless qemu`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print our command line instead of running it
    #[arg(long)]
    print: bool,
    /// A command line of QEMU's; the program's name may stand in front, qemu-system-…
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "OPTION"
    )]
    options: Vec<String>,
}

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    let asked = args.options.iter().any(|option| option == "--print");
    let options = args.options.iter().filter(|option| *option != "--print");
    let options: Vec<_> = options.map(String::as_str).collect();
    let ours = match ours(&options) {
        Ok(ours) => ours,
        Err(reason) => return super::usage(&reason),
    };
    if args.print || asked {
        let words: Vec<_> = ours.iter().map(|word| quoted(word)).collect();
        return super::print(&format!("solderless {}\n", words.join(" ")));
    }
    let ours = std::iter::once("solderless".to_owned()).chain(ours);
    super::carry_out(ours.collect())
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    match word.chars().all(plain) && !word.is_empty() {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

/// How a program of QEMU's begins.
const PROGRAM: &str = "qemu-system-";

/// Our arguments for QEMU's.
///
/// # Errors
/// What cannot be said here, a line for each.
fn ours(options: &[&str]) -> Result<Vec<String>, String> {
    let mut wanted = Wanted::default();
    let mut rest = options.iter().copied().peekable();
    if let Some(program) = rest.next_if(|word| !word.starts_with('-')) {
        let name = program.rsplit('/').next().unwrap_or(program);
        match name.strip_prefix(PROGRAM) {
            Some(target) => wanted.target = Some(target),
            None => wanted.no(program, "no option; options begin with -"),
        }
    }
    while let Some(word) = rest.next() {
        let name = word.strip_prefix("--").or_else(|| word.strip_prefix('-'));
        let Some(name) = name else {
            wanted.no(word, "no option; a disk has an option of its own");
            continue;
        };
        if ALONE.contains(&name) {
            wanted.flag(word, name);
            continue;
        }
        let Some(value) = rest.next() else {
            wanted.no(word, "an option that takes a value, or none of QEMU's");
            continue;
        };
        wanted.option(word, name, value);
    }
    wanted.finish()
}

/// Options of QEMU's that stand alone.
const ALONE: &[&str] = &[
    "nographic",
    "S",
    "s",
    "no-reboot",
    "no-shutdown",
    "nodefaults",
    "no-user-config",
    "enable-kvm",
    "daemonize",
    "snapshot",
    "singlestep",
    "curses",
    "usb",
    "no-acpi",
    "version",
    "h",
    "help",
];

/// What a command line of QEMU's asks for.
#[derive(Default)]
struct Wanted<'a> {
    target: Option<&'a str>,
    board: Option<&'a str>,
    /// Arguments of `run` behind the board.
    args: Vec<String>,
    /// The backends of the serial ports, in order.
    serial: Vec<&'a str>,
    /// Monitors, and whether each is QMP.
    monitors: Vec<(&'a str, bool)>,
    /// Streams by their names.
    chardevs: Vec<(&'a str, Result<String, String>)>,
    net: Option<String>,
    nographic: bool,
    /// What there is no way to say.
    wrong: Vec<String>,
}

impl<'a> Wanted<'a> {
    fn no(&mut self, option: &str, instead: &str) {
        self.wrong.push(format!("  {option}: {instead}"));
    }

    fn add(&mut self, option: &str, value: &str) {
        self.args.extend([option.to_owned(), value.to_owned()]);
    }

    fn flag(&mut self, word: &str, name: &str) {
        match name {
            "S" | "s" => self.args.push(format!("-{name}")),
            "no-reboot" => self.args.push("--no-reboot".to_owned()),
            "singlestep" => self.add("--engine", "interp"),
            "nographic" => self.nographic = true,
            "nodefaults" | "no-user-config" | "no-acpi" | "usb" => {}
            _ => self.known(word, name),
        }
    }

    /// An option that there is something to say of.
    fn known(&mut self, word: &str, name: &str) {
        let row = OPTIONS.iter().find(|(names, _)| names.contains(&name));
        self.no(word, row.map_or("no option of ours", |(_, here)| here));
    }

    fn option(&mut self, word: &str, name: &str, value: &'a str) {
        let mut parts = value.split(',');
        let first = parts.next().unwrap_or_default();
        match name {
            "M" | "machine" => self.board = Some(first.strip_prefix("type=").unwrap_or(first)),
            "m" => match size(first.strip_prefix("size=").unwrap_or(first)) {
                Some(size) => self.add("--ram", &size),
                None => self.no(word, "a size, such as 256M"),
            },
            "cpu" => self.add("--cpu", first),
            "kernel" | "initrd" | "append" => self.add(&format!("--{name}"), value),
            "bios" | "pflash" => self.add("--firmware", value),
            "gdb" => self.add("--gdb", value),
            "serial" => self.serial.push(value),
            "monitor" => self.monitors.push((value, false)),
            "qmp" | "qmp-pretty" => self.monitors.push((value, true)),
            "mon" => {
                let fields = fields(value);
                let of = |key| fields.iter().find(|(k, _)| *k == key).map(|(_, v)| *v);
                let own = first.strip_prefix("chardev=").unwrap_or(first);
                match of("chardev").or(Some(own).filter(|own| !own.is_empty())) {
                    Some(id) => self.monitors.push((id, of("mode") == Some("control"))),
                    None => self.no(word, "a monitor's chardev"),
                }
            }
            "chardev" => {
                let fields = fields(value);
                match fields.iter().find(|(key, _)| *key == "id") {
                    Some((_, id)) => {
                        let stream = Chardev::of_qemu(first, &fields);
                        self.chardevs.push((id, stream.map(|s| s.to_string())));
                    }
                    None => self.no(word, "a stream needs its id"),
                }
            }
            "nic" | "netdev" | "net" => self.network(word, name, value),
            "drive" if fields(value).contains(&("if", "pflash")) => {
                match fields(value).iter().find(|(key, _)| *key == "file") {
                    Some((_, file)) => self.add("--firmware", file),
                    None => self.no(word, "a flash memory needs its file"),
                }
            }
            "drive" => self.drive(word, value),
            "hda" => self.add("--backend", &format!("disk0=file:{value}")),
            "hdb" => self.add("--backend", &format!("disk1=file:{value}")),
            "hdd" => self.add("--backend", &format!("disk2=file:{value}")),
            "cdrom" => self.add("--cdrom", value),
            "smp" if ["1", "cpus=1"].contains(&value) => {}
            "accel" if first == "tcg" => {}
            "display" | "vga" | "parallel" if value == "none" => {}
            "name" | "boot" => {}
            "incoming" => self.add("--incoming", value),
            "loadvm" => self.add("--restore", &format!("file:snapshots/{value}.snap")),
            "icount" => self.args.push("--deterministic".to_owned()),
            "d" => {
                for what in value.split(',') {
                    match what {
                        "int" => self.add("--trace", "*.exception"),
                        "guest_errors" | "unimp" => {
                            if !self.args.iter().any(|arg| arg == "-vv") {
                                self.args.push("-vv".to_owned());
                            }
                        }
                        _ => self.known(word, name),
                    }
                }
            }
            "D" => self.add("--trace-to", value),
            _ => self.known(word, name),
        }
    }

    fn drive(&mut self, word: &str, value: &str) {
        let (mut path, mut option, mut ours) = (None, "--disk", String::new());
        for (key, value) in fields(value) {
            match (key, value) {
                ("file", file) => path = Some(file),
                ("media", "cdrom") => option = "--cdrom",
                ("media", "disk") | ("if", "ide") | ("id" | "cache" | "aio", _) => {}
                ("format", "raw" | "qcow2") => ours += &format!(",format={value}"),
                ("snapshot", "on") => ours += ",snapshot",
                ("readonly" | "read-only", "on") => ours += ",read-only",
                ("snapshot" | "readonly" | "read-only", "off") => {}
                (key, value) => {
                    let instead = format!("a disk has no {key}={value} here");
                    return self.no(word, &instead);
                }
            }
        }
        match path {
            Some(path) => self.add(option, &format!("{path}{ours}")),
            None => self.no(word, "a disk needs its file"),
        }
    }

    fn network(&mut self, word: &str, name: &str, value: &'a str) {
        let first = value.split(',').next().unwrap_or_default();
        match (name, first) {
            ("net", "nic") | (_, "none") => {}
            (_, "user") => {
                let all = &fields(value)[1..];
                let ours = |key: &str| ["hostfwd", "restrict", "tftp"].contains(&key);
                let theirs = |key: &str| ["id", "model", "mac", ""].contains(&key);
                if let Some((key, _)) = all.iter().find(|(key, _)| !ours(key) && !theirs(key)) {
                    let instead = format!("user has no {key} here, see `solderless run --help`");
                    self.no(word, &instead);
                }
                let options = all.iter().filter(|(key, _)| ours(key));
                let options = options.map(|(key, value)| format!(",{key}={value}"));
                self.net = Some(format!("user{}", options.collect::<String>()));
            }
            (_, "tap") => match fields(value).iter().find(|(key, _)| *key == "ifname") {
                Some((_, interface)) => self.net = Some(format!("tap:{interface}")),
                None => self.no(word, "name the interface: tap,ifname=NAME"),
            },
            _ => self.known(word, name),
        }
    }

    /// What is plugged into a stream, as it is written here.
    fn stream(&self, value: &str) -> Result<String, String> {
        let id = value.strip_prefix("chardev:").unwrap_or(value);
        if let Some((_, found)) = self.chardevs.iter().find(|(known, _)| *known == id) {
            return found.clone();
        }
        Ok(match value.strip_prefix("mon:").unwrap_or(value) {
            "none" | "vc" => "null".to_owned(),
            value => value.to_owned(),
        })
    }

    fn finish(mut self) -> Result<Vec<String>, String> {
        let wanted = self.board.unwrap_or_default();
        let mut board = wanted.to_owned();
        if let Some(target) = self.target {
            let fits = |board: &String| targets(board).iter().any(|t| t == target);
            let boards = [board.clone(), format!("{wanted}-be")];
            match boards.into_iter().find(fits) {
                Some(fitting) => board = fitting,
                None if self.board.is_some() => {
                    self.no(
                        "-M",
                        &format!("no board {wanted} has a CPU of {PROGRAM}{target}"),
                    );
                }
                None => {}
            }
        }
        let restores = self
            .args
            .iter()
            .any(|arg| ["--restore", "--incoming"].contains(&arg.as_str()));
        if board.is_empty() && !restores {
            self.no("-M", "name a board, one of these:");
            self.wrong.push(super::boards::list());
        }
        if let Some(net) = self.net.take() {
            self.add("--net", &net);
        }
        let mut given = Vec::new();
        for (number, value) in self.serial.iter().enumerate() {
            match self.stream(value) {
                // It is there anyway.
                Ok(stream) if number == 0 && stream == "stdio" => {}
                Ok(stream) => {
                    given.push(["--backend".to_owned(), format!("serial{number}={stream}")])
                }
                Err(reason) => self.wrong.push(format!("  -serial {value}: {reason}")),
            }
        }
        for (value, qmp) in &self.monitors {
            let option = if *qmp { "--qmp" } else { "--monitor" };
            match self.stream(value) {
                Ok(stream) if stream == "null" && *qmp => {}
                Ok(stream) if stream == "null" => {
                    given.push([option.to_owned(), "none".to_owned()])
                }
                Ok(stream) => given.push([option.to_owned(), stream]),
                Err(reason) => self.wrong.push(format!("  a monitor at {value}: {reason}")),
            }
        }
        if !self.wrong.is_empty() {
            let wrong = self.wrong.join("\n");
            return Err(format!(
                "what QEMU's command line asks for and cannot be had like that:\n{wrong}"
            ));
        }
        let board = Some(board).filter(|board| !board.is_empty());
        let words = std::iter::once("run".to_owned()).chain(board);
        Ok(words
            .chain(self.args)
            .chain(given.into_iter().flatten())
            .collect())
    }
}

/// What QEMU calls machines with the CPUs of a board.
fn targets(board: &str) -> Vec<String> {
    let Ok((plan, _)) = compose::load(board, &compose::Options::default()) else {
        return Vec::new();
    };
    let cpus = plan
        .devices
        .iter()
        .filter_map(|device| device.interface.cpu);
    let target =
        |cpu: solderless_model::Cpu| Some(registry::architecture(cpu.architecture)?.target(&cpu));
    cpus.filter_map(target).collect()
}

/// `a,b=c` taken apart; what has no `=` is on.
fn fields(value: &str) -> Vec<(&str, &str)> {
    let fields = value.split(',');
    fields
        .map(|field| field.split_once('=').unwrap_or((field, "on")))
        .collect()
}

/// A size of QEMU's: a number alone is MiB.
fn size(text: &str) -> Option<String> {
    let letters = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let digits = &text[..text.len() - letters.len()];
    let unit = match letters.to_ascii_uppercase().as_str() {
        "" | "M" | "MB" | "MIB" => "MiB",
        "K" | "KB" | "KIB" => "KiB",
        "G" | "GB" | "GIB" => "GiB",
        _ => return None,
    };
    (!digits.is_empty()).then(|| format!("{digits}{unit}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(line: &str) -> Result<String, String> {
        let words: Vec<_> = line.split(' ').collect();
        let ours = ours(&words)?;
        Ok(ours.iter().map(|w| quoted(w)).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn command_lines_of_qemu_have_their_meaning() {
        for (theirs, here) in [
            (
                "-M malta -m 256 -kernel vmlinux -append console=ttyS0 -nographic -s -S",
                "run malta --ram 256MiB --kernel vmlinux --append console=ttyS0 -s -S",
            ),
            (
                "-machine malta,usb=off -m 1G -no-reboot",
                "run malta --ram 1GiB --no-reboot",
            ),
            (
                "-M malta -serial null -serial file:out -monitor none",
                "run malta --backend serial0=null --backend serial1=file:out --monitor none",
            ),
            ("-M malta -serial mon:stdio -display none", "run malta"),
            (
                "-M malta -chardev socket,id=q,path=/s,server=on,wait=off -mon chardev=q,mode=control",
                "run malta --qmp unix:/s,server",
            ),
            (
                "-M malta -qmp tcp::4444,server,nowait -monitor stdio",
                "run malta --qmp tcp::4444,server,nowait --monitor stdio",
            ),
            (
                "-M malta -nic user,hostfwd=tcp::2222-:22",
                "run malta --net user,hostfwd=tcp::2222-:22",
            ),
            (
                "-M malta -nic tap,ifname=tap0,script=no",
                "run malta --net tap:tap0",
            ),
            (
                "-M malta -bios u-boot.bin -icount shift=1",
                "run malta --firmware u-boot.bin --deterministic",
            ),
            (
                "-M malta -drive if=pflash,file=f.bin,format=raw",
                "run malta --firmware f.bin",
            ),
            (
                "-M malta -hda a.img -hdd b.img -cdrom d.iso",
                "run malta --backend disk0=file:a.img --backend disk2=file:b.img --cdrom d.iso",
            ),
            (
                "-M malta -drive file=a.img,if=ide,format=raw,snapshot=on -drive file=d.iso,media=cdrom",
                "run malta --disk a.img,format=raw,snapshot --cdrom d.iso",
            ),
            ("-incoming exec:cat", "run --incoming exec:cat"),
            (
                "-M malta -d int,guest_errors,unimp -D log",
                "run malta --trace '*.exception' -vv --trace-to log",
            ),
            ("-incoming defer", "run --incoming defer"),
        ] {
            assert_eq!(translated(theirs).as_deref(), Ok(here), "{theirs}");
        }
        for (theirs, reason) in [
            ("-m 256", "name a board"),
            ("-M malta -hdc disk.img", "-hdc: "),
            (
                "-M malta -drive file=a,if=virtio",
                "-drive: a disk has no if=virtio here",
            ),
            ("-M malta -nic tap", "-nic: name the interface"),
            (
                "-M malta -virtfs local,path=/a,mount_tag=a,security_model=none",
                "-virtfs: --backend share0=folder:PATH",
            ),
            ("-M malta -drive if=ide", "-drive: a disk needs its file"),
            (
                "-M malta -smp 4",
                "-smp: nothing: a board says which CPUs it has",
            ),
            ("-M malta -d exec", "-d: --trace '*.exception' for int"),
            ("-M malta -m lots", "-m: a size"),
            ("-M malta disk.img", "disk.img: no option"),
            ("-M malta -kernel", "-kernel: an option that takes a value"),
            ("-M malta -frobnicate 1", "-frobnicate: no option of ours"),
            (
                "-M malta -serial chardev:c -chardev vc,id=c",
                "no stream of the kind vc",
            ),
        ] {
            let said = translated(theirs).expect_err(theirs);
            assert!(said.contains(reason), "{theirs}: {said}");
        }
        assert_eq!(quoted("a b'c"), "'a b'\\''c'");
    }
}

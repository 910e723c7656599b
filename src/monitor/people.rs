//! The face that people see: a line of words, and an answer in lines, as in QEMU's monitor (HMP).

use std::path::Path;

use serde_json::{Map, Value};

use super::commands::{COMMANDS, PARAMETERS, key_names};
use super::table::{Argument, Command, Error, Kind};
use super::words::words;
use super::{Vm, expr};
use crate::diagnostics::suggest;
use crate::state::snapshots;

/// What the first word of what is shown is.
const INFO: &str = "info";

/// Carries out a line. What cannot be done is said behind `Error:`.
pub fn answer(vm: &mut Vm<'_>, line: &str) -> String {
    match carry_out(vm, line) {
        Ok(text) => text,
        Err(e) => format!("Error: {e}\n"),
    }
}

fn carry_out(vm: &mut Vm<'_>, line: &str) -> Result<String, Error> {
    let mut words = words(line)?;
    // A format can stand without a blank: xp/4xw.
    if let Some(slash) = words.first().and_then(|name| name.find('/')) {
        let format = words[0].split_off(slash);
        words.insert(1, format);
    }
    let Some((name, args)) = words.split_first() else {
        return Ok(String::new());
    };
    let (command, args) = match args.split_first() {
        Some((what, more)) if name == INFO => {
            let command = typed(&format!("{INFO} {what}"));
            let unknown = || unknown_info(what, more);
            (command.ok_or_else(unknown)?, more)
        }
        _ => (find(name)?, args),
    };
    let given = arguments(vm, command, args)?;
    (command.say)(vm, Value::Object(given))
}

/// The command that people type so.
fn typed(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|c| c.typed.contains(&name))
}

/// The first word that people type for each command, or what they type behind `info`.
fn names(info: bool) -> impl Iterator<Item = &'static str> {
    let names = COMMANDS.iter().filter_map(|c| c.typed.first());
    names.filter_map(move |name| match (name.split_once(' '), info) {
        (Some((INFO, what)), true) => Some(what),
        (None, false) => Some(*name),
        _ => None,
    })
}

fn find(name: &str) -> Result<&'static Command, Error> {
    typed(name).ok_or_else(|| {
        let help = foreign(COMMANDS_OF_QEMU, name).unwrap_or_else(|| {
            let names: Vec<_> = sorted(names(false));
            suggest(name, "names", names)
        });
        format!("unknown command: '{name}'\n{help}").into()
    })
}

/// What is said where `info` shows no such thing.
pub fn unknown_info(what: &str, _: &[String]) -> String {
    let help = foreign(INFO_OF_QEMU, what).unwrap_or_else(|| {
        let names: Vec<_> = sorted(names(true));
        suggest(what, "names", names)
    });
    format!("unknown info: '{what}'\n{help}")
}

fn sorted<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    names
}

/// What is said of what QEMU has by this name and there is otherwise here.
fn foreign(table: &[(&[&str], &str)], name: &str) -> Option<String> {
    let row = table.iter().find(|(names, _)| names.contains(&name))?;
    Some(format!("QEMU has it; here it is {}", row.1))
}

/// Commands of QEMU's monitor, and what to do instead.
const COMMANDS_OF_QEMU: &[(&[&str], &str)] = &[
    (
        &[
            "device_add",
            "device_del",
            "object_add",
            "object_del",
            "netdev_add",
            "netdev_del",
        ],
        "a table [dev.NAME] in the board, before the machine runs",
    ),
    (
        &[
            "drive_backup",
            "drive_mirror",
            "block_resize",
            "block_stream",
            "commit",
            "snapshot_blkdev",
        ],
        "`solderless image`, for an image that no machine has",
    ),
    (
        &["drive_add", "drive_del"],
        "an option when the program starts, --disk; `change` has another disc in a drive",
    ),
    (
        &["hostfwd_add", "hostfwd_remove"],
        "an option of the network when the program starts: --net user,hostfwd=…",
    ),
    (
        &["trace-event"],
        "trace PATTERN [on|off]; info trace lists the points",
    ),
    (
        &["log", "logfile", "trace-file"],
        "an option when the program starts: -v or -vv, or --trace PATTERN --trace-to FILE",
    ),
    (
        &[
            "set_password",
            "expire_password",
            "change-vnc-password",
            "mouse_move",
            "mouse_button",
            "mouse_set",
        ],
        "nothing: no screen is shown to anybody, but screendump writes its picture; sendkey presses keys, and a console takes what is typed",
    ),
    (
        &["gdbserver", "singlestep", "one-insn-per-tb"],
        "an option when the program starts: --gdb PLACE, or --engine interp",
    ),
    (
        &[
            "migrate_continue",
            "migrate_pause",
            "migrate_recover",
            "migrate_start_postcopy",
        ],
        "nothing: migrate -d sends all memory before the machine goes on elsewhere, and migrate_cancel gives it up",
    ),
    (
        &[
            "system_wakeup",
            "watchdog_action",
            "balloon",
            "boot_set",
            "mce",
            "pcie_aer_inject_error",
            "set_link",
        ],
        "nothing: no board has such a thing",
    ),
    (
        &["gpa2hva", "gpa2hpa", "gva2hva"],
        "nothing: see gva2gpa and xp",
    ),
    (
        &["i", "o", "ioport"],
        "memory: a port is at its address in the PCI bus's window, see info mtree",
    ),
    (&["continue"], "cont"),
    (&["reset"], "system_reset"),
];

/// What `info` shows in QEMU, and what to do instead.
const INFO_OF_QEMU: &[(&[&str], &str)] = &[
    (&["usernet"], "info network, which has the whole of --net"),
    (&["mem"], "info tlb, and gva2gpa"),
    (
        &["lapic", "ioapic"],
        "info device NAME, by an interrupt controller's name; info irq has the lines",
    ),
    (&["qom-tree"], "info qtree"),
    (&["blockstats", "block-jobs"], "info block"),
    (&["machines"], "info boards"),
    (
        &[
            "name",
            "uuid",
            "kvm",
            "numa",
            "balloon",
            "vnc",
            "spice",
            "mice",
            "tpm",
            "usb",
            "usbhost",
            "virtio",
            "rdma",
            "replay",
            "iothreads",
            "memdev",
            "memory-devices",
            "hotpluggable-cpus",
            "vm-generation-id",
        ],
        "nothing: no machine has one",
    ),
    (&["roms"], "info qtree: a memory with an image has a slot"),
    (&["history"], "the arrow keys"),
    (&["opcount", "profile", "sync-profile"], "info jit"),
];

/// Arguments as people type them: the words behind a command.
fn arguments(
    vm: &mut Vm<'_>,
    command: &Command,
    words: &[String],
) -> Result<Map<String, Value>, Error> {
    let arguments = command.arguments();
    let mut given = Map::new();
    let mut rest = words;
    // Flags and the format come first.
    while let Some((word, more)) = rest.split_first() {
        let flag =
            |a: &&Argument| a.kind == Kind::Flag && word.strip_prefix('-') == Some(&a.name[..1]);
        let format = |a: &&Argument| a.kind == Kind::Format && word.starts_with('/');
        let (name, value) = if let Some(argument) = arguments.iter().find(flag) {
            (&argument.name, Value::Bool(true))
        } else if let Some(argument) = arguments.iter().find(format) {
            (&argument.name, word[1..].into())
        } else {
            break;
        };
        given.insert(name.clone(), value);
        rest = more;
    }
    let placed = |a: &&Argument| matches!(a.kind, Kind::Number | Kind::Text | Kind::Texts);
    let placed: Vec<_> = arguments.iter().filter(placed).collect();
    for (place, argument) in placed.iter().enumerate() {
        let last = place + 1 == placed.len();
        let Some((word, more)) = rest.split_first() else {
            if argument.required {
                let trouble = match given.keys().next() {
                    Some(_) => "too few arguments; an address comes behind the format".to_owned(),
                    None => format!("too few arguments; usage: {}", command.usage()),
                };
                return Err(trouble.into());
            }
            break;
        };
        rest = more;
        let value = match argument.kind {
            Kind::Texts => {
                let words = std::iter::once(word).chain(std::mem::take(&mut rest));
                words.cloned().collect()
            }
            // An expression may have blanks.
            Kind::Number if last => {
                let words = std::iter::once(word).chain(std::mem::take(&mut rest));
                let words: Vec<_> = words.map(String::as_str).collect();
                number(vm, &words.join(" "))?.into()
            }
            Kind::Number => number(vm, word)?.into(),
            _ => word.clone().into(),
        };
        given.insert(argument.name.clone(), value);
    }
    if !rest.is_empty() {
        return Err(format!("too many arguments; usage: {}", command.usage()).into());
    }
    Ok(given)
}

/// What an expression comes to, with the registers of the CPU that is looked at.
fn number(vm: &mut Vm<'_>, text: &str) -> Result<u64, Error> {
    let Vm {
        machine, symbols, ..
    } = vm;
    let cpu = machine.cpu_at(vm.cpu);
    let cpu = cpu.as_deref();
    let mut name = |name: expr::Name<'_>| match name {
        expr::Name::Register(name) => {
            let cpu = cpu?;
            Some(cpu.register(cpu.named(name)?)?.low())
        }
        expr::Name::Symbol(name) => symbols.named(name),
    };
    Ok(expr::value(text, &mut name)?)
}

/// The commands that people type, or those that `info` has, a line each.
pub fn list(info: bool) -> String {
    let prefix = format!("{INFO} ");
    let shown = COMMANDS.iter().filter(|c| {
        let first = c.typed.first();
        first.is_some_and(|name| name.starts_with(&prefix) == info)
    });
    let mut lines: Vec<_> = shown.map(line).collect();
    lines.sort();
    lines.concat()
}

fn line(command: &Command) -> String {
    format!("{} -- {}\n", command.usage(), command.about)
}

/// What commands are about: the topics of the help.
fn topics() -> Vec<&'static str> {
    let typed = COMMANDS.iter().filter(|c| !c.typed.is_empty());
    let mut topics: Vec<_> = typed.map(Command::topic).collect();
    topics.sort_unstable();
    topics.dedup();
    topics
}

/// What there is to say of all commands, of one, or of those of a topic.
///
/// # Errors
/// There is no such command.
pub fn help(name: Option<&str>) -> Result<String, Error> {
    let Some(name) = name else {
        return Ok(list(false));
    };
    if typed(name).is_none() {
        let about = COMMANDS.iter().filter(|c| c.topic() == name);
        let mut lines: Vec<_> = about.filter(|c| !c.typed.is_empty()).map(line).collect();
        lines.sort();
        if !lines.is_empty() {
            return Ok(lines.concat());
        }
    }
    let command = find(name)?;
    let mut text = line(command);
    for argument in command.arguments() {
        let name = match argument.kind {
            Kind::Flag => format!("-{}", &argument.name[..1]),
            Kind::Format => "/FORMAT".to_owned(),
            Kind::Other => continue,
            _ => argument.name.to_uppercase(),
        };
        text += &format!("  {name}: {}\n", argument.about);
    }
    if name == INFO {
        text += &list(true);
    }
    if command.typed.contains(&"help") {
        text += &format!("  The topics are {}.\n", topics().join(", "));
    }
    Ok(text)
}

/// What words can be completed to besides commands.
#[derive(Debug, Default)]
pub struct Known {
    /// The names of the devices.
    pub devices: Vec<String>,
    /// The names of the board's slots, in their order.
    pub slots: Vec<String>,
    /// The names of registers and their groups.
    pub registers: Vec<String>,
    /// The slots for characters.
    pub chardevs: Vec<String>,
    /// The points that can be traced.
    pub points: Vec<String>,
    /// The folder of snapshots.
    pub snapshots: std::path::PathBuf,
}

/// How a line could go on: what the word being typed could become.
pub fn complete(known: &Known, line: &str) -> Vec<String> {
    let words: Vec<_> = line.trim_start().split(' ').collect();
    let word = words.last().copied().unwrap_or_default();
    let begins = |name: &String| name.starts_with(word);
    let own = |names: &mut dyn Iterator<Item = &str>| {
        let names = names.map(str::to_owned).filter(begins);
        names.collect::<Vec<_>>()
    };
    let (name, behind) = match &words[..] {
        [_] => return own(&mut sorted(names(false)).into_iter()),
        ["help" | "?", _] => return own(&mut sorted(names(false).chain(topics())).into_iter()),
        [INFO, _] => return own(&mut sorted(names(true)).into_iter()),
        [INFO, what, behind @ ..] => (format!("{INFO} {what}"), behind),
        [name, behind @ ..] => {
            let name = name.split('/').next().unwrap_or_default();
            (name.to_owned(), behind)
        }
        [] => return Vec::new(),
    };
    let Some(command) = typed(&name) else {
        return Vec::new();
    };
    let arguments = command.arguments();
    let first = |a: &&Argument| matches!(a.kind, Kind::Flag | Kind::Format);
    let firsts = arguments.iter().filter(first).count();
    let placed: Vec<_> = arguments.iter().filter(|a| !first(a)).collect();
    let passed = behind.iter().take(firsts);
    let passed = passed
        .take_while(|word| word.starts_with(['-', '/']))
        .count();
    let several = placed.last().filter(|a| a.kind == Kind::Texts);
    let place = behind.len().saturating_sub(passed + 1);
    let argument = placed.get(place).or(several);
    match argument.map(|a| (a.kind, a.name.as_str())) {
        Some((Kind::Number, _)) if word.starts_with('$') => {
            let names = known.registers.iter().map(|name| format!("${name}"));
            names.filter(begins).collect()
        }
        Some((_, "device")) => known
            .devices
            .iter()
            .filter(|n| begins(n))
            .cloned()
            .collect(),
        Some((Kind::Texts, "name")) => known
            .registers
            .iter()
            .filter(|n| begins(n))
            .cloned()
            .collect(),
        Some((_, "name")) => {
            let found = snapshots::list(&known.snapshots).unwrap_or_default();
            let names = found.into_iter().map(|s| s.name);
            names
                .filter(|name| begins(name) && !name.contains(' '))
                .collect()
        }
        Some((_, "path")) => {
            let paths = known.devices.iter().map(|name| format!("/machine/{name}"));
            paths.filter(begins).collect()
        }
        Some((_, "id")) => own(&mut known.chardevs.iter().map(String::as_str)),
        Some((_, "pattern")) => own(&mut known.points.iter().map(String::as_str)),
        Some((_, "state")) => own(&mut ["off", "on"].into_iter()),
        Some((_, "capability")) => own(&mut ["auto-converge", "events"].into_iter()),
        Some((_, "parameter")) => own(&mut PARAMETERS.iter().copied()),
        // The last of those that are pressed together.
        Some((_, "keys")) => {
            let key = word.rsplit('-').next().unwrap_or_default();
            let prefix = &word[..word.len() - key.len()];
            let names = key_names().filter(|name| name.starts_with(key));
            names.map(|name| format!("{prefix}{name}")).collect()
        }
        Some((_, "filename")) => files(word),
        Some((_, "uri")) => match word.strip_prefix("file:") {
            Some(path) => files(path).iter().map(|p| format!("file:{p}")).collect(),
            None => own(&mut ["exec:", "fd:", "file:", "tcp:", "unix:"].into_iter()),
        },
        _ => Vec::new(),
    }
}

/// The most files that are offered.
const FILES: usize = 200;

/// The files whose names begin so.
fn files(word: &str) -> Vec<String> {
    let (folder, name) = word.rsplit_once('/').map_or(("", word), |(f, n)| (f, n));
    let prefix = &word[..word.len() - name.len()];
    let folder = match (folder, prefix) {
        ("", "") => Path::new("."),
        ("", _) => Path::new("/"),
        (folder, _) => Path::new(folder),
    };
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut found: Vec<_> = entries
        .flatten()
        .take(1 << 14)
        .filter_map(|entry| {
            let own = entry.file_name().into_string().ok()?;
            let fits = own.starts_with(name) && (!own.starts_with('.') || name.starts_with('.'));
            let folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let end = if folder { "/" } else { "" };
            fits.then(|| format!("{prefix}{own}{end}"))
        })
        .collect();
    found.sort();
    found.truncate(FILES);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_table_says_something_and_each_name_is_one_commands() {
        assert!(COMMANDS.is_sorted_by_key(|c| (c.name, c.typed.first().copied())));
        let mut seen = BTreeSet::new();
        for command in COMMANDS {
            assert!(!command.name.is_empty() || !command.typed.is_empty());
            assert!(!command.about.is_empty() && !command.about.ends_with('.'));
            for argument in command.arguments() {
                assert!(
                    !argument.about.is_empty(),
                    "{}: {argument:?}",
                    command.about
                );
            }
            if !command.name.is_empty() {
                assert!(seen.insert(format!("program {}", command.name)));
            }
            for name in command.typed {
                assert!(seen.insert(format!("person {name}")), "{name} is for two");
            }
        }
    }

    #[test]
    fn what_is_said_of_qemus_commands_is_of_none_of_ours() {
        for (names, _) in COMMANDS_OF_QEMU {
            assert!(names.iter().all(|name| typed(name).is_none()), "{names:?}");
        }
    }

    #[test]
    fn lines_are_completed() {
        let known = Known {
            devices: ["pm", "pic"].map(str::to_owned).to_vec(),
            registers: ["general", "pc", "sp"].map(str::to_owned).to_vec(),
            chardevs: vec!["serial0".to_owned()],
            points: vec!["irq".to_owned()],
            ..Known::default()
        };
        for (line, ways) in [
            ("st", &["stop"][..]),
            ("info st", &["status"]),
            ("help q", &["qom-get", "qom-list", "qom-set", "quit"]),
            ("help mem", &["memory", "memsave"]),
            ("sendkey ctrl-alt-del", &["ctrl-alt-delete"]),
            ("chardev-remove s", &["serial0"]),
            ("trace ir", &["irq"]),
            ("stop ", &[]),
            ("y", &[]),
            ("info device p", &["pm", "pic"]),
            ("info registers -a s", &["sp"]),
            ("info registers sp g", &["general"]),
            ("x/4xw $s", &["$sp"]),
            ("x /4xw $p", &["$pc"]),
            ("migrate -d fi", &["file:"]),
            ("pmemsave 0 1 /et", &["/etc/"]),
        ] {
            assert_eq!(complete(&known, line), ways, "{line}");
        }
    }
}

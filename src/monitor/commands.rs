//! The commands: the one table that names them.

use super::{Done, Outcome, Vm, info, snapshot};
use crate::diagnostics::suggest;
use crate::machine::{End, Event};
use solderless_model::Request;

/// A command.
pub struct Command {
    /// Its name, and others that it goes by.
    pub names: &'static [&'static str],
    /// Its arguments as a person reads them, those in brackets optional; behind the last there can be more if it ends in dots.
    pub args: &'static str,
    /// One line about it.
    pub help: &'static str,
    /// Carries it out, with as many arguments as it takes.
    pub run: fn(&mut Vm<'_>, &[String]) -> Outcome,
}

/// The commands, in the order of their names.
pub static COMMANDS: &[Command] = &[
    Command {
        names: &["cont", "c"],
        args: "",
        help: "let the machine go on",
        run: |vm, _| {
            vm.paused = false;
            done()
        },
    },
    Command {
        names: &["cpu"],
        args: "INDEX",
        help: "look at the CPU with this number, as `info cpus` numbers them",
        run: |vm, args| {
            let count = vm.machine.cpus().count();
            match args[0].parse() {
                Ok(index) if index < count => vm.cpu = index,
                _ => {
                    return Err(format!(
                        "there is no CPU {}: {}",
                        args[0],
                        info::cpus(count)
                    ));
                }
            }
            done()
        },
    },
    Command {
        names: &["delvm"],
        args: "NAME",
        help: "delete the snapshot NAME",
        run: |vm, args| snapshot::delete(vm, &args[0]),
    },
    Command {
        names: &["help", "?"],
        args: "[COMMAND]",
        help: "show this, or what is there about one command",
        run: |_, args| help(args),
    },
    Command {
        names: &["info"],
        args: "[WHAT [NAME...]]",
        help: "show what there is to know about WHAT; without it, about what that can be",
        run: |vm, args| match args.split_first() {
            Some((what, args)) => run(info::INFO, "info", vm, what, args),
            None => say(list(info::INFO, "info ")),
        },
    },
    Command {
        names: &["loadvm"],
        args: "NAME",
        help: "go on from the snapshot NAME",
        run: |vm, args| snapshot::load(vm, &args[0]),
    },
    Command {
        names: &["migrate"],
        args: "URI",
        help: "save the machine to URI, and have it stand still: file:PATH, exec:COMMAND, unix:PATH, tcp:HOST:PORT or fd:N",
        run: |vm, args| snapshot::migrate(vm, &args[0]),
    },
    Command {
        names: &["quit", "q"],
        args: "",
        help: "end the program",
        run: |_, _| Ok(Done::End(End::Quit(0))),
    },
    Command {
        names: &["savevm"],
        args: "NAME",
        help: "save the machine as the snapshot NAME",
        run: |vm, args| snapshot::save(vm, &args[0]),
    },
    Command {
        names: &["stop", "s"],
        args: "",
        help: "have the machine stand still",
        run: |vm, _| {
            vm.paused = true;
            done()
        },
    },
    Command {
        names: &["system_reset"],
        args: "",
        help: "press the board's reset button",
        run: |vm, _| {
            if vm.run.no_reboot {
                vm.machine.request(Request::Reset);
                return Ok(Done::End(End::Reset));
            }
            vm.machine.tell(Event::Reset);
            done()
        },
    },
    Command {
        names: &["xp"],
        args: "[/FORMAT] ADDRESS",
        help: "print memory by physical address: /4xw is four words in hexadecimal",
        run: |vm, args| match args {
            [format, address] => dump(vm, format, address),
            [format] if format.starts_with('/') => {
                Err("too few arguments; an address comes behind the format".to_owned())
            }
            _ => dump(vm, "/", &args[0]),
        },
    },
];

/// The most values that are printed at once.
const MOST: u32 = 1 << 16;
/// Bytes to a line.
const LINE: u64 = 16;

/// Prints memory: `4xw` is four words in hexadecimal. Whatever is left out is one, hexadecimal, words.
fn dump(vm: &mut Vm<'_>, format: &str, address: &str) -> Outcome {
    let wrong =
        || format!("'{format}' is no format; it is /COUNT, then x, d, u or o, then b, h, w or g");
    let rest = format.strip_prefix('/').ok_or_else(wrong)?;
    let letters = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    let digits = &rest[..rest.len() - letters.len()];
    let count: u32 = match digits {
        "" => 1,
        digits => digits.parse().map_err(|_| wrong())?,
    };
    if count > MOST {
        return Err(format!("{count} are too many to print; at most {MOST}"));
    }
    let (mut base, mut size) = ('x', 4u8);
    for letter in letters.chars() {
        match letter {
            'x' | 'd' | 'u' | 'o' => base = letter,
            'b' => size = 1,
            'h' => size = 2,
            'w' => size = 4,
            'g' => size = 8,
            _ => return Err(wrong()),
        }
    }
    let number = match address.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => address.parse(),
    };
    let start = number.map_err(|_| format!("'{address}' is no address"))?;
    let mut text = String::new();
    for index in 0..u64::from(count) {
        let offset = index * u64::from(size);
        let at = start.wrapping_add(offset);
        let value = vm.machine.read(at, size);
        let value = value.map_err(|_| format!("{text}nothing answers at {at:#x}"))?;
        let bits = 8 * u32::from(size);
        let shown = match base {
            'd' => ((value << (64 - bits)) as i64 >> (64 - bits)).to_string(),
            'u' => value.to_string(),
            'o' => format!("0{value:o}"),
            _ => format!("0x{value:0digits$x}", digits = usize::from(size) * 2),
        };
        if offset % LINE == 0 {
            let newline = if index == 0 { "" } else { "\n" };
            text += &format!("{newline}{at:016x}:");
        }
        text = text + " " + &shown;
    }
    say(text + "\n")
}

pub(super) fn say(text: impl Into<String>) -> Outcome {
    Ok(Done::Say(text.into()))
}

pub(super) fn done() -> Outcome {
    say("")
}

impl Command {
    fn name(&self) -> &'static str {
        self.names.first().copied().unwrap_or_default()
    }

    /// The command of a table with this name; `kind` is what the table's entries are called.
    fn find(table: &'static [Self], kind: &str, name: &str) -> Result<&'static Self, String> {
        table
            .iter()
            .find(|c| c.names.contains(&name))
            .ok_or_else(|| {
                let help = suggest(name, "names", table.iter().map(Self::name));
                format!("unknown {kind}: '{name}'\n{help}")
            })
    }

    /// As a person types it.
    fn usage(&self) -> String {
        let names = self.names.join("|");
        format!("{names} {}", self.args).trim_end().to_owned()
    }
}

/// Carries out a command of a table; `kind` is what its entries are called.
pub(super) fn run(
    table: &'static [Command],
    kind: &str,
    vm: &mut Vm<'_>,
    name: &str,
    args: &[String],
) -> Outcome {
    let command = Command::find(table, kind, name)?;
    let words = command.args.split_whitespace().count();
    let least = words - command.args.matches('[').count();
    let many = args.len() > words && !command.args.contains("...");
    if args.len() < least || many {
        let trouble = if many { "many" } else { "few" };
        let before = if kind == "info" { "info " } else { "" };
        return Err(format!(
            "too {trouble} arguments; usage: {before}{}",
            command.usage()
        ));
    }
    (command.run)(vm, args)
}

fn list(table: &[Command], before: &str) -> String {
    let line = |c: &Command| format!("{before}{} -- {}\n", c.usage(), c.help);
    table.iter().map(line).collect()
}

fn help(args: &[String]) -> Outcome {
    let Some(name) = args.first() else {
        return say(list(COMMANDS, ""));
    };
    let command = Command::find(COMMANDS, "command", name)?;
    let mut text = format!("{} -- {}\n", command.usage(), command.help);
    if command.name() == "info" {
        text += &list(info::INFO, "info ");
    }
    say(text)
}

/// How a line could go on: the words that the one being typed could become.
pub fn complete(line: &str) -> Vec<String> {
    let words: Vec<_> = line.trim_start().split(' ').collect();
    let table = match words[..] {
        [_] | ["help" | "?", _] => COMMANDS,
        ["info", _] => info::INFO,
        _ => return Vec::new(),
    };
    let word = words.last().copied().unwrap_or_default();
    let names = table.iter().map(Command::name);
    names
        .filter(|name| name.starts_with(word))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_in_order_and_say_something() {
        for table in [COMMANDS, info::INFO] {
            assert!(table.is_sorted_by_key(Command::name));
            let mut names: Vec<_> = table.iter().flat_map(|c| c.names).collect();
            let count = names.len();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), count, "a name for two commands");
            for command in table {
                assert!(!command.help.is_empty() && !command.help.ends_with('.'));
            }
        }
    }

    #[test]
    fn lines_are_completed() {
        for (line, ways) in [
            ("st", &["stop"][..]),
            ("info st", &["status"]),
            ("help q", &["quit"]),
            ("stop ", &[]),
            ("y", &[]),
        ] {
            assert_eq!(complete(line), ways, "{line}");
        }
    }
}

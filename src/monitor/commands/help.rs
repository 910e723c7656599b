//! Commands about the commands.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::table::{Error, Nothing};
use super::super::{Vm, people, programs};

/// What to tell of.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Help {
    /// A command, or a topic.
    command: Option<String>,
}

/// Lines of help.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Lines {
    text: String,
}

pub fn help(_: &mut Vm<'_>, args: Help) -> Result<Lines, Error> {
    let text = people::help(args.command.as_deref())?;
    Ok(Lines { text })
}

/// What to show.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Info {
    /// What it is: info alone lists what there is.
    what: Option<String>,
    /// More about it.
    name: Option<Vec<String>>,
}

pub fn info(_: &mut Vm<'_>, args: Info) -> Result<Lines, Error> {
    // Of what there is, each is a command of its own.
    match args.what {
        Some(what) => Err(people::unknown_info(&what, &args.name.unwrap_or_default()).into()),
        None => Ok(Lines {
            text: people::list(true),
        }),
    }
}

pub fn say_lines(lines: &Lines) -> String {
    lines.text.clone()
}

/// A line of a person, from a program.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct HumanMonitorCommand {
    /// The line.
    command_line: String,
    /// The CPU that is looked at; without it the first.
    cpu_index: Option<u64>,
}

pub fn human_monitor_command(vm: &mut Vm<'_>, args: HumanMonitorCommand) -> Result<String, Error> {
    let before = vm.cpu;
    vm.cpu = super::run::cpu_there_is(vm, args.cpu_index.unwrap_or(0)).or_else(|e| {
        // A board without one still has other commands.
        match args.cpu_index {
            None => Ok(0),
            Some(_) => Err(e),
        }
    })?;
    let said = people::answer(vm, &args.command_line);
    vm.cpu = before;
    // As QEMU, which has a terminal in mind.
    Ok(said.replace('\n', "\r\n"))
}

pub fn schema(_: &mut Vm<'_>, _: Nothing) -> Result<Vec<Value>, Error> {
    Ok(programs::schema())
}

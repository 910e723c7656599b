//! `solderless new`.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::process::ExitCode;

use crate::board;
use crate::board::format::ParamSection;
use crate::compose::{self, Loaded};

/// The arguments of `solderless new`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The new board's name; NAME.toml must not be there yet
    name: String,
    /// The board to start from: a name (`malta`), or the path of a file
    #[arg(long, value_name = "BOARD", add = super::complete::boards())]
    from: String,
    #[command(flatten)]
    trust: super::Trust,
}

/// Runs the command. Nothing is written unless the new board is good.
pub fn run(args: &Args) -> ExitCode {
    let Args { name, from, trust } = args;
    let options = trust.options();
    if let Some(stem) = name.strip_suffix(".toml") {
        return super::usage(&format!(
            "`{name}` is a file's name, and a board's is wanted: solderless new {stem} --from {from}"
        ));
    }
    if name == from {
        return super::usage(&format!(
            "a board extends itself if it is called `{name}` and extends that: give it another name"
        ));
    }
    if name.is_empty() || crate::toml::path([name.as_str()]) != *name {
        return super::usage(&format!(
            "`{name}` cannot be a board's name: a name has letters, digits, `-` and `_`"
        ));
    }
    let base = match super::resolve(Some(from), &options) {
        Ok(base) => base,
        Err(e) => return super::refused(&e),
    };
    let text = text(name, from, &base);
    let path = format!("{name}.toml");
    if let Err(problems) = compose::load_as(Path::new(&path), &text, &options) {
        super::complain(&problems);
        return ExitCode::from(2);
    }
    match File::create_new(&path).and_then(|mut file| file.write_all(text.as_bytes())) {
        Ok(()) => super::print(&format!("{path}: extends {from}\n")),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            super::usage(&format!("{path} is there already"))
        }
        Err(e) => super::usage(&format!("cannot write {path}: {e}")),
    }
}

/// The schema's file, beside the board's.
const SCHEMA: &str = "board.schema.json";

/// The file. A comment without a space after its `#` is a line that changes nothing if it counts.
fn text(name: &str, from: &str, base: &Loaded) -> String {
    let quoted = |text: &str| crate::toml::json(&text.into());
    let summary = format!("{name}, made from {}", base.plan.name);
    let schema = match Path::new(SCHEMA).is_file() {
        true => format!("#:schema {SCHEMA}\n"),
        false => format!(
            "# An editor completes and checks with `solderless schema board > {SCHEMA}` and, as the first line, `#:schema {SCHEMA}`.\n#\n"
        ),
    };
    let mut out = format!(
        "\
{schema}# Whatever is not said here is as on the board extended; `solderless show` prints all of that. The lines that start with a
# `#` and no space say what is so anyway: take it away, header and all, to change something.

[board]
name = {}
summary = {}
extends = {}
",
        quoted(name),
        quoted(&summary),
        quoted(from),
    );
    let plan = &base.plan;
    if !plan.params.is_empty() {
        out.push_str("\n# What whoever runs the board can set, and what it is otherwise.\n");
    }
    for (param, value) in &plan.params {
        let header = crate::toml::path(["param", param]);
        let _ = write!(
            out,
            "#[{header}]{}\n#default = {}\n",
            about(base, param),
            crate::toml::json(value)
        );
    }
    if !plan.slots.is_empty() {
        out.push_str(
            "\n# What is plugged in if a run does not say: `--backend SLOT=…`.\n#[slot]\n",
        );
    }
    for slot in &plan.slots {
        if let Some(default) = &slot.default {
            let key = crate::toml::path([slot.name.as_str(), "default"]);
            let _ = writeln!(out, "#{key} = {}", quoted(default));
        }
    }
    out.push_str(
        "\n# The devices, each with the properties that can be set under its header. What they mean: `solderless devices TYPE`.\n\
         # What they are: `solderless explain BOARD DEVICE.PROPERTY`.\n",
    );
    for device in &plan.devices {
        let properties: Vec<_> = device.props.names().collect();
        if !properties.is_empty() {
            let keys = base.board.keys_of(&device.path);
            let header = crate::toml::path(keys.into_iter().chain([device.entry.name]));
            let _ = writeln!(out, "#[{header}]  # {}", properties.join(", "));
        }
    }
    out
}

/// A comment with a parameter's summary, if it has one.
fn about(base: &Loaded, param: &str) -> String {
    let table = board::tree::get(&base.board.root, &["param", param]);
    let section =
        table.and_then(|node| serde_json::from_value::<ParamSection>(node.to_json()).ok());
    match section {
        Some(ParamSection { summary, .. }) if !summary.is_empty() => {
            format!("  # {summary}")
        }
        _ => String::new(),
    }
}

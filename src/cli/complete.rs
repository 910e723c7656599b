//! `solderless completions`, and what a shell is told of how a line can go on.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::engine::{
    ArgValueCandidates, ArgValueCompleter, CompletionCandidate, PathCompleter, ValueCompleter,
};
use clap_complete::env::{CompleteEnv, Shells};

use crate::compose::{self, BUILT_IN, Loaded, Options};
use crate::registry::TYPES;
use crate::state::snapshots;

/// The environment variable with which a shell's script asks: it names the shell.
const ASKS: &str = "SOLDERLESS_COMPLETE";

/// The arguments of `solderless completions`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Shell {
    Bash,
    Elvish,
    Fish,
    Powershell,
    Zsh,
}

/// Runs the command: prints the script that has the shell ask this program.
pub fn run(args: &Args) -> ExitCode {
    let name = match args.shell {
        Shell::Bash => "bash",
        Shell::Elvish => "elvish",
        Shell::Fish => "fish",
        Shell::Powershell => "powershell",
        Shell::Zsh => "zsh",
    };
    let shells = Shells::builtins();
    let shell = shells.completer(name).expect("each is built in");
    let mut script = Vec::new();
    let written =
        shell.write_registration(ASKS, "solderless", "solderless", "solderless", &mut script);
    match written.map(|()| String::from_utf8_lossy(&script).into_owned()) {
        Ok(script) => super::print(&script),
        Err(e) => super::usage(&format!("the script cannot be made: {e}")),
    }
}

/// Answers a shell that asks, and ends the program then.
pub fn answer() {
    if std::env::var_os(ASKS).is_some() {
        CompleteEnv::with_factory(super::Cli::command)
            .var(ASKS)
            .complete();
    }
}

/// A board: those in the program, and files.
pub fn boards() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let files = PathCompleter::file().filter(|path| path.extension() == Some("toml".as_ref()));
        let names = BUILT_IN.iter().map(|(name, _)| (*name).to_owned());
        let mut all = starting(names, current);
        all.extend(files.complete(current));
        all
    })
}

/// A device type.
pub fn types() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        TYPES
            .iter()
            .map(|e| CompletionCandidate::new(e.name).help(Some(e.summary.into())))
            .collect()
    })
}

/// What `--set` sets, up to the `=`.
pub fn settings() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let paths = paths().into_iter().map(|path| format!("{path}="));
        starting(paths, current)
    })
}

/// What `explain` explains.
pub fn values() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| starting(paths(), current))
}

/// What `--backend` plugs something into, up to the `=`.
pub fn slots() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let loaded = named_board();
        let slots = loaded.iter().flat_map(|loaded| &loaded.plan.slots);
        starting(slots.map(|slot| format!("{}=", slot.name)), current)
    })
}

/// What `--restore` goes on from: snapshots in the usual folder.
pub fn snapshots() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let all = snapshots::list(Path::new(snapshots::FOLDER)).unwrap_or_default();
        let all = all
            .iter()
            .map(|s| format!("file:{}", s.path.to_string_lossy()));
        starting(all, current)
    })
}

fn starting(all: impl IntoIterator<Item = String>, with: &OsStr) -> Vec<CompletionCandidate> {
    let with = with.to_string_lossy();
    let fits = all.into_iter().filter(|name| name.starts_with(&*with));
    fits.map(CompletionCandidate::new).collect()
}

/// The parameters and properties of the board on the line.
fn paths() -> Vec<String> {
    let Some(Loaded { plan, .. }) = named_board() else {
        return Vec::new();
    };
    let params = plan.params.iter().map(|(name, _)| format!("param.{name}"));
    let properties = plan.devices.iter().flat_map(|device| {
        let all = device.props.names();
        all.map(|name| format!("{}.{name}", device.path))
    });
    params.chain(properties).collect()
}

/// The board that the line to complete names: the shell hands its words over behind `--`.
fn named_board() -> Option<Loaded> {
    let words: Vec<OsString> = std::env::args_os()
        .skip_while(|word| word != "--")
        .collect();
    // The first two are `--` and the program.
    let named = words
        .iter()
        .skip(2)
        .filter_map(|word| word.to_str())
        .find(|word| BUILT_IN.iter().any(|(name, _)| name == word) || word.ends_with(".toml"));
    compose::open(Some(named?), &Options::default()).ok()
}

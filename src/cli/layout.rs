//! `solderless layout`.

use std::process::ExitCode;

use super::BoardArgs;
use crate::state::Layout;

/// The arguments of `solderless layout`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    board: BoardArgs,
    /// How it is printed
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// How a layout is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs, as a stream has it
    Json,
}

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    let plan = match super::load(&args.board) {
        Ok(plan) => plan,
        Err(code) => return code,
    };
    let layout = Layout::of(&plan);
    match args.format {
        Format::Text => super::print(&layout.to_string()),
        Format::Json => match serde_json::to_string_pretty(&layout) {
            Ok(json) => super::print(&format!("{json}\n")),
            Err(e) => super::usage(&format!("cannot print the layout: {e}")),
        },
    }
}

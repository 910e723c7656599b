//! `solderless graph`.

use std::process::ExitCode;

use crate::graph::export::Format;

/// Print a board's graph: its buses, devices, parts, lines and slots
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A board's name (`malta`), or the path of its file
    board: String,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Dot)]
    format: Format,
    /// Set a parameter or property: param.NAME=VALUE or DEVICE.PROPERTY=VALUE
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
}

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    match super::load(&args.board, &args.set) {
        Ok(plan) => super::print(&crate::graph::export::export(&plan, args.format)),
        Err(code) => code,
    }
}

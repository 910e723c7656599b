//! `solderless show`.

use std::process::ExitCode;

use crate::board::write;

/// Print a board with all that it extends and all settings as one file
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A board's name (`malta`), or the path of its file
    board: String,
    /// Set a parameter or property: param.NAME=VALUE or DEVICE.PROPERTY=VALUE
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
}

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    match super::open(&args.board, &args.set) {
        Ok(loaded) => super::print(&write::board(&loaded.board, &loaded.report.sources)),
        Err(code) => code,
    }
}

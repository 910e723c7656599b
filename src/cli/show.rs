//! `solderless show`.

use std::process::ExitCode;

use crate::board::write;

/// Print a board with all that it extends and all settings as one file
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    board: super::BoardArgs,
}

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    match super::open(&args.board) {
        Ok(loaded) => super::print(&write::board(&loaded.board, &loaded.report.sources)),
        Err(code) => code,
    }
}

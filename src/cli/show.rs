//! `solderless show`.

use std::process::ExitCode;

use crate::board::write;

/// The arguments of `solderless show`.
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

//! `solderless graph`.

use std::process::ExitCode;

use crate::picture::Format;

/// The arguments of `solderless graph`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    board: super::BoardArgs,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Dot)]
    format: Format,
}

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    match super::load(&args.board) {
        Ok(plan) => super::print(&crate::picture::export(&plan, args.format)),
        Err(code) => code,
    }
}

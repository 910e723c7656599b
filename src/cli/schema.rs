//! `solderless schema`.

use std::process::ExitCode;

use crate::compose::schema::{Kind, schema};

/// The arguments of `solderless schema`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The kind of file
    #[arg(value_enum)]
    file: Kind,
}

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    super::print(&schema(args.file))
}

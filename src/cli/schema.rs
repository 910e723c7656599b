//! `solderless schema`.

use std::process::ExitCode;

/// Print the JSON Schema of a kind of file
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The kind of file
    #[arg(value_enum)]
    file: File,
}

/// A kind of file.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum File {
    /// A board
    Board,
}

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    match args.file {
        File::Board => super::print(&crate::board::schema::board()),
    }
}

//! `solderless diff`.

use std::process::ExitCode;

use crate::graph::diff::diff;

/// Print what differs between two boards as they are built; the status is 1 if anything does
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The first board's name (`malta`), or the path of its file
    first: String,
    /// The second board's
    second: String,
    /// Set a parameter or property of the second board: param.NAME=VALUE or DEVICE.PROPERTY=VALUE
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
}

/// Runs the command. As with diff(1) the status is 0 for equal boards, 1 for others, and 2 for trouble.
pub fn run(args: &Args) -> ExitCode {
    let first = super::load(&args.first, &[]);
    let second = super::load(&args.second, &args.set);
    let (first, second) = match (first, second) {
        (Ok(first), Ok(second)) => (first, second),
        (Err(code), _) | (_, Err(code)) => return code,
    };
    let diff = diff(&first, &second);
    let printed = super::print(&diff.to_string());
    if printed == ExitCode::SUCCESS && !diff.is_empty() {
        return ExitCode::from(1);
    }
    printed
}

//! `solderless boards`.

use std::process::ExitCode;

use crate::compose::{BUILT_IN, Options, load};

/// The arguments of `solderless boards`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(_: &Args) -> ExitCode {
    super::print(&list())
}

/// The boards in the program, a line each.
pub fn list() -> String {
    let width = BUILT_IN.iter().map(|(name, _)| name.len()).max();
    let line = |(name, _): &(&str, &str)| {
        let summary = load(name, &Options::default()).map(|(plan, _)| plan.summary);
        let width = width.unwrap_or(0);
        format!("{name:width$}  {}\n", summary.unwrap_or_default())
    };
    BUILT_IN.iter().map(line).collect()
}

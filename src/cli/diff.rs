//! `solderless diff`.

use std::process::ExitCode;

use crate::lock::{guest, lock};
use crate::plan::diff::diff;

/// The arguments of `solderless diff`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The first board's name (`malta`), or the path of its file
    #[arg(add = super::complete::boards())]
    first: String,
    /// The second board's
    #[arg(add = super::complete::boards())]
    second: String,
    /// Only what a guest can see: places, properties, identities and reset values, lines, what a kernel is started with
    #[arg(long)]
    guest: bool,
    /// What is laid over the second board
    #[command(flatten)]
    layers: super::LayerArgs,
}

/// Runs the command. As with diff(1) the status is 0 for equal boards, 1 for others, and 2 for trouble.
pub fn run(args: &Args) -> ExitCode {
    let board = |name: &String, layers: super::LayerArgs| super::BoardArgs {
        board: name.clone(),
        layers,
    };
    let plain = super::LayerArgs {
        trust: args.layers.trust,
        ..super::LayerArgs::default()
    };
    let first = super::open(&board(&args.first, plain));
    let second = super::open(&board(&args.second, args.layers.clone()));
    let (first, second) = match (first, second) {
        (Ok(first), Ok(second)) => (first, second),
        (Err(code), _) | (_, Err(code)) => return code,
    };
    let diff = match args.guest {
        false => diff(&first.plan, &second.plan),
        true => match (lock(&first), lock(&second)) {
            (Ok(first), Ok(second)) => guest(&first, &second),
            (Err(e), _) | (_, Err(e)) => return super::usage(&e.to_string()),
        },
    };
    let printed = super::print(&diff.to_string());
    if printed == ExitCode::SUCCESS && !diff.is_empty() {
        return ExitCode::from(1);
    }
    printed
}

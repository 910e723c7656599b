//! `solderless explain`.

use std::process::ExitCode;

use crate::compose::explain::explain;

/// The arguments of `solderless explain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A board's name (`malta`), or the path of its file
    #[arg(add = super::complete::boards())]
    board: String,
    /// The value: DEVICE.PROPERTY, param.NAME, or a path as in the file
    #[arg(add = super::complete::values())]
    path: String,
    #[command(flatten)]
    layers: super::LayerArgs,
}

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    let board = super::BoardArgs {
        board: args.board.clone(),
        layers: args.layers.clone(),
    };
    let loaded = match super::open(&board) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    match explain(&loaded, &args.path) {
        Ok(explanation) => super::print(&explanation.to_string()),
        Err(problems) => {
            super::complain(&problems);
            ExitCode::from(2)
        }
    }
}

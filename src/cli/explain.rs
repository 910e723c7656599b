//! `solderless explain`.

use std::process::ExitCode;

use crate::board::explain::explain;

/// Print a value of a board and everything that had a say in it, the strongest last
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A board's name (`malta`), or the path of its file
    board: String,
    /// The value: DEVICE.PROPERTY, param.NAME, or a path as in the file
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

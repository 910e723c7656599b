//! `solderless check`.

use std::process::ExitCode;

use crate::board;

/// Check boards and print every problem
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Boards' names (`malta`), or the paths of their files
    #[arg(required = true)]
    boards: Vec<String>,
    #[command(flatten)]
    layers: super::LayerArgs,
}

/// Runs the command: problems on standard error, the names of good boards on standard output.
pub fn run(args: &Args) -> ExitCode {
    let options = match args.layers.options() {
        Ok(options) => options,
        Err(e) => return super::usage(&e),
    };
    let mut good = String::new();
    for board in &args.boards {
        match board::load(board, &options) {
            Ok((_, warnings)) => {
                super::complain(&warnings);
                good.push_str(&format!("{board}: ok\n"));
            }
            Err(problems) => super::complain(&problems),
        }
    }
    let bad = good.lines().count() < args.boards.len();
    let printed = super::print(&good);
    if bad { ExitCode::from(2) } else { printed }
}

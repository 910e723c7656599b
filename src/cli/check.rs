//! `solderless check`.

use std::process::ExitCode;

use crate::compose::{self, Diagnosed};
use crate::lock;

/// The arguments of `solderless check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Boards' names (`malta`), or the paths of the files of boards, chips, overlays and runs
    #[arg(required = true, add = super::complete::boards())]
    boards: Vec<String>,
    #[command(flatten)]
    layers: super::LayerArgs,
    /// How to print what was found
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs, on standard output
    Json,
}

/// Runs the command: problems on standard error, the names of good boards on standard output.
pub fn run(args: &Args) -> ExitCode {
    let options = match args.layers.options() {
        Ok(options) => options,
        Err(e) => return super::usage(&e),
    };
    let mut out = String::new();
    let mut bad = false;
    let mut checked = Vec::new();
    for board in &args.boards {
        let found = lock::check(board, &options);
        bad |= !found.ok();
        match args.format {
            Format::Json => checked.push(Diagnosed::new(board, &found)),
            Format::Text => {
                super::complain(&found.report);
                if found.ok() {
                    out.push_str(&format!("{board}: ok{}\n", how_far(&found)));
                }
            }
        }
    }
    if args.format == Format::Json {
        let all = serde_json::json!({ "version": 1, "boards": checked });
        out = format!("{all:#}\n");
    }
    let printed = super::print(&out);
    if bad { ExitCode::from(2) } else { printed }
}

/// How far a file could be checked, if it is none that makes a machine.
fn how_far(found: &compose::Checked) -> String {
    match (&found.loaded, found.kind) {
        (Some(_), _) => String::new(),
        (None, kind) => format!(" by itself, as {}", kind.about().0),
    }
}

//! `solderless dtb`.

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::process::ExitCode;

use crate::tree::{self, Chosen};

/// The arguments of `solderless dtb`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    board: super::BoardArgs,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Dtb)]
    format: Format,
}

/// A form of a device tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// The flattened tree, as guests take it
    Dtb,
    /// Its source
    Dts,
}

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    let plan = match super::load(&args.board) {
        Ok(plan) => plan,
        Err(code) => return code,
    };
    let chosen = Chosen {
        console: plan.boot.as_ref().and_then(|boot| boot.console),
        ..Chosen::default()
    };
    if args.format == Format::Dts {
        return super::print(&tree::source(&plan, Some(&chosen)));
    }
    let mut out = io::stdout().lock();
    if out.is_terminal() {
        return super::usage(
            "a flattened tree is nothing for a terminal: write it to a file, `> FILE`, or print its source with --format dts",
        );
    }
    let blob = tree::blob(&plan, Some(&chosen));
    match out.write_all(&blob).and_then(|()| out.flush()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => super::usage(&format!("cannot write: {e}")),
        _ => ExitCode::SUCCESS,
    }
}

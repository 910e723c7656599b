//! `solderless man`.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::visible::shown;
use clap::CommandFactory;
use clap_mangen::{Man, generate_to};

/// The arguments of `solderless man`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The command whose page it is, such as `run`; without one, the program
    command: Vec<String>,
    /// Write the pages of all commands into this folder instead, a file each
    #[arg(long, value_name = "FOLDER", conflicts_with = "command")]
    folder: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    let mut program = super::Cli::command();
    if let Some(folder) = &args.folder {
        return match generate_to(program, folder) {
            Ok(()) => ExitCode::SUCCESS,
            Err(e) => super::usage(&format!("cannot write to {}: {e}", shown(folder))),
        };
    }
    program.build();
    let mut command = &program;
    for name in &args.command {
        match command.find_subcommand(name) {
            Some(found) => command = found,
            None => {
                let names = command.get_subcommands().map(clap::Command::get_name);
                let help = crate::diagnostics::suggest(name, "commands", names);
                return super::usage(&format!("there is no command `{name}`\n{help}"));
            }
        }
    }
    match page(command) {
        Ok(page) => super::print(&page),
        Err(e) => super::usage(&format!("the page cannot be made: {e}")),
    }
}

fn page(command: &clap::Command) -> io::Result<String> {
    let mut page = Vec::new();
    Man::new(command.clone()).render(&mut page)?;
    String::from_utf8(page).map_err(io::Error::other)
}

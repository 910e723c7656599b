//! The command line.

mod check;
mod devices;
mod diff;
mod explain;
mod graph;
mod new;
mod run;
mod schema;
mod show;

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::board::{self, Loaded, Options};
use crate::diagnostics::Report;
use crate::graph::plan::Plan;

/// Compose machines from TOML, and run them.
#[derive(Debug, Parser)]
#[command(name = "solderless", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Check(check::Args),
    Graph(graph::Args),
    Show(show::Args),
    Explain(explain::Args),
    Diff(diff::Args),
    New(new::Args),
    Devices(devices::Args),
    Schema(schema::Args),
}

/// Runs the program. Bad usage and bad boards end with status 2.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Graph(args) => graph::run(&args),
        Command::Show(args) => show::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::New(args) => new::run(&args),
        Command::Devices(args) => devices::run(&args),
        Command::Schema(args) => schema::run(&args),
    }
}

/// A board with what the command line lays over it.
#[derive(Debug, clap::Args)]
struct BoardArgs {
    /// A board's name (`malta`, `malta@1`), or the path of its file
    board: String,
    #[command(flatten)]
    layers: LayerArgs,
}

/// What the command line lays over a board.
#[derive(Debug, Clone, Default, clap::Args)]
struct LayerArgs {
    /// Lay a file over the board; the later are stronger
    #[arg(long, value_name = "FILE")]
    overlay: Vec<PathBuf>,
    /// Set a parameter or property: param.NAME=VALUE or DEVICE.PROPERTY=VALUE
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
}

impl LayerArgs {
    /// What they ask for.
    ///
    /// # Errors
    /// A setting has no `=`; what to say about it.
    fn options(&self) -> Result<Options, String> {
        Ok(Options {
            overlays: self.overlay.clone(),
            run_file: None,
            set: settings(&self.set)?,
        })
    }
}

/// The settings of `--set PATH=VALUE`.
///
/// # Errors
/// One has no `=`; what to say about it.
fn settings(set: &[String]) -> Result<Vec<(String, String)>, String> {
    let split = |text: &String| match text.split_once('=') {
        Some((path, value)) => Ok((path.to_owned(), value.to_owned())),
        None => Err(format!("--set {text}: expected PATH=VALUE")),
    };
    set.iter().map(split).collect()
}

/// As [`open`], for those who need the plan alone.
fn load(args: &BoardArgs) -> Result<Plan, ExitCode> {
    open(args).map(|loaded| loaded.plan)
}

/// Resolves a board and prints its problems on standard error; the exit status if it cannot be built.
fn open(args: &BoardArgs) -> Result<Loaded, ExitCode> {
    open_with(
        Some(&args.board),
        &args.layers.options().map_err(|e| usage(&e))?,
    )
}

/// As [`open`]; without a name it is the run file's board.
fn open_with(board: Option<&str>, options: &Options) -> Result<Loaded, ExitCode> {
    match board::open(board, options) {
        Ok(loaded) => {
            complain(&loaded.report);
            Ok(loaded)
        }
        Err(problems) => {
            complain(&problems);
            Err(ExitCode::from(2))
        }
    }
}

/// Reports bad usage that the parser of the command line does not see.
fn usage(message: &str) -> ExitCode {
    eprintln!("error: {message}");
    ExitCode::from(2)
}

/// Prints problems on standard error.
fn complain(report: &Report) {
    let colour =
        io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let text = report.render(colour);
    // With nobody left to read it there is nothing more to do.
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Prints on standard output. A reader that has gone is no error.
fn print(text: &str) -> ExitCode {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => usage(&format!("cannot write: {e}")),
        _ => ExitCode::SUCCESS,
    }
}

/// Logs to standard error: nothing but warnings at 0, more the higher the number.
fn log(verbose: u8) {
    let level = match verbose {
        0 => tracing::Level::WARN,
        1 => tracing::Level::INFO,
        2 => tracing::Level::DEBUG,
        _ => tracing::Level::TRACE,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(io::stderr)
        .without_time()
        .init();
}

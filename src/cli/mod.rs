//! The command line.

mod acpi;
mod backends;
mod boards;
mod check;
mod compat;
mod complete;
mod devices;
mod diff;
mod dtb;
mod explain;
mod fix;
mod graph;
mod image;
mod layout;
mod lock;
mod man;
mod new;
mod qemu;
mod release;
mod run;
mod schema;
mod show;
mod snapshot;

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::error::ErrorKind as Misuse;
use clap::{ArgMatches, FromArgMatches, Parser, Subcommand};

use anyhow::Context;
use signal_hook::consts::SIGXFSZ;

use crate::backend;
use crate::compose::{self, Loaded, Options};
use crate::diagnostics::Report;
use crate::plan::Plan;
use crate::state::{self, Arrival, Description, Link, Patience, Stream, StreamError};
use crate::visible::{name, visible};

/// Compose machines from TOML, and run them.
#[derive(Debug, Parser)]
#[command(name = "solderless", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a board: build it from its file and start it
    Run(Late<run::Args>),
    /// Run a command line of QEMU's, as far as it can be had here, or print what it is called
    Qemu(Late<qemu::Args>),
    /// List the boards that come with the program
    Boards(Late<boards::Args>),
    /// List what can be plugged into the slots of boards, with examples
    Backends(Late<backends::Args>),
    /// Check boards and print every problem
    Check(Late<check::Args>),
    /// Print a board's graph: its buses, devices, parts, lines and slots
    Graph(Late<graph::Args>),
    /// Print the device tree of a board: its devices as a guest is told of them
    Dtb(Late<dtb::Args>),
    /// Print the ACPI tables of a board, as a guest gets them
    Acpi(Late<acpi::Args>),
    /// Print a board with all that it extends and all settings as one file
    Show(Late<show::Args>),
    /// Print a value of a board and everything that had a say in it, the strongest last
    Explain(Late<explain::Args>),
    /// Print what differs between two boards as they are built; the status is 1 if anything does
    Diff(Late<diff::Args>),
    /// Write the next version of a board, NAME@N.toml and its lock, and say what differs from the last
    Release(Late<release::Args>),
    /// Write a board's lock, which says all that a guest and a saved machine can see of it; `check` then holds the board to it
    Lock(Late<lock::Args>),
    /// Print what the machine of a board saves: sections, fields, types and sizes. Nothing is built
    Layout(Late<layout::Args>),
    /// Tell whether the saved state of one board loads into the machine of another, and if not, why; the status is then 1
    Compat(Late<compat::Args>),
    /// Look into saved machines, by the layout that each carries
    Snapshot(Late<snapshot::Args>),
    /// Make images of disks, and look at, check and copy them
    Image(Late<image::Args>),
    /// Rewrite deprecated names in boards, chips and overlays; comments and layout stay
    Fix(Late<fix::Args>),
    /// Write a new board's file, which extends another board and says in comments what it can change
    New(Late<new::Args>),
    /// List the device types, or describe one; as Markdown without a type, all of them
    Devices(Late<devices::Args>),
    /// Print the JSON Schema of a kind of file
    Schema(Late<schema::Args>),
    /// Print the script with which a shell completes this program's commands, boards, settings and snapshots
    Completions(Late<complete::Args>),
    /// Print the manual page of the program or of a command, or write all of them
    Man(Late<man::Args>),
}

/// Arguments of a subcommand, which are described to the parser when it is that subcommand's turn: to describe them all
/// takes a twentieth of a short run's time.
#[derive(Debug)]
struct Late<A>(Box<A>);

impl<A: clap::Args> clap::Args for Late<A> {
    fn augment_args(command: clap::Command) -> clap::Command {
        command.defer(|command| {
            // What the subcommand does is said where it stands in the list.
            let about = command.get_about().cloned().unwrap_or_default();
            A::augment_args(command).about(about)
        })
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl<A: clap::Args> FromArgMatches for Late<A> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        A::from_arg_matches(matches).map(|args| Self(Box::new(args)))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
}

/// Runs the program. Bad usage and bad boards end with status 2.
pub fn main() -> ExitCode {
    // Handled, it does not end the program: whoever writes to a file that is at its limit is told so.
    let _ = signal_hook::flag::register(SIGXFSZ, Arc::default());
    complete::answer();
    match Cli::try_parse() {
        Ok(cli) => cli.run(),
        Err(e) => misuse(&e),
    }
}

/// Runs a command line that was made, not typed.
fn carry_out(line: Vec<String>) -> ExitCode {
    match Cli::try_parse_from(line) {
        Ok(cli) => cli.run(),
        Err(e) => {
            eprint!("{}", readable(&e.render().to_string()));
            ExitCode::from(2)
        }
    }
}

impl Cli {
    fn run(self) -> ExitCode {
        match self.command {
            Command::Boards(args) => boards::run(&args.0),
            Command::Run(args) => run::run(&args.0),
            Command::Qemu(args) => qemu::run(&args.0),
            Command::Backends(args) => backends::run(&args.0),
            Command::Check(args) => check::run(&args.0),
            Command::Graph(args) => graph::run(&args.0),
            Command::Dtb(args) => dtb::run(&args.0),
            Command::Acpi(args) => acpi::run(&args.0),
            Command::Show(args) => show::run(&args.0),
            Command::Explain(args) => explain::run(&args.0),
            Command::Diff(args) => diff::run(&args.0),
            Command::Release(args) => release::run(&args.0),
            Command::Lock(args) => lock::run(&args.0),
            Command::Layout(args) => layout::run(&args.0),
            Command::Compat(args) => compat::run(&args.0),
            Command::Snapshot(args) => snapshot::run(&args.0),
            Command::Image(args) => image::run(&args.0),
            Command::Fix(args) => fix::run(&args.0),
            Command::New(args) => new::run(&args.0),
            Command::Devices(args) => devices::run(&args.0),
            Command::Schema(args) => schema::run(&args.0),
            Command::Completions(args) => complete::run(&args.0),
            Command::Man(args) => man::run(&args.0),
        }
    }
}

/// Says what is wrong with the command line, or gives the help that it asks for.
fn misuse(error: &clap::Error) -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    let args: Vec<_> = args
        .iter()
        .map(|arg| arg.to_string_lossy().into_owned())
        .collect();
    let board = |name: &&String| {
        name.ends_with(".toml") || compose::BUILT_IN.iter().any(|(known, _)| known == name)
    };
    if let Some(text) = qemu::translate(error, &args) {
        return usage(&text);
    }
    if let (Misuse::InvalidSubcommand, Some(name)) = (error.kind(), args.first().filter(board)) {
        return usage(&format!(
            "`{name}` is a board; run it with `solderless run {name}`"
        ));
    }
    match args.iter().any(|arg| name(arg) != arg.as_str()) {
        true => eprint!("{}", readable(&error.render().to_string())),
        // Help goes to standard output; a reader that has gone is no error.
        false => drop(error.print()),
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// A board with what the command line lays over it.
#[derive(Debug, clap::Args)]
struct BoardArgs {
    /// A board's name (`malta`, `malta@1`), or the path of its file
    #[arg(add = complete::boards())]
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
    #[arg(long, value_name = "PATH=VALUE", add = complete::settings())]
    set: Vec<String>,
    #[command(flatten)]
    trust: Trust,
}

/// Whether files are trusted.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
struct Trust {
    /// Let the files read here name any others and plug in anything. Without this they can name what comes with the program
    /// and files beside and below them, and plug in `null` and `console`
    #[arg(long)]
    trust: bool,
}

impl Trust {
    /// As options of a board that nothing is laid over.
    fn options(self) -> Options {
        Options {
            trust: self.trust,
            ..Options::default()
        }
    }
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
            params: Vec::new(),
            trust: self.trust.trust,
            unlocked: false,
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
    let options = args.layers.options().map_err(|e| usage(&e))?;
    resolve(Some(&args.board), &options).map_err(|e| refused(&e))
}

/// A board that cannot be built: its problems.
#[derive(Debug, thiserror::Error)]
#[error("the board cannot be built")]
struct Unbuildable(Report);

/// Resolves a board, the run file's if none is named, and prints its warnings on standard error.
fn resolve(board: Option<&str>, options: &Options) -> anyhow::Result<Loaded> {
    let loaded = compose::open(board, options).map_err(Unbuildable)?;
    complain(&loaded.report);
    Ok(loaded)
}

/// A machine that was saved, or comes from another program.
struct Restored {
    stream: Stream,
    /// The plan of its own board.
    own: Plan,
    /// The board as which it goes on.
    loaded: Loaded,
    /// Its source waits there.
    link: Option<Link>,
}

/// Opens a stream, and resolves the board it goes on as: the one named, or its own, with settings over it. One of another board is
/// refused before its memory is read.
fn restore(
    from: Arrival,
    board: Option<&str>,
    options: &Options,
    patience: Patience<'_>,
) -> anyhow::Result<Restored> {
    let place = from.to_string();
    let mut bar = crate::progress::Bar::new("loading");
    let (mut boards, mut refusal) = (None, None);
    let check = &mut |description: &Description| match fits(description, board, options) {
        Ok(fit) => {
            boards = Some(fit);
            Ok(())
        }
        Err(e) => {
            let why = told(&e);
            refusal = Some(e);
            Err(StreamError::Broken(why))
        }
    };
    let stream = Stream::open_if(from, check, &mut |done, of| bar.at(done, of), patience);
    if let Some(refusal) = refusal {
        return Err(refusal);
    }
    let (stream, link) = stream.context(place)?;
    let (own, loaded) = boards.context("the stream was not looked at")?;
    Ok(Restored {
        stream,
        own,
        loaded,
        link,
    })
}

/// The plan of the board that a stream is of, and the board as which its machine goes on.
fn fits(
    stream: &Description,
    board: Option<&str>,
    options: &Options,
) -> anyhow::Result<(Plan, Loaded)> {
    let own = stream.resolve(&Options {
        trust: options.trust,
        ..Options::default()
    })?;
    let loaded = if board.is_some() || options.run_file.is_some() {
        resolve(board, options)?
    } else if !options.lay_over() {
        return Ok((own.plan.clone(), own));
    } else {
        stream.resolve(options)?
    };
    let refusals = stream.refusals(&own.plan, &loaded.plan);
    if !refusals.is_empty() {
        let remedies = state::remedies(&own.plan, &loaded);
        return Err(state::Error::misfit(&own.plan, &loaded.plan, &refusals, &remedies).into());
    }
    Ok((own.plan, loaded))
}

/// Says why a command was not carried out, in the form that suits it.
fn refused(error: &anyhow::Error) -> ExitCode {
    if let Some(Unbuildable(report)) = error.downcast_ref() {
        complain(report);
        return ExitCode::from(2);
    }
    if let Some(state::Error::Board(report)) = error.downcast_ref() {
        complain(report);
    }
    usage(&format!("{error:#}"))
}

/// The same for somebody who is not at the terminal.
fn told(error: &anyhow::Error) -> String {
    match error.downcast_ref() {
        Some(Unbuildable(report)) => report.render(false),
        None => format!("{error:#}"),
    }
}

/// Reports bad usage that the parser of the command line does not see.
fn usage(message: &str) -> ExitCode {
    eprintln!("error: {}", readable(message));
    ExitCode::from(2)
}

/// A message with each argument of the command line on one line, and without orders to the terminal. An argument may be the
/// name of a file that somebody else has made: a shell puts them in for `*`.
fn readable(message: &str) -> String {
    let args = std::env::args_os().skip(1);
    let args = args.map(|arg| arg.to_string_lossy().into_owned());
    let mut args: Vec<String> = args.filter(|arg| name(arg) != arg.as_str()).collect();
    // One may be part of another.
    args.sort_by_key(|arg| std::cmp::Reverse(arg.len()));
    let mut message = message.to_owned();
    for arg in args {
        message = message.replace(&arg, &name(&arg));
    }
    visible(&message).into_owned()
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
    match out
        .write_all(visible(text).as_bytes())
        .and_then(|()| out.flush())
    {
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
        .with_writer(|| backend::Line)
        .without_time()
        .init();
}

//! Boards: finding their files, reading them, merging the layers, and putting parameters in.

mod alone;
pub mod chips;
pub mod decode;
pub mod explain;
pub mod format;
mod gone;
mod load;
mod merge;
pub mod params;
pub mod parse;
pub mod refer;
pub mod renew;
pub mod schema;
mod set;
mod table;
pub mod tree;
mod trust;
mod when;
pub mod write;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

pub use alone::{Checked, check};
use chips::Ports;
pub use gone::Gone;
use load::{Found, Loader, RunText, find};
pub use load::{MAX_BYTES, RunFile};
use params::{Params, Setting};
use tree::Table;
use trust::Origin;

use crate::backend::Backend;
use crate::diagnostics::{Problem, Report, Span, suggest};
use crate::graph::plan::Plan;
use crate::graph::resolve::resolve;

/// The boards in the program, by name: those in `machines/`.
pub const BUILT_IN: &[(&str, &str)] = &[
    ("malta", include_str!("../../machines/malta.toml")),
    ("malta@1", include_str!("../../machines/malta@1.toml")),
    ("malta@2", include_str!("../../machines/malta@2.toml")),
    ("malta@3", include_str!("../../machines/malta@3.toml")),
    ("malta-be", include_str!("../../machines/malta-be.toml")),
    ("malta-lite", include_str!("../../machines/malta-lite.toml")),
    ("malta-quad", include_str!("../../machines/malta-quad.toml")),
    ("mipssim", include_str!("../../machines/mipssim.toml")),
    ("mipssim-be", include_str!("../../machines/mipssim-be.toml")),
    ("wren", include_str!("../../machines/wren.toml")),
];

/// The chips in the program, by name: those in `machines/chips/`.
pub const BUILT_IN_CHIPS: &[(&str, &str)] =
    &[("piix4", include_str!("../../machines/chips/piix4.toml"))];

/// What the command line adds to a board.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Overlay files, the later stronger.
    pub overlays: Vec<PathBuf>,
    /// A run file.
    pub run_file: Option<PathBuf>,
    /// Values by path, the later stronger: `("param.ram", "256MiB")`, `("dev.com1.isa-serial.baudbase", "9600")`.
    pub set: Vec<(String, String)>,
    /// Values of parameters that have options of their own, weaker than `set`: the option, the parameter, the value.
    pub params: Vec<(&'static str, &'static str, String)>,
    /// Files can name any others, and backends of all kinds.
    pub trust: bool,
}

impl Options {
    /// Whether anything is laid over a board.
    pub fn lay_over(&self) -> bool {
        !(self.overlays.is_empty() && self.set.is_empty() && self.params.is_empty())
    }
}

/// A board with its layers merged and its chips put in.
#[derive(Debug)]
pub struct Board {
    /// The tree, parameters put in.
    pub root: Table,
    /// The parameters.
    pub params: Params,
    /// What the run file and the command line set of them, the later stronger.
    pub settings: Vec<Setting>,
    /// The parameters that nothing uses, those of chips with the chip's name before them, and where they are declared.
    pub unused: Vec<(String, Span)>,
    /// The chips on it, by name.
    pub chips: BTreeSet<String>,
    /// What is not there because its `when` says so: `dev.usb`.
    pub absent: Vec<String>,
    /// What it takes away of the boards that it extends.
    pub gone: Gone,
    /// The ports, if it is no board but a chip by itself.
    pub ports: Option<Ports>,
    /// The whole of the board's own file, for what is missing from it.
    pub whole: Span,
}

impl Board {
    /// The keys under which a file that extends the board finds a device: those of a chip are within it.
    pub fn keys_of<'d>(&self, device: &'d str) -> Vec<&'d str> {
        let mut keys = Vec::new();
        let mut start = 0;
        for (dot, _) in device.match_indices('.') {
            if self.chips.contains(&device[..dot]) {
                keys.extend(["chip", &device[start..dot]]);
                start = dot + 1;
            }
        }
        keys.extend(["dev", &device[start..]]);
        keys
    }
}

/// A board that could be resolved.
#[derive(Debug)]
pub struct Loaded {
    /// What came of it.
    pub plan: Plan,
    /// What it came from.
    pub board: Board,
    /// What the run file says besides.
    pub run: RunFile,
    /// The warnings, and the texts that the board's places are in.
    pub report: Report,
    /// Where each text is from, by its number.
    origins: Vec<Origin>,
    trust: bool,
}

/// As [`open`], for those who need the plan and the warnings alone.
///
/// # Errors
/// As [`open`].
pub fn load(board: &str, options: &Options) -> Result<(Plan, Report), Report> {
    open(Some(board), options).map(|loaded| (loaded.plan, loaded.report))
}

/// Reads the board of this name, or in this file if it has a `/` or ends in `.toml`, and resolves it. Without a name it
/// is the run file's board.
///
/// # Errors
/// The report of every problem, warnings included.
pub fn open(board: Option<&str>, options: &Options) -> Result<Loaded, Report> {
    let mut loader = Loader::default();
    let run = match &options.run_file {
        Some(path) => match loader.run_file(path, options.trust) {
            Ok(run) => Some(run),
            Err(problem) => return Err(Report::new(loader.sources, vec![problem])),
        },
        None => None,
    };
    let (found, span) = match (board, run.as_ref().map(|run| (&run.origin, &run.board))) {
        (Some(board), _) => (find(board, &Origin::of_user(options.trust)), None),
        (None, Some((origin, Some((board, span))))) => (find(board, origin), *span),
        (None, Some((_, None))) => {
            let problem = "the run file names no board";
            let problem = Problem::error("no-board", problem);
            let help = "add [run] with `board = \"…\"`, or name a board on the command line";
            (Err(problem.help(help)), None)
        }
        (None, None) => {
            let problem = Problem::error("no-board", "no board is named");
            (Err(problem), None)
        }
    };
    match found {
        Ok(found) => {
            let named = board.filter(|board| board.contains('@') && !board.contains('/'));
            resolve_found(loader, found, named, options, run)
        }
        Err(problem) => {
            let mut problems = loader.problems;
            problems.push(match span {
                Some(span) => problem.at(span, ""),
                None => problem,
            });
            Err(Report::new(loader.sources, problems))
        }
    }
}

/// Resolves a board given as text, shown under this name. It can extend the boards in the program.
///
/// # Errors
/// As [`open`].
pub fn open_text(name: &str, text: &str, options: &Options) -> Result<Loaded, Report> {
    open_found(name, text, Origin::of_program(), options)
}

/// Resolves a board given as text that has to be all of it: it extends nothing and has no chips.
///
/// # Errors
/// As [`open`].
pub fn open_whole(name: &str, text: &str, options: &Options) -> Result<Loaded, Report> {
    open_found(name, text, Origin::whole(), options)
}

fn open_found(name: &str, text: &str, origin: Origin, options: &Options) -> Result<Loaded, Report> {
    let found = Found {
        name: name.to_owned(),
        text: text.to_owned(),
        origin,
    };
    resolve_found(Loader::default(), found, None, options, None)
}

/// As [`open_text`], for those who need the plan and the warnings alone.
///
/// # Errors
/// As [`open`].
pub fn load_text(name: &str, text: &str, options: &Options) -> Result<(Plan, Report), Report> {
    open_text(name, text, options).map(|loaded| (loaded.plan, loaded.report))
}

/// Resolves a board given as text as if it stood in this file, beside which are those that it can extend.
///
/// # Errors
/// As [`open`].
pub fn load_as(path: &Path, text: &str, options: &Options) -> Result<(Plan, Report), Report> {
    let origin = Origin::of_file(path, &Origin::of_user(options.trust));
    let loaded = open_found(&path.display().to_string(), text, origin, options)?;
    Ok((loaded.plan, loaded.report))
}

/// From a text to a plan. `named` is the board's name with its version, if it was asked for by that.
fn resolve_found(
    mut loader: Loader,
    found: Found,
    named: Option<&str>,
    options: &Options,
    run: Option<RunText>,
) -> Result<Loaded, Report> {
    let load::Layers {
        mut root,
        settings,
        whole,
        gone,
        run,
    } = loader.layers(found, options, run);
    // What a text with mistakes of syntax means is a guess: what the rest of it lacks may stand behind them.
    if loader.unreadable {
        return Err(Report::new(loader.sources, loader.problems));
    }
    let mut problems = std::mem::take(&mut loader.problems);
    let params = params::decide(&root, &settings, &params::Whose::Board, &mut problems);
    let mut used = BTreeSet::new();
    let absent = when::settle(&mut root, &params, &mut used, &mut problems);
    params::substitute(&mut root, &params, Some(&gone), &mut used, &mut problems);
    let mut unused = params::unused(&root, &used, "");
    let chips = chips::expand(&mut root, false, &mut loader, &mut unused, &mut problems);
    if let Some(named) = named {
        version(&root, named, &mut problems);
    }
    let board = Board {
        root,
        params,
        settings,
        unused,
        chips,
        absent,
        gone,
        whole,
        ports: None,
    };
    let plan = resolve(&board, &mut problems);
    for (name, text, span) in run.backends.iter().filter(|_| plan.is_some()) {
        let slots = plan.iter().flat_map(|plan| &plan.slots);
        match slots.clone().find(|slot| slot.name == *name) {
            Some(slot) => {
                if let Err(e) = Backend::parse(slot.kind, text) {
                    let message = format!("nothing can be plugged into `{name}`");
                    problems.push(Problem::error("bad-value", message).at(*span, e.to_string()));
                }
            }
            None => problems.push(
                Problem::error("unknown-slot", format!("the board has no slot `{name}`"))
                    .at(*span, "")
                    .help(suggest(name, "slots", slots.map(|s| s.name.as_str()))),
            ),
        }
    }
    // What is wrong with a chip by itself has been said of it.
    problems.retain(|problem| {
        let at = problem.labels.first().map(|label| label.span.file.index());
        !at.is_some_and(|file| loader.broken.contains(&file))
    });
    problems.append(&mut loader.problems);
    gone::gather(&mut problems, &loader.sources);
    let unreadable = loader.unreadable;
    let report = Report::new(loader.sources, problems);
    match plan {
        Some(plan) if !report.has_errors() && !unreadable => Ok(Loaded {
            plan,
            board,
            run,
            report,
            origins: loader.origins,
            trust: options.trust,
        }),
        _ => Err(report),
    }
}

/// A board that was asked for by its version says so itself.
fn version(root: &Table, named: &str, problems: &mut Vec<Problem>) {
    let said = |key: &str| tree::get(root, &["board", key]);
    let (name, version) = (said("name"), said("version"));
    let text = |node: Option<&tree::Node>| node.and_then(|n| n.as_str()).map(str::to_owned);
    let own = format!(
        "{}@{}",
        text(name).unwrap_or_default(),
        text(version).unwrap_or_default()
    );
    if let (true, Some(at)) = (own != named, version.or(name)) {
        problems.push(
            Problem::error("wrong-version", format!("the board is not `{named}`"))
                .at(at.span, format!("it is `{}`", own.trim_end_matches('@'))),
        );
    }
}

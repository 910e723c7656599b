//! From the name of a board to its plan, and what can be asked of it on the way: reading files, checking each kind of
//! them, and where a value comes from.

mod alone;
mod diagnosed;
pub mod explain;
mod load;
pub mod schema;
mod trust;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

pub use alone::{Checked, check, check_text};
pub use diagnosed::Diagnosed;
use load::{Found, Loader, RunText, find};
pub use load::{MAX_BYTES, RunFile};
use trust::Origin;

use serde::Deserialize;
use solderless_model::SlotKind;

use crate::backend::Backend;
use crate::board::locked::{self, Locked, Saved};
use crate::board::tree::Table;
use crate::board::{Board, chips, gone, params, tree, when};
use crate::diagnostics::{Problem, Report, suggest};
use crate::graph::resolve::resolve;
use crate::plan::Plan;
use crate::visible::shown;

/// The boards in the program, by name: those in `machines/`.
pub const BUILT_IN: &[(&str, &str)] = &[
    ("malta", include_str!("../../machines/malta.toml")),
    ("malta@1", include_str!("../../machines/malta@1.toml")),
    ("malta@2", include_str!("../../machines/malta@2.toml")),
    ("malta@3", include_str!("../../machines/malta@3.toml")),
    ("malta-be", include_str!("../../machines/malta-be.toml")),
    ("malta-lite", include_str!("../../machines/malta-lite.toml")),
    ("malta-quad", include_str!("../../machines/malta-quad.toml")),
    (
        "malta-virtio",
        include_str!("../../machines/malta-virtio.toml"),
    ),
    ("malta64", include_str!("../../machines/malta64.toml")),
    ("malta64-be", include_str!("../../machines/malta64-be.toml")),
    ("mipssim", include_str!("../../machines/mipssim.toml")),
    ("mipssim-be", include_str!("../../machines/mipssim-be.toml")),
    ("pc", include_str!("../../machines/pc.toml")),
    ("riscv-virt", include_str!("../../machines/riscv-virt.toml")),
    ("wren", include_str!("../../machines/wren.toml")),
];

/// The chips in the program, by name: those in `machines/chips/`.
pub const BUILT_IN_CHIPS: &[(&str, &str)] = &[
    ("piix3", include_str!("../../machines/chips/piix3.toml")),
    ("piix4", include_str!("../../machines/chips/piix4.toml")),
];

/// The locks of the boards in the program, by the board's name.
pub const BUILT_IN_LOCKS: &[(&str, &str)] = &[
    ("malta@1", include_str!("../../machines/malta@1.lock")),
    ("malta@2", include_str!("../../machines/malta@2.lock")),
    ("malta@3", include_str!("../../machines/malta@3.lock")),
];

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
    /// Boards are resolved as if they had no locks.
    pub unlocked: bool,
}

impl Options {
    /// Whether anything is laid over a board.
    pub fn lay_over(&self) -> bool {
        !(self.overlays.is_empty() && self.set.is_empty() && self.params.is_empty())
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
    /// The lock that it is resolved on, if it or a board that it extends has one.
    pub lock: Option<Locked>,
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
    open_found(Loader::default(), name, text, Origin::of_program(), options)
}

/// Resolves the board of a saved machine, given as text that has to be all of it: it extends nothing and has no chips. What no
/// layer says of a property is what it was when the machine was saved.
///
/// # Errors
/// As [`open`].
pub fn open_saved(
    name: &str,
    text: &str,
    saved: &Saved,
    options: &Options,
) -> Result<Loaded, Report> {
    let mut loader = Loader::default();
    loader.saved = Some(saved.clone());
    open_found(loader, name, text, Origin::whole(), options)
}

fn open_found(
    loader: Loader,
    name: &str,
    text: &str,
    origin: Origin,
    options: &Options,
) -> Result<Loaded, Report> {
    let found = Found {
        name: name.to_owned(),
        text: text.to_owned(),
        origin,
    };
    resolve_found(loader, found, None, options, None)
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
    open_as(path, text, options).map(|loaded| (loaded.plan, loaded.report))
}

/// As [`load_as`], with all that came of it.
///
/// # Errors
/// As [`open`].
pub fn open_as(path: &Path, text: &str, options: &Options) -> Result<Loaded, Report> {
    let origin = Origin::of_file(path, &Origin::of_user(options.trust));
    open_found(Loader::default(), &shown(path), text, origin, options)
}

/// From a text to a plan. `named` is the board's name with its version, if it was asked for by that.
fn resolve_found(
    mut loader: Loader,
    found: Found,
    named: Option<&str>,
    options: &Options,
    run: Option<RunText>,
) -> Result<Loaded, Report> {
    loader.unlocked = options.unlocked;
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
    if let Some(lock) = &loader.lock
        && lock.fits(&mut problems)
    {
        lock.lay_under(&mut root, &mut problems);
    }
    if let Some(saved) = &loader.saved {
        locked::lay_saved(saved, &mut root, &mut problems);
    }
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
    let plan = planned(&board, &mut problems);
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
            lock: loader.lock,
            origins: loader.origins,
            trust: options.trust,
        }),
        _ => Err(report),
    }
}

/// Resolves a board, and makes sure that what it plugs into its slots can be.
fn planned(board: &Board, problems: &mut Vec<Problem>) -> Option<Plan> {
    let slots = tree::get(&board.root, &["slot"]).and_then(tree::Node::as_table);
    for (name, entry) in slots.into_iter().flatten() {
        let member = |key: &str| Some(&entry.node.as_table()?.get(key)?.node);
        let (kind, default) = (member("kind"), member("default"));
        let kind = kind.and_then(|kind| SlotKind::deserialize(kind.to_json()).ok());
        let text = default.and_then(tree::Node::as_str);
        if let (Some(kind), Some(text), Some(at)) = (kind, text, default)
            && let Err(e) = Backend::parse(kind, text)
        {
            let message = format!("nothing can be plugged into `{name}`");
            problems.push(Problem::error("bad-value", message).at(at.span, e.to_string()));
        }
    }
    resolve(board, problems)
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

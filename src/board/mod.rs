//! Boards: finding their files, reading them, merging the layers, and putting parameters in.

pub mod decode;
pub mod explain;
pub mod format;
pub mod merge;
pub mod params;
pub mod parse;
pub mod schema;
pub mod tree;
pub mod write;

use std::path::{Path, PathBuf};

use params::{Params, Setting};
use tree::Table;

use crate::diagnostics::{Problem, Report, Sources, Span, suggest};
use crate::graph::plan::Plan;
use crate::graph::resolve::resolve;

/// The boards in the program, by name: those in `machines/`.
pub const BUILT_IN: &[(&str, &str)] = &[
    ("malta", include_str!("../../machines/malta.toml")),
    ("malta-be", include_str!("../../machines/malta-be.toml")),
    ("mipssim", include_str!("../../machines/mipssim.toml")),
];

/// What the command line adds to a board.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Values by path, the later stronger: `("param.ram", "256MiB")`, `("dev.com1.isa-serial.baudbase", "9600")`.
    pub set: Vec<(String, String)>,
}

/// A board with its layers merged.
#[derive(Debug)]
pub struct Board {
    /// The tree, parameters put in.
    pub root: Table,
    /// The parameters.
    pub params: Params,
    /// What the command line sets of them, the later stronger.
    pub settings: Vec<Setting>,
    /// The whole of the board's own file, for what is missing from it.
    pub whole: Span,
}

/// A board that could be resolved.
#[derive(Debug)]
pub struct Loaded {
    /// What came of it.
    pub plan: Plan,
    /// What it came from.
    pub board: Board,
    /// The warnings, and the texts that the board's places are in.
    pub report: Report,
}

/// As [`open`], for those who need the plan and the warnings alone.
///
/// # Errors
/// As [`open`].
pub fn load(board: &str, options: &Options) -> Result<(Plan, Report), Report> {
    open(board, options).map(|loaded| (loaded.plan, loaded.report))
}

/// Reads the board of this name, or in this file if it has a `/` or ends in `.toml`, and resolves it.
///
/// # Errors
/// The report of every problem, warnings included.
pub fn open(board: &str, options: &Options) -> Result<Loaded, Report> {
    let loader = Loader::default();
    match loader.find(board, None) {
        Ok(found) => loader.resolve(found, options),
        Err(problem) => Err(Report::new(loader.sources, vec![problem])),
    }
}

/// Resolves a board given as text, shown under this name. It can extend the boards in the program.
///
/// # Errors
/// As [`open`].
pub fn load_text(name: &str, text: &str, options: &Options) -> Result<(Plan, Report), Report> {
    let found = Found {
        name: name.to_owned(),
        text: text.to_owned(),
        path: None,
    };
    let loaded = Loader::default().resolve(found, options)?;
    Ok((loaded.plan, loaded.report))
}

/// Resolves a board given as text as if it stood in this file, beside which are those that it can extend.
///
/// # Errors
/// As [`open`].
pub fn load_as(path: &Path, text: &str, options: &Options) -> Result<(Plan, Report), Report> {
    let found = Found {
        name: path.display().to_string(),
        text: text.to_owned(),
        path: Some(path.to_owned()),
    };
    let loaded = Loader::default().resolve(found, options)?;
    Ok((loaded.plan, loaded.report))
}

/// Whether a board's name is that of a file.
fn is_path(board: &str) -> bool {
    board.contains('/') || board.ends_with(".toml")
}

struct Found {
    /// As shown in messages.
    name: String,
    text: String,
    /// The file; `None` for a board in the program.
    path: Option<PathBuf>,
}

#[derive(Default)]
struct Loader {
    sources: Sources,
    problems: Vec<Problem>,
}

impl Loader {
    fn find(&self, board: &str, beside: Option<&Path>) -> Result<Found, Problem> {
        let folder = beside.and_then(Path::parent);
        let path = match folder {
            Some(folder) if is_path(board) => folder.join(board),
            Some(folder) => folder.join(format!("{board}.toml")),
            None => PathBuf::from(board),
        };
        if is_path(board) || (folder.is_some() && path.is_file()) {
            let bytes = std::fs::read(&path).map_err(|e| {
                Problem::error("unreadable", format!("cannot read {}: {e}", path.display()))
            })?;
            let text = String::from_utf8(bytes).map_err(|e| {
                let at = e.utf8_error().valid_up_to();
                Problem::error(
                    "unreadable",
                    format!("{} is not UTF-8 text (byte {at})", path.display()),
                )
            })?;
            return Ok(Found {
                name: path.display().to_string(),
                text,
                path: Some(path),
            });
        }
        match BUILT_IN.iter().find(|(name, _)| *name == board) {
            Some((name, text)) => Ok(Found {
                name: format!("{name}.toml"),
                text: (*text).to_owned(),
                path: None,
            }),
            None => Err(
                Problem::error("unknown-board", format!("there is no board `{board}`")).help(
                    format!(
                        "{}\na file's name has a `/` or ends in `.toml`",
                        suggest(board, "boards", BUILT_IN.iter().map(|(name, _)| *name))
                    ),
                ),
            ),
        }
    }

    /// Reads a board and those it extends, and lays one over the other. Also where the board's own text starts.
    fn layers(&mut self, found: Found) -> (Table, Span) {
        let file = self.sources.add(&found.name, found.text.as_str());
        let mut layers = vec![parse::parse(file, &found.text, &mut self.problems)];
        let mut names = vec![found.name];
        let mut path = found.path;
        while let Some(base) = layers
            .last()
            .and_then(|layer| self.base(layer, path.as_deref(), &names))
        {
            let file = self.sources.add(&base.name, base.text.as_str());
            layers.push(parse::parse(file, &base.text, &mut self.problems));
            names.push(base.name);
            path = base.path;
        }
        let mut merged = Table::new();
        while let Some(layer) = layers.pop() {
            merge::overlay(&mut merged, layer);
        }
        (
            merged,
            Span {
                file,
                start: 0,
                end: 0,
            },
        )
    }

    /// The board that one extends. `names` are those read so far.
    fn base(&mut self, layer: &Table, path: Option<&Path>, names: &[String]) -> Option<Found> {
        let board = layer.get("board")?.node.as_table()?;
        let extends = &board.get("extends")?.node;
        let problem = match self.find(extends.as_str()?, path) {
            Ok(base) if names.contains(&base.name) => {
                let chain = [names, &[base.name]].concat().join(" → ");
                Problem::error("extends-cycle", format!("a board extends itself: {chain}"))
            }
            Ok(base) => return Some(base),
            Err(problem) => problem,
        };
        self.problems.push(problem.at(extends.span, ""));
        None
    }

    fn resolve(mut self, found: Found, options: &Options) -> Result<Loaded, Report> {
        let (mut root, whole) = self.layers(found);
        // What a text with mistakes of syntax means is a guess: what the rest of it lacks may stand behind them.
        let unreadable = !self.problems.is_empty();
        let mut settings = Vec::new();
        if !options.set.is_empty() {
            let file = self.sources.add(merge::SET, merge::set_text(&options.set));
            settings = merge::set(&mut root, file, &options.set, &mut self.problems);
        }
        if unreadable {
            return Err(Report::new(self.sources, self.problems));
        }
        let params = params::decide(&root, &settings, &mut self.problems);
        params::substitute(&mut root, &params, &mut self.problems);
        let board = Board {
            root,
            params,
            settings,
            whole,
        };
        let plan = resolve(&board, &mut self.problems);
        let report = Report::new(self.sources, self.problems);
        match plan {
            Some(plan) if !report.has_errors() => Ok(Loaded {
                plan,
                board,
                report,
            }),
            _ => Err(report),
        }
    }
}

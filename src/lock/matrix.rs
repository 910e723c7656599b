//! What loads into what, of all boards that are released and all machines of theirs that were kept.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::compose::{self, Loaded, Options};
use crate::diagnostics::Report;
use crate::plan::Plan;
use crate::state::{Error, Layout, Stream, Uri, forever, misfits};
use crate::visible::shown;

/// What loads into what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matrix {
    /// The boards into which is loaded, in order.
    pub boards: Vec<String>,
    /// What is loaded, boards first: for each of the boards above the reasons against it, none if it loads.
    pub rows: Vec<(String, Vec<Vec<String>>)>,
}

/// Why there is no matrix.
#[derive(Debug, thiserror::Error)]
pub enum MatrixError {
    /// A folder cannot be read.
    #[error("cannot read {0}: {1}")]
    Folder(String, io::Error),
    /// There is nothing in the folders.
    #[error("no board with a version (NAME@N.toml) is in {0}")]
    Nothing(String),
}

/// What there is in folders: boards with a version, and streams, which end in `.snap` or, compressed, `.snap.gz`.
#[derive(Debug, Default)]
pub struct Kept {
    /// The boards by their names (`malta@3`), in the order of their versions.
    pub boards: Vec<(String, PathBuf)>,
    /// The streams, by the names of their files.
    pub streams: Vec<(String, PathBuf)>,
}

impl Kept {
    /// Looks into folders, not into those within them.
    ///
    /// # Errors
    /// One cannot be read, or there is no board.
    pub fn find(folders: &[PathBuf]) -> Result<Self, MatrixError> {
        let mut boards = BTreeMap::new();
        let mut streams = BTreeMap::new();
        for folder in folders {
            let failed = |e| MatrixError::Folder(shown(folder), e);
            for entry in std::fs::read_dir(folder).map_err(failed)? {
                let path = entry.map_err(failed)?.path();
                let name = path.file_name().and_then(|name| name.to_str());
                let Some(name) = name.filter(|_| path.is_file()) else {
                    continue;
                };
                if let Some((board, version)) = release(name) {
                    boards.insert((board.to_owned(), version), path);
                } else if [".snap", ".snap.gz"].iter().any(|end| name.ends_with(end)) {
                    streams.insert(name.to_owned(), path);
                }
            }
        }
        if boards.is_empty() {
            let all: Vec<_> = folders.iter().map(|folder| shown(folder)).collect();
            return Err(MatrixError::Nothing(all.join(", ")));
        }
        let boards = boards.into_iter();
        Ok(Self {
            boards: boards
                .map(|((name, n), path)| (format!("{name}@{n}"), path))
                .collect(),
            streams: streams.into_iter().collect(),
        })
    }
}

/// The board and the version of a file's name: `malta@3.toml`.
pub fn release(file: &str) -> Option<(&str, u32)> {
    let (board, version) = file.strip_suffix(".toml")?.rsplit_once('@')?;
    Some((board, version.parse().ok()?))
}

/// Opens a kept stream, compressed or not.
///
/// # Errors
/// It cannot be read.
pub fn open(path: &Path) -> Result<Stream, Error> {
    let uri = match path.extension().is_some_and(|e| e == "gz") {
        true => {
            let quoted = path.to_string_lossy().replace('\'', "'\\''");
            Uri::Exec(format!("gzip -dc -- '{quoted}'"))
        }
        false => Uri::File(path.to_owned()),
    };
    Stream::open(&uri, &mut |_, _| {}, &mut forever)
}

/// A board as the machine of a plan would be loaded into it: with the plan's parameters, as far as it has them.
///
/// # Errors
/// It is no good.
pub fn with_params(board: &Path, of: &Plan, options: &Options) -> Result<Loaded, Report> {
    let name = board.to_str();
    let plain = compose::open(name, options)?;
    let has = |param: &str| plain.plan.params.iter().any(|(name, _)| name == param);
    let own = of.params.iter().filter(|(name, _)| has(name));
    let own = own.map(|(name, value)| {
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        (format!("param.{name}"), text)
    });
    let options = Options {
        set: options.set.iter().cloned().chain(own).collect(),
        ..options.clone()
    };
    compose::open(name, &options)
}

/// Says what loads into what.
pub fn matrix(kept: &Kept, options: &Options) -> Matrix {
    let first = |report: Report| {
        let problem = report.problems.first();
        problem.map_or_else(String::new, |problem| problem.message.clone())
    };
    let open_board = |path: &PathBuf| compose::open(path.to_str(), options).map_err(first);
    let boards: Vec<_> = kept
        .boards
        .iter()
        .map(|(name, path)| (name, open_board(path)))
        .collect();
    let mut rows = Vec::new();
    for (name, from) in &boards {
        let row = boards.iter().map(|(to, into)| match (from, into) {
            (Ok(from), Ok(into)) => misfits(&Layout::of(&from.plan), &from.plan, &into.plan),
            (Err(reason), _) => vec![format!("{name}: {reason}")],
            (_, Err(reason)) => vec![format!("{to}: {reason}")],
        });
        rows.push(((*name).clone(), row.collect()));
    }
    for (name, path) in &kept.streams {
        let stream = open(path).and_then(|stream| Ok((stream.board(options)?, stream)));
        let row = kept.boards.iter().map(|(to, into)| match &stream {
            Ok((own, stream)) => match with_params(into, &own.plan, options) {
                Ok(into) => stream.refusals(&own.plan, &into.plan),
                Err(report) => vec![format!("{to}: {}", first(report))],
            },
            Err(Error::Board(report)) => vec![format!("{name}: {}", first((**report).clone()))],
            Err(e) => vec![format!("{name}: {e}")],
        });
        rows.push((name.clone(), row.collect()));
    }
    Matrix {
        boards: kept.boards.iter().map(|(name, _)| name.clone()).collect(),
        rows,
    }
}

/// A table, and behind it the reasons.
impl fmt::Display for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.rows.iter().map(|(name, _)| name.chars().count());
        let first = names.max().unwrap_or(0);
        let widths = self
            .boards
            .iter()
            .map(|name| name.chars().count().max("refused".len()));
        let widths: Vec<_> = widths.collect();
        let mut line = |first_cell: &str, cells: &mut dyn Iterator<Item = &str>| {
            let mut text = format!("{first_cell:first$}");
            for (cell, width) in cells.zip(&widths) {
                text += &format!("  {cell:width$}");
            }
            writeln!(f, "{}", text.trim_end())
        };
        line("", &mut self.boards.iter().map(String::as_str))?;
        let word = |reasons: &Vec<String>| {
            if reasons.is_empty() {
                "loads"
            } else {
                "refused"
            }
        };
        for (name, row) in &self.rows {
            line(name, &mut row.iter().map(word))?;
        }
        for (name, row) in &self.rows {
            for (board, reasons) in self.boards.iter().zip(row).filter(|(_, r)| !r.is_empty()) {
                writeln!(f, "\n{name} does not load into {board}:")?;
                for reason in reasons {
                    writeln!(f, "  {reason}")?;
                }
            }
        }
        Ok(())
    }
}

//! `solderless compat`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};

use super::LayerArgs;
use crate::compose::{Loaded, Options};
use crate::lock::{Kept, matrix};
use crate::state::{Layout, Stream, Uri, drift, forever, misfits, remedies};
use crate::visible::shown;

/// The arguments of `solderless compat`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What was saved: a board's name or file, or a stream's file
    #[arg(required_unless_present = "matrix", add = super::complete::boards())]
    saved: Option<String>,
    /// What it should be loaded into: the same kinds
    #[arg(required_unless_present = "matrix", add = super::complete::boards())]
    wanted: Option<String>,
    /// Tell of every board with a version in these folders, and every stream (.snap, .snap.gz), into which of the boards it loads, and why
    /// not into the others
    #[arg(long, value_name = "DIR", num_args = 1.., conflicts_with_all = ["saved", "wanted"])]
    matrix: Vec<PathBuf>,
    /// What is laid over the second
    #[command(flatten)]
    layers: LayerArgs,
}

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    let (Some(saved), Some(wanted)) = (&args.saved, &args.wanted) else {
        return all(args);
    };
    match compare(args, saved, wanted) {
        Ok(found) if found.is_empty() => super::print(&format!("{saved} loads into {wanted}\n")),
        Ok(found) => {
            let head = format!("{saved} does not load into {wanted}:\n");
            match super::print(&format!("{head}{}\n", found.join("\n"))) {
                ExitCode::SUCCESS => ExitCode::from(1),
                failed => failed,
            }
        }
        Err(e) => super::refused(&e),
    }
}

/// Prints the matrix of folders.
fn all(args: &Args) -> ExitCode {
    let options = match args.layers.options() {
        Ok(options) => options,
        Err(e) => return super::usage(&e),
    };
    match Kept::find(&args.matrix) {
        Ok(kept) => super::print(&matrix(&kept, &options).to_string()),
        Err(e) => super::usage(&e.to_string()),
    }
}

fn compare(args: &Args, saved: &str, wanted: &str) -> Result<Vec<String>> {
    let options = args.layers.options().map_err(anyhow::Error::msg)?;
    let saved = Side::open(saved, &args.layers.trust.options())?;
    let wanted = Side::open(wanted, &options)?;
    let mut found = saved.drift;
    let from = &saved.loaded.plan;
    found.extend(misfits(&saved.layout, from, &wanted.loaded.plan));
    found.extend(remedies(from, &wanted.loaded));
    Ok(found)
}

/// A board, or the board and layout of a stream.
struct Side {
    loaded: Loaded,
    layout: Layout,
    /// What this program makes of the stream's board otherwise than the one that saved it.
    drift: Vec<String>,
}

impl Side {
    fn open(name: &str, options: &Options) -> Result<Self> {
        let path = Path::new(name);
        if Path::extension(path).is_some_and(|e| e == "toml") || !path.is_file() {
            let loaded = super::resolve(Some(name), options)?;
            return Ok(Self {
                layout: Layout::of(&loaded.plan),
                loaded,
                drift: Vec::new(),
            });
        }
        let stream = Stream::open(&Uri::File(path.to_owned()), &mut |_, _| {}, &mut forever);
        let stream = stream.with_context(|| shown(path))?;
        let own = stream.board(&Options::default())?;
        let drift = drift(&stream.description.about.devices, &own.plan);
        let loaded = if !options.lay_over() {
            own
        } else {
            stream.board(options)?
        };
        Ok(Self {
            loaded,
            layout: stream.description.about.layout,
            drift,
        })
    }
}

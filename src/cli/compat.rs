//! `solderless compat`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};

use super::LayerArgs;
use crate::compose::{Loaded, Options};
use crate::state::{Layout, Stream, Uri, drift, forever, misfits, remedies};
use crate::visible::shown;

/// The arguments of `solderless compat`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What was saved: a board's name or file, or a stream's file
    #[arg(add = super::complete::boards())]
    saved: String,
    /// What it should be loaded into: the same kinds
    #[arg(add = super::complete::boards())]
    wanted: String,
    /// What is laid over the second
    #[command(flatten)]
    layers: LayerArgs,
}

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    match compare(args) {
        Ok(found) if found.is_empty() => {
            super::print(&format!("{} loads into {}\n", args.saved, args.wanted))
        }
        Ok(found) => {
            let head = format!("{} does not load into {}:\n", args.saved, args.wanted);
            match super::print(&format!("{head}{}\n", found.join("\n"))) {
                ExitCode::SUCCESS => ExitCode::from(1),
                failed => failed,
            }
        }
        Err(e) => super::refused(&e),
    }
}

fn compare(args: &Args) -> Result<Vec<String>> {
    let options = args.layers.options().map_err(anyhow::Error::msg)?;
    let saved = Side::open(&args.saved, &args.layers.trust.options())?;
    let wanted = Side::open(&args.wanted, &options)?;
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

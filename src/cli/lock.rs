//! `solderless lock`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, anyhow};

use crate::compose::Options;
use crate::lock::{changes, lock};
use crate::replace::replace;
use crate::visible::shown;

/// The arguments of `solderless lock`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The board's file, NAME.toml; the lock is NAME.lock beside it
    #[arg(value_name = "FILE")]
    board: PathBuf,
    /// Take the defaults of this program's device types, also where the lock that is there has others
    #[arg(long)]
    update: bool,
    #[command(flatten)]
    trust: super::Trust,
}

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    match write(args) {
        Ok(text) => super::print(&text),
        Err(e) => super::refused(&e),
    }
}

fn write(args: &Args) -> Result<String> {
    let path = &args.board;
    if path.extension().is_none_or(|e| e != "toml") {
        return Err(anyhow!(
            "{} is no board's file: a lock stands beside one that ends in `.toml`",
            shown(path)
        ));
    }
    let at = path.with_extension("lock");
    let options = Options {
        unlocked: args.update,
        ..args.trust.options()
    };
    // A name without a folder would be looked for in the program.
    let named = Path::new(".").join(path);
    let name = if path.components().count() > 1 {
        path
    } else {
        &named
    };
    let loaded = super::resolve(name.to_str(), &options)?;
    let new = lock(&loaded)?;
    let text = new.to_string();
    let old = match std::fs::read_to_string(&at) {
        Ok(old) => Some(old),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
        Err(e) => return Err(anyhow!("cannot read {}: {e}", shown(&at))),
    };
    if old.as_ref() == Some(&text) {
        return Ok(format!("{}: nothing has changed\n", shown(&at)));
    }
    let changes = old
        .as_deref()
        .map(|old| changes(old, &new))
        .unwrap_or_default();
    if loaded.plan.version.is_some() && !changes.is_empty() {
        return Err(anyhow!(
            "{} is that of a release, which stays what it is: `solderless check` says what has changed, and \
             `solderless release` makes the next",
            shown(&at)
        ));
    }
    replace(&at, |out| out.write_all(text.as_bytes()))
        .map_err(|e| anyhow!("cannot write {}: {e}", shown(&at)))?;
    Ok(format!("{changes}{}: written\n", shown(&at)))
}

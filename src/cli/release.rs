//! `solderless release`.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, anyhow};
use serde_json::Value as Json;

use crate::board::tree::{Entry, Node, Value};
use crate::board::write;
use crate::compose::{self, BUILT_IN, Loaded};
use crate::diagnostics::Span;
use crate::lock::{Lock, changes, lock, release};
use crate::state::Layout;
use crate::visible::shown;

/// The arguments of `solderless release`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The board's name (`malta`), or the path of its file; the release is written beside it, or into the current folder
    #[arg(add = super::complete::boards())]
    board: String,
    #[command(flatten)]
    trust: super::Trust,
}

/// Runs the command. Both files are written, or none.
pub fn run(args: &Args) -> ExitCode {
    match make(args) {
        Ok((text, true)) => super::print(&text),
        Ok((text, false)) => match super::print(&text) {
            ExitCode::SUCCESS => ExitCode::from(1),
            failed => failed,
        },
        Err(e) => super::refused(&e),
    }
}

/// The last release of a board, in the program or in a folder: its number, and what names it.
fn last(name: &str, folder: &Path) -> Result<Option<(u32, String)>> {
    let built_in = BUILT_IN.iter().filter_map(|(known, _)| {
        let (board, version) = known.rsplit_once('@')?;
        let version = version.parse().ok().filter(|_| board == name)?;
        Some((version, (*known).to_owned()))
    });
    let mut all: Vec<(u32, String)> = built_in.collect();
    let failed = |e| anyhow!("cannot read {}: {e}", shown(folder));
    let here = folder.as_os_str().is_empty();
    let listed = if here { Path::new(".") } else { folder };
    for entry in fs::read_dir(listed).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let file = path.file_name().and_then(|file| file.to_str());
        if let Some((board, version)) = file.and_then(release)
            && board == name
            && let Some(path) = Path::new(".").join(&path).to_str()
        {
            all.push((version, path.to_owned()));
        }
    }
    Ok(all.into_iter().max_by_key(|(version, _)| *version))
}

fn make(args: &Args) -> Result<(String, bool)> {
    let options = args.trust.options();
    let mut loaded = super::resolve(Some(&args.board), &options)?;
    let name = loaded.plan.name.clone();
    if let Some(version) = &loaded.plan.version {
        return Err(anyhow!(
            "{name}@{version} is a release already; the next is one of the board that it came from: solderless release {name}"
        ));
    }
    if crate::toml::path([name.as_str()]) != name {
        return Err(anyhow!(
            "`{name}` cannot be the name of a release: a name has letters, digits, `-` and `_`"
        ));
    }
    let folder = Path::new(&args.board).parent().unwrap_or(Path::new(""));
    let last = last(&name, folder)?;
    let number = last.as_ref().map_or(1, |(number, _)| number + 1);
    let last = match &last {
        Some((_, last)) => Some(super::resolve(Some(last), &options)?),
        None => None,
    };
    let from = lock(&loaded)?;
    let text = text(&mut loaded, number, last.as_ref());
    let path = folder.join(format!("{name}@{number}.toml"));
    let made = compose::open_as(&path, &text, &options).map_err(super::Unbuildable)?;
    let mut made = lock(&made)?;
    // What it came from is not what it is written as.
    let is_from = |(path, _): &&mut (Vec<String>, _)| path[..] == ["from"];
    let came = from
        .tables
        .into_iter()
        .find(|(path, _)| path[..] == ["from"]);
    if let (Some(table), Some(came)) = (made.tables.iter_mut().find(is_from), came) {
        *table = came;
    }
    let mut said = String::new();
    if let Some(last) = &last {
        let before = lock(last)?;
        let about = |lock: &Lock| Lock {
            tables: lock
                .tables
                .iter()
                .filter(|(path, _)| path[..] != ["lock"])
                .cloned()
                .collect(),
            ..lock.clone()
        };
        said = changes(&about(&before).to_string(), &about(&made));
        if said.is_empty() {
            let text = format!(
                "{name} is what {} is, to every guest and every saved machine: there is nothing to release\n",
                before.board
            );
            return Ok((text, false));
        }
        said = format!("{} → {}\n{said}", before.board, made.board);
    }
    write_both(&path, &text, &made.to_string())?;
    let lock = path.with_extension("lock");
    Ok((
        format!("{said}{}, {}: written\n", shown(&path), shown(&lock)),
        true,
    ))
}

fn write_both(path: &Path, text: &str, lock: &str) -> Result<()> {
    let at = path.with_extension("lock");
    let write = |path: &Path, text: &str| {
        let mut file = File::create_new(path).map_err(|e| match e.kind() {
            ErrorKind::AlreadyExists => anyhow!("{} is there already", shown(path)),
            _ => anyhow!("cannot write {}: {e}", shown(path)),
        })?;
        file.write_all(text.as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(|e| {
                let _ = fs::remove_file(path);
                anyhow!("cannot write {}: {e}", shown(path))
            })
    };
    write(&at, lock)?;
    write(path, text).inspect_err(|_| {
        let _ = fs::remove_file(&at);
    })
}

/// The board's file: all of it, with its version and the state version that it is held to.
fn text(loaded: &mut Loaded, number: u32, last: Option<&Loaded>) -> String {
    let newest = Layout::of(&loaded.plan)
        .sections
        .iter()
        .map(|s| s.version)
        .max();
    let before = last.and_then(|last| last.plan.state);
    let state = newest.unwrap_or(1).max(before.unwrap_or(1));
    let plan = &loaded.plan;
    let head = format!(
        "# {} as released under version {number}: whole, so that nothing that happens to the board it came from happens to it.\n\
         # {}@{number}.lock holds it to what it is.\n\n",
        plan.name, plan.name
    );
    if let Some(board) = loaded.board.root.get_mut("board")
        && let Some(table) = board.node.as_table_mut()
    {
        let nowhere = Span {
            end: board.key.start,
            ..board.key
        };
        for (name, value) in [
            ("version", Json::from(number.to_string())),
            ("state", state.into()),
        ] {
            let node = Node::new(Value::Scalar(value), nowhere);
            let key = nowhere;
            table.insert(name.to_owned(), Entry { key, node });
        }
    }
    head + &write::board(&loaded.board, &loaded.report.sources)
}

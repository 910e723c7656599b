//! `solderless fix`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::board::renew::{apply, fixes};
use crate::replace::replace;
use crate::visible::shown;

/// The arguments of `solderless fix`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Only say what would be rewritten; the status is 1 if anything would be
    #[arg(long)]
    check: bool,
}

/// Runs the command. A file is written as a whole or not at all.
pub fn run(args: &Args) -> ExitCode {
    let mut status = ExitCode::SUCCESS;
    let mut out = String::new();
    for path in &args.files {
        match one(path, args.check) {
            Ok(0) => out.push_str(&format!("{}: nothing to fix\n", shown(path))),
            Ok(count) => {
                let verb = if args.check {
                    "to rewrite"
                } else {
                    "rewritten"
                };
                let names = if count == 1 { "name" } else { "names" };
                out.push_str(&format!("{}: {count} {names} {verb}\n", shown(path)));
                if args.check && status == ExitCode::SUCCESS {
                    status = ExitCode::from(1);
                }
            }
            Err(code) => status = code,
        }
    }
    let printed = super::print(&out);
    if status == ExitCode::SUCCESS {
        printed
    } else {
        status
    }
}

/// Fixes one file, and says how many names were deprecated.
fn one(path: &Path, check: bool) -> Result<usize, ExitCode> {
    let failed = |what: &str, e: std::io::Error| {
        super::usage(&format!("cannot {what} {}: {e}", shown(path)))
    };
    let bytes =
        crate::files::read(path, crate::compose::MAX_BYTES).map_err(|e| failed("read", e))?;
    let mut text = String::from_utf8(bytes)
        .map_err(|_| super::usage(&format!("{} is not UTF-8 text", shown(path))))?;
    let mut count = 0;
    // A key that is written in several places has the place of the first, so that the next comes to light after it.
    loop {
        let found = fixes(&shown(path), &text).map_err(|problems| {
            super::complain(&problems);
            ExitCode::from(2)
        })?;
        if found.is_empty() {
            break;
        }
        count += found.len();
        text = apply(&text, &found);
    }
    if count > 0 && !check {
        replace(path, |out| out.write_all(text.as_bytes())).map_err(|e| failed("write", e))?;
    }
    Ok(count)
}

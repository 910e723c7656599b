//! `solderless snapshot`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use solderless_model::memory::{PAGE, Ram};
use solderless_model::{Size, Type};

use crate::machine::CLOCK;
use crate::state::payload::show;
use crate::state::{Layout, Stream, Uri, forever};
use crate::visible::{name, shown};

/// The arguments of `solderless snapshot`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print what each file holds, a few lines a file
    Info {
        /// Streams' files
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Read every byte and check every checksum
    Verify {
        /// Streams' files
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Print the value of every field
    Show {
        /// A stream's file
        file: PathBuf,
        /// Only these devices' sections, parts included
        device: Vec<String>,
    },
    /// Print the fields, and the pages of memory, that differ; the status is 1 if anything does
    Diff {
        /// The first stream's file
        first: PathBuf,
        /// The second's
        second: PathBuf,
    },
    /// Print the board, as one file
    Board {
        /// A stream's file
        file: PathBuf,
    },
}

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    let result = match &args.command {
        Command::Info { files } => each(files, info),
        Command::Verify { files } => each(files, verify),
        Command::Show { file, device } => content(file, device).map(|text| (text, true)),
        Command::Diff { first, second } => diff(first, second),
        Command::Board { file } => open(file).map(|s| (s.description.board, true)),
    };
    match result {
        Ok((text, same)) => match super::print(&text) {
            ExitCode::SUCCESS if !same => ExitCode::from(1),
            printed => printed,
        },
        Err(e) => super::refused(&e),
    }
}

fn each(files: &[PathBuf], about: impl Fn(&Path) -> Result<String>) -> Result<(String, bool)> {
    let texts = files.iter().map(|file| about(file));
    Ok((texts.collect::<Result<String>>()?, true))
}

fn open(file: &Path) -> Result<Stream> {
    let stream = Stream::open(&Uri::File(file.to_owned()), &mut |_, _| {}, &mut forever);
    stream.with_context(|| shown(file))
}

fn info(file: &Path) -> Result<String> {
    let stream = open(file)?;
    let about = &stream.description.about;
    let board = board_name(&stream);
    let clock = values(&stream, &about.layout, CLOCK)?;
    let now = clock.get("now").and_then(|text| number(text));
    let seconds = now.map_or(0.0, |ns| ns as f64 / 1e9);
    let state: usize = stream.sections.iter().map(|s| s.payload.len()).sum();
    let blocks = stream.sections.iter().flat_map(|s| &s.memory);
    let memory: u64 = blocks.map(Ram::size).sum();
    let version = about.layout.sections.iter().map(|s| s.version).max();
    let mut text = format!("{}\n", shown(file));
    let mut line = |name: &str, value: String| {
        // Writing into a string has no way to fail.
        let _ = writeln!(text, "  {name:8} {value}");
    };
    line("board", board);
    line(
        "program",
        format!("solderless {}, format {}", about.program, stream.format),
    );
    line("state", format!("version {}", version.unwrap_or(1)));
    line("time", format!("{seconds:.3} s of guest time"));
    line(
        "sections",
        format!("{}, {state} bytes", stream.sections.len()),
    );
    line(
        "memory",
        format!("{} bytes of {} carried", stream.carried, Size(memory)),
    );
    line("size", format!("{} bytes", stream.length));
    Ok(text)
}

/// The name that the stream's board gives itself.
fn board_name(stream: &Stream) -> String {
    let table: Option<toml::Table> = stream.description.board.parse().ok();
    let said = |key| table.as_ref()?.get("board")?.get(key)?.as_str();
    let board = said("name").unwrap_or("without a name");
    name(&match said("version") {
        Some(version) => format!("{board}@{version}"),
        None => board.to_owned(),
    })
    .into_owned()
}

fn number(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

fn verify(file: &Path) -> Result<String> {
    let mut bar = crate::progress::Bar::new("reading");
    let uri = Uri::File(file.to_owned());
    let stream = uri.read(&mut forever, |from, _| {
        Stream::read(from, &mut |done, of| bar.at(done, of))
    });
    let stream = stream.with_context(|| shown(file))?;
    let about = &stream.description.about;
    // A stream has the sections of its layout, in their order.
    for (section, says) in stream.sections.iter().zip(&about.layout.sections) {
        let content = about.layout.content(says);
        let content = content.ok_or_else(|| anyhow!("the layout has no section {}", says.path))?;
        show(section, content).with_context(|| shown(file))?;
    }
    Ok(format!(
        "{}: good, {} sections, {} bytes\n",
        shown(file),
        stream.sections.len(),
        stream.length
    ))
}

fn of<'l>(layout: &'l Layout, path: &str) -> Result<(&'l str, &'l Type)> {
    let found = layout.section(path);
    let (section, content) = found.ok_or_else(|| anyhow!("the layout has no section {path}"))?;
    Ok((&section.model, content))
}

fn values(stream: &Stream, layout: &Layout, path: &str) -> Result<BTreeMap<String, String>> {
    let Some(section) = stream.sections.iter().find(|s| s.path == path) else {
        return Ok(BTreeMap::new());
    };
    let (_, content) = of(layout, path)?;
    Ok(show(section, content)?.into_iter().collect())
}

fn content(file: &Path, devices: &[String]) -> Result<String> {
    let stream = open(file)?;
    let layout = &stream.description.about.layout;
    let mut text = String::new();
    let mut found = vec![false; devices.len()];
    for section in &stream.sections {
        let belongs = |name: &String| {
            let rest = section.path.strip_prefix(name.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        for (found, name) in found.iter_mut().zip(devices) {
            *found |= belongs(name);
        }
        if !devices.is_empty() && !devices.iter().any(belongs) {
            continue;
        }
        let (model, content) = of(layout, &section.path)?;
        writeln!(text, "section {}: {model}", section.path)?;
        for (name, value) in show(section, content)? {
            match name.as_str() {
                "" => writeln!(text, "  {value}")?,
                name => writeln!(text, "  {name} = {value}")?,
            }
        }
    }
    match found.iter().position(|found| !found) {
        Some(index) => Err(anyhow!("{} has no section {}", shown(file), devices[index])),
        None => Ok(text),
    }
}

/// What differs, as lines; and whether nothing does.
fn diff(first: &Path, second: &Path) -> Result<(String, bool)> {
    let (first, second) = (open(first)?, open(second)?);
    let mut text = String::new();
    let paths = |s: &Stream| {
        s.sections
            .iter()
            .map(|s| s.path.clone())
            .collect::<Vec<_>>()
    };
    let (mine, theirs) = (paths(&first), paths(&second));
    for line in diff_lines(&first.description.board, &second.description.board) {
        writeln!(text, "board {line}")?;
    }
    for path in &mine {
        if !theirs.contains(path) {
            writeln!(text, "- section {path}")?;
            continue;
        }
        let (a, b) = (fields(&first, path)?, fields(&second, path)?);
        let mut lines = String::new();
        for (name, old) in &a {
            match b.get(name) {
                Some(new) if new == old => {}
                Some(new) => writeln!(lines, "    {name} = {old} → {new}")?,
                None => writeln!(lines, "  - {name} = {old}")?,
            }
        }
        for (name, new) in b.iter().filter(|(name, _)| !a.contains_key(*name)) {
            writeln!(lines, "  + {name} = {new}")?;
        }
        if !lines.is_empty() {
            write!(text, "  section {path}\n{lines}")?;
        }
    }
    for path in theirs.iter().filter(|path| !mine.contains(path)) {
        writeln!(text, "+ section {path}")?;
    }
    let same = text.is_empty();
    Ok((text, same))
}

/// The fields of a section; memory by the pages that are not zero, with a sum of each.
fn fields(stream: &Stream, path: &str) -> Result<BTreeMap<String, String>> {
    let mut all = values(stream, &stream.description.about.layout, path)?;
    let section = stream.sections.iter().find(|s| s.path == path);
    for block in section.into_iter().flat_map(|s| &s.memory) {
        let mut page = vec![0; PAGE as usize];
        for number in (0..block.pages()).filter(|p| block.uniform(*p) != Ok(Some(0))) {
            let at = number * PAGE;
            let len = (block.size() - at).min(PAGE) as usize;
            block.read(at, &mut page[..len])?;
            let sum = crc32c::crc32c(&page[..len]);
            all.insert(format!("page {at:#010x}"), format!("sum {sum:08x}"));
        }
    }
    Ok(all)
}

/// The lines that only one of two texts has.
fn diff_lines(first: &str, second: &str) -> Vec<String> {
    let only = |mark: char, a: &str, b: &str| {
        let there: std::collections::BTreeSet<&str> = b.lines().collect();
        let lines = a.lines().filter(|line| !there.contains(line));
        lines
            .map(|line| format!("{mark} {line}"))
            .collect::<Vec<_>>()
    };
    [only('-', first, second), only('+', second, first)].concat()
}

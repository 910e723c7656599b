//! `solderless image`.

use std::fmt::Write;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value as Json, json};
use solderless_model::{SECTOR, Size};

use crate::backend::block::{self, CORRUPT, DIRTY, Header, Options, Shape};
use crate::backend::{Block, DiskImage, Format, LARGEST, Mode};
use crate::progress::Bar;
use crate::replace;
use crate::visible::{name, shown};

/// The arguments of `solderless image`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make an empty image, or one that lies on another and has what is written over that
    Create {
        /// The file to make
        file: PathBuf,
        /// The length of the disk (8GiB); one that lies on another is as long as that without it
        size: Option<Size>,
        /// How it is stored, raw or qcow2: without it qcow2 if the file's name ends like that or it lies on another, else raw
        #[arg(long)]
        format: Option<Format>,
        /// The image that it lies on, written as a disk of `run`: PATH[,format=…]
        #[arg(long, value_name = "IMAGE")]
        backing: Option<String>,
        /// Replace a file that is there
        #[arg(long)]
        force: bool,
    },
    /// Print what each image is
    Info {
        /// Images, written as disks of `run`: PATH[,OPTION…]
        #[arg(required = true, value_name = "IMAGE")]
        images: Vec<String>,
        /// How to print it
        #[arg(long, value_enum, default_value_t = Print::Text)]
        format: Print,
    },
    /// Look whether the tables of each image agree, and change nothing; the status is 1 if something is wrong
    Check {
        /// Images
        #[arg(required = true, value_name = "IMAGE")]
        images: Vec<String>,
    },
    /// Write what an image has to another one, which lies on none
    Convert {
        /// The image to read, written as a disk of `run`: PATH[,OPTION…]
        #[arg(value_name = "IMAGE")]
        from: String,
        /// The file to make
        to: PathBuf,
        /// How it is stored, raw or qcow2: without it qcow2 if the file's name ends like that, else raw
        #[arg(long)]
        format: Option<Format>,
        /// Replace a file that is there
        #[arg(long)]
        force: bool,
    },
    /// Write what an image has to the one that it lies on, and empty it
    Commit {
        /// The image that lies on another
        #[arg(value_name = "IMAGE")]
        image: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Print {
    /// For people
    Text,
    /// For programs
    Json,
}

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    let result = match &args.command {
        Command::Create {
            file,
            size,
            format,
            backing,
            force,
        } => create(file, *size, *format, backing.as_deref(), *force).map(|text| (text, true)),
        Command::Info { images, format } => info(images, *format).map(|text| (text, true)),
        Command::Check { images } => check(images),
        Command::Convert {
            from,
            to,
            format,
            force,
        } => convert(from, to, *format, *force).map(|text| (text, true)),
        Command::Commit { image } => commit(image).map(|text| (text, true)),
    };
    match result {
        Ok((text, good)) => match super::print(&text) {
            ExitCode::SUCCESS if !good => ExitCode::from(1),
            printed => printed,
        },
        Err(e) => super::refused(&e),
    }
}

/// An image that a command reads: where it is, and how it is read.
fn named(text: &str) -> Result<(PathBuf, Mode)> {
    let Block::File(path, options) = Block::disk(text)? else {
        bail!("{text}: it is no file");
    };
    let mode = Mode {
        format: options.format,
        write: false,
        any_backing: options.any_backing,
    };
    let known = Options {
        format: options.format,
        any_backing: options.any_backing,
        ..Options::default()
    };
    if options != known {
        bail!("{text}: an image has the options format= and backing=any here");
    }
    Ok((path, mode))
}

fn open(path: &Path, mode: Mode) -> Result<DiskImage> {
    DiskImage::open(path, mode).with_context(|| shown(path))
}

/// The format of a file that is made.
fn format_of(path: &Path, format: Option<Format>) -> Format {
    let ending = path.extension().is_some_and(|ending| ending == "qcow2");
    format.unwrap_or(match ending {
        true => Format::Qcow2,
        false => Format::Raw,
    })
}

/// Makes the file of an image in one step: whoever ends the program finds all of it or what was there before.
fn put<T>(path: &Path, force: bool, make: impl FnOnce(&File) -> io::Result<T>) -> Result<T> {
    if force {
        block::free(path).with_context(|| shown(path))?;
    }
    replace::put(path, force, make).map_err(|e| match e.kind() {
        ErrorKind::AlreadyExists => anyhow!("{}: {e}; --force replaces it", shown(path)),
        _ => anyhow!("{}: {e}", shown(path)),
    })
}

fn create(
    file: &Path,
    size: Option<Size>,
    format: Option<Format>,
    backing: Option<&str>,
    force: bool,
) -> Result<String> {
    let backing = match backing {
        None => None,
        Some(text) => {
            let (path, mode) = named(text)?;
            let image = open(&path, mode)?;
            if format == Some(Format::Raw) {
                bail!("a raw image lies on no other; --format qcow2 does");
            }
            Some((path, image.format(), image.bytes()))
        }
    };
    let bytes = match (size, &backing) {
        (Some(Size(bytes)), _) => bytes,
        (None, Some((.., bytes))) => *bytes,
        (None, None) => bail!("how long is the disk? Write `{} 8GiB`", shown(file)),
    };
    if !(1..=LARGEST).contains(&bytes) || bytes % SECTOR != 0 {
        bail!("a disk has a multiple of {SECTOR} bytes, {LARGEST} at most");
    }
    let shape = Shape {
        format: match backing {
            Some(_) => Format::Qcow2,
            None => format_of(file, format),
        },
        bytes,
        backing: match &backing {
            Some((path, format, _)) => Some((written(file, path)?, *format)),
            None => None,
        },
    };
    put(file, force, |file| shape.make(file)?.flush())?;
    let on = backing.map_or(String::new(), |(path, ..)| format!(", on {}", shown(&path)));
    Ok(format!(
        "{}: {}, {}{on}\n",
        shown(file),
        shape.format,
        Size(bytes)
    ))
}

/// The path of an image as one that lies on it has it: from its own folder on if it is there or below, else from the root.
fn written(file: &Path, below: &Path) -> Result<String> {
    let folder = file.parent().filter(|f| !f.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let folder = folder.canonicalize().with_context(|| shown(folder))?;
    let below = below.canonicalize().with_context(|| shown(below))?;
    if file.canonicalize().is_ok_and(|file| file == below) {
        bail!("{}: it cannot lie on itself", shown(file));
    }
    let path = below.strip_prefix(&folder).unwrap_or(&below);
    let text = path.to_str();
    text.map(str::to_owned)
        .ok_or_else(|| anyhow!("{}: an image's name has to be text", shown(&below)))
}

/// What there is to say of an image.
fn about(text: &str) -> Result<Json> {
    let (path, mode) = named(text)?;
    let file = File::open(&path).with_context(|| shown(&path))?;
    let image = DiskImage::open(&path, mode);
    let on_disk = file.metadata()?.blocks() * 512;
    let header = match mode.format {
        Some(Format::Raw) => None,
        _ => Header::read(&file).ok(),
    };
    let Some(header) = header else {
        let image = image.with_context(|| shown(&path))?;
        return Ok(json!({
            "image": shown(&path),
            "format": image.format().to_string(),
            "size": image.bytes(),
            "on-disk": on_disk,
        }));
    };
    let (snapshots, _) = header.snapshots(&file).with_context(|| shown(&path))?;
    let mut all = json!({
        "image": shown(&path),
        "format": "qcow2",
        "version": header.version,
        "size": header.bytes,
        "on-disk": on_disk,
        "cluster": header.cluster(),
        "compression": header.compression,
    });
    let mut say = |key: &str, value: Json| all[key] = value;
    if let Some(backing) = &header.backing {
        say("backing", json!(name(backing)));
        let format = header.backing_format.as_deref().unwrap_or("not said");
        say("backing-format", json!(name(format)));
    }
    if let Some(data) = &header.data_file {
        say("data-file", json!(name(data)));
    }
    if !snapshots.is_empty() {
        let names = snapshots.iter().map(|s| name(&s.name).into_owned());
        say("snapshots", names.collect());
    }
    let marks = [
        (header.encryption != 0, "encrypted"),
        (header.incompatible & DIRTY != 0, "not closed"),
        (header.incompatible & CORRUPT != 0, "damaged"),
    ];
    let marks = marks.iter().filter(|(is, _)| *is).map(|(_, word)| *word);
    let marks: Vec<_> = marks.collect();
    if !marks.is_empty() {
        say("marked", json!(marks));
    }
    if let Err(e) = image {
        say("cannot-be-used", json!(e.to_string()));
    }
    Ok(all)
}

fn info(images: &[String], format: Print) -> Result<String> {
    let all: Result<Vec<_>> = images.iter().map(|text| about(text)).collect();
    let all = all?;
    if format == Print::Json {
        return Ok(format!("{:#}\n", Json::from(all)));
    }
    let mut text = String::new();
    for image in all {
        let fields = image.as_object().into_iter().flatten();
        for (key, value) in fields {
            let value = match (key.as_str(), value) {
                ("size" | "on-disk" | "cluster", value) => {
                    let bytes = value.as_u64().unwrap_or(0);
                    match Size(bytes).to_string() {
                        size if size == bytes.to_string() => format!("{bytes} bytes"),
                        size => format!("{size} ({bytes} bytes)"),
                    }
                }
                (_, Json::Array(many)) => {
                    let many: Vec<_> = many.iter().filter_map(Json::as_str).collect();
                    many.join(", ")
                }
                (_, Json::String(word)) => word.clone(),
                (_, other) => other.to_string(),
            };
            // Writing into a string has no way to fail.
            let _ = match key.as_str() {
                "image" => writeln!(text, "{value}"),
                key => writeln!(text, "  {:14} {value}", key.replace('-', " ")),
            };
        }
    }
    Ok(text)
}

fn check(images: &[String]) -> Result<(String, bool)> {
    let (mut text, mut good) = (String::new(), true);
    for image in images {
        let (path, mode) = named(image)?;
        let opened = DiskImage::open(&path, mode);
        let file = File::open(&path).with_context(|| shown(&path))?;
        let raw = mode.format == Some(Format::Raw)
            || opened.as_ref().is_ok_and(|o| o.format() == Format::Raw);
        if raw {
            let bytes = opened.with_context(|| shown(&path))?.bytes();
            text += &format!("{}: ok, raw, {}\n", shown(&path), Size(bytes));
            continue;
        }
        // A machine that writes it would have it change meanwhile.
        if let Err(e) = &opened
            && e.kind() == ErrorKind::ResourceBusy
        {
            bail!("{}: {e}", shown(&path));
        }
        let mut bar = Bar::new("checking");
        let found = block::check(&file, &mut |done, of| bar.at(done, of));
        drop(bar);
        let found = found.with_context(|| shown(&path))?;
        for line in &found.lines {
            text += &format!("{}: {line}\n", shown(&path));
        }
        let verdict = match (found.errors, found.leaks) {
            (0, 0) => "ok".to_owned(),
            (0, leaks) => format!("{leaks} clusters are lost, which costs room alone"),
            (errors, 0) => format!("{errors} errors"),
            (errors, leaks) => format!("{errors} errors, and {leaks} clusters are lost"),
        };
        let unchecked = found
            .unchecked
            .map_or(String::new(), |what| format!("; {what} were not looked at"));
        text += &format!("{}: {verdict}{unchecked}\n", shown(&path));
        if let (0, Err(e)) = (found.errors, &opened) {
            text += &format!("{}: {e}\n", shown(&path));
            good = false;
        }
        good &= found.errors == 0 && found.leaks == 0;
    }
    Ok((text, good))
}

fn convert(from: &str, to: &Path, format: Option<Format>, force: bool) -> Result<String> {
    let (path, mode) = named(from)?;
    let image = open(&path, mode)?;
    if to
        .canonicalize()
        .is_ok_and(|to| path.canonicalize().is_ok_and(|from| from == to))
    {
        bail!("{}: it cannot become itself", shown(to));
    }
    let shape = Shape {
        format: format_of(to, format),
        bytes: image.bytes(),
        backing: None,
    };
    let mut bar = Bar::new("converting");
    let copied = put(to, force, |file| {
        let mut made = shape.make(file)?;
        block::copy(&image, &mut made, &mut |done, of| bar.at(done, of))
    })?;
    drop(bar);
    Ok(format!(
        "{}: {}, {}, {copied} bytes of it not zero\n",
        shown(to),
        shape.format,
        Size(shape.bytes),
    ))
}

fn commit(text: &str) -> Result<String> {
    let (path, mode) = named(text)?;
    if mode.format == Some(Format::Raw) {
        bail!("{}: a raw image lies on no other", shown(&path));
    }
    let mut bar = Bar::new("committing");
    let done = block::commit(&path, mode.any_backing, &mut |done, of| bar.at(done, of));
    drop(bar);
    let done = done.with_context(|| shown(&path))?;
    // Only now, with all of it where it lies, is the overlay's own content given up.
    replace::put(&path, true, |file| done.empty.make(file)?.flush())
        .with_context(|| shown(&path))?;
    Ok(format!(
        "{}: has {} bytes more of {}, which is empty now\n",
        shown(&done.below),
        done.bytes,
        shown(&path)
    ))
}

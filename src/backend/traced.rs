//! Where traces go: a file, as text or JSON, or standard error.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde_json::{Map, Value};

use super::say;
use crate::machine::{Field, Keep, Record};
use crate::visible::{shown, visible};

/// What writes records to a file, which is made anew for its owner alone, a line each: in JSON if its name ends with `.json` or
/// `.jsonl`. Without a file they go to standard error.
///
/// # Errors
/// The file cannot be made.
pub fn traced(path: Option<&Path>) -> io::Result<Keep> {
    let Some(path) = path else {
        return Ok(Box::new(|record| say(&visible(&text(record)))));
    };
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file: Option<BufWriter<File>> = Some(BufWriter::new(options.open(path)?));
    let json = path
        .extension()
        .is_some_and(|e| e == "json" || e == "jsonl");
    let name = shown(path);
    Ok(Box::new(move |record| {
        let line = if json { in_json(record) } else { text(record) };
        let written = file.as_mut().map(|file| file.write_all(line.as_bytes()));
        if let Some(Err(e)) = written {
            tracing::warn!("the trace ends here: cannot write {name}: {e}");
            file = None;
        }
    }))
}

fn text(record: &Record<'_>) -> String {
    let mut line = format!("{} {}", record.ns, record.point);
    for (name, value) in &record.fields {
        line += &format!(" {name}={value}");
    }
    line.push('\n');
    line
}

fn in_json(record: &Record<'_>) -> String {
    let mut line = Map::new();
    line.insert("ns".to_owned(), record.ns.into());
    line.insert("point".to_owned(), record.point.into());
    for (name, value) in &record.fields {
        let value = match value {
            Field::Count(number) | Field::Number(number) => Value::from(*number),
            Field::Text(text) => Value::from(*text),
        };
        line.insert((*name).to_owned(), value);
    }
    format!("{}\n", Value::Object(line))
}

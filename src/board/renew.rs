//! Names that were other ones: read as what they are called now, and reported with the edit that mends them.

use super::format::KEYS;
use super::parse;
use super::tree::{Table, Value};
use crate::diagnostics::{Fix, Problem, Report, Sources};
use crate::registry::{self, Entry};
use crate::toml;

/// The edits that a text needs to have the names of now.
///
/// # Errors
/// The text is not TOML.
pub fn fixes(name: &str, text: &str) -> Result<Vec<Fix>, Report> {
    let mut sources = Sources::default();
    let file = sources.add(name, text);
    let mut problems = Vec::new();
    let mut tree = parse::parse(file, text, &mut problems);
    if !problems.is_empty() {
        return Err(Report::new(sources, problems));
    }
    renew(&mut tree, &mut problems);
    match problems.iter().any(|problem| problem.fix.is_none()) {
        true => Err(Report::new(sources, problems)),
        false => Ok(problems
            .into_iter()
            .filter_map(|p| p.fix)
            .map(|fix| *fix)
            .collect()),
    }
}

/// A text after edits that do not touch one another.
pub fn apply(text: &str, fixes: &[Fix]) -> String {
    let mut fixes: Vec<_> = fixes.iter().collect();
    fixes.sort_by_key(|fix| fix.span.start);
    let (mut out, mut done) = (String::new(), 0);
    for fix in fixes {
        out.push_str(&text[done..fix.span.start]);
        out.push_str(&fix.replacement);
        done = fix.span.end;
    }
    out.push_str(&text[done..]);
    out
}

/// Puts the names of now in the place of deprecated ones.
pub fn renew(tree: &mut Table, problems: &mut Vec<Problem>) {
    for (section, entry) in tree {
        let Some(table) = entry.node.as_table_mut() else {
            continue;
        };
        match section.as_str() {
            "defaults" => types(table, problems),
            "dev" => devices(table, problems),
            "chip" => chips(table, problems),
            _ => {}
        }
    }
}

fn chips(chips: &mut Table, problems: &mut Vec<Problem>) {
    for chip in chips.values_mut() {
        if let Some(chip) = chip.node.as_table_mut() {
            renew(chip, problems);
        }
    }
}

fn devices(devices: &mut Table, problems: &mut Vec<Problem>) {
    for device in devices.values_mut() {
        if let Some(device) = device.node.as_table_mut() {
            types(device, problems);
        }
    }
}

/// The keys of a table that are types, and the properties in theirs.
fn types(table: &mut Table, problems: &mut Vec<Problem>) {
    let names: Vec<_> = table
        .keys()
        .filter(|key| !KEYS.contains(&key.as_str()))
        .cloned()
        .collect();
    for mut name in names {
        if let Some(now) = registry::renamed(&name) {
            rename(table, &name, now.name, "type", problems);
            now.name.clone_into(&mut name);
        }
        if let (Some(kind), Some(entry)) = (registry::find(&name), table.get_mut(&name))
            && let Value::Table(properties) = &mut entry.node.value
        {
            self::properties(kind, properties, problems);
        }
    }
}

fn properties(kind: &Entry, table: &mut Table, problems: &mut Vec<Problem>) {
    for (old, now) in kind.old_properties {
        rename(table, old, now, "property", problems);
    }
}

fn rename(table: &mut Table, old: &str, now: &str, what: &str, problems: &mut Vec<Problem>) {
    let Some(entry) = table.get(old) else { return };
    let span = entry.key;
    if let Some(other) = table.get(now) {
        problems.push(
            Problem::error("renamed-twice", format!("`{old}` is the {what} `{now}`"))
                .at(span, "its old name")
                .at(other.key, "its name"),
        );
        table.remove(old);
        return;
    }
    let mut problem = Problem::warning(
        "deprecated",
        format!("the {what} `{old}` is called `{now}` now"),
    )
    .at(span, "its old name")
    .help(format!(
        "write `{now}`; `solderless fix` does it in all of a file"
    ));
    problem.fix = Some(Box::new(Fix {
        span,
        replacement: toml::path([now]),
    }));
    problems.push(problem);
    if let Some(entry) = table.remove(old) {
        table.insert(now.to_owned(), entry);
    }
}

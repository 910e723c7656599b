//! What differs between a board and its lock, and between two boards in the eyes of a guest.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use super::{Lock, LockError, lock};
use crate::board::locked::{Locked, unset_as_null};
use crate::board::parse;
use crate::board::tree::{self, Node, Table, Value};
use crate::compose::schema::Kind;
use crate::compose::{self, Checked, Loaded, Options};
use crate::diagnostics::{Problem, Report, Sources, Span};
use crate::plan::diff::Diff;
use crate::toml;

/// The tables of a lock that say how it came about, not what the board is.
const ABOUT: [&str; 2] = ["from", "defaults"];

/// Checks a file as [`compose::check`], and holds a board to its lock if nothing is laid over it.
pub fn check(name: &str, options: &Options) -> Checked {
    let mut found = compose::check(name, options);
    let plain = found.kind == Kind::Board && !options.lay_over();
    let Some(loaded) = found.loaded.as_mut().filter(|_| plain) else {
        return found;
    };
    std::mem::swap(&mut loaded.report, &mut found.report);
    let problems = match &loaded.lock {
        Some(held) if held.own => differences(loaded).unwrap_or_else(|e| {
            let message = format!("`{}` cannot be looked at: {}", e.device, e.reason);
            vec![Problem::error("lock-differs", message)]
        }),
        _ => unlocked(loaded).into_iter().collect(),
    };
    std::mem::swap(&mut loaded.report, &mut found.report);
    let Report {
        sources,
        problems: known,
    } = found.report;
    found.report = Report::new(sources, [known, problems].concat());
    found
}

/// A board with a version that nothing holds to what it was.
fn unlocked(loaded: &Loaded) -> Option<Problem> {
    let version = loaded.plan.version.as_deref()?;
    let at = tree::get(&loaded.board.root, &["board", "version"])?.span;
    let message = format!("{}@{version} has no lock", loaded.plan.name);
    let help = "`solderless lock` writes one: without it, what the board is depends on the program";
    Some(
        Problem::warning("no-lock", message)
            .at(at, "a version is there to stay")
            .help(help),
    )
}

/// A value of a lock and where it stands.
struct Held {
    value: Json,
    key: Span,
    span: Span,
}

type Path = Vec<String>;

/// What differs between a board and its lock, as mistakes of the board.
///
/// # Errors
/// A device cannot be looked at.
pub fn differences(loaded: &Loaded) -> Result<Vec<Problem>, LockError> {
    let Some(held) = &loaded.lock else {
        return Ok(Vec::new());
    };
    let now = lock(loaded)?;
    // A board that is what it was is so to the letter.
    let text = loaded.report.sources.text(held.whole.file);
    if without_from(&now.to_string()) == without_from(&text) {
        return Ok(Vec::new());
    }
    let mut problems = Vec::new();
    let held = &held.with_all(&text, &mut problems);
    if !problems.is_empty() {
        return Ok(problems);
    }
    let now = leaves(&now);
    let mut was = BTreeMap::new();
    holds(&held.tree, &mut Vec::new(), &mut was);
    was.retain(|path, _| !is_about(path));
    let mut whole = BTreeSet::new();
    let mut otherwise = BTreeSet::new();
    let other = now
        .iter()
        .filter(|(path, value)| was.get(*path).is_none_or(|held| held.value != **value));
    let gone = was.keys().filter(|path| !now.contains_key(*path));
    let paths: BTreeSet<&Path> = other.map(|(path, _)| path).chain(gone).collect();
    for path in paths {
        let (now_here, was_here) = (now.get(path), was.get(path));
        // Of a device that is there on one side only, that is said once.
        if let [section, device, ..] = &path[..]
            && section == "dev"
        {
            let has = |there: bool| there.then_some(());
            let root = [section.clone(), device.clone(), "type".to_owned()].to_vec();
            let sides = (has(now.contains_key(&root)), has(was.contains_key(&root)));
            if sides != (Some(()), Some(())) {
                if whole.insert(device.clone()) {
                    problems.push(of_device(loaded, held, device, was.get(&root)));
                }
                continue;
            }
        }
        // Nor is what follows from it: its lines, and what it saves.
        let follows = matches!(&path[..], [table, name] if ["lines", "layout"].contains(&table.as_str())
        && whole.iter().any(|device| {
            let rest = name.strip_prefix(device.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        }));
        // What a guest finds in a device comes of its properties.
        let comes_of = match &path[..] {
            [_, device, table, _] if table == "properties" => {
                otherwise.insert(device);
                false
            }
            [_, device, table, _] => table == "reset" && otherwise.contains(device),
            _ => false,
        };
        if !follows && !comes_of {
            problems.push(of_value(loaded, held, path, now_here, was_here));
        }
    }
    Ok(problems)
}

/// A lock's text before and behind the table `[from]`.
fn without_from(text: &str) -> (&str, &str) {
    let (before, rest) = text.split_once("\n[from]\n").unwrap_or((text, ""));
    (before, rest.split_once("\n\n").map_or("", |(_, rest)| rest))
}

fn is_about(path: &Path) -> bool {
    let first = path.first().map_or("", String::as_str);
    ABOUT.contains(&first) || path[..] == ["lock", "format"]
}

/// The values of a lock, by path.
fn leaves(lock: &Lock) -> BTreeMap<Path, Json> {
    fn add(path: Path, value: &Json, out: &mut BTreeMap<Path, Json>) {
        match value {
            Json::Object(table) => {
                for (name, value) in table {
                    add([&path[..], std::slice::from_ref(name)].concat(), value, out);
                }
            }
            value => {
                out.insert(path, value.clone());
            }
        }
    }
    let mut all = BTreeMap::new();
    for (path, values) in &lock.tables {
        for (name, value) in values {
            add(
                [&path[..], std::slice::from_ref(name)].concat(),
                value,
                &mut all,
            );
        }
    }
    all.retain(|path, _| !is_about(path));
    all
}

fn holds(table: &Table, path: &mut Path, out: &mut BTreeMap<Path, Held>) {
    for (name, entry) in table {
        path.push(name.clone());
        match &entry.node.value {
            Value::Table(inner) if !inner.is_empty() => holds(inner, path, out),
            _ => {
                let held = Held {
                    value: unset_as_null(entry.node.to_json()),
                    key: entry.key,
                    span: entry.node.span,
                };
                out.insert(path.clone(), held);
            }
        }
        path.pop();
    }
}

fn shown(value: Option<&Json>) -> String {
    match value {
        None => "nothing".to_owned(),
        Some(Json::Null) => "not set".to_owned(),
        Some(value) => toml::json(value),
    }
}

/// Where the board says something of a device.
fn place(loaded: &Loaded, device: &str) -> Option<Span> {
    Some(tree::get(&loaded.board.root, &["dev", device])?.span)
}

fn of_device(loaded: &Loaded, lock: &Locked, device: &str, was: Option<&Held>) -> Problem {
    let keys = toml::path(loaded.board.keys_of(device));
    match was {
        Some(held) => {
            let message = format!("`{device}` is gone");
            let problem = Problem::error("lock-differs", message);
            problem.at(held.span, format!("{} has it", lock.name))
        }
        None => {
            let message = format!("`{device}` is new");
            let problem = Problem::error("lock-differs", message);
            let problem = problem.at(place(loaded, device).unwrap_or(lock.whole), "");
            let help = format!(
                "{} does not have it: `delete = [\"{keys}\"]` in [board] takes it away",
                lock.name
            );
            problem.help(help)
        }
    }
}

fn of_value(
    loaded: &Loaded,
    lock: &Locked,
    path: &Path,
    now: Option<&Json>,
    was: Option<&Held>,
) -> Problem {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let old = shown(was.map(|held| &held.value));
    let (what, layer, help) = match path[..] {
        ["dev", device, "properties", property] => {
            let planned = loaded.plan.devices.iter().find(|d| d.path == device);
            let kind = planned.map_or("", |d| d.entry.name);
            let own = toml::path(loaded.board.keys_of(device).into_iter().chain([kind]));
            let says = |path: &[&str]| tree::get(&loaded.board.root, path).map(|node| node.span);
            let layer = says(&["dev", device, kind, property]);
            let layer = layer.or_else(|| says(&["defaults", kind, property]));
            let help = match was {
                Some(_) => format!("this pins it: [{own}] {} = {old}", toml::key(property)),
                None => "a property that came later says what it was before: #[prop(since = N, before = …)]".to_owned(),
            };
            (format!("`{device}.{property}`"), layer, help)
        }
        ["dev", device, "reset", register] => {
            let help = "a constant of a model that a guest can tell is not changed, but becomes a property with a history: \
                        #[prop(since = N, before = …)]";
            let what = format!("`{register}` of `{device}` after a reset");
            (what, None, help.to_owned())
        }
        ["dev", device, ref rest @ ..] => {
            let what = format!("`{}` of `{device}`", rest.join("."));
            let help =
                "what the board says otherwise has to be said in its own file as the lock has it";
            (what, place(loaded, device), help.to_owned())
        }
        ["layout", section] => {
            let help = "a field that is new says so: #[state(since = N, default = …)]; one that streams have stays";
            (format!("what `{section}` saves"), None, help.to_owned())
        }
        _ => {
            let help =
                "what the board says otherwise has to be said in its own file as the lock has it";
            let node = tree::get(&loaded.board.root, &path).map(|node: &Node| node.span);
            (
                format!("`{}`", toml::path(path.iter().copied())),
                node,
                help.to_owned(),
            )
        }
    };
    let message = match (now, was) {
        // Lists are compared line by line.
        (
            Some(Json::Array(now)),
            Some(Held {
                value: Json::Array(was),
                ..
            }),
        ) => {
            let only = |a: &[Json], b: &[Json], mark: char| {
                let lines = a.iter().filter(|line| !b.contains(line));
                lines
                    .map(|line| {
                        format!(
                            "\n{mark} {}",
                            line.as_str()
                                .map_or_else(|| toml::json(line), str::to_owned)
                        )
                    })
                    .collect::<String>()
            };
            let (gone, new) = (only(was, now, '-'), only(now, was, '+'));
            format!("{what} is not as it was:{gone}{new}")
        }
        _ => format!("{what} is {}, and was {old}", shown(now)),
    };
    let problem = Problem::error("lock-differs", message);
    let problem = match was {
        Some(held) => problem.at(held.key, format!("{} has it so", lock.name)),
        None => {
            let table = (1..path.len())
                .rev()
                .find_map(|len| tree::get(&lock.tree, &path[..len]));
            problem.at(
                table.map_or(lock.whole, |node| node.span),
                format!("{} does not have it", lock.name),
            )
        }
    };
    problem.at_some(layer, "this says otherwise").help(help)
}

/// What differs between two boards in the eyes of a guest: devices with their places, properties and what is in them after a
/// reset, lines, what a kernel is started with, and what the program has to be able to do.
pub fn guest(first: &Lock, second: &Lock) -> Diff {
    Diff::new(facts(leaves(first)), facts(leaves(second)))
}

/// What differs between the text of a lock and a lock made now: what a guest sees, then the rest by name.
pub fn changes(was: &str, now: &Lock) -> String {
    let mut held = BTreeMap::new();
    let file = Sources::default().add("", "");
    holds(
        &parse::parse(file, was, &mut Vec::new()),
        &mut Vec::new(),
        &mut held,
    );
    held.retain(|path, _| !is_about(path));
    let was: BTreeMap<_, _> = held
        .into_iter()
        .map(|(path, held)| (path, held.value))
        .collect();
    let now = leaves(now);
    let rest = |path: &&Path| match path.first().map(String::as_str) {
        Some("layout" | "slot" | "param") => true,
        Some("lock") => path[1] != "needs",
        Some("dev") => path.get(2).is_some_and(|key| key == "backend"),
        _ => false,
    };
    let paths: BTreeSet<_> = was.keys().chain(now.keys()).filter(rest).collect();
    let mut text = String::new();
    for path in paths
        .into_iter()
        .filter(|path| was.get(*path) != now.get(*path))
    {
        text += &format!(
            "  {} has changed\n",
            toml::path(path.iter().map(String::as_str))
        );
    }
    format!("{}{text}", Diff::new(facts(was), facts(now)))
}

fn facts(leaves: BTreeMap<Path, Json>) -> BTreeMap<(u8, String), BTreeMap<(u8, String), String>> {
    let mut things: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    for (path, value) in leaves {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let (thing, order, name) = match path[..] {
            ["lock", "needs"] => ((0, "features".to_owned()), 0, String::new()),
            ["dev", _, "backend", ..] => continue,
            ["dev", device, "properties", property] => {
                ((1, format!("device {device}")), 2, property.to_owned())
            }
            ["dev", device, "reset", name] => {
                ((1, format!("device {device}")), 4, format!("reset {name}"))
            }
            ["dev", device, name] => {
                let order = if ["windows", "regions"].contains(&name) {
                    3
                } else {
                    u8::from(name != "type")
                };
                ((1, format!("device {device}")), order, name.to_owned())
            }
            ["lines", driver] => ((2, "lines".to_owned()), 0, driver.to_owned()),
            ["boot", name] => ((3, "boot".to_owned()), 0, name.to_owned()),
            _ => continue,
        };
        let facts = things.entry(thing).or_default();
        match (&value, order, &name[..]) {
            // Each item is a fact.
            (Json::Array(items), _, _) => {
                for (n, item) in items.iter().enumerate() {
                    let item = item
                        .as_str()
                        .map_or_else(|| toml::json(item), str::to_owned);
                    let fact = match path[0] {
                        "lines" => format!("{name} → {item}"),
                        "boot" => format!("{name} {n:02}: {item}"),
                        "lock" => item,
                        _ if path[path.len() - 1] == "parts" => format!("part {item}"),
                        _ if ["windows", "regions"].contains(&path[path.len() - 1]) => item,
                        _ => format!("{name}[{n}]: {item}"),
                    };
                    facts.insert((order, fact), String::new());
                }
            }
            (value, ..) => {
                let text = match value {
                    Json::Null => "none".to_owned(),
                    value => toml::json(value),
                };
                facts.insert((order, name), text);
            }
        }
    }
    things
}

//! The schemas as editors use them: the language servers taplo and tombi, run over good and bad boards, against what
//! `solderless check` says. `.ci/schema-tools` installs them; without them only CI fails.

mod server;
mod tool;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use server::Server;
use solderless::compose::{self, Options};
use solderless::diagnostics::Severity;
use solderless::registry::TYPES;
use tool::Tool;

/// What a schema can see of the mistakes of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// All of them.
    All,
    /// Some: docs/board-format.md says which.
    Some,
    /// None: the mistake is one of the whole board.
    None,
}

/// The kinds of mistakes; docs/board-format.md has the same list in words.
const CODES: &[(&str, Seen)] = &[
    ("address-taken", Seen::None),
    ("ambiguous-device", Seen::None),
    ("bad-address", Seen::None),
    ("bad-name", Seen::None),
    ("bad-path", Seen::None),
    ("bad-pin", Seen::None),
    ("bad-port", Seen::Some),
    ("bad-value", Seen::Some),
    ("bus-cycle", Seen::None),
    ("chip-cycle", Seen::None),
    ("clash", Seen::None),
    ("deleted", Seen::None),
    ("driven-twice", Seen::None),
    ("extends-cycle", Seen::None),
    ("line-count", Seen::None),
    ("misaligned", Seen::None),
    ("missing-key", Seen::Some),
    ("no-address", Seen::None),
    ("no-pin", Seen::None),
    ("no-place", Seen::None),
    ("no-reason", Seen::Some),
    ("no-type", Seen::None),
    ("not-a-value", Seen::None),
    ("nothing-to-delete", Seen::None),
    ("out-of-range", Seen::None),
    ("outside-bus", Seen::None),
    ("overlap", Seen::None),
    ("param-not-set", Seen::None),
    ("part-not-built", Seen::None),
    ("partial-param", Seen::Some),
    ("pin-out-of-range", Seen::None),
    ("renamed-twice", Seen::None),
    ("slot-taken", Seen::None),
    ("syntax", Seen::Some),
    ("too-many-devices", Seen::None),
    ("too-much-memory", Seen::None),
    ("two-buses", Seen::None),
    ("two-devices", Seen::None),
    ("two-types", Seen::None),
    ("undeclared-device", Seen::None),
    ("unknown-backend", Seen::None),
    ("unknown-board", Seen::None),
    ("unknown-bus", Seen::None),
    ("unknown-chip", Seen::None),
    ("unknown-device", Seen::None),
    ("unknown-key", Seen::All),
    ("unknown-lint", Seen::All),
    ("unknown-param", Seen::None),
    ("unknown-pin", Seen::None),
    ("unknown-port", Seen::None),
    ("unknown-region", Seen::None),
    ("unknown-slot", Seen::None),
    ("unknown-type", Seen::All),
    ("unreadable", Seen::None),
    ("untrusted", Seen::None),
    ("wrong-bus", Seen::None),
    ("wrong-device", Seen::None),
    ("wrong-kind", Seen::Some),
    ("wrong-slot", Seen::None),
    ("wrong-version", Seen::None),
];

fn seen(code: &str) -> Seen {
    let found = CODES.iter().find(|(name, _)| *name == code);
    found
        .unwrap_or_else(|| {
            panic!("say in CODES what a schema can see of `{code}`, and in docs/board-format.md")
        })
        .1
}

/// The TOML files of a folder and the folders within, in order.
fn files(folder: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.extension() {
                _ if path.is_dir() => folders.push(path),
                Some(extension) if extension == "toml" => files.push(path),
                _ => {}
            }
        }
    }
    files.sort();
    files
}

/// A folder within the checkout, so that the schemas have a path from there.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        fs::create_dir_all("target").unwrap();
        Self(tempfile::tempdir_in("target").unwrap())
    }

    /// Writes a text whose first line names its schema: the one that the text names itself, else that of boards, which is
    /// then a line more.
    fn write(&self, name: &str, text: &str) -> PathBuf {
        let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
        let (schema, body) = match first.strip_prefix("#:schema ") {
            Some(path) => (path.rsplit('/').next().unwrap(), rest),
            None => ("board.schema.json", text),
        };
        let path = self.0.path().join(name);
        fs::write(&path, format!("#:schema ../../schemas/{schema}\n{body}")).unwrap();
        fs::canonicalize(path).unwrap()
    }
}

/// A mistake: its kind, and the line that it is in.
type Mistake = (&'static str, usize);

/// The mistakes of a board, by the text that they are in.
fn mistakes(path: &Path, text: &str) -> BTreeMap<String, Vec<Mistake>> {
    let report = match compose::load_as(path, text, &Options::default()) {
        Ok((_, warnings)) => warnings,
        Err(problems) => problems,
    };
    let mut mistakes: BTreeMap<String, Vec<Mistake>> = BTreeMap::new();
    for problem in report
        .problems
        .iter()
        .filter(|problem| problem.severity == Severity::Error)
    {
        let (name, line) = match problem.labels.first() {
            Some(label) => (
                report.sources.name(label.span.file).to_owned(),
                report.sources.line(label.span),
            ),
            None => (path.display().to_string(), 0),
        };
        mistakes.entry(name).or_default().push((problem.code, line));
    }
    mistakes
}

#[test]
fn every_board_is_accepted() {
    let Some(tools) = Tool::installed() else {
        return;
    };
    for tool in tools {
        let found = tool.run(&[files("machines"), files("tests/boards/good")].concat());
        assert!(found.is_empty(), "{tool:?}: {found:?}");
    }
}

#[test]
fn the_schema_that_a_board_names_is_used() {
    let Some(tools) = Tool::installed() else {
        return;
    };
    let folder = Folder::new();
    let wrong = folder.write(
        "wrong.toml",
        "[board]\nname = \"wrong\"\nsumary = \"a wrong key\"\n",
    );
    let unnamed = folder.0.path().join("unnamed.toml");
    fs::write(
        &unnamed,
        fs::read_to_string(&wrong)
            .unwrap()
            .replace("#:schema", "# schema"),
    )
    .unwrap();
    for tool in tools {
        let found = tool.run(&[wrong.clone(), unnamed.clone()]);
        assert_eq!(found.keys().collect::<Vec<_>>(), [&wrong], "{tool:?}");
        assert!(found[&wrong].contains(&4), "{tool:?}: {found:?}");
    }
}

#[test]
fn bad_boards_are_rejected_where_a_schema_can_see_it() {
    // The mistakes in each file: of a board, or of a chip on one.
    let mut bad: BTreeMap<PathBuf, BTreeSet<Mistake>> = BTreeMap::new();
    for path in files("tests/boards/errors") {
        if path
            .parent()
            .is_some_and(|folder| folder.ends_with("errors"))
        {
            for (name, mistakes) in mistakes(&path, &fs::read_to_string(&path).unwrap()) {
                bad.entry(name.into()).or_default().extend(mistakes);
            }
        }
    }
    // What is on the command line is in no file.
    bad.retain(|path, _| path.exists());
    // Whoever adds a kind of mistake learns here, tools or no tools, that it has to be in the list.
    bad.values().flatten().for_each(|(code, _)| _ = seen(code));
    let Some(tools) = Tool::installed() else {
        return;
    };
    let folder = Folder::new();
    let bad: Vec<_> = bad.into_iter().enumerate().collect();
    let texts: Vec<_> = bad
        .iter()
        .map(|(_, (path, _))| fs::read_to_string(path).unwrap())
        .collect();
    let copies: Vec<_> = texts
        .iter()
        .enumerate()
        .map(|(n, text)| folder.write(&format!("{n}.toml"), text))
        .collect();
    let found = tools.map(|tool| (tool, tool.run(&copies)));
    let mut wrong = Vec::new();
    for (n, (path, mistakes)) in bad {
        let shift = usize::from(!texts[n].starts_with("#:schema "));
        let path = path.display();
        for (tool, found) in &found {
            let none = BTreeSet::new();
            let lines = found.get(&copies[n]).unwrap_or(&none);
            for (code, line) in &mistakes {
                let there = lines.contains(&(line + shift));
                let alone = !mistakes
                    .iter()
                    .any(|(other, at)| at == line && seen(other) != Seen::None);
                match seen(code) {
                    Seen::All if !there => {
                        wrong.push(format!("{tool:?} does not see {code} at {path}:{line}"))
                    }
                    // Where a table has a wrong key, taplo points at all of it.
                    Seen::None if there && alone && *tool == Tool::Tombi => {
                        wrong.push(format!("{tool:?} sees {code} at {path}:{line}"));
                    }
                    _ => {}
                }
            }
            if !lines.is_empty() && mistakes.iter().all(|(code, _)| seen(code) == Seen::None) {
                wrong.push(format!("{tool:?} rejects {path}: {lines:?}"));
            }
        }
        let [taplo, tombi] = found
            .each_ref()
            .map(|(_, found)| found.contains_key(&copies[n]));
        if taplo != tombi {
            wrong.push(format!("one of taplo and tombi rejects {path}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A board's text, every time with one thing wrong: a key or a type's name misspelled, or a value of another kind.
fn mistaken(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let with = |at: usize, line: String| {
        let mut lines = lines.clone();
        lines[at] = &line;
        lines.join("\n") + "\n"
    };
    let mut mistakes = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let value = ["42", "-1", "\"text\"", "true", "{}", "[]", "1.5"][at % 7];
        if let Some(header) = line.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            mistakes.push(with(
                at,
                format!("[{}x]{}", header.0.trim_end_matches('"'), header.1),
            ));
        } else if let Some((key, _)) = line
            .split_once(" = ")
            .filter(|(key, _)| !key.starts_with(['#', ' ']))
        {
            mistakes.push(with(at, line.replacen(key, &format!("{key}x"), 1)));
            if !line.ends_with('[') {
                mistakes.push(with(at, format!("{key} = {value}")));
            }
        }
    }
    mistakes
}

#[test]
fn no_tool_rejects_what_is_a_board() {
    let Some(tools) = Tool::installed() else {
        return;
    };
    let folder = Folder::new();
    let path = Path::new("machines/malta.toml");
    let texts = mistaken(&fs::read_to_string(path).unwrap());
    assert!(texts.len() > 100, "too few mistakes");
    let copies: Vec<_> = texts
        .iter()
        .enumerate()
        .map(|(n, text)| folder.write(&format!("{n}.toml"), text))
        .collect();
    let found = tools.map(|tool| (tool, tool.run(&copies)));
    let mut wrong = Vec::new();
    for (copy, text) in copies.iter().zip(&texts) {
        let mistakes = mistakes(path, text);
        let must = mistakes
            .values()
            .flatten()
            .any(|(code, _)| seen(code) == Seen::All);
        for (tool, found) in &found {
            let rejected = found.contains_key(copy);
            if rejected && mistakes.is_empty() || !rejected && must {
                wrong.push(format!(
                    "{tool:?} rejects it: {rejected}; check finds {mistakes:?}\n{text}"
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} are wrong: {}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// Tombi as an editor starts it. Taplo's packages come without its server.
fn server(folder: &Folder, name: &str, text: &str) -> Server {
    let mut command = Command::new(Tool::Tombi.path());
    command.args(["lsp", "--offline"]);
    let path = folder.write(name, text);
    Server::start(command, &path, &fs::read_to_string(&path).unwrap())
}

#[test]
fn an_editor_underlines_completes_and_explains() {
    if Tool::installed().is_none() {
        return;
    }
    let folder = Folder::new();
    let text = "[board]\nname = \"wrong\"\n[dev.uart]\nat = \"sys:0x1f000900\"\n[dev.uart.serial-mm]\nbaud = 3\nregshift = 4\n";
    let wrong = server(&folder, "wrong.toml", text);
    let lines: Vec<_> = wrong.underlined.iter().map(|(line, _)| *line).collect();
    assert!(
        lines.contains(&7) && lines.contains(&8),
        "{:?}",
        wrong.underlined
    );

    let text = "[board]\nname = \"edited\"\n[dev.uart]\nat = \"sys:0x1f000900\"\n[dev.uart.serial-mm]\nregshift = 3\n\
        baud\nendianness = \"\"\n[dev.other.]\n[defaults.]\n";
    let mut server = server(&folder, "edited.toml", text);
    for entry in TYPES {
        let (_, words) = offered(&mut server, "[dev.other.", entry.name);
        assert!(words.contains(entry.summary), "{}: {words}", entry.name);
    }
    let (_, words) = offered(&mut server, "[dev.other.", "irq");
    assert!(words.contains("output"), "{words}");
    let (_, words) = offered(&mut server, "\nbaud", "baudbase");
    assert!(
        words.contains("Baud rate at divisor 1") && words.contains("399193"),
        "{words}"
    );
    offered(&mut server, "endianness = \"", "\"little\"");
    offered(&mut server, "endianness = \"", "\"big\"");
    offered(&mut server, "[defaults.", "PIIX4_PM");

    for (before, expected) in [
        ("regsh", "Registers are 1 << regshift bytes apart."),
        ("serial-m", "16550"),
        ("nam", "The board's name"),
        ("\nat", "Where it sits"),
    ] {
        let words = server.hover(before);
        assert!(words.contains(expected), "{before}: {words}");
    }
}

/// One of what a server offers.
fn offered(server: &mut Server, before: &str, label: &str) -> (String, String) {
    let items = server.complete(before);
    let labels: Vec<_> = items.iter().map(|(label, _)| label.clone()).collect();
    let found = items.into_iter().find(|(other, _)| other == label);
    found.unwrap_or_else(|| panic!("{label} is not offered after {before}, but {labels:?}"))
}

//! What can be said of a chip, an overlay or a run file by itself, without the board that it is for.

use std::path::Path;

use serde_json::Value as Json;

use super::load::{Found, Loader, find};
use super::schema::Kind;
use super::trust::Origin;
use super::{Loaded, Options, open, open_text, planned, resolve_found};
use crate::board::chips::{self, Chip};
use crate::board::decode::section;
use crate::board::format::{
    BootSection, ChipSection, JoinSection, OVERLAY_SECTIONS, OverlaySection, ParamSection,
    SlotSection,
};
use crate::board::params::{self, Whose};
use crate::board::tree::{Entry, Node, Table, Value};
use crate::board::{Board, gone, merge, parse, when};
use crate::diagnostics::{Problem, Report, Severity, Sources, Span};
use crate::graph::devices;
use crate::graph::lints;

/// What a file is, and what is wrong with it.
#[derive(Debug)]
pub struct Checked {
    /// The kind of file.
    pub kind: Kind,
    /// What came of it, if it is a good board, or a run file with one.
    pub loaded: Option<Loaded>,
    /// What is wrong with a file that is none, or not good.
    pub report: Report,
}

impl Checked {
    /// Whether nothing keeps it from being used.
    pub fn ok(&self) -> bool {
        !self.report.has_errors()
    }
}

/// What a board has the last word on: what a device lacks it can add, and it can do without a part that is not built.
const OPEN: [&str; 4] = ["no-address", "no-place", "no-type", "part-not-built"];

/// What two devices cannot have both. A board can keep them apart, as can a param that is not known.
pub const CLASHES: [&str; 4] = ["overlap", "address-taken", "driven-twice", "slot-taken"];

/// Checks a board by its name, or a file of any kind: each as far as it goes by itself.
pub fn check(name: &str, options: &Options) -> Checked {
    let found = match find(name, &Origin::of_user(options.trust)) {
        Ok(found) => found,
        Err(problem) => {
            return Checked {
                kind: Kind::Board,
                loaded: None,
                report: Report::new(Sources::default(), vec![problem]),
            };
        }
    };
    let tree = parse::parse(Sources::default().add("", ""), &found.text, &mut Vec::new());
    let kind = Kind::of(&tree).map_or(Kind::Board, |(kind, _)| kind);
    let mut loader = Loader::default();
    let loaded = match kind {
        Kind::Board => {
            let named = Some(name).filter(|name| name.contains('@') && !name.contains('/'));
            resolve_found(loader, found, named, options, None)
        }
        Kind::Run => return run(Path::new(name), options),
        Kind::Chip | Kind::Overlay if !options.overlays.is_empty() || !options.set.is_empty() => {
            let message = format!(
                "{name} is {}, and what lies over it is for boards",
                kind.about().0
            );
            let problem = Problem::error("wrong-kind", message).help(kind.about().1);
            Err(Report::new(loader.sources, vec![problem]))
        }
        Kind::Chip => {
            if let Some(chip) = loader.read_chip(found) {
                let mut problems = loader.alone(&chip);
                loader.problems.append(&mut problems);
            }
            Err(Report::new(loader.sources, loader.problems))
        }
        Kind::Overlay => {
            loader.alone_overlay(&found);
            Err(Report::new(loader.sources, loader.problems))
        }
    };
    checked(kind, loaded)
}

/// Checks a board given as text, as [`open_text`] has it.
pub fn check_text(name: &str, text: &str, options: &Options) -> Checked {
    checked(Kind::Board, open_text(name, text, options))
}

fn checked(kind: Kind, loaded: Result<Loaded, Report>) -> Checked {
    match loaded {
        Ok(mut loaded) => {
            let mut report = std::mem::take(&mut loaded.report);
            report = Report::new(
                report.sources,
                [report.problems, untrusted(&loaded)].concat(),
            );
            Checked {
                kind,
                loaded: Some(loaded),
                report,
            }
        }
        Err(report) => Checked {
            kind,
            loaded: None,
            report,
        },
    }
}

/// Warnings of what files plug in that `run` refuses without the user's word.
fn untrusted(loaded: &Loaded) -> Vec<Problem> {
    let slots = &loaded.plan.slots;
    let defaults = slots.iter().filter_map(|slot| loaded.default(slot).err());
    let backends = loaded.run.backends.iter().filter_map(|(name, text, at)| {
        let slot = slots.iter().find(|slot| slot.name == *name)?;
        loaded.backend(slot, text, *at).err()
    });
    let warning = |problem| Problem {
        severity: Severity::Warning,
        ..problem
    };
    defaults.chain(backends).map(warning).collect()
}

/// A run file with its board, if it names one.
fn run(path: &Path, options: &Options) -> Checked {
    let mut loader = Loader::default();
    let names_board = match loader.run_file(path, options.trust) {
        Ok(run) => run.board.is_some(),
        Err(problem) => {
            loader.problems.push(problem);
            false
        }
    };
    let loaded = if names_board {
        let run_file = Some(path.to_owned());
        open(
            None,
            &Options {
                run_file,
                ..options.clone()
            },
        )
    } else {
        Err(Report::new(loader.sources, loader.problems))
    };
    checked(Kind::Run, loaded)
}

impl Loader {
    /// What is wrong with a chip, wherever it is put: a param without a default has no value, and its place is not known.
    pub fn alone(&mut self, chip: &Chip) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut root = chip.tree.clone();
        root.remove("port");
        let name = root.remove("interface");
        let name = name.and_then(|mut entry| entry.node.as_table_mut()?.remove("name"));
        let text = |text: &str| Node::new(Value::Scalar(text.into()), chip.whole);
        let name = name.unwrap_or_else(|| Entry {
            key: chip.whole,
            node: text("chip"),
        });
        let header = Table::from([("name".to_owned(), name)]);
        root.insert(
            "board".to_owned(),
            Entry {
                key: chip.whole,
                node: Node::new(Value::Table(header), chip.whole),
            },
        );
        let params = params::decide(&root, &[], &Whose::Alone, &mut problems);
        let mut used = Default::default();
        let absent = when::settle(&mut root, &params, &mut used, &mut problems);
        params::substitute(&mut root, &params, None, &mut used, &mut problems);
        let unused = params::unused(&root, &used, "");
        let mut inner = Vec::new();
        let chips = chips::expand(&mut root, true, self, &mut inner, &mut problems);
        let open = params.values().any(Option::is_none);
        let board = Board {
            root,
            params,
            settings: Vec::new(),
            unused,
            chips,
            absent,
            gone: chip.gone.clone(),
            whole: chip.whole,
            ports: Some(chip.ports.clone()),
        };
        planned(&board, &mut problems);
        gone::gather(&mut problems, &self.sources);
        problems.retain(|problem| {
            let own = |span: Span| chip.files.contains(&span.file.index());
            let own = problem.labels.first().is_none_or(|label| own(label.span));
            let clash = open && CLASHES.contains(&problem.code);
            own && !clash && !OPEN.contains(&problem.code)
        });
        problems
    }

    /// What is wrong with an overlay whatever board it lies over.
    fn alone_overlay(&mut self, found: &Found) {
        let (_, mut root) = self.parse_as(found, Kind::Overlay);
        self.sections(&mut root, "an overlay", &OVERLAY_SECTIONS);
        if let Some(header) = root.get("overlay").cloned() {
            self.header::<OverlaySection>("[overlay]", &header);
        }
        merge::paths(super::load::list(&root, "overlay"), &mut self.problems);
        // A param is the board's to declare.
        root.values_mut().for_each(|entry| forget(&mut entry.node));
        let before = self.problems.len();
        for (key, decode) in PARTS {
            for (name, entry) in root
                .get(key)
                .and_then(|e| e.node.as_table())
                .into_iter()
                .flatten()
            {
                decode(&format!("{key}.{name}"), entry, &mut self.problems);
            }
        }
        if let Some(entry) = root.get("boot") {
            part::<BootSection>("[boot]", entry, &mut self.problems);
        }
        devices::alone(&root, &mut self.problems);
        lints::allowed(&root, &mut self.problems);
        // What lacks here stands on the board.
        let mut own = self.problems.split_off(before);
        own.retain(|problem| problem.code != "missing-key");
        own.retain(|problem| problem.severity == Severity::Error);
        self.problems.append(&mut own);
    }
}

type Part = fn(&str, &Entry, &mut Vec<Problem>);

/// The tables of an overlay that have tables of one form, and what decodes one of those.
const PARTS: [(&str, Part); 4] = [
    ("param", part::<ParamSection>),
    ("join", part::<JoinSection>),
    ("slot", part::<SlotSection>),
    ("chip", |what, entry, problems| {
        let Some(table) = entry.node.as_table() else {
            return part::<ChipSection>(what, entry, problems);
        };
        let plain = |key: &str| !chips::TABLES.contains(&key);
        let own = table.iter().filter(|(key, _)| plain(key));
        let own = own
            .map(|(key, entry)| (key.clone(), entry.clone()))
            .collect();
        let _: Option<ChipSection> = section(what, &own, entry.key, problems);
    }),
];

fn part<T: serde::de::DeserializeOwned + schemars::JsonSchema>(
    what: &str,
    entry: &Entry,
    problems: &mut Vec<Problem>,
) {
    match entry.node.as_table() {
        Some(table) => {
            let mut table = table.clone();
            table.remove("when");
            let _: Option<T> = section(what, &table, entry.key, problems);
        }
        None => problems.push(
            Problem::error("bad-value", format!("`{what}` is not a table")).at(
                entry.node.span,
                format!("expected a table, found {}", entry.node.kind()),
            ),
        ),
    }
}

/// Puts nothing in the place of a param's name.
fn forget(node: &mut Node) {
    match &mut node.value {
        Value::Scalar(Json::String(text)) if text.starts_with("${") && text.ends_with('}') => {
            node.value = Value::Scalar(Json::Null);
        }
        Value::Scalar(_) => {}
        Value::Array(items) => items.iter_mut().for_each(forget),
        Value::Table(table) => table.values_mut().for_each(|entry| forget(&mut entry.node)),
    }
}

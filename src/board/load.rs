//! From names to trees: finding the files of boards, chips, overlays and runs, reading them, and laying layer over layer.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::rc::Rc;

use super::chips::{self, Chip, Instances, Library};
use super::decode::section;
use super::format::{
    CHIP_SECTIONS, OVERLAY_SECTIONS, OverlaySection, RUN_SECTIONS, RunBootSection, RunSection,
};
use super::params::{Given, Setting};
use super::tree::{Entry, Node, Table};
use super::trust::Origin;
use super::{BUILT_IN, BUILT_IN_CHIPS, Options, merge, parse, renew, set};
use crate::diagnostics::{FileId, Problem, Severity, Sources, Span, suggest};
use crate::files;

/// A text to read.
pub struct Found {
    /// As shown in messages.
    pub name: String,
    /// What stands in it.
    pub text: String,
    /// Where it is from.
    pub origin: Origin,
}

/// What a run file says of the run.
#[derive(Debug, Clone, Default)]
pub struct RunFile {
    /// What is plugged into the board's slots: name, backend, and where it says so.
    pub backends: Vec<(String, String, Span)>,
    /// What is booted: a file as the run file names it, and where it does.
    pub firmware: Option<(String, Span)>,
    /// See [`RunFile::firmware`].
    pub kernel: Option<(String, Span)>,
    /// See [`RunFile::firmware`].
    pub initrd: Option<(String, Span)>,
    /// The kernel's command line.
    pub append: Option<String>,
}

/// The layers of a board, one laid over the other.
pub struct Layers {
    /// The tree.
    pub root: Table,
    /// The parameters that the run file and the command line set, the later stronger.
    pub settings: Vec<Setting>,
    /// Where the board's own text starts.
    pub whole: Span,
    /// What the run file says besides.
    pub run: RunFile,
}

/// Whether a name is that of a file.
fn is_path(name: &str) -> bool {
    name.contains('/') || name.ends_with(".toml")
}

/// The most bytes that a board's file, or one of those that it is made of, can have.
pub const MAX_BYTES: u64 = 64 << 20;

fn read(origin: Origin, path: &Path) -> Result<Found, Problem> {
    let bytes = files::read(path, MAX_BYTES).map_err(|e| {
        Problem::error("unreadable", format!("cannot read {}: {e}", path.display()))
    })?;
    let text = String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        Problem::error(
            "unreadable",
            format!("{} is not UTF-8 text (byte {at})", path.display()),
        )
    })?;
    Ok(Found {
        name: path.display().to_string(),
        text,
        origin,
    })
}

/// Reads a file that a text names.
fn read_named(name: &str, by: &Origin) -> Result<Found, Problem> {
    let path = by.file(Path::new(name))?;
    read(Origin::of_file(&path, by), &path)
}

/// Where a name that is no path is looked for first: in the folder of the file that says it, if there is such a file.
fn beside<'n>(by: &Origin, places: &'n [String]) -> Option<&'n String> {
    let folder = by.path.as_deref()?.parent()?;
    places.iter().find(|place| folder.join(place).is_file())
}

/// A board by its name, or by its path if that has a `/` or ends in `.toml`. `by` is who says so.
///
/// # Errors
/// There is no such board, or no such file.
pub fn find(board: &str, by: &Origin) -> Result<Found, Problem> {
    by.names("board")?;
    if is_path(board) {
        return read_named(board, by);
    }
    if let Some(file) = beside(by, &[format!("{board}.toml")]) {
        return read_named(file, by);
    }
    if let Some((name, text)) = BUILT_IN.iter().find(|(name, _)| *name == board) {
        return Ok(Found {
            name: format!("{name}.toml"),
            text: (*text).to_owned(),
            origin: Origin::of_program(),
        });
    }
    let names = BUILT_IN.iter().map(|(name, _)| *name);
    let versions: Vec<_> = match board.split_once('@') {
        Some((plain, _)) => names
            .clone()
            .filter(|name| name.split_once('@').is_some_and(|(n, _)| n == plain))
            .collect(),
        None => Vec::new(),
    };
    let help = match versions[..] {
        [] => suggest(board, "boards", names),
        _ => format!("its versions are {}", versions.join(", ")),
    };
    Err(
        Problem::error("unknown-board", format!("there is no board `{board}`")).help(format!(
            "{help}\na file's name has a `/` or ends in `.toml`"
        )),
    )
}

/// A chip, as [`find`]; those that go with a board's file may be in a folder `chips` beside it.
fn find_chip(chip: &str, by: &Origin) -> Result<Found, Problem> {
    by.names("chip")?;
    if is_path(chip) {
        return read_named(chip, by);
    }
    let places = [format!("chips/{chip}.toml"), format!("{chip}.toml")];
    if let Some(file) = beside(by, &places) {
        return read_named(file, by);
    }
    match BUILT_IN_CHIPS.iter().find(|(name, _)| *name == chip) {
        Some((name, text)) => Ok(Found {
            name: format!("chips/{name}.toml"),
            text: (*text).to_owned(),
            origin: Origin::of_program(),
        }),
        None => Err(
            Problem::error("unknown-chip", format!("there is no chip `{chip}`")).help(format!(
                "{}\na file's name has a `/` or ends in `.toml`",
                suggest(chip, "chips", BUILT_IN_CHIPS.iter().map(|(name, _)| *name))
            )),
        ),
    }
}

/// Reads files, and keeps what they say.
#[derive(Default)]
pub struct Loader {
    /// The texts read.
    pub sources: Sources,
    /// What is wrong with them.
    pub problems: Vec<Problem>,
    /// A text has mistakes of syntax, so that what it lacks means nothing.
    pub unreadable: bool,
    /// Where each text is from, by its number.
    pub origins: Vec<Origin>,
    /// The chips read, by the name of their text; `None` for one whose trouble has been reported.
    chips: BTreeMap<String, Option<Rc<Chip>>>,
    /// The same by what a text calls them, so that a file is read once.
    named: HashMap<(FileId, String), Rc<Chip>>,
    /// The names of the chips that are being read, each within the one before.
    reading: Vec<String>,
}

impl Loader {
    fn parse(&mut self, found: &Found) -> (FileId, Table) {
        let file = self.sources.add(&found.name, found.text.as_str());
        self.origins.push(found.origin.clone());
        let before = self.problems.len();
        let mut tree = parse::parse(file, &found.text, &mut self.problems);
        self.unreadable |= self.problems.len() > before;
        renew::renew(&mut tree, &mut self.problems);
        (file, tree)
    }

    /// Where the text that a place is in is from.
    fn origin(&self, span: Span) -> &Origin {
        &self.origins[span.file.index()]
    }

    /// Reads a board or chip and those that it extends, and lays one over the other. Also where its own text starts.
    /// `header` is the table that says what it is.
    fn stack(
        &mut self,
        found: Found,
        header: &str,
        find: fn(&str, &Origin) -> Result<Found, Problem>,
    ) -> (Table, Span) {
        let mut names = vec![found.name.clone()];
        let (file, tree) = self.parse(&found);
        let mut layers = vec![tree];
        let mut origin = found.origin;
        while let Some(extends) = layers.last().and_then(|layer| extends(layer, header)) {
            let (Some(name), span) = (extends.as_str().map(str::to_owned), extends.span) else {
                break;
            };
            let problem = match find(&name, &origin) {
                Ok(base) if names.contains(&base.name) => {
                    let chain = [&names[..], &[base.name]].concat().join(" → ");
                    let what = if header == "board" { "board" } else { "chip" };
                    Problem::error("extends-cycle", format!("a {what} extends itself: {chain}"))
                }
                Ok(base) => {
                    let (_, tree) = self.parse(&base);
                    layers.push(tree);
                    names.push(base.name);
                    origin = base.origin;
                    continue;
                }
                Err(problem) => problem,
            };
            self.problems.push(problem.at(span, ""));
            self.unreadable = true;
            break;
        }
        let mut merged = layers.pop().unwrap_or_default();
        if let Some(list) = list(&merged, header) {
            let problem = Problem::error("nothing-to-delete", "nothing is extended here");
            self.problems
                .push(problem.at(list.span, "there is nothing to delete"));
        }
        while let Some(layer) = layers.pop() {
            self.lay(&mut merged, layer, header);
        }
        let whole = Span {
            file,
            start: 0,
            end: 0,
        };
        (merged, whole)
    }

    /// Lays a layer over those below.
    fn lay(&mut self, base: &mut Table, mut layer: Table, header: &str) {
        merge::delete(base, list(&layer, header), &mut self.problems);
        merge::undeclared(base, &mut layer, &mut self.problems);
        // A version is that of the name it stands beside.
        if let Some(own) = table_mut(base, header)
            && member(&layer, header, "name").is_some()
        {
            own.remove("version");
        }
        if let Some(own) = table_mut(base, header) {
            own.remove("delete");
        }
        merge::overlay(base, layer);
    }

    /// All layers of a board: what it extends, itself, overlays, the run file, and the settings of the command line.
    pub fn layers(&mut self, found: Found, options: &Options, run: Option<RunText>) -> Layers {
        let (mut root, whole) = self.stack(found, "board", find);
        if let Some(own) = table_mut(&mut root, "board") {
            own.remove("delete");
        }
        let listed = run.iter().flat_map(|run| {
            let named = run.overlays.iter();
            named.map(|name| read_named(name, &run.origin).map_err(|p| p.at_some(run.listed, "")))
        });
        let user = Origin::of_user(options.trust);
        let named = options.overlays.iter();
        let named = named.map(|path| read(Origin::of_file(path, &user), path));
        for overlay in listed.chain(named) {
            match overlay {
                Ok(found) => self.overlay(&mut root, &found),
                Err(problem) => {
                    self.unreadable = true;
                    self.problems.push(problem);
                }
            }
        }
        let (mut settings, run) = match run {
            Some(run) => (run.settings, run.file),
            None => (Vec::new(), RunFile::default()),
        };
        for (option, param, value) in &options.params {
            let file = self.sources.add(*option, value.as_str());
            self.origins.push(user.clone());
            let span = Span {
                file,
                start: 0,
                end: value.len(),
            };
            settings.push(Setting {
                name: (*param).to_owned(),
                value: Given::Text(value.clone()),
                key: span,
                span,
            });
        }
        if !options.set.is_empty() {
            let text = set::set_text(&options.set);
            let file = self.sources.add(set::SET, text);
            self.origins.push(user);
            let mut problems = Vec::new();
            settings.extend(set::set(&mut root, file, &options.set, self, &mut problems));
            self.problems.append(&mut problems);
        }
        Layers {
            root,
            settings,
            whole,
            run,
        }
    }

    fn overlay(&mut self, root: &mut Table, found: &Found) {
        let (_, mut tree) = self.parse(found);
        self.sections(&mut tree, "an overlay", &OVERLAY_SECTIONS);
        if let Some(header) = tree.get("overlay").cloned() {
            self.header::<OverlaySection>("[overlay]", &header);
        }
        self.lay(root, tree, "overlay");
        root.remove("overlay");
    }

    fn header<T: serde::de::DeserializeOwned + schemars::JsonSchema>(
        &mut self,
        what: &str,
        entry: &Entry,
    ) -> Option<T> {
        match entry.node.as_table() {
            Some(table) => section(what, table, entry.key, &mut self.problems),
            None => {
                let problem = Problem::error("bad-value", format!("{what} is not a table"));
                self.problems.push(problem.at(
                    entry.node.span,
                    format!("expected a table, found {}", entry.node.kind()),
                ));
                None
            }
        }
    }

    /// Takes out the sections that a kind of file does not have.
    fn sections(&mut self, tree: &mut Table, what: &str, sections: &[&str]) {
        tree.retain(|key, entry| {
            let known = sections.contains(&key.as_str());
            if !known {
                self.problems.push(
                    Problem::error("unknown-key", format!("{what} has no section `{key}`"))
                        .at(entry.key, "")
                        .help(suggest(key, "sections", sections.iter().copied())),
                );
            }
            known
        });
    }

    /// Reads a run file.
    ///
    /// # Errors
    /// It cannot be read at all.
    pub fn run_file(&mut self, path: &Path, trust: bool) -> Result<RunText, Problem> {
        let found = read(Origin::of_file(path, &Origin::of_user(trust)), path)?;
        let (_, mut tree) = self.parse(&found);
        self.sections(&mut tree, "a run file", &RUN_SECTIONS);
        let run: RunSection = match tree.get("run").cloned() {
            Some(entry) => self.header("[run]", &entry).unwrap_or_default(),
            None => RunSection::default(),
        };
        let boot: RunBootSection = match tree.get("boot").cloned() {
            Some(entry) => self.header("[boot]", &entry).unwrap_or_default(),
            None => RunBootSection::default(),
        };
        let mut table = |key: &str| {
            let table = tree.get_mut(key).and_then(|e| e.node.as_table_mut());
            table.map(std::mem::take).unwrap_or_default()
        };
        let settings = table("param").into_iter().map(|(name, entry)| Setting {
            name,
            key: entry.key,
            span: entry.node.span,
            value: Given::Node(entry.node),
        });
        let settings = settings.collect();
        let mut backends = Vec::new();
        for (name, entry) in table("backend") {
            match entry.node.as_str() {
                Some(text) => backends.push((name, text.to_owned(), entry.key)),
                None => self.problems.push(
                    Problem::error("bad-value", format!("the backend of `{name}` is no string"))
                        .at(
                            entry.node.span,
                            "expected what `--backend` takes, such as \"pty\"",
                        ),
                ),
            }
        }
        let image = |key: &str, name: Option<String>| {
            let span = member(&tree, "boot", key).map(|node| node.span);
            name.zip(span)
        };
        Ok(RunText {
            board: run.board.map(|board| {
                let span = member(&tree, "run", "board").map(|node| node.span);
                (board, span)
            }),
            origin: found.origin,
            overlays: run.overlays,
            listed: member(&tree, "run", "overlays").map(|node| node.span),
            settings,
            file: RunFile {
                backends,
                firmware: image("firmware", boot.firmware),
                kernel: image("kernel", boot.kernel),
                initrd: image("initrd", boot.initrd),
                append: boot.append,
            },
        })
    }
}

/// A run file that was read.
pub struct RunText {
    /// The board that it runs, and where it says so.
    pub board: Option<(String, Option<Span>)>,
    /// The file.
    pub origin: Origin,
    overlays: Vec<String>,
    /// Where it lists them.
    listed: Option<Span>,
    settings: Vec<Setting>,
    file: RunFile,
}

fn member<'t>(tree: &'t Table, section: &str, key: &str) -> Option<&'t Node> {
    super::tree::get(tree, &[section, key])
}

fn extends<'t>(tree: &'t Table, header: &str) -> Option<&'t Node> {
    member(tree, header, "extends")
}

fn list<'t>(tree: &'t Table, header: &str) -> Option<&'t Node> {
    member(tree, header, "delete")
}

fn table_mut<'t>(tree: &'t mut Table, key: &str) -> Option<&'t mut Table> {
    tree.get_mut(key)?.node.as_table_mut()
}

impl Library for Loader {
    fn chip(&mut self, name: &Node) -> Option<Rc<Chip>> {
        let text = name.as_str()?;
        let named = (name.span.file, text.to_owned());
        if let Some(chip) = self.named.get(&named) {
            return Some(chip.clone());
        }
        let found = match find_chip(text, self.origin(name.span)) {
            Ok(found) => found,
            Err(problem) => {
                self.problems.push(problem.at(name.span, ""));
                return None;
            }
        };
        if self.reading.contains(&found.name) {
            let chain = [&self.reading[..], &[found.name]].concat().join(" → ");
            let problem = Problem::error("chip-cycle", format!("a chip contains itself: {chain}"));
            self.problems.push(problem.at(name.span, ""));
            return None;
        }
        if let Some(chip) = self.chips.get(&found.name) {
            self.named.extend(chip.clone().map(|chip| (named, chip)));
            return chip.clone();
        }
        let key = found.name.clone();
        self.reading.push(key.clone());
        let chip = self.read_chip(found).map(Rc::new);
        self.reading.pop();
        self.chips.insert(key, chip.clone());
        self.named.extend(chip.clone().map(|chip| (named, chip)));
        chip
    }
}

impl Loader {
    fn read_chip(&mut self, found: Found) -> Option<Chip> {
        let name = found.name.clone();
        let errors = |problems: &[Problem]| {
            let errors = problems.iter().filter(|p| p.severity == Severity::Error);
            errors.count()
        };
        let before = errors(&self.problems);
        let (mut tree, whole) = self.stack(found, "interface", find_chip);
        if errors(&self.problems) > before {
            return None;
        }
        self.sections(&mut tree, "a chip", &CHIP_SECTIONS);
        match tree.get("interface").cloned() {
            Some(entry) => {
                self.header::<super::format::InterfaceSection>("[interface]", &entry);
            }
            None => self.problems.push(
                Problem::error("missing-key", "the chip has no name")
                    .at(whole, "")
                    .help("start with [interface] and `name = \"…\"`"),
            ),
        }
        let mut instances = Instances::new();
        let inner = tree.get("chip").and_then(|entry| entry.node.as_table());
        for (name, entry) in inner.cloned().into_iter().flatten() {
            // Without a `use` it has trouble of its own, which is reported where it is put on a board.
            if entry
                .node
                .as_table()
                .is_some_and(|table| table.contains_key("use"))
            {
                instances.insert(name, self.chip_of(&entry)?);
            }
        }
        let ports = chips::ports(&tree, &instances, &mut self.problems);
        Some(Chip { name, tree, ports })
    }
}

//! From names to trees: finding the files of boards, chips, overlays and runs, reading them, and laying layer over layer.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use solderless_model::Size;

use super::alone::CLASHES;
use super::schema::Kind;
use super::trust::Origin;
use super::{BUILT_IN, BUILT_IN_CHIPS, BUILT_IN_LOCKS, Options};
use crate::board::chips::{self, Chip, Instances, Library};
use crate::board::decode::section;
use crate::board::format::{
    CHIP_SECTIONS, InterfaceSection, OVERLAY_SECTIONS, OverlaySection, RUN_SECTIONS,
    RunBootSection, RunSection, SECTIONS,
};
use crate::board::gone::Gone;
use crate::board::locked::{Locked, Saved};
use crate::board::params::{Given, Setting};
use crate::board::tree::{self, Entry, Node, Table};
use crate::board::{merge, parse, renew, set};
use crate::diagnostics::{FileId, Problem, Severity, Sources, Span, suggest};
use crate::files;
use crate::visible::shown;

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
    /// What it takes away of the boards that it extends.
    pub gone: Gone,
    /// What the run file says besides.
    pub run: RunFile,
}

/// Whether a name is that of a file.
fn is_path(name: &str) -> bool {
    name.contains('/') || name.ends_with(".toml")
}

/// The most bytes of text that a board can have, in all files that it is made of.
pub const MAX_BYTES: u64 = 4 << 20;

fn read(origin: Origin, path: &Path) -> Result<Found, Problem> {
    let bytes = files::read(path, MAX_BYTES)
        .map_err(|e| Problem::error("unreadable", format!("cannot read {}: {e}", shown(path))))?;
    let text = String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        Problem::error(
            "unreadable",
            format!("{} is not UTF-8 text (byte {at})", shown(path)),
        )
    })?;
    Ok(Found {
        name: shown(path),
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

impl Found {
    /// Whether both are the same text: a file can have the name of one in the program.
    fn is(&self, (name, path): &Named) -> bool {
        self.name == *name && self.origin.path == *path
    }

    fn named(&self) -> Named {
        (self.name.clone(), self.origin.path.clone())
    }
}

/// The name of a text, and its file.
type Named = (String, Option<PathBuf>);

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
    let file = format!("{board}.toml");
    let help = match by.path.is_none() && !by.in_program() && Path::new(&file).is_file() {
        true => format!("the file here is `./{file}`; {help}"),
        false => help,
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
    /// The length of all of them.
    bytes: u64,
    /// The chips read, by their text; `None` for one whose trouble has been reported.
    chips: BTreeMap<Named, Option<Rc<Chip>>>,
    /// The same by what a text calls them, so that a file is read once.
    named: HashMap<(FileId, String), Option<Rc<Chip>>>,
    /// The files of chips that are wrong by themselves, which has been reported.
    pub broken: BTreeSet<usize>,
    /// The lock that the board is resolved on: its own, or of those that it extends the nearest.
    pub lock: Option<Locked>,
    /// What the devices of a saved machine were, if the board is that of one.
    pub saved: Option<Saved>,
    /// Locks are not read.
    pub unlocked: bool,
    /// How many devices of chips were looked at by themselves.
    looked_at: usize,
    /// The chips that are being read, each within the one before.
    reading: Vec<Named>,
}

impl Loader {
    /// Reads a text, and whether all of it could be.
    fn parse(&mut self, found: &Found) -> (FileId, Table) {
        let before = self.problems.len();
        self.bytes = self.bytes.saturating_add(found.text.len() as u64);
        let text = match self.bytes {
            ..=MAX_BYTES => found.text.as_str(),
            _ => {
                let most = Size(MAX_BYTES);
                let message = format!(
                    "with {}, the board has more than {most} of text",
                    found.name
                );
                self.problems.push(Problem::error("unreadable", message));
                ""
            }
        };
        let file = self.sources.add(&found.name, text);
        self.origins.push(found.origin.clone());
        let mut tree = parse::parse(file, text, &mut self.problems);
        self.unreadable |= self.problems.len() > before;
        renew::renew(&mut tree, &mut self.problems);
        (file, tree)
    }

    /// As [`Loader::parse`], of a text that has to be of a kind. One of another has nothing to say.
    pub fn parse_as(&mut self, found: &Found, kind: Kind) -> (FileId, Table) {
        let (file, tree) = self.parse(found);
        match Kind::of(&tree) {
            Some((other, at)) if other != kind => {
                let ((is, help), (wanted, _)) = (other.about(), kind.about());
                let message = format!("{} is {is}, not {wanted}", found.name);
                let problem = Problem::error("wrong-kind", message);
                self.problems
                    .push(problem.at(at, "this says what it is").help(help));
                self.unreadable = true;
                (file, Table::new())
            }
            _ => (file, tree),
        }
    }

    /// Where the text that a place is in is from.
    fn origin(&self, span: Span) -> &Origin {
        &self.origins[span.file.index()]
    }

    /// Reads a board or chip and those that it extends, and lays one over the other. Also where its own text starts.
    fn stack(
        &mut self,
        found: Found,
        kind: Kind,
        find: fn(&str, &Origin) -> Result<Found, Problem>,
    ) -> (Table, Span, Gone) {
        let header = if kind == Kind::Board {
            "board"
        } else {
            "interface"
        };
        let mut names = vec![found.named()];
        let (file, tree) = self.parse_as(&found, kind);
        self.lock_of(&found, kind, true);
        let mut layers = vec![tree];
        let mut origin = found.origin;
        while let Some(extends) = layers.last().and_then(|layer| extends(layer, header)) {
            let (Some(name), span) = (extends.as_str().map(str::to_owned), extends.span) else {
                break;
            };
            let problem = match find(&name, &origin) {
                Ok(base) if names.iter().any(|named| base.is(named)) => {
                    let names = names.iter().map(|(name, _)| name.as_str());
                    let chain: Vec<_> = names.chain([base.name.as_str()]).collect();
                    let chain = chain.join(" → ");
                    let board = kind == Kind::Board;
                    let what = if board { "board" } else { "chip" };
                    let problem = Problem::error(
                        "extends-cycle",
                        format!("a {what} extends itself: {chain}"),
                    );
                    let built_in = if board { BUILT_IN } else { BUILT_IN_CHIPS };
                    match built_in.iter().any(|(built_in, _)| *built_in == name) {
                        true => problem.help(format!(
                            "{} goes before the {what} `{name}` in the program: give the file another name",
                            base.name
                        )),
                        false => problem,
                    }
                }
                Ok(base) => {
                    let (_, tree) = self.parse_as(&base, kind);
                    self.lock_of(&base, kind, false);
                    layers.push(tree);
                    names.push(base.named());
                    origin = base.origin;
                    continue;
                }
                Err(problem) => problem,
            };
            self.problems.push(problem.at(span, ""));
            self.unreadable = true;
            break;
        }
        let mut gone = Gone::default();
        let mut merged = layers.pop().unwrap_or_default();
        if self.unreadable {
            // What cannot be read may declare what these layers use.
        } else if let Some(list) = list(&merged, header) {
            let problem = Problem::error("nothing-to-delete", "nothing is extended here");
            self.problems
                .push(problem.at(list.span, "there is nothing to delete"));
        }
        while let Some(layer) = layers.pop() {
            self.lay(&mut merged, layer, header, &mut gone);
        }
        let whole = Span {
            file,
            start: 0,
            end: 0,
        };
        (merged, whole, gone)
    }

    /// Reads the lock of a board, which has its name, unless a stronger layer has one.
    fn lock_of(&mut self, board: &Found, kind: Kind, own: bool) {
        if kind != Kind::Board || self.lock.is_some() || self.unlocked {
            return;
        }
        let found = match (&board.origin.path, board.origin.in_program()) {
            (Some(path), _) => {
                let path = path.with_extension("lock");
                if !path.is_file() {
                    return;
                }
                read(board.origin.clone(), &path)
            }
            (None, true) => {
                let name = board.name.strip_suffix(".toml").unwrap_or(&board.name);
                let Some((_, text)) = BUILT_IN_LOCKS.iter().find(|(known, _)| *known == name)
                else {
                    return;
                };
                Ok(Found {
                    name: format!("{name}.lock"),
                    text: (*text).to_owned(),
                    origin: board.origin.clone(),
                })
            }
            (None, false) => return,
        };
        match found {
            Ok(found) => {
                let before = self.problems.len();
                let file = self.sources.add(&found.name, found.text.as_str());
                self.origins.push(found.origin);
                let lock = Locked::read(found.name, file, &found.text, own, &mut self.problems);
                self.unreadable |= self.problems.len() > before;
                self.lock = Some(lock);
            }
            Err(problem) => {
                self.unreadable = true;
                self.problems.push(problem);
            }
        }
    }

    /// Lays a layer over those below.
    fn lay(&mut self, base: &mut Table, mut layer: Table, header: &str, gone: &mut Gone) {
        let mut problems = Vec::new();
        merge::delete(base, list(&layer, header), gone, self, &mut problems);
        merge::undeclared(base, &mut layer, self, &mut problems);
        // A text that cannot be read may declare what this one names.
        if !self.unreadable {
            self.problems.append(&mut problems);
        }
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
        let (mut root, whole, mut gone) = self.stack(found, Kind::Board, find);
        if let Some(own) = table_mut(&mut root, "board") {
            own.remove("delete");
        }
        self.sections(&mut root, "a board", &SECTIONS);
        let listed = run.iter().flat_map(|run| {
            let named = run.overlays.iter();
            named.map(|name| read_named(name, &run.origin).map_err(|p| p.at_some(run.listed, "")))
        });
        let user = Origin::of_user(options.trust);
        let named = options.overlays.iter();
        let named = named.map(|path| read(Origin::of_file(path, &user), path));
        for overlay in listed.chain(named) {
            match overlay {
                Ok(found) => self.overlay(&mut root, &found, &mut gone),
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
            gone,
            run,
        }
    }

    fn overlay(&mut self, root: &mut Table, found: &Found, gone: &mut Gone) {
        let (_, mut tree) = self.parse_as(found, Kind::Overlay);
        self.sections(&mut tree, "an overlay", &OVERLAY_SECTIONS);
        if let Some(header) = tree.get("overlay").cloned() {
            self.header::<OverlaySection>("[overlay]", &header);
        }
        self.lay(root, tree, "overlay", gone);
        root.remove("overlay");
    }

    /// Reads the table that says what a file is.
    pub fn header<T: serde::de::DeserializeOwned + schemars::JsonSchema>(
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

    /// Takes out the sections that a kind of file does not have, and those that are no tables.
    pub fn sections(&mut self, tree: &mut Table, what: &str, sections: &[&str]) {
        tree.retain(|key, entry| {
            let table = entry.node.as_table().is_some();
            let problem = if !sections.contains(&key.as_str()) {
                Problem::error("unknown-key", format!("{what} has no section `{key}`"))
                    .at(entry.key, "")
                    .help(suggest(key, "sections", sections.iter().copied()))
            } else if !table {
                Problem::error("bad-value", format!("`{key}` is not a table")).at(
                    entry.node.span,
                    format!("expected a table, found {}", entry.node.kind()),
                )
            } else {
                return true;
            };
            self.problems.push(problem);
            false
        });
    }

    /// Reads a run file.
    ///
    /// # Errors
    /// It cannot be read at all.
    pub fn run_file(&mut self, path: &Path, trust: bool) -> Result<RunText, Problem> {
        let found = read(Origin::of_file(path, &Origin::of_user(trust)), path)?;
        let (_, mut tree) = self.parse_as(&found, Kind::Run);
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
    tree::get(tree, &[section, key])
}

fn extends<'t>(tree: &'t Table, header: &str) -> Option<&'t Node> {
    member(tree, header, "extends")
}

/// What a layer deletes.
pub fn list<'t>(tree: &'t Table, header: &str) -> Option<&'t Node> {
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
            return chip.clone();
        }
        let found = match find_chip(text, self.origin(name.span)) {
            Ok(found) => found,
            Err(problem) => {
                self.problems.push(problem.at(name.span, ""));
                return None;
            }
        };
        if self.reading.iter().any(|chip| found.is(chip)) {
            let names = self.reading.iter().map(|(name, _)| name.as_str());
            let chain: Vec<_> = names.chain([found.name.as_str()]).collect();
            let chain = chain.join(" → ");
            let problem = Problem::error("chip-cycle", format!("a chip contains itself: {chain}"));
            self.problems.push(problem.at(name.span, ""));
            // Once it has been read it must not be found here.
            self.named.insert(named, None);
            return None;
        }
        if let Some(chip) = self.chips.get(&found.named()) {
            self.named.insert(named, chip.clone());
            return chip.clone();
        }
        let key = found.named();
        self.reading.push(key.clone());
        let chip = self.read_chip(found).map(Rc::new);
        self.reading.pop();
        self.chips.insert(key, chip.clone());
        self.named.insert(named, chip.clone());
        chip
    }
}

impl Loader {
    /// Reads a chip, and says what is wrong with it by itself.
    pub fn read_chip(&mut self, found: Found) -> Option<Chip> {
        let name = found.name.clone();
        let errors = |problems: &[Problem]| {
            let errors = problems.iter().filter(|p| p.severity == Severity::Error);
            errors.count()
        };
        let before = errors(&self.problems);
        let first = self.origins.len();
        let (mut tree, whole, gone) = self.stack(found, Kind::Chip, find_chip);
        let files = first..self.origins.len();
        if errors(&self.problems) > before {
            return None;
        }
        self.sections(&mut tree, "a chip", &CHIP_SECTIONS);
        match tree.get("interface").cloned() {
            Some(entry) => {
                self.header::<InterfaceSection>("[interface]", &entry);
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
            let chip = self.chip_of(&entry);
            instances.insert(name, chip);
        }
        let own = tree.get("dev").and_then(|entry| entry.node.as_table());
        let own = 1 + own.map_or(0, Table::len);
        let within = instances.values().flatten().map(|chip| chip.devices);
        let devices = within.fold(own, usize::saturating_add);
        let large = |chip: &Rc<Chip>| chip.devices > chips::MAX_DEVICES;
        if devices > chips::MAX_DEVICES && !instances.values().flatten().any(large) {
            let message =
                format!("the chip {name} has {devices} devices, those in its chips included");
            let help = format!(
                "the chips of a board can have {} in all",
                chips::MAX_DEVICES
            );
            let problem = Problem::error("too-many-devices", message);
            self.problems.push(problem.at(whole, "").help(help));
        }
        let ports = chips::ports(&tree, &instances, &mut self.problems);
        let mut chip = Chip {
            name,
            values: tree::count(&tree),
            tree,
            ports,
            devices,
            files,
            gone,
            whole,
        };
        // Chips of chips of chips are looked at again in each of those around them.
        self.looked_at = self.looked_at.saturating_add(devices);
        let files = self.origins.get(chip.files.clone());
        let known = files.is_some_and(|files| files.iter().all(Origin::in_program));
        if !known && self.looked_at <= chips::MAX_DEVICES {
            let mut wrong = self.alone(&chip);
            wrong.retain(|problem| {
                problem.severity == Severity::Error && !CLASHES.contains(&problem.code)
            });
            if !wrong.is_empty() {
                self.broken.extend(chip.files.clone());
            }
            for (port, at) in chip.ports.values_mut() {
                let is_wrong = |problem: &Problem| problem.labels.iter().any(|l| l.span == *at);
                if wrong.iter().any(is_wrong) {
                    *port = None;
                }
            }
            self.problems.append(&mut wrong);
        }
        Some(chip)
    }
}

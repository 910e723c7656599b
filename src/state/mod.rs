//! What a machine's state holds, and the streams that carry it.
//!
//! A [`Layout`] is read off a plan; a [`Stream`] holds exactly that, together with the board and the layout, so that it
//! can be decoded without the models and restored without the board. `docs/state.md` has the rules.

pub mod fit;
pub mod layout;
mod live;
pub mod payload;
mod runs;
pub mod snapshots;
pub mod stream;
pub mod uri;

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value as Json;
use solderless_model::StateError;

pub use layout::Layout;
pub use live::{Limits, Link, Outgoing, Step, Travelled};
pub use stream::{Description, Progress, Stream, StreamError};
pub use uri::{Arrival, Patience, Uri, forever};

use crate::board;
use crate::compose::{self, Loaded, Options};
use crate::diagnostics::Report;
use crate::files;
use crate::machine::{Fittings, Machine};
use crate::plan::diff::machines;
use crate::plan::{Plan, PlannedDevice};
use fit::{Misfit, fit};
use stream::{About, DeviceSays};

/// A machine was not saved, or not loaded. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The stream cannot be read or written, or is broken.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The stream's board does not resolve any more: the report says why.
    #[error("the stream's board cannot be built by this program")]
    Board(Box<Report>),
    /// The stream is of another machine than the one it should be loaded into.
    #[error("the stream does not fit:\n{0}")]
    Misfit(String),
    /// A device does not take what the stream has for it, or cannot say what it has.
    #[error(transparent)]
    State(#[from] StateError),
}

impl Error {
    /// A stream of one plan does not fit another. Of many differences the first are told, and how many there are; all
    /// remedies are.
    pub fn misfit(from: &Plan, to: &Plan, misfits: &[String], remedies: &[String]) -> Self {
        const TOLD: usize = 20;
        let mut lines = Vec::new();
        let told = match misfits.len() {
            ..=TOLD => misfits.len(),
            count => {
                let boards = match from.name == to.name {
                    true => String::new(),
                    false => format!("it is of the board {}, this is {}; ", from.name, to.name),
                };
                lines.push(format!(
                    "{boards}{count} lines tell what differs, which `solderless compat` prints; the first:"
                ));
                TOLD
            }
        };
        let told = misfits[..told].iter();
        lines.extend(told.chain(remedies).cloned());
        Self::Misfit(lines.join("\n"))
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::Stream(error.into())
    }
}

impl Description {
    /// What the streams of a board's machine say of themselves.
    pub fn new(loaded: &Loaded) -> Self {
        Self::of(
            board::write::board(&loaded.board, &loaded.report.sources),
            &loaded.plan,
        )
    }

    /// The same, of a plan and a text that resolves to it.
    fn of(board: String, plan: &Plan) -> Self {
        let devices = plan.devices.iter().map(|d| {
            let says = DeviceSays {
                type_name: d.entry.name.to_owned(),
                properties: d.props.to_json(),
            };
            (d.path.clone(), says)
        });
        Self {
            board,
            about: About {
                program: env!("CARGO_PKG_VERSION").to_owned(),
                devices: devices.collect(),
                state: plan.state_version(),
                layout: Layout::of(plan),
            },
        }
    }

    /// Resolves the board, with settings over it.
    ///
    /// # Errors
    /// This program cannot build the board.
    pub fn resolve(&self, options: &Options) -> Result<Loaded, Error> {
        let devices = self.about.devices.iter();
        let saved = devices.map(|(name, says)| (name.clone(), says.properties.clone()));
        let board = &self.board;
        let loaded = compose::open_saved("the stream's board", board, &saved.collect(), options);
        loaded.map_err(|report| Error::Board(Box::new(report)))
    }

    /// Why a machine of this description cannot become one of this plan; `board` is its own, as this program resolves it.
    pub fn refusals(&self, board: &Plan, plan: &Plan) -> Vec<String> {
        let mut all = drift(&self.about.devices, board);
        all.extend(misfits(&self.about.layout, board, plan));
        all
    }
}

/// Saves a machine that stands still. `description` is that of its board. Returns the length of the stream.
///
/// # Errors
/// The stream cannot be written, `patience` with its place is over, or the board's state version cannot hold the machine's
/// state.
pub fn save(
    machine: &Machine,
    description: &Description,
    to: &Uri,
    progress: Progress<'_>,
    patience: Patience<'_>,
) -> Result<u64, Error> {
    let sections = machine.save(description.about.state)?;
    to.write(patience, |out, _| {
        Ok(stream::write(out, description, &sections, progress)?)
    })
}

impl Stream {
    /// Opens a stream: a file is mapped, all else is read to its end.
    ///
    /// # Errors
    /// It cannot be read, is none, or is damaged; or `patience` with its place is over.
    pub fn open(from: &Uri, progress: Progress<'_>, patience: Patience<'_>) -> Result<Self, Error> {
        Self::open_if(from.arrival()?, &mut |_| Ok(()), progress, patience)
            .map(|(stream, _)| stream)
    }

    /// The same, unless `check` says that no machine of this description is to be had: it is asked before any memory comes. A source
    /// whose machine runs meanwhile waits at the link for what became of it.
    ///
    /// # Errors
    /// As [`Stream::open`]; or `check` says no.
    pub fn open_if(
        from: Arrival,
        check: &mut dyn FnMut(&Description) -> Result<(), StreamError>,
        progress: Progress<'_>,
        patience: Patience<'_>,
    ) -> Result<(Self, Option<Link>), Error> {
        match &from.uri {
            Uri::File(path) if fs::metadata(path)?.is_file() => {
                let stream = Self::map(&files::open(path)?)?;
                check(&stream.description)?;
                Ok((stream, None))
            }
            _ => from.read(patience, |from, back| {
                Ok(Self::arrive(from, back, check, progress)?)
            }),
        }
    }

    /// Resolves the stream's board, with settings over it.
    ///
    /// # Errors
    /// This program cannot build the board.
    pub fn board(&self, options: &Options) -> Result<Loaded, Error> {
        self.description.resolve(options)
    }

    /// Why the stream cannot be loaded into a machine of this plan; `board` is its own, as this program resolves it.
    pub fn refusals(&self, board: &Plan, plan: &Plan) -> Vec<String> {
        self.description.refusals(board, plan)
    }

    /// Builds a machine of a plan from the stream; `board` is its own, as this program resolves it, and `fittings` has
    /// what is plugged in. Images, a kernel and a calendar are in the stream.
    ///
    /// # Errors
    /// The stream is not of such a machine.
    pub fn build(
        mut self,
        board: &Plan,
        plan: &Plan,
        fittings: Fittings,
    ) -> Result<Machine, Error> {
        let misfits = self.refusals(board, plan);
        if !misfits.is_empty() {
            return Err(Error::misfit(board, plan, &misfits, &[]));
        }
        let wanted = Layout::of(plan);
        let conversion = fit(&self.description.about.layout, &wanted);
        let conversion = conversion.map_err(|misfits| Error::Misfit(list(&misfits).join("\n")))?;
        conversion.apply(&mut self.sections)?;
        let machine = Machine::restored(plan, fittings, &self.sections, plan.state_version());
        Ok(machine?)
    }
}

fn list(misfits: &[Misfit]) -> Vec<String> {
    misfits.iter().map(ToString::to_string).collect()
}

/// Why a machine of one plan, with this layout of its state, cannot become one of another.
pub fn misfits(layout: &Layout, from: &Plan, to: &Plan) -> Vec<String> {
    let mut misfits = Vec::new();
    let diff = machines(from, to);
    if !diff.is_empty() {
        let lines = diff.to_string();
        misfits.extend(lines.lines().map(str::to_owned));
    }
    if let Err(more) = fit(layout, &Layout::of(to)) {
        misfits.extend(list(&more));
    }
    misfits
}

/// The properties that keep a machine of one plan from becoming one of a board: where the board has each from, and what
/// would fit.
pub fn remedies(from: &Plan, to: &Loaded) -> Vec<String> {
    let mut remedies = Vec::new();
    for old in &from.devices {
        let same = |d: &&PlannedDevice| d.path == old.path && d.entry.name == old.entry.name;
        let Some(new) = to.plan.devices.iter().find(same) else {
            continue;
        };
        for (name, value) in old.props.all() {
            let now = new.props.get(name);
            if now == Some(value) {
                continue;
            }
            let path = format!("{}.{name}", old.path);
            let explained = compose::explain::explain(to, &path).ok();
            let place = explained.and_then(|e| Some(e.layers.last()?.place.clone()));
            remedies.push(format!(
                "{path} is {} by {}; {} would fit",
                now.map_or("gone".to_owned(), show),
                place.unwrap_or_else(|| "the board".to_owned()),
                show(value)
            ));
        }
    }
    remedies
}

/// Properties that a stream's devices had and that this program gives other values, because a model's default has
/// changed since.
pub fn drift(devices: &BTreeMap<String, DeviceSays>, board: &Plan) -> Vec<String> {
    let none = serde_json::Map::new();
    let mut misfits = Vec::new();
    for device in &board.devices {
        let Some(says) = devices.get(&device.path) else {
            continue;
        };
        let old = says.properties.as_object().unwrap_or(&none);
        for (name, value) in old {
            let now = device.props.get(name);
            if now != Some(value) {
                let now = now.map_or("gone".to_owned(), crate::toml::json);
                misfits.push(format!(
                    "{}: the property {name} was {}, and is {now} in this program (--set {}.{name}=… mends it)",
                    device.path,
                    show(value),
                    device.path,
                ));
            }
        }
    }
    misfits
}

fn show(value: &Json) -> String {
    match value {
        Json::Null => "none".to_owned(),
        value => crate::toml::json(value),
    }
}

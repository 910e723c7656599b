//! Commands about boards, which need no machine.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::table::{Error, Nothing};
use super::super::{Vm, Wish};
use crate::compose::{self, Diagnosed, Loaded, Options, explain};
use crate::lock;
use crate::state::Layout;

/// A board.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Board {
    /// Its name or the path of its file; without it, the board of the machine.
    board: Option<String>,
    /// The board itself as TOML, in place of a name.
    text: Option<String>,
    /// Files that lie over it, the later stronger.
    overlays: Option<Vec<String>>,
    /// Parameters and properties, each PATH=VALUE.
    set: Option<Vec<String>>,
}

impl Board {
    fn options(&self) -> Result<Options, Error> {
        let set = self
            .set
            .iter()
            .flatten()
            .map(|text| match text.split_once('=') {
                Some((path, value)) => Ok((path.to_owned(), value.to_owned())),
                None => Err(Error::from(format!(
                    "'{text}' sets nothing: write PATH=VALUE"
                ))),
            });
        Ok(Options {
            overlays: self.overlays.iter().flatten().map(PathBuf::from).collect(),
            set: set.collect::<Result<_, _>>()?,
            ..Options::default()
        })
    }

    /// Does something with the board, if it is one.
    fn with<R>(
        &self,
        vm: &Vm<'_>,
        work: impl FnOnce(&Loaded) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let options = self.options()?;
        let loaded = match (&self.text, &self.board) {
            (Some(_), Some(_)) => return Err("name a board, or give its text, not both".into()),
            (None, None) if !options.lay_over() => return work(vm.loaded),
            (None, None) => return Err("what lies over a board needs one that is named".into()),
            (Some(text), None) => compose::open_text(TEXT, text, &options),
            (None, Some(board)) => compose::open(Some(board), &options),
        };
        work(&loaded.map_err(|report| report.render(false))?)
    }
}

/// What a board that is given as text is called.
const TEXT: &str = "board.toml";

/// What is wrong with a board, as `check --format json` prints it.
pub fn check(_: &mut Vm<'_>, args: Board) -> Result<Diagnosed, Error> {
    let options = args.options()?;
    let (name, found) = match (&args.text, &args.board) {
        (None, Some(board)) => (board.as_str(), lock::check(board, &options)),
        (Some(text), None) => (TEXT, compose::check_text(TEXT, text, &options)),
        _ => return Err("name a board, or give its text".into()),
    };
    Ok(Diagnosed::new(name, &found))
}

/// A board's plan.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PlanText {
    /// A hash that is equal for equal plans, 32 digits.
    hash: String,
    /// Everything that was resolved, a line each.
    plan: String,
}

pub fn plan(vm: &mut Vm<'_>, args: Board) -> Result<PlanText, Error> {
    args.with(vm, |loaded| {
        Ok(PlanText {
            hash: format!("{:032x}", loaded.plan.hash()),
            plan: loaded.plan.to_string(),
        })
    })
}

/// What a board's machine saves, as `layout --format json` prints it.
pub fn layout(vm: &mut Vm<'_>, args: Board) -> Result<Value, Error> {
    args.with(vm, |loaded| {
        serde_json::to_value(Layout::of(&loaded.plan)).map_err(|e| e.to_string().into())
    })
}

/// A value of a board.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Explain {
    /// The value: DEVICE.PROPERTY, param.NAME, or a path as in the file.
    path: String,
    /// The board's name or the path of its file; without it, the board of the machine.
    board: Option<String>,
    /// The board itself as TOML, in place of a name.
    text: Option<String>,
}

/// A value of a board, and all that had a say in it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Explained {
    /// The whole path.
    path: String,
    /// The value as TOML.
    value: String,
    /// What was said about it, the later stronger.
    layers: Vec<Said>,
}

/// One word on a value.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Said {
    /// What is said, as TOML.
    value: String,
    /// Where.
    place: String,
}

pub fn explain(vm: &mut Vm<'_>, args: Explain) -> Result<Explained, Error> {
    let board = Board {
        board: args.board,
        text: args.text,
        overlays: None,
        set: None,
    };
    board.with(vm, |loaded| {
        let found = explain::explain(loaded, &args.path);
        let found = found.map_err(|report| report.render(false))?;
        let layers = found.layers.into_iter().map(|layer| Said {
            value: layer.value,
            place: layer.place,
        });
        Ok(Explained {
            path: found.path,
            value: found.value,
            layers: layers.collect(),
        })
    })
}

/// A machine that is to be made.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Wished {
    /// The board's name or the path of its file.
    pub board: Option<String>,
    /// The board itself as TOML, in place of a name.
    pub text: Option<String>,
    /// Files that lie over it, the later stronger.
    pub overlays: Option<Vec<String>>,
    /// Parameters and properties, each PATH=VALUE.
    pub set: Option<Vec<String>>,
    /// The firmware's image.
    pub firmware: Option<String>,
    /// The kernel that is booted, a file.
    pub kernel: Option<String>,
    /// Its initial RAM disk.
    pub initrd: Option<String>,
    /// Its command line.
    pub append: Option<String>,
    /// What is plugged into slots, each SLOT=BACKEND as for `run --backend`.
    pub backends: Option<Vec<String>>,
    /// Networks, each as for `run --net`.
    pub nets: Option<Vec<String>>,
    /// Disks, each as for `run --disk`.
    pub disks: Option<Vec<String>>,
    /// Discs, each as for `run --cdrom`.
    pub cdroms: Option<Vec<String>>,
    /// It stands still until it is told to go on.
    pub stopped: Option<bool>,
}

/// Makes the machine of a program that was started without one.
pub fn create(vm: &mut Vm<'_>, args: Wished) -> Result<Nothing, Error> {
    if vm.incoming.is_some() {
        return Err("a machine is waited for already: see query-migrate".into());
    }
    vm.make(Wish::Board(&args), args.stopped == Some(true))?;
    Ok(Nothing {})
}

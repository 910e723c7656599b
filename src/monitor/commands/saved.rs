//! Commands that save and load the machine.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::Vm;
use super::super::table::{Error, Nothing};
use super::migration::not_under_way;
use super::run::is_made;
use crate::compose::Options;
use crate::machine::Fittings;
use crate::progress::Bar;
use crate::state::{self, Description, Stream, Uri, snapshots};

/// Which snapshot.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// Its name.
    name: String,
}

impl Snapshot {
    /// The one of this name.
    pub fn of(name: String) -> Self {
        Self { name }
    }
}

/// Saves the machine by a name.
pub fn save(vm: &mut Vm<'_>, args: Snapshot) -> Result<Nothing, Error> {
    let uri = snapshots::place(vm.snapshots, &args.name)?;
    write(vm, &uri).map(|()| Nothing {})
}

/// Saves the machine, which stands still meanwhile.
pub fn write(vm: &mut Vm<'_>, uri: &Uri) -> Result<(), Error> {
    is_made(vm)?;
    let description = Description::new(vm.loaded);
    let mut bar = Bar::new("saving");
    let Vm {
        machine, sessions, ..
    } = vm;
    let saved = state::save(
        machine,
        &description,
        uri,
        &mut |at, of| bar.at(at, of),
        &mut |_| sessions.goes_on(),
    );
    let failed = |e| format!("the machine was not saved to {uri}: {e}");
    saved.map(drop).map_err(|e| failed(e).into())
}

/// Goes on from a snapshot: a machine is built of it, and takes the place of the one that runs.
pub fn load(vm: &mut Vm<'_>, args: Snapshot) -> Result<Nothing, Error> {
    is_made(vm)?;
    not_under_way(vm)?;
    if vm.machine.has_log() {
        let reason = "the run has a log of its events, which goes on with this machine alone";
        return Err(format!("{} was not loaded: {reason}", args.name).into());
    }
    let uri = snapshots::find(vm.snapshots, &args.name)?;
    let failed = |e| format!("{} was not loaded: {e}", args.name);
    read(vm, &uri).map_err(failed)?;
    Ok(Nothing {})
}

fn read(vm: &mut Vm<'_>, uri: &Uri) -> Result<(), state::Error> {
    let mut bar = Bar::new("loading");
    let goes_on: state::Patience<'_> = &mut |_| vm.sessions.goes_on();
    let stream = Stream::open(uri, &mut |at, of| bar.at(at, of), goes_on)?;
    let own = stream.board(&Options::default())?;
    let machine = stream.build(&own.plan, &vm.loaded.plan, Fittings::default())?;
    machine.suits(&vm.machine).map_err(|(slot, why)| {
        let slot = vm.loaded.plan.slots.get(slot).map_or("", |s| &s.name);
        state::Error::Misfit(format!("{slot}: {why}"))
    })?;
    vm.machine.replace(machine);
    Ok(())
}

/// Deletes a snapshot.
pub fn delete(vm: &mut Vm<'_>, args: Snapshot) -> Result<Nothing, Error> {
    snapshots::delete(vm.snapshots, &args.name)?;
    Ok(Nothing {})
}

/// A snapshot that there is.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SnapshotInfo {
    name: String,
    /// Bytes.
    size: u64,
    /// When it was saved.
    saved: String,
}

/// The snapshots with their sizes and when they were saved.
pub fn list(vm: &mut Vm<'_>, _: Nothing) -> Result<Vec<SnapshotInfo>, Error> {
    let snapshots = snapshots::list(vm.snapshots)?;
    let info = |s: snapshots::Snapshot| SnapshotInfo {
        name: s.name,
        size: s.size,
        saved: humantime::format_rfc3339_seconds(s.saved).to_string(),
    };
    Ok(snapshots.into_iter().map(info).collect())
}

pub fn say_list(snapshots: &[SnapshotInfo]) -> String {
    if snapshots.is_empty() {
        return "There is no snapshot available.\n".to_owned();
    }
    let name = |s: &SnapshotInfo| s.name.chars().count();
    let width = snapshots.iter().map(name).max().unwrap_or(0).max(4);
    let mut text = format!("{:width$}  {:>12}  SAVED\n", "NAME", "BYTES");
    for s in snapshots {
        text += &format!("{:width$}  {:>12}  {}\n", s.name, s.size, s.saved);
    }
    text
}

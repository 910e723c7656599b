//! Commands that save and load the machine.

use std::fs;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::Vm;
use super::super::table::{Error, Nothing};
use super::migration::not_under_way;
use super::run::is_made;
use crate::compose::Options;
use crate::machine::{Fittings, Machine};
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

/// Saves the machine by a name, with copies of the files of its disks.
pub fn save(vm: &mut Vm<'_>, args: Snapshot) -> Result<Nothing, Error> {
    let name = &args.name;
    let uri = snapshots::place(vm.snapshots, name)?;
    let before = snapshots::copies(vm.snapshots, name)?;
    let mut own = Vec::new();
    let saved = copy_disks(vm, name, &mut own).and_then(|()| write(vm, &uri));
    // Those that no snapshot is with.
    let useless: Vec<_> = match &saved {
        Ok(()) => before.iter().filter(|copy| !own.contains(copy)).collect(),
        Err(_) => own.iter().filter(|copy| !before.contains(copy)).collect(),
    };
    for copy in useless {
        fs::remove_file(copy)?;
    }
    saved.map(|()| Nothing {})
}

/// Copies the files that the guest writes beside the snapshot of a name; one that has not been written since it was copied is there already.
fn copy_disks(vm: &mut Vm<'_>, name: &str, copies: &mut Vec<PathBuf>) -> Result<(), Error> {
    let mut bar = Bar::new("copying");
    let Vm {
        machine,
        sessions,
        loaded,
        snapshots,
        ..
    } = vm;
    for (slot, about) in loaded.plan.slots.iter().enumerate() {
        let Some(disk) = machine.disk(slot) else {
            continue;
        };
        if disk.is_apart() || disk.is_folder() || !disk.medium().writable {
            continue;
        }
        let failed = |why| format!("the machine was not saved: {}: {why}", about.name);
        let generation = disk.identity().map_err(failed)?.generation;
        let copy = snapshots::copy(snapshots, name, &about.name, generation);
        if !copy.is_file() {
            let copied = disk.copy(&copy, &mut |at, of| {
                bar.at(at, of);
                sessions.goes_on()
            });
            copied.map_err(failed)?;
        }
        copies.push(copy);
    }
    Ok(())
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
    let (machine, back) = read(vm, &uri, &args.name).map_err(failed)?;
    if let Err((slot, why)) = go_back(vm, machine, &back) {
        let slot = slot_name(vm, slot);
        let state = "the disks of the machine are now partly those of another instant, so that it stands still: `loadvm` again, or `quit`";
        vm.pause(true);
        return Err(format!("{} was not loaded: {slot}: {why}; {state}", args.name).into());
    }
    Ok(Nothing {})
}

/// The machine of a snapshot, and the copies that its disks are to be brought back from, by their slots.
fn read(
    vm: &mut Vm<'_>,
    uri: &Uri,
    name: &str,
) -> Result<(Machine, Vec<(usize, PathBuf)>), state::Error> {
    let mut bar = Bar::new("loading");
    let goes_on: state::Patience<'_> = &mut |_| vm.sessions.goes_on();
    let stream = Stream::open(uri, &mut |at, of| bar.at(at, of), goes_on)?;
    let own = stream.board(&Options::default())?;
    let machine = stream.build(&own.plan, &vm.loaded.plan, Fittings::default())?;
    let mut back = Vec::new();
    for (slot, held) in machine.held() {
        let copy = snapshots::copy(vm.snapshots, name, slot_name(vm, slot), held.generation);
        if let Some(disk) = vm.machine.disk(slot)
            && !disk.is_apart()
            && copy.is_file()
            // As it is.
            && disk.identity().as_ref() != Ok(held)
        {
            back.push((slot, copy));
        }
    }
    let slots: Vec<_> = back.iter().map(|(slot, _)| *slot).collect();
    machine.suits(&vm.machine, &slots).map_err(|(slot, why)| {
        let slot = slot_name(vm, slot);
        state::Error::Misfit(format!("{slot}: {why}"))
    })?;
    Ok((machine, back))
}

/// Has the disks be as they were, and then the machine.
fn go_back(
    vm: &mut Vm<'_>,
    mut machine: Machine,
    back: &[(usize, PathBuf)],
) -> Result<(), (usize, String)> {
    let mut bar = Bar::new("bringing back");
    for (slot, copy) in back {
        let Some(disk) = vm.machine.disk(*slot) else {
            continue;
        };
        // Half of it would be of no use to anybody.
        let mut goes_on = |at, of| {
            bar.at(at, of);
            Ok(())
        };
        let brought = disk.bring_back(copy, &mut goes_on);
        brought.map_err(|why| (*slot, why))?;
    }
    vm.machine.rewrite_disks(&mut machine)?;
    vm.machine.replace(machine);
    Ok(())
}

fn slot_name<'a>(vm: &Vm<'a>, slot: usize) -> &'a str {
    vm.loaded.plan.slots.get(slot).map_or("", |s| &s.name)
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

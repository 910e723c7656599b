//! Commands that save and load the machine.

use std::time::Instant;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::table::{Error, Nothing};
use super::super::{Migration, Vm};
use super::run::stop;
use crate::compose::Options;
use crate::machine::Fittings;
use crate::progress::Bar;
use crate::state::{self, Description, Stream, Uri, snapshots};

/// Where the machine is saved to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Migrate {
    /// The place: file:PATH, exec:COMMAND, unix:PATH, tcp:HOST:PORT or fd:N.
    uri: String,
    /// Nothing: the answer comes when the machine is saved.
    #[serde(default)]
    detach: Option<bool>,
}

/// Whoever loads the stream goes on in the machine's place, so it then stands still.
pub fn migrate(vm: &mut Vm<'_>, args: Migrate) -> Result<Nothing, Error> {
    let _ = args.detach;
    let uri = args.uri.parse()?;
    let begin = Instant::now();
    let result = write(vm, &uri);
    let word = if result.is_ok() {
        "completed"
    } else {
        "failed"
    };
    vm.migration = Some(Migration {
        status: word,
        time: begin.elapsed(),
        reason: result.as_ref().err().map(|e| e.reason.clone()),
    });
    if result.is_ok() {
        stop(vm, Nothing {})?;
        vm.moved = true;
    }
    result.map(|()| Nothing {})
}

/// What became of the last save by `migrate`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct MigrationInfo {
    /// `completed` or `failed`; nothing if there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    /// Milliseconds that it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    total_time: Option<u64>,
    /// Milliseconds of those in which the machine stood still: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    downtime: Option<u64>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error_desc: Option<String>,
}

pub fn migration(vm: &mut Vm<'_>, _: Nothing) -> Result<MigrationInfo, Error> {
    let last = vm.migration.as_ref();
    let time = |m: &Migration| u64::try_from(m.time.as_millis()).ok();
    let completed = last.filter(|m| m.reason.is_none());
    Ok(MigrationInfo {
        status: last.map(|m| m.status),
        total_time: completed.and_then(time),
        downtime: completed.and_then(time),
        error_desc: last.and_then(|m| m.reason.clone()),
    })
}

pub fn say_migration(info: &MigrationInfo) -> String {
    let Some(status) = info.status else {
        return "nothing was saved by migrate\n".to_owned();
    };
    let mut text = format!("Migration status: {status}\n");
    if let Some(time) = info.total_time {
        text += &format!("total time: {time} ms\n");
    }
    if let Some(reason) = &info.error_desc {
        text += &format!("error: {reason}\n");
    }
    text
}

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

fn write(vm: &mut Vm<'_>, uri: &Uri) -> Result<(), Error> {
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

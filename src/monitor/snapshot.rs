//! Saving and loading the machine.

use super::commands::{done, say};
use super::{Outcome, Vm};
use crate::compose::Options;
use crate::machine::Fittings;
use crate::progress::Bar;
use crate::state::{self, Description, Error, Stream, Uri, snapshots};

/// Saves the machine somewhere. Whoever loads the stream goes on in its place, so it then stands still.
pub fn migrate(vm: &mut Vm<'_>, uri: &str) -> Outcome {
    write(vm, &uri.parse()?)?;
    vm.paused = true;
    done()
}

/// Saves the machine by a name.
pub fn save(vm: &mut Vm<'_>, name: &str) -> Outcome {
    let uri = snapshots::place(vm.snapshots, name).map_err(|e| e.to_string())?;
    write(vm, &uri)?;
    done()
}

fn write(vm: &mut Vm<'_>, uri: &Uri) -> Result<(), String> {
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
    saved
        .map(drop)
        .map_err(|e| format!("the machine was not saved to {uri}: {e}"))
}

/// Goes on from a snapshot: a machine is built of it, and takes the place of the one that runs.
pub fn load(vm: &mut Vm<'_>, name: &str) -> Outcome {
    let uri = snapshots::find(vm.snapshots, name).map_err(|e| e.to_string())?;
    read(vm, &uri).map_err(|e| format!("{name} was not loaded: {e}"))?;
    done()
}

fn read(vm: &mut Vm<'_>, uri: &Uri) -> Result<(), Error> {
    let mut bar = Bar::new("loading");
    let goes_on: state::Patience<'_> = &mut |_| vm.sessions.goes_on();
    let stream = Stream::open(uri, &mut |at, of| bar.at(at, of), goes_on)?;
    let own = stream.board(&Options::default())?;
    let machine = stream.build(&own.plan, &vm.loaded.plan, Fittings::default())?;
    vm.machine.replace(machine);
    Ok(())
}

/// Deletes a snapshot.
pub fn delete(vm: &mut Vm<'_>, name: &str) -> Outcome {
    snapshots::delete(vm.snapshots, name).map_err(|e| e.to_string())?;
    done()
}

/// The snapshots with their sizes and when they were saved.
pub fn list(vm: &mut Vm<'_>) -> Outcome {
    let snapshots = snapshots::list(vm.snapshots).map_err(|e| e.to_string())?;
    if snapshots.is_empty() {
        return say("There is no snapshot available.\n");
    }
    let name = |s: &snapshots::Snapshot| s.name.chars().count();
    let width = snapshots.iter().map(name).max().unwrap_or(0).max(4);
    let mut text = format!("{:width$}  {:>12}  SAVED\n", "NAME", "BYTES");
    for s in snapshots {
        let saved = humantime::format_rfc3339_seconds(s.saved);
        text += &format!("{:width$}  {:>12}  {saved}\n", s.name, s.size);
    }
    say(text)
}

//! Commands that have the machine run, stand still, begin anew or end.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use solderless_model::{Pin, Request};

use super::super::table::{Error, Nothing};
use super::super::{Vm, cpus_there_are};
use crate::machine::{End, Event};

/// What the machine is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    /// It runs.
    Running,
    /// It stands still.
    Paused,
    /// It stands still and has not run yet.
    Prelaunch,
    /// It stands still because it is about to go on elsewhere.
    FinishMigrate,
    /// It stands still because it was saved to go on elsewhere.
    Postmigrate,
    /// There is none yet.
    Preconfig,
    /// There is none yet, and one is waited for that comes from another program.
    Inmigrate,
}

/// Whether the machine runs.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StatusInfo {
    /// Whether it runs.
    running: bool,
    /// Always false; QEMU's `-singlestep`.
    singlestep: bool,
    /// What it is doing.
    status: RunState,
}

pub fn status(vm: &mut Vm<'_>, _: Nothing) -> Result<StatusInfo, Error> {
    let status = match vm.paused {
        _ if vm.incoming.is_some() => RunState::Inmigrate,
        _ if !vm.is_made() => RunState::Preconfig,
        _ if vm.handing_over => RunState::FinishMigrate,
        false => RunState::Running,
        true if vm.moved => RunState::Postmigrate,
        true if !vm.started => RunState::Prelaunch,
        true => RunState::Paused,
    };
    Ok(StatusInfo {
        running: status == RunState::Running,
        singlestep: false,
        status,
    })
}

pub fn say_status(info: &StatusInfo) -> String {
    let status = if info.running { "running" } else { "paused" };
    format!("VM status: {status}\n")
}

pub fn stop(vm: &mut Vm<'_>, _: Nothing) -> Result<Nothing, Error> {
    vm.pause(true);
    Ok(Nothing {})
}

pub fn cont(vm: &mut Vm<'_>, _: Nothing) -> Result<Nothing, Error> {
    is_made(vm)?;
    vm.moved = false;
    vm.started = true;
    vm.pause(false);
    Ok(Nothing {})
}

/// Fails while what the machine is has been sent to whoever goes on in its place.
fn is_here(vm: &Vm<'_>) -> Result<(), Error> {
    is_made(vm)?;
    match vm.handing_over {
        true => Err("the machine is about to go on elsewhere; once more in a moment".into()),
        false => Ok(()),
    }
}

/// Fails while there is no machine.
pub fn is_made(vm: &Vm<'_>) -> Result<(), Error> {
    match vm.is_made() {
        true => Ok(()),
        false => Err("there is no machine yet: x-machine-create makes one, and migrate-incoming waits for one".into()),
    }
}

pub fn reset(vm: &mut Vm<'_>, _: Nothing) -> Result<Nothing, Error> {
    is_here(vm)?;
    const REASON: &str = "host-qmp-system-reset";
    if vm.run.no_reboot {
        vm.machine.request(Request::Reset);
        vm.end = Some((End::Reset, REASON));
    } else {
        let told = vm.machine.tell(Event::Reset);
        told.map_err(|e| e.to_string())?;
        let data = json!({ "guest": false, "reason": REASON });
        vm.sessions.event("RESET", Some(data));
    }
    Ok(Nothing {})
}

pub fn powerdown(vm: &mut Vm<'_>, _: Nothing) -> Result<Nothing, Error> {
    press(vm, "pwrbtn", "no device of the board has a power button")?;
    vm.sessions.event("POWERDOWN", None);
    Ok(Nothing {})
}

pub fn nmi(vm: &mut Vm<'_>, _: Nothing) -> Result<Nothing, Error> {
    press(
        vm,
        "nmi",
        "no CPU of the board takes a non-maskable interrupt",
    )
}

/// Has the inputs of this name of all devices high for an instant.
fn press(vm: &mut Vm<'_>, name: &str, none: &str) -> Result<Nothing, Error> {
    is_here(vm)?;
    let devices = vm.loaded.plan.devices.iter().enumerate();
    let pins = devices.filter_map(|(index, device)| {
        let inputs = &device.interface.inputs;
        let place = inputs.iter().position(|pins| pins.name == name)?;
        let before: u16 = inputs[..place].iter().map(|pins| pins.count).sum();
        Some((index, Pin(before)))
    });
    let pins: Vec<_> = pins.collect();
    if pins.is_empty() {
        return Err(none.into());
    }
    for (device, pin) in pins {
        let told = vm.machine.tell(Event::Button(device, pin));
        told.map_err(|e| e.to_string())?;
    }
    Ok(Nothing {})
}

pub fn quit(vm: &mut Vm<'_>, _: Nothing) -> Result<Nothing, Error> {
    vm.end = Some((End::Quit(0), "host-qmp-quit"));
    Ok(Nothing {})
}

/// Which CPU.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cpu {
    /// Its number, as `info cpus` has it.
    index: u64,
}

pub fn cpu(vm: &mut Vm<'_>, args: Cpu) -> Result<Nothing, Error> {
    vm.cpu = cpu_there_is(vm, args.index)?;
    Ok(Nothing {})
}

/// The place of the CPU with this number.
pub fn cpu_there_is(vm: &Vm<'_>, index: u64) -> Result<usize, Error> {
    let count = vm.machine.cpus().count();
    let found = usize::try_from(index).ok().filter(|index| *index < count);
    found.ok_or_else(|| format!("there is no CPU {index}: {}", cpus_there_are(count)).into())
}

//! Commands that change what is plugged into slots for characters while the machine runs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use solderless_model::SlotKind;

use super::super::Vm;
use super::super::table::{Error, Nothing};
use crate::backend::{Backend, Chardev};
use crate::diagnostics::suggest;
use crate::machine::{Event, Nowhere, Pace};

/// A stream, as QEMU has it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChardevBackend {
    /// `null`, `pty`, `file` or `socket`.
    #[serde(rename = "type")]
    kind: String,
    /// Its options: of a file `out`; of a socket `addr` and `server`.
    data: Map<String, Value>,
}

impl ChardevBackend {
    fn backend(&self) -> Result<Chardev, Error> {
        let data = &self.data;
        let text = |of: &Map<String, Value>, key: &str| of.get(key)?.as_str().map(str::to_owned);
        let none = Map::new();
        let addr = data.get("addr").and_then(Value::as_object).unwrap_or(&none);
        let addr = addr.get("data").and_then(Value::as_object).unwrap_or(addr);
        // QEMU's default.
        let server = data.get("server").is_none_or(|server| *server == true);
        let mut options = Vec::new();
        for (name, found) in [
            ("path", text(data, "out").or_else(|| text(addr, "path"))),
            ("host", text(addr, "host")),
            ("port", text(addr, "port")),
            ("server", server.then(|| "on".to_owned())),
        ] {
            options.extend(found.map(|value| (name, value)));
        }
        let options: Vec<_> = options
            .iter()
            .map(|(key, value)| (*key, value.as_str()))
            .collect();
        Ok(Chardev::of_qemu(&self.kind, &options)?)
    }
}

/// What is plugged in where.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChardevAdd {
    /// The slot of the board.
    id: String,
    /// What is plugged in.
    backend: ChardevBackend,
}

/// The same as people type it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChardevTyped {
    /// The slot of the board.
    id: String,
    /// What is plugged in: as for --backend, such as file:PATH; or as QEMU has it, such as socket,path=PATH,server=on.
    backend: String,
}

impl ChardevTyped {
    fn backend(&self) -> Result<Chardev, Error> {
        let mut words = self.backend.split(',');
        let kind = words.next().unwrap_or_default();
        let words = words.map(|word| word.split_once('=').unwrap_or((word, "on")));
        let options: Vec<_> = words.collect();
        match (kind, Backend::parse(SlotKind::Chardev, &self.backend)) {
            ("socket" | "file", _) => Ok(Chardev::of_qemu(kind, &options)?),
            (_, Ok(Backend::Chardev(backend))) => Ok(backend),
            (_, Ok(_)) => Err("it is no stream of characters".into()),
            (_, Err(e)) => Err(e.to_string().into()),
        }
    }
}

/// What came of it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ChardevReturn {
    /// The name of a pseudo-terminal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pty: Option<String>,
}

pub fn say_made(made: &ChardevReturn) -> String {
    let name = |name: &String| format!("char device redirected to {name}\n");
    made.pty.as_ref().map(name).unwrap_or_default()
}

pub fn add(vm: &mut Vm<'_>, args: ChardevAdd) -> Result<ChardevReturn, Error> {
    let backend = args.backend.backend()?;
    add_to(vm, &args.id, &backend)
}

pub fn add_typed(vm: &mut Vm<'_>, args: ChardevTyped) -> Result<ChardevReturn, Error> {
    let backend = args.backend()?;
    add_to(vm, &args.id, &backend)
}

fn add_to(vm: &mut Vm<'_>, id: &str, backend: &Chardev) -> Result<ChardevReturn, Error> {
    let slot = find(vm, id)?;
    match plugged(vm, slot) {
        None => plug(vm, slot, backend),
        Some(there) => Err(format!(
            "Chardev '{id}' already exists, {there}: chardev-change has another in its place"
        )
        .into()),
    }
}

pub fn change(vm: &mut Vm<'_>, args: ChardevAdd) -> Result<ChardevReturn, Error> {
    let backend = args.backend.backend()?;
    let slot = find(vm, &args.id)?;
    plug(vm, slot, &backend)
}

pub fn change_typed(vm: &mut Vm<'_>, args: ChardevTyped) -> Result<ChardevReturn, Error> {
    let backend = args.backend()?;
    let slot = find(vm, &args.id)?;
    plug(vm, slot, &backend)
}

/// Which slot.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChardevId {
    /// The slot of the board.
    id: String,
}

pub fn remove(vm: &mut Vm<'_>, args: ChardevId) -> Result<Nothing, Error> {
    let slot = find(vm, &args.id)?;
    if plugged(vm, slot).is_none() {
        return Err(format!("Chardev '{}' not found: nothing is plugged in", args.id).into());
    }
    plug(vm, slot, &Chardev::Null)?;
    Ok(Nothing {})
}

pub fn send_break(vm: &mut Vm<'_>, args: ChardevId) -> Result<Nothing, Error> {
    let slot = find(vm, &args.id)?;
    let told = vm.machine.tell(Event::Break(slot));
    told.map_err(|e| e.to_string())?;
    Ok(Nothing {})
}

/// The slot of this name.
fn find(vm: &Vm<'_>, id: &str) -> Result<usize, Error> {
    let slots = vm.loaded.plan.slots.iter().enumerate();
    let slots = slots.filter(|(_, slot)| slot.kind == SlotKind::Chardev);
    let found = slots.clone().find(|(_, slot)| slot.name == id);
    found.map(|(slot, _)| slot).ok_or_else(|| {
        let names = slots.map(|(_, slot)| slot.name.as_str());
        let help = suggest(id, "slots for characters", names);
        format!("Chardev '{id}' not found\n{help}").into()
    })
}

/// What is in a slot.
fn plugged<'v>(vm: &'v Vm<'_>, slot: usize) -> Option<&'v str> {
    let text = vm.plugged.get(slot)?.as_str();
    (!["", "null"].contains(&text)).then_some(text)
}

fn plug(vm: &mut Vm<'_>, slot: usize, backend: &Chardev) -> Result<ChardevReturn, Error> {
    let stdio = Chardev::Stdio.to_string();
    if *backend == Chardev::Stdio || plugged(vm, slot) == Some(&stdio) {
        return Err(
            "standard input and output stay where the program was started with them".into(),
        );
    }
    let name = &vm.loaded.plan.slots[slot].name;
    let outside = vm.sessions.outside();
    let sink = outside.plug(slot, name, backend);
    let sink = sink.map_err(|e| e.to_string())?;
    match backend {
        Chardev::Null => outside.unplug(slot),
        _ => outside.unplug_older(slot),
    }
    if outside.interactive() && vm.run.pace == Pace::Free {
        vm.run.pace = Pace::Watched;
    }
    let pty = outside.pty().map(str::to_owned);
    vm.sessions.take_in();
    vm.machine
        .plug(slot, sink.unwrap_or_else(|| Box::new(Nowhere)));
    if let Some(text) = vm.plugged.get_mut(slot) {
        *text = backend.to_string();
    }
    Ok(ChardevReturn {
        pty: pty.filter(|_| *backend == Chardev::Pty),
    })
}

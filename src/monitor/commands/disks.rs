//! Commands to the disks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use solderless_model::SlotKind;

use super::super::Vm;
use super::super::table::{Error, Nothing};
use crate::backend::Block;

/// A disk or a drive.
#[derive(Debug, Serialize, JsonSchema)]
pub struct BlockInfo {
    /// The slot of the board.
    device: String,
    /// The device that it is plugged into.
    qdev: String,
    /// Always `unknown`, as QEMU says.
    #[serde(rename = "type")]
    kind: &'static str,
    /// What is in it can be changed while the machine runs.
    removable: bool,
    /// The guest keeps it in.
    locked: bool,
    /// The guest has opened the tray; only if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    tray_open: Option<bool>,
    /// What is in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    inserted: Option<Inserted>,
}

/// What is in a drive.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Inserted {
    /// What is plugged in, as it is written.
    file: String,
    /// How it is stored: `raw`, `qcow2`.
    drv: String,
    /// It cannot be written.
    ro: bool,
    image: ImageInfo,
}

/// An image.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct ImageInfo {
    filename: String,
    format: String,
    /// Bytes.
    virtual_size: u64,
}

/// What is in a slot.
fn inserted(vm: &Vm<'_>, slot: usize) -> Option<Inserted> {
    let (medium, format) = vm.machine.medium(slot)?;
    let file = vm.plugged.get(slot).cloned().unwrap_or_default();
    Some(Inserted {
        file: file.clone(),
        drv: format.clone(),
        ro: !medium.writable,
        image: ImageInfo {
            filename: file,
            format,
            virtual_size: medium.bytes,
        },
    })
}

/// The slots for disks: which, by what name, and of which device.
fn slots(vm: &Vm<'_>) -> Vec<(usize, String, String)> {
    let plan = &vm.loaded.plan;
    let slots = plan.slots.iter().enumerate();
    let slots = slots.filter(|(_, slot)| slot.kind == SlotKind::Block);
    let named = slots.filter_map(|(index, slot)| {
        let (device, _) = plan.user_of(index)?;
        Some((index, slot.name.clone(), device.path.clone()))
    });
    named.collect()
}

pub fn blocks(vm: &mut Vm<'_>, _: Nothing) -> Result<Vec<BlockInfo>, Error> {
    let mut all = Vec::new();
    for (slot, device, qdev) in slots(vm) {
        let (tray, inserted) = (vm.machine.tray(slot), inserted(vm, slot));
        // A hard disk that is not there is none.
        if tray.is_some() || inserted.is_some() {
            all.push(BlockInfo {
                device,
                qdev,
                kind: "unknown",
                removable: tray.is_some(),
                locked: tray.is_some_and(|tray| tray.locked),
                tray_open: tray.map(|tray| tray.open),
                inserted,
            });
        }
    }
    Ok(all)
}

pub fn say_blocks(blocks: &[BlockInfo]) -> String {
    if blocks.is_empty() {
        return "there are no disks\n".to_owned();
    }
    let about = |block: &BlockInfo| {
        let content = block.inserted.as_ref().map_or_else(
            || "[not inserted]".to_owned(),
            |inserted| {
                let ro = if inserted.ro { ", read-only" } else { "" };
                format!("{} ({}{ro})", inserted.file, inserted.drv)
            },
        );
        let mut text = format!(
            "{}: {content}\n    Attached to:      {}\n",
            block.device, block.qdev
        );
        if let Some(open) = block.tray_open {
            let locked = if block.locked { "locked" } else { "not locked" };
            let tray = if open { "open" } else { "closed" };
            text += &format!("    Removable device: {locked}, tray {tray}\n");
        }
        text
    };
    blocks.iter().map(about).collect()
}

pub fn nodes(vm: &mut Vm<'_>, _: Nothing) -> Result<Vec<Inserted>, Error> {
    let slots = slots(vm).into_iter();
    Ok(slots.filter_map(|(slot, ..)| inserted(vm, slot)).collect())
}

/// What is taken out of which drive.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Eject {
    /// Though the guest keeps it in.
    #[serde(default)]
    force: bool,
    /// The drive, by its slot or by its device.
    #[serde(alias = "id")]
    device: String,
}

/// Takes the disc out of a drive.
pub fn eject(vm: &mut Vm<'_>, args: Eject) -> Result<Nothing, Error> {
    change(vm, &args.device, args.force, None)
}

/// What is put into which drive.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeMedium {
    /// Though the guest keeps in what is there.
    #[serde(default)]
    force: bool,
    /// The drive, by its slot or by its device.
    #[serde(alias = "id")]
    device: String,
    /// What is put in, as a disk of --cdrom is written.
    filename: String,
    /// How it is stored, if that is not to be guessed: `raw` or `qcow2`.
    #[serde(default)]
    format: Option<String>,
}

/// Puts another disc into a drive.
pub fn change_medium(vm: &mut Vm<'_>, args: ChangeMedium) -> Result<Nothing, Error> {
    let format = args.format.map(|format| format!(",format={format}"));
    let text = format!("{}{}", args.filename, format.unwrap_or_default());
    change(vm, &args.device, args.force, Some(&text))
}

fn change(vm: &mut Vm<'_>, name: &str, force: bool, disc: Option<&str>) -> Result<Nothing, Error> {
    let slots = slots(vm);
    let named =
        |(_, slot, device): &&(usize, String, String)| [slot, device].contains(&&name.to_owned());
    let Some((slot, called, _)) = slots.iter().find(named) else {
        let names = slots.iter().map(|(_, slot, _)| slot.as_str());
        return Err(Error::no_device(name, names));
    };
    let Some(tray) = vm.machine.tray(*slot) else {
        return Err(format!("Device '{name}' is not removable").into());
    };
    if tray.locked && !force {
        return Err(format!(
            "Device '{name}' is locked and force was not specified, wait for tray to open and try again"
        )
        .into());
    }
    if vm.machine.has_log() {
        let reason = "the run has a log of its events, in which this has no line";
        return Err(format!("'{name}' stays as it is: {reason}").into());
    }
    let (disk, plugged) = match disc {
        None => (None, String::new()),
        Some(text) => {
            let block = Block::disk(text).map_err(|e| e.to_string())?;
            let user = vm.loaded.plan.user_of(*slot);
            let read_only = user.is_some_and(|(_, slot)| slot.read_only);
            let disk = vm.sessions.disk(*slot, called, &block, read_only);
            (disk.map_err(|e| e.to_string())?, block.to_string())
        }
    };
    let there = disk.is_some();
    vm.machine.change_disk(*slot, disk);
    if let Some(text) = vm.plugged.get_mut(*slot) {
        *text = plugged;
    }
    for open in [true, false] {
        if open || there {
            let data = json!({ "device": called, "id": called, "tray-open": open });
            vm.sessions.event("DEVICE_TRAY_MOVED", Some(data));
        }
    }
    Ok(Nothing {})
}

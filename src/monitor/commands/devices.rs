//! Commands about the devices of the board.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use solderless_model::{BusKind, Pin, SlotKind, Space};

use super::super::Vm;
use super::super::table::{self, Class, Error, Nothing};
use crate::plan::{Address, Bus, Net, Plan, PlannedDevice};
use crate::registry::{self, TYPES};
use crate::state::Layout;
use crate::state::payload::show;
use crate::toml;

/// What is where.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Text {
    /// A line for each.
    text: String,
}

pub fn say_text(text: &Text) -> String {
    text.text.clone()
}

pub fn mtree(vm: &mut Vm<'_>, _: Nothing) -> Result<Text, Error> {
    let text = vm.machine.address_map(&vm.loaded.plan);
    Ok(Text { text })
}

pub fn qtree(vm: &mut Vm<'_>, _: Nothing) -> Result<Text, Error> {
    let plan = &vm.loaded.plan;
    let mut text = "bus: sys\n".to_owned();
    on_bus(plan, Bus::System, 1, &mut text);
    let lone = plan.devices.iter().enumerate();
    let lone = lone.filter(|(_, device)| device.seat.is_none());
    for (index, _) in lone {
        tell(plan, index, 0, &mut text);
    }
    Ok(Text { text })
}

fn on_bus(plan: &Plan, bus: Bus, depth: usize, out: &mut String) {
    for (index, planned) in plan.devices.iter().enumerate() {
        if planned.seat.is_some_and(|seat| seat.bus == bus) {
            tell(plan, index, depth, out);
        }
    }
}

fn tell(plan: &Plan, index: usize, depth: usize, out: &mut String) {
    let planned = &plan.devices[index];
    let mut line = |depth: usize, text: String| {
        // Writing to a string has no way to fail.
        let _ = writeln!(out, "{:1$}{text}", "", 2 * depth);
    };
    line(
        depth,
        format!("dev: {}, id \"{}\"", planned.entry.name, planned.path),
    );
    match planned.seat.map(|seat| seat.address) {
        Some(Address::Pci { slot, function }) => {
            line(depth + 1, format!("addr = {slot:02x}.{function:x}"));
        }
        Some(Address::I2c(address)) => line(depth + 1, format!("addr = {address:#04x}")),
        Some(Address::Ide(device)) => line(depth + 1, format!("unit = {device}")),
        Some(Address::None | Address::Number(_)) | None => {}
    }
    for window in &planned.windows {
        let region = planned.interface.regions.get(usize::from(window.region.0));
        let name = region.map_or("", |region| region.name);
        let (at, size) = (window.at, window.size);
        line(
            depth + 1,
            format!("region {name} at {at:#x}, {size:#x} bytes"),
        );
    }
    for (pin, to) in lines(plan, index) {
        line(depth + 1, format!("line {pin} to {to}"));
    }
    let set = planned.props.all();
    for (name, value) in set.filter(|(_, value)| !value.is_null()) {
        line(depth + 1, format!("{name} = {}", toml::json(value)));
    }
    for part in planned.interface.parts.iter().filter(|part| part.present) {
        line(depth + 1, format!("part {}", part.name));
    }
    for (port, number) in planned.interface.ports.iter().zip(0..) {
        let name = format!("bus: {}.{}", planned.path, port.name);
        let _ = writeln!(out, "{:1$}{name}", "", 2 * (depth + 1));
        let bus = Bus::Port(index, solderless_model::PortId(number));
        on_bus(plan, bus, depth + 2, out);
    }
}

/// The outputs of a device that lead somewhere, and where.
fn lines(plan: &Plan, device: usize) -> Vec<(String, String)> {
    let nets = plan.nets.iter().flat_map(|net| {
        let drivers = net.drivers.iter().filter(|(from, _)| *from == device);
        drivers.map(|driver| {
            let sinks = net.sinks.iter().map(|sink| plan.pin(*sink, true));
            let name = plan.pin(*driver, false);
            let own = format!("{}.", plan.devices[device].path);
            let name = name.strip_prefix(&own).unwrap_or(&name).to_owned();
            (name, sinks.collect::<Vec<_>>().join(", "))
        })
    });
    nets.collect()
}

/// A line, and its level now.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LineInfo {
    from: Vec<String>,
    to: Vec<String>,
    high: bool,
}

pub fn irq(vm: &mut Vm<'_>, _: Nothing) -> Result<Vec<LineInfo>, Error> {
    let plan = &vm.loaded.plan;
    let line = |net: &Net| LineInfo {
        from: net
            .drivers
            .iter()
            .map(|end| plan.pin(*end, false))
            .collect(),
        to: net.sinks.iter().map(|end| plan.pin(*end, true)).collect(),
        high: net
            .sinks
            .iter()
            .any(|(device, pin)| vm.machine.is_high(*device, *pin)),
    };
    Ok(plan.nets.iter().map(line).collect())
}

pub fn say_irq(lines: &[LineInfo]) -> String {
    if lines.is_empty() {
        return "the board has no lines\n".to_owned();
    }
    let line = |line: &LineInfo| {
        let level = if line.high { "high" } else { "low" };
        let (from, to) = (line.from.join(", "), line.to.join(", "));
        format!("{level:4} {from} -> {to}\n")
    };
    lines.iter().map(line).collect()
}

/// So many lines lead to what gathers them.
const GATHERED: usize = 3;

/// What interrupt controllers have in their registers: devices that many lines lead to and that drive one of a CPU.
pub fn pic(vm: &mut Vm<'_>, _: Nothing) -> Result<Text, Error> {
    let plan = &vm.loaded.plan;
    let is_cpu = |device: usize| plan.devices[device].interface.cpu.is_some();
    let gathers = plan.devices.iter().enumerate().filter(|(index, _)| {
        let of = |ends: &[(usize, Pin)]| ends.iter().any(|(device, _)| device == index);
        let calls = |net: &&Net| of(&net.drivers) && net.sinks.iter().any(|(d, _)| is_cpu(*d));
        let called = plan.nets.iter().filter(|net| of(&net.sinks)).count();
        !is_cpu(*index) && called >= GATHERED && plan.nets.iter().any(|net| calls(&net))
    });
    let gathers = gathers.map(|(_, device)| device);
    let mut text = String::new();
    for device in gathers {
        let contents = contents(vm, device)?;
        let fields = contents.fields.iter();
        let fields: Vec<_> = fields
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let _ = writeln!(text, "{}: {}", device.path, fields.join(" "));
    }
    if text.is_empty() {
        text = "the board has no interrupt controller\n".to_owned();
    }
    Ok(Text { text })
}

/// Which device.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// Its name, as info qtree has it.
    device: String,
}

/// What a device has in its registers.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Contents {
    /// Each field and its value; those of a part with the part's name.
    fields: Vec<(String, String)>,
}

pub fn device(vm: &mut Vm<'_>, args: Named) -> Result<Contents, Error> {
    let wanted = find(&vm.loaded.plan, &args.device)?;
    contents(vm, wanted)
}

/// What a device has in its registers, its parts included.
fn contents(vm: &Vm<'_>, wanted: &PlannedDevice) -> Result<Contents, Error> {
    let plan = &vm.loaded.plan;
    let layout = Layout::of(plan);
    let sections = vm.machine.save(plan.state_version());
    let mut fields = Vec::new();
    for section in &sections.map_err(|e| e.to_string())? {
        let Some((about, content)) = layout.section(&section.path) else {
            continue;
        };
        let part = match section.path.strip_prefix(&wanted.path) {
            Some("") => "",
            // A part is no device of its own.
            Some(part) if !plan.devices.iter().any(|d| d.path == about.path) => part,
            _ => continue,
        };
        let Some(part) = part.strip_prefix('.').or(part.is_empty().then_some("")) else {
            continue;
        };
        let values = show(section, content).map_err(|e| e.to_string())?;
        fields.extend(values.into_iter().map(|(name, value)| match part {
            "" => (name, value),
            part => (format!("{part}.{name}"), value),
        }));
    }
    Ok(Contents { fields })
}

pub fn say_device(contents: &Contents) -> String {
    if contents.fields.is_empty() {
        return "it saves nothing\n".to_owned();
    }
    let line = |(name, value): &(String, String)| format!("{name} = {value}\n");
    contents.fields.iter().map(line).collect()
}

fn find<'a>(plan: &'a Plan, name: &str) -> Result<&'a PlannedDevice, Error> {
    let found = plan.devices.iter().find(|device| device.path == name);
    found.ok_or_else(|| {
        let names = plan.devices.iter().map(|device| device.path.as_str());
        Error::no_device(name, names)
    })
}

/// A character stream.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct ChardevInfo {
    /// The slot of the board, or the monitor.
    label: String,
    /// What is plugged in.
    filename: String,
    /// Whether a device takes what comes.
    frontend_open: bool,
}

pub fn chardevs(vm: &mut Vm<'_>, _: Nothing) -> Result<Vec<ChardevInfo>, Error> {
    let plan = &vm.loaded.plan;
    let slots = plan.slots.iter().enumerate();
    let slots = slots.filter(|(_, slot)| slot.kind == SlotKind::Chardev);
    let slots = slots.map(|(index, slot)| ChardevInfo {
        label: slot.name.clone(),
        filename: plugged(vm, index),
        frontend_open: plan
            .devices
            .iter()
            .any(|d| d.backends.contains(&Some(index))),
    });
    let monitors = vm.sessions.places().iter().enumerate();
    let monitors = monitors.map(|(index, place)| ChardevInfo {
        label: format!("monitor{index}"),
        filename: place.clone(),
        frontend_open: true,
    });
    Ok(slots.chain(monitors).collect())
}

/// What is plugged into a slot, as it is written.
fn plugged(vm: &Vm<'_>, slot: usize) -> String {
    let plugged = vm.plugged.get(slot).filter(|text| !text.is_empty());
    plugged.map_or("null", String::as_str).to_owned()
}

pub fn say_chardevs(chardevs: &[ChardevInfo]) -> String {
    let line = |c: &ChardevInfo| format!("{}: filename={}\n", c.label, c.filename);
    chardevs.iter().map(line).collect()
}

/// A network.
#[derive(Debug, Serialize, JsonSchema)]
pub struct NetworkInfo {
    slot: String,
    backend: String,
    device: Option<String>,
}

pub fn network(vm: &mut Vm<'_>, _: Nothing) -> Result<Vec<NetworkInfo>, Error> {
    let plan = &vm.loaded.plan;
    let slots = plan.slots.iter().enumerate();
    let slots = slots.filter(|(_, slot)| slot.kind == SlotKind::Netdev);
    let slots = slots.map(|(index, slot)| {
        let mut devices = plan.devices.iter();
        let device = devices.find(|d| d.backends.contains(&Some(index)));
        NetworkInfo {
            slot: slot.name.clone(),
            backend: plugged(vm, index),
            device: device.map(|d| format!("{}: {}", d.path, d.entry.name)),
        }
    });
    Ok(slots.collect())
}

pub fn say_network(networks: &[NetworkInfo]) -> String {
    if networks.is_empty() {
        return "the board has no slot for a network\n".to_owned();
    }
    let line = |n: &NetworkInfo| {
        let device = n.device.as_deref().unwrap_or("no device");
        format!("{}: {}\n \\ {device}\n", n.slot, n.backend)
    };
    networks.iter().map(line).collect()
}

/// A PCI bus.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PciInfo {
    /// Its number.
    bus: usize,
    /// The functions on it.
    devices: Vec<PciDeviceInfo>,
}

/// A PCI function.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PciDeviceInfo {
    /// The number of its bus.
    bus: usize,
    /// 0 to 31.
    slot: u8,
    /// 0 to 7.
    function: u8,
    /// What it does.
    class_info: PciDeviceClass,
    /// What it is.
    id: PciDeviceId,
    /// Its interrupt line, as the guest has set it; only if it has a pin.
    #[serde(skip_serializing_if = "Option::is_none")]
    irq: Option<u32>,
    /// INTA# is 1, INTD# is 4, none is 0.
    irq_pin: u32,
    /// The device's name on the board.
    qdev_id: String,
    /// What is behind its base address registers.
    regions: Vec<PciMemoryRegion>,
}

/// What a PCI function does.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PciDeviceClass {
    /// In words.
    #[serde(skip_serializing_if = "Option::is_none")]
    desc: Option<&'static str>,
    /// Class and subclass.
    class: u32,
}

/// What a PCI function is.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct PciDeviceId {
    /// The device.
    device: u32,
    /// Who makes it.
    vendor: u32,
    /// The subsystem.
    #[serde(skip_serializing_if = "Option::is_none")]
    subsystem: Option<u32>,
    /// Who makes that.
    #[serde(skip_serializing_if = "Option::is_none")]
    subsystem_vendor: Option<u32>,
}

/// What is behind a base address register.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PciMemoryRegion {
    /// The number of the register.
    bar: u8,
    /// `io` or `memory`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// Where it is; -1 if it is nowhere.
    address: i64,
    /// Bytes.
    size: u64,
    /// Whether it may be read ahead; only of memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    prefetch: Option<bool>,
    /// Whether its address has 64 bits; only of memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    mem_type_64: Option<bool>,
}

/// PCI classes in words (PCI Local Bus Specification 2.2, appendix D).
const CLASSES: &[(u32, &str)] = &[
    (0x0100, "SCSI controller"),
    (0x0101, "IDE controller"),
    (0x0200, "Ethernet controller"),
    (0x0300, "VGA controller"),
    (0x0600, "Host bridge"),
    (0x0601, "ISA bridge"),
    (0x0604, "PCI bridge"),
    (0x0680, "Bridge"),
    (0x0700, "Serial controller"),
    (0x0780, "Communication controller"),
    (0x0c03, "USB controller"),
    (0x0c05, "SMBus"),
];

pub fn pci(vm: &mut Vm<'_>, _: Nothing) -> Result<Vec<PciInfo>, Error> {
    let plan = &vm.loaded.plan;
    let ports = plan.devices.iter().enumerate().flat_map(|(owner, device)| {
        let ports = device.interface.ports.iter().zip(0..);
        let ports = ports.filter(|(port, _)| port.kind == BusKind::Pci);
        ports.map(move |(_, number)| Bus::Port(owner, solderless_model::PortId(number)))
    });
    let mut buses = Vec::new();
    for (number, bus) in ports.enumerate() {
        let mut devices = Vec::new();
        for device in &plan.devices {
            let Some(seat) = device.seat.filter(|seat| seat.bus == bus) else {
                continue;
            };
            let Address::Pci { slot, function } = seat.address else {
                continue;
            };
            let found = vm.machine.device(&device.path);
            let Some(face) = found.and_then(|device| device.pci()) else {
                continue;
            };
            let config = face.config();
            let pin = config.get(0x3d, 1);
            let class = config.get(0x0a, 2);
            let known = CLASSES.iter().find(|(known, _)| *known == class);
            let header = config.get(0x0e, 1) & 0x7f == 0;
            let regions = config.bars().map(|(bar, space, size)| {
                let memory = space != Space::Io;
                PciMemoryRegion {
                    bar,
                    kind: if memory { "memory" } else { "io" },
                    address: config.bar_address(bar).map_or(-1, |at| at as i64),
                    size: u64::from(size),
                    prefetch: memory.then_some(config.get(0x10 + 4 * bar, 4) & 8 != 0),
                    mem_type_64: memory.then_some(false),
                }
            });
            devices.push(PciDeviceInfo {
                bus: number,
                slot,
                function,
                class_info: PciDeviceClass {
                    desc: known.map(|(_, desc)| *desc),
                    class,
                },
                id: PciDeviceId {
                    device: config.get(2, 2),
                    vendor: config.get(0, 2),
                    subsystem: header.then_some(config.get(0x2e, 2)),
                    subsystem_vendor: header.then_some(config.get(0x2c, 2)),
                },
                irq: (pin != 0).then_some(config.get(0x3c, 1)),
                irq_pin: pin,
                qdev_id: device.path.clone(),
                regions: regions.collect(),
            });
        }
        devices.sort_by_key(|d| (d.slot, d.function));
        buses.push(PciInfo {
            bus: number,
            devices,
        });
    }
    Ok(buses)
}

pub fn say_pci(buses: &[PciInfo]) -> String {
    let mut out = String::new();
    if buses.is_empty() {
        out += "the board has no PCI bus\n";
    }
    for d in buses.iter().flat_map(|bus| &bus.devices) {
        // Writing to a string has no way to fail.
        let _ = writeln!(
            out,
            "  Bus {:2}, device {:3}, function {}:",
            d.bus, d.slot, d.function
        );
        let class = match d.class_info.desc {
            Some(desc) => desc.to_owned(),
            None => format!("Class {:04x}", d.class_info.class),
        };
        let _ = writeln!(
            out,
            "    {class}: PCI device {:04x}:{:04x}",
            d.id.vendor, d.id.device
        );
        if let (Some(vendor), Some(subsystem)) = (d.id.subsystem_vendor, d.id.subsystem) {
            let _ = writeln!(out, "      PCI subsystem {vendor:04x}:{subsystem:04x}");
        }
        if let Some(irq) = d.irq {
            let pin = b"ABCD".get(d.irq_pin as usize - 1).copied().unwrap_or(b'?');
            let _ = writeln!(out, "      IRQ {irq}, pin {}", char::from(pin));
        }
        for r in &d.regions {
            let kind = match r.kind {
                "io" => "I/O",
                _ => "32 bit memory",
            };
            let (bar, at) = (r.bar, r.address);
            let _ = match at {
                -1 => writeln!(out, "      BAR{bar}: {kind}, {:#x} bytes, nowhere", r.size),
                at => {
                    let last = at as u64 + (r.size - 1);
                    writeln!(out, "      BAR{bar}: {kind} at {at:#x} [{last:#x}].")
                }
            };
        }
        let _ = writeln!(out, "      id \"{}\"", d.qdev_id);
    }
    out
}

/// A place in the tree of objects.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QomPath {
    /// `/` and `/machine`, or `/machine/` with a device's name.
    path: String,
}

/// A property of an object.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct ObjectPropertyInfo {
    /// Its name.
    name: String,
    /// Its type: `child<TYPE>` of an object in it.
    #[serde(rename = "type")]
    kind: String,
    /// What is said of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    /// Its value in a device of which nothing is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    default_value: Option<Value>,
}

/// An object.
enum Object<'a> {
    Root,
    Machine,
    Device(&'a PlannedDevice),
}

/// The names of the objects' types, where they are no devices'.
const CONTAINER: &str = "container";
const MACHINE: &str = "machine";

fn object<'a>(plan: &'a Plan, path: &str) -> Result<Object<'a>, Error> {
    let mut names = path.split('/').filter(|name| !name.is_empty());
    let found = match (names.next(), names.next(), names.next()) {
        (None, ..) => Some(Object::Root),
        (Some(MACHINE), None, _) => Some(Object::Machine),
        (Some(MACHINE), Some(name), None) => {
            let device = plan.devices.iter().find(|device| device.path == name);
            device.map(Object::Device)
        }
        _ => None,
    };
    found.ok_or_else(|| Error {
        class: Class::DeviceNotFound,
        reason: format!("Device '{path}' not found"),
    })
}

fn property(name: &str, kind: impl Into<String>) -> ObjectPropertyInfo {
    ObjectPropertyInfo {
        name: name.to_owned(),
        kind: kind.into(),
        description: None,
        default_value: None,
    }
}

pub fn qom_list(vm: &mut Vm<'_>, args: QomPath) -> Result<Vec<ObjectPropertyInfo>, Error> {
    let plan = &vm.loaded.plan;
    let mut list = vec![property("type", "string")];
    match object(plan, &args.path)? {
        Object::Root => list.push(property(MACHINE, format!("child<{MACHINE}>"))),
        Object::Machine => {
            let child = |d: &PlannedDevice| property(&d.path, format!("child<{}>", d.entry.name));
            list.push(property("board", "string"));
            list.extend(plan.devices.iter().map(child));
        }
        Object::Device(device) => {
            let properties = properties(device.entry);
            list.extend(properties.into_iter().map(|p| property(&p.name, p.kind)));
        }
    }
    Ok(list)
}

/// A property of an object, to be read.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QomGet {
    /// The object.
    path: String,
    /// The property's name.
    property: String,
}

pub fn qom_get(vm: &mut Vm<'_>, args: QomGet) -> Result<Value, Error> {
    let plan = &vm.loaded.plan;
    let name = args.property.as_str();
    let value = match object(plan, &args.path)? {
        Object::Root => (name == "type").then(|| CONTAINER.into()),
        Object::Machine => match name {
            "type" => Some(MACHINE.into()),
            "board" => Some(plan.name.clone().into()),
            name => {
                let found = plan.devices.iter().find(|device| device.path == name);
                found.map(|device| format!("/machine/{}", device.path).into())
            }
        },
        Object::Device(device) => match name {
            "type" => Some(device.entry.name.into()),
            name => device.props.get(name).cloned(),
        },
    };
    value.ok_or_else(|| format!("Property '{}.{name}' not found", args.path).into())
}

/// A property of an object, to be set.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QomSet {
    /// The object.
    path: String,
    /// The property's name.
    property: String,
    /// What it is to be.
    value: Value,
}

/// The same as people type it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QomSetTyped {
    /// The object.
    path: String,
    /// The property's name.
    property: String,
    /// What it is to be: as in JSON, or a text.
    value: String,
}

pub fn qom_set_typed(vm: &mut Vm<'_>, args: QomSetTyped) -> Result<Nothing, Error> {
    let QomSetTyped {
        path,
        property,
        value,
    } = args;
    let value = serde_json::from_str(&value).unwrap_or(Value::String(value));
    qom_set(
        vm,
        QomSet {
            path,
            property,
            value,
        },
    )
}

/// A property of a device is what the board says, as long as the machine is there.
pub fn qom_set(vm: &mut Vm<'_>, args: QomSet) -> Result<Nothing, Error> {
    let (path, name) = (&args.path, &args.property);
    let of = QomGet {
        path: path.clone(),
        property: name.clone(),
    };
    match qom_get(vm, of)? {
        there if there == args.value => Ok(Nothing {}),
        there => Err(format!(
            "Property '{path}.{name}' is {there}, and cannot be set while there is a machine: the board says it, or `--set DEVICE.{name}=…`"
        )
        .into()),
    }
}

/// Which types.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct QomListTypes {
    /// Only what is one of these: `device`, or a type.
    implements: Option<String>,
    /// Those too of which no object can be.
    #[serde(rename = "abstract")]
    abstracts: Option<bool>,
}

/// A type of objects.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ObjectTypeInfo {
    /// Its name.
    name: &'static str,
    /// No object is of it.
    #[serde(rename = "abstract", skip_serializing_if = "Option::is_none")]
    abstracts: Option<bool>,
    /// What each of it is too.
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<&'static str>,
}

pub fn qom_list_types(_: &mut Vm<'_>, args: QomListTypes) -> Result<Vec<ObjectTypeInfo>, Error> {
    let wanted = args.implements.as_deref();
    let devices = TYPES.iter().map(|entry| ObjectTypeInfo {
        name: entry.name,
        abstracts: None,
        parent: Some("device"),
    });
    let above = ["device", "object"].map(|name| ObjectTypeInfo {
        name,
        abstracts: Some(true),
        parent: (name == "device").then_some("object"),
    });
    let above = above.into_iter().filter(|_| args.abstracts == Some(true));
    let all = devices.chain(above);
    let fits = |info: &ObjectTypeInfo| match wanted {
        None | Some("object") => true,
        Some(wanted) => info.name == wanted || info.parent == Some(wanted),
    };
    Ok(all.filter(fits).collect())
}

/// Which type.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TypeName {
    /// Its name, as `solderless devices` lists them.
    typename: String,
}

pub fn device_list_properties(
    _: &mut Vm<'_>,
    args: TypeName,
) -> Result<Vec<ObjectPropertyInfo>, Error> {
    let entry = registry::find(&args.typename)
        .ok_or_else(|| Error::no_device(&args.typename, TYPES.iter().map(|entry| entry.name)))?;
    Ok(properties(entry))
}

/// The properties of a type of devices.
fn properties(entry: &registry::Entry) -> Vec<ObjectPropertyInfo> {
    let schema = (entry.schema)().to_value();
    let defaults = (entry.defaults)();
    let none = Map::new();
    let definitions = schema["definitions"].as_object().unwrap_or(&none);
    let all = schema["properties"].as_object().into_iter().flatten();
    let all = all.map(|(name, about)| {
        let kinds = match &table::resolved(about, definitions)["type"] {
            Value::Array(kinds) => kinds.first().cloned().unwrap_or_default(),
            kind => kind.clone(),
        };
        let default = defaults.get(name).filter(|value| !value.is_null());
        ObjectPropertyInfo {
            kind: match (kinds.as_str(), default) {
                (Some("integer"), _) => "int",
                (Some("boolean"), _) => "bool",
                (Some("number"), _) => "number",
                (Some("array"), _) => "list",
                (Some("object"), _) => "struct",
                _ => "str",
            }
            .to_owned(),
            description: Some(table::text(about)).filter(|text| !text.is_empty()),
            default_value: default.cloned(),
            ..property(name, "")
        }
    });
    all.collect()
}

pub fn say_value(value: &Value) -> String {
    format!("{value}\n")
}

pub fn say_properties(properties: &[ObjectPropertyInfo]) -> String {
    let line = |p: &ObjectPropertyInfo| format!("{} ({})\n", p.name, p.kind);
    properties.iter().map(line).collect()
}

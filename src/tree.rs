//! The device tree of a plan: what the models say of their devices ([`solderless_model::tree`]), at the addresses and behind the
//! interrupt controllers where the plan has them.
//!
//! Devicetree Specification, release 0.4.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};
use solderless_model::tree::{Node, Value};
use solderless_model::{Pin, Space};

use crate::plan::{Bus, Plan, PlannedDevice};

/// What a boot protocol hands to a kernel by the node `/chosen` (3.6).
#[derive(Debug, Clone, Default)]
pub struct Chosen {
    /// The command line.
    pub append: String,
    /// Where the initial RAM disk is, and its size in bytes.
    pub initrd: Option<(u64, u64)>,
    /// Physical address of the device that the kernel's first words go to.
    pub console: Option<u64>,
    /// There is room for a random seed: [`seed_in`].
    pub seed: bool,
    /// Memory that is not the kernel's (3.5): addresses and sizes.
    pub reserved: Vec<(u64, u64)>,
}

/// What stands where a random seed goes.
const SEED: [u8; 32] = *b"\xffhere goes what nobody can guess";

/// The board's device tree as a guest gets it.
pub fn blob(plan: &Plan, chosen: Option<&Chosen>) -> Vec<u8> {
    let mut blob = DeviceTree::new();
    blob.root = tree(plan, chosen).into();
    blob.to_dtb()
}

/// The same as source.
pub fn source(plan: &Plan, chosen: Option<&Chosen>) -> String {
    let mut source = String::from("/dts-v1/;\n\n");
    tree(plan, chosen).write("/", 0, &mut source);
    source
}

/// Where in a tree the 32 bytes of its random seed go, if it has a place for one.
pub fn seed_in(blob: &[u8]) -> Option<u64> {
    let found = blob.windows(SEED.len()).position(|bytes| bytes == SEED);
    found.map(|at| at as u64)
}

fn tree(plan: &Plan, chosen: Option<&Chosen>) -> Made {
    let handles = Handles::new(plan);
    let board = format!("solderless,{}", plan.name);
    let mut root = node("");
    cells(&mut root, "#address-cells", &[2]);
    cells(&mut root, "#size-cells", &[2]);
    text(&mut root, "compatible", &board);
    text(&mut root, "model", &plan.summary);
    let mut chosen_node = node("chosen");
    let mut cpus = node("cpus");
    cells(&mut cpus, "#address-cells", &[1]);
    cells(&mut cpus, "#size-cells", &[0]);
    let mut cluster = node("cluster0");
    let mut soc = node("soc");
    cells(&mut soc, "#address-cells", &[2]);
    cells(&mut soc, "#size-cells", &[2]);
    text(&mut soc, "compatible", "simple-bus");
    flag(&mut soc, "ranges");
    let (mut memory, mut uses) = (None, Vec::new());
    let boot = plan.boot.as_ref();
    for (index, device) in plan.devices.iter().enumerate() {
        let reg = reg(device);
        if boot.is_some_and(|boot| boot.memory == index) {
            memory = memory_node(&reg);
            continue;
        }
        let Some(said) = &device.interface.tree else {
            continue;
        };
        let handle = handles.devices.get(&index).copied();
        uses.extend(said.uses.iter().map(|user| {
            let mut made = node(user.name);
            describe(&mut made, user, handle);
            made
        }));
        if let Some(number) = said.cpu {
            for (name, value) in &said.of_cpus {
                set(&mut cpus, name, content(value, None));
            }
            let core = format!("core{}", cluster.children.len());
            let mut core = node(&core);
            cells(&mut core, "cpu", &[handle.unwrap_or(0)]);
            cluster.add_child(core);
            let mut made = node(&format!("{}@{number:x}", said.name));
            cells(&mut made, "reg", &[number]);
            handles.finish(plan, index, said, &mut made);
            cpus.add_child(made);
            continue;
        }
        let on_system = device.seat.is_some_and(|seat| seat.bus == Bus::System);
        let Some((at, _)) = reg.first().filter(|_| on_system) else {
            continue;
        };
        let mut made = node(&format!("{}@{at:x}", said.name));
        cells(&mut made, "reg", &pairs(&reg));
        handles.finish(plan, index, said, &mut made);
        let console = chosen.and_then(|chosen| chosen.console);
        if console.is_some_and(|console| reg.iter().any(|(at, _)| *at == console)) {
            let path = format!("/soc/{}@{at:x}", said.name);
            text(&mut chosen_node, "stdout-path", &path);
        }
        soc.add_child(made);
    }
    if let Some(chosen) = chosen {
        if !chosen.append.is_empty() {
            text(&mut chosen_node, "bootargs", &chosen.append);
        }
        if let Some((at, size)) = chosen.initrd {
            cells(&mut chosen_node, "linux,initrd-start", &pair(at));
            cells(&mut chosen_node, "linux,initrd-end", &pair(at + size));
        }
        if chosen.seed {
            set(&mut chosen_node, "rng-seed", Content::Bytes(SEED.to_vec()));
        }
    }
    root.add_child(chosen_node);
    if let Some(memory) = memory {
        root.add_child(memory);
    }
    let reserved = chosen.map_or(&[][..], |chosen| &chosen.reserved);
    if !reserved.is_empty() {
        root.add_child(reserved_node(reserved));
    }
    if !cluster.children.is_empty() {
        let mut map = node("cpu-map");
        map.add_child(cluster);
        cpus.add_child(map);
        root.add_child(cpus);
    }
    for made in uses {
        root.add_child(made);
    }
    root.add_child(soc);
    root
}

/// A node as it is made. What its values are is known, as a blob does not say.
#[derive(Default)]
struct Made {
    name: String,
    properties: Vec<(String, Content)>,
    children: Vec<Made>,
}

/// The value of a property (2.2.4).
enum Content {
    Cells(Vec<u32>),
    Texts(Vec<String>),
    Bytes(Vec<u8>),
}

impl Content {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Cells(cells) => cells.iter().flat_map(|cell| cell.to_be_bytes()).collect(),
            Self::Texts(texts) => texts.iter().flat_map(|t| t.bytes().chain([0])).collect(),
            Self::Bytes(bytes) => bytes.clone(),
        }
    }

    /// As source has it (6.2).
    fn source(&self) -> String {
        let of = |parts: &mut dyn Iterator<Item = String>, between: &str| {
            let parts: Vec<_> = parts.collect();
            parts.join(between)
        };
        match self {
            Self::Cells(cells) => {
                format!(
                    "<{}>",
                    of(&mut cells.iter().map(|c| format!("{c:#x}")), " ")
                )
            }
            Self::Texts(texts) => of(&mut texts.iter().map(|text| quoted(text)), ", "),
            Self::Bytes(bytes) => {
                format!(
                    "[{}]",
                    of(&mut bytes.iter().map(|b| format!("{b:02x}")), " ")
                )
            }
        }
    }
}

/// A text between quotes: what is no printable character as its number.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => quoted.extend(['\\', byte.into()]),
            b' '..=b'~' => quoted.push(byte.into()),
            // Writing to a string cannot fail.
            _ => _ = write!(quoted, "\\x{byte:02x}"),
        }
    }
    quoted + "\""
}

impl Made {
    fn add_child(&mut self, child: Self) {
        self.children.push(child);
    }

    /// Writes it as source, under a name and so far below the root.
    fn write(&self, name: &str, depth: usize, to: &mut String) {
        let tabs = "\t".repeat(depth);
        // Writing to a string cannot fail.
        let _ = writeln!(to, "{tabs}{name} {{");
        for (name, content) in &self.properties {
            let _ = match content {
                Content::Bytes(none) if none.is_empty() => writeln!(to, "{tabs}\t{name};"),
                content => writeln!(to, "{tabs}\t{name} = {};", content.source()),
            };
        }
        for (n, child) in self.children.iter().enumerate() {
            if n > 0 || !self.properties.is_empty() {
                to.push('\n');
            }
            child.write(&child.name, depth + 1, to);
        }
        let _ = writeln!(to, "{tabs}}};");
    }
}

impl From<Made> for DeviceTreeNode {
    fn from(made: Made) -> Self {
        // Names are of models, or made here, and so are good ones.
        let mut node = Self::new_unchecked(made.name);
        for (name, content) in made.properties {
            node.add_property(DeviceTreeProperty::new_unchecked(name, content.bytes()));
        }
        for child in made.children {
            node.add_child(child.into());
        }
        node
    }
}

/// The main memory (3.4).
fn memory_node(reg: &[(u64, u64)]) -> Option<Made> {
    let (at, _) = reg.first()?;
    let mut memory = node(&format!("memory@{at:x}"));
    text(&mut memory, "device_type", "memory");
    cells(&mut memory, "reg", &pairs(reg));
    Some(memory)
}

/// Memory that is no kernel's (3.5).
fn reserved_node(reserved: &[(u64, u64)]) -> Made {
    let mut made = node("reserved-memory");
    cells(&mut made, "#address-cells", &[2]);
    cells(&mut made, "#size-cells", &[2]);
    flag(&mut made, "ranges");
    for piece in reserved {
        let mut firmware = node(&format!("firmware@{:x}", piece.0));
        cells(&mut firmware, "reg", &pairs(&[*piece]));
        flag(&mut firmware, "no-map");
        made.add_child(firmware);
    }
    made
}

/// What a device answers of the system's memory space.
fn reg(device: &PlannedDevice) -> Vec<(u64, u64)> {
    let region = |id| device.interface.region(id);
    let mut windows = device.windows.iter();
    if let Some(reg) = device.interface.tree.as_ref().and_then(|t| t.reg.as_ref()) {
        let first = windows.next();
        return first.map_or(Vec::new(), |window| {
            reg.iter()
                .map(|(at, size)| (window.at + at, *size))
                .collect()
        });
    }
    let shown = windows.filter(|w| region(w.region).is_some_and(|r| r.space == Space::Memory));
    shown.map(|w| (w.at, w.size)).collect()
}

/// The phandles of the nodes that others lead to, and whom an interrupt gets to.
struct Handles {
    devices: BTreeMap<usize, u32>,
    /// Of the nodes of controllers: by an input, and what is behind it.
    inputs: BTreeMap<(usize, Pin), (u32, u32)>,
    /// Those of controllers below a device's.
    below: BTreeMap<usize, u32>,
}

impl Handles {
    fn new(plan: &Plan) -> Self {
        let mut made = Self {
            devices: BTreeMap::new(),
            inputs: BTreeMap::new(),
            below: BTreeMap::new(),
        };
        let mut next = 0;
        let mut draw = || {
            next += 1;
            next
        };
        for (index, device) in plan.devices.iter().enumerate() {
            let Some(node) = &device.interface.tree else {
                continue;
            };
            if node.cpu.is_some() || node.controller.is_some() || !node.uses.is_empty() {
                made.devices.insert(index, draw());
            }
            let Some(controller) = &node.controller else {
                continue;
            };
            let handle = match controller.below {
                Some(_) => {
                    let handle = draw();
                    made.below.insert(index, handle);
                    handle
                }
                None => made.devices.get(&index).copied().unwrap_or(0),
            };
            let inputs = controller.inputs.iter();
            made.inputs
                .extend(inputs.map(|(pin, cell)| ((index, *pin), (handle, *cell))));
        }
        made
    }

    /// What the model says of a device, and where its interrupts lead.
    fn finish(&self, plan: &Plan, index: usize, said: &Node, to: &mut Made) {
        let handle = self.devices.get(&index).copied();
        describe(to, said, handle);
        let lines = said.interrupts.iter().filter_map(|pin| {
            let nets = plan.nets.iter();
            let mut nets = nets.filter(|net| net.drivers.contains(&(index, *pin)));
            nets.find_map(|net| net.sinks.iter().find_map(|sink| self.inputs.get(sink)))
        });
        let lines: Vec<_> = lines.copied().collect();
        // What interrupts CPUs interrupts several, if there are several.
        let parent = lines.first().map(|(parent, _)| *parent);
        let cpus = |handle: &u32| self.below.values().any(|below| below == handle);
        match parent.filter(|parent| !cpus(parent)) {
            Some(parent) if lines.iter().all(|(other, _)| *other == parent) => {
                let all: Vec<_> = lines.iter().map(|(_, cell)| *cell).collect();
                cells(to, "interrupts", &all);
                cells(to, "interrupt-parent", &[parent]);
            }
            _ if lines.is_empty() => {}
            _ => {
                let all = lines.iter().flat_map(|(parent, cell)| [*parent, *cell]);
                cells(to, "interrupts-extended", &all.collect::<Vec<_>>());
            }
        }
        if let Some(controller) = &said.controller {
            let is = |node: &mut Made, handle: u32| {
                flag(node, "interrupt-controller");
                cells(node, "#interrupt-cells", &[1]);
                if controller.mapped {
                    cells(node, "#address-cells", &[0]);
                }
                cells(node, "phandle", &[handle]);
            };
            match (controller.below, self.below.get(&index)) {
                (Some(compatible), Some(handle)) => {
                    let mut below = node("interrupt-controller");
                    text(&mut below, "compatible", compatible);
                    is(&mut below, *handle);
                    to.add_child(below);
                }
                _ => is(to, handle.unwrap_or(0)),
            }
        }
        if let Some(handle) = handle {
            cells(to, "phandle", &[handle]);
        }
    }
}

/// What a model says of a node itself.
fn describe(to: &mut Made, said: &Node, handle: Option<u32>) {
    let compatible = said.compatible.iter().map(|text| (*text).to_owned());
    set(to, "compatible", Content::Texts(compatible.collect()));
    for (name, value) in &said.properties {
        set(to, name, content(value, handle));
    }
}

fn content(value: &Value, handle: Option<u32>) -> Content {
    match value {
        Value::Flag => Content::Bytes(Vec::new()),
        Value::Cells(cells) => Content::Cells(cells.clone()),
        Value::Text(text) => Content::Texts(vec![text.clone()]),
        Value::Device => Content::Cells(vec![handle.unwrap_or(0)]),
    }
}

fn node(name: &str) -> Made {
    Made {
        name: name.to_owned(),
        ..Made::default()
    }
}

/// Sets a property, which a node has once.
fn set(node: &mut Made, name: &str, value: Content) {
    node.properties.retain(|(other, _)| other != name);
    node.properties.push((name.to_owned(), value));
}

/// A property that is there or not.
fn flag(node: &mut Made, name: &str) {
    set(node, name, Content::Bytes(Vec::new()));
}

fn text(node: &mut Made, name: &str, value: &str) {
    set(node, name, Content::Texts(vec![value.replace('\0', "")]));
}

fn cells(node: &mut Made, name: &str, value: &[u32]) {
    set(node, name, Content::Cells(value.to_vec()));
}

fn pair(value: u64) -> [u32; 2] {
    [(value >> 32) as u32, value as u32]
}

fn pairs(reg: &[(u64, u64)]) -> Vec<u32> {
    let reg = reg.iter();
    reg.flat_map(|(at, size)| [pair(*at), pair(*size)].concat())
        .collect()
}

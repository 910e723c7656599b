//! A lock, as it is made of a board and as it is written.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value as Json, json};
use solderless_model::testing::Bench;
use solderless_model::{Field, Region, RegionKind, Type, Wires, Writer, seen};

use super::LockError;
use crate::board::locked::FORMAT;
use crate::compose::Loaded;
use crate::plan::{Plan, PlannedDevice};
use crate::state::{Layout, payload};
use crate::toml;

/// What stands in a lock: tables in order, each with its header and its values.
#[derive(Debug, Clone, PartialEq)]
pub struct Lock {
    /// Whose it is: `malta@3`.
    pub board: String,
    /// Headers and what stands under each.
    pub tables: Vec<(Vec<String>, Map<String, Json>)>,
}

/// The longest value that stands as it is; of a longer one the lock has the hash.
const LONGEST: usize = 100;

/// The lock of a board.
///
/// # Errors
/// A device cannot be made.
pub fn lock(loaded: &Loaded) -> Result<Lock, LockError> {
    let plan = &loaded.plan;
    let version = plan.version.iter().map(|version| format!("@{version}"));
    let board = format!("{}{}", plan.name, version.collect::<String>());
    let mut lock = Lock {
        board: board.clone(),
        tables: Vec::new(),
    };
    let mut head = Map::new();
    head.insert("format".to_owned(), FORMAT.into());
    head.insert("board".to_owned(), board.into());
    if let Some(state) = plan.state {
        head.insert("state".to_owned(), state.into());
    }
    head.insert("needs".to_owned(), needs(plan).into());
    lock.add(&["lock"], head);
    lock.add(&["from"], from(loaded));
    lock.add(&["param"], plan.params.iter().cloned().collect());
    let kinds: BTreeMap<_, _> = plan
        .devices
        .iter()
        .map(|d| (d.entry.name, d.entry))
        .collect();
    for (name, kind) in kinds {
        let now = (kind.defaults)();
        let defaults = now.all().map(|(property, value)| {
            let was = loaded
                .lock
                .as_ref()
                .and_then(|lock| lock.default(kind, property));
            (property.to_owned(), was.unwrap_or_else(|| value.clone()))
        });
        lock.add(&["defaults", name], defaults.collect());
    }
    // Devices alike are looked at once.
    let mut known: Vec<(&PlannedDevice, Map<String, Json>)> = Vec::new();
    for device in &plan.devices {
        let path = device.path.as_str();
        lock.add(&["dev", path], connected(plan, device));
        lock.add(&["dev", path, "properties"], properties(device.props.all()));
        let alike = known.iter().find(|(other, _)| {
            other.entry == device.entry
                && other.props == device.props
                && other.parts == device.parts
        });
        let reset = match alike {
            Some((_, reset)) => reset.clone(),
            None => {
                let reset = reset(device, plan.state_version()).map_err(|reason| LockError {
                    device: device.path.clone(),
                    reason,
                })?;
                known.push((device, reset.clone()));
                reset
            }
        };
        lock.add(&["dev", path, "reset"], reset);
    }
    lock.add(&["lines"], lines(plan));
    lock.add(&["slot"], slots(plan));
    lock.add(&["boot"], boot(plan));
    lock.add(&["layout"], layout(plan));
    Ok(lock)
}

impl Lock {
    fn add(&mut self, path: &[&str], values: Map<String, Json>) {
        if !values.is_empty() {
            let path = path.iter().map(|key| (*key).to_owned()).collect();
            self.tables.push((path, values));
        }
    }
}

/// As TOML.
impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "# What {} is, and what a guest and a saved machine can see of it. `solderless check` holds the board to it; nobody\n\
             # writes in it. `{{}}` is a property that is not set. What is zero after a reset is left out, and what is as the\n\
             # register before it; long values are hashed.",
            self.board
        )?;
        for (path, values) in &self.tables {
            writeln!(f, "\n[{}]", toml::path(path.iter().map(String::as_str)))?;
            for (name, value) in values {
                write!(f, "{} = ", toml::key(name))?;
                let line = written(value);
                match value {
                    Json::Array(items) if line.len() > LONGEST => {
                        writeln!(f, "[")?;
                        for item in items {
                            writeln!(f, "  {},", written(item))?;
                        }
                        writeln!(f, "]")?;
                    }
                    _ => writeln!(f, "{line}")?,
                }
            }
        }
        Ok(())
    }
}

/// A value on one line.
fn written(value: &Json) -> String {
    match value {
        Json::Null => "{}".to_owned(),
        value => toml::json(value),
    }
}

fn hash(text: &[u8]) -> String {
    format!("{:032x}", xxhash_rust::xxh3::xxh3_128(text))
}

/// The cargo features that bring the parts of a board's devices.
fn needs(plan: &Plan) -> Vec<String> {
    let parts = plan
        .devices
        .iter()
        .flat_map(|device| &device.interface.parts);
    let features = parts
        .filter(|part| part.present)
        .filter_map(|part| part.feature);
    let mut features: Vec<_> = features.map(str::to_owned).collect();
    features.sort_unstable();
    features.dedup();
    features
}

/// The files that the board came from, by their names beside it.
fn from(loaded: &Loaded) -> Map<String, Json> {
    let mut files = loaded.report.sources.all().peekable();
    let own = files.peek().map_or("", |(name, _)| name);
    let folder = &own[..own.rfind('/').map_or(0, |slash| slash + 1)];
    let lock = loaded.lock.as_ref().map(|lock| lock.name.as_str());
    files
        .filter(|(name, _)| !name.starts_with("--") && Some(*name) != lock)
        .map(|(name, text)| {
            let name = name.strip_prefix(folder).unwrap_or(name);
            (name.to_owned(), hash(text.as_bytes()).into())
        })
        .collect()
}

fn properties<'a>(all: impl Iterator<Item = (&'a str, &'a Json)>) -> Map<String, Json> {
    all.map(|(name, value)| (name.to_owned(), value.clone()))
        .collect()
}

/// What a device is, and how it is connected.
fn connected(plan: &Plan, device: &PlannedDevice) -> Map<String, Json> {
    let mut all = Map::new();
    let mut add = |name: &str, value: Json| {
        all.insert(name.to_owned(), value);
    };
    add("type", device.entry.name.into());
    if let Some(seat) = device.seat {
        add("at", plan.seat(seat).into());
    }
    let windows = device
        .windows
        .iter()
        .map(|window| device.window(plan, window));
    let windows: Vec<_> = windows.collect();
    if !windows.is_empty() {
        add("windows", windows.into());
    }
    // Where the guest places it, it has a size.
    let placed = |region: &&Region| device.windows.iter().any(|w| w.region == region.id);
    let regions =
        device.interface.regions.iter().filter(|region| {
            matches!(region.kind, RegionKind::Registers { .. }) && !placed(region)
        });
    let regions: Vec<_> = regions
        .map(|region| format!("region {}: {:#x} bytes", region.name, region.size))
        .collect();
    if !regions.is_empty() {
        add("regions", regions.into());
    }
    let parts = device.interface.parts.iter().filter(|part| part.present);
    let parts: Vec<_> = parts.map(|part| part.name).collect();
    if !parts.is_empty() {
        add("parts", parts.into());
    }
    let backends = device.interface.slots.iter().zip(&device.backends);
    let backends = backends.filter_map(|(slot, bound)| {
        let bound = plan.slots.get((*bound)?)?;
        Some((slot.name.to_owned(), bound.name.clone().into()))
    });
    let backends: Map<_, _> = backends.collect();
    if !backends.is_empty() {
        add("backend", backends.into());
    }
    all
}

/// What a guest finds in a device after a reset, and what the device then has in its state, which is most of it by the name of
/// the field.
fn reset(device: &PlannedDevice, version: u32) -> Result<Map<String, Json>, String> {
    let images = vec![None; device.interface.slots.len()];
    let built = device.props.build(Wires::new(&device.parts, &images));
    let built = built.map_err(|e| e.to_string())?;
    let mut bench = Bench::holding(built, (*device.interface).clone());
    let mut out = Writer::new(version);
    out.section("", &*bench.dev);
    let mut sections = out.finish().map_err(|e| e.to_string())?;
    let parts = (*device.parts).clone().at(version);
    let mut contents = (device.entry.contents)(&parts, &[]);
    for (_, content) in &mut contents {
        forget_memory(content);
    }
    let mut all = Map::new();
    for section in &mut sections {
        // What is in it is looked at as a guest does: all of it is much.
        section.memory.clear();
        let content = contents.iter().find(|(path, _)| *path == section.path);
        let (_, content) = content.ok_or_else(|| format!("no layout has `{}`", section.path))?;
        let lines = payload::show(section, content).map_err(|e| e.to_string())?;
        for (field, text) in lines.into_iter().filter(|(_, text)| !is_zero(text)) {
            let part = section
                .path
                .strip_prefix('.')
                .map(|part| format!("{part}."));
            let field = format!("state.{}{field}", part.unwrap_or_default());
            all.insert(field, short(text));
        }
    }
    for (name, text) in seen(&mut bench, device.entry.questions) {
        all.insert(name, short(text));
    }
    Ok(all)
}

fn short(text: String) -> Json {
    match text.len() {
        ..=LONGEST => text.into(),
        _ => format!("xxh3 {}", hash(text.as_bytes())).into(),
    }
}

/// Whether the text of a value says that nothing is there.
fn is_zero(text: &str) -> bool {
    matches!(text, "0x0" | "0" | "false" | "none" | "[]") || text.starts_with("[0 ×")
}

/// Makes the memories in a type their sizes alone.
fn forget_memory(content: &mut Type) {
    let fields = |fields: &mut Vec<Field>| {
        fields
            .iter_mut()
            .for_each(|field| forget_memory(&mut field.content));
    };
    match content {
        Type::Scalar(_) => {}
        Type::Struct(_, inner) => fields(inner),
        Type::Choice(_, variants) => variants.iter_mut().for_each(|v| fields(&mut v.fields)),
        Type::Array(inner, _) | Type::Sequence(inner) | Type::Latch(inner) => forget_memory(inner),
        Type::Memory(_) => *content = Type::Scalar("u64".into()),
    }
}

/// Each output, with the inputs that it drives.
fn lines(plan: &Plan) -> Map<String, Json> {
    let mut lines: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for net in &plan.nets {
        for driver in &net.drivers {
            let sinks = net.sinks.iter().map(|sink| plan.pin(*sink, true));
            lines
                .entry(plan.pin(*driver, false))
                .or_default()
                .extend(sinks);
        }
    }
    lines
        .into_iter()
        .map(|(driver, sinks)| (driver, sinks.into()))
        .collect()
}

fn slots(plan: &Plan) -> Map<String, Json> {
    let slot = |slot: &crate::plan::BoardSlot| match &slot.default {
        Some(default) => json!({ "kind": slot.kind, "default": default }),
        None => json!({ "kind": slot.kind }),
    };
    plan.slots
        .iter()
        .map(|s| (s.name.clone(), slot(s)))
        .collect()
}

fn boot(plan: &Plan) -> Map<String, Json> {
    let Some(boot) = &plan.boot else {
        return Map::new();
    };
    let device = |index: usize| plan.devices.get(index).map_or("", |d| &d.path);
    let firmware = plan.slots.get(boot.firmware).map_or("", |slot| &slot.name);
    let word = |(at, word): &(u64, u32)| json!(format!("{at:#x} {word:#x}"));
    let mut all = Map::new();
    for (name, value) in [
        ("firmware", json!(firmware)),
        ("memory", json!(device(boot.memory))),
        ("cpu", json!(device(boot.cpu))),
        ("protocol", json!(boot.protocol.name())),
        ("low-memory", json!(format!("{:#x}", boot.low_memory))),
    ] {
        all.insert(name.to_owned(), value);
    }
    if let Some(console) = boot.console {
        all.insert("console".to_owned(), format!("{console:#x}").into());
    }
    if !boot.setup.is_empty() {
        all.insert("setup".to_owned(), boot.setup.iter().map(word).collect());
    }
    all
}

/// Each section, and the lines of it as `solderless layout` has them.
fn layout(plan: &Plan) -> Map<String, Json> {
    let text = Layout::of(plan).to_string();
    let mut all = Map::new();
    let mut section = String::new();
    for line in text.lines() {
        let line = match line
            .strip_prefix("section ")
            .and_then(|l| l.split_once(": "))
        {
            Some((path, line)) => {
                section = path.to_owned();
                all.insert(section.clone(), Json::Array(Vec::new()));
                line
            }
            None => line.strip_prefix("  ").unwrap_or(line),
        };
        if let Some(Json::Array(lines)) = all.get_mut(&section) {
            lines.push(line.into());
        }
    }
    all
}

//! The layout: what a machine saves, read off its plan without building anything.

use std::collections::HashSet;
use std::fmt::{self, Write};

use serde::{Deserialize, Serialize};
use solderless_model::{Parts, RegionKind, Shape, Size, SlotKind, State};

use crate::machine::{BOOT, CLOCK, Clock, INPUT, Kernel, LINES, TURNS, Turns};
use crate::plan::{Plan, PlannedDevice};

/// The sections of a machine's state, in the order of its stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// See [`SectionLayout`].
    pub sections: Vec<SectionLayout>,
    /// The types of the sections' content: sections of one model share them.
    pub types: Vec<Type>,
}

/// One section: what a device saves, a part of a device, or the machine around the devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SectionLayout {
    /// The device's name; `pm.pcihp` for a part; with a `/` in front for what is no device's.
    pub path: String,
    /// The device's type; with the part's name behind it for a part.
    pub model: String,
    /// The newest state version that its fields need.
    pub version: u32,
    /// Its type, by its place among the layout's.
    pub content: usize,
}

/// A type of state, as a stream carries it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Type {
    /// An integer of this many bits and sign (`u32`, `i64`), or `bool`, a byte.
    Scalar(String),
    /// Fields one after another, with the structure's name.
    Struct(String, Vec<Field>),
    /// The number of a variant as `u32`, then its fields; with the enumeration's name.
    Choice(String, Vec<Variant>),
    /// So many elements.
    Array(Box<Type>, u64),
    /// Their number as `u64`, then the elements.
    Sequence(Box<Type>),
    /// A `bool`, then the content if it is set.
    Latch(Box<Type>),
    /// A size in bytes as `u64`; the content is in the stream's memory. The size, where the board decides.
    Memory(Option<u64>),
}

/// A field of a structure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub content: Type,
    /// The state version that brought it or its name.
    #[serde(default = "first", skip_serializing_if = "is_first")]
    pub since: u32,
    /// What it was called before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<String>,
    /// What it is where an earlier stream is loaded, encoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Vec<u8>>,
}

/// A variant of a choice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variant {
    /// Its name.
    pub name: String,
    /// Its fields.
    pub fields: Vec<Field>,
    /// The state version that brought it.
    #[serde(default = "first", skip_serializing_if = "is_first")]
    pub since: u32,
}

fn first() -> u32 {
    1
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn is_first(version: &u32) -> bool {
    *version == 1
}

impl Layout {
    /// The layout of a plan's machine.
    pub fn of(plan: &Plan) -> Self {
        let mut layout = Self {
            sections: Vec::new(),
            types: Vec::new(),
        };
        // Devices of one type, with the same parts and memories, have the same content.
        let mut known: Vec<Known<'_>> = Vec::new();
        for device in &plan.devices {
            layout.device(plan, device, &mut known);
        }
        let parts = Parts::default().at(plan.state_version());
        layout.add(CLOCK, "clock", &Clock::shape(&parts));
        let cpus = plan.devices.iter().filter(|d| d.interface.initiator);
        if cpus.count() > 1 {
            layout.add(TURNS, "turns", &Turns::shape(&parts));
        }
        layout.add_type(LINES, "lines", lines(plan));
        let bound = plan.devices.iter().flat_map(|d| &d.backends).flatten();
        let bound: HashSet<usize> = bound.copied().collect();
        for (index, slot) in plan.slots.iter().enumerate() {
            if slot.kind != SlotKind::Image && bound.contains(&index) {
                let shape = match slot.kind {
                    SlotKind::Netdev => Vec::<Vec<u8>>::shape(&parts),
                    _ => Vec::<u8>::shape(&parts),
                };
                layout.add(&format!("{INPUT}{}", slot.name), "input", &shape);
            }
        }
        layout.add(BOOT, "boot", &Option::<Kernel>::shape(&parts));
        layout
    }

    /// The section with this path, with its content.
    pub fn section(&self, path: &str) -> Option<(&SectionLayout, &Type)> {
        let section = self.sections.iter().find(|s| s.path == path)?;
        Some((section, self.content(section)?))
    }

    /// What a section holds; `None` if a stream's layout makes no sense.
    pub fn content(&self, section: &SectionLayout) -> Option<&Type> {
        self.types.get(section.content)
    }

    fn device<'p>(&mut self, plan: &Plan, device: &'p PlannedDevice, known: &mut Vec<Known<'p>>) {
        let regions = device.interface.regions.iter();
        let memories = regions.filter(|r| r.kind == RegionKind::Memory);
        let memories: Vec<u64> = memories.map(|r| r.size).collect();
        let same = |k: &&Known<'_>| {
            k.device.entry == device.entry
                && k.device.parts == device.parts
                && k.memories == memories
        };
        if let Some(Known { sections, .. }) = known.iter().rev().find(same) {
            for section in sections {
                let path = section.path.clone();
                self.sections.push(SectionLayout {
                    path: format!("{}{path}", device.path),
                    ..section.clone()
                });
            }
            return;
        }
        let start = self.sections.len();
        let shape = (device.entry.shape)(&Parts::clone(&device.parts).at(plan.state_version()));
        for (part, content) in contents(&shape, &memories) {
            let (path, model) = (&device.path, device.entry.name);
            self.add_type(&format!("{path}{part}"), &format!("{model}{part}"), content);
        }
        let made = self.sections[start..].iter().map(|s| SectionLayout {
            path: s.path[device.path.len()..].to_owned(),
            ..s.clone()
        });
        let sections = made.collect();
        known.push(Known {
            device,
            memories,
            sections,
        });
    }

    fn add(&mut self, path: &str, model: &str, shape: &Shape) {
        for (_, content) in contents(shape, &[]) {
            self.add_type(path, model, content);
        }
    }

    /// Adds a section, unless it can hold nothing.
    fn add_type(&mut self, path: &str, model: &str, content: Type) {
        if content.is_empty() {
            return;
        }
        let version = content.version();
        let place = self.types.iter().rposition(|known| *known == content);
        let place = place.unwrap_or_else(|| {
            self.types.push(content);
            self.types.len() - 1
        });
        self.sections.push(SectionLayout {
            path: path.to_owned(),
            model: model.to_owned(),
            version,
            content: place,
        });
    }
}

/// The sections that were made for a device, without its name.
struct Known<'p> {
    device: &'p PlannedDevice,
    memories: Vec<u64>,
    sections: Vec<SectionLayout>,
}

/// The outputs of a board: what the section of the lines holds.
fn lines(plan: &Plan) -> Type {
    let outputs = |d: &PlannedDevice| d.interface.outputs.iter().map(|p| u64::from(p.count)).sum();
    let fields = plan.devices.iter().filter_map(|d| {
        let count: u64 = outputs(d);
        (count > 0).then(|| Field {
            name: d.path.clone(),
            content: Type::Array(Box::new(Type::Scalar("bool".to_owned())), count),
            since: 1,
            was: None,
            default: None,
        })
    });
    Type::Struct("Lines".to_owned(), fields.collect())
}

/// What a device saves and what its parts do, each with what its section's path has behind the device's name.
pub fn contents(shape: &Shape, memories: &[u64]) -> Vec<(String, Type)> {
    let mut converter = Converter {
        memories: memories.iter(),
        path: String::new(),
        done: Vec::new(),
    };
    converter.section(String::new(), shape);
    converter.done
}

struct Converter<'a> {
    /// The sizes of the device's memories that have not been come to.
    memories: std::slice::Iter<'a, u64>,
    path: String,
    done: Vec<(String, Type)>,
}

impl Converter<'_> {
    fn section(&mut self, path: String, shape: &Shape) {
        let outer = std::mem::replace(&mut self.path, path.clone());
        let place = self.done.len();
        // Parts come behind what they are parts of.
        self.done
            .push((path, Type::Struct(String::new(), Vec::new())));
        self.done[place].1 = self.content(shape);
        self.path = outer;
    }

    fn content(&mut self, shape: &Shape) -> Type {
        match shape {
            Shape::Scalar(name) => Type::Scalar((*name).to_owned()),
            Shape::Struct(name, fields) => Type::Struct((*name).to_owned(), self.fields(fields)),
            Shape::Choice(name, variants) => {
                let variants = variants.iter().map(|v| Variant {
                    name: v.name.to_owned(),
                    fields: match &v.shape {
                        Shape::Struct(_, fields) => self.fields(fields),
                        _ => Vec::new(),
                    },
                    since: v.since,
                });
                Type::Choice((*name).to_owned(), variants.collect())
            }
            Shape::Array(inner, len) => Type::Array(Box::new(self.content(inner)), *len as u64),
            Shape::Sequence(inner) => Type::Sequence(Box::new(self.content(inner))),
            Shape::Latch(inner) => Type::Latch(Box::new(self.content(inner))),
            Shape::Memory => Type::Memory(self.memories.next().copied()),
            Shape::Part(name, inner) => {
                self.section(format!("{}.{name}", self.path), inner);
                Type::Struct(String::new(), Vec::new())
            }
            Shape::Absent => Type::Struct(String::new(), Vec::new()),
        }
    }

    fn fields(&mut self, fields: &[solderless_model::Field]) -> Vec<Field> {
        let mut out = Vec::new();
        for field in fields {
            let content = self.content(&field.shape);
            // A part is a section of its own and leaves no trace here.
            if !matches!(field.shape, Shape::Part(..)) {
                out.push(Field {
                    name: field.name.to_owned(),
                    content,
                    since: field.since,
                    was: field.was.map(str::to_owned),
                    default: field.default.clone(),
                });
            }
        }
        out
    }
}

impl Type {
    /// Whether a value takes no byte, ever.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Struct(_, fields) => fields.iter().all(|f| f.content.is_empty()),
            Self::Array(inner, len) => *len == 0 || inner.is_empty(),
            _ => false,
        }
    }

    /// How many bytes a value takes in its section at least, and whether it can take more.
    pub fn size(&self) -> (u64, bool) {
        let fields = |fields: &[Field]| {
            fields.iter().fold((0u64, false), |(size, more), f| {
                let (this, varies) = f.content.size();
                (size.saturating_add(this), more || varies)
            })
        };
        match self {
            Self::Scalar(name) => (scalar_size(name).unwrap_or(0), false),
            Self::Struct(_, inner) => fields(inner),
            Self::Choice(_, variants) => {
                let sizes = variants.iter().map(|v| fields(&v.fields));
                let sizes: Vec<_> = sizes.collect();
                let least = sizes.iter().map(|s| s.0).min().unwrap_or(0);
                let equal = sizes.iter().all(|s| *s == (least, false));
                (least.saturating_add(4), !equal)
            }
            Self::Array(inner, len) => {
                let (size, more) = inner.size();
                (size.saturating_mul(*len), more)
            }
            Self::Sequence(_) => (8, true),
            Self::Latch(_) => (1, true),
            Self::Memory(_) => (8, false),
        }
    }

    /// The sizes of the memories in it, `None` for one that the board does not decide.
    pub fn memories(&self) -> Vec<Option<u64>> {
        let fields = |fields: &[Field]| fields.iter().flat_map(|f| f.content.memories()).collect();
        match self {
            Self::Scalar(_) => Vec::new(),
            Self::Struct(_, inner) => fields(inner),
            Self::Choice(_, variants) => variants.iter().flat_map(|v| fields(&v.fields)).collect(),
            Self::Array(inner, _) | Self::Sequence(inner) | Self::Latch(inner) => inner.memories(),
            Self::Memory(size) => vec![*size],
        }
    }

    /// The newest state version that it needs.
    fn version(&self) -> u32 {
        let fields = |fields: &[Field]| {
            let versions = fields.iter().map(|f| f.since.max(f.content.version()));
            versions.max().unwrap_or(1)
        };
        match self {
            Self::Scalar(_) | Self::Memory(_) => 1,
            Self::Struct(_, inner) => fields(inner),
            Self::Choice(_, variants) => {
                let versions = variants.iter().map(|v| v.since.max(fields(&v.fields)));
                versions.max().unwrap_or(1)
            }
            Self::Array(inner, _) | Self::Sequence(inner) | Self::Latch(inner) => inner.version(),
        }
    }

    /// The guest memory in it whose size the board decides, in bytes.
    pub fn memory(&self) -> u64 {
        match self {
            Self::Struct(_, fields) => fields.iter().map(|f| f.content.memory()).sum(),
            Self::Array(inner, len) => inner.memory().saturating_mul(*len),
            Self::Memory(size) => size.unwrap_or(0),
            _ => 0,
        }
    }
}

/// How many bytes a scalar of this name takes.
pub fn scalar_size(name: &str) -> Option<u64> {
    Some(match name {
        "bool" | "u8" | "i8" => 1,
        "u16" | "i16" => 2,
        "u32" | "i32" => 4,
        "u64" | "i64" => 8,
        _ => return None,
    })
}

/// A type's name as text: `[u32; 34]`, `Vec<u8>`; a structure's by its name.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scalar(name) | Self::Struct(name, _) => f.write_str(name),
            Self::Choice(name, variants) => {
                let names: Vec<_> = variants.iter().map(|v| v.name.as_str()).collect();
                write!(f, "{name} ({})", names.join(" | "))
            }
            Self::Array(inner, len) => write!(f, "[{inner}; {len}]"),
            Self::Sequence(inner) => write!(f, "Vec<{inner}>"),
            Self::Latch(inner) => write!(f, "Option<{inner}>"),
            Self::Memory(Some(size)) => write!(f, "memory of {}", Size(*size)),
            Self::Memory(None) => f.write_str("memory"),
        }
    }
}

/// Each section with its fields, one a line.
impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for section in &self.sections {
            let Some(content) = self.content(section) else {
                continue;
            };
            let (size, more) = content.size();
            write!(f, "section {}: {}", section.path, section.model)?;
            if section.version > 1 {
                write!(f, ", version {}", section.version)?;
            }
            let more = if more { " or more" } else { "" };
            let memory = match content.memory() {
                0 => String::new(),
                memory => format!(", memory {}", Size(memory)),
            };
            writeln!(f, ", {size} bytes{more}{memory}")?;
            let mut text = String::new();
            match content {
                Type::Struct(_, fields) => write_fields(&mut text, fields, 1)?,
                other => write_content(&mut text, other, 1)?,
            }
            f.write_str(&text)?;
        }
        Ok(())
    }
}

fn write_fields(out: &mut String, fields: &[Field], depth: usize) -> fmt::Result {
    for field in fields {
        write!(
            out,
            "{:1$}{2}: {3}",
            "",
            2 * depth,
            field.name,
            field.content
        )?;
        if field.since > 1 {
            write!(out, "  # since {}", field.since)?;
            match (&field.was, &field.default) {
                (Some(was), _) => write!(out, ", before: {was}")?,
                (None, Some(default)) => write!(out, ", before: {default:02x?}")?,
                (None, None) => {}
            }
        }
        out.push('\n');
        write_content(out, &field.content, depth + 1)?;
    }
    Ok(())
}

/// What is in a type that its name does not tell.
fn write_content(out: &mut String, content: &Type, depth: usize) -> fmt::Result {
    match content {
        Type::Scalar(_) | Type::Memory(_) => Ok(()),
        Type::Struct(_, fields) => write_fields(out, fields, depth),
        Type::Choice(_, variants) => {
            for variant in variants {
                if !variant.fields.is_empty() || variant.since > 1 {
                    write!(out, "{:1$}{2}", "", 2 * depth, variant.name)?;
                    if variant.since > 1 {
                        write!(out, "  # since {}", variant.since)?;
                    }
                    out.push('\n');
                    write_fields(out, &variant.fields, depth + 1)?;
                }
            }
            Ok(())
        }
        Type::Array(inner, _) | Type::Sequence(inner) | Type::Latch(inner) => {
            write_content(out, inner, depth)
        }
    }
}

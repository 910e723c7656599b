//! The layout: what a machine saves, read off its plan without building anything.

use std::fmt::{self, Write};

use serde::{Deserialize, Serialize};
use solderless_model::{Field, Size, Type};

use crate::machine::{Kept, Of, memories};
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

impl Layout {
    /// The layout of a plan's machine.
    pub fn of(plan: &Plan) -> Self {
        let mut layout = Self {
            sections: Vec::new(),
            types: Vec::new(),
        };
        // Devices of one type, with the same parts and memories, have the same content.
        let mut known: Vec<Known<'_>> = Vec::new();
        for kept in Kept::all(plan) {
            match kept.of {
                Of::Device(index) => layout.device(plan, &kept, &plan.devices[index], &mut known),
                _ => layout.add(plan, &kept),
            }
        }
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

    fn device<'p>(
        &mut self,
        plan: &Plan,
        kept: &Kept,
        device: &'p PlannedDevice,
        known: &mut Vec<Known<'p>>,
    ) {
        let memories = memories(device);
        let same = |k: &&Known<'_>| {
            k.device.entry == device.entry
                && k.device.parts == device.parts
                && k.memories == memories
        };
        if let Some(Known { sections, .. }) = known.iter().rev().find(same) {
            for section in sections {
                let path = section.path.clone();
                self.sections.push(SectionLayout {
                    path: format!("{}{path}", kept.path),
                    ..section.clone()
                });
            }
            return;
        }
        let start = self.sections.len();
        self.add(plan, kept);
        let made = self.sections[start..].iter().map(|s| SectionLayout {
            path: s.path[kept.path.len()..].to_owned(),
            ..s.clone()
        });
        let sections = made.collect();
        known.push(Known {
            device,
            memories,
            sections,
        });
    }

    /// Adds a section, and those of parts, unless they can hold nothing.
    fn add(&mut self, plan: &Plan, kept: &Kept) {
        let contents = kept.contents(plan).into_iter();
        for (part, content) in contents.filter(|(_, content)| !content.is_empty()) {
            let version = content.version();
            let place = self.types.iter().rposition(|known| *known == content);
            let place = place.unwrap_or_else(|| {
                self.types.push(content);
                self.types.len() - 1
            });
            self.sections.push(SectionLayout {
                path: format!("{}{part}", kept.path),
                model: format!("{}{part}", kept.model(plan)),
                version,
                content: place,
            });
        }
    }
}

/// The sections that were made for a device, without its name.
struct Known<'p> {
    device: &'p PlannedDevice,
    memories: Vec<u64>,
    sections: Vec<SectionLayout>,
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

//! `solderless devices`.

use std::fmt::Write;
use std::process::ExitCode;

use serde_json::{Value as Json, json};
use solderless_model::{Interface, Pins, Placement, RegionKind};

use crate::board::decode::{between, limits};
use crate::diagnostics::suggest;
use crate::registry::{Entry, TYPES, find};

/// List the device types, or describe one
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The type to describe
    #[arg(value_name = "TYPE")]
    name: Option<String>,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    let Some(name) = &args.name else {
        return super::print(&list(args.format));
    };
    let Some(entry) = find(name) else {
        let help = suggest(name, "types", TYPES.iter().map(|e| e.name));
        return super::usage(&format!("there is no device type `{name}`\n{help}"));
    };
    match describe(entry) {
        Ok(description) if args.format == Format::Json => {
            super::print(&pretty(&description.json()))
        }
        Ok(description) => super::print(&description.text()),
        Err(e) => super::usage(&e),
    }
}

fn pretty(json: &Json) -> String {
    format!("{json:#}\n")
}

fn list(format: Format) -> String {
    if format == Format::Json {
        return pretty(
            &TYPES
                .iter()
                .map(|e| json!({ "type": e.name, "summary": e.summary }))
                .collect(),
        );
    }
    let width = TYPES.iter().map(|e| e.name.len()).max().unwrap_or(0);
    TYPES
        .iter()
        .map(|e| format!("{:width$}  {}\n", e.name, e.summary))
        .collect()
}

/// What can be said of a type: its schema, and what its defaults make of it.
struct Description {
    entry: &'static Entry,
    schema: Json,
    defaults: Json,
    interface: Interface,
}

fn describe(entry: &'static Entry) -> Result<Description, String> {
    let defaults = (entry.decode)(&json!({}))?;
    let interface = (entry.interface)(&defaults).map_err(|e| e.to_string())?;
    let schema = (entry.schema)().to_value();
    Ok(Description {
        entry,
        schema,
        defaults,
        interface,
    })
}

impl Description {
    fn json(&self) -> Json {
        json!({
            "type": self.entry.name,
            "summary": self.entry.summary,
            "properties": self.schema["properties"],
            "definitions": self.schema["definitions"],
            "defaults": self.defaults,
            "interface": self.interface,
        })
    }

    fn text(&self) -> String {
        let mut out = format!("{}: {}\n", self.entry.name, self.entry.summary);
        let i = &self.interface;
        let bus = i.bus.map_or("on no bus".to_owned(), |bus| {
            format!("on a bus of kind {}", word(&bus))
        });
        let role = if i.initiator { ", starts accesses" } else { "" };
        let _ = writeln!(out, "  {bus}{role}");
        let properties = self.schema["properties"].as_object();
        heading(
            &mut out,
            "properties",
            properties.into_iter().flatten(),
            |(name, schema)| {
                let value = match self.defaults.get(name) {
                    None | Some(Json::Null) => String::new(),
                    Some(default) => format!(" = {default}"),
                };
                let mut line = format!("{name}: {}{value}", kind(&self.schema, schema));
                if let Some(text) = schema["description"].as_str() {
                    let _ = write!(line, "\n      {}", text.replace('\n', "\n      "));
                }
                line
            },
        );
        heading(&mut out, "regions", &i.regions, |region| {
            let place = match region.place {
                Placement::Board(0) => "at the device's address".to_owned(),
                Placement::Board(distance) if distance < 0 => {
                    format!("at the device's address - {:#x}", distance.unsigned_abs())
                }
                Placement::Board(distance) => format!("at the device's address + {distance:#x}"),
                Placement::View => "where `map` puts it as a view".to_owned(),
                Placement::Fixed(at) => format!("always at {at:#x}"),
                Placement::Device => "where the guest puts it".to_owned(),
            };
            let what = match region.kind {
                RegionKind::Registers { max_width } => {
                    format!("registers, {} bits", u32::from(max_width) * 8)
                }
                RegionKind::Memory => "memory".to_owned(),
                RegionKind::Bridge { port, space } => {
                    let port = i.ports.get(usize::from(port.0)).map_or("", |p| p.name);
                    format!("a window onto {} of {port}", word(&space))
                }
            };
            let background = if region.background {
                ", behind all else"
            } else {
                ""
            };
            format!(
                "{}: {:#x} bytes of {} ({what}) {place}{background}",
                region.name,
                region.size,
                word(&region.space)
            )
        });
        heading(&mut out, "ports", &i.ports, |port| {
            format!("{}: a bus of kind {}", port.name, word(&port.kind))
        });
        heading(&mut out, "inputs", numbered(&i.inputs), |(first, pins)| {
            format!("{} ({first})", pin(pins))
        });
        heading(&mut out, "outputs", &i.outputs, pin);
        heading(&mut out, "slots", &i.slots, |slot| {
            format!("{}: {}", slot.name, word(&slot.kind))
        });
        heading(&mut out, "parts", &i.parts, |part| {
            let state = if part.present { "there" } else { "not there" };
            let built = if part.built {
                ""
            } else {
                "; not built into this program"
            };
            let properties: Vec<_> = part
                .off
                .iter()
                .map(|(name, _)| format!("`{name}`"))
                .collect();
            let say = if properties.len() == 1 { "says" } else { "say" };
            format!(
                "{}: by default {state}, as {} {say}{built}",
                part.name,
                properties.join(" and ")
            )
        });
        out
    }
}

fn heading<T>(
    out: &mut String,
    title: &str,
    items: impl IntoIterator<Item = T>,
    line: impl Fn(T) -> String,
) {
    for (n, item) in items.into_iter().enumerate() {
        if n == 0 {
            let _ = writeln!(out, "  {title}");
        }
        let _ = writeln!(out, "    {}", line(item));
    }
}

fn pin(pins: &Pins) -> String {
    match pins.count {
        1 => pins.name.to_owned(),
        count => format!("{}[0-{}]", pins.name, count.saturating_sub(1)),
    }
}

/// The groups with their numbers among all pins, as a line can name them.
fn numbered(groups: &[Pins]) -> Vec<(String, &Pins)> {
    let mut out = Vec::new();
    let mut first = 0;
    for pins in groups {
        let last = first + pins.count.saturating_sub(1);
        let numbers = if first == last {
            first.to_string()
        } else {
            format!("{first} to {last}")
        };
        out.push((numbers, pins));
        first += pins.count;
    }
    out
}

/// A unit value as it is serialized.
fn word(value: &impl serde::Serialize) -> String {
    let json = serde_json::to_value(value).unwrap_or_default();
    json.as_str().unwrap_or_default().to_owned()
}

/// What a property takes, in a few words.
fn kind(root: &Json, schema: &Json) -> String {
    if let Some(name) = schema["$ref"]
        .as_str()
        .and_then(|r| r.strip_prefix("#/definitions/"))
    {
        return kind(root, &root["definitions"][name]);
    }
    if let Some([only]) = schema["allOf"].as_array().map(Vec::as_slice) {
        return kind(root, only);
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(alternatives) = schema[key].as_array() {
            let kinds = alternatives
                .iter()
                .filter(|a| a["type"] != "null")
                .map(|a| kind(root, a));
            return kinds.collect::<Vec<_>>().join(" or ");
        }
    }
    if let Some(choices) = schema["enum"].as_array() {
        let choices = choices.iter().filter(|c| !c.is_null()).map(Json::to_string);
        return choices.collect::<Vec<_>>().join(" or ");
    }
    if let Some(only) = schema.get("const") {
        return only.to_string();
    }
    let name = match &schema["type"] {
        Json::Array(several) => several.iter().find(|t| *t != "null").and_then(Json::as_str),
        one => one.as_str(),
    };
    match (name, limits(schema)) {
        (Some("string"), _)
            if schema["pattern"]
                .as_str()
                .is_some_and(|p| p.contains("KiB")) =>
        {
            "size".to_owned()
        }
        (Some("string"), _)
            if schema["pattern"]
                .as_str()
                .is_some_and(|p| p.contains("kHz")) =>
        {
            "frequency".to_owned()
        }
        (Some("array"), _) => match schema.get("items") {
            Some(item) => format!("list of {}", kind(root, item)),
            None => "list".to_owned(),
        },
        (Some("integer"), Some(range)) => format!("integer{}", between(range)),
        (Some(other), _) => other.to_owned(),
        (None, _) => "anything".to_owned(),
    }
}

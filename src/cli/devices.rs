//! `solderless devices`.

use std::fmt::Write;
use std::process::ExitCode;

use serde_json::{Value as Json, json};
use solderless_model::{Interface, Pins, Placement, RegionKind};

use crate::board::decode::{between, limits};
use crate::diagnostics::suggest;
use crate::registry::{self, Entry, Properties, TYPES, find};

/// The arguments of `solderless devices`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The type to describe
    #[arg(value_name = "TYPE", add = super::complete::types())]
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
    /// For documentation
    Markdown,
}

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    let Some(name) = &args.name else {
        if args.format != Format::Markdown {
            return super::print(&list(args.format));
        }
        return match reference() {
            Ok(reference) => super::print(&reference),
            Err(e) => super::usage(&e),
        };
    };
    let Some(entry) = find(name) else {
        let help = suggest(name, "types", TYPES.iter().map(|e| e.name));
        return super::usage(&format!("there is no device type `{name}`\n{help}"));
    };
    match describe(entry) {
        Ok(description) if args.format == Format::Json => {
            super::print(&pretty(&description.json()))
        }
        Ok(description) if args.format == Format::Markdown => super::print(&description.markdown()),
        Ok(description) => super::print(&description.text()),
        Err(e) => super::usage(&e),
    }
}

/// All types, as `docs/devices.md` has them.
fn reference() -> Result<String, String> {
    let mut out = "# The device types

What a board can put on its buses, as `solderless devices --format markdown` prints it. The defaults of the properties
are the types'; regions, pins and the rest are those that a device with these has.
"
    .to_owned();
    for entry in TYPES {
        let _ = write!(out, "\n{}", describe(entry)?.markdown());
    }
    Ok(out)
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
    defaults: Properties,
    interface: Interface,
}

fn describe(entry: &'static Entry) -> Result<Description, String> {
    let defaults = (entry.defaults)();
    let interface = defaults.interface().map_err(|e| e.to_string())?;
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
            "defaults": self.defaults.to_json(),
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
        let properties = self.properties();
        if !properties.is_empty() {
            out.push_str("  properties\n");
        }
        for property in properties {
            let value = match property.default {
                Some(default) => format!(" = {default}"),
                None => String::new(),
            };
            let _ = writeln!(out, "    {}: {}{value}", property.name, property.kind);
            if let Some(text) = property.text {
                let _ = writeln!(out, "      {}", text.replace('\n', "\n      "));
            }
            for (choice, text) in property.choices {
                let _ = writeln!(out, "      {choice}: {}", text.replace('\n', "\n        "));
            }
        }
        for (title, items) in self.lists() {
            let _ = writeln!(out, "  {title}");
            for (name, rest) in items {
                let _ = writeln!(out, "    {name}{rest}");
            }
        }
        out
    }

    /// The type as a section of a document.
    fn markdown(&self) -> String {
        let mut out = format!("## `{}`\n\n{}.", self.entry.name, self.entry.summary);
        let place = match (self.interface.bus, self.interface.initiator) {
            (None, _) => "It sits on no bus".to_owned(),
            (Some(bus), false) => format!("It sits on a bus of kind {}", word(&bus)),
            (Some(bus), true) => format!("It starts accesses on a bus of kind {}", word(&bus)),
        };
        let _ = writeln!(out, " {place}.");
        if !self.entry.old_names.is_empty() {
            let names = self.entry.old_names.join("`, `");
            let _ = writeln!(out, "It was called `{names}` before.");
        }
        let properties = self.properties();
        if !properties.is_empty() {
            out.push_str("\n| property | takes | default | meaning |\n| --- | --- | --- | --- |\n");
        }
        for property in properties {
            let default = property.default.map_or(String::new(), |d| format!("`{d}`"));
            let mut text = property.text.unwrap_or_default().to_owned();
            for (choice, meaning) in &property.choices {
                let _ = write!(text, "<br>`{choice}`: {meaning}");
            }
            let text = text.replace('\n', " ");
            let row = [&property.kind, &default, &text].map(|cell| cell.replace('|', "\\|"));
            let _ = writeln!(out, "| `{}` | {} |", property.name, row.join(" | "));
        }
        for (title, items) in self.lists() {
            let _ = writeln!(out, "\nIts {title}:\n");
            for (name, rest) in items {
                let _ = writeln!(out, "- `{name}`{rest}");
            }
        }
        out
    }

    fn properties(&self) -> Vec<Property<'_>> {
        let properties = self.schema["properties"].as_object();
        properties
            .into_iter()
            .flatten()
            .map(|(name, schema)| Property {
                name,
                kind: kind(&self.schema, schema),
                default: self.defaults.get(name).filter(|value| !value.is_null()),
                text: schema["description"].as_str(),
                choices: choices(&self.schema, schema),
            })
            .collect()
    }

    /// What it has beside properties: per title a name and what follows it in a line.
    fn lists(&self) -> Vec<(&'static str, Vec<(String, String)>)> {
        let i = &self.interface;
        let regions = i.regions.iter().map(|region| {
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
            let text = format!(
                ": {:#x} bytes of {} ({what}) {place}{background}",
                region.size,
                word(&region.space)
            );
            (region.name.to_owned(), text)
        });
        let ports = i.ports.iter().map(|port| {
            let text = format!(": a bus of kind {}", word(&port.kind));
            (port.name.to_owned(), text)
        });
        let inputs = numbered(&i.inputs).into_iter().map(|(numbers, pins)| {
            let text = match pins.inside {
                [] => format!(" ({numbers})"),
                _ => format!(" ({numbers}); of the others, {}", pins.why_inside),
            };
            (pin(pins), text)
        });
        let outputs = i.outputs.iter().map(|pins| (pin(pins), String::new()));
        let slots = i.slots.iter().map(|slot| {
            let text = format!(": {}", word(&slot.kind));
            (slot.name.to_owned(), text)
        });
        let parts = i.parts.iter().map(|part| {
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
            let text = format!(
                ": by default {state}, as {} {say}{built}",
                properties.join(" and ")
            );
            (part.name.to_owned(), text)
        });
        let architecture = i
            .cpu
            .and_then(|cpu| registry::architecture(cpu.architecture));
        let protocols = architecture.map_or(&[][..], |a| a.protocols());
        let protocols = protocols.iter().map(|protocol| {
            let text = format!(": {}", protocol.summary());
            (protocol.name().to_owned(), text)
        });
        let mut lists = vec![
            ("regions", regions.collect::<Vec<_>>()),
            ("ports", ports.collect()),
            ("inputs", inputs.collect()),
            ("outputs", outputs.collect()),
            ("slots", slots.collect()),
            ("parts", parts.collect()),
            ("boot protocols", protocols.collect()),
        ];
        lists.retain(|(_, items)| !items.is_empty());
        lists
    }
}

/// A property as its type has it.
struct Property<'a> {
    name: &'a str,
    /// What it takes, in a few words.
    kind: String,
    /// Nothing if the default depends on other properties, or is to have none.
    default: Option<&'a Json>,
    text: Option<&'a str>,
    /// What is said of each value that it takes.
    choices: Vec<(&'a str, &'a str)>,
}

fn pin(pins: &Pins) -> String {
    match pins.count {
        1 => pins.name.to_owned(),
        _ => format!("{}[{}]", pins.name, runs(pins, 0).join(",")),
    }
}

/// The numbers of a group that are pins, as runs of them, counted from a number.
fn runs(pins: &Pins, from: u16) -> Vec<String> {
    let mut runs: Vec<(u16, u16)> = Vec::new();
    for n in (0..pins.count).filter(|n| !pins.inside.contains(n)) {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == n => *last = n,
            _ => runs.push((n, n)),
        }
    }
    let run = |(first, last): (u16, u16)| match first == last {
        true => (from + first).to_string(),
        false => format!("{}-{}", from + first, from + last),
    };
    runs.into_iter().map(run).collect()
}

/// The groups with their numbers among all pins, as a line can name them.
fn numbered(groups: &[Pins]) -> Vec<(String, &Pins)> {
    let mut out = Vec::new();
    let mut first = 0;
    for pins in groups {
        out.push((runs(pins, first).join(", ").replace('-', " to "), pins));
        first += pins.count;
    }
    out
}

/// A unit value as it is serialized.
fn word(value: &impl serde::Serialize) -> String {
    let json = serde_json::to_value(value).unwrap_or_default();
    json.as_str().unwrap_or_default().to_owned()
}

/// A schema, or what it refers to.
fn followed<'a>(root: &'a Json, schema: &'a Json) -> &'a Json {
    let name = schema["$ref"].as_str();
    match name.and_then(|r| r.strip_prefix("#/definitions/")) {
        Some(name) => followed(root, &root["definitions"][name]),
        None => match schema["allOf"].as_array().map(Vec::as_slice) {
            Some([only]) => followed(root, only),
            _ => schema,
        },
    }
}

/// The values that a property takes, as far as there is something to say of each.
fn choices<'a>(root: &'a Json, schema: &'a Json) -> Vec<(&'a str, &'a str)> {
    let choices = followed(root, schema)["oneOf"].as_array();
    let choices = choices.into_iter().flatten();
    let said = choices.filter_map(|c| Some((c["const"].as_str()?, c["description"].as_str()?)));
    said.collect()
}

/// What a property takes, in a few words.
fn kind(root: &Json, schema: &Json) -> String {
    let schema = followed(root, schema);
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

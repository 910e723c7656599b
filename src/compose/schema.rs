//! The JSON Schemas of boards and the files around them, made from the types that decode them.

use schemars::JsonSchema;
use serde_json::{Map, Value as Json, json};

use crate::board::format::{
    BoardSection, BootSection, CHIP_SECTIONS, ChipSection, InterfaceSection, JoinSection, MapEntry,
    OVERLAY_SECTIONS, OverlaySection, ParamSection, PortSection, RUN_SECTIONS, RunBootSection,
    RunSection, SECTIONS, SlotSection, WhenSection,
};
use crate::board::tree::Table;
use crate::diagnostics::Span;
use crate::graph::lints::LINTS;
use crate::registry::{Entry, TYPES, draft07};

/// What a parameter looks like where it stands for a value.
const PARAM: &str = r"^\$\{[A-Za-z0-9_-]+\}$";

/// The files that have a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// A board
    Board,
    /// A chip, which boards place
    Chip,
    /// An overlay, laid over a board with `--overlay`
    Overlay,
    /// What `run --run-file` runs
    Run,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Board, Self::Chip, Self::Overlay, Self::Run];

    /// The kind that a file says it is, and where.
    pub fn of(tree: &Table) -> Option<(Self, Span)> {
        let headers = [
            ("board", Self::Board),
            ("interface", Self::Chip),
            ("port", Self::Chip),
            ("overlay", Self::Overlay),
            ("run", Self::Run),
            ("backend", Self::Run),
        ];
        let mut found = headers.iter();
        found.find_map(|(header, kind)| Some((*kind, tree.get(header)?.key)))
    }

    /// It with its article, and what it is for.
    pub fn about(self) -> (&'static str, &'static str) {
        match self {
            Self::Board => ("a board", "run it, or extend it: `extends` in [board]"),
            Self::Chip => ("a chip", "a board places it: `use` in [chip.NAME]"),
            Self::Overlay => ("an overlay", "lay it over a board: `--overlay FILE`"),
            Self::Run => ("a run file", "run it: `solderless run --run-file FILE`"),
        }
    }

    /// Its name, as in `schemas/NAME.schema.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Board => "board",
            Self::Chip => "chip",
            Self::Overlay => "overlay",
            Self::Run => "run",
        }
    }
}

/// The schema of a kind of file, as text.
pub fn schema(kind: Kind) -> String {
    let mut all = Definitions(Map::new());
    let mut properties = Map::new();
    let (header, sections): (Json, &[&str]) = match kind {
        Kind::Board => (all.add::<BoardSection>("board", false), &SECTIONS),
        Kind::Chip => (
            all.add::<InterfaceSection>("interface", false),
            &CHIP_SECTIONS,
        ),
        Kind::Overlay => (
            all.add::<OverlaySection>("overlay", false),
            &OVERLAY_SECTIONS,
        ),
        Kind::Run => (all.add::<RunSection>("run", false), &RUN_SECTIONS),
    };
    properties.insert(sections[0].to_owned(), header);
    for section in &sections[1..] {
        let schema = match kind {
            Kind::Run => run_section(section, &mut all),
            Kind::Board | Kind::Chip | Kind::Overlay => board_section(section, &mut all),
        };
        properties.insert((*section).to_owned(), schema);
    }
    let required: &[&str] = match kind {
        Kind::Board | Kind::Chip => &sections[..1],
        Kind::Overlay | Kind::Run => &[],
    };
    let schema = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": format!("Solderless {}", kind.name()),
        "type": "object",
        "required": required,
        "additionalProperties": false,
        "properties": properties,
        "definitions": all.0,
    });
    format!("{schema:#}\n")
}

fn table(description: &str, of: &Json) -> Json {
    json!({ "description": description, "type": "object", "additionalProperties": of })
}

fn text(description: &str) -> Json {
    json!({ "description": description, "type": "string" })
}

fn run_section(section: &str, all: &mut Definitions) -> Json {
    match section {
        "param" => table(
            "The board's parameters, by name",
            &json!({ "type": ["string", "integer", "boolean"] }),
        ),
        "backend" => table(
            "What is plugged into the board's slots, by name: what `--backend` takes",
            &json!({ "type": "string" }),
        ),
        _ => all.add::<RunBootSection>("boot", false),
    }
}

fn board_section(section: &str, all: &mut Definitions) -> Json {
    match section {
        "param" => {
            let param = all.add::<ParamSection>("param", false);
            table("Values that whoever uses this can set, by name", &param)
        }
        "port" => {
            let port = all.add::<PortSection>("port", false);
            table("What a board reaches inside the chip, by name", &port)
        }
        "alias" => table("Other names for devices", &json!({ "type": "string" })),
        "defaults" => defaults(all),
        "chip" => {
            let chip = instance(all);
            table("The chips, by name", &chip)
        }
        "dev" => {
            let device = device(all);
            table("The devices, by name", &device)
        }
        "join" => {
            let join = all.add::<JoinSection>("join", true);
            all.conditional("join");
            table(
                "Inputs that several outputs may drive, by a name of your choice",
                &join,
            )
        }
        "slot" => {
            let slot = all.add::<SlotSection>("slot", true);
            all.conditional("slot");
            table("Where a run plugs in what the host has, by name", &slot)
        }
        "boot" => all.add::<BootSection>("boot", true),
        _ => allow(),
    }
}

/// `[allow.LINT]`.
fn allow() -> Json {
    let reasons = table(
        "Where it is meant, each with the reason: a device, a pin as `device.pin`, or a param",
        &json!({ "type": "string" }),
    );
    let lints: Map<String, Json> = LINTS
        .iter()
        .map(|(name, about)| ((*name).to_owned(), described(about, &reasons)))
        .collect();
    json!({
        "description": "Warnings about the whole board that are not to be given",
        "type": "object",
        "additionalProperties": false,
        "properties": lints,
    })
}

/// `[defaults.TYPE]`.
fn defaults(all: &mut Definitions) -> Json {
    let mut defaults = Map::new();
    for entry in TYPES {
        let properties = all.properties(entry);
        let text = format!("For every device of the type: {}", entry.summary);
        defaults.insert(entry.name.to_owned(), described(&text, &properties));
    }
    json!({
        "description": "Properties of every device of a type, unless the device sets them itself",
        "type": "object",
        "additionalProperties": false,
        "properties": defaults,
    })
}

fn when(all: &mut Definitions) -> Json {
    let when = all.add::<WhenSection>("when", false);
    described("It is there only if a param says so", &when)
}

/// What a device or chip is connected to.
fn wires(all: &mut Definitions, of: &str) -> [(&'static str, Json); 4] {
    let one = json!({ "type": "string" });
    let several = json!({ "type": "array", "items": one });
    let ends = json!({ "description": "Where it goes", "anyOf": [one, several] });
    let conditional = json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["to", "when"],
        "properties": { "to": ends, "when": when(all) },
    });
    let line = json!({ "anyOf": [one, several, conditional] });
    [
        ("at", text("Where it sits: \"bus:address\"")),
        (
            "irq",
            table(
                "Where each output goes: \"device[input]\", or a list of several",
                &line,
            ),
        ),
        (
            "backend",
            table(
                &format!("The slot of the board that is plugged into each slot of the {of}"),
                &json!({ "type": "string" }),
            ),
        ),
        ("when", when(all)),
    ]
}

/// `[dev.NAME]`.
fn device(all: &mut Definitions) -> Json {
    let name = "device";
    if !all.0.contains_key(name) {
        let window = all.add::<MapEntry>("map", true);
        let mut device = Map::new();
        for entry in TYPES {
            let properties = all.properties(entry);
            device.insert(entry.name.to_owned(), properties);
        }
        device.extend(wires(all, name).map(|(key, schema)| (key.to_owned(), schema)));
        let windows = json!({ "description": "Windows through which the bus sees the device", "type": "array", "items": window });
        device.insert("map".to_owned(), windows);
        let device =
            json!({ "type": "object", "additionalProperties": false, "properties": device });
        all.0.insert(name.to_owned(), device);
    }
    json!({ "$ref": format!("#/definitions/{name}") })
}

/// `[chip.NAME]`. Chips have chips in them.
fn instance(all: &mut Definitions) -> Json {
    let reference = json!({ "$ref": "#/definitions/chip" });
    let mut chip = Map::new();
    chip.extend(wires(all, "chip").map(|(key, schema)| (key.to_owned(), schema)));
    let own = draft07().into_root_schema_for::<ChipSection>().to_value();
    chip.insert("use".to_owned(), own["properties"]["use"].clone());
    let value = json!({ "type": ["string", "integer", "boolean"] });
    chip.insert(
        "param".to_owned(),
        table("The chip's parameters, by name", &value),
    );
    chip.insert("defaults".to_owned(), defaults(all));
    let device = device(all);
    chip.insert(
        "dev".to_owned(),
        table("What is otherwise with the devices in it, by name", &device),
    );
    chip.insert(
        "chip".to_owned(),
        table(
            "What is otherwise with the chips in it, by name",
            &reference,
        ),
    );
    let chip = json!({ "type": "object", "additionalProperties": false, "properties": chip });
    all.0.insert("chip".to_owned(), chip);
    reference
}

fn described(description: &str, schema: &Json) -> Json {
    json!({ "description": description, "allOf": [schema] })
}

struct Definitions(Map<String, Json>);

impl Definitions {
    fn add<T: JsonSchema>(&mut self, name: &str, params: bool) -> Json {
        self.put(
            name,
            draft07().into_root_schema_for::<T>().to_value(),
            params,
        )
    }

    /// The properties of a device type.
    fn properties(&mut self, entry: &Entry) -> Json {
        if self.0.contains_key(entry.name) {
            return json!({ "$ref": format!("#/definitions/{}", entry.name) });
        }
        let mut schema = (entry.schema)().to_value();
        // What an editor shows of a type is what the type is.
        schema["description"] = entry.summary.into();
        self.put(entry.name, schema, true)
    }

    /// Lets a section say when it is there.
    fn conditional(&mut self, name: &str) {
        let when = when(self);
        if let Some(properties) = self
            .0
            .get_mut(name)
            .and_then(|s| s["properties"].as_object_mut())
        {
            properties.insert("when".to_owned(), when);
        }
    }

    /// Puts a schema that stands alone among the definitions, and its own definitions under its name. A parameter can
    /// stand for a property if `params`.
    fn put(&mut self, name: &str, mut schema: Json, params: bool) -> Json {
        prefix(&mut schema, name);
        if let Some(schema) = schema.as_object_mut() {
            for key in ["$schema", "title"] {
                schema.remove(key);
            }
            // A board that extends another need not repeat what stands there.
            if !["board", "interface"].contains(&name) {
                schema.remove("required");
            }
            if let Some(Json::Object(own)) = schema.remove("definitions") {
                self.0.extend(
                    own.into_iter()
                        .map(|(key, value)| (format!("{name}.{key}"), value)),
                );
            }
            if let (true, Some(properties)) = (
                params,
                schema.get_mut("properties").and_then(Json::as_object_mut),
            ) {
                properties.values_mut().for_each(allow_param);
            }
        }
        self.0.insert(name.to_owned(), schema);
        json!({ "$ref": format!("#/definitions/{name}") })
    }
}

/// Makes the references within a schema point to the definitions under a name.
fn prefix(schema: &mut Json, name: &str) {
    match schema {
        Json::Object(object) => {
            for (key, value) in object {
                match (
                    key.as_str(),
                    value
                        .as_str()
                        .and_then(|v| v.strip_prefix("#/definitions/")),
                ) {
                    ("$ref", Some(target)) => {
                        *value = format!("#/definitions/{name}.{target}").into()
                    }
                    _ => prefix(value, name),
                }
            }
        }
        Json::Array(items) => items.iter_mut().for_each(|item| prefix(item, name)),
        _ => {}
    }
}

fn allow_param(property: &mut Json) {
    let any_string = property["type"] == "string"
        && property.get("pattern").is_none()
        && property.get("enum").is_none();
    if any_string {
        return;
    }
    let mut outer = Map::new();
    if let Some(object) = property.as_object_mut() {
        for key in ["description", "default"] {
            outer.extend(object.remove(key).map(|value| (key.to_owned(), value)));
        }
    }
    outer.insert(
        "anyOf".to_owned(),
        json!([property, { "type": "string", "pattern": PARAM }]),
    );
    *property = Json::Object(outer);
}

//! The JSON Schema of boards, made from the types that decode them.

use schemars::JsonSchema;
use serde_json::{Map, Value as Json, json};

use super::decode::draft07;
use super::format::{BoardSection, BootSection, JoinSection, MapEntry, ParamSection, SlotSection};
use crate::registry::TYPES;

/// What a parameter looks like where it stands for a value.
const PARAM: &str = r"^\$\{[A-Za-z0-9_-]+\}$";

/// The schema of a board, as text.
pub fn board() -> String {
    let mut all = Definitions(Map::new());
    let board = all.add::<BoardSection>("board", false);
    let param = all.add::<ParamSection>("param", false);
    let slot = all.add::<SlotSection>("slot", true);
    let join = all.add::<JoinSection>("join", true);
    let boot = all.add::<BootSection>("boot", true);
    let window = all.add::<MapEntry>("map", true);
    let mut defaults = Map::new();
    let mut device = Map::new();
    for entry in TYPES {
        let properties = all.put(entry.name, (entry.schema)().to_value(), true);
        defaults.insert(
            entry.name.to_owned(),
            described(
                &format!("For every device of the type: {}", entry.summary),
                &properties,
            ),
        );
        device.insert(entry.name.to_owned(), described(entry.summary, &properties));
    }
    let text = |description: &str| json!({ "description": description, "type": "string" });
    let table = |description: &str, of: Json| json!({ "description": description, "type": "object", "additionalProperties": of });
    let line = json!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] });
    let places = [
        ("at", text("Where the device sits: \"bus:address\"")),
        (
            "map",
            json!({ "description": "Windows through which the bus sees the device", "type": "array", "items": window }),
        ),
        (
            "irq",
            table(
                "Where each output goes: \"device[input]\", or a list of several",
                line,
            ),
        ),
        (
            "backend",
            table(
                "The slot of the board that is plugged into each slot of the device",
                json!({ "type": "string" }),
            ),
        ),
    ];
    device.extend(places.map(|(key, schema)| (key.to_owned(), schema)));
    let device = json!({ "type": "object", "additionalProperties": false, "properties": device });
    let schema = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Solderless board",
        "type": "object",
        "required": ["board"],
        "additionalProperties": false,
        "properties": {
            "board": board,
            "param": table("Values that whoever runs the board can set, by name", param),
            "defaults": {
                "description": "Properties of every device of a type, unless the device sets them itself",
                "type": "object",
                "additionalProperties": false,
                "properties": defaults,
            },
            "dev": table("The devices, by name", device),
            "join": table("Inputs that several outputs may drive, by a name of your choice", join),
            "slot": table("Where a run plugs in what the host has, by name", slot),
            "boot": boot,
        },
        "definitions": all.0,
    });
    format!("{schema:#}\n")
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

    /// Puts a schema that stands alone among the definitions, and its own definitions under its name. A parameter can
    /// stand for a property if `params`.
    fn put(&mut self, name: &str, mut schema: Json, params: bool) -> Json {
        prefix(&mut schema, name);
        if let Some(schema) = schema.as_object_mut() {
            for key in ["$schema", "title"] {
                schema.remove(key);
            }
            // A board that extends another need not repeat what stands there.
            if name != "board" {
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

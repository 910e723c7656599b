//! Tables to typed values, and for what does not decode the key that is to blame.

use std::ops::Range;

use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

use super::tree::{self, Entry, Node, Table, Value};
use crate::diagnostics::{Problem, Span, suggest};
use crate::registry::draft07;

/// What a table is decoded to.
pub struct Target<'a, T> {
    /// What it is called in messages: `serial-mm`, `[board]`.
    pub what: &'a str,
    /// What its keys are called in messages: `properties`, `keys`.
    pub keys: &'a str,
    /// Its JSON Schema. Only made if a value needs it.
    pub schema: &'a dyn Fn() -> Json,
    /// Decodes, or says why not.
    pub decode: &'a dyn Fn(&Json) -> Result<T, String>,
}

/// Decodes a section of the format itself.
pub fn section<T: DeserializeOwned + schemars::JsonSchema>(
    what: &str,
    table: &Table,
    at: Span,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    let target = Target {
        what,
        keys: "keys",
        schema: &|| draft07().into_root_schema_for::<T>().to_value(),
        decode: &|json| T::deserialize(json).map_err(|e| e.to_string()),
    };
    decode(&target, table, at, problems)
}

/// Decodes a table. `at` is where what is wrong with the table as a whole is reported.
///
/// The schema is made for a table that does not decode only: making it costs more than all else here.
pub fn decode<T>(
    target: &Target<'_, T>,
    table: &Table,
    at: Span,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    let reason = match (target.decode)(&tree::to_json(table)) {
        Ok(value) => return Some(value),
        Err(reason) => reason,
    };
    let before = problems.len();
    explain(target, table, at, problems);
    let reported = |entry: &Entry| entry.node.any(Json::is_null);
    if problems.len() == before && !table.values().any(reported) {
        problems.push(
            Problem::error("bad-value", format!("{} does not decode", target.what)).at(at, reason),
        );
    }
    None
}

fn explain<T>(target: &Target<'_, T>, table: &Table, at: Span, problems: &mut Vec<Problem>) {
    let Target { what, keys, .. } = target;
    let root = (target.schema)();
    let no_properties = serde_json::Map::new();
    let properties = root["properties"].as_object().unwrap_or(&no_properties);
    for (key, entry) in table
        .iter()
        .filter(|(_, entry)| !entry.node.any(Json::is_null))
    {
        let Some(schema) = properties.get(key) else {
            problems.push(
                Problem::error("unknown-key", format!("{what} has no `{key}`"))
                    .at(entry.key, "")
                    .help(suggest(key, keys, properties.keys().map(String::as_str))),
            );
            continue;
        };
        let mut found = Vec::new();
        check(&root, schema, &entry.node, &mut found);
        if found.is_empty()
            && let Err(reason) = (target.decode)(&json!({ key.as_str(): entry.node.to_json() }))
            && !reason.starts_with("missing field")
        {
            found.push((&entry.node, expectation(&reason)));
        }
        for (node, reason) in found {
            problems.push(
                Problem::error("bad-value", format!("bad value for `{key}` of {what}"))
                    .at(node.span, reason)
                    .at_some(node.param, "the parameter's value comes from here")
                    .over(node.weaker()),
            );
        }
    }
    for key in root["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Json::as_str)
    {
        if !table.contains_key(key) {
            problems
                .push(Problem::error("missing-key", format!("{what} lacks `{key}`")).at(at, ""));
        }
    }
}

/// What serde expected, without what it found: that is marked in the text.
fn expectation(reason: &str) -> String {
    match reason.find(", expected ") {
        Some(at) => reason[at + 2..].to_owned(),
        None => reason.to_owned(),
    }
}

type Found<'n> = Vec<(&'n Node, String)>;

/// Holds a value against a schema: type, range, enumeration, lists and their elements.
fn check<'n>(root: &Json, schema: &Json, node: &'n Node, found: &mut Found<'n>) {
    if let Some(name) = schema["$ref"]
        .as_str()
        .and_then(|r| r.strip_prefix("#/definitions/"))
    {
        return check(root, &root["definitions"][name], node, found);
    }
    for nested in schema["allOf"].as_array().into_iter().flatten() {
        check(root, nested, node, found);
    }
    let alternatives = schema["anyOf"]
        .as_array()
        .or_else(|| schema["oneOf"].as_array());
    if let Some(alternatives) = alternatives {
        if let Some(mut choices) = alternatives
            .iter()
            .map(strings)
            .collect::<Option<Vec<_>>>()
            .map(|c| c.concat())
        {
            choices.retain(|c| *c != "null");
            return check_choice(&choices, node, found);
        }
        let mut first = None;
        for alternative in alternatives.iter().filter(|a| a["type"] != "null") {
            let mut inner = Vec::new();
            check(root, alternative, node, &mut inner);
            if inner.is_empty() {
                return;
            }
            first.get_or_insert(inner);
        }
        found.extend(first.into_iter().flatten());
        return;
    }
    if let Some(choices) = strings(schema) {
        return check_choice(&choices, node, found);
    }
    // A string with a form of its own: its type says best what it expects.
    if schema.get("pattern").is_some() {
        return;
    }
    let types = types(schema);
    if !types.is_empty() && !types.iter().any(|t| is(node, t)) {
        let wanted: Vec<&str> = types
            .iter()
            .copied()
            .filter(|t| *t != "null")
            .map(with_article)
            .collect();
        let range = limits(schema).map(between).unwrap_or_default();
        found.push((
            node,
            format!(
                "expected {}{range}, found {}",
                wanted.join(" or "),
                node.kind()
            ),
        ));
        return;
    }
    match &node.value {
        Value::Scalar(Json::Number(number)) => {
            if let (Some(range), Some(value)) = (limits(schema), number.as_i128())
                && !range.contains(&value)
            {
                found.push((node, format!("expected an integer{}", between(range))));
            }
        }
        Value::Array(items) => {
            let len = items.len() as u64;
            let min = schema["minItems"].as_u64().unwrap_or(0);
            let max = schema["maxItems"].as_u64().unwrap_or(u64::MAX);
            if len < min || len > max {
                let wanted = if min == max {
                    format!("{min}")
                } else {
                    format!("{min} to {max}")
                };
                found.push((node, format!("expected {wanted} elements, found {len}")));
                return;
            }
            for (i, item) in items.iter().enumerate() {
                let items = &schema["items"];
                match items.as_array() {
                    Some(tuple) => check(root, tuple.get(i).unwrap_or(&Json::Null), item, found),
                    None => check(root, items, item, found),
                }
            }
        }
        _ => {}
    }
}

fn check_choice<'n>(choices: &[&str], node: &'n Node, found: &mut Found<'n>) {
    let text = node.as_str();
    if let ([only], true) = (choices, text.is_none_or(|t| !choices.contains(&t))) {
        found.push((node, format!("expected \"{only}\"")));
    } else if text.is_none_or(|t| !choices.contains(&t)) {
        let list = choices
            .iter()
            .map(|c| format!("\"{c}\""))
            .collect::<Vec<_>>()
            .join(", ");
        let meant = text.and_then(|t| crate::diagnostics::nearest(t, choices.iter().copied()));
        let meant = meant
            .map(|m| format!("; did you mean \"{m}\"?"))
            .unwrap_or_default();
        found.push((node, format!("expected one of {list}{meant}")));
    }
}

/// The strings a schema of an enumeration allows.
fn strings(schema: &Json) -> Option<Vec<&str>> {
    if let Some(only) = schema["const"].as_str() {
        return Some(vec![only]);
    }
    schema["enum"]
        .as_array()?
        .iter()
        .filter(|c| !c.is_null())
        .map(Json::as_str)
        .collect()
}

fn types(schema: &Json) -> Vec<&str> {
    match &schema["type"] {
        Json::String(only) => vec![only],
        Json::Array(several) => several.iter().filter_map(Json::as_str).collect(),
        _ => Vec::new(),
    }
}

fn is(node: &Node, kind: &str) -> bool {
    match (&node.value, kind) {
        (Value::Scalar(Json::String(_)), "string")
        | (Value::Scalar(Json::Bool(_)), "boolean")
        | (Value::Scalar(Json::Number(_)), "number")
        | (Value::Array(_), "array")
        | (Value::Table(_), "object") => true,
        (Value::Scalar(Json::Number(number)), "integer") => !number.is_f64(),
        _ => false,
    }
}

fn with_article(kind: &str) -> &str {
    match kind {
        "string" => "a string",
        "boolean" => "true or false",
        "integer" => "an integer",
        "number" => "a number",
        "array" => "a list",
        _ => "a table",
    }
}

/// The range of integers that a schema allows, if it limits them.
pub fn limits(schema: &Json) -> Option<Range<i128>> {
    let bound = |key: &str| match &schema[key] {
        Json::Number(n) => n.as_i128().or_else(|| n.as_f64().map(|f| f as i128)),
        _ => None,
    };
    let integer = types(schema).contains(&"integer");
    let (min, max) = (bound("minimum"), bound("maximum"));
    (integer && (min.is_some() || max.is_some())).then(|| {
        let end = max
            .or_else(|| format_limit(schema))
            .map_or(i128::MAX, |max| max + 1);
        min.unwrap_or(i128::MIN)..end
    })
}

/// The largest value of the Rust type a schema was made from.
fn format_limit(schema: &Json) -> Option<i128> {
    match schema["format"].as_str()? {
        "uint8" => Some(u8::MAX.into()),
        "uint16" => Some(u16::MAX.into()),
        "uint32" => Some(u32::MAX.into()),
        "uint64" => Some(u64::MAX.into()),
        _ => None,
    }
}

/// A range in words, to follow the name of a type; empty if it has no end.
pub fn between(range: Range<i128>) -> String {
    let last = range.end.saturating_sub(1);
    match (range.start > i128::MIN, range.end < i128::MAX) {
        (true, true) => format!(" from {} to {last}", range.start),
        (true, false) => format!(" of at least {}", range.start),
        (false, true) => format!(" of at most {last}"),
        (false, false) => String::new(),
    }
}

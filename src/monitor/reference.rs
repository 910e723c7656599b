//! The page about the protocol, as `docs/qmp.md` has it.

use std::fmt::Write;

use serde_json::Value;

use super::commands::COMMANDS;
use super::programs::{EVENTS, schema};

/// What programs can ask and are told, as Markdown.
pub fn reference() -> String {
    let schema = schema();
    let entry = |name: &str| schema.iter().find(|entry| entry["name"] == name);
    let mut out = String::new();
    // Writing to a string has no way to fail.
    let _ = writeln!(out, "## Commands\n");
    for command in COMMANDS.iter().filter(|c| !c.name.is_empty()) {
        let _ = writeln!(out, "### {}\n\n{}.", command.name, sentence(command.about));
        let arguments = command.arguments();
        if !arguments.is_empty() {
            let _ = writeln!(
                out,
                "\n| argument | type | what it is |\n| --- | --- | --- |"
            );
        }
        let about = entry(command.name);
        let given = about.and_then(|about| entry(about["arg-type"].as_str()?));
        for argument in arguments {
            let kind = given.and_then(|given| member(given, &argument.name));
            let kind = kind.unwrap_or_default();
            let optional = if argument.required { "" } else { ", optional" };
            let about = argument.about.replace('|', "\\|");
            let _ = writeln!(out, "| `{}` | {kind}{optional} | {about} |", argument.name);
        }
        let answer = about.and_then(|about| about["ret-type"].as_str());
        if let Some(answer) = answer.filter(|answer| *answer != "Nothing") {
            let _ = writeln!(out, "\nGives {answer}.");
        }
        if let Some(typed) = command.typed.first() {
            let _ = writeln!(out, "\nPeople type `{typed}`.");
        }
        out.push('\n');
    }
    let _ = writeln!(
        out,
        "## Events\n\n| event | data | what has happened |\n| --- | --- | --- |"
    );
    for (name, data, about) in EVENTS {
        let data: Vec<_> = data.iter().map(|(name, _)| format!("`{name}`")).collect();
        let _ = writeln!(out, "| {name} | {} | {about} |", data.join(", "));
    }
    let _ = writeln!(out, "\n## Types\n");
    let mut types: Vec<_> = schema.iter().filter(|e| is_type(e)).collect();
    types.sort_by_key(|entry| entry["name"].as_str());
    for entry in types {
        let name = entry["name"].as_str().unwrap_or_default();
        let kind = entry["meta-type"].as_str().unwrap_or_default();
        let members = entry["members"].as_array().into_iter().flatten();
        let members: Vec<_> = members
            .map(|m| {
                let name = m["name"].as_str().unwrap_or_default();
                match m["type"].as_str() {
                    Some(kind) if m.get("default").is_some() => {
                        format!("`{name}`: {kind}, optional")
                    }
                    Some(kind) => format!("`{name}`: {kind}"),
                    None => format!("`{name}`"),
                }
            })
            .collect();
        let between = if kind == "enum" { ", " } else { "; " };
        let _ = writeln!(out, "- **{name}**: {}", members.join(between));
    }
    out
}

/// Whether an entry is about a type that an answer has.
fn is_type(entry: &Value) -> bool {
    let kind = entry["meta-type"].as_str();
    let members = entry["members"].as_array();
    let arguments = COMMANDS.iter().any(|c| {
        let mut generator = crate::registry::draft07();
        let schema = (c.arguments)(&mut generator).to_value();
        let name = schema["$ref"].as_str().and_then(|r| r.rsplit('/').next());
        name == entry["name"].as_str()
    });
    matches!(kind, Some("object" | "enum"))
        && members.is_some_and(|members| !members.is_empty())
        && !entry["name"]
            .as_str()
            .is_some_and(|name| name.ends_with("-data"))
        && !arguments
}

fn member(of: &Value, name: &str) -> Option<String> {
    let mut members = of["members"].as_array()?.iter();
    let found = members.find(|member| member["name"] == name)?;
    found["type"].as_str().map(str::to_owned)
}

/// A line with a capital letter in front.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().collect::<String>());
    first.unwrap_or_default() + chars.as_str()
}

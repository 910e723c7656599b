//! What a command is: what it takes and gives, and who can give it by which name.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::Vm;
use crate::registry::draft07;

/// A command. Programs give it by its name, with arguments and an answer in JSON; people by the words they type.
pub struct Command {
    /// Its name in QMP; empty if it is for people alone.
    pub name: &'static str,
    /// What people type for it, the first of it first in the list; empty if it is for programs alone.
    pub typed: &'static [&'static str],
    /// One line about it.
    pub about: &'static str,
    /// Where its function is: what it is about, in a word or two.
    pub function: &'static str,
    /// The schema of its arguments, an object.
    pub arguments: fn(&mut SchemaGenerator) -> Schema,
    /// The schema of its answer.
    pub answer: fn(&mut SchemaGenerator) -> Schema,
    /// Carries it out for a program.
    pub run: fn(&mut Vm<'_>, Value) -> Result<Value, Error>,
    /// Carries it out for a person.
    pub say: fn(&mut Vm<'_>, Value) -> Result<String, Error>,
}

/// What a command does.
pub type Function<A, R> = fn(&mut Vm<'_>, A) -> Result<R, Error>;

/// The table's row of a function: the function's types are the command's. What people are told is what the last argument makes
/// of the answer.
macro_rules! command {
    ($name:literal, $typed:expr, $about:literal, $run:expr) => {
        command!($name, $typed, $about, $run, $crate::monitor::table::silent)
    };
    ($name:literal, $typed:expr, $about:literal, $run:expr, $say:expr) => {
        $crate::monitor::table::Command {
            name: $name,
            typed: &$typed,
            about: $about,
            function: stringify!($run),
            arguments: |generator| $crate::monitor::table::arguments(generator, $run),
            answer: |generator| $crate::monitor::table::answer(generator, $run),
            run: |vm, given| $crate::monitor::table::run(vm, given, $run),
            say: |vm, given| $crate::monitor::table::say(vm, given, $run, |answer| $say(answer)),
        }
    };
}
pub(super) use command;

pub(super) fn arguments<A: JsonSchema, R>(g: &mut SchemaGenerator, _: Function<A, R>) -> Schema {
    g.subschema_for::<A>()
}

pub(super) fn answer<A, R: JsonSchema>(g: &mut SchemaGenerator, _: Function<A, R>) -> Schema {
    g.subschema_for::<R>()
}

pub(super) fn run<A: DeserializeOwned, R: Serialize>(
    vm: &mut Vm<'_>,
    given: Value,
    run: Function<A, R>,
) -> Result<Value, Error> {
    let answer = run(vm, A::deserialize(given).map_err(|e| e.to_string())?)?;
    serde_json::to_value(&answer).map_err(|e| e.to_string().into())
}

pub(super) fn say<A: DeserializeOwned, R>(
    vm: &mut Vm<'_>,
    given: Value,
    run: Function<A, R>,
    say: fn(&R) -> String,
) -> Result<String, Error> {
    let answer = run(vm, A::deserialize(given).map_err(|e| e.to_string())?)?;
    Ok(say(&answer))
}

/// For an answer that has nothing to say to people.
pub(super) fn silent<R>(_: &R) -> String {
    String::new()
}

/// No arguments, or nothing to answer.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// Why a command was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Error {
    /// For programs.
    pub class: Class,
    /// For people.
    pub reason: String,
}

/// A kind of error, by its name in QMP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Any other.
    GenericError,
    /// There is no such command, or not now.
    CommandNotFound,
    /// There is no such device.
    DeviceNotFound,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl Error {
    /// There is no device of this name. Lists those that there are, or names the one that was meant.
    pub fn no_device<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Self {
        let help = crate::diagnostics::suggest(name, "names", names);
        Self {
            class: Class::DeviceNotFound,
            reason: format!("Device '{name}' not found\n{help}"),
        }
    }
}

impl From<String> for Error {
    fn from(reason: String) -> Self {
        Self {
            class: Class::GenericError,
            reason,
        }
    }
}

impl From<&str> for Error {
    fn from(reason: &str) -> Self {
        reason.to_owned().into()
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        error.to_string().into()
    }
}

/// What the schema of an argument says as its `format` that is one of [`Kind::Format`].
pub const FORMAT: &str = "values";

/// An argument of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument {
    /// Its name in QMP.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Whether it has to be given.
    pub required: bool,
    /// What is said of it.
    pub about: String,
}

/// What an argument is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A number; people can type an expression.
    Number,
    /// A text; people type a word.
    Text,
    /// On or off; people type `-` and its first letter for on.
    Flag,
    /// Any number of texts.
    Texts,
    /// How values are printed; people type `/` and the format.
    Format,
    /// Something that people cannot type.
    Other,
}

impl Kind {
    /// As QMP's errors call it.
    pub fn called(self) -> &'static str {
        match self {
            Self::Number => "integer",
            Self::Text | Self::Format => "string",
            Self::Flag => "boolean",
            Self::Texts => "array",
            Self::Other => "object",
        }
    }
}

impl Command {
    /// Its arguments in the order in which people type them.
    pub fn arguments(&self) -> Vec<Argument> {
        let mut generator = draft07();
        let schema = (self.arguments)(&mut generator).to_value();
        let schema = resolved(&schema, generator.definitions());
        let required = schema["required"].as_array();
        let required: Vec<_> = required.into_iter().flatten().collect();
        let properties = schema["properties"].as_object().into_iter().flatten();
        let argument = |(name, property): (&String, &Value)| {
            let first = |kind: &Value| match kind {
                Value::Array(kinds) => kinds.first().and_then(Value::as_str).map(str::to_owned),
                kind => kind.as_str().map(str::to_owned),
            };
            Argument {
                name: name.clone(),
                kind: match first(&property["type"]).as_deref() {
                    Some("integer") => Kind::Number,
                    Some("string") if property["format"] == FORMAT => Kind::Format,
                    Some("string") => Kind::Text,
                    Some("boolean") => Kind::Flag,
                    Some("array") if property["items"]["type"] == "string" => Kind::Texts,
                    _ => Kind::Other,
                },
                required: required.iter().any(|r| *r == name),
                about: text(property),
            }
        };
        properties.map(argument).collect()
    }

    /// The topic of the help that it is in.
    pub fn topic(&self) -> &'static str {
        match self.function.split("::").next().unwrap_or_default().trim() {
            "about" => "machine",
            "chardevs" => "characters",
            "saved" => "snapshots",
            topic => topic,
        }
    }

    /// As a person types it.
    pub fn usage(&self) -> String {
        let mut words = self.typed.join("|");
        let mut arguments = self.arguments();
        arguments.sort_by_key(|a| !matches!(a.kind, Kind::Flag | Kind::Format));
        for argument in arguments {
            let name = argument.name.to_uppercase();
            words += &match (argument.kind, argument.required) {
                (Kind::Other, _) => continue,
                (Kind::Flag, _) => format!(" [-{}]", &argument.name[..1]),
                (Kind::Format, _) => " [/FORMAT]".to_owned(),
                (Kind::Texts, _) => format!(" [{name}...]"),
                (_, true) => format!(" {name}"),
                (_, false) => format!(" [{name}]"),
            };
        }
        words
    }

    /// What is wrong with arguments that could not be read, as QEMU says it; `None` if it is none of what QEMU has words for.
    pub fn misuse(&self, given: &Map<String, Value>) -> Option<String> {
        let arguments = self.arguments();
        for (name, value) in given {
            let Some(argument) = arguments.iter().find(|a| a.name == *name) else {
                return Some(format!("Parameter '{name}' is unexpected"));
            };
            let fits = match argument.kind {
                Kind::Number => value.is_i64() || value.is_u64(),
                Kind::Text | Kind::Format => value.is_string(),
                Kind::Flag => value.is_boolean(),
                Kind::Texts => value.is_array(),
                Kind::Other => true,
            };
            if !fits {
                let expected = argument.kind.called();
                return Some(format!(
                    "Invalid parameter type for '{name}', expected: {expected}"
                ));
            }
        }
        let missing = |a: &&Argument| a.required && !given.contains_key(&a.name);
        let missing = arguments.iter().find(missing)?;
        Some(format!("Parameter '{}' is missing", missing.name))
    }
}

/// What a schema says of itself, on one line.
pub fn text(schema: &Value) -> String {
    let text = schema["description"].as_str().unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The schema behind a reference.
pub fn resolved<'a>(schema: &'a Value, definitions: &'a Map<String, Value>) -> &'a Value {
    let name = schema["$ref"].as_str();
    let name = name.and_then(|name| name.strip_prefix("#/definitions/"));
    name.and_then(|name| definitions.get(name))
        .unwrap_or(schema)
}

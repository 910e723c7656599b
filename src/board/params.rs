//! Parameters: their values, and putting them where the board names them.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use solderless_model::{Hertz, Size};

use super::decode::section;
use super::format::{ParamSection, ParamType};
use super::tree::{Node, Table, Value};
use crate::diagnostics::{Problem, Span, suggest};

/// The parameters with their values; `None` for one whose trouble has been reported.
pub type Params = BTreeMap<String, Option<Param>>;

/// A parameter's value.
#[derive(Debug, Clone)]
pub struct Param {
    /// The value.
    pub value: Json,
    /// Where it was set.
    pub span: Span,
}

/// A value given on the command line.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The parameter.
    pub name: String,
    /// The value as it was typed.
    pub text: String,
    /// Where the name stands in the text of the command line.
    pub key: Span,
    /// Where the value stands.
    pub span: Span,
}

/// Decides every parameter of the merged board. The last setting of one counts.
pub fn decide(root: &Table, settings: &[Setting], problems: &mut Vec<Problem>) -> Params {
    let none = Table::new();
    let declared = root
        .get("param")
        .and_then(|entry| entry.node.as_table())
        .unwrap_or(&none);
    let mut params = Params::new();
    for (name, entry) in declared {
        let setting = settings.iter().rev().find(|s| s.name == *name);
        let value = match entry.node.as_table() {
            Some(table) => one(name, table, entry.key, setting, problems),
            None => {
                problems.push(
                    Problem::error("bad-value", format!("param.{name} is not a table")).at(
                        entry.node.span,
                        "expected a table with `type` and `default`",
                    ),
                );
                None
            }
        };
        params.insert(name.clone(), value);
    }
    for setting in settings.iter().filter(|s| !declared.contains_key(&s.name)) {
        problems.push(
            Problem::error(
                "unknown-param",
                format!("the board has no param `{}`", setting.name),
            )
            .at(setting.key, "")
            .help(suggest(
                &setting.name,
                "params",
                declared.keys().map(String::as_str),
            )),
        );
    }
    params
}

fn one(
    name: &str,
    table: &Table,
    key: Span,
    setting: Option<&Setting>,
    problems: &mut Vec<Problem>,
) -> Option<Param> {
    let what = format!("param.{name}");
    let section: ParamSection = section(&what, table, key, problems)?;
    let kind = section.kind;
    let bound = |key: &str, value: &Option<Json>, problems: &mut Vec<Problem>| {
        let value = value.as_ref()?;
        let rank = rank(kind, value);
        if rank.is_none() {
            problems.push(misfit(&format!("{what}.{key}"), kind, table[key].node.span));
        }
        rank.map(|rank| (rank, value.clone()))
    };
    let min = bound("min", &section.min, problems);
    let max = bound("max", &section.max, problems);
    let (value, span) = match (setting, &section.default) {
        (Some(setting), _) => (typed(kind, &setting.text), setting.span),
        (None, Some(default)) => (default.clone(), table["default"].node.span),
        (None, None) => {
            problems.push(
                Problem::error(
                    "param-not-set",
                    format!("param `{name}` has no default and is not set"),
                )
                .at(key, "")
                .help(format!("add `--set {what}=…`, or a `default` here")),
            );
            return None;
        }
    };
    let Some(got) = rank(kind, &value) else {
        problems.push(misfit(&what, kind, span));
        return None;
    };
    let small = min
        .filter(|(least, _)| got < *least)
        .map(|(_, least)| ("at least", "min", least));
    let large = max
        .filter(|(most, _)| got > *most)
        .map(|(_, most)| ("at most", "max", most));
    if let Some((relation, key, limit)) = small.or(large) {
        problems.push(
            Problem::error("out-of-range", format!("{what} is out of range"))
                .at(span, format!("expected {relation} {}", plain(&limit)))
                .at(table[key].node.span, "the limit"),
        );
        return None;
    }
    if let Some(choices) = &section.choices
        && !choices
            .iter()
            .any(|c| rank(kind, c).is_some_and(|c| c == got))
    {
        let list = choices.iter().map(plain).collect::<Vec<_>>().join(", ");
        problems.push(
            Problem::error(
                "out-of-range",
                format!("{what} is none of the values allowed"),
            )
            .at(span, format!("expected one of {list}"))
            .at(table["enum"].node.span, "the values allowed"),
        );
        return None;
    }
    Some(Param { value, span })
}

fn plain(value: &Json) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// What a user typed, as a value of the type if it can be one.
fn typed(kind: ParamType, text: &str) -> Json {
    let unquoted = || text.strip_prefix('"')?.strip_suffix('"');
    let integer = || {
        let digits = text.replace('_', "");
        match digits.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16).ok().map(Json::from),
            None => digits.parse::<i64>().ok().map(Json::from),
        }
    };
    let value = match kind {
        ParamType::Int => integer(),
        ParamType::Bool => text.parse::<bool>().ok().map(Json::from),
        ParamType::Size | ParamType::Frequency | ParamType::String => unquoted().map(Json::from),
    };
    value.unwrap_or_else(|| text.into())
}

/// A value of a parameter in an order; `None` if it is not of the type.
#[derive(Debug, PartialEq, PartialOrd)]
enum Rank {
    Number(i128),
    Text(String),
}

fn rank(kind: ParamType, value: &Json) -> Option<Rank> {
    let number = |n: u64| Rank::Number(n.into());
    match kind {
        ParamType::Size => value.as_str()?.parse().ok().map(|Size(n)| number(n)),
        ParamType::Frequency => value.as_str()?.parse().ok().map(|Hertz(n)| number(n)),
        ParamType::Int => value.as_number()?.as_i128().map(Rank::Number),
        ParamType::Bool => value.as_bool().map(|b| number(b.into())),
        ParamType::String => value.as_str().map(|s| Rank::Text(s.to_owned())),
    }
}

fn misfit(what: &str, kind: ParamType, at: Span) -> Problem {
    let expected = match kind {
        ParamType::Size => "expected a size such as \"128MiB\"",
        ParamType::Frequency => "expected a frequency such as \"100MHz\"",
        ParamType::Int => "expected an integer",
        ParamType::Bool => "expected true or false",
        ParamType::String => "expected a string",
    };
    Problem::error("bad-value", format!("{what} is of the wrong type")).at(at, expected)
}

/// Puts the parameters' values where the board says `"${name}"`.
pub fn substitute(root: &mut Table, params: &Params, problems: &mut Vec<Problem>) {
    for (key, entry) in root {
        if key != "param" && key != "board" {
            visit(&mut entry.node, params, problems);
        }
    }
}

fn visit(node: &mut Node, params: &Params, problems: &mut Vec<Problem>) {
    match &mut node.value {
        Value::Table(table) => table
            .values_mut()
            .for_each(|entry| visit(&mut entry.node, params, problems)),
        Value::Array(items) => items
            .iter_mut()
            .for_each(|item| visit(item, params, problems)),
        Value::Scalar(Json::String(text)) if text.contains("${") => {
            let whole = text
                .strip_prefix("${")
                .and_then(|t| t.strip_suffix('}'))
                .filter(|t| !t.contains("${"));
            let problem = match whole.map(|name| (name, params.get(name))) {
                Some((_, Some(Some(param)))) => {
                    let value = Node::new(Value::Scalar(param.value.clone()), node.span);
                    let written = std::mem::replace(node, value);
                    node.param = Some(param.span);
                    node.below = Some(Box::new(written));
                    return;
                }
                Some((_, Some(None))) => None,
                Some((name, None)) => Some(
                    Problem::error("unknown-param", format!("the board has no param `{name}`"))
                        .at(node.span, "")
                        .help(suggest(name, "params", params.keys().map(String::as_str))),
                ),
                None => Some(
                    Problem::error("partial-param", "a parameter stands for a whole value")
                        .at(node.span, "")
                        .help("write `\"${name}\"` and nothing else in the string"),
                ),
            };
            problems.extend(problem);
            node.value = Value::Scalar(Json::Null);
        }
        Value::Scalar(_) => {}
    }
}

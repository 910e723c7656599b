//! Parameters: their values, and putting them where the board names them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;
use solderless_model::{Hertz, Size};

use super::decode::section;
use super::format::{ParamSection, ParamType};
use super::gone::Gone;
use super::tree::{Node, Table, Value};
use crate::diagnostics::{Problem, Span, suggest};

/// The parameters with their values. For a value that is none, which has been reported, another stands; `None` if there is no other.
pub type Params = BTreeMap<String, Option<Param>>;

/// A parameter's value.
#[derive(Debug, Clone)]
pub struct Param {
    /// What it takes.
    pub kind: ParamType,
    /// The value.
    pub value: Json,
    /// Where it was set.
    pub span: Span,
    /// For a chip's parameter that the board set to one of its own: what the board says.
    outer: Option<Box<Node>>,
}

/// A value given from outside: on the command line, in a run file, or by the board that a chip is on.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The parameter.
    pub name: String,
    /// The value.
    pub value: Given,
    /// Where the name stands.
    pub key: Span,
    /// Where the value stands.
    pub span: Span,
}

/// How a value was given.
#[derive(Debug, Clone)]
pub enum Given {
    /// As it was typed.
    Text(String),
    /// As TOML.
    Node(Node),
}

/// Whose parameters are decided.
pub enum Whose<'a> {
    /// A board's.
    Board,
    /// A chip's that is on a board: where they should be given, and how to give one.
    Chip {
        /// Where.
        at: Span,
        /// How.
        help: &'a dyn Fn(&str) -> String,
    },
    /// A chip's by itself: those without a default have no value.
    Alone,
}

/// Decides every parameter of a merged board or chip. The last setting of one counts.
pub fn decide(
    root: &Table,
    settings: &[Setting],
    whose: &Whose<'_>,
    problems: &mut Vec<Problem>,
) -> Params {
    let none = Table::new();
    let declared = root
        .get("param")
        .and_then(|entry| entry.node.as_table())
        .unwrap_or(&none);
    let mut params = Params::new();
    for (name, entry) in declared {
        let setting = settings.iter().rev().find(|s| s.name == *name);
        let value = match entry.node.as_table() {
            Some(table) => one(name, table, entry.key, setting, whose, problems),
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
                match whose {
                    Whose::Board => format!("the board has no param `{}`", setting.name),
                    _ => format!("the chip has no param `{}`", setting.name),
                },
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
    whose: &Whose<'_>,
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
    let choices = section.choices.as_deref();
    let is_choice = |got: &Rank| {
        choices.is_none_or(|all| all.iter().any(|c| rank(kind, c).as_ref() == Some(got)))
    };
    // What stands for a value that is none, so that nothing is said of what depends on it: as near to it as there is one.
    let stand_in = |nearest: Option<&Json>, span: Span| {
        let limits = [&min, &max].map(|limit| limit.as_ref().map(|(_, value)| value));
        let first = choices.and_then(<[_]>::first);
        let mut all = [nearest, section.default.as_ref()]
            .into_iter()
            .chain(limits)
            .chain([first]);
        let is_one = |value: &&Json| {
            rank(kind, value).is_some_and(|got| {
                let small = min.as_ref().is_some_and(|(least, _)| got < *least);
                let large = max.as_ref().is_some_and(|(most, _)| got > *most);
                !small && !large && is_choice(&got)
            })
        };
        let value = all.find_map(|value| value.filter(is_one))?.clone();
        Some(Param {
            kind,
            value,
            span,
            outer: None,
        })
    };
    let (value, span) = match (setting, &section.default) {
        (Some(setting), _) => match &setting.value {
            Given::Text(text) => (typed(kind, text), setting.span),
            // Its trouble has been reported.
            Given::Node(node) if node.any(Json::is_null) => return stand_in(None, setting.span),
            Given::Node(node) => (node.to_json(), setting.span),
        },
        (None, Some(default)) => (default.clone(), table["default"].node.span),
        (None, None) => {
            let problem = Problem::error(
                "param-not-set",
                format!("param `{name}` has no default and is not set"),
            );
            problems.extend(match whose {
                Whose::Board => Some(
                    problem
                        .at(key, "")
                        .help(format!("add `--set {what}=…`, or a `default` here")),
                ),
                Whose::Chip { at, help } => {
                    let problem = problem.at(*at, "not set here").at(key, "the param");
                    Some(problem.help(help(name)))
                }
                Whose::Alone => return None,
            });
            return stand_in(None, key);
        }
    };
    let Some(got) = rank(kind, &value) else {
        problems.push(misfit(&what, kind, span));
        return stand_in(None, span);
    };
    let small = min
        .as_ref()
        .filter(|(least, _)| got < *least)
        .map(|(_, least)| ("at least", "min", least));
    let large = max
        .as_ref()
        .filter(|(most, _)| got > *most)
        .map(|(_, most)| ("at most", "max", most));
    if let Some((relation, key, limit)) = small.or(large) {
        problems.push(
            Problem::error("out-of-range", format!("{what} is out of range"))
                .at(span, format!("expected {relation} {}", plain(limit)))
                .at(table[key].node.span, "the limit")
                .over(weaker(table, setting)),
        );
        return stand_in(Some(limit), span);
    }
    if let Some(choices) = choices
        && !is_choice(&got)
    {
        let list = choices.iter().map(plain).collect::<Vec<_>>().join(", ");
        problems.push(
            Problem::error(
                "out-of-range",
                format!("{what} is none of the values allowed"),
            )
            .at(span, format!("expected one of {list}"))
            .at(table["enum"].node.span, "the values allowed")
            .over(weaker(table, setting)),
        );
        return stand_in(None, span);
    }
    let outer = setting.and_then(|setting| match &setting.value {
        Given::Node(node) if node.param.is_some() => Some(Box::new(node.clone())),
        _ => None,
    });
    Some(Param {
        kind,
        value,
        span,
        outer,
    })
}

/// Where weaker layers say what the parameter would be.
fn weaker(table: &Table, setting: Option<&Setting>) -> Vec<Span> {
    let default = table.get("default").map(|entry| &entry.node);
    let mut spans = default.map(Node::weaker).unwrap_or_default();
    if setting.is_some() {
        spans.splice(0..0, default.map(|node| node.span));
    }
    spans
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
    Problem::error("bad-value", format!("{what} is of the wrong type"))
        .at(at, format!("expected {}", kind.expected()))
}

impl ParamType {
    /// What a value of the type is, in words.
    pub fn expected(self) -> &'static str {
        match self {
            ParamType::Size => Size::FORM,
            ParamType::Frequency => Hertz::FORM,
            ParamType::Int => "an integer",
            ParamType::Bool => "true or false",
            ParamType::String => "a string",
        }
    }
}

/// Whether two values of a parameter are the same; `None` if one is no value of the type.
pub fn equal(kind: ParamType, first: &Json, second: &Json) -> Option<bool> {
    Some(rank(kind, first)? == rank(kind, second)?)
}

/// Whether the value of a parameter is another one or more; `None` if one is no value of the type, or has no order.
pub fn at_least(kind: ParamType, value: &Json, least: &Json) -> Option<bool> {
    match kind {
        ParamType::Bool | ParamType::String => None,
        _ => Some(rank(kind, value)? >= rank(kind, least)?),
    }
}

/// The parameters of a board or chip that nothing uses, with `prefix` before their names.
pub fn unused(root: &Table, used: &BTreeSet<String>, prefix: &str) -> Vec<(String, Span)> {
    let declared = root.get("param").and_then(|entry| entry.node.as_table());
    let unused = declared.into_iter().flatten();
    let unused = unused.filter(|(name, _)| !used.contains(*name));
    unused
        .map(|(name, entry)| (format!("{prefix}{name}"), entry.key))
        .collect()
}

/// Puts the parameters' values where a board says `"${name}"`, or, without `gone`, what a board takes away, a chip. The names
/// of those that are put somewhere are added to `used`.
pub fn substitute(
    root: &mut Table,
    params: &Params,
    gone: Option<&Gone>,
    used: &mut BTreeSet<String>,
    problems: &mut Vec<Problem>,
) {
    let mut substitution = Substitution {
        params,
        gone,
        used,
        problems,
    };
    for (key, entry) in root {
        if !["param", "board", "interface"].contains(&key.as_str()) {
            substitution.visit(&mut entry.node);
        }
    }
}

struct Substitution<'a> {
    params: &'a Params,
    gone: Option<&'a Gone>,
    used: &'a mut BTreeSet<String>,
    problems: &'a mut Vec<Problem>,
}

impl Substitution<'_> {
    fn visit(&mut self, node: &mut Node) {
        match &mut node.value {
            Value::Table(table) => table
                .values_mut()
                .for_each(|entry| self.visit(&mut entry.node)),
            Value::Array(items) => items.iter_mut().for_each(|item| self.visit(item)),
            Value::Scalar(Json::String(text)) if text.contains("${") => {
                let whole = text
                    .strip_prefix("${")
                    .and_then(|t| t.strip_suffix('}'))
                    .filter(|t| !t.contains("${"));
                let problem = match whole.map(|name| (name, self.params.get(name))) {
                    Some((name, Some(Some(param)))) => {
                        if !self.used.contains(name) {
                            self.used.insert(name.to_owned());
                        }
                        *node = self.put(node, param);
                        return;
                    }
                    Some((_, Some(None))) => None,
                    Some((name, None)) => {
                        let deleted = self.gone.and_then(|g| g.other("param", name, node.span));
                        let whose = if self.gone.is_some() { "board" } else { "chip" };
                        let names = self.params.keys().map(String::as_str);
                        Some(deleted.unwrap_or_else(|| {
                            let message = format!("the {whose} has no param `{name}`");
                            Problem::error("unknown-param", message)
                                .at(node.span, "")
                                .help(suggest(name, "params", names))
                        }))
                    }
                    None => Some(
                        Problem::error("partial-param", "a parameter stands for a whole value")
                            .at(node.span, "")
                            .help("write `\"${name}\"` and nothing else in the string"),
                    ),
                };
                self.problems.extend(problem);
                node.value = Value::Scalar(Json::Null);
            }
            Value::Scalar(_) => {}
        }
    }

    /// The parameter's value in the place of what names it. What is known of a chip's parameter is what the board says
    /// of it: the chip's own name for it means nothing outside.
    fn put(&self, node: &Node, param: &Param) -> Node {
        let mut value = Node::new(Value::Scalar(param.value.clone()), node.span);
        (value.param, value.below) = match (&param.outer, self.gone.is_none()) {
            (Some(outer), _) => (outer.param, outer.below.clone()),
            (None, true) => (Some(param.span), None),
            (None, false) => (Some(param.span), Some(Box::new(node.clone()))),
        };
        value
    }
}

//! `when`: what is only there if a parameter says so.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::format::ParamType;
use super::params::{Params, at_least, equal};
use super::tree::{Cut, Entry, Node, Table, Value};
use crate::diagnostics::{Problem, suggest};

/// Takes out of a board or chip what is not there, and takes down every `when`. The names of the params that decide are
/// added to `used`.
pub fn settle(
    root: &mut Table,
    params: &Params,
    used: &mut BTreeSet<String>,
    problems: &mut Vec<Problem>,
) -> Vec<String> {
    let mut absent = Vec::new();
    if let Some(chips) = root.get_mut("chip").and_then(|e| e.node.as_table_mut()) {
        within(chips, params, used, problems);
    }
    for section in ["dev", "chip", "join", "slot"] {
        let table = root.get_mut(section).and_then(|e| e.node.as_table_mut());
        let Some(table) = table else { continue };
        table.retain(|name, entry| {
            let when = entry.node.as_table_mut().and_then(|t| t.remove("when"));
            let there = when.is_none_or(|when| holds(&when, params, used, problems));
            match entry.node.as_table_mut() {
                Some(own) if there => lines(own, params, used, problems),
                _ if there => {}
                _ => absent.push(format!("{section}.{name}")),
            }
            there
        });
    }
    absent
}

/// The same for the lines of a device or chip: one with a condition is a table, `{ to = …, when = … }`.
fn lines(
    own: &mut Table,
    params: &Params,
    used: &mut BTreeSet<String>,
    problems: &mut Vec<Problem>,
) {
    let table = own.get_mut("irq").and_then(|e| e.node.as_table_mut());
    let Some(table) = table else { return };
    table.retain(|_, line| {
        let Some(conditional) = line.node.as_table_mut() else {
            return true;
        };
        let when = conditional.remove("when");
        let to = conditional.remove("to");
        let (Some(when), Some(to), true) = (when, to, conditional.is_empty()) else {
            problems.push(Problem::error("bad-value", "this is no line").at(
                line.node.span,
                "expected \"DEVICE[INPUT]\", a list of several, or { to = …, when = … }",
            ));
            return false;
        };
        line.node = to.node;
        holds(&when, params, used, problems)
    });
}

/// The same for what a board says of the devices and chips within its chips.
fn within(
    chips: &mut Table,
    params: &Params,
    used: &mut BTreeSet<String>,
    problems: &mut Vec<Problem>,
) {
    for chip in chips.values_mut().filter_map(|e| e.node.as_table_mut()) {
        for section in ["dev", "chip"] {
            let table = chip.get_mut(section).and_then(|e| e.node.as_table_mut());
            for entry in table.into_iter().flat_map(|table| table.values_mut()) {
                let when = entry.node.as_table_mut().and_then(|t| t.remove("when"));
                if let Some(when) = when.filter(|when| !holds(when, params, used, problems)) {
                    let span = when.node.span;
                    let nothing = Node::new(Value::Table(Table::new()), span);
                    let cut = Some(Box::new(Cut { span, found: false }));
                    entry.node = Node { cut, ..nothing };
                }
            }
        }
        if let Some(inner) = chip.get_mut("chip").and_then(|e| e.node.as_table_mut()) {
            within(inner, params, used, problems);
        }
    }
}

/// How the value of a parameter is compared with what a condition says.
type Compare = fn(ParamType, &Json, &Json) -> Option<bool>;

fn holds(
    when: &Entry,
    params: &Params,
    used: &mut BTreeSet<String>,
    problems: &mut Vec<Problem>,
) -> bool {
    let node = &when.node;
    let is_true = Json::Bool(true);
    let plain = node.as_str().and_then(|text| text.strip_prefix("param."));
    let pair = node.as_table().filter(|table| table.len() == 2);
    let pair = pair.and_then(|table| {
        let compare: Compare = if table.contains_key("min") {
            at_least
        } else {
            equal
        };
        let value = table.get("is").or_else(|| table.get("min"))?;
        Some((&table.get("param")?.node, &value.node, compare))
    });
    let (name, name_at, is, is_at, compare) = match (plain, pair) {
        (Some(name), _) => (
            name,
            node.part(6, name.len()),
            is_true,
            None,
            equal as Compare,
        ),
        (None, Some((param, is, compare))) if param.as_str().is_some() => {
            let name = param.as_str().unwrap_or_default();
            (name, param.span, is.to_json(), Some(is.span), compare)
        }
        _ => {
            problems.push(Problem::error("bad-value", "this is no condition").at(
                node.span,
                "expected \"param.NAME\", { param = \"NAME\", is = VALUE } or { param = \"NAME\", min = VALUE }",
            ));
            return true;
        }
    };
    let Some(param) = params.get(name) else {
        problems.push(
            Problem::error("unknown-param", format!("there is no param `{name}`"))
                .at(name_at, "")
                .help(suggest(name, "params", params.keys().map(String::as_str))),
        );
        return true;
    };
    used.insert(name.to_owned());
    let Some(param) = param else { return true };
    match compare(param.kind, &param.value, &is) {
        Some(holds) => holds,
        None => {
            let problem = Problem::error(
                "bad-value",
                format!("the param `{name}` never has this value"),
            );
            problems.push(match is_at {
                Some(at) => problem.at(at, format!("expected {}", param.kind.expected())),
                None => problem
                    .at(node.span, "expected a param that is true or false")
                    .help(format!("write {{ param = \"{name}\", is = … }}")),
            });
            true
        }
    }
}

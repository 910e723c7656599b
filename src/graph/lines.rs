//! Lines: which outputs drive which inputs.

use std::collections::{BTreeMap, BTreeSet};

use solderless_model::{BusKind, Interface, Pin, Pins};

use super::address::Names;
use crate::board::decode::section;
use crate::board::format::{JoinOp, JoinSection};
use crate::board::tree::{Node, Table, Value};
use crate::diagnostics::{Problem, Span, suggest};
use crate::plan::{Net, pin_name};
use crate::reference::{Inputs, Item, Numbers, Output, Outputs, PINS, Pins as Selected};

/// A pin of a device.
type End = (usize, Pin);

/// One output wired to one input.
struct Wire {
    driver: End,
    span: Span,
    /// Other outputs may drive the input too.
    shares: bool,
}

/// Reads every `irq` of the board. An input is in one net at most; an output is in several if some of its inputs have
/// further drivers.
pub fn nets(joins: Option<&Table>, names: &Names<'_, '_>, problems: &mut Vec<Problem>) -> Vec<Net> {
    let joined = joined(joins, names, problems);
    let mut wires: BTreeMap<End, Vec<Wire>> = BTreeMap::new();
    for (device, draft) in names.drafts.iter().enumerate() {
        let Some(table) = draft.table_at("irq", problems) else {
            continue;
        };
        let Some(model) = &draft.model else {
            // What its lines lead to can be wrong whatever it is.
            for entry in table.values() {
                for node in targets(&entry.node, problems) {
                    inputs_at(node, names, problems);
                }
            }
            continue;
        };
        for (key, entry) in table {
            let outputs = Outputs::parse(key);
            let outputs = select_outputs(&model.known.interface, outputs.as_ref());
            let outputs = match outputs {
                Ok(outputs) => outputs,
                Err(wrong) => {
                    problems.push(
                        wrong
                            .problem("output", draft.name, &model.known.interface.outputs)
                            .at(entry.key, ""),
                    );
                    continue;
                }
            };
            for node in targets(&entry.node, problems) {
                let Some(inputs) = inputs_at(node, names, problems) else {
                    continue;
                };
                if inputs.len() != outputs.len() {
                    problems.push(
                        Problem::error("line-count", format!("`{key}` of `{}` and this do not pair up", draft.name))
                            .at(entry.key, count(outputs.len(), "output"))
                            .at(node.span, count(inputs.len(), "input"))
                            .help("to drive several inputs with one output write a list: [\"a[1]\", \"b[2]\"]"),
                    );
                    continue;
                }
                for ((pin, group), sink) in outputs.iter().zip(inputs) {
                    let shares = joined.contains(&sink)
                        || (model.known.interface.bus == Some(BusKind::Pci) && *group == "intx");
                    wires.entry(sink).or_default().push(Wire {
                        driver: (device, *pin),
                        span: node.span,
                        shares,
                    });
                }
            }
        }
    }
    let mut nets: BTreeMap<Vec<End>, Vec<End>> = BTreeMap::new();
    for (sink, mut wires) in wires {
        wires.sort_by_key(|wire| (wire.driver, wire.span));
        let repeated = wires.windows(2).any(|w| w[0].driver == w[1].driver);
        if repeated || (wires.len() > 1 && !wires.iter().all(|wire| wire.shares)) {
            problems.push(clash(names, sink, &wires));
        }
        nets.entry(wires.iter().map(|wire| wire.driver).collect())
            .or_default()
            .push(sink);
    }
    nets.into_iter()
        .map(|(drivers, sinks)| Net { drivers, sinks })
        .collect()
}

/// The inputs that `[join.*]` lets several outputs drive.
fn joined(
    joins: Option<&Table>,
    names: &Names<'_, '_>,
    problems: &mut Vec<Problem>,
) -> BTreeSet<End> {
    let mut joined = BTreeSet::new();
    for (name, entry) in joins.into_iter().flatten() {
        let what = format!("join.{name}");
        let Some(table) = entry.node.as_table() else {
            let problem = Problem::error("bad-value", format!("`{what}` is not a table"));
            problems.push(problem.at(entry.node.span, "expected { inputs = \"…\", op = \"or\" }"));
            continue;
        };
        // A net is the OR of its drivers, which is the one way of joining there is.
        if let Some(JoinSection { op: JoinOp::Or, .. }) = section(&what, table, entry.key, problems)
            && let Some(entry) = table.get("inputs")
        {
            joined.extend(
                inputs_at(&entry.node, names, problems)
                    .into_iter()
                    .flatten(),
            );
        }
    }
    joined
}

fn count(n: usize, what: &str) -> String {
    if n == 1 {
        format!("1 {what}")
    } else {
        format!("{n} {what}s")
    }
}

fn clash(names: &Names<'_, '_>, sink: End, wires: &[Wire]) -> Problem {
    let pins = |(device, pin): End, groups: fn(&Interface) -> &[Pins]| {
        let draft = &names.drafts[device];
        let groups = draft.interface().map(groups).unwrap_or_default();
        format!("{}.{}", draft.name, pin_name(groups, pin))
    };
    let input = pins(sink, |i| &i.inputs);
    let mut problem = Problem::error(
        "driven-twice",
        format!("`{input}` is driven more than once"),
    );
    for wire in wires {
        let driver = pins(wire.driver, |i| &i.outputs);
        problem = problem.at(wire.span, format!("by `{driver}`"));
    }
    problem.help(
        "the INTx pins of PCI functions share an input; for others add a [join.NAME] with `inputs` and `op`",
    )
}

/// The strings of a string or a list of strings.
fn targets<'n>(node: &'n Node, problems: &mut Vec<Problem>) -> Vec<&'n Node> {
    let items = match &node.value {
        Value::Array(items) => items.iter().collect(),
        _ => vec![node],
    };
    let (strings, others): (Vec<_>, Vec<_>) =
        items.into_iter().partition(|item| item.as_str().is_some());
    for other in others
        .into_iter()
        .filter(|other| !other.any(serde_json::Value::is_null))
    {
        problems.push(Problem::error("bad-value", "a line ends at an input").at(
            other.span,
            format!("expected \"device[input]\", found {}", other.kind()),
        ));
    }
    strings
}

/// Why a selection of pins is wrong.
enum Wrong {
    Name(String),
    Range {
        group: String,
        count: u16,
    },
    /// The number is of something inside the device.
    Inside {
        pin: String,
        why: &'static str,
    },
    Form,
}

impl Wrong {
    fn problem(self, what: &str, device: &str, groups: &[Pins]) -> Problem {
        match self {
            Self::Name(name) => {
                Problem::error("unknown-pin", format!("`{device}` has no {what} `{name}`")).help(
                    suggest(&name, &format!("{what}s"), groups.iter().map(|g| g.name)),
                )
            }
            Self::Range { group, count } => {
                let message = format!("`{device}` has {} {group}", self::count(count.into(), what));
                let problem = Problem::error("pin-out-of-range", message.trim_end());
                match count.checked_sub(1) {
                    Some(last) => problem.help(format!("they are numbered 0 to {last}")),
                    None => problem,
                }
            }
            Self::Inside { pin, why } => {
                Problem::error("no-pin", format!("`{pin}` of `{device}` is no pin"))
                    .help(format!("it is inside the device: {why}"))
            }
            Self::Form => {
                Problem::error("bad-pin", format!("this names no {what} of `{device}`")).help(PINS)
            }
        }
    }
}

/// The outputs that a key of `irq` names, each with its group.
fn select_outputs<'i>(
    interface: &'i Interface,
    outputs: Option<&Outputs>,
) -> Result<Vec<(Pin, &'i str)>, Wrong> {
    let Outputs {
        group: name,
        numbers: selection,
    } = outputs.ok_or(Wrong::Form)?;
    let (group, first) =
        group(&interface.outputs, name).ok_or_else(|| Wrong::Name(name.to_owned()))?;
    let mut pins = Vec::new();
    for part in selection.iter().flatten() {
        pins.extend(numbers(*part, group.count, name)?);
    }
    if selection.is_none() {
        pins.extend(0..group.count);
    }
    Ok(pins
        .into_iter()
        .map(|n| (Pin(first + n), group.name))
        .collect())
}

/// Reports an output that a device does not have.
pub fn output(output: &Output, at: Span, names: &Names<'_, '_>, problems: &mut Vec<Problem>) {
    let device = output.device.as_str();
    let Some(index) = names.get(device) else {
        problems.push(names.unknown(device, at));
        return;
    };
    let Some(interface) = names.drafts[index].interface() else {
        return;
    };
    if let Err(wrong) = select_outputs(interface, Some(&output.outputs)) {
        let problem = wrong.problem("output", device, &interface.outputs);
        problems.push(problem.at(at, ""));
    }
}

/// The inputs that a value names.
fn inputs_at(node: &Node, names: &Names<'_, '_>, problems: &mut Vec<Problem>) -> Option<Vec<End>> {
    inputs(&*node.as_inputs()?, node.span, names, problems)
}

/// The inputs that a reference names, all of which stands here: numbers count over all inputs, a name is a group, `name.2` one
/// of its pins.
pub fn inputs(
    inputs: &Inputs,
    whole: Span,
    names: &Names<'_, '_>,
    problems: &mut Vec<Problem>,
) -> Option<Vec<End>> {
    let name = inputs.device.text.as_str();
    let (items, at) = match &inputs.pins {
        Selected::Some(items, at) => (Ok(items), *at),
        Selected::Malformed(word) => (Err(Wrong::Form), word.at),
        Selected::None | Selected::Open(_) => {
            let problem = Problem::error("bad-pin", "a line ends at an input")
                .at(whole, "expected \"device[input]\"");
            let alone = inputs.pins == Selected::None && names.get(name).is_some();
            problems.push(match alone {
                true => problem.help(format!("say which input of `{name}`: \"{name}[0]\"")),
                false => problem,
            });
            return None;
        }
    };
    let Some(device) = names.get(name) else {
        problems.push(names.unknown(name, inputs.device.at));
        return None;
    };
    let interface = names.drafts[device].interface()?;
    match items.and_then(|items| select_inputs(interface, items)) {
        Ok(pins) => Some(pins.into_iter().map(|pin| (device, pin)).collect()),
        Err(wrong) => {
            problems.push(wrong.problem("input", name, &interface.inputs).at(at, ""));
            None
        }
    }
}

fn select_inputs(interface: &Interface, items: &[Item]) -> Result<Vec<Pin>, Wrong> {
    let all = interface.inputs.iter().map(|g| g.count).sum();
    let mut pins = Vec::new();
    for item in items {
        let (name, within) = match item {
            Item::Numbers(part) => {
                for number in numbers(*part, all, "")? {
                    pins.push(wired(&interface.inputs, Pin(number))?);
                }
                continue;
            }
            Item::Group(name, within) => (name, within),
        };
        let (group, first) =
            group(&interface.inputs, name).ok_or_else(|| Wrong::Name(name.to_owned()))?;
        match within {
            Some(within) => {
                for number in numbers(*within, group.count, name)? {
                    pins.push(wired(&interface.inputs, Pin(first + number))?);
                }
            }
            None => {
                let outside = (0..group.count).filter(|n| !group.inside.contains(n));
                pins.extend(outside.map(|number| Pin(first + number)));
            }
        }
    }
    Ok(pins)
}

/// The pin, if it is one.
fn wired(groups: &[Pins], pin: Pin) -> Result<Pin, Wrong> {
    let mut first = 0;
    for group in groups {
        if (first..first + group.count).contains(&pin.0) && group.inside.contains(&(pin.0 - first))
        {
            return Err(Wrong::Inside {
                pin: pin_name(groups, pin),
                why: group.why_inside,
            });
        }
        first += group.count;
    }
    Ok(pin)
}

/// A group of pins by name, and the number of its first pin.
fn group<'i>(groups: &'i [Pins], name: &str) -> Option<(&'i Pins, u16)> {
    let index = groups.iter().position(|g| g.name == name)?;
    Some((
        &groups[index],
        groups[..index].iter().map(|g| g.count).sum(),
    ))
}

/// The numbers, all below `count`, which is how many pins the group has.
fn numbers(numbers: Numbers, count: u16, group: &str) -> Result<impl Iterator<Item = u16>, Wrong> {
    if numbers.last() < count {
        return Ok(numbers.all());
    }
    Err(Wrong::Range {
        group: match group {
            "" => String::new(),
            name => format!("of `{name}`"),
        },
        count,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostics::Sources;

    #[test]
    fn selections_of_inputs() {
        let inputs = [("in", 8), ("gate", 1), ("x", 3)];
        let mut inputs: Vec<_> = inputs.map(|(n, c)| Pins::named(n).count(c)).into();
        inputs.push(Pins::named("ip").count(4).inside(&[0, 2], "a reason"));
        let interface = Interface {
            inputs,
            ..Interface::default()
        };
        for (text, expected) in [
            ("3", Some(vec![3])),
            ("0-2,7", Some(vec![0, 1, 2, 7])),
            ("gate", Some(vec![8])),
            ("x", Some(vec![9, 10, 11])),
            ("x.1", Some(vec![10])),
            ("x.0-1, 0", Some(vec![9, 10, 0])),
            ("in.8", None),
            ("12", None),
            ("13", Some(vec![13])),
            ("12-13", None),
            ("14", None),
            ("16", None),
            ("ip", Some(vec![13, 15])),
            ("ip.3", Some(vec![15])),
            ("ip.2", None),
            ("99999999", None),
            ("2-1", None),
            ("", None),
            ("-1", None),
            ("y", None),
            ("x.", None),
            (".1", None),
        ] {
            let file = Sources::default().add("", "");
            let (start, end) = (0, 0);
            let inputs = Inputs::parse(&format!("d[{text}]"), &|_| Span { file, start, end });
            let got = match &inputs.pins {
                Selected::Some(items, _) => select_inputs(&interface, items).ok(),
                _ => None,
            };
            let got = got.map(|pins| pins.iter().map(|p| p.0).collect());
            assert_eq!(got, expected, "{text}");
        }
    }

    #[test]
    fn selections_of_outputs() {
        let interface = Interface {
            outputs: vec![Pins::named("int"), Pins::named("out").count(3)],
            ..Interface::default()
        };
        for (text, expected) in [
            ("int", Some(vec![0])),
            ("int[0]", Some(vec![0])),
            ("out", Some(vec![1, 2, 3])),
            ("out[1-2]", Some(vec![2, 3])),
            ("out[3]", None),
            ("out[1", None),
            ("[1]", None),
            ("", None),
        ] {
            let got = select_outputs(&interface, Outputs::parse(text).as_ref())
                .ok()
                .map(|pins| pins.iter().map(|(p, _)| p.0).collect());
            assert_eq!(got, expected, "{text}");
        }
    }
}

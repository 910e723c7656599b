//! Lines as they are drawn: those that run side by side between the same pin groups are one wire.

use std::collections::BTreeMap;

use solderless_model::Pin;

use crate::plan::{Net, Plan, pin_name};

/// A wire of one line or several.
pub struct Wire {
    /// How many lines.
    pub lines: usize,
    /// Its ends, the drivers first.
    pub ends: Vec<End>,
}

/// Where a wire meets a device.
pub struct End {
    /// The device's index in the plan.
    pub device: usize,
    /// The first of the pins.
    pub pin: Pin,
    /// Whether it is an input of the device.
    pub input: bool,
    /// The pins: `intr`, `in[3-7]`; in the order of the wire's lines.
    pub pins: String,
}

/// The ends of a line, each as a device, whether it is an input of it, and its pin group's name.
type Ends = Vec<(usize, bool, String)>;

/// The wires of a plan, in its order.
pub fn wires(plan: &Plan) -> Vec<Wire> {
    let mut alike: BTreeMap<Ends, usize> = BTreeMap::new();
    let mut wires: Vec<Vec<&Net>> = Vec::new();
    for net in &plan.nets {
        let groups = ends(plan, net)
            .map(|(device, _, input, name)| (device, input, split(&name).0.to_owned()));
        let wire = *alike.entry(groups.collect()).or_insert(wires.len());
        if wire == wires.len() {
            wires.push(Vec::new());
        }
        wires[wire].push(net);
    }
    wires.iter().map(|nets| wire(plan, nets)).collect()
}

fn wire(plan: &Plan, nets: &[&Net]) -> Wire {
    let names: Vec<Vec<_>> = nets.iter().map(|net| ends(plan, net).collect()).collect();
    let first = names.first().into_iter().flatten().enumerate();
    let ends = first.map(|(place, (device, pin, input, name))| {
        let group = split(name).0;
        let indices = names.iter().filter_map(|line| split(&line[place].3).1);
        End {
            device: *device,
            pin: *pin,
            input: *input,
            pins: join(group, indices),
        }
    });
    Wire {
        lines: nets.len(),
        ends: ends.collect(),
    }
}

/// The ends of a line, the drivers first: device, pin, whether it is an input, and the pin's name.
fn ends<'p>(plan: &'p Plan, net: &'p Net) -> impl Iterator<Item = (usize, Pin, bool, String)> + 'p {
    let sides = [(&net.drivers, false), (&net.sinks, true)];
    sides.into_iter().flat_map(move |(ends, input)| {
        ends.iter().map(move |(device, pin)| {
            let interface = &plan.devices[*device].interface;
            let groups = if input {
                &interface.inputs
            } else {
                &interface.outputs
            };
            (*device, *pin, input, pin_name(groups, *pin))
        })
    })
}

/// A pin's group and its number there, if it has one.
fn split(pin: &str) -> (&str, Option<u16>) {
    match pin.split_once('[') {
        Some((group, index)) => (group, index.trim_end_matches(']').parse().ok()),
        None => (pin, None),
    }
}

/// `name`, or `name[3-5,7]`.
fn join(group: &str, indices: impl Iterator<Item = u16>) -> String {
    let mut runs: Vec<(u16, u16)> = Vec::new();
    for index in indices {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(index) => *last = index,
            _ => runs.push((index, index)),
        }
    }
    let runs: Vec<_> = runs
        .iter()
        .map(|(first, last)| {
            if first == last {
                first.to_string()
            } else {
                format!("{first}-{last}")
            }
        })
        .collect();
    if runs.is_empty() {
        group.to_owned()
    } else {
        format!("{group}[{}]", runs.join(","))
    }
}

impl Wire {
    /// `com1.intr → pic.in[4]`; where a side has more ends than `most`, the rest are a number.
    pub fn name(&self, plan: &Plan, most: usize) -> String {
        let side = |input| {
            let ends: Vec<_> = self.ends.iter().filter(|end| end.input == input).collect();
            let shown = if ends.len() > most { most } else { ends.len() };
            let name = |end: &&End| format!("{}.{}", plan.devices[end.device].path, end.pins);
            let mut names: Vec<_> = ends[..shown].iter().map(name).collect();
            if shown < ends.len() {
                names.push(format!("{} more", ends.len() - shown));
            }
            names.join(", ")
        };
        format!("{} → {}", side(false), side(true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_joined_in_their_order() {
        for (indices, expected) in [
            (&[][..], "in"),
            (&[3], "in[3]"),
            (&[3, 4, 5, 7], "in[3-5,7]"),
            (&[3, 0, 1], "in[3,0-1]"),
            (&[2, 1], "in[2,1]"),
            (&[65535, 0], "in[65535,0]"),
        ] {
            assert_eq!(join("in", indices.iter().copied()), expected);
        }
    }
}

//! Pictures of a plan, for people and for programs.

mod svg;

use std::fmt::Write;

use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::{EdgeRef, IntoNodeReferences};
use serde::Serialize;
use serde_json::json;
use solderless_model::RegionId;

use crate::plan::{Address, Bus, Plan, PlannedDevice, pin_name};
use svg::svg;

/// How a graph is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For Graphviz
    Dot,
    /// For programs
    Json,
    /// For Mermaid
    Mermaid,
    /// A picture for people
    Svg,
}

/// A node of a plan's graph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Node {
    /// A bus: `sys`, or a device's port.
    Bus {
        /// `gt.pci`.
        name: String,
    },
    /// A device.
    Device {
        /// Its name.
        name: String,
        /// Its type.
        #[serde(rename = "type")]
        type_name: &'static str,
    },
    /// An optional block that a device has.
    Part {
        /// `pm.memhp`.
        name: String,
    },
    /// A line.
    Net {
        /// Its inputs.
        name: String,
    },
    /// A slot of the board.
    Slot {
        /// Its name.
        name: String,
    },
}

/// An edge of a plan's graph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Link {
    /// From a device to the bus it offers.
    Offers,
    /// From a bus to a device on it.
    Seats {
        /// Its address or its windows.
        address: String,
    },
    /// From a device to its part.
    Has,
    /// From a device to a line.
    Drives {
        /// The output.
        pin: String,
    },
    /// From a line to a device.
    Feeds {
        /// The input.
        pin: String,
    },
    /// From a slot to the device it is plugged into.
    Plugs {
        /// The device's slot.
        slot: String,
    },
}

impl Node {
    fn name(&self) -> &str {
        match self {
            Self::Bus { name }
            | Self::Device { name, .. }
            | Self::Part { name }
            | Self::Net { name }
            | Self::Slot { name } => name,
        }
    }

    fn label(&self) -> String {
        match self {
            Self::Device { name, type_name } => format!("{name}\n{type_name}"),
            other => other.name().to_owned(),
        }
    }
}

impl Link {
    fn label(&self) -> &str {
        match self {
            Self::Offers | Self::Has => "",
            Self::Seats { address } => address,
            Self::Drives { pin } | Self::Feeds { pin } => pin,
            Self::Plugs { slot } => slot,
        }
    }
}

/// The plan as a graph: its buses, devices, parts, lines and slots.
pub fn graph(plan: &Plan) -> DiGraph<Node, Link> {
    let mut graph = DiGraph::new();
    let system = graph.add_node(Node::Bus {
        name: "sys".to_owned(),
    });
    let mut devices: Vec<NodeIndex> = Vec::new();
    let mut ports: Vec<Vec<NodeIndex>> = Vec::new();
    for device in &plan.devices {
        let name = device.path.clone();
        let node = graph.add_node(Node::Device {
            name,
            type_name: device.entry.name,
        });
        if let Some(seat) = device.seat {
            let bus = match seat.bus {
                Bus::System => system,
                Bus::Port(parent, port) => ports[parent][usize::from(port.0)],
            };
            let address = match seat.address {
                Address::Pci { .. } | Address::I2c(_) | Address::Ide(_) => seat.address.to_string(),
                Address::Number(_) | Address::None => starts(device),
            };
            graph.add_edge(bus, node, Link::Seats { address });
        }
        for part in device.interface.parts.iter().filter(|part| part.present) {
            let part = graph.add_node(Node::Part {
                name: format!("{}.{}", device.path, part.name),
            });
            graph.add_edge(node, part, Link::Has);
        }
        let offered = device.interface.ports.iter().map(|port| {
            let bus = graph.add_node(Node::Bus {
                name: format!("{}.{}", device.path, port.name),
            });
            graph.add_edge(node, bus, Link::Offers);
            bus
        });
        ports.push(offered.collect());
        devices.push(node);
    }
    for net in &plan.nets {
        let input = |(device, pin): &(usize, _)| {
            let device = &plan.devices[*device];
            (
                format!(
                    "{}.{}",
                    device.path,
                    pin_name(&device.interface.inputs, *pin)
                ),
                pin_name(&device.interface.inputs, *pin),
            )
        };
        let name = net
            .sinks
            .iter()
            .map(|sink| input(sink).0)
            .collect::<Vec<_>>()
            .join(", ");
        let node = graph.add_node(Node::Net { name });
        for (device, pin) in &net.drivers {
            let pin = pin_name(&plan.devices[*device].interface.outputs, *pin);
            graph.add_edge(devices[*device], node, Link::Drives { pin });
        }
        for sink in &net.sinks {
            graph.add_edge(node, devices[sink.0], Link::Feeds { pin: input(sink).1 });
        }
    }
    for (index, slot) in plan.slots.iter().enumerate() {
        let node = graph.add_node(Node::Slot {
            name: slot.name.clone(),
        });
        for (device, planned) in plan.devices.iter().enumerate() {
            for (offered, bound) in planned.interface.slots.iter().zip(&planned.backends) {
                if *bound == Some(index) {
                    graph.add_edge(
                        node,
                        devices[device],
                        Link::Plugs {
                            slot: offered.name.to_owned(),
                        },
                    );
                }
            }
        }
    }
    graph
}

/// Where a device's windows start, those behind all else left out.
fn starts(device: &PlannedDevice) -> String {
    let region = |id: RegionId| device.interface.region(id);
    let windows = device.windows.iter();
    let seen = windows.filter(|w| region(w.region).is_some_and(|r| !r.background));
    let starts: Vec<_> = seen.map(|w| format!("{:#x}", w.at)).collect();
    starts.join(", ")
}

/// Prints the plan's graph.
pub fn export(plan: &Plan, format: Format) -> String {
    match format {
        Format::Dot => dot(&plan.name, &graph(plan)),
        Format::Json => as_json(plan, &graph(plan)),
        Format::Mermaid => mermaid(&graph(plan)),
        Format::Svg => svg(plan),
    }
}

/// Text within quotes, as DOT and JSON have it.
fn quoted(text: &str) -> String {
    format!(
        "\"{}\"",
        text.replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n")
    )
}

/// A line with one driver and one input is drawn as one edge.
fn is_wire(graph: &DiGraph<Node, Link>, node: NodeIndex) -> Option<(NodeIndex, NodeIndex, String)> {
    let Node::Net { .. } = graph[node] else {
        return None;
    };
    let mut drivers = graph.edges_directed(node, petgraph::Direction::Incoming);
    let mut sinks = graph.edges(node);
    match (drivers.next(), drivers.next(), sinks.next(), sinks.next()) {
        (Some(from), None, Some(to), None) => {
            let label = format!("{} → {}", from.weight().label(), to.weight().label());
            Some((from.source(), to.target(), label))
        }
        _ => None,
    }
}

fn dot(name: &str, graph: &DiGraph<Node, Link>) -> String {
    let mut out = format!(
        "digraph {} {{\n  rankdir=LR;\n  node [fontname=\"sans-serif\"];\n  edge [fontname=\"sans-serif\", fontsize=10];\n",
        quoted(name)
    );
    for (index, node) in graph.node_references() {
        let n = index.index();
        if let Some((from, to, label)) = is_wire(graph, index) {
            let _ = writeln!(
                out,
                "  n{} -> n{} [label={}, color=firebrick];",
                from.index(),
                to.index(),
                quoted(&label)
            );
            continue;
        }
        let shape = match node {
            Node::Bus { .. } => "shape=box, style=\"filled,rounded\", fillcolor=lightsteelblue",
            Node::Device { .. } => "shape=box",
            Node::Part { .. } => "shape=component",
            Node::Net { .. } => "shape=diamond, fontsize=10",
            Node::Slot { .. } => "shape=cds",
        };
        let _ = writeln!(out, "  n{n} [label={}, {shape}];", quoted(&node.label()));
    }
    for edge in graph.edge_references() {
        if [edge.source(), edge.target()]
            .iter()
            .any(|end| is_wire(graph, *end).is_some())
        {
            continue;
        }
        let style = match edge.weight() {
            Link::Offers | Link::Has => ", arrowhead=none",
            Link::Seats { .. } => "",
            Link::Drives { .. } | Link::Feeds { .. } => ", color=firebrick",
            Link::Plugs { .. } => ", style=dashed",
        };
        let _ = writeln!(
            out,
            "  n{} -> n{} [label={}{style}];",
            edge.source().index(),
            edge.target().index(),
            quoted(edge.weight().label())
        );
    }
    out.push_str("}\n");
    out
}

fn mermaid(graph: &DiGraph<Node, Link>) -> String {
    let text = |t: &str| format!("\"{}\"", t.replace('"', "#quot;").replace('\n', "<br>"));
    let mut out = "flowchart LR\n".to_owned();
    for (index, node) in graph.node_references() {
        let n = index.index();
        let label = text(&node.label());
        let _ = match (node, is_wire(graph, index)) {
            (_, Some((from, to, label))) => writeln!(
                out,
                "  n{} -- {} --> n{}",
                from.index(),
                text(&label),
                to.index()
            ),
            (Node::Bus { .. }, None) => writeln!(out, "  n{n}([{label}])"),
            (Node::Device { .. }, None) => writeln!(out, "  n{n}[{label}]"),
            (Node::Part { .. }, None) => writeln!(out, "  n{n}[[{label}]]"),
            (Node::Net { .. }, None) => writeln!(out, "  n{n}{{{label}}}"),
            (Node::Slot { .. }, None) => writeln!(out, "  n{n}>{label}]"),
        };
    }
    for edge in graph.edge_references() {
        if [edge.source(), edge.target()]
            .iter()
            .any(|end| is_wire(graph, *end).is_some())
        {
            continue;
        }
        let (from, to) = (edge.source().index(), edge.target().index());
        let label = edge.weight().label();
        let _ = if label.is_empty() {
            writeln!(out, "  n{from} --- n{to}")
        } else {
            writeln!(out, "  n{from} -- {} --> n{to}", text(label))
        };
    }
    out
}

fn as_json(plan: &Plan, graph: &DiGraph<Node, Link>) -> String {
    let links = graph.edge_references().map(|edge| {
        json!({ "from": edge.source().index(), "to": edge.target().index(), "link": edge.weight() })
    });
    let json = json!({
        "board": plan.name,
        "summary": plan.summary,
        "nodes": graph.node_weights().collect::<Vec<_>>(),
        "links": links.collect::<Vec<_>>(),
    });
    format!("{json:#}\n")
}

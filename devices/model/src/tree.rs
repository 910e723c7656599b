//! What a device tree says of a device: its `compatible` strings, and which of its properties and pins becomes which property of
//! its node. Addresses, the interrupt controllers that lines lead to, and where nodes stand are the board's.
//!
//! Devicetree Specification, release 0.4.

use crate::Pin;

/// A node, as the device's model knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    /// Its generic name (2.2.2): `serial`.
    pub name: &'static str,
    /// `compatible`, from the most specific to the most general.
    pub compatible: Vec<&'static str>,
    /// Its own properties.
    pub properties: Vec<(&'static str, Value)>,
    /// The outputs that interrupt somebody, in the order in which its binding has them.
    pub interrupts: Vec<Pin>,
    /// What it is for the interrupts of others.
    pub controller: Option<Controller>,
    /// What its `reg` says, where that is not all that it answers: offsets in its first region, and sizes.
    pub reg: Option<Vec<(u64, u64)>>,
    /// The number of a CPU, whose node is among `/cpus`.
    pub cpu: Option<u32>,
    /// Properties of `/cpus`, which all CPUs of a board have in common.
    pub of_cpus: Vec<(&'static str, Value)>,
    /// Nodes at the root that lead to this one: what can be done with it.
    pub uses: Vec<Node>,
}

/// An interrupt controller (2.4).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Controller {
    /// The inputs that others interrupt at, each with the cell by which they say so.
    pub inputs: Vec<(Pin, u32)>,
    /// It has a node of its own below the device's, with this `compatible`.
    pub below: Option<&'static str>,
    /// `interrupt-map`s lead to it: it says that no address comes with an interrupt.
    pub mapped: bool,
}

/// The value of a property (2.2.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// None: it is there.
    Flag,
    /// Numbers of 32 bits.
    Cells(Vec<u32>),
    /// A text.
    Text(String),
    /// In a node of [`Node::uses`]: the phandle of the device's node.
    Device,
}

impl Node {
    /// A node with a generic name and what it is compatible with.
    pub fn new(name: &'static str, compatible: &[&'static str]) -> Self {
        Self {
            name,
            compatible: compatible.to_vec(),
            ..Self::default()
        }
    }

    /// With a property.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.properties.push((name, value.into()));
        self
    }

    /// With outputs that interrupt.
    #[must_use]
    pub fn interrupts(self, pins: impl IntoIterator<Item = Pin>) -> Self {
        Self {
            interrupts: pins.into_iter().collect(),
            ..self
        }
    }
}

impl From<u32> for Value {
    fn from(cell: u32) -> Self {
        Self::Cells(vec![cell])
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

//! The format of boards: text to a tree, layers laid over one another, parameters and chips put in.
//!
//! What the names in it mean, and whether they mean anything, is [`graph`](crate::graph)'s to say.

pub mod chips;
pub mod decode;
pub mod format;
pub(crate) mod gone;
pub mod locked;
pub(crate) mod merge;
pub mod params;
pub mod parse;
pub mod refer;
pub mod renew;
pub(crate) mod set;
mod table;
pub mod tree;
pub(crate) mod when;
pub mod write;

use std::collections::BTreeSet;

use chips::Ports;
pub use gone::Gone;
use params::{Params, Setting};
use tree::Table;

use crate::diagnostics::Span;

/// A board with its layers merged and its chips put in.
#[derive(Debug)]
pub struct Board {
    /// The tree, parameters put in.
    pub root: Table,
    /// The parameters.
    pub params: Params,
    /// What the run file and the command line set of them, the later stronger.
    pub settings: Vec<Setting>,
    /// The parameters that nothing uses, those of chips with the chip's name before them, and where they are declared.
    pub unused: Vec<(String, Span)>,
    /// The chips on it, by name.
    pub chips: BTreeSet<String>,
    /// What is not there because its `when` says so: `dev.usb`.
    pub absent: Vec<String>,
    /// What it takes away of the boards that it extends.
    pub gone: Gone,
    /// The ports, if it is no board but a chip by itself.
    pub ports: Option<Ports>,
    /// The whole of the board's own file, for what is missing from it.
    pub whole: Span,
}

impl Board {
    /// The keys under which a file that extends the board finds a device: those of a chip are within it.
    pub fn keys_of<'d>(&self, device: &'d str) -> Vec<&'d str> {
        let mut keys = Vec::new();
        let mut start = 0;
        for (dot, _) in device.match_indices('.') {
            if self.chips.contains(&device[..dot]) {
                keys.extend(["chip", &device[start..dot]]);
                start = dot + 1;
            }
        }
        keys.extend(["dev", &device[start..]]);
        keys
    }
}

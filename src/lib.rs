//! Solderless composes emulated machines from TOML.
//!
//! `board` turns text into a tree, `graph` the tree into a checked `plan`, `compose` goes from a name to that plan; `machine`
//! builds the plan and runs it, `backend` connects it to the world. Nothing before `machine` has a side effect.

#![forbid(unsafe_code)]

pub mod acpi;
pub mod backend;
pub mod board;
pub mod cli;
pub mod compose;
pub mod diagnostics;
pub mod files;
pub mod graph;
pub mod lock;
pub mod machine;
pub mod monitor;
pub mod picture;
pub mod plan;
pub mod progress;
pub mod reference;
pub mod registry;
mod replace;
pub mod state;
pub mod toml;
pub mod tree;
mod visible;

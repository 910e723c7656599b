//! Solderless composes emulated machines from TOML.
//!
//! `board` reads and merges text, `graph` turns it into a checked plan, `machine` builds the plan and
//! runs it, `host` connects it to the world. Nothing before `machine` has a side effect.

#![forbid(unsafe_code)]

pub mod board;
pub mod cli;
pub mod diagnostics;
pub mod graph;
pub mod host;
pub mod machine;
pub mod monitor;
pub mod registry;
pub mod state;

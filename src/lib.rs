//! Solderless composes emulated machines from TOML.
//!
//! `board` reads and merges text, `graph` turns it into a checked plan, `machine` builds the plan and
//! runs it, `backend` connects it to the world. Nothing before `machine` has a side effect.

#![forbid(unsafe_code)]

pub mod backend;
pub mod board;
pub mod cli;
pub mod diagnostics;
pub mod files;
pub mod graph;
pub mod machine;
pub mod monitor;
pub mod progress;
pub mod registry;
mod replace;
pub mod state;
mod visible;

//! From a board's tree to its plan, and the plan as a graph.

pub(crate) mod address;
pub mod devices;
pub mod diff;
pub mod export;
mod lines;
pub mod lints;
pub mod plan;
mod print;
pub mod resolve;
mod svg;
mod windows;

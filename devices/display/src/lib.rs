//! Graphics adapters.

#![forbid(unsafe_code)]

mod picture;
mod vga;

pub use vga::{Vga, VgaProps};

//! Keyboard and mouse controllers.

#![forbid(unsafe_code)]

mod i8042;
mod ps2_keyboard;
mod ps2_mouse;
mod scan_codes;

pub use i8042::{I8042, I8042Props};
pub use ps2_keyboard::Keyboard;
pub use ps2_mouse::Mouse;
pub use scan_codes::{PAUSE, PRINT_SCREEN};

//! No protocol: a bare-metal program that needs nothing.

use solderless_model::boot::{BootError, Layout, Protocol, Start};

use super::enter;

/// The protocol.
#[derive(Debug)]
pub struct None;

impl Protocol for None {
    fn name(&self) -> &'static str {
        "none"
    }

    fn summary(&self) -> &'static str {
        "Nothing is handed over but the hart's number in a0: all harts are in M mode at the program's entry, and as a reset leaves them otherwise, but for a1, a2 and t0."
    }

    fn keys(&self) -> &'static [&'static str] {
        &[]
    }

    fn hands_over(&self) -> bool {
        false
    }

    fn lay_out(&self, start: &Start<'_>) -> Result<Layout, BootError> {
        Ok(Layout {
            stub: enter(start.program.entry, 0, start.bits),
            ..Layout::default()
        })
    }
}

//! No protocol: a bare-metal program that needs nothing.

use solderless_model::boot::{BootError, Layout, Protocol, Start};

/// The protocol.
#[derive(Debug)]
pub struct None;

impl Protocol for None {
    fn name(&self) -> &'static str {
        "none"
    }

    fn summary(&self) -> &'static str {
        "Nothing is handed over: the CPU is in protected mode of 32 bits without paging at the program's entry, with segments of 4 GiB, and as a reset leaves it otherwise, but for general registers."
    }

    fn keys(&self) -> &'static [&'static str] {
        &[]
    }

    fn hands_over(&self) -> bool {
        false
    }

    fn lay_out(&self, start: &Start<'_>) -> Result<Layout, BootError> {
        Ok(Layout {
            stub: super::enter(start.program.entry as u32, 0, &[])?,
            ..Layout::default()
        })
    }
}

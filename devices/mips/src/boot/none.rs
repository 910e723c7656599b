//! No protocol: a bare-metal program that needs nothing.

use solderless_model::boot::{BootError, Layout, Protocol, Start};

use super::assembler::{Assembler, reg};

/// The protocol.
#[derive(Debug)]
pub struct None;

impl Protocol for None {
    fn name(&self) -> &'static str {
        "none"
    }

    fn summary(&self) -> &'static str {
        "Nothing is handed over: the CPU is as a reset leaves it, but for $k0 and that it stands at the kernel's entry."
    }

    fn keys(&self) -> &'static [&'static str] {
        &[]
    }

    fn hands_over(&self) -> bool {
        false
    }

    fn physical(&self, virtual_address: u64, physical_address: u64) -> u64 {
        super::physical(virtual_address, physical_address)
    }

    fn lay_out(&self, start: &Start<'_>) -> Result<Layout, BootError> {
        let mut code = Assembler::default();
        code.li(reg::K0, start.program.entry as u32);
        code.jr(reg::K0);
        code.nop();
        Ok(Layout {
            stub: code.bytes(start.big_endian),
            ..Layout::default()
        })
    }
}

//! What x86 CPUs boot, and how.

mod none;

use solderless_model::Cpu;
use solderless_model::boot::{Architecture, Protocol};

/// The architecture of [`X86Cpu`](crate::X86Cpu).
#[derive(Debug)]
pub struct X86;

impl X86 {
    /// Its name.
    pub const NAME: &str = "x86";
}

impl Architecture for X86 {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn title(&self) -> &'static str {
        "x86"
    }

    fn target(&self, cpu: &Cpu) -> String {
        match cpu.bits {
            64 => "x86_64",
            _ => "i386",
        }
        .to_owned()
    }

    fn elf_machine(&self) -> u16 {
        3
    }

    fn protocols(&self) -> &'static [&'static dyn Protocol] {
        &[&none::None]
    }
}

//! What MIPS CPUs boot, and how: firmware images of either word order, and the protocols that hand over to a kernel.

mod assembler;
mod firmware;
mod none;
mod yamon;

use solderless_model::Cpu;
use solderless_model::boot::{Architecture, BootError, Protocol};

/// What the boot protocols take of a physical address that a kernel is linked to, and their stubs say it by: the cached and the
/// uncached view of low physical memory.
const KSEG0: u32 = 0x8000_0000;
const KSEG1: u32 = 0xa000_0000;
/// Behind both.
const KSEG2: u32 = 0xc000_0000;

/// The architecture of [`MipsCpu`](crate::MipsCpu).
#[derive(Debug)]
pub struct Mips;

impl Mips {
    /// Its name.
    pub const NAME: &str = "mips";
}

impl Architecture for Mips {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn title(&self) -> &'static str {
        "MIPS"
    }

    fn target(&self, cpu: &Cpu) -> String {
        let wide = if cpu.bits == 64 { "64" } else { "" };
        let end = if cpu.big_endian { "" } else { "el" };
        format!("{}{wide}{end}", self.name())
    }

    fn elf_machine(&self) -> u16 {
        8
    }

    fn starts_narrow(&self) -> bool {
        true
    }

    fn protocols(&self) -> &'static [&'static dyn Protocol] {
        &[&yamon::Yamon, &none::None]
    }

    fn firmware(&self, image: &[u8], big_endian: bool) -> Result<Option<Vec<u8>>, BootError> {
        firmware::in_order(image, big_endian)
    }
}

/// Where a segment of an ELF file lies: in the unmapped segments its virtual address says it, which a file of 64 bits has
/// sign-extended.
fn physical(virtual_address: u64, physical_address: u64) -> u64 {
    let low = virtual_address as u32;
    let short = [0, u64::from(u32::MAX)].contains(&(virtual_address >> 32));
    match short && (KSEG0..KSEG2).contains(&low) {
        true => u64::from(low & !(KSEG0 | KSEG1)),
        false => physical_address,
    }
}

fn word(value: u32, big_endian: bool) -> [u8; 4] {
    match big_endian {
        true => value.to_be_bytes(),
        false => value.to_le_bytes(),
    }
}

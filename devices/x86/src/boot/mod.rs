//! What x86 CPUs boot, and how.

mod linux;
mod none;

use solderless_model::Cpu;
use solderless_model::boot::{Architecture, BootError, Protocol};

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
        &[&linux::Linux, &none::None]
    }
}

/// Bytes of the stub: a page, of which the last 16 bytes are where the CPU starts.
const STUB: usize = 0x1000;
/// Where [`enter`] has what, in the stub.
const POINTER: usize = 0x20;
const GDT: usize = 0x30;
const PROTECTED: usize = 0x50;
const RESET: usize = 0xff0;

/// Code for the end of the first MiB and of 4 GiB, which goes to protected mode with the segments that Linux asks for, writes 32-bit
/// words to I/O ports, and jumps to an address with another one in ESI.
fn enter(entry: u32, esi: u32, setup: &[(u64, u32)]) -> Result<Vec<u8>, BootError> {
    let mut stub = vec![0xf4; STUB];
    // It is seen at ffff:f000 below 4 GiB; what is there is addressed by its last 64 KiB.
    const CODE: u32 = 0xffff_f000;
    let mut at = |at: usize, bytes: &[u8]| {
        if let Some(to) = stub.get_mut(at..at + bytes.len()) {
            to.copy_from_slice(bytes);
        }
    };
    let mut real = vec![
        0xfa, // cli
        0x2e, 0x66, 0x0f, 0x01, 0x16, // lgdt cs:[POINTER]
    ];
    real.extend((0xf000 + POINTER as u16).to_le_bytes());
    real.extend([0x0f, 0x20, 0xc0]); // mov eax, cr0
    real.extend([0x0c, 0x01]); // or al, 1
    real.extend([0x0f, 0x22, 0xc0]); // mov cr0, eax
    real.extend([0x66, 0xea]); // jmp 16:protected
    real.extend((CODE + PROTECTED as u32).to_le_bytes());
    real.extend([0x10, 0x00]);
    at(0, &real);
    let mut protected = vec![0x66, 0xb8, 0x18, 0x00]; // mov ax, 24
    for segment in [3u8, 0, 2, 4, 5] {
        protected.extend([0x8e, 0xc0 | segment << 3]); // mov sreg, ax
    }
    for (port, word) in setup {
        let Ok(port) = u16::try_from(*port) else {
            return BootError::refuse(format!(
                "`setup` of [boot] writes {word:#x} to {port:#x}: on x86 it takes I/O ports, 0 to 0xffff"
            ));
        };
        protected.push(0xba); // mov edx, port
        protected.extend(u32::from(port).to_le_bytes());
        protected.push(0xb8); // mov eax, word
        protected.extend(word.to_le_bytes());
        protected.push(0xef); // out dx, eax
    }
    for (register, value) in [(5, 0), (7, 0), (3, 0), (6, esi), (0, entry)] {
        protected.push(0xb8 | register); // mov reg, value
        protected.extend(u32::to_le_bytes(value));
    }
    protected.extend([0xff, 0xe0]); // jmp eax
    if PROTECTED + protected.len() > RESET {
        return BootError::refuse("`setup` of [boot] is too long: the stub has room for 350 words");
    }
    at(PROTECTED, &protected);
    at(POINTER, &31u16.to_le_bytes());
    at(POINTER + 2, &(CODE + GDT as u32).to_le_bytes());
    at(GDT + 16, &0x00cf_9b00_0000_ffff_u64.to_le_bytes());
    at(GDT + 24, &0x00cf_9300_0000_ffff_u64.to_le_bytes());
    // jmp to the start of the stub.
    at(RESET, &[0xe9, 0x0d, 0xf0]);
    Ok(stub)
}

//! No protocol: a bare-metal program that needs nothing.

use solderless_model::boot::{BootError, Layout, Protocol, Start};

/// The protocol.
#[derive(Debug)]
pub struct None;

/// Bytes of the stub: a page, of which the last 16 bytes are where the CPU starts.
const STUB: usize = 0x1000;

impl Protocol for None {
    fn name(&self) -> &'static str {
        "none"
    }

    fn summary(&self) -> &'static str {
        "Nothing is handed over: the CPU is in protected mode of 32 bits without paging at the program's entry, with segments of 4 GiB, and as a reset leaves it otherwise, but for EAX."
    }

    fn keys(&self) -> &'static [&'static str] {
        &[]
    }

    fn hands_over(&self) -> bool {
        false
    }

    fn lay_out(&self, start: &Start<'_>) -> Result<Layout, BootError> {
        Ok(Layout {
            stub: enter(start.program.entry as u32),
            ..Layout::default()
        })
    }
}

/// Code for the end of the first MiB and of 4 GiB, which goes to protected mode and then to an address.
fn enter(entry: u32) -> Vec<u8> {
    let mut stub = vec![0xf4; STUB];
    // It is seen at ffff:f000 below 4 GiB; what is there is addressed by its last 64 KiB.
    const CODE: u32 = 0xffff_f000;
    const GDT: u32 = 0x80;
    const POINTER: u32 = 0x70;
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
    real.extend([0x66, 0xea]); // jmp 8:protected
    real.extend((CODE + 0x20).to_le_bytes());
    real.extend([0x08, 0x00]);
    at(0, &real);
    let mut protected = vec![0x66, 0xb8, 0x10, 0x00]; // mov ax, 16
    for segment in [3u8, 0, 2, 4, 5] {
        protected.extend([0x8e, 0xc0 | segment << 3]); // mov sreg, ax
    }
    protected.push(0xb8); // mov eax, entry
    protected.extend(entry.to_le_bytes());
    protected.extend([0xff, 0xe0]); // jmp eax
    at(0x20, &protected);
    at(POINTER as usize, &23u16.to_le_bytes());
    at(POINTER as usize + 2, &(CODE + GDT).to_le_bytes());
    at(GDT as usize + 8, &0x00cf_9b00_0000_ffff_u64.to_le_bytes());
    at(GDT as usize + 16, &0x00cf_9300_0000_ffff_u64.to_le_bytes());
    // jmp to the start of the stub.
    at(0xff0, &[0xe9, 0x0d, 0xf0]);
    stub
}

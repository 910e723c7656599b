//! What the emitter is made of: where guest state is found by generated code, and instructions on it.
//!
//! `rbx` points into the [`Core`], `rbp` to the tables of the soft TLB, `r12d` is the guest address of the block, `r13` the
//! instructions left to execute. The
//! general registers that programs use most are in host registers as long as generated code runs; `eax`, `ecx` and `edx`
//! are free for every guest instruction. Floating point registers are in memory, `xmm0` and `xmm1` are free.

use std::mem::offset_of;

use dynasmrt::x64::X64Relocation;
use dynasmrt::{DynasmApi, VecAssembler, dynasm};

use solderless_model::memory::layout;

use crate::core::Core;

/// `rbx` is this much into the [`Core`], so that the general registers are within a short displacement.
pub const BIAS: usize = offset_of!(Core, r) + 64;

/// The displacement from `rbx` of what is at an offset in the [`Core`].
pub const fn place(offset: usize) -> i32 {
    offset as i32 - BIAS as i32
}

/// The displacements of fields of the [`Core`].
pub mod at {
    use super::{Core, layout, offset_of, place};
    use crate::exec::Due;

    pub const PC: i32 = place(offset_of!(Core, pc));
    pub const BUDGET: i32 = place(offset_of!(Core, budget));
    pub const LATCH: i32 = place(offset_of!(Core, latch));
    pub const CODE_KEY: i32 = place(offset_of!(Core, code_key));
    pub const VIEW: i32 = place(offset_of!(Core, soft) + layout::VIEW);
    pub const ITLB: i32 = place(offset_of!(Core, itlb));
    pub const FCSR: i32 = place(offset_of!(Core, fcsr));
    pub const FPR: i32 = place(offset_of!(Core, fpr));
    pub const DUE: i32 = place(offset_of!(Core, fp_due) + offset_of!(Due, again));
    pub const DUE_OPERANDS: i32 = place(offset_of!(Core, fp_due) + offset_of!(Due, operands));
}

pub const EAX: u8 = 0;
pub const ECX: u8 = 1;
pub const EDX: u8 = 2;

/// The general registers in host registers: guest's and host's numbers.
pub const PINNED: [(u8, u8); 8] = [
    (2, 6),
    (3, 7),
    (4, 8),
    (5, 9),
    (6, 10),
    (7, 11),
    (16, 14),
    (29, 15),
];

/// Where a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Src {
    /// In a host register.
    Reg(u8),
    /// In memory, at this displacement from `rbx`.
    Mem(i8),
    /// Known.
    Imm(i32),
}

/// Where a general register is.
pub fn src(register: u8) -> Src {
    match PINNED.iter().find(|(guest, _)| *guest == register) {
        Some((_, host)) => Src::Reg(*host),
        None if register == 0 => Src::Imm(0),
        None => Src::Mem((i32::from(register) * 4 - 64) as i8),
    }
}

/// An x86 condition, by its number in the encoding; the number with the last bit inverted is the opposite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum If {
    Overflow = 0,
    Below = 2,
    AboveOrEqual = 3,
    Equal = 4,
    NotEqual = 5,
    BelowOrEqual = 6,
    Sign = 8,
    Parity = 10,
    Less = 12,
    GreaterOrEqual = 13,
    LessOrEqual = 14,
    Greater = 15,
}

/// A place in code that is jumped to.
#[derive(Debug, Clone, Copy)]
pub struct Label(u32);

/// Where a displacement leads.
#[derive(Debug, Clone, Copy)]
enum Target {
    Label(Label),
    /// Out of the block, from the base of the cache.
    Outward(u32),
}

/// Code in the making.
pub struct Asm {
    pub ops: VecAssembler<X64Relocation>,
    /// Where labels are.
    labels: Vec<usize>,
    /// Displacements of jumps and calls, 32 bits each.
    displacements: Vec<(usize, Target)>,
    /// Where what is rarely executed starts.
    far: Option<usize>,
}

/// Code, to be put in two places.
pub struct Code {
    pub near: Vec<u8>,
    pub far: Vec<u8>,
}

/// An instruction with a register and any source.
macro_rules! with_source {
    ($($name:ident)*) => {$(
        pub fn $name(&mut self, to: u8, from: Src) {
            match from {
                Src::Reg(from) => dynasm!(self.ops; .arch x64; $name Rd(to), Rd(from)),
                Src::Mem(from) => dynasm!(self.ops; .arch x64; $name Rd(to), [BYTE rbx + from]),
                Src::Imm(value) => match i8::try_from(value) {
                    Ok(value) => dynasm!(self.ops; .arch x64; $name Rd(to), BYTE value),
                    Err(_) => dynasm!(self.ops; .arch x64; $name Rd(to), DWORD value),
                },
            }
        }
    )*};
}

impl Asm {
    pub fn new() -> Self {
        Self {
            ops: VecAssembler::new(0),
            labels: Vec::new(),
            displacements: Vec::new(),
            far: None,
        }
    }

    with_source! { add adc sub and or xor }

    pub fn cmp(&mut self, a: u8, b: Src) {
        match b {
            Src::Reg(b) => dynasm!(self.ops; .arch x64; cmp Rd(a), Rd(b)),
            Src::Mem(b) => dynasm!(self.ops; .arch x64; cmp Rd(a), [BYTE rbx + b]),
            Src::Imm(value) => dynasm!(self.ops; .arch x64; cmp Rd(a), DWORD value),
        }
    }

    /// Moves, unless it is there already.
    pub fn mov(&mut self, to: u8, from: Src) {
        match from {
            Src::Reg(from) if from == to => {}
            Src::Reg(from) => dynasm!(self.ops; .arch x64; mov Rd(to), Rd(from)),
            Src::Mem(from) => dynasm!(self.ops; .arch x64; mov Rd(to), [BYTE rbx + from]),
            Src::Imm(0) => dynasm!(self.ops; .arch x64; xor Rd(to), Rd(to)),
            Src::Imm(value) => dynasm!(self.ops; .arch x64; mov Rd(to), DWORD value),
        }
    }

    pub fn imul(&mut self, to: u8, from: Src) {
        match from {
            Src::Reg(from) => dynasm!(self.ops; .arch x64; imul Rd(to), Rd(from)),
            Src::Mem(from) => dynasm!(self.ops; .arch x64; imul Rd(to), [BYTE rbx + from]),
            Src::Imm(value) => dynasm!(self.ops; .arch x64; imul Rd(to), Rd(to), DWORD value),
        }
    }

    pub fn test(&mut self, a: u8, b: u8) {
        dynasm!(self.ops; .arch x64; test Rd(a), Rd(b));
    }

    /// The value of a general register in a host register, which is `scratch` if it is in none.
    pub fn value(&mut self, register: u8, scratch: u8) -> u8 {
        match src(register) {
            Src::Reg(host) => host,
            from => {
                self.mov(scratch, from);
                scratch
            }
        }
    }

    /// The host register to compute a general register's new value in.
    pub fn target(&self, register: u8, scratch: u8) -> u8 {
        match src(register) {
            Src::Reg(host) => host,
            _ => scratch,
        }
    }

    /// Gives a general register the value in a host register.
    pub fn put(&mut self, register: u8, from: u8) {
        match src(register) {
            Src::Reg(host) => self.mov(host, Src::Reg(from)),
            Src::Mem(to) => dynasm!(self.ops; .arch x64; mov [BYTE rbx + to], Rd(from)),
            Src::Imm(_) => {}
        }
    }

    /// Gives a general register a known value.
    pub fn put_imm(&mut self, register: u8, value: i32) {
        match src(register) {
            Src::Reg(host) => self.mov(host, Src::Imm(value)),
            Src::Mem(to) => dynasm!(self.ops; .arch x64; mov DWORD [BYTE rbx + to], DWORD value),
            Src::Imm(_) => {}
        }
    }

    pub fn label(&mut self) -> Label {
        self.labels.push(0);
        Label(self.labels.len() as u32 - 1)
    }

    pub fn bind(&mut self, label: Label) {
        let here = self.here();
        if let Some(place) = self.labels.get_mut(label.0 as usize) {
            *place = here;
        }
    }

    pub fn jump(&mut self, label: Label) {
        self.ops.extend([0xe9]);
        self.displacement(Target::Label(label));
    }

    /// Jumps within the block if a condition holds, given by its number.
    pub fn jump_if(&mut self, condition: u8, label: Label) {
        self.ops.extend([0x0f, 0x80 | condition]);
        self.displacement(Target::Label(label));
    }

    /// Sets a host register, one of the scratch registers, to whether a condition holds.
    pub fn set_if(&mut self, condition: u8, scratch: u8) {
        self.ops.extend([0x0f, 0x90 | condition, 0xc0 | scratch]);
        dynasm!(self.ops; .arch x64; movzx Rd(scratch), Rb(scratch));
    }

    /// Where the next instruction is in the code.
    fn here(&self) -> usize {
        self.ops.offset().0
    }

    /// What follows is rarely executed.
    pub fn far(&mut self) {
        self.far = Some(self.here());
    }

    /// Jumps out of the block; gives the place of the displacement.
    pub fn jump_out(&mut self, to: u32) -> usize {
        self.ops.extend([0xe9]);
        self.displacement(Target::Outward(to))
    }

    /// Jumps out of the block if a condition holds; gives the place of the displacement.
    pub fn jump_out_if(&mut self, condition: u8, to: u32) -> usize {
        self.ops.extend([0x0f, 0x80 | condition]);
        self.displacement(Target::Outward(to))
    }

    /// Calls code out of the block.
    pub fn call_out(&mut self, to: u32) {
        self.ops.extend([0xe8]);
        self.displacement(Target::Outward(to));
    }

    fn displacement(&mut self, to: Target) -> usize {
        let at = self.here();
        self.displacements.push((at, to));
        self.ops.extend([0; 4]);
        at
    }

    /// The code, to be put at `near` from the base of the cache, and what is rarely executed of it so that it ends at `end`.
    pub fn finish(self, near: u32, end: u32) -> Option<Code> {
        let mut code = self.ops.finalize().ok()?;
        let split = self.far.unwrap_or(code.len());
        let far = end.checked_sub((code.len() - split) as u32)?;
        let place = |at: usize| match at.checked_sub(split) {
            None => near.wrapping_add(at as u32),
            // The end of the code is not in the far part if there is none.
            Some(0) if self.far.is_none() => near.wrapping_add(at as u32),
            Some(at) => far.wrapping_add(at as u32),
        };
        for (at, target) in self.displacements {
            let to = match target {
                Target::Label(label) => place(*self.labels.get(label.0 as usize)?),
                Target::Outward(to) => to,
            };
            let next = place(at).wrapping_add(4);
            let displacement = to.wrapping_sub(next);
            code.get_mut(at..at + 4)?
                .copy_from_slice(&displacement.to_le_bytes());
        }
        let far = code.split_off(split);
        Some(Code { near: code, far })
    }
}

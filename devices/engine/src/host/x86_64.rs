//! x86-64.
//!
//! `rbx` points into the core, `rbp` to the tables of the soft TLB, `r13` is the instructions left to execute. `eax`, `ecx` and
//! `edx` are scratch, `xmm0` and `xmm1` too, and a pair that is in no register is in `xmm15`.

#![allow(
    clippy::useless_conversion,
    clippy::cast_lossless,
    reason = "what the assembler's macro makes of registers and displacements"
)]

use dynasmrt::x64::X64Relocation;
use dynasmrt::{DynasmApi, VecAssembler, dynasm};
use solderless_model::memory::{layout, wide_layout};

use super::{
    Assembler, Binary, Code, Extend, Float, Freg, Fused, If, Label, Mem, Operand, Pair, Place,
    Reach, Reg, Shift, Size, T0, T1, T2, TableJump, Unary, Width,
};
use crate::frame::{Frame, Homes};

mod stubs;

pub use stubs::Stubs;

/// Where a displacement leads.
#[derive(Debug, Clone, Copy)]
enum Target {
    Label(Label),
    /// Out of the code, from the base of the cache.
    Outward(u32),
    /// No displacement, but how far it is to one place from another.
    Between(Label, Label),
}

/// Code in the making.
pub struct Assembled {
    ops: VecAssembler<X64Relocation>,
    /// Where labels are.
    labels: Vec<usize>,
    /// Displacements of jumps and calls, 32 bits each.
    displacements: Vec<(usize, Target)>,
    /// Where what is rarely executed starts.
    far: Option<usize>,
}

const WIDE: u8 = 0x48;

const fn rex(width: Width) -> u8 {
    match width {
        Width::W32 => 0,
        Width::W64 => WIDE,
    }
}

impl Binary {
    /// What it is in the encoding, but for a product.
    fn code(self) -> u8 {
        match self {
            Self::Add | Self::Mul => 0,
            Self::Or => 1,
            Self::Adc => 2,
            Self::Sbb => 3,
            Self::And => 4,
            Self::Sub => 5,
            Self::Xor => 6,
            Self::Cmp => 7,
        }
    }
}

impl Shift {
    /// What it is in the encoding.
    fn code(self) -> u8 {
        match self {
            Self::Rol => 0,
            Self::Ror => 1,
            Self::Shl => 4,
            Self::Shr => 5,
            Self::Sar => 7,
        }
    }
}

impl Size {
    /// What is in front of an instruction on so many bytes, what REX has to be besides, and what is added to the opcode for one byte.
    fn prefix(self) -> (&'static [u8], u8, u8) {
        match self {
            Self::B1 => (&[], 0x40, 0),
            Self::B2 => (&[0x66], 0, 1),
            Self::B4 => (&[], 0, 1),
            Self::B8 => (&[], WIDE, 1),
        }
    }
}

impl From<Place> for Rm {
    fn from(place: Place) -> Self {
        match place {
            Place::Reg(register) => Self::Reg(register),
            Place::Mem(mem) => Self::Mem(mem),
        }
    }
}

impl Freg {
    fn number(self) -> u8 {
        match self {
            Self::F0 => 0,
            Self::F1 => 1,
        }
    }
}

/// An operand that is a register or memory.
#[derive(Debug, Clone, Copy)]
enum Rm {
    Reg(Reg),
    Mem(Mem),
}

impl Assembled {
    /// Emits an instruction: a prefix, an opcode, a register or what stands for one in the encoding, and an operand.
    fn encode(&mut self, rex: u8, opcode: &[u8], register: u8, rm: Rm) {
        let (base, index, scale, displacement) = match rm {
            Rm::Reg(base) => (base.0, 0, 0, 0),
            Rm::Mem(mem) => (
                mem.base.0,
                mem.index.map_or(0, |i| i.0),
                mem.shift & 3,
                mem.by,
            ),
        };
        let high = (register >> 3) << 2 | (index >> 3) << 1 | base >> 3;
        let mut bytes = [0; 16];
        let mut len = 0;
        let mut push = |byte| {
            if let Some(place) = bytes.get_mut(len) {
                *place = byte;
                len += 1;
            }
        };
        if rex | high != 0 {
            push(0x40 | rex | high);
        }
        opcode.iter().copied().for_each(&mut push);
        let modrm = |mode: u8, rm: u8| mode << 6 | (register & 7) << 3 | rm;
        let short = i8::try_from(displacement);
        let indexed = matches!(rm, Rm::Mem(Mem { index: Some(_), .. }));
        let mode = match (rm, short) {
            (Rm::Reg(_), _) => 3,
            // Without a displacement there is none for these bases.
            (_, Ok(0)) if indexed && base & 7 != 5 => 0,
            (_, Ok(_)) => 1,
            _ => 2,
        };
        match rm {
            Rm::Mem(_) if indexed => {
                push(modrm(mode, 4));
                push(scale << 6 | (index & 7) << 3 | base & 7);
            }
            Rm::Mem(_) if base & 7 == 4 => {
                push(modrm(mode, 4));
                push(0x24);
            }
            _ => push(modrm(mode, base & 7)),
        }
        match (mode, short) {
            (1, Ok(short)) => push(short.cast_unsigned()),
            (2, _) => displacement.to_le_bytes().into_iter().for_each(&mut push),
            _ => {}
        }
        self.ops.extend(bytes.iter().take(len));
    }

    fn imm(&mut self, value: i32) {
        self.ops.extend(value.to_le_bytes());
    }

    /// The number behind an operation that is encoded with or without its upper bytes.
    fn binary_imm(&mut self, rex: u8, operation: Binary, to: Rm, value: i32) {
        let code = operation.code();
        match i8::try_from(value) {
            Ok(short) => {
                self.encode(rex, &[0x83], code, to);
                self.ops.extend([short.cast_unsigned()]);
            }
            Err(_) => {
                self.encode(rex, &[0x81], code, to);
                self.imm(value);
            }
        }
    }

    fn displacement(&mut self, to: Target) -> usize {
        let at = self.here();
        self.displacements.push((at, to));
        self.ops.extend([0; 4]);
        at
    }
}

impl Assembler for Assembled {
    const HOMES: &'static [Reg] = &[
        Reg(6),
        Reg(7),
        Reg(8),
        Reg(9),
        Reg(10),
        Reg(11),
        Reg(14),
        Reg(12),
        Reg(15),
    ];
    const STACK: Mem = Mem::at(Reg(4), 0);

    fn new() -> Self {
        Self {
            ops: VecAssembler::new(0),
            labels: Vec::new(),
            displacements: Vec::new(),
            far: None,
        }
    }

    fn here(&self) -> usize {
        self.ops.offset().0
    }

    fn label(&mut self) -> Label {
        self.labels.push(0);
        Label(self.labels.len() as u32 - 1)
    }

    fn bind(&mut self, label: Label) {
        let here = self.here();
        if let Some(place) = self.labels.get_mut(label.0 as usize) {
            *place = here;
        }
    }

    fn place(&self, label: Label) -> usize {
        self.labels.get(label.0 as usize).copied().unwrap_or(0)
    }

    fn far(&mut self) {
        self.far = Some(self.here());
    }

    fn jump(&mut self, label: Label) {
        self.ops.extend([0xe9]);
        self.displacement(Target::Label(label));
    }

    fn jump_if(&mut self, condition: If, label: Label) {
        self.ops.extend([0x0f, 0x80 | condition as u8]);
        self.displacement(Target::Label(label));
    }

    fn jump_out(&mut self, to: u32) -> usize {
        self.ops.extend([0xe9]);
        self.displacement(Target::Outward(to))
    }

    fn jump_out_if(&mut self, condition: If, to: u32) -> usize {
        self.ops.extend([0x0f, 0x80 | condition as u8]);
        self.displacement(Target::Outward(to))
    }

    fn call(&mut self, label: Label) {
        self.ops.extend([0xe8]);
        self.displacement(Target::Label(label));
    }

    fn call_out(&mut self, to: u32) {
        self.ops.extend([0xe8]);
        self.displacement(Target::Outward(to));
    }

    fn finish(self, near: u32, end: u32) -> Option<Code> {
        let mut code = self.ops.finalize().ok()?;
        let split = self.far.unwrap_or(code.len());
        let far = end.checked_sub((code.len() - split) as u32)?;
        let place = |at: usize| match at.checked_sub(split) {
            None => near.wrapping_add(at as u32),
            // The end of the code is not in the far part if there is none.
            Some(0) if self.far.is_none() => near.wrapping_add(at as u32),
            Some(at) => far.wrapping_add(at as u32),
        };
        let label = |label: Label| Some(place(*self.labels.get(label.0 as usize)?));
        for (at, target) in self.displacements {
            let next = place(at).wrapping_add(4);
            let (to, from) = match target {
                Target::Label(to) => (label(to)?, next),
                Target::Outward(to) => (to, next),
                Target::Between(to, from) => (label(to)?, label(from)?),
            };
            let displacement = to.wrapping_sub(from);
            code.get_mut(at..at + 4)?
                .copy_from_slice(&displacement.to_le_bytes());
        }
        let far = code.split_off(split);
        Some(Code { near: code, far })
    }

    fn jump_by_table(&mut self, jump: &TableJump) {
        // The number of a unit in the page is small only if the address is in this page, and a multiple of the unit.
        let width = jump.width;
        self.mov(width, T1, Operand::Reg(T0));
        self.binary(width, Binary::Xor, T1, Operand::Mem(jump.page));
        self.shift(width, Shift::Ror, T1, Some(jump.unit_bits));
        let [first, units] = [jump.first, jump.units].map(|n| Operand::Imm(n.into()));
        self.binary(width, Binary::Sub, T1, first);
        self.binary(width, Binary::Cmp, T1, units);
        self.jump_if(If::Above, jump.others);
        // LEA: the address of the table.
        self.ops.extend([WIDE, 0x8d, 0x15]);
        self.displacement(Target::Label(jump.table));
        dynasm!(self.ops; .arch x64
            ; movsxd rcx, DWORD [rdx + rcx * 4]
            ; add rcx, rdx
            ; jmp rcx
        );
    }

    fn distance(&mut self, to: Label, from: Label) {
        self.displacement(Target::Between(to, from));
    }

    fn mov(&mut self, width: Width, to: Reg, from: Operand) {
        match from {
            Operand::Reg(from) if from == to => {}
            Operand::Reg(from) => self.encode(rex(width), &[0x8b], to.0, Rm::Reg(from)),
            Operand::Mem(from) => self.encode(rex(width), &[0x8b], to.0, Rm::Mem(from)),
            Operand::Imm(0) => self.encode(0, &[0x33], to.0, Rm::Reg(to)),
            // A sign that fills 64 bits.
            Operand::Imm(value @ ..0) if width == Width::W64 => {
                self.encode(WIDE, &[0xc7], 0, Rm::Reg(to));
                self.imm(value);
            }
            Operand::Imm(value) => {
                if to.0 >= 8 {
                    self.ops.extend([0x41]);
                }
                self.ops.extend([0xb8 | to.0 & 7]);
                self.imm(value);
            }
        }
    }

    fn mov_wide(&mut self, to: Reg, value: u64) {
        self.ops.extend([WIDE | to.0 >> 3, 0xb8 | to.0 & 7]);
        self.ops.extend(value.to_le_bytes());
    }

    fn move_if(&mut self, width: Width, condition: If, to: Reg, from: Reg) {
        let opcode = [0x0f, 0x40 | condition as u8];
        self.encode(rex(width), &opcode, to.0, Rm::Reg(from));
    }

    fn load(&mut self, size: Size, extend: Extend, to: Reg, from: Mem) {
        let (rex, opcode): (u8, &[u8]) = match (size, extend) {
            (Size::B1, Extend::Zero) => (0, &[0x0f, 0xb6]),
            (Size::B1, Extend::Sign) => (0, &[0x0f, 0xbe]),
            (Size::B1, Extend::SignWide) => (WIDE, &[0x0f, 0xbe]),
            (Size::B2, Extend::Zero) => (0, &[0x0f, 0xb7]),
            (Size::B2, Extend::Sign) => (0, &[0x0f, 0xbf]),
            (Size::B2, Extend::SignWide) => (WIDE, &[0x0f, 0xbf]),
            (Size::B4, Extend::SignWide) => (WIDE, &[0x63]),
            (Size::B4, _) => (0, &[0x8b]),
            (Size::B8, _) => (WIDE, &[0x8b]),
        };
        self.encode(rex, opcode, to.0, Rm::Mem(from));
    }

    fn store(&mut self, size: Size, from: Reg, to: Mem) {
        match size {
            // The low byte of the register, whichever it is.
            Size::B1 => self.encode(0x40, &[0x88], from.0, Rm::Mem(to)),
            Size::B2 => {
                self.ops.extend([0x66]);
                self.encode(0, &[0x89], from.0, Rm::Mem(to));
            }
            Size::B4 => self.encode(0, &[0x89], from.0, Rm::Mem(to)),
            Size::B8 => self.encode(WIDE, &[0x89], from.0, Rm::Mem(to)),
        }
    }

    fn store_imm(&mut self, size: Size, value: i32, to: Mem) {
        match size {
            Size::B1 => {
                self.encode(0, &[0xc6], 0, Rm::Mem(to));
                self.ops.extend([value as u8]);
            }
            Size::B2 => {
                self.ops.extend([0x66]);
                self.encode(0, &[0xc7], 0, Rm::Mem(to));
                self.ops.extend((value as u16).to_le_bytes());
            }
            Size::B4 => {
                self.encode(0, &[0xc7], 0, Rm::Mem(to));
                self.imm(value);
            }
            Size::B8 => {
                self.encode(WIDE, &[0xc7], 0, Rm::Mem(to));
                self.imm(value);
            }
        }
    }

    fn extend(&mut self, size: Size, extend: Extend, to: Reg, from: Reg) {
        let (rex, opcode): (u8, &[u8]) = match (size, extend) {
            // The low byte of the register, whichever it is.
            (Size::B1, Extend::Zero) => (0x40, &[0x0f, 0xb6]),
            (Size::B1, Extend::Sign) => (0x40, &[0x0f, 0xbe]),
            (Size::B1, Extend::SignWide) => (WIDE, &[0x0f, 0xbe]),
            (Size::B2, Extend::Zero) => (0, &[0x0f, 0xb7]),
            (Size::B2, Extend::Sign) => (0, &[0x0f, 0xbf]),
            (Size::B2, Extend::SignWide) => (WIDE, &[0x0f, 0xbf]),
            (Size::B4, Extend::SignWide) => (WIDE, &[0x63]),
            (Size::B4, _) => (0, &[0x8b]),
            (Size::B8, _) => (WIDE, &[0x8b]),
        };
        self.encode(rex, opcode, to.0, Rm::Reg(from));
    }

    fn address(&mut self, to: Reg, of: Mem) {
        self.encode(WIDE, &[0x8d], to.0, Rm::Mem(of));
    }

    fn binary(&mut self, width: Width, operation: Binary, to: Reg, from: Operand) {
        let rex = rex(width);
        let rm = match from {
            Operand::Reg(from) => Rm::Reg(from),
            Operand::Mem(from) => Rm::Mem(from),
            Operand::Imm(value) => {
                match (operation, i8::try_from(value)) {
                    (Binary::Mul, Ok(short)) => {
                        self.encode(rex, &[0x6b], to.0, Rm::Reg(to));
                        self.ops.extend([short.cast_unsigned()]);
                    }
                    (Binary::Mul, Err(_)) => {
                        self.encode(rex, &[0x69], to.0, Rm::Reg(to));
                        self.imm(value);
                    }
                    _ => self.binary_imm(rex, operation, Rm::Reg(to), value),
                }
                return;
            }
        };
        match operation {
            Binary::Mul => self.encode(rex, &[0x0f, 0xaf], to.0, rm),
            _ => self.encode(rex, &[operation.code() << 3 | 3], to.0, rm),
        }
    }

    fn binary_at(&mut self, width: Width, operation: Binary, to: Mem, by: i32) {
        self.binary_imm(rex(width), operation, Rm::Mem(to), by);
    }

    fn add_to(&mut self, width: Width, to: Reg, base: Reg, by: i32) {
        self.encode(rex(width), &[0x8d], to.0, Rm::Mem(Mem::at(base, by)));
    }

    fn sum(&mut self, width: Width, to: Reg, left: Reg, right: Reg) {
        let of = Mem::sum(left, right, 0);
        self.encode(rex(width), &[0x8d], to.0, Rm::Mem(of));
    }

    fn shift(&mut self, width: Width, shift: Shift, register: Reg, by: Option<u8>) {
        let (rex, code) = (rex(width), shift.code());
        match by {
            Some(0) => {}
            Some(by) => {
                self.encode(rex, &[0xc1], code, Rm::Reg(register));
                self.ops.extend([by]);
            }
            None => self.encode(rex, &[0xd3], code, Rm::Reg(register)),
        }
    }

    fn not(&mut self, width: Width, register: Reg) {
        self.encode(rex(width), &[0xf7], 2, Rm::Reg(register));
    }

    fn negate(&mut self, width: Width, register: Reg) {
        self.encode(rex(width), &[0xf7], 3, Rm::Reg(register));
    }

    fn test(&mut self, width: Width, left: Reg, right: Reg) {
        self.encode(rex(width), &[0x85], right.0, Rm::Reg(left));
    }

    fn test_low(&mut self, register: Reg, bits: u8) {
        self.encode(0x40, &[0xf6], 0, Rm::Reg(register));
        self.ops.extend([bits]);
    }

    fn test_at(&mut self, of: Mem, bits: i32) {
        self.encode(0, &[0xf7], 0, Rm::Mem(of));
        self.imm(bits);
    }

    fn set_if(&mut self, condition: If, to: Reg) {
        self.set_byte_if(condition, to);
        self.extend(Size::B1, Extend::Zero, to, to);
    }

    fn set_byte_if(&mut self, condition: If, to: Reg) {
        self.encode(0x40, &[0x0f, 0x90 | condition as u8], 0, Rm::Reg(to));
    }

    fn arithmetic(&mut self, size: Size, operation: Binary, to: Place, from: Operand) {
        let (prefix, rex, wide) = size.prefix();
        let code = operation.code();
        self.ops.extend(prefix);
        match (from, to) {
            (Operand::Reg(from), to) => self.encode(rex, &[code << 3 | wide], from.0, to.into()),
            (Operand::Mem(from), Place::Reg(to)) => {
                self.encode(rex, &[code << 3 | 2 | wide], to.0, Rm::Mem(from));
            }
            // No instruction has two operands in memory.
            (Operand::Mem(_), Place::Mem(_)) => {}
            (Operand::Imm(value), to) => match (size, i8::try_from(value)) {
                (Size::B1, _) => {
                    self.encode(rex, &[0x80], code, to.into());
                    self.ops.extend([value as u8]);
                }
                (_, Ok(short)) => {
                    self.encode(rex, &[0x83], code, to.into());
                    self.ops.extend([short.cast_unsigned()]);
                }
                (Size::B2, _) => {
                    self.encode(rex, &[0x81], code, to.into());
                    self.ops.extend((value as u16).to_le_bytes());
                }
                _ => {
                    self.encode(rex, &[0x81], code, to.into());
                    self.imm(value);
                }
            },
        }
    }

    fn unary(&mut self, size: Size, operation: Unary, to: Place) {
        let (prefix, rex, wide) = size.prefix();
        let (opcode, code) = match operation {
            Unary::Inc => (0xfe, 0),
            Unary::Dec => (0xfe, 1),
            Unary::Not => (0xf6, 2),
            Unary::Neg => (0xf6, 3),
        };
        self.ops.extend(prefix);
        self.encode(rex, &[opcode | wide], code, to.into());
    }

    fn shift_low(&mut self, size: Size, shift: Shift, to: Place, by: Option<u8>) {
        let (prefix, rex, wide) = size.prefix();
        self.ops.extend(prefix);
        match by {
            Some(by) => {
                self.encode(rex, &[0xc0 | wide], shift.code(), to.into());
                self.ops.extend([by]);
            }
            None => self.encode(rex, &[0xd2 | wide], shift.code(), to.into()),
        }
    }

    fn merge(&mut self, size: Size, to: Reg, from: Reg) {
        let (prefix, rex, wide) = size.prefix();
        self.ops.extend(prefix);
        self.encode(rex, &[0x8a | wide], to.0, Rm::Reg(from));
    }

    fn keep_conditions(&mut self, to: Mem, with_half: bool) {
        dynasm!(self.ops; .arch x64; lahf; seto al);
        if !with_half {
            dynasm!(self.ops; .arch x64; and eax, 0xef01);
        }
        self.store(Size::B2, T0, to);
    }

    fn keep_product(&mut self, to: Mem) {
        dynasm!(self.ops; .arch x64
            ; lahf
            ; and eax, 0xee00
            ; or eax, edx
            ; shl edx, 8
            ; or eax, edx
        );
        self.store(Size::B2, T0, to);
    }

    fn take_conditions(&mut self, from: Mem) {
        self.load(Size::B2, Extend::Zero, T0, from);
        // The sum overflows if OF was set.
        dynasm!(self.ops; .arch x64; add al, 0x7f; sahf);
    }

    fn take_carry(&mut self, from: Mem) {
        // BT of the lowest bit of the upper byte.
        self.ops.extend([0x66]);
        self.encode(0, &[0x0f, 0xba], 4, Rm::Mem(from));
        self.ops.extend([8]);
    }

    fn swap_bytes(&mut self, size: Size, register: Reg) {
        match size {
            Size::B1 => {}
            Size::B2 => {
                self.ops.extend([0x66]);
                self.encode(0, &[0xc1], 0, Rm::Reg(register));
                self.ops.extend([8]);
            }
            Size::B4 => dynasm!(self.ops; .arch x64; bswap Rd(register.0)),
            Size::B8 => dynasm!(self.ops; .arch x64; bswap Rq(register.0)),
        }
    }

    fn swap_in_halves(&mut self, register: Reg) {
        dynasm!(self.ops; .arch x64; bswap Rd(register.0); rol Rd(register.0), 16);
    }

    fn leading_zeros(&mut self, width: Width) {
        // BSR says whether there is no bit: 63 ^ 31 is 32, 127 ^ 63 is 64.
        match width {
            Width::W32 => dynasm!(self.ops; .arch x64
                ; mov ecx, 63
                ; bsr eax, eax
                ; cmovz eax, ecx
                ; xor eax, 31
            ),
            Width::W64 => dynasm!(self.ops; .arch x64
                ; mov ecx, 127
                ; bsr rax, rax
                ; cmovz rax, rcx
                ; xor eax, 63
            ),
        }
    }

    fn trailing_zeros(&mut self, width: Width) {
        match width {
            Width::W32 => {
                dynasm!(self.ops; .arch x64; mov ecx, 32; bsf eax, eax; cmovz eax, ecx);
            }
            Width::W64 => {
                dynasm!(self.ops; .arch x64; mov ecx, 64; bsf rax, rax; cmovz rax, rcx);
            }
        }
    }

    fn multiply_high(&mut self, signed: bool) {
        match signed {
            true => dynasm!(self.ops; .arch x64; imul rcx),
            false => dynasm!(self.ops; .arch x64; mul rcx),
        }
    }

    fn divide(&mut self, width: Width, signed: bool) {
        match (width, signed) {
            (Width::W32, true) => dynasm!(self.ops; .arch x64; cdq; idiv ecx),
            (Width::W32, false) => dynasm!(self.ops; .arch x64; xor edx, edx; div ecx),
            (Width::W64, true) => dynasm!(self.ops; .arch x64; cqo; idiv rcx),
            (Width::W64, false) => dynasm!(self.ops; .arch x64; xor edx, edx; div rcx),
        }
    }

    fn join(&mut self) {
        dynasm!(self.ops; .arch x64; shl rdx, 32; or rax, rdx);
    }

    fn bit(&mut self, number: u8, invert: bool) {
        let code = if invert { 7 } else { 6 };
        self.encode(WIDE, &[0x0f, 0xba], code, Rm::Reg(T0));
        self.ops.extend([number]);
    }

    fn put_low(&mut self, pair: Pair) {
        match pair {
            Some(Reg(host)) => dynasm!(self.ops; .arch x64
                ; shr Rq(host), 32
                ; shl Rq(host), 32
                ; or Rq(host), rax
            ),
            None => dynasm!(self.ops; .arch x64; movd xmm0, eax; movss xmm15, xmm0),
        }
    }

    fn put_high(&mut self, pair: Pair) {
        match pair {
            Some(Reg(host)) => dynasm!(self.ops; .arch x64
                ; shl rax, 32
                ; mov Rd(host), Rd(host)
                ; or Rq(host), rax
            ),
            None => dynasm!(self.ops; .arch x64; movd xmm0, eax; punpckldq xmm15, xmm0),
        }
    }

    fn get_low(&mut self, to: Reg, pair: Pair) {
        match pair {
            Some(host) => self.mov(Width::W32, to, Operand::Reg(host)),
            None => dynasm!(self.ops; .arch x64; movd Rd(to.0), xmm15),
        }
    }

    fn get_high(&mut self, to: Reg, pair: Pair) {
        match pair {
            Some(Reg(host)) => dynasm!(self.ops; .arch x64; mov Rq(to.0), Rq(host)),
            None => dynasm!(self.ops; .arch x64; movq Rq(to.0), xmm15),
        }
        self.shift(Width::W64, Shift::Shr, to, Some(32));
    }

    fn put_pair(&mut self, pair: Pair) {
        match pair {
            Some(Reg(host)) => dynasm!(self.ops; .arch x64; mov Rq(host), rax),
            None => dynasm!(self.ops; .arch x64; movq xmm15, rax),
        }
    }

    fn add_pair(&mut self, pair: Pair) {
        match pair {
            Some(Reg(host)) => dynasm!(self.ops; .arch x64; add Rq(host), rax),
            None => dynasm!(self.ops; .arch x64; movq xmm0, rax; paddq xmm15, xmm0),
        }
    }

    fn sub_pair(&mut self, pair: Pair) {
        match pair {
            Some(Reg(host)) => dynasm!(self.ops; .arch x64; sub Rq(host), rax),
            None => dynasm!(self.ops; .arch x64; movq xmm0, rax; psubq xmm15, xmm0),
        }
    }

    fn fill_pair(&mut self, to: Reg) {
        dynasm!(self.ops; .arch x64; movq Rq(to.0), xmm15);
    }

    fn spill_pair(&mut self, from: Reg) {
        dynasm!(self.ops; .arch x64; movq xmm15, Rq(from.0));
    }

    fn load_float(&mut self, to: Freg, double: bool, from: Mem) {
        self.ops.extend([if double { 0xf2 } else { 0xf3 }]);
        self.encode(0, &[0x0f, 0x10], to.number(), Rm::Mem(from));
    }

    fn store_float(&mut self, from: Freg, double: bool, to: Mem) {
        self.ops.extend([if double { 0xf2 } else { 0xf3 }]);
        self.encode(0, &[0x0f, 0x11], from.number(), Rm::Mem(to));
    }

    fn float(&mut self, operation: Float, double: bool) {
        let opcode = match operation {
            Float::Sqrt => 0x51,
            Float::Add => 0x58,
            Float::Mul => 0x59,
            Float::Sub => 0x5c,
            Float::Div => 0x5e,
        };
        self.ops.extend([if double { 0xf2 } else { 0xf3 }]);
        self.encode(0, &[0x0f, opcode], 0, Rm::Reg(Reg(1)));
    }

    fn convert(&mut self, to_double: bool) {
        dynasm!(self.ops; .arch x64; xorps xmm0, xmm0);
        match to_double {
            true => dynasm!(self.ops; .arch x64; cvtss2sd xmm0, xmm1),
            false => dynasm!(self.ops; .arch x64; cvtsd2ss xmm0, xmm1),
        }
    }

    fn multiply_add(&mut self, fused: Fused, double: bool, with: Mem) -> bool {
        if !std::arch::is_x86_feature_detected!("fma") {
            return false;
        }
        self.address(T0, with);
        match (fused, double) {
            (Fused::Add, true) => dynasm!(self.ops; .arch x64; vfmadd213sd xmm0, xmm1, [rax]),
            (Fused::Add, false) => dynasm!(self.ops; .arch x64; vfmadd213ss xmm0, xmm1, [rax]),
            (Fused::Sub, true) => dynasm!(self.ops; .arch x64; vfmsub213sd xmm0, xmm1, [rax]),
            (Fused::Sub, false) => dynasm!(self.ops; .arch x64; vfmsub213ss xmm0, xmm1, [rax]),
            (Fused::NegatedAdd, true) => {
                dynasm!(self.ops; .arch x64; vfnmadd213sd xmm0, xmm1, [rax]);
            }
            (Fused::NegatedAdd, false) => {
                dynasm!(self.ops; .arch x64; vfnmadd213ss xmm0, xmm1, [rax]);
            }
            (Fused::NegatedSub, true) => {
                dynasm!(self.ops; .arch x64; vfnmsub213sd xmm0, xmm1, [rax]);
            }
            (Fused::NegatedSub, false) => {
                dynasm!(self.ops; .arch x64; vfnmsub213ss xmm0, xmm1, [rax]);
            }
        }
        true
    }

    fn float_of(&mut self, double: bool, width: Width, from: Operand) {
        dynasm!(self.ops; .arch x64; xorps xmm0, xmm0);
        let from = match from {
            Operand::Reg(from) => Rm::Reg(from),
            Operand::Mem(from) => Rm::Mem(from),
            Operand::Imm(_) => {
                self.mov(width, T0, from);
                Rm::Reg(T0)
            }
        };
        self.ops.extend([if double { 0xf2 } else { 0xf3 }]);
        self.encode(rex(width), &[0x0f, 0x2a], 0, from);
    }

    fn truncate(&mut self, width: Width, double: bool) {
        match (width, double) {
            (Width::W32, true) => dynasm!(self.ops; .arch x64; cvttsd2si eax, xmm0),
            (Width::W32, false) => dynasm!(self.ops; .arch x64; cvttss2si eax, xmm0),
            (Width::W64, true) => dynasm!(self.ops; .arch x64; cvttsd2si rax, xmm0),
            (Width::W64, false) => dynasm!(self.ops; .arch x64; cvttss2si rax, xmm0),
        }
    }

    fn float_bits(&mut self, to: Reg, double: bool, from: Freg) {
        self.ops.extend([0x66]);
        let rex = if double { WIDE } else { 0 };
        self.encode(rex, &[0x0f, 0x7e], from.number(), Rm::Reg(to));
    }

    fn compare_float(&mut self, double: bool, with: Option<Mem>) {
        if double {
            self.ops.extend([0x66]);
        }
        let with = with.map_or(Rm::Reg(Reg(0)), Rm::Mem);
        self.encode(0, &[0x0f, 0x2e], 0, with);
    }

    fn spill(&mut self, frame: &Frame, register: u8, host: Reg) {
        let to = Mem::field((frame.home)(register));
        match (frame.pair == Some(register), frame.width) {
            (true, _) => self.spill_pair(host),
            (_, Width::W32) => self.store(Size::B4, host, to),
            (_, Width::W64) => self.store(Size::B8, host, to),
        }
    }

    fn fill(&mut self, frame: &Frame, register: u8, host: Reg) {
        let from = Mem::field((frame.home)(register));
        match frame.pair == Some(register) {
            true => self.fill_pair(host),
            false => self.mov(frame.width, host, Operand::Mem(from)),
        }
    }

    fn look_up(&mut self, frame: &Frame, fetch: u32) {
        stubs::look_up(self, frame, fetch);
    }

    fn slow(&mut self, frame: &Frame, homes: &Homes, after: u32) {
        stubs::slow(self, frame, homes, after);
    }

    fn take(&mut self, instructions: u8) {
        // What is less is one instruction with the jump in the host; what is negative is two.
        dynasm!(self.ops; .arch x64; sub r13, BYTE instructions as i8);
    }

    fn give_back(&mut self, instructions: u8) {
        dynasm!(self.ops; .arch x64; add r13, BYTE instructions as i8);
    }

    fn reach(&mut self, access: &Reach) -> Mem {
        let Reach {
            width,
            base,
            by,
            known,
            write,
            low,
            span,
            slow,
        } = *access;
        if width == Width::W64 {
            use wide_layout::{BASE, ENTRIES, ENTRY_BITS, READ, WRITE};
            const INDEX: i32 = (ENTRIES as i32 - 1) << ENTRY_BITS;
            let tag = if write { WRITE } else { READ } as i32;
            match by {
                0 => self.mov(width, T1, Operand::Reg(base)),
                _ => self.add_to(width, T1, base, by),
            }
            dynasm!(self.ops; .arch x64; mov edx, ecx);
            if span > 1 {
                // The page of the last byte.
                self.add_to(width, T1, T1, i32::from(span) - 1);
            }
            // Low bits that are to be zero stay, and differ from the page's.
            dynasm!(self.ops; .arch x64
                ; shr edx, (12 - ENTRY_BITS) as i8
                ; and edx, INDEX
                ; and rcx, !0xfff | i32::from(low)
                ; cmp rcx, [rbp + rdx + tag]
            );
            self.jump_if(If::NotEqual, slow);
            dynasm!(self.ops; .arch x64; mov rcx, [rbp + rdx + BASE as i32]);
            return Mem::sum(T1, base, by);
        }
        let table = if write { layout::WRITE as i32 } else { 0 };
        if let Some(address) = known {
            let entry = (address >> 12) as i32 * 8 + table;
            dynasm!(self.ops; .arch x64; mov rcx, [rbp + entry]);
        } else {
            match by {
                0 => self.mov(Width::W32, T1, Operand::Reg(base)),
                _ => self.add_to(Width::W32, T1, base, by),
            }
            dynasm!(self.ops; .arch x64; shr ecx, 12);
            match table {
                0 => dynasm!(self.ops; .arch x64; mov rcx, [rbp + rcx * 8]),
                _ => dynasm!(self.ops; .arch x64; mov rcx, [rbp + rcx * 8 + table]),
            }
        }
        dynasm!(self.ops; .arch x64; test rcx, rcx);
        self.jump_if(If::Equal, slow);
        if low != 0 {
            self.test_low(base, low);
            self.jump_if(If::NotEqual, slow);
        }
        // A sum that leaves 32 bits is one with an address at either end of them, and those the soft TLB does not have.
        Mem::sum(T1, base, by)
    }
}

//! What the emitter is made of: where guest state is found by generated code, and instructions on it.
//!
//! `rbx` points into the [`Core`], `rbp` to the tables of the soft TLB, `r13` is the instructions left to execute, and
//! [`Core::pc`] the guest address of the page of the block. The general registers that programs use most are in host registers as long as generated code runs; `eax`, `ecx` and `edx`
//! are free for every guest instruction. HI and LO are in `xmm15`, LO below. Floating point registers are in memory, `xmm0` and
//! `xmm1` are free.

use std::cell::Cell;
use std::mem::offset_of;

use dynasmrt::x64::X64Relocation;
use dynasmrt::{DynasmApi, VecAssembler, dynasm};

use solderless_model::memory::layout;

use crate::core::Core;
use crate::ir::HI;

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

    /// HI, and LO behind it.
    pub const HI_LO: i32 = super::home(super::HI) as i32;
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
pub const RBX: u8 = 3;

/// Host registers that hold general registers, as many as there are.
pub const HOSTS: [u8; 9] = [6, 7, 8, 9, 10, 11, 14, 12, 15];

/// The general registers that are in [`HOSTS`]. [`HI`] among them stands for HI and LO together, which are in `xmm15` otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Homes([u8; HOSTS.len()]);

impl Homes {
    /// Those that programs use most: v0, v1, a0 to a3, s0, s1, sp. They are there wherever code does not know what it came
    /// from or leads to.
    pub const USUAL: Self = Self([2, 3, 4, 5, 6, 7, 16, 17, 29]);

    /// Those that are used most; as many as possible stay where they usually are.
    pub fn most_used(uses: &[Cell<u64>; 33]) -> Self {
        let mut order: Vec<u8> = (1..=HI).collect();
        // Where there is no difference, the usual ones.
        order.sort_by_key(|r| {
            let uses = uses[usize::from(*r)].get();
            (std::cmp::Reverse(uses), !Self::USUAL.0.contains(r))
        });
        order.truncate(HOSTS.len());
        let mut newcomers = order.iter().filter(|r| !Self::USUAL.0.contains(r));
        Self(Self::USUAL.0.map(|usual| match order.contains(&usual) {
            true => usual,
            false => newcomers.next().copied().unwrap_or(usual),
        }))
    }

    /// Guest's and host's numbers.
    pub fn pairs(self) -> impl Iterator<Item = (u8, u8)> {
        self.0.into_iter().zip(HOSTS)
    }

    /// Where a general register is.
    fn src(self, register: u8) -> Src {
        match self.pairs().find(|(guest, _)| *guest == register) {
            Some((_, host)) => Src::Reg(host),
            None if register == 0 => Src::Imm(0),
            None => Src::Mem(home(register)),
        }
    }
}

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

/// The displacement of a general register's place in the core.
pub const fn home(register: u8) -> i8 {
    (register as i32 * 4 - 64) as i8
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
    Above = 7,
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
    /// No displacement, but how far it is to one place from another.
    Between(Label, Label),
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
    /// The place of a general register whose value is in `eax` as well, as long as the next instruction is here.
    held: Option<(i8, usize)>,
    /// The general registers in host registers.
    pub homes: Homes,
    /// How often general registers are used: what one use counts for, and the sums.
    pub weight: u64,
    pub uses: [Cell<u64>; 33],
}

/// Code, to be put in two places.
pub struct Code {
    pub near: Vec<u8>,
    pub far: Vec<u8>,
}

/// An operand of an instruction besides the register it always has.
#[derive(Debug, Clone, Copy)]
pub enum Rm {
    /// A register.
    Reg(u8),
    /// Memory at a register and a displacement.
    At(u8, i32),
    /// Memory at the sum of two registers and a displacement.
    Sum(u8, u8, i32),
}

/// An operation of two operands: what it is in the encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binary {
    Add = 0,
    Or = 1,
    And = 4,
    Sub = 5,
    Xor = 6,
    Cmp = 7,
    /// Multiplication, whose encoding is of another kind.
    Imul = 8,
}

/// A shift: what it is in the encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shift {
    Ror = 1,
    Shl = 4,
    Shr = 5,
    Sar = 7,
}

impl Asm {
    pub fn new(homes: Homes) -> Self {
        Self {
            homes,
            weight: 1,
            uses: [const { Cell::new(0) }; 33],
            ops: VecAssembler::new(0),
            labels: Vec::new(),
            displacements: Vec::new(),
            far: None,
            held: None,
        }
    }

    /// Where a general register is, for one use of it.
    pub fn src(&self, register: u8) -> Src {
        if let Some(uses) = self.uses.get(usize::from(register)) {
            uses.set(uses.get().saturating_add(self.weight));
        }
        self.homes.src(register)
    }

    /// The host register that HI and LO are in, if it is one, for one use of them.
    pub fn hi_lo(&self) -> Option<u8> {
        match self.src(HI) {
            Src::Reg(host) => Some(host),
            _ => None,
        }
    }

    /// Writes a general register that is in a host register to its place.
    pub fn spill(&mut self, register: u8, host: u8) {
        match register {
            HI => dynasm!(self.ops; .arch x64; movq xmm15, Rq(host)),
            _ => self.encode(&[0x89], host, Rm::At(RBX, home(register).into())),
        }
    }

    /// Reads a general register from its place into a host register.
    pub fn fill(&mut self, register: u8, host: u8) {
        match register {
            HI => dynasm!(self.ops; .arch x64; movq Rq(host), xmm15),
            _ => self.encode(&[0x8b], host, Rm::At(RBX, home(register).into())),
        }
    }

    /// Emits an instruction on 32 bits: an opcode, a register or what stands for one in the encoding, and an operand.
    pub fn encode(&mut self, opcode: &[u8], register: u8, rm: Rm) {
        self.encode_as(0, opcode, register, rm);
    }

    /// The same on 64 bits.
    pub fn encode_wide(&mut self, opcode: &[u8], register: u8, rm: Rm) {
        self.encode_as(0x48, opcode, register, rm);
    }

    /// The same on the low byte of the register, whichever it is.
    pub fn encode_byte(&mut self, opcode: &[u8], register: u8, rm: Rm) {
        self.encode_as(0x40, opcode, register, rm);
    }

    fn encode_as(&mut self, rex: u8, opcode: &[u8], register: u8, rm: Rm) {
        let (base, index, displacement) = match rm {
            Rm::Reg(base) => (base, 0, 0),
            Rm::At(base, displacement) => (base, 0, displacement),
            Rm::Sum(base, index, displacement) => (base, index, displacement),
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
        let mode = match (rm, short) {
            (Rm::Reg(_), _) => 3,
            // Without a displacement there is none for these bases.
            (Rm::Sum(..), Ok(0)) if base & 7 != 5 => 0,
            (_, Ok(_)) => 1,
            _ => 2,
        };
        match rm {
            Rm::Sum(..) => {
                push(modrm(mode, 4));
                push((index & 7) << 3 | base & 7);
            }
            Rm::At(..) if base & 7 == 4 => {
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

    /// Tests the low bits of a register.
    pub fn test_low(&mut self, register: u8, bits: u8) {
        self.encode_byte(&[0xf6], 0, Rm::Reg(register));
        self.ops.extend([bits]);
    }

    /// As [`Asm::encode`], where it does not change `eax`.
    fn encode_beside_eax(&mut self, opcode: &[u8], register: u8, rm: Rm) {
        let held = self.held.filter(|held| held.1 == self.here());
        self.encode(opcode, register, rm);
        self.held = held.map(|(place, _)| (place, self.here()));
    }

    /// The value of this place is in `eax`.
    fn holds(&self, place: i8) -> bool {
        self.held == Some((place, self.here()))
    }

    /// A general register in memory has its value in `eax` as well.
    pub fn hold(&mut self, register: u8) {
        if let Src::Mem(place) = self.homes.src(register) {
            self.held = Some((place, self.here()));
        }
    }

    /// Whether a value is in `eax` although its place is in memory.
    pub fn is_held(&self, from: Src) -> bool {
        matches!(from, Src::Mem(place) if self.holds(place))
    }

    /// Where a value can be read.
    fn operand(&self, place: i8) -> Rm {
        match self.holds(place) {
            true => Rm::Reg(EAX),
            false => Rm::At(RBX, place.into()),
        }
    }

    /// Emits an operation.
    pub fn binary(&mut self, operation: Binary, to: u8, from: Src) {
        let code = operation as u8;
        let rm = match from {
            Src::Reg(from) => Rm::Reg(from),
            Src::Mem(place) => self.operand(place),
            Src::Imm(value) => {
                let short = i8::try_from(value);
                match (operation, short) {
                    (Binary::Imul, Ok(_)) => self.encode(&[0x6b], to, Rm::Reg(to)),
                    (Binary::Imul, Err(_)) => self.encode(&[0x69], to, Rm::Reg(to)),
                    (_, Ok(_)) => self.encode(&[0x83], code, Rm::Reg(to)),
                    (_, Err(_)) => self.encode(&[0x81], code, Rm::Reg(to)),
                }
                match short {
                    Ok(short) => self.ops.extend([short.cast_unsigned()]),
                    Err(_) => self.ops.extend(value.to_le_bytes()),
                }
                return;
            }
        };
        let opcode: &[u8] = match operation {
            Binary::Imul => &[0x0f, 0xaf],
            _ => &[code << 3 | 3],
        };
        if to == EAX {
            self.encode(opcode, to, rm);
        } else {
            self.encode_beside_eax(opcode, to, rm);
        }
    }

    /// Moves, unless it is there already.
    pub fn mov(&mut self, to: u8, from: Src) {
        let rm = match from {
            Src::Reg(from) => Rm::Reg(from),
            Src::Mem(place) => self.operand(place),
            Src::Imm(0) => {
                self.encode(&[0x33], to, Rm::Reg(to));
                return;
            }
            Src::Imm(value) => {
                if to >= 8 {
                    self.ops.extend([0x41]);
                }
                self.ops.extend([0xb8 | to & 7]);
                self.ops.extend(value.to_le_bytes());
                return;
            }
        };
        match rm {
            Rm::Reg(from) if from == to => {}
            _ if to == EAX => self.encode(&[0x8b], to, rm),
            _ => self.encode_beside_eax(&[0x8b], to, rm),
        }
    }

    /// LEA: the sum of a register and a number.
    pub fn lea(&mut self, to: u8, base: u8, by: i32) {
        self.encode(&[0x8d], to, Rm::At(base, by));
    }

    /// Shifts by a known number, or by that in `cl`.
    pub fn shift(&mut self, shift: Shift, register: u8, by: Option<u8>) {
        match by {
            Some(0) => {}
            Some(by) => {
                self.encode(&[0xc1], shift as u8, Rm::Reg(register));
                self.ops.extend([by]);
            }
            None => self.encode(&[0xd3], shift as u8, Rm::Reg(register)),
        }
    }

    pub fn test(&mut self, a: u8, b: u8) {
        self.encode_beside_eax(&[0x85], b, Rm::Reg(a));
    }

    /// The value of a general register in a host register, which is `scratch` if it is in none.
    pub fn value(&mut self, register: u8, scratch: u8) -> u8 {
        match self.src(register) {
            Src::Reg(host) => host,
            from => {
                self.mov(scratch, from);
                scratch
            }
        }
    }

    /// The host register to compute a general register's new value in.
    pub fn target(&self, register: u8, scratch: u8) -> u8 {
        match self.src(register) {
            Src::Reg(host) => host,
            _ => scratch,
        }
    }

    /// Gives a general register the value in a host register.
    pub fn put(&mut self, register: u8, from: u8) {
        match self.src(register) {
            Src::Reg(host) => self.mov(host, Src::Reg(from)),
            Src::Mem(to) => {
                self.encode_beside_eax(&[0x89], from, Rm::At(RBX, to.into()));
                if from == EAX {
                    self.hold(register);
                } else if self.holds(to) {
                    self.held = None;
                }
            }
            Src::Imm(_) => {}
        }
    }

    /// Gives a general register a known value.
    pub fn put_imm(&mut self, register: u8, value: i32) {
        match self.src(register) {
            Src::Reg(host) => self.mov(host, Src::Imm(value)),
            Src::Mem(to) => {
                self.encode(&[0xc7], 0, Rm::At(RBX, to.into()));
                self.ops.extend(value.to_le_bytes());
            }
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
        // Who jumps here may have something else there.
        self.held = None;
    }

    /// Where a label is in the code.
    pub fn place(&self, label: Label) -> usize {
        self.labels.get(label.0 as usize).copied().unwrap_or(0)
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

    /// Sets the lowest byte of a host register to whether a condition holds.
    pub fn set_byte_if(&mut self, condition: u8, register: u8) {
        // Without a prefix, some numbers are those of second bytes.
        let rex = 0x40 | register >> 3;
        let modrm = 0xc0 | register & 7;
        self.ops.extend([rex, 0x0f, 0x90 | condition, modrm]);
    }

    /// Sets a host register, one of the scratch registers, to whether a condition holds.
    pub fn set_if(&mut self, condition: u8, scratch: u8) {
        self.set_byte_if(condition, scratch);
        self.encode(&[0x0f, 0xb6], scratch, Rm::Reg(scratch));
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

    /// LEA: the address of a label, in `rdx`.
    pub fn address_of(&mut self, label: Label) {
        self.ops.extend([0x48, 0x8d, 0x15]);
        self.displacement(Target::Label(label));
    }

    /// Four bytes that say how far it is to one label from another.
    pub fn distance(&mut self, to: Label, from: Label) {
        self.displacement(Target::Between(to, from));
    }

    /// Calls code of its own.
    pub fn call(&mut self, label: Label) {
        self.ops.extend([0xe8]);
        self.displacement(Target::Label(label));
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
}

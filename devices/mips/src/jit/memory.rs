//! Loads and stores: a hit in the soft TLB is generated, everything else is left to the interpreter.

use dynasmrt::{DynasmApi, dynasm};
use solderless_model::memory::layout;

use super::asm::{Binary, EAX, ECX, EDX, If, Rm, Src, at};
use super::{Emitter, Slow};
use crate::ir::{Inst, Kind};

/// What an access is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum For {
    Read,
    Write,
}

impl For {
    /// From the start of the view to the table for it.
    fn table(self) -> i32 {
        match self {
            Self::Read => 0,
            Self::Write => layout::WRITE as i32,
        }
    }
}

/// The displacement of a floating point register's word.
pub fn fpr(place: u8) -> i32 {
    at::FPR + i32::from(place & 63) * 4
}

/// The displacement of a 64-bit floating point register.
pub fn fpr64(place: u8) -> i32 {
    fpr(place & !1)
}

impl Emitter<'_, '_> {
    /// Emits an instruction of this family; false if it is of another.
    pub fn memory(&mut self, inst: &Inst) -> bool {
        match inst.kind {
            Kind::Lb | Kind::Lbu | Kind::Lh | Kind::Lhu | Kind::Lw => self.load(inst),
            Kind::Sb | Kind::Sh | Kind::Sw => self.store(inst),
            Kind::Lwl | Kind::Lwr => self.load_part(inst),
            Kind::Swl | Kind::Swr => self.store_part(inst),
            Kind::Lwc1 | Kind::Lwxc1 => self.load_fp(inst, 4),
            Kind::Ldc1 | Kind::Ldxc1 | Kind::Luxc1 => self.load_fp(inst, 8),
            Kind::Swc1 | Kind::Swxc1 => self.store_fp(inst, 4),
            Kind::Sdc1 | Kind::Sdxc1 | Kind::Suxc1 => self.store_fp(inst, 8),
            _ => return false,
        }
        true
    }

    /// The address of an access: a host register and a displacement that is a multiple of `low + 1`.
    fn address(&mut self, inst: &Inst, low: u8) -> (u8, i32) {
        let by = inst.imm.cast_signed();
        if let Some(base) = self.known_address(inst) {
            self.asm.mov(EAX, Src::Imm(base.cast_signed()));
            return (EAX, 0);
        }
        let base = self.asm.value(inst.b, EAX);
        match inst.kind {
            Kind::Lwxc1 | Kind::Swxc1 | Kind::Ldxc1 | Kind::Sdxc1 | Kind::Luxc1 | Kind::Suxc1 => {
                self.asm.mov(EAX, Src::Reg(base));
                self.asm
                    .binary(Binary::Add, EAX, self.asm.src(inst.imm as u8));
                if matches!(inst.kind, Kind::Luxc1 | Kind::Suxc1) {
                    self.asm.binary(Binary::And, EAX, Src::Imm(!7));
                }
                (EAX, 0)
            }
            _ if inst.imm & u32::from(low) != 0 => {
                self.asm.lea(EAX, base, by);
                (EAX, 0)
            }
            _ => (base, by),
        }
    }

    /// The address of an access, if it is known.
    fn known_address(&self, inst: &Inst) -> Option<u32> {
        let indexed = matches!(
            inst.kind,
            Kind::Lwxc1 | Kind::Swxc1 | Kind::Ldxc1 | Kind::Sdxc1 | Kind::Luxc1 | Kind::Suxc1
        );
        let base = self.known.value(inst.b).filter(|_| !indexed)?;
        Some(base.wrapping_add(inst.imm))
    }

    /// Gives the place in the host's memory, or goes on at `slow`. `low` are the bits of the address that must be zero.
    fn reach(&mut self, inst: &Inst, low: u8, access: For, slow: &mut Slow) -> Rm {
        let (base, by) = self.address(inst, low);
        slow.address = (base, by);
        let table = access.table();
        if let Some(address) = self.known_address(inst) {
            let entry = (address >> 12) as i32 * 8 + table;
            dynasm!(self.asm.ops; .arch x64; mov rcx, [rbp + entry]);
        } else {
            match by {
                0 => self.asm.mov(ECX, Src::Reg(base)),
                _ => self.asm.lea(ECX, base, by),
            }
            dynasm!(self.asm.ops; .arch x64; shr ecx, 12);
            match table {
                0 => dynasm!(self.asm.ops; .arch x64; mov rcx, [rbp + rcx * 8]),
                _ => dynasm!(self.asm.ops; .arch x64; mov rcx, [rbp + rcx * 8 + table]),
            }
        }
        dynasm!(self.asm.ops; .arch x64; test rcx, rcx);
        self.asm.jump_if(If::Equal as u8, slow.from);
        if low != 0 {
            self.asm.test_low(base, low);
            self.asm.jump_if(If::NotEqual as u8, slow.from);
        }
        // A sum that leaves 32 bits is one with an address at either end of them, and those the soft TLB does not have.
        Rm::Sum(ECX, base, by)
    }

    /// The bits of a word's address that must be zero, but for those that are known to be.
    fn word_bits(&self, inst: &Inst) -> u8 {
        match self.known.aligned(inst.b) && inst.imm & 3 == 0 {
            true => 0,
            false => 3,
        }
    }

    fn load(&mut self, inst: &Inst) {
        let mut slow = self.missed();
        let (low, opcode): (u8, &[u8]) = match inst.kind {
            Kind::Lb => (0, &[0x0f, 0xbe]),
            Kind::Lbu => (0, &[0x0f, 0xb6]),
            Kind::Lh => (1, &[0x0f, 0xbf]),
            Kind::Lhu => (1, &[0x0f, 0xb7]),
            _ => (self.word_bits(inst), &[0x8b]),
        };
        let place = self.reach(inst, low, For::Read, &mut slow);
        let to = self.asm.target(inst.a, EAX);
        match (inst.kind, self.big) {
            (Kind::Lh | Kind::Lhu, true) => {
                self.asm.encode(&[0x0f, 0xb7], EAX, place);
                dynasm!(self.asm.ops; .arch x64; rol ax, 8);
                self.asm.encode(opcode, to, Rm::Reg(EAX));
            }
            (Kind::Lw, true) => {
                self.asm.encode(opcode, to, place);
                dynasm!(self.asm.ops; .arch x64; bswap Rd(to));
            }
            _ => self.asm.encode(opcode, to, place),
        }
        self.asm.put(inst.a, to);
        if to == EAX {
            slow.held = Some(inst.a);
        }
        self.back(slow);
    }

    fn store(&mut self, inst: &Inst) {
        let mut slow = self.missed();
        let low = match inst.kind {
            Kind::Sb => 0,
            Kind::Sh => 1,
            _ => self.word_bits(inst),
        };
        let place = self.reach(inst, low, For::Write, &mut slow);
        if inst.kind == Kind::Sw && self.asm.src(inst.c) == Src::Imm(0) {
            self.asm.encode(&[0xc7], 0, place);
            self.asm.ops.extend([0; 4]);
        } else {
            let mut from = self.asm.value(inst.c, EDX);
            if self.big && inst.kind != Kind::Sb {
                self.asm.mov(EDX, Src::Reg(from));
                from = EDX;
                match inst.kind {
                    Kind::Sh => dynasm!(self.asm.ops; .arch x64; rol dx, 8),
                    _ => dynasm!(self.asm.ops; .arch x64; bswap edx),
                }
            }
            match inst.kind {
                Kind::Sb => self.asm.encode_byte(&[0x88], from, place),
                Kind::Sh => {
                    // On 16 bits.
                    self.asm.ops.extend([0x66]);
                    self.asm.encode(&[0x89], from, place);
                }
                _ => self.asm.encode(&[0x89], from, place),
            }
        }
        self.back(slow);
    }

    /// Makes the host's address in `rax` that of the word, and gives in `ecx` by how many bits what is addressed is into
    /// the word, from the low end (for LWR and SWR) or the high one.
    fn split(&mut self, left: bool) {
        dynasm!(self.asm.ops; .arch x64
            ; mov ecx, eax
            ; and ecx, 3
            ; shl ecx, 3
            ; and rax, -4
        );
        // `shift` of the interpreter is 8 × (va & 3), or 24 less that; the left ones shift by 24 less `shift`.
        if left != self.big {
            self.asm.binary(Binary::Xor, ECX, Src::Imm(24));
        }
    }

    fn load_part(&mut self, inst: &Inst) {
        let left = inst.kind == Kind::Lwl;
        let mut slow = self.slow();
        let place = self.reach(inst, 0, For::Read, &mut slow);
        self.asm.encode_wide(&[0x8d], EAX, place);
        self.split(left);
        dynasm!(self.asm.ops; .arch x64; mov eax, [rax]);
        if self.big {
            dynasm!(self.asm.ops; .arch x64; bswap eax);
        }
        self.asm.mov(EDX, Src::Imm(-1));
        if left {
            dynasm!(self.asm.ops; .arch x64; shl eax, cl; shl edx, cl);
        } else {
            dynasm!(self.asm.ops; .arch x64; shr eax, cl; shr edx, cl);
        }
        dynasm!(self.asm.ops; .arch x64; not edx);
        self.asm.binary(Binary::And, EDX, self.asm.src(inst.c));
        self.asm.binary(Binary::Or, EAX, Src::Reg(EDX));
        self.asm.put(inst.a, EAX);
        self.back(slow);
    }

    fn store_part(&mut self, inst: &Inst) {
        let left = inst.kind == Kind::Swl;
        let mut slow = self.slow();
        let place = self.reach(inst, 0, For::Write, &mut slow);
        self.asm.encode_wide(&[0x8d], EAX, place);
        self.split(left);
        // new = old ^ ((old ^ value shifted) & mask)
        self.asm.mov(EDX, self.asm.src(inst.c));
        let swap = |e: &mut Self| {
            if e.big {
                dynasm!(e.asm.ops; .arch x64; bswap edx);
            }
        };
        // Shifting the old word the other way, and merging there, needs no mask and no register more.
        if left {
            // old & !(MAX >> n) | value >> n: the n upper bits stay.
            dynasm!(self.asm.ops; .arch x64; shr edx, cl);
            swap(self);
            dynasm!(self.asm.ops; .arch x64; mov [rsp], edx; mov edx, -1; shr edx, cl);
        } else {
            dynasm!(self.asm.ops; .arch x64; shl edx, cl);
            swap(self);
            dynasm!(self.asm.ops; .arch x64; mov [rsp], edx; mov edx, -1; shl edx, cl);
        }
        swap(self);
        dynasm!(self.asm.ops; .arch x64
            ; not edx
            ; and edx, [rax]
            ; or edx, [rsp]
            ; mov [rax], edx
        );
        self.back(slow);
    }

    fn load_fp(&mut self, inst: &Inst, size: i32) {
        let mut slow = self.missed();
        let place = self.reach(inst, (size - 1) as u8, For::Read, &mut slow);
        if size == 4 {
            self.asm.encode(&[0x8b], ECX, place);
            if self.big {
                dynasm!(self.asm.ops; .arch x64; bswap ecx);
            }
            dynasm!(self.asm.ops; .arch x64; mov [rbx + fpr(inst.c)], ecx);
        } else {
            self.asm.encode_wide(&[0x8b], ECX, place);
            if self.big {
                dynasm!(self.asm.ops; .arch x64; bswap rcx);
            }
            dynasm!(self.asm.ops; .arch x64; mov [rbx + fpr64(inst.c)], rcx);
        }
        self.back(slow);
    }

    fn store_fp(&mut self, inst: &Inst, size: i32) {
        let mut slow = self.missed();
        let place = self.reach(inst, (size - 1) as u8, For::Write, &mut slow);
        if size == 4 {
            dynasm!(self.asm.ops; .arch x64; mov edx, [rbx + fpr(inst.c)]);
            if self.big {
                dynasm!(self.asm.ops; .arch x64; bswap edx);
            }
            self.asm.encode(&[0x89], EDX, place);
        } else {
            dynasm!(self.asm.ops; .arch x64; mov rdx, [rbx + fpr64(inst.c)]);
            if self.big {
                dynasm!(self.asm.ops; .arch x64; bswap rdx);
            }
            self.asm.encode_wide(&[0x89], EDX, place);
        }
        self.back(slow);
    }
}

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

    /// The address of an access in `eax`.
    fn address(&mut self, inst: &Inst) {
        match (inst.kind, self.asm.src(inst.b)) {
            (
                Kind::Lwxc1 | Kind::Swxc1 | Kind::Ldxc1 | Kind::Sdxc1 | Kind::Luxc1 | Kind::Suxc1,
                b,
            ) => {
                self.asm.mov(EAX, b);
                self.asm.binary(Binary::Add, EAX, self.asm.src(inst.imm as u8));
                if matches!(inst.kind, Kind::Luxc1 | Kind::Suxc1) {
                    self.asm.binary(Binary::And, EAX, Src::Imm(!7));
                }
            }
            _ if let Some(base) = self.known.value(inst.b) => {
                let address = base.wrapping_add(inst.imm);
                self.asm.mov(EAX, Src::Imm(address.cast_signed()));
            }
            (_, b) if inst.imm == 0 => self.asm.mov(EAX, b),
            (_, Src::Reg(b)) => self.asm.lea(EAX, b, inst.imm.cast_signed()),
            (_, b) => {
                self.asm.mov(EAX, b);
                self.asm
                    .binary(Binary::Add, EAX, Src::Imm(inst.imm.cast_signed()));
            }
        }
    }

    /// Gives in `rcx` what is added to the guest's address in `eax` to get the host's, or goes on at `slow`. `low` are the bits
    /// of the address that must be zero.
    fn look_up(&mut self, low: u8, access: For, slow: Slow) {
        dynasm!(self.asm.ops; .arch x64
            ; mov ecx, eax
            ; shr ecx, 12
        );
        match access.table() {
            0 => dynasm!(self.asm.ops; .arch x64; mov rcx, [rbp + rcx * 8]),
            table => dynasm!(self.asm.ops; .arch x64; mov rcx, [rbp + rcx * 8 + table]),
        }
        dynasm!(self.asm.ops; .arch x64; test rcx, rcx);
        self.asm.jump_if(If::Equal as u8, slow.from);
        if low != 0 {
            dynasm!(self.asm.ops; .arch x64; test al, BYTE low.cast_signed());
            self.asm.jump_if(If::NotEqual as u8, slow.from);
        }
    }

    /// The same, with the host's address in `rax`.
    fn reach(&mut self, low: u8, access: For, slow: Slow) {
        self.look_up(low, access, slow);
        dynasm!(self.asm.ops; .arch x64; add rax, rcx);
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
        self.address(inst);
        let to = self.asm.target(inst.a, EAX);
        let (low, opcode): (u8, &[u8]) = match inst.kind {
            Kind::Lb => (0, &[0x0f, 0xbe]),
            Kind::Lbu => (0, &[0x0f, 0xb6]),
            Kind::Lh => (1, &[0x0f, 0xbf]),
            Kind::Lhu => (1, &[0x0f, 0xb7]),
            _ => (self.word_bits(inst), &[0x8b]),
        };
        self.look_up(low, For::Read, slow);
        match (inst.kind, self.big) {
            (Kind::Lh | Kind::Lhu, true) => {
                dynasm!(self.asm.ops; .arch x64; movzx eax, WORD [rcx + rax]; rol ax, 8);
                self.asm.encode(opcode, to, Rm::Reg(EAX));
            }
            (Kind::Lw, true) => {
                self.asm.encode(opcode, to, Rm::Sum(ECX, EAX));
                dynasm!(self.asm.ops; .arch x64; bswap Rd(to));
            }
            _ => self.asm.encode(opcode, to, Rm::Sum(ECX, EAX)),
        }
        self.asm.put(inst.a, to);
        if to == EAX {
            slow.held = Some(inst.a);
        }
        self.back(slow);
    }

    fn store(&mut self, inst: &Inst) {
        let slow = self.missed();
        self.address(inst);
        let low = match inst.kind {
            Kind::Sb => 0,
            Kind::Sh => 1,
            _ => self.word_bits(inst),
        };
        self.look_up(low, For::Write, slow);
        if inst.kind == Kind::Sw && self.asm.src(inst.c) == Src::Imm(0) {
            dynasm!(self.asm.ops; .arch x64; mov DWORD [rcx + rax], 0);
        } else {
            let big = self.big && inst.kind != Kind::Sb;
            let mut from = self.asm.value(inst.c, EDX);
            if big || (inst.kind == Kind::Sb && from != EDX) {
                self.asm.mov(EDX, Src::Reg(from));
                from = EDX;
            }
            match (inst.kind, big) {
                (Kind::Sb, _) => dynasm!(self.asm.ops; .arch x64; mov [rcx + rax], dl),
                (Kind::Sh, false) => dynasm!(self.asm.ops; .arch x64; mov [rcx + rax], Rw(from)),
                (Kind::Sh, true) => {
                    dynasm!(self.asm.ops; .arch x64; rol dx, 8; mov [rcx + rax], dx);
                }
                (_, false) => self.asm.encode(&[0x89], from, Rm::Sum(ECX, EAX)),
                (_, true) => dynasm!(self.asm.ops; .arch x64; bswap edx; mov [rcx + rax], edx),
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
        let slow = self.slow();
        self.address(inst);
        self.reach(0, For::Read, slow);
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
        let slow = self.slow();
        self.address(inst);
        self.reach(0, For::Write, slow);
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
        let slow = self.missed();
        self.address(inst);
        self.reach((size - 1) as u8, For::Read, slow);
        match (size, self.big) {
            (4, false) => dynasm!(self.asm.ops; .arch x64; mov ecx, [rax]),
            (4, true) => dynasm!(self.asm.ops; .arch x64; mov ecx, [rax]; bswap ecx),
            (_, false) => dynasm!(self.asm.ops; .arch x64; mov rcx, [rax]),
            (_, true) => dynasm!(self.asm.ops; .arch x64; mov rcx, [rax]; bswap rcx),
        }
        if size == 4 {
            dynasm!(self.asm.ops; .arch x64; mov [rbx + fpr(inst.c)], ecx);
        } else {
            dynasm!(self.asm.ops; .arch x64; mov [rbx + fpr64(inst.c)], rcx);
        }
        self.back(slow);
    }

    fn store_fp(&mut self, inst: &Inst, size: i32) {
        let slow = self.missed();
        self.address(inst);
        self.reach((size - 1) as u8, For::Write, slow);
        if size == 4 {
            dynasm!(self.asm.ops; .arch x64; mov ecx, [rbx + fpr(inst.c)]);
        } else {
            dynasm!(self.asm.ops; .arch x64; mov rcx, [rbx + fpr64(inst.c)]);
        }
        match (size, self.big) {
            (4, false) => dynasm!(self.asm.ops; .arch x64; mov [rax], ecx),
            (4, true) => dynasm!(self.asm.ops; .arch x64; bswap ecx; mov [rax], ecx),
            (_, false) => dynasm!(self.asm.ops; .arch x64; mov [rax], rcx),
            (_, true) => dynasm!(self.asm.ops; .arch x64; bswap rcx; mov [rax], rcx),
        }
        self.back(slow);
    }
}

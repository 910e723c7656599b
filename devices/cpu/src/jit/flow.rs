//! Control transfers: what prepares a branch, and the ways out of a block.

use dynasmrt::{DynasmApi, dynasm};

use super::asm::{Asm, Binary, EAX, If, R12, RBX, Rm, Src, at, src};
use super::{Emitter, Leave, Link, To};
use crate::ir::{Cond, End, Inst, Kind, Test};

impl Emitter<'_, '_> {
    /// Emits an instruction of this family; false if it is of another.
    pub fn flow(&mut self, inst: &Inst) -> bool {
        match inst.kind {
            Kind::Link => {
                let to = self.asm.target(inst.a, EAX);
                self.asm.lea(to, R12, inst.imm.cast_signed());
                self.asm.put(inst.a, to);
            }
            Kind::Latch(cond) => {
                let condition = self.test_registers(cond, inst.b, inst.c);
                self.asm.set_if(condition, EAX);
                dynasm!(self.asm.ops; .arch x64; mov [rbx + at::LATCH], eax);
            }
            Kind::LatchTarget => {
                let from = self.asm.value(inst.b, EAX);
                self.asm.encode(&[0x89], from, Rm::At(RBX, at::LATCH));
            }
            Kind::Skip(cond) => {
                let condition = self.test_registers(cond, inst.b, inst.c);
                self.leave_unless(condition);
            }
            Kind::SkipLatched => {
                self.test_latch();
                self.leave_unless(If::NotEqual as u8);
            }
            Kind::Trap(test) => self.trap(inst, test, src(inst.c)),
            Kind::TrapImm(test) => self.trap(inst, test, Src::Imm(inst.imm.cast_signed())),
            _ => return false,
        }
        true
    }

    fn trap(&mut self, inst: &Inst, test: Test, c: Src) {
        let slow = self.slow();
        let b = self.asm.value(inst.b, EAX);
        self.asm.binary(Binary::Cmp, b, c);
        let condition = match test {
            Test::Eq => If::Equal,
            Test::Ne => If::NotEqual,
            Test::Lt => If::Less,
            Test::Ltu => If::Below,
            Test::Ge => If::GreaterOrEqual,
            Test::Geu => If::AboveOrEqual,
        };
        self.asm.jump_if(condition as u8, slow.from);
        self.back(slow);
    }

    fn test_latch(&mut self) {
        dynasm!(self.asm.ops; .arch x64; cmp DWORD [rbx + at::LATCH], 0);
    }

    /// Goes on behind the block, giving back the instructions that are not executed, unless a condition holds.
    fn leave_unless(&mut self, condition: u8) {
        let from = self.asm.label();
        self.asm.jump_if(condition ^ 1, from);
        let rest = self.block.len - self.at() - 1;
        self.leaves.push(Leave { from, rest });
    }

    /// Emits the end of the block.
    pub fn end(&mut self) {
        match self.block.end {
            End::Branch { cond, b, c, taken } => {
                let condition = self.test_registers(cond, b, c);
                self.branch(condition, taken);
            }
            End::Latched { taken } => {
                self.test_latch();
                self.branch(If::NotEqual as u8, taken);
            }
            End::Always { taken } => self.go(taken),
            End::Fall => self.go(self.block.past()),
            End::Jump { target } => {
                let slot = self.block.past().wrapping_sub(4).cast_signed();
                dynasm!(self.asm.ops; .arch x64
                    ; lea r12d, [r12 + slot]
                    ; and r12d, DWORD 0xf000_0000_u32.cast_signed()
                    ; or r12d, DWORD target.cast_signed()
                );
                self.jump_to(target);
            }
            End::Register { b } => {
                let from = self.asm.value(b, EAX);
                self.asm.mov(R12, Src::Reg(from));
                lookup(&mut self.asm, self.stubs.fetch);
            }
            End::LatchedRegister => {
                dynasm!(self.asm.ops; .arch x64; mov r12d, [rbx + at::LATCH]);
                lookup(&mut self.asm, self.stubs.fetch);
            }
        }
    }

    fn branch(&mut self, condition: u8, taken: u32) {
        let past = self.block.past();
        if taken == 0 {
            // A loop of one block.
            self.asm.jump_if(condition, self.head);
            self.go(past);
        } else if let Some(to) = self.place.at(taken) {
            // LEA leaves the flags alone.
            self.advance(taken);
            let site = self.asm.jump_out_if(condition, self.stubs.unknown);
            self.links.push(Link { site, to });
            self.go_from(past.wrapping_sub(taken), past);
        } else {
            let from = self.asm.label();
            self.asm.jump_if(condition, from);
            self.go(past);
            self.asm.bind(from);
            self.go(taken);
        }
    }

    /// Makes `r12d` the address at an offset from it.
    fn advance(&mut self, by: u32) {
        self.asm.lea(R12, R12, by.cast_signed());
    }

    /// Goes on at an offset from the start of the block.
    pub fn go(&mut self, offset: u32) {
        if offset == 0 {
            self.asm.jump(self.head);
            return;
        }
        self.go_from(offset, offset);
    }

    /// Goes on at an offset from the start of the block, which is `by` from the address in `r12d`.
    fn go_from(&mut self, by: u32, offset: u32) {
        self.advance(by);
        match self.place.at(offset) {
            Some(to) => self.link(to),
            None => lookup(&mut self.asm, self.stubs.fetch),
        }
    }

    /// Goes on at an address within the 256 MiB of the block, which is in `r12d`.
    fn jump_to(&mut self, target: u32) {
        match self.place.region(target) {
            Some(to) => self.link(to),
            None => lookup(&mut self.asm, self.stubs.fetch),
        }
    }

    fn link(&mut self, to: To) {
        let site = self.asm.jump_out(self.stubs.unknown);
        self.links.push(Link { site, to });
    }

    /// Tests a floating point condition code; gives the condition that says whether `cond` holds.
    pub fn test_fp(&mut self, cond: Cond, code: u8) -> u8 {
        let bit = crate::fpu::Fcsr::cc_bit(code.into()).cast_signed();
        dynasm!(self.asm.ops; .arch x64; test DWORD [rbx + at::FCSR], bit);
        match cond {
            Cond::FpTrue => If::NotEqual as u8,
            _ => If::Equal as u8,
        }
    }
}

/// Goes on at the address in `r12d`: in generated code if there is some, or at `fetch` if its page is not known.
pub fn lookup(asm: &mut Asm, fetch: u32) {
    use crate::core::{CodeEntry, ITLB};
    use std::mem::offset_of;
    const SHIFT: u32 = size_of::<CodeEntry>().trailing_zeros();
    const INDEX: i32 = (ITLB as i32 - 1) << SHIFT;
    const TAG: i32 = at::ITLB + offset_of!(CodeEntry, tag) as i32;
    const NATIVE: i32 = at::ITLB + offset_of!(CodeEntry, native) as i32;
    dynasm!(asm.ops; .arch x64
        ; mov ecx, r12d
        ; shr ecx, (12 - SHIFT) as i8
        ; and ecx, INDEX
        ; mov edx, r12d
        ; and edx, !0xfff | 3
        ; xor rdx, [rbx + rcx + TAG]
        ; cmp rdx, [rbx + at::CODE_KEY]
    );
    asm.jump_out_if(If::NotEqual as u8, fetch);
    dynasm!(asm.ops; .arch x64
        ; mov rcx, [rbx + rcx + NATIVE]
        ; mov edx, r12d
        ; and edx, 0xffc
        ; jmp QWORD [rcx + rdx * 2]
    );
}

//! Control transfers: what prepares a branch, and the ways out of a block.

use dynasmrt::{DynasmApi, dynasm};

use super::asm::{Asm, Binary, EAX, Homes, If, Label, RBX, Rm, Src, at};
use super::known::Known;
use super::{Cold, Emitter, Jumps, Leave};
use crate::block::To;
use crate::generate::Link;
use crate::ir::{Cond, End, Inst, Kind, Test};

impl Emitter<'_, '_> {
    /// Emits an instruction of this family; false if it is of another.
    pub fn flow(&mut self, inst: &Inst) -> bool {
        match inst.kind {
            Kind::Link => {
                let to = self.asm.target(inst.a, EAX);
                self.address_of(to, inst.imm);
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
            Kind::Trap(test) => self.trap(inst, test, self.asm.src(inst.c)),
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

    /// Emits the end of a block that leads to itself, and the block once more for all executions but the first, of which more
    /// is known.
    pub fn go_round(&mut self, known: Known) {
        let (again, past) = (self.asm.label(), self.asm.label());
        let condition = self.condition();
        self.asm.jump_if(condition ^ 1, past);
        self.asm.bind(again);
        self.known = known;
        self.body();
        let condition = self.condition();
        self.asm.jump_if(condition, again);
        self.asm.bind(past);
        self.end_at(self.block.past());
    }

    /// Tests the condition of the block's branch; gives the one that says whether it holds.
    fn condition(&mut self) -> u8 {
        match self.block.end {
            End::Branch { cond, b, c, .. } => self.test_registers(cond, b, c),
            _ => {
                self.test_latch();
                If::NotEqual as u8
            }
        }
    }

    /// Emits the end of the block.
    pub fn end(&mut self) {
        match self.block.end {
            End::Branch { taken, .. } | End::Latched { taken } => {
                let condition = self.condition();
                self.branch(condition, taken);
            }
            End::Always { taken } => self.end_at(taken),
            End::Fall => self.end_at(self.block.past()),
            End::Jump { target } => match self.place.region(target) {
                Some((va, to)) => {
                    self.enter_page(va);
                    self.link(to);
                }
                None => {
                    dynasm!(self.asm.ops; .arch x64
                        ; mov eax, [rbx + at::PC]
                        ; and eax, DWORD 0xf000_0000_u32.cast_signed()
                        ; or eax, DWORD target.cast_signed()
                    );
                    self.look_up_code();
                }
            },
            End::Register { b } => {
                self.asm.mov(EAX, self.asm.src(b));
                self.jump_to_register();
            }
            End::LatchedRegister => {
                dynasm!(self.asm.ops; .arch x64; mov eax, [rbx + at::LATCH]);
                self.jump_to_register();
            }
        }
    }

    /// Goes on at the address in `eax`, which is most often one of the blocks that are emitted, if the jump is a computed one.
    fn jump_to_register(&mut self) {
        let (Some((first, _)), Some((last, _))) = (self.heads.first(), self.heads.last()) else {
            return;
        };
        let (first, words) = (i32::from(*first), i32::from(last - first));
        if !self.block.is_computed() || words == 0 {
            self.look_up_code();
            return;
        }
        let Jumps { table, others } = *self.jumps.get_or_insert_with(|| Jumps {
            table: self.asm.label(),
            others: self.asm.label(),
        });
        // The number of a word in the page is small only if the address is in this page, and a multiple of four.
        dynasm!(self.asm.ops; .arch x64
            ; mov ecx, eax
            ; xor ecx, [rbx + at::PC]
            ; ror ecx, 2
            ; sub ecx, first
            ; cmp ecx, words
        );
        self.asm.jump_if(If::Above as u8, others);
        self.asm.address_of(table);
        dynasm!(self.asm.ops; .arch x64
            ; movsxd rcx, DWORD [rdx + rcx * 4]
            ; add rcx, rdx
            ; jmp rcx
        );
    }

    /// Emits the table of what computed jumps lead to, and the way to what is not in it.
    pub fn jumps(&mut self, Jumps { table, others }: Jumps) {
        self.asm.bind(others);
        self.look_up_code();
        self.asm.bind(table);
        let heads = self.heads.clone();
        let mut next = heads.first().map_or(0, |head| head.0);
        for (word, head) in heads {
            for _ in next..word {
                self.asm.distance(others, table);
            }
            self.asm.distance(head, table);
            next = word + 1;
        }
    }

    fn branch(&mut self, condition: u8, taken: u32) {
        let Some(to) = self.place.here.beside(taken) else {
            let from = self.asm.label();
            self.asm.jump_if(condition, from);
            self.go(self.block.past());
            self.asm.bind(from);
            self.go(taken);
            return;
        };
        let past = self.place.here.beside(self.block.past());
        let past = past.and_then(|past| self.head(past));
        if let Some(head) = self.head(to) {
            if let Some(past) = past
                && self.next == Some(to.word)
                && self.leaves.is_empty()
            {
                self.asm.jump_if(condition ^ 1, past);
                return;
            }
            self.asm.jump_if(condition, head);
        } else if self.asm.homes == Homes::USUAL {
            let unknown = self.stubs.unknown(to.word);
            let site = self.asm.jump_out_if(condition, unknown);
            self.links.push(Link { site, to });
        } else {
            let from = self.asm.label();
            self.asm.jump_if(condition, from);
            self.cold.push(Cold::Link { from, to });
        }
        self.end_at(self.block.past());
    }

    /// Where the code of a block starts, if it is one of those that are emitted.
    fn head(&self, to: To) -> Option<Label> {
        if to.home != self.place.here.home || to.kind != self.place.here.kind {
            return None;
        }
        let mut heads = self.heads.iter();
        heads.find(|(word, _)| *word == to.word).map(|h| h.1)
    }

    /// Goes on at an offset from the start of the block, where its code ends.
    fn end_at(&mut self, offset: u32) {
        let to = self.place.here.beside(offset);
        let follows = to.is_some_and(|to| self.next == Some(to.word));
        if !follows || !self.leaves.is_empty() {
            self.go(offset);
        }
    }

    /// The address at an offset from the start of the block, in a host register.
    fn address_of(&mut self, to: u8, offset: u32) {
        let offset = self.place.offset().wrapping_add(offset);
        self.asm.encode(&[0x8b], to, Rm::At(RBX, at::PC));
        self.asm
            .binary(Binary::Add, to, Src::Imm(offset.cast_signed()));
    }

    /// The block that is gone to is in the page of this address.
    fn enter_page(&mut self, va: u32) {
        let page = va & !0xfff;
        dynasm!(self.asm.ops; .arch x64; mov DWORD [rbx + at::PC], page.cast_signed());
    }

    /// Goes on at an offset from the start of the block.
    pub fn go(&mut self, offset: u32) {
        if let Some(to) = self.place.here.beside(offset) {
            self.link(to);
        } else if let Some(to) = self.place.kseg0_at(offset) {
            let by = self.place.offset().wrapping_add(offset) & !0xfff;
            // The page may be seen at several addresses of kseg0, and the next one is next to it at each.
            dynasm!(self.asm.ops; .arch x64; add DWORD [rbx + at::PC], by.cast_signed());
            self.link(to);
        } else {
            self.address_of(EAX, offset);
            self.look_up_code();
        }
    }

    /// Goes on at the address in `eax`.
    fn look_up_code(&mut self) {
        self.usual_homes();
        lookup(&mut self.asm, self.stubs.fetch);
    }

    pub fn link(&mut self, to: To) {
        if let Some(head) = self.head(to) {
            self.asm.jump(head);
            return;
        }
        self.usual_homes();
        let site = self.asm.jump_out(self.stubs.unknown(to.word));
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

/// Goes on at the address in `eax`: in generated code if there is some, or at `fetch` if its page is not known.
pub fn lookup(asm: &mut Asm, fetch: u32) {
    use crate::core::{CodeEntry, ITLB};
    use std::mem::offset_of;
    const SHIFT: u32 = size_of::<CodeEntry>().trailing_zeros();
    const INDEX: i32 = (ITLB as i32 - 1) << SHIFT;
    const TAG: i32 = at::ITLB + offset_of!(CodeEntry, tag) as i32;
    const NATIVE: i32 = at::ITLB + offset_of!(CodeEntry, native) as i32;
    dynasm!(asm.ops; .arch x64
        ; mov ecx, eax
        ; shr ecx, (12 - SHIFT) as i8
        ; and ecx, INDEX
        ; mov edx, eax
        ; and edx, !0xfff | 3
        // If it is not known, the whole address takes its place.
        ; mov [rbx + at::PC], edx
        ; xor rdx, [rbx + rcx + TAG]
        ; cmp rdx, [rbx + at::CODE_KEY]
    );
    asm.jump_out_if(If::NotEqual as u8, fetch);
    dynasm!(asm.ops; .arch x64
        ; mov rcx, [rbx + rcx + NATIVE]
        ; and eax, 0xffc
        ; jmp QWORD [rcx + rax * 2]
    );
}

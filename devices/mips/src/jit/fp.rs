//! Floating point: what the host's arithmetic gives and raises nothing but Inexact is generated, the rest is left to the
//! interpreter.
//!
//! A block with arithmetic is entered only where FCSR says that the host rounds alike, and that Inexact neither traps nor is
//! news; so the result is all there is to compute, and what FCSR.Cause is to say is noted as due, as the interpreter does.

use dynasmrt::{DynasmApi, dynasm};

use super::Emitter;
use super::asm::{EAX, If, Label, RBX, Rm, at};
use super::memory::{fpr, fpr64};
use crate::exec::due;
use crate::fpu::Fcsr;
use crate::ir::{Cond, Fmt, Fp, How, Inst, Kind};

/// An instruction on two registers of a format.
macro_rules! scalar {
    ($asm:expr, $double:expr, $single:ident, $wide:ident) => {
        if $double {
            dynasm!($asm.ops; .arch x64; $wide xmm0, xmm1);
        } else {
            dynasm!($asm.ops; .arch x64; $single xmm0, xmm1);
        }
    };
}

/// Whether a block with this instruction needs the FPU to be as above.
pub fn is_arithmetic(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Fp(
            Fp::Add
                | Fp::Sub
                | Fp::Mul
                | Fp::Div
                | Fp::Sqrt
                | Fp::Abs
                | Fp::Neg
                | Fp::ToW(How::Trunc)
                | Fp::ToS
                | Fp::ToD
                | Fp::Compare,
            _
        )
    )
}

impl Emitter<'_, '_> {
    /// Emits an instruction of this family; false if it is of another, or one that is left to the interpreter.
    pub fn fp(&mut self, inst: &Inst) -> bool {
        match inst.kind {
            Kind::Mfc1 => {
                let to = self.asm.target(inst.a, EAX);
                self.asm.encode(&[0x8b], to, Rm::At(RBX, fpr(inst.c)));
                self.asm.put(inst.a, to);
            }
            Kind::Mtc1 => {
                let from = self.asm.value(inst.b, EAX);
                self.asm.encode(&[0x89], from, Rm::At(RBX, fpr(inst.c)));
            }
            Kind::Movf | Kind::Movt => {
                let over = self.asm.label();
                let holds = self.test_fp(
                    match inst.kind {
                        Kind::Movt => Cond::FpTrue,
                        _ => Cond::FpFalse,
                    },
                    inst.c,
                );
                self.asm.jump_if(holds ^ 1, over);
                let from = self.asm.value(inst.b, EAX);
                self.asm.put(inst.a, from);
                self.asm.bind(over);
            }
            Kind::Fp(op @ (Fp::Mov | Fp::Movf | Fp::Movt | Fp::Movz | Fp::Movn), fmt) => {
                self.fp_move(inst, op, fmt == Fmt::D);
            }
            // After CTC1 FCSR may say anything.
            Kind::Fp(..) if self.fcsr_written => return false,
            Kind::Fp(op, fmt @ (Fmt::S | Fmt::D)) => {
                let double = fmt == Fmt::D;
                match op {
                    Fp::Add | Fp::Sub | Fp::Mul | Fp::Div | Fp::Sqrt => {
                        self.fp_arithmetic(inst, op, double);
                    }
                    Fp::Abs | Fp::Neg => self.fp_sign(inst, op == Fp::Neg, double),
                    Fp::Compare => self.fp_compare(inst, double),
                    Fp::ToW(How::Trunc) => self.fp_truncate(inst, double),
                    Fp::ToS if double => self.fp_narrow(inst),
                    Fp::ToD if !double => self.fp_widen(inst),
                    _ => return false,
                }
            }
            Kind::Fp(Fp::ToD, Fmt::W) => {
                dynasm!(self.asm.ops; .arch x64
                    ; xorps xmm0, xmm0
                    ; cvtsi2sd xmm0, DWORD [rbx + fpr(inst.b)]
                    ; movsd [rbx + fpr64(inst.a)], xmm0
                );
                self.raised_nothing();
            }
            _ => return false,
        }
        true
    }

    /// Reads a register of a format into `xmm0` or `xmm1`.
    fn fp_get(&mut self, xmm: u8, place: u8, double: bool) {
        if double {
            dynasm!(self.asm.ops; .arch x64; movsd Rx(xmm), [rbx + fpr64(place)]);
        } else {
            dynasm!(self.asm.ops; .arch x64; movss Rx(xmm), [rbx + fpr(place)]);
        }
    }

    fn fp_put(&mut self, place: u8, xmm: u8, double: bool) {
        if double {
            dynasm!(self.asm.ops; .arch x64; movsd [rbx + fpr64(place)], Rx(xmm));
        } else {
            dynasm!(self.asm.ops; .arch x64; movss [rbx + fpr(place)], Rx(xmm));
        }
    }

    /// An operation has raised nothing: FCSR.Cause says so.
    fn raised_nothing(&mut self) {
        let keep = !Fcsr::CAUSE;
        dynasm!(self.asm.ops; .arch x64
            ; mov QWORD [rbx + at::DUE], 0
            ; and DWORD [rbx + at::FCSR], keep.cast_signed()
        );
    }

    /// Goes to `slow` unless the result in `xmm0` is a normal number, and not the smallest.
    fn unless_normal(&mut self, double: bool, slow: Label) {
        if double {
            dynasm!(self.asm.ops; .arch x64
                ; movq rax, xmm0
                ; shr rax, 52
                ; and eax, 0x7ff
                ; sub eax, 2
                ; cmp eax, 0x7fd
            );
        } else {
            dynasm!(self.asm.ops; .arch x64
                ; movd eax, xmm0
                ; shr eax, 23
                ; and eax, 0xff
                ; sub eax, 2
                ; cmp eax, 0xfd
            );
        }
        self.asm.jump_if(If::AboveOrEqual as u8, slow);
    }

    /// Notes that Cause is due from an operation on these operands.
    fn note_due(&mut self, op: Fp, fmt: Fmt, inst: &Inst) {
        let again = due(op, fmt).map_or(0, |f| f as usize);
        let double = fmt == Fmt::D;
        let operand = |e: &mut Self, place, n: i32| {
            if double {
                dynasm!(e.asm.ops; .arch x64; mov rcx, [rbx + fpr64(place)]);
            } else {
                dynasm!(e.asm.ops; .arch x64; mov ecx, [rbx + fpr(place)]);
            }
            dynasm!(e.asm.ops; .arch x64; mov [rbx + at::DUE_OPERANDS + 8 * n], rcx);
        };
        operand(self, inst.b, 0);
        operand(self, inst.c, 1);
        dynasm!(self.asm.ops; .arch x64
            ; mov rcx, QWORD again.cast_signed() as i64
            ; mov [rbx + at::DUE], rcx
        );
    }

    fn fp_arithmetic(&mut self, inst: &Inst, op: Fp, double: bool) {
        let slow = self.slow();
        if op == Fp::Sqrt {
            self.fp_get(1, inst.b, double);
        } else {
            self.fp_get(0, inst.b, double);
            self.fp_get(1, inst.c, double);
        }
        match op {
            Fp::Add => scalar!(self.asm, double, addss, addsd),
            Fp::Sub => scalar!(self.asm, double, subss, subsd),
            Fp::Mul => scalar!(self.asm, double, mulss, mulsd),
            Fp::Div => scalar!(self.asm, double, divss, divsd),
            _ => scalar!(self.asm, double, sqrtss, sqrtsd),
        }
        self.unless_normal(double, slow.from);
        self.note_due(op, if double { Fmt::D } else { Fmt::S }, inst);
        self.fp_put(inst.a, 0, double);
        self.back(slow);
    }

    fn fp_narrow(&mut self, inst: &Inst) {
        let slow = self.slow();
        self.fp_get(1, inst.b, true);
        dynasm!(self.asm.ops; .arch x64; xorps xmm0, xmm0; cvtsd2ss xmm0, xmm1);
        self.unless_normal(false, slow.from);
        self.note_due(Fp::ToS, Fmt::D, inst);
        self.fp_put(inst.a, 0, false);
        self.back(slow);
    }

    /// Always exact; what is neither normal nor zero is left to the interpreter.
    fn fp_widen(&mut self, inst: &Inst) {
        let slow = self.slow();
        self.fp_get(1, inst.b, false);
        dynasm!(self.asm.ops; .arch x64
            ; movd eax, xmm1
            ; shr eax, 23
            ; and eax, 0xff
            ; sub eax, 1
            ; cmp eax, 0xfe
        );
        self.asm.jump_if(If::AboveOrEqual as u8, slow.from);
        dynasm!(self.asm.ops; .arch x64; xorps xmm0, xmm0; cvtss2sd xmm0, xmm1);
        self.fp_put(inst.a, 0, true);
        self.raised_nothing();
        self.back(slow);
    }

    fn fp_sign(&mut self, inst: &Inst, negate: bool, double: bool) {
        let slow = self.slow();
        self.fp_get(0, inst.b, double);
        if double {
            dynasm!(self.asm.ops; .arch x64; ucomisd xmm0, xmm0);
        } else {
            dynasm!(self.asm.ops; .arch x64; ucomiss xmm0, xmm0);
        }
        self.asm.jump_if(If::Parity as u8, slow.from);
        match (double, negate) {
            (true, true) => dynasm!(self.asm.ops; .arch x64; movq rax, xmm0; btc rax, 63),
            (true, false) => dynasm!(self.asm.ops; .arch x64; movq rax, xmm0; btr rax, 63),
            (false, true) => dynasm!(self.asm.ops; .arch x64; movd eax, xmm0; btc eax, 31),
            (false, false) => dynasm!(self.asm.ops; .arch x64; movd eax, xmm0; btr eax, 31),
        }
        if double {
            dynasm!(self.asm.ops; .arch x64; mov [rbx + fpr64(inst.a)], rax);
        } else {
            dynasm!(self.asm.ops; .arch x64; mov [rbx + fpr(inst.a)], eax);
        }
        self.raised_nothing();
        self.back(slow);
    }

    fn fp_compare(&mut self, inst: &Inst, double: bool) {
        let slow = self.slow();
        let (less, equal) = (inst.imm & 4 != 0, inst.imm & 2 != 0);
        let bit = Fcsr::cc_bit(inst.imm >> 4);
        self.fp_get(0, inst.b, double);
        if double {
            dynasm!(self.asm.ops; .arch x64; ucomisd xmm0, [rbx + fpr64(inst.c)]);
        } else {
            dynasm!(self.asm.ops; .arch x64; ucomiss xmm0, [rbx + fpr(inst.c)]);
        }
        self.asm.jump_if(If::Parity as u8, slow.from);
        // Below is less, equal is equal.
        let condition = match (less, equal) {
            (true, true) => Some(If::BelowOrEqual as u8),
            (true, false) => Some(If::Below as u8),
            (false, true) => Some(If::Equal as u8),
            (false, false) => None,
        };
        match condition {
            Some(condition) => {
                self.asm.set_if(condition, EAX);
                let shift = bit.trailing_zeros() as i8;
                dynasm!(self.asm.ops; .arch x64; shl eax, shift);
            }
            None => dynasm!(self.asm.ops; .arch x64; xor eax, eax),
        }
        let keep = !(Fcsr::CAUSE | bit);
        dynasm!(self.asm.ops; .arch x64
            ; mov ecx, [rbx + at::FCSR]
            ; and ecx, keep.cast_signed()
            ; or ecx, eax
            ; mov [rbx + at::FCSR], ecx
            ; mov QWORD [rbx + at::DUE], 0
        );
        self.back(slow);
    }

    fn fp_truncate(&mut self, inst: &Inst, double: bool) {
        let slow = self.slow();
        let fmt = if double { Fmt::D } else { Fmt::S };
        self.fp_get(0, inst.b, double);
        if double {
            dynasm!(self.asm.ops; .arch x64; cvttsd2si eax, xmm0);
        } else {
            dynasm!(self.asm.ops; .arch x64; cvttss2si eax, xmm0);
        }
        // Zero can be of a subnormal number, 0x80000000 is of what does not fit.
        dynasm!(self.asm.ops; .arch x64; lea ecx, [rax + rax]; test ecx, ecx);
        self.asm.jump_if(If::Equal as u8, slow.from);
        self.note_due(Fp::ToW(How::Trunc), fmt, inst);
        dynasm!(self.asm.ops; .arch x64; mov [rbx + fpr(inst.a)], eax);
        self.back(slow);
    }

    /// A move between floating point registers, under a condition.
    fn fp_move(&mut self, inst: &Inst, op: Fp, double: bool) {
        let over = self.asm.label();
        let stays = match op {
            Fp::Mov => None,
            Fp::Movf => Some(self.test_fp(Cond::FpTrue, inst.c)),
            Fp::Movt => Some(self.test_fp(Cond::FpFalse, inst.c)),
            _ => {
                let c = self.asm.value(inst.c, EAX);
                self.asm.test(c, c);
                Some(match op {
                    Fp::Movz => If::NotEqual as u8,
                    _ => If::Equal as u8,
                })
            }
        };
        if let Some(stays) = stays {
            self.asm.jump_if(stays, over);
        }
        if double {
            dynasm!(self.asm.ops; .arch x64
                ; mov rax, [rbx + fpr64(inst.b)]
                ; mov [rbx + fpr64(inst.a)], rax
            );
        } else {
            dynasm!(self.asm.ops; .arch x64
                ; mov eax, [rbx + fpr(inst.b)]
                ; mov [rbx + fpr(inst.a)], eax
            );
        }
        self.asm.bind(over);
    }
}

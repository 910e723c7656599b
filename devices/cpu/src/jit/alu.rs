//! Arithmetic, logic and shifts.

use dynasmrt::{DynasmApi, dynasm};

use super::Emitter;
use super::asm::{Asm, EAX, ECX, EDX, If, Src, src};
use crate::ir::{Cond, HI, Inst, Kind, LO, SINK};

/// An operation whose second operand can be anywhere.
type Binary = fn(&mut Asm, u8, Src);

/// A shift by a known number, or by that in `cl`.
macro_rules! shifts {
    ($asm:ident, $register:expr, $by:expr, $name:ident) => {
        match $by {
            Some(by) => dynasm!($asm.ops; .arch x64; $name Rd($register), BYTE by),
            None => dynasm!($asm.ops; .arch x64; $name Rd($register), cl),
        }
    };
}

impl Emitter<'_, '_> {
    /// Emits an instruction of this family; false if it is of another.
    pub fn alu(&mut self, inst: &Inst) -> bool {
        let Inst {
            kind,
            a,
            b,
            c,
            imm,
            imm2,
        } = *inst;
        let imm_src = Src::Imm(imm.cast_signed());
        if a == SINK && writes_only_a(kind) {
            return true;
        }
        match kind {
            Kind::Nop => {}
            Kind::Li => self.asm.put_imm(a, imm.cast_signed()),
            Kind::Move => {
                let from = self.asm.value(b, EAX);
                self.asm.put(a, from);
            }
            Kind::Addu if let (Src::Reg(b), Src::Reg(c)) = (src(b), src(c)) => {
                let to = self.asm.target(a, EAX);
                dynasm!(self.asm.ops; .arch x64; lea Rd(to), [Rq(b) + Rq(c)]);
                self.asm.put(a, to);
            }
            Kind::Addu => self.binary(a, b, src(c), Asm::add, true),
            Kind::Subu => self.binary(a, b, src(c), Asm::sub, false),
            Kind::And => self.binary(a, b, src(c), Asm::and, true),
            Kind::Or => self.binary(a, b, src(c), Asm::or, true),
            Kind::Xor => self.binary(a, b, src(c), Asm::xor, true),
            Kind::Mul => self.binary(a, b, src(c), Asm::imul, true),
            Kind::Nor => {
                self.asm.mov(EAX, src(b));
                self.asm.or(EAX, src(c));
                dynasm!(self.asm.ops; .arch x64; not eax);
                self.asm.put(a, EAX);
            }
            Kind::Addiu => match src(b) {
                Src::Reg(from) if self.asm.target(a, EAX) != from => {
                    let to = self.asm.target(a, EAX);
                    dynasm!(self.asm.ops; .arch x64; lea Rd(to), [Rq(from) + imm.cast_signed()]);
                    self.asm.put(a, to);
                }
                _ => self.binary(a, b, imm_src, Asm::add, true),
            },
            Kind::Andi => self.binary(a, b, imm_src, Asm::and, true),
            Kind::Ori => self.binary(a, b, imm_src, Asm::or, true),
            Kind::Xori => self.binary(a, b, imm_src, Asm::xor, true),
            Kind::Slt => self.compare(a, b, src(c), If::Less),
            Kind::Sltu => self.compare(a, b, src(c), If::Below),
            Kind::Slti => self.compare(a, b, imm_src, If::Less),
            Kind::Sltiu => self.compare(a, b, imm_src, If::Below),
            Kind::Sll | Kind::Srl | Kind::Sra | Kind::Rotr => {
                let to = self.asm.target(a, EAX);
                self.asm.mov(to, src(b));
                self.shift(kind, to, Some((imm & 31) as i8));
                self.asm.put(a, to);
            }
            Kind::Sllv | Kind::Srlv | Kind::Srav | Kind::Rotrv => {
                self.asm.mov(ECX, src(c));
                let to = self.asm.target(a, EAX);
                self.asm.mov(to, src(b));
                self.shift(kind, to, None);
                self.asm.put(a, to);
            }
            Kind::Movn | Kind::Movz => self.conditional_move(inst),
            Kind::Clz | Kind::Clo => {
                self.asm.mov(EAX, src(b));
                if kind == Kind::Clo {
                    dynasm!(self.asm.ops; .arch x64; not eax);
                }
                // BSR leaves the register as it was where there is no bit: 63 ^ 31 is 32.
                dynasm!(self.asm.ops; .arch x64
                    ; mov ecx, 63
                    ; bsr eax, eax
                    ; cmovz eax, ecx
                    ; xor eax, 31
                );
                self.asm.put(a, EAX);
            }
            Kind::Seb => {
                self.asm.mov(EAX, src(b));
                dynasm!(self.asm.ops; .arch x64; movsx eax, al);
                self.asm.put(a, EAX);
            }
            Kind::Seh => {
                self.asm.mov(EAX, src(b));
                dynasm!(self.asm.ops; .arch x64; movsx eax, ax);
                self.asm.put(a, EAX);
            }
            Kind::Wsbh => {
                self.asm.mov(EAX, src(b));
                dynasm!(self.asm.ops; .arch x64; bswap eax; rol eax, 16);
                self.asm.put(a, EAX);
            }
            Kind::Ext => {
                let to = self.asm.target(a, EAX);
                self.asm.mov(to, src(b));
                self.shift(Kind::Srl, to, Some((imm & 31) as i8));
                self.asm.and(to, Src::Imm(imm2.cast_signed()));
                self.asm.put(a, to);
            }
            Kind::Ins => {
                self.asm.mov(ECX, src(b));
                self.shift(Kind::Sll, ECX, Some((imm & 31) as i8));
                self.asm.and(ECX, Src::Imm(imm2.cast_signed()));
                self.asm.mov(EAX, src(c));
                self.asm.and(EAX, Src::Imm(!imm2.cast_signed()));
                self.asm.or(EAX, Src::Reg(ECX));
                self.asm.put(a, EAX);
            }
            Kind::Add => self.checked(inst, src(c), Asm::add),
            Kind::Sub => self.checked(inst, src(c), Asm::sub),
            Kind::Addi => self.checked(inst, imm_src, Asm::add),
            Kind::Mult | Kind::Multu => {
                self.product(inst, kind == Kind::Mult);
                self.asm.put(LO, EAX);
                self.asm.put(HI, EDX);
            }
            Kind::Madd | Kind::Maddu => {
                self.product(inst, kind == Kind::Madd);
                self.asm.add(EAX, src(LO));
                self.asm.adc(EDX, src(HI));
                self.asm.put(LO, EAX);
                self.asm.put(HI, EDX);
            }
            Kind::Div | Kind::Divu => self.divide(inst),
            _ => return false,
        }
        true
    }

    fn binary(&mut self, a: u8, b: u8, c: Src, operation: Binary, commutes: bool) {
        let to = self.asm.target(a, EAX);
        if c == Src::Reg(to) {
            if commutes {
                match src(b) {
                    Src::Imm(_) => {
                        let b = self.asm.value(b, EAX);
                        operation(&mut self.asm, to, Src::Reg(b));
                    }
                    b => operation(&mut self.asm, to, b),
                }
                return;
            }
            self.asm.mov(EAX, src(b));
            operation(&mut self.asm, EAX, c);
            self.asm.put(a, EAX);
            return;
        }
        self.asm.mov(to, src(b));
        operation(&mut self.asm, to, c);
        self.asm.put(a, to);
    }

    fn compare(&mut self, a: u8, b: u8, c: Src, condition: If) {
        let b = self.asm.value(b, EAX);
        self.asm.cmp(b, c);
        self.asm.set_if(condition as u8, EAX);
        self.asm.put(a, EAX);
    }

    fn shift(&mut self, kind: Kind, register: u8, by: Option<i8>) {
        let asm = &mut self.asm;
        match kind {
            Kind::Sll | Kind::Sllv => shifts!(asm, register, by, shl),
            Kind::Srl | Kind::Srlv => shifts!(asm, register, by, shr),
            Kind::Sra | Kind::Srav => shifts!(asm, register, by, sar),
            _ => shifts!(asm, register, by, ror),
        }
    }

    fn conditional_move(&mut self, inst: &Inst) {
        let c = self.asm.value(inst.c, ECX);
        self.asm.test(c, c);
        let over = self.asm.label();
        let stays = if inst.kind == Kind::Movn {
            If::Equal
        } else {
            If::NotEqual
        };
        match (src(inst.a), src(inst.b)) {
            (Src::Reg(a), Src::Reg(b)) if stays == If::Equal => {
                dynasm!(self.asm.ops; .arch x64; cmovnz Rd(a), Rd(b));
            }
            (Src::Reg(a), Src::Reg(b)) => {
                dynasm!(self.asm.ops; .arch x64; cmovz Rd(a), Rd(b));
            }
            _ => {
                self.asm.jump_if(stays as u8, over);
                let b = self.asm.value(inst.b, EAX);
                self.asm.put(inst.a, b);
            }
        }
        self.asm.bind(over);
    }

    /// An addition or subtraction that traps on overflow.
    fn checked(&mut self, inst: &Inst, c: Src, operation: Binary) {
        let slow = self.slow();
        self.asm.mov(EAX, src(inst.b));
        operation(&mut self.asm, EAX, c);
        self.asm.jump_if(If::Overflow as u8, slow.from);
        self.asm.put(inst.a, EAX);
        self.asm.bind(slow.back);
    }

    /// The product in `edx` and `eax`.
    fn product(&mut self, inst: &Inst, signed: bool) {
        self.asm.mov(EAX, src(inst.b));
        let c = self.asm.value(inst.c, EDX);
        if signed {
            dynasm!(self.asm.ops; .arch x64; imul Rd(c));
        } else {
            dynasm!(self.asm.ops; .arch x64; mul Rd(c));
        }
    }

    fn divide(&mut self, inst: &Inst) {
        let slow = self.slow();
        self.asm.mov(ECX, src(inst.c));
        self.asm.test(ECX, ECX);
        self.asm.jump_if(If::Equal as u8, slow.from);
        if inst.kind == Kind::Div {
            // The one quotient that overflows has this divisor.
            self.asm.cmp(ECX, Src::Imm(-1));
            self.asm.jump_if(If::Equal as u8, slow.from);
            self.asm.mov(EAX, src(inst.b));
            dynasm!(self.asm.ops; .arch x64; cdq; idiv ecx);
        } else {
            self.asm.mov(EAX, src(inst.b));
            dynasm!(self.asm.ops; .arch x64; xor edx, edx; div ecx);
        }
        self.asm.put(LO, EAX);
        self.asm.put(HI, EDX);
        self.asm.bind(slow.back);
    }

    /// Compares two general registers; gives the condition, by its number, that says whether `cond` holds.
    pub fn test_registers(&mut self, cond: Cond, b: u8, c: u8) -> u8 {
        let condition = match cond {
            Cond::Eq => If::Equal,
            Cond::Ne => If::NotEqual,
            Cond::Lez => If::LessOrEqual,
            Cond::Gtz => If::Greater,
            Cond::Ltz => If::Less,
            Cond::Gez => If::GreaterOrEqual,
            Cond::FpFalse | Cond::FpTrue => return self.test_fp(cond, b),
        };
        let c = match cond {
            Cond::Eq | Cond::Ne => src(c),
            _ => Src::Imm(0),
        };
        let b = self.asm.value(b, EAX);
        if c == Src::Imm(0) {
            self.asm.test(b, b);
        } else {
            self.asm.cmp(b, c);
        }
        condition as u8
    }
}

/// Whether an instruction does nothing but write register `a`.
fn writes_only_a(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Li
            | Kind::Move
            | Kind::Addu
            | Kind::Subu
            | Kind::And
            | Kind::Or
            | Kind::Xor
            | Kind::Nor
            | Kind::Slt
            | Kind::Sltu
            | Kind::Mul
            | Kind::Sllv
            | Kind::Srlv
            | Kind::Srav
            | Kind::Rotrv
            | Kind::Movn
            | Kind::Movz
            | Kind::Addiu
            | Kind::Slti
            | Kind::Sltiu
            | Kind::Andi
            | Kind::Ori
            | Kind::Xori
            | Kind::Sll
            | Kind::Srl
            | Kind::Sra
            | Kind::Rotr
            | Kind::Clz
            | Kind::Clo
            | Kind::Seb
            | Kind::Seh
            | Kind::Wsbh
            | Kind::Ext
            | Kind::Ins
    )
}

//! Arithmetic, logic and shifts.

use dynasmrt::{DynasmApi, dynasm};

use super::Emitter;
use super::asm::{Binary, EAX, ECX, EDX, If, Rm, Shift, Src};
use crate::ir::{Cond, HI, Inst, Kind, LO, SINK};

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
            Kind::Li | Kind::Move if matches!(a, HI | LO) => {
                let from = match kind {
                    Kind::Li => imm_src,
                    _ => self.asm.src(b),
                };
                self.asm.mov(EAX, from);
                match self.asm.hi_lo() {
                    Some(host) if a == LO => dynasm!(self.asm.ops; .arch x64
                        ; shr Rq(host), 32
                        ; shl Rq(host), 32
                        ; or Rq(host), rax
                    ),
                    Some(host) => dynasm!(self.asm.ops; .arch x64
                        ; shl rax, 32
                        ; mov Rd(host), Rd(host)
                        ; or Rq(host), rax
                    ),
                    None if a == LO => {
                        dynasm!(self.asm.ops; .arch x64; movd xmm0, eax; movss xmm15, xmm0);
                    }
                    None => {
                        dynasm!(self.asm.ops; .arch x64; movd xmm0, eax; punpckldq xmm15, xmm0);
                    }
                }
            }
            Kind::Move if matches!(b, HI | LO) => {
                let to = self.asm.target(a, EAX);
                match self.asm.hi_lo() {
                    Some(host) if b == LO => self.asm.mov(to, Src::Reg(host)),
                    Some(host) => {
                        dynasm!(self.asm.ops; .arch x64; mov Rq(to), Rq(host); shr Rq(to), 32);
                    }
                    None if b == LO => dynasm!(self.asm.ops; .arch x64; movd Rd(to), xmm15),
                    None => {
                        dynasm!(self.asm.ops; .arch x64; movq Rq(to), xmm15; shr Rq(to), 32);
                    }
                }
                self.asm.put(a, to);
            }
            Kind::Li => self.asm.put_imm(a, imm.cast_signed()),
            Kind::Move => match (self.asm.src(a), self.asm.src(b)) {
                (Src::Reg(to), from) => self.asm.mov(to, from),
                (_, Src::Imm(value)) => self.asm.put_imm(a, value),
                _ => {
                    let from = self.asm.value(b, EAX);
                    self.asm.put(a, from);
                }
            },
            Kind::Addu if let (Src::Reg(b), Src::Reg(c)) = (self.asm.src(b), self.asm.src(c)) => {
                let to = self.asm.target(a, EAX);
                self.asm.encode(&[0x8d], to, Rm::Sum(b, c, 0));
                self.asm.put(a, to);
            }
            Kind::Addu => self.binary(a, b, self.asm.src(c), Binary::Add, true),
            Kind::Subu => self.binary(a, b, self.asm.src(c), Binary::Sub, false),
            Kind::And => self.binary(a, b, self.asm.src(c), Binary::And, true),
            Kind::Or => self.binary(a, b, self.asm.src(c), Binary::Or, true),
            Kind::Xor => self.binary(a, b, self.asm.src(c), Binary::Xor, true),
            Kind::Mul => self.binary(a, b, self.asm.src(c), Binary::Imul, true),
            Kind::Nor => {
                self.asm.mov(EAX, self.asm.src(b));
                self.asm.binary(Binary::Or, EAX, self.asm.src(c));
                dynasm!(self.asm.ops; .arch x64; not eax);
                self.asm.put(a, EAX);
            }
            Kind::Addiu => match self.asm.src(b) {
                Src::Reg(from) if self.asm.target(a, EAX) != from => {
                    let to = self.asm.target(a, EAX);
                    self.asm.lea(to, from, imm.cast_signed());
                    self.asm.put(a, to);
                }
                _ => self.binary(a, b, imm_src, Binary::Add, true),
            },
            Kind::Andi => self.binary(a, b, imm_src, Binary::And, true),
            Kind::Ori => self.binary(a, b, imm_src, Binary::Or, true),
            Kind::Xori => self.binary(a, b, imm_src, Binary::Xor, true),
            Kind::Slt => self.compare(a, b, self.asm.src(c), If::Less),
            Kind::Sltu => self.compare(a, b, self.asm.src(c), If::Below),
            Kind::Slti => self.compare(a, b, imm_src, If::Less),
            Kind::Sltiu => self.compare(a, b, imm_src, If::Below),
            Kind::Sll | Kind::Srl | Kind::Sra | Kind::Rotr => {
                let to = self.asm.target(a, EAX);
                self.asm.mov(to, self.asm.src(b));
                self.shift(kind, to, Some((imm & 31) as u8));
                self.asm.put(a, to);
            }
            Kind::Sllv | Kind::Srlv | Kind::Srav | Kind::Rotrv => {
                self.asm.mov(ECX, self.asm.src(c));
                let to = self.asm.target(a, EAX);
                self.asm.mov(to, self.asm.src(b));
                self.shift(kind, to, None);
                self.asm.put(a, to);
            }
            Kind::Movn | Kind::Movz => self.conditional_move(inst),
            Kind::Clz | Kind::Clo => {
                self.asm.mov(EAX, self.asm.src(b));
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
                self.asm.mov(EAX, self.asm.src(b));
                dynasm!(self.asm.ops; .arch x64; movsx eax, al);
                self.asm.put(a, EAX);
            }
            Kind::Seh => {
                self.asm.mov(EAX, self.asm.src(b));
                dynasm!(self.asm.ops; .arch x64; movsx eax, ax);
                self.asm.put(a, EAX);
            }
            Kind::Wsbh => {
                self.asm.mov(EAX, self.asm.src(b));
                dynasm!(self.asm.ops; .arch x64; bswap eax; rol eax, 16);
                self.asm.put(a, EAX);
            }
            Kind::Ext => {
                let to = self.asm.target(a, EAX);
                self.asm.mov(to, self.asm.src(b));
                self.shift(Kind::Srl, to, Some((imm & 31) as u8));
                self.asm
                    .binary(Binary::And, to, Src::Imm(imm2.cast_signed()));
                self.asm.put(a, to);
            }
            Kind::Ins => {
                self.asm.mov(ECX, self.asm.src(b));
                self.shift(Kind::Sll, ECX, Some((imm & 31) as u8));
                self.asm
                    .binary(Binary::And, ECX, Src::Imm(imm2.cast_signed()));
                self.asm.mov(EAX, self.asm.src(c));
                self.asm
                    .binary(Binary::And, EAX, Src::Imm(!imm2.cast_signed()));
                self.asm.binary(Binary::Or, EAX, Src::Reg(ECX));
                self.asm.put(a, EAX);
            }
            Kind::Add => self.checked(inst, self.asm.src(c), Binary::Add),
            Kind::Sub => self.checked(inst, self.asm.src(c), Binary::Sub),
            Kind::Addi => self.checked(inst, imm_src, Binary::Add),
            Kind::Mult | Kind::Multu => {
                self.product(inst, kind == Kind::Mult);
                self.put_hi_lo();
            }
            Kind::Madd | Kind::Maddu => {
                self.product(inst, kind == Kind::Madd);
                match self.asm.hi_lo() {
                    Some(host) => dynasm!(self.asm.ops; .arch x64; add Rq(host), rax),
                    None => dynasm!(self.asm.ops; .arch x64; movq xmm0, rax; paddq xmm15, xmm0),
                }
            }
            Kind::Msub | Kind::Msubu => {
                self.product(inst, kind == Kind::Msub);
                match self.asm.hi_lo() {
                    Some(host) => dynasm!(self.asm.ops; .arch x64; sub Rq(host), rax),
                    None => dynasm!(self.asm.ops; .arch x64; movq xmm0, rax; psubq xmm15, xmm0),
                }
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
                match self.asm.src(b) {
                    Src::Imm(_) => {
                        let b = self.asm.value(b, EAX);
                        self.asm.binary(operation, to, Src::Reg(b));
                    }
                    b => self.asm.binary(operation, to, b),
                }
                return;
            }
            self.asm.mov(EAX, self.asm.src(b));
            self.asm.binary(operation, EAX, c);
            self.asm.put(a, EAX);
            return;
        }
        let (b, c) = match c {
            // What is in `eax` first.
            _ if commutes && self.asm.is_held(c) && self.asm.src(b) != Src::Reg(to) => {
                (c, self.asm.src(b))
            }
            _ => (self.asm.src(b), c),
        };
        self.asm.mov(to, b);
        self.asm.binary(operation, to, c);
        self.asm.put(a, to);
    }

    fn compare(&mut self, a: u8, b: u8, c: Src, condition: If) {
        match self.asm.src(a) {
            // Where it is not compared itself, the register is cleared first, as only its lowest byte is set.
            Src::Reg(to) if self.asm.src(b) != Src::Reg(to) && c != Src::Reg(to) => {
                let b = self.asm.value(b, EAX);
                self.asm.mov(to, Src::Imm(0));
                self.asm.binary(Binary::Cmp, b, c);
                self.asm.set_byte_if(condition as u8, to);
            }
            _ => {
                let b = self.asm.value(b, EAX);
                self.asm.binary(Binary::Cmp, b, c);
                self.asm.set_if(condition as u8, EAX);
                self.asm.put(a, EAX);
            }
        }
    }

    /// Makes a comparison again, so that a branch need not wait for its result. Gives the condition that says whether it holds;
    /// `None`, with nothing emitted, if an operand would have to be read first.
    fn compare_again(&mut self, inst: &Inst) -> Option<u8> {
        let signed = matches!(inst.kind, Kind::Slt | Kind::Slti);
        let c = match inst.kind {
            Kind::Slt | Kind::Sltu => self.asm.src(inst.c),
            _ => Src::Imm(inst.imm.cast_signed()),
        };
        let (left, right, condition) = match (self.asm.src(inst.b), c) {
            (Src::Reg(b), c) if signed => (b, c, If::Less),
            (Src::Reg(b), c) => (b, c, If::Below),
            (b, Src::Reg(c)) if signed => (c, b, If::Greater),
            (b, Src::Reg(c)) => (c, b, If::Above),
            _ => return None,
        };
        self.asm.binary(Binary::Cmp, left, right);
        Some(condition as u8)
    }

    fn shift(&mut self, kind: Kind, register: u8, by: Option<u8>) {
        let shift = match kind {
            Kind::Sll | Kind::Sllv => Shift::Shl,
            Kind::Srl | Kind::Srlv => Shift::Shr,
            Kind::Sra | Kind::Srav => Shift::Sar,
            _ => Shift::Ror,
        };
        self.asm.shift(shift, register, by);
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
        match (self.asm.src(inst.a), self.asm.src(inst.b)) {
            (Src::Reg(a), Src::Reg(b)) if stays == If::Equal => {
                self.asm.encode(&[0x0f, 0x45], a, Rm::Reg(b));
            }
            (Src::Reg(a), Src::Reg(b)) => {
                self.asm.encode(&[0x0f, 0x44], a, Rm::Reg(b));
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
        self.asm.mov(EAX, self.asm.src(inst.b));
        self.asm.binary(operation, EAX, c);
        self.asm.jump_if(If::Overflow as u8, slow.from);
        self.asm.put(inst.a, EAX);
        self.back(slow);
    }

    /// The product in `rax`.
    fn product(&mut self, inst: &Inst, signed: bool) {
        if signed {
            let b = self.asm.value(inst.b, EAX);
            dynasm!(self.asm.ops; .arch x64; movsxd rax, Rd(b));
            let c = self.asm.value(inst.c, EDX);
            dynasm!(self.asm.ops; .arch x64; movsxd rdx, Rd(c); imul rax, rdx);
        } else {
            // What is computed on 32 bits is zero above them.
            self.asm.mov(EAX, self.asm.src(inst.b));
            let c = self.asm.value(inst.c, EDX);
            dynasm!(self.asm.ops; .arch x64; imul rax, Rq(c));
        }
    }

    /// Gives HI and LO the value in `rax`.
    fn put_hi_lo(&mut self) {
        match self.asm.hi_lo() {
            Some(host) => dynasm!(self.asm.ops; .arch x64; mov Rq(host), rax),
            None => dynasm!(self.asm.ops; .arch x64; movq xmm15, rax),
        }
    }

    fn divide(&mut self, inst: &Inst) {
        let slow = self.slow();
        self.asm.mov(ECX, self.asm.src(inst.c));
        self.asm.test(ECX, ECX);
        self.asm.jump_if(If::Equal as u8, slow.from);
        if inst.kind == Kind::Div {
            // The one quotient that overflows has this divisor.
            self.asm.binary(Binary::Cmp, ECX, Src::Imm(-1));
            self.asm.jump_if(If::Equal as u8, slow.from);
            self.asm.mov(EAX, self.asm.src(inst.b));
            dynasm!(self.asm.ops; .arch x64; cdq; idiv ecx);
        } else {
            self.asm.mov(EAX, self.asm.src(inst.b));
            dynasm!(self.asm.ops; .arch x64; xor edx, edx; div ecx);
        }
        dynasm!(self.asm.ops; .arch x64; shl rdx, 32; or rax, rdx);
        self.put_hi_lo();
        self.back(slow);
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
        if matches!(cond, Cond::Eq | Cond::Ne)
            && c == 0
            && let Some(inst) = self.known.compared(b)
            && let Some(holds) = self.compare_again(&inst)
        {
            return match cond {
                Cond::Ne => holds,
                _ => holds ^ 1,
            };
        }
        let c = match cond {
            Cond::Eq | Cond::Ne => self.asm.src(c),
            _ => Src::Imm(0),
        };
        let b = self.asm.value(b, EAX);
        if c == Src::Imm(0) {
            self.asm.test(b, b);
        } else {
            self.asm.binary(Binary::Cmp, b, c);
        }
        condition as u8
    }
}

/// Whether an instruction does nothing but write register `a`.
pub fn writes_only_a(kind: Kind) -> bool {
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

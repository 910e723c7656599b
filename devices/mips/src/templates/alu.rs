//! Arithmetic, logic and shifts.

use solderless_engine::Src;
use solderless_engine::host::{self, Assembler, Binary, Extend, If, Reg, Shift, Size, T0, T1, T2};

use super::{Emitter, flow, slow, width};
use crate::ir::{Cond, End, HI, Inst, Kind, LO, SINK, Step};
use crate::width::Width;

/// Emits an instruction of this family; false if it is of another. What a CPU of 64 bits makes of those on 32 is in `wide`.
pub fn emit<W: Width, A: Assembler>(e: &mut Emitter<'_, A, W>, inst: &Inst) -> bool {
    let Inst {
        kind,
        a,
        b,
        c,
        imm,
        imm2,
    } = *inst;
    let imm_src = Src::Imm(imm.cast_signed());
    let asm = &mut e.asm;
    if a == SINK && writes_only_a(kind) {
        return true;
    }
    match kind {
        Kind::Nop => {}
        Kind::Li | Kind::Move if matches!(a, HI | LO) => {
            let from = match kind {
                Kind::Li => imm_src,
                _ => asm.src(b),
            };
            asm.set(T0, from);
            let pair = asm.pair();
            match a {
                LO => asm.put_low(pair),
                _ => asm.put_high(pair),
            }
        }
        Kind::Move if matches!(b, HI | LO) => {
            let to = asm.target(a, T0);
            let pair = asm.pair();
            match b {
                LO => asm.get_low(to, pair),
                _ => asm.get_high(to, pair),
            }
            asm.put(a, to);
        }
        Kind::Li => asm.put_imm(a, imm.cast_signed()),
        Kind::Move => match asm.place_of(b) {
            Src::Imm(value) => asm.put_imm(a, value),
            _ => {
                let to = asm.target(a, T0);
                let from = asm.value(b, to);
                asm.put(a, from);
            }
        },
        Kind::Addu if let (Src::Reg(_), Src::Reg(_)) = (asm.place_of(b), asm.place_of(c)) => {
            let (b, c) = (asm.value(b, T0), asm.value(c, T0));
            let to = asm.target(a, T0);
            asm.add_registers(to, b, c);
            asm.put(a, to);
        }
        Kind::Subu if asm.place_of(b) == Src::Imm(0) => {
            let to = asm.target(a, T0);
            asm.set(to, asm.src(c));
            asm.negate(host::Width::W32, to);
            asm.put(a, to);
        }
        Kind::Addu => asm.combine(Binary::Add, a, b, asm.src(c), true),
        Kind::Subu => asm.combine(Binary::Sub, a, b, asm.src(c), false),
        Kind::And => asm.combine(Binary::And, a, b, asm.src(c), true),
        Kind::Or => asm.combine(Binary::Or, a, b, asm.src(c), true),
        Kind::Xor => asm.combine(Binary::Xor, a, b, asm.src(c), true),
        Kind::Mul => asm.combine(Binary::Mul, a, b, asm.src(c), true),
        Kind::Nor => {
            asm.set(T0, asm.src(b));
            asm.op(Binary::Or, T0, asm.src(c));
            asm.not(width::<W>(), T0);
            asm.put(a, T0);
        }
        Kind::Addiu => match asm.place_of(b) {
            Src::Reg(from) if asm.target(a, T0) != from => {
                let (to, from) = (asm.target(a, T0), asm.value(b, T0));
                asm.add_number(to, from, imm.cast_signed());
                asm.put(a, to);
            }
            _ => asm.combine(Binary::Add, a, b, imm_src, true),
        },
        Kind::Andi => asm.combine(Binary::And, a, b, imm_src, true),
        Kind::Ori => asm.combine(Binary::Or, a, b, imm_src, true),
        Kind::Xori => asm.combine(Binary::Xor, a, b, imm_src, true),
        Kind::Slt => compare(e, inst, e.asm.src(c), If::Less),
        Kind::Sltu => compare(e, inst, e.asm.src(c), If::Below),
        Kind::Slti => compare(e, inst, imm_src, If::Less),
        Kind::Sltiu => compare(e, inst, imm_src, If::Below),
        Kind::Sll | Kind::Srl | Kind::Sra | Kind::Rotr => {
            let to = asm.target(a, T0);
            asm.set(to, asm.src(b));
            asm.shift_by(shift(kind), to, Some((imm & 31) as u8));
            asm.put(a, to);
        }
        Kind::Sllv | Kind::Srlv | Kind::Srav | Kind::Rotrv => {
            asm.set(T1, asm.src(c));
            let to = asm.target(a, T0);
            asm.set(to, asm.src(b));
            asm.shift_by(shift(kind), to, None);
            asm.put(a, to);
        }
        Kind::Movn | Kind::Movz => conditional_move(e, inst),
        Kind::Clz | Kind::Clo => {
            asm.set(T0, asm.src(b));
            if kind == Kind::Clo {
                asm.not(host::Width::W32, T0);
            }
            asm.leading_zeros(host::Width::W32);
            asm.put(a, T0);
        }
        Kind::Seb | Kind::Seh => {
            asm.set(T0, asm.src(b));
            let size = match kind {
                Kind::Seb => Size::B1,
                _ => Size::B2,
            };
            asm.extend(size, Extend::Sign, T0, T0);
            asm.put(a, T0);
        }
        Kind::Wsbh => {
            asm.set(T0, asm.src(b));
            asm.swap_in_halves(T0);
            asm.put(a, T0);
        }
        Kind::Ext => {
            let to = asm.target(a, T0);
            asm.set(to, asm.src(b));
            asm.shift_by(Shift::Shr, to, Some((imm & 31) as u8));
            asm.op(Binary::And, to, Src::Imm(imm2.cast_signed()));
            asm.put(a, to);
        }
        Kind::Ins => {
            asm.set(T1, asm.src(b));
            asm.shift_by(Shift::Shl, T1, Some((imm & 31) as u8));
            asm.op(Binary::And, T1, Src::Imm(imm2.cast_signed()));
            asm.set(T0, asm.src(c));
            asm.op(Binary::And, T0, Src::Imm(!imm2.cast_signed()));
            asm.op(Binary::Or, T0, Src::Reg(T1));
            asm.put(a, T0);
        }
        Kind::Add => checked(e, inst, e.asm.src(c), Binary::Add),
        Kind::Sub => checked(e, inst, e.asm.src(c), Binary::Sub),
        Kind::Addi => checked(e, inst, imm_src, Binary::Add),
        Kind::Mult | Kind::Multu => {
            product(e, inst, kind == Kind::Mult);
            let pair = e.asm.pair();
            e.asm.put_pair(pair);
        }
        Kind::Madd | Kind::Maddu => {
            product(e, inst, kind == Kind::Madd);
            let pair = e.asm.pair();
            e.asm.add_pair(pair);
        }
        Kind::Msub | Kind::Msubu => {
            product(e, inst, kind == Kind::Msub);
            let pair = e.asm.pair();
            e.asm.sub_pair(pair);
        }
        Kind::Div | Kind::Divu => divide(e, inst),
        _ => return false,
    }
    true
}

fn compare<W: Width, A: Assembler>(e: &mut Emitter<'_, A, W>, inst: &Inst, c: Src, condition: If) {
    let asm = &mut e.asm;
    let (a, b) = (inst.a, inst.b);
    let kept = kept(inst).filter(|_| e.known.latched.is_none());
    let (left, right) = match kept {
        Some(Operand::Left) => {
            asm.set(KEPT, asm.src(b));
            (KEPT, c)
        }
        Some(Operand::Right) => {
            asm.set(KEPT, c);
            (asm.value(b, T0), Src::Reg(KEPT))
        }
        None => (asm.value(b, T0), c),
    };
    match asm.place_of(a) {
        // Where it is not compared itself, the register is cleared first, as only its lowest byte is set.
        Src::Reg(to) if left != to && right != Src::Reg(to) => {
            asm.set(to, Src::Imm(0));
            asm.op(Binary::Cmp, left, right);
            asm.set_byte_if(condition, to);
            asm.wrote(a);
        }
        _ => {
            let to = asm.target(a, T0);
            asm.op(Binary::Cmp, left, right);
            asm.set_byte_if(condition, T0);
            asm.extend(Size::B1, Extend::Zero, to, T0);
            asm.put(a, to);
        }
    }
}

/// An operand of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operand {
    Left,
    Right,
}

/// Where a value is kept that a register has lost, for the branch at the end of the block: no template of an instruction that
/// [`writes_only_a`] uses it for anything else.
pub const KEPT: Reg = T2;

/// The operand whose place a comparison's result takes, if it is one of the two.
pub fn kept(inst: &Inst) -> Option<Operand> {
    let right = matches!(inst.kind, Kind::Slt | Kind::Sltu) && inst.a == inst.c;
    match (inst.a == inst.b, right) {
        (true, false) => Some(Operand::Left),
        (false, true) => Some(Operand::Right),
        _ => None,
    }
}

/// How a comparison is made again, so that a branch need not wait for its result: what is compared, and the condition that says
/// whether it holds. `None` if an operand would have to be read first.
fn made_again<W: Width, A: Assembler>(
    e: &Emitter<'_, A, W>,
    inst: &Inst,
    kept: Option<Operand>,
) -> Option<(Reg, Src, If)> {
    let asm = &e.asm;
    let signed = matches!(inst.kind, Kind::Slt | Kind::Slti);
    let b = match kept {
        Some(Operand::Left) => Src::Reg(KEPT),
        _ => asm.place_of(inst.b),
    };
    let c = match inst.kind {
        Kind::Slt | Kind::Sltu if kept == Some(Operand::Right) => Src::Reg(KEPT),
        Kind::Slt | Kind::Sltu => asm.place_of(inst.c),
        _ => Src::Imm(inst.imm.cast_signed()),
    };
    match (b, c) {
        (Src::Reg(b), c) if signed => Some((b, c, If::Less)),
        (Src::Reg(b), c) => Some((b, c, If::Below)),
        (b, Src::Reg(c)) if signed => Some((c, b, If::Greater)),
        (b, Src::Reg(c)) => Some((c, b, If::Above)),
        _ => None,
    }
}

/// The comparison whose result a branch tests, as far as that is all it tests and it can be made again at the branch, behind
/// the instruction in its slot if that is given.
pub fn compared<W: Width, A: Assembler>(
    e: &Emitter<'_, A, W>,
    (cond, b, c): (Cond, u8, u8),
    slot: Option<&Inst>,
) -> Option<Inst> {
    let is_tested = matches!(cond, Cond::Eq | Cond::Ne) && c == 0;
    let inst = e.known.registers.compared(b).filter(|_| is_tested)?;
    made_again(e, &inst, kept(&inst))?;
    let stays = slot.is_none_or(|slot| !disturbs(slot, &inst));
    stays.then_some(inst)
}

/// Whether an instruction writes an operand of a comparison that is not [`kept`].
fn disturbs(inst: &Inst, compares: &Inst) -> bool {
    let kept = kept(compares);
    let right = matches!(compares.kind, Kind::Slt | Kind::Sltu) && inst.a == compares.c;
    inst.a == compares.b && kept != Some(Operand::Left) || right && kept != Some(Operand::Right)
}

/// Leaves a comparison to the branch at the end of the block, if nothing before that can see its result: where the branch leads
/// it is known. False if that cannot be, or it is another instruction.
pub fn leave_to_branch<W: Width, A: Assembler>(
    e: &mut Emitter<'_, A, W>,
    inst: &Inst,
    behind: &[Step],
    end: End,
) -> bool {
    if !is_comparison(inst.kind) || inst.a == SINK {
        return false;
    }
    let kept = match kept(inst) {
        None if inst.a == inst.b || inst.a == inst.c => return false,
        // What is in memory was most often just read, or computed, and would have to be waited for.
        None if matches!(e.asm.place_of(inst.b), Src::Mem(_)) => Some(Operand::Left),
        None if matches!(inst.kind, Kind::Slt | Kind::Sltu)
            && matches!(e.asm.place_of(inst.c), Src::Mem(_)) =>
        {
            Some(Operand::Right)
        }
        kept => kept,
    };
    let tests = |cond, b, c| matches!(cond, Cond::Eq | Cond::Ne) && b == inst.a && c == 0;
    let (between, told) = match (end, behind) {
        (End::Branch { cond, b, c, .. }, between) if tests(cond, b, c) => (between, true),
        // The instruction in the slot writes the register, so nobody sees what was in it.
        (End::Latched { .. }, [between @ .., latch, slot])
            if let Kind::Latch(cond) = latch.inst.kind
                && tests(cond, latch.inst.b, latch.inst.c)
                && slot.inst.a == inst.a
                && is_beside(&slot.inst, inst) =>
        {
            (between, false)
        }
        _ => return false,
    };
    // A latch looks for the comparison itself, and for no operand that is kept but one whose place the result takes.
    let kept = if told { kept } else { self::kept(inst) };
    if made_again(e, inst, kept).is_none() {
        return false;
    }
    if !between
        .iter()
        .all(|step| ![inst.a, inst.b, inst.c].contains(&step.inst.a) && is_beside(&step.inst, inst))
    {
        return false;
    }
    match kept {
        Some(Operand::Left) => e.asm.set(KEPT, e.asm.src(inst.b)),
        Some(Operand::Right) => e.asm.set(KEPT, e.asm.src(inst.c)),
        None => {}
    }
    e.known.told = told.then_some((*inst, kept));
    true
}

/// Whether an instruction has nothing to do with a comparison that is yet to be made, and cannot be left.
fn is_beside(inst: &Inst, compares: &Inst) -> bool {
    let plain = writes_only_a(inst.kind) && !is_comparison(inst.kind);
    plain && ![inst.b, inst.c].contains(&compares.a) && !disturbs(inst, compares)
}

fn is_comparison(kind: Kind) -> bool {
    matches!(kind, Kind::Slt | Kind::Sltu | Kind::Slti | Kind::Sltiu)
}

/// Makes a comparison again, where an operand may be [`KEPT`]; gives the condition that says whether `cond` holds of its result.
pub fn compare_again<W: Width, A: Assembler>(
    e: &mut Emitter<'_, A, W>,
    inst: &Inst,
    kept: Option<Operand>,
    cond: Cond,
) -> If {
    let Some((left, right, holds)) = made_again(e, inst, kept) else {
        // Whoever asks has asked whether it can be made again first.
        return If::Equal;
    };
    for register in [inst.b, inst.c].into_iter().filter(|r| *r != inst.a) {
        e.asm.src(register);
    }
    e.asm.op(Binary::Cmp, left, right);
    match cond {
        Cond::Ne => holds,
        _ => !holds,
    }
}

fn shift(kind: Kind) -> Shift {
    match kind {
        Kind::Sll | Kind::Sllv => Shift::Shl,
        Kind::Srl | Kind::Srlv => Shift::Shr,
        Kind::Sra | Kind::Srav => Shift::Sar,
        _ => Shift::Ror,
    }
}

fn conditional_move<W: Width, A: Assembler>(e: &mut Emitter<'_, A, W>, inst: &Inst) {
    let asm = &mut e.asm;
    let c = asm.value(inst.c, T1);
    asm.test_zero(c);
    let over = asm.label();
    let moves = match inst.kind {
        Kind::Movn => If::NotEqual,
        _ => If::Equal,
    };
    match (asm.place_of(inst.a), asm.place_of(inst.b)) {
        (Src::Reg(a), Src::Reg(b)) => {
            asm.move_if(width::<W>(), moves, a, b);
            asm.src(inst.b);
            asm.wrote(inst.a);
        }
        _ => {
            asm.jump_if(!moves, over);
            let b = asm.value(inst.b, T0);
            asm.put(inst.a, b);
        }
    }
    asm.bind(over);
}

/// An addition or subtraction that traps on overflow.
fn checked<W: Width, A: Assembler>(
    e: &mut Emitter<'_, A, W>,
    inst: &Inst,
    c: Src,
    operation: Binary,
) {
    let slow = slow(e);
    let asm = &mut e.asm;
    asm.set(T0, asm.src(inst.b));
    asm.op(operation, T0, c);
    asm.jump_if(If::Overflow, slow.from);
    asm.put(inst.a, T0);
    e.back(slow);
}

/// The product of 64 bits, in the first scratch register.
fn product<W: Width, A: Assembler>(e: &mut Emitter<'_, A, W>, inst: &Inst, signed: bool) {
    let asm = &mut e.asm;
    let times = if signed {
        let b = asm.value(inst.b, T0);
        asm.extend(Size::B4, Extend::SignWide, T0, b);
        let c = asm.value(inst.c, T2);
        asm.extend(Size::B4, Extend::SignWide, T2, c);
        T2
    } else {
        // What is computed on 32 bits is zero above them.
        asm.set(T0, asm.src(inst.b));
        asm.value(inst.c, T2)
    };
    asm.binary(host::Width::W64, Binary::Mul, T0, host::Operand::Reg(times));
}

fn divide<W: Width, A: Assembler>(e: &mut Emitter<'_, A, W>, inst: &Inst) {
    let slow = slow(e);
    let asm = &mut e.asm;
    asm.set(T1, asm.src(inst.c));
    asm.test_zero(T1);
    asm.jump_if(If::Equal, slow.from);
    let signed = inst.kind == Kind::Div;
    if signed {
        // The one quotient that overflows has this divisor.
        asm.op(Binary::Cmp, T1, Src::Imm(-1));
        asm.jump_if(If::Equal, slow.from);
    }
    asm.set(T0, asm.src(inst.b));
    asm.divide(host::Width::W32, signed);
    asm.join();
    let pair = asm.pair();
    asm.put_pair(pair);
    e.back(slow);
}

/// Compares two general registers; gives the condition that says whether `cond` holds.
pub fn test_registers<W: Width, A: Assembler>(
    e: &mut Emitter<'_, A, W>,
    cond: Cond,
    b: u8,
    c: u8,
) -> If {
    if let Some(inst) = compared(e, (cond, b, c), None) {
        return compare_again(e, &inst, kept(&inst), cond);
    }
    test(e, (cond, b, c), None)
}

/// The same, where the value of a register that is to be tested may have been [`KEPT`].
pub fn test<W: Width, A: Assembler>(
    e: &mut Emitter<'_, A, W>,
    (cond, b, c): (Cond, u8, u8),
    kept: Option<u8>,
) -> If {
    let condition = match cond {
        Cond::Eq => If::Equal,
        Cond::Ne => If::NotEqual,
        Cond::Lez => If::LessOrEqual,
        Cond::Gtz => If::Greater,
        Cond::Ltz => If::Less,
        Cond::Gez => If::GreaterOrEqual,
        Cond::FpFalse | Cond::FpTrue => return flow::test_fp(e, cond, b),
    };
    let asm = &mut e.asm;
    let equal = matches!(cond, Cond::Eq | Cond::Ne);
    let c = match equal {
        true if kept == Some(c) => Src::Reg(KEPT),
        true => asm.src(c),
        false => Src::Imm(0),
    };
    let b = match kept == Some(b) {
        true => KEPT,
        false => asm.value(b, T0),
    };
    match c {
        Src::Imm(0) if equal => asm.test_if_zero(b),
        Src::Imm(0) => asm.test_zero(b),
        c => asm.op(Binary::Cmp, b, c),
    }
    condition
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
            | Kind::Daddu
            | Kind::Dsubu
            | Kind::Daddiu
            | Kind::Dsllv
            | Kind::Dsrlv
            | Kind::Dsrav
            | Kind::Drotrv
            | Kind::Dsll
            | Kind::Dsrl
            | Kind::Dsra
            | Kind::Drotr
            | Kind::Dclz
            | Kind::Dclo
            | Kind::Dsbh
            | Kind::Dshd
            | Kind::Dext
            | Kind::Dins
    )
}

//! The x87 floating point unit.
//!
//! Intel SDM, volume 1, chapter 8.

mod moves;

use iced_x86::Mnemonic;
use solderless_float::Rounding;
use solderless_float::{Class, Env, Extended, Flags, Format, Outcome, Quotient, Relation};
use solderless_model::Cx;

use self::moves::{
    constant, load, load_decimal, store, store_decimal, store_integer, store_unchecked,
};
use super::{Handler, Op, Step};
use crate::core::{CS, Core, RAX, cr0, flag};
use crate::fpu::{Fpu, X87, exceptions, indefinite, one, status};
use crate::inst::{Inst, Operand};
use crate::trap::{Fault, vector};

pub fn handler(inst: &Inst) -> Option<Handler> {
    use Mnemonic::*;
    Some(match inst.mnemonic {
        Fld | Fild => load,
        Fbld => load_decimal,
        Fst => store::<0>,
        Fstp => store::<1>,
        Fstpnce => store_unchecked,
        Fist => store_integer::<0, false>,
        Fistp => store_integer::<1, false>,
        Fisttp => store_integer::<1, true>,
        Fbstp => store_decimal,
        Fld1 | Fldl2t | Fldl2e | Fldpi | Fldlg2 | Fldln2 | Fldz => constant,
        Fadd | Fiadd => arithmetic::<ADD, 0>,
        Faddp => arithmetic::<ADD, 1>,
        Fmul | Fimul => arithmetic::<MUL, 0>,
        Fmulp => arithmetic::<MUL, 1>,
        Fsub | Fisub => arithmetic::<SUB, 0>,
        Fsubp => arithmetic::<SUB, 1>,
        Fsubr | Fisubr => arithmetic::<SUBR, 0>,
        Fsubrp => arithmetic::<SUBR, 1>,
        Fdiv | Fidiv => arithmetic::<DIV, 0>,
        Fdivp => arithmetic::<DIV, 1>,
        Fdivr | Fidivr => arithmetic::<DIVR, 0>,
        Fdivrp => arithmetic::<DIVR, 1>,
        Fcom | Ficom => compare::<0, true>,
        Fcomp | Ficomp => compare::<1, true>,
        Fcompp => compare::<2, true>,
        Fucom => compare::<0, false>,
        Fucomp => compare::<1, false>,
        Fucompp => compare::<2, false>,
        Fcomi => compare_flags::<0, true>,
        Fcomip => compare_flags::<1, true>,
        Fucomi => compare_flags::<0, false>,
        Fucomip => compare_flags::<1, false>,
        Ftst => test,
        Fxam => examine,
        Fabs => sign::<true>,
        Fchs => sign::<false>,
        Fxch => exchange,
        Fcmovb | Fcmove | Fcmovbe | Fcmovu | Fcmovnb | Fcmovne | Fcmovnbe | Fcmovnu => move_if,
        Fsqrt => unary::<SQRT>,
        Frndint => unary::<ROUND>,
        F2xm1 => unary::<EXP2>,
        Fsin => angle::<SIN>,
        Fcos => angle::<COS>,
        Fsincos => angle::<BOTH>,
        Fptan => angle::<TAN>,
        Fpatan => two::<ATAN>,
        Fyl2x => two::<LOG>,
        Fyl2xp1 => two::<LOG1>,
        Fscale => scale,
        Fprem => remainder::<false>,
        Fprem1 => remainder::<true>,
        Fxtract => extract,
        Ffree => free::<0>,
        Ffreep => free::<1>,
        Fincstp => turn::<1>,
        Fdecstp => turn::<7>,
        Fnop => nothing,
        Fninit => init,
        Fnclex => clear,
        Fneni | Fndisi | Fnsetpm | Frstpm => ignored,
        Fnstcw => store_control,
        Fldcw => load_control,
        Fnstsw => store_status,
        _ => return None,
    })
}

const ADD: u8 = 0;
const MUL: u8 = 1;
const SUB: u8 = 2;
const SUBR: u8 = 3;
const DIV: u8 = 4;
const DIVR: u8 = 5;

const SQRT: u8 = 0;
const ROUND: u8 = 1;
const EXP2: u8 = 2;

const SIN: u8 = 0;
const COS: u8 = 1;
const BOTH: u8 = 2;
const TAN: u8 = 3;

const ATAN: u8 = 0;
const LOG: u8 = 1;
const LOG1: u8 = 2;

impl Core {
    /// The unit is there.
    ///
    /// # Errors
    /// CR0 says that it is not, or that it has another task's state.
    pub fn has_fpu(&self) -> Step {
        match self.is(cr0::EM | cr0::TS) {
            true => Err(Fault::plain(vector::NM).into()),
            false => Ok(()),
        }
    }

    /// Nothing is pending of instructions before.
    ///
    /// # Errors
    /// The exception that is, if it is one of the CPU and not an interrupt.
    pub fn fpu_ready(&mut self, cx: &mut Cx<'_>) -> Step {
        if self.fpu.status & status::ES == 0 {
            return Ok(());
        }
        if self.is(cr0::NE) {
            return Err(Fault::plain(vector::MF).into());
        }
        self.drive_ferr(cx, true);
        Ok(())
    }

    /// What is pending may be no more.
    pub fn fpu_settled(&mut self, cx: &mut Cx<'_>) {
        if self.fpu.status & status::ES == 0 {
            self.drive_ferr(cx, false);
        }
    }

    /// An instruction begins that is no control instruction.
    fn begin_fpu(&mut self, cx: &mut Cx<'_>) -> Step {
        self.has_fpu()?;
        self.fpu_ready(cx)
    }

    /// Notes it, for who handles what it raises.
    fn note_fpu(&mut self, op: &Op) {
        self.fpu.ip = self.ip_of(self.pc_of(op));
        self.fpu.cs = self.seg(CS).selector;
        self.fpu.opcode = op.inst.imm2;
        let memory = op.inst.ops.iter().any(|o| matches!(o, Operand::Mem(_)));
        if memory {
            self.fpu.dp = self.offset(op);
            self.fpu.ds = self.seg(op.inst.memory.segment).selector;
        }
    }
}

impl Fpu {
    /// An empty register was read, or one that is not was to be pushed to; says whether the indefinite number is the result.
    fn stack_fault(&mut self, overflow: bool) -> bool {
        self.status &= !status::C1;
        if overflow {
            self.status |= status::C1;
        }
        !self.raise(status::IE | status::SF)
    }

    /// Notes what an operation raised; says whether there is a result.
    fn note(&mut self, flags: Flags) -> bool {
        self.status &= !status::C1;
        let raised = exceptions(flags);
        let before = status::IE | status::DE | status::ZE;
        if raised & before & !self.control != 0 {
            self.raise(raised & before);
            return false;
        }
        if flags.has(Flags::ROUNDED_UP) {
            self.status |= status::C1;
        }
        self.raise(raised);
        true
    }

    /// Pushes a value.
    fn push(&mut self, value: u128) {
        if !self.is_empty(7) {
            if self.stack_fault(true) {
                self.set_top(self.top().wrapping_sub(1));
                self.set_st(0, indefinite());
            }
            return;
        }
        self.status &= !status::C1;
        self.set_top(self.top().wrapping_sub(1));
        self.set_st(0, value);
    }

    /// As [`Fpu::env`], for a result in a register.
    fn env_to_register(&self) -> Env {
        Env {
            wraps: (
                self.control & status::OE == 0,
                self.control & status::UE == 0,
            ),
            ..self.env()
        }
    }

    /// Sets a register to a result, and takes so many from the stack.
    fn result(&mut self, n: u8, (value, flags): Outcome<u128>, pops: u8) {
        if self.note(flags) {
            self.set_st(n, value);
            (0..pops).for_each(|_| self.pop());
        }
    }

    /// Whether registers have something; else the first is set to the indefinite number, and the stack popped.
    fn there(&mut self, needed: &[u8], to: u8, pops: u8) -> bool {
        if needed.iter().all(|n| !self.is_empty(*n)) {
            return true;
        }
        if self.stack_fault(false) {
            self.set_st(to, indefinite());
            (0..pops).for_each(|_| self.pop());
        }
        false
    }
}

/// The number of a register of the stack.
fn register(op: &Op, n: usize) -> Option<u8> {
    match op.inst.ops[n] {
        Operand::St(n) => Some(n),
        _ => None,
    }
}

/// A number in memory, in the extended format, and whether it is a subnormal one of another. A NaN is as it was.
fn operand(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step<Outcome<u128>> {
    let env = Env::new(&X87);
    let size = op.inst.size;
    if size == 10 {
        let va = core.address(op, 10, false)?;
        let mut bytes = [0; 16];
        core.load_wide(cx, op, va, &mut bytes[..10])?;
        return Ok((u128::from_le_bytes(bytes), Flags::NONE));
    }
    let va = core.address(op, size, false)?;
    let value = core.load(cx, op, va, size)?;
    use Mnemonic::*;
    let integer = matches!(
        op.inst.mnemonic,
        Fild | Fiadd | Fimul | Fisub | Fisubr | Fidiv | Fidivr | Ficom | Ficomp
    );
    Ok(match (integer, size) {
        (true, _) => {
            let value = crate::inst::sign_extend(value, size);
            env.from_integer::<i64, Extended>(value as i64)
        }
        (_, 4) => widened::<f32>(&env, value as u32),
        _ => widened::<f64>(&env, value),
    })
}

fn widened<F: Format>(env: &Env, value: F::Bits) -> Outcome<u128> {
    match X87.class::<F>(value).is_nan() {
        true => {
            let (negative, _, digits) = F::split(value);
            let nan = Extended::join(negative, Extended::TOP_EXPONENT, digits | 1 << 63);
            (nan, Flags::NONE)
        }
        false => env.convert::<F, Extended>(value),
    }
}

fn compute<const WHAT: u8>(env: &Env, a: u128, b: u128) -> Outcome<u128> {
    match WHAT {
        ADD => env.add::<Extended>(a, b),
        MUL => env.mul::<Extended>(a, b),
        SUB => env.sub::<Extended>(a, b),
        SUBR => env.sub::<Extended>(b, a),
        DIV => env.div::<Extended>(a, b),
        _ => env.div::<Extended>(b, a),
    }
}

/// An operation of two registers, or of the top of the stack with memory.
fn arithmetic<const WHAT: u8, const POPS: u8>(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.begin_fpu(cx)?;
    let Some(to) = register(op, 0) else {
        let (b, raised) = operand(core, op, cx)?;
        core.note_fpu(op);
        let fpu = &mut core.fpu;
        if fpu.there(&[0], 0, 0) {
            let (value, flags) = compute::<WHAT>(&fpu.env_to_register(), fpu.st(0), b);
            fpu.result(0, (value, joined(raised, flags, fpu.st(0))), 0);
        }
        return Ok(());
    };
    core.note_fpu(op);
    let from = register(op, 1).unwrap_or(0);
    let fpu = &mut core.fpu;
    if fpu.there(&[to, from], to, POPS) {
        let result = compute::<WHAT>(&fpu.env_to_register(), fpu.st(to), fpu.st(from));
        fpu.result(to, result, POPS);
    }
    Ok(())
}

/// What an operation raises together with the conversion of its operand: a subnormal one counts unless the other is a NaN.
fn joined(converted: Flags, flags: Flags, other: u128) -> Flags {
    let nan = !X87.class::<Extended>(other).is_number();
    let first = flags.has(Flags::INVALID | Flags::DIVIDE_BY_ZERO) || nan;
    let converted = match first {
        true => converted & Flags::INVALID,
        false => converted & (Flags::INVALID | Flags::DENORMAL),
    };
    flags | converted
}

/// C0, C2 and C3 of a comparison.
fn conditions(relation: Relation) -> u16 {
    if relation.is(Relation::UNORDERED) {
        status::C0 | status::C2 | status::C3
    } else if relation.is(Relation::LESS) {
        status::C0
    } else if relation.is(Relation::EQUAL) {
        status::C3
    } else {
        0
    }
}

const CONDITIONS: u16 = status::C0 | status::C1 | status::C2 | status::C3;

impl Fpu {
    /// Compares, with what the other operand's conversion raised.
    fn compare_with(&mut self, b: u128, raised: Flags, ordered: bool, pops: u8) {
        let a = self.st(0);
        let (relation, flags) = self.env().compare::<Extended>(a, b, ordered);
        self.conclude(relation, joined(raised, flags, a), pops);
    }

    fn conclude(&mut self, relation: Relation, flags: Flags, pops: u8) {
        // What is not masked keeps the stack as it is, and no more.
        let masked = self.note(flags);
        self.status = self.status & !CONDITIONS | conditions(relation);
        if masked {
            (0..pops).for_each(|_| self.pop());
        }
    }

    /// An operand of a comparison is not there.
    fn nothing_to_compare(&mut self, pops: u8) {
        let masked = self.stack_fault(false);
        self.status = self.status & !CONDITIONS | conditions(Relation::UNORDERED);
        if masked {
            (0..pops).for_each(|_| self.pop());
        }
    }
}

fn compare<const POPS: u8, const ORDERED: bool>(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.begin_fpu(cx)?;
    let memory = matches!(op.inst.ops[0], Operand::Mem(_));
    let (b, raised, there) = if memory {
        let (b, raised) = operand(core, op, cx)?;
        (b, raised, true)
    } else {
        let from = register(op, 1).or(register(op, 0)).unwrap_or(1);
        (core.fpu.st(from), Flags::NONE, !core.fpu.is_empty(from))
    };
    core.note_fpu(op);
    let fpu = &mut core.fpu;
    match there && !fpu.is_empty(0) {
        true => fpu.compare_with(b, raised, ORDERED, POPS),
        false => fpu.nothing_to_compare(POPS),
    }
    Ok(())
}

fn test(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.begin_fpu(cx)?;
    core.note_fpu(op);
    match core.fpu.is_empty(0) {
        true => core.fpu.nothing_to_compare(0),
        false => core.fpu.compare_with(0, Flags::NONE, true, 0),
    }
    Ok(())
}

/// FCOMI and the like, which set EFLAGS.
fn compare_flags<const POPS: u8, const ORDERED: bool>(
    core: &mut Core,
    op: &Op,
    cx: &mut Cx<'_>,
) -> Step {
    core.begin_fpu(cx)?;
    core.note_fpu(op);
    let from = register(op, 1).unwrap_or(1);
    let fpu = &mut core.fpu;
    let relation;
    let there = if fpu.is_empty(0) || fpu.is_empty(from) {
        relation = Relation::UNORDERED;
        fpu.stack_fault(false)
    } else {
        let flags;
        (relation, flags) = fpu
            .env()
            .compare::<Extended>(fpu.st(0), fpu.st(from), ORDERED);
        fpu.note(flags)
    };
    if there {
        (0..POPS).for_each(|_| fpu.pop());
    }
    core.set_comparison(relation);
    Ok(())
}

impl Core {
    /// The flags of a comparison of floating point numbers.
    pub fn set_comparison(&mut self, relation: Relation) {
        let flags = if relation.is(Relation::UNORDERED) {
            flag::ZF | flag::PF | flag::CF
        } else if relation.is(Relation::LESS) {
            flag::CF
        } else if relation.is(Relation::EQUAL) {
            flag::ZF
        } else {
            0
        };
        self.set_flags(flag::ARITHMETIC, flags);
    }
}

fn examine(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.begin_fpu(cx)?;
    core.note_fpu(op);
    let fpu = &mut core.fpu;
    let value = fpu.st(0);
    let class = match X87.class::<Extended>(value) {
        _ if fpu.is_empty(0) => status::C3 | status::C0,
        Class::Unsupported => 0,
        Class::QuietNan | Class::SignalingNan => status::C0,
        Class::Normal => status::C2,
        Class::Infinity => status::C2 | status::C0,
        Class::Zero => status::C3,
        Class::Subnormal => status::C3 | status::C2,
    };
    let sign = if Extended::is_negative(value) {
        status::C1
    } else {
        0
    };
    fpu.status = fpu.status & !CONDITIONS | class | sign;
    Ok(())
}

/// FABS and FCHS.
fn sign<const ABS: bool>(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.begin_fpu(cx)?;
    core.note_fpu(op);
    let fpu = &mut core.fpu;
    if fpu.there(&[0], 0, 0) {
        fpu.status &= !status::C1;
        let value = fpu.st(0);
        let value = match ABS {
            true => Extended::abs(value),
            false => Extended::negate(value),
        };
        fpu.set_st(0, value);
    }
    Ok(())
}

fn exchange(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.begin_fpu(cx)?;
    core.note_fpu(op);
    let with = register(op, 1).unwrap_or(1);
    let fpu = &mut core.fpu;
    if fpu.is_empty(0) || fpu.is_empty(with) {
        if !fpu.stack_fault(false) {
            return Ok(());
        }
        // What is empty becomes the indefinite number, and the two change places.
        for n in [0, with] {
            if fpu.is_empty(n) {
                fpu.set_st(n, indefinite());
            }
        }
    } else {
        fpu.status &= !status::C1;
    }
    let (a, b) = (fpu.st(0), fpu.st(with));
    fpu.set_st(0, b);
    fpu.set_st(with, a);
    Ok(())
}

fn move_if(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.begin_fpu(cx)?;
    core.note_fpu(op);
    let from = register(op, 1).unwrap_or(1);
    let flags = core.look_at_flags();
    use Mnemonic::*;
    let any = |bits: u64| flags & bits != 0;
    let moves = match op.inst.mnemonic {
        Fcmovb => any(flag::CF),
        Fcmove => any(flag::ZF),
        Fcmovbe => any(flag::CF | flag::ZF),
        Fcmovu => any(flag::PF),
        Fcmovnb => !any(flag::CF),
        Fcmovne => !any(flag::ZF),
        Fcmovnbe => !any(flag::CF | flag::ZF),
        _ => !any(flag::PF),
    };
    let fpu = &mut core.fpu;
    if fpu.there(&[0, from], 0, 0) {
        fpu.status &= !status::C1;
        if moves {
            let value = fpu.st(from);
            fpu.set_st(0, value);
        }
    }
    Ok(())
}

fn unary<const WHAT: u8>(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.begin_fpu(cx)?;
    core.note_fpu(op);
    let fpu = &mut core.fpu;
    if fpu.there(&[0], 0, 0) {
        let (env, value) = (fpu.env_to_register(), fpu.st(0));
        let result = match WHAT {
            SQRT => env.sqrt::<Extended>(value),
            ROUND => env.round_to_integral::<Extended>(value),
            _ => env.exp2_minus_1::<Extended>(value),
        };
        fpu.result(0, result, 0);
    }
    Ok(())
}

/// The exponent from which on an angle is too large.
const TOO_LARGE: u128 = 0x3fff + 63;

fn angle<const WHAT: u8>(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.begin_fpu(cx)?;
    core.note_fpu(op);
    let fpu = &mut core.fpu;
    let pushes = matches!(WHAT, BOTH | TAN);
    if pushes && !fpu.is_empty(7) && !fpu.is_empty(0) {
        if fpu.stack_fault(true) {
            fpu.set_st(0, indefinite());
            fpu.set_top(fpu.top().wrapping_sub(1));
            fpu.set_st(0, indefinite());
        }
        return Ok(());
    }
    if !fpu.there(&[0], 0, 0) {
        if pushes && fpu.status & status::ES == 0 {
            fpu.set_top(fpu.top().wrapping_sub(1));
            fpu.set_st(0, indefinite());
        }
        return Ok(());
    }
    let (env, value) = (fpu.env_to_register(), fpu.st(0));
    let exponent = value >> 64 & 0x7fff;
    fpu.status &= !(status::C1 | status::C2);
    if (TOO_LARGE..0x7fff).contains(&exponent) && value >> 63 & 1 != 0 {
        fpu.status |= status::C2;
        return Ok(());
    }
    let (first, mut flags) = match WHAT {
        SIN | BOTH => env.sin::<Extended>(value),
        COS => env.cos::<Extended>(value),
        _ => env.tan::<Extended>(value),
    };
    let invalid = flags.has(Flags::INVALID);
    let nan = !X87.class::<Extended>(first).is_number();
    let second = match WHAT {
        BOTH => {
            let (cosine, more) = env.cos::<Extended>(value);
            flags |= more & (Flags::IEEE | Flags::DENORMAL);
            cosine
        }
        _ if invalid || nan => first,
        _ => one(),
    };
    if fpu.note(flags) {
        fpu.set_st(0, first);
        if pushes {
            fpu.set_top(fpu.top().wrapping_sub(1));
            fpu.set_st(0, second);
        }
    }
    Ok(())
}

/// A function of the two upper registers, whose result takes their place.
fn two<const WHAT: u8>(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.begin_fpu(cx)?;
    core.note_fpu(op);
    let fpu = &mut core.fpu;
    if fpu.there(&[0, 1], 1, 1) {
        let (env, y, x) = (fpu.env_to_register(), fpu.st(1), fpu.st(0));
        let result = match WHAT {
            ATAN => env.atan2::<Extended>(y, x),
            LOG => env.y_log2::<Extended>(y, x),
            _ => env.y_log2_plus_1::<Extended>(y, x),
        };
        fpu.result(1, result, 1);
    }
    Ok(())
}

fn scale(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.begin_fpu(cx)?;
    core.note_fpu(op);
    let fpu = &mut core.fpu;
    if fpu.there(&[0, 1], 0, 0) {
        let (env, a, by) = (fpu.env_to_register(), fpu.st(0), fpu.st(1));
        let classes = [a, by].map(|x| X87.class::<Extended>(x));
        let result = match classes {
            [a, by] if !a.is_number() || !by.is_number() => {
                env.add::<Extended>(fpu.st(0), fpu.st(1))
            }
            // An infinite power of two: zero or an infinity.
            [class, Class::Infinity] => match (class, Extended::is_negative(by)) {
                (Class::Zero, false) | (Class::Infinity, true) => (indefinite(), Flags::INVALID),
                (_, down) => {
                    let exponent = if down { 0 } else { Extended::TOP_EXPONENT };
                    let significand = if down { 0 } else { 1 << 63 };
                    let value = Extended::join(Extended::is_negative(a), exponent, significand);
                    let denormal = class == Class::Subnormal;
                    let flags = if denormal {
                        Flags::DENORMAL
                    } else {
                        Flags::NONE
                    };
                    (value, flags)
                }
            },
            [_, class] => {
                let truncating = Env {
                    rounding: Rounding::Zero,
                    ..env
                };
                let (n, beyond) = truncating.to_integer::<Extended, i32>(by);
                let n = match beyond.has(Flags::INVALID) {
                    true if Extended::is_negative(by) => i32::MIN,
                    true => i32::MAX,
                    false => n,
                };
                let (value, flags) = env.scale::<Extended>(a, n);
                let denormal = class == Class::Subnormal;
                (
                    value,
                    flags
                        | if denormal {
                            Flags::DENORMAL
                        } else {
                            Flags::NONE
                        },
                )
            }
        };
        fpu.result(0, result, 0);
    }
    Ok(())
}

fn remainder<const NEAREST: bool>(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.begin_fpu(cx)?;
    core.note_fpu(op);
    let fpu = &mut core.fpu;
    if !fpu.there(&[0, 1], 0, 0) {
        return Ok(());
    }
    let how = match NEAREST {
        true => Quotient::Nearest,
        false => Quotient::Truncated,
    };
    let env = fpu.env_to_register();
    let (result, flags) = env.partial_remainder::<Extended>(fpu.st(0), fpu.st(1), how);
    if !fpu.note(flags) {
        return Ok(());
    }
    fpu.status &= !CONDITIONS;
    fpu.status |= match result.quotient {
        None => status::C2,
        Some(quotient) => {
            let bit = |n: u32, to: u16| if quotient >> n & 1 != 0 { to } else { 0 };
            bit(2, status::C0) | bit(1, status::C3) | bit(0, status::C1)
        }
    };
    fpu.set_st(0, result.value);
    Ok(())
}

/// FXTRACT: the exponent, and above it the significand.
fn extract(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.begin_fpu(cx)?;
    core.note_fpu(op);
    let fpu = &mut core.fpu;
    if !fpu.is_empty(7) && !fpu.is_empty(0) {
        if fpu.stack_fault(true) {
            fpu.set_st(0, indefinite());
            fpu.set_top(fpu.top().wrapping_sub(1));
            fpu.set_st(0, indefinite());
        }
        return Ok(());
    }
    if !fpu.there(&[0], 0, 0) {
        if fpu.status & status::ES == 0 {
            fpu.set_top(fpu.top().wrapping_sub(1));
            fpu.set_st(0, indefinite());
        }
        return Ok(());
    }
    let value = fpu.st(0);
    let (exponent, significand, flags) = match X87.class::<Extended>(value) {
        Class::Zero => {
            let infinity = Extended::join(true, Extended::TOP_EXPONENT, 1 << 63);
            (infinity, value, Flags::DIVIDE_BY_ZERO)
        }
        Class::Infinity => (Extended::abs(value), value, Flags::NONE),
        Class::Normal | Class::Subnormal => {
            let (negative, raw, digits) = Extended::split(value);
            let zeros = digits.leading_zeros();
            let exponent = raw.max(1) as i32 - Extended::BIAS - zeros as i32;
            let (exponent, _) = Env::new(&X87).from_integer::<i32, Extended>(exponent);
            let significand = Extended::join(negative, Extended::BIAS as u32, digits << zeros);
            let flags = if raw == 0 {
                Flags::DENORMAL
            } else {
                Flags::NONE
            };
            (exponent, significand, flags)
        }
        _ => {
            let (nan, flags) = fpu.env().add::<Extended>(value, value);
            (nan, nan, flags)
        }
    };
    if fpu.note(flags) {
        fpu.set_st(0, exponent);
        fpu.set_top(fpu.top().wrapping_sub(1));
        fpu.set_st(0, significand);
    }
    Ok(())
}

fn free<const POPS: u8>(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.begin_fpu(cx)?;
    core.note_fpu(op);
    core.fpu.free(register(op, 0).unwrap_or(0));
    (0..POPS).for_each(|_| core.fpu.pop());
    Ok(())
}

/// FINCSTP and FDECSTP.
fn turn<const BY: u8>(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.begin_fpu(cx)?;
    core.note_fpu(op);
    core.fpu.status &= !status::C1;
    core.fpu.set_top(core.fpu.top().wrapping_add(BY));
    Ok(())
}

fn nothing(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.begin_fpu(cx)?;
    core.note_fpu(op);
    Ok(())
}

/// What older units had.
fn ignored(core: &mut Core, _: &Op, _: &mut Cx<'_>) -> Step {
    core.has_fpu()
}

fn init(core: &mut Core, _: &Op, cx: &mut Cx<'_>) -> Step {
    core.has_fpu()?;
    core.fpu.init();
    core.fpu_settled(cx);
    Ok(())
}

fn clear(core: &mut Core, _: &Op, cx: &mut Cx<'_>) -> Step {
    core.has_fpu()?;
    core.fpu.status &= status::TOP | status::C0 | status::C1 | status::C2 | status::C3;
    core.fpu_settled(cx);
    Ok(())
}

fn store_control(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.has_fpu()?;
    let va = core.address(op, 2, true)?;
    core.store(cx, op, va, 2, core.fpu.control.into())
}

fn load_control(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.begin_fpu(cx)?;
    let va = core.address(op, 2, false)?;
    let control = core.load(cx, op, va, 2)?;
    core.fpu.set_control(control as u16);
    core.fpu_settled(cx);
    Ok(())
}

fn store_status(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.has_fpu()?;
    let status = core.fpu.status;
    match op.inst.ops[0] {
        Operand::Mem(_) => {
            let va = core.address(op, 2, true)?;
            core.store(cx, op, va, 2, status.into())
        }
        _ => {
            core.set_reg(RAX, 2, status.into());
            Ok(())
        }
    }
}

/// WAIT.
pub fn wait(core: &mut Core, _: &Op, cx: &mut Cx<'_>) -> Step {
    if core.cr0 & (cr0::MP | cr0::TS) == cr0::MP | cr0::TS {
        return Err(Fault::plain(vector::NM).into());
    }
    core.fpu_ready(cx)
}

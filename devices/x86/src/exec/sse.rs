//! Floating point numbers in vectors: SSE to SSE4.1.
//!
//! Intel SDM, volume 1, chapters 10 to 12; each instruction in volume 2.

use iced_x86::Mnemonic;
use solderless_float::host::{self, Host};
use solderless_float::{Env, Extremum, Flags, Integer, Outcome, Relation, Rounding};
use solderless_model::Cx;

use super::{Handler, Op, Step};
use crate::core::{Core, cr4};
use crate::fpu::{SSE, exceptions, rounding};
use crate::inst::Operand;
use crate::trap::{Fault, vector};

pub fn handler(mnemonic: Mnemonic) -> Option<Handler> {
    use Mnemonic::*;
    Some(match mnemonic {
        Addps => arithmetic::<ADD, f32, 4>,
        Addss => arithmetic::<ADD, f32, 1>,
        Addpd => arithmetic::<ADD, f64, 2>,
        Addsd => arithmetic::<ADD, f64, 1>,
        Subps => arithmetic::<SUB, f32, 4>,
        Subss => arithmetic::<SUB, f32, 1>,
        Subpd => arithmetic::<SUB, f64, 2>,
        Subsd => arithmetic::<SUB, f64, 1>,
        Mulps => arithmetic::<MUL, f32, 4>,
        Mulss => arithmetic::<MUL, f32, 1>,
        Mulpd => arithmetic::<MUL, f64, 2>,
        Mulsd => arithmetic::<MUL, f64, 1>,
        Divps => arithmetic::<DIV, f32, 4>,
        Divss => arithmetic::<DIV, f32, 1>,
        Divpd => arithmetic::<DIV, f64, 2>,
        Divsd => arithmetic::<DIV, f64, 1>,
        Minps => arithmetic::<MIN, f32, 4>,
        Minss => arithmetic::<MIN, f32, 1>,
        Minpd => arithmetic::<MIN, f64, 2>,
        Minsd => arithmetic::<MIN, f64, 1>,
        Maxps => arithmetic::<MAX, f32, 4>,
        Maxss => arithmetic::<MAX, f32, 1>,
        Maxpd => arithmetic::<MAX, f64, 2>,
        Maxsd => arithmetic::<MAX, f64, 1>,
        Sqrtps => arithmetic::<SQRT, f32, 4>,
        Sqrtss => arithmetic::<SQRT, f32, 1>,
        Sqrtpd => arithmetic::<SQRT, f64, 2>,
        Sqrtsd => arithmetic::<SQRT, f64, 1>,
        Rcpps => arithmetic::<RCP, f32, 4>,
        Rcpss => arithmetic::<RCP, f32, 1>,
        Rsqrtps => arithmetic::<RSQRT, f32, 4>,
        Rsqrtss => arithmetic::<RSQRT, f32, 1>,
        Cmpps => arithmetic::<CMP, f32, 4>,
        Cmpss => arithmetic::<CMP, f32, 1>,
        Cmppd => arithmetic::<CMP, f64, 2>,
        Cmpsd => arithmetic::<CMP, f64, 1>,
        Roundps => arithmetic::<ROUND, f32, 4>,
        Roundss => arithmetic::<ROUND, f32, 1>,
        Roundpd => arithmetic::<ROUND, f64, 2>,
        Roundsd => arithmetic::<ROUND, f64, 1>,
        Addsubps => arithmetic::<ADDSUB, f32, 4>,
        Addsubpd => arithmetic::<ADDSUB, f64, 2>,
        Haddps => horizontal::<ADD, f32, 4>,
        Haddpd => horizontal::<ADD, f64, 2>,
        Hsubps => horizontal::<SUB, f32, 4>,
        Hsubpd => horizontal::<SUB, f64, 2>,
        Dpps => dot::<f32, 4>,
        Dppd => dot::<f64, 2>,
        Comiss => compare::<f32, true>,
        Comisd => compare::<f64, true>,
        Ucomiss => compare::<f32, false>,
        Ucomisd => compare::<f64, false>,
        Cvtss2sd => convert::<f32, f64, 1>,
        Cvtps2pd => convert::<f32, f64, 2>,
        Cvtsd2ss => convert::<f64, f32, 1>,
        Cvtpd2ps => convert::<f64, f32, 2>,
        Cvtsi2ss => from_general::<f32>,
        Cvtsi2sd => from_general::<f64>,
        Cvtss2si => to_general::<f32, false>,
        Cvttss2si => to_general::<f32, true>,
        Cvtsd2si => to_general::<f64, false>,
        Cvttsd2si => to_general::<f64, true>,
        Cvtdq2ps => from_integers::<f32, 4>,
        Cvtdq2pd => from_integers::<f64, 2>,
        Cvtpi2ps => from_integers::<f32, 2>,
        Cvtpi2pd => from_integers::<f64, 2>,
        Cvtps2dq => to_integers::<f32, 4, false>,
        Cvttps2dq => to_integers::<f32, 4, true>,
        Cvtpd2dq | Cvtpd2pi => to_integers::<f64, 2, false>,
        Cvttpd2dq | Cvttpd2pi => to_integers::<f64, 2, true>,
        Cvtps2pi => to_integers::<f32, 2, false>,
        Cvttps2pi => to_integers::<f32, 2, true>,
        _ => return None,
    })
}

const ADD: u8 = 0;
const SUB: u8 = 1;
const MUL: u8 = 2;
const DIV: u8 = 3;
const MIN: u8 = 4;
const MAX: u8 = 5;
const SQRT: u8 = 6;
const RCP: u8 = 7;
const RSQRT: u8 = 8;
const CMP: u8 = 9;
const ROUND: u8 = 10;
const ADDSUB: u8 = 11;

/// A format of SSE.
trait Single: Host<Bits: Into<u64> + TryFrom<u64>> {
    const BITS: u32 = Self::EXPONENT_BITS + Self::SIGNIFICAND_BITS + 1;

    /// An element of a vector.
    #[inline(always)]
    fn element(from: u128, n: usize) -> Self::Bits {
        Self::truncate(from >> (Self::BITS * n as u32) & Self::low())
    }

    fn low() -> u128 {
        (1 << Self::BITS) - 1
    }

    /// A vector with another element.
    #[inline(always)]
    fn with(to: u128, n: usize, value: Self::Bits) -> u128 {
        let at = Self::BITS * n as u32;
        to & !(Self::low() << at) | u128::from(value.into()) << at
    }
}

impl Single for f32 {}
impl Single for f64 {}

impl Core {
    /// Notes exceptions.
    ///
    /// # Errors
    /// One of them is not masked.
    #[inline(always)]
    fn raise_sse(&mut self, flags: Flags) -> Step {
        if self.fpu.raise_sse(exceptions(flags)) {
            return Err(match self.is4(cr4::OSXMMEXCPT) {
                true => Fault::plain(vector::XM),
                false => Fault::ud(),
            }
            .into());
        }
        Ok(())
    }
}

/// What the host has computed, and whether that was exact.
fn quick<F: Host>(fast: host::Fast<F::Bits>) -> Option<Outcome<F::Bits>> {
    let (value, inexact) = fast?;
    Some((value, if inexact { Flags::INEXACT } else { Flags::NONE }))
}

/// An operation on elements, the one with this number.
#[inline(always)]
fn element<const WHAT: u8, F: Single>(
    env: &Env,
    a: F::Bits,
    b: F::Bits,
    n: usize,
    imm: u8,
) -> Outcome<F::Bits> {
    let nearest = env.rounding == Rounding::Nearest;
    match WHAT {
        ADD | SUB | MUL | DIV | SQRT if nearest => {
            let fast = match WHAT {
                ADD => host::add::<F>(a, b),
                SUB => host::sub::<F>(a, b),
                MUL => host::mul::<F>(a, b),
                DIV => host::div::<F>(a, b),
                _ => host::sqrt::<F>(b),
            };
            quick::<F>(fast).unwrap_or_else(|| slowly::<WHAT, F>(env, a, b))
        }
        ADDSUB if n & 1 == 0 => slowly::<SUB, F>(env, a, b),
        ADDSUB => slowly::<ADD, F>(env, a, b),
        CMP => {
            let (relation, flags) = env.compare::<F>(a, b, matches!(imm & 3, 1 | 2));
            let set = match imm & 3 {
                0 => Relation::EQUAL,
                1 => Relation::LESS,
                2 => Relation::LESS | Relation::EQUAL,
                _ => Relation::UNORDERED,
            };
            let holds = relation.is(set) != (imm & 4 != 0);
            let all = if holds { F::low() } else { 0 };
            (F::truncate(all), flags)
        }
        ROUND => {
            let env = Env {
                rounding: match imm & 4 {
                    0 => rounding(imm.into()),
                    _ => env.rounding,
                },
                ..*env
            };
            let (value, flags) = env.round_to_integral::<F>(b);
            let kept = match imm & 8 {
                0 => Flags::INVALID | Flags::INEXACT,
                _ => Flags::INVALID,
            };
            (value, flags & kept)
        }
        _ => slowly::<WHAT, F>(env, a, b),
    }
}

#[inline(never)]
fn slowly<const WHAT: u8, F: Single>(env: &Env, a: F::Bits, b: F::Bits) -> Outcome<F::Bits> {
    match WHAT {
        ADD => env.add::<F>(a, b),
        SUB => env.sub::<F>(a, b),
        MUL => env.mul::<F>(a, b),
        DIV => env.div::<F>(a, b),
        MIN => env.min::<F>(Extremum::Second, a, b),
        MAX => env.max::<F>(Extremum::Second, a, b),
        SQRT => env.sqrt::<F>(b),
        // Approximations raise nothing, whatever they are of; this one is exact but for rounding.
        _ => {
            let env = Env {
                flush_inputs: true,
                flush_results: true,
                ..Env::new(&SSE)
            };
            let root = match WHAT {
                RSQRT => env.sqrt::<F>(b).0,
                _ => b,
            };
            (env.div::<F>(F::one(), root).0, Flags::NONE)
        }
    }
}

/// The same for the first elements of two vectors.
fn arithmetic<const WHAT: u8, F: Single, const COUNT: usize>(
    core: &mut Core,
    op: &Op,
    cx: &mut Cx<'_>,
) -> Step {
    core.has_sse()?;
    let b = core.vector(cx, op, 1, true)?;
    let Operand::Xmm(to) = op.inst.ops[0] else {
        return Err(Fault::ud().into());
    };
    let a = core.fpu.x(to);
    let env = core.fpu.sse_env();
    let (mut result, mut flags) = (a, Flags::NONE);
    for n in 0..COUNT {
        let (value, more) = element::<WHAT, F>(
            &env,
            F::element(a, n),
            F::element(b, n),
            n,
            op.inst.imm as u8,
        );
        result = F::with(result, n, value);
        flags |= more;
    }
    core.raise_sse(flags)?;
    core.fpu.set_x(to, result);
    Ok(())
}

/// Neighbours of the first operand and then of the second.
fn horizontal<const WHAT: u8, F: Single, const COUNT: usize>(
    core: &mut Core,
    op: &Op,
    cx: &mut Cx<'_>,
) -> Step {
    core.has_sse()?;
    let b = core.vector(cx, op, 1, true)?;
    let a = core.vector(cx, op, 0, true)?;
    let env = core.fpu.sse_env();
    let (mut result, mut flags) = (0, Flags::NONE);
    for n in 0..COUNT {
        let from = if n < COUNT / 2 { a } else { b };
        let at = 2 * (n % (COUNT / 2));
        let (first, second) = (F::element(from, at), F::element(from, at + 1));
        let (value, more) = slowly::<WHAT, F>(&env, first, second);
        result = F::with(result, n, value);
        flags |= more;
    }
    core.raise_sse(flags)?;
    core.set_vector(cx, op, 0, result, true)
}

/// DPPS and DPPD: products are added in pairs.
fn dot<F: Single, const COUNT: usize>(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.has_sse()?;
    let b = core.vector(cx, op, 1, true)?;
    let a = core.vector(cx, op, 0, true)?;
    let env = core.fpu.sse_env();
    let imm = op.inst.imm as u8;
    let zero = F::truncate(0);
    let mut terms = [zero; 4];
    let mut flags = Flags::NONE;
    for (n, term) in terms.iter_mut().enumerate().take(COUNT) {
        if imm >> (4 + n) & 1 != 0 {
            let more;
            (*term, more) = env.mul::<F>(F::element(a, n), F::element(b, n));
            flags |= more;
        }
    }
    core.raise_sse(flags)?;
    let mut flags = Flags::NONE;
    let mut add = |a, b| {
        let (sum, more) = env.add::<F>(a, b);
        flags |= more;
        sum
    };
    let low = add(terms[0], terms[1]);
    let sum = match COUNT {
        4 => {
            let high = add(terms[2], terms[3]);
            add(low, high)
        }
        _ => low,
    };
    core.raise_sse(flags)?;
    let result = (0..COUNT).fold(0, |all, n| match imm >> n & 1 {
        0 => all,
        _ => F::with(all, n, sum),
    });
    core.set_vector(cx, op, 0, result, true)
}

/// COMISS and the like.
fn compare<F: Single, const ORDERED: bool>(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.has_sse()?;
    let b = F::element(core.vector(cx, op, 1, true)?, 0);
    let a = F::element(core.vector(cx, op, 0, true)?, 0);
    let (relation, flags) = core.fpu.sse_env().compare::<F>(a, b, ORDERED);
    core.raise_sse(flags)?;
    core.set_comparison(relation);
    Ok(())
}

/// From one format to another; of vectors, what is above is cleared.
fn convert<F: Single, G: Single, const COUNT: usize>(
    core: &mut Core,
    op: &Op,
    cx: &mut Cx<'_>,
) -> Step {
    core.has_sse()?;
    let from = core.vector(cx, op, 1, true)?;
    let env = core.fpu.sse_env();
    let mut result = match COUNT {
        1 => core.vector(cx, op, 0, true)?,
        _ => 0,
    };
    let mut flags = Flags::NONE;
    for n in 0..COUNT {
        let (value, more) = env.convert::<F, G>(F::element(from, n));
        result = G::with(result, n, value);
        flags |= more;
    }
    core.raise_sse(flags)?;
    core.set_vector(cx, op, 0, result, true)
}

/// CVTSI2SS and CVTSI2SD.
fn from_general<F: Single>(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.has_sse()?;
    let value = core.get(cx, op, 1)?;
    let size = match op.inst.ops[1] {
        Operand::Reg(_, size) | Operand::Mem(size) => size,
        _ => 4,
    };
    let value = crate::inst::sign_extend(value, size) as i64;
    let env = core.fpu.sse_env();
    let (value, flags) = env.from_integer::<i64, F>(value);
    core.raise_sse(flags)?;
    let to = core.vector(cx, op, 0, true)?;
    core.set_vector(cx, op, 0, F::with(to, 0, value), true)
}

/// To an integer, by the rounding mode or toward zero.
fn integer<F: Single, I: Integer, const TRUNCATE: bool>(env: &Env, from: F::Bits) -> Outcome<I> {
    let rounding = if TRUNCATE {
        Rounding::Zero
    } else {
        env.rounding
    };
    let (value, flags) = Env { rounding, ..*env }.to_integer::<F, I>(from);
    (value, flags & (Flags::INVALID | Flags::INEXACT))
}

/// CVTSS2SI and the like.
fn to_general<F: Single, const TRUNCATE: bool>(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.has_sse()?;
    let from = F::element(core.vector(cx, op, 1, true)?, 0);
    let env = core.fpu.sse_env();
    let (value, flags) = match op.inst.ops[0] {
        Operand::Reg(_, 8) => {
            let (value, flags) = integer::<F, i64, TRUNCATE>(&env, from);
            (value as u64, flags)
        }
        _ => {
            let (value, flags) = integer::<F, i32, TRUNCATE>(&env, from);
            (value as u64, flags)
        }
    };
    core.raise_sse(flags)?;
    core.put(cx, op, 0, value)
}

/// From integers of 32 bits; of MMX's registers two, and what is above stays.
fn from_integers<F: Single, const COUNT: usize>(core: &mut Core, op: &Op, cx: &mut Cx<'_>) -> Step {
    core.begin_vector(cx, op)?;
    let from = core.vector(cx, op, 1, true)?;
    let env = core.fpu.sse_env();
    let mut result = core.vector(cx, op, 0, true)?;
    let mut flags = Flags::NONE;
    for n in 0..COUNT {
        let value = (from >> (32 * n)) as i32;
        let (value, more) = env.from_integer::<i32, F>(value);
        result = F::with(result, n, value);
        flags |= more;
    }
    core.raise_sse(flags)?;
    core.set_vector(cx, op, 0, result, true)
}

/// To integers of 32 bits; what is above is cleared.
fn to_integers<F: Single, const COUNT: usize, const TRUNCATE: bool>(
    core: &mut Core,
    op: &Op,
    cx: &mut Cx<'_>,
) -> Step {
    core.begin_vector(cx, op)?;
    let from = core.vector(cx, op, 1, true)?;
    let env = core.fpu.sse_env();
    let (mut result, mut flags) = (0, Flags::NONE);
    for n in 0..COUNT {
        let (value, more) = integer::<F, i32, TRUNCATE>(&env, F::element(from, n));
        result |= u128::from(value as u32) << (32 * n);
        flags |= more;
    }
    core.raise_sse(flags)?;
    core.set_vector(cx, op, 0, result, true)
}

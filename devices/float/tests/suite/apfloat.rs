//! LLVM's arithmetic in software as the witness: every format, ties away from zero too, on any host.
//!
//! It has another overflow and underflow than IEEE 754, and other NaNs, which are not compared.

use std::cmp::Ordering;

use proptest::prelude::*;
use rustc_apfloat::ieee::{Double, Single, X87DoubleExtended};
use rustc_apfloat::{Float, FloatConvert, Round, Status, StatusAnd};
use solderless_float::{
    Env, Extended, Flags, Format, Integer, Outcome, Policy, Propagation, Quotient, Relation,
    Rounding, Tininess, Unfit,
};

use crate::operands::{cases, pair, shortened, value};

const POLICY: Policy = Policy {
    signaling_bit: false,
    default_nan: (false, 3 << 62),
    propagation: Propagation::First,
    invalid_product_before_nan: true,
    unfit: Unfit::NearestOrZero,
    tininess: Tininess::AfterRounding,
};

const MODES: [(Rounding, Round); 5] = [
    (Rounding::Nearest, Round::NearestTiesToEven),
    (Rounding::NearestAway, Round::NearestTiesToAway),
    (Rounding::Zero, Round::TowardZero),
    (Rounding::Up, Round::TowardPositive),
    (Rounding::Down, Round::TowardNegative),
];

/// A format and the other's type for it.
trait Known: Format {
    type Other: Float;

    /// Whether the other takes these bits as we do: it knows no pseudo-denormals and no unsupported encodings.
    fn is_plain(bits: Self::Bits) -> bool {
        let (_, exponent, digits) = Self::split(bits);
        !Self::EXPLICIT || (exponent != 0) == (digits >> 63 != 0)
    }

    fn other(bits: Self::Bits) -> Self::Other {
        Self::Other::from_bits(bits.into())
    }
}

impl Known for f32 {
    type Other = Single;
}
impl Known for f64 {
    type Other = Double;
}
impl Known for Extended {
    type Other = X87DoubleExtended;
}

fn status(status: Status) -> Flags {
    [
        (Status::INVALID_OP, Flags::INVALID),
        (Status::DIV_BY_ZERO, Flags::DIVIDE_BY_ZERO),
        (Status::INEXACT, Flags::INEXACT),
    ]
    .into_iter()
    .filter(|(theirs, _)| status.contains(*theirs))
    .fold(Flags::NONE, |all, (_, ours)| all | ours)
}

/// A result to compare: its bits, `None` for a NaN, and its exceptions but overflow and underflow.
type Plain = (Option<u128>, Flags);

fn ours<F: Format>((bits, flags): Outcome<F::Bits>) -> Plain {
    let plain = Flags::INVALID | Flags::DIVIDE_BY_ZERO | Flags::INEXACT;
    let nan = POLICY.class::<F>(bits).is_nan();
    ((!nan).then_some(bits.into()), flags & plain)
}

fn theirs<F: Float>(result: StatusAnd<F>) -> Plain {
    let value = result.value;
    (
        (!value.is_nan()).then(|| value.to_bits()),
        status(result.status),
    )
}

fn envs() -> impl Iterator<Item = (Env, Round)> {
    MODES.into_iter().map(|(rounding, round)| {
        let env = Env {
            rounding,
            ..Env::new(&POLICY)
        };
        (env, round)
    })
}

fn arithmetic<F: Known>(a: F::Bits, b: F::Bits) -> Result<(), TestCaseError> {
    if !(F::is_plain(a) && F::is_plain(b)) {
        return Ok(());
    }
    let (x, y) = (F::other(a), F::other(b));
    for (env, round) in envs() {
        prop_assert_eq!(
            ours::<F>(env.add::<F>(a, b)),
            theirs(x.add_r(y, round)),
            "add {:?}",
            round
        );
        prop_assert_eq!(
            ours::<F>(env.sub::<F>(a, b)),
            theirs(x.sub_r(y, round)),
            "sub {:?}",
            round
        );
        prop_assert_eq!(
            ours::<F>(env.mul::<F>(a, b)),
            theirs(x.mul_r(y, round)),
            "mul {:?}",
            round
        );
        prop_assert_eq!(
            ours::<F>(env.div::<F>(a, b)),
            theirs(x.div_r(y, round)),
            "div {:?}",
            round
        );
        prop_assert_eq!(
            ours::<F>(env.round_to_integral::<F>(a)),
            theirs(x.round_to_integral(round)),
            "round {:?}",
            round
        );
        to_integers::<F>(&env, a, round)?;
    }
    let env = Env::new(&POLICY);
    let relation = match x.partial_cmp(&y) {
        None => Relation::UNORDERED,
        Some(Ordering::Equal) => Relation::EQUAL,
        Some(Ordering::Less) => Relation::LESS,
        Some(Ordering::Greater) => Relation::GREATER,
    };
    prop_assert_eq!(env.compare::<F>(a, b, false).0, relation);
    Ok(())
}

fn to_integers<F: Known>(env: &Env, a: F::Bits, round: Round) -> Result<(), TestCaseError> {
    fn signed<F: Known, I: Integer>(
        env: &Env,
        a: F::Bits,
        round: Round,
    ) -> Result<(), TestCaseError> {
        let other = F::other(a).to_i128_r(I::BITS as usize, round, &mut false);
        let (value, flags) = env.to_integer::<F, I>(a);
        prop_assert_eq!(
            (value.value(), flags & Flags::IEEE),
            (other.value, status(other.status))
        );
        Ok(())
    }
    fn unsigned<F: Known, I: Integer>(
        env: &Env,
        a: F::Bits,
        round: Round,
    ) -> Result<(), TestCaseError> {
        let other = F::other(a).to_u128_r(I::BITS as usize, round, &mut false);
        let (value, flags) = env.to_integer::<F, I>(a);
        let other_value = other.value as i128;
        prop_assert_eq!(
            (value.value(), flags & Flags::IEEE),
            (other_value, status(other.status))
        );
        Ok(())
    }
    signed::<F, i16>(env, a, round)?;
    signed::<F, i32>(env, a, round)?;
    signed::<F, i64>(env, a, round)?;
    unsigned::<F, u32>(env, a, round)?;
    unsigned::<F, u64>(env, a, round)
}

fn from_integers<F: Known>(a: u64) -> Result<(), TestCaseError> {
    fn one<F: Known, I: Integer>(env: &Env, a: I, round: Round) -> Result<(), TestCaseError> {
        let other = F::Other::from_i128_r(a.value(), round);
        prop_assert_eq!(ours::<F>(env.from_integer::<I, F>(a)), theirs(other));
        Ok(())
    }
    for (env, round) in envs() {
        one::<F, i16>(&env, a as i16, round)?;
        one::<F, i32>(&env, a as i32, round)?;
        one::<F, i64>(&env, a as i64, round)?;
        one::<F, u32>(&env, a as u32, round)?;
        one::<F, u64>(&env, a, round)?;
    }
    Ok(())
}

fn conversion<F: Known<Other: FloatConvert<G::Other>>, G: Known>(
    a: F::Bits,
) -> Result<(), TestCaseError> {
    if !F::is_plain(a) {
        return Ok(());
    }
    for (env, round) in envs() {
        let other: StatusAnd<G::Other> = F::other(a).convert_r(round, &mut false);
        prop_assert_eq!(
            ours::<G>(env.convert::<F, G>(a)),
            theirs(other),
            "{:?}",
            round
        );
    }
    Ok(())
}

fn fused<F: Known>(
    a: F::Bits,
    b: F::Bits,
    c: F::Bits,
    near: Option<u128>,
) -> Result<(), TestCaseError> {
    for (env, round) in envs() {
        // The product itself as the third operand cancels.
        let c = near.map_or(c, |low| {
            F::truncate(env.mul::<F>(a, b).0.into() ^ low ^ F::SIGN)
        });
        let other = F::other(a).mul_add_r(F::other(b), F::other(c), round);
        prop_assert_eq!(
            ours::<F>(env.mul_add::<F>(a, b, c)),
            theirs(other),
            "{:?} {:?}",
            round,
            c
        );
    }
    Ok(())
}

/// The remainder, by steps too.
fn remainder<F: Known>(a: F::Bits, b: F::Bits) -> Result<(), TestCaseError> {
    if !(F::is_plain(a) && F::is_plain(b)) {
        return Ok(());
    }
    let env = Env::new(&POLICY);
    let (x, y) = (F::other(a), F::other(b));
    for (how, other) in [
        (Quotient::Nearest, x.ieee_rem(y)),
        (Quotient::Truncated, x.c_fmod(y)),
    ] {
        let (whole, flags) = env.remainder::<F>(a, b, how);
        prop_assert_eq!(ours::<F>((whole.value, flags)), theirs(other), "{:?}", how);
        prop_assert!(whole.quotient.is_some());
        let mut rest = a;
        let last = loop {
            let (step, _) = env.partial_remainder::<F>(rest, b, how);
            match step.quotient {
                Some(_) => break step,
                None => rest = step.value,
            }
        };
        prop_assert_eq!(last.value, whole.value);
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn single((a, b) in pair::<f32>()) {
        arithmetic::<f32>(a, b)?;
    }

    #[test]
    fn double((a, b) in pair::<f64>()) {
        arithmetic::<f64>(a, b)?;
    }

    #[test]
    fn extended((a, b) in pair::<Extended>()) {
        arithmetic::<Extended>(a, b)?;
    }

    #[test]
    fn integers(a in any::<u64>(), shift in 0..64u32, left in any::<bool>()) {
        let a = if left { a << shift } else { a >> shift };
        from_integers::<f32>(a)?;
        from_integers::<f64>(a)?;
        from_integers::<Extended>(a)?;
    }

    #[test]
    fn conversions(a in value::<f32>(), b in value::<f64>(), c in shortened()) {
        conversion::<f32, f64>(a)?;
        conversion::<f32, Extended>(a)?;
        conversion::<f64, f32>(b)?;
        conversion::<f64, Extended>(b)?;
        conversion::<Extended, f32>(c)?;
        conversion::<Extended, f64>(c)?;
    }

    #[test]
    fn fused_single((a, c) in pair::<f32>(), b in value::<f32>(), near in prop::option::of(0..4u128)) {
        fused::<f32>(a, b, c, near)?;
    }

    #[test]
    fn fused_double((a, c) in pair::<f64>(), b in value::<f64>(), near in prop::option::of(0..4u128)) {
        fused::<f64>(a, b, c, near)?;
    }

    #[test]
    fn remainders(a in pair::<f32>(), b in pair::<f64>(), c in pair::<Extended>()) {
        remainder::<f32>(a.0, a.1)?;
        remainder::<f64>(b.0, b.1)?;
        remainder::<Extended>(c.0, c.1)?;
    }
}

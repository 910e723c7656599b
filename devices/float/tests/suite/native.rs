//! Rust's own arithmetic as the witness, and what [`host`] makes of it: on any host, to nearest.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use solderless_float::host::{self, Fast, Host};
use solderless_float::{
    Env, Extended, Flags, Format, Integer, Outcome, Policy, Propagation, Relation, Rounding,
    Tininess, Unfit,
};

use crate::operands::{DIRECTIONS, cases, pair, value};

const POLICY: Policy = Policy {
    signaling_bit: false,
    default_nan: (false, 3 << 62),
    propagation: Propagation::Default,
    invalid_product_before_nan: true,
    unfit: Unfit::Nearest,
    tininess: Tininess::AfterRounding,
};

/// Calls a function with so many values.
fn with_each<S: Strategy>(strategy: S, mut test: impl FnMut(S::Value)) {
    let mut runner = TestRunner::deterministic();
    for _ in 0..cases(2_000).cases {
        let tree = strategy.new_tree(&mut runner).expect("a value");
        test(tree.current());
    }
}

/// A host's result against ours, if it has one.
fn check<T: PartialEq + std::fmt::Debug>(
    hits: &mut u32,
    fast: Fast<T>,
    exact: impl Fn(&Env) -> Outcome<T>,
    context: &dyn std::fmt::Debug,
) {
    let Some((value, inexact)) = fast else {
        return;
    };
    *hits += 1;
    let want = (&value, if inexact { Flags::INEXACT } else { Flags::NONE });
    let flushing = Env {
        flush_inputs: true,
        flush_results: true,
        traps_underflow: true,
        ..Env::new(&POLICY)
    };
    for env in [Env::new(&POLICY), flushing] {
        let (value, flags) = exact(&env);
        assert_eq!((&value, flags & Flags::IEEE), want, "{context:x?}");
    }
}

fn fast_is_exact<F: Host>() {
    let mut hits = [0; 5];
    let [add, sub, mul, div, sqrt] = &mut hits;
    let mut all = 0;
    with_each(pair::<F>(), |(a, b)| {
        all += 1;
        let context = &(a, b);
        check(add, host::add::<F>(a, b), |env| env.add::<F>(a, b), context);
        check(sub, host::sub::<F>(a, b), |env| env.sub::<F>(a, b), context);
        check(mul, host::mul::<F>(a, b), |env| env.mul::<F>(a, b), context);
        check(div, host::div::<F>(a, b), |env| env.div::<F>(a, b), context);
        check(sqrt, host::sqrt::<F>(a), |env| env.sqrt::<F>(a), context);
        for flush_inputs in [false, true] {
            let env = Env {
                flush_inputs,
                ..Env::new(&POLICY)
            };
            let (relation, flags) = env.compare::<F>(a, b, true);
            match host::compare::<F>(flush_inputs, a, b) {
                Some(host) => assert_eq!((host, Flags::NONE), (relation, flags & Flags::IEEE)),
                None => assert!(
                    relation == Relation::UNORDERED || flush_inputs,
                    "the host compares numbers: {context:x?}"
                ),
            }
        }
    });
    assert!(
        hits.iter().all(|&n| n > all / 8),
        "the host is hardly used: {hits:?} of {all}"
    );
}

#[test]
fn fast_single_is_exact() {
    fast_is_exact::<f32>();
}

#[test]
fn fast_double_is_exact() {
    fast_is_exact::<f64>();
}

fn fast_integers_are_exact<F: Host, I: Integer + PartialEq + std::fmt::Debug>() {
    let mut all = 0;
    let mut hits = [0; 2];
    let [to, from] = &mut hits;
    with_each(
        (value::<F>(), any::<u64>(), 0..64u32),
        |(a, bits, shift)| {
            all += 1;
            for rounding in DIRECTIONS {
                let fast = host::to_integer::<F, I>(rounding, a);
                // Flushing is of no concern, as subnormals are left to the other.
                check(
                    to,
                    fast,
                    |env| Env { rounding, ..*env }.to_integer::<F, I>(a),
                    &a,
                );
            }
            let integer = I::truncate((bits >> shift).into());
            let fast = Some(host::from_integer::<I, F>(integer));
            check(
                from,
                fast,
                |env| env.from_integer::<I, F>(integer),
                &integer,
            );
        },
    );
    assert!(
        hits.iter().all(|&n| n > all / 8),
        "the host is hardly used: {hits:?} of {all}"
    );
}

#[test]
fn fast_conversions_of_integers_are_exact() {
    fast_integers_are_exact::<f32, i16>();
    fast_integers_are_exact::<f32, i32>();
    fast_integers_are_exact::<f32, i64>();
    fast_integers_are_exact::<f32, u32>();
    fast_integers_are_exact::<f32, u64>();
    fast_integers_are_exact::<f64, i16>();
    fast_integers_are_exact::<f64, i32>();
    fast_integers_are_exact::<f64, i64>();
    fast_integers_are_exact::<f64, u32>();
    fast_integers_are_exact::<f64, u64>();
}

#[test]
fn fast_conversions_of_formats_are_exact() {
    let (mut widened, mut narrowed, mut all) = (0, 0, 0);
    with_each(
        (value::<f32>(), value::<f64>(), any::<u64>(), 0..64u32),
        |(s, d, noise, shift)| {
            all += 1;
            let wide = host::widen(s).map(|wide| (wide, false));
            check(&mut widened, wide, |env| env.convert::<f32, f64>(s), &s);
            // Most doubles are out of range.
            for d in [d, f64::from(f32::from_bits(s)).to_bits() ^ noise >> shift] {
                check(
                    &mut narrowed,
                    host::narrow(d),
                    |env| env.convert::<f64, f32>(d),
                    &d,
                );
            }
        },
    );
    assert!(
        widened > all / 4 && narrowed > all / 4,
        "{widened} {narrowed}"
    );
}

/// Results to nearest, subnormals and infinities included; of a NaN, that it is one.
fn agrees<F: Host>(fused: fn(F, F, F) -> F) {
    let env = Env::new(&POLICY);
    with_each((pair::<F>(), value::<F>()), |((a, b), c)| {
        let [x, y, z] = [a, b, c].map(F::from_bits);
        let results = [
            (env.add::<F>(a, b), x + y),
            (env.sub::<F>(a, b), x - y),
            (env.mul::<F>(a, b), x * y),
            (env.div::<F>(a, b), x / y),
            (env.sqrt::<F>(a), x.sqrt()),
            (env.mul_add::<F>(a, b, c), fused(x, y, z)),
            (env.mul_add::<F>(a, c, b), fused(x, z, y)),
        ];
        for (n, ((ours, _), host)) in results.into_iter().enumerate() {
            let nan = POLICY.class::<F>(ours).is_nan();
            assert_eq!(
                nan,
                host::is_nan::<F>(host.to_bits()),
                "{n}: {a:x?} {b:x?} {c:x?}"
            );
            assert!(
                nan || ours == host.to_bits(),
                "{n}: {a:x?} {b:x?} {c:x?}: {ours:x?}"
            );
        }
    });
}

/// A plain result of the host is ours, which is inexact at most, unless operands are flushed.
fn plain_is_exact<F: Host>(fused: fn(F, F, F) -> F) {
    let env = Env::new(&POLICY);
    let (mut all, mut hits) = (0, 0);
    with_each((pair::<F>(), value::<F>()), |((a, b), c)| {
        let [x, y, z] = [a, b, c].map(F::from_bits);
        let results = [
            (x + y, env.add::<F>(a, b)),
            (x - y, env.sub::<F>(a, b)),
            (x * y, env.mul::<F>(a, b)),
            (x / y, env.div::<F>(a, b)),
            (x.sqrt(), env.sqrt::<F>(a)),
            (fused(x, y, z), env.mul_add::<F>(a, b, c)),
        ];
        for (host, (ours, flags)) in results {
            all += 1;
            if let Some(plain) = host::plain::<F>(host) {
                hits += 1;
                let raised = flags & Flags::IEEE;
                assert_eq!(
                    (plain, raised | Flags::INEXACT),
                    (ours, Flags::INEXACT),
                    "{a:x?} {b:x?} {c:x?}"
                );
            }
        }
    });
    assert!(hits > all / 4, "{hits} of {all}");
}

#[test]
fn plain_results_are_exact() {
    plain_is_exact::<f32>(f32::mul_add);
    plain_is_exact::<f64>(f64::mul_add);
}

#[test]
fn single_is_what_rust_says() {
    agrees::<f32>(f32::mul_add);
}

#[test]
fn double_is_what_rust_says() {
    agrees::<f64>(f64::mul_add);
}

/// Roots in all modes, which squares enclose: those down and up are next to each other or one, and their squares are on
/// either side of the operand.
fn roots_are_enclosed<F: Format>() {
    let with = |rounding| Env {
        rounding,
        ..Env::new(&POLICY)
    };
    let (down, up) = (with(Rounding::Down), with(Rounding::Up));
    with_each(value::<F>(), |a| {
        let ((low, inexact), (high, _)) = (down.sqrt::<F>(a), up.sqrt::<F>(a));
        if inexact.has(Flags::INVALID) || POLICY.class::<F>(a).is_nan() {
            return;
        }
        // The first digit, if it is written, says nothing that the exponent does not.
        let place = |bits: F::Bits| {
            let (_, exponent, digits) = F::split(bits);
            u128::from(exponent) << 63 | u128::from(digits << 1 >> 1)
        };
        let ulps = (place(high) - place(low)) >> (64 - F::PRECISION);
        assert_eq!(ulps, u128::from(inexact.has(Flags::INEXACT)), "{a:x?}");
        let at_most = |x, y| {
            let (relation, _) = up.compare::<F>(x, y, true);
            relation.is(Relation::LESS | Relation::EQUAL)
        };
        assert!(at_most(down.mul::<F>(low, low).0, a), "{a:x?}");
        assert!(at_most(a, up.mul::<F>(high, high).0), "{a:x?}");
        for rounding in [Rounding::Nearest, Rounding::NearestAway, Rounding::Zero] {
            let (root, _) = with(rounding).sqrt::<F>(a);
            assert!(
                root == low || root == high && rounding != Rounding::Zero,
                "{a:x?}"
            );
        }
    });
}

#[test]
fn roots() {
    roots_are_enclosed::<f32>();
    roots_are_enclosed::<f64>();
    roots_are_enclosed::<Extended>();
}

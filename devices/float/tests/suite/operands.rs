//! Operands, mostly such with which something happens.

use proptest::prelude::*;
use proptest::test_runner::Config;
use solderless_float::{Extended, Format, Rounding};

/// A property's configuration: so many cases, unless `PROPTEST_CASES` says how many.
pub fn cases(usual: u32) -> Config {
    let config = Config::default();
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => config,
        None => Config {
            cases: usual,
            ..config
        },
    }
}

/// The rounding modes that x86 and MIPS have.
pub const DIRECTIONS: [Rounding; 4] = [
    Rounding::Nearest,
    Rounding::Down,
    Rounding::Up,
    Rounding::Zero,
];

/// A value of a format, of all kinds that it has.
pub fn value<F: Format>() -> impl Strategy<Value = F::Bits> {
    let top = F::TOP_EXPONENT;
    let bias = F::BIAS as u32;
    let exponent = prop_oneof![
        Just(0),
        1..=3u32,
        top - 2..=top,
        0..=top,
        bias - 4..bias + F::PRECISION + 12,
        // Products and quotients of these are about the smallest normal number.
        bias / 2 - 4..bias / 2 + 4,
        bias + bias / 2 - 4..bias + bias / 2 + 4,
    ];
    let digits = prop_oneof![
        Just(0),
        Just(u64::MAX),
        any::<u64>(),
        (any::<u64>(), 0..64u32).prop_map(|(digits, shift)| digits << shift),
        (0..64u32).prop_map(|bit| !(1 << bit)),
        (0..4u64).prop_map(|low| low << (64 - F::PRECISION)),
        // Two runs of ones.
        (0..64u32, 0..64u32).prop_map(|(a, b)| (u64::MAX << a) ^ (u64::MAX << b)),
    ];
    // The first digit of the extended format is nearly always as it must be.
    let odd = prop_oneof![19 => Just(false), 1 => any::<bool>()];
    (any::<bool>(), exponent, digits, odd).prop_map(|(negative, exponent, digits, odd)| {
        let first = 1 << 63;
        let digits = if (exponent != 0) != odd {
            digits | first
        } else {
            digits & !first
        };
        F::join(negative, exponent, digits)
    })
}

/// Zeros, the ends of each kind of number, infinities, NaNs of both kinds, and encodings that are no value.
pub fn specials<F: Format>() -> Vec<F::Bits> {
    let (first, quiet, last) = (1 << 63, 1 << 62, 1 << (64 - F::PRECISION));
    let top = F::TOP_EXPONENT;
    let magnitudes = [
        (0, 0),
        (0, last),
        (0, !first),
        (1, first),
        (F::BIAS as u32, first),
        (F::BIAS as u32, first | quiet),
        (top - 1, u64::MAX),
        (top, first),
        (top, first | last),
        (top, first | quiet >> 1),
        (top, first | quiet),
        (top, first | quiet | last),
    ];
    // A pseudo-denormal, two unnormals, a pseudo-infinity, a pseudo-NaN.
    let odd = [(0, first), (1, 0), (top - 1, quiet), (top, 0), (top, quiet)];
    let odd = if F::EXPLICIT { &odd[..] } else { &[] };
    magnitudes
        .iter()
        .chain(odd)
        .flat_map(|&(exponent, digits)| {
            [false, true].map(|negative| F::join(negative, exponent, digits))
        })
        .collect()
}

/// Two values, often near each other.
pub fn pair<F: Format>() -> impl Strategy<Value = (F::Bits, F::Bits)> {
    let near = (value::<F>(), 0..8u128, any::<bool>()).prop_map(|(a, low, negate)| {
        let b = F::truncate(a.into() ^ low);
        (a, if negate { F::negate(b) } else { b })
    });
    prop_oneof![3 => (value::<F>(), value::<F>()), 1 => near]
}

/// A value of the extended format that is often one of a shorter format, or next to one.
pub fn shortened() -> impl Strategy<Value = u128> {
    (value::<Extended>(), 0..64u32, 0..3u128, any::<u32>()).prop_map(|(a, cut, low, exponent)| {
        let bits = a >> cut << cut;
        // Exponents about those of the shorter formats.
        let about = match exponent % 4 {
            0 => return a,
            1 => 16383 - 128 + exponent / 4 % 256,
            2 => 16383 - 160 + exponent / 4 % 40,
            _ => 16383 - 1080 + exponent / 4 % 80,
        };
        let sign = bits & 1 << 79;
        sign | u128::from(about) << 64 | u128::from(bits as u64 | 1 << 63) ^ low
    })
}

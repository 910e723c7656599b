//! Logarithms, powers of two and trigonometric functions, as the x87 has them.
//!
//! They are computed to some 120 digits and then rounded as any other result, so that they are right in all rounding modes but
//! for a case in 2^50. Zeros, infinities and powers of two give what is exact.

use crate::env::{Env, Outcome};
use crate::exact::{self, Exact, shift_right_sticky};
use crate::format::Format;
use crate::round::Shape;
use crate::unpacked::{Class, Unpacked};

/// A number of 128 digits: `sig * 2^(exp - 127)` with the first digit at bit 127, or zero.
#[derive(Clone, Copy, Debug)]
struct Long {
    negative: bool,
    exp: i32,
    sig: u128,
}

/// Digits of numbers between 1 and 4 as [`Long::sig`].
const PI: u128 = 0xc90f_daa2_2168_c234_c4c6_628b_80dc_1cd1;
const LN_2: u128 = 0xb172_17f7_d1cf_79ab_c9e3_b398_03f2_f6af;
/// The square root of 2 as a significand.
const SQRT_2: u64 = 0xb504_f333_f9de_6484;
/// 68 digits of half of pi as the x87 reduces angles by it (Intel SDM, volume 1, 8.3.8): those behind the 66th are zero.
const HALF_PI: u128 = 0xc_90fd_aa22_168c_234c;

impl Long {
    const ZERO: Self = Self {
        negative: false,
        exp: 0,
        sig: 0,
    };
    const ONE: Self = Self {
        negative: false,
        exp: 0,
        sig: 1 << 127,
    };

    /// `sig * 2^(exp - 127)`.
    fn new(negative: bool, exp: i32, sig: u128) -> Self {
        let zeros = sig.leading_zeros();
        match sig {
            0 => Self::ZERO,
            _ => Self {
                negative,
                exp: exp - zeros as i32,
                sig: sig << zeros,
            },
        }
    }

    fn of(x: Unpacked) -> Self {
        match x.class {
            Class::Zero => Self::ZERO,
            _ => Self::new(x.negative, x.exp, u128::from(x.sig) << 64),
        }
    }

    fn integer(n: i32) -> Self {
        Self::new(n < 0, 127, n.unsigned_abs().into())
    }

    fn negated(self) -> Self {
        Self {
            negative: !self.negative,
            ..self
        }
    }

    /// The same times a power of two.
    fn scaled(self, by: i32) -> Self {
        Self {
            exp: self.exp + by,
            ..self
        }
    }

    fn plus(self, other: Self) -> Self {
        if self.sig == 0 || other.sig == 0 {
            return if self.sig == 0 { other } else { self };
        }
        let swap = (self.exp, self.sig) < (other.exp, other.sig);
        let (big, small) = if swap { (other, self) } else { (self, other) };
        // One digit less leaves room for the carry.
        let low = shift_right_sticky(small.sig >> 1, big.exp.abs_diff(small.exp));
        let high = big.sig >> 1;
        let sig = match big.negative == small.negative {
            true => high + low,
            false => high - low,
        };
        Self::new(big.negative, big.exp + 1, sig)
    }

    fn minus(self, other: Self) -> Self {
        self.plus(other.negated())
    }

    fn times(self, other: Self) -> Self {
        if self.sig == 0 || other.sig == 0 {
            return Self::ZERO;
        }
        let half = |x: u128| (x >> 64, x & u128::from(u64::MAX));
        let ((a, b), (c, d)) = (half(self.sig), half(other.sig));
        let (low, ad, bc) = (half(b * d), half(a * d), half(b * c));
        let middle = half(ad.1 + bc.1 + low.0);
        let high = a * c + ad.0 + bc.0 + middle.0;
        Self::new(
            self.negative != other.negative,
            self.exp + other.exp + 1,
            high,
        )
    }

    /// The quotient by a number that is not zero.
    fn over(self, by: Self) -> Self {
        if self.sig == 0 {
            return Self::ZERO;
        }
        let negative = self.negative != by.negative;
        let first = self.sig >= by.sig;
        let mut rest = if first { self.sig - by.sig } else { self.sig };
        let mut quotient = u128::from(first);
        let digits = if first { 127 } else { 128 };
        for _ in 0..digits {
            let carry = rest >> 127 != 0;
            rest <<= 1;
            quotient <<= 1;
            if carry || rest >= by.sig {
                rest = rest.wrapping_sub(by.sig);
                quotient |= 1;
            }
        }
        let exp = self.exp - by.exp - i32::from(!first);
        Self::new(negative, exp, quotient)
    }

    /// The quotient by a small number.
    fn over_small(self, by: u32) -> Self {
        let by = u128::from(by);
        let (high, rest) = exact::divide(self.sig >> 32, by);
        let low = (rest << 32 | self.sig & 0xffff_ffff) / by;
        Self::new(self.negative, self.exp, high << 32 | low)
    }

    /// The sum of a series whose terms are each made of the one before, until they do not count.
    fn series(first: Self, next: impl Fn(Self, u32) -> (Self, Self)) -> Self {
        // A power, and the term made of it.
        let (mut sum, mut power) = (first, first);
        for n in 1..400 {
            let term;
            (power, term) = next(power, n);
            if term.sig == 0 || term.exp < sum.exp - 130 {
                break;
            }
            sum = sum.plus(term);
        }
        sum
    }

    fn inexact(self) -> Exact {
        Exact::Finite {
            negative: self.negative,
            exp: self.exp,
            sig: self.sig | 1,
        }
    }

    /// The natural logarithm of (1 + s) / (1 - s), half of it: `s + s^3/3 + s^5/5 + …`.
    fn area_tangent(self) -> Self {
        let square = self.times(self);
        Self::series(self, |power, n| {
            let power = power.times(square);
            (power, power.over_small(2 * n + 1))
        })
    }

    /// The logarithm to base 2 of a positive number.
    fn log2(self) -> Self {
        let above = self.sig >= u128::from(SQRT_2) << 64;
        let exponent = self.exp + i32::from(above);
        let m = Self {
            exp: -i32::from(above),
            ..self
        };
        let s = m.minus(Self::ONE).over(m.plus(Self::ONE));
        Self::integer(exponent).plus(s.area_tangent().natural_to_2())
    }

    /// Twice a natural logarithm as one to base 2.
    fn natural_to_2(self) -> Self {
        self.scaled(1).over(Self::new(false, -1, LN_2))
    }

    /// The arc tangent of a number from 0 to 1, by Euler's series.
    fn arc_tangent(self) -> Self {
        let square = self.times(self);
        let below = square.plus(Self::ONE);
        let ratio = square.over(below);
        Self::series(self.over(below), |term, n| {
            let term = term.times(ratio).times(Self::integer(2 * n as i32));
            let term = term.over_small(2 * n + 1);
            (term, term)
        })
    }

    /// The sine and the cosine of an angle up to a quarter of pi.
    fn sine_cosine(self) -> (Self, Self) {
        let square = self.times(self).negated();
        let sine = Self::series(self, |term, n| {
            let term = term.times(square).over_small(2 * n * (2 * n + 1));
            (term, term)
        });
        let cosine = Self::series(Self::ONE, |term, n| {
            let term = term.times(square).over_small((2 * n - 1) * 2 * n);
            (term, term)
        });
        (sine, cosine)
    }
}

/// An angle as a number of right angles, of which the last two digits count, and a rest of at most half of one.
fn reduce(x: Unpacked) -> (u32, Long) {
    if x.exp < -1 {
        return (0, Long::of(x));
    }
    let (mut quarters, mut rest) = (0u32, u128::from(x.sig) % HALF_PI);
    for _ in 0..x.exp + 4 {
        rest <<= 1;
        quarters <<= 1;
        if rest >= HALF_PI {
            rest -= HALF_PI;
            quarters |= 1;
        }
    }
    let mut negative = x.negative;
    if rest * 2 > HALF_PI {
        rest = HALF_PI - rest;
        quarters = quarters.wrapping_add(1);
        negative = !negative;
    }
    // Of a negative angle the other way round.
    if x.negative {
        quarters = quarters.wrapping_neg();
    }
    (quarters & 3, Long::new(negative, 60, rest))
}

/// The sine and the cosine of an angle.
fn sine_cosine(x: Unpacked) -> (Long, Long) {
    let (quarters, rest) = reduce(x);
    let (sine, cosine) = rest.sine_cosine();
    match quarters {
        0 => (sine, cosine),
        1 => (cosine, sine.negated()),
        2 => (sine.negated(), cosine.negated()),
        _ => (cosine.negated(), sine),
    }
}

/// The product of a number and a logarithm that is not zero.
fn product(y: Unpacked, log: Exact) -> Exact {
    let (negative, log, inexact) = match log {
        Exact::Finite { negative, exp, sig } => {
            let log = Long::new(negative, exp, sig);
            (negative, log, sig & 1)
        }
        Exact::Infinity { negative } => {
            let negative = negative != y.negative;
            return match y.class {
                Class::Zero => Exact::Invalid,
                _ => Exact::Infinity { negative },
            };
        }
        other => return other,
    };
    let negative = negative != y.negative;
    match y.class {
        Class::Zero => Exact::Zero { negative },
        Class::Infinity => Exact::Infinity { negative },
        _ => {
            let Long { exp, sig, .. } = Long::of(y).times(log);
            let sig = sig | inexact;
            Exact::Finite { negative, exp, sig }
        }
    }
}

impl Env {
    /// The sine of an angle below 2^63 (Intel SDM, volume 2, FSIN); of an infinity it is invalid.
    pub fn sin<F: Format>(&self, a: F::Bits) -> Outcome<F::Bits> {
        self.of_angle::<F>(a, |x| sine_cosine(x).0)
    }

    /// The cosine of an angle (FCOS).
    pub fn cos<F: Format>(&self, a: F::Bits) -> Outcome<F::Bits> {
        self.of_angle::<F>(a, |x| sine_cosine(x).1)
    }

    /// The tangent of an angle (FPTAN).
    pub fn tan<F: Format>(&self, a: F::Bits) -> Outcome<F::Bits> {
        self.of_angle::<F>(a, |x| {
            let (sine, cosine) = sine_cosine(x);
            sine.over(cosine)
        })
    }

    fn of_angle<F: Format>(
        &self,
        a: F::Bits,
        function: impl FnOnce(Unpacked) -> Long,
    ) -> Outcome<F::Bits> {
        let [x] = self.operands::<F, 1>([a]);
        self.finish::<F>(Shape::of::<F>(), &[x], || match x.class {
            Class::Infinity => Exact::Invalid,
            Class::Zero => match function(x) {
                // Of zero the cosine is exact, and the others are zero as well.
                Long { sig: 0, .. } => x.into(),
                Long { negative, exp, sig } => Exact::Finite { negative, exp, sig },
            },
            _ => function(x).inexact(),
        })
    }

    /// The angle of the point whose ordinate is `y` and whose abscissa is `x` (FPATAN).
    pub fn atan2<F: Format>(&self, y: F::Bits, x: F::Bits) -> Outcome<F::Bits> {
        let operands @ [y, x] = self.operands::<F, 2>([y, x]);
        let pi = Long::new(false, 1, PI);
        // The angle in the upper half of the plane.
        let angle = || match (y.class, x.class) {
            (Class::Infinity, Class::Infinity) => match x.negative {
                false => pi.scaled(-2),
                true => pi.minus(pi.scaled(-2)),
            },
            (Class::Zero, _) | (_, Class::Infinity) => match x.negative {
                false => Long::ZERO,
                true => pi,
            },
            (Class::Infinity, _) | (_, Class::Zero) => pi.scaled(-1),
            _ => {
                let positive = |x: Unpacked| Long {
                    negative: false,
                    ..Long::of(x)
                };
                let (y, right) = (positive(y), positive(x));
                let steep = (y.exp, y.sig) > (right.exp, right.sig);
                let first = match steep {
                    true => pi.scaled(-1).minus(right.over(y).arc_tangent()),
                    false => y.over(right).arc_tangent(),
                };
                match x.negative {
                    false => first,
                    true => pi.minus(first),
                }
            }
        };
        self.finish::<F>(Shape::of::<F>(), &operands, || match angle() {
            Long { sig: 0, .. } => Exact::Zero {
                negative: y.negative,
            },
            angle => Long {
                negative: y.negative,
                ..angle
            }
            .inexact(),
        })
    }

    /// `2^a - 1`, where `a` is from -1 to 1 (F2XM1).
    pub fn exp2_minus_1<F: Format>(&self, a: F::Bits) -> Outcome<F::Bits> {
        let [x] = self.operands::<F, 1>([a]);
        self.finish::<F>(Shape::of::<F>(), &[x], || {
            let whole = x.exp == 0 && x.sig == 1 << 63;
            match x.class {
                Class::Infinity if x.negative => Long::ONE.negated().exactly(),
                Class::Normal if whole && x.negative => Long::ONE.negated().scaled(-1).exactly(),
                Class::Normal if whole || x.exp >= 0 => x.into(),
                Class::Normal | Class::Subnormal => {
                    let power = Long::of(x).times(Long::new(false, -1, LN_2));
                    let sum = Long::series(power, |term, n| {
                        let term = term.times(power).over_small(n + 1);
                        (term, term)
                    });
                    sum.inexact()
                }
                _ => x.into(),
            }
        })
    }

    /// `y * log2(x)` (FYL2X).
    pub fn y_log2<F: Format>(&self, y: F::Bits, x: F::Bits) -> Outcome<F::Bits> {
        let operands @ [y, x] = self.operands::<F, 2>([y, x]);
        self.finish::<F>(Shape::of::<F>(), &operands, || match x.class {
            Class::Zero => match y.class {
                Class::Zero => Exact::Invalid,
                Class::Infinity => Exact::Infinity {
                    negative: !y.negative,
                },
                _ => Exact::Pole {
                    negative: !y.negative,
                },
            },
            _ if x.negative => Exact::Invalid,
            Class::Infinity => product(y, Exact::Infinity { negative: false }),
            _ if x.sig == 1 << 63 => match (x.exp, y.class) {
                (0, Class::Infinity) => Exact::Invalid,
                (0, _) => Exact::Zero {
                    negative: y.negative,
                },
                (exp, _) => product(y, Long::integer(exp).exactly()),
            },
            _ => product(y, Long::of(x).log2().inexact()),
        })
    }

    /// `y * log2(x + 1)` (FYL2XP1).
    pub fn y_log2_plus_1<F: Format>(&self, y: F::Bits, x: F::Bits) -> Outcome<F::Bits> {
        let operands @ [y, x] = self.operands::<F, 2>([y, x]);
        self.finish::<F>(Shape::of::<F>(), &operands, || match x.class {
            Class::Zero => match y.class {
                Class::Infinity => Exact::Invalid,
                _ => Exact::Zero {
                    negative: x.negative != y.negative,
                },
            },
            Class::Infinity if !x.negative => product(y, Exact::Infinity { negative: false }),
            _ if x.negative && x.exp >= 0 => Exact::Invalid,
            _ => {
                let long = Long::of(x);
                let log = match x.exp {
                    ..-2 => {
                        let two = Long::ONE.scaled(1);
                        long.over(two.plus(long)).area_tangent().natural_to_2()
                    }
                    _ => long.plus(Long::ONE).log2(),
                };
                match log.sig {
                    0 => Exact::Zero { negative: false },
                    _ => product(y, log.inexact()),
                }
            }
        })
    }

    /// `a * 2^n` (`scaleB`, IEEE 754-2019, 5.3.3). Precision control does not matter.
    pub fn scale<F: Format>(&self, a: F::Bits, n: i32) -> Outcome<F::Bits> {
        let [x] = self.operands::<F, 1>([a]);
        // No further than from the smallest number beyond the largest.
        let n = n.clamp(-0x2_0000, 0x2_0000);
        self.finish::<F>(Shape::of::<F>(), &[x], || {
            Unpacked {
                exp: x.exp + n,
                ..x
            }
            .into()
        })
    }
}

impl Long {
    fn exactly(self) -> Exact {
        Exact::Finite {
            negative: self.negative,
            exp: self.exp,
            sig: self.sig,
        }
    }
}

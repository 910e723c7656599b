//! Comparisons, minimum and maximum.

use std::cmp::Ordering;
use std::ops::BitOr;

use crate::env::{Env, Flags, Outcome};
use crate::format::Format;
use crate::round::denormal;
use crate::unpacked::{Class, Unpacked};

/// Which of the operations called minimum and maximum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extremum {
    /// `minimum` and `maximum` (IEEE 754-2019, 9.6): a NaN operand makes the result a NaN; -0 is below +0. RISC-V's FMINM.
    Nan,
    /// `minimumNumber` and `maximumNumber` (IEEE 754-2019, 9.6): a number, if one operand is a number; -0 is below +0. An
    /// operand that signals is invalid all the same. RISC-V's FMIN.
    Number,
    /// `minNum` and `maxNum` (IEEE 754-2008, 5.3.1): a number, if the other operand is a quiet NaN; one that signals makes
    /// the result a NaN. -0 is below +0, which that standard leaves open. MIPS's MIN.fmt.
    NumberUnlessSignaling,
    /// `a < b ? a : b` and `a > b ? a : b`: the second operand, as it is, if one is a NaN, which is invalid, or both are zeros.
    /// x86's MINSS (Intel SDM, volume 2).
    Second,
}

/// How two values compare, one of four relations (IEEE 754-2019, 5.11), or a set of those, which is a predicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relation(u32);

impl Relation {
    /// One is a NaN.
    pub const UNORDERED: Self = Self(1 << 0);
    /// The values are equal; zeros are, whatever their signs.
    pub const EQUAL: Self = Self(1 << 1);
    /// The first is less.
    pub const LESS: Self = Self(1 << 2);
    /// The first is greater.
    pub const GREATER: Self = Self(1 << 3);

    /// As a number: from bit 0 unordered, equal, less, greater.
    #[inline]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether the relation is one of a set.
    #[inline]
    pub const fn is(self, set: Self) -> bool {
        self.0 & set.0 != 0
    }

    /// The relation of ordered values.
    #[inline]
    pub(crate) const fn ordered(equal: bool, less: bool, greater: bool) -> Self {
        Self((equal as u32) << 1 | (less as u32) << 2 | (greater as u32) << 3)
    }
}

impl BitOr for Relation {
    type Output = Self;

    #[inline]
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Where a number is in the order of all, -0 and +0 at the same place.
fn place(x: &Unpacked) -> i128 {
    let magnitude = match x.class {
        Class::Zero => 0,
        Class::Infinity => i128::MAX,
        _ => i128::from(x.exp + 0x1_0000) << 64 | i128::from(x.sig),
    };
    if x.negative { -magnitude } else { magnitude }
}

impl Env {
    /// How `a` compares to `b` (IEEE 754-2019, 5.11). Unordered is invalid if an operand signals, or if `signaling` asks for a
    /// predicate of table 5.2, not of table 5.3.
    pub fn compare<F: Format>(&self, a: F::Bits, b: F::Bits, signaling: bool) -> Outcome<Relation> {
        let operands @ [a, b] = self.operands::<F, 2>([a, b]);
        if let Some((_, flags)) = self.policy.nan(&operands) {
            let flags = flags | Flags::INVALID.only_if(signaling);
            return (Relation::UNORDERED, flags);
        }
        let (a, b) = (place(&a), place(&b));
        let relation = Relation::ordered(a == b, a < b, a > b);
        (relation, denormal(&operands, Flags::NONE))
    }

    /// The smaller of `a` and `b`.
    pub fn min<F: Format>(&self, which: Extremum, a: F::Bits, b: F::Bits) -> Outcome<F::Bits> {
        self.extremum::<F>(which, Ordering::Less, a, b)
    }

    /// The larger of `a` and `b`.
    pub fn max<F: Format>(&self, which: Extremum, a: F::Bits, b: F::Bits) -> Outcome<F::Bits> {
        self.extremum::<F>(which, Ordering::Greater, a, b)
    }

    /// The operand that compares to the other as `wanted` says.
    fn extremum<F: Format>(
        &self,
        which: Extremum,
        wanted: Ordering,
        a: F::Bits,
        b: F::Bits,
    ) -> Outcome<F::Bits> {
        let operands @ [x, y] = self.operands::<F, 2>([a, b]);
        // A flushed operand is a zero in the result too.
        let value = |bits: F::Bits, x: &Unpacked| match x.class {
            Class::Zero => F::join(x.negative, 0, 0),
            _ => bits,
        };
        if let Some((nan, flags)) = self.policy.nan(&operands) {
            let signals = flags.has(Flags::INVALID);
            return match which {
                Extremum::Second => (value(b, &y), Flags::INVALID),
                Extremum::Number if !y.class.is_nan() => (value(b, &y), flags),
                Extremum::Number if !x.class.is_nan() => (value(a, &x), flags),
                Extremum::NumberUnlessSignaling if !signals && !y.class.is_nan() => {
                    (value(b, &y), flags)
                }
                Extremum::NumberUnlessSignaling if !signals && !x.class.is_nan() => {
                    (value(a, &x), flags)
                }
                _ => (self.nan::<F>(nan), flags),
            };
        }
        let ordering = match place(&x).cmp(&place(&y)) {
            // Of the zeros, the negative one is less.
            Ordering::Equal if which != Extremum::Second => y.negative.cmp(&x.negative),
            ordering => ordering,
        };
        let result = if ordering == wanted {
            value(a, &x)
        } else {
            value(b, &y)
        };
        (result, denormal(&operands, Flags::NONE))
    }
}

//! Remainders.

use crate::env::{Env, Outcome};
use crate::exact::{self, Exact};
use crate::format::Format;
use crate::round::Shape;
use crate::unpacked::{Class, Unpacked};

/// How the quotient is rounded that a remainder is left by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quotient {
    /// To the nearest integer, a tie to the even one: `remainder` of IEEE 754-2019, 5.3.1; the x87's FPREM1.
    Nearest,
    /// Toward zero: `fmod` of C; the x87's FPREM.
    Truncated,
}

/// A remainder, or a step toward it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remainder<B> {
    /// `a - b * quotient`, exactly; with the sign of `a` if it is zero.
    pub value: B,
    /// The low 64 bits of the quotient's magnitude; `None` if this is a step only.
    pub quotient: Option<u64>,
}

/// The most that the exponents of `a` and `b` differ by in the last step.
const LAST_STEP: u32 = 63;

/// By how much a step makes the difference of the exponents smaller: 32 to 63, and such that the other steps are of 32.
/// The manual leaves it open; Intel's processors do this.
const fn step(difference: u32) -> u32 {
    difference % 32 + 32
}

impl Env {
    /// The remainder of `a` by `b`. It is exact; precision control does not matter.
    pub fn remainder<F: Format>(
        &self,
        a: F::Bits,
        b: F::Bits,
        how: Quotient,
    ) -> Outcome<Remainder<F::Bits>> {
        self.reduce::<F>(a, b, how, u32::MAX)
    }

    /// What the x87's FPREM and FPREM1 do at once (Intel SDM, volume 2, FPREM): the remainder, if the exponents of `a` and `b`
    /// differ by less than 64, else a value that has the same remainder and is smaller by 2^32 to 2^63.
    pub fn partial_remainder<F: Format>(
        &self,
        a: F::Bits,
        b: F::Bits,
        how: Quotient,
    ) -> Outcome<Remainder<F::Bits>> {
        self.reduce::<F>(a, b, how, LAST_STEP)
    }

    fn reduce<F: Format>(
        &self,
        a: F::Bits,
        b: F::Bits,
        how: Quotient,
        most: u32,
    ) -> Outcome<Remainder<F::Bits>> {
        let operands @ [a, b] = self.operands::<F, 2>([a, b]);
        let mut quotient = Some(0);
        let (value, flags) =
            self.finish::<F>(Shape::of::<F>(), &operands, || match (a.class, b.class) {
                (Class::Infinity, _) | (_, Class::Zero) => Exact::Invalid,
                (Class::Zero, _) | (_, Class::Infinity) => a.into(),
                _ => {
                    let exact;
                    (exact, quotient) = reduce(a, b, how, most);
                    exact
                }
            });
        (Remainder { value, quotient }, flags)
    }
}

/// The remainder of finite numbers, and the quotient; if the exponents differ by more than `most`, a step toward it.
fn reduce(a: Unpacked, b: Unpacked, how: Quotient, most: u32) -> (Exact, Option<u64>) {
    let finite = |negative, exp, sig: u128| match sig {
        0 => Exact::Zero {
            negative: a.negative,
        },
        // In units of 2^(exp - 63).
        _ => Exact::Finite {
            negative,
            exp: exp + 64,
            sig,
        },
    };
    let difference = a.exp - b.exp;
    if difference < 0 {
        // The quotient is below 1, and above a half only if the exponents are next to each other.
        let nearest = how == Quotient::Nearest && difference == -1 && a.sig > b.sig;
        return if nearest {
            let rest = (u128::from(b.sig) << 1) - u128::from(a.sig);
            (finite(!a.negative, a.exp, rest), Some(1))
        } else {
            (a.into(), Some(0))
        };
    }
    let whole = difference.cast_unsigned() <= most;
    // A step leaves the last digits of the quotient for later.
    let (mut digits, exp) = if whole {
        (difference.cast_unsigned(), b.exp)
    } else {
        let digits = step(difference.cast_unsigned());
        (digits, a.exp - digits.cast_signed())
    };
    let divisor = u128::from(b.sig);
    let mut quotient = u64::from(a.sig >= b.sig);
    let mut rest = u128::from(a.sig) - divisor * u128::from(quotient);
    while digits > 0 {
        let some = digits.min(63);
        let more;
        (more, rest) = exact::divide(rest << some, divisor);
        quotient = quotient << some | more as u64;
        digits -= some;
    }
    if !whole {
        return (finite(a.negative, exp, rest), None);
    }
    let half = (rest << 1).cmp(&divisor);
    if how == Quotient::Nearest && (half.is_gt() || half.is_eq() && quotient & 1 != 0) {
        let rest = divisor - rest;
        (
            finite(!a.negative, exp, rest),
            Some(quotient.wrapping_add(1)),
        )
    } else {
        (finite(a.negative, exp, rest), Some(quotient))
    }
}

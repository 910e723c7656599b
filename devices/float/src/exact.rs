//! Exact results.

use crate::unpacked::{Class, Unpacked};

/// The exact result of an operation on operands that are no NaNs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Exact {
    /// There is none: the operation is invalid.
    Invalid,
    Infinity {
        negative: bool,
    },
    /// An infinity from finite operands: division by zero.
    Pole {
        negative: bool,
    },
    Zero {
        negative: bool,
    },
    /// Zero as the sum of a number and its opposite: the rounding mode says its sign (IEEE 754-2019, 6.3).
    Cancelled,
    /// `sig * 2^(exp - 127)`, not zero. If the last bit of `sig` is set, something may be lost below it; there are then many
    /// more digits than any format has.
    Finite {
        negative: bool,
        exp: i32,
        sig: u128,
    },
}

impl From<Unpacked> for Exact {
    #[inline]
    fn from(x: Unpacked) -> Self {
        let negative = x.negative;
        match x.class {
            Class::Zero => Self::Zero { negative },
            Class::Infinity => Self::Infinity { negative },
            Class::Normal | Class::Subnormal => Self::Finite {
                negative,
                exp: x.exp,
                sig: u128::from(x.sig) << 64,
            },
            Class::QuietNan | Class::SignalingNan | Class::Unsupported => Self::Invalid,
        }
    }
}

/// Shifts right; what is lost sets the last bit.
#[inline]
pub(crate) fn shift_right_sticky(value: u128, amount: u32) -> u128 {
    let kept = value.checked_shr(amount).unwrap_or(0);
    let lost = kept.checked_shl(amount).unwrap_or(0) != value;
    kept | u128::from(lost)
}

/// A quotient and what is left, in one division.
#[inline]
pub(crate) fn divide(dividend: u128, divisor: u128) -> (u128, u128) {
    let quotient = dividend / divisor;
    (quotient, dividend - quotient * divisor)
}

/// `a + b`. Finite operands have their first digit at bit 126 or 127, and 125 digits at most.
#[inline]
pub(crate) fn sum(a: Exact, b: Exact) -> Exact {
    use Exact::*;
    match (a, b) {
        (Invalid, _) | (_, Invalid) => Invalid,
        (Infinity { negative: a }, Infinity { negative: b }) if a != b => Invalid,
        (Infinity { negative } | Pole { negative }, _)
        | (_, Infinity { negative } | Pole { negative }) => Infinity { negative },
        (Zero { negative: a }, Zero { negative: b }) if a != b => Cancelled,
        (Zero { .. } | Cancelled, other) | (other, Zero { .. } | Cancelled) => other,
        (
            Finite {
                negative: a_negative,
                exp: a_exp,
                sig: a_sig,
            },
            Finite {
                negative: b_negative,
                exp: b_exp,
                sig: b_sig,
            },
        ) => {
            // The first digit at bit 126 leaves one for the carry.
            let align = |exp: i32, sig: u128| {
                let first = sig >> 127;
                (exp + first as i32, sig >> first)
            };
            let (a, b) = (align(a_exp, a_sig), align(b_exp, b_sig));
            let (negative, (exp, big), small) = if a >= b {
                (a_negative, a, b)
            } else {
                (b_negative, b, a)
            };
            // Digits get lost only if the exponents differ by more than two; then at most one is cancelled.
            let small = shift_right_sticky(small.1, exp.abs_diff(small.0));
            let sig = if a_negative == b_negative {
                big + small
            } else {
                big - small
            };
            match sig {
                0 => Cancelled,
                _ => Finite { negative, exp, sig },
            }
        }
    }
}

/// `a * b`.
#[inline]
pub(crate) fn product(a: Unpacked, b: Unpacked) -> Exact {
    let negative = a.negative != b.negative;
    match (a.class, b.class) {
        (Class::Infinity, Class::Zero) | (Class::Zero, Class::Infinity) => Exact::Invalid,
        (Class::Infinity, _) | (_, Class::Infinity) => Exact::Infinity { negative },
        (Class::Zero, _) | (_, Class::Zero) => Exact::Zero { negative },
        _ => Exact::Finite {
            negative,
            exp: a.exp + b.exp + 1,
            sig: u128::from(a.sig) * u128::from(b.sig),
        },
    }
}

/// `a / b`.
#[inline]
pub(crate) fn quotient(a: Unpacked, b: Unpacked) -> Exact {
    let negative = a.negative != b.negative;
    match (a.class, b.class) {
        (Class::Infinity, Class::Infinity) | (Class::Zero, Class::Zero) => Exact::Invalid,
        (Class::Infinity, _) => Exact::Infinity { negative },
        (_, Class::Zero) => Exact::Pole { negative },
        (Class::Zero, _) | (_, Class::Infinity) => Exact::Zero { negative },
        _ => {
            let divisor = u128::from(b.sig);
            let (high, rest) = divide(u128::from(a.sig) << 63, divisor);
            let (low, rest) = divide(rest << 64, divisor);
            Exact::Finite {
                negative,
                exp: a.exp - b.exp,
                sig: high << 64 | low | u128::from(rest != 0),
            }
        }
    }
}

/// The square root of `a`.
#[inline]
pub(crate) fn square_root(a: Unpacked) -> Exact {
    let negative = a.negative;
    match a.class {
        Class::Zero => Exact::Zero { negative },
        _ if negative => Exact::Invalid,
        Class::Infinity => Exact::Infinity { negative },
        _ => {
            // An even power of two is left outside the root.
            let odd = a.exp & 1;
            let square = u128::from(a.sig) << (63 + odd);
            let root = square.isqrt();
            let rest = square - root * root;
            // Another digit, which is 1 if the rest is more than (root + 1/2)^2 - root^2.
            let half = u128::from(rest > root);
            Exact::Finite {
                negative,
                exp: (a.exp - odd) / 2 + 62,
                sig: root << 2 | half << 1 | u128::from(rest != 0),
            }
        }
    }
}

//! IEEE 754-2019 arithmetic in software, of no architecture: binary32, binary64 and the x87's extended format.
//!
//! All operations are methods of [`Env`]: what a floating point unit's control register says (rounding mode, flushing of
//! subnormals, precision control) and, as a [`Policy`], what the standard leaves to an architecture (NaNs, tininess, integers
//! that do not fit). They take and give values as bits, and say in [`Flags`] what they raise; accumulating and
//! trapping is the caller's.
//!
//! An operation is written once for all formats and policies, in four steps:
//!
//! 1. *unpack*: a [`Format`]'s bits become a class, a sign, an exponent and a 64-bit significand (`unpacked`);
//! 2. *compute*: the exact result, in 128 bits of significand whose last one says whether something was lost below (`exact`);
//! 3. *round* to a precision and a range of exponents (`round`);
//! 4. *pack*: bits of the result's format.
//!
//! [`host`] has the frequent case, computed by the host's own unit: normal numbers, rounded to nearest, exactly as above. It
//! depends on no policy, so it costs the same for every architecture.

#![forbid(unsafe_code)]

mod elementary;
mod env;
mod exact;
mod format;
pub mod host;
mod integer;
mod order;
mod policy;
mod rem;
mod round;
mod unpacked;

pub use env::{Env, Flags, Outcome, Precision, Rounding};
pub use format::{Extended, Format};
pub use integer::Integer;
pub use order::{Extremum, Relation};
pub use policy::{Policy, Propagation, Tininess, Unfit};
pub use rem::{Quotient, Remainder};
pub use unpacked::Class;

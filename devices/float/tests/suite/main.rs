//! The arithmetic against others that share no line with it: the host's own, LLVM's in software, and, on an x86 host, the
//! processor's units with their flags and NaNs.
//!
//! `PROPTEST_CASES` says how many operands each property is tried with.

mod apfloat;
mod native;
mod operands;
mod rules;
#[cfg(target_arch = "x86_64")]
mod x86;

//! Memory and board logic.

#![forbid(unsafe_code)]

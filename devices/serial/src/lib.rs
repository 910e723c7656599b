//! Serial ports.

#![forbid(unsafe_code)]

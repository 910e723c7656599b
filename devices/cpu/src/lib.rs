//! CPU engines.

#![forbid(unsafe_code)]

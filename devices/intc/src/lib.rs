//! Interrupt controllers.

#![forbid(unsafe_code)]

//! Timers and clocks.

#![forbid(unsafe_code)]

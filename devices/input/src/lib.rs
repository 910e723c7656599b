//! Keyboard and mouse controllers.

#![forbid(unsafe_code)]

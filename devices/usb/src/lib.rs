//! USB host controllers.

#![forbid(unsafe_code)]

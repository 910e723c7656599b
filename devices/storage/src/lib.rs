//! Disk controllers and flash memory.

#![forbid(unsafe_code)]

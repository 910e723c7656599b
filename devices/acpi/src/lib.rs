//! Power management and what hangs on its SMBus.

#![forbid(unsafe_code)]

//! DMA controllers.

#![forbid(unsafe_code)]

//! Timers and clocks.

#![forbid(unsafe_code)]

mod aclint_mtimer;
mod goldfish_rtc;
mod i8254;
mod mc146818;

pub use aclint_mtimer::{AclintMtimer, AclintMtimerProps};
pub use goldfish_rtc::{GoldfishRtc, GoldfishRtcProps};
pub use i8254::{I8254, I8254Props};
pub use mc146818::{Mc146818, Mc146818Props};

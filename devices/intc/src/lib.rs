//! Interrupt controllers.

#![forbid(unsafe_code)]

mod aclint_swi;
mod apic_bus;
mod i8259;
mod plic;

pub use aclint_swi::{AclintSwi, AclintSwiProps};
pub use apic_bus::{ApicBus, ApicBusProps};
pub use i8259::{I8259, I8259Props};
pub use plic::{Plic, PlicProps};

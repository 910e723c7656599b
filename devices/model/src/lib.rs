//! The contract between a device model and the machine composer.
//!
//! A model is one file: its properties ([`Model::Props`]), what it offers and needs
//! ([`Model::interface`]), its registers, and its behaviour ([`Device`]). It sees its properties, its
//! wires and the guest through a [`Cx`], and nothing else: no TOML, no command line, no host file.
//! What it saves is what its fields are: `#[derive(State)]`.

#![forbid(unsafe_code)]

extern crate self as solderless_model;

pub mod acpi;
mod block;
pub mod boot;
mod bus;
mod connections;
mod describe;
mod device;
mod engine;
pub mod folder;
mod interface;
pub mod pci;
mod props;
pub mod registers;
mod seen;
mod state;
mod stops;
pub mod testing;
pub mod tree;

pub use block::{
    BlockFrontend, Failure, Job, JobId, LONGEST_JOB, MOST_JOBS, Medium, Outcome, SECTOR, Tray,
};
pub use bus::{
    Addresses, BusKind, BusRules, Cycle, ISA_MEMORY, ISA_PORTS, On, Open, Space, SpaceRules,
    Transfer,
};
pub use describe::{
    Contents, Describe, Describer, Field, Fields, Name, Parts, Type, Variant, VariantDecl,
    contents, scalar_size,
};
pub use device::{
    Access, Backing, BuildError, BusError, CharFrontend, Cx, DevId, Device, Disassembled,
    END_OF_TIME, Fabric, I2c, I2cTarget, Ide, IdeDevice, IdeSignals, Keys, Model, NetFrontend,
    Page, Picture, Processor, Request, Stop, Translation, Wires, lanes, merge,
};
pub use engine::{Engine, EngineInfo, Taken, Tier};
pub use interface::{
    Cpu, Interface, PartDecl, Pin, PinLevels, Pins, Placement, Port, PortId, PropError, Region,
    RegionId, RegionKind, Slot, SlotId, SlotKind, TimerId,
};
pub use props::{Bounded, Hertz, History, Ranges, Size};
pub use seen::{Ask, Question, Seen, seen};
pub use solderless_derive::{Ranges, State};
pub use solderless_memory as memory;
pub use state::{Bytes, Fitted, NEWEST, Part, Persist, Reader, Section, State, StateError, Writer};
pub use stops::{Place, Stops, Watch, Watched, Watching};

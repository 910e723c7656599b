//! Memory and board logic.

#![forbid(unsafe_code)]

mod bitbang;
mod debugcon;
mod exit;
mod fw_cfg;
mod isa_mmio;
mod malta_fpga;
mod pcspk;
mod port92;
mod ram;
mod rom;
mod sifive_test;

pub use debugcon::{Debugcon, DebugconProps};
pub use exit::{Exit, ExitProps};
pub use fw_cfg::{FwCfg, FwCfgProps};
pub use isa_mmio::{IsaMmio, IsaMmioProps};
pub use malta_fpga::{MaltaFpga, MaltaFpgaProps};
pub use pcspk::{PcSpeaker, PcSpeakerProps};
pub use port92::{Port92, Port92Props};
pub use ram::{Ram, RamProps};
pub use rom::{IsaRom, Rom, RomProps};
pub use sifive_test::{SifiveTest, SifiveTestProps};

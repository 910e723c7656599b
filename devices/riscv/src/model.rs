//! The CPUs that can be described: the width of registers, and what a board may add or leave out.

use std::ops::Deref;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solderless_model::{Hertz, PropError, Ranges};

/// The width of registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CpuModel {
    /// Registers of 32 bits.
    Rv32,
    /// Registers of 64 bits.
    #[default]
    Rv64,
}

/// The largest address space that a page table can describe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SatpMode {
    /// None: addresses are physical in every mode.
    Bare,
    /// Two levels: 32 bits. Of rv32.
    Sv32,
    /// Three levels: 39 bits.
    Sv39,
    /// Four levels: 48 bits. Sv39 is there as well.
    Sv48,
    /// Five levels: 57 bits. Sv39 and Sv48 are there as well.
    Sv57,
}

/// Properties of a RISC-V CPU. Names are QEMU's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Ranges)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Props {
    /// The width of registers.
    pub model: CpuModel,
    /// The number of the hart, as mhartid has it.
    pub hartid: u32,
    /// Where it starts after a reset.
    pub resetvec: u64,
    /// How often in a second `time` advances, 1 Hz to 10 GHz. It is the machine's time since power-on.
    pub timebase_frequency: Hertz,
    /// Clock of the core, 1 MHz to 10 GHz. An instruction takes one cycle, or less where guest time follows the wall clock.
    pub clock: Hertz,
    /// Multiplication and division.
    pub m: bool,
    /// Atomic instructions.
    pub a: bool,
    /// Floating point in single precision.
    pub f: bool,
    /// Floating point in double precision. It asks for `f`.
    pub d: bool,
    /// Compressed instructions.
    pub c: bool,
    /// User mode.
    pub u: bool,
    /// Supervisor mode. It asks for `u`. What follows of it is not there without it.
    pub s: bool,
    /// Address generation instructions.
    pub zba: bool,
    /// Basic bit manipulation instructions.
    pub zbb: bool,
    /// Instructions for single bits.
    pub zbs: bool,
    /// Instructions that manage cache blocks of 64 bytes. There are no caches for them.
    pub zicbom: bool,
    /// The instruction that clears a cache block of 64 bytes.
    pub zicboz: bool,
    /// Loads and stores of memory that are misaligned are executed. Without it they raise an exception.
    pub zicclsm: bool,
    /// Physical memory protection, 16 regions in units of 4 KiB.
    pub pmp: bool,
    /// The timer of supervisor mode, stimecmp.
    pub sstc: bool,
    /// Accessed and dirty bits of page table entries are set by the CPU, unless menvcfg.ADUE is cleared. Without it, it raises a page
    /// fault where one is to be set (Svade).
    pub svadu: bool,
    /// SINVAL.VMA and its fences.
    pub svinval: bool,
    /// Page table entries can say what kind of memory there is, on rv64. All kinds behave the same.
    pub svpbmt: bool,
    /// The largest address space of page tables. If absent, Sv32 or Sv57.
    pub satp_mode: Option<SatpMode>,
}

impl Default for Props {
    fn default() -> Self {
        Self {
            model: CpuModel::default(),
            hartid: 0,
            resetvec: 0x1000,
            timebase_frequency: Hertz(10_000_000),
            clock: Hertz(1_000_000_000),
            m: true,
            a: true,
            f: true,
            d: true,
            c: true,
            u: true,
            s: true,
            zba: true,
            zbb: true,
            zbs: true,
            zicbom: true,
            zicboz: true,
            zicclsm: true,
            pmp: true,
            sstc: true,
            svadu: true,
            svinval: true,
            svpbmt: true,
            satp_mode: None,
        }
    }
}

/// A CPU as configured: its properties, of which those are set that have an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    props: Props,
    /// Registers have 32 bits.
    pub rv32: bool,
    /// The values of satp.MODE that there are, one bit each.
    pub satp_modes: u64,
}

impl Deref for Identity {
    type Target = Props;
    fn deref(&self) -> &Props {
        &self.props
    }
}

impl Identity {
    /// What it is in the form of the manuals (volume I, "ISA Extension Naming Conventions"): `rv64imafdc_zicsr…`.
    pub fn isa(&self) -> String {
        let letters = [
            (true, 'i'),
            (self.m, 'm'),
            (self.a, 'a'),
            (self.f, 'f'),
            (self.d, 'd'),
            (self.c, 'c'),
        ];
        let letters = letters.into_iter().filter(|(there, _)| *there);
        let names = [
            (self.zicbom, "zicbom"),
            (self.zicboz, "zicboz"),
            (true, "zicntr"),
            (true, "zicsr"),
            (true, "zifencei"),
            (self.zba, "zba"),
            (self.zbb, "zbb"),
            (self.zbs, "zbs"),
            (self.sstc, "sstc"),
            (self.svinval, "svinval"),
            (self.svpbmt, "svpbmt"),
        ];
        let names = names.into_iter().filter(|(there, _)| *there);
        let width = if self.rv32 { "rv32" } else { "rv64" };
        let letters = letters.map(|(_, letter)| letter);
        width.chars().chain(letters).collect::<String>()
            + &names
                .map(|(_, name)| format!("_{name}"))
                .collect::<String>()
    }

    /// The CPU that the properties describe.
    ///
    /// # Errors
    /// Properties that contradict one another, or a number out of its range.
    pub fn new(props: &Props) -> Result<Self, PropError> {
        if !(1_000_000..=10_000_000_000).contains(&props.clock.0) {
            return Err(PropError::new("clock", "expected 1MHz to 10GHz"));
        }
        if !(1..=10_000_000_000).contains(&props.timebase_frequency.0) {
            return Err(PropError::new(
                "timebase-frequency",
                "expected 1Hz to 10GHz",
            ));
        }
        let rv32 = props.model == CpuModel::Rv32;
        if props.d && !props.f {
            return Err(PropError::new(
                "d",
                "double precision asks for single precision: set `f` as well, or `d = false`",
            ));
        }
        if props.s && !props.u {
            return Err(PropError::new(
                "s",
                "supervisor mode asks for user mode: set `u` as well, or `s = false`",
            ));
        }
        let aligned = if props.c { 2 } else { 4 };
        if !props.resetvec.is_multiple_of(aligned) {
            return Err(PropError::new(
                "resetvec",
                format!("instructions are at multiples of {aligned}"),
            ));
        }
        if rv32 && props.resetvec > u32::MAX.into() {
            return Err(PropError::new("resetvec", "addresses of rv32 have 32 bits"));
        }
        let satp_modes = match (props.satp_mode, rv32) {
            (Some(SatpMode::Bare), _) => 1,
            (None | Some(SatpMode::Sv32), true) => 3,
            (Some(SatpMode::Sv39), false) => 1 | 1 << 8,
            (Some(SatpMode::Sv48), false) => 1 | 3 << 8,
            (None | Some(SatpMode::Sv57), false) => 1 | 7 << 8,
            (_, true) => {
                return Err(PropError::new(
                    "satp-mode",
                    "rv32 has \"bare\" and \"sv32\"",
                ));
            }
            (_, false) => {
                let reason = "rv64 has \"bare\", \"sv39\", \"sv48\" and \"sv57\"";
                return Err(PropError::new("satp-mode", reason));
            }
        };
        let s = props.s;
        Ok(Self {
            rv32,
            satp_modes: if s { satp_modes } else { 1 },
            props: Props {
                sstc: s && props.sstc,
                svadu: s && props.svadu,
                svinval: s && props.svinval,
                svpbmt: s && !rv32 && props.svpbmt,
                ..*props
            },
        })
    }
}
